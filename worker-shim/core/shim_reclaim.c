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

/* The newest of those that were idle then and since. */
static struct slot *newest (struct shim *s, int64_t then)
{
    struct slot *found = NULL;

    for (struct slot *at = NULL; (at = holdings_next (&s->holdings, at));) {
        if (at->state == SLOT_IDLE && at->idle_since &&
            at->idle_since <= then && (!found || at->token > found->token))
            found = at;
    }
    return found;
}

void shim_reclaim (struct shim *s, uint64_t count, uint64_t idle_ms,
                   const char *whom, int64_t now, struct actions *out)
{
    int64_t idle = idle_ms ? (int64_t) idle_ms : s->tenure.reclaim_idle_ms;
    uint64_t given = 0;
    struct slot *slot;

    while (given < count && (slot = newest (s, now - idle))) {
        shim_release_slot (slot);
        given++;
    }
    if (count)
        actions_log (out, "reclaim asked=%llu given=%llu for=%s",
                     (unsigned long long) count, (unsigned long long) given,
                     whom[0] ? whom : "-");
}
