/* SPDX-License-Identifier: MPL-2.0 */
/* park - the tree gives its slots back while CMD runs
 *
 * The connection to the shim says that somebody keeps the tree parked: should
 * this process die, the tree comes back by itself. CMD is an ordinary child in
 * this terminal and job, and belongs to the tree like all others; it need not
 * be counted, for it waits. What it starts with `run` has slots of its own.
 *
 * A park that is refused is no reason not to run CMD: nothing is lost by it but
 * the slots that others could have used meanwhile.
 */
#include "commands/command.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus/reactor.h"
#include "commands/flags.h"
#include "commands/grant.h"
#include "commands/reach.h"
#include "commands/say.h"
#include "commands/within.h"

static int run_park (int argc, char **argv);

const struct command command_park = {
    .name = "park",
    .usage = "-- CMD..",
    .summary = "give this run's slots back while CMD runs",
    .help =
        "Inside `slotbus run`, for a command that only waits for others: it\n"
        "gives the slots of the run back, runs CMD, waits until it has as "
        "many\n"
        "again, ahead of what else its project wants, and exits as CMD did.\n"
        "A `run` in CMD takes slots of its own. What else the run does "
        "meanwhile\n"
        "is not counted: park only what waits.\n"
        "\n"
        "If it may not be parked (too many are), CMD runs all the same, and "
        "the\n"
        "slots are kept. After the return `status` shows the run under new\n"
        "tokens; `progress` inside of it finds it as before.\n",
    .examples = "  slotbus park -- slotbus run -l child -- ./child.sh\n"
                "  slotbus park -- sleep 600\n",
    .run = run_park};

enum { ANSWER_MS = 10000 };

enum outcome { PARKED, PERHAPS, REFUSED };

struct job {
    struct reach reach;
    struct sigaction on_int, on_quit; // as they were
    sigset_t mask;                    // likewise
    int signals;
    pid_t child;
    int status; // wait status
};

static struct grant_wait back;
static struct msg answer;

/* ---- PARK ---- */

static enum outcome not_parked (const char *why)
{
    char clean[600];

    fprintf (stderr, "slotbus: not parked, the slots are kept: %s\n",
             say_clean (why, clean, sizeof clean));
    return REFUSED;
}

static enum outcome ask_park (struct reach *reach)
{
    struct msg_park park;
    int status;

    message_init_fields (&park, VERB_PARK);
    park.seq = 1;
    u64s_add (&park.tokens, within_tree ());
    status = reach_ask (reach, VERB_PARK, &park, ANSWER_MS, &answer);
    if (status == REACH_TIMEOUT)
        return PERHAPS; // its broker is away, and may hear of it later
    if (status)
        return not_parked ("the shim of this run is gone");
    if (answer.verb != VERB_ERROR)
        return PARKED;
    return not_parked (answer.error.detail[0] ? answer.error.detail
                                              : answer.error.error);
}

/* ---- CMD ---- */

static void nothing (int number)
{
    (void) number;
}

/* Ctrl-C is CMD's, as in `run`. */
static void leave_to_command (int number, struct sigaction *ret_was)
{
    struct sigaction caught = {.sa_handler = nothing, .sa_flags = SA_RESTART};

    if (sigaction (number, NULL, ret_was) == 0 &&
        ret_was->sa_handler != SIG_IGN)
        sigaction (number, &caught, NULL);
}

static int open_signals (struct job *j)
{
    sigprocmask (SIG_SETMASK, NULL, &j->mask);
    leave_to_command (SIGINT, &j->on_int);
    leave_to_command (SIGQUIT, &j->on_quit);
    signal (SIGCHLD, SIG_DFL);
    j->signals = signals_open (SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD, 0);
    if (j->signals >= 0)
        return 0;
    return say_failure (EXIT_OTHER, "signalfd: %s", strerror (errno));
}

/* Who only waits can be interrupted: the tree comes back without it. */
static void close_signals (struct job *j)
{
    close (j->signals);
    sigaction (SIGINT, &j->on_int, NULL);
    sigaction (SIGQUIT, &j->on_quit, NULL);
    sigprocmask (SIG_SETMASK, &j->mask, NULL);
}

static _Noreturn void become_command (const struct job *j, char **command)
{
    sigaction (SIGINT, &j->on_int, NULL);
    sigaction (SIGQUIT, &j->on_quit, NULL);
    sigprocmask (SIG_SETMASK, &j->mask, NULL);
    execvp (command[0], command);
    _exit (say_failure (errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE,
                        "%s: %s", command[0], strerror (errno)));
}

static bool has_ended (struct job *j)
{
    return waitpid (j->child, &j->status, WNOHANG) == j->child;
}

/* What is sent to this process alone is meant for CMD. */
static void wait_for_command (struct job *j)
{
    int number;

    while (!has_ended (j)) {
        struct pollfd news = {.fd = j->signals, .events = POLLIN};

        poll (&news, 1, -1);
        while ((number = signals_read (j->signals)) != 0) {
            if (number != SIGCHLD)
                kill (j->child, number);
        }
    }
}

static int exit_of (int status)
{
    return WIFSIGNALED (status) ? EXIT_SIGNAL + WTERMSIG (status)
                                : WEXITSTATUS (status);
}

static int run_command (struct job *j, char **command)
{
    int status = open_signals (j);

    if (status)
        return status;
    fflush (NULL);
    j->child = fork ();
    if (j->child == 0)
        become_command (j, command);
    if (j->child > 0)
        wait_for_command (j);
    close_signals (j);
    if (j->child < 0)
        return say_failure (EXIT_OTHER, "cannot fork: %s", strerror (errno));
    return exit_of (j->status);
}

/* ---- the way back ---- */

/* A tree that cannot come back is being ended: CMD's status is the better
 * answer, for whoever still reads it. */
static void come_back (struct reach *reach)
{
    message_init_fields (&back.request, VERB_REQUEST);
    copy_text (back.request.project, sizeof back.request.project,
               reach->project);
    back.request.seq = 2;
    back.request.count = within_slots ();
    back.request.parked = within_tree ();
    back.deadline = -1;
    if (grant_wait (reach, &back) == REACH_NONE)
        say_failure (0, "the shim of this run is gone");
}

static int park (struct job *j, char **command)
{
    enum outcome outcome = ask_park (&j->reach);
    int status;

    if (outcome != REFUSED)
        within_set_parked ();
    status = run_command (j, command);
    if (outcome != REFUSED)
        come_back (&j->reach);
    return status;
}

static int run_park (int argc, char **argv)
{
    const struct flag flags[] = {{NULL, 0, 0, NULL, 0, 0}};
    struct job job = {.signals = -1};
    struct arguments words;
    int status;

    if (flags_read (&command_park, flags, FLAGS_BEFORE_WORDS, argc, argv,
                    &words, &status))
        return status;
    if (words.count == 0)
        return usage_error (&command_park, "which command is to be run?");
    if (!within_tree ())
        return usage_error (&command_park,
                            "this is no `slotbus run`: there is no slot to "
                            "give back");
    if ((status = reach_project (&job.reach, NULL)))
        return status;
    status = park (&job, words.at);
    reach_close (&job.reach);
    return status;
}
