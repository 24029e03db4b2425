/* SPDX-License-Identifier: MPL-2.0 */
/* reach.h - a command finds its project's shim, or starts one
 *
 * The shim listens in RUNTIME/projects/P. Where none does, one is started,
 * detached (its own session, no inherited descriptor, no variable of the tree
 * that we are in), so that $(supervisor-request-slots ...) returns. Inside a
 * leased tree the tree's shim forks it, so that it does not die with the tree.
 * Whoever loses the race for the project's lock uses the winner's.
 *
 * Failures are said on stderr where they happen.
 */
#ifndef SLOTBUS_REACH_H
#define SLOTBUS_REACH_H

#include <stdbool.h>
#include <sys/types.h>

#include "bus/endpoint.h"
#include "protocol/message.h"

struct reach {
    char project[MAX_KEY_BYTES + 1]; // its key
    char typed[MAX_KEY_BYTES + 1];   // as the user wrote it
    char folder[PATH_BYTES];         // RUNTIME/projects/P
    pid_t watch;                     // whom a shim that is started watches
    bool start;                      // start one if there is none,
    bool live;                       // and wait until its session lives
    int fd;                          // connected; -1 = not
};

/* Project by its name, as typed, else SLOTBUS_PROJECT. 0, or the exit status
 * (64 no project, 65 not a name), said. fd is -1. */
int reach_project (struct reach *ret_reach, const char *typed);

enum { REACH_NONE = -1, REACH_TIMEOUT = -2 };

/* Connect. 0; an exit status, said; REACH_NONE, not said: none runs and none
 * is to be started. */
int reach_connect (struct reach *r);
void reach_close (struct reach *r);

/* Tell, and hear the first answer within `timeout_ms` (-1 = for ever) in
 * *ret_msg. A shim that ends just now (it hangs up without a word) is reached
 * anew. 0; an exit status, said; REACH_NONE and REACH_TIMEOUT, not said. */
int reach_ask (struct reach *r, enum verb verb, const void *fields,
               int timeout_ms, struct msg *ret_msg);

/* Remove what marks a leased tree from the environment. */
void reach_leave_tree (void);
/* In a child: become a detached `slotbus shim` of the project that writes to
 * `ready_fd` (-1 = none) 'l' when it listens and 'r' when its session lives,
 * or 'b' when the project has one already.
 * Does not return. */
_Noreturn void reach_become_shim (const char *project, const char *folder,
                                  pid_t watch, int ready_fd);

#endif
