/* SPDX-License-Identifier: MPL-2.0 */
#include "link.h"

#include <errno.h>
#include <string.h>
#include <zmq.h>

#include "protocol/codec.h"

enum {
    RECONNECT_MS = 20, // a person waits
    RECONNECT_MOST_MS = 500,
    HANDSHAKE_MS = 10000,
    HEARTBEAT_MS = 5000,
    SILENCE_MS = 15000,       // a host that answers no heartbeat is gone
    THEIR_SILENCE_MS = 60000, // 65 s is the most that ZMTP can say
    KEEPALIVE_IDLE_S = 30,
    KEEPALIVE_EVERY_S = 10,
    KEEPALIVE_COUNT = 3
};

static void set (void *socket, int option, int value)
{
    zmq_setsockopt (socket, option, &value, sizeof value);
}

static void set_up_tcp (void *socket, int type, const struct endpoints *to)
{
    set (socket, ZMQ_IPV6, strncmp (to->bus, "tcp://[", 7) == 0);
    set (socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
    set (socket, ZMQ_TCP_KEEPALIVE, 1);
    set (socket, ZMQ_TCP_KEEPALIVE_IDLE, KEEPALIVE_IDLE_S);
    set (socket, ZMQ_TCP_KEEPALIVE_INTVL, KEEPALIVE_EVERY_S);
    set (socket, ZMQ_TCP_KEEPALIVE_CNT, KEEPALIVE_COUNT);
    if (type != ZMQ_SUB)
        return;
    set (socket, ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS);
    set (socket, ZMQ_HEARTBEAT_TIMEOUT, SILENCE_MS);
    set (socket, ZMQ_HEARTBEAT_TTL, THEIR_SILENCE_MS);
}

void *link_socket (void *context, int type, const struct endpoints *to)
{
    void *socket = zmq_socket (context, type);
    int64_t most = MAX_BODY_BYTES;

    if (!socket)
        return NULL;
    zmq_setsockopt (socket, ZMQ_MAXMSGSIZE, &most, sizeof most);
    set (socket, ZMQ_LINGER, 0);
    set (socket, ZMQ_RECONNECT_IVL, RECONNECT_MS);
    set (socket, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MOST_MS);
    if (!to->runtime[0])
        set_up_tcp (socket, type, to);
    return socket;
}

/* One frame: its size, 0 if it is too large, -1 if there is none. */
static int frame (void *socket, struct link_message *m, bool *ret_more)
{
    int n = zmq_recv (socket, m->body, sizeof m->body, ZMQ_DONTWAIT), flag = 0;
    size_t size = sizeof flag;

    *ret_more = n >= 0 &&
                zmq_getsockopt (socket, ZMQ_RCVMORE, &flag, &size) == 0 && flag;
    return n > (int) sizeof m->body ? 0 : n;
}

static void keep_topic (struct link_message *m, int size)
{
    size_t n =
        (size_t) size < sizeof m->topic ? (size_t) size : sizeof m->topic - 1;

    memcpy (m->topic, m->body, n);
    m->topic[n] = 0;
}

int link_receive (void *socket, struct link_message *m)
{
    struct codec_error error;
    bool more, magic = false;
    int size = frame (socket, m, &more);

    if (size < 0)
        return 0;
    keep_topic (m, size);
    while (more) {
        magic = size == 4 && memcmp (m->body, PROTOCOL_MAGIC, 4) == 0;
        size = frame (socket, m, &more);
    }
    if (!magic || size <= 0 ||
        codec_decode (m->body, (size_t) size, &m->msg, &error) != ERR_NONE)
        return -1;
    return 1;
}

int link_send (void *socket, struct link_message *m, enum verb verb,
               const void *fields)
{
    size_t size = codec_encode (verb, fields, m->body, sizeof m->body);

    if (size == 0) {
        errno = EMSGSIZE;
        return -1;
    }
    if (zmq_send (socket, PROTOCOL_MAGIC, 4, ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0)
        return -1;
    return zmq_send (socket, m->body, size, ZMQ_DONTWAIT) < 0 ? -1 : 0;
}
