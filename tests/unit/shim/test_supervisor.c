/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "supervisor.h"

/* A process table: from the command's parent upwards. Arguments are separated
 * by spaces here. */
struct process {
    const char *name, *line;
    uint64_t image; // 0: every process was executed anew
};

struct table {
    const struct process *at; // at[0] is the command's parent: pid 1000
    pid_t last_parent;        // of the last one
};

enum { FIRST = 1000 };

static int look (void *arg, pid_t pid, struct ancestor *ret)
{
    const struct table *t = arg;
    int i = (int) pid - FIRST, count = 0;

    while (t->at[count].name)
        count++;
    if (i < 0 || i >= count)
        return -1;
    memset (ret, 0, sizeof *ret);
    ret->pid = pid;
    ret->parent = i + 1 < count ? pid + 1 : t->last_parent;
    ret->image = t->at[i].image;
    snprintf (ret->name, sizeof ret->name, "%s", t->at[i].name);
    snprintf (ret->line, sizeof ret->line, "%s", t->at[i].line);
    ret->line_size = strlen (ret->line) + 1;
    for (char *c = ret->line; *c; c++)
        if (*c == ' ')
            *c = 0;
    return 0;
}

/* Which of them is it: its index, -1 none. */
static int above (const struct process *at, pid_t last_parent)
{
    struct table t = {at, last_parent};
    pid_t pid = supervisor_above (FIRST, look, &t);

    return pid == 0 ? -1 : (int) pid - FIRST;
}

#define TABLE(...)                                                             \
    (const struct process[])                                                   \
    {                                                                          \
        __VA_ARGS__,                                                           \
        {                                                                      \
            NULL, NULL, 0                                                      \
        }                                                                      \
    }

static void interactive_shell_is_it (void **s)
{
    (void) s;
    assert_int_equal (
        above (TABLE ({"bash", "-bash", 0}, {"sshd", "sshd:", 0}), 1), 0);
}

static void script_is_it_also_below_another_one (void **s)
{
    (void) s;
    assert_int_equal (above (TABLE ({"build.sh", "/bin/sh ./build.sh", 0},
                                    {"all.sh", "/bin/bash ./all.sh", 0}),
                             1),
                      0);
    // an option that is not -c, and a script whose own argument is -c
    assert_int_equal (
        above (TABLE ({"bash", "bash -eu build.sh -c", 0}, {"x", "x", 0}), 1),
        0);
    assert_int_equal (
        above (TABLE ({"bash", "bash -o pipefail b.sh", 0}, {"x", "x", 0}), 1),
        0);
}

static void command_string_is_passed_whatever_its_options (void **s)
{
    static const char *const lines[] = {
        "sh -c work",           "/bin/bash -c work",
        "bash -lc work",        "bash -o pipefail -c w",
        "zsh -f -c work",       "bash --norc -c work",
        "bash --rcfile f -c w", "-dash -ec work"};

    (void) s;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        assert_int_equal (
            above (TABLE ({"sh", lines[i], 0}, {"node", "node a.js", 0}), 1),
            1);
}

static void interpreter_that_is_no_shell_is_it_though_it_has_c (void **s)
{
    (void) s;
    assert_int_equal (
        above (TABLE ({"python3", "python3 -c work", 0}, {"x", "x", 0}), 1), 0);
}

static void subshell_is_passed_to_the_script_that_forked_it (void **s)
{
    (void) s;
    assert_int_equal (
        above (TABLE ({"b.sh", "/bin/bash b.sh", 7},
                      {"b.sh", "/bin/bash b.sh", 7},
                      {"b.sh", "/bin/bash b.sh", 7}, {"make", "make", 9}),
               1),
        2);
}

static void shell_started_inside_the_same_shell_is_no_subshell (void **s)
{
    (void) s;
    assert_int_equal (
        above (TABLE ({"bash", "bash", 7}, {"bash", "bash", 8}), 1), 0);
}

static void carriers_are_passed_but_not_scripts_of_their_name (void **s)
{
    (void) s;
    assert_int_equal (
        above (TABLE ({"timeout", "timeout 60 x", 0},
                      {"env", "env A=1 timeout 60 x", 0},
                      {"nice", "/usr/bin/nice x", 0}, {"make", "make", 0}),
               1),
        3);
    assert_int_equal (
        above (TABLE ({"find", "/bin/sh ./find", 0}, {"make", "make", 0}), 1),
        0);
}

static void nothing_above_a_login_process_is (void **s)
{
    static const char *const names[] = {"sshd",   "login", "tmux: server",
                                        "SCREEN", "cron",  "systemd"};

    (void) s;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        // the job's own shell is the topmost that there is
        assert_int_equal (
            above (TABLE ({"sh", "sh -c job", 0}, {names[i], names[i], 0},
                          {"make", "make", 0}),
                   1),
            0);
        // a carrier lives no longer than the command
        assert_int_equal (
            above (TABLE ({"timeout", "timeout 9 x", 0},
                          {names[i], names[i], 0}, {"make", "make", 0}),
                   1),
            -1);
    }
}

static void at_pid_1_there_is_none (void **s)
{
    (void) s;
    assert_int_equal (above (TABLE ({"sh", "sh -c job", 0}), 1), -1);
    assert_int_equal (above (TABLE ({"timeout", "timeout 9 x", 0}), 1), -1);
    assert_int_equal (supervisor_above (1, look, NULL), 0);
}

static void process_that_vanished_meanwhile_ends_the_walk (void **s)
{
    (void) s;
    assert_int_equal (above (TABLE ({"sh", "sh -c job", 0}), 77), -1);
}

static void ring_of_parents_ends (void **s)
{
    (void) s;
    // as pids are reused while the walk goes on
    assert_int_equal (above (TABLE ({"env", "env x", 0}), FIRST), -1);
}

static void
watch_comes_before_the_environment_and_that_before_the_walk (void **s)
{
    struct supervisor found;
    char own[16], error[256];

    (void) s;
    snprintf (own, sizeof own, "%ld", (long) getpid ());
    setenv ("SLOTBUS_SUPERVISOR", own, 1);
    setenv ("CLAUDE_PID", "1", 1);
    assert_int_equal (supervisor_find (0, &found, error, sizeof error), 0);
    assert_int_equal (found.pid, getpid ());
    assert_string_equal (found.name, "test_supervisor");
    assert_int_equal (supervisor_find (getppid (), &found, error, sizeof error),
                      0);
    assert_int_equal (found.pid, getppid ());
    unsetenv ("SLOTBUS_SUPERVISOR");
    assert_int_equal (supervisor_find (0, &found, error, sizeof error), 0);
    assert_int_equal (found.pid, 1);
    unsetenv ("CLAUDE_PID");
}

static void dead_or_senseless_pid_is_refused_by_its_source (void **s)
{
    struct supervisor found = {.pid = 7};
    char error[256];

    (void) s;
    assert_int_equal (supervisor_find (INT32_MAX, &found, error, sizeof error),
                      -1);
    assert_non_null (strstr (error, "--watch"));
    setenv ("SLOTBUS_SUPERVISOR", "12x", 1);
    assert_int_equal (supervisor_find (0, &found, error, sizeof error), -1);
    assert_non_null (strstr (error, "SLOTBUS_SUPERVISOR"));
    assert_int_equal (found.pid, 7); // untouched
    unsetenv ("SLOTBUS_SUPERVISOR");
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (interactive_shell_is_it),
        cmocka_unit_test (script_is_it_also_below_another_one),
        cmocka_unit_test (command_string_is_passed_whatever_its_options),
        cmocka_unit_test (interpreter_that_is_no_shell_is_it_though_it_has_c),
        cmocka_unit_test (subshell_is_passed_to_the_script_that_forked_it),
        cmocka_unit_test (shell_started_inside_the_same_shell_is_no_subshell),
        cmocka_unit_test (carriers_are_passed_but_not_scripts_of_their_name),
        cmocka_unit_test (nothing_above_a_login_process_is),
        cmocka_unit_test (at_pid_1_there_is_none),
        cmocka_unit_test (process_that_vanished_meanwhile_ends_the_walk),
        cmocka_unit_test (ring_of_parents_ends),
        cmocka_unit_test (
            watch_comes_before_the_environment_and_that_before_the_walk),
        cmocka_unit_test (dead_or_senseless_pid_is_refused_by_its_source),
    };

    return cmocka_run_group_tests (tests, NULL, NULL);
}
