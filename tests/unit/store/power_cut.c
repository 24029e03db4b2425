/* SPDX-License-Identifier: MPL-2.0 */
#include "power_cut.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/base.h"
#include "faulty_disk.h"

enum { FILES = 128, ENTRIES = 32 };

enum mood { KEEP, DROP, MIXED };

struct content {
    unsigned char *bytes;
    size_t size;
};

struct entry {
    char name[32];
    unsigned file; // 0: none
};

struct cut {
    uint64_t random;
    enum mood mood;
    struct content files[FILES];
    struct entry entries[ENTRIES];
};

/* xorshift64 of Marsaglia (2003). */
static uint64_t draw (struct cut *c, uint64_t below)
{
    c->random ^= c->random << 13;
    c->random ^= c->random >> 7;
    c->random ^= c->random << 17;
    return c->random % below;
}

static void resize (struct content *f, size_t size)
{
    if (size > f->size) {
        f->bytes = xrealloc (f->bytes, size);
        memset (f->bytes + f->size, 0, size - f->size);
    }
    f->size = size;
}

static void put (struct content *f, const struct disk_step *step, size_t from,
                 size_t to)
{
    size_t end = (size_t) step->offset + to;

    if (to <= from)
        return;
    if (end > f->size)
        resize (f, end);
    memcpy (f->bytes + step->offset + from, step->data + from, to - from);
}

/* A write or truncation that was not flushed. */
static void perhaps (struct cut *c, struct content *f,
                     const struct disk_step *step)
{
    uint64_t fate = c->mood == MIXED ? draw (c, 4) : c->mood == KEEP ? 0 : 1;
    size_t size = step->kind == STEP_WRITE ? step->size : 0;

    if (fate == 1)
        return;
    if (step->kind == STEP_TRUNCATE)
        resize (f, (size_t) step->offset);
    else if (fate == 0)
        put (f, step, 0, size);
    else if (fate == 2) // its beginning,
        put (f, step, 0, draw (c, size + 1));
    else // or its end
        put (f, step, draw (c, size + 1), size);
}

/* Was this file flushed between the two steps? */
static bool is_flushed (unsigned file, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        if (disk_step_at (i)->kind == STEP_FLUSH &&
            disk_step_at (i)->file == file)
            return true;
    return false;
}

static struct entry *find (struct cut *c, const char *name)
{
    struct entry *unused = NULL;

    for (unsigned i = 0; i < ENTRIES; i++) {
        if (c->entries[i].file && strcmp (c->entries[i].name, name) == 0)
            return &c->entries[i];
        if (!c->entries[i].file)
            unused = &c->entries[i];
    }
    if (!unused)
        abort ();
    snprintf (unused->name, sizeof unused->name, "%s", name);
    return unused;
}

static void change_entry (struct cut *c, const struct disk_step *step)
{
    find (c, step->name)->file = step->kind == STEP_CREATE ? step->file : 0;
    if (step->kind == STEP_RENAME)
        find (c, step->to)->file = step->file;
}

static bool is_entry (const struct disk_step *step)
{
    return step->kind == STEP_CREATE || step->kind == STEP_RENAME ||
           step->kind == STEP_UNLINK;
}

/* All entries up to the last flush of the folder, and some of those after. */
static void cut_entries (struct cut *c, size_t steps)
{
    size_t flushed = 0, until;

    for (size_t i = 0; i < steps; i++)
        if (disk_step_at (i)->kind == STEP_FLUSH_FOLDER)
            flushed = i;
    until = c->mood == KEEP   ? steps
            : c->mood == DROP ? flushed
                              : flushed + draw (c, steps - flushed + 1);
    for (size_t i = 0; i < until; i++)
        if (is_entry (disk_step_at (i)))
            change_entry (c, disk_step_at (i));
}

static void cut_data (struct cut *c, size_t steps)
{
    for (size_t i = 0; i < steps; i++) {
        const struct disk_step *step = disk_step_at (i);

        if (step->file >= FILES)
            abort ();
        if (step->kind != STEP_WRITE && step->kind != STEP_TRUNCATE)
            continue;
        if (!is_flushed (step->file, i, steps))
            perhaps (c, &c->files[step->file], step);
        else if (step->kind == STEP_WRITE)
            put (&c->files[step->file], step, 0, step->size);
        else
            resize (&c->files[step->file], (size_t) step->offset);
    }
}

static void lay_out (const struct cut *c, const char *folder)
{
    for (unsigned i = 0; i < ENTRIES; i++) {
        const struct content *f = &c->files[c->entries[i].file];
        char path[256];

        snprintf (path, sizeof path, "%s/%s", folder, c->entries[i].name);
        if (c->entries[i].file &&
            write_file_atomically (path, f->bytes, f->size, 0600, 0))
            abort ();
    }
}

void power_cut (size_t steps, uint64_t seed, const char *folder)
{
    struct cut *c = xcalloc (1, sizeof *c);

    c->random = (seed + 1) * 0x9e3779b97f4a7c15u;
    c->mood = draw (c, 8) < 2 ? (enum mood) draw (c, 2) : MIXED;
    cut_data (c, steps);
    cut_entries (c, steps);
    lay_out (c, folder);
    for (unsigned i = 0; i < FILES; i++)
        free (c->files[i].bytes);
    free (c);
}
