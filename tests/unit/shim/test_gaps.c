/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "commands/gaps.h"

static struct gaps *gaps;
static uint64_t missing;

static int begin (void **state)
{
    (void) state;
    gaps = gaps_create ();
    return 0;
}

static int end (void **state)
{
    (void) state;
    gaps_destroy (gaps);
    return 0;
}

/* Of epoch 1; not the last of its topic. */
static enum news note (const char *topic, uint64_t number)
{
    return gaps_note (gaps, topic, 1, number, false, &missing);
}

static void numbers_in_order_are_no_gap (void **state)
{
    (void) state;
    assert_int_equal (note ("health.a", 7), NEWS_FIRST);
    assert_int_equal (note ("health.a", 8), NEWS_NEXT);
    assert_int_equal (note ("health.a", 9), NEWS_NEXT);
    assert_int_equal (missing, 0);
}

static void the_same_number_is_a_repetition (void **state)
{
    (void) state;
    note ("pool.a", 1);
    assert_int_equal (note ("pool.a", 1), NEWS_REPEATED);
    assert_int_equal (note ("pool.a", 1), NEWS_REPEATED);
    assert_int_equal (note ("pool.a", 2), NEWS_NEXT);
}

static void a_jump_says_how_many_are_lost (void **state)
{
    (void) state;
    note ("health.a", 11);
    assert_int_equal (note ("health.a", 15), NEWS_GAP);
    assert_int_equal (missing, 3);
    assert_int_equal (note ("health.a", 15), NEWS_REPEATED);
    assert_int_equal (missing, 0);
    assert_int_equal (note ("health.a", 17), NEWS_GAP);
    assert_int_equal (missing, 1);
    assert_int_equal (note ("health.a", INT64_MAX), NEWS_GAP);
    assert_true (missing == (uint64_t) INT64_MAX - 18);
}

static void topics_count_apart (void **state)
{
    (void) state;
    note ("lease.a", 1);
    assert_int_equal (note ("lease.ab", 5), NEWS_FIRST);
    assert_int_equal (note ("lease.a", 2), NEWS_NEXT);
    assert_int_equal (note ("lease.ab", 6), NEWS_NEXT);
}

static void a_new_epoch_begins_anew_with_any_number (void **state)
{
    (void) state;
    note ("broker", 40);
    assert_int_equal (gaps_note (gaps, "broker", 2, 3, false, &missing),
                      NEWS_NEW_EPOCH);
    assert_int_equal (missing, 0);
    assert_int_equal (gaps_note (gaps, "broker", 2, 5, false, &missing),
                      NEWS_GAP);
    // so do another broker's epoch, and one whose numbers go back
    assert_int_equal (gaps_note (gaps, "broker", 1, 5, false, &missing),
                      NEWS_NEW_EPOCH);
    assert_int_equal (note ("broker", 4), NEWS_NEW_EPOCH);
}

static void a_topic_that_ended_begins_with_any_number (void **state)
{
    (void) state;
    note ("pool.a", 3);
    assert_int_equal (gaps_note (gaps, "pool.a", 1, 4, true, &missing),
                      NEWS_NEXT);
    assert_int_equal (gaps_note (gaps, "pool.a", 1, 4, true, &missing),
                      NEWS_REPEATED);
    assert_int_equal (note ("pool.a", 90), NEWS_FIRST);
    assert_int_equal (missing, 0);
    assert_int_equal (note ("pool.a", 92), NEWS_GAP);
    // its end may be what was lost
    assert_int_equal (gaps_note (gaps, "pool.a", 1, 95, true, &missing),
                      NEWS_GAP);
    assert_int_equal (missing, 2);
}

static void of_too_many_topics_the_oldest_is_forgotten (void **state)
{
    char name[32];

    (void) state;
    for (int i = 0; i < GAPS_TOPICS; i++) {
        snprintf (name, sizeof name, "lease.%d", i);
        assert_int_equal (note (name, 1), NEWS_FIRST);
    }
    assert_int_equal (note ("lease.0", 2), NEWS_NEXT); // heard of again
    assert_int_equal (note ("one.more", 1), NEWS_FIRST);
    assert_int_equal (note ("lease.0", 4), NEWS_GAP);
    assert_int_equal (note ("lease.2", 1), NEWS_REPEATED);
    assert_int_equal (note ("lease.1", 9), NEWS_FIRST);
}

#define WITH_GAPS(f) cmocka_unit_test_setup_teardown (f, begin, end)

int main (void)
{
    const struct CMUnitTest tests[] = {
        WITH_GAPS (numbers_in_order_are_no_gap),
        WITH_GAPS (the_same_number_is_a_repetition),
        WITH_GAPS (a_jump_says_how_many_are_lost),
        WITH_GAPS (topics_count_apart),
        WITH_GAPS (a_new_epoch_begins_anew_with_any_number),
        WITH_GAPS (a_topic_that_ended_begins_with_any_number),
        WITH_GAPS (of_too_many_topics_the_oldest_is_forgotten),
    };

    return cmocka_run_group_tests (tests, NULL, NULL);
}
