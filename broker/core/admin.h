/* SPDX-License-Identifier: MPL-2.0 */
/* admin.h - what all that people ask about a project has in common */
#ifndef SLOTBUS_ADMIN_H
#define SLOTBUS_ADMIN_H

#include "core/handlers.h"

/* The project of that name, or ERR_NOT_FOUND: the ERROR's detail then says
 * which one may have been meant. */
enum err admin_find (const struct broker *b, struct call *c, const char *name,
                     struct project **ret_project);

/* The same for what ends or holds up its work: a project may do that to itself
 * only (ERR_NOT_ALLOWED), an operator to any but with a `reason`. */
enum err admin_reach (const struct broker *b, struct call *c, const char *name,
                      const char *reason, struct project **ret_project);

#endif
