/* SPDX-License-Identifier: MPL-2.0 */
/* shim.h - the shim as a function: (state, time, event) to actions
 *
 * One shim per project, host and uid. It holds the project's session with the
 * broker, what was granted (holdings.h), who asked (supervisors, commands) and
 * who runs (keepers). Pure: no socket, clock, file, process or random number;
 * the shell carries out the actions and reports what happened.
 *
 * Always true: nothing runs under a token that was not granted to the present
 * session and epoch (R7); every keeper's deadline is anchor + T - D, where
 * anchor is the send time of the newest acknowledged BEAT (R1, R2); a token is
 * given back only when its tree is proven gone, or on the word of whoever
 * holds a reservation.
 *
 * The clock is CLOCK_MONOTONIC for an own-host broker and CLOCK_BOOTTIME for a
 * remote one (R1): the shell decides and passes `now` of that clock always.
 */
#ifndef SLOTBUS_SHIM_H
#define SLOTBUS_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "keeper_wire.h"
#include "protocol/message.h"

struct who {
    int32_t pid;   // 0 = nobody
    int64_t start; // clock ticks
};

struct shim_settings {
    char project[MAX_KEY_BYTES + 1];
    char display[65];
    char host[65], machine[65], boot[65];
    struct who self;
    uint32_t cores;        // of this host, that may be used; 0 = not known
    uint64_t memory_bytes; // likewise
    bool boottime;    // now counts on CLOCK_BOOTTIME (remote broker)
    bool own_host;    // the broker is reached by ipc: R9 may apply
    int64_t hello_ms; // between HELLOs before the first WELCOME (500)
};

enum action_kind {
    ACT_SEND,           // verb, fields: to the broker
    ACT_TELL,           // client, verb, fields: to a local command
    ACT_HANG_UP,        // client: close after what was told is written
    ACT_KEEPER,         // keeper, packet
    ACT_HANG_UP_KEEPER, // keeper; its end is not reported
    ACT_WATCH,          // who: report shim_on_supervisor_gone () when it ends
    ACT_UNWATCH,        // who
    ACT_CLEAN,          // token, cgroup, cookie, who: end leftovers of a lost
                        // keeper, report shim_on_cleaned () once proven gone;
                        // who.start: nothing of it is older, 0 = not known
    ACT_END_SUPERVISOR, // who: SIGTERM by its pidfd
    ACT_SPAWN,          // project, who, client: fork another project's shim
    ACT_SAMPLE,         // session: tell the broker how this host is
    ACT_MEASURE,        // token, keeper, cgroup: report shim_on_measured ()
    ACT_RECONNECT,      // no answer for 3 H: make the socket anew
    ACT_READY,          // the session is LIVE for the first time
    ACT_LOG,            // text: one journal line
    ACT_END             // status: everything is given back; exit
};

struct action {
    enum action_kind kind;
    uint64_t client, keeper, token, session;
    enum verb verb;
    const void *fields;                 // struct msg_*, the actions' own
    const struct keeper_packet *packet; // likewise
    struct who who;
    char project[MAX_KEY_BYTES + 1];
    char cgroup[256];
    char cookie[96];
    char text[256];
    int status;
};

/* What a tree has now. */
struct measured {
    uint64_t memory_bytes; // resident and its own
    uint64_t cpu_ms;       // since it began, as far as is known
    unsigned running;      // tasks that run, or wait for a processor or a disk
};

struct actions;
struct actions *actions_create (void);
void actions_destroy (struct actions *a);
void actions_clear (struct actions *a);
size_t actions_count (const struct actions *a);
const struct action *actions_at (const struct actions *a, size_t i);

struct shim;
struct shim *shim_create (const struct shim_settings *settings, int64_t now);
void shim_destroy (struct shim *s);

/* Due work: HELLO, BEAT, resends, and whatever the events of this turn left to
 * be said to the broker. `random` is a fresh random number for a nonce. Call
 * each turn, after the events of that turn. */
void shim_turn (struct shim *s, uint64_t random, int64_t now,
                struct actions *out);
/* When a turn is due next: now, if something happened since the last one;
 * INT64_MAX after ACT_END. */
int64_t shim_next_deadline (const struct shim *s, int64_t now);

/* A decoded message of the broker (not from the PUB stream). */
void shim_on_broker (struct shim *s, const struct msg *in, int64_t now,
                     struct actions *out);
/* A HEALTH snapshot of the PUB stream. */
void shim_on_health (struct shim *s, const struct msg_health *in, int64_t now,
                     struct actions *out);
/* R9: a query of the broker's lock says that nobody holds it (absent), or that
 * somebody does. The shell asks at least every H/2 while on the own host. */
void shim_on_broker_absent (struct shim *s, bool absent, int64_t now,
                            struct actions *out);

/* Watch a supervisor (--watch). Slots name theirs; each is watched once. */
void shim_watch (struct shim *s, struct who who, int64_t now,
                 struct actions *out);
bool shim_watches (const struct shim *s, int32_t pid);
void shim_on_supervisor_gone (struct shim *s, struct who who, int64_t now,
                              struct actions *out);

/* A local command: `client` is the shell's number of its connection, `peer`
 * who is there (kernel-verified). Verbs: REQUEST RELEASE CANCEL PROGRESS SPAWN
 * and OK{re: GRANT}, which says that the grant arrived: a client that goes
 * without it gives the grant back. Of a `run` (REQUEST.run) the connection
 * lasts as long as the run. */
void shim_on_client (struct shim *s, uint64_t client, struct who peer,
                     const struct msg *in, int64_t now, struct actions *out);
void shim_on_client_gone (struct shim *s, uint64_t client, int64_t now,
                          struct actions *out);

/* A keeper's packet (validated: magic, size, type, terminated strings). */
void shim_on_keeper (struct shim *s, uint64_t keeper,
                     const struct keeper_packet *in, int64_t now,
                     struct actions *out);
void shim_on_keeper_gone (struct shim *s, uint64_t keeper, int64_t now,
                          struct actions *out);
/* ACT_MEASURE is done. The tree may be gone meanwhile. */
void shim_on_measured (struct shim *s, uint64_t token,
                       const struct measured *measured, int64_t now);
/* ACT_CLEAN is done: nothing of that token runs any more. */
void shim_on_cleaned (struct shim *s, uint64_t token, int64_t now,
                      struct actions *out);

/* SIGTERM: end every agent, give everything back, BYE, then ACT_END. */
void shim_end (struct shim *s, int64_t now, struct actions *out);

/* For tests and the simulator. */
int64_t shim_anchor (const struct shim *s);
uint64_t shim_session (const struct shim *s);
size_t shim_holds (const struct shim *s, uint64_t *ret_tokens, size_t most);

#endif
