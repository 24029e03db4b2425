/* SPDX-License-Identifier: MPL-2.0 */
/* invariants_hosts.h - the part of the judge that knows hosts and processes
 *
 * Who spoke: each HELLO with its nonce, and the session that it began. With
 * that: what of a host may live uncounted (the exceptions of I4, no wider),
 * when the slots of a lost shim have to be back (L3) and its requests gone
 * (L4), that a host in conflict with another gets nothing new, that a
 * reservation or bound slot is freed by nobody but those whose it is, and that
 * only those supervisors are ended who were meant (I8).
 */
#ifndef SIMULATION_INVARIANTS_HOSTS_H
#define SIMULATION_INVARIANTS_HOSTS_H

#include "simulation/sim.h"

/* ---- what happened ---- */
void hosts_said_hello (struct sim *s, int shim, const struct msg_hello *m);
void hosts_said_request (struct sim *s, const struct msg_request *m);
void hosts_heard_hello (struct sim *s, const struct msg_hello *m);
void hosts_heard_beat (struct sim *s, const struct msg_beat *m);
/* One change of a batch, before the store has it. */
void hosts_change (struct sim *s, const struct change *c);
/* A KILL was said; `supervisors`: of those with bound slots too. */
void hosts_killed (struct sim *s, const char *project, bool supervisors);

/* ---- what is so ---- */
/* Who said the HELLO of that session; -1: nobody that is remembered. */
int hosts_shim_of (const struct sim *s, const struct session_record *r);
/* May the broker take this session's host for one of two? */
bool hosts_contested (const struct sim *s, uint64_t session);
/* Has another shim of that project, host and boot just said HELLO? */
bool hosts_replaced (const struct sim *s, uint64_t session);
/* Is its shim gone, as far as the world knows? */
bool hosts_lost (const struct sim *s, uint64_t session);

/* ---- what must be so ---- */
/* Does I4 make an exception of it? */
bool hosts_excuse (const struct sim *s, const struct sim_tree *t);
void hosts_batch (struct sim *s);   // after each
void hosts_inspect (struct sim *s); // from time to time
/* A program ends that supervisor. */
void hosts_ends_supervisor (struct sim *s, int supervisor);

#endif
