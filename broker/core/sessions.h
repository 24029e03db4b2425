/* SPDX-License-Identifier: MPL-2.0 */
/* sessions.h - who speaks to the broker, and what he has asked already
 *
 * A session that is in the table is LIVE (or SUSPECT: it has missed three
 * beats, which is shown and costs nothing); LOST and CLOSED ones are gone.
 *
 * Requests carry a seq. The newest 64 numbers of a session are a window:
 * whether one was accepted is a bit of seq_mask. Requests that wait are kept
 * apart, so that the resend of an open one is recognised however long it waits
 * and whatever came after it.
 */
#ifndef SLOTBUS_SESSIONS_H
#define SLOTBUS_SESSIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/dispatch.h"
#include "core/outbox.h"
#include "core/records.h"
#include "core/table.h"

struct pool;
struct project;

enum {
    SEQ_WINDOW = 64,
    TOLD_DROPPED = 64 // BEAT_OK.expired
};

/* A request that waits: its number in the queue. */
struct open_request {
    uint64_t seq, number;
};

struct session {
    struct session_record r; // first: its id is the key
    struct project *project; // borrowed, as is the pool
    struct pool *pool;
    struct path path; // of its newest message; size 0: none yet
    bool suspect;
    bool repeat;            // the path is new: tell it again what waits
    bool foreign;           // what it holds is of another broker id
    bool alarmed;           // it named a token that was never granted
    int64_t seen, beaten;   // newest message, newest BEAT
    int64_t deadline;       // LOST then
    struct holder holder; // what it holds; paused_until: its identity was
                          // claimed by another host,
    bool rival_heard;     // and both are known to live: alarmed
    uint64_t elder;   // nonce of an older process that wants its place,
    int64_t elder_at; // and since when
    char near[MAX_KEY_BYTES + 1]; // a configured project of nearly that name
    uint64_t beat_seq;
    unsigned reclaim; // slots to be asked for in the next BEAT_OK
    int64_t reclaimed_at; // when it was asked last; 0: never
    unsigned dropped_count, dropped_room;
    uint64_t *dropped; // what the broker dropped, oldest first; owned
    unsigned open_count, open_room;
    struct open_request *open; // in no order; owned
};

/* Frees what it owns, and not itself. */
void session_clear (struct session *s);

/* Who a shim is: one per project, host and uid. */
struct identity_of {
    const char *project, *machine, *boot;
    uint32_t uid;
};

struct session *sessions_find (const struct table *sessions, uint64_t id);
struct session *sessions_by_nonce (const struct table *sessions, uint64_t nonce,
                                   uint32_t uid);
struct session *sessions_by_identity (const struct table *sessions,
                                      const struct identity_of *who);

/* Sessions that ended, the newest few: a late copy of their HELLO must not begin
 * another one. Of one that was silent the HELLO may be said again, for its
 * WELCOME may never have arrived: but not once its shim has another session. */
enum { KEPT_ENDED = 64 };
enum ended_how { ENDED_BYE, ENDED_SUCCEEDED, ENDED_SILENT };

struct ended_session {
    uint64_t nonce; // of its HELLO; 0: empty
    char project[MAX_KEY_BYTES + 1];
    char machine[65], boot[65];
    uint32_t uid;
    struct process shim;
    enum ended_how how; // SUCCEEDED: by who attested that its shim is dead
};

struct ended_sessions {
    struct ended_session at[KEPT_ENDED];
    unsigned next;
};

void ended_note (struct ended_sessions *e, const struct session_record *r,
                 enum ended_how how);
/* Did the session of this HELLO end by somebody's word; for silence? */
bool ended_has (const struct ended_sessions *e, uint64_t nonce, uint32_t uid);
bool ended_silent (const struct ended_sessions *e, uint64_t nonce,
                   uint32_t uid);
/* Was this very process, for certain, attested to be dead? */
bool ended_succeeded (const struct ended_sessions *e,
                      const struct session_record *r);

enum seq_state { SEQ_NEW, SEQ_SEEN, SEQ_TOO_OLD };
enum seq_state session_seq (const struct session *s, uint64_t seq);
/* May one more request be open? There are MAX_QUEUED_PROJECT at most. */
bool session_fits (const struct session *s);
void session_accept (struct session *s, uint64_t seq);
/* As if it had never been seen. */
void session_forget (struct session *s, uint64_t seq);

/* The request is in the queue under `number`, or no longer is. */
void session_open (struct session *s, uint64_t seq, uint64_t number);
void session_close (struct session *s, uint64_t seq);
/* Its number in the queue; 0: not there. */
uint64_t session_number (const struct session *s, uint64_t seq);

/* The broker dropped an open request: told with every BEAT_OK until it is
 * acknowledged, TOLD_DROPPED of them at a time, the oldest first. Of more than
 * MAX_QUEUED_PROJECT the oldest are forgotten: who acknowledges none of so
 * many does not listen. */
void session_drop (struct session *s, uint64_t seq);
void session_drop_acked (struct session *s, uint64_t seq);
void session_dropped (const struct session *s, struct u64s *ret_seqs);

#endif
