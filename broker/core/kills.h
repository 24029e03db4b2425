/* SPDX-License-Identifier: MPL-2.0 */
/* kills.h - KILLs under way, and how far they are
 *
 * A KILL is asked for once and then polled by its id. What it meant to end is
 * a list of tokens; how far it is, is read off the lease table each time.
 * The newest 16 are remembered.
 */
#ifndef SLOTBUS_KILLS_H
#define SLOTBUS_KILLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/leases.h"

enum { KEPT_KILLS = 16 };

/* One slot that a KILL named, as it was then. */
struct target {
    uint64_t token;
    bool tree, leader, bound;
};

struct kill {
    uint64_t id;      // 0: none
    uint32_t uid;     // of who asked
    uint64_t digest;  // of what he asked for
    bool supervisor;  // end it too
    int64_t deadline; // what still runs then is unkillable
    int32_t pid;      // of a supervisor that bound slots run inside
    unsigned cancelled;
    size_t count;
    struct target *targets; // owned
};

struct kills {
    struct kill at[KEPT_KILLS];
    unsigned next;
};

struct kill *kills_find (struct kills *k, uint64_t id);
/* A new one, in place of the oldest. */
struct kill *kills_add (struct kills *k, uint64_t id);
void kills_clear (struct kills *k);

void kill_target (struct kill *k, const struct leases *leases,
                  const struct lease *l);
void kill_clear (struct kill *k);
/* Fills everything but `tokens`. */
void kill_report (const struct kill *k, const struct leases *leases,
                  int64_t now, struct msg_kill_ok *ret_report);

#endif
