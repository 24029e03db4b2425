/* SPDX-License-Identifier: MPL-2.0 */
#include "core/table.h"

#include <string.h>

#include "core/memory.h"

static uint64_t key_of (const void *item)
{
    return *(const uint64_t *) item;
}

size_t table_place (const struct table *t, uint64_t key)
{
    size_t low = 0, high = t->count;

    if (t->count && key_of (t->at[t->count - 1]) < key)
        return t->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (key_of (t->at[middle]) < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void *table_find (const struct table *t, uint64_t key)
{
    size_t i = table_place (t, key);

    return i < t->count && key_of (t->at[i]) == key ? t->at[i] : NULL;
}

void table_add (struct table *t, void *item)
{
    size_t i = table_place (t, key_of (item));

    if (t->count == t->capacity) {
        t->capacity = t->capacity ? 2 * t->capacity : 16;
        t->at = resized (t->at, t->capacity, sizeof *t->at);
    }
    memmove (t->at + i + 1, t->at + i, (t->count - i) * sizeof *t->at);
    t->at[i] = item;
    t->count++;
}

void table_remove (struct table *t, uint64_t key)
{
    size_t i = table_place (t, key);

    if (i == t->count || key_of (t->at[i]) != key)
        return;
    free (t->at[i]);
    t->count--;
    memmove (t->at + i, t->at + i + 1, (t->count - i) * sizeof *t->at);
}

void table_clear (struct table *t)
{
    for (size_t i = 0; i < t->count; i++)
        free (t->at[i]);
    free (t->at);
    *t = (struct table){0};
}
