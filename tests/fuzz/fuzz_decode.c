/* SPDX-License-Identifier: MPL-2.0 */
/* fuzz_decode.c - any bytes from anybody
 *
 * Whatever precheck and codec let through must come back the same from its
 * own encoding, and everything must be inside the buffers (run it under the
 * sanitizers). The committed corpus, and what lies a byte beside it, is run as
 * a unit test under every compiler: unit/protocol/test_corpus.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/codec.h"
#include "protocol/precheck.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

/* Not assert (): it must hold in every flavour. */
static void must (bool holds, const char *what)
{
    if (holds)
        return;
    fprintf (stderr, "fuzz_decode: %s\n", what);
    abort ();
}

/* The items of lists that are not in use may be anything. */
static bool are_equal (const struct msg *a, const struct msg *b)
{
    static struct msg x, y;
    size_t size = message_size (a->verb);

    memset (&x.hello, 0, size);
    memset (&y.hello, 0, size);
    message_copy (&x.hello, &a->hello, a->verb);
    message_copy (&y.hello, &b->hello, a->verb);
    return a->verb == b->verb && memcmp (&x.hello, &y.hello, size) == 0;
}

/* Most floats that one message can bring as an integer of one byte. */
enum { MOST_GROWTH = 8 * 16 * 64 };

static void check_round_trip (const struct msg *in, size_t size)
{
    static uint8_t once[MAX_BODY_BYTES], twice[MAX_BODY_BYTES];
    static struct msg again;
    struct codec_error error;
    size_t length = codec_encode_msg (in, once, sizeof once);

    if (length == 0) {
        must (size + MOST_GROWTH > MAX_BODY_BYTES, "cannot be encoded");
        return;
    }
    must (!precheck (once, length, NULL), "our own encoding is refused");
    must (codec_decode (once, length, &again, &error) == ERR_NONE,
          "our own encoding cannot be read");
    must (are_equal (&again, in), "another message");
    must (codec_encode_msg (&again, twice, sizeof twice) == length &&
              memcmp (once, twice, length) == 0,
          "two encodings");
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    static struct msg in;
    struct codec_error error;
    size_t at = 0;
    bool well_formed = !precheck (data, size, &at);
    enum err err = codec_decode (data, size, &in, &error);

    must (at <= size, "the fault lies behind the end");
    must ((err == ERR_NONE) == (in.verb != VERB_NONE && !error.detail[0]),
          "an error without a word, or a word without an error");
    must (well_formed || err == ERR_BAD_FRAME, "malformed and let through");
    must (!well_formed || strcmp (error.detail, "not msgpack") != 0,
          "well-formed, but not for the library");
    must (err == ERR_NONE || err == ERR_BAD_FRAME || err == ERR_BAD_ARG ||
              err == ERR_UNKNOWN_VERB,
          "an error that decoding does not have");
    must (memchr (error.key, '\0', sizeof error.key) &&
              memchr (error.detail, '\0', sizeof error.detail),
          "an endless error");
    if (err == ERR_NONE)
        check_round_trip (&in, size);
    return 0;
}
