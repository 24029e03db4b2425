/* SPDX-License-Identifier: MPL-2.0 */
/* rows.h - records as rows: which column is which field, and a checksum
 *
 * One table per record describes its columns; a store binds and reads them in
 * a loop. The checksum covers the key and every value, so that a row that was
 * damaged on the disk is told from a good one. Pure.
 *
 * A column that a later version of the file brought stands behind all others,
 * and one that is 0 there adds nothing to the checksum: so the rows of an older
 * file are good as they are once they have the column.
 */
#ifndef SLOTBUS_ROWS_H
#define SLOTBUS_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/records.h"

enum column_type {
    COLUMN_U64,
    COLUMN_U32,
    COLUMN_I64,
    COLUMN_I32,
    COLUMN_BOOL,
    COLUMN_F64,
    COLUMN_TEXT
};

struct column {
    const char *name;
    enum column_type type;
    size_t offset; // in the record
    size_t size;   // COLUMN_TEXT: of the array
};

struct rows {
    const char *name;  // of the table
    const char *key;   // name of the key column
    size_t key_offset; // of the key in the record (a uint64_t),
    bool keyless;      // or there is none: one row, key 1
    size_t size;       // of the record
    unsigned count;    // of columns;
    unsigned early;    // of them those that the oldest file that is taken has
                       // too, 0: it has no such table
    const struct column *columns;
};

/* The row of meta has two columns more than its record. */
struct meta_row {
    struct meta_record meta;
    bool learning;
    uint64_t commits; // how many batches made the state: tally.h
};

extern const struct rows rows_session, rows_lease, rows_waiter, rows_meta,
    rows_project;

/* An integer column's value, of any of the integer types. */
int64_t rows_get (const struct column *c, const void *record);
/* false: out of the field's range; the record is untouched. */
bool rows_set (const struct column *c, void *ret_record, int64_t value);

uint64_t rows_checksum (const struct rows *rows, uint64_t key,
                        const void *record);

/* Can a broker have written this? The checksum says that the bytes are those
 * that were written; one that is right is no reason to believe in a project
 * without a name, or in a number that no message could carry. */
bool rows_sound (const struct rows *rows, const void *record);

#endif
