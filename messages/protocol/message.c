/* SPDX-License-Identifier: MPL-2.0 */
#include "protocol/message.h"

#include <math.h>
#include <string.h>

#define COUNT(array) ((unsigned) (sizeof (array) / sizeof *(array)))

/* ---- errors ---- */

static const struct {
    const char *name;
    const char *text;
} errors[ERR_COUNT] = {
    [ERR_NONE] = {"NONE", "no error"},
#define ERROR(name, sentence) [ERR_##name] = {#name, sentence},
#include "protocol/errors.def"
#undef ERROR
};

const char *err_name (enum err e)
{
    return (unsigned) e < ERR_COUNT ? errors[e].name : "?";
}

const char *err_text (enum err e)
{
    return (unsigned) e < ERR_COUNT ? errors[e].text : "unknown error";
}

enum err err_of_name (const char *name)
{
    unsigned e = ERR_NONE + 1;

    while (e < ERR_COUNT && strcmp (errors[e].name, name) != 0)
        e++;
    return e;
}

/* ---- the table ----
 *
 * fields.def is read three times: once to give each structure a name that
 * does not tell messages from rows (a line of the table knows only `name`),
 * once for the fields, once for the verbs.
 */

#define U64(...)
#define BOOL(...)
#define F64(...)
#define STR(...)
#define KEY(...)
#define U64S(...)
#define ROWS(...)
#define END_ROW(name)
#define END(VERB, name)
#define ROW(name)                                                              \
    union of_##name {                                                          \
        struct row_##name is;                                                  \
    };
#define MESSAGE(VERB, name, from, since)                                       \
    union of_##name {                                                          \
        struct msg_##name is;                                                  \
    };
#include "protocol/fields.def"
#undef U64
#undef BOOL
#undef F64
#undef STR
#undef KEY
#undef U64S
#undef ROWS
#undef END_ROW
#undef END
#undef ROW
#undef MESSAGE

#define REQ true
#define OPT false
#define AT(m, member) offsetof (union of_##m, is.member)

// clang-format off
#define U64(m, key, unit, min, max, need, since) \
    {#key, unit, KIND_U64, need, since, AT (m, key), 0, min, max, NULL},
#define BOOL(m, key, need, since) \
    {#key, "", KIND_BOOL, need, since, AT (m, key), 0, 0, 1, NULL},
#define F64(m, key, unit, need, since) \
    {#key, unit, KIND_F64, need, since, AT (m, key), 0, 0, 0, NULL},
#define STR(m, key, max, need, since) \
    {#key, "", KIND_STR, need, since, AT (m, key), 0, 0, max, NULL},
#define KEY(m, key, need, since) \
    {#key, "", KIND_KEY, need, since, AT (m, key), 0, 0, MAX_KEY_BYTES, NULL},
#define U64S(m, key, unit, most, need, since) \
    {#key, unit, KIND_U64S, need, since, AT (m, key.count), AT (m, key.at), \
     0, most, NULL},
#define ROWS(m, key, row, most, need, since) \
    {#key, "", KIND_ROWS, need, since, AT (m, key##_count), AT (m, key), \
     0, most, &row_table_##row},

#define ROW(name) static const struct field fields_of_##name[] = {
#define END_ROW(name) \
    }; \
    static const struct fields row_table_##name = { \
        #name, FROM_BROKER, 0, sizeof (struct row_##name), \
        COUNT (fields_of_##name), fields_of_##name};
#define MESSAGE(VERB, name, from, since) \
    static const struct field fields_of_##name[] = {
#define END(VERB, name) \
    };
// clang-format on
#include "protocol/fields.def"
#undef U64
#undef BOOL
#undef F64
#undef STR
#undef KEY
#undef U64S
#undef ROWS
#undef ROW
#undef END_ROW
#undef MESSAGE
#undef END

#define U64(...)
#define BOOL(...)
#define F64(...)
#define STR(...)
#define KEY(...)
#define U64S(...)
#define ROWS(...)
#define ROW(name)
#define END_ROW(name)
#define END(VERB, name)
#define MESSAGE(VERB, name, from, since)                                       \
    [VERB_##VERB] = {#VERB,                                                    \
                     FROM_##from,                                              \
                     since,                                                    \
                     sizeof (struct msg_##name),                               \
                     COUNT (fields_of_##name),                                 \
                     fields_of_##name},
static const struct fields messages[VERB_COUNT] = {
    [VERB_NONE] = {"NONE", FROM_CLIENT, 0, 0, 0, NULL},
#include "protocol/fields.def"
};

const struct fields *message_fields (enum verb verb)
{
    if (verb == VERB_NONE || (unsigned) verb >= VERB_COUNT)
        return NULL;
    return &messages[verb];
}

const char *verb_name (enum verb verb)
{
    return (unsigned) verb < VERB_COUNT ? messages[verb].name : "?";
}

enum verb verb_of_name (const char *name, size_t size)
{
    for (unsigned v = VERB_NONE + 1; v < VERB_COUNT; v++) {
        if (strlen (messages[v].name) == size &&
            memcmp (messages[v].name, name, size) == 0)
            return v;
    }
    return VERB_NONE;
}

size_t message_size (enum verb verb)
{
    return (unsigned) verb < VERB_COUNT ? messages[verb].size : 0;
}

/* ---- empty structures ---- */

static bool is_list (const struct field *f)
{
    return f->kind == KIND_U64S || f->kind == KIND_ROWS;
}

size_t field_item_size (const struct field *list)
{
    return list->kind == KIND_ROWS ? list->row->size : sizeof (uint64_t);
}

static void init (unsigned char *base, const struct fields *fields)
{
    static const double unknown = NAN;
    size_t done = 0;

    for (unsigned i = 0; i < fields->count; i++) {
        const struct field *f = &fields->at[i];

        if (!is_list (f))
            continue;
        memset (base + done, 0, f->items - done);
        done = f->items + f->max * field_item_size (f);
    }
    memset (base + done, 0, fields->size - done);
    for (unsigned i = 0; i < fields->count; i++) {
        if (fields->at[i].kind == KIND_F64)
            memcpy (base + fields->at[i].offset, &unknown, sizeof unknown);
    }
}

void message_init (struct msg *ret_msg, enum verb verb)
{
    ret_msg->verb = verb;
    message_init_fields (
        (unsigned char *) ret_msg + offsetof (struct msg, hello), verb);
}

void message_init_fields (void *ret_fields, enum verb verb)
{
    const struct fields *fields = message_fields (verb);

    if (fields)
        init (ret_fields, fields);
}

void row_init (void *ret_row, const struct fields *row)
{
    init (ret_row, row);
}

void message_copy (void *ret_fields, const void *fields, enum verb verb)
{
    const struct fields *table = message_fields (verb);
    const unsigned char *from = fields;
    unsigned char *to = ret_fields;
    size_t done = 0;

    for (unsigned i = 0; table && i < table->count; i++) {
        const struct field *f = &table->at[i];
        uint32_t count;

        if (!is_list (f))
            continue;
        memcpy (&count, from + f->offset, sizeof count);
        if (count > f->max)
            count = (uint32_t) f->max;
        memcpy (to + done, from + done,
                f->items - done + count * field_item_size (f));
        done = f->items + f->max * field_item_size (f);
    }
    memcpy (to + done, from + done, message_size (verb) - done);
}

/* ---- keys, lists, text ---- */

static bool is_key_byte (char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool project_key_valid (const char *key)
{
    size_t size = strlen (key);

    if (size > MAX_KEY_BYTES || !is_key_byte (key[0]))
        return false;
    for (size_t i = 1; i < size; i++) {
        if (!is_key_byte (key[i]) && !strchr ("._-", key[i]))
            return false;
    }
    return true;
}

int project_key_of (const char *name, char *ret_key)
{
    size_t size = strlen (name);

    ret_key[0] = '\0';
    if (size > MAX_KEY_BYTES)
        return -1;
    for (size_t i = 0; i <= size; i++) {
        char c = name[i];

        ret_key[i] = c >= 'A' && c <= 'Z' ? (char) (c - 'A' + 'a') : c;
    }
    if (project_key_valid (ret_key))
        return 0;
    ret_key[0] = '\0';
    return -1;
}

bool u64s_add (struct u64s *list, uint64_t value)
{
    if (list->count >= MAX_HELD)
        return false;
    list->at[list->count++] = value;
    return true;
}

bool u64s_has (const struct u64s *list, uint64_t value)
{
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->at[i] == value)
            return true;
    }
    return false;
}

char *copy_text (char *dst, size_t size, const char *src)
{
    size_t length = strnlen (src, size - 1);

    memmove (dst, src, length);
    dst[length] = '\0';
    return dst;
}
