/* SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus/base.h"
#include "rows.h"
#include "store.h"

static char folder[64];
static char error[1024];

/* ---- a folder per test ---- */

static int make_folder (void **s)
{
    (void) s;
    strcpy (folder, "/tmp/slotbus-store-XXXXXX");
    return mkdtemp (folder) ? 0 : -1;
}

static int remove_one (const char *path, const struct stat *st, int type,
                       struct FTW *at)
{
    (void) st;
    (void) type;
    (void) at;
    return remove (path);
}

static int remove_folder (void **s)
{
    (void) s;
    return nftw (folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *in_folder (const char *name)
{
    static char path[2][128];
    static unsigned turn;

    turn = !turn;
    snprintf (path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static int64_t size_of (const char *name)
{
    struct stat st;

    return stat (in_folder (name), &st) ? -1 : (int64_t) st.st_size;
}

static void copy (const char *from, const char *to)
{
    static char bytes[1 << 20];
    ssize_t size = read_file (in_folder (from), bytes, sizeof bytes);

    assert_true (size >= 0);
    assert_int_equal (
        write_file_atomically (in_folder (to), bytes, (size_t) size, 0600, 0),
        0);
}

static void raw_sql (const char *sql)
{
    sqlite3 *db;

    assert_int_equal (sqlite3_open (in_folder ("state.db"), &db), SQLITE_OK);
    assert_int_equal (sqlite3_exec (db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close (db);
}

/* ---- what is stored and read ---- */

/* Static, so that padding is zero too and records can be compared whole. */
static struct session_record *a_session (uint64_t id)
{
    static struct session_record r;

    r.id = id;
    r.nonce = UINT64_MAX;
    strcpy (r.project, "consilio");
    strcpy (r.display, "Con\xffsilio \x1b[31m");
    strcpy (r.host, "vm1");
    strcpy (r.machine, "m");
    strcpy (r.boot, "b");
    r.uid = UINT32_MAX;
    r.shim.pid = 4711;
    r.shim.start = 1234567;
    r.own = true;
    r.seq_high = 17;
    r.seq_mask = UINT64_MAX;
    return &r;
}

static struct lease_record *a_lease (uint64_t token)
{
    static struct lease_record r;

    r.token = r.first = token;
    r.session = UINT64_MAX - 1;
    strcpy (r.project, "consilio");
    strcpy (r.host, "vm1");
    strcpy (r.machine, "m");
    strcpy (r.boot, "b");
    r.uid = 1000;
    r.own = r.tree = r.run = true;
    r.state = LEASE_ACTIVE;
    r.since = -5;
    r.granted = INT64_MAX;
    r.waited_ms = 6;
    r.seq = 3;
    r.count = 1;
    r.asked = 2;
    r.digest = 0x8000000000000000u;
    r.supervisor.pid = 100;
    r.supervisor.start = 200;
    r.agent.pid = 101;
    r.agent.start = 201;
    strcpy (r.label, "auth");
    strcpy (r.cgroup, "a/b");
    r.cookie = 16;
    r.phase = 3;
    r.phases = 4;
    r.percent = NAN;
    strcpy (r.note, "n");
    return &r;
}

static struct waiter_record *a_waiter (uint64_t number)
{
    static struct waiter_record r;

    r.number = r.seq = number;
    r.session = 7;
    r.count = 5;
    r.min = 2;
    r.priority = 1000;
    strcpy (r.labels, "a,b");
    return &r;
}

static struct project_record *a_project (uint64_t number)
{
    static struct project_record r;

    r.number = number;
    strcpy (r.name, "consilio");
    r.paused = r.prioritised = true;
    strcpy (r.reason, "at \x1b night");
    r.priority = 1000;
    r.config_priority = 5;
    return &r;
}

struct seen {
    unsigned sessions, leases, waiters, projects, damaged;
    struct session_record session;
    struct lease_record lease;
    struct project_record project;
    uint64_t numbers[8];
    uint64_t damaged_token;
};

static void see_session (void *arg, const struct session_record *r)
{
    struct seen *seen = arg;

    seen->session = *r;
    seen->sessions++;
}

static void see_lease (void *arg, const struct lease_record *r)
{
    struct seen *seen = arg;

    seen->lease = *r;
    seen->leases++;
}

static void see_waiter (void *arg, const struct waiter_record *r)
{
    struct seen *seen = arg;

    seen->numbers[seen->waiters++ % 8] = r->number;
}

static void see_project (void *arg, const struct project_record *r)
{
    struct seen *seen = arg;

    seen->project = *r;
    seen->projects++;
}

static void see_damaged (void *arg, uint64_t token)
{
    ((struct seen *) arg)->damaged_token = token;
}

static struct store *opened (void)
{
    struct store *s = NULL;

    error[0] = 0;
    if (store_open (folder, false, &s, error, sizeof error) != STORE_OK)
        fail_msg ("%s", error);
    return s;
}

static struct seen loaded (struct store *s)
{
    static struct seen seen;
    struct store_reader reader = {see_session, see_lease,   see_waiter,
                                  see_project, see_damaged, &seen};

    memset (&seen, 0, sizeof seen);
    assert_int_equal (store_load (s, &reader, &seen.damaged), STORE_OK);
    return seen;
}

static void put (struct store *s, enum change_kind kind, uint64_t key,
                 const void *record)
{
    struct outbox *o = outbox_create ();

    outbox_change (o, kind, key, record);
    assert_int_equal (store_commit (s, o), STORE_OK);
    outbox_destroy (o);
}

static void put_lease (struct store *s, uint64_t token)
{
    put (s, CHANGE_LEASE, token, a_lease (token));
}

static void put_marks (struct store *s, uint64_t mark)
{
    struct meta_record meta = *store_meta (s);

    meta.token_mark = meta.number_mark = mark;
    meta.max_slots = 30;
    put (s, CHANGE_META, 0, &meta);
}

/* As if killed: what a child opened and committed, without closing. */
static void die_with_lease (uint64_t token)
{
    int status = -1;
    pid_t pid = fork ();

    if (pid == 0) {
        put_lease (opened (), token);
        _exit (0);
    }
    waitpid (pid, &status, 0);
    assert_int_equal (status, 0);
}

static void assert_refused (const char *because)
{
    struct store *s = NULL;

    error[0] = 0;
    assert_int_equal (store_open (folder, false, &s, error, sizeof error),
                      STORE_LOST);
    assert_null (s);
    assert_non_null (strstr (error, because));
    assert_non_null (strstr (error, "--accept-state-loss"));
}

static struct store *accepted (void)
{
    struct store *s = NULL;

    if (store_open (folder, true, &s, error, sizeof error) != STORE_OK)
        fail_msg ("%s", error);
    return s;
}

/* A folder with history: epoch 2, mark 1000, one lease. */
static void make_history (char *ret_broker)
{
    struct store *s;

    store_close (opened ());
    s = opened ();
    put_marks (s, 1000);
    put_lease (s, 17);
    strcpy (ret_broker, store_meta (s)->broker);
    store_close (s);
}

/* ---- tests ---- */

static void new_folder_begins_with_epoch_one_and_a_broker_id (void **state)
{
    struct store *s = opened ();

    (void) state;
    assert_int_equal (store_meta (s)->epoch, 1);
    assert_int_equal (strlen (store_meta (s)->broker), 32);
    assert_false (store_learning (s));
    assert_false (store_full (s));
    assert_int_equal (loaded (s).leases, 0);
    assert_int_equal (size_of ("ballast"), 1 << 20);
    assert_true (size_of ("INITIALISED") > 0);
    store_close (s);
}

static void epoch_rises_at_every_start_and_the_broker_id_stays (void **state)
{
    struct store *s = opened ();
    char broker[33];

    (void) state;
    strcpy (broker, store_meta (s)->broker);
    store_close (s);
    for (uint64_t epoch = 2; epoch < 5; epoch++) {
        s = opened ();
        assert_int_equal (store_meta (s)->epoch, epoch);
        assert_string_equal (store_meta (s)->broker, broker);
        store_close (s);
    }
}

static void records_come_back_as_they_were (void **state)
{
    struct store *s = opened ();
    struct seen seen;

    (void) state;
    put (s, CHANGE_SESSION, UINT64_MAX - 1, a_session (UINT64_MAX - 1));
    put (s, CHANGE_LEASE, 17, a_lease (17));
    put (s, CHANGE_WAITER, 9, a_waiter (9));
    put (s, CHANGE_WAITER, 8, a_waiter (8));
    put (s, CHANGE_PROJECT, 10, a_project (10));
    put (s, CHANGE_PROJECT, 11, a_project (11));
    put (s, CHANGE_PROJECT, 11, NULL);
    store_close (s);
    s = opened ();
    seen = loaded (s);
    assert_int_equal (seen.damaged, 0);
    assert_int_equal (seen.sessions, 1);
    assert_memory_equal (&seen.session, a_session (UINT64_MAX - 1),
                         sizeof seen.session);
    assert_int_equal (seen.leases, 1);
    assert_memory_equal (&seen.lease, a_lease (17), sizeof seen.lease);
    assert_int_equal (seen.waiters, 2);
    assert_int_equal (seen.numbers[0], 8); // in the order of arrival
    assert_int_equal (seen.numbers[1], 9);
    assert_int_equal (seen.projects, 1);
    assert_memory_equal (&seen.project, a_project (10), sizeof seen.project);
    store_close (s);
}

/* A field that is added to a record and forgotten in the table of columns
 * would be lost at every restart. Padding is never longer than 7 bytes. */
static void every_field_of_a_record_has_a_column (void **state)
{
    static const struct rows *const tables[] = {
        &rows_session, &rows_lease, &rows_waiter, &rows_meta, &rows_project};

    (void) state;
    for (size_t t = 0; t < 5; t++) {
        unsigned char covered[8192] = {0};
        size_t bare = 0;

        if (!tables[t]->keyless)
            memset (covered + tables[t]->key_offset, 1, sizeof (uint64_t));
        for (unsigned i = 0; i < tables[t]->count; i++)
            memset (covered + tables[t]->columns[i].offset, 1,
                    tables[t]->columns[i].size);
        for (size_t i = 0; i < tables[t]->size; i++) {
            bare = covered[i] ? 0 : bare + 1;
            if (bare > 7)
                fail_msg ("%s: nothing for byte %zu", tables[t]->name, i);
        }
    }
}

static void the_last_change_of_a_row_counts (void **state)
{
    struct lease_record lease = *a_lease (17);
    struct outbox *o = outbox_create ();
    struct store *s = opened ();

    (void) state;
    outbox_change (o, CHANGE_LEASE, 17, &lease);
    lease.state = LEASE_LIMBO;
    outbox_change (o, CHANGE_LEASE, 17, &lease);
    outbox_change (o, CHANGE_LEASE, 18, &lease);
    outbox_change (o, CHANGE_LEASE, 18, NULL);
    assert_int_equal (store_commit (s, o), STORE_OK);
    outbox_destroy (o);
    assert_int_equal (loaded (s).leases, 1);
    assert_int_equal (loaded (s).lease.state, LEASE_LIMBO);
    store_close (s);
}

static void what_was_committed_survives_the_death_of_the_broker (void **state)
{
    struct store *s;

    (void) state;
    die_with_lease (17);
    s = opened ();
    assert_int_equal (store_meta (s)->epoch, 2);
    assert_int_equal (loaded (s).leases, 1);
    store_close (s);
}

static void limits_and_marks_survive (void **state)
{
    char broker[33];
    struct store *s;

    (void) state;
    make_history (broker);
    s = opened ();
    assert_int_equal (store_meta (s)->token_mark, 1000);
    assert_int_equal (store_meta (s)->max_slots, 30);
    store_close (s);
}

static void missing_state_is_refused (void **state)
{
    char broker[33];

    (void) state;
    make_history (broker);
    assert_int_equal (unlink (in_folder ("state.db")), 0);
    assert_refused ("is missing");
    assert_refused ("is missing"); // being refused changes nothing
}

static void empty_state_is_refused_with_and_without_marker (void **state)
{
    char broker[33];

    (void) state;
    make_history (broker);
    assert_int_equal (truncate (in_folder ("state.db"), 0), 0);
    assert_refused ("is empty");
    assert_int_equal (unlink (in_folder ("INITIALISED")), 0);
    assert_refused ("is empty");
}

static void damaged_header_is_refused (void **state)
{
    char broker[33];
    int fd;

    (void) state;
    make_history (broker);
    fd = open (in_folder ("state.db"), O_WRONLY);
    assert_int_equal (pwrite (fd, "garbage", 7, 0), 7);
    close (fd);
    assert_refused ("is damaged");
}

static void damaged_page_is_refused (void **state)
{
    char broker[33], zeros[4096] = {0};
    int fd;

    (void) state;
    make_history (broker);
    fd = open (in_folder ("state.db"), O_WRONLY);
    assert_int_equal (pwrite (fd, zeros, sizeof zeros, 4096 * 2), 4096);
    close (fd);
    assert_refused ("is damaged");
}

static void cut_state_is_refused (void **state)
{
    char broker[33];

    (void) state;
    make_history (broker);
    assert_int_equal (truncate (in_folder ("state.db"), 4096), 0);
    assert_refused ("is damaged");
}

static void state_of_a_newer_version_is_refused (void **state)
{
    char broker[33];

    (void) state;
    make_history (broker);
    raw_sql ("PRAGMA user_version=5");
    assert_refused ("newer");
}

static void state_of_an_older_version_is_refused (void **state)
{
    char broker[33];

    (void) state;
    make_history (broker);
    raw_sql ("PRAGMA user_version=2");
    assert_refused ("older");
}

/* What version 3 had no place for is not there, the rest as it wrote it. */
static void make_version_3 (void)
{
    raw_sql ("DROP TABLE project;"
             "ALTER TABLE lease DROP COLUMN eta_low_ms;"
             "ALTER TABLE lease DROP COLUMN eta_high_ms;"
             "ALTER TABLE waiter DROP COLUMN parked;"
             "ALTER TABLE meta DROP COLUMN policy;"
             "ALTER TABLE meta DROP COLUMN config_policy;"
             "ALTER TABLE meta DROP COLUMN ttl_ms;"
             "ALTER TABLE session DROP COLUMN ttl_ms;"
             "PRAGMA user_version=3");
}

static void state_of_the_version_before_is_upgraded_where_it_is (void **state)
{
    struct lease_record lease = *a_lease (17);
    struct store *s;
    struct seen seen;
    char broker[33];

    (void) state;
    make_history (broker);
    s = opened ();
    put_lease (s, 18);
    put (s, CHANGE_WAITER, 9, a_waiter (9));
    store_close (s);
    make_version_3 ();
    raw_sql ("UPDATE lease SET label = 'autj' WHERE token = 18");
    s = opened ();
    assert_non_null (strstr (store_notice (s), "brought up to date"));
    assert_string_equal (store_meta (s)->broker, broker);
    assert_int_equal (store_meta (s)->epoch, 4);
    assert_int_equal (store_meta (s)->max_slots, 30);
    assert_int_equal (store_meta (s)->policy, 0);
    seen = loaded (s);
    assert_int_equal (seen.waiters, 1);
    assert_memory_equal (&seen.lease, a_lease (17), sizeof seen.lease);
    assert_int_equal (seen.damaged_token, 18); // and stays that
    lease.eta_low_ms = 5;
    put (s, CHANGE_LEASE, 17, &lease);
    put (s, CHANGE_PROJECT, 10, a_project (10));
    store_close (s);
    s = opened ();
    assert_string_equal (store_notice (s), "");
    seen = loaded (s);
    assert_int_equal (seen.lease.eta_low_ms, 5);
    assert_int_equal (seen.lease.eta_high_ms, 0);
    assert_int_equal (seen.projects, 1);
    assert_int_equal (seen.damaged, 1);
    store_close (s);
}

/* Refused as it is: whoever puts the rest back finds what he left. */
static void refused_state_of_the_version_before_stays_as_it_is (void **state)
{
    char broker[33];

    (void) state;
    make_history (broker);
    make_version_3 ();
    raw_sql ("ALTER TABLE lease DROP COLUMN note");
    assert_refused ("a table is missing");
    raw_sql ("ALTER TABLE lease ADD COLUMN note TEXT NOT NULL DEFAULT 'n'");
    store_close (opened ());
}

static void value_in_a_late_column_is_checked_like_any_other (void **state)
{
    struct lease_record lease = *a_lease (18);
    struct store *s = opened ();
    struct seen seen;

    (void) state;
    lease.eta_low_ms = lease.eta_high_ms = 7;
    put_lease (s, 17);
    put (s, CHANGE_LEASE, 18, &lease);
    put_lease (s, 19);
    store_close (s);
    raw_sql ("UPDATE lease SET eta_high_ms = 7 WHERE token = 17");
    raw_sql ("UPDATE lease SET eta_high_ms = 0 WHERE token = 18");
    s = opened ();
    seen = loaded (s);
    assert_int_equal (seen.leases, 1);
    assert_int_equal (seen.lease.token, 19);
    assert_int_equal (seen.damaged, 2);
    store_close (s);
}

static void another_programs_database_is_refused (void **state)
{
    char broker[33];

    (void) state;
    make_history (broker);
    raw_sql ("PRAGMA application_id=1");
    assert_refused ("no state of slotbus");
}

static void renamed_column_is_refused (void **state)
{
    char broker[33];

    (void) state;
    make_history (broker);
    raw_sql ("ALTER TABLE session RENAME COLUMN id TO ie");
    assert_refused ("a table is missing");
}

static void damaged_first_row_is_refused (void **state)
{
    char broker[33];

    (void) state;
    make_history (broker);
    raw_sql ("UPDATE meta SET token_mark = 1");
    assert_refused ("damaged (its first row)");
}

static void restored_backup_is_refused (void **state)
{
    char broker[33];

    (void) state;
    store_close (opened ());
    copy ("state.db", "backup");
    make_history (broker);
    assert_int_equal (rename (in_folder ("backup"), in_folder ("state.db")), 0);
    assert_refused ("older");
}

static void state_without_its_wal_is_refused (void **state)
{
    (void) state;
    die_with_lease (17);
    assert_true (size_of ("state.db-wal") > 0);
    assert_int_equal (unlink (in_folder ("state.db-wal")), 0);
    assert_refused ("-wal");
}

static void state_that_lacks_its_latest_changes_is_refused (void **state)
{
    (void) state;
    die_with_lease (17);
    assert_int_equal (
        truncate (in_folder ("state.db-wal"), size_of ("state.db-wal") - 1), 0);
    assert_refused ("lacks changes");
}

static void unflushed_changes_may_be_gone_after_another_boot (void **state)
{
    char text[512];
    ssize_t size;
    struct store *s;

    (void) state;
    die_with_lease (17);
    size = read_file (in_folder ("commits"), text, sizeof text);
    assert_true (size > 0);
    text[5] = text[5] == '0' ? '1' : '0'; // of the boot
    assert_int_equal (write_file_atomically (in_folder ("commits"), text,
                                             (size_t) size, 0600, 0),
                      0);
    assert_int_equal (
        truncate (in_folder ("state.db-wal"), size_of ("state.db-wal") - 1), 0);
    s = opened ();
    assert_int_equal (store_meta (s)->epoch, 2);
    assert_int_equal (loaded (s).leases, 0);
    store_close (s);
}

static void wal_of_another_life_is_not_folded_into_a_new_state (void **state)
{
    (void) state;
    die_with_lease (17);
    assert_int_equal (unlink (in_folder ("state.db")), 0);
    assert_int_equal (unlink (in_folder ("INITIALISED")), 0);
    assert_int_equal (unlink (in_folder ("commits")), 0);
    assert_refused ("is missing");
}

static void count_of_commits_alone_is_a_sign_of_a_state (void **state)
{
    char broker[33];

    (void) state;
    make_history (broker);
    assert_int_equal (unlink (in_folder ("state.db")), 0);
    assert_int_equal (unlink (in_folder ("INITIALISED")), 0);
    assert_refused ("is missing");
    store_close (accepted ());
    store_close (opened ()); // the count goes on after an accepted loss
}

static void locked_database_is_no_loss (void **state)
{
    struct store *s = NULL;
    char broker[33];
    sqlite3 *db;

    (void) state;
    make_history (broker);
    assert_int_equal (sqlite3_open (in_folder ("state.db"), &db), SQLITE_OK);
    assert_int_equal (sqlite3_exec (db,
                                    "PRAGMA locking_mode=EXCLUSIVE;"
                                    "BEGIN EXCLUSIVE",
                                    NULL, NULL, NULL),
                      SQLITE_OK);
    assert_int_equal (store_open (folder, true, &s, error, sizeof error),
                      STORE_IO);
    assert_non_null (strstr (error, "locked"));
    sqlite3_close (db);
    store_close (opened ());
}

static void damaged_marker_is_refused (void **state)
{
    char broker[33], text[512];
    ssize_t size;

    (void) state;
    make_history (broker);
    size = read_file (in_folder ("INITIALISED"), text, sizeof text);
    assert_true (size > 0);
    strstr (text, "epoch=")[6]++;
    assert_int_equal (write_file_atomically (in_folder ("INITIALISED"), text,
                                             (size_t) size, 0600, 0),
                      0);
    assert_refused ("INITIALISED");
}

static void missing_marker_is_written_again (void **state)
{
    char broker[33];
    struct store *s;

    (void) state;
    make_history (broker);
    assert_int_equal (unlink (in_folder ("INITIALISED")), 0);
    s = opened ();
    assert_string_equal (store_meta (s)->broker, broker);
    assert_int_equal (loaded (s).leases, 1);
    assert_true (store_notice (s)[0] != 0);
    assert_true (size_of ("INITIALISED") > 0);
    store_close (s);
}

static void accepted_loss_goes_on_with_id_epoch_and_marks (void **state)
{
    char broker[33];
    struct store *s;

    (void) state;
    make_history (broker);
    assert_int_equal (truncate (in_folder ("state.db"), 100), 0);
    s = accepted ();
    assert_string_equal (store_meta (s)->broker, broker);
    assert_int_equal (store_meta (s)->epoch, 3);
    assert_int_equal (store_meta (s)->token_mark, 1000);
    assert_true (store_learning (s));
    assert_int_equal (loaded (s).leases, 0);
    assert_int_equal (size_of ("state.db.lost-1"), 100);
    store_close (s);
}

static void learning_lasts_across_restarts_until_learned (void **state)
{
    char broker[33];
    struct store *s;

    (void) state;
    make_history (broker);
    assert_int_equal (unlink (in_folder ("state.db")), 0);
    store_close (accepted ());
    s = opened ();
    assert_true (store_learning (s));
    put_marks (s, 2000);
    assert_true (store_learning (s));
    assert_int_equal (store_learned (s), STORE_OK);
    store_close (s);
    s = opened ();
    assert_false (store_learning (s));
    assert_int_equal (store_meta (s)->token_mark, 2000);
    store_close (s);
}

static void second_loss_does_not_overwrite_the_first (void **state)
{
    char broker[33];

    (void) state;
    make_history (broker);
    assert_int_equal (truncate (in_folder ("state.db"), 100), 0);
    store_close (accepted ());
    assert_int_equal (truncate (in_folder ("state.db"), 200), 0);
    store_close (accepted ());
    assert_int_equal (size_of ("state.db.lost-1"), 100);
    assert_int_equal (size_of ("state.db.lost-2"), 200);
}

static void loss_without_a_marker_begins_a_new_broker (void **state)
{
    char broker[33];
    struct store *s;

    (void) state;
    make_history (broker);
    assert_int_equal (truncate (in_folder ("state.db"), 0), 0);
    assert_int_equal (unlink (in_folder ("INITIALISED")), 0);
    s = accepted ();
    assert_string_not_equal (store_meta (s)->broker, broker);
    assert_int_equal (store_meta (s)->epoch, 1);
    assert_true (store_learning (s));
    store_close (s);
}

static void whole_state_is_kept_though_its_loss_would_be_accepted (void **state)
{
    char broker[33];
    struct store *s;

    (void) state;
    make_history (broker);
    s = accepted ();
    assert_false (store_learning (s));
    assert_int_equal (loaded (s).leases, 1);
    assert_non_null (strstr (store_notice (s), "not needed"));
    store_close (s);
}

static void damaged_lease_is_reported_by_its_token_and_others_load (void **st)
{
    struct store *s = opened ();
    struct seen seen;

    (void) st;
    put_lease (s, 17);
    put_lease (s, 18);
    store_close (s);
    raw_sql ("UPDATE lease SET label = 'autj' WHERE token = 17");
    s = opened ();
    seen = loaded (s);
    assert_int_equal (seen.leases, 1);
    assert_int_equal (seen.lease.token, 18);
    assert_int_equal (seen.damaged, 1);
    assert_int_equal (seen.damaged_token, 17);
    store_close (s);
}

/* All tokens to come would be above it, and no message carries those. */
static void row_of_an_impossible_token_is_a_loss (void **state)
{
    struct store_reader reader = {see_session, see_lease,   see_waiter,
                                  see_project, see_damaged, &(struct seen){0}};
    unsigned damaged = 0;
    struct store *s = opened ();

    (void) state;
    put_lease (s, 17);
    store_close (s);
    raw_sql ("UPDATE lease SET token = -5");
    s = opened ();
    assert_int_equal (store_load (s, &reader, &damaged), STORE_LOST);
    assert_non_null (strstr (store_failure (s), "impossible token"));
    store_close (s);
}

static void damaged_waiter_costs_waiting_only (void **state)
{
    struct store *s = opened ();
    struct seen seen;

    (void) state;
    put (s, CHANGE_WAITER, 9, a_waiter (9));
    store_close (s);
    raw_sql ("UPDATE waiter SET count = 99999999999");
    s = opened ();
    seen = loaded (s);
    assert_int_equal (seen.waiters, 0);
    assert_int_equal (seen.damaged, 1);
    assert_int_equal (seen.damaged_token, 0);
    store_close (s);
}

static void death_in_the_first_start_leaves_a_new_folder (void **state)
{
    int fd = open (in_folder ("state.db.new"), O_CREAT | O_WRONLY, 0600);

    (void) state;
    assert_int_equal (write (fd, "half", 4), 4);
    close (fd);
    store_close (opened ());
    assert_int_equal (size_of ("state.db.new"), -1);
}

static void many_commits_do_not_let_the_wal_grow_for_ever (void **state)
{
    struct store *s = opened ();

    (void) state;
    for (uint64_t i = 0; i < 3000; i++)
        put_lease (s, i % 50 + 1);
    assert_true (size_of ("state.db-wal") < 8 << 20);
    assert_int_equal (loaded (s).leases, 50);
    store_close (s);
}

static void folder_that_may_not_be_written_is_no_loss (void **state)
{
    struct store *s = NULL;

    (void) state;
    assert_int_equal (mkdir (in_folder ("INITIALISED"), 0700), 0);
    assert_int_equal (store_open (folder, true, &s, error, sizeof error),
                      STORE_CONFIG);
    assert_null (s);
    assert_non_null (strstr (error, "INITIALISED"));
}

#define T(name)                                                                \
    cmocka_unit_test_setup_teardown (name, make_folder, remove_folder)

int main (void)
{
    const struct CMUnitTest tests[] = {
        T (new_folder_begins_with_epoch_one_and_a_broker_id),
        T (epoch_rises_at_every_start_and_the_broker_id_stays),
        T (records_come_back_as_they_were),
        T (every_field_of_a_record_has_a_column),
        T (the_last_change_of_a_row_counts),
        T (what_was_committed_survives_the_death_of_the_broker),
        T (limits_and_marks_survive),
        T (missing_state_is_refused),
        T (empty_state_is_refused_with_and_without_marker),
        T (damaged_header_is_refused),
        T (damaged_page_is_refused),
        T (cut_state_is_refused),
        T (state_of_a_newer_version_is_refused),
        T (state_of_an_older_version_is_refused),
        T (state_of_the_version_before_is_upgraded_where_it_is),
        T (refused_state_of_the_version_before_stays_as_it_is),
        T (value_in_a_late_column_is_checked_like_any_other),
        T (another_programs_database_is_refused),
        T (renamed_column_is_refused),
        T (damaged_first_row_is_refused),
        T (restored_backup_is_refused),
        T (state_without_its_wal_is_refused),
        T (state_that_lacks_its_latest_changes_is_refused),
        T (unflushed_changes_may_be_gone_after_another_boot),
        T (wal_of_another_life_is_not_folded_into_a_new_state),
        T (count_of_commits_alone_is_a_sign_of_a_state),
        T (locked_database_is_no_loss),
        T (damaged_marker_is_refused),
        T (missing_marker_is_written_again),
        T (accepted_loss_goes_on_with_id_epoch_and_marks),
        T (learning_lasts_across_restarts_until_learned),
        T (second_loss_does_not_overwrite_the_first),
        T (loss_without_a_marker_begins_a_new_broker),
        T (whole_state_is_kept_though_its_loss_would_be_accepted),
        T (damaged_lease_is_reported_by_its_token_and_others_load),
        T (row_of_an_impossible_token_is_a_loss),
        T (damaged_waiter_costs_waiting_only),
        T (death_in_the_first_start_leaves_a_new_folder),
        T (many_commits_do_not_let_the_wal_grow_for_ever),
        T (folder_that_may_not_be_written_is_no_loss),
    };

    return cmocka_run_group_tests (tests, NULL, NULL);
}
