/* SPDX-License-Identifier: MPL-2.0 */
#include "core/round.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "core/answers.h"
#include "core/judge.h"
#include "core/ledger.h"
#include "core/memory.h"

enum { MOST_IDLE_PASSES = 4 };

/* ---- granting ---- */

/* The next of "a,b,c"; "" when there are no more. */
static void next_label (const char **labels, char *ret_label, size_t size)
{
    size_t length = strcspn (*labels, ",");
    size_t kept = length < size ? length : size - 1;

    memcpy (ret_label, *labels, kept);
    ret_label[kept] = '\0';
    *labels += length + ((*labels)[length] == ',');
}

static struct lease_record lease_of (const struct waiter *w, uint64_t first,
                                     unsigned count, int64_t now)
{
    const struct session_record *s = &w->session->r;
    struct lease_record r = {
        .session = s->id,
        .uid = s->uid,
        .own = s->own,
        .state = LEASE_ACTIVE,
        .since = now,
        .granted = now,
        .waited_ms = now > w->r.since ? now - w->r.since : 0,
        .seq = w->r.seq,
        .first = first,
        .count = count,
        .asked = w->r.count,
        .digest = w->r.digest,
        .run = w->r.run,
        .bound = w->r.bound,
        .preemptible = w->r.preemptible,
        .supervisor = w->r.supervisor,
        .percent = NAN,
    };

    copy_text (r.project, sizeof r.project, s->project);
    copy_text (r.host, sizeof r.host, s->host);
    copy_text (r.machine, sizeof r.machine, s->machine);
    copy_text (r.boot, sizeof r.boot, s->boot);
    return r;
}

static void log_grant (const struct broker *b, const struct lease *l,
                       struct outbox *out)
{
    uint64_t last = l->r.first + l->r.count - 1;
    char tokens[48];

    if (last == l->r.first)
        snprintf (tokens, sizeof tokens, "%" PRIu64, last);
    else
        snprintf (tokens, sizeof tokens, "%" PRIu64 "-%" PRIu64, l->r.first,
                  last);
    outbox_journal (out, JOURNAL_INFO,
                    "grant    session=%" PRIu64
                    " project=%s token=%s in_use=%u/%u waited_ms=%" PRId64,
                    l->r.session, l->r.project, tokens, b->in_use,
                    b->settings.max_slots, l->r.waited_ms);
}

/* The leases of a grant; returns one of them. */
static struct lease *add_leases (struct broker *b, const struct waiter *w,
                                 unsigned count, int64_t now,
                                 struct outbox *out)
{
    uint64_t first = ledger_tokens (b, count, out);
    struct lease_record r = lease_of (w, first, count, now);
    const char *labels = w->r.labels;
    struct lease *l = NULL;

    for (unsigned i = 0; i < count; i++) {
        r.token = first + i;
        next_label (&labels, r.label, sizeof r.label);
        l = ledger_add_lease (b, &r, out);
    }
    return l;
}

static void grant (struct broker *b, struct walk *walk, struct waiter *w,
                   unsigned count)
{
    struct session *s = w->session;
    const struct path *to = w->unanswered ? &w->answer_to : &s->path;
    struct lease *l;

    assert (count <= state_free (b, walk->pool)); // I1
    l = add_leases (b, w, count, walk->now, walk->out);
    s->project->held += count;
    walk->pool->in_use += count;
    b->in_use += count;
    pool_spend (walk->pool, count, b->settings.grant_burst, walk->now);
    if (!s->r.own || b->settings.power)
        outbox_require_flush (walk->out);
    if (w->unanswered || session_hears (s))
        answer_grant (b, to, l, walk->out);
    log_grant (b, l, walk->out);
    ledger_unwait (b, w, walk->out);
}

/* A request that would not wait leaves no trace: its seq may come again. */
static void turn_away (struct broker *b, struct walk *walk, struct waiter *w)
{
    struct session *s = w->session;
    uint64_t seq = w->r.seq;
    char detail[257];

    snprintf (detail, sizeof detail, "%s: %.200s",
              reason_name (w->outlook.reason), w->outlook.detail);
    b->refused++;
    answer_dropped (b, w, ERR_NOT_NOW, detail, walk->out);
    session_forget (s, seq);
    ledger_session (b, s, walk->out);
}

static bool is_impossible (const struct broker *b, const struct waiter *w)
{
    return w->r.min > state_limit (b, w->session->project, w->session->pool);
}

static void drop_impossible (struct broker *b, struct waiter *w,
                             struct outbox *out)
{
    char detail[96];

    snprintf (detail, sizeof detail, "%u wanted, the limit is now %u", w->r.min,
              state_limit (b, w->session->project, w->session->pool));
    answer_dropped (b, w, ERR_EXCEEDS_MAX, detail, out);
}

/* ---- the passes ---- */

static struct walk walk_of (struct broker *b, struct pool *pool, int64_t now,
                            struct outbox *out)
{
    b->pass++;
    return (struct walk){.pool = pool, .now = now, .out = out};
}

/* Returns whether it still waits. */
static bool serve (struct broker *b, struct walk *walk, struct waiter *w)
{
    unsigned amount;
    enum reason reason;

    if (is_impossible (b, w)) {
        drop_impossible (b, w, walk->out);
        return false;
    }
    reason = judge (b, walk, w, &amount);
    if (reason == REASON_NONE) {
        grant (b, walk, w, amount);
        return false;
    }
    if (w->nowait) { // gone at once: nobody may be blocked by it
        judge_explain (b, walk, w, reason);
        turn_away (b, walk, w);
        return false;
    }
    judge_pass_by (b, walk, w, reason);
    return true;
}

/* Whoever is left has a reason: the first pass was thorough (L1). */
static void explain_all (struct broker *b, struct pool *pool,
                         struct waiter **queue, size_t count, int64_t now,
                         struct outbox *out)
{
    struct walk walk = walk_of (b, pool, now, out);

    for (size_t i = 0; i < count; i++) {
        unsigned amount;
        enum reason reason = judge (b, &walk, queue[i], &amount);

        assert (reason != REASON_NONE);
        walk.position++;
        judge_explain (b, &walk, queue[i], reason);
        judge_pass_by (b, &walk, queue[i], reason);
    }
}

static size_t queue_of (const struct broker *b, const struct pool *pool,
                        struct waiter **ret_queue)
{
    size_t count = 0;

    for (size_t i = 0; i < b->waiters.count; i++) {
        struct waiter *w = b->waiters.at[i];

        if (w->session->pool == pool)
            ret_queue[count++] = w;
    }
    return count;
}

static void serve_pool (struct broker *b, struct pool *pool, int64_t now,
                        struct outbox *out)
{
    struct waiter **queue =
        resized (NULL, b->waiters.count, sizeof (struct waiter *));
    size_t count = queue_of (b, pool, queue), left = 0;
    struct walk walk = walk_of (b, pool, now, out);

    b->policy->order (queue, count, now);
    for (size_t i = 0; i < count; i++) {
        if (serve (b, &walk, queue[i]))
            queue[left++] = queue[i];
    }
    explain_all (b, pool, queue, left, now, out);
    free (queue);
}

/* ---- what is said to those who wait ---- */

/* The last of a thousand need not hear of each one that goes: all of them
 * would, every time. Below 64 every step counts. */
static bool has_moved (unsigned told, unsigned now)
{
    return (told > now ? told - now : now - told) > told / 64;
}

static bool is_news (const struct waiter *w)
{
    return w->session->repeat || w->told.reason != w->outlook.reason ||
           has_moved (w->told.position, w->outlook.position) ||
           has_moved (w->told.slots_ahead, w->outlook.slots_ahead);
}

static void log_queued (const struct waiter *w, struct outbox *out)
{
    outbox_journal (out, JOURNAL_INFO,
                    "queued   session=%" PRIu64 " seq=%" PRIu64
                    " project=%s slots_ahead=%u reason=%s",
                    w->r.session, w->r.seq, w->session->r.project,
                    w->outlook.slots_ahead, reason_name (w->outlook.reason));
}

static void tell (struct broker *b, struct waiter *w, int64_t now,
                  struct outbox *out)
{
    if (w->unanswered)
        answer_queued (b, &w->answer_to, w, now, out);
    else if (is_news (w) && session_hears (w->session))
        answer_queued (b, &w->session->path, w, now, out);
    else
        return;
    if (w->told.reason != w->outlook.reason)
        log_queued (w, out);
    w->unanswered = false;
    w->told = w->outlook;
}

static void tell_all (struct broker *b, int64_t now, struct outbox *out)
{
    for (size_t i = 0; i < b->waiters.count; i++) {
        struct waiter *w = b->waiters.at[i];

        if (!w->stored)
            ledger_store_waiter (b, w, out);
        tell (b, w, now, out);
    }
    for (size_t i = 0; i < b->sessions.count; i++) {
        struct session *s = b->sessions.at[i];

        s->repeat = s->repeat && !session_hears (s);
    }
}

static void serve_pools (struct broker *b, int64_t now, struct outbox *out)
{
    for (size_t i = 0; i < b->pools.count; i++) {
        struct pool *pool = b->pools.at[i];

        pool->paced_until = 0;
        if (pool->waiting)
            serve_pool (b, pool, now, out);
    }
}

/* Caps and the sum are over all hosts: what is granted on one, or who comes
 * first there, may let pass or hold back on another that was served before it
 * (L1). Who comes first is settled after a few passes in which nothing is
 * granted; if not, the next round goes on. */
void round_serve (struct broker *b, int64_t now, struct outbox *out)
{
    unsigned before, idle = 0;
    bool again;

    state_tally (b);
    do {
        before = b->in_use;
        judge_forget_firsts (b);
        serve_pools (b, now, out);
        again = judge_take_firsts (b) && ++idle < MOST_IDLE_PASSES;
        again |= b->in_use != before;
    } while (again && b->pools.count > 1);
    tell_all (b, now, out);
    state_tally (b);
}
