/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "commands/command.h"
#include "commands/waiting.h"

/* The tests' own table: main.c is not linked. */
void command_help (const struct command *command)
{
    (void) command;
}

static struct row_waiter waiter (const char *reason, const char *detail,
                                 const char *unblocks)
{
    struct row_waiter w = {.count = 5, .position = 1, .slots_ahead = 3};

    strcpy (w.reason, reason);
    strcpy (w.detail, detail);
    strcpy (w.unblocks, unblocks);
    return w;
}

static void assert_said (const struct row_waiter *w, unsigned columns,
                         const char *wanted)
{
    size_t size;
    char *text;
    FILE *out = open_memstream (&text, &size);

    waiting_say (out, w, columns);
    fclose (out);
    assert_string_equal (text, wanted);
    free (text);
}

static void first_line_is_the_seeds_and_says_why (void **state)
{
    struct row_waiter w = waiter ("SLOTS", "2 of 20 free, 5 wanted", "");

    (void) state;
    assert_said (&w, 0,
                 "Waiting for slots (3 agents ahead): position 1, SLOTS: 2 of "
                 "20 free, 5 wanted; ETA unknown\n");
    w = waiter ("PAUSED", "", "slotbus resume odin");
    w.slots_ahead = 1, w.position = 2, w.eta_low_s = 60, w.eta_high_s = 120;
    assert_said (&w, 0,
                 "Waiting for slots (1 agent ahead): position 2, PAUSED; ETA "
                 "1-2 minutes\n   goes on with slotbus resume odin\n");
}

static void figure_that_is_not_of_now_has_its_age (void **state)
{
    struct row_waiter w = waiter ("HEALTH", "effective 12 of 20, 15 wanted",
                                  "a better health of vm1");

    (void) state;
    w.age_ms = 900;
    assert_said (&w, 0,
                 "Waiting for slots (3 agents ahead): position 1, HEALTH: "
                 "effective 12 of 20, 15 wanted; ETA unknown\n"
                 "   goes on with a better health of vm1\n");
    w.age_ms = 8000;
    assert_said (&w, 0,
                 "Waiting for slots (3 agents ahead): position 1, HEALTH: "
                 "effective 12 of 20, 15 wanted, 8 s ago; ETA unknown\n"
                 "   goes on with a better health of vm1\n");
}

static void lines_are_broken_between_words (void **state)
{
    struct row_waiter w =
        waiter ("SLOTS", "2 of 20 free, 5 wanted",
                "2 slots: odin's \xf0\x9f\x98\x80 (in about 89 s) and "
                "a's-name-that-is-as-long-as-a-line-or-more-than-that");

    (void) state;
    assert_said (
        &w, 50,
        "Waiting for slots (3 agents ahead): position 1,\n"
        "      SLOTS: 2 of 20 free, 5 wanted; ETA unknown\n"
        "   goes on with 2 slots: odin's \xf0\x9f\x98\x80 (in about 89 s)\n"
        "      and\n"
        "      a's-name-that-is-as-long-as-a-line-or-more-than-that\n");
    strcpy (w.unblocks, "");
    assert_said (&w, 5, // nobody reads that
                 "Waiting for slots (3 agents ahead):\n"
                 "      position 1, SLOTS: 2 of 20 free, 5\n"
                 "      wanted; ETA unknown\n");
}

static void nothing_of_a_peer_reaches_the_terminal_raw (void **state)
{
    struct row_waiter w = waiter ("SLO\x1b", "\x1b[2J", "a's \x1b\x9b\n");

    (void) state;
    assert_said (&w, 0,
                 "Waiting for slots (3 agents ahead): position 1, SLO\\x1b: "
                 "\\x1b[2J; ETA unknown\n"
                 "   goes on with a's \\x1b\\x9b\\x0a\n");
}

static void what_merely_goes_by_is_no_news (void **state)
{
    struct row_waiter told = waiter ("SLOTS", "2 of 20 free", "a's auth");
    struct row_waiter now = told;

    (void) state;
    told.eta_high_s = 300;
    now.eta_high_s = 240;
    now.since_ms = now.age_ms = 60000;
    assert_false (waiting_is_news (&told, &now, 60000));
    assert_true (waiting_is_news (&told, &now, 250000));
    now.eta_high_s = 0;
    assert_true (waiting_is_news (&told, &now, 60000));
    now.eta_high_s = 240;
    strcpy (now.detail, "1 of 20 free");
    assert_true (waiting_is_news (&told, &now, 60000));
    strcpy (told.reason, "PACING");
    assert_true (waiting_is_news (&told, &now, 60000));
    strcpy (now.reason, "PACING"); // a figure that never stands still
    assert_false (waiting_is_news (&told, &now, 60000));
    now.position = 2;
    assert_true (waiting_is_news (&told, &now, 60000));
}

static void queued_is_told_as_a_row_is (void **state)
{
    struct msg_queued q = {.count = 5,
                           .min = 2,
                           .position = 1,
                           .slots_ahead = 3,
                           .age_ms = 1200,
                           .since_ms = 5000,
                           .eta_low_s = 10,
                           .eta_high_s = 20};
    struct row_waiter row;
    json_t *all;
    char *text;

    (void) state;
    strcpy (q.reason, "CAP");
    strcpy (q.detail, "odin holds 5 of its 5");
    strcpy (q.unblocks, "1 slot: odin's auth");
    waiting_from ("odin", &q, &row);
    all = waiting_json (&row);
    text = json_dumps (all, JSON_COMPACT);
    assert_string_equal (
        text, "{\"project\":\"odin\",\"count\":5,\"min\":2,\"position\":1,"
              "\"slots_ahead\":3,\"reason\":\"CAP\",\"detail\":\"odin holds 5 "
              "of its 5\",\"age_ms\":1200,\"unblocks\":\"1 slot: odin's "
              "auth\",\"since_s\":5,\"eta_s\":[10,20]}");
    json_decref (all);
    free (text);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (first_line_is_the_seeds_and_says_why),
        cmocka_unit_test (figure_that_is_not_of_now_has_its_age),
        cmocka_unit_test (lines_are_broken_between_words),
        cmocka_unit_test (nothing_of_a_peer_reaches_the_terminal_raw),
        cmocka_unit_test (what_merely_goes_by_is_no_news),
        cmocka_unit_test (queued_is_told_as_a_row_is),
    };

    return cmocka_run_group_tests (tests, NULL, NULL);
}
