/* SPDX-License-Identifier: MPL-2.0 */
/* marker.h - STATE/INITIALISED: that there was a state, and how far it came
 *
 * A few lines of key=value with a checksum, written atomically and flushed.
 * It is kept apart from the database, so that a database that is gone or was
 * set back can be told from one that never was.
 */
#ifndef SLOTBUS_MARKER_H
#define SLOTBUS_MARKER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/records.h"

struct marker {
    char broker[33];
    uint64_t epoch, token_mark, number_mark;
    bool open; // by a broker that has not closed it: there is a WAL
};

enum marker_state {
    MARKER_ABSENT,
    MARKER_GOOD,
    MARKER_DAMAGED,
    MARKER_UNREADABLE /* errno */
};

enum marker_state marker_read (const char *folder, struct marker *ret_marker);
/* Atomically and flushed. 0, or -1 and errno. */
int marker_write (const char *folder, const struct marker *marker);
/* In its place, for a disk without room for a second one: less than a sector,
 * flushed. 0, or -1 and errno. */
int marker_overwrite (const char *folder, const struct marker *marker);

/* Has the state come at least as far as the marker says? */
bool marker_reached (const struct marker *m, const struct meta_record *meta);
/* Does the marker say already what the state says? */
bool marker_covers (const struct marker *m, const struct meta_record *meta);

#endif
