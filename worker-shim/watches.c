/* SPDX-License-Identifier: MPL-2.0 */
#include "watches.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <zmq.h>

#include "bus/base.h"
#include "bus/log.h"
#include "bus/proc.h"

struct watch {
    struct watch *next;
    struct watches *all;
    struct who who;
    int fd;
};

struct watches {
    struct reactor *reactor;
    watches_fn *gone;
    void *arg;
    struct watch *first;
};

struct watches *watches_create (struct reactor *r, watches_fn *gone, void *arg)
{
    struct watches *w = xcalloc (1, sizeof *w);

    w->reactor = r;
    w->gone = gone;
    w->arg = arg;
    return w;
}

static struct watch **find (struct watches *w, struct who who)
{
    struct watch **at = &w->first;

    while (*at && ((*at)->who.pid != who.pid || (*at)->who.start != who.start))
        at = &(*at)->next;
    return at;
}

static void take_out (struct watches *w, struct watch **at)
{
    struct watch *watch = *at;

    *at = watch->next;
    reactor_remove_fd (w->reactor, watch->fd);
    close (watch->fd);
    free (watch);
}

void watches_destroy (struct watches *w)
{
    int error = errno;

    if (!w)
        return;
    while (w->first)
        take_out (w, &w->first);
    free (w);
    errno = error;
}

static void on_end (void *arg, short events)
{
    struct watch *watch = arg;
    struct watches *w = watch->all;
    struct who who = watch->who;

    (void) events;
    take_out (w, find (w, who));
    w->gone (w->arg, who);
}

/* No descriptor, no memory: as out of memory. To take it for gone would end
 * all its agents; not to see it go would hold its slots for ever. */
static _Noreturn void cannot_watch (struct who who)
{
    log_line (LOG_ERROR, "watch pid=%ld error=\"%s\"", (long) who.pid,
              strerror (errno));
    abort ();
}

void watches_add (struct watches *w, struct who who)
{
    struct watch *watch;
    int fd;

    if (*find (w, who))
        return;
    fd = proc_open (who.pid, who.start);
    if (fd < 0 && errno != ESRCH)
        cannot_watch (who);
    if (fd < 0) {
        w->gone (w->arg, who);
        return;
    }
    watch = xcalloc (1, sizeof *watch);
    *watch = (struct watch){w->first, w, who, fd};
    w->first = watch;
    reactor_add_fd (w->reactor, fd, ZMQ_POLLIN, on_end, watch);
}

void watches_remove (struct watches *w, struct who who)
{
    struct watch **at = find (w, who);

    if (*at)
        take_out (w, at);
}

int watches_signal (struct who who, int number)
{
    int fd = proc_open (who.pid, who.start), rc;

    if (fd < 0)
        return -1;
    rc = (int) syscall (SYS_pidfd_send_signal, fd, number, NULL, 0);
    close (fd);
    return rc;
}
