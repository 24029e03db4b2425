/* SPDX-License-Identifier: MPL-2.0 */
#include "cookie.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bus/base.h"
#include "bus/proc.h"
#include "pids.h"

/* Entries come NUL-terminated and may be megabytes: compared as they pass.
 * Nothing at all is read from a zombie, a kernel thread, a process without an
 * environment, and one in the midst of exec (), which shows its own later. */
static enum cookie scan_environment (int fd, const char *entry)
{
    size_t size = strlen (entry), at = 0;
    bool differs = false, empty = true;
    char chunk[4096];
    ssize_t n;

    while ((n = read (fd, chunk, sizeof chunk)) > 0) {
        empty = false;
        for (ssize_t i = 0; i < n; i++) {
            char c = chunk[i];

            if (c == 0 && !differs && at == size)
                return COOKIE_PRESENT;
            differs = c != 0 && (differs || c != entry[at]);
            at = c == 0 ? 0 : at + 1;
        }
    }
    if (n < 0)
        return errno == ESRCH ? COOKIE_ABSENT : COOKIE_UNKNOWN;
    return empty ? COOKIE_UNKNOWN : COOKIE_ABSENT;
}

/* Fields 50 and 51 of /proc/PID/stat, env_start and env_end: equal when there
 * are no entries, 0 in the midst of exec (). Source: proc(5). */
static bool has_no_environment (pid_t pid)
{
    char path[64], text[1024];
    unsigned long start, end;
    char *at;

    snprintf (path, sizeof path, "/proc/%ld/stat", (long) pid);
    if (read_file (path, text, sizeof text) < 0)
        return true;
    at = strrchr (text, ')');
    for (int field = 2; at && field < 50; field++)
        at = strchr (at + 1, ' ');
    return at && sscanf (at, "%lu %lu", &start, &end) == 2 && start == end &&
           end != 0;
}

static enum cookie read_cookie (pid_t pid, const char *cookie)
{
    char path[64], entry[128];
    enum cookie answer;
    int fd;

    snprintf (path, sizeof path, "/proc/%ld/environ", (long) pid);
    snprintf (entry, sizeof entry, COOKIE_NAME "=%s", cookie);
    fd = open (path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == ESRCH ? COOKIE_ABSENT
                                                 : COOKIE_UNKNOWN;
    answer = scan_environment (fd, entry);
    close (fd);
    return answer == COOKIE_UNKNOWN && has_no_environment (pid) ? COOKIE_ABSENT
                                                                : answer;
}

enum cookie cookie_of (pid_t pid, const char *cookie, int64_t since)
{
    if (since > 0 && proc_start (pid) < since)
        return COOKIE_ABSENT;
    return read_cookie (pid, cookie);
}

bool cookie_is_inherited (pid_t pid, const char *cookie)
{
    for (; pid > 1 && pid != getpid (); pid = proc_parent (pid))
        if (read_cookie (pid, cookie) == COOKIE_PRESENT)
            return true;
    return false;
}

/* The four numbers of "Uid:" (real, effective, saved, file system), which
 * anybody may read; the owner of /proc/PID is root where a process may not be
 * traced. */
static bool runs_as (pid_t pid, uid_t uid)
{
    char path[64], text[4096];
    unsigned long ids[3];
    const char *at;

    snprintf (path, sizeof path, "/proc/%ld/status", (long) pid);
    if (read_file (path, text, sizeof text) < 0)
        return false;
    at = strstr (text, "\nUid:");
    if (!at || sscanf (at + 5, "%lu %lu %lu", &ids[0], &ids[1], &ids[2]) != 3)
        return false;
    return ids[0] == uid || ids[1] == uid || ids[2] == uid;
}

/* Kernel threads and zombies show no memory (all zeros in /proc/PID/statm),
 * but neither does a process whose first thread has ended before the others;
 * each thread is a link of the folder task. */
static bool is_a_program (pid_t pid)
{
    char path[64], text[128];
    struct stat task;

    snprintf (path, sizeof path, "/proc/%ld/statm", (long) pid);
    if (read_file (path, text, sizeof text) <= 0)
        return false;
    if (strncmp (text, "0 ", 2) != 0)
        return true;
    snprintf (path, sizeof path, "/proc/%ld/task", (long) pid);
    return stat (path, &task) == 0 && task.st_nlink > 3;
}

static bool is_ancestor (pid_t pid)
{
    pid_t above = getpid ();

    while (above > 1 && above != pid)
        above = proc_parent (above);
    return above == pid;
}

/* What this process descends from, init at least, is no part of a tree that
 * this process is not in. */
static bool might_have_it (pid_t pid)
{
    return is_a_program (pid) && !is_ancestor (pid) &&
           (geteuid () == 0 || runs_as (pid, geteuid ()));
}

size_t cookie_count (const char *cookie, int64_t since, bool *ret_unreadable)
{
    struct pids all = PIDS_NONE;
    bool unreadable = false;
    size_t count = 0;

    pids_add_all (&all);
    for (size_t i = 0; i < all.count; i++) {
        enum cookie answer = cookie_of (all.pid[i], cookie, since);

        if (answer == COOKIE_PRESENT)
            count++;
        else if (answer == COOKIE_UNKNOWN && might_have_it (all.pid[i]))
            unreadable = true;
    }
    pids_free (&all);
    *ret_unreadable = unreadable;
    return count;
}
