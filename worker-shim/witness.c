/* SPDX-License-Identifier: MPL-2.0 */
#include "witness.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "bus/cookie.h"
#include "bus/endpoint.h"
#include "bus/lock.h"
#include "bus/pids.h"

static bool holds (pid_t pid, const void *arg)
{
    return lock_held_by (pid, arg);
}

bool witness_end (const char *runtime, const char *cookie)
{
    char path[PATH_BYTES + 64];
    uint64_t token;

    if (!*runtime || !cookie_parse (cookie, NULL, &token))
        return true;
    snprintf (path, sizeof path, "%s/witness/%" PRIu64, runtime, token);
    if (lock_query (path) == LOCK_HELD) {
        pids_kill_all (holds, path);
        return false;
    }
    unlink (path);
    return true;
}
