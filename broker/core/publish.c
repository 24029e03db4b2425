/* SPDX-License-Identifier: MPL-2.0 */
#include "core/publish.h"

#include <math.h>
#include <stdio.h>

#include "core/memory.h"
#include "core/status.h"

enum { TOPIC_BYTES = 80 };

/* One topic: its number rises when the digest of what it says changes. */
struct series {
    uint64_t *number, *digest;
    const char *prefix; // NULL: only changes
};

static bool is_due (const struct series *s, const char *topic, uint64_t digest)
{
    if (*s->number == 0 || *s->digest != digest) {
        ++*s->number;
        *s->digest = digest;
        return true;
    }
    return s->prefix && strncmp (topic, s->prefix, strlen (s->prefix)) == 0;
}

static const char *topic_of (const char *kind, const char *name,
                             char *ret_topic)
{
    snprintf (ret_topic, TOPIC_BYTES, "%s.%s", kind, name);
    return ret_topic;
}

/* ---- pool ---- */

static void fill_pool (const struct broker *b, const struct pool *pool,
                       struct msg_pool *m)
{
    message_init_fields (m, VERB_POOL);
    m->epoch = b->meta.epoch;
    copy_text (m->host, sizeof m->host, pool->host);
    m->max_slots = pool->max_slots;
    m->effective = pool_effective (pool);
    m->in_use = pool->in_use;
    m->waiting = pool->waiting;
    m->disk_full = b->disk_full;
}

static void publish_pool (struct broker *b, struct pool *pool,
                          const char *prefix, struct outbox *out)
{
    struct series series = {&pool->number, &pool->digest, prefix};
    char topic[TOPIC_BYTES];
    struct msg_pool m;

    fill_pool (b, pool, &m);
    topic_of ("pool", pool->host, topic);
    if (!is_due (&series, topic, digest_bytes (DIGEST_START, &m, sizeof m)))
        return;
    m.number = pool->number;
    outbox_publish (out, topic, VERB_POOL, &m);
}

/* ---- leases of a project ---- */

static void fill_lease (const struct broker *b, const struct project *p,
                        struct msg_lease *m)
{
    message_init_fields (m, VERB_LEASE);
    m->epoch = b->meta.epoch;
    copy_text (m->project, sizeof m->project, p->name);
    m->held = p->held;
    m->limbo = p->limbo;
    for (size_t i = 0; project_counted (p) && i < leases_count (&b->leases);
         i++) {
        const struct lease *l = leases_at (&b->leases, i);

        if (l->project == p)
            u64s_add (&m->tokens, l->r.token);
    }
}

static void publish_lease (struct broker *b, struct project *p,
                           const char *prefix, struct outbox *out)
{
    struct series series = {&p->lease_number, &p->lease_digest, prefix};
    char topic[TOPIC_BYTES];
    struct msg_lease m;
    size_t used; // what lies behind it is zeroes

    fill_lease (b, p, &m);
    topic_of ("lease", p->name, topic);
    used = offsetof (struct msg_lease, tokens.at[0]) +
           m.tokens.count * sizeof m.tokens.at[0];
    if (!is_due (&series, topic, digest_bytes (DIGEST_START, &m, used)))
        return;
    m.number = p->lease_number;
    outbox_publish (out, topic, VERB_LEASE, &m);
}

/* ---- queue of a project ---- */

/* Time and figures go on by themselves: they are no change. */
static uint64_t digest_waiter (uint64_t digest, const struct row_waiter *row)
{
    digest = digest_text (digest, row->host);
    digest = digest_u64 (digest, row->count);
    digest = digest_u64 (digest, row->min);
    digest = digest_u64 (digest, row->position);
    digest = digest_u64 (digest, row->slots_ahead);
    return digest_text (digest, row->reason);
}

static uint64_t fill_queue (const struct broker *b, const struct project *p,
                            int64_t now, struct msg_queue *m)
{
    uint64_t digest = DIGEST_START;

    message_init_fields (m, VERB_QUEUE);
    m->epoch = b->meta.epoch;
    copy_text (m->project, sizeof m->project, p->name);
    m->waiting = p->waiting;
    for (size_t i = 0;
         p->queued && i < b->waiters.count && m->requests_count < PAGE_ROWS;
         i++) {
        const struct waiter *w = b->waiters.at[i];
        struct row_waiter *row = &m->requests[m->requests_count];

        if (w->session->project != p)
            continue;
        status_waiter_row (w, now, row);
        digest = digest_waiter (digest, row);
        m->requests_count++;
    }
    return digest_u64 (digest, p->waiting);
}

static void publish_queue (struct broker *b, struct project *p,
                           const char *prefix, int64_t now, struct outbox *out)
{
    struct series series = {&p->queue_number, &p->queue_digest, prefix};
    struct msg_queue *m = &b->scratch.queue;
    char topic[TOPIC_BYTES];

    topic_of ("queue", p->name, topic);
    if (!is_due (&series, topic, fill_queue (b, p, now, m)))
        return;
    m->number = p->queue_number;
    outbox_publish (out, topic, VERB_QUEUE, m);
}

/* ---- broker ---- */

static void publish_broker (struct broker *b, const char *prefix,
                            struct outbox *out)
{
    struct series series = {&b->broker_number, &b->broker_digest, prefix};
    struct msg_broker m;

    message_init_fields (&m, VERB_BROKER);
    m.epoch = b->meta.epoch;
    copy_text (m.broker, sizeof m.broker, b->meta.broker);
    copy_text (m.version, sizeof m.version, b->self.version);
    m.sessions = b->sessions.count;
    m.disk_full = b->disk_full;
    m.learning = b->learning;
    if (!is_due (&series, "broker", digest_bytes (DIGEST_START, &m, sizeof m)))
        return;
    m.number = b->broker_number;
    outbox_publish (out, "broker", VERB_BROKER, &m);
}

/* ---- health ---- */

/* A metric without a limit has no level. */
static void fill_level (const struct health *h, enum metric m, double limit,
                        char *ret_level, size_t size)
{
    if (!isnan (limit))
        copy_text (ret_level, size, level_name (health_metric (h, m)));
}

static void fill_levels (const struct health *h, const struct limits *l,
                         struct msg_health *m)
{
    copy_text (m->level, sizeof m->level, level_name (health_level (h)));
    fill_level (h, METRIC_CPU, l->cpu_percent, m->cpu_level,
                sizeof m->cpu_level);
    fill_level (h, METRIC_MEMORY, l->memory_percent, m->memory_level,
                sizeof m->memory_level);
    fill_level (h, METRIC_LOAD, l->load_average, m->load_level,
                sizeof m->load_level);
    fill_level (h, METRIC_DISK, l->disk_percent, m->disk_level,
                sizeof m->disk_level);
    fill_level (h, METRIC_INODES, l->disk_percent, m->inodes_level,
                sizeof m->inodes_level);
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

static void send_health (const struct broker *b, const struct pool *pool,
                         struct outbox *out)
{
    char topic[TOPIC_BYTES];
    struct msg_health m;

    message_init_fields (&m, VERB_HEALTH);
    m.number = pool->health_number;
    m.epoch = b->meta.epoch;
    m.at_ms = pool->health.wall > 0 ? (uint64_t) pool->health.wall : 0;
    copy_text (m.host, sizeof m.host, pool->host);
    fill_levels (&pool->health, &b->settings.limits, &m);
    fill_stale (&pool->health, &m);
    fill_figures (&pool->health.sample, &m);
    outbox_publish (out, topic_of ("health", pool->host, topic), VERB_HEALTH,
                    &m);
}

void publish_health (struct broker *b, struct pool *pool, int64_t now,
                     struct outbox *out)
{
    pool->health_number++;
    pool->health_at = now;
    send_health (b, pool, out);
}

static void publish_health_again (struct broker *b, struct pool *pool,
                                  const char *prefix, struct outbox *out)
{
    char topic[TOPIC_BYTES];

    topic_of ("health", pool->host, topic);
    if (pool->health.sampled && strncmp (topic, prefix, strlen (prefix)) == 0)
        send_health (b, pool, out);
}

/* ---- all ---- */

static void publish_all (struct broker *b, const char *prefix, int64_t now,
                         struct outbox *out)
{
    for (size_t i = 0; i < b->pools.count; i++)
        publish_pool (b, b->pools.at[i], prefix, out);
    for (size_t i = 0; i < b->projects.count; i++) {
        publish_lease (b, b->projects.at[i], prefix, out);
        publish_queue (b, b->projects.at[i], prefix, now, out);
    }
    publish_broker (b, prefix, out);
}

void publish_changes (struct broker *b, int64_t now, struct outbox *out)
{
    if (b->published == b->changes)
        return;
    publish_all (b, NULL, now, out);
    b->published = b->changes;
}

void publish_again (struct broker *b, const char *prefix, int64_t now,
                    struct outbox *out)
{
    state_tally (b);
    for (size_t i = 0; i < b->pools.count; i++)
        publish_health_again (b, b->pools.at[i], prefix, out);
    publish_all (b, prefix, now, out);
}
