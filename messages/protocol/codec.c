/* SPDX-License-Identifier: MPL-2.0 */
#include "protocol/codec.h"

#include <inttypes.h>
#include <math.h>
#include <msgpack.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/precheck.h"

/* ---- one value of a structure, by its line of the table ---- */

static uint64_t u64_of (const unsigned char *base, const struct field *f)
{
    uint64_t value;

    memcpy (&value, base + f->offset, sizeof value);
    return value;
}

static double f64_of (const unsigned char *base, const struct field *f)
{
    double value;

    memcpy (&value, base + f->offset, sizeof value);
    return value;
}

static bool bool_of (const unsigned char *base, const struct field *f)
{
    return base[f->offset] != 0;
}

static uint32_t count_of (const unsigned char *base, const struct field *f)
{
    uint32_t value;

    memcpy (&value, base + f->offset, sizeof value);
    return value;
}

static void set_count (unsigned char *base, const struct field *f,
                       uint32_t value)
{
    memcpy (base + f->offset, &value, sizeof value);
}

/* ---- encode ---- */

struct sink {
    uint8_t *at;
    size_t size;
    size_t length;
    bool failed; // it does not fit, or a list is longer than allowed
};

static int write_out (void *data, const char *bytes, size_t count)
{
    struct sink *sink = data;

    if (count > sink->size - sink->length) {
        sink->failed = true;
        return -1;
    }
    memcpy (sink->at + sink->length, bytes, count);
    sink->length += count;
    return 0;
}

static void put_text (msgpack_packer *out, const char *text)
{
    msgpack_pack_str_with_body (out, text, strlen (text));
}

/* Whether it says anything: what does not is left out, unless required. An
 * infinite figure is as unknown as NaN: the other side refuses both. */
static bool is_set (const unsigned char *base, const struct field *f)
{
    switch (f->kind) {
    case KIND_U64: return u64_of (base, f) != 0;
    case KIND_BOOL: return bool_of (base, f);
    case KIND_F64: return isfinite (f64_of (base, f));
    case KIND_STR:
    case KIND_KEY: return base[f->offset] != '\0';
    case KIND_U64S:
    case KIND_ROWS: return count_of (base, f) > 0;
    }
    return false;
}

static bool is_sent (const unsigned char *base, const struct field *f)
{
    return f->required || is_set (base, f);
}

static uint32_t count_sent (const unsigned char *base,
                            const struct fields *fields)
{
    uint32_t count = 0;

    for (unsigned i = 0; i < fields->count; i++)
        count += is_sent (base, &fields->at[i]);
    return count;
}

static void put_fields (msgpack_packer *out, const unsigned char *base,
                        const struct fields *fields);

static void put_list (msgpack_packer *out, const unsigned char *base,
                      const struct field *f)
{
    struct sink *sink = out->data;
    uint32_t count = count_of (base, f);

    if (count > f->max) {
        sink->failed = true;
        return;
    }
    msgpack_pack_array (out, count);
    for (uint32_t i = 0; i < count && !sink->failed; i++) {
        if (f->kind == KIND_ROWS) {
            put_fields (out, base + f->items + i * f->row->size, f->row);
        } else {
            uint64_t value;

            memcpy (&value, base + f->items + i * sizeof value, sizeof value);
            msgpack_pack_uint64 (out, value);
        }
    }
}

static void put_value (msgpack_packer *out, const unsigned char *base,
                       const struct field *f)
{
    switch (f->kind) {
    case KIND_U64: msgpack_pack_uint64 (out, u64_of (base, f)); break;
    case KIND_BOOL:
        (bool_of (base, f) ? msgpack_pack_true : msgpack_pack_false) (out);
        break;
    case KIND_F64: msgpack_pack_double (out, f64_of (base, f)); break;
    case KIND_STR:
    case KIND_KEY: put_text (out, (const char *) base + f->offset); break;
    case KIND_U64S:
    case KIND_ROWS: put_list (out, base, f); break;
    }
}

static void put_pairs (msgpack_packer *out, const unsigned char *base,
                       const struct fields *fields)
{
    for (unsigned i = 0; i < fields->count; i++) {
        const struct field *f = &fields->at[i];

        if (!is_sent (base, f))
            continue;
        put_text (out, f->key);
        put_value (out, base, f);
    }
}

static void put_fields (msgpack_packer *out, const unsigned char *base,
                        const struct fields *fields)
{
    msgpack_pack_map (out, count_sent (base, fields));
    put_pairs (out, base, fields);
}

size_t codec_encode (enum verb verb, const void *fields, uint8_t *buf,
                     size_t size)
{
    const struct fields *table = message_fields (verb);
    struct sink sink = {buf, size < MAX_BODY_BYTES ? size : MAX_BODY_BYTES, 0,
                        false};
    msgpack_packer out;

    if (!table)
        return 0;
    msgpack_packer_init (&out, &sink, write_out);
    msgpack_pack_map (&out, 1 + count_sent (fields, table));
    put_text (&out, "verb");
    put_text (&out, table->name);
    put_pairs (&out, fields, table);
    return sink.failed ? 0 : sink.length;
}

size_t codec_encode_msg (const struct msg *msg, uint8_t *buf, size_t size)
{
    return codec_encode (
        msg->verb, (const unsigned char *) msg + offsetof (struct msg, hello),
        buf, size);
}

/* ---- errors ---- */

/* Where in the message: "", or "hosts[3]." */
#define PATH_BYTES 48

__attribute__ ((format (printf, 4, 5))) static enum err
refuse (struct codec_error *e, const char *path, const char *key,
        const char *format, ...)
{
    va_list args;

    snprintf (e->key, sizeof e->key, "%s%s", path, key);
    va_start (args, format);
    vsnprintf (e->detail, sizeof e->detail, format, args);
    va_end (args);
    return ERR_BAD_ARG;
}

static const char *kind_of (const msgpack_object *o)
{
    switch (o->type) {
    case MSGPACK_OBJECT_NIL: return "nil";
    case MSGPACK_OBJECT_BOOLEAN: return "a boolean";
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
    case MSGPACK_OBJECT_NEGATIVE_INTEGER: return "an integer";
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64: return "a float";
    case MSGPACK_OBJECT_STR: return "a string";
    case MSGPACK_OBJECT_ARRAY: return "a list";
    case MSGPACK_OBJECT_MAP: return "a map";
    case MSGPACK_OBJECT_BIN: return "binary";
    case MSGPACK_OBJECT_EXT: return "an extension";
    }
    return "something else";
}

/* ---- maps: sorted once, then searched ---- */

static int compare_text (const msgpack_object_str *a, const char *b,
                         size_t b_size)
{
    if (a->size != b_size)
        return a->size < b_size ? -1 : 1;
    return b_size == 0 ? 0 : memcmp (a->ptr, b, b_size);
}

static int compare_keys (const void *a, const void *b)
{
    const msgpack_object_str *x = &((const msgpack_object_kv *) a)->key.via.str;
    const msgpack_object_str *y = &((const msgpack_object_kv *) b)->key.via.str;

    return compare_text (x, y->ptr, y->size);
}

/* Sort a map by its keys; false if one is there twice. A map of 64 KiB may
 * hold 16000 keys, so comparing each with each would be a way to keep us
 * busy. */
static bool sort_map (msgpack_object_map *map)
{
    if (map->size > 1)
        qsort (map->ptr, map->size, sizeof *map->ptr, compare_keys);
    for (uint32_t i = 1; i < map->size; i++) {
        if (compare_keys (&map->ptr[i - 1], &map->ptr[i]) == 0)
            return false;
    }
    return true;
}

/* The same for all that is inside, unknown keys too. As deep as precheck
 * allows. */
static bool sort_all (msgpack_object *o)
{
    if (o->type == MSGPACK_OBJECT_ARRAY) {
        for (uint32_t i = 0; i < o->via.array.size; i++) {
            if (!sort_all (&o->via.array.ptr[i]))
                return false;
        }
    } else if (o->type == MSGPACK_OBJECT_MAP) {
        if (!sort_map (&o->via.map))
            return false;
        for (uint32_t i = 0; i < o->via.map.size; i++) {
            if (!sort_all (&o->via.map.ptr[i].val))
                return false;
        }
    }
    return true;
}

static const msgpack_object *find (const msgpack_object_map *map,
                                   const char *key)
{
    size_t size = strlen (key);
    uint32_t low = 0, high = map->size;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = compare_text (&map->ptr[middle].key.via.str, key, size);

        if (order == 0)
            return &map->ptr[middle].val;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* ---- one value of a message ---- */

static enum err take_integer (const msgpack_object *in, uint64_t min,
                              uint64_t max, uint64_t *ret_value,
                              const char *path, const char *key,
                              struct codec_error *e)
{
    if (in->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
        return refuse (e, path, key,
                       "expected %" PRIu64 "..%" PRIu64 ", got %" PRIi64, min,
                       max, in->via.i64);
    if (in->type != MSGPACK_OBJECT_POSITIVE_INTEGER)
        return refuse (e, path, key, "expected an integer, got %s",
                       kind_of (in));
    if (in->via.u64 < min || in->via.u64 > max)
        return refuse (e, path, key,
                       "expected %" PRIu64 "..%" PRIu64 ", got %" PRIu64, min,
                       max, in->via.u64);
    *ret_value = in->via.u64;
    return ERR_NONE;
}

static enum err take_u64 (const msgpack_object *in, const struct field *f,
                          unsigned char *base, const char *path,
                          struct codec_error *e)
{
    uint64_t value;
    enum err err = take_integer (in, f->min, f->max, &value, path, f->key, e);

    if (err == ERR_NONE)
        memcpy (base + f->offset, &value, sizeof value);
    return err;
}

static enum err take_bool (const msgpack_object *in, const struct field *f,
                           unsigned char *base, const char *path,
                           struct codec_error *e)
{
    if (in->type != MSGPACK_OBJECT_BOOLEAN)
        return refuse (e, path, f->key, "expected a boolean, got %s",
                       kind_of (in));
    memcpy (base + f->offset, &in->via.boolean, sizeof in->via.boolean);
    return ERR_NONE;
}

static enum err take_f64 (const msgpack_object *in, const struct field *f,
                          unsigned char *base, const char *path,
                          struct codec_error *e)
{
    double value;

    if (in->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
        value = (double) in->via.u64;
    else if (in->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
        value = (double) in->via.i64;
    else if (in->type == MSGPACK_OBJECT_FLOAT32 ||
             in->type == MSGPACK_OBJECT_FLOAT64)
        value = in->via.f64;
    else
        return refuse (e, path, f->key, "expected a number, got %s",
                       kind_of (in));
    if (!isfinite (value))
        return refuse (e, path, f->key, "expected a finite number");
    memcpy (base + f->offset, &value, sizeof value);
    return ERR_NONE;
}

/* How many of the first `max` bytes to keep so that no UTF-8 character is cut
 * in two. What is no UTF-8 is cut at `max`: it is kept as bytes. */
static size_t cut (const char *text, size_t max)
{
    size_t at = max;

    while (at > 0 && max - at < 3 && ((unsigned char) text[at] & 0xc0) == 0x80)
        at--;
    return ((unsigned char) text[at] & 0xc0) == 0xc0 ? at : max;
}

static enum err take_str (const msgpack_object *in, const struct field *f,
                          unsigned char *base, const char *path,
                          struct codec_error *e)
{
    size_t size = in->via.str.size;

    if (in->type != MSGPACK_OBJECT_STR)
        return refuse (e, path, f->key, "expected a string, got %s",
                       kind_of (in));
    if (size > 0 && memchr (in->via.str.ptr, '\0', size))
        return refuse (e, path, f->key, "expected a string without NUL");
    if (size > f->max)
        size = cut (in->via.str.ptr, f->max);
    if (size > 0)
        memcpy (base + f->offset, in->via.str.ptr, size);
    return ERR_NONE;
}

/* Projects are matched without regard to case: from here on a key is lower
 * case. */
static enum err take_key (const msgpack_object *in, const struct field *f,
                          unsigned char *base, const char *path,
                          struct codec_error *e)
{
    char name[MAX_KEY_BYTES + 1];
    size_t size = in->via.str.size;

    if (in->type != MSGPACK_OBJECT_STR)
        return refuse (e, path, f->key, "expected a string, got %s",
                       kind_of (in));
    if (size > f->max)
        return refuse (e, path, f->key,
                       "expected at most %" PRIu64 " bytes, got %zu", f->max,
                       size);
    if (size > 0)
        memcpy (name, in->via.str.ptr, size);
    name[size] = '\0';
    if (strlen (name) != size ||
        project_key_of (name, (char *) base + f->offset) < 0)
        return refuse (e, path, f->key,
                       "not a project's name: expected "
                       "[a-z0-9][a-z0-9._-]{0,63}");
    return ERR_NONE;
}

static enum err take_fields (const msgpack_object_map *map,
                             const struct fields *fields, unsigned char *base,
                             const char *path, struct codec_error *e);

static enum err take_item (const msgpack_object *in, const struct field *f,
                           unsigned char *item, const char *path,
                           struct codec_error *e)
{
    enum err err;
    uint64_t value;

    if (f->kind == KIND_ROWS) {
        char inside[PATH_BYTES + 1];

        if (in->type != MSGPACK_OBJECT_MAP)
            return refuse (e, path, "", "expected a map, got %s", kind_of (in));
        snprintf (inside, sizeof inside, "%s.", path);
        row_init (item, f->row);
        return take_fields (&in->via.map, f->row, item, inside, e);
    }
    err = take_integer (in, 1, UINT64_MAX, &value, path, "", e);
    if (err == ERR_NONE)
        memcpy (item, &value, sizeof value);
    return err;
}

static enum err take_list (const msgpack_object *in, const struct field *f,
                           unsigned char *base, const char *path,
                           struct codec_error *e)
{
    size_t item_size = field_item_size (f);
    uint32_t count = in->via.array.size;
    char item[PATH_BYTES];
    enum err err = ERR_NONE;

    if (in->type != MSGPACK_OBJECT_ARRAY)
        return refuse (e, path, f->key, "expected a list, got %s",
                       kind_of (in));
    if (count > f->max)
        return refuse (e, path, f->key,
                       "expected at most %" PRIu64 " items, got %" PRIu32,
                       f->max, count);
    set_count (base, f, count);
    for (uint32_t i = 0; i < count && err == ERR_NONE; i++) {
        snprintf (item, sizeof item, "%s%s[%" PRIu32 "]", path, f->key, i);
        err = take_item (&in->via.array.ptr[i], f,
                         base + f->items + i * item_size, item, e);
    }
    return err;
}

static enum err take_value (const msgpack_object *in, const struct field *f,
                            unsigned char *base, const char *path,
                            struct codec_error *e)
{
    switch (f->kind) {
    case KIND_U64: return take_u64 (in, f, base, path, e);
    case KIND_BOOL: return take_bool (in, f, base, path, e);
    case KIND_F64: return take_f64 (in, f, base, path, e);
    case KIND_STR: return take_str (in, f, base, path, e);
    case KIND_KEY: return take_key (in, f, base, path, e);
    case KIND_U64S:
    case KIND_ROWS: return take_list (in, f, base, path, e);
    }
    return ERR_BAD_ARG;
}

/* In the order of the table, so that of several faults always the same one is
 * named. */
static enum err take_fields (const msgpack_object_map *map,
                             const struct fields *fields, unsigned char *base,
                             const char *path, struct codec_error *e)
{
    enum err err = ERR_NONE;

    for (unsigned i = 0; i < fields->count && err == ERR_NONE; i++) {
        const struct field *f = &fields->at[i];
        const msgpack_object *value = find (map, f->key);

        if (value)
            err = take_value (value, f, base, path, e);
        else if (f->required)
            err = refuse (e, path, f->key, "missing");
    }
    return err;
}

/* ---- the whole message ---- */

static enum err bad_frame (struct codec_error *e, const char *wrong)
{
    refuse (e, "", "", "%s", wrong);
    return ERR_BAD_FRAME;
}

static enum err take_verb (const msgpack_object_map *map, enum verb *ret_verb,
                           struct codec_error *e)
{
    const msgpack_object *in = find (map, "verb");

    if (!in)
        return refuse (e, "", "verb", "missing");
    if (in->type != MSGPACK_OBJECT_STR)
        return refuse (e, "", "verb", "expected a string, got %s",
                       kind_of (in));
    *ret_verb = verb_of_name (in->via.str.ptr, in->via.str.size);
    if (*ret_verb == VERB_NONE) {
        snprintf (e->said, sizeof e->said, "%.*s", (int) in->via.str.size,
                  in->via.str.ptr);
        refuse (e, "", "verb", "%s", err_text (ERR_UNKNOWN_VERB));
        return ERR_UNKNOWN_VERB;
    }
    return ERR_NONE;
}

/* So that the answer to a message that is refused still says to what it is
 * one. */
static uint64_t seq_of (const msgpack_object_map *map)
{
    const msgpack_object *in = find (map, "seq");

    if (!in || in->type != MSGPACK_OBJECT_POSITIVE_INTEGER ||
        in->via.u64 > INT64_MAX)
        return 0;
    return in->via.u64;
}

static enum err take_message (msgpack_object *body, struct msg *ret_msg,
                              struct codec_error *e)
{
    enum err err;

    if (!sort_all (body))
        return bad_frame (e, "a key that is there twice");
    e->seq = seq_of (&body->via.map);
    err = take_verb (&body->via.map, &e->re, e);
    ret_msg->verb = e->re;
    if (err != ERR_NONE)
        return err;
    message_init (ret_msg, e->re);
    return take_fields (
        &body->via.map, message_fields (e->re),
        (unsigned char *) ret_msg + offsetof (struct msg, hello), "", e);
}

enum err codec_decode (const uint8_t *body, size_t size, struct msg *ret_msg,
                       struct codec_error *ret_error)
{
    msgpack_unpacked unpacked;
    msgpack_unpack_return result;
    const char *wrong;
    size_t at = 0;
    enum err err;

    *ret_error = (struct codec_error){.re = VERB_NONE};
    ret_msg->verb = VERB_NONE;
    wrong = precheck (body, size, &at);
    if (wrong) {
        refuse (ret_error, "", "", "%s at byte %zu", wrong, at);
        return ERR_BAD_FRAME;
    }
    at = 0;
    msgpack_unpacked_init (&unpacked);
    result = msgpack_unpack_next (&unpacked, (const char *) body, size, &at);
    if (result == MSGPACK_UNPACK_NOMEM_ERROR)
        abort ();
    if (result == MSGPACK_UNPACK_SUCCESS)
        err = take_message (&unpacked.data, ret_msg, ret_error);
    else
        err = bad_frame (ret_error, "not msgpack");
    msgpack_unpacked_destroy (&unpacked);
    return err;
}
