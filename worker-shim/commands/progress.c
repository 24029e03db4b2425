/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/command.h"

#include <stdlib.h>
#include <string.h>

#include "commands/flags.h"
#include "commands/reach.h"
#include "commands/say.h"

static int run_progress (int argc, char **argv);

const struct command command_progress = {
    .name = "progress",
    .usage = "[-p P] [-l LABEL | --token T] [PERCENT] [--phase 3/4] "
             "[--note TEXT]",
    .summary = "say how far an agent is",
    .help = "Inside `slotbus run` project and slot come from the environment.\n"
            "It is shown by `status`, and nothing is decided by it.\n"
            "\n"
            "  -p, --project P   else SLOTBUS_PROJECT\n"
            "  -l, --label L     the agent of that name; names the first slot\n"
            "                    without one if there is none\n"
            "      --token T     the agent of that slot\n"
            "      --phase A/B   phase A of B\n"
            "      --validating  behind the last phase: validations run\n"
            "      --note TEXT   a few words\n",
    .examples = "  slotbus progress --phase 3/4\n"
                "  slotbus progress -p consilio -l auth 60 --note parser\n",
    .run = run_progress};

enum { ANSWER_MS = 10000 };

struct wish {
    const char *project, *label, *phase, *note;
    struct u64s tokens;
    bool validating;
};

static struct msg answer;

static int take_percent (const char *text, struct msg_progress *p)
{
    char *end;
    double percent = strtod (text, &end);

    if (*end == '%')
        end++;
    if (*text < '0' || *text > '9' || strpbrk (text, "xX") || *end ||
        !(percent <= 100))
        return say_failure (EXIT_BAD_VALUE,
                            "percent: expected 0..100, got '%s'", text);
    p->percent = percent;
    return 0;
}

static int take_phase (const char *text, struct msg_progress *p)
{
    char copy[32], *slash;

    copy_text (copy, sizeof copy, text);
    slash = strchr (copy, '/');
    if (slash)
        *slash++ = 0;
    if (!slash || number_of (copy, 0, 1000, &p->phase) ||
        number_of (slash, 1, 1000, &p->phases) || p->phase > p->phases)
        return say_failure (EXIT_BAD_VALUE, "--phase: expected 3/4, got '%s'",
                            text);
    return 0;
}

/* Which agent: --token, --label, else the one that this runs in. */
static int take_whom (const struct wish *w, struct msg_progress *p)
{
    const char *own = getenv ("SLOTBUS_TOKENS");
    struct u64s tokens = w->tokens;

    if (w->label)
        copy_text (p->label, sizeof p->label, w->label);
    else if (tokens.count == 0 && own)
        tokens_of (own, &tokens);
    if (tokens.count == 0 && !w->label)
        return usage_error (&command_progress,
                            "which agent? --label or --token, outside of run");
    p->token = tokens.count > 0 ? tokens.at[0] : 0;
    return 0;
}

static int fill (const struct wish *w, const struct arguments *words,
                 struct msg_progress *ret)
{
    int status = 0;

    message_init_fields (ret, VERB_PROGRESS);
    if (words->count > 1)
        return usage_error (&command_progress, "what is '%s'?", words->at[1]);
    if (words->count == 0 && !w->phase && !w->note && !w->validating)
        return usage_error (&command_progress, "nothing to say");
    if (words->count == 1)
        status = take_percent (words->at[0], ret);
    if (status == 0 && w->phase)
        status = take_phase (w->phase, ret);
    if (status == 0)
        status = take_whom (w, ret);
    if (w->note)
        copy_text (ret->note, sizeof ret->note, w->note);
    ret->validating = w->validating;
    return status;
}

/* The shim's NOT_FOUND names nothing; the caller did. */
static int refused (const struct reach *reach, const struct msg_progress *p)
{
    if (err_of_name (answer.error.error) != ERR_NOT_FOUND)
        return say_refusal (&answer.error);
    if (p->token)
        return say_failure (EXIT_BAD_VALUE, "%s has no slot %llu here",
                            reach->project, (unsigned long long) p->token);
    return say_failure (EXIT_BAD_VALUE,
                        "%s has no agent named %s here, and no slot without a "
                        "name",
                        reach->project, p->label);
}

static int tell (struct reach *reach, const struct msg_progress *p)
{
    int status = reach_ask (reach, VERB_PROGRESS, p, ANSWER_MS, &answer);

    if (status == REACH_NONE)
        return say_failure (EXIT_BAD_VALUE, "%s has no agent here",
                            reach->project);
    if (status == REACH_TIMEOUT)
        return say_failure (EXIT_NO_BROKER, "no answer from %s's shim",
                            reach->project);
    if (status == 0 && answer.verb == VERB_ERROR)
        return refused (reach, p);
    return status;
}

static int run_progress (int argc, char **argv)
{
    struct wish w = {0};
    const struct flag flags[] = {
        {"--project", 'p', FLAG_TEXT, &w.project, 0, 0},
        {"--label", 'l', FLAG_TEXT, &w.label, 0, 0},
        {"--token", 't', FLAG_TOKENS, &w.tokens, 0, 0},
        {"--phase", 0, FLAG_TEXT, &w.phase, 0, 0},
        {"--validating", 0, FLAG_BOOL, &w.validating, 0, 0},
        {"--note", 0, FLAG_TEXT, &w.note, 0, 0},
        {NULL, 0, 0, NULL, 0, 0}};
    struct msg_progress progress;
    struct arguments words;
    struct reach reach;
    int status;

    if (flags_read (&command_progress, flags, FLAGS_ANYWHERE, argc, argv,
                    &words, &status))
        return status;
    if ((status = fill (&w, &words, &progress)) ||
        (status = reach_project (&reach, w.project)))
        return status;
    status = tell (&reach, &progress);
    reach_close (&reach);
    return status;
}
