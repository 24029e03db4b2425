/* SPDX-License-Identifier: MPL-2.0 */
/* scene.h - one day in the simulated world, compared with how it went before
 *
 * A scene is a test that calls sim_ functions between scene_begin () and
 * scene_end (). What was written down must be, line by line, what
 * tests/simulation/scenes/NAME.trace says. With UPDATE=1 in the environment
 * that file is written instead: read the difference before you keep it.
 */
#ifndef SIMULATION_SCENE_H
#define SIMULATION_SCENE_H

#include "simulation/sim.h"

/* A world with a pool of so many slots, and a broker that serves it. */
struct sim *scene_begin (unsigned max_slots, unsigned max_per_project);
/* Fails the test where an invariant was violated or the trace differs. */
void scene_end (struct sim *s, const char *name);

#endif
