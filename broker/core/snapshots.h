/* SPDX-License-Identifier: MPL-2.0 */
/* snapshots.h - the whole state at one moment, page by page
 *
 * A STATUS_OK holds 64 rows over all its lists. What does not fit is kept
 * under the snapshot's number, so that every page shows the same moment; the
 * newest four are kept, and none for longer than a minute.
 */
#ifndef SLOTBUS_SNAPSHOTS_H
#define SLOTBUS_SNAPSHOTS_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/message.h"

enum { KEPT_SNAPSHOTS = 4, SNAPSHOT_MS = 60000 };

struct snapshot {
    uint64_t number;
    int64_t taken;
    uint32_t uid; // of who may read it
    struct row_host *hosts;
    struct row_project *projects;
    struct row_agent *agents;
    struct row_waiter *queue;
    size_t host_count, project_count, agent_count, waiter_count;
    struct msg_status_ok head; // everything but rows; large, and last
};

struct snapshots {
    struct snapshot *at[KEPT_SNAPSHOTS]; // owned, NULL where there is none
    unsigned next;
    uint64_t number; // of the newest
};

/* Empty, with the next number. */
struct snapshot *snapshots_begin (struct snapshots *s, int64_t now);
/* Keep it, in place of the oldest. */
void snapshots_keep (struct snapshots *s, struct snapshot *snapshot);
struct snapshot *snapshots_find (const struct snapshots *s, uint64_t number,
                                 uint32_t uid);
void snapshots_expire (struct snapshots *s, int64_t now);
void snapshots_clear (struct snapshots *s);
void snapshot_free (struct snapshot *snapshot);

/* The rows from `cursor` on; ret_page->next is 0 on the last page. */
void snapshot_page (const struct snapshot *s, uint64_t cursor,
                    struct msg_status_ok *ret_page);

#endif
