/* SPDX-License-Identifier: MPL-2.0 */
#include "core/policy.h"

static const struct scheduler *const policies[] = {
    [POLICY_FIFO] = &policy_fifo,
    [POLICY_FAIR] = NULL,
    [POLICY_PRIORITY] = NULL,
};

const struct scheduler *policy_of (enum policy policy)
{
    if ((unsigned) policy > POLICY_PRIORITY || !policies[policy])
        return &policy_fifo;
    return policies[policy];
}

const char *policy_name (enum policy policy)
{
    switch (policy) {
    case POLICY_FIFO: return "fifo";
    case POLICY_FAIR: return "fair";
    case POLICY_PRIORITY: return "priority";
    }
    return "?";
}
