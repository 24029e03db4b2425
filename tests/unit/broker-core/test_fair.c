/* SPDX-License-Identifier: MPL-2.0 */
/* What fair.h promises by example, against a reference that takes the rule at
 * its word, and F3-F7 of the design on random cases.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "core/fair.h"

enum { CASES = 100000, MOST = 8, MANY = 400 };

/* xorshift64*: the same cases each time. */
static uint64_t chance_state = 1;

static unsigned chance (unsigned below)
{
    chance_state ^= chance_state >> 12;
    chance_state ^= chance_state << 25;
    chance_state ^= chance_state >> 27;
    return (unsigned) ((chance_state * UINT64_C (2685821657736338717)) >> 33) %
           below;
}

struct round {
    struct fair_claim claims[MANY];
    unsigned count, slots;
    enum fair_mode mode;
};

static void decide (struct round *r)
{
    fair_targets (r->claims, r->count, r->slots, r->mode);
}

/* ---- the reference: each slot goes to the best of all claims ---- */

/* What decides about the next slot, the first figure first; the least has it.
 * Two different fractions of such small numbers are different doubles. */
struct rank {
    double figures[4];
};

static struct rank rank_of (const struct fair_claim *c, enum fair_mode mode)
{
    double next = 2.0 * c->target + 1, share = c->weight;

    if (c->target >= c->demand)
        return (struct rank){{INFINITY}};
    if (c->target == 0)
        return (struct rank){{1}};
    if (c->target < c->guarantee)
        return (struct rank){{2, next / c->guarantee}};
    if (c->weight == 0)
        share = 1;
    if (mode == FAIR_PROPORTIONAL)
        share *= c->demand;
    return (struct rank){{3, c->weight == 0, next / share}};
}

static bool is_better (const struct fair_claim *a, const struct fair_claim *b,
                       enum fair_mode mode)
{
    struct rank x = rank_of (a, mode), y = rank_of (b, mode);

    for (unsigned i = 0; i < 4; i++)
        if (x.figures[i] < y.figures[i] || x.figures[i] > y.figures[i])
            return x.figures[i] < y.figures[i];
    return a->order < b->order;
}

static void decide_slowly (struct round *r)
{
    for (unsigned i = 0; i < r->count; i++)
        r->claims[i].target = 0;
    for (unsigned slot = 0; slot < r->slots; slot++) {
        struct fair_claim *best = r->claims;

        for (unsigned i = 1; i < r->count; i++)
            if (is_better (&r->claims[i], best, r->mode))
                best = &r->claims[i];
        if (best->target < best->demand)
            best->target++;
    }
}

/* ---- cases ---- */

/* So many claims in an order of arrival that is not the array's. */
static void draw_orders (struct round *r)
{
    for (unsigned i = 0; i < r->count; i++) {
        unsigned j = chance (i + 1);

        r->claims[i].order = r->claims[j].order;
        r->claims[j].order = 100 + i;
    }
}

/* Small numbers, where ties and shortages are frequent. */
static void draw (struct round *r, enum fair_mode mode, bool guaranteed)
{
    static const unsigned weights[] = {0, 1, 1, 2, 3, 5, 5, 8, 10, 1000};

    r->mode = mode;
    r->count = 1 + chance (MOST);
    r->slots = chance (6 * r->count);
    for (unsigned i = 0; i < r->count; i++)
        r->claims[i] = (struct fair_claim){
            .demand = chance (12),
            .weight = weights[chance (10)],
            .guarantee = guaranteed && chance (2) ? chance (7) : 0,
            .target = 77};
    draw_orders (r);
}

static void draw_any (struct round *r)
{
    draw (r, chance (2) ? FAIR_MAXMIN : FAIR_PROPORTIONAL, chance (2));
}

static unsigned least (unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* ---- examples ---- */

struct example {
    enum fair_mode mode;
    unsigned slots, count;
    unsigned demand[4], weight[4], guarantee[4], expected[4];
};

static void assert_example (const struct example *e)
{
    struct round r = {.count = e->count, .slots = e->slots, .mode = e->mode};

    for (unsigned i = 0; i < e->count; i++)
        r.claims[i] = (struct fair_claim){e->demand[i], e->weight[i],
                                          e->guarantee[i], .order = i + 1};
    decide (&r);
    for (unsigned i = 0; i < e->count; i++)
        assert_int_equal (r.claims[i].target, e->expected[i]);
}

#define assert_examples(table)                                                 \
    for (size_t i = 0; i < sizeof (table) / sizeof *(table); i++)              \
    assert_example (&(table)[i])

#define PROPORTIONAL FAIR_PROPORTIONAL
#define MAXMIN FAIR_MAXMIN

static void slots_go_by_demand_and_weight (void **state)
{
    static const struct example examples[] = {
        {PROPORTIONAL, 20, 3, {10, 8, 6}, {5, 5, 5}, {0}, {8, 7, 5}},
        {PROPORTIONAL, 20, 3, {10, 8, 6}, {10, 8, 5}, {0}, {10, 7, 3}},
        {MAXMIN, 20, 3, {10, 8, 6}, {5, 5, 5}, {0}, {7, 7, 6}},
        {MAXMIN, 20, 3, {10, 8, 6}, {10, 8, 5}, {0}, {9, 7, 4}},
        {MAXMIN, 24, 3, {10, 8, 6}, {10, 8, 5}, {0}, {10, 8, 6}},
        {MAXMIN, 50, 3, {10, 8, 6}, {0, 1, 1000}, {0}, {10, 8, 6}},
        // one that wants little gets it, the rest is for the others
        {MAXMIN, 12, 4, {1, 0, 9, 9}, {1, 9, 1, 1}, {0}, {1, 0, 6, 5}},
        {PROPORTIONAL, 0, 2, {5, 5}, {1, 1}, {0}, {0, 0}},
        {PROPORTIONAL, 9, 1, {4}, {1}, {0}, {4}},
    };
    (void) state;

    assert_examples (examples);
    fair_targets (NULL, 0, 20, FAIR_MAXMIN);
}

/* By largest remainder 6/6/2 are 4/4/2 of 10 and 5/5/1 of 11. Here all three
 * are level for the tenth slot, and whoever asked first has it. */
static void a_slot_more_is_a_slot_more_for_one (void **state)
{
    static const struct example examples[] = {
        {PROPORTIONAL, 9, 3, {2, 6, 6}, {5, 5, 5}, {0}, {1, 4, 4}},
        {PROPORTIONAL, 10, 3, {2, 6, 6}, {5, 5, 5}, {0}, {2, 4, 4}},
        {PROPORTIONAL, 11, 3, {2, 6, 6}, {5, 5, 5}, {0}, {2, 5, 4}},
        {PROPORTIONAL, 12, 3, {2, 6, 6}, {5, 5, 5}, {0}, {2, 5, 5}},
        {PROPORTIONAL, 10, 3, {6, 6, 2}, {5, 5, 5}, {0}, {5, 4, 1}},
        {PROPORTIONAL, 11, 3, {6, 6, 2}, {5, 5, 5}, {0}, {5, 5, 1}},
        {PROPORTIONAL, 12, 3, {6, 6, 2}, {5, 5, 5}, {0}, {5, 5, 2}},
    };
    (void) state;

    assert_examples (examples);
}

static void everybody_has_one_before_anybody_has_two (void **state)
{
    static const struct example examples[] = {
        {MAXMIN, 2, 3, {9, 9, 9}, {1, 1, 1000}, {0}, {1, 1, 0}},
        {MAXMIN, 3, 3, {9, 9, 9}, {0, 1, 1000}, {0, 0, 9}, {1, 1, 1}},
        {MAXMIN, 4, 3, {9, 9, 9}, {0, 1, 1000}, {0}, {1, 1, 2}},
        {PROPORTIONAL, 3, 4, {1, 0, 9999, 9}, {0, 1, 1, 1}, {0}, {1, 0, 1, 1}},
    };
    (void) state;

    assert_examples (examples);
}

static void guarantee_comes_before_any_share (void **state)
{
    static const struct example examples[] = {
        // 6 are promised: the other has what is left, then shares
        {MAXMIN, 8, 2, {9, 9}, {1, 1000}, {6, 0}, {6, 2}},
        {MAXMIN, 16, 2, {9, 9}, {1, 1000}, {6, 0}, {7, 9}},
        {PROPORTIONAL, 8, 2, {9, 9}, {0, 5}, {6, 0}, {6, 2}},
        // promised is not wanted
        {MAXMIN, 8, 2, {2, 9}, {1, 1}, {6, 0}, {2, 6}},
        {MAXMIN, 8, 2, {0, 9}, {1, 1}, {6, 0}, {0, 8}},
        // more is promised than a pool that shrank has: in proportion, one each
        {MAXMIN, 12, 3, {20, 20, 20}, {1, 1, 9}, {12, 6, 6}, {6, 3, 3}},
        {MAXMIN, 12, 3, {20, 20, 20}, {1, 1, 9}, {12, 12, 0}, {6, 5, 1}},
        {MAXMIN, 3, 3, {20, 20, 20}, {1, 1, 9}, {12, 6, 6}, {1, 1, 1}},
        {PROPORTIONAL, 9, 2, {20, 20}, {1, 9}, {12, 6}, {6, 3}},
    };
    (void) state;

    assert_examples (examples);
}

static void weight_0_comes_last_and_is_shared_by_the_same_rule (void **state)
{
    static const struct example examples[] = {
        {MAXMIN, 10, 3, {9, 9, 9}, {0, 0, 1}, {0}, {1, 1, 8}},
        {MAXMIN, 15, 3, {9, 9, 9}, {0, 0, 1}, {0}, {3, 3, 9}},
        {MAXMIN, 9, 3, {9, 9, 9}, {0, 0, 0}, {0}, {3, 3, 3}},
        {PROPORTIONAL, 20, 3, {10, 8, 6}, {0, 0, 0}, {0}, {8, 7, 5}},
        {PROPORTIONAL, 15, 2, {9, 9}, {0, 1}, {0}, {6, 9}},
    };
    (void) state;

    assert_examples (examples);
}

/* ---- against the reference ---- */

static void assert_same_as_reference (struct round *r)
{
    struct round slow = *r;

    decide (r);
    decide_slowly (&slow);
    for (unsigned i = 0; i < r->count; i++)
        assert_int_equal (r->claims[i].target, slow.claims[i].target);
}

static void targets_are_those_of_the_rule (void **state)
{
    struct round r = {0};
    (void) state;

    for (unsigned n = 0; n < CASES / 4; n++) {
        draw_any (&r);
        assert_same_as_reference (&r);
    }
}

static void targets_are_those_of_the_rule_among_hundreds (void **state)
{
    struct round r = {0};
    (void) state;

    for (unsigned n = 0; n < 8; n++) {
        r.mode = n % 2 ? FAIR_MAXMIN : FAIR_PROPORTIONAL;
        r.count = 100 + chance (MANY - 99);
        r.slots = chance (2000);
        for (unsigned i = 0; i < r.count; i++)
            r.claims[i] =
                (struct fair_claim){.demand = chance (30),
                                    .weight = chance (1001),
                                    .guarantee = chance (4) ? 0 : chance (12)};
        draw_orders (&r);
        assert_same_as_reference (&r);
    }
}

static void largest_numbers_do_not_overflow (void **state)
{
    struct round r = {.count = 4, .slots = 10000};
    (void) state;

    for (unsigned n = 0; n < 8; n++) {
        r.mode = n % 2 ? FAIR_MAXMIN : FAIR_PROPORTIONAL;
        for (unsigned i = 0; i < r.count; i++)
            r.claims[i] =
                (struct fair_claim){.demand = n < 4 ? 10000 : UINT32_MAX - i,
                                    .weight = n % 4 < 2 || i % 2 ? 1000 : 1,
                                    .guarantee = i == 3 ? 9000 : 0,
                                    .order = UINT64_MAX - i};
        assert_same_as_reference (&r);
    }
}

/* ---- properties ---- */

static void assert_counts (const struct round *r)
{
    unsigned sum = 0, demand = 0, wanting = 0;

    for (unsigned i = 0; i < r->count; i++) {
        sum += r->claims[i].target;
        demand += r->claims[i].demand;
        wanting += r->claims[i].demand > 0;
        assert_true (r->claims[i].target <= r->claims[i].demand);
    }
    assert_int_equal (sum, least (r->slots, demand));
    for (unsigned i = 0; r->slots >= wanting && i < r->count; i++)
        assert_true (r->claims[i].target || !r->claims[i].demand);
}

static void assert_nobody_lost (const struct round *before,
                                const struct round *after)
{
    for (unsigned i = 0; i < before->count; i++)
        assert_true (after->claims[i].target >= before->claims[i].target);
}

/* F3. */
static void a_larger_pool_takes_nothing_from_anybody (void **state)
{
    struct round r = {0}, larger = {0};
    (void) state;

    for (unsigned n = 0; n < CASES; n++) {
        draw_any (&r);
        larger = r;
        larger.slots += 1 + chance (3);
        decide (&r);
        decide (&larger);
        assert_counts (&r);
        assert_nobody_lost (&r, &larger);
    }
}

/* F4. */
static void a_project_that_leaves_takes_nothing_from_anybody (void **state)
{
    struct round r = {0}, without = {0};
    (void) state;

    for (unsigned n = 0; n < CASES; n++) {
        draw_any (&r);
        without = r;
        without.claims[chance (r.count)] = r.claims[r.count - 1];
        without.count--;
        decide (&r);
        decide (&without);
        assert_counts (&without);
        for (unsigned i = 0; i < without.count; i++)
            for (unsigned j = 0; j < r.count; j++)
                if (r.claims[j].order == without.claims[i].order)
                    assert_true (without.claims[i].target >=
                                 r.claims[j].target);
    }
}

static void place_in_the_array_decides_nothing (void **state)
{
    struct round r = {0}, turned = {0};
    (void) state;

    for (unsigned n = 0; n < CASES / 10; n++) {
        draw_any (&r);
        turned = r;
        for (unsigned i = 0; i < r.count; i++)
            turned.claims[i] = r.claims[r.count - 1 - i];
        decide (&r);
        decide (&turned);
        for (unsigned i = 0; i < r.count; i++)
            assert_int_equal (turned.claims[i].target,
                              r.claims[r.count - 1 - i].target);
    }
}

/* F5. */
static void in_maxmin_nobody_gains_by_misreporting_its_demand (void **state)
{
    struct round r = {0}, lied = {0};
    (void) state;

    for (unsigned n = 0; n < CASES; n++) {
        unsigned liar;

        draw (&r, FAIR_MAXMIN, n % 2);
        liar = chance (r.count);
        lied = r;
        lied.claims[liar].demand = chance (chance (2) ? 14 : 1000);
        decide (&r);
        decide (&lied);
        assert_true (least (lied.claims[liar].target, r.claims[liar].demand) <=
                     r.claims[liar].target);
    }
}

/* F6. */
static void in_maxmin_equals_have_their_equal_part (void **state)
{
    struct round r = {0};
    (void) state;

    for (unsigned n = 0; n < CASES; n++) {
        draw (&r, FAIR_MAXMIN, false);
        for (unsigned i = 1; i < r.count; i++)
            r.claims[i].weight = r.claims[0].weight;
        decide (&r);
        for (unsigned i = 0; i < r.count; i++)
            assert_true (r.claims[i].target >=
                         least (r.claims[i].demand, r.slots / r.count));
    }
}

/* Would `a`, who wants more, still rather have what `b` has, in proportion to
 * their weights, were one slot taken from `b`, or one given to `a`? */
static bool envies (const struct fair_claim *a, const struct fair_claim *b)
{
    uint64_t mine = a->weight, theirs = b->weight;

    if (a->target >= a->demand || b->target == 0)
        return false;
    if (!mine && !theirs)
        mine = theirs = 1;
    return (b->target - 1) * mine > a->target * theirs &&
           b->target * mine > (a->target + 1) * theirs;
}

/* F7. Nobody is envied for the one slot that everybody has. */
static void in_maxmin_nobody_envies_anybody_by_more_than_a_slot (void **state)
{
    struct round r = {0};
    (void) state;

    for (unsigned n = 0; n < CASES; n++) {
        draw (&r, FAIR_MAXMIN, false);
        decide (&r);
        for (unsigned i = 0; i < r.count; i++)
            for (unsigned j = 0; j < r.count; j++)
                assert_false (envies (&r.claims[i], &r.claims[j]));
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (slots_go_by_demand_and_weight),
        cmocka_unit_test (a_slot_more_is_a_slot_more_for_one),
        cmocka_unit_test (everybody_has_one_before_anybody_has_two),
        cmocka_unit_test (guarantee_comes_before_any_share),
        cmocka_unit_test (weight_0_comes_last_and_is_shared_by_the_same_rule),
        cmocka_unit_test (targets_are_those_of_the_rule),
        cmocka_unit_test (targets_are_those_of_the_rule_among_hundreds),
        cmocka_unit_test (largest_numbers_do_not_overflow),
        cmocka_unit_test (a_larger_pool_takes_nothing_from_anybody),
        cmocka_unit_test (a_project_that_leaves_takes_nothing_from_anybody),
        cmocka_unit_test (place_in_the_array_decides_nothing),
        cmocka_unit_test (in_maxmin_nobody_gains_by_misreporting_its_demand),
        cmocka_unit_test (in_maxmin_equals_have_their_equal_part),
        cmocka_unit_test (in_maxmin_nobody_envies_anybody_by_more_than_a_slot),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
