/* SPDX-License-Identifier: MPL-2.0 */
#include "core/supervisors.h"

#include <stdio.h>

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

static void name_pids (const struct who *who, size_t count, const char *what,
                       char *ret_text, size_t size)
{
    size_t used = (size_t) snprintf (ret_text, size, "%s", what);

    for (size_t i = 0; i < count && used < size; i++)
        used += (size_t) snprintf (ret_text + used, size - used, "%s %d",
                                   i ? "," : "", (int) who[i].pid);
}

enum err supervisors_choose (const struct who *who, size_t count, uint64_t pid,
                             const char *what, struct who *ret_who,
                             char *ret_why, size_t size)
{
    *ret_who = (struct who){0};
    for (size_t i = 0; i < count; i++) {
        if ((uint64_t) who[i].pid == pid || count == 1) {
            *ret_who = who[i];
            return ERR_NONE;
        }
    }
    if (count == 0)
        return ERR_NONE;
    name_pids (who, count, what, ret_why, size);
    return ERR_CONFLICT;
}
