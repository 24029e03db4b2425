/* SPDX-License-Identifier: MPL-2.0 */
/* notice.h - which command runs before an agent is ended
 *
 * The hook of this `run`: its own --notice, else SLOTBUS_NOTICE_COMMAND, else
 * notice_command of this host's broker, if that is the user's own or root's:
 * nobody else says what runs as this user.
 */
#ifndef SLOTBUS_COMMANDS_NOTICE_H
#define SLOTBUS_COMMANDS_NOTICE_H

#include <stddef.h>

enum { NOTICE_BYTES = 4096 };

/* `wanted`: as --notice says, NULL: it was not given. Returns ret_command; ""
 * = none. */
char *notice_find (const char *wanted, char *ret_command, size_t size);

#endif
