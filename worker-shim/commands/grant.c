/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/grant.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "bus/base.h"
#include "bus/endpoint.h"
#include "bus/lock.h"
#include "commands/ask.h"
#include "commands/command.h"
#include "commands/say.h"
#include "commands/waiting.h"
#include "commands/within.h"
#include "local.h"

enum { SILENT_MS = 2000, PATIENCE_MS = 10000, CANCEL_MS = 2000 };

/* How many shims may end under one who waits, before that is not bad luck. */
enum { MOST_LOST = 5, SHIM_LOST = -3 };

static struct msg answer; // one conversation at a time

void grant_confirm (struct reach *reach, const struct msg_grant *grant)
{
    struct msg_ok ok;

    message_init_fields (&ok, VERB_OK);
    copy_text (ok.re, sizeof ok.re, verb_name (VERB_GRANT));
    ok.seq = grant->seq;
    local_tell (reach->fd, VERB_OK, &ok); // else the shim gives it back
}

/* Of the terminal; 0: none. */
static unsigned columns (void)
{
    const char *said = getenv ("COLUMNS");
    struct winsize size;

    if (!isatty (STDERR_FILENO))
        return 0;
    if (ioctl (STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col)
        return size.ws_col;
    return said ? (unsigned) strtoul (said, NULL, 10) : 0;
}

static void say_queued (struct grant_wait *w, const struct msg_queued *q)
{
    int64_t now = clock_monotonic_ms ();
    struct row_waiter row;

    waiting_from (w->request.project, q, &row);
    if (w->waited && !waiting_is_news (&w->told, &row, now - w->told_at))
        return;
    waiting_say (stderr, &row, columns ());
    w->waited = true;
    w->told = row;
    w->told_at = now;
}

/* It may have been granted at the same moment: that is a release then. */
static int withdraw (struct reach *reach, const struct grant_wait *w)
{
    int64_t until = clock_monotonic_ms () + CANCEL_MS;
    struct msg_cancel cancel;

    message_init_fields (&cancel, VERB_CANCEL);
    cancel.seq = w->request.seq;
    if (local_tell (reach->fd, VERB_CANCEL, &cancel) == 0)
        while (local_hear (reach->fd, until, &answer) > 0 &&
               answer.verb != VERB_OK && answer.verb != VERB_ERROR)
            ;
    return say_failure (EXIT_TIMEOUT, "nothing was granted in time");
}

static int first_ms (const struct grant_wait *w, int64_t now)
{
    int64_t left = w->deadline < 0 ? SILENT_MS : w->deadline - now;

    return left < 0 ? 0 : left > SILENT_MS ? SILENT_MS : (int) left;
}

/* A request that was closed before it was served; why, if that is known. */
static int refused (const struct msg_error *error)
{
    if (err_of_name (error->error) != ERR_EXPIRED)
        return say_refusal (error);
    return say_failure (status_of_error (error->error),
                        "nothing was granted, the request is closed%s%s",
                        error->detail[0] ? ": " : "", error->detail);
}

/* Once: the project is not in the configuration, but one like it is. */
static void say_near (struct grant_wait *w, const char *near)
{
    char clean[256];

    if (near[0] && !w->near_said)
        fprintf (stderr,
                 "slotbus: the configuration does not know %s; did you mean "
                 "%s?\n",
                 w->request.project, say_clean (near, clean, sizeof clean));
    w->near_said = true;
}

/* Why it waits is that others hold what it wants, and not something that passes
 * by itself. */
static bool is_for_slots (const char *reason)
{
    static const char *const reasons[] = {"SLOTS", "TURN", "CAP", "HEALTH",
                                          NULL};

    for (int i = 0; reasons[i]; i++) {
        if (strcmp (reason, reasons[i]) == 0)
            return true;
    }
    return false;
}

static void say_tree_holds (uint64_t held, const struct msg_queued *q)
{
    char slots[64];

    fprintf (stderr,
             "slotbus: you hold %s while you wait for %llu more; "
             "`slotbus park -- CMD` gives %s back meanwhile\n",
             say_count (held, "slot", slots, sizeof slots),
             (unsigned long long) q->count, held == 1 ? "yours" : "them");
}

static void say_supervisor_holds (const struct grant_wait *w,
                                  const struct msg_queued *q)
{
    const char *project = w->request.project;
    char slots[64];

    fprintf (stderr,
             "slotbus: this supervisor holds %s while it waits for %llu more; "
             "if others do so too nobody goes on. Ask for all at once, be "
             "content with fewer (--min), or give back what it does not use: "
             "slotbus release %s %llu\n",
             say_count (q->holding, "slot", slots, sizeof slots),
             (unsigned long long) q->count, project,
             (unsigned long long) q->holding);
}

/* Once: if all that hold slots do as this one does, nobody ever goes on. */
static void say_hold (struct grant_wait *w, const struct msg_queued *q)
{
    uint64_t held = within_parked () ? 0 : within_slots ();

    if (w->hold_said || !is_for_slots (q->reason) || (!held && !q->holding))
        return;
    w->hold_said = true;
    if (held)
        say_tree_holds (held, q);
    else
        say_supervisor_holds (w, q);
}

/* What the shim said: -1 wait on, else done. */
static int handle (struct grant_wait *w)
{
    switch (answer.verb) {
    case VERB_GRANT:
        say_near (w, answer.grant.near);
        w->grant = answer.grant;
        return 0;
    case VERB_QUEUED:
        say_near (w, answer.queued.near);
        say_queued (w, &answer.queued);
        say_hold (w, &answer.queued);
        return -1;
    case VERB_ERROR:
        if (strcmp (answer.error.re, verb_name (VERB_PARK)) == 0)
            return -1; // late: it was never parked, and will be told so
        return refused (&answer.error);
    default: return -1; // of a newer shim
    }
}

/* Can be told on its own host only. */
static bool is_gone (const struct endpoint_list *to)
{
    const char *runtime = to->at[0].runtime;
    char path[PATH_BYTES + 16];

    snprintf (path, sizeof path, "%s/broker.lock", runtime);
    return runtime[0] && lock_query (path) == LOCK_FREE;
}

/* A shim that has nothing from its broker says nothing. Where no broker is,
 * that is the answer; else it is waited for. */
static int check_broker (const struct grant_wait *w, int64_t silent_ms)
{
    struct endpoint_list to;
    char names[1024];
    int status = ask_where (&to);

    if (status)
        return status;
    if (is_gone (&to) || (w->request.nowait && silent_ms >= PATIENCE_MS))
        return say_failure (EXIT_NO_BROKER,
                            "no answer from the broker at %s: is one running?",
                            endpoints_text (&to, names, sizeof names));
    if (silent_ms >= PATIENCE_MS && silent_ms < PATIENCE_MS + SILENT_MS)
        fprintf (stderr, "Waiting for the broker at %s\n",
                 endpoints_text (&to, names, sizeof names));
    return 0;
}

/* The place in the queue is kept while the broker is away; whoever waits
 * should know why nothing happens. */
static int mention_absence (struct grant_wait *w)
{
    struct endpoint_list to;
    char error[4 * PATH_BYTES];
    bool denied;
    bool gone = endpoints_find (&to, &denied, error, sizeof error)
                    ? !denied
                    : is_gone (&to);

    if (gone && !w->gone_said)
        fprintf (stderr, "Waiting for the broker, which has ended: the place "
                         "in the queue is kept\n");
    w->gone_said = gone;
    return 0;
}

/* The next thing that the shim says: 0, an exit status, or SHIM_LOST. */
static int hear (struct reach *reach, struct grant_wait *w, bool silent,
                 int64_t since)
{
    for (;;) {
        int64_t now = clock_monotonic_ms (), until = w->deadline;
        int rc, status;

        if (until < 0 || until > now + SILENT_MS)
            until = now + SILENT_MS;
        rc = local_hear (reach->fd, until, &answer);
        if (rc > 0)
            return 0;
        if (rc < 0 || errno != ETIMEDOUT)
            return SHIM_LOST;
        now = clock_monotonic_ms ();
        if (w->deadline >= 0 && now >= w->deadline)
            return withdraw (reach, w);
        status = silent ? check_broker (w, now - since) : mention_absence (w);
        if (status)
            return status;
    }
}

/* Told for the first time, to this shim: 0 it has answered, or as hear (). */
static int ask (struct reach *reach, struct grant_wait *w)
{
    int64_t since = clock_monotonic_ms ();
    int status = reach_ask (reach, VERB_REQUEST, &w->request,
                            first_ms (w, since), &answer);

    return status == REACH_TIMEOUT ? hear (reach, w, true, since) : status;
}

/* It has granted nothing to this request, so nothing is lost with it but the
 * place in the queue. */
static int ask_another (struct reach *reach, struct grant_wait *w, int lost)
{
    reach_close (reach);
    if (lost > MOST_LOST)
        return say_failure (EXIT_OTHER,
                            "the shim of %s ended while this waited",
                            reach->project);
    return ask (reach, w);
}

int grant_wait (struct reach *reach, struct grant_wait *w)
{
    int lost = 0;
    int status = ask (reach, w);

    for (;;) {
        while (status == SHIM_LOST)
            status = ask_another (reach, w, ++lost);
        if (status)
            return status;
        status = handle (w);
        if (status >= 0)
            return status;
        status = hear (reach, w, false, 0);
    }
}
