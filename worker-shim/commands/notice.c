/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/notice.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bus/endpoint.h"
#include "protocol/message.h"

static bool is_trusted (int fd)
{
    struct stat st;

    return fstat (fd, &st) == 0 && S_ISREG (st.st_mode) &&
           (st.st_uid == 0 || st.st_uid == geteuid ()) &&
           !(st.st_mode & (S_IWGRP | S_IWOTH));
}

/* One that does not fit is none: half a command is another one. */
static void read_trusted (const char *path, char *ret_command, size_t size)
{
    int fd = open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    ssize_t n = 0;

    if (fd < 0)
        return;
    if (is_trusted (fd))
        n = read (fd, ret_command, size);
    ret_command[n > 0 && (size_t) n < size ? n : 0] = '\0';
    close (fd);
}

static void ask_broker (char *ret_command, size_t size)
{
    struct endpoint_list to;
    char error[4 * PATH_BYTES], path[PATH_BYTES + 24];
    bool denied;

    if (endpoints_find (&to, &denied, error, sizeof error) ||
        !to.at[0].runtime[0])
        return;
    snprintf (path, sizeof path, "%s/notice_command", to.at[0].runtime);
    read_trusted (path, ret_command, size);
}

char *notice_find (const char *wanted, char *ret_command, size_t size)
{
    const char *said = wanted ? wanted : getenv ("SLOTBUS_NOTICE_COMMAND");

    ret_command[0] = '\0';
    if (said)
        copy_text (ret_command, size, said);
    else
        ask_broker (ret_command, size);
    return ret_command;
}
