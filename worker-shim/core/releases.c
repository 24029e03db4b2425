/* SPDX-License-Identifier: MPL-2.0 */
#include "core/releases.h"

#include <stdlib.h>
#include <string.h>

struct release *releases_add (struct releases *t, uint64_t client)
{
    struct release *r;

    if (t->count == MAX_RELEASES)
        return NULL;
    r = calloc (1, sizeof *r);
    if (!r)
        abort ();
    r->client = client;
    t->at[t->count++] = r;
    return r;
}

static bool take_out (struct u64s *list, uint64_t value)
{
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->at[i] == value) {
            list->at[i] = list->at[--list->count];
            return true;
        }
    }
    return false;
}

void release_note (struct release *r, uint64_t token,
                   enum release_result result)
{
    struct u64s *lists[] = {
        [RESULT_RELEASED] = &r->answer.tokens,
        [RESULT_EXPIRED] = &r->answer.expired,
        [RESULT_UNKNOWN] = &r->answer.unknown,
        [RESULT_BUSY] = &r->answer.busy,
    };

    u64s_add (lists[result], token);
}

void releases_note (struct releases *t, uint64_t token,
                    enum release_result result)
{
    for (size_t i = 0; i < t->count; i++) {
        if (take_out (&t->at[i]->open, token))
            release_note (t->at[i], token, result);
    }
}

void releases_move (struct releases *t, uint64_t from, uint64_t to)
{
    for (size_t i = 0; i < t->count; i++) {
        if (take_out (&t->at[i]->open, from))
            u64s_add (&t->at[i]->open, to);
    }
}

struct release *releases_done (struct releases *t)
{
    for (size_t i = 0; i < t->count; i++) {
        if (t->at[i]->open.count == 0)
            return t->at[i];
    }
    return NULL;
}

void releases_remove (struct releases *t, const struct release *r)
{
    for (size_t i = 0; i < t->count; i++) {
        if (t->at[i] == r) {
            free (t->at[i]);
            memmove (&t->at[i], &t->at[i + 1],
                     (--t->count - i) * sizeof t->at[0]);
            return;
        }
    }
}

void releases_forget (struct releases *t, uint64_t client)
{
    for (size_t i = t->count; i-- > 0;) {
        if (t->at[i]->client == client)
            releases_remove (t, t->at[i]);
    }
}

void releases_clear (struct releases *t)
{
    while (t->count)
        releases_remove (t, t->at[0]);
}
