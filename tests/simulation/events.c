/* SPDX-License-Identifier: MPL-2.0 */
#include "simulation/events.h"

#include <stdlib.h>
#include <string.h>

struct events {
    struct event *heap;
    size_t count, most;
    uint64_t order;
};

void *sim_alloc (size_t size)
{
    void *p = calloc (1, size);

    if (!p)
        abort ();
    return p;
}

void *sim_grow (void *array, size_t *most, size_t size)
{
    size_t next = *most ? *most * 2 : 16;
    void *p = realloc (array, next * size);

    if (!p)
        abort ();
    memset ((char *) p + *most * size, 0, (next - *most) * size);
    *most = next;
    return p;
}

struct events *events_create (void)
{
    return sim_alloc (sizeof (struct events));
}

void events_destroy (struct events *q)
{
    if (!q)
        return;
    for (size_t i = 0; i < q->count; i++)
        free (q->heap[i].data);
    free (q->heap);
    free (q);
}

static bool before (const struct event *a, const struct event *b)
{
    return a->at < b->at || (a->at == b->at && a->order < b->order);
}

void events_add (struct events *q, struct event e)
{
    size_t at = q->count++;

    if (q->count > q->most)
        q->heap = sim_grow (q->heap, &q->most, sizeof *q->heap);
    e.order = q->order++;
    while (at > 0 && before (&e, &q->heap[(at - 1) / 2])) {
        q->heap[at] = q->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    q->heap[at] = e;
}

static void sink (struct events *q, struct event e)
{
    size_t at = 0;

    for (;;) {
        size_t child = 2 * at + 1;

        if (child + 1 < q->count &&
            before (&q->heap[child + 1], &q->heap[child]))
            child++;
        if (child >= q->count || !before (&q->heap[child], &e))
            break;
        q->heap[at] = q->heap[child];
        at = child;
    }
    q->heap[at] = e;
}

bool events_take (struct events *q, int64_t until, struct event *ret_event)
{
    if (q->count == 0 || q->heap[0].at > until)
        return false;
    *ret_event = q->heap[0];
    q->count--;
    if (q->count > 0)
        sink (q, q->heap[q->count]);
    return true;
}

void chance_init (struct chance *c, uint64_t seed)
{
    c->state = seed * UINT64_C (0x9e3779b97f4a7c15) + 1;
    for (int i = 0; i < 4; i++)
        chance_next (c);
}

uint64_t chance_next (struct chance *c)
{
    if (c->state == 0)
        c->state = 1;
    c->state ^= c->state >> 12;
    c->state ^= c->state << 25;
    c->state ^= c->state >> 27;
    return c->state * UINT64_C (0x2545f4914f6cdd1d);
}

int64_t chance_in (struct chance *c, int64_t low, int64_t high)
{
    return low +
           (int64_t) ((chance_next (c) >> 16) % (uint64_t) (high - low + 1));
}

bool chance_of (struct chance *c, unsigned per_mille)
{
    return chance_in (c, 0, 999) < (int64_t) per_mille;
}
