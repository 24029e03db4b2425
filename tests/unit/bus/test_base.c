/* SPDX-License-Identifier: MPL-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "bus/base.h"
#include "unit/bus/scratch.h"

static void file_is_read_whole_and_terminated (void **state)
{
    char text[16];

    scratch_file (state, "a", "seven b");
    assert_int_equal (read_file (scratch_path (state, "a"), text, sizeof text),
                      7);
    assert_string_equal (text, "seven b");
}

static void what_is_beyond_the_buffer_is_left_out (void **state)
{
    char text[5] = "xxxx";

    scratch_file (state, "a", "seven b");
    assert_int_equal (read_file (scratch_path (state, "a"), text, sizeof text),
                      4);
    assert_string_equal (text, "seve");
}

static void a_missing_file_leaves_the_buffer_untouched (void **state)
{
    char text[5] = "old";

    assert_int_equal (read_file (scratch_path (state, "a"), text, sizeof text),
                      -1);
    assert_int_equal (errno, ENOENT);
    assert_string_equal (text, "old");
}

static void a_file_of_the_kernel_is_read_though_its_size_says_0 (void **state)
{
    char text[64];

    (void) state;
    assert_int_equal (
        read_file ("/proc/sys/kernel/random/boot_id", text, sizeof text), 37);
}

static void writing_atomically_replaces_and_sets_the_mode (void **state)
{
    const char *path = scratch_path (state, "a");
    struct stat st;
    char text[16];
    mode_t old = umask (0077);

    scratch_file (state, "a", "old and longer");
    scratch_file (state, "a.tmp", "left by a crash");
    assert_int_equal (write_file_atomically (path, "new", 3, 0644, 1), 0);
    umask (old);
    assert_int_equal (read_file (path, text, sizeof text), 3);
    assert_string_equal (text, "new");
    assert_int_equal (stat (path, &st), 0);
    assert_int_equal (st.st_mode & 07777, 0644);
    assert_int_equal (access (scratch_path (state, "a.tmp"), F_OK), -1);
}

static void draft_never_follows_a_link (void **state)
{
    char text[16];

    scratch_file (state, "victim", "mine");
    assert_int_equal (
        symlink (scratch_path (state, "victim"), scratch_path (state, "a.tmp")),
        0);
    assert_int_equal (
        write_file_atomically (scratch_path (state, "a"), "new", 3, 0600, 0),
        0);
    read_file (scratch_path (state, "victim"), text, sizeof text);
    assert_string_equal (text, "mine");
}

static void failed_rename_leaves_no_draft (void **state)
{
    assert_int_equal (mkdir (scratch_path (state, "a"), 0700), 0);
    assert_int_equal (
        write_file_atomically (scratch_path (state, "a"), "new", 3, 0600, 0),
        -1);
    assert_int_equal (errno, EISDIR);
    assert_int_equal (access (scratch_path (state, "a.tmp"), F_OK), -1);
}

static void folders_above_a_path_are_made_but_not_itself (void **state)
{
    struct stat st;

    assert_int_equal (make_folders (scratch_path (state, "x/y/z"), 0700), 0);
    assert_int_equal (make_folders (scratch_path (state, "x/y/z"), 0700), 0);
    assert_int_equal (stat (scratch_path (state, "x/y"), &st), 0);
    assert_true (S_ISDIR (st.st_mode));
    assert_int_equal (stat (scratch_path (state, "x/y/z"), &st), -1);
    scratch_file (state, "file", "");
    assert_int_equal (make_folders (scratch_path (state, "file/y/z"), 0700),
                      -1);
}

static void random_numbers_are_not_0_and_differ (void **state)
{
    uint64_t a = random_u64 (), b = random_u64 ();

    (void) state;
    assert_true (a != 0 && b != 0 && a != b);
}

static void clocks_do_not_run_backwards (void **state)
{
    int64_t before = clock_monotonic_ms ();

    (void) state;
    assert_true (before > 0);
    assert_true (clock_monotonic_ms () >= before);
    assert_true (clock_boottime_ms () >= before);
    assert_true (clock_wall_ms () > 1700000000000);
}

static void text_is_formatted_into_memory_of_its_own (void **state)
{
    char *text = xasprintf ("%s-%d", "slot", 7);

    (void) state;
    assert_string_equal (text, "slot-7");
    text = xrealloc (text, 1000);
    assert_string_equal (text, "slot-7");
    free (text);
}

#define IN_SCRATCH(f)                                                          \
    cmocka_unit_test_setup_teardown (f, scratch_make, scratch_remove)

int main (void)
{
    const struct CMUnitTest tests[] = {
        IN_SCRATCH (file_is_read_whole_and_terminated),
        IN_SCRATCH (what_is_beyond_the_buffer_is_left_out),
        IN_SCRATCH (a_missing_file_leaves_the_buffer_untouched),
        cmocka_unit_test (a_file_of_the_kernel_is_read_though_its_size_says_0),
        IN_SCRATCH (writing_atomically_replaces_and_sets_the_mode),
        IN_SCRATCH (draft_never_follows_a_link),
        IN_SCRATCH (failed_rename_leaves_no_draft),
        IN_SCRATCH (folders_above_a_path_are_made_but_not_itself),
        cmocka_unit_test (random_numbers_are_not_0_and_differ),
        cmocka_unit_test (clocks_do_not_run_backwards),
        cmocka_unit_test (text_is_formatted_into_memory_of_its_own),
    };

    return cmocka_run_group_tests (tests, NULL, NULL);
}
