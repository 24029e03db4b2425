/* SPDX-License-Identifier: MPL-2.0 */
#include "core/handlers.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "core/answers.h"

enum { REFUSALS_LOGGED = 10 }; // a second

#define SESSION(name) offsetof (struct msg, name.session)

/* Who may say what, and where a message names its session (0: nowhere). */
static const struct verb_rule {
    enum err (*handle) (struct broker *b, struct call *c);
    enum role least;
    size_t session;
    bool anonymous; // may leave its session out
} rules[VERB_COUNT] = {
    [VERB_HELLO] = {on_hello, ROLE_PROJECT, 0, false},
    [VERB_BEAT] = {on_beat, ROLE_PROJECT, SESSION (beat), false},
    [VERB_REQUEST] = {on_request, ROLE_PROJECT, SESSION (request), false},
    [VERB_CANCEL] = {on_cancel, ROLE_PROJECT, SESSION (cancel), false},
    [VERB_RELEASE] = {on_release, ROLE_PROJECT, SESSION (release), true},
    [VERB_STARTED] = {on_started, ROLE_PROJECT, SESSION (started), false},
    [VERB_REAPED] = {on_reaped, ROLE_PROJECT, SESSION (reaped), false},
    [VERB_PARK] = {on_park, ROLE_PROJECT, SESSION (park), false},
    [VERB_PROGRESS] = {on_progress, ROLE_PROJECT, SESSION (progress), false},
    [VERB_SAMPLE] = {on_sample, ROLE_PROJECT, SESSION (sample), false},
    [VERB_FOOTPRINT] = {on_footprint, ROLE_PROJECT, SESSION (footprints),
                        false},
    [VERB_BYE] = {on_bye, ROLE_PROJECT, SESSION (bye), false},
    [VERB_STATUS] = {on_status, ROLE_OBSERVER, 0, false},
    [VERB_KILL] = {on_kill, ROLE_PROJECT, 0, false},
    [VERB_SET_MAX] = {on_set_max, ROLE_ADMIN, 0, false},
    [VERB_SET_POLICY] = {on_set_policy, ROLE_ADMIN, 0, false},
    [VERB_SET_PRIORITY] = {on_set_priority, ROLE_ADMIN, 0, false},
    [VERB_RELIEVE] = {on_relieve, ROLE_ADMIN, 0, false},
    [VERB_PAUSE] = {on_pause, ROLE_PROJECT, 0, false},
    [VERB_RESUME] = {on_resume, ROLE_PROJECT, 0, false},
};

void handlers_heard (struct session *s, const struct call *c)
{
    const struct path *path = &c->peer->path;

    if (path->size != s->path.size || path->req != s->path.req ||
        memcmp (path->id, s->path.id, path->size) != 0) {
        s->path = *path;
        s->repeat = true;
    }
    if (s->suspect)
        outbox_journal (c->out, JOURNAL_INFO, "heard    session=%" PRIu64,
                        s->r.id);
    s->suspect = false;
    s->seen = c->now;
}

void handlers_alarm_conflict (struct session *s, const struct call *c)
{
    char host[sizeof s->r.host];

    if (s->rival_heard)
        return;
    s->rival_heard = true;
    outbox_journal (c->out, JOURNAL_ALARM,
                    "host_conflict session=%" PRIu64 " project=%s host=\"%s\"",
                    s->r.id, s->r.project,
                    outbox_quoted (s->r.host, host, sizeof host));
}

static uint64_t session_named (const struct msg *in, size_t offset)
{
    uint64_t id;

    memcpy (&id, (const unsigned char *) in + offset, sizeof id);
    return id;
}

/* Whose message it is, from its session; that session then has been heard. */
static enum err find_session (struct broker *b, struct call *c,
                              const struct verb_rule *rule)
{
    uint64_t id;
    struct session *s;

    if (rule->session == 0)
        return ERR_NONE;
    id = session_named (c->in, rule->session);
    if (id == 0)
        return rule->anonymous ? ERR_NONE : bad_value (c, "session", "missing");
    s = sessions_find (&b->sessions, id);
    if (!s)
        return ERR_NO_SESSION;
    if (s->r.uid != c->peer->uid)
        return ERR_NOT_ALLOWED;
    handlers_heard (s, c);
    c->from = s;
    return ERR_NONE;
}

static uint64_t seq_named (const struct msg *in)
{
    switch (in->verb) {
    case VERB_BEAT: return in->beat.seq;
    case VERB_REQUEST: return in->request.seq;
    case VERB_CANCEL: return in->cancel.seq;
    case VERB_STARTED: return in->started.seq;
    case VERB_REAPED: return in->reaped.seq;
    case VERB_PARK: return in->park.seq;
    default: return 0;
    }
}

static bool may_log_refusal (struct broker *b, int64_t now)
{
    if (now - b->refusals_at >= 1000) {
        b->refusals_at = now;
        b->refusals = 0;
    }
    return b->refusals++ < REFUSALS_LOGGED;
}

static void refuse (struct broker *b, struct call *c, uint64_t session,
                    enum err e)
{
    const struct complaint about = {
        .re = c->in->verb,
        .session = session,
        .seq = seq_named (c->in),
        .key = c->key,
        .detail = c->detail[0] ? c->detail : NULL,
    };

    b->refused++;
    answer_error (c->out, &c->peer->path, e, &about);
    if (!may_log_refusal (b, c->now))
        return;
    outbox_journal (
        c->out, JOURNAL_INFO,
        "refused  uid=%" PRIu32 " session=%" PRIu64 " verb=%s error=%s",
        c->peer->uid, session, verb_name (c->in->verb), err_name (e));
}

static enum err step (struct broker *b, struct call *c,
                      const struct verb_rule *rule)
{
    enum err e;

    if (!rule->handle)
        return ERR_UNKNOWN_VERB;
    if (c->peer->role < rule->least)
        return ERR_NOT_ALLOWED;
    e = find_session (b, c, rule);
    return e ? e : rule->handle (b, c);
}

void handlers_step (struct broker *b, struct call *c)
{
    static const struct verb_rule none;
    const struct verb_rule *rule =
        c->in->verb < VERB_COUNT ? &rules[c->in->verb] : &none;
    uint64_t session = rule->session ? session_named (c->in, rule->session) : 0;
    enum err e = step (b, c, rule);

    if (e)
        refuse (b, c, session, e);
}
