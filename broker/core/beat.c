/* SPDX-License-Identifier: MPL-2.0 */
/* BEAT - a shim lives, names what it holds and acknowledges what it was given.
 *
 * Only this renews a session, and only a seq above the last: one that was on
 * its way while the broker slept says nothing about now. What a shim holds is
 * compared with what the broker thinks it holds, both ways: a slot that it
 * acknowledged and does not name twice running is free, a token that it names
 * and does not have must be stopped.
 */
#include "core/handlers.h"

#include <inttypes.h>

#include "core/endings.h"
#include "core/ledger.h"

enum { UNNAMED_BEATS = 2 };

static void acknowledge (struct broker *b, struct lease *l, struct call *c)
{
    if (l->r.acked)
        return;
    l->r.acked = true;
    ledger_lease (b, l, c->out);
}

static void take_acks (struct session *s, const struct msg_beat *in)
{
    for (uint32_t i = 0; i < in->acks.count; i++)
        session_drop_acked (s, in->acks.at[i]);
}

/* How long a holder must not have named it: that was said twice; a tree has
 * then not been armed either, and is over as if its session had been lost. */
static int64_t patience (const struct broker *b, const struct lease *l)
{
    return l->r.tree ? state_longest_ttl (b) + b->settings.timing.lock_delay
                     : 0;
}

/* Not named: its holder knows of it no more, and it will be free. One that is
 * KILLING waits for REAPED if there was a tree. Of one that was never
 * acknowledged this says nothing: its GRANT may be on its way still, unless who
 * has it has parked it. Nor does a BEAT that was sent before this broker
 * started, and may be older than it looks. */
static void miss (struct broker *b, struct lease *l, struct call *c)
{
    bool free = l->r.state != LEASE_KILLING || !l->r.tree;
    bool arrived = l->r.acked || l->r.state == LEASE_PARKED;

    if (!free || !arrived || c->in->beat.epoch != b->meta.epoch)
        return;
    if (l->unnamed++ == 0)
        l->missed = c->now;
    if (l->unnamed >= UNNAMED_BEATS && c->now - l->missed >= patience (b, l))
        ledger_release (b, l, "unnamed", c->out);
}

static void compare (struct broker *b, struct call *c)
{
    const struct msg_beat *in = &c->in->beat;
    struct lease **leases;

    for (size_t i = leases_of (&b->leases, c->from->r.id, &leases); i-- > 0;) {
        struct lease *l = leases[i];
        bool named = u64s_has (&in->holds, l->r.token);

        if (named || u64s_has (&in->acks, l->r.seq))
            acknowledge (b, l, c);
        if (named)
            l->unnamed = 0;
        else
            miss (b, l, c);
    }
}

static void alarm_above_mark (struct broker *b, struct call *c, uint64_t token)
{
    struct session *s = c->from;

    if (s->alarmed || s->foreign)
        return;
    s->alarmed = true;
    outbox_journal (c->out, JOURNAL_ALARM,
                    "above_mark session=%" PRIu64 " project=%s token=%" PRIu64
                    " next=%" PRIu64,
                    s->r.id, s->r.project, token, b->next_token);
}

/* Its tree is back under new tokens, and it has not heard of them: until then
 * it names those that the tree had before. */
static bool was_parked (const struct broker *b, const struct session *s,
                        uint64_t token)
{
    struct lease **leases;
    size_t count = leases_of (&b->leases, s->r.id, &leases);

    for (size_t i = 0; i < count; i++) {
        const struct lease_record *r = &leases[i]->r;

        if (lease_came_back (leases[i]) && token >= r->cookie &&
            token < r->first)
            return true;
    }
    return false;
}

/* Tokens that it names and has not: adopted while the broker learns, else to
 * be stopped. */
static void list_strays (struct broker *b, struct call *c, struct u64s *stops)
{
    const struct u64s *holds = &c->in->beat.holds;

    for (uint32_t i = 0; i < holds->count; i++) {
        uint64_t token = holds->at[i];
        const struct lease *l = leases_find (&b->leases, token);

        if (l && l->r.session == c->from->r.id)
            continue;
        if (!l && was_parked (b, c->from, token))
            continue;
        if (token >= b->next_token)
            alarm_above_mark (b, c, token);
        if (!ledger_adopt (b, c->from, token, c->now, c->out))
            u64s_add (stops, token);
    }
}

/* A tree that came back and is to be ended has to be known first. */
static bool is_news (const struct lease *l)
{
    return !l->r.acked &&
           (l->r.state == LEASE_ACTIVE ||
            (l->r.state == LEASE_KILLING && lease_came_back (l)));
}

/* What was granted and not acknowledged, request by request. */
static void list_news (const struct broker *b, const struct session *s,
                       struct msg_beat_ok *ok)
{
    const size_t most = sizeof ok->grants / sizeof *ok->grants;
    struct lease **leases;
    size_t count = leases_of (&b->leases, s->r.id, &leases);
    uint64_t last = 0;

    for (size_t i = 0; i < count; i++) {
        const struct lease_record *r = &leases[i]->r;

        if (!is_news (leases[i]) || r->first == last ||
            ok->grants_count == most)
            continue;
        last = r->first;
        ok->grants[ok->grants_count++] =
            (struct row_granted){r->seq, r->first, r->count};
    }
    session_dropped (s, &ok->expired);
}

static enum err beat_ok (struct broker *b, struct call *c,
                         const struct u64s *strays)
{
    struct session *s = c->from;
    struct msg_beat_ok *ok = &b->scratch.beat_ok;

    message_init_fields (ok, VERB_BEAT_OK);
    ok->session = s->r.id;
    ok->epoch = b->meta.epoch;
    ok->seq = s->beat_seq;
    list_news (b, s, ok);
    endings_list (b, s, ok);
    ok->reclaim = s->reclaim;
    ok->idle_ms = s->reclaim ? (uint64_t) b->settings.reclaim_idle_ms : 0;
    s->reclaim = 0;
    for (uint32_t i = 0; i < strays->count; i++)
        u64s_add (&ok->stops, strays->at[i]);
    outbox_send (c->out, &c->peer->path, VERB_BEAT_OK, ok);
    return ERR_NONE;
}

enum err on_beat (struct broker *b, struct call *c)
{
    const struct msg_beat *in = &c->in->beat;
    struct session *s = c->from;
    struct u64s strays = {0};

    if (in->seq <= s->beat_seq) // old news: only answered, as the newest was
        return beat_ok (b, c, &strays);
    if (s->holder.paused_until > c->now)
        handlers_alarm_conflict (s, c);
    s->beat_seq = in->seq;
    s->beaten = c->now;
    s->deadline = c->now + state_ttl (b, s);
    take_acks (s, in);
    compare (b, c);
    list_strays (b, c, &strays);
    return beat_ok (b, c, &strays);
}
