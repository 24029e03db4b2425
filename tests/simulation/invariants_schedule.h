/* SPDX-License-Identifier: MPL-2.0 */
/* invariants_schedule.h - the part of the judge that knows policies
 *
 *   I6   what a project is granted is within its own cap, as it is in force
 *   L1   under every policy: where somebody waits, somebody is told why, and
 *        that is so: for slots that are not free, the cap that is reached, the
 *        pace, a pause. So no free slot stands beside one who could have it
 *   L2   priority: nobody is served before one that came earlier by aging x
 *        (difference of their priorities) or more, unless that one cannot be
 *        served whatever is free
 *
 * The order of who waits exactly, how much each gets, and that under fair nobody
 * below his target is passed over, is the model's.
 */
#ifndef SIMULATION_INVARIANTS_SCHEDULE_H
#define SIMULATION_INVARIANTS_SCHEDULE_H

#include "simulation/sim.h"

/* The most that it may hold. */
unsigned schedule_cap (const struct sim *s, const char *project);
/* People have paused it. */
bool schedule_paused (const struct sim *s, const char *project);
/* A request that the broker hears, before that. */
void schedule_heard (struct sim *s, const struct msg_request *m);
/* A lease that is granted, before its batch is committed. */
void schedule_granted (struct sim *s, const struct lease_record *r);
/* After each round that was carried out. */
void schedule_round (struct sim *s);

#endif
