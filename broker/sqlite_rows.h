/* SPDX-License-Identifier: MPL-2.0 */
/* sqlite_rows.h - records as the rows of a table in an SQLite file
 *
 * A table of rows.h becomes the SQL that makes, fills and reads it. Nothing
 * that a row holds is believed: types, ranges, lengths and the checksum are
 * looked at, and a row that fails is damaged, not an error.
 *
 * Calls return 0, or -1 and the file's `failure` says why.
 */
#ifndef SLOTBUS_SQLITE_ROWS_H
#define SLOTBUS_SQLITE_ROWS_H

#include <stdint.h>

#include "rows.h"
#include "sqlite_file.h"

/* A table with its statements; zeroed: none prepared. */
struct sqlite_rows {
    struct sqlite_file *file; // borrowed
    const struct rows *rows;
    struct sqlite3_stmt *put, *drop;
};

/* Make the table itself. */
int sqlite_rows_create (struct sqlite_file *f, const struct rows *rows);
/* The same of what an older file lacks: late columns, or the table. */
int sqlite_rows_upgrade (struct sqlite_file *f, const struct rows *rows);

/* Fails if the table or a column is not there. */
int sqlite_rows_prepare (struct sqlite_rows *t, struct sqlite_file *f,
                         const struct rows *rows);
/* Before the file is closed. */
void sqlite_rows_finish (struct sqlite_rows *t);

/* Write the row of that key, new or not. */
int sqlite_rows_put (struct sqlite_rows *t, uint64_t key, const void *record);
int sqlite_rows_drop (struct sqlite_rows *t, uint64_t key);

/* All rows by rising keys, the caller's to finish; NULL: a failure. */
struct sqlite3_stmt *sqlite_rows_select (struct sqlite_file *f,
                                         const struct rows *rows);

/* The same with another end of the statement: "WHERE ... ORDER BY ...". */
struct sqlite3_stmt *sqlite_rows_select_some (struct sqlite_file *f,
                                              const struct rows *rows,
                                              const char *rest);

enum sqlite_rows_next {
    ROWS_GOOD,
    ROWS_DAMAGED, // the row: there may be more
    ROWS_END,
    ROWS_LOST,  // the table: a failure
    ROWS_FAILED // the disk: a failure
};

/* The next row into *ret_record, of rows->size bytes. *ret_key is set for a
 * damaged row, too; the record is then half written. Without a statement,
 * which could not be prepared, the table is lost. */
enum sqlite_rows_next sqlite_rows_next (struct sqlite_file *f,
                                        struct sqlite3_stmt *statement,
                                        const struct rows *rows,
                                        void *ret_record, uint64_t *ret_key);

#endif
