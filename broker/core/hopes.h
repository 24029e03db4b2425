/* SPDX-License-Identifier: MPL-2.0 */
/* hopes.h - what would let a request go on, in words
 *
 * "3 slots: consilio's auth (past its median), api (in about 89 s), and 1 more":
 * of those whose end would serve it, the ones that are expected to end first.
 * For other reasons, what a person can do.
 */
#ifndef SLOTBUS_HOPES_H
#define SLOTBUS_HOPES_H

#include "core/state.h"

/* Sets o->unblocks by o->reason; no character of UTF-8 is cut in two. */
void hopes_tell (const struct broker *b, const struct waiter *w, int64_t now,
                 struct outlook *o);

#endif
