/* SPDX-License-Identifier: MPL-2.0 */
/* publish.h - the topics: health.HOST pool.HOST lease.PROJECT queue.PROJECT
 * broker
 *
 * Every snapshot is complete and numbered; a topic is published when what it
 * says has changed, at most once a round.
 */
#ifndef SLOTBUS_PUBLISH_H
#define SLOTBUS_PUBLISH_H

#include "core/state.h"

/* What the round changed. The tally must be fresh. */
void publish_changes (struct broker *b, int64_t now, struct outbox *out);
void publish_health (struct broker *b, struct pool *pool, int64_t now,
                     struct outbox *out);
/* Nothing is left of a host, or of a project: the last of their topics. */
void publish_pool_gone (const struct broker *b, struct pool *pool,
                        struct outbox *out);
void publish_project_gone (struct broker *b, struct project *p,
                           struct outbox *out);

#endif
