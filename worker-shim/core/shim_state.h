/* SPDX-License-Identifier: MPL-2.0 */
/* shim_state.h - what the files of the shim's core share
 *
 *   shim.c          turns, supervisors, the end
 *   shim_speak.c    what the broker is told, and again until it answers
 *   shim_broker.c   what the broker says
 *   shim_client.c   what local commands ask
 *   shim_release.c  which slots a RELEASE means, and what became of them
 *   shim_keeper.c   what keepers report
 *   shim_measure.c  what trees take
 *   shim_park.c     trees give their slots back for a while
 *   shim_reclaim.c  the broker asks for what is idle
 *   shim_grants.c   slots arrive, and are handed to those who wait
 *   shim_stop.c     what a STOP means
 *   shim_ending.c   slots, runs and the session go
 *
 * Handlers only change the tables and talk to local peers at once. What the
 * broker must hear is marked unsent in its table, and shim_turn () sends it:
 * so each turn's news travel together, and a resend is nothing but forgetting
 * at each BEAT what was sent.
 */
#ifndef SLOTBUS_SHIM_STATE_H
#define SLOTBUS_SHIM_STATE_H

#include "core/acks.h"
#include "core/actions.h"
#include "core/holdings.h"
#include "core/progress.h"
#include "core/releases.h"
#include "core/requests.h"
#include "core/runs.h"
#include "core/shim.h"
#include "core/supervisors.h"
#include "core/tenure.h"

/* A command that has parked its tree: as long as it is connected, and has not
 * asked for the way back. */
struct parker {
    uint64_t client; // 0 = unused entry
    uint64_t seq;    // of its PARK
    uint64_t run;    // its tree, by the name that this has
    bool told;       // that it is parked
};
enum { MAX_PARKERS = 256 };

struct shim {
    struct shim_settings settings;
    struct tenure tenure;
    struct supervisors supervisors;
    struct holdings holdings;
    struct requests requests;
    struct runs runs;
    struct releases releases;
    struct acks acks;
    struct progress progress;
    struct parker parkers[MAX_PARKERS];
    bool news;   // something happened since the last turn
    bool ready;  // was LIVE once
    bool ending; // shim_end () was called
    bool done;   // ACT_END is out: nothing follows it
    uint64_t told; // seq of the newest news of a tree (STARTED, REAPED)
    bool more;   // a predecessor left more than one WELCOME lists
    int64_t measure_at; // when all trees are measured next
    bool idle;   // nobody needs us; since when:
    int64_t idle_since;
    int64_t next_bye, leave_by;
    char level[17]; // of our host's health, as it was last logged
};

/* How a tree is to be ended. */
struct stop {
    int64_t notice_ms, grace_ms;
    const char *reason;
    bool supervisor; // a bound slot's supervisor too
    bool unsure;     // an unknown token may be of a tree that is back
};

/* ---- shim.c ---- */
/* False where no further supervisor can be watched. */
bool shim_watched (struct shim *s, struct who who, struct actions *out);
/* The broker knows that we are gone. */
void shim_bye_heard (struct shim *s, int64_t now, struct actions *out);

/* ---- shim_speak.c ---- */
void shim_say_hello (struct shim *s, uint64_t nonce, struct actions *out);
void shim_say_beat (struct shim *s, int64_t now, struct actions *out);
/* Whatever is unsent. */
void shim_say_news (struct shim *s, int64_t now, struct actions *out);
void shim_say_sample (struct shim *s, struct actions *out);
void shim_say_bye (struct shim *s, struct actions *out);
/* To a keeper: its tree may live until anchor + T - D. */
void shim_arm (struct shim *s, struct run *run, struct actions *out);
void shim_arm_all (struct shim *s, struct actions *out);
/* A packet to that run's keeper, without its contents. */
struct keeper_packet shim_packet (enum keeper_type type, const struct run *run);

/* ---- shim_grants.c ---- */
/* The mark of a tree: <broker id>:<first token>. */
void shim_cookie (const struct shim *s, uint64_t token, char *ret_cookie,
                  size_t size);
/* How many more slots there is room for. */
unsigned shim_room (struct shim *s);
void shim_take_grant (struct shim *s, const struct row_granted *grant,
                      uint64_t waited_ms, struct actions *out);
/* Requests of runs take what their supervisors hold idle, where they can.
 * Others are left to shim_say_news (). */
void shim_serve (struct shim *s, int64_t now, struct actions *out);
/* Is what this request wants about to be idle here? */
bool shim_served_soon (struct shim *s, const struct request *r);
/* The request is over for its client; the broker may have to hear of it. */
void shim_withdraw (struct shim *s, struct request *r);

/* ---- shim_release.c ---- */
void shim_release (struct shim *s, uint64_t client,
                   const struct msg_release *in, struct actions *out);
/* Tell those who released, once all their tokens are answered. */
void shim_tell_released (struct shim *s, struct actions *out);
void shim_on_released (struct shim *s, const struct msg_released *in,
                       struct actions *out);
void shim_keep_again (struct shim *s);

/* ---- shim_stop.c ---- */
/* `again`: the broker repeats it, and what was said once is on its way. */
void shim_stop_tokens (struct shim *s, const struct u64s *tokens,
                       const struct stop *how, bool again, struct actions *out);

/* ---- shim_keeper.c ---- */
/* A predecessor's tree: the shell ends it. */
void shim_clean (struct shim *s, struct slot *slot, const struct row_limbo *row,
                 struct actions *out);

/* ---- shim_measure.c ---- */
/* Trees whose turn it is are measured, a few in a turn. */
void shim_measure (struct shim *s, int64_t now, struct actions *out);
void shim_say_footprints (struct shim *s, struct actions *out);
/* When there is something to measure next; INT64_MAX: nothing runs. */
int64_t shim_measure_due (const struct shim *s);

/* ---- shim_park.c ---- */
void shim_park (struct shim *s, uint64_t client, const struct msg_park *in,
                struct actions *out);
/* A command wants its parked tree to go on. */
void shim_return (struct shim *s, uint64_t client, const struct msg_request *in,
                  struct actions *out);
void shim_parker_gone (struct shim *s, uint64_t client);
/* Trees that nobody keeps parked any more ask for their slots. */
void shim_come_back (struct shim *s);
void shim_say_parks (struct shim *s, struct actions *out);
/* Is it this one's turn to be told to the broker; and as what? */
bool shim_may_say_return (struct shim *s, const struct request *r);
void shim_fill_return (struct shim *s, struct msg_request *ask);
void shim_park_heard (struct shim *s, const struct msg_ok *in,
                      struct actions *out);
void shim_park_refused (struct shim *s, const struct msg_error *in,
                        struct actions *out);
void shim_park_again (struct shim *s);
/* The slots that `r` asked for are here: its tree runs under them now, and all
 * requests for its way back are over. */
void shim_take_back (struct shim *s, const struct request *r,
                     const struct row_granted *grant, uint64_t waited_ms,
                     struct actions *out);
void shim_return_refused (struct shim *s, struct request *r, enum err error,
                          const char *detail, struct actions *out);
/* The tree has ended, or its session: nobody waits for it. */
void shim_end_parking (struct shim *s, struct run *run, struct actions *out);

/* ---- shim_reclaim.c ---- */
/* Since when reservations are idle: at the end of each turn. */
void shim_note_idle (struct shim *s, int64_t now);
/* Others want up to `count` of the slots that nobody has used here for
 * `idle_ms`; 0: for as long as WELCOME said. */
void shim_reclaim (struct shim *s, uint64_t count, uint64_t idle_ms,
                   const char *whom, int64_t now, struct actions *out);

/* ---- shim_ending.c ---- */
void shim_release_slot (struct slot *slot);
/* Nothing runs under it any more, and the broker is to hear that it is proven:
 * news of its own. */
void shim_reap_slot (struct shim *s, struct slot *slot);
/* An attached run: its keeper ends the tree. */
void shim_stop_run (struct shim *s, struct run *run, const struct stop *how,
                    struct actions *out);
/* An offered run is off: its client hears why. */
void shim_drop_run (struct shim *s, struct run *run, const char *why,
                    struct actions *out);
/* One of them, whatever its state. */
void shim_end_run (struct shim *s, struct run *run, const struct stop *how,
                   struct actions *out);
/* Its tree is proven gone. */
void shim_run_gone (struct shim *s, struct run *run, struct actions *out);
/* Everything of that supervisor (NULL: of everybody) is given back. */
void shim_give_back (struct shim *s, const struct who *of, const char *why,
                     struct actions *out);
/* Nothing of the present session is ours any more. */
void shim_lose_session (struct shim *s, int64_t now, struct actions *out);
/* The broker has closed that token. */
void shim_token_closed (struct shim *s, uint64_t token,
                        enum release_result result, struct actions *out);

#endif
