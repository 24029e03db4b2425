/* SPDX-License-Identifier: MPL-2.0 */
/* yaml_tree.h - a YAML file as a tree, or the place where it is wrong
 *
 * Only what a configuration needs: one document of maps, lists and scalars.
 * Refused, with line and column: duplicate keys, anchors, aliases, tags, a
 * second document, NUL, more than 64 KiB, more than 8 levels, more than 1024
 * entries in one place. libyaml alone accepts all of these, and is slow on
 * purpose-made nesting, so the events are judged as they come.
 *
 * Lines and columns count from 1, columns in characters.
 */
#ifndef SLOTBUS_YAML_TREE_H
#define SLOTBUS_YAML_TREE_H

#include <stdbool.h>
#include <stddef.h>

enum { YAML_MAX_BYTES = 65536, YAML_MAX_DEPTH = 8, YAML_MAX_ENTRIES = 1024 };

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP };

struct node {
    enum node_kind kind;
    unsigned line, column; // in a map: of its key
    char *key;             // in a map, else NULL
    char *text;            // of a scalar, without NUL
    bool plain;            // a scalar without quotes
    struct node *first;    // of a list or map
    struct node *next;
};

/* The document's node, owned by the caller; an empty document is an empty
 * map. NULL, and ret_error says where and why: "NAME:7:3: ...". */
struct node *yaml_tree_parse (const char *name, const char *text, size_t size,
                              char *ret_error, size_t error_size);
/* The same of a file, which must belong to us or to root and be writable by
 * nobody else: who writes it decides what a broker runs and whom it obeys. */
struct node *yaml_tree_read (const char *path, char *ret_error,
                             size_t error_size);
void yaml_tree_free (struct node *node);

/* The entry of a map, NULL if there is none. */
const struct node *yaml_tree_get (const struct node *map, const char *key);
/* Is it null, ~ or nothing at all? */
bool yaml_tree_null (const struct node *node);

#endif
