/* SPDX-License-Identifier: MPL-2.0 */
/* invariants_rules.h - the part of the judge that knows single rules
 *
 * Rules whose absence costs little that could be counted: no tree may run
 * beyond T - D, and time alone frees no slot within L (R2); no keeper leaves
 * its tree (R6); a shim acts on its own session's words only, and on no epoch
 * below the highest that it has seen (R7); a keeper that is awake past its last
 * moment has killed (R8); on the own host a dead broker ends no agent (R9);
 * what a shim says that it still runs is known to a broker that learns; a
 * session that said BYE, or was succeeded, does not begin again; nobody is lost
 * whose BEAT waits to be read (R3); only what a shim has named or acknowledged
 * counts as arrived; each BEAT_OK says what is to be ended, and who learns by it
 * gives notice first.
 */
#ifndef SIMULATION_INVARIANTS_RULES_H
#define SIMULATION_INVARIANTS_RULES_H

#include "simulation/sim.h"

/* A keeper that was in that state has looked at its clock. */
void rules_ticked (struct sim *s, int keeper, enum keeper_state was);
/* A keeper ends of its own accord, and its tree lives. */
void rules_left (struct sim *s, int keeper);
void rules_heard_hello (struct sim *s, const struct msg_hello *m);
void rules_heard_beat (struct sim *s, const struct msg_beat *m);
void rules_said_release (struct sim *s, int shim, const struct msg_release *m);
/* Hands it to the shim. */
void rules_deliver (struct sim *s, int shim, const struct msg *m);
void rules_batch (struct sim *s, const struct outbox *out); // not yet applied
void rules_start (struct sim *s);                           // of a broker
void rules_end (struct sim *s);                             // of one

#endif
