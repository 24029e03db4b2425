/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/ask.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

#include "bus/base.h"
#include "bus/lock.h"
#include "commands/command.h"
#include "commands/say.h"
#include "link.h"

enum { ANSWER_MS = 10000, ABSENT_MS = 2000, LOOK_MS = 200, SHARE_MS = 2000 };

struct ask {
    struct endpoint_list to;
    unsigned at; // whom of them it asks now
    void *context, *socket;
    struct link_message in;
};

int ask_where (struct endpoint_list *ret_list)
{
    char error[4 * PATH_BYTES];
    bool denied;

    if (endpoints_find (ret_list, &denied, error, sizeof error) == 0)
        return 0;
    return say_failure (denied ? EXIT_NOT_ALLOWED : EXIT_NO_BROKER, "%s",
                        error);
}

int64_t ask_share_ms (const struct endpoint_list *to, int64_t all_ms)
{
    int64_t share = all_ms / to->count;

    return to->count > 1 && share > SHARE_MS ? SHARE_MS : share;
}

/* 0, or -1: ZeroMQ has no more of them. */
static int connect_socket (struct ask *a)
{
    const struct endpoints *to = &a->to.at[a->at];

    a->socket = link_socket (a->context, ZMQ_DEALER, to);
    return a->socket ? zmq_connect (a->socket, to->bus) : -1;
}

struct ask *ask_open (int *ret_status)
{
    struct ask *a = xcalloc (1, sizeof *a);

    *ret_status = ask_where (&a->to);
    if (*ret_status) {
        free (a);
        return NULL;
    }
    a->context = zmq_ctx_new ();
    if (!a->context || connect_socket (a)) {
        *ret_status =
            say_failure (EXIT_OTHER, "zeromq: %s", zmq_strerror (zmq_errno ()));
        ask_close (a);
        return NULL;
    }
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

const struct msg *ask_answer (const struct ask *a)
{
    return &a->in.msg;
}

/* Of a broker of this host it can be told that it does not run. */
static bool absent (const struct ask *a)
{
    const char *runtime = a->to.at[0].runtime;
    char path[PATH_BYTES + 16];

    if (!runtime[0])
        return false;
    snprintf (path, sizeof path, "%s/broker.lock", runtime);
    return lock_query (path) == LOCK_FREE;
}

static int no_answer (const struct ask *a)
{
    char names[1024];

    endpoints_text (&a->to, names, sizeof names);
    if (absent (a))
        return say_failure (EXIT_NO_BROKER,
                            "no broker runs at %s: start slotbus-broker",
                            names);
    return say_failure (EXIT_NO_BROKER, "no answer from the broker at %s",
                        names);
}

/* Something to read within LOOK_MS, or by `until`. */
static bool is_readable (struct ask *a, int64_t until)
{
    zmq_pollitem_t item = {a->socket, -1, ZMQ_POLLIN, 0};
    int64_t left = until - clock_monotonic_ms ();

    if (left > LOOK_MS)
        left = LOOK_MS;
    return zmq_poll (&item, 1, left > 0 ? (long) left : 0) > 0;
}

/* 1 answered, 0 not by `until`, -1 there is no broker. One that has just died
 * may be about to return. */
static int wait_answer (struct ask *a, int64_t asked, int64_t until)
{
    int64_t now;

    do {
        if (is_readable (a, until) && link_receive (a->socket, &a->in) > 0)
            return 1;
        now = clock_monotonic_ms ();
        if (now - asked > ABSENT_MS && absent (a))
            return -1;
    } while (now < until);
    return 0;
}

/* Asked again elsewhere it is the same question: nothing counts up, and a KILL
 * has its id. */
static int ask_next_one (struct ask *a)
{
    zmq_close (a->socket);
    a->at = (a->at + 1) % a->to.count;
    return connect_socket (a);
}

/* Each broker of the list in turn, and around again. 0, or an exit status. */
int ask_any (struct ask *a, enum verb verb, const void *fields)
{
    int64_t asked = clock_monotonic_ms (), now = asked;
    int64_t share = ask_share_ms (&a->to, ANSWER_MS);
    int rc;

    for (;;) {
        if (link_send (a->socket, &a->in, verb, fields) && errno == EMSGSIZE)
            return say_failure (EXIT_BUG, "%s cannot be encoded",
                                verb_name (verb));
        rc = wait_answer (a, asked, now + share);
        now = clock_monotonic_ms ();
        if (rc > 0)
            return 0;
        if (rc < 0 || now - asked >= ANSWER_MS || ask_next_one (a))
            return no_answer (a);
    }
}

int ask_wants (const struct ask *a, enum verb verb, enum verb wanted)
{
    if (a->in.msg.verb == wanted)
        return 0;
    if (a->in.msg.verb == VERB_ERROR)
        return say_refusal (&a->in.msg.error);
    return say_failure (EXIT_BUG, "the broker answered %s with %s",
                        verb_name (verb), verb_name (a->in.msg.verb));
}

int ask_call (struct ask *a, enum verb verb, const void *fields,
              enum verb wanted)
{
    int status = ask_any (a, verb, fields);

    return status ? status : ask_wants (a, verb, wanted);
}

int ask_try (struct ask *a, enum verb verb, const void *fields,
             enum verb wanted, int64_t within_ms)
{
    int64_t until = clock_monotonic_ms () + within_ms;

    if (absent (a) || link_send (a->socket, &a->in, verb, fields))
        return -1;
    do {
        if (is_readable (a, until) && link_receive (a->socket, &a->in) > 0)
            return a->in.msg.verb == wanted ? 0 : -1;
    } while (clock_monotonic_ms () < until);
    return -1;
}
