/* SPDX-License-Identifier: MPL-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "core/settings.h"

static const uint64_t GB = (uint64_t) 1 << 30;

static struct settings s;

static int defaults (void **state)
{
    (void) state;
    settings_default (&s, 8, 16 * GB);
    return 0;
}

static void advice_is_the_lower_bound_of_each_row (void **state)
{
    (void) state;
    assert_int_equal (settings_advise (2, 4 * GB), 5);
    assert_int_equal (settings_advise (4, 8 * GB), 10);
    assert_int_equal (settings_advise (8, 16 * GB), 20);
    assert_int_equal (settings_advise (16, 32 * GB), 40);
}

static void advice_follows_the_scarcer_of_cores_and_memory (void **state)
{
    (void) state;
    assert_int_equal (settings_advise (2, 64 * GB), 5);
    assert_int_equal (settings_advise (64, 8 * GB), 10);
    assert_int_equal (settings_advise (1, GB / 2), 1);
    assert_int_equal (settings_advise (0, 0), 1);
    assert_int_equal (settings_advise (1000, 4000 * GB), 50);
    assert_int_equal (settings_advise (UINT32_MAX, UINT64_MAX), 50);
}

static void memory_that_the_kernel_keeps_counts_as_installed (void **state)
{
    (void) state;
    assert_int_equal (settings_advise (8, 15 * GB + 600000000), 20);
}

static void defaults_hold_together (void **state)
{
    (void) state;
    assert_null (settings_check (&s));
    assert_int_equal (s.max_slots, 20);
    assert_int_equal (s.max_per_project, 10);
    assert_int_equal (s.auto_max, 20);
    assert_true (s.limits.load_average == 16.0);
    settings_default (&s, 1, 0);
    assert_null (settings_check (&s));
    assert_int_equal (s.max_per_project, 1);
}

static void ttl_has_room_for_beats_and_a_kill (void **state)
{
    (void) state;
    s.timing.ttl = 4 * 5000 + 10000 + 5000 + 2000;
    assert_null (settings_check (&s));
    s.timing.ttl--;
    assert_non_null (strstr (settings_check (&s), "timing: ttl"));
}

static void lock_delay_covers_drift_and_a_beat (void **state)
{
    (void) state;
    s.timing.lock_delay = 7000;
    assert_null (settings_check (&s));
    s.timing.lock_delay--;
    assert_non_null (strstr (settings_check (&s), "timing: lock_delay"));
}

static void critical_is_not_below_degraded_unless_one_is_off (void **state)
{
    (void) state;
    s.limits.critical_memory_percent = 80;
    assert_non_null (strstr (settings_check (&s), "vm_limits"));
    s.limits.memory_percent = NAN;
    assert_null (settings_check (&s));
    s.limits.critical_disk_percent = 89;
    assert_non_null (strstr (settings_check (&s), "disk"));
}

static void guarantees_fit_into_pool_and_cap (void **state)
{
    (void) state;
    settings_add_project (&s, "a")->guarantee = 10;
    settings_add_project (&s, "b")->guarantee = 10;
    assert_null (settings_check (&s));
    settings_add_project (&s, "c")->guarantee = 1;
    assert_non_null (strstr (settings_check (&s), "together"));
    settings_add_project (&s, "b")->max = 9;
    assert_non_null (strstr (settings_check (&s), "a guarantee is above"));
}

static void floor_above_the_pool_is_refused (void **state)
{
    (void) state;
    s.floor = 21;
    assert_non_null (strstr (settings_check (&s), "floor"));
}

static void new_maximum_moves_what_is_auto (void **state)
{
    (void) state;
    settings_set_max (&s, 31);
    assert_int_equal (s.max_per_project, 16);
    assert_int_equal (s.auto_max, 31);
    s.max_per_project_auto = s.auto_max_auto = false;
    settings_set_max (&s, 40);
    assert_int_equal (s.max_per_project, 16);
    assert_int_equal (s.auto_max, 40);
    settings_set_max (&s, 10);
    assert_int_equal (s.auto_max, 40);
}

static void timing_is_told_as_what_it_means (void **state)
{
    char text[256];

    (void) state;
    assert_string_equal (
        settings_describe (&s, text, sizeof text),
        "remote agents untouched through an outage of 38 s, a lost remote "
        "host's slots back within 76 s, clock rates may differ by 1.29");
    s.timing.ttl = 1050;
    s.timing.beat = 50;
    s.timing.grace = s.timing.kill_confirm = 200;
    s.timing.drift = 50;
    s.timing.lock_delay = 100;
    assert_non_null (
        strstr (settings_describe (&s, text, sizeof text), "outage of 0.55 s"));
}

static void projects_are_found_by_key_and_made_once (void **state)
{
    char name[16];

    (void) state;
    assert_null (settings_find_project (&s, "odin"));
    settings_add_project (&s, "odin")->max = 3;
    assert_int_equal (settings_find_project (&s, "odin")->max, 3);
    assert_int_equal (settings_find_project (&s, "odin")->priority, 5);
    assert_int_equal (settings_add_project (&s, "odin")->max, 3);
    for (int i = 1; i < MAX_PROJECTS; i++) {
        snprintf (name, sizeof name, "p%d", i);
        assert_non_null (settings_add_project (&s, name));
    }
    assert_null (settings_add_project (&s, "one-more"));
    assert_non_null (settings_add_project (&s, "odin"));
}

int main (void)
{
#define T(f) cmocka_unit_test_setup (f, defaults)
    const struct CMUnitTest tests[] = {
        T (advice_is_the_lower_bound_of_each_row),
        T (advice_follows_the_scarcer_of_cores_and_memory),
        T (memory_that_the_kernel_keeps_counts_as_installed),
        T (defaults_hold_together),
        T (ttl_has_room_for_beats_and_a_kill),
        T (lock_delay_covers_drift_and_a_beat),
        T (critical_is_not_below_degraded_unless_one_is_off),
        T (guarantees_fit_into_pool_and_cap),
        T (floor_above_the_pool_is_refused),
        T (new_maximum_moves_what_is_auto),
        T (timing_is_told_as_what_it_means),
        T (projects_are_found_by_key_and_made_once),
    };

    return cmocka_run_group_tests (tests, NULL, NULL);
}
