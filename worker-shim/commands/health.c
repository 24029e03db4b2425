/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/command.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "bus/base.h"
#include "commands/ask.h"
#include "commands/flags.h"
#include "commands/say.h"

static int run_health (int argc, char **argv);

const struct command command_health = {
    .name = "health",
    .usage = "[--follow] [--json]",
    .summary = "how the hosts are",
    .help = "The newest health snapshot of each host, as the broker publishes\n"
            "it: on every change, and at least every half minute.\n"
            "\n"
            "  -f, --follow  go on until interrupted\n"
            "      --json    one JSON object a line\n",
    .examples = "  slotbus health\n"
                "  slotbus health --follow --json | jq -r .level\n",
    .run = run_health};

/* The last value of each host is published to whoever subscribes; how many
 * hosts there are nobody says: a moment without news ends it, and so does a
 * host that comes again. */
enum { FIRST_MS = 5000, MORE_MS = 250, MAX_SEEN = 64 };

struct seen {
    char host[MAX_SEEN][65];
    int count;
};

/* False: it was there before (or there are too many to tell). */
static bool note (struct seen *s, const char *host)
{
    for (int i = 0; i < s->count; i++)
        if (strcmp (s->host[i], host) == 0)
            return false;
    if (s->count == MAX_SEEN)
        return false;
    copy_text (s->host[s->count++], sizeof s->host[0], host);
    return true;
}

static char *when (uint64_t at_ms, char *ret_text, size_t size)
{
    time_t seconds = (time_t) (at_ms / 1000);
    struct tm tm;

    if (at_ms == 0 || !gmtime_r (&seconds, &tm) ||
        strftime (ret_text, size, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        snprintf (ret_text, size, "-");
    return ret_text;
}

static void figure (const char *name, double value, const char *unit,
                    const char *level)
{
    char clean[64];

    if (isnan (value))
        return;
    printf (" %s=%.1f%s", name, value, unit);
    if (level[0] && strcmp (level, "healthy") != 0)
        printf (" (%s)", say_clean (level, clean, sizeof clean));
}

static void print_text (const struct msg_health *h)
{
    char time[40], host[256], level[64], stale[800];

    printf ("%s %s %s", when (h->at_ms, time, sizeof time),
            say_clean (h->host, host, sizeof host),
            say_clean (h->level, level, sizeof level));
    figure ("cpu", h->cpu_percent, "%", h->cpu_level);
    figure ("memory", h->memory_percent, "%", h->memory_level);
    figure ("load", h->load1, "", h->load_level);
    figure ("disk", h->disk_percent, "%", h->disk_level);
    figure ("inodes", h->inodes_percent, "%", h->inodes_level);
    if (h->stale[0])
        printf (" stale=%s", say_clean (h->stale, stale, sizeof stale));
    putchar ('\n');
}

static json_t *text (const char *bytes)
{
    char clean[1024];

    return json_string (say_clean (bytes, clean, sizeof clean));
}

static json_t *real (double value)
{
    return isnan (value) ? json_null () : json_real (round (value * 10) / 10);
}

static json_t *known (const char *word)
{
    return word[0] ? text (word) : json_null ();
}

static void print_json (const struct msg_health *h)
{
    json_t *all = json_pack (
        "{si sI sI sI so so so so so so so so so so so so so so s{so so so so "
        "so} sI}",
        "schema", 1, "number", (json_int_t) h->number, "epoch",
        (json_int_t) h->epoch, "at_ms", (json_int_t) h->at_ms, "host",
        text (h->host), "level", text (h->level), "cpu_percent",
        real (h->cpu_percent), "cpu_level", known (h->cpu_level),
        "memory_percent", real (h->memory_percent), "memory_level",
        known (h->memory_level), "load1", real (h->load1), "load_level",
        known (h->load_level), "disk_percent", real (h->disk_percent),
        "disk_level", known (h->disk_level), "inodes_percent",
        real (h->inodes_percent), "inodes_level", known (h->inodes_level),
        "swap_percent", real (h->swap_percent), "stale", known (h->stale),
        "psi", "cpu_some", real (h->cpu_some), "memory_some",
        real (h->memory_some), "memory_full", real (h->memory_full), "io_some",
        real (h->io_some), "io_full", real (h->io_full), "running",
        (json_int_t) h->running);

    json_dumpf (all, stdout, JSON_COMPACT | JSON_REAL_PRECISION (15));
    putchar ('\n');
    json_decref (all);
}

static int print (struct ask *a, bool json)
{
    const struct msg *m = ask_answer (a);

    if (json)
        print_json (&m->health);
    else
        print_text (&m->health);
    return say_flush ();
}

static bool is_health (const struct ask *a)
{
    return ask_answer (a)->verb == VERB_HEALTH;
}

static int show_once (struct ask *a, bool json)
{
    int64_t until = clock_monotonic_ms () + FIRST_MS;
    struct seen seen = {.count = 0};
    int status = 0;

    while (status == 0 && ask_next (a, until)) {
        if (!is_health (a))
            continue;
        if (!note (&seen, ask_answer (a)->health.host))
            break;
        status = print (a, json);
        until = clock_monotonic_ms () + MORE_MS;
    }
    if (seen.count == 0)
        return say_failure (EXIT_NO_BROKER,
                            "the broker has published nothing: is it running?");
    return status;
}

static int follow (struct ask *a, bool json)
{
    int status = 0;

    while (status == 0)
        if (ask_next (a, -1) && is_health (a))
            status = print (a, json);
    return status;
}

static int run_health (int argc, char **argv)
{
    bool go_on = false, json = false;
    const struct flag flags[] = {{"--follow", 'f', FLAG_BOOL, &go_on, 0, 0},
                                 {"--json", 0, FLAG_BOOL, &json, 0, 0},
                                 {NULL, 0, 0, NULL, 0, 0}};
    struct arguments words;
    struct ask *a;
    int status;

    if (flags_read (&command_health, flags, FLAGS_ANYWHERE, argc, argv, &words,
                    &status))
        return status;
    if (words.count > 0)
        return usage_error (&command_health, "what is '%s'?", words.at[0]);
    a = ask_listen ("health.", &status);
    if (!a)
        return status;
    status = go_on ? follow (a, json) : show_once (a, json);
    ask_close (a);
    return status;
}
