/* SPDX-License-Identifier: MPL-2.0 */
/* config_value.h - a value of slots.yaml, checked and put in its place
 *
 * A key is a line in a table: who reads its value, to where in the structure
 * at hand, within which bounds. Every config_fn returns 0, or -1 and the
 * reading's ret_error says where, what was expected and what was there; it
 * changes nothing then but what it had read before.
 */
#ifndef SLOTBUS_CONFIG_VALUE_H
#define SLOTBUS_CONFIG_VALUE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/settings.h"
#include "yaml_tree.h"

struct options;

enum { DAY_MS = MAX_TIME_MS };

/* A file being read, and how far below its root: "vm_limits.". */
struct config_reading {
    const char *path; // borrowed, like the rest
    char above[160];
    char *ret_error;
    size_t error_size;
    struct options *o;
};

struct config_key;

typedef int config_fn (struct config_reading *r, const struct node *n,
                       const struct config_key *k, void *into);

enum { MAY_NULL = 1, MAY_AUTO = 2, MAY_OFF = 4 };

/* The last one of a table is zeroed. */
struct config_key {
    const char *name;
    config_fn *read;
    size_t offset; // of the field in `into`
    double min, max;
    unsigned may;
    const char *const *words; // of a choice, ended by NULL
};

/* "FILE:7:3: vm_limits.max_cpu_percent: ..." of the entry or item n: -1. */
int config_fail (struct config_reading *r, const struct node *n,
                 const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));
/* "... expected WHAT, got 'x'": -1. */
int config_expected (struct config_reading *r, const struct node *n,
                     const char *what);
/* Below `n`: messages carry its name in front. A failure needs no ascent. */
void config_descend (struct config_reading *r, const struct node *n,
                     size_t *ret_size);
void config_ascend (struct config_reading *r, size_t size);

/* The key's field. */
void *config_field (void *into, const struct config_key *k);
bool config_is_word (const struct node *n, const char *word);

/* By the type of the field. `auto`, where it may be, leaves the default that
 * is in its place. */
config_fn config_count;    // unsigned
config_fn config_number;   // double, null is NaN
config_fn config_switch;   // bool: true or false
config_fn config_choice;   // an enumeration: the place among the words
config_fn config_either;   // bool: the first word is false, the second true
config_fn config_duration; // int64_t ms, null is 0, bounds in ms
config_fn config_bytes;    // int64_t bytes, null is 0
config_fn config_minutes;  // int64_t ms, a number of minutes, off is 0
config_fn config_text;     // char[max + 1], null is ""
/* State of the file's first users: read over, never taken in. */
config_fn config_over;

#endif
