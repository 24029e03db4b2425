/* SPDX-License-Identifier: MPL-2.0 */
#include "protocol/precheck.h"

#include "protocol/message.h"

/* What a first byte announces: its form, and how many bytes of number follow
 * it. The forms are those of the msgpack specification. */
enum form { SCALAR, TEXT, BYTES, ARRAY, MAP, EXT, RESERVED };

struct head {
    enum form form;
    unsigned number_bytes; // of the length, or of the scalar itself
    uint64_t length;       // where the first byte holds it
};

static struct head head_of (uint8_t byte)
{
    static const struct head from_c0[32] = {
        {SCALAR, 0, 0}, {RESERVED, 0, 0}, {SCALAR, 0, 0}, {SCALAR, 0, 0},
        {BYTES, 1, 0},  {BYTES, 2, 0},    {BYTES, 4, 0},  {EXT, 0, 0},
        {EXT, 0, 0},    {EXT, 0, 0},      {SCALAR, 4, 0}, {SCALAR, 8, 0},
        {SCALAR, 1, 0}, {SCALAR, 2, 0},   {SCALAR, 4, 0}, {SCALAR, 8, 0},
        {SCALAR, 1, 0}, {SCALAR, 2, 0},   {SCALAR, 4, 0}, {SCALAR, 8, 0},
        {EXT, 0, 0},    {EXT, 0, 0},      {EXT, 0, 0},    {EXT, 0, 0},
        {EXT, 0, 0},    {TEXT, 1, 0},     {TEXT, 2, 0},   {TEXT, 4, 0},
        {ARRAY, 2, 0},  {ARRAY, 4, 0},    {MAP, 2, 0},    {MAP, 4, 0},
    };

    if (byte < 0x80 || byte >= 0xe0)
        return (struct head){SCALAR, 0, 0};
    if (byte >= 0xc0)
        return from_c0[byte - 0xc0];
    if (byte >= 0xa0)
        return (struct head){TEXT, 0, byte & 0x1f};
    return (struct head){byte >= 0x90 ? ARRAY : MAP, 0, byte & 0x0f};
}

struct walk {
    const uint8_t *bytes;
    size_t size;
    size_t at;
    uint64_t owed;  // objects announced and not yet seen, over all
                    // levels: each takes at least one byte
    unsigned depth; // containers that are open
    struct {
        bool map;
        uint64_t left; // objects still to come; in a map, even: a key
    } open[MAX_DEPTH];
};

static uint64_t number_at (const uint8_t *bytes, unsigned count)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < count; i++)
        value = value << 8 | bytes[i];
    return value;
}

static bool key_is_due (const struct walk *w)
{
    return w->depth > 0 && w->open[w->depth - 1].map &&
           w->open[w->depth - 1].left % 2 == 0;
}

static void close_finished (struct walk *w)
{
    while (w->depth > 0 && w->open[w->depth - 1].left == 0)
        w->depth--;
}

/* Account for one object whose head is at w->at. */
static const char *step (struct walk *w)
{
    struct head head = head_of (w->bytes[w->at]);
    bool container = head.form == MAP || head.form == ARRAY;
    bool sized = container || head.form == TEXT || head.form == BYTES;
    uint64_t left = w->size - w->at;
    uint64_t taken = 1 + head.number_bytes;
    uint64_t children = 0;

    if (head.form == RESERVED)
        return "a byte that msgpack reserves";
    if (head.form == EXT)
        return "an extension type";
    if (key_is_due (w) && head.form != TEXT)
        return "a key that is not a string";
    if (container && w->depth == MAX_DEPTH)
        return "nested too deep";
    if (taken > left)
        return "cut short";
    if (sized && head.number_bytes > 0)
        head.length = number_at (w->bytes + w->at + 1, head.number_bytes);
    if (container)
        children = head.form == MAP ? 2 * head.length : head.length;
    else
        taken += head.length;
    w->owed += children - 1;
    if (taken + w->owed > left)
        return "announces more than there is";
    w->at += taken;
    if (w->depth > 0)
        w->open[w->depth - 1].left--;
    if (children > 0) {
        w->open[w->depth].map = head.form == MAP;
        w->open[w->depth++].left = children;
    }
    close_finished (w);
    return NULL;
}

static const char *walk (struct walk *w)
{
    const char *wrong = NULL;

    if (w->size == 0)
        return "empty";
    if (w->size > MAX_BODY_BYTES)
        return "too long";
    if (head_of (w->bytes[0]).form != MAP)
        return "not a map";
    do {
        wrong = step (w);
    } while (!wrong && w->depth > 0);
    if (!wrong && w->at < w->size)
        return "bytes behind the end";
    return wrong;
}

const char *precheck (const uint8_t *bytes, size_t size, size_t *ret_at)
{
    struct walk w = {.bytes = bytes, .size = size, .owed = 1};
    const char *wrong = walk (&w);

    if (ret_at)
        *ret_at = w.at;
    return wrong;
}
