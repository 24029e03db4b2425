/* SPDX-License-Identifier: MPL-2.0 */
/* round.h - the round that ends a batch: serve the queue, answer, tell
 *
 * Nothing else grants. It runs once a batch, so that requests that arrive
 * together are judged together. What the scheduler decides (dispatch.h) is
 * carried out; then those are told why they wait whom it concerns: whoever has
 * no answer yet, the heads of the lanes, and of the others those whose place
 * may have changed by more than they were told.
 */
#ifndef SLOTBUS_ROUND_H
#define SLOTBUS_ROUND_H

#include "core/state.h"

void round_serve (struct broker *b, int64_t now, struct outbox *out);

#endif
