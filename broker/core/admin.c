/* SPDX-License-Identifier: MPL-2.0 */
/* STATUS, KILL, SET_MAX - what people ask of the broker. */
#include "core/admin.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/answers.h"
#include "core/endings.h"
#include "core/ledger.h"
#include "core/memory.h"
#include "core/status.h"

/* ---- which project ---- */

/* A name that nothing is known of may be a slip. */
static enum err no_such_project (const struct broker *b, struct call *c,
                                 const char *name)
{
    const char *near = projects_near (&b->projects, name, false);

    c->key = "project";
    if (near)
        snprintf (c->detail, sizeof c->detail, "no project %s: is it %s?", name,
                  near);
    else
        snprintf (c->detail, sizeof c->detail,
                  "no project %s: slots.yaml does not name it, and nobody "
                  "has asked for it",
                  name);
    return ERR_NOT_FOUND;
}

enum err admin_find (const struct broker *b, struct call *c, const char *name,
                     struct project **ret_project)
{
    struct project *p = projects_find (&b->projects, name);

    if (!p)
        return no_such_project (b, c, name);
    *ret_project = p;
    return ERR_NONE;
}

static bool is_anothers (const struct broker *b, const struct project *p,
                         uint32_t uid)
{
    for (size_t i = 0; i < leases_count (&b->leases); i++) {
        const struct lease *l = leases_at (&b->leases, i);

        if (l->project == p && l->r.uid != uid)
            return true;
    }
    for (size_t i = 0; i < b->sessions.count; i++) {
        const struct session *s = b->sessions.at[i];

        if (s->project == p && s->r.uid != uid)
            return true;
    }
    return false;
}

enum err admin_reach (const struct broker *b, struct call *c, const char *name,
                      const char *reason, struct project **ret_project)
{
    struct project *p = NULL;
    enum err e = admin_find (b, c, name, &p);

    if (e)
        return e;
    if (c->peer->role < ROLE_OPERATOR && is_anothers (b, p, c->peer->uid)) {
        snprintf (c->detail, sizeof c->detail,
                  "another user works for %s: an administrator may", p->name);
        return ERR_NOT_ALLOWED;
    }
    if (c->peer->role == ROLE_OPERATOR && !reason[0])
        return bad_value (c, "reason", "an operator says why");
    *ret_project = p;
    return ERR_NONE;
}

/* ---- STATUS ---- */

enum err on_status (struct broker *b, struct call *c)
{
    const struct msg_status *in = &c->in->status;
    struct project *p;

    if (in->snapshot)
        return status_page (b, c->peer, in, c->out);
    if (in->project[0] && admin_find (b, c, in->project, &p))
        return ERR_NOT_FOUND;
    state_ask (b, c->peer, in->project); // the round answers
    return ERR_NONE;
}

/* ---- SET_MAX ---- */

static void send_set_max_ok (const struct broker *b, const struct call *c,
                             unsigned before)
{
    struct msg_set_max_ok ok;

    message_init_fields (&ok, VERB_SET_MAX_OK);
    ok.before = before;
    ok.max_slots = b->settings.max_slots;
    ok.effective = state_effective (b);
    ok.in_use = b->dispatch.in_use;
    ok.waiting = b->waiters.count;
    status_cause (b, ok.cause, sizeof ok.cause);
    outbox_send (c->out, &c->peer->path, VERB_SET_MAX_OK, &ok);
}

/* Up: the round wakes the queue. Down: drains, nothing is killed. */
enum err on_set_max (struct broker *b, struct call *c)
{
    uint64_t max = c->in->set_max.max_slots;
    unsigned before = b->settings.max_slots;

    if (max < 1 || max > MAX_SLOTS)
        return bad_arg (c, "max_slots");
    if (b->disk_full)
        return ERR_DISK;
    b->meta.max_slots = (uint32_t) max;
    b->meta.config_max_slots = b->config_max_slots;
    ledger_meta (b, c->out);
    state_set_max (b, (unsigned) max);
    state_tally (b);
    state_respond (b, c->now, c->out);
    outbox_journal (c->out, JOURNAL_INFO,
                    "set_max  uid=%" PRIu32 " before=%u max_slots=%" PRIu64,
                    c->peer->uid, before, max);
    send_set_max_ok (b, c, before);
    return ERR_NONE;
}

/* ---- KILL: of what, and by whom ---- */

static bool is_meant (const struct broker *b, const struct msg_kill *in,
                      const struct lease *l)
{
    const struct lease *named;

    if (strcmp (l->r.project, in->project) != 0)
        return false;
    if (in->label[0] && strcmp (l->r.label, in->label) != 0)
        return false;
    if (!in->token || l->r.token == in->token)
        return true;
    /* Killing one slot of a tree kills the tree. */
    named = leases_find (&b->leases, in->token);
    return named && named->r.cookie && named->r.cookie == l->r.cookie &&
           named->r.session == l->r.session;
}

static bool is_whole_project (const struct msg_kill *in)
{
    return !in->token && !in->label[0];
}

static uint64_t digest_of (const struct msg_kill *in)
{
    uint64_t d = digest_text (DIGEST_START, in->project);

    d = digest_text (d, in->label);
    d = digest_u64 (d, in->token);
    return digest_u64 (d, (uint64_t) (in->keep_queue | in->supervisor << 1));
}

static enum err check_target (const struct broker *b, struct call *c)
{
    const struct msg_kill *in = &c->in->kill;

    if (is_whole_project (in))
        return ERR_NONE;
    for (size_t i = 0; i < leases_count (&b->leases); i++) {
        if (is_meant (b, in, leases_at (&b->leases, i)))
            return ERR_NONE;
    }
    c->key = in->token ? "token" : "label";
    return ERR_NOT_FOUND;
}

static enum err check_kill (const struct broker *b, struct call *c)
{
    const struct msg_kill *in = &c->in->kill;
    struct project *p;
    enum err e;

    if (in->id == 0)
        return bad_arg (c, "id");
    e = admin_reach (b, c, in->project, in->reason, &p);
    return e ? e : check_target (b, c);
}

/* ---- KILL: do it ---- */

static int64_t grace_of (const struct broker *b, const struct msg_kill *in)
{
    return in->grace_ms ? (int64_t) in->grace_ms : b->settings.timing.grace;
}

static void end_session_leases (struct broker *b, struct call *c,
                                struct session *s, struct kill *kill)
{
    const struct msg_kill *in = &c->in->kill;
    const struct ending how = {
        .id = in->id,
        .notice = b->settings.timing.notice,
        .grace = grace_of (b, in),
        .supervisor = in->supervisor,
        .reason = in->reason,
    };
    struct u64s tokens = {0};
    struct lease **leases;
    size_t count = leases_of (&b->leases, s->r.id, &leases);

    for (size_t i = 0; i < count; i++) {
        if (!is_meant (b, in, leases[i]))
            continue;
        kill_target (kill, &b->leases, leases[i]);
        u64s_add (&tokens, leases[i]->r.token);
    }
    endings_begin (b, s, &tokens, &how, c->now, c->out);
}

/* Nobody is there to end it; its proof will come. It is counted, so that the
 * answer does not promise more than it can. */
static void count_limbo (struct broker *b, const struct msg_kill *in,
                         struct kill *kill)
{
    for (size_t i = 0; i < leases_count (&b->leases); i++) {
        const struct lease *l = leases_at (&b->leases, i);

        if (l->r.state == LEASE_LIMBO && is_meant (b, in, l))
            kill_target (kill, &b->leases, l);
    }
}

static unsigned drop_queue (struct broker *b, struct call *c)
{
    const struct msg_kill *in = &c->in->kill;
    unsigned count = 0;

    if (in->keep_queue || !is_whole_project (in))
        return 0;
    for (size_t i = b->waiters.count; i-- > 0;) {
        struct waiter *w = b->waiters.at[i];

        if (strcmp (w->session->r.project, in->project) != 0)
            continue;
        answer_dropped (b, w, ERR_EXPIRED, "killed", c->out);
        count++;
    }
    return count;
}

static void carry_out (struct broker *b, struct call *c, struct kill *kill)
{
    const struct msg_kill *in = &c->in->kill;
    char reason[sizeof in->reason];

    kill->uid = c->peer->uid;
    kill->digest = digest_of (in);
    kill->supervisor = in->supervisor;
    kill->deadline =
        c->now + settings_ending (&b->settings, b->settings.timing.notice,
                                  grace_of (b, in));
    count_limbo (b, in, kill);
    for (size_t i = 0; i < b->sessions.count; i++)
        end_session_leases (b, c, b->sessions.at[i], kill);
    kill->cancelled = drop_queue (b, c);
    outbox_require_flush (c->out);
    outbox_journal (c->out, JOURNAL_WARNING,
                    "kill     id=%" PRIu64 " uid=%" PRIu32
                    " project=%s slots=%zu cancelled=%u reason=\"%s\"",
                    in->id, c->peer->uid, in->project, kill->count,
                    kill->cancelled,
                    outbox_quoted (in->reason, reason, sizeof reason));
}

static enum err report (const struct broker *b, const struct call *c,
                        const struct kill *kill)
{
    struct msg_kill_ok ok;

    message_init_fields (&ok, VERB_KILL_OK);
    kill_report (kill, &b->leases, c->now, &ok);
    for (size_t i = 0; i < kill->count; i++)
        u64s_add (&ok.tokens, kill->targets[i].token);
    outbox_send (c->out, &c->peer->path, VERB_KILL_OK, &ok);
    return ERR_NONE;
}

/* What would be ended; nothing is. */
static enum err rehearse (const struct broker *b, const struct call *c)
{
    const struct msg_kill *in = &c->in->kill;
    struct kill kill = {.id = in->id, .deadline = INT64_MAX};

    for (size_t i = 0; i < leases_count (&b->leases); i++) {
        const struct lease *l = leases_at (&b->leases, i);

        if (is_meant (b, in, l))
            kill_target (&kill, &b->leases, l);
    }
    report (b, c, &kill);
    kill_clear (&kill);
    return ERR_NONE;
}

/* The first time it is done, then it is polled by its id. */
enum err on_kill (struct broker *b, struct call *c)
{
    const struct msg_kill *in = &c->in->kill;
    struct kill *kill = in->id ? kills_find (&b->kills, in->id) : NULL;
    enum err e;

    if (kill && (kill->uid != c->peer->uid || kill->digest != digest_of (in)))
        return ERR_CONFLICT;
    if (kill && !in->dry_run)
        return report (b, c, kill);
    e = check_kill (b, c);
    if (e)
        return e;
    if (in->dry_run)
        return rehearse (b, c);
    kill = kills_add (&b->kills, in->id);
    carry_out (b, c, kill);
    return report (b, c, kill);
}
