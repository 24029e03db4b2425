/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/command.h"

#include <stdio.h>
#include <string.h>

#include "commands/ask.h"
#include "commands/flags.h"
#include "commands/say.h"

static int run_set_priority (int argc, char **argv);

const struct command command_set_priority = {
    .name = "set-priority",
    .usage = "P X",
    .summary = "change project P's priority",
    .help =
        "Its weight under the policy fair, its rank under priority: 0 to "
        "1000,\n"
        "higher is more, 5 unless something else was said. At once, and for\n"
        "good: of this and the configuration file the later change wins.\n",
    .examples = "  slotbus set-priority odin 8\n",
    .run = run_set_priority};

enum { MOST = 1000 };

static int read_words (const struct arguments *words,
                       struct msg_set_priority *ret_set)
{
    message_init_fields (ret_set, VERB_SET_PRIORITY);
    if (words->count != 2)
        return usage_error (&command_set_priority,
                            "a project and its priority are needed");
    if (project_key_of (words->at[0], ret_set->project))
        return say_failure (EXIT_BAD_VALUE, "'%s' is not the name of a project",
                            words->at[0]);
    if (number_of (words->at[1], 0, MOST, &ret_set->priority))
        return say_failure (EXIT_BAD_VALUE,
                            "priority: expected 0..%d, got '%s'", MOST,
                            words->at[1]);
    return 0;
}

static int report (const struct msg_priority_ok *ok)
{
    const char *name = ok->project; // a key: nothing to be escaped

    if (ok->before == ok->priority)
        printf ("Priority of %s unchanged: %llu", name,
                (unsigned long long) ok->priority);
    else
        printf ("%sPriority of %s: %llu → %llu", say_emoji (stdout) ? "✅ " : "",
                name, (unsigned long long) ok->before,
                (unsigned long long) ok->priority);
    puts (strcmp (ok->policy, "fifo") == 0
              ? " (takes effect under fair and priority; the policy is fifo)"
              : "");
    return say_flush ();
}

static int run_set_priority (int argc, char **argv)
{
    const struct flag flags[] = {{NULL, 0, 0, NULL, 0, 0}};
    struct msg_set_priority set;
    struct arguments words;
    struct ask *a;
    int status;

    if (flags_read (&command_set_priority, flags, FLAGS_ANYWHERE, argc, argv,
                    &words, &status))
        return status;
    if ((status = read_words (&words, &set)))
        return status;
    a = ask_open (&status);
    if (!a)
        return status;
    status = ask_call (a, VERB_SET_PRIORITY, &set, VERB_PRIORITY_OK);
    if (status == 0)
        status = report (&ask_answer (a)->priority_ok);
    ask_close (a);
    return status;
}
