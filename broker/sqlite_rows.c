/* SPDX-License-Identifier: MPL-2.0 */
#include "sqlite_rows.h"

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sqlite3.h>

enum { SQL_BYTES = 4096 };

static const char *const SQL_TYPE[] = {
    [COLUMN_U64] = "INTEGER NOT NULL",  [COLUMN_U32] = "INTEGER NOT NULL",
    [COLUMN_I64] = "INTEGER NOT NULL",  [COLUMN_I32] = "INTEGER NOT NULL",
    [COLUMN_BOOL] = "INTEGER NOT NULL", [COLUMN_F64] = "REAL",
    [COLUMN_TEXT] = "TEXT NOT NULL"};

static void append (char *sql, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

static void append (char *sql, const char *format, ...)
{
    size_t used = strlen (sql);
    va_list args;

    va_start (args, format);
    vsnprintf (sql + used, SQL_BYTES - used, format, args);
    va_end (args);
}

int sqlite_rows_create (struct sqlite_file *f, const struct rows *rows)
{
    char sql[SQL_BYTES] = "";

    append (sql, "CREATE TABLE %s (%s INTEGER PRIMARY KEY", rows->name,
            rows->key);
    for (unsigned i = 0; i < rows->count; i++)
        append (sql, ", %s %s", rows->columns[i].name,
                SQL_TYPE[rows->columns[i].type]);
    append (sql, ", checksum INTEGER NOT NULL) STRICT");
    return sqlite_file_run (f, sql);
}

/* All of them are numbers, 0 where nothing was said. */
static int add_column (struct sqlite_file *f, const struct rows *rows,
                       const struct column *c)
{
    char sql[SQL_BYTES] = "";

    append (sql, "ALTER TABLE %s ADD COLUMN %s %s DEFAULT 0", rows->name,
            c->name, SQL_TYPE[c->type]);
    return sqlite_file_run (f, sql);
}

int sqlite_rows_upgrade (struct sqlite_file *f, const struct rows *rows)
{
    if (rows->early == 0)
        return sqlite_rows_create (f, rows);
    for (unsigned i = rows->early; i < rows->count; i++) {
        if (add_column (f, rows, &rows->columns[i]))
            return -1;
    }
    return 0;
}

/* By name: in a file that was upgraded the columns stand in another order. */
static sqlite3_stmt *prepare_put (struct sqlite_file *f,
                                  const struct rows *rows)
{
    char sql[SQL_BYTES] = "";

    append (sql, "REPLACE INTO %s (%s", rows->name, rows->key);
    for (unsigned i = 0; i < rows->count; i++)
        append (sql, ", %s", rows->columns[i].name);
    append (sql, ", checksum) VALUES (?");
    for (unsigned i = 0; i < rows->count; i++)
        append (sql, ",?");
    append (sql, ",?)");
    return sqlite_file_prepare (f, sql);
}

static sqlite3_stmt *prepare_drop (struct sqlite_file *f,
                                   const struct rows *rows)
{
    char sql[SQL_BYTES] = "";

    append (sql, "DELETE FROM %s WHERE %s = ?", rows->name, rows->key);
    return sqlite_file_prepare (f, sql);
}

sqlite3_stmt *sqlite_rows_select (struct sqlite_file *f,
                                  const struct rows *rows)
{
    return sqlite_rows_select_some (f, rows, "ORDER BY 1");
}

sqlite3_stmt *sqlite_rows_select_some (struct sqlite_file *f,
                                       const struct rows *rows,
                                       const char *rest)
{
    char sql[SQL_BYTES] = "";

    append (sql, "SELECT %s", rows->key);
    for (unsigned i = 0; i < rows->count; i++)
        append (sql, ", %s", rows->columns[i].name);
    append (sql, ", checksum FROM %s %s", rows->name, rest);
    return sqlite_file_prepare (f, sql);
}

int sqlite_rows_prepare (struct sqlite_rows *t, struct sqlite_file *f,
                         const struct rows *rows)
{
    t->file = f;
    t->rows = rows;
    t->put = prepare_put (f, rows);
    t->drop = t->put ? prepare_drop (f, rows) : NULL;
    return t->put && t->drop ? 0 : -1;
}

void sqlite_rows_finish (struct sqlite_rows *t)
{
    sqlite3_finalize (t->put);
    sqlite3_finalize (t->drop);
    t->put = t->drop = NULL;
}

static void bind_column (sqlite3_stmt *statement, int at,
                         const struct column *c, const void *record)
{
    const char *place = (const char *) record + c->offset;
    double real;

    if (c->type == COLUMN_TEXT)
        sqlite3_bind_text (statement, at, place, -1, SQLITE_STATIC);
    else if (c->type != COLUMN_F64)
        sqlite3_bind_int64 (statement, at, rows_get (c, record));
    else {
        memcpy (&real, place, sizeof real);
        sqlite3_bind_double (statement, at, real); // NaN becomes NULL
    }
}

int sqlite_rows_put (struct sqlite_rows *t, uint64_t key, const void *record)
{
    int at = 1;

    sqlite3_bind_int64 (t->put, at++, (int64_t) key);
    for (unsigned i = 0; i < t->rows->count; i++)
        bind_column (t->put, at++, &t->rows->columns[i], record);
    sqlite3_bind_int64 (t->put, at,
                        (int64_t) rows_checksum (t->rows, key, record));
    return sqlite_file_step (t->file, t->put, t->rows->name);
}

int sqlite_rows_drop (struct sqlite_rows *t, uint64_t key)
{
    sqlite3_bind_int64 (t->drop, 1, (int64_t) key);
    return sqlite_file_step (t->file, t->drop, t->rows->name);
}

static bool read_text (sqlite3_stmt *statement, int at, char *ret_text,
                       size_t size)
{
    const char *text = (const char *) sqlite3_column_text (statement, at);
    size_t bytes = (size_t) sqlite3_column_bytes (statement, at);

    if (!text || bytes >= size || strlen (text) != bytes)
        return false;
    memcpy (ret_text, text, bytes + 1);
    return true;
}

static bool read_real (sqlite3_stmt *statement, int at, void *ret_real)
{
    int type = sqlite3_column_type (statement, at);
    double real = NAN;

    if (type == SQLITE_FLOAT || type == SQLITE_INTEGER)
        real = sqlite3_column_double (statement, at);
    memcpy (ret_real, &real, sizeof real);
    return type != SQLITE_TEXT && type != SQLITE_BLOB;
}

static bool read_column (sqlite3_stmt *statement, int at,
                         const struct column *c, void *ret_record)
{
    char *place = (char *) ret_record + c->offset;

    if (c->type == COLUMN_TEXT)
        return read_text (statement, at, place, c->size);
    if (c->type == COLUMN_F64)
        return read_real (statement, at, place);
    return sqlite3_column_type (statement, at) == SQLITE_INTEGER &&
           rows_set (c, ret_record, sqlite3_column_int64 (statement, at));
}

/* The current row into a zeroed record; false if it is damaged. The key is
 * set in any case. */
static bool read_row (sqlite3_stmt *statement, const struct rows *rows,
                      void *ret_record, uint64_t *ret_key)
{
    int at = 0;

    *ret_key = (uint64_t) sqlite3_column_int64 (statement, at++);
    for (unsigned i = 0; i < rows->count; i++)
        if (!read_column (statement, at++, &rows->columns[i], ret_record))
            return false;
    if (!rows->keyless)
        memcpy ((char *) ret_record + rows->key_offset, ret_key,
                sizeof *ret_key);
    return sqlite3_column_int64 (statement, at) ==
           (int64_t) rows_checksum (rows, *ret_key, ret_record);
}

enum sqlite_rows_next sqlite_rows_next (struct sqlite_file *f,
                                        sqlite3_stmt *statement,
                                        const struct rows *rows,
                                        void *ret_record, uint64_t *ret_key)
{
    int rc = statement ? sqlite3_step (statement) : SQLITE_ERROR;

    if (rc == SQLITE_ROW) {
        memset (ret_record, 0, rows->size);
        return read_row (statement, rows, ret_record, ret_key) ? ROWS_GOOD
                                                               : ROWS_DAMAGED;
    }
    if (rc == SQLITE_DONE)
        return ROWS_END;
    sqlite_file_failed (f, rows->name);
    return sqlite_file_says_damaged (rc) ? ROWS_LOST : ROWS_FAILED;
}
