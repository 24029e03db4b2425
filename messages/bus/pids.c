/* SPDX-License-Identifier: MPL-2.0 */
#include "bus/pids.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bus/base.h"
#include "bus/proc.h"

void pids_free (struct pids *p)
{
    free (p->pid);
    free (p->slot);
    *p = PIDS_NONE;
}

/* Where the pid is, or would be put. Half of the slots are free. */
static size_t *find_slot (const struct pids *p, pid_t pid)
{
    size_t last = 2 * p->room - 1;
    size_t at = ((size_t) pid * 2654435761u) & last;

    while (p->slot[at] && p->pid[p->slot[at] - 1] != pid)
        at = (at + 1) & last;
    return &p->slot[at];
}

bool pids_has (const struct pids *p, pid_t pid)
{
    return p->count > 0 && *find_slot (p, pid) != 0;
}

static void grow (struct pids *p)
{
    p->room = p->room ? 2 * p->room : 64;
    p->pid = xrealloc (p->pid, p->room * sizeof *p->pid);
    free (p->slot);
    p->slot = xcalloc (2 * p->room, sizeof *p->slot);
    for (size_t i = 0; i < p->count; i++)
        *find_slot (p, p->pid[i]) = i + 1;
}

void pids_add (struct pids *p, pid_t pid)
{
    if (pid <= 0 || pid == getpid () || pids_has (p, pid))
        return;
    if (p->count == p->room)
        grow (p);
    p->pid[p->count++] = pid;
    *find_slot (p, pid) = p->count;
}

/* Calls for each numbered entry of a folder of /proc; false: no such folder. */
static bool each_number (const char *folder, void (*call) (pid_t, void *),
                         void *arg)
{
    DIR *dir = opendir (folder);
    struct dirent *entry;

    if (!dir)
        return false;
    while ((entry = readdir (dir)))
        if (isdigit ((unsigned char) entry->d_name[0]))
            call ((pid_t) atol (entry->d_name), arg);
    closedir (dir);
    return true;
}

struct reading {
    struct pids *into;
    pid_t of;
};

/* "12 345 6 ": numbers may be cut by the end of a chunk. */
static void add_numbers (int fd, struct pids *into)
{
    char chunk[1024];
    long number = 0;
    ssize_t n;

    while ((n = read (fd, chunk, sizeof chunk)) > 0)
        for (ssize_t i = 0; i < n; i++)
            if (isdigit ((unsigned char) chunk[i]))
                number = number * 10 + (chunk[i] - '0');
            else {
                pids_add (into, (pid_t) number);
                number = 0;
            }
}

static void add_of_thread (pid_t tid, void *arg)
{
    struct reading *r = arg;
    char path[64];
    int fd;

    snprintf (path, sizeof path, "/proc/%ld/task/%ld/children", (long) r->of,
              (long) tid);
    fd = open (path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    add_numbers (fd, r->into);
    close (fd);
}

static void add_if_child (pid_t pid, void *arg)
{
    struct reading *r = arg;

    if (proc_parent (pid) == r->of)
        pids_add (r->into, pid);
}

static bool kernel_lists_children (void)
{
    return access ("/proc/thread-self/children", R_OK) == 0;
}

void pids_add_children (struct pids *p, pid_t of)
{
    struct reading r = {.into = p, .of = of};
    char path[64];

    if (!kernel_lists_children ()) {
        each_number ("/proc", add_if_child, &r);
        return;
    }
    snprintf (path, sizeof path, "/proc/%ld/task", (long) of);
    each_number (path, add_of_thread, &r);
}

static void add_if_parent_is_in (pid_t pid, void *arg)
{
    struct pids *p = arg;

    if (pids_has (p, proc_parent (pid)))
        pids_add (p, pid);
}

void pids_add_descendants_by_parent (struct pids *p)
{
    size_t before;

    do {
        before = p->count;
        each_number ("/proc", add_if_parent_is_in, p);
    } while (p->count != before);
}

void pids_add_descendants (struct pids *p)
{
    if (!kernel_lists_children ()) {
        pids_add_descendants_by_parent (p);
        return;
    }
    for (size_t i = 0; i < p->count; i++) // grows while it is walked
        pids_add_children (p, p->pid[i]);
}

static void add_one (pid_t pid, void *arg)
{
    pids_add (arg, pid);
}

bool pids_add_all (struct pids *p)
{
    return each_number ("/proc", add_one, p);
}

/* -1 in the place of those that are gone, or not ours. Without descriptors
 * left the rest waits for the caller's next pass. */
static size_t open_those (const struct pids *p, int *ret_fds,
                          pids_check *belongs, const void *arg)
{
    size_t i;

    for (i = 0; i < p->count; i++) {
        ret_fds[i] = proc_open (p->pid[i], 0);
        if (ret_fds[i] < 0 && (errno == EMFILE || errno == ENFILE))
            break;
        if (ret_fds[i] >= 0 && !belongs (p->pid[i], arg)) {
            close (ret_fds[i]);
            ret_fds[i] = -1;
        }
    }
    return i;
}

static bool send_all (int pidfd, const int *signals)
{
    bool sent = false;

    for (; *signals; signals++)
        if (syscall (SYS_pidfd_send_signal, pidfd, *signals, NULL, 0) == 0)
            sent = true;
    return sent;
}

size_t pids_signal (const struct pids *p, const int *signals,
                    pids_check *belongs, const void *arg)
{
    int *fds = xcalloc (p->count, sizeof *fds);
    size_t opened = open_those (p, fds, belongs, arg);
    size_t sent = 0;

    for (size_t i = 0; i < opened; i++)
        if (fds[i] >= 0) {
            sent += send_all (fds[i], signals);
            close (fds[i]);
        }
    free (fds);
    return sent;
}

size_t pids_kill_all (pids_check *belongs, const void *arg)
{
    static const int kill_now[] = {SIGKILL, 0};
    struct pids all = PIDS_NONE;
    size_t sent = 0;

    pids_add_all (&all);
    for (size_t i = 0; i < all.count; i++) {
        const struct pids one = {.pid = &all.pid[i], .count = 1};

        if (belongs (all.pid[i], arg))
            sent += pids_signal (&one, kill_now, belongs, arg);
    }
    pids_free (&all);
    return sent;
}
