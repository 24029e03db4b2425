/* SPDX-License-Identifier: MPL-2.0 */
/* releases.h - local RELEASEs that wait for the broker
 *
 * The client is told once, when every token it gave back is answered. Pure
 * table; entries are large and made on demand.
 */
#ifndef SLOTBUS_RELEASES_H
#define SLOTBUS_RELEASES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/supervisors.h"
#include "protocol/message.h"

enum { MAX_RELEASES = 64 };

struct release {
    uint64_t client;
    struct who supervisor;      // whose slots these are
    struct u64s open;           // tokens that are not answered yet
    struct msg_released answer; // so far
};

enum release_result {
    RESULT_RELEASED,
    RESULT_EXPIRED,
    RESULT_UNKNOWN,
    RESULT_BUSY
};

struct releases {
    size_t count;
    struct release *at[MAX_RELEASES];
};

/* NULL where there are MAX_RELEASES. */
struct release *releases_add (struct releases *t, uint64_t client);
/* Notes what became of that token, in every release that waits for it. */
void releases_note (struct releases *t, uint64_t token,
                    enum release_result result);
/* What runs under that token runs under another one now. */
void releases_move (struct releases *t, uint64_t from, uint64_t to);
/* A release that waits for nothing any more; NULL where there is none. */
struct release *releases_done (struct releases *t);
void releases_remove (struct releases *t, const struct release *r);
void releases_forget (struct releases *t, uint64_t client);
void releases_clear (struct releases *t);

void release_note (struct release *r, uint64_t token,
                   enum release_result result);

#endif
