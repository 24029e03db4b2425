/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/history_view.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bus/base.h"
#include "commands/history_labels.h"
#include "commands/say.h"

enum {
    LEAST_BAR = 6, // columns
    GOOD_BAR = 16,
    MOST_BAR = 48,
    RUN_FIGURES = 63,
    LABEL_FIGURES = 62,
    FORECAST = 20,
    LEAST_LABEL = 12,
    MOST_LABEL = 40
};

void history_view_add (struct history_view *v, const struct msg_history_ok *ok)
{
    v->days =
        xrealloc (v->days, (v->day_count + ok->days_count) * sizeof *v->days);
    memcpy (v->days + v->day_count, ok->days, ok->days_count * sizeof *v->days);
    v->day_count += ok->days_count;
    v->runs =
        xrealloc (v->runs, (v->run_count + ok->runs_count) * sizeof *v->runs);
    memcpy (v->runs + v->run_count, ok->runs, ok->runs_count * sizeof *v->runs);
    v->run_count += ok->runs_count;
}

void history_view_clear (struct history_view *v)
{
    free (v->days);
    free (v->runs);
    free (v->accuracies);
    memset (v, 0, sizeof *v);
}

char *history_view_date (uint64_t ms, bool with_time, char *ret_text,
                         size_t size)
{
    time_t seconds = (time_t) (ms / 1000);
    struct tm at;

    if (!gmtime_r (&seconds, &at) ||
        !strftime (ret_text, size, with_time ? "%Y-%m-%d %H:%M" : "%Y-%m-%d",
                   &at))
        snprintf (ret_text, size, "?");
    return ret_text;
}

/* ---- days ---- */

static int by_project (const void *a, const void *b)
{
    const struct row_day *x = a, *y = b;
    int order = strcmp (x->project, y->project);

    if (order)
        return order;
    return (x->day_ms < y->day_ms) - (x->day_ms > y->day_ms);
}

static char *pair (uint64_t half_ms, uint64_t most_ms, char *ret_text,
                   size_t size)
{
    char half[24], most[24];

    snprintf (ret_text, size, "%s / %s", say_age (half_ms, half, sizeof half),
              say_age (most_ms, most, sizeof most));
    return ret_text;
}

static void bar (FILE *out, uint64_t part, uint64_t whole, unsigned width,
                 bool blocks)
{
    double share = whole ? (double) part / (double) whole : 0;
    unsigned length = (unsigned) (share * width + 0.5);

    length = length == 0 && part ? 1 : length; // little is not nothing
    for (unsigned i = 0; i < width; i++)
        fputs (i >= length ? " " : blocks ? "█" : "#", out);
}

/* What there is room for: a bar, and the less important the later. */
struct layout {
    unsigned bar; // columns
    bool waits, runs, blocks;
};

enum { FIGURES = 38, WAITS = 19, RUNS = 19 }; // columns

static struct layout layout_of (unsigned width, bool blocks)
{
    struct layout l = {.blocks = blocks};
    unsigned used = FIGURES;

    l.waits = width >= used + WAITS + LEAST_BAR;
    used += l.waits ? WAITS : 0;
    l.runs = l.waits && width >= used + RUNS + GOOD_BAR;
    used += l.runs ? RUNS : 0;
    l.bar = width > used + LEAST_BAR ? width - used : LEAST_BAR;
    l.bar = l.bar < MOST_BAR ? l.bar : MOST_BAR;
    return l;
}

static void day_line (FILE *out, const struct row_day *d, uint64_t most,
                      const struct layout *l)
{
    char date[24], text[64];

    fprintf (out, "   %s %8.2f  ",
             history_view_date (d->day_ms, false, date, sizeof date),
             (double) d->slot_ms / 3600e3);
    bar (out, d->slot_ms, most, l->bar, l->blocks);
    fprintf (out, " %6llu", (unsigned long long) d->grants);
    if (l->waits)
        fprintf (out, "  %-17s",
                 pair (d->wait_p50_ms, d->wait_p90_ms, text, sizeof text));
    if (l->runs)
        fprintf (out, "  %-17s",
                 pair (d->run_p50_ms, d->run_p90_ms, text, sizeof text));
    fprintf (out, " %5llu\n", (unsigned long long) d->kills);
}

static void day_head (FILE *out, const struct layout *l)
{
    fprintf (out, "   %-10s %8s  %-*s %6s", "day (UTC)", "slot-h", (int) l->bar,
             "", "slots");
    if (l->waits)
        fprintf (out, "  %-17s", "wait p50 / p90");
    if (l->runs)
        fprintf (out, "  %-17s", "run p50 / p90");
    fprintf (out, " %5s\n", "kills");
}

void history_view_days (FILE *out, const struct history_view *v, unsigned width,
                        bool blocks)
{
    struct row_day *days = xcalloc (v->day_count + 1, sizeof *days);
    const struct layout l = layout_of (width, blocks);
    uint64_t most = 0;
    char name[256];

    if (v->day_count)
        memcpy (days, v->days, v->day_count * sizeof *days);
    qsort (days, v->day_count, sizeof *days, by_project);
    for (size_t i = 0; i < v->day_count; i++)
        most = days[i].slot_ms > most ? days[i].slot_ms : most;
    for (size_t i = 0; i < v->day_count; i++) {
        if (i == 0 || strcmp (days[i].project, days[i - 1].project) != 0) {
            fprintf (out, "%s%s\n", i ? "\n" : "",
                     say_clean (days[i].project, name, sizeof name));
            day_head (out, &l);
        }
        day_line (out, &days[i], most, &l);
    }
    free (days);
}

/* ---- runs ---- */

static char *forecast (const struct row_lease_run *r, char *ret_text,
                       size_t size)
{
    char low[24], high[24];

    if (r->eta_high_ms == 0)
        snprintf (ret_text, size, "-");
    else
        snprintf (ret_text, size, "%s to %s",
                  say_age (r->eta_low_ms, low, sizeof low),
                  say_age (r->eta_high_ms, high, sizeof high));
    return ret_text;
}

static char *outcome (const struct row_lease_run *r, char *ret_text,
                      size_t size)
{
    char clean[80];

    say_clean (r->outcome, clean, sizeof clean);
    if (strcmp (r->outcome, "failed") == 0)
        snprintf (ret_text, size, "%s (%llu)", clean,
                  (unsigned long long) r->status);
    else
        snprintf (ret_text, size, "%s", clean);
    return ret_text;
}

/* Cut so that columns stay where they are; between two characters. */
static char *fit (const char *text, size_t width, char *ret_text, size_t size)
{
    size_t at = 0, columns = 0;

    say_clean (text, ret_text, size);
    for (; ret_text[at]; at++) {
        if (((unsigned char) ret_text[at] & 0xc0) == 0x80)
            continue;
        if (columns == width) {
            ret_text[at] = '\0';
            break;
        }
        columns++;
    }
    for (; columns < width && at + 1 < size; columns++)
        ret_text[at++] = ' ';
    ret_text[at] = '\0';
    return ret_text;
}

static char *label (const struct row_lease_run *r, size_t width, char *ret_text,
                    size_t size)
{
    char slot[40];

    snprintf (slot, sizeof slot, "slot %llu", (unsigned long long) r->token);
    return fit (r->label[0] ? r->label : slot, width, ret_text, size);
}

/* Less than one is one. */
static char *memory (uint64_t bytes, char *ret_text, size_t size)
{
    uint64_t mb = (bytes >> 20) + (bytes % (1 << 20) != 0);

    if (bytes == 0)
        snprintf (ret_text, size, "-");
    else if (mb < 1000)
        snprintf (ret_text, size, "%llu MB", (unsigned long long) mb);
    else
        snprintf (ret_text, size, bytes >> 30 < 100 ? "%.1f GB" : "%.0f GB",
                  (double) bytes / (1 << 30));
    return ret_text;
}

static char *processor (uint64_t ms, char *ret_text, size_t size)
{
    if (ms == 0)
        snprintf (ret_text, size, "-");
    else
        say_age (ms, ret_text, size);
    return ret_text;
}

/* "10-04 13:05": nothing is kept for a year. */
static const char *moment (uint64_t ms, char *ret_text, size_t size)
{
    const char *text = history_view_date (ms, true, ret_text, size);
    const char *month = strchr (text, '-');

    return month ? month + 1 : text;
}

static int room_for (unsigned width, unsigned used)
{
    unsigned room = width > used + LEAST_LABEL ? width - used : LEAST_LABEL;

    return (int) (room < MOST_LABEL ? room : MOST_LABEL);
}

static void run_line (FILE *out, const struct row_lease_run *r, size_t width,
                      bool with_forecast)
{
    char when[24], name[1100], text[128];

    fprintf (out, "   %-11s  %s  %-6s", moment (r->ended_ms, when, sizeof when),
             label (r, width, name, sizeof name),
             say_age (r->run_ms, text, sizeof text));
    if (with_forecast)
        fprintf (out, "  %-18s", forecast (r, text, sizeof text));
    fprintf (out, "  %-6s", say_age (r->wait_ms, text, sizeof text));
    fprintf (out, "  %-7s", memory (r->memory_bytes, text, sizeof text));
    fprintf (out, "  %-6s", processor (r->cpu_ms, text, sizeof text));
    fprintf (out, "  %s\n", outcome (r, text, sizeof text));
}

/* Narrow, the forecast goes; labels take what is left. */
void history_view_runs (FILE *out, const struct history_view *v, unsigned width,
                        size_t most)
{
    bool with_forecast = width >= RUN_FIGURES + FORECAST + LEAST_LABEL;
    int room = room_for (width, RUN_FIGURES + (with_forecast ? FORECAST : 0));

    fprintf (out, "Newest runs:\n   %-11s  %-*s  %-6s", "ended (UTC)", room,
             "label", "ran");
    if (with_forecast)
        fprintf (out, "  %-18s", "forecast");
    fprintf (out, "  %-6s  %-7s  %-6s  %s\n", "waited", "memory", "CPU", "end");
    for (size_t i = 0; i < v->run_count && i < most; i++)
        run_line (out, &v->runs[i], (size_t) room, with_forecast);
}

/* ---- labels ---- */

static void label_line (FILE *out, const struct label_sum *s, size_t width)
{
    char name[1100], text[64];

    fprintf (out, "   %s  %5llu",
             fit (s->label[0] ? s->label : "(none)", width, name, sizeof name),
             (unsigned long long) s->runs);
    fprintf (out, "  %-15s",
             pair (s->run_p50_ms, s->run_p90_ms, text, sizeof text));
    fprintf (out, "  %-15s",
             pair (s->wait_p50_ms, s->wait_p90_ms, text, sizeof text));
    fprintf (out, "  %-7s", memory (s->memory_p90_bytes, text, sizeof text));
    fprintf (out, "  %s\n", processor (s->cpu_ms, text, sizeof text));
}

static void label_head (FILE *out, const struct history_view *v, int room)
{
    if (v->cut)
        fprintf (out, "By label, of the newest %llu:\n",
                 (unsigned long long) v->run_count);
    else
        fputs ("By label:\n", out);
    fprintf (out, "   %-*s  %5s  %-15s  %-15s  %-7s  %s\n", room, "label",
             "runs", "run p50 / p90", "wait p50 / p90", "mem p90", "CPU/run");
}

void history_view_labels (FILE *out, const struct history_view *v,
                          unsigned width, size_t most)
{
    int room = room_for (width, LABEL_FIGURES);
    struct label_sum *sums;
    size_t count = history_labels_sum (v->runs, v->run_count, &sums);

    if (count == 0) {
        free (sums);
        return;
    }
    label_head (out, v, room);
    for (size_t i = 0; i < count && i < most; i++)
        label_line (out, &sums[i], (size_t) room);
    if (count > most)
        fprintf (out, "   and %llu more: --json has all\n",
                 (unsigned long long) (count - most));
    fputc ('\n', out);
    free (sums);
}

/* ---- accuracy ---- */

static void accuracy_line (FILE *out, const char *name,
                           const struct accuracy *a)
{
    char clean[256];

    fprintf (out, "   %-24s ", say_clean (name, clean, sizeof clean));
    if (a->scored == 0)
        fprintf (out, "no forecast yet, of %llu that ended\n",
                 (unsigned long long) a->total);
    else
        fprintf (out, "%3.0f %%  (%llu of %llu with a forecast; %llu ended)\n",
                 100.0 * (double) a->inside / (double) a->scored,
                 (unsigned long long) a->inside, (unsigned long long) a->scored,
                 (unsigned long long) a->total);
}

void history_view_accuracy (FILE *out, const struct history_view *v)
{
    fputs ("Ended within the forecast (80 % should):\n", out);
    for (size_t i = 0; i < v->accuracy_count; i++)
        accuracy_line (out, v->accuracies[i].project, &v->accuracies[i]);
    if (v->accuracy_count != 1)
        accuracy_line (out, "all", &v->all);
}

/* ---- JSON ---- */

static json_t *text (const char *bytes)
{
    char clean[2048];

    return json_string (say_clean (bytes, clean, sizeof clean));
}

static json_t *whole (uint64_t value)
{
    return json_integer ((json_int_t) value);
}

static json_t *known (uint64_t value)
{
    return value ? whole (value) : json_null ();
}

static json_t *day_of (const struct row_day *d)
{
    char date[24];

    return json_pack (
        "{so so so so so so so so so}", "project", text (d->project), "day",
        text (history_view_date (d->day_ms, false, date, sizeof date)), "slots",
        whole (d->grants), "kills", whole (d->kills), "slot_ms",
        whole (d->slot_ms), "wait_p50_ms", whole (d->wait_p50_ms),
        "wait_p90_ms", whole (d->wait_p90_ms), "run_p50_ms",
        whole (d->run_p50_ms), "run_p90_ms", whole (d->run_p90_ms));
}

static json_t *run_of (const struct row_lease_run *r)
{
    return json_pack (
        "{so so so so so so so so so so so so}", "project", text (r->project),
        "label", text (r->label), "host", text (r->host), "token",
        whole (r->token), "ended_ms", whole (r->ended_ms), "wait_ms",
        whole (r->wait_ms), "run_ms", whole (r->run_ms), "outcome",
        text (r->outcome), "status", whole (r->status), "memory_bytes",
        known (r->memory_bytes), "cpu_ms", known (r->cpu_ms), "forecast_ms",
        r->eta_high_ms
            ? json_pack ("[oo]", whole (r->eta_low_ms), whole (r->eta_high_ms))
            : json_null ());
}

static json_t *label_of (const struct label_sum *s)
{
    return json_pack (
        "{so so so so so so so so}", "label", text (s->label), "runs",
        whole (s->runs), "run_p50_ms", whole (s->run_p50_ms), "run_p90_ms",
        whole (s->run_p90_ms), "wait_p50_ms", whole (s->wait_p50_ms),
        "wait_p90_ms", whole (s->wait_p90_ms), "memory_p90_bytes",
        known (s->memory_p90_bytes), "cpu_ms_per_run", known (s->cpu_ms));
}

static json_t *labels_of (const struct history_view *v)
{
    json_t *labels = json_array ();
    struct label_sum *sums;
    size_t count = history_labels_sum (v->runs, v->run_count, &sums);

    for (size_t i = 0; i < count; i++)
        json_array_append_new (labels, label_of (&sums[i]));
    free (sums);
    return labels;
}

static json_t *accuracy_of (const struct accuracy *a)
{
    return json_pack ("{so so so so}", "project",
                      a->project[0] ? text (a->project) : json_null (), "total",
                      whole (a->total), "scored", whole (a->scored), "inside",
                      whole (a->inside));
}

void history_view_json (FILE *out, const struct history_view *v)
{
    json_t *days = json_array (), *runs = json_array ();
    json_t *accuracies = json_array (), *all;

    for (size_t i = 0; i < v->day_count; i++)
        json_array_append_new (days, day_of (&v->days[i]));
    for (size_t i = 0; i < v->run_count; i++)
        json_array_append_new (runs, run_of (&v->runs[i]));
    for (size_t i = 0; i < v->accuracy_count; i++)
        json_array_append_new (accuracies, accuracy_of (&v->accuracies[i]));
    all = json_pack ("{si so so so so so so so so so}", "schema", 1, "project",
                     v->project[0] ? text (v->project) : json_null (),
                     "since_ms", whole (v->since_ms), "total",
                     whole (v->all.total), "scored", whole (v->all.scored),
                     "inside", whole (v->all.inside), "days", days, "labels",
                     labels_of (v), "runs", runs, "accuracy", accuracies);
    json_dumpf (all, out, JSON_COMPACT);
    fputc ('\n', out);
    json_decref (all);
}
