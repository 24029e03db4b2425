/* SPDX-License-Identifier: MPL-2.0 */
/* checks_trees.c - can a tree of processes be held, and proven gone?
 *
 * Tried with the code that the keeper uses, on one short-lived child.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bus/base.h"
#include "bus/proc.h"
#include "commands/checks.h"
#include "tree.h"

enum { STEP_MS = 2000, LOOK_MS = 2 };

/* As run's own tokens are above 0, this is nobody's tree. */
enum { NO_TOKEN = 0 };

typedef bool look_fn (struct tree *t);

static bool within (look_fn *look, struct tree *t)
{
    int64_t until = clock_monotonic_ms () + STEP_MS;

    while (!look (t)) {
        if (clock_monotonic_ms () >= until)
            return false;
        poll (NULL, 0, LOOK_MS);
    }
    return true;
}

static bool is_inside (struct tree *t)
{
    return cgroup_has (&t->cgroup, t->pid);
}

static bool is_gone (struct tree *t)
{
    if (!tree_empty (t))
        tree_kill (t);
    return tree_empty (t);
}

static bool can_kill_at_once (const struct tree *t)
{
    return faccessat (t->cgroup.dir, "cgroup.kill", W_OK, AT_EACCESS) == 0;
}

/* ---- the control group ---- */

static const char *const DELEGATE =
    "start the agents' shell with systemd-run --user --scope -p Delegate=yes, "
    "or in a unit with Delegate=yes";

static void say_without (const struct report *r, int error)
{
    if (error == ENOTSUP || error == ENOENT)
        report_note (r, "cgroup",
                     "mount cgroup v2: mount -t cgroup2 none "
                     "/sys/fs/cgroup/unified, as root",
                     "no cgroup v2 that this process is in; trees are held by "
                     "their subreapers alone");
    else
        report_note (r, "cgroup", DELEGATE,
                     "none can be made below this process's own (%s); trees "
                     "are held by their subreapers alone",
                     strerror (error));
}

static void say_with (const struct report *r, const struct tree *t, bool inside,
                      bool kills)
{
    if (!inside)
        report_note (r, "cgroup", DELEGATE,
                     "%s was made, but a child does not get into it; trees are "
                     "held by their subreapers alone",
                     t->cgroup.path);
    else if (!kills)
        report_note (r, "cgroup", "kernel 5.14 or later",
                     "%s was made and held a child, but has no cgroup.kill: "
                     "trees are ended process by process",
                     t->cgroup.path);
    else
        report_ok (r, "cgroup", "%s was made, held a child, has cgroup.kill",
                   t->cgroup.path);
}

static void say_proof (const struct report *r, int start_error, bool gone)
{
    if (start_error)
        report_fail (r, "proof", "raise the limit of processes: ulimit -u",
                     "no child can be started: %s", strerror (start_error));
    else if (!gone)
        report_fail (r, "proof",
                     "no agent can be given back safely here: look at dmesg, "
                     "and at what filters system calls",
                     "a child that was killed is not proven gone after %d s",
                     STEP_MS / 1000);
    else
        report_ok (r, "proof", "a child was started, ended and proven gone");
}

static void try_tree (const struct report *r)
{
    char *argv[] = {"sleep", "10", NULL}, *env[] = {NULL};
    int cgroup_error, start_error;
    struct tree t;
    bool inside;

    tree_init (&t, NO_TOKEN, true);
    cgroup_error = errno;
    start_error = tree_start (&t, argv, env) ? errno : 0;
    if (t.cgroup.dir < 0)
        say_without (r, cgroup_error);
    else {
        inside = !start_error && within (is_inside, &t);
        say_with (r, &t, inside, can_kill_at_once (&t));
    }
    say_proof (r, start_error, within (is_gone, &t));
    tree_close (&t);
}

/* ---- what signals and looks go through ---- */

static void check_pidfd (const struct report *r)
{
    int fd = proc_open (getpid (), 0);

    if (fd >= 0 && syscall (SYS_pidfd_send_signal, fd, 0, NULL, 0) == 0)
        report_ok (r, "pidfd", "a process can be held and signalled by it");
    else
        report_fail (r, "pidfd",
                     "kernel 5.3 or later, and no filter of system calls that "
                     "forbids pidfd_open and pidfd_send_signal",
                     "%s: no process can be ended safely", strerror (errno));
    if (fd >= 0)
        close (fd);
}

static void check_proc (const struct report *r)
{
    char path[64];

    snprintf (path, sizeof path, "/proc/self/task/%ld/children",
              (long) getpid ());
    if (proc_start (getpid ()) < 0)
        report_fail (r, "proc", "mount -t proc proc /proc, as root",
                     "/proc/self/stat: %s", strerror (errno));
    else if (proc_start (1) < 0)
        report_note (r, "proc",
                     "mount -o remount,hidepid=0 /proc, as root; needed only "
                     "where a supervisor is another user's",
                     "only this user's processes are seen (hidepid)");
    else if (access (path, R_OK))
        report_note (r, "proc", "a kernel with CONFIG_PROC_CHILDREN",
                     "%s: %s; trees are looked through more slowly", path,
                     strerror (errno));
    else
        report_ok (r, "proc", "all processes are seen, and their children");
}

/* Ctrl-C in the midst of it would leave an empty group behind; and what the
 * child says of its failure is ours to say. */
void check_trees (const struct report *r)
{
    int null = open ("/dev/null", O_WRONLY | O_CLOEXEC);
    sigset_t all;

    if (null >= 0)
        dup2 (null, STDERR_FILENO);
    sigfillset (&all);
    sigprocmask (SIG_SETMASK, &all, NULL);
    try_tree (r);
    check_pidfd (r);
    check_proc (r);
}
