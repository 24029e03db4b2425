/* SPDX-License-Identifier: MPL-2.0 */
#include "uplink.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "bus/base.h"
#include "protocol/codec.h"

enum {
    HWM = 100,             // messages; a shim has few in flight
    MESSAGES_A_TURN = 256, // then the rest of the loop has its turn
    RECONNECT_OWN_MS = 10, // a broker of this host: a try costs nothing
    RECONNECT_OWN_MOST_MS = 200,
    RECONNECT_MS = 100,
    RECONNECT_MOST_MS = 5000
};

struct uplink {
    struct reactor *reactor;
    struct endpoints to;
    uplink_fn *fn;
    void *arg;
    void *context;
    void *dealer, *sub;
    struct msg msg; // the one that is being handled
    uint8_t body[MAX_BODY_BYTES];
};

static void *or_abort (void *ptr)
{
    if (ptr)
        return ptr;
    fprintf (stderr, "slotbus: zeromq: %s\n", zmq_strerror (zmq_errno ()));
    abort ();
}

static void set (void *socket, int option, int value)
{
    zmq_setsockopt (socket, option, &value, sizeof value);
}

static void bound (const struct uplink *u, void *socket)
{
    bool own = u->to.runtime[0] != 0;
    int64_t most = MAX_BODY_BYTES;

    zmq_setsockopt (socket, ZMQ_MAXMSGSIZE, &most, sizeof most);
    set (socket, ZMQ_SNDHWM, HWM);
    set (socket, ZMQ_RCVHWM, HWM);
    set (socket, ZMQ_LINGER, 0);
    set (socket, ZMQ_IMMEDIATE, 1);
    set (socket, ZMQ_RECONNECT_IVL, own ? RECONNECT_OWN_MS : RECONNECT_MS);
    set (socket, ZMQ_RECONNECT_IVL_MAX,
         own ? RECONNECT_OWN_MOST_MS : RECONNECT_MOST_MS);
    set (socket, ZMQ_TCP_KEEPALIVE, 1);
    set (socket, ZMQ_TCP_KEEPALIVE_IDLE, 30);
    set (socket, ZMQ_TCP_KEEPALIVE_INTVL, 10);
    set (socket, ZMQ_TCP_KEEPALIVE_CNT, 3);
}

/* One frame into the buffer: its size, -1 if it is too large or there is
 * none. */
static int receive (void *socket, void *buffer, size_t size)
{
    int n = zmq_recv (socket, buffer, size, ZMQ_DONTWAIT);

    return n > (int) size ? -1 : n;
}

static bool more (void *socket)
{
    int flag = 0;
    size_t size = sizeof flag;

    return zmq_getsockopt (socket, ZMQ_RCVMORE, &flag, &size) == 0 && flag;
}

/* A message whose last frame is the body behind the magic; topics are not
 * looked at. False when there is none waiting. */
static bool read_message (struct uplink *u, void *socket, int *ret_size)
{
    int size = receive (socket, u->body, sizeof u->body);
    bool magic = false;

    if (size < 0 && zmq_errno () == EAGAIN)
        return false;
    while (more (socket)) {
        magic = size == 4 && memcmp (u->body, PROTOCOL_MAGIC, 4) == 0;
        size = receive (socket, u->body, sizeof u->body);
    }
    *ret_size = magic ? size : -1;
    return true;
}

static void drain (struct uplink *u, void *socket, bool published)
{
    struct codec_error error;
    int size;

    for (int i = 0; i < MESSAGES_A_TURN && read_message (u, socket, &size);
         i++) {
        if (size < 0 ||
            codec_decode (u->body, (size_t) size, &u->msg, &error) != ERR_NONE)
            continue;
        if (published == (u->msg.verb == VERB_HEALTH))
            u->fn (u->arg, &u->msg);
    }
}

static void on_dealer (void *arg, short events)
{
    struct uplink *u = arg;

    (void) events;
    drain (u, u->dealer, false);
}

static void on_sub (void *arg, short events)
{
    struct uplink *u = arg;

    (void) events;
    drain (u, u->sub, true);
}

static void open_sockets (struct uplink *u)
{
    u->dealer = or_abort (zmq_socket (u->context, ZMQ_DEALER));
    u->sub = or_abort (zmq_socket (u->context, ZMQ_SUB));
    bound (u, u->dealer);
    bound (u, u->sub);
    zmq_setsockopt (u->sub, ZMQ_SUBSCRIBE, "health.", 7);
    // the endpoints were checked: a broker that is away is not an error here
    zmq_connect (u->dealer, u->to.bus);
    zmq_connect (u->sub, u->to.events);
    reactor_add_socket (u->reactor, u->dealer, on_dealer, u);
    reactor_add_socket (u->reactor, u->sub, on_sub, u);
}

static void close_sockets (struct uplink *u, int linger_ms)
{
    reactor_remove_socket (u->reactor, u->dealer);
    reactor_remove_socket (u->reactor, u->sub);
    set (u->dealer, ZMQ_LINGER, linger_ms);
    zmq_close (u->dealer);
    zmq_close (u->sub);
}

struct uplink *uplink_create (struct reactor *r, const struct endpoints *to,
                              uplink_fn *fn, void *arg)
{
    struct uplink *u = xcalloc (1, sizeof *u);

    u->reactor = r;
    u->to = *to;
    u->fn = fn;
    u->arg = arg;
    u->context = or_abort (zmq_ctx_new ());
    zmq_ctx_set (u->context, ZMQ_MAX_SOCKETS, 16);
    open_sockets (u);
    return u;
}

void uplink_destroy (struct uplink *u, int linger_ms)
{
    int error = errno;

    if (u) {
        close_sockets (u, linger_ms);
        zmq_ctx_term (u->context); // waits for linger_ms at most
        free (u);
    }
    errno = error;
}

bool uplink_wait (struct uplink *u, int timeout_ms)
{
    zmq_pollitem_t item = {u->dealer, -1, ZMQ_POLLOUT, 0};

    return zmq_poll (&item, 1, timeout_ms) > 0;
}

int uplink_send (struct uplink *u, enum verb verb, const void *fields)
{
    size_t size = codec_encode (verb, fields, u->body, sizeof u->body);

    if (size == 0)
        return -1;
    if (zmq_send (u->dealer, PROTOCOL_MAGIC, 4, ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0)
        return -1;
    return zmq_send (u->dealer, u->body, size, ZMQ_DONTWAIT) < 0 ? -1 : 0;
}

void uplink_renew (struct uplink *u)
{
    close_sockets (u, 0);
    open_sockets (u);
}
