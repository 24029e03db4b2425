/* SPDX-License-Identifier: MPL-2.0 */
/* disk.h - the broker's store, in memory: what the outboxes' changes said
 *
 * It holds what a broker that starts again would find. Rows are kept in the
 * order of their keys, as a store gives them back. Beside it is kept what the
 * machine would find that starts again: what was flushed (R4).
 */
#ifndef SIMULATION_DISK_H
#define SIMULATION_DISK_H

#include "core/outbox.h"
#include "simulation/events.h"

struct disk {
    struct session_record *sessions;
    size_t session_count, session_most;
    struct lease_record *leases;
    size_t lease_count, lease_most;
    struct waiter_record *waiters;
    size_t waiter_count, waiter_most;
    struct project_record *projects;
    size_t project_count, project_most;
    struct meta_record meta;
    bool learning; // its loss was accepted, and what is held is not learned yet
    uint64_t *damaged; // tokens whose rows cannot be read
    size_t damaged_count, damaged_most;
};

/* What was committed since the last flush, on top of what was flushed. */
struct cached {
    unsigned batch;
    struct change change; // its record is owned
};
struct cache {
    struct disk flushed;
    struct cached *at;
    size_t count, most;
    unsigned batches; // committed since the last flush
};

void disk_clear (struct disk *d);
/* One change of an outbox; the commit of a batch applies all of them. */
void disk_apply (struct disk *d, const struct change *change);

/* A committed batch, which disk_apply () has got already. */
void cache_commit (struct cache *c, const struct outbox *out);
/* All that the disk has, rows or not. */
void cache_flush (struct cache *c, const struct disk *d);
/* The power is cut: batches that were not flushed are lost, but for some of the
 * first. `tear`: of the next one a lease is half written, and damaged. */
void cache_lose (struct cache *c, struct disk *d, struct chance *chance,
                 bool tear);
void cache_clear (struct cache *c);
/* The rows are gone. Broker id and marks too, without the marker. */
void disk_lose (struct disk *d, bool marker);
bool disk_damaged (const struct disk *d, uint64_t token);

/* NULL where there is none. */
const struct lease_record *disk_lease (const struct disk *d, uint64_t token);
const struct session_record *disk_session (const struct disk *d, uint64_t id);
const struct project_record *disk_project (const struct disk *d,
                                           const char *name);
const struct waiter_record *disk_waiter (const struct disk *d, uint64_t session,
                                         uint64_t seq);

/* A broker starts from these rows: restore calls and broker_start (). */
struct broker;
void disk_restore (const struct disk *d, struct broker *b);

#endif
