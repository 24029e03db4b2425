/* SPDX-License-Identifier: MPL-2.0 */
#include "core/dispatch_parts.h"

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
    if (d->lanes[i]->pool->asked_for == d->lanes[i])
        d->lanes[i]->pool->asked_for = NULL;
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
}

static void take_out (struct ticket *t)
{
    ranks_remove (tree_of (t), &t->node);
    note_first (t->lane);
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

void dispatch_add (struct dispatch *d, struct lane *lane, struct ticket *t,
                   int64_t now)
{
    if (t->back)
        put_ahead (d, lane);
    t->lane = lane;
    t->decided = 0;
    t->refused = false;
    insert (d, t);
    gather (d, t, now);
}

void dispatch_decide (struct ticket *t, unsigned amount)
{
    struct lane *lane = t->lane;

    t->decided = amount;
    t->refused = amount == 0;
    lane->pool->decided++;
    lane->pool->planned += amount;
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
    lane->pool->planned -= t->decided;
    lane->decided--;
    lane->decided_sum -= t->count;
    lane->planned -= t->decided;
    lane->project->planned -= t->decided;
    t->decided = 0;
    t->refused = false;
}

void dispatch_remove (struct dispatch *d, struct ticket *t)
{
    struct lane *lane = t->lane;
    struct pool *pool = lane->pool;

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
    t->lane = NULL;
}

static void reorder_lane (struct dispatch *d, struct lane *lane)
{
    struct ticket *list = NULL, *t;

    /* The keys of all change: so they are all taken out first. */
    while ((t = lane_first (lane))) {
        take_out (t);
        t->node.right = list ? &list->node : NULL;
        list = t;
    }
    while ((t = list)) {
        list = ticket_of (t->node.right);
        insert (d, t);
    }
}

void dispatch_reorder (struct dispatch *d, const struct scheduler *policy)
{
    bool same = policy == d->policy;

    dispatch_rethink (d);
    d->policy = policy;
    for (size_t i = 0; !same && i < d->pools->count; i++) {
        d->pools->at[i]->gather_until = 0;
        d->pools->at[i]->kept = d->pools->at[i]->asked_for = NULL;
    }
    for (size_t i = 0; i < d->lane_count; i++)
        reorder_lane (d, d->lanes[i]);
}

/* Who gathers goes on, and what is kept for somebody is kept for him. */
void dispatch_rethink (struct dispatch *d)
{
    d->sum_blocker = NULL;
    for (size_t i = 0; i < d->pools->count; i++) {
        struct pool *pool = d->pools->at[i];

        dispatch_void (d, pool);
        pool->turn = NULL;
    }
    for (size_t i = 0; i < d->lane_count; i++)
        d->lanes[i]->project->cap_blocker = NULL;
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
