/* SPDX-License-Identifier: MPL-2.0 */
#include "core/state.h"

#include <string.h>

#include "core/memory.h"

static void forget_counts (struct broker *b)
{
    b->dispatch.in_use = 0;
    for (size_t i = 0; i < b->pools.count; i++) {
        struct pool *pool = b->pools.at[i];

        pool->in_use = pool->waiting = pool->sessions = 0;
    }
    for (size_t i = 0; i < b->projects.count; i++) {
        struct project *p = b->projects.at[i];

        p->held = p->limbo = p->parked = p->waiting = p->queued = 0;
        p->sessions = 0;
    }
}

static void count_lease (struct broker *b, const struct lease *l)
{
    if (l->r.state == LEASE_PARKED) {
        l->project->parked++;
        return;
    }
    b->dispatch.in_use++;
    l->pool->in_use++;
    l->lane->held++;
    if (l->r.state == LEASE_LIMBO)
        l->project->limbo++;
    else
        l->project->held++;
}

static void count_lane (struct lane *lane)
{
    unsigned requests = (unsigned) lane_count (lane);

    lane->held = 0;
    lane->pool->waiting += requests;
    lane->project->queued += requests;
    lane->project->waiting += (unsigned) lane_wanted (lane);
}

static void count_session (struct broker *b, struct session *s)
{
    struct lease **leases;

    s->pool->sessions++;
    s->project->sessions++;
    s->holder.held = (unsigned) leases_of (&b->leases, s->r.id, &leases);
}

void state_tally (struct broker *b)
{
    forget_counts (b);
    for (size_t i = 0; i < b->dispatch.lane_count; i++)
        count_lane (b->dispatch.lanes[i]);
    for (size_t i = 0; i < leases_count (&b->leases); i++)
        count_lease (b, leases_at (&b->leases, i));
    for (size_t i = 0; i < b->sessions.count; i++)
        count_session (b, b->sessions.at[i]);
}

/* A host's part of what there may be above max_slots. */
static unsigned auto_max_of (const struct broker *b, const struct pool *pool)
{
    const struct settings *s = &b->settings;
    uint64_t most = (uint64_t) pool->max_slots * s->auto_max / s->max_slots;

    return most < MAX_SLOTS ? (unsigned) most : MAX_SLOTS;
}

static struct response_input input_of (const struct broker *b,
                                       const struct pool *pool)
{
    return (struct response_input){
        .max_slots = pool->max_slots,
        .auto_max = auto_max_of (b, pool),
        .floor = b->settings.floor,
        .in_use = pool->in_use,
        .cores = pool->cores ? pool->cores : b->settings.cores,
        .waiting = pool->waiting > 0,
    };
}

static void log_response (const struct pool *pool, const struct limits *limits,
                          struct outbox *out)
{
    const struct response *r = &pool->response;
    bool withheld = r->cause != BY_NOBODY;
    char host[sizeof pool->host], cause[CAUSE_BYTES];

    outbox_journal (
        out, withheld ? JOURNAL_WARNING : JOURNAL_INFO,
        "effective host=\"%s\" effective=%u max_slots=%u grants=%s "
        "cause=\"%s\"",
        outbox_quoted (pool->host, host, sizeof host), pool_effective (pool),
        pool->max_slots, r->grants ? "true" : "false",
        response_cause (r, &pool->health, limits, cause, sizeof cause));
}

static void respond (struct broker *b, struct pool *pool, int64_t now,
                     struct outbox *out)
{
    const struct limits limits = settings_limits (&b->settings, pool->cores);
    const struct response_input in = input_of (b, pool);

    if (!response_update (&pool->response, &pool->health, &limits, &in,
                          &b->settings.timing, now))
        return;
    b->changes++;
    log_response (pool, &limits, out);
}

/* What one host has above its max_slots, all of them together have too. */
void state_respond (struct broker *b, int64_t now, struct outbox *out)
{
    b->dispatch.bonus = 0;
    for (size_t i = 0; i < b->pools.count; i++) {
        struct pool *pool = b->pools.at[i];

        respond (b, pool, now, out);
        b->dispatch.bonus += pool->response.bonus;
    }
}

void state_relieve (struct broker *b, struct pool *pool, int64_t now,
                    struct outbox *out)
{
    struct response_input in;

    state_tally (b);
    in = input_of (b, pool);
    response_relieve (&pool->response, &in, &b->settings.timing, now);
    state_respond (b, now, out);
}

unsigned state_relieved (const struct broker *b, const struct pool *pool,
                         int64_t now)
{
    struct response response = pool->response;
    const struct response_input in = input_of (b, pool);

    response_relieve (&response, &in, &b->settings.timing, now);
    return response_effective (&response, pool->max_slots);
}

unsigned state_limit (const struct broker *b, const struct project *p,
                      const struct pool *pool)
{
    unsigned limit = MAX_HELD;

    if (pool->max_slots < limit)
        limit = pool->max_slots;
    if (b->settings.max_slots < limit)
        limit = b->settings.max_slots;
    if (p->max < limit)
        limit = p->max;
    return limit;
}

unsigned state_effective (const struct broker *b)
{
    unsigned most = b->settings.max_slots + b->dispatch.bonus;
    uint64_t sum = 0;

    for (size_t i = 0; i < b->pools.count; i++)
        sum += pool_effective (b->pools.at[i]);
    return sum < most ? (unsigned) sum : most;
}

static int64_t longer (int64_t a, int64_t b)
{
    return a > b ? a : b;
}

int64_t state_longest_ttl (const struct broker *b)
{
    return longer (b->meta.ttl_ms, b->settings.timing.ttl);
}

int64_t state_credible_ttl (int64_t ttl_ms)
{
    return ttl_ms > 0 && ttl_ms <= MAX_TIME_MS ? ttl_ms : 0;
}

int64_t state_ttl (const struct broker *b, const struct session *s)
{
    if (s->r.ttl_ms == 0)
        return state_longest_ttl (b);
    return longer (s->r.ttl_ms, b->settings.timing.ttl);
}

int64_t state_stall (const struct broker *b)
{
    int64_t stall = b->settings.timing.beat;

    if (stall > 1000)
        stall = 1000;
    return stall < 250 ? 250 : stall;
}

void state_set_max (struct broker *b, unsigned max_slots)
{
    settings_set_max (&b->settings, max_slots);
    pools_configure (&b->pools, &b->settings);
    projects_configure (&b->projects, &b->settings);
    b->limits_changed = true;
    b->changes++;
}

void state_set_policy (struct broker *b, enum policy policy)
{
    b->settings.policy = policy;
    dispatch_reorder (&b->dispatch, policy_of (policy));
    b->changes++;
}

void state_set_priority (struct broker *b, struct project *p, unsigned priority)
{
    p->priority = priority;
    dispatch_reorder (&b->dispatch, b->dispatch.policy);
    b->changes++;
}

/* What was decided for others was decided with, or without, this project. The
 * order is as it was: and anybody may say it as often as messages come. */
void state_set_paused (struct broker *b, struct project *p, bool paused)
{
    p->said.paused = paused;
    dispatch_rethink (&b->dispatch);
    b->changes++;
}

bool state_succeeds (const struct session *s, const struct lease *l)
{
    return l->r.state == LEASE_LIMBO && l->project == s->project &&
           l->r.uid == s->r.uid && strcmp (l->r.machine, s->r.machine) == 0 &&
           strcmp (l->r.boot, s->r.boot) == 0;
}

void state_ask (struct broker *b, const struct peer *peer, const char *project)
{
    struct asked *asked;

    if (b->asked_count == b->asked_capacity) {
        b->asked_capacity = b->asked_capacity ? 2 * b->asked_capacity : 8;
        b->asked = resized (b->asked, b->asked_capacity, sizeof *b->asked);
    }
    asked = &b->asked[b->asked_count++];
    asked->peer = *peer;
    copy_text (asked->project, sizeof asked->project, project);
}
