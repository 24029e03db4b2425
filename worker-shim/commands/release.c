/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/command.h"

#include <string.h>
#include <unistd.h>

#include "commands/ask.h"
#include "commands/flags.h"
#include "commands/reach.h"
#include "commands/say.h"
#include "commands/snapshot.h"
#include "supervisor.h"

static int run_release (int argc, char **argv);

const struct command command_release = {
    .name = "release",
    .usage = "P N | P --token T.. [--kill] [--watch PID] [--force]",
    .summary = "give N slots of project P back, or these",
    .help =
        "By number: of the slots of this command's supervisor, idle ones\n"
        "first, newest first. A slot whose agent still runs is not released:\n"
        "that is said, and exit 75.\n"
        "\n"
        "      --token T,..  these slots: 17 or 17-21; may be given again\n"
        "      --kill        end the agents that still run first\n"
        "      --watch PID   of this supervisor's slots\n"
        "      --force       (administrator) closes slots at the broker, "
        "whatever\n"
        "                    runs there: the last resort, with --token only\n",
    .examples = "  slotbus release consilio 5\n"
                "  slotbus release consilio --token 17-19\n",
    .run = run_release};

enum { ANSWER_MS = 10000, KILL_ANSWER_MS = 120000 };

struct wish {
    const char *project;
    uint64_t count, watch;
    struct u64s tokens;
    bool kill, force;
};

static struct msg answer;

static int read_wish (struct wish *w, int argc, char **argv)
{
    const struct flag flags[] = {
        {"--token", 't', FLAG_TOKENS, &w->tokens, 0, 0},
        {"--kill", 0, FLAG_BOOL, &w->kill, 0, 0},
        {"--force", 0, FLAG_BOOL, &w->force, 0, 0},
        {"--watch", 0, FLAG_NUMBER, &w->watch, 1, INT32_MAX},
        {NULL, 0, 0, NULL, 0, 0}};
    struct arguments words;
    int status;

    if (flags_read (&command_release, flags, FLAGS_ANYWHERE, argc, argv, &words,
                    &status))
        return status ? status : -1;
    if (words.count < 1 || (words.count < 2 && w->tokens.count == 0))
        return usage_error (&command_release,
                            "a project, and a number or --token, are needed");
    if (words.count > 2 || (words.count == 2 && w->tokens.count > 0))
        return usage_error (&command_release,
                            "a number of slots or --token, not both");
    if (w->force && w->tokens.count == 0)
        return usage_error (&command_release, "--force needs --token");
    if (w->force && (w->kill || w->watch))
        return usage_error (&command_release,
                            "--force contradicts --kill and --watch");
    w->project = words.at[0];
    if (words.count == 2 && number_of (words.at[1], 1, MAX_SLOTS, &w->count))
        return say_failure (EXIT_BAD_VALUE, "slots: expected 1..%d, got '%s'",
                            MAX_SLOTS, words.at[1]);
    return 0;
}

/* "3 still run", "17 was closed already": what else is to be said. */
static void add_note (char *notes, size_t size, const struct u64s *tokens,
                      const char *what)
{
    char list[4096];
    size_t used = strlen (notes);

    if (tokens->count > 0)
        snprintf (notes + used, size - used, "; %s %s",
                  say_tokens (tokens, list, sizeof list), what);
}

static int report (const struct wish *w, const struct msg_released *r)
{
    uint64_t found = r->tokens.count + r->busy.count;
    char notes[16384] = "", count[32], name[128];
    size_t used;

    if (r->busy.count > 0)
        snprintf (notes, sizeof notes, "; %llu still run%s",
                  (unsigned long long) r->busy.count,
                  r->busy.count == 1 ? "s" : "");
    add_note (notes, sizeof notes, &r->expired, "closed already");
    add_note (notes, sizeof notes, &r->unknown, "never issued");
    used = strlen (notes);
    if (w->count > found)
        snprintf (notes + used, sizeof notes - used,
                  "; %llu were asked for, no more are held",
                  (unsigned long long) w->count);
    printf ("Released %s of %s%s\n",
            say_count (r->tokens.count, "slot", count, sizeof count),
            say_clean (w->project, name, sizeof name), notes);
    if (say_flush ())
        return EXIT_OTHER;
    if (r->busy.count > 0)
        return EXIT_NOT_NOW;
    return r->unknown.count > 0 ? EXIT_BAD_VALUE : EXIT_DONE;
}

static int by_broker (const struct wish *w)
{
    struct msg_release release;
    struct ask *a;
    int status;

    message_init_fields (&release, VERB_RELEASE);
    release.tokens = w->tokens;
    release.force = true;
    a = ask_open (&status);
    if (!a)
        return status;
    status = ask_call (a, VERB_RELEASE, &release, VERB_RELEASED);
    if (status == 0)
        status = report (w, &ask_answer (a)->released);
    ask_close (a);
    return status;
}

static int nothing_held (const struct wish *w)
{
    struct msg_released nothing;

    message_init_fields (&nothing, VERB_RELEASED);
    nothing.expired = w->tokens;
    return report (w, &nothing);
}

/* No shim runs. What it held when it was killed still counts, and is a
 * successor's to release. */
static bool still_counted (const struct reach *reach)
{
    struct endpoint_list to;
    struct snapshot s;
    const struct row_project *row;
    char error[4 * PATH_BYTES];
    struct ask *a;
    bool denied, counted = false;
    int status;

    if (endpoints_find (&to, &denied, error, sizeof error))
        return false; // no broker: nothing counts
    a = ask_open (&status);
    if (a && snapshot_ask (a, reach->project, &s) == 0) {
        row = snapshot_project (&s, reach->project);
        counted = row && row->held + row->limbo > 0;
        snapshot_clear (&s);
    }
    ask_close (a);
    return counted;
}

static int ask_shim (const struct wish *w, struct reach *reach,
                     const struct msg_release *release)
{
    int timeout_ms = w->kill ? KILL_ANSWER_MS : ANSWER_MS;
    int status = reach_ask (reach, VERB_RELEASE, release, timeout_ms, &answer);

    if (status != REACH_NONE || !still_counted (reach))
        return status;
    reach->start = reach->live = true;
    reach->watch =
        release->supervisor ? (pid_t) release->supervisor : getpid ();
    return reach_ask (reach, VERB_RELEASE, release, timeout_ms, &answer);
}

static int by_shim (const struct wish *w, struct reach *reach)
{
    struct supervisor supervisor = {0};
    struct msg_release release;
    char error[256];
    int status;

    // who cannot be told may still be the only one
    if (supervisor_find ((pid_t) w->watch, &supervisor, error, sizeof error) &&
        w->watch)
        return say_failure (EXIT_USAGE, "%s", error);
    message_init_fields (&release, VERB_RELEASE);
    release.tokens = w->tokens;
    release.count = w->count;
    release.supervisor = (uint64_t) supervisor.pid;
    release.kill = w->kill;
    status = ask_shim (w, reach, &release);
    if (status == REACH_NONE)
        return nothing_held (w);
    if (status == REACH_TIMEOUT)
        return say_failure (EXIT_NO_BROKER, "no answer from %s's shim",
                            reach->project);
    if (status)
        return status;
    if (answer.verb == VERB_ERROR)
        return say_refusal (&answer.error);
    return report (w, &answer.released);
}

static int run_release (int argc, char **argv)
{
    struct wish wish = {0};
    struct reach reach;
    int status = read_wish (&wish, argc, argv);

    if (status)
        return status < 0 ? EXIT_DONE : status;
    if (wish.force)
        return by_broker (&wish);
    if ((status = reach_project (&reach, wish.project)))
        return status;
    status = by_shim (&wish, &reach);
    reach_close (&reach);
    return status;
}
