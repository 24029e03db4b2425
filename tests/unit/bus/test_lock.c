/* SPDX-License-Identifier: MPL-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "bus/base.h"
#include "bus/lock.h"
#include "unit/bus/scratch.h"

static void second_taker_is_told_that_it_is_held (void **state)
{
    const char *path = scratch_path (state, "lock");
    int fd = lock_take (path, 0600);

    assert_true (fd >= 0);
    assert_int_equal (lock_take (path, 0600), -1);
    assert_int_equal (errno, EAGAIN);
    close (fd);
    fd = lock_take (path, 0600);
    assert_true (fd >= 0);
    close (fd);
}

static void query_answers_without_taking (void **state)
{
    const char *path = scratch_path (state, "lock");
    int fd;

    assert_int_equal (lock_query (path), LOCK_FREE);
    fd = lock_take (path, 0600);
    assert_int_equal (lock_query (path), LOCK_HELD);
    assert_int_equal (lock_query (path), LOCK_HELD);
    close (fd);
    assert_int_equal (lock_query (path), LOCK_FREE);
}

/* A client may read the broker's lock, not write it. */
static void query_needs_only_the_right_to_read (void **state)
{
    const char *path = scratch_path (state, "lock");
    int fd = lock_take (path, 0444);
    struct stat st;

    assert_int_equal (fstat (fd, &st), 0);
    assert_int_equal (st.st_mode & 07777, 0444);
    assert_int_equal (lock_query (path), LOCK_HELD);
    close (fd);
}

static void what_cannot_be_opened_is_unknown (void **state)
{
    scratch_file (state, "file", "");
    assert_int_equal (lock_query (scratch_path (state, "file/lock")),
                      LOCK_UNKNOWN);
}

static void child_that_inherits_it_holds_it_on (void **state)
{
    const char *path = scratch_path (state, "lock");
    int fd = lock_take (path, 0600), ends[2];
    pid_t child;
    char c;

    assert_int_equal (pipe (ends), 0);
    child = fork ();
    if (child == 0) {
        close (ends[1]);
        _exit (read (ends[0], &c, 1) == 0 ? 0 : 1);
    }
    close (ends[0]);
    close (fd);
    assert_int_equal (lock_query (path), LOCK_HELD);
    close (ends[1]);
    assert_int_equal (waitpid (child, NULL, 0), child);
    assert_int_equal (lock_query (path), LOCK_FREE);
}

/* Who has the file open to ask, as this process does below, holds nothing. */
static void holders_are_told_from_those_who_only_ask (void **state)
{
    const char *path = scratch_path (state, "lock");
    int fd = lock_take (path, 0600), asking, ends[2];
    pid_t child;
    char c;

    assert_int_equal (pipe (ends), 0);
    child = fork ();
    if (child == 0) {
        close (ends[1]);
        _exit (read (ends[0], &c, 1) == 0 ? 0 : 1);
    }
    close (ends[0]);
    assert_true (lock_held_by (getpid (), path));
    close (fd);
    asking = open (path, O_RDONLY | O_CLOEXEC);
    assert_false (lock_held_by (getpid (), path));
    assert_true (lock_held_by (child, path));
    close (asking);
    close (ends[1]);
    assert_int_equal (waitpid (child, NULL, 0), child);
    assert_false (lock_held_by (child, path));
}

static void removed_file_is_not_the_one_that_is_named (void **state)
{
    const char *path = scratch_path (state, "lock");
    int fd = lock_take (path, 0600);

    assert_true (lock_is_named (fd, path));
    assert_int_equal (unlink (path), 0);
    assert_false (lock_is_named (fd, path));
    scratch_file (state, "lock", "another's");
    assert_false (lock_is_named (fd, path));
    close (fd);
}

static void holders_pid_stands_in_the_file (void **state)
{
    const char *path = scratch_path (state, "lock");
    char text[32];
    int fd;

    scratch_file (state, "lock", "a much longer line of the past\n");
    fd = lock_take (path, 0600);
    read_file (path, text, sizeof text);
    assert_int_equal (atol (text), getpid ());
    assert_true (fcntl (fd, F_GETFD) & FD_CLOEXEC);
    close (fd);
}

static void link_is_not_followed (void **state)
{
    scratch_file (state, "file", "mine");
    assert_int_equal (
        symlink (scratch_path (state, "file"), scratch_path (state, "lock")),
        0);
    assert_int_equal (lock_take (scratch_path (state, "lock"), 0600), -1);
    assert_int_equal (errno, ELOOP);
}

#define IN_SCRATCH(f)                                                          \
    cmocka_unit_test_setup_teardown (f, scratch_make, scratch_remove)

int main (void)
{
    const struct CMUnitTest tests[] = {
        IN_SCRATCH (second_taker_is_told_that_it_is_held),
        IN_SCRATCH (query_answers_without_taking),
        IN_SCRATCH (query_needs_only_the_right_to_read),
        IN_SCRATCH (what_cannot_be_opened_is_unknown),
        IN_SCRATCH (child_that_inherits_it_holds_it_on),
        IN_SCRATCH (holders_are_told_from_those_who_only_ask),
        IN_SCRATCH (removed_file_is_not_the_one_that_is_named),
        IN_SCRATCH (holders_pid_stands_in_the_file),
        IN_SCRATCH (link_is_not_followed),
    };

    return cmocka_run_group_tests (tests, NULL, NULL);
}
