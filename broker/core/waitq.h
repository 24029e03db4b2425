/* SPDX-License-Identifier: MPL-2.0 */
/* waitq.h - requests that wait
 *
 * A table of waiters by their enqueue number. Their tickets lie in the lanes
 * of the scheduler (dispatch.h), which says in what order they are served.
 */
#ifndef SLOTBUS_WAITQ_H
#define SLOTBUS_WAITQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/dispatch.h"
#include "core/outbox.h"
#include "core/records.h"
#include "core/table.h"

struct session;

enum { MAX_QUEUED = 10000, MAX_QUEUED_PROJECT = 1000 };

/* When it is served, monotonic ms: p10 and p90; 0 = unknown. */
struct eta {
    int64_t low, high;
};

struct waiter {
    struct waiter_record r; // first: its number is the key
    struct ticket t;
    struct session *session; // borrowed
    struct path answer_to;   // of the REQUEST that has no answer yet
    bool unanswered;
    bool stored;         // it has a row
    struct outlook told; // what it was told last; position 0: nothing yet
    enum reason logged;  // why it waits, as the journal had it last
    struct eta eta, told_eta;
};

static inline struct waiter *waiter_of (struct ticket *t)
{
    return (struct waiter *) ((char *) t - offsetof (struct waiter, t));
}

#endif
