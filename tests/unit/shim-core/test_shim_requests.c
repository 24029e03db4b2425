/* SPDX-License-Identifier: MPL-2.0 */
/* REQUEST, GRANT, CANCEL: who waits, and what they are given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "core/supervisors.h"
#include "unit/shim-core/stage.h"

static void request_waits_for_the_session (void **s)
{
    struct stage *st = *s;
    const struct msg_request *ask;

    stage_request (st, 1, 50, 3);
    assert_null (stage_sent (st, VERB_REQUEST));
    stage_welcome (st);
    ask = stage_sent (st, VERB_REQUEST);
    assert_int_equal (ask->session, SESSION);
    assert_int_equal (ask->count, 3);
    assert_int_equal (ask->supervisor, 50);
    assert_int_equal (ask->start, 50);
    assert_string_equal (ask->project, "odin");
}

static void request_for_another_project_is_not_allowed (void **s)
{
    struct stage *st = *s;
    struct msg_request *in = &stage_message (st, VERB_REQUEST)->request;
    const struct msg_error *error;

    in->seq = in->count = 1;
    in->supervisor = 50;
    copy_text (in->project, sizeof in->project, "thor");
    stage_ask (st, 1);
    error = stage_told (st, 1, VERB_ERROR);
    assert_string_equal (error->error, "NOT_ALLOWED");
    assert_null (stage_sent (st, VERB_REQUEST));
}

static void supervisor_is_watched_once (void **s)
{
    struct stage *st = *s;

    stage_request (st, 1, 50, 1);
    assert_int_equal (stage_count (st, ACT_WATCH), 1);
    assert_int_equal (stage_find (st, ACT_WATCH)->who.pid, 50);
    stage_request (st, 2, 50, 1);
    assert_int_equal (stage_count (st, ACT_WATCH), 0);
    stage_request (st, 3, 51, 1);
    assert_int_equal (stage_count (st, ACT_WATCH), 1);
}

static void request_without_a_supervisor_is_of_who_asks (void **s)
{
    struct stage *st = *s;
    const struct msg_request *ask;

    stage_request (st, 1, 0, 1);
    ask = stage_sent (st, VERB_REQUEST);
    assert_int_equal (ask->supervisor, 5001); // the peer
    assert_int_equal (stage_find (st, ACT_WATCH)->who.pid, 5001);
}

static void request_is_repeated_each_beat_until_it_is_answered (void **s)
{
    struct stage *st = *s;
    const struct msg_request *ask;

    stage_request (st, 1, 50, 1);
    stage_wait (st, H / 2);
    assert_null (stage_sent (st, VERB_REQUEST));
    stage_wait (st, H / 2);
    ask = stage_sent (st, VERB_REQUEST);
    assert_int_equal (ask->seq, st->seq);
    stage_queued (st, st->seq, 3);
    stage_wait (st, H);
    assert_null (stage_sent (st, VERB_REQUEST));
}

static void queued_reaches_the_client_with_its_own_seq (void **s)
{
    struct stage *st = *s;
    const struct msg_queued *queued;

    stage_request (st, 9, 51, 1);
    stage_request (st, 1, 50, 1);
    assert_int_equal (st->seq, 2);
    stage_queued (st, 2, 3);
    queued = stage_told (st, 1, VERB_QUEUED);
    assert_int_equal (queued->seq, 1);
    assert_int_equal (queued->slots_ahead, 3);
    assert_int_equal (queued->session, 0);
    assert_null (stage_told (st, 9, VERB_QUEUED));
}

static void error_reaches_the_client_and_ends_the_request (void **s)
{
    struct stage *st = *s;
    const struct msg_error *error;

    stage_request (st, 1, 50, 5);
    stage_error (st, VERB_REQUEST, st->seq, ERR_EXCEEDS_MAX);
    error = stage_told (st, 1, VERB_ERROR);
    assert_string_equal (error->error, "EXCEEDS_MAX");
    assert_string_equal (error->re, "REQUEST");
    assert_int_equal (error->seq, 1);
    stage_wait (st, H);
    assert_null (stage_sent (st, VERB_REQUEST));
}

/* As the broker says it of a whole connection: without a session. */
static void hear_rate (struct stage *st, enum verb re, uint64_t seq)
{
    struct msg_error *in = &stage_message (st, VERB_ERROR)->error;

    copy_text (in->re, sizeof in->re, verb_name (re));
    copy_text (in->error, sizeof in->error, "RATE");
    in->seq = seq;
    stage_hear (st);
}

static void
request_that_was_too_much_is_said_again_with_the_next_beat (void **s)
{
    struct stage *st = *s;

    stage_request (st, 1, 50, 5);
    hear_rate (st, VERB_REQUEST, st->seq);
    assert_null (stage_told (st, 1, VERB_ERROR));
    assert_null (stage_sent (st, VERB_REQUEST)); // that would be more of it
    stage_wait (st, H);
    assert_non_null (stage_sent (st, VERB_REQUEST));
    stage_error (st, VERB_REQUEST, st->seq, ERR_RATE); // of the session
    assert_null (stage_told (st, 1, VERB_ERROR));
    stage_wait (st, H);
    assert_non_null (stage_sent (st, VERB_REQUEST));
    stage_grant (st, st->seq, 10, 5);
    assert_non_null (stage_told (st, 1, VERB_GRANT));
}

static void grant_reaches_the_client_with_tokens_and_cookie (void **s)
{
    struct stage *st = *s;
    const struct msg_grant *grant;

    stage_request (st, 1, 50, 3);
    stage_grant (st, st->seq, 17, 3);
    grant = stage_told (st, 1, VERB_GRANT);
    assert_int_equal (grant->seq, 1);
    assert_int_equal (grant->first, 17);
    assert_int_equal (grant->count, 3);
    assert_int_equal (grant->tokens.count, 3);
    assert_int_equal (grant->tokens.at[2], 19);
    assert_string_equal (grant->cookie, "b00f:17");
    assert_true (stage_holds (st, 17) && stage_holds (st, 19));
}

static void
beat_names_what_is_held_and_acknowledges_until_it_is_heard (void **s)
{
    struct stage *st = *s;
    const struct msg_beat *beat;

    stage_request (st, 1, 50, 2);
    stage_grant (st, st->seq, 17, 2);
    stage_wait (st, H);
    beat = stage_sent (st, VERB_BEAT);
    assert_int_equal (beat->holds.count, 2);
    assert_int_equal (beat->acks.count, 1);
    assert_int_equal (beat->acks.at[0], st->seq);
    stage_beat_ok (st, 1); // of the one before: it carried no ack
    stage_wait (st, H);
    beat = stage_sent (st, VERB_BEAT);
    assert_int_equal (beat->acks.count, 1);
    stage_beat_ok (st, 2);
    stage_wait (st, H);
    beat = stage_sent (st, VERB_BEAT);
    assert_int_equal (beat->acks.count, 0);
    assert_int_equal (beat->holds.count, 2);
}

static void grant_is_taken_once (void **s)
{
    struct stage *st = *s;
    const struct msg_beat *beat;
    struct msg_beat_ok *in;
    uint64_t seq;

    stage_request (st, 1, 50, 2);
    seq = st->seq;
    stage_grant (st, seq, 17, 2);
    stage_grant (st, seq, 17, 2);
    assert_null (stage_told (st, 1, VERB_GRANT));
    assert_null (stage_sent (st, VERB_RELEASE));
    stage_wait (st, H);
    stage_beat_ok (st, 2);

    in = &stage_message (st, VERB_BEAT_OK)->beat_ok; // it did not see the ack
    in->session = SESSION;
    in->epoch = EPOCH;
    in->seq = 2;
    in->grants[in->grants_count++] = (struct row_granted){seq, 17, 2};
    stage_hear (st);
    assert_null (stage_told (st, 1, VERB_GRANT));
    assert_null (stage_sent (st, VERB_RELEASE));
    stage_wait (st, H);
    beat = stage_sent (st, VERB_BEAT);
    assert_int_equal (beat->acks.count, 1); // so it is said again
    assert_int_equal (beat->holds.count, 2);
}

static void grant_in_beat_ok_is_as_good_as_a_push (void **s)
{
    struct stage *st = *s;
    struct msg_beat_ok *in;
    const struct msg_grant *grant;

    stage_request (st, 1, 50, 2);
    in = &stage_message (st, VERB_BEAT_OK)->beat_ok;
    in->session = SESSION;
    in->epoch = EPOCH;
    in->seq = 1;
    in->grants[in->grants_count++] = (struct row_granted){st->seq, 17, 2};
    stage_hear (st);
    grant = stage_told (st, 1, VERB_GRANT);
    assert_int_equal (grant->tokens.at[1], 18);
    assert_int_equal (grant->asked, 2);
}

static void grant_that_nobody_waits_for_goes_back (void **s)
{
    struct stage *st = *s;
    const struct msg_release *release;

    stage_grant (st, 77, 17, 2);
    release = stage_sent (st, VERB_RELEASE);
    assert_int_equal (release->tokens.count, 2);
    assert_false (stage_holds (st, 17));
    stage_wait (st, H);
    assert_non_null (stage_sent (st, VERB_RELEASE)); // until it is answered
    stage_released (st, 17, 2);
    stage_wait (st, H);
    assert_null (stage_sent (st, VERB_RELEASE));
}

static void late_repeat_of_a_grant_given_back_changes_nothing (void **s)
{
    struct stage *st = *s;

    stage_reserve (st, 50, 17, 1);
    stage_release (st, 2, 50, 1, false);
    stage_released (st, 17, 1);
    stage_grant (st, st->seq, 17, 1);
    assert_null (stage_sent (st, VERB_RELEASE));
    assert_false (stage_holds (st, 17));
}

static void grant_larger_than_the_request_is_refused (void **s)
{
    struct stage *st = *s;

    stage_request (st, 1, 50, 2);
    stage_grant (st, st->seq, 17, 3);
    assert_null (stage_told (st, 1, VERB_GRANT));
    stage_grant (st, 99, 17, MAX_SLOTS);
    assert_int_equal (shim_holds (st->shim, NULL, 0), 0);
}

static void smaller_grant_says_what_was_asked (void **s)
{
    struct stage *st = *s;
    const struct msg_grant *grant;

    stage_request (st, 1, 50, 10);
    stage_grant (st, st->seq, 17, 8);
    grant = stage_told (st, 1, VERB_GRANT);
    assert_int_equal (grant->count, 8);
    assert_int_equal (grant->asked, 10);
}

static void client_that_goes_without_taking_its_grant_gives_it_back (void **s)
{
    struct stage *st = *s;
    const struct msg_release *release;

    stage_request (st, 1, 50, 2);
    stage_grant (st, st->seq, 17, 2);
    stage_client_gone (st, 1);
    release = stage_sent (st, VERB_RELEASE);
    assert_int_equal (release->tokens.count, 2);
}

static void client_that_took_its_grant_may_go (void **s)
{
    struct stage *st = *s;

    stage_request (st, 1, 50, 2);
    stage_grant (st, st->seq, 17, 2);
    stage_confirm (st, 1);
    stage_client_gone (st, 1);
    assert_null (stage_sent (st, VERB_RELEASE));
    assert_true (stage_holds (st, 17));
}

static void client_that_goes_while_it_waits_withdraws (void **s)
{
    struct stage *st = *s;
    const struct msg_cancel *cancel;
    const struct msg_release *release;

    stage_request (st, 1, 50, 2);
    stage_client_gone (st, 1);
    cancel = stage_sent (st, VERB_CANCEL);
    assert_int_equal (cancel->seq, st->seq);
    stage_wait (st, H);
    assert_non_null (stage_sent (st, VERB_CANCEL)); // until it is answered
    assert_null (stage_sent (st, VERB_REQUEST));
    stage_grant (st, st->seq, 17, 2); // it crossed the CANCEL
    release = stage_sent (st, VERB_RELEASE);
    assert_int_equal (release->tokens.count, 2);
    stage_ok (st, VERB_CANCEL, st->seq, 0);
    stage_wait (st, H);
    assert_null (stage_sent (st, VERB_CANCEL));
}

static void request_that_was_never_asked_needs_no_cancel (void **s)
{
    struct stage *st = *s;

    stage_request (st, 1, 50, 2);
    stage_client_gone (st, 1);
    stage_welcome (st);
    assert_null (stage_sent (st, VERB_REQUEST));
    assert_null (stage_sent (st, VERB_CANCEL));
}

/* ---- many at once ---- */

enum { MANY = 300 };

/* Each of another client and another supervisor. */
static void request_many (struct stage *st, uint64_t count)
{
    for (uint64_t client = 1; client <= count; client++) {
        stage_request (st, client, (int32_t) (10000 + client), 1);
        assert_null (stage_told (st, client, VERB_ERROR));
    }
}

/* The broker puts the requests that are seqs first..last in its queue. */
static void queue_many (struct stage *st, uint64_t first, uint64_t last)
{
    for (uint64_t seq = first; seq <= last; seq++)
        stage_queued (st, seq, seq);
}

static void request_number_1001_finds_the_queue_full (void **s)
{
    struct stage *st = *s;
    const struct msg_error *error;

    request_many (st, 1000);
    stage_request (st, 1001, 50, 1);
    error = stage_told (st, 1001, VERB_ERROR);
    assert_string_equal (error->error, "QUEUE_FULL");
}

static void
no_seq_is_said_that_puts_an_unanswered_one_out_of_the_window (void **s)
{
    struct stage *st = *s;

    request_many (st, MANY);
    assert_int_equal (st->seq, 64);
    queue_many (st, 2, 64); // 1 is lost, or its answer is
    assert_int_equal (st->seq, 64);
    stage_wait (st, H);
    assert_int_equal (stage_sent_count (st, VERB_REQUEST), 1);
    assert_int_equal (st->seq, 1);
    stage_queued (st, 1, 1);
    assert_int_equal (stage_sent_count (st, VERB_REQUEST), 64);
    assert_int_equal (st->seq, 128);
    queue_many (st, 65, MANY);
    assert_int_equal (st->seq, MANY);
    stage_wait (st, H);
    assert_int_equal (stage_sent_count (st, VERB_REQUEST), 0);
}

static void request_that_was_passed_over_is_asked_as_the_newest (void **s)
{
    struct stage *st = *s;

    stage_request (st, 1, 50, 1);
    stage_grant (st, 1, 10, 1);
    stage_run (st, 2, 50, 1); // for what its owner has yet to hear of
    for (uint64_t client = 3; client <= 70; client++) {
        stage_request (st, client, 51, 1);
        stage_queued (st, st->seq, 1);
    }
    assert_int_equal (st->seq, 70);
    stage_client_gone (st, 1); // it goes back
    assert_int_equal (stage_sent_count (st, VERB_REQUEST), 1);
    assert_int_equal (st->seq, 71);
    stage_grant (st, 71, 11, 1);
    assert_non_null (stage_told (st, 2, VERB_GRANT));
}

static void many_requests_are_asked_again_in_order_after_a_restart (void **s)
{
    struct stage *st = *s;

    request_many (st, MANY);
    queue_many (st, 1, MANY);
    stage_client_gone (st, 100);
    stage_again (st, 8001);
    assert_int_equal (stage_sent_count (st, VERB_REQUEST), 64);
    for (uint64_t i = 1; i < MANY; i++)
        stage_grant (st, MANY + i, i, 1);
    assert_int_equal (shim_holds (st->shim, NULL, 0), MANY - 1);
    assert_non_null (stage_told (st, MANY, VERB_GRANT));
    stage_wait (st, H);
    assert_int_equal (stage_sent_count (st, VERB_REQUEST), 0);
}

/* A BEAT says what the BEAT_OK before it listed, so that the next lists more.
 */
static void many_killed_requests_are_acknowledged_as_they_are_listed (void **s)
{
    struct stage *st = *s;
    uint64_t told = 0, beats = 0;

    request_many (st, MANY);
    queue_many (st, 1, MANY);
    for (uint64_t next = 1; next <= MANY && beats < MANY; beats++) {
        const struct msg_beat *beat;
        struct msg_beat_ok *in;

        stage_wait (st, H);
        beat = stage_sent (st, VERB_BEAT);
        for (uint32_t i = 0; i < beat->acks.count; i++)
            next += beat->acks.at[i] == next;
        in = &stage_message (st, VERB_BEAT_OK)->beat_ok;
        in->session = SESSION;
        in->epoch = EPOCH;
        in->seq = beat->seq;
        for (uint64_t seq = next; seq < next + 64 && seq <= MANY; seq++)
            u64s_add (&in->expired, seq);
        stage_hear (st);
        told += stage_count (st, ACT_TELL);
    }
    assert_int_equal (told, MANY);
    assert_int_equal (beats, (MANY + 63) / 64 + 1);
}

static void many_clients_that_go_withdraw_each (void **s)
{
    struct stage *st = *s;

    request_many (st, MANY);
    queue_many (st, 1, MANY);
    for (uint64_t client = 1; client <= MANY; client++) {
        stage_client_gone (st, client);
        assert_int_equal (stage_sent_count (st, VERB_CANCEL), 1);
    }
    for (uint64_t seq = 1; seq <= MANY; seq++)
        stage_ok (st, VERB_CANCEL, seq, 0);
    stage_wait (st, H);
    assert_int_equal (stage_sent_count (st, VERB_CANCEL), 0);
}

/* ---- room ---- */

static void more_slots_than_a_session_can_hold_are_refused (void **s)
{
    struct stage *st = *s;
    const struct msg_error *error;

    stage_request (st, 1, 50, MAX_HELD + 1);
    error = stage_told (st, 1, VERB_ERROR);
    assert_string_equal (error->error, "EXCEEDS_MAX");
    stage_request (st, 2, 50, MAX_HELD);
    stage_grant (st, st->seq, 1, MAX_HELD);
    assert_non_null (stage_told (st, 2, VERB_GRANT));
    assert_int_equal (shim_holds (st->shim, NULL, 0), MAX_HELD);
    stage_confirm (st, 2);
    stage_request (st, 3, 50, 1); // waits until one is given back
    assert_null (stage_told (st, 3, VERB_ERROR));
    stage_run (st, 4, 50, 1); // takes one of them
    assert_non_null (stage_told (st, 4, VERB_GRANT));
}

/* The broker has freed a slot whose RELEASED has not come yet. */
static void grant_that_finds_no_room_is_taken_when_it_comes_again (void **s)
{
    struct stage *st = *s;
    const struct msg_beat *beat;
    uint64_t seq;

    stage_reserve (st, 50, 1, MAX_HELD);
    stage_wait (st, H);
    stage_beat_ok (st, 2);
    stage_request (st, 2, 51, 1);
    seq = st->seq;
    stage_release (st, 3, 50, 1, false);
    stage_grant (st, seq, 1000, 1);
    assert_null (stage_told (st, 2, VERB_GRANT));
    stage_wait (st, H);
    beat = stage_sent (st, VERB_BEAT);
    assert_int_equal (beat->acks.count, 0);
    stage_released (st, MAX_HELD, 1);
    stage_grant (st, seq, 1000, 1);
    assert_non_null (stage_told (st, 2, VERB_GRANT));
    assert_true (stage_holds (st, 1000));
}

static void
supervisor_beyond_the_table_takes_the_place_of_an_unused_one (void **s)
{
    struct stage *st = *s;

    shim_watch (st->shim, man (3000), st->now, st->out);
    for (int32_t pid = 1; pid < MAX_SUPERVISORS; pid++)
        shim_watch (st->shim, man (pid), st->now, st->out);
    stage_request (st, 1, 1, 1); // uses one of them
    stage_request (st, 2, 4000, 1);
    assert_null (stage_told (st, 2, VERB_ERROR));
    assert_int_equal (stage_find (st, ACT_WATCH)->who.pid, 4000);
    assert_int_equal (stage_find (st, ACT_UNWATCH)->who.pid, 3000);
    assert_int_equal (stage_count (st, ACT_UNWATCH), 1);
}

/* ---- run ---- */

static void run_uses_idle_slots_of_its_supervisor_newest_first (void **s)
{
    struct stage *st = *s;
    const struct msg_grant *grant;

    stage_reserve (st, 50, 10, 3);
    stage_reserve (st, 51, 20, 1); // somebody else's
    stage_run (st, 1, 50, 2);
    assert_null (stage_sent (st, VERB_REQUEST));
    grant = stage_told (st, 1, VERB_GRANT);
    assert_int_equal (grant->tokens.count, 2);
    assert_int_equal (grant->first, 11);
    assert_int_equal (grant->tokens.at[0], 11);
    assert_int_equal (grant->tokens.at[1], 12);
    assert_string_equal (grant->cookie, "b00f:11");
}

static void run_asks_the_broker_where_idle_slots_are_too_few (void **s)
{
    struct stage *st = *s;
    const struct msg_request *ask;

    stage_reserve (st, 50, 10, 1);
    stage_run (st, 1, 50, 2);
    ask = stage_sent (st, VERB_REQUEST);
    assert_int_equal (ask->count, 2);
    assert_true (ask->run);
    stage_reserve (st, 51, 20, 2);
    assert_null (stage_told (st, 1, VERB_GRANT));
}

static void run_does_not_take_what_its_owner_has_not_heard_of (void **s)
{
    struct stage *st = *s;

    stage_request (st, 1, 50, 1);
    stage_grant (st, st->seq, 10, 1);
    stage_run (st, 2, 50, 1);
    assert_null (stage_told (st, 2, VERB_GRANT));
    stage_confirm (st, 1);
    assert_non_null (stage_told (st, 2, VERB_GRANT));
}

static void bound_slots_are_not_for_runs (void **s)
{
    struct stage *st = *s;
    struct msg_request *in = &stage_message (st, VERB_REQUEST)->request;

    in->seq = in->count = 1;
    in->supervisor = in->start = 50;
    in->bound = true;
    stage_ask (st, 1);
    stage_grant (st, st->seq, 10, 1);
    stage_confirm (st, 1);
    stage_run (st, 2, 50, 1);
    assert_null (stage_told (st, 2, VERB_GRANT));
    assert_non_null (stage_sent (st, VERB_REQUEST));
}

static void run_that_waits_takes_a_slot_that_falls_idle (void **s)
{
    struct stage *st = *s;
    const struct msg_grant *grant;
    const struct msg_cancel *cancel;
    uint64_t seq;

    stage_reserve (st, 50, 10, 1);
    stage_run (st, 1, 50, 1);
    stage_attach (st, 1, 10, 1);
    stage_run (st, 2, 50, 1);
    seq = st->seq;
    stage_queued (st, seq, 1);
    stage_keeper (st, 1, KEEPER_REAPED, 10, 0);
    assert_null (stage_told (st, 2, VERB_GRANT)); // not before the answer
    stage_kept (st, 10, 1);
    grant = stage_told (st, 2, VERB_GRANT);
    assert_int_equal (grant->first, 10);
    cancel = stage_sent (st, VERB_CANCEL);
    assert_int_equal (cancel->seq, seq);
}

static void run_waits_for_a_slot_that_is_about_to_be_idle (void **s)
{
    struct stage *st = *s;

    stage_reserve (st, 50, 10, 1);
    stage_run (st, 1, 50, 1);
    stage_attach (st, 1, 10, 1);
    stage_keeper (st, 1, KEEPER_REAPED, 10, 0);
    stage_run (st, 2, 50, 1);
    assert_null (stage_sent (st, VERB_REQUEST));
    assert_null (stage_told (st, 2, VERB_GRANT));
    stage_kept (st, 10, 1);
    assert_non_null (stage_told (st, 2, VERB_GRANT));
}

static void slot_that_was_killed_meanwhile_is_not_waited_for (void **s)
{
    struct stage *st = *s;

    stage_reserve (st, 50, 10, 1);
    stage_run (st, 1, 50, 1);
    stage_attach (st, 1, 10, 1);
    stage_keeper (st, 1, KEEPER_REAPED, 10, 0);
    stage_run (st, 2, 50, 1);
    stage_released (st, 10, 1); // REAPED ended a KILLING lease
    assert_null (stage_told (st, 2, VERB_GRANT));
    assert_non_null (stage_sent (st, VERB_REQUEST));
    assert_false (stage_holds (st, 10));
}

static void run_whose_client_goes_before_its_keeper_comes_gives_back (void **s)
{
    struct stage *st = *s;
    const struct msg_release *release;

    stage_run (st, 1, 50, 1);
    stage_grant (st, st->seq, 17, 1);
    stage_confirm (st, 1);
    stage_client_gone (st, 1);
    release = stage_sent (st, VERB_RELEASE);
    assert_int_equal (release->tokens.at[0], 17);
    stage_attach (st, 5, 17, 1);
    assert_non_null (stage_packet (st, 5, KEEPER_REFUSE));
}

static void reservation_is_idle_again_when_its_run_never_began (void **s)
{
    struct stage *st = *s;

    stage_reserve (st, 50, 10, 1);
    stage_run (st, 1, 50, 1);
    stage_client_gone (st, 1);
    assert_null (stage_sent (st, VERB_RELEASE));
    stage_run (st, 2, 50, 1);
    assert_non_null (stage_told (st, 2, VERB_GRANT));
}

static void past_the_deadline_no_idle_slot_is_used (void **s)
{
    struct stage *st = *s;

    stage_reserve (st, 50, 10, 1);
    st->now = T - D;
    stage_run (st, 1, 50, 1);
    assert_null (stage_told (st, 1, VERB_GRANT));
    assert_null (stage_sent (st, VERB_REQUEST));
    stage_beat_ok (st, 2);
    assert_non_null (stage_told (st, 1, VERB_GRANT));
}

/* ---- CANCEL ---- */

static void cancel_withdraws_all_that_wait (void **s)
{
    struct stage *st = *s;
    const struct msg_error *error;
    const struct msg_ok *ok;

    stage_reserve (st, 50, 10, 1);
    stage_request (st, 1, 50, 2);
    stage_request (st, 2, 51, 2);
    stage_message (st, VERB_CANCEL)->cancel.all = true;
    stage_ask (st, 3);
    error = stage_told (st, 1, VERB_ERROR);
    assert_string_equal (error->error, "EXPIRED");
    assert_string_equal (error->detail, "cancelled");
    assert_true (stage_hung_up (st, 1));
    assert_true (stage_hung_up (st, 2));
    ok = stage_told (st, 3, VERB_OK);
    assert_string_equal (ok->re, "CANCEL");
    assert_int_equal (ok->count, 2);
    assert_int_equal (stage_sent_count (st, VERB_CANCEL), 2);
    assert_true (stage_holds (st, 10));
}

static void cancel_by_seq_means_the_connections_own_request (void **s)
{
    struct stage *st = *s;
    const struct msg_ok *ok;

    stage_request (st, 1, 50, 2);
    stage_request (st, 2, 51, 2);
    stage_message (st, VERB_CANCEL)->cancel.seq = 1;
    stage_ask (st, 2);
    ok = stage_told (st, 2, VERB_OK);
    assert_int_equal (ok->count, 1);
    assert_false (stage_hung_up (st, 2));
    assert_null (stage_told (st, 1, VERB_ERROR));
}

static void expired_request_in_beat_ok_reaches_its_client (void **s)
{
    struct stage *st = *s;
    struct msg_beat_ok *in;
    const struct msg_error *error;

    stage_request (st, 1, 50, 2);
    in = &stage_message (st, VERB_BEAT_OK)->beat_ok;
    in->session = SESSION;
    in->epoch = EPOCH;
    in->seq = 1;
    u64s_add (&in->expired, st->seq);
    stage_hear (st);
    error = stage_told (st, 1, VERB_ERROR);
    assert_string_equal (error->error, "EXPIRED");
}

/* ---- PROGRESS, SPAWN, nonsense ---- */

static struct msg_progress *progress (struct stage *st)
{
    return &stage_message (st, VERB_PROGRESS)->progress;
}

static void progress_goes_on_by_token (void **s)
{
    struct stage *st = *s;
    const struct msg_progress *told;

    stage_reserve (st, 50, 10, 1);
    progress (st)->token = 10;
    st->msg->progress.percent = 40;
    stage_ask (st, 3);
    told = stage_sent (st, VERB_PROGRESS);
    assert_int_equal (told->session, SESSION);
    assert_int_equal (told->token, 10);
    assert_true (told->percent == 40);
    assert_string_equal (
        ((const struct msg_ok *) stage_told (st, 3, VERB_OK))->re, "PROGRESS");
}

static void assert_progress_refused (struct stage *st, const char *key)
{
    const struct msg_error *error;

    stage_ask (st, 3);
    error = stage_told (st, 3, VERB_ERROR);
    assert_string_equal (error->error, "BAD_ARG");
    assert_string_equal (error->key, key);
    assert_null (stage_sent (st, VERB_PROGRESS));
}

static void progress_that_cannot_be_is_refused_here (void **s)
{
    struct stage *st = *s;

    stage_reserve (st, 50, 10, 1);
    progress (st)->token = 10;
    st->msg->progress.phase = 5;
    assert_progress_refused (st, "phase");
    progress (st)->token = 10;
    st->msg->progress.percent = 100.5;
    assert_progress_refused (st, "percent");
    progress (st)->token = 10;
    st->msg->progress.percent = -1;
    assert_progress_refused (st, "percent");
}

/* What is told of it, at the latest when others had their turn. */
static const struct msg_progress *ask_and_wait (struct stage *st)
{
    const struct msg_progress *told;

    stage_ask (st, 3);
    told = stage_sent (st, VERB_PROGRESS);
    if (told)
        return told;
    stage_wait (st, 250);
    return stage_sent (st, VERB_PROGRESS);
}

static void progress_names_the_first_slot_without_a_label (void **s)
{
    struct stage *st = *s;
    const struct msg_progress *told;

    stage_reserve (st, 50, 10, 2);
    for (int i = 0; i < 2; i++) { // the second time it has that name
        copy_text (progress (st)->label, 257, "auth");
        told = ask_and_wait (st);
        assert_int_equal (told->token, 10);
        assert_string_equal (told->label, "auth");
    }
    copy_text (progress (st)->label, 257, "db");
    told = ask_and_wait (st);
    assert_int_equal (told->token, 11);
    copy_text (progress (st)->label, 257, "ui");
    stage_ask (st, 3);
    assert_null (stage_sent (st, VERB_PROGRESS));
    assert_string_equal (
        ((const struct msg_error *) stage_told (st, 3, VERB_ERROR))->error,
        "NOT_FOUND");
}

static void labels_of_a_request_name_its_slots_in_order (void **s)
{
    struct stage *st = *s;
    struct msg_request *in = &stage_message (st, VERB_REQUEST)->request;
    const struct msg_progress *told;

    in->seq = 1;
    in->count = 3;
    in->supervisor = in->start = 50;
    copy_text (in->labels, sizeof in->labels, "auth,,ui");
    stage_ask (st, 1);
    stage_grant (st, st->seq, 10, 3);
    stage_confirm (st, 1);
    copy_text (progress (st)->label, 257, "ui");
    told = ask_and_wait (st);
    assert_int_equal (told->token, 12);
    copy_text (progress (st)->label, 257, "other");
    told = ask_and_wait (st);
    assert_int_equal (told->token, 11);
}

static void progress_of_nobody_is_not_found (void **s)
{
    struct stage *st = *s;

    stage_reserve (st, 50, 10, 1);
    progress (st);
    stage_ask (st, 3);
    assert_non_null (stage_told (st, 3, VERB_ERROR));
    progress (st)->token = 11;
    stage_ask (st, 3);
    assert_non_null (stage_told (st, 3, VERB_ERROR));
}

static void spawn_is_the_shells_to_do_and_to_answer (void **s)
{
    struct stage *st = *s;
    struct msg_spawn *in = &stage_message (st, VERB_SPAWN)->spawn;
    const struct action *spawn;

    copy_text (in->project, sizeof in->project, "thor");
    in->supervisor = 44;
    stage_ask (st, 3);
    spawn = stage_find (st, ACT_SPAWN);
    assert_string_equal (spawn->project, "thor");
    assert_int_equal (spawn->who.pid, 44);
    assert_int_equal (spawn->client, 3);
    assert_null (stage_told (st, 3, VERB_OK));
}

/* What was withdrawn when a command of `pid` cancels. */
static unsigned withdrawn (struct stage *st, uint64_t pid, bool all)
{
    struct msg_cancel *cancel = &stage_message (st, VERB_CANCEL)->cancel;

    cancel->supervisor = pid;
    cancel->all = all;
    stage_ask (st, 9);
    return (unsigned) ((const struct msg_ok *) stage_told (st, 9, VERB_OK))
        ->count;
}

static void cancel_means_its_supervisor_or_the_only_one_or_all (void **s)
{
    struct stage *st = *s;
    const struct msg_error *error;

    stage_request (st, 1, 50, 1);
    stage_request (st, 2, 51, 1);
    stage_request (st, 3, 51, 1);
    stage_message (st, VERB_CANCEL)->cancel.supervisor = 99;
    stage_ask (st, 9);
    error = stage_told (st, 9, VERB_ERROR);
    assert_string_equal (error->error, "CONFLICT");
    assert_string_equal (error->detail, "requests wait of 50, 51");
    assert_int_equal (withdrawn (st, 51, false), 2);
    assert_int_equal (withdrawn (st, 99, false), 1); // 50 is the only one
    assert_int_equal (withdrawn (st, 99, false), 0);
    stage_request (st, 4, 50, 1);
    stage_request (st, 5, 51, 1);
    assert_int_equal (withdrawn (st, 99, true), 2);
}

static void other_verbs_of_a_command_are_unknown (void **s)
{
    struct stage *st = *s;
    const struct msg_error *error;

    stage_message (st, VERB_HELLO);
    stage_ask (st, 3);
    error = stage_told (st, 3, VERB_ERROR);
    assert_string_equal (error->error, "UNKNOWN_VERB");
    assert_string_equal (error->re, "HELLO");
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown (name, stage_setup, stage_teardown)
#define LIVE(name)                                                             \
    cmocka_unit_test_setup_teardown (name, stage_setup_live, stage_teardown)

int main (void)
{
    const struct CMUnitTest tests[] = {
        TEST (request_waits_for_the_session),
        LIVE (request_for_another_project_is_not_allowed),
        LIVE (supervisor_is_watched_once),
        LIVE (request_without_a_supervisor_is_of_who_asks),
        LIVE (request_is_repeated_each_beat_until_it_is_answered),
        LIVE (queued_reaches_the_client_with_its_own_seq),
        LIVE (error_reaches_the_client_and_ends_the_request),
        LIVE (request_that_was_too_much_is_said_again_with_the_next_beat),
        LIVE (grant_reaches_the_client_with_tokens_and_cookie),
        LIVE (beat_names_what_is_held_and_acknowledges_until_it_is_heard),
        LIVE (grant_is_taken_once),
        LIVE (grant_in_beat_ok_is_as_good_as_a_push),
        LIVE (grant_that_nobody_waits_for_goes_back),
        LIVE (late_repeat_of_a_grant_given_back_changes_nothing),
        LIVE (grant_larger_than_the_request_is_refused),
        LIVE (smaller_grant_says_what_was_asked),
        LIVE (client_that_goes_without_taking_its_grant_gives_it_back),
        LIVE (client_that_took_its_grant_may_go),
        LIVE (client_that_goes_while_it_waits_withdraws),
        TEST (request_that_was_never_asked_needs_no_cancel),
        LIVE (request_number_1001_finds_the_queue_full),
        LIVE (no_seq_is_said_that_puts_an_unanswered_one_out_of_the_window),
        LIVE (request_that_was_passed_over_is_asked_as_the_newest),
        LIVE (many_requests_are_asked_again_in_order_after_a_restart),
        LIVE (many_killed_requests_are_acknowledged_as_they_are_listed),
        LIVE (many_clients_that_go_withdraw_each),
        LIVE (more_slots_than_a_session_can_hold_are_refused),
        LIVE (grant_that_finds_no_room_is_taken_when_it_comes_again),
        LIVE (supervisor_beyond_the_table_takes_the_place_of_an_unused_one),
        LIVE (run_uses_idle_slots_of_its_supervisor_newest_first),
        LIVE (run_asks_the_broker_where_idle_slots_are_too_few),
        LIVE (run_does_not_take_what_its_owner_has_not_heard_of),
        LIVE (bound_slots_are_not_for_runs),
        LIVE (run_that_waits_takes_a_slot_that_falls_idle),
        LIVE (run_waits_for_a_slot_that_is_about_to_be_idle),
        LIVE (slot_that_was_killed_meanwhile_is_not_waited_for),
        LIVE (run_whose_client_goes_before_its_keeper_comes_gives_back),
        LIVE (reservation_is_idle_again_when_its_run_never_began),
        LIVE (past_the_deadline_no_idle_slot_is_used),
        LIVE (cancel_withdraws_all_that_wait),
        LIVE (cancel_by_seq_means_the_connections_own_request),
        LIVE (expired_request_in_beat_ok_reaches_its_client),
        LIVE (progress_goes_on_by_token),
        LIVE (progress_that_cannot_be_is_refused_here),
        LIVE (progress_names_the_first_slot_without_a_label),
        LIVE (labels_of_a_request_name_its_slots_in_order),
        LIVE (progress_of_nobody_is_not_found),
        LIVE (spawn_is_the_shells_to_do_and_to_answer),
        LIVE (cancel_means_its_supervisor_or_the_only_one_or_all),
        LIVE (other_verbs_of_a_command_are_unknown),
    };

    return cmocka_run_group_tests_name ("shim requests", tests, NULL, NULL);
}
