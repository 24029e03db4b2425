/* SPDX-License-Identifier: MPL-2.0 */
/* round.h - the round that ends a batch: serve the queue, answer, tell
 *
 * Nothing else grants. It runs once a batch, so that requests that arrive
 * together are judged together, and twice through each host's queue: the
 * first pass grants, the second explains to whoever is left why he waits.
 */
#ifndef SLOTBUS_ROUND_H
#define SLOTBUS_ROUND_H

#include "core/state.h"

void round_serve (struct broker *b, int64_t now, struct outbox *out);

#endif
