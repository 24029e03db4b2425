/* SPDX-License-Identifier: MPL-2.0 */
/* HELLO - a shim begins its session, or begins it again.
 *
 * There is one shim per project, host and uid. A newcomer that says it is the
 * successor holds the lock that its predecessor held, which is how it knows
 * that the other is dead; what that one held goes to LIMBO and is listed in
 * WELCOME, so that the successor can prove it gone.
 */
#include "core/handlers.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/identity.h"
#include "core/ledger.h"

/* ---- WELCOME ---- */

static void list_limbo (const struct broker *b, const struct session *s,
                        struct msg_welcome *welcome)
{
    const size_t most = sizeof welcome->limbo / sizeof *welcome->limbo;

    for (size_t i = 0;
         i < leases_count (&b->leases) && welcome->limbo_count < most; i++) {
        const struct lease *l = leases_at (&b->leases, i);
        struct row_limbo *row = &welcome->limbo[welcome->limbo_count];

        if (!state_succeeds (s, l))
            continue;
        *row = (struct row_limbo){0};
        row->token = l->r.token;
        row->supervisor = (uint64_t) l->r.supervisor.pid;
        row->start = (uint64_t) l->r.supervisor.start;
        row->bound = l->r.bound;
        row->tree = lease_has_tree (l);
        row->cookie = row->tree ? lease_cookie (l) : 0;
        copy_text (row->cgroup, sizeof row->cgroup, l->r.cgroup);
        welcome->limbo_count++;
    }
}

static enum err welcome (struct broker *b, struct call *c, struct session *s)
{
    const struct timing *t = &b->settings.timing;
    struct msg_welcome *w = &b->scratch.welcome;

    message_init_fields (w, VERB_WELCOME);
    w->nonce = s->r.nonce;
    w->session = s->r.id;
    w->epoch = b->meta.epoch;
    copy_text (w->broker, sizeof w->broker, b->meta.broker);
    w->own_host = s->r.own;
    w->beat_ms = (uint64_t) t->beat;
    w->ttl_ms = (uint64_t) (s->r.ttl_ms ? s->r.ttl_ms : t->ttl);
    w->notice_ms = (uint64_t) t->notice;
    w->grace_ms = (uint64_t) t->grace;
    w->kill_confirm_ms = (uint64_t) t->kill_confirm;
    w->drift_ms = (uint64_t) t->drift;
    w->linger_ms = (uint64_t) t->linger;
    w->sample_ms = (uint64_t) t->sample;
    if (!pools_is_own (&b->pools, s->pool))
        copy_text (w->unmanaged, sizeof w->unmanaged, b->settings.unmanaged);
    w->reclaim_idle_ms = (uint64_t) b->settings.reclaim_idle_ms;
    list_limbo (b, s, w);
    copy_text (w->near, sizeof w->near, s->near);
    outbox_send (c->out, &c->peer->path, VERB_WELCOME, w);
    return ERR_NONE;
}

/* ---- who is it? ---- */

/* What the kernel says counts; on the own host nothing else does. */
static struct session_record record_of (const struct broker *b,
                                        const struct call *c)
{
    const struct msg_hello *in = &c->in->hello;
    struct session_record r = {
        .id = c->random,
        .nonce = in->nonce,
        .uid = c->peer->uid,
        .own = c->peer->pid != 0 && strcmp (in->boot, b->self.boot) == 0,
        .shim = {(int32_t) in->pid, (int64_t) in->start},
        .cores = (uint32_t) in->cores,
        .memory_bytes = in->memory_bytes,
        .ttl_ms = b->settings.timing.ttl,
    };
    bool here = r.own || strcmp (in->machine, b->self.machine) == 0;

    copy_text (r.project, sizeof r.project, in->project);
    copy_text (r.display, sizeof r.display, in->display);
    copy_text (r.host, sizeof r.host, here ? b->self.host : in->host);
    copy_text (r.machine, sizeof r.machine,
               here ? b->self.machine : in->machine);
    copy_text (r.boot, sizeof r.boot, in->boot);
    if (r.own)
        r.shim.pid = c->peer->pid;
    return r;
}

static enum err check_names (struct call *c)
{
    const struct msg_hello *in = &c->in->hello;

    if (!project_key_valid (in->project))
        return bad_arg (c, "project");
    if (!in->host[0])
        return bad_value (c, "host", "expected some text");
    if (!in->machine[0])
        return bad_value (c, "machine", "expected some text");
    if (!in->boot[0])
        return bad_value (c, "boot", "expected some text");
    return in->nonce ? ERR_NONE : bad_arg (c, "nonce");
}

/* A configured project may say whose it is. */
static enum err check_uid (const struct broker *b, struct call *c)
{
    const struct project_settings *p =
        settings_find_project (&b->settings, c->in->hello.project);

    if (!p || p->uid_count == 0 || c->peer->role == ROLE_ADMIN)
        return ERR_NONE;
    for (unsigned i = 0; i < p->uid_count; i++) {
        if (p->uids[i] == c->peer->uid)
            return ERR_NONE;
    }
    snprintf (c->detail, sizeof c->detail, "%s belongs to other users",
              p->name);
    return ERR_NOT_ALLOWED;
}

/* ---- is there room? ---- */

static enum err check_room (const struct broker *b, struct call *c,
                            const struct session_record *r)
{
    if (r->id == 0 || sessions_find (&b->sessions, r->id))
        return ERR_CONFLICT;
    if (b->sessions.count >= MAX_SESSIONS) {
        snprintf (c->detail, sizeof c->detail, "too many sessions");
        return ERR_RATE;
    }
    if (!pools_find (&b->pools, r->host) && pools_full (&b->pools)) {
        snprintf (c->detail, sizeof c->detail, "too many hosts");
        return ERR_RATE;
    }
    return ERR_NONE;
}

/* ---- what it holds ---- */

/* Tokens compare under one broker id only. */
static bool is_foreign (const struct broker *b, const struct msg_hello *in)
{
    return in->broker[0] && strcmp (in->broker, b->meta.broker) != 0;
}

/* An epoch that never was: this state is older than what the shim has seen,
 * and it would heed nothing that we say (R7). */
static enum err check_epoch (const struct broker *b, struct call *c)
{
    const struct msg_hello *in = &c->in->hello;

    if (is_foreign (b, in) || in->epoch <= b->meta.epoch)
        return ERR_NONE;
    outbox_journal (c->out, JOURNAL_ALARM,
                    "above_mark project=%s seen=%" PRIu64 " epoch=%" PRIu64,
                    in->project, in->epoch, b->meta.epoch);
    c->key = "epoch";
    snprintf (c->detail, sizeof c->detail,
              "this broker's state is older than epoch %" PRIu64
              ", which the shim has seen",
              in->epoch);
    return ERR_NOT_FOUND;
}

/* A token that was never granted: this state is older than what it gave. */
static enum err check_holds (const struct broker *b, struct call *c)
{
    const struct msg_hello *in = &c->in->hello;

    if (is_foreign (b, in))
        return ERR_NONE;
    for (uint32_t i = 0; i < in->holds.count; i++) {
        if (in->holds.at[i] < b->next_token)
            continue;
        outbox_journal (c->out, JOURNAL_ALARM,
                        "above_mark project=%s token=%" PRIu64 " next=%" PRIu64,
                        in->project, in->holds.at[i], b->next_token);
        c->key = "holds";
        return ERR_NOT_FOUND;
    }
    return ERR_NONE;
}

static void adopt (struct broker *b, struct call *c, struct session *s)
{
    const struct msg_hello *in = &c->in->hello;

    for (uint32_t i = 0; i < in->holds.count; i++)
        ledger_adopt (b, s, in->holds.at[i], c->now, c->out);
    for (uint32_t i = 0; i < in->runs.count; i++)
        ledger_adopt_limbo (b, s, in->runs.at[i], c->now, c->out);
}

/* Now, or T after its last beat: then the new boot is believed. */
static void free_old_boot (struct broker *b, struct call *c, struct lease *l)
{
    int64_t at = l->beaten + state_longest_ttl (b);

    l->rebooted = true;
    if (at <= c->now)
        ledger_release (b, l, "rebooted", c->out);
    else if (at < l->until)
        l->until = at;
}

/* The old boot's processes ended with it. Not on the own host, where the
 * kernel vouches for the boot that runs. */
static void release_old_boots (struct broker *b, struct call *c,
                               const struct session_record *r)
{
    for (size_t i = leases_count (&b->leases); i-- > 0;) {
        struct lease *l = leases_at (&b->leases, i);

        if (l->r.state == LEASE_LIMBO && !l->r.own && !l->damaged &&
            l->r.uid == r->uid && strcmp (l->r.machine, r->machine) == 0 &&
            strcmp (l->r.boot, r->boot) != 0)
            free_old_boot (b, c, l);
    }
}

/* ---- the session ---- */

static void lose_older (struct broker *b, struct call *c,
                        const struct session_record *r)
{
    const struct identity_of who = identity_of (r);

    for (size_t i = b->sessions.count; i-- > 0;) {
        struct session *s = b->sessions.at[i];

        if (identity_rebooted (&s->r, r))
            ledger_lose (b, s, "rebooted", c->now, c->out);
    }
    for (struct session *old;
         (old = sessions_by_identity (&b->sessions, &who));) {
        ended_note (&b->ended, &old->r, ENDED_SUCCEEDED);
        ledger_lose (b, old, "succeeded", c->now, c->out);
    }
}

/* A project that the configuration knows and whose name is nearly the same, if
 * it does not know this one. */
static void find_near (const struct broker *b, struct session *s)
{
    const char *near = s->project->configured
                           ? NULL
                           : projects_near (&b->projects, s->r.project, true);

    copy_text (s->near, sizeof s->near, near ? near : "");
}

static void log_hello (const struct session *s, struct outbox *out)
{
    char host[sizeof s->r.host];

    outbox_journal (
        out, JOURNAL_INFO,
        "hello    session=%" PRIu64 " project=%s host=\"%s\" pid=%" PRId32,
        s->r.id, s->r.project, outbox_quoted (s->r.host, host, sizeof host),
        s->r.shim.pid);
    if (s->near[0])
        outbox_journal (out, JOURNAL_WARNING, "near     project=%s known=%s",
                        s->r.project, s->near);
}

static enum err begin (struct broker *b, struct call *c,
                       const struct session_record *r)
{
    struct session *s;

    lose_older (b, c, r);
    s = ledger_begin (b, r, c->now, c->out);
    s->foreign = is_foreign (b, &c->in->hello);
    handlers_heard (s, c);
    adopt (b, c, s);
    release_old_boots (b, c, r);
    find_near (b, s);
    log_hello (s, c->out);
    return welcome (b, c, s);
}

/* The same HELLO once more: the answer was lost. */
static enum err again (struct broker *b, struct call *c, struct session *s)
{
    const struct session_record r = record_of (b, c);

    if (strcmp (s->r.project, r.project) != 0 ||
        strcmp (s->r.machine, r.machine) != 0 ||
        strcmp (s->r.boot, r.boot) != 0)
        return ERR_CONFLICT;
    handlers_heard (s, c);
    return welcome (b, c, s);
}

enum err on_hello (struct broker *b, struct call *c)
{
    struct session *s =
        sessions_by_nonce (&b->sessions, c->in->hello.nonce, c->peer->uid);
    struct session_record r;
    enum err e;

    if ((e = check_names (c)) || (e = check_uid (b, c)))
        return e;
    if (s)
        return again (b, c, s);
    if (ended_has (&b->ended, c->in->hello.nonce, c->peer->uid))
        return ERR_EXPIRED;
    r = record_of (b, c);
    if ((e = identity_check (b, c, &r)) || (e = check_room (b, c, &r)) ||
        (e = check_epoch (b, c)) || (e = check_holds (b, c)))
        return e;
    return begin (b, c, &r);
}
