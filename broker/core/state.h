/* SPDX-License-Identifier: MPL-2.0 */
/* state.h - all that the broker knows; for the files of the core alone
 *
 * Who changes what: ledger.c changes sessions, leases, waiters and marks, and
 * hands every change on to the outbox; handlers.c and admin.c say what a
 * message means; round.c grants; publish.c and status.c only read.
 */
#ifndef SLOTBUS_STATE_H
#define SLOTBUS_STATE_H

#include "core/broker.h"
#include "core/kills.h"
#include "core/leases.h"
#include "core/policy.h"
#include "core/pool.h"
#include "core/projects.h"
#include "core/sessions.h"
#include "core/snapshots.h"
#include "core/waitq.h"

/* A peer can open sessions; it cannot fill the memory with them. */
enum { MAX_SESSIONS = 4096 };

/* A STATUS that waits for the round. */
struct asked {
    struct peer peer;
    char project[MAX_KEY_BYTES + 1];
};

struct broker {
    struct settings settings;  // max_slots: as it is in force
    unsigned config_max_slots; // as the configuration says
    struct identity self;
    struct meta_record meta;
    uint64_t next_token, next_number;
    const struct scheduler *policy;

    struct table sessions, waiters;
    struct leases leases;
    struct projects projects;
    struct pools pools; // at[0]: the broker's own host
    struct kills kills;
    struct ended_sessions ended;
    struct snapshots snapshots;

    unsigned in_use; // over all pools, as of the last tally
    bool disk_full, learning;
    int64_t learning_until;
    int64_t turned;     // the newest broker_turn
    uint64_t pass;      // through a queue
    uint64_t changes;   // rises with every change of anything
    uint64_t published; // `changes` when it was last published
    uint64_t broker_number, broker_digest; // BROKER as last published
    uint64_t watched; // rises with what the watcher looks at
    int64_t copy_until; // a copy of this machine was heard, and alarmed
    uint64_t refused;   // messages
    uint64_t refused_before; // those that never came here
    int64_t refusals_at;     // since when these are counted,
    unsigned refusals;       // so that nobody fills the log with them
    uint64_t *strays; // rows of waiters without a session, to be deleted
    size_t stray_count;
    uint64_t sum_first, sum_next; // see judge.h
    struct asked *asked;          // STATUS of this batch: the round answers
    size_t asked_count, asked_capacity;
    struct msg scratch; // for messages too large for the stack
};

/* Count the lease table and the queue into pools and projects. */
void state_tally (struct broker *b);
/* The most that one request of `p` on `pool` can ever be granted. */
unsigned state_limit (const struct broker *b, const struct project *p,
                      const struct pool *pool);
/* Slots to be had on `pool` now; negative: over-committed. */
int64_t state_free (const struct broker *b, const struct pool *pool);
unsigned state_effective (const struct broker *b);
/* Is `l` in LIMBO, and `s` the successor of who held it? */
bool state_succeeds (const struct session *s, const struct lease *l);
/* The round answers a STATUS. project "": all. */
void state_ask (struct broker *b, const struct peer *peer, const char *project);
/* A gap of more than this between two turns is a stall (R3). */
int64_t state_stall (const struct broker *b);
/* Says so in the journal where another policy is used than is wanted. */
void state_log_policy (const struct broker *b, struct outbox *out);
/* Everything that hangs on max_slots, anew. */
void state_set_max (struct broker *b, unsigned max_slots);

#endif
