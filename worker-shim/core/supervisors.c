/* SPDX-License-Identifier: MPL-2.0 */
#include "core/supervisors.h"

bool who_same (struct who a, struct who b)
{
    return a.pid == b.pid && a.start == b.start;
}

static size_t find (const struct supervisors *t, struct who who)
{
    size_t i = 0;

    while (i < t->count && !who_same (t->at[i], who))
        i++;
    return i;
}

bool supervisors_have (const struct supervisors *t, struct who who)
{
    return find (t, who) < t->count;
}

bool supervisors_add (struct supervisors *t, struct who who)
{
    if (t->count == MAX_SUPERVISORS)
        return false;
    t->at[t->count++] = who;
    t->any = true;
    return true;
}

bool supervisors_remove (struct supervisors *t, struct who who)
{
    size_t i = find (t, who);

    if (i == t->count)
        return false;
    t->at[i] = t->at[--t->count];
    return true;
}
