/* SPDX-License-Identifier: MPL-2.0 */
#include "core/round.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/answers.h"
#include "core/ledger.h"
#include "core/memory.h"
#include "core/outlook.h"
#include "core/reclaim.h"

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
                    l->r.session, l->r.project, tokens, b->dispatch.in_use,
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

static void grant (struct broker *b, struct waiter *w, unsigned count,
                   int64_t now, struct outbox *out)
{
    struct session *s = w->session;
    const struct path *to = w->unanswered ? &w->answer_to : &s->path;
    struct lease *l;

    dispatch_take (&b->dispatch, &w->t, count, now);
    s->holder.held += count;
    l = add_leases (b, w, count, now, out);
    if (w->r.parked)
        ledger_unpark (b, w, l->r.first, count, out);
    if (!s->r.own || b->settings.power)
        outbox_require_flush (out);
    if (w->unanswered || session_hears (s))
        answer_grant (b, to, l, out);
    log_grant (b, l, out);
    ledger_unwait (b, w, out);
}

/* A request that would not wait leaves no trace: its seq may come again. */
static void turn_away (struct broker *b, struct waiter *w, enum reason reason,
                       int64_t now, struct outbox *out)
{
    struct session *s = w->session;
    uint64_t seq = w->r.seq;
    char figure[201], detail[257];

    dispatch_detail (&b->dispatch, &w->t, reason, now, figure, sizeof figure);
    snprintf (detail, sizeof detail, "%s: %s", reason_name (reason), figure);
    b->refused++;
    answer_dropped (b, w, ERR_NOT_NOW, detail, out);
    session_forget (s, seq);
    ledger_session (b, s, out);
}

static bool walk (struct broker *b, int64_t now, struct outbox *out)
{
    struct decision next;
    bool moved = false;

    dispatch_begin (&b->dispatch, now);
    while (dispatch_next (&b->dispatch, now, &next)) {
        struct waiter *w = waiter_of (next.ticket);

        if (next.amount)
            grant (b, w, next.amount, now, out);
        else
            turn_away (b, w, next.reason, now, out);
        moved = true;
    }
    return moved;
}

/* With several hosts once more after a walk that decided something: what was
 * granted on one may be what its project's cap leaves no more of on another,
 * where it then blocks nobody; and who was turned away on one keeps back nobody
 * of its project on another any more (L1). */
static void serve (struct broker *b, int64_t now, struct outbox *out)
{
    while (walk (b, now, out) && b->pools.count > 1)
        ;
}

/* ---- what cannot be served any more ---- */

static void drop_if_impossible (struct broker *b, struct waiter *w,
                                struct outbox *out)
{
    unsigned limit = state_limit (b, w->session->project, w->session->pool);
    char detail[96];

    if (w->r.min <= limit)
        return;
    snprintf (detail, sizeof detail, "%u wanted, the limit is now %u", w->r.min,
              limit);
    answer_dropped (b, w, ERR_EXCEEDS_MAX, detail, out);
}

static void drop_impossible (struct broker *b, struct outbox *out)
{
    if (!b->limits_changed)
        return;
    b->limits_changed = false;
    for (size_t i = b->waiters.count; i-- > 0;)
        drop_if_impossible (b, b->waiters.at[i], out);
}

/* ---- what is said to those who wait ---- */

/* The last of a thousand need not hear of each one that goes: all of them
 * would, every time. Below 8 every step counts. */
static unsigned distance (unsigned a, unsigned b)
{
    return a > b ? a - b : b - a;
}

static bool has_moved (unsigned told, unsigned now)
{
    return distance (told, now) > told / 8;
}

static bool is_news (const struct waiter *w, const struct outlook *now)
{
    const struct outlook *told = &w->told;

    return told->reason != now->reason ||
           has_moved (told->position, now->position) ||
           has_moved (told->slots_ahead, now->slots_ahead);
}

static void log_queued (const struct waiter *w, struct outbox *out)
{
    outbox_journal (out, JOURNAL_INFO,
                    "queued   session=%" PRIu64 " seq=%" PRIu64
                    " project=%s slots_ahead=%u reason=%s",
                    w->r.session, w->r.seq, w->session->r.project,
                    w->told.slots_ahead, reason_name (w->told.reason));
}

/* To whoever asked, or unasked to who can hear that. */
static void say (struct broker *b, struct waiter *w, int64_t now,
                 struct outbox *out)
{
    const struct path *to = w->unanswered ? &w->answer_to : &w->session->path;

    if (!w->unanswered && !session_hears (w->session))
        return;
    if (w->logged != w->told.reason)
        log_queued (w, out);
    w->logged = w->told.reason;
    answer_queued (b, to, w, now, out);
    w->unanswered = false;
}

/* What is new for it: position, slots ahead and reason are known. */
static void tell (struct broker *b, struct waiter *w,
                  const struct outlook *outlook, int64_t now,
                  struct outbox *out)
{
    bool news = is_news (w, outlook) || outlook_is_news (w, now);

    if (w->unanswered && (w->t.nowait || dispatch_is_gathering (&w->t)))
        return;
    if (!news && !w->unanswered && !w->session->repeat)
        return;
    w->told = *outlook;
    outlook_complete (b, w, now, &w->told);
    w->told_eta = w->eta;
    b->changes += news;
    say (b, w, now, out);
}

static void tell_alone (struct broker *b, struct waiter *w, int64_t now,
                        struct outbox *out)
{
    struct outlook outlook;

    dispatch_explain (&b->dispatch, &w->t, now, &outlook);
    tell (b, w, &outlook, now, out);
}

/* Returns whether it has its answer: what is gathered is decided in a moment,
 * and one that would not wait has none before it is known whether it must. */
static bool answer (struct broker *b, struct waiter *w, int64_t now,
                    struct outbox *out)
{
    struct outlook outlook;

    if (w->t.nowait && (dispatch_is_gathering (&w->t) || w->t.decided))
        return false;
    if (w->t.nowait) {
        dispatch_explain (&b->dispatch, &w->t, now, &outlook);
        turn_away (b, w, outlook.reason, now, out);
        return true;
    }
    if (!w->stored)
        ledger_store_waiter (b, w, out);
    tell_alone (b, w, now, out);
    return !w->unanswered;
}

static void tell_unanswered (struct broker *b, int64_t now, struct outbox *out)
{
    size_t left = 0;

    for (size_t i = 0; i < b->unanswered_count; i++) {
        struct waiter *w = table_find (&b->waiters, b->unanswered[i]);

        if (w && !answer (b, w, now, out))
            b->unanswered[left++] = b->unanswered[i];
    }
    b->unanswered_count = left;
}

/* Its path is a new one, or it has been told of a conflict that is over. */
static void tell_session (struct broker *b, struct session *s, int64_t now,
                          struct outbox *out)
{
    if (s->holder.paused_until && s->holder.paused_until <= now) {
        s->holder.paused_until = 0;
        s->repeat = true;
    }
    if (!s->repeat || !session_hears (s))
        return;
    for (unsigned i = 0; i < s->open_count; i++)
        tell_alone (b, table_find (&b->waiters, s->open[i].number), now, out);
    s->repeat = false;
}

struct telling {
    struct broker *b;
    int64_t now;
    struct outbox *out;
};

static void tell_next (void *who, struct ticket *t,
                       const struct outlook *explained)
{
    struct telling *telling = who;

    tell (telling->b, waiter_of (t), explained, telling->now, telling->out);
}

/* Who is near the front hears of it in each round; who is far from it, once a
 * second: what a round costs does not depend on how many these are. */
static void tell_queues (struct broker *b, int64_t now, struct outbox *out)
{
    struct telling telling = {b, now, out};
    uint64_t most = ROUND_NEAR;

    if (now >= b->far_told + ROUND_FAR_MS) {
        b->far_told = now;
        most = UINT64_MAX;
    }
    for (size_t i = 0; i < b->pools.count; i++) {
        if (b->waiters.count)
            dispatch_explain_first (&b->dispatch, b->pools.at[i], most, now,
                                    tell_next, &telling);
    }
}

static void tell_all (struct broker *b, int64_t now, struct outbox *out)
{
    tell_unanswered (b, now, out);
    for (size_t i = 0; i < b->sessions.count; i++)
        tell_session (b, b->sessions.at[i], now, out);
    tell_queues (b, now, out);
}

void round_serve (struct broker *b, int64_t now, struct outbox *out)
{
    b->dispatch.disk_full = b->disk_full;
    b->dispatch.learning = b->learning;
    b->dispatch.learning_until = b->learning_until;
    state_tally (b);
    state_respond (b, now, out);
    enforce_step (b, now, out);
    drop_impossible (b, out);
    serve (b, now, out);
    reclaim_ask (b, now, out);
    outlook_forecast (b, now);
    tell_all (b, now, out);
    state_tally (b);
}
