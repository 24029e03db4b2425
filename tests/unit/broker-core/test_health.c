/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "core/health.h"

static const struct limits limits = {
    .cpu_percent = 85,
    .memory_percent = 90,
    .critical_memory_percent = 95,
    .critical_memory_psi = 20,
    .load_average = 16,
    .disk_percent = 90,
    .critical_disk_percent = 97,
};

enum { DWELL = 30000, EVERY = 2000 };

/* A host that is watched. */
struct watch {
    struct health h;
    struct sample s;
    struct limits limits;
    int64_t now;
};

static struct watch begin (void)
{
    struct watch w = {.limits = limits};

    health_init (&w.h);
    w.s = (struct sample){.cpu_percent = 10,
                          .memory_percent = 10,
                          .load1 = 1,
                          .disk_percent = 10,
                          .inodes_percent = 10};
    return w;
}

static enum level look (struct watch *w)
{
    w->now += EVERY;
    health_update (&w->h, &w->s, 0, &w->limits, DWELL, w->now);
    return health_level (&w->h);
}

/* So many samples; the level after the last. */
static enum level look_for (struct watch *w, int64_t ms)
{
    enum level level = LEVEL_HEALTHY;

    for (int64_t passed = 0; passed < ms; passed += EVERY)
        level = look (w);
    return level;
}

static void exactly_at_a_limit_is_healthy (void **state)
{
    struct watch w = begin ();
    (void) state;

    w.s.cpu_percent = 85;
    w.s.memory_percent = 90;
    w.s.load1 = 16;
    w.s.disk_percent = 90;
    assert_int_equal (look_for (&w, 100000), LEVEL_HEALTHY);
}

static void two_samples_in_a_row_raise_a_level (void **state)
{
    struct watch w = begin ();
    (void) state;

    w.s.memory_percent = 90.1;
    assert_int_equal (look (&w), LEVEL_HEALTHY);
    w.s.memory_percent = 90;
    assert_int_equal (look (&w), LEVEL_HEALTHY); // not in a row
    w.s.memory_percent = 90.1;
    assert_int_equal (look (&w), LEVEL_HEALTHY);
    assert_int_equal (look (&w), LEVEL_DEGRADED);
    w.s.load1 = 16.1;
    assert_int_equal (look (&w), LEVEL_DEGRADED);
    assert_int_equal (look (&w), LEVEL_CRITICAL);
    assert_int_equal (health_metric (&w.h, METRIC_MEMORY), LEVEL_DEGRADED);
    assert_int_equal (health_metric (&w.h, METRIC_LOAD), LEVEL_CRITICAL);
}

static void critical_memory_is_critical_at_once (void **state)
{
    struct watch w = begin ();
    (void) state;

    w.s.memory_percent = 95.1;
    assert_int_equal (look (&w), LEVEL_CRITICAL);
    w = begin ();
    w.s.memory_full = 20.1;
    assert_int_equal (look (&w), LEVEL_CRITICAL);
}

static void busy_cpu_degrades_after_the_dwell_and_is_never_critical (void **s)
{
    struct watch w = begin ();
    (void) s;

    w.s.cpu_percent = 100;
    assert_int_equal (look_for (&w, DWELL), LEVEL_HEALTHY);
    assert_int_equal (look (&w), LEVEL_DEGRADED);
    assert_int_equal (look_for (&w, 600000), LEVEL_DEGRADED);
    w = begin ();
    w.s.cpu_percent = 100;
    look_for (&w, DWELL - EVERY);
    w.s.cpu_percent = 84;
    look (&w);
    w.s.cpu_percent = 100;
    assert_int_equal (look_for (&w, DWELL), LEVEL_HEALTHY);
}

static void level_falls_when_a_margin_below_for_the_dwell (void **state)
{
    struct watch w = begin ();
    (void) state;

    w.s.memory_percent = 92;
    look_for (&w, 2 * EVERY);
    w.s.memory_percent = 85.1;
    assert_int_equal (look_for (&w, 10 * DWELL), LEVEL_DEGRADED);
    w.s.memory_percent = 85;
    assert_int_equal (look_for (&w, DWELL), LEVEL_DEGRADED);
    assert_int_equal (look (&w), LEVEL_HEALTHY);

    w = begin ();
    w.s.load1 = 20;
    look_for (&w, 2 * EVERY);
    w.s.load1 = 14.5;
    assert_int_equal (look_for (&w, 10 * DWELL), LEVEL_CRITICAL);
    w.s.load1 = 14.4;
    assert_int_equal (look_for (&w, DWELL + EVERY), LEVEL_HEALTHY);
}

/* G8's figures. */
static void memory_from_80_to_92_to_97_to_70 (void **state)
{
    struct watch w = begin ();
    (void) state;

    w.s.memory_percent = 80;
    assert_int_equal (look_for (&w, 60000), LEVEL_HEALTHY);
    w.s.memory_percent = 92;
    assert_int_equal (look_for (&w, 2 * EVERY), LEVEL_DEGRADED);
    w.s.memory_percent = 97;
    assert_int_equal (look (&w), LEVEL_CRITICAL);
    w.s.memory_percent = 88;
    assert_int_equal (look_for (&w, DWELL), LEVEL_CRITICAL);
    assert_int_equal (look (&w), LEVEL_DEGRADED);
    w.s.memory_percent = 70;
    assert_int_equal (look_for (&w, DWELL), LEVEL_DEGRADED);
    assert_int_equal (look (&w), LEVEL_HEALTHY);
}

/* The seed's `elif` would call it degraded. */
static void host_is_as_bad_as_its_worst_metric (void **state)
{
    struct watch w = begin ();
    (void) state;

    w.s.memory_percent = 92;
    w.s.load1 = 40;
    assert_int_equal (look_for (&w, 2 * EVERY), LEVEL_CRITICAL);
    w = begin ();
    w.s.disk_percent = 98;
    assert_int_equal (look_for (&w, 2 * EVERY), LEVEL_CRITICAL);
    w = begin ();
    w.s.inodes_percent = 91;
    assert_int_equal (look_for (&w, 2 * EVERY), LEVEL_DEGRADED);
    assert_int_equal (health_metric (&w.h, METRIC_DISK), LEVEL_HEALTHY);
}

static void unreadable_metric_keeps_its_level_and_is_stale (void **state)
{
    struct watch w = begin ();
    (void) state;

    w.s.memory_percent = 92;
    look_for (&w, 2 * EVERY);
    w.s.memory_percent = NAN;
    assert_int_equal (look_for (&w, 10 * DWELL), LEVEL_DEGRADED);
    assert_true (w.h.stale[METRIC_MEMORY]);
    assert_false (w.h.stale[METRIC_CPU]);
    w.s.memory_percent = 97;
    look (&w);
    assert_false (w.h.stale[METRIC_MEMORY]);
    w.s.memory_percent = NAN; // calm pressure alone ends no alarm
    w.s.memory_full = 0;
    assert_int_equal (look_for (&w, 10 * DWELL), LEVEL_CRITICAL);
}

static void limit_that_is_off_is_not_judged (void **state)
{
    struct watch w = begin ();
    (void) state;

    w.s = (struct sample){.cpu_percent = 100,
                          .memory_percent = 100,
                          .load1 = 1000,
                          .disk_percent = 100,
                          .inodes_percent = 100,
                          .memory_full = 100};
    assert_int_equal (look_for (&w, 2 * DWELL), LEVEL_CRITICAL);
    w.limits = (struct limits){NAN, NAN, NAN, NAN, NAN, NAN, NAN, false};
    assert_int_equal (look (&w), LEVEL_HEALTHY);
}

/* The seed's own figures: 99 % of memory with a load of 40. */
static void memory_99_with_load_40_is_critical (void **state)
{
    struct watch w = begin ();
    (void) state;

    w.s.memory_percent = 99;
    w.s.load1 = 40;
    assert_int_equal (look (&w), LEVEL_CRITICAL);
    look (&w);
    assert_int_equal (health_metric (&w.h, METRIC_MEMORY), LEVEL_CRITICAL);
    assert_int_equal (health_metric (&w.h, METRIC_LOAD), LEVEL_CRITICAL);
}

static void metric_is_judged_by_any_of_its_limits (void **state)
{
    struct limits l = {NAN, NAN, NAN, 20, NAN, NAN, 97, false};
    (void) state;

    assert_true (limits_judge (&l, METRIC_MEMORY));
    assert_true (limits_judge (&l, METRIC_DISK));
    assert_true (limits_judge (&l, METRIC_INODES));
    assert_false (limits_judge (&l, METRIC_CPU));
    assert_false (limits_judge (&l, METRIC_LOAD));
    l.critical_memory_psi = l.critical_disk_percent = NAN;
    assert_false (limits_judge (&l, METRIC_MEMORY));
    assert_false (limits_judge (&l, METRIC_DISK));
}

/* Nobody looked meanwhile: it may have been anything. */
static void dwell_does_not_pass_while_the_broker_is_stopped (void **state)
{
    struct watch w = begin ();
    (void) state;

    w.s.memory_percent = 92;
    look_for (&w, 2 * EVERY);
    w.s.memory_percent = 70;
    look (&w);
    w.now += 10 * DWELL;
    health_shift (&w.h, 10 * DWELL);
    assert_int_equal (look_for (&w, DWELL - EVERY), LEVEL_DEGRADED);
    assert_int_equal (look (&w), LEVEL_HEALTHY);
}

/* L8. */
static void square_wave_shorter_than_the_dwell_does_not_flap (void **state)
{
    struct watch w = begin ();
    unsigned changes = 0;
    enum level before = LEVEL_HEALTHY;
    (void) state;

    for (unsigned i = 0; i < 600; i++) {
        enum level level;

        w.s.memory_percent = i / 5 % 2 ? 70 : 96;
        w.s.cpu_percent = i / 5 % 2 ? 20 : 100;
        level = look (&w);
        changes += level != before;
        before = level;
    }
    assert_int_equal (changes, 1);
    assert_int_equal (health_metric (&w.h, METRIC_CPU), LEVEL_HEALTHY);
}

/* ---- how often ---- */

static int64_t interval (struct watch *w)
{
    look (w);
    return health_interval (&w->h, &w->limits, EVERY);
}

static void near_a_limit_samples_come_ten_times_as_often (void **state)
{
    struct watch w = begin ();
    const struct {
        double *figure;
        double far, near, back;
    } cases[] = {
        {&w.s.cpu_percent, 79.9, 80, 10},
        {&w.s.memory_percent, 84.9, 85, 10},
        {&w.s.memory_full, 14.9, 15, 0},
        {&w.s.load1, 14.3, 14.4, 1},
    };
    (void) state;

    assert_int_equal (health_interval (&w.h, &w.limits, EVERY), EVERY);
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        *cases[i].figure = cases[i].far;
        assert_int_equal (interval (&w), EVERY);
        *cases[i].figure = cases[i].near;
        assert_int_equal (interval (&w), EVERY / 10);
        *cases[i].figure = cases[i].back;
        assert_int_equal (interval (&w), EVERY);
    }
}

static void what_is_not_healthy_is_sampled_often_until_it_is (void **state)
{
    struct watch w = begin ();
    (void) state;

    w.s.memory_percent = 91;
    look (&w);
    assert_int_equal (interval (&w), EVERY / 10);
    w.s.memory_percent = 10;
    assert_int_equal (interval (&w), EVERY / 10); // for the dwell
    look_for (&w, DWELL);
    assert_int_equal (interval (&w), EVERY);
}

static void full_disk_or_no_limit_or_no_figure_hurries_nobody (void **state)
{
    struct watch w = begin ();
    (void) state;

    w.s.disk_percent = w.s.inodes_percent = 99;
    look (&w);
    assert_int_equal (interval (&w), EVERY);
    w.limits = (struct limits){NAN, NAN, NAN, NAN, NAN, NAN, NAN, false};
    w.s.cpu_percent = w.s.memory_percent = w.s.load1 = 100;
    assert_int_equal (interval (&w), EVERY);
    w = begin ();
    w.s.memory_percent = w.s.cpu_percent = w.s.load1 = NAN;
    assert_int_equal (interval (&w), EVERY);
    w.s.load1 = 99;
    look (&w);
    assert_int_equal (health_interval (&w.h, &w.limits, 5), 1);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (exactly_at_a_limit_is_healthy),
        cmocka_unit_test (two_samples_in_a_row_raise_a_level),
        cmocka_unit_test (critical_memory_is_critical_at_once),
        cmocka_unit_test (
            busy_cpu_degrades_after_the_dwell_and_is_never_critical),
        cmocka_unit_test (level_falls_when_a_margin_below_for_the_dwell),
        cmocka_unit_test (memory_from_80_to_92_to_97_to_70),
        cmocka_unit_test (host_is_as_bad_as_its_worst_metric),
        cmocka_unit_test (unreadable_metric_keeps_its_level_and_is_stale),
        cmocka_unit_test (limit_that_is_off_is_not_judged),
        cmocka_unit_test (memory_99_with_load_40_is_critical),
        cmocka_unit_test (metric_is_judged_by_any_of_its_limits),
        cmocka_unit_test (dwell_does_not_pass_while_the_broker_is_stopped),
        cmocka_unit_test (square_wave_shorter_than_the_dwell_does_not_flap),
        cmocka_unit_test (near_a_limit_samples_come_ten_times_as_often),
        cmocka_unit_test (what_is_not_healthy_is_sampled_often_until_it_is),
        cmocka_unit_test (full_disk_or_no_limit_or_no_figure_hurries_nobody),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
