/* SPDX-License-Identifier: MPL-2.0 */
/* policy.h - in which order the waiters of a host are served, and how much
 *
 * A policy is one file behind this interface. Under every policy the first in
 * order that is not passed over blocks the rest until it is served: that is
 * the round's rule, not the policy's.
 */
#ifndef SLOTBUS_POLICY_H
#define SLOTBUS_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/settings.h"
#include "core/waitq.h"

struct scheduler {
    const char *name;
    bool partial; // a request without a min is content with one slot
    /* Put the waiters of one host, given by number, into dispatch order. */
    void (*order) (struct waiter **queue, size_t count, int64_t now);
    /* How many slots `w` gets now that `room` are to be had for it; 0: it
     * waits. Never less than its min, never more than its count or `room`. */
    unsigned (*amount) (const struct waiter *w, unsigned room);
};

extern const struct scheduler policy_fifo;

/* The policy of that name; fifo where it is not there. */
const struct scheduler *policy_of (enum policy policy);
const char *policy_name (enum policy policy);

#endif
