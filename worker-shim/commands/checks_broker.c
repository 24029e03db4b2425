/* SPDX-License-Identifier: MPL-2.0 */
/* checks_broker.c - which broker is ours, and does it answer?
 *
 * Not by ask.h: here nothing is said on stderr, silence is a finding, and two
 * seconds are all it gets for everything that is wanted of it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "bus/base.h"
#include "bus/endpoint.h"
#include "bus/lock.h"
#include "bus/proc.h"
#include "bus/version.h"
#include "commands/checks.h"
#include "link.h"

/* A HEALTH that did not change is as old as the interval at which it is
 * repeated; a clock that is off by less than the other is not worth a word. */
enum { ANSWER_MS = 2000, HEALTH_AGE_MS = 30000, CLOCK_MS = 10000 };

struct probe {
    const struct endpoints *to;
    void *context, *bus, *events; // NULL: none could be opened
    bool remote;
    int64_t asked_at;
    struct link_message in; // as it comes; copied below when it is wanted
    struct msg_status_ok status;
    struct msg_error error;
    struct msg_broker broker;
    enum verb answer; // STATUS_OK, ERROR; VERB_NONE: none came
    int64_t round_trip_ms;
    bool broker_heard, health_heard;
    int64_t ahead_ms; // of our clock: the broker's, at least
};

/* ---- asking ---- */

static void *open_socket (struct probe *p, int type, const char *endpoint)
{
    void *socket = link_socket (p->context, type, p->to);

    if (!socket)
        return NULL;
    if (type == ZMQ_SUB) {
        zmq_setsockopt (socket, ZMQ_SUBSCRIBE, "broker", 6);
        if (p->remote)
            zmq_setsockopt (socket, ZMQ_SUBSCRIBE, "health.", 7);
    }
    if (zmq_connect (socket, endpoint) == 0)
        return socket;
    zmq_close (socket);
    return NULL;
}

static void open_probe (struct probe *p, void *context,
                        const struct endpoints *to)
{
    struct msg_status all;

    p->to = to;
    p->remote = !to->runtime[0];
    p->context = context;
    p->bus = open_socket (p, ZMQ_DEALER, to->bus);
    p->events = open_socket (p, ZMQ_SUB, to->events);
    if (!p->bus)
        return;
    message_init_fields (&all, VERB_STATUS);
    p->asked_at = clock_monotonic_ms ();
    (void) link_send (p->bus, &p->in, VERB_STATUS, &all);
}

static void close_probe (struct probe *p)
{
    if (p->bus)
        zmq_close (p->bus);
    if (p->events)
        zmq_close (p->events);
}

/* How far another clock is ahead (behind: negative) of ours at least, when
 * what it stamped may be as old as HEALTH_AGE_MS. */
static int64_t least_ahead (uint64_t at_ms)
{
    int64_t ahead = (int64_t) at_ms - clock_wall_ms ();

    if (ahead > 0)
        return ahead;
    return ahead < -HEALTH_AGE_MS ? ahead + HEALTH_AGE_MS : 0;
}

/* Of several hosts the one whose clock is nearest: which of them is the
 * broker's nobody says. It is not ours: that is stamped here. */
static void take_health (struct probe *p, const struct msg_health *h)
{
    int64_t ahead = least_ahead (h->at_ms);
    char own[65];

    host_name (own, sizeof own);
    if (h->at_ms == 0 || strcmp (h->host, own) == 0)
        return;
    if (!p->health_heard || llabs (ahead) < llabs (p->ahead_ms))
        p->ahead_ms = ahead;
    p->health_heard = true;
}

static void take_message (struct probe *p)
{
    const struct msg *m = &p->in.msg;

    if (m->verb == VERB_HEALTH)
        take_health (p, &m->health);
    if (m->verb == VERB_BROKER) {
        p->broker = m->broker;
        p->broker_heard = true;
    }
    if (m->verb != VERB_STATUS_OK && m->verb != VERB_ERROR)
        return;
    p->answer = m->verb;
    p->round_trip_ms = clock_monotonic_ms () - p->asked_at;
    if (m->verb == VERB_ERROR)
        p->error = m->error;
    else
        p->status = m->status_ok;
}

static bool complete (const struct probe *p)
{
    return p->answer && p->broker_heard && (p->health_heard || !p->remote);
}

static bool all_complete (const struct probe *p, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (!complete (&p[i]))
            return false;
    return true;
}

static void hear (struct probe *p, void *socket)
{
    if (socket && link_receive (socket, &p->in) > 0)
        take_message (p);
}

/* All at once: the time that is given does not grow with their number. */
static void hear_all (struct probe *p, unsigned count)
{
    int64_t until = clock_monotonic_ms () + ANSWER_MS, left;
    zmq_pollitem_t items[2 * MAX_ENDPOINTS];
    int n = 0;

    for (unsigned i = 0; i < count; i++) {
        if (p[i].bus)
            items[n++] = (zmq_pollitem_t){p[i].bus, -1, ZMQ_POLLIN, 0};
        if (p[i].events)
            items[n++] = (zmq_pollitem_t){p[i].events, -1, ZMQ_POLLIN, 0};
    }
    while (!all_complete (p, count) &&
           (left = until - clock_monotonic_ms ()) > 0) {
        zmq_poll (items, n, (long) left);
        for (unsigned i = 0; i < count; i++) {
            hear (&p[i], p[i].bus);
            hear (&p[i], p[i].events);
        }
    }
}

/* ---- where ---- */

static bool is_set (const char *name)
{
    const char *value = getenv (name);

    return value && *value;
}

static const char *why_there (const struct endpoints *to)
{
    if (is_set ("SLOTBUS_BROKER"))
        return "by SLOTBUS_BROKER";
    if (is_set ("SLOTBUS_RUNTIME_DIR"))
        return "by SLOTBUS_RUNTIME_DIR";
    if (strncmp (to->runtime, "/tmp/", 5) == 0)
        return "the first found: under /tmp";
    if (strncmp (to->runtime, "/run/slotbus", 13) == 0)
        return "the first found: the system's";
    return "the first found: the user's";
}

static void say_where (const struct report *r, const struct endpoints *to)
{
    if (to->runtime[0])
        report_ok (r, "broker", "%s (%s): its socket may be opened", to->bus,
                   why_there (to));
    else
        report_note (r, "broker",
                     "keep it within a network where everybody may speak and "
                     "read",
                     "%s (%s): over tcp, in plain", to->bus, why_there (to));
}

/* endpoints_find () says what to do in the same sentence: here that stands
 * behind it. A sentence that does not end so is about a setting. */
static void say_nowhere (const struct report *r, bool denied, const char *error)
{
    const char *advice = strstr (error, ": start slotbus-broker");

    if (denied)
        report_fail (r, "broker",
                     "sudo usermod -aG slotbus \"$USER\", and log in anew; or "
                     "unset what points there",
                     "%s", error);
    else if (advice)
        report_no_answer (r, "broker",
                          "start slotbus-broker, or set SLOTBUS_BROKER to "
                          "where one runs",
                          "%.*s", (int) (advice - error), error);
    else
        report_fail (r, "broker",
                     "set SLOTBUS_BROKER and SLOTBUS_RUNTIME_DIR right, or "
                     "unset them",
                     "%s", error);
}

/* ---- its lock ---- */

struct holder {
    enum lock_answer lock;
    long pid; // as it wrote it there; 0 = not known
    char state[32];
};

static void ask_lock (const struct endpoints *to, struct holder *ret_holder)
{
    char path[PATH_BYTES + 16], text[32] = "";

    *ret_holder = (struct holder){.lock = LOCK_UNKNOWN};
    if (!to->runtime[0])
        return;
    snprintf (path, sizeof path, "%s/broker.lock", to->runtime);
    ret_holder->lock = lock_query (path);
    if (read_file (path, text, sizeof text) > 0)
        ret_holder->pid = atol (text);
    process_state (ret_holder->pid, ret_holder->state,
                   sizeof ret_holder->state);
}

static void say_lock (const struct report *r, const struct endpoints *to,
                      const struct holder *h)
{
    if (h->lock == LOCK_HELD)
        report_ok (r, "broker lock", "held by pid %ld", h->pid);
    else if (h->lock == LOCK_FREE)
        report_no_answer (r, "broker lock", "start slotbus-broker",
                          "nobody holds %s/broker.lock: what listened at %s "
                          "has ended",
                          to->runtime, to->bus);
    else
        report_note (r, "broker lock", "chmod a+r it, as its owner",
                     "%s/broker.lock cannot be asked: a broker that has died "
                     "is not told from a silent one",
                     to->runtime);
}

/* ---- what it says ---- */

static void say_silence (const struct report *r, const struct probe *p,
                         const struct holder *h, bool spared)
{
    char remedy[160] = "slotbus-broker's log says what it is doing; start it "
                       "anew: leases survive that";
    const char *is = h->lock == LOCK_HELD ? ": it is " : "";
    const char *state = h->lock == LOCK_HELD ? h->state : "";

    if (h->lock == LOCK_HELD && strcmp (h->state, "stopped") == 0)
        snprintf (remedy, sizeof remedy, "kill -CONT %ld", h->pid);
    else if (h->lock == LOCK_FREE)
        snprintf (remedy, sizeof remedy, "start slotbus-broker");
    else if (p->remote)
        snprintf (remedy, sizeof remedy,
                  "see that the name is right, that slotbus-broker runs there, "
                  "and that no firewall stands between");
    if (spared)
        report_note (r, "broker answer", remedy,
                     "no answer from %s within %d s; another one answers",
                     p->to->bus, ANSWER_MS / 1000);
    else
        report_no_answer (r, "broker answer", remedy,
                          "no answer from %s within %d s%s%s", p->to->bus,
                          ANSWER_MS / 1000, is, state);
}

static void say_refusal_of (const struct report *r, const struct probe *p)
{
    enum err e = err_of_name (p->error.error);

    report_fail (r, "broker answer",
                 e == ERR_BAD_VERSION
                     ? "install the same version of slotbus and slotbus-broker"
                     : "its configuration says who may ask (uids, roles)",
                 "%s (%s) %s", e == ERR_COUNT ? "refused" : err_text (e),
                 p->error.error, p->error.detail);
}

static void say_health (const struct report *r, const struct msg_status_ok *s)
{
    if (s->disk_full)
        report_fail (r, "broker state",
                     "free space on the disk of its state folder",
                     "its disk is full: it grants nothing");
    else if (s->learning)
        report_note (r, "broker state", "wait: it ends by itself",
                     "it lost its state and learns what is held: it grants "
                     "nothing yet");
    else if (s->effective < s->max_slots)
        report_note (r, "broker state", "slotbus health",
                     "%s: %" PRIu64 " of %" PRIu64
                     " slots may be given out (%s)",
                     s->level, s->effective, s->max_slots, s->effective_cause);
    else
        report_ok (r, "broker state",
                   "%s: %" PRIu64 " of %" PRIu64 " slots in use", s->level,
                   s->in_use, s->max_slots);
}

static void say_version (const struct report *r, const struct probe *p)
{
    if (!p->broker_heard)
        report_note (r, "broker version",
                     "see that the endpoint of its events can be reached too",
                     "nothing was published on %s", p->to->events);
    else if (strcmp (p->broker.version, SLOTBUS_VERSION) != 0)
        report_note (r, "broker version", "install the same version of both",
                     "it is %s, we are " SLOTBUS_VERSION,
                     p->broker.version[0] ? p->broker.version : "unknown");
    else
        report_ok (r, "broker version", "%s, as we are", p->broker.version);
}

static void say_clock (const struct report *r, const struct probe *p)
{
    if (!p->remote || !p->health_heard)
        return;
    if (llabs (p->ahead_ms) > CLOCK_MS)
        report_note (r, "broker clock", "run an NTP client on both hosts",
                     "its wall clock is %lld s %s ours at least: the times "
                     "shown are wrong, leases are not",
                     llabs (p->ahead_ms) / 1000,
                     p->ahead_ms > 0 ? "ahead of" : "behind");
    else
        report_ok (r, "broker clock", "its wall clock agrees with ours");
}

static void say_answer (const struct report *r, const struct probe *p)
{
    const struct msg_status_ok *s = &p->status;

    if (p->answer == VERB_ERROR) {
        say_refusal_of (r, p);
        return;
    }
    report_ok (r, "broker answer",
               "after %lld ms: broker %s, epoch %" PRIu64 ", policy %s",
               (long long) p->round_trip_ms, s->broker, s->epoch, s->policy);
    say_health (r, s);
    say_version (r, p);
    say_clock (r, p);
}

/* `spared`: another of the list answers, so that this one is not missed. */
static void say_all (const struct report *r, const struct probe *p, bool spared)
{
    struct holder holder;

    say_where (r, p->to);
    ask_lock (p->to, &holder);
    if (!p->remote)
        say_lock (r, p->to, &holder);
    if (p->answer)
        say_answer (r, p);
    else
        say_silence (r, p, &holder, spared);
}

static void check_list (const struct report *r, const struct endpoint_list *to)
{
    struct probe *p = xcalloc (to->count, sizeof *p);
    void *context = zmq_ctx_new ();
    bool answered = false;

    for (unsigned i = 0; i < to->count; i++)
        open_probe (&p[i], context, &to->at[i]);
    hear_all (p, to->count);
    for (unsigned i = 0; i < to->count; i++)
        answered = answered || p[i].answer;
    for (unsigned i = 0; i < to->count; i++) {
        say_all (r, &p[i], answered);
        close_probe (&p[i]);
    }
    zmq_ctx_term (context);
    free (p);
}

void check_broker (const struct report *r)
{
    char error[4 * PATH_BYTES];
    struct endpoint_list to;
    bool denied;

    if (endpoints_find (&to, &denied, error, sizeof error))
        say_nowhere (r, denied, error);
    else
        check_list (r, &to);
}
