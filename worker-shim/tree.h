/* SPDX-License-Identifier: MPL-2.0 */
/* tree.h - start a process tree, end it, and prove that it is gone
 *
 * Three views of a tree, for three that may have to end it:
 *
 * - its keeper, which started it and is its subreaper: struct tree. What it
 *   proves is exact: it has no child left (ECHILD) and the cgroup, where there
 *   is one, is not populated.
 * - its `run`, a subreaper further up, to which the processes of a killed
 *   keeper fall: tree_become_subreaper (), tree_end_adopted ().
 * - anybody else with the right to (a shim that lost a keeper):
 *   tree_end_leftovers () by the recorded cgroup and by the cookie (bus/cookie.h).
 *
 * Every signal goes through a pidfd, to a process that was found to belong to
 * the tree while that pidfd was open. Nothing here waits for a process: who
 * wants a tree gone calls again until it is.
 *
 * Known weaknesses: a process that leaves the cgroup, cleans its environment
 * and outlives keeper and run is not found (nothing but the kernel could).
 * Reading an environment can be held up by a process in uninterruptible sleep
 * inside its own memory management.
 *
 * No libzmq, no msgpack: the keeper links this statically.
 */
#ifndef SLOTBUS_TREE_H
#define SLOTBUS_TREE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "bus/cgroup.h"

enum tree_proof {
    TREE_GONE,    // proven: nothing of it lives
    TREE_ALIVE,   // something of it was seen
    TREE_UNPROVEN // nothing was seen, but not everything could be looked at
};

/* --- the keeper's own tree --- */

struct tree {
    struct cgroup cgroup;
    pid_t pid;             // of CMD, 0 before it was started
    int64_t pid_start;     // its start time in clock ticks
    bool ended;            // CMD was reaped
    int status;            // its wait status
    bool childless;        // at the last look no child was left
    bool ignored_children; // SIGCHLD was ignored when this process began
    struct pids asked;     // were sent SIGTERM
};

/* Makes this process a subreaper, and a cgroup if wanted and possible
 * (t->cgroup.dir is -1 else). */
void tree_init (struct tree *t, uint64_t token, bool want_cgroup);

/* Starts CMD in the tree: in this process's terminal and process group, with
 * the environment's entries "NAME=value" of `env` (ended by NULL) added, an
 * empty signal mask, the dispositions this process was started with, and
 * oom_score_adj + 500. It dies with this process. Where it cannot be run it
 * says so on stderr and ends with 127 (not found) or 126, like a shell. 0, or
 * -1 and errno when no process could be made. */
int tree_start (struct tree *t, char *const *argv, char *const *env);

/* The same for a shell command beside CMD, with no stdin; whatever it returns
 * is ignored. */
int tree_start_hook (struct tree *t, const char *command, char *const *env);

/* Reaps what has ended; true when nothing of the tree is left. */
bool tree_empty (struct tree *t);

/* SIGCONT and SIGTERM to each process that it has now and that was not asked
 * before: one that tidies up after the first SIGTERM may take a second one as
 * an order to drop everything. */
void tree_term (struct tree *t);

/* SIGKILL to all; to be repeated until tree_empty (). */
void tree_kill (struct tree *t);

/* Of all that was reaped: CPU time, and the largest memory of the tree if the
 * kernel counts that, else of one process. */
void tree_usage (const struct tree *t, uint64_t *ret_peak_bytes,
                 uint64_t *ret_cpu_ms);

/* Removes the cgroup and frees what is held; `cgroup.path` stays readable. */
void tree_close (struct tree *t);

/* --- for run --- */

/* Orphans among the descendants become this process's children from now on.
 * Call it before the keeper is started, and after a shim was: a detached
 * process falls to a subreaper as well. Returns whether every child from now
 * on is the tree's: false if there were children before. */
bool tree_become_subreaper (void);

/* The keeper has ended (and was reaped) without REAPED: kills what fell to
 * this process and reaps it. Where not every child is the tree's only those
 * are ended that have the cookie, or an ancestor with it. Call again while
 * TREE_ALIVE; TREE_UNPROVEN, only in the second case: no more can be done. */
enum tree_proof tree_end_adopted (bool every_child, const char *cookie);

/* --- for a shim that lost a keeper --- */

/* Is the tree gone? `cgroup` is the path that the keeper gave ("" = none),
 * `since` the start time of CMD in clock ticks, which leaves out whatever is
 * older (0 = unknown). An environment that cannot be read is not proof where
 * there is no cgroup: root looks at every process, others at their own. */
enum tree_proof tree_gone (const char *cgroup, const char *cookie,
                           int64_t since);

/* SIGKILL to all that is left of it; the answer is what tree_gone () says
 * afterwards. Death takes a moment, and what was unreadable may have been in
 * the midst of exec (): call again until TREE_GONE, which also removes the
 * cgroup. One call reads a few files of every process of the machine. */
enum tree_proof tree_end_leftovers (const char *cgroup, const char *cookie,
                                    int64_t since);

#endif
