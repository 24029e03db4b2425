/* SPDX-License-Identifier: MPL-2.0 */
#include "simulation/invariants_rules.h"

#include <stdio.h>
#include <string.h>

#define LLU(n) ((unsigned long long) (n))

/* ---- keepers ---- */

static bool is_ending (enum keeper_state state)
{
    return state == KEEPER_TERMINATING || state == KEEPER_KILLING;
}

/* Long enough for its shim to have seen that nobody holds the lock, and to
 * have told it so. */
static bool is_excused (const struct sim *s, const struct sim_keeper *k)
{
    const struct sim_shim *sh = &s->shims[k->shim];
    int64_t since = s->now - 2 * s->settings.timing.beat;

    return !s->hosts[sh->host].own || s->broker.alive ||
           s->broker.died > since || !sh->alive || sh->life != k->shim_life ||
           sh->stopped || sh->continued > since || s->hosts[sh->host].off ||
           s->hosts[sh->host].woke > since;
}

/* Its shim knows no better than that the broker has heard a BEAT then. */
static void check_deadline (struct sim *s, const struct sim_keeper *k)
{
    const struct timing *t = &s->settings.timing;
    int64_t most = s->invariants.good[k->shim] + t->ttl - t->drift;

    if (k->core.deadline > most)
        sim_violate (s, "R2: token %llu may run %lld ms longer than T - D",
                     LLU (k->under.at[0]),
                     (long long) (k->core.deadline - most));
}

void rules_ticked (struct sim *s, int keeper, enum keeper_state was)
{
    const struct sim_keeper *k = &s->keepers[keeper];
    int64_t left = k->core.deadline - host_clock (s, s->shims[k->shim].host);

    if (!k->alive || !k->core.armed || k->core.state == KEEPER_ATTACHING)
        return;
    check_deadline (s, k);
    if (left <= k->core.confirm && k->core.state != KEEPER_KILLING)
        sim_violate (s,
                     "R8: a keeper of token %llu gives grace, %lld ms before "
                     "its deadline",
                     LLU (k->under.at[0]), (long long) left);
    if (was == KEEPER_RUNNING && is_ending (k->core.state) &&
        !is_excused (s, k))
        sim_violate (s, "R9: token %llu ends because the broker is dead",
                     LLU (k->under.at[0]));
}

void rules_left (struct sim *s, int keeper)
{
    sim_violate (s, "R6: the keeper of token %llu leaves its tree",
                 LLU (s->keepers[keeper].under.at[0]));
}

/* ---- shims ---- */

static void said_in (const struct msg *m, uint64_t *ret_session,
                     uint64_t *ret_epoch)
{
    *ret_session = *ret_epoch = 0;
    switch (m->verb) {
    case VERB_WELCOME:
        *ret_session = m->welcome.session;
        *ret_epoch = m->welcome.epoch;
        break;
    case VERB_BEAT_OK:
        *ret_session = m->beat_ok.session;
        *ret_epoch = m->beat_ok.epoch;
        break;
    case VERB_GRANT:
        *ret_session = m->grant.session;
        *ret_epoch = m->grant.epoch;
        break;
    case VERB_QUEUED:
        *ret_session = m->queued.session;
        *ret_epoch = m->queued.epoch;
        break;
    case VERB_STOP:
        *ret_session = m->stop.session;
        *ret_epoch = m->stop.epoch;
        break;
    case VERB_RELEASED: *ret_session = m->released.session; break;
    default: break;
    }
}

/* It remembers them, against a GRANT that comes once more. */
static struct closed_tokens *closed_of (struct sim *s, int shim)
{
    struct closed_tokens *c = &s->rules.closed[shim];

    if (c->life != s->shims[shim].life)
        *c = (struct closed_tokens){.life = s->shims[shim].life};
    return c;
}

static void hears_closed (struct closed_tokens *c, const struct u64s *tokens)
{
    for (uint32_t i = 0; i < tokens->count; i++)
        c->at[c->count++ % RULES_CLOSED] = tokens->at[i];
}

void rules_said_release (struct sim *s, int shim, const struct msg_release *m)
{
    const struct closed_tokens *c = closed_of (s, shim);

    for (size_t i = 0; i < RULES_CLOSED && i < c->count; i++) {
        if (u64s_has (&m->tokens, c->at[i]))
            sim_violate (s, "R7: %s releases token %llu again",
                         shim_label (s, shim), LLU (c->at[i]));
    }
}

/* Is all that it runs under being ended by the word of this session's broker?
 */
static bool is_killing (const struct sim *s, const struct sim_keeper *k,
                        uint64_t session)
{
    for (unsigned i = 0; i < k->under.count; i++) {
        const struct lease_record *r = disk_lease (&s->disk, k->under.at[i]);

        if (!r || r->state != LEASE_KILLING || r->session != session)
            return false;
    }
    return true;
}

/* Who has not heard STOP hears of it by BEAT_OK, and its work can be saved. */
static void check_notice (struct sim *s, const struct action *a,
                          uint64_t session)
{
    const struct sim_keeper *k;

    if (a->kind != ACT_KEEPER || a->packet->type != KEEPER_STOP ||
        a->packet->notice_ms > 0)
        return;
    k = &s->keepers[handle_index (a->keeper)];
    if (is_killing (s, k, session))
        sim_violate (s, "token %llu is ended, and not given notice",
                     LLU (k->under.at[0]));
}

void rules_deliver (struct sim *s, int shim, const struct msg *m)
{
    struct sim_shim *sh = &s->shims[shim];
    size_t before = actions_count (sh->out);
    uint64_t session, epoch, *seen = &s->rules.epoch[shim];
    bool alien;

    said_in (m, &session, &epoch);
    alien = m->verb != VERB_WELCOME && session &&
            (session != shim_session (sh->core) || (epoch && epoch < *seen));
    shim_on_broker (sh->core, m, host_clock (s, sh->host), sh->out);
    if (alien && actions_count (sh->out) > before)
        sim_violate (s, "R7: %s heeds %s of session %llu, epoch %llu",
                     shim_label (s, shim), verb_name (m->verb), LLU (session),
                     LLU (epoch));
    for (size_t i = before; i < actions_count (sh->out); i++) {
        if (m->verb == VERB_BEAT_OK)
            check_notice (s, actions_at (sh->out, i), session);
    }
    if (m->verb == VERB_WELCOME) // maybe of another broker id, with its tokens
        closed_of (s, shim)->count = 0;
    if (m->verb == VERB_RELEASED && !alien)
        hears_closed (closed_of (s, shim), &m->released.tokens);
    if (epoch && session == shim_session (sh->core) &&
        (epoch > *seen || m->verb == VERB_WELCOME))
        *seen = epoch;
}

/* ---- who begins, and what he had ---- */

static bool is_changed (const struct outbox *out, enum change_kind kind,
                        uint64_t key)
{
    for (size_t i = 0; i < outbox_changed (out); i++) {
        struct change c = outbox_change_at (out, i);

        if (c.kind == kind && c.key == key)
            return true;
    }
    return false;
}

void rules_heard_hello (struct sim *s, const struct msg_hello *m)
{
    struct rules *r = &s->rules;
    bool foreign = m->broker[0] && strcmp (m->broker, s->disk.meta.broker) != 0;

    if (s->broker.learning && !foreign && r->hello_count < RULES_HELLOS)
        r->hellos[r->hello_count++] =
            (struct heard_hello){.nonce = m->nonce, .runs = m->runs};
}

static void check_adopted (struct sim *s, const struct outbox *out,
                           const struct heard_hello *h)
{
    for (uint32_t i = 0; i < h->runs.count; i++) {
        uint64_t token = h->runs.at[i];

        if (!disk_lease (&s->disk, token) &&
            !is_changed (out, CHANGE_LEASE, token))
            sim_violate (s, "token %llu, which still runs, is not learned",
                         LLU (token));
    }
}

static bool is_ended (const struct rules *r, uint64_t nonce)
{
    for (size_t i = 0; i < RULES_ENDED; i++) {
        if (r->ended[i] == nonce)
            return true;
    }
    return false;
}

static void begins (struct sim *s, const struct outbox *out,
                    const struct session_record *is)
{
    struct rules *r = &s->rules;

    if (is_ended (r, is->nonce))
        sim_violate (s, "session %llu begins again what has ended",
                     LLU (is->id));
    for (size_t i = 0; i < r->hello_count; i++) {
        if (r->hellos[i].nonce == is->nonce)
            check_adopted (s, out, &r->hellos[i]);
    }
}

static void ends (struct sim *s, const char *line)
{
    const char *at = strstr (line, "session=");
    unsigned long long id;
    const struct session_record *was;

    if (!at || sscanf (at, "session=%llu", &id) != 1)
        return;
    was = disk_session (&s->disk, id);
    if (was)
        s->rules.ended[s->rules.ended_count++ % RULES_ENDED] = was->nonce;
}

/* ---- what a BEAT says, and its answer ---- */

void rules_heard_beat (struct sim *s, const struct msg_beat *m)
{
    struct rules *r = &s->rules;

    if (r->beat_count < RULES_BEATS)
        r->beats[r->beat_count] = (struct heard_beat){
            .session = m->session, .holds = m->holds, .acks = m->acks};
    r->beat_count++;
}

static void check_acked (struct sim *s, const struct lease_record *is)
{
    const struct rules *r = &s->rules;

    for (size_t i = 0; i < r->beat_count; i++) {
        const struct heard_beat *b = &r->beats[i % RULES_BEATS];

        if (r->beat_count > RULES_BEATS ||
            (b->session == is->session &&
             (u64s_has (&b->holds, is->token) || u64s_has (&b->acks, is->seq))))
            return;
    }
    sim_violate (s, "token %llu counts as arrived, and nobody has said so",
                 LLU (is->token));
}

static void check_stops (struct sim *s, const struct outbox *out,
                         const struct msg_beat_ok *m)
{
    for (size_t i = 0; i < s->disk.lease_count; i++) {
        const struct lease_record *r = &s->disk.leases[i];

        if (r->session == m->session && r->state == LEASE_KILLING &&
            !is_changed (out, CHANGE_LEASE, r->token) &&
            !u64s_has (&m->stops, r->token))
            sim_violate (s, "token %llu is to be ended, and BEAT_OK keeps it",
                         LLU (r->token));
    }
}

/* No state here is older than what its shims have seen; what another broker id
 * gave them says nothing. */
static void check_refusal (struct sim *s, const struct msg_error *m)
{
    if (strcmp (m->re, verb_name (VERB_HELLO)) == 0 &&
        strcmp (m->error, err_name (ERR_NOT_FOUND)) == 0)
        sim_violate (s, "R7: a shim is not let in: %s", m->detail);
}

static void check_change (struct sim *s, const struct outbox *out,
                          const struct change *c)
{
    const struct lease_record *was = disk_lease (&s->disk, c->key);
    const struct lease_record *is = c->record;

    if (c->deleted)
        return;
    if (c->kind == CHANGE_SESSION && !disk_session (&s->disk, c->key))
        begins (s, out, c->record);
    if (c->kind == CHANGE_LEASE && was && !was->acked && is->acked)
        check_acked (s, is);
}

/* ---- one batch ---- */

static bool is_final (const char *line)
{
    return strncmp (line, "bye ", 4) == 0 ||
           (strncmp (line, "lost ", 5) == 0 &&
            strstr (line, "reason=succeeded"));
}

/* What it has not read yet. */
static void check_unread (struct sim *s, uint64_t session)
{
    for (size_t i = 0; i < s->broker.inbox_count; i++) {
        const struct letter *l = &s->broker.inbox[i]->letter;
        const struct msg_beat *m = (const struct msg_beat *) l->fields;

        if (l->verb == VERB_BEAT && m->session == session)
            sim_violate (s, "R3: session %llu is lost, and its BEAT waits",
                         LLU (session));
    }
}

/* Time alone releases it. After a power cut, `since` may be by the clock of
 * another boot. */
static void check_delay (struct sim *s, uint64_t token)
{
    const struct lease_record *was = disk_lease (&s->disk, token);

    if (was && was->state == LEASE_LIMBO && s->hosts[0].boot == 1 &&
        host_clock (s, 0) < was->since + s->settings.timing.lock_delay)
        sim_violate (s, "R2: token %llu is free before L is over", LLU (token));
}

static void check_line (struct sim *s, const char *line)
{
    unsigned long long id;
    const char *token = strstr (line, " token=");

    if (is_final (line))
        ends (s, line);
    if (strstr (line, "reason=silent") &&
        sscanf (line, "lost session=%llu", &id) == 1)
        check_unread (s, id);
    if (strstr (line, "reason=lock_delay") && token &&
        sscanf (token, " token=%llu", &id) == 1)
        check_delay (s, id);
}

void rules_batch (struct sim *s, const struct outbox *out)
{
    enum journal_level level;

    for (size_t i = 0; i < outbox_changed (out); i++) {
        struct change c = outbox_change_at (out, i);

        check_change (s, out, &c);
    }
    for (size_t i = 0; i < outbox_sent (out); i++) {
        struct outgoing o = outbox_outgoing (out, i);

        if (o.verb == VERB_BEAT_OK)
            check_stops (s, out, o.fields);
        if (o.verb == VERB_ERROR)
            check_refusal (s, o.fields);
    }
    for (size_t i = 0; i < outbox_lines (out); i++)
        check_line (s, outbox_line (out, i, &level));
    s->rules.hello_count = s->rules.beat_count = 0;
}

/* Which sessions have ended is known to one broker only. */
void rules_start (struct sim *s)
{
    memset (s->rules.ended, 0, sizeof s->rules.ended);
}

void rules_end (struct sim *s)
{
    s->broker.died = s->now;
}
