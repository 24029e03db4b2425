/* SPDX-License-Identifier: MPL-2.0 */
/* HELLO, WELCOME, BEAT: whose the session is, and how long it is good for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "unit/shim-core/stage.h"

static void hello_names_the_shim_and_keeps_its_nonce_until_a_welcome (void **s)
{
    struct stage *st = *s;
    const struct msg_hello *hello;
    uint64_t nonce;

    stage_turn (st);
    hello = stage_sent (st, VERB_HELLO);
    assert_non_null (hello);
    assert_string_equal (hello->project, "odin");
    assert_string_equal (hello->machine, "m1");
    assert_int_equal (hello->pid, 900);
    assert_true (hello->successor);
    assert_true (hello->nonce > 0);
    nonce = hello->nonce;

    stage_wait (st, HELLO_MS);
    hello = stage_sent (st, VERB_HELLO);
    assert_int_equal (hello->nonce, nonce);
}

static void hello_is_repeated_ever_more_rarely (void **s)
{
    struct stage *st = *s;
    unsigned sent = 0, late = 0;

    for (; st->now < 60000; stage_wait (st, 50)) {
        sent += stage_sent_count (st, VERB_HELLO);
        late += st->now >= 40000 ? stage_sent_count (st, VERB_HELLO) : 0;
    }
    assert_in_range (sent, 12, 25);
    assert_in_range (late, 4, 6); // at least every 5 s
}

static void zero_is_never_a_nonce (void **s)
{
    struct stage *st = *s;
    const struct msg_hello *hello;

    st->random = UINT64_MAX; // the next one is 0
    stage_turn (st);
    hello = stage_sent (st, VERB_HELLO);
    assert_int_equal (hello->nonce, 1);
}

static void welcome_with_another_nonce_is_not_ours (void **s)
{
    struct stage *st = *s;

    stage_turn (st);
    stage_welcome (st);
    assert_int_equal (shim_session (st->shim), SESSION);
    st->msg->welcome.session = 1;
    stage_hear (st);
    assert_int_equal (shim_session (st->shim), SESSION);
}

static void welcome_that_nobody_waits_for_is_ignored (void **s)
{
    struct stage *st = *s;

    stage_welcome (st); // before the first HELLO: nonce 0
    assert_int_equal (shim_session (st->shim), 0);
    assert_null (stage_find (st, ACT_READY));
}

static void ready_is_said_once (void **s)
{
    struct stage *st = *s;

    stage_turn (st);
    stage_welcome (st);
    assert_int_equal (stage_count (st, ACT_READY), 1);
    stage_again (st, 8);
    assert_int_equal (shim_session (st->shim), 8);
    assert_int_equal (stage_count (st, ACT_READY), 0);
}

static void anchor_of_a_welcome_is_the_first_hello_it_may_answer (void **s)
{
    struct stage *st = *s;

    st->now = 100;
    stage_turn (st);
    stage_wait (st, 500);
    stage_wait (st, 1000);
    assert_non_null (stage_sent (st, VERB_HELLO));
    stage_welcome (st);
    assert_int_equal (shim_anchor (st->shim), 100);
}

static void beats_go_out_every_h_with_rising_numbers (void **s)
{
    struct stage *st = *s;
    const struct msg_beat *beat = stage_sent (st, VERB_BEAT);

    assert_int_equal (beat->seq, 1); // with the WELCOME
    assert_int_equal (beat->session, SESSION);
    assert_int_equal (beat->epoch, EPOCH);
    stage_wait (st, H - 1);
    assert_null (stage_sent (st, VERB_BEAT));
    assert_int_equal (shim_next_deadline (st->shim, st->now), H);
    stage_wait (st, 1);
    beat = stage_sent (st, VERB_BEAT);
    assert_int_equal (beat->seq, 2);
}

static void anchor_is_the_send_time_of_the_acknowledged_beat (void **s)
{
    struct stage *st = *s;

    stage_wait (st, H); // BEAT 2 at 1000
    stage_wait (st, H); // BEAT 3 at 2000
    st->now = 2900;
    stage_beat_ok (st, 2);
    assert_int_equal (shim_anchor (st->shim), 1000);
    stage_beat_ok (st, 3);
    assert_int_equal (shim_anchor (st->shim), 2000);
    stage_beat_ok (st, 2);
    assert_int_equal (shim_anchor (st->shim), 2000); // never back
}

static void beat_ok_of_a_beat_never_sent_says_nothing (void **s)
{
    struct stage *st = *s;

    stage_wait (st, H);
    stage_beat_ok (st, 3);
    stage_beat_ok (st, 1000);
    assert_int_equal (shim_anchor (st->shim), 0);
}

static void beat_ok_of_a_beat_long_forgotten_says_nothing (void **s)
{
    struct stage *st = *s;

    for (int i = 0; i < 70; i++)
        stage_wait (st, H);
    stage_beat_ok (st, 2);
    assert_int_equal (shim_anchor (st->shim), 0);
    stage_beat_ok (st, 71 - 63);
    assert_int_equal (shim_anchor (st->shim), 7000);
}

static void message_of_another_session_is_ignored (void **s)
{
    struct stage *st = *s;

    stage_request (st, 1, 50, 1);
    st->session = 99;
    stage_grant (st, 1, 10, 1);
    assert_null (stage_told (st, 1, VERB_GRANT));
    stage_wait (st, H);
    stage_beat_ok (st, 2);
    assert_int_equal (shim_anchor (st->shim), 0);
    stage_no_session (st);
    assert_int_equal (shim_session (st->shim), SESSION);
}

static void message_of_an_older_epoch_is_ignored (void **s)
{
    struct stage *st = *s;
    const struct msg_beat *beat;

    st->epoch = EPOCH + 1; // the broker started again
    stage_wait (st, H);
    stage_beat_ok (st, 2);
    assert_int_equal (shim_anchor (st->shim), 1000);
    stage_wait (st, H);
    beat = stage_sent (st, VERB_BEAT);
    assert_int_equal (beat->epoch, EPOCH + 1);

    st->epoch = EPOCH; // a message of before
    stage_beat_ok (st, 3);
    assert_int_equal (shim_anchor (st->shim), 1000);
    stage_request (st, 1, 50, 1);
    stage_grant (st, 1, 10, 1);
    assert_null (stage_told (st, 1, VERB_GRANT));
}

static void welcome_of_an_older_epoch_of_the_same_broker_is_ignored (void **s)
{
    struct stage *st = *s;

    stage_no_session (st);
    st->session = 8;
    st->epoch = EPOCH - 1;
    stage_welcome (st);
    assert_int_equal (shim_session (st->shim), 0);
}

static void another_broker_begins_its_own_epochs (void **s)
{
    struct stage *st = *s;
    const struct msg_hello *hello;
    struct msg_welcome *welcome;

    stage_no_session (st);
    hello = stage_sent (st, VERB_HELLO);
    assert_int_equal (hello->epoch, EPOCH);
    assert_string_equal (hello->broker, "b00f");

    st->session = 8;
    st->epoch = 1;
    welcome = stage_prepare_welcome (st);
    copy_text (welcome->broker, sizeof welcome->broker, "c0de");
    stage_hear (st);
    assert_int_equal (shim_session (st->shim), 8);
    stage_wait (st, H);
    stage_beat_ok (st, 3);
    assert_int_equal (shim_anchor (st->shim), H);
}

static void silence_of_three_beats_makes_the_socket_anew (void **s)
{
    struct stage *st = *s;
    unsigned anew = 0;

    for (int i = 0; i < 29; i++) {
        stage_wait (st, H / 10);
        assert_null (stage_find (st, ACT_RECONNECT));
    }
    stage_wait (st, H / 10);
    assert_int_equal (stage_count (st, ACT_RECONNECT), 1);
    for (int i = 0; i < 29; i++) { // at most once in 3 H
        stage_wait (st, H / 10);
        anew += stage_count (st, ACT_RECONNECT);
    }
    assert_int_equal (anew, 0);
    for (int i = 0; i < 600; i++) { // ever more rarely, but always again
        stage_wait (st, H / 10);
        anew += stage_count (st, ACT_RECONNECT);
    }
    assert_in_range (anew, 4, 8);
    assert_int_equal (shim_session (st->shim), SESSION); // and goes on beating
}

static void whoever_is_heard_is_not_reconnected (void **s)
{
    struct stage *st = *s;

    for (int i = 0; i < 30; i++) {
        stage_live (st, H);
        assert_null (stage_find (st, ACT_RECONNECT));
    }
}

static void reconnecting_keeps_the_session_and_its_beats (void **s)
{
    struct stage *st = *s;
    const struct msg_beat *beat;

    for (int i = 0; i < 10; i++)
        stage_wait (st, H);
    beat = stage_sent (st, VERB_BEAT);
    assert_int_equal (beat->session, SESSION);
    assert_int_equal (beat->seq, 11);
    assert_null (stage_sent (st, VERB_HELLO));
    stage_beat_ok (st, 11);
    assert_int_equal (shim_anchor (st->shim), 10000);
}

static void absent_broker_of_the_own_host_costs_nothing (void **s)
{
    struct stage *st = *s;

    stage_start (st, 1, 50, 10, 1);
    actions_clear (st->out);
    shim_on_broker_absent (st->shim, false, H, st->out);
    assert_int_equal (shim_anchor (st->shim), 0); // stopped: it holds its lock
    for (int64_t now = H; now <= 10 * T; now += H / 2)
        shim_on_broker_absent (st->shim, true, now, st->out);
    assert_int_equal (shim_anchor (st->shim), 10 * T);
    assert_int_equal (stage_packet (st, 1, KEEPER_ARM)->deadline_ms,
                      10 * T + T - D);
}

/* Before it died, it may have ended a session that it had not heard of. */
static void absence_that_is_seen_past_the_deadline_comes_too_late (void **s)
{
    struct stage *st = *s;

    shim_on_broker_absent (st->shim, true, T - D, st->out);
    assert_int_equal (shim_anchor (st->shim), 0);
    shim_on_broker_absent (st->shim, true, T - D - 1, st->out);
    assert_int_equal (shim_anchor (st->shim), T - D - 1);
}

static void absent_broker_of_another_host_says_nothing (void **s)
{
    struct stage *st = *s;

    stage_turn (st);
    stage_prepare_welcome (st)->own_host = false;
    stage_hear (st);
    assert_int_equal (shim_session (st->shim), SESSION);
    shim_on_broker_absent (st->shim, true, 5000, st->out);
    assert_int_equal (shim_anchor (st->shim), 0);
}

static void
lost_session_ends_trees_and_says_hello_for_what_still_runs (void **s)
{
    struct stage *st = *s;
    const struct msg_hello *hello;
    const struct msg_reaped *reaped;
    const struct keeper_packet *stop;

    stage_reserve (st, 50, 10, 2);
    stage_start (st, 7, 51, 20, 2);
    stage_no_session (st);
    stop = stage_packet (st, 7, KEEPER_STOP);
    assert_non_null (stop);
    assert_int_equal (stop->notice_ms, 0);
    assert_int_equal (stop->grace_ms, G);
    assert_int_equal (shim_holds (st->shim, NULL, 0), 0);
    hello = stage_sent (st, VERB_HELLO);
    assert_non_null (hello);
    assert_int_equal (hello->runs.count, 2);
    assert_true (u64s_has (&hello->runs, 20));
    assert_true (u64s_has (&hello->runs, 21));
    assert_int_equal (hello->holds.count, 0);

    st->session = 8;
    stage_welcome (st);
    assert_null (stage_packet (st, 7, KEEPER_ARM)); // not the new session's
    stage_live (st, H);
    assert_null (stage_packet (st, 7, KEEPER_ARM));
    stage_keeper (st, 7, KEEPER_REAPED, 20, 9);
    reaped = stage_sent (st, VERB_REAPED);
    assert_int_equal (reaped->session, 8);
    assert_int_equal (reaped->tokens.count, 2);
    assert_int_equal (reaped->status, 137);
    assert_false (reaped->keep);
}

static void tree_that_ends_between_sessions_is_proven_to_the_next (void **s)
{
    struct stage *st = *s;
    const struct msg_reaped *reaped;

    stage_start (st, 7, 51, 20, 1);
    stage_no_session (st);
    stage_keeper (st, 7, KEEPER_REAPED, 20, 0);
    assert_null (stage_sent (st, VERB_REAPED));
    st->session = 8;
    stage_welcome (st);
    reaped = stage_sent (st, VERB_REAPED);
    assert_int_equal (reaped->session, 8);
    assert_int_equal (reaped->tokens.at[0], 20);
}

/* Its tokens begin anew: one of them may have the number of one that the
 * broker before it has closed. */
static void tokens_of_another_broker_id_are_new (void **s)
{
    struct stage *st = *s;

    stage_reserve (st, 50, 1, 1);
    stage_release (st, 60, 50, 1, false);
    stage_released (st, 1, 1);
    stage_no_session (st);
    stage_wait (st, 2 * HELLO_MS);
    st->session = 8;
    st->epoch = 1;
    copy_text (stage_prepare_welcome (st)->broker, 33, "cafe");
    stage_hear (st);
    stage_request (st, 61, 50, 1);
    stage_grant (st, st->seq, 1, 1);
    assert_non_null (stage_told (st, 61, VERB_GRANT));
}

/* What was given back to the one before is no news for this one: it has the
 * same numbers for others. */
static void proofs_are_not_said_to_another_broker (void **s)
{
    struct stage *st = *s;

    stage_start (st, 7, 50, 1, 1);
    stage_reserve (st, 50, 2, 1);
    stage_release (st, 60, 50, 1, false); // token 2, not answered
    stage_no_session (st);
    stage_wait (st, 2 * HELLO_MS);
    st->session = 8;
    st->epoch = 1;
    copy_text (stage_prepare_welcome (st)->broker, 33, "cafe");
    stage_hear (st);
    assert_null (stage_sent (st, VERB_RELEASE));
    assert_non_null (stage_told (st, 60, VERB_RELEASED));
    stage_keeper (st, 7, KEEPER_REAPED, 1, 9); // of the tree that was ended
    assert_null (stage_sent (st, VERB_REAPED));
    stage_request (st, 61, 50, 1);
    stage_grant (st, st->seq, 1, 1);
    assert_non_null (stage_told (st, 61, VERB_GRANT));
}

/* Nothing before it has other numbers. */
static void first_broker_is_no_other_one (void **s)
{
    struct stage *st = *s;
    const struct msg_release *release;

    stage_turn (st);
    stage_release_token (st, 60, 5, false);
    stage_welcome (st);
    assert_null (stage_told (st, 60, VERB_RELEASED));
    release = stage_sent (st, VERB_RELEASE);
    assert_non_null (release);
    assert_int_equal (release->tokens.at[0], 5);
}

static void idle_reservation_is_forgotten_with_its_session (void **s)
{
    struct stage *st = *s;

    stage_reserve (st, 50, 10, 1);
    stage_again (st, 8);
    assert_null (stage_sent (st, VERB_RELEASE));
    assert_int_equal (shim_holds (st->shim, NULL, 0), 0);
}

static void request_that_waits_is_asked_again_under_a_new_seq (void **s)
{
    struct stage *st = *s;
    const struct msg_request *ask;
    uint64_t seq;

    stage_request (st, 1, 50, 1);
    seq = st->seq;
    stage_queued (st, seq, 0);
    stage_again (st, 8);
    ask = stage_sent (st, VERB_REQUEST);
    assert_non_null (ask);
    assert_int_equal (ask->session, 8);
    assert_true (ask->seq > seq);
    stage_grant (st, ask->seq, 10, 1);
    assert_non_null (stage_told (st, 1, VERB_GRANT));
}

/* It may have lost what it had queued, or what it had to tell. */
static void request_that_waits_is_said_again_to_a_broker_started_anew (void **s)
{
    struct stage *st = *s;
    const struct msg_request *ask;
    uint64_t seq;

    stage_request (st, 1, 50, 1);
    seq = st->seq;
    stage_queued (st, seq, 0);
    stage_wait (st, H);
    assert_null (stage_sent (st, VERB_REQUEST));
    st->epoch = EPOCH + 1;
    stage_beat_ok (st, 2);
    ask = stage_sent (st, VERB_REQUEST);
    assert_non_null (ask);
    assert_int_equal (ask->seq, seq);
    stage_queued (st, seq, 0);
    stage_wait (st, H);
    assert_null (stage_sent (st, VERB_REQUEST));
}

static void run_that_had_not_begun_is_off_with_its_session (void **s)
{
    struct stage *st = *s;
    const struct msg_release *release;

    stage_run (st, 1, 50, 1);
    stage_grant (st, st->seq, 10, 1);
    stage_no_session (st);
    assert_non_null (stage_told (st, 1, VERB_ERROR));
    assert_true (stage_hung_up (st, 1));
    st->session = 8;
    stage_welcome (st);
    release = stage_sent (st, VERB_RELEASE);
    assert_int_equal (release->tokens.at[0], 10); // it may be in limbo
    assert_int_equal (release->session, 8);
    stage_attach (st, 3, 10, 1);
    assert_non_null (stage_packet (st, 3, KEEPER_REFUSE));
}

static void refused_hello_is_told_to_who_waits (void **s)
{
    struct stage *st = *s;
    const struct msg_error *error;

    stage_turn (st);
    stage_request (st, 1, 50, 1);
    assert_null (stage_told (st, 1, VERB_ERROR));
    stage_error (st, VERB_HELLO, 0, ERR_RATE); // only for now
    assert_null (stage_told (st, 1, VERB_ERROR));
    stage_error (st, VERB_HELLO, 0, ERR_EXPIRED); // of an older HELLO
    assert_null (stage_told (st, 1, VERB_ERROR));
    stage_error (st, VERB_HELLO, 0, ERR_NOT_ALLOWED);
    error = stage_told (st, 1, VERB_ERROR);
    assert_string_equal (error->error, "NOT_ALLOWED");
    assert_int_equal (error->seq, 1);
}

static void hello_whose_session_is_over_is_said_anew (void **s)
{
    struct stage *st = *s;
    uint64_t nonce;

    stage_turn (st);
    nonce = ((const struct msg_hello *) stage_sent (st, VERB_HELLO))->nonce;
    stage_error (st, VERB_HELLO, 0, ERR_EXPIRED); // of an older one, maybe
    stage_wait (st, 5000);
    assert_int_equal (
        ((const struct msg_hello *) stage_sent (st, VERB_HELLO))->nonce, nonce);
    stage_wait (st, 60000);
    stage_error (st, VERB_HELLO, 0, ERR_EXPIRED); // it goes on: of this one
    stage_wait (st, 5000);
    assert_int_not_equal (
        ((const struct msg_hello *) stage_sent (st, VERB_HELLO))->nonce, nonce);
    stage_welcome (st);
    assert_int_equal (shim_session (st->shim), SESSION);
}

static void contested_host_lets_wait_who_would_wait (void **s)
{
    struct stage *st = *s;
    const struct msg_queued *queued;

    stage_turn (st);
    stage_request (st, 1, 50, 2);
    stage_error (st, VERB_HELLO, 0, ERR_HOST_CONFLICT);
    queued = stage_told (st, 1, VERB_QUEUED);
    assert_string_equal (queued->reason, "PAUSED");
    assert_int_equal (queued->seq, 1);
    assert_int_equal (queued->count, 2);
    stage_wait (st, HELLO_MS);
    stage_wait (st, 5000);
    stage_welcome (st); // the other has been silent for long enough
    assert_non_null (stage_sent (st, VERB_REQUEST));
}

static void samples_go_out_as_often_as_the_broker_wants (void **s)
{
    struct stage *st = *s;
    unsigned samples = 0;

    stage_turn (st);
    stage_prepare_welcome (st)->sample_ms = 700;
    st->msg->welcome.own_host = false;
    stage_hear (st);
    assert_non_null (stage_find (st, ACT_SAMPLE));
    assert_int_equal (stage_find (st, ACT_SAMPLE)->session, SESSION);
    for (unsigned i = 0; i < 14; i++) { // 7 s
        assert_true (shim_next_deadline (st->shim, st->now) <= st->now + 700);
        stage_wait (st, 500);
        samples += stage_find (st, ACT_SAMPLE) != NULL;
    }
    assert_int_equal (samples, 7);
    stage_no_session (st);
    stage_wait (st, 1000);
    assert_null (stage_find (st, ACT_SAMPLE));
}

static unsigned samples_within (struct stage *st, int64_t ms)
{
    unsigned samples = 0;

    for (int64_t passed = 0; passed < ms; passed += 10) {
        stage_wait (st, 10);
        samples += stage_find (st, ACT_SAMPLE) != NULL;
    }
    return samples;
}

static void answer_sample (struct stage *st, uint64_t ms)
{
    stage_message (st, VERB_OK)->ok.count = ms;
    copy_text (st->msg->ok.re, sizeof st->msg->ok.re, "SAMPLE");
    stage_hear (st);
}

static void host_is_sampled_as_often_as_the_broker_says (void **s)
{
    struct stage *st = *s;

    stage_turn (st);
    stage_prepare_welcome (st)->sample_ms = 1000;
    st->msg->welcome.own_host = false;
    stage_hear (st);
    assert_int_equal (samples_within (st, 3000), 3);
    answer_sample (st, 100);
    assert_in_range (samples_within (st, 3000), 29, 31);
    answer_sample (st, 1); // not more than ten times as often
    assert_in_range (samples_within (st, 3000), 29, 31);
    answer_sample (st, 0);
    assert_in_range (samples_within (st, 3000), 2, 3);
    answer_sample (st, 1 << 30);
    assert_in_range (samples_within (st, 3000), 2, 3);
}

static void who_is_refused_samples_no_more (void **s)
{
    struct stage *st = *s;

    stage_turn (st);
    stage_prepare_welcome (st)->sample_ms = 1000;
    st->msg->welcome.own_host = false;
    stage_hear (st);
    assert_non_null (stage_find (st, ACT_SAMPLE));
    stage_error (st, VERB_SAMPLE, 0, ERR_NOT_ALLOWED);
    assert_int_equal (samples_within (st, 3000), 0);
    assert_int_equal (shim_session (st->shim), SESSION);
}

static void own_host_of_the_broker_is_not_sampled (void **s)
{
    struct stage *st = *s;

    stage_turn (st);
    stage_prepare_welcome (st)->sample_ms = 1000;
    stage_hear (st);
    assert_int_equal (samples_within (st, 3000), 0);
}

static void nobody_samples_unasked (void **s)
{
    struct stage *st = *s;

    stage_wait (st, 60);
    assert_null (stage_find (st, ACT_SAMPLE));
    stage_wait (st, 5000);
    assert_null (stage_find (st, ACT_SAMPLE));
}

static void health_of_our_host_is_logged_when_its_level_changes (void **s)
{
    struct stage *st = *s;
    struct msg_health health;

    message_init_fields (&health, VERB_HEALTH);
    copy_text (health.host, sizeof health.host, "vm1");
    copy_text (health.level, sizeof health.level, "healthy");
    stage_turn (st);
    shim_on_health (st->shim, &health, st->now, st->out);
    assert_null (stage_find (st, ACT_LOG));
    copy_text (health.level, sizeof health.level, "critical");
    shim_on_health (st->shim, &health, st->now, st->out);
    shim_on_health (st->shim, &health, st->now, st->out);
    copy_text (health.host, sizeof health.host, "vm2");
    copy_text (health.level, sizeof health.level, "healthy");
    shim_on_health (st->shim, &health, st->now, st->out);
    assert_int_equal (stage_count (st, ACT_LOG), 1);
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown (name, stage_setup, stage_teardown)
#define LIVE(name)                                                             \
    cmocka_unit_test_setup_teardown (name, stage_setup_live, stage_teardown)

int main (void)
{
    const struct CMUnitTest tests[] = {
        TEST (hello_names_the_shim_and_keeps_its_nonce_until_a_welcome),
        TEST (hello_is_repeated_ever_more_rarely),
        TEST (zero_is_never_a_nonce),
        TEST (welcome_with_another_nonce_is_not_ours),
        TEST (welcome_that_nobody_waits_for_is_ignored),
        TEST (ready_is_said_once),
        TEST (anchor_of_a_welcome_is_the_first_hello_it_may_answer),
        LIVE (beats_go_out_every_h_with_rising_numbers),
        LIVE (anchor_is_the_send_time_of_the_acknowledged_beat),
        LIVE (beat_ok_of_a_beat_never_sent_says_nothing),
        LIVE (beat_ok_of_a_beat_long_forgotten_says_nothing),
        LIVE (message_of_another_session_is_ignored),
        LIVE (message_of_an_older_epoch_is_ignored),
        LIVE (welcome_of_an_older_epoch_of_the_same_broker_is_ignored),
        LIVE (another_broker_begins_its_own_epochs),
        LIVE (tokens_of_another_broker_id_are_new),
        LIVE (proofs_are_not_said_to_another_broker),
        TEST (first_broker_is_no_other_one),
        LIVE (silence_of_three_beats_makes_the_socket_anew),
        LIVE (whoever_is_heard_is_not_reconnected),
        LIVE (reconnecting_keeps_the_session_and_its_beats),
        LIVE (absent_broker_of_the_own_host_costs_nothing),
        LIVE (absence_that_is_seen_past_the_deadline_comes_too_late),
        TEST (absent_broker_of_another_host_says_nothing),
        LIVE (lost_session_ends_trees_and_says_hello_for_what_still_runs),
        LIVE (tree_that_ends_between_sessions_is_proven_to_the_next),
        LIVE (idle_reservation_is_forgotten_with_its_session),
        LIVE (request_that_waits_is_asked_again_under_a_new_seq),
        LIVE (request_that_waits_is_said_again_to_a_broker_started_anew),
        LIVE (run_that_had_not_begun_is_off_with_its_session),
        TEST (refused_hello_is_told_to_who_waits),
        TEST (hello_whose_session_is_over_is_said_anew),
        TEST (contested_host_lets_wait_who_would_wait),
        TEST (samples_go_out_as_often_as_the_broker_wants),
        TEST (host_is_sampled_as_often_as_the_broker_says),
        TEST (who_is_refused_samples_no_more),
        TEST (own_host_of_the_broker_is_not_sampled),
        LIVE (nobody_samples_unasked),
        LIVE (health_of_our_host_is_logged_when_its_level_changes),
    };

    return cmocka_run_group_tests_name ("shim session", tests, NULL, NULL);
}
