/* SPDX-License-Identifier: MPL-2.0 */
#include "hostlock.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char NAME[] = "slotbus-broker"; // behind a NUL byte

static socklen_t address (struct sockaddr_un *ret_address)
{
    memset (ret_address, 0, sizeof *ret_address);
    ret_address->sun_family = AF_UNIX;
    memcpy (ret_address->sun_path + 1, NAME, sizeof NAME - 1);
    return offsetof (struct sockaddr_un, sun_path) + sizeof NAME;
}

static int new_socket (void)
{
    return socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* Connecting tells who listens (SO_PEERCRED). */
static void ask_holder (pid_t *ret_pid, uid_t *ret_uid)
{
    struct sockaddr_un to;
    socklen_t size = address (&to);
    struct ucred who = {0, (uid_t) -1, (gid_t) -1};
    socklen_t who_size = sizeof who;
    int fd = new_socket ();

    if (fd >= 0 && connect (fd, (struct sockaddr *) &to, size) == 0)
        getsockopt (fd, SOL_SOCKET, SO_PEERCRED, &who, &who_size);
    if (fd >= 0)
        close (fd);
    *ret_pid = who.pid;
    *ret_uid = who.uid;
}

int hostlock_take (pid_t *ret_pid, uid_t *ret_uid)
{
    struct sockaddr_un at;
    socklen_t size = address (&at);
    int fd = new_socket (), error;

    if (fd < 0)
        return -1;
    if (bind (fd, (struct sockaddr *) &at, size) == 0 && listen (fd, 8) == 0)
        return fd;
    error = errno;
    close (fd);
    if (error == EADDRINUSE)
        ask_holder (ret_pid, ret_uid);
    errno = error;
    return -1;
}
