/* SPDX-License-Identifier: MPL-2.0 */
/* What trees take: when they are measured, and what the broker hears of it. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "stage.h"

enum { ANN = 11, EVERY = 700, BIG = 1 << 30 };

/* LIVE at 0, told to measure every EVERY ms. */
static int setup (void **state)
{
    struct stage *st;

    if (stage_setup (state))
        return -1;
    st = *state;
    stage_turn (st);
    stage_prepare_welcome (st)->sample_ms = EVERY;
    stage_hear (st);
    stage_beat_ok (st, 1);
    return 0;
}

static void tell_measured (struct stage *st, uint64_t token, uint64_t bytes,
                           uint64_t cpu_ms, unsigned running)
{
    struct measured m = {bytes, cpu_ms, running};

    actions_clear (st->out);
    shim_on_measured (st->shim, token, &m, st->now);
    stage_turn (st);
}

/* So many turns, each as soon as it is due; how often trees were measured. */
static unsigned measured_within (struct stage *st, int64_t ms)
{
    int64_t end = st->now + ms;
    unsigned count = 0;

    for (;;) {
        int64_t next = shim_next_deadline (st->shim, st->now);

        if (next > end)
            break;
        stage_wait (st, next > st->now ? next - st->now : 0);
        count += stage_count (st, ACT_MEASURE);
    }
    st->now = end;
    return count;
}

static void tree_is_measured_every_sample_ms_and_only_while_it_runs (void **s)
{
    struct stage *st = *s;

    assert_int_equal (measured_within (st, 10 * EVERY), 0); // nothing runs
    stage_start (st, 1, ANN, 40, 1);
    assert_in_range (measured_within (st, 10 * EVERY), 9, 11);
    stage_keeper (st, 1, KEEPER_REAPED, 40, 0);
    assert_int_equal (measured_within (st, 10 * EVERY), 0);
}

static void broker_that_names_no_interval_wants_no_footprint (void **s)
{
    struct stage *st = *s; // LIVE by a WELCOME without one

    stage_start (st, 1, ANN, 40, 1);
    assert_int_equal (measured_within (st, 10 * EVERY), 0);
}

static const struct action *measure (struct stage *st)
{
    while (!stage_find (st, ACT_MEASURE))
        stage_wait (st, EVERY);
    return stage_find (st, ACT_MEASURE);
}

static void what_was_measured_is_told_once_by_the_first_token (void **s)
{
    struct stage *st = *s;
    const struct msg_footprints *said;

    stage_start (st, 1, ANN, 40, 3); // one tree of three slots
    assert_int_equal (measure (st)->token, 40);
    assert_int_equal (measure (st)->keeper, 1);
    assert_int_equal (stage_count (st, ACT_MEASURE), 1);
    tell_measured (st, 40, BIG, 1500, 4);
    said = stage_sent (st, VERB_FOOTPRINT);
    assert_non_null (said);
    assert_int_equal (said->session, SESSION);
    assert_int_equal (said->trees_count, 1);
    assert_int_equal (said->trees[0].token, 40);
    assert_int_equal (said->trees[0].memory_bytes, BIG);
    assert_int_equal (said->trees[0].cpu_ms, 1500);
    assert_int_equal (said->trees[0].running, 4);
    stage_turn (st);
    assert_null (stage_sent (st, VERB_FOOTPRINT));
}

static void processor_time_never_falls_though_processes_do (void **s)
{
    struct stage *st = *s;
    const struct msg_footprints *said;

    stage_start (st, 1, ANN, 40, 1);
    measure (st);
    tell_measured (st, 40, BIG, 9000, 1);
    tell_measured (st, 40, 5, 700, 0); // who had it was reaped by nobody
    said = stage_sent (st, VERB_FOOTPRINT);
    assert_int_equal (said->trees[0].cpu_ms, 9000);
    assert_int_equal (said->trees[0].memory_bytes, 5);
}

static void many_trees_are_measured_a_few_in_a_turn (void **s)
{
    struct stage *st = *s;
    unsigned turns = 0, all = 0;

    for (uint64_t i = 0; i < 40; i++)
        stage_start (st, 1 + i, ANN, 100 + i, 1);
    measured_within (st, 3 * EVERY);
    stage_wait (st, EVERY);
    while (stage_find (st, ACT_MEASURE)) {
        assert_in_range (stage_count (st, ACT_MEASURE), 1, 16);
        all += stage_count (st, ACT_MEASURE);
        turns++;
        assert_true (all == 40 ||
                     shim_next_deadline (st->shim, st->now) <= st->now);
        stage_turn (st);
    }
    assert_int_equal (all, 40);
    assert_int_equal (turns, 3);
}

static void tree_that_is_gone_meanwhile_is_not_told_of (void **s)
{
    struct stage *st = *s;

    stage_start (st, 1, ANN, 40, 1);
    measure (st);
    stage_keeper (st, 1, KEEPER_REAPED, 40, 0);
    tell_measured (st, 40, BIG, 1, 1);
    tell_measured (st, 4711, BIG, 1, 1); // nor one that never was
    assert_null (stage_sent (st, VERB_FOOTPRINT));
}

static void numbers_beyond_the_wire_are_cut (void **s)
{
    struct stage *st = *s;
    const struct msg_footprints *said;

    stage_start (st, 1, ANN, 40, 1);
    measure (st);
    tell_measured (st, 40, UINT64_MAX, UINT64_MAX, UINT32_MAX);
    said = stage_sent (st, VERB_FOOTPRINT);
    assert_true (said->trees[0].memory_bytes == INT64_MAX);
    assert_true (said->trees[0].cpu_ms == INT64_MAX);
    assert_int_equal (said->trees[0].running, INT32_MAX);
}

#define TEST(name) cmocka_unit_test_setup_teardown (name, setup, stage_teardown)
#define LIVE(name)                                                             \
    cmocka_unit_test_setup_teardown (name, stage_setup_live, stage_teardown)

int main (void)
{
    const struct CMUnitTest tests[] = {
        TEST (tree_is_measured_every_sample_ms_and_only_while_it_runs),
        LIVE (broker_that_names_no_interval_wants_no_footprint),
        TEST (what_was_measured_is_told_once_by_the_first_token),
        TEST (processor_time_never_falls_though_processes_do),
        TEST (many_trees_are_measured_a_few_in_a_turn),
        TEST (tree_that_is_gone_meanwhile_is_not_told_of),
        TEST (numbers_beyond_the_wire_are_cut),
    };

    return cmocka_run_group_tests (tests, NULL, NULL);
}
