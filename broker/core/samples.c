/* SPDX-License-Identifier: MPL-2.0 */
/* Samples: how the hosts are. Of its own host the broker is told by its shell,
 * of any other by SAMPLE.
 */
#include <math.h>
#include <stdio.h>

#include "core/answers.h"
#include "core/handlers.h"
#include "core/publish.h"

static void log_level (const struct pool *pool, struct outbox *out)
{
    enum level level = health_level (&pool->health);
    char host[sizeof pool->host];

    outbox_journal (
        out, level == LEVEL_HEALTHY ? JOURNAL_INFO : JOURNAL_WARNING,
        "health   host=\"%s\" level=%s",
        outbox_quoted (pool->host, host, sizeof host), level_name (level));
}

/* A disk fills slowly and takes no slots until it is nearly full: so it is
 * said loudly while there is time. */
static void warn_of_disks (const struct pool *pool, const enum level *before,
                           struct outbox *out)
{
    char host[sizeof pool->host];

    outbox_quoted (pool->host, host, sizeof host);
    for (enum metric m = METRIC_DISK; m <= METRIC_INODES; m++) {
        enum level level = health_metric (&pool->health, m);

        if (level > before[m])
            outbox_journal (out, JOURNAL_ALARM,
                            "health   host=\"%s\" %s=%s percent=%.1f", host,
                            metric_name (m), level_name (level),
                            health_value (&pool->health.sample, m));
    }
}

static void observe (struct broker *b, struct pool *pool,
                     const struct sample *sample, int64_t wall, int64_t now,
                     struct outbox *out)
{
    const struct limits limits = settings_limits (&b->settings, pool->cores);
    const struct timing *t = &b->settings.timing;
    enum level before = health_level (&pool->health), metrics[METRIC_COUNT];
    bool changed;

    for (enum metric m = 0; m < METRIC_COUNT; m++)
        metrics[m] = health_metric (&pool->health, m);
    changed =
        health_update (&pool->health, sample, wall, &limits, t->dwell, now);
    enforce_observe (b, pool, now);
    warn_of_disks (pool, metrics, out);
    if (health_level (&pool->health) != before)
        log_level (pool, out);
    if (changed || now - pool->health_at >= t->health_interval)
        publish_health (b, pool, now, out);
}

void broker_observe_sample (struct broker *b, const struct sample *sample,
                            int64_t wall, int64_t now, struct outbox *out)
{
    observe (b, b->pools.at[0], sample, wall, now, out);
}

void broker_observe_unmanaged (struct broker *b, unsigned count,
                               uint64_t memory_bytes, const char *of)
{
    struct unmanaged *u = &b->pools.at[0]->unmanaged;

    u->count = count;
    u->memory_bytes = memory_bytes;
    copy_text (u->of, sizeof u->of, of);
}

static int64_t interval_of (const struct broker *b, const struct pool *pool)
{
    const struct limits limits = settings_limits (&b->settings, pool->cores);

    return health_interval (&pool->health, &limits, b->settings.timing.sample);
}

int64_t broker_sample_interval (const struct broker *b)
{
    return interval_of (b, b->pools.at[0]);
}

/* ---- SAMPLE ---- */

static void note_unmanaged (struct unmanaged *u, const struct msg_sample *in)
{
    u->count = (unsigned) in->unmanaged;
    u->memory_bytes = in->unmanaged_bytes;
    copy_text (u->of, sizeof u->of, in->unmanaged_of);
}

/* Which figure cannot be, and the most it may; NULL: none. */
static const char *impossible (const struct msg_sample *m, double *ret_most)
{
    const struct {
        const char *key;
        double value, most;
    } figures[] = {
        {"cpu_percent", m->cpu_percent, 100},
        {"memory_percent", m->memory_percent, 100},
        {"load1", m->load1, 1e6},
        {"running", m->running, 1e6},
        {"disk_percent", m->disk_percent, 100},
        {"inodes_percent", m->inodes_percent, 100},
        {"swap_percent", m->swap_percent, 100},
        {"cpu_some", m->cpu_some, 100},
        {"memory_some", m->memory_some, 100},
        {"memory_full", m->memory_full, 100},
        {"io_some", m->io_some, 100},
        {"io_full", m->io_full, 100},
    };

    for (unsigned i = 0; i < sizeof figures / sizeof *figures; i++) {
        *ret_most = figures[i].most;
        if (figures[i].value < 0 || figures[i].value > *ret_most)
            return figures[i].key; // NaN, unknown, is neither
    }
    return NULL;
}

static struct sample sample_of (const struct msg_sample *m, int64_t now)
{
    return (struct sample){
        .at = now,
        .cpu_percent = m->cpu_percent,
        .memory_percent = m->memory_percent,
        .load1 = m->load1,
        .running = m->running,
        .disk_percent = m->disk_percent,
        .inodes_percent = m->inodes_percent,
        .swap_percent = m->swap_percent,
        .cpu_some = m->cpu_some,
        .memory_some = m->memory_some,
        .memory_full = m->memory_full,
        .io_some = m->io_some,
        .io_full = m->io_full,
    };
}

/* One at a time, so that "twice in a row" means two moments and not two
 * shims; the next one when that has fallen silent. */
static bool is_heeded (const struct broker *b, const struct pool *pool,
                       const struct call *c)
{
    return pool->reporter == 0 || pool->reporter == c->from->r.id ||
           c->now - pool->reported >= 2 * b->settings.timing.sample;
}

/* With it goes when the next one is wanted. */
static void answer_sample (const struct broker *b, const struct call *c)
{
    struct msg_ok ok;

    message_init_fields (&ok, VERB_OK);
    copy_text (ok.re, sizeof ok.re, verb_name (VERB_SAMPLE));
    ok.count = (uint64_t) interval_of (b, c->from->pool);
    outbox_send (c->out, &c->peer->path, VERB_OK, &ok);
}

/* A copy of the newest is no second moment. */
static bool is_twice (const struct pool *pool, const struct msg_sample *in)
{
    return in->at_ms && pool->health.wall == (int64_t) in->at_ms;
}

enum err on_sample (struct broker *b, struct call *c)
{
    const struct msg_sample *in = &c->in->sample;
    struct pool *pool = c->from->pool;
    struct sample sample;
    double most;
    const char *key = impossible (in, &most);

    if (pools_is_own (&b->pools, pool)) {
        snprintf (c->detail, sizeof c->detail,
                  "the broker looks at its own host itself");
        return ERR_NOT_ALLOWED;
    }
    if (key) {
        snprintf (c->detail, sizeof c->detail, "expected 0..%.0f", most);
        return bad_arg (c, key);
    }
    if (is_heeded (b, pool, c) && !is_twice (pool, in)) {
        pool->reporter = c->from->r.id;
        pool->reported = c->now;
        note_unmanaged (&pool->unmanaged, in);
        sample = sample_of (in, c->now);
        observe (b, pool, &sample, (int64_t) in->at_ms, c->now, c->out);
    }
    answer_sample (b, c);
    return ERR_NONE;
}
