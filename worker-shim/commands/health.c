/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/command.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>

#include "commands/flags.h"
#include "commands/listen.h"
#include "commands/say.h"
#include "commands/topics.h"

static int run_health (int argc, char **argv);

const struct command command_health = {
    .name = "health",
    .usage = "[--follow] [--json]",
    .summary = "how the hosts are",
    .help =
        "The newest health snapshot of each host, as the broker publishes\n"
        "it: on every change, and at least every half minute.\n"
        "\n"
        "  -f, --follow  go on until interrupted, also while the broker is\n"
        "                away. What was lost on the way is said: \"gap ...\"\n"
        "      --json    one JSON object a line; a gap is one too\n",
    .examples = "  slotbus health\n"
                "  slotbus health --follow --json | jq -r .level\n",
    .run = run_health};

static void print_text (const struct msg *m)
{
    char time[40], host[256];

    printf ("%s %s ", topic_time (m->health.at_ms, time, sizeof time),
            say_clean (m->health.host, host, sizeof host));
    topic_words (stdout, m);
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

static json_t *whole (uint64_t value, bool is_known)
{
    return is_known ? json_integer ((json_int_t) value) : json_null ();
}

static json_t *known (const char *word)
{
    return word[0] ? text (word) : json_null ();
}

static void print_json (const struct msg_health *h)
{
    json_t *all = json_pack (
        "{si sI sI so so so so so so so so so so so so so so so s{so so so so "
        "so} so}",
        "schema", 1, "number", (json_int_t) h->number, "epoch",
        (json_int_t) h->epoch, "at_ms", whole (h->at_ms, h->at_ms > 0), "host",
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
        whole (h->running, !h->gone));

    json_dumpf (all, stdout, JSON_COMPACT | JSON_REAL_PRECISION (15));
    putchar ('\n');
    json_decref (all);
}

/* What is lost is repaired by what came now; that it was is said apart from
 * what stands there for each host. */
static int print (void *arg, const struct heard *heard)
{
    bool json = *(const bool *) arg;

    if (heard->msg->verb != VERB_HEALTH)
        return 0;
    if (heard->news == NEWS_GAP && json)
        topic_gap_json (stdout, heard->topic, heard->first, heard->last);
    else if (heard->news == NEWS_GAP)
        topic_gap (stderr, heard->topic, heard->first, heard->last);
    if (json)
        print_json (&heard->msg->health);
    else
        print_text (heard->msg);
    return say_flush ();
}

static int run_health (int argc, char **argv)
{
    bool go_on = false, json = false;
    const struct flag flags[] = {{"--follow", 'f', FLAG_BOOL, &go_on, 0, 0},
                                 {"--json", 0, FLAG_BOOL, &json, 0, 0},
                                 {NULL, 0, 0, NULL, 0, 0}};
    const char *const prefixes[] = {"health.", NULL};
    struct arguments words;
    struct listen *l;
    int status;

    if (flags_read (&command_health, flags, FLAGS_ANYWHERE, argc, argv, &words,
                    &status))
        return status;
    if (words.count > 0)
        return usage_error (&command_health, "what is '%s'?", words.at[0]);
    l = listen_open (prefixes, &status);
    if (!l)
        return status;
    status =
        go_on ? listen_on (l, print, &json) : listen_once (l, print, &json);
    listen_close (l);
    return status;
}
