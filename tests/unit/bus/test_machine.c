/* SPDX-License-Identifier: MPL-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "bus/machine.h"
#include "unit/bus/scratch.h"

#define MIB ((uint64_t) 1 << 20)

static const char meminfo[] = "MemTotal:        8388608 kB\n" // 8 GiB
                              "MemFree:          100000 kB\n"
                              "MemAvailable:    6291456 kB\n" // 25 % used
                              "SwapTotal:       1000 kB\n"
                              "SwapFree:         250 kB\n";

/* A mount of a hierarchy in the scratch folder. */
static void mount_line (void **state, const char *folder, const char *root,
                        const char *type, const char *options)
{
    char text[1024];

    snprintf (text, sizeof text,
              "23 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
              "31 23 0:28 %s %s/%s rw shared:9 master:2 - %s cgroup %s\n",
              root, (const char *) *state, folder, type, options);
    scratch_file (state, "proc/self/mountinfo", text);
}

static int make (void **state)
{
    if (scratch_make (state))
        return -1;
    scratch_file (state, "proc/meminfo", meminfo);
    return 0;
}

static double used (void **state)
{
    return machine_memory_percent (scratch_path (state, "proc"));
}

static struct machine size_of (void **state)
{
    struct machine m;

    machine_read (scratch_path (state, "proc"), &m);
    return m;
}

/* A group of version 2 with 1 GiB: 512 MiB used, 256 of them droppable. */
static void limit_v2 (void **state, const char *folder, const char *max)
{
    char name[256];

    snprintf (name, sizeof name, "%s/memory.max", folder);
    scratch_file (state, name, max);
    snprintf (name, sizeof name, "%s/memory.current", folder);
    scratch_file (state, name, "536870912\n");
    snprintf (name, sizeof name, "%s/memory.stat", folder);
    scratch_file (state, name,
                  "anon 5\nfile 9\ninactive_file 268435456\nactive_file 1\n");
}

static void without_groups_the_machine_is_what_it_has (void **state)
{
    assert_int_equal (size_of (state).memory_bytes, 8192 * MIB);
    assert_true (size_of (state).cores >= 1);
    assert_true (used (state) == 25);
    assert_true (machine_swap_percent (scratch_path (state, "proc")) == 75);
}

static void unreadable_memory_is_nan_and_no_size (void **state)
{
    assert_int_equal (unlink (scratch_path (state, "proc/meminfo")), 0);
    assert_true (isnan (used (state)));
    assert_true (isnan (machine_swap_percent (scratch_path (state, "proc"))));
    assert_int_equal (size_of (state).memory_bytes, 0);
    assert_true (size_of (state).cores >= 1);
    scratch_file (state, "proc/meminfo", "MemTotal: x\nMemAvailable: y\n");
    assert_true (isnan (used (state)));
}

/* And not at what happens to stand behind its end. */
static void file_that_ends_in_a_key_says_nothing_of_it (void **state)
{
    scratch_file (state, "proc/meminfo",
                  "MemTotal: 10 kB\nMemAvailable: 5 kB\nSwapFree: 7 kB\n"
                  "SwapTotal");
    assert_true (machine_swap_percent (scratch_path (state, "proc")) == 0);
}

static void swapless_machine_has_no_swap_in_use (void **state)
{
    scratch_file (state, "proc/meminfo",
                  "MemTotal: 10 kB\nMemAvailable: 5 kB\nSwapTotal: 0 kB\n");
    assert_true (machine_swap_percent (scratch_path (state, "proc")) == 0);
}

static void limit_of_version_2_counts_less_its_cache (void **state)
{
    mount_line (state, "cg", "/", "cgroup2", "rw,nsdelegate");
    scratch_file (state, "proc/self/cgroup", "0::/user/one\n");
    limit_v2 (state, "cg/user/one", "1073741824\n"); // (512 - 256) of 1024
    assert_true (used (state) == 25);
    limit_v2 (state, "cg/user/one", "536870912\n"); // of 512
    assert_true (used (state) == 50);
    assert_int_equal (size_of (state).memory_bytes, 512 * MIB);
}

static void tightest_limit_may_be_anywhere_on_the_path (void **state)
{
    mount_line (state, "cg", "/", "cgroup2", "rw");
    scratch_file (state, "proc/self/cgroup", "1:name=x:/\n0::/a/b/c\n");
    limit_v2 (state, "cg/a/b/c", "max\n");
    limit_v2 (state, "cg/a/b", "2147483648\n");
    limit_v2 (state, "cg/a", "402653184\n"); // 256 of 384
    assert_int_equal (size_of (state).memory_bytes, 384 * MIB);
    assert_true (fabs (used (state) - 200.0 / 3) < 1e-9);
}

static void limit_above_the_machine_is_none (void **state)
{
    mount_line (state, "cg", "/", "cgroup", "rw,memory");
    scratch_file (state, "proc/self/cgroup", "4:memory:/a\n");
    scratch_file (state, "cg/a/memory.limit_in_bytes", "9223372036854771712\n");
    scratch_file (state, "cg/a/memory.usage_in_bytes", "536870912\n");
    assert_int_equal (size_of (state).memory_bytes, 8192 * MIB);
    assert_true (used (state) == 25);
}

static void limit_of_version_1_counts_less_its_cache (void **state)
{
    mount_line (state, "cg", "/", "cgroup", "rw,cpuset,memory");
    scratch_file (state, "proc/self/cgroup", "4:cpuset,memory:/a\n0::/z\n");
    scratch_file (state, "cg/a/memory.limit_in_bytes", "1073741824\n");
    scratch_file (state, "cg/a/memory.usage_in_bytes", "805306368\n");
    scratch_file (state, "cg/a/memory.stat",
                  "inactive_file 5\ntotal_inactive_file 268435456\n");
    assert_true (used (state) == 50);
}

static void container_sees_its_group_at_the_mount (void **state)
{
    mount_line (state, "cg", "/docker/abc", "cgroup2", "rw");
    scratch_file (state, "proc/self/cgroup", "0::/docker/abc/inner\n");
    limit_v2 (state, "cg/inner", "536870912\n");
    assert_true (used (state) == 50);
    // a name that is not below what is mounted: the mount itself is all
    scratch_file (state, "proc/self/cgroup", "0::/docker/abcdef\n");
    limit_v2 (state, "cg", "322122547\n");
    assert_int_equal (size_of (state).memory_bytes, 322122547);
    scratch_file (state, "proc/self/cgroup", "0::/../elsewhere\n");
    assert_int_equal (size_of (state).memory_bytes, 322122547);
}

static void mount_point_may_have_a_space (void **state)
{
    mount_line (state, "c\\040g", "/", "cgroup2", "rw");
    scratch_file (state, "proc/self/cgroup", "0::/a\n");
    limit_v2 (state, "c g/a", "536870912\n");
    assert_true (used (state) == 50);
}

static void quota_bounds_the_cores_and_is_rounded_up (void **state)
{
    mount_line (state, "cg", "/", "cgroup2", "rw");
    scratch_file (state, "proc/self/cgroup", "0::/a/b\n");
    scratch_file (state, "cg/a/b/cpu.max", "max 100000\n");
    scratch_file (state, "cg/a/cpu.max", "20000 100000\n");
    assert_int_equal (size_of (state).cores, 1);
    scratch_file (state, "cg/a/cpu.max", "100000 100000\n");
    assert_int_equal (size_of (state).cores, 1);
    scratch_file (state, "cg/a/cpu.max", "99999900000 100000\n");
    assert_true (size_of (state).cores >= 1);
    mount_line (state, "cg", "/", "cgroup", "rw,cpu,cpuacct");
    scratch_file (state, "proc/self/cgroup", "2:cpu,cpuacct:/a\n");
    scratch_file (state, "cg/a/cpu.cfs_period_us", "100000\n");
    scratch_file (state, "cg/a/cpu.cfs_quota_us", "-1\n");
    assert_true (size_of (state).cores >= 1);
    scratch_file (state, "cg/a/cpu.cfs_quota_us", "50000\n");
    assert_int_equal (size_of (state).cores, 1);
}

static void rubbish_in_the_files_is_no_limit (void **state)
{
    scratch_file (state, "proc/self/mountinfo", "x\n - \na b - cgroup2\n\n");
    scratch_file (state, "proc/self/cgroup", "rubbish\n:\n0::\n");
    assert_true (used (state) == 25);
    mount_line (state, "cg", "/", "cgroup2", "rw");
    limit_v2 (state, "cg", "-5\n");
    assert_true (used (state) == 25);
    limit_v2 (state, "cg", "0\n");
    assert_true (used (state) == 25);
}

static uint64_t tasks_of (void **state)
{
    return machine_task_limit (scratch_path (state, "proc"));
}

static void tasks_are_limited_by_the_tightest_group (void **state)
{
    assert_int_equal (tasks_of (state), 0);
    mount_line (state, "cg", "/", "cgroup2", "rw");
    scratch_file (state, "proc/self/cgroup", "0::/a/b\n");
    scratch_file (state, "cg/a/b/pids.max", "max\n");
    assert_int_equal (tasks_of (state), 0);
    scratch_file (state, "cg/a/b/pids.max", "900\n");
    scratch_file (state, "cg/a/pids.max", "512\n");
    assert_int_equal (tasks_of (state), 512);
}

static void real_machine_can_be_read (void **state)
{
    struct machine m;
    double percent = machine_memory_percent ("/proc");

    (void) state;
    machine_read ("/proc", &m);
    assert_true (m.cores >= 1);
    assert_true (m.memory_bytes > 16 * MIB);
    assert_true (percent > 0 && percent <= 100);
}

int main (void)
{
#define T(f) cmocka_unit_test_setup_teardown (f, make, scratch_remove)
    const struct CMUnitTest tests[] = {
        T (without_groups_the_machine_is_what_it_has),
        T (unreadable_memory_is_nan_and_no_size),
        T (file_that_ends_in_a_key_says_nothing_of_it),
        T (swapless_machine_has_no_swap_in_use),
        T (limit_of_version_2_counts_less_its_cache),
        T (tightest_limit_may_be_anywhere_on_the_path),
        T (limit_above_the_machine_is_none),
        T (limit_of_version_1_counts_less_its_cache),
        T (container_sees_its_group_at_the_mount),
        T (mount_point_may_have_a_space),
        T (quota_bounds_the_cores_and_is_rounded_up),
        T (rubbish_in_the_files_is_no_limit),
        T (tasks_are_limited_by_the_tightest_group),
        T (real_machine_can_be_read),
    };

    return cmocka_run_group_tests (tests, NULL, NULL);
}
