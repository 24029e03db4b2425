/* SPDX-License-Identifier: MPL-2.0 */
#include "core/answers.h"

#include <inttypes.h>

#include "core/ledger.h"
#include "core/status.h"

void answer_error (struct outbox *out, const struct path *to, enum err e,
                   const struct complaint *about)
{
    struct msg_error error;

    message_init_fields (&error, VERB_ERROR);
    copy_text (error.re, sizeof error.re, verb_name (about->re));
    copy_text (error.error, sizeof error.error, err_name (e));
    error.session = about->session;
    error.seq = about->seq;
    if (about->key)
        copy_text (error.key, sizeof error.key, about->key);
    if (about->detail)
        copy_text (error.detail, sizeof error.detail, about->detail);
    outbox_send (out, to, VERB_ERROR, &error);
}

void answer_ok (struct outbox *out, const struct path *to, enum verb re)
{
    struct msg_ok ok;

    message_init_fields (&ok, VERB_OK);
    copy_text (ok.re, sizeof ok.re, verb_name (re));
    outbox_send (out, to, VERB_OK, &ok);
}

void answer_grant (const struct broker *b, const struct path *to,
                   const struct lease *l, struct outbox *out)
{
    struct msg_grant grant;

    message_init_fields (&grant, VERB_GRANT);
    grant.session = l->r.session;
    grant.epoch = b->meta.epoch;
    grant.seq = l->r.seq;
    grant.first = l->r.first;
    grant.count = l->r.count;
    grant.asked = l->r.asked;
    grant.waited_ms = (uint64_t) l->r.waited_ms;
    outbox_send (out, to, VERB_GRANT, &grant);
}

void answer_queued (const struct broker *b, const struct path *to,
                    const struct waiter *w, int64_t now, struct outbox *out)
{
    struct msg_queued queued;
    struct row_waiter row;

    message_init_fields (&queued, VERB_QUEUED);
    status_waiter_row (w, &w->told, now, &row);
    queued.session = w->r.session;
    queued.epoch = b->meta.epoch;
    queued.seq = w->r.seq;
    queued.count = row.count;
    queued.min = row.min;
    queued.position = row.position;
    queued.slots_ahead = row.slots_ahead;
    copy_text (queued.reason, sizeof queued.reason, row.reason);
    copy_text (queued.detail, sizeof queued.detail, row.detail);
    queued.age_ms = row.age_ms;
    copy_text (queued.unblocks, sizeof queued.unblocks, row.unblocks);
    queued.since_ms = row.since_ms;
    queued.eta_low_s = row.eta_low_s;
    queued.eta_high_s = row.eta_high_s;
    outbox_send (out, to, VERB_QUEUED, &queued);
}

static void push_reclaim (const struct broker *b, const struct session *s,
                          unsigned count, int64_t within_ms, const char *whom,
                          struct outbox *out)
{
    struct msg_reclaim reclaim;

    message_init_fields (&reclaim, VERB_RECLAIM);
    reclaim.session = s->r.id;
    reclaim.epoch = b->meta.epoch;
    reclaim.count = count;
    reclaim.within_ms = (uint64_t) within_ms;
    copy_text (reclaim.whom, sizeof reclaim.whom, whom);
    reclaim.idle_ms = (uint64_t) b->settings.reclaim_idle_ms;
    outbox_send (out, &s->path, VERB_RECLAIM, &reclaim);
}

void reclaim_send (struct broker *b, struct session *s, unsigned count,
                   int64_t within_ms, const char *whom, struct outbox *out)
{
    if (count == 0)
        return;
    if (session_hears (s))
        push_reclaim (b, s, count, within_ms, whom, out);
    else
        s->reclaim = count;
    outbox_journal (out, JOURNAL_INFO,
                    "reclaim  session=%" PRIu64 " project=%s count=%u for=%s",
                    s->r.id, s->r.project, count, whom[0] ? whom : "-");
}

void answer_dropped (struct broker *b, struct waiter *w, enum err e,
                     const char *detail, struct outbox *out)
{
    struct session *s = w->session;
    const struct complaint about = {
        .re = VERB_REQUEST,
        .session = s->r.id,
        .seq = w->r.seq,
        .detail = detail,
    };
    char quoted[257];

    if (w->unanswered)
        answer_error (out, &w->answer_to, e, &about);
    else if (session_hears (s))
        answer_error (out, &s->path, e, &about);
    if (w->stored) // QUEUED was said: nobody asks again
        session_drop (s, w->r.seq);
    outbox_journal (out, JOURNAL_INFO,
                    "dropped  session=%" PRIu64 " seq=%" PRIu64
                    " error=%s detail=\"%s\"",
                    s->r.id, w->r.seq, err_name (e),
                    outbox_quoted (detail, quoted, sizeof quoted));
    ledger_unwait (b, w, out);
}
