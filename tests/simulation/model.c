/* SPDX-License-Identifier: MPL-2.0 */
#include "simulation/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/state.h"
#include "simulation/events.h"

struct wish {
    uint64_t number, session, seq;
    char project[MAX_KEY_BYTES + 1], host[65]; // they may be gone afterwards
    unsigned count, min, most; // most: that its project may hold
    bool nowait, paused;
    bool gone;        // granted, refused or dropped
    unsigned granted; // if it is
    enum reason reason;
    bool capped, summed; // by its project's cap, by the sum alone
};

struct holding {
    uint64_t session;
    const char *project, *host;
    unsigned count;
};

/* A bucket that a grant empties and time fills: thousandths of a slot. */
struct host {
    char name[65];
    unsigned max, effective;
    int64_t bucket, at;
    int64_t level; // of the bucket, while the model grants
};

struct model {
    struct wish *wishes;
    size_t wish_count, wish_most;
    struct holding *held;
    size_t held_count, held_most;
    struct host hosts[MAX_HOSTS + 1];
    size_t host_count;
    unsigned max, burst;
    bool nothing; // disk full, or learning
    bool exact;   // the broker must grant just what the model does
    int64_t now;
    size_t leases;
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
    free (m);
}

/* ---- the state before ---- */

/* A new host may start a whole burst; one that is gone is forgotten. */
static void read_hosts (struct model *m, const struct broker *b, int64_t now)
{
    struct host before[MAX_HOSTS + 1];
    size_t count = m->host_count;

    memcpy (before, m->hosts, sizeof before);
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
        h->effective = pool_effective (p);
        h->bucket += (now - h->at) * m->burst;
        h->bucket = h->bucket > full ? full : h->bucket;
        h->at = now;
        h->level = h->bucket;
    }
}

static void hold (struct model *m, uint64_t session, const char *project,
                  const char *host, unsigned count)
{
    if (m->held_count == m->held_most)
        m->held = sim_grow (m->held, &m->held_most, sizeof *m->held);
    m->held[m->held_count++] = (struct holding){session, project, host, count};
}

static void wish (struct model *m, const struct waiter *waiter, int64_t now)
{
    const struct session *s = waiter->session;
    struct wish *w;

    if (m->wish_count == m->wish_most)
        m->wishes = sim_grow (m->wishes, &m->wish_most, sizeof *m->wishes);
    w = &m->wishes[m->wish_count++];
    *w = (struct wish){.number = waiter->r.number,
                       .session = waiter->r.session,
                       .seq = waiter->r.seq,
                       .count = waiter->r.count,
                       .min = waiter->r.min,
                       .most = s->project->max,
                       .nowait = waiter->nowait,
                       .paused = s->conflict_until > now};
    copy_text (w->project, sizeof w->project, s->project->name);
    copy_text (w->host, sizeof w->host, s->pool->host);
}

static unsigned held_by (const struct model *m, const char *project,
                         const char *host, uint64_t session)
{
    unsigned sum = 0;

    for (size_t i = 0; i < m->held_count; i++) {
        const struct holding *h = &m->held[i];

        if ((!project || strcmp (h->project, project) == 0) &&
            (!host || strcmp (h->host, host) == 0) &&
            (!session || h->session == session))
            sum += h->count;
    }
    return sum;
}

/* ---- one request ---- */

static unsigned least (unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static unsigned left (unsigned most, unsigned held)
{
    return most > held ? most - held : 0;
}

/* What stands in the way of whoever comes later: on its host, or everywhere. */
struct queue {
    bool blocked[MAX_HOSTS + 1];     // on this host somebody waits his turn
    struct wish *passed[MAX_QUEUED]; // over
    size_t passed_count;
    const struct wish *sum; // only the sum of all hosts keeps it waiting
};

/* An older one of its project was passed over on this host. */
static bool is_skipped (const struct queue *q, const struct wish *w)
{
    for (size_t i = 0; i < q->passed_count; i++) {
        if (strcmp (q->passed[i]->project, w->project) == 0 &&
            strcmp (q->passed[i]->host, w->host) == 0)
            return true;
    }
    return false;
}

/* An older one of its project, on another host, waits for its cap. */
static bool is_capped (const struct queue *q, const struct wish *w)
{
    for (size_t i = 0; i < q->passed_count; i++) {
        if (strcmp (q->passed[i]->project, w->project) == 0 &&
            strcmp (q->passed[i]->host, w->host) != 0 && q->passed[i]->capped)
            return true;
    }
    return false;
}

/* The first test that fails; REASON_NONE: it gets so many. */
static enum reason judge_wish (const struct model *m, size_t host,
                               const struct queue *q, struct wish *w)
{
    const struct host *h = &m->hosts[host];
    unsigned cap = left (w->most, held_by (m, w->project, NULL, 0));
    unsigned room =
        least (cap, left (MAX_HELD, held_by (m, NULL, NULL, w->session)));
    unsigned used = held_by (m, NULL, h->name, 0);
    unsigned sum = left (m->max, held_by (m, NULL, NULL, 0));
    unsigned here = left (h->effective, used);

    w->capped = cap < w->min;
    w->summed = here >= w->min && sum < w->min;
    if (w->paused)
        return REASON_PAUSED;
    if (m->nothing)
        return REASON_DISK;
    if (q->blocked[host] || is_skipped (q, w))
        return REASON_TURN;
    if (room < w->min || is_capped (q, w))
        return REASON_CAP;
    if (h->effective < w->min)
        return REASON_HEALTH;
    if (least (here, sum) < w->min)
        return least (left (h->max, used), sum) < w->min ? REASON_SLOTS
                                                         : REASON_HEALTH;
    if (q->sum && strcmp (q->sum->host, w->host) != 0)
        return REASON_SLOTS;
    w->granted = least (least (w->count, room), least (here, sum));
    return h->level < (int64_t) least (w->granted, m->burst) * 1000
               ? REASON_PACING
               : REASON_NONE;
}

static void pass_by (struct queue *q, size_t host, const struct host *h,
                     struct wish *w)
{
    if (w->reason == REASON_PAUSED || w->reason == REASON_CAP ||
        (w->reason == REASON_TURN && !q->blocked[host]) ||
        (w->reason == REASON_HEALTH && w->min > h->effective))
        q->passed[q->passed_count++] = w;
    else
        q->blocked[host] = true;
    w->capped &= w->reason == REASON_CAP;
    if (w->reason == REASON_SLOTS && w->summed && !q->sum)
        q->sum = w;
}

static void serve_wish (struct model *m, size_t host, struct queue *q,
                        struct wish *w)
{
    struct host *h = &m->hosts[host];

    if (w->min > least (least (h->max, m->max), least (w->most, MAX_HELD))) {
        w->gone = true; // never
        return;
    }
    w->reason = judge_wish (m, host, q, w);
    w->gone = w->reason == REASON_NONE || w->nowait;
    if (w->reason == REASON_NONE) {
        h->level -= (int64_t) w->granted * 1000;
        hold (m, w->session, w->project, h->name, w->granted);
        return;
    }
    w->granted = 0;
    if (!w->gone)
        pass_by (q, host, h, w);
}

static size_t host_of (const struct model *m, const struct wish *w)
{
    size_t i = 0;

    while (strcmp (m->hosts[i].name, w->host) != 0)
        i++;
    return i;
}

/* In order of arrival, until nothing moves any more: what one is granted may
 * put another of its project out of the way, by its cap. */
static void run (struct model *m)
{
    size_t before;

    do {
        static struct queue q;

        before = m->held_count;
        memset (&q, 0, offsetof (struct queue, passed));
        q.passed_count = 0;
        q.sum = NULL;
        for (size_t n = 0; n < m->wish_count; n++) {
            if (!m->wishes[n].gone)
                serve_wish (m, host_of (m, &m->wishes[n]), &q, &m->wishes[n]);
        }
    } while (m->held_count > before);
}

/* Who waits on two hosts contends for what they share. In which order such
 * hosts are served is not promised. */
static bool is_one_host (const struct model *m)
{
    for (size_t i = 1; i < m->wish_count; i++) {
        if (strcmp (m->wishes[i].host, m->wishes[0].host) != 0)
            return false;
    }
    return true;
}

void model_before (struct model *m, const struct broker *b, int64_t now)
{
    m->max = b->settings.max_slots;
    m->burst = b->settings.grant_burst;
    m->nothing = b->disk_full || b->learning;
    m->wish_count = m->held_count = 0;
    m->leases = leases_count (&b->leases);
    m->now = now;
    read_hosts (m, b, now);
    for (size_t i = 0; i < m->leases; i++) {
        const struct lease *l = leases_at (&b->leases, i);

        hold (m, l->r.session, l->project->name, l->pool->host, 1);
    }
    for (size_t i = 0; i < b->waiters.count; i++)
        wish (m, b->waiters.at[i], now);
    m->exact = is_one_host (m);
    run (m);
}

/* ---- and what became of it ---- */

static unsigned granted_to (const struct broker *b, const struct wish *w)
{
    unsigned count = 0;

    for (size_t i = 0; i < leases_count (&b->leases); i++) {
        const struct lease_record *r = &leases_at (&b->leases, i)->r;

        count += r->session == w->session && r->seq == w->seq;
    }
    return count;
}

static unsigned counted (const struct broker *b, const char *project,
                         const char *host)
{
    unsigned count = 0;

    for (size_t i = 0; i < leases_count (&b->leases); i++) {
        const struct lease *l = leases_at (&b->leases, i);

        count += (!project || strcmp (l->project->name, project) == 0) &&
                 (!host || strcmp (l->pool->host, host) == 0);
    }
    return count;
}

/* More is held than its project, its host or all may. */
static bool is_over (const struct model *m, const struct broker *b,
                     const struct wish *w)
{
    return counted (b, w->project, NULL) > w->most ||
           counted (b, NULL, w->host) > m->hosts[host_of (m, w)].effective ||
           counted (b, NULL, NULL) > m->max;
}

static bool complain (const struct wish *w, unsigned granted, bool waits,
                      char *ret_text, size_t size)
{
    snprintf (ret_text, size,
              "model: request %llu of session %llu (%u..%u) got %u%s, and not "
              "%u%s",
              (unsigned long long) w->seq, (unsigned long long) w->session,
              w->min, w->count, granted, waits ? " and waits" : "", w->granted,
              w->gone ? "" : " waiting");
    return false;
}

/* What was granted, and with it how fast each host goes. */
static bool compare_grants (struct model *m, const struct broker *b,
                            char *ret_text, size_t size)
{
    size_t sum = m->leases;

    for (size_t i = 0; i < m->wish_count; i++) {
        const struct wish *w = &m->wishes[i];
        bool waits = table_find (&b->waiters, w->number) != NULL;
        unsigned granted = granted_to (b, w);

        sum += granted;
        m->hosts[host_of (m, w)].bucket -= (int64_t) granted * 1000;
        if ((granted && (waits || granted < w->min || granted > w->count ||
                         is_over (m, b, w))) ||
            (m->exact && (granted != w->granted || w->gone == waits)))
            return complain (w, granted, waits, ret_text, size);
    }
    if (leases_count (&b->leases) == sum)
        return true;
    snprintf (ret_text, size, "model: %zu leases, and not %zu",
              leases_count (&b->leases), sum);
    return false;
}

static bool same_reason (enum reason ours, enum reason its)
{
    return ours == its || (ours == REASON_DISK && its == REASON_LEARNING);
}

/* Now nothing more can be granted, and who waits knows why. */
static bool compare_reasons (struct model *m, const struct broker *b,
                             char *ret_text, size_t size)
{
    for (size_t i = 0; i < m->wish_count; i++) {
        const struct wish *w = &m->wishes[i];
        const struct waiter *waits = table_find (&b->waiters, w->number);

        if (waits && !w->gone && same_reason (w->reason, waits->outlook.reason))
            continue;
        snprintf (ret_text, size,
                  "model: request %llu of session %llu waits for %s, and not "
                  "for %s",
                  (unsigned long long) w->seq, (unsigned long long) w->session,
                  waits ? reason_name (waits->outlook.reason) : "?",
                  reason_name (w->reason));
        return false;
    }
    return true;
}

bool model_after (struct model *m, const struct broker *b, char *ret_text,
                  size_t size)
{
    if (!compare_grants (m, b, ret_text, size))
        return false;
    model_before (m, b, m->now);
    return compare_reasons (m, b, ret_text, size);
}
