/* SPDX-License-Identifier: MPL-2.0 */
#include "simulation/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/round.h"
#include "core/state.h"
#include "simulation/events.h"

#define LLU(n) ((unsigned long long) (n))

uint64_t model_events[MODEL_EVENTS];

const char *model_event_name (enum model_event event)
{
    static const char *const names[] = {"gathered",     "paced", "part",
                                        "borrowed",     "turn",  "taken",
                                        "thought again"};

    return names[event];
}

/* A request. */
struct wish {
    uint64_t number, session, seq;
    int64_t since, key; // key: in the order of its policy, the lower first
    int lane;
    unsigned count, min;
    bool nowait, contested, back; // back: a parked tree that wants to go on
    bool gathering;
    unsigned decided;      // `fair`: what it gets when the pace allows
    bool refused;          // or that it would not wait, and gets nothing
    bool planned;          // in the decision being made it has been looked at
    bool gone;             // granted, refused or dropped
    bool judged;           // it was its lane's first when that was looked at
    unsigned granted, got; // got: from the broker
    enum reason reason;
};

struct holding {
    uint64_t session;
    int lane;
};

/* What one project wants on one host. */
struct model_lane {
    int host, project;
    unsigned target;
    unsigned planned; // by the decision being made
    bool open;        // in it
    bool done;        // in this walk
};

/* A bucket that a grant empties and time fills: thousandths of a slot. */
struct host {
    char name[65];
    unsigned max, effective;
    int64_t bucket, at;
    int64_t level; // of the bucket, while the model grants
    unsigned used; // likewise
    struct ramp ramp;
    double load, limit; // NaN: not known, not judged
    uint64_t turn, gather_from;
    int64_t gather_until;
    bool grants; // it is not critical
    int kept;    // what was asked back is kept for that lane, -1: for none
    bool behind; // some have come since what is decided there
};

struct owner {
    const struct project *of; // while the broker has it
    char name[MAX_KEY_BYTES + 1];
    unsigned max, priority, guarantee;
    bool paused;
    uint64_t first; // its cap keeps that one waiting: others on other hosts too
};

/* As the last round left it. */
struct kept {
    uint64_t number;
    unsigned decided;
    bool turn;
};

struct model {
    struct wish *wishes;
    size_t wish_count, wish_most;
    struct holding *held;
    size_t held_count, held_most, held_before;
    struct model_lane *lanes;
    size_t lane_count, lane_most;
    struct owner *owners;
    size_t owner_count, owner_most;
    struct host hosts[MAX_HOSTS + 1];
    size_t host_count;
    struct kept *kept;
    size_t kept_count, kept_most;
    uint64_t newest; // number of a request that it has seen
    uint64_t sum;    // only the sum of all hosts keeps that one waiting
    uint64_t token;  // the next
    unsigned max, most, burst; // most: of one request
    enum policy policy;
    bool maxmin;
    int64_t aging, gather;
    bool nothing;   // disk full, or learning
    bool reordered; // since the last round
    bool begun;     // there was one
    bool rethought;
    int64_t now;
    char wrong[192]; // "": nothing was lost between the rounds
};

struct model *model_create (void)
{
    return sim_alloc (sizeof (struct model));
}

void model_destroy (struct model *m)
{
    if (!m)
        return;
    free (m->wishes);
    free (m->held);
    free (m->lanes);
    free (m->owners);
    free (m->kept);
    free (m);
}

void model_reordered (struct model *m)
{
    if (m)
        m->reordered = true;
}

/* ---- the state before ---- */

static unsigned used_of (const struct broker *b, const struct pool *p)
{
    unsigned used = 0;

    for (size_t i = 0; i < leases_count (&b->leases); i++) {
        const struct lease *l = leases_at (&b->leases, i);

        used += l->pool == p && l->r.state != LEASE_PARKED;
    }
    return used;
}

/* What has just started is a noun of its own (ramp.h): taken as it is. */
static void read_load (struct host *h, const struct broker *b,
                       const struct pool *p, int64_t now)
{
    h->load = p->health.sampled ? p->health.sample.load1 : NAN;
    h->limit = settings_limits (&b->settings, p->cores).load_average;
    h->used = used_of (b, p);
    h->ramp = p->ramp;
    ramp_note (&h->ramp, h->used, now);
}

/* A new host may start a whole burst; one that is gone is forgotten. */
static void read_hosts (struct model *m, const struct broker *b, int64_t now)
{
    static struct host before[MAX_HOSTS + 1];
    size_t count = m->host_count;

    memcpy (before, m->hosts, count * sizeof *before);
    m->host_count = b->pools.count;
    for (size_t i = 0; i < m->host_count; i++) {
        const struct pool *p = b->pools.at[i];
        struct host *h = &m->hosts[i];
        int64_t full = (int64_t) m->burst * 1000;

        *h = (struct host){.bucket = full, .at = now};
        for (size_t n = 0; n < count; n++) {
            if (strcmp (before[n].name, p->host) == 0)
                *h = before[n];
        }
        copy_text (h->name, sizeof h->name, p->host);
        h->max = p->max_slots;
        h->bucket += (now - h->at) * m->burst;
        h->bucket = h->bucket > full ? full : h->bucket;
        h->at = now;
        h->level = h->bucket;
        read_load (h, b, p, now);
        h->turn = p->turn ? p->turn->number : 0;
        h->gather_until = p->gather_until;
        h->gather_from = p->gather_from;
        h->kept = -1;
        h->behind = false;
    }
}

static int owner_of (struct model *m, const struct project *p)
{
    struct owner *o;

    for (size_t i = 0; i < m->owner_count; i++) {
        if (m->owners[i].of == p)
            return (int) i;
    }
    if (m->owner_count == m->owner_most)
        m->owners = sim_grow (m->owners, &m->owner_most, sizeof *m->owners);
    o = &m->owners[m->owner_count++];
    *o = (struct owner){
        .of = p,
        .max = p->max,
        .priority = p->priority,
        .guarantee = p->configured ? p->configured->guarantee : 0,
        .paused = p->said.paused,
        .first = p->cap_blocker ? p->cap_blocker->number : 0,
    };
    copy_text (o->name, sizeof o->name, p->name);
    return (int) (o - m->owners);
}

static int host_of (const struct broker *b, const struct pool *pool)
{
    int i = 0;

    while (b->pools.at[i] != pool)
        i++;
    return i;
}

/* Among equals it does not matter which lane comes first: but it is the same
 * one each time. */
static void read_lanes (struct model *m, const struct broker *b)
{
    m->lane_count = m->owner_count = 0;
    for (size_t i = 0; i < b->dispatch.lane_count; i++) {
        const struct lane *l = b->dispatch.lanes[i];

        if (m->lane_count == m->lane_most)
            m->lanes = sim_grow (m->lanes, &m->lane_most, sizeof *m->lanes);
        m->lanes[m->lane_count++] =
            (struct model_lane){.host = host_of (b, l->pool),
                                .project = owner_of (m, l->project),
                                .target = l->target};
    }
}

static void read_kept (struct model *m, const struct broker *b)
{
    for (size_t i = 0; i < m->lane_count; i++) {
        const struct lane *l = b->dispatch.lanes[i];

        const struct lane *kept =
            l->pool->asked_for ? l->pool->asked_for : l->pool->kept;

        if (kept == l && l->pool->kept_until > m->now && lane_first (l))
            m->hosts[m->lanes[i].host].kept = (int) i;
    }
}

static int lane_of (const struct model *m, const struct broker *b,
                    const struct pool *pool, const struct project *project)
{
    int host = host_of (b, pool), i = 0;

    while (m->lanes[i].host != host ||
           m->owners[m->lanes[i].project].of != project)
        i++;
    return i;
}

static void hold (struct model *m, uint64_t session, int lane)
{
    if (m->held_count == m->held_most)
        m->held = sim_grow (m->held, &m->held_most, sizeof *m->held);
    m->held[m->held_count++] = (struct holding){session, lane};
}

static int64_t key_of (const struct model *m, const struct wish *w,
                       unsigned own)
{
    int64_t priority = m->owners[m->lanes[w->lane].project].priority;

    if (m->policy != POLICY_PRIORITY)
        return 0;
    if (own && own < priority)
        priority = own;
    return m->aging ? w->since - m->aging * priority : -priority;
}

static void wish (struct model *m, const struct broker *b,
                  const struct waiter *waiter)
{
    const struct session *s = waiter->session;
    struct wish *w;

    if (m->wish_count == m->wish_most)
        m->wishes = sim_grow (m->wishes, &m->wish_most, sizeof *m->wishes);
    w = &m->wishes[m->wish_count++];
    *w = (struct wish){.number = waiter->r.number,
                       .session = waiter->r.session,
                       .seq = waiter->r.seq,
                       .since = waiter->r.since,
                       .lane = lane_of (m, b, s->pool, s->project),
                       .count = waiter->r.count,
                       .min = waiter->r.min,
                       .nowait = waiter->t.nowait,
                       .contested = s->holder.paused_until > m->now,
                       .back = waiter->r.parked != 0,
                       .decided = waiter->t.decided};
    w->key = key_of (m, w, waiter->r.priority);
}

/* ---- what is counted ---- */

static unsigned held_in (const struct model *m, int lane)
{
    unsigned sum = 0;

    for (size_t i = 0; i < m->held_count; i++)
        sum += m->held[i].lane == lane;
    return sum;
}

static unsigned held_on (const struct model *m, int host)
{
    unsigned sum = 0;

    for (size_t i = 0; i < m->held_count; i++) {
        int lane = m->held[i].lane;

        sum += lane >= 0 && m->lanes[lane].host == host;
    }
    return sum;
}

static unsigned held_of (const struct model *m, int project)
{
    unsigned sum = 0;

    for (size_t i = 0; i < m->held_count; i++) {
        int lane = m->held[i].lane;

        sum += lane >= 0 && m->lanes[lane].project == project;
    }
    return sum;
}

/* Parked ones too (lane -1 - n). */
static unsigned held_by (const struct model *m, uint64_t session)
{
    unsigned sum = 0;

    for (size_t i = 0; i < m->held_count; i++)
        sum += m->held[i].session == session;
    return sum;
}

static unsigned held_by_all (const struct model *m)
{
    unsigned sum = 0;

    for (size_t i = 0; i < m->held_count; i++)
        sum += m->held[i].lane >= 0;
    return sum;
}

static int64_t least (int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t positive (int64_t n)
{
    return n > 0 ? n : 0;
}

static int host_of_wish (const struct model *m, const struct wish *w)
{
    return m->lanes[w->lane].host;
}

static int64_t free_here (const struct model *m, int host)
{
    return (int64_t) m->hosts[host].effective - held_on (m, host);
}

static int64_t free_in_all (const struct model *m)
{
    return (int64_t) m->max - held_by_all (m);
}

static int64_t cap_left (const struct model *m, const struct wish *w)
{
    int project = m->lanes[w->lane].project;

    return positive ((int64_t) m->owners[project].max - held_of (m, project));
}

/* ---- the order ---- */

enum rank { DECIDED, TURN, KEPT, QUEUED };
struct spot {
    enum rank rank;
    int64_t key;
    uint64_t number;
};

static bool is_sooner (struct spot a, struct spot b)
{
    if (a.rank != b.rank)
        return a.rank < b.rank;
    if (a.key != b.key)
        return a.key < b.key;
    return a.number < b.number;
}

/* In one lane those that come back are before all others. */
static bool is_before_in_lane (const struct wish *a, const struct wish *b)
{
    if (a->back != b->back)
        return a->back;
    if (a->key != b->key)
        return a->key < b->key;
    return a->number < b->number;
}

static struct wish *first_in_lane (const struct model *m, int lane,
                                   bool unplanned)
{
    struct wish *first = NULL;

    for (size_t i = 0; i < m->wish_count; i++) {
        struct wish *w = &m->wishes[i];

        if (w->lane == lane && !w->gone && !(unplanned && w->planned) &&
            (!first || is_before_in_lane (w, first)))
            first = w;
    }
    return first;
}

static struct wish *find (const struct model *m, uint64_t number)
{
    for (size_t i = 0; number && i < m->wish_count; i++) {
        if (m->wishes[i].number == number && !m->wishes[i].gone)
            return &m->wishes[i];
    }
    return NULL;
}

/* What those of its lane want that are before it. */
static int64_t wanted_before (const struct model *m, const struct wish *w)
{
    int64_t sum = 0;

    for (size_t i = 0; i < m->wish_count; i++) {
        const struct wish *o = &m->wishes[i];

        if (o->lane == w->lane && !o->gone && is_before_in_lane (o, w))
            sum += o->count;
    }
    return sum;
}

/* Of who comes back: not behind its project's others, which it precedes. */
static struct spot spot_of_back (const struct model *m, const struct wish *w)
{
    struct spot spot = {QUEUED, w->key, w->number};

    for (size_t i = 0; i < m->wish_count; i++) {
        const struct wish *o = &m->wishes[i];
        struct spot its = {QUEUED, o->key, o->number};

        if (o->lane == w->lane && !o->gone && !o->back && is_sooner (its, spot))
            spot = its;
    }
    return spot;
}

static enum rank rank_of (const struct model *m, const struct wish *w,
                          int64_t surplus)
{
    const struct host *h = &m->hosts[host_of_wish (m, w)];

    if (h->turn == w->number)
        return TURN;
    return h->kept == w->lane && surplus < 0 ? KEPT : QUEUED;
}

/* Under `fair`: furthest below its target first. */
static struct spot spot_by_share (const struct model *m, const struct wish *w,
                                  int64_t before)
{
    int64_t surplus =
        (int64_t) held_in (m, w->lane) - m->lanes[w->lane].target + before;

    return (struct spot){rank_of (m, w, surplus), surplus, w->number};
}

static struct spot spot_of (const struct model *m, const struct wish *w)
{
    struct spot spot;

    if (m->policy != POLICY_FAIR)
        return w->back ? spot_of_back (m, w)
                       : (struct spot){QUEUED, w->key, w->number};
    spot = spot_by_share (m, w, wanted_before (m, w));
    if (w->decided || w->refused)
        spot.rank = DECIDED;
    return spot;
}

/* ---- the targets of `fair` ---- */

struct claim {
    int lane;
    int64_t demand, weight, guarantee;
    uint64_t order;
    unsigned target;
};

enum pass { FOR_ONE, FOR_GUARANTEE, FOR_SHARE };

static double price (const struct model *m, const struct claim *c,
                     enum pass pass)
{
    double weight = c->weight ? (double) c->weight : 1;
    double asks = 2.0 * c->target + 1;

    switch (pass) {
    case FOR_ONE: return 0;
    case FOR_GUARANTEE: return asks / (double) c->guarantee;
    case FOR_SHARE: break;
    }
    return asks / (m->maxmin ? weight : weight * (double) c->demand);
}

static bool may_bid (const struct claim *c, enum pass pass)
{
    int64_t most = pass == FOR_ONE         ? least (1, c->demand)
                   : pass == FOR_GUARANTEE ? least (c->guarantee, c->demand)
                                           : c->demand;

    return c->target < most;
}

static bool outbids (const struct model *m, const struct claim *a,
                     const struct claim *b, enum pass pass)
{
    if (pass == FOR_SHARE && !a->weight != !b->weight)
        return a->weight > 0; // without weight: after all others
    if (price (m, a, pass) < price (m, b, pass))
        return true;
    return price (m, a, pass) == price (m, b, pass) && a->order < b->order;
}

static void share_out (const struct model *m, struct claim *claims,
                       size_t count, int64_t slots)
{
    for (enum pass pass = FOR_ONE; pass <= FOR_SHARE; pass++) {
        for (; slots > 0; slots--) {
            struct claim *best = NULL;

            for (size_t i = 0; i < count; i++) {
                if (may_bid (&claims[i], pass) &&
                    (!best || outbids (m, &claims[i], best, pass)))
                    best = &claims[i];
            }
            if (!best)
                break;
            best->target++;
        }
    }
}

/* What is decided of others of its project is as good as held. */
static int64_t cap_unplanned (const struct model *m, const struct wish *w)
{
    int project = m->lanes[w->lane].project;
    int64_t left = cap_left (m, w);

    for (size_t i = 0; i < m->lane_count; i++) {
        if (m->lanes[i].project == project)
            left -= m->lanes[i].planned;
    }
    return positive (left);
}

static int64_t cap_room (const struct model *m, const struct wish *w)
{
    return w->decided ? cap_left (m, w) : cap_unplanned (m, w);
}

/* Nothing that is free helps it, and nobody but its own lane waits for it. */
static bool is_out (const struct model *m, const struct wish *w)
{
    const struct model_lane *l = &m->lanes[w->lane];
    const struct owner *o = &m->owners[l->project];
    const struct wish *first = find (m, o->first);

    return o->paused || w->contested || w->gathering ||
           w->min > m->hosts[l->host].effective ||
           cap_unplanned (m, w) < w->min ||
           held_by (m, w->session) + w->min > MAX_HELD ||
           (first && first->lane != w->lane && first->number < w->number);
}

static struct claim claim_of (const struct model *m, int lane)
{
    const struct owner *o = &m->owners[m->lanes[lane].project];
    const struct wish *first = first_in_lane (m, lane, false);
    int64_t held = held_in (m, lane), wanted = 0;

    for (size_t i = 0; first && !is_out (m, first) && i < m->wish_count; i++) {
        const struct wish *w = &m->wishes[i];

        if (w->lane == lane && !w->gone && !w->gathering)
            wanted += w->count;
    }
    if (first)
        wanted = least (wanted, cap_left (m, first));
    return (struct claim){.lane = lane,
                          .demand = held + wanted,
                          .weight = o->priority,
                          .guarantee = o->guarantee,
                          .order = first ? first->number
                                         : UINT64_MAX - (unsigned) lane};
}

static void set_targets (struct model *m, int host)
{
    struct host *h = &m->hosts[host];
    struct wish *turn = find (m, h->turn);
    struct claim claims[64];
    size_t count = 0;
    int64_t slots =
        least (h->effective, held_on (m, host) + positive (free_in_all (m)));

    if (!turn || is_out (m, turn))
        h->turn = 0;
    else {
        m->lanes[turn->lane].target = held_in (m, turn->lane) + turn->min;
        slots -= m->lanes[turn->lane].target;
    }
    for (size_t i = 0; i < m->lane_count && count < 64; i++) {
        if (m->lanes[i].host == host && !(h->turn && (int) i == turn->lane))
            claims[count++] = claim_of (m, (int) i);
    }
    share_out (m, claims, count, positive (slots));
    for (size_t i = 0; i < count; i++)
        m->lanes[claims[i].lane].target = claims[i].target;
}

/* ---- the decision of `fair` ---- */

static bool is_decided (const struct model *m, int host)
{
    for (size_t i = 0; i < m->wish_count; i++) {
        const struct wish *w = &m->wishes[i];

        if (!w->gone && (w->decided || w->refused) &&
            host_of_wish (m, w) == host)
            return true;
    }
    return false;
}

static int64_t planned_in (const struct model *m, int host)
{
    int64_t sum = 0;

    for (size_t i = 0; i < m->lane_count; i++) {
        if (host < 0 || m->lanes[i].host == host)
            sum += m->lanes[i].planned;
    }
    return sum;
}

static int64_t free_of_plan (const struct model *m, int host)
{
    if (!m->hosts[host].grants)
        return 0;
    return least (free_here (m, host) - planned_in (m, host),
                  free_in_all (m) - planned_in (m, -1));
}

static void close_host (struct model *m, int host)
{
    for (size_t i = 0; i < m->lane_count; i++) {
        if (m->lanes[i].host == host)
            m->lanes[i].open = false;
    }
}

/* The next of the lane that is furthest below its target. */
static struct wish *next_of_plan (const struct model *m)
{
    struct wish *next = NULL;
    struct spot at = {QUEUED, 0, 0};

    for (size_t i = 0; i < m->lane_count; i++) {
        const struct model_lane *l = &m->lanes[i];
        struct wish *w = l->open ? first_in_lane (m, (int) i, true) : NULL;
        struct spot spot;

        if (!w)
            continue;
        spot = spot_by_share (m, w, l->planned);
        if (!next || is_sooner (spot, at)) {
            next = w;
            at = spot;
        }
    }
    return next;
}

/* As much as its lane is below its target; at its target what nobody below his
 * waits for. */
static int64_t share_of (const struct model *m, const struct wish *w,
                         int64_t free)
{
    const struct model_lane *l = &m->lanes[w->lane];
    int64_t below = (int64_t) l->target - held_in (m, w->lane) - l->planned;
    int64_t room = least (least (w->count, cap_unplanned (m, w)), free);

    room = least (room, MAX_HELD - (int64_t) held_by (m, w->session));
    return below > 0 ? least (room, below > w->min ? below : w->min) : room;
}

static bool is_behind_sum (const struct model *m, const struct wish *w)
{
    const struct wish *first = find (m, m->sum);

    return first && host_of_wish (m, first) != host_of_wish (m, w) &&
           (m->policy != POLICY_FAIR || first->number < w->number);
}

static void plan_wish (struct model *m, struct wish *w)
{
    struct model_lane *l = &m->lanes[w->lane];
    int64_t free = free_of_plan (m, l->host);

    w->planned = true;
    if (is_out (m, w)) {
        l->open = false;
    } else if (free < 1 || is_behind_sum (m, w)) {
        close_host (m, l->host);
    } else if (free >= w->min) {
        w->decided = (unsigned) share_of (m, w, free);
        l->planned += w->decided;
        model_events[MODEL_BORROWED] +=
            held_in (m, w->lane) + l->planned > l->target;
    } else if (w->nowait) {
        w->refused = true;
    } else {
        m->hosts[l->host].turn = w->number;
        model_events[MODEL_TURN]++;
        close_host (m, l->host);
    }
}

static void count_planned (struct model *m)
{
    for (size_t i = 0; i < m->lane_count; i++)
        m->lanes[i].planned = 0;
    for (size_t i = 0; i < m->wish_count; i++) {
        m->wishes[i].planned = false;
        if (!m->wishes[i].gone)
            m->lanes[m->wishes[i].lane].planned += m->wishes[i].decided;
    }
}

/* What was decided and only waits for the pace stays as it is. */
static void plan (struct model *m)
{
    struct wish *w;

    for (size_t i = 0; i < m->lane_count; i++)
        m->lanes[i].planned = 0;
    for (size_t i = 0; i < m->host_count; i++) {
        m->hosts[i].behind = is_decided (m, (int) i);
        if (!m->hosts[i].behind)
            set_targets (m, (int) i);
    }
    count_planned (m);
    for (size_t i = 0; i < m->lane_count; i++)
        m->lanes[i].open = !m->nothing && !m->hosts[m->lanes[i].host].behind;
    while ((w = next_of_plan (m)))
        plan_wish (m, w);
}

/* Whose turn was to come when what is before him is served: that was part of
 * it. */
static void void_decision (struct model *m, int host)
{
    const struct wish *turn = find (m, m->hosts[host].turn);

    for (size_t i = 0; i < m->lane_count; i++)
        m->lanes[i].planned *= m->lanes[i].host != host;
    for (size_t i = 0; i < m->wish_count; i++) {
        if (host_of_wish (m, &m->wishes[i]) == host)
            m->wishes[i].decided = m->wishes[i].refused = 0;
    }
    if (turn && turn != first_in_lane (m, turn->lane, false))
        m->hosts[host].turn = 0;
}

/* ---- the walk ---- */

static bool is_behind_cap (const struct model *m, const struct wish *w)
{
    const struct wish *first =
        find (m, m->owners[m->lanes[w->lane].project].first);

    return first && first->lane != w->lane &&
           (m->policy != POLICY_FAIR || first->number < w->number);
}

static int64_t room_of (const struct model *m, const struct wish *w)
{
    return least (least (w->count, cap_room (m, w)),
                  positive (MAX_HELD - (int64_t) held_by (m, w->session)));
}

static enum reason lack (const struct model *m, const struct wish *w)
{
    const struct host *h = &m->hosts[host_of_wish (m, w)];
    int64_t healthy = (int64_t) h->max - held_on (m, host_of_wish (m, w));

    return least (healthy, free_in_all (m)) < w->min ? REASON_SLOTS
                                                     : REASON_HEALTH;
}

static int64_t amount_of (const struct model *m, const struct wish *w,
                          int64_t room)
{
    if (m->policy == POLICY_FAIR)
        return w->decided <= room ? w->decided : 0;
    return room;
}

/* The first test that fails; REASON_NONE: it gets `granted`. */
static enum reason judge_wish (const struct model *m, struct wish *w)
{
    const struct model_lane *l = &m->lanes[w->lane];
    const struct host *h = &m->hosts[l->host];
    int64_t free = least (free_here (m, l->host), free_in_all (m));
    int64_t room = room_of (m, w), amount;

    if (m->owners[l->project].paused || w->contested)
        return REASON_PAUSED;
    if (m->nothing)
        return REASON_DISK;
    if (room < w->min || is_behind_cap (m, w))
        return REASON_CAP;
    if (h->effective < w->min || !h->grants)
        return REASON_HEALTH;
    if (w->gathering)
        return REASON_PACING;
    if (free < w->min)
        return lack (m, w);
    if (is_behind_sum (m, w))
        return REASON_SLOTS;
    amount = amount_of (m, w, least (room, free));
    if (amount == 0)
        return REASON_SLOTS;
    if (m->burst && h->level < least (amount, m->burst) * 1000)
        return REASON_PACING;
    if (m->burst && ramp_credit (&h->ramp) > 0 &&
        h->load + ramp_credit (&h->ramp) >= h->limit)
        return REASON_PACING;
    w->granted = (unsigned) amount;
    return REASON_NONE;
}

static struct wish *next_of_walk (const struct model *m)
{
    struct wish *next = NULL;
    struct spot at = {QUEUED, 0, 0};

    for (size_t i = 0; i < m->lane_count; i++) {
        struct wish *w =
            m->lanes[i].done ? NULL : first_in_lane (m, (int) i, false);
        struct spot spot;

        if (!w)
            continue;
        spot = spot_of (m, w);
        if (!next || is_sooner (spot, at)) {
            next = w;
            at = spot;
        }
    }
    return next;
}

static bool is_passed_by (const struct model *m, const struct wish *w)
{
    switch (w->reason) {
    case REASON_PAUSED:
    case REASON_DISK:
    case REASON_CAP: return true;
    case REASON_HEALTH:
        if (w->min > m->hosts[host_of_wish (m, w)].effective)
            return true;
        break; // critical: everybody waits
    default: break;
    }
    return w->gathering;
}

/* Who has gone in this walk is nobody's first any more: the next one is. */
static void wait_for_it (struct model *m, struct wish *w)
{
    struct model_lane *l = &m->lanes[w->lane];
    struct owner *o = &m->owners[l->project];
    int64_t here = free_here (m, l->host);

    w->judged = true;
    if (is_passed_by (m, w)) {
        l->done = true;
        if (w->reason == REASON_CAP && cap_room (m, w) < w->min &&
            !find (m, o->first))
            o->first = w->number;
        return;
    }
    if (w->reason == REASON_SLOTS && here >= w->min &&
        free_in_all (m) < w->min && !find (m, m->sum))
        m->sum = w->number;
    for (size_t i = 0; i < m->lane_count; i++) {
        if (m->lanes[i].host == l->host)
            m->lanes[i].done = true;
    }
}

static void grant (struct model *m, struct wish *w)
{
    struct host *h = &m->hosts[host_of_wish (m, w)];

    w->gone = true;
    m->lanes[w->lane].planned -= w->decided;
    model_events[MODEL_PART] += w->granted < w->count;
    model_events[MODEL_TAKEN] += h->turn == w->number;
    h->level -= (int64_t) w->granted * 1000;
    h->used += w->granted;
    ramp_note (&h->ramp, h->used, m->now);
    for (unsigned i = 0; i < w->granted; i++)
        hold (m, w->session, w->lane);
}

/* What keeps others waiting on all hosts lasts under `fair`, while it is so:
 * there the order is no order of age. */
static void keep_firsts (struct model *m)
{
    bool lasts = m->policy == POLICY_FAIR;
    const struct wish *sum = find (m, m->sum);

    if (!sum || !lasts || free_here (m, host_of_wish (m, sum)) < sum->min ||
        free_in_all (m) >= sum->min)
        m->sum = 0;
    for (size_t i = 0; i < m->owner_count; i++) {
        const struct wish *w = find (m, m->owners[i].first);

        if (!w || !lasts || cap_room (m, w) >= w->min)
            m->owners[i].first = 0;
    }
}

/* Everybody may be looked at (again). */
static void open_lanes (struct model *m)
{
    count_planned (m);
    keep_firsts (m);
    for (size_t i = 0; i < m->wish_count; i++)
        m->wishes[i].judged = false;
    for (size_t i = 0; i < m->lane_count; i++)
        m->lanes[i].done = false;
    if (m->policy == POLICY_FAIR)
        plan (m);
}

/* True: its decision could not be kept, and is made anew. */
static bool thinks_again (struct model *m, const struct wish *w)
{
    if (!w->decided || w->reason == REASON_NONE || w->reason == REASON_PACING)
        return false;
    void_decision (m, host_of_wish (m, w));
    model_events[MODEL_THOUGHT_AGAIN]++;
    if (!m->rethought)
        open_lanes (m);
    m->rethought = true;
    return true;
}

/* The last of an earlier decision has gone: now it is the others' turn. */
static bool thinks_on (struct model *m, const struct wish *w)
{
    int host = host_of_wish (m, w);

    if (m->policy != POLICY_FAIR || !m->hosts[host].behind ||
        is_decided (m, host))
        return false;
    open_lanes (m);
    return true;
}

/* It would not wait: others may have its share, and its place. */
static void go (struct model *m, struct wish *w)
{
    m->lanes[w->lane].planned -= w->decided;
    w->gone = true;
    m->hosts[host_of_wish (m, w)].behind = true;
}

static void serve_wish (struct model *m, struct wish *w)
{
    if (thinks_on (m, w))
        return;
    w->reason = judge_wish (m, w);
    if (thinks_again (m, w))
        return;
    if (w->reason == REASON_NONE)
        grant (m, w);
    else if (w->nowait && !w->gathering)
        go (m, w);
    else
        wait_for_it (m, w);
}

static void walk (struct model *m)
{
    struct wish *w;

    m->rethought = false;
    open_lanes (m);
    while ((w = next_of_walk (m)))
        serve_wish (m, w);
}

/* ---- a round ---- */

static bool is_possible (const struct model *m, const struct wish *w)
{
    const struct model_lane *l = &m->lanes[w->lane];
    int64_t most = least (m->hosts[l->host].max, m->most);

    return w->min <= least (least (most, m->owners[l->project].max), MAX_HELD);
}

/* Who has not been looked at waits for his turn; who would not wait has gone,
 * unless it is not known yet whether he must. */
static void conclude (struct model *m, struct wish *w)
{
    if (!w->judged)
        w->reason = m->owners[m->lanes[w->lane].project].paused || w->contested
                        ? REASON_PAUSED
                    : m->nothing ? REASON_DISK
                                 : REASON_TURN;
    w->granted = 0;
    w->gone = w->nowait && !w->gathering && !w->decided;
    model_events[MODEL_GATHERED] += w->gathering;
    model_events[MODEL_PACED] += w->decided > 0;
}

static void *copy_of (const void *array, size_t size)
{
    void *copy = sim_alloc (size + 1);

    memcpy (copy, array, size);
    return copy;
}

/* L1: were it done once more, nobody would be granted anything. */
static void check_rest (struct model *m)
{
    struct model again = *m;

    again.wishes = copy_of (m->wishes, m->wish_count * sizeof *m->wishes);
    again.lanes = copy_of (m->lanes, m->lane_count * sizeof *m->lanes);
    again.owners = copy_of (m->owners, m->owner_count * sizeof *m->owners);
    walk (&again);
    if (again.held_count > m->held_count)
        snprintf (m->wrong, sizeof m->wrong,
                  "model: L1: %zu more could be granted at once",
                  again.held_count - m->held_count);
    m->held = again.held; // it may have grown
    m->held_most = again.held_most;
    free (again.wishes);
    free (again.lanes);
    free (again.owners);
}

static size_t count_gone (const struct model *m)
{
    size_t gone = 0;

    for (size_t i = 0; i < m->wish_count; i++)
        gone += m->wishes[i].gone;
    return gone;
}

/* With several hosts until nothing moves any more: what one is granted may put
 * another of its project out of the way, by its cap; and so may one that would
 * not wait, and goes. */
static void run (struct model *m)
{
    size_t before, gone;

    for (size_t i = 0; i < m->wish_count; i++)
        m->wishes[i].gone = !is_possible (m, &m->wishes[i]);
    do {
        before = m->held_count;
        gone = count_gone (m);
        walk (m);
    } while (count_gone (m) > gone && m->host_count > 1);
    if (m->held_count > before && m->policy == POLICY_FAIR)
        check_rest (m);
    for (size_t i = 0; i < m->wish_count; i++) {
        if (!m->wishes[i].gone)
            conclude (m, &m->wishes[i]);
    }
}

/* ---- what lasts from round to round ---- */

static const struct kept *kept_of (const struct model *m, uint64_t number)
{
    for (size_t i = 0; i < m->kept_count; i++) {
        if (m->kept[i].number == number)
            return &m->kept[i];
    }
    return NULL;
}

static void lose (struct model *m, const struct wish *w, const char *what)
{
    snprintf (m->wrong, sizeof m->wrong,
              "model: request %llu of session %llu %s between two rounds",
              LLU (w->seq), LLU (w->session), what);
}

/* Who comes while nothing is gathered begins a set: nobody is left out of it,
 * and nobody waits for longer than that. */
static void check_gathering (struct model *m, const struct wish *w)
{
    const struct host *h = &m->hosts[host_of_wish (m, w)];

    if (w->number > m->newest && !w->back && m->begun && !w->gathering &&
        !m->reordered && h->gather_until > m->now)
        lose (m, w, "was not gathered");
    if (w->gathering && h->gather_until > w->since + m->gather)
        lose (m, w, "is gathered for too long");
}

static void check_kept (struct model *m, const struct wish *w)
{
    const struct kept *k = kept_of (m, w->number);

    if (!k || m->reordered)
        return;
    if (k->decided != w->decided)
        lose (m, w, "lost what was decided");
    if (k->turn && m->hosts[host_of_wish (m, w)].turn != w->number)
        lose (m, w, "lost its turn");
}

static void check_between (struct model *m)
{
    m->wrong[0] = '\0';
    for (size_t i = 0; m->policy == POLICY_FAIR && i < m->wish_count; i++) {
        check_kept (m, &m->wishes[i]);
        check_gathering (m, &m->wishes[i]);
    }
}

static void keep (struct model *m)
{
    m->kept_count = 0;
    m->reordered = false;
    m->begun = true;
    for (size_t i = 0; i < m->wish_count; i++) {
        const struct wish *w = &m->wishes[i];

        if (w->number > m->newest)
            m->newest = w->number;
        if (w->gone || m->policy != POLICY_FAIR)
            continue;
        if (m->kept_count == m->kept_most)
            m->kept = sim_grow (m->kept, &m->kept_most, sizeof *m->kept);
        m->kept[m->kept_count++] = (struct kept){
            .number = w->number,
            .decided = w->decided,
            .turn = m->hosts[host_of_wish (m, w)].turn == w->number};
    }
}

static void read_settings (struct model *m, const struct broker *b)
{
    m->most = b->settings.max_slots;
    m->burst = b->settings.grant_burst;
    m->policy = b->settings.policy;
    m->maxmin = b->settings.fair_mode == FAIR_MAXMIN;
    m->aging = b->settings.aging_ms;
    m->gather = b->settings.timing.gather;
    m->nothing = b->disk_full || b->learning;
    m->sum = b->dispatch.sum_blocker ? b->dispatch.sum_blocker->number : 0;
    m->token = b->next_token;
}

static void read_leases (struct model *m, const struct broker *b)
{
    m->held_count = 0;
    for (size_t i = 0; i < leases_count (&b->leases); i++) {
        const struct lease *l = leases_at (&b->leases, i);

        hold (m, l->r.session,
              l->r.state == LEASE_PARKED ? -1
                                         : lane_of (m, b, l->pool, l->project));
    }
    m->held_before = held_by_all (m);
}

static void gather (struct model *m)
{
    for (size_t i = 0; i < m->wish_count; i++) {
        struct wish *w = &m->wishes[i];
        const struct host *h = &m->hosts[host_of_wish (m, w)];

        w->gathering = m->policy == POLICY_FAIR && !w->back &&
                       h->gather_until > m->now && w->number >= h->gather_from;
    }
}

void model_before (struct model *m, const struct broker *b, int64_t now)
{
    m->now = now;
    read_settings (m, b);
    read_hosts (m, b, now);
    read_lanes (m, b);
    read_kept (m, b);
    read_leases (m, b);
    m->wish_count = 0;
    for (size_t i = 0; i < b->waiters.count; i++)
        wish (m, b, b->waiters.at[i]);
    gather (m);
    check_between (m);
}

/* ---- and what became of it ---- */

/* A round begins with what health allows. */
static void read_health (struct model *m, const struct broker *b)
{
    m->max = b->settings.max_slots + b->dispatch.bonus;
    for (size_t i = 0; i < b->pools.count; i++) {
        const struct pool *p = b->pools.at[i];

        for (size_t n = 0; n < m->host_count; n++) {
            if (strcmp (m->hosts[n].name, p->host) != 0)
                continue;
            m->hosts[n].effective = pool_effective (p);
            m->hosts[n].grants = response_grants (&p->response);
        }
    }
}

static struct wish *wish_of (struct model *m, const struct lease_record *r)
{
    for (size_t i = 0; i < m->wish_count; i++) {
        if (m->wishes[i].session == r->session && m->wishes[i].seq == r->seq)
            return &m->wishes[i];
    }
    return NULL;
}

static bool complain (const struct wish *w, bool waits, char *ret_text,
                      size_t size)
{
    snprintf (ret_text, size,
              "model: request %llu of session %llu (%u..%u) got %u%s, and not "
              "%u%s",
              LLU (w->seq), LLU (w->session), w->min, w->count, w->got,
              waits ? " and waits" : "", w->granted, w->gone ? "" : " waiting");
    return false;
}

/* What was granted, and with it how fast each host goes. */
static bool compare_grants (struct model *m, const struct broker *b,
                            char *ret_text, size_t size)
{
    unsigned counted = 0;

    for (size_t i = 0; i < leases_count (&b->leases); i++) {
        const struct lease_record *r = &leases_at (&b->leases, i)->r;
        struct wish *w = r->token >= m->token ? wish_of (m, r) : NULL;

        counted += r->state != LEASE_PARKED;
        if (!w)
            continue;
        w->got++;
        m->hosts[host_of_wish (m, w)].bucket -= 1000;
    }
    for (size_t i = 0; i < m->wish_count; i++) {
        const struct wish *w = &m->wishes[i];
        bool waits = table_find (&b->waiters, w->number) != NULL;

        if (w->got != w->granted || w->gone == waits)
            return complain (w, waits, ret_text, size);
    }
    if (counted == held_by_all (m))
        return true;
    snprintf (ret_text, size, "model: %u slots, and not %u", counted,
              held_by_all (m));
    return false;
}

static bool same_reason (enum reason ours, enum reason its)
{
    return ours == its || (ours == REASON_DISK && its == REASON_LEARNING);
}

/* Of each wish. */
static struct spot *spots_of (const struct model *m)
{
    struct spot *spots = sim_alloc ((m->wish_count + 1) * sizeof *spots);

    for (size_t i = 0; i < m->wish_count; i++) {
        if (!m->wishes[i].gone)
            spots[i] = spot_of (m, &m->wishes[i]);
    }
    return spots;
}

/* From 1, on its host. */
static unsigned position_of (const struct model *m, const struct wish *w,
                             const struct spot *spots)
{
    struct spot spot = spots[w - m->wishes];
    unsigned position = 1;

    for (size_t i = 0; i < m->wish_count; i++) {
        const struct wish *o = &m->wishes[i];
        bool before;

        if (o->gone || o == w || host_of_wish (m, o) != host_of_wish (m, w))
            continue;
        before = o->lane == w->lane ? is_before_in_lane (o, w)
                                    : is_sooner (spots[i], spot);
        position += before;
    }
    return position;
}

static unsigned apart (unsigned a, unsigned b)
{
    return a > b ? a - b : b - a;
}

/* What it was told last, as it is now: but for an eighth. Who waited when the
 * broker started is told when it is heard, and who is far from the front now
 * and then. */
static bool knows (const struct waiter *waits, const struct outlook *now)
{
    const struct outlook *told = &waits->told;

    return waits->t.nowait || told->position == 0 ||
           now->position > ROUND_NEAR ||
           (told->reason == now->reason &&
            apart (told->position, now->position) <= told->position / 8 &&
            apart (told->slots_ahead, now->slots_ahead) <=
                told->slots_ahead / 8);
}

static bool compare_waiter (const struct model *m, const struct broker *b,
                            const struct wish *w, unsigned position,
                            char *ret_text, size_t size)
{
    const struct waiter *waits = table_find (&b->waiters, w->number);
    struct outlook outlook;

    dispatch_explain (&b->dispatch, &waits->t, m->now, &outlook);
    if (!same_reason (w->reason, outlook.reason))
        snprintf (ret_text, size,
                  "model: request %llu of session %llu waits for %s, and not "
                  "for %s",
                  LLU (w->seq), LLU (w->session), reason_name (outlook.reason),
                  reason_name (w->reason));
    else if (outlook.position != position)
        snprintf (ret_text, size,
                  "model: request %llu of session %llu is number %u, and not "
                  "%u",
                  LLU (w->seq), LLU (w->session), outlook.position, position);
    else if ((waits->t.lane->pool->turn == &waits->t) !=
             (m->hosts[host_of_wish (m, w)].turn == w->number))
        snprintf (ret_text, size,
                  "model: it is%s the turn of request %llu of session %llu",
                  waits->t.lane->pool->turn == &waits->t ? "" : " not",
                  LLU (w->seq), LLU (w->session));
    else if (waits->t.decided != w->decided)
        snprintf (ret_text, size,
                  "model: request %llu of session %llu is to get %u, and not "
                  "%u",
                  LLU (w->seq), LLU (w->session), waits->t.decided, w->decided);
    else if (!knows (waits, &outlook))
        snprintf (ret_text, size,
                  "model: request %llu of session %llu was told number %u, %u "
                  "ahead, %s; it is %u, %u, %s",
                  LLU (w->seq), LLU (w->session), waits->told.position,
                  waits->told.slots_ahead, reason_name (waits->told.reason),
                  outlook.position, outlook.slots_ahead,
                  reason_name (outlook.reason));
    else
        return true;
    return false;
}

/* Of those that want nothing the target is of no consequence. */
static bool compare_target (const struct model *m, const struct broker *b,
                            const struct wish *w, char *ret_text, size_t size)
{
    const struct waiter *waits = table_find (&b->waiters, w->number);
    const struct model_lane *l = &m->lanes[w->lane];

    if (m->policy != POLICY_FAIR || waits->t.lane->target == l->target)
        return true;
    snprintf (ret_text, size, "model: the target of %s on %s is %u, and not %u",
              m->owners[l->project].name, m->hosts[l->host].name,
              waits->t.lane->target, l->target);
    return false;
}

/* Who waits knows why. */
static bool compare_waiters (const struct model *m, const struct broker *b,
                             char *ret_text, size_t size)
{
    struct spot *spots = spots_of (m);
    bool same = true;

    for (size_t i = 0; same && i < m->wish_count; i++) {
        const struct wish *w = &m->wishes[i];

        same = w->gone || (compare_target (m, b, w, ret_text, size) &&
                           compare_waiter (m, b, w, position_of (m, w, spots),
                                           ret_text, size));
    }
    free (spots);
    return same;
}

bool model_after (struct model *m, const struct broker *b, char *ret_text,
                  size_t size)
{
    bool good;

    read_health (m, b);
    run (m);
    good = !m->wrong[0];
    if (!good)
        snprintf (ret_text, size, "%s", m->wrong);
    good = good && compare_grants (m, b, ret_text, size) &&
           compare_waiters (m, b, ret_text, size);
    keep (m);
    return good;
}
