/* SPDX-License-Identifier: MPL-2.0 */
#include "unit/protocol/bytes.h"

#include <stdlib.h>
#include <string.h>

void bytes_clear (struct bytes *b)
{
    b->size = 0;
}

void bytes_add (struct bytes *b, const void *more, size_t count)
{
    if (count > sizeof b->at - b->size)
        abort ();
    memcpy (b->at + b->size, more, count);
    b->size += count;
}

static void add_head (struct bytes *b, unsigned fix, unsigned fix_most,
                      unsigned code16, size_t count)
{
    uint8_t head[3] = {code16, count >> 8, count & 0xff};

    if (count <= fix_most) {
        head[0] = fix | count;
        bytes_add (b, head, 1);
    } else {
        bytes_add (b, head, 3);
    }
}

void bytes_map (struct bytes *b, size_t pairs)
{
    add_head (b, 0x80, 15, 0xde, pairs);
}

void bytes_list (struct bytes *b, size_t items)
{
    add_head (b, 0x90, 15, 0xdc, items);
}

void bytes_text (struct bytes *b, const char *text, size_t size)
{
    add_head (b, 0xa0, 31, 0xda, size);
    bytes_add (b, text, size);
}

void bytes_string (struct bytes *b, const char *text)
{
    bytes_text (b, text, strlen (text));
}

void bytes_u64 (struct bytes *b, uint64_t value)
{
    uint8_t form[9] = {0xcf};

    for (int i = 8; i > 0; i--, value >>= 8)
        form[i] = value & 0xff;
    bytes_add (b, form, sizeof form);
}

uint8_t *bytes_exact (const void *from, size_t size)
{
    uint8_t *copy = malloc (size ? size : 1);

    if (!copy)
        abort ();
    memcpy (copy, from, size);
    return copy;
}
