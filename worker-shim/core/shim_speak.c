/* SPDX-License-Identifier: MPL-2.0 */
#include "core/shim_state.h"

/* ---- the session ---- */

void shim_say_hello (struct shim *s, uint64_t nonce, struct actions *out)
{
    const struct shim_settings *of = &s->settings;
    struct msg_hello hello;

    message_init_fields (&hello, VERB_HELLO);
    hello.nonce = nonce;
    copy_text (hello.project, sizeof hello.project, of->project);
    copy_text (hello.display, sizeof hello.display, of->display);
    copy_text (hello.host, sizeof hello.host, of->host);
    copy_text (hello.machine, sizeof hello.machine, of->machine);
    copy_text (hello.boot, sizeof hello.boot, of->boot);
    hello.pid = (uint64_t) of->self.pid;
    hello.start = (uint64_t) of->self.start;
    hello.cores = of->cores;
    hello.memory_bytes = of->memory_bytes;
    hello.successor = true; // the shell holds the project's lock
    copy_text (hello.broker, sizeof hello.broker, s->tenure.broker);
    hello.epoch = s->tenure.epoch;
    holdings_running (&s->holdings, &hello.runs);
    actions_send (out, VERB_HELLO, &hello);
}

/* A BEAT begins anew: what was said since the last one and is not answered
 * may be lost. */
static void forget_sent (struct shim *s)
{
    struct request *r = NULL;

    for (struct slot *slot = NULL; (slot = holdings_next (&s->holdings, slot));)
        slot->sent = false;
    for (struct run *run = NULL; (run = runs_next (&s->runs, run));)
        run->sent = run->parking_sent = false;
    while ((r = requests_after (&s->requests, r ? r->seq : 0)))
        r->sent = false;
}

void shim_say_beat (struct shim *s, int64_t now, struct actions *out)
{
    struct msg_beat beat;

    message_init_fields (&beat, VERB_BEAT);
    beat.session = s->tenure.session;
    beat.epoch = s->tenure.epoch;
    beat.seq = tenure_send_beat (&s->tenure, now);
    holdings_named (&s->holdings, &beat.holds);
    acks_carry (&s->acks, beat.seq, &beat.acks);
    actions_send (out, VERB_BEAT, &beat);
    forget_sent (s);
}

void shim_say_sample (struct shim *s, struct actions *out)
{
    actions_add (out, ACT_SAMPLE)->session = s->tenure.session;
}

void shim_say_bye (struct shim *s, struct actions *out)
{
    struct msg_bye bye = {.session = s->tenure.session};

    actions_send (out, VERB_BYE, &bye);
}

/* ---- news: whatever is unsent ---- */

/* A token that a user named goes by itself: if it is another project's, the
 * broker refuses the whole message. */
static void say_stranger (struct shim *s, struct slot *slot,
                          struct actions *out)
{
    struct msg_release release;

    message_init_fields (&release, VERB_RELEASE);
    release.session = s->tenure.session;
    slot->sent = u64s_add (&release.tokens, slot->token);
    actions_send (out, VERB_RELEASE, &release);
}

static bool is_unsaid (const struct slot *at)
{
    return at->state == SLOT_RELEASING && !at->sent;
}

static bool has_unsaid (struct shim *s)
{
    struct slot *at = NULL;

    while ((at = holdings_next (&s->holdings, at))) {
        if (is_unsaid (at))
            return true;
    }
    return false;
}

static void say_released (struct shim *s, struct actions *out)
{
    struct msg_release release;

    if (!has_unsaid (s))
        return;
    message_init_fields (&release, VERB_RELEASE);
    release.session = s->tenure.session;
    for (struct slot *at = NULL; (at = holdings_next (&s->holdings, at));) {
        if (!is_unsaid (at))
            continue;
        if (at->stranger)
            say_stranger (s, at, out);
        else
            at->sent = u64s_add (&release.tokens, at->token);
    }
    if (release.tokens.count)
        actions_send (out, VERB_RELEASE, &release);
}

static bool same_end (const struct slot *a, const struct slot *b)
{
    return a->state == b->state && a->seq == b->seq && !b->sent;
}

/* One message for one tree. */
static void say_reaped_with (struct shim *s, const struct slot *first,
                             struct actions *out)
{
    struct msg_reaped reaped;
    struct slot like = *first;

    message_init_fields (&reaped, VERB_REAPED);
    reaped.session = s->tenure.session;
    reaped.seq = like.seq;
    reaped.status = like.status;
    reaped.memory_bytes = like.memory_bytes;
    reaped.cpu_ms = like.cpu_ms;
    reaped.keep = like.state == SLOT_KEPT;
    for (struct slot *at = NULL; (at = holdings_next (&s->holdings, at));) {
        if (!same_end (&like, at))
            continue;
        at->sent = u64s_add (&reaped.tokens, at->token);
    }
    actions_send (out, VERB_REAPED, &reaped);
}

static void say_reaped (struct shim *s, struct actions *out)
{
    for (struct slot *at = NULL; (at = holdings_next (&s->holdings, at));) {
        if (!at->sent && (at->state == SLOT_REAPED || at->state == SLOT_KEPT))
            say_reaped_with (s, at, out);
    }
}

static void say_started_of (struct shim *s, struct run *run,
                            struct actions *out)
{
    struct msg_started started;

    message_init_fields (&started, VERB_STARTED);
    started.session = s->tenure.session;
    started.seq = run->seq;
    u64s_add (&started.tokens, run->token); // the first names the tree
    for (struct slot *at = NULL;
         (at = holdings_next_of (&s->holdings, run->token, at));) {
        if (at->token != run->token)
            u64s_add (&started.tokens, at->token);
    }
    started.pid = (uint64_t) run->process.pid;
    started.start = (uint64_t) run->process.start;
    copy_text (started.label, sizeof started.label, run->label);
    copy_text (started.cgroup, sizeof started.cgroup, run->cgroup);
    actions_send (out, VERB_STARTED, &started);
    run->sent = true;
}

static void say_started (struct shim *s, struct actions *out)
{
    for (struct run *run = NULL; (run = runs_next (&s->runs, run));) {
        if (run->untold && !run->sent && !run->lost)
            say_started_of (s, run, out);
    }
}

static void say_cancel (struct shim *s, struct request *r, struct actions *out)
{
    struct msg_cancel cancel = {.session = s->tenure.session, .seq = r->seq};

    actions_send (out, VERB_CANCEL, &cancel);
    r->sent = true;
}

static void say_request (struct shim *s, struct request *r, struct actions *out)
{
    struct msg_request ask = r->ask;

    if (r->back)
        shim_fill_return (s, &ask);
    if (s->requests.asked_seq < r->seq)
        s->requests.asked_seq = r->seq;
    ask.session = s->tenure.session;
    copy_text (ask.project, sizeof ask.project, s->settings.project);
    ask.seq = r->seq;
    ask.supervisor = (uint64_t) r->supervisor.pid;
    ask.start = (uint64_t) r->supervisor.start;
    actions_send (out, VERB_REQUEST, &ask);
    r->asked = r->sent = true;
}

/* One that was passed over while younger ones were asked has become too old
 * to be asked: it has its turn at the end. */
static void say_or_postpone (struct shim *s, struct request *r,
                             struct actions *out)
{
    if (r->back ? !shim_may_say_return (s, r) : shim_served_soon (s, r))
        return;
    if (!r->asked && r->seq < s->requests.asked_seq)
        requests_move_last (&s->requests, r);
    else
        say_request (s, r, out);
}

/* Of the seqs that it does not know the broker believes the newest 64: until
 * the oldest is answered, none that would put it out of that window is said.
 */
static void say_requests (struct shim *s, struct actions *out)
{
    uint64_t seq = 0, below = UINT64_MAX;

    for (struct request *r; (r = requests_after (&s->requests, seq));) {
        bool wanted = r->client || r->back;
        bool unanswered = wanted && !r->answered;

        seq = r->seq;
        if (!wanted && !r->sent)
            say_cancel (s, r, out);
        if (unanswered && !r->sent && seq < below)
            say_or_postpone (s, r, out);
        if (unanswered && r->asked && below == UINT64_MAX)
            below = seq + SEQ_WINDOW;
    }
}

/* Of slots that are still ours. */
static void say_progress (struct shim *s, int64_t now, struct actions *out)
{
    struct msg_progress m;

    for (unsigned told = 0; progress_take (&s->progress, told, now, &m);
         told++) {
        m.session = s->tenure.session;
        if (holdings_find (&s->holdings, m.token))
            actions_send (out, VERB_PROGRESS, &m);
    }
}

void shim_say_news (struct shim *s, int64_t now, struct actions *out)
{
    say_released (s, out);
    say_reaped (s, out);
    say_started (s, out);
    shim_say_parks (s, out);
    say_requests (s, out);
    say_progress (s, now, out);
    shim_say_footprints (s, out);
}

/* ---- to keepers ---- */

struct keeper_packet shim_packet (enum keeper_type type, const struct run *run)
{
    return (struct keeper_packet){.magic = KEEPER_MAGIC,
                                  .type = type,
                                  .token = run->named,
                                  .count = run->count};
}

/* Not a tree of an earlier session: its deadline was the old anchor's. Nor
 * one that was told to stop before it was armed: ARM would start it. Nor one
 * that the broker does not know of yet. */
static bool armable (const struct run *run)
{
    return run->state == RUN_ATTACHED && !run->lost && !run->unknown &&
           (run->armed || !run->stopping);
}

void shim_arm (struct shim *s, struct run *run, struct actions *out)
{
    struct keeper_packet arm = shim_packet (KEEPER_ARM, run);

    if (!armable (run))
        return;
    arm.boottime = s->settings.boottime;
    arm.deadline_ms = tenure_deadline (&s->tenure);
    arm.grace_ms = s->tenure.grace_ms;
    arm.confirm_ms = s->tenure.confirm_ms;
    arm.linger_ms = s->tenure.linger_ms;
    actions_packet (out, run->keeper, &arm);
    run->armed = true;
}

void shim_arm_all (struct shim *s, struct actions *out)
{
    for (struct run *run = NULL; (run = runs_next (&s->runs, run));)
        shim_arm (s, run, out);
}
