/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/listen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "bus/base.h"
#include "commands/ask.h"
#include "commands/command.h"
#include "commands/say.h"
#include "link.h"

/* How many topics there are nobody says: a moment without a new one ends
 * listen_once (). */
enum { FIRST_MS = 5000, MORE_MS = 250, SAY_MS = 2000 };

static const char MONITOR[] = "inproc://monitor";

struct listen {
    struct endpoint_list to;
    unsigned at; // which of them, now
    const char *const *prefixes;
    void *context, *socket, *monitor;
    bool connected, said;
    int64_t since;   // that it is not connected
    int64_t next_at; // when the next one of the list gets its turn
    struct gaps *gaps;
    struct link_message in;
    struct heard heard;
};

/* ---- sockets ---- */

/* Whether it is connected only a monitor tells. */
static void *open_monitor (struct listen *l)
{
    int events = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED;
    void *monitor;

    if (zmq_socket_monitor (l->socket, MONITOR, events))
        return NULL;
    monitor = zmq_socket (l->context, ZMQ_PAIR);
    if (monitor)
        zmq_connect (monitor, MONITOR);
    return monitor;
}

static int open_sockets (struct listen *l)
{
    const struct endpoints *to = &l->to.at[l->at];

    l->context = zmq_ctx_new ();
    l->socket = l->context ? link_socket (l->context, ZMQ_SUB, to) : NULL;
    l->monitor = l->socket ? open_monitor (l) : NULL;
    if (!l->monitor)
        return say_failure (EXIT_OTHER, "zeromq: %s",
                            zmq_strerror (zmq_errno ()));
    for (const char *const *p = l->prefixes; *p; p++)
        zmq_setsockopt (l->socket, ZMQ_SUBSCRIBE, *p, strlen (*p));
    zmq_connect (l->socket, to->events); // checked by endpoints_find ()
    l->gaps = gaps_create ();
    l->connected = false;
    l->next_at = clock_monotonic_ms () + ask_share_ms (&l->to, FIRST_MS);
    return 0;
}

static void close_sockets (struct listen *l)
{
    if (l->socket)
        zmq_close (l->socket);
    if (l->monitor)
        zmq_close (l->monitor);
    if (l->context)
        zmq_ctx_term (l->context);
    gaps_destroy (l->gaps);
    l->context = l->socket = l->monitor = l->gaps = NULL;
}

struct listen *listen_open (const char *const *prefixes, int *ret_status)
{
    struct listen *l = xcalloc (1, sizeof *l);

    l->prefixes = prefixes;
    l->since = clock_monotonic_ms ();
    *ret_status = ask_where (&l->to);
    if (*ret_status == 0)
        *ret_status = open_sockets (l);
    if (*ret_status == 0)
        return l;
    listen_close (l);
    return NULL;
}

void listen_close (struct listen *l)
{
    if (l)
        close_sockets (l);
    free (l);
}

/* ---- connected or not ---- */

static void note_connected (struct listen *l, bool connected)
{
    if (connected)
        l->said = false;
    else if (l->connected) {
        l->since = clock_monotonic_ms ();
        l->next_at = l->since + ask_share_ms (&l->to, FIRST_MS);
    }
    l->connected = connected;
}

/* An event is two frames: its number with a value, and the endpoint. */
static void read_monitor (struct listen *l)
{
    uint8_t *frame = l->in.body;
    size_t size = sizeof l->in.body;
    uint16_t event;

    while (zmq_recv (l->monitor, frame, size, ZMQ_DONTWAIT) >= 2) {
        memcpy (&event, frame, sizeof event);
        zmq_recv (l->monitor, frame, size, ZMQ_DONTWAIT);
        note_connected (l, event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
    }
}

static void say_absence (struct listen *l)
{
    char names[1024];

    l->said = true;
    fprintf (stderr, "slotbus: waiting for the broker at %s\n",
             endpoints_text (&l->to, names, sizeof names));
}

/* What is due while it is not connected. Another broker counts on its own. */
static int look_around (struct listen *l, int64_t now)
{
    if (l->connected)
        return 0;
    if (!l->said && now - l->since >= SAY_MS)
        say_absence (l);
    if (l->to.count == 1 || now < l->next_at)
        return 0;
    close_sockets (l);
    l->at = (l->at + 1) % l->to.count;
    return open_sockets (l);
}

static int64_t earlier (int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static long timeout_of (const struct listen *l, int64_t now, int64_t deadline)
{
    int64_t next = deadline;

    if (!l->connected && !l->said)
        next = earlier (next, l->since + SAY_MS);
    if (!l->connected && l->to.count > 1)
        next = earlier (next, l->next_at);
    if (next == INT64_MAX)
        return -1;
    return next > now ? (long) (next - now) : 0;
}

/* ---- messages ---- */

static uint64_t value_of (const struct msg *m, const char *key)
{
    const struct fields *fields = message_fields (m->verb);

    for (unsigned i = 0; i < fields->count; i++) {
        const struct field *f = &fields->at[i];
        const char *at = (const char *) &m->health + f->offset;

        if (strcmp (f->key, key) != 0)
            continue;
        if (f->kind == KIND_BOOL)
            return *(const bool *) at;
        return *(const uint64_t *) at;
    }
    return 0;
}

/* Fills l->heard: false where it is nothing new. */
static bool is_news (struct listen *l)
{
    const struct msg *m = &l->in.msg;
    uint64_t number, missing;

    if (message_fields (m->verb)->from != FROM_TOPIC)
        return false;
    number = value_of (m, "number");
    l->heard = (struct heard){.topic = l->in.topic, .msg = m};
    l->heard.news = gaps_note (l->gaps, l->in.topic, value_of (m, "epoch"),
                               number, value_of (m, "gone"), &missing);
    l->heard.first = number - missing;
    l->heard.last = number - 1;
    return l->heard.news != NEWS_REPEATED;
}

enum { NOTHING = -1, SOMETHING = -2 };

/* Until the deadline: SOMETHING, in l->heard; NOTHING; or an exit status. */
static int hear (struct listen *l, int64_t deadline)
{
    zmq_pollitem_t items[] = {{NULL, -1, ZMQ_POLLIN, 0},
                              {NULL, -1, ZMQ_POLLIN, 0},
                              {NULL, STDOUT_FILENO, 0, 0}};

    for (;;) {
        int64_t now = clock_monotonic_ms ();
        int rc, status = look_around (l, now);

        if (status)
            return status;
        while ((rc = link_receive (l->socket, &l->in)) != 0)
            if (rc > 0 && is_news (l))
                return SOMETHING;
        if (now >= deadline)
            return NOTHING;
        items[0].socket = l->socket;
        items[1].socket = l->monitor;
        zmq_poll (items, 3, timeout_of (l, now, deadline));
        if (items[2].revents & ZMQ_POLLERR)
            return EXIT_OTHER; // nobody reads any more, nor need be told
        read_monitor (l);
    }
}

int listen_once (struct listen *l, listen_fn *fn, void *arg)
{
    int64_t until = clock_monotonic_ms () + FIRST_MS;
    bool any = false;
    char names[1024];
    int status;

    while ((status = hear (l, until)) == SOMETHING) {
        if (l->heard.news != NEWS_FIRST)
            continue;
        status = fn (arg, &l->heard);
        if (status)
            return status;
        any = true;
        until = clock_monotonic_ms () + MORE_MS;
    }
    if (status != NOTHING)
        return status;
    if (!any)
        return say_failure (EXIT_NO_BROKER,
                            "nothing was heard from the broker at %s: is it "
                            "running?",
                            endpoints_text (&l->to, names, sizeof names));
    return 0;
}

int listen_on (struct listen *l, listen_fn *fn, void *arg)
{
    int status = 0;

    while (status == 0) {
        status = hear (l, INT64_MAX);
        if (status == SOMETHING)
            status = fn (arg, &l->heard);
    }
    return status;
}
