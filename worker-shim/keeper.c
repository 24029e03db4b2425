/* SPDX-License-Identifier: MPL-2.0 */
/* keeper.c - one agent's tree: the program slotbus-keeper
 *
 * `run` starts one per agent. It connects to the shim, starts CMD when the
 * shim says so, and from then on does what core/keeper.h decides. It outlives
 * the shim and the run, so that a tree never runs without somebody who knows
 * its deadline (R6). There is one per agent: it is static and small.
 *
 * All signals are blocked from the start to the end; what the terminal sends
 * to the job (SIGINT, SIGTSTP, SIGHUP) is CMD's. SIGCHLD and SIGTERM are read
 * from a signalfd. The clock is a timerfd with an absolute time: on
 * CLOCK_BOOTTIME it fires as soon as a suspended machine wakes, which the
 * timeout of ppoll () would not.
 *
 * A turn reads the clock first, then everything that was sent, and only then
 * lets the core act on time: a keeper that was stopped finds the ARMs that came
 * meanwhile before it finds its deadline passed.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "bus/base.h"
#include "bus/cookie.h"
#include "core/keeper.h"
#include "keeper_options.h"
#include "keeper_wire.h"
#include "tree.h"

enum { EXIT_USAGE = 64, EXIT_UNREACHED = 69 };

/* The wait status of a command that could not be started. */
enum { NOTHING_RAN = 127 << 8 };

/* A shim that does not accept within this time is as good as none. */
enum { CONNECT_SECONDS = 5 };

/* Out of the way of descriptors that scripts choose by number. */
enum { WITNESS_FROM = 100 };

struct loop {
    struct keeper_options options;
    struct keeper core;
    struct tree tree;
    int shim, run, signals, timer; // descriptors, -1 = closed
    clockid_t clock;               // of the first ARM
    int64_t set_for;               // what the timer is set for
    char reason[257];              // why it ends, for run
};

/* --- messages --- */

static void sends (int fd, const struct keeper_packet *p)
{
    if (fd >= 0)
        (void) !send (fd, p, sizeof *p, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static struct keeper_packet packet (const struct loop *l, enum keeper_type type)
{
    return (struct keeper_packet){.magic = KEEPER_MAGIC,
                                  .type = type,
                                  .token = l->options.token,
                                  .count = l->options.count,
                                  .pid = l->tree.pid,
                                  .pid_start = l->tree.pid_start,
                                  .status = l->tree.status};
}

static void copy (char *to, size_t size, const char *text)
{
    snprintf (to, size, "%s", text);
}

static void send_attach (const struct loop *l)
{
    struct keeper_packet p = packet (l, KEEPER_ATTACH);

    p.pid = getpid ();
    copy (p.cookie, sizeof p.cookie, l->options.cookie);
    copy (p.label, sizeof p.label, l->options.label);
    copy (p.cgroup, sizeof p.cgroup, l->tree.cgroup.path);
    sends (l->shim, &p);
}

static void report (const struct loop *l, enum keeper_type type)
{
    struct keeper_packet p = packet (l, type);

    if (type == KEEPER_REAPED)
        tree_usage (&l->tree, &p.peak_bytes, &p.cpu_ms);
    sends (l->shim, &p);
    sends (l->run, &p);
}

/* To the shim it is the proof that nothing runs under the token, nor ever did:
 * to a shell such a command has the status 127. */
static void report_refused (const struct loop *l)
{
    struct keeper_packet p = packet (l, KEEPER_REFUSE);

    copy (p.reason, sizeof p.reason, l->reason);
    sends (l->run, &p);
    p.type = KEEPER_REAPED;
    p.status = NOTHING_RAN;
    sends (l->shim, &p);
}

/* --- clock --- */

static int64_t read_clock (clockid_t clock)
{
    return clock == CLOCK_BOOTTIME ? clock_boottime_ms ()
                                   : clock_monotonic_ms ();
}

/* Made for the clock of the first ARM: before it nothing is timed. */
static void choose_clock (struct loop *l, clockid_t clock)
{
    l->clock = clock;
    l->timer = timerfd_create (clock, TFD_CLOEXEC | TFD_NONBLOCK);
    if (l->timer < 0)
        abort (); // a deadline that nobody watches is worse than no keeper
}

static void set_timer (struct loop *l)
{
    int64_t due = keeper_next (&l->core);
    struct itimerspec at = {0};

    if (l->timer < 0 || due == l->set_for)
        return;
    l->set_for = due;
    if (due != INT64_MAX) {
        at.it_value.tv_sec = due / 1000;
        at.it_value.tv_nsec = due % 1000 * 1000000 + 1; // 0 would disarm
    }
    timerfd_settime (l->timer, TFD_TIMER_ABSTIME, &at, NULL);
}

/* --- what the core decides --- */

static char *assign (const char *name, const char *value)
{
    return xasprintf ("%s=%s", name, value);
}

enum { ENTRIES = 9 };

static void fill_environment (const struct loop *l, char *ret_env[ENTRIES])
{
    const struct keeper_options *o = &l->options;
    size_t n = 0;

    ret_env[n++] = assign (COOKIE_NAME, o->cookie);
    ret_env[n++] = assign ("SLOTBUS_TOKENS", o->tokens);
    ret_env[n++] = assign ("SLOTBUS_SLOTS", o->slots);
    ret_env[n++] = assign ("SLOTBUS_SHIM", o->shim);
    if (*o->project)
        ret_env[n++] = assign ("SLOTBUS_PROJECT", o->project);
    // an outer agent's label is not this one's
    ret_env[n++] = *o->label ? assign ("SLOTBUS_LABEL", o->label)
                             : xstrdup ("SLOTBUS_LABEL");
    if (*l->reason)
        ret_env[n++] = assign ("SLOTBUS_REASON", l->reason);
    ret_env[n] = NULL;
}

static void free_environment (char *env[ENTRIES])
{
    for (; *env; env++)
        free (*env);
}

static unsigned start (struct loop *l)
{
    char *env[ENTRIES];
    int failed;

    fill_environment (l, env);
    failed = tree_start (&l->tree, l->options.command, env);
    if (failed)
        snprintf (l->reason, sizeof l->reason, "cannot start %s: %s",
                  l->options.command[0], strerror (errno));
    free_environment (env);
    if (failed)
        return keeper_failed (&l->core);
    report (l, KEEPER_STARTED);
    return 0;
}

static void notice (struct loop *l)
{
    char *env[ENTRIES];

    if (!l->options.notice)
        return;
    fill_environment (l, env);
    tree_start_hook (&l->tree, l->options.notice, env);
    free_environment (env);
}

static void act (struct loop *l, unsigned todo)
{
    if (todo & KEEPER_DO_START)
        todo |= start (l);
    if (todo & KEEPER_DO_REPORT_EXITED)
        report (l, KEEPER_EXITED);
    if ((todo & KEEPER_DO_NOTICE) &&
        !(todo & (KEEPER_DO_TERM | KEEPER_DO_KILL)))
        notice (l);
    if (todo & KEEPER_DO_TERM)
        tree_term (&l->tree);
    if (todo & KEEPER_DO_KILL)
        tree_kill (&l->tree);
    if (todo & KEEPER_DO_REPORT_REAPED)
        report (l, KEEPER_REAPED);
    if (todo & KEEPER_DO_REFUSE)
        report_refused (l);
}

/* --- what comes in --- */

static void because (struct loop *l, const char *why)
{
    if (!*l->reason)
        copy (l->reason, sizeof l->reason, why);
}

static unsigned lost (struct loop *l, int *fd, const char *why, int64_t now)
{
    close (*fd);
    *fd = -1;
    because (l, why);
    return keeper_lost (&l->core, now);
}

static void on_arm (struct loop *l, const struct keeper_packet *p, int64_t now)
{
    clockid_t clock = p->boottime ? CLOCK_BOOTTIME : CLOCK_MONOTONIC;
    int64_t deadline = p->deadline_ms;

    if (l->timer < 0)
        choose_clock (l, clock);
    else if (clock != l->clock) // the shim's broker moved: what is left counts
        deadline = now + (deadline - read_clock (clock));
    keeper_arm (&l->core, deadline, p->grace_ms, p->confirm_ms, p->linger_ms);
}

static unsigned on_packet (struct loop *l, const struct keeper_packet *p,
                           int *from, int64_t now)
{
    if (p->type == KEEPER_STOP) {
        because (l, p->reason);
        return keeper_stop (&l->core, p->notice_ms, p->grace_ms, now);
    }
    if (p->type == KEEPER_ARM && from == &l->shim) {
        on_arm (l, p, now);
        return 0;
    }
    if (p->type == KEEPER_REFUSE)
        because (l, p->reason);
    return lost (l, from, "a packet that this keeper does not know", now);
}

/* Everything that was sent, up to the end of the stream. */
static unsigned drain (struct loop *l, int *from, const char *name, int64_t now)
{
    struct keeper_packet p;
    unsigned todo = 0;

    while (*from >= 0) {
        ssize_t n = recv (*from, &p, sizeof p, MSG_DONTWAIT | MSG_TRUNC);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (n != sizeof p || p.magic != KEEPER_MAGIC) {
            todo |= lost (l, from, name, now);
            break;
        }
        p.reason[sizeof p.reason - 1] = 0;
        todo |= on_packet (l, &p, from, now);
    }
    return todo;
}

static unsigned read_signals (struct loop *l, int64_t now)
{
    struct signalfd_siginfo info;
    unsigned todo = 0;

    while (read (l->signals, &info, sizeof info) == sizeof info)
        if (info.ssi_signo == SIGTERM) {
            because (l, "the keeper was terminated");
            todo |= keeper_lost (&l->core, now);
        }
    return todo;
}

static unsigned look_at_tree (struct loop *l, int64_t now)
{
    bool empty = tree_empty (&l->tree);
    unsigned todo = 0;

    if (l->tree.ended)
        todo |= keeper_exited (&l->core, now);
    if (empty)
        todo |= keeper_emptied (&l->core);
    return todo;
}

static bool turn (struct loop *l)
{
    int64_t now = read_clock (l->clock);
    unsigned todo = 0;

    todo |= drain (l, &l->shim, "the shim is gone", now);
    todo |= drain (l, &l->run, "slotbus run is gone", now);
    todo |= read_signals (l, now);
    todo |= look_at_tree (l, now);
    todo |= keeper_tick (&l->core, now);
    act (l, todo);
    return l->core.state != KEEPER_GONE;
}

/* cgroup.events is asked only when no child is left: until then it would only
 * repeat what SIGCHLD says. */
static void wait_for_news (struct loop *l)
{
    struct pollfd news[] = {
        {.fd = l->shim, .events = POLLIN},
        {.fd = l->run, .events = POLLIN},
        {.fd = l->signals, .events = POLLIN},
        {.fd = l->timer, .events = POLLIN},
        {.fd = l->tree.pid && l->tree.childless ? l->tree.cgroup.events : -1,
         .events = POLLPRI},
    };
    uint64_t fired;

    set_timer (l);
    poll (news, sizeof news / sizeof *news, -1);
    if (l->timer >= 0 && read (l->timer, &fired, sizeof fired) > 0)
        l->set_for = INT64_MIN;
}

/* --- begin and end --- */

static int connect_to (const char *path)
{
    struct sockaddr_un where = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = CONNECT_SECONDS};
    int fd, error;

    if (strlen (path) >= sizeof where.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy (where.sun_path, path);
    fd = socket (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt (fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect (fd, (struct sockaddr *) &where, sizeof where) == 0)
        return fd;
    error = errno;
    close (fd);
    errno = error;
    return -1;
}

/* The lock is on the open file, which the whole tree inherits: it is held as
 * long as the keeper or anybody of the tree lives who has not closed it. */
static bool hold_witness (const char *path)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = open (path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    int high = fd < 0 ? -1 : fcntl (fd, F_DUPFD, WITNESS_FROM);
    bool held = high >= 0 && fcntl (high, F_OFD_SETLK, &whole) == 0;

    if (!held)
        fprintf (stderr, "slotbus run: no witness lock %s: %s\n", path,
                 strerror (errno));
    if (high >= 0 && !held)
        close (high);
    if (fd >= 0)
        close (fd);
    return held;
}

static void block_signals (struct loop *l)
{
    sigset_t set;

    sigfillset (&set);
    sigprocmask (SIG_BLOCK, &set, NULL);
    sigemptyset (&set);
    sigaddset (&set, SIGCHLD);
    sigaddset (&set, SIGTERM);
    l->signals = signalfd (-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (l->signals < 0)
        abort ();
}

/* What the peer may have sent last is read before the socket is closed: unread
 * data would turn the end of the stream into an error, and the peer would meet
 * that error before our last report. */
static void hang_up (int fd)
{
    struct keeper_packet p;

    if (fd < 0)
        return;
    shutdown (fd, SHUT_RD);
    while (recv (fd, &p, sizeof p, MSG_DONTWAIT) > 0)
        ;
    close (fd);
}

static int attach (struct loop *l)
{
    l->shim = connect_to (l->options.shim);
    if (l->shim < 0) {
        snprintf (l->reason, sizeof l->reason,
                  "cannot reach the shim at %s: %s", l->options.shim,
                  strerror (errno));
        return -1;
    }
    tree_init (&l->tree, l->options.token, !l->options.no_cgroup);
    send_attach (l);
    return 0;
}

static int keep (struct loop *l)
{
    const char *witness = l->options.witness;
    bool held = witness && hold_witness (witness);

    block_signals (l);
    if (attach (l))
        act (l, keeper_failed (&l->core));
    else
        while (turn (l))
            wait_for_news (l);
    if (held)
        unlink (witness);
    tree_close (&l->tree);
    hang_up (l->shim);
    hang_up (l->run);
    return l->tree.pid ? EXIT_SUCCESS : EXIT_UNREACHED;
}

int main (int argc, char **argv)
{
    struct loop l = {.shim = -1,
                     .timer = -1,
                     .set_for = INT64_MIN,
                     .clock = CLOCK_MONOTONIC,
                     .tree = {.cgroup = CGROUP_NONE}};

    if (keeper_options_read (&l.options, argc, argv))
        return EXIT_USAGE;
    l.run = l.options.run;
    keeper_init (&l.core);
    return keep (&l);
}
