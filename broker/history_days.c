/* SPDX-License-Identifier: MPL-2.0 */
/* The day that is going on, in memory: its rows are written anew with each
 * batch that changes them, so that a question about days reads these alone. */
#include "history_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- rows ---- */

uint64_t history_day_key (int64_t day)
{
    return (uint64_t) day << DAY_BITS;
}

/* The rows of that day, from the file. A row that is damaged is begun anew. */
static int load_day (struct history *h, int64_t day)
{
    char rest[128];
    struct sqlite3_stmt *statement;
    enum sqlite_rows_next next;
    uint64_t key;

    snprintf (rest, sizeof rest,
              "WHERE id >= %" PRIu64 " AND id < %" PRIu64 " ORDER BY 1",
              history_day_key (day), history_day_key (day + 1));
    statement = sqlite_rows_select_some (&h->file, &rows_day, rest);
    h->day_count = 0;
    do {
        struct day_row *row = &h->at[h->day_count];

        next = sqlite_rows_next (&h->file, statement, &rows_day, row, &key);
        h->samples[h->day_count].count = 0;
        if (next == ROWS_GOOD)
            h->day_count++;
    } while ((next == ROWS_GOOD || next == ROWS_DAMAGED) &&
             h->day_count < DAY_PROJECTS);
    sqlite_file_finish (statement);
    h->today = day;
    return next == ROWS_LOST || next == ROWS_FAILED ? -1 : 0;
}

/* NULL: too many projects for one day. */
static struct day_row *day_of (struct history *h, const char *project)
{
    struct day_row *row;
    uint64_t key = history_day_key (h->today);

    for (unsigned i = 0; i < h->day_count; i++) {
        if (strcmp (h->at[i].project, project) == 0)
            return &h->at[i];
        key = h->at[i].id + 1;
    }
    if (h->day_count == DAY_PROJECTS || key == history_day_key (h->today + 1))
        return NULL;
    h->samples[h->day_count].count = 0;
    row = &h->at[h->day_count++];
    *row = (struct day_row){.id = key, .day_ms = h->today * DAY_MS};
    copy_text (row->project, sizeof row->project, project);
    return row;
}

/* ---- quantiles of a day: of its newest runs ---- */

static void sample (struct day_sample *s, const struct run_row *r)
{
    unsigned place = s->count++ % DAY_SAMPLED;

    s->waits[place] = r->run.wait_ms;
    s->runs[place] = r->run.run_ms;
}

/* After a restart in the midst of a day. The order is lost, and no matter. */
static int sample_again (struct history *h, const struct day_row *day)
{
    struct sqlite3_stmt *statement;
    enum sqlite_rows_next next;
    struct run_row run;
    unsigned seen = 0;
    uint64_t key;
    char sql[256];

    snprintf (sql, sizeof sql,
              "WHERE id >= %" PRIu64 " AND id <= %" PRIu64
              " AND project = '%s' ORDER BY id DESC LIMIT %d",
              day->first, day->last, day->project, DAY_SAMPLED);
    statement = sqlite_rows_select_some (&h->file, &rows_run, sql);
    do {
        next = sqlite_rows_next (&h->file, statement, &rows_run, &run, &key);
        if (next == ROWS_GOOD && !history_is_inner (&run.run))
            sample (&h->samples[day - h->at], &run);
    } while ((next == ROWS_GOOD || next == ROWS_DAMAGED) &&
             ++seen < DAY_SAMPLED);
    sqlite_file_finish (statement);
    return next == ROWS_LOST || next == ROWS_FAILED ? -1 : 0;
}

static int by_size (const void *a, const void *b)
{
    int64_t x = *(const int64_t *) a, y = *(const int64_t *) b;

    return (x > y) - (x < y);
}

/* Nearest rank: values that were there. */
static void quantiles (const int64_t *values, unsigned count, int64_t *ret_p50,
                       int64_t *ret_p90)
{
    int64_t sorted[DAY_SAMPLED];

    count = count < DAY_SAMPLED ? count : DAY_SAMPLED;
    if (count == 0)
        return;
    memcpy (sorted, values, count * sizeof *sorted);
    qsort (sorted, count, sizeof *sorted, by_size);
    *ret_p50 = sorted[(50 * count + 99) / 100 - 1];
    *ret_p90 = sorted[(90 * count + 99) / 100 - 1];
}

/* ---- counting ---- */

static void add (uint64_t *sum, int64_t value)
{
    if (value > 0 && (uint64_t) value <= INT64_MAX - *sum)
        *sum += (uint64_t) value;
}

/* The slots of a tree in a reservation count with that. */
static int count_slot (struct history *h, struct day_row *day,
                       const struct run_row *r)
{
    if (day->first && h->samples[day - h->at].count == 0 &&
        sample_again (h, day))
        return -1;
    day->grants++;
    day->kills += strcmp (r->run.outcome, "killed") == 0;
    add (&day->slot_ms, r->run.run_ms);
    day->scored += history_is_scored (&r->run);
    day->inside += history_is_inside (&r->run);
    sample (&h->samples[day - h->at], r);
    return 0;
}

int history_days_count (struct history *h, const struct run_row *r)
{
    int64_t number = r->ended_ms / DAY_MS;
    struct day_row *day;

    if (number != h->today && load_day (h, number))
        return -1;
    day = day_of (h, r->run.project);
    if (!day)
        return 0;
    if (!history_is_inner (&r->run) && count_slot (h, day, r))
        return -1;
    day->first = day->first ? day->first : r->id;
    day->last = r->id;
    day->changed = true;
    return 0;
}

void history_days_forget (struct history *h)
{
    h->today = INT64_MIN;
    h->day_count = 0;
}

int history_days_write (struct history *h)
{
    for (unsigned i = 0; i < h->day_count; i++) {
        const struct day_sample *s = &h->samples[i];
        struct day_row *day = &h->at[i];

        if (!day->changed)
            continue;
        day->changed = false;
        quantiles (s->waits, s->count, &day->wait_p50, &day->wait_p90);
        quantiles (s->runs, s->count, &day->run_p50, &day->run_p90);
        if (sqlite_rows_put (&h->days, day->id, day))
            return -1;
    }
    return 0;
}
