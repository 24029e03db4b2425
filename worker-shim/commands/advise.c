/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/command.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bus/base.h"
#include "commands/advice.h"
#include "commands/flags.h"
#include "commands/say.h"

static int run_advise (int argc, char **argv);

const struct command command_advise = {
    .name = "advise",
    .usage = "[--cores N] [--memory GB]",
    .summary = "how many slots this machine should have",
    .help =
        "By its cores and its memory; the smaller of both decides. Asks no\n"
        "broker.\n"
        "\n"
        "      --cores N    of another machine\n"
        "      --memory GB  of another machine\n",
    .examples = "  slotbus advise\n"
                "  slotbus advise --cores 8 --memory 16\n",
    .run = run_advise};

/* /proc/meminfo's MemTotal is what the firmware leaves: 15.5 of 16 GB. */
static unsigned memory_gb (void)
{
    unsigned long long kb = 0;
    char text[4096], *at;

    if (read_file ("/proc/meminfo", text, sizeof text) < 0)
        return 1;
    at = strstr (text, "MemTotal:");
    if (!at || sscanf (at, "MemTotal: %llu kB", &kb) != 1)
        return 1;
    return (unsigned) ((kb + (1 << 19)) >> 20);
}

static void print (unsigned cores, unsigned gb)
{
    const struct advice_row *row = advice_row (cores, gb);
    unsigned slots = advice_slots (cores, gb);

    printf ("%u cores, %u GB: %u slots\n", cores, gb, slots);
    printf ("   %s machine: %u-%u slots, %u-%u of them for one project\n",
            row->name, row->slots_low, row->slots_high, row->project_low,
            row->project_high);
    printf ("   One project may hold %u by default: a half, not a quarter, "
            "so that\n   two that build at once use the whole machine.\n",
            (slots + 1) / 2);
    printf ("   max_slots: auto takes %u; to change it: slotbus set-max N\n",
            slots);
}

static int run_advise (int argc, char **argv)
{
    uint64_t cores = 0, gb = 0;
    const struct flag flags[] = {{"--cores", 0, FLAG_NUMBER, &cores, 1, 4096},
                                 {"--memory", 0, FLAG_NUMBER, &gb, 1, 65536},
                                 {NULL, 0, 0, NULL, 0, 0}};
    struct arguments words;
    int status;

    if (flags_read (&command_advise, flags, FLAGS_ANYWHERE, argc, argv, &words,
                    &status))
        return status;
    if (words.count > 0)
        return usage_error (&command_advise, "what is '%s'?", words.at[0]);
    if (cores == 0)
        cores = (uint64_t) sysconf (_SC_NPROCESSORS_ONLN);
    print ((unsigned) cores, gb ? (unsigned) gb : memory_gb ());
    return say_flush ();
}
