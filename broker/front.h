/* SPDX-License-Identifier: MPL-2.0 */
/* front.h - the ROUTER: bytes in, messages out, and the way back
 *
 * Frames after the routing id (and an empty delimiter, if the peer is a REQ):
 * "SLT1" and one body. What is not that is dropped and counted; a body that
 * cannot be decoded is answered with an ERROR. A connection that says too much
 * or too little of sense is not heard (guests.h): what it sends is read, so
 * that it does not lie in the way, and dropped undecoded. Nothing here waits:
 * receives and sends are DONTWAIT, and an answer for a peer that is gone or
 * does not read is dropped and counted (the peer asks again).
 *
 * Routing ids come from rand (), which libzmq never seeds, and czmq by the
 * clock; who guesses the next one could abort the broker. So srand () is
 * called here from getrandom () after czmq has, and before the first ROUTER is
 * made. Sources: zmq_socket(3), zmq_setsockopt(3).
 */
#ifndef SLOTBUS_FRONT_H
#define SLOTBUS_FRONT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/broker.h"
#include "core/outbox.h"
#include "protocol/codec.h"

struct front;

/* Since the start; they only rise. */
struct front_counts {
    uint64_t received;   // messages that were decoded
    uint64_t dropped;    // foreign: wrong magic, wrong number of frames
    uint64_t refused;    // answered with an ERROR here
    uint64_t flooded;    // above the rate of a connection, and not answered
    uint64_t muted;      // of a connection that is not heard
    uint64_t unroutable; // answers to a peer that is gone
    uint64_t congested;  // answers to a peer that does not read
};

/* Who hears what a drain brings. peer: path, pid and uid are filled; the role
 * is not, that is the caller's to judge. On tcp pid is 0 and uid UINT32_MAX.
 * All is borrowed until the call returns. */
struct front_ear {
    void (*message) (void *arg, const struct peer *peer, const struct msg *msg);
    /* It said for the tenth time within a minute what is no message: nothing
     * is heard from it for a minute. */
    void (*malformed) (void *arg, const struct peer *peer);
    void *arg;
};

/* `rate`: messages a second of one connection, 1..1000000. */
struct front *front_create (unsigned rate);
void front_destroy (struct front *f); // NULL is fine
void front_set_rate (struct front *f, unsigned rate);

/* 0; -1 and errno. ipc:// files get their mode from the umask. */
int front_bind (struct front *f, const char *endpoint);
/* The raw socket, to be polled for input. */
void *front_socket (struct front *f);

/* Read up to `most` messages, those that are dropped too. now: monotonic ms.
 * true: read until EAGAIN, so nothing that had arrived was left (R3). */
bool front_drain (struct front *f, unsigned most, int64_t now,
                  const struct front_ear *ear);

/* false: it could not be sent now, which is counted and nothing more. */
bool front_send (struct front *f, const struct path *to, enum verb verb,
                 const void *fields);
/* An ERROR for what never reaches the core. */
void front_refuse (struct front *f, const struct path *to, enum err error,
                   const struct codec_error *why);

const struct front_counts *front_counts (const struct front *f);

#endif
