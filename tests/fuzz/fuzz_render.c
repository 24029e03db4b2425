/* SPDX-License-Identifier: MPL-2.0 */
/* fuzz_render.c - whatever a broker may say, as people and programs read it
 *
 * A snapshot of any pages as text and as JSON, and any published message. What
 * comes out never has a control character, and JSON is one object that a
 * parser reads.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "commands/gaps.h"
#include "commands/render.h"
#include "commands/topics.h"
#include "fuzz/feed.h"

enum { MOST_PAGES = 3 };

static struct msg msg;

/* What was printed since. */
struct page {
    FILE *out;
    char *text;
    size_t size;
};

static void open_page (struct page *p)
{
    *p = (struct page){NULL, NULL, 0};
    p->out = open_memstream (&p->text, &p->size);
    must (p->out != NULL, "no memory");
}

static void close_words (struct page *p)
{
    fclose (p->out);
    must (strlen (p->text) == p->size, "a NUL is printed");
    must_be_clean (p->text, p->size, true, "odd characters are printed");
    free (p->text);
}

static void close_json (struct page *p)
{
    json_error_t error;
    json_t *object;

    fclose (p->out);
    must (p->size > 0 && p->text[p->size - 1] == '\n', "no end of line");
    must (memchr (p->text, '\n', p->size - 1) == NULL, "more than one line");
    must_be_clean (p->text, p->size, true, "odd characters in JSON");
    object = json_loadb (p->text, p->size, JSON_REJECT_DUPLICATES, &error);
    must (json_is_object (object), "that is no JSON");
    must (json_integer_value (json_object_get (object, "schema")) == 1,
          "no schema");
    json_decref (object);
    free (p->text);
}

static void add_page (struct feed *f, struct snapshot *s)
{
    message_init (&msg, VERB_STATUS_OK);
    copy_text (msg.status_ok.level, sizeof msg.status_ok.level, "healthy");
    feed_fields (f, VERB_STATUS_OK, &msg.status_ok);
    snapshot_add (s, &msg.status_ok);
}

static void check_status (struct feed *f)
{
    struct snapshot s = {.host_count = 0};
    char project[MAX_KEY_BYTES + 1] = "a";
    bool emoji = feed_byte (f) & 1;
    struct page p;

    for (unsigned i = 0; i < MOST_PAGES && (i == 0 || !feed_over (f)); i++)
        add_page (f, &s);
    if (s.agent_count)
        copy_text (project, sizeof project, s.agents[0].project);
    open_page (&p);
    render_status (p.out, &s, emoji);
    close_words (&p);
    open_page (&p);
    render_project (p.out, &s, project, emoji);
    close_words (&p);
    open_page (&p);
    render_json (p.out, &s);
    close_json (&p);
    snapshot_clear (&s);
}

static void check_gap (const char *topic, uint64_t first, uint64_t last)
{
    struct page p;

    open_page (&p);
    topic_gap (p.out, topic, first, last);
    close_words (&p);
    open_page (&p);
    topic_gap_json (p.out, topic, first, last);
    close_json (&p);
}

static void check_topic (struct feed *f, struct gaps *gaps, enum verb verb)
{
    uint64_t epoch = feed_below (f, 3), number = feed_number (f), missing;
    bool gone = feed_byte (f) & 1;
    char topic[200];
    struct page p;

    feed_text (f, topic, sizeof topic);
    message_init (&msg, verb);
    feed_fields (f, verb, &msg.hello);
    open_page (&p);
    topic_words (p.out, &msg);
    close_words (&p);
    open_page (&p);
    topic_json (p.out, topic, &msg);
    close_json (&p);
    if (gaps_note (gaps, topic, epoch, number, gone, &missing) == NEWS_GAP) {
        must (missing > 0 && missing < number, "more is lost than there was");
        check_gap (topic, number - missing, number - 1);
    } else
        must (missing == 0, "lost without a gap");
}

static void check_topics (struct feed *f)
{
    static const enum verb verbs[] = {VERB_HEALTH, VERB_POOL, VERB_LEASE,
                                      VERB_QUEUE, VERB_BROKER};
    struct gaps *gaps = gaps_create ();

    for (unsigned i = 0; i < 20 && !feed_over (f); i++)
        check_topic (f, gaps, verbs[feed_below (f, 5)]);
    gaps_destroy (gaps);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    struct feed f = {data, data + size};

    if (feed_byte (&f) & 1)
        check_status (&f);
    else
        check_topics (&f);
    return 0;
}
