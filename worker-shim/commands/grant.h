/* SPDX-License-Identifier: MPL-2.0 */
/* grant.h - ask the project's shim for slots, and wait for them
 *
 * Shared by `request` and `run`. Says on stderr what is waited for, at every
 * change of it.
 */
#ifndef SLOTBUS_GRANT_H
#define SLOTBUS_GRANT_H

#include <stdbool.h>

#include "commands/reach.h"

struct grant_wait {
    struct msg_request request; // what is asked
    int64_t deadline;           // clock_monotonic_ms (), -1 = none
    struct msg_grant grant;     // what came
    bool waited;                // and what was said of it last, when
    struct row_waiter told;
    int64_t told_at;
    bool near_said;             // a near miss of a known project
    bool gone_said;             // that the broker is away
    bool hold_said;             // that who holds slots waits for others
};

/* 0: granted, the connection stays open. Else an exit status, said: 124 the
 * deadline passed and the request was withdrawn. */
int grant_wait (struct reach *reach, struct grant_wait *w);

/* The grant has arrived with whoever asked. */
void grant_confirm (struct reach *reach, const struct msg_grant *grant);

#endif
