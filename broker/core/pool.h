/* SPDX-License-Identifier: MPL-2.0 */
/* pool.h - the slots of each host
 *
 * A pool knows its limits, its host's health and its pace. How much of it is
 * in use is not kept here: whoever needs it counts the lease table
 * (state_tally ()), and `in_use` holds what the last count said, plus what the
 * round under way has granted since.
 *
 * The first pool is the broker's own host; others come with their sessions,
 * and go when nothing is left of them. A host that the configuration does not
 * list has as many slots as the size of its machine advises.
 */
#ifndef SLOTBUS_POOL_H
#define SLOTBUS_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/enforce.h"
#include "core/health.h"
#include "core/ramp.h"
#include "core/response.h"
#include "core/settings.h"

struct lane;
struct ticket;

/* What looks like an agent there and runs outside any slot. */
struct unmanaged {
    unsigned count;        // processes
    uint64_t memory_bytes; // of them all
    char of[65];           // whose most of it seems to be; "" = unknown
};

struct pool {
    char host[65];
    unsigned max_slots;    // its own; the sum is bounded elsewhere
    unsigned cores;        // of another host, the most that a session of it
    uint64_t memory_bytes; // could use; 0 = not known
    struct health health;
    struct response response;       // to it
    struct enforcement enforcement; // where that is not enough
    struct unmanaged unmanaged;

    unsigned in_use, waiting, sessions; // as of the last tally

    /* Pace: a bucket of `burst` slots, filled within a second. Thousandths
     * of a slot; below zero after a grant that was larger than the bucket. */
    int64_t bucket, bucket_at;
    int64_t paced_until; // a waiter waits for that; 0 = none
    struct ramp ramp;    // what has just started

    /* Of the scheduler (dispatch.h). */
    struct ticket *blocker;  // the first that waits and blocks,
    int why;                 // enum reason: for what
    struct ticket *turn;     // `fair`: first until it is served
    int64_t gather_until;    // `fair`: until then those that came since
    uint64_t gather_from;    // this number wait for each other; 0 = none do
    const struct lane *kept; // `fair`: what was asked back is kept for it,
    int64_t kept_until;      // for so long; NULL: nothing is
    const struct lane *asked_for; // that from the next walk on; NULL: none
    unsigned decided;             // tickets that only the pace keeps waiting,
    unsigned planned;             // slots that they get,
    bool behind;                  // and others have come since: they are next

    uint64_t number, digest; // POOL as last published
    uint64_t health_number;  // HEALTH as last published
    int64_t health_at;

    uint64_t reporter; // the session whose SAMPLEs are heeded; 0 = none yet
    int64_t reported;  // its newest
};

struct pools {
    struct pool *at[MAX_HOSTS + 1];
    size_t count;
    uint64_t retired; // highest number of any that is gone
};

/* NULL: no such. */
struct pool *pools_find (const struct pools *p, const char *host);
/* The one that there is, or a new one; NULL where there are too many. */
struct pool *pools_have (struct pools *p, const char *host,
                         const struct settings *settings, int64_t now);
bool pools_full (const struct pools *p);
/* Limits anew after `settings` changed. */
void pools_configure (struct pools *p, const struct settings *settings);
/* Its session says how large the machine is (0: it does not). */
void pools_size (struct pools *p, struct pool *pool, unsigned cores,
                 uint64_t memory_bytes, const struct settings *settings);
bool pools_is_own (const struct pools *p, const struct pool *pool);
/* One that the last tally found empty and that has its whole pace again, so
 * that it is as a new one; never the first. NULL: there is none. */
struct pool *pools_empty (const struct pools *p, unsigned burst, int64_t now);
/* Forget it. */
void pools_remove (struct pools *p, struct pool *pool);
void pools_clear (struct pools *p);

/* What its health allows now; more than max_slots with a bonus. */
unsigned pool_effective (const struct pool *p);

/* May `count` more slots start now? When not, says when (paced_until). */
bool pool_pace (struct pool *p, unsigned count, unsigned burst, int64_t now);
/* They do. */
void pool_spend (struct pool *p, unsigned count, unsigned burst, int64_t now);

#endif
