/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/command.h"

#include <stdbool.h>
#include <stdio.h>

#include "bus/machine.h"
#include "commands/advice.h"
#include "commands/ask.h"
#include "commands/flags.h"
#include "commands/say.h"

enum { ANSWER_MS = 1000 };

static int run_advise (int argc, char **argv);

const struct command command_advise = {
    .name = "advise",
    .usage = "[--cores N] [--memory GB]",
    .summary = "how many slots this machine should have",
    .help =
        "By the cores and the memory that may be used here (of a container:\n"
        "its own); the smaller of both decides. Where a broker runs, also by\n"
        "what its agents needed: nine in ten of them took no more memory than\n"
        "this reckons with for each slot.\n"
        "\n"
        "      --cores N    of another machine\n"
        "      --memory GB  of another machine\n",
    .examples = "  slotbus advise\n"
                "  slotbus advise --cores 8 --memory 16\n",
    .run = run_advise};

static void print (unsigned cores, unsigned gb)
{
    const struct advice_row *row = advice_row (cores, gb);
    unsigned slots = advice_slots (cores, gb);
    char with[32], get[32];

    printf ("%s, %u GB: %s\n", say_count (cores, "core", with, sizeof with), gb,
            say_count (slots, "slot", get, sizeof get));
    printf ("   %s machine: %u-%u slots, %u-%u of them for one project\n",
            row->name, row->slots_low, row->slots_high, row->project_low,
            row->project_high);
    printf ("   One project may hold %u by default: a half, not a quarter, "
            "so that\n   two that build at once use the whole machine.\n",
            (slots + 1) / 2);
    printf ("   max_slots: auto takes %u; to change it: slotbus set-max N\n",
            slots);
}

/* Advice needs no broker: where none answers at once nothing is said of it. Its
 * own host is the first that it lists. */
static bool ask_broker (uint64_t *ret_slot_bytes, double *ret_limit_percent)
{
    struct endpoint_list list;
    char error[4 * PATH_BYTES];
    const struct msg_status_ok *ok;
    struct msg_status in;
    struct ask *a;
    bool denied, known = false;
    int status;

    if (endpoints_find (&list, &denied, error, sizeof error))
        return false;
    a = ask_open (&status);
    if (!a)
        return false;
    message_init_fields (&in, VERB_STATUS);
    ok = &ask_answer (a)->status_ok;
    if (ask_try (a, VERB_STATUS, &in, VERB_STATUS_OK, ANSWER_MS) == 0) {
        known = ok->slot_bytes > 0 && ok->hosts_count > 0;
        *ret_slot_bytes = ok->slot_bytes;
        *ret_limit_percent = ok->hosts[0].max_memory_percent;
    }
    ask_close (a);
    return known;
}

static void print_needs (unsigned slots, uint64_t memory)
{
    uint64_t slot_bytes;
    double percent;
    char bytes[32];

    if (memory == 0 || !ask_broker (&slot_bytes, &percent))
        return;
    printf ("   %u slots would need about %s at p90; %u fit\n", slots,
            say_bytes (slots * slot_bytes, bytes, sizeof bytes),
            advice_fit (memory, percent, slot_bytes));
}

static int run_advise (int argc, char **argv)
{
    uint64_t cores = 0, gb = 0;
    const struct flag flags[] = {{"--cores", 0, FLAG_NUMBER, &cores, 1, 4096},
                                 {"--memory", 0, FLAG_NUMBER, &gb, 1, 65536},
                                 {NULL, 0, 0, NULL, 0, 0}};
    struct arguments words;
    struct machine here;
    int status;

    if (flags_read (&command_advise, flags, FLAGS_ANYWHERE, argc, argv, &words,
                    &status))
        return status;
    if (words.count > 0)
        return usage_error (&command_advise, "what is '%s'?", words.at[0]);
    machine_read ("/proc", &here);
    if (cores == 0)
        cores = here.cores;
    if (gb > 0)
        here.memory_bytes = gb << 30;
    gb = advice_gb (here.memory_bytes);
    print ((unsigned) cores, (unsigned) gb);
    print_needs (advice_slots ((unsigned) cores, (unsigned) gb),
                 here.memory_bytes);
    return say_flush ();
}
