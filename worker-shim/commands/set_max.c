/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/command.h"

#include <stdio.h>

#include "commands/ask.h"
#include "commands/flags.h"
#include "commands/say.h"

static int run_set_max (int argc, char **argv);

const struct command command_set_max = {
    .name = "set-max",
    .usage = "N",
    .summary = "change how many slots there are",
    .help =
        "At once, and for good: of this and the configuration file the\n"
        "later change wins. More wakes the queue; fewer lets agents finish\n"
        "and ends none.\n",
    .examples = "  slotbus set-max 30\n",
    .run = run_set_max};

/* What is really to be had more, as health stands, and after a shrink that has
 * not been worked off yet. */
static uint64_t additional (const struct msg_set_max_ok *ok)
{
    uint64_t more = ok->max_slots - ok->before;
    uint64_t withheld =
        ok->effective < ok->max_slots ? ok->max_slots - ok->effective : 0;
    uint64_t over = ok->in_use > ok->before ? ok->in_use - ok->before : 0;

    return more > withheld + over ? more - withheld - over : 0;
}

static void say_withheld (const struct msg_set_max_ok *ok)
{
    char slots[32], cause[1024];

    if (ok->effective >= ok->max_slots)
        return;
    printf (
        "   %s withheld for now%s%s\n",
        say_count (ok->max_slots - ok->effective, "slot", slots, sizeof slots),
        ok->cause[0] ? ": " : "", say_clean (ok->cause, cause, sizeof cause));
}

static void say_increased (const struct msg_set_max_ok *ok, bool emoji)
{
    uint64_t more = additional (ok);

    printf ("%sMax slots increased: %llu → %llu\n", emoji ? "✅ " : "",
            (unsigned long long) ok->before,
            (unsigned long long) ok->max_slots);
    printf ("   %llu additional slot%s available\n", (unsigned long long) more,
            more == 1 ? "" : "s");
    say_withheld (ok);
    if (ok->waiting > 0 && more > 0)
        puts ("   Queued projects can now proceed");
}

static void say_decreased (const struct msg_set_max_ok *ok, bool emoji)
{
    char slots[32];

    printf ("%sMax slots decreased: %llu → %llu\n", emoji ? "✅ " : "",
            (unsigned long long) ok->before,
            (unsigned long long) ok->max_slots);
    if (ok->in_use > ok->max_slots)
        printf ("   %s too many in use: they go as agents end, none is ended\n",
                say_count (ok->in_use - ok->max_slots, "slot", slots,
                           sizeof slots));
    say_withheld (ok);
}

static int report (const struct msg_set_max_ok *ok)
{
    bool emoji = say_emoji (stdout);

    if (ok->max_slots > ok->before)
        say_increased (ok, emoji);
    else if (ok->max_slots < ok->before)
        say_decreased (ok, emoji);
    else
        printf ("Max slots unchanged: %llu\n",
                (unsigned long long) ok->max_slots);
    return say_flush ();
}

static int run_set_max (int argc, char **argv)
{
    const struct flag flags[] = {{NULL, 0, 0, NULL, 0, 0}};
    struct msg_set_max set;
    struct arguments words;
    struct ask *a;
    int status;

    if (flags_read (&command_set_max, flags, FLAGS_ANYWHERE, argc, argv, &words,
                    &status))
        return status;
    if (words.count != 1)
        return usage_error (&command_set_max, "one number is needed");
    message_init_fields (&set, VERB_SET_MAX);
    if (number_of (words.at[0], 1, MAX_SLOTS, &set.max_slots))
        return say_failure (EXIT_BAD_VALUE, "slots: expected 1..%d, got '%s'",
                            MAX_SLOTS, words.at[0]);
    a = ask_open (&status);
    if (!a)
        return status;
    status = ask_call (a, VERB_SET_MAX, &set, VERB_SET_MAX_OK);
    if (status == 0)
        status = report (&ask_answer (a)->set_max_ok);
    ask_close (a);
    return status;
}
