/* SPDX-License-Identifier: MPL-2.0 */
/* witness.h - the lock file of a tree whose keeper is gone
 *
 * RUNTIME/witness/TOKEN is locked by the keeper and inherited by all that it
 * started. Held, it proves life: also of who has cleaned its environment, and
 * is in no cgroup. Free it proves nothing, since some programs close what they
 * inherit.
 */
#ifndef SLOTBUS_WITNESS_H
#define SLOTBUS_WITNESS_H

#include <stdbool.h>

/* Is the tree of this cookie (<broker id>:<token>) without a living witness?
 * Then the file is removed. Else SIGKILL to who holds it: call again. */
bool witness_end (const char *runtime, const char *cookie);

#endif
