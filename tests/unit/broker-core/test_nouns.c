/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/kills.h"
#include "core/leases.h"
#include "core/memory.h"
#include "core/pool.h"
#include "core/projects.h"
#include "core/sessions.h"
#include "core/waitq.h"

/* ---- leases ---- */

static struct lease *add (struct leases *t, uint64_t session, uint64_t token)
{
    struct lease *l = new_zeroed (sizeof *l);

    l->r.session = session;
    l->r.token = token;
    l->r.state = LEASE_ACTIVE;
    l->r.percent = NAN;
    leases_add (t, l);
    return l;
}

static void leases_of_a_session_are_found_in_order_of_token (void **state)
{
    struct leases t = {0};
    struct lease **of;
    (void) state;

    for (uint64_t token = 1; token <= 60; token++)
        add (&t, 100 - token % 3, token);
    assert_int_equal (leases_of (&t, 99, &of), 20);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal (of[i]->r.token, 3 * i + 1);
    for (size_t i = leases_of (&t, 99, &of); i-- > 0;)
        leases_remove (&t, of[i]);
    assert_int_equal (leases_of (&t, 99, &of), 0);
    assert_int_equal (leases_of (&t, 98, &of), 20);
    assert_int_equal (leases_of (&t, 1, &of), 0);
    assert_int_equal (leases_count (&t), 40);
    assert_null (leases_find (&t, 1));
    leases_clear (&t);
}

static void one_slot_stands_for_a_tree_of_several (void **state)
{
    struct leases t = {0};
    struct lease *a = add (&t, 1, 5), *b = add (&t, 1, 6);
    struct lease *idle = add (&t, 1, 7);
    (void) state;

    a->r.tree = b->r.tree = true;
    a->r.cookie = b->r.cookie = 5;
    assert_true (lease_leads_tree (&t, a));
    assert_false (lease_leads_tree (&t, b));
    assert_false (lease_leads_tree (&t, idle));
    leases_remove (&t, a);
    assert_true (lease_leads_tree (&t, b));
    leases_clear (&t);
}

static void percent_is_that_of_the_phase_or_what_was_said (void **state)
{
    struct lease_record r = {.phase = 1, .phases = 4, .percent = NAN};
    (void) state;

    assert_true (lease_percent (&r) == 20);
    r.phase = 4;
    assert_true (lease_percent (&r) == 80);
    r.validating = true;
    assert_true (lease_percent (&r) == 90);
    r.phases = 5; // 67, and halfway from there
    assert_true (lease_percent (&r) == 84);
    r.percent = 12.5;
    assert_true (lease_percent (&r) == 12.5);
    r = (struct lease_record){.percent = NAN};
    assert_true (isnan (lease_percent (&r)));
}

/* ---- the window of a session ---- */

static void window_remembers_the_newest_64 (void **state)
{
    struct session s = {0};
    (void) state;

    assert_int_equal (session_seq (&s, 1), SEQ_NEW);
    session_accept (&s, 1);
    session_accept (&s, 3);
    assert_int_equal (session_seq (&s, 1), SEQ_SEEN);
    assert_int_equal (session_seq (&s, 2), SEQ_NEW);
    session_accept (&s, 64);
    assert_int_equal (session_seq (&s, 1), SEQ_SEEN);
    session_accept (&s, 65);
    assert_int_equal (session_seq (&s, 1), SEQ_TOO_OLD);
    assert_int_equal (session_seq (&s, 3), SEQ_SEEN);
    session_forget (&s, 3);
    assert_int_equal (session_seq (&s, 3), SEQ_NEW);
    session_accept (&s, UINT64_MAX);
    assert_int_equal (session_seq (&s, 65), SEQ_TOO_OLD);
    assert_int_equal (session_seq (&s, UINT64_MAX), SEQ_SEEN);
}

static void dropped_requests_are_told_until_acknowledged (void **state)
{
    struct session s = {0};
    struct u64s seqs = {0};
    (void) state;

    for (uint64_t seq = 1; seq <= 5; seq++)
        session_accept (&s, seq);
    session_drop (&s, 2);
    session_drop (&s, 4);
    session_accept (&s, 6);
    session_dropped (&s, &seqs);
    assert_int_equal (seqs.count, 2);
    assert_int_equal (seqs.at[0], 2);
    assert_int_equal (seqs.at[1], 4);
    session_drop_acked (&s, 2);
    session_drop_acked (&s, 1000);
    seqs.count = 0;
    session_dropped (&s, &seqs);
    assert_int_equal (seqs.count, 1);
    session_clear (&s);
}

static void
dropped_requests_are_told_64_at_a_time_and_are_bounded (void **state)
{
    struct session s = {0};
    struct u64s seqs = {0};
    (void) state;

    for (uint64_t seq = 1; seq <= MAX_QUEUED_PROJECT + 5; seq++)
        session_drop (&s, seq);
    for (uint64_t oldest = 6; oldest <= MAX_QUEUED_PROJECT + 5;
         oldest += seqs.count) {
        seqs.count = 0;
        session_dropped (&s, &seqs);
        assert_in_range (seqs.count, 1, TOLD_DROPPED);
        for (uint32_t i = 0; i < seqs.count; i++) {
            assert_int_equal (seqs.at[i], oldest + i);
            session_drop_acked (&s, oldest + i);
        }
    }
    assert_int_equal (s.dropped_count, 0);
    session_clear (&s);
}

static void open_requests_are_as_many_as_may_wait (void **state)
{
    struct session s = {0};
    (void) state;

    for (uint64_t seq = 1; seq <= MAX_QUEUED_PROJECT; seq++) {
        assert_true (session_fits (&s));
        session_open (&s, seq, 7 * seq);
    }
    assert_false (session_fits (&s));
    session_close (&s, 500);
    assert_true (session_fits (&s));
    assert_int_equal (session_number (&s, 500), 0);
    assert_int_equal (session_number (&s, 499), 7 * 499);
    assert_int_equal (session_number (&s, MAX_QUEUED_PROJECT),
                      7 * MAX_QUEUED_PROJECT);
    session_clear (&s);
    assert_int_equal (session_number (&s, 1), 0);
}

/* ---- pools ---- */

static void pace_fills_the_bucket_within_a_second (void **state)
{
    struct settings settings = {.max_slots = 10, .grant_burst = 4};
    struct pools pools = {0};
    struct pool *p = pools_have (&pools, "vm1", &settings, 1000);
    (void) state;

    assert_true (pool_pace (p, 3, 4, 1000));
    pool_spend (p, 3, 4, 1000);
    assert_true (pool_pace (p, 1, 4, 1000));
    assert_false (pool_pace (p, 2, 4, 1000));
    assert_int_equal (p->paced_until, 1250);
    assert_false (pool_pace (p, 2, 4, 1249));
    assert_true (pool_pace (p, 2, 4, 1250));
    assert_true (pool_pace (p, 100, 4, 100000)); // full: made whole
    pool_spend (p, 100, 4, 100000);
    assert_false (pool_pace (p, 1, 4, 124249));
    assert_int_equal (p->paced_until, 124250);
    assert_true (pool_pace (p, 1, 4, 124250));
    assert_true (pool_pace (p, 5, 0, 124250)); // no pace
    pools_clear (&pools);
}

static void pools_are_bounded_and_the_own_host_stays (void **state)
{
    struct settings settings = {.max_slots = 10};
    struct pools pools = {0};
    char host[65];
    (void) state;

    for (unsigned i = 0; i <= MAX_HOSTS; i++) {
        snprintf (host, sizeof host, "vm%u", i);
        assert_non_null (pools_have (&pools, host, &settings, 0));
    }
    assert_true (pools_full (&pools));
    assert_null (pools_have (&pools, "one more", &settings, 0));
    assert_non_null (pools_have (&pools, "vm7", &settings, 0));
    pools.at[9]->in_use = 1;
    for (struct pool *pool; (pool = pools_empty (&pools, 0, 0));)
        pools_remove (&pools, pool);
    assert_int_equal (pools.count, 2);
    assert_string_equal (pools.at[0]->host, "vm0");
    assert_string_equal (pools.at[1]->host, "vm9");
    pools_clear (&pools);
}

/* Who leaves and returns in the same second is not given a second's worth of
 * slots once more. */
static void pool_stays_until_its_pace_is_whole (void **state)
{
    struct settings settings = {.max_slots = 10, .grant_burst = 8};
    struct pools pools = {0};
    struct pool *pool;
    (void) state;

    pools_have (&pools, "vm0", &settings, 0);
    pool = pools_have (&pools, "vm1", &settings, 0);
    pool_spend (pool, 8, 8, 0);
    assert_null (pools_empty (&pools, 8, 999));
    assert_ptr_equal (pools_empty (&pools, 8, 1000), pool);
    pool_spend (pool, 8, 0, 2000); // without a pace there is none to wait for
    assert_ptr_equal (pools_empty (&pools, 0, 2000), pool);
    pools_clear (&pools);
}

/* ---- projects ---- */

static void sweep (struct projects *t)
{
    for (struct project *p; (p = projects_empty (t));)
        projects_remove (t, p);
}

static void configured_projects_stay_and_others_go (void **state)
{
    static struct settings settings = {.max_slots = 10, .max_per_project = 5};
    struct projects t = {0};
    struct project *p;
    (void) state;

    settings_add_project (&settings, "odin")->max = 3;
    projects_configure (&t, &settings);
    p = projects_have (&t, "zeus", &settings);
    assert_int_equal (p->max, 5);
    assert_int_equal (p->priority, 5);
    p->sessions = 1;
    p->queue_number = 41;
    sweep (&t);
    assert_int_equal (t.count, 2);
    p->sessions = 0;
    sweep (&t);
    assert_int_equal (t.count, 1);
    assert_int_equal (projects_find (&t, "odin")->max, 3);
    assert_int_equal (projects_have (&t, "zeus", &settings)->queue_number, 41);
    projects_clear (&t);
}

static void near_miss_is_one_or_two_letters_away (void **state)
{
    static struct settings settings;
    struct projects t = {0};
    (void) state;

    projects_have (&t, "consilio", &settings);
    projects_have (&t, "odin", &settings);
    assert_string_equal (projects_near (&t, "consillio", false), "consilio");
    assert_string_equal (projects_near (&t, "onsili", false), "consilio");
    assert_string_equal (projects_near (&t, "odni", false), "odin");
    assert_null (projects_near (&t, "consilio-two", false));
    assert_null (projects_near (&t, "abc", false));
    assert_null (projects_near (&t, "odni", true)); // nobody configured it
    projects_clear (&t);
}

/* ---- kills ---- */

static void only_the_newest_kills_are_remembered (void **state)
{
    struct kills k = {0};
    struct leases t = {0};
    struct lease *l = add (&t, 1, 5);
    (void) state;

    for (uint64_t id = 1; id <= KEPT_KILLS + 1; id++)
        kill_target (kills_add (&k, id), &t, l);
    assert_null (kills_find (&k, 1));
    assert_int_equal (kills_find (&k, 2)->count, 1);
    kills_clear (&k);
    assert_null (kills_find (&k, 2));
    leases_clear (&t);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (leases_of_a_session_are_found_in_order_of_token),
        cmocka_unit_test (one_slot_stands_for_a_tree_of_several),
        cmocka_unit_test (percent_is_that_of_the_phase_or_what_was_said),
        cmocka_unit_test (window_remembers_the_newest_64),
        cmocka_unit_test (dropped_requests_are_told_until_acknowledged),
        cmocka_unit_test (
            dropped_requests_are_told_64_at_a_time_and_are_bounded),
        cmocka_unit_test (open_requests_are_as_many_as_may_wait),
        cmocka_unit_test (pace_fills_the_bucket_within_a_second),
        cmocka_unit_test (pools_are_bounded_and_the_own_host_stays),
        cmocka_unit_test (pool_stays_until_its_pace_is_whole),
        cmocka_unit_test (configured_projects_stay_and_others_go),
        cmocka_unit_test (near_miss_is_one_or_two_letters_away),
        cmocka_unit_test (only_the_newest_kills_are_remembered),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
