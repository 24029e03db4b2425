/* SPDX-License-Identifier: MPL-2.0 */
/* history.db: what is kept, what is told of it, and what becomes of a broker
 * whose history is damaged (nothing). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bus/base.h"
#include "history.h"

#define DAY INT64_C (86400000)

static const int64_t NOON = 20000 * DAY + DAY / 2;

static char folder[64];
static struct msg_history_ok page;

static int make_folder (void **s)
{
    (void) s;
    strcpy (folder, "/tmp/slotbus-history-XXXXXX");
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
    static char path[128];

    snprintf (path, sizeof path, "%s/%s", folder, name);
    return path;
}

static bool is_there (const char *name)
{
    return access (in_folder (name), F_OK) == 0;
}

static void raw_sql (const char *sql)
{
    sqlite3 *db;

    assert_int_equal (sqlite3_open (in_folder ("history.db"), &db), SQLITE_OK);
    assert_int_equal (sqlite3_exec (db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close (db);
}

static int64_t raw_number (const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *statement;
    int64_t number;

    assert_int_equal (sqlite3_open (in_folder ("history.db"), &db), SQLITE_OK);
    assert_int_equal (sqlite3_prepare_v2 (db, sql, -1, &statement, NULL),
                      SQLITE_OK);
    assert_int_equal (sqlite3_step (statement), SQLITE_ROW);
    number = sqlite3_column_int64 (statement, 0);
    sqlite3_finalize (statement);
    sqlite3_close (db);
    return number;
}

/* ---- what ends ---- */

static struct run_record a_run (uint64_t token, const char *project)
{
    struct run_record r = {.token = token,
                           .wait_ms = 1000,
                           .run_ms = 60000,
                           .memory_bytes = 1 << 20,
                           .cpu_ms = 5000,
                           .eta_low_ms = 50000,
                           .eta_high_ms = 70000};

    strcpy (r.project, project);
    strcpy (r.label, "au\x01th 'x'");
    strcpy (r.host, "vm1");
    strcpy (r.outcome, "done");
    return r;
}

static void note (struct history *h, const struct run_record *r, int64_t wall)
{
    struct outbox *out = outbox_create ();

    outbox_run (out, r);
    history_note (h, out, wall);
    outbox_destroy (out);
}

static void note_some (struct history *h, const char *project, unsigned count,
                       int64_t wall)
{
    struct outbox *out = outbox_create ();

    for (unsigned i = 0; i < count; i++) {
        struct run_record r = a_run (i + 1, project);

        outbox_run (out, &r);
    }
    history_note (h, out, wall);
    history_tend (h, wall);
    outbox_destroy (out);
}

static void ask (struct history *h, const char *project, int64_t since,
                 bool days, uint64_t cursor)
{
    struct msg_history in;

    message_init_fields (&in, VERB_HISTORY);
    copy_text (in.project, sizeof in.project, project);
    in.since_ms = (uint64_t) since;
    in.days = days;
    in.cursor = cursor;
    assert_int_equal (history_answer (h, &in, &page), ERR_NONE);
}

static void run_is_told_as_it_was_noted_across_a_restart (void **state)
{
    struct history *h = history_open (folder, NOON);
    struct run_record r = a_run (17, "consilio");
    (void) state;

    r.status = 3;
    strcpy (r.outcome, "failed");
    note (h, &r, NOON);
    for (int restarts = 0; restarts < 2; restarts++) {
        const struct row_lease_run *row = &page.runs[0];

        ask (h, "", 0, false, 0);
        assert_int_equal (page.runs_count, 1);
        assert_int_equal (page.total, 1);
        assert_int_equal (page.next, 0);
        assert_string_equal (row->project, "consilio");
        assert_string_equal (row->label, "au\x01th 'x'");
        assert_string_equal (row->host, "vm1");
        assert_string_equal (row->outcome, "failed");
        assert_int_equal (row->token, 17);
        assert_int_equal (row->status, 3);
        assert_int_equal (row->ended_ms, NOON);
        assert_int_equal (row->wait_ms, 1000);
        assert_int_equal (row->run_ms, 60000);
        assert_int_equal (row->memory_bytes, 1 << 20);
        assert_int_equal (row->cpu_ms, 5000);
        assert_int_equal (row->eta_low_ms, 50000);
        assert_int_equal (row->eta_high_ms, 70000);
        history_close (h);
        h = history_open (folder, NOON);
    }
    history_close (h);
}

static int64_t bytes_of (const char *name)
{
    struct stat st;

    return stat (in_folder (name), &st) ? 0 : (int64_t) st.st_size;
}

static void what_ends_is_written_in_one_go (void **state)
{
    struct history *h = history_open (folder, NOON);
    int64_t before = bytes_of ("history.db-wal"), after;
    (void) state;

    for (unsigned i = 0; i < 100; i++) {
        struct run_record r = a_run (i + 1, "p");

        note (h, &r, NOON);
    }
    assert_int_equal (bytes_of ("history.db-wal"), before);
    history_tend (h, NOON);
    after = bytes_of ("history.db-wal");
    assert_in_range (after - before, 4096, 40 * 4096);
    history_tend (h, NOON + 1000); // nothing new
    assert_int_equal (bytes_of ("history.db-wal"), after);
    history_close (h);
}

static void pages_go_from_the_newest_to_the_oldest_whatever_comes (void **s)
{
    struct history *h = history_open (folder, NOON);
    uint64_t cursor = 0, seen = 0, before = UINT64_MAX;
    (void) s;

    for (unsigned i = 0; i < 200; i++) {
        struct run_record r = a_run (i + 1, i % 2 ? "odd" : "even");

        note (h, &r, NOON + i);
    }
    do {
        ask (h, "odd", 0, false, cursor);
        for (unsigned i = 0; i < page.runs_count; i++) {
            assert_string_equal (page.runs[i].project, "odd");
            assert_true (page.runs[i].token < before);
            before = page.runs[i].token;
            seen++;
        }
        note_some (h, "odd", 10, NOON + 500); // moves nothing
        cursor = page.next;
    } while (cursor);
    assert_int_equal (seen, 100);
    ask (h, "", NOON + 100, false, 0);
    assert_int_equal (page.total, 100 + 20);
    assert_int_equal (page.scored, 120);
    ask (h, "none", 0, false, 0);
    assert_int_equal (page.runs_count + page.total, 0);
    history_close (h);
}

static void page_that_is_just_full_is_the_last (void **state)
{
    struct history *h = history_open (folder, NOON);
    (void) state;

    note_some (h, "p", 64, NOON);
    ask (h, "", 0, false, 0);
    assert_int_equal (page.runs_count, 64);
    assert_int_equal (page.next, 0);
    note_some (h, "p", 1, NOON);
    ask (h, "", 0, false, 0);
    assert_true (page.next > 0);
    ask (h, "", 0, false, page.next);
    assert_int_equal (page.runs_count, 1);
    assert_int_equal (page.next, 0);
    history_close (h);
}

static void day_sums_up_what_ended_on_it (void **state)
{
    struct history *h = history_open (folder, NOON);
    (void) state;

    for (unsigned i = 1; i <= 10; i++) {
        struct run_record r = a_run (i, "p");

        r.wait_ms = 1000 * i;
        r.run_ms = 10000 * i;
        if (i > 8)
            strcpy (r.outcome, "killed");
        note (h, &r, NOON);
    }
    history_close (h); // a restart in the midst of a day
    h = history_open (folder, NOON);
    note_some (h, "q", 1, NOON);
    note_some (h, "p", 1, NOON + DAY);
    ask (h, "", 0, true, 0);
    assert_int_equal (page.days_count, 3);
    assert_int_equal (page.days[0].day_ms, 20001 * DAY);
    assert_string_equal (page.days[1].project, "q");
    assert_int_equal (page.days[2].day_ms, 20000 * DAY);
    assert_int_equal (page.days[2].grants, 10);
    assert_int_equal (page.days[2].kills, 2);
    assert_int_equal (page.days[2].slot_ms, 550000);
    assert_int_equal (page.days[2].wait_p50_ms, 5000);
    assert_int_equal (page.days[2].wait_p90_ms, 9000);
    assert_int_equal (page.days[2].run_p50_ms, 50000);
    assert_int_equal (page.days[2].run_p90_ms, 90000);
    assert_int_equal (page.total, 12);
    ask (h, "p", NOON + DAY, true, 0);
    assert_int_equal (page.days_count, 1);
    note_some (h, "p", 10, NOON + 1); // ten more of 1 s and 60 s
    ask (h, "p", 0, true, 0);
    assert_int_equal (page.days[1].grants, 20);
    assert_int_equal (page.days[1].wait_p50_ms, 1000);
    assert_int_equal (page.days[1].wait_p90_ms, 8000);
    assert_int_equal (page.days[1].run_p50_ms, 60000);
    history_close (h);
}

static void days_of_many_projects_come_in_pages (void **state)
{
    struct history *h = history_open (folder, NOON);
    uint64_t cursor = 0;
    unsigned seen = 0;
    char name[32];
    (void) state;

    for (int day = 0; day < 10; day++) {
        for (int p = 0; p < 20; p++) {
            snprintf (name, sizeof name, "project-%d", p);
            note_some (h, name, 1, NOON + day * DAY);
        }
    }
    do {
        ask (h, "", 0, true, cursor);
        seen += page.days_count;
        cursor = page.next;
    } while (cursor);
    assert_int_equal (seen, 200);
    history_close (h);
}

static void forecasts_are_scored_where_the_end_was_their_own (void **state)
{
    static const struct {
        const char *outcome;
        unsigned status, scored, inside;
        int64_t run_ms, high;
    } cases[] = {
        {"done", 0, 1, 1, 60000, 70000},   {"done", 0, 1, 0, 70001, 70000},
        {"failed", 1, 1, 1, 50000, 70000}, {"failed", 137, 0, 0, 60000, 70000},
        {"killed", 0, 0, 0, 60000, 70000}, {"done", 0, 0, 0, 60000, 0}};
    struct history *h = history_open (folder, NOON);
    unsigned scored = 0, inside = 0;
    (void) state;

    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct run_record r = a_run (i + 1, "p");

        strcpy (r.outcome, cases[i].outcome);
        r.status = cases[i].status;
        r.run_ms = cases[i].run_ms;
        r.eta_high_ms = cases[i].high;
        note (h, &r, NOON);
        scored += cases[i].scored;
        inside += cases[i].inside;
        ask (h, "p", 0, true, 0);
        assert_int_equal (page.scored, scored);
        assert_int_equal (page.inside, inside);
    }
    ask (h, "p", NOON - 1, false, 0); // from the middle of a day: by its runs
    assert_int_equal (page.scored, scored);
    assert_int_equal (page.inside, inside);
    ask (h, "p", NOON + 1, false, 0);
    assert_int_equal (page.total + page.scored + page.inside, 0);
    history_close (h);
}

/* ---- what is recalled ---- */

static unsigned recalled;
static int64_t newest;

static void learn (void *arg, const struct run_record *run)
{
    assert_ptr_equal (arg, &recalled);
    assert_string_equal (run->project, "p");
    assert_string_equal (run->label, "au\x01th 'x'");
    assert_int_equal (run->memory_bytes, a_run (1, "p").memory_bytes);
    recalled++;
    newest = run->run_ms;
}

static void newest_durations_are_recalled_the_oldest_first (void **state)
{
    struct history *h = history_open (folder, NOON);
    struct run_record r = a_run (1, "p");
    (void) state;

    recalled = 0;
    for (unsigned i = 0; i < 3000; i++) {
        r.run_ms = i;
        note (h, &r, NOON + i);
    }
    r.run_ms = 7000; // four slots of one tree
    for (unsigned i = 0; i < 4; i++)
        note (h, &r, NOON + 5000);
    strcpy (r.outcome, "killed");
    note (h, &r, NOON + 6000);
    history_close (h);
    h = history_open (folder, NOON);
    history_recall (h, learn, &recalled);
    assert_int_equal (recalled, 1996);
    assert_int_equal (newest, 7000);
    history_close (h);
}

static void tree_that_was_parked_is_recalled_from_its_start (void **state)
{
    struct history *h = history_open (folder, NOON);
    struct run_record r = a_run (1, "p");
    (void) state;

    recalled = 0;
    r.run_ms = 5;
    r.whole_ms = 60000;
    note (h, &r, NOON);
    history_close (h);
    h = history_open (folder, NOON);
    history_recall (h, learn, &recalled);
    assert_int_equal (recalled, 1);
    assert_int_equal (newest, 60000);
    history_close (h);
}

/* Ten trees one after the other, each in two slots that were held before and
 * after. */
static void trees_in_a_reservation_are_recalled_and_hold_no_slots (void **state)
{
    struct history *h = history_open (folder, NOON);
    struct run_record r = a_run (1, "p");
    (void) state;

    recalled = 0;
    r.run_ms = r.wait_ms = r.eta_low_ms = r.eta_high_ms = 0;
    r.whole_ms = 30000;
    for (unsigned i = 0; i < 20; i++)
        note (h, &r, NOON + i / 2);
    history_close (h); // a restart in the midst of a day
    h = history_open (folder, NOON);
    history_recall (h, learn, &recalled);
    assert_int_equal (recalled, 10);
    assert_int_equal (newest, 30000);
    note (h, &r, NOON + 100);
    r.wait_ms = 7000;
    r.run_ms = 600000;
    r.whole_ms = 0;
    strcpy (r.outcome, "released");
    for (unsigned i = 0; i < 2; i++)
        note (h, &r, NOON + 200);
    ask (h, "p", 0, true, 0);
    assert_int_equal (page.days_count, 1);
    assert_int_equal (page.days[0].slot_ms, 1200000);
    assert_int_equal (page.days[0].grants, 2);
    assert_int_equal (page.days[0].wait_p50_ms, 7000);
    assert_int_equal (page.days[0].run_p50_ms, 600000);
    assert_int_equal (page.total, 2);
    ask (h, "p", NOON + 50, false, 0);
    assert_int_equal (page.total, 2);
    assert_int_equal (page.runs_count, 3);
    assert_int_equal (page.runs[2].run_ms, 30000);
    history_close (h);
}

static void file_of_the_version_before_is_taken_over (void **state)
{
    struct history *h = history_open (folder, NOON);
    struct run_record r = a_run (1, "p");
    (void) state;

    note (h, &r, NOON);
    history_close (h);
    raw_sql ("ALTER TABLE run DROP COLUMN whole_ms; PRAGMA user_version=1");
    h = history_open (folder, NOON);
    recalled = 0;
    history_recall (h, learn, &recalled);
    assert_int_equal (recalled, 1);
    assert_int_equal (newest, r.run_ms);
    r.whole_ms = 90000;
    note (h, &r, NOON + 1);
    history_tend (h, NOON + 1);
    recalled = 0;
    history_recall (h, learn, &recalled);
    assert_int_equal (recalled, 2);
    assert_int_equal (newest, 90000);
    history_close (h);
    assert_int_equal (raw_number ("PRAGMA user_version"), 2);
}

/* ---- bounds ---- */

static void what_is_older_than_90_days_goes_in_small_steps (void **state)
{
    struct history *h = history_open (folder, NOON);
    unsigned left = 0, steps = 0;
    (void) state;

    note_some (h, "p", 500, NOON);
    note_some (h, "p", 1, NOON + 91 * DAY);
    do {
        unsigned before = left;

        ask (h, "", 0, false, 0);
        left = page.runs_count + (page.next ? 1 : 0);
        note_some (h, "p", 1, NOON + 91 * DAY);
        steps++;
        (void) before;
    } while (page.next && steps < 100);
    assert_in_range (steps, 4, 20);
    ask (h, "", 0, true, 0);
    assert_int_equal (page.days_count, 1);
    history_close (h);
}

static void what_is_too_old_goes_where_nothing_ends (void **state)
{
    struct history *h = history_open (folder, NOON);
    (void) state;

    note_some (h, "p", 10, NOON);
    history_tend (h, NOON + 89 * DAY);
    ask (h, "", 0, false, 0);
    assert_int_equal (page.runs_count, 10);
    history_tend (h, NOON + 91 * DAY);
    ask (h, "", 0, false, 0);
    assert_int_equal (page.runs_count, 0);
    history_close (h);
}

static void file_does_not_grow_without_end (void **state)
{
    struct history *h = history_open (folder, NOON);
    (void) state;

    for (unsigned i = 0; i < 120; i++)
        note_some (h, "p", 1000, NOON + i);
    history_close (h);
    assert_in_range (raw_number ("SELECT COUNT(*) FROM run"), 90000, 105000);
}

static void more_than_can_be_kept_in_a_second_is_dropped (void **state)
{
    struct history *h = history_open (folder, NOON);
    struct run_record r = a_run (1, "p");
    (void) state;

    for (unsigned i = 0; i < 5000; i++)
        note (h, &r, NOON);
    for (unsigned i = 0; i < 10; i++)
        history_tend (h, NOON + i * 1000);
    ask (h, "", 0, true, 0);
    assert_in_range (page.total, 4000, 4999);
    history_close (h);
}

/* ---- damage ---- */

static void works_anew (struct history *h)
{
    note_some (h, "p", 1, NOON);
    ask (h, "", 0, false, 0);
    assert_int_equal (page.runs_count, 1);
    history_close (h);
}

static void overwrite (const char *name, off_t at, size_t size)
{
    int fd = open (in_folder (name), O_WRONLY | O_CREAT, 0600);

    assert_true (fd >= 0);
    for (size_t i = 0; i < size; i++)
        assert_int_equal (pwrite (fd, "\xa5", 1, at + (off_t) i), 1);
    close (fd);
}

static void leave_some (void)
{
    struct history *h = history_open (folder, NOON);

    note_some (h, "p", 300, NOON);
    history_close (h);
}

static void file_of_garbage_is_moved_aside (void **state)
{
    (void) state;
    leave_some ();
    overwrite ("history.db", 0, 8192);
    works_anew (history_open (folder, NOON));
    assert_true (is_there ("history.db.damaged"));
}

static void file_of_another_program_is_moved_aside (void **state)
{
    (void) state;
    raw_sql ("CREATE TABLE run (x); PRAGMA user_version=77");
    works_anew (history_open (folder, NOON));
    assert_true (is_there ("history.db.damaged"));
}

static void file_without_its_tables_is_moved_aside (void **state)
{
    (void) state;
    leave_some ();
    raw_sql ("DROP TABLE day");
    works_anew (history_open (folder, NOON));
}

static void folder_in_its_place_is_moved_aside (void **state)
{
    (void) state;
    assert_int_equal (mkdir (in_folder ("history.db"), 0700), 0);
    works_anew (history_open (folder, NOON));
}

static void use_all_of_it (struct history *h, int64_t wall)
{
    struct msg_history in;

    history_recall (h, learn, &recalled);
    message_init_fields (&in, VERB_HISTORY);
    history_answer (h, &in, &page); // whatever it says
    in.days = true;
    history_answer (h, &in, &page);
    note_some (h, "p", 10, wall);
    history_answer (h, &in, &page);
}

/* Each page by itself: some are met when it is opened, some when it is read,
 * some when it is written. */
static void damage_of_any_page_costs_history_only (void **state)
{
    int64_t pages;
    (void) state;

    leave_some ();
    pages = bytes_of ("history.db") / 4096;
    assert_true (pages > 10);
    for (int64_t i = 0; i < pages; i++) {
        struct history *h;

        remove (in_folder ("history.db"));
        leave_some ();
        overwrite ("history.db", (off_t) i * 4096, 4096);
        h = history_open (folder, NOON);
        use_all_of_it (h, NOON);
        use_all_of_it (h, NOON + 61000);
        ask (h, "", 0, false, 0);
        assert_true (page.runs_count > 0);
        assert_int_equal (page.runs[0].ended_ms, NOON + 61000);
        history_close (h);
    }
}

static void row_that_is_damaged_is_left_out (void **state)
{
    struct history *h;
    (void) state;

    leave_some ();
    raw_sql ("UPDATE run SET run_ms = 1 WHERE id = 300; "
             "UPDATE run SET project = '../x' WHERE id = 299; "
             "UPDATE day SET grants = 7777");
    h = history_open (folder, NOON);
    ask (h, "", 0, false, 0);
    assert_int_equal (page.runs_count, 62);
    ask (h, "", 0, true, 0);
    assert_int_equal (page.days_count, 0);
    note_some (h, "p", 1, NOON);
    ask (h, "", 0, true, 0);
    assert_int_equal (page.days_count, 1);
    history_close (h);
}

static void file_that_another_holds_is_ignored_until_it_lets_go (void **state)
{
    struct msg_history in;
    struct history *h;
    sqlite3 *other;
    (void) state;

    leave_some ();
    assert_int_equal (sqlite3_open (in_folder ("history.db"), &other), 0);
    assert_int_equal (sqlite3_exec (other,
                                    "PRAGMA locking_mode=EXCLUSIVE; "
                                    "BEGIN EXCLUSIVE",
                                    NULL, NULL, NULL),
                      SQLITE_OK);
    h = history_open (folder, NOON);
    message_init_fields (&in, VERB_HISTORY);
    assert_int_equal (history_answer (h, &in, &page), ERR_NOT_FOUND);
    note_some (h, "p", 1, NOON); // is lost
    assert_false (is_there ("history.db.damaged"));
    sqlite3_close (other);
    history_tend (h, NOON + 1000); // too early to try again
    assert_int_equal (history_answer (h, &in, &page), ERR_NOT_FOUND);
    history_tend (h, NOON + 61000);
    ask (h, "", 0, false, 0);
    assert_int_equal (page.total, 300);
    history_close (h);
}

static void file_that_is_taken_away_is_made_anew (void **state)
{
    struct history *h = history_open (folder, NOON);
    (void) state;

    note_some (h, "p", 3, NOON);
    assert_int_equal (remove (in_folder ("history.db")), 0);
    note_some (h, "p", 2, NOON);
    history_close (h);
    assert_int_equal (raw_number ("SELECT COUNT(*) FROM run"), 2);
    assert_false (is_there ("history.db.damaged"));
}

static void folder_that_is_not_there_costs_history_only (void **state)
{
    struct history *h = history_open ("/nonexistent/slotbus", NOON);
    struct msg_history in;
    (void) state;

    message_init_fields (&in, VERB_HISTORY);
    for (int i = 0; i < 3; i++) {
        note_some (h, "p", 10, NOON + i * 100000);
        assert_int_equal (history_answer (h, &in, &page), ERR_NOT_FOUND);
        history_recall (h, learn, &recalled);
    }
    history_close (h);
}

#define CASE(name)                                                             \
    cmocka_unit_test_setup_teardown (name, make_folder, remove_folder)

int main (void)
{
    const struct CMUnitTest tests[] = {
        CASE (run_is_told_as_it_was_noted_across_a_restart),
        CASE (what_ends_is_written_in_one_go),
        CASE (pages_go_from_the_newest_to_the_oldest_whatever_comes),
        CASE (page_that_is_just_full_is_the_last),
        CASE (day_sums_up_what_ended_on_it),
        CASE (days_of_many_projects_come_in_pages),
        CASE (forecasts_are_scored_where_the_end_was_their_own),
        CASE (newest_durations_are_recalled_the_oldest_first),
        CASE (tree_that_was_parked_is_recalled_from_its_start),
        CASE (trees_in_a_reservation_are_recalled_and_hold_no_slots),
        CASE (file_of_the_version_before_is_taken_over),
        CASE (what_is_older_than_90_days_goes_in_small_steps),
        CASE (what_is_too_old_goes_where_nothing_ends),
        CASE (file_does_not_grow_without_end),
        CASE (more_than_can_be_kept_in_a_second_is_dropped),
        CASE (file_of_garbage_is_moved_aside),
        CASE (file_of_another_program_is_moved_aside),
        CASE (file_without_its_tables_is_moved_aside),
        CASE (folder_in_its_place_is_moved_aside),
        CASE (damage_of_any_page_costs_history_only),
        CASE (row_that_is_damaged_is_left_out),
        CASE (file_that_another_holds_is_ignored_until_it_lets_go),
        CASE (file_that_is_taken_away_is_made_anew),
        CASE (folder_that_is_not_there_costs_history_only),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
