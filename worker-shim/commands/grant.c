/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/grant.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bus/base.h"
#include "bus/lock.h"
#include "commands/ask.h"
#include "commands/command.h"
#include "commands/say.h"
#include "local.h"

enum { FIRST_WORD_MS = 10000, CANCEL_MS = 2000 };

static struct msg answer; // one conversation at a time

void grant_confirm (struct reach *reach, const struct msg_grant *grant)
{
    struct msg_ok ok;

    message_init_fields (&ok, VERB_OK);
    copy_text (ok.re, sizeof ok.re, verb_name (VERB_GRANT));
    ok.seq = grant->seq;
    local_tell (reach->fd, VERB_OK, &ok); // else the shim gives it back
}

/* The age of a figure is no news by itself: the line is compared. */
static void say_queued (const struct msg_queued *q, char last[1024])
{
    char line[1024];

    say_waiting (q->slots_ahead, q->position, q->reason, q->detail,
                 q->eta_low_s, q->eta_high_s, line, sizeof line);
    if (strcmp (line, last) == 0)
        return;
    fprintf (stderr, "%s\n", line);
    strcpy (last, line);
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

/* What the shim said: -1 wait on, else done. */
static int handle (struct grant_wait *w, char last[1024])
{
    switch (answer.verb) {
    case VERB_GRANT: w->grant = answer.grant; return 0;
    case VERB_QUEUED: say_queued (&answer.queued, last); return -1;
    case VERB_ERROR: return say_refusal (&answer.error);
    default: return -1; // of a newer shim
    }
}

static int wait_on (struct reach *reach, struct grant_wait *w)
{
    char last[1024] = "";
    int status, rc;

    for (;;) {
        status = handle (w, last);
        if (status >= 0)
            return status;
        rc = local_hear (reach->fd, w->deadline, &answer);
        if (rc == 0 && errno == ETIMEDOUT)
            return withdraw (reach, w);
        if (rc <= 0)
            return say_failure (EXIT_OTHER,
                                "the shim of %s ended while this waited",
                                reach->project);
    }
}

/* A shim that has nothing from its broker says nothing. Whether there is one
 * at all can be told on this host. */
static int still_silent (const struct grant_wait *w)
{
    struct endpoints to;
    char path[PATH_BYTES + 16];
    int status = ask_where (&to);

    if (status)
        return status;
    snprintf (path, sizeof path, "%s/broker.lock", to.runtime);
    if (w->request.nowait || (to.runtime[0] && lock_query (path) == LOCK_FREE))
        return say_failure (EXIT_NO_BROKER,
                            "no answer from the broker at %s: is one running?",
                            to.bus);
    fprintf (stderr, "Waiting for the broker at %s\n", to.bus);
    return 0;
}

static int first_word (struct reach *reach, struct grant_wait *w)
{
    int64_t left = w->deadline < 0 ? FIRST_WORD_MS
                                   : w->deadline - clock_monotonic_ms ();
    int status;

    if (left < 0)
        left = 0;
    if (left > FIRST_WORD_MS)
        left = FIRST_WORD_MS;
    status = reach_ask (reach, VERB_REQUEST, &w->request, (int) left, &answer);
    if (status != REACH_TIMEOUT)
        return status;
    message_init (&answer, VERB_NONE);
    if (w->deadline >= 0 && clock_monotonic_ms () >= w->deadline)
        return 0; // waiting finds the deadline passed
    return still_silent (w);
}

int grant_wait (struct reach *reach, struct grant_wait *w)
{
    int status = first_word (reach, w);

    return status ? status : wait_on (reach, w);
}
