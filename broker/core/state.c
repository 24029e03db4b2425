/* SPDX-License-Identifier: MPL-2.0 */
#include "core/state.h"

#include <string.h>

#include "core/memory.h"

static void forget_counts (struct broker *b)
{
    b->in_use = 0;
    for (size_t i = 0; i < b->pools.count; i++) {
        struct pool *pool = b->pools.at[i];

        pool->in_use = pool->waiting = pool->sessions = 0;
    }
    for (size_t i = 0; i < b->projects.count; i++) {
        struct project *p = b->projects.at[i];

        p->held = p->limbo = p->waiting = p->queued = p->sessions = 0;
    }
}

static void count_lease (struct broker *b, const struct lease *l)
{
    b->in_use++;
    l->pool->in_use++;
    if (l->r.state == LEASE_LIMBO)
        l->project->limbo++;
    else
        l->project->held++;
}

void state_tally (struct broker *b)
{
    forget_counts (b);
    for (size_t i = 0; i < leases_count (&b->leases); i++)
        count_lease (b, leases_at (&b->leases, i));
    for (size_t i = 0; i < b->waiters.count; i++) {
        const struct waiter *w = b->waiters.at[i];

        w->session->pool->waiting++;
        w->session->project->queued++;
        w->session->project->waiting += w->r.count;
    }
    for (size_t i = 0; i < b->sessions.count; i++) {
        const struct session *s = b->sessions.at[i];

        s->pool->sessions++;
        s->project->sessions++;
    }
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

int64_t state_free (const struct broker *b, const struct pool *pool)
{
    int64_t here = (int64_t) pool_effective (pool) - pool->in_use;
    int64_t over_all = (int64_t) b->settings.max_slots - b->in_use;

    return here < over_all ? here : over_all;
}

unsigned state_effective (const struct broker *b)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < b->pools.count; i++)
        sum += pool_effective (b->pools.at[i]);
    return sum < b->settings.max_slots ? (unsigned) sum : b->settings.max_slots;
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

void state_log_policy (const struct broker *b, struct outbox *out)
{
    const char *wanted = policy_name (b->settings.policy);

    if (strcmp (wanted, b->policy->name) != 0)
        outbox_journal (out, JOURNAL_WARNING, "policy   wanted=%s used=%s",
                        wanted, b->policy->name);
}
