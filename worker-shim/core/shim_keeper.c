/* SPDX-License-Identifier: MPL-2.0 */
#include "core/shim_state.h"

#include <string.h>

enum { STATUS_KILLED = 9 }; // wait status of who was ended by SIGKILL

/* ---- the keeper's packets ---- */

static void refuse (uint64_t keeper, const struct keeper_packet *in,
                    const char *why, struct actions *out)
{
    struct keeper_packet refusal = {.magic = KEEPER_MAGIC,
                                    .type = KEEPER_REFUSE,
                                    .token = in->token,
                                    .count = in->count};

    copy_text (refusal.reason, sizeof refusal.reason, why);
    actions_packet (out, keeper, &refusal);
    actions_add (out, ACT_HANG_UP_KEEPER)->keeper = keeper;
    actions_log (out, "refused keeper token=%llu reason=%s",
                 (unsigned long long) in->token, why);
}

/* A process that the broker can be told of. */
static bool names_process (const struct keeper_packet *in)
{
    return in->pid > 0 && in->pid_start >= 0;
}

/* NULL: it may attach. */
static const char *objection (struct shim *s, const struct run *run,
                              uint64_t keeper, const struct keeper_packet *in)
{
    if (runs_of_keeper (&s->runs, keeper))
        return "this keeper has a tree already";
    if (!run)
        return "this slot was not granted to a run";
    if (run->state != RUN_OFFERED)
        return "this slot has a tree already";
    if (strcmp (run->cookie, in->cookie) != 0)
        return "another cookie was granted";
    if (run->count != in->count)
        return "another number of slots was granted";
    if (!names_process (in))
        return "the keeper names no process";
    return NULL;
}

static void started (struct shim *s, struct run *run,
                     const struct keeper_packet *in)
{
    run->process = (struct who){.pid = in->pid, .start = in->pid_start};
    run->seq = ++s->told;
    run->untold = true;
    run->sent = false;
}

static void name_slots (struct shim *s, const struct run *run)
{
    for (struct slot *at = NULL;
         (at = holdings_next_of (&s->holdings, run->token, at));) {
        if (run->label[0])
            copy_text (at->label, sizeof at->label, run->label);
    }
}

/* A reservation is its supervisor's word to the broker until that has heard of
 * a tree: it may be killing it just now, and if we died it would not look for
 * the cookie of a tree that fills several. */
static bool fills_reservation (struct shim *s, const struct run *run)
{
    for (struct slot *at = NULL;
         (at = holdings_next_of (&s->holdings, run->token, at));) {
        if (at->reservation)
            return true;
    }
    return false;
}

/* ATTACH - a tree is about to begin under these slots.
 *
 * Its first pid is the keeper's own, so that the broker knows of a tree from
 * now on; CMD's follows. Without a valid session it waits unarmed: the next
 * acknowledged BEAT arms it. So does what fills a reservation, until the
 * broker has answered STARTED.
 */
static void on_attach (struct shim *s, uint64_t keeper,
                       const struct keeper_packet *in, int64_t now,
                       struct actions *out)
{
    struct run *run = runs_find (&s->runs, in->token);
    const char *why = objection (s, run, keeper, in);

    if (why) {
        refuse (keeper, in, why, out);
        // its end will not be reported, and it may have a tree
        shim_on_keeper_gone (s, keeper, now, out);
        return;
    }
    run->state = RUN_ATTACHED;
    run->keeper = keeper;
    copy_text (run->cgroup, sizeof run->cgroup, in->cgroup);
    copy_text (run->label, sizeof run->label, in->label);
    name_slots (s, run);
    run->unknown = fills_reservation (s, run);
    started (s, run, in);
    run->first = run->seq;
    if (tenure_valid (&s->tenure, now))
        shim_arm (s, run, out);
}

/* Numbers on the wire are no larger. */
static uint64_t sendable (uint64_t number)
{
    return number > INT64_MAX ? INT64_MAX : number;
}

/* STARTED, EXITED, REAPED - of a tree that is there. */
static void on_tree (struct shim *s, struct run *run,
                     const struct keeper_packet *in, struct actions *out)
{
    switch (in->type) {
    case KEEPER_STARTED:
        if (names_process (in))
            started (s, run, in);
        break;
    case KEEPER_EXITED:
        run->exited = true;
        run->status = in->status;
        break;
    case KEEPER_REAPED:
        run->status = in->status;
        run->memory_bytes = sendable (in->peak_bytes);
        run->cpu_ms = sendable (in->cpu_ms);
        shim_run_gone (s, run, out);
        break;
    default: break;
    }
}

void shim_on_keeper (struct shim *s, uint64_t keeper,
                     const struct keeper_packet *in, int64_t now,
                     struct actions *out)
{
    struct run *run = runs_of_keeper (&s->runs, keeper);

    s->news = true;
    if (in->type == KEEPER_ATTACH)
        on_attach (s, keeper, in, now, out);
    else if (run && run->named == in->token)
        on_tree (s, run, in, out);
    shim_tell_released (s, out);
}

/* Its stream ended without REAPED: the keeper was killed, and its tree may
 * live. */
void shim_on_keeper_gone (struct shim *s, uint64_t keeper, int64_t now,
                          struct actions *out)
{
    struct run *run = runs_of_keeper (&s->runs, keeper);
    struct action *clean;

    (void) now;
    s->news = true;
    if (!run)
        return;
    run->state = RUN_CLEANING;
    run->keeper = 0;
    if (!run->exited)
        run->status = STATUS_KILLED;
    clean = actions_add (out, ACT_CLEAN);
    clean->token = run->named;
    clean->who = run->process;
    copy_text (clean->cgroup, sizeof clean->cgroup, run->cgroup);
    copy_text (clean->cookie, sizeof clean->cookie, run->cookie);
    actions_log (out, "lost keeper token=%llu",
                 (unsigned long long) run->token);
}

/* ---- what a predecessor left ---- */

void shim_clean (struct shim *s, struct slot *slot, const struct row_limbo *row,
                 struct actions *out)
{
    struct action *clean = actions_add (out, ACT_CLEAN);

    slot->state = SLOT_LEFTOVER;
    clean->token = slot->token;
    copy_text (clean->cgroup, sizeof clean->cgroup, row->cgroup);
    shim_cookie (s, row->cookie ? row->cookie : slot->token, clean->cookie,
                 sizeof clean->cookie);
}

void shim_on_cleaned (struct shim *s, uint64_t token, int64_t now,
                      struct actions *out)
{
    struct run *run = runs_named (&s->runs, token);
    struct slot *slot = holdings_find (&s->holdings, token);

    (void) now;
    s->news = true;
    if (run && run->state == RUN_CLEANING)
        shim_run_gone (s, run, out);
    else if (slot && slot->state == SLOT_LEFTOVER)
        shim_reap_slot (s, slot);
    shim_tell_released (s, out);
}
