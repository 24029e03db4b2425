/* SPDX-License-Identifier: MPL-2.0 */
#include "unit/protocol/fill.h"

#include <stdio.h>
#include <string.h>

static uint64_t least (uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t u64_for (const struct field *f, enum fill fill, unsigned n)
{
    uint64_t span = f->max - f->min;

    if (fill == FILL_LEAST)
        return f->min;
    if (fill == FILL_LARGEST)
        return f->max;
    return f->min + 1 + (span > n ? n : 0);
}

static double f64_for (enum fill fill, unsigned n)
{
    return fill == FILL_EVERY ? n + 0.25 : fill == FILL_LEAST ? 0 : 1e300;
}

static void set_text (char *to, const struct field *f, enum fill fill,
                      unsigned n)
{
    memset (to, 0, f->max + 1);
    if (fill == FILL_LARGEST)
        memset (to, 'x', f->max);
    else if (fill == FILL_EVERY)
        snprintf (to, f->max + 1, "%.6s-%u", f->key, n);
    else
        to[0] = 'p';
}

static void set_fields (unsigned char *base, const struct fields *fields,
                        enum fill fill, unsigned rows, unsigned *n);

static void set_list (unsigned char *base, const struct field *f,
                      enum fill fill, unsigned rows, unsigned *n)
{
    uint32_t count = fill == FILL_LEAST ? 1
                     : f->kind == KIND_ROWS
                         ? least (rows, f->max)
                         : (fill == FILL_LARGEST ? f->max : least (f->max, 5));

    memcpy (base + f->offset, &count, sizeof count);
    for (uint32_t i = 0; i < count; i++) {
        if (f->kind == KIND_ROWS) {
            unsigned char *row = base + f->items + i * f->row->size;

            row_init (row, f->row);
            set_fields (row, f->row, fill, rows, n);
        } else {
            uint64_t value = fill == FILL_LARGEST ? UINT64_MAX : ++*n;

            memcpy (base + f->items + i * sizeof value, &value, sizeof value);
        }
    }
}

static void set_field (unsigned char *base, const struct field *f,
                       enum fill fill, unsigned rows, unsigned *n)
{
    uint64_t u64 = u64_for (f, fill, ++*n);
    double f64 = f64_for (fill, *n);

    switch (f->kind) {
    case KIND_U64: memcpy (base + f->offset, &u64, sizeof u64); break;
    case KIND_BOOL: base[f->offset] = 1; break;
    case KIND_F64: memcpy (base + f->offset, &f64, sizeof f64); break;
    case KIND_STR:
    case KIND_KEY: set_text ((char *) base + f->offset, f, fill, *n); break;
    case KIND_U64S:
    case KIND_ROWS: set_list (base, f, fill, rows, n); break;
    }
}

static void set_fields (unsigned char *base, const struct fields *fields,
                        enum fill fill, unsigned rows, unsigned *n)
{
    for (unsigned i = 0; i < fields->count; i++) {
        if (fill != FILL_LEAST || fields->at[i].required)
            set_field (base, &fields->at[i], fill, rows, n);
    }
}

void fill_message (struct msg *ret_msg, enum verb verb, enum fill fill,
                   unsigned rows)
{
    unsigned n = 0;

    message_init (ret_msg, verb);
    set_fields ((unsigned char *) &ret_msg->hello, message_fields (verb), fill,
                rows, &n);
}
