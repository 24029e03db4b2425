/* SPDX-License-Identifier: MPL-2.0 */
/* ramp.h - what has just started, and no figure shows yet
 *
 * The load of a host is an average: it lags behind what runs by some seconds.
 * So what a pool has gained since RAMP_MS ago counts as load on top of it, one
 * for each slot. Who only takes the place of another that ended adds nothing.
 * It delays grants and never forbids them: RAMP_MS after the last one nothing
 * is left of it, and the figure speaks for itself.
 *
 * Pure. Times are monotonic ms; they may not go back.
 */
#ifndef SLOTBUS_RAMP_H
#define SLOTBUS_RAMP_H

#include <stdint.h>

enum { RAMP_MS = 7000, RAMP_PARTS = 7 };

/* The least that was in use in each of the newest seconds; [0] is this one. */
struct ramp {
    unsigned least[RAMP_PARTS];
    unsigned last;  // in use, when noted last
    int64_t second; // of that; 0: never
};

/* So much is in use now. */
void ramp_note (struct ramp *r, unsigned in_use, int64_t now);
/* What it has gained, as of the last note. */
unsigned ramp_credit (const struct ramp *r);
/* When it may be less: the next second. */
int64_t ramp_next (int64_t now);

#endif
