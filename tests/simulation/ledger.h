/* SPDX-License-Identifier: MPL-2.0 */
/* ledger.h - how often a run has come to what it is meant to come to
 *
 * Counts, over all seeds of a process: transitions of leases and why they were
 * released, what became of sessions, which answer the broker gave to which
 * verb, why requests waited under which policy, what the model's rounds came
 * to, and the faults that happened. What there is to be
 * reached is one table in ledger.c, which also says what cannot be and why.
 */
#ifndef SIMULATION_LEDGER_H
#define SIMULATION_LEDGER_H

#include "core/settings.h"
#include "simulation/disk.h"

enum { LEDGER_ENOUGH = 20 };

/* A batch that is not applied yet to `before`. */
void ledger_batch (const struct disk *before, const struct outbox *out);
/* In force while the next batches are counted. */
void ledger_policy (enum policy policy);
/* Fault i of fault_at () has happened. */
void ledger_fault (size_t i);

/* The i-th of what is to be reached, and how often it was: a name such as
 * "answer REQUEST EXPIRED"; returns false after the last. ret_excuse: why it
 * cannot be reached here, or NULL. What was reached and is in no table comes
 * as well, named "not listed: ...". */
struct ledger_row {
    char name[96];
    const char *excuse;
    uint64_t count;
};
bool ledger_at (size_t i, struct ledger_row *ret_row);
/* Reached too rarely, without an excuse; or not listed. */
bool ledger_is_short (const struct ledger_row *row);

#endif
