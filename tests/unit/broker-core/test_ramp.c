/* SPDX-License-Identifier: MPL-2.0 */
/* What has just started counts as load until it can be seen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/ramp.h"

static void what_ran_before_is_no_gain (void **state)
{
    struct ramp r = {0};
    (void) state;

    ramp_note (&r, 5, 123456);
    assert_int_equal (ramp_credit (&r), 0);
    ramp_note (&r, 5, 123456 + 60000);
    assert_int_equal (ramp_credit (&r), 0);
}

static void what_started_counts_until_its_time_is_over (void **state)
{
    struct ramp r = {0};
    (void) state;

    ramp_note (&r, 2, 10000);
    ramp_note (&r, 6, 10500);
    assert_int_equal (ramp_credit (&r), 4);
    ramp_note (&r, 6, 10500 + RAMP_MS - 1000);
    assert_int_equal (ramp_credit (&r), 4);
    ramp_note (&r, 6, 10500 + RAMP_MS);
    assert_int_equal (ramp_credit (&r), 0);
}

static void who_takes_anothers_place_adds_nothing (void **state)
{
    struct ramp r = {0};
    (void) state;

    ramp_note (&r, 5, 10000);
    for (int64_t now = 11000; now < 60000; now += 500)
        ramp_note (&r, 5, now);
    assert_int_equal (ramp_credit (&r), 0);
    ramp_note (&r, 4, 60100);
    assert_int_equal (ramp_credit (&r), 0);
}

/* A naive copy: all notes, and the least within the window. */
static void it_is_that_of_a_recount (void **state)
{
    enum { NOTES = 3000 };
    static int64_t at[NOTES];
    static unsigned use[NOTES];
    struct ramp r = {0};
    int64_t now = 5000;
    unsigned seed = 7;
    (void) state;

    for (unsigned n = 0; n < NOTES; n++) {
        unsigned least;
        int64_t first;

        seed = seed * 1664525u + 1013904223u;
        now += seed >> 20 & (seed & 8 ? 0x1ff : 0xfff);
        at[n] = now;
        use[n] = seed >> 8 & 15;
        ramp_note (&r, use[n], now);
        least = use[n];
        first = now / 1000 - RAMP_MS / 1000 + 1;
        for (unsigned k = n; k-- > 0;) {
            least = use[k] < least ? use[k] : least;
            if (at[k] / 1000 < first)
                break; // as it was when the window began
        }
        assert_int_equal (ramp_credit (&r), use[n] - least);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (what_ran_before_is_no_gain),
        cmocka_unit_test (what_started_counts_until_its_time_is_over),
        cmocka_unit_test (who_takes_anothers_place_adds_nothing),
        cmocka_unit_test (it_is_that_of_a_recount),
    };

    return cmocka_run_group_tests_name ("ramp", tests, NULL, NULL);
}
