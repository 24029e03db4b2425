/* SPDX-License-Identifier: MPL-2.0 */
/* Every step of a store's life fails once, in every way. SEEDS=N: at most so
 * many steps of each way, spread over the life; 0: all. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sqlite3.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faulty_disk.h"
#include "life.h"
#include "unit/bus/scratch.h"

static const char *const NAMES[DISK_FAULTS] = {
    [FAULT_NO_SPACE] = "no space",  [FAULT_IO] = "EIO",
    [FAULT_FLUSH] = "failed flush", [FAULT_SHORT] = "short write",
    [FAULT_TORN] = "torn write",    [FAULT_READ_ONLY] = "read-only",
    [FAULT_DEATH] = "death",
};

/* What whoever reads of the end is told of its cause, one of these. */
static const char *const CAUSES[DISK_FAULTS][3] = {
    [FAULT_NO_SPACE] = {"No space left", "disk is full"},
    [FAULT_IO] = {"Input/output", "disk I/O error", "state.db is damaged"},
    [FAULT_FLUSH] = {"Input/output", "disk I/O error"},
    [FAULT_SHORT] = {"No space left", "disk is full"},
    [FAULT_READ_ONLY] = {"Read-only", "disk I/O error", "readonly database"},
};

struct trial {
    struct ledger ledger;
    bool struck;
};

static struct trial *trial; // shared with the child
static unsigned trials;

/* The life in a child: it may die of it. Returns its exit status. */
static int suffer (const char *folder, enum disk_fault fault, unsigned nth)
{
    int status = -1;
    pid_t pid = fork ();

    if (pid == 0) {
        disk_watch (folder);
        disk_fail (fault, nth);
        life_live (folder, &trial->ledger, NULL);
        trial->struck = disk_struck ();
        _exit (0);
    }
    waitpid (pid, &status, 0);
    return WIFEXITED (status) ? WEXITSTATUS (status) : -1;
}

static void complain (enum disk_fault fault, unsigned nth, const char *wrong,
                      const char *sentence)
{
    const struct ledger *l = &trial->ledger;

    fail_msg ("%s at step %u: %s (%s); the life had tried %u, done %u, epoch "
              "%u, ended %d (%s)",
              NAMES[fault], nth, wrong, sentence, l->tried, l->done,
              (unsigned) l->epoch, (int) l->end, l->sentence);
}

static bool tells_cause (enum disk_fault fault, const char *sentence)
{
    for (unsigned i = 0; i < 3; i++)
        if (CAUSES[fault][i] && strstr (sentence, CAUSES[fault][i]))
            return true;
    return false;
}

/* A page that cannot be read is a page that is lost: no other step that fails
 * may be taken for a loss. */
static const char *wrong_end (enum disk_fault fault, int status)
{
    const struct ledger *l = &trial->ledger;

    if (status == DISK_DEATH)
        return fault == FAULT_TORN || fault == FAULT_DEATH ? NULL : "it died";
    if (status != 0)
        return "it crashed";
    if (l->end == STORE_LOST &&
        (fault != FAULT_IO || !strstr (l->sentence, "state.db is damaged")))
        return "a fault of the disk was taken for damage";
    if (l->end != STORE_OK && !tells_cause (fault, l->sentence))
        return "it did not say why it ended";
    if (trial->struck && fault == FAULT_FLUSH && !l->struck_closing &&
        l->end != STORE_IO)
        return "a failed flush was passed over";
    if (trial->struck && fault == FAULT_NO_SPACE && l->tried > l->done)
        return "it ended although there was a ballast";
    return NULL;
}

/* false: the life has no such step. */
static bool survives (enum disk_fault fault, unsigned nth)
{
    char *folder = NULL, sentence[1024] = "";
    const char *wrong;
    int status;

    assert_int_equal (scratch_make ((void **) &folder), 0);
    trials++;
    memset (trial, 0, sizeof *trial);
    status = suffer (folder, fault, nth);
    wrong = wrong_end (fault, status);
    if (!wrong) {
        disk_watch (folder); // nothing is really flushed
        disk_set_low (true); // no ballast is written
        wrong = life_judge (folder, &trial->ledger, trial->ledger.done,
                            trial->ledger.tried, trial->ledger.epoch, sentence,
                            sizeof sentence);
        disk_watch (NULL);
    }
    scratch_remove ((void **) &folder);
    if (wrong)
        complain (fault, nth, wrong, sentence);
    return status == DISK_DEATH || trial->struck;
}

/* How many steps of the undisturbed life it can strike. */
static unsigned steps_of (enum disk_fault fault)
{
    unsigned low = 1, high = 4096;

    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (survives (fault, middle))
            low = middle + 1;
        else
            high = middle;
    }
    return low - 1;
}

/* How many steps at most of each way; 0: all. Forking costs ten times as much
 * with AddressSanitizer. */
static unsigned most_steps (void)
{
    const char *seeds = getenv ("SEEDS"), *flavour = getenv ("SLOTBUS_FLAVOUR");

    if (seeds)
        return (unsigned) atoi (seeds);
    return flavour && strcmp (flavour, "asan") == 0 ? 8 : 40;
}

static void survive_all (enum disk_fault fault)
{
    unsigned most = most_steps (), steps = steps_of (fault), stride;

    assert_true (steps > 50);
    stride = most == 0 || most > steps ? 1 : steps / most;
    for (unsigned nth = 1; nth <= steps; nth += stride)
        survives (fault, nth);
    print_message ("# %s: %u steps, every %u.\n", NAMES[fault], steps, stride);
}

/* ---- a loss that is accepted ---- */

static const enum disk_fault HALFWAY[] = {FAULT_NO_SPACE, FAULT_IO, FAULT_FLUSH,
                                          FAULT_TORN, FAULT_DEATH};

/* A folder whose database was lost; its broker and epoch in the ledger. */
static void lose (const char *folder)
{
    char path[256];

    disk_watch (folder);
    life_live (folder, &trial->ledger, NULL);
    disk_watch (NULL);
    assert_int_equal (trial->ledger.end, STORE_OK);
    snprintf (path, sizeof path, "%s/state.db", folder);
    assert_int_equal (truncate (path, 5000), 0);
}

static int accept_in_child (const char *folder, enum disk_fault fault,
                            unsigned nth)
{
    int status = -1;
    pid_t pid = fork ();

    if (pid == 0) {
        struct store *s = NULL;
        char sentence[1024];

        disk_watch (folder);
        disk_fail (fault, nth);
        if (store_open (folder, true, &s, sentence, sizeof sentence) ==
            STORE_OK) {
            trial->ledger.epoch = store_meta (s)->epoch;
            store_close (s);
        }
        trial->struck = disk_struck ();
        _exit (0);
    }
    waitpid (pid, &status, 0);
    return WIFEXITED (status) ? WEXITSTATUS (status) : -1;
}

/* Still a loss, or accepted; then, accepted, the same broker, learning. */
static const char *judge_loss (const char *folder)
{
    const struct ledger *l = &trial->ledger;
    struct store *s = NULL;
    char sentence[1024];
    const char *wrong = NULL;
    enum store_error e =
        store_open (folder, false, &s, sentence, sizeof sentence);

    if (e == STORE_LOST)
        e = store_open (folder, true, &s, sentence, sizeof sentence);
    if (e != STORE_OK)
        return "it cannot be accepted any more";
    if (!store_learning (s))
        wrong = "the loss was forgotten";
    if (strcmp (store_meta (s)->broker, l->broker) != 0)
        wrong = "it is another broker's";
    if (store_meta (s)->epoch <= l->epoch ||
        store_meta (s)->token_mark < l->pictures[l->done].mark)
        wrong = "epoch or marks fell";
    store_close (s);
    return wrong;
}

static bool accept_halfway (enum disk_fault fault, unsigned nth)
{
    char *folder = NULL;
    const char *wrong;
    int status;

    assert_int_equal (scratch_make ((void **) &folder), 0);
    trials++;
    memset (trial, 0, sizeof *trial);
    lose (folder);
    status = accept_in_child (folder, fault, nth);
    disk_watch (folder);
    disk_set_low (true);
    wrong = judge_loss (folder);
    disk_watch (NULL);
    scratch_remove ((void **) &folder);
    if (wrong)
        complain (fault, nth, wrong, "a loss was accepted");
    return status == DISK_DEATH || trial->struck;
}

static void accepted_loss_that_fails_halfway_stays_a_loss (void **state)
{
    unsigned most = most_steps ();
    unsigned stride = most == 0 || most > 100 ? 1 : 160 / most;

    (void) state;
    for (unsigned i = 0; i < sizeof HALFWAY / sizeof *HALFWAY; i++)
        for (unsigned nth = 1; accept_halfway (HALFWAY[i], nth); nth += stride)
            ;
}

/* ---- a state of the version before ---- */

/* A folder as that version left it: what it had no place for is not there. */
static void age (const char *folder)
{
    static const char SQL[] = "DROP TABLE project;"
                              "ALTER TABLE lease DROP COLUMN eta_low_ms;"
                              "ALTER TABLE lease DROP COLUMN eta_high_ms;"
                              "ALTER TABLE waiter DROP COLUMN parked;"
                              "ALTER TABLE meta DROP COLUMN policy;"
                              "ALTER TABLE meta DROP COLUMN config_policy;"
                              "ALTER TABLE meta DROP COLUMN ttl_ms;"
                              "ALTER TABLE session DROP COLUMN ttl_ms;"
                              "PRAGMA user_version=3";
    struct ledger *l = &trial->ledger;
    char path[256];
    sqlite3 *db;

    disk_watch (folder);
    life_live (folder, l, NULL);
    disk_watch (NULL);
    assert_int_equal (l->end, STORE_OK);
    snprintf (path, sizeof path, "%s/state.db", folder);
    assert_int_equal (
        sqlite3_open_v2 (path, &db, SQLITE_OPEN_READWRITE, "unix"), SQLITE_OK);
    assert_int_equal (sqlite3_exec (db, SQL, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close (db);
    memset (l->pictures[l->done].rows[CHANGE_PROJECT], 0, LIFE_KEYS);
}

static void upgrade_in_child (const char *folder, enum disk_fault fault,
                              unsigned nth)
{
    int status = -1;
    pid_t pid = fork ();

    if (pid == 0) {
        struct store *s = NULL;
        char sentence[1024];

        disk_watch (folder);
        disk_fail (fault, nth);
        if (store_open (folder, false, &s, sentence, sizeof sentence) ==
            STORE_OK) {
            trial->ledger.epoch = store_meta (s)->epoch;
            store_close (s);
        }
        trial->struck = disk_struck ();
        _exit (0);
    }
    waitpid (pid, &status, 0);
    trial->struck |= WIFEXITED (status) && WEXITSTATUS (status) == DISK_DEATH;
}

static bool upgrade_halfway (enum disk_fault fault, unsigned nth)
{
    struct ledger *l = &trial->ledger;
    char *folder = NULL, sentence[1024];
    const char *wrong;

    assert_int_equal (scratch_make ((void **) &folder), 0);
    trials++;
    memset (trial, 0, sizeof *trial);
    age (folder);
    upgrade_in_child (folder, fault, nth);
    disk_watch (folder);
    disk_set_low (true);
    wrong = life_judge (folder, l, l->done, l->done, l->epoch, sentence,
                        sizeof sentence);
    disk_watch (NULL);
    scratch_remove ((void **) &folder);
    if (wrong)
        complain (fault, nth, wrong, sentence);
    return trial->struck;
}

static void upgrade_that_fails_halfway_is_made_by_the_next_start (void **state)
{
    unsigned most = most_steps ();
    unsigned stride = most == 0 || most > 100 ? 1 : 160 / most;

    (void) state;
    for (enum disk_fault fault = 0; fault < DISK_FAULTS; fault++)
        for (unsigned nth = 1; upgrade_halfway (fault, nth); nth += stride)
            ;
}

/* ---- each fault ---- */

static void full_disk_costs_nothing_that_was_acknowledged (void **state)
{
    (void) state;
    survive_all (FAULT_NO_SPACE);
}

static void failed_step_costs_nothing_that_was_acknowledged (void **state)
{
    (void) state;
    survive_all (FAULT_IO);
}

static void failed_flush_costs_nothing_that_was_acknowledged (void **state)
{
    (void) state;
    survive_all (FAULT_FLUSH);
}

static void short_write_costs_nothing_that_was_acknowledged (void **state)
{
    (void) state;
    survive_all (FAULT_SHORT);
}

static void torn_write_costs_nothing_that_was_acknowledged (void **state)
{
    (void) state;
    survive_all (FAULT_TORN);
}

static void read_only_disk_costs_nothing_that_was_acknowledged (void **state)
{
    (void) state;
    survive_all (FAULT_READ_ONLY);
}

static void death_costs_nothing_that_was_acknowledged (void **state)
{
    (void) state;
    survive_all (FAULT_DEATH);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (full_disk_costs_nothing_that_was_acknowledged),
        cmocka_unit_test (failed_step_costs_nothing_that_was_acknowledged),
        cmocka_unit_test (failed_flush_costs_nothing_that_was_acknowledged),
        cmocka_unit_test (short_write_costs_nothing_that_was_acknowledged),
        cmocka_unit_test (torn_write_costs_nothing_that_was_acknowledged),
        cmocka_unit_test (read_only_disk_costs_nothing_that_was_acknowledged),
        cmocka_unit_test (death_costs_nothing_that_was_acknowledged),
        cmocka_unit_test (accepted_loss_that_fails_halfway_stays_a_loss),
        cmocka_unit_test (upgrade_that_fails_halfway_is_made_by_the_next_start),
    };

    disk_install ();
    trial = mmap (NULL, sizeof *trial, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (trial == MAP_FAILED || cmocka_run_group_tests (tests, NULL, NULL))
        return 1;
    printf ("# done=%u passed=%u\n", trials, trials);
    return 0;
}
