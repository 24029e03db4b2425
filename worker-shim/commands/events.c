/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/command.h"

#include <stdio.h>
#include <string.h>

#include "bus/base.h"
#include "commands/flags.h"
#include "commands/listen.h"
#include "commands/say.h"
#include "commands/topics.h"

static int run_events (int argc, char **argv);

const struct command command_events = {
    .name = "events",
    .usage = "[--follow] [--topic PREFIX]... [--json]",
    .summary = "everything that the broker publishes",
    .help =
        "The last value of each topic: health.HOST, pool.HOST, lease.PROJECT,\n"
        "queue.PROJECT and broker. Each is a whole picture, not a step.\n"
        "\n"
        "  -f, --follow        go on until interrupted, also while the broker\n"
        "                      is away. What was lost on the way is said:\n"
        "                      \"gap TOPIC: 3 lost (12-14)\"\n"
        "  -t, --topic PREFIX  only topics that begin so; may be given again\n"
        "      --json          one JSON object a line, with the keys of the\n"
        "                      protocol; a gap is one too\n",
    .examples = "  slotbus events --follow\n"
                "  slotbus events -f -t pool. -t queue.odin\n"
                "  slotbus events --json --topic lease. | jq .tokens\n",
    .run = run_events};

struct wish {
    struct texts topics;
    bool follow, json, any;
};

static bool is_wanted (const struct wish *w, const char *topic)
{
    for (unsigned i = 0; i < w->topics.count; i++)
        if (strncmp (topic, w->topics.at[i], strlen (w->topics.at[i])) == 0)
            return true;
    return w->topics.count == 0;
}

static void print_text (const struct heard *heard)
{
    char time[40], topic[1024];

    if (heard->news == NEWS_GAP)
        topic_gap (stdout, heard->topic, heard->first, heard->last);
    printf ("%s %s ",
            topic_time ((uint64_t) clock_wall_ms (), time, sizeof time),
            say_clean (heard->topic, topic, sizeof topic));
    topic_words (stdout, heard->msg);
    putchar ('\n');
}

static int print (void *arg, const struct heard *heard)
{
    struct wish *w = arg;

    if (!is_wanted (w, heard->topic))
        return 0;
    w->any = true;
    if (!w->json)
        print_text (heard);
    else {
        if (heard->news == NEWS_GAP)
            topic_gap_json (stdout, heard->topic, heard->first, heard->last);
        topic_json (stdout, heard->topic, heard->msg);
    }
    return say_flush ();
}

/* The broker's own topic is always there: hearing it tells a broker that has
 * nothing of what is wanted from none at all. */
static void list_prefixes (const struct wish *w,
                           const char *ret_prefixes[MAX_TEXTS + 2])
{
    unsigned n = w->topics.count;

    memcpy (ret_prefixes, w->topics.at, n * sizeof *ret_prefixes);
    if (n == 0)
        ret_prefixes[n++] = "";
    else if (!w->follow)
        ret_prefixes[n++] = "broker";
    ret_prefixes[n] = NULL;
}

static int show (struct wish *w)
{
    const char *prefixes[MAX_TEXTS + 2];
    struct listen *l;
    int status;

    list_prefixes (w, prefixes);
    l = listen_open (prefixes, &status);
    if (!l)
        return status;
    status = w->follow ? listen_on (l, print, w) : listen_once (l, print, w);
    listen_close (l);
    if (status == 0 && !w->any)
        fputs ("slotbus: no such topic is published now\n", stderr);
    return status;
}

static int run_events (int argc, char **argv)
{
    struct wish w = {.follow = false};
    const struct flag flags[] = {{"--follow", 'f', FLAG_BOOL, &w.follow, 0, 0},
                                 {"--topic", 't', FLAG_TEXTS, &w.topics, 0, 0},
                                 {"--json", 0, FLAG_BOOL, &w.json, 0, 0},
                                 {NULL, 0, 0, NULL, 0, 0}};
    struct arguments words;
    int status;

    if (flags_read (&command_events, flags, FLAGS_ANYWHERE, argc, argv, &words,
                    &status))
        return status;
    if (words.count > 0)
        return usage_error (&command_events,
                            "what is '%s'? A topic is said as --topic %s",
                            words.at[0], words.at[0]);
    return show (&w);
}
