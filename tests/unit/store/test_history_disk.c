/* SPDX-License-Identifier: MPL-2.0 */
/* A history whose disk fails at each of its steps: it is lost, and comes back
 * when the disk does. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "faulty_disk.h"
#include "history.h"

enum { MOST_STEPS = 400 };

static const int64_t NOON = INT64_C (20000) * 86400000 + 43200000;

static char folder[64];
static struct msg_history_ok page;

static int remove_one (const char *path, const struct stat *st, int type,
                       struct FTW *at)
{
    (void) st;
    (void) type;
    (void) at;
    return remove (path);
}

static void begin (void)
{
    disk_watch (NULL);
    if (folder[0])
        nftw (folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    strcpy (folder, "/tmp/slotbus-history-XXXXXX");
    assert_non_null (mkdtemp (folder));
    disk_watch (folder);
}

static void note (struct history *h, unsigned count, int64_t wall)
{
    struct outbox *out = outbox_create ();
    struct run_record r = {.token = 1, .run_ms = 1000};

    strcpy (r.project, "p");
    strcpy (r.outcome, "done");
    for (unsigned i = 0; i < count; i++)
        outbox_run (out, &r);
    history_note (h, out, wall);
    history_tend (h, wall);
    outbox_destroy (out);
}

static enum err ask (struct history *h, bool days)
{
    struct msg_history in;

    message_init_fields (&in, VERB_HISTORY);
    in.days = days;
    return history_answer (h, &in, &page);
}

static void learn (void *arg, const struct run_record *run)
{
    (void) arg;
    (void) run;
}

/* A life of it: made, written, read, and written again after a restart. */
static struct history *live (void)
{
    struct history *h = history_open (folder, NOON);

    note (h, 20, NOON);
    ask (h, false);
    history_close (h);
    h = history_open (folder, NOON);
    history_recall (h, learn, NULL);
    note (h, 300, NOON + 1000);
    ask (h, true);
    return h;
}

/* Returns whether there was such a step. */
static bool survives (enum disk_fault fault, unsigned nth)
{
    struct history *h;
    bool struck;

    begin ();
    disk_fail (fault, nth);
    h = live ();
    struck = disk_struck ();
    disk_watch (folder); // the disk is well again
    note (h, 1, NOON + 100000);
    note (h, 1, NOON + 100000); // the first may have met the damage
    assert_int_equal (ask (h, false), ERR_NONE);
    assert_true (page.runs_count > 0);
    assert_int_equal (page.runs[0].ended_ms, NOON + 100000);
    history_close (h);
    h = history_open (folder, NOON + 200000);
    assert_int_equal (ask (h, false), ERR_NONE);
    assert_int_equal (page.runs[0].ended_ms, NOON + 100000);
    history_close (h);
    return struck;
}

static void survives_all (enum disk_fault fault)
{
    unsigned nth = 1;

    while (nth < MOST_STEPS && survives (fault, nth))
        nth++;
    assert_in_range (nth, 5, MOST_STEPS - 1); // it was a test
}

static void full_disk_costs_history_until_there_is_room (void **state)
{
    (void) state;
    survives_all (FAULT_NO_SPACE);
}

static void
write_that_fails_costs_history_until_it_is_tried_again (void **state)
{
    (void) state;
    survives_all (FAULT_IO);
}

static void half_a_write_costs_history_only (void **state)
{
    (void) state;
    survives_all (FAULT_SHORT);
}

static void disk_that_becomes_read_only_costs_history_only (void **state)
{
    (void) state;
    survives_all (FAULT_READ_ONLY);
}

static int install (void **state)
{
    (void) state;
    disk_install ();
    return 0;
}

static int clean (void **state)
{
    (void) state;
    disk_watch (NULL);
    return nftw (folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (full_disk_costs_history_until_there_is_room),
        cmocka_unit_test (
            write_that_fails_costs_history_until_it_is_tried_again),
        cmocka_unit_test (half_a_write_costs_history_only),
        cmocka_unit_test (disk_that_becomes_read_only_costs_history_only),
    };
    return cmocka_run_group_tests (tests, install, clean);
}
