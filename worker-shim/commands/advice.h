/* SPDX-License-Identifier: MPL-2.0 */
/* advice.h - how many slots a machine of this size should have
 *
 * min (2.5 x cores, 1.25 x GB), within 1..50: at 2, 4, 8 and 16 cores with
 * twice as many GB exactly the lower bounds of the table. A machine on a
 * boundary belongs to the larger row.
 */
#ifndef SLOTBUS_ADVICE_H
#define SLOTBUS_ADVICE_H

#include <stdint.h>

struct advice_row {
    const char *name;
    unsigned cores, gb; // from
    unsigned slots_low, slots_high;
    unsigned project_low, project_high;
};

/* Whole GB, as it was sold: the firmware and the kernel keep a part. At least
 * 1. */
unsigned advice_gb (uint64_t memory_bytes);
unsigned advice_slots (unsigned cores, unsigned gb);
/* So many slots of `slot_bytes` each fit into the part of the memory that is
 * within its limit (percent; NaN: all of it). slot_bytes > 0. */
unsigned advice_fit (uint64_t memory_bytes, double percent,
                     uint64_t slot_bytes);
/* Never NULL: below the smallest it is the smallest. */
const struct advice_row *advice_row (unsigned cores, unsigned gb);

#endif
