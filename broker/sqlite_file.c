/* SPDX-License-Identifier: MPL-2.0 */
#include "sqlite_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sqlite3.h>

int sqlite_file_failed (struct sqlite_file *f, const char *what)
{
    int error = sqlite3_system_errno (f->db);

    // the reason first: `what` may be a long statement, and is cut
    snprintf (f->failure, sizeof f->failure, "%s%s%s (%s)",
              sqlite3_errmsg (f->db), error ? ": " : "",
              error ? strerror (error) : "", what);
    return -1;
}

bool sqlite_file_wants_space (const struct sqlite_file *f)
{
    int code = sqlite3_extended_errcode (f->db);
    int error = sqlite3_system_errno (f->db);

    if (code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC)
        return false;
    if ((code & 0xff) == SQLITE_FULL)
        return true;
    return (code & 0xff) == SQLITE_IOERR &&
           (error == ENOSPC || error == EDQUOT);
}

bool sqlite_file_says_damaged (int code)
{
    code &= 0xff;
    return code == SQLITE_CORRUPT || code == SQLITE_NOTADB ||
           code == SQLITE_ERROR; // a table or a column is not there
}

bool sqlite_file_damaged (const struct sqlite_file *f)
{
    return sqlite_file_says_damaged (sqlite3_errcode (f->db));
}

bool sqlite_file_read_only (const struct sqlite_file *f)
{
    return sqlite3_db_readonly (f->db, "main") == 1;
}

bool sqlite_file_failing (const struct sqlite_file *f)
{
    int code = sqlite3_errcode (f->db) & 0xff;

    return code == SQLITE_IOERR || code == SQLITE_FULL;
}

bool sqlite_file_moved (struct sqlite_file *f)
{
    int moved = 0;

    sqlite3_file_control (f->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
    return moved;
}

bool sqlite_file_locked (const struct sqlite_file *f)
{
    int code = sqlite3_errcode (f->db) & 0xff;

    return code == SQLITE_BUSY || code == SQLITE_LOCKED;
}

bool sqlite_file_forbidden (const struct sqlite_file *f)
{
    int error = sqlite3_system_errno (f->db);

    return error == EACCES || error == EPERM;
}

int sqlite_file_run (struct sqlite_file *f, const char *sql)
{
    return sqlite3_exec (f->db, sql, NULL, NULL, NULL) == SQLITE_OK
               ? 0
               : sqlite_file_failed (f, sql);
}

sqlite3_stmt *sqlite_file_prepare (struct sqlite_file *f, const char *sql)
{
    sqlite3_stmt *statement = NULL;

    if (sqlite3_prepare_v3 (f->db, sql, -1, SQLITE_PREPARE_PERSISTENT,
                            &statement, NULL) != SQLITE_OK)
        sqlite_file_failed (f, sql);
    return statement;
}

int sqlite_file_step (struct sqlite_file *f, sqlite3_stmt *statement,
                      const char *what)
{
    int rc = sqlite3_step (statement) == SQLITE_DONE
                 ? 0
                 : sqlite_file_failed (f, what);

    sqlite3_reset (statement);
    return rc;
}

void sqlite_file_finish (sqlite3_stmt *statement)
{
    sqlite3_finalize (statement);
}

int sqlite_file_ask (struct sqlite_file *f, const char *sql, int64_t *ret_value)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2 (f->db, sql, -1, &statement, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_step (statement);
    if (rc == SQLITE_ROW)
        *ret_value = sqlite3_column_int64 (statement, 0);
    else
        sqlite_file_failed (f, sql);
    sqlite3_finalize (statement);
    return rc == SQLITE_ROW ? 0 : -1;
}

int sqlite_file_check (struct sqlite_file *f, bool *ret_sound)
{
    static const char CHECK[] = "PRAGMA quick_check(1)";
    sqlite3_stmt *statement = sqlite_file_prepare (f, CHECK);
    int rc = statement ? sqlite3_step (statement) : SQLITE_ERROR;

    if (rc == SQLITE_ROW)
        *ret_sound = strcmp ((const char *) sqlite3_column_text (statement, 0),
                             "ok") == 0;
    else
        sqlite_file_failed (f, CHECK);
    sqlite3_finalize (statement);
    return rc == SQLITE_ROW ? 0 : -1;
}

int sqlite_file_open (struct sqlite_file *f, const char *path, bool create)
{
    int rc = sqlite3_open_v2 (path, &f->db,
                              (create ? SQLITE_OPEN_CREATE : 0) |
                                  SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
                                  SQLITE_OPEN_EXRESCODE,
                              NULL);

    if (rc != SQLITE_OK)
        return sqlite_file_failed (f, path);
    sqlite3_db_config (f->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config (f->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config (f->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    return sqlite_file_run (f, "PRAGMA locking_mode=EXCLUSIVE; "
                               "PRAGMA cell_size_check=ON; "
                               "PRAGMA temp_store=MEMORY");
}

void sqlite_file_close (struct sqlite_file *f)
{
    sqlite3_finalize (f->begin);
    sqlite3_finalize (f->commit);
    sqlite3_finalize (f->rollback);
    f->begin = f->commit = f->rollback = NULL;
    sqlite3_close (f->db);
    f->db = NULL;
}

int sqlite_file_prepare_batches (struct sqlite_file *f)
{
    return (f->begin = sqlite_file_prepare (f, "BEGIN IMMEDIATE")) &&
                   (f->commit = sqlite_file_prepare (f, "COMMIT")) &&
                   (f->rollback = sqlite_file_prepare (f, "ROLLBACK"))
               ? 0
               : -1;
}

static int count_pages (void *arg, sqlite3 *db, const char *name, int pages)
{
    struct sqlite_file *f = arg;

    (void) db;
    (void) name;
    f->wal_pages = pages;
    return SQLITE_OK;
}

/* The hook replaces the one by which SQLite makes checkpoints itself. */
int sqlite_file_use_wal (struct sqlite_file *f)
{
    if (sqlite_file_run (f,
                         "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL"))
        return -1;
    f->flushing = false;
    sqlite3_wal_hook (f->db, count_pages, f);
    return 0;
}

void sqlite_file_fold_at_close (struct sqlite_file *f)
{
    sqlite3_db_config (f->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
}

int sqlite_file_set_flushing (struct sqlite_file *f, bool flush)
{
    if (flush == f->flushing)
        return 0;
    if (sqlite_file_run (f, flush ? "PRAGMA synchronous=FULL"
                                  : "PRAGMA synchronous=NORMAL"))
        return -1;
    f->flushing = flush;
    return 0;
}

int sqlite_file_begin (struct sqlite_file *f)
{
    return sqlite_file_step (f, f->begin, "begin");
}

int sqlite_file_commit (struct sqlite_file *f)
{
    return sqlite_file_step (f, f->commit, "commit");
}

void sqlite_file_rollback (struct sqlite_file *f)
{
    if (sqlite3_get_autocommit (f->db))
        return;
    sqlite3_step (f->rollback);
    sqlite3_reset (f->rollback);
}

int sqlite_file_checkpoint (struct sqlite_file *f, int pages)
{
    if (f->wal_pages < pages)
        return 0;
    if (sqlite3_wal_checkpoint_v2 (f->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL,
                                   NULL) != SQLITE_OK)
        return sqlite_file_failed (f, "checkpoint");
    f->wal_pages = 0;
    return 0;
}
