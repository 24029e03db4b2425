/* SPDX-License-Identifier: MPL-2.0 */
/* sqlite_file.h - an SQLite file that is ours alone, and what went wrong in it
 *
 * Thin: opened with the settings that a state needs, asked by statements that
 * are prepared once. The WAL is folded in when the caller says so and not by
 * SQLite, which would swallow a failed flush.
 *
 * A zeroed one is closed. Calls return 0, or -1 and `failure` is a sentence;
 * it outlives the closing, and whoever works beside the file may say his own
 * there. sqlite_file_wants_space (), _damaged () and _forbidden () judge the
 * call that failed last, so they are asked before the next one.
 */
#ifndef SLOTBUS_SQLITE_FILE_H
#define SLOTBUS_SQLITE_FILE_H

#include <stdbool.h>
#include <stdint.h>

struct sqlite3;
struct sqlite3_stmt;

struct sqlite_file {
    struct sqlite3 *db; // NULL: closed
    struct sqlite3_stmt *begin, *commit, *rollback;
    bool flushing; // PRAGMA synchronous is FULL
    int wal_pages;
    char failure[512];
};

/* Locked exclusively with its first use. After a failure, too, it has to be
 * closed. It must not move in memory while it is open. */
int sqlite_file_open (struct sqlite_file *f, const char *path, bool create);
/* All other statements have been finished. Closed already is fine. */
void sqlite_file_close (struct sqlite_file *f);
/* What a batch needs: sqlite_file_begin () and the like. */
int sqlite_file_prepare_batches (struct sqlite_file *f);
/* From here on: WAL, not flushed until sqlite_file_set_flushing (). */
int sqlite_file_use_wal (struct sqlite_file *f);
/* The closing, which leaves the files as they are, shall fold the WAL in and
 * remove it. */
void sqlite_file_fold_at_close (struct sqlite_file *f);

/* Does a commit wait for the disk? Not to be changed inside of a batch. */
int sqlite_file_set_flushing (struct sqlite_file *f, bool flush);
int sqlite_file_begin (struct sqlite_file *f);
int sqlite_file_commit (struct sqlite_file *f);
/* If there is anything to take back. */
void sqlite_file_rollback (struct sqlite_file *f);
/* Fold the WAL in if it has at least so many pages. After a failure it still
 * holds them all. */
int sqlite_file_checkpoint (struct sqlite_file *f, int pages);

int sqlite_file_run (struct sqlite_file *f, const char *sql);
/* First column of the first row as a number. */
int sqlite_file_ask (struct sqlite_file *f, const char *sql,
                     int64_t *ret_value);
/* By SQLite's own quick check; a page that cannot be read is not sound. */
int sqlite_file_check (struct sqlite_file *f, bool *ret_sound);

/* A statement for many uses, the caller's to finish; NULL: a failure. */
struct sqlite3_stmt *sqlite_file_prepare (struct sqlite_file *f,
                                          const char *sql);
/* Run a statement that gives no rows. */
int sqlite_file_step (struct sqlite_file *f, struct sqlite3_stmt *statement,
                      const char *what);
/* NULL is fine. */
void sqlite_file_finish (struct sqlite3_stmt *statement);

/* Put SQLite's words for the last failure in `failure`: -1. */
int sqlite_file_failed (struct sqlite_file *f, const char *what);
/* It was no space, which throwing the ballast out may mend; a flush that
 * failed for want of space has lost what it was to flush all the same. */
bool sqlite_file_wants_space (const struct sqlite_file *f);
/* It was what is in the file, and not the disk. */
bool sqlite_file_damaged (const struct sqlite_file *f);
/* For sure only when something has been read of it. */
bool sqlite_file_read_only (const struct sqlite_file *f);
/* It was the disk, full or not, and not what is in the file. */
bool sqlite_file_failing (const struct sqlite_file *f);
/* Its name is gone, or another file's: what is written is lost with it. */
bool sqlite_file_moved (struct sqlite_file *f);
/* Another process has it open. */
bool sqlite_file_locked (const struct sqlite_file *f);
/* It was for want of rights. */
bool sqlite_file_forbidden (const struct sqlite_file *f);
/* sqlite_file_damaged () of a result code. */
bool sqlite_file_says_damaged (int code);

#endif
