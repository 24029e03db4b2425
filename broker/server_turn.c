/* SPDX-License-Identifier: MPL-2.0 */
#include "server_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>
#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#include "access.h"
#include "bus/base.h"
#include "bus/log.h"
#include "bus/reactor.h"
#include "notice.h"

enum {
    BATCH = 1024,
    TEND_MS = 1000,
    CATCH_UP_MS = 5,
    DENIAL_MS = 1000,
    DENIALS_LOGGED = 10,    // in that time
    SEARCHED_AT_ONCE = 128, // processes
    SEARCH_STEP_MS = 20,    // between two steps of one look,
    SEARCH_SAMPLES = 5      // and samples between two looks
};

static void refuse (struct server *s, const struct peer *peer, enum verb verb,
                    enum err error, const char *why)
{
    struct codec_error detail = {.re = verb};

    copy_text (detail.detail, sizeof detail.detail, why);
    front_refuse (s->front, &peer->path, error, &detail);
}

/* Verbs that only a broker or a command's shim says are unknown here. */
static bool is_ours_to_hear (enum verb verb)
{
    const struct fields *fields = message_fields (verb);

    return fields && fields->from == FROM_CLIENT;
}

/* Audited, but nobody fills the log with what it is refused. */
static bool may_log_denial (struct server *s)
{
    if (s->now - s->denied_at >= DENIAL_MS) {
        s->denied_at = s->now;
        s->denied = 0;
    }
    return s->denied++ < DENIALS_LOGGED;
}

static void deny (struct server *s, const struct peer *peer,
                  const struct msg *msg, const char *why)
{
    if (may_log_denial (s))
        log_line (LOG_WARNING,
                  "refused  verb=%s uid=%" PRId32 " pid=%" PRId32
                  " error=NOT_ALLOWED why=\"%s\"",
                  verb_name (msg->verb), (int32_t) peer->uid, peer->pid, why);
    refuse (s, peer, msg->verb, ERR_NOT_ALLOWED, why);
}

static void on_message (void *arg, const struct peer *from,
                        const struct msg *msg)
{
    struct server *s = arg;
    struct peer peer = *from;
    const char *why = "";

    if (!is_ours_to_hear (msg->verb)) {
        refuse (s, &peer, msg->verb, ERR_UNKNOWN_VERB, "not said to a broker");
        return;
    }
    peer.role = access_judge (&s->options->settings, (uint32_t) geteuid (),
                              peer.uid, msg, &why);
    if (peer.role == ROLE_STRANGER)
        deny (s, &peer, msg, why);
    else if (msg->verb == VERB_HISTORY)
        server_ask_history (s, &peer, &msg->history);
    else
        broker_step (s->broker, &peer, msg, random_u64 (), s->now, s->out);
}

/* Where it is a session's, the core says so. */
static void on_malformed (void *arg, const struct peer *from)
{
    struct server *s = arg;

    if (!broker_observe_malformed (s->broker, from, s->now, s->out) &&
        may_log_denial (s))
        log_line (LOG_WARNING,
                  "muted    uid=%" PRId32 " pid=%" PRId32
                  " why=\"ten messages within a minute were none\"",
                  (int32_t) from->uid, from->pid);
}

static int64_t patience (const struct timing *t)
{
    return t->notice + t->grace + t->kill_confirm + t->beat;
}

void server_set_senses (struct server *s)
{
    const struct texts *paths = &s->options->disk_paths;
    const char *list[MAX_DISK_PATHS];

    watcher_set_patience (s->watcher, patience (&s->options->settings.timing));
    for (unsigned i = 0; i < paths->count; i++)
        list[i] = paths->at[i];
    sampler_destroy (s->sampler);
    s->sampler = sampler_create ("/proc", list, paths->count);
    sampler_set_window (s->sampler, s->options->settings.timing.sample / 2);
    unmanaged_destroy (s->unmanaged);
    s->unmanaged = unmanaged_create ("/proc", s->options->settings.unmanaged);
    s->search_due = s->now;
}

static void observe_disk (struct server *s)
{
    if (s->now >= s->tend_due) {
        store_tend (s->store);
        if (!store_full (s->store)) // the state needs the space more
            history_tend (s->history, clock_wall_ms ());
        s->tend_due = s->now + TEND_MS;
    }
    if (store_full (s->store) == s->disk_full)
        return;
    s->disk_full = !s->disk_full;
    broker_observe_disk (s->broker, s->disk_full, s->now, s->out);
}

static void observe_host (struct server *s)
{
    if (s->now < s->sample_due)
        return;
    sampler_sample (s->sampler, s->now, &s->sample);
    broker_observe_sample (s->broker, &s->sample, clock_wall_ms (), s->now,
                           s->out);
    s->sample_due = s->now + broker_sample_interval (s->broker);
    s->stale = true;
}

static bool knows (void *arg, const char *folder)
{
    return broker_knows_project (arg, folder);
}

static bool supervises (void *arg, pid_t pid)
{
    return broker_knows_supervisor (arg, pid);
}

/* A step is a few ms: the rest of the look comes in later turns. */
static void observe_unmanaged (struct server *s)
{
    const struct unmanaged_eyes eyes = {knows, supervises, s->broker};
    struct unmanaged_found found;

    if (s->now < s->search_due)
        return;
    s->search_due = s->now + SEARCH_STEP_MS;
    if (!unmanaged_look (s->unmanaged, SEARCHED_AT_ONCE, &eyes, &found))
        return;
    s->search_due =
        s->now + SEARCH_SAMPLES * s->options->settings.timing.sample;
    broker_observe_unmanaged (s->broker, found.count, found.memory_bytes,
                              found.of);
}

static bool same_texts (const struct texts *a, const struct texts *b)
{
    if (a->count != b->count)
        return false;
    for (unsigned i = 0; i < a->count; i++)
        if (strcmp (a->at[i], b->at[i]) != 0)
            return false;
    return true;
}

/* Validated first; the old configuration stays where the new one is wrong. */
static void reload (struct server *s)
{
    char error[512], shown[512];

    s->reload = false;
    if (options_load (s->options, error, sizeof error)) {
        log_line (LOG_ERROR, "reload   refused=\"%s\" kept=\"the old one\"",
                  log_escape (error, shown, sizeof shown));
        return;
    }
    if (!same_texts (&s->binds, &s->options->binds))
        log_line (LOG_WARNING,
                  "reload   notice=\"bind takes effect at the next start\"");
    broker_reload (s->broker, &s->options->settings, s->now, s->out);
    front_set_rate (s->front, s->options->settings.message_rate);
    server_set_senses (s);
    notice_write (s->premises.runtime, s->options->notice_command);
    s->sample_due = s->now;
    s->stale = true;
}

static void observe (struct server *s)
{
    if (s->reload)
        reload (s);
    observe_disk (s);
    watcher_report (s->watcher, s->broker, s->now, s->out);
    observe_host (s);
    observe_unmanaged (s);
    descriptors_look (&s->descriptors, s->now);
}

static int64_t sooner (int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t wait_ms (const struct server *s)
{
    int64_t now = clock_monotonic_ms ();
    int64_t due = broker_next_deadline (s->broker, s->now);

    if (!s->drained || s->asked_count || store_full (s->store) != s->disk_full)
        return 0;
    due = sooner (due, watcher_due (s->watcher));
    due = sooner (due, s->sample_due);
    due = sooner (due, s->search_due);
    due = sooner (due, s->tend_due);
    if (herald_is_behind (s->herald))
        due = sooner (due, now + CATCH_UP_MS);
    return due > now ? due - now : 0;
}

static enum exit_code turn (struct server *s)
{
    const struct front_ear ear = {on_message, on_malformed, s};

    s->now = clock_monotonic_ms ();
    broker_turn (s->broker, s->drained, s->now, s->out);
    s->drained = front_drain (s->front, BATCH, s->now, &ear);
    observe (s);
    broker_observe_refused (s->broker, front_counts (s->front)->refused);
    broker_round (s->broker, s->now, s->out);
    server_answer_history (s);
    return server_carry_out (s);
}

static void notify (const char *state)
{
#ifdef HAVE_SYSTEMD
    sd_notify (0, state);
#else
    (void) state;
#endif
}

static void say_ready (const struct server *s)
{
    const struct meta_record *meta = store_meta (s->store);
    struct endpoints e;
    char text[512];

    log_line (LOG_INFO, "timing   means=\"%s\"",
              settings_describe (&s->options->settings, text, sizeof text));
    for (unsigned i = 0; i < s->binds.count; i++)
        if (endpoints_of (s->binds.at[i], &e) == 0)
            log_line (LOG_INFO,
                      "ready    endpoint=%s events=%s broker=%s epoch=%" PRIu64,
                      e.bus, e.events, meta->broker, meta->epoch);
    notify ("READY=1");
}

static void say_stopped (const struct server *s)
{
    const struct front_counts *c = front_counts (s->front);

    log_line (LOG_INFO,
              "stop     leases=\"kept for the next start\" received=%" PRIu64
              " dropped=%" PRIu64 " refused=%" PRIu64 " flooded=%" PRIu64
              " muted=%" PRIu64 " unroutable=%" PRIu64 " congested=%" PRIu64,
              c->received, c->dropped, c->refused, c->flooded, c->muted,
              c->unroutable, c->congested);
}

enum exit_code server_run (struct server *s)
{
    enum exit_code code = server_carry_out (s); // what the start itself decided

    if (code == EXIT_DONE)
        say_ready (s);
    while (code == EXIT_DONE && !s->stop) {
        if (reactor_turn (s->reactor, wait_ms (s))) {
            log_line (LOG_ERROR, "bug      poll=\"%s\"", strerror (errno));
            return EXIT_BUG;
        }
        code = turn (s);
    }
    notify ("STOPPING=1");
    if (code == EXIT_DONE)
        say_stopped (s);
    return code;
}
