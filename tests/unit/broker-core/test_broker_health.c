/* SPDX-License-Identifier: MPL-2.0 */
/* Samples come in, and slots are withheld, given back, and explained. */
#include "stage.h"

#include <math.h>
#include <string.h>

#include "core/memory.h"
#include "core/state.h"

static const struct sample at_ease = {.cpu_percent = 10,
                                      .memory_percent = 10,
                                      .load1 = 1,
                                      .disk_percent = 10,
                                      .inodes_percent = 10};

/* Samples of the own host each two seconds, for so long. */
static void sample_for (struct stage *st, struct sample s, int64_t ms)
{
    for (int64_t until = st->now + ms; st->now < until;) {
        stage_sleep (st, 2000);
        stage_begin (st);
        s.at = st->now;
        broker_observe_sample (st->b, &s, 0, st->now, st->out);
        stage_end (st);
    }
}

static struct sample with_memory (double percent)
{
    struct sample s = at_ease;

    s.memory_percent = percent;
    return s;
}

static unsigned effective (const struct stage *st)
{
    struct pool_view view;

    broker_view (st->b, &view);
    return view.effective;
}

static const struct msg_status_ok *status (struct stage *st)
{
    struct actor *admin = stage_admin (st);

    message_init (&st->msg, VERB_STATUS);
    stage_tell (st, admin);
    return stage_got (st, admin, VERB_STATUS_OK);
}

static const struct msg_queued *queued (const struct stage *st,
                                        const struct actor *a)
{
    const struct msg_queued *m = stage_got (st, a, VERB_QUEUED);

    assert_non_null (m);
    return m;
}

static void shrunk_pool_says_why_and_grows_back (void **state)
{
    struct stage *st = stage_create (20);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    const struct msg_pool *pool;
    (void) state;

    act_request (st, a, 10);
    act_request (st, b, 10);
    sample_for (st, with_memory (91), 4000);
    assert_int_equal (effective (st), 15);
    assert_true (stage_logged (st, "effective host=\"vm1\" effective=15 "
                                   "max_slots=20 grants=true "
                                   "cause=\"memory 91.0% of 90%\""));
    pool = stage_published (st, "pool.vm1");
    assert_non_null (pool);
    assert_int_equal (pool->effective, 15);
    assert_string_equal (pool->cause, "memory 91.0% of 90%");
    assert_string_equal (status (st)->effective_cause, "memory 91.0% of 90%");
    assert_int_equal (status (st)->hosts[0].effective, 15);

    sample_for (st, with_memory (91.5), 2000); // a figure is no news
    assert_null (stage_published (st, "pool.vm1"));
    sample_for (st, at_ease, 32000);
    assert_string_equal (status (st)->effective_cause, "memory was above 90%");
    sample_for (st, at_ease, 60000 + 4 * 30000);
    assert_int_equal (effective (st), 20);
    assert_string_equal (status (st)->effective_cause, "");
    stage_destroy (st);
}

static void what_is_withheld_makes_wait_for_health (void **state)
{
    struct stage *st = stage_create (20);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    struct actor *c = stage_shim (st, "c");
    (void) state;

    act_request (st, a, 10);
    act_request (st, b, 6);
    sample_for (st, with_memory (91), 4000);
    assert_int_equal (effective (st), 12);
    act_request (st, c, 4);
    assert_string_equal (queued (st, c)->reason, "HEALTH");
    assert_string_equal (queued (st, c)->detail,
                         "memory 91.0% of 90% 0 s ago, effective 12 of 20, 4 "
                         "wanted");
    assert_int_equal (queued (st, c)->slots_ahead, 8);
    act_release_some (st, a, 8);
    assert_int_equal (stage_in_use (st), 12);
    stage_destroy (st);
}

static void what_no_health_could_serve_waits_for_slots (void **state)
{
    struct stage *st = stage_create (20);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    struct actor *c = stage_shim (st, "c");
    (void) state;

    act_request (st, a, 10);
    act_request (st, b, 8);
    sample_for (st, with_memory (91), 4000);
    act_request (st, c, 3);
    assert_string_equal (queued (st, c)->reason, "SLOTS");
    stage_destroy (st);
}

static void request_above_a_reduced_pool_holds_nobody_back (void **state)
{
    struct stage *st = stage_create (20);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    struct actor *c = stage_shim (st, "c");
    (void) state;

    act_request (st, a, 8);
    sample_for (st, with_memory (91), 4000);
    assert_int_equal (effective (st), 6);
    act_release_some (st, a, 7);
    act_request (st, b, 7);
    assert_string_equal (queued (st, b)->reason, "HEALTH");
    act_request (st, c, 5);
    assert_non_null (stage_got (st, c, VERB_GRANT));
    stage_destroy (st);
}

static void critical_host_grants_nothing_until_it_is_not (void **state)
{
    struct stage *st = stage_create (20);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    (void) state;

    act_request (st, a, 2);
    sample_for (st, with_memory (97), 2000);
    assert_int_equal (effective (st), 1);
    act_release_some (st, a, 2);
    act_request (st, b, 1);
    assert_string_equal (queued (st, b)->reason, "HEALTH");
    assert_string_equal (queued (st, b)->detail,
                         "memory 97.0% of 95% 0 s ago, nothing is granted, 1 "
                         "wanted");
    sample_for (st, with_memory (86), 32000);
    assert_int_equal (stage_in_use (st), 1);
    stage_destroy (st);
}

static void one_that_would_not_wait_is_told_health (void **state)
{
    struct stage *st = stage_create (20);
    struct actor *a = stage_shim (st, "a");
    const struct msg_error *error;
    (void) state;

    sample_for (st, with_memory (97), 2000);
    make_request (st, a, 1);
    st->msg.request.nowait = true;
    stage_tell (st, a);
    error = stage_got (st, a, VERB_ERROR);
    assert_non_null (error);
    assert_true (strncmp (error->detail, "HEALTH: memory 97.0% of 95%", 27) ==
                 0);
    stage_destroy (st);
}

static void fair_decides_nothing_on_a_critical_host (void **state)
{
    struct stage *st = stage_create (20);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    (void) state;

    state_set_policy (st->b, POLICY_FAIR);
    sample_for (st, with_memory (97), 2000);
    act_request (st, a, 3);
    act_request (st, b, 3);
    stage_sleep (st, 1000);
    assert_int_equal (stage_in_use (st), 0);
    assert_string_equal (status (st)->queue[0].reason, "HEALTH");
    sample_for (st, at_ease, 32000);
    assert_int_equal (stage_in_use (st), 1); // the floor
    stage_destroy (st);
}

static void set_max_says_what_health_still_withholds (void **state)
{
    struct stage *st = stage_create (20);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    struct actor *admin = stage_admin (st);
    const struct msg_set_max_ok *ok;
    (void) state;

    act_request (st, a, 10);
    act_request (st, b, 10);
    sample_for (st, with_memory (91), 4000);
    message_init (&st->msg, VERB_SET_MAX);
    st->msg.set_max.max_slots = 30;
    stage_tell (st, admin);
    ok = stage_got (st, admin, VERB_SET_MAX_OK);
    assert_int_equal (ok->effective, 15);
    assert_string_equal (ok->cause, "memory 91.0% of 90%");
    message_init (&st->msg, VERB_SET_MAX);
    st->msg.set_max.max_slots = 10;
    stage_tell (st, admin);
    ok = stage_got (st, admin, VERB_SET_MAX_OK);
    assert_int_equal (ok->effective, 10);
    assert_string_equal (ok->cause, "");
    stage_destroy (st);
}

static void time_alone_lets_it_grow (void **state)
{
    struct stage *st = stage_create (20);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    int64_t healthy;
    (void) state;

    act_request (st, a, 10);
    sample_for (st, with_memory (91), 4000);
    assert_int_equal (effective (st), 7);
    act_release_some (st, a, 8);
    act_request (st, b, 6);
    assert_string_equal (queued (st, b)->reason, "HEALTH");
    sample_for (st, at_ease, 32000);
    healthy = st->now;
    stage_sleep (st, 59900);
    assert_int_equal (stage_in_use (st), 2);
    assert_int_equal (broker_next_deadline (st->b, st->now), healthy + 60000);
    stage_sleep (st, 100);
    assert_int_equal (st->now, healthy + 60000);
    assert_int_equal (stage_in_use (st), 8);
    stage_destroy (st);
}

static void stall_of_the_broker_is_no_time_of_health (void **state)
{
    struct stage *st = stage_create (20);
    struct actor *a = stage_shim (st, "a");
    (void) state;

    act_request (st, a, 10);
    sample_for (st, with_memory (91), 4000);
    sample_for (st, at_ease, 32000);
    st->now += 30000; // stopped
    stage_begin (st);
    stage_end (st);
    stage_sleep (st, 60000);
    assert_int_equal (effective (st), 7);
    stage_sleep (st, 2000); // and twice the stall
    assert_int_equal (effective (st), 8);
    stage_destroy (st);
}

static void each_host_has_its_own (void **state)
{
    struct stage *st = stage_create (20);
    struct actor *a = stage_shim (st, "a");
    struct actor *far = stage_remote (st, "b", "vm2");
    const struct msg_status_ok *ok;
    (void) state;

    act_request (st, a, 4);
    for (unsigned i = 0; i < 2; i++) {
        message_init (&st->msg, VERB_SAMPLE);
        st->msg.sample.session = far->session;
        st->msg.sample.at_ms = i + 1;
        st->msg.sample.load1 = 40;
        stage_tell (st, far);
        stage_sleep (st, 2000);
    }
    ok = status (st);
    assert_string_equal (ok->effective_cause, "vm2: load 40.0 of 16");
    assert_string_equal (ok->level, "critical");
    act_request (st, far, 1);
    assert_string_equal (queued (st, far)->reason, "HEALTH");
    act_request (st, a, 4);
    assert_non_null (stage_got (st, a, VERB_GRANT));
    stage_destroy (st);
}

static void bonus_is_granted_beyond_max_slots (void **state)
{
    struct stage *st = stage_create (20);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    struct actor *c = stage_shim (st, "c");
    (void) state;

    st->settings.auto_max = 22;
    st->settings.auto_max_auto = false;
    stage_begin (st);
    broker_reload (st->b, &st->settings, st->now, st->out);
    stage_end (st);
    act_request (st, a, 10);
    act_request (st, b, 10);
    act_request (st, c, 3);
    assert_string_equal (queued (st, c)->reason, "SLOTS");
    act_request (st, c, 1);
    sample_for (st, at_ease, 70000);
    assert_int_equal (effective (st), 22);
    act_release_some (st, a, 1);
    assert_int_equal (stage_in_use (st), 22);
    sample_for (st, with_memory (91), 4000);
    assert_int_equal (effective (st), 15);
    stage_destroy (st);
}

static void relieved_pool_shrinks_at_once_and_says_why (void **state)
{
    struct stage *st = stage_create (20);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    (void) state;

    act_request (st, a, 10);
    stage_begin (st);
    state_relieve (st->b, st->b->pools.at[0], st->now, st->out);
    assert_int_equal (effective (st), 7);
    stage_end (st);
    assert_true (stage_logged (st, "effective=7 max_slots=20 grants=true "
                                   "cause=\"shrunk by hand\""));
    act_request (st, b, 2);
    assert_string_equal (queued (st, b)->reason, "HEALTH");
    assert_string_equal (queued (st, b)->detail,
                         "shrunk by hand, effective 7 of 20, growing again in "
                         "60 s, 2 wanted");
    stage_sleep (st, 60000 + 4 * 30000);
    assert_int_equal (stage_in_use (st), 12);
    stage_destroy (st);
}

static void disk_that_fills_is_said_loudly (void **state)
{
    struct stage *st = stage_create (20);
    struct sample s = at_ease;
    (void) state;

    s.disk_percent = 91.2;
    sample_for (st, s, 4000);
    assert_true (
        stage_logged (st, "health   host=\"vm1\" disk=degraded percent=91.2"));
    assert_int_equal (effective (st), 20);
    s.disk_percent = 97.5;
    sample_for (st, s, 4000);
    assert_true (stage_logged (st, "disk=critical percent=97.5"));
    s.disk_percent = 91.5; // it is better: that is no alarm
    sample_for (st, s, 60000);
    assert_false (stage_logged (st, "percent=91.5"));
    stage_destroy (st);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (shrunk_pool_says_why_and_grows_back),
        cmocka_unit_test (what_is_withheld_makes_wait_for_health),
        cmocka_unit_test (what_no_health_could_serve_waits_for_slots),
        cmocka_unit_test (request_above_a_reduced_pool_holds_nobody_back),
        cmocka_unit_test (critical_host_grants_nothing_until_it_is_not),
        cmocka_unit_test (one_that_would_not_wait_is_told_health),
        cmocka_unit_test (fair_decides_nothing_on_a_critical_host),
        cmocka_unit_test (set_max_says_what_health_still_withholds),
        cmocka_unit_test (time_alone_lets_it_grow),
        cmocka_unit_test (stall_of_the_broker_is_no_time_of_health),
        cmocka_unit_test (each_host_has_its_own),
        cmocka_unit_test (bonus_is_granted_beyond_max_slots),
        cmocka_unit_test (relieved_pool_shrinks_at_once_and_says_why),
        cmocka_unit_test (disk_that_fills_is_said_loudly),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
