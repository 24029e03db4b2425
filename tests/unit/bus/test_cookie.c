/* SPDX-License-Identifier: MPL-2.0 */
/* What tells whose a process or a cgroup is. Trees: unit/shim/test_tree.c. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus/cgroup.h"
#include "bus/cookie.h"
#include "bus/pids.h"
#include "bus/proc.h"

static void cookie_names_its_broker_and_its_first_token (void **state)
{
    uint64_t first = 0;

    (void) state;
    assert_true (cookie_parse ("b1:17", "b1", &first));
    assert_int_equal (first, 17);
    assert_true (cookie_parse ("b2:18446744073709551615", NULL, &first));
    assert_true (first == UINT64_MAX);
}

static void what_is_no_cookie_of_the_broker_has_no_first_token (void **state)
{
    static const char *const wrong[] = {
        "",        "17",     "b1 17",
        "b1",      "b1:",    "b1: 17",
        "b1:-1",   "b1:17x", "b1:1:17",
        "b1:0",    "b:17",   "b11:17",
        "B1:17",   "b1:0x1", "b2:17",
        "x b1:17", "b1:+17", "b1:18446744073709551616"};
    uint64_t first = 5;

    (void) state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false (cookie_parse (wrong[i], "b1", &first));
    assert_int_equal (first, 5);
}

static void cgroup_is_of_the_token_in_its_last_part_only (void **state)
{
    (void) state;
    assert_true (cgroup_is_named_for ("slotbus-17-1-1", 17));
    assert_true (cgroup_is_named_for ("a/b/slotbus-17-1-1", 17));
    assert_false (cgroup_is_named_for ("slotbus-17-1-1", 1));
    assert_false (cgroup_is_named_for ("slotbus-17-1-1", 170));
    assert_false (cgroup_is_named_for ("slotbus-17", 17));
    assert_false (cgroup_is_named_for ("slotbus-17-1-1/", 17));
    assert_false (cgroup_is_named_for ("slotbus-17-1-1/..", 17));
    assert_false (cgroup_is_named_for ("x-slotbus-17-1-1", 17));
    assert_false (cgroup_is_named_for ("", 17));
}

/* A child that has ended and was not reaped. */
static pid_t make_zombie (void)
{
    siginfo_t info;
    pid_t pid = fork ();

    if (pid == 0)
        _exit (0);
    assert_true (pid > 0);
    assert_int_equal (waitid (P_PID, (id_t) pid, &info, WEXITED | WNOWAIT), 0);
    return pid;
}

/* Kernels differ in whether there is nothing to read or nothing to open. */
static void zombie_has_no_cookie (void **state)
{
    char value[COOKIE_BYTES];
    pid_t pid = make_zombie ();
    enum cookie answer = cookie_read (pid, value);

    (void) state;
    assert_true (answer == COOKIE_NOT_SHOWN || answer == COOKIE_ABSENT);
    assert_int_equal (waitpid (pid, NULL, 0), pid);
    assert_int_equal (cookie_read (pid, value), COOKIE_ABSENT);
}

/* Returns when it runs: it has answered. Closing `ret_to` ends it. */
static pid_t start_without_environment (int *ret_to)
{
    char *const argv[] = {"cat", NULL}, *const env[] = {NULL};
    int to[2], from[2];
    pid_t pid;
    char c;

    assert_int_equal (pipe2 (to, O_CLOEXEC) | pipe2 (from, O_CLOEXEC), 0);
    pid = fork ();
    if (pid == 0) {
        dup2 (to[0], 0);
        dup2 (from[1], 1);
        execve ("/bin/cat", argv, env);
        _exit (127);
    }
    close (to[0]);
    close (from[1]);
    assert_int_equal (write (to[1], "+", 1), 1);
    assert_int_equal (read (from[0], &c, 1), 1);
    close (from[0]);
    *ret_to = to[1];
    return pid;
}

static void process_without_an_environment_shows_no_cookie (void **state)
{
    char value[COOKIE_BYTES];
    int to;
    pid_t pid = start_without_environment (&to);

    (void) state;
    assert_int_equal (proc_getenv (pid, "PATH", value, sizeof value), -1);
    assert_int_equal (errno, ENODATA);
    assert_int_equal (cookie_read (pid, value), COOKIE_NOT_SHOWN);
    assert_int_equal (cookie_of (pid, "b1:17", 0), COOKIE_ABSENT);
    close (to);
    assert_int_equal (waitpid (pid, NULL, 0), pid);
}

/* main () has put it there. */
static void cookie_is_read_and_compared_whole (void **state)
{
    char value[COOKIE_BYTES];
    pid_t self = getpid ();

    (void) state;
    assert_int_equal (cookie_read (self, value), COOKIE_PRESENT);
    assert_string_equal (value, "b1:17");
    assert_int_equal (cookie_of (self, "b1:17", 0), COOKIE_PRESENT);
    assert_int_equal (cookie_of (self, "b1:1", 0), COOKIE_ABSENT);
    assert_int_equal (cookie_of (self, "b1:170", 0), COOKIE_ABSENT);
    assert_int_equal (cookie_of (self, "b1:17", proc_start (self) + 1),
                      COOKIE_ABSENT);
}

static void process_runs_as_its_own_user (void **state)
{
    pid_t pid = make_zombie ();

    (void) state;
    assert_true (proc_runs_as (getpid (), geteuid ()));
    assert_false (proc_runs_as (getpid (), geteuid () + 1));
    assert_int_equal (waitpid (pid, NULL, 0), pid);
    assert_false (proc_runs_as (pid, geteuid ()));
}

static bool is_this (pid_t pid, const void *arg)
{
    return pid == *(const pid_t *) arg;
}

static bool is_this_at_first (pid_t pid, const void *arg)
{
    static unsigned asked;

    return is_this (pid, arg) && asked++ == 0;
}

static void only_what_belongs_twice_is_killed (void **state)
{
    pid_t pid = fork ();
    int status;

    (void) state;
    if (pid == 0)
        for (;;)
            pause ();
    assert_true (pid > 0);
    assert_int_equal (pids_kill_all (is_this_at_first, &pid), 0);
    assert_true (proc_alive (pid, 0));
    assert_int_equal (pids_kill_all (is_this, &pid), 1);
    assert_int_equal (waitpid (pid, &status, 0), pid);
    assert_true (WIFSIGNALED (status) && WTERMSIG (status) == SIGKILL);
}

int main (int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (cookie_names_its_broker_and_its_first_token),
        cmocka_unit_test (what_is_no_cookie_of_the_broker_has_no_first_token),
        cmocka_unit_test (cgroup_is_of_the_token_in_its_last_part_only),
        cmocka_unit_test (zombie_has_no_cookie),
        cmocka_unit_test (process_without_an_environment_shows_no_cookie),
        cmocka_unit_test (cookie_is_read_and_compared_whole),
        cmocka_unit_test (process_runs_as_its_own_user),
        cmocka_unit_test (only_what_belongs_twice_is_killed),
    };

    if (argc == 1) { // /proc shows the environment of the last exec ()
        setenv (COOKIE_NAME, "b1:17", 1);
        execl ("/proc/self/exe", argv[0], "again", NULL);
        return 1;
    }
    return cmocka_run_group_tests (tests, NULL, NULL);
}
