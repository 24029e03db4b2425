/* SPDX-License-Identifier: MPL-2.0 */
#include "tally.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bus/base.h"
#include "bus/endpoint.h"
#include "bus/proc.h"

enum { TALLY_BYTES = 192 };

static void path_of (const char *folder, char *ret_path)
{
    snprintf (ret_path, PATH_BYTES, "%s/commits", folder);
}

/* Always of the same length for the same boot: it is written over itself. The
 * sum is of little use but to tell a whole line from a torn one. */
static int print (const struct tally *t, uint64_t commits, char *ret_text,
                  size_t size)
{
    return snprintf (ret_text, size,
                     "boot=%s commits=%020" PRIu64 " flushed=%020" PRIu64
                     " sum=%020" PRIu64 "\n",
                     t->boot, commits, t->flushed, commits + t->flushed);
}

uint64_t tally_least (const char *folder)
{
    char path[PATH_BYTES], text[TALLY_BYTES], again[TALLY_BYTES], boot[65];
    struct tally t = {.fd = -1};
    uint64_t commits;

    path_of (folder, path);
    if (read_file (path, text, sizeof text) < 0 ||
        sscanf (text, "boot=%64s commits=%" SCNu64 " flushed=%" SCNu64, t.boot,
                &commits, &t.flushed) != 3)
        return 0;
    print (&t, commits, again, sizeof again);
    if (strcmp (text, again) != 0)
        return 0;
    if (host_boot_id (boot, sizeof boot) == 0 && strcmp (boot, t.boot) == 0)
        return commits;
    return t.flushed;
}

void tally_open (struct tally *t, const char *folder)
{
    char path[PATH_BYTES];

    path_of (folder, path);
    t->flushed = 0;
    t->fd = -1;
    if (host_boot_id (t->boot, sizeof t->boot) == 0)
        t->fd = open (path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

void tally_close (struct tally *t)
{
    if (t->fd >= 0)
        close (t->fd);
    t->fd = -1;
}

void tally_note (struct tally *t, uint64_t commits, bool flushed)
{
    char text[TALLY_BYTES];
    int size;

    if (flushed)
        t->flushed = commits;
    size = print (t, commits, text, sizeof text);
    if (t->fd >= 0 && pwrite (t->fd, text, (size_t) size, 0) != size)
        tally_close (t); // a line of the past is true as well
}
