/* SPDX-License-Identifier: MPL-2.0 */
#include "core/policy.h"

static const struct scheduler *const policies[] = {
    [POLICY_FIFO] = &policy_fifo,
    [POLICY_FAIR] = &policy_fair,
    [POLICY_PRIORITY] = &policy_priority,
};

const struct scheduler *policy_of (enum policy policy)
{
    return policies[policy];
}

const char *policy_name (enum policy policy)
{
    return policies[policy]->name;
}
