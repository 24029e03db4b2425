/* SPDX-License-Identifier: MPL-2.0 */
/* The tree against an array that is kept sorted and counted through. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/ranks.h"

enum { STEPS = 100000, MOST = 300, MANY = 10000, DEEPEST = 30 };

/* xorshift64*: the same steps each time. */
static uint64_t chance_state = 1;

static uint64_t chance (uint64_t below)
{
    chance_state ^= chance_state >> 12;
    chance_state ^= chance_state << 25;
    chance_state ^= chance_state >> 27;
    return ((chance_state * UINT64_C (2685821657736338717)) >> 33) % below;
}

struct total {
    uint64_t count, sum;
};

static void assert_total (struct total got, uint64_t count, uint64_t sum)
{
    assert_int_equal (got.count, count);
    assert_int_equal (got.sum, sum);
}

static struct total below (const struct ranks *t, int64_t key, uint64_t number)
{
    struct total got = {77, 77};

    ranks_below (t, key, number, &got.count, &got.sum);
    return got;
}

static struct total below_sum (const struct ranks *t, int64_t offset,
                               int64_t key, uint64_t number)
{
    struct total got = {77, 77};

    ranks_below_sum (t, offset, key, number, &got.count, &got.sum);
    return got;
}

/* ---- the shape that the header promises ---- */

/* Returns how deep it is. */
static unsigned assert_subtree (const struct rank_node *n,
                                const struct rank_node *parent)
{
    uint64_t left, right, sum;
    unsigned depths[2];

    if (!n)
        return 0;
    assert_ptr_equal (n->parent, parent);
    depths[0] = assert_subtree (n->left, n);
    depths[1] = assert_subtree (n->right, n);
    left = n->left ? n->left->count : 0;
    right = n->right ? n->right->count : 0;
    sum = (n->left ? n->left->sum : 0) + (n->right ? n->right->sum : 0);
    assert_int_equal (n->count, left + right + 1);
    assert_int_equal (n->sum, sum + n->weight);
    assert_true (left + 1 <= 3 * (right + 1));
    assert_true (right + 1 <= 3 * (left + 1));
    return 1 + (depths[0] > depths[1] ? depths[0] : depths[1]);
}

static bool is_less (int64_t key, uint64_t number, int64_t other_key,
                     uint64_t other_number)
{
    return key < other_key || (key == other_key && number < other_number);
}

/* Everything about the tree; returns how deep it is. */
static unsigned assert_tree (const struct ranks *t)
{
    unsigned depth = assert_subtree (t->root, NULL);
    const struct rank_node *last = NULL;
    struct total seen = {0, 0};

    for (struct rank_node *n = ranks_first (t); n; n = ranks_next (n)) {
        struct total got;

        assert_true (!last ||
                     is_less (last->key, last->number, n->key, n->number));
        ranks_before (t, n, &got.count, &got.sum);
        assert_total (got, seen.count, seen.sum);
        seen.count++;
        seen.sum += n->weight;
        last = n;
    }
    assert_total (seen, ranks_count (t), ranks_sum (t));
    return depth;
}

/* ---- the reference ---- */

struct sorted {
    struct rank_node *at[MOST];
    unsigned count;
};

static void put (struct sorted *s, struct rank_node *n)
{
    unsigned i = s->count++;

    for (; i &&
           is_less (n->key, n->number, s->at[i - 1]->key, s->at[i - 1]->number);
         i--)
        s->at[i] = s->at[i - 1];
    s->at[i] = n;
}

static struct rank_node *take (struct sorted *s, unsigned i)
{
    struct rank_node *n = s->at[i];

    s->count--;
    memmove (s->at + i, s->at + i + 1, (s->count - i) * sizeof *s->at);
    return n;
}

static struct total counted_below (const struct sorted *s, int64_t key,
                                   uint64_t number)
{
    struct total t = {0, 0};

    for (unsigned i = 0; i < s->count; i++)
        if (is_less (s->at[i]->key, s->at[i]->number, key, number)) {
            t.count++;
            t.sum += s->at[i]->weight;
        }
    return t;
}

static struct total counted_below_sum (const struct sorted *s, int64_t offset,
                                       int64_t key, uint64_t number)
{
    struct total t = {0, 0};
    int64_t at = offset;

    for (unsigned i = 0; i < s->count; i++) {
        if (is_less (at, s->at[i]->number, key, number)) {
            t.count++;
            t.sum += s->at[i]->weight;
        }
        at += (int64_t) s->at[i]->weight;
    }
    return t;
}

/* ---- random steps ---- */

struct story {
    struct ranks tree;
    struct sorted sorted;
    struct rank_node nodes[MOST], *spare[MOST];
    unsigned spare_count;
    uint64_t number;
    int64_t keys; // how many different ones
};

static void begin (struct story *s, int64_t keys)
{
    memset (s, 0, sizeof *s);
    s->keys = keys;
    for (unsigned i = 0; i < MOST; i++)
        s->spare[s->spare_count++] = &s->nodes[i];
}

static int64_t some_key (const struct story *s)
{
    return (int64_t) chance ((uint64_t) s->keys) - s->keys / 2;
}

static void insert_one (struct story *s)
{
    struct rank_node *n = s->spare[--s->spare_count];

    n->key = some_key (s);
    n->number = ++s->number;
    n->weight = 1 + chance (8);
    ranks_insert (&s->tree, n);
    put (&s->sorted, n);
}

static void remove_one (struct story *s)
{
    struct rank_node *n =
        take (&s->sorted, (unsigned) chance (s->sorted.count));

    ranks_remove (&s->tree, n);
    assert_int_equal (n->count, 0);
    s->spare[s->spare_count++] = n;
}

static void assert_same (const struct story *s)
{
    const struct rank_node *n = ranks_first (&s->tree);

    assert_true (assert_tree (&s->tree) <= DEEPEST);
    for (unsigned i = 0; i < s->sorted.count; i++, n = ranks_next (n))
        assert_ptr_equal (n, s->sorted.at[i]);
    assert_null (n);
}

static void ask_one (const struct story *s)
{
    int64_t key = some_key (s);
    uint64_t number = chance (s->number + 2);
    struct total expected = counted_below (&s->sorted, key, number);

    assert_total (below (&s->tree, key, number), expected.count, expected.sum);
}

/* A key that is at, or close to, one that a node counts with. */
static void ask_one_of_lane (const struct story *s)
{
    int64_t offset = (int64_t) chance (2000) - 1000;
    int64_t key = offset + (int64_t) chance (1500) - 50;
    uint64_t number = chance (s->number + 2);
    struct total expected = counted_below_sum (&s->sorted, offset, key, number);

    assert_total (below_sum (&s->tree, offset, key, number), expected.count,
                  expected.sum);
}

/* It grows for a while and shrinks for a while. */
static void live (struct story *s, unsigned steps)
{
    for (unsigned step = 0; step < steps; step++) {
        bool grows = chance (10) < (step / 1000 % 2 ? 3 : 7);

        if (s->sorted.count == 0 || (grows && s->spare_count))
            insert_one (s);
        else
            remove_one (s);
        ask_one (s);
        ask_one_of_lane (s);
        if (step % 100 == 0)
            assert_same (s);
    }
    assert_same (s);
}

static void tree_says_what_a_sorted_array_says (void **state)
{
    static const int64_t keys[] = {1, 3, 50, 1000000000};
    static struct story s;
    (void) state;

    for (unsigned i = 0; i < 4; i++) {
        begin (&s, keys[i]);
        live (&s, STEPS / 4);
    }
}

static void last_place_of_lane_is_found_by_number (void **state)
{
    struct ranks t = {0};
    struct rank_node nodes[3] = {{.key = 1, .number = 30, .weight = 2},
                                 {.key = 2, .number = 10, .weight = 5},
                                 {.key = 3, .number = 20, .weight = 1}};
    (void) state;

    assert_total (below_sum (&t, 0, 100, 1), 0, 0);
    for (unsigned i = 0; i < 3; i++)
        ranks_insert (&t, &nodes[i]); // they count with 100, 102, 107
    assert_total (below_sum (&t, 100, 99, 99), 0, 0);
    assert_total (below_sum (&t, 100, 100, 30), 0, 0);
    assert_total (below_sum (&t, 100, 100, 31), 1, 2);
    assert_total (below_sum (&t, 100, 102, 10), 1, 2);
    assert_total (below_sum (&t, 100, 102, 11), 2, 7);
    assert_total (below_sum (&t, 100, 107, 20), 2, 7);
    assert_total (below_sum (&t, 100, 107, 21), 3, 8);
    assert_total (below_sum (&t, 100, 108, 0), 3, 8);
}

static void extreme_keys_do_not_overflow (void **state)
{
    struct ranks t = {0};
    struct rank_node nodes[3] = {
        {.key = INT64_MAX, .number = UINT64_MAX, .weight = 3},
        {.key = INT64_MIN, .number = 0, .weight = 4},
        {.key = INT64_MIN, .number = 1, .weight = INT64_MAX}};
    (void) state;

    for (unsigned i = 0; i < 3; i++)
        ranks_insert (&t, &nodes[i]);
    assert_ptr_equal (ranks_first (&t), &nodes[1]);
    assert_total (below (&t, INT64_MIN, 0), 0, 0);
    assert_total (below (&t, INT64_MIN, 1), 1, 4);
    assert_total (below (&t, 0, 0), 2, (uint64_t) INT64_MAX + 4);
    assert_total (below (&t, INT64_MAX, UINT64_MAX), 2,
                  (uint64_t) INT64_MAX + 4);
    assert_total (below_sum (&t, INT64_MIN, INT64_MAX, 9), 3,
                  (uint64_t) INT64_MAX + 7);
    assert_total (below_sum (&t, INT64_MAX, INT64_MIN, 9), 0, 0);
    assert_total (below_sum (&t, INT64_MAX, INT64_MAX, 9), 1, 4);
    assert_total (below_sum (&t, INT64_MAX - 4, INT64_MAX, 9), 2,
                  (uint64_t) INT64_MAX + 4);
}

/* ---- many, in orders that bring bad trees down ---- */

static int64_t ascending (unsigned i)
{
    return i;
}

static int64_t descending (unsigned i)
{
    return -(int64_t) i;
}

static int64_t equal (unsigned i)
{
    (void) i;
    return 5;
}

/* From both ends inwards. */
static int64_t closing (unsigned i)
{
    return i % 2 ? MANY - (int64_t) i : i;
}

/* The bits reversed: always into the middle of the largest gap. */
static int64_t splitting (unsigned i)
{
    int64_t key = 0;

    for (unsigned bit = 0; bit < 14; bit++)
        key = key << 1 | (i >> bit & 1);
    return key;
}

static int64_t (*const sequences[]) (unsigned) = {ascending, descending, equal,
                                                  closing, splitting};
enum { SEQUENCES = sizeof sequences / sizeof *sequences };

static struct rank_node many[MANY];

static void fill (struct ranks *t, int64_t (*key) (unsigned))
{
    *t = (struct ranks){0};
    for (unsigned i = 0; i < MANY; i++) {
        many[i] = (struct rank_node){
            .key = key (i), .number = i + 1, .weight = 1 + i % 3};
        ranks_insert (t, &many[i]);
    }
}

static void no_sequence_makes_a_deep_tree (void **state)
{
    struct ranks t;
    (void) state;

    for (unsigned s = 0; s < SEQUENCES; s++) {
        fill (&t, sequences[s]);
        assert_int_equal (ranks_count (&t), MANY);
        assert_true (assert_tree (&t) <= DEEPEST);
    }
}

static void no_sequence_of_removals_makes_a_deep_tree (void **state)
{
    struct ranks t;
    (void) state;

    for (unsigned s = 0; s < SEQUENCES; s++) {
        fill (&t, sequences[s]);
        for (unsigned i = 0; i < MANY; i++) { // in the order they came
            ranks_remove (&t, &many[i]);
            if (i % 500 == 0)
                assert_true (assert_tree (&t) <= DEEPEST);
        }
        assert_null (t.root);
        assert_null (ranks_first (&t));
        fill (&t, sequences[s]);
        for (struct rank_node *n; (n = ranks_first (&t));) { // as served
            ranks_remove (&t, n);
            if (ranks_count (&t) % 500 == 0)
                assert_true (assert_tree (&t) <= DEEPEST);
        }
    }
}

/* A queue: at the end they come, from the front they go. */
static void queue_that_moves_on_stays_balanced (void **state)
{
    struct ranks t;
    (void) state;

    fill (&t, ascending);
    for (unsigned i = 0; i < 5 * MANY; i++) {
        struct rank_node *n = ranks_first (&t);

        ranks_remove (&t, n);
        n->key = MANY + i;
        ranks_insert (&t, n);
        if (i % 2500 == 0)
            assert_true (assert_tree (&t) <= DEEPEST);
    }
}

static void copies_make_a_tree_of_their_own (void **state)
{
    static struct rank_node copies[MANY];
    struct ranks t, copy = {0};
    (void) state;

    fill (&t, splitting);
    memcpy (copies, many, sizeof copies);
    for (unsigned i = 0; i < MANY; i++)
        ranks_insert (&copy, &copies[i]);
    for (unsigned i = 0; i < MANY; i += 2)
        ranks_remove (&copy, &copies[i]);
    assert_tree (&copy);
    assert_tree (&t);
    assert_int_equal (ranks_count (&copy), MANY / 2);
    assert_int_equal (ranks_count (&t), MANY);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (tree_says_what_a_sorted_array_says),
        cmocka_unit_test (last_place_of_lane_is_found_by_number),
        cmocka_unit_test (extreme_keys_do_not_overflow),
        cmocka_unit_test (no_sequence_makes_a_deep_tree),
        cmocka_unit_test (no_sequence_of_removals_makes_a_deep_tree),
        cmocka_unit_test (queue_that_moves_on_stays_balanced),
        cmocka_unit_test (copies_make_a_tree_of_their_own),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
