/* SPDX-License-Identifier: MPL-2.0 */
#include "bus/machine.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus/base.h"

/* ---- small files ---- */

static bool read_in (const char *folder, const char *name, char *ret_text,
                     size_t size)
{
    char *path = xasprintf ("%s/%s", folder, name);
    ssize_t n = read_file (path, ret_text, size);

    free (path);
    return n >= 0;
}

/* False: not there, or "max", which is no number. */
static bool read_number (const char *folder, const char *name,
                         uint64_t *ret_number)
{
    char text[64];

    if (!read_in (folder, name, text, sizeof text) || !isdigit (text[0]))
        return false;
    *ret_number = strtoull (text, NULL, 10);
    return true;
}

/* The number behind `key` at the start of a line; 0 if there is none. */
static uint64_t find_number (const char *text, const char *key)
{
    size_t size = strlen (key);

    for (; text; text = strchr (text, '\n') ? strchr (text, '\n') + 1 : NULL)
        if (strncmp (text, key, size) == 0 && text[size] &&
            strchr (" \t:", text[size]))
            return strtoull (text + size + 1, NULL, 10);
    return 0;
}

/* ---- where our control groups are ---- */

enum version { V1 = 1, V2 = 2 };

/* A mounted hierarchy, and our group in it. */
struct hierarchy {
    char *mount; // where it is mounted
    char *root;  // which part of it is mounted there
    char *group; // our group, in the whole hierarchy
    enum version version;
};

static void hierarchy_free (struct hierarchy *h)
{
    free (h->mount);
    free (h->root);
    free (h->group);
}

/* Is `word` one of a list separated by commas? */
static bool listed (const char *list, const char *word)
{
    size_t size = strlen (word);

    while (*list) {
        size_t item = strcspn (list, ",\n");

        if (item == size && strncmp (list, word, size) == 0)
            return true;
        list += item + (list[item] != 0);
    }
    return false;
}

/* mountinfo writes space, tab, line end and backslash as \ooo. */
static char *unescape (char *text)
{
    char *to = text;

    for (const char *at = text; *at; to++) {
        if (at[0] == '\\' && at[1] >= '0' && at[1] <= '3' && at[2] && at[3]) {
            *to = (char) ((at[1] - '0') * 64 + (at[2] - '0') * 8 + at[3] - '0');
            at += 4;
        } else
            *to = *at++;
    }
    *to = 0;
    return text;
}

/* id parent major:minor root mount options... - type source superoptions */
static bool parse_mount (char *line, const char *controller,
                         struct hierarchy *ret)
{
    char *dash = strstr (line, " - ");
    char *field[6] = {NULL};
    char *type, *source, *options, *rest = line;

    if (!dash)
        return false;
    *dash = 0;
    for (int i = 0; i < 6; i++)
        field[i] = strsep (&rest, " ");
    rest = dash + 3;
    type = strsep (&rest, " ");
    source = strsep (&rest, " ");
    options = rest;
    if (!field[5] || !source || !options)
        return false;
    if (strcmp (type, "cgroup2") == 0)
        ret->version = V2;
    else if (strcmp (type, "cgroup") == 0 && listed (options, controller))
        ret->version = V1;
    else
        return false;
    ret->root = xstrdup (unescape (field[3]));
    ret->mount = xstrdup (unescape (field[4]));
    return true;
}

static bool find_mount (const char *proc_root, const char *controller,
                        enum version version, struct hierarchy *ret)
{
    char *path = xasprintf ("%s/self/mountinfo", proc_root);
    FILE *file = fopen (path, "re");
    char *line = NULL;
    size_t size = 0;
    bool found = false;

    free (path);
    while (file && !found && getline (&line, &size, file) > 0) {
        struct hierarchy h = {NULL, NULL, NULL, V1};

        if (!parse_mount (line, controller, &h))
            continue;
        found = h.version == version;
        if (found)
            *ret = h;
        else
            hierarchy_free (&h);
    }
    free (line);
    if (file)
        fclose (file);
    return found;
}

/* number:controllers:path; version 2 is "0::path". */
static char *find_group (const char *proc_root, const char *controller,
                         enum version version)
{
    char text[8192], *folder = xasprintf ("%s/self", proc_root);
    bool known = read_in (folder, "cgroup", text, sizeof text);
    char *rest = text, *line;

    free (folder);
    while (known && (line = strsep (&rest, "\n"))) {
        char *number = strsep (&line, ":"), *controllers = strsep (&line, ":");

        if (!controllers || !line)
            continue;
        if (version == V2 ? strcmp (number, "0") == 0 && !*controllers
                          : listed (controllers, controller))
            return xstrdup (line);
    }
    return NULL;
}

/* Our group as a path below the mount: "" where only a part is mounted that
 * we are not seen in (a container), or the group has no name in there. */
static const char *below_mount (const struct hierarchy *h)
{
    const char *rest = h->group;
    size_t size = strlen (h->root);

    if (strcmp (h->root, "/") != 0) {
        if (strncmp (rest, h->root, size) != 0 ||
            (rest[size] && rest[size] != '/'))
            return "";
        rest += size;
    }
    return strstr (rest, "/..") || strcmp (rest, "/") == 0 ? "" : rest;
}

typedef void level_fn (const char *folder, enum version version, void *arg);

static void climb (const struct hierarchy *h, level_fn *fn, void *arg)
{
    char *folder = xasprintf ("%s%s", h->mount, below_mount (h));
    size_t least = strlen (h->mount);

    if (access (folder, F_OK))
        folder[least] = 0;
    for (;;) {
        fn (folder, h->version, arg);
        if (strlen (folder) <= least)
            break;
        *strrchr (folder, '/') = 0;
    }
    free (folder);
}

/* Every level of both versions: a hybrid system has both. */
static void each_level (const char *proc_root, const char *controller,
                        level_fn *fn, void *arg)
{
    for (enum version version = V1; version <= V2; version++) {
        struct hierarchy h = {NULL, NULL, NULL, version};

        if (!find_mount (proc_root, controller, version, &h))
            continue;
        h.group = find_group (proc_root, controller, version);
        if (h.group)
            climb (&h, fn, arg);
        hierarchy_free (&h);
    }
}

/* ---- processors ---- */

static unsigned cores_of_mask (void)
{
    enum { MOST = 8192 };
    size_t size = CPU_ALLOC_SIZE (MOST);
    cpu_set_t *set = CPU_ALLOC (MOST);
    int count = 0;

    if (set && sched_getaffinity (0, size, set) == 0)
        count = CPU_COUNT_S (size, set);
    CPU_FREE (set);
    return count > 0 ? (unsigned) count : 1;
}

static void quota_of_level (const char *folder, enum version version, void *arg)
{
    unsigned *cores = arg;
    uint64_t quota = 0, period = 0;
    char text[64];

    if (version == V2) {
        if (!read_in (folder, "cpu.max", text, sizeof text) ||
            sscanf (text, "%" SCNu64 " %" SCNu64, &quota, &period) != 2)
            return;
    } else if (!read_number (folder, "cpu.cfs_quota_us", &quota) ||
               !read_number (folder, "cpu.cfs_period_us", &period))
        return;
    if (quota > 0 && period > 0 && (quota - 1) / period + 1 < *cores)
        *cores = (unsigned) ((quota - 1) / period + 1);
}

/* ---- memory ---- */

struct memory {
    uint64_t total, available; // bytes; total 0: not known
    uint64_t swap_total, swap_free;
    uint64_t tightest; // least of total and the limits
    double worst_percent;
};

static uint64_t kilobytes (const char *text, const char *key)
{
    return find_number (text, key) * 1024;
}

static bool read_meminfo (const char *proc_root, struct memory *ret)
{
    char text[8192];

    if (!read_in (proc_root, "meminfo", text, sizeof text))
        return false;
    ret->total = kilobytes (text, "MemTotal");
    ret->available = kilobytes (text, "MemAvailable");
    ret->swap_total = kilobytes (text, "SwapTotal");
    ret->swap_free = kilobytes (text, "SwapFree");
    ret->tightest = ret->total;
    return ret->total > 0 && strstr (text, "MemAvailable:");
}

static double percent (uint64_t part, uint64_t whole)
{
    return 100.0 * (double) part / (double) whole;
}

/* What dropping file cache would give back is not in use. */
static uint64_t used_by_level (const char *folder, enum version version)
{
    uint64_t used = 0, cache;
    char text[8192] = "";

    read_number (folder,
                 version == V2 ? "memory.current" : "memory.usage_in_bytes",
                 &used);
    read_in (folder, "memory.stat", text, sizeof text);
    cache = find_number (text, version == V2 ? "inactive_file"
                                             : "total_inactive_file");
    return used > cache ? used - cache : 0;
}

static void limit_of_level (const char *folder, enum version version, void *arg)
{
    struct memory *m = arg;
    uint64_t limit;
    double used;

    if (!read_number (folder,
                      version == V2 ? "memory.max" : "memory.limit_in_bytes",
                      &limit))
        return;
    if (limit == 0 || limit >= m->total) // version 1 has a huge one for none
        return;
    if (limit < m->tightest)
        m->tightest = limit;
    used = percent (used_by_level (folder, version), limit);
    if (used > m->worst_percent)
        m->worst_percent = used;
}

void machine_read (const char *proc_root, struct machine *ret_machine)
{
    struct memory m = {0};
    unsigned cores = cores_of_mask ();

    each_level (proc_root, "cpu", quota_of_level, &cores);
    read_meminfo (proc_root, &m);
    each_level (proc_root, "memory", limit_of_level, &m);
    *ret_machine = (struct machine){cores, m.tightest};
}

static void tasks_of_level (const char *folder, enum version version, void *arg)
{
    uint64_t *tightest = arg, limit;

    (void) version; // the file is the same
    if (read_number (folder, "pids.max", &limit) &&
        (*tightest == 0 || limit < *tightest))
        *tightest = limit;
}

uint64_t machine_task_limit (const char *proc_root)
{
    uint64_t tightest = 0;

    each_level (proc_root, "pids", tasks_of_level, &tightest);
    return tightest;
}

double machine_memory_percent (const char *proc_root)
{
    struct memory m = {0};

    if (!read_meminfo (proc_root, &m))
        return NAN;
    if (m.available < m.total)
        m.worst_percent = percent (m.total - m.available, m.total);
    each_level (proc_root, "memory", limit_of_level, &m);
    return m.worst_percent > 100 ? 100 : m.worst_percent;
}

double machine_swap_percent (const char *proc_root)
{
    struct memory m = {0};

    if (!read_meminfo (proc_root, &m))
        return NAN;
    if (m.swap_free >= m.swap_total)
        return 0;
    return percent (m.swap_total - m.swap_free, m.swap_total);
}
