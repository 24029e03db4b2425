/* SPDX-License-Identifier: MPL-2.0 */
#include "bus/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static struct flock whole_file (void)
{
    return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
}

/* Is this descriptor still what the path names? */
static bool named (int fd, const char *path)
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
        if (named (fd, path)) {
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
