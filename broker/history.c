/* SPDX-License-Identifier: MPL-2.0 */
#include "history.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/base.h"
#include "bus/log.h"
#include "history_parts.h"

enum {
    APPLICATION_ID = 0x534c5448, // "SLTH"
    USER_VERSION = 2,
    EARLY_VERSION = 1, // what is there of it is taken over
    MOST_RUNS = 100000,
    MOST_DAYS = 90,
    PRUNED = 64, // at least so many at a time, if there are any
    WAL_PAGES = 256,
    WRITTEN = 1024, // runs at a time
    RECALLED = 2000,
    RETRY_MS = 60000,
    TIDY_MS = 60000
};

#define FIELD(type_, record, name_, field)                                     \
    {                                                                          \
        name_, COLUMN_##type_, offsetof (struct record, field),                \
            sizeof (((struct record *) 0)->field)                              \
    }
#define R(type, field) FIELD (type, run_row, #field, run.field)
#define D(type, field) FIELD (type, day_row, #field, field)
#define COUNT(array) (sizeof (array) / sizeof *(array))

static const struct column run_columns[] = {
    FIELD (I64, run_row, "ended_ms", ended_ms),
    R (U64, token),
    R (TEXT, project),
    R (TEXT, label),
    R (TEXT, host),
    R (I64, wait_ms),
    R (I64, run_ms),
    R (TEXT, outcome),
    R (U32, status),
    R (U64, memory_bytes),
    R (U64, cpu_ms),
    R (I64, eta_low_ms),
    R (I64, eta_high_ms),
    R (I64, whole_ms),
};

static const struct column day_columns[] = {
    D (I64, day_ms),   D (TEXT, project), D (U64, grants),  D (U64, kills),
    D (U64, slot_ms),  D (U64, scored),   D (U64, inside),  D (I64, wait_p50),
    D (I64, wait_p90), D (I64, run_p50),  D (I64, run_p90), D (U64, first),
    D (U64, last),
};

const struct rows rows_run = {.name = "run",
                              .key = "id",
                              .key_offset = offsetof (struct run_row, id),
                              .size = sizeof (struct run_row),
                              .count = COUNT (run_columns),
                              .early = COUNT (run_columns) - 1,
                              .columns = run_columns};
const struct rows rows_day = {.name = "day",
                              .key = "id",
                              .key_offset = offsetof (struct day_row, id),
                              .size = sizeof (struct day_row),
                              .count = COUNT (day_columns),
                              .columns = day_columns};

/* ---- the file ---- */

static void close_file (struct history *h)
{
    sqlite_rows_finish (&h->runs);
    sqlite_rows_finish (&h->days);
    if (h->file.db)
        sqlite_file_close (&h->file);
}

static bool has_file (const struct history *h)
{
    return h->file.db;
}

/* It is written at once: what can only be read is no use. */
static int mark (struct history *h)
{
    char sql[64];

    snprintf (sql, sizeof sql, "PRAGMA user_version=%d", USER_VERSION);
    return sqlite_file_run (&h->file, sql);
}

static int create_tables (struct history *h)
{
    char sql[64];

    snprintf (sql, sizeof sql, "PRAGMA application_id=%d", APPLICATION_ID);
    return sqlite_file_run (&h->file, "BEGIN") ||
                   sqlite_rows_create (&h->file, &rows_run) ||
                   sqlite_rows_create (&h->file, &rows_day) ||
                   sqlite_file_run (&h->file,
                                    "CREATE INDEX run_of ON run (project)") ||
                   sqlite_file_run (&h->file,
                                    "CREATE INDEX day_of ON day (project)") ||
                   sqlite_file_run (&h->file, sql) || mark (h) ||
                   sqlite_file_run (&h->file, "COMMIT")
               ? -1
               : 0;
}

/* 0: ours. 1: empty. 2: ours, of the version before. -1: cannot be read, or is
 * something else. */
static int recognise (struct history *h)
{
    int64_t application = 0, version = 0, tables = 0;

    if (sqlite_file_ask (&h->file, "PRAGMA application_id", &application) ||
        sqlite_file_ask (&h->file, "PRAGMA user_version", &version) ||
        sqlite_file_ask (&h->file, "SELECT COUNT(*) FROM sqlite_schema",
                         &tables))
        return -1;
    if (application == 0 && version == 0 && tables == 0)
        return 1;
    if (application == APPLICATION_ID && version == USER_VERSION)
        return 0;
    if (application == APPLICATION_ID && version == EARLY_VERSION)
        return 2;
    snprintf (h->file.failure, sizeof h->file.failure,
              "it was written by another program or version");
    return -1;
}

static int make_current (struct history *h, int found)
{
    if (found == 1)
        return create_tables (h);
    if (found == 0)
        return mark (h);
    return sqlite_file_run (&h->file, "BEGIN") ||
                   sqlite_rows_upgrade (&h->file, &rows_run) || mark (h) ||
                   sqlite_file_run (&h->file, "COMMIT")
               ? -1
               : 0;
}

static int open_file (struct history *h)
{
    int64_t newest = 0;
    int found;

    if (sqlite_file_open (&h->file, h->path, true))
        return -1;
    found = recognise (h);
    if (found < 0 || sqlite_file_use_wal (&h->file) ||
        sqlite_file_run (&h->file, "PRAGMA synchronous=OFF"))
        return -1;
    sqlite_file_fold_at_close (&h->file);
    if (make_current (h, found) ||
        sqlite_rows_prepare (&h->runs, &h->file, &rows_run) ||
        sqlite_rows_prepare (&h->days, &h->file, &rows_day) ||
        sqlite_file_prepare_batches (&h->file) ||
        sqlite_file_ask (&h->file, "SELECT COALESCE(MAX(id),0) FROM run",
                         &newest))
        return -1;
    // written without a flush, and lost as easily; and never again below
    h->next_id = newest < 0 ? 1 : (uint64_t) newest + 1;
    history_days_forget (h);
    return 0;
}

/* One is kept: the newest that was damaged. */
static int move_aside (const struct history *h)
{
    char from[PATH_BYTES + 32], to[PATH_BYTES + 32];
    int rc;

    snprintf (to, sizeof to, "%s.damaged", h->path);
    rc = rename (h->path, to);
    snprintf (from, sizeof from, "%s-wal", h->path);
    snprintf (to, sizeof to, "%s.damaged-wal", h->path);
    remove (to);
    if (rename (from, to))
        remove (from);
    snprintf (from, sizeof from, "%s-shm", h->path);
    remove (from);
    return rc;
}

static void give_up (struct history *h)
{
    if (h->retry_at == 0)
        log_line (LOG_WARNING,
                  "history  error=\"%s\" kept=\"nothing, until it can be "
                  "written again\"",
                  h->file.failure);
    close_file (h);
    h->retry_at = h->wall + RETRY_MS;
    h->dropped = false;
}

/* Something is there that is not, or no longer, a history. */
static void begin_anew (struct history *h)
{
    char failure[sizeof h->file.failure];

    copy_text (failure, sizeof failure, h->file.failure);
    close_file (h);
    if (move_aside (h)) {
        give_up (h);
        return;
    }
    if (open_file (h)) {
        give_up (h);
        return;
    }
    log_line (LOG_WARNING, "history  error=\"%s\" moved=\"%s.damaged\"",
              failure, h->path);
    h->retry_at = 0;
}

static void try_open (struct history *h)
{
    if (open_file (h) == 0) {
        if (h->retry_at)
            log_line (LOG_INFO, "history  kept=\"again\"");
        h->retry_at = 0;
    } else if (sqlite_file_locked (&h->file) ||
               sqlite_file_failing (&h->file)) {
        give_up (h);
    } else {
        begin_anew (h);
    }
}

void history_failed (struct history *h)
{
    bool damaged = sqlite_file_damaged (&h->file);

    sqlite_file_rollback (&h->file);
    history_days_forget (h);
    if (damaged)
        begin_anew (h);
    else
        give_up (h);
}

struct history *history_open (const char *folder, int64_t wall)
{
    struct history *h = xcalloc (1, sizeof *h);

    snprintf (h->path, sizeof h->path, "%s/history.db", folder);
    h->pending = xcalloc (PENDING, sizeof *h->pending);
    h->at = xcalloc (DAY_PROJECTS, sizeof *h->at);
    h->samples = xcalloc (DAY_PROJECTS, sizeof *h->samples);
    h->wall = wall;
    try_open (h);
    return h;
}

void history_close (struct history *h)
{
    if (!h)
        return;
    while (has_file (h) && h->pending_count)
        history_write (h);
    close_file (h);
    free (h->pending);
    free (h->at);
    free (h->samples);
    free (h);
}

/* ---- what ended ---- */

static bool ended_by_itself (const struct run_record *r)
{
    return r->status < 126 && (strcmp (r->outcome, "done") == 0 ||
                               strcmp (r->outcome, "failed") == 0);
}

bool history_is_inner (const struct run_record *r)
{
    return r->run_ms == 0 && r->whole_ms > 0;
}

int64_t history_duration (const struct run_record *r)
{
    return r->whole_ms > 0 ? r->whole_ms : r->run_ms;
}

bool history_is_scored (const struct run_record *r)
{
    return r->eta_high_ms > 0 && ended_by_itself (r);
}

bool history_is_inside (const struct run_record *r)
{
    return history_is_scored (r) && r->run_ms >= r->eta_low_ms &&
           r->run_ms <= r->eta_high_ms;
}

void history_note (struct history *h, const struct outbox *out, int64_t wall)
{
    h->wall = wall;
    for (size_t i = 0; i < outbox_runs (out); i++) {
        if (h->pending_count == PENDING) {
            if (!h->dropped)
                log_line (LOG_WARNING, "history  dropped=\"more ended within "
                                       "a second than is kept\"");
            h->dropped = true;
            return;
        }
        h->pending[h->pending_count++] = (struct run_row){
            .ended_ms = wall > 0 ? wall : 0, .run = *outbox_run_at (out, i)};
    }
}

/* ---- writing ---- */

static int write_run (struct history *h, struct run_row *r)
{
    r->id = h->next_id++;
    if (r->ended_ms / DAY_MS != h->today && history_days_write (h))
        return -1;
    return sqlite_rows_put (&h->runs, r->id, r) || history_days_count (h, r)
               ? -1
               : 0;
}

/* The oldest runs, and the oldest days: at most so many more than came. */
static int prune (struct history *h)
{
    int64_t oldest = h->wall - MOST_DAYS * DAY_MS;
    uint64_t kept = h->next_id > MOST_RUNS ? h->next_id - MOST_RUNS : 0;
    char sql[512];

    snprintf (sql, sizeof sql,
              "DELETE FROM run WHERE (ended_ms < %" PRId64 " OR id < %" PRIu64
              ") AND id IN (SELECT id FROM run ORDER BY id LIMIT %u); "
              "DELETE FROM day WHERE id < %" PRIu64
              " AND id IN (SELECT id FROM day ORDER BY id LIMIT %u)",
              oldest, kept, h->pending_count + PRUNED,
              history_day_key (oldest > 0 ? oldest / DAY_MS : 0), PRUNED);
    return sqlite_file_run (&h->file, sql);
}

static int write_pending (struct history *h, unsigned count)
{
    if (sqlite_file_begin (&h->file))
        return -1;
    for (unsigned i = 0; i < count; i++)
        if (write_run (h, &h->pending[i]))
            return -1;
    return history_days_write (h) || prune (h) ||
                   sqlite_file_commit (&h->file) ||
                   sqlite_file_checkpoint (&h->file, WAL_PAGES)
               ? -1
               : 0;
}

/* Where nothing ends, too, what is too old goes. */
static void tidy (struct history *h)
{
    if (!has_file (h) || h->pending_count ||
        (h->wall >= h->pruned_at && h->wall < h->pruned_at + TIDY_MS))
        return;
    h->pruned_at = h->wall;
    if (prune (h))
        history_failed (h);
}

static void follow_the_name (struct history *h)
{
    if (!has_file (h) || !sqlite_file_moved (&h->file))
        return;
    log_line (LOG_WARNING, "history  error=\"its file was taken away\" "
                           "kept=\"from now on, in another\"");
    close_file (h);
    try_open (h);
}

/* So many at once that the broker's loop does not feel it. */
void history_write (struct history *h)
{
    unsigned count = h->pending_count < WRITTEN ? h->pending_count : WRITTEN;

    if (count == 0)
        return;
    follow_the_name (h);
    if (has_file (h) && write_pending (h, count)) {
        history_failed (h);
        if (has_file (h) && write_pending (h, count))
            history_failed (h);
    }
    h->pending_count -= count;
    memmove (h->pending, h->pending + count,
             h->pending_count * sizeof *h->pending);
}

void history_tend (struct history *h, int64_t wall)
{
    h->wall = wall;
    if (!has_file (h) && (wall >= h->retry_at || h->retry_at - wall > RETRY_MS))
        try_open (h);
    tidy (h);
    history_write (h);
}

/* ---- reading back ---- */

/* The slots of one tree ended together: its duration counts once. */
static bool is_same_tree (const struct run_row *a, const struct run_row *b)
{
    return a->ended_ms == b->ended_ms &&
           history_duration (&a->run) == history_duration (&b->run) &&
           strcmp (a->run.project, b->run.project) == 0 &&
           strcmp (a->run.label, b->run.label) == 0;
}

void history_recall (struct history *h, history_learn *learn, void *arg)
{
    uint64_t from = h->next_id > RECALLED ? h->next_id - RECALLED : 0, key;
    struct run_row row, before = {.id = 0};
    struct sqlite3_stmt *statement;
    enum sqlite_rows_next next;
    char rest[64];

    if (!has_file (h))
        return;
    snprintf (rest, sizeof rest, "WHERE id >= %" PRIu64 " ORDER BY 1", from);
    statement = sqlite_rows_select_some (&h->file, &rows_run, rest);
    do {
        next = sqlite_rows_next (&h->file, statement, &rows_run, &row, &key);
        if (next != ROWS_GOOD || !ended_by_itself (&row.run) ||
            !project_key_valid (row.run.project) ||
            is_same_tree (&row, &before))
            continue;
        row.run.run_ms = history_duration (&row.run);
        learn (arg, &row.run);
        before = row;
    } while (next == ROWS_GOOD || next == ROWS_DAMAGED);
    sqlite_file_finish (statement);
    if (next == ROWS_LOST || next == ROWS_FAILED)
        history_failed (h);
}
