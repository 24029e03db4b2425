/* SPDX-License-Identifier: MPL-2.0 */
/* bytes.h - write msgpack by hand, right or wrong
 *
 * A second, tiny writer, so that the codec is not judged by itself. Grows to
 * a fixed size; overrunning it fails the test.
 */
#ifndef SLOTBUS_TEST_BYTES_H
#define SLOTBUS_TEST_BYTES_H

#include <stddef.h>
#include <stdint.h>

struct bytes {
    size_t size;
    uint8_t at[80000];
};

#define BYTES_OF(literal) (literal), sizeof (literal) - 1

void bytes_clear (struct bytes *b);
void bytes_add (struct bytes *b, const void *more, size_t count);
/* Any length up to 65535, in the shortest form. */
void bytes_map (struct bytes *b, size_t pairs);
void bytes_list (struct bytes *b, size_t items);
void bytes_text (struct bytes *b, const char *text, size_t size);
void bytes_string (struct bytes *b, const char *text);
/* cf + 8 bytes: never the shortest form of a small number. */
void bytes_u64 (struct bytes *b, uint64_t value);
/* A copy of exactly `size` bytes, so that a sanitizer sees the first read
 * past the end. The caller frees it. */
uint8_t *bytes_exact (const void *from, size_t size);

#endif
