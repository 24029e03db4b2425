/* SPDX-License-Identifier: MPL-2.0 */
/* history_view.h - what was asked of history, as people and programs read it
 *
 * Pure but for the stream that it writes to. Days and times of day are UTC.
 */
#ifndef SLOTBUS_HISTORY_VIEW_H
#define SLOTBUS_HISTORY_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "protocol/message.h"

/* How often what ended by itself ended within its forecast. */
struct accuracy {
    char project[MAX_KEY_BYTES + 1]; // "": all that were asked for
    uint64_t total, scored, inside;
};

struct history_view {
    char project[MAX_KEY_BYTES + 1]; // "": all
    uint64_t since_ms;
    struct accuracy all;
    struct row_day *days; // the newest first, as are the runs
    struct row_lease_run *runs;
    struct accuracy *accuracies; // of each project
    size_t day_count, run_count, accuracy_count;
    bool cut; // there are older runs
};

/* Add a page; public for tests. */
void history_view_add (struct history_view *v, const struct msg_history_ok *ok);
void history_view_clear (struct history_view *v);

/* `width`: columns of the terminal; `blocks`: bars of block characters. */
void history_view_days (FILE *out, const struct history_view *v,
                        unsigned width, bool blocks);
/* At most so many. */
void history_view_runs (FILE *out, const struct history_view *v, unsigned width,
                        size_t most);
/* What the agents of each label took; at most so many labels, and an empty
 * line. Nothing, if there was no agent. */
void history_view_labels (FILE *out, const struct history_view *v,
                          unsigned width, size_t most);
void history_view_accuracy (FILE *out, const struct history_view *v);
/* One object with "schema": 1 on one line; always valid UTF-8. */
void history_view_json (FILE *out, const struct history_view *v);

/* "2026-11-27", with the time of day "2026-11-27 13:05". */
char *history_view_date (uint64_t ms, bool with_time, char *ret_text,
                         size_t size);

#endif
