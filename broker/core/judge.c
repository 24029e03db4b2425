/* SPDX-License-Identifier: MPL-2.0 */
#include "core/judge.h"

#include <inttypes.h>
#include <stdio.h>

static unsigned least (uint64_t a, uint64_t b)
{
    return (unsigned) (a < b ? a : b);
}

static unsigned room_below (unsigned limit, unsigned used)
{
    return limit > used ? limit - used : 0;
}

static bool is_passed_over (const struct broker *b, const struct project *p)
{
    return p->pass == b->pass && p->skipped;
}

/* What cap and session leave of what `w` wants. */
static unsigned room_for (const struct broker *b, const struct waiter *w)
{
    const struct project *p = w->session->project;
    struct lease **leases;
    unsigned held =
        (unsigned) leases_of (&b->leases, w->session->r.id, &leases);
    unsigned room =
        least (w->r.count, room_below (p->max, project_counted (p)));

    return least (room, room_below (MAX_HELD, held));
}

/* Does an older one on another host come first? */
static bool is_behind (const struct broker *b, uint64_t first,
                       const struct waiter *w)
{
    const struct waiter *by =
        first && first < w->r.number ? table_find (&b->waiters, first) : NULL;

    return by && by->session->pool != w->session->pool;
}

enum reason judge (const struct broker *b, const struct walk *walk,
                   const struct waiter *w, unsigned *ret_amount)
{
    struct pool *pool = walk->pool;
    int64_t free = state_free (b, pool);
    unsigned room, amount;

    if (w->session->conflict_until > walk->now)
        return REASON_PAUSED;
    if (b->disk_full)
        return REASON_DISK;
    if (b->learning)
        return REASON_LEARNING;
    if (walk->blocker || is_passed_over (b, w->session->project))
        return REASON_TURN;
    room = room_for (b, w);
    if (room < w->r.min || is_behind (b, w->session->project->cap_first, w))
        return REASON_CAP;
    if (w->r.min > pool_effective (pool))
        return REASON_HEALTH;
    if (free < w->r.min)
        return free + pool->max_slots - pool_effective (pool) >= w->r.min
                   ? REASON_HEALTH
                   : REASON_SLOTS;
    if (is_behind (b, b->sum_first, w))
        return REASON_SLOTS;
    amount = b->policy->amount (w, least (room, (uint64_t) free));
    if (amount == 0)
        return REASON_SLOTS;
    if (!pool_pace (pool, amount, b->settings.grant_burst, walk->now))
        return REASON_PACING;
    *ret_amount = amount;
    return REASON_NONE;
}

/* It waits for something that is no concern of those behind it, unless they
 * are of the same project. */
static bool passes_over (const struct walk *walk, const struct waiter *w,
                         enum reason reason)
{
    return reason == REASON_PAUSED || reason == REASON_CAP ||
           (reason == REASON_TURN && !walk->blocker) ||
           (reason == REASON_HEALTH && w->r.min > pool_effective (walk->pool));
}

void judge_pass_by (struct broker *b, struct walk *walk, const struct waiter *w,
                    enum reason reason)
{
    struct project *p = w->session->project;

    if (!passes_over (walk, w, reason)) {
        if (!walk->blocker)
            walk->blocker = w;
        walk->ahead += w->r.count;
        return;
    }
    if (p->pass != b->pass) {
        p->pass = b->pass;
        p->skipped_count = 0;
    }
    p->skipped = true;
    p->skipped_count += w->r.count;
}

/* ---- who comes first over all hosts ---- */

void judge_forget_firsts (struct broker *b)
{
    b->sum_next = 0;
    for (size_t i = 0; i < b->projects.count; i++)
        b->projects.at[i]->cap_next = 0;
}

static bool take (uint64_t *first, uint64_t next)
{
    bool changed = *first != next;

    *first = next;
    return changed;
}

bool judge_take_firsts (struct broker *b)
{
    bool changed = take (&b->sum_first, b->sum_next);

    for (size_t i = 0; i < b->projects.count; i++) {
        struct project *p = b->projects.at[i];

        changed |= take (&p->cap_first, p->cap_next);
    }
    return changed;
}

static void note_first (struct broker *b, const struct walk *walk,
                        const struct waiter *w, enum reason reason)
{
    int64_t here = (int64_t) pool_effective (walk->pool) - walk->pool->in_use;
    int64_t sum = (int64_t) b->settings.max_slots - b->in_use;
    struct project *p = w->session->project;
    uint64_t *next = NULL;

    if (reason == REASON_SLOTS && here >= w->r.min && sum < w->r.min)
        next = &b->sum_next;
    if (reason == REASON_CAP &&
        room_below (p->max, project_counted (p)) < w->r.min)
        next = &p->cap_next;
    if (next && (*next == 0 || w->r.number < *next))
        *next = w->r.number;
}

/* ---- why it waits ---- */

static void explain_cap (const struct broker *b, const struct waiter *w,
                         char *text, size_t size)
{
    const struct project *p = w->session->project;

    if (is_behind (b, p->cap_first, w))
        snprintf (text, size,
                  "an older request of %s on another host comes "
                  "first",
                  p->name);
    else if (room_below (p->max, project_counted (p)) >= w->r.min)
        snprintf (text, size, "a session holds at most %d slots", MAX_HELD);
    else
        snprintf (text, size, "%s holds %u of its %u", p->name,
                  project_counted (p), p->max);
}

static void explain_turn (const struct walk *walk, const struct waiter *w,
                          char *text, size_t size)
{
    const struct waiter *by = walk->blocker;

    if (by)
        snprintf (text, size, "behind %s's %u", by->session->project->name,
                  by->r.count);
    else
        snprintf (text, size, "behind an earlier request of %s",
                  w->session->project->name);
}

/* The tighter of what is free on the host, and over all hosts. */
static void explain_slots (const struct broker *b, const struct walk *walk,
                           const struct waiter *w, char *text, size_t size)
{
    int64_t free = state_free (b, walk->pool);
    int64_t here = (int64_t) pool_effective (walk->pool) - walk->pool->in_use;
    bool over_all = free < here;

    if (is_behind (b, b->sum_first, w)) {
        snprintf (text, size, "an older request on another host comes first");
        return;
    }
    snprintf (text, size, "%" PRId64 " of %u free%s, %u wanted",
              free > 0 ? free : 0,
              over_all ? b->settings.max_slots : pool_effective (walk->pool),
              over_all ? " on all hosts" : "", w->r.min);
}

static void explain (const struct broker *b, const struct walk *walk,
                     const struct waiter *w, enum reason reason, char *text,
                     size_t size)
{
    const struct pool *pool = walk->pool;

    switch (reason) {
    case REASON_NONE: text[0] = '\0'; break;
    case REASON_PAUSED:
        snprintf (text, size, "two living hosts claim this identity");
        break;
    case REASON_DISK:
        snprintf (text, size, "the broker cannot write its state");
        break;
    case REASON_LEARNING:
        snprintf (text, size, "the broker learns what is held: %" PRId64 " s",
                  (b->learning_until - walk->now + 999) / 1000);
        break;
    case REASON_TURN: explain_turn (walk, w, text, size); break;
    case REASON_CAP: explain_cap (b, w, text, size); break;
    case REASON_HEALTH:
        snprintf (text, size, "effective %u of %u, %u wanted",
                  pool_effective (pool), pool->max_slots, w->r.min);
        break;
    case REASON_SLOTS: explain_slots (b, walk, w, text, size); break;
    case REASON_PACING:
        snprintf (text, size, "at most %u start a second: in %" PRId64 " ms",
                  b->settings.grant_burst, pool->paced_until - walk->now);
        break;
    }
}

/* max (0, A + n - free): A is what those want that are served before it. */
static unsigned slots_ahead (const struct broker *b, const struct walk *walk,
                             const struct waiter *w)
{
    const struct project *p = w->session->project;
    int64_t wanted = (int64_t) walk->ahead + w->r.min;

    if (is_passed_over (b, p))
        wanted += (int64_t) p->skipped_count;
    wanted -= state_free (b, walk->pool);
    if (wanted < 0)
        return 0;
    return wanted > INT32_MAX ? INT32_MAX : (unsigned) wanted;
}

void judge_explain (struct broker *b, const struct walk *walk, struct waiter *w,
                    enum reason reason)
{
    struct outlook *o = &w->outlook, before = *o;

    note_first (b, walk, w, reason);
    o->position = walk->position;
    o->slots_ahead = slots_ahead (b, walk, w);
    o->reason = reason;
    explain (b, walk, w, reason, o->detail, sizeof o->detail);
    if (o->position != before.position || o->reason != before.reason ||
        o->slots_ahead != before.slots_ahead)
        b->changes++;
}
