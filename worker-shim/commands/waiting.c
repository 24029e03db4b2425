/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/waiting.h"

#include <stdlib.h>
#include <string.h>

#include "commands/say.h"

enum { FRESH_MS = 1000, INDENT = 3, LEAST_COLUMNS = 40 };

void waiting_from (const char *project, const struct msg_queued *q,
                   struct row_waiter *ret_row)
{
    *ret_row = (struct row_waiter){
        .count = q->count,
        .min = q->min,
        .position = q->position,
        .slots_ahead = q->slots_ahead,
        .age_ms = q->age_ms,
        .since_ms = q->since_ms,
        .eta_low_s = q->eta_low_s,
        .eta_high_s = q->eta_high_s,
    };
    copy_text (ret_row->project, sizeof ret_row->project, project);
    copy_text (ret_row->reason, sizeof ret_row->reason, q->reason);
    copy_text (ret_row->detail, sizeof ret_row->detail, q->detail);
    copy_text (ret_row->unblocks, sizeof ret_row->unblocks, q->unblocks);
}

/* ---- news ---- */

/* As the broker has it: by a quarter of what is left, and ten seconds. */
static bool eta_moved (const struct row_waiter *told,
                       const struct row_waiter *now, int64_t after_ms)
{
    double expected = (double) told->eta_high_s - (double) after_ms / 1000;
    double apart = (double) now->eta_high_s - expected;

    if (!told->eta_high_s || !now->eta_high_s)
        return told->eta_high_s != now->eta_high_s;
    apart = apart < 0 ? -apart : apart;
    return apart > 10 + (double) now->eta_high_s / 4;
}

/* What the pace allows changes by itself, every moment. */
static bool figure_moved (const struct row_waiter *told,
                          const struct row_waiter *now)
{
    return strcmp (now->reason, "PACING") != 0 &&
           strcmp (now->reason, "LEARNING") != 0 &&
           strcmp (told->detail, now->detail) != 0;
}

bool waiting_is_news (const struct row_waiter *told,
                      const struct row_waiter *now, int64_t after_ms)
{
    return told->position != now->position ||
           told->slots_ahead != now->slots_ahead ||
           strcmp (told->reason, now->reason) != 0 ||
           figure_moved (told, now) || eta_moved (told, now, after_ms);
}

/* ---- words ---- */

char *waiting_why (const struct row_waiter *w, char *ret_text, size_t size)
{
    char raw[512], eta[64], age[32] = "", ms[24];

    if (w->age_ms >= FRESH_MS)
        snprintf (age, sizeof age, ", %s ago",
                  say_age (w->age_ms, ms, sizeof ms));
    snprintf (raw, sizeof raw, "%s%s%s%s; ETA %s", w->reason,
              w->detail[0] ? ": " : "", w->detail, age,
              say_eta (w->eta_low_s, w->eta_high_s, eta, sizeof eta));
    return say_clean (raw, ret_text, size);
}

char *waiting_way_out (const struct row_waiter *w, char *ret_text, size_t size)
{
    char raw[192] = "";

    if (w->unblocks[0])
        snprintf (raw, sizeof raw, "goes on with %s", w->unblocks);
    return say_clean (raw, ret_text, size);
}

/* Where it breaks: the bytes that fit, and at least one word. Characters that
 * stand beside each other count one column each. */
static size_t fitting (const char *text, unsigned columns)
{
    size_t last = 0, i;
    unsigned used = 0;

    for (i = 0; text[i]; i++) {
        if (text[i] == ' ')
            last = i;
        used += ((unsigned char) text[i] & 0xc0) != 0x80;
        if (used > columns && last)
            return last;
    }
    return i;
}

static void wrap (FILE *out, const char *text, unsigned indent,
                  unsigned columns)
{
    do {
        size_t length =
            columns ? fitting (text, columns - indent) : strlen (text);

        fprintf (out, "%*s%.*s\n", (int) indent, "", (int) length, text);
        text += length;
        text += *text == ' ';
        indent = 2 * INDENT;
    } while (*text);
}

void waiting_say (FILE *out, const struct row_waiter *w, unsigned columns)
{
    char agents[40], why[WAITING_BYTES], line[WAITING_BYTES + 80];

    columns = columns && columns < LEAST_COLUMNS ? LEAST_COLUMNS : columns;
    snprintf (
        line, sizeof line, "Waiting for slots (%s ahead): position %llu, %s",
        say_count (w->slots_ahead, "agent", agents, sizeof agents),
        (unsigned long long) w->position, waiting_why (w, why, sizeof why));
    wrap (out, line, 0, columns);
    if (waiting_way_out (w, line, sizeof line)[0])
        wrap (out, line, INDENT, columns);
}

/* ---- JSON ---- */

static json_t *text (const char *bytes)
{
    char clean[WAITING_BYTES];

    return json_string (say_clean (bytes, clean, sizeof clean));
}

static json_t *whole (uint64_t value)
{
    return json_integer ((json_int_t) value);
}

static json_t *eta (const struct row_waiter *w)
{
    return w->eta_high_s == 0 ? json_null ()
                              : json_pack ("[oo]", whole (w->eta_low_s),
                                           whole (w->eta_high_s));
}

json_t *waiting_json (const struct row_waiter *w)
{
    json_t *all = json_pack (
        "{so so so so so so so so so so so so}", "project", text (w->project),
        "host", text (w->host), "count", whole (w->count), "min",
        whole (w->min ? w->min : w->count), "position", whole (w->position),
        "slots_ahead", whole (w->slots_ahead), "reason", text (w->reason),
        "detail", text (w->detail), "age_ms", whole (w->age_ms), "unblocks",
        text (w->unblocks), "since_s", whole (w->since_ms / 1000), "eta_s",
        eta (w));

    if (!w->host[0]) // a QUEUED is about the host that it came to
        json_object_del (all, "host");
    return all;
}
