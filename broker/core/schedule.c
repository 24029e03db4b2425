/* SPDX-License-Identifier: MPL-2.0 */
/* SET_POLICY, SET_PRIORITY, PAUSE, RESUME - people change the schedule.
 *
 * Each takes effect in the round that ends its batch, and is in the store,
 * flushed, before it is answered.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/admin.h"
#include "core/ledger.h"
#include "core/memory.h"
#include "protocol/nearest.h"

/* ---- SET_POLICY ---- */

static enum err no_such_policy (struct call *c, const char *word)
{
    struct nearest nearest = {.word = word};

    for (enum policy p = POLICY_FIFO; p <= POLICY_PRIORITY; p++)
        nearest_offer (&nearest, policy_name (p));
    c->key = "policy";
    snprintf (c->detail, sizeof c->detail,
              "expected fifo, fair or priority%s%s%s",
              nearest.best ? ": is it " : "", nearest.best ? nearest.best : "",
              nearest.best ? "?" : "");
    return ERR_BAD_ARG;
}

static bool policy_of_name (const char *name, enum policy *ret_policy)
{
    for (enum policy p = POLICY_FIFO; p <= POLICY_PRIORITY; p++) {
        if (strcmp (name, policy_name (p)) != 0)
            continue;
        *ret_policy = p;
        return true;
    }
    return false;
}

static void send_policy_ok (const struct broker *b, const struct call *c,
                            enum policy before)
{
    struct msg_policy_ok ok;

    message_init_fields (&ok, VERB_POLICY_OK);
    copy_text (ok.before, sizeof ok.before, policy_name (before));
    copy_text (ok.policy, sizeof ok.policy, policy_name (b->settings.policy));
    ok.waiting = b->waiters.count;
    outbox_send (c->out, &c->peer->path, VERB_POLICY_OK, &ok);
}

enum err on_set_policy (struct broker *b, struct call *c)
{
    enum policy policy, before = b->settings.policy;

    if (!policy_of_name (c->in->set_policy.policy, &policy))
        return no_such_policy (c, c->in->set_policy.policy);
    if (b->disk_full)
        return ERR_DISK;
    b->meta.policy = 1 + (uint32_t) policy;
    b->meta.config_policy = 1 + (uint32_t) b->config_policy;
    ledger_meta (b, c->out);
    state_set_policy (b, policy);
    outbox_journal (c->out, JOURNAL_INFO,
                    "set_policy uid=%" PRIu32 " before=%s policy=%s",
                    c->peer->uid, policy_name (before), policy_name (policy));
    send_policy_ok (b, c, before);
    return ERR_NONE;
}

/* ---- of a project ---- */

/* Can what is said of it be kept? */
static enum err check_room (const struct broker *b, struct call *c,
                            const struct project *p)
{
    if (b->disk_full)
        return ERR_DISK;
    if (projects_may_say (&b->projects, p->name))
        return ERR_NONE;
    snprintf (c->detail, sizeof c->detail,
              "%d projects are paused or have a priority of their own already",
              MAX_SAID);
    return ERR_NOT_NOW;
}

/* ---- SET_PRIORITY ---- */

static void send_priority_ok (const struct broker *b, const struct call *c,
                              const struct project *p, unsigned before)
{
    struct msg_priority_ok ok;

    message_init_fields (&ok, VERB_PRIORITY_OK);
    copy_text (ok.project, sizeof ok.project, p->name);
    copy_text (ok.policy, sizeof ok.policy, policy_name (b->settings.policy));
    ok.before = before;
    ok.priority = p->priority;
    ok.waiting = p->queued;
    outbox_send (c->out, &c->peer->path, VERB_PRIORITY_OK, &ok);
}

static void set_priority (struct broker *b, struct call *c, struct project *p)
{
    unsigned priority = (unsigned) c->in->set_priority.priority;
    unsigned before = p->priority;

    p->said.prioritised = true;
    p->said.priority = priority;
    p->said.config_priority = project_config_priority (p);
    ledger_project (b, p, c->out);
    state_set_priority (b, p, priority);
    outbox_journal (c->out, JOURNAL_INFO,
                    "set_priority uid=%" PRIu32
                    " project=%s before=%u priority=%u",
                    c->peer->uid, p->name, before, priority);
    send_priority_ok (b, c, p, before);
}

enum err on_set_priority (struct broker *b, struct call *c)
{
    struct project *p = NULL;
    enum err e;

    if (c->in->set_priority.priority > MAX_PRIORITY)
        return bad_arg (c, "priority");
    e = admin_find (b, c, c->in->set_priority.project, &p);
    if (!e)
        e = check_room (b, c, p);
    if (e)
        return e;
    set_priority (b, c, p);
    return ERR_NONE;
}

/* ---- PAUSE and RESUME ---- */

static void pause_or_resume (struct broker *b, struct call *c,
                             struct project *p, bool paused, const char *reason)
{
    char quoted[sizeof p->said.reason];

    state_set_paused (b, p, paused);
    memset (p->said.reason, 0, sizeof p->said.reason);
    if (paused)
        copy_text (p->said.reason, sizeof p->said.reason, reason);
    ledger_project (b, p, c->out);
    outbox_journal (c->out, JOURNAL_INFO,
                    "%s uid=%" PRIu32 " project=%s waiting=%u reason=\"%s\"",
                    paused ? "pause   " : "resume  ", c->peer->uid, p->name,
                    p->queued, outbox_quoted (reason, quoted, sizeof quoted));
}

static void send_ok (const struct call *c, const struct project *p)
{
    struct msg_ok ok;

    message_init_fields (&ok, VERB_OK);
    copy_text (ok.re, sizeof ok.re, verb_name (c->in->verb));
    ok.count = p->queued;
    outbox_send (c->out, &c->peer->path, VERB_OK, &ok);
}

/* Nothing is changed, and so nothing stored, where it is as it shall be. */
static enum err set_paused (struct broker *b, struct call *c, const char *name,
                            bool paused, const char *reason)
{
    struct project *p = NULL;
    enum err e = admin_reach (b, c, name, reason, &p);

    if (!e && p->said.paused != paused)
        e = check_room (b, c, p);
    if (e)
        return e;
    if (p->said.paused != paused)
        pause_or_resume (b, c, p, paused, reason);
    send_ok (c, p);
    return ERR_NONE;
}

/* Its requests keep their place, and what it holds goes on. */
enum err on_pause (struct broker *b, struct call *c)
{
    const struct msg_pause *in = &c->in->pause;

    return set_paused (b, c, in->project, true, in->reason);
}

enum err on_resume (struct broker *b, struct call *c)
{
    const struct msg_resume *in = &c->in->resume;

    return set_paused (b, c, in->project, false, in->reason);
}
