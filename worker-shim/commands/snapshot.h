/* SPDX-License-Identifier: MPL-2.0 */
/* snapshot.h - the whole of one numbered STATUS snapshot
 *
 * A page has 64 rows; the pages of one snapshot are put together here.
 */
#ifndef SLOTBUS_SNAPSHOT_H
#define SLOTBUS_SNAPSHOT_H

#include <stddef.h>

#include "commands/ask.h"

struct snapshot {
    // of the first page; its own lists are not used
    struct msg_status_ok head;
    struct row_host *hosts;
    struct row_project *projects;
    struct row_agent *agents;
    struct row_waiter *queue;
    size_t host_count, project_count, agent_count, queue_count;
};

/* Ask for all (project "") or one project's. 0, or an exit status, said. The
 * snapshot is the caller's to clear. */
int snapshot_ask (struct ask *a, const char *project,
                  struct snapshot *ret_snapshot);
/* Add a page; public for tests. */
void snapshot_add (struct snapshot *s, const struct msg_status_ok *page);
void snapshot_clear (struct snapshot *s);

/* The row of that project, or NULL. */
const struct row_project *snapshot_project (const struct snapshot *s,
                                            const char *project);
/* How far, 0..100: as reported, else from its phase; NaN: nothing was said. */
double agent_percent (const struct row_agent *agent);

#endif
