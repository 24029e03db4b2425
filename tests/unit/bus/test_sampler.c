/* SPDX-License-Identifier: MPL-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <cmocka.h>

#include "bus/sampler.h"
#include "unit/bus/scratch.h"

static const char *const root_path[] = {"/"};
static struct sample sample;

static void stat_is (void **state, const char *line)
{
    scratch_file (state, "proc/stat", line);
}

static struct sampler *start (void **state)
{
    return sampler_create (scratch_path (state, "proc"), root_path, 1);
}

static double cpu (struct sampler *s)
{
    sampler_sample (s, 0, &sample);
    return sample.cpu_percent;
}

static void cpu_is_the_busy_part_between_two_readings (void **state)
{
    struct sampler *s = start (state);

    stat_is (state, "cpu  100 0 100 1000 200 0 0 0 0 0\ncpu0 1 2 3 4\n");
    assert_true (isnan (cpu (s)));
    // 30 busy (user 10, system 10, steal 10), idle 60, iowait 10
    stat_is (state, "cpu  110 0 110 1060 210 0 0 10 5 0\n");
    assert_true (cpu (s) == 30);
    stat_is (state, "cpu  160 50 110 1060 210 0 0 10 5 0\n");
    assert_true (cpu (s) == 100);
    sampler_destroy (s);
}

static void cpu_without_a_tick_in_between_is_unknown (void **state)
{
    struct sampler *s = start (state);

    stat_is (state, "cpu  100 0 100 1000 200 0 0 0\n");
    cpu (s);
    assert_true (isnan (cpu (s)));
    stat_is (state, "cpu  90 0 100 1000 200 0 0 0\n"); // went back
    assert_true (isnan (cpu (s)));
    sampler_destroy (s);
}

static void idle_time_that_goes_back_is_no_idling (void **state)
{
    struct sampler *s = start (state);

    stat_is (state, "cpu  100 0 0 1000 200\n");
    cpu (s);
    stat_is (state, "cpu  200 0 0 1000 190\n");
    assert_true (cpu (s) == 100);
    sampler_destroy (s);
}

static double cpu_at (struct sampler *s, int64_t now)
{
    sampler_sample (s, now, &sample);
    return sample.cpu_percent;
}

static void cpu_is_judged_over_the_window_however_often_it_is_asked (void **st)
{
    struct sampler *s = start (st);

    sampler_set_window (s, 1000);
    stat_is (st, "cpu  0 0 0 0\n");
    cpu_at (s, 0);
    stat_is (st, "cpu  100 0 0 100\n"); // 50 % of the first second
    assert_true (cpu_at (s, 1000) == 50);
    stat_is (st, "cpu  100 0 0 120\n"); // and then idle for a fifth
    assert_true (fabs (cpu_at (s, 1200) - 100 / 2.2) < 1e-9);
    stat_is (st, "cpu  200 0 0 200\n");
    assert_true (cpu_at (s, 2000) == 50); // of the second one
    stat_is (st, "cpu  200 0 0 400\n");
    assert_true (cpu_at (s, 4000) == 0);
    sampler_destroy (s);
}

static void unreadable_stat_starts_anew (void **state)
{
    struct sampler *s = start (state);

    stat_is (state, "cpu  100 0 0 100\n");
    cpu (s);
    stat_is (state, "rubbish\n");
    assert_true (isnan (cpu (s)));
    stat_is (state, "cpu  200 0 0 100\n");
    assert_true (isnan (cpu (s)));
    stat_is (state, "cpu  250 0 0 150\n");
    assert_true (cpu (s) == 50);
    sampler_destroy (s);
}

static void load_and_running_tasks_are_read_without_ourselves (void **state)
{
    struct sampler *s = start (state);

    scratch_file (state, "proc/loadavg", "4.30 0.58 0.59 3/602 12345\n");
    sampler_sample (s, 7, &sample);
    assert_int_equal (sample.at, 7);
    assert_true (sample.load1 == 4.30);
    assert_true (sample.running == 2);
    scratch_file (state, "proc/loadavg", "4.30\n");
    sampler_sample (s, 8, &sample);
    assert_true (isnan (sample.load1) && isnan (sample.running));
    sampler_destroy (s);
}

static void tasks_that_wait_for_a_disk_run_as_they_do_in_a_tree (void **state)
{
    struct sampler *s = start (state);

    scratch_file (state, "proc/loadavg", "4.30 0.58 0.59 3/602 12345\n");
    stat_is (state, "cpu  100 0 0 100\nintr 5 1 2\nprocs_running 9\n"
                    "procs_blocked 4\nsoftirq 1\n");
    sampler_sample (s, 7, &sample);
    assert_true (sample.running == 2 + 4);
    stat_is (state, "cpu  100 0 0 100\nprocs_blocked many\n");
    sampler_sample (s, 8, &sample);
    assert_true (sample.running == 2);
    sampler_destroy (s);
}

static void pressure_of_the_last_10_s_is_read (void **state)
{
    struct sampler *s = start (state);

    scratch_file (state, "proc/pressure/cpu",
                  "some avg10=1.50 avg60=0.00 avg300=0.00 total=1\n");
    scratch_file (state, "proc/pressure/memory",
                  "some avg10=2.25 avg60=9.00 avg300=0.00 total=1\n"
                  "full avg10=0.50 avg60=9.00 avg300=0.00 total=1\n");
    sampler_sample (s, 0, &sample);
    assert_true (sample.cpu_some == 1.5);
    assert_true (sample.memory_some == 2.25);
    assert_true (sample.memory_full == 0.5);
    assert_true (isnan (sample.io_some) && isnan (sample.io_full));
    sampler_destroy (s);
}

static void memory_and_swap_are_in_the_sample (void **state)
{
    struct sampler *s = start (state);

    scratch_file (state, "proc/meminfo",
                  "MemTotal: 1000 kB\nMemAvailable: 90 kB\nSwapTotal: 100 kB\n"
                  "SwapFree: 60 kB\n");
    sampler_sample (s, 0, &sample);
    assert_true (sample.memory_percent == 91);
    assert_true (sample.swap_percent == 40);
    sampler_destroy (s);
}

static void what_is_not_there_is_nan_and_the_rest_is_read (void **state)
{
    struct sampler *s = start (state);

    scratch_file (state, "proc/loadavg", "4.30 0.58 0.59 3/602 12345\n");
    sampler_sample (s, 0, &sample);
    assert_true (isnan (sample.cpu_percent));
    assert_true (isnan (sample.memory_percent));
    assert_true (isnan (sample.swap_percent));
    assert_true (isnan (sample.cpu_some));
    assert_true (sample.load1 == 4.30);
    assert_true (sample.disk_percent >= 0);
    sampler_destroy (s);
}

static void disk_is_used_as_df_shows_it (void **state)
{
    struct statvfs fs = {.f_blocks = 100, .f_bfree = 40, .f_bavail = 20};

    (void) state;
    assert_true (sampler_disk_percent (&fs) == 75); // 60 of 60 + 20
    fs.f_bfree = fs.f_bavail = 0;
    assert_true (sampler_disk_percent (&fs) == 100);
    fs.f_blocks = 0;
    assert_true (sampler_disk_percent (&fs) == 0);
}

static void inodes_count_where_they_are_limited (void **state)
{
    struct statvfs fs = {.f_files = 200, .f_ffree = 20};

    (void) state;
    assert_true (sampler_inodes_percent (&fs) == 90);
    fs.f_files = fs.f_ffree = 0;
    assert_true (sampler_inodes_percent (&fs) == 0);
}

static void worst_of_the_paths_counts (void **state)
{
    const char *paths[] = {"/proc", "/", "/does/not/exist"};
    struct sampler *s = sampler_create ("/proc", paths, 3);
    struct sampler *none = sampler_create ("/proc", paths + 2, 1);
    struct statvfs fs;

    (void) state;
    assert_int_equal (statvfs ("/", &fs), 0);
    sampler_sample (s, 0, &sample);
    assert_true (fabs (sample.disk_percent - sampler_disk_percent (&fs)) < 5);
    sampler_sample (none, 0, &sample);
    assert_true (isnan (sample.disk_percent) && isnan (sample.inodes_percent));
    sampler_destroy (s);
    sampler_destroy (none);
    sampler_destroy (NULL);
}

int main (void)
{
#define T(f) cmocka_unit_test_setup_teardown (f, scratch_make, scratch_remove)
    const struct CMUnitTest tests[] = {
        T (cpu_is_the_busy_part_between_two_readings),
        T (cpu_without_a_tick_in_between_is_unknown),
        T (idle_time_that_goes_back_is_no_idling),
        T (cpu_is_judged_over_the_window_however_often_it_is_asked),
        T (unreadable_stat_starts_anew),
        T (load_and_running_tasks_are_read_without_ourselves),
        T (tasks_that_wait_for_a_disk_run_as_they_do_in_a_tree),
        T (pressure_of_the_last_10_s_is_read),
        T (memory_and_swap_are_in_the_sample),
        T (what_is_not_there_is_nan_and_the_rest_is_read),
        T (disk_is_used_as_df_shows_it),
        T (inodes_count_where_they_are_limited),
        T (worst_of_the_paths_counts),
    };

    return cmocka_run_group_tests (tests, NULL, NULL);
}
