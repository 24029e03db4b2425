/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/jobserver.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bus/base.h"

/* Out of the way of descriptors that scripts choose by number. */
enum { FROM = 100 };

static int moved (int fd)
{
    int high = fcntl (fd, F_DUPFD, FROM);

    close (fd);
    return high;
}

static int fill (int fd, unsigned count)
{
    for (; count > 0; count--)
        if (write_all (fd, "+", 1))
            return -1;
    return 0;
}

int jobserver_offer (unsigned slots)
{
    char flags[96];
    int ends[2];

    if (pipe (ends))
        return -1;
    ends[0] = moved (ends[0]);
    ends[1] = moved (ends[1]);
    if (ends[0] < 0 || ends[1] < 0 || fill (ends[1], slots - 1))
        return -1;
    snprintf (flags, sizeof flags, " -j%u --jobserver-auth=%d,%d", slots,
              ends[0], ends[1]);
    return setenv ("MAKEFLAGS", flags, 1) ||
                   setenv ("CARGO_MAKEFLAGS", flags, 1)
               ? -1
               : 0;
}
