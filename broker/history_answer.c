/* SPDX-License-Identifier: MPL-2.0 */
/* Pages of HISTORY. What a question may cost is bounded: pages go along keys,
 * and sums are those of days. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bus/base.h"
#include "history_parts.h"

enum { PAGE = 64 };

/* " AND project = 'p'", or nothing. A key has no quotes. */
static const char *of_project (const char *project, char *ret_sql, size_t size)
{
    ret_sql[0] = 0;
    if (project[0])
        snprintf (ret_sql, size, " AND project = '%s'", project);
    return ret_sql;
}

static bool has_failed (enum sqlite_rows_next next)
{
    return next == ROWS_LOST || next == ROWS_FAILED;
}

/* ---- single runs ---- */

static uint64_t from (int64_t value)
{
    return value > 0 ? (uint64_t) value : 0;
}

static uint64_t sendable (uint64_t value)
{
    return value > INT64_MAX ? INT64_MAX : value;
}

static void fill_run (const struct run_row *r, struct row_lease_run *row)
{
    memset (row, 0, sizeof *row);
    copy_text (row->project, sizeof row->project, r->run.project);
    copy_text (row->label, sizeof row->label, r->run.label);
    copy_text (row->host, sizeof row->host, r->run.host);
    copy_text (row->outcome, sizeof row->outcome, r->run.outcome);
    row->token = sendable (r->run.token);
    row->ended_ms = from (r->ended_ms);
    row->wait_ms = from (r->run.wait_ms);
    row->run_ms =
        from (history_is_inner (&r->run) ? r->run.whole_ms : r->run.run_ms);
    row->status = r->run.status & 255;
    row->memory_bytes = sendable (r->run.memory_bytes);
    row->cpu_ms = sendable (r->run.cpu_ms);
    row->eta_low_ms = from (r->run.eta_low_ms);
    row->eta_high_ms = from (r->run.eta_high_ms);
}

/* A row that a broker cannot have written is no row. */
static bool is_sound (const struct run_row *r)
{
    return project_key_valid (r->run.project) && r->run.token &&
           r->run.outcome[0];
}

static int list_runs (struct history *h, const struct msg_history *in,
                      uint64_t first, struct msg_history_ok *ok)
{
    char sql[256], project[96];
    struct sqlite3_stmt *statement;
    enum sqlite_rows_next next;
    struct run_row row;
    uint64_t key = 0;

    snprintf (sql, sizeof sql,
              "WHERE id < %" PRIu64 " AND id >= %" PRIu64
              " AND ended_ms >= %" PRIu64 "%s ORDER BY id DESC LIMIT %d",
              in->cursor ? in->cursor : INT64_MAX, first, in->since_ms,
              of_project (in->project, project, sizeof project), PAGE + 1);
    statement = sqlite_rows_select_some (&h->file, &rows_run, sql);
    for (unsigned seen = 0;; seen++) {
        uint64_t last = key;

        next = sqlite_rows_next (&h->file, statement, &rows_run, &row, &key);
        if (next != ROWS_GOOD && next != ROWS_DAMAGED)
            break;
        if (seen == PAGE) {
            ok->next = last;
            break;
        }
        if (next == ROWS_GOOD && is_sound (&row))
            fill_run (&row, &ok->runs[ok->runs_count++]);
    }
    sqlite_file_finish (statement);
    return has_failed (next) ? -1 : 0;
}

/* ---- days ---- */

static void fill_day (const struct day_row *d, struct row_day *row)
{
    memset (row, 0, sizeof *row);
    copy_text (row->project, sizeof row->project, d->project);
    row->day_ms = from (d->day_ms);
    row->grants = sendable (d->grants);
    row->kills = sendable (d->kills);
    row->slot_ms = sendable (d->slot_ms);
    row->wait_p50_ms = from (d->wait_p50);
    row->wait_p90_ms = from (d->wait_p90);
    row->run_p50_ms = from (d->run_p50);
    row->run_p90_ms = from (d->run_p90);
}

static uint64_t first_day (const struct msg_history *in)
{
    return in->since_ms / (uint64_t) DAY_MS << DAY_BITS;
}

static int list_days (struct history *h, const struct msg_history *in,
                      struct msg_history_ok *ok)
{
    char sql[256], project[96];
    struct sqlite3_stmt *statement;
    enum sqlite_rows_next next;
    struct day_row row;
    uint64_t key = 0;

    snprintf (sql, sizeof sql,
              "WHERE id < %" PRIu64 " AND id >= %" PRIu64
              "%s ORDER BY id DESC LIMIT %d",
              in->cursor ? in->cursor : INT64_MAX, first_day (in),
              of_project (in->project, project, sizeof project), PAGE + 1);
    statement = sqlite_rows_select_some (&h->file, &rows_day, sql);
    for (unsigned seen = 0;; seen++) {
        uint64_t last = key;

        next = sqlite_rows_next (&h->file, statement, &rows_day, &row, &key);
        if (next != ROWS_GOOD && next != ROWS_DAMAGED)
            break;
        if (seen == PAGE) {
            ok->next = last;
            break;
        }
        if (next == ROWS_GOOD && project_key_valid (row.project))
            fill_day (&row, &ok->days[ok->days_count++]);
    }
    sqlite_file_finish (statement);
    return has_failed (next) ? -1 : 0;
}

/* ---- the sums of all pages ---- */

static int ask_sum (struct history *h, const char *column,
                    const struct msg_history *in, uint64_t *ret_sum)
{
    char sql[256], project[96];
    int64_t sum = 0;

    snprintf (sql, sizeof sql,
              "SELECT COALESCE(SUM(%s),0) FROM day WHERE id >= %" PRIu64 "%s",
              column, first_day (in),
              of_project (in->project, project, sizeof project));
    if (sqlite_file_ask (&h->file, sql, &sum))
        return -1;
    *ret_sum = from (sum);
    return 0;
}

/* Where the first day begins, by the number of its first run. */
static int ask_first (struct history *h, const struct msg_history *in,
                      uint64_t *ret_first)
{
    int64_t first = 0;
    char sql[128];

    snprintf (sql, sizeof sql,
              "SELECT COALESCE(MIN(first),0) FROM day WHERE id >= %" PRIu64,
              first_day (in));
    if (sqlite_file_ask (&h->file, sql, &first))
        return -1;
    *ret_first = from (first);
    return 0;
}

/* Of the first day what ended before it was asked for. */
static int ask_before (struct history *h, const char *what,
                       const struct msg_history *in, uint64_t *sum)
{
    uint64_t day = first_day (in);
    char sql[512], project[96];
    int64_t before = 0;

    snprintf (sql, sizeof sql,
              "SELECT COALESCE(SUM(%s),0) FROM run WHERE id >= (SELECT "
              "COALESCE(MIN(first),0) FROM day WHERE id >= %" PRIu64
              ") AND id <= (SELECT COALESCE(MAX(last),0) FROM day WHERE id "
              "BETWEEN %" PRIu64 " AND %" PRIu64 ") AND ended_ms < %" PRIu64
              "%s",
              what, day, day, day + DAY_PROJECTS - 1, in->since_ms,
              of_project (in->project, project, sizeof project));
    if (sqlite_file_ask (&h->file, sql, &before))
        return -1;
    *sum -= from (before) < *sum ? from (before) : *sum;
    return 0;
}

#define SLOT "(run_ms > 0 OR whole_ms = 0)" // not a tree in a reservation
#define SCORED                                                                 \
    "(eta_high_ms > 0 AND status < 126 AND outcome IN ('done', 'failed'))"

static int add_up (struct history *h, const struct msg_history *in,
                   struct msg_history_ok *ok)
{
    if (ask_sum (h, "grants", in, &ok->total) ||
        ask_sum (h, "scored", in, &ok->scored) ||
        ask_sum (h, "inside", in, &ok->inside))
        return -1;
    if (in->days || in->since_ms % (uint64_t) DAY_MS == 0)
        return 0;
    return ask_before (h, SLOT, in, &ok->total) ||
                   ask_before (h, SCORED, in, &ok->scored) ||
                   ask_before (h,
                               SCORED " AND run_ms BETWEEN eta_low_ms AND "
                                      "eta_high_ms",
                               in, &ok->inside)
               ? -1
               : 0;
}

enum err history_answer (struct history *h, const struct msg_history *in,
                         struct msg_history_ok *ret_answer)
{
    uint64_t first = 0;
    int rc = 0;

    message_init_fields (ret_answer, VERB_HISTORY_OK);
    if (in->project[0] && !project_key_valid (in->project))
        return ERR_BAD_ARG;
    history_write (h);
    if (!h->file.db)
        return ERR_NOT_FOUND;
    if (in->since_ms && !in->days)
        rc = ask_first (h, in, &first);
    if (rc == 0)
        rc = in->days ? list_days (h, in, ret_answer)
                      : list_runs (h, in, first, ret_answer);
    if (rc == 0 && in->cursor == 0)
        rc = add_up (h, in, ret_answer);
    if (rc == 0)
        return ERR_NONE;
    history_failed (h);
    return ERR_NOT_FOUND;
}
