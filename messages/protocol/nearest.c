/* SPDX-License-Identifier: MPL-2.0 */
#include "protocol/nearest.h"

#include <limits.h>
#include <string.h>

enum { MOST = 65 };

static unsigned least (unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Optimal string alignment over three rows of the table. */
unsigned nearest_distance (const char *a, const char *b)
{
    unsigned rows[3][MOST + 1] = {{0}};
    unsigned *older = rows[0], *above = rows[1], *row = rows[2];
    size_t m = strlen (a), n = strlen (b);

    if (m >= MOST || n >= MOST)
        return UINT_MAX;
    for (unsigned j = 0; j <= n; j++)
        above[j] = j;
    for (unsigned i = 1; i <= m; i++) {
        unsigned *freed = older;

        row[0] = i;
        for (unsigned j = 1; j <= n; j++) {
            unsigned change = above[j - 1] + (a[i - 1] != b[j - 1]);

            row[j] = least (change, least (above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least (row[j], older[j - 2] + 1);
        }
        older = above;
        above = row;
        row = freed;
    }
    return above[n];
}

/* A third of the word may be wrong: beyond that it is another word. */
void nearest_offer (struct nearest *n, const char *candidate)
{
    unsigned distance = nearest_distance (n->word, candidate);

    if (distance > strlen (candidate) / 3 + 1)
        return;
    if (n->best && distance >= n->distance)
        return;
    n->best = candidate;
    n->distance = distance;
}

const char *nearest_word (const char *word, const char *const *words)
{
    struct nearest nearest = {.word = word};

    for (; *words; words++)
        nearest_offer (&nearest, *words);
    return nearest.best;
}
