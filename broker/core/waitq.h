/* SPDX-License-Identifier: MPL-2.0 */
/* waitq.h - requests that wait, in order of arrival
 *
 * A table of waiters by their enqueue number. In which order they are served
 * is the policy's affair, and whether they can be the round's.
 */
#ifndef SLOTBUS_WAITQ_H
#define SLOTBUS_WAITQ_H

#include <stdbool.h>
#include <stdint.h>

#include "core/outbox.h"
#include "core/records.h"
#include "core/table.h"

struct session;

enum { MAX_QUEUED = 10000, MAX_QUEUED_PROJECT = 1000 };

/* Why a request waits: the first test that failed, in this order. */
enum reason {
    REASON_NONE,
    REASON_PAUSED,
    REASON_DISK,
    REASON_LEARNING,
    REASON_TURN,
    REASON_CAP,
    REASON_HEALTH,
    REASON_SLOTS,
    REASON_PACING
};

/* What a waiter is told. */
struct outlook {
    unsigned position; // rank in dispatch order on its host, from 1
    unsigned slots_ahead;
    enum reason reason;
    char detail[257]; // the live figure behind the reason
};

struct waiter {
    struct waiter_record r;  // first: its number is the key
    struct session *session; // borrowed
    struct path answer_to;   // of the REQUEST that has no answer yet
    bool unanswered;
    bool nowait;
    bool stored; // it has a row
    struct outlook outlook, told;
};

/* "SLOTS"; "NONE". */
const char *reason_name (enum reason reason);

#endif
