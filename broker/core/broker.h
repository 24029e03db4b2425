/* SPDX-License-Identifier: MPL-2.0 */
/* broker.h - the broker as a function: (state, time, message) to outbox
 *
 * Pure: no socket, clock, file or random number. The shell calls, once a turn
 * of its loop and in this order:
 *
 *   broker_turn        what time it is, and whether the last look at the
 *                      sockets ended in EAGAIN: stall guard (R3), expiry
 *   broker_step        each message of the batch
 *   broker_observe_*   what sampler and watcher saw
 *   broker_round       once: serve the queue, forecast, publish
 *
 * and then carries out the outbox. Handlers never grant: every request joins
 * the queue and the round serves it, so that a newcomer cannot overtake.
 *
 * Always true: tokens and epochs rise (I3); in_use is the sum over the lease
 * table (I2); nothing is granted beyond effective - in_use (I1); a closed
 * token changes nothing (I9). docs: messages/PROTOCOL.md.
 */
#ifndef SLOTBUS_BROKER_H
#define SLOTBUS_BROKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/outbox.h"
#include "core/records.h"
#include "protocol/sample.h"
#include "core/settings.h"
#include "protocol/message.h"

/* What a peer may do (access.c decides from kernel-verified facts). */
enum role { ROLE_STRANGER, ROLE_OBSERVER, ROLE_PROJECT, ROLE_OPERATOR,
            ROLE_ADMIN };

/* Who sent a message: nothing of it comes from the payload. */
struct peer {
    struct path path;
    enum role role;
    uint32_t uid;
    int32_t pid;        // kernel-verified; 0 = remote, or another pid namespace
};

struct identity {
    char host[65];      // the broker's own host: name, machine-id, boot_id
    char machine[65];
    char boot[65];
    char version[32];   // of the program, for BROKER
};

struct broker;

/* `settings` is copied. meta: broker id, the epoch of *this* start (already
 * raised), marks. `learning`: state was lost and that was accepted: for T + L
 * nothing is granted and what shims report is adopted. */
struct broker *broker_create (const struct settings *settings,
                              const struct identity *self,
                              const struct meta_record *meta, bool learning,
                              int64_t now);
void broker_destroy (struct broker *b);

/* Before the first turn: what the store had. Every session gets a full T
 * (R5); own-host leases of another boot are released, a lease whose session
 * is gone is LIMBO. Records are copied. Waiters come last: the place of one
 * hangs on its session and on its project's priority. */
void broker_restore_session (struct broker *b, const struct session_record *r);
void broker_restore_lease (struct broker *b, const struct lease_record *r);
void broker_restore_project (struct broker *b, const struct project_record *r);
void broker_restore_waiter (struct broker *b, const struct waiter_record *r);
/* Of history: something ended by itself after so long (forecast.h). */
void broker_restore_duration (struct broker *b, const char *project,
                              const char *label, int64_t run_ms);
/* Likewise: it took at most so much memory; 0: not known. */
void broker_restore_memory (struct broker *b, const char *project,
                            const char *label, uint64_t bytes);
/* A row that could not be read: a slot of an unknown holder, LIMBO until an
 * administrator releases it. */
void broker_restore_damaged (struct broker *b, uint64_t token);
void broker_start (struct broker *b, int64_t now, struct outbox *out);

/* `drained`: since the previous turn the ROUTER was read until EAGAIN. */
void broker_turn (struct broker *b, bool drained, int64_t now,
                  struct outbox *out);
/* `random`: a fresh random number; used as session id by HELLO. Answers and
 * errors go to from->path. */
void broker_step (struct broker *b, const struct peer *from,
                  const struct msg *in, uint64_t random, int64_t now,
                  struct outbox *out);
void broker_round (struct broker *b, int64_t now, struct outbox *out);
/* When something will be due next (monotonic ms; never later than half a
 * stall from now). */
int64_t broker_next_deadline (const struct broker *b, int64_t now);

/* An own-host shim's pidfd said that it is gone: LOST at once. */
void broker_observe_gone (struct broker *b, uint64_t session, int64_t now,
                          struct outbox *out);
/* Its connection said too much that is no message: the sessions that are
 * answered there are LOST. False: there is none. */
bool broker_observe_malformed (struct broker *b, const struct peer *from,
                               int64_t now, struct outbox *out);
/* Proven: nothing runs under this token (LIMBO of the own host only). */
void broker_observe_proven (struct broker *b, uint64_t token, int64_t now,
                            struct outbox *out);
/* Of the own host. wall: ms since 1970, only to be published. */
void broker_observe_sample (struct broker *b, const struct sample *sample,
                            int64_t wall, int64_t now, struct outbox *out);
/* Of the own host: so many processes look like agents (settings.unmanaged) and
 * run outside any slot, whose most of them seem to be ("": unknown). */
void broker_observe_unmanaged (struct broker *b, unsigned count,
                               uint64_t memory_bytes, const char *of);
/* How long after a sample of the own host the next one is to be taken, ms. */
int64_t broker_sample_interval (const struct broker *b);
/* Is that the key of a project that the configuration, or anybody, named? */
bool broker_knows_project (const struct broker *b, const char *project);
/* Does that process of this host hold slots, or wait for some? */
bool broker_knows_supervisor (const struct broker *b, int32_t pid);
/* So many messages were refused in all before they could come here. */
void broker_observe_refused (struct broker *b, uint64_t messages);
/* The store cannot be written (disk full), or can again. While it is full
 * nothing is granted (DISK); beats, releases and kills go on. */
void broker_observe_disk (struct broker *b, bool full, int64_t now,
                          struct outbox *out);
/* The configuration was read again: takes effect at once. */
void broker_reload (struct broker *b, const struct settings *settings,
                    int64_t now, struct outbox *out);

/* ---- what the watcher has to look at ---- */
struct watch_session {
    uint64_t session;
    struct process shim;
};
struct watch_lease {
    uint64_t token;             // a LIMBO lease of the own host
    uint64_t first;             // its tree's cookie is BROKER:first
    bool tree;                  // a tree was started under it
    bool word;                  // bound, or a reservation without a tree: gone
                                // when the supervisor is
    struct process supervisor;
    struct process agent;       // CMD of the tree: nothing of it is older
    int64_t granted;            // nor than this (monotonic ms)
    uint32_t uid;               // whose processes they are
    char cgroup[256];
};
/* Rises whenever the lists below may have changed. */
uint64_t broker_watch_version (const struct broker *b);
size_t broker_watch_sessions (const struct broker *b, struct watch_session *ret,
                              size_t most);
size_t broker_watch_leases (const struct broker *b, struct watch_lease *ret,
                            size_t most);

/* ---- what the snapshot file and the log say ---- */
struct pool_view {
    unsigned max_slots, effective, in_use, waiting;
    int sessions;
};
void broker_view (const struct broker *b, struct pool_view *ret_view);
/* Projects with their slots in use: configured ones, and those that hold. */
size_t broker_allocation (const struct broker *b, size_t i, char *ret_project,
                          unsigned *ret_in_use);   // returns how many there are
const char *broker_level (const struct broker *b); // own host: "healthy", ...

#endif
