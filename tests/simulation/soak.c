/* SPDX-License-Identifier: MPL-2.0 */
/* soak FIRST COUNT SECONDS [stop] [ledger] [hash] - seed after seed
 *
 * For scripts/soak. Says on standard output, a line each: "seed N" before it is
 * run, "options N TEXT" and "violation N TEXT" where something is wrong, "ran N
 * HASH" after it (the hash of its trace, if wanted); in the end "count NUMBER
 * NAME" for all that the ledger knows, if wanted, and "done USED OFFERED
 * EXPIRIES" (slot-ms in use while somebody waited, of those that were there to
 * be used, and sessions that expired although they were heard). `stop`: no seed
 * after the first violation. SIM_TRACE=1 and WITHOUT= in the environment work
 * here too.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "simulation/ledger.h"
#include "simulation/weather.h"

enum { LONGEST_S = 120 }; // real seconds of one seed: it does not end

static bool asked (int argc, char **argv, const char *word)
{
    for (int i = 4; i < argc; i++) {
        if (strcmp (argv[i], word) == 0)
            return true;
    }
    return false;
}

static unsigned long long number (const char *text)
{
    return strtoull (text, NULL, 10);
}

static void print_options (uint64_t seed)
{
    struct profile profile;
    char text[2816];

    profile_draw (&profile, seed);
    printf ("options %llu %s\n", (unsigned long long) seed,
            profile_print (&profile, text, sizeof text));
}

static void print_ledger (void)
{
    struct ledger_row row;

    for (size_t i = 0; ledger_at (i, &row); i++)
        printf ("count %llu %s%s%s\n", (unsigned long long) row.count, row.name,
                row.excuse ? " - " : "", row.excuse ? row.excuse : "");
}

struct sums {
    uint64_t used, offered, expiries;
};

/* True: nothing was wrong. */
static bool run (uint64_t seed, int64_t ms, struct sums *sums)
{
    struct sim *s;
    bool good;

    printf ("seed %llu\n", (unsigned long long) seed);
    fflush (stdout);
    alarm (LONGEST_S);
    s = weather_run (seed, ms);
    good = !s->violation[0];
    if (!good)
        print_options (seed);
    if (!good)
        printf ("violation %llu %s\n", (unsigned long long) seed, s->violation);
    printf ("ran %llu %016llx\n", (unsigned long long) seed,
            (unsigned long long) s->hash);
    sums->used += s->invariants.used_ms;
    sums->offered += s->invariants.offered_ms;
    sums->expiries += s->invariants.false_expiries;
    sim_destroy (s);
    return good;
}

int main (int argc, char **argv)
{
    struct sums sums = {0};
    bool good = true, stop = asked (argc, argv, "stop");

    if (argc < 4) {
        fprintf (stderr,
                 "usage: soak FIRST COUNT SECONDS [stop] [ledger] [hash]\n");
        return 64;
    }
    sim_untraced = !asked (argc, argv, "hash");

    for (uint64_t i = 0; i < number (argv[2]) && (good || !stop); i++)
        good &= run (number (argv[1]) + i, (int64_t) number (argv[3]) * 1000,
                     &sums);
    if (asked (argc, argv, "ledger"))
        print_ledger ();
    printf ("done %llu %llu %llu\n", (unsigned long long) sums.used,
            (unsigned long long) sums.offered,
            (unsigned long long) sums.expiries);
    return good ? 0 : 1;
}
