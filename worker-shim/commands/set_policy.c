/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/command.h"

#include <stdio.h>
#include <string.h>

#include "commands/ask.h"
#include "commands/flags.h"
#include "commands/say.h"
#include "protocol/nearest.h"

static int run_set_policy (int argc, char **argv);

const struct command command_set_policy = {
    .name = "set-policy",
    .usage = "fifo | fair | priority",
    .summary = "change who is served first",
    .help = "At once, and for good: of this and the configuration file the\n"
            "later change wins. Nobody loses a place in the queue.\n"
            "\n"
            "  fifo      whoever came first\n"
            "  fair      who has least of its share; `min` is 1 unless given\n"
            "  priority  the highest priority; waiting raises it (aging)\n",
    .examples = "  slotbus set-policy fair\n",
    .run = run_set_policy};

static const char *const POLICIES[] = {"fifo", "fair", "priority", NULL};

static int read_policy (const char *word, struct msg_set_policy *ret_set)
{
    const char *near = nearest_word (word, POLICIES);

    for (const char *const *p = POLICIES; *p; p++) {
        if (strcmp (*p, word) != 0)
            continue;
        message_init_fields (ret_set, VERB_SET_POLICY);
        copy_text (ret_set->policy, sizeof ret_set->policy, word);
        return 0;
    }
    return say_failure (
        EXIT_BAD_VALUE,
        "policy: expected fifo, fair or priority, got '%s'%s%s%s", word,
        near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

static int report (const struct msg_policy_ok *ok)
{
    char before[80], policy[80], requests[40];

    say_clean (ok->before, before, sizeof before);
    say_clean (ok->policy, policy, sizeof policy);
    if (strcmp (ok->before, ok->policy) == 0) {
        printf ("Policy unchanged: %s\n", policy);
        return say_flush ();
    }
    printf ("%sPolicy: %s → %s\n", say_emoji (stdout) ? "✅ " : "", before,
            policy);
    if (ok->waiting > 0)
        printf ("   %s in the queue, now in its order\n",
                say_count (ok->waiting, "request", requests, sizeof requests));
    return say_flush ();
}

static int run_set_policy (int argc, char **argv)
{
    const struct flag flags[] = {{NULL, 0, 0, NULL, 0, 0}};
    struct msg_set_policy set;
    struct arguments words;
    struct ask *a;
    int status;

    if (flags_read (&command_set_policy, flags, FLAGS_ANYWHERE, argc, argv,
                    &words, &status))
        return status;
    if (words.count != 1)
        return usage_error (&command_set_policy, "one policy is needed");
    if ((status = read_policy (words.at[0], &set)))
        return status;
    a = ask_open (&status);
    if (!a)
        return status;
    status = ask_call (a, VERB_SET_POLICY, &set, VERB_POLICY_OK);
    if (status == 0)
        status = report (&ask_answer (a)->policy_ok);
    ask_close (a);
    return status;
}
