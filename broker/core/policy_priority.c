/* SPDX-License-Identifier: MPL-2.0 */
/* policy_priority - the higher priority first, and nobody waits for ever
 *
 * A fixed key: when it came, less `aging` for each step of its priority. So a
 * request is overtaken by what arrives less than aging x (difference) after
 * it, and by nothing else. Without aging (0) the priority alone counts: then
 * the low ones starve while high ones keep coming.
 */
#include "core/dispatch.h"

static unsigned priority_of (const struct ticket *t)
{
    unsigned own = t->lane->project->priority;

    /* A request may stand back behind its project's others, not go ahead of
     * what the project may. */
    return t->priority && t->priority < own ? t->priority : own;
}

static int64_t key (const struct ticket *t, const struct settings *settings)
{
    int64_t priority = priority_of (t);

    if (settings->aging_ms == 0)
        return -priority;
    return t->since - settings->aging_ms * priority;
}

static unsigned amount (const struct ticket *t, unsigned room)
{
    return room < t->count ? room : t->count;
}

const struct scheduler policy_priority = {
    .name = "priority",
    .key = key,
    .amount = amount,
};
