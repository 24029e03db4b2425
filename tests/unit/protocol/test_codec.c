/* SPDX-License-Identifier: MPL-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/codec.h"
#include "unit/protocol/bytes.h"
#include "unit/protocol/fill.h"

static struct msg sent, got;
static uint8_t body[MAX_BODY_BYTES + 1];
static struct bytes b;
static struct codec_error error;

static enum err decode (const void *bytes, size_t size)
{
    uint8_t *copy = bytes_exact (bytes, size);
    enum err err = codec_decode (copy, size, &got, &error);

    free (copy);
    return err;
}

static unsigned lists_of_rows (enum verb verb)
{
    const struct fields *fields = message_fields (verb);
    unsigned count = 0;

    for (unsigned i = 0; i < fields->count; i++)
        count += fields->at[i].kind == KIND_ROWS;
    return count ? count : 1;
}

/* ---- there and back ---- */

/* What came is what was sent; items that are not in use may be anything. */
static void assert_same (enum verb verb)
{
    static struct msg here, there;

    memset (&here, 0, sizeof here);
    memset (&there, 0, sizeof there);
    message_copy (&here.hello, &got.hello, verb);
    message_copy (&there.hello, &sent.hello, verb);
    assert_int_equal (got.verb, verb);
    assert_memory_equal (&here.hello, &there.hello, message_size (verb));
}

static void round_trip (enum verb verb, enum fill fill, unsigned rows)
{
    size_t size;

    fill_message (&sent, verb, fill, rows);
    size = codec_encode_msg (&sent, body, sizeof body);
    if (size == 0)
        fail_msg ("%s does not fit", verb_name (verb));
    if (decode (body, size) != ERR_NONE)
        fail_msg ("%s: %s: %s", verb_name (verb), error.key, error.detail);
    assert_same (verb);
}

static void every_message_comes_back_as_it_was (void **s)
{
    (void) s;
    for (unsigned v = VERB_NONE + 1; v < VERB_COUNT; v++) {
        round_trip (v, FILL_LEAST, 0);
        round_trip (v, FILL_EVERY, 3);
    }
}

/* A page has PAGE_ROWS rows over all lists; each list alone may have them
 * all. */
static void the_largest_of_every_message_fits_a_body (void **s)
{
    (void) s;
    for (unsigned v = VERB_NONE + 1; v < VERB_COUNT; v++)
        round_trip (v, FILL_LARGEST, PAGE_ROWS / lists_of_rows (v));
}

static void a_page_of_one_list_fits_a_body (void **s)
{
    const struct fields *fields = message_fields (VERB_STATUS_OK);
    unsigned char *base = (unsigned char *) &sent.status_ok;
    const uint32_t none = 0;

    (void) s;
    for (unsigned keep = 0; keep < fields->count; keep++) {
        fill_message (&sent, VERB_STATUS_OK, FILL_LARGEST, PAGE_ROWS);
        for (unsigned i = 0; i < fields->count; i++) {
            if (i != keep && fields->at[i].kind == KIND_ROWS)
                memcpy (base + fields->at[i].offset, &none, sizeof none);
        }
        assert_int_not_equal (codec_encode_msg (&sent, body, sizeof body), 0);
    }
}

static void what_is_empty_is_left_out (void **s)
{
    const char bye[] = "\x82\xa4verb\xa3"
                       "BYE\xa7session\x07";

    (void) s;
    message_init (&sent, VERB_BYE);
    sent.bye.session = 7;
    assert_int_equal (codec_encode_msg (&sent, body, sizeof body),
                      sizeof bye - 1);
    assert_memory_equal (body, bye, sizeof bye - 1);

    message_init (&sent, VERB_PROGRESS);
    assert_int_equal (codec_encode_msg (&sent, body, sizeof body), 15);
    sent.progress.percent = 0;
    assert_int_equal (codec_encode_msg (&sent, body, sizeof body), 32);
    sent.progress.percent = INFINITY;
    assert_int_equal (codec_encode_msg (&sent, body, sizeof body), 15);
}

static void every_number_has_its_shortest_form (void **s)
{
    static const struct {
        uint64_t value;
        size_t size;
    } forms[] = {
        {1, 1},          {127, 1},        {128, 2},
        {255, 2},        {256, 3},        {65535, 3},
        {65536, 5},      {UINT32_MAX, 5}, {UINT32_MAX + 1ull, 9},
        {UINT64_MAX, 9},
    };

    (void) s;
    message_init (&sent, VERB_BYE);
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        sent.bye.session = forms[i].value;
        assert_int_equal (codec_encode_msg (&sent, body, sizeof body),
                          18 + forms[i].size);
    }
}

/* Another's order and forms, with keys of a later version in between. */
static void a_message_in_other_words_encodes_to_ours (void **s)
{
    size_t size;

    (void) s;
    bytes_clear (&b);
    bytes_add (&b, "\xdf\x00\x00\x00\x06", 5);
    bytes_string (&b, "future");
    bytes_add (&b, "\x82\xa1x\x80\xa1y\x92\xc0\xca\x7f\x80\x00\x00", 13);
    bytes_string (&b, "holds");
    bytes_add (&b,
               "\xdd\x00\x00\x00\x02\xcd\x00\x11\xd3\x00\x00\x00\x00"
               "\x00\x00\x00\x12",
               17);
    bytes_string (&b, "seq");
    bytes_add (&b, "\xd0\x03", 2);
    bytes_string (&b, "epoch");
    bytes_add (&b, "\xce\x00\x00\x00\x01", 5);
    bytes_string (&b, "verb");
    bytes_add (&b,
               "\xdb\x00\x00\x00\x04"
               "BEAT",
               9);
    bytes_string (&b, "session");
    bytes_u64 (&b, 9);
    assert_int_equal (decode (b.at, b.size), ERR_NONE);

    message_init (&sent, VERB_BEAT);
    sent.beat.session = 9;
    sent.beat.epoch = 1;
    sent.beat.seq = 3;
    u64s_add (&sent.beat.holds, 17);
    u64s_add (&sent.beat.holds, 18);
    assert_same (VERB_BEAT);
    size = codec_encode_msg (&got, body, sizeof body);
    assert_int_equal (size, 1 + 10 + 9 + 7 + 5 + 6 + 3);
}

static void what_does_not_fit_is_not_encoded (void **s)
{
    size_t size;

    (void) s;
    for (unsigned v = VERB_NONE + 1; v < VERB_COUNT; v++) {
        fill_message (&sent, v, FILL_EVERY, 2);
        size = codec_encode_msg (&sent, body, sizeof body);
        for (size_t n = 0; n < size; n++) {
            uint8_t *exact = bytes_exact (body, n);

            assert_int_equal (codec_encode_msg (&sent, exact, n), 0);
            free (exact);
        }
        assert_int_equal (codec_encode_msg (&sent, body, size), size);
    }
    fill_message (&sent, VERB_STATUS_OK, FILL_LARGEST, PAGE_ROWS);
    assert_int_equal (codec_encode_msg (&sent, body, sizeof body), 0);
    assert_int_equal (codec_encode (VERB_NONE, &sent.hello, body, 99), 0);
    assert_int_equal (codec_encode (VERB_COUNT, &sent.hello, body, 99), 0);
}

static void a_list_that_is_too_long_is_not_encoded (void **s)
{
    (void) s;
    fill_message (&sent, VERB_BEAT, FILL_EVERY, 0);
    sent.beat.acks.count = 65;
    assert_int_equal (codec_encode_msg (&sent, body, sizeof body), 0);
    sent.beat.acks.count = UINT32_MAX;
    assert_int_equal (codec_encode_msg (&sent, body, sizeof body), 0);
    fill_message (&sent, VERB_WELCOME, FILL_EVERY, 1);
    sent.welcome.limbo_count = 65;
    assert_int_equal (codec_encode_msg (&sent, body, sizeof body), 0);
}

/* ---- what is refused ---- */

static void put_valid (const struct field *f)
{
    switch (f->kind) {
    case KIND_U64: bytes_u64 (&b, f->min ? f->min : 1); break;
    case KIND_BOOL: bytes_add (&b, "\xc3", 1); break;
    case KIND_F64: bytes_add (&b, "\x01", 1); break;
    case KIND_STR:
    case KIND_KEY: bytes_string (&b, "p"); break;
    case KIND_U64S: bytes_add (&b, "\x91\x01", 2); break;
    case KIND_ROWS: bytes_add (&b, "\x90", 1); break;
    }
}

/* A valid message of this verb in `b`, but with these bytes as the value of
 * `wrong`, or (NULL bytes) without it. */
static void build (enum verb verb, const struct field *wrong, const void *bytes,
                   size_t size)
{
    const struct fields *fields = message_fields (verb);
    unsigned count = 1;

    bytes_clear (&b);
    for (unsigned i = 0; i < fields->count; i++)
        count +=
            &fields->at[i] == wrong ? bytes != NULL : fields->at[i].required;
    bytes_map (&b, count);
    bytes_string (&b, "verb");
    bytes_string (&b, verb_name (verb));
    for (unsigned i = 0; i < fields->count; i++) {
        const struct field *f = &fields->at[i];

        if (f == wrong ? bytes == NULL : !f->required)
            continue;
        bytes_string (&b, f->key);
        if (f == wrong)
            bytes_add (&b, bytes, size);
        else
            put_valid (f);
    }
}

static void assert_bad (enum verb verb, const struct field *f,
                        const void *bytes, size_t size, const char *inside)
{
    char key[64];
    enum err err;

    build (verb, f, bytes, size);
    snprintf (key, sizeof key, "%s%s", f->key, inside);
    err = decode (b.at, b.size);
    if (err != ERR_BAD_ARG || strcmp (error.key, key) != 0)
        fail_msg ("%s.%s: %s, key %s: %s", verb_name (verb), f->key,
                  err_name (err), error.key, error.detail);
    assert_int_equal (error.re, verb);
    assert_true (strlen (error.detail) > 0);
}

static void assert_good (enum verb verb, const struct field *f,
                         const void *bytes, size_t size)
{
    enum err err;

    build (verb, f, bytes, size);
    err = decode (b.at, b.size);
    if (err != ERR_NONE)
        fail_msg ("%s.%s: %s, key %s: %s", verb_name (verb), f->key,
                  err_name (err), error.key, error.detail);
}

/* Call check for every key of every message that is of this kind. */
static void for_each (enum kind kind,
                      void (*check) (enum verb verb, const struct field *f))
{
    unsigned seen = 0;

    for (unsigned v = VERB_NONE + 1; v < VERB_COUNT; v++) {
        const struct fields *fields = message_fields (v);

        for (unsigned i = 0; i < fields->count; i++) {
            if (fields->at[i].kind == kind) {
                check (v, &fields->at[i]);
                seen++;
            }
        }
    }
    assert_true (seen > 0);
}

/* Bytes of an u64 in full. */
static const uint8_t *full (uint64_t value)
{
    static struct bytes form;

    bytes_clear (&form);
    bytes_u64 (&form, value);
    return form.at;
}

static void check_u64 (enum verb verb, const struct field *f)
{
    assert_bad (verb, f, BYTES_OF ("\xc0"), "");
    assert_bad (verb, f, BYTES_OF ("\xc3"), "");
    assert_bad (verb, f, BYTES_OF ("\xff"), "");
    assert_bad (verb, f, BYTES_OF ("\xd3\x80\x00\x00\x00\x00\x00\x00\x00"), "");
    assert_bad (verb, f, BYTES_OF ("\xca\x3f\x80\x00\x00"), "");
    assert_bad (verb, f, BYTES_OF ("\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00"), "");
    assert_bad (verb, f,
                BYTES_OF ("\xa1"
                          "1"),
                "");
    assert_bad (verb, f,
                BYTES_OF ("\xc4\x01"
                          "1"),
                "");
    assert_bad (verb, f, BYTES_OF ("\x91\x01"), "");
    assert_bad (verb, f, BYTES_OF ("\x80"), "");
    assert_good (verb, f, full (f->min), 9);
    assert_good (verb, f, full (f->max), 9);
    if (f->min > 0)
        assert_bad (verb, f, full (f->min - 1), 9, "");
    if (f->max < UINT64_MAX) {
        assert_bad (verb, f, full (f->max + 1), 9, "");
        assert_bad (verb, f, full (UINT64_MAX), 9, "");
    }
}

static void an_integer_of_another_type_or_range_is_refused (void **s)
{
    (void) s;
    for_each (KIND_U64, check_u64);
}

static void check_bool (enum verb verb, const struct field *f)
{
    assert_bad (verb, f, BYTES_OF ("\xc0"), "");
    assert_bad (verb, f, BYTES_OF ("\x00"), "");
    assert_bad (verb, f, BYTES_OF ("\x01"), "");
    assert_bad (verb, f, BYTES_OF ("\xa4true"), "");
    assert_good (verb, f, BYTES_OF ("\xc2"));
    assert_good (verb, f, BYTES_OF ("\xc3"));
}

static void a_boolean_of_another_type_is_refused (void **s)
{
    (void) s;
    for_each (KIND_BOOL, check_bool);
}

static void check_f64 (enum verb verb, const struct field *f)
{
    assert_bad (verb, f, BYTES_OF ("\xc0"), "");
    assert_bad (verb, f, BYTES_OF ("\xc3"), "");
    assert_bad (verb, f,
                BYTES_OF ("\xa3"
                          "0.5"),
                "");
    assert_bad (verb, f, BYTES_OF ("\xca\x7f\xc0\x00\x00"), "");
    assert_bad (verb, f, BYTES_OF ("\xca\x7f\x80\x00\x00"), "");
    assert_bad (verb, f, BYTES_OF ("\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"), "");
    assert_bad (verb, f, BYTES_OF ("\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00"), "");
    assert_bad (verb, f, BYTES_OF ("\xcb\xff\xf0\x00\x00\x00\x00\x00\x00"), "");
    assert_good (verb, f, BYTES_OF ("\xca\x3f\x80\x00\x00"));
    assert_good (verb, f, BYTES_OF ("\x05"));
    assert_good (verb, f, BYTES_OF ("\xfb"));
}

static void a_figure_that_is_no_finite_number_is_refused (void **s)
{
    (void) s;
    for_each (KIND_F64, check_f64);
}

static void check_str (enum verb verb, const struct field *f)
{
    assert_bad (verb, f, BYTES_OF ("\xc0"), "");
    assert_bad (verb, f, BYTES_OF ("\x01"), "");
    assert_bad (verb, f, BYTES_OF ("\xc4\x01x"), "");
    assert_bad (verb, f, BYTES_OF ("\x91\xa1x"), "");
    assert_bad (verb, f, BYTES_OF ("\xa3x\0y"), "");
    assert_bad (verb, f, BYTES_OF ("\xa1\0"), "");
    assert_good (verb, f, BYTES_OF ("\xa2\xff\x1b"));
}

static void a_text_of_another_type_or_with_a_nul_is_refused (void **s)
{
    (void) s;
    for_each (KIND_STR, check_str);
}

static void check_key (enum verb verb, const struct field *f)
{
    uint8_t longer[2 + MAX_KEY_BYTES + 1] = {0xd9, MAX_KEY_BYTES + 1};

    assert_bad (verb, f, BYTES_OF ("\xc0"), "");
    assert_bad (verb, f, BYTES_OF ("\x01"), "");
    assert_bad (verb, f, BYTES_OF ("\xc4\x01x"), "");
    assert_bad (verb, f, BYTES_OF ("\xa0"), "");
    assert_bad (verb, f, BYTES_OF ("\xa1."), "");
    assert_bad (verb, f, BYTES_OF ("\xa2.."), "");
    assert_bad (verb, f, BYTES_OF ("\xa2-a"), "");
    assert_bad (verb, f,
                BYTES_OF ("\xa3"
                          "a/b"),
                "");
    assert_bad (verb, f,
                BYTES_OF ("\xa2"
                          "a\0"),
                "");
    assert_bad (verb, f, BYTES_OF ("\xa1\0"), "");
    memset (longer + 2, 'x', MAX_KEY_BYTES + 1);
    assert_bad (verb, f, longer, sizeof longer, "");
    longer[1] = MAX_KEY_BYTES;
    assert_good (verb, f, longer, sizeof longer - 1);
    assert_good (verb, f, BYTES_OF ("\xa4Odin"));
}

static void a_project_that_cannot_be_one_is_refused (void **s)
{
    (void) s;
    for_each (KIND_KEY, check_key);
}

/* A list of `count` times these bytes. */
static const struct bytes *many (size_t count, const char *item, size_t size)
{
    static struct bytes list;

    bytes_clear (&list);
    bytes_list (&list, count);
    for (size_t i = 0; i < count; i++)
        bytes_add (&list, item, size);
    return &list;
}

static void check_u64s (enum verb verb, const struct field *f)
{
    const struct bytes *list = many (f->max, "\x01", 1);

    assert_bad (verb, f, BYTES_OF ("\xc0"), "");
    assert_bad (verb, f, BYTES_OF ("\x01"), "");
    assert_bad (verb, f, BYTES_OF ("\x80"), "");
    assert_bad (verb, f, BYTES_OF ("\x91\x00"), "[0]");
    assert_bad (verb, f, BYTES_OF ("\x92\x01\xff"), "[1]");
    assert_bad (verb, f, BYTES_OF ("\x91\xca\x3f\x80\x00\x00"), "[0]");
    assert_bad (verb, f, BYTES_OF ("\x91\xa1x"), "[0]");
    assert_bad (verb, f, BYTES_OF ("\x91\x91\x01"), "[0]");
    assert_good (verb, f, list->at, list->size);
    list = many (f->max + 1, "\x01", 1);
    assert_bad (verb, f, list->at, list->size, "");
}

static void a_list_with_something_else_in_it_is_refused (void **s)
{
    (void) s;
    for_each (KIND_U64S, check_u64s);
}

static void check_rows (enum verb verb, const struct field *f)
{
    char inside[40];
    const struct bytes *list;

    assert_bad (verb, f, BYTES_OF ("\xc0"), "");
    assert_bad (verb, f, BYTES_OF ("\x80"), "");
    assert_bad (verb, f, BYTES_OF ("\x91\x01"), "[0]");
    assert_true (f->row->at[0].required);
    snprintf (inside, sizeof inside, "[0].%s", f->row->at[0].key);
    assert_bad (verb, f, BYTES_OF ("\x91\x80"), inside);
    list = many (f->max + 1, "\x80", 1);
    assert_bad (verb, f, list->at, list->size, "");
}

static void a_row_with_a_fault_is_refused_by_its_place (void **s)
{
    (void) s;
    for_each (KIND_ROWS, check_rows);
}

static void every_missing_key_is_named (void **s)
{
    (void) s;
    for (unsigned v = VERB_NONE + 1; v < VERB_COUNT; v++) {
        const struct fields *fields = message_fields (v);

        for (unsigned i = 0; i < fields->count; i++) {
            if (!fields->at[i].required)
                continue;
            assert_bad (v, &fields->at[i], NULL, 0, "");
            assert_string_equal (error.detail, "missing");
        }
    }
}

static void a_refusal_says_what_was_expected (void **s)
{
    const struct field *count = &message_fields (VERB_REQUEST)->at[3];

    (void) s;
    assert_string_equal (count->key, "count");
    assert_bad (VERB_REQUEST, count, BYTES_OF ("\xfd"), "");
    assert_string_equal (error.detail, "expected 1..10000, got -3");
    assert_bad (VERB_REQUEST, count, BYTES_OF ("\x00"), "");
    assert_string_equal (error.detail, "expected 1..10000, got 0");
    assert_bad (VERB_REQUEST, count, BYTES_OF ("\xa1x"), "");
    assert_string_equal (error.detail, "expected an integer, got a string");
    assert_int_equal (error.seq, 1); // so that the answer can say to what
}

static void a_sequence_number_that_is_none_is_not_repeated (void **s)
{
    const struct field *seq = &message_fields (VERB_REQUEST)->at[2];

    (void) s;
    assert_bad (VERB_REQUEST, seq, full (UINT64_MAX), 9, "");
    assert_int_equal (error.seq, 0);
    assert_bad (VERB_REQUEST, seq, BYTES_OF ("\xa1x"), "");
    assert_int_equal (error.seq, 0);
}

static void a_verb_nobody_knows_is_told_apart_from_none (void **s)
{
    (void) s;
    assert_int_equal (decode (BYTES_OF ("\x82\xa4verb\xa4"
                                        "DOIT\xa3seq\x05")),
                      ERR_UNKNOWN_VERB);
    assert_int_equal (error.re, VERB_NONE);
    assert_int_equal (error.seq, 5);
    assert_string_equal (error.key, "verb");
    assert_int_equal (got.verb, VERB_NONE);
    assert_int_equal (decode (BYTES_OF ("\x81\xa4verb\xa4NONE")),
                      ERR_UNKNOWN_VERB);
    assert_int_equal (decode (BYTES_OF ("\x81\xa4verb\xa0")), ERR_UNKNOWN_VERB);
    assert_int_equal (decode (BYTES_OF ("\x80")), ERR_BAD_ARG);
    assert_string_equal (error.key, "verb");
    assert_int_equal (decode (BYTES_OF ("\x81\xa4verb\x01")), ERR_BAD_ARG);
    assert_string_equal (error.key, "verb");
    assert_int_equal (decode (BYTES_OF ("\x81\xa4Verb\xa3"
                                        "BYE")),
                      ERR_BAD_ARG);
}

static void a_key_that_is_there_twice_is_refused_at_every_level (void **s)
{
    (void) s;
    assert_int_equal (decode (BYTES_OF ("\x83\xa4verb\xa3"
                                        "BYE\xa7session\x01"
                                        "\xa7session\x01")),
                      ERR_BAD_FRAME);
    assert_int_equal (decode (BYTES_OF ("\x83\xa4verb\xa3"
                                        "BYE\xa7session\x01"
                                        "\xa4verb\xa3"
                                        "BYE")),
                      ERR_BAD_FRAME);
    assert_int_equal (decode (BYTES_OF ("\x83\xa4verb\xa3"
                                        "BYE\xa7session\x01"
                                        "\xd9\x04verb\xa3"
                                        "BYE")),
                      ERR_BAD_FRAME);
    assert_int_equal (decode (BYTES_OF ("\x83\xa4verb\xa3"
                                        "BYE\xa7session\x01"
                                        "\xa1x\x91\x82\xa1k\x01\xa1k\x02")),
                      ERR_BAD_FRAME);
    assert_int_equal (decode (BYTES_OF ("\x82\xa4verb\xa3"
                                        "BYE"
                                        "\xa1x\x82\xa0\x01\xa0\x02")),
                      ERR_BAD_FRAME);
    assert_int_equal (decode (BYTES_OF ("\x83\xa4verb\xa3"
                                        "BYE\xa7session\x01"
                                        "\xa1x\x92\x81\xa1k\x01\x81\xa1k\x02")),
                      ERR_NONE);
}

/* As many keys as a body holds: quadratic work would take seconds. */
static void a_map_of_very_many_keys_is_no_burden (void **s)
{
    char key[8];

    (void) s;
    bytes_clear (&b);
    bytes_map (&b, 10000);
    for (unsigned i = 0; i < 10000; i++) {
        snprintf (key, sizeof key, "%03x", i * 4099 % 16384);
        bytes_string (&b, key);
        bytes_add (&b, "\x01", 1);
    }
    assert_true (b.size < MAX_BODY_BYTES);
    assert_int_equal (decode (b.at, b.size), ERR_BAD_ARG);
    assert_string_equal (error.key, "verb");
}

static void a_malformed_body_is_a_bad_frame_with_its_place (void **s)
{
    (void) s;
    assert_int_equal (decode (BYTES_OF ("\xdd\x04\x00\x00\x00")),
                      ERR_BAD_FRAME);
    assert_string_equal (error.detail, "not a map at byte 0");
    assert_string_equal (error.key, "");
    assert_int_equal (error.re, VERB_NONE);
    assert_int_equal (decode (BYTES_OF ("")), ERR_BAD_FRAME);
    assert_int_equal (decode (BYTES_OF ("\x82\xa4verb\xa3"
                                        "BYE\xa7session\x01\x00")),
                      ERR_BAD_FRAME);
    assert_string_equal (error.detail, "bytes behind the end at byte 19");
}

static void a_message_cut_anywhere_is_a_bad_frame (void **s)
{
    (void) s;
    for (unsigned v = VERB_NONE + 1; v < VERB_COUNT; v++) {
        size_t size;

        fill_message (&sent, v, FILL_EVERY, 2);
        size = codec_encode_msg (&sent, body, sizeof body);
        for (size_t n = 0; n < size; n++)
            assert_int_equal (decode (body, n), ERR_BAD_FRAME);
        body[size] = 0;
        assert_int_equal (decode (body, size + 1), ERR_BAD_FRAME);
    }
}

/* ---- what is taken ---- */

static void an_integer_may_come_in_any_form_that_holds_it (void **s)
{
    static const struct {
        const char *bytes;
        size_t size;
    } sevens[] = {
        {BYTES_OF ("\x07")},
        {BYTES_OF ("\xcc\x07")},
        {BYTES_OF ("\xcd\x00\x07")},
        {BYTES_OF ("\xce\x00\x00\x00\x07")},
        {BYTES_OF ("\xcf\x00\x00\x00\x00\x00\x00\x00\x07")},
        {BYTES_OF ("\xd0\x07")},
        {BYTES_OF ("\xd1\x00\x07")},
        {BYTES_OF ("\xd2\x00\x00\x00\x07")},
        {BYTES_OF ("\xd3\x00\x00\x00\x00\x00\x00\x00\x07")},
    };
    const struct field *session = &message_fields (VERB_BYE)->at[0];

    (void) s;
    for (size_t i = 0; i < sizeof sevens / sizeof *sevens; i++) {
        assert_good (VERB_BYE, session, sevens[i].bytes, sevens[i].size);
        assert_int_equal (got.bye.session, 7);
    }
    assert_good (VERB_BYE, session, full (UINT64_MAX), 9);
    assert_true (got.bye.session == UINT64_MAX);
}

static const struct field *field_of (enum verb verb, const char *key)
{
    const struct fields *fields = message_fields (verb);

    for (unsigned i = 0; i < fields->count; i++) {
        if (strcmp (fields->at[i].key, key) == 0)
            return &fields->at[i];
    }
    fail_msg ("%s has no %s", verb_name (verb), key);
    return NULL;
}

static void an_integer_is_taken_for_a_float (void **s)
{
    const struct field *percent = field_of (VERB_PROGRESS, "percent");

    (void) s;
    assert_good (VERB_PROGRESS, percent, BYTES_OF ("\x3c"));
    assert_true (got.progress.percent == 60.0);
    assert_good (VERB_PROGRESS, percent, BYTES_OF ("\xff"));
    assert_true (got.progress.percent == -1.0);
    assert_good (VERB_PROGRESS, percent, BYTES_OF ("\xca\x3f\x00\x00\x00"));
    assert_true (got.progress.percent == 0.5);
    build (VERB_PROGRESS, percent, NULL, 0);
    assert_int_equal (decode (b.at, b.size), ERR_NONE);
    assert_true (isnan (got.progress.percent));
}

/* The note of a PROGRESS that was sent with `size` bytes. */
static const char *note_of (const char *text, size_t size)
{
    static struct bytes value;

    bytes_clear (&value);
    bytes_text (&value, text, size);
    assert_good (VERB_PROGRESS, field_of (VERB_PROGRESS, "note"), value.at,
                 value.size);
    return got.progress.note;
}

static void a_long_text_is_cut_between_characters (void **s)
{
    char text[300];
    const size_t max = 256;

    (void) s;
    memset (text, 'x', sizeof text);
    assert_int_equal (strlen (note_of (text, max)), max);
    assert_int_equal (strlen (note_of (text, max + 1)), max);

    memcpy (text + max - 1, "\xc3\xa4", 2); // two bytes, one on each side
    assert_int_equal (strlen (note_of (text, sizeof text)), max - 1);
    memcpy (text + max - 3, "\xf0\x9f\x93\x8a", 4);
    assert_int_equal (strlen (note_of (text, sizeof text)), max - 3);
    memcpy (text + max - 4, "\xf0\x9f\x93\x8a", 4); // ends just there
    assert_int_equal (strlen (note_of (text, sizeof text)), max);

    memset (text, '\x80', sizeof text); // no UTF-8: kept as bytes
    assert_int_equal (strlen (note_of (text, sizeof text)), max);
    text[290] = '\0';
    bytes_clear (&b);
    bytes_map (&b, 2);
    bytes_string (&b, "verb");
    bytes_string (&b, "PROGRESS");
    bytes_string (&b, "note");
    bytes_text (&b, text, sizeof text);
    assert_int_equal (decode (b.at, b.size), ERR_BAD_ARG);
}

static void a_projects_name_is_lower_case_from_here_on (void **s)
{
    (void) s;
    assert_good (VERB_KILL, field_of (VERB_KILL, "project"),
                 BYTES_OF ("\xabOpenHorizon"));
    assert_string_equal (got.kill.project, "openhorizon");
}

static void keys_of_a_later_version_are_ignored (void **s)
{
    (void) s;
    assert_int_equal (decode (BYTES_OF ("\x84\xa5"
                                        "extra\xc0\xa4verb\xa3"
                                        "BYE\xa7session\x07\xa0\x80")),
                      ERR_NONE);
    assert_int_equal (got.bye.session, 7);
}

static void a_decode_leaves_nothing_of_the_message_before (void **s)
{
    (void) s;
    memset (&got, 0xee, sizeof got);
    assert_int_equal (decode (BYTES_OF ("\x81\xa4verb\xa8PROGRESS")), ERR_NONE);
    message_init (&sent, VERB_PROGRESS);
    assert_memory_equal (&got.progress, &sent.progress, sizeof sent.progress);
    assert_int_equal (error.re, VERB_PROGRESS);
    assert_string_equal (error.key, "");
    assert_string_equal (error.detail, "");
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (every_message_comes_back_as_it_was),
        cmocka_unit_test (the_largest_of_every_message_fits_a_body),
        cmocka_unit_test (a_page_of_one_list_fits_a_body),
        cmocka_unit_test (what_is_empty_is_left_out),
        cmocka_unit_test (every_number_has_its_shortest_form),
        cmocka_unit_test (a_message_in_other_words_encodes_to_ours),
        cmocka_unit_test (what_does_not_fit_is_not_encoded),
        cmocka_unit_test (a_list_that_is_too_long_is_not_encoded),
        cmocka_unit_test (an_integer_of_another_type_or_range_is_refused),
        cmocka_unit_test (a_boolean_of_another_type_is_refused),
        cmocka_unit_test (a_figure_that_is_no_finite_number_is_refused),
        cmocka_unit_test (a_text_of_another_type_or_with_a_nul_is_refused),
        cmocka_unit_test (a_project_that_cannot_be_one_is_refused),
        cmocka_unit_test (a_list_with_something_else_in_it_is_refused),
        cmocka_unit_test (a_row_with_a_fault_is_refused_by_its_place),
        cmocka_unit_test (every_missing_key_is_named),
        cmocka_unit_test (a_refusal_says_what_was_expected),
        cmocka_unit_test (a_sequence_number_that_is_none_is_not_repeated),
        cmocka_unit_test (a_verb_nobody_knows_is_told_apart_from_none),
        cmocka_unit_test (a_key_that_is_there_twice_is_refused_at_every_level),
        cmocka_unit_test (a_map_of_very_many_keys_is_no_burden),
        cmocka_unit_test (a_malformed_body_is_a_bad_frame_with_its_place),
        cmocka_unit_test (a_message_cut_anywhere_is_a_bad_frame),
        cmocka_unit_test (an_integer_may_come_in_any_form_that_holds_it),
        cmocka_unit_test (an_integer_is_taken_for_a_float),
        cmocka_unit_test (a_long_text_is_cut_between_characters),
        cmocka_unit_test (a_projects_name_is_lower_case_from_here_on),
        cmocka_unit_test (keys_of_a_later_version_are_ignored),
        cmocka_unit_test (a_decode_leaves_nothing_of_the_message_before),
    };

    return cmocka_run_group_tests (tests, NULL, NULL);
}
