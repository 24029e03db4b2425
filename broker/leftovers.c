/* SPDX-License-Identifier: MPL-2.0 */
#include "leftovers.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bus/base.h"
#include "bus/endpoint.h"
#include "bus/lock.h"
#include "bus/proc.h"

static const char COOKIE[] = "SLOTBUS_COOKIE";

enum { MAX_CGROUP_DEPTH = 16 };

struct leftovers {
    char *broker, *runtime; // owned
    int mount;              // the cgroup2 mount, -1 = there is none
};

/* ---- cgroup ---- */

/* "36 25 0:30 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw" */
static bool is_cgroup2 (const char *line, char *ret_path, size_t size)
{
    const char *kind = strstr (line, " - cgroup2 ");
    char path[PATH_BYTES];

    if (!kind || sscanf (line, "%*s %*s %*s %*s %1023s", path) != 1)
        return false;
    copy_text (ret_path, size, path);
    return true;
}

static int open_mount (void)
{
    FILE *f = fopen ("/proc/self/mountinfo", "re");
    char line[4096], path[PATH_BYTES];
    int fd = -1;

    while (f && fd < 0 && fgets (line, sizeof line, f))
        if (is_cgroup2 (line, path, sizeof path))
            fd = open (path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (f)
        fclose (f);
    return fd;
}

/* Does the path's last part say that it is this tree's? */
static bool names_tree (const char *path, uint64_t first)
{
    const char *last = strrchr (path, '/');
    char wanted[64];

    snprintf (wanted, sizeof wanted, "slotbus-%" PRIu64 "-", first);
    return strncmp (last ? last + 1 : path, wanted, strlen (wanted)) == 0;
}

static int open_beneath (int dir, const char *path, int flags)
{
    struct open_how how = {.flags = (uint64_t) (flags | O_CLOEXEC),
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
                                      RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV};

    return (int) syscall (SYS_openat2, dir, path, &how, sizeof how);
}

/* A file of the tree's cgroup; -1 and errno, ENOENT or ENODEV: it is gone. */
static int open_cgroup_file (const struct leftovers *l,
                             const struct watch_lease *lease, const char *name,
                             int flags)
{
    int dir, fd, error;

    errno = EINVAL;
    if (l->mount < 0 || !names_tree (lease->cgroup, lease->first))
        return -1;
    dir = open_beneath (l->mount, lease->cgroup, O_PATH | O_DIRECTORY);
    if (dir < 0)
        return -1;
    fd = openat (dir, name, flags | O_CLOEXEC);
    error = errno;
    close (dir);
    errno = error;
    return fd;
}

static enum left read_populated (int fd)
{
    char text[256];
    ssize_t size = pread (fd, text, sizeof text - 1, 0);

    if (size < 0)
        return errno == ENODEV ? LEFT_NOTHING : LEFT_UNKNOWN;
    text[size] = 0;
    if (strstr (text, "populated 0"))
        return LEFT_NOTHING;
    return strstr (text, "populated 1") ? LEFT_SOMETHING : LEFT_UNKNOWN;
}

static enum left ask_cgroup (const struct leftovers *l,
                             const struct watch_lease *lease)
{
    enum left left;
    int fd;

    if (!lease->cgroup[0])
        return LEFT_NOTHING; // the other witnesses know
    fd = open_cgroup_file (l, lease, "cgroup.events", O_RDONLY);
    if (fd < 0)
        return errno == ENOENT || errno == ENODEV ? LEFT_NOTHING : LEFT_UNKNOWN;
    left = read_populated (fd);
    close (fd);
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

/* ---- cookie ---- */

/* 1: the process has a cookie of this broker; 0: it has not, or is gone;
 * -1: it cannot be told. */
static int cookie_of (const struct leftovers *l, pid_t pid, uint64_t *ret_first)
{
    char value[128];
    size_t size = strlen (l->broker);
    int found = proc_getenv (pid, COOKIE, value, sizeof value);

    if (found < 0)
        return errno == ENOENT || errno == ESRCH ? 0 : -1;
    if (found == 0 || strncmp (value, l->broker, size) != 0 ||
        value[size] != ':')
        return 0;
    *ret_first = strtoull (value + size + 1, NULL, 10);
    return 1;
}

/* Real, effective, saved and file system uid. */
static bool runs_as (pid_t pid, uint32_t uid)
{
    char path[64], text[4096];
    const char *line;
    uint32_t ids[4] = {0};

    snprintf (path, sizeof path, "/proc/%ld/status", (long) pid);
    if (read_file (path, text, sizeof text) < 0)
        return false;
    line = strstr (text, "\nUid:");
    if (!line || sscanf (line, "\nUid: %u %u %u %u", &ids[0], &ids[1], &ids[2],
                         &ids[3]) != 4)
        return true;
    for (unsigned i = 0; i < 4; i++)
        if (ids[i] == uid)
            return true;
    return false;
}

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
    return runs_as (pid, lease->uid) && proc_start (pid) >= oldest_of (lease);
}

static void raise_left (struct leftover *of, enum left left)
{
    if (left > of->left)
        of->left = left;
}

struct look {
    struct leftover *list;
    size_t count;
};

static void look_at (const struct leftovers *l, pid_t pid, void *arg)
{
    const struct look *look = arg;
    uint64_t first = 0;
    int cookie = cookie_of (l, pid, &first);

    for (size_t i = 0; cookie != 0 && i < look->count; i++) {
        struct leftover *at = &look->list[i];

        if (cookie > 0 && at->lease.first == first)
            raise_left (at, LEFT_SOMETHING);
        if (cookie < 0 && at->left == LEFT_NOTHING &&
            could_be_of (pid, &at->lease))
            raise_left (at, LEFT_UNKNOWN);
    }
}

typedef void process_fn (const struct leftovers *l, pid_t pid, void *arg);

/* Every process but ourselves. */
static bool walk (const struct leftovers *l, process_fn *fn, void *arg)
{
    DIR *proc = opendir ("/proc");
    struct dirent *entry;

    if (!proc)
        return false;
    while ((entry = readdir (proc))) {
        char *end;
        long pid = strtol (entry->d_name, &end, 10);

        if (*end == 0 && pid > 0 && pid != (long) getpid ())
            fn (l, (pid_t) pid, arg);
    }
    closedir (proc);
    return true;
}

void leftovers_look (struct leftovers *l, struct leftover *list, size_t count)
{
    struct look look = {list, count};
    bool seen;

    for (size_t i = 0; i < count; i++) {
        list[i].left = ask_cgroup (l, &list[i].lease);
        raise_left (&list[i], ask_witness (l, list[i].lease.first));
    }
    seen = walk (l, look_at, &look);
    for (size_t i = 0; i < count && !seen; i++)
        raise_left (&list[i], LEFT_UNKNOWN);
}

/* ---- the end ---- */

static size_t kill_cgroup (const struct leftovers *l,
                           const struct watch_lease *lease)
{
    ssize_t written = -1;
    int fd = -1;

    if (lease->cgroup[0] && ask_cgroup (l, lease) == LEFT_SOMETHING)
        fd = open_cgroup_file (l, lease, "cgroup.kill", O_WRONLY);
    if (fd >= 0) {
        written = write (fd, "1", 1);
        close (fd);
    }
    return written == 1;
}

struct hunt {
    uint64_t first;
    char witness[PATH_BYTES]; // "" = nobody holds it
    size_t ended;
};

/* By its cookie; by the witness also who has cleaned its environment, and the
 * keeper, which is of no use any more if it is still there (stopped). */
static bool is_hunted (const struct leftovers *l, pid_t pid,
                       const struct hunt *hunt)
{
    uint64_t first = 0;

    return (cookie_of (l, pid, &first) == 1 && first == hunt->first) ||
           (hunt->witness[0] && lock_held_by (pid, hunt->witness));
}

/* Asked again while the pidfd holds the process: a pid that changed hands in
 * between is not signalled. */
static void end_holder (const struct leftovers *l, pid_t pid, void *arg)
{
    struct hunt *hunt = arg;
    int fd;

    if (!is_hunted (l, pid, hunt))
        return;
    fd = proc_open (pid, 0);
    if (fd < 0)
        return;
    if (is_hunted (l, pid, hunt) &&
        syscall (SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == 0)
        hunt->ended++;
    close (fd);
}

size_t leftovers_end (struct leftovers *l, const struct watch_lease *lease)
{
    struct hunt hunt = {.first = lease->first};

    if (ask_witness (l, lease->first) == LEFT_SOMETHING)
        witness_path (l, lease->first, hunt.witness);
    hunt.ended = kill_cgroup (l, lease);
    walk (l, end_holder, &hunt);
    return hunt.ended;
}

/* A folder of cgroups with those below it; cgroups are never deeper than what
 * the tree itself made. Takes `dir`. */
static void remove_below (int dir, unsigned depth)
{
    DIR *folder = fdopendir (dir);
    struct dirent *entry;

    if (!folder) {
        close (dir);
        return;
    }
    while ((entry = readdir (folder))) {
        int child;

        if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
            continue;
        child = openat (dirfd (folder), entry->d_name,
                        O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (child >= 0 && depth > 0)
            remove_below (child, depth - 1);
        else if (child >= 0)
            close (child);
        unlinkat (dirfd (folder), entry->d_name, AT_REMOVEDIR);
    }
    closedir (folder);
}

static void remove_cgroup (const struct leftovers *l,
                           const struct watch_lease *lease)
{
    char parent[sizeof lease->cgroup];
    const char *name;
    int dir;

    if (l->mount < 0 || !names_tree (lease->cgroup, lease->first))
        return;
    copy_text (parent, sizeof parent, lease->cgroup);
    name = strrchr (lease->cgroup, '/');
    name = name ? name + 1 : lease->cgroup;
    parent[name - lease->cgroup] = '\0';
    dir = open_beneath (l->mount, lease->cgroup, O_RDONLY | O_DIRECTORY);
    if (dir < 0)
        return;
    remove_below (dir, MAX_CGROUP_DEPTH);
    dir =
        open_beneath (l->mount, parent[0] ? parent : ".", O_PATH | O_DIRECTORY);
    if (dir < 0)
        return;
    unlinkat (dir, name, AT_REMOVEDIR);
    close (dir);
}

void leftovers_tidy (struct leftovers *l, const struct watch_lease *lease)
{
    char path[PATH_BYTES];

    if (!lease->tree)
        return;
    if (lease->cgroup[0])
        remove_cgroup (l, lease);
    witness_path (l, lease->first, path);
    unlink (path);
}

struct leftovers *leftovers_create (const char *broker, const char *runtime)
{
    struct leftovers *l = xcalloc (1, sizeof *l);

    l->broker = xstrdup (broker);
    l->runtime = xstrdup (runtime);
    l->mount = open_mount ();
    return l;
}

void leftovers_destroy (struct leftovers *l)
{
    int error = errno;

    if (l) {
        if (l->mount >= 0)
            close (l->mount);
        free (l->broker);
        free (l->runtime);
        free (l);
    }
    errno = error;
}
