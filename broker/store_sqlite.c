/* SPDX-License-Identifier: MPL-2.0 */
/* store_sqlite.c - the store in one SQLite file, STATE/state.db
 *
 * WAL, locked exclusively (so there is no -shm), one transaction a batch. The
 * only difference between "survives our death" and "survives the machine's"
 * is PRAGMA synchronous, which may change between transactions. Checkpoints
 * are made here and not by SQLite, which would swallow a failed flush.
 *
 * A new database is made under another name and renamed when it is whole, so
 * a state.db that is empty or half there was whole once, and is a loss.
 */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ballast.h"
#include "bus/base.h"
#include "bus/endpoint.h"
#include "marker.h"
#include "rows.h"

enum {
    APPLICATION_ID = 0x534c5431, // "SLT1"
    USER_VERSION = 1,
    CHECKPOINT_PAGES = 1000,
    CHECKPOINT_PAGES_LOW = 32 // on a full disk the WAL must not grow
};

static const struct rows *const TABLES[] = {
    [CHANGE_SESSION] = &rows_session,
    [CHANGE_LEASE] = &rows_lease,
    [CHANGE_WAITER] = &rows_waiter,
    [CHANGE_META] = &rows_meta,
};
enum { TABLE_COUNT = sizeof TABLES / sizeof *TABLES };

struct store {
    sqlite3 *db;
    sqlite3_stmt *put[TABLE_COUNT], *drop[TABLE_COUNT];
    sqlite3_stmt *begin, *commit, *rollback;
    char folder[PATH_BYTES], path[PATH_BYTES + 16];
    struct meta_row meta;
    struct marker marker;
    struct ballast *ballast;
    bool broken;   // a write failed: the files are left as they are
    bool flushing; // PRAGMA synchronous is FULL
    int wal_pages;
    char failure[512];
    char notice[512];
};

static void say (char *ret_text, size_t size, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));

static void say (char *ret_text, size_t size, const char *format, ...)
{
    va_list args;

    va_start (args, format);
    vsnprintf (ret_text, size, format, args);
    va_end (args);
}

/* ---- failures ---- */

static int failed (struct store *s, const char *what)
{
    int error = sqlite3_system_errno (s->db);

    say (s->failure, sizeof s->failure, "%s: %s%s%s", what,
         sqlite3_errmsg (s->db), error ? ": " : "",
         error ? strerror (error) : "");
    return -1;
}

/* No space, which throwing the ballast out may mend; a flush that failed for
 * want of space has lost what it was to flush all the same. */
static bool wants_space (struct store *s)
{
    int code = sqlite3_extended_errcode (s->db);
    int error = sqlite3_system_errno (s->db);

    if (code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC)
        return false;
    if ((code & 0xff) == SQLITE_FULL)
        return true;
    return (code & 0xff) == SQLITE_IOERR &&
           (error == ENOSPC || error == EDQUOT);
}

static bool says_damaged (int code)
{
    code &= 0xff;
    return code == SQLITE_CORRUPT || code == SQLITE_NOTADB ||
           code == SQLITE_ERROR; // a table or a column is not there
}

static int run (struct store *s, const char *sql)
{
    return sqlite3_exec (s->db, sql, NULL, NULL, NULL) == SQLITE_OK
               ? 0
               : failed (s, sql);
}

static int step (struct store *s, sqlite3_stmt *statement, const char *what)
{
    int rc = sqlite3_step (statement) == SQLITE_DONE ? 0 : failed (s, what);

    sqlite3_reset (statement);
    return rc;
}

/* First column of the first row as a number. */
static int ask_number (struct store *s, const char *sql, int64_t *ret_value)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2 (s->db, sql, -1, &statement, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_step (statement);
    if (rc == SQLITE_ROW)
        *ret_value = sqlite3_column_int64 (statement, 0);
    else
        failed (s, sql);
    sqlite3_finalize (statement);
    return rc == SQLITE_ROW ? 0 : -1;
}

/* ---- rows ---- */

static const char *const SQL_TYPE[] = {
    [COLUMN_U64] = "INTEGER NOT NULL",  [COLUMN_U32] = "INTEGER NOT NULL",
    [COLUMN_I64] = "INTEGER NOT NULL",  [COLUMN_I32] = "INTEGER NOT NULL",
    [COLUMN_BOOL] = "INTEGER NOT NULL", [COLUMN_F64] = "REAL",
    [COLUMN_TEXT] = "TEXT NOT NULL"};

static void append (char *text, size_t size, const char *more)
{
    size_t used = strlen (text);

    say (text + used, size - used, "%s", more);
}

static int create_table (struct store *s, const struct rows *rows)
{
    char sql[4096] = "";

    say (sql, sizeof sql, "CREATE TABLE %s (%s INTEGER PRIMARY KEY", rows->name,
         rows->key);
    for (unsigned i = 0; i < rows->count; i++) {
        append (sql, sizeof sql, ", ");
        append (sql, sizeof sql, rows->columns[i].name);
        append (sql, sizeof sql, " ");
        append (sql, sizeof sql, SQL_TYPE[rows->columns[i].type]);
    }
    append (sql, sizeof sql, ", checksum INTEGER NOT NULL) STRICT");
    return run (s, sql);
}

static sqlite3_stmt *prepare (struct store *s, const char *sql)
{
    sqlite3_stmt *statement = NULL;

    if (sqlite3_prepare_v3 (s->db, sql, -1, SQLITE_PREPARE_PERSISTENT,
                            &statement, NULL) != SQLITE_OK)
        failed (s, sql);
    return statement;
}

static sqlite3_stmt *prepare_put (struct store *s, const struct rows *rows)
{
    char sql[4096] = "";

    say (sql, sizeof sql, "REPLACE INTO %s VALUES (?", rows->name);
    for (unsigned i = 0; i < rows->count; i++)
        append (sql, sizeof sql, ",?");
    append (sql, sizeof sql, ",?)");
    return prepare (s, sql);
}

static sqlite3_stmt *prepare_drop (struct store *s, const struct rows *rows)
{
    char sql[256];

    say (sql, sizeof sql, "DELETE FROM %s WHERE %s = ?", rows->name, rows->key);
    return prepare (s, sql);
}

static sqlite3_stmt *prepare_select (struct store *s, const struct rows *rows)
{
    char sql[4096] = "";

    say (sql, sizeof sql, "SELECT %s", rows->key);
    for (unsigned i = 0; i < rows->count; i++) {
        append (sql, sizeof sql, ", ");
        append (sql, sizeof sql, rows->columns[i].name);
    }
    append (sql, sizeof sql, ", checksum FROM ");
    append (sql, sizeof sql, rows->name);
    append (sql, sizeof sql, " ORDER BY 1");
    return prepare (s, sql);
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

static int put_row (struct store *s, enum change_kind kind, uint64_t key,
                    const void *record)
{
    const struct rows *rows = TABLES[kind];
    sqlite3_stmt *statement = s->put[kind];
    int at = 1;

    sqlite3_bind_int64 (statement, at++, (int64_t) key);
    for (unsigned i = 0; i < rows->count; i++)
        bind_column (statement, at++, &rows->columns[i], record);
    sqlite3_bind_int64 (statement, at,
                        (int64_t) rows_checksum (rows, key, record));
    return step (s, statement, rows->name);
}

static int drop_row (struct store *s, enum change_kind kind, uint64_t key)
{
    sqlite3_bind_int64 (s->drop[kind], 1, (int64_t) key);
    return step (s, s->drop[kind], TABLES[kind]->name);
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

/* ---- the database as a file ---- */

static int count_pages (void *arg, sqlite3 *db, const char *name, int pages)
{
    struct store *s = arg;

    (void) db;
    (void) name;
    s->wal_pages = pages;
    return SQLITE_OK;
}

static int open_file (struct store *s, const char *path, int flags)
{
    int rc = sqlite3_open_v2 (path, &s->db,
                              flags | SQLITE_OPEN_READWRITE |
                                  SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
                              NULL);

    if (rc != SQLITE_OK)
        return failed (s, path);
    sqlite3_db_config (s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config (s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    return run (s, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA cell_size_check=ON;"
                   "PRAGMA temp_store=MEMORY");
}

static void close_file (struct store *s)
{
    for (unsigned i = 0; i < TABLE_COUNT; i++) {
        sqlite3_finalize (s->put[i]);
        sqlite3_finalize (s->drop[i]);
        s->put[i] = s->drop[i] = NULL;
    }
    sqlite3_finalize (s->begin);
    sqlite3_finalize (s->commit);
    sqlite3_finalize (s->rollback);
    s->begin = s->commit = s->rollback = NULL;
    sqlite3_close (s->db);
    s->db = NULL;
}

static int prepare_all (struct store *s)
{
    bool good = true;

    for (unsigned i = 0; i < TABLE_COUNT; i++) {
        s->put[i] = prepare_put (s, TABLES[i]);
        s->drop[i] = prepare_drop (s, TABLES[i]);
        good = good && s->put[i] && s->drop[i];
    }
    s->begin = prepare (s, "BEGIN IMMEDIATE");
    s->commit = prepare (s, "COMMIT");
    s->rollback = prepare (s, "ROLLBACK");
    return good && s->begin && s->commit && s->rollback ? 0 : -1;
}

static int read_meta (struct store *s)
{
    sqlite3_stmt *statement = prepare_select (s, &rows_meta);
    struct meta_row meta = {0};
    uint64_t key = 0;
    bool good = false;

    if (!statement)
        return -1;
    if (sqlite3_step (statement) == SQLITE_ROW)
        good = read_row (statement, &rows_meta, &meta, &key) && key == 1;
    sqlite3_finalize (statement);
    if (good)
        s->meta = meta;
    return good ? 0 : -1;
}

static bool quick_check_ok (struct store *s)
{
    sqlite3_stmt *statement = prepare (s, "PRAGMA quick_check(1)");
    bool good =
        statement && sqlite3_step (statement) == SQLITE_ROW &&
        strcmp ((const char *) sqlite3_column_text (statement, 0), "ok") == 0;

    sqlite3_finalize (statement);
    return good;
}

/* What is wrong with the open database: a phrase, or NULL. Touches nothing:
 * if it is refused, it stays as it is. */
static const char *inspect (struct store *s)
{
    int64_t application = 0, version = 0;

    sqlite3_db_config (s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    if (ask_number (s, "PRAGMA application_id", &application) ||
        ask_number (s, "PRAGMA user_version", &version))
        return "is damaged";
    if (application != APPLICATION_ID)
        return "is no state of slotbus";
    if (version > USER_VERSION)
        return "was written by a newer slotbus";
    if (version != USER_VERSION || !quick_check_ok (s))
        return "is damaged";
    if (read_meta (s))
        return "is damaged (its first row)";
    return prepare_all (s) ? "is damaged (a table is missing)" : NULL;
}

static void fold (char *ret_path, size_t size, const struct store *s,
                  const char *name)
{
    say (ret_path, size, "%s/%s", s->folder, name);
}

/* Size of a file of the folder, -1 if there is none. */
static int64_t size_of (const struct store *s, const char *name)
{
    char path[PATH_BYTES + 64];
    struct stat st;

    fold (path, sizeof path, s, name);
    return lstat (path, &st) == 0 ? (int64_t) st.st_size : -1;
}

static int flush_folder (const struct store *s)
{
    int fd = open (s->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 ? -1 : fsync (fd);

    if (fd >= 0)
        close (fd);
    return rc;
}

static int fill_new (struct store *s)
{
    char sql[128];

    say (sql, sizeof sql,
         "BEGIN; PRAGMA application_id=%d; PRAGMA user_version=%d",
         APPLICATION_ID, USER_VERSION);
    if (run (s, "PRAGMA synchronous=FULL") || run (s, sql))
        return -1;
    for (unsigned i = 0; i < TABLE_COUNT; i++)
        if (create_table (s, TABLES[i]))
            return -1;
    if (prepare_all (s) || put_row (s, CHANGE_META, 1, &s->meta))
        return -1;
    return run (s, "COMMIT");
}

/* Whole under another name, then renamed. */
static int create_file (struct store *s)
{
    char draft[PATH_BYTES + 64];
    int rc;

    fold (draft, sizeof draft, s, "state.db.new");
    unlink (draft);
    rc = open_file (s, draft, SQLITE_OPEN_CREATE) || fill_new (s) ? -1 : 0;
    close_file (s);
    if (rc == 0 && (rename (draft, s->path) || flush_folder (s))) {
        say (s->failure, sizeof s->failure, "%s: %s", s->path,
             strerror (errno));
        rc = -1;
    }
    return rc;
}

/* ---- opening: whole, new, or lost ---- */

/* Nothing there that was ever a state, and no sign that there was. */
static bool is_new (const struct store *s, enum marker_state marker)
{
    return marker == MARKER_ABSENT && size_of (s, "state.db") < 0;
}

/* Why the state is not what was left here, or NULL. On NULL the database is
 * open. */
static const char *find_loss (struct store *s, enum marker_state marker)
{
    int64_t size = size_of (s, "state.db");
    const char *wrong;

    if (size < 0)
        return "is missing, although INITIALISED says that there was one";
    if (size == 0)
        return "is empty";
    if (marker == MARKER_GOOD && s->marker.open &&
        size_of (s, "state.db-wal") <= 0)
        return "lacks its state.db-wal, in which the latest changes were";
    wrong = open_file (s, s->path, 0)
                ? (says_damaged (sqlite3_errcode (s->db)) ? "is damaged" : "")
                : inspect (s);
    if (wrong)
        return wrong;
    if (marker == MARKER_DAMAGED)
        return "cannot be compared with INITIALISED, which is damaged";
    if (marker == MARKER_GOOD && !marker_reached (&s->marker, &s->meta.meta))
        return "is older than INITIALISED says, or another broker's";
    return NULL;
}

static uint64_t higher (uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void new_meta (struct meta_record *ret_meta)
{
    memset (ret_meta, 0, sizeof *ret_meta);
    snprintf (ret_meta->broker, sizeof ret_meta->broker,
              "%016" PRIx64 "%016" PRIx64, random_u64 (), random_u64 ());
    ret_meta->token_mark = ret_meta->number_mark = 1;
}

/* Where to go on after a loss: broker id and marks of the marker, and of the
 * database as far as it can be read; of neither: another broker. */
static void meta_after_loss (struct store *s, enum marker_state marker)
{
    struct meta_record old = s->meta.meta, meta;

    new_meta (&meta);
    if (marker == MARKER_GOOD) {
        memcpy (meta.broker, s->marker.broker, sizeof meta.broker);
        meta.epoch = s->marker.epoch;
        meta.token_mark = s->marker.token_mark;
        meta.number_mark = s->marker.number_mark;
    } else if (old.broker[0])
        memcpy (meta.broker, old.broker, sizeof meta.broker);
    if (strcmp (old.broker, meta.broker) == 0) {
        meta.epoch = higher (meta.epoch, old.epoch);
        meta.token_mark = higher (meta.token_mark, old.token_mark);
        meta.number_mark = higher (meta.number_mark, old.number_mark);
    }
    s->meta.meta = meta;
    s->meta.learning = true;
}

static int write_marker (struct store *s, bool is_open)
{
    struct marker m = {.epoch = s->meta.meta.epoch,
                       .token_mark = s->meta.meta.token_mark,
                       .number_mark = s->meta.meta.number_mark,
                       .open = is_open};

    memcpy (m.broker, s->meta.meta.broker, sizeof m.broker);
    if (marker_write (s->folder, &m)) {
        if (errno == ENOSPC && s->ballast && ballast_drop (s->ballast) &&
            marker_write (s->folder, &m) == 0)
            goto written;
        say (s->failure, sizeof s->failure, "%s/INITIALISED: %s", s->folder,
             strerror (errno));
        return -1;
    }
written:
    s->marker = m;
    return 0;
}

/* The first free state.db.lost-N: it can still be opened under that name. */
static int move_aside (struct store *s)
{
    static const char *const parts[] = {"", "-wal", "-journal"};
    char from[PATH_BYTES + 64], to[PATH_BYTES + 64], name[64];
    unsigned n = 1;

    do
        say (name, sizeof name, "state.db.lost-%u", n++);
    while (size_of (s, name) >= 0);
    for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++) {
        say (from, sizeof from, "%s%s", s->path, parts[i]);
        say (to, sizeof to, "%s/%s%s", s->folder, name, parts[i]);
        if (rename (from, to) && errno != ENOENT) {
            say (s->failure, sizeof s->failure, "%s: %s", to, strerror (errno));
            return -1;
        }
    }
    append (s->notice, sizeof s->notice, name);
    return 0;
}

/* The marker comes first: without it, a death after the old database was
 * moved aside would leave a folder that looks new. */
static int start_over (struct store *s, enum marker_state marker,
                       const char *loss)
{
    say (s->notice, sizeof s->notice,
         "state.db %s; its loss was accepted: learning what is held. The old "
         "one is kept, if there was one, as ",
         loss);
    close_file (s);
    meta_after_loss (s, marker);
    return write_marker (s, false) || move_aside (s) || create_file (s) ? -1
                                                                        : 0;
}

static enum store_error refuse (const struct store *s, const char *loss,
                                char *ret_error, size_t size)
{
    say (ret_error, size,
         "%s/state.db %s. Starting without it could grant slots that are "
         "still in use. Put it back, with its -wal; or, if it is lost, start "
         "with --accept-state-loss: running agents are then learned from "
         "their shims, and nothing is granted meanwhile",
         s->folder, loss);
    return STORE_LOST;
}

/* Leaves the database on disk whole, though perhaps closed. */
static enum store_error settle (struct store *s, bool accept_loss,
                                char *ret_error, size_t size)
{
    enum marker_state marker = marker_read (s->folder, &s->marker);
    const char *loss;

    if (marker == MARKER_UNREADABLE) {
        say (ret_error, size, "%s/INITIALISED: %s", s->folder,
             strerror (errno));
        return STORE_CONFIG;
    }
    if (is_new (s, marker)) {
        new_meta (&s->meta.meta);
        return create_file (s) ? STORE_IO : STORE_OK;
    }
    loss = find_loss (s, marker);
    if (loss && !*loss)
        return STORE_CONFIG;
    if (loss && !accept_loss)
        return refuse (s, loss, ret_error, size);
    if (loss)
        return start_over (s, marker, loss) ? STORE_IO : STORE_OK;
    if (marker == MARKER_ABSENT)
        say (s->notice, sizeof s->notice,
             "INITIALISED was missing and is written again");
    else if (accept_loss)
        say (s->notice, sizeof s->notice,
             "the state is whole: --accept-state-loss was not needed");
    return STORE_OK;
}

static int set_synchronous (struct store *s, bool flush)
{
    if (flush == s->flushing)
        return 0;
    if (run (s,
             flush ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL"))
        return -1;
    s->flushing = flush;
    return 0;
}

static int make_ready (struct store *s)
{
    if (!s->db && (open_file (s, s->path, 0) || prepare_all (s)))
        return -1;
    sqlite3_db_config (s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    if (run (s, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL"))
        return -1;
    sqlite3_wal_hook (s->db, count_pages, s);
    s->ballast = ballast_create (s->folder);
    return 0;
}

static int write_meta (struct store *s)
{
    if (set_synchronous (s, true))
        return -1;
    if (put_row (s, CHANGE_META, 1, &s->meta) == 0)
        return 0;
    return wants_space (s) && ballast_drop (s->ballast)
               ? put_row (s, CHANGE_META, 1, &s->meta)
               : -1;
}

/* State first, marker second: a death in between leaves a state that is
 * further than its marker, which is no loss. */
static int raise_epoch (struct store *s)
{
    s->meta.meta.epoch = higher (s->meta.meta.epoch, s->marker.epoch) + 1;
    return write_meta (s) || write_marker (s, true) ? -1 : 0;
}

enum store_error store_open (const char *folder, bool accept_loss,
                             struct store **ret_store, char *ret_error,
                             size_t error_size)
{
    struct store *s = xcalloc (1, sizeof *s);
    enum store_error e;

    say (s->folder, sizeof s->folder, "%s", folder);
    say (s->path, sizeof s->path, "%s/state.db", folder);
    ret_error[0] = 0;
    e = settle (s, accept_loss, ret_error, error_size);
    if (e == STORE_OK && (make_ready (s) || raise_epoch (s)))
        e = STORE_IO;
    if (e == STORE_OK) {
        *ret_store = s;
        return e;
    }
    if (!ret_error[0])
        say (ret_error, error_size, "the state cannot be written: %s",
             s->failure);
    close_file (s);
    ballast_destroy (s->ballast);
    free (s);
    return e;
}

void store_close (struct store *s)
{
    int error = errno;

    if (!s)
        return;
    // before the WAL goes: closed by the marker's word, then truly. After a
    // failed write neither: what the kernel has cached is not what the disk has
    if (s->broken)
        sqlite3_db_config (s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    else
        write_marker (s, false);
    close_file (s);
    ballast_destroy (s->ballast);
    free (s);
    errno = error;
}

const struct meta_record *store_meta (const struct store *s)
{
    return &s->meta.meta;
}

bool store_learning (const struct store *s)
{
    return s->meta.learning;
}

const char *store_notice (const struct store *s)
{
    return s->notice;
}

const char *store_failure (const struct store *s)
{
    return s->failure;
}

/* ---- loading ---- */

static void deliver (const struct store_reader *to, enum change_kind kind,
                     const void *record)
{
    if (kind == CHANGE_SESSION)
        to->session (to->arg, record);
    else if (kind == CHANGE_LEASE)
        to->lease (to->arg, record);
    else
        to->waiter (to->arg, record);
}

static bool sound (enum change_kind kind, const void *record)
{
    const struct lease_record *lease = record;

    return kind != CHANGE_LEASE ||
           (lease->state >= LEASE_ACTIVE && lease->state <= LEASE_LIMBO);
}

static enum store_error load_table (struct store *s, enum change_kind kind,
                                    const struct store_reader *to,
                                    unsigned *damaged)
{
    sqlite3_stmt *statement = prepare_select (s, TABLES[kind]);
    int rc = SQLITE_ERROR;

    while (statement && (rc = sqlite3_step (statement)) == SQLITE_ROW) {
        union {
            struct session_record session;
            struct lease_record lease;
            struct waiter_record waiter;
        } record;
        uint64_t key;

        memset (&record, 0, sizeof record);
        if (read_row (statement, TABLES[kind], &record, &key) &&
            sound (kind, &record)) {
            deliver (to, kind, &record);
            continue;
        }
        ++*damaged;
        if (kind == CHANGE_LEASE)
            to->damaged (to->arg, key);
    }
    if (rc != SQLITE_DONE)
        failed (s, TABLES[kind]->name);
    sqlite3_finalize (statement);
    return rc == SQLITE_DONE   ? STORE_OK
           : says_damaged (rc) ? STORE_LOST
                               : STORE_IO;
}

enum store_error store_load (struct store *s, const struct store_reader *to,
                             unsigned *ret_damaged)
{
    unsigned damaged = 0;
    enum store_error e = load_table (s, CHANGE_SESSION, to, &damaged);

    if (e == STORE_OK)
        e = load_table (s, CHANGE_LEASE, to, &damaged);
    if (e == STORE_OK)
        e = load_table (s, CHANGE_WAITER, to, &damaged);
    if (e == STORE_OK)
        *ret_damaged = damaged;
    return e;
}

/* ---- committing ---- */

static int apply (struct store *s, const struct change *c)
{
    struct meta_row meta = s->meta;

    if (c->deleted)
        return drop_row (s, c->kind, c->key);
    if (c->kind != CHANGE_META)
        return put_row (s, c->kind, c->key, c->record);
    memcpy (&meta.meta, c->record, sizeof meta.meta);
    return put_row (s, CHANGE_META, 1, &meta);
}

static int write_batch (struct store *s, const struct outbox *o)
{
    if (step (s, s->begin, "begin"))
        return -1;
    for (size_t i = 0; i < outbox_changed (o); i++) {
        struct change c = outbox_change_at (o, i);

        if (apply (s, &c))
            return -1;
    }
    return step (s, s->commit, "commit");
}

/* The reason is asked for before the rollback overwrites it. */
static int try_batch (struct store *s, const struct outbox *o, bool *ret_space)
{
    *ret_space = false;
    if (write_batch (s, o) == 0)
        return 0;
    *ret_space = wants_space (s);
    if (!sqlite3_get_autocommit (s->db)) {
        sqlite3_step (s->rollback);
        sqlite3_reset (s->rollback);
    }
    return -1;
}

/* The last of several wins. */
static const struct meta_record *meta_of (const struct outbox *o)
{
    const struct meta_record *meta = NULL;

    for (size_t i = 0; i < outbox_changed (o); i++) {
        struct change c = outbox_change_at (o, i);

        if (c.kind == CHANGE_META && !c.deleted)
            meta = c.record;
    }
    return meta;
}

static int checkpoint (struct store *s)
{
    int most =
        ballast_low (s->ballast) ? CHECKPOINT_PAGES_LOW : CHECKPOINT_PAGES;
    int rc;

    if (s->wal_pages < most)
        return 0;
    rc = sqlite3_wal_checkpoint_v2 (s->db, NULL, SQLITE_CHECKPOINT_PASSIVE,
                                    NULL, NULL);
    if (rc == SQLITE_OK)
        s->wal_pages = 0;
    else if (wants_space (s)) // the WAL has it all: later is good enough
        ballast_drop (s->ballast);
    else
        return failed (s, "checkpoint");
    return 0;
}

static int commit (struct store *s, const struct outbox *o)
{
    const struct meta_record *meta = meta_of (o);
    bool space;

    if (set_synchronous (s, meta || outbox_flush (o)))
        return -1;
    if (try_batch (s, o, &space) &&
        !(space && ballast_drop (s->ballast) && !try_batch (s, o, &space)))
        return -1;
    if (meta)
        s->meta.meta = *meta;
    if (!marker_covers (&s->marker, &s->meta.meta) && write_marker (s, true))
        return -1;
    return checkpoint (s);
}

static enum store_error verdict (struct store *s, int rc)
{
    s->broken |= rc != 0;
    return rc ? STORE_IO : STORE_OK;
}

enum store_error store_commit (struct store *s, const struct outbox *o)
{
    return outbox_changed (o) == 0 ? STORE_OK : verdict (s, commit (s, o));
}

enum store_error store_learned (struct store *s)
{
    s->meta.learning = false;
    return verdict (s, write_meta (s));
}

void store_tend (struct store *s)
{
    ballast_tend (s->ballast);
}

bool store_full (const struct store *s)
{
    return ballast_low (s->ballast);
}
