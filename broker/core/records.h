/* SPDX-License-Identifier: MPL-2.0 */
/* records.h - what must be on disk, as plain values
 *
 * One record per row of the store. The core keeps the same structures in
 * memory, so that what is stored and what is known cannot drift apart: a table
 * hands a copy to the outbox whenever it changes one.
 */
#ifndef SLOTBUS_RECORDS_H
#define SLOTBUS_RECORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/message.h"

/* PARKED does not count: its tree waits, and has given the slot back. */
enum lease_state {
    LEASE_NONE,
    LEASE_ACTIVE,
    LEASE_KILLING,
    LEASE_LIMBO,
    LEASE_PARKED
};

/* Which process, for certain: a pid with its start time in clock ticks. */
struct process {
    int32_t pid;        // 0 = none
    int64_t start;
};

static inline bool same_process (const struct process *a,
                                 const struct process *b)
{
    return a->pid == b->pid && a->start == b->start;
}

/* A LIVE (or SUSPECT) session. LOST and CLOSED ones have no record: session
 * ids never repeat, so an unknown id says as much. */
struct session_record {
    uint64_t id;                    // random, never 0
    uint64_t nonce;                 // of its HELLO
    char project[MAX_KEY_BYTES + 1];
    char display[65];
    char host[65];                  // the name that people see
    char machine[65];               // machine-id
    char boot[65];                  // boot_id
    uint32_t uid;
    struct process shim;            // kernel-verified where own is true
    bool own;                       // own host: ipc, and the broker's boot_id
    uint32_t cores;                 // of its host, as it says; 0 = not said
    uint64_t memory_bytes;          // likewise
    uint64_t seq_high;              // highest request seq accepted
    uint64_t seq_mask;              // bit i: seq_high - i was accepted
    int64_t ttl_ms;                 // T as its WELCOME said, whatever the
                                    // configuration says since; 0 = not known
};

/* A counted slot. A released one has no record. */
struct lease_record {
    uint64_t token;
    uint64_t session;               // who was granted it
    char project[MAX_KEY_BYTES + 1];
    char host[65];
    char machine[65];
    char boot[65];
    uint32_t uid;
    bool own;
    enum lease_state state;
    int64_t since;                  // monotonic ms of the last change of state
    int64_t granted;                // monotonic ms
    int64_t waited_ms;              // in the queue
    uint64_t seq;                   // of the request
    uint64_t first;                 // the grant it came with: first token,
    uint32_t count;                 // how many,
    uint32_t asked;                 // how many were asked for
    uint64_t digest;                // of the request's arguments (CONFLICT)
    bool acked;                     // the holder named it in a BEAT
    bool run;                       // belongs to a `run`, not a reservation
    bool bound;                     // to the supervisor
    bool preemptible;
    bool tree;                      // STARTED, not yet REAPED
    uint64_t told;                  // seq of the newest STARTED or REAPED
    uint64_t cookie;                // first token of that tree: what its
                                    // environment names; 0 = no tree
    struct process supervisor;
    struct process agent;           // CMD of the tree
    char label[257];
    char cgroup[256];               // below the cgroup2 mount, "" = none
    uint32_t phase, phases;
    double percent;                 // NaN = not said
    bool validating;
    char note[257];
    int64_t eta_low_ms, eta_high_ms; // run time as forecast at the grant; 0 =
                                     // there was no forecast
};

/* A request that waits. */
struct waiter_record {
    uint64_t number;                // enqueue number: the order of arrival
    uint64_t session;
    uint64_t seq;
    uint32_t count, min;            // min == count: all or nothing
    uint64_t digest;
    struct process supervisor;
    uint32_t priority;
    bool run, bound, preemptible;
    int64_t since;                  // monotonic ms
    uint64_t parked;                // a token of the parked tree that wants to
                                    // go on; 0 = none
    char labels[1025];
};

/* The rest: one row. */
struct meta_record {
    char broker[33];                // broker id: 32 hex digits
    uint64_t epoch;
    uint64_t token_mark;            // no token at or above it was ever granted
    uint64_t number_mark;           // the same for enqueue numbers
    uint32_t max_slots;             // by SET_MAX, 0 = by the configuration
    uint32_t config_max_slots;      // what the configuration said then: of
                                    // file and command the later change wins
    uint32_t policy;                // by SET_POLICY: 1 + enum policy, 0 = by
                                    // the configuration
    uint32_t config_policy;         // 1 + what the configuration said then
    int64_t ttl_ms;                 // the longest T that was ever told
};

/* What people said of a project; none of it: no record. */
struct project_record {
    uint64_t number;                // of the record: never used again
    char name[MAX_KEY_BYTES + 1];
    bool paused;
    char reason[257];               // of the pause
    bool prioritised;               // by SET_PRIORITY:
    uint32_t priority;
    uint32_t config_priority;       // what the configuration said then
};

/* A slot from its grant to its end, for history.db: written once, and never
 * read back by the core but as durations (forecast.h). */
struct run_record {
    uint64_t token;
    char project[MAX_KEY_BYTES + 1];
    char label[257];
    char host[65];
    int64_t wait_ms;
    int64_t run_ms;   // that it was held; 0: a tree in a reservation
    int64_t whole_ms; // of its tree from its start, if that is not run_ms; else
                      // 0
    char outcome[17];               // "done", "failed", "killed", "lost",
                                    // "released", "parked"
    uint32_t status;                // exit status of its command
    uint64_t memory_bytes, cpu_ms;  // of its tree; 0 = not known
    int64_t eta_low_ms, eta_high_ms;
};

#endif
