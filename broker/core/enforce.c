/* SPDX-License-Identifier: MPL-2.0 */
#include "core/enforce.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "core/answers.h"
#include "core/endings.h"
#include "core/footprints.h"
#include "core/ledger.h"
#include "core/memory.h"

enum { OLD_SAMPLES = 3 };
static const double MARGIN = 5; // points below a limit that end an episode

static const char *cause_name (enum enforce_cause cause)
{
    switch (cause) {
    case ENFORCE_RUNAWAY: return "runaway";
    case ENFORCE_MEMORY: return "memory";
    case ENFORCE_LOAD: return "load";
    case ENFORCE_PEOPLE: return "relieve";
    }
    return "?";
}

/* ---- figures ---- */

static bool is_fresh (const struct broker *b, int64_t at, int64_t now)
{
    return at && now - at < OLD_SAMPLES * b->settings.timing.sample;
}

/* Of its tree, or of none: 0. */
static uint64_t memory_of (const struct broker *b, const struct lease *l,
                           int64_t now)
{
    return is_fresh (b, l->footprint.at, now) ? l->footprint.memory_bytes : 0;
}

/* What the host has; 0: not known. Of its own the broker knows it, and asks no
 * shim there. */
static uint64_t memory_of_host (const struct broker *b, const struct pool *pool)
{
    return pools_is_own (&b->pools, pool) ? b->settings.memory_bytes
                                          : pool->memory_bytes;
}

/* Critical for its pressure alone, and that is an average of 10 s: what fades
 * is of what has been, such as the last victim. */
static bool is_past (const struct health *h, const struct limits *l)
{
    return h->fades && !(h->sample.memory_percent > l->critical_memory_percent);
}

/* Is that metric above its critical limit, in a figure that may be judged
 * by? */
static bool is_critical (const struct broker *b, const struct pool *pool,
                         enum metric m, int64_t now)
{
    const struct health *h = &pool->health;
    const struct limits limits = settings_limits (&b->settings, pool->cores);

    return h->sampled && h->critical[m].on && h->critical[m].above > 0 &&
           !h->stale[m] && limits_judge (&limits, m) &&
           !(m == METRIC_MEMORY && is_past (h, &limits)) &&
           is_fresh (b, h->sample.at, now);
}

/* What is missing until memory is critical no longer: of pressure alone nobody
 * knows how much that is. */
static struct shortage shortage_of (const struct broker *b,
                                    const struct pool *pool, bool memory)
{
    const struct limits *l = &b->settings.limits;
    double limit = isnan (l->critical_memory_percent)
                       ? l->memory_percent
                       : l->critical_memory_percent;
    double percent = pool->health.sample.memory_percent - limit + MARGIN;
    uint64_t bytes = memory_of_host (b, pool);

    if (isnan (percent) || percent < MARGIN)
        percent = MARGIN;
    return (struct shortage){
        .memory = memory,
        .memory_bytes = bytes,
        .missing_bytes = (uint64_t) ((double) bytes * percent / 100),
    };
}

/* ---- runaways ---- */

/* What it goes by. */
struct judged {
    enum excess excess;
    uint64_t limit, figure;
    double over;
};

static void judge (struct judged *j, enum excess excess, int64_t limit,
                   uint64_t figure)
{
    double over = limit > 0 ? (double) figure / (double) limit : 0;

    if (over > 1 && over > j->over)
        *j = (struct judged){excess, (uint64_t) limit, figure, over};
}

/* How long its tree has run. Of one in a reservation that began before this
 * broker did nobody knows. */
static uint64_t run_time (const struct lease *l, int64_t now)
{
    int64_t began = l->conduct.begun;

    if (!began && l->r.run)
        began = l->r.granted;
    return began && now > began ? (uint64_t) (now - began) : 0;
}

/* How long it has been busy without progress, of which there was some. */
static uint64_t stalled_for (const struct broker *b, const struct lease *l,
                             int64_t now)
{
    const struct advance *a = &l->advance;
    uint64_t since = a->at && now > a->at ? (uint64_t) (now - a->at) : 0;

    if (!since || !is_fresh (b, l->footprint.at, now) ||
        l->footprint.cpu_ms < a->cpu_ms ||
        (l->footprint.cpu_ms - a->cpu_ms) * 2 < since)
        return 0;
    return since;
}

static int64_t times (int64_t limit, unsigned slots)
{
    return limit > INT64_MAX / (int64_t) slots ? INT64_MAX
                                               : limit * (int64_t) slots;
}

static struct judged excess_of (const struct broker *b, const struct lease *l,
                                unsigned slots, int64_t now)
{
    const struct project_settings *p = l->project->configured;
    struct judged j = {EXCESS_NONE, 0, 0, 0};

    if (!p)
        return j;
    judge (&j, EXCESS_MEMORY, times (p->memory_limit_bytes, slots),
           memory_of (b, l, now));
    judge (&j, EXCESS_TIME, p->max_time_ms, run_time (l, now));
    judge (&j, EXCESS_STALL, p->stall_time_ms, stalled_for (b, l, now));
    return j;
}

/* ---- who may be ended ---- */

/* All slots of its tree; 0: something of it is being ended already, or is not
 * what it seems. */
static unsigned slots_of (const struct broker *b, const struct lease *l,
                          struct u64s *ret_tokens)
{
    unsigned count = 0;

    for (struct lease *at = lease_next_of_tree (&b->leases, l, NULL); at;
         at = lease_next_of_tree (&b->leases, l, at)) {
        if (at->r.state != LEASE_ACTIVE || !at->r.tree || at->r.bound)
            return 0;
        if (ret_tokens)
            u64s_add (ret_tokens, at->r.token);
        count++;
    }
    return count;
}

/* 0: it may not be; else its slots. */
static unsigned may_end (const struct broker *b, const struct pool *pool,
                         const struct lease *l)
{
    if (l->pool != pool || l->r.state != LEASE_ACTIVE || !l->r.tree ||
        l->r.bound || l->damaged || !lease_leads_tree (&b->leases, l) ||
        !sessions_find (&b->sessions, l->r.session))
        return 0;
    return slots_of (b, l, NULL);
}

static bool is_over_target (const struct broker *b, const struct lease *l)
{
    if (b->settings.policy == POLICY_FAIR)
        return l->lane->held > l->lane->target;
    return project_counted (l->project) > l->project->max;
}

static struct victim victim_of (const struct broker *b, const struct lease *l,
                                unsigned slots, int64_t now)
{
    struct judged j = excess_of (b, l, slots, now);

    return (struct victim){
        .token = l->r.token,
        .priority = l->project->priority,
        .over = is_over_target (b, l),
        .preemptible = l->r.preemptible,
        .started = l->conduct.begun ? l->conduct.begun : l->r.granted,
        .memory_bytes = memory_of (b, l, now),
        .excess = j.excess,
        .limit = j.limit,
        .figure = j.figure,
    };
}

static struct victim *rank (const struct broker *b, const struct pool *pool,
                            bool memory, int64_t now, size_t *ret_count)
{
    const struct shortage shortage = shortage_of (b, pool, memory);
    struct victim *victims =
        resized (NULL, leases_count (&b->leases) + 1, sizeof *victims);
    size_t count = 0;

    for (size_t i = 0; i < leases_count (&b->leases); i++) {
        const struct lease *l = leases_at (&b->leases, i);
        unsigned slots = may_end (b, pool, l);

        if (slots)
            victims[count++] = victim_of (b, l, slots, now);
    }
    victims_rank (victims, count, &shortage);
    *ret_count = count;
    return victims;
}

/* What the order is for: memory where that is short, else nothing is missing
 * that an agent could give back. */
static bool is_for_memory (const struct pool *pool)
{
    const struct health *h = &pool->health;
    enum level memory = health_metric (h, METRIC_MEMORY);

    return memory == LEVEL_CRITICAL ||
           (memory == LEVEL_DEGRADED &&
            health_metric (h, METRIC_LOAD) != LEVEL_CRITICAL);
}

struct victim *enforce_victims (const struct broker *b, const struct pool *pool,
                                int64_t now, size_t *ret_count)
{
    return rank (b, pool, is_for_memory (pool), now, ret_count);
}

/* The first in order. False: nobody may be ended. */
static bool first_victim (const struct broker *b, const struct pool *pool,
                          bool memory, int64_t now, struct victim *ret_victim)
{
    size_t count;
    struct victim *victims = rank (b, pool, memory, now, &count);
    bool found = count && victims[0].rank == 1;

    if (found)
        *ret_victim = victims[0];
    free (victims);
    return found;
}

/* ---- is it theirs? ---- */

static struct load load_of (const struct broker *b, const struct pool *pool,
                            int64_t now)
{
    return footprints_load (b, pool, OLD_SAMPLES * b->settings.timing.sample,
                            now);
}

static void smooth (double *average, double value, double weight)
{
    *average += (value - *average) * weight;
}

/* After a gap one moment counts for a half at most: nobody knows what was in
 * it. */
void enforce_observe (const struct broker *b, struct pool *pool, int64_t now)
{
    struct enforcement *e = &pool->enforcement;
    double span = (double) b->settings.timing.load_after;
    double passed = (double) (now - e->observed), weight = 1;

    if (isnan (pool->health.sample.running))
        return;
    if (e->observed)
        weight = passed < span ? passed / (passed + span) : 0.5;
    smooth (&e->tasks, pool->health.sample.running, weight);
    smooth (&e->leased_tasks, (double) load_of (b, pool, now).running, weight);
    e->observed = now;
}

/* Neither is true where nobody knows how many tasks run. */
static bool is_load_theirs (const struct pool *pool)
{
    return !isnan (pool->health.sample.running) &&
           pool->enforcement.leased_tasks * 2 > pool->enforcement.tasks;
}

static bool is_load_from_outside (const struct pool *pool)
{
    return !isnan (pool->health.sample.running) && !is_load_theirs (pool);
}

static bool is_memory_from_outside (const struct broker *b,
                                    const struct pool *pool, int64_t now)
{
    const struct shortage shortage = shortage_of (b, pool, true);
    const struct load load = load_of (b, pool, now);

    if (load.unknown)
        return false;
    return (shortage.memory_bytes &&
            load.memory_bytes < shortage.missing_bytes) ||
           load.memory_bytes < pool->unmanaged.memory_bytes;
}

static const char *outside_of (const struct broker *b, const struct pool *pool,
                               bool memory, bool load, int64_t now)
{
    if (memory)
        return is_memory_from_outside (b, pool, now)
                   ? "memory from outside slotbus"
                   : NULL;
    return load && is_load_from_outside (pool) ? "load from outside slotbus"
                                               : NULL;
}

static void note_outside (struct broker *b, struct pool *pool,
                          const char *outside, struct outbox *out)
{
    struct enforcement *e = &pool->enforcement;
    char host[sizeof pool->host];

    if (e->outside == outside)
        return;
    e->outside = outside;
    pool->response.changes++;
    b->changes++;
    if (outside)
        outbox_journal (out, JOURNAL_WARNING,
                        "outside  host=\"%s\" %s: nobody is ended for it",
                        outbox_quoted (pool->host, host, sizeof host), outside);
}

/* What is said stays while it is critical by hysteresis only, and until the
 * leased trees have been the cause for `settle`, or one is ended for it: a
 * wave, or a share of about a half, is not said again and again. */
static const char *still_outside (const struct broker *b, struct pool *pool,
                                  const char *outside, bool above, int64_t now)
{
    struct enforcement *e = &pool->enforcement;
    bool critical =
        health_metric (&pool->health, METRIC_MEMORY) == LEVEL_CRITICAL ||
        health_metric (&pool->health, METRIC_LOAD) == LEVEL_CRITICAL;

    if (outside || !e->outside || !above)
        e->theirs = 0;
    else if (!e->theirs)
        e->theirs = now;
    if (outside || !critical ||
        (e->theirs && now - e->theirs >= b->settings.timing.settle))
        return outside;
    return e->outside;
}

const char *enforce_outside (const struct pool *pool)
{
    return pool->enforcement.outside ? pool->enforcement.outside : "";
}

/* ---- ending one ---- */

static double figure_of (const struct pool *pool, enum enforce_cause cause)
{
    const struct sample *s = &pool->health.sample;

    return cause == ENFORCE_LOAD ? s->load1 : s->memory_percent;
}

static void say_figure (const struct broker *b, const struct pool *pool,
                        enum enforce_cause cause, char *ret_text, size_t size)
{
    const struct limits limits = settings_limits (&b->settings, pool->cores);

    ret_text[0] = '\0';
    if (cause == ENFORCE_MEMORY)
        response_cause (&pool->response, &pool->health, &limits, ret_text,
                        size);
    if (cause == ENFORCE_LOAD)
        snprintf (ret_text, size, "load %.1f of %g", pool->health.sample.load1,
                  limits.load_average);
}

/* "memory 97.0% of 95%: priority 3, newest". */
static void say_reason (const struct broker *b, const struct pool *pool,
                        const struct victim *v, enum enforce_cause cause,
                        char *ret_text, size_t size)
{
    char figure[CAUSE_BYTES];

    say_figure (b, pool, cause, figure, sizeof figure);
    snprintf (ret_text, size, "%s%s%s", figure, figure[0] ? ": " : "", v->why);
}

static void log_victim (const struct pool *pool, const struct lease *l,
                        const char *reason, struct outbox *out)
{
    const struct enforcement *e = &pool->enforcement;
    char host[sizeof pool->host], label[sizeof e->label], why[257];

    outbox_journal (out, JOURNAL_WARNING,
                    "victim   host=\"%s\" project=%s token=%" PRIu64
                    " slots=%zu label=\"%s\" for=%s memory_bytes=%" PRIu64
                    " running=%u reason=\"%s\"",
                    outbox_quoted (pool->host, host, sizeof host), e->project,
                    e->victim.token, e->kill.count,
                    outbox_quoted (e->label, label, sizeof label),
                    cause_name (e->cause), e->victim.memory_bytes,
                    l->footprint.running,
                    outbox_quoted (reason, why, sizeof why));
}

/* Quickly where memory is short. */
static struct ending how_to_end (const struct broker *b, bool quickly,
                                 const char *reason)
{
    const struct timing *t = &b->settings.timing;
    struct ending how = {0, t->notice, t->grace, false, reason};

    if (quickly && t->memory_grace < how.notice)
        how.notice = t->memory_grace;
    if (quickly && t->memory_grace < how.grace)
        how.grace = t->memory_grace;
    return how;
}

static void remember (struct pool *pool, const struct lease *l,
                      const struct victim *v, enum enforce_cause cause,
                      int64_t now)
{
    struct enforcement *e = &pool->enforcement;

    kill_clear (&e->kill);
    e->state = ENFORCE_ENDING;
    e->cause = cause;
    e->victim = *v;
    e->began = now;
    e->before = figure_of (pool, cause);
    e->helpless = false;
    copy_text (e->project, sizeof e->project, l->r.project);
    copy_text (e->label, sizeof e->label, l->r.label);
}

static void end_victim (struct broker *b, struct pool *pool,
                        const struct victim *v, enum enforce_cause cause,
                        const char *reason, int64_t now, struct outbox *out)
{
    struct enforcement *e = &pool->enforcement;
    struct lease *l = leases_find (&b->leases, v->token);
    struct session *s = sessions_find (&b->sessions, l->r.session);
    struct ending how = how_to_end (
        b, health_metric (&pool->health, METRIC_MEMORY) == LEVEL_CRITICAL,
        reason);
    struct u64s tokens = {0};

    slots_of (b, l, &tokens);
    remember (pool, l, v, cause, now);
    for (uint32_t i = 0; i < tokens.count; i++)
        kill_target (&e->kill, &b->leases,
                     leases_find (&b->leases, tokens.at[i]));
    e->kill.deadline =
        now + settings_ending (&b->settings, how.notice, how.grace);
    log_victim (pool, l, reason, out);
    endings_begin (b, s, &tokens, &how, now, out);
}

/* One that somebody else has begun to end, or a broker before this one. */
static struct lease *one_ending (const struct broker *b,
                                 const struct pool *pool, int64_t now)
{
    for (size_t i = 0; i < leases_count (&b->leases); i++) {
        struct lease *l = leases_at (&b->leases, i);

        if (l->pool == pool && l->r.state == LEASE_KILLING && l->r.tree &&
            !l->r.bound && now < l->until)
            return l;
    }
    return NULL;
}

static struct victim victim_ending (const struct broker *b,
                                    const struct lease *l, int64_t now)
{
    return (struct victim){.token = l->r.token,
                           .priority = l->project->priority,
                           .memory_bytes = memory_of (b, l, now),
                           .why = "it was being ended already"};
}

bool enforce_next_victim (const struct broker *b, const struct pool *pool,
                          int64_t now, struct victim *ret_victim)
{
    const struct lease *ending = one_ending (b, pool, now);

    if (!ending)
        return first_victim (b, pool, is_for_memory (pool), now, ret_victim);
    *ret_victim = victim_ending (b, ending, now);
    return true;
}

/* It is looked after as if it had been chosen. */
static void adopt (struct broker *b, struct pool *pool, struct lease *l,
                   int64_t now)
{
    struct enforcement *e = &pool->enforcement;
    const struct victim v = victim_ending (b, l, now);

    remember (pool, l, &v, ENFORCE_PEOPLE, now);
    for (struct lease *at = lease_next_of_tree (&b->leases, l, NULL); at;
         at = lease_next_of_tree (&b->leases, l, at)) {
        if (at->r.state == LEASE_KILLING)
            kill_target (&e->kill, &b->leases, at);
    }
    e->kill.deadline = l->until;
}

bool enforce_now (struct broker *b, struct pool *pool, const char *reason,
                  int64_t now, struct outbox *out)
{
    struct lease *ending = one_ending (b, pool, now);
    struct victim v;

    if (pool->enforcement.state == ENFORCE_ENDING)
        return true;
    if (ending) {
        adopt (b, pool, ending, now);
        return true;
    }
    if (!first_victim (b, pool, is_for_memory (pool), now, &v))
        return false;
    end_victim (b, pool, &v, ENFORCE_PEOPLE, reason[0] ? reason : v.why, now,
                out);
    return true;
}

/* ---- while it ends, and after ---- */

static unsigned left_of (const struct broker *b, const struct kill *kill)
{
    unsigned left = 0;

    for (size_t i = 0; i < kill->count; i++)
        left += leases_find (&b->leases, kill->targets[i].token) != NULL;
    return left;
}

static void give_up (const struct broker *b, const struct kill *kill,
                     int64_t now)
{
    for (size_t i = 0; i < kill->count; i++) {
        struct lease *l = leases_find (&b->leases, kill->targets[i].token);

        if (l && l->r.state == LEASE_KILLING)
            l->until = now;
    }
}

static void log_end (const struct pool *pool, unsigned left, int64_t now,
                     struct outbox *out)
{
    const struct enforcement *e = &pool->enforcement;
    char host[sizeof pool->host];

    outbox_journal (out, left ? JOURNAL_ALARM : JOURNAL_INFO,
                    "%s host=\"%s\" project=%s token=%" PRIu64
                    " released=%zu took_ms=%" PRId64,
                    left ? "unkillable" : "ended   ",
                    outbox_quoted (pool->host, host, sizeof host), e->project,
                    e->victim.token, e->kill.count - left, now - e->began);
}

/* What could not be ended gives nothing back: there is nothing to settle. */
static void look_after (struct broker *b, struct pool *pool, int64_t now,
                        struct outbox *out)
{
    struct enforcement *e = &pool->enforcement;
    const struct timing *t = &b->settings.timing;
    unsigned left = left_of (b, &e->kill);

    if (left && now < e->kill.deadline)
        return;
    log_end (pool, left, now, out);
    give_up (b, &e->kill, now);
    e->state = left ? ENFORCE_WATCHING : ENFORCE_SETTLING;
    e->until = now + (e->cause == ENFORCE_LOAD ? t->load_settle : t->settle);
}

static void log_measured (const struct pool *pool, struct outbox *out)
{
    const struct enforcement *e = &pool->enforcement;
    char host[sizeof pool->host];

    outbox_journal (out, JOURNAL_INFO,
                    "settled  host=\"%s\" for=%s before=%.1f after=%.1f "
                    "memory_bytes=%" PRIu64,
                    outbox_quoted (pool->host, host, sizeof host),
                    cause_name (e->cause), e->before,
                    figure_of (pool, e->cause), e->victim.memory_bytes);
}

/* Figures that do not come are not waited for for ever: by then those from
 * before are too old to decide anything on. */
static void settle (const struct broker *b, struct pool *pool, int64_t now,
                    struct outbox *out)
{
    struct enforcement *e = &pool->enforcement;
    bool measured = pool->health.sample.at > e->until;

    if (now < e->until ||
        (!measured && now < e->until + OLD_SAMPLES * b->settings.timing.sample))
        return;
    if (measured)
        log_measured (pool, out);
    e->state = ENFORCE_WATCHING;
}

/* ---- whether, and whom ---- */

static bool is_load_due (const struct broker *b, const struct pool *pool,
                         int64_t now)
{
    return is_critical (b, pool, METRIC_LOAD, now) &&
           now - pool->health.critical[METRIC_LOAD].above_since >=
               b->settings.timing.load_after;
}

static void log_helpless (struct pool *pool, struct outbox *out)
{
    struct enforcement *e = &pool->enforcement;
    char host[sizeof pool->host];

    if (e->helpless)
        return;
    e->helpless = true;
    outbox_journal (out, JOURNAL_ALARM,
                    "helpless host=\"%s\" critical, and nobody may be ended",
                    outbox_quoted (pool->host, host, sizeof host));
}

static void begin (struct broker *b, struct pool *pool, enum enforce_cause why,
                   int64_t now, struct outbox *out)
{
    struct victim v;
    char reason[257];

    if (!first_victim (b, pool, why == ENFORCE_MEMORY, now, &v)) {
        if (why != ENFORCE_RUNAWAY)
            log_helpless (pool, out);
        return;
    }
    if (why == ENFORCE_RUNAWAY && v.excess == EXCESS_NONE)
        return;
    if (v.excess != EXCESS_NONE)
        why = ENFORCE_RUNAWAY;
    say_reason (b, pool, &v, why, reason, sizeof reason);
    end_victim (b, pool, &v, why, reason, now, out);
}

/* A runaway is ended whoever else is the cause. */
static void watch (struct broker *b, struct pool *pool, int64_t now,
                   struct outbox *out)
{
    const struct enforcement *e = &pool->enforcement;
    bool memory = is_critical (b, pool, METRIC_MEMORY, now);
    bool load = is_critical (b, pool, METRIC_LOAD, now);
    const char *outside = outside_of (b, pool, memory, load, now);

    note_outside (b, pool,
                  still_outside (b, pool, outside, memory || load, now), out);
    if (!memory && !load && !e->runaway)
        return;
    if (one_ending (b, pool, now))
        return;
    if (e->runaway)
        begin (b, pool, ENFORCE_RUNAWAY, now, out);
    else if (memory && !outside)
        begin (b, pool, ENFORCE_MEMORY, now, out);
    else if (!memory && is_load_due (b, pool, now) && is_load_theirs (pool))
        begin (b, pool, ENFORCE_LOAD, now, out);
    if (e->state == ENFORCE_ENDING && e->cause != ENFORCE_RUNAWAY)
        note_outside (b, pool, NULL, out);
}

static bool has_limits (const struct project_settings *p)
{
    return p && (p->memory_limit_bytes || p->max_time_ms || p->stall_time_ms);
}

static void look_for_runaways (struct broker *b, int64_t now)
{
    for (size_t i = 0; i < b->pools.count; i++)
        b->pools.at[i]->enforcement.runaway = false;
    for (size_t i = 0; i < leases_count (&b->leases); i++) {
        const struct lease *l = leases_at (&b->leases, i);
        unsigned slots =
            has_limits (l->project->configured) ? may_end (b, l->pool, l) : 0;

        if (slots && excess_of (b, l, slots, now).excess != EXCESS_NONE)
            l->pool->enforcement.runaway = true;
    }
}

void enforce_step (struct broker *b, int64_t now, struct outbox *out)
{
    if (!b->attentive || b->learning)
        return;
    look_for_runaways (b, now);
    for (size_t i = 0; i < b->pools.count; i++) {
        struct pool *pool = b->pools.at[i];

        if (pool->enforcement.state == ENFORCE_ENDING)
            look_after (b, pool, now, out);
        if (pool->enforcement.state == ENFORCE_SETTLING)
            settle (b, pool, now, out);
        if (pool->enforcement.state == ENFORCE_WATCHING)
            watch (b, pool, now, out);
    }
}

/* ---- the rest ---- */

void enforce_shift (struct enforcement *e, int64_t by)
{
    e->kill.deadline += by;
    e->until += by;
    e->theirs += e->theirs ? by : 0;
}

/* What is due and does not happen waits for figures, or for the broker to have
 * heard everything. */
int64_t enforce_next (const struct enforcement *e, int64_t now)
{
    int64_t at = e->state == ENFORCE_ENDING     ? e->kill.deadline
                 : e->state == ENFORCE_SETTLING ? e->until
                                                : INT64_MAX;

    return at > now ? at : INT64_MAX;
}

void enforce_clear (struct enforcement *e)
{
    kill_clear (&e->kill);
}
