/* SPDX-License-Identifier: MPL-2.0 */
#include "core/progress.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static struct msg_progress *find (struct progress *p, uint64_t token)
{
    for (size_t i = 0; i < p->count; i++) {
        if (p->at[i].token == token)
            return &p->at[i];
    }
    return NULL;
}

/* As the broker would have heard one after the other. */
static void merge (struct msg_progress *old, const struct msg_progress *in)
{
    if (in->label[0])
        copy_text (old->label, sizeof old->label, in->label);
    if (in->phases) {
        old->phase = in->phase;
        old->phases = in->phases;
    }
    if (in->phases || !isnan (in->percent))
        old->percent = in->percent;
    if (in->note[0])
        copy_text (old->note, sizeof old->note, in->note);
    old->validating = in->validating;
}

void progress_note (struct progress *p, const struct msg_progress *in)
{
    struct msg_progress *old = find (p, in->token);

    if (old) {
        merge (old, in);
        return;
    }
    if (p->count == p->room) {
        p->room = p->room ? 2 * p->room : 8;
        p->at = realloc (p->at, p->room * sizeof *p->at);
        if (!p->at)
            abort (); // whoever wanted a shim starts another one
    }
    p->at[p->count++] = *in;
}

static void drop (struct progress *p, size_t i)
{
    p->count--;
    memmove (p->at + i, p->at + i + 1, (p->count - i) * sizeof *p->at);
}

void progress_move (struct progress *p, uint64_t from, uint64_t to)
{
    struct msg_progress *of = find (p, from);

    if (of)
        of->token = to;
}

void progress_forget (struct progress *p, uint64_t token)
{
    struct msg_progress *of = find (p, token);

    if (of)
        drop (p, (size_t) (of - p->at));
}

bool progress_take (struct progress *p, unsigned told, int64_t now,
                    struct msg_progress *ret_progress)
{
    if (p->count == 0 || told >= PROGRESS_AT_ONCE || now < p->next) {
        if (told > 0)
            p->next = now + PROGRESS_EVERY_MS;
        return false;
    }
    *ret_progress = p->at[0];
    drop (p, 0);
    return true;
}

int64_t progress_due (const struct progress *p)
{
    return p->count ? p->next : INT64_MAX;
}

void progress_clear (struct progress *p)
{
    free (p->at);
    *p = (struct progress){.count = 0};
}
