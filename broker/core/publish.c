/* SPDX-License-Identifier: MPL-2.0 */
#include "core/publish.h"

#include <math.h>
#include <stdio.h>

#include "core/memory.h"
#include "core/outlook.h"
#include "core/status.h"

enum {
    TOPIC_BYTES = 80,
    SHORT_QUEUE = 256, // requests
    LONG_ROWS = 16,    // of a project, in a longer one
    QUEUES_MS = 1000
};

/* A topic's number rises when the digest of what it says changes. */
static bool is_news (uint64_t *number, uint64_t *old, uint64_t digest)
{
    if (*number && *old == digest)
        return false;
    ++*number;
    *old = digest;
    return true;
}

static const char *topic_of (const char *kind, const char *name,
                             char *ret_topic)
{
    snprintf (ret_topic, TOPIC_BYTES, "%s.%s", kind, name);
    return ret_topic;
}

/* ---- pool ---- */

/* The figure of a cause goes on by itself: that is no change. */
static uint64_t digest_pool (const struct broker *b, const struct pool *pool)
{
    uint64_t digest = digest_u64 (DIGEST_START, pool->max_slots);

    digest = digest_u64 (digest, pool_effective (pool));
    digest = digest_u64 (digest, pool->in_use);
    digest = digest_u64 (digest, pool->waiting);
    digest = digest_u64 (digest, b->disk_full);
    return digest_u64 (digest, pool->response.changes);
}

static void fill_pool (const struct broker *b, const struct pool *pool,
                       struct msg_pool *m)
{
    message_init_fields (m, VERB_POOL);
    m->number = pool->number;
    m->epoch = b->meta.epoch;
    copy_text (m->host, sizeof m->host, pool->host);
    m->max_slots = pool->max_slots;
    m->effective = pool_effective (pool);
    m->in_use = pool->in_use;
    m->waiting = pool->waiting;
    m->disk_full = b->disk_full;
}

static void publish_pool (struct broker *b, struct pool *pool,
                          struct outbox *out)
{
    char topic[TOPIC_BYTES];
    struct msg_pool m;

    if (!is_news (&pool->number, &pool->digest, digest_pool (b, pool)))
        return;
    fill_pool (b, pool, &m);
    status_pool_cause (b, pool, m.cause, sizeof m.cause);
    outbox_publish (out, topic_of ("pool", pool->host, topic), VERB_POOL, &m,
                    false);
}

/* ---- leases of a project ---- */

static bool is_named (const struct lease *l, const struct project *p)
{
    return l->project == p && lease_counts (l);
}

static uint64_t digest_leases (const struct broker *b, const struct project *p)
{
    uint64_t digest = digest_u64 (DIGEST_START, p->held);

    digest = digest_u64 (digest, p->limbo);
    for (size_t i = 0; project_counted (p) && i < leases_count (&b->leases);
         i++) {
        const struct lease *l = leases_at (&b->leases, i);

        if (is_named (l, p))
            digest = digest_u64 (digest, l->r.token);
    }
    return digest;
}

static void fill_lease (const struct broker *b, const struct project *p,
                        struct msg_lease *m)
{
    message_init_fields (m, VERB_LEASE);
    m->number = p->lease_number;
    m->epoch = b->meta.epoch;
    copy_text (m->project, sizeof m->project, p->name);
    m->held = p->held;
    m->limbo = p->limbo;
    for (size_t i = 0; project_counted (p) && i < leases_count (&b->leases);
         i++) {
        const struct lease *l = leases_at (&b->leases, i);

        if (is_named (l, p))
            u64s_add (&m->tokens, l->r.token);
    }
}

static void publish_lease (struct broker *b, struct project *p,
                           struct outbox *out)
{
    char topic[TOPIC_BYTES];
    struct msg_lease m;

    if (!is_news (&p->lease_number, &p->lease_digest, digest_leases (b, p)))
        return;
    fill_lease (b, p, &m);
    outbox_publish (out, topic_of ("lease", p->name, topic), VERB_LEASE, &m,
                    false);
}

/* ---- queue of a project ---- */

/* Of a long queue few are shown: each step changes what is said of all. */
static bool is_long (const struct broker *b)
{
    return b->waiters.count > SHORT_QUEUE;
}

static unsigned most_shown (const struct broker *b)
{
    return is_long (b) ? LONG_ROWS : PAGE_ROWS;
}

/* Time and figures go on by themselves: they are no change. */
static uint64_t digest_waiter (uint64_t digest, const struct waiter *w,
                               const struct outlook *o)
{
    digest = digest_u64 (digest, w->r.number);
    digest = digest_u64 (digest, o->position);
    digest = digest_u64 (digest, o->slots_ahead);
    digest = digest_u64 (digest, o->reason);
    return digest_u64 (digest, (uint64_t) w->told_eta.high);
}

/* What those wait for that are shown. */
static void add_digest (void *who, struct ticket *t, const struct outlook *o)
{
    const struct broker *b = who;
    struct project *p = t->lane->project;

    if (p->shown < most_shown (b)) {
        p->shown++;
        p->queue_now = digest_waiter (p->queue_now, waiter_of (t), o);
    }
}

static void digest_queues (struct broker *b, int64_t now)
{
    for (size_t i = 0; i < b->projects.count; i++) {
        struct project *p = b->projects.at[i];

        p->shown = 0;
        p->queue_now = digest_u64 (DIGEST_START, p->waiting);
    }
    for (size_t i = 0; b->waiters.count && i < b->pools.count; i++)
        dispatch_explain_first (&b->dispatch, b->pools.at[i], UINT64_MAX, now,
                                add_digest, b);
}

/* The first of each host, as the digest has them. */
static void add_rows (const struct broker *b, const struct lane *lane,
                      int64_t now, struct msg_queue *m)
{
    struct ticket *t = lane_first (lane);

    for (; t && m->requests_count < most_shown (b); t = lane_next (t)) {
        struct outlook outlook;

        outlook_of (b, waiter_of (t), now, &outlook);
        status_waiter_row (waiter_of (t), &outlook, now,
                           &m->requests[m->requests_count++]);
    }
}

static void publish_queue (struct broker *b, struct project *p, int64_t now,
                           struct outbox *out)
{
    const struct dispatch *d = &b->dispatch;
    char topic[TOPIC_BYTES];
    struct msg_queue *m;

    if (!is_news (&p->queue_number, &p->queue_digest, p->queue_now))
        return;
    m = outbox_publish_empty (out, topic_of ("queue", p->name, topic),
                              VERB_QUEUE, false);
    m->epoch = b->meta.epoch;
    m->number = p->queue_number;
    copy_text (m->project, sizeof m->project, p->name);
    m->waiting = p->waiting;
    for (size_t i = 0; p->shown && i < b->pools.count; i++) {
        for (size_t k = 0; k < d->lane_count; k++) {
            if (d->lanes[k]->pool == b->pools.at[i] &&
                d->lanes[k]->project == p)
                add_rows (b, d->lanes[k], now, m);
        }
    }
}

/* What is said of a long queue is said once a second, and not at each step. */
static void publish_queues (struct broker *b, int64_t now, struct outbox *out)
{
    if (is_long (b) && b->queues_at + QUEUES_MS > now) {
        b->queues_due = b->queues_at + QUEUES_MS;
        return;
    }
    digest_queues (b, now);
    for (size_t i = 0; i < b->projects.count; i++)
        publish_queue (b, b->projects.at[i], now, out);
    b->queues_at = now;
    b->queues_due = 0;
}

/* ---- broker ---- */

static void publish_broker (struct broker *b, struct outbox *out)
{
    struct msg_broker m;

    message_init_fields (&m, VERB_BROKER);
    m.epoch = b->meta.epoch;
    copy_text (m.broker, sizeof m.broker, b->meta.broker);
    copy_text (m.version, sizeof m.version, b->self.version);
    copy_text (m.policy, sizeof m.policy, b->dispatch.policy->name);
    m.sessions = b->sessions.count;
    m.disk_full = b->disk_full;
    m.learning = b->learning;
    if (!is_news (&b->broker_number, &b->broker_digest,
                  digest_bytes (DIGEST_START, &m, sizeof m)))
        return;
    m.number = b->broker_number;
    outbox_publish (out, "broker", VERB_BROKER, &m, false);
}

/* ---- health ---- */

/* A metric without a limit has no level. */
static void fill_level (const struct pool *pool, const struct limits *l,
                        enum metric m, char *ret_level, size_t size)
{
    if (limits_judge (l, m))
        copy_text (ret_level, size,
                   level_name (health_metric (&pool->health, m)));
}

static void fill_levels (const struct pool *p, const struct limits *l,
                         struct msg_health *m)
{
    copy_text (m->level, sizeof m->level,
               level_name (health_level (&p->health)));
    fill_level (p, l, METRIC_CPU, m->cpu_level, sizeof m->cpu_level);
    fill_level (p, l, METRIC_MEMORY, m->memory_level, sizeof m->memory_level);
    fill_level (p, l, METRIC_LOAD, m->load_level, sizeof m->load_level);
    fill_level (p, l, METRIC_DISK, m->disk_level, sizeof m->disk_level);
    fill_level (p, l, METRIC_INODES, m->inodes_level, sizeof m->inodes_level);
}

static void fill_stale (const struct health *h, struct msg_health *m)
{
    for (enum metric i = 0; i < METRIC_COUNT; i++) {
        size_t used = strlen (m->stale);

        if (h->stale[i])
            snprintf (m->stale + used, sizeof m->stale - used, "%s%s",
                      used ? "," : "", metric_name (i));
    }
}

static void fill_figures (const struct sample *s, struct msg_health *m)
{
    m->cpu_percent = s->cpu_percent;
    m->memory_percent = s->memory_percent;
    m->load1 = s->load1;
    m->disk_percent = s->disk_percent;
    m->inodes_percent = s->inodes_percent;
    m->swap_percent = s->swap_percent;
    m->cpu_some = s->cpu_some;
    m->memory_some = s->memory_some;
    m->memory_full = s->memory_full;
    m->io_some = s->io_some;
    m->io_full = s->io_full;
    m->running = s->running > 0 ? (uint64_t) s->running : 0;
}

void publish_health (struct broker *b, struct pool *pool, int64_t now,
                     struct outbox *out)
{
    char topic[TOPIC_BYTES];
    struct limits limits = settings_limits (&b->settings, pool->cores);
    struct msg_health m;

    pool->health_at = now;
    message_init_fields (&m, VERB_HEALTH);
    m.number = ++pool->health_number;
    m.epoch = b->meta.epoch;
    m.at_ms = pool->health.wall > 0 ? (uint64_t) pool->health.wall : 0;
    copy_text (m.host, sizeof m.host, pool->host);
    fill_levels (pool, &limits, &m);
    fill_stale (&pool->health, &m);
    fill_figures (&pool->health.sample, &m);
    outbox_publish (out, topic_of ("health", pool->host, topic), VERB_HEALTH,
                    &m, false);
}

/* ---- the last of a topic ---- */

static void end_health (const struct broker *b, struct pool *pool,
                        struct outbox *out)
{
    char topic[TOPIC_BYTES];
    struct msg_health m;

    if (pool->health_at == 0)
        return; // there never was one
    message_init_fields (&m, VERB_HEALTH);
    m.number = ++pool->health_number;
    m.epoch = b->meta.epoch;
    copy_text (m.host, sizeof m.host, pool->host);
    copy_text (m.level, sizeof m.level, "unknown");
    m.gone = true;
    outbox_publish (out, topic_of ("health", pool->host, topic), VERB_HEALTH,
                    &m, true);
}

void publish_pool_gone (const struct broker *b, struct pool *pool,
                        struct outbox *out)
{
    char topic[TOPIC_BYTES];
    struct msg_pool m;

    end_health (b, pool, out);
    message_init_fields (&m, VERB_POOL);
    m.number = ++pool->number;
    m.epoch = b->meta.epoch;
    copy_text (m.host, sizeof m.host, pool->host);
    m.gone = true;
    outbox_publish (out, topic_of ("pool", pool->host, topic), VERB_POOL, &m,
                    true);
}

void publish_project_gone (struct broker *b, struct project *p,
                           struct outbox *out)
{
    char topic[TOPIC_BYTES];
    struct msg_lease lease;
    struct msg_queue *queue;

    message_init_fields (&lease, VERB_LEASE);
    lease.number = ++p->lease_number;
    lease.epoch = b->meta.epoch;
    copy_text (lease.project, sizeof lease.project, p->name);
    lease.gone = true;
    outbox_publish (out, topic_of ("lease", p->name, topic), VERB_LEASE, &lease,
                    true);
    queue = outbox_publish_empty (out, topic_of ("queue", p->name, topic),
                                  VERB_QUEUE, true);
    queue->number = ++p->queue_number;
    queue->epoch = b->meta.epoch;
    copy_text (queue->project, sizeof queue->project, p->name);
    queue->gone = true;
}

/* ---- all ---- */

void publish_changes (struct broker *b, int64_t now, struct outbox *out)
{
    if (b->queues_due && b->queues_due <= now)
        publish_queues (b, now, out);
    if (b->published == b->changes)
        return;
    for (size_t i = 0; i < b->pools.count; i++)
        publish_pool (b, b->pools.at[i], out);
    for (size_t i = 0; i < b->projects.count; i++)
        publish_lease (b, b->projects.at[i], out);
    publish_queues (b, now, out);
    publish_broker (b, out);
    b->published = b->changes;
}
