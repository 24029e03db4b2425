/* SPDX-License-Identifier: MPL-2.0 */
/* table.h - items in the order of a number, and found by it
 *
 * An item begins with its key, a uint64_t that never changes, was allocated by
 * new_zeroed () and belongs to the table: its address is good until it is
 * removed. Keys are numbers of our own, which mostly rise: adding is then an
 * append, finding a binary search. A few thousand items at most.
 */
#ifndef SLOTBUS_TABLE_H
#define SLOTBUS_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct table {
    void **at;
    size_t count, capacity;
};

/* Where `key` is or would be. */
size_t table_place (const struct table *t, uint64_t key);
/* NULL: not there. */
void *table_find (const struct table *t, uint64_t key);
/* The item becomes the table's; its key must not be there yet. */
void table_add (struct table *t, void *item);
/* Removes and frees it; no such key: nothing happens. */
void table_remove (struct table *t, uint64_t key);
void table_clear (struct table *t);

#endif
