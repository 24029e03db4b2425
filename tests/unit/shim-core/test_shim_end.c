/* SPDX-License-Identifier: MPL-2.0 */
/* Supervisors that go, what a predecessor left, and how a shim ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "unit/shim-core/stage.h"

/* ---- a supervisor goes ---- */

static void slots_of_a_supervisor_go_with_it (void **s)
{
    struct stage *st = *s;
    const struct msg_release *release;

    stage_reserve (st, 50, 10, 2);
    stage_reserve (st, 51, 20, 1);
    stage_supervisor_gone (st, 50);
    release = stage_sent (st, VERB_RELEASE);
    assert_int_equal (release->tokens.count, 2);
    assert_true (stage_holds (st, 20));
    assert_null (stage_find (st, ACT_END));
}

static void trees_of_a_supervisor_are_ended_and_then_given_back (void **s)
{
    struct stage *st = *s;
    const struct keeper_packet *stop;
    const struct msg_reaped *reaped;

    stage_reserve (st, 50, 10, 1);
    stage_run (st, 7, 50, 1);
    stage_attach (st, 7, 10, 1);
    stage_start (st, 8, 51, 20, 1);
    stage_supervisor_gone (st, 50);
    stop = stage_packet (st, 7, KEEPER_STOP);
    assert_int_equal (stop->notice_ms, 0);
    assert_int_equal (stop->grace_ms, G);
    assert_null (stage_packet (st, 8, KEEPER_STOP));
    assert_null (stage_sent (st, VERB_RELEASE));
    stage_keeper (st, 7, KEEPER_REAPED, 10, 0);
    reaped = stage_sent (st, VERB_REAPED);
    assert_false (reaped->keep);
}

static void requests_of_a_supervisor_are_withdrawn (void **s)
{
    struct stage *st = *s;

    stage_request (st, 1, 50, 1);
    stage_request (st, 2, 51, 1);
    stage_supervisor_gone (st, 50);
    assert_non_null (stage_told (st, 1, VERB_ERROR));
    assert_true (stage_hung_up (st, 1));
    assert_false (stage_hung_up (st, 2));
    assert_int_equal (stage_sent_count (st, VERB_CANCEL), 1);
}

static void kept_slot_of_a_supervisor_that_goes_is_not_kept (void **s)
{
    struct stage *st = *s;
    const struct msg_reaped *reaped;

    stage_reserve (st, 50, 10, 1);
    stage_run (st, 7, 50, 1);
    stage_attach (st, 7, 10, 1);
    stage_keeper (st, 7, KEEPER_REAPED, 10, 0);
    stage_supervisor_gone (st, 50);
    reaped = stage_sent (st, VERB_REAPED);
    assert_false (reaped->keep);
}

static void run_that_has_not_begun_is_off_with_its_supervisor (void **s)
{
    struct stage *st = *s;

    stage_reserve (st, 50, 10, 1);
    stage_run (st, 7, 50, 1);
    stage_supervisor_gone (st, 50);
    assert_true (stage_hung_up (st, 7));
    assert_non_null (stage_sent (st, VERB_RELEASE));
}

/* ---- a predecessor's ---- */

static struct row_limbo *limbo (struct stage *st, uint64_t token, int32_t pid)
{
    struct msg_welcome *in = &st->msg->welcome;
    struct row_limbo *row = &in->limbo[in->limbo_count++];

    *row = (struct row_limbo){.token = token};
    row->supervisor = row->start = (uint64_t) pid;
    return row;
}

static void leftover_tree_is_ended_and_then_proven (void **s)
{
    struct stage *st = *s;
    struct row_limbo *row;
    const struct action *clean;
    const struct msg_reaped *reaped;

    stage_turn (st);
    stage_prepare_welcome (st);
    row = limbo (st, 5, 50);
    row->tree = true;
    copy_text (row->cgroup, sizeof row->cgroup, "old-5");
    stage_hear (st);
    clean = stage_find (st, ACT_CLEAN);
    assert_int_equal (clean->token, 5);
    assert_string_equal (clean->cgroup, "old-5");
    assert_string_equal (clean->cookie, "b00f:5");
    assert_null (stage_find (st, ACT_WATCH));
    assert_null (stage_sent (st, VERB_REAPED));
    stage_wait (st, H);
    assert_false (stage_holds (st, 5)); // not ours to name
    stage_cleaned (st, 5);
    reaped = stage_sent (st, VERB_REAPED);
    assert_int_equal (reaped->tokens.at[0], 5);
    assert_false (reaped->keep);
}

static void leftover_tree_of_two_slots_is_known_by_its_first (void **s)
{
    struct stage *st = *s;
    struct row_limbo *row;

    stage_turn (st);
    stage_prepare_welcome (st);
    row = limbo (st, 6, 50);
    row->tree = true;
    row->cookie = 5;
    stage_hear (st);
    assert_string_equal (stage_find (st, ACT_CLEAN)->cookie, "b00f:5");
    stage_cleaned (st, 6);
    assert_int_equal (((const struct msg_reaped *) stage_sent (st, VERB_REAPED))
                          ->tokens.at[0],
                      6);
}

static void inherited_slot_waits_for_its_supervisor (void **s)
{
    struct stage *st = *s;
    const struct msg_release *release;

    stage_turn (st);
    stage_prepare_welcome (st);
    limbo (st, 5, 50);
    limbo (st, 6, 51)->bound = true;
    stage_hear (st);
    assert_int_equal (stage_count (st, ACT_WATCH), 2);
    assert_null (stage_sent (st, VERB_RELEASE));
    assert_false (stage_holds (st, 5));
    stage_supervisor_gone (st, 51);
    release = stage_sent (st, VERB_RELEASE);
    assert_int_equal (release->tokens.at[0], 6);
}

static void inherited_slot_goes_on_its_supervisors_word (void **s)
{
    struct stage *st = *s;
    const struct msg_release *release;

    stage_turn (st);
    stage_prepare_welcome (st);
    limbo (st, 5, 50);
    stage_hear (st);
    stage_run (st, 1, 50, 1);
    assert_null (stage_told (st, 1, VERB_GRANT)); // but nothing runs there
    stage_release (st, 2, 50, 5, false);
    release = stage_sent (st, VERB_RELEASE);
    assert_int_equal (release->tokens.at[0], 5);
}

static void inherited_slot_of_nobody_is_given_back_at_once (void **s)
{
    struct stage *st = *s;

    stage_turn (st);
    stage_prepare_welcome (st);
    limbo (st, 5, 0);
    stage_hear (st);
    assert_non_null (stage_sent (st, VERB_RELEASE));
}

static void own_tree_in_limbo_is_not_a_predecessors (void **s)
{
    struct stage *st = *s;

    stage_turn (st);
    stage_welcome (st);
    stage_start (st, 7, 50, 10, 1);
    stage_no_session (st);
    st->session = 8;
    stage_prepare_welcome (st);
    limbo (st, 10, 50)->tree = true;
    stage_hear (st);
    assert_null (stage_find (st, ACT_CLEAN)); // its keeper ends it
    stage_keeper (st, 7, KEEPER_REAPED, 10, 0);
    assert_non_null (stage_sent (st, VERB_REAPED));
}

static void hello_is_repeated_while_a_welcome_cannot_list_all (void **s)
{
    struct stage *st = *s;
    const struct msg_hello *hello;

    stage_turn (st);
    stage_prepare_welcome (st);
    for (uint64_t token = 1; token <= 64; token++)
        limbo (st, token, 50)->tree = true;
    stage_hear (st);
    assert_int_equal (stage_count (st, ACT_CLEAN), 64);
    stage_wait (st, H);
    hello = stage_sent (st, VERB_HELLO);
    assert_int_equal (hello->nonce, st->msg->welcome.nonce);
    stage_prepare_welcome (st);
    limbo (st, 64, 50)->tree = true;
    limbo (st, 65, 50)->tree = true;
    stage_hear (st);
    assert_int_equal (stage_count (st, ACT_CLEAN), 1);
    assert_int_equal (stage_find (st, ACT_CLEAN)->token, 65);
    assert_null (stage_find (st, ACT_READY));
    stage_wait (st, H);
    assert_null (stage_sent (st, VERB_HELLO));
    assert_int_equal (shim_anchor (st->shim), 0);
}

/* ---- the end ---- */

static void shim_that_never_watched_anybody_stays (void **s)
{
    struct stage *st = *s;

    for (int i = 0; i < 100; i++) {
        stage_live (st, H);
        assert_null (stage_sent (st, VERB_BYE));
        assert_null (stage_find (st, ACT_END));
    }
}

static void last_supervisor_takes_the_shim_with_it (void **s)
{
    struct stage *st = *s;
    const struct msg_bye *bye;

    stage_reserve (st, 50, 10, 1);
    stage_supervisor_gone (st, 50);
    assert_null (stage_sent (st, VERB_BYE)); // first the slots
    stage_released (st, 10, 1);
    bye = stage_sent (st, VERB_BYE);
    assert_int_equal (bye->session, SESSION);
    assert_null (stage_find (st, ACT_END));
    stage_ok (st, VERB_BYE, 0, 0);
    assert_int_equal (stage_find (st, ACT_END)->status, 0);
    stage_wait (st, 100 * H);
    assert_int_equal (actions_count (st->out), 0); // nothing follows
    assert_true (shim_next_deadline (st->shim, st->now) == INT64_MAX);
}

static void watched_supervisor_that_never_asked_keeps_the_shim (void **s)
{
    struct stage *st = *s;

    shim_watch (st->shim, man (50), st->now, st->out);
    stage_live (st, 10 * H);
    assert_null (stage_sent (st, VERB_BYE));
    stage_supervisor_gone (st, 50);
    assert_non_null (stage_sent (st, VERB_BYE));
}

static void bye_that_is_not_answered_is_said_three_times (void **s)
{
    struct stage *st = *s;
    unsigned byes = 0;

    shim_watch (st->shim, man (50), st->now, st->out);
    stage_supervisor_gone (st, 50);
    for (int64_t from = st->now; st->now - from < 2500; stage_wait (st, 50)) {
        byes += stage_sent_count (st, VERB_BYE);
        if (stage_find (st, ACT_END))
            break;
    }
    assert_int_equal (byes, 3);
    assert_non_null (stage_find (st, ACT_END));
}

static void tree_keeps_the_shim_until_it_is_proven_gone (void **s)
{
    struct stage *st = *s;

    stage_start (st, 7, 50, 10, 1);
    stage_supervisor_gone (st, 50);
    for (int i = 0; i < 100; i++) {
        stage_live (st, H);
        assert_null (stage_sent (st, VERB_BYE));
    }
    stage_keeper (st, 7, KEEPER_REAPED, 10, 9);
    stage_released (st, 10, 1);
    assert_non_null (stage_sent (st, VERB_BYE));
}

static void broker_that_is_away_is_not_waited_for_longer_than_t (void **s)
{
    struct stage *st = *s;

    stage_reserve (st, 50, 10, 1);
    stage_supervisor_gone (st, 50);
    while (st->now < T - H) {
        stage_wait (st, H);
        assert_null (stage_find (st, ACT_END));
    }
    while (st->now < T + 3000)
        stage_wait (st, 100);
    stage_wait (st, H);
    assert_int_equal (actions_count (st->out), 0); // it has ended
}

static void request_that_comes_during_a_bye_begins_anew (void **s)
{
    struct stage *st = *s;

    shim_watch (st->shim, man (50), st->now, st->out);
    stage_supervisor_gone (st, 50);
    assert_non_null (stage_sent (st, VERB_BYE));
    stage_request (st, 1, 51, 1);
    assert_null (stage_told (st, 1, VERB_ERROR));
    stage_ok (st, VERB_BYE, 0, 0);
    assert_null (stage_find (st, ACT_END));
    stage_turn (st);
    st->session = 8;
    stage_welcome (st);
    assert_non_null (stage_sent (st, VERB_REQUEST));
}

static void no_session_is_as_good_an_answer_to_bye (void **s)
{
    struct stage *st = *s;

    shim_watch (st->shim, man (50), st->now, st->out);
    stage_supervisor_gone (st, 50);
    stage_error (st, VERB_BYE, 0, ERR_NO_SESSION);
    assert_non_null (stage_find (st, ACT_END));
}

/* Its socket ends with the shim: so it asks the successor. */
static void who_asks_after_the_end_is_told_nothing (void **s)
{
    struct stage *st = *s;

    shim_watch (st->shim, man (50), st->now, st->out);
    stage_supervisor_gone (st, 50);
    stage_ok (st, VERB_BYE, 0, 0);
    assert_non_null (stage_find (st, ACT_END));
    actions_clear (st->out);
    stage_request (st, 1, 51, 1);
    assert_int_equal (actions_count (st->out), 0);
}

static void end_gives_everything_back_first (void **s)
{
    struct stage *st = *s;
    const struct msg_error *error;

    stage_reserve (st, 50, 10, 1);
    stage_start (st, 7, 51, 20, 1);
    stage_request (st, 1, 52, 9);
    actions_clear (st->out);
    shim_end (st->shim, st->now, st->out);
    assert_true (shim_next_deadline (st->shim, st->now) == st->now);
    assert_non_null (stage_packet (st, 7, KEEPER_STOP));
    assert_true (stage_hung_up (st, 1));
    stage_turn (st);
    assert_non_null (stage_sent (st, VERB_RELEASE));
    assert_non_null (stage_sent (st, VERB_CANCEL));
    stage_request (st, 2, 53, 1);
    error = stage_told (st, 2, VERB_ERROR);
    assert_string_equal (error->error, "NOT_NOW");
    assert_true (stage_hung_up (st, 2));
    stage_keeper (st, 7, KEEPER_REAPED, 20, 0);
    stage_released (st, 20, 1);
    stage_released (st, 10, 1);
    assert_null (stage_sent (st, VERB_BYE));
    stage_ok (st, VERB_CANCEL, st->seq, 0);
    assert_non_null (stage_sent (st, VERB_BYE));
    stage_ok (st, VERB_BYE, 0, 0);
    assert_non_null (stage_find (st, ACT_END));
}

static void end_does_not_wait_for_a_broker_that_is_away (void **s)
{
    struct stage *st = *s;
    int64_t from;

    stage_reserve (st, 50, 10, 1);
    shim_end (st->shim, st->now, st->out);
    for (from = st->now; !stage_find (st, ACT_END); stage_wait (st, 50))
        assert_true (st->now - from < 5000);
}

static void end_without_a_session_is_at_once (void **s)
{
    struct stage *st = *s;

    stage_turn (st);
    shim_end (st->shim, st->now, st->out);
    stage_turn (st);
    assert_non_null (stage_find (st, ACT_END));
}

static void end_leaves_inherited_slots_to_a_successor (void **s)
{
    struct stage *st = *s;

    stage_turn (st);
    stage_prepare_welcome (st);
    limbo (st, 5, 50);
    stage_hear (st);
    shim_end (st->shim, st->now, st->out);
    stage_turn (st);
    assert_null (stage_sent (st, VERB_RELEASE));
    assert_non_null (stage_sent (st, VERB_BYE));
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown (name, stage_setup, stage_teardown)
#define LIVE(name)                                                             \
    cmocka_unit_test_setup_teardown (name, stage_setup_live, stage_teardown)

int main (void)
{
    const struct CMUnitTest tests[] = {
        LIVE (slots_of_a_supervisor_go_with_it),
        LIVE (trees_of_a_supervisor_are_ended_and_then_given_back),
        LIVE (requests_of_a_supervisor_are_withdrawn),
        LIVE (kept_slot_of_a_supervisor_that_goes_is_not_kept),
        LIVE (run_that_has_not_begun_is_off_with_its_supervisor),
        TEST (leftover_tree_is_ended_and_then_proven),
        TEST (leftover_tree_of_two_slots_is_known_by_its_first),
        TEST (inherited_slot_waits_for_its_supervisor),
        TEST (inherited_slot_goes_on_its_supervisors_word),
        TEST (inherited_slot_of_nobody_is_given_back_at_once),
        TEST (own_tree_in_limbo_is_not_a_predecessors),
        TEST (hello_is_repeated_while_a_welcome_cannot_list_all),
        LIVE (shim_that_never_watched_anybody_stays),
        LIVE (last_supervisor_takes_the_shim_with_it),
        LIVE (watched_supervisor_that_never_asked_keeps_the_shim),
        LIVE (bye_that_is_not_answered_is_said_three_times),
        LIVE (tree_keeps_the_shim_until_it_is_proven_gone),
        LIVE (broker_that_is_away_is_not_waited_for_longer_than_t),
        LIVE (request_that_comes_during_a_bye_begins_anew),
        LIVE (no_session_is_as_good_an_answer_to_bye),
        LIVE (who_asks_after_the_end_is_told_nothing),
        LIVE (end_gives_everything_back_first),
        LIVE (end_does_not_wait_for_a_broker_that_is_away),
        TEST (end_without_a_session_is_at_once),
        TEST (end_leaves_inherited_slots_to_a_successor),
    };

    return cmocka_run_group_tests_name ("shim end", tests, NULL, NULL);
}
