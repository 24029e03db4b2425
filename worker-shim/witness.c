/* SPDX-License-Identifier: MPL-2.0 */
#include "witness.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bus/endpoint.h"
#include "bus/lock.h"
#include "pids.h"

static const int kill_now[] = {SIGKILL, 0};

static bool holds (pid_t pid, const void *arg)
{
    return lock_held_by (pid, arg);
}

static void end_holders (const char *path)
{
    struct pids all = PIDS_NONE, holders = PIDS_NONE;

    pids_add_all (&all);
    for (size_t i = 0; i < all.count; i++)
        if (holds (all.pid[i], path))
            pids_add (&holders, all.pid[i]);
    pids_signal (&holders, kill_now, holds, path);
    pids_free (&all);
    pids_free (&holders);
}

bool witness_end (const char *runtime, const char *cookie)
{
    const char *token = strrchr (cookie, ':');
    char path[PATH_BYTES + 64];

    if (!*runtime || !token)
        return true;
    snprintf (path, sizeof path, "%s/witness/%s", runtime, token + 1);
    if (lock_query (path) == LOCK_HELD) {
        end_holders (path);
        return false;
    }
    unlink (path);
    return true;
}
