/* SPDX-License-Identifier: MPL-2.0 */
#include "server.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <czmq.h>

#include "bus/base.h"
#include "bus/log.h"
#include "bus/pressure.h"
#include "bus/proc.h"
#include "bus/reactor.h"
#include "bus/version.h"
#include "notice.h"
#include "server_parts.h"

enum { STALLED_MS = 100 }; // within 2 s: some programs wait for memory

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
    s->history = history_open (s->options->state_folder, clock_wall_ms ());
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

static void restore_project (void *arg, const struct project_record *r)
{
    broker_restore_project (arg, r);
}

static void learn_run (void *arg, const struct run_record *run)
{
    broker_restore_duration (arg, run->project, run->label, run->run_ms);
    broker_restore_memory (arg, run->project, run->label, run->memory_bytes);
}

static void restore_damaged (void *arg, uint64_t token)
{
    log_line (LOG_ERROR, "damaged  token=%" PRIu64 " state=LIMBO", token);
    broker_restore_damaged (arg, token);
}

static enum exit_code load (struct server *s, char *ret_error, size_t size)
{
    struct store_reader reader = {restore_session, restore_lease,
                                  restore_waiter,  restore_project,
                                  restore_damaged, s->broker};
    unsigned damaged = 0;
    enum store_error e = store_load (s->store, &reader, &damaged);

    if (e != STORE_OK) {
        say (ret_error, size, "the state cannot be read: %s%s",
             store_failure (s->store),
             e == STORE_LOST ? ". Move state.db and its -wal aside and start "
                               "with --accept-state-loss: running agents are "
                               "then learned from their shims"
                             : "");
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
    history_recall (s->history, learn_run, s->broker);
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

/* What grows fast need not wait for the next sample. */
static void on_pressure (void *arg, short events)
{
    struct server *s = arg;

    s->sample_due = s->now;
    if (events & ZMQ_POLLERR)
        reactor_remove_fd (s->reactor, s->pressure);
}

static void open_loop (struct server *s)
{
    s->reactor = reactor_create ();
    reactor_add_fd (s->reactor, s->signals, ZMQ_POLLIN, on_signal, s);
    s->pressure = pressure_watch ("/proc/pressure/memory", STALLED_MS);
    if (s->pressure >= 0)
        reactor_add_fd (s->reactor, s->pressure, ZMQ_POLLPRI, on_pressure, s);
    reactor_add_socket (s->reactor, front_socket (s->front), on_socket, s);
    reactor_add_socket (s->reactor, herald_socket (s->herald), on_socket, s);
    s->watcher = watcher_create (s->reactor, store_meta (s->store)->broker,
                                 s->premises.runtime);
    server_set_senses (s);
    notice_write (s->premises.runtime, s->options->notice_command);
}

static int open_sockets (struct server *s, char *ret_error, size_t size)
{
    s->front = front_create (s->options->settings.message_rate);
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
    s->signals = s->pressure = -1;
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
    unmanaged_destroy (s->unmanaged);
    front_destroy (s->front);
    herald_destroy (s->herald);
    broker_destroy (s->broker);
    history_close (s->history);
    outbox_destroy (s->out);
    free (s->projects);
    store_close (s->store);
    premises_leave (&s->premises);
    if (s->signals >= 0)
        close (s->signals);
    if (s->pressure >= 0)
        close (s->pressure);
    free (s);
}
