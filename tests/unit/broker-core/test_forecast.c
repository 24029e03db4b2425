/* SPDX-License-Identifier: MPL-2.0 */
/* Forecasts against workloads whose truth is known. Chance is a generator of
 * the test's own with fixed seeds. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "core/forecast.h"

enum { WARM_UP = 100, RUNS = 600, TRUTH = 20000 };

/* ---- chance ---- */

static uint64_t seed;

static double chance (void) // 0..1, neither
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return ((double) (seed >> 11) + 0.5) / 9007199254740992.0;
}

static double normal (void)
{
    return sqrt (-2 * log (chance ())) * cos (6.283185307179586 * chance ());
}

/* ---- workloads: how long one of them runs, ms ---- */

static double lognormal (void)
{
    return 600e3 * exp (0.5 * normal ());
}

static double wide (void)
{
    return 600e3 * exp (1.0 * normal ());
}

static double bimodal (void) // a failed build, or a whole one
{
    return chance () < 0.6 ? 60e3 * exp (0.15 * normal ())
                           : 1200e3 * exp (0.15 * normal ());
}

static double steady (void) // nearly always the same
{
    return 300e3 * exp (0.02 * normal ());
}

struct workload {
    const char *name;
    double (*next) (void);
};

static const struct workload workloads[] = {{"lognormal", lognormal},
                                            {"wide", wide},
                                            {"bimodal", bimodal},
                                            {"steady", steady}};

enum { WORKLOADS = sizeof workloads / sizeof *workloads };

/* ---- what a forecast is measured by ---- */

static int by_value (const void *a, const void *b)
{
    double x = *(const double *) a, y = *(const double *) b;

    return (x > y) - (x < y);
}

static double drawn[TRUTH];

static double true_quantile (double (*next) (void), double q)
{
    for (int i = 0; i < TRUTH; i++)
        drawn[i] = next ();
    qsort (drawn, TRUTH, sizeof *drawn, by_value);
    return drawn[(int) (q * TRUTH)];
}

/* p90 - p10 of those that run longer than `elapsed`. */
static double true_width (double (*next) (void), double elapsed)
{
    for (int i = 0; i < TRUTH;) {
        drawn[i] = next ();
        i += drawn[i] > elapsed;
    }
    qsort (drawn, TRUTH, sizeof *drawn, by_value);
    return drawn[TRUTH * 9 / 10] - drawn[TRUTH / 10];
}

struct score {
    unsigned asked, inside;
    double width;
};

static void take_score (struct score *score, const struct range *r, double left)
{
    assert_true (0 <= r->low && r->low <= r->mid && r->mid <= r->high);
    score->asked++;
    score->inside +=
        left >= (double) r->low - 1 && left <= (double) r->high + 1;
    score->width += (double) (r->high - r->low);
}

static void judge (const struct score *score, const char *what, double where,
                   double width, unsigned most_percent)
{
    double percent = 100.0 * score->inside / score->asked;
    double ratio = score->width / score->asked / width;

    if (getenv ("SHOW"))
        printf ("# %s at %.2f: %.1f %% of %u inside, %.2f of the true width\n",
                what, where, percent, score->asked, ratio);
    if (percent < 70 || percent > most_percent || !(ratio <= 2))
        fail_msg ("%s at %.2f: %.1f %% of %u inside, %.2f of the true width",
                  what, where, percent, score->asked, ratio);
}

/* ---- without progress ---- */

static void by_history_alone (const struct workload *w, double where)
{
    double elapsed = where > 0 ? true_quantile (w->next, where) : 0;
    double width = true_width (w->next, elapsed);
    struct so_far so_far = {(int64_t) elapsed, NAN, 0};
    struct forecasts *f = forecasts_create ();
    struct score score = {0};

    for (unsigned i = 0; score.asked < RUNS; i++) {
        double runs = w->next ();
        struct range r;

        if (i >= WARM_UP && runs > elapsed) {
            assert_true (forecasts_left (f, "p", "l", &so_far, &r));
            take_score (&score, &r, runs - elapsed);
        }
        forecasts_learn (f, "p", "l", (int64_t) runs);
    }
    judge (&score, w->name, where, width, 90);
    forecasts_destroy (f);
}

static void eight_in_ten_end_within_the_range_at_any_time (void **state)
{
    static const double where[] = {0, 0.25, 0.5, 0.75, 0.9};
    (void) state;

    seed = 20261127;
    for (unsigned i = 0; i < WORKLOADS; i++) {
        for (unsigned at = 0; at < sizeof where / sizeof *where; at++)
            by_history_alone (&workloads[i], where[at]);
    }
}

/* ---- with progress ---- */

/* What an agent says that has done `done` of its work. */
static double honest (double done) // but it cannot know all that is to come
{
    double error = 0.2 * normal ();

    return 100 / (1 + exp (-log (done / (1 - done)) - error));
}

static double noisy (double done)
{
    double error = 0.8 * normal ();

    return 100 / (1 + exp (-log (done / (1 - done)) - error));
}

static double hopeful (double done) // always far too much, and noisy
{
    double error = 1.0 + 0.4 * normal ();

    return 100 / (1 + exp (-log (done / (1 - done)) - error));
}

static void by_both (const struct workload *w, double (*say) (double),
                     const char *how, double where)
{
    double elapsed = true_quantile (w->next, where);
    double width = true_width (w->next, elapsed);
    struct forecasts *f = forecasts_create ();
    struct score score = {0};
    char what[64];

    for (unsigned i = 0; score.asked < RUNS; i++) {
        double runs = w->next ();
        struct so_far so_far = {(int64_t) elapsed, say (elapsed / runs),
                                (int64_t) elapsed};
        struct range r;

        if (i >= WARM_UP && runs > elapsed) {
            assert_true (forecasts_left (f, "p", "l", &so_far, &r));
            take_score (&score, &r, runs - elapsed);
        }
        forecasts_learn (f, "p", "l", (int64_t) runs);
        if (i % 2) // not all of them said something
            forecasts_learn_progress (f, "p", "l", (int64_t) (runs / 2),
                                      say (0.5), (int64_t) runs);
    }
    snprintf (what, sizeof what, "%s, %s", w->name, how);
    judge (&score, what, where, width, 92);
    forecasts_destroy (f);
}

static void progress_narrows_the_range_by_what_it_is_worth (void **state)
{
    static const double where[] = {0.05, 0.25, 0.5, 0.75, 0.9};
    (void) state;

    seed = 4711;
    for (unsigned i = 0; i < WORKLOADS; i++) {
        for (unsigned at = 0; at < sizeof where / sizeof *where; at++) {
            by_both (&workloads[i], honest, "honest", where[at]);
            by_both (&workloads[i], noisy, "noisy", where[at]);
            if (where[at] <= 0.5) // later it says "99 %", whatever is left
                by_both (&workloads[i], hopeful, "hopeful", where[at]);
        }
    }
}

static struct range left_of (const struct forecasts *f, int64_t elapsed,
                             double percent, int64_t said)
{
    const struct so_far so_far = {elapsed, percent, said};
    struct range r = {-1, -1, -1};

    assert_true (forecasts_left (f, "p", "l", &so_far, &r));
    return r;
}

static void
progress_alone_gives_a_wide_range_around_the_straight_line (void **s)
{
    struct forecasts *f = forecasts_create ();
    struct range r = left_of (f, 60000, 50, 60000);
    (void) s;

    assert_in_range (r.mid, 59000, 61000);
    assert_in_range (r.low, 15000, 40000);
    assert_in_range (r.high, 90000, 240000);
    r = left_of (f, 90000, 90, 90000); // nearer to the end it is surer
    assert_in_range (r.mid, 9900, 10100);
    assert_true (r.high < 25000);
    forecasts_destroy (f);
}

static void progress_weighs_more_the_further_it_is (void **state)
{
    struct forecasts *f = forecasts_create ();
    struct range early, late;
    (void) state;

    seed = 1;
    for (unsigned i = 0; i < 64; i++)
        forecasts_learn (f, "p", "l", (int64_t) (600e3 * exp (normal () / 2)));
    early = left_of (f, 60000, 20, 60000);  // says 240 s, history 540
    late = left_of (f, 240000, 80, 240000); // says 60 s, history 360 or more
    assert_true (early.mid > 240000);
    assert_true (late.mid < 180000);
    assert_true (log ((double) late.mid / 60000) / log (400.0 / 60) <
                 log ((double) early.mid / 240000) / log (540.0 / 240));
    forecasts_destroy (f);
}

static void progress_that_was_said_long_ago_wears_off (void **state)
{
    struct forecasts *f = forecasts_create ();
    int64_t before = 0;
    (void) state;

    // at 50 % after a minute, and then silence: first it counts down
    assert_true (left_of (f, 90000, 50, 60000).mid <
                 left_of (f, 60000, 50, 60000).mid);
    // and when it should have ended long ago, what is left grows
    for (int64_t elapsed = 1000000; elapsed < 64000000; elapsed *= 2) {
        struct range r = left_of (f, elapsed, 50, 60000);

        assert_true (r.low > 0 && r.mid > before);
        before = r.mid;
    }
    forecasts_destroy (f);
}

/* ---- the edges ---- */

static void without_a_basis_there_is_no_number (void **state)
{
    static const struct so_far silent = {1000, NAN, 0}, begun = {1000, 0, 500};
    struct forecasts *f = forecasts_create ();
    struct range r = {1, 2, 3};
    (void) state;

    for (int i = 0; i < FORECAST_LEAST - 1; i++)
        forecasts_learn (f, "p", "l", 60000);
    assert_false (forecasts_left (f, "p", "l", &silent, &r));
    assert_false (forecasts_left (f, "p", "l", &begun, &r));
    assert_int_equal (r.low, 1); // untouched
    forecasts_learn (f, "p", "l", 60000);
    assert_true (forecasts_left (f, "p", "l", &silent, &r));
    assert_false (forecasts_left (f, "q", "l", &silent, &r));
    forecasts_destroy (f);
}

static void few_of_a_label_are_helped_by_the_project (void **state)
{
    struct forecasts *f = forecasts_create ();
    struct range r;
    (void) state;

    for (int i = 0; i < 20; i++)
        forecasts_learn (f, "p", "other", 600000);
    for (int i = 0; i < FORECAST_LEAST - 1; i++)
        forecasts_learn (f, "p", "l", 10000);
    assert_true (left_of (f, 0, NAN, 0).mid > 500000);
    forecasts_learn (f, "p", "l", 10000);
    r = left_of (f, 0, NAN, 0);
    assert_true (r.low >= 9000 && r.high <= 11000);
    forecasts_destroy (f);
}

static void what_is_always_the_same_is_forecast_to_the_second (void **state)
{
    struct forecasts *f = forecasts_create ();
    (void) state;

    for (int i = 0; i < 64; i++)
        forecasts_learn (f, "p", "l", 300000);
    for (int64_t elapsed = 0; elapsed < 300000; elapsed += 50000) {
        struct range r = left_of (f, elapsed, NAN, 0);

        assert_int_equal (r.low, 300000 - elapsed);
        assert_int_equal (r.high, 300000 - elapsed);
    }
    forecasts_destroy (f);
}

static void
what_has_outlived_all_others_is_never_about_to_end_for_ever (void **s)
{
    struct forecasts *f = forecasts_create ();
    struct range before = {0, 0, 0};
    (void) s;

    for (int i = 0; i < 64; i++)
        forecasts_learn (f, "p", "l", 300000 + i);
    for (int64_t elapsed = 300100; elapsed < INT64_C (1) << 50; elapsed *= 2) {
        struct range r = left_of (f, elapsed, NAN, 0);

        assert_true (r.low > before.low && r.mid > before.mid &&
                     r.high > before.high);
        before = r;
    }
    forecasts_destroy (f);
}

static void newest_durations_push_out_the_oldest (void **state)
{
    struct forecasts *f = forecasts_create ();
    (void) state;

    for (int i = 0; i < 500; i++)
        forecasts_learn (f, "p", "l", 600000);
    for (int i = 0; i < 64; i++)
        forecasts_learn (f, "p", "l", 1000);
    assert_int_equal (left_of (f, 0, NAN, 0).high, 1000);
    forecasts_destroy (f);
}

static void absurd_numbers_do_no_harm (void **state)
{
    static const int64_t times[] = {INT64_MIN, -1, 0, 1, 1000, INT64_MAX};
    static const double percents[] = {NAN, -1,  0,        1e-300,   50,
                                      100, 1e9, INFINITY, -INFINITY};
    struct forecasts *f = forecasts_create ();
    (void) state;

    for (unsigned i = 0; i < 6; i++) {
        forecasts_learn (f, "p", "l", times[i]);
        for (unsigned p = 0; p < 9; p++)
            forecasts_learn_progress (f, "p", "l", times[i], percents[p],
                                      times[5 - i]);
    }
    for (unsigned i = 0; i < 36; i++) {
        for (unsigned p = 0; p < 9; p++) {
            struct range r =
                left_of (f, times[i / 6], percents[p], times[i % 6]);

            assert_true (0 <= r.low && r.low <= r.mid && r.mid <= r.high);
        }
    }
    forecasts_destroy (f);
}

static void
labels_of_a_stranger_cost_neither_memory_nor_what_others_learnt (void **state)
{
    struct forecasts *f = forecasts_create ();
    struct range r;
    char name[32];
    (void) state;

    for (int i = 0; i < 64; i++)
        forecasts_learn (f, "p", "l", 300000);
    for (int i = 0; i < 100000; i++) {
        snprintf (name, sizeof name, "label-%d", i * 7919 % 100000);
        forecasts_learn (f, "q", name, 1000);
    }
    assert_true (forecasts_count (f) < 1000);
    r = left_of (f, 0, NAN, 0);
    assert_int_equal (r.mid, 300000);
    for (int i = 0; i < 20000; i++) { // as many projects
        snprintf (name, sizeof name, "project-%d", i);
        forecasts_learn (f, name, "l", 1000);
    }
    assert_true (forecasts_count (f) < 5000);
    forecasts_destroy (f);
}

/* ---- memory ---- */

static void memory_is_told_by_quantiles_of_the_newest_peaks (void **state)
{
    struct forecasts *f = forecasts_create ();
    struct peaks p = {1, 2};
    (void) state;

    for (uint64_t i = 1; i <= 4; i++)
        forecasts_learn_memory (f, "alpha", "auth", i);
    forecasts_learn_memory (f, "alpha", "auth", 0); // not known
    assert_false (forecasts_memory (f, "alpha", "auth", &p));
    assert_false (forecasts_memory_of_all (f, &p));
    assert_int_equal (p.high, 2);      // untouched
    for (uint64_t i = 1; i <= 64; i++) // pushes the others out
        forecasts_learn_memory (f, "alpha", "auth", 65000000 - i * 1000000);
    assert_true (forecasts_memory (f, "alpha", "auth", &p));
    assert_int_equal (p.mid, 32500000);
    assert_int_equal (p.high, 58500000);
    assert_true (forecasts_memory_of_all (f, &p));
    assert_int_equal (p.high, 58500000);
    forecasts_destroy (f);
}

static void memory_of_a_label_with_few_peaks_is_that_of_its_project (void **s)
{
    struct forecasts *f = forecasts_create ();
    struct peaks p;
    (void) s;

    for (unsigned i = 0; i < 5; i++)
        forecasts_learn_memory (f, "alpha", "auth", 700);
    forecasts_learn_memory (f, "alpha", "huge", UINT64_MAX);
    assert_true (forecasts_memory (f, "alpha", "auth", &p));
    assert_int_equal (p.high, 700);
    assert_true (forecasts_memory (f, "alpha", "huge", &p));
    assert_int_equal (p.mid, 700);
    assert_true (p.high > 700);
    assert_false (forecasts_memory (f, "beta", "auth", &p));
    forecasts_destroy (f);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (eight_in_ten_end_within_the_range_at_any_time),
        cmocka_unit_test (progress_narrows_the_range_by_what_it_is_worth),
        cmocka_unit_test (
            progress_alone_gives_a_wide_range_around_the_straight_line),
        cmocka_unit_test (progress_weighs_more_the_further_it_is),
        cmocka_unit_test (progress_that_was_said_long_ago_wears_off),
        cmocka_unit_test (without_a_basis_there_is_no_number),
        cmocka_unit_test (few_of_a_label_are_helped_by_the_project),
        cmocka_unit_test (what_is_always_the_same_is_forecast_to_the_second),
        cmocka_unit_test (
            what_has_outlived_all_others_is_never_about_to_end_for_ever),
        cmocka_unit_test (newest_durations_push_out_the_oldest),
        cmocka_unit_test (absurd_numbers_do_no_harm),
        cmocka_unit_test (memory_is_told_by_quantiles_of_the_newest_peaks),
        cmocka_unit_test (
            memory_of_a_label_with_few_peaks_is_that_of_its_project),
        cmocka_unit_test (
            labels_of_a_stranger_cost_neither_memory_nor_what_others_learnt),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
