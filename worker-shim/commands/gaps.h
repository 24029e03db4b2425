/* SPDX-License-Identifier: MPL-2.0 */
/* gaps.h - what a listener has heard of each topic, and what it has missed
 *
 * Pure. By the numbers that every published message carries (PROTOCOL.md,
 * Topics) of the last GAPS_TOPICS topics; of one that was forgotten the next
 * message is the first.
 */
#ifndef SLOTBUS_GAPS_H
#define SLOTBUS_GAPS_H

#include <stdbool.h>
#include <stdint.h>

enum { GAPS_TOPICS = 1024 };

enum news {
    NEWS_FIRST,     // of this topic, or since it ended
    NEWS_NEXT,      // the one after the last
    NEWS_REPEATED,  // the last one again
    NEWS_GAP,       // those between are lost
    NEWS_NEW_EPOCH  // the numbers have begun anew: another broker, or restarted
};

struct gaps;

struct gaps *gaps_create (void); // never NULL
void gaps_destroy (struct gaps *g);

/* This came. `gone`: it is the last of its topic, and the number of whatever
 * comes after it says nothing. *ret_missing: how many are lost just before
 * `number`; 0 but for NEWS_GAP. */
enum news gaps_note (struct gaps *g, const char *topic, uint64_t epoch,
                     uint64_t number, bool gone, uint64_t *ret_missing);

#endif
