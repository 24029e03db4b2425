/* SPDX-License-Identifier: MPL-2.0 */
#include "footprint.h"

#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus/base.h"
#include "bus/cgroup.h"

/* One look at one tree. */
struct look {
    const char *root;
    unsigned reads; // so far
    struct pids members;
    uint64_t pages, ticks;
    unsigned running;
};

/* Of /proc/PID/stat. */
struct process_stat {
    char comm[32];
    char state;
    uint64_t ticks;  // its own, user and system
    uint64_t waited; // of those it has waited for
    unsigned threads;
};

static bool may_read (struct look *l)
{
    return l->reads++ < FOOTPRINT_READS;
}

/* The name in parentheses may hold spaces and parentheses itself: fields are
 * counted behind the last one. */
static bool parse_stat (const char *text, struct process_stat *ret)
{
    unsigned long long user, system, waited_user, waited_system;
    const char *open = strchr (text, '('), *close = strrchr (text, ')');
    size_t size;

    if (!open || !close || close < open ||
        sscanf (close + 1,
                " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu %llu %llu "
                "%llu %*s %*s %u",
                &ret->state, &user, &system, &waited_user, &waited_system,
                &ret->threads) != 6)
        return false;
    size = (size_t) (close - open - 1);
    if (size >= sizeof ret->comm)
        size = sizeof ret->comm - 1;
    memcpy (ret->comm, open + 1, size);
    ret->comm[size] = 0;
    ret->ticks = user + system;
    ret->waited = waited_user + waited_system;
    return true;
}

static bool read_text (struct look *l, const char *path, char *ret_text,
                       size_t size)
{
    return may_read (l) && read_file (path, ret_text, size) > 0;
}

static bool read_stat (struct look *l, const char *path,
                       struct process_stat *ret)
{
    char text[1024];

    return read_text (l, path, text, sizeof text) && parse_stat (text, ret);
}

static bool stat_of (struct look *l, pid_t pid, struct process_stat *ret)
{
    char path[PATH_MAX];

    snprintf (path, sizeof path, "%s/%ld/stat", l->root, (long) pid);
    return read_stat (l, path, ret);
}

static bool is_running (char state)
{
    return state == 'R' || state == 'D';
}

/* ---- what one process takes ---- */

static uint64_t pages_of (struct look *l, pid_t pid)
{
    unsigned long long resident, shared;
    char path[PATH_MAX], text[256];

    snprintf (path, sizeof path, "%s/%ld/statm", l->root, (long) pid);
    if (!read_text (l, path, text, sizeof text) ||
        sscanf (text, "%*s %llu %llu", &resident, &shared) != 2)
        return 0;
    return resident > shared ? resident - shared : 0;
}

static DIR *open_tasks (const struct look *l, pid_t pid)
{
    char path[PATH_MAX];

    snprintf (path, sizeof path, "%s/%ld/task", l->root, (long) pid);
    return opendir (path);
}

/* The next thread's id; 0: no more. */
static pid_t next_task (DIR *tasks)
{
    struct dirent *entry;

    while ((entry = readdir (tasks)))
        if (isdigit ((unsigned char) entry->d_name[0]))
            return (pid_t) atol (entry->d_name);
    return 0;
}

/* The state of a process is that of its first thread. */
static unsigned running_threads (struct look *l, pid_t pid)
{
    DIR *tasks = open_tasks (l, pid);
    struct process_stat of;
    char path[PATH_MAX];
    unsigned running = 0;
    pid_t tid;

    while (tasks && (tid = next_task (tasks))) {
        snprintf (path, sizeof path, "%s/%ld/task/%ld/stat", l->root,
                  (long) pid, (long) tid);
        running += read_stat (l, path, &of) && is_running (of.state);
    }
    if (tasks)
        closedir (tasks);
    return running;
}

static void add_figures (struct look *l, pid_t pid,
                         const struct process_stat *of)
{
    l->ticks += of->ticks + of->waited;
    l->pages += pages_of (l, pid);
    l->running += of->threads > 1 ? running_threads (l, pid)
                                  : (unsigned) is_running (of->state);
}

/* ---- who belongs to it ---- */

/* "12 345 6 "; what no space follows is cut off, and another's. */
static void add_numbers (const char *text, struct pids *into)
{
    char *end;

    for (long pid; (pid = strtol (text, &end, 10)) > 0 && *end == ' ';
         text = end)
        pids_add (into, (pid_t) pid);
}

static void add_children (struct look *l, pid_t of)
{
    DIR *tasks = open_tasks (l, of);
    char path[PATH_MAX], text[16384];
    pid_t tid;

    while (tasks && (tid = next_task (tasks))) {
        snprintf (path, sizeof path, "%s/%ld/task/%ld/children", l->root,
                  (long) of, (long) tid);
        if (read_text (l, path, text, sizeof text))
            add_numbers (text, &l->members);
    }
    if (tasks)
        closedir (tasks);
}

static bool is_keeper (const struct process_stat *of)
{
    return strcmp (of->comm, "slotbus-keeper") == 0;
}

/* Grows while it is walked; one that has just ended has no children. */
static void measure_descendants (struct look *l, pid_t keeper)
{
    struct process_stat of;

    add_children (l, keeper);
    for (size_t i = 0; i < l->members.count; i++) {
        pid_t pid = l->members.pid[i];

        if (!stat_of (l, pid, &of) || is_keeper (&of))
            continue;
        add_figures (l, pid, &of);
        add_children (l, pid);
    }
}

/* False: it cannot be looked at. */
static bool measure_cgroup (struct look *l, const char *path)
{
    struct cgroup cgroup;
    struct process_stat of;

    if (!*path || cgroup_open (&cgroup, path))
        return false;
    cgroup_add_own_pids (&cgroup, &l->members);
    cgroup_close (&cgroup);
    for (size_t i = 0; i < l->members.count; i++) {
        pid_t pid = l->members.pid[i];

        if (stat_of (l, pid, &of) && !is_keeper (&of))
            add_figures (l, pid, &of);
    }
    return true;
}

int footprint_measure (const char *proc_root, pid_t keeper, const char *cgroup,
                       struct measured *ret_measured)
{
    struct look l = {.root = proc_root, .members = PIDS_NONE};
    struct process_stat of;

    if (keeper <= 0 || !stat_of (&l, keeper, &of))
        return -1;
    l.ticks = of.waited; // what it started and has reaped
    if (!measure_cgroup (&l, cgroup))
        measure_descendants (&l, keeper);
    pids_free (&l.members);
    *ret_measured = (struct measured){
        .memory_bytes = l.pages * (uint64_t) sysconf (_SC_PAGESIZE),
        .cpu_ms = l.ticks * 1000 / (uint64_t) sysconf (_SC_CLK_TCK),
        .running = l.running,
    };
    return 0;
}
