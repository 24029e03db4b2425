/* SPDX-License-Identifier: MPL-2.0 */
#include "serve.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include "bus/base.h"
#include "bus/lock.h"
#include "bus/log.h"
#include "bus/sampler.h"
#include "bus/unmanaged.h"
#include "footprint.h"
#include "local.h"
#include "tree.h"
#include "uplink.h"
#include "watches.h"
#include "witness.h"

enum {
    CONNECT_MS = 200,      // before the first HELLO
    LINGER_MS = 1000,      // for the last words
    CLEAN_MS = 50,         // between two looks at leftovers
    LOCK_MS = 250,         // between two looks at the broker's lock, at most
    FIRST_HELLO_MS = 100,  // between HELLOs before the first WELCOME
    SEARCHED_AT_ONCE = 512 // processes, with each SAMPLE
};

/* What a lost keeper left (ACT_CLEAN), until it is proven gone. */
struct leftover {
    struct leftover *next;
    uint64_t token;
    int64_t start; // nothing of it is older; 0 = not known
    char cgroup[256], cookie[96];
};

struct service {
    const struct serve_options *options;
    struct reactor *reactor;
    struct uplink *uplink;
    struct local *commands, *keepers;
    struct watches *watches;
    struct shim *shim;
    // events add to one list while the other is carried out
    struct actions *lists[2], *actions;
    struct leftover *leftovers;
    struct sampler *sampler;            // NULL until the broker wants to know
    int64_t sample_ms;                  // how often
    struct unmanaged_search *unmanaged; // NULL until it says what that is
    struct unmanaged_found found;
    int64_t clean_at, lock_at, lock_every;
    int64_t now; // 0: not read since the last wait
    int signal_fd;
    bool ended;
    int status;
    char lock_path[PATH_BYTES + 16];
    uint8_t packet[LOCAL_PACKET_BYTES];
    struct msg msg; // of a command
};

/* R1: a shim of the broker's host sleeps when the broker sleeps. */
static int64_t now_of (struct service *s)
{
    if (s->now == 0)
        s->now = s->options->settings.boottime ? clock_boottime_ms ()
                                               : clock_monotonic_ms ();
    return s->now;
}

/* ---- what comes in ---- */

static void heed_senses (struct service *s, const struct msg_welcome *in)
{
    s->sample_ms = (int64_t) in->sample_ms;
    unmanaged_destroy (s->unmanaged);
    s->unmanaged =
        in->unmanaged[0] ? unmanaged_create ("/proc", in->unmanaged) : NULL;
    s->found = (struct unmanaged_found){0, 0, ""};
}

static void on_uplink (void *arg, const struct msg *msg)
{
    struct service *s = arg;

    if (msg->verb == VERB_HEALTH) {
        shim_on_health (s->shim, &msg->health, now_of (s), s->actions);
        return;
    }
    if (msg->verb == VERB_WELCOME) {
        int64_t half = (int64_t) msg->welcome.beat_ms / 2;

        s->lock_every = half < LOCK_MS ? (half > 0 ? half : 1) : LOCK_MS;
        heed_senses (s, &msg->welcome);
    }
    shim_on_broker (s->shim, msg, now_of (s), s->actions);
}

static int on_command (void *arg, uint64_t peer, struct who who,
                       const void *data, size_t size)
{
    struct service *s = arg;
    struct codec_error error;

    if (local_unpack (data, size, &s->msg, &error))
        return -1;
    shim_on_client (s->shim, peer, who, &s->msg, now_of (s), s->actions);
    return 0;
}

static void on_command_gone (void *arg, uint64_t peer)
{
    struct service *s = arg;

    shim_on_client_gone (s->shim, peer, now_of (s), s->actions);
}

static bool ends_within (const char *text, size_t size)
{
    return memchr (text, 0, size) != NULL;
}

static bool is_from_keeper (const struct keeper_packet *p)
{
    return p->magic == KEEPER_MAGIC && p->type >= KEEPER_ATTACH &&
           p->type <= KEEPER_REAPED &&
           ends_within (p->cookie, sizeof p->cookie) &&
           ends_within (p->cgroup, sizeof p->cgroup) &&
           ends_within (p->label, sizeof p->label) &&
           ends_within (p->reason, sizeof p->reason);
}

static int on_keeper (void *arg, uint64_t peer, struct who who,
                      const void *data, size_t size)
{
    struct service *s = arg;
    struct keeper_packet packet;

    (void) who;
    if (size != sizeof packet)
        return -1;
    memcpy (&packet, data, sizeof packet); // it may not be aligned
    if (!is_from_keeper (&packet))
        return -1;
    shim_on_keeper (s->shim, peer, &packet, now_of (s), s->actions);
    return 0;
}

static void on_keeper_gone (void *arg, uint64_t peer)
{
    struct service *s = arg;

    shim_on_keeper_gone (s->shim, peer, now_of (s), s->actions);
}

static void on_supervisor_gone (void *arg, struct who who)
{
    struct service *s = arg;

    shim_on_supervisor_gone (s->shim, who, now_of (s), s->actions);
}

static void reap (void)
{
    while (waitpid (-1, NULL, WNOHANG) > 0)
        ;
}

static void on_signal (void *arg, short events)
{
    struct service *s = arg;
    int number;

    (void) events;
    while ((number = signals_read (s->signal_fd)) != 0) {
        if (number == SIGCHLD) {
            reap ();
            continue;
        }
        log_line (LOG_INFO, "ending signal=%d", number);
        shim_end (s->shim, now_of (s), s->actions);
    }
}

/* ---- what is due ---- */

/* R9: asked, never taken: a restarting broker must not find it held. */
static void look_at_lock (struct service *s)
{
    int64_t now = now_of (s);

    if (!s->options->settings.own_host || now < s->lock_at)
        return;
    s->lock_at = now + s->lock_every;
    shim_on_broker_absent (s->shim, lock_query (s->lock_path) == LOCK_FREE, now,
                           s->actions);
}

static bool is_clean (const struct service *s, const struct leftover *l)
{
    const char *runtime = s->options->broker.at[0].runtime;

    return tree_end_leftovers (l->cgroup, l->cookie, l->start) == TREE_GONE &&
           witness_end (runtime, l->cookie);
}

/* One pass over /proc for each is a few ms; repeated until proven. */
static void clean_leftovers (struct service *s)
{
    struct leftover **at = &s->leftovers;
    int64_t now = now_of (s);

    if (!s->leftovers || now < s->clean_at)
        return;
    s->clean_at = now + CLEAN_MS;
    while (*at) {
        struct leftover *l = *at;

        if (is_clean (s, l)) {
            *at = l->next;
            shim_on_cleaned (s->shim, l->token, now, s->actions);
            free (l);
        } else
            at = &l->next;
    }
}

static void add_leftover (struct service *s, const struct action *a)
{
    struct leftover *l = xcalloc (1, sizeof *l);

    l->token = a->token;
    l->start = a->who.start;
    copy_text (l->cgroup, sizeof l->cgroup, a->cgroup);
    copy_text (l->cookie, sizeof l->cookie, a->cookie);
    l->next = s->leftovers;
    s->leftovers = l;
    s->clean_at = 0;
}

/* ---- what goes out ---- */

static void tell (struct service *s, uint64_t client, enum verb verb,
                  const void *fields)
{
    size_t size = local_pack (verb, fields, s->packet);

    if (size > 0)
        local_send (s->commands, client, s->packet, size, verb == VERB_QUEUED);
}

/* One that was stopped along with its tree could not end it. */
static void tell_keeper (struct service *s, const struct action *a)
{
    struct who keeper = local_who (s->keepers, a->keeper);

    local_send (s->keepers, a->keeper, a->packet, sizeof *a->packet, false);
    if (a->packet->type == KEEPER_STOP && keeper.pid > 0)
        watches_signal (keeper, SIGCONT);
}

static void log_action (const struct action *a)
{
    char clean[1024];

    log_line (LOG_INFO, "%s", log_escape (a->text, clean, sizeof clean));
}

static void tell_starter (const struct service *s, char what)
{
    // who started this may have gone: SIGPIPE is ignored
    if (s->options->ready_fd >= 0)
        (void) !write (s->options->ready_fd, &what, 1);
}

static void say_ready (const struct service *s)
{
    tell_starter (s, 'r');
    if (s->options->ready_fd >= 0)
        close (s->options->ready_fd);
    log_line (LOG_INFO, "ready project=%s broker=%s pid=%ld",
              s->options->settings.project, uplink_to (s->uplink)->bus,
              (long) getpid ());
}

/* SPAWN is answered here: the core cannot know whether it could be forked. */
static void spawn (struct service *s, const struct action *a)
{
    union {
        struct msg_ok ok;
        struct msg_error error;
    } answer;
    bool failed = s->options->spawn (a->project, a->who) != 0;
    enum verb verb = failed ? VERB_ERROR : VERB_OK;

    message_init_fields (&answer, verb);
    copy_text (failed ? answer.error.re : answer.ok.re, 16, "SPAWN");
    if (failed) {
        copy_text (answer.error.error, sizeof answer.error.error, "NOT_NOW");
        snprintf (answer.error.detail, sizeof answer.error.detail,
                  "cannot start a shim: %s", strerror (errno));
    }
    tell (s, a->client, verb, &answer);
}

/* HELLO says that we hold the project's lock. Where somebody has removed its
 * file that is worth nothing: another shim may have taken the place, and each
 * of us would end the other's session for ever. */
static bool holds_lock (const struct service *s)
{
    char path[PATH_BYTES + 16];

    snprintf (path, sizeof path, "%s/lock", s->options->folder);
    return lock_is_named (s->options->lock, path);
}

static void tell_broker (struct service *s, const struct action *a)
{
    if (a->verb != VERB_HELLO || holds_lock (s)) {
        uplink_send (s->uplink, a->verb, a->fields);
        return;
    }
    log_line (LOG_ERROR, "ending lock=removed folder=%s", s->options->folder);
    shim_end (s->shim, now_of (s), s->actions);
}

static bool is_ours (void *arg, const char *folder)
{
    const struct service *s = arg;

    return strcmp (folder, s->options->settings.project) == 0;
}

static bool is_watched (void *arg, pid_t pid)
{
    const struct service *s = arg;

    return shim_watches (s->shim, pid);
}

/* A step of it with each SAMPLE. Of projects only our own is known here. */
static void look_for_unmanaged (struct service *s)
{
    const struct unmanaged_eyes eyes = {is_ours, is_watched, s};

    if (s->unmanaged)
        unmanaged_look (s->unmanaged, SEARCHED_AT_ONCE, &eyes, &s->found);
}

/* The fullest file system that counts is that of the whole host: which others
 * matter here nobody has told us. */
static void tell_sample (struct service *s, uint64_t session)
{
    static const char *const paths[] = {"/"};
    struct msg_sample m;
    struct sample sample;

    if (!s->sampler)
        s->sampler = sampler_create ("/proc", paths, 1);
    sampler_set_window (s->sampler, s->sample_ms / 2);
    sampler_sample (s->sampler, clock_monotonic_ms (), &sample);
    look_for_unmanaged (s);
    m = (struct msg_sample){
        .session = session,
        .at_ms = (uint64_t) clock_wall_ms (),
        .cpu_percent = sample.cpu_percent,
        .memory_percent = sample.memory_percent,
        .load1 = sample.load1,
        .running = sample.running,
        .disk_percent = sample.disk_percent,
        .inodes_percent = sample.inodes_percent,
        .swap_percent = sample.swap_percent,
        .cpu_some = sample.cpu_some,
        .memory_some = sample.memory_some,
        .memory_full = sample.memory_full,
        .io_some = sample.io_some,
        .io_full = sample.io_full,
        .unmanaged = s->found.count,
        .unmanaged_bytes = s->found.memory_bytes,
    };
    copy_text (m.unmanaged_of, sizeof m.unmanaged_of, s->found.of);
    uplink_send (s->uplink, VERB_SAMPLE, &m);
}

/* A keeper that has just gone is heard of by itself. */
static void measure (struct service *s, const struct action *a)
{
    struct who keeper = local_who (s->keepers, a->keeper);
    struct measured measured;

    if (footprint_measure ("/proc", keeper.pid, a->cgroup, &measured) == 0)
        shim_on_measured (s->shim, a->token, &measured, now_of (s));
}

static void renew (struct service *s)
{
    uplink_renew (s->uplink);
    if (s->options->broker.count > 1)
        log_line (LOG_INFO, "trying broker=%s", uplink_to (s->uplink)->bus);
}

static void carry_out (struct service *s, const struct action *a)
{
    switch (a->kind) {
    case ACT_SEND: tell_broker (s, a); break;
    case ACT_TELL: tell (s, a->client, a->verb, a->fields); break;
    case ACT_HANG_UP: local_hang_up (s->commands, a->client); break;
    case ACT_KEEPER: tell_keeper (s, a); break;
    case ACT_HANG_UP_KEEPER: local_hang_up (s->keepers, a->keeper); break;
    case ACT_WATCH: watches_add (s->watches, a->who); break;
    case ACT_UNWATCH: watches_remove (s->watches, a->who); break;
    case ACT_CLEAN: add_leftover (s, a); break;
    case ACT_END_SUPERVISOR: watches_signal (a->who, SIGTERM); break;
    case ACT_SPAWN: spawn (s, a); break;
    case ACT_SAMPLE: tell_sample (s, a->session); break;
    case ACT_MEASURE: measure (s, a); break;
    case ACT_RECONNECT: renew (s); break;
    case ACT_READY: say_ready (s); break;
    case ACT_LOG: log_action (a); break;
    case ACT_END:
        s->ended = true;
        s->status = a->status;
        break;
    }
}

/* Carrying out may bring new events (a supervisor that is gone already), and
 * those new actions. */
static void carry_all_out (struct service *s)
{
    while (actions_count (s->actions) > 0) {
        struct actions *due = s->actions;

        s->actions = due == s->lists[0] ? s->lists[1] : s->lists[0];
        for (size_t i = 0; i < actions_count (due); i++)
            carry_out (s, actions_at (due, i));
        actions_clear (due);
    }
}

static int64_t timeout_of (struct service *s)
{
    int64_t now = now_of (s), next = shim_next_deadline (s->shim, now);

    if (s->options->settings.own_host && s->lock_at < next)
        next = s->lock_at;
    if (s->leftovers && s->clean_at < next)
        next = s->clean_at;
    return next > now ? next - now : 0;
}

static void turn (struct service *s)
{
    int64_t timeout;

    s->now = 0; // carrying out took its time
    timeout = timeout_of (s);
    s->now = 0;
    if (reactor_turn (s->reactor, timeout)) {
        log_line (LOG_ERROR, "poll error=\"%s\"", strerror (errno));
        abort (); // a descriptor that is not ours: a bug
    }
    look_at_lock (s);
    clean_leftovers (s);
    shim_turn (s->shim, random_u64 (), now_of (s), s->actions);
    carry_all_out (s);
}

/* ---- start and end ---- */

static struct local *listen_in (struct service *s, const char *name,
                                local_packet_fn *packet, local_gone_fn *gone)
{
    char *path = xasprintf ("%s/%s", s->options->folder, name);
    struct local *l = local_listen (s->reactor, path, packet, gone, s);

    if (!l)
        log_line (LOG_ERROR, "cannot listen path=%s error=\"%s\"", path,
                  strerror (errno));
    free (path);
    return l;
}

/* Signals first: ZeroMQ's threads inherit the mask. */
static int open_all (struct service *s)
{
    const struct serve_options *o = s->options;

    signal (SIGPIPE, SIG_IGN);
    s->signal_fd = signals_open (SIGTERM, SIGINT, SIGHUP, SIGCHLD, 0);
    if (s->signal_fd < 0)
        return -1;
    s->reactor = reactor_create ();
    reactor_add_fd (s->reactor, s->signal_fd, ZMQ_POLLIN, on_signal, s);
    s->watches = watches_create (s->reactor, on_supervisor_gone, s);
    s->commands = listen_in (s, "shim", on_command, on_command_gone);
    s->keepers = listen_in (s, "keepers", on_keeper, on_keeper_gone);
    if (!s->commands || !s->keepers)
        return -1;
    tell_starter (s, 'l');
    s->uplink = uplink_create (s->reactor, &o->broker, on_uplink, s);
    uplink_wait (s->uplink, CONNECT_MS);
    return 0;
}

static void close_all (struct service *s)
{
    uplink_destroy (s->uplink, LINGER_MS);
    local_destroy (s->commands);
    local_destroy (s->keepers);
    watches_destroy (s->watches);
    sampler_destroy (s->sampler);
    unmanaged_destroy (s->unmanaged);
    reactor_destroy (s->reactor);
    if (s->signal_fd >= 0)
        close (s->signal_fd);
    while (s->leftovers) {
        struct leftover *l = s->leftovers;

        s->leftovers = l->next;
        free (l);
    }
}

static void start_core (struct service *s)
{
    struct shim_settings settings = s->options->settings;

    settings.hello_ms = settings.own_host ? FIRST_HELLO_MS : 500;
    s->lists[0] = actions_create ();
    s->lists[1] = actions_create ();
    s->actions = s->lists[0];
    s->shim = shim_create (&settings, now_of (s));
    if (s->options->watch.pid > 0)
        shim_watch (s->shim, s->options->watch, now_of (s), s->actions);
    carry_all_out (s);
}

int serve (const struct serve_options *options)
{
    struct service *s = xcalloc (1, sizeof *s);
    int status = 1;

    s->options = options;
    s->signal_fd = -1;
    s->lock_every = LOCK_MS;
    snprintf (s->lock_path, sizeof s->lock_path, "%s/broker.lock",
              options->broker.at[0].runtime);
    if (open_all (s) == 0) {
        start_core (s);
        while (!s->ended)
            turn (s);
        status = s->status;
        shim_destroy (s->shim);
        actions_destroy (s->lists[0]);
        actions_destroy (s->lists[1]);
    }
    close_all (s);
    free (s);
    return status;
}
