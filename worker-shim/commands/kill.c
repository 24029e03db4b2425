/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/command.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bus/base.h"
#include "commands/flags.h"
#include "commands/render.h"
#include "commands/say.h"

static int run_kill (int argc, char **argv);

const struct command command_kill = {
    .name = "kill",
    .usage = "P [--label L | --token T] [--reason R] [--grace S] ...",
    .summary = "end project P's agents",
    .help =
        "Ends their whole process trees: notice, SIGTERM, grace, SIGKILL, "
        "until\n"
        "proven gone. Withdraws P's waiting requests too. P may ask for slots\n"
        "again afterwards: `slotbus pause P` keeps it from getting any. Asks\n"
        "first on a terminal.\n"
        "\n"
        "  -l, --label L      only the agents of that name\n"
        "      --token T      only the agent of that slot\n"
        "      --reason R     why: the agents and the log are told\n"
        "      --grace S      between SIGTERM and SIGKILL\n"
        "      --keep-queue   leave the waiting requests\n"
        "      --supervisor   of agents inside their supervisor: end that too\n"
        "      --dry-run      only say what would be ended\n"
        "  -y, --yes          do not ask\n",
    .examples = "  slotbus kill consilio --yes\n"
                "  slotbus kill consilio --label api --reason 'runs wild'\n",
    .run = run_kill};

enum { FIRST_POLL_MS = 20, LAST_POLL_MS = 250, MAX_GRACE_MS = 3600000 };

struct wish {
    struct msg_kill kill;
    const char *label, *reason;
    char name[256]; // for people
    uint64_t token;
    int64_t grace_ms;
    bool yes, emoji;
};

/* No label at all would mean every agent: an empty one is a mistake. */
static int check_values (const struct wish *w)
{
    if (w->label && !*w->label)
        return say_failure (EXIT_BAD_VALUE,
                            "--label: expected the name of an agent, got ''");
    if (w->grace_ms == 0 || w->grace_ms > MAX_GRACE_MS)
        return say_failure (EXIT_BAD_VALUE, "--grace: expected 1ms..1h");
    return 0;
}

static int read_wish (struct wish *w, int argc, char **argv)
{
    struct msg_kill *k = &w->kill;
    const struct flag flags[] = {
        {"--label", 'l', FLAG_TEXT, &w->label, 0, 0},
        {"--token", 't', FLAG_NUMBER, &w->token, 1, INT64_MAX},
        {"--reason", 0, FLAG_TEXT, &w->reason, 0, 0},
        {"--grace", 0, FLAG_DURATION, &w->grace_ms, 0, 0},
        {"--keep-queue", 0, FLAG_BOOL, &k->keep_queue, 0, 0},
        {"--supervisor", 0, FLAG_BOOL, &k->supervisor, 0, 0},
        {"--dry-run", 0, FLAG_BOOL, &k->dry_run, 0, 0},
        {"--yes", 'y', FLAG_BOOL, &w->yes, 0, 0},
        {NULL, 0, 0, NULL, 0, 0}};
    struct arguments words;
    int status;

    message_init_fields (k, VERB_KILL);
    w->grace_ms = -1;
    if (flags_read (&command_kill, flags, FLAGS_ANYWHERE, argc, argv, &words,
                    &status))
        return status ? status : -1;
    if (words.count != 1)
        return usage_error (&command_kill, "one project is needed");
    if (w->label && w->token)
        return usage_error (&command_kill, "--label or --token, not both");
    if ((status = check_values (w)))
        return status;
    if (project_key_of (words.at[0], k->project))
        return say_failure (EXIT_BAD_VALUE, "'%s' is not the name of a project",
                            words.at[0]);
    k->id = random_u64 ();
    k->token = w->token;
    k->grace_ms = w->grace_ms < 0 ? 0 : (uint64_t) w->grace_ms;
    if (w->label)
        copy_text (k->label, sizeof k->label, w->label);
    copy_text (k->reason, sizeof k->reason,
               w->reason ? w->reason : "User requested");
    return 0;
}

/* A project that may ask again will: how to keep it from that. */
static void say_next (const struct wish *w, const struct snapshot *s)
{
    const struct row_project *row = snapshot_project (s, w->kill.project);

    if (w->label || w->token)
        return;
    if (row && row->paused)
        fprintf (stderr, "slotbus: %s is paused, until slotbus resume %s\n",
                 w->kill.project, w->kill.project);
    else
        fprintf (stderr,
                 "slotbus: %s is not paused: it may ask again; to prevent "
                 "that: slotbus pause %s\n",
                 w->kill.project, w->kill.project);
}

/* "all Consilio agents", "the Consilio agents named api". */
static char *say_whom (const struct wish *w, char *ret_text, size_t size)
{
    char label[512];

    if (w->label)
        snprintf (ret_text, size, "the %s agents named %s", w->name,
                  say_clean (w->label, label, sizeof label));
    else if (w->token)
        snprintf (ret_text, size, "the %s agent of slot %llu", w->name,
                  (unsigned long long) w->token);
    else
        snprintf (ret_text, size, "all %s agents", w->name);
    return ret_text;
}

/* What stands there, with the name for people. */
static int look (struct ask *a, struct wish *w, struct snapshot *ret_snapshot)
{
    int status = snapshot_ask (a, w->kill.project, ret_snapshot);

    if (status == 0)
        render_name (ret_snapshot, w->kill.project, w->name, sizeof w->name);
    return status;
}

static bool is_meant (const struct wish *w, const struct row_agent *agent)
{
    return strcmp (agent->project, w->kill.project) == 0 &&
           (!w->label || strcmp (agent->label, w->label) == 0) &&
           (!w->token || agent->token == w->token);
}

static unsigned list_agents (FILE *out, const struct wish *w,
                             const struct snapshot *s)
{
    char label[512], text[256];
    unsigned count = 0;

    for (size_t i = 0; i < s->agent_count; i++) {
        const struct row_agent *agent = &s->agents[i];

        if (!is_meant (w, agent))
            continue;
        count++;
        fprintf (out, "   %llu %s - %s\n", (unsigned long long) agent->token,
                 say_clean (agent->label, label, sizeof label),
                 render_agent (agent, text, sizeof text));
    }
    return count;
}

/* True: go on. Without a terminal nobody is asked. */
static bool agree (const struct wish *w, const struct snapshot *s)
{
    char whom[1024], answer[16];

    if (w->yes || w->kill.dry_run || !isatty (STDIN_FILENO))
        return true;
    list_agents (stderr, w, s);
    fprintf (stderr, "End %s? [y/N] ", say_whom (w, whom, sizeof whom));
    return fgets (answer, sizeof answer, stdin) &&
           (*answer == 'y' || *answer == 'Y');
}

static int dry_run (struct ask *a, const struct wish *w,
                    const struct snapshot *s)
{
    const struct msg_kill_ok *ok = &ask_answer (a)->kill_ok;
    char slots[32], agents[32];
    int status = ask_call (a, VERB_KILL, &w->kill, VERB_KILL_OK);

    if (status)
        return status;
    printf ("Would end %s in %s:\n",
            say_count (ok->agents, "agent", agents, sizeof agents),
            say_count (ok->slots, "slot", slots, sizeof slots));
    list_agents (stdout, w, s);
    return say_flush ();
}

/* Asking again is how its end is heard of; it does not hurry anything. */
static int poll_kill (struct ask *a, const struct wish *w)
{
    unsigned wait_ms = FIRST_POLL_MS;
    int status;

    for (;;) {
        status = ask_call (a, VERB_KILL, &w->kill, VERB_KILL_OK);
        if (status || ask_answer (a)->kill_ok.done)
            return status;
        usleep (wait_ms * 1000);
        if (wait_ms < LAST_POLL_MS)
            wait_ms += wait_ms / 2;
    }
}

static void say_terminated (const struct msg_kill_ok *ok)
{
    unsigned long long n = ok->terminated, all = ok->agents;
    char agents[32];

    if (ok->unkillable > 0)
        printf ("   %llu of %s terminated; %llu unkillable (state D)\n", n,
                say_count (all, "agent", agents, sizeof agents),
                (unsigned long long) ok->unkillable);
    else if (n < all)
        printf ("   %llu of %s terminated\n", n,
                say_count (all, "agent", agents, sizeof agents));
    else
        printf ("   %s terminated\n",
                say_count (n, "agent", agents, sizeof agents));
}

static int report (const struct wish *w, const struct msg_kill_ok *ok)
{
    char count[32], reason[800];

    if (ok->agents > 0 || ok->revoked == 0)
        say_terminated (ok);
    printf ("   %s released\n",
            say_count (ok->released, "slot", count, sizeof count));
    if (ok->revoked > 0)
        printf ("   %llu of %llu revoked; they run inside pid %llu, add "
                "--supervisor to end it\n",
                (unsigned long long) ok->revoked,
                (unsigned long long) ok->slots,
                (unsigned long long) ok->supervisor);
    if (ok->cancelled > 0)
        printf ("   %s withdrawn\n", say_count (ok->cancelled, "queued request",
                                                count, sizeof count));
    printf ("\nReason: %s\n",
            say_clean (w->kill.reason, reason, sizeof reason));
    if (say_flush ())
        return EXIT_OTHER;
    return ok->unkillable > 0 || ok->terminated < ok->agents ? EXIT_OTHER
                                                             : EXIT_DONE;
}

static int end_them (struct ask *a, const struct wish *w,
                     const struct snapshot *s)
{
    char whom[1024];
    int status;

    printf ("%sKilling %s...\n", w->emoji ? "⚠️  " : "",
            say_whom (w, whom, sizeof whom));
    fflush (stdout); // it may take a while
    status = poll_kill (a, w);
    if (status)
        return status;
    status = report (w, &ask_answer (a)->kill_ok);
    say_next (w, s);
    return status;
}

static int run_kill (int argc, char **argv)
{
    static struct wish wish;
    struct snapshot snapshot = {.hosts = NULL};
    struct ask *a;
    int status = read_wish (&wish, argc, argv);

    if (status)
        return status < 0 ? EXIT_DONE : status;
    wish.emoji = say_emoji (stdout);
    a = ask_open (&status);
    if (!a)
        return status;
    status = look (a, &wish, &snapshot);
    if (status == 0 && !agree (&wish, &snapshot))
        status = say_failure (EXIT_OTHER, "nothing was ended");
    else if (status == 0)
        status = wish.kill.dry_run ? dry_run (a, &wish, &snapshot)
                                   : end_them (a, &wish, &snapshot);
    snapshot_clear (&snapshot);
    ask_close (a);
    return status;
}
