/* SPDX-License-Identifier: MPL-2.0 */
/* stage.h - a shim's core on a virtual clock, with everybody else played
 *
 * Each event clears what was noted, happens, and is followed by a turn: what
 * the stage shows then is what that event brought about. Messages that it
 * returns are good until the next event; where there are several of a kind,
 * the last one is returned.
 */
#ifndef SLOTBUS_STAGE_H
#define SLOTBUS_STAGE_H

#include "core/shim.h"

enum {
    H = 1000,  // beat
    T = 20000, // ttl
    N = 2000,  // notice
    G = 3000,  // grace
    K = 1000,  // kill confirm
    D = 500,   // drift
    LINGER = 200,
    HELLO_MS = 500,
    SESSION = 7001,
    EPOCH = 3
};

struct stage {
    struct shim *shim;
    struct actions *out;
    struct msg *msg; // for the next message of the broker or a client
    int64_t now;
    uint64_t random;
    uint64_t session;
    uint64_t epoch;
    uint64_t nonce; // of the last HELLO
    uint64_t seq;   // of the last REQUEST
    uint64_t reaped; // seq of the last REAPED
    uint64_t peak_bytes, cpu_ms; // as keepers report them
};

/* A supervisor, started at its pid. */
struct who man (int32_t pid);

/* The setup and teardown of a test: *state is a struct stage. */
int stage_setup (void **state);
int stage_teardown (void **state);
/* The same, LIVE already: HELLO and WELCOME at 0, BEAT 1 at 0. */
int stage_setup_live (void **state);

void stage_turn (struct stage *st);
void stage_wait (struct stage *st, int64_t ms); // one turn after that time
/* BEATs every H until that time has passed, each acknowledged. */
void stage_live (struct stage *st, int64_t ms);

/* ---- the broker speaks ---- */
struct msg *stage_message (struct stage *st, enum verb verb);
void stage_hear (struct stage *st); // st->msg comes in
struct msg_welcome *stage_prepare_welcome (struct stage *st);
void stage_welcome (struct stage *st);
/* NO_SESSION, and the WELCOME of session `session`. */
void stage_again (struct stage *st, uint64_t session);
void stage_beat_ok (struct stage *st, uint64_t seq);
void stage_grant (struct stage *st, uint64_t seq, uint64_t first,
                  uint64_t count);
void stage_queued (struct stage *st, uint64_t seq, uint64_t ahead);
void stage_released (struct stage *st, uint64_t first, uint64_t count);
void stage_kept (struct stage *st, uint64_t first, uint64_t count);
void stage_ok (struct stage *st, enum verb re, uint64_t seq, uint64_t token);
void stage_error (struct stage *st, enum verb re, uint64_t seq, enum err e);
void stage_no_session (struct stage *st);
void stage_stop (struct stage *st, uint64_t first, uint64_t count,
                 bool supervisor);

/* ---- commands ---- */
void stage_ask (struct stage *st, uint64_t client);
/* REQUEST of slots for supervisor `pid`, with seq 1. */
void stage_request (struct stage *st, uint64_t client, int32_t pid,
                    uint64_t count);
void stage_run (struct stage *st, uint64_t client, int32_t pid, uint64_t count);
void stage_confirm (struct stage *st, uint64_t client);
void stage_client_gone (struct stage *st, uint64_t client);
/* RELEASE by count of supervisor `pid` (0: the caller's own). */
void stage_release (struct stage *st, uint64_t client, int32_t pid,
                    uint64_t count, bool kill);
void stage_release_token (struct stage *st, uint64_t client, uint64_t token,
                          bool kill);
void stage_supervisor_gone (struct stage *st, int32_t pid);

/* ---- keepers ---- */
/* ATTACH as its run was told; the keeper's pid is its number. */
void stage_attach (struct stage *st, uint64_t keeper, uint64_t token,
                   uint32_t count);
void stage_keeper (struct stage *st, uint64_t keeper, enum keeper_type type,
                   uint64_t token, int32_t value); // pid or wait status
void stage_keeper_gone (struct stage *st, uint64_t keeper);
void stage_cleaned (struct stage *st, uint64_t token);

/* ---- whole scenes ---- */
/* A plain request granted and confirmed: a reservation. */
void stage_reserve (struct stage *st, int32_t pid, uint64_t first,
                    uint64_t count);
/* A run of its own slots, attached and armed: client and keeper are `id`. */
void stage_start (struct stage *st, uint64_t id, int32_t pid, uint64_t first,
                  uint64_t count);

/* ---- what the event brought about ---- */
unsigned stage_count (const struct stage *st, enum action_kind kind);
const struct action *stage_find (const struct stage *st, enum action_kind kind);
unsigned stage_sent_count (const struct stage *st, enum verb verb);
const void *stage_sent (const struct stage *st, enum verb verb);
const void *stage_told (const struct stage *st, uint64_t client,
                        enum verb verb);
bool stage_hung_up (const struct stage *st, uint64_t client);
const struct keeper_packet *
stage_packet (const struct stage *st, uint64_t keeper, enum keeper_type type);
bool stage_holds (const struct stage *st, uint64_t token);

#endif
