/* SPDX-License-Identifier: MPL-2.0 */
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus/base.h"
#include "bus/cookie.h"
#include "bus/proc.h"

/* While one look is taken others fork. As long as each look finds somebody
 * new the next one follows at once, up to this many; the rest is left to the
 * caller's repetition. */
enum { LOOKS = 50 };

enum { MORE_LIKELY_TO_BE_CHOSEN_WHEN_MEMORY_ENDS = 500 };

static const int ask[] = {SIGCONT, SIGTERM, 0};
static const int kill_now[] = {SIGKILL, 0};

static bool has_cgroup (const struct tree *t)
{
    return t->cgroup.dir >= 0;
}

/* --- start --- */

void tree_init (struct tree *t, uint64_t token, bool want_cgroup)
{
    *t = (struct tree){.cgroup = CGROUP_NONE};
    prctl (PR_SET_CHILD_SUBREAPER, 1);
    t->ignored_children = signal (SIGCHLD, SIG_DFL) == SIG_IGN;
    if (want_cgroup && cgroup_create (&t->cgroup, token))
        t->cgroup = CGROUP_NONE;
}

/* A fork whose child is born in the cgroup: there is no moment in which the
 * keeper could die and leave it outside. `ret_born` is false where the kernel
 * or a seccomp filter does not let us; then the child enters by itself. */
static pid_t fork_into (const struct tree *t, bool *ret_born)
{
    struct clone_args args = {.exit_signal = SIGCHLD};
    pid_t pid = -1;

    *ret_born = false;
    if (has_cgroup (t)) {
        args.flags = CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t) t->cgroup.dir;
        pid = (pid_t) syscall (SYS_clone3, &args, sizeof args);
        *ret_born = pid >= 0;
    }
    return pid >= 0 ? pid : fork ();
}

static void offer_to_oom_killer (void)
{
    char text[32];
    int fd = open ("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
    int score;

    if (fd < 0)
        return;
    if (read_file ("/proc/self/oom_score_adj", text, sizeof text) > 0) {
        score = atoi (text) + MORE_LIKELY_TO_BE_CHOSEN_WHEN_MEMORY_ENDS;
        snprintf (text, sizeof text, "%d", score < 1000 ? score : 1000);
        (void) !write (fd, text, strlen (text));
    }
    close (fd);
}

static void default_signals (const struct tree *t)
{
    sigset_t none;

    if (t->ignored_children)
        signal (SIGCHLD, SIG_IGN);
    sigemptyset (&none);
    sigprocmask (SIG_SETMASK, &none, NULL);
}

/* The keeper may have died before it was asked for the signal. */
static void die_with (pid_t keeper)
{
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    if (getppid () != keeper)
        _exit (126);
}

static void close_stdin (void)
{
    int fd = open ("/dev/null", O_RDONLY | O_CLOEXEC);

    if (fd >= 0)
        dup2 (fd, STDIN_FILENO);
}

static _Noreturn void cannot (const char *what, const char *name, int status)
{
    dprintf (STDERR_FILENO, "slotbus run: %s%s: %s\n", what, name,
             strerror (errno));
    _exit (status);
}

static _Noreturn void become (const struct tree *t, pid_t keeper, bool born,
                              char *const *argv, char *const *env)
{
    die_with (keeper);
    if (has_cgroup (t) && !born && cgroup_enter (&t->cgroup))
        cannot ("cannot enter cgroup ", t->cgroup.path, 126);
    offer_to_oom_killer ();
    for (; *env; env++)
        putenv (*env);
    default_signals (t);
    execvp (argv[0], argv);
    cannot ("", argv[0], errno == ENOENT ? 127 : 126);
}

int tree_start (struct tree *t, char *const *argv, char *const *env)
{
    pid_t keeper = getpid ();
    bool born;
    pid_t pid = fork_into (t, &born);

    if (pid < 0)
        return -1;
    if (pid == 0)
        become (t, keeper, born, argv, env);
    t->pid = pid;
    t->pid_start = proc_start (pid);
    return 0;
}

int tree_start_hook (struct tree *t, const char *command, char *const *env)
{
    char *argv[] = {"sh", "-c", (char *) command, NULL};
    pid_t keeper = getpid ();
    bool born;
    pid_t pid = fork_into (t, &born);

    if (pid == 0) {
        close_stdin ();
        become (t, keeper, born, argv, env);
    }
    return pid < 0 ? -1 : 0;
}

/* --- end --- */

static bool descends_from (pid_t pid, pid_t ancestor)
{
    while (pid > 1 && pid != ancestor)
        pid = proc_parent (pid);
    return pid == ancestor;
}

static bool belongs_to_tree (pid_t pid, const void *arg)
{
    const struct tree *t = arg;

    return (has_cgroup (t) && cgroup_has (&t->cgroup, pid)) ||
           descends_from (pid, getpid ());
}

static void add_members (const struct tree *t, struct pids *into)
{
    pids_add_children (into, getpid ());
    pids_add_descendants (into);
    if (has_cgroup (t))
        cgroup_add_pids (&t->cgroup, into);
}

static void reap (struct tree *t)
{
    int status;
    pid_t pid;

    while ((pid = waitpid (-1, &status, WNOHANG)) > 0)
        if (pid == t->pid && !t->ended) {
            t->ended = true;
            t->status = status;
        }
    t->childless = pid < 0 && errno == ECHILD;
}

bool tree_empty (struct tree *t)
{
    reap (t);
    return t->childless &&
           (!has_cgroup (t) || cgroup_populated (&t->cgroup) == 0);
}

/* Signals those of `found` that are not in `seen`, and adds them there. */
static size_t signal_fresh (const struct pids *found, const int *signals,
                            pids_check *belongs, const void *arg,
                            struct pids *seen)
{
    struct pids fresh = PIDS_NONE;
    size_t sent;

    for (size_t i = 0; i < found->count; i++)
        if (!pids_has (seen, found->pid[i]))
            pids_add (&fresh, found->pid[i]);
    sent = pids_signal (&fresh, signals, belongs, arg);
    for (size_t i = 0; i < fresh.count; i++)
        pids_add (seen, fresh.pid[i]);
    pids_free (&fresh);
    return sent;
}

static size_t signal_members (const struct tree *t, const int *signals,
                              struct pids *seen)
{
    struct pids members = PIDS_NONE;
    size_t sent;

    add_members (t, &members);
    sent = signal_fresh (&members, signals, belongs_to_tree, t, seen);
    pids_free (&members);
    return sent;
}

static bool is_child (pid_t pid, const void *arg)
{
    (void) arg;
    return proc_parent (pid) == getpid ();
}

static size_t signal_children (const int *signals, struct pids *seen)
{
    struct pids children = PIDS_NONE;
    size_t sent;

    pids_add_children (&children, getpid ());
    sent = signal_fresh (&children, signals, is_child, NULL, seen);
    pids_free (&children);
    return sent;
}

void tree_term (struct tree *t)
{
    for (int look = 0; look < LOOKS; look++)
        if (signal_members (t, ask, &t->asked) == 0)
            break;
}

/* What forks and ends faster than a whole tree is looked through is always a
 * child of its subreaper: children alone are looked at quickly, and go first
 * as long as there are new ones. */
void tree_kill (struct tree *t)
{
    struct pids killed = PIDS_NONE;
    size_t sent = 1;

    if (has_cgroup (t))
        cgroup_kill (&t->cgroup);
    for (int look = 0; look < LOOKS && sent > 0; look++) {
        reap (t);
        sent = signal_children (kill_now, &killed);
        if (sent == 0)
            sent = signal_members (t, kill_now, &killed);
    }
    pids_free (&killed);
}

void tree_usage (const struct tree *t, uint64_t *ret_peak_bytes,
                 uint64_t *ret_cpu_ms)
{
    uint64_t peak = has_cgroup (t) ? cgroup_peak_bytes (&t->cgroup) : 0;
    struct rusage used;

    getrusage (RUSAGE_CHILDREN, &used);
    *ret_peak_bytes = peak ? peak : (uint64_t) used.ru_maxrss * 1024;
    *ret_cpu_ms =
        (uint64_t) (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000 +
        (uint64_t) (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1000;
}

void tree_close (struct tree *t)
{
    pids_free (&t->asked);
    cgroup_remove (&t->cgroup);
}

/* --- leftovers --- */

struct leftovers {
    struct cgroup cgroup;
    bool recorded; // there was a cgroup
    bool hidden;   // but it cannot be looked at
    const char *cookie;
    int64_t since;
    struct pids killed;
};

static void open_leftovers (struct leftovers *l, const char *cgroup,
                            const char *cookie, int64_t since)
{
    *l = (struct leftovers){
        .cgroup = CGROUP_NONE, .cookie = cookie ? cookie : "", .since = since};
    l->recorded = cgroup && *cgroup;
    if (l->recorded && cgroup_open (&l->cgroup, cgroup))
        l->hidden = errno != ENOENT;
}

static bool is_left_over (pid_t pid, const void *arg)
{
    const struct leftovers *l = arg;

    return (l->cgroup.dir >= 0 && cgroup_has (&l->cgroup, pid)) ||
           (*l->cookie && cookie_is_inherited (pid, l->cookie));
}

static size_t kill_those (struct leftovers *l, struct pids *found)
{
    size_t sent;

    pids_add_descendants (found);
    sent = signal_fresh (found, kill_now, is_left_over, l, &l->killed);
    pids_free (found);
    return sent;
}

static size_t kill_in_cgroup (struct leftovers *l)
{
    struct pids found = PIDS_NONE;

    cgroup_kill (&l->cgroup);
    cgroup_add_pids (&l->cgroup, &found);
    return kill_those (l, &found);
}

/* Each is killed as soon as it is found, with its descendants (whose
 * environment may be another), and the newest are looked at first: what forks
 * and ends quickly is gone when a list of all has been made. */
static size_t kill_holders (struct leftovers *l)
{
    struct pids all = PIDS_NONE;
    size_t sent = 0;

    pids_add_all (&all);
    for (size_t i = all.count; i-- > 0;) {
        struct pids found = PIDS_NONE;

        if (pids_has (&l->killed, all.pid[i]) ||
            cookie_of (all.pid[i], l->cookie, l->since) != COOKIE_PRESENT)
            continue;
        pids_add (&found, all.pid[i]);
        sent += kill_those (l, &found);
    }
    pids_free (&all);
    return sent;
}

static size_t kill_leftovers (struct leftovers *l)
{
    size_t sent = 0;

    if (l->cgroup.dir >= 0)
        sent += kill_in_cgroup (l);
    if (*l->cookie)
        sent += kill_holders (l);
    return sent;
}

/* One look at all processes misses those that are forked behind it by what
 * ends before it: without a cgroup two clean looks are asked for. */
static enum tree_proof look_for_cookie (const struct leftovers *l)
{
    bool unreadable = false;

    for (int look = 0; look < 2; look++)
        if (cookie_count (l->cookie, l->since, &unreadable) > 0)
            return TREE_ALIVE;
        else if (unreadable)
            return TREE_UNPROVEN;
    return TREE_GONE;
}

/* A cgroup that is empty, or removed, is the better proof; but whoever was
 * moved out of it still has the cookie. */
static enum tree_proof prove (const struct leftovers *l)
{
    enum tree_proof by_cookie =
        *l->cookie ? look_for_cookie (l) : TREE_UNPROVEN;
    int populated = l->cgroup.dir < 0 ? 0 : cgroup_populated (&l->cgroup);

    if (by_cookie == TREE_ALIVE || populated == 1)
        return TREE_ALIVE;
    if (l->hidden || populated < 0)
        return TREE_UNPROVEN;
    return l->recorded ? TREE_GONE : by_cookie;
}

enum tree_proof tree_gone (const char *cgroup, const char *cookie,
                           int64_t since)
{
    struct leftovers l;
    enum tree_proof proof;

    open_leftovers (&l, cgroup, cookie, since);
    proof = prove (&l);
    cgroup_close (&l.cgroup);
    return proof;
}

enum tree_proof tree_end_leftovers (const char *cgroup, const char *cookie,
                                    int64_t since)
{
    struct leftovers l;
    enum tree_proof proof;

    open_leftovers (&l, cgroup, cookie, since);
    for (int look = 0; look < LOOKS && kill_leftovers (&l) > 0; look++)
        ;
    pids_free (&l.killed);
    proof = prove (&l);
    if (proof == TREE_GONE)
        cgroup_remove (&l.cgroup);
    else
        cgroup_close (&l.cgroup);
    return proof;
}

/* --- run --- */

static bool has_children (void)
{
    siginfo_t info;

    return waitid (P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 ||
           errno != ECHILD;
}

bool tree_become_subreaper (void)
{
    prctl (PR_SET_CHILD_SUBREAPER, 1);
    return !has_children ();
}

struct adopted {
    bool every_child;
    const char *cookie;
};

static bool is_adopted (pid_t pid, const void *arg)
{
    const struct adopted *a = arg;

    return descends_from (pid, getpid ()) &&
           (a->every_child || cookie_is_inherited (pid, a->cookie));
}

static size_t kill_adopted (const struct adopted *a, struct pids *killed)
{
    struct pids found = PIDS_NONE, ours = PIDS_NONE;
    size_t sent;

    pids_add_children (&found, getpid ());
    pids_add_descendants (&found);
    for (size_t i = 0; i < found.count; i++)
        if (is_adopted (found.pid[i], a))
            pids_add (&ours, found.pid[i]);
    sent = signal_fresh (&ours, kill_now, is_adopted, a, killed);
    pids_free (&found);
    pids_free (&ours);
    return sent;
}

/* Those that are not children (any more) are not touched by this. */
static void reap_those (const struct pids *p)
{
    for (size_t i = 0; i < p->count; i++)
        waitpid (p->pid[i], NULL, WNOHANG);
}

enum tree_proof tree_end_adopted (bool every_child, const char *cookie)
{
    struct adopted a = {.every_child = every_child, .cookie = cookie};
    struct pids killed = PIDS_NONE;

    for (int look = 0; look < LOOKS && kill_adopted (&a, &killed) > 0; look++)
        reap_those (&killed);
    reap_those (&killed);
    pids_free (&killed);
    if (every_child)
        return has_children () ? TREE_ALIVE : TREE_GONE;
    return tree_gone ("", cookie, 0);
}
