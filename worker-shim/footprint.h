/* SPDX-License-Identifier: MPL-2.0 */
/* footprint.h - what a process tree takes of this machine
 *
 * Members are those of the tree's cgroup where it has one, else all that
 * descend from its keeper; the keeper itself is none. What a nested keeper
 * runs under a slot of its own is counted there, not here.
 *
 * Memory is what is resident less the pages that it shares with files (those
 * of programs and libraries) and with others by shared memory. Pages that a
 * fork () shares with its parent count in both. Processor time is that of the
 * living, and of the dead as far as a member, or the keeper, has waited for
 * them. Sources: proc(5), /proc/PID/stat and statm.
 *
 * Reads two small files for each process, one more for each of its threads,
 * and no more than FOOTPRINT_READS in all: of a larger tree this is a part.
 */
#ifndef SLOTBUS_FOOTPRINT_H
#define SLOTBUS_FOOTPRINT_H

#include <sys/types.h>

#include "core/shim.h"

enum { FOOTPRINT_READS = 4096 };

/* proc_root: "/proc"; tests give a folder of their own. `cgroup` as the keeper
 * told it, "" = none; where it cannot be opened the descendants count. 0; -1:
 * the keeper is gone, and nothing is known. */
int footprint_measure (const char *proc_root, pid_t keeper, const char *cgroup,
                       struct measured *ret_measured);

#endif
