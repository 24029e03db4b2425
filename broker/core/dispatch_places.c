/* SPDX-License-Identifier: MPL-2.0 */
/* Where a ticket stands, and how much stands before it. */
#include "core/dispatch_parts.h"

static uint64_t ahead_in_lane (const struct ticket *t)
{
    const struct lane *lane = t->lane;
    uint64_t count, sum;

    if (t == lane_first (lane))
        return 0;
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

struct place dispatch_place (const struct dispatch *d, const struct ticket *t)
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
void dispatch_count_before (const struct dispatch *d, const struct lane *lane,
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

/* Those of its host that are before it, and what they want. */
void dispatch_rank (const struct dispatch *d, const struct ticket *t,
                    uint64_t *ret_count, uint64_t *ret_sum)
{
    struct place place = dispatch_place (d, t);

    *ret_count = *ret_sum = 0;
    for (size_t i = 0; i < d->lane_count; i++) {
        const struct lane *lane = d->lanes[i];
        uint64_t count, sum;

        if (lane->pool != t->lane->pool)
            continue;
        if (lane == t->lane)
            count_own (t, &count, &sum);
        else
            dispatch_count_before (d, lane, place, &count, &sum);
        *ret_count += count;
        *ret_sum += sum;
    }
}
