/* SPDX-License-Identifier: MPL-2.0 */
#include "core/leases.h"

#include <math.h>
#include <string.h>

#include "core/memory.h"

struct lease *leases_find (const struct leases *t, uint64_t token)
{
    return table_find (&t->by_token, token);
}

/* The first in order of (session, token) that is not before these. */
static size_t place (const struct leases *t, uint64_t session, uint64_t token)
{
    size_t low = 0, high = t->by_token.count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct lease_record *r = &t->by_session[middle]->r;

        if (r->session < session || (r->session == session && r->token < token))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void leases_add (struct leases *t, struct lease *l)
{
    size_t i = place (t, l->r.session, l->r.token), count = leases_count (t);

    if (count == t->capacity) {
        t->capacity = t->capacity ? 2 * t->capacity : 16;
        t->by_session =
            resized (t->by_session, t->capacity, sizeof *t->by_session);
    }
    memmove (t->by_session + i + 1, t->by_session + i,
             (count - i) * sizeof *t->by_session);
    t->by_session[i] = l;
    table_add (&t->by_token, l);
}

void leases_remove (struct leases *t, struct lease *l)
{
    size_t i = place (t, l->r.session, l->r.token), count = leases_count (t);

    memmove (t->by_session + i, t->by_session + i + 1,
             (count - i - 1) * sizeof *t->by_session);
    table_remove (&t->by_token, l->r.token);
}

void leases_clear (struct leases *t)
{
    table_clear (&t->by_token);
    free (t->by_session);
    *t = (struct leases){0};
}

size_t leases_of (const struct leases *t, uint64_t session,
                  struct lease ***ret_leases)
{
    size_t first = place (t, session, 0), after = first;

    while (after < leases_count (t) &&
           t->by_session[after]->r.session == session)
        after++;
    if (after > first)
        *ret_leases = t->by_session + first;
    return after - first;
}

bool lease_has_tree (const struct lease *l)
{
    return l->r.tree || (l->r.run && !l->r.bound);
}

uint64_t lease_cookie (const struct lease *l)
{
    if (l->r.cookie)
        return l->r.cookie;
    return l->r.run ? l->r.first : l->r.token;
}

struct lease *lease_next_of_tree (const struct leases *t,
                                  const struct lease *of,
                                  const struct lease *after)
{
    size_t i = after ? place (t, after->r.session, after->r.token) + 1
                     : place (t, of->r.session, 0);

    for (; i < leases_count (t); i++) {
        struct lease *l = t->by_session[i];

        if (l->r.session != of->r.session)
            return NULL;
        if (l == of || (l->r.cookie && l->r.cookie == of->r.cookie))
            return l;
    }
    return NULL;
}

/* Its first token names it, unless that is closed: the tree was parked since,
 * or lost that slot. */
bool lease_leads_tree (const struct leases *t, const struct lease *l)
{
    if (!lease_has_tree (l))
        return false;
    if (l->r.cookie == 0 || l->r.cookie == l->r.token)
        return true;
    return lease_next_of_tree (t, l, NULL) == l;
}

double lease_percent (const struct lease_record *r)
{
    uint32_t steps = r->phases + 1, percent;

    if (!isnan (r->percent) || r->phases == 0)
        return r->percent;
    percent = (200 * r->phase + steps) / (2 * steps);
    return r->validating ? (percent + 100 + 1) / 2 : percent;
}

const char *lease_state_name (enum lease_state state)
{
    switch (state) {
    case LEASE_NONE: return "none";
    case LEASE_ACTIVE: return "active";
    case LEASE_KILLING: return "killing";
    case LEASE_LIMBO: return "limbo";
    case LEASE_PARKED: return "parked";
    }
    return "?";
}
