/* SPDX-License-Identifier: MPL-2.0 */
/* policy.h - in which order those who wait are served, and how much they get
 *
 * A policy is one file behind this interface. Under every policy the first in
 * order that is not passed over blocks the rest until it is served: that is
 * the walk's rule (dispatch.h), not the policy's.
 */
#ifndef SLOTBUS_POLICY_H
#define SLOTBUS_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/settings.h"

struct dispatch;
struct lane;
struct ticket;

struct scheduler {
    const char *name;
    bool partial; // a request without a min is content with one slot
    /* Where a ticket stands in its lane: by key, then by number. */
    int64_t (*key) (const struct ticket *t, const struct settings *settings);
    /* Lanes are merged by the keys of their heads; with this instead by how
     * much a lane has beyond what it should, `ahead` being what those of it
     * want that are before. */
    int64_t (*surplus) (const struct lane *lane, uint64_t ahead);
    /* A round begins. May be NULL. */
    void (*prepare) (struct dispatch *d, int64_t now);
    /* What is granted of `room` slots, which are at least its min; 0: nothing
     * yet. */
    unsigned (*amount) (const struct ticket *t, unsigned room);
};

extern const struct scheduler policy_fifo;
extern const struct scheduler policy_fair;
extern const struct scheduler policy_priority;

const struct scheduler *policy_of (enum policy policy);
const char *policy_name (enum policy policy);

#endif
