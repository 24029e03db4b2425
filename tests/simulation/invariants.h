/* SPDX-License-Identifier: MPL-2.0 */
/* invariants.h - what must hold after every step of the simulated world
 *
 * The judge sees everything: the store, the outbox, the messages, and which
 * processes live. The first violation ends the run (sim_violate ()).
 *
 * At every batch: nothing is granted beyond effective - in_use (I1), in_use is
 * the table's sum (I2), tokens and epochs rise (I3, I9), every live tree runs
 * under counted leases (I4), all or nothing or at least `min` (I5), caps (I6),
 * no grant leaves before it is stored (R4), no shim counts from later than the
 * send of what the broker has heard (R1), leases only go forward, no session
 * is lost that was heard (I12), no free slot beside an eligible waiter (L1),
 * every waiter has a reason. Each half second: what nobody uses on the own
 * host does not stay in LIMBO (L3).
 */
#ifndef SIMULATION_INVARIANTS_H
#define SIMULATION_INVARIANTS_H

#include "simulation/sim.h"

void invariants_start (struct sim *s);
void invariants_heard (struct sim *s, const struct mail *mail);
/* A shim sends it; whether it arrives is another matter. */
void invariants_said (struct sim *s, int shim, enum verb verb,
                      const void *fields);
/* Its session is good from then on: the broker has heard what was sent then,
 * or nobody could have ended it by then (R9). */
void invariants_good (struct sim *s, int shim, int64_t since);
void invariants_anchor (struct sim *s, int shim); // R1, after each turn
void invariants_served (struct sim *s, int client);
void invariants_batch (struct sim *s, const struct outbox *out);
void invariants_committed (struct sim *s, const struct outbox *out);
void invariants_round (struct sim *s);
void invariants_trees (struct sim *s);

/* Is STATUS to be asked in this turn; and what it said: every waiter has a
 * reason, a place and the right slots_ahead. */
bool invariants_ask (struct sim *s);
void invariants_status (struct sim *s, const struct msg_status_ok *m);
/* Nothing waits, and shims and broker agree on who holds what. */
void invariants_agreement (struct sim *s);
/* Nothing is left: no lease, waiter, session, tree or shim. */
void invariants_empty (struct sim *s);

#endif
