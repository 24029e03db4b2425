/* SPDX-License-Identifier: MPL-2.0 */
#include "simulation/invariants_hosts.h"

#include <string.h>

#define LLU(n) ((unsigned long long) (n))

enum { SOON_MS = 100, LEAST_MS = 1000 };

/* ---- who spoke ---- */

static size_t known (const struct sim *s)
{
    uint64_t count = s->invariants.speaker_count;

    return count < SIM_SPEAKERS ? (size_t) count : SIM_SPEAKERS;
}

static struct speaker *by_nonce (const struct sim *s, uint64_t nonce)
{
    for (size_t i = 0; i < known (s); i++) {
        const struct speaker *p = &s->invariants.speakers[i];

        if (nonce && p->nonce == nonce)
            return (struct speaker *) p;
    }
    return NULL;
}

static struct speaker *by_session (const struct sim *s, uint64_t session)
{
    for (size_t i = 0; i < known (s); i++) {
        const struct speaker *p = &s->invariants.speakers[i];

        if (session && p->session == session)
            return (struct speaker *) p;
    }
    return NULL;
}

/* In the place of the oldest, but who has a session is remembered: it may be
 * old, and starts of the broker give it a full T each (R5). */
static struct speaker *new_speaker (struct sim *s)
{
    struct invariants *v = &s->invariants;

    for (size_t i = 0; i < SIM_SPEAKERS; i++) {
        struct speaker *p = &v->speakers[v->speaker_count++ % SIM_SPEAKERS];

        if (!disk_session (&s->disk, p->session))
            return p;
    }
    sim_violate (s, "too many sessions for this world");
    return &v->speakers[0];
}

void hosts_said_hello (struct sim *s, int shim, const struct msg_hello *m)
{
    struct invariants *v = &s->invariants;
    struct speaker *p = by_nonce (s, m->nonce);

    if (p)
        return;
    p = new_speaker (s);
    *p = (struct speaker){.nonce = m->nonce,
                          .order = v->speaker_count,
                          .shim = shim,
                          .life = s->shims[shim].life,
                          .heard = -1,
                          .ended = -1};
    copy_text (p->machine, sizeof p->machine, m->machine);
    copy_text (p->boot, sizeof p->boot, m->boot);
    copy_text (p->project, sizeof p->project, m->project);
}

void hosts_said_request (struct sim *s, const struct msg_request *m)
{
    struct invariants *v = &s->invariants;
    size_t at = (m->session + m->seq) % SIM_SAID;

    if (v->first_said[at].session == m->session &&
        v->first_said[at].seq == m->seq)
        return;
    v->first_said[at].session = m->session;
    v->first_said[at].seq = m->seq;
    v->first_said[at].at = s->now;
}

void hosts_heard_hello (struct sim *s, const struct msg_hello *m)
{
    struct speaker *p = by_nonce (s, m->nonce);

    if (!p)
        return;
    p->heard = s->now;
    s->invariants.newcomer = p;
}

static void heard_now (struct sim *s, struct speaker *p)
{
    p->beaten = s->now;
    p->missed = s->broker.missed;
    p->gaps = s->broker.gaps;
}

void hosts_heard_beat (struct sim *s, const struct msg_beat *m)
{
    struct speaker *p = by_session (s, m->session);

    if (!p || (m->seq <= p->beat && p->beaten >= s->broker.started))
        return; // a broker that has just started takes any for new
    p->beat = m->seq;
    heard_now (s, p);
}

int hosts_shim_of (const struct sim *s, const struct session_record *r)
{
    const struct speaker *p = by_nonce (s, r->nonce);

    return p ? p->shim : -1;
}

static bool is_lost (const struct sim *s, const struct speaker *p)
{
    return !s->shims[p->shim].alive || s->shims[p->shim].life != p->life;
}

bool hosts_lost (const struct sim *s, uint64_t session)
{
    const struct speaker *p = by_session (s, session);

    return p && is_lost (s, p);
}

/* A copy with the same boot_id answers for what it cannot see. */
static bool is_copied (const struct sim *s, int host)
{
    for (int i = 0; i < s->host_count; i++) {
        if (s->hosts[i].same_boot &&
            host_identity (s, i) == host_identity (s, host))
            return true;
    }
    return false;
}

/* By a later one: a HELLO that was long under way takes nobody's place. */
bool hosts_replaced (const struct sim *s, uint64_t session)
{
    const struct speaker *of = by_session (s, session);

    for (size_t i = 0; of && i < known (s); i++) {
        const struct speaker *p = &s->invariants.speakers[i];

        if (p->nonce && p != of && p->heard == s->now &&
            strcmp (p->machine, of->machine) == 0 &&
            strcmp (p->project, of->project) == 0 &&
            strcmp (p->boot, of->boot) == 0 &&
            (p->order > of->order || is_copied (s, s->shims[p->shim].host)))
            return true;
    }
    return false;
}

/* ---- two hosts with one identity ---- */

/* By the broker's clock, which did not see all of it. */
static int64_t broker_ms (const struct sim *s, int64_t since)
{
    return (s->now - since) * s->hosts[0].rate / 1000;
}

/* Its shim had a session that this one took over: and it speaks again. */
static bool is_succeeded (const struct sim *s, const struct speaker *p,
                          const struct speaker *heir)
{
    for (size_t i = 0; i < known (s); i++) {
        const struct speaker *old = &s->invariants.speakers[i];

        if (old->nonce && old->shim == p->shim && old->life == p->life &&
            old->session && old->ended == heir->began &&
            old->ended >= s->broker.started)
            return true;
    }
    return false;
}

static bool is_rival (const struct sim *s, const struct speaker *p,
                      const struct speaker *of)
{
    if (p == of || !p->nonce || p->session || // late: of a session that is over
        strcmp (p->machine, of->machine) != 0 || p->heard <= of->began ||
        p->heard < s->broker.started)
        return false;
    if (strcmp (p->boot, of->boot) != 0)
        return true;
    return strcmp (p->project, of->project) == 0 &&
           (p->shim != of->shim || p->life != of->life) &&
           is_succeeded (s, p, of);
}

static bool is_contested (const struct sim *s, const struct speaker *of,
                          int64_t within)
{
    // the kernel vouches for the boot of the broker's own host
    if (of && s->hosts[s->shims[of->shim].host].own)
        return false;
    for (size_t i = 0; of && i < known (s); i++) {
        const struct speaker *p = &s->invariants.speakers[i];

        if (is_rival (s, p, of) && broker_ms (s, p->heard) + 2 < within)
            return true;
    }
    return false;
}

/* As far as the broker may go in that, which may take a late copy for a host,
 * and remembers for longer where it did not listen. */
bool hosts_contested (const struct sim *s, uint64_t session)
{
    const struct speaker *of = by_session (s, session);
    int64_t within = 3 * s->settings.timing.ttl + s->broker.missed;

    for (size_t i = 0; of && i < known (s); i++) {
        const struct speaker *p = &s->invariants.speakers[i];

        if (p->nonce && p != of && p->heard > of->began &&
            broker_ms (s, p->heard) < within &&
            strcmp (p->machine, of->machine) == 0 &&
            (strcmp (p->boot, of->boot) != 0 ||
             strcmp (p->project, of->project) == 0))
            return true;
    }
    return false;
}

/* ---- one change of a batch ---- */

static int64_t asked_at (const struct sim *s, const struct lease_record *r)
{
    size_t at = (r->session + r->seq) % SIM_SAID;

    if (s->invariants.first_said[at].session == r->session &&
        s->invariants.first_said[at].seq == r->seq)
        return s->invariants.first_said[at].at;
    return 0;
}

static void new_lease (struct sim *s, const struct lease_record *r)
{
    s->invariants.asked_at[r->token % SIM_SAID] = asked_at (s, r);
    if (is_contested (s, by_session (s, r->session), s->settings.timing.ttl))
        sim_violate (s,
                     "HOST_CONFLICT: session %llu is granted token %llu while "
                     "two hosts speak",
                     LLU (r->session), LLU (r->token));
}

static bool supervisor_lives (const struct sim *s, const struct process *who)
{
    for (int i = 0; i < SIM_SUPERVISORS; i++) {
        const struct sim_supervisor *sup = &s->supervisors[i];

        if (sup->alive && sup->self.pid == who->pid &&
            sup->self.start == who->start)
            return true;
    }
    return false;
}

/* Reservations and bound slots go by the word or the end of those whose they
 * are: not for time, not by a stranger's end, and bound ones not by KILL. Of a
 * GRANT that was never acknowledged nobody may know. */
static void check_word (struct sim *s, const struct lease_record *r)
{
    const struct speaker *p = by_session (s, r->session);
    int64_t since = s->invariants.asked_at[r->token % SIM_SAID];
    const struct sim_shim *shim;

    if (r->tree || r->run || !r->acked || !p || (p->ended >= 0 && !r->own) ||
        !supervisor_lives (s, &r->supervisor))
        return;
    shim = &s->shims[p->shim];
    if (shim->doubt >= since || (!r->bound && shim->killed >= since) ||
        s->invariants.bye[p->shim] == s->now)
        return;
    sim_violate (s, "token %llu, %s of pid %d, is freed by nobody's word",
                 LLU (r->token), r->bound ? "bound" : "a reservation",
                 r->supervisor.pid);
}

static void session_changes (struct sim *s, const struct change *c)
{
    const struct session_record *r = c->record;
    struct speaker *p =
        c->deleted ? by_session (s, c->key) : by_nonce (s, r->nonce);

    if (!p)
        return;
    if (c->deleted) {
        p->ended = s->now;
    } else if (p->session != c->key) {
        p->session = c->key;
        p->began = s->now;
        heard_now (s, p);
    }
}

void hosts_change (struct sim *s, const struct change *c)
{
    const struct lease_record *was;

    if (c->kind == CHANGE_SESSION)
        session_changes (s, c);
    if (c->kind != CHANGE_LEASE)
        return;
    was = disk_lease (&s->disk, c->key);
    if (!c->deleted && !was)
        new_lease (s, c->record);
    if (c->deleted && was)
        check_word (s, was);
}

/* ---- KILL ---- */

void hosts_killed (struct sim *s, const char *project, bool supervisors)
{
    for (int i = 0; i < s->shim_count; i++) {
        struct sim_shim *sh = &s->shims[i];

        if (strcmp (sh->project, project) != 0)
            continue;
        sh->killed = s->now;
        if (supervisors)
            sh->condemned = s->now;
    }
}

void hosts_ends_supervisor (struct sim *s, int supervisor)
{
    const struct sim_supervisor *sup = &s->supervisors[supervisor];

    for (int i = 0; i < s->shim_count; i++) {
        if (sup->bound && s->shims[i].condemned >= sup->bound_since)
            return;
    }
    sim_violate (s, "I8: supervisor %d is ended, who was not meant",
                 sup->self.pid);
}

/* ---- I4 ---- */

static const struct sim_keeper *keeper_of (const struct sim *s,
                                           const struct sim_tree *t)
{
    const struct sim_keeper *k = &s->keepers[t->keeper];

    return k->alive && k->life == t->keeper_life ? k : NULL;
}

/* Its keeper and its `run` are dead: the shim that knew them ends it, unless
 * that one is dead too, or stopped. */
static bool is_forsaken (const struct sim *s, const struct sim_tree *t)
{
    const struct sim_shim *sh = &s->shims[t->shim];

    if (keeper_of (s, t) || t->adopted)
        return false;
    return !sh->alive || sh->life != t->shim_life || sh->stopped ||
           s->now <= sh->continued + t->kill + SOON_MS;
}

/* Nothing of it has run while the host slept; who wakes up late kills at once
 * (R8). */
static bool is_waking (const struct sim *s, const struct sim_tree *t)
{
    const struct sim_host *h = &s->hosts[t->host];

    return h->asleep || (h->woke && s->now <= h->woke + t->kill + SOON_MS);
}

bool hosts_excuse (const struct sim *s, const struct sim_tree *t)
{
    if (s->hosts[t->host].own)
        return false;
    return is_forsaken (s, t) || is_waking (s, t) || is_copied (s, t->host);
}

/* ---- after a batch ---- */

/* How long the broker has not heard it, as far as it listened; `ret_fuzz`: how
 * much longer it may have taken that for. */
static int64_t silence (const struct sim *s, const struct speaker *p,
                        int64_t *ret_fuzz)
{
    int64_t beat = s->settings.timing.beat;
    int64_t stall = beat < 250 ? 250 : beat > LEAST_MS ? LEAST_MS : beat;
    bool before = p->beaten < s->broker.started;
    int64_t since = before ? s->broker.started : p->beaten;

    *ret_fuzz = 2 * stall * (s->broker.gaps - (before ? 0 : p->gaps));
    return broker_ms (s, since) - (s->broker.missed - (before ? 0 : p->missed));
}

static bool is_old_boot (const struct speaker *p, const struct speaker *of)
{
    return p->nonce && strcmp (p->machine, of->machine) == 0 &&
           strcmp (p->boot, of->boot) != 0;
}

static bool old_boots_are_silent (const struct sim *s, const struct speaker *of)
{
    for (size_t i = 0; i < known (s); i++) {
        const struct speaker *p = &s->invariants.speakers[i];
        int64_t fuzz, silent = silence (s, p, &fuzz);

        if (is_old_boot (p, of) && p->session &&
            silent < s->settings.timing.ttl + fuzz + 2)
            return false;
    }
    return true;
}

/* A machine that has rebooted has its slots back T after its last beat: with
 * the next HELLO. */
static void check_reboot (struct sim *s, const struct speaker *new)
{
    if (!new || !s->broker.alive || (new->session &&new->began < s->now) ||
        !old_boots_are_silent (s, new) ||
        is_copied (s, s->shims[new->shim].host)) // in conflict, maybe
        return;
    for (size_t i = 0; i < s->disk.lease_count; i++) {
        const struct lease_record *r = &s->disk.leases[i];

        if (!r->own && strcmp (r->machine, new->machine) == 0 &&
            strcmp (r->boot, new->boot) != 0)
            sim_violate (s, "L3: token %llu outlives the boot it was for",
                         LLU (r->token));
    }
}

void hosts_batch (struct sim *s)
{
    check_reboot (s, s->invariants.newcomer);
    s->invariants.newcomer = NULL;
}

/* ---- from time to time ---- */

/* L3, elsewhere than on the own host. */
static void check_far (struct sim *s, const struct lease_record *r)
{
    const struct timing *t = &s->settings.timing;
    const struct speaker *p = r->own ? NULL : by_session (s, r->session);
    int64_t fuzz, silent;

    if (!p)
        return;
    silent = silence (s, p, &fuzz);
    if (silent > t->ttl + t->lock_delay + LEAST_MS + fuzz)
        sim_violate (s, "L3: token %llu is held for nobody", LLU (r->token));
}

/* L4. */
static void check_waiter (struct sim *s, const struct waiter_record *r)
{
    const struct speaker *p = by_session (s, r->session);
    int64_t fuzz, silent;

    if (!p || !is_lost (s, p))
        return;
    silent = silence (s, p, &fuzz);
    if (silent > s->settings.timing.ttl + LEAST_MS + fuzz)
        sim_violate (s, "L4: request %llu of session %llu waits for nobody",
                     LLU (r->seq), LLU (r->session));
}

void hosts_inspect (struct sim *s)
{
    if (!s->broker.alive || s->broker.stopped || s->hosts[0].asleep)
        return;
    for (size_t i = 0; i < s->disk.lease_count; i++)
        check_far (s, &s->disk.leases[i]);
    for (size_t i = 0; i < s->disk.waiter_count; i++)
        check_waiter (s, &s->disk.waiters[i]);
}
