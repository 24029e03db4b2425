/* SPDX-License-Identifier: MPL-2.0 */
#include "store_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bus/base.h"

enum {
    APPLICATION_ID = 0x534c5431, // "SLT1"
    OLDEST_VERSION = 3,          // lacks late columns and tables: rows.h
    USER_VERSION = 4
};

static const struct rows *const TABLES[STORE_TABLES] = {
    [CHANGE_SESSION] = &rows_session, [CHANGE_LEASE] = &rows_lease,
    [CHANGE_WAITER] = &rows_waiter,   [CHANGE_META] = &rows_meta,
    [CHANGE_PROJECT] = &rows_project,
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

/* What went wrong beside the database, by errno. */
static int failed (struct store *s, const char *path)
{
    say (s->file.failure, sizeof s->file.failure, "%s: %s", path,
         strerror (errno));
    return -1;
}

static int open_file (struct store *s, const char *path, bool create)
{
    return sqlite_file_open (&s->file, path, create);
}

static void close_file (struct store *s)
{
    for (unsigned i = 0; i < STORE_TABLES; i++)
        sqlite_rows_finish (&s->tables[i]);
    sqlite_file_close (&s->file);
}

/* Up to the first failure, which can then be judged. */
static int prepare_all (struct store *s)
{
    for (unsigned i = 0; i < STORE_TABLES; i++)
        if (sqlite_rows_prepare (&s->tables[i], &s->file, TABLES[i]))
            return -1;
    return sqlite_file_prepare_batches (&s->file);
}

static int put_meta (struct store *s)
{
    s->meta.commits++;
    return sqlite_rows_put (&s->tables[CHANGE_META], 1, &s->meta);
}

/* Of a call that failed: the phrase if it is the database's fault, else "":
 * what cannot be read just now (no right, a lock, a failing disk) is not lost,
 * and the file's `failure` says what it is. */
static const char *blame (const struct store *s, const char *phrase)
{
    return sqlite_file_damaged (&s->file) ? phrase : "";
}

/* The table as it is in the file. */
static struct rows as_it_is (const struct store *s, const struct rows *rows)
{
    struct rows r = *rows;

    if (s->older)
        r.count = r.early;
    return r;
}

static const char *read_meta (struct store *s)
{
    const struct rows rows = as_it_is (s, &rows_meta);
    struct sqlite3_stmt *statement = sqlite_rows_select (&s->file, &rows);
    struct meta_row meta;
    uint64_t key = 0;
    enum sqlite_rows_next next =
        sqlite_rows_next (&s->file, statement, &rows, &meta, &key);

    sqlite_file_finish (statement);
    if (next == ROWS_FAILED)
        return "";
    if (next != ROWS_GOOD || key != 1)
        return "is damaged (its first row)";
    s->meta = meta;
    return NULL;
}

/* SQLite opens what may not be written for reading only, without a word; and
 * what has a write version that it does not know. */
static const char *blame_read_only (struct store *s)
{
    if (access (s->path, W_OK) == 0)
        return "is damaged";
    failed (s, s->path);
    return "";
}

/* Are the tables there, with all their columns? */
static int look_at_tables (struct store *s)
{
    for (unsigned i = 0; i < STORE_TABLES; i++) {
        const struct rows rows = as_it_is (s, TABLES[i]);
        struct sqlite3_stmt *statement;

        if (rows.count == 0)
            continue;
        statement = sqlite_rows_select (&s->file, &rows);
        if (!statement)
            return -1;
        sqlite_file_finish (statement);
    }
    return 0;
}

/* What is wrong with the open database: a phrase, or NULL, or as blame ().
 * Touches nothing: if it is refused, it stays as it is. */
static const char *inspect (struct store *s)
{
    int64_t application = 0, version = 0;
    bool sound = false;
    const char *wrong;

    if (sqlite_file_ask (&s->file, "PRAGMA application_id", &application) ||
        sqlite_file_ask (&s->file, "PRAGMA user_version", &version))
        return blame (s, "is damaged");
    if (application != APPLICATION_ID)
        return "is no state of slotbus";
    if (version > USER_VERSION)
        return "was written by a newer slotbus";
    if (version > 0 && version < OLDEST_VERSION)
        return "was written by an older slotbus, from before its first release";
    if (sqlite_file_read_only (&s->file))
        return blame_read_only (s);
    if (sqlite_file_check (&s->file, &sound))
        return blame (s, "is damaged");
    if (version < OLDEST_VERSION || !sound)
        return "is damaged";
    s->older = version < USER_VERSION;
    if ((wrong = read_meta (s)))
        return wrong;
    if (s->older ? look_at_tables (s) : prepare_all (s))
        return blame (s, "is damaged (a table is missing)");
    return NULL;
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
    if (sqlite_file_run (&s->file, "PRAGMA synchronous=FULL") ||
        sqlite_file_run (&s->file, sql))
        return -1;
    for (unsigned i = 0; i < STORE_TABLES; i++)
        if (sqlite_rows_create (&s->file, TABLES[i]))
            return -1;
    if (prepare_all (s) || put_meta (s))
        return -1;
    return sqlite_file_run (&s->file, "COMMIT");
}

/* Whole under another name, then renamed. */
static int create_file (struct store *s)
{
    char draft[PATH_BYTES + 64];
    int rc;

    fold (draft, sizeof draft, s, "state.db.new");
    unlink (draft);
    rc = open_file (s, draft, true) || fill_new (s) ? -1 : 0;
    close_file (s);
    if (rc == 0 && (rename (draft, s->path) || flush_folder (s)))
        return failed (s, s->path);
    return rc;
}

/* Nothing there that was ever a state, and no sign that there was: a WAL that
 * is left over would be folded into the new one. */
static bool is_new (const struct store *s, enum marker_state marker)
{
    return marker == MARKER_ABSENT && size_of (s, "state.db") < 0 &&
           size_of (s, "state.db-wal") < 0 && size_of (s, "commits") < 0;
}

/* Why the state is not what was left here, or NULL, or as blame (). On NULL
 * the database is open. */
static const char *find_loss (struct store *s, enum marker_state marker)
{
    int64_t size = size_of (s, "state.db");
    const char *wrong;

    if (size < 0)
        return "is missing, although what lies beside it says that there was "
               "one";
    if (size == 0)
        return "is empty";
    if (marker == MARKER_GOOD && s->marker.open &&
        size_of (s, "state.db-wal") <= 0)
        return "lacks its state.db-wal, in which the latest changes were";
    wrong =
        open_file (s, s->path, false) ? blame (s, "is damaged") : inspect (s);
    if (wrong)
        return wrong;
    if (marker == MARKER_DAMAGED)
        return "cannot be compared with INITIALISED, which is damaged";
    if (marker == MARKER_GOOD && !marker_reached (&s->marker, &s->meta.meta))
        return "is older than INITIALISED says, or another broker's";
    if (s->meta.commits < tally_least (s->folder))
        return "lacks changes that were made, as the file commits says";
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
    s->meta.commits = higher (s->meta.commits, tally_least (s->folder));
}

int store_folder_mark (struct store *s, bool is_open)
{
    struct marker m = {.epoch = s->meta.meta.epoch,
                       .token_mark = s->meta.meta.token_mark,
                       .number_mark = s->meta.meta.number_mark,
                       .open = is_open};
    char path[PATH_BYTES + 64];

    memcpy (m.broker, s->meta.meta.broker, sizeof m.broker);
    fold (path, sizeof path, s, "INITIALISED");
    if (marker_write (s->folder, &m) &&
        !(errno == ENOSPC && s->ballast && ballast_drop (s->ballast) &&
          marker_write (s->folder, &m) == 0) &&
        !(errno == ENOSPC && marker_overwrite (s->folder, &m) == 0))
        return failed (s, path);
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
        if (rename (from, to) && errno != ENOENT)
            return failed (s, to);
    }
    say (s->notice + strlen (s->notice), sizeof s->notice - strlen (s->notice),
         "%s", name);
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
    s->older = false;
    meta_after_loss (s, marker);
    return store_folder_mark (s, false) || move_aside (s) || create_file (s)
               ? -1
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
        return sqlite_file_forbidden (&s->file) ? STORE_CONFIG : STORE_IO;
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

static int try_upgrade (struct store *s)
{
    char sql[64];

    if (sqlite_file_run (&s->file, "PRAGMA synchronous=FULL") ||
        sqlite_file_run (&s->file, "BEGIN IMMEDIATE"))
        return -1;
    for (unsigned i = 0; i < STORE_TABLES; i++)
        if (sqlite_rows_upgrade (&s->file, TABLES[i]))
            return -1;
    say (sql, sizeof sql, "PRAGMA user_version=%d", USER_VERSION);
    return sqlite_file_run (&s->file, sql) ||
                   sqlite_file_run (&s->file, "COMMIT")
               ? -1
               : 0;
}

/* On a full disk the ballast goes first. */
static int upgrade (struct store *s)
{
    int rc = try_upgrade (s);

    if (rc && sqlite_file_wants_space (&s->file) && ballast_drop (s->ballast)) {
        sqlite_file_run (&s->file, "ROLLBACK"); // unless that was done already
        rc = try_upgrade (s);
    }
    if (rc || prepare_all (s))
        return -1;
    s->older = false;
    if (!s->notice[0])
        say (s->notice, sizeof s->notice,
             "state.db was an older slotbus's and has been brought up to "
             "date: that one cannot read it any more");
    return 0;
}

static int make_ready (struct store *s)
{
    if (!s->file.db && (open_file (s, s->path, false) || prepare_all (s)))
        return -1;
    s->ballast = ballast_create (s->folder);
    if (s->older && upgrade (s))
        return -1;
    if (sqlite_file_use_wal (&s->file))
        return -1;
    if (ballast_low (s->ballast)) // so that the WAL is written from its start
        sqlite_file_checkpoint (&s->file, 0);
    tally_open (&s->tally, s->folder);
    return 0;
}

int store_folder_write_meta (struct store *s)
{
    if (sqlite_file_set_flushing (&s->file, true))
        return -1;
    if (put_meta (s) && !(sqlite_file_wants_space (&s->file) &&
                          ballast_drop (s->ballast) && put_meta (s) == 0))
        return -1;
    tally_note (&s->tally, s->meta.commits, true);
    return 0;
}

/* State first, marker second: a death in between leaves a state that is
 * further than its marker, which is no loss. */
static int raise_epoch (struct store *s)
{
    s->meta.meta.epoch = higher (s->meta.meta.epoch, s->marker.epoch) + 1;
    return store_folder_write_meta (s) || store_folder_mark (s, true) ? -1 : 0;
}

enum store_error store_folder_open (struct store *s, bool accept_loss,
                                    char *ret_error, size_t error_size)
{
    enum store_error e = settle (s, accept_loss, ret_error, error_size);

    return e == STORE_OK && (make_ready (s) || raise_epoch (s)) ? STORE_IO : e;
}

void store_folder_close (struct store *s)
{
    close_file (s);
    tally_close (&s->tally);
    ballast_destroy (s->ballast);
}
