/* SPDX-License-Identifier: MPL-2.0 */
/* store_sqlite.c - the store in one SQLite file, STATE/state.db
 *
 * WAL, locked exclusively (so there is no -shm), one transaction a batch. The
 * only difference between "survives our death" and "survives the machine's"
 * is PRAGMA synchronous, which may change between transactions.
 *
 * What the folder may hold, and when it is refused: store_folder.h.
 */
#include "store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/base.h"
#include "store_folder.h"

enum {
    CHECKPOINT_PAGES = 1000,
    CHECKPOINT_PAGES_LOW = 32 // on a full disk the WAL must not grow
};

enum store_error store_open (const char *folder, bool accept_loss,
                             struct store **ret_store, char *ret_error,
                             size_t error_size)
{
    struct store *s = xcalloc (1, sizeof *s);
    enum store_error e;

    snprintf (s->folder, sizeof s->folder, "%s", folder);
    snprintf (s->path, sizeof s->path, "%s/state.db", folder);
    s->tally.fd = -1;
    ret_error[0] = 0;
    e = store_folder_open (s, accept_loss, ret_error, error_size);
    if (e == STORE_OK) {
        *ret_store = s;
        return e;
    }
    if (!ret_error[0])
        snprintf (ret_error, error_size, "the state cannot be written: %s",
                  store_failure (s));
    store_folder_close (s);
    free (s);
    return e;
}

void store_close (struct store *s)
{
    int error = errno;

    if (!s)
        return;
    // before the WAL goes: closed by the marker's word, then truly. After a
    // failed write neither: what the kernel has cached is not what the disk
    // has. Nor on a full disk, where the next start needs the WAL's space
    if (!s->broken && !ballast_low (s->ballast) &&
        store_folder_mark (s, false) == 0)
        sqlite_file_fold_at_close (&s->file);
    store_folder_close (s);
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
    return s->file.failure;
}

static void deliver (const struct store_reader *to, enum change_kind kind,
                     const void *record)
{
    if (kind == CHANGE_SESSION)
        to->session (to->arg, record);
    else if (kind == CHANGE_LEASE)
        to->lease (to->arg, record);
    else if (kind == CHANGE_WAITER)
        to->waiter (to->arg, record);
    else
        to->project (to->arg, record);
}

/* A damaged lease is known by its token, but this is none: nobody could ever
 * name it, and all tokens to come would be above it. */
static bool is_token (struct store *s, uint64_t key)
{
    if (key >= 1 && key <= INT64_MAX)
        return true;
    snprintf (s->file.failure, sizeof s->file.failure,
              "lease: a row with the impossible token %lld", (long long) key);
    return false;
}

static enum store_error load_table (struct store *s, enum change_kind kind,
                                    const struct store_reader *to,
                                    unsigned *damaged)
{
    const struct rows *rows = s->tables[kind].rows;
    struct sqlite3_stmt *statement = sqlite_rows_select (&s->file, rows);
    enum sqlite_rows_next next;
    uint64_t key;
    union {
        struct session_record session;
        struct lease_record lease;
        struct waiter_record waiter;
        struct project_record project;
    } record;

    while ((next = sqlite_rows_next (&s->file, statement, rows, &record,
                                     &key)) < ROWS_END) {
        if (next == ROWS_GOOD && rows_sound (rows, &record)) {
            deliver (to, kind, &record);
            continue;
        }
        ++*damaged;
        if (kind != CHANGE_LEASE)
            continue;
        if (!is_token (s, key)) {
            next = ROWS_LOST;
            break;
        }
        to->damaged (to->arg, key);
    }
    sqlite_file_finish (statement);
    return next == ROWS_END    ? STORE_OK
           : next == ROWS_LOST ? STORE_LOST
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
        e = load_table (s, CHANGE_PROJECT, to, &damaged);
    if (e == STORE_OK)
        e = load_table (s, CHANGE_WAITER, to, &damaged);
    if (e == STORE_OK)
        *ret_damaged = damaged;
    return e;
}

/* Meta comes last: its row is written with every batch. */
static int apply (struct store *s, const struct change *c,
                  struct meta_row *ret_meta)
{
    struct sqlite_rows *table = &s->tables[c->kind];

    if (c->kind == CHANGE_META)
        memcpy (&ret_meta->meta, c->record, sizeof ret_meta->meta);
    else if (c->deleted)
        return sqlite_rows_drop (table, c->key);
    else
        return sqlite_rows_put (table, c->key, c->record);
    return 0;
}

static int write_batch (struct store *s, const struct outbox *o)
{
    struct meta_row meta = s->meta;

    if (sqlite_file_begin (&s->file))
        return -1;
    for (size_t i = 0; i < outbox_changed (o); i++) {
        struct change c = outbox_change_at (o, i);

        if (apply (s, &c, &meta))
            return -1;
    }
    meta.commits++;
    if (sqlite_rows_put (&s->tables[CHANGE_META], 1, &meta) ||
        sqlite_file_commit (&s->file))
        return -1;
    s->meta = meta;
    return 0;
}

/* The reason is asked for before the rollback overwrites it. */
static int try_batch (struct store *s, const struct outbox *o, bool *ret_space)
{
    *ret_space = false;
    if (write_batch (s, o) == 0)
        return 0;
    *ret_space = sqlite_file_wants_space (&s->file);
    sqlite_file_rollback (&s->file);
    return -1;
}

static bool changes_meta (const struct outbox *o)
{
    for (size_t i = 0; i < outbox_changed (o); i++)
        if (outbox_change_at (o, i).kind == CHANGE_META)
            return true;
    return false;
}

static int checkpoint (struct store *s)
{
    int most =
        ballast_low (s->ballast) ? CHECKPOINT_PAGES_LOW : CHECKPOINT_PAGES;

    if (sqlite_file_checkpoint (&s->file, most) == 0)
        return 0;
    if (!sqlite_file_wants_space (&s->file))
        return -1;
    ballast_drop (s->ballast); // the WAL has it all: later is good enough
    return 0;
}

static int commit (struct store *s, const struct outbox *o)
{
    bool flush = outbox_flush (o) || changes_meta (o), space;

    if (sqlite_file_set_flushing (&s->file, flush))
        return -1;
    if (try_batch (s, o, &space) &&
        !(space && ballast_drop (s->ballast) && !try_batch (s, o, &space)))
        return -1;
    tally_note (&s->tally, s->meta.commits, flush);
    if (!marker_covers (&s->marker, &s->meta.meta) &&
        store_folder_mark (s, true))
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
    return verdict (s, store_folder_write_meta (s));
}

void store_tend (struct store *s)
{
    ballast_tend (s->ballast);
}

bool store_full (const struct store *s)
{
    return ballast_low (s->ballast);
}
