/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/advice.h"

#include <math.h>
#include <stddef.h>

static const struct advice_row rows[] = {
    {"small", 2, 4, 5, 8, 2, 3},
    {"medium", 4, 8, 10, 15, 3, 5},
    {"large", 8, 16, 20, 30, 5, 10},
    {"xlarge", 16, 32, 40, 50, 10, 15},
};

unsigned advice_gb (uint64_t memory_bytes)
{
    uint64_t gb = (memory_bytes >> 30) + ((memory_bytes & 0x3fffffff) != 0);

    return gb > 0 ? (unsigned) gb : 1;
}

unsigned advice_slots (unsigned cores, unsigned gb)
{
    unsigned by_cores = cores * 5 / 2, by_memory = gb * 5 / 4;
    unsigned slots = by_cores < by_memory ? by_cores : by_memory;

    return slots < 1 ? 1 : slots > 50 ? 50 : slots;
}

unsigned advice_fit (uint64_t memory_bytes, double percent, uint64_t slot_bytes)
{
    double part = isnan (percent) ? 1 : percent / 100;
    double fit = (double) memory_bytes * part / (double) slot_bytes;

    return fit < 1000000 ? (unsigned) fit : 1000000;
}

const struct advice_row *advice_row (unsigned cores, unsigned gb)
{
    size_t i = sizeof rows / sizeof *rows - 1;

    while (i > 0 && (cores < rows[i].cores || gb < rows[i].gb))
        i--;
    return &rows[i];
}
