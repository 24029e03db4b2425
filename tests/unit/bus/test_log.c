/* SPDX-License-Identifier: MPL-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "bus/log.h"

#define escapes_to(bytes, expected)                                            \
    do {                                                                       \
        char escaped_[256];                                                    \
                                                                               \
        assert_string_equal (log_escape (bytes, escaped_, sizeof escaped_),    \
                             expected);                                        \
    } while (0)

static int saved, capture;

/* stderr is a file in memory until captured () gives its text back. */
static void start_capture (void)
{
    saved = dup (STDERR_FILENO);
    capture = memfd_create ("stderr", MFD_CLOEXEC);
    assert_true (saved >= 0 && capture >= 0);
    dup2 (capture, STDERR_FILENO);
}

static const char *captured (void)
{
    static char text[8192];
    ssize_t n;

    dup2 (saved, STDERR_FILENO);
    n = pread (capture, text, sizeof text - 1, 0);
    close (saved);
    close (capture);
    assert_true (n >= 0);
    text[n] = 0;
    return text;
}

/* As with `slotbus-broker 2>&1 | less`. */
static void reader_that_has_stopped_stops_nobody (void **state)
{
    char text[1 << 17];
    ssize_t size;
    int ends[2];

    (void) state;
    assert_int_equal (pipe2 (ends, O_CLOEXEC), 0);
    saved = dup (STDERR_FILENO);
    dup2 (ends[1], STDERR_FILENO);
    for (int i = 0; i < 2000; i++)
        log_line (LOG_INFO, "line %d with some words that fill a pipe", i);
    size = read (ends[0], text, sizeof text - 1);
    log_line (LOG_INFO, "heard");
    dup2 (saved, STDERR_FILENO);
    close (saved);
    close (ends[1]);
    text[size > 0 ? size : 0] = 0;
    assert_non_null (strstr (text, "line 0 "));
    assert_null (strstr (text, "line 1999 "));
    size = read (ends[0], text, sizeof text - 1);
    text[size > 0 ? size : 0] = 0;
    assert_non_null (strstr (text, " lost="));
    assert_non_null (strstr (strstr (text, " lost="), "heard\n"));
    close (ends[0]);
}

static void plain_text_and_other_scripts_pass (void **state)
{
    (void) state;
    escapes_to ("auth v2", "auth v2");
    escapes_to ("h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x8e\xaf",
                "h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x8e\xaf");
}

static void control_bytes_of_both_sets_are_escaped (void **state)
{
    (void) state;
    escapes_to ("a\x1b[31mb\n", "a\\x1b[31mb\\x0a");
    escapes_to ("\x7f", "\\x7f");
    escapes_to ("\xc2\x9b", "\\xc2\\x9b"); // C1: a terminal's CSI
}

static void what_turns_text_round_is_escaped (void **state)
{
    (void) state;
    escapes_to ("\xe2\x80\xae", "\\xe2\\x80\\xae"); // U+202E
    escapes_to ("\xe2\x81\xa6", "\\xe2\\x81\\xa6"); // U+2066
    escapes_to ("\xe2\x80\x8f", "\\xe2\\x80\\x8f"); // U+200F
    escapes_to ("\xd8\x9c", "\\xd8\\x9c");          // U+061C
    escapes_to ("\xe2\x80\xa8", "\\xe2\\x80\\xa8"); // U+2028
}

static void bytes_that_are_not_utf_8_are_escaped (void **state)
{
    (void) state;
    escapes_to ("\xff", "\\xff");
    escapes_to ("\xc0\xaf", "\\xc0\\xaf");                   // overlong
    escapes_to ("\xed\xa0\x80", "\\xed\\xa0\\x80");          // surrogate
    escapes_to ("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"); // > U+10FFFF
    escapes_to ("a\xe2\x82", "a\\xe2\\x82");                 // cut off
}

static void value_cannot_end_its_own_quotes (void **state)
{
    (void) state;
    escapes_to ("x\" level=\"3", "x\\x22 level=\\x223");
    escapes_to ("\\x41", "\\x5cx41");
}

static void truncation_falls_between_characters (void **state)
{
    char text[6];

    (void) state;
    assert_string_equal (log_escape ("abc\xe2\x82\xac", text, sizeof text),
                         "abc");
    assert_string_equal (log_escape ("ab\x01", text, sizeof text), "ab");
    assert_string_equal (log_escape ("abcdefgh", text, sizeof text), "abcde");
}

static void line_is_time_word_and_pairs (void **state)
{
    const char *text;

    (void) state;
    log_open ("test", LOG_TEXT, LOG_INFO);
    start_capture ();
    errno = EBUSY;
    log_line (LOG_INFO, "grant session=%d token=%d", 1, 17);
    log_line (LOG_DEBUG, "unheard");
    assert_int_equal (errno, EBUSY);
    text = captured ();
    assert_int_equal (text[0], '[');
    assert_string_equal (strchr (text, ']'), "] grant session=1 token=17\n");
    assert_int_equal (strchr (text, ']') - text, 25);
}

static void line_break_in_a_value_makes_no_second_line (void **state)
{
    (void) state;
    log_open ("test", LOG_TEXT, LOG_INFO);
    start_capture ();
    log_line (LOG_INFO, "note text=a\n[x] grant\xff");
    assert_string_equal (strchr (captured (), ']'),
                         "] note text=a?[x] grant?\n");
}

static void nothing_in_a_line_turns_it_round (void **state)
{
    (void) state;
    log_open ("test", LOG_TEXT, LOG_INFO);
    start_capture ();
    log_line (LOG_INFO, "note a\x7f\xc2\x9b\xe2\x80\xae\xe2\x81\xa9\xc3\xa9");
    assert_string_equal (strchr (captured (), ']'),
                         "] note a?????????\xc3\xa9\n");
}

static void journal_gets_priorities_instead_of_times (void **state)
{
    (void) state;
    setenv ("JOURNAL_STREAM", "8:1", 1);
    log_open ("test", LOG_TEXT, LOG_INFO);
    unsetenv ("JOURNAL_STREAM");
    start_capture ();
    log_line (LOG_WARNING, "stalled gap_ms=%d", 1500);
    assert_string_equal (captured (), "<4>stalled gap_ms=1500\n");
}

static void object_has_the_pairs_as_keys (void **state)
{
    (void) state;
    log_open ("broker", LOG_JSON, LOG_INFO);
    start_capture ();
    log_line (LOG_INFO, "refused session=1 note=\"two words\\\" and some talk");
    assert_string_equal (strstr (captured (), ",\"level\""),
                         ",\"level\":6,\"who\":\"broker\",\"event\":\"refused\""
                         ",\"session\":\"1\",\"note\":\"two words\\\\\""
                         ",\"text\":\"and some talk\"}\n");
}

static void endless_line_ends_at_2_KiB_and_stays_an_object (void **state)
{
    char value[4000];
    const char *text;

    (void) state;
    memset (value, '"', sizeof value - 1);
    value[sizeof value - 1] = 0;
    log_open ("broker", LOG_JSON, LOG_INFO);
    start_capture ();
    log_line (LOG_INFO, "note a=1 b=%s", value);
    text = captured ();
    assert_true (strlen (text) <= 2048);
    assert_string_equal (text + strlen (text) - 2, "}\n");
    assert_non_null (strstr (text, "\"a\":\"1\""));
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (reader_that_has_stopped_stops_nobody),
        cmocka_unit_test (plain_text_and_other_scripts_pass),
        cmocka_unit_test (control_bytes_of_both_sets_are_escaped),
        cmocka_unit_test (what_turns_text_round_is_escaped),
        cmocka_unit_test (bytes_that_are_not_utf_8_are_escaped),
        cmocka_unit_test (value_cannot_end_its_own_quotes),
        cmocka_unit_test (truncation_falls_between_characters),
        cmocka_unit_test (line_is_time_word_and_pairs),
        cmocka_unit_test (line_break_in_a_value_makes_no_second_line),
        cmocka_unit_test (nothing_in_a_line_turns_it_round),
        cmocka_unit_test (journal_gets_priorities_instead_of_times),
        cmocka_unit_test (object_has_the_pairs_as_keys),
        cmocka_unit_test (endless_line_ends_at_2_KiB_and_stays_an_object),
    };

    return cmocka_run_group_tests (tests, NULL, NULL);
}
