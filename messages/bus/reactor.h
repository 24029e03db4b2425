/* SPDX-License-Identifier: MPL-2.0 */
/* reactor.h - the one loop: descriptors and ZeroMQ sockets by zmq_poll
 *
 * Not zloop: that ends on an interrupted poll and runs timers before sockets.
 * There are no timers here; the caller asks its core when something will be
 * due and passes that. Signals are blocked and read by signalfd, as one more
 * descriptor. Handlers may add and remove entries, their own too.
 */
#ifndef SLOTBUS_REACTOR_H
#define SLOTBUS_REACTOR_H

#include <stdbool.h>
#include <stdint.h>
#include <signal.h>

struct reactor;
/* events: ZMQ_POLLIN, ZMQ_POLLOUT, ZMQ_POLLPRI, ZMQ_POLLERR as they came. */
typedef void reactor_fn (void *arg, short events);

struct reactor *reactor_create (void);
void reactor_destroy (struct reactor *r);

/* Watch a descriptor (borrowed: the caller closes it after removing). */
void reactor_add_fd (struct reactor *r, int fd, short events, reactor_fn *fn,
                     void *arg);
void reactor_change_fd (struct reactor *r, int fd, short events);
void reactor_remove_fd (struct reactor *r, int fd);
/* Watch a raw ZeroMQ socket for input (borrowed). */
void reactor_add_socket (struct reactor *r, void *zmq_socket, reactor_fn *fn,
                         void *arg);
void reactor_remove_socket (struct reactor *r, void *zmq_socket);

/* Wait up to timeout_ms (0 = look only, -1 = for ever), call the handlers of
 * what is ready. 0 done (also after EINTR), -1 and errno on a broken poll. */
int reactor_turn (struct reactor *r, int64_t timeout_ms);

/* Block these signals and return a CLOEXEC, non-blocking signalfd for them;
 * -1 and errno. Call before any ZeroMQ context exists, so that its threads
 * inherit the mask. End the list with 0. */
int signals_open (int first, ...);
/* Next signal of it, 0 if none is waiting. */
int signals_read (int signal_fd);

#endif
