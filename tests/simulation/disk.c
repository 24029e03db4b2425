/* SPDX-License-Identifier: MPL-2.0 */
#include "simulation/disk.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/broker.h"
#include "simulation/events.h"

void disk_clear (struct disk *d)
{
    free (d->sessions);
    free (d->leases);
    free (d->waiters);
    free (d->projects);
    free (d->damaged);
    *d = (struct disk){.session_count = 0};
}

/* Every record begins with its key. */
static uint64_t key_of (const void *row)
{
    uint64_t key;

    memcpy (&key, row, sizeof key);
    return key;
}

/* Where the row is, or belongs. */
static size_t find (const void *rows, size_t count, size_t size, uint64_t key)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (key_of ((const char *) rows + middle * size) < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void change_row (void **rows, size_t *count, size_t *most, size_t size,
                        const struct change *change)
{
    size_t i = find (*rows, *count, size, change->key);
    char *at;
    bool there =
        i < *count && key_of ((const char *) *rows + i * size) == change->key;

    if (change->deleted && !there)
        return;
    if (!change->deleted && !there && *count == *most)
        *rows = sim_grow (*rows, most, size);
    at = (char *) *rows + i * size;
    if (change->deleted) {
        memmove (at, at + size, (--*count - i) * size);
        return;
    }
    assert (key_of (change->record) == change->key);
    if (!there)
        memmove (at + size, at, ((*count)++ - i) * size);
    memcpy (at, change->record, size);
}

static void damage (struct disk *d, uint64_t token)
{
    if (disk_damaged (d, token))
        return;
    if (d->damaged_count == d->damaged_most)
        d->damaged = sim_grow (d->damaged, &d->damaged_most, sizeof token);
    d->damaged[d->damaged_count++] = token;
}

/* A row that is written anew, or deleted, is whole again. */
static void mend (struct disk *d, uint64_t token)
{
    for (size_t i = 0; i < d->damaged_count; i++) {
        if (d->damaged[i] == token)
            d->damaged[i--] = d->damaged[--d->damaged_count];
    }
}

void disk_apply (struct disk *d, const struct change *change)
{
    switch (change->kind) {
    case CHANGE_SESSION:
        change_row ((void **) &d->sessions, &d->session_count, &d->session_most,
                    sizeof *d->sessions, change);
        break;
    case CHANGE_LEASE:
        mend (d, change->key);
        change_row ((void **) &d->leases, &d->lease_count, &d->lease_most,
                    sizeof *d->leases, change);
        break;
    case CHANGE_WAITER:
        change_row ((void **) &d->waiters, &d->waiter_count, &d->waiter_most,
                    sizeof *d->waiters, change);
        break;
    case CHANGE_PROJECT:
        change_row ((void **) &d->projects, &d->project_count, &d->project_most,
                    sizeof *d->projects, change);
        break;
    case CHANGE_META: memcpy (&d->meta, change->record, sizeof d->meta); break;
    }
}

const struct lease_record *disk_lease (const struct disk *d, uint64_t token)
{
    size_t i = find (d->leases, d->lease_count, sizeof *d->leases, token);

    return i < d->lease_count && d->leases[i].token == token ? &d->leases[i]
                                                             : NULL;
}

const struct session_record *disk_session (const struct disk *d, uint64_t id)
{
    size_t i = find (d->sessions, d->session_count, sizeof *d->sessions, id);

    return i < d->session_count && d->sessions[i].id == id ? &d->sessions[i]
                                                           : NULL;
}

const struct waiter_record *disk_waiter (const struct disk *d, uint64_t session,
                                         uint64_t seq)
{
    for (size_t i = 0; i < d->waiter_count; i++) {
        if (d->waiters[i].session == session && d->waiters[i].seq == seq)
            return &d->waiters[i];
    }
    return NULL;
}

const struct project_record *disk_project (const struct disk *d,
                                           const char *name)
{
    for (size_t i = 0; i < d->project_count; i++) {
        if (strcmp (d->projects[i].name, name) == 0)
            return &d->projects[i];
    }
    return NULL;
}

bool disk_damaged (const struct disk *d, uint64_t token)
{
    for (size_t i = 0; i < d->damaged_count; i++) {
        if (d->damaged[i] == token)
            return true;
    }
    return false;
}

void disk_lose (struct disk *d, bool marker)
{
    struct meta_record meta = {.token_mark = 1, .number_mark = 1};

    memcpy (meta.broker, d->meta.broker, sizeof meta.broker);
    if (marker) {
        meta.epoch = d->meta.epoch;
        meta.token_mark = d->meta.token_mark;
        meta.number_mark = d->meta.number_mark;
    } else {
        meta.broker[0]++; // another one; nobody reads it as a number
    }
    d->session_count = d->lease_count = d->waiter_count = 0;
    d->project_count = d->damaged_count = 0;
    d->meta = meta;
    d->learning = true;
}

/* ---- what a machine without power forgets ---- */

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

static void forget (struct cache *c)
{
    for (size_t i = 0; i < c->count; i++)
        free ((void *) c->at[i].change.record);
    c->count = 0;
    c->batches = 0;
}

void cache_clear (struct cache *c)
{
    forget (c);
    free (c->at);
    disk_clear (&c->flushed);
    *c = (struct cache){.count = 0};
}

static void keep (struct cache *c, const struct change *change)
{
    size_t size = record_size (change->kind);
    void *record = change->deleted ? NULL : sim_alloc (size);

    if (record)
        memcpy (record, change->record, size);
    if (c->count == c->most)
        c->at = sim_grow (c->at, &c->most, sizeof *c->at);
    c->at[c->count] = (struct cached){c->batches, *change};
    c->at[c->count++].change.record = record;
}

void cache_commit (struct cache *c, const struct outbox *out)
{
    bool flush = outbox_flush (out);

    for (size_t i = 0; flush && i < c->count; i++)
        disk_apply (&c->flushed, &c->at[i].change);
    if (flush)
        forget (c);
    for (size_t i = 0; i < outbox_changed (out); i++) {
        struct change change = outbox_change_at (out, i);

        if (flush)
            disk_apply (&c->flushed, &change);
        else
            keep (c, &change);
    }
    c->batches += !flush && outbox_changed (out) > 0;
}

/* An independent copy of `from`. */
static void copy_disk (struct disk *to, const struct disk *from)
{
    struct change change = {.deleted = false};

    disk_clear (to);
    for (size_t i = 0; i < from->session_count; i++) {
        change = (struct change){CHANGE_SESSION, false, from->sessions[i].id,
                                 &from->sessions[i]};
        disk_apply (to, &change);
    }
    for (size_t i = 0; i < from->lease_count; i++) {
        change = (struct change){CHANGE_LEASE, false, from->leases[i].token,
                                 &from->leases[i]};
        disk_apply (to, &change);
    }
    for (size_t i = 0; i < from->waiter_count; i++) {
        change = (struct change){CHANGE_WAITER, false, from->waiters[i].number,
                                 &from->waiters[i]};
        disk_apply (to, &change);
    }
    for (size_t i = 0; i < from->project_count; i++) {
        change = (struct change){CHANGE_PROJECT, false,
                                 from->projects[i].number, &from->projects[i]};
        disk_apply (to, &change);
    }
    for (size_t i = 0; i < from->damaged_count; i++)
        damage (to, from->damaged[i]);
    to->meta = from->meta;
    to->learning = from->learning;
}

void cache_flush (struct cache *c, const struct disk *d)
{
    forget (c);
    copy_disk (&c->flushed, d);
}

static void tear_one (struct disk *d, const struct cached *at, size_t count)
{
    for (size_t i = 0; i < count && at[i].batch == at[0].batch; i++) {
        const struct change *change = &at[i].change;

        if (change->kind != CHANGE_LEASE || change->deleted)
            continue;
        disk_apply (d, &(struct change){CHANGE_LEASE, false, change->key,
                                        &(struct lease_record){
                                            .token = change->key,
                                            .state = LEASE_LIMBO,
                                            .project = "damaged",
                                        }});
        damage (d, change->key);
        return;
    }
}

void cache_lose (struct cache *c, struct disk *d, struct chance *chance,
                 bool tear)
{
    unsigned stay = (unsigned) chance_in (chance, 0, (int64_t) c->batches);
    size_t i = 0;

    for (; i < c->count && c->at[i].batch < stay; i++)
        disk_apply (&c->flushed, &c->at[i].change);
    if (tear)
        tear_one (&c->flushed, c->at + i, c->count - i);
    copy_disk (d, &c->flushed);
    forget (c);
}

/* ---- a broker starts ---- */

void disk_restore (const struct disk *d, struct broker *b)
{
    for (size_t i = 0; i < d->session_count; i++)
        broker_restore_session (b, &d->sessions[i]);
    for (size_t i = 0; i < d->lease_count; i++) {
        if (disk_damaged (d, d->leases[i].token))
            broker_restore_damaged (b, d->leases[i].token);
        else
            broker_restore_lease (b, &d->leases[i]);
    }
    for (size_t i = 0; i < d->project_count; i++)
        broker_restore_project (b, &d->projects[i]);
    for (size_t i = 0; i < d->waiter_count; i++)
        broker_restore_waiter (b, &d->waiters[i]);
}
