/* SPDX-License-Identifier: MPL-2.0 */
/* guests.h - how much each connection may say, and who has to be quiet
 *
 * Pure: no socket, no clock. A guest is a connection, known by its routing
 * id. Libzmq does not tell when one is gone, and a peer may choose its own id,
 * so nothing here grows: ids are hashed by a secret key to one of a fixed
 * number of places, WAYS of them are looked at, and where none is its own a
 * newcomer takes that of the guest that was silent for longest. It takes over
 * how much that one had said: so whatever ids a peer goes through, no more
 * gets in than all places together let in.
 *
 * The hash is SipHash-2-4 (Aumasson, Bernstein: "SipHash: a fast short-input
 * PRF", 2012). Without the key nobody can choose ids that meet in a place, and
 * that two of them have the same 64 bits is left to chance.
 */
#ifndef SLOTBUS_GUESTS_H
#define SLOTBUS_GUESTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    GUESTS_PLACES = 8192,   // twice as many as there may be sessions
    GUESTS_BEAT_DEBT = 100, // BEATs that get in when nothing else does
    GUESTS_MALFORMED = 10,  // in a minute: that is too many
    GUESTS_MINUTE_MS = 60000,
    GUESTS_RATE_MS = 1000 // between two answers that it is too much
};

enum admission {
    ADMIT,
    REFUSE, // too much, and to be answered so
    DROP    // too much, and it was said a moment ago
};

struct guests;

/* Up to `rate` messages a second of each, 2 x rate at once; 1..1000000. Every
 * guest begins with none said. The key is random. */
struct guests *guests_create (const uint64_t key[2], unsigned rate);
void guests_destroy (struct guests *g); // NULL is fine
/* For what is said from now on. */
void guests_set_rate (struct guests *g, unsigned rate);
unsigned guests_rate (const struct guests *g);

/* A message of this guest at `now` (monotonic ms, which never falls). BEATs
 * come last to the limit: they keep a session alive whatever else is said on
 * its connection. What is not admitted does not count. */
enum admission guests_admit (struct guests *g, const void *id, size_t size,
                             bool beat, int64_t now);
/* It said what is no message. true: for the tenth time within a minute, and
 * from now on it is muted for a minute. */
bool guests_malformed (struct guests *g, const void *id, size_t size,
                       int64_t now);
bool guests_muted (struct guests *g, const void *id, size_t size, int64_t now);

#endif
