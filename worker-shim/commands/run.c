/* SPDX-License-Identifier: MPL-2.0 */
/* run - CMD in a slot, with a keeper, in this terminal
 *
 * Three processes in one job: this one waits, the keeper holds CMD's tree, CMD
 * works. This one is a subreaper: if the keeper is killed, its children fall
 * here and are ended. Ctrl-C reaches all three; only CMD minds. The end of
 * this process ends the tree, because the keeper sees its socket close.
 */
#include "commands/command.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus/base.h"
#include "bus/endpoint.h"
#include "bus/lock.h"
#include "bus/proc.h"
#include "bus/reactor.h"
#include "commands/flags.h"
#include "commands/grant.h"
#include "commands/jobserver.h"
#include "commands/keeper_path.h"
#include "commands/notice.h"
#include "commands/reach.h"
#include "commands/say.h"
#include "commands/within.h"
#include "keeper_wire.h"
#include "supervisor.h"
#include "tree.h"

static int run_run (int argc, char **argv);

const struct command command_run = {
    .name = "run",
    .usage = "-p P [-l LABEL] [-n N] [--max-time D] [--notice HOOK] "
             "[--preemptible] -- CMD..",
    .summary = "run CMD in a slot of project P",
    .help =
        "Uses a slot that its supervisor holds idle, else waits for one; runs\n"
        "CMD in this terminal under a keeper; gives the slot back when CMD "
        "and\n"
        "all that it started are gone; exits as CMD did (128 + N for signal "
        "N).\n"
        "Inside another run of P it uses that one's slot, unless that one is\n"
        "parked (`slotbus park`). CMD finds\n"
        "SLOTBUS_SLOTS, SLOTBUS_TOKENS and SLOTBUS_PROJECT set.\n"
        "\n"
        "  -p, --project P    else SLOTBUS_PROJECT\n"
        "  -l, --label L      its name in `status`\n"
        "  -n, --slots N      N slots for one tree (1)\n"
        "      --max-time D   end it after D, counted from its start, by this\n"
        "                     command: SIGTERM, ten seconds later SIGKILL\n"
        "      --notice HOOK  run by sh before CMD is ended by anybody but "
        "this\n"
        "                     command, so that it can save its work: it finds\n"
        "                     SLOTBUS_PROJECT, SLOTBUS_TOKENS, SLOTBUS_LABEL "
        "and\n"
        "                     SLOTBUS_REASON set. Else "
        "SLOTBUS_NOTICE_COMMAND,\n"
        "                     else notice_command of this host's broker (if "
        "that\n"
        "                     is root's or yours); '' for none\n"
        "      --preemptible  may be ended before others in an emergency\n"
        "      --jobserver    CMD is told of a jobserver with N jobs, for "
        "make\n"
        "                     and cargo\n"
        "      --own-slot     take one, though inside another run of P\n"
        "      --nowait       exit 75 instead of waiting\n"
        "      --timeout S    exit 124 if no slot was granted for S seconds\n"
        "      --priority X   1..1000: behind the project's other requests;\n"
        "                     above the project's own it changes nothing\n",
    .examples = "  slotbus run -p consilio -l auth -- make -j2\n"
                "  slotbus run -p odin -n 4 --jobserver -- make\n"
                "  slotbus run -p odin --max-time 1h -- ./agent.sh\n",
    .run = run_run};

enum { GRACE_MS = 10000, SWEEP_MS = 20, TOKENS_BYTES = 8192 };

struct wish {
    const char *project, *label, *notice;
    uint64_t slots, priority;
    int64_t max_time_ms, timeout_ms;
    bool preemptible, jobserver, own_slot, nowait;
    char **command;
};

struct job {
    const struct wish *wish;
    struct reach *reach;
    const struct msg_grant *grant;
    pid_t keeper;
    int stream, signals;
    int64_t end_at; // clock_monotonic_ms (), -1 = no maximum
    bool exited, reaped, refused, keeper_gone;
    int status; // wait status of CMD
    int keeper_status;
    char reason[257]; // REFUSE
    bool only_child;  // whatever is our child belongs to the tree
};

static int read_wish (struct wish *w, int argc, char **argv)
{
    const struct flag flags[] = {
        {"--project", 'p', FLAG_TEXT, &w->project, 0, 0},
        {"--label", 'l', FLAG_TEXT, &w->label, 0, 0},
        {"--slots", 'n', FLAG_NUMBER, &w->slots, 1, MAX_HELD},
        {"--max-time", 0, FLAG_DURATION, &w->max_time_ms, 0, 0},
        {"--preemptible", 0, FLAG_BOOL, &w->preemptible, 0, 0},
        {"--notice", 0, FLAG_TEXT, &w->notice, 0, 0},
        {"--jobserver", 0, FLAG_BOOL, &w->jobserver, 0, 0},
        {"--own-slot", 0, FLAG_BOOL, &w->own_slot, 0, 0},
        {"--nowait", 0, FLAG_BOOL, &w->nowait, 0, 0},
        {"--timeout", 0, FLAG_DURATION, &w->timeout_ms, 0, 0},
        {"--priority", 0, FLAG_NUMBER, &w->priority, 1, 1000},
        {NULL, 0, 0, NULL, 0, 0}};
    struct arguments words;
    int status;

    *w = (struct wish){.slots = 1, .max_time_ms = -1, .timeout_ms = -1};
    if (flags_read (&command_run, flags, FLAGS_BEFORE_WORDS, argc, argv, &words,
                    &status))
        return status ? status : -1;
    if (words.count == 0)
        return usage_error (&command_run, "which command is to be run?");
    if (w->nowait && w->timeout_ms >= 0)
        return usage_error (&command_run, "--nowait and --timeout contradict");
    w->command = words.at;
    return 0;
}

/* ---- under its parent's slot ---- */

static bool is_nested (const struct wish *w, const struct reach *reach)
{
    const char *project = getenv ("SLOTBUS_PROJECT");
    const char *tokens = getenv ("SLOTBUS_TOKENS");

    return !w->own_slot && project && tokens && *tokens && !within_parked () &&
           strcmp (project, reach->project) == 0;
}

static int become_command (const struct wish *w)
{
    execvp (w->command[0], w->command);
    return say_failure (errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE,
                        "%s: %s", w->command[0], strerror (errno));
}

/* ---- the slot ---- */

/* Where nobody can be told, or the shim is ours alone, the supervisor is this
 * process: it lives as long as the run. */
static void fill_request (const struct wish *w, struct reach *reach,
                          struct msg_request *ret_request)
{
    struct supervisor supervisor;
    char error[256];

    if (supervisor_find (0, &supervisor, error, sizeof error))
        supervisor = (struct supervisor){.pid = getpid (),
                                         .start = proc_start (getpid ())};
    reach->start = true;
    reach->watch = getpid ();
    message_init_fields (ret_request, VERB_REQUEST);
    copy_text (ret_request->project, sizeof ret_request->project,
               reach->project);
    ret_request->seq = 1;
    ret_request->count = w->slots;
    if (w->label && !strchr (w->label, ','))
        copy_text (ret_request->labels, sizeof ret_request->labels, w->label);
    ret_request->supervisor = (uint64_t) supervisor.pid;
    ret_request->start = (uint64_t) supervisor.start;
    ret_request->priority = w->priority;
    ret_request->run = true;
    ret_request->preemptible = w->preemptible;
    ret_request->nowait = w->nowait;
}

/* ---- the keeper ---- */

/* RUNTIME/witness of a broker of this host; "" where there is none. */
static void witness_path (uint64_t token, char *ret_path, size_t size)
{
    struct endpoint_list to;
    char error[4 * PATH_BYTES], folder[PATH_BYTES + 16];
    bool denied;

    ret_path[0] = 0;
    if (endpoints_find (&to, &denied, error, sizeof error) ||
        !to.at[0].runtime[0])
        return;
    snprintf (folder, sizeof folder, "%s/witness", to.at[0].runtime);
    if (access (folder, W_OK | X_OK) == 0)
        snprintf (ret_path, size, "%s/%llu", folder,
                  (unsigned long long) token);
}

struct keeper_words {
    char path[PATH_BYTES + 64], shim[PATH_BYTES], witness[PATH_BYTES + 64];
    char notice[NOTICE_BYTES];
    char stream[16], token[24], count[16], tokens[TOKENS_BYTES];
};

static void list_tokens (const struct u64s *tokens, char *ret_text, size_t size)
{
    size_t used = 0;

    for (uint32_t i = 0; i < tokens->count && used < size; i++)
        used += (size_t) snprintf (ret_text + used, size - used, "%s%llu",
                                   i ? "," : "",
                                   (unsigned long long) tokens->at[i]);
}

static void fill_words (const struct job *j, int stream, struct keeper_words *k)
{
    const struct msg_grant *grant = j->grant;

    keeper_path (k->path, sizeof k->path);
    snprintf (k->shim, sizeof k->shim, "%.*s/keepers", PATH_BYTES - 16,
              j->reach->folder);
    witness_path (grant->tokens.at[0], k->witness, sizeof k->witness);
    notice_find (j->wish->notice, k->notice, sizeof k->notice);
    snprintf (k->stream, sizeof k->stream, "%d", stream);
    snprintf (k->token, sizeof k->token, "%llu",
              (unsigned long long) grant->tokens.at[0]);
    snprintf (k->count, sizeof k->count, "%u", grant->tokens.count);
    list_tokens (&grant->tokens, k->tokens, sizeof k->tokens);
}

static char **keeper_argv (const struct job *j, struct keeper_words *k)
{
    const char *fixed[] = {"slotbus-keeper", "--shim",    k->shim,
                           "--run-fd",       k->stream,   "--token",
                           k->token,         "--count",   k->count,
                           "--tokens",       k->tokens,   "--cookie",
                           j->grant->cookie, "--project", j->reach->project};
    size_t n = 0, commands = 0;
    char **argv;

    while (j->wish->command[commands])
        commands++;
    argv = xcalloc (sizeof fixed / sizeof *fixed + 8 + commands, sizeof *argv);
    for (; n < sizeof fixed / sizeof *fixed; n++)
        argv[n] = (char *) fixed[n];
    if (j->wish->label) {
        argv[n++] = (char *) "--label";
        argv[n++] = (char *) j->wish->label;
    }
    if (k->witness[0]) {
        argv[n++] = (char *) "--witness";
        argv[n++] = k->witness;
    }
    if (k->notice[0]) {
        argv[n++] = (char *) "--notice";
        argv[n++] = k->notice;
    }
    argv[n++] = (char *) "--";
    memcpy (argv + n, j->wish->command, commands * sizeof *argv);
    return argv;
}

static _Noreturn void become_keeper (const struct job *j, int stream,
                                     const sigset_t *mask)
{
    struct keeper_words words;

    fill_words (j, stream, &words);
    sigprocmask (SIG_SETMASK, mask, NULL);
    execvp (words.path, keeper_argv (j, &words));
    _exit (say_failure (EXIT_OTHER, "cannot start %s: %s", words.path,
                        strerror (errno)));
}

/* The keeper's end is not CLOEXEC; only the keeper is started from here. */
static int start_keeper (struct job *j, const sigset_t *mask)
{
    int pair[2];

    if (socketpair (AF_UNIX, SOCK_SEQPACKET, 0, pair))
        return say_failure (EXIT_OTHER, "socketpair: %s", strerror (errno));
    j->only_child = tree_become_subreaper ();
    fflush (NULL);
    j->keeper = fork ();
    if (j->keeper == 0) {
        close (pair[0]);
        become_keeper (j, pair[1], mask);
    }
    close (pair[1]);
    j->stream = pair[0];
    if (j->keeper < 0)
        return say_failure (EXIT_OTHER, "cannot fork: %s", strerror (errno));
    return 0;
}

/* ---- while it runs ---- */

static void nothing (int number)
{
    (void) number;
}

/* Ctrl-C is CMD's. Caught, not ignored: what is ignored stays so in CMD, and
 * what a caller had ignored shall. */
static void leave_to_command (int number)
{
    struct sigaction now,
        caught = {.sa_handler = nothing, .sa_flags = SA_RESTART};

    if (sigaction (number, NULL, &now) == 0 && now.sa_handler != SIG_IGN)
        sigaction (number, &caught, NULL);
}

static int open_signals (struct job *j, sigset_t *ret_mask)
{
    sigprocmask (SIG_SETMASK, NULL, ret_mask);
    leave_to_command (SIGINT);
    leave_to_command (SIGQUIT);
    signal (SIGCHLD, SIG_DFL);
    j->signals = signals_open (SIGTERM, SIGHUP, SIGCHLD, 0);
    if (j->signals >= 0)
        return 0;
    return say_failure (EXIT_OTHER, "signalfd: %s", strerror (errno));
}

/* The keeper ends the tree, and then says REAPED. */
static void ask_keeper (const struct job *j, const char *why)
{
    struct keeper_packet stop = {.magic = KEEPER_MAGIC,
                                 .type = KEEPER_STOP,
                                 .token = j->grant->tokens.at[0],
                                 .count = j->grant->tokens.count,
                                 .grace_ms = GRACE_MS};

    copy_text (stop.reason, sizeof stop.reason, why);
    (void) !send (j->stream, &stop, sizeof stop, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void on_packet (struct job *j, const struct keeper_packet *p)
{
    switch (p->type) {
    case KEEPER_EXITED:
        j->exited = true;
        j->status = p->status;
        break;
    case KEEPER_REAPED:
        j->exited = j->reaped = true;
        j->status = p->status;
        break;
    case KEEPER_REFUSE:
        j->refused = true;
        memcpy (j->reason, p->reason, sizeof j->reason);
        j->reason[sizeof j->reason - 1] = 0;
        break;
    default: break;
    }
}

/* Everything that the keeper has said; the end of its stream closes ours. */
static void read_stream (struct job *j)
{
    struct keeper_packet p;
    ssize_t n;

    while (j->stream >= 0) {
        n = recv (j->stream, &p, sizeof p, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n != sizeof p || p.magic != KEEPER_MAGIC) {
            close (j->stream);
            j->stream = -1;
            return;
        }
        on_packet (j, &p);
    }
}

static void reap_keeper (struct job *j)
{
    int status;

    if (waitpid (j->keeper, &status, WNOHANG) == j->keeper) {
        j->keeper_gone = true;
        j->keeper_status = status;
    }
}

static void read_signals (struct job *j)
{
    int number;

    while ((number = signals_read (j->signals)) != 0) {
        if (number != SIGCHLD)
            ask_keeper (j, number == SIGTERM ? "slotbus run was terminated"
                                             : "the terminal is gone");
    }
    reap_keeper (j); // several may end for one SIGCHLD
}

static int time_left (const struct job *j)
{
    int64_t left;

    if (j->end_at < 0)
        return -1;
    left = j->end_at - clock_monotonic_ms ();
    return left < 0 ? 0 : left > 3600000 ? 3600000 : (int) left;
}

static void end_when_due (struct job *j)
{
    if (j->end_at < 0 || clock_monotonic_ms () < j->end_at)
        return;
    j->end_at = -1;
    fprintf (stderr, "slotbus: --max-time has passed, ending %s\n",
             j->wish->command[0]);
    ask_keeper (j, "its --max-time has passed");
}

/* Until the keeper is gone and all that it said was read. */
static void wait_for_keeper (struct job *j)
{
    while (!j->keeper_gone) {
        struct pollfd news[] = {{.fd = j->stream, .events = POLLIN},
                                {.fd = j->signals, .events = POLLIN}};

        poll (news, 2, time_left (j));
        end_when_due (j);
        read_stream (j);
        read_signals (j);
    }
    read_stream (j);
}

/* ---- the end ---- */

static int exit_of (int status)
{
    return WIFSIGNALED (status) ? EXIT_SIGNAL + WTERMSIG (status)
                                : WEXITSTATUS (status);
}

/* The keeper's to remove; a shim that it never reached does not know of it. */
static void remove_witness (const struct job *j)
{
    char path[PATH_BYTES + 64];

    witness_path (j->grant->tokens.at[0], path, sizeof path);
    if (path[0] && lock_query (path) == LOCK_FREE)
        unlink (path);
}

/* What it held falls to this process, and must not get away. The shim looks
 * as well, but it may be gone too. */
static int sweep (const struct job *j)
{
    char why[64];

    while (tree_end_adopted (j->only_child, j->grant->cookie) == TREE_ALIVE)
        usleep (SWEEP_MS * 1000);
    remove_witness (j);
    if (WIFSIGNALED (j->keeper_status))
        snprintf (why, sizeof why, "was ended by signal %d",
                  WTERMSIG (j->keeper_status));
    else
        snprintf (why, sizeof why, "exited with %d",
                  WEXITSTATUS (j->keeper_status));
    return say_failure (EXIT_OTHER,
                        "the keeper %s; what it kept was ended with it", why);
}

static int finish (const struct job *j)
{
    if (j->refused)
        return say_failure (EXIT_OTHER, "not started: %s", j->reason);
    if (j->reaped)
        return exit_of (j->status);
    return sweep (j);
}

static int keep (struct job *j)
{
    sigset_t mask;
    int status;

    if ((status = open_signals (j, &mask)) ||
        (status = start_keeper (j, &mask)))
        return status;
    if (j->wish->max_time_ms >= 0)
        j->end_at = clock_monotonic_ms () + j->wish->max_time_ms;
    wait_for_keeper (j);
    return finish (j);
}

static int offer_jobs (const struct job *j)
{
    if (j->wish->jobserver && jobserver_offer (j->grant->tokens.count))
        return say_failure (EXIT_OTHER, "no jobserver: %s", strerror (errno));
    return 0;
}

static int run_run (int argc, char **argv)
{
    static struct grant_wait wait;
    struct wish wish;
    struct reach reach;
    struct job job = {.wish = &wish,
                      .reach = &reach,
                      .grant = &wait.grant,
                      .stream = -1,
                      .signals = -1,
                      .end_at = -1};
    int status = read_wish (&wish, argc, argv);

    if (status)
        return status < 0 ? EXIT_DONE : status;
    if ((status = reach_project (&reach, wish.project)))
        return status;
    if (is_nested (&wish, &reach))
        return become_command (&wish);
    fill_request (&wish, &reach, &wait.request);
    wait.deadline =
        wish.timeout_ms < 0 ? -1 : clock_monotonic_ms () + wish.timeout_ms;
    status = grant_wait (&reach, &wait);
    if (status == 0) {
        grant_confirm (&reach, &wait.grant);
        status = offer_jobs (&job);
    }
    if (status == 0)
        status = keep (&job);
    reach_close (&reach);
    return status;
}
