/* SPDX-License-Identifier: MPL-2.0 */
/* test_corpus.c - the fuzzer's corpus, and all that lies near it, without a
 * fuzzer
 *
 * Run from the root of the sources, or with the folder as an argument.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/message.h"
#include "unit/protocol/bytes.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

#include "fuzz/fuzz_decode.c"

static const char *folder = "tests/fuzz/corpus/decode";

static size_t read_file (const char *name, uint8_t *bytes, size_t most)
{
    char path[512];
    FILE *file;
    size_t size;

    snprintf (path, sizeof path, "%s/%s", folder, name);
    file = fopen (path, "rb");
    if (!file)
        fail_msg ("cannot open %s", path);
    size = fread (bytes, 1, most, file);
    fclose (file);
    return size;
}

static void feed (const uint8_t *bytes, size_t size)
{
    uint8_t *exact = bytes_exact (bytes, size);

    LLVMFuzzerTestOneInput (exact, size);
    free (exact);
}

static void feed_as_it_is (uint8_t *bytes, size_t size)
{
    feed (bytes, size);
}

/* Every byte of it replaced by what may turn it into another form. */
static void feed_with_a_byte_changed (uint8_t *bytes, size_t size)
{
    static const uint8_t forms[] = {0x00, 0x80, 0x8f, 0x9f, 0xbf, 0xc0,
                                    0xc1, 0xc4, 0xca, 0xcb, 0xcf, 0xd3,
                                    0xd9, 0xdb, 0xdd, 0xdf, 0xff};

    for (size_t at = 0; at < size && at < 400; at++) {
        uint8_t was = bytes[at];

        for (size_t i = 0; i < sizeof forms; i++) {
            bytes[at] = forms[i];
            feed (bytes, size);
        }
        bytes[at] = was;
    }
}

static unsigned for_each_file (void (*check) (uint8_t *bytes, size_t size))
{
    static uint8_t bytes[2 * MAX_BODY_BYTES];
    DIR *dir = opendir (folder);
    struct dirent *entry;
    unsigned count = 0;

    if (!dir)
        fail_msg ("no folder %s: run this from the root", folder);
    while ((entry = readdir (dir))) {
        if (entry->d_name[0] == '.')
            continue;
        check (bytes, read_file (entry->d_name, bytes, sizeof bytes));
        count++;
    }
    closedir (dir);
    return count;
}

static void the_corpus_finds_nothing (void **s)
{
    (void) s;
    assert_true (for_each_file (feed_as_it_is) >= VERB_COUNT - 1);
}

static void one_byte_beside_the_corpus_is_nothing_either (void **s)
{
    (void) s;
    for_each_file (feed_with_a_byte_changed);
}

int main (int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (the_corpus_finds_nothing),
        cmocka_unit_test (one_byte_beside_the_corpus_is_nothing_either),
    };

    if (argc > 1)
        folder = argv[1];
    return cmocka_run_group_tests (tests, NULL, NULL);
}
