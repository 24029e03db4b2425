/* SPDX-License-Identifier: MPL-2.0 */
/* weather.h - a world in which anything may happen, chosen by a seed
 *
 * Several projects on the broker's host and on a remote one ask, run, release
 * and cancel; meanwhile programs are killed and stopped, networks are cut, and
 * messages are lost, delayed or doubled. Then the faults end, and everything
 * must come to rest: who waits is served, shims and broker agree, and when the
 * supervisors have gone nothing is left.
 */
#ifndef SIMULATION_WEATHER_H
#define SIMULATION_WEATHER_H

#include "simulation/sim.h"

/* Runs it for so long. What is wrong, if anything, is in sim->violation. The
 * caller destroys it. */
struct sim *weather_run (uint64_t seed, int64_t ms);

#endif
