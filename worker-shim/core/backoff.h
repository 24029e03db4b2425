/* SPDX-License-Identifier: MPL-2.0 */
/* backoff.h - how long to wait before the next try
 *
 * Steps double up to a limit. A wait lies between three quarters of the step
 * and the step, so that many who lost the same broker do not come back in one
 * instant. Pure: chance is given from outside.
 */
#ifndef SLOTBUS_BACKOFF_H
#define SLOTBUS_BACKOFF_H

#include <stdint.h>

struct backoff {
    int64_t first_ms; // the first step, at least 1
    int64_t most_ms;  // no step is longer
    int64_t step_ms;  // the next one
};

void backoff_init (struct backoff *b, int64_t first_ms, int64_t most_ms);
/* ms until the next try. */
int64_t backoff_next (struct backoff *b, uint64_t random);

#endif
