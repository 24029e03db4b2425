/* SPDX-License-Identifier: MPL-2.0 */
/* What the store had, and the start: a restart is part of the protocol.
 *
 * Rows are believed one by one: whatever they say, tokens and numbers rise
 * from above them.
 */
#include "core/broker.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "core/answers.h"
#include "core/endings.h"
#include "core/forecast.h"
#include "core/ledger.h"
#include "core/memory.h"

void broker_restore_session (struct broker *b, const struct session_record *r)
{
    struct session_record known = *r;

    if (!r->id || sessions_find (&b->sessions, r->id))
        return;
    known.ttl_ms = state_credible_ttl (r->ttl_ms);
    ledger_begin (b, &known, b->turned, NULL);
}

static void above (uint64_t *next, uint64_t used)
{
    if (*next <= used)
        *next = used + 1;
}

/* Nobody knows what it is good for any more. */
static void stray (struct broker *b, enum change_kind kind, uint64_t key)
{
    b->strays = resized (b->strays, b->stray_count + 1, sizeof *b->strays);
    b->strays[b->stray_count++] = (struct stray){kind, key};
}

void broker_restore_lease (struct broker *b, const struct lease_record *r)
{
    struct lease *l;

    above (&b->next_token, r->token);
    if (!r->token || leases_find (&b->leases, r->token))
        return;
    l = ledger_add_lease (b, r, NULL);
    if (r->state != LEASE_ACTIVE && r->state != LEASE_KILLING)
        l->r.state = r->state == LEASE_PARKED ? LEASE_PARKED : LEASE_LIMBO;
}

void broker_restore_waiter (struct broker *b, const struct waiter_record *r)
{
    struct session *s = sessions_find (&b->sessions, r->session);

    above (&b->next_number, r->number);
    if (!r->number || table_find (&b->waiters, r->number))
        return;
    if (!s || session_number (s, r->seq) || !session_fits (s)) {
        stray (b, CHANGE_WAITER, r->number);
        return;
    }
    session_accept (s, r->seq);
    ledger_wait (b, s, r)->stored = true;
}

/* Can a broker have written it? */
static bool says_something (const struct project_record *r)
{
    return project_key_valid (r->name) && (r->paused || r->prioritised) &&
           r->priority <= MAX_PRIORITY;
}

void broker_restore_project (struct broker *b, const struct project_record *r)
{
    struct project *p;

    above (&b->next_number, r->number);
    if (!r->number)
        return;
    p = projects_find (&b->projects, r->name);
    if (p && p->said.number == r->number)
        return;
    if (!says_something (r) || (p && p->said.number) ||
        !projects_may_say (&b->projects, r->name)) {
        stray (b, CHANGE_PROJECT, r->number);
        return;
    }
    p = projects_have (&b->projects, r->name, &b->settings);
    p->said = *r;
    project_configure (p, &b->settings);
    b->changes++;
}

void broker_restore_duration (struct broker *b, const char *project,
                              const char *label, int64_t run_ms)
{
    forecasts_learn (b->forecasts, project, label, run_ms);
}

void broker_restore_memory (struct broker *b, const char *project,
                            const char *label, uint64_t bytes)
{
    forecasts_learn_memory (b->forecasts, project, label, bytes);
}

void broker_restore_damaged (struct broker *b, uint64_t token)
{
    struct lease_record r = {
        .token = token,
        .state = LEASE_LIMBO,
        .since = b->turned,
        .granted = b->turned,
        .first = token,
        .count = 1,
        .asked = 1,
        .percent = NAN,
    };
    struct lease *l;

    above (&b->next_token, token);
    if (token == 0 || leases_find (&b->leases, token))
        return;
    copy_text (r.project, sizeof r.project, "damaged");
    copy_text (r.host, sizeof r.host, b->self.host);
    l = ledger_add_lease (b, &r, NULL);
    l->damaged = true;
    l->until = INT64_MAX; // an administrator's word
}

/* Of this machine, however it came: that boot is over. */
static bool is_old_boot (const struct broker *b, bool own, const char *machine,
                         const char *boot)
{
    return (own || strcmp (machine, b->self.machine) == 0) &&
           strcmp (boot, b->self.boot) != 0;
}

static void lose_old_boots (struct broker *b, int64_t now, struct outbox *out)
{
    for (size_t i = b->sessions.count; i-- > 0;) {
        struct session *s = b->sessions.at[i];

        if (is_old_boot (b, s->r.own, s->r.machine, s->r.boot))
            ledger_lose (b, s, "rebooted", now, out);
    }
    for (size_t i = leases_count (&b->leases); i-- > 0;) {
        struct lease *l = leases_at (&b->leases, i);

        if (is_old_boot (b, l->r.own, l->r.machine, l->r.boot))
            ledger_release (b, l, "rebooted", out);
    }
}

/* Times of another boot, or of a clock that began anew, mean nothing. */
static int64_t past (int64_t then, int64_t now)
{
    return then > now ? now : then < 0 ? 0 : then;
}

/* A full T for everybody who was alive (R5); what has no holder waits as if
 * he had been lost just now. What was to be ended may not have been told. */
static void resume_lease (struct broker *b, struct lease *l, int64_t now,
                          struct outbox *out)
{
    const struct timing *t = &b->settings.timing;
    bool held = sessions_find (&b->sessions, l->r.session) != NULL;
    int64_t until =
        l->r.own ? INT64_MAX : now + state_longest_ttl (b) + t->lock_delay;

    l->r.since = past (l->r.since, now);
    l->r.granted = past (l->r.granted, now);
    l->unnamed = 0;
    if (l->damaged)
        return;
    if (l->r.state == LEASE_PARKED && (!l->r.tree || !l->r.cookie)) {
        l->r.state = LEASE_ACTIVE; // what has no tree cannot come back
        ledger_lease (b, l, out);
    }
    if (l->r.state != LEASE_LIMBO && !held)
        ledger_orphan (b, l, until, now, now, out);
    l->until = until;
    l->beaten = now;
    if (l->r.state == LEASE_KILLING)
        endings_resume (b, l, now);
}

/* Requests that nobody waits for any more, and the like. */
static void drop_strays (struct broker *b, struct outbox *out)
{
    for (size_t i = 0; i < b->stray_count; i++)
        outbox_change (out, b->strays[i].kind, b->strays[i].key, NULL);
    b->stray_count = 0;
}

/* Who wants a tree to go on that is not parked, or wants it twice, is told that
 * this is over. */
static void drop_returns (struct broker *b, struct outbox *out)
{
    for (size_t i = b->waiters.count; i-- > 0;) {
        struct waiter *w = b->waiters.at[i];
        const struct lease *l = leases_find (&b->leases, w->r.parked);

        if (w->r.parked &&
            (!l || l->r.state != LEASE_PARKED || l->r.session != w->r.session ||
             ledger_parked_waiter (b, l) != w))
            answer_dropped (b, w, ERR_EXPIRED, "nothing is parked there", out);
    }
}

void broker_start (struct broker *b, int64_t now, struct outbox *out)
{
    b->turned = now;
    drop_strays (b, out);
    lose_old_boots (b, now, out);
    for (size_t i = 0; i < b->sessions.count; i++) {
        struct session *s = b->sessions.at[i];

        s->seen = s->beaten = now;
        s->deadline = now + state_ttl (b, s);
    }
    for (size_t i = 0; i < leases_count (&b->leases); i++)
        resume_lease (b, leases_at (&b->leases, i), now, out);
    drop_returns (b, out);
    for (size_t i = 0; i < b->waiters.count; i++) {
        struct waiter *w = b->waiters.at[i];

        w->t.since = w->r.since = past (w->r.since, now);
    }
    dispatch_reorder (&b->dispatch, b->dispatch.policy);
    for (size_t i = 0; i < b->pools.count; i++)
        b->pools.at[i]->gather_until = 0; // nobody here is new
    ledger_settle (b, out);
    ledger_watch (b);
    outbox_journal (out, b->learning ? JOURNAL_WARNING : JOURNAL_INFO,
                    "start    epoch=%" PRIu64
                    " sessions=%zu leases=%zu waiting=%zu learning=%s",
                    b->meta.epoch, b->sessions.count, leases_count (&b->leases),
                    b->waiters.count, b->learning ? "true" : "false");
}
