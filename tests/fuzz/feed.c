/* SPDX-License-Identifier: MPL-2.0 */
#include "fuzz/feed.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/codec.h"

#define COUNT(array) (sizeof (array) / sizeof *(array))

/* ---- what must be ---- */

void must (bool holds, const char *what)
{
    if (holds)
        return;
    fprintf (stderr, "fuzz: %s\n", what);
    abort ();
}

/* The character at `at` and its length; 0: that is none. */
static unsigned character (const uint8_t *at, size_t left, uint32_t *ret_code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned length = *at < 0x80             ? 1
                      : (*at & 0xe0) == 0xc0 ? 2
                      : (*at & 0xf0) == 0xe0 ? 3
                      : (*at & 0xf8) == 0xf0 ? 4
                                             : 0;
    uint32_t code = length == 1 ? *at : *at & (0x7fu >> length);

    if (length == 0 || length > left)
        return 0;
    for (unsigned i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (at[i] & 0x3f);
    }
    *ret_code = code;
    if (code < least[length] || code > 0x10ffff ||
        (code >= 0xd800 && code < 0xe000))
        return 0;
    return length;
}

static bool harmless (uint32_t code, bool lines)
{
    if (code == '\n')
        return lines;
    return code >= 0x20 && (code < 0x7f || code > 0x9f) && code != 0x61c &&
           code != 0x200e && code != 0x200f &&
           !(code >= 0x202a && code <= 0x202e) &&
           !(code >= 0x2066 && code <= 0x2069);
}

void must_be_clean (const char *text, size_t size, bool lines, const char *what)
{
    const uint8_t *bytes = (const uint8_t *) text;

    for (size_t at = 0; at < size;) {
        uint32_t code = 0;
        unsigned length = character (bytes + at, size - at, &code);

        must (length > 0 && harmless (code, lines), what);
        at += length;
    }
}

void must_be_sayable (enum verb verb, const void *fields, const char *what)
{
    static uint8_t body[MAX_BODY_BYTES], again[MAX_BODY_BYTES];
    static struct msg heard;
    struct codec_error error;
    size_t size = codec_encode (verb, fields, body, sizeof body);

    must (size > 0, what);
    if (codec_decode (body, size, &heard, &error) != ERR_NONE) {
        fprintf (stderr, "fuzz: %s: %s %s\n", verb_name (verb), error.key,
                 error.detail);
        must (false, what);
    }
    must (heard.verb == verb, what);
    must (codec_encode_msg (&heard, again, sizeof again) == size &&
              memcmp (body, again, size) == 0,
          what);
}

/* ---- values ---- */

bool feed_over (const struct feed *f)
{
    return f->at == f->end;
}

uint8_t feed_byte (struct feed *f)
{
    return f->at < f->end ? *f->at++ : 0;
}

unsigned feed_below (struct feed *f, unsigned below)
{
    return feed_byte (f) % below;
}

static uint64_t any (struct feed *f)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < sizeof value; i++)
        value = value << 8 | feed_byte (f);
    return value;
}

uint64_t feed_number (struct feed *f)
{
    static const uint64_t edges[] = {
        256,
        1000,
        4096,
        10000,
        65535,
        65536,
        INT32_MAX,
        1 + (uint64_t) INT32_MAX,
        UINT32_MAX,
        INT64_MAX,
        INT64_MAX - 1u,
        1 + (uint64_t) INT64_MAX,
        UINT64_MAX - 1,
        UINT64_MAX,
        60000,
    };
    unsigned first = 256 - (unsigned) COUNT (edges) - 1;
    uint8_t byte = feed_byte (f);

    if (byte < first)
        return byte;
    return byte - first < COUNT (edges) ? edges[byte - first] : any (f);
}

double feed_real (struct feed *f)
{
    static const double edges[] = {0,    -1,       -0.0,    0.1,     1e-300,
                                   99.9, 100.0001, 1e18,    1e19,    1e300,
                                   NAN,  INFINITY, DBL_MAX, -DBL_MAX};
    unsigned first = 256 - (unsigned) COUNT (edges) - 1;
    uint8_t byte = feed_byte (f);
    uint64_t bits;
    double value;

    if (byte < first)
        return byte;
    if (byte - first < COUNT (edges))
        return edges[byte - first];
    bits = any (f);
    memcpy (&value, &bits, sizeof value);
    return value;
}

char *feed_text (struct feed *f, char *ret_text, size_t size)
{
    static const char *const words[] = {
        "",          "a",
        "b",         "vm1",
        "vm2",       "m1",
        "m2",        "boot1",
        "boot2",     "BROKER",
        "GRANT",     "REQUEST",
        "RELEASE",   "BYE",
        "BEAT",      "NO_SESSION",
        "BUSY",      "EXPIRED",
        "CONFLICT",  "\x1b[2J",
        "\xff",      "\xe2\x80\xae",
        "x\" y=\"z", "0123456789abcdef0123456789abcdef:1",
        "../..",     "HIGH",
        "LOST",
    };
    unsigned length = feed_byte (f);

    if (length < COUNT (words))
        return copy_text (ret_text, size, words[length]);
    if (length == 255) {
        memset (ret_text, 'x', size - 1);
        ret_text[size - 1] = 0;
        return ret_text;
    }
    length -= (unsigned) COUNT (words);
    for (size_t i = 0; i < size; i++)
        ret_text[i] = i < length && i + 1 < size ? (char) feed_byte (f) : 0;
    return ret_text;
}

/* ---- messages ---- */

static void fill (struct feed *f, const struct fields *table, void *into);

static uint64_t within (uint64_t value, uint64_t min, uint64_t max)
{
    return value < min ? min : value > max ? max : value;
}

static void fill_key (struct feed *f, char *key)
{
    char name[MAX_KEY_BYTES + 1];

    if (project_key_of (feed_text (f, name, sizeof name), key))
        copy_text (key, MAX_KEY_BYTES + 1, "a");
}

/* A few, or as many as there may be. */
static uint32_t how_many (struct feed *f, uint64_t most)
{
    unsigned byte = feed_byte (f);

    return (uint32_t) (byte == 255 ? most : within (byte % 8, 0, most));
}

static void fill_list (struct feed *f, struct u64s *list, uint64_t most)
{
    uint32_t count = how_many (f, most);

    list->count = 0;
    while (list->count < count)
        u64s_add (list, feed_over (f)
                            ? list->count + 1u
                            : within (feed_number (f), 1, UINT64_MAX));
}

static void fill_rows (struct feed *f, const struct field *field, char *into)
{
    uint32_t count = how_many (f, field->max);

    memcpy (into + field->offset, &count, sizeof count);
    for (uint32_t i = 0; i < count; i++) {
        char *row = into + field->items + i * field->row->size;

        row_init (row, field->row);
        fill (f, field->row, row);
    }
}

static void fill_field (struct feed *f, const struct field *field, char *into)
{
    void *at = into + field->offset;
    double real;

    switch (field->kind) {
    case KIND_U64:
        *(uint64_t *) at = within (feed_number (f), field->min, field->max);
        break;
    case KIND_BOOL: *(bool *) at = feed_byte (f) & 1; break;
    case KIND_F64:
        real = feed_real (f);
        *(double *) at = isfinite (real) ? real : NAN;
        break;
    case KIND_STR: feed_text (f, at, field->max + 1); break;
    case KIND_KEY: fill_key (f, at); break;
    case KIND_U64S: fill_list (f, at, field->max); break;
    case KIND_ROWS: fill_rows (f, field, into); break;
    }
}

/* What must be there, and is not yet. */
static void complete (const struct field *field, char *into)
{
    void *at = into + field->offset;

    if (!field->required)
        return;
    if (field->kind == KIND_U64 && *(uint64_t *) at < field->min)
        *(uint64_t *) at = field->min;
    if (field->kind == KIND_KEY && !*(char *) at)
        copy_text (at, MAX_KEY_BYTES + 1, "a");
}

static void fill (struct feed *f, const struct fields *table, void *into)
{
    for (unsigned left = feed_below (f, 8); left > 0; left--)
        fill_field (f, &table->at[feed_below (f, table->count)], into);
    for (unsigned i = 0; i < table->count; i++)
        complete (&table->at[i], into);
}

void feed_fields (struct feed *f, enum verb verb, void *fields)
{
    fill (f, message_fields (verb), fields);
}
