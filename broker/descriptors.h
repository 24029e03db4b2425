/* SPDX-License-Identifier: MPL-2.0 */
/* descriptors.h - an alarm before descriptors run out
 *
 * Every connection is one, and when there is none left nobody can connect any
 * more, without a word to anybody. So it is logged once when four fifths of
 * RLIMIT_NOFILE are in use, and once when it is less than seven tenths again.
 */
#ifndef SLOTBUS_DESCRIPTORS_H
#define SLOTBUS_DESCRIPTORS_H

#include <stdbool.h>
#include <stdint.h>

/* Zeroed at the start. */
struct descriptors {
    int64_t due; // of the next look
    bool scarce; // as it was logged
};

/* At `now` (monotonic ms); looks at most every 5 s. */
void descriptors_look (struct descriptors *d, int64_t now);

#endif
