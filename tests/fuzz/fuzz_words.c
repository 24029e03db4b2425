/* SPDX-License-Identifier: MPL-2.0 */
/* fuzz_words.c - any text on its way to a terminal, a log or a key
 *
 * The first byte is how much room there is for the result.
 */
#include <stdlib.h>
#include <string.h>

#include "bus/cookie.h"
#include "bus/endpoint.h"
#include "bus/log.h"
#include "commands/say.h"
#include "commands/waiting.h"
#include "core/outbox.h"
#include "fuzz/feed.h"
#include "protocol/nearest.h"

/* In a block of just its size, so that a sanitizer sees its end. */
static char *room_of (size_t size)
{
    char *room = malloc (size);

    must (room != NULL, "no memory");
    memset (room, 0x55, size);
    return room;
}

static void check_escape (const char *text, size_t size)
{
    char *room = room_of (size);

    must (log_escape (text, room, size) == room, "another place");
    must (memchr (room, 0, size) != NULL, "endless");
    must_be_clean (room, strlen (room), false, "log_escape lets it through");
    free (room);
}

/* key="..." has two quotes, whatever is in it; and what is printed of it is
 * clean. */
static void check_quoted (const char *text, size_t size)
{
    char *room = room_of (size), *printed = room_of (size);

    must (outbox_quoted (text, room, size) == room, "another place");
    must (memchr (room, 0, size) != NULL, "endless");
    must (!strchr (room, '"'), "the quotes end early");
    log_escape (room, printed, size);
    must (!strchr (printed, '"'), "escaping makes quotes");
    free (room);
    free (printed);
}

static void check_waiting (const char *text, size_t size)
{
    struct row_waiter w = {.position = 1, .eta_high_s = UINT64_MAX};
    char *room = room_of (size);

    copy_text (w.reason, sizeof w.reason, text);
    copy_text (w.detail, sizeof w.detail, text);
    copy_text (w.unblocks, sizeof w.unblocks, text);
    waiting_why (&w, room, size);
    must (memchr (room, 0, size) != NULL, "endless");
    must_be_clean (room, strlen (room), false, "waiting_why lets it through");
    waiting_way_out (&w, room, size);
    must (memchr (room, 0, size) != NULL, "endless");
    must_be_clean (room, strlen (room), false, "so does waiting_way_out");
    free (room);
}

static void check_tokens (const uint8_t *data, size_t size, size_t room_size)
{
    struct feed f = {data, data + size};
    struct u64s tokens = {0};
    char *room = room_of (room_size), few[40];

    while (!feed_over (&f) && u64s_add (&tokens, feed_number (&f)))
        ;
    say_tokens (&tokens, room, room_size);
    must (memchr (room, 0, room_size) != NULL, "endless");
    say_age (feed_number (&f), few, sizeof few);
    say_eta (feed_number (&f), feed_number (&f), few, sizeof few);
    free (room);
}

static void check_keys (const char *text)
{
    char key[MAX_KEY_BYTES + 1], again[MAX_KEY_BYTES + 1];
    struct nearest nearest = {.word = text};
    struct endpoints endpoints;
    int rc = project_key_of (text, key);

    must (rc == 0 ? project_key_valid (key) : !*key, "a key that is none");
    must (rc != 0 ||
              (project_key_of (key, again) == 0 && strcmp (key, again) == 0),
          "a key has another key");
    nearest_offer (&nearest, "consilio");
    nearest_offer (&nearest, text);
    endpoints_of (text, &endpoints);
    must (verb_of_name (text, strlen (text)) < VERB_COUNT, "no verb");
    must (err_of_name (text) <= ERR_COUNT, "no error");
    must (status_of_error (text) > 0, "an error that is none");
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    size_t room = size ? 1 + (size_t) data[0] : 1;
    char *text;

    if (size)
        data++, size--;
    text = room_of (size + 1);
    if (size)
        memcpy (text, data, size);
    text[size] = 0;
    check_escape (text, room);
    check_quoted (text, room);
    check_waiting (text, room);
    check_tokens (data, size, room);
    check_keys (text);
    free (text);
    return 0;
}
