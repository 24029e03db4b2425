/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "guests.h"

enum { RATE = 100, BURST = 2 * RATE, NOW = 5000 };

static const uint64_t key[2] = {11, 12};
static struct guests *g;

static int set_up (void **state)
{
    (void) state;
    g = guests_create (key, RATE);
    return 0;
}

static int tear_down (void **state)
{
    (void) state;
    guests_destroy (g);
    return 0;
}

static enum admission say (const char *who, int64_t now)
{
    return guests_admit (g, who, strlen (who), false, now);
}

static enum admission beat (const char *who, int64_t now)
{
    return guests_admit (g, who, strlen (who), true, now);
}

/* How many of that many messages get in. */
static unsigned flood (const char *who, unsigned count, int64_t now)
{
    unsigned admitted = 0;

    for (unsigned i = 0; i < count; i++)
        admitted += say (who, now) == ADMIT;
    return admitted;
}

static bool malformed (const char *who, int64_t now)
{
    return guests_malformed (g, who, strlen (who), now);
}

static bool muted (const char *who, int64_t now)
{
    return guests_muted (g, who, strlen (who), now);
}

/* ---- too much ---- */

static void twice_the_rate_gets_in_at_once (void **state)
{
    (void) state;
    assert_int_equal (flood ("a", BURST + 50, NOW), BURST);
    assert_int_equal (flood ("b", BURST + 50, NOW), BURST); // each by itself
}

static void then_so_many_as_the_rate_allows (void **state)
{
    (void) state;
    flood ("a", BURST, NOW);
    assert_int_equal (flood ("a", 50, NOW + 9), 0);
    assert_int_equal (flood ("a", 50, NOW + 10), 1);
    assert_int_equal (flood ("a", BURST, NOW + 1010), RATE);
    assert_int_equal (flood ("a", BURST + 50, NOW + 3600000), BURST);
}

static void who_keeps_to_the_rate_is_never_refused (void **state)
{
    (void) state;
    for (int64_t now = NOW; now < NOW + 100000; now += 1000 / RATE)
        assert_int_equal (say ("a", now), ADMIT);
    assert_int_equal (flood ("a", BURST, NOW + 100000), BURST);
}

static void what_is_too_much_is_answered_once_a_second (void **state)
{
    (void) state;
    flood ("a", BURST, NOW);
    assert_int_equal (say ("a", NOW), REFUSE);
    assert_int_equal (say ("a", NOW), DROP);
    assert_int_equal (flood ("a", 10 * BURST, NOW + 999), 99);
    assert_int_equal (say ("a", NOW + 999), DROP);
    flood ("a", 1, NOW + 1000); // the last part of a message
    assert_int_equal (say ("a", NOW + 1000), REFUSE);
    assert_int_equal (say ("a", NOW + 1000), DROP);
}

static void beats_get_in_when_nothing_else_does (void **state)
{
    (void) state;
    flood ("a", 3 * BURST, NOW);
    for (unsigned i = 0; i < GUESTS_BEAT_DEBT; i++)
        assert_int_equal (beat ("a", NOW), ADMIT);
    assert_int_not_equal (beat ("a", NOW), ADMIT);
    assert_int_equal (beat ("a", NOW + 10), ADMIT);
}

static void debt_of_beats_is_paid_before_anything_else_gets_in (void **state)
{
    (void) state;
    flood ("a", BURST, NOW);
    beat ("a", NOW);
    beat ("a", NOW);
    assert_int_equal (flood ("a", 5, NOW + 20), 0);
    assert_int_equal (flood ("a", 5, NOW + 30), 1);
}

static void no_flood_of_other_messages_costs_a_beat (void **state)
{
    (void) state;
    for (int64_t now = NOW; now < NOW + 60000; now += 50) {
        flood ("a", BURST, now);
        assert_int_equal (beat ("a", now), ADMIT);
    }
}

static void another_rate_holds_at_once (void **state)
{
    (void) state;
    flood ("a", BURST, NOW);
    guests_set_rate (g, 1000);
    assert_int_equal (guests_rate (g), 1000);
    assert_int_equal (flood ("a", 5000, NOW), 2000 - BURST);
    guests_set_rate (g, 10);
    assert_int_equal (flood ("a", 5000, NOW + 1000), 0);
    assert_int_equal (flood ("a", 5000, NOW + 60000), 20);
}

/* ---- no messages at all ---- */

static void tenth_within_a_minute_mutes_for_a_minute (void **state)
{
    (void) state;
    for (unsigned i = 0; i < 9; i++)
        assert_false (malformed ("a", NOW + i * 6000));
    assert_false (muted ("a", NOW + 59999));
    assert_true (malformed ("a", NOW + 59999));
    assert_true (muted ("a", NOW + 59999));
    assert_false (muted ("b", NOW + 59999));
    assert_true (muted ("a", NOW + 119998));
    assert_false (muted ("a", NOW + 119999));
}

static void nine_and_one_later_do_not (void **state)
{
    (void) state;
    for (unsigned i = 0; i < 9; i++)
        assert_false (malformed ("a", NOW));
    assert_false (malformed ("a", NOW + 60000));
    assert_false (muted ("a", NOW + 60000));
}

static void any_ten_within_a_minute_count_wherever_it_begins (void **state)
{
    (void) state;
    for (unsigned i = 0; i < 5; i++)
        assert_false (malformed ("a", NOW));
    for (unsigned i = 0; i < 9; i++)
        assert_false (malformed ("a", NOW + 55000 + i * 1000 + 5000));
    assert_true (malformed ("a", NOW + 70000));
}

static void who_was_muted_begins_anew (void **state)
{
    (void) state;
    for (unsigned i = 0; i < 10; i++)
        malformed ("a", NOW);
    for (unsigned i = 0; i < 9; i++)
        assert_false (malformed ("a", NOW + 60000));
    assert_false (muted ("a", NOW + 60000));
    assert_true (malformed ("a", NOW + 60000));
}

/* ---- whose ---- */

static void ids_of_every_length_are_told_apart (void **state)
{
    uint8_t id[255];

    (void) state;
    memset (id, 'x', sizeof id);
    for (size_t size = 1; size <= sizeof id; size++) {
        for (unsigned i = 0; i < BURST; i++)
            assert_int_equal (guests_admit (g, id, size, false, NOW), ADMIT);
        assert_int_equal (guests_admit (g, id, size, false, NOW), REFUSE);
        id[size - 1] = 'y'; // another, also in its last byte
        assert_int_equal (guests_admit (g, id, size, false, NOW), ADMIT);
        id[size - 1] = 'x';
    }
}

static enum admission say_as (uint32_t number, int64_t now)
{
    return guests_admit (g, &number, sizeof number, false, now);
}

static void going_through_ids_gets_no_more_in_than_all_places_let_in (void **s)
{
    const unsigned most = GUESTS_PLACES * BURST;
    unsigned admitted = 0;

    (void) s;
    for (uint32_t i = 0; i < 2 * most; i++)
        admitted += say_as (i, NOW) == ADMIT;
    assert_true (admitted <= most);
    assert_true (admitted >= GUESTS_PLACES); // each let in its first
}

static void who_speaks_keeps_its_place_while_others_come_and_go (void **state)
{
    (void) state;
    for (unsigned i = 0; i < 10; i++)
        malformed ("a", NOW);
    for (uint32_t i = 0; i < 50 * GUESTS_PLACES; i++) {
        int64_t now = NOW + i / GUESTS_PLACES * 1000;

        say_as (i, now);
        if (i % 64 == 0)
            assert_true (muted ("a", now + 1)); // spoke later than they
    }
}

static void newcomer_is_neither_muted_nor_without_an_answer (void **state)
{
    bool refused = false;

    (void) state;
    for (uint32_t i = 0; i < GUESTS_PLACES * 4; i++)
        for (unsigned k = 0; k < 10; k++)
            guests_malformed (g, &i, sizeof i, NOW);
    for (uint32_t i = 0; i < GUESTS_PLACES * 4; i++) {
        uint32_t other = ~i;

        assert_false (guests_muted (g, &other, sizeof other, NOW));
    }
    for (uint32_t i = 0; !refused && i < 2 * GUESTS_PLACES * BURST; i++) {
        enum admission a = say_as (i, NOW);

        assert_int_not_equal (a, DROP);
        refused = a == REFUSE;
    }
    assert_true (refused);
}

#define guest_test(f) cmocka_unit_test_setup_teardown (f, set_up, tear_down)

int main (void)
{
    const struct CMUnitTest tests[] = {
        guest_test (twice_the_rate_gets_in_at_once),
        guest_test (then_so_many_as_the_rate_allows),
        guest_test (who_keeps_to_the_rate_is_never_refused),
        guest_test (what_is_too_much_is_answered_once_a_second),
        guest_test (beats_get_in_when_nothing_else_does),
        guest_test (debt_of_beats_is_paid_before_anything_else_gets_in),
        guest_test (no_flood_of_other_messages_costs_a_beat),
        guest_test (another_rate_holds_at_once),
        guest_test (tenth_within_a_minute_mutes_for_a_minute),
        guest_test (nine_and_one_later_do_not),
        guest_test (any_ten_within_a_minute_count_wherever_it_begins),
        guest_test (who_was_muted_begins_anew),
        guest_test (ids_of_every_length_are_told_apart),
        guest_test (going_through_ids_gets_no_more_in_than_all_places_let_in),
        guest_test (who_speaks_keeps_its_place_while_others_come_and_go),
        guest_test (newcomer_is_neither_muted_nor_without_an_answer),
    };

    return cmocka_run_group_tests (tests, NULL, NULL);
}
