/* SPDX-License-Identifier: MPL-2.0 */
/* test_keeper.c - when a tree is warned, asked, and killed, on virtual time */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/keeper.h"

enum { GRACE = 10000, CONFIRM = 5000, LINGER = 2000, DEADLINE = 58000 };
enum { LAST_TERM = DEADLINE - GRACE - CONFIRM, LAST_KILL = DEADLINE - CONFIRM };

#define DONE (KEEPER_DO_REPORT_REAPED | KEEPER_DO_END)
#define REFUSED (KEEPER_DO_REFUSE | KEEPER_DO_END)

static void arm (struct keeper *k, int64_t deadline)
{
    keeper_arm (k, deadline, GRACE, CONFIRM, LINGER);
}

static struct keeper running (void)
{
    struct keeper k;

    keeper_init (&k);
    arm (&k, DEADLINE);
    assert_int_equal (keeper_tick (&k, 0), KEEPER_DO_START);
    assert_int_equal (k.state, KEEPER_RUNNING);
    return k;
}

static struct keeper lingering (int64_t now)
{
    struct keeper k = running ();

    assert_int_equal (keeper_exited (&k, now), KEEPER_DO_REPORT_EXITED);
    assert_int_equal (k.state, KEEPER_LINGERING);
    return k;
}

/* Walks time to each deadline; returns when the action came, -1 never. */
static int64_t when (struct keeper *k, unsigned action)
{
    for (int i = 0; i < 100; i++) {
        int64_t at = keeper_next (k);

        if (at == INT64_MAX)
            return -1;
        assert_int_equal (keeper_tick (k, at - 1) & action, 0);
        if (keeper_tick (k, at) & action)
            return at;
    }
    return -1;
}

static void command_starts_only_after_the_first_arm (void **s)
{
    struct keeper k;

    (void) s;
    keeper_init (&k);
    assert_int_equal (keeper_tick (&k, 0), 0);
    assert_int_equal (keeper_tick (&k, 1000000), 0);
    assert_true (keeper_next (&k) == INT64_MAX);
    arm (&k, 1000000 + DEADLINE);
    assert_int_equal (keeper_tick (&k, 1000000), KEEPER_DO_START);
    assert_int_equal (keeper_tick (&k, 1000001), 0); // once
}

static void command_is_not_started_into_its_own_end (void **s)
{
    struct keeper k;

    (void) s;
    keeper_init (&k);
    arm (&k, DEADLINE);
    assert_int_equal (keeper_tick (&k, LAST_TERM), 0);
    assert_int_equal (k.state, KEEPER_ATTACHING);
    arm (&k, DEADLINE + 5000); // the next beat leaves time
    assert_int_equal (keeper_tick (&k, LAST_TERM), KEEPER_DO_START);
}

static void stop_in_the_turn_of_the_arm_prevents_the_start (void **s)
{
    struct keeper k;

    (void) s;
    keeper_init (&k);
    arm (&k, DEADLINE);
    assert_int_equal (keeper_stop (&k, 0, GRACE, 0), REFUSED);
    assert_int_equal (keeper_tick (&k, 0), 0);
    assert_int_equal (k.state, KEEPER_GONE);
}

static void stream_that_ends_before_the_start_ends_the_keeper (void **s)
{
    struct keeper k;

    (void) s;
    keeper_init (&k);
    assert_int_equal (keeper_lost (&k, 0), REFUSED);
    assert_int_equal (keeper_lost (&k, 1), 0);
    arm (&k, DEADLINE);
    assert_int_equal (keeper_tick (&k, 2), 0);
}

static void command_that_cannot_be_started_is_refused (void **s)
{
    struct keeper k = running ();

    (void) s;
    assert_int_equal (keeper_failed (&k), REFUSED);
    assert_int_equal (keeper_failed (&k), 0);
}

static void tree_is_asked_and_killed_in_time_for_its_deadline (void **s)
{
    struct keeper k = running ();

    (void) s;
    assert_int_equal (when (&k, KEEPER_DO_TERM), LAST_TERM);
    assert_int_equal (k.state, KEEPER_TERMINATING);
    assert_int_equal (when (&k, KEEPER_DO_KILL), LAST_KILL);
    assert_int_equal (k.state, KEEPER_KILLING);
}

static void each_arm_moves_the_deadline (void **s)
{
    struct keeper k = running ();

    (void) s;
    for (int64_t now = 5000; now < 500000; now += 5000) {
        arm (&k, now + DEADLINE);
        assert_int_equal (keeper_tick (&k, now), 0);
        assert_int_equal (keeper_next (&k), now + LAST_TERM);
    }
}

/* A broker restarted with a shorter ttl will not wait for the old deadline. */
static void shorter_deadline_of_a_newer_arm_counts (void **s)
{
    struct keeper k = running ();

    (void) s;
    arm (&k, DEADLINE - 20000);
    assert_int_equal (when (&k, KEEPER_DO_TERM), LAST_TERM - 20000);
}

static void arm_does_not_take_back_an_end_that_has_begun (void **s)
{
    struct keeper k = running ();

    (void) s;
    assert_int_equal (keeper_tick (&k, LAST_TERM), KEEPER_DO_TERM);
    arm (&k, 10 * DEADLINE);
    assert_int_equal (keeper_tick (&k, LAST_TERM + 1), 0);
    assert_int_equal (k.state, KEEPER_TERMINATING);
    assert_int_equal (when (&k, KEEPER_DO_KILL), LAST_KILL);
}

static void arm_during_a_stop_does_not_lengthen_it (void **s)
{
    struct keeper k = running ();

    (void) s;
    assert_int_equal (keeper_stop (&k, 1000, 2000, 0), KEEPER_DO_NOTICE);
    arm (&k, 10 * DEADLINE);
    assert_int_equal (when (&k, KEEPER_DO_TERM), 1000);
    arm (&k, 20 * DEADLINE);
    assert_int_equal (when (&k, KEEPER_DO_KILL), 3000);
}

static void woken_past_the_deadline_it_kills_at_once (void **s)
{
    struct keeper k = running ();

    (void) s;
    assert_int_equal (keeper_tick (&k, LAST_KILL), KEEPER_DO_KILL);
    k = running ();
    assert_int_equal (keeper_stop (&k, 1000, 2000, 0), KEEPER_DO_NOTICE);
    assert_int_equal (keeper_tick (&k, 2 * DEADLINE), KEEPER_DO_KILL);
    k = running ();
    assert_int_equal (keeper_lost (&k, 2 * DEADLINE), KEEPER_DO_KILL);
    k = lingering (0);
    assert_int_equal (keeper_tick (&k, 2 * DEADLINE), KEEPER_DO_KILL);
}

static void woken_late_it_gives_what_is_left_of_the_grace (void **s)
{
    struct keeper k = running ();

    (void) s;
    assert_int_equal (keeper_tick (&k, LAST_KILL - 1), KEEPER_DO_TERM);
    assert_int_equal (keeper_next (&k), LAST_KILL);
}

/* The shell reads all that was sent before it lets time pass. */
static void arm_that_came_during_a_pause_counts_first (void **s)
{
    struct keeper k = running ();

    (void) s;
    arm (&k, 3 * DEADLINE);
    assert_int_equal (keeper_tick (&k, 2 * DEADLINE), 0);
    assert_int_equal (k.state, KEEPER_RUNNING);
}

static void stop_gives_notice_then_grace_then_kills (void **s)
{
    struct keeper k = running ();

    (void) s;
    assert_int_equal (keeper_stop (&k, 10000, 7000, 100), KEEPER_DO_NOTICE);
    assert_int_equal (k.state, KEEPER_NOTICED);
    assert_int_equal (when (&k, KEEPER_DO_TERM), 10100);
    assert_int_equal (when (&k, KEEPER_DO_KILL), 17100);
}

static void stop_without_notice_asks_at_once_and_without_grace_kills (void **s)
{
    struct keeper k = running ();

    (void) s;
    assert_int_equal (keeper_stop (&k, 0, 5000, 0), KEEPER_DO_TERM);
    k = running ();
    assert_int_equal (keeper_stop (&k, 0, 0, 0), KEEPER_DO_KILL);
}

static void second_stop_shortens_but_never_lengthens (void **s)
{
    struct keeper k = running ();

    (void) s;
    assert_int_equal (keeper_stop (&k, 10000, 8000, 0), KEEPER_DO_NOTICE);
    assert_int_equal (keeper_stop (&k, 20000, 30000, 0), 0);
    assert_int_equal (keeper_stop (&k, 10000, 8000, 4000), 0); // resent
    assert_int_equal (keeper_next (&k), 10000);
    assert_int_equal (keeper_stop (&k, 2000, 3000, 4000), 0);
    assert_int_equal (when (&k, KEEPER_DO_TERM), 6000);
    assert_int_equal (keeper_stop (&k, 0, 5000, 6000), 0);
    assert_int_equal (keeper_next (&k), 9000);
    assert_int_equal (keeper_stop (&k, 0, 1000, 6000), 0);
    assert_int_equal (when (&k, KEEPER_DO_KILL), 7000);
    assert_int_equal (keeper_stop (&k, 10000, 10000, 7001), 0);
    assert_int_equal (k.state, KEEPER_KILLING);
}

static void deadline_bounds_a_generous_stop (void **s)
{
    struct keeper k = running ();

    (void) s;
    assert_int_equal (keeper_stop (&k, 10 * DEADLINE, 10 * DEADLINE, 0),
                      KEEPER_DO_NOTICE);
    assert_int_equal (when (&k, KEEPER_DO_TERM), LAST_TERM);
    assert_int_equal (when (&k, KEEPER_DO_KILL), LAST_KILL);
    k = running ();
    assert_int_equal (keeper_stop (&k, 0, 10 * DEADLINE, 0), KEEPER_DO_TERM);
    assert_int_equal (when (&k, KEEPER_DO_KILL), LAST_KILL);
}

static void lost_stream_ends_the_tree_with_grace (void **s)
{
    struct keeper k = running ();

    (void) s;
    assert_int_equal (keeper_lost (&k, 500), KEEPER_DO_TERM);
    assert_int_equal (keeper_lost (&k, 600), 0); // the other one, harmless
    assert_int_equal (when (&k, KEEPER_DO_KILL), 500 + GRACE);
}

static void lost_stream_cuts_the_notice_short (void **s)
{
    struct keeper k = running ();

    (void) s;
    assert_int_equal (keeper_stop (&k, 10000, 4000, 0), KEEPER_DO_NOTICE);
    assert_int_equal (keeper_lost (&k, 1000), KEEPER_DO_TERM);
    assert_int_equal (when (&k, KEEPER_DO_KILL), 5000);
}

static void lost_stream_near_the_deadline_has_less_grace (void **s)
{
    struct keeper k = running ();

    (void) s;
    assert_int_equal (keeper_tick (&k, LAST_TERM), KEEPER_DO_TERM);
    assert_int_equal (keeper_lost (&k, LAST_TERM + 1), 0);
    assert_int_equal (when (&k, KEEPER_DO_KILL), LAST_KILL);
}

static void children_that_outlive_the_command_may_linger (void **s)
{
    struct keeper k = lingering (1000);

    (void) s;
    assert_int_equal (when (&k, KEEPER_DO_TERM), 1000 + LINGER);
    assert_int_equal (when (&k, KEEPER_DO_KILL), 1000 + 2 * LINGER);
}

static void empty_tree_is_reported_only_after_its_command_has_ended (void **s)
{
    struct keeper k = running ();

    (void) s;
    assert_int_equal (keeper_emptied (&k), 0);
    assert_int_equal (keeper_exited (&k, 0), KEEPER_DO_REPORT_EXITED);
    assert_int_equal (keeper_exited (&k, 0), 0);
    assert_int_equal (keeper_emptied (&k), DONE);
    assert_int_equal (keeper_emptied (&k), 0);
    assert_true (keeper_next (&k) == INT64_MAX);
    assert_int_equal (keeper_tick (&k, 10 * DEADLINE), 0);
}

static void stop_while_lingering_needs_no_notice (void **s)
{
    struct keeper k = lingering (0);

    (void) s;
    assert_int_equal (keeper_stop (&k, 10000, 10000, 100), KEEPER_DO_TERM);
    assert_int_equal (when (&k, KEEPER_DO_KILL), 100 + LINGER);
}

static void
command_that_obeys_the_notice_leaves_its_children_a_linger (void **s)
{
    struct keeper k = running ();

    (void) s;
    assert_int_equal (keeper_stop (&k, 10000, 10000, 0), KEEPER_DO_NOTICE);
    assert_int_equal (keeper_exited (&k, 1000), KEEPER_DO_REPORT_EXITED);
    assert_int_equal (when (&k, KEEPER_DO_TERM), 1000 + LINGER);
    assert_int_equal (when (&k, KEEPER_DO_KILL), 1000 + 2 * LINGER);
}

/* A shell may be in the midst of forking when it is asked, and end; its
 * child has the whole grace, like any other, but must have been asked. */
static void command_that_ends_when_asked_may_leave_a_child_to_ask (void **s)
{
    struct keeper k = running ();

    (void) s;
    assert_int_equal (keeper_stop (&k, 0, 7000, 0), KEEPER_DO_TERM);
    assert_int_equal (keeper_exited (&k, 10),
                      KEEPER_DO_REPORT_EXITED | KEEPER_DO_TERM);
    assert_int_equal (k.state, KEEPER_TERMINATING);
    assert_int_equal (when (&k, KEEPER_DO_KILL), 7000);
}

static void kill_is_repeated_until_the_tree_is_empty (void **s)
{
    struct keeper k = running ();
    int64_t now = 0;

    (void) s;
    assert_int_equal (keeper_stop (&k, 0, 0, 0), KEEPER_DO_KILL);
    for (int i = 0; i < 50; i++) {
        int64_t wait = keeper_next (&k) - now;

        assert_in_range (wait, 1, 1000);
        now += wait;
        assert_int_equal (keeper_tick (&k, now), KEEPER_DO_KILL);
    }
    assert_int_equal (keeper_exited (&k, now), KEEPER_DO_REPORT_EXITED);
    assert_int_equal (k.state, KEEPER_KILLING); // a child of it lives
    assert_int_equal (keeper_emptied (&k), DONE);
}

static void absurd_values_are_bounded (void **s)
{
    struct keeper k;

    (void) s;
    keeper_init (&k);
    keeper_arm (&k, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX);
    assert_int_equal (keeper_tick (&k, 0), KEEPER_DO_START);
    assert_int_equal (keeper_stop (&k, INT64_MAX, INT64_MAX, 0),
                      KEEPER_DO_NOTICE);
    keeper_arm (&k, INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN);
    assert_int_equal (keeper_tick (&k, 0), KEEPER_DO_KILL);
    k = running ();
    assert_int_equal (keeper_stop (&k, INT64_MIN, INT64_MIN, 0),
                      KEEPER_DO_KILL);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (command_starts_only_after_the_first_arm),
        cmocka_unit_test (command_is_not_started_into_its_own_end),
        cmocka_unit_test (stop_in_the_turn_of_the_arm_prevents_the_start),
        cmocka_unit_test (stream_that_ends_before_the_start_ends_the_keeper),
        cmocka_unit_test (command_that_cannot_be_started_is_refused),
        cmocka_unit_test (tree_is_asked_and_killed_in_time_for_its_deadline),
        cmocka_unit_test (each_arm_moves_the_deadline),
        cmocka_unit_test (shorter_deadline_of_a_newer_arm_counts),
        cmocka_unit_test (arm_does_not_take_back_an_end_that_has_begun),
        cmocka_unit_test (arm_during_a_stop_does_not_lengthen_it),
        cmocka_unit_test (woken_past_the_deadline_it_kills_at_once),
        cmocka_unit_test (woken_late_it_gives_what_is_left_of_the_grace),
        cmocka_unit_test (arm_that_came_during_a_pause_counts_first),
        cmocka_unit_test (stop_gives_notice_then_grace_then_kills),
        cmocka_unit_test (
            stop_without_notice_asks_at_once_and_without_grace_kills),
        cmocka_unit_test (second_stop_shortens_but_never_lengthens),
        cmocka_unit_test (deadline_bounds_a_generous_stop),
        cmocka_unit_test (lost_stream_ends_the_tree_with_grace),
        cmocka_unit_test (lost_stream_cuts_the_notice_short),
        cmocka_unit_test (lost_stream_near_the_deadline_has_less_grace),
        cmocka_unit_test (children_that_outlive_the_command_may_linger),
        cmocka_unit_test (
            empty_tree_is_reported_only_after_its_command_has_ended),
        cmocka_unit_test (stop_while_lingering_needs_no_notice),
        cmocka_unit_test (
            command_that_obeys_the_notice_leaves_its_children_a_linger),
        cmocka_unit_test (
            command_that_ends_when_asked_may_leave_a_child_to_ask),
        cmocka_unit_test (kill_is_repeated_until_the_tree_is_empty),
        cmocka_unit_test (absurd_values_are_bounded),
    };

    return cmocka_run_group_tests_name ("keeper", tests, NULL, NULL);
}
