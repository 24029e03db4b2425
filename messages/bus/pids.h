/* SPDX-License-Identifier: MPL-2.0 */
/* pids.h - a set of processes, found in /proc and signalled safely
 *
 * A pid in the set is only a hint: its process may be gone and the number
 * another's by the time it is used. Signals therefore go to a pidfd, and only
 * after the caller's `belongs` has confirmed, with that pidfd open, that the
 * process is one of those meant.
 */
#ifndef SLOTBUS_PIDS_H
#define SLOTBUS_PIDS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct pids {
    pid_t *pid; // owned; in the order of adding: parents before children
    size_t count, room;
    size_t *slot; // owned; twice as many as room: index + 1 by pid
};

#define PIDS_NONE ((struct pids){0})

void pids_free (struct pids *p);           // leaves it empty, ready for use
void pids_add (struct pids *p, pid_t pid); // once; never this process itself
bool pids_has (const struct pids *p, pid_t pid);

/* The children of one process, and the children of all in the set down to the
 * last. One look: who forks or ends meanwhile may be missed, so callers repeat
 * until they have a proof of another kind. */
void pids_add_children (struct pids *p, pid_t of);
void pids_add_descendants (struct pids *p);

/* The same by every process's parent, for kernels without the list of
 * children (CONFIG_PROC_CHILDREN); slower. The two above choose by themselves;
 * public for the tests. */
void pids_add_descendants_by_parent (struct pids *p);

/* Every process of the machine, this one left out. False where /proc cannot be
 * listed. */
bool pids_add_all (struct pids *p);

typedef bool pids_check (pid_t pid, const void *arg);

/* Sends the signals (ended by 0), in order, to each that `belongs`. All are
 * opened and checked first, then signalled in quick succession, parents
 * first, so that a parent has no time to act on the death of a child. Returns
 * how many were signalled. */
size_t pids_signal (const struct pids *p, const int *signals,
                    pids_check *belongs, const void *arg);

/* SIGKILL to each process of the machine that `belongs`, as soon as it is
 * found. Returns how many were signalled. */
size_t pids_kill_all (pids_check *belongs, const void *arg);

#endif
