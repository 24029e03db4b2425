/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/message.h"
#include "protocol/precheck.h"
#include "unit/protocol/bytes.h"
#include "unit/protocol/fill.h"
#include "protocol/codec.h"

/* What precheck says of these bytes, in a block of exactly their size. */
static const char *said (const void *bytes, size_t size, size_t *ret_at)
{
    uint8_t *copy = bytes_exact (bytes, size);
    const char *wrong = precheck (copy, size, ret_at);

    free (copy);
    return wrong;
}

static void assert_fine (const void *bytes, size_t size)
{
    const char *wrong = said (bytes, size, NULL);

    if (wrong)
        fail_msg ("refused: %s", wrong);
}

static void assert_refused (const void *bytes, size_t size, const char *why)
{
    const char *wrong = said (bytes, size, NULL);

    if (!wrong)
        fail_msg ("let through, expected: %s", why);
    assert_string_equal (wrong, why);
}

static void one_map_is_fine (void **s)
{
    (void) s;
    assert_fine (BYTES_OF ("\x80"));
    assert_fine (BYTES_OF ("\xde\x00\x00"));
    assert_fine (BYTES_OF ("\xdf\x00\x00\x00\x00"));
    assert_fine (BYTES_OF ("\x81\xa1k\xc0"));
    assert_fine (BYTES_OF ("\xdf\x00\x00\x00\x01\xdb\x00\x00\x00\x01k\xc3"));
}

static void anything_but_a_map_is_refused (void **s)
{
    (void) s;
    assert_refused (BYTES_OF (""), "empty");
    assert_refused (BYTES_OF ("\x90"), "not a map");
    assert_refused (BYTES_OF ("\x01"), "not a map");
    assert_refused (BYTES_OF ("\xa1k"), "not a map");
    assert_refused (BYTES_OF ("SLT1\x80"), "not a map");
}

static void every_scalar_has_its_length (void **s)
{
    static const struct {
        const char *bytes;
        size_t size;
    } values[] = {
        {BYTES_OF ("\x00")},
        {BYTES_OF ("\x7f")},
        {BYTES_OF ("\xc0")},
        {BYTES_OF ("\xc2")},
        {BYTES_OF ("\xc3")},
        {BYTES_OF ("\xca____")},
        {BYTES_OF ("\xcb________")},
        {BYTES_OF ("\xcc_")},
        {BYTES_OF ("\xcd__")},
        {BYTES_OF ("\xce____")},
        {BYTES_OF ("\xcf________")},
        {BYTES_OF ("\xd0_")},
        {BYTES_OF ("\xd1__")},
        {BYTES_OF ("\xd2____")},
        {BYTES_OF ("\xd3________")},
        {BYTES_OF ("\xe0")},
        {BYTES_OF ("\xff")},
        {BYTES_OF ("\xc4\x03___")},
        {BYTES_OF ("\xc5\x00\x03___")},
        {BYTES_OF ("\xc6\x00\x00\x00\x03___")},
        {BYTES_OF ("\xa3___")},
        {BYTES_OF ("\xd9\x03___")},
        {BYTES_OF ("\xda\x00\x03___")},
        {BYTES_OF ("\xdb\x00\x00\x00\x03___")},
        {BYTES_OF ("\x90")},
        {BYTES_OF ("\xdc\x00\x02\x01\x02")},
        {BYTES_OF ("\xdd\x00\x00\x00\x02\x01\x02")},
    };
    struct bytes b;

    (void) s;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        bytes_clear (&b);
        bytes_map (&b, 1);
        bytes_string (&b, "k");
        bytes_add (&b, values[i].bytes, values[i].size);
        assert_fine (b.at, b.size);
        for (size_t n = 0; n < b.size; n++)
            assert_non_null (said (b.at, n, NULL));
        bytes_add (&b, "\x00", 1);
        assert_refused (b.at, b.size, "bytes behind the end");
    }
}

static void extensions_and_the_reserved_byte_are_refused (void **s)
{
    static const uint8_t extensions[] = {0xc7, 0xc8, 0xc9, 0xd4,
                                         0xd5, 0xd6, 0xd7, 0xd8};
    uint8_t body[40] = "\x81\xa1k";

    (void) s;
    for (size_t i = 0; i < sizeof extensions; i++) {
        body[3] = extensions[i];
        assert_refused (body, sizeof body, "an extension type");
    }
    assert_refused (BYTES_OF ("\x81\xa1k\xc1"), "a byte that msgpack reserves");
    assert_refused (BYTES_OF ("\x81\xc1\x01"), "a byte that msgpack reserves");
}

static void keys_are_strings_at_every_level (void **s)
{
    (void) s;
    assert_refused (BYTES_OF ("\x81\x01\x01"), "a key that is not a string");
    assert_refused (BYTES_OF ("\x81\xc4\x01k\x01"),
                    "a key that is not a string");
    assert_refused (BYTES_OF ("\x82\xa1k\x01\x80\x01"),
                    "a key that is not a string");
    assert_refused (BYTES_OF ("\x81\xa1k\x91\x81\x02\x02"),
                    "a key that is not a string");
    assert_fine (BYTES_OF ("\x82\xa1k\x91\x81\xa1l\x02\xa1m\x03"));
}

static void a_bomb_of_five_bytes_is_refused (void **s)
{
    (void) s;
    assert_refused (BYTES_OF ("\xdd\x04\x00\x00\x00"), "not a map");
    assert_refused (BYTES_OF ("\xdf\x04\x00\x00\x00"),
                    "announces more than there is");
    assert_refused (BYTES_OF ("\xdf\xff\xff\xff\xff"),
                    "announces more than there is");
    assert_refused (BYTES_OF ("\x81\xa1k\xdd\x04\x00\x00\x00"),
                    "announces more than there is");
    assert_refused (BYTES_OF ("\x81\xa1k\xdd\xff\xff\xff\xff"),
                    "announces more than there is");
    assert_refused (BYTES_OF ("\x81\xa1k\xdb\xff\xff\xff\xff"),
                    "announces more than there is");
    assert_refused (BYTES_OF ("\x81\xa1k\xc6\xff\xff\xff\xff"),
                    "announces more than there is");
}

/* Each count is covered by the bytes that are left, but not all together: the
 * same 1000 bytes are promised to seven lists. */
static void counts_are_bounded_by_their_sum_over_the_nesting (void **s)
{
    struct bytes b;

    (void) s;
    bytes_clear (&b);
    bytes_map (&b, 1);
    bytes_string (&b, "k");
    for (int level = 0; level < 7; level++)
        bytes_list (&b, 1000);
    for (int i = 0; i < 1000; i++)
        bytes_add (&b, "\x01", 1);
    assert_refused (b.at, b.size, "announces more than there is");
}

static void nested_to_depth (struct bytes *b, int depth)
{
    bytes_clear (b);
    bytes_map (b, 1);
    bytes_string (b, "k");
    for (int level = 2; level < depth; level++)
        bytes_list (b, 1);
    bytes_list (b, 0);
}

static void eight_levels_are_fine_and_nine_are_not (void **s)
{
    struct bytes b;

    (void) s;
    assert_int_equal (MAX_DEPTH, 8);
    nested_to_depth (&b, 8);
    assert_fine (b.at, b.size);
    nested_to_depth (&b, 9);
    assert_refused (b.at, b.size, "nested too deep");
    nested_to_depth (&b, 60000);
    assert_refused (b.at, b.size, "nested too deep");
}

static void siblings_do_not_add_up_to_depth (void **s)
{
    struct bytes b;

    (void) s;
    bytes_clear (&b);
    bytes_map (&b, 1);
    bytes_string (&b, "k");
    bytes_list (&b, 100);
    for (int i = 0; i < 100; i++)
        bytes_add (&b, "\x91\x90", 2);
    assert_fine (b.at, b.size);
}

static void the_longest_body_is_fine_and_one_more_is_not (void **s)
{
    struct bytes b;

    (void) s;
    bytes_clear (&b);
    bytes_map (&b, 1);
    bytes_string (&b, "k");
    bytes_add (&b, "\xdc\xff\xfa", 3);
    while (b.size < MAX_BODY_BYTES)
        bytes_add (&b, "\xc0", 1);
    assert_fine (b.at, b.size);
    b.at[5]++;
    bytes_add (&b, "\xc0", 1);
    assert_refused (b.at, b.size, "too long");
}

static void the_place_of_the_fault_is_told (void **s)
{
    size_t at = 99;

    (void) s;
    assert_non_null (said (BYTES_OF ("\x82\xa1k\x01\xa1l\xc1"), &at));
    assert_int_equal (at, 6);
    assert_non_null (said (BYTES_OF ("\x80\x80"), &at));
    assert_int_equal (at, 1);
    assert_null (said (BYTES_OF ("\x80"), &at));
}

static void a_message_cut_anywhere_is_refused (void **s)
{
    static struct msg msg;
    static uint8_t body[MAX_BODY_BYTES];

    (void) s;
    for (unsigned v = VERB_NONE + 1; v < VERB_COUNT; v++) {
        size_t size;

        fill_message (&msg, v, FILL_EVERY, 2);
        size = codec_encode_msg (&msg, body, sizeof body);
        assert_int_not_equal (size, 0);
        assert_fine (body, size);
        for (size_t n = 0; n < size; n++)
            assert_non_null (said (body, n, NULL));
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (one_map_is_fine),
        cmocka_unit_test (anything_but_a_map_is_refused),
        cmocka_unit_test (every_scalar_has_its_length),
        cmocka_unit_test (extensions_and_the_reserved_byte_are_refused),
        cmocka_unit_test (keys_are_strings_at_every_level),
        cmocka_unit_test (a_bomb_of_five_bytes_is_refused),
        cmocka_unit_test (counts_are_bounded_by_their_sum_over_the_nesting),
        cmocka_unit_test (eight_levels_are_fine_and_nine_are_not),
        cmocka_unit_test (siblings_do_not_add_up_to_depth),
        cmocka_unit_test (the_longest_body_is_fine_and_one_more_is_not),
        cmocka_unit_test (the_place_of_the_fault_is_told),
        cmocka_unit_test (a_message_cut_anywhere_is_refused),
    };

    return cmocka_run_group_tests (tests, NULL, NULL);
}
