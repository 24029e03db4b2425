/* SPDX-License-Identifier: MPL-2.0 */
#include "herald.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <czmq.h>

#include "bus/base.h"
#include "protocol/codec.h"

enum {
    MAX_TOPICS = 16384,
    MAX_TOPIC_BYTES = 200,    // longer ones hit a defect of libzmq 4.3.4
    MAX_SUBSCRIPTIONS = 1024, // read in one turn
    MAX_REPEATED = 64,        // likewise
    MAX_CAUGHT_UP = 256,      // likewise
    HIGH_WATER = 1000
};

struct topic {
    char name[MAX_TOPIC_BYTES];
    uint64_t published; // rises with every publication
    int64_t sent;       // monotonic ms, newest
    bool wanted;        // by a new subscriber
    bool last;          // it is gone: nothing will follow
    size_t size;
    uint8_t *body; // owned
};

struct herald {
    zsock_t *xpub;
    void *raw;
    uint64_t published;
    size_t count, room;
    struct topic *topics; // owned
    bool behind;          // not all that is wanted was sent yet
    uint8_t body[MAX_BODY_BYTES];
};

struct herald *herald_create (void)
{
    struct herald *h = xcalloc (1, sizeof *h);

    h->xpub = zsock_new (ZMQ_XPUB);
    if (!h->xpub) {
        free (h);
        return NULL;
    }
    zsock_set_xpub_verbose (h->xpub, 1);
    zsock_set_sndtimeo (h->xpub, 0);
    zsock_set_sndhwm (h->xpub, HIGH_WATER);
    zsock_set_rcvhwm (h->xpub, HIGH_WATER);
    zsock_set_maxmsgsize (h->xpub, MAX_BODY_BYTES);
    zsock_set_linger (h->xpub, 0);
    zsock_set_backlog (h->xpub, 1024);
    zsock_set_tcp_keepalive (h->xpub, 1);
    zsock_set_tcp_keepalive_idle (h->xpub, 30);
    zsock_set_tcp_keepalive_intvl (h->xpub, 10);
    zsock_set_tcp_keepalive_cnt (h->xpub, 3);
    h->raw = zsock_resolve (h->xpub);
    return h;
}

void herald_destroy (struct herald *h)
{
    int error = errno;

    if (h) {
        for (size_t i = 0; i < h->count; i++)
            free (h->topics[i].body);
        free (h->topics);
        zsock_destroy (&h->xpub);
        free (h);
    }
    errno = error;
}

int herald_bind (struct herald *h, const char *endpoint)
{
    zsock_set_ipv6 (h->xpub, strncmp (endpoint, "tcp://[", 7) == 0);
    return zmq_bind (h->raw, endpoint);
}

void *herald_socket (struct herald *h)
{
    return h->raw;
}

static void send_topic (struct herald *h, const struct topic *t)
{
    int flags = ZMQ_DONTWAIT | ZMQ_SNDMORE;

    if (zmq_send (h->raw, t->name, strlen (t->name), flags) < 0)
        return;
    zmq_send (h->raw, PROTOCOL_MAGIC, 4, flags);
    zmq_send (h->raw, t->body, t->size, ZMQ_DONTWAIT);
}

static struct topic *find (struct herald *h, const char *name)
{
    for (size_t i = 0; i < h->count; i++)
        if (strcmp (h->topics[i].name, name) == 0)
            return &h->topics[i];
    return NULL;
}

static struct topic *oldest (struct herald *h)
{
    struct topic *found = h->topics;

    for (size_t i = 1; i < h->count; i++)
        if (h->topics[i].published < found->published)
            found = &h->topics[i];
    return found;
}

/* A place for this topic: its own, a new one, or the oldest's. */
static struct topic *place (struct herald *h, const char *name)
{
    struct topic *t = find (h, name);

    if (t)
        return t;
    if (h->count == h->room && h->room < MAX_TOPICS) {
        h->room = h->room ? 2 * h->room : 64;
        h->topics = xrealloc (h->topics, h->room * sizeof *h->topics);
        memset (h->topics + h->count, 0,
                (h->room - h->count) * sizeof *h->topics);
    }
    t = h->count < MAX_TOPICS ? &h->topics[h->count++] : oldest (h);
    free (t->body);
    memset (t, 0, sizeof *t);
    copy_text (t->name, sizeof t->name, name);
    return t;
}

void herald_publish (struct herald *h, const struct publication *p, int64_t now)
{
    size_t size = codec_encode (p->verb, p->fields, h->body, sizeof h->body);
    struct topic *t;

    if (size == 0 || strlen (p->topic) >= MAX_TOPIC_BYTES)
        return;
    t = place (h, p->topic);
    t->body = xrealloc (t->body, size);
    memcpy (t->body, h->body, size);
    t->size = size;
    t->last = p->last;
    t->sent = now;
    t->published = ++h->published;
    send_topic (h, t);
}

/* 01 and a prefix: subscribed; 00 and a prefix: no more. */
static void note_subscription (struct herald *h, const uint8_t *bytes,
                               size_t size)
{
    if (size == 0 || bytes[0] != 1)
        return;
    for (size_t i = 0; i < h->count; i++) {
        struct topic *t = &h->topics[i];

        if (strlen (t->name) >= size - 1 &&
            memcmp (t->name, bytes + 1, size - 1) == 0)
            t->wanted = true;
    }
}

static bool read_subscription (struct herald *h)
{
    zmq_msg_t frame;
    bool there;

    zmq_msg_init (&frame);
    there = zmq_msg_recv (&frame, h->raw, ZMQ_DONTWAIT) >= 0;
    if (there)
        note_subscription (h, zmq_msg_data (&frame), zmq_msg_size (&frame));
    zmq_msg_close (&frame);
    return there;
}

size_t herald_catch_up (struct herald *h)
{
    size_t sent = 0;

    for (unsigned i = 0; i < MAX_SUBSCRIPTIONS && read_subscription (h); i++)
        ;
    h->behind = false;
    for (size_t i = 0; i < h->count; i++) {
        if (!h->topics[i].wanted)
            continue;
        if (sent == MAX_CAUGHT_UP) {
            h->behind = true;
            break;
        }
        h->topics[i].wanted = false;
        send_topic (h, &h->topics[i]);
        sent++;
    }
    return sent;
}

bool herald_is_behind (const struct herald *h)
{
    return h->behind;
}

/* The place is filled by the one that came in last. */
static void forget (struct herald *h, struct topic *t)
{
    struct topic *end = &h->topics[--h->count];

    free (t->body);
    *t = *end;
    memset (end, 0, sizeof *end);
}

void herald_repeat (struct herald *h, int64_t every, int64_t now)
{
    unsigned sent = 0;

    for (size_t i = h->count; i-- > 0 && sent < MAX_REPEATED;) {
        struct topic *t = &h->topics[i];

        if (now - t->sent < every)
            continue;
        send_topic (h, t);
        t->sent = now;
        sent++;
        if (t->last)
            forget (h, t);
    }
}
