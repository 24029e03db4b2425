/* SPDX-License-Identifier: MPL-2.0 */
#include "core/shim_state.h"

#include <string.h>

/* ---- WELCOME: what a predecessor left ---- */

/* What has a tree is ended here and then proven. What has none is its
 * supervisor's word, so we wait for that; of nobody, there is no word. */
static void inherit (struct shim *s, const struct row_limbo *row,
                     struct actions *out)
{
    struct who who = {(int32_t) row->supervisor, (int64_t) row->start};
    struct slot *slot;

    if (s->ending || holdings_find (&s->holdings, row->token))
        return;
    slot = holdings_add (&s->holdings, row->token, SLOT_INHERITED, who);
    if (!slot)
        return;
    if (row->tree)
        shim_clean (s, slot, row, out);
    else if (!who.pid)
        shim_release_slot (slot);
    else
        shim_watched (s, who, out);
}

/* Whoever waits for what was given back to the one before hears that it is
 * over. */
static void another_broker (struct shim *s, struct actions *out)
{
    struct u64s dropped;

    holdings_another_broker (&s->holdings, &dropped);
    for (uint32_t i = 0; i < dropped.count; i++)
        releases_note (&s->releases, dropped.at[i], RESULT_EXPIRED);
    shim_tell_released (s, out);
}

/* WELCOME - we are LIVE. What waits is said in the turn that ends this. It
 * lists so many leftovers at most; while it is full, HELLO is repeated with
 * each BEAT, and the answer lists the next. */
static void on_welcome (struct shim *s, const struct msg_welcome *in,
                        int64_t now, struct actions *out)
{
    bool again = tenure_welcome_again (&s->tenure, in);
    const char *before = s->tenure.broker; // "": this is the first
    bool another = *before && strcmp (before, in->broker) != 0;

    if (!again && !tenure_welcome (&s->tenure, in, now))
        return;
    if (another)
        another_broker (s, out);
    for (uint32_t i = 0; i < in->limbo_count; i++)
        inherit (s, &in->limbo[i], out);
    s->more = in->limbo_count == sizeof in->limbo / sizeof *in->limbo;
    if (again)
        return;
    if (!s->ready)
        actions_add (out, ACT_READY);
    s->ready = true;
    actions_log (out, "live session=%llu epoch=%llu broker=%s limbo=%u",
                 (unsigned long long) in->session,
                 (unsigned long long) in->epoch, in->broker,
                 (unsigned) in->limbo_count);
}

/* ---- answers to requests ---- */

static void on_grant (struct shim *s, const struct msg_grant *in,
                      struct actions *out)
{
    struct row_granted grant = {in->seq, in->first, in->count};

    if (in->first)
        shim_take_grant (s, &grant, in->waited_ms, out);
}

/* What he has and does not run: that ends when he goes on, and not before. */
static unsigned idle_of (struct shim *s, struct who supervisor)
{
    return holdings_count (&s->holdings, supervisor, SLOT_IDLE) +
           holdings_count (&s->holdings, supervisor, SLOT_BOUND);
}

static void on_queued (struct shim *s, const struct msg_queued *in,
                       struct actions *out)
{
    struct request *r = requests_find (&s->requests, in->seq);
    struct msg_queued told = *in;

    if (!r)
        return;
    r->answered = r->client || r->back;
    if (!r->client)
        return; // withdrawn: the CANCEL is still to be answered
    told.session = told.epoch = 0;
    told.seq = r->client_seq;
    told.holding = idle_of (s, r->supervisor);
    copy_text (told.near, sizeof told.near, s->tenure.near);
    actions_tell (out, r->client, VERB_QUEUED, &told);
}

/* The broker has no such request any more. */
static void close_request (struct shim *s, uint64_t seq, enum err error,
                           const char *detail, struct actions *out)
{
    struct request *r = requests_find (&s->requests, seq);

    if (r && r->back) {
        shim_return_refused (s, r, error, detail, out);
        return;
    }
    if (r && r->client)
        actions_tell_error (out, r->client, VERB_REQUEST, r->client_seq, error,
                            detail);
    requests_remove (&s->requests, seq);
}

/* ---- STOP ---- */

/* Has a parked tree asked for its way back? Then a token that we do not know
 * may be one that it was granted, and the GRANT is on its way. */
static bool awaits_return (struct shim *s)
{
    for (struct request *r = NULL;
         (r = requests_after (&s->requests, r ? r->seq : 0));) {
        if (r->back && r->asked)
            return true;
    }
    return false;
}

static struct stop stop_of (uint64_t notice_ms, uint64_t grace_ms,
                            const char *reason)
{
    return (struct stop){
        .notice_ms = (int64_t) notice_ms,
        .grace_ms = (int64_t) grace_ms,
        .reason = reason[0] ? reason : "stopped by the broker",
    };
}

static void on_stop (struct shim *s, const struct msg_stop *in,
                     struct actions *out)
{
    struct stop how = stop_of (in->notice_ms, in->grace_ms, in->reason);

    how.supervisor = in->supervisor;
    how.unsure = awaits_return (s);
    shim_stop_tokens (s, &in->tokens, &how, false, out);
}

/* ---- BEAT_OK ---- */

/* The next `count` of them, if there are so many. */
static uint32_t some_of (const struct u64s *all, uint32_t from, uint64_t count,
                         struct u64s *ret_some)
{
    ret_some->count = 0;
    while (from < all->count && ret_some->count < count)
        u64s_add (ret_some, all->at[from++]);
    return from;
}

/* What STOPs said, once more; behind that, what the broker knows nothing of
 * and may have given to others: it ends at once. */
static void repeat_stops (struct shim *s, const struct msg_beat_ok *in,
                          bool unsure, struct actions *out)
{
    struct stop stray = {.grace_ms = s->tenure.grace_ms,
                         .reason = "the broker does not know this slot",
                         .unsure = unsure};
    struct u64s tokens;
    uint32_t from = 0;

    for (uint32_t i = 0; i < in->endings_count; i++) {
        const struct row_ending *row = &in->endings[i];
        struct stop how = stop_of (row->notice_ms, row->grace_ms, row->reason);

        how.supervisor = row->supervisor;
        how.unsure = unsure;
        from = some_of (&in->stops, from, row->count, &tokens);
        shim_stop_tokens (s, &tokens, &how, true, out);
    }
    some_of (&in->stops, from, MAX_HELD, &tokens);
    shim_stop_tokens (s, &tokens, &stray, true, out);
}

static void on_beat_ok (struct shim *s, const struct msg_beat_ok *in,
                        int64_t now, struct actions *out)
{
    bool full = in->grants_count == sizeof in->grants / sizeof *in->grants;

    acks_settle (&s->acks, in->seq);
    for (uint32_t i = 0; i < in->grants_count; i++)
        shim_take_grant (s, &in->grants[i], 0, out);
    for (uint32_t i = 0; i < in->expired.count; i++) {
        close_request (s, in->expired.at[i], ERR_EXPIRED,
                       "dropped by the broker", out);
        acks_add (&s->acks, in->expired.at[i]); // it lists 64 at a time
    }
    // what came back and is to be ended is among the grants, if there is room
    repeat_stops (s, in, full && awaits_return (s), out);
    if (!tenure_beat_ok (&s->tenure, in->seq))
        return;
    shim_arm_all (s, out);
    shim_reclaim (s, in->reclaim, in->idle_ms, "", now, out);
}

/* ---- OK and ERROR ---- */

/* An answer to an older one says at least that the broker knows of the tree;
 * to one of the run that was here before, nothing. */
static void started_heard (struct shim *s, const struct msg_ok *in, int64_t now,
                           struct actions *out)
{
    struct run *run =
        in->tokens.count ? runs_find (&s->runs, in->tokens.at[0]) : NULL;

    if (!run || in->seq < run->first)
        return;
    if (in->seq == run->seq)
        run->untold = false;
    if (!run->unknown)
        return;
    run->unknown = false;
    if (tenure_valid (&s->tenure, now))
        shim_arm (s, run, out);
}

static void on_ok (struct shim *s, const struct msg_ok *in, int64_t now,
                   struct actions *out)
{
    struct request *r = requests_find (&s->requests, in->seq);

    switch (verb_of_name (in->re, strlen (in->re))) {
    case VERB_STARTED: started_heard (s, in, now, out); break;
    case VERB_PARK: shim_park_heard (s, in, out); break;
    case VERB_CANCEL:
        if (r && !r->client)
            requests_remove (&s->requests, in->seq);
        break;
    case VERB_SAMPLE: tenure_sampled (&s->tenure, (int64_t) in->count); break;
    case VERB_BYE: shim_bye_heard (s, now, out); break;
    default: break;
    }
}

/* NO_SESSION - what we hold is nobody's any more, so it must end. */
static void on_no_session (struct shim *s, int64_t now, struct actions *out)
{
    actions_log (out, "lost session=%llu",
                 (unsigned long long) s->tenure.session);
    if (s->tenure.state == TENURE_LEAVING)
        shim_bye_heard (s, now, out);
    else
        shim_lose_session (s, now, out);
}

/* One RELEASE was refused as a whole: because of a token that a user named,
 * for ours are ours. */
static void forget_strangers (struct shim *s, struct actions *out)
{
    for (struct slot *at = NULL; (at = holdings_next (&s->holdings, at));) {
        if (!at->stranger || !at->sent)
            continue;
        releases_note (&s->releases, at->token, RESULT_UNKNOWN);
        holdings_drop (&s->holdings, at->token);
    }
    shim_tell_released (s, out);
}

/* Until the broker knows which of two hosts lives: after a reboot that takes
 * a ttl. */
static void tell_contested (struct request *r, const char *detail,
                            struct actions *out)
{
    struct msg_queued told;

    message_init_fields (&told, VERB_QUEUED);
    told.seq = r->client_seq;
    told.count = r->ask.count;
    told.position = 1;
    copy_text (told.reason, sizeof told.reason, "PAUSED");
    copy_text (told.detail, sizeof told.detail, detail);
    actions_tell (out, r->client, VERB_QUEUED, &told);
}

/* Who waits here can only hope for what the broker will not give. */
static void on_hello_refused (struct shim *s, enum err error,
                              const char *detail, struct actions *out)
{
    uint64_t seq = 0;

    if (error == ERR_RATE || error == ERR_EXPIRED)
        return; // for now; or of a HELLO that came late
    for (struct request *r; (r = requests_after (&s->requests, seq));) {
        seq = r->seq;
        if (error != ERR_HOST_CONFLICT || r->ask.nowait)
            close_request (s, seq, error, detail, out);
        else if (r->client)
            tell_contested (r, detail, out);
    }
}

static void on_refused (struct shim *s, const struct msg_error *in,
                        struct actions *out)
{
    enum err error = err_of_name (in->error);
    struct request *r = requests_find (&s->requests, in->seq);

    if (error == ERR_RATE)
        return; // for now: it is said again with the next BEAT
    switch (verb_of_name (in->re, strlen (in->re))) {
    case VERB_REQUEST:
        close_request (s, in->seq, error, in->detail, out);
        break;
    case VERB_CANCEL:
        if (r && !r->client)
            requests_remove (&s->requests, in->seq);
        break;
    case VERB_RELEASE: forget_strangers (s, out); break;
    case VERB_PARK: shim_park_refused (s, in, out); break;
    case VERB_SAMPLE: // by tcp, but on its own host: it looks at that itself
        s->tenure.samples = false;
        break;
    default:
        actions_log (out, "refused verb=%s error=%s detail=%s", in->re,
                     in->error, in->detail);
        break;
    }
}

static void on_error (struct shim *s, const struct msg_error *in, int64_t now,
                      struct actions *out)
{
    if (s->tenure.state == TENURE_HELLO) {
        if (strcmp (in->re, verb_name (VERB_HELLO)) != 0)
            return;
        actions_log (out, "refused verb=HELLO error=%s detail=%s", in->error,
                     in->detail);
        if (err_of_name (in->error) == ERR_EXPIRED)
            tenure_expired (&s->tenure, now);
        on_hello_refused (s, err_of_name (in->error), in->detail, out);
        return;
    }
    if (!tenure_accepts (&s->tenure, in->session, 0, now))
        return;
    if (err_of_name (in->error) == ERR_NO_SESSION)
        on_no_session (s, now, out);
    else
        on_refused (s, in, out);
}

/* ---- all of them ---- */

/* R7: what is not of this session, or older than what was seen, is nothing.
 * An OK names no session: it says so little that it does no harm. */
static bool of_this_session (struct shim *s, const struct msg *in, int64_t now)
{
    struct tenure *t = &s->tenure;

    switch (in->verb) {
    case VERB_BEAT_OK:
        return tenure_accepts (t, in->beat_ok.session, in->beat_ok.epoch, now);
    case VERB_GRANT:
        return in->grant.epoch &&
               tenure_accepts (t, in->grant.session, in->grant.epoch, now);
    case VERB_QUEUED:
        return tenure_accepts (t, in->queued.session, in->queued.epoch, now);
    case VERB_STOP:
        return tenure_accepts (t, in->stop.session, in->stop.epoch, now);
    case VERB_RECLAIM:
        return tenure_accepts (t, in->reclaim.session, in->reclaim.epoch, now);
    case VERB_RELEASED: return tenure_accepts (t, in->released.session, 0, now);
    case VERB_OK: return tenure_accepts (t, t->session, 0, now);
    default: return false;
    }
}

static void heed (struct shim *s, const struct msg *in, int64_t now,
                  struct actions *out)
{
    switch (in->verb) {
    case VERB_BEAT_OK: on_beat_ok (s, &in->beat_ok, now, out); break;
    case VERB_RECLAIM:
        shim_reclaim (s, in->reclaim.count, in->reclaim.idle_ms,
                      in->reclaim.whom, now, out);
        break;
    case VERB_GRANT: on_grant (s, &in->grant, out); break;
    case VERB_QUEUED: on_queued (s, &in->queued, out); break;
    case VERB_STOP: on_stop (s, &in->stop, out); break;
    case VERB_RELEASED: shim_on_released (s, &in->released, out); break;
    default: break;
    }
}

/* It has started anew. What it dropped before and had not told it does not
 * know any more, nor, after a power cut of another host, what it had queued,
 * what was parked and what had ended: what waits, and what was kept, is said
 * again. */
static void note_epoch (struct shim *s, uint64_t before)
{
    if (s->tenure.epoch == before)
        return;
    shim_park_again (s);
    shim_keep_again (s);
    requests_repeat (&s->requests);
}

void shim_on_broker (struct shim *s, const struct msg *in, int64_t now,
                     struct actions *out)
{
    uint64_t epoch = s->tenure.epoch;

    s->news = true;
    if (s->done)
        return;
    if (in->verb == VERB_WELCOME)
        on_welcome (s, &in->welcome, now, out);
    else if (in->verb == VERB_ERROR)
        on_error (s, &in->error, now, out);
    else if (of_this_session (s, in, now)) {
        note_epoch (s, epoch);
        if (in->verb == VERB_OK)
            on_ok (s, &in->ok, now, out);
        else if (s->tenure.state == TENURE_LIVE)
            heed (s, in, now, out);
    }
}
