/* SPDX-License-Identifier: MPL-2.0 */
/* reclaim.h - slots that lie idle are asked back for those below their target
 *
 * Under `fair`, with `reclaim: ask`: while a project waits below its target
 * and another holds more than its own, the sessions of the one furthest above
 * are asked for reservations that nothing fills. Nothing is taken from
 * anybody: what does not come back stays where it is. What comes back in time
 * is kept for the lane it was asked for.
 */
#ifndef SLOTBUS_RECLAIM_H
#define SLOTBUS_RECLAIM_H

#include "core/state.h"

/* After each walk. */
void reclaim_ask (struct broker *b, int64_t now, struct outbox *out);

#endif
