/* SPDX-License-Identifier: MPL-2.0 */
/* projects.h - who the slots are for
 *
 * Configured projects are always here, and those that people said something of
 * (paused, another priority); others come with their first session or lease
 * and go when nothing is left of them. Sorted by key and found by
 * binary search: keys are chosen by peers, and cannot collide.
 *
 * The figures are what the last state_tally () counted, plus what the round
 * under way has granted since.
 */
#ifndef SLOTBUS_PROJECTS_H
#define SLOTBUS_PROJECTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/records.h"
#include "core/settings.h"

/* A peer can pause projects of any name; it cannot fill the disk with them. */
enum { MAX_SAID = 1024 };

struct ticket;

struct project {
    char name[MAX_KEY_BYTES + 1];
    char display[65];
    const struct project_settings *configured; // NULL; borrowed
    unsigned priority, max; // as they are in force
    struct project_record said; // by people; number 0: nothing

    struct ticket *cap_blocker; // its cap keeps that waiting (dispatch.h)
    unsigned planned;           // `fair`: slots, by the decision being made,
    unsigned target;            // and what it should have, over all hosts
    unsigned held, limbo;     // slots: ACTIVE + KILLING, and LIMBO
    unsigned waiting, queued; // slots, requests
    unsigned parked;          // slots that do not count
    unsigned sessions;

    uint64_t lease_number, lease_digest; // as last published
    uint64_t queue_number, queue_digest;
    uint64_t queue_now; // its digest, and how many who wait are in it
    unsigned shown;
};

struct projects {
    struct project **at;
    size_t count, capacity;
    uint64_t retired; // highest number of any that is gone: a topic that
                      // comes back goes on above it
};

struct project *projects_find (const struct projects *p, const char *name);
/* The one that there is, or a new one. */
struct project *projects_have (struct projects *p, const char *name,
                               const struct settings *settings);
/* Takes over what is configured, and what people said since. */
void project_configure (struct project *project,
                        const struct settings *settings);
/* Its priority as the configuration has it. */
unsigned project_config_priority (const struct project *p);
/* Is there room for a record of what people say of it? */
bool projects_may_say (const struct projects *p, const char *name);
/* After `settings` changed: adds and takes over what is configured. */
void projects_configure (struct projects *p, const struct settings *settings);
/* One that is not configured, that nobody said anything of and that the last
 * tally found empty; NULL: there is none. */
struct project *projects_empty (const struct projects *p);
/* Forget it. */
void projects_remove (struct projects *p, struct project *project);
void projects_clear (struct projects *p);

/* A known, or a configured, name that `name` may have been meant to be: one or
 * two letters away; NULL: none. */
const char *projects_near (const struct projects *p, const char *name,
                           bool configured);

/* Everything that counts. */
static inline unsigned project_counted (const struct project *p)
{
    return p->held + p->limbo;
}

#endif
