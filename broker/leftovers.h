/* SPDX-License-Identifier: MPL-2.0 */
/* leftovers.h - is anything left of a tree whose holder is gone?
 *
 * Four witnesses, and all have to agree before a tree is gone:
 *
 * - its cgroup, where one was recorded: `populated 0`, or no longer there (a
 *   populated one cannot be removed). A path that a peer named is opened only
 *   if it is below the mount and its last part begins with "slotbus-FIRST-",
 *   so that it is this lease's and nobody else's (bus/cgroup.h);
 * - the cookie, in the environment of every process (bus/cookie.h). One that
 *   cannot be read is no proof, if it could be the tree's: of its user, and
 *   not older than it;
 * - the witness lock RUNTIME/witness/FIRST in the broker's own folder, asked
 *   about and never taken. Held proves life; free proves nothing;
 * - the process that STARTED named, if it is one of the lease's user.
 *
 * A process that is just being started has no environment for a moment, and a
 * fork may slip past the walk: callers believe only what they were told twice
 * running. Sources: proc(5), cgroups(7).
 */
#ifndef SLOTBUS_LEFTOVERS_H
#define SLOTBUS_LEFTOVERS_H

#include <stddef.h>
#include <stdint.h>

#include "core/broker.h"

enum left { LEFT_NOTHING, LEFT_UNKNOWN, LEFT_SOMETHING };

struct leftover {
    struct watch_lease lease;
    enum left left; // the answer
};

struct leftovers;

/* Copies both. */
struct leftovers *leftovers_create (const char *broker, const char *runtime);
void leftovers_destroy (struct leftovers *l);

/* Look once, for all of them in one walk through /proc. */
void leftovers_look (struct leftovers *l, struct leftover *list, size_t count);

/* SIGKILL, through cgroup.kill and pidfds, to what is left of this tree; one
 * pass, to be repeated until nothing is left. Never to a process that has
 * neither the cookie nor the cgroup. Returns how many were signalled; those in
 * the cgroup count as one. */
size_t leftovers_end (struct leftovers *l, const struct watch_lease *lease);

/* It is proven gone: remove its cgroup, which its keeper could not, and its
 * witness file. What cannot be removed stays; nothing depends on it. */
void leftovers_tidy (struct leftovers *l, const struct watch_lease *lease);

#endif
