/* SPDX-License-Identifier: MPL-2.0 */
#include "core/waitq.h"

const char *reason_name (enum reason reason)
{
    switch (reason) {
    case REASON_NONE: return "NONE";
    case REASON_PAUSED: return "PAUSED";
    case REASON_DISK: return "DISK";
    case REASON_LEARNING: return "LEARNING";
    case REASON_TURN: return "TURN";
    case REASON_CAP: return "CAP";
    case REASON_HEALTH: return "HEALTH";
    case REASON_SLOTS: return "SLOTS";
    case REASON_PACING: return "PACING";
    }
    return "?";
}
