/* SPDX-License-Identifier: MPL-2.0 */
/* identity.h - is a shim who it says it is?
 *
 * A host is known by its machine-id, and how long it has been running by its
 * boot_id; a shim by its project, host and uid. All of that is said in HELLO,
 * so copied machines say the same. What tells: a boot that was over speaks
 * again, or a shim that its successor attested to be dead (it held the lock).
 * Two that live get nothing new, and an alarm (HOST_CONFLICT); one that is only
 * late is EXPIRED.
 */
#ifndef SLOTBUS_IDENTITY_H
#define SLOTBUS_IDENTITY_H

#include "core/handlers.h"

/* ERR_NONE: it may begin the session `r`. */
enum err identity_check (struct broker *b, struct call *c,
                         const struct session_record *r);
/* The same machine and uid, another boot. */
bool identity_rebooted (const struct session_record *a,
                        const struct session_record *b);
struct identity_of identity_of (const struct session_record *r);

#endif
