/* SPDX-License-Identifier: MPL-2.0 */
#include "bus/reactor.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <zmq.h>

#include "bus/base.h"

/* fn NULL: removed. It stays in its place until no turn walks the table, so
 * that a handler may remove anything, and a descriptor number that is closed
 * and opened again within a turn never gets the old one's events. */
struct entry {
    void *socket; // borrowed; NULL: a descriptor
    int fd;
    short events;
    reactor_fn *fn;
    void *arg;
};

struct reactor {
    struct entry *entries;
    zmq_pollitem_t *items; // as large as entries; rebuilt every turn
    size_t count, room;
    bool walking, holes;
};

struct reactor *reactor_create (void)
{
    return xcalloc (1, sizeof (struct reactor));
}

void reactor_destroy (struct reactor *r)
{
    int error = errno;

    if (r) {
        free (r->entries);
        free (r->items);
        free (r);
    }
    errno = error;
}

static void add (struct reactor *r, struct entry entry)
{
    if (r->count == r->room) {
        r->room = r->room ? 2 * r->room : 16;
        r->entries = xrealloc (r->entries, r->room * sizeof *r->entries);
        r->items = xrealloc (r->items, r->room * sizeof *r->items);
    }
    r->entries[r->count++] = entry;
}

static struct entry *find (struct reactor *r, void *socket, int fd)
{
    for (size_t i = 0; i < r->count; i++) {
        struct entry *e = &r->entries[i];

        if (e->fn && e->socket == socket && (socket || e->fd == fd))
            return e;
    }
    return NULL;
}

static void compact (struct reactor *r)
{
    size_t kept = 0;

    for (size_t i = 0; i < r->count; i++)
        if (r->entries[i].fn)
            r->entries[kept++] = r->entries[i];
    r->count = kept;
    r->holes = false;
}

static void drop (struct reactor *r, struct entry *e)
{
    if (!e)
        return;
    e->fn = NULL;
    r->holes = true;
    if (!r->walking)
        compact (r);
}

void reactor_add_fd (struct reactor *r, int fd, short events, reactor_fn *fn,
                     void *arg)
{
    add (r, (struct entry){NULL, fd, events, fn, arg});
}

void reactor_change_fd (struct reactor *r, int fd, short events)
{
    struct entry *e = find (r, NULL, fd);

    if (e)
        e->events = events;
}

void reactor_remove_fd (struct reactor *r, int fd)
{
    drop (r, find (r, NULL, fd));
}

void reactor_add_socket (struct reactor *r, void *zmq_socket, reactor_fn *fn,
                         void *arg)
{
    add (r, (struct entry){zmq_socket, -1, ZMQ_POLLIN, fn, arg});
}

void reactor_remove_socket (struct reactor *r, void *zmq_socket)
{
    drop (r, find (r, zmq_socket, -1));
}

static int wait_ready (struct reactor *r, int timeout_ms)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct entry *e = &r->entries[i];

        r->items[i] = (zmq_pollitem_t){e->socket, e->fd, e->events, 0};
    }
    if (r->count == 0) // zmq_poll () does not wait for nothing
        return poll (NULL, 0, timeout_ms);
    return zmq_poll (r->items, (int) r->count, timeout_ms);
}

/* An entry may have been removed, or have other wishes, since the poll. What
 * was added since lies behind `polled`. The table may move: no pointers. */
static void dispatch (struct reactor *r, size_t polled)
{
    r->walking = true;
    for (size_t i = 0; i < polled; i++) {
        struct entry e = r->entries[i];
        short ready = r->items[i].revents & (e.events | ZMQ_POLLERR);

        if (e.fn && ready)
            e.fn (e.arg, ready);
    }
    r->walking = false;
    if (r->holes)
        compact (r);
}

int reactor_turn (struct reactor *r, int64_t timeout_ms)
{
    int timeout = timeout_ms < 0         ? -1
                  : timeout_ms > INT_MAX ? INT_MAX
                                         : (int) timeout_ms;
    int n = wait_ready (r, timeout);

    if (n < 0)
        return errno == EINTR ? 0 : -1;
    if (n > 0)
        dispatch (r, r->count);
    return 0;
}

int signals_open (int first, ...)
{
    sigset_t set;
    va_list args;

    sigemptyset (&set);
    va_start (args, first);
    for (int number = first; number != 0; number = va_arg (args, int))
        sigaddset (&set, number);
    va_end (args);
    if ((errno = pthread_sigmask (SIG_BLOCK, &set, NULL)))
        return -1;
    return signalfd (-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int signals_read (int signal_fd)
{
    struct signalfd_siginfo info;
    ssize_t n;

    do
        n = read (signal_fd, &info, sizeof info);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t) sizeof info ? (int) info.ssi_signo : 0;
}
