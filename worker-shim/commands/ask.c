/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/ask.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "bus/base.h"
#include "bus/lock.h"
#include "commands/command.h"
#include "commands/say.h"
#include "protocol/codec.h"

enum { ANSWER_MS = 10000, ABSENT_MS = 2000, LOOK_MS = 200 };

struct ask {
    struct endpoints to;
    void *context, *socket;
    struct msg answer;
    uint8_t body[MAX_BODY_BYTES];
};

int ask_where (struct endpoints *ret_endpoints)
{
    char error[4 * PATH_BYTES];
    bool denied;

    if (endpoints_find (ret_endpoints, &denied, error, sizeof error) == 0)
        return 0;
    return say_failure (denied ? EXIT_NOT_ALLOWED : EXIT_NO_BROKER, "%s",
                        error);
}

static struct ask *open_socket (int type, int *ret_status)
{
    struct ask *a = xcalloc (1, sizeof *a);
    int64_t most = MAX_BODY_BYTES;
    int linger = 0, retry = 20, retry_most = 500;

    *ret_status = ask_where (&a->to);
    if (*ret_status) {
        free (a);
        return NULL;
    }
    a->context = zmq_ctx_new ();
    a->socket = a->context ? zmq_socket (a->context, type) : NULL;
    if (!a->socket) {
        *ret_status =
            say_failure (EXIT_OTHER, "zeromq: %s", zmq_strerror (zmq_errno ()));
        ask_close (a);
        return NULL;
    }
    zmq_setsockopt (a->socket, ZMQ_MAXMSGSIZE, &most, sizeof most);
    zmq_setsockopt (a->socket, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt (a->socket, ZMQ_RECONNECT_IVL, &retry, sizeof retry);
    zmq_setsockopt (a->socket, ZMQ_RECONNECT_IVL_MAX, &retry_most,
                    sizeof retry_most);
    return a;
}

void ask_close (struct ask *a)
{
    if (!a)
        return;
    if (a->socket)
        zmq_close (a->socket);
    if (a->context)
        zmq_ctx_term (a->context);
    free (a);
}

struct ask *ask_open (int *ret_status)
{
    struct ask *a = open_socket (ZMQ_DEALER, ret_status);

    if (a)
        zmq_connect (a->socket, a->to.bus); // checked by endpoints_find ()
    return a;
}

const struct msg *ask_answer (const struct ask *a)
{
    return &a->answer;
}

/* 1: one more frame is in the body, its size in *ret_size (-1: too large). */
static int read_frame (struct ask *a, int *ret_size, bool *ret_more)
{
    size_t size = sizeof (int);
    int flag = 0, n;

    n = zmq_recv (a->socket, a->body, sizeof a->body, ZMQ_DONTWAIT);
    if (n < 0)
        return 0;
    zmq_getsockopt (a->socket, ZMQ_RCVMORE, &flag, &size);
    *ret_size = n > (int) sizeof a->body ? -1 : n;
    *ret_more = flag != 0;
    return 1;
}

/* A whole message: 1 and decoded, 0 none is there, -1 none of ours. */
static int read_message (struct ask *a)
{
    struct codec_error error;
    bool rest = true, magic = false;
    int size = -1;

    if (!read_frame (a, &size, &rest))
        return 0;
    while (rest) {
        magic = size == 4 && memcmp (a->body, PROTOCOL_MAGIC, 4) == 0;
        if (!read_frame (a, &size, &rest))
            return 0;
    }
    if (!magic || size < 0)
        return -1;
    return codec_decode (a->body, (size_t) size, &a->answer, &error) ? -1 : 1;
}

/* 1 something is there, 0 not until `until`, -1 interrupted. */
static int wait_until (struct ask *a, int64_t until)
{
    zmq_pollitem_t item = {a->socket, -1, ZMQ_POLLIN, 0};
    int64_t left = until < 0 ? -1 : until - clock_monotonic_ms ();

    if (until >= 0 && left < 0)
        left = 0;
    return zmq_poll (&item, 1, (long) left);
}

static bool absent (const struct ask *a)
{
    char path[PATH_BYTES + 16];

    if (!a->to.runtime[0])
        return false;
    snprintf (path, sizeof path, "%s/broker.lock", a->to.runtime);
    return lock_query (path) == LOCK_FREE;
}

static int no_answer (const struct ask *a)
{
    if (absent (a))
        return say_failure (EXIT_NO_BROKER,
                            "no broker runs at %s: start slotbus-broker",
                            a->to.bus);
    return say_failure (EXIT_NO_BROKER, "no answer from the broker at %s",
                        a->to.bus);
}

/* The answer within the time that it is given: the longer, if a broker is
 * there; one that has just died may be about to return. */
static int wait_answer (struct ask *a)
{
    int64_t start = clock_monotonic_ms (), now = start;

    while (now - start < ANSWER_MS) {
        int rc = wait_until (a, now + LOOK_MS);

        if (rc > 0 && read_message (a) > 0)
            return 1;
        now = clock_monotonic_ms ();
        if (rc == 0 && now - start > ABSENT_MS && absent (a))
            return 0;
    }
    return 0;
}

int ask_call (struct ask *a, enum verb verb, const void *fields,
              enum verb wanted)
{
    size_t size = codec_encode (verb, fields, a->body, sizeof a->body);

    if (size == 0)
        return say_failure (EXIT_BUG, "%s cannot be encoded", verb_name (verb));
    if (zmq_send (a->socket, PROTOCOL_MAGIC, 4, ZMQ_SNDMORE) < 0 ||
        zmq_send (a->socket, a->body, size, 0) < 0)
        return no_answer (a);
    if (!wait_answer (a))
        return no_answer (a);
    if (a->answer.verb == wanted)
        return 0;
    if (a->answer.verb == VERB_ERROR)
        return say_refusal (&a->answer.error);
    return say_failure (EXIT_BUG, "the broker answered %s with %s",
                        verb_name (verb), verb_name (a->answer.verb));
}

struct ask *ask_listen (const char *topic_prefix, int *ret_status)
{
    struct ask *a = open_socket (ZMQ_SUB, ret_status);

    if (a) {
        zmq_setsockopt (a->socket, ZMQ_SUBSCRIBE, topic_prefix,
                        strlen (topic_prefix));
        zmq_connect (a->socket, a->to.events);
    }
    return a;
}

int ask_next (struct ask *a, int64_t deadline)
{
    for (;;) {
        int rc = wait_until (a, deadline);

        if (rc <= 0)
            return 0;
        if (read_message (a) > 0)
            return 1;
    }
}
