/* SPDX-License-Identifier: MPL-2.0 */
#include "server.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <czmq.h>
#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#include "access.h"
#include "bus/base.h"
#include "bus/log.h"
#include "bus/proc.h"
#include "bus/reactor.h"
#include "bus/version.h"
#include "core/broker.h"
#include "front.h"
#include "herald.h"
#include "journal.h"
#include "premises.h"
#include "sampler.h"
#include "store.h"
#include "watcher.h"
#include "yaml_snapshot.h"

enum {
    BATCH = 1024,
    TEND_MS = 1000,
    DENIAL_MS = 1000,
    DENIALS_LOGGED = 10 // in that time
};

struct server {
    struct options *options; // borrowed
    struct premises premises;
    int signals;
    struct store *store;
    struct broker *broker;
    struct reactor *reactor;
    struct front *front;
    struct herald *herald;
    struct watcher *watcher;
    struct sampler *sampler;
    struct outbox *out;
    struct sample sample; // the newest
    struct texts binds;   // what is served, whatever a reload says
    bool drained, stop, reload;
    bool disk_full;                    // as the core was told
    bool stale, snapshot_failed;       // the snapshot file
    struct snapshot_project *projects; // for it; kept for its memory
    int64_t now, sample_due, tend_due;
    int64_t denied_at; // when the refusals below began
    unsigned denied;
};

/* ---- opening ---- */

static int say (char *ret_error, size_t size, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));

static int say (char *ret_error, size_t size, const char *format, ...)
{
    va_list args;

    va_start (args, format);
    vsnprintf (ret_error, size, format, args);
    va_end (args);
    return -1;
}

/* czmq reads limits from ZSYS_* of the environment. */
static void forget_settings_of_czmq (void)
{
    extern char **environ;
    char name[64];

    for (char **at = environ; *at;) {
        size_t size = strcspn (*at, "=");

        if (strncmp (*at, "ZSYS_", 5) != 0 || size >= sizeof name) {
            at++;
            continue;
        }
        memcpy (name, *at, size);
        name[size] = 0;
        unsetenv (name); // moves the rest up
    }
}

/* Before the first socket: signals are blocked before libzmq has threads, and
 * czmq would take them. */
static int prepare_process (struct server *s)
{
    forget_settings_of_czmq ();
    signal (SIGPIPE, SIG_IGN); // a closed stderr is no reason to end
    s->signals = signals_open (SIGTERM, SIGINT, SIGHUP, 0);
    zsys_handler_set (NULL);
    return s->signals < 0 ? -1 : 0;
}

static enum exit_code code_of (enum store_error e)
{
    return e == STORE_IO ? EXIT_DISK : EXIT_REFUSED;
}

static enum exit_code open_store (struct server *s, char *ret_error,
                                  size_t size)
{
    enum store_error e =
        store_open (s->options->state_folder, s->options->accept_state_loss,
                    &s->store, ret_error, size);

    if (e != STORE_OK)
        return code_of (e);
    if (store_notice (s->store)[0])
        log_line (LOG_WARNING, "state    notice=\"%s\"",
                  store_notice (s->store));
    return EXIT_DONE;
}

static int identify (const struct server *s, struct identity *ret_self)
{
    memset (ret_self, 0, sizeof *ret_self);
    host_name (ret_self->host, sizeof ret_self->host);
    copy_text (ret_self->version, sizeof ret_self->version, SLOTBUS_VERSION);
    if (host_boot_id (ret_self->boot, sizeof ret_self->boot))
        return -1;
    return host_machine_id (s->options->state_folder, ret_self->machine,
                            sizeof ret_self->machine);
}

static void restore_session (void *arg, const struct session_record *r)
{
    broker_restore_session (arg, r);
}

static void restore_lease (void *arg, const struct lease_record *r)
{
    broker_restore_lease (arg, r);
}

static void restore_waiter (void *arg, const struct waiter_record *r)
{
    broker_restore_waiter (arg, r);
}

static void restore_damaged (void *arg, uint64_t token)
{
    log_line (LOG_ERROR, "damaged  token=%" PRIu64 " state=LIMBO", token);
    broker_restore_damaged (arg, token);
}

static enum exit_code load (struct server *s, char *ret_error, size_t size)
{
    struct store_reader reader = {restore_session, restore_lease,
                                  restore_waiter, restore_damaged, s->broker};
    unsigned damaged = 0;
    enum store_error e = store_load (s->store, &reader, &damaged);

    if (e != STORE_OK) {
        say (ret_error, size, "the state cannot be read: %s",
             store_failure (s->store));
        return code_of (e);
    }
    if (damaged > 0)
        log_line (LOG_ERROR, "damaged  rows=%u", damaged);
    return EXIT_DONE;
}

static enum exit_code open_broker (struct server *s, char *ret_error,
                                   size_t size)
{
    struct identity self;
    enum exit_code code;

    if (identify (s, &self)) {
        say (ret_error, size, "this host's identity: %s", strerror (errno));
        return EXIT_OTHER;
    }
    s->now = clock_monotonic_ms ();
    s->broker =
        broker_create (&s->options->settings, &self, store_meta (s->store),
                       store_learning (s->store), s->now);
    code = load (s, ret_error, size);
    if (code == EXIT_DONE)
        broker_start (s->broker, s->now, s->out);
    return code;
}

static int bind_both (struct server *s, const struct endpoints *e)
{
    if (front_bind (s->front, e->bus) || herald_bind (s->herald, e->events))
        return -1;
    return premises_own_socket (&s->premises, e->bus) ||
                   premises_own_socket (&s->premises, e->events)
               ? -1
               : 0;
}

/* Plain tcp has to be asked for, and is pointed out at every start. */
static int admit_tcp (const struct server *s, const char *endpoint,
                      char *ret_error, size_t size)
{
    if (strncmp (endpoint, "tcp://", 6) != 0)
        return 0;
    if (!s->options->insecure)
        return say (ret_error, size,
                    "%s is plain TCP: anybody who reaches it may take slots "
                    "in any project's name; `insecure: true` allows it",
                    endpoint);
    log_line (LOG_WARNING,
              "insecure bind=%s warning=\"plain TCP: anybody who reaches it "
              "may take slots in any project's name\"",
              endpoint);
    return 0;
}

static int bind_all (struct server *s, char *ret_error, size_t size)
{
    mode_t before = umask (premises_umask (&s->premises));
    struct endpoints e;
    int rc = 0;

    s->binds = s->options->binds;
    for (unsigned i = 0; rc == 0 && i < s->binds.count; i++) {
        const char *at = s->binds.at[i];

        rc = admit_tcp (s, at, ret_error, size);
        if (rc == 0 && (endpoints_of (at, &e) || bind_both (s, &e)))
            rc = say (ret_error, size, "cannot bind %s: %s", at,
                      zmq_strerror (errno));
    }
    umask (before);
    return rc;
}

static int64_t patience (const struct timing *t)
{
    return t->notice + t->grace + t->kill_confirm + t->beat;
}

static void set_sampler (struct server *s)
{
    const struct texts *paths = &s->options->disk_paths;
    const char *list[MAX_DISK_PATHS];

    for (unsigned i = 0; i < paths->count; i++)
        list[i] = paths->at[i];
    sampler_destroy (s->sampler);
    s->sampler = sampler_create ("/proc", list, paths->count);
}

static void on_socket (void *arg, short events)
{
    (void) arg;
    (void) events; // every turn reads all sockets
}

static void on_signal (void *arg, short events)
{
    struct server *s = arg;
    int number;

    (void) events;
    while ((number = signals_read (s->signals)) != 0) {
        if (number == SIGHUP)
            s->reload = true;
        else
            s->stop = true;
    }
}

static void open_loop (struct server *s)
{
    s->reactor = reactor_create ();
    reactor_add_fd (s->reactor, s->signals, ZMQ_POLLIN, on_signal, s);
    reactor_add_socket (s->reactor, front_socket (s->front), on_socket, s);
    reactor_add_socket (s->reactor, herald_socket (s->herald), on_socket, s);
    s->watcher = watcher_create (s->reactor, store_meta (s->store)->broker,
                                 s->premises.runtime);
    watcher_set_patience (s->watcher, patience (&s->options->settings.timing));
    set_sampler (s);
}

static int open_sockets (struct server *s, char *ret_error, size_t size)
{
    s->front = front_create ();
    s->herald = herald_create ();
    if (!s->front || !s->herald)
        return say (ret_error, size, "no socket: %s", zmq_strerror (errno));
    return bind_all (s, ret_error, size);
}

static enum exit_code open_all (struct server *s, char *ret_error, size_t size)
{
    enum exit_code code;

    if (prepare_process (s)) {
        say (ret_error, size, "signals: %s", strerror (errno));
        return EXIT_OTHER;
    }
    if (premises_raise_descriptors (ret_error, size) ||
        premises_enter (&s->premises, s->options, ret_error, size))
        return EXIT_REFUSED;
    code = open_store (s, ret_error, size);
    if (code == EXIT_DONE)
        code = open_broker (s, ret_error, size);
    if (code != EXIT_DONE)
        return code;
    if (open_sockets (s, ret_error, size))
        return EXIT_REFUSED;
    open_loop (s);
    return EXIT_DONE;
}

enum exit_code server_open (struct options *options, struct server **ret_server,
                            char *ret_error, size_t error_size)
{
    struct server *s = xcalloc (1, sizeof *s);
    enum exit_code code;

    s->options = options;
    s->signals = -1;
    s->out = outbox_create ();
    code = open_all (s, ret_error, error_size);
    if (code == EXIT_DONE)
        *ret_server = s;
    else
        server_close (s);
    return code;
}

void server_close (struct server *s)
{
    if (!s)
        return;
    watcher_destroy (s->watcher);
    reactor_destroy (s->reactor);
    sampler_destroy (s->sampler);
    front_destroy (s->front);
    herald_destroy (s->herald);
    broker_destroy (s->broker);
    outbox_destroy (s->out);
    free (s->projects);
    store_close (s->store);
    premises_leave (&s->premises);
    if (s->signals >= 0)
        close (s->signals);
    free (s);
}

/* ---- what comes in ---- */

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
    else
        broker_step (s->broker, &peer, msg, random_u64 (), s->now, s->out);
}

/* ---- what is seen ---- */

static void observe_disk (struct server *s)
{
    if (s->now >= s->tend_due) {
        store_tend (s->store);
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
    broker_observe_sample (s->broker, "", &s->sample, clock_wall_ms (), s->now,
                           s->out);
    s->sample_due = s->now + s->options->settings.timing.sample;
    s->stale = true;
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
    watcher_set_patience (s->watcher, patience (&s->options->settings.timing));
    set_sampler (s);
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
}

/* ---- what was decided ---- */

static void send_all (struct server *s)
{
    for (size_t i = 0; i < outbox_sent (s->out); i++) {
        struct outgoing m = outbox_outgoing (s->out, i);

        front_send (s->front, &m.to, m.verb, m.fields);
    }
}

/* The core says by its own topic that it has learned enough. */
static bool says_learned (const struct publication *p)
{
    const struct msg_broker *m = p->fields;

    return p->verb == VERB_BROKER && !m->learning;
}

static enum store_error publish_all (struct server *s)
{
    enum store_error e = STORE_OK;

    for (size_t i = 0; i < outbox_published (s->out); i++) {
        struct publication p = outbox_publication (s->out, i);

        herald_publish (s->herald, p.topic, p.verb, p.fields);
        if (store_learning (s->store) && says_learned (&p))
            e = store_learned (s->store);
    }
    return e;
}

static void list_projects (struct server *s, struct snapshot *snapshot)
{
    char project[MAX_KEY_BYTES + 1];
    unsigned in_use;
    size_t count = broker_allocation (s->broker, SIZE_MAX, project, &in_use);

    s->projects = xrealloc (s->projects, count * sizeof *s->projects);
    for (size_t i = 0; i < count; i++)
        broker_allocation (s->broker, i, s->projects[i].project,
                           &s->projects[i].in_use);
    snapshot->projects = s->projects;
    snapshot->project_count = count;
}

/* For people and scripts only: that it cannot be written is said once. */
static void write_snapshot (struct server *s)
{
    char path[PATH_BYTES + 16], error[512] = "";
    struct pool_view view;
    struct snapshot snapshot = {.limits = s->options->settings.limits,
                                .sample = s->sample,
                                .health = broker_level (s->broker)};

    broker_view (s->broker, &view);
    snapshot.max_slots = view.max_slots;
    list_projects (s, &snapshot);
    snprintf (path, sizeof path, "%s/slots.yaml", s->premises.runtime);
    s->stale = false;
    if (yaml_snapshot_write (path, s->options->config_path, &snapshot, error,
                             sizeof error) &&
        !s->snapshot_failed)
        log_line (LOG_WARNING, "snapshot error=\"%s\"", error);
    s->snapshot_failed = error[0] != 0;
}

static enum exit_code disk_failed (struct server *s)
{
    journal_print (s->out);
    log_line (LOG_ERROR,
              "disk     error=\"%s\" unsent=%zu end=\"nothing of this batch "
              "was said; what was said before is on disk\"",
              store_failure (s->store), outbox_sent (s->out));
    return EXIT_DISK;
}

/* Nothing leaves before it is durable (R4). */
static enum exit_code carry_out (struct server *s)
{
    if (store_commit (s->store, s->out) != STORE_OK)
        return disk_failed (s);
    send_all (s);
    if (publish_all (s) != STORE_OK)
        return disk_failed (s);
    journal_print (s->out);
    s->stale |= outbox_changed (s->out) > 0;
    outbox_clear (s->out);
    herald_catch_up (s->herald);
    if (s->stale)
        write_snapshot (s);
    return EXIT_DONE;
}

/* ---- the loop ---- */

static int64_t sooner (int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t wait_ms (const struct server *s)
{
    int64_t now = clock_monotonic_ms ();
    int64_t due = broker_next_deadline (s->broker, s->now);

    if (!s->drained || store_full (s->store) != s->disk_full)
        return 0;
    due = sooner (due, watcher_due (s->watcher));
    due = sooner (due, s->sample_due);
    due = sooner (due, s->tend_due);
    return due > now ? due - now : 0;
}

static enum exit_code turn (struct server *s)
{
    s->now = clock_monotonic_ms ();
    broker_turn (s->broker, s->drained, s->now, s->out);
    s->drained = front_drain (s->front, BATCH, on_message, s);
    observe (s);
    broker_round (s->broker, s->now, s->out);
    return carry_out (s);
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
              " dropped=%" PRIu64 " refused=%" PRIu64 " unroutable=%" PRIu64
              " congested=%" PRIu64,
              c->received, c->dropped, c->refused, c->unroutable, c->congested);
}

enum exit_code server_run (struct server *s)
{
    enum exit_code code = carry_out (s); // what the start itself decided

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
