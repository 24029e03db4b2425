/* SPDX-License-Identifier: MPL-2.0 */
/* RELEASE: whose slots, which of them, and what is answered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "unit/shim-core/stage.h"

static void count_means_idle_ones_newest_first (void **s)
{
    struct stage *st = *s;
    const struct msg_release *release;
    const struct msg_released *told;

    stage_reserve (st, 50, 10, 5);
    stage_release (st, 1, 50, 2, false);
    release = stage_sent (st, VERB_RELEASE);
    assert_int_equal (release->session, SESSION);
    assert_int_equal (release->tokens.count, 2);
    assert_true (u64s_has (&release->tokens, 13));
    assert_true (u64s_has (&release->tokens, 14));
    assert_null (stage_told (st, 1, VERB_RELEASED)); // not yet answered
    assert_false (stage_holds (st, 14));
    stage_released (st, 13, 2);
    told = stage_told (st, 1, VERB_RELEASED);
    assert_int_equal (told->tokens.count, 2);
    assert_int_equal (told->held, 3);
    assert_int_equal (told->session, 0);
}

static void release_is_repeated_each_beat_until_it_is_answered (void **s)
{
    struct stage *st = *s;
    const struct msg_release *release;

    stage_reserve (st, 50, 10, 2);
    stage_release (st, 1, 50, 1, false);
    stage_wait (st, H / 2);
    assert_null (stage_sent (st, VERB_RELEASE));
    stage_wait (st, H / 2);
    release = stage_sent (st, VERB_RELEASE);
    assert_int_equal (release->tokens.at[0], 11);
    stage_released (st, 11, 1);
    assert_non_null (stage_told (st, 1, VERB_RELEASED));
    stage_wait (st, H);
    assert_null (stage_sent (st, VERB_RELEASE));
}

static void more_than_is_held_releases_what_is_held (void **s)
{
    struct stage *st = *s;
    const struct msg_released *told;

    stage_reserve (st, 50, 10, 2);
    stage_release (st, 1, 50, 5, false);
    stage_released (st, 10, 2);
    told = stage_told (st, 1, VERB_RELEASED);
    assert_int_equal (told->tokens.count, 2);
    assert_int_equal (told->held, 0);
}

static void release_of_nothing_is_answered_at_once (void **s)
{
    struct stage *st = *s;
    const struct msg_released *told;

    stage_release (st, 1, 50, 2, false);
    told = stage_told (st, 1, VERB_RELEASED);
    assert_int_equal (told->tokens.count, 0);
    assert_int_equal (told->held, 0);
}

static void slots_that_run_are_reported_busy (void **s)
{
    struct stage *st = *s;
    const struct msg_released *told;

    stage_reserve (st, 50, 10, 2);
    stage_start (st, 7, 50, 20, 1);
    assert_non_null (stage_packet (st, 7, KEEPER_REFUSE)); // it took idle 11
    stage_attach (st, 8, 11, 1);
    stage_release (st, 1, 50, 2, false);
    assert_null (stage_packet (st, 8, KEEPER_STOP));
    stage_released (st, 10, 1);
    told = stage_told (st, 1, VERB_RELEASED);
    assert_int_equal (told->tokens.count, 1);
    assert_int_equal (told->busy.count, 1);
    assert_int_equal (told->busy.at[0], 11);
    assert_int_equal (told->held, 1);
}

static void kill_ends_what_runs_and_releases_it_when_it_is_gone (void **s)
{
    struct stage *st = *s;
    const struct keeper_packet *stop;
    const struct msg_reaped *reaped;
    const struct msg_released *told;

    stage_reserve (st, 50, 10, 1);
    stage_run (st, 7, 50, 1);
    stage_attach (st, 7, 10, 1);
    stage_release (st, 1, 50, 1, true);
    stop = stage_packet (st, 7, KEEPER_STOP);
    assert_int_equal (stop->notice_ms, 0);
    assert_int_equal (stop->grace_ms, G);
    assert_null (stage_sent (st, VERB_RELEASE));
    assert_null (stage_told (st, 1, VERB_RELEASED));
    stage_keeper (st, 7, KEEPER_REAPED, 10, 15);
    reaped = stage_sent (st, VERB_REAPED);
    assert_false (reaped->keep); // it was a reservation
    assert_int_equal (reaped->status, 128 + 15);
    stage_released (st, 10, 1);
    told = stage_told (st, 1, VERB_RELEASED);
    assert_int_equal (told->tokens.at[0], 10);
}

static void kill_hangs_up_on_a_run_that_has_not_begun (void **s)
{
    struct stage *st = *s;

    stage_run (st, 7, 50, 1);
    stage_grant (st, st->seq, 10, 1);
    stage_release_token (st, 1, 10, false);
    assert_int_equal (
        ((const struct msg_released *) stage_told (st, 1, VERB_RELEASED))
            ->busy.count,
        1);
    stage_release_token (st, 1, 10, true);
    assert_true (stage_hung_up (st, 7));
    assert_non_null (stage_sent (st, VERB_RELEASE));
    stage_released (st, 10, 1);
    assert_non_null (stage_told (st, 1, VERB_RELEASED));
}

static void killing_one_slot_of_a_tree_keeps_its_other_reservations (void **s)
{
    struct stage *st = *s;
    const struct msg_reaped *reaped;

    stage_reserve (st, 50, 10, 2);
    stage_run (st, 7, 50, 2);
    stage_attach (st, 7, 10, 2);
    stage_release_token (st, 1, 11, true);
    stage_keeper (st, 7, KEEPER_REAPED, 10, 0);
    assert_int_equal (stage_sent_count (st, VERB_REAPED), 2);
    reaped = stage_sent (st, VERB_REAPED);
    assert_int_equal (reaped->tokens.count, 1);
    stage_released (st, 11, 1);
    stage_kept (st, 10, 1);
    stage_run (st, 8, 50, 1);
    assert_non_null (stage_told (st, 8, VERB_GRANT));
    assert_true (stage_holds (st, 10));
}

static void only_supervisor_with_slots_is_meant (void **s)
{
    struct stage *st = *s;
    const struct msg_release *release;

    stage_reserve (st, 50, 10, 1);
    stage_release (st, 1, 99, 1, false); // the caller's has none
    release = stage_sent (st, VERB_RELEASE);
    assert_int_equal (release->tokens.at[0], 10);
}

static void several_supervisors_are_named_and_nothing_is_released (void **s)
{
    struct stage *st = *s;
    const struct msg_error *error;

    stage_reserve (st, 50, 10, 1);
    stage_reserve (st, 51, 20, 1);
    stage_release (st, 1, 99, 1, false);
    assert_null (stage_sent (st, VERB_RELEASE));
    error = stage_told (st, 1, VERB_ERROR);
    assert_string_equal (error->error, "CONFLICT");
    assert_non_null (strstr (error->detail, "50"));
    assert_non_null (strstr (error->detail, "51"));
    stage_release (st, 1, 51, 5, false); // --watch PID chooses
    assert_int_equal (
        ((const struct msg_release *) stage_sent (st, VERB_RELEASE))
            ->tokens.at[0],
        20);
}

static void release_without_tokens_and_count_is_refused (void **s)
{
    struct stage *st = *s;
    const struct msg_error *error;

    stage_reserve (st, 50, 10, 1);
    stage_release (st, 1, 50, 0, false);
    assert_null (stage_sent (st, VERB_RELEASE));
    error = stage_told (st, 1, VERB_ERROR);
    assert_string_equal (error->error, "BAD_ARG");
    assert_string_equal (error->detail, "expected tokens or a count");
}

static void token_that_is_not_ours_is_the_brokers_to_judge (void **s)
{
    struct stage *st = *s;
    struct msg_released *in;
    const struct msg_released *told;

    stage_reserve (st, 50, 10, 1);
    stage_message (st, VERB_RELEASE);
    u64s_add (&st->msg->release.tokens, 10);
    u64s_add (&st->msg->release.tokens, 3);
    u64s_add (&st->msg->release.tokens, 3); // named twice
    stage_ask (st, 1);
    assert_int_equal (stage_sent_count (st, VERB_RELEASE), 2); // 3 by itself
    stage_released (st, 10, 1);
    assert_null (stage_told (st, 1, VERB_RELEASED));
    in = &stage_message (st, VERB_RELEASED)->released;
    in->session = SESSION;
    u64s_add (&in->expired, 3);
    stage_hear (st);
    told = stage_told (st, 1, VERB_RELEASED);
    assert_int_equal (told->tokens.count, 1);
    assert_int_equal (told->expired.count, 1);
    assert_int_equal (told->unknown.count, 0);
}

static void token_of_another_project_is_unknown_and_harms_nobody (void **s)
{
    struct stage *st = *s;
    const struct msg_released *told;

    stage_reserve (st, 50, 10, 1);
    stage_release_token (st, 1, 3, false);
    stage_error (st, VERB_RELEASE, 0, ERR_NOT_ALLOWED);
    told = stage_told (st, 1, VERB_RELEASED);
    assert_int_equal (told->unknown.count, 1);
    stage_wait (st, H);
    assert_null (stage_sent (st, VERB_RELEASE));
    assert_true (stage_holds (st, 10));
}

static void
release_that_was_too_much_is_said_again_with_the_next_beat (void **s)
{
    struct stage *st = *s;

    stage_reserve (st, 50, 10, 1);
    stage_release (st, 1, 50, 1, false);
    stage_release_token (st, 2, 3, false); // perhaps another project's
    stage_error (st, VERB_RELEASE, 0, ERR_RATE);
    assert_null (stage_told (st, 1, VERB_RELEASED));
    assert_null (stage_told (st, 2, VERB_RELEASED));
    stage_wait (st, H);
    assert_int_equal (stage_sent_count (st, VERB_RELEASE), 2);
}

static void token_with_a_tree_elsewhere_is_busy (void **s)
{
    struct stage *st = *s;
    struct msg_released *in;
    const struct msg_released *told;

    stage_release_token (st, 1, 3, false);
    in = &stage_message (st, VERB_RELEASED)->released;
    in->session = SESSION;
    u64s_add (&in->busy, 3);
    stage_hear (st);
    told = stage_told (st, 1, VERB_RELEASED);
    assert_int_equal (told->busy.count, 1);
    assert_null (stage_sent (st, VERB_REAPED));
}

static void broker_that_believes_in_a_tree_gets_the_proof (void **s)
{
    struct stage *st = *s;
    struct msg_released *in;
    const struct msg_reaped *reaped;

    stage_reserve (st, 50, 10, 1);
    stage_release (st, 1, 50, 1, false);
    in = &stage_message (st, VERB_RELEASED)->released;
    in->session = SESSION;
    u64s_add (&in->busy, 10);
    stage_hear (st);
    reaped = stage_sent (st, VERB_REAPED);
    assert_int_equal (reaped->tokens.at[0], 10);
    assert_null (stage_told (st, 1, VERB_RELEASED));
    stage_released (st, 10, 1);
    assert_non_null (stage_told (st, 1, VERB_RELEASED));
}

static void two_commands_may_wait_for_one_token (void **s)
{
    struct stage *st = *s;

    stage_reserve (st, 50, 10, 1);
    stage_release_token (st, 1, 10, false);
    stage_release_token (st, 2, 10, false);
    stage_message (st, VERB_RELEASED)->released.session = SESSION;
    u64s_add (&st->msg->released.tokens, 10);
    stage_hear (st);
    assert_non_null (stage_told (st, 1, VERB_RELEASED));
    assert_non_null (stage_told (st, 2, VERB_RELEASED));
}

static void grant_that_was_released_before_it_was_taken_goes_once (void **s)
{
    struct stage *st = *s;

    stage_request (st, 1, 50, 1);
    stage_grant (st, st->seq, 10, 1);
    stage_release_token (st, 2, 10, false);
    assert_non_null (stage_sent (st, VERB_RELEASE));
    stage_client_gone (st, 1);
    assert_null (stage_sent (st, VERB_RELEASE));
}

static void command_that_went_is_not_told (void **s)
{
    struct stage *st = *s;

    stage_reserve (st, 50, 10, 1);
    stage_release_token (st, 1, 10, false);
    stage_client_gone (st, 1);
    stage_released (st, 10, 1);
    assert_null (stage_told (st, 1, VERB_RELEASED));
}

static void release_number_65_is_busy (void **s)
{
    struct stage *st = *s;
    const struct msg_error *error;

    stage_reserve (st, 50, 1, 70);
    for (uint64_t i = 1; i <= 64; i++)
        stage_release_token (st, i, i, false);
    stage_release_token (st, 65, 65, false);
    error = stage_told (st, 65, VERB_ERROR);
    assert_string_equal (error->error, "BUSY");
    assert_true (stage_holds (st, 65));
}

static void bound_slots_go_on_their_supervisors_word (void **s)
{
    struct stage *st = *s;
    struct msg_request *in = &stage_message (st, VERB_REQUEST)->request;
    const struct msg_release *release;

    in->seq = 1;
    in->count = 2;
    in->supervisor = in->start = 50;
    in->bound = true;
    stage_ask (st, 1);
    stage_grant (st, st->seq, 10, 2);
    stage_confirm (st, 1);
    stage_release (st, 2, 50, 1, false);
    release = stage_sent (st, VERB_RELEASE);
    assert_int_equal (release->tokens.at[0], 11);
}

static void release_waits_for_the_session_and_survives_its_loss (void **s)
{
    struct stage *st = *s;
    const struct msg_release *release;

    stage_reserve (st, 50, 10, 1);
    stage_release (st, 1, 50, 1, false);
    stage_again (st, 8);
    release = stage_sent (st, VERB_RELEASE);
    assert_int_equal (release->session, 8);
    stage_released (st, 10, 1);
    assert_non_null (stage_told (st, 1, VERB_RELEASED));
}

static void slot_that_the_broker_closed_by_itself_is_gone (void **s)
{
    struct stage *st = *s;
    const struct msg_reaped *reaped;

    stage_reserve (st, 50, 10, 2);
    stage_run (st, 7, 50, 1);
    stage_attach (st, 7, 11, 1);
    stage_released (st, 10, 2);
    assert_false (stage_holds (st, 10));
    assert_non_null (stage_packet (st, 7, KEEPER_STOP)); // ends what runs there
    stage_keeper (st, 7, KEEPER_REAPED, 11, 0);
    reaped = stage_sent (st, VERB_REAPED);
    assert_false (reaped->keep);
}

#define LIVE(name)                                                             \
    cmocka_unit_test_setup_teardown (name, stage_setup_live, stage_teardown)

int main (void)
{
    const struct CMUnitTest tests[] = {
        LIVE (count_means_idle_ones_newest_first),
        LIVE (release_is_repeated_each_beat_until_it_is_answered),
        LIVE (more_than_is_held_releases_what_is_held),
        LIVE (release_of_nothing_is_answered_at_once),
        LIVE (slots_that_run_are_reported_busy),
        LIVE (kill_ends_what_runs_and_releases_it_when_it_is_gone),
        LIVE (kill_hangs_up_on_a_run_that_has_not_begun),
        LIVE (killing_one_slot_of_a_tree_keeps_its_other_reservations),
        LIVE (only_supervisor_with_slots_is_meant),
        LIVE (several_supervisors_are_named_and_nothing_is_released),
        LIVE (release_without_tokens_and_count_is_refused),
        LIVE (token_that_is_not_ours_is_the_brokers_to_judge),
        LIVE (token_of_another_project_is_unknown_and_harms_nobody),
        LIVE (release_that_was_too_much_is_said_again_with_the_next_beat),
        LIVE (token_with_a_tree_elsewhere_is_busy),
        LIVE (broker_that_believes_in_a_tree_gets_the_proof),
        LIVE (two_commands_may_wait_for_one_token),
        LIVE (grant_that_was_released_before_it_was_taken_goes_once),
        LIVE (command_that_went_is_not_told),
        LIVE (release_number_65_is_busy),
        LIVE (bound_slots_go_on_their_supervisors_word),
        LIVE (release_waits_for_the_session_and_survives_its_loss),
        LIVE (slot_that_the_broker_closed_by_itself_is_gone),
    };

    return cmocka_run_group_tests_name ("shim release", tests, NULL, NULL);
}
