/* SPDX-License-Identifier: MPL-2.0 */
#include "core/policy.h"

/* Strict arrival order: that of the numbers, which the queue is in already. */
static void order (struct waiter **queue, size_t count, int64_t now)
{
    (void) queue;
    (void) count;
    (void) now;
}

static unsigned amount (const struct waiter *w, unsigned room)
{
    if (room < w->r.min)
        return 0;
    return room < w->r.count ? room : w->r.count;
}

const struct scheduler policy_fifo = {"fifo", false, order, amount};
