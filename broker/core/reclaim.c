/* SPDX-License-Identifier: MPL-2.0 */
#include "core/reclaim.h"

#include "core/answers.h"

/* Would it be served, if there were more slots? Where health withholds some,
 * what there is is to be shared all the same. */
static bool lacks_slots (const struct pool *pool)
{
    return pool->why == REASON_SLOTS ||
           (pool->why == REASON_HEALTH && response_grants (&pool->response));
}

/* The lane that is first in line for a slot, if it has less than it should. */
static struct lane *who_waits (const struct pool *pool)
{
    const struct ticket *first = pool->blocker;

    if (!first || !lacks_slots (pool) ||
        first->lane->held >= first->lane->target)
        return NULL;
    return first->lane;
}

/* What would help it, and is not free already. */
static unsigned needed (const struct broker *b, const struct lane *lane)
{
    int64_t free = dispatch_free (&b->dispatch, lane->pool);
    int64_t below = (int64_t) lane->target - lane->held;
    int64_t wanted = (int64_t) lane_wanted (lane);

    if (below > wanted)
        below = wanted;
    below -= free > 0 ? free : 0;
    return below > 0 ? (unsigned) below : 0;
}

static unsigned surplus_of (const struct lane *lane)
{
    return lane->held > lane->target ? lane->held - lane->target : 0;
}

/* How far the search has come: lanes by their surplus, ties as they stand. */
struct rank_above {
    unsigned above;
    size_t index;
};

static bool is_next (struct rank_above a, struct rank_above b)
{
    return a.above < b.above || (a.above == b.above && a.index > b.index);
}

/* The lane of that host that has most beyond its target, after `last`; NULL:
 * there is none. */
static struct lane *next_above (const struct broker *b, const struct pool *pool,
                                struct rank_above *last)
{
    struct rank_above best = {0, 0};
    struct lane *most = NULL;

    for (size_t i = 0; i < b->dispatch.lane_count; i++) {
        struct lane *lane = b->dispatch.lanes[i];
        struct rank_above here = {surplus_of (lane), i};

        if (lane->pool != pool || here.above == 0 || !is_next (here, *last) ||
            (most && !is_next (best, here)))
            continue;
        best = here;
        most = lane;
    }
    *last = best;
    return most;
}

/* Reservations that may lie idle: its shim knows for how long. */
static unsigned idle_slots (const struct broker *b, const struct session *s,
                            int64_t now)
{
    struct lease **leases;
    size_t count = leases_of (&b->leases, s->r.id, &leases);
    unsigned idle = 0;

    for (size_t i = 0; i < count; i++) {
        const struct lease_record *r = &leases[i]->r;

        idle += r->state == LEASE_ACTIVE && r->acked && !r->tree && !r->run &&
                !r->bound && now - r->granted >= b->settings.reclaim_idle_ms;
    }
    return idle;
}

static unsigned least (unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Each session is asked once in the time that it has for an answer. Returns
 * how many slots it may give back. */
static unsigned ask (struct broker *b, struct session *s, unsigned most,
                     const struct lane *whom, int64_t now, struct outbox *out)
{
    int64_t within = 2 * b->settings.timing.beat;
    unsigned count = least (most, idle_slots (b, s, now));

    if (count == 0)
        return 0;
    if (s->reclaimed_at && now - s->reclaimed_at < within)
        return count; // it has been
    s->reclaimed_at = now;
    reclaim_send (b, s, count, within, whom->project->name, out);
    return count;
}

static unsigned ask_lane (struct broker *b, const struct lane *from,
                          unsigned most, const struct lane *whom, int64_t now,
                          struct outbox *out)
{
    unsigned asked = 0;

    most = least (most, surplus_of (from));
    for (size_t i = 0; i < b->sessions.count && asked < most; i++) {
        struct session *s = b->sessions.at[i];

        if (s->project == from->project && s->pool == from->pool)
            asked += ask (b, s, most - asked, whom, now, out);
    }
    return asked;
}

static void ask_pool (struct broker *b, struct pool *pool, int64_t now,
                      struct outbox *out)
{
    struct lane *whom = who_waits (pool), *from;
    unsigned left = whom ? needed (b, whom) : 0;
    struct rank_above last = {UINT32_MAX, 0};
    bool asked = false;

    while (left && (from = next_above (b, pool, &last))) {
        unsigned count = ask_lane (b, from, left, whom, now, out);

        left -= count;
        asked |= count > 0;
    }
    if (asked) {
        pool->asked_for = whom;
        pool->kept_until = now + 2 * b->settings.timing.beat;
    }
}

void reclaim_ask (struct broker *b, int64_t now, struct outbox *out)
{
    if (!b->settings.reclaim || !b->dispatch.policy->surplus)
        return;
    for (size_t i = 0; i < b->pools.count; i++)
        ask_pool (b, b->pools.at[i], now, out);
}
