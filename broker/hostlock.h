/* SPDX-License-Identifier: MPL-2.0 */
/* hostlock.h - one broker per host
 *
 * An abstract unix name: there is one per network namespace, it vanishes with
 * its holder, and there is no file that could be left behind or squatted by a
 * link. Anybody may take the name first, which costs a broker its start and
 * nothing else; it says whose process that was. Source: unix(7).
 */
#ifndef SLOTBUS_HOSTLOCK_H
#define SLOTBUS_HOSTLOCK_H

#include <sys/types.h>

/* The descriptor, to be kept open; -1 and errno: EADDRINUSE if another holds
 * it, then its pid and uid are told as far as known (0 and -1 if not). */
int hostlock_take (pid_t *ret_pid, uid_t *ret_uid);

#endif
