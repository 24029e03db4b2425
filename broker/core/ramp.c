/* SPDX-License-Identifier: MPL-2.0 */
#include "core/ramp.h"

enum { PART_MS = RAMP_MS / RAMP_PARTS };

static void shift (struct ramp *r, int64_t by)
{
    for (unsigned i = RAMP_PARTS; i-- > 0;)
        r->least[i] = i >= by ? r->least[i - by] : r->last;
}

/* What lies between two notes was as the first of them said. */
void ramp_note (struct ramp *r, unsigned in_use, int64_t now)
{
    int64_t second = 1 + now / PART_MS;

    if (r->second == 0) { // whatever ran before is in the figures
        r->last = in_use;
        r->second = second - RAMP_PARTS;
    }
    if (second > r->second)
        shift (r, second - r->second);
    if (second > r->second)
        r->second = second;
    if (in_use < r->least[0])
        r->least[0] = in_use;
    r->last = in_use;
}

unsigned ramp_credit (const struct ramp *r)
{
    unsigned least = r->last;

    for (unsigned i = 0; i < RAMP_PARTS; i++)
        least = r->least[i] < least ? r->least[i] : least;
    return r->last - least;
}

int64_t ramp_next (int64_t now)
{
    return (now / PART_MS + 1) * PART_MS;
}
