/* SPDX-License-Identifier: MPL-2.0 */
#include "core/status.h"

#include <math.h>
#include <stdio.h>

#include "core/conduct.h"
#include "core/footprints.h"
#include "core/memory.h"
#include "core/outlook.h"

static uint64_t age (int64_t since, int64_t now)
{
    return now > since ? (uint64_t) (now - since) : 0;
}

const char *status_level (const struct pool *pool)
{
    return pool->health.sampled ? level_name (health_level (&pool->health))
                                : "unknown";
}

static const char *worst_level (const struct broker *b)
{
    const struct pool *worst = b->pools.at[0];

    for (size_t i = 1; i < b->pools.count; i++) {
        const struct pool *pool = b->pools.at[i];

        if (pool->health.sampled &&
            (!worst->health.sampled ||
             health_level (&pool->health) > health_level (&worst->health)))
            worst = pool;
    }
    return status_level (worst);
}

void status_pool_cause (const struct broker *b, const struct pool *pool,
                        char *ret_text, size_t size)
{
    const struct limits limits = settings_limits (&b->settings, pool->cores);

    const char *outside = enforce_outside (pool);
    size_t used;

    response_cause (&pool->response, &pool->health, &limits, ret_text, size);
    used = strlen (ret_text);
    if (outside[0])
        snprintf (ret_text + used, size - used, "%s%s", used ? ", " : "",
                  outside);
}

/* What grants nothing withholds all. */
static unsigned withheld_of (const struct pool *pool)
{
    unsigned effective = pool_effective (pool);

    if (!response_grants (&pool->response))
        return pool->max_slots;
    return effective < pool->max_slots ? pool->max_slots - effective : 0;
}

void status_cause (const struct broker *b, char *ret_text, size_t size)
{
    const struct pool *worst = b->pools.at[0];
    char cause[CAUSE_BYTES];

    for (size_t i = 1; i < b->pools.count; i++) {
        if (withheld_of (b->pools.at[i]) > withheld_of (worst))
            worst = b->pools.at[i];
    }
    status_pool_cause (b, worst, cause, sizeof cause);
    if (cause[0] && b->pools.count > 1)
        snprintf (ret_text, size, "%s: %.60s", worst->host, cause);
    else
        snprintf (ret_text, size, "%s", cause);
}

static void fill_head (const struct broker *b, struct msg_status_ok *head)
{
    head->epoch = b->meta.epoch;
    copy_text (head->broker, sizeof head->broker, b->meta.broker);
    copy_text (head->policy, sizeof head->policy, b->dispatch.policy->name);
    copy_text (head->level, sizeof head->level, worst_level (b));
    head->max_slots = b->settings.max_slots;
    head->effective = state_effective (b);
    status_cause (b, head->effective_cause, sizeof head->effective_cause);
    head->in_use = b->dispatch.in_use;
    head->queue_total = b->waiters.count;
    head->refused = b->refused + b->refused_before;
    head->slot_bytes = footprints_slot_bytes (b);
    head->disk_full = b->disk_full;
    head->learning = b->learning;
}

/* ---- rows ---- */

static void fill_sample (const struct health *h, int64_t now,
                         struct row_host *row)
{
    const struct sample *s = &h->sample;

    if (!h->sampled)
        return;
    row->cpu_percent = s->cpu_percent;
    row->memory_percent = s->memory_percent;
    row->load1 = s->load1;
    row->disk_percent = s->disk_percent;
    row->inodes_percent = s->inodes_percent;
    row->swap_percent = s->swap_percent;
    row->cpu_some = s->cpu_some;
    row->memory_some = s->memory_some;
    row->memory_full = s->memory_full;
    row->io_full = s->io_full;
    row->age_ms = age (s->at, now);
}

static void fill_unmanaged (const struct unmanaged *u, struct row_host *row)
{
    row->unmanaged = u->count;
    row->unmanaged_bytes = u->memory_bytes;
    copy_text (row->unmanaged_of, sizeof row->unmanaged_of, u->of);
}

static void fill_host (const struct broker *b, const struct pool *pool,
                       int64_t now, struct row_host *row)
{
    const struct limits limits = settings_limits (&b->settings, pool->cores);

    copy_text (row->host, sizeof row->host, pool->host);
    copy_text (row->level, sizeof row->level, status_level (pool));
    row->max_slots = pool->max_slots;
    row->effective = pool_effective (pool);
    row->in_use = pool->in_use;
    status_pool_cause (b, pool, row->cause, sizeof row->cause);
    fill_sample (&pool->health, now, row);
    fill_unmanaged (&pool->unmanaged, row);
    row->max_cpu_percent = limits.cpu_percent;
    row->max_memory_percent = limits.memory_percent;
    row->max_load_average = limits.load_average;
    row->max_disk_percent = limits.disk_percent;
}

/* ---- forecasts ---- */

/* Until the last of several is done. */
struct eta_sum {
    bool any, unknown;
    int64_t low, high; // ms
};

static void eta_add (struct eta_sum *all, bool known, int64_t low, int64_t high)
{
    all->any = true;
    all->unknown |= !known;
    all->low = known && low > all->low ? low : all->low;
    all->high = known && high > all->high ? high : all->high;
}

/* In whole seconds, which are at least 1: 0 is unknown. */
static uint64_t seconds (int64_t ms)
{
    int64_t s = (ms + 500) / 1000;

    return (uint64_t) (s < 1 ? 1 : s > INT32_MAX ? INT32_MAX : s);
}

static void eta_fill (const struct eta_sum *all, uint64_t *ret_low_s,
                      uint64_t *ret_high_s)
{
    if (!all->any || all->unknown)
        return;
    *ret_low_s = seconds (all->low);
    *ret_high_s = seconds (all->high);
}

static size_t place_of (const struct broker *b, const struct project *p)
{
    size_t low = 0, high = b->projects.count;

    while (low + 1 < high) {
        size_t middle = (low + high) / 2;

        if (strcmp (b->projects.at[middle]->name, p->name) <= 0)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static void add_forecast (const struct broker *b, const struct lease *l,
                          int64_t now, struct eta_sum *all)
{
    struct range left = {0, 0, 0};
    bool known = conduct_left (b, l, now, &left);

    if (conduct_is_agent (l))
        eta_add (all, known, left.low, left.high);
}

/* One for each project, the caller's to free. */
static struct eta_sum *forecast_projects (const struct broker *b, int64_t now)
{
    struct eta_sum *etas = new_zeroed ((b->projects.count + 1) * sizeof *etas);

    for (size_t i = 0; i < leases_count (&b->leases); i++) {
        const struct lease *l = leases_at (&b->leases, i);

        add_forecast (b, l, now, &etas[place_of (b, l->project)]);
    }
    return etas;
}

static struct eta_sum forecast_all (const struct broker *b,
                                    const struct eta_sum *etas)
{
    struct eta_sum all = {0};

    for (size_t i = 0; i < b->projects.count; i++)
        if (etas[i].any)
            eta_add (&all, !etas[i].unknown, etas[i].low, etas[i].high);
    return all;
}

static void fill_project (const struct broker *b, const struct project *p,
                          const struct eta_sum *eta, struct row_project *row)
{
    copy_text (row->name, sizeof row->name, p->name);
    copy_text (row->display, sizeof row->display, p->display);
    row->priority = p->priority;
    row->max = p->max;
    row->held = p->held;
    row->limbo = p->limbo;
    row->waiting = p->waiting;
    row->paused = p->said.paused;
    row->parked = p->parked;
    row->target = b->dispatch.policy->surplus ? p->target : 0;
    eta_fill (eta, &row->eta_low_s, &row->eta_high_s);
}

static const char *kind_of (const struct lease *l)
{
    if (l->r.bound)
        return "bound";
    if (l->r.tree)
        return "agent";
    return l->r.run ? "run" : "reservation";
}

static const char *proof_of (const struct lease *l)
{
    if (!lease_has_tree (l))
        return "word";
    return l->r.cgroup[0] ? "cgroup" : "reaper";
}

static bool is_suspect (const struct broker *b, const struct lease *l)
{
    const struct session *s = sessions_find (&b->sessions, l->r.session);

    return s && s->suspect;
}

static void fill_agent (const struct broker *b, const struct lease *l,
                        int64_t now, struct row_agent *row)
{
    const struct lease_record *r = &l->r;
    struct eta_sum eta = {0};

    copy_text (row->project, sizeof row->project, r->project);
    row->token = r->token;
    copy_text (row->label, sizeof row->label, r->label);
    copy_text (row->host, sizeof row->host, r->host);
    copy_text (row->state, sizeof row->state, lease_state_name (r->state));
    copy_text (row->kind, sizeof row->kind, kind_of (l));
    copy_text (row->proof, sizeof row->proof, proof_of (l));
    row->percent = lease_percent (r);
    row->phase = r->phase;
    row->phases = r->phases;
    row->validating = r->validating;
    copy_text (row->note, sizeof row->note, r->note);
    row->age_ms = age (r->granted, now);
    row->pid = (uint64_t) r->agent.pid;
    row->supervisor = (uint64_t) r->supervisor.pid;
    if (footprint_known (b, l, now)) {
        row->memory_bytes = l->footprint.memory_bytes;
        row->cpu_ms = l->footprint.cpu_ms;
    }
    row->suspect = is_suspect (b, l);
    add_forecast (b, l, now, &eta);
    eta_fill (&eta, &row->eta_low_s, &row->eta_high_s);
}

static int64_t figure_age (const struct pool *pool, enum reason reason,
                           int64_t now)
{
    const struct health *h = &pool->health;

    return reason == REASON_HEALTH && h->sampled ? age (h->sample.at, now) : 0;
}

void status_waiter_row (const struct waiter *w, const struct outlook *outlook,
                        int64_t now, struct row_waiter *ret_row)
{
    const struct session_record *s = &w->session->r;

    *ret_row = (struct row_waiter){0};
    copy_text (ret_row->project, sizeof ret_row->project, s->project);
    copy_text (ret_row->host, sizeof ret_row->host, s->host);
    ret_row->count = w->r.count;
    ret_row->min = w->r.min;
    ret_row->position = outlook->position;
    ret_row->slots_ahead = outlook->slots_ahead;
    copy_text (ret_row->reason, sizeof ret_row->reason,
               reason_name (outlook->reason));
    copy_text (ret_row->detail, sizeof ret_row->detail, outlook->detail);
    copy_text (ret_row->unblocks, sizeof ret_row->unblocks, outlook->unblocks);
    ret_row->eta_low_s = outlook->eta_low_s;
    ret_row->eta_high_s = outlook->eta_high_s;
    ret_row->age_ms =
        (uint64_t) figure_age (w->session->pool, outlook->reason, now);
    ret_row->since_ms = age (w->r.since, now);
}

/* ---- the whole ---- */

/* One more row at the end of a list; empty. */
static void *more (void *rows, size_t count, size_t size)
{
    if (count & (count - 1)) // room was made for the next power of two
        return rows;
    return resized (rows, count ? 2 * count : 1, size);
}

#define ADD_ROW(snapshot, list, total, verb_row, row)                          \
    ((snapshot)->list =                                                        \
         more ((snapshot)->list, (snapshot)->total, sizeof *(snapshot)->list), \
     row = &(snapshot)->list[(snapshot)->total++], row_init (row, verb_row))

/* How an empty row of a list of STATUS_OK looks. */
static const struct fields *row_of (const char *list)
{
    const struct fields *fields = message_fields (VERB_STATUS_OK);

    for (unsigned i = 0; i < fields->count; i++) {
        if (strcmp (fields->at[i].key, list) == 0)
            return fields->at[i].row;
    }
    return NULL;
}

static void add_hosts (const struct broker *b, struct snapshot *s, int64_t now)
{
    const struct fields *empty = row_of ("hosts");
    struct row_host *row;

    for (size_t i = 0; i < b->pools.count; i++) {
        ADD_ROW (s, hosts, host_count, empty, row);
        fill_host (b, b->pools.at[i], now, row);
    }
}

/* Who looks at what. */
struct view {
    const struct peer *peer;
    const char *project; // "": all
    int64_t now;
    struct eta_sum *etas; // of the projects
};

static bool is_shown (const struct view *v, const char *project)
{
    return !v->project[0] || strcmp (project, v->project) == 0;
}

static bool may_see (const struct view *v, uint32_t uid)
{
    return v->peer->role != ROLE_PROJECT || uid == v->peer->uid;
}

static void add_projects (const struct broker *b, struct snapshot *s,
                          const struct view *v)
{
    const struct fields *empty = row_of ("projects");
    struct row_project *row;

    for (size_t i = 0; i < b->projects.count; i++) {
        if (is_shown (v, b->projects.at[i]->name)) {
            ADD_ROW (s, projects, project_count, empty, row);
            fill_project (b, b->projects.at[i], &v->etas[i], row);
        }
    }
}

static void add_agents (const struct broker *b, struct snapshot *s,
                        const struct view *v)
{
    const struct fields *empty = row_of ("agents");
    struct row_agent *row;

    for (size_t i = 0; i < leases_count (&b->leases); i++) {
        const struct lease *l = leases_at (&b->leases, i);

        if (is_shown (v, l->r.project) && may_see (v, l->r.uid)) {
            ADD_ROW (s, agents, agent_count, empty, row);
            fill_agent (b, l, v->now, row);
        }
    }
}

/* Agents are listed by token. */
static struct row_agent *agent_row (const struct snapshot *s, uint64_t token)
{
    size_t low = 0, high = s->agent_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (s->agents[middle].token < token)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->agent_count && s->agents[low].token == token
               ? &s->agents[low]
               : NULL;
}

static void mark_tree (const struct broker *b, const struct snapshot *s,
                       const struct victim *v)
{
    const struct lease *of = leases_find (&b->leases, v->token), *l = NULL;

    while ((l = lease_next_of_tree (&b->leases, of, l))) {
        struct row_agent *row = agent_row (s, l->r.token);

        if (!row)
            continue;
        row->victim = v->rank;
        copy_text (row->why, sizeof row->why, v->why);
    }
}

static void mark_victims (const struct broker *b, struct snapshot *s,
                          int64_t now)
{
    for (size_t i = 0; i < b->pools.count; i++) {
        size_t count;
        struct victim *victims =
            enforce_victims (b, b->pools.at[i], now, &count);

        for (size_t n = 0; n < count; n++)
            mark_tree (b, s, &victims[n]);
        free (victims);
    }
}

/* Into which snapshot, for whom. */
struct listing {
    const struct broker *b;
    struct snapshot *s;
    const struct view *v;
    const struct fields *empty;
};

static void add_waiter (void *who, struct ticket *t,
                        const struct outlook *explained)
{
    const struct listing *l = who;
    const struct waiter *w = waiter_of (t);
    struct outlook outlook = *explained;
    struct row_waiter *row;

    if (!is_shown (l->v, w->session->r.project) ||
        !may_see (l->v, w->session->r.uid))
        return;
    ADD_ROW (l->s, queue, waiter_count, l->empty, row);
    outlook_complete (l->b, w, l->v->now, &outlook);
    status_waiter_row (w, &outlook, l->v->now, row);
}

static void add_queue (const struct broker *b, struct snapshot *s,
                       const struct view *v)
{
    struct listing listing = {b, s, v, row_of ("queue")};

    for (size_t i = 0; i < b->pools.count; i++)
        dispatch_explain_first (&b->dispatch, b->pools.at[i], UINT64_MAX,
                                v->now, add_waiter, &listing);
}

void status_answer (struct broker *b, const struct peer *to,
                    const char *project, int64_t now, struct outbox *out)
{
    const struct view view = {to, project, now, forecast_projects (b, now)};
    const struct eta_sum all = forecast_all (b, view.etas);
    struct snapshot *s = snapshots_begin (&b->snapshots, now);
    struct msg_status_ok *page = &b->scratch.status_ok;

    s->uid = to->uid;
    fill_head (b, &s->head);
    eta_fill (&all, &s->head.eta_low_s, &s->head.eta_high_s);
    add_hosts (b, s, now);
    add_projects (b, s, &view);
    add_agents (b, s, &view);
    mark_victims (b, s, now);
    add_queue (b, s, &view);
    free (view.etas);
    snapshot_page (s, 0, page);
    outbox_send (out, &to->path, VERB_STATUS_OK, page);
    if (page->next)
        snapshots_keep (&b->snapshots, s);
    else
        snapshot_free (s);
}

enum err status_page (struct broker *b, const struct peer *to,
                      const struct msg_status *in, struct outbox *out)
{
    const struct snapshot *s =
        snapshots_find (&b->snapshots, in->snapshot, to->uid);
    struct msg_status_ok *page = &b->scratch.status_ok;

    if (!s)
        return ERR_EXPIRED;
    snapshot_page (s, in->cursor, page);
    outbox_send (out, &to->path, VERB_STATUS_OK, page);
    return ERR_NONE;
}
