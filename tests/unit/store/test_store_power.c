/* SPDX-License-Identifier: MPL-2.0 */
/* The power goes at every flush of a store's life and between them. SEEDS=N:
 * so many cuts. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "faulty_disk.h"
#include "life.h"
#include "power_cut.h"
#include "unit/bus/scratch.h"

enum { MOMENTS = 1024 };

/* What had been promised when: a step's tag leads here. */
struct moment {
    unsigned flushed, tried;
    uint64_t epoch;
};

static struct moment moments[MOMENTS];
static unsigned moment_count;
static struct ledger ledger;

static void remember (const struct ledger *l)
{
    assert_true (moment_count < MOMENTS);
    moments[moment_count] = (struct moment){l->flushed, l->tried, l->epoch};
    disk_tag (moment_count++);
}

static void live (void)
{
    char *folder = NULL;

    assert_int_equal (scratch_make ((void **) &folder), 0);
    disk_watch (folder);
    disk_record ();
    moment_count = 1; // nothing was promised
    life_live (folder, &ledger, remember);
    assert_int_equal (ledger.end, STORE_OK);
    disk_watch (NULL);
    scratch_remove ((void **) &folder);
}

/* The `nth` flush, counted around and around, or SIZE_MAX. */
static size_t flush_at (size_t nth)
{
    size_t count = 0;

    for (size_t i = 0; i < disk_recorded (); i++)
        count += disk_step_at (i)->kind == STEP_FLUSH;
    nth %= count;
    for (size_t i = 0; i < disk_recorded (); i++)
        if (disk_step_at (i)->kind == STEP_FLUSH && nth-- == 0)
            return i;
    return SIZE_MAX;
}

static size_t moment_of (size_t seed)
{
    if (seed % 2 == 0)
        return flush_at (seed / 2); // not yet made
    return (size_t) ((seed + 1) * 0x9e3779b97f4a7c15u >> 20) % disk_recorded ();
}

static void survive (size_t seed)
{
    size_t steps = moment_of (seed);
    const struct moment *m =
        &moments[steps > 0 ? disk_step_at (steps - 1)->tag : 0];
    char *folder = NULL, sentence[1024];
    const char *wrong;

    assert_int_equal (scratch_make ((void **) &folder), 0);
    power_cut (steps, seed, folder);
    disk_watch (folder); // nothing is really flushed,
    disk_set_low (true); // no ballast is written
    disk_reboot ();
    wrong = life_judge (folder, &ledger, m->flushed, m->tried, m->epoch,
                        sentence, sizeof sentence);
    disk_watch (NULL);
    scratch_remove ((void **) &folder);
    if (wrong)
        fail_msg ("seed %zu, %zu steps: %s (%s); flushed %u, tried %u, epoch "
                  "%u",
                  seed, steps, wrong, sentence, m->flushed, m->tried,
                  (unsigned) m->epoch);
}

static void power_cut_leaves_what_was_flushed_and_nothing_half (void **state)
{
    const char *seeds = getenv ("SEEDS");
    size_t count = seeds ? (size_t) atoi (seeds) : 200;

    (void) state;
    for (size_t seed = 0; seed < count; seed++)
        survive (seed);
    printf ("# done=%zu passed=%zu\n", count, count);
}

static int begin (void **state)
{
    (void) state;
    live ();
    return 0;
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (power_cut_leaves_what_was_flushed_and_nothing_half),
    };

    disk_install ();
    return cmocka_run_group_tests (tests, begin, NULL);
}
