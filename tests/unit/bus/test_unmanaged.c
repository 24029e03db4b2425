/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus/unmanaged.h"
#include "unit/bus/scratch.h"

static struct unmanaged_found found;
static unsigned asked;

static bool knows (void *arg, const char *folder)
{
    (void) arg;
    asked++;
    return strcmp (folder, "odin") == 0 || strcmp (folder, "consilio") == 0;
}

static pid_t supervisor;

static bool supervises (void *arg, pid_t pid)
{
    (void) arg;
    return pid == supervisor;
}

static const struct unmanaged_eyes eyes = {knows, supervises, NULL};

/* ---- a made /proc ---- */

static void put (void **state, int pid, const char *what, const char *text)
{
    char name[64];

    snprintf (name, sizeof name, "proc/%d/%s", pid, what);
    scratch_file (state, name, text);
}

/* A process of that name and parent, with that many pages of its own. */
static void make (void **state, int pid, int parent, const char *comm,
                  unsigned pages)
{
    char text[256];

    snprintf (text, sizeof text, "%d (%s) S %d 1 1 0\n", pid, comm, parent);
    put (state, pid, "stat", text);
    put (state, pid, "cmdline", "/bin/sh");
    put (state, pid, "environ", "HOME=/");
    put (state, pid, "cgroup", "0::/user.slice\n");
    snprintf (text, sizeof text, "999 %u 10 0 0 0 0\n", pages + 10);
    put (state, pid, "statm", text);
}

static void works_in (void **state, int pid, const char *folder)
{
    char name[64];

    snprintf (name, sizeof name, "proc/%d/cwd", pid);
    assert_int_equal (symlink (folder, scratch_path (state, name)), 0);
}

static struct unmanaged_found look (void **state, const char *names)
{
    struct unmanaged_search *u =
        unmanaged_create (scratch_path (state, "proc"), names);

    assert_true (unmanaged_look (u, 1000, &eyes, &found));
    unmanaged_destroy (u);
    return found;
}

static uint64_t pages (unsigned n)
{
    return n * (uint64_t) sysconf (_SC_PAGESIZE);
}

static void names_are_those_of_comm_and_of_argv (void **state)
{
    make (state, 10, 1, "claude", 100);
    make (state, 11, 1, "node", 20);
    put (state, 11, "cmdline", "/usr/local/bin/claude");
    make (state, 12, 1, "claudette", 5);
    make (state, 13, 1, "a) (rustc", 5);
    make (state, 14, 1, "claude,codex", 5);
    make (state, 15, 1, "", 5);
    assert_int_equal (look (state, "claude,codex,rustc").count, 2);
    assert_int_equal (found.memory_bytes, pages (120));
    assert_string_equal (found.of, "");
    assert_int_equal (look (state, "").count, 0);
    assert_int_equal (look (state, "rustc").count, 0);
}

static void what_runs_under_a_slot_is_left_out (void **state)
{
    make (state, 10, 1, "slotbus-keeper", 1);
    make (state, 11, 10, "sh", 1);
    make (state, 12, 11, "cc1", 1); // below a keeper
    make (state, 20, 1, "slotbus", 1);
    scratch_file (state, "proc/20/cmdline", "slotbus");
    make (state, 21, 20, "cc1", 1); // below another command of slotbus
    make (state, 30, 1, "cc1", 1);
    put (state, 30, "cgroup", "4:memory:/x\n0::/a/slotbus-17-abc/b\n");
    make (state, 40, 1, "cc1", 1);
    put (state, 40, "environ", "SLOTBUS_COOKIE=b00f:17");
    make (state, 50, 51, "cc1", 1); // whose parents go round in circles
    make (state, 51, 50, "sh", 1);
    make (state, 60, 1, "cc1", 1);
    put (state, 60, "cgroup", "0::/system.slice/slotbus-x.service\n");
    make (state, 61, 1, "cc1", 1);
    put (state, 61, "cgroup", "0::/slotbus-x.service/slotbus-7-ab\n");
    assert_int_equal (look (state, "cc1").count, 3);
}

static void project_is_guessed_by_the_last_folder_that_names_one (void **state)
{
    make (state, 10, 1, "claude", 100);
    works_in (state, 10, "/home/me/Consilio/odin/src");
    make (state, 11, 1, "claude", 70);
    works_in (state, 11, "/srv/CONSILIO");
    make (state, 12, 1, "claude", 60);
    works_in (state, 12, "/srv/consilio/wip");
    make (state, 13, 1, "claude", 900);
    works_in (state, 13, "/srv/elsewhere");
    assert_string_equal (look (state, "claude").of, "consilio"); // 130 of it
    assert_int_equal (found.count, 4);
    make (state, 14, 1, "claude", 90);
    works_in (state, 14, "/odin");
    assert_string_equal (look (state, "claude").of, "odin");
}

static void who_holds_slots_or_waits_is_managed (void **state)
{
    make (state, 10, 1, "claude", 7);
    make (state, 11, 10, "claude", 1);
    supervisor = 10;
    assert_int_equal (look (state, "claude").count,
                      1); // what it started is not
    assert_int_equal (found.memory_bytes, pages (1));
    supervisor = 0;
    assert_int_equal (look (state, "claude").count, 2);
}

static void look_goes_on_where_it_stopped (void **state)
{
    struct unmanaged_search *u =
        unmanaged_create (scratch_path (state, "proc"), "claude");
    unsigned steps = 0;

    for (int pid = 10; pid < 35; pid++)
        make (state, pid, 1, "claude", 1);
    while (!unmanaged_look (u, 10, &eyes, &found))
        steps++;
    assert_int_equal (steps, 2);
    assert_int_equal (found.count, 25);
    assert_false (unmanaged_look (u, 10, &eyes, &found)); // anew
    assert_int_equal (found.count, 25); // untouched until it is complete
    while (!unmanaged_look (u, 10, &eyes, &found))
        ;
    assert_int_equal (found.count, 25);
    unmanaged_destroy (u);
    unmanaged_destroy (NULL);
}

static void what_cannot_be_read_is_not_there (void **state)
{
    make (state, 10, 1, "claude", 1);
    put (state, 11, "stat", "rubbish");
    put (state, 12, "stat", "12 (claude) Z 1 1 1");
    put (state, 13, "stat", "13 (claude) S 1 1 1"); // and nothing else
    assert_int_equal (look (state, "claude").count, 2);
    assert_int_equal (found.memory_bytes, pages (1));
}

/* ---- real ---- */

static void real_process_is_found_and_goes_on (void **state)
{
    struct unmanaged_search *u = unmanaged_create ("/proc", "zz-no-agent");
    int ready[2];
    char byte;
    pid_t pid;

    (void) state;
    assert_int_equal (pipe (ready), 0);
    pid = fork ();
    if (pid == 0) {
        prctl (PR_SET_PDEATHSIG, SIGKILL);
        prctl (PR_SET_NAME, "zz-no-agent");
        (void) !write (ready[1], "+", 1);
        for (;;)
            pause ();
    }
    assert_int_equal (read (ready[0], &byte, 1), 1);
    while (!unmanaged_look (u, 20, &eyes, &found))
        ;
    assert_int_equal (found.count, 1);
    assert_int_equal (waitpid (pid, NULL, WNOHANG), 0); // lives
    kill (pid, SIGKILL);
    waitpid (pid, NULL, 0);
    while (!unmanaged_look (u, 20, &eyes, &found))
        ;
    assert_int_equal (found.count, 0);
    close (ready[0]);
    close (ready[1]);
    unmanaged_destroy (u);
}

int main (void)
{
#define T(f) cmocka_unit_test_setup_teardown (f, scratch_make, scratch_remove)
    const struct CMUnitTest tests[] = {
        T (names_are_those_of_comm_and_of_argv),
        T (what_runs_under_a_slot_is_left_out),
        T (who_holds_slots_or_waits_is_managed),
        T (project_is_guessed_by_the_last_folder_that_names_one),
        T (look_goes_on_where_it_stopped),
        T (what_cannot_be_read_is_not_there),
        T (real_process_is_found_and_goes_on),
    };

    return cmocka_run_group_tests (tests, NULL, NULL);
}
