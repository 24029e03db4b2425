/* SPDX-License-Identifier: MPL-2.0 */
#include "core/outbox.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/memory.h"

/* What is copied goes into blocks, so that pointers to it stay good while the
 * outbox grows. After a batch that needed many, most are given back. */
enum { BLOCK_BYTES = 64 * 1024, KEPT_BLOCKS = 8, LINE_BYTES = 640 };

struct block {
    struct block *next;
    size_t size, used;
    max_align_t data[];
};

/* One list of equal items. */
struct list {
    void *at;
    size_t count, capacity;
};

struct line {
    enum journal_level level;
    const char *text;
};

struct outbox {
    struct block *blocks, *spare;
    struct list sent, published, changes, lines, runs;
    bool flush;
};

struct outbox *outbox_create (void)
{
    return new_zeroed (sizeof (struct outbox));
}

static void free_blocks (struct block *b)
{
    while (b) {
        struct block *next = b->next;

        free (b);
        b = next;
    }
}

void outbox_destroy (struct outbox *o)
{
    if (!o)
        return;
    free_blocks (o->blocks);
    free_blocks (o->spare);
    free (o->sent.at);
    free (o->published.at);
    free (o->changes.at);
    free (o->lines.at);
    free (o->runs.at);
    free (o);
}

static void keep_spares (struct outbox *o)
{
    unsigned kept = 0;
    struct block *b;

    while ((b = o->blocks)) {
        o->blocks = b->next;
        b->next = o->spare;
        b->used = 0;
        o->spare = b;
    }
    for (b = o->spare; b && ++kept < KEPT_BLOCKS;)
        b = b->next;
    if (b) {
        free_blocks (b->next);
        b->next = NULL;
    }
}

void outbox_clear (struct outbox *o)
{
    keep_spares (o);
    o->sent.count = 0;
    o->published.count = 0;
    o->changes.count = 0;
    o->lines.count = 0;
    o->runs.count = 0;
    o->flush = false;
}

static struct block *block_for (struct outbox *o, size_t size)
{
    struct block *b = o->spare;

    if (b && b->size >= size) {
        o->spare = b->next;
    } else {
        size_t bytes = size > BLOCK_BYTES ? size : BLOCK_BYTES;

        b = resized (NULL, 1, sizeof *b + bytes);
        b->size = bytes;
        b->used = 0;
    }
    b->next = o->blocks;
    o->blocks = b;
    return b;
}

static void *room_for (struct outbox *o, size_t size)
{
    size_t unit = sizeof (max_align_t);
    size_t rounded = (size + unit - 1) / unit * unit;
    struct block *b = o->blocks;

    if (!b || b->size - b->used < rounded)
        b = block_for (o, rounded);
    b->used += rounded;
    return (unsigned char *) b->data + b->used - rounded;
}

static void *copied (struct outbox *o, const void *data, size_t size)
{
    return memcpy (room_for (o, size), data, size);
}

static void *append (struct list *list, size_t size)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? 2 * list->capacity : 16;
        list->at = resized (list->at, list->capacity, size);
    }
    return (unsigned char *) list->at + size * list->count++;
}

void outbox_send (struct outbox *o, const struct path *to, enum verb verb,
                  const void *fields)
{
    struct outgoing *item;
    void *copy;

    if (to->size == 0)
        return; // nobody has come that way since the broker started
    copy = room_for (o, message_size (verb));
    message_copy (copy, fields, verb);
    item = append (&o->sent, sizeof *item);
    *item = (struct outgoing){.to = *to, .verb = verb, .fields = copy};
}

/* Returns its fields. */
static void *add_publication (struct outbox *o, const char *topic,
                              enum verb verb, bool last)
{
    struct publication *item = append (&o->published, sizeof *item);
    void *fields = room_for (o, message_size (verb));

    *item = (struct publication){
        .topic = copied (o, topic, strlen (topic) + 1),
        .verb = verb,
        .fields = fields,
        .last = last,
    };
    return fields;
}

void outbox_publish (struct outbox *o, const char *topic, enum verb verb,
                     const void *fields, bool last)
{
    message_copy (add_publication (o, topic, verb, last), fields, verb);
}

void *outbox_publish_empty (struct outbox *o, const char *topic, enum verb verb,
                            bool last)
{
    void *fields = add_publication (o, topic, verb, last);

    message_init_fields (fields, verb);
    return fields;
}

static size_t record_size (enum change_kind kind)
{
    switch (kind) {
    case CHANGE_SESSION: return sizeof (struct session_record);
    case CHANGE_LEASE: return sizeof (struct lease_record);
    case CHANGE_WAITER: return sizeof (struct waiter_record);
    case CHANGE_META: return sizeof (struct meta_record);
    case CHANGE_PROJECT: return sizeof (struct project_record);
    }
    return 0;
}

void outbox_change (struct outbox *o, enum change_kind kind, uint64_t key,
                    const void *record)
{
    struct change *item = append (&o->changes, sizeof *item);

    *item = (struct change){
        .kind = kind,
        .deleted = !record,
        .key = key,
        .record = record ? copied (o, record, record_size (kind)) : NULL,
    };
}

void outbox_run (struct outbox *o, const struct run_record *run)
{
    *(struct run_record *) append (&o->runs, sizeof *run) = *run;
}

size_t outbox_runs (const struct outbox *o)
{
    return o->runs.count;
}

const struct run_record *outbox_run_at (const struct outbox *o, size_t i)
{
    return (const struct run_record *) o->runs.at + i;
}

void outbox_require_flush (struct outbox *o)
{
    o->flush = true;
}

void outbox_journal (struct outbox *o, enum journal_level level,
                     const char *format, ...)
{
    struct line *item = append (&o->lines, sizeof *item);
    char text[LINE_BYTES];
    va_list args;

    va_start (args, format);
    vsnprintf (text, sizeof text, format, args);
    va_end (args);
    item->level = level;
    item->text = copied (o, text, strlen (text) + 1);
}

char *outbox_quoted (const char *text, char *ret_text, size_t size)
{
    copy_text (ret_text, size, text);
    for (char *at = ret_text; (at = strpbrk (at, "\"\\"));)
        *at = *at == '"' ? '\'' : '/';
    return ret_text;
}

size_t outbox_sent (const struct outbox *o)
{
    return o->sent.count;
}

struct outgoing outbox_outgoing (const struct outbox *o, size_t i)
{
    assert (i < o->sent.count);
    return ((const struct outgoing *) o->sent.at)[i];
}

size_t outbox_published (const struct outbox *o)
{
    return o->published.count;
}

struct publication outbox_publication (const struct outbox *o, size_t i)
{
    assert (i < o->published.count);
    return ((const struct publication *) o->published.at)[i];
}

size_t outbox_changed (const struct outbox *o)
{
    return o->changes.count;
}

struct change outbox_change_at (const struct outbox *o, size_t i)
{
    assert (i < o->changes.count);
    return ((const struct change *) o->changes.at)[i];
}

bool outbox_flush (const struct outbox *o)
{
    return o->flush;
}

size_t outbox_lines (const struct outbox *o)
{
    return o->lines.count;
}

const char *outbox_line (const struct outbox *o, size_t i,
                         enum journal_level *ret_level)
{
    const struct line *item;

    assert (i < o->lines.count);
    item = (const struct line *) o->lines.at + i;
    if (ret_level)
        *ret_level = item->level;
    return item->text;
}
