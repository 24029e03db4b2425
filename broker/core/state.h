/* SPDX-License-Identifier: MPL-2.0 */
/* state.h - all that the broker knows; for the files of the core alone
 *
 * Who changes what: ledger.c changes sessions, leases, waiters and marks, and
 * hands every change on to the outbox; handlers.c, admin.c and schedule.c say
 * what a message means; round.c grants; publish.c and status.c only read.
 */
#ifndef SLOTBUS_STATE_H
#define SLOTBUS_STATE_H

#include "core/broker.h"
#include "core/kills.h"
#include "core/leases.h"
#include "core/policy.h"
#include "core/pool.h"
#include "core/projects.h"
#include "core/relieve.h"
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

/* A row of the store, by kind and key. */
struct stray {
    enum change_kind kind;
    uint64_t key;
};

struct broker {
    struct settings settings;  // max_slots, policy: as they are in force
    unsigned config_max_slots; // as the configuration says
    enum policy config_policy; // likewise
    struct identity self;
    struct meta_record meta;
    uint64_t next_token, next_number;
    struct dispatch dispatch;

    struct table sessions, waiters;
    struct leases leases;
    struct projects projects;
    struct pools pools; // at[0]: the broker's own host
    struct kills kills;
    struct reliefs reliefs;
    struct forecasts *forecasts; // owned
    struct ended_sessions ended;
    struct snapshots snapshots;

    bool disk_full, learning;
    int64_t learning_until;
    int64_t turned;     // the newest broker_turn
    bool attentive;     // all that was sent before it has been heard
    uint64_t changes;   // rises with every change of anything
    uint64_t published; // `changes` when it was last published
    uint64_t broker_number, broker_digest; // BROKER as last published
    uint64_t watched;        // rises with what the watcher looks at
    int64_t copy_until;      // a copy of this machine was heard, and alarmed
    uint64_t refused;        // messages
    uint64_t refused_before; // those that never came here
    int64_t refusals_at;     // since when these are counted,
    unsigned refusals;       // so that nobody fills the log with them
    struct stray *strays;    // rows that mean nothing, to be deleted
    size_t stray_count;
    bool limits_changed;  // some who wait may ask for too much now
    int64_t far_told;     // when all who wait were looked at last
    uint64_t *unanswered; // numbers of those that have no answer yet
    size_t unanswered_count, unanswered_room;
    int64_t forecast_due;  // when waiters are forecast again (outlook.h),
    int64_t forecast_soon; // or for one that joins now,
    bool forecast_known;   // and whether any had a basis
    int64_t queues_at;     // when topics of queues were published,
    int64_t queues_due; // and must be again, though nothing else happens; 0: no
    struct asked *asked; // STATUS of this batch: the round answers
    size_t asked_count, asked_capacity;
    struct msg scratch; // for messages too large for the stack
};

/* Count the lease table, and sum up the lanes, into pools and projects. */
void state_tally (struct broker *b);
/* What their health does to the pools, anew: after each tally. */
void state_respond (struct broker *b, int64_t now, struct outbox *out);
/* People want it: the pool shrinks now as degraded memory would make it. */
void state_relieve (struct broker *b, struct pool *pool, int64_t now,
                    struct outbox *out);
/* What would be effective then. */
unsigned state_relieved (const struct broker *b, const struct pool *pool,
                         int64_t now);
/* The most that one request of `p` on `pool` can ever be granted. */
unsigned state_limit (const struct broker *b, const struct project *p,
                      const struct pool *pool);
unsigned state_effective (const struct broker *b);
/* T of a session: as it was told, or longer if the configuration says so since
 * (R2: its holders rely on what they were told). */
int64_t state_ttl (const struct broker *b, const struct session *s);
/* The same of whoever may still rely on it. */
int64_t state_longest_ttl (const struct broker *b);
/* What was stored; 0, not known, if no broker can have told it to anybody. */
int64_t state_credible_ttl (int64_t ttl_ms);
/* Is `l` in LIMBO, and `s` the successor of who held it? */
bool state_succeeds (const struct session *s, const struct lease *l);
/* The round answers a STATUS. project "": all. */
void state_ask (struct broker *b, const struct peer *peer, const char *project);
/* A gap of more than this between two turns is a stall (R3). */
int64_t state_stall (const struct broker *b);
/* Everything that hangs on max_slots, anew. */
void state_set_max (struct broker *b, unsigned max_slots);
/* Who is served first from now on. */
void state_set_policy (struct broker *b, enum policy policy);
void state_set_priority (struct broker *b, struct project *p,
                         unsigned priority);
void state_set_paused (struct broker *b, struct project *p, bool paused);

#endif
