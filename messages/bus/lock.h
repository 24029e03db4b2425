/* SPDX-License-Identifier: MPL-2.0 */
/* lock.h - files that say "I live", by OFD locks
 *
 * An OFD lock dies with the last descriptor of its open file description and
 * can be asked about without being taken (F_OFD_GETLK), which flock cannot.
 * Sources: fcntl(2). Used for the broker's host and state locks, the project
 * lock of a shim and witness locks of trees.
 */
#ifndef SLOTBUS_LOCK_H
#define SLOTBUS_LOCK_H

#include <stdbool.h>
#include <sys/types.h>

/* Open (making it with `mode`) and lock exclusively, CLOEXEC. The descriptor,
 * kept open as long as the lock is wanted; -1: EAGAIN if another holds it,
 * else errno. The holder's pid is written into the file, for people. */
int lock_take (const char *path, unsigned mode);

/* Is the file that this descriptor has open still what the path names? If not,
 * it was removed, and the next who comes takes another lock. */
bool lock_is_named (int fd, const char *path);

enum lock_answer { LOCK_FREE, LOCK_HELD, LOCK_UNKNOWN };
/* Ask, never take. A file that does not exist is FREE; one that cannot be
 * opened is UNKNOWN, which counts as held (R9). */
enum lock_answer lock_query (const char *path);

/* Is this process one of those that hold it? An inherited lock has several.
 * False too where its descriptors may not be looked at. */
bool lock_held_by (pid_t pid, const char *path);

#endif
