/* SPDX-License-Identifier: MPL-2.0 */
/* acks.h - grants that arrived and requests that BEAT_OK called expired, until
 * the broker knows that they did
 *
 * Each BEAT repeats what no acknowledged BEAT has carried. By number of the
 * request, one by one: 17 may be lost and 18 seen. Pure.
 */
#ifndef SLOTBUS_ACKS_H
#define SLOTBUS_ACKS_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/message.h"

enum { ACKS_PER_BEAT = 64, MAX_ACKS = MAX_HELD };

struct acks {
    size_t count;
    struct ack {
        uint64_t seq;
        uint64_t beat; // the first BEAT that carried it, 0 = none yet
    } at[MAX_ACKS];
};

/* Where the table is full nothing happens: the grant comes again. */
void acks_add (struct acks *a, uint64_t seq);
/* What BEAT number `beat` shall carry. */
void acks_carry (struct acks *a, uint64_t beat, struct u64s *ret_seqs);
/* That BEAT is acknowledged. */
void acks_settle (struct acks *a, uint64_t beat);

#endif
