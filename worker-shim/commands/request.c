/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/command.h"

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <string.h>

#include "bus/base.h"
#include "commands/flags.h"
#include "commands/grant.h"
#include "commands/reach.h"
#include "commands/say.h"
#include "commands/waiting.h"
#include "local.h"
#include "supervisor.h"

static int run_request (int argc, char **argv);

const struct command command_request = {
    .name = "request",
    .usage = "P N [--min K] [--label L1,L2..] [--nowait | --timeout S] ...",
    .summary = "ask for N slots for project P",
    .help =
        "Waits until all N are granted, says so, and ends; the slots belong\n"
        "to the supervisor that asked until it releases them or ends. While "
        "it\n"
        "waits it says on stderr, at every change, for what. Where P has no\n"
        "shim on this host, one is started.\n"
        "\n"
        "      --min K        K are enough: the grant is between K and N\n"
        "  -l, --label L,..   names of the agents, in order\n"
        "      --nowait       exit 75 instead of waiting\n"
        "      --timeout S    exit 124 if nothing was granted for S seconds\n"
        "      --priority X   1..1000: behind the project's other requests;\n"
        "                     above the project's own it changes nothing\n"
        "      --bound supervisor  the workers live inside the supervisor\n"
        "      --watch PID    the supervisor; else SLOTBUS_SUPERVISOR,\n"
        "                     CLAUDE_PID, or whoever started this command\n"
        "      --json         the result as one JSON object\n",
    .examples = "  slotbus request consilio 5 --label auth,api,tests,docs,ui\n"
                "  slotbus request odin 2 --timeout 10m || exit\n",
    .run = run_request};

struct wish {
    const char *project, *labels, *bound;
    uint64_t count, min, priority, watch;
    bool nowait, json, timed;
    int64_t timeout_ms;
};

static int check (struct wish *w, const struct arguments *words)
{
    if (words->count < 2)
        return usage_error (&command_request, "a project and a number of "
                                              "slots are needed");
    if (words->count > 2)
        return usage_error (&command_request, "what is '%s'?", words->at[2]);
    w->project = words->at[0];
    if (number_of (words->at[1], 1, MAX_SLOTS, &w->count))
        return say_failure (EXIT_BAD_VALUE, "slots: expected 1..%d, got '%s'",
                            MAX_SLOTS, words->at[1]);
    if (w->min > w->count)
        return usage_error (&command_request, "--min is more than %llu",
                            (unsigned long long) w->count);
    if (w->bound && strcmp (w->bound, "supervisor") != 0)
        return usage_error (&command_request, "--bound: expected supervisor");
    w->timed = w->timeout_ms >= 0;
    if (w->timed && w->nowait)
        return usage_error (&command_request,
                            "--nowait and --timeout contradict");
    return 0;
}

static int read_wish (struct wish *w, int argc, char **argv)
{
    const struct flag flags[] = {
        {"--min", 0, FLAG_NUMBER, &w->min, 1, MAX_SLOTS},
        {"--label", 'l', FLAG_TEXT, &w->labels, 0, 0},
        {"--nowait", 0, FLAG_BOOL, &w->nowait, 0, 0},
        {"--timeout", 0, FLAG_DURATION, &w->timeout_ms, 0, 0},
        {"--priority", 0, FLAG_NUMBER, &w->priority, 1, 1000},
        {"--bound", 0, FLAG_TEXT, &w->bound, 0, 0},
        {"--watch", 0, FLAG_NUMBER, &w->watch, 1, INT32_MAX},
        {"--json", 0, FLAG_BOOL, &w->json, 0, 0},
        {NULL, 0, 0, NULL, 0, 0}};
    struct arguments words;
    int status;

    w->timeout_ms = -1;
    if (flags_read (&command_request, flags, FLAGS_ANYWHERE, argc, argv, &words,
                    &status))
        return status ? status : -1; // -1: --help is all that was wanted
    return check (w, &words);
}

static void fill (const struct wish *w, const struct supervisor *of,
                  const struct reach *reach, struct msg_request *ret_request)
{
    message_init_fields (ret_request, VERB_REQUEST);
    copy_text (ret_request->project, sizeof ret_request->project,
               reach->project);
    ret_request->seq = 1;
    ret_request->count = w->count;
    ret_request->min = w->min;
    if (w->labels)
        copy_text (ret_request->labels, sizeof ret_request->labels, w->labels);
    ret_request->supervisor = (uint64_t) of->pid;
    ret_request->start = (uint64_t) of->start;
    ret_request->priority = w->priority;
    ret_request->bound = w->bound != NULL;
    ret_request->nowait = w->nowait;
}

static void print_text (const struct wish *w, const struct msg_grant *grant)
{
    char tokens[8192], of[32] = "", name[128];

    if (grant->count < w->count)
        snprintf (of, sizeof of, " of %llu", (unsigned long long) w->count);
    printf ("Granted %llu%s slot%s to %s: %s\n",
            (unsigned long long) grant->count, of, w->count == 1 ? "" : "s",
            say_clean (w->project, name, sizeof name),
            say_tokens (&grant->tokens, tokens, sizeof tokens));
}

/* Whether it waited, and for what last. */
static json_t *wait_json (const struct grant_wait *wait)
{
    return wait->waited ? waiting_json (&wait->told) : json_null ();
}

static void print_json (const struct reach *reach,
                        const struct grant_wait *wait)
{
    const struct msg_grant *grant = &wait->grant;
    json_t *tokens = json_array ();
    json_t *all;

    for (uint32_t i = 0; i < grant->tokens.count; i++)
        json_array_append_new (tokens,
                               json_integer ((json_int_t) grant->tokens.at[i]));
    all = json_pack ("{si ss sI sI so sI so}", "schema", 1, "project",
                     reach->project, "granted", (json_int_t) grant->count,
                     "asked", (json_int_t) grant->asked, "tokens", tokens,
                     "waited_ms", (json_int_t) grant->waited_ms, "waited_for",
                     wait_json (wait));
    json_dumpf (all, stdout, JSON_COMPACT);
    putchar ('\n');
    json_decref (all);
}

/* The grant is confirmed once it was printed: if it cannot be, whoever asked
 * does not know of it, and the shim gives it back when we hang up. */
static int take (const struct wish *w, struct reach *reach,
                 const struct grant_wait *wait)
{
    const struct msg_grant *grant = &wait->grant;
    int status;

    if (w->json)
        print_json (reach, wait);
    else
        print_text (w, grant);
    status = say_flush ();
    if (status)
        return status;
    grant_confirm (reach, grant);
    return 0;
}

static int run_request (int argc, char **argv)
{
    struct wish wish = {0};
    struct supervisor supervisor;
    struct reach reach;
    struct grant_wait wait = {0};
    char error[256], name[256];
    int status = read_wish (&wish, argc, argv);

    if (status)
        return status < 0 ? EXIT_DONE : status;
    if ((status = reach_project (&reach, wish.project)))
        return status;
    if (supervisor_find ((pid_t) wish.watch, &supervisor, error, sizeof error))
        return say_failure (EXIT_USAGE, "%s", error);
    fprintf (stderr, "slotbus: watching %s (pid %ld)\n",
             say_clean (supervisor.name, name, sizeof name),
             (long) supervisor.pid);
    signal (SIGPIPE, SIG_IGN);
    reach.start = true;
    reach.watch = supervisor.pid;
    fill (&wish, &supervisor, &reach, &wait.request);
    wait.deadline = wish.timed ? clock_monotonic_ms () + wish.timeout_ms : -1;
    status = grant_wait (&reach, &wait);
    if (status == 0)
        status = take (&wish, &reach, &wait);
    reach_close (&reach);
    return status;
}
