/* SPDX-License-Identifier: MPL-2.0 */
#include "core/backoff.h"

void backoff_init (struct backoff *b, int64_t first_ms, int64_t most_ms)
{
    b->first_ms = first_ms < 1 ? 1 : first_ms;
    b->most_ms = most_ms < b->first_ms ? b->first_ms : most_ms;
    b->step_ms = b->first_ms;
}

int64_t backoff_next (struct backoff *b, uint64_t random)
{
    int64_t step = b->step_ms;
    int64_t spread = (int64_t) (random % (uint64_t) (step / 4 + 1));

    b->step_ms = step > b->most_ms / 2 ? b->most_ms : 2 * step;
    return step - spread;
}
