/* SPDX-License-Identifier: MPL-2.0 */
#include "notice.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bus/base.h"
#include "bus/endpoint.h"
#include "bus/log.h"

void notice_write (const char *runtime, const char *command)
{
    char path[PATH_BYTES + 24];
    bool failed;

    snprintf (path, sizeof path, "%s/notice_command", runtime);
    failed = command[0] ? write_file_atomically (
                              path, command, strlen (command), 0644, false) != 0
                        : unlink (path) != 0 && errno != ENOENT;
    if (failed)
        log_line (LOG_WARNING, "notice   path=\"%s\" error=\"%s\"", path,
                  strerror (errno));
}
