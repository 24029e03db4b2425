/* SPDX-License-Identifier: MPL-2.0 */
/* What a tree takes, in a /proc of the test's own, and of real processes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bus/base.h"
#include "bus/cgroup.h"
#include "footprint.h"

enum { KEEPER = 100, MB = 1 << 20, MANY = FOOTPRINT_READS * 3 / 4 };

static char root[64];

/* ---- a made /proc ---- */

static void write_in (const char *name, const char *text)
{
    char *path = xasprintf ("%s/%s", root, name);
    FILE *file;

    make_folders (path, 0700);
    file = fopen (path, "w");
    assert_non_null (file);
    fputs (text, file);
    fclose (file);
    free (path);
}

/* A process with its figures, in ticks and pages, and its children. */
struct made {
    int pid;
    const char *comm, *children;
    char state;
    unsigned ticks, waited, resident, shared, threads;
};

static void stat_line (const struct made *m, char *ret_text, size_t size)
{
    snprintf (ret_text, size,
              "%d (%s) %c 1 1 1 0 -1 0 0 0 0 0 %u 1 %u 0 20 0 %u 0 77 1 1\n",
              m->pid, m->comm, m->state, m->ticks, m->waited, m->threads);
}

static void make (const struct made *m)
{
    char name[64], text[256];

    stat_line (m, text, sizeof text);
    snprintf (name, sizeof name, "%d/stat", m->pid);
    write_in (name, text);
    snprintf (name, sizeof name, "%d/task/%d/stat", m->pid, m->pid);
    write_in (name, text);
    snprintf (name, sizeof name, "%d/task/%d/children", m->pid, m->pid);
    snprintf (text, sizeof text, "%s ", m->children); // as the kernel does
    write_in (name, text);
    snprintf (name, sizeof name, "%d/statm", m->pid);
    snprintf (text, sizeof text, "9999 %u %u 1 0 1 0\n", m->resident,
              m->shared);
    write_in (name, text);
}

static int setup (void **state)
{
    (void) state;
    strcpy (root, "/tmp/slotbus-test-XXXXXX");
    return mkdtemp (root) ? 0 : -1;
}

static int teardown (void **state)
{
    char *command = xasprintf ("rm -r '%s'", root);
    int rc = system (command);

    (void) state;
    free (command);
    return rc;
}

static struct measured measure (void)
{
    struct measured m;

    assert_int_equal (footprint_measure (root, KEEPER, "", &m), 0);
    return m;
}

static uint64_t pages (unsigned n)
{
    return n * (uint64_t) sysconf (_SC_PAGESIZE);
}

static uint64_t ticks (unsigned n)
{
    return n * 1000u / (uint64_t) sysconf (_SC_CLK_TCK);
}

static void descendants_count_and_their_keeper_does_not (void **state)
{
    (void) state;
    make (&(struct made){KEEPER, "slotbus-keeper", "101 102 ", 'R', 50, 7, 900,
                         100, 1});
    make (&(struct made){101, "a) (b", "103 ", 'S', 30, 0, 500, 200, 1});
    make (&(struct made){102, "make", "", 'R', 20, 5, 40, 10, 1});
    make (&(struct made){103, "cc1", "", 'D', 10, 0, 1000, 100, 1});
    assert_int_equal (measure ().memory_bytes, pages (300 + 30 + 900));
    // each has a tick of system time; of the dead what was waited for
    assert_int_equal (measure ().cpu_ms, ticks (7 + 31 + 21 + 5 + 11));
    assert_int_equal (measure ().running, 2);
}

static void threads_that_run_count_each (void **state)
{
    struct made thread = {0, "java", "", 'R', 0, 0, 0, 0, 3};
    char text[256];

    (void) state;
    make (&(struct made){KEEPER, "slotbus-keeper", "101", 'S', 0, 0, 1, 1, 1});
    make (&(struct made){101, "java", "", 'S', 0, 0, 9, 1, 3});
    stat_line (&thread, text, sizeof text);
    write_in ("101/task/110/stat", text);
    write_in ("101/task/111/stat", text);
    write_in ("101/task/111/children", "112 ");
    make (&(struct made){112, "x", "", 'S', 0, 0, 5, 1, 1});
    assert_int_equal (measure ().running, 2);
    assert_int_equal (measure ().memory_bytes, pages (8 + 4));
}

static void nested_keeper_and_what_it_runs_count_where_they_belong (void **s)
{
    (void) s;
    make (&(struct made){KEEPER, "slotbus-keeper", "101", 'S', 0, 0, 1, 1, 1});
    make (&(struct made){101, "sh", "102", 'S', 0, 0, 10, 0, 1});
    make (&(struct made){102, "slotbus-keeper", "103", 'S', 0, 0, 20, 0, 1});
    make (&(struct made){103, "cc1", "", 'R', 0, 0, 4000, 0, 1});
    assert_int_equal (measure ().memory_bytes, pages (10));
    assert_int_equal (measure ().running, 0);
}

static void what_has_just_gone_or_says_rubbish_counts_nothing (void **state)
{
    struct measured m = {1, 2, 3};

    (void) state;
    make (&(struct made){KEEPER, "slotbus-keeper", "101 102 103 104 x", 'S', 0,
                         0, 1, 1, 1});
    make (&(struct made){101, "sh", "", 'S', 0, 0, 10, 20, 1}); // shared more
    write_in ("102/stat", "102 (no end R 1 1");
    write_in ("104/stat", "");
    assert_int_equal (measure ().memory_bytes, 0);
    assert_int_equal (footprint_measure (root, 4711, "", &m), -1);
    assert_int_equal (footprint_measure (root, 0, "", &m), -1);
    assert_int_equal (m.memory_bytes, 1); // untouched
}

/* "FROM .. TO ", the children of one of the keeper's threads. */
static void list_children (int thread, int from, int to)
{
    char text[16000] = "", name[64];
    size_t used = 0;

    for (int pid = from; pid < to; pid++)
        used += (size_t) snprintf (text + used, sizeof text - used, "%d ", pid);
    snprintf (name, sizeof name, "%d/task/%d/children", KEEPER, thread);
    write_in (name, text);
}

static void huge_tree_costs_a_bounded_number_of_reads (void **state)
{
    (void) state;
    make (&(struct made){KEEPER, "slotbus-keeper", "", 'S', 0, 0, 1, 1, 1});
    make (&(struct made){999, "x", "", 'S', 0, 0, 70, 0, 1});
    list_children (KEEPER, 1000, 1000 + MANY); // none of them is there
    list_children (101, 999, 1000);
    assert_int_equal (measure ().memory_bytes, pages (70));
    list_children (101, 5000, 5000 + MANY);
    make (&(struct made){5000 + MANY - 1, "x", "999", 'S', 0, 0, 0, 0, 1});
    assert_int_equal (measure ().memory_bytes, 0);
}

/* Of a list that is longer than what is read the last number is a part. */
static void stranger_whose_number_begins_alike_is_none_of_it (void **state)
{
    char list[16384 + 64] = "";
    (void) state;

    make (&(struct made){KEEPER, "slotbus-keeper", "", 'S', 0, 0, 1, 1, 1});
    make (&(struct made){7, "init", "", 'S', 0, 0, 70, 0, 1});
    for (size_t used = 0; used < 16380; used += 7)
        memcpy (list + used, "765432 ", 7);
    memcpy (list + 16380, "  7", 3); // so far it is read
    memcpy (list + 16383, "65432 ", 6);
    write_in ("100/task/100/children", list);
    assert_int_equal (measure ().memory_bytes, 0);
}

/* ---- real ---- */

/* Has so much memory of its own, and says when. */
static _Noreturn void hold (size_t bytes, int ready)
{
    char *memory = mmap (NULL, bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    memset (memory, 1, bytes);
    (void) !write (ready, "+", 1);
    for (;;)
        pause ();
}

static pid_t start (size_t bytes, int ready)
{
    pid_t pid = fork ();

    if (pid == 0) {
        prctl (PR_SET_PDEATHSIG, SIGKILL);
        hold (bytes, ready);
    }
    return pid;
}

static void real_processes_have_what_they_took (void **state)
{
    struct measured before, after;
    pid_t children[2];
    int ready[2];
    char byte;

    (void) state;
    assert_int_equal (pipe (ready), 0);
    assert_int_equal (footprint_measure ("/proc", getpid (), "", &before), 0);
    for (int i = 0; i < 2; i++)
        children[i] = start (40 * MB, ready[1]);
    for (int i = 0; i < 2; i++)
        assert_int_equal (read (ready[0], &byte, 1), 1);
    assert_int_equal (footprint_measure ("/proc", getpid (), "", &after), 0);
    for (int i = 0; i < 2; i++) {
        kill (children[i], SIGKILL);
        waitpid (children[i], NULL, 0);
    }
    close (ready[0]);
    close (ready[1]);
    assert_in_range (after.memory_bytes - before.memory_bytes, 80 * MB,
                     100 * MB);
    assert_int_equal (footprint_measure ("/proc", getpid (), "", &after), 0);
    assert_int_equal (after.memory_bytes, before.memory_bytes);
}

/* In the tree's cgroup, and with a tree in a cgroup below it. */
static _Noreturn void be_a_tree_within_which_another_is (const struct cgroup *c,
                                                         int ready)
{
    struct cgroup inner;

    prctl (PR_SET_PDEATHSIG, SIGKILL);
    if (cgroup_enter (c) || cgroup_create (&inner, 18))
        _exit (1);
    if (fork () == 0) {
        prctl (PR_SET_PDEATHSIG, SIGKILL);
        if (cgroup_enter (&inner) == 0)
            hold (40 * MB, ready);
        _exit (1);
    }
    hold (20 * MB, ready);
}

static void end_all_in (struct cgroup *c, pid_t pid)
{
    kill (pid, SIGKILL); // its child dies with it
    waitpid (pid, NULL, 0);
    while (cgroup_populated (c) > 0) {
        struct pollfd p = {c->events, POLLPRI, 0};

        poll (&p, 1, 1000);
    }
    cgroup_remove (c);
}

static void cgroup_has_its_own_and_not_the_trees_within_it (void **state)
{
    struct measured by_cgroup, by_children;
    struct cgroup c;
    int ready[2];
    char bytes[2];
    pid_t pid;

    (void) state;
    if (cgroup_create (&c, 17)) {
        skip ();
        return;
    }
    assert_int_equal (pipe (ready), 0);
    pid = fork ();
    if (pid == 0)
        be_a_tree_within_which_another_is (&c, ready[1]);
    for (int i = 0; i < 2; i++)
        assert_int_equal (read (ready[0], &bytes[i], 1), 1);
    footprint_measure ("/proc", getpid (), c.path, &by_cgroup);
    footprint_measure ("/proc", getpid (), "", &by_children);
    end_all_in (&c, pid);
    close (ready[0]);
    close (ready[1]);
    assert_in_range (by_cgroup.memory_bytes, 20 * MB, 35 * MB);
    assert_in_range (by_children.memory_bytes, 60 * MB, 80 * MB);
}

static void burn (int64_t ms)
{
    struct timespec used;

    do
        clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &used);
    while (used.tv_sec * 1000 + used.tv_nsec / 1000000 < ms);
    _exit (0);
}

static void time_of_the_dead_is_known_by_who_waited_for_them (void **state)
{
    struct measured before, after;
    pid_t pid;

    (void) state;
    assert_int_equal (footprint_measure ("/proc", getpid (), "", &before), 0);
    pid = fork ();
    if (pid == 0)
        burn (300);
    waitpid (pid, NULL, 0);
    assert_int_equal (footprint_measure ("/proc", getpid (), "", &after), 0);
    assert_in_range (after.cpu_ms - before.cpu_ms, 250, 1000);
}

#define TEST(name) cmocka_unit_test_setup_teardown (name, setup, teardown)

int main (void)
{
    const struct CMUnitTest tests[] = {
        TEST (descendants_count_and_their_keeper_does_not),
        TEST (threads_that_run_count_each),
        TEST (nested_keeper_and_what_it_runs_count_where_they_belong),
        TEST (what_has_just_gone_or_says_rubbish_counts_nothing),
        TEST (huge_tree_costs_a_bounded_number_of_reads),
        TEST (stranger_whose_number_begins_alike_is_none_of_it),
        cmocka_unit_test (real_processes_have_what_they_took),
        cmocka_unit_test (cgroup_has_its_own_and_not_the_trees_within_it),
        cmocka_unit_test (time_of_the_dead_is_known_by_who_waited_for_them),
    };

    return cmocka_run_group_tests (tests, NULL, NULL);
}
