/* SPDX-License-Identifier: MPL-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "commands/advice.h"
#include "commands/flags.h"
#include "commands/say.h"
#include "protocol/nearest.h"

/* The tests' own table: main.c is not linked. */
void command_help (const struct command *command)
{
    (void) command;
}

static const struct command none = {.name = "test", .usage = ""};

struct values {
    bool on;
    const char *text;
    struct texts many;
    uint64_t number;
    int64_t duration;
    struct u64s tokens;
};

/* Flags of a command line that is given as one string; its words are left in
 * ret_words. */
static int read_line (const char *line, enum flags_mode mode, struct values *v,
                      char *ret_words, size_t size)
{
    const struct flag flags[] = {
        {"--on", 'o', FLAG_BOOL, &v->on, 0, 0},
        {"--text", 't', FLAG_TEXT, &v->text, 0, 0},
        {"--many", 'm', FLAG_TEXTS, &v->many, 0, 0},
        {"--number", 'n', FLAG_NUMBER, &v->number, 1, 10},
        {"--duration", 0, FLAG_DURATION, &v->duration, 0, 0},
        {"--token", 0, FLAG_TOKENS, &v->tokens, 0, 0},
        {NULL, 0, 0, NULL, 0, 0}};
    static char copy[256];
    char *argv[32] = {"test"}, *rest = NULL;
    int argc = 1, status;
    struct arguments words;

    memset (v, 0, sizeof *v);
    snprintf (copy, sizeof copy, "%s", line);
    for (char *w = strtok_r (copy, " ", &rest); w;
         w = strtok_r (NULL, " ", &rest))
        argv[argc++] = w;
    if (flags_read (&none, flags, mode, argc, argv, &words, &status))
        return status;
    ret_words[0] = 0;
    for (int i = 0; i < words.count; i++)
        snprintf (ret_words + strlen (ret_words), size - strlen (ret_words),
                  "%s%s", i ? " " : "", words.at[i]);
    assert_null (words.at[words.count]);
    return -1; // no status: go on
}

static void flags_stand_anywhere_in_every_form (void **s)
{
    struct values v;
    char words[256];

    (void) s;
    assert_int_equal (read_line ("a --on -n 3 b --text=x=y --token 1-3,9 -- -o",
                                 FLAGS_ANYWHERE, &v, words, sizeof words),
                      -1);
    assert_string_equal (words, "a b -o");
    assert_true (v.on);
    assert_int_equal (v.number, 3);
    assert_string_equal (v.text, "x=y");
    assert_int_equal (v.tokens.count, 4);
    assert_int_equal (v.tokens.at[3], 9);
    assert_int_equal (
        read_line ("-tabc -n7", FLAGS_ANYWHERE, &v, words, sizeof words), -1);
    assert_string_equal (v.text, "abc");
    assert_int_equal (v.number, 7);
    assert_int_equal (read_line ("-mone --many two --many=", FLAGS_ANYWHERE, &v,
                                 words, sizeof words),
                      -1);
    assert_int_equal (v.many.count, 3);
    assert_string_equal (v.many.at[1], "two");
    assert_string_equal (v.many.at[2], "");
}

static void flags_of_a_command_that_is_run_are_its_own (void **s)
{
    struct values v;
    char words[256];

    (void) s;
    assert_int_equal (read_line ("-o make -n 3 -- x", FLAGS_BEFORE_WORDS, &v,
                                 words, sizeof words),
                      -1);
    assert_string_equal (words, "make -n 3 -- x");
    assert_int_equal (v.number, 0);
    assert_int_equal (read_line ("-o -- make -- x", FLAGS_BEFORE_WORDS, &v,
                                 words, sizeof words),
                      -1);
    assert_string_equal (words, "make -- x");
}

static void assert_each (const char *const *lines, int status)
{
    struct values v;
    char words[256];

    for (; *lines; lines++)
        assert_int_equal (
            read_line (*lines, FLAGS_ANYWHERE, &v, words, sizeof words),
            status);
}

static void mistakes_in_flags_are_usage (void **s)
{
    static const char *const wrong[] = {
        "--off",
        "--on=1",
        "--number",
        "-x",
        "-m1 -m2 -m3 -m4 -m5 -m6 -m7 -m8 -m9 -m10 -m11 -m12 -m13 -m14 -m15 "
        "-m16 -m17",
        NULL};
    static const char *const help[] = {"-o --help", NULL};

    (void) s;
    assert_each (wrong, EXIT_USAGE);
    assert_each (help, EXIT_DONE);
}

static void values_out_of_range_are_bad_values (void **s)
{
    static const char *const wrong[] = {
        "-n 11",       "-n 0",         "-n 3x",
        "-n -3",       "--duration x", "--token 0",
        "--token 3-1", "--token a",    "--token 1-9999999",
        NULL};

    (void) s;
    assert_each (wrong, EXIT_BAD_VALUE);
}

static void durations_have_units (void **s)
{
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"0", 0},          {"90", 90000},  {"250ms", 250},
                {"1.5h", 5400000}, {"2m", 120000}, {"2min", 120000},
                {"1d", 86400000},  {"10s", 10000}};
    static const char *const bad[] = {"",    "-1",   "1x", "0x10", "nan",
                                      "1e9", "400d", "ms", " 1"};
    int64_t ms;

    (void) s;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal (duration_of (good[i].text, &ms), 0);
        assert_int_equal (ms, good[i].ms);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal (duration_of (bad[i], &ms), -1);
}

static void nearest_word_is_near (void **s)
{
    static const char *const words[] = {"request", "release", "run", "status",
                                        NULL};

    (void) s;
    assert_string_equal (nearest_word ("requst", words), "request");
    assert_string_equal (nearest_word ("rlease", words), "release");
    assert_string_equal (nearest_word ("rnu", words), "run");
    assert_string_equal (nearest_word ("staus", words), "status");
    assert_null (nearest_word ("make", words));
    assert_null (nearest_word ("", words));
}

static const char *tokens (const char *list)
{
    static char text[256];
    struct u64s t = {.count = 0};

    if (*list)
        assert_int_equal (tokens_of (list, &t), 0);
    return say_tokens (&t, text, sizeof text);
}

static void tokens_are_said_as_ranges (void **s)
{
    (void) s;
    assert_string_equal (tokens (""), "none");
    assert_string_equal (tokens ("17"), "17");
    assert_string_equal (tokens ("17,18,19,20,21"), "17-21");
    assert_string_equal (tokens ("30,19,17,18,32,31"), "17-19,30-32");
    assert_string_equal (tokens ("1,3,5"), "1,3,5");
}

static const char *eta (uint64_t low, uint64_t high)
{
    static char text[64];

    return say_eta (low, high, text, sizeof text);
}

static void forecasts_are_said_in_the_unit_that_fits (void **s)
{
    (void) s;
    assert_string_equal (eta (0, 0), "unknown");
    assert_string_equal (eta (40, 40), "40 seconds");
    assert_string_equal (eta (720, 720), "12 minutes");
    assert_string_equal (eta (780, 960), "13-16 minutes");
    assert_string_equal (eta (30, 600), "at most 10 minutes");
    assert_string_equal (eta (1, 1), "1 second");
    assert_string_equal (eta (3600, 9000), "1-3 hours");
}

static void errors_have_their_exit_status (void **s)
{
    (void) s;
    assert_int_equal (status_of_error ("EXCEEDS_MAX"), 65);
    assert_int_equal (status_of_error ("NOT_FOUND"), 65);
    assert_int_equal (status_of_error ("QUEUE_FULL"), 75);
    assert_int_equal (status_of_error ("NOT_NOW"), 75);
    assert_int_equal (status_of_error ("NOT_ALLOWED"), 77);
    assert_int_equal (status_of_error ("DISK"), 74);
    assert_int_equal (status_of_error ("of a newer broker"), 1);
}

static void advice_is_the_lower_bound_of_each_row (void **s)
{
    static const struct {
        unsigned cores, gb, slots;
        const char *row;
    } wanted[] = {{2, 4, 5, "small"},      {4, 8, 10, "medium"},
                  {8, 16, 20, "large"},    {16, 32, 40, "xlarge"},
                  {64, 256, 50, "xlarge"}, {1, 1, 1, "small"},
                  {16, 8, 10, "medium"}};

    (void) s;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        assert_int_equal (advice_slots (wanted[i].cores, wanted[i].gb),
                          wanted[i].slots);
        assert_string_equal (advice_row (wanted[i].cores, wanted[i].gb)->name,
                             wanted[i].row);
    }
}

/* As the broker counts it for `max_slots: auto`. */
static void memory_counts_as_what_was_sold (void **state)
{
    const uint64_t gb = 1 << 30;
    (void) state;

    assert_int_equal (advice_gb (16 * gb), 16);
    assert_int_equal (advice_gb (15 * gb + gb / 4), 16);
    assert_int_equal (advice_gb (gb / 2), 1);
    assert_int_equal (advice_gb (0), 1);
}

static void bytes_are_said_in_the_largest_unit_that_fits (void **state)
{
    const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {
        {0, "0 kB"},
        {831488, "812 kB"},
        {1048576, "1 MB"},
        {368050176, "351 MB"},
        {6657199309, "6.2 GB"},
        {UINT64_MAX, "17179869184.0 GB"},
    };
    char text[32];
    (void) state;

    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal (say_bytes (cases[i].bytes, text, sizeof text),
                             cases[i].text);
}

static void as_many_fit_as_stay_within_the_limit (void **state)
{
    const uint64_t gb = 1 << 30;
    (void) state;

    assert_int_equal (advice_fit (16 * gb, 90, 880 * gb / 1000), 16);
    assert_int_equal (advice_fit (16 * gb, NAN, gb), 16);
    assert_int_equal (advice_fit (gb, 90, 2 * gb), 0);
    assert_int_equal (advice_fit (UINT64_MAX, NAN, 1), 1000000);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (flags_stand_anywhere_in_every_form),
        cmocka_unit_test (flags_of_a_command_that_is_run_are_its_own),
        cmocka_unit_test (mistakes_in_flags_are_usage),
        cmocka_unit_test (values_out_of_range_are_bad_values),
        cmocka_unit_test (durations_have_units),
        cmocka_unit_test (nearest_word_is_near),
        cmocka_unit_test (tokens_are_said_as_ranges),
        cmocka_unit_test (forecasts_are_said_in_the_unit_that_fits),
        cmocka_unit_test (errors_have_their_exit_status),
        cmocka_unit_test (advice_is_the_lower_bound_of_each_row),
        cmocka_unit_test (memory_counts_as_what_was_sold),
        cmocka_unit_test (bytes_are_said_in_the_largest_unit_that_fits),
        cmocka_unit_test (as_many_fit_as_stay_within_the_limit),
    };

    return cmocka_run_group_tests (tests, NULL, NULL);
}
