/* SPDX-License-Identifier: MPL-2.0 */
#include "leftovers.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bus/base.h"
#include "bus/cgroup.h"
#include "bus/cookie.h"
#include "bus/endpoint.h"
#include "bus/lock.h"
#include "bus/pids.h"
#include "bus/proc.h"

struct leftovers {
    char *broker, *runtime; // owned
};

/* ---- cgroup ---- */

/* -1 and errno, ENOENT: it is gone. */
static int open_cgroup (struct cgroup *ret_cgroup,
                        const struct watch_lease *lease)
{
    if (cgroup_is_named_for (lease->cgroup, lease->first))
        return cgroup_open (ret_cgroup, lease->cgroup);
    errno = EINVAL;
    return -1;
}

static enum left ask_open_cgroup (const struct cgroup *c)
{
    int populated = cgroup_populated (c);

    if (populated < 0)
        return LEFT_UNKNOWN;
    return populated ? LEFT_SOMETHING : LEFT_NOTHING;
}

static enum left ask_cgroup (const struct watch_lease *lease)
{
    struct cgroup c;
    enum left left;

    if (!lease->cgroup[0])
        return LEFT_NOTHING; // the other witnesses know
    if (open_cgroup (&c, lease))
        return errno == ENOENT ? LEFT_NOTHING : LEFT_UNKNOWN;
    left = ask_open_cgroup (&c);
    cgroup_close (&c);
    return left;
}

/* ---- witness ---- */

static void witness_path (const struct leftovers *l, uint64_t first,
                          char ret_path[PATH_BYTES])
{
    snprintf (ret_path, PATH_BYTES, "%s/witness/%" PRIu64, l->runtime, first);
}

static enum left ask_witness (const struct leftovers *l, uint64_t first)
{
    char path[PATH_BYTES];

    witness_path (l, first, path);
    switch (lock_query (path)) {
    case LOCK_FREE: return LEFT_NOTHING;
    case LOCK_HELD: return LEFT_SOMETHING;
    case LOCK_UNKNOWN: break;
    }
    return LEFT_UNKNOWN;
}

/* ---- command ---- */

/* A client that gives its trees neither cookie nor cgroup. It is not ended by
 * us: whose it is stands in a message only. */
static enum left ask_command (const struct watch_lease *lease)
{
    const struct process *agent = &lease->agent;

    return lease->tree && agent->pid > 0 && agent->start > 0 &&
                   proc_alive (agent->pid, agent->start) &&
                   proc_runs_as (agent->pid, lease->uid)
               ? LEFT_SOMETHING
               : LEFT_NOTHING;
}

/* ---- cookie ---- */

/* In clock ticks since boot. Monotonic time leaves out what the machine slept,
 * so as ticks it is never too late. */
static int64_t oldest_of (const struct watch_lease *lease)
{
    if (lease->agent.start > 0)
        return lease->agent.start;
    return lease->granted * sysconf (_SC_CLK_TCK) / 1000 - 1;
}

static bool could_be_of (pid_t pid, const struct watch_lease *lease)
{
    return proc_runs_as (pid, lease->uid) &&
           proc_start (pid) >= oldest_of (lease);
}

static void raise_left (struct leftover *of, enum left left)
{
    if (left > of->left)
        of->left = left;
}

/* A cookie that is not shown (yet) is told by the next look; one that is hidden
 * never is. */
static void look_at (const struct leftovers *l, pid_t pid,
                     struct leftover *list, size_t count)
{
    char value[COOKIE_BYTES];
    enum cookie cookie = cookie_read (pid, value);
    uint64_t first = 0;

    if (cookie != COOKIE_HIDDEN &&
        !(cookie == COOKIE_PRESENT && cookie_parse (value, l->broker, &first)))
        return;
    for (struct leftover *at = list; at < list + count; at++)
        if (cookie == COOKIE_PRESENT && at->lease.first == first)
            raise_left (at, LEFT_SOMETHING);
        else if (cookie == COOKIE_HIDDEN && at->left == LEFT_NOTHING &&
                 could_be_of (pid, &at->lease))
            raise_left (at, LEFT_UNKNOWN);
}

void leftovers_look (struct leftovers *l, struct leftover *list, size_t count)
{
    struct pids all = PIDS_NONE;
    bool seen;

    for (size_t i = 0; i < count; i++) {
        list[i].left = ask_cgroup (&list[i].lease);
        raise_left (&list[i], ask_witness (l, list[i].lease.first));
        raise_left (&list[i], ask_command (&list[i].lease));
    }
    seen = pids_add_all (&all);
    for (size_t i = 0; i < all.count; i++)
        look_at (l, all.pid[i], list, count);
    for (size_t i = 0; i < count && !seen; i++)
        raise_left (&list[i], LEFT_UNKNOWN);
    pids_free (&all);
}

/* ---- the end ---- */

static size_t kill_cgroup (const struct watch_lease *lease)
{
    struct cgroup c;
    bool killed;

    if (!lease->cgroup[0] || open_cgroup (&c, lease))
        return 0;
    killed = ask_open_cgroup (&c) == LEFT_SOMETHING && cgroup_kill (&c) == 0;
    cgroup_close (&c);
    return killed;
}

struct hunt {
    const char *broker;
    uint64_t first;
    char witness[PATH_BYTES]; // "" = nobody holds it
};

/* By its cookie; by the witness also who has cleaned its environment, and the
 * keeper, which is of no use any more if it is still there (stopped). */
static bool is_hunted (pid_t pid, const void *arg)
{
    const struct hunt *hunt = arg;
    char value[COOKIE_BYTES];
    uint64_t first;

    return (cookie_read (pid, value) == COOKIE_PRESENT &&
            cookie_parse (value, hunt->broker, &first) &&
            first == hunt->first) ||
           (hunt->witness[0] && lock_held_by (pid, hunt->witness));
}

size_t leftovers_end (struct leftovers *l, const struct watch_lease *lease)
{
    struct hunt hunt = {.broker = l->broker, .first = lease->first};

    if (ask_witness (l, lease->first) == LEFT_SOMETHING)
        witness_path (l, lease->first, hunt.witness);
    return kill_cgroup (lease) + pids_kill_all (is_hunted, &hunt);
}

void leftovers_tidy (struct leftovers *l, const struct watch_lease *lease)
{
    char path[PATH_BYTES];
    struct cgroup c;

    if (!lease->tree)
        return;
    if (lease->cgroup[0] && open_cgroup (&c, lease) == 0)
        cgroup_remove (&c);
    witness_path (l, lease->first, path);
    unlink (path);
}

struct leftovers *leftovers_create (const char *broker, const char *runtime)
{
    struct leftovers *l = xcalloc (1, sizeof *l);

    l->broker = xstrdup (broker);
    l->runtime = xstrdup (runtime);
    return l;
}

void leftovers_destroy (struct leftovers *l)
{
    int error = errno;

    if (l) {
        free (l->broker);
        free (l->runtime);
        free (l);
    }
    errno = error;
}
