/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "core/holdings.h"

static const struct who ada = {50, 5}, bob = {51, 5};

static int setup (void **state)
{
    *state = calloc (1, sizeof (struct holdings));
    return *state ? 0 : -1;
}

static int teardown (void **state)
{
    free (*state);
    return 0;
}

static void slot_is_found_by_its_token_until_it_is_removed (void **s)
{
    struct holdings *h = *s;

    assert_null (holdings_find (h, 7));
    assert_null (holdings_find (h, 0));
    holdings_add (h, 7, SLOT_IDLE, ada);
    assert_int_equal (holdings_find (h, 7)->state, SLOT_IDLE);
    assert_null (holdings_find (h, 0));
    holdings_close (h, 7);
    assert_null (holdings_find (h, 7));
    assert_int_equal (h->count, 0);
    holdings_close (h, 7); // once more is no matter
    assert_int_equal (h->count, 0);
}

static void closed_token_is_remembered_and_a_dropped_one_is_not (void **s)
{
    struct holdings *h = *s;

    holdings_add (h, 7, SLOT_IDLE, ada);
    holdings_add (h, 8, SLOT_IDLE, ada);
    assert_true (holdings_knew (h, 7));
    holdings_close (h, 7);
    holdings_drop (h, 8);
    assert_true (holdings_knew (h, 7));
    assert_false (holdings_knew (h, 8));
    assert_false (holdings_knew (h, 9));
    for (uint64_t token = 100; token < 100 + MAX_CLOSED; token++)
        holdings_close (h, token);
    assert_false (holdings_knew (h, 7)); // but not for ever
    assert_true (holdings_knew (h, 100));
}

static void full_table_takes_no_more (void **s)
{
    struct holdings *h = *s;

    for (uint64_t token = 1; token <= MAX_ENTRIES; token++)
        assert_non_null (holdings_add (h, token, SLOT_IDLE, ada));
    assert_null (holdings_add (h, 9999, SLOT_IDLE, ada));
    holdings_close (h, 5);
    assert_non_null (holdings_add (h, 9999, SLOT_IDLE, ada));
    assert_int_equal (h->count, MAX_ENTRIES);
}

static void slots_may_be_removed_while_they_are_looked_through (void **s)
{
    struct holdings *h = *s;
    unsigned seen = 0;

    for (uint64_t token = 1; token <= 9; token++)
        holdings_add (h, token, SLOT_IDLE, ada);
    for (struct slot *at = NULL; (at = holdings_next (h, at));) {
        seen++;
        holdings_drop (h, at->token);
    }
    assert_int_equal (seen, 9);
    assert_int_equal (h->count, 0);
    assert_null (holdings_next (h, NULL));
}

static void newest_is_of_that_supervisor_and_state (void **s)
{
    struct holdings *h = *s;

    holdings_add (h, 3, SLOT_IDLE, ada);
    holdings_add (h, 9, SLOT_BOUND, ada);
    holdings_add (h, 5, SLOT_IDLE, ada);
    holdings_add (h, 8, SLOT_IDLE, bob);
    assert_int_equal (holdings_newest (h, ada, SLOT_IDLE, UINT64_MAX)->token,
                      5);
    assert_int_equal (holdings_newest (h, ada, SLOT_IDLE, 5)->token, 3);
    assert_null (holdings_newest (h, ada, SLOT_IDLE, 3));
    assert_int_equal (holdings_count (h, ada, SLOT_IDLE), 2);
    assert_int_equal (holdings_held (h, ada), 3);
}

static void process_with_the_same_pid_is_another_supervisor (void **s)
{
    struct holdings *h = *s;
    const struct who later = {50, 6};

    holdings_add (h, 3, SLOT_IDLE, ada);
    assert_null (holdings_newest (h, later, SLOT_IDLE, UINT64_MAX));
    assert_int_equal (holdings_held (h, later), 0);
}

static void beat_names_what_is_ours_and_not_given_back (void **s)
{
    struct holdings *h = *s;
    struct u64s named, running;

    for (uint64_t state = SLOT_IDLE; state <= SLOT_LEFTOVER; state++)
        holdings_add (h, state, (enum slot_state) state, ada);
    holdings_add (h, 100, SLOT_TAKEN, ada)->lost = true;
    holdings_named (h, &named);
    assert_int_equal (named.count, 4);
    assert_true (u64s_has (&named, SLOT_IDLE));
    assert_true (u64s_has (&named, SLOT_BOUND));
    assert_true (u64s_has (&named, SLOT_TAKEN));
    assert_true (u64s_has (&named, SLOT_KEPT));
    holdings_running (h, &running);
    assert_int_equal (running.count, 1);
    assert_int_equal (running.at[0], 100);
}

static void
what_counts_for_a_supervisor_is_all_but_what_is_given_back (void **s)
{
    struct holdings *h = *s;

    for (uint64_t state = SLOT_IDLE; state <= SLOT_LEFTOVER; state++)
        holdings_add (h, state, (enum slot_state) state, ada);
    assert_int_equal (holdings_held (h, ada), 6);
    assert_true (holdings_any (h, SLOT_LEFTOVER));
    holdings_drop (h, SLOT_LEFTOVER);
    assert_false (holdings_any (h, SLOT_LEFTOVER));
}

static void slots_of_a_tree_are_those_it_has_taken (void **s)
{
    struct holdings *h = *s;
    struct slot *slot;

    holdings_add (h, 3, SLOT_TAKEN, ada)->tree = 3;
    holdings_add (h, 4, SLOT_TAKEN, ada)->tree = 4;
    holdings_add (h, 5, SLOT_TAKEN, ada)->tree = 3;
    holdings_add (h, 6, SLOT_REAPED, ada)->tree = 3;
    slot = holdings_next_of (h, 3, NULL);
    assert_int_equal (slot->token, 3);
    slot = holdings_next_of (h, 3, slot);
    assert_int_equal (slot->token, 5);
    assert_null (holdings_next_of (h, 3, slot));
}

#define TEST(name) cmocka_unit_test_setup_teardown (name, setup, teardown)

int main (void)
{
    const struct CMUnitTest tests[] = {
        TEST (slot_is_found_by_its_token_until_it_is_removed),
        TEST (closed_token_is_remembered_and_a_dropped_one_is_not),
        TEST (full_table_takes_no_more),
        TEST (slots_may_be_removed_while_they_are_looked_through),
        TEST (newest_is_of_that_supervisor_and_state),
        TEST (process_with_the_same_pid_is_another_supervisor),
        TEST (beat_names_what_is_ours_and_not_given_back),
        TEST (what_counts_for_a_supervisor_is_all_but_what_is_given_back),
        TEST (slots_of_a_tree_are_those_it_has_taken),
    };

    return cmocka_run_group_tests_name ("holdings", tests, NULL, NULL);
}
