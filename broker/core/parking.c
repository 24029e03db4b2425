/* SPDX-License-Identifier: MPL-2.0 */
/* PARK - a tree waits for something, and gives its slots back meanwhile.
 *
 * Its leases stay, PARKED: they do not count, and all else is as before. Its
 * shim names them in each BEAT, REAPED ends them, KILL means them. A tree that
 * is being killed counts again, parked or not: it may go on until it has ended.
 * More may then be in use than there are slots for a moment, and nothing is
 * granted until that is over.
 *
 * It comes back by a REQUEST that names one of its tokens, under new tokens:
 * tokens rise with every grant, and its old ones are history. Until its shim
 * has heard of them it goes on naming those (lease_came_back ()).
 */
#include "core/handlers.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/answers.h"
#include "core/conduct.h"
#include "core/ledger.h"

/* ---- what is parked ---- */

static unsigned parked_count (const struct broker *b)
{
    unsigned count = 0;

    for (size_t i = 0; i < leases_count (&b->leases); i++)
        count += !lease_counts (leases_at (&b->leases, i));
    return count;
}

struct waiter *ledger_parked_waiter (const struct broker *b,
                                     const struct lease *l)
{
    const struct session *s = sessions_find (&b->sessions, l->r.session);

    for (unsigned i = 0; s && i < s->open_count; i++) {
        struct waiter *w = table_find (&b->waiters, s->open[i].number);
        const struct lease *parked = leases_find (&b->leases, w->r.parked);

        if (parked && parked->r.session == l->r.session &&
            parked->r.cookie == l->r.cookie)
            return w;
    }
    return NULL;
}

/* ---- PARK ---- */

static enum err not_now (struct call *c, const char *why)
{
    snprintf (c->detail, sizeof c->detail, "%s", why);
    return ERR_NOT_NOW;
}

static bool is_whole_tree (const struct broker *b, const struct lease *first,
                           const struct u64s *tokens)
{
    unsigned count = 0;

    for (struct lease *l = NULL;
         (l = lease_next_of_tree (&b->leases, first, l)); count++) {
        if (!u64s_has (tokens, l->r.token))
            return false;
    }
    return count == tokens->count;
}

/* Of the whole tree, which is in one state. */
static bool is_in (const struct broker *b, const struct u64s *tokens,
                   enum lease_state state)
{
    for (uint32_t i = 0; i < tokens->count; i++) {
        if (leases_find (&b->leases, tokens->at[i])->r.state != state)
            return false;
    }
    return true;
}

/* Of what was there before, or refused. */
static bool is_old (const struct broker *b, const struct msg_park *in)
{
    for (uint32_t i = 0; i < in->tokens.count; i++) {
        if (in->seq &&
            in->seq <= leases_find (&b->leases, in->tokens.at[i])->r.told)
            return true;
    }
    return false;
}

static enum err check_tree (const struct broker *b, struct call *c)
{
    const struct u64s *tokens = &c->in->park.tokens;
    const struct lease *first = leases_find (&b->leases, tokens->at[0]);

    if (!first->r.tree)
        return bad_value (c, "tokens", "expected those of a running tree");
    if (!is_whole_tree (b, first, tokens))
        return bad_value (c, "tokens", "expected all of one tree, each once");
    return ERR_NONE;
}

/* What was refused once stays refused: its shim counts on its slots, and a late
 * copy must not take them. To ask anew takes a new seq. */
static enum err refuse (struct broker *b, struct call *c, unsigned parked)
{
    const struct msg_park *in = &c->in->park;

    for (uint32_t i = 0; in->seq && i < in->tokens.count; i++) {
        struct lease *l = leases_find (&b->leases, in->tokens.at[i]);

        l->r.told = in->seq;
        ledger_lease (b, l, c->out);
    }
    snprintf (c->detail, sizeof c->detail, "%u slots are parked, of at most %u",
              parked, b->settings.max_parked);
    return ERR_NOT_NOW;
}

static enum err answer (struct call *c)
{
    const struct msg_park *in = &c->in->park;
    struct msg_ok ok;

    message_init_fields (&ok, VERB_OK);
    copy_text (ok.re, sizeof ok.re, verb_name (VERB_PARK));
    ok.seq = in->seq;
    ok.tokens = in->tokens;
    outbox_send (c->out, &c->peer->path, VERB_OK, &ok);
    return ERR_NONE;
}

static enum err park (struct broker *b, struct call *c)
{
    const struct msg_park *in = &c->in->park;

    for (uint32_t i = 0; i < in->tokens.count; i++) {
        struct lease *l = leases_find (&b->leases, in->tokens.at[i]);

        if (in->seq)
            l->r.told = in->seq;
        ledger_park (b, l, c->now, c->out);
    }
    outbox_journal (c->out, JOURNAL_INFO,
                    "park     session=%" PRIu64 " project=%s token=%" PRIu64
                    " slots=%" PRIu32,
                    c->from->r.id, c->from->r.project, in->tokens.at[0],
                    in->tokens.count);
    return answer (c);
}

enum err on_park (struct broker *b, struct call *c)
{
    const struct msg_park *in = &c->in->park;
    const struct u64s *tokens = &in->tokens;
    enum err e = handlers_check_own (b, c, tokens);
    unsigned parked = parked_count (b);

    if (e)
        return e;
    if (is_in (b, tokens, LEASE_PARKED))
        return answer (c);
    if (is_old (b, in))
        return not_now (c, "this was refused, or is older than what was heard");
    e = check_tree (b, c);
    if (e)
        return e;
    if (!is_in (b, tokens, LEASE_ACTIVE))
        return not_now (c, "it is being ended");
    if (parked + tokens->count > b->settings.max_parked)
        return refuse (b, c, parked);
    return park (b, c);
}

/* ---- the ledger's part ---- */

void ledger_park (struct broker *b, struct lease *l, int64_t now,
                  struct outbox *out)
{
    l->r.state = LEASE_PARKED;
    l->r.since = now;
    ledger_lease (b, l, out);
}

static void move_tree (const struct lease_record *from, struct lease_record *to)
{
    to->run = from->run;
    to->bound = from->bound;
    to->preemptible = from->preemptible;
    to->supervisor = from->supervisor;
    to->tree = true;
    to->told = from->told;
    to->cookie = from->cookie;
    to->agent = from->agent;
    copy_text (to->label, sizeof to->label, from->label);
    copy_text (to->cgroup, sizeof to->cgroup, from->cgroup);
    to->phase = from->phase;
    to->phases = from->phases;
    to->percent = from->percent;
    to->validating = from->validating;
    to->eta_low_ms = to->eta_high_ms = 0; // that was for all of it
    copy_text (to->note, sizeof to->note, from->note);
}

/* Not an end, and no ledger_release (): what ran there goes on. */
static void close_returned (struct broker *b, struct lease *l,
                            struct outbox *out)
{
    uint64_t token = l->r.token;

    outbox_journal (out, JOURNAL_INFO,
                    "release  session=%" PRIu64 " project=%s token=%" PRIu64
                    " reason=returned",
                    l->r.session, l->r.project, token);
    conduct_record (b, l, "returned", out);
    leases_remove (&b->leases, l);
    b->changes++;
    outbox_change (out, CHANGE_LEASE, token, NULL);
}

void ledger_unpark (struct broker *b, const struct waiter *w, uint64_t first,
                    unsigned count, struct outbox *out)
{
    struct lease *parked = leases_find (&b->leases, w->r.parked);

    parked = parked ? lease_next_of_tree (&b->leases, parked, NULL) : NULL;
    for (unsigned i = 0; parked && i < count; i++) {
        struct lease *l = leases_find (&b->leases, first + i);
        struct lease *next = lease_next_of_tree (&b->leases, parked, parked);

        move_tree (&parked->r, &l->r);
        conduct_return (l, parked);
        ledger_lease (b, l, out);
        close_returned (b, parked, out);
        parked = next;
    }
}
