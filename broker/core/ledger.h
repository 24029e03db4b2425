/* SPDX-License-Identifier: MPL-2.0 */
/* ledger.h - every change of what must be on disk
 *
 * Whoever changes a session, a lease, a waiter or a mark does it here: the
 * table, the outbox's change and the journal then say the same.
 */
#ifndef SLOTBUS_LEDGER_H
#define SLOTBUS_LEDGER_H

#include "core/state.h"

/* A session was added or changed. */
void ledger_session (struct broker *b, const struct session *s,
                     struct outbox *out);
void ledger_lease (struct broker *b, const struct lease *l, struct outbox *out);
void ledger_meta (struct broker *b, struct outbox *out);
/* What people say of a project; once that is nothing, its record goes. */
void ledger_project (struct broker *b, struct project *p, struct outbox *out);
/* A SET_MAX, SET_POLICY or SET_PRIORITY that the file has overruled since is
 * not to come back. */
void ledger_settle (struct broker *b, struct outbox *out);

/* What the watcher looks at has changed. */
void ledger_watch (struct broker *b);

/* A session begins, stored or not (`out` NULL: it already is). Its host has
 * room (pools_full ()), or it shares the first pool. */
struct session *ledger_begin (struct broker *b, const struct session_record *r,
                              int64_t now, struct outbox *out);

/* While the broker learns: a token that it knows nothing of and that was
 * granted once is held by who names it. Returns whether it is now. */
bool ledger_adopt (struct broker *b, struct session *s, uint64_t token,
                   int64_t now, struct outbox *out);
/* The same for what still runs under a predecessor of `s`: LIMBO. */
bool ledger_adopt_limbo (struct broker *b, struct session *s, uint64_t token,
                         int64_t now, struct outbox *out);

/* Put a lease into the tables, stored or not (`out` NULL: it already is). */
struct lease *ledger_add_lease (struct broker *b, const struct lease_record *r,
                                struct outbox *out);
/* The slot is free. `why` goes to the journal. Frees `l`. */
void ledger_release (struct broker *b, struct lease *l, const char *why,
                     struct outbox *out);
/* On another's word than its holder's. The GRANT of it may never have arrived:
 * who waits for that is told that it has expired. */
void ledger_revoke (struct broker *b, struct lease *l, const char *why,
                    struct outbox *out);
/* -> KILLING; from `until` on it is taken for unkillable. Said again, its end is
 * not awaited any longer than before. */
void ledger_kill (struct broker *b, struct lease *l, uint64_t kill,
                  int64_t until, int64_t now, struct outbox *out);
/* Its holder is lost: -> LIMBO. Remote: time alone releases it at `until`. */
void ledger_orphan (struct broker *b, struct lease *l, int64_t until,
                    int64_t beaten, int64_t now, struct outbox *out);

/* ACTIVE -> PARKED, one slot of a tree: it does not count until the tree comes
 * back. */
void ledger_park (struct broker *b, struct lease *l, int64_t now,
                  struct outbox *out);
/* `w` wants its parked tree to go on, and was granted `count` slots from `first`
 * on, which are in the table: the tree runs under them now, and what it had
 * before is released. The caller takes `w` out of the queue. */
void ledger_unpark (struct broker *b, const struct waiter *w, uint64_t first,
                    unsigned count, struct outbox *out);
/* The request that wants the tree of this PARKED lease to go on; NULL: there
 * is none. */
struct waiter *ledger_parked_waiter (const struct broker *b,
                                     const struct lease *l);

/* LOST: its leases go to LIMBO, its requests are dropped, it is forgotten. */
void ledger_lose (struct broker *b, struct session *s, const char *why,
                  int64_t now, struct outbox *out);
/* Its requests and itself; its leases must be gone or LIMBO by then. */
void ledger_forget (struct broker *b, struct session *s, struct outbox *out);
/* When time alone releases what `s` held: not before its own deadline + L,
 * however it was lost, since until then its holders may trust their beat. */
int64_t ledger_until (const struct broker *b, const struct session *s,
                      int64_t now);

/* A request joins the queue. The waiter is the table's. */
struct waiter *ledger_wait (struct broker *b, struct session *s,
                            const struct waiter_record *r);
void ledger_store_waiter (struct broker *b, struct waiter *w,
                          struct outbox *out);
/* It leaves the queue, served or not. Frees `w`. */
void ledger_unwait (struct broker *b, struct waiter *w, struct outbox *out);

/* The first of `count` fresh tokens: the mark is raised ahead of them. */
uint64_t ledger_tokens (struct broker *b, unsigned count, struct outbox *out);
uint64_t ledger_number (struct broker *b, struct outbox *out);

#endif
