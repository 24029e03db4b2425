/* SPDX-License-Identifier: MPL-2.0 */
#include "premises.h"

#include <errno.h>
#include <grp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bus/base.h"
#include "bus/lock.h"
#include "hostlock.h"

enum { LEAST_DESCRIPTORS = 1024 };

struct trouble {
    char *text;
    size_t size;
};

static int fail (const struct trouble *t, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

static int fail (const struct trouble *t, const char *format, ...)
{
    va_list args;

    va_start (args, format);
    vsnprintf (t->text, t->size, format, args);
    va_end (args);
    return -1;
}

static bool for_group (const struct premises *p)
{
    return p->group != (gid_t) -1;
}

/* `--private` is for tests and demos: nobody else's business. */
static gid_t group_served (const struct options *o)
{
    const struct group *group = NULL;

    if (geteuid () == 0 && !o->beside)
        group = getgrnam ("slotbus");
    return group ? group->gr_gid : (gid_t) -1;
}

/* Folders of a group are its own from the start; existing ones are mended. */
static int give_folder (const struct premises *p, const char *path, mode_t mode,
                        const struct trouble *t)
{
    if (!for_group (p))
        return 0;
    if (chown (path, (uid_t) -1, p->group) || chmod (path, mode))
        return fail (t, "%s: %s", path, strerror (errno));
    return 0;
}

static int make_runtime (const struct premises *p, const char *path,
                         const struct trouble *t)
{
    char witness[PATH_BYTES + 16];

    if (folder_make (path, 0700, t->text, t->size) ||
        give_folder (p, path, 0750, t))
        return -1;
    // every member's trees hold their witness locks in here: sticky, so that
    // nobody removes another's
    snprintf (witness, sizeof witness, "%s/witness", path);
    if (mkdir (witness, 0700) && errno != EEXIST)
        return fail (t, "cannot make %s: %s", witness, strerror (errno));
    return give_folder (p, witness, 01770, t);
}

static int keep_lock (struct premises *p, int lock)
{
    p->locks[p->lock_count++] = lock;
    return 0;
}

static int take_lock (struct premises *p, const char *path, mode_t mode,
                      const struct trouble *t)
{
    char holder[32] = "";
    int lock = lock_take (path, mode);

    if (lock >= 0)
        fchmod (lock, mode); // whatever the umask is: clients have to ask it
    if (lock >= 0)
        return keep_lock (p, lock);
    if (errno != EAGAIN)
        return fail (t, "%s: %s", path, strerror (errno));
    if (read_file (path, holder, sizeof holder) > 0)
        holder[strcspn (holder, "\n")] = 0;
    return fail (t,
                 "another broker%s%s holds %s: stop it, or give this one "
                 "folders of its own (SLOTBUS_RUNTIME_DIR, SLOTBUS_STATE_DIR)",
                 holder[0] ? ", pid " : "", holder, path);
}

static int take_host (struct premises *p, const struct trouble *t)
{
    pid_t pid = 0;
    uid_t uid = (uid_t) -1;
    int lock = hostlock_take (&pid, &uid);

    if (lock >= 0)
        return keep_lock (p, lock);
    if (errno != EADDRINUSE)
        return fail (t, "the host's lock: %s", strerror (errno));
    if (pid <= 0)
        return fail (t, "this host has a broker already; a second pool beside "
                        "it needs --private");
    return fail (t,
                 "this host has a broker already (pid %ld of uid %ld); a "
                 "second pool beside it needs --private",
                 (long) pid, (long) uid);
}

static int enter_runtime (struct premises *p, const char *path,
                          const struct trouble *t)
{
    char lock[PATH_BYTES + 16];

    if (make_runtime (p, path, t))
        return -1;
    snprintf (lock, sizeof lock, "%s/broker.lock", path);
    return take_lock (p, lock, 0644, t);
}

/* Has an earlier bind the same folder? Then its lock is ours already. */
static bool seen_before (const struct options *o, unsigned at,
                         const char *runtime)
{
    struct endpoints e;

    for (unsigned i = 0; i < at; i++)
        if (endpoints_of (o->binds.at[i], &e) == 0 &&
            strcmp (e.runtime, runtime) == 0)
            return true;
    return false;
}

static int enter_runtimes (struct premises *p, const struct options *o,
                           const struct trouble *t)
{
    struct endpoints e;

    for (unsigned i = 0; i < o->binds.count; i++) {
        if (endpoints_of (o->binds.at[i], &e))
            return fail (t, "cannot bind %s", o->binds.at[i]);
        if (!e.runtime[0] || seen_before (o, i, e.runtime))
            continue;
        if (enter_runtime (p, e.runtime, t))
            return -1;
        if (!p->runtime[0])
            copy_text (p->runtime, sizeof p->runtime, e.runtime);
    }
    if (p->runtime[0]) // else only tcp is served
        return 0;
    copy_text (p->runtime, sizeof p->runtime, o->runtime_folder);
    return enter_runtime (p, p->runtime, t);
}

static int enter_state (struct premises *p, const struct options *o,
                        const struct trouble *t)
{
    char lock[PATH_BYTES + 16];

    if (folder_make (o->state_folder, 0700, t->text, t->size))
        return -1;
    snprintf (lock, sizeof lock, "%s/lock", o->state_folder);
    return take_lock (p, lock, 0600, t);
}

int premises_enter (struct premises *p, const struct options *o,
                    char *ret_error, size_t error_size)
{
    struct trouble t = {ret_error, error_size};

    memset (p, 0, sizeof *p);
    p->group = group_served (o);
    if ((!o->beside && take_host (p, &t)) || enter_state (p, o, &t) ||
        enter_runtimes (p, o, &t)) {
        premises_leave (p);
        return -1;
    }
    return 0;
}

void premises_leave (struct premises *p)
{
    while (p->lock_count > 0)
        close (p->locks[--p->lock_count]);
}

mode_t premises_umask (const struct premises *p)
{
    return for_group (p) ? 0117 : 0177;
}

int premises_own_socket (const struct premises *p, const char *endpoint)
{
    if (!for_group (p) || strncmp (endpoint, "ipc://", 6) != 0)
        return 0;
    return chown (endpoint + 6, (uid_t) -1, p->group);
}

int premises_raise_descriptors (char *ret_error, size_t error_size)
{
    struct trouble t = {ret_error, error_size};
    struct rlimit limit;

    if (getrlimit (RLIMIT_NOFILE, &limit))
        return fail (&t, "RLIMIT_NOFILE: %s", strerror (errno));
    limit.rlim_cur = limit.rlim_max;
    setrlimit (RLIMIT_NOFILE, &limit);
    if (limit.rlim_max >= LEAST_DESCRIPTORS)
        return 0;
    return fail (&t,
                 "only %llu descriptors are allowed, %d are needed: raise the "
                 "limit (ulimit -Hn, LimitNOFILE)",
                 (unsigned long long) limit.rlim_max, LEAST_DESCRIPTORS);
}
