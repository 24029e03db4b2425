/* SPDX-License-Identifier: MPL-2.0 */
#include "bus/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bus/base.h"

struct stat_line {
    char state;
    pid_t parent;
    int threads;
    int64_t start;
};

static void proc_path (char *ret_path, size_t size, pid_t pid, const char *what)
{
    snprintf (ret_path, size, "/proc/%ld/%s", (long) pid, what);
}

/* A process may vanish between open and read (ESRCH), or before (ENOENT). */
static ssize_t read_proc (pid_t pid, const char *what, char *ret_text,
                          size_t size)
{
    char path[64];
    ssize_t n;

    proc_path (path, sizeof path, pid, what);
    n = read_file (path, ret_text, size);
    if (n < 0 && errno == ENOENT)
        errno = ESRCH;
    return n;
}

/* The name in parentheses may hold spaces and parentheses itself: fields are
 * counted behind the last one. Source: proc(5). */
static int read_stat (pid_t pid, struct stat_line *ret_line)
{
    char text[1024];
    char *at;
    struct stat_line line;
    long parent, threads;
    long long start;

    if (read_proc (pid, "stat", text, sizeof text) < 0)
        return -1;
    at = strrchr (text, ')');
    if (!at || sscanf (at + 1,
                       " %c %ld %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s"
                       " %*s %*s %*s %*s %ld %*s %lld",
                       &line.state, &parent, &threads, &start) != 4) {
        errno = ESRCH;
        return -1;
    }
    line.parent = (pid_t) parent;
    line.threads = (int) threads;
    line.start = start;
    *ret_line = line;
    return 0;
}

int64_t proc_start (pid_t pid)
{
    struct stat_line line;

    return read_stat (pid, &line) ? -1 : line.start;
}

pid_t proc_parent (pid_t pid)
{
    struct stat_line line;

    return read_stat (pid, &line) ? -1 : line.parent;
}

/* Opened first, compared after: if the pid changed hands in between, the
 * start time read is not the one wanted. */
int proc_open (pid_t pid, int64_t start)
{
    int fd = -1;

    if (pid > 0)
        fd = (int) syscall (SYS_pidfd_open, pid, 0);
    else
        errno = ESRCH;
    if (fd < 0) {
        if (errno == EINVAL) // a thread's id
            errno = ESRCH;
        return -1;
    }
    if (start != 0 && proc_start (pid) != start) {
        close (fd);
        errno = ESRCH;
        return -1;
    }
    return fd;
}

/* A zombie with more than one thread is a process whose first thread has
 * ended: the others run on. */
bool proc_alive (pid_t pid, int64_t start)
{
    struct stat_line line;

    if (pid <= 0 || read_stat (pid, &line))
        return false;
    if (start != 0 && line.start != start)
        return false;
    return (line.state != 'Z' && line.state != 'X') || line.threads > 1;
}

bool proc_runs_as (pid_t pid, uid_t uid)
{
    char text[4096];
    unsigned ids[4];
    const char *at;

    if (read_proc (pid, "status", text, sizeof text) < 0)
        return false;
    at = strstr (text, "\nUid:");
    if (!at || sscanf (at, "\nUid: %u %u %u %u", &ids[0], &ids[1], &ids[2],
                       &ids[3]) != 4)
        return true; // that cannot be told
    return ids[0] == uid || ids[1] == uid || ids[2] == uid || ids[3] == uid;
}

static void cut_newline (char *text)
{
    text[strcspn (text, "\n")] = 0;
}

int proc_comm (pid_t pid, char *ret_name, size_t size)
{
    if (read_proc (pid, "comm", ret_name, size) < 0)
        return -1;
    cut_newline (ret_name);
    return 0;
}

ssize_t proc_cmdline (pid_t pid, char *ret_line, size_t size)
{
    return read_proc (pid, "cmdline", ret_line, size);
}

/* Looks for NAME=value among NUL-terminated entries as the bytes come by: an
 * environment may be megabytes long. */
struct env_search {
    const char *name;
    size_t name_size, matched;
    bool skipping, inside; // of another entry; of the value
    char *ret_value;
    size_t size, used;
};

static void env_entry (struct env_search *s)
{
    s->matched = 0;
    s->skipping = false;
}

static void env_take (struct env_search *s, char c)
{
    if (s->used + 1 < s->size)
        s->ret_value[s->used++] = c;
}

/* True when the value is complete. */
static bool env_byte (struct env_search *s, char c)
{
    if (c == 0) {
        if (s->inside)
            return true;
        env_entry (s);
    } else if (s->inside)
        env_take (s, c);
    else if (s->skipping)
        return false;
    else if (s->matched == s->name_size && c == '=')
        s->inside = true;
    else if (s->matched < s->name_size && c == s->name[s->matched])
        s->matched++;
    else
        s->skipping = true;
    return false;
}

static int env_scan (int fd, struct env_search *s)
{
    bool empty = true;
    char chunk[4096];
    ssize_t n;

    while ((n = read (fd, chunk, sizeof chunk)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        empty = false;
        for (ssize_t i = 0; i < n; i++)
            if (env_byte (s, chunk[i]))
                return 1;
    }
    if (empty)
        errno = ENODATA;
    return empty ? -1 : s->inside; // the last entry may lack its NUL
}

int proc_getenv (pid_t pid, const char *name, char *ret_value, size_t size)
{
    struct env_search search = {.name = name,
                                .name_size = strlen (name),
                                .ret_value = ret_value,
                                .size = size};
    char path[64];
    int fd, rc, error;

    proc_path (path, sizeof path, pid, "environ");
    fd = open (path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    rc = env_scan (fd, &search);
    error = errno;
    close (fd);
    errno = error;
    if (rc == 1)
        ret_value[search.used] = 0;
    return rc;
}

static int copy_id (const char *text, char *ret_id, size_t size)
{
    if (strlen (text) >= size) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy (ret_id, text);
    return 0;
}

int host_boot_id (char *ret_id, size_t size)
{
    char text[64];

    if (read_file ("/proc/sys/kernel/random/boot_id", text, sizeof text) < 0)
        return -1;
    cut_newline (text);
    return copy_id (text, ret_id, size);
}

/* 32 hexadecimal digits, not all zero; an image not yet started has
 * "uninitialized", or nothing, there. Source: machine-id(5). */
static int read_id (const char *path, char *ret_id, size_t size)
{
    char text[64];

    if (read_file (path, text, sizeof text) < 0)
        return -1;
    cut_newline (text);
    if (strspn (text, "0123456789abcdef") != 32 || text[32] ||
        strspn (text, "0") == 32) {
        errno = EINVAL;
        return -1;
    }
    return copy_id (text, ret_id, size);
}

/* Several may come first at once: link () lets one of them win. */
static int make_id (const char *path)
{
    char *draft = xasprintf ("%s.%ld", path, (long) getpid ());
    char text[40];
    int rc;

    snprintf (text, sizeof text, "%016llx%016llx\n",
              (unsigned long long) random_u64 (),
              (unsigned long long) random_u64 ());
    rc = write_file_atomically (draft, text, strlen (text), 0644, 1);
    if (rc == 0 && link (draft, path) && errno != EEXIST)
        rc = -1;
    unlink (draft);
    free (draft);
    return rc;
}

int host_machine_id (const char *state_folder, char *ret_id, size_t size)
{
    char *own;
    int rc;

    if (read_id ("/etc/machine-id", ret_id, size) == 0 ||
        read_id ("/var/lib/dbus/machine-id", ret_id, size) == 0)
        return 0;
    own = xasprintf ("%s/host-id", state_folder);
    rc = read_id (own, ret_id, size);
    if (rc && errno == ENOENT && make_id (own) == 0)
        rc = read_id (own, ret_id, size);
    free (own);
    return rc;
}

void host_name (char *ret_name, size_t size)
{
    const char *given = getenv ("SLOTBUS_HOST");

    if (given && *given)
        snprintf (ret_name, size, "%s", given);
    else if (gethostname (ret_name, size))
        snprintf (ret_name, size, "localhost");
    ret_name[size - 1] = 0;
}
