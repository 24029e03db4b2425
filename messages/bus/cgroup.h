/* SPDX-License-Identifier: MPL-2.0 */
/* cgroup.h - one cgroup v2 for one tree, where one can be made
 *
 * A cgroup is used as a container that nothing leaves by forking; no
 * controller is needed. Where the v2 hierarchy is mounted is asked of
 * /proc/self/mountinfo (it need not be /sys/fs/cgroup). One for a tree is made
 * below this process's own cgroup, so an ordinary user has it where its
 * session was delegated to it. The broker, which makes none, looks at and ends
 * those that shims told it of.
 *
 * A path that is written down or sent is below the mount, without a leading
 * slash. It is opened by openat2 () beneath the mount, without symbolic links,
 * and only if its last part begins with "slotbus-": whatever a peer names,
 * nobody else's cgroup is touched. "slotbus-TOKEN-..." is that tree's.
 *
 * Source: Documentation/admin-guide/cgroup-v2.rst (cgroup.kill,
 * cgroup.events; a populated cgroup cannot be removed).
 */
#ifndef SLOTBUS_CGROUP_H
#define SLOTBUS_CGROUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "bus/pids.h"

enum { CGROUP_PATH = 256 };

struct cgroup {
    int dir;                // O_DIRECTORY, CLOEXEC; -1 = there is none
    int events;             // cgroup.events; poll () for POLLPRI
    char path[CGROUP_PATH]; // below the mount
    char name[512];         // as /proc/PID/cgroup shows it
};

#define CGROUP_NONE ((struct cgroup){.dir = -1, .events = -1})

/* Makes one for this token. -1 and errno where none can be made that this
 * process could also put its child into: no v2 mount, no permission. */
int cgroup_create (struct cgroup *ret_cgroup, uint64_t token);

/* Does the path's last part say that it was made for this token? */
bool cgroup_is_named_for (const char *path, uint64_t token);

/* Opens a recorded one. -1: ENOENT when it does not exist (any more), which
 * proves on the same boot that nothing runs in it; other errors prove
 * nothing. */
int cgroup_open (struct cgroup *ret_cgroup, const char *path);
void cgroup_close (struct cgroup *c);

/* Puts the calling process into it. 0/-1. */
int cgroup_enter (const struct cgroup *c);

/* Does anything live in it, or below? Zombies do not count. Removed: no.
 * -1 and errno when that cannot be told. */
int cgroup_populated (const struct cgroup *c);

/* SIGKILL to all in it and below, also to what is just being forked. -1:
 * kernel before 5.14. */
int cgroup_kill (const struct cgroup *c);

/* All in it and below; the second: those in the cgroups of other trees below
 * ("slotbus-...") left out. */
void cgroup_add_pids (const struct cgroup *c, struct pids *into);
void cgroup_add_own_pids (const struct cgroup *c, struct pids *into);
bool cgroup_has (const struct cgroup *c, pid_t pid);

/* memory.peak, 0 where the memory controller is not on. */
uint64_t cgroup_peak_bytes (const struct cgroup *c);

/* Removes it with all below; stays where something lives. */
void cgroup_remove (struct cgroup *c);

#endif
