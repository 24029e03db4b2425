/* SPDX-License-Identifier: MPL-2.0 */
/* PROGRESS on its way: the newest of each slot, and never a flood. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "core/progress.h"

static struct msg_progress about (uint64_t token, double percent,
                                  const char *note)
{
    struct msg_progress m;

    message_init_fields (&m, VERB_PROGRESS);
    m.token = token;
    m.percent = percent;
    copy_text (m.note, sizeof m.note, note);
    return m;
}

static void note (struct progress *p, struct msg_progress m)
{
    progress_note (p, &m);
}

static void newest_of_each_slot_is_told_with_what_older_ones_said (void **state)
{
    struct progress p = {.count = 0};
    struct msg_progress m;
    (void) state;

    note (&p, about (7, 10, "begins"));
    note (&p, about (8, 50, ""));
    note (&p, about (7, 20, "")); // its note stays
    assert_int_equal (progress_due (&p), 0);
    assert_true (progress_take (&p, 0, 5, &m));
    assert_int_equal (m.token, 7);
    assert_true (m.percent > 19 && m.percent < 21);
    assert_string_equal (m.note, "begins");
    assert_true (progress_take (&p, 1, 5, &m));
    assert_int_equal (m.token, 8);
    assert_false (progress_take (&p, 2, 5, &m));
    assert_int_equal (progress_due (&p), INT64_MAX);
    progress_clear (&p);
}

static void flood_is_told_a_few_times_a_second (void **state)
{
    struct progress p = {.count = 0};
    struct msg_progress m;
    unsigned told = 0;
    (void) state;

    for (int64_t now = 0; now < 10000; now++) {
        unsigned turn = 0;

        note (&p, about (7, (double) (now % 100), ""));
        assert_true (progress_due (&p) < now + PROGRESS_EVERY_MS);
        for (; progress_take (&p, turn, now, &m); turn++)
            assert_true (m.percent == (double) (now % 100));
        told += turn;
    }
    assert_int_equal (told, 10000 / PROGRESS_EVERY_MS);
    progress_clear (&p);
}

static void many_slots_take_turns (void **state)
{
    struct progress p = {.count = 0};
    struct msg_progress m;
    uint64_t expected = 1;
    (void) state;

    for (uint64_t token = 1; token <= MAX_HELD; token++)
        note (&p, about (token, 1, ""));
    for (int64_t now = 0; expected <= MAX_HELD; now += PROGRESS_EVERY_MS) {
        unsigned turn = 0;

        for (; progress_take (&p, turn, now, &m); turn++)
            assert_int_equal (m.token, expected++);
        assert_true (turn > 0 && turn <= PROGRESS_AT_ONCE);
    }
    progress_clear (&p);
}

static void what_is_forgotten_is_not_told (void **state)
{
    struct progress p = {.count = 0};
    struct msg_progress m;
    (void) state;

    note (&p, about (7, 10, ""));
    note (&p, about (8, 10, ""));
    progress_forget (&p, 7);
    progress_forget (&p, 9);
    assert_true (progress_take (&p, 0, 0, &m));
    assert_int_equal (m.token, 8);
    assert_false (progress_take (&p, 1, 0, &m));
    progress_clear (&p);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (newest_of_each_slot_is_told_with_what_older_ones_said),
        cmocka_unit_test (flood_is_told_a_few_times_a_second),
        cmocka_unit_test (many_slots_take_turns),
        cmocka_unit_test (what_is_forgotten_is_not_told),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
