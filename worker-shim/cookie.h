/* SPDX-License-Identifier: MPL-2.0 */
/* cookie.h - which processes have a tree's cookie in their environment
 *
 * SLOTBUS_COOKIE is given to CMD and inherited by what it starts. It is read
 * from /proc/PID/environ, which shows the environment of the last exec (): it
 * survives setsid, double forks and closed descriptors, but not a program that
 * was given another environment.
 *
 * A cookie is up to 95 bytes (keeper_wire.h).
 */
#ifndef SLOTBUS_COOKIE_H
#define SLOTBUS_COOKIE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define COOKIE_NAME "SLOTBUS_COOKIE"

enum cookie {
    COOKIE_ABSENT,
    COOKIE_PRESENT,
    COOKIE_UNKNOWN // not allowed, or in the midst of exec ()
};

/* `since`: what started earlier (clock ticks) does not have it; 0 = unknown. */
enum cookie cookie_of (pid_t pid, const char *cookie, int64_t since);

/* It has it, or an ancestor of it below this process or init: a child may have
 * been given another environment. */
bool cookie_is_inherited (pid_t pid, const char *cookie);

/* How many processes have it, this one left out. `ret_unreadable`: there is one
 * of which that cannot be told and that might: a program that runs as this
 * user (for root: any), and is no ancestor of this process. */
size_t cookie_count (const char *cookie, int64_t since, bool *ret_unreadable);

#endif
