/* SPDX-License-Identifier: MPL-2.0 */
/* notice.h - notice_command, where each `run` of this host finds it
 *
 * RUNTIME/notice_command holds it as it is; without one there is no such file.
 * Who is told to end is told by its own keeper, as its own user: so `run` heeds
 * a file of its own user or of root only (worker-shim/commands/notice.h).
 */
#ifndef SLOTBUS_NOTICE_H
#define SLOTBUS_NOTICE_H

/* Says so in the log if it cannot be written; agents then end without. */
void notice_write (const char *runtime, const char *command);

#endif
