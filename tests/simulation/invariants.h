/* SPDX-License-Identifier: MPL-2.0 */
/* invariants.h - what must hold after every step of the simulated world
 *
 * The judge sees everything: the store, the outbox, the messages, and which
 * processes live. The first violation ends the run (sim_violate ()).
 *
 *   I1   each batch that grants: on that host in_use is not above effective,
 *        and it is not critical
 *   I2   each batch: in_use is what the store has, and STATUS says the same
 *   I3   each new token, each start: above all before, under one broker id
 *   I4   each batch, each start of a tree: every token of a live tree is
 *        counted, or parked by somebody. Not while the broker learns what is held (it grants nothing
 *        then), nor of what nobody could end when state was lost
 *   I5   each grant, as stored and as a command gets it: asked for, or `min`, as
 *        that was when the request joined the queue
 *   I6   invariants_schedule.h; L1 and L2 for every policy too
 *   I7   in the end, and at rest: shims and broker name the same tokens; on the
 *        way by I4
 *   I8   supervisors that are ended were meant (invariants_hosts.h); that a
 *        KILL reaches no tree without a lease cannot be seen here, where all
 *        trees have one
 *   I9   a change of a closed token is one of an old token (I3)
 *   I10  each GRANT that leaves: the tokens that this request had before
 *   I11  while it learns: nothing but what was granted once (adoption)
 *   I12  each session that goes: silent for T of the broker's time, as far as
 *        it listened, or known to be gone. Counted too: false_expiries
 *   I13  invariants_rules.h; a broker never begins an epoch twice (I3)
 *   I14  not here: messages are well formed (the fuzzers)
 *   I15  test_random.c: the same seed, the same trace
 *   L1   each round, fifo, no pace: nobody is served out of turn; and each waiter
 *        that STATUS shows has a reason, its place and the right slots_ahead
 *   L3   twice a second: what nobody uses on the own host does not stay in
 *        LIMBO; elsewhere, and L4: invariants_hosts.h
 *   R1   each turn of a shim: it counts from no later than the send of what the
 *        broker has heard; R4 each GRANT that leaves: stored, and flushed if its
 *        holder would outlive a power cut of the broker's host
 *
 * Besides: leases go forward and do not change hands, nothing is granted on a
 * full disk. In the end (weather.h) everybody who waits is served or told, and
 * nothing is left.
 */
#ifndef SIMULATION_INVARIANTS_H
#define SIMULATION_INVARIANTS_H

#include "simulation/sim.h"

void invariants_start (struct sim *s);
/* State was lost, and `marker` is not: tokens and epochs go on. */
void invariants_lost (struct sim *s, bool marker);
void invariants_heard (struct sim *s, const struct mail *mail);
/* A shim sends it; whether it arrives is another matter. */
void invariants_said (struct sim *s, int shim, enum verb verb,
                      const void *fields);
/* Its session is good from then on: the broker has heard what was sent then,
 * or nobody could have ended it by then (R9). */
void invariants_good (struct sim *s, int shim, int64_t since);
void invariants_anchor (struct sim *s, int shim); // R1, after each turn
void invariants_served (struct sim *s, int client);
/* What was asked for so; NULL: not, or long ago. */
struct wish *invariants_asked (struct sim *s, uint64_t session, uint64_t seq);
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
