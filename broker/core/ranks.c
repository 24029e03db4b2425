/* SPDX-License-Identifier: MPL-2.0 */
#include "core/ranks.h"

#include <stdbool.h>
#include <stddef.h>

static uint64_t count_of (const struct rank_node *n)
{
    return n ? n->count : 0;
}

static uint64_t sum_of (const struct rank_node *n)
{
    return n ? n->sum : 0;
}

static void measure (struct rank_node *n)
{
    n->count = 1 + count_of (n->left) + count_of (n->right);
    n->sum = n->weight + sum_of (n->left) + sum_of (n->right);
}

static bool is_before (const struct rank_node *n, int64_t key, uint64_t number)
{
    return n->key != key ? n->key < key : n->number < number;
}

static struct rank_node **child_of (struct rank_node *n, bool right)
{
    return right ? &n->right : &n->left;
}

static void hang (struct rank_node *parent, bool right, struct rank_node *n)
{
    *child_of (parent, right) = n;
    if (n)
        n->parent = parent;
}

/* Where `old` hangs, `n` hangs now. */
static void replace (struct ranks *t, const struct rank_node *old,
                     struct rank_node *n)
{
    struct rank_node *parent = old->parent;

    if (parent)
        hang (parent, parent->right == old, n);
    else {
        t->root = n;
        if (n)
            n->parent = NULL;
    }
}

/* A rotation: the child takes n's place, and n becomes its other child.
 * Returns the child. */
static struct rank_node *raise (struct ranks *t, struct rank_node *n,
                                bool right)
{
    struct rank_node *child = *child_of (n, right);

    replace (t, n, child);
    hang (n, right, *child_of (child, !right));
    hang (child, !right, n);
    measure (n);
    measure (child);
    return child;
}

static bool is_heavy (struct rank_node *n, bool right)
{
    uint64_t this = count_of (*child_of (n, right));
    uint64_t other = n->count - 1 - this;

    return this + 1 > 3 * (other + 1);
}

/* Would the inner grandchild, which a rotation moves across, be too much for
 * the other side? Then it is raised first, and its halves part. */
static bool is_inner_heavy (struct rank_node *child, bool right)
{
    return count_of (*child_of (child, !right)) + 1 >=
           2 * (count_of (*child_of (child, right)) + 1);
}

/* Returns what is now where `n` was. */
static struct rank_node *balance (struct ranks *t, struct rank_node *n)
{
    for (unsigned right = 0; right < 2; right++) {
        struct rank_node *child = *child_of (n, right);

        if (!is_heavy (n, right))
            continue;
        if (is_inner_heavy (child, right))
            raise (t, child, !right);
        return raise (t, n, right);
    }
    return n;
}

/* From the lowest node below which something changed. */
static void mend (struct ranks *t, struct rank_node *n)
{
    for (; n; n = n->parent) {
        measure (n);
        n = balance (t, n);
    }
}

void ranks_insert (struct ranks *t, struct rank_node *node)
{
    struct rank_node *parent = NULL, *at = t->root;
    bool right = false;

    node->left = node->right = node->parent = NULL;
    while (at) {
        parent = at;
        right = is_before (at, node->key, node->number);
        at = *child_of (at, right);
    }
    if (parent)
        hang (parent, right, node);
    else
        t->root = node;
    mend (t, node);
}

static struct rank_node *leftmost (struct rank_node *n)
{
    while (n->left)
        n = n->left;
    return n;
}

/* The next in order leaves its place, and takes that of a node with two
 * children. Returns the lowest that changed. */
static struct rank_node *put_next_in_place (struct ranks *t,
                                            struct rank_node *node)
{
    struct rank_node *next = leftmost (node->right);
    struct rank_node *changed = next->parent == node ? next : next->parent;

    replace (t, next, next->right);
    replace (t, node, next);
    hang (next, false, node->left);
    hang (next, true, node->right);
    return changed;
}

void ranks_remove (struct ranks *t, struct rank_node *node)
{
    struct rank_node *changed = node->parent;

    if (node->left && node->right)
        changed = put_next_in_place (t, node);
    else
        replace (t, node, node->left ? node->left : node->right);
    node->left = node->right = node->parent = NULL;
    node->count = node->sum = 0;
    mend (t, changed);
}

struct rank_node *ranks_first (const struct ranks *t)
{
    return t->root ? leftmost (t->root) : NULL;
}

struct rank_node *ranks_next (const struct rank_node *node)
{
    if (node->right)
        return leftmost (node->right);
    while (node->parent && node->parent->right == node)
        node = node->parent;
    return node->parent;
}

/* All of a node's left side are before it: it is either passed, with that
 * side, or what is asked for is on that side. */
void ranks_below (const struct ranks *t, int64_t key, uint64_t number,
                  uint64_t *ret_count, uint64_t *ret_sum)
{
    uint64_t count = 0, sum = 0;

    for (const struct rank_node *n = t->root; n;) {
        if (!is_before (n, key, number)) {
            n = n->left;
            continue;
        }
        count += count_of (n->left) + 1;
        sum += sum_of (n->left) + n->weight;
        n = n->right;
    }
    *ret_count = count;
    *ret_sum = sum;
}

void ranks_below_sum (const struct ranks *t, int64_t offset, int64_t key,
                      uint64_t number, uint64_t *ret_count, uint64_t *ret_sum)
{
    // not offset + a sum, which may overflow, but how far the key is from it
    uint64_t distance = (uint64_t) key - (uint64_t) offset;
    uint64_t count = 0, sum = 0;

    for (const struct rank_node *n = key < offset ? NULL : t->root; n;) {
        uint64_t before = sum + sum_of (n->left);

        if (before > distance || (before == distance && n->number >= number)) {
            n = n->left;
            continue;
        }
        count += count_of (n->left) + 1;
        sum = before + n->weight;
        n = n->right;
    }
    *ret_count = count;
    *ret_sum = sum;
}
