/* SPDX-License-Identifier: MPL-2.0 */
/* footprints.h - what trees take while they run, and what slots need
 *
 * Shims measure (FOOTPRINT); of several slots under one tree the one that
 * leads it has all of it. What a tree took at most is learnt when it has
 * ended by itself (conduct.c), per project and label.
 */
#ifndef SLOTBUS_FOOTPRINTS_H
#define SLOTBUS_FOOTPRINTS_H

#include "core/state.h"

/* All trees of one host together, as they were told last. Shims say what they
 * like: sums end at INT64_MAX. */
struct load {
    uint64_t memory_bytes;
    uint64_t running; // tasks
    unsigned trees;   // so many are measured,
    unsigned unknown; // and so many are not, or not any more
};

/* Is it known what its tree takes now? */
bool footprint_known (const struct broker *b, const struct lease *l,
                      int64_t now);
/* What was told `oldest` ms ago, or before, is not known any more. */
struct load footprints_load (const struct broker *b, const struct pool *pool,
                             int64_t oldest, int64_t now);
/* Nine in ten slots needed no more memory; 0: nobody knows. */
uint64_t footprints_slot_bytes (const struct broker *b);

#endif
