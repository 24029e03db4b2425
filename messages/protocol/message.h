/* SPDX-License-Identifier: MPL-2.0 */
/* message.h - a message as a plain value
 *
 * Every structure here is made from fields.def. There is nothing to free and
 * nothing points anywhere: a message is copied by assignment. struct msg is as
 * large as the largest message (STATUS_OK, about 150 KiB): keep one per
 * program, not one per call; message_size () says what one verb needs.
 *
 * Pure: no socket, no msgpack. Cores include this file.
 */
#ifndef SLOTBUS_MESSAGE_H
#define SLOTBUS_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PROTOCOL_MAJOR = 1,      // the "1" of the magic SLT1
    PROTOCOL_MINOR = 0,      // the highest `since` of fields.def
    MAX_BODY_BYTES = 65536,  // a body above this is dropped unread
    MAX_SLOTS = 10000,       // of a pool, of a request
    MAX_HELD = 512,          // slots of one session
    MAX_KEY_BYTES = 64,      // of a project's key
    MAX_DEPTH = 8,           // nesting of a body
    PAGE_ROWS = 64           // rows of one STATUS_OK, over all its lists
};
#define PROTOCOL_MAGIC "SLT1"

enum err {
    ERR_NONE,
#define ERROR(name, sentence) ERR_##name,
#include "protocol/errors.def"
#undef ERROR
    ERR_COUNT
};

/* "EXCEEDS_MAX"; "NONE" for ERR_NONE, "?" out of range. Never NULL. */
const char *err_name (enum err e);
/* The sentence for people. Never NULL. */
const char *err_text (enum err e);
/* By name; ERR_COUNT where there is none of that name. */
enum err err_of_name (const char *name);

/* A list of unsigned integers (tokens, request numbers), all >= 1. */
struct u64s {
    uint32_t count;
    uint64_t at[MAX_HELD];
};

/* ---- the structures: struct msg_hello, ..., struct row_host, ... ---- */
#define U64(m, key, unit, min, max, need, since) uint64_t key;
#define BOOL(m, key, need, since) bool key;
#define F64(m, key, unit, need, since) double key;
#define STR(m, key, max, need, since) char key[(max) + 1];
#define KEY(m, key, need, since) char key[MAX_KEY_BYTES + 1];
#define U64S(m, key, unit, most, need, since) struct u64s key;
#define ROWS(m, key, row, most, need, since)                                   \
    uint32_t key##_count;                                                      \
    struct row_##row key[most];
#define ROW(name) struct row_##name {
#define END_ROW(name) };
#define MESSAGE(VERB, name, from, since) struct msg_##name {
#define END(VERB, name) };
#include "protocol/fields.def"
#undef MESSAGE
#undef END
#undef ROW
#undef END_ROW
#undef U64
#undef BOOL
#undef F64
#undef STR
#undef KEY
#undef U64S
#undef ROWS

/* ---- enum verb and struct msg ---- */
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

enum verb {
    VERB_NONE,
#define MESSAGE(VERB, name, from, since) VERB_##VERB,
#include "protocol/fields.def"
#undef MESSAGE
    VERB_COUNT
};

struct msg {
    enum verb verb;
    union {
#define MESSAGE(VERB, name, from, since) struct msg_##name name;
#include "protocol/fields.def"
#undef MESSAGE
    };
};
#undef U64
#undef BOOL
#undef F64
#undef STR
#undef KEY
#undef U64S
#undef ROWS
#undef ROW
#undef END_ROW
#undef END

/* ---- the same table at run time, for codec, docs check and fuzzer ---- */
enum kind { KIND_U64, KIND_BOOL, KIND_F64, KIND_STR, KIND_KEY, KIND_U64S,
            KIND_ROWS };
enum origin { FROM_CLIENT, FROM_BROKER, FROM_TOPIC, FROM_LOCAL };

struct field {
    const char *key;            // on the wire
    const char *unit;           // "ms", "slots", ... or ""
    enum kind kind;
    bool required;
    unsigned since;             // minor version
    size_t offset;              // in its structure; lists: of the count
    size_t items;               // lists: offset of the first item
    uint64_t min, max;          // U64: range. STR, KEY: max bytes. Lists: most
    const struct fields *row;   // KIND_ROWS: what an item is
};

struct fields {
    const char *name;           // "HELLO", or the row's name
    enum origin from;           // of a message
    unsigned since;
    size_t size;                // of the structure
    unsigned count;
    const struct field *at;
};

/* Bytes of one item of a list. */
size_t field_item_size (const struct field *list);
/* The table of a verb; NULL for VERB_NONE and out of range. */
const struct fields *message_fields (enum verb verb);
/* "HELLO"; "NONE" and "?" as err_name (). */
const char *verb_name (enum verb verb);
/* VERB_NONE where there is none of that name (size bytes, not terminated). */
enum verb verb_of_name (const char *name, size_t size);
/* Bytes of the verb's structure, 0 for VERB_NONE. */
size_t message_size (enum verb verb);
/* Empty: zeroes, every F64 NaN (unknown), no list has items. Rows that are not
 * in use are not touched, as there may be 100 KB of them: what is appended is
 * assigned whole, or made empty by row_init (). Sets ret_msg->verb. */
void message_init (struct msg *ret_msg, enum verb verb);
/* The same for one bare structure of that verb, such as struct msg_grant. */
void message_init_fields (void *ret_fields, enum verb verb);
void row_init (void *ret_row, const struct fields *row);
/* Copies one bare structure of that verb, but no items that are not in use, nor
 * more than a list has room for. */
void message_copy (void *ret_fields, const void *fields, enum verb verb);

/* May this be a project's key: [a-z0-9][a-z0-9._-]{0,63}. */
bool project_key_valid (const char *key);
/* Lower-case copy of `name` into ret_key if the result is a valid key;
 * 0, or -1 and ret_key is "". ret_key has MAX_KEY_BYTES + 1 bytes. */
int project_key_of (const char *name, char *ret_key);

/* Add to a list; false where it is full (nothing changes). A list that may
 * hold less than MAX_HELD on the wire (BEAT.acks: 64) is its owner's to
 * count: codec_encode () refuses a longer one. */
bool u64s_add (struct u64s *list, uint64_t value);
bool u64s_has (const struct u64s *list, uint64_t value);

/* Copy with truncation at size - 1 bytes, always terminated; returns dst. */
char *copy_text (char *dst, size_t size, const char *src);

#endif
