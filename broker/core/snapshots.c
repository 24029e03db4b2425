/* SPDX-License-Identifier: MPL-2.0 */
#include "core/snapshots.h"

#include <stddef.h>
#include <string.h>

#include "core/memory.h"

struct snapshot *snapshots_begin (struct snapshots *s, int64_t now)
{
    struct snapshot *snapshot = resized (NULL, 1, sizeof *snapshot);

    memset (snapshot, 0, offsetof (struct snapshot, head));
    message_init_fields (&snapshot->head, VERB_STATUS_OK);
    snapshot->number = ++s->number;
    snapshot->taken = now;
    snapshot->head.snapshot = snapshot->number;
    return snapshot;
}

void snapshot_free (struct snapshot *snapshot)
{
    if (!snapshot)
        return;
    free (snapshot->hosts);
    free (snapshot->projects);
    free (snapshot->agents);
    free (snapshot->queue);
    free (snapshot);
}

void snapshots_keep (struct snapshots *s, struct snapshot *snapshot)
{
    snapshot_free (s->at[s->next]);
    s->at[s->next] = snapshot;
    s->next = (s->next + 1) % KEPT_SNAPSHOTS;
}

struct snapshot *snapshots_find (const struct snapshots *s, uint64_t number,
                                 uint32_t uid)
{
    for (unsigned i = 0; i < KEPT_SNAPSHOTS; i++) {
        if (s->at[i] && s->at[i]->number == number && s->at[i]->uid == uid)
            return s->at[i];
    }
    return NULL;
}

void snapshots_expire (struct snapshots *s, int64_t now)
{
    for (unsigned i = 0; i < KEPT_SNAPSHOTS; i++) {
        if (s->at[i] && now - s->at[i]->taken >= SNAPSHOT_MS) {
            snapshot_free (s->at[i]);
            s->at[i] = NULL;
        }
    }
}

void snapshots_clear (struct snapshots *s)
{
    for (unsigned i = 0; i < KEPT_SNAPSHOTS; i++)
        snapshot_free (s->at[i]);
    *s = (struct snapshots){.number = s->number};
}

/* ---- pages ---- */

/* Which part of one list belongs to a page that starts at row `*from` of what
 * is left and has room for `*room` rows. */
static size_t take (size_t count, uint64_t *from, size_t *room,
                    size_t *ret_first)
{
    size_t first = *from < count ? (size_t) *from : count;
    size_t rows = count - first < *room ? count - first : *room;

    *from -= first;
    *room -= rows;
    *ret_first = first;
    return rows;
}

#define TAKE(list, rows, total)                                                \
    do {                                                                       \
        size_t first, taken = take (total, &from, &room, &first);              \
                                                                               \
        page->list##_count = (uint32_t) taken;                                 \
        if (taken)                                                             \
            memcpy (page->list, rows + first, taken * sizeof *page->list);     \
    } while (0)

void snapshot_page (const struct snapshot *s, uint64_t cursor,
                    struct msg_status_ok *ret_page)
{
    struct msg_status_ok *page = ret_page;
    size_t total =
        s->host_count + s->project_count + s->agent_count + s->waiter_count;
    uint64_t from = cursor;
    size_t room = PAGE_ROWS;

    message_copy (page, &s->head, VERB_STATUS_OK);
    page->cursor = cursor;
    TAKE (hosts, s->hosts, s->host_count);
    TAKE (projects, s->projects, s->project_count);
    TAKE (agents, s->agents, s->agent_count);
    TAKE (queue, s->queue, s->waiter_count);
    page->next = cursor + PAGE_ROWS < total ? cursor + PAGE_ROWS : 0;
}
