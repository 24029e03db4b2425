/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/command.h"

#include <stdio.h>
#include <unistd.h>

#include "commands/flags.h"
#include "commands/render.h"
#include "commands/say.h"

static int run_status (int argc, char **argv);

const struct command command_status = {
    .name = "status",
    .usage = "[P] [--json] [--victims] [--watch]",
    .summary = "who has which slots, who waits and why",
    .help =
        "One consistent snapshot of everything, or of project P.\n"
        "\n"
        "      --json     one JSON object with \"schema\": 1\n"
        "      --victims  which agent would be ended first, and why, if its "
        "host\n"
        "                 could not go on otherwise\n"
        "      --watch    again every second, until interrupted\n",
    .examples = "  slotbus status\n"
                "  slotbus status consilio --json | jq .in_use\n",
    .run = run_status};

struct wish {
    char project[MAX_KEY_BYTES + 1];
    bool json, victims, watch, emoji;
};

static int show (const struct wish *w, struct ask *a)
{
    struct snapshot snapshot;
    int status = snapshot_ask (a, w->project, &snapshot);

    if (status)
        return status;
    if (w->watch && !w->json && isatty (STDOUT_FILENO))
        fputs ("\033[H\033[2J", stdout);
    if (w->json)
        render_json (stdout, &snapshot);
    else if (w->victims)
        render_victims (stdout, &snapshot);
    else if (w->project[0])
        render_project (stdout, &snapshot, w->project, w->emoji);
    else
        render_status (stdout, &snapshot, w->emoji);
    snapshot_clear (&snapshot);
    return say_flush ();
}

static int show_again (const struct wish *w, struct ask *a)
{
    int status = 0;

    while (status == 0) {
        status = show (w, a);
        sleep (1);
    }
    return status;
}

static int run_status (int argc, char **argv)
{
    struct wish w = {.json = false};
    const struct flag flags[] = {{"--json", 0, FLAG_BOOL, &w.json, 0, 0},
                                 {"--victims", 0, FLAG_BOOL, &w.victims, 0, 0},
                                 {"--watch", 0, FLAG_BOOL, &w.watch, 0, 0},
                                 {NULL, 0, 0, NULL, 0, 0}};
    struct arguments words;
    struct ask *a;
    int status;

    if (flags_read (&command_status, flags, FLAGS_ANYWHERE, argc, argv, &words,
                    &status))
        return status;
    if (words.count > 1)
        return usage_error (&command_status, "what is '%s'?", words.at[1]);
    if (words.count == 1 && project_key_of (words.at[0], w.project))
        return say_failure (EXIT_BAD_VALUE, "'%s' is not the name of a project",
                            words.at[0]);
    w.emoji = say_emoji (stdout);
    a = ask_open (&status);
    if (!a)
        return status;
    status = w.watch ? show_again (&w, a) : show (&w, a);
    ask_close (a);
    return status;
}
