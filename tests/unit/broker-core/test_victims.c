/* SPDX-License-Identifier: MPL-2.0 */
/* The order of victims by example, and against a reference that takes the rule
 * at its word on random sets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include "core/victims.h"

enum { CASES = 100000, MOST = 9 };

static const uint64_t GIB = UINT64_C (1) << 30;

/* Of a host with 100 GiB, of which `missing` are missing. */
static struct shortage memory (uint64_t missing)
{
    return (struct shortage){true, missing * GIB, 100 * GIB};
}

static const struct shortage load = {false, 0, 100 * (UINT64_C (1) << 30)};

static struct victim tree (uint64_t token, unsigned priority, int64_t started,
                           uint64_t gib)
{
    return (struct victim){.token = token,
                           .priority = priority,
                           .started = started,
                           .memory_bytes = gib * GIB};
}

/* "3,1,2": in order; who is spared is not in it. */
static void assert_order (const struct victim *victims, size_t count,
                          const struct shortage *s,
                          const uint64_t *tokens /* ends with 0 */)
{
    struct victim v[MOST];
    size_t ranked = 0;

    memcpy (v, victims, count * sizeof *v);
    victims_rank (v, count, s);
    for (; tokens[ranked]; ranked++) {
        assert_true (ranked < count);
        assert_int_equal (v[ranked].token, tokens[ranked]);
        assert_int_equal (v[ranked].rank, ranked + 1);
    }
    for (; ranked < count; ranked++)
        assert_int_equal (v[ranked].rank, 0);
}

#define ORDER(v, s, ...)                                                       \
    assert_order (v, sizeof (v) / sizeof *(v), s,                              \
                  (const uint64_t[]){__VA_ARGS__, 0})

static void runaways_come_first_by_their_overshoot (void **state)
{
    struct victim v[] = {tree (1, 9, 1, 9), tree (2, 1, 2, 1),
                         tree (3, 9, 3, 1), tree (4, 5, 4, 1)};
    (void) state;

    v[0].excess = EXCESS_MEMORY;
    v[0].limit = 2 * GIB;
    v[0].figure = 3 * GIB; // by 50 %
    v[2].excess = EXCESS_TIME;
    v[2].limit = 1000;
    v[2].figure = 1600; // by 60 %
    ORDER (v, &load, 3, 1, 2);
}

static void lower_priority_goes_before_all_that_follows (void **state)
{
    struct victim v[] = {tree (1, 2, 1, 1), tree (2, 3, 9, 9),
                         tree (3, 9, 1, 1)};
    (void) state;

    v[1].over = v[1].preemptible = true;
    ORDER (v, &load, 1, 2);
}

static void over_its_target_goes_before_preemptible_before_newest (void **state)
{
    struct victim v[] = {tree (1, 3, 9, 9), tree (2, 3, 8, 1),
                         tree (3, 3, 7, 1), tree (4, 9, 1, 1)};
    (void) state;

    v[1].preemptible = true;
    v[2].over = true;
    ORDER (v, &load, 3, 2, 1);
}

static void equal_starts_go_by_size_and_then_by_token (void **state)
{
    struct victim v[] = {tree (1, 3, 5, 1), tree (2, 3, 5, 4),
                         tree (3, 3, 5, 1), tree (4, 9, 1, 1)};
    (void) state;

    ORDER (v, &load, 2, 3, 1);
}

static void for_memory_who_gives_back_too_little_comes_after (void **state)
{
    struct victim v[] = {tree (1, 1, 9, 0), tree (2, 5, 1, 1),
                         tree (3, 9, 1, 1)};
    const struct shortage ten = memory (10);
    (void) state;

    ORDER (v, &load, 1, 2);
    ORDER (v, &ten, 2, 1); // 1 GiB is a tenth of what is missing
}

static void where_all_are_small_the_largest_goes_first (void **state)
{
    struct victim v[] = {tree (1, 1, 9, 1), tree (2, 5, 1, 2),
                         tree (3, 9, 1, 1)};
    const struct shortage s = memory (30);
    (void) state;

    ORDER (v, &s, 2, 1);
}

static void last_of_the_highest_priority_is_spared (void **state)
{
    struct victim one[] = {tree (1, 9, 1, 50)};
    struct victim v[] = {tree (1, 9, 1, 1), tree (2, 9, 2, 1),
                         tree (3, 4, 3, 1)};
    (void) state;

    assert_order (one, 1, &load, (const uint64_t[]){0});
    ORDER (v, &load, 3, 2);
}

static void not_if_it_has_over_half_of_the_memory_or_runs_away (void **state)
{
    struct victim large[] = {tree (1, 9, 1, 51)}, wild[] = {tree (1, 9, 1, 1)};
    (void) state;

    ORDER (large, &load, 1);
    wild[0].excess = EXCESS_TIME;
    wild[0].limit = 10;
    wild[0].figure = 11;
    ORDER (wild, &load, 1);
}

/* Once a runaway of the highest priority is gone, the next one is the
 * highest. */
static void there_is_always_one_that_is_spared_but_for_runaways (void **state)
{
    struct victim v[] = {tree (1, 9, 1, 1), tree (2, 5, 2, 1),
                         tree (3, 5, 3, 1)};
    (void) state;

    v[0].excess = EXCESS_TIME;
    v[0].limit = 10;
    v[0].figure = 11;
    ORDER (v, &load, 1, 3);
}

static void each_place_says_what_decided_it (void **state)
{
    struct victim v[] = {tree (1, 3, 9, 2), tree (2, 3, 8, 2),
                         tree (3, 7, 1, 3), tree (4, 9, 1, 1)};
    const struct shortage s = memory (5);
    (void) state;

    v[2].excess = EXCESS_MEMORY;
    v[2].limit = 2 * GIB;
    v[2].figure = 2 * GIB + 4 * GIB / 5;
    victims_rank (v, 4, &s);
    assert_string_equal (v[0].why, "over its memory_limit 2.0 GiB by 40 %");
    assert_string_equal (v[1].why, "priority 3, newest");
    assert_string_equal (v[2].why, "priority 3");
    assert_string_equal (v[3].why, "the last of the highest priority");
}

static void small_limit_is_said_in_what_it_was_given_in (void **state)
{
    struct victim v[] = {tree (1, 3, 9, 2)};
    (void) state;

    v[0].excess = EXCESS_MEMORY;
    v[0].limit = 512 << 20;
    v[0].figure = GIB;
    victims_rank (v, 1, &load);
    assert_string_equal (v[0].why, "over its memory_limit 512.0 MiB by 100 %");
}

static void largest_numbers_do_not_overflow (void **state)
{
    struct victim v[] = {tree (UINT64_MAX, 4000000000u, INT64_MAX, 1),
                         tree (1, 4000000000u, INT64_MIN, 1)};
    (void) state;

    v[0].memory_bytes = v[1].memory_bytes = UINT64_MAX;
    v[0].excess = v[1].excess = EXCESS_MEMORY;
    v[0].limit = v[1].limit = 1;
    v[0].figure = v[1].figure = UINT64_MAX;
    ORDER (v, &load, UINT64_MAX, 1);
    victims_rank (NULL, 0, &load);
}

/* ---- the reference: the worst of who is left, again and again ---- */

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

static void draw (struct victim *v, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        v[i] = tree (i + 1, chance (3), chance (3), chance (3));
        v[i].memory_bytes = v[i].memory_bytes * chance (60) / 2;
        v[i].over = chance (2);
        v[i].preemptible = chance (2);
        if (chance (5) == 0) {
            v[i].excess = EXCESS_TIME;
            v[i].limit = 10;
            v[i].figure = 11 + chance (3);
        }
    }
    for (size_t i = count; i-- > 1;) { // their order says nothing
        size_t j = chance ((unsigned) i + 1);
        struct victim w = v[i];

        v[i] = v[j];
        v[j] = w;
    }
}

static bool is_small (const struct victim *v, const struct shortage *s)
{
    return s->memory && v->memory_bytes < s->missing_bytes / 10;
}

static bool goes_before (const struct victim *a, const struct victim *b,
                         const struct shortage *s)
{
    uint64_t over_a = a->excess ? a->figure - a->limit : 0;
    uint64_t over_b = b->excess ? b->figure - b->limit : 0;

    if (over_a != over_b)
        return over_a > over_b;
    if (is_small (a, s) != is_small (b, s))
        return is_small (b, s);
    if (is_small (a, s) && a->memory_bytes != b->memory_bytes)
        return a->memory_bytes > b->memory_bytes;
    if (a->priority != b->priority)
        return a->priority < b->priority;
    if (a->over != b->over)
        return a->over;
    if (a->preemptible != b->preemptible)
        return a->preemptible;
    if (a->started != b->started)
        return a->started > b->started;
    if (a->memory_bytes != b->memory_bytes)
        return a->memory_bytes > b->memory_bytes;
    return a->token > b->token;
}

static bool is_protected (const struct victim *left, size_t count, size_t i,
                          const struct shortage *s)
{
    if (left[i].excess || left[i].memory_bytes > s->memory_bytes / 2)
        return false;
    for (size_t j = 0; j < count; j++) {
        if (j != i && left[j].priority >= left[i].priority)
            return false;
    }
    return true;
}

/* Ends who may be ended, one by one; returns how many. */
static size_t reference (struct victim *left, size_t count,
                         const struct shortage *s, uint64_t *ret_tokens)
{
    size_t ended = 0;

    for (;;) {
        size_t worst = count;

        for (size_t i = 0; i < count; i++) {
            if (!is_protected (left, count, i, s) &&
                (worst == count || goes_before (&left[i], &left[worst], s)))
                worst = i;
        }
        if (worst == count)
            return ended;
        ret_tokens[ended++] = left[worst].token;
        left[worst] = left[--count];
    }
}

static void order_is_that_of_the_rule (void **state)
{
    struct victim v[MOST], left[MOST];
    uint64_t tokens[MOST + 1];
    (void) state;

    for (unsigned n = 0; n < CASES; n++) {
        size_t count = chance (MOST + 1), ended;
        struct shortage s = memory (chance (40));

        s.memory = chance (2);
        draw (v, count);
        memcpy (left, v, sizeof left);
        ended = reference (left, count, &s, tokens);
        tokens[ended] = 0;
        assert_order (v, count, &s, tokens);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (runaways_come_first_by_their_overshoot),
        cmocka_unit_test (lower_priority_goes_before_all_that_follows),
        cmocka_unit_test (
            over_its_target_goes_before_preemptible_before_newest),
        cmocka_unit_test (equal_starts_go_by_size_and_then_by_token),
        cmocka_unit_test (for_memory_who_gives_back_too_little_comes_after),
        cmocka_unit_test (where_all_are_small_the_largest_goes_first),
        cmocka_unit_test (last_of_the_highest_priority_is_spared),
        cmocka_unit_test (not_if_it_has_over_half_of_the_memory_or_runs_away),
        cmocka_unit_test (there_is_always_one_that_is_spared_but_for_runaways),
        cmocka_unit_test (each_place_says_what_decided_it),
        cmocka_unit_test (small_limit_is_said_in_what_it_was_given_in),
        cmocka_unit_test (largest_numbers_do_not_overflow),
        cmocka_unit_test (order_is_that_of_the_rule),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
