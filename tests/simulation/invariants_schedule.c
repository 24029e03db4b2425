/* SPDX-License-Identifier: MPL-2.0 */
#include "simulation/invariants_schedule.h"

#include <string.h>

#include "core/state.h"
#include "simulation/invariants.h"

#define LLU(n) ((unsigned long long) (n))

/* ---- limits ---- */

unsigned schedule_cap (const struct sim *s, const char *project)
{
    const struct project_settings *p =
        settings_find_project (&s->settings, project);

    return p && p->max ? p->max : s->settings.max_per_project;
}

bool schedule_paused (const struct sim *s, const char *project)
{
    const struct project_record *r = disk_project (&s->disk, project);

    return r && r->paused;
}

static bool counts (const struct lease_record *r)
{
    return r->state != LEASE_PARKED;
}

/* A row that nobody can read is one of the broker's own host. */
static bool is_on (const struct sim *s, const struct lease_record *r,
                   const char *host)
{
    return strcmp (r->host[0] ? r->host : s->identity.host, host) == 0;
}

/* NULL: of all, on all hosts. */
static unsigned held (const struct sim *s, const char *project,
                      const char *host)
{
    unsigned count = 0;

    for (size_t i = 0; i < s->disk.lease_count; i++) {
        const struct lease_record *r = &s->disk.leases[i];

        count += counts (r) &&
                 (!project || strcmp (r->project, project) == 0) &&
                 (!host || is_on (s, r, host));
    }
    return count;
}

/* ---- what is granted ---- */

static bool is_granted (const struct sim *s, const struct msg_request *m)
{
    for (size_t i = 0; i < s->disk.lease_count; i++) {
        const struct lease_record *r = &s->disk.leases[i];

        if (r->session == m->session && r->seq == m->seq)
            return true;
    }
    return false;
}

/* Of the REQUEST that joins the queue now: what it is content with. Once it is
 * there a resend changes nothing; where the wish was forgotten since, it is as
 * it was then. */
void schedule_heard (struct sim *s, const struct msg_request *m)
{
    const struct broker *b = s->broker.core;
    const struct session *from = sessions_find (&b->sessions, m->session);
    const struct waiter *w =
        from ? table_find (&b->waiters, session_number (from, m->seq)) : NULL;
    struct wish *a = invariants_asked (s, m->session, m->seq);

    if (!a || !a->any || !from || a->first || is_granted (s, m))
        return;
    if (w)
        a->min = w->r.min == 1 ? 1 : a->count;
    else
        a->min = b->settings.policy == POLICY_FAIR && !m->parked ? 1 : a->count;
}

void schedule_granted (struct sim *s, const struct lease_record *r)
{
    struct invariants *v = &s->invariants;
    const struct wish *a = invariants_asked (s, r->session, r->seq);
    struct served *g;

    for (size_t i = 0; i < v->served_count; i++) {
        g = &v->served_now[i];
        if (strcmp (g->project, r->project) == 0 &&
            strcmp (g->host, r->host) == 0 &&
            g->since == r->granted - r->waited_ms) {
            g->count++;
            return;
        }
    }
    if (v->served_count == SIM_SERVED)
        return;
    g = &v->served_now[v->served_count++];
    *g = (struct served){
        .since = r->granted - r->waited_ms, .count = 1, .back = !a || a->back};
    copy_text (g->project, sizeof g->project, r->project);
    copy_text (g->host, sizeof g->host, r->host);
}

static void check_cap (struct sim *s, const struct served *g)
{
    if (held (s, g->project, NULL) > schedule_cap (s, g->project))
        sim_violate (s, "I6: %s holds %u, its cap is %u", g->project,
                     held (s, g->project, NULL), schedule_cap (s, g->project));
}

/* ---- what those are told who wait: L1 ---- */

static bool fits (const struct sim *s, const struct lane *lane, unsigned min)
{
    const struct broker *b = s->broker.core;
    int64_t here = (int64_t) pool_effective (lane->pool) -
                   held (s, NULL, lane->pool->host);
    int64_t all = (int64_t) b->settings.max_slots + b->dispatch.bonus -
                  held (s, NULL, NULL);

    return here >= min && all >= min;
}

/* What all hosts share may be kept for one on another. */
static bool is_alone (const struct broker *b)
{
    return b->pools.count == 1;
}

/* What is decided for others and waits for the pace is not free. */
static bool may_be_decided (const struct broker *b)
{
    return b->settings.policy == POLICY_FAIR &&
           b->settings.grant_burst < MAX_SLOTS;
}

/* Is there what its reason says? */
static bool is_so (const struct sim *s, const struct ticket *t,
                   enum reason reason)
{
    const struct broker *b = s->broker.core;
    const struct lane *lane = t->lane;
    const struct pool *pool = lane->pool;
    const char *project = lane->project->name;

    switch (reason) {
    case REASON_NONE: return false;
    case REASON_PAUSED:
        return schedule_paused (s, project) ||
               t->holder->paused_until > b->turned;
    case REASON_DISK: return s->full;
    case REASON_LEARNING: return s->broker.learning;
    case REASON_TURN: return pool->blocker && pool->blocker != t;
    case REASON_CAP:
        return held (s, project, NULL) + t->min > schedule_cap (s, project) ||
               !is_alone (b) || may_be_decided (b) ||
               t->holder->held + t->min > MAX_HELD;
    case REASON_HEALTH:
        return t->min > pool_effective (pool) ||
               !response_grants (&pool->response) || !fits (s, lane, t->min);
    case REASON_SLOTS:
        return !fits (s, lane, t->min) || !is_alone (b) || may_be_decided (b);
    case REASON_PACING:
        return b->settings.grant_burst < MAX_SLOTS || pool->gather_until ||
               ramp_credit (&pool->ramp) > 0;
    }
    return false;
}

static void check_reason (struct sim *s, const struct lane *lane)
{
    const struct broker *b = s->broker.core;
    const struct ticket *t = lane_first (lane);
    struct outlook outlook;

    if (!t)
        return;
    dispatch_explain (&b->dispatch, t, b->turned, &outlook);
    if (!is_so (s, t, outlook.reason))
        sim_violate (
            s,
            "L1: request %llu of %s on %s waits for %u, as is said for "
            "%s: and that is not so",
            LLU (t->number), lane->project->name, lane->pool->host, t->min,
            reason_name (outlook.reason));
}

/* ---- L2 ---- */

static int64_t key_of (const struct sim *s, const char *project, int64_t since)
{
    const struct broker *b = s->broker.core;
    const struct project *p = projects_find (&b->projects, project);
    int64_t priority = p ? p->priority : DEFAULT_PRIORITY;

    return b->settings.aging_ms ? since - b->settings.aging_ms * priority
                                : -priority;
}

/* Nothing that is free would help it, or it is behind such a one of its own. */
static bool is_held (const struct broker *b, const struct lane *lane)
{
    const struct ticket *first = lane_first (lane);

    return lane->passed || dispatch_is_paused (first, b->turned) ||
           first->min > pool_effective (lane->pool);
}

static void check_overtaken (struct sim *s, const struct served *g,
                             const struct lane *lane)
{
    const struct broker *b = s->broker.core;
    const struct ticket *t = lane_first (lane);
    int64_t key = t ? key_of (s, lane->project->name, t->since) : 0;

    if (!t || t->back || g->back || strcmp (lane->pool->host, g->host) != 0 ||
        is_held (b, lane) || strcmp (lane->project->name, g->project) == 0)
        return;
    if (key < key_of (s, g->project, g->since))
        sim_violate (s,
                     "L2: %s is served on %s before request %llu of %s, which "
                     "came %lld ms earlier",
                     g->project, g->host, LLU (t->number), lane->project->name,
                     (long long) (g->since - t->since));
}

/* With several hosts an older one elsewhere may have come first. */
static void check_served (struct sim *s, const struct served *g)
{
    const struct broker *b = s->broker.core;

    check_cap (s, g);
    if (b->settings.policy != POLICY_PRIORITY || !is_alone (b))
        return;
    for (size_t i = 0; i < b->dispatch.lane_count; i++)
        check_overtaken (s, g, b->dispatch.lanes[i]);
}

void schedule_round (struct sim *s)
{
    struct invariants *v = &s->invariants;
    const struct broker *b = s->broker.core;

    for (size_t i = 0; b && i < v->served_count; i++)
        check_served (s, &v->served_now[i]);
    v->served_count = 0;
    for (size_t i = 0; b && b->waiters.count > 0 && i < b->dispatch.lane_count;
         i++)
        check_reason (s, b->dispatch.lanes[i]);
}
