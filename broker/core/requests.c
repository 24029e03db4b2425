/* SPDX-License-Identifier: MPL-2.0 */
/* REQUEST - a project wants slots; CANCEL - it does not want them any more.
 *
 * There is no "grant at once" path: every request joins the queue, and the
 * round that ends this batch serves the queue, so that a newcomer cannot
 * overtake those already waiting and requests that arrive together are
 * judged together. The round also answers, exactly once.
 */
#include "core/handlers.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/answers.h"
#include "core/ledger.h"
#include "core/memory.h"

/* ---- the same request once more ---- */

static uint64_t digest_of (const struct msg_request *in)
{
    uint64_t d = DIGEST_START;

    d = digest_u64 (d, in->count);
    d = digest_u64 (d, in->min);
    d = digest_text (d, in->labels);
    d = digest_u64 (d, in->supervisor);
    d = digest_u64 (d, in->start);
    d = digest_u64 (d, in->priority);
    if (in->parked)
        d = digest_u64 (d, in->parked);
    return digest_u64 (
        d, (uint64_t) (in->run | in->bound << 1 | in->preemptible << 2));
}

/* The round answers it, once. */
static void expect_answer (struct broker *b, const struct call *c,
                           struct waiter *w)
{
    if (b->unanswered_count == b->unanswered_room) {
        b->unanswered_room = b->unanswered_room ? 2 * b->unanswered_room : 16;
        b->unanswered =
            resized (b->unanswered, b->unanswered_room, sizeof *b->unanswered);
    }
    if (!w->unanswered)
        b->unanswered[b->unanswered_count++] = w->r.number;
    w->unanswered = true;
    w->answer_to = c->peer->path;
}

/* It waits: this is where to answer it now. */
static enum err replay_waiter (struct broker *b, struct call *c,
                               uint64_t number)
{
    struct waiter *w = table_find (&b->waiters, number);

    if (w->r.digest != digest_of (&c->in->request))
        return ERR_CONFLICT;
    expect_answer (b, c, w);
    return ERR_NONE;
}

/* A lease that came of this request and still counts; NULL: none. */
static struct lease *lease_of_seq (const struct broker *b,
                                   const struct session *s, uint64_t seq)
{
    struct lease **leases;
    size_t count = leases_of (&b->leases, s->r.id, &leases);

    for (size_t i = 0; i < count; i++) {
        if (leases[i]->r.seq == seq)
            return leases[i];
    }
    return NULL;
}

static enum err replay (struct broker *b, struct call *c)
{
    uint64_t seq = c->in->request.seq;
    uint64_t number = session_number (c->from, seq);
    const struct lease *l;

    if (number)
        return replay_waiter (b, c, number);
    l = lease_of_seq (b, c->from, seq);
    if (!l)
        return ERR_EXPIRED;
    if (l->r.digest != digest_of (&c->in->request))
        return ERR_CONFLICT;
    answer_grant (b, &c->peer->path, l, c->out);
    return ERR_NONE;
}

/* ---- a new one ---- */

static unsigned min_of (const struct broker *b, const struct msg_request *in)
{
    if (in->parked)
        return (unsigned) in->count; // a tree has all its slots, or none
    if (in->min)
        return (unsigned) in->min;
    return b->dispatch.policy->partial ? 1 : (unsigned) in->count;
}

static enum err check_possible (const struct broker *b, struct call *c)
{
    const struct session *s = c->from;
    unsigned min = min_of (b, &c->in->request);
    unsigned limit = state_limit (b, s->project, s->pool);

    if (min <= limit)
        return ERR_NONE;
    snprintf (c->detail, sizeof c->detail,
              "%u wanted, the limit is %u (max_slots %u, %s may hold %u)", min,
              limit, s->pool->max_slots, s->project->name, s->project->max);
    return ERR_EXCEEDS_MAX;
}

static enum err check_queue (const struct broker *b, struct call *c)
{
    unsigned queued = c->from->project->queued;

    if (b->waiters.count < MAX_QUEUED && queued < MAX_QUEUED_PROJECT &&
        session_fits (c->from))
        return ERR_NONE;
    snprintf (c->detail, sizeof c->detail,
              "%zu requests wait, of %s %u; at most %d may, of a project %d",
              b->waiters.count, c->from->project->name, queued, MAX_QUEUED,
              MAX_QUEUED_PROJECT);
    return ERR_QUEUE_FULL;
}

static unsigned slots_of_tree (const struct broker *b, const struct lease *of)
{
    unsigned count = 0;

    for (struct lease *l = NULL; (l = lease_next_of_tree (&b->leases, of, l));)
        count++;
    return count;
}

/* A tree that wants to go on has as many slots as it gave back. */
static enum err check_parked (const struct broker *b, struct call *c)
{
    const struct msg_request *in = &c->in->request;
    const struct lease *l = leases_find (&b->leases, in->parked);

    c->key = "parked";
    if (!l)
        return in->parked >= b->next_token ? ERR_NOT_FOUND : ERR_EXPIRED;
    if (l->r.session != c->from->r.id)
        return ERR_NOT_ALLOWED;
    if (l->r.state != LEASE_PARKED)
        return ERR_EXPIRED;
    if (in->count != slots_of_tree (b, l) || (in->min && in->min != in->count))
        return bad_value (c, "count", "expected as many as its tree has");
    if (ledger_parked_waiter (b, l))
        return ERR_CONFLICT;
    c->key = NULL;
    return ERR_NONE;
}

static enum err check (const struct broker *b, struct call *c)
{
    const struct msg_request *in = &c->in->request;
    enum err e;

    if (in->seq == 0 || in->seq > INT64_MAX)
        return bad_arg (c, "seq");
    if (in->count == 0 || in->count > MAX_SLOTS)
        return bad_arg (c, "count");
    if (in->min > in->count)
        return bad_value (c, "min", "expected at most count");
    e = in->parked ? check_parked (b, c) : ERR_NONE;
    if (!e)
        e = check_possible (b, c);
    return e ? e : check_queue (b, c);
}

static void enqueue (struct broker *b, struct call *c)
{
    const struct msg_request *in = &c->in->request;
    struct waiter_record r = {
        .number = ledger_number (b, c->out),
        .session = c->from->r.id,
        .seq = in->seq,
        .count = (uint32_t) in->count,
        .min = min_of (b, in),
        .digest = digest_of (in),
        .supervisor = {(int32_t) in->supervisor, (int64_t) in->start},
        .priority = (uint32_t) in->priority,
        .run = in->run,
        .bound = in->bound,
        .preemptible = in->preemptible,
        .parked = in->parked,
        .since = c->now,
    };
    struct waiter *w;

    copy_text (r.labels, sizeof r.labels, in->labels);
    session_accept (c->from, in->seq);
    ledger_session (b, c->from, c->out);
    w = ledger_wait (b, c->from, &r);
    w->t.nowait = in->nowait;
    expect_answer (b, c, w);
}

enum err on_request (struct broker *b, struct call *c)
{
    uint64_t seq = c->in->request.seq;
    enum seq_state state = session_seq (c->from, seq);
    enum err e;

    if (state == SEQ_SEEN || session_number (c->from, seq))
        return replay (b, c);
    if (state == SEQ_TOO_OLD)
        return ERR_EXPIRED;
    e = check (b, c);
    if (!e)
        enqueue (b, c);
    return e;
}

/* ---- CANCEL ---- */

static void withdraw (struct broker *b, struct waiter *w, struct call *c)
{
    const struct complaint about = {
        .re = VERB_REQUEST,
        .session = w->r.session,
        .seq = w->r.seq,
        .detail = "cancelled",
    };

    outbox_journal (c->out, JOURNAL_INFO,
                    "cancel   session=%" PRIu64 " seq=%" PRIu64 " project=%s",
                    w->r.session, w->r.seq, w->session->r.project);
    if (w->unanswered)
        answer_error (c->out, &w->answer_to, ERR_EXPIRED, &about);
    ledger_unwait (b, w, c->out);
}

/* It was granted meanwhile: what has no tree of its own goes back. */
static void give_back (struct broker *b, struct call *c, struct u64s *tokens)
{
    struct lease **leases;

    for (size_t i = leases_of (&b->leases, c->from->r.id, &leases); i-- > 0;) {
        struct lease *l = leases[i];

        if (l->r.seq != c->in->cancel.seq || l->r.tree)
            continue;
        u64s_add (tokens, l->r.token);
        ledger_release (b, l, "cancelled", c->out);
    }
}

static enum err check_cancel (const struct broker *b, struct call *c)
{
    uint64_t seq = c->in->cancel.seq;

    if (c->in->cancel.all)
        return ERR_NONE;
    if (seq == 0)
        return bad_value (c, "seq", "expected a seq, or all");
    if (session_seq (c->from, seq) == SEQ_NEW)
        return ERR_NOT_FOUND;
    if (!session_number (c->from, seq) && !lease_of_seq (b, c->from, seq))
        return ERR_EXPIRED;
    return ERR_NONE;
}

static unsigned cancel_one (struct broker *b, struct call *c,
                            struct u64s *tokens)
{
    uint64_t number = session_number (c->from, c->in->cancel.seq);

    if (!number) {
        give_back (b, c, tokens);
        return 0;
    }
    withdraw (b, table_find (&b->waiters, number), c);
    return 1;
}

static unsigned cancel_all (struct broker *b, struct call *c)
{
    unsigned count = c->from->open_count;

    while (c->from->open_count) {
        uint64_t number = c->from->open[c->from->open_count - 1].number;

        withdraw (b, table_find (&b->waiters, number), c);
    }
    return count;
}

enum err on_cancel (struct broker *b, struct call *c)
{
    const struct msg_cancel *in = &c->in->cancel;
    enum err e = check_cancel (b, c);
    struct msg_ok ok;

    if (e)
        return e;
    message_init_fields (&ok, VERB_OK);
    copy_text (ok.re, sizeof ok.re, verb_name (VERB_CANCEL));
    ok.seq = in->seq;
    ok.count = in->all ? cancel_all (b, c) : cancel_one (b, c, &ok.tokens);
    outbox_send (c->out, &c->peer->path, VERB_OK, &ok);
    return ERR_NONE;
}
