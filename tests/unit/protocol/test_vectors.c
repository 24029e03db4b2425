/* SPDX-License-Identifier: MPL-2.0 */
/* test_vectors.c - the codec reads every example of messages/vectors, and
 * writes the same bytes
 *
 * Run from the root of the sources, or with the folder as an argument. How
 * they are made: test_vectors.py.
 */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/codec.h"

static const char *folder = "messages/vectors";

static int digit (int c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* Pairs of hex digits; white space and comments from # on are skipped. */
static size_t read_hex (FILE *file, uint8_t *bytes, size_t most)
{
    size_t digits = 0;
    int c;

    while ((c = getc (file)) != EOF) {
        if (c == '#') {
            while (c != '\n' && c != EOF)
                c = getc (file);
        } else if (isxdigit (c) && digits / 2 < most) {
            if (digits % 2 == 0)
                bytes[digits / 2] = 0;
            bytes[digits / 2] = bytes[digits / 2] << 4 | digit (c);
            digits++;
        } else if (!isspace (c)) {
            fail_msg ("not a hex digit: %c", c);
        }
    }
    assert_int_equal (digits % 2, 0);
    return digits / 2;
}

static size_t read_vector (enum verb verb, uint8_t *bytes, size_t most)
{
    char path[512];
    FILE *file;
    size_t size;

    snprintf (path, sizeof path, "%s/%s.hex", folder, verb_name (verb));
    file = fopen (path, "r");
    if (!file)
        fail_msg ("cannot open %s", path);
    size = read_hex (file, bytes, most);
    fclose (file);
    return size;
}

static void every_vector_is_what_the_codec_writes (void **s)
{
    static uint8_t vector[MAX_BODY_BYTES], ours[MAX_BODY_BYTES];
    static struct msg msg;
    struct codec_error error;

    (void) s;
    for (unsigned v = VERB_NONE + 1; v < VERB_COUNT; v++) {
        size_t size = read_vector (v, vector, sizeof vector);

        if (codec_decode (vector, size, &msg, &error) != ERR_NONE)
            fail_msg ("%s: %s: %s", verb_name (v), error.key, error.detail);
        assert_int_equal (msg.verb, v);
        if (codec_encode_msg (&msg, ours, sizeof ours) != size)
            fail_msg ("%s: another length", verb_name (v));
        assert_memory_equal (ours, vector, size);
    }
}

/* Read by eye once, so that not everything depends on a program. */
static void some_values_are_where_they_belong (void **s)
{
    static uint8_t vector[MAX_BODY_BYTES];
    static struct msg msg;
    struct codec_error error;
    size_t size;

    (void) s;
    size = read_vector (VERB_GRANT, vector, sizeof vector);
    assert_int_equal (codec_decode (vector, size, &msg, &error), ERR_NONE);
    assert_true (msg.grant.session == 11400714819323198485u);
    assert_int_equal (msg.grant.first, 17);
    assert_int_equal (msg.grant.count, 5);
    assert_int_equal (msg.grant.waited_ms, 1250);

    size = read_vector (VERB_STATUS_OK, vector, sizeof vector);
    assert_int_equal (codec_decode (vector, size, &msg, &error), ERR_NONE);
    assert_int_equal (msg.status_ok.projects_count, 2);
    assert_string_equal (msg.status_ok.projects[1].name, "odin");
    assert_true (msg.status_ok.hosts[0].memory_percent == 91.0);
    assert_string_equal (msg.status_ok.queue[0].reason, "SLOTS");
}

int main (int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (every_vector_is_what_the_codec_writes),
        cmocka_unit_test (some_values_are_where_they_belong),
    };

    if (argc > 1)
        folder = argv[1];
    return cmocka_run_group_tests (tests, NULL, NULL);
}
