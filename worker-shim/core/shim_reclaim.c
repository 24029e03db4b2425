/* SPDX-License-Identifier: MPL-2.0 */
/* RECLAIM - others wait below their share, and here are slots that nobody uses.
 *
 * Given back are reservations that no tree fills and that were idle for long
 * enough, the newest first. Nobody else hears of it: a command that names one
 * of them later learns that it is closed.
 */
#include "core/shim_state.h"

void shim_note_idle (struct shim *s, int64_t now)
{
    for (struct slot *at = NULL; (at = holdings_next (&s->holdings, at));) {
        if (at->state != SLOT_IDLE || at->offered_to)
            at->idle_since = 0;
        else if (!at->idle_since)
            at->idle_since = now;
    }
}

static bool may_go (const struct shim *s, const struct slot *slot, int64_t now)
{
    return slot->state == SLOT_IDLE && slot->idle_since &&
           now - slot->idle_since >= s->tenure.reclaim_idle_ms;
}

static struct slot *newest (struct shim *s, int64_t now)
{
    struct slot *found = NULL;

    for (struct slot *at = NULL; (at = holdings_next (&s->holdings, at));) {
        if (may_go (s, at, now) && (!found || at->token > found->token))
            found = at;
    }
    return found;
}

void shim_reclaim (struct shim *s, uint64_t count, const char *whom,
                   int64_t now, struct actions *out)
{
    uint64_t given = 0;
    struct slot *slot;

    while (given < count && (slot = newest (s, now))) {
        shim_release_slot (slot);
        given++;
    }
    if (count)
        actions_log (out, "reclaim asked=%llu given=%llu for=%s",
                     (unsigned long long) count, (unsigned long long) given,
                     whom[0] ? whom : "-");
}
