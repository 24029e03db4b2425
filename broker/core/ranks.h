/* SPDX-License-Identifier: MPL-2.0 */
/* ranks.h - a queue that knows at once how much stands before a place
 *
 * A tree in the order of (key, number) whose nodes count what is below them,
 * so that "how many, and how many slots, come before this one" is a walk from
 * the root. The nodes belong to the caller and lie inside what they stand for:
 * nothing is allocated here. A node is in one tree at most, stays where it is
 * and keeps its key, number and weight until it is removed; a tree that is all
 * zero is empty. To copy one, insert copies of its nodes elsewhere.
 *
 * Balanced by the counts (Nievergelt and Reingold; the limits 3 and 2 are
 * those that Hirai and Yamamoto, "Balancing weight-balanced trees", 2011, have
 * proven for both inserting and removing): whatever the keys, and whoever
 * chose them, a side has at most three quarters of what is below, so 10,000
 * nodes are at most 30 deep. No chance is involved: the same calls make the
 * same tree. Every call is O(log n), ranks_next () over all is O(n).
 */
#ifndef SLOTBUS_RANKS_H
#define SLOTBUS_RANKS_H

#include <stdint.h>

struct rank_node {
    // the caller's, before it inserts
    int64_t key;
    uint64_t number; // decides among equal keys: no two the same in a tree
    uint64_t weight; // slots, say; all of a tree together fit into 64 bits
    // the tree's
    struct rank_node *left, *right, *parent;
    uint64_t count, sum; // nodes and weights from here down; count 0: removed
};

struct ranks {
    struct rank_node *root; // NULL: empty
};

/* What the node had been in before is forgotten, not looked at. */
void ranks_insert (struct ranks *t, struct rank_node *node);
/* The node is in this tree. */
void ranks_remove (struct ranks *t, struct rank_node *node);

/* NULL: there is none. */
struct rank_node *ranks_first (const struct ranks *t);
struct rank_node *ranks_next (const struct rank_node *node);

/* How many nodes are before (key, number), and the sum of their weights. No
 * node needs to be there. */
void ranks_below (const struct ranks *t, int64_t key, uint64_t number,
                  uint64_t *ret_count, uint64_t *ret_sum);

/* The same, before a node that is in the tree. */
static inline void ranks_before (const struct ranks *t,
                                 const struct rank_node *node,
                                 uint64_t *ret_count, uint64_t *ret_sum)
{
    ranks_below (t, node->key, node->number, ret_count, ret_sum);
}

/* For a lane: its nodes stay in their own order, but count elsewhere with the
 * key `offset` + the weights of those before them in the lane. How many have
 * such a (key, number) below this one, and the sum of their weights. Every
 * weight of the lane is at least 1, so that these keys rise from one to the
 * next; what is above INT64_MAX is not wrapped, but below nothing. */
void ranks_below_sum (const struct ranks *t, int64_t offset, int64_t key,
                      uint64_t number, uint64_t *ret_count, uint64_t *ret_sum);

static inline uint64_t ranks_count (const struct ranks *t)
{
    return t->root ? t->root->count : 0;
}

static inline uint64_t ranks_sum (const struct ranks *t)
{
    return t->root ? t->root->sum : 0;
}

#endif
