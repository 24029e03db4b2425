/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/backoff.h"

static void steps_double_up_to_the_limit (void **s)
{
    const int64_t want[] = {100, 200, 400, 800, 1000, 1000, 1000};
    struct backoff b;
    (void) s;

    backoff_init (&b, 100, 1000);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        assert_int_equal (backoff_next (&b, 0), want[i]);
}

static void chance_shortens_a_step_by_a_quarter_at_most (void **s)
{
    struct backoff b;
    int64_t least = INT64_MAX, most = 0;
    (void) s;

    for (uint64_t random = 0; random < 1000; random++) {
        int64_t ms;

        backoff_init (&b, 100, 1000);
        ms = backoff_next (&b, random);
        least = ms < least ? ms : least;
        most = ms > most ? ms : most;
    }
    assert_int_equal (least, 75);
    assert_int_equal (most, 100);
}

static void absurd_values_still_wait (void **s)
{
    struct backoff b;
    (void) s;

    backoff_init (&b, 0, -5);
    for (int i = 0; i < 100; i++)
        assert_int_equal (backoff_next (&b, UINT64_MAX), 1);
    backoff_init (&b, INT64_MAX / 2, INT64_MAX);
    for (int i = 0; i < 100; i++)
        assert_true (backoff_next (&b, UINT64_MAX) > 0);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (steps_double_up_to_the_limit),
        cmocka_unit_test (chance_shortens_a_step_by_a_quarter_at_most),
        cmocka_unit_test (absurd_values_still_wait),
    };

    return cmocka_run_group_tests_name ("backoff", tests, NULL, NULL);
}
