/* SPDX-License-Identifier: MPL-2.0 */
/* invariants_kills.h - the part of the judge that watches who is ended
 *
 * Of those that a host in need ends (I8): only trees that run under slots of
 * that host, whole, one at a time, not while the broker learns, and only for a
 * figure that is above its limit and fresh, or because it ran away.
 */
#ifndef SIMULATION_INVARIANTS_KILLS_H
#define SIMULATION_INVARIANTS_KILLS_H

#include "simulation/sim.h"

void kills_batch (struct sim *s); // after it

#endif
