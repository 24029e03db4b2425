/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/history_labels.h"

#include <stdlib.h>
#include <string.h>

#include "bus/base.h"

static bool is_run (const struct row_lease_run *r)
{
    if (strcmp (r->outcome, "parked") == 0)
        return false;
    return r->label[0] || strcmp (r->outcome, "released") != 0;
}

/* Of the slots of a tree the first has what the tree used, and is the last in
 * the list. */
static bool is_slot_of (const struct row_lease_run *r,
                        const struct row_lease_run *next)
{
    return r->memory_bytes == 0 && r->cpu_ms == 0 &&
           strcmp (r->outcome, "released") != 0 &&
           r->ended_ms == next->ended_ms && r->run_ms == next->run_ms &&
           strcmp (r->outcome, next->outcome) == 0 &&
           strcmp (r->label, next->label) == 0;
}

static int by_label (const void *a, const void *b)
{
    const struct row_lease_run *const *x = a, *const *y = b;

    return strcmp ((*x)->label, (*y)->label);
}

static int most_runs (const void *a, const void *b)
{
    const struct label_sum *x = a, *y = b;

    if (x->runs != y->runs)
        return (x->runs < y->runs) - (x->runs > y->runs);
    return strcmp (x->label, y->label);
}

static int by_size (const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

    return (x > y) - (x < y);
}

static uint64_t quantile (const uint64_t *sorted, size_t count,
                          unsigned percent)
{
    return count ? sorted[(percent * count + 99) / 100 - 1] : 0;
}

enum figure { RUN, WAIT, MEMORY, CPU };

static uint64_t figure_of (const struct row_lease_run *r, enum figure figure)
{
    switch (figure) {
    case RUN: return r->run_ms;
    case WAIT: return r->wait_ms;
    case MEMORY: return r->memory_bytes;
    case CPU: return r->cpu_ms;
    }
    return 0;
}

/* Sorted. Of memory and CPU 0 says that it is not known. */
static size_t gather (const struct row_lease_run *const *runs, size_t count,
                      enum figure figure, uint64_t *ret_values)
{
    bool zero = figure == RUN || figure == WAIT;
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        uint64_t value = figure_of (runs[i], figure);

        if (value || zero)
            ret_values[kept++] = value;
    }
    qsort (ret_values, kept, sizeof *ret_values, by_size);
    return kept;
}

static uint64_t mean (const uint64_t *values, size_t count)
{
    double sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += (double) values[i];
    return count ? (uint64_t) (sum / (double) count) : 0;
}

static struct label_sum sum_up (const struct row_lease_run *const *runs,
                                size_t count, uint64_t *values)
{
    struct label_sum s = {.label = runs[0]->label, .runs = count};
    size_t known = gather (runs, count, RUN, values);

    s.run_p50_ms = quantile (values, known, 50);
    s.run_p90_ms = quantile (values, known, 90);
    known = gather (runs, count, WAIT, values);
    s.wait_p50_ms = quantile (values, known, 50);
    s.wait_p90_ms = quantile (values, known, 90);
    known = gather (runs, count, MEMORY, values);
    s.memory_p90_bytes = quantile (values, known, 90);
    known = gather (runs, count, CPU, values);
    s.cpu_ms = mean (values, known);
    return s;
}

size_t history_labels_sum (const struct row_lease_run *runs, size_t count,
                           struct label_sum **ret_sums)
{
    const struct row_lease_run **some = xcalloc (count + 1, sizeof *some);
    struct label_sum *sums = xcalloc (count + 1, sizeof *sums);
    uint64_t *values = xcalloc (count + 1, sizeof *values);
    size_t kept = 0, labels = 0;

    for (size_t i = 0; i < count; i++)
        if (is_run (&runs[i]) &&
            (i + 1 == count || !is_slot_of (&runs[i], &runs[i + 1])))
            some[kept++] = &runs[i];
    qsort (some, kept, sizeof *some, by_label);
    for (size_t from = 0, to; from < kept; from = to) {
        for (to = from + 1;
             to < kept && by_label (&some[from], &some[to]) == 0;)
            to++;
        sums[labels++] = sum_up (some + from, to - from, values);
    }
    qsort (sums, labels, sizeof *sums, most_runs);
    free (some);
    free (values);
    *ret_sums = sums;
    return labels;
}
