/* SPDX-License-Identifier: MPL-2.0 */
/* The walk: who is served next. */
#include "core/dispatch_parts.h"

#include <assert.h>

/* ---- what there is ---- */

static unsigned least (uint64_t a, uint64_t b)
{
    return (unsigned) (a < b ? a : b);
}

static unsigned room_below (unsigned limit, unsigned used)
{
    return limit > used ? limit - used : 0;
}

int64_t dispatch_free_here (const struct pool *pool)
{
    return (int64_t) pool_effective (pool) - pool->in_use;
}

int64_t dispatch_free_in_sum (const struct dispatch *d)
{
    return (int64_t) d->settings->max_slots + d->bonus - d->in_use;
}

int64_t dispatch_free (const struct dispatch *d, const struct pool *pool)
{
    int64_t here = dispatch_free_here (pool), sum = dispatch_free_in_sum (d);

    return here < sum ? here : sum;
}

/* What is decided for the project elsewhere is as good as held. */
unsigned dispatch_cap_room (const struct ticket *t)
{
    const struct project *p = t->lane->project;
    unsigned planned = t->decided ? 0 : p->planned;

    return room_below (p->max, project_counted (p) + planned);
}

/* What cap and session leave of what it wants. */
static unsigned room_of_owner (const struct ticket *t)
{
    unsigned room = least (t->count, dispatch_cap_room (t));

    return least (room, ticket_room (t));
}

unsigned dispatch_room (const struct dispatch *d, const struct ticket *t)
{
    int64_t free = dispatch_free (d, t->lane->pool);

    return free > 0 ? least (room_of_owner (t), (uint64_t) free) : 0;
}

bool dispatch_is_paused (const struct ticket *t, int64_t now)
{
    return t->lane->project->said.paused || t->holder->paused_until > now;
}

bool dispatch_is_gathering (const struct ticket *t)
{
    const struct pool *pool = t->lane->pool;

    return pool->gather_until && !t->back && t->number >= pool->gather_from;
}

/* ---- the walk ---- */

/* `fair` decides by more than age: so who is kept waiting by what all hosts
 * share stays first in line for it from walk to walk. */
static bool comes_after (const struct dispatch *d, const struct ticket *t,
                         const struct ticket *first)
{
    return !d->policy->surplus || first->number < t->number;
}

bool dispatch_is_behind_cap (const struct dispatch *d, const struct ticket *t)
{
    const struct ticket *first = t->lane->project->cap_blocker;

    return first && first->lane != t->lane && comes_after (d, t, first);
}

bool dispatch_is_behind_sum (const struct dispatch *d, const struct ticket *t)
{
    const struct ticket *first = d->sum_blocker;

    return first && first->lane->pool != t->lane->pool &&
           comes_after (d, t, first);
}

static bool sum_is_short (const struct dispatch *d, const struct ticket *t)
{
    return dispatch_free_here (t->lane->pool) >= t->min &&
           dispatch_free_in_sum (d) < t->min;
}

/* Health withholds what would do, or there is not enough. */
static enum reason lack_of (const struct dispatch *d, const struct pool *pool,
                            unsigned min)
{
    int64_t healthy = (int64_t) pool->max_slots - pool->in_use;

    return healthy >= min && dispatch_free_in_sum (d) >= min ? REASON_HEALTH
                                                             : REASON_SLOTS;
}

double dispatch_load_limit (const struct dispatch *d, const struct pool *pool)
{
    return settings_limits (d->settings, pool->cores).load_average;
}

/* The load with what has just started would be at its limit: for a while the
 * rest waits to see. No figure, no limit or no pace: nothing to wait for. */
bool dispatch_is_ramping (const struct dispatch *d, const struct pool *pool)
{
    double load = pool->health.sample.load1;
    unsigned credit = ramp_credit (&pool->ramp);

    return d->settings->grant_burst > 0 && pool->health.sampled && credit > 0 &&
           load + credit >= dispatch_load_limit (d, pool);
}

/* May `amount` agents start there now? When not, says when to ask again. */
static bool keeps_pace (const struct dispatch *d, struct pool *pool,
                        unsigned amount, int64_t now)
{
    if (!pool_pace (pool, amount, d->settings->grant_burst, now))
        return false;
    if (!dispatch_is_ramping (d, pool))
        return true;
    pool->paced_until = ramp_next (now);
    return false;
}

/* The first test that a head fails. */
static enum reason judge (const struct dispatch *d, const struct ticket *t,
                          int64_t now, unsigned *ret_amount)
{
    struct pool *pool = t->lane->pool;
    int64_t free = dispatch_free (d, pool);
    unsigned amount;

    if (dispatch_is_paused (t, now))
        return REASON_PAUSED;
    if (d->disk_full)
        return REASON_DISK;
    if (d->learning)
        return REASON_LEARNING;
    if (room_of_owner (t) < t->min || dispatch_is_behind_cap (d, t))
        return REASON_CAP;
    if (t->min > pool_effective (pool) || !response_grants (&pool->response))
        return REASON_HEALTH;
    if (dispatch_is_gathering (t))
        return REASON_PACING;
    if (free < t->min)
        return lack_of (d, pool, t->min);
    if (dispatch_is_behind_sum (d, t))
        return REASON_SLOTS;
    amount = d->policy->amount (t, dispatch_room (d, t));
    if (amount == 0)
        return REASON_SLOTS;
    if (!keeps_pace (d, pool, amount, now))
        return REASON_PACING;
    *ret_amount = amount;
    return REASON_NONE;
}

/* ---- the heads, the soonest first: a heap ---- */

static void sink (struct dispatch *d, size_t at)
{
    for (size_t child; (child = 2 * at + 1) < d->heap_count; at = child) {
        struct lane *lane = d->heap[at];

        if (child + 1 < d->heap_count &&
            place_before (d->heap[child + 1]->place, d->heap[child]->place))
            child++;
        if (!place_before (d->heap[child]->place, lane->place))
            return;
        d->heap[at] = d->heap[child];
        d->heap[child] = lane;
    }
}

static void make_heap (struct dispatch *d)
{
    for (size_t i = d->heap_count / 2; i-- > 0;)
        sink (d, i);
}

static void fill_heap (struct dispatch *d)
{
    d->heap_count = 0;
    for (size_t i = 0; i < d->lane_count; i++) {
        struct lane *lane = d->lanes[i];

        if (!lane_first (lane))
            continue;
        lane->place = dispatch_place (d, lane_first (lane));
        d->heap[d->heap_count++] = lane;
    }
    make_heap (d);
}

static void drop_first (struct dispatch *d)
{
    d->heap[0] = d->heap[--d->heap_count];
    sink (d, 0);
}

/* Nobody else of that host is looked at. */
static void drop_pool (struct dispatch *d, const struct pool *pool)
{
    size_t left = 0;

    for (size_t i = 0; i < d->heap_count; i++) {
        if (d->heap[i]->pool != pool)
            d->heap[left++] = d->heap[i];
    }
    d->heap_count = left;
    make_heap (d);
}

/* Who was served has another behind him, and what is not decided any more
 * stands later than it did: nobody stands sooner than the heap has him. */
static struct ticket *next_head (struct dispatch *d)
{
    while (d->heap_count) {
        struct lane *lane = d->heap[0];
        struct ticket *t = lane_first (lane);
        struct place place;

        if (!t) {
            drop_first (d);
            continue;
        }
        place = dispatch_place (d, t);
        if (!place_before (lane->place, place))
            return t;
        lane->place = place;
        sink (d, 0);
    }
    return NULL;
}

/* It waits for something that is no concern of those behind it, unless they
 * are of its own lane. */
static bool is_passed (const struct ticket *t, enum reason reason)
{
    return reason == REASON_PAUSED || reason == REASON_DISK ||
           reason == REASON_LEARNING || reason == REASON_CAP ||
           (reason == REASON_HEALTH &&
            t->min > pool_effective (t->lane->pool)) ||
           dispatch_is_gathering (t);
}

static void pass (struct dispatch *d, struct ticket *t, enum reason reason)
{
    struct lane *lane = t->lane;

    drop_first (d);
    lane->passed = reason != REASON_DISK && reason != REASON_LEARNING;
    lane->why = reason;
    if (reason == REASON_CAP && dispatch_cap_room (t) < t->min &&
        !lane->project->cap_blocker)
        lane->project->cap_blocker = t;
}

static void block (struct dispatch *d, struct ticket *t, enum reason reason)
{
    struct pool *pool = t->lane->pool;

    pool->blocker = t;
    pool->why = reason;
    drop_pool (d, pool);
    if (reason == REASON_SLOTS && sum_is_short (d, t) && !d->sum_blocker)
        d->sum_blocker = t;
}

/* What keeps others waiting over all hosts, where that is to last from walk to
 * walk: but only while it is so. */
static void keep_firsts (struct dispatch *d)
{
    bool lasts = d->policy->surplus != NULL;

    if (d->sum_blocker && !(lasts && sum_is_short (d, d->sum_blocker)))
        d->sum_blocker = NULL;
    for (size_t i = 0; i < d->projects->count; i++) {
        struct project *p = d->projects->at[i];

        if (p->cap_blocker && !(lasts && dispatch_cap_room (p->cap_blocker) <
                                             p->cap_blocker->min))
            p->cap_blocker = NULL;
    }
}

/* All lanes, from their first; again where a decision was made anew, since
 * that may be for somebody who has been looked at. */
static void open_lanes (struct dispatch *d, int64_t now)
{
    keep_firsts (d);
    for (size_t i = 0; i < d->pools->count; i++) {
        struct pool *pool = d->pools->at[i];

        pool->blocker = NULL;
        pool->why = REASON_NONE;
        pool->paced_until = 0;
        ramp_note (&pool->ramp, pool->in_use, now);
        if (pool->gather_until && pool->gather_until <= now)
            pool->gather_until = 0;
        if (pool->asked_for)
            pool->kept = pool->asked_for;
        pool->asked_for = NULL;
        if (pool->kept && (pool->kept_until <= now || !lane_first (pool->kept)))
            pool->kept = NULL;
    }
    for (size_t i = 0; i < d->lane_count; i++) {
        struct lane *lane = d->lanes[i];

        lane->passed = false;
    }
    if (d->policy->prepare)
        d->policy->prepare (d, now);
    fill_heap (d);
}

void dispatch_begin (struct dispatch *d, int64_t now)
{
    d->rethought = false;
    open_lanes (d, now);
}

/* What was decided earlier cannot be kept: health or a limit has changed. */
static bool think_again (struct dispatch *d, const struct ticket *t,
                         int64_t now)
{
    bool first = !d->rethought;

    if (!t->decided)
        return false;
    dispatch_void (d, t->lane->pool);
    d->rethought = true;
    if (first)
        open_lanes (d, now);
    return true;
}

/* Nothing of an earlier decision is left: now others are thought of. */
static bool think_on (struct dispatch *d, const struct ticket *t, int64_t now)
{
    const struct pool *pool = t->lane->pool;

    if (!d->policy->prepare || !pool->behind || pool->decided)
        return false;
    open_lanes (d, now);
    return true;
}

bool dispatch_next (struct dispatch *d, int64_t now,
                    struct decision *ret_decision)
{
    struct ticket *t;

    while ((t = next_head (d))) {
        unsigned amount = 0;
        enum reason reason;

        if (think_on (d, t, now))
            continue;
        reason = judge (d, t, now, &amount);
        if (reason != REASON_NONE && reason != REASON_PACING &&
            think_again (d, t, now))
            continue;
        if (reason == REASON_NONE ||
            (t->nowait && !dispatch_is_gathering (t))) {
            if (amount == 0) // others may have its share, and its place
                t->lane->pool->behind = true;
            *ret_decision = (struct decision){t, amount, reason};
            return true;
        }
        if (is_passed (t, reason))
            pass (d, t, reason);
        else
            block (d, t, reason);
    }
    return false;
}

void dispatch_take (struct dispatch *d, struct ticket *t, unsigned amount,
                    int64_t now)
{
    struct lane *lane = t->lane;
    struct pool *pool = lane->pool;

    assert (amount <= dispatch_free (d, pool)); // I1
    dispatch_remove (d, t);
    lane->held += amount;
    lane->project->held += amount;
    pool->in_use += amount;
    d->in_use += amount;
    pool_spend (pool, amount, d->settings->grant_burst, now);
    ramp_note (&pool->ramp, pool->in_use, now);
}
