/* SPDX-License-Identifier: MPL-2.0 */
/* supervisors.h - the processes that the shim lives for
 *
 * Each is watched once, from the first slot, request or --watch that names it
 * until it is gone. Pure table.
 */
#ifndef SLOTBUS_SUPERVISORS_H
#define SLOTBUS_SUPERVISORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/shim.h"

/* As many as there can be requests and slots, each of another. */
enum { MAX_SUPERVISORS = 2048 };

struct supervisors {
    struct who at[MAX_SUPERVISORS];
    size_t count;
    bool any; // there has been one: the shim ends with the last
};

bool who_same (struct who a, struct who b);

bool supervisors_have (const struct supervisors *t, struct who who);
/* False where the table is full. */
bool supervisors_add (struct supervisors *t, struct who who);
/* False if it was not there. */
bool supervisors_remove (struct supervisors *t, struct who who);

/* Which of these does a command mean that comes from `pid` or names it: that
 * one, else the only one there is (0: there is none). ERR_CONFLICT: several;
 * ret_why then names them behind `what`. */
enum err supervisors_choose (const struct who *who, size_t count, uint64_t pid,
                             const char *what, struct who *ret_who,
                             char *ret_why, size_t size);

#endif
