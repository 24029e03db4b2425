/* SPDX-License-Identifier: MPL-2.0 */
#include "unit/shim-core/stage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct who man (int32_t pid)
{
    return (struct who){.pid = pid, .start = pid};
}

/* ---- the stage itself ---- */

static const struct shim_settings settings = {.project = "odin",
                                              .host = "vm1",
                                              .machine = "m1",
                                              .boot = "b1",
                                              .self = {900, 900},
                                              .own_host = true,
                                              .hello_ms = HELLO_MS};

int stage_setup (void **state)
{
    struct stage *st = calloc (1, sizeof *st);

    st->msg = calloc (1, sizeof *st->msg);
    st->session = SESSION;
    st->epoch = EPOCH;
    st->random = 41;
    st->out = actions_create ();
    st->shim = shim_create (&settings, 0);
    *state = st;
    return 0;
}

int stage_teardown (void **state)
{
    struct stage *st = *state;

    shim_destroy (st->shim);
    actions_destroy (st->out);
    free (st->msg);
    free (st);
    return 0;
}

int stage_setup_live (void **state)
{
    stage_setup (state);
    stage_turn (*state);
    stage_welcome (*state);
    return 0;
}

static void turn (struct stage *st)
{
    const struct msg_hello *hello;
    const struct msg_request *request;
    const struct msg_reaped *reaped;

    shim_turn (st->shim, ++st->random, st->now, st->out);
    if ((hello = stage_sent (st, VERB_HELLO)))
        st->nonce = hello->nonce;
    if ((request = stage_sent (st, VERB_REQUEST)))
        st->seq = request->seq;
    if ((reaped = stage_sent (st, VERB_REAPED)))
        st->reaped = reaped->seq;
}

void stage_turn (struct stage *st)
{
    actions_clear (st->out);
    turn (st);
}

void stage_wait (struct stage *st, int64_t ms)
{
    st->now += ms;
    stage_turn (st);
}

void stage_live (struct stage *st, int64_t ms)
{
    for (int64_t until = st->now + ms; st->now < until;) {
        const struct msg_beat *beat;

        stage_wait (st, H);
        beat = stage_sent (st, VERB_BEAT);
        if (beat)
            stage_beat_ok (st, beat->seq);
    }
}

/* ---- the broker ---- */

struct msg *stage_message (struct stage *st, enum verb verb)
{
    message_init (st->msg, verb);
    return st->msg;
}

void stage_hear (struct stage *st)
{
    actions_clear (st->out);
    shim_on_broker (st->shim, st->msg, st->now, st->out);
    turn (st);
}

struct msg_welcome *stage_prepare_welcome (struct stage *st)
{
    struct msg_welcome *in = &stage_message (st, VERB_WELCOME)->welcome;

    in->nonce = st->nonce;
    in->session = st->session;
    in->epoch = st->epoch;
    copy_text (in->broker, sizeof in->broker, "b00f");
    in->own_host = true;
    in->beat_ms = H;
    in->ttl_ms = T;
    in->notice_ms = N;
    in->grace_ms = G;
    in->kill_confirm_ms = K;
    in->drift_ms = D;
    in->linger_ms = LINGER;
    return in;
}

void stage_welcome (struct stage *st)
{
    stage_prepare_welcome (st);
    stage_hear (st);
}

void stage_again (struct stage *st, uint64_t session)
{
    stage_no_session (st);
    stage_wait (st, 2 * HELLO_MS);
    st->session = session;
    stage_welcome (st);
}

void stage_beat_ok (struct stage *st, uint64_t seq)
{
    struct msg_beat_ok *in = &stage_message (st, VERB_BEAT_OK)->beat_ok;

    in->session = st->session;
    in->epoch = st->epoch;
    in->seq = seq;
    stage_hear (st);
}

void stage_grant (struct stage *st, uint64_t seq, uint64_t first,
                  uint64_t count)
{
    struct msg_grant *in = &stage_message (st, VERB_GRANT)->grant;

    in->session = st->session;
    in->epoch = st->epoch;
    in->seq = seq;
    in->first = first;
    in->count = in->asked = count;
    stage_hear (st);
}

void stage_queued (struct stage *st, uint64_t seq, uint64_t ahead)
{
    struct msg_queued *in = &stage_message (st, VERB_QUEUED)->queued;

    in->session = st->session;
    in->epoch = st->epoch;
    in->seq = seq;
    in->count = in->position = 1;
    in->slots_ahead = ahead;
    copy_text (in->reason, sizeof in->reason, "SLOTS");
    stage_hear (st);
}

void stage_released (struct stage *st, uint64_t first, uint64_t count)
{
    struct msg_released *in = &stage_message (st, VERB_RELEASED)->released;

    in->session = st->session;
    for (uint64_t i = 0; i < count; i++)
        u64s_add (&in->tokens, first + i);
    stage_hear (st);
}

void stage_kept (struct stage *st, uint64_t first, uint64_t count)
{
    struct msg_released *in = &stage_message (st, VERB_RELEASED)->released;

    in->session = st->session;
    in->seq = st->reaped;
    for (uint64_t i = 0; i < count; i++)
        u64s_add (&in->kept, first + i);
    stage_hear (st);
}

void stage_ok (struct stage *st, enum verb re, uint64_t seq, uint64_t token)
{
    struct msg_ok *in = &stage_message (st, VERB_OK)->ok;

    copy_text (in->re, sizeof in->re, verb_name (re));
    in->seq = seq;
    if (token)
        u64s_add (&in->tokens, token);
    stage_hear (st);
}

void stage_error (struct stage *st, enum verb re, uint64_t seq, enum err e)
{
    struct msg_error *in = &stage_message (st, VERB_ERROR)->error;

    copy_text (in->re, sizeof in->re, verb_name (re));
    copy_text (in->error, sizeof in->error, err_name (e));
    in->session = re == VERB_HELLO ? 0 : st->session;
    in->seq = seq;
    stage_hear (st);
}

void stage_no_session (struct stage *st)
{
    stage_error (st, VERB_BEAT, 0, ERR_NO_SESSION);
}

void stage_stop (struct stage *st, uint64_t first, uint64_t count,
                 bool supervisor)
{
    struct msg_stop *in = &stage_message (st, VERB_STOP)->stop;

    in->session = st->session;
    in->epoch = st->epoch;
    in->notice_ms = 77;
    in->grace_ms = 88;
    in->supervisor = supervisor;
    copy_text (in->reason, sizeof in->reason, "by hand");
    for (uint64_t i = 0; i < count; i++)
        u64s_add (&in->tokens, first + i);
    stage_hear (st);
}

/* ---- commands ---- */

void stage_ask (struct stage *st, uint64_t client)
{
    actions_clear (st->out);
    shim_on_client (st->shim, client, man ((int32_t) (5000 + client)), st->msg,
                    st->now, st->out);
    turn (st);
}

static struct msg_request *request (struct stage *st, int32_t pid,
                                    uint64_t count)
{
    struct msg_request *in = &stage_message (st, VERB_REQUEST)->request;

    copy_text (in->project, sizeof in->project, "odin");
    in->seq = 1;
    in->count = count;
    in->supervisor = in->start = (uint64_t) pid;
    return in;
}

void stage_request (struct stage *st, uint64_t client, int32_t pid,
                    uint64_t count)
{
    request (st, pid, count);
    stage_ask (st, client);
}

void stage_run (struct stage *st, uint64_t client, int32_t pid, uint64_t count)
{
    request (st, pid, count)->run = true;
    stage_ask (st, client);
}

void stage_confirm (struct stage *st, uint64_t client)
{
    struct msg_ok *in = &stage_message (st, VERB_OK)->ok;

    copy_text (in->re, sizeof in->re, "GRANT");
    stage_ask (st, client);
}

void stage_client_gone (struct stage *st, uint64_t client)
{
    actions_clear (st->out);
    shim_on_client_gone (st->shim, client, st->now, st->out);
    turn (st);
}

void stage_release (struct stage *st, uint64_t client, int32_t pid,
                    uint64_t count, bool kill)
{
    struct msg_release *in = &stage_message (st, VERB_RELEASE)->release;

    in->supervisor = (uint64_t) pid;
    in->count = count;
    in->kill = kill;
    stage_ask (st, client);
}

void stage_release_token (struct stage *st, uint64_t client, uint64_t token,
                          bool kill)
{
    struct msg_release *in = &stage_message (st, VERB_RELEASE)->release;

    u64s_add (&in->tokens, token);
    in->kill = kill;
    stage_ask (st, client);
}

void stage_supervisor_gone (struct stage *st, int32_t pid)
{
    actions_clear (st->out);
    shim_on_supervisor_gone (st->shim, man (pid), st->now, st->out);
    turn (st);
}

/* ---- keepers ---- */

static struct keeper_packet packet (enum keeper_type type, uint64_t token,
                                    uint32_t count)
{
    return (struct keeper_packet){
        .magic = KEEPER_MAGIC, .type = type, .token = token, .count = count};
}

void stage_attach (struct stage *st, uint64_t keeper, uint64_t token,
                   uint32_t count)
{
    struct keeper_packet in = packet (KEEPER_ATTACH, token, count);

    in.pid = (int32_t) keeper;
    snprintf (in.cookie, sizeof in.cookie, "b00f:%llu",
              (unsigned long long) token);
    snprintf (in.cgroup, sizeof in.cgroup, "tree-%llu",
              (unsigned long long) token);
    actions_clear (st->out);
    shim_on_keeper (st->shim, keeper, &in, st->now, st->out);
    turn (st);
}

void stage_keeper (struct stage *st, uint64_t keeper, enum keeper_type type,
                   uint64_t token, int32_t value)
{
    struct keeper_packet in = packet (type, token, 1);

    in.pid = in.status = value;
    in.peak_bytes = st->peak_bytes;
    in.cpu_ms = st->cpu_ms;
    actions_clear (st->out);
    shim_on_keeper (st->shim, keeper, &in, st->now, st->out);
    turn (st);
}

void stage_keeper_gone (struct stage *st, uint64_t keeper)
{
    actions_clear (st->out);
    shim_on_keeper_gone (st->shim, keeper, st->now, st->out);
    turn (st);
}

void stage_cleaned (struct stage *st, uint64_t token)
{
    actions_clear (st->out);
    shim_on_cleaned (st->shim, token, st->now, st->out);
    turn (st);
}

/* ---- scenes ---- */

void stage_reserve (struct stage *st, int32_t pid, uint64_t first,
                    uint64_t count)
{
    uint64_t client = 100000 + first;

    stage_request (st, client, pid, count);
    stage_grant (st, st->seq, first, count);
    stage_confirm (st, client);
    stage_client_gone (st, client);
}

void stage_start (struct stage *st, uint64_t id, int32_t pid, uint64_t first,
                  uint64_t count)
{
    stage_run (st, id, pid, count);
    stage_grant (st, st->seq, first, count);
    stage_attach (st, id, first, (uint32_t) count);
}

/* ---- what came of it ---- */

unsigned stage_count (const struct stage *st, enum action_kind kind)
{
    unsigned count = 0;

    for (size_t i = 0; i < actions_count (st->out); i++)
        count += actions_at (st->out, i)->kind == kind;
    return count;
}

const struct action *stage_find (const struct stage *st, enum action_kind kind)
{
    for (size_t i = actions_count (st->out); i-- > 0;) {
        if (actions_at (st->out, i)->kind == kind)
            return actions_at (st->out, i);
    }
    return NULL;
}

unsigned stage_sent_count (const struct stage *st, enum verb verb)
{
    unsigned count = 0;

    for (size_t i = 0; i < actions_count (st->out); i++) {
        const struct action *a = actions_at (st->out, i);

        count += a->kind == ACT_SEND && a->verb == verb;
    }
    return count;
}

static const void *message (const struct stage *st, enum action_kind kind,
                            uint64_t client, enum verb verb)
{
    for (size_t i = actions_count (st->out); i-- > 0;) {
        const struct action *a = actions_at (st->out, i);

        if (a->kind == kind && a->client == client && a->verb == verb)
            return a->fields;
    }
    return NULL;
}

const void *stage_sent (const struct stage *st, enum verb verb)
{
    return message (st, ACT_SEND, 0, verb);
}

const void *stage_told (const struct stage *st, uint64_t client, enum verb verb)
{
    return message (st, ACT_TELL, client, verb);
}

bool stage_hung_up (const struct stage *st, uint64_t client)
{
    for (size_t i = 0; i < actions_count (st->out); i++) {
        const struct action *a = actions_at (st->out, i);

        if (a->kind == ACT_HANG_UP && a->client == client)
            return true;
    }
    return false;
}

const struct keeper_packet *
stage_packet (const struct stage *st, uint64_t keeper, enum keeper_type type)
{
    for (size_t i = actions_count (st->out); i-- > 0;) {
        const struct action *a = actions_at (st->out, i);

        if (a->kind == ACT_KEEPER && a->keeper == keeper &&
            a->packet->type == (uint32_t) type)
            return a->packet;
    }
    return NULL;
}

bool stage_holds (const struct stage *st, uint64_t token)
{
    uint64_t held[MAX_HELD];
    size_t count = shim_holds (st->shim, held, MAX_HELD);

    for (size_t i = 0; i < count; i++) {
        if (held[i] == token)
            return true;
    }
    return false;
}
