/* SPDX-License-Identifier: MPL-2.0 */
#include "simulation/invariants.h"
#include "simulation/invariants_hosts.h"
#include "simulation/invariants_kills.h"

#include <stdio.h>
#include <string.h>

#include "core/state.h"
#include "simulation/invariants_rules.h"
#include "simulation/invariants_schedule.h"
#include "simulation/ledger.h"

enum { STALL_MS = 1000, INSPECT_MS = 250, IDLE_MS = 2000, REASONS_EVERY = 64 };

#define LLU(n) ((unsigned long long) (n))

/* ---- what was said ---- */

static int shim_of_path (const struct path *p)
{
    return p->size == 6 && p->id[0] == 'S' ? p->id[1] : -1;
}

/* Where it is remembered, until another one is. */
static struct wish *place_of (struct sim *s, uint64_t session, uint64_t seq)
{
    uint64_t mixed = (session * 1000003 + seq) * UINT64_C (0x9e3779b97f4a7c15);

    return &s->invariants.asked[(mixed >> 32) % SIM_ASKED];
}

struct wish *invariants_asked (struct sim *s, uint64_t session, uint64_t seq)
{
    struct wish *a = place_of (s, session, seq);

    return a->session == session && a->seq == seq ? a : NULL;
}

/* Without a min it is content with what the policy says when it is heard
 * (schedule_heard (); one slot under `fair`, SEMANTICS 3). A resend of what was
 * granted meanwhile and is not remembered says no more about that. */
static void asks (struct sim *s, const struct msg_request *m)
{
    if (invariants_asked (s, m->session, m->seq))
        return;
    *place_of (s, m->session, m->seq) =
        (struct wish){.session = m->session,
                      .seq = m->seq,
                      .count = (unsigned) m->count,
                      .min = (unsigned) (m->min ? m->min : 1),
                      .any = m->min == 0,
                      .back = m->parked != 0};
}

void invariants_said (struct sim *s, int shim, enum verb verb,
                      const void *fields)
{
    const struct msg_beat *m = fields;
    int64_t clock = host_clock (s, s->shims[shim].host);

    if (verb == VERB_HELLO)
        invariants_good (s, shim, clock);
    if (verb == VERB_HELLO)
        hosts_said_hello (s, shim, fields);
    else if (verb == VERB_BEAT)
        s->invariants.sent[shim][m->seq % 64] = clock;
    else if (verb == VERB_REQUEST)
        asks (s, fields);
    else if (verb == VERB_RELEASE)
        rules_said_release (s, shim, fields);
}

void invariants_good (struct sim *s, int shim, int64_t since)
{
    if (s->invariants.good[shim] < since)
        s->invariants.good[shim] = since;
}

void invariants_anchor (struct sim *s, int shim)
{
    const struct sim_shim *sh = &s->shims[shim];
    int64_t anchor = shim_anchor (sh->core);

    if (sh->ready && anchor > s->invariants.good[shim])
        sim_violate (s, "R1: %s counts from %lld, the broker from %lld",
                     shim_label (s, shim), (long long) anchor,
                     (long long) s->invariants.good[shim]);
}

/* Only this renews, and only a new one. */
static void beat (struct sim *s, int shim, const struct msg_beat *m)
{
    struct invariants *v = &s->invariants;

    hosts_heard_beat (s, m);
    rules_heard_beat (s, m);
    if (m->session == v->beat_of[shim] && m->seq <= v->beat_seq[shim])
        return;
    if (!disk_session (&s->disk, m->session) || !s->shims[shim].alive ||
        shim_session (s->shims[shim].core) != m->session)
        return;
    v->beat_of[shim] = m->session;
    v->beat_seq[shim] = m->seq;
    invariants_good (s, shim, v->sent[shim][m->seq % 64]);
    if (v->beat[shim] == s->now)
        return;
    v->before[shim] = v->beat[shim];
    v->beat[shim] = s->now;
    v->missed_before[shim] = v->missed[shim];
    v->missed[shim] = s->broker.missed;
}

void invariants_heard (struct sim *s, const struct mail *mail)
{
    int shim = shim_of_path (&mail->from.path);
    const struct msg_kill *kill = (const void *) mail->letter.fields;

    if (mail->letter.verb == VERB_KILL)
        hosts_killed (s, kill->project, kill->supervisor);
    if (shim < 0)
        return;
    if (mail->letter.verb == VERB_REQUEST)
        schedule_heard (s, (const struct msg_request *) mail->letter.fields);
    if (mail->letter.verb == VERB_BEAT)
        beat (s, shim, (const struct msg_beat *) mail->letter.fields);
    if (mail->letter.verb == VERB_HELLO)
        hosts_heard_hello (s, (const struct msg_hello *) mail->letter.fields);
    if (mail->letter.verb == VERB_HELLO)
        rules_heard_hello (s, (const struct msg_hello *) mail->letter.fields);
    if (mail->letter.verb == VERB_BYE)
        s->invariants.bye[shim] = s->now;
}

/* It said no min, and so `fair` was free to. */
static bool may_be_less (struct sim *s, const struct sim_client *c)
{
    const struct lease_record *r = disk_lease (&s->disk, c->got.at[0]);
    const struct wish *a = r ? invariants_asked (s, r->session, r->seq) : NULL;

    return c->min == c->count && (!a || (a->any && a->min == 1));
}

void invariants_served (struct sim *s, int client)
{
    const struct sim_client *c = &s->clients[client];

    s->invariants.served++;
    if (c->got.count > c->count ||
        (c->got.count < c->min && !may_be_less (s, c)))
        sim_violate (s, "I5: a command that asked for %u..%u got %u", c->min,
                     c->count, c->got.count);
}

void invariants_start (struct sim *s)
{
    if (s->disk.meta.epoch <= s->invariants.highest_epoch)
        sim_violate (s, "I3: epoch %llu after %llu", LLU (s->disk.meta.epoch),
                     LLU (s->invariants.highest_epoch));
    s->invariants.highest_epoch = s->disk.meta.epoch;
    rules_start (s);
}

/* Whom nobody could end when it was lost that he runs: he outlives what the
 * broker learns. */
static void excuse (struct sim *s)
{
    for (int i = 0; i < SIM_TREES; i++) {
        struct sim_tree *t = &s->trees[i];
        const struct sim_keeper *k = &s->keepers[t->keeper];

        if (t->alive && (!k->alive || k->life != t->keeper_life || k->stopped ||
                         s->hosts[t->host].asleep))
            t->excused = true;
    }
}

void invariants_lost (struct sim *s, bool marker)
{
    struct invariants *v = &s->invariants;

    v->lost_at = s->now;
    memset (v->idle, 0, sizeof v->idle);
    excuse (s);
    if (marker)
        return;
    v->highest_token = v->highest_epoch = 0; // under another broker id
    for (size_t i = 0; i < SIM_ASKED; i++)
        v->asked[i].session = 0;
}

/* ---- one batch, before it is committed ---- */

/* I11: what is learned was granted once. */
static void learns (struct sim *s, const struct lease_record *r)
{
    s->invariants.adopted++;
    if (!r->acked || r->token > s->invariants.highest_token)
        sim_violate (s, "I11: token %llu is granted while learning",
                     LLU (r->token));
}

static void note_where (struct sim *s, const struct lease_record *r)
{
    for (int i = 0; i < s->host_count; i++) {
        if (strcmp (s->hosts[i].name, r->host) == 0)
            s->invariants.granted_on[i] = true;
    }
}

static void new_lease (struct sim *s, const struct lease_record *r)
{
    const struct wish *a = invariants_asked (s, r->session, r->seq);

    if (s->broker.learning) {
        learns (s, r);
        return;
    }
    if (s->full)
        sim_violate (s, "token %llu is granted on a full disk", LLU (r->token));
    s->invariants.granted++;
    s->invariants.grants++;
    schedule_granted (s, r);
    note_where (s, r);
    if (r->token <= s->invariants.highest_token)
        sim_violate (s, "I3: token %llu after %llu", LLU (r->token),
                     LLU (s->invariants.highest_token));
    s->invariants.highest_token = r->token;
    if (r->state != LEASE_ACTIVE)
        sim_violate (s, "token %llu is born in state %d", LLU (r->token),
                     r->state);
    if (a && (r->count > a->count || r->count < a->min))
        sim_violate (s, "I5: asked for %u..%u, granted %u", a->min, a->count,
                     r->count);
    if (!disk_session (&s->disk, r->session))
        sim_violate (s, "token %llu is granted to no session", LLU (r->token));
}

static bool forward (enum lease_state from, enum lease_state to)
{
    if (to == LEASE_PARKED)
        return from == LEASE_ACTIVE || from == LEASE_PARKED;
    return from == LEASE_PARKED ? to != LEASE_ACTIVE : to >= from;
}

/* A tree that was parked goes on under new tokens, which are there by now: the
 * first that it does not run under yet is the one for this. */
static void comes_back (struct sim *s, const struct lease_record *was)
{
    char cookie[96];

    snprintf (cookie, sizeof cookie, "%s:%llu", s->disk.meta.broker,
              LLU (was->cookie));
    for (size_t i = 0; i < s->disk.lease_count; i++) {
        const struct lease_record *r = &s->disk.leases[i];

        if (r->session == was->session && r->cookie == was->cookie && r->tree &&
            r->token > was->token && r->state != LEASE_PARKED &&
            !trees_have (s, cookie, r->token)) {
            trees_move (s, cookie, was->token, r->token);
            return;
        }
    }
}

static void lease_changes (struct sim *s, const struct change *c)
{
    const struct lease_record *was = disk_lease (&s->disk, c->key);
    const struct lease_record *is = c->record;

    if (c->deleted && was && was->state == LEASE_LIMBO)
        s->invariants.reclaimed++;
    if (c->deleted && was && was->state == LEASE_PARKED)
        comes_back (s, was);
    if (c->deleted)
        return;
    if (!was)
        new_lease (s, is);
    else if (!forward (was->state, is->state))
        sim_violate (s, "token %llu goes from state %d to %d", LLU (c->key),
                     was->state, is->state);
    else if (was->session != is->session)
        sim_violate (s, "token %llu changes hands", LLU (c->key));
}

static int shim_of_session (const struct sim *s, const struct session_record *r)
{
    if (hosts_shim_of (s, r) >= 0)
        return hosts_shim_of (s, r);
    for (int i = 0; i < s->shim_count; i++) {
        if (strcmp (s->shims[i].project, r->project) == 0 &&
            strcmp (s->hosts[s->shims[i].host].name, r->host) == 0)
            return i;
    }
    return -1;
}

/* How long the broker has listened to this shim and heard no BEAT, in ms of
 * its clock: gaps, when it was stopped, do not count (R3). What it reads in
 * this turn comes after what has expired. */
static int64_t silence (const struct sim *s, int shim)
{
    const struct invariants *v = &s->invariants;
    bool late = v->beat[shim] == s->now;
    int64_t heard = late ? v->before[shim] : v->beat[shim];
    int64_t missed = late ? v->missed_before[shim] : v->missed[shim];

    if (heard < s->broker.started) {
        heard = s->broker.started;
        missed = 0;
    }
    return (s->now - heard) * s->hosts[0].rate / 1000 -
           (s->broker.missed - missed);
}

/* I12: lost only where the broker listened for T and heard nothing, or knows
 * better. */
static void session_goes (struct sim *s, uint64_t id)
{
    const struct session_record *r = disk_session (&s->disk, id);
    int shim = r ? shim_of_session (s, r) : -1;
    struct who who = {r ? r->shim.pid : 0, r ? r->shim.start : 0};
    int64_t silent;

    if (shim < 0)
        return;
    s->invariants.losses++;
    silent = silence (s, shim);
    if ((r->own && !process_lives (s, who)) || hosts_replaced (s, id) ||
        s->invariants.bye[shim] == s->now ||
        silent + 1 >= s->settings.timing.ttl)
        return;
    s->invariants.false_expiries++;
    sim_violate (s, "I12: session %llu is lost after %lld ms of silence",
                 LLU (id), (long long) silent);
}

void invariants_batch (struct sim *s, const struct outbox *out)
{
    if (s->broker.core)
        ledger_policy (s->broker.core->settings.policy);
    ledger_batch (&s->disk, out);
    rules_batch (s, out);
    s->invariants.granted = 0;
    s->invariants.served_count = 0;
    memset (s->invariants.granted_on, 0, sizeof s->invariants.granted_on);
    for (size_t i = 0; i < outbox_changed (out); i++) {
        struct change c = outbox_change_at (out, i);

        hosts_change (s, &c);
        if (c.kind == CHANGE_LEASE)
            lease_changes (s, &c);
        else if (c.kind == CHANGE_SESSION && c.deleted)
            session_goes (s, c.key);
        disk_apply (&s->disk, &c);
    }
}

/* ---- one batch, once it is committed ---- */

/* Not what is parked. */
static bool counts (const struct lease_record *r)
{
    return r->state != LEASE_PARKED;
}

static size_t counted (const struct sim *s)
{
    size_t count = 0;

    for (size_t i = 0; i < s->disk.lease_count; i++)
        count += counts (&s->disk.leases[i]);
    return count;
}

static unsigned held_by (const struct sim *s, const char *project)
{
    unsigned held = 0;

    for (size_t i = 0; i < s->disk.lease_count; i++)
        held += strcmp (s->disk.leases[i].project, project) == 0 &&
                counts (&s->disk.leases[i]);
    return held;
}

/* A host that health has reduced may have more in use than it allows now, but
 * not where something was granted. */
static void check_host (struct sim *s, const char *host)
{
    const struct pool *pool = pools_find (&s->broker.core->pools, host);
    unsigned count = 0;

    for (size_t i = 0; i < s->disk.lease_count; i++)
        count += strcmp (s->disk.leases[i].host, host) == 0 &&
                 counts (&s->disk.leases[i]);
    if (!pool || count > pool_effective (pool))
        sim_violate (s, "I1: granted on %s: %u in use of %u", host, count,
                     pool ? pool_effective (pool) : 0);
    else if (!response_grants (&pool->response))
        sim_violate (s, "granted on %s, which is critical", host);
}

/* Those that would not wait, and do not know yet whether they must: a broker
 * that starts again has never heard of them. */
static size_t not_waiting (const struct sim *s)
{
    const struct table *waiters = &s->broker.core->waiters;
    size_t count = 0;

    for (size_t i = 0; i < waiters->count; i++)
        count += ((const struct waiter *) waiters->at[i])->t.nowait;
    return count;
}

static void check_pool (struct sim *s)
{
    struct pool_view view;

    broker_view (s->broker.core, &view);
    if (view.in_use != counted (s))
        sim_violate (s, "I2: in_use is %u, the store has %zu leases",
                     view.in_use, counted (s));
    if (view.waiting != s->disk.waiter_count + not_waiting (s))
        sim_violate (s, "%u wait, the store has %zu", view.waiting,
                     s->disk.waiter_count);
    if (s->invariants.granted > 0 && view.in_use > view.max_slots)
        sim_violate (s, "I1: %u granted: %u in use of %u",
                     s->invariants.granted, view.in_use, view.max_slots);
    for (int i = 0; i < s->host_count; i++) {
        if (s->invariants.granted_on[i])
            check_host (s, s->hosts[i].name);
    }
}

/* R4: a remote holder outlives a power cut here. */
static void check_flushed (struct sim *s, const struct lease_record *r)
{
    if (!r->own && !disk_lease (&s->cache.flushed, r->token))
        sim_violate (s, "R4: token %llu leaves this host before it is flushed",
                     LLU (r->token));
}

static void check_whole (struct sim *s, uint64_t session, uint64_t first,
                         uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        const struct lease_record *r = disk_lease (&s->disk, first + i);

        if (r && r->session && r->session != session) // 0: a damaged row
            sim_violate (s, "token %llu is sent to another's session",
                         LLU (first + i));
        if (r)
            check_flushed (s, r);
        if (!r && first + i > s->invariants.highest_token)
            sim_violate (s, "R4: token %llu leaves before it is stored",
                         LLU (first + i));
    }
}

/* I10 */
static void check_first (struct sim *s, uint64_t session, uint64_t seq,
                         uint64_t first)
{
    struct wish *a = invariants_asked (s, session, seq);

    if (!a)
        return;
    if (a->first && a->first != first)
        sim_violate (s,
                     "I10: request %llu of session %llu is answered with "
                     "token %llu, after %llu",
                     LLU (seq), LLU (session), LLU (first), LLU (a->first));
    a->first = first;
}

static void check_sent (struct sim *s, const struct outgoing *o)
{
    const struct msg_grant *g = o->fields;
    const struct msg_beat_ok *b = o->fields;
    const struct msg_queued *q = o->fields;
    struct wish *a;

    if (o->verb == VERB_QUEUED &&
        (a = invariants_asked (s, q->session, q->seq)))
        a->paused = strcmp (q->reason, "PAUSED") == 0;
    if (o->verb == VERB_GRANT) {
        check_whole (s, g->session, g->first, g->count);
        check_first (s, g->session, g->seq, g->first);
    }
    for (uint32_t i = 0; o->verb == VERB_BEAT_OK && i < b->grants_count; i++) {
        check_whole (s, b->session, b->grants[i].first, b->grants[i].count);
        check_first (s, b->session, b->grants[i].seq, b->grants[i].first);
    }
}

/* What is parked is not counted: but only while somebody wants it to be. */
static void check_counted (struct sim *s, const struct sim_tree *t,
                           uint64_t token)
{
    const struct lease_record *r = disk_lease (&s->disk, token);

    if (!r)
        sim_violate (s, "I4: pid %d lives under token %llu, closed",
                     t->self.pid, LLU (token));
    else if (!counts (r) && t->parkers + t->orphans == 0)
        sim_violate (s, "I4: pid %d lives under token %llu, parked",
                     t->self.pid, LLU (token));
}

/* I4, token by token: whatever lives under a lease, that lease is counted.
 * While the broker learns it does not know all of it, and grants nothing. */
void invariants_trees (struct sim *s)
{
    if (s->disk.learning) {
        excuse (s);
        return;
    }
    for (int i = 0; i < SIM_TREES; i++) {
        const struct sim_tree *t = &s->trees[i];

        for (unsigned n = 0; t->alive && !t->excused && n < t->under.count;
             n++) {
            if (!hosts_excuse (s, t))
                check_counted (s, t, t->under.at[n]);
        }
    }
}

void invariants_committed (struct sim *s, const struct outbox *out)
{
    check_pool (s);
    for (size_t i = 0; i < outbox_sent (out); i++) {
        struct outgoing o = outbox_outgoing (out, i);

        check_sent (s, &o);
    }
    if (outbox_changed (out) > 0)
        invariants_trees (s);
}

/* ---- after a round ---- */

/* One pool's queue, in order: the pools of all hosts share the whole. */
struct walk {
    const char *skipped[SIM_SHIMS]; // borrowed from sessions
    int skipped_count;
    unsigned effective;
    int64_t free, in_all; // there, and over all hosts
    const char *counted;  // the project counted last,
    unsigned held;        // and its slots
};

static bool skipped (const struct walk *w, const char *project)
{
    for (int i = 0; i < w->skipped_count; i++) {
        if (strcmp (w->skipped[i], project) == 0)
            return true;
    }
    return false;
}

/* May this one be skipped: too large for the reduced pool, or its project at
 * its cap, and then everything of that project behind it. */
static bool skip (struct sim *s, struct walk *w, const struct waiter_record *r)
{
    const struct session_record *from = disk_session (&s->disk, r->session);

    if (!from) {
        sim_violate (s, "waiter %llu has no session", LLU (r->number));
        return true;
    }
    if (skipped (w, from->project))
        return true;
    if (!w->counted || strcmp (w->counted, from->project) != 0) {
        w->counted = from->project;
        w->held = held_by (s, from->project);
    }
    if (r->min <= w->effective &&
        w->held + r->min <= schedule_cap (s, from->project) &&
        !schedule_paused (s, from->project))
        return false;
    if (w->skipped_count < SIM_SHIMS)
        w->skipped[w->skipped_count++] = from->project;
    return true;
}

/* A parked tree that wants to go on stands where its project's first request
 * on its host does, and before that. */
static uint64_t place_of_waiter (const struct sim *s,
                                 const struct waiter_record *r)
{
    const struct session_record *mine =
        r->parked ? disk_session (&s->disk, r->session) : NULL;

    for (size_t i = 0; mine && i < s->disk.waiter_count; i++) {
        const struct waiter_record *o = &s->disk.waiters[i];
        const struct session_record *from = disk_session (&s->disk, o->session);

        if (o->number > r->number)
            break;
        if (!o->parked && from && strcmp (from->project, mine->project) == 0 &&
            strcmp (from->host, mine->host) == 0)
            return 2 * o->number;
    }
    return 2 * r->number + 1;
}

/* The next in order after these; NULL: there are no more. */
static const struct waiter_record *
next_in_line (const struct sim *s, const struct waiter_record *after)
{
    const struct waiter_record *next = NULL;
    uint64_t from = after ? place_of_waiter (s, after) : 0, best = 0;

    for (size_t i = 0; i < s->disk.waiter_count; i++) {
        const struct waiter_record *r = &s->disk.waiters[i];
        uint64_t place = place_of_waiter (s, r);

        if (after &&
            (place < from || (place == from && r->number <= after->number)))
            continue;
        if (!next || place < best) {
            next = r;
            best = place;
        }
    }
    return next;
}

static bool waits_on (const struct sim *s, const struct waiter_record *r,
                      const char *host)
{
    const struct session_record *from = disk_session (&s->disk, r->session);

    return !from || strcmp (from->host, host) == 0;
}

/* Two hosts claim to be this one: it was told so, and nothing else since. */
static bool told_paused (struct sim *s, const struct waiter_record *r)
{
    const struct wish *a = invariants_asked (s, r->session, r->seq);

    return !a || a->paused;
}

/* Is an older one on another host first, of all (it waits for the sum) or of
 * its project (for the cap)? */
static bool held_back (const struct sim *s, const struct walk *w,
                       const struct waiter_record *r, const char *host)
{
    const struct session_record *mine = disk_session (&s->disk, r->session);

    for (size_t i = 0; i < s->disk.waiter_count; i++) {
        const struct waiter_record *o = &s->disk.waiters[i];
        const struct session_record *from = disk_session (&s->disk, o->session);

        if (place_of_waiter (s, o) >= place_of_waiter (s, r))
            continue;
        if (!from || strcmp (from->host, host) == 0)
            continue;
        if (o->min > w->in_all || (strcmp (from->project, mine->project) == 0 &&
                                   held_by (s, from->project) + o->min >
                                       schedule_cap (s, from->project)))
            return true;
    }
    return false;
}

/* L1, for first in, first out. */
/* What has just started may not be seen in its load yet. */
static bool is_ramping (const struct sim *s, const struct pool *pool)
{
    const struct settings *set = &s->broker.core->settings;
    unsigned credit = ramp_credit (&pool->ramp);

    return credit > 0 && pool->health.sampled &&
           pool->health.sample.load1 + credit >=
               settings_limits (set, pool->cores).load_average;
}

static void check_queue (struct sim *s, const struct pool_view *view,
                         const struct pool *pool)
{
    const char *host = pool->host;
    int64_t here = (int64_t) pool_effective (pool) - pool->in_use;
    struct walk w = {.effective = pool_effective (pool),
                     .in_all = (int64_t) view->max_slots - view->in_use};

    w.free = here < w.in_all ? here : w.in_all;
    if (!response_grants (&pool->response) || is_ramping (s, pool))
        return;
    for (const struct waiter_record *r = NULL; (r = next_in_line (s, r));) {
        if (!waits_on (s, r, host) || skip (s, &w, r))
            continue;
        if (r->min <= w.free && told_paused (s, r))
            continue;
        if (hosts_contested (s, r->session))
            return;
        if (r->min <= w.free && !held_back (s, &w, r, host))
            sim_violate (s,
                         "L1: %lld free, and request %llu of session %llu on "
                         "%s waits for %u of %u",
                         (long long) w.free, LLU (r->seq), LLU (r->session),
                         host, r->min, r->count);
        return;
    }
}

static void inspect (struct sim *s, struct event *e);

void invariants_round (struct sim *s)
{
    struct pool_view view;

    hosts_batch (s);
    kills_batch (s);
    if (!s->invariants.inspecting) {
        s->invariants.inspecting = true;
        sim_later (s, s->now + INSPECT_MS, ACTOR_WORLD, 0, 0, inspect, 0, 0,
                   NULL);
    }
    schedule_round (s);
    if (s->disk.waiter_count == 0 || !s->broker.core)
        return;
    broker_view (s->broker.core, &view);
    s->invariants.effective = view.effective;
    if (s->broker.learning || s->full)
        return; // then it may be that nobody is eligible
    if (s->broker.core->settings.policy == POLICY_FIFO &&
        s->settings.grant_burst == MAX_SLOTS) {
        for (size_t i = 0; i < s->broker.core->pools.count; i++)
            check_queue (s, &view, s->broker.core->pools.at[i]);
    }
}

/* ---- what STATUS says ---- */

bool invariants_ask (struct sim *s)
{
    return s->disk.waiter_count > 0 &&
           s->invariants.rounds++ % REASONS_EVERY == 0;
}

/* On that host: health may have reduced it and no other. */
static int64_t free_on (const struct msg_status_ok *m, const char *host)
{
    int64_t all = (int64_t) m->max_slots - (int64_t) m->in_use, here;

    for (uint32_t i = 0; i < m->hosts_count; i++) {
        const struct row_host *row = &m->hosts[i];

        if (strcmp (row->host, host) != 0)
            continue;
        here = (int64_t) row->effective - (int64_t) row->in_use;
        return here < all ? here : all;
    }
    return all;
}

/* What those before it want, who are not skipped, and what it lacks itself. */
static void check_ahead (struct sim *s, const struct msg_status_ok *m,
                         const struct row_waiter *w, int64_t before)
{
    int64_t free = free_on (m, w->host);
    int64_t wants = (int64_t) (w->min ? w->min : w->count);
    int64_t ahead = before + wants - free;

    if ((int64_t) w->slots_ahead != (ahead > 0 ? ahead : 0))
        sim_violate (s,
                     "%s waits for %lld with %lld free and %lld before it: "
                     "%llu ahead",
                     w->project, (long long) wants, (long long) free,
                     (long long) before, LLU (w->slots_ahead));
}

static void check_row (struct sim *s, const struct row_waiter *w,
                       unsigned position)
{
    if (!w->reason[0])
        sim_violate (s, "a waiter of %s has no reason", w->project);
    if (w->position != position)
        sim_violate (s, "waiter %u of %s has position %llu", position, w->host,
                     LLU (w->position));
}

static void check_rows (struct sim *s, const struct msg_status_ok *m,
                        const char *host)
{
    unsigned position = 0;
    bool skipping = false;
    int64_t before = 0;

    for (uint32_t i = 0; i < m->queue_count; i++) {
        const struct row_waiter *w = &m->queue[i];

        if (strcmp (w->host, host) != 0)
            continue;
        check_row (s, w, ++position);
        skipping = skipping || strcmp (w->reason, "CAP") == 0 ||
                   strcmp (w->reason, "PAUSED") == 0 ||
                   strcmp (w->reason, "HEALTH") == 0 ||
                   (strcmp (w->reason, "PACING") == 0 &&
                    strcmp (m->policy, "fair") == 0); // it is gathered
        if (!skipping || strcmp (w->reason, "SLOTS") == 0)
            check_ahead (s, m, w, skipping ? 0 : before);
        before += (int64_t) w->count;
    }
}

/* The page is as of the end of the round, and so is the store. */
void invariants_status (struct sim *s, const struct msg_status_ok *m)
{
    if (m->queue_total != s->disk.waiter_count + not_waiting (s))
        sim_violate (s, "STATUS shows %llu waiters of %zu",
                     LLU (m->queue_total), s->disk.waiter_count);
    if (m->in_use != counted (s))
        sim_violate (s, "STATUS shows %llu in use of %zu", LLU (m->in_use),
                     counted (s));
    for (int i = 0; i < s->host_count; i++)
        check_rows (s, m, s->hosts[i].name);
}

/* ---- each half second ---- */

static struct idle *idle_of (struct sim *s, uint64_t token)
{
    struct idle *all = s->invariants.idle;

    for (size_t i = 0; i < SIM_IDLE; i++) {
        if (all[i].token == token)
            return &all[i];
    }
    for (size_t i = 0; i < SIM_IDLE; i++) {
        if (all[i].token && disk_lease (&s->disk, all[i].token))
            continue;
        all[i] = (struct idle){.token = token};
        return &all[i];
    }
    return NULL;
}

/* Adopted from a shim that named its tree so, which state that is lost knew
 * under other tokens: its cookie is what counts (2, "Own host"). */
static bool has_cookie (const struct sim *s, const struct lease_record *r)
{
    struct mark mark = {.since = 0};

    snprintf (mark.cookie, sizeof mark.cookie, "%s:%llu", s->disk.meta.broker,
              LLU (r->token));
    return r->run && !r->cookie && r->first == r->token &&
           tree_lives (s, 0, &mark);
}

/* Nothing under it lives, and nobody's word is awaited. */
static bool unused (const struct sim *s, const struct lease_record *r)
{
    struct who who = {r->supervisor.pid, r->supervisor.start};

    for (int i = 0; i < SIM_TREES; i++) {
        if (s->trees[i].alive && tokens_have (&s->trees[i].under, r->token))
            return false;
    }
    for (int i = 0; i < SIM_KEEPERS; i++) {
        if (s->keepers[i].alive && tokens_have (&s->keepers[i].under, r->token))
            return false;
    }
    if (has_cookie (s, r))
        return false;
    return r->run || !process_lives (s, who);
}

static void look_at (struct sim *s, const struct lease_record *r)
{
    struct idle *n = idle_of (s, r->token);

    if (!n)
        return;
    n->looks =
        r->own && s->broker.alive && !s->broker.stopped && host_runs (s, 0) &&
                (r->state == LEASE_LIMBO || hosts_lost (s, r->session)) &&
                unused (s, r)
            ? n->looks + 1
            : 0;
    if (n->looks > IDLE_MS / INSPECT_MS)
        sim_violate (s, "L3: token %llu stays in LIMBO", LLU (r->token));
}

/* Slots under which a tree lives, or that somebody who lives has reserved. */
static unsigned used (const struct sim *s)
{
    unsigned count = trees_count (s);

    for (size_t i = 0; i < s->disk.lease_count; i++) {
        const struct lease_record *r = &s->disk.leases[i];
        struct who who = {r->supervisor.pid, r->supervisor.start};

        count += !r->run && !r->tree && r->state == LEASE_ACTIVE &&
                 process_lives (s, who);
    }
    return count;
}

static void measure (struct sim *s)
{
    unsigned count = used (s), most = s->invariants.effective;

    s->invariants.used_ms += (count < most ? count : most) * INSPECT_MS;
    s->invariants.offered_ms += (uint64_t) most * INSPECT_MS;
}

/* It has just woken, and has not looked what time it is. */
static bool broker_is_behind (const struct sim *s)
{
    return s->broker.alive && host_clock (s, 0) - s->broker.turned > STALL_MS;
}

static void inspect (struct sim *s, struct event *e)
{
    if (s->disk.waiter_count > 0)
        measure (s);
    for (size_t i = 0; !broker_is_behind (s) && i < s->disk.lease_count; i++)
        look_at (s, &s->disk.leases[i]);
    if (!broker_is_behind (s))
        hosts_inspect (s);
    sim_later (s, e->at + INSPECT_MS, ACTOR_WORLD, 0, 0, inspect, 0, 0, NULL);
}

/* ---- in the end ---- */

void invariants_agreement (struct sim *s)
{
    uint64_t tokens[MAX_HELD];

    for (int i = 0; i < s->shim_count && s->broker.alive; i++) {
        const struct sim_shim *sh = &s->shims[i];
        size_t held = sh->alive ? shim_holds (sh->core, tokens, MAX_HELD) : 0;
        uint64_t session = sh->alive ? shim_session (sh->core) : 0;
        size_t stored = 0;

        for (size_t n = 0; n < s->disk.lease_count; n++)
            stored += session && s->disk.leases[n].session == session;
        for (size_t n = 0; n < held; n++) {
            if (!disk_lease (&s->disk, tokens[n]))
                sim_violate (s, "I7: %s holds token %llu, closed",
                             shim_label (s, i), LLU (tokens[n]));
        }
        if (held != stored)
            sim_violate (s, "%s holds %zu slots, the broker says %zu",
                         shim_label (s, i), held, stored);
    }
}

void invariants_empty (struct sim *s)
{
    for (size_t i = 0; i < s->disk.lease_count; i++)
        sim_violate (s, "liveness: token %llu of %s is left in state %d",
                     LLU (s->disk.leases[i].token), s->disk.leases[i].project,
                     s->disk.leases[i].state);
    for (size_t i = 0; i < s->disk.waiter_count; i++)
        sim_violate (s, "liveness: waiter %llu is left",
                     LLU (s->disk.waiters[i].number));
    for (int i = 0; i < s->shim_count; i++) {
        if (s->shims[i].alive)
            sim_violate (s, "liveness: shim %s does not end",
                         shim_label (s, i));
    }
    for (size_t i = 0; i < s->disk.session_count; i++)
        sim_violate (s, "liveness: session %llu is left",
                     LLU (s->disk.sessions[i].id));
    if (trees_count (s) > 0)
        sim_violate (s, "liveness: %u slots' trees live", trees_count (s));
}
