/* SPDX-License-Identifier: MPL-2.0 */
#include "core/dispatch.h"

/* Strict arrival order: that of the numbers. */
static int64_t key (const struct ticket *t, const struct settings *settings)
{
    (void) t;
    (void) settings;
    return 0;
}

static unsigned amount (const struct ticket *t, unsigned room)
{
    return room < t->count ? room : t->count;
}

const struct scheduler policy_fifo = {
    .name = "fifo",
    .key = key,
    .amount = amount,
};
