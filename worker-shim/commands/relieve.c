/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/command.h"

#include <stdio.h>
#include <unistd.h>

#include "bus/base.h"
#include "commands/ask.h"
#include "commands/flags.h"
#include "commands/render.h"
#include "commands/say.h"

static int run_relieve (int argc, char **argv);

const struct command command_relieve = {
    .name = "relieve",
    .usage = "[--kill] [--host H] [--reason R] [--dry-run] [--json]",
    .summary = "a host is in trouble: fewer slots now, or one agent less",
    .help =
        "Shrinks the pool of a host now, as the broker itself does once its\n"
        "memory is degraded: nobody is ended, and it grows back by itself.\n"
        "With --kill the agent that would be ended first is ended now: "
        "notice,\n"
        "SIGTERM, SIGKILL, until proven gone. `slotbus status --victims` "
        "shows\n"
        "who that is. The last agent of the highest priority is spared,\n"
        "reservations are not touched.\n"
        "\n"
        "      --kill       end the next victim\n"
        "      --host H     on that host; else on the broker's own\n"
        "      --reason R   why: the agent and the log are told\n"
        "      --dry-run    only say what would be done\n"
        "      --json       one JSON object with \"schema\": 1\n",
    .examples = "  slotbus relieve\n"
                "  slotbus relieve --kill --reason 'the fan is broken'\n",
    .run = run_relieve};

enum { FIRST_POLL_MS = 20, LAST_POLL_MS = 250 };

struct wish {
    struct msg_relieve relieve;
    struct msg_relieve_ok ok; // the first answer, and how far that is
    bool json;
};

static int read_wish (struct wish *w, int argc, char **argv)
{
    struct msg_relieve *r = &w->relieve;
    const char *host = NULL, *reason = NULL;
    const struct flag flags[] = {{"--kill", 0, FLAG_BOOL, &r->kill, 0, 0},
                                 {"--host", 0, FLAG_TEXT, &host, 0, 0},
                                 {"--reason", 0, FLAG_TEXT, &reason, 0, 0},
                                 {"--dry-run", 0, FLAG_BOOL, &r->dry_run, 0, 0},
                                 {"--json", 0, FLAG_BOOL, &w->json, 0, 0},
                                 {NULL, 0, 0, NULL, 0, 0}};
    struct arguments words;
    int status;

    message_init_fields (r, VERB_RELIEVE);
    if (flags_read (&command_relieve, flags, FLAGS_ANYWHERE, argc, argv, &words,
                    &status))
        return status ? status : -1;
    if (words.count > 0)
        return usage_error (&command_relieve, "what is '%s'?", words.at[0]);
    if (host && !*host)
        return say_failure (EXIT_BAD_VALUE,
                            "--host: expected the name of a host, got ''");
    r->id = random_u64 ();
    copy_text (r->host, sizeof r->host, host ? host : "");
    copy_text (r->reason, sizeof r->reason, reason ? reason : "");
    return 0;
}

/* Once a victim is named, it is about that one: whoever answers next may have
 * been started since, and knows no more than the token. */
static void take_answer (struct wish *w, const struct msg_relieve_ok *ok)
{
    if (!w->ok.id)
        w->ok = *ok;
    w->relieve.token = w->ok.token;
    w->ok.done = ok->done;
    w->ok.released = ok->released;
    w->ok.unkillable = ok->unkillable;
}

/* Asking again is how its end is heard of; it does not hurry anything. */
static int poll (struct ask *a, struct wish *w)
{
    unsigned wait_ms = FIRST_POLL_MS;
    int status;

    for (;;) {
        status = ask_call (a, VERB_RELIEVE, &w->relieve, VERB_RELIEVE_OK);
        if (status)
            return status;
        take_answer (w, &ask_answer (a)->relieve_ok);
        if (w->relieve.dry_run || w->ok.done)
            return status;
        usleep (wait_ms * 1000);
        if (wait_ms < LAST_POLL_MS)
            wait_ms += wait_ms / 2;
    }
}

/* ---- what was done ---- */

static void say_victim (const struct msg_relieve_ok *ok, bool dry_run)
{
    char label[1100], why[400], host[300];

    printf ("%s %s%s%s (slot %llu) on %s: %s\n",
            dry_run ? "Would end" : "Ended", ok->project,
            ok->label[0] ? " " : "", say_clean (ok->label, label, sizeof label),
            (unsigned long long) ok->token,
            say_clean (ok->host, host, sizeof host),
            say_clean (ok->why, why, sizeof why));
}

static void say_gain (const struct msg_relieve_ok *ok)
{
    char slots[32], bytes[32];

    if (ok->unkillable)
        printf ("   not terminated: unkillable (state D)\n");
    printf ("   %s released",
            say_count (ok->released, "slot", slots, sizeof slots));
    if (ok->memory_bytes)
        printf (", %s of memory%s",
                say_bytes (ok->memory_bytes, bytes, sizeof bytes),
                ok->released ? " given back" : " held");
    putchar ('\n');
}

static void say_shrunk (const struct msg_relieve_ok *ok, bool dry_run)
{
    char slots[32], host[300];

    say_clean (ok->host, host, sizeof host);
    if (ok->effective >= ok->before) {
        printf ("Slots of %s unchanged: %llu, no fewer are possible\n", host,
                (unsigned long long) ok->before);
        return;
    }
    printf ("%s of %s: %llu → %llu\n",
            dry_run ? "Would reduce the slots" : "Slots", host,
            (unsigned long long) ok->before,
            (unsigned long long) ok->effective);
    if (ok->in_use > ok->effective)
        printf ("   %s too many in use: they go as agents end, none is ended\n",
                say_count (ok->in_use - ok->effective, "slot", slots,
                           sizeof slots));
}

static int report (const struct wish *w)
{
    const struct msg_relieve_ok *ok = &w->ok;

    if (w->json)
        render_relieved (stdout, ok, w->relieve.dry_run);
    else if (w->relieve.kill)
        say_victim (ok, w->relieve.dry_run);
    else
        say_shrunk (ok, w->relieve.dry_run);
    if (!w->json && w->relieve.kill && !w->relieve.dry_run)
        say_gain (ok);
    if (say_flush ())
        return EXIT_OTHER;
    return ok->unkillable ? EXIT_OTHER : EXIT_DONE;
}

static int run_relieve (int argc, char **argv)
{
    static struct wish wish;
    struct ask *a;
    int status = read_wish (&wish, argc, argv);

    if (status)
        return status < 0 ? EXIT_DONE : status;
    a = ask_open (&status);
    if (!a)
        return status;
    status = poll (a, &wish);
    if (status == 0)
        status = report (&wish);
    ask_close (a);
    return status;
}
