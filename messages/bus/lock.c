/* SPDX-License-Identifier: MPL-2.0 */
#include "bus/lock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bus/base.h"

static struct flock whole_file (void)
{
    return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
}

bool lock_is_named (int fd, const char *path)
{
    struct stat open_file, file;

    return fstat (fd, &open_file) == 0 && stat (path, &file) == 0 &&
           open_file.st_dev == file.st_dev && open_file.st_ino == file.st_ino;
}

static int take_once (const char *path, unsigned mode)
{
    struct flock range = whole_file ();
    int fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY,
                   (mode_t) mode);
    int error;

    if (fd < 0)
        return -1;
    if (fcntl (fd, F_OFD_SETLK, &range) == 0)
        return fd;
    error = errno == EACCES ? EAGAIN : errno;
    close (fd);
    errno = error;
    return -1;
}

static void sign (int fd, unsigned mode)
{
    char text[32];
    int size = snprintf (text, sizeof text, "%ld\n", (long) getpid ());

    // for people only: the lock holds whether this works or not
    (void) !fchmod (fd, (mode_t) mode); // whatever the umask was
    (void) !ftruncate (fd, 0);
    (void) !pwrite (fd, text, (size_t) size, 0);
}

int lock_take (const char *path, unsigned mode)
{
    // whoever removes a lock file between our open and our lock leaves us
    // with a lock that nobody else would ever meet
    for (int tries = 0; tries < 100; tries++) {
        int fd = take_once (path, mode);

        if (fd < 0)
            return -1;
        if (lock_is_named (fd, path)) {
            sign (fd, mode);
            return fd;
        }
        close (fd);
    }
    errno = EAGAIN;
    return -1;
}

enum lock_answer lock_query (const char *path)
{
    struct flock range = whole_file ();
    int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    int rc;

    if (fd < 0)
        return errno == ENOENT ? LOCK_FREE : LOCK_UNKNOWN;
    rc = fcntl (fd, F_OFD_GETLK, &range);
    close (fd);
    if (rc < 0)
        return LOCK_UNKNOWN;
    return range.l_type == F_UNLCK ? LOCK_FREE : LOCK_HELD;
}

/* The kernel lists a lock only with the open file that holds it: who merely
 * has the file open, to ask, is not taken for a holder. Source: proc(5). */
static bool locks_through (pid_t pid, const char *fd, const char *file)
{
    char path[300], target[PATH_MAX], info[1024];
    ssize_t n;

    snprintf (path, sizeof path, "/proc/%ld/fd/%s", (long) pid, fd);
    n = readlink (path, target, sizeof target - 1);
    target[n > 0 ? n : 0] = 0;
    if (strcmp (target, file) != 0)
        return false;
    snprintf (path, sizeof path, "/proc/%ld/fdinfo/%s", (long) pid, fd);
    return read_file (path, info, sizeof info) > 0 &&
           strstr (info, "\nlock:") != NULL;
}

bool lock_held_by (pid_t pid, const char *path)
{
    char folder[64], file[PATH_MAX];
    struct dirent *entry;
    bool held = false;
    DIR *list;

    if (!realpath (path, file))
        return false;
    snprintf (folder, sizeof folder, "/proc/%ld/fd", (long) pid);
    list = opendir (folder);
    if (!list)
        return false;
    while (!held && (entry = readdir (list)))
        held = locks_through (pid, entry->d_name, file);
    closedir (list);
    return held;
}
