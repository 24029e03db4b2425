/* SPDX-License-Identifier: MPL-2.0 */
/* front.h - the ROUTER: bytes in, messages out, and the way back
 *
 * Frames after the routing id (and an empty delimiter, if the peer is a REQ):
 * "SLT1" and one body. What is not that is dropped and counted; a body that
 * cannot be decoded is answered with an ERROR. Nothing here waits: receives
 * and sends are DONTWAIT, and an answer for a peer that is gone or does not
 * read is dropped and counted (the peer asks again).
 *
 * Routing ids come from rand (), which libzmq never seeds; who guesses the
 * next one could abort the broker. So srand () is called here from
 * getrandom () before the first ROUTER is made. Sources: zmq_socket(3),
 * zmq_setsockopt(3).
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
    uint64_t unroutable; // answers to a peer that is gone
    uint64_t congested;  // answers to a peer that does not read
};

/* A decoded message. peer: path, pid and uid are filled; the role is not, that
 * is the caller's to judge. On tcp pid is 0 and uid UINT32_MAX. Both borrowed
 * until the call returns. */
typedef void front_fn (void *arg, const struct peer *peer,
                       const struct msg *msg);

struct front *front_create (void);
void front_destroy (struct front *f); // NULL is fine

/* 0; -1 and errno. ipc:// files get their mode from the umask. */
int front_bind (struct front *f, const char *endpoint);
/* The raw socket, to be polled for input. */
void *front_socket (struct front *f);

/* Give up to `most` messages to fn. true: read until EAGAIN, so nothing that
 * had arrived was left (R3). */
bool front_drain (struct front *f, unsigned most, front_fn *fn, void *arg);

/* false: it could not be sent now, which is counted and nothing more. */
bool front_send (struct front *f, const struct path *to, enum verb verb,
                 const void *fields);
/* An ERROR for what never reaches the core. */
void front_refuse (struct front *f, const struct path *to, enum err error,
                   const struct codec_error *why);

const struct front_counts *front_counts (const struct front *f);

#endif
