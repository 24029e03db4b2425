/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/command.h"

#include "commands/flags.h"
#include "commands/reach.h"
#include "commands/say.h"
#include "supervisor.h"

static int run_cancel (int argc, char **argv);

const struct command command_cancel = {
    .name = "cancel",
    .usage = "P [--all | --watch PID]",
    .summary = "withdraw project P's waiting requests",
    .help = "Those of this command's supervisor that wait on this host: a\n"
            "`request` or `run` that waits ends with 1. What was granted\n"
            "meanwhile stays. Where it has none that wait, those of the only\n"
            "one that has.\n"
            "\n"
            "      --all        those of every supervisor\n"
            "      --watch PID  those of this supervisor\n",
    .examples = "  slotbus cancel odin\n"
                "  slotbus cancel odin --all\n",
    .run = run_cancel};

enum { ANSWER_MS = 10000 };

static struct msg answer;

static int say_withdrawn (const struct reach *reach, uint64_t count)
{
    char requests[40], name[128];

    printf ("Withdrew %s of %s\n",
            say_count (count, "request", requests, sizeof requests),
            say_clean (reach->typed, name, sizeof name));
    return say_flush ();
}

static int run_cancel (int argc, char **argv)
{
    bool all = false;
    uint64_t watch = 0;
    const struct flag flags[] = {
        {"--all", 0, FLAG_BOOL, &all, 0, 0},
        {"--watch", 0, FLAG_NUMBER, &watch, 1, INT32_MAX},
        {NULL, 0, 0, NULL, 0, 0}};
    struct supervisor supervisor = {0};
    struct msg_cancel cancel;
    char error[256];
    struct arguments words;
    struct reach reach;
    int status;

    if (flags_read (&command_cancel, flags, FLAGS_ANYWHERE, argc, argv, &words,
                    &status))
        return status;
    if (words.count > 1)
        return usage_error (&command_cancel, "what is '%s'?", words.at[1]);
    if (all && watch)
        return usage_error (&command_cancel, "--all contradicts --watch");
    // who cannot be told may still be the only one
    if (supervisor_find ((pid_t) watch, &supervisor, error, sizeof error) &&
        watch)
        return say_failure (EXIT_USAGE, "%s", error);
    if ((status = reach_project (&reach, words.at[0])))
        return status;
    message_init_fields (&cancel, VERB_CANCEL);
    cancel.all = all;
    cancel.supervisor = (uint64_t) supervisor.pid;
    status = reach_ask (&reach, VERB_CANCEL, &cancel, ANSWER_MS, &answer);
    reach_close (&reach);
    if (status == REACH_NONE)
        return say_withdrawn (&reach, 0);
    if (status == REACH_TIMEOUT)
        return say_failure (EXIT_NO_BROKER, "no answer from %s's shim",
                            reach.project);
    if (status)
        return status;
    if (answer.verb == VERB_ERROR)
        return say_refusal (&answer.error);
    return say_withdrawn (&reach, answer.ok.count);
}
