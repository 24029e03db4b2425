/* SPDX-License-Identifier: MPL-2.0 */
#include "bus/pressure.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { WINDOW_US = 2000000 };

int pressure_watch (const char *path, unsigned stalled_ms)
{
    int fd = open (path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    char trigger[64];
    int error;

    if (fd < 0)
        return -1;
    snprintf (trigger, sizeof trigger, "some %u %u", stalled_ms * 1000,
              (unsigned) WINDOW_US);
    if (write (fd, trigger, strlen (trigger) + 1) >= 0)
        return fd;
    error = errno;
    close (fd);
    errno = error;
    return -1;
}
