/* SPDX-License-Identifier: MPL-2.0 */
/* victims.h - which tree of a host would be ended first, and why
 *
 * An order, whether anything is wrong or not, so that people can look at it
 * before anything happens:
 *
 *   runaways, by how far they are over a limit of their own
 *   for memory: those that give back a tenth of what is missing; of the others
 *     the largest
 *   lower priority · over its target before within · preemptible before not ·
 *   newest start · larger memory · higher token
 *
 * The last tree of the highest priority that runs is spared, unless it is a
 * runaway or has more than half of the host's memory: what is spared has no
 * rank, and stays what it is however many of the others go.
 *
 * Pure: told what there is, owns nothing.
 */
#ifndef SLOTBUS_VICTIMS_H
#define SLOTBUS_VICTIMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A limit of its own that a tree may be over. */
enum excess { EXCESS_NONE, EXCESS_MEMORY, EXCESS_TIME, EXCESS_STALL };
enum { WHY_BYTES = 65 };

/* A tree that may be ended. */
struct victim {
    uint64_t token; // the one that stands for it; no two the same
    unsigned priority; // of its project, 0..MAX_PRIORITY
    bool over;         // its project has more than its target
    bool preemptible;
    int64_t started;       // any clock, the same for all
    uint64_t memory_bytes; // 0: not known
    enum excess excess;
    uint64_t limit;  // that limit: bytes or ms, never 0,
    uint64_t figure; // and what it has come to

    /* What victims_rank () says. */
    unsigned rank; // 1: the first to be ended; 0: never
    char why[WHY_BYTES];
};

/* What is wrong. */
struct shortage {
    bool memory;            // is it for memory?
    uint64_t missing_bytes; // how much would have to be free; 0: not known
    uint64_t memory_bytes;  // that the host has; 0: not known
};

/* Puts them in order, the spared ones last. */
void victims_rank (struct victim *victims, size_t count,
                   const struct shortage *s);
/* Over a limit by so many percent; 0: it is not. */
unsigned victim_overshoot (const struct victim *v);

#endif
