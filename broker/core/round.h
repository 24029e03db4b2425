/* SPDX-License-Identifier: MPL-2.0 */
/* round.h - the round that ends a batch: serve the queue, answer, tell
 *
 * Nothing else grants. It runs once a batch, so that requests that arrive
 * together are judged together. What the scheduler decides (dispatch.h) is
 * carried out; then those who wait are told why, if that is news: the first
 * ROUND_NEAR of each host at once, all others within ROUND_FAR_MS.
 */
#ifndef SLOTBUS_ROUND_H
#define SLOTBUS_ROUND_H

#include "core/state.h"

enum { ROUND_NEAR = 64, ROUND_FAR_MS = 1000 };

void round_serve (struct broker *b, int64_t now, struct outbox *out);

#endif
