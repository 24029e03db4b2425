/* SPDX-License-Identifier: MPL-2.0 */
/* The files of a state that lay about, closed or left by a death, and were
 * damaged: a bit flipped, cut, emptied, gone, of a later version. SEEDS=N: so
 * many flips, and a fifth of that cuts. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus/base.h"
#include "faulty_disk.h"
#include "life.h"
#include "unit/bus/scratch.h"

enum {
    MOST_BYTES = 1 << 20,
    CLOSED = 48, // all batches: it was closed
    DEATHS = 6,  // after which batch it died
    FIRST_DEATH = 34,
    FILES = 4
};

static const char *const NAMES[FILES] = {"state.db", "state.db-wal",
                                         "INITIALISED", "commits"};

struct file {
    unsigned char bytes[MOST_BYTES];
    ssize_t size; // -1: there is none
};

static struct ledger *ledger; // shared with the child
static unsigned last_batch;   // of the life in the child
static char *folder;
static struct file files[FILES];
static bool rebooted;
static unsigned started;

/* ---- a state that was left ---- */

static const char *path_of (const char *name)
{
    static char path[256];

    snprintf (path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void die_in_time (const struct ledger *l)
{
    if (l->done == last_batch && l->done == l->tried)
        _exit (0);
}

static void live_until (unsigned batch)
{
    int status = -1;
    pid_t pid = fork ();

    last_batch = batch;
    if (pid == 0) {
        disk_watch (folder);
        life_live (folder, ledger, batch < CLOSED ? die_in_time : NULL);
        _exit (ledger->end);
    }
    waitpid (pid, &status, 0);
    assert_int_equal (status, 0);
    assert_int_equal (ledger->done, batch);
}

static void keep_files (void)
{
    for (unsigned i = 0; i < FILES; i++)
        files[i].size =
            read_file (path_of (NAMES[i]), (char *) files[i].bytes, MOST_BYTES);
}

static void leave_state (unsigned batch)
{
    if (folder)
        scratch_remove ((void **) &folder);
    assert_int_equal (scratch_make ((void **) &folder), 0);
    live_until (batch);
    keep_files ();
}

static void lay_file (unsigned i, const void *bytes, ssize_t size)
{
    if (size < 0)
        unlink (path_of (NAMES[i]));
    else
        assert_int_equal (write_file_atomically (path_of (NAMES[i]), bytes,
                                                 (size_t) size, 0600, 0),
                          0);
}

static void lay_state (void)
{
    for (unsigned i = 0; i < FILES; i++)
        lay_file (i, files[i].bytes, files[i].size);
}

/* ---- what may come of it ---- */

/* How many rows are not there; more than all if one is there that must not. */
static unsigned missing (const struct picture *is, const struct picture *was)
{
    unsigned count = 0;

    for (unsigned kind = 0; kind <= CHANGE_PROJECT; kind++)
        for (unsigned key = 0; key < LIFE_KEYS; key++) {
            if (is->rows[kind][key] == was->rows[kind][key])
                continue;
            if (is->rows[kind][key] != 0 && is->rows[kind][key] != 255)
                return 1000;
            count += was->rows[kind][key] != 0;
        }
    return count;
}

static const char *compare (struct store *s, const struct picture *was)
{
    struct picture is;
    unsigned damaged = 0;

    if (!life_look (s, &is, &damaged))
        return store_failure (s)[0] ? NULL : "it gives rows that never were";
    if (missing (&is, was) > damaged)
        return "it lost something without a word";
    if (is.mark < was->mark || is.max_slots != was->max_slots)
        return "marks or limits fell";
    if (store_meta (s)->epoch <= ledger->epoch)
        return "the epoch did not rise";
    return NULL;
}

/* The best that fits: after a power cut any state since the last flush is. */
static const char *compare_all (struct store *s)
{
    unsigned least = rebooted ? ledger->flushed : ledger->done;
    const char *wrong = NULL;

    for (unsigned i = least; i <= ledger->done; i++)
        if (!(wrong = compare (s, &ledger->pictures[i])))
            break;
    return wrong;
}

static const char *judge (char *sentence, size_t size)
{
    struct store *s = NULL;
    const char *wrong;
    enum store_error e = store_open (folder, false, &s, sentence, size);

    if (e == STORE_LOST)
        return strstr (sentence, "--accept-state-loss") &&
                       strstr (sentence, folder)
                   ? NULL
                   : "the refusal does not say what to do";
    if (e != STORE_OK)
        return "it is not taken for a damage";
    wrong = compare_all (s);
    store_close (s);
    return wrong;
}

static void start_on (const char *what, unsigned file, size_t where)
{
    char sentence[1024] = "";
    const char *wrong;

    disk_watch (folder);
    disk_set_low (true);
    if (rebooted)
        disk_reboot ();
    wrong = judge (sentence, sizeof sentence);
    disk_watch (NULL);
    started++;
    if (wrong)
        fail_msg ("%s %s at %zu of %zd, left after batch %u%s: %s (%s)",
                  NAMES[file], what, where, files[file].size, ledger->done,
                  rebooted ? " and rebooted" : "", wrong, sentence);
}

/* ---- damages ---- */

static uint64_t draw (uint64_t seed, uint64_t below)
{
    seed = (seed + 1) * 0x9e3779b97f4a7c15u;
    seed = (seed ^ seed >> 32) * 0xd6e8feb86659fd93u;
    return (seed ^ seed >> 32) % below;
}

static unsigned seeds (unsigned otherwise)
{
    const char *text = getenv ("SEEDS");

    return text ? (unsigned) atoi (text) : otherwise;
}

static void flip (unsigned file, uint64_t seed)
{
    size_t where = draw (seed, (uint64_t) files[file].size);
    unsigned char bit = (unsigned char) (1u << draw (seed + 77, 8));

    lay_state ();
    files[file].bytes[where] ^= bit;
    lay_file (file, files[file].bytes, files[file].size);
    files[file].bytes[where] ^= bit;
    start_on ("flipped", file, where);
}

static void cut (unsigned file, uint64_t seed)
{
    ssize_t size = (ssize_t) draw (seed, (uint64_t) files[file].size);

    lay_state ();
    lay_file (file, files[file].bytes, size);
    start_on ("cut", file, (size_t) size);
}

/* Every state in turn: each death, and closed. */
static void damage_each (void (*damage) (unsigned, uint64_t), unsigned count)
{
    unsigned seed = 0;

    for (unsigned i = 0; i < 2 * (DEATHS + 1); i++) {
        unsigned until =
            (unsigned) ((uint64_t) count * (i + 1) / (2 * (DEATHS + 1)));

        rebooted = i % 2;
        leave_state (i / 2 < DEATHS ? FIRST_DEATH + i / 2 : CLOSED);
        for (; seed < until; seed++)
            if (files[seed % FILES].size > 0)
                damage (seed % FILES, seed);
    }
}

static void flipped_bit_is_seen_or_harmless (void **state)
{
    (void) state;
    damage_each (flip, seeds (200));
}

/* What SQLite believes first. */
static void flipped_bit_of_the_header_is_seen_or_harmless (void **state)
{
    unsigned stride = seeds (200) >= 1000 ? 1 : 9;

    (void) state;
    leave_state (CLOSED);
    for (unsigned bit = 0; bit < 800; bit += stride) {
        lay_state ();
        files[0].bytes[bit / 8] ^= (unsigned char) (1u << bit % 8);
        lay_file (0, files[0].bytes, files[0].size);
        files[0].bytes[bit / 8] ^= (unsigned char) (1u << bit % 8);
        start_on ("flipped in the header", 0, bit / 8);
    }
}

static void cut_file_is_seen_or_harmless (void **state)
{
    (void) state;
    damage_each (cut, seeds (200) / 5);
}

static void empty_file_is_seen_or_harmless (void **state)
{
    (void) state;
    for (unsigned i = 0; i < DEATHS; i++) {
        leave_state (FIRST_DEATH + i);
        for (unsigned file = 0; file < FILES; file++) {
            lay_state ();
            lay_file (file, "", 0);
            start_on ("emptied", file, 0);
        }
    }
}

static void missing_file_is_seen_or_harmless (void **state)
{
    (void) state;
    for (unsigned i = 0; i < DEATHS; i++) {
        leave_state (FIRST_DEATH + i);
        for (unsigned file = 0; file < FILES; file++) {
            lay_state ();
            lay_file (file, NULL, -1);
            start_on ("removed", file, 0);
        }
    }
}

static void change_text (unsigned file, const char *from, const char *to)
{
    char *at = memmem (files[file].bytes, (size_t) files[file].size, from,
                       strlen (from));

    assert_non_null (at);
    memcpy (at, to, strlen (to));
}

static void assert_refused (const char *because)
{
    struct store *s = NULL;
    char sentence[1024] = "";

    assert_int_equal (store_open (folder, false, &s, sentence, sizeof sentence),
                      STORE_LOST);
    assert_non_null (strstr (sentence, because));
}

static void later_version_is_refused (void **state)
{
    (void) state;
    leave_state (CLOSED);
    for (unsigned version = 5; version < 9; version++) {
        files[0].bytes[63] = (unsigned char) version; // user_version
        lay_state ();
        assert_refused ("newer");
    }
    leave_state (CLOSED);
    change_text (2, "version=1", "version=2");
    lay_state ();
    assert_refused ("INITIALISED");
}

static int begin (void **state)
{
    (void) state;
    rebooted = false;
    return 0;
}

static int end (void **state)
{
    (void) state;
    if (folder)
        scratch_remove ((void **) &folder);
    folder = NULL;
    return 0;
}

#define T(name) cmocka_unit_test_setup_teardown (name, begin, end)

int main (void)
{
    const struct CMUnitTest tests[] = {
        T (flipped_bit_is_seen_or_harmless),
        T (flipped_bit_of_the_header_is_seen_or_harmless),
        T (cut_file_is_seen_or_harmless),
        T (empty_file_is_seen_or_harmless),
        T (missing_file_is_seen_or_harmless),
        T (later_version_is_refused),
    };

    disk_install ();
    ledger = mmap (NULL, sizeof *ledger, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (ledger == MAP_FAILED || cmocka_run_group_tests (tests, NULL, NULL))
        return 1;
    printf ("# done=%u passed=%u\n", started, started);
    return 0;
}
