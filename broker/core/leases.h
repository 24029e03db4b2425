/* SPDX-License-Identifier: MPL-2.0 */
/* leases.h - who holds which slot
 *
 * Found by token, and by session: both are kept in order. Nothing here knows
 * of time, limits or the disk: ledger.c changes a lease and hands the change
 * on. Whatever is in this table counts: ACTIVE, KILLING and LIMBO; but for what
 * is PARKED. A released lease is not in it.
 */
#ifndef SLOTBUS_LEASES_H
#define SLOTBUS_LEASES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/records.h"
#include "core/table.h"

struct lane;
struct pool;
struct project;

/* How its trees did, since this broker runs: conduct.h. */
struct conduct {
    int64_t begun;   // monotonic ms: the tree that runs; 0 = not known
    double percent;  // as it says, and how long it had run when it first said
    int64_t said;    // so, ms; 0 = it has not said anything
    double learn_percent; // what is to be learnt from it once it has ended,
    int64_t learn_at;     // likewise
    bool killed;     // was KILLING once
    bool reaped;     // a tree ended under it:
    uint32_t status; // of the last one,
    int64_t whole;   // and how long it ran if that is not the slot's time
    uint64_t memory_bytes, cpu_ms;
    bool told; // trees that filled it have records
};

/* What its tree takes, as its holder measured it last. Of several slots under
 * one tree only the one that leads it (lease_leads_tree) has any of it. */
struct footprint {
    uint64_t memory_bytes; // what would be free without it
    uint64_t peak_bytes;   // the most of these, since the tree began
    uint64_t cpu_ms;       // user and system, since the tree began
    unsigned running;      // tasks that run or wait for a processor or a disk
    int64_t at;            // monotonic ms it was told; 0 = never
};

/* What it said of its progress, when that last changed. */
struct advance {
    int64_t at;      // monotonic ms; 0 = never since this broker or the tree
    uint64_t cpu_ms; // began; of its tree, then
};

struct lease {
    struct lease_record r;   // first: its token is the key
    struct project *project; // borrowed, as is the pool
    struct pool *pool;
    struct lane *lane; // of these two; the scheduler's
    unsigned unnamed; // beats in a row that did not name it,
    int64_t missed;   // since when
    int64_t until;    // LIMBO: when time alone releases it;
                      // KILLING: from when on it is taken for unkillable
    int64_t beaten;   // LIMBO: last beat of who held it
    uint64_t kill;    // KILLING: by which KILL,
    struct row_ending ending; // and what its STOP said; `count` is not used
    bool rebooted;    // LIMBO: of a boot that is over
    bool damaged;     // nobody knows whose
    struct conduct conduct;
    struct advance advance;
    struct footprint footprint;
};

struct leases {
    struct table by_token;
    struct lease **by_session; // in order of (session, token)
    size_t capacity;
};

struct lease *leases_find (const struct leases *t, uint64_t token);
/* The table owns it; token and session never change. */
void leases_add (struct leases *t, struct lease *l);
/* Removes and frees it. */
void leases_remove (struct leases *t, struct lease *l);
void leases_clear (struct leases *t);

/* All of one session, by token: an array, good until the next add or remove.
 * Who removes while going through it goes from its end. */
size_t leases_of (const struct leases *t, uint64_t session,
                  struct lease ***ret_leases);

static inline size_t leases_count (const struct leases *t)
{
    return t->by_token.count;
}

static inline struct lease *leases_at (const struct leases *t, size_t i)
{
    return t->by_token.at[i];
}

/* Is it a slot in use? Not while its tree is parked. */
static inline bool lease_counts (const struct lease *l)
{
    return l->r.state != LEASE_PARKED;
}

/* Of `first` and all that run in one tree with it, the next after `after`
 * (NULL: the first), by token; NULL: there are no more. */
struct lease *lease_next_of_tree (const struct leases *t,
                                  const struct lease *of,
                                  const struct lease *after);

/* Its tree was parked, and its holder does not know yet that it is back. */
static inline bool lease_came_back (const struct lease *l)
{
    return l->r.tree && !l->r.acked && l->r.cookie && l->r.cookie < l->r.first;
}

/* Something may run under it that only a proof ends: a tree, or what a `run`
 * is about to start. */
bool lease_has_tree (const struct lease *l);
/* Which token the environment of its tree names: the first of STARTED, which
 * may be closed by now if the tree was parked meanwhile; else, where a run died
 * before it could say so, the first of its grant. */
uint64_t lease_cookie (const struct lease *l);
/* Of several slots under one tree, the one that stands for it. */
bool lease_leads_tree (const struct leases *t, const struct lease *l);
/* How far it is, in percent: as said, else by its phases; NaN = unknown. */
double lease_percent (const struct lease_record *r);
const char *lease_state_name (enum lease_state state);

#endif
