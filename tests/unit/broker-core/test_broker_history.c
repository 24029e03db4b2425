/* SPDX-License-Identifier: MPL-2.0 */
/* What is recorded of a slot, what is learnt from it, and what is forecast. */
#include "stage.h"

#include <math.h>
#include <string.h>

enum { MINUTE = 60000 };

/* ---- acts ---- */

/* Slots of one `run`, whose tree has started. Returns the first token. */
static uint64_t start (struct stage *st, struct actor *a, unsigned count,
                       const char *label)
{
    const struct msg_grant *grant;
    uint64_t first;

    make_request (st, a, count);
    st->msg.request.run = true;
    copy_text (st->msg.request.labels, sizeof st->msg.request.labels, label);
    stage_tell (st, a);
    grant = stage_got (st, a, VERB_GRANT);
    assert_non_null (grant);
    first = grant->first;
    make_started (st, a, first);
    for (unsigned i = 1; i < count; i++)
        u64s_add (&st->msg.started.tokens, first + i);
    stage_tell (st, a);
    return first;
}

static void end (struct stage *st, struct actor *a, uint64_t first,
                 unsigned count, unsigned status)
{
    make_reaped (st, a, first);
    for (unsigned i = 1; i < count; i++)
        u64s_add (&st->msg.reaped.tokens, first + i);
    st->msg.reaped.status = status;
    st->msg.reaped.memory_bytes = 1 << 20;
    st->msg.reaped.cpu_ms = 4000;
    stage_tell (st, a);
}

static void run_for (struct stage *st, struct actor *a, int64_t ms,
                     unsigned status)
{
    uint64_t token = start (st, a, 1, "auth");

    stage_sleep (st, ms);
    end (st, a, token, 1, status);
}

static uint64_t reserve (struct stage *st, struct actor *a)
{
    const struct msg_grant *grant;

    act_request (st, a, 1);
    grant = stage_got (st, a, VERB_GRANT);
    assert_non_null (grant);
    return grant->first;
}

static void say (struct stage *st, struct actor *a, uint64_t token,
                 double percent)
{
    message_init (&st->msg, VERB_PROGRESS);
    st->msg.progress.session = a->session;
    st->msg.progress.token = token;
    st->msg.progress.percent = percent;
    stage_tell (st, a);
}

static const struct msg_status_ok *ask (struct stage *st)
{
    struct actor *admin = stage_admin (st);
    const struct msg_status_ok *ok;

    message_init (&st->msg, VERB_STATUS);
    stage_tell (st, admin);
    ok = stage_got (st, admin, VERB_STATUS_OK);
    assert_non_null (ok);
    return ok;
}

/* Would a run that is granted now have a forecast? Its low end; 0: no. */
static int64_t forecast (struct stage *st, struct actor *a)
{
    uint64_t token = start (st, a, 1, "auth");
    int64_t low = stage_row (st, token)->eta_low_ms;

    end (st, a, token, 1, 137); // which teaches nothing
    return low;
}

static void assert_record (const struct stage *st, const char *outcome,
                           int64_t run_ms)
{
    assert_int_equal (st->runs, 1);
    assert_string_equal (st->run.outcome, outcome);
    assert_in_range (st->run.run_ms, run_ms, run_ms + 1000);
}

/* ---- outcomes ---- */

static void end_of_a_run_is_recorded_with_its_status_and_what_it_used (void **s)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "alpha");
    (void) s;

    run_for (st, a, MINUTE, 0);
    assert_record (st, "done", MINUTE);
    assert_string_equal (st->run.project, "alpha");
    assert_string_equal (st->run.label, "auth");
    assert_int_equal (st->run.token, 1);
    assert_int_equal (st->run.memory_bytes, 1 << 20);
    assert_int_equal (st->run.cpu_ms, 4000);
    st->runs = 0;
    run_for (st, a, 2 * MINUTE, 3);
    assert_record (st, "failed", 2 * MINUTE);
    assert_int_equal (st->run.status, 3);
    stage_destroy (st);
}

static void what_is_killed_was_killed_however_it_ends (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "alpha"), *admin = stage_admin (st);
    uint64_t tree = start (st, a, 1, "auth"), idle = reserve (st, a);
    (void) state;

    make_kill (st, 1, "alpha");
    stage_tell (st, admin); // the reservation is freed at once
    assert_record (st, "killed", 0);
    assert_int_equal (st->run.token, idle);
    st->runs = 0;
    end (st, a, tree, 1, 0); // it had just ended by itself
    assert_record (st, "killed", 0);
    stage_destroy (st);
}

static void what_was_lost_is_lost_by_proof_and_by_time (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "alpha");
    struct actor *far = stage_remote (st, "beta", "vm2");
    uint64_t token = start (st, a, 1, "auth");
    (void) state;

    stage_sleep (st, MINUTE);
    a->silent = true;
    stage_begin (st);
    broker_observe_gone (st->b, a->session, st->now, st->out);
    broker_observe_proven (st->b, token, st->now, st->out);
    stage_end (st);
    assert_record (st, "lost", MINUTE);
    st->runs = 0;
    start (st, far, 1, "auth");
    far->silent = true;
    stage_sleep (
        st, st->settings.timing.ttl + st->settings.timing.lock_delay + 1000);
    assert_int_equal (st->runs, 1);
    assert_string_equal (st->run.outcome, "lost");
    assert_string_equal (st->run.host, "vm2");
    stage_destroy (st);
}

static void what_is_given_back_is_released (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "alpha");
    uint64_t token = reserve (st, a);
    (void) state;

    stage_sleep (st, MINUTE);
    act_release (st, a, token);
    assert_record (st, "released", MINUTE);
    st->runs = 0;
    reserve (st, a);
    act_bye (st, a);
    assert_record (st, "released", 0);
    stage_destroy (st);
}

static void each_slot_of_a_tree_has_a_record_and_one_what_it_used (void **state)
{
    struct stage *st = stage_create (8);
    struct actor *a = stage_shim (st, "alpha");
    uint64_t first = start (st, a, 3, "x,y,z");
    (void) state;

    end (st, a, first, 3, 0);
    assert_int_equal (st->runs, 3);
    assert_int_equal (st->memory_bytes, 1 << 20);
    stage_destroy (st);
}

static void tree_in_a_reservation_is_recorded_without_slot_time (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "alpha");
    uint64_t token = reserve (st, a);
    (void) state;

    for (unsigned i = 0; i < 2; i++) {
        make_started (st, a, token);
        strcpy (st->msg.started.label, "auth");
        stage_tell (st, a);
        stage_sleep (st, MINUTE);
        make_reaped (st, a, token);
        st->msg.reaped.keep = true;
        st->msg.reaped.status = i;
        st->msg.reaped.cpu_ms = 1000;
        st->msg.reaped.memory_bytes = 5000 - i;
        stage_tell (st, a);
        assert_record (st, i ? "failed" : "done", 0);
        assert_int_equal (st->run.run_ms, 0);
        assert_in_range (st->run.whole_ms, MINUTE, MINUTE + 1000);
        assert_string_equal (st->run.label, "auth");
        assert_int_equal (st->run.status, i);
        assert_int_equal (st->run.cpu_ms, 1000);
        assert_int_equal (st->run.memory_bytes, 5000 - i);
        st->runs = 0;
    }
    act_release (st, a, token);
    assert_record (st, "released", 2 * MINUTE);
    assert_string_equal (st->run.label, ""); // that was said of the trees
    assert_int_equal (st->run.status, 0);
    assert_int_equal (st->run.cpu_ms, 0);
    assert_int_equal (st->run.whole_ms, 0);
    stage_destroy (st);
}

static void tree_that_ends_with_its_reservation_has_its_own_duration (void **s)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "alpha");
    uint64_t token = reserve (st, a);
    (void) s;

    stage_sleep (st, 9 * MINUTE); // idle
    act_started (st, a, token);
    stage_sleep (st, MINUTE);
    end (st, a, token, 1, 0);
    assert_record (st, "done", 10 * MINUTE);
    assert_in_range (st->run.whole_ms, MINUTE, MINUTE + 1000);
    assert_int_equal (st->run.cpu_ms, 4000);
    stage_destroy (st);
}

/* ---- what is learnt ---- */

static void durations_of_what_ended_by_itself_are_learnt (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "alpha");
    const struct lease_record *row;
    uint64_t token;
    (void) state;

    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal (forecast (st, a), 0);
        run_for (st, a, MINUTE, i % 2); // failed ones too
    }
    token = start (st, a, 1, "auth");
    row = stage_row (st, token);
    assert_in_range (row->eta_low_ms, MINUTE, MINUTE + 1000);
    assert_in_range (row->eta_high_ms, MINUTE, MINUTE + 1000);
    st->runs = 0;
    end (st, a, token, 1, 0);
    assert_in_range (st->run.eta_high_ms, MINUTE, MINUTE + 1000);
    stage_destroy (st);
}

static void what_a_signal_or_a_kill_ended_teaches_nothing (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "alpha"), *admin = stage_admin (st);
    (void) state;

    for (unsigned i = 0; i < 5; i++) {
        uint64_t token;

        run_for (st, a, MINUTE, 126 + i); // nothing ran, or a signal
        token = start (st, a, 1, "auth");
        make_kill (st, i + 1, "alpha");
        stage_tell (st, admin);
        end (st, a, token, 1, 0);
        act_release (st, a, reserve (st, a));
    }
    assert_int_equal (forecast (st, a), 0);
    stage_destroy (st);
}

static void tree_of_several_slots_is_learnt_once (void **state)
{
    struct stage *st = stage_create (8);
    struct actor *a = stage_shim (st, "alpha");
    (void) state;

    for (unsigned i = 0; i < 4; i++)
        end (st, a, start (st, a, 4, "auth"), 4, 0);
    assert_int_equal (forecast (st, a), 0);
    end (st, a, start (st, a, 4, "auth"), 4, 0);
    assert_true (forecast (st, a) > 0);
    stage_destroy (st);
}

static void trees_of_a_reservation_are_learnt_each (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "alpha");
    uint64_t token = reserve (st, a);
    int64_t low;
    (void) state;

    stage_sleep (st, 10 * MINUTE); // idle
    for (unsigned i = 0; i < 5; i++) {
        act_started (st, a, token);
        stage_sleep (st, MINUTE);
        make_reaped (st, a, token);
        st->msg.reaped.keep = true;
        stage_tell (st, a);
    }
    low = forecast (st, a);
    assert_in_range (low, MINUTE, MINUTE + 1000);
    stage_destroy (st);
}

static void park (struct stage *st, struct actor *a, uint64_t token)
{
    message_init (&st->msg, VERB_PARK);
    st->msg.park.session = a->session;
    u64s_add (&st->msg.park.tokens, token);
    stage_tell (st, a);
}

/* Returns the token under which it goes on. */
static uint64_t come_back (struct stage *st, struct actor *a, uint64_t token)
{
    const struct msg_grant *grant;

    make_request (st, a, 1);
    st->msg.request.run = true;
    st->msg.request.parked = token;
    st->runs = 0;
    stage_tell (st, a);
    grant = stage_got (st, a, VERB_GRANT);
    assert_non_null (grant);
    return grant->first;
}

static void duration_of_a_tree_that_was_parked_counts_from_its_start (void **s)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "alpha");
    (void) s;

    for (unsigned i = 0; i < 5; i++) {
        uint64_t token = start (st, a, 1, "auth");

        stage_sleep (st, MINUTE);
        park (st, a, token);
        stage_sleep (st, MINUTE);
        token = come_back (st, a, token);
        assert_record (st, "parked", MINUTE); // held until it was parked
        st->runs = 0;
        stage_sleep (st, MINUTE);
        end (st, a, token, 1, 0);
        assert_record (st, "done", MINUTE);
        assert_int_equal (st->run.eta_high_ms, 0); // was for all of it
        assert_in_range (st->run.whole_ms, 3 * MINUTE, 3 * MINUTE + 1000);
    }
    assert_in_range (forecast (st, a), 3 * MINUTE, 3 * MINUTE + 2000);
    assert_int_equal (st->run.whole_ms, 0); // this one was not parked
    stage_destroy (st);
}

static void tree_that_was_parked_while_the_broker_restarts_is_as_old (void **s)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "alpha");
    uint64_t token = start (st, a, 1, "auth");
    (void) s;

    stage_sleep (st, MINUTE);
    park (st, a, token);
    stage_restart (st);
    stage_sleep (st, MINUTE);
    token = come_back (st, a, token);
    st->runs = 0;
    stage_sleep (st, MINUTE);
    end (st, a, token, 1, 0);
    assert_record (st, "done", MINUTE);
    assert_in_range (st->run.whole_ms, 3 * MINUTE, 3 * MINUTE + 2000);
    stage_destroy (st);
}

static void restored_durations_are_as_good (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "alpha");
    (void) state;

    for (unsigned i = 0; i < 5; i++)
        broker_restore_duration (st->b, "alpha", "auth", 7 * MINUTE);
    assert_int_equal (forecast (st, a), 7 * MINUTE);
    stage_destroy (st);
}

/* ---- STATUS ---- */

static void teach (struct stage *st, const char *project, int64_t ms)
{
    for (unsigned i = 0; i < 20; i++)
        broker_restore_duration (st->b, project, "auth", ms);
}

static void status_has_what_is_left_of_each_and_of_all (void **state)
{
    struct stage *st = stage_create (8);
    struct actor *a = stage_shim (st, "alpha"), *b = stage_shim (st, "beta");
    const struct msg_status_ok *ok;
    (void) state;

    teach (st, "alpha", 10 * MINUTE);
    teach (st, "beta", 20 * MINUTE);
    start (st, a, 1, "auth");
    stage_sleep (st, 4 * MINUTE);
    start (st, a, 1, "auth");
    start (st, b, 1, "auth");
    ok = ask (st);
    assert_in_range (ok->agents[0].eta_low_s, 359, 361);
    assert_in_range (ok->agents[1].eta_high_s, 599, 601);
    assert_in_range (ok->projects[0].eta_low_s, 599, 601);
    assert_in_range (ok->projects[1].eta_low_s, 1199, 1201);
    assert_in_range (ok->eta_low_s, 1199, 1201);
    assert_in_range (ok->eta_high_s, 1199, 1201);
    stage_destroy (st);
}

static void one_that_is_unknown_makes_the_whole_unknown (void **state)
{
    struct stage *st = stage_create (8);
    struct actor *a = stage_shim (st, "alpha"), *b = stage_shim (st, "beta");
    const struct msg_status_ok *ok = ask (st);
    uint64_t token;
    (void) state;

    assert_int_equal (ok->eta_high_s, 0); // nothing runs
    teach (st, "alpha", 10 * MINUTE);
    start (st, a, 1, "auth");
    token = start (st, b, 1, "auth");
    reserve (st, a); // is no agent yet
    ok = ask (st);
    assert_true (ok->projects[0].eta_low_s > 0);
    assert_int_equal (ok->projects[1].eta_high_s, 0);
    assert_int_equal (ok->eta_high_s, 0);
    stage_sleep (st, MINUTE);
    say (st, b, token, 50);
    ok = ask (st);
    assert_in_range (ok->projects[1].eta_low_s, 20, 50);
    assert_in_range (ok->projects[1].eta_high_s, 70, 200);
    assert_true (ok->eta_high_s > 0);
    stage_destroy (st);
}

static void reservation_with_progress_has_a_forecast_by_it (void **state)
{
    struct stage *st = stage_create (8);
    struct actor *a = stage_shim (st, "alpha");
    uint64_t token = reserve (st, a);
    const struct msg_status_ok *ok;
    (void) state;

    stage_sleep (st, 10 * MINUTE);
    say (st, a, token, 80);
    ok = ask (st);
    assert_in_range (ok->agents[0].eta_low_s, 60, 149);
    assert_in_range (ok->agents[0].eta_high_s, 151, 400);
    assert_int_equal (ok->projects[0].eta_high_s, ok->agents[0].eta_high_s);
    stage_destroy (st);
}

static void what_is_about_to_end_has_a_second_left (void **state)
{
    struct stage *st = stage_create (8);
    struct actor *a = stage_shim (st, "alpha");
    (void) state;

    for (unsigned i = 0; i < 20; i++)
        broker_restore_duration (st->b, "alpha", "auth", 10);
    start (st, a, 1, "auth");
    assert_int_equal (ask (st)->agents[0].eta_low_s, 1);
    assert_int_equal (ask (st)->eta_high_s, 1);
    stage_destroy (st);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (
            end_of_a_run_is_recorded_with_its_status_and_what_it_used),
        cmocka_unit_test (what_is_killed_was_killed_however_it_ends),
        cmocka_unit_test (what_was_lost_is_lost_by_proof_and_by_time),
        cmocka_unit_test (what_is_given_back_is_released),
        cmocka_unit_test (
            each_slot_of_a_tree_has_a_record_and_one_what_it_used),
        cmocka_unit_test (tree_in_a_reservation_is_recorded_without_slot_time),
        cmocka_unit_test (
            tree_that_ends_with_its_reservation_has_its_own_duration),
        cmocka_unit_test (durations_of_what_ended_by_itself_are_learnt),
        cmocka_unit_test (what_a_signal_or_a_kill_ended_teaches_nothing),
        cmocka_unit_test (tree_of_several_slots_is_learnt_once),
        cmocka_unit_test (trees_of_a_reservation_are_learnt_each),
        cmocka_unit_test (
            duration_of_a_tree_that_was_parked_counts_from_its_start),
        cmocka_unit_test (
            tree_that_was_parked_while_the_broker_restarts_is_as_old),
        cmocka_unit_test (restored_durations_are_as_good),
        cmocka_unit_test (status_has_what_is_left_of_each_and_of_all),
        cmocka_unit_test (one_that_is_unknown_makes_the_whole_unknown),
        cmocka_unit_test (reservation_with_progress_has_a_forecast_by_it),
        cmocka_unit_test (what_is_about_to_end_has_a_second_left),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
