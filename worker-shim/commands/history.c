/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "bus/base.h"
#include "commands/ask.h"
#include "commands/flags.h"
#include "commands/history_view.h"
#include "commands/say.h"

static int run_history (int argc, char **argv);

const struct command command_history = {
    .name = "history",
    .usage = "[P] [--since D] [--accuracy] [--json]",
    .summary = "what ran, how long it took and waited",
    .help = "Slot-hours, waits and kills of each project and day (UTC); of\n"
            "project P also what the agents of each label took (time, waits,\n"
            "memory, CPU), and its newest runs. A slot counts on the day on\n"
            "which it was free again. Kept for 90 days.\n"
            "\n"
            "      --since D   7d, 2h, or a day: 2026-11-01 (default 7d)\n"
            "      --accuracy  how often runs ended within their forecast\n"
            "      --json      one JSON object with \"schema\": 1\n",
    .examples = "  slotbus history\n"
                "  slotbus history consilio --since 30d\n"
                "  slotbus history --accuracy --since 2026-11-01\n"
                "  slotbus history consilio --json | jq '.runs[].run_ms'\n"
                "  slotbus history consilio --json | jq '.labels'\n",
    .run = run_history};

enum {
    SHOWN_RUNS = 20,
    SHOWN_LABELS = 20,
    SUMMED_PAGES = 64, // that labels are summed up of, where people look
    MAX_PAGES = 4096
};

static const uint64_t DAY_MS = 86400000;

struct wish {
    char project[MAX_KEY_BYTES + 1];
    uint64_t since_ms;
    bool accuracy, json;
};

/* ---- asking ---- */

/* Up to `pages` pages of days or of runs. The sums come with the first. */
static int ask_pages (struct ask *a, struct history_view *v, bool days,
                      unsigned pages)
{
    const struct msg_history_ok *ok = &ask_answer (a)->history_ok;
    struct msg_history in;
    int rc;

    message_init_fields (&in, VERB_HISTORY);
    copy_text (in.project, sizeof in.project, v->project);
    in.since_ms = v->since_ms;
    in.days = days;
    for (unsigned i = 0; i < pages; i++) {
        rc = ask_call (a, VERB_HISTORY, &in, VERB_HISTORY_OK);
        if (rc)
            return rc;
        if (i == 0) {
            v->all.total = ok->total;
            v->all.scored = ok->scored;
            v->all.inside = ok->inside;
        }
        history_view_add (v, ok);
        v->cut = ok->next && (!in.cursor || ok->next < in.cursor);
        if (!v->cut)
            break;
        in.cursor = ok->next;
    }
    return 0;
}

static bool is_listed (const struct history_view *v, const char *project)
{
    for (size_t i = 0; i < v->accuracy_count; i++)
        if (strcmp (v->accuracies[i].project, project) == 0)
            return true;
    return false;
}

static int ask_accuracy (struct ask *a, struct history_view *v,
                         const char *project)
{
    struct history_view one = {.since_ms = v->since_ms};
    struct accuracy *result;
    int rc;

    copy_text (one.project, sizeof one.project, project);
    rc = ask_pages (a, &one, true, 1);
    v->accuracies = xrealloc (v->accuracies,
                              (v->accuracy_count + 1) * sizeof *v->accuracies);
    result = &v->accuracies[v->accuracy_count++];
    *result = one.all;
    copy_text (result->project, sizeof result->project, project);
    history_view_clear (&one);
    return rc;
}

static int ask_accuracies (struct ask *a, struct history_view *v)
{
    int rc = 0;

    for (size_t i = 0; i < v->day_count && rc == 0; i++)
        if (!is_listed (v, v->days[i].project))
            rc = ask_accuracy (a, v, v->days[i].project);
    return rc;
}

/* Runs are asked for of one project only: all of them are too many to read. */
static int ask_all (struct ask *a, const struct wish *w, struct history_view *v)
{
    int rc = ask_pages (a, v, true, MAX_PAGES);

    if (rc == 0 && w->accuracy)
        rc = ask_accuracies (a, v);
    if (rc == 0 && w->project[0] && !w->accuracy)
        rc = ask_pages (a, v, false, w->json ? MAX_PAGES : SUMMED_PAGES);
    return rc;
}

/* ---- showing ---- */

static unsigned columns (void)
{
    struct winsize size;
    uint64_t columns;
    const char *said = getenv ("COLUMNS");

    if (said && number_of (said, 20, 1000, &columns) == 0)
        return (unsigned) columns;
    if (ioctl (STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20)
        return size.ws_col;
    return 80;
}

static void say_nothing (const struct history_view *v)
{
    char date[24];

    printf ("Nothing%s%s has ended since %s (UTC).\n",
            v->project[0] ? " of " : "", v->project,
            history_view_date (v->since_ms, true, date, sizeof date));
}

static void show (const struct wish *w, const struct history_view *v)
{
    if (w->json) {
        history_view_json (stdout, v);
    } else if (v->day_count == 0 && v->run_count == 0) {
        say_nothing (v);
    } else if (w->accuracy) {
        history_view_accuracy (stdout, v);
    } else {
        history_view_days (stdout, v, columns (), say_emoji (stdout));
        if (w->project[0] && v->run_count) {
            putchar ('\n');
            history_view_labels (stdout, v, columns (), SHOWN_LABELS);
            history_view_runs (stdout, v, columns (), SHOWN_RUNS);
        }
    }
}

/* ---- the command ---- */

/* "2026-11-01": its beginning, UTC. */
static int day_of (const char *text, uint64_t *ret_ms)
{
    struct tm at = {0}, back;
    time_t seconds;
    char end;

    if (sscanf (text, "%4d-%2d-%2d%c", &at.tm_year, &at.tm_mon, &at.tm_mday,
                &end) != 3 ||
        at.tm_year < 1970)
        return -1;
    at.tm_year -= 1900;
    at.tm_mon -= 1;
    back = at;
    seconds = timegm (&back);
    if (seconds < 0 || back.tm_mon != at.tm_mon || back.tm_mday != at.tm_mday)
        return -1; // the 31st of June
    *ret_ms = (uint64_t) seconds * 1000;
    return 0;
}

static int since_of (const char *text, uint64_t *ret_ms)
{
    int64_t now = clock_wall_ms (), ago;

    if (!text) {
        *ret_ms = (uint64_t) now / DAY_MS * DAY_MS - 6 * DAY_MS;
        return 0;
    }
    if (day_of (text, ret_ms) == 0)
        return 0;
    if (duration_of (text, &ago))
        return -1;
    *ret_ms = now > ago ? (uint64_t) (now - ago) : 0;
    return 0;
}

static int ask_and_show (const struct wish *w)
{
    struct history_view v = {.since_ms = w->since_ms};
    struct ask *a;
    int status;

    copy_text (v.project, sizeof v.project, w->project);
    a = ask_open (&status);
    if (!a)
        return status;
    status = ask_all (a, w, &v);
    if (status == 0) {
        show (w, &v);
        status = say_flush ();
    }
    history_view_clear (&v);
    ask_close (a);
    return status;
}

static int run_history (int argc, char **argv)
{
    struct wish w = {.json = false};
    const char *since = NULL;
    const struct flag flags[] = {
        {"--since", 0, FLAG_TEXT, &since, 0, 0},
        {"--accuracy", 0, FLAG_BOOL, &w.accuracy, 0, 0},
        {"--json", 0, FLAG_BOOL, &w.json, 0, 0},
        {NULL, 0, 0, NULL, 0, 0}};
    struct arguments words;
    int status;

    if (flags_read (&command_history, flags, FLAGS_ANYWHERE, argc, argv, &words,
                    &status))
        return status;
    if (words.count > 1)
        return usage_error (&command_history, "what is '%s'?", words.at[1]);
    if (words.count == 1 && project_key_of (words.at[0], w.project))
        return say_failure (EXIT_BAD_VALUE, "'%s' is not the name of a project",
                            words.at[0]);
    if (since_of (since, &w.since_ms))
        return say_failure (EXIT_BAD_VALUE,
                            "--since: expected 7d, 2h or a day such as "
                            "2026-11-01, got '%s'",
                            since);
    return ask_and_show (&w);
}
