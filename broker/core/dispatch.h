/* SPDX-License-Identifier: MPL-2.0 */
/* dispatch.h - who is served next, how much he gets, and why others wait
 *
 * The scheduler, and nothing else: hosts, projects and tickets (requests that
 * wait) as bare numbers, without sessions, messages or the disk. round.c keeps
 * it in step with the tables and carries out what it decides.
 *
 * A lane is what one project wants on one host, in the order in which the
 * policy serves it. Each host has a queue of its own: its lanes, merged by the
 * places of their heads. A walk takes the heads in that order, over all hosts
 * at once, since the slots of all hosts and a project's cap are shared:
 *
 *   - what can be served is served;
 *   - what is paused, larger than its host can be now, or kept back by its
 *     project's cap is passed over, with the rest of its lane (cap: with all
 *     later ones of its project);
 *   - the first other one blocks its host: everybody behind it waits.
 *
 * So a round looks at the heads of lanes alone, and costs what it changes and
 * not what the queue is long. What everybody else is told (rank, slots ahead)
 * is worked out when it is asked for, from sums kept in the lanes.
 *
 * Always true: a ticket that waits is in exactly one lane; `held` of a lane, a
 * project and a holder and `in_use` of a pool are what the last tally counted,
 * plus what dispatch_take () was told since.
 */
#ifndef SLOTBUS_DISPATCH_H
#define SLOTBUS_DISPATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/policy.h"
#include "core/pool.h"
#include "core/projects.h"
#include "core/ranks.h"

/* Why a request waits: the first test that failed, in this order. */
enum reason {
    REASON_NONE,
    REASON_PAUSED,
    REASON_DISK,
    REASON_LEARNING,
    REASON_TURN,
    REASON_CAP,
    REASON_HEALTH,
    REASON_SLOTS,
    REASON_PACING
};

/* "SLOTS"; "NONE". */
const char *reason_name (enum reason reason);

/* Who would hold the slots: a session. */
struct holder {
    unsigned held;        // slots, at most MAX_HELD
    int64_t paused_until; // its identity is contested; 0 = it is not
};

/* A request that waits. Its owner fills in the first part. */
struct ticket {
    uint64_t number; // enqueue number: no two the same, and they rise
    unsigned count, min;
    unsigned priority; // of the request itself; 0 = its project's
    int64_t since;     // when it joined the queue
    bool nowait;
    bool back;                   // a parked tree that wants to go on
    const struct holder *holder; // borrowed

    struct rank_node node; // in its lane
    struct lane *lane;     // NULL: it does not wait
    unsigned decided;      // `fair`: what it gets as soon as the pace allows,
    bool refused;          // or that it would not wait, and gets nothing
};

/* What was asked for, when, and how many slots its lane held or wanted
 * before. */
struct arrival {
    int64_t at;
    unsigned count, min, priority;
    uint64_t before;
};
enum { ARRIVALS = 16 };

/* Where a ticket stands among all of its host: lower is sooner. */
enum place_level {
    PLACE_DECIDED, // only the pace keeps it waiting
    PLACE_TURN,    // its turn has come
    PLACE_KEPT,    // what was asked back is kept for it
    PLACE_QUEUED
};
struct place {
    enum place_level level;
    int64_t key;
    uint64_t number;
};
static inline bool place_before (struct place a, struct place b)
{
    if (a.level != b.level)
        return a.level < b.level;
    return a.key < b.key || (a.key == b.key && a.number < b.number);
}

/* What one project wants on one host. */
struct lane {
    struct pool *pool; // borrowed, as is the project
    struct project *project;
    struct ranks back, queue;      // parked trees that want to go on come first
    struct ticket *first;          // of both; NULL: nobody waits
    unsigned held;                 // what counts there
    struct arrival came[ARRIVALS]; // the newest requests, served or not,
    unsigned came_count;           // of so many in all

    unsigned target; // `fair`: what it should have
    /* `fair`: what is decided: the first so many of it, what these want, and
     * what they get. */
    unsigned decided, planned;
    uint64_t decided_sum;
    struct ticket *cursor; // of the decision that is being made

    /* Of the newest walk. */
    struct place place; // of its head, in the heap of the walk
    bool passed;        // its head was passed over, for that reason
    enum reason why;
};

struct dispatch {
    const struct settings *settings; // borrowed, as are these
    struct pools *pools;
    struct projects *projects;
    const struct scheduler *policy;
    bool disk_full, learning; // nothing is granted
    int64_t learning_until;
    unsigned in_use;     // over all pools
    unsigned bonus;      // of all: what there is above max_slots
    struct lane **lanes; // owned
    size_t lane_count, lane_room;
    struct lane **heap; // of those that the walk has still to look at; owned
    size_t heap_count;
    const struct ticket *sum_blocker; // max_slots of all hosts keeps it waiting
    bool rethought;                   // in this walk: once is enough
};

void dispatch_init (struct dispatch *d, const struct settings *settings,
                    struct pools *pools, struct projects *projects);
/* Frees the lanes, whatever is in them, and not itself. */
void dispatch_drop (struct dispatch *d);

/* The lane of that project on that host; made if there is none. Good until
 * dispatch_forget () of one of them. */
struct lane *dispatch_lane (struct dispatch *d, struct pool *pool,
                            struct project *project);
/* Nothing of it waits or is held any more, and it will go. */
void dispatch_forget_pool (struct dispatch *d, const struct pool *pool);
void dispatch_forget_project (struct dispatch *d,
                              const struct project *project);

void dispatch_add (struct dispatch *d, struct lane *lane, struct ticket *t,
                   int64_t now);
void dispatch_remove (struct dispatch *d, struct ticket *t);
/* The policy or a priority is another one: nobody loses its enqueue number. */
void dispatch_reorder (struct dispatch *d, const struct scheduler *policy);
/* Whatever has been decided is thought over again: at the cost of that, and not
 * of all who wait. */
void dispatch_rethink (struct dispatch *d);

/* ---- the walk ---- */
struct decision {
    struct ticket *ticket;
    unsigned amount;    // 0: it would not wait, and cannot be served now,
    enum reason reason; // for that reason: dispatch_remove () it
};

void dispatch_begin (struct dispatch *d, int64_t now);
/* The next that is decided; false: nobody else can be served. Each is to be
 * followed by dispatch_take () or dispatch_remove () of it. */
bool dispatch_next (struct dispatch *d, int64_t now,
                    struct decision *ret_decision);
/* It is granted so much, and waits no longer. */
void dispatch_take (struct dispatch *d, struct ticket *t, unsigned amount,
                    int64_t now);

/* ---- what those are told who wait ---- */
struct outlook {
    unsigned position; // rank in dispatch order on its host, from 1
    unsigned slots_ahead;
    enum reason reason;

    char detail[257]; // the live figure behind it; this and the rest: outlook.h
    char unblocks[161];
    uint64_t eta_low_s, eta_high_s; // 0 = unknown
};

/* As of the newest walk: the reason alone, or position and slots ahead too. */
enum reason dispatch_reason (const struct dispatch *d, const struct ticket *t,
                             int64_t now);
void dispatch_explain (const struct dispatch *d, const struct ticket *t,
                       int64_t now, struct outlook *ret_outlook);
/* The live figure behind that reason, in words. */
void dispatch_detail (const struct dispatch *d, const struct ticket *t,
                      enum reason reason, int64_t now, char *ret_text,
                      size_t size);
/* The same of the first `most` of a host, in dispatch order and in one go. */
typedef void dispatch_told (void *who, struct ticket *t,
                            const struct outlook *outlook);
void dispatch_explain_first (const struct dispatch *d, const struct pool *pool,
                             uint64_t most, int64_t now, dispatch_told *tell,
                             void *who);
/* First of those that the lane serves; and the next. NULL: there is none. */
static inline struct ticket *lane_first (const struct lane *lane)
{
    return lane->first;
}
struct ticket *lane_next (const struct ticket *t);
size_t lane_count (const struct lane *lane);    // requests
uint64_t lane_wanted (const struct lane *lane); // slots
/* Slots to be had on `pool` now; negative: over-committed. */
int64_t dispatch_free (const struct dispatch *d, const struct pool *pool);
/* Of the host alone, and of max_slots over all hosts: the lesser counts. */
int64_t dispatch_free_here (const struct pool *pool);
int64_t dispatch_free_in_sum (const struct dispatch *d);
/* When time alone lets something be served (pace, gathering, a contested
 * identity); INT64_MAX: never. As of the newest walk. */
int64_t dispatch_due (const struct dispatch *d, int64_t now);

/* ---- for the policies ---- */

/* What its holder may still be given: the slots that a parked tree gave back
 * are its own already, and go when it returns. */
static inline unsigned ticket_room (const struct ticket *t)
{
    unsigned held = t->holder->held, own = t->back ? t->count : 0;

    return held < MAX_HELD + own ? MAX_HELD + own - held : 0;
}
/* How much cap, session and host leave of what it wants. */
unsigned dispatch_room (const struct dispatch *d, const struct ticket *t);
/* Its project or its holder may get nothing. */
bool dispatch_is_paused (const struct ticket *t, int64_t now);
/* It has joined a set that is gathered still. */
bool dispatch_is_gathering (const struct ticket *t);
/* It is to have so much as soon as the pace allows; 0: it would not wait, and
 * is refused. All before it in its lane are decided. */
void dispatch_decide (struct ticket *t, unsigned amount);
/* What is to be granted as soon as the pace allows is thought over again. */
void dispatch_void (struct dispatch *d, struct pool *pool);

#endif
