/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/gaps.h"

#include <stdlib.h>
#include <string.h>

#include "bus/base.h"

struct topic {
    char *name; // owned
    uint64_t epoch, number;
    uint64_t heard; // rises with every message of any topic
    bool gone;
};

struct gaps {
    uint64_t heard;
    unsigned count;
    struct topic at[GAPS_TOPICS];
};

struct gaps *gaps_create (void)
{
    return xcalloc (1, sizeof (struct gaps));
}

void gaps_destroy (struct gaps *g)
{
    for (unsigned i = 0; g && i < g->count; i++)
        free (g->at[i].name);
    free (g);
}

static struct topic *find (struct gaps *g, const char *name)
{
    for (unsigned i = 0; i < g->count; i++)
        if (strcmp (g->at[i].name, name) == 0)
            return &g->at[i];
    return NULL;
}

static struct topic *oldest (struct gaps *g)
{
    struct topic *found = g->at;

    for (unsigned i = 1; i < g->count; i++)
        if (g->at[i].heard < found->heard)
            found = &g->at[i];
    return found;
}

static struct topic *add (struct gaps *g, const char *name)
{
    struct topic *t = g->count < GAPS_TOPICS ? &g->at[g->count++] : oldest (g);

    free (t->name);
    t->name = xstrdup (name);
    return t;
}

static enum news compare (const struct topic *last, uint64_t epoch,
                          uint64_t number, uint64_t *ret_missing)
{
    // a lower number can only be of another broker
    if (epoch != last->epoch || number < last->number)
        return NEWS_NEW_EPOCH;
    if (number == last->number)
        return NEWS_REPEATED;
    if (last->gone)
        return NEWS_FIRST;
    *ret_missing = number - last->number - 1;
    return *ret_missing ? NEWS_GAP : NEWS_NEXT;
}

enum news gaps_note (struct gaps *g, const char *topic, uint64_t epoch,
                     uint64_t number, bool gone, uint64_t *ret_missing)
{
    struct topic *t = find (g, topic);
    enum news news = NEWS_FIRST;

    *ret_missing = 0;
    if (t)
        news = compare (t, epoch, number, ret_missing);
    else
        t = add (g, topic);
    t->epoch = epoch;
    t->number = number;
    t->gone = gone;
    t->heard = ++g->heard;
    return news;
}
