/* SPDX-License-Identifier: MPL-2.0 */
/* within.h - the leased tree that this command runs in
 *
 * As the environment tells it: SLOTBUS_COOKIE names the tree by the first token
 * that it ever had, SLOTBUS_PARKED repeats that in what `park` runs, whose tree
 * has given its slots back. A tree inside of that has a cookie of its own, and
 * is not parked.
 */
#ifndef SLOTBUS_WITHIN_H
#define SLOTBUS_WITHIN_H

#include <stdbool.h>
#include <stdint.h>

/* The token that names the tree; 0: this runs in none. */
uint64_t within_tree (void);
/* How many slots it has, when it is not parked; at least 1 in a tree. */
uint64_t within_slots (void);
bool within_parked (void);
/* From here on, and in what is started from here, the tree is parked. */
void within_set_parked (void);

#endif
