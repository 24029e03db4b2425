/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "commands/checks.h"
#include "commands/command.h"

/* The tests' own table: main.c is not linked. */
void command_help (const struct command *command)
{
    (void) command;
}

static void add (struct findings *f, enum result result, bool no_answer)
{
    const struct finding one = {.result = result, .no_answer = no_answer};

    findings_add (f, &one);
}

static void notes_are_no_failure (void **state)
{
    struct findings f = {NULL, 0};

    (void) state;
    assert_int_equal (findings_worst (&f), RESULT_OK);
    assert_int_equal (findings_status (&f), 0);
    add (&f, RESULT_NOTE, false);
    add (&f, RESULT_OK, false);
    assert_int_equal (findings_worst (&f), RESULT_NOTE);
    assert_int_equal (findings_status (&f), 0);
    findings_free (&f);
}

static void a_missing_broker_is_69_unless_more_fails (void **state)
{
    struct findings f = {NULL, 0};

    (void) state;
    add (&f, RESULT_FAIL, true);
    add (&f, RESULT_NOTE, false);
    assert_int_equal (findings_worst (&f), RESULT_FAIL);
    assert_int_equal (findings_status (&f), EXIT_NO_BROKER);
    add (&f, RESULT_FAIL, false);
    assert_int_equal (findings_status (&f), EXIT_OTHER);
    add (&f, RESULT_FAIL, true);
    assert_int_equal (findings_status (&f), EXIT_OTHER);
    findings_free (&f);
}

static void what_is_reported_arrives_as_printable_text (void **state)
{
    struct finding one;
    struct report r;
    int fds[2];

    (void) state;
    assert_int_equal (pipe (fds), 0);
    r.fd = fds[1];
    report_note (&r, "a\nb", "do\tit", "%s", "\x1b[31m\xff");
    assert_int_equal (read (fds[0], &one, sizeof one), sizeof one);
    assert_int_equal (one.result, RESULT_NOTE);
    assert_string_equal (one.name, "a\\x0ab");
    assert_string_equal (one.what, "\\x1b[31m\\xff");
    assert_string_equal (one.remedy, "do\\x09it");
    close (fds[0]);
    close (fds[1]);
}

static void a_machine_id_is_32_digits_and_not_all_zero (void **state)
{
    (void) state;
    assert_null (machine_id_fault ("0123456789abcdef0123456789abcdef"));
    assert_string_equal (machine_id_fault (""), "empty");
    assert_string_equal (machine_id_fault ("uninitialized"), "uninitialized");
    assert_string_equal (machine_id_fault ("00000000000000000000000000000000"),
                         "all zero");
    assert_non_null (machine_id_fault ("0123456789abcdef0123456789abcde"));
    assert_non_null (machine_id_fault ("0123456789abcdef0123456789abcdef0"));
    assert_non_null (machine_id_fault ("0123456789ABCDEF0123456789ABCDEF"));
}

static void a_variable_with_a_typo_has_a_nearest_one (void **state)
{
    (void) state;
    assert_string_equal (variable_meant ("SLOTBUS_BROKRE"), "SLOTBUS_BROKER");
    assert_string_equal (variable_meant ("SLOTBUS_BROKER"), "SLOTBUS_BROKER");
    assert_string_equal (variable_meant ("SLOTBUS_RUNTIMEDIR"),
                         "SLOTBUS_RUNTIME_DIR");
    assert_null (variable_meant ("SLOTBUS_SOMETHING_ELSE_ALTOGETHER"));
}

static void a_process_has_a_state_or_is_gone (void **state)
{
    char text[32], tiny[4];

    (void) state;
    assert_string_equal (process_state (getpid (), text, sizeof text),
                         "running");
    assert_string_equal (process_state (0, text, sizeof text), "gone");
    assert_string_equal (process_state (getpid (), tiny, sizeof tiny), "run");
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (notes_are_no_failure),
        cmocka_unit_test (a_missing_broker_is_69_unless_more_fails),
        cmocka_unit_test (what_is_reported_arrives_as_printable_text),
        cmocka_unit_test (a_machine_id_is_32_digits_and_not_all_zero),
        cmocka_unit_test (a_variable_with_a_typo_has_a_nearest_one),
        cmocka_unit_test (a_process_has_a_state_or_is_gone),
    };

    return cmocka_run_group_tests (tests, NULL, NULL);
}
