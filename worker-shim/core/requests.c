/* SPDX-License-Identifier: MPL-2.0 */
#include "core/requests.h"

#include <stdlib.h>
#include <string.h>

/* Out of memory aborts, as in actions.c. */
static void *never_null (void *ptr)
{
    if (!ptr)
        abort ();
    return ptr;
}

/* The first place whose seq is above `seq`. */
static size_t place_above (const struct requests *t, uint64_t seq)
{
    size_t low = 0, high = t->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (t->at[middle]->seq <= seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static size_t place_of (const struct requests *t, const struct request *r)
{
    return place_above (t, r->seq) - 1;
}

/* Seqs rise, so that the last place is that of the newest. */
static void append (struct requests *t, struct request *r)
{
    r->seq = ++t->last_seq;
    t->at[t->count++] = r;
}

static void take_out (struct requests *t, size_t place)
{
    t->count--;
    memmove (t->at + place, t->at + place + 1,
             (t->count - place) * sizeof (struct request *));
}

struct request *requests_add (struct requests *t, uint64_t client,
                              struct who supervisor,
                              const struct msg_request *ask)
{
    struct request *r;

    if (t->count == MAX_REQUESTS)
        return NULL;
    if (t->count == t->room) {
        t->room = t->room ? 2 * t->room : 16;
        t->at =
            never_null (realloc (t->at, t->room * sizeof (struct request *)));
    }
    r = never_null (calloc (1, sizeof *r));
    r->client = client;
    r->client_seq = ask->seq;
    r->supervisor = supervisor;
    r->ask = *ask;
    append (t, r);
    return r;
}

struct request *requests_find (struct requests *t, uint64_t seq)
{
    size_t above = place_above (t, seq);

    return above && t->at[above - 1]->seq == seq ? t->at[above - 1] : NULL;
}

void requests_remove (struct requests *t, uint64_t seq)
{
    struct request *r = requests_find (t, seq);

    if (!r)
        return;
    take_out (t, place_of (t, r));
    free (r);
}

void requests_clear (struct requests *t)
{
    for (size_t i = 0; i < t->count; i++)
        free (t->at[i]);
    free (t->at);
    t->at = NULL;
    t->count = t->room = 0;
}

struct request *requests_after (struct requests *t, uint64_t seq)
{
    size_t above = place_above (t, seq);

    return above < t->count ? t->at[above] : NULL;
}

void requests_move_last (struct requests *t, struct request *r)
{
    take_out (t, place_of (t, r));
    append (t, r);
}

void requests_ask_again (struct requests *t)
{
    size_t count = t->count;

    t->count = 0;
    for (size_t i = 0; i < count; i++) {
        struct request *r = t->at[i];

        if (!r->client) {
            free (r);
            continue;
        }
        r->asked = r->answered = r->sent = false;
        append (t, r);
    }
}

void requests_repeat (struct requests *t)
{
    for (size_t i = 0; i < t->count; i++)
        t->at[i]->answered = t->at[i]->sent = false;
}

bool requests_any (const struct requests *t)
{
    return t->count > 0;
}

bool requests_waiting (const struct requests *t)
{
    for (size_t i = 0; i < t->count; i++) {
        if (t->at[i]->client)
            return true;
    }
    return false;
}
