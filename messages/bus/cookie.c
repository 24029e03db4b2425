/* SPDX-License-Identifier: MPL-2.0 */
#include "bus/cookie.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bus/base.h"
#include "bus/pids.h"
#include "bus/proc.h"

enum cookie cookie_read (pid_t pid, char ret_cookie[COOKIE_BYTES])
{
    int found = proc_getenv (pid, COOKIE_NAME, ret_cookie, COOKIE_BYTES);

    if (found >= 0)
        return found ? COOKIE_PRESENT : COOKIE_ABSENT;
    if (errno == ENOENT || errno == ESRCH)
        return COOKIE_ABSENT;
    return errno == ENODATA ? COOKIE_NOT_SHOWN : COOKIE_HIDDEN;
}

static bool is_of (const char *cookie, size_t size, const char *broker)
{
    return strlen (broker) == size && strncmp (cookie, broker, size) == 0;
}

bool cookie_parse (const char *cookie, const char *broker, uint64_t *ret_first)
{
    const char *colon = strrchr (cookie, ':');
    unsigned long long first;
    char *end;

    if (!colon || !isdigit ((unsigned char) colon[1]) ||
        (broker && !is_of (cookie, (size_t) (colon - cookie), broker)))
        return false;
    errno = 0;
    first = strtoull (colon + 1, &end, 10);
    if (*end || errno || first == 0)
        return false;
    *ret_first = first;
    return true;
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

static enum cookie look_for (pid_t pid, const char *cookie)
{
    char value[COOKIE_BYTES];
    enum cookie answer = cookie_read (pid, value);

    if (answer == COOKIE_PRESENT && strcmp (value, cookie) != 0)
        return COOKIE_ABSENT;
    if (answer == COOKIE_NOT_SHOWN && has_no_environment (pid))
        return COOKIE_ABSENT;
    return answer;
}

enum cookie cookie_of (pid_t pid, const char *cookie, int64_t since)
{
    if (since > 0 && proc_start (pid) < since)
        return COOKIE_ABSENT;
    return look_for (pid, cookie);
}

bool cookie_is_inherited (pid_t pid, const char *cookie)
{
    for (; pid > 1 && pid != getpid (); pid = proc_parent (pid))
        if (look_for (pid, cookie) == COOKIE_PRESENT)
            return true;
    return false;
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
           (geteuid () == 0 || proc_runs_as (pid, geteuid ()));
}

size_t cookie_count (const char *cookie, int64_t since, bool *ret_unreadable)
{
    struct pids all = PIDS_NONE;
    bool unreadable = !pids_add_all (&all);
    size_t count = 0;

    for (size_t i = 0; i < all.count; i++) {
        enum cookie answer = cookie_of (all.pid[i], cookie, since);

        if (answer == COOKIE_PRESENT)
            count++;
        else if (answer != COOKIE_ABSENT && might_have_it (all.pid[i]))
            unreadable = true;
    }
    pids_free (&all);
    *ret_unreadable = unreadable;
    return count;
}
