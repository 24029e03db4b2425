/* SPDX-License-Identifier: MPL-2.0 */
#include "core/ledger.h"

#include <inttypes.h>
#include <math.h>

#include "core/answers.h"
#include "core/conduct.h"
#include "core/memory.h"
#include "core/outlook.h"

/* Marks are raised this far ahead: one flush for so many. */
enum { MARK_BLOCK = 64 };

void ledger_session (struct broker *b, const struct session *s,
                     struct outbox *out)
{
    b->changes++;
    outbox_change (out, CHANGE_SESSION, s->r.id, &s->r);
}

void ledger_lease (struct broker *b, const struct lease *l, struct outbox *out)
{
    b->changes++;
    outbox_change (out, CHANGE_LEASE, l->r.token, &l->r);
}

void ledger_meta (struct broker *b, struct outbox *out)
{
    b->changes++;
    outbox_change (out, CHANGE_META, 0, &b->meta);
    outbox_require_flush (out);
}

static bool says_nothing (const struct project_record *r)
{
    return !r->paused && !r->prioritised;
}

void ledger_project (struct broker *b, struct project *p, struct outbox *out)
{
    struct project_record *r = &p->said;
    uint64_t number = r->number;

    b->changes++;
    if (says_nothing (r)) {
        *r = (struct project_record){0};
        if (!number)
            return;
    } else if (!number) {
        number = r->number = ledger_number (b, out);
        copy_text (r->name, sizeof r->name, p->name);
    }
    outbox_change (out, CHANGE_PROJECT, number, r->number ? r : NULL);
    outbox_require_flush (out);
}

static void settle_max (struct broker *b, struct outbox *out)
{
    if (b->meta.max_slots == 0 ||
        b->meta.config_max_slots == b->config_max_slots)
        return;
    b->meta.max_slots = 0;
    ledger_meta (b, out);
}

static void settle_policy (struct broker *b, struct outbox *out)
{
    if (b->meta.policy == 0 ||
        b->meta.config_policy == 1 + (uint32_t) b->config_policy)
        return;
    b->meta.policy = 0;
    ledger_meta (b, out);
}

static void settle_priority (struct broker *b, struct project *p,
                             struct outbox *out)
{
    if (!p->said.prioritised ||
        p->said.config_priority == project_config_priority (p))
        return;
    p->said.prioritised = false;
    p->said.priority = p->said.config_priority = 0;
    ledger_project (b, p, out);
}

/* Before anybody is told of it. */
static void settle_ttl (struct broker *b, struct outbox *out)
{
    if (b->settings.timing.ttl <= b->meta.ttl_ms)
        return;
    b->meta.ttl_ms = b->settings.timing.ttl;
    ledger_meta (b, out);
}

void ledger_settle (struct broker *b, struct outbox *out)
{
    settle_ttl (b, out);
    settle_max (b, out);
    settle_policy (b, out);
    for (size_t i = 0; i < b->projects.count; i++)
        settle_priority (b, b->projects.at[i], out);
}

void ledger_watch (struct broker *b)
{
    b->watched++;
}

/* ---- leases ---- */

struct lease *ledger_add_lease (struct broker *b, const struct lease_record *r,
                                struct outbox *out)
{
    struct lease *l = new_zeroed (sizeof *l);

    l->r = *r;
    l->project = projects_have (&b->projects, r->project, &b->settings);
    l->pool = pools_have (&b->pools, r->host, &b->settings, b->turned);
    if (!l->pool) // more hosts than there may be: it still counts, here
        l->pool = b->pools.at[0];
    l->lane = dispatch_lane (&b->dispatch, l->pool, l->project);
    leases_add (&b->leases, l);
    b->changes++;
    if (out) {
        conduct_grant (b, &l->r);
        ledger_lease (b, l, out);
    }
    return l;
}

/* What wanted a parked tree to go on has nothing to wait for. */
static void end_parking (struct broker *b, const struct lease *l,
                         struct outbox *out)
{
    struct waiter *w = NULL;

    if (l->r.state == LEASE_PARKED)
        w = ledger_parked_waiter (b, l);
    if (w)
        answer_dropped (b, w, ERR_EXPIRED, "what was parked has ended", out);
}

void ledger_release (struct broker *b, struct lease *l, const char *why,
                     struct outbox *out)
{
    uint64_t token = l->r.token;

    end_parking (b, l, out);
    outbox_journal (out, JOURNAL_INFO,
                    "release  session=%" PRIu64 " project=%s token=%" PRIu64
                    " reason=%s",
                    l->r.session, l->r.project, token, why);
    conduct_record (b, l, why, out);
    if (l->r.state == LEASE_LIMBO)
        ledger_watch (b);
    leases_remove (&b->leases, l);
    b->changes++;
    outbox_change (out, CHANGE_LEASE, token, NULL);
}

void ledger_revoke (struct broker *b, struct lease *l, const char *why,
                    struct outbox *out)
{
    struct session *s = sessions_find (&b->sessions, l->r.session);

    if (s && !l->r.acked)
        session_drop (s, l->r.seq);
    ledger_release (b, l, why, out);
}

void ledger_kill (struct broker *b, struct lease *l, uint64_t kill,
                  int64_t until, int64_t now, struct outbox *out)
{
    end_parking (b, l, out);
    if (l->r.state != LEASE_KILLING)
        l->until = until;
    l->r.state = LEASE_KILLING;
    l->conduct.killed = true;
    l->r.since = now;
    l->unnamed = 0;
    l->kill = kill;
    ledger_lease (b, l, out);
}

void ledger_orphan (struct broker *b, struct lease *l, int64_t until,
                    int64_t beaten, int64_t now, struct outbox *out)
{
    l->r.state = LEASE_LIMBO;
    l->r.since = now;
    l->until = until;
    l->beaten = beaten;
    ledger_watch (b);
    ledger_lease (b, l, out);
}

/* ---- learning ---- */

static bool is_adoptable (const struct broker *b, const struct session *s,
                          uint64_t token)
{
    return b->learning && !s->foreign && token && token < b->next_token &&
           !leases_find (&b->leases, token);
}

/* It may have a tree, so it counts as a run: only proof or its holder's word
 * frees it. */
static struct lease *adopt (struct broker *b, const struct session *s,
                            uint64_t holder, uint64_t token, int64_t now,
                            struct outbox *out)
{
    struct lease_record r = {
        .token = token,
        .session = holder,
        .uid = s->r.uid,
        .own = s->r.own,
        .state = LEASE_ACTIVE,
        .since = now,
        .granted = now,
        .first = token,
        .count = 1,
        .asked = 1,
        .acked = true,
        .run = true,
        .percent = NAN,
    };

    copy_text (r.project, sizeof r.project, s->r.project);
    copy_text (r.host, sizeof r.host, s->r.host);
    copy_text (r.machine, sizeof r.machine, s->r.machine);
    copy_text (r.boot, sizeof r.boot, s->r.boot);
    outbox_journal (out, JOURNAL_INFO,
                    "adopt    session=%" PRIu64 " project=%s token=%" PRIu64,
                    s->r.id, s->r.project, token);
    if (!s->r.own)
        outbox_require_flush (out);
    return ledger_add_lease (b, &r, out);
}

bool ledger_adopt (struct broker *b, struct session *s, uint64_t token,
                   int64_t now, struct outbox *out)
{
    if (!is_adoptable (b, s, token))
        return false;
    adopt (b, s, s->r.id, token, now, out);
    return true;
}

bool ledger_adopt_limbo (struct broker *b, struct session *s, uint64_t token,
                         int64_t now, struct outbox *out)
{
    struct lease *l;

    if (!is_adoptable (b, s, token))
        return false;
    l = adopt (b, s, 0, token, now, out);
    ledger_orphan (b, l, ledger_until (b, s, now), now, now, out);
    return true;
}

/* ---- sessions ---- */

struct session *ledger_begin (struct broker *b, const struct session_record *r,
                              int64_t now, struct outbox *out)
{
    struct session *s = new_zeroed (sizeof *s);

    s->r = *r;
    s->seen = s->beaten = now;
    s->deadline = now + state_ttl (b, s);
    s->project = projects_have (&b->projects, r->project, &b->settings);
    if (r->display[0] && !s->project->configured)
        copy_text (s->project->display, sizeof s->project->display, r->display);
    s->pool = pools_have (&b->pools, r->host, &b->settings, now);
    if (!s->pool)
        s->pool = b->pools.at[0];
    pools_size (&b->pools, s->pool, r->cores, r->memory_bytes, &b->settings);
    table_add (&b->sessions, s);
    ledger_watch (b);
    b->changes++;
    if (out)
        ledger_session (b, s, out);
    return s;
}

int64_t ledger_until (const struct broker *b, const struct session *s,
                      int64_t now)
{
    int64_t from = s->deadline > now ? s->deadline : now;

    if (s->r.own)
        return INT64_MAX; // only proof
    return from + b->settings.timing.lock_delay;
}

void ledger_lose (struct broker *b, struct session *s, const char *why,
                  int64_t now, struct outbox *out)
{
    int64_t until = ledger_until (b, s, now);
    struct lease **leases;
    size_t count = leases_of (&b->leases, s->r.id, &leases);

    for (size_t i = 0; i < count; i++)
        ledger_orphan (b, leases[i], until, s->beaten, now, out);
    outbox_journal (out, JOURNAL_WARNING,
                    "lost     session=%" PRIu64
                    " project=%s limbo=%zu reason=%s",
                    s->r.id, s->r.project, count, why);
    ledger_forget (b, s, out);
}

void ledger_forget (struct broker *b, struct session *s, struct outbox *out)
{
    uint64_t id = s->r.id;

    while (s->open_count) {
        uint64_t number = s->open[s->open_count - 1].number;

        ledger_unwait (b, table_find (&b->waiters, number), out);
    }
    session_clear (s);
    table_remove (&b->sessions, id);
    ledger_watch (b);
    b->changes++;
    outbox_change (out, CHANGE_SESSION, id, NULL);
}

/* ---- waiters ---- */

static struct ticket ticket_of (const struct waiter *w)
{
    return (struct ticket){
        .number = w->r.number,
        .count = w->r.count,
        .min = w->r.min,
        .priority = w->r.priority,
        .since = w->r.since,
        .back = w->r.parked != 0,
        .holder = &w->session->holder,
    };
}

struct waiter *ledger_wait (struct broker *b, struct session *s,
                            const struct waiter_record *r)
{
    struct waiter *w = new_zeroed (sizeof *w);

    w->r = *r;
    w->session = s;
    w->t = ticket_of (w);
    session_open (s, r->seq, r->number);
    table_add (&b->waiters, w);
    dispatch_add (&b->dispatch,
                  dispatch_lane (&b->dispatch, s->pool, s->project), &w->t,
                  b->turned);
    outlook_came (&w->t);
    s->project->queued++;
    b->changes++;
    return w;
}

void ledger_store_waiter (struct broker *b, struct waiter *w,
                          struct outbox *out)
{
    b->changes++;
    w->stored = true;
    outbox_change (out, CHANGE_WAITER, w->r.number, &w->r);
}

void ledger_unwait (struct broker *b, struct waiter *w, struct outbox *out)
{
    uint64_t number = w->r.number;

    session_close (w->session, w->r.seq);
    w->session->project->queued--;
    if (w->t.lane)
        dispatch_remove (&b->dispatch, &w->t);
    if (w->stored)
        outbox_change (out, CHANGE_WAITER, number, NULL);
    b->changes++;
    table_remove (&b->waiters, number);
}

/* ---- marks ---- */

uint64_t ledger_tokens (struct broker *b, unsigned count, struct outbox *out)
{
    uint64_t first = b->next_token;

    b->next_token += count;
    if (b->next_token > b->meta.token_mark) {
        b->meta.token_mark = b->next_token + MARK_BLOCK;
        ledger_meta (b, out);
    }
    return first;
}

uint64_t ledger_number (struct broker *b, struct outbox *out)
{
    if (b->next_number + 1 > b->meta.number_mark) {
        b->meta.number_mark = b->next_number + 1 + MARK_BLOCK;
        ledger_meta (b, out);
    }
    return b->next_number++;
}
