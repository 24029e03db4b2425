/* SPDX-License-Identifier: MPL-2.0 */
/* supervisor.h - which process is the supervisor
 *
 * --watch, else SLOTBUS_SUPERVISOR, else CLAUDE_PID, else upwards from the
 * command: past `sh -c`, subshells (same program and arguments as their
 * parent) and carriers (env, timeout, sudo, ...); the first other process is
 * it, scripts and interactive shells included.
 *
 * Nothing above a login process (sshd, cron, tmux, ...) is: there the topmost
 * shell that was passed is it, since it lives as long as the job. At pid 1
 * there is none.
 */
#ifndef SLOTBUS_SUPERVISOR_H
#define SLOTBUS_SUPERVISOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct ancestor {
    pid_t pid, parent;
    char name[64];   // comm
    char line[1024]; // NUL-separated arguments, cut
    size_t line_size;
    uint64_t image; // the same after fork, another after exec; 0:
                    // not known
};

/* Fills *ret for `pid`; 0, or -1 if there is no such process. */
typedef int ancestor_fn (void *arg, pid_t pid, struct ancestor *ret);

/* Upwards from `from` (the command's parent). The supervisor's pid, or 0: it
 * cannot be told. Pure but for `look`. */
pid_t supervisor_above (pid_t from, ancestor_fn *look, void *arg);

struct supervisor {
    pid_t pid;
    int64_t start; // clock ticks
    char name[64]; // comm, as it is
};

/* The whole rule. `watch`: pid given by --watch, 0 = none. 0; or -1 and a
 * sentence that says what to do. */
int supervisor_find (pid_t watch, struct supervisor *ret_supervisor,
                     char *ret_error, size_t error_size);

#endif
