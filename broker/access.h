/* SPDX-License-Identifier: MPL-2.0 */
/* access.h - who may say what
 *
 * A peer has a set of roles, from what the kernel says of it (its uid on
 * ipc://) and from the configuration; nothing of it comes from a payload. A
 * message is allowed if one of the roles may say it, and travels on under the
 * strongest that may. Default deny. Pure.
 *
 * Over plain tcp (`insecure: true`) nobody is known: everybody is observer and
 * project of any name, nobody is operator or admin.
 *
 * Not judged here: whose session or lease it is; the core compares uids.
 */
#ifndef SLOTBUS_ACCESS_H
#define SLOTBUS_ACCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/broker.h"
#include "core/settings.h"
#include "protocol/message.h"

#define ACCESS_NO_UID UINT32_MAX // of a peer that came over tcp

/* Bits 1 << enum role; 0 for a stranger. `own`: uid of the broker. */
unsigned access_roles (const struct settings *s, uint32_t own, uint32_t uid);

/* The strongest of the roles that may say this, ROLE_STRANGER if none may. */
enum role access_role (unsigned roles, const struct msg *msg);

/* May this uid act for that project? */
bool access_project (const struct settings *s, uint32_t own, uint32_t uid,
                     const char *project);

/* All of it: the role under which the message goes on; or ROLE_STRANGER, and
 * a sentence in ret_why (static). */
enum role access_judge (const struct settings *s, uint32_t own, uint32_t uid,
                        const struct msg *msg, const char **ret_why);

#endif
