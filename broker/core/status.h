/* SPDX-License-Identifier: MPL-2.0 */
/* status.h - what STATUS and the topics show of the state; only reads it
 *
 * A new snapshot is taken at the end of the round, when every waiter has its
 * reason: STATUS is remembered until then.
 */
#ifndef SLOTBUS_STATUS_H
#define SLOTBUS_STATUS_H

#include "core/state.h"

/* Take a snapshot and answer with its first page. project "": all. Whoever
 * has but his own projects sees the agents and requests of his uid, and of
 * the others how many there are. */
void status_answer (struct broker *b, const struct peer *to,
                    const char *project, int64_t now, struct outbox *out);
/* A further page of a kept snapshot. */
enum err status_page (struct broker *b, const struct peer *to,
                      const struct msg_status *in, struct outbox *out);

void status_waiter_row (const struct waiter *w, const struct outlook *outlook,
                        int64_t now, struct row_waiter *ret_row);
/* Why health withholds slots of a host; of the host from which it withholds
 * most, which is named where there are several. "": it does not. */
void status_pool_cause (const struct broker *b, const struct pool *pool,
                        char *ret_text, size_t size);
void status_cause (const struct broker *b, char *ret_text, size_t size);
/* "healthy", ...; "unknown" before the first sample. */
const char *status_level (const struct pool *pool);

#endif
