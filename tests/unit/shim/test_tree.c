/* SPDX-License-Identifier: MPL-2.0 */
/* test_tree.c - real trees: started, ended, and proven gone
 *
 * This process plays the keeper, or whoever comes after a keeper that was
 * killed. The trees are this program again (`test_tree child SHAPE`): each of
 * their processes writes one byte to READY_FD when it stands.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bus/base.h"
#include "bus/cookie.h"
#include "bus/proc.h"
#include "tree.h"

enum { READY_FD = 90, TOKEN = 17, PATIENCE_MS = 20000 };

/* --- what runs in the trees --- */

static void stand (void)
{
    (void) !write (READY_FD, "+", 1);
}

static _Noreturn void stay (void)
{
    for (;;)
        pause ();
}

static void be_plain (void)
{
    stand ();
    stay ();
}

static void be_stubborn (void)
{
    signal (SIGTERM, SIG_IGN);
    be_plain ();
}

static void be_stopped (void)
{
    stand ();
    raise (SIGSTOP);
    stay ();
}

/* A session of its own, twice forked, no descriptor kept. */
static void be_escaped (void)
{
    if (fork () > 0)
        return;
    setsid ();
    if (fork () > 0)
        _exit (0);
    stand ();
    for (int fd = 0; fd < 1024; fd++)
        close (fd);
    stay ();
}

/* The environment is another; the descriptor remains. */
static void be_clean (void)
{
    char *argv[] = {"test_tree", "child", "stubborn", NULL};
    char *env[] = {NULL};

    execve ("/proc/self/exe", argv, env);
    _exit (126);
}

/* Never the same pid for longer than a moment; not for ever, though: should a
 * test fail to end it, the machine survives. */
static _Noreturn void run_away (void)
{
    struct timespec moment = {.tv_nsec = 20000000};

    signal (SIGTERM, SIG_IGN);
    for (int i = 0; i < 300; i++) {
        if (fork () != 0)
            _exit (0);
        if (i == 0)
            stand ();
        nanosleep (&moment, NULL);
    }
    _exit (0);
}

/* Says so each time that it is asked. */
static void say_so (int number)
{
    (void) number;
    stand ();
}

static void be_counting (void)
{
    signal (SIGTERM, say_so);
    be_plain ();
}

static void in_child (void (*be) (void))
{
    if (fork () == 0) {
        be ();
        _exit (0);
    }
}

enum { STORM = 100 };

static void be_storm (void)
{
    for (int i = 0; i < STORM; i++)
        if (fork () == 0)
            run_away ();
    stay ();
}

/* Three levels, with all that is unpleasant. */
static void be_family (void)
{
    in_child (be_stubborn);
    in_child (be_stopped);
    in_child (be_escaped);
    in_child (be_clean);
    be_plain ();
}
enum { FAMILY = 5 };

/* Ends, while a child of it goes on. */
static void be_orphaning (void)
{
    in_child (be_plain);
    _exit (7);
}

/* What outlives it has the cookie, and a child that has not. */
static void be_household (void)
{
    in_child (be_clean);
    be_plain ();
}

static void be_ancestor (void)
{
    in_child (be_household);
    stay ();
}

/* A cgroup below its own, with a process in it. */
static void be_nested (void)
{
    struct cgroup c = CGROUP_NONE;

    if (fork () == 0) {
        if (cgroup_create (&c, 99) == 0)
            cgroup_enter (&c);
        be_plain ();
    }
    stay ();
}

static void be_done (void)
{
    _exit (3);
}

static int be (const char *shape)
{
    static const struct {
        const char *name;
        void (*be) (void);
    } shapes[] = {
        {"plain", be_plain},       {"stubborn", be_stubborn},
        {"family", be_family},     {"storm", be_storm},
        {"escaped", be_escaped},   {"orphaning", be_orphaning},
        {"nested", be_nested},     {"done", be_done},
        {"counting", be_counting}, {"ancestor", be_ancestor},
    };

    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (strcmp (shapes[i].name, shape) == 0)
            shapes[i].be ();
    return 126;
}

/* --- the world around a test --- */

struct world {
    int ready;   // read end
    bool cgroup; // with one, or without
    char cookie[96];
    struct tree tree;
    pid_t keeper; // a process that plays it, 0: this one
};

static bool possible; // can this machine make a cgroup?

static char *self (void)
{
    static char path[4096];

    assert_true (readlink ("/proc/self/exe", path, sizeof path - 1) > 0);
    return path;
}

/* Woken by each death; the timeout only covers a process that is not ours. */
static void await_death (void)
{
    struct timespec most = {.tv_nsec = 20000000};
    sigset_t set;

    sigemptyset (&set);
    sigaddset (&set, SIGCHLD);
    sigtimedwait (&set, NULL, &most);
}

static bool is_late (int64_t since)
{
    return clock_monotonic_ms () - since > PATIENCE_MS;
}

static void await_news (struct world *w)
{
    struct pollfd p = {.fd = w->ready, .events = POLLIN};

    poll (&p, 1, 5);
}

/* Reaps meanwhile, as a keeper does: a storm leaves many zombies. */
static void await_ready (struct world *w, int count)
{
    int64_t began = clock_monotonic_ms ();
    char byte;

    while (count > 0)
        if (read (w->ready, &byte, 1) == 1)
            count--;
        else {
            assert_false (is_late (began));
            tree_empty (&w->tree);
            await_news (w);
        }
}

static void start (struct world *w, const char *shape)
{
    char *argv[] = {self (), "child", (char *) shape, NULL};
    char *env[] = {xasprintf ("SLOTBUS_COOKIE=%s", w->cookie), NULL};

    assert_int_equal (tree_start (&w->tree, argv, env), 0);
    free (env[0]);
}

static void kill_until_empty (struct world *w)
{
    int64_t began = clock_monotonic_ms ();

    for (tree_kill (&w->tree); !tree_empty (&w->tree); tree_kill (&w->tree)) {
        assert_false (is_late (began));
        await_death ();
    }
}

static void await_empty (struct world *w)
{
    int64_t began = clock_monotonic_ms ();

    while (!tree_empty (&w->tree)) {
        assert_false (is_late (began));
        await_death ();
    }
}

static struct world *prepare (bool cgroup)
{
    static unsigned number;
    struct world *w = xcalloc (1, sizeof *w);
    int ends[2];

    if (cgroup && !possible) {
        free (w);
        skip ();
    }
    snprintf (w->cookie, sizeof w->cookie, "test%ld:%u", (long) getpid (),
              ++number);
    assert_int_equal (pipe2 (ends, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal (dup2 (ends[1], READY_FD), READY_FD);
    close (ends[1]);
    w->ready = ends[0];
    w->cgroup = cgroup;
    tree_init (&w->tree, TOKEN, cgroup);
    assert_int_equal (w->tree.cgroup.dir >= 0, cgroup);
    return w;
}

/* After every test: no process, no cgroup. */
static void finish (struct world *w)
{
    struct cgroup c = CGROUP_NONE;
    bool unreadable;

    assert_int_equal (waitpid (-1, NULL, WNOHANG), -1);
    assert_int_equal (errno, ECHILD);
    assert_int_equal (cookie_count (w->cookie, 0, &unreadable), 0);
    tree_close (&w->tree);
    if (w->cgroup) {
        assert_int_equal (cgroup_open (&c, w->tree.cgroup.path), -1);
        assert_int_equal (errno, ENOENT);
    }
    close (w->ready);
    close (READY_FD);
    free (w);
}

/* --- tests of the keeper's view --- */

static void exit_status_of_the_command_is_kept (void **s)
{
    struct world *w = prepare (false);

    (void) s;
    start (w, "done");
    assert_true (w->tree.pid > 0);
    assert_true (w->tree.pid_start > 0);
    await_empty (w);
    assert_true (WIFEXITED (w->tree.status));
    assert_int_equal (WEXITSTATUS (w->tree.status), 3);
    finish (w);
}

static void ended_command_with_a_living_child_is_not_an_empty_tree (void **s)
{
    struct world *w = prepare (false);

    (void) s;
    start (w, "orphaning");
    await_ready (w, 1);
    while (!w->tree.ended) {
        assert_false (tree_empty (&w->tree));
        if (!w->tree.ended)
            await_death ();
    }
    assert_int_equal (WEXITSTATUS (w->tree.status), 7);
    assert_false (tree_empty (&w->tree));
    kill_until_empty (w);
    finish (w);
}

static void kills_a_family (bool cgroup)
{
    struct world *w = prepare (cgroup);

    start (w, "family");
    await_ready (w, FAMILY);
    assert_false (tree_empty (&w->tree));
    kill_until_empty (w);
    assert_int_equal (WTERMSIG (w->tree.status), SIGKILL);
    finish (w);
}

static void kill_ends_whatever_shape_the_tree_has (void **s)
{
    (void) s;
    kills_a_family (false);
}

static void kill_ends_whatever_shape_the_tree_has_in_a_cgroup (void **s)
{
    (void) s;
    kills_a_family (true);
}

static void kills_a_storm (bool cgroup)
{
    struct world *w = prepare (cgroup);

    start (w, "storm");
    await_ready (w, STORM);
    kill_until_empty (w);
    finish (w);
}

static void kill_overtakes_a_fork_storm (void **s)
{
    (void) s;
    kills_a_storm (false);
}

static void kill_overtakes_a_fork_storm_in_a_cgroup (void **s)
{
    (void) s;
    kills_a_storm (true);
}

/* SIGKILL to the cgroup and nothing else reaches an escaped process, too. */
static void cgroup_holds_what_escapes (void **s)
{
    struct world *w = prepare (true);
    struct pids members = PIDS_NONE;

    (void) s;
    start (w, "family");
    await_ready (w, FAMILY);
    cgroup_add_pids (&w->tree.cgroup, &members);
    assert_int_equal (members.count, FAMILY);
    for (size_t i = 0; i < members.count; i++)
        assert_true (cgroup_has (&w->tree.cgroup, members.pid[i]));
    assert_false (cgroup_has (&w->tree.cgroup, getpid ()));
    pids_free (&members);
    assert_int_equal (cgroup_kill (&w->tree.cgroup), 0);
    await_empty (w);
    finish (w);
}

/* Whoever got in there: as long as it lives the tree is not gone. */
static void tree_without_children_whose_cgroup_lives_is_not_empty (void **s)
{
    struct world *w = prepare (true);
    int above;

    (void) s;
    start (w, "done");
    await_empty (w);
    above = openat (w->tree.cgroup.dir, "../cgroup.procs", O_WRONLY);
    assert_true (above >= 0);
    assert_int_equal (cgroup_enter (&w->tree.cgroup), 0);
    assert_false (tree_empty (&w->tree));
    assert_true (w->tree.childless);
    assert_int_equal (write_all (above, "0", 1), 0);
    assert_true (tree_empty (&w->tree));
    close (above);
    finish (w);
}

static void cgroups_nested_by_the_tree_are_removed_with_it (void **s)
{
    struct world *w = prepare (true);
    struct pids members = PIDS_NONE;

    (void) s;
    start (w, "nested");
    await_ready (w, 1);
    cgroup_add_pids (&w->tree.cgroup, &members);
    assert_int_equal (members.count, 2);
    pids_free (&members);
    assert_int_equal (cgroup_populated (&w->tree.cgroup), 1);
    kill_until_empty (w);
    finish (w);
}

static void term_reaches_all_also_the_stopped (void **s)
{
    struct world *w = prepare (false);
    struct pids left = PIDS_NONE;
    int64_t began = clock_monotonic_ms ();

    (void) s;
    start (w, "family");
    await_ready (w, FAMILY);
    tree_term (&w->tree);
    do { // all but the two that ignore it
        assert_false (is_late (began));
        await_death ();
        tree_empty (&w->tree);
        pids_free (&left);
        pids_add_children (&left, getpid ());
        pids_add_descendants (&left);
    } while (!w->tree.ended || left.count != 2);
    pids_free (&left);
    assert_int_equal (WTERMSIG (w->tree.status), SIGTERM);
    kill_until_empty (w);
    finish (w);
}

static void nobody_is_asked_twice (void **s)
{
    struct world *w = prepare (false);
    pid_t first;

    (void) s;
    start (w, "counting");
    await_ready (w, 1);
    tree_term (&w->tree);
    await_ready (w, 1);
    first = w->tree.pid;
    start (w, "counting"); // as if it had been forked meanwhile
    await_ready (w, 1);
    tree_term (&w->tree);
    await_ready (w, 1);
    assert_true (pids_has (&w->tree.asked, first));
    assert_true (pids_has (&w->tree.asked, w->tree.pid));
    kill_until_empty (w);
    assert_int_equal (read (w->ready, &first, 1), -1); // nobody said more
    finish (w);
}

static void every_way_to_find_descendants_finds_the_same (void **s)
{
    struct world *w = prepare (false);
    struct pids a = PIDS_NONE, b = PIDS_NONE;

    (void) s;
    start (w, "family");
    await_ready (w, FAMILY);
    tree_empty (&w->tree);
    pids_add_children (&a, getpid ());
    pids_add_children (&b, getpid ());
    pids_add_descendants (&a);
    pids_add_descendants_by_parent (&b);
    assert_true (a.count >= FAMILY); // with zombies between
    assert_int_equal (a.count, b.count);
    for (size_t i = 0; i < a.count; i++)
        assert_true (pids_has (&b, a.pid[i]));
    pids_free (&a);
    pids_free (&b);
    kill_until_empty (w);
    finish (w);
}

static bool never (pid_t pid, const void *arg)
{
    (void) pid;
    (void) arg;
    return false;
}

static void nobody_is_signalled_who_does_not_belong (void **s)
{
    static const int kill_now[] = {SIGKILL, 0};
    struct world *w = prepare (false);
    struct pids p = PIDS_NONE;

    (void) s;
    start (w, "plain");
    await_ready (w, 1);
    pids_add (&p, w->tree.pid);
    pids_add (&p, getpid ()); // not taken
    assert_int_equal (p.count, 1);
    assert_int_equal (pids_signal (&p, kill_now, never, NULL), 0);
    assert_false (tree_empty (&w->tree));
    assert_true (proc_alive (w->tree.pid, w->tree.pid_start));
    pids_free (&p);
    kill_until_empty (w);
    finish (w);
}

static void command_that_is_not_found_ends_with_127 (void **s)
{
    struct world *w = prepare (false);
    char *missing[] = {"/nonexistent/program", NULL};
    char *barred[] = {"/proc/self/environ", NULL};
    char *env[] = {NULL};
    int quiet = open ("/dev/null", O_WRONLY | O_CLOEXEC);
    int stderr_before = dup (STDERR_FILENO);

    (void) s;
    dup2 (quiet, STDERR_FILENO);
    assert_int_equal (tree_start (&w->tree, missing, env), 0);
    await_empty (w);
    assert_int_equal (WEXITSTATUS (w->tree.status), 127);
    w->tree.ended = false;
    assert_int_equal (tree_start (&w->tree, barred, env), 0);
    await_empty (w);
    assert_int_equal (WEXITSTATUS (w->tree.status), 126);
    dup2 (stderr_before, STDERR_FILENO);
    close (stderr_before);
    close (quiet);
    finish (w);
}

static void usage_of_the_tree_is_known_in_the_end (void **s)
{
    struct world *w = prepare (false);
    uint64_t peak = 0, cpu = UINT64_MAX;

    (void) s;
    start (w, "done");
    await_empty (w);
    tree_usage (&w->tree, &peak, &cpu);
    assert_true (peak > 100000);
    assert_true (cpu < 600000);
    finish (w);
}

/* --- tests of those who come after a keeper --- */

/* Another process plays the keeper; its tree falls to this one, as it would
 * to the run or to init, but is not known to it. */
static void start_under_a_keeper (struct world *w, const char *shape, int count)
{
    w->keeper = fork ();
    assert_true (w->keeper >= 0);
    if (w->keeper == 0) {
        char *argv[] = {self (), "child", (char *) shape, NULL};
        char *env[] = {xasprintf ("SLOTBUS_COOKIE=%s", w->cookie), NULL};

        prctl (PR_SET_PDEATHSIG, SIGKILL);
        prctl (PR_SET_CHILD_SUBREAPER, 1);
        signal (SIGCHLD, SIG_IGN);
        if (tree_start (&w->tree, argv, env))
            _exit (1);
        stay ();
    }
    await_ready (w, count);
}

static void kill_the_keeper (struct world *w)
{
    assert_int_equal (kill (w->keeper, SIGKILL), 0);
    assert_int_equal (waitpid (w->keeper, NULL, 0), w->keeper);
}

static void reap_all (void)
{
    while (waitpid (-1, NULL, WNOHANG) > 0)
        ;
}

static enum tree_proof end_until_proven (struct world *w)
{
    int64_t began = clock_monotonic_ms ();
    enum tree_proof proof;

    while ((proof = tree_end_leftovers (w->tree.cgroup.path, w->cookie, 0)) ==
           TREE_ALIVE) {
        assert_false (is_late (began));
        await_death ();
        reap_all ();
    }
    return proof;
}

static void await_no_children (void)
{
    int64_t began = clock_monotonic_ms ();

    for (reap_all (); waitpid (-1, NULL, WNOHANG) == 0; reap_all ()) {
        assert_false (is_late (began));
        await_death ();
    }
}

static void leftovers_of_a_killed_keeper_are_ended_by_their_cookie (void **s)
{
    struct world *w = prepare (false);
    bool unreadable;

    (void) s;
    start_under_a_keeper (w, "escaped", 1);
    assert_int_equal (tree_gone ("", w->cookie, 0), TREE_ALIVE);
    kill_the_keeper (w);
    assert_int_equal (tree_gone ("", w->cookie, 0), TREE_ALIVE);
    assert_true (cookie_count (w->cookie, 0, &unreadable) > 0);
    assert_int_equal (end_until_proven (w), TREE_GONE);
    await_no_children ();
    finish (w);
}

static void leftover_without_the_cookie_is_ended_with_its_ancestor (void **s)
{
    struct world *w = prepare (false);

    (void) s;
    start_under_a_keeper (w, "ancestor", 2);
    kill_the_keeper (w);
    assert_int_equal (end_until_proven (w), TREE_GONE);
    await_no_children ();
    finish (w);
}

static void leftovers_that_storm_are_ended_by_their_cookie (void **s)
{
    struct world *w = prepare (false);

    (void) s;
    start_under_a_keeper (w, "storm", STORM);
    kill_the_keeper (w);
    signal (SIGCHLD, SIG_IGN); // what falls to this process is reaped at once
    assert_int_equal (end_until_proven (w), TREE_GONE);
    await_no_children ();
    signal (SIGCHLD, SIG_DFL);
    finish (w);
}

static void leftovers_of_a_killed_keeper_are_ended_by_their_cgroup (void **s)
{
    struct world *w = prepare (true);
    char path[CGROUP_PATH];

    (void) s;
    strcpy (path, w->tree.cgroup.path);
    start_under_a_keeper (w, "family", FAMILY);
    kill_the_keeper (w);
    assert_int_equal (tree_gone (path, "", 0), TREE_ALIVE);
    assert_int_equal (end_until_proven (w), TREE_GONE);
    await_no_children ();
    assert_int_equal (tree_gone (path, "", 0), TREE_GONE); // removed
    cgroup_close (&w->tree.cgroup);
    finish (w);
}

/* By root for example; the cgroup alone would then lie. */
static void process_moved_out_of_the_cgroup_is_found_by_its_cookie (void **s)
{
    struct world *w = prepare (true);
    struct cgroup other = CGROUP_NONE;
    struct pids members = PIDS_NONE;
    char pid[32], path[CGROUP_PATH];
    int64_t began = clock_monotonic_ms ();
    int fd;

    (void) s;
    strcpy (path, w->tree.cgroup.path);
    start_under_a_keeper (w, "escaped", 1);
    kill_the_keeper (w);
    assert_int_equal (cgroup_create (&other, TOKEN), 0);
    // those that it escaped from may still be ending
    while (members.count != 1) {
        assert_false (is_late (began));
        pids_free (&members);
        cgroup_add_pids (&w->tree.cgroup, &members);
    }
    snprintf (pid, sizeof pid, "%ld", (long) members.pid[0]);
    pids_free (&members);
    fd = openat (other.dir, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    assert_int_equal (write_all (fd, pid, strlen (pid)), 0);
    close (fd);
    assert_int_equal (cgroup_populated (&w->tree.cgroup), 0);
    assert_int_equal (tree_gone (path, w->cookie, 0), TREE_ALIVE);
    assert_int_equal (end_until_proven (w), TREE_GONE);
    await_no_children ();
    cgroup_close (&w->tree.cgroup);
    cgroup_remove (&other);
    finish (w);
}

static void another_tree_is_left_alone (void **s)
{
    struct world *w = prepare (false);
    char mine[96];

    (void) s;
    start (w, "plain");
    await_ready (w, 1);
    strcpy (mine, w->cookie);
    strcat (w->cookie, "0"); // begins like the other
    assert_int_equal (end_until_proven (w), TREE_GONE);
    w->cookie[strlen (w->cookie) - 2] = 0; // and the other begins like it
    assert_int_equal (end_until_proven (w), TREE_GONE);
    strcpy (w->cookie, mine);
    assert_true (proc_alive (w->tree.pid, w->tree.pid_start));
    kill_until_empty (w);
    finish (w);
}

static void process_older_than_the_tree_is_not_of_it (void **s)
{
    struct world *w = prepare (false);
    bool unreadable;

    (void) s;
    start (w, "plain");
    await_ready (w, 1);
    assert_int_equal (cookie_count (w->cookie, w->tree.pid_start, &unreadable),
                      1);
    assert_int_equal (
        cookie_count (w->cookie, w->tree.pid_start + 1, &unreadable), 0);
    kill_until_empty (w);
    finish (w);
}

static void cgroup_of_somebody_else_is_not_touched (void **s)
{
    static const char *const paths[] = {
        "..",         "../slotbus-1",   "/",
        "user.slice", "x/slotbus-1/..", "/sys",
        "slotbus",    "/slotbus-1",     "../../slotbus-1"};
    struct cgroup c = CGROUP_NONE;

    (void) s;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        assert_int_equal (cgroup_open (&c, paths[i]), -1);
        assert_int_not_equal (errno, ENOENT);
        assert_int_not_equal (tree_gone (paths[i], "nobody:1", 0), TREE_GONE);
    }
    if (!possible)
        return;
    assert_int_equal (cgroup_open (&c, "slotbus-1-never-made"), -1);
    assert_int_equal (errno, ENOENT);
}

static void nothing_recorded_proves_nothing (void **s)
{
    (void) s;
    assert_int_equal (tree_gone ("", "", 0), TREE_UNPROVEN);
    assert_int_equal (tree_gone (NULL, NULL, 0), TREE_UNPROVEN);
}

/* A process without an environment has no cookie; one whose environment is
 * hidden may have it. As nobody, a process that may not be dumped is such. */
static void environment_that_cannot_be_read_is_not_proof (void **s)
{
    struct world *w;
    int status;
    pid_t pid;

    (void) s;
    if (geteuid () != 0)
        skip ();
    w = prepare (false);
    pid = fork ();
    assert_true (pid >= 0);
    if (pid == 0) {
        bool unreadable = false;
        pid_t hidden;

        if (setgid (65534) || setuid (65534) ||
            tree_gone ("", w->cookie, 0) != TREE_GONE)
            _exit (1);
        hidden = fork ();
        if (hidden == 0) {
            prctl (PR_SET_PDEATHSIG, SIGKILL);
            prctl (PR_SET_DUMPABLE, 0);
            be_plain ();
        }
        await_ready (w, 1);
        cookie_count (w->cookie, 0, &unreadable);
        _exit (unreadable && tree_gone ("", w->cookie, 0) == TREE_UNPROVEN &&
                       tree_gone ("", w->cookie, proc_start (hidden) + 1) ==
                           TREE_GONE
                   ? 0
                   : 2);
    }
    assert_int_equal (waitpid (pid, &status, 0), pid);
    assert_int_equal (status, 0);
    await_no_children ();
    finish (w);
}

static void run_ends_what_falls_to_it (void **s)
{
    struct world *w = prepare (false);
    int64_t began = clock_monotonic_ms ();

    (void) s;
    assert_true (tree_become_subreaper ());
    start_under_a_keeper (w, "family", FAMILY);
    assert_false (tree_become_subreaper ()); // it has a child now
    kill_the_keeper (w);
    while (tree_end_adopted (true, w->cookie) != TREE_GONE) {
        assert_false (is_late (began));
        await_death ();
    }
    finish (w);
}

static void run_spares_children_that_it_had_before (void **s)
{
    struct world *w = prepare (false);
    int64_t began = clock_monotonic_ms ();
    pid_t mine = fork ();

    (void) s;
    if (mine == 0)
        be_plain ();
    await_ready (w, 1);
    start_under_a_keeper (w, "escaped", 1);
    kill_the_keeper (w);
    while (tree_end_adopted (false, w->cookie) != TREE_GONE) {
        assert_false (is_late (began));
        await_death ();
    }
    assert_true (proc_alive (mine, 0));
    kill (mine, SIGKILL);
    assert_int_equal (waitpid (mine, NULL, 0), mine);
    await_no_children ();
    finish (w);
}

static void command_dies_with_its_keeper (void **s)
{
    struct world *w = prepare (false);
    int64_t began = clock_monotonic_ms ();

    (void) s;
    start_under_a_keeper (w, "stubborn", 1);
    kill_the_keeper (w);
    while (tree_gone ("", w->cookie, 0) != TREE_GONE) {
        assert_false (is_late (began));
        await_death ();
        reap_all ();
    }
    await_no_children ();
    finish (w);
}

static bool can_make_a_cgroup (void)
{
    struct cgroup c = CGROUP_NONE;
    bool can = cgroup_create (&c, TOKEN) == 0;

    cgroup_remove (&c);
    return can;
}

int main (int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (exit_status_of_the_command_is_kept),
        cmocka_unit_test (
            ended_command_with_a_living_child_is_not_an_empty_tree),
        cmocka_unit_test (kill_ends_whatever_shape_the_tree_has),
        cmocka_unit_test (kill_ends_whatever_shape_the_tree_has_in_a_cgroup),
        cmocka_unit_test (kill_overtakes_a_fork_storm),
        cmocka_unit_test (kill_overtakes_a_fork_storm_in_a_cgroup),
        cmocka_unit_test (cgroup_holds_what_escapes),
        cmocka_unit_test (
            tree_without_children_whose_cgroup_lives_is_not_empty),
        cmocka_unit_test (cgroups_nested_by_the_tree_are_removed_with_it),
        cmocka_unit_test (term_reaches_all_also_the_stopped),
        cmocka_unit_test (nobody_is_asked_twice),
        cmocka_unit_test (every_way_to_find_descendants_finds_the_same),
        cmocka_unit_test (nobody_is_signalled_who_does_not_belong),
        cmocka_unit_test (command_that_is_not_found_ends_with_127),
        cmocka_unit_test (usage_of_the_tree_is_known_in_the_end),
        cmocka_unit_test (
            leftovers_of_a_killed_keeper_are_ended_by_their_cookie),
        cmocka_unit_test (
            leftover_without_the_cookie_is_ended_with_its_ancestor),
        cmocka_unit_test (leftovers_that_storm_are_ended_by_their_cookie),
        cmocka_unit_test (
            leftovers_of_a_killed_keeper_are_ended_by_their_cgroup),
        cmocka_unit_test (
            process_moved_out_of_the_cgroup_is_found_by_its_cookie),
        cmocka_unit_test (another_tree_is_left_alone),
        cmocka_unit_test (process_older_than_the_tree_is_not_of_it),
        cmocka_unit_test (cgroup_of_somebody_else_is_not_touched),
        cmocka_unit_test (nothing_recorded_proves_nothing),
        cmocka_unit_test (environment_that_cannot_be_read_is_not_proof),
        cmocka_unit_test (run_ends_what_falls_to_it),
        cmocka_unit_test (run_spares_children_that_it_had_before),
        cmocka_unit_test (command_dies_with_its_keeper),
    };
    sigset_t set;

    if (argc == 3 && strcmp (argv[1], "child") == 0)
        _exit (be (argv[2]));
    sigemptyset (&set);
    sigaddset (&set, SIGCHLD);
    sigprocmask (SIG_BLOCK, &set, NULL);
    possible = can_make_a_cgroup ();
    return cmocka_run_group_tests_name ("tree", tests, NULL, NULL);
}
