/* SPDX-License-Identifier: MPL-2.0 */
/* Seeds: SEEDS (how many) FROM (the first) SECONDS (of virtual time each) in
 * the environment. SEED: this one alone; WITHOUT=name,name: some of its faults
 * do not happen. SIM_TRACE=1 prints every line of a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "simulation/ledger.h"
#include "simulation/weather.h"

static int64_t number (const char *name, int64_t otherwise)
{
    const char *text = getenv (name);

    return text && *text ? strtoll (text, NULL, 10) : otherwise;
}

static void print_last_lines (const struct sim *s)
{
    uint64_t first = s->line_count > SIM_LINES ? s->line_count - SIM_LINES : 0;

    for (uint64_t i = first; i < s->line_count; i++)
        print_message ("# %s\n", s->lines[i % SIM_LINES]);
}

static void print_failure (const struct sim *s, uint64_t seed)
{
    struct profile p;
    char text[2560];

    profile_draw (&p, seed);
    print_last_lines (s);
    print_message ("# %s\n", profile_print (&p, text, sizeof text));
    print_message ("# seed %llu: %s\n", (unsigned long long) seed,
                   s->violation);
}

static void no_seed_violates_an_invariant (void **state)
{
    int64_t one = number ("SEED", 0), from = one ? one : number ("FROM", 1);
    int64_t seeds = one ? 1 : number ("SEEDS", 600);
    int64_t ms = number ("SECONDS", 300) * 1000;
    unsigned grants = 0, served = 0, losses = 0, reclaimed = 0;
    int failed = 0;
    (void) state;

    for (int64_t seed = from; seed < from + seeds && failed < 1; seed++) {
        struct sim *s = weather_run ((uint64_t) seed, ms);

        if (s->violation[0]) {
            failed++;
            print_failure (s, (uint64_t) seed);
        }
        grants += s->invariants.grants;
        served += s->invariants.served;
        losses += s->invariants.losses;
        reclaimed += s->invariants.reclaimed;
        sim_destroy (s);
    }
    print_message ("# %lld seeds: %u slots granted to %u commands, %u sessions "
                   "ended, %u slots back from LIMBO\n",
                   (long long) seeds, grants, served, losses, reclaimed);
    assert_int_equal (failed, 0);
}

static void the_same_seed_gives_the_same_trace (void **state)
{
    (void) state;

    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct sim *one = weather_run (seed, 60000);
        struct sim *two = weather_run (seed, 60000);

        assert_true (one->line_count > 100);
        assert_true (one->line_count == two->line_count);
        assert_true (one->hash == two->hash);
        sim_destroy (one);
        sim_destroy (two);
    }
}

/* By the seeds above, unless somebody has chosen others. */
static void everything_was_reached (void **state)
{
    static const char *const chosen[] = {"SEED", "FROM", "SEEDS", "SECONDS",
                                         "WITHOUT"};
    struct ledger_row row;
    unsigned rare = 0;
    (void) state;

    for (size_t i = 0; i < sizeof chosen / sizeof *chosen; i++) {
        if (getenv (chosen[i]))
            return;
    }
    for (size_t i = 0; ledger_at (i, &row); i++) {
        if (!ledger_is_short (&row))
            continue;
        rare++;
        print_message ("# %s: %llu times\n", row.name,
                       (unsigned long long) row.count);
    }
    assert_int_equal (rare, 0);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (the_same_seed_gives_the_same_trace),
        cmocka_unit_test (no_seed_violates_an_invariant),
        cmocka_unit_test (everything_was_reached),
    };

    return cmocka_run_group_tests (tests, NULL, NULL);
}
