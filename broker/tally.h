/* SPDX-License-Identifier: MPL-2.0 */
/* tally.h - STATE/commits: how many batches the state must have
 *
 * SQLite takes a log whose end does not add up for one that was being written
 * when somebody died, and goes on from before: right after a death, and a loss
 * without a word if the log was damaged later. So each commit carries a number,
 * and the number is written down once more in this file, after the commit and
 * without a flush: a state that has fewer is not what was left here.
 *
 * A power cut may take commits that were not flushed, rightly; so it counts
 * those apart, and after another boot only the flushed ones. It witnesses, no
 * more: missing, damaged or behind it notices less, and stops nobody.
 */
#ifndef SLOTBUS_TALLY_H
#define SLOTBUS_TALLY_H

#include <stdbool.h>
#include <stdint.h>

struct tally {
    int fd; // -1: none
    char boot[65];
    uint64_t flushed;
};

/* How many commits the state in `folder` must have; 0: not known. */
uint64_t tally_least (const char *folder);

/* Begin to count there. What cannot be counted is not. */
void tally_open (struct tally *t, const char *folder);
void tally_close (struct tally *t);
/* The `commits`-th is made, and the disk has it if it is `flushed`. */
void tally_note (struct tally *t, uint64_t commits, bool flushed);

#endif
