/* SPDX-License-Identifier: MPL-2.0 */
#include "yaml_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#include "bus/base.h"
#include "bus/log.h"

struct reader {
    yaml_parser_t parser;
    const char *name;
    char *ret_error;
    size_t error_size;
};

static void fail_at (struct reader *r, size_t line, size_t column,
                     const char *format, ...)
    __attribute__ ((format (printf, 4, 5)));

static void fail_at (struct reader *r, size_t line, size_t column,
                     const char *format, ...)
{
    char what[512];
    va_list args;

    va_start (args, format);
    vsnprintf (what, sizeof what, format, args);
    va_end (args);
    snprintf (r->ret_error, r->error_size, "%s:%zu:%zu: %s", r->name, line + 1,
              column + 1, what);
}

static void fail_mark (struct reader *r, const yaml_mark_t *mark,
                       const char *what)
{
    fail_at (r, mark->line, mark->column, "%s", what);
}

/* Line and column of a byte; libyaml has no mark for what it cannot decode. */
static void fail_byte (struct reader *r, const char *text, size_t offset,
                       const char *what)
{
    size_t line = 0, column = 0;

    for (size_t i = 0; i < offset; i++) {
        if (text[i] == '\n') {
            line++;
            column = 0;
        } else if (((unsigned char) text[i] & 0xc0) != 0x80)
            column++;
    }
    fail_at (r, line, column, "%s", what);
}

static void fail_parser (struct reader *r, const char *text, size_t size)
{
    const yaml_parser_t *p = &r->parser;

    if (p->error == YAML_READER_ERROR)
        fail_byte (r, text, p->problem_offset < size ? p->problem_offset : size,
                   p->problem ? p->problem : "not readable as text");
    else
        fail_mark (r, &p->problem_mark, p->problem ? p->problem : "not YAML");
}

static struct node *node_create (enum node_kind kind, const yaml_mark_t *mark)
{
    struct node *n = xcalloc (1, sizeof *n);

    n->kind = kind;
    n->line = (unsigned) mark->line + 1;
    n->column = (unsigned) mark->column + 1;
    return n;
}

void yaml_tree_free (struct node *node)
{
    int error = errno;

    while (node) {
        struct node *next = node->next;

        yaml_tree_free (node->first); // at most YAML_MAX_DEPTH deep
        free (node->key);
        free (node->text);
        free (node);
        node = next;
    }
    errno = error;
}

/* Why an event is not for us; NULL if it is. */
static const char *refusal (const yaml_event_t *e)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;

    if (e->type == YAML_ALIAS_EVENT)
        return "an alias (*) is not allowed here: write the value out";
    if (e->type == YAML_SCALAR_EVENT) {
        anchor = e->data.scalar.anchor;
        tag = e->data.scalar.tag;
        if (memchr (e->data.scalar.value, 0, e->data.scalar.length))
            return "a NUL character is not allowed";
    } else if (e->type == YAML_SEQUENCE_START_EVENT) {
        anchor = e->data.sequence_start.anchor;
        tag = e->data.sequence_start.tag;
    } else if (e->type == YAML_MAPPING_START_EVENT) {
        anchor = e->data.mapping_start.anchor;
        tag = e->data.mapping_start.tag;
    }
    if (anchor)
        return "an anchor (&) is not allowed here: write the value out";
    return tag ? "a tag (!) is not allowed here" : NULL;
}

/* The next event, which the caller deletes; false: refused and said so. */
static bool next (struct reader *r, yaml_event_t *ret_event)
{
    const char *why;

    if (!yaml_parser_parse (&r->parser, ret_event))
        return false; // fail_parser () is called once, at the end
    why = refusal (ret_event);
    if (!why)
        return true;
    fail_mark (r, &ret_event->start_mark, why);
    yaml_event_delete (ret_event);
    return false;
}

static struct node *read_node (struct reader *r, const yaml_event_t *e,
                               int depth);

/* Put `child` behind *tail, the last entry of `parent`. */
static bool append (struct reader *r, struct node *parent, struct node **tail,
                    struct node *child, unsigned *count)
{
    if (*tail)
        (*tail)->next = child;
    else
        parent->first = child;
    *tail = child;
    if (++*count <= YAML_MAX_ENTRIES)
        return true;
    fail_at (r, child->line - 1, child->column - 1,
             "more than %d entries in one place", YAML_MAX_ENTRIES);
    return false;
}

static bool read_items (struct reader *r, struct node *list, int depth)
{
    struct node *tail = NULL;
    unsigned count = 0;
    yaml_event_t e;

    while (next (r, &e)) {
        struct node *item;

        if (e.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete (&e);
            return true;
        }
        item = read_node (r, &e, depth);
        yaml_event_delete (&e);
        if (!item || !append (r, list, &tail, item, &count))
            return false;
    }
    return false;
}

/* A key that is new in this map; NULL: said so. */
static char *read_key (struct reader *r, const struct node *map,
                       const yaml_event_t *e)
{
    char shown[80];
    const char *key = (const char *) e->data.scalar.value;

    if (e->type != YAML_SCALAR_EVENT) {
        fail_mark (r, &e->start_mark, "a key must be a word");
        return NULL;
    }
    if (yaml_tree_get (map, key)) {
        fail_at (r, e->start_mark.line, e->start_mark.column, "%s: given twice",
                 log_escape (key, shown, sizeof shown));
        return NULL;
    }
    return xstrdup (key);
}

static struct node *read_value (struct reader *r, int depth)
{
    struct node *value;
    yaml_event_t e;

    if (!next (r, &e))
        return NULL;
    value = read_node (r, &e, depth);
    yaml_event_delete (&e);
    return value;
}

static bool read_entries (struct reader *r, struct node *map, int depth)
{
    struct node *tail = NULL, *value;
    unsigned count = 0;
    yaml_event_t e;

    while (next (r, &e)) {
        yaml_mark_t mark = e.start_mark;
        bool end = e.type == YAML_MAPPING_END_EVENT;
        char *key = end ? NULL : read_key (r, map, &e);

        yaml_event_delete (&e);
        if (end || !key)
            return end;
        value = read_value (r, depth);
        if (!value) {
            free (key);
            return false;
        }
        value->key = key;
        value->line = (unsigned) mark.line + 1;
        value->column = (unsigned) mark.column + 1;
        if (!append (r, map, &tail, value, &count))
            return false;
    }
    return false;
}

/* NULL: said so. `depth`: levels above this node. */
static struct node *read_node (struct reader *r, const yaml_event_t *e,
                               int depth)
{
    struct node *n;
    bool good = true;

    if (e->type == YAML_SCALAR_EVENT) {
        n = node_create (NODE_SCALAR, &e->start_mark);
        n->text = xstrdup ((const char *) e->data.scalar.value);
        n->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        return n;
    }
    if (depth == YAML_MAX_DEPTH) {
        fail_mark (r, &e->start_mark, "nested more than 8 deep");
        return NULL;
    }
    n = node_create (e->type == YAML_MAPPING_START_EVENT ? NODE_MAP : NODE_LIST,
                     &e->start_mark);
    good = n->kind == NODE_MAP ? read_entries (r, n, depth + 1)
                               : read_items (r, n, depth + 1);
    if (good)
        return n;
    yaml_tree_free (n);
    return NULL;
}

static bool skip (struct reader *r, yaml_event_type_t *ret_type)
{
    yaml_event_t e;

    if (!next (r, &e))
        return false;
    *ret_type = e.type;
    yaml_event_delete (&e);
    return true;
}

/* After the document only the end of the stream may come. */
static bool at_end (struct reader *r)
{
    yaml_event_type_t type;
    yaml_event_t e;
    bool end;

    if (!skip (r, &type) || !next (r, &e)) // the document's own end
        return false;
    end = e.type == YAML_STREAM_END_EVENT;
    if (!end)
        fail_mark (r, &e.start_mark, "a second document is not allowed");
    yaml_event_delete (&e);
    return end;
}

static struct node *read_document (struct reader *r)
{
    static const yaml_mark_t start = {0, 0, 0};
    yaml_event_type_t type;
    struct node *root;

    if (!skip (r, &type) || !skip (r, &type)) // the stream's start, then
        return NULL;
    if (type == YAML_STREAM_END_EVENT)
        return node_create (NODE_MAP, &start);
    root = read_value (r, 0);
    if (root && at_end (r))
        return root;
    yaml_tree_free (root);
    return NULL;
}

/* "---" and nothing else is an empty document, too. */
static void null_to_map (struct node *root)
{
    if (root && root->kind == NODE_SCALAR && yaml_tree_null (root)) {
        free (root->text);
        root->text = NULL;
        root->kind = NODE_MAP;
    }
}

struct node *yaml_tree_parse (const char *name, const char *text, size_t size,
                              char *ret_error, size_t error_size)
{
    struct reader r = {
        .name = name, .ret_error = ret_error, .error_size = error_size};
    const char *nul = memchr (text, 0, size);
    struct node *root;

    ret_error[0] = 0;
    if (size > YAML_MAX_BYTES) {
        snprintf (ret_error, error_size, "%s: larger than 64 KiB", name);
        return NULL;
    }
    if (nul) {
        fail_byte (&r, text, (size_t) (nul - text),
                   "a NUL character is not allowed");
        return NULL;
    }
    if (!yaml_parser_initialize (&r.parser))
        abort (); // out of memory
    yaml_parser_set_encoding (&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string (&r.parser, (const unsigned char *) text,
                                  size);
    root = read_document (&r);
    if (!root && !ret_error[0])
        fail_parser (&r, text, size);
    yaml_parser_delete (&r.parser);
    null_to_map (root);
    return root;
}

static const char *check_file (int fd)
{
    struct stat st;

    if (fstat (fd, &st))
        return strerror (errno);
    if (!S_ISREG (st.st_mode))
        return "not a regular file";
    if (st.st_uid != geteuid () && st.st_uid != 0)
        return "belongs to another user: it must be yours or root's";
    if (st.st_mode & (S_IWGRP | S_IWOTH))
        return "may be written by others: chmod go-w it";
    return NULL;
}

/* Bytes read, at most size; -1 and errno. */
static ssize_t read_all (int fd, char *ret_text, size_t size)
{
    size_t used = 0;

    while (used < size) {
        ssize_t n = read (fd, ret_text + used, size - used);

        if (n == 0)
            break;
        if (n < 0 && errno != EINTR)
            return -1;
        used += n > 0 ? (size_t) n : 0;
    }
    return (ssize_t) used;
}

struct node *yaml_tree_read (const char *path, char *ret_error,
                             size_t error_size)
{
    int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    const char *why = fd < 0 ? strerror (errno) : check_file (fd);
    char *text = xmalloc (YAML_MAX_BYTES + 1);
    struct node *root = NULL;
    ssize_t size = -1;

    if (!why) {
        size = read_all (fd, text, YAML_MAX_BYTES + 1);
        why = size < 0 ? strerror (errno) : NULL;
    }
    if (why)
        snprintf (ret_error, error_size, "%s: %s", path, why);
    else
        root =
            yaml_tree_parse (path, text, (size_t) size, ret_error, error_size);
    if (fd >= 0)
        close (fd);
    free (text);
    return root;
}

const struct node *yaml_tree_get (const struct node *map, const char *key)
{
    for (const struct node *n = map->first; n; n = n->next)
        if (n->key && strcmp (n->key, key) == 0)
            return n;
    return NULL;
}

bool yaml_tree_null (const struct node *node)
{
    return node->kind == NODE_SCALAR && node->plain &&
           (!*node->text || strcmp (node->text, "~") == 0 ||
            strcasecmp (node->text, "null") == 0);
}
