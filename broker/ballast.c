/* SPDX-License-Identifier: MPL-2.0 */
#include "ballast.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "bus/base.h"

enum { BALLAST_BYTES = 1 << 20, LOW_BYTES = 2 << 20 };

struct ballast {
    char *folder, *path;
    bool there, low;
};

/* Written, not only reserved: what a file system promises without writing
 * (holes, compression) is not space. */
static int fill (int fd)
{
    static const char zeros[65536];

    for (unsigned i = 0; i < BALLAST_BYTES / sizeof zeros; i++)
        if (write_all (fd, zeros, sizeof zeros))
            return -1;
    return fsync (fd);
}

static bool whole (const char *path)
{
    struct stat st;

    return lstat (path, &st) == 0 && S_ISREG (st.st_mode) &&
           st.st_size == BALLAST_BYTES;
}

static bool make (const char *path)
{
    int fd, rc;

    if (whole (path))
        return true;
    unlink (path);
    fd = open (path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    rc = fill (fd);
    close (fd);
    if (rc)
        unlink (path);
    return rc == 0;
}

/* What is left for us: root may use what is reserved for it. */
static uint64_t free_bytes (const char *folder)
{
    struct statvfs fs;

    if (statvfs (folder, &fs))
        return UINT64_MAX; // not known: the commits will say
    return (uint64_t) (geteuid () == 0 ? fs.f_bfree : fs.f_bavail) *
           fs.f_frsize;
}

struct ballast *ballast_create (const char *folder)
{
    struct ballast *b = xcalloc (1, sizeof *b);

    b->folder = xstrdup (folder);
    b->path = xasprintf ("%s/ballast", folder);
    ballast_tend (b);
    return b;
}

void ballast_destroy (struct ballast *b)
{
    int error = errno;

    if (b) {
        free (b->folder);
        free (b->path);
        free (b);
    }
    errno = error;
}

bool ballast_drop (struct ballast *b)
{
    bool dropped = b->there && unlink (b->path) == 0;

    b->there = false;
    b->low = true;
    return dropped;
}

/* Made only where LOW_BYTES stay free beside it: else it would be made and
 * dropped in turns. */
void ballast_tend (struct ballast *b)
{
    uint64_t left = free_bytes (b->folder);

    if (!b->there && (whole (b->path) || left >= BALLAST_BYTES + LOW_BYTES)) {
        b->there = make (b->path);
        left = free_bytes (b->folder);
    }
    b->low = !b->there || left < LOW_BYTES;
}

bool ballast_low (const struct ballast *b)
{
    return b->low;
}
