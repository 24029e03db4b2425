/* SPDX-License-Identifier: MPL-2.0 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "bus/proc.h"
#include "unit/bus/scratch.h"

/* A child that lives until its pipe is closed. */
struct child {
    pid_t pid;
    int hold;
};

static void wait_for_end (int fd)
{
    char c;

    while (read (fd, &c, 1) > 0)
        ;
}

static struct child child_start (void)
{
    struct child c;
    int ends[2];

    assert_int_equal (pipe (ends), 0);
    c.pid = fork ();
    if (c.pid == 0) {
        close (ends[1]);
        wait_for_end (ends[0]);
        _exit (0);
    }
    close (ends[0]);
    c.hold = ends[1];
    return c;
}

/* Ended, but not reaped: a zombie. */
static void child_end (struct child *c)
{
    siginfo_t info;

    close (c->hold);
    assert_int_equal (waitid (P_PID, (id_t) c->pid, &info, WEXITED | WNOWAIT),
                      0);
}

static void child_reap (struct child *c)
{
    assert_int_equal (waitpid (c->pid, NULL, 0), c->pid);
}

static void process_is_known_by_pid_and_start (void **state)
{
    struct child c = child_start ();
    int64_t start = proc_start (c.pid);

    (void) state;
    assert_true (start > 0);
    assert_true (proc_alive (c.pid, start));
    assert_true (proc_alive (c.pid, 0));
    assert_false (proc_alive (c.pid, start + 1));
    assert_int_equal (proc_parent (c.pid), getpid ());
    child_end (&c);
    child_reap (&c);
}

static void zombie_does_not_live_but_has_its_pid (void **state)
{
    struct child c = child_start ();
    int64_t start = proc_start (c.pid);

    (void) state;
    child_end (&c);
    assert_int_equal (proc_start (c.pid), start);
    assert_false (proc_alive (c.pid, start));
    child_reap (&c);
    assert_int_equal (proc_start (c.pid), -1);
    assert_int_equal (errno, ESRCH);
    assert_false (proc_alive (c.pid, start));
}

static void *second_thread (void *arg)
{
    wait_for_end (*(int *) arg);
    _exit (0);
}

/* The first thread of a process may end before the others: the kernel then
 * shows a zombie that is none. */
static void process_whose_first_thread_ended_lives (void **state)
{
    int ends[2];
    char stat[8] = "";
    pid_t pid;

    (void) state;
    assert_int_equal (pipe (ends), 0);
    pid = fork ();
    if (pid == 0) {
        pthread_t thread;

        close (ends[1]);
        if (pthread_create (&thread, NULL, second_thread, &ends[0]))
            _exit (1);
        pthread_exit (NULL);
    }
    close (ends[0]);
    while (stat[0] != 'Z') { // until the first thread is gone
        char path[64], line[256];
        FILE *file;

        snprintf (path, sizeof path, "/proc/%d/stat", (int) pid);
        file = fopen (path, "r");
        assert_non_null (file);
        assert_non_null (fgets (line, sizeof line, file));
        fclose (file);
        stat[0] = strrchr (line, ')')[2];
    }
    assert_true (proc_alive (pid, 0));
    close (ends[1]);
    assert_int_equal (waitpid (pid, NULL, 0), pid);
}

static void name_with_parentheses_confuses_nobody (void **state)
{
    char name[32];
    int64_t start = proc_start (getpid ());

    (void) state;
    prctl (PR_SET_NAME, ") R 1 (x");
    assert_int_equal (proc_start (getpid ()), start);
    assert_int_equal (proc_parent (getpid ()), getppid ());
    assert_int_equal (proc_comm (getpid (), name, sizeof name), 0);
    assert_string_equal (name, ") R 1 (x");
}

static void pidfd_is_of_exactly_that_process (void **state)
{
    struct child c = child_start ();
    struct pollfd p = {.events = POLLIN};

    (void) state;
    assert_int_equal (proc_open (c.pid, proc_start (c.pid) + 1), -1);
    assert_int_equal (errno, ESRCH);
    p.fd = proc_open (c.pid, proc_start (c.pid));
    assert_true (p.fd >= 0);
    assert_int_equal (poll (&p, 1, 0), 0);
    child_end (&c);
    assert_int_equal (poll (&p, 1, -1), 1);
    child_reap (&c);
    close (p.fd);
    assert_int_equal (proc_open (c.pid, 0), -1);
    assert_int_equal (errno, ESRCH);
    assert_int_equal (proc_open (0, 0), -1);
    assert_int_equal (proc_open (-1, 0), -1);
}

/* The environment is the one of the exec: this test executes itself. */
static void variable_of_another_process_is_read (void **state)
{
    char value[64] = "old";
    pid_t self = getpid ();

    (void) state;
    assert_int_equal (proc_getenv (self, "SLOTBUS_TEST_B", value, sizeof value),
                      1);
    assert_string_equal (value, "b=c d");
    assert_int_equal (proc_getenv (self, "SLOTBUS_TEST_", value, sizeof value),
                      0);
    assert_int_equal (proc_getenv (self, "LOTBUS_TEST_B", value, sizeof value),
                      0);
    assert_string_equal (value, "b=c d");
    assert_int_equal (proc_getenv (self, "SLOTBUS_TEST_E", value, sizeof value),
                      1);
    assert_string_equal (value, "");
    assert_int_equal (
        proc_getenv (self, "SLOTBUS_TEST_LONG", value, sizeof value), 1);
    assert_int_equal (strlen (value), sizeof value - 1);
    assert_int_equal (proc_getenv (-1, "SLOTBUS_TEST_B", value, sizeof value),
                      -1);
}

static void command_line_has_its_separators (void **state)
{
    char line[4096];
    ssize_t n = proc_cmdline (getpid (), line, sizeof line);

    (void) state;
    assert_true (n > 6);
    assert_int_equal (line[n - 1], 0);
    assert_string_equal (line + strlen (line) + 1, "again");
}

static void boot_and_machine_have_ids (void **state)
{
    char boot[64], machine[64], again[64];

    assert_int_equal (host_boot_id (boot, sizeof boot), 0);
    assert_int_equal (strlen (boot), 36);
    assert_int_equal (host_machine_id (*state, machine, sizeof machine), 0);
    assert_int_equal (strlen (machine), 32);
    assert_int_equal (host_machine_id (*state, again, sizeof again), 0);
    assert_string_equal (machine, again);
    assert_int_equal (host_boot_id (boot, 8), -1);
}

static void name_of_the_host_may_be_given (void **state)
{
    char name[65];

    (void) state;
    setenv ("SLOTBUS_HOST", "vm1", 1);
    host_name (name, sizeof name);
    assert_string_equal (name, "vm1");
    unsetenv ("SLOTBUS_HOST");
    host_name (name, sizeof name);
    assert_true (strlen (name) > 0);
}

static void execute_again (char **argv)
{
    char long_value[9001];

    memset (long_value, 'x', sizeof long_value - 1);
    long_value[sizeof long_value - 1] = 0;
    setenv ("SLOTBUS_TEST_LONG", long_value, 1);
    setenv ("SLOTBUS_TEST_A", "SLOTBUS_TEST_B=no", 1);
    setenv ("SLOTBUS_TEST_B", "b=c d", 1);
    setenv ("SLOTBUS_TEST_E", "", 1);
    execl ("/proc/self/exe", argv[0], "again", (char *) NULL);
}

#define IN_SCRATCH(f)                                                          \
    cmocka_unit_test_setup_teardown (f, scratch_make, scratch_remove)

int main (int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (process_is_known_by_pid_and_start),
        cmocka_unit_test (zombie_does_not_live_but_has_its_pid),
        cmocka_unit_test (process_whose_first_thread_ended_lives),
        cmocka_unit_test (name_with_parentheses_confuses_nobody),
        cmocka_unit_test (pidfd_is_of_exactly_that_process),
        cmocka_unit_test (variable_of_another_process_is_read),
        cmocka_unit_test (command_line_has_its_separators),
        IN_SCRATCH (boot_and_machine_have_ids),
        cmocka_unit_test (name_of_the_host_may_be_given),
    };

    if (argc < 2)
        execute_again (argv);
    return cmocka_run_group_tests (tests, NULL, NULL);
}
