/* SPDX-License-Identifier: MPL-2.0 */
/* pause and resume: one is the other's end. */
#include "commands/command.h"

#include <stdio.h>

#include "commands/flags.h"
#include "commands/say.h"
#include "commands/snapshot.h"

static int run_pause (int argc, char **argv);
static int run_resume (int argc, char **argv);

const struct command command_pause = {
    .name = "pause",
    .usage = "P [--reason R]",
    .summary = "grant nothing more to project P",
    .help = "What it holds goes on; its requests wait, and keep their place.\n"
            "Stays so until `slotbus resume P`, whoever restarts.\n"
            "\n"
            "      --reason R  why: who waits and the log are told\n",
    .examples = "  slotbus pause odin\n"
                "  slotbus pause odin --reason 'until the release is out'\n",
    .run = run_pause};

const struct command command_resume = {
    .name = "resume",
    .usage = "P [--reason R]",
    .summary = "end a pause of project P",
    .help = "Its requests are served again from where they stand.\n"
            "\n"
            "      --reason R  why: for the log\n",
    .examples = "  slotbus resume odin\n",
    .run = run_resume};

/* PAUSE and RESUME have the same fields. */
struct wish {
    const struct command *command;
    enum verb verb;
    struct msg msg;
    char *project; // in msg
};

static int read_wish (struct wish *w, int argc, char **argv)
{
    bool pause = w->verb == VERB_PAUSE;
    const char *reason = "";
    const struct flag flags[] = {{"--reason", 0, FLAG_TEXT, &reason, 0, 0},
                                 {NULL, 0, 0, NULL, 0, 0}};
    struct arguments words;
    int status;

    if (flags_read (w->command, flags, FLAGS_ANYWHERE, argc, argv, &words,
                    &status))
        return status ? status : -1;
    if (words.count != 1)
        return usage_error (w->command, "one project is needed");
    message_init (&w->msg, w->verb);
    w->project = pause ? w->msg.pause.project : w->msg.resume.project;
    if (project_key_of (words.at[0], w->project))
        return say_failure (EXIT_BAD_VALUE, "'%s' is not the name of a project",
                            words.at[0]);
    if (pause)
        copy_text (w->msg.pause.reason, sizeof w->msg.pause.reason, reason);
    else
        copy_text (w->msg.resume.reason, sizeof w->msg.resume.reason, reason);
    return 0;
}

/* How it was before. */
static const struct row_project *look (struct ask *a, const struct wish *w,
                                       struct snapshot *ret_snapshot,
                                       int *ret_status)
{
    static const struct row_project nothing;
    const struct row_project *row;

    *ret_status = snapshot_ask (a, w->project, ret_snapshot);
    if (*ret_status)
        return NULL;
    row = snapshot_project (ret_snapshot, w->project);
    return row ? row : &nothing;
}

/* "3 requests wait", "1 request waits", "no request waits". */
static char *say_requests (uint64_t count, const char *verb, char *ret_text,
                           size_t size)
{
    char requests[40];

    if (count == 0)
        snprintf (ret_text, size, "no request %ss", verb);
    else
        snprintf (ret_text, size, "%s %s%s",
                  say_count (count, "request", requests, sizeof requests), verb,
                  count == 1 ? "s" : "");
    return ret_text;
}

static void say_paused (const struct wish *w, const struct row_project *was,
                        uint64_t waiting)
{
    uint64_t held = was->held + was->limbo;
    char requests[80], agents[40];

    printf ("%s%s%s: %s, %s go%s on\n", was->paused ? "" : "Paused ",
            w->project, was->paused ? " is paused already" : "",
            say_requests (waiting, "wait", requests, sizeof requests),
            held ? say_count (held, "agent", agents, sizeof agents)
                 : "no agents",
            held == 1 ? "es" : "");
    printf ("   To end it: slotbus resume %s\n", w->project);
}

static void say_resumed (const struct wish *w, const struct row_project *was,
                         uint64_t waiting)
{
    char requests[80];

    printf (was->paused ? "Resumed %s: %s\n" : "%s was not paused: %s\n",
            w->project,
            say_requests (waiting, "wait", requests, sizeof requests));
}

static int carry_out (struct ask *a, const struct wish *w,
                      const struct row_project *was)
{
    const void *fields =
        w->verb == VERB_PAUSE ? (const void *) &w->msg.pause : &w->msg.resume;
    int status = ask_call (a, w->verb, fields, VERB_OK);

    if (status)
        return status;
    if (w->verb == VERB_PAUSE)
        say_paused (w, was, ask_answer (a)->ok.count);
    else
        say_resumed (w, was, ask_answer (a)->ok.count);
    return say_flush ();
}

static int run (const struct command *command, enum verb verb, int argc,
                char **argv)
{
    static struct wish w; // a message of any verb is large
    struct snapshot snapshot = {.hosts = NULL};
    const struct row_project *was;
    struct ask *a;
    int status;

    w.command = command;
    w.verb = verb;
    status = read_wish (&w, argc, argv);
    if (status)
        return status < 0 ? EXIT_DONE : status;
    a = ask_open (&status);
    if (!a)
        return status;
    was = look (a, &w, &snapshot, &status);
    if (was)
        status = carry_out (a, &w, was);
    snapshot_clear (&snapshot);
    ask_close (a);
    return status;
}

static int run_pause (int argc, char **argv)
{
    return run (&command_pause, VERB_PAUSE, argc, argv);
}

static int run_resume (int argc, char **argv)
{
    return run (&command_resume, VERB_RESUME, argc, argv);
}
