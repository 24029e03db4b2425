/* SPDX-License-Identifier: MPL-2.0 */
#include "bus/unmanaged.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus/base.h"
#include "bus/cookie.h"

enum {
    DEEPEST = 64,         // ancestors
    MOST_GUESSES = 32,    // projects
    ENVIRON_BYTES = 65536 // of an environment
};

/* What a project seems to have. */
struct guess {
    char name[65];
    uint64_t memory_bytes;
};

struct unmanaged_search {
    char *root;
    char *names; // ",a,b,"
    pid_t *pids; // of the look under way
    size_t count, room, next;
    struct unmanaged_found found;
    struct guess guesses[MOST_GUESSES];
    unsigned guess_count;
    char environment[ENVIRON_BYTES];
};

struct unmanaged_search *unmanaged_create (const char *proc_root,
                                           const char *names)
{
    struct unmanaged_search *u = xcalloc (1, sizeof *u);

    u->root = xstrdup (proc_root);
    u->names = xasprintf (",%s,", names);
    return u;
}

void unmanaged_destroy (struct unmanaged_search *u)
{
    int error = errno;

    if (u) {
        free (u->root);
        free (u->names);
        free (u->pids);
        free (u);
    }
    errno = error;
}

/* ---- one process ---- */

static ssize_t read_of (const struct unmanaged_search *u, pid_t pid,
                        const char *what, char *ret_text, size_t size)
{
    char path[PATH_MAX];

    snprintf (path, sizeof path, "%s/%ld/%s", u->root, (long) pid, what);
    return read_file (path, ret_text, size);
}

/* comm, and the parent. The name in parentheses may hold any bytes: what
 * follows is counted behind the last one. */
static bool read_stat (const struct unmanaged_search *u, pid_t pid,
                       char *ret_comm, size_t size, pid_t *ret_parent)
{
    char text[1024], state, *open, *close;
    long parent;

    if (read_of (u, pid, "stat", text, sizeof text) <= 0)
        return false;
    open = strchr (text, '(');
    close = strrchr (text, ')');
    if (!open || !close || close < open ||
        sscanf (close + 1, " %c %ld", &state, &parent) != 2 || state == 'Z' ||
        state == 'X')
        return false;
    *close = 0;
    snprintf (ret_comm, size, "%s", open + 1);
    *ret_parent = (pid_t) parent;
    return true;
}

static bool is_listed (const struct unmanaged_search *u, const char *name)
{
    size_t size = strlen (name);

    if (size == 0 || strchr (name, ','))
        return false;
    for (const char *at = u->names; (at = strstr (at, name)); at++)
        if (at[-1] == ',' && at[size] == ',')
            return true;
    return false;
}

static const char *last_part (const char *path)
{
    const char *slash = strrchr (path, '/');

    return slash ? slash + 1 : path;
}

/* comm is cut to 15 bytes, and a program may have chosen it; argv[0] too. */
static bool looks_like_one (const struct unmanaged_search *u, pid_t pid,
                            const char *comm)
{
    char line[PATH_MAX];

    return is_listed (u, comm) ||
           (read_of (u, pid, "cmdline", line, sizeof line) > 0 &&
            is_listed (u, last_part (line)));
}

/* ---- is it under a slot? ---- */

/* Where it may not be read there is none to be seen. */
static bool has_cookie (struct unmanaged_search *u, pid_t pid)
{
    static const char entry[] = COOKIE_NAME "=";
    ssize_t n =
        read_of (u, pid, "environ", u->environment, sizeof u->environment);
    const char *at = u->environment, *end = at + (n > 0 ? n : 0);

    for (; at < end; at += strlen (at) + 1)
        if (strncmp (at, entry, sizeof entry - 1) == 0)
            return true;
    return false;
}

/* ".../slotbus-TOKEN-..."; slotbus-broker.service is none. */
static bool is_in_cgroup_of_tree (const struct unmanaged_search *u, pid_t pid)
{
    static const char ours[] = "/slotbus-";
    char text[8192], *at = text;

    if (read_of (u, pid, "cgroup", text, sizeof text) <= 0)
        return false;
    while ((at = strstr (at, ours))) {
        at += sizeof ours - 1;
        if (isdigit ((unsigned char) *at))
            return true;
    }
    return false;
}

static bool is_run (const struct unmanaged_search *u, pid_t pid)
{
    char line[PATH_MAX];
    ssize_t n = read_of (u, pid, "cmdline", line, sizeof line);
    size_t first = n > 0 ? strlen (line) + 1 : 0;

    return n > 0 && (size_t) n > first && strcmp (line + first, "run") == 0;
}

static bool keeps_trees (const struct unmanaged_search *u, pid_t pid,
                         const char *comm)
{
    return strcmp (comm, "slotbus-keeper") == 0 ||
           (strcmp (comm, "slotbus") == 0 && is_run (u, pid));
}

static bool is_below_keeper (const struct unmanaged_search *u, pid_t pid)
{
    char comm[64];
    pid_t parent;

    for (int depth = 0; depth < DEEPEST && pid > 1; depth++) {
        if (!read_stat (u, pid, comm, sizeof comm, &parent))
            return false;
        if (keeps_trees (u, pid, comm))
            return true;
        pid = parent;
    }
    return false;
}

static bool is_leased (struct unmanaged_search *u, pid_t pid)
{
    return is_below_keeper (u, pid) || is_in_cgroup_of_tree (u, pid) ||
           has_cookie (u, pid);
}

/* ---- what it has, and whose it may be ---- */

static uint64_t memory_of (const struct unmanaged_search *u, pid_t pid)
{
    unsigned long long resident, shared;
    char text[256];

    if (read_of (u, pid, "statm", text, sizeof text) <= 0 ||
        sscanf (text, "%*s %llu %llu", &resident, &shared) != 2 ||
        shared > resident)
        return 0;
    return (resident - shared) * (uint64_t) sysconf (_SC_PAGESIZE);
}

static void guess_more (struct unmanaged_search *u, const char *name,
                        uint64_t memory_bytes)
{
    unsigned i = 0;

    while (i < u->guess_count && strcmp (u->guesses[i].name, name) != 0)
        i++;
    if (i == MOST_GUESSES)
        return;
    if (i == u->guess_count) {
        u->guesses[u->guess_count++].memory_bytes = 0;
        snprintf (u->guesses[i].name, sizeof u->guesses[i].name, "%s", name);
    }
    // a page each, so that one whose memory is unknown counts too
    u->guesses[i].memory_bytes += memory_bytes + 4096;
}

static void guess_whose (struct unmanaged_search *u, pid_t pid,
                         uint64_t memory_bytes,
                         const struct unmanaged_eyes *eyes)
{
    char link[PATH_MAX], path[PATH_MAX], *slash;
    ssize_t n;

    snprintf (link, sizeof link, "%s/%ld/cwd", u->root, (long) pid);
    n = readlink (link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = 0;
    for (char *at = path; *at; at++)
        *at = (char) tolower ((unsigned char) *at);
    while ((slash = strrchr (path, '/'))) {
        if (slash[1] && strlen (slash + 1) <= 64 &&
            eyes->is_project (eyes->arg, slash + 1)) {
            guess_more (u, slash + 1, memory_bytes);
            return;
        }
        *slash = 0;
    }
}

static void look_at (struct unmanaged_search *u, pid_t pid,
                     const struct unmanaged_eyes *eyes)
{
    char comm[64];
    pid_t parent;
    uint64_t bytes;

    if (!read_stat (u, pid, comm, sizeof comm, &parent) ||
        !looks_like_one (u, pid, comm) ||
        eyes->is_supervisor (eyes->arg, pid) || is_leased (u, pid))
        return;
    bytes = memory_of (u, pid);
    u->found.count++;
    u->found.memory_bytes += bytes;
    guess_whose (u, pid, bytes, eyes);
}

/* ---- a look at all ---- */

static void add (struct unmanaged_search *u, pid_t pid)
{
    if (u->count == u->room) {
        u->room = u->room ? 2 * u->room : 256;
        u->pids = xrealloc (u->pids, u->room * sizeof *u->pids);
    }
    u->pids[u->count++] = pid;
}

static void begin (struct unmanaged_search *u)
{
    bool wanted = strcmp (u->names, ",,") != 0;
    DIR *dir = wanted ? opendir (u->root) : NULL;
    struct dirent *entry;

    u->count = u->next = 0;
    u->guess_count = 0;
    u->found = (struct unmanaged_found){0, 0, ""};
    while (dir && (entry = readdir (dir)))
        if (isdigit ((unsigned char) entry->d_name[0]))
            add (u, (pid_t) atol (entry->d_name));
    if (dir)
        closedir (dir);
}

static void finish (struct unmanaged_search *u)
{
    const struct guess *best = NULL;

    for (unsigned i = 0; i < u->guess_count; i++)
        if (!best || u->guesses[i].memory_bytes > best->memory_bytes)
            best = &u->guesses[i];
    if (best)
        memcpy (u->found.of, best->name, sizeof u->found.of);
    u->count = u->next = 0;
}

bool unmanaged_look (struct unmanaged_search *u, unsigned most,
                     const struct unmanaged_eyes *eyes,
                     struct unmanaged_found *ret_found)
{
    if (u->next == u->count)
        begin (u);
    for (; most > 0 && u->next < u->count; most--)
        look_at (u, u->pids[u->next++], eyes);
    if (u->next < u->count)
        return false;
    finish (u);
    *ret_found = u->found;
    return true;
}
