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
    size_t i = 0;

    while (i < count && key_of ((const char *) rows + i * size) < key)
        i++;
    return i;
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

void disk_apply (struct disk *d, const struct change *change)
{
    switch (change->kind) {
    case CHANGE_SESSION:
        change_row ((void **) &d->sessions, &d->session_count, &d->session_most,
                    sizeof *d->sessions, change);
        break;
    case CHANGE_LEASE:
        change_row ((void **) &d->leases, &d->lease_count, &d->lease_most,
                    sizeof *d->leases, change);
        break;
    case CHANGE_WAITER:
        change_row ((void **) &d->waiters, &d->waiter_count, &d->waiter_most,
                    sizeof *d->waiters, change);
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

void disk_restore (const struct disk *d, struct broker *b)
{
    for (size_t i = 0; i < d->session_count; i++)
        broker_restore_session (b, &d->sessions[i]);
    for (size_t i = 0; i < d->lease_count; i++)
        broker_restore_lease (b, &d->leases[i]);
    for (size_t i = 0; i < d->waiter_count; i++)
        broker_restore_waiter (b, &d->waiters[i]);
}
