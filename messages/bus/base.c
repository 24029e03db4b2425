/* SPDX-License-Identifier: MPL-2.0 */
#include "bus/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* No formatting here: there is no memory to do it with. */
static void *or_abort (void *ptr)
{
    static const char text[] = "out of memory\n";

    if (ptr)
        return ptr;
    (void) !write (STDERR_FILENO, text, sizeof text - 1);
    abort ();
}

void *xmalloc (size_t size)
{
    return or_abort (malloc (size ? size : 1));
}

void *xcalloc (size_t count, size_t size)
{
    return or_abort (calloc (count ? count : 1, size ? size : 1));
}

void *xrealloc (void *ptr, size_t size)
{
    return or_abort (realloc (ptr, size ? size : 1));
}

char *xstrdup (const char *text)
{
    return or_abort (strdup (text));
}

char *xasprintf (const char *format, ...)
{
    char *text = NULL;
    va_list args;
    int size;

    va_start (args, format);
    size = vasprintf (&text, format, args);
    va_end (args);
    return or_abort (size < 0 ? NULL : text);
}

static int64_t read_clock (clockid_t id)
{
    struct timespec t;

    clock_gettime (id, &t);
    return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t clock_monotonic_ms (void)
{
    return read_clock (CLOCK_MONOTONIC);
}

int64_t clock_boottime_ms (void)
{
    return read_clock (CLOCK_BOOTTIME);
}

int64_t clock_wall_ms (void)
{
    return read_clock (CLOCK_REALTIME);
}

uint64_t random_u64 (void)
{
    uint64_t value = 0;

    while (value == 0) {
        ssize_t n = getrandom (&value, sizeof value, 0);

        if (n == (ssize_t) sizeof value)
            continue;
        if (n < 0 && errno != EINTR)
            abort (); // a guessable nonce or session id is worse than none
        value = 0;
    }
    return value;
}

int write_all (int fd, const void *data, size_t size)
{
    const char *at = data;

    while (size > 0) {
        ssize_t n = write (fd, at, size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        at += n;
        size -= (size_t) n;
    }
    return 0;
}

ssize_t read_file (const char *path, char *ret_text, size_t size)
{
    size_t used = 0;
    ssize_t n = 1;
    int fd = open (path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (fd < 0)
        return -1;
    while (n != 0 && used + 1 < size) {
        n = read (fd, ret_text + used, size - 1 - used);
        if (n > 0)
            used += (size_t) n;
        else if (n < 0 && errno != EINTR)
            break;
    }
    if (n < 0) {
        int error = errno;

        close (fd);
        errno = error;
        return -1;
    }
    close (fd);
    ret_text[used] = 0;
    return (ssize_t) used;
}

/* After a rename the name itself is durable only with its folder. */
static int flush_folder (const char *path)
{
    char *folder = xstrdup (path);
    char *slash = strrchr (folder, '/');
    int fd, rc = -1;

    if (slash == folder)
        slash[1] = 0;
    else if (slash)
        *slash = 0;
    fd = open (slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        rc = fsync (fd);
        close (fd);
    }
    free (folder);
    return rc;
}

static int fill_file (const char *path, const void *data, size_t size,
                      mode_t mode, int flush)
{
    int fd, error = 0;

    unlink (path); // left by a crash, or laid there by somebody else
    fd = open (path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return -1;
    if (fchmod (fd, mode) || write_all (fd, data, size) ||
        (flush && fsync (fd)))
        error = errno;
    if (close (fd) && !error)
        error = errno;
    errno = error;
    return error ? -1 : 0;
}

int write_file_atomically (const char *path, const void *data, size_t size,
                           mode_t mode, int flush)
{
    char *draft = xasprintf ("%s.tmp", path);
    int rc = fill_file (draft, data, size, mode, flush);

    if (rc == 0)
        rc = rename (draft, path);
    if (rc) {
        int error = errno;

        unlink (draft);
        errno = error;
    } else if (flush)
        rc = flush_folder (path);
    free (draft);
    return rc;
}

int make_folders (const char *path, mode_t mode)
{
    char *part = xstrdup (path);
    char *slash = part;
    int error = 0;

    while (!error && (slash = strchr (slash + 1, '/'))) {
        *slash = 0;
        if (mkdir (part, mode) && errno != EEXIST) {
            struct stat st;

            error = errno; // a read-only parent may well exist already
            if (stat (part, &st) == 0 && S_ISDIR (st.st_mode))
                error = 0;
        }
        *slash = '/';
    }
    free (part);
    errno = error;
    return error ? -1 : 0;
}
