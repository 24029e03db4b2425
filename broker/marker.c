/* SPDX-License-Identifier: MPL-2.0 */
#include "marker.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bus/base.h"
#include "bus/endpoint.h"

enum { MARKER_BYTES = 512 };

static const char FORMAT[] = "# slotbus: that this folder holds a state, and "
                             "how far it has come. Do not remove.\n"
                             "version=1\n"
                             "broker=%s\n"
                             "epoch=%" PRIu64 "\n"
                             "token_mark=%" PRIu64 "\n"
                             "number_mark=%" PRIu64 "\n"
                             "open=%d\n";

static void path_of (const char *folder, char *ret_path)
{
    snprintf (ret_path, PATH_BYTES, "%s/INITIALISED", folder);
}

static uint64_t checksum (const char *text, size_t size)
{
    uint64_t sum = 0xcbf29ce484222325u;

    for (size_t i = 0; i < size; i++)
        sum = (sum ^ (unsigned char) text[i]) * 0x100000001b3u;
    return sum;
}

/* The whole text, the checksum's line included. */
static size_t print (const struct marker *m, char *ret_text, size_t size)
{
    int used = snprintf (ret_text, size, FORMAT, m->broker, m->epoch,
                         m->token_mark, m->number_mark, m->open);

    used +=
        snprintf (ret_text + used, size - (size_t) used,
                  "check=%016" PRIx64 "\n", checksum (ret_text, (size_t) used));
    return (size_t) used;
}

static bool parse (const char *text, struct marker *ret_marker)
{
    struct marker m = {0};
    int is_open;
    const char *at = strstr (text, "\nversion=1\n");

    if (!at ||
        sscanf (at,
                "\nversion=1\nbroker=%32[0-9a-f]\nepoch=%" SCNu64
                "\ntoken_mark=%" SCNu64 "\nnumber_mark=%" SCNu64 "\nopen=%d\n",
                m.broker, &m.epoch, &m.token_mark, &m.number_mark,
                &is_open) != 5)
        return false;
    m.open = is_open != 0;
    *ret_marker = m;
    return true;
}

/* Printing again what was parsed compares all of it, the checksum too. */
enum marker_state marker_read (const char *folder, struct marker *ret_marker)
{
    char path[PATH_BYTES], text[MARKER_BYTES], again[MARKER_BYTES];
    struct marker m;

    path_of (folder, path);
    if (read_file (path, text, sizeof text) < 0)
        return errno == ENOENT ? MARKER_ABSENT : MARKER_UNREADABLE;
    if (!parse (text, &m))
        return MARKER_DAMAGED;
    print (&m, again, sizeof again);
    if (strcmp (text, again) != 0)
        return MARKER_DAMAGED;
    *ret_marker = m;
    return MARKER_GOOD;
}

int marker_write (const char *folder, const struct marker *marker)
{
    char path[PATH_BYTES], text[MARKER_BYTES];
    size_t size = print (marker, text, sizeof text);

    path_of (folder, path);
    return write_file_atomically (path, text, size, 0600, 1);
}

int marker_overwrite (const char *folder, const struct marker *marker)
{
    char path[PATH_BYTES], text[MARKER_BYTES];
    size_t size = print (marker, text, sizeof text);
    int fd, rc, error;

    path_of (folder, path);
    fd = open (path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    rc =
        write_all (fd, text, size) || ftruncate (fd, (off_t) size) || fsync (fd)
            ? -1
            : 0;
    error = errno;
    close (fd);
    errno = error;
    return rc;
}

bool marker_reached (const struct marker *m, const struct meta_record *meta)
{
    return strcmp (m->broker, meta->broker) == 0 && meta->epoch >= m->epoch &&
           meta->token_mark >= m->token_mark &&
           meta->number_mark >= m->number_mark;
}

bool marker_covers (const struct marker *m, const struct meta_record *meta)
{
    return strcmp (m->broker, meta->broker) == 0 && m->epoch >= meta->epoch &&
           m->token_mark >= meta->token_mark &&
           m->number_mark >= meta->number_mark;
}
