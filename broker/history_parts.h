/* SPDX-License-Identifier: MPL-2.0 */
/* history_parts.h - what a history is made of
 *
 * The inside of history.h, for nobody else: history.c opens, writes and
 * prunes, history_days.c sums up, history_answer.c reads.
 *
 * Rows of runs are numbered as they come. A day's key is its number since
 * 1970, and within it the project's: so keys fall from the newest day to the
 * oldest, and are what pages are counted by. A day knows the first and the
 * last of its runs.
 */
#ifndef SLOTBUS_HISTORY_PARTS_H
#define SLOTBUS_HISTORY_PARTS_H

#include <stdbool.h>

#include "bus/endpoint.h"
#include "history.h"
#include "rows.h"
#include "sqlite_file.h"
#include "sqlite_rows.h"

#define DAY_MS INT64_C (86400000)

enum {
    DAY_BITS = 12,                   // of a day's key: the project's number
    DAY_PROJECTS = 1 << DAY_BITS,    // more than that are not summed up
    DAY_SAMPLED = 256,               // runs that a day's quantiles are of
    PENDING = 4096                   // runs not written yet
};

struct run_row {
    uint64_t id;
    int64_t ended_ms;
    struct run_record run;
};

struct day_row {
    uint64_t id;
    int64_t day_ms; // when it began
    char project[MAX_KEY_BYTES + 1];
    uint64_t grants, kills, slot_ms; // as in the row of HISTORY_OK
    uint64_t scored, inside;
    int64_t wait_p50, wait_p90, run_p50, run_p90; // ms
    uint64_t first, last; // ids of its runs
    bool changed;         // not written yet; no column
};

/* The newest of a day: count % DAY_SAMPLED is the oldest of them. */
struct day_sample {
    unsigned count;
    int64_t waits[DAY_SAMPLED], runs[DAY_SAMPLED];
};

struct history {
    char path[PATH_BYTES + 16];
    struct sqlite_file file; // db NULL: there is none now
    struct sqlite_rows runs, days;
    uint64_t next_id;
    int64_t wall;     // as it was last told
    int64_t retry_at; // when to try again; 0 = it was not in vain
    int64_t pruned_at;

    struct run_row *pending; // PENDING of them
    unsigned pending_count;
    bool dropped; // some, and it was said

    int64_t today; // number of the day that `at` is about
    struct day_row *at;
    struct day_sample *samples; // of each
    unsigned day_count;
};

extern const struct rows rows_run, rows_day;

/* Write what is pending. After a failure there is no file. */
void history_write (struct history *h);
/* The call that failed last was about the file, which goes. */
void history_failed (struct history *h);
uint64_t history_day_key (int64_t day);
/* Count a run that is being written; 0/-1: the file failed. */
int history_days_count (struct history *h, const struct run_row *r);
/* What has changed; likewise. */
int history_days_write (struct history *h);
/* What is in memory was not written, and is read again. */
void history_days_forget (struct history *h);

/* A tree in a reservation that went on: it held no slot of its own. */
bool history_is_inner (const struct run_record *r);
/* How long what ran there took. */
int64_t history_duration (const struct run_record *r);
/* Had it a forecast that can be judged: of what ended by itself? */
bool history_is_scored (const struct run_record *r);
bool history_is_inside (const struct run_record *r);

#endif
