/* SPDX-License-Identifier: MPL-2.0 */
#include "watcher.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "bus/base.h"
#include "bus/proc.h"
#include "leftovers.h"

enum {
    LOOK_MS = 100,
    LOOK_MOST_MS = 500, // slots come back within 2 s, with looks to spare
    LOOK_SHARE = 10,    // looking takes at most this part of the time
    ROOM = 64
};

/* On the heap each: the reactor holds a pointer to it. */
struct sentry {
    struct watch_session of;
    int pidfd; // -1: none could be had, asked by pid at every look
    bool gone, told;
};

struct suspect {
    struct leftover leftover;
    int64_t since;  // first seen in LIMBO by us
    unsigned clean; // looks running that found nothing
    bool told;
};

struct watcher {
    struct reactor *reactor; // borrowed
    struct leftovers *leftovers;
    int64_t patience;
    bool synced;
    uint64_t version;
    struct sentry **sentries;
    size_t sentry_count;
    struct suspect *suspects;
    size_t suspect_count;
    int64_t due;
    // what the core and /proc are asked for; kept for their memory
    struct watch_session *sessions;
    size_t session_room;
    struct watch_lease *leases;
    size_t lease_room;
    struct leftover *looks;
};

struct watcher *watcher_create (struct reactor *r, const char *broker_id,
                                const char *runtime)
{
    struct watcher *w = xcalloc (1, sizeof *w);

    w->reactor = r;
    w->leftovers = leftovers_create (broker_id, runtime);
    w->due = INT64_MAX;
    return w;
}

void watcher_set_patience (struct watcher *w, int64_t patience_ms)
{
    w->patience = patience_ms;
}

int64_t watcher_due (const struct watcher *w)
{
    return w->due;
}

/* ---- sessions ---- */

static void put_away (struct watcher *w, struct sentry *s)
{
    if (s->pidfd >= 0) {
        reactor_remove_fd (w->reactor, s->pidfd);
        close (s->pidfd);
    }
    s->pidfd = -1;
}

static void on_end (void *arg, short events)
{
    struct sentry *s = arg;

    (void) events;
    s->gone = true; // its descriptor is put away by who reports it
}

static struct sentry *post (struct watcher *w, const struct watch_session *of)
{
    struct sentry *s = xcalloc (1, sizeof *s);

    s->of = *of;
    s->pidfd = proc_open (of->shim.pid, of->shim.start);
    if (s->pidfd >= 0)
        reactor_add_fd (w->reactor, s->pidfd, ZMQ_POLLIN, on_end, s);
    else
        s->gone = errno == ESRCH;
    return s;
}

static int by_session (const void *a, const void *b)
{
    uint64_t left = ((const struct watch_session *) a)->session;
    uint64_t right = ((const struct watch_session *) b)->session;

    return left < right ? -1 : left > right;
}

static size_t ask_sessions (struct watcher *w, const struct broker *b)
{
    size_t count = broker_watch_sessions (b, w->sessions, w->session_room);

    while (count == w->session_room) { // there may be more
        w->session_room += ROOM;
        w->sessions =
            xrealloc (w->sessions, w->session_room * sizeof *w->sessions);
        count = broker_watch_sessions (b, w->sessions, w->session_room);
    }
    qsort (w->sessions, count, sizeof *w->sessions, by_session);
    return count;
}

static void drop_sentry (struct watcher *w, struct sentry *s)
{
    put_away (w, s);
    free (s);
}

static bool same_session (const struct watch_session *a,
                          const struct watch_session *b)
{
    return a->session == b->session && a->shim.pid == b->shim.pid &&
           a->shim.start == b->shim.start;
}

/* Both lists are in the order of session ids. */
static void sync_sessions (struct watcher *w, const struct broker *b)
{
    size_t wanted = ask_sessions (w, b), at = 0;
    struct sentry **fresh = xcalloc (wanted, sizeof *fresh);

    for (size_t i = 0; i < wanted; i++) {
        const struct watch_session *of = &w->sessions[i];

        while (at < w->sentry_count &&
               w->sentries[at]->of.session < of->session)
            drop_sentry (w, w->sentries[at++]);
        if (at < w->sentry_count && same_session (&w->sentries[at]->of, of))
            fresh[i] = w->sentries[at++];
        else
            fresh[i] = post (w, of);
    }
    while (at < w->sentry_count)
        drop_sentry (w, w->sentries[at++]);
    free (w->sentries);
    w->sentries = fresh;
    w->sentry_count = wanted;
}

static void report_sessions (struct watcher *w, struct broker *b, int64_t now,
                             struct outbox *out)
{
    for (size_t i = 0; i < w->sentry_count; i++) {
        struct sentry *s = w->sentries[i];

        if (!s->gone || s->told)
            continue;
        s->told = true;
        put_away (w, s);
        broker_observe_gone (b, s->of.session, now, out);
    }
}

/* No descriptor was left for it. */
static bool lacks_pidfd (const struct sentry *s)
{
    return s->pidfd < 0 && !s->gone;
}

static void ask_by_pid (struct watcher *w)
{
    for (size_t i = 0; i < w->sentry_count; i++) {
        struct sentry *s = w->sentries[i];

        if (lacks_pidfd (s))
            s->gone = !proc_alive (s->of.shim.pid, s->of.shim.start);
    }
}

/* ---- leases ---- */

static int by_token (const void *a, const void *b)
{
    uint64_t left = ((const struct watch_lease *) a)->token;
    uint64_t right = ((const struct watch_lease *) b)->token;

    return left < right ? -1 : left > right;
}

static size_t ask_leases (struct watcher *w, const struct broker *b)
{
    size_t count = broker_watch_leases (b, w->leases, w->lease_room);

    while (count == w->lease_room) { // there may be more
        w->lease_room += ROOM;
        w->leases = xrealloc (w->leases, w->lease_room * sizeof *w->leases);
        count = broker_watch_leases (b, w->leases, w->lease_room);
    }
    qsort (w->leases, count, sizeof *w->leases, by_token);
    return count;
}

/* Both lists are in the order of tokens. */
static void sync_leases (struct watcher *w, const struct broker *b, int64_t now)
{
    size_t wanted = ask_leases (w, b), at = 0;
    struct suspect *fresh = xcalloc (wanted, sizeof *fresh);

    for (size_t i = 0; i < wanted; i++) {
        uint64_t token = w->leases[i].token;

        while (at < w->suspect_count &&
               w->suspects[at].leftover.lease.token < token)
            at++;
        if (at < w->suspect_count &&
            w->suspects[at].leftover.lease.token == token)
            fresh[i] = w->suspects[at];
        else
            fresh[i].since = now;
        fresh[i].leftover.lease = w->leases[i];
    }
    free (w->suspects);
    w->suspects = fresh;
    w->suspect_count = wanted;
    w->looks = xrealloc (w->looks, (wanted + 1) * sizeof *w->looks);
}

/* A worker inside its supervisor, or what the supervisor does under a plain
 * reservation, has no tree: it is gone when the supervisor is. */
static bool word_holds (const struct watch_lease *lease)
{
    return lease->word && lease->supervisor.pid > 0 &&
           proc_alive (lease->supervisor.pid, lease->supervisor.start);
}

static void take_answer (struct suspect *s, enum left left)
{
    s->leftover.left = left;
    if (left == LEFT_NOTHING && !word_holds (&s->leftover.lease))
        s->clean++;
    else
        s->clean = 0;
}

static void look (struct watcher *w)
{
    if (w->suspect_count == 0)
        return;
    for (size_t i = 0; i < w->suspect_count; i++)
        w->looks[i] = w->suspects[i].leftover;
    leftovers_look (w->leftovers, w->looks, w->suspect_count);
    for (size_t i = 0; i < w->suspect_count; i++)
        take_answer (&w->suspects[i], w->looks[i].left);
}

static void end_leftovers (struct watcher *w, struct suspect *s, int64_t now,
                           struct outbox *out)
{
    size_t ended;

    if (s->leftover.left != LEFT_SOMETHING || now - s->since < w->patience)
        return;
    ended = leftovers_end (w->leftovers, &s->leftover.lease);
    if (ended > 0)
        outbox_journal (out, JOURNAL_WARNING,
                        "leftovers token=%" PRIu64 " ended=%zu",
                        s->leftover.lease.token, ended);
}

static void report_leases (struct watcher *w, struct broker *b, int64_t now,
                           struct outbox *out)
{
    for (size_t i = 0; i < w->suspect_count; i++) {
        struct suspect *s = &w->suspects[i];

        if (s->clean >= 2 && !s->told) {
            s->told = true;
            broker_observe_proven (b, s->leftover.lease.token, now, out);
            leftovers_tidy (w->leftovers, &s->leftover.lease);
        }
        end_leftovers (w, s, now, out);
    }
}

/* ---- turns ---- */

static bool has_to_look (const struct watcher *w)
{
    for (size_t i = 0; i < w->sentry_count; i++)
        if (lacks_pidfd (w->sentries[i]))
            return true;
    return w->suspect_count > 0;
}

static void follow (struct watcher *w, const struct broker *b, int64_t now)
{
    uint64_t version = broker_watch_version (b);

    if (w->synced && version == w->version)
        return;
    w->synced = true;
    w->version = version;
    sync_sessions (w, b);
    sync_leases (w, b, now);
    if (w->due == INT64_MAX && has_to_look (w))
        w->due = now;
}

static int64_t next_look (int64_t now, int64_t took)
{
    int64_t wait = took * LOOK_SHARE;

    if (wait < LOOK_MS)
        wait = LOOK_MS;
    return now + (wait < LOOK_MOST_MS ? wait : LOOK_MOST_MS);
}

static void look_when_due (struct watcher *w, struct broker *b, int64_t now,
                           struct outbox *out)
{
    int64_t before;

    if (now < w->due)
        return;
    before = clock_monotonic_ms ();
    ask_by_pid (w);
    look (w);
    report_leases (w, b, now, out);
    w->due = has_to_look (w) ? next_look (now, clock_monotonic_ms () - before)
                             : INT64_MAX;
}

void watcher_report (struct watcher *w, struct broker *b, int64_t now,
                     struct outbox *out)
{
    follow (w, b, now);
    look_when_due (w, b, now, out);
    report_sessions (w, b, now, out);
    follow (w, b, now); // what was lost just now is looked at soon
}

void watcher_destroy (struct watcher *w)
{
    int error = errno;

    if (!w)
        return;
    for (size_t i = 0; i < w->sentry_count; i++)
        drop_sentry (w, w->sentries[i]);
    leftovers_destroy (w->leftovers);
    free (w->sentries);
    free (w->suspects);
    free (w->sessions);
    free (w->leases);
    free (w->looks);
    free (w);
    errno = error;
}
