/* SPDX-License-Identifier: MPL-2.0 */
/* RELEASE, STARTED, REAPED, PROGRESS, BYE - what becomes of slots.
 *
 * A message about several tokens is judged whole before anything changes: one
 * that belongs to somebody else refuses all of it. A token that is closed
 * changes nothing and is named in the answer.
 */
#include "core/handlers.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "core/answers.h"
#include "core/conduct.h"
#include "core/ledger.h"

enum claim {
    CLAIM_OWN,
    CLAIM_PREDECESSORS,
    CLAIM_OTHERS,
    CLAIM_EXPIRED,
    CLAIM_UNKNOWN
};

static enum claim claim_of (const struct broker *b, const struct session *s,
                            uint64_t token, struct lease **ret_lease)
{
    struct lease *l = leases_find (&b->leases, token);

    if (!l)
        return token == 0 || token >= b->next_token ? CLAIM_UNKNOWN
                                                    : CLAIM_EXPIRED;
    *ret_lease = l;
    if (s && l->r.session == s->r.id)
        return CLAIM_OWN;
    return s && state_succeeds (s, l) ? CLAIM_PREDECESSORS : CLAIM_OTHERS;
}

static bool names_others (const struct broker *b, const struct session *s,
                          const struct u64s *tokens)
{
    struct lease *l;

    for (uint32_t i = 0; i < tokens->count; i++) {
        if (claim_of (b, s, tokens->at[i], &l) == CLAIM_OTHERS)
            return true;
    }
    return false;
}

static enum err send_released (const struct broker *b, const struct call *c,
                               struct msg_released *released)
{
    struct lease **leases;

    if (c->from) {
        released->session = c->from->r.id;
        released->held = leases_of (&b->leases, c->from->r.id, &leases);
    }
    outbox_send (c->out, &c->peer->path, VERB_RELEASED, released);
    return ERR_NONE;
}

/* ---- RELEASE ---- */

static void release_one (struct broker *b, struct call *c, uint64_t token,
                         bool force, struct msg_released *ret_released)
{
    struct lease *l = NULL;
    enum claim claim = claim_of (b, c->from, token, &l);

    if (claim == CLAIM_UNKNOWN) {
        u64s_add (&ret_released->unknown, token);
    } else if (claim == CLAIM_EXPIRED) {
        u64s_add (&ret_released->expired, token);
    } else if (!force && l->r.tree) {
        u64s_add (&ret_released->busy, token);
    } else {
        u64s_add (&ret_released->tokens, token);
        if (force)
            ledger_revoke (b, l, "forced", c->out);
        else
            ledger_release (b, l, "released", c->out);
    }
}

/* The last resort, audited: whatever runs there now runs uncounted. */
static enum err check_force (const struct broker *b, const struct call *c)
{
    const struct u64s *tokens = &c->in->release.tokens;

    if (c->peer->role != ROLE_ADMIN)
        return ERR_NOT_ALLOWED;
    for (uint32_t i = 0; i < tokens->count; i++) {
        const struct lease *l = leases_find (&b->leases, tokens->at[i]);

        if (l)
            outbox_journal (c->out, JOURNAL_ALARM,
                            "force    uid=%" PRIu32 " token=%" PRIu64
                            " project=%s state=%s",
                            c->peer->uid, l->r.token, l->r.project,
                            lease_state_name (l->r.state));
    }
    outbox_require_flush (c->out);
    return ERR_NONE;
}

static enum err check_release (const struct broker *b, struct call *c)
{
    const struct msg_release *in = &c->in->release;

    if (in->tokens.count == 0)
        return bad_value (c, "tokens", "expected at least one");
    if (in->force)
        return check_force (b, c);
    if (!c->from)
        return bad_value (c, "session", "missing");
    return names_others (b, c->from, &in->tokens) ? ERR_NOT_ALLOWED : ERR_NONE;
}

enum err on_release (struct broker *b, struct call *c)
{
    const struct msg_release *in = &c->in->release;
    struct msg_released *released = &b->scratch.released;
    enum err e = check_release (b, c);

    if (e)
        return e;
    message_init_fields (released, VERB_RELEASED);
    for (uint32_t i = 0; i < in->tokens.count; i++)
        release_one (b, c, in->tokens.at[i], in->force, released);
    return send_released (b, c, released);
}

/* ---- REAPED ---- */

/* News of trees that came late, or twice. Without a number nobody knows. */
static bool is_old (const struct lease *l, uint64_t seq)
{
    return seq && seq <= l->r.told;
}

static void note_news (struct lease *l, uint64_t seq)
{
    if (seq)
        l->r.told = seq;
}

/* The run is over and its reservation goes on. */
static void make_idle (struct broker *b, struct lease *l, struct call *c)
{
    l->r.tree = false;
    l->r.cookie = 0;
    l->r.agent = (struct process){0};
    l->r.cgroup[0] = '\0';
    l->r.phase = l->r.phases = 0;
    l->r.percent = NAN;
    l->r.validating = false;
    l->r.note[0] = '\0';
    outbox_journal (c->out, JOURNAL_INFO,
                    "reaped   session=%" PRIu64 " token=%" PRIu64 " kept=true",
                    l->r.session, l->r.token);
    ledger_lease (b, l, c->out);
}

static void reap_one (struct broker *b, struct call *c, uint64_t token,
                      struct msg_released *ret_released)
{
    const struct msg_reaped *in = &c->in->reaped;
    struct lease *l = NULL;
    enum claim claim = claim_of (b, c->from, token, &l);

    if (claim == CLAIM_UNKNOWN) {
        u64s_add (&ret_released->unknown, token);
    } else if (claim == CLAIM_EXPIRED) {
        u64s_add (&ret_released->expired, token);
    } else if (in->keep && is_old (l, in->seq)) {
        u64s_add (&ret_released->kept, token); // of a tree before this one
    } else if (in->keep && l->r.state == LEASE_ACTIVE) {
        note_news (l, in->seq);
        conduct_end (b, l, in, c->now, c->out);
        make_idle (b, l, c);
        u64s_add (&ret_released->kept, token);
    } else if (l->r.tree) {
        u64s_add (&ret_released->tokens, token);
        conduct_end (b, l, in, c->now, NULL);
        ledger_release (b, l, "reaped", c->out);
    } else { // stopped, and maybe never heard of
        u64s_add (&ret_released->tokens, token);
        ledger_revoke (b, l, "reaped", c->out);
    }
}

enum err on_reaped (struct broker *b, struct call *c)
{
    const struct u64s *tokens = &c->in->reaped.tokens;
    struct msg_released *released = &b->scratch.released;

    if (tokens->count == 0)
        return bad_value (c, "tokens", "expected at least one");
    if (names_others (b, c->from, tokens))
        return ERR_NOT_ALLOWED;
    message_init_fields (released, VERB_RELEASED);
    released->seq = c->in->reaped.seq;
    for (uint32_t i = 0; i < tokens->count; i++)
        reap_one (b, c, tokens->at[i], released);
    return send_released (b, c, released);
}

/* ---- STARTED ---- */

enum err handlers_check_own (const struct broker *b, struct call *c,
                             const struct u64s *tokens)
{
    struct lease *l;

    if (tokens->count == 0)
        return bad_value (c, "tokens", "expected at least one");
    for (uint32_t i = 0; i < tokens->count; i++) {
        switch (claim_of (b, c->from, tokens->at[i], &l)) {
        case CLAIM_OWN: break;
        case CLAIM_PREDECESSORS:
        case CLAIM_OTHERS: return ERR_NOT_ALLOWED;
        case CLAIM_EXPIRED: return ERR_EXPIRED;
        case CLAIM_UNKNOWN: return ERR_NOT_FOUND;
        }
    }
    return ERR_NONE;
}

/* Also when it is KILLING already: the tree is there, and STOP goes on. */
static void start_one (struct broker *b, struct call *c, uint64_t token)
{
    const struct msg_started *in = &c->in->started;
    struct lease *l = leases_find (&b->leases, token);

    if (is_old (l, in->seq))
        return;
    note_news (l, in->seq);
    if (!l->r.own && !lease_has_tree (l)) // its tree outlives our power (R4)
        outbox_require_flush (c->out);
    if (!l->r.tree) {
        conduct_begin (l, c->now);
        l->advance = (struct advance){0, 0};
    }
    l->r.tree = true;
    l->r.cookie = in->tokens.at[0];
    l->r.agent = (struct process){(int32_t) in->pid, (int64_t) in->start};
    copy_text (l->r.cgroup, sizeof l->r.cgroup, in->cgroup);
    if (in->label[0])
        copy_text (l->r.label, sizeof l->r.label, in->label);
    ledger_lease (b, l, c->out);
}

enum err on_started (struct broker *b, struct call *c)
{
    const struct msg_started *in = &c->in->started;
    enum err e = handlers_check_own (b, c, &in->tokens);
    struct msg_ok ok;

    if (e)
        return e;
    for (uint32_t i = 0; i < in->tokens.count; i++)
        start_one (b, c, in->tokens.at[i]);
    outbox_journal (c->out, JOURNAL_INFO,
                    "started  session=%" PRIu64 " token=%" PRIu64
                    " pid=%" PRIu64,
                    c->from->r.id, in->tokens.at[0], in->pid);
    message_init_fields (&ok, VERB_OK);
    copy_text (ok.re, sizeof ok.re, verb_name (VERB_STARTED));
    ok.seq = in->seq;
    ok.tokens = in->tokens;
    outbox_send (c->out, &c->peer->path, VERB_OK, &ok);
    return ERR_NONE;
}

/* ---- PROGRESS ---- */

/* By token, else by label; a label that nobody has names the first slot that
 * has none. */
static struct lease *find_agent (const struct broker *b, const struct call *c)
{
    const struct msg_progress *in = &c->in->progress;
    struct lease **leases, *unlabelled = NULL;
    size_t count = leases_of (&b->leases, c->from->r.id, &leases);

    for (size_t i = 0; i < count; i++) {
        struct lease *l = leases[i];

        if (in->token ? l->r.token == in->token
                      : strcmp (l->r.label, in->label) == 0)
            return l;
        if (!in->token && !l->r.label[0] && !unlabelled)
            unlabelled = l;
    }
    return unlabelled;
}

static enum err check_progress (struct call *c)
{
    const struct msg_progress *in = &c->in->progress;

    if (!in->token && !in->label[0])
        return bad_value (c, "token", "expected a token or a label");
    if (in->phases > 1000 || in->phase > in->phases)
        return bad_value (c, "phase", "expected at most phases");
    if (!isnan (in->percent) && !(in->percent >= 0 && in->percent <= 100))
        return bad_value (c, "percent", "expected 0..100");
    return ERR_NONE;
}

static void note_progress (struct lease *l, const struct msg_progress *in)
{
    if (in->label[0])
        copy_text (l->r.label, sizeof l->r.label, in->label);
    if (in->phases) {
        l->r.phase = (uint32_t) in->phase;
        l->r.phases = (uint32_t) in->phases;
    }
    if (in->phases || !isnan (in->percent))
        l->r.percent = in->percent;
    if (in->note[0])
        copy_text (l->r.note, sizeof l->r.note, in->note);
    l->r.validating = in->validating;
}

/* Does it say anything that it did not say before? */
static bool advances (const struct lease_record *r,
                      const struct msg_progress *in)
{
    if (in->phases && (in->phase != r->phase || in->phases != r->phases))
        return true;
    if (!isnan (in->percent) && !(in->percent == r->percent))
        return true;
    return in->validating != r->validating ||
           (in->note[0] && strcmp (in->note, r->note) != 0);
}

/* Of several slots under one tree, that which leads it has the footprint. */
static void note_advance (struct broker *b, struct lease *l, int64_t now)
{
    struct lease *at = NULL;

    while ((at = lease_next_of_tree (&b->leases, l, at))) {
        at->advance.at = now;
        at->advance.cpu_ms = at->footprint.cpu_ms;
    }
}

enum err on_progress (struct broker *b, struct call *c)
{
    enum err e = check_progress (c);
    struct lease *l;

    if (e)
        return e;
    l = find_agent (b, c);
    if (!l)
        return ERR_NOT_FOUND;
    if (advances (&l->r, &c->in->progress))
        note_advance (b, l, c->now);
    note_progress (l, &c->in->progress);
    conduct_progress (l, c->now);
    ledger_lease (b, l, c->out);
    answer_ok (c->out, &c->peer->path, VERB_PROGRESS);
    return ERR_NONE;
}

/* ---- BYE ---- */

/* Orderly: what has no tree is free by the supervisor's word. */
enum err on_bye (struct broker *b, struct call *c)
{
    struct session *s = c->from;
    int64_t until = ledger_until (b, s, c->now);
    struct lease **leases;
    unsigned limbo = 0;

    for (size_t i = leases_of (&b->leases, s->r.id, &leases); i-- > 0;) {
        struct lease *l = leases[i];

        if (!l->r.tree) {
            ledger_release (b, l, "bye", c->out);
            continue;
        }
        ledger_orphan (b, l, until, s->beaten, c->now, c->out);
        limbo++;
    }
    outbox_journal (c->out, JOURNAL_INFO,
                    "bye      session=%" PRIu64 " project=%s limbo=%u", s->r.id,
                    s->r.project, limbo);
    ended_note (&b->ended, &s->r, ENDED_BYE);
    ledger_forget (b, s, c->out);
    answer_ok (c->out, &c->peer->path, VERB_BYE);
    return ERR_NONE;
}
