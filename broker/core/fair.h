/* SPDX-License-Identifier: MPL-2.0 */
/* fair.h - how many slots each project should have: the targets of `fair`
 *
 * A divisor rule (Webster, Sainte-Laguë): slots are handed out one by one, and
 * in which order does not depend on how many there are. So a larger pool takes
 * nothing from anybody (F3), nor does a project that leaves (F4), as the method
 * of the largest remainder would: 6/6/2 of 10 are 4/4/2 there, of 11 5/5/1.
 *
 *   1. one slot to each project that wants any, ties by `order`;
 *   2. to projects below their guarantee: always the one with the least
 *      (2a + 1) / guarantee, `a` being what it has by then;
 *   3. to the others in the same way by (2a + 1) / share. share: demand x
 *      weight in `proportional`, weight in `maxmin`.
 *
 * Nobody gets more than its demand. Ties go by `order`, the lower first. A
 * share of 0 comes after all others. Pure; no limits but those of the types.
 */
#ifndef SLOTBUS_FAIR_H
#define SLOTBUS_FAIR_H

#include <stddef.h>
#include <stdint.h>

#include "core/settings.h"

struct fair_claim {
    unsigned demand;    // held and wanted, at most its cap
    unsigned weight;    // the project's priority, 0..MAX_PRIORITY
    unsigned guarantee; // 0 = none
    uint64_t order;     // of its oldest request: no two the same
    unsigned target;    // what fair_targets () says
};

/* Sets each claim's target; the sum is min (slots, sum of the demands). */
void fair_targets (struct fair_claim *claims, size_t count, unsigned slots,
                   enum fair_mode mode);

#endif
