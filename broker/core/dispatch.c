/* SPDX-License-Identifier: MPL-2.0 */
#include "core/dispatch.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/memory.h"

const char *reason_name (enum reason reason)
{
    switch (reason) {
    case REASON_NONE: return "NONE";
    case REASON_PAUSED: return "PAUSED";
    case REASON_DISK: return "DISK";
    case REASON_LEARNING: return "LEARNING";
    case REASON_TURN: return "TURN";
    case REASON_CAP: return "CAP";
    case REASON_HEALTH: return "HEALTH";
    case REASON_SLOTS: return "SLOTS";
    case REASON_PACING: return "PACING";
    }
    return "?";
}

void dispatch_init (struct dispatch *d, const struct settings *settings,
                    struct pools *pools, struct projects *projects)
{
    *d = (struct dispatch){.settings = settings,
                           .pools = pools,
                           .projects = projects,
                           .policy = policy_of (settings->policy)};
}

void dispatch_drop (struct dispatch *d)
{
    for (size_t i = 0; i < d->lane_count; i++)
        free (d->lanes[i]);
    free (d->lanes);
    free (d->heap);
    d->lanes = d->heap = NULL;
    d->lane_count = d->lane_room = 0;
}

/* ---- lanes ---- */

struct lane *dispatch_lane (struct dispatch *d, struct pool *pool,
                            struct project *project)
{
    struct lane *lane;

    for (size_t i = 0; i < d->lane_count; i++) {
        lane = d->lanes[i];
        if (lane->pool == pool && lane->project == project)
            return lane;
    }
    if (d->lane_count == d->lane_room) {
        d->lane_room = d->lane_room ? 2 * d->lane_room : 8;
        d->lanes = resized (d->lanes, d->lane_room, sizeof (struct lane *));
        d->heap = resized (d->heap, d->lane_room, sizeof (struct lane *));
    }
    lane = new_zeroed (sizeof *lane);
    lane->pool = pool;
    lane->project = project;
    d->lanes[d->lane_count++] = lane;
    return lane;
}

static void forget (struct dispatch *d, size_t i)
{
    assert (!lane_first (d->lanes[i]));
    if (d->lanes[i]->pool->kept == d->lanes[i])
        d->lanes[i]->pool->kept = NULL;
    free (d->lanes[i]);
    d->lane_count--;
    memmove (d->lanes + i, d->lanes + i + 1,
             (d->lane_count - i) * sizeof (struct lane *));
}

void dispatch_forget_pool (struct dispatch *d, const struct pool *pool)
{
    for (size_t i = d->lane_count; i-- > 0;) {
        if (d->lanes[i]->pool == pool)
            forget (d, i);
    }
}

void dispatch_forget_project (struct dispatch *d, const struct project *project)
{
    for (size_t i = d->lane_count; i-- > 0;) {
        if (d->lanes[i]->project == project)
            forget (d, i);
    }
}

static struct ticket *ticket_of (struct rank_node *node)
{
    return node ? (struct ticket *) ((char *) node -
                                     offsetof (struct ticket, node))
                : NULL;
}

static struct ranks *tree_of (struct ticket *t)
{
    return t->back ? &t->lane->back : &t->lane->queue;
}

struct ticket *lane_first (const struct lane *lane)
{
    return lane->first;
}

static void note_first (struct lane *lane)
{
    struct rank_node *node = ranks_first (&lane->back);

    lane->first = ticket_of (node ? node : ranks_first (&lane->queue));
}

struct ticket *lane_next (const struct ticket *t)
{
    struct rank_node *node = ranks_next (&t->node);

    if (!node && t->back)
        node = ranks_first (&t->lane->queue);
    return ticket_of (node);
}

size_t lane_count (const struct lane *lane)
{
    return (size_t) (ranks_count (&lane->back) + ranks_count (&lane->queue));
}

uint64_t lane_wanted (const struct lane *lane)
{
    return ranks_sum (&lane->back) + ranks_sum (&lane->queue);
}

/* ---- tickets ---- */

static void insert (struct dispatch *d, struct ticket *t)
{
    t->node = (struct rank_node){
        .key = d->policy->key (t, d->settings),
        .number = t->number,
        .weight = t->count,
    };
    ranks_insert (tree_of (t), &t->node);
    note_first (t->lane);
    t->lane->pool->backs += t->back;
    t->order = (struct rank_node){0};
    if (d->policy->surplus || t->back)
        return;
    t->order = t->node;
    ranks_insert (&t->lane->pool->order, &t->order);
}

static void take_out (struct ticket *t)
{
    struct pool *pool = t->lane->pool;

    ranks_remove (tree_of (t), &t->node);
    note_first (t->lane);
    pool->backs -= t->back;
    if (t->order.count)
        ranks_remove (&pool->order, &t->order);
}

/* The queue of its host has moved by so much, at most: rank and slots ahead of
 * nobody changed by more (round.c asks again whom that concerns). */
static void moved (struct pool *pool, uint64_t by)
{
    pool->moved += by;
}

/* Where lanes are merged by what they have beyond their share: each step of one
 * may carry it past a ticket of every other one, and each of those past one of
 * it. */
static void lane_moved (const struct dispatch *d, struct lane *lane,
                        uint64_t by)
{
    moved (lane->pool, by + lane->pool->largest);
    lane->moved += (by + lane->pool->largest) * d->lane_count;
}

static void gather (const struct dispatch *d, const struct ticket *t,
                    int64_t now)
{
    struct pool *pool = t->lane->pool;

    if (!d->policy->surplus || t->back || pool->gather_until)
        return;
    pool->gather_until = now + d->settings->timing.gather;
    pool->gather_from = t->number;
}

/* Ahead of what is decided, or of whose turn it is: that is over. */
static void put_ahead (struct dispatch *d, struct lane *lane)
{
    struct pool *pool = lane->pool;

    if (lane->decided)
        dispatch_void (d, pool);
    if (pool->turn && pool->turn->lane == lane && !pool->turn->back)
        pool->turn = NULL;
}

/* Parked trees that want to go on stand where the first of the others does. */
static uint64_t taken_along (const struct lane *lane, const struct ticket *t)
{
    return t->back ? 0 : ranks_sum (&lane->back);
}

void dispatch_add (struct dispatch *d, struct lane *lane, struct ticket *t,
                   int64_t now)
{
    if (t->back)
        put_ahead (d, lane);
    t->lane = lane;
    t->decided = 0;
    t->refused = false;
    if (t->count > lane->pool->largest)
        lane->pool->largest = t->count;
    insert (d, t);
    gather (d, t, now);
    moved (lane->pool, t->count + taken_along (lane, t));
    if (t->back && d->policy->surplus) // all others of its lane step back
        lane_moved (d, lane, t->count);
}

void dispatch_decide (struct ticket *t, unsigned amount)
{
    struct lane *lane = t->lane;

    t->decided = amount;
    t->refused = amount == 0;
    lane->pool->decided++;
    lane->decided++;
    lane->decided_sum += t->count;
    lane->planned += amount;
    lane->project->planned += amount;
}

static void undecide (struct ticket *t)
{
    struct lane *lane = t->lane;

    if (!t->decided && !t->refused)
        return;
    lane->pool->decided--;
    lane->decided--;
    lane->decided_sum -= t->count;
    lane->planned -= t->decided;
    lane->project->planned -= t->decided;
    t->decided = 0;
    t->refused = false;
}

/* Lanes are merged by how much they have beyond their share, and by what stands
 * before a ticket in its own: who leaves from the front carries as much with
 * him as he takes; from elsewhere all behind him come forward. */
static void leave (const struct dispatch *d, const struct ticket *t)
{
    struct lane *lane = t->lane;

    if (t == lane_first (lane))
        lane->gone += t->count;
    else
        lane_moved (d, lane, t->count);
}

void dispatch_remove (struct dispatch *d, struct ticket *t)
{
    struct lane *lane = t->lane;
    struct pool *pool = lane->pool;

    if (d->policy->surplus)
        leave (d, t);
    take_out (t);
    undecide (t);
    if (pool->blocker == t)
        pool->blocker = NULL;
    if (pool->turn == t)
        pool->turn = NULL;
    if (d->sum_blocker == t)
        d->sum_blocker = NULL;
    if (lane->project->cap_blocker == t)
        lane->project->cap_blocker = NULL;
    moved (pool, t->count + taken_along (lane, t));
    t->lane = NULL;
}

static void reorder_lane (struct dispatch *d, struct lane *lane)
{
    struct ticket *list = NULL, *t;

    /* The keys of all change: so they are all taken out first. */
    while ((t = lane_first (lane))) {
        undecide (t);
        take_out (t);
        t->node.right = list ? &list->node : NULL;
        list = t;
    }
    while ((t = list)) {
        list = ticket_of (t->node.right);
        insert (d, t);
        moved (lane->pool, t->count);
    }
}

void dispatch_reorder (struct dispatch *d, const struct scheduler *policy)
{
    bool same = policy == d->policy;

    d->policy = policy;
    d->sum_blocker = NULL;
    for (size_t i = 0; i < d->pools->count; i++) {
        struct pool *pool = d->pools->at[i];

        pool->turn = NULL;
        pool->kept = NULL;
        pool->behind = false;
        if (!same) // who gathers goes on
            pool->gather_until = 0;
    }
    for (size_t i = 0; i < d->lane_count; i++) {
        d->lanes[i]->project->cap_blocker = NULL;
        reorder_lane (d, d->lanes[i]);
    }
}

void dispatch_void (struct dispatch *d, struct pool *pool)
{
    for (size_t i = 0; pool->decided && i < d->lane_count; i++) {
        struct lane *lane = d->lanes[i];

        for (struct ticket *t = lane->pool == pool ? lane_first (lane) : NULL;
             t && lane->decided; t = lane_next (t))
            undecide (t);
    }
    if (pool->turn && pool->turn != lane_first (pool->turn->lane))
        pool->turn = NULL; // that was part of it
}

/* ---- places ---- */

static uint64_t ahead_in_lane (const struct ticket *t)
{
    const struct lane *lane = t->lane;
    uint64_t count, sum;

    if (t->back) {
        ranks_before (&lane->back, &t->node, &count, &sum);
        return sum;
    }
    ranks_before (&lane->queue, &t->node, &count, &sum);
    return sum + ranks_sum (&lane->back);
}

static struct place place_of_node (const struct rank_node *node)
{
    return (struct place){PLACE_QUEUED, node->key, node->number};
}

/* A parked tree that comes back stands where its project's first request
 * stands, if that is sooner: ahead of these, and of nobody else's. */
static struct place place_in_order (const struct ticket *t)
{
    struct place place = place_of_node (&t->node), first;
    const struct rank_node *node =
        t->back ? ranks_first (&t->lane->queue) : NULL;

    if (!node)
        return place;
    first = place_of_node (node);
    return place_before (first, place) ? first : place;
}

static enum place_level level_of (const struct ticket *t, int64_t surplus)
{
    const struct pool *pool = t->lane->pool;

    if (t->decided || t->refused)
        return PLACE_DECIDED;
    if (pool->turn == t)
        return PLACE_TURN;
    return pool->kept == t->lane && surplus < 0 ? PLACE_KEPT : PLACE_QUEUED;
}

static struct place place_of (const struct dispatch *d, const struct ticket *t)
{
    int64_t surplus;

    if (!d->policy->surplus)
        return place_in_order (t);
    surplus = d->policy->surplus (t->lane, ahead_in_lane (t));
    return (struct place){level_of (t, surplus), surplus, t->number};
}

/* So many of a lane, from its first, and what they want. */
struct share {
    uint64_t count, sum;
};

/* By what the lane has beyond its target alone. */
static struct share below_surplus (const struct dispatch *d,
                                   const struct lane *lane, int64_t key,
                                   uint64_t number)
{
    int64_t start = d->policy->surplus (lane, 0);
    int64_t behind = start + (int64_t) ranks_sum (&lane->back);
    struct share back, queued;

    ranks_below_sum (&lane->back, start, key, number, &back.count, &back.sum);
    ranks_below_sum (&lane->queue, behind, key, number, &queued.count,
                     &queued.sum);
    return (struct share){back.count + queued.count, back.sum + queued.sum};
}

static struct share larger (struct share a, struct share b)
{
    return a.count > b.count ? a : b;
}

static struct share before_level (const struct dispatch *d,
                                  const struct lane *lane,
                                  enum place_level level)
{
    struct share share = {lane->decided, lane->decided_sum};
    const struct ticket *turn = lane->pool->turn;

    if (level > PLACE_TURN && turn && turn->lane == lane && !turn->decided) {
        share.count++;
        share.sum += turn->count;
    }
    if (level > PLACE_KEPT && lane->pool->kept == lane)
        share = larger (share, below_surplus (d, lane, 0, 0));
    return share;
}

static struct share before_surplus (const struct dispatch *d,
                                    const struct lane *lane, struct place place)
{
    struct share by_level = before_level (d, lane, place.level),
                 by_key = below_surplus (d, lane, place.key, place.number);

    switch (place.level) {
    case PLACE_DECIDED:
        return by_key.count < by_level.count ? by_key : by_level;
    case PLACE_TURN:
    case PLACE_KEPT: return by_level;
    case PLACE_QUEUED: break;
    }
    return larger (by_key, by_level);
}

/* How many of a lane stand before that place, and what they want. */
static void count_before (const struct dispatch *d, const struct lane *lane,
                          struct place place, uint64_t *ret_count,
                          uint64_t *ret_sum)
{
    uint64_t back, back_sum, queued, queued_sum;

    if (d->policy->surplus) {
        struct share share = before_surplus (d, lane, place);

        *ret_count = share.count;
        *ret_sum = share.sum;
        return;
    }
    ranks_below (&lane->queue, place.key, place.number, &queued, &queued_sum);
    ranks_below (&lane->back, place.key, place.number, &back, &back_sum);
    if (queued) { // those that come back stand before all of these
        back = ranks_count (&lane->back);
        back_sum = ranks_sum (&lane->back);
    }
    *ret_count = back + queued;
    *ret_sum = back_sum + queued_sum;
}

static void count_own (const struct ticket *t, uint64_t *ret_count,
                       uint64_t *ret_sum)
{
    const struct lane *lane = t->lane;

    if (t->back) {
        ranks_before (&lane->back, &t->node, ret_count, ret_sum);
        return;
    }
    ranks_before (&lane->queue, &t->node, ret_count, ret_sum);
    *ret_count += ranks_count (&lane->back);
    *ret_sum += ranks_sum (&lane->back);
}

/* Of those that come back to that lane, the ones before `t`. */
static struct share backs_before (const struct lane *lane,
                                  const struct ticket *t, struct place place)
{
    struct share all = {ranks_count (&lane->back), ranks_sum (&lane->back)};
    struct share queued, back;

    if (lane == t->lane && !t->back)
        return all;
    ranks_below (&lane->queue, place.key, place.number, &queued.count,
                 &queued.sum);
    if (lane != t->lane && queued.count)
        return all;
    if (lane == t->lane)
        ranks_before (&lane->back, &t->node, &back.count, &back.sum);
    else
        ranks_below (&lane->back, place.key, place.number, &back.count,
                     &back.sum);
    return back;
}

/* Where a key says all: one tree has them in order. */
static void rank_in_order (const struct dispatch *d, const struct ticket *t,
                           uint64_t *ret_count, uint64_t *ret_sum)
{
    const struct pool *pool = t->lane->pool;
    struct place place = place_of (d, t);

    ranks_below (&pool->order, place.key, place.number, ret_count, ret_sum);
    for (size_t i = 0; pool->backs && i < d->lane_count; i++) {
        const struct lane *lane = d->lanes[i];
        struct share back;

        if (lane->pool != pool || !ranks_count (&lane->back))
            continue;
        back = backs_before (lane, t, place);
        *ret_count += back.count;
        *ret_sum += back.sum;
    }
}

/* Those of its host that are before it, and what they want. */
static void rank (const struct dispatch *d, const struct ticket *t,
                  uint64_t *ret_count, uint64_t *ret_sum)
{
    struct place place;

    if (!d->policy->surplus) {
        rank_in_order (d, t, ret_count, ret_sum);
        return;
    }
    place = place_of (d, t);
    *ret_count = *ret_sum = 0;
    for (size_t i = 0; i < d->lane_count; i++) {
        const struct lane *lane = d->lanes[i];
        uint64_t count, sum;

        if (lane->pool != t->lane->pool)
            continue;
        if (lane == t->lane)
            count_own (t, &count, &sum);
        else
            count_before (d, lane, place, &count, &sum);
        *ret_count += count;
        *ret_sum += sum;
    }
}

/* ---- what there is ---- */

static unsigned least (uint64_t a, uint64_t b)
{
    return (unsigned) (a < b ? a : b);
}

static unsigned room_below (unsigned limit, unsigned used)
{
    return limit > used ? limit - used : 0;
}

static int64_t free_here (const struct pool *pool)
{
    return (int64_t) pool_effective (pool) - pool->in_use;
}

static int64_t free_in_sum (const struct dispatch *d)
{
    return (int64_t) d->settings->max_slots + d->bonus - d->in_use;
}

int64_t dispatch_free (const struct dispatch *d, const struct pool *pool)
{
    int64_t here = free_here (pool), sum = free_in_sum (d);

    return here < sum ? here : sum;
}

/* What is decided for the project elsewhere is as good as held. */
static unsigned cap_room (const struct ticket *t)
{
    const struct project *p = t->lane->project;
    unsigned planned = t->decided ? 0 : p->planned;

    return room_below (p->max, project_counted (p) + planned);
}

/* What cap and session leave of what it wants. */
static unsigned room_of_owner (const struct ticket *t)
{
    unsigned room = least (t->count, cap_room (t));

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

static bool is_behind_cap (const struct dispatch *d, const struct ticket *t)
{
    const struct ticket *first = t->lane->project->cap_blocker;

    return first && first->lane != t->lane && comes_after (d, t, first);
}

static bool is_behind_sum (const struct dispatch *d, const struct ticket *t)
{
    const struct ticket *first = d->sum_blocker;

    return first && first->lane->pool != t->lane->pool &&
           comes_after (d, t, first);
}

static bool sum_is_short (const struct dispatch *d, const struct ticket *t)
{
    return free_here (t->lane->pool) >= t->min && free_in_sum (d) < t->min;
}

/* Health withholds what would do, or there is not enough. */
static enum reason lack_of (const struct dispatch *d, const struct pool *pool,
                            unsigned min)
{
    int64_t healthy = (int64_t) pool->max_slots - pool->in_use;

    return healthy >= min && free_in_sum (d) >= min ? REASON_HEALTH
                                                    : REASON_SLOTS;
}

static double load_limit (const struct dispatch *d, const struct pool *pool)
{
    return settings_limits (d->settings, pool->cores).load_average;
}

/* The load with what has just started would be at its limit: for a while the
 * rest waits to see. No figure, no limit or no pace: nothing to wait for. */
static bool is_ramping (const struct dispatch *d, const struct pool *pool)
{
    double load = pool->health.sample.load1;
    unsigned credit = ramp_credit (&pool->ramp);

    return d->settings->grant_burst > 0 && pool->health.sampled && credit > 0 &&
           load + credit >= load_limit (d, pool);
}

/* May `amount` agents start there now? When not, says when to ask again. */
static bool keeps_pace (const struct dispatch *d, struct pool *pool,
                        unsigned amount, int64_t now)
{
    if (!pool_pace (pool, amount, d->settings->grant_burst, now))
        return false;
    if (!is_ramping (d, pool))
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
    if (room_of_owner (t) < t->min || is_behind_cap (d, t))
        return REASON_CAP;
    if (t->min > pool_effective (pool) || !response_grants (&pool->response))
        return REASON_HEALTH;
    if (dispatch_is_gathering (t))
        return REASON_PACING;
    if (free < t->min)
        return lack_of (d, pool, t->min);
    if (is_behind_sum (d, t))
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

static void fill_heap (struct dispatch *d)
{
    d->heap_count = 0;
    for (size_t i = 0; i < d->lane_count; i++) {
        struct lane *lane = d->lanes[i];

        if (!lane_first (lane))
            continue;
        lane->place = place_of (d, lane_first (lane));
        d->heap[d->heap_count++] = lane;
    }
    for (size_t i = d->heap_count / 2; i-- > 0;)
        sink (d, i);
}

static void drop_first (struct dispatch *d)
{
    d->heap[0] = d->heap[--d->heap_count];
    sink (d, 0);
}

/* Who was served has another behind him, and what is not decided any more
 * stands later than it did: nobody stands sooner than the heap has him. */
static struct ticket *next_head (struct dispatch *d)
{
    while (d->heap_count) {
        struct lane *lane = d->heap[0];
        struct ticket *t = lane_first (lane);
        struct place place;

        if (!t || lane->pool->blocker) {
            drop_first (d);
            continue;
        }
        place = place_of (d, t);
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
    if (reason == REASON_CAP && cap_room (t) < t->min &&
        !lane->project->cap_blocker)
        lane->project->cap_blocker = t;
}

static void block (struct dispatch *d, struct ticket *t, enum reason reason)
{
    struct pool *pool = t->lane->pool;

    pool->blocker = t;
    pool->why = reason;
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

        if (p->cap_blocker &&
            !(lasts && cap_room (p->cap_blocker) < p->cap_blocker->min))
            p->cap_blocker = NULL;
    }
}

static uint64_t distance (int64_t a, int64_t b)
{
    return (uint64_t) (a > b ? a - b : b - a);
}

static void note_free (const struct dispatch *d, struct pool *pool)
{
    int64_t free = dispatch_free (d, pool), before = pool->free_before;

    moved (pool, distance (free, before));
    pool->free_before = free;
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

/* What of a lane that was passed over stands before the blocker: nobody
 * behind it counts that as slots ahead. */
static uint64_t passed_before (const struct dispatch *d,
                               const struct lane *lane)
{
    const struct ticket *blocker = lane->pool->blocker;
    uint64_t count, sum;

    if (!lane->passed)
        return 0;
    if (!blocker || lane->why == REASON_PAUSED)
        return lane_wanted (lane);
    count_before (d, lane, place_of (d, blocker), &count, &sum);
    return sum;
}

static void note_surplus (const struct dispatch *d, struct lane *lane)
{
    int64_t start =
        d->policy->surplus ? d->policy->surplus (lane, 0) - lane->gone : 0;
    uint64_t by = distance (start, lane->start_before);

    if (by)
        lane_moved (d, lane, by);
    if (lane->decided != lane->decided_before) // they go ahead of everybody
        moved (lane->pool, lane->pool->largest * d->lane_count);
    lane->start_before = start;
    lane->decided_before = lane->decided;
}

/* How far the walk has moved those who stay. */
static void end (struct dispatch *d)
{
    for (size_t i = 0; i < d->lane_count; i++) {
        struct lane *lane = d->lanes[i];
        uint64_t passed = passed_before (d, lane);

        moved (lane->pool,
               distance ((int64_t) passed, (int64_t) lane->passed_before));
        note_surplus (d, lane);
        lane->passed_before = passed;
    }
    for (size_t i = 0; i < d->pools->count; i++) {
        struct pool *pool = d->pools->at[i];

        if (pool->turn != pool->turn_before)
            moved (pool, pool->largest);
        pool->turn_before = pool->turn;
        note_free (d, pool);
    }
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
    end (d);
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

/* ---- what those are told who wait ---- */

enum reason dispatch_reason (const struct dispatch *d, const struct ticket *t,
                             int64_t now)
{
    const struct lane *lane = t->lane;
    const struct ticket *blocker = lane->pool->blocker;

    if (dispatch_is_paused (t, now))
        return REASON_PAUSED;
    if (d->disk_full)
        return REASON_DISK;
    if (d->learning)
        return REASON_LEARNING;
    if (t == blocker)
        return lane->pool->why;
    if (lane->passed && t == lane_first (lane) &&
        !(blocker && place_before (place_of (d, blocker), place_of (d, t))))
        return lane->why;
    return REASON_TURN;
}

/* Those of a lane that are left out of the sum before `t`: they are served
 * when they can be, and not before. */
static uint64_t left_out (const struct dispatch *d, const struct lane *lane,
                          const struct ticket *t, int64_t now)
{
    const struct ticket *blocker = t->lane->pool->blocker,
                        *first = lane_first (lane);
    bool paused = first && dispatch_is_paused (first, now);
    struct place until;
    uint64_t count, sum;

    if (!first || lane == t->lane || lane->pool != t->lane->pool ||
        (!paused && !lane->passed))
        return 0;
    until = place_of (d, t);
    if (!paused) {
        if (blocker && place_before (place_of (d, blocker), until))
            until = place_of (d, blocker);
    }
    count_before (d, lane, until, &count, &sum);
    return sum;
}

/* max (0, A + n - free): A is what those want that are served before it. */
static unsigned slots_ahead (const struct dispatch *d, const struct ticket *t,
                             uint64_t before, int64_t now)
{
    int64_t wanted = (int64_t) before + t->min;

    for (size_t i = 0; i < d->lane_count; i++)
        wanted -= (int64_t) left_out (d, d->lanes[i], t, now);
    wanted -= dispatch_free (d, t->lane->pool);
    if (wanted < 0)
        return 0;
    return wanted > INT32_MAX ? INT32_MAX : (unsigned) wanted;
}

static void explain_paused (const struct ticket *t, char *text, size_t size)
{
    const struct project *p = t->lane->project;

    if (!p->said.paused)
        snprintf (text, size, "two living hosts claim this identity");
    else if (p->said.reason[0])
        snprintf (text, size, "%s is paused: %.180s", p->name, p->said.reason);
    else
        snprintf (text, size, "%s is paused", p->name);
}

static void explain_cap (const struct dispatch *d, const struct ticket *t,
                         char *text, size_t size)
{
    const struct project *p = t->lane->project;

    if (is_behind_cap (d, t))
        snprintf (text, size,
                  "an older request of %s on another host comes first",
                  p->name);
    else if (cap_room (t) >= t->min)
        snprintf (text, size, "a session holds at most %d slots", MAX_HELD);
    else if (p->planned)
        snprintf (text, size, "%s holds %u of its %u, and is to have %u more",
                  p->name, project_counted (p), p->max, p->planned);
    else
        snprintf (text, size, "%s holds %u of its %u", p->name,
                  project_counted (p), p->max);
}

static void explain_turn (const struct dispatch *d, const struct ticket *t,
                          char *text, size_t size)
{
    const struct ticket *by = t->lane->pool->blocker;

    if (by && place_before (place_of (d, by), place_of (d, t)))
        snprintf (text, size, "behind %s's %u", by->lane->project->name,
                  by->count);
    else
        snprintf (text, size, "behind an earlier request of %s",
                  t->lane->project->name);
}

/* The tighter of what is free on the host, and over all hosts. */
static void explain_slots (const struct dispatch *d, const struct ticket *t,
                           char *text, size_t size)
{
    const struct pool *pool = t->lane->pool;
    int64_t free = dispatch_free (d, pool);
    bool over_all = free < free_here (pool);

    if (is_behind_sum (d, t))
        snprintf (text, size, "an older request on another host comes first");
    else
        snprintf (text, size, "%" PRId64 " of %u free%s, %u wanted%s",
                  free > 0 ? free : 0,
                  over_all ? d->settings->max_slots + d->bonus
                           : pool_effective (pool),
                  over_all ? " on all hosts" : "", t->min,
                  free < t->min ? "" : ": others are to have them");
}

static void explain_health (const struct dispatch *d, const struct ticket *t,
                            int64_t now, char *text, size_t size)
{
    const struct pool *pool = t->lane->pool;
    const struct limits limits = settings_limits (d->settings, pool->cores);
    char why[200];

    response_explain (&pool->response, &pool->health, &limits, pool->max_slots,
                      now, why, sizeof why);
    snprintf (text, size, "%s, %u wanted", why, t->min);
}

static void explain_pacing (const struct dispatch *d, const struct ticket *t,
                            int64_t now, char *text, size_t size)
{
    const struct pool *pool = t->lane->pool;

    if (dispatch_is_gathering (t))
        snprintf (text, size,
                  "what is asked for at the same time is gathered: for "
                  "%" PRId64 " ms more",
                  pool->gather_until > now ? pool->gather_until - now : 0);
    else if (is_ramping (d, pool))
        snprintf (text, size,
                  "%u have just started, and the load of %.1f (limit %.1f) "
                  "does not show them yet",
                  ramp_credit (&pool->ramp), pool->health.sample.load1,
                  load_limit (d, pool));
    else
        snprintf (text, size, "at most %u start a second: in %" PRId64 " ms",
                  d->settings->grant_burst,
                  pool->paced_until > now ? pool->paced_until - now : 0);
}

void dispatch_detail (const struct dispatch *d, const struct ticket *t,
                      enum reason reason, int64_t now, char *ret_text,
                      size_t size)
{
    char *text = ret_text;

    switch (reason) {
    case REASON_NONE: text[0] = '\0'; break;
    case REASON_PAUSED: explain_paused (t, text, size); break;
    case REASON_DISK:
        snprintf (text, size, "the broker cannot write its state");
        break;
    case REASON_LEARNING:
        snprintf (text, size, "the broker learns what is held: %" PRId64 " s",
                  (d->learning_until - now + 999) / 1000);
        break;
    case REASON_TURN: explain_turn (d, t, text, size); break;
    case REASON_CAP: explain_cap (d, t, text, size); break;
    case REASON_HEALTH: explain_health (d, t, now, text, size); break;
    case REASON_SLOTS: explain_slots (d, t, text, size); break;
    case REASON_PACING: explain_pacing (d, t, now, text, size); break;
    }
}

static void explain_at (const struct dispatch *d, const struct ticket *t,
                        uint64_t count, uint64_t sum, int64_t now,
                        struct outlook *ret_outlook)
{
    ret_outlook->position = (unsigned) count + 1;
    ret_outlook->slots_ahead = slots_ahead (d, t, sum, now);
    ret_outlook->reason = dispatch_reason (d, t, now);
    dispatch_detail (d, t, ret_outlook->reason, now, ret_outlook->detail,
                     sizeof ret_outlook->detail);
}

void dispatch_explain (const struct dispatch *d, const struct ticket *t,
                       int64_t now, struct outlook *ret_outlook)
{
    uint64_t count, sum;

    rank (d, t, &count, &sum);
    explain_at (d, t, count, sum, now, ret_outlook);
}

/* One lane while several are merged. */
struct cursor {
    struct ticket *t; // NULL: all of it was taken
    struct place place;
};

static void point_at (const struct dispatch *d, struct cursor *c,
                      struct ticket *t)
{
    c->t = t;
    if (t)
        c->place = place_of (d, t);
}

static struct cursor *first_of (struct cursor *cursors, size_t count)
{
    struct cursor *first = NULL;

    for (size_t i = 0; i < count; i++) {
        if (cursors[i].t &&
            (!first || place_before (cursors[i].place, first->place)))
            first = &cursors[i];
    }
    return first;
}

void dispatch_explain_all (const struct dispatch *d, const struct pool *pool,
                           int64_t now, dispatch_told *tell, void *who)
{
    struct cursor *cursors =
                      resized (NULL, d->lane_count + 1, sizeof (struct cursor)),
                  *c;
    uint64_t count = 0, sum = 0;

    for (size_t i = 0; i < d->lane_count; i++)
        point_at (d, &cursors[i],
                  d->lanes[i]->pool == pool ? lane_first (d->lanes[i]) : NULL);
    while ((c = first_of (cursors, d->lane_count))) {
        struct outlook outlook;

        explain_at (d, c->t, count, sum, now, &outlook);
        tell (who, c->t, &outlook);
        count++;
        sum += c->t->count;
        point_at (d, c, lane_next (c->t));
    }
    free (cursors);
}

static void sooner (int64_t *at, int64_t other)
{
    if (other && other < *at)
        *at = other;
}

int64_t dispatch_due (const struct dispatch *d, int64_t now)
{
    int64_t at = INT64_MAX;

    for (size_t i = 0; i < d->pools->count; i++) {
        sooner (&at, d->pools->at[i]->paced_until);
        sooner (&at, d->pools->at[i]->gather_until);
    }
    for (size_t i = 0; i < d->lane_count; i++) {
        const struct ticket *t = lane_first (d->lanes[i]);

        if (t && t->holder->paused_until > now)
            sooner (&at, t->holder->paused_until);
    }
    return at;
}
