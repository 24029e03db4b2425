/* SPDX-License-Identifier: MPL-2.0 */
/* policy_fair - to each project its share
 *
 * Each host has targets (fair.h) for what its projects hold and want. Free
 * slots go to the lane furthest below its target, ties to the older request.
 * What is asked for at about the same time is decided as a unit: requests
 * gather for a moment, then each is told how much it gets (`decided`), and
 * what the pace delays is served later from that decision. Until then the
 * targets stay as they are.
 *
 * Who wants more at once than is free (min) when it is furthest below its
 * target waits for it, and everybody else with it: its turn has come, its
 * target rises to what it needs, and it stays first until it is served. So it
 * is not starved by those who are content with less.
 */
#include "core/dispatch.h"
#include "core/fair.h"
#include "core/memory.h"

static int64_t key (const struct ticket *t, const struct settings *settings)
{
    (void) t;
    (void) settings;
    return 0;
}

static int64_t surplus (const struct lane *lane, uint64_t ahead)
{
    return (int64_t) lane->held - (int64_t) lane->target + (int64_t) ahead;
}

static unsigned amount (const struct ticket *t, unsigned room)
{
    return t->decided <= room ? t->decided : 0;
}

/* ---- targets ---- */

static unsigned least (uint64_t a, uint64_t b)
{
    return (unsigned) (a < b ? a : b);
}

static unsigned above_zero (int64_t n)
{
    return n > 0 ? (unsigned) n : 0;
}

static unsigned cap_left (const struct project *p)
{
    return above_zero ((int64_t) p->max - project_counted (p) - p->planned);
}

/* It cannot be served whatever is free, and holds back its own lane only. */
static bool is_out (const struct ticket *t, int64_t now)
{
    const struct ticket *first = t->lane->project->cap_blocker;

    return dispatch_is_paused (t, now) || dispatch_is_gathering (t) ||
           t->min > pool_effective (t->lane->pool) ||
           cap_left (t->lane->project) < t->min || ticket_room (t) < t->min ||
           (first && first->lane != t->lane && first->number < t->number);
}

/* What a lane wants that could be served. */
static uint64_t wanted (const struct lane *lane, int64_t now)
{
    const struct ticket *first = lane_first (lane);
    uint64_t count, sum;

    if (!first || is_out (first, now))
        return 0;
    if (!lane->pool->gather_until)
        return lane_wanted (lane);
    ranks_below (&lane->queue, 0, lane->pool->gather_from, &count, &sum);
    return sum + ranks_sum (&lane->back);
}

static unsigned demand (const struct lane *lane, int64_t now)
{
    uint64_t all = lane->held + wanted (lane, now);
    unsigned most = lane->held + cap_left (lane->project);

    return least (all, most);
}

static void fill_claim (const struct lane *lane, size_t i, int64_t now,
                        struct fair_claim *claim)
{
    const struct ticket *first = lane_first (lane);
    const struct project *p = lane->project;

    claim->demand = demand (lane, now);
    claim->weight = p->priority;
    claim->guarantee = p->configured ? p->configured->guarantee : 0;
    claim->order = first ? first->number : UINT64_MAX - i;
}

/* What all lanes of the host may have together. */
static unsigned slots_of (const struct dispatch *d, const struct pool *pool)
{
    return least (pool_effective (pool),
                  pool->in_use + above_zero (dispatch_free_in_sum (d)));
}

static void set_targets (struct dispatch *d, struct pool *pool, int64_t now)
{
    struct fair_claim *claims =
        resized (NULL, d->lane_count + 1, sizeof *claims);
    const struct lane *first = NULL;
    unsigned slots = slots_of (d, pool), kept = 0;
    size_t count = 0;

    if (pool->turn && is_out (pool->turn, now))
        pool->turn = NULL;
    if (pool->turn) {
        first = pool->turn->lane;
        kept = first->held + pool->turn->min;
    }
    for (size_t i = 0; i < d->lane_count; i++) {
        if (d->lanes[i]->pool == pool && d->lanes[i] != first)
            fill_claim (d->lanes[i], i, now, &claims[count++]);
    }
    fair_targets (claims, count, slots > kept ? slots - kept : 0,
                  d->settings->fair_mode);
    count = 0;
    for (size_t i = 0; i < d->lane_count; i++) {
        struct lane *lane = d->lanes[i];

        if (lane->pool == pool)
            lane->target = lane == first ? kept : claims[count++].target;
    }
    free (claims);
}

/* ---- the decision ---- */

/* What goes on while one is made. */
struct plan {
    struct dispatch *d;
    int64_t now;
    int64_t sum; // still to be had over all hosts
};

static void open_lane (struct plan *p, struct lane *lane)
{
    bool again = !lane->pool->decided; // else an earlier decision holds

    lane->cursor = again ? lane_first (lane) : NULL;
    lane->project->planned += lane->planned;
    p->sum -= lane->planned;
}

static void close_pool (struct plan *p, const struct pool *pool)
{
    for (size_t i = 0; i < p->d->lane_count; i++) {
        if (p->d->lanes[i]->pool == pool)
            p->d->lanes[i]->cursor = NULL;
    }
}

static struct place place_of (const struct lane *lane)
{
    const struct ticket *t = lane->cursor;

    int64_t key = surplus (lane, lane->planned);
    enum place_level level = PLACE_QUEUED;

    if (t == lane->pool->turn)
        level = PLACE_TURN;
    else if (lane == lane->pool->kept && key < 0)
        level = PLACE_KEPT;
    return (struct place){level, key, t->number};
}

static struct lane *next_lane (const struct plan *p)
{
    struct lane *first = NULL;
    struct place soonest, place;

    for (size_t i = 0; i < p->d->lane_count; i++) {
        struct lane *lane = p->d->lanes[i];

        if (!lane->cursor)
            continue;
        place = place_of (lane);
        if (first && !place_before (place, soonest))
            continue;
        first = lane;
        soonest = place;
    }
    return first;
}

static int64_t free_of (const struct plan *p, const struct pool *pool)
{
    int64_t here =
        (int64_t) pool_effective (pool) - pool->in_use - pool->planned;

    if (!response_grants (&pool->response))
        return 0;
    return here < p->sum ? here : p->sum;
}

static bool is_behind_sum (const struct plan *p, const struct ticket *t)
{
    const struct ticket *first = p->d->sum_blocker;

    return first && first->lane->pool != t->lane->pool &&
           first->number < t->number;
}

static void decide (struct plan *p, struct ticket *t, unsigned amount)
{
    struct pool *pool = t->lane->pool;

    dispatch_decide (t, amount);
    p->sum -= amount;
    t->lane->cursor = lane_next (t);
    if (free_of (p, pool) < 1)
        close_pool (p, pool);
}

/* As much as its lane is below its target; what is at its target borrows what
 * nobody below his waits for. */
static unsigned share_of (const struct ticket *t, int64_t free)
{
    const struct lane *lane = t->lane;
    int64_t below = (int64_t) lane->target - lane->held - lane->planned;
    unsigned room = least (t->count, cap_left (lane->project));

    room = least (room, ticket_room (t));
    room = least (room, (uint64_t) free);
    if (below <= 0)
        return room;
    return least (room, below > t->min ? (uint64_t) below : t->min);
}

static void consider (struct plan *p, struct lane *lane)
{
    struct ticket *t = lane->cursor;
    int64_t free = free_of (p, lane->pool);

    if (is_out (t, p->now))
        lane->cursor = NULL;
    else if (free < 1 || is_behind_sum (p, t))
        close_pool (p, lane->pool);
    else if (free >= t->min)
        decide (p, t, share_of (t, free));
    else if (t->nowait)
        decide (p, t, 0);
    else {
        lane->pool->turn = t;
        close_pool (p, lane->pool);
    }
}

static void sum_targets (struct dispatch *d)
{
    for (size_t i = 0; i < d->projects->count; i++)
        d->projects->at[i]->target = 0;
    for (size_t i = 0; i < d->lane_count; i++)
        d->lanes[i]->project->target += d->lanes[i]->target;
}

static void prepare (struct dispatch *d, int64_t now)
{
    struct plan p = {.d = d, .now = now, .sum = dispatch_free_in_sum (d)};
    struct lane *lane;

    for (size_t i = 0; i < d->projects->count; i++)
        d->projects->at[i]->planned = 0;
    for (size_t i = 0; i < d->pools->count; i++) {
        struct pool *pool = d->pools->at[i];

        pool->behind = pool->decided > 0;
        if (!pool->behind)
            set_targets (d, pool, now);
    }
    sum_targets (d);
    for (size_t i = 0; i < d->lane_count; i++)
        open_lane (&p, d->lanes[i]);
    if (d->disk_full || d->learning)
        return;
    while ((lane = next_lane (&p)))
        consider (&p, lane);
}

const struct scheduler policy_fair = {
    .name = "fair",
    .partial = true,
    .key = key,
    .surplus = surplus,
    .prepare = prepare,
    .amount = amount,
};
