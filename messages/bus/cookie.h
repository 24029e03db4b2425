/* SPDX-License-Identifier: MPL-2.0 */
/* cookie.h - which processes have a tree's cookie in their environment
 *
 * A cookie is BROKER:FIRST, the broker's id and the first of the tree's tokens.
 * SLOTBUS_COOKIE is given to CMD and inherited by what it starts. It is read
 * from /proc/PID/environ, which shows the environment of the last exec (): it
 * survives setsid, double forks and closed descriptors, but not a program that
 * was given another environment.
 */
#ifndef SLOTBUS_COOKIE_H
#define SLOTBUS_COOKIE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define COOKIE_NAME "SLOTBUS_COOKIE"

/* More than a cookie has (95, keeper_wire.h), so that what is longer and was
 * cut is none. */
enum { COOKIE_BYTES = 128 };

enum cookie {
    COOKIE_ABSENT, // or the process is gone
    COOKIE_PRESENT,
    COOKIE_NOT_SHOWN, // nothing is: see proc_getenv (), ENODATA
    COOKIE_HIDDEN     // not allowed
};

/* Whatever cookie it has. */
enum cookie cookie_read (pid_t pid, char ret_cookie[COOKIE_BYTES]);

/* FIRST, never 0. False if that is no cookie, or not this broker's (NULL =
 * any). */
bool cookie_parse (const char *cookie, const char *broker, uint64_t *ret_first);

/* Does it have this one? Not shown means here: in the midst of exec (), a
 * zombie or a kernel thread. `since`: what started earlier (clock ticks) does
 * not have it; 0 = unknown. */
enum cookie cookie_of (pid_t pid, const char *cookie, int64_t since);

/* It has it, or an ancestor of it below this process or init: a child may have
 * been given another environment. */
bool cookie_is_inherited (pid_t pid, const char *cookie);

/* How many processes have it, this one left out. `ret_unreadable`: there is one
 * of which that cannot be told and that might: a program that runs as this
 * user (for root: any), and is no ancestor of this process. */
size_t cookie_count (const char *cookie, int64_t since, bool *ret_unreadable);

#endif
