/* SPDX-License-Identifier: MPL-2.0 */
#include "uplink.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "bus/base.h"
#include "link.h"

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
    struct endpoint_list to;
    unsigned at; // of them, now
    uplink_fn *fn;
    void *arg;
    void *context;
    void *dealer, *sub;
    struct link_message message; // the one that is being handled
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

const struct endpoints *uplink_to (const struct uplink *u)
{
    return &u->to.at[u->at];
}

static void *open_socket (const struct uplink *u, int type)
{
    bool own = uplink_to (u)->runtime[0] != 0;
    void *socket = or_abort (link_socket (u->context, type, uplink_to (u)));

    set (socket, ZMQ_SNDHWM, HWM);
    set (socket, ZMQ_RCVHWM, HWM);
    set (socket, ZMQ_IMMEDIATE, 1);
    set (socket, ZMQ_RECONNECT_IVL, own ? RECONNECT_OWN_MS : RECONNECT_MS);
    set (socket, ZMQ_RECONNECT_IVL_MAX,
         own ? RECONNECT_OWN_MOST_MS : RECONNECT_MOST_MS);
    return socket;
}

static void drain (struct uplink *u, void *socket, bool published)
{
    const struct msg *msg = &u->message.msg;

    for (int i = 0; i < MESSAGES_A_TURN; i++) {
        int rc = link_receive (socket, &u->message);

        if (rc == 0)
            return;
        if (rc > 0 && published == (msg->verb == VERB_HEALTH))
            u->fn (u->arg, msg);
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
    u->dealer = open_socket (u, ZMQ_DEALER);
    u->sub = open_socket (u, ZMQ_SUB);
    zmq_setsockopt (u->sub, ZMQ_SUBSCRIBE, "health.", 7);
    // the endpoints were checked: a broker that is away is not an error here
    zmq_connect (u->dealer, uplink_to (u)->bus);
    zmq_connect (u->sub, uplink_to (u)->events);
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

struct uplink *uplink_create (struct reactor *r, const struct endpoint_list *to,
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

void uplink_wait (struct uplink *u, int timeout_ms)
{
    for (unsigned tries = 0; tries < u->to.count; tries++) {
        zmq_pollitem_t item = {u->dealer, -1, ZMQ_POLLOUT, 0};

        if (zmq_poll (&item, 1, timeout_ms) > 0)
            return;
        if (u->to.count > 1)
            uplink_renew (u);
    }
}

int uplink_send (struct uplink *u, enum verb verb, const void *fields)
{
    return link_send (u->dealer, &u->message, verb, fields);
}

void uplink_renew (struct uplink *u)
{
    close_sockets (u, 0);
    u->at = (u->at + 1) % u->to.count;
    open_sockets (u);
}
