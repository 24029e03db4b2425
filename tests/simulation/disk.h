/* SPDX-License-Identifier: MPL-2.0 */
/* disk.h - the broker's store, in memory: what the outboxes' changes said
 *
 * It holds what a broker that starts again would find. Rows are kept in the
 * order of their keys, as a store gives them back.
 */
#ifndef SIMULATION_DISK_H
#define SIMULATION_DISK_H

#include "core/outbox.h"

struct disk {
    struct session_record *sessions;
    size_t session_count, session_most;
    struct lease_record *leases;
    size_t lease_count, lease_most;
    struct waiter_record *waiters;
    size_t waiter_count, waiter_most;
    struct meta_record meta;
};

void disk_clear (struct disk *d);
/* One change of an outbox; the commit of a batch applies all of them. */
void disk_apply (struct disk *d, const struct change *change);

/* NULL where there is none. */
const struct lease_record *disk_lease (const struct disk *d, uint64_t token);
const struct session_record *disk_session (const struct disk *d, uint64_t id);
const struct waiter_record *disk_waiter (const struct disk *d, uint64_t session,
                                         uint64_t seq);

/* A broker starts from these rows: restore calls and broker_start (). */
struct broker;
void disk_restore (const struct disk *d, struct broker *b);

#endif
