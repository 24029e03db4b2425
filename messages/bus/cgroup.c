/* SPDX-License-Identifier: MPL-2.0 */
#include "bus/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "bus/base.h"

#define OURS "slotbus-"

/* An agent may nest its own; deeper than this they are left to the system. */
enum { DEEPEST = 64 };

struct mount {
    int dir;        // O_PATH
    char root[256]; // which part of the hierarchy it shows: "/"
};

static void *fail (int error)
{
    errno = error;
    return NULL;
}

/* The value of the line "0::/user.slice/..." of /proc/PID/cgroup. */
static char *unified_line (pid_t pid, char *text, size_t size)
{
    char path[64];
    char *at;

    snprintf (path, sizeof path, "/proc/%ld/cgroup", (long) pid);
    if (read_file (path, text, size) < 0)
        return NULL;
    at = strncmp (text, "0::", 3) == 0 ? text : strstr (text, "\n0::");
    if (!at)
        return fail (ENOENT);
    at = strchr (at, '/');
    if (!at)
        return fail (ENOENT);
    at[strcspn (at, "\n")] = 0;
    return at;
}

/* Space, tab, newline and backslash are written in octal. Source: proc(5). */
static void unescape (char *text)
{
    char *to = text;

    for (const char *from = text; *from; from++)
        if (*from == '\\' && from[1] && from[2] && from[3]) {
            *to++ = (char) ((from[1] - '0') << 6 | (from[2] - '0') << 3 |
                            (from[3] - '0'));
            from += 3;
        } else
            *to++ = *from;
    *to = 0;
}

/* id parent major:minor ROOT MOUNTPOINT options... - TYPE source options */
static bool is_unified (char *line, char **ret_root, char **ret_point)
{
    char *rest = line;
    char *type = strstr (line, " - ");

    if (!type || strncmp (type + 3, "cgroup2 ", 8) != 0)
        return false;
    for (int i = 0; i < 3; i++)
        strsep (&rest, " ");
    *ret_root = strsep (&rest, " ");
    *ret_point = strsep (&rest, " ");
    if (!*ret_root || !*ret_point)
        return false;
    unescape (*ret_root);
    unescape (*ret_point);
    return true;
}

static int find_mount (struct mount *ret_mount)
{
    FILE *file = fopen ("/proc/self/mountinfo", "re");
    char *line = NULL, *root, *point;
    size_t room = 0;

    ret_mount->dir = -1;
    if (file)
        errno = ENOTSUP;
    while (file && ret_mount->dir < 0 && getline (&line, &room, file) >= 0)
        if (is_unified (line, &root, &point) &&
            strlen (root) < sizeof ret_mount->root) {
            strcpy (ret_mount->root, root);
            ret_mount->dir = open (point, O_PATH | O_DIRECTORY | O_CLOEXEC);
        }
    if (ret_mount->dir < 0 && errno == ENOENT)
        errno = ENOTSUP; // for a caller ENOENT is the proof of absence
    free (line);
    if (file)
        fclose (file);
    return ret_mount->dir < 0 ? -1 : 0;
}

/* A folder below `dir`; it never leaves it, whatever the path says. */
static int open_beneath (int dir, const char *path)
{
    struct open_how how = {
        .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
    };

    return (int) syscall (SYS_openat2, dir, *path ? path : ".", &how,
                          sizeof how);
}

/* This process's cgroup as a path below the mount; NULL if it is not in the
 * part that the mount shows. */
static const char *own_path (const struct mount *m, char *text, size_t size)
{
    size_t root = strcmp (m->root, "/") == 0 ? 0 : strlen (m->root);
    const char *own = unified_line (getpid (), text, size);

    if (!own)
        return NULL;
    if (strncmp (own, m->root, root) != 0 || (own[root] && own[root] != '/') ||
        strncmp (own, "/..", 3) == 0)
        return fail (ENOTSUP);
    own += root;
    return *own == '/' ? own + 1 : own;
}

static const char *last_part (const char *path)
{
    const char *slash = strrchr (path, '/');

    return slash ? slash + 1 : path;
}

static int set_names (struct cgroup *c, const struct mount *m, const char *path)
{
    int n = snprintf (c->path, sizeof c->path, "%s", path);
    int full = snprintf (c->name, sizeof c->name, "%s/%s",
                         strcmp (m->root, "/") == 0 ? "" : m->root, path);

    if (n < (int) sizeof c->path && full < (int) sizeof c->name)
        return 0;
    errno = ENAMETOOLONG;
    return -1;
}

bool cgroup_is_named_for (const char *path, uint64_t token)
{
    char wanted[64];

    snprintf (wanted, sizeof wanted, OURS "%" PRIu64 "-", token);
    return strncmp (last_part (path), wanted, strlen (wanted)) == 0;
}

static int open_named (struct cgroup *c, const struct mount *m,
                       const char *path)
{
    if (strncmp (last_part (path), OURS, strlen (OURS)) != 0) {
        errno = EINVAL;
        return -1;
    }
    if (set_names (c, m, path))
        return -1;
    c->dir = open_beneath (m->dir, path);
    if (c->dir < 0)
        return -1;
    c->events = openat (c->dir, "cgroup.events", O_RDONLY | O_CLOEXEC);
    if (c->events >= 0)
        return 0;
    if (errno == ENODEV)
        errno = ENOENT; // removed just now
    close (c->dir);
    c->dir = -1;
    return -1;
}

int cgroup_open (struct cgroup *ret_cgroup, const char *path)
{
    struct cgroup c = CGROUP_NONE;
    struct mount m;
    int error = 0;

    if (find_mount (&m))
        return -1;
    if (open_named (&c, &m, path))
        error = errno;
    else
        *ret_cgroup = c;
    close (m.dir);
    errno = error;
    return error ? -1 : 0;
}

void cgroup_close (struct cgroup *c)
{
    if (c->dir >= 0)
        close (c->dir);
    if (c->events >= 0)
        close (c->events);
    c->dir = c->events = -1;
}

static ssize_t read_at (int dir, const char *file, char *text, size_t size)
{
    int fd = openat (dir, file, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return -1;
    n = read (fd, text, size - 1);
    close (fd);
    text[n < 0 ? 0 : n] = 0;
    return n;
}

/* Whoever moves a process must be allowed to write here, in the common
 * ancestor; and below a threaded cgroup nothing can be put at all. */
static bool can_be_entered (int own, int dir)
{
    char type[32];

    return faccessat (own, "cgroup.procs", W_OK, AT_EACCESS) == 0 &&
           read_at (dir, "cgroup.type", type, sizeof type) > 0 &&
           strcmp (type, "domain\n") == 0;
}

/* Unique by the pid and the time: nobody else has this pid now. */
static int make_below (struct cgroup *c, const struct mount *m, int own,
                       const char *own_name, uint64_t token)
{
    struct timespec now;
    char path[CGROUP_PATH];
    const char *name;
    int n;

    clock_gettime (CLOCK_BOOTTIME, &now);
    n = snprintf (path, sizeof path, "%s%s" OURS "%" PRIu64 "-%ld-%lx",
                  own_name, *own_name ? "/" : "", token, (long) getpid (),
                  (unsigned long) now.tv_sec * 1000000000ul +
                      (unsigned long) now.tv_nsec);
    if (n >= (int) sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    name = last_part (path);
    if (mkdirat (own, name, 0755))
        return -1;
    if (open_named (c, m, path) == 0 && can_be_entered (own, c->dir))
        return 0;
    cgroup_close (c);
    unlinkat (own, name, AT_REMOVEDIR);
    errno = EACCES;
    return -1;
}

int cgroup_create (struct cgroup *ret_cgroup, uint64_t token)
{
    struct cgroup c = CGROUP_NONE;
    char text[4096];
    const char *own_name;
    struct mount m;
    int own = -1, rc = -1, error;

    if (find_mount (&m))
        return -1;
    own_name = own_path (&m, text, sizeof text);
    if (own_name)
        own = open_beneath (m.dir, own_name);
    if (own >= 0)
        rc = make_below (&c, &m, own, own_name, token);
    if (rc == 0)
        *ret_cgroup = c;
    error = errno;
    if (own >= 0)
        close (own);
    close (m.dir);
    errno = error;
    return rc;
}

static int write_at (int dir, const char *file, const char *text)
{
    int fd = openat (dir, file, O_WRONLY | O_CLOEXEC);
    int rc;

    if (fd < 0)
        return -1;
    rc = write_all (fd, text, strlen (text));
    close (fd);
    return rc;
}

int cgroup_enter (const struct cgroup *c)
{
    return write_at (c->dir, "cgroup.procs", "0");
}

int cgroup_kill (const struct cgroup *c)
{
    return write_at (c->dir, "cgroup.kill", "1");
}

int cgroup_populated (const struct cgroup *c)
{
    char text[128];
    ssize_t n = pread (c->events, text, sizeof text - 1, 0);

    if (n < 0)
        return errno == ENODEV ? 0 : -1;
    text[n] = 0;
    if (strstr (text, "populated 0"))
        return 0;
    if (strstr (text, "populated 1"))
        return 1;
    errno = EIO;
    return -1;
}

typedef void visit (int above, const char *name, int dir, void *arg);

static bool is_of_a_tree (const char *name)
{
    return strncmp (name, OURS, strlen (OURS)) == 0;
}

/* Calls for every cgroup below `dir`, the deepest first. */
static void walk (int dir, int depth, bool trees, visit *call, void *arg)
{
    int again = openat (dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = again < 0 ? NULL : fdopendir (again);
    struct dirent *entry;
    int below;

    while (list && depth < DEEPEST && (entry = readdir (list))) {
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.' ||
            (!trees && is_of_a_tree (entry->d_name)))
            continue;
        below = open_beneath (dir, entry->d_name);
        if (below < 0)
            continue;
        walk (below, depth + 1, trees, call, arg);
        call (dir, entry->d_name, below, arg);
        close (below);
    }
    if (list)
        closedir (list);
    else if (again >= 0)
        close (again);
}

static void add_pids_of (int above, const char *name, int dir, void *arg)
{
    int fd = openat (dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    FILE *file = fd < 0 ? NULL : fdopen (fd, "r");
    long pid;

    (void) above;
    (void) name;
    if (!file) {
        if (fd >= 0)
            close (fd);
        return;
    }
    while (fscanf (file, "%ld", &pid) == 1)
        pids_add (arg, (pid_t) pid);
    fclose (file);
}

static void remove_one (int above, const char *name, int dir, void *arg)
{
    (void) dir;
    (void) arg;
    unlinkat (above, name, AT_REMOVEDIR);
}

void cgroup_add_pids (const struct cgroup *c, struct pids *into)
{
    add_pids_of (-1, "", c->dir, into);
    walk (c->dir, 0, true, add_pids_of, into);
}

void cgroup_add_own_pids (const struct cgroup *c, struct pids *into)
{
    add_pids_of (-1, "", c->dir, into);
    walk (c->dir, 0, false, add_pids_of, into);
}

bool cgroup_has (const struct cgroup *c, pid_t pid)
{
    size_t size = strlen (c->name);
    char text[4096];
    const char *at = unified_line (pid, text, sizeof text);

    return at && strncmp (at, c->name, size) == 0 &&
           (at[size] == 0 || at[size] == '/');
}

uint64_t cgroup_peak_bytes (const struct cgroup *c)
{
    char text[32];

    if (read_at (c->dir, "memory.peak", text, sizeof text) <= 0)
        return 0;
    return strtoull (text, NULL, 10);
}

void cgroup_remove (struct cgroup *c)
{
    int above;

    if (c->dir < 0)
        return;
    walk (c->dir, 0, true, remove_one, NULL);
    above = openat (c->dir, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (above >= 0) {
        remove_one (above, last_part (c->path), c->dir, NULL);
        close (above);
    }
    cgroup_close (c);
}
