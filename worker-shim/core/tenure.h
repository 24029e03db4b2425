/* SPDX-License-Identifier: MPL-2.0 */
/* tenure.h - the session with the broker, and how long it is good for
 *
 *   HELLO --WELCOME--> LIVE --BYE--> LEAVING
 *     ^                  |             |
 *     +---NO_SESSION-----+-------------+
 *
 * Everything that hangs on the session being ours hangs on one number, the
 * anchor: the send time of the newest BEAT that the broker acknowledged (R1).
 * What runs must be gone by anchor + T - D, which is before the broker may
 * count it as gone (R2). Where the anchor comes from a WELCOME, it is the time
 * of the first HELLO with that nonce: of several HELLOs the broker may have
 * counted from the oldest.
 *
 * Pure: knows neither sockets nor messages' ways, only what was said when.
 */
#ifndef SLOTBUS_TENURE_H
#define SLOTBUS_TENURE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/backoff.h"
#include "protocol/message.h"

enum {
    TENURE_BEATS = 64,          // how many BEATs an answer may be late
    TENURE_HELLO_MOST_MS = 5000 // between two HELLOs
};

enum tenure_state { TENURE_HELLO, TENURE_LIVE, TENURE_LEAVING };

struct tenure {
    enum tenure_state state;
    uint64_t nonce;          // of the HELLO that waits; 0 = none sent yet
    uint64_t welcomed;       // of the HELLO that began the session
    uint64_t session, epoch; // epoch: the highest seen of `broker` (R7)
    char broker[33];         // "" before the first WELCOME
    char near[65];           // a known project that is nearly called like ours
    bool own_host;           // the broker says that it is on our host
    int64_t beat_ms, ttl_ms; // dictated by WELCOME, like the next five
    int64_t notice_ms, grace_ms, confirm_ms, drift_ms, linger_ms;
    int64_t reclaim_idle_ms; // what was idle for less is not given back,
                             // if RECLAIM does not say otherwise
    int64_t anchor;
    int64_t first_hello; // when the present nonce was first sent
    int64_t sample_ms;   // between two SAMPLEs, and two measurements of what
                         // runs; 0 = none are wanted
    bool samples;        // SAMPLEs are: we are of another host
    int64_t sample_soon_ms; // the same, as the last answer to one says
    int64_t next_hello, next_beat, next_sample, next_reconnect;
    uint64_t beat;              // number of the last BEAT; never goes back
    int64_t sent[TENURE_BEATS]; // when BEAT n was sent: [n % TENURE_BEATS]
    int64_t hello_ms; // between the first HELLOs
    struct backoff hello, reconnect;
};

void tenure_init (struct tenure *t, int64_t hello_ms, int64_t now);

/* A HELLO is sent now; returns its nonce, which stays until a WELCOME. */
uint64_t tenure_hello (struct tenure *t, uint64_t random, int64_t now);
/* The session of that nonce is over, says the broker. That may be about an
 * older nonce, and late: what goes on for 3 H is about this one, of whose
 * session no WELCOME came, and the next HELLO has a new one. */
void tenure_expired (struct tenure *t, int64_t now);
/* True: it answers our HELLO, and we are LIVE. */
bool tenure_welcome (struct tenure *t, const struct msg_welcome *in,
                     int64_t now);

/* True: the answer to a repetition of the HELLO that made us LIVE. */
bool tenure_welcome_again (const struct tenure *t,
                           const struct msg_welcome *in);

/* R7: is this message of our session, and not of an older epoch? Raises the
 * epoch, and counts as a sign of life. Epoch 0: the message has none. */
bool tenure_accepts (struct tenure *t, uint64_t session, uint64_t epoch,
                     int64_t now);

/* A BEAT is sent now; returns its number. */
uint64_t tenure_send_beat (struct tenure *t, int64_t now);
/* True when a SAMPLE is due, as long as we are LIVE. */
bool tenure_sample (struct tenure *t, int64_t now);
/* The broker heard one, and wants the next in `ms`; 0: as WELCOME said. Never
 * more often than ten times as often. */
void tenure_sampled (struct tenure *t, int64_t ms);
/* The broker acknowledged that BEAT. True: the anchor moved forward. */
bool tenure_beat_ok (struct tenure *t, uint64_t beat);
/* R9: the same by other means: nobody can have ended our session by now. Past
 * the deadline it is too late: the broker may have ended it before it died. */
void tenure_renew (struct tenure *t, int64_t now);

/* By when everything must be gone: anchor + T - D. */
int64_t tenure_deadline (const struct tenure *t);
/* LIVE and before the deadline: new work may start. */
bool tenure_valid (const struct tenure *t, int64_t now);

/* The session is over (or given back): the next HELLO has a new nonce. */
void tenure_restart (struct tenure *t, int64_t now);
void tenure_leave (struct tenure *t);

/* Nothing was heard for 3 H: true once, then again after a longer while. */
bool tenure_reconnect (struct tenure *t, uint64_t random, int64_t now);

/* When HELLO, BEAT, SAMPLE or reconnecting is due next. */
int64_t tenure_next (const struct tenure *t);

#endif
