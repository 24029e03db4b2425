/* SPDX-License-Identifier: MPL-2.0 */
/* The turns of the broker: what time does, and where messages come in. */
#include "core/broker.h"

#include <inttypes.h>
#include <string.h>

#include "core/forecast.h"
#include "core/handlers.h"
#include "core/ledger.h"
#include "core/memory.h"
#include "core/publish.h"
#include "core/round.h"
#include "core/status.h"

/* ---- begin and end ---- */

/* Of file and command the later change wins: SET_MAX holds until the file
 * says something else than it did then. */
static void choose_max (struct broker *b)
{
    if (b->meta.max_slots && b->meta.config_max_slots == b->config_max_slots)
        state_set_max (b, b->meta.max_slots);
    else
        state_set_max (b, b->config_max_slots);
}

/* The same of SET_POLICY. */
static void choose_policy (struct broker *b)
{
    uint32_t said = b->meta.policy;

    if (said && said <= 1 + POLICY_PRIORITY &&
        b->meta.config_policy == 1 + (uint32_t) b->config_policy)
        state_set_policy (b, (enum policy) (said - 1));
    else
        state_set_policy (b, b->config_policy);
}

static void take_settings (struct broker *b, const struct settings *settings)
{
    b->settings = *settings;
    b->config_max_slots = settings->max_slots;
    b->config_policy = settings->policy;
    choose_max (b);
    choose_policy (b); // last: it orders the queue by what is in force now
}

struct broker *broker_create (const struct settings *settings,
                              const struct identity *self,
                              const struct meta_record *meta, bool learning,
                              int64_t now)
{
    struct broker *b = new_zeroed (sizeof *b);

    b->self = *self;
    b->meta = *meta;
    b->meta.ttl_ms = state_credible_ttl (meta->ttl_ms);
    b->next_token = meta->token_mark ? meta->token_mark : 1;
    b->next_number = meta->number_mark ? meta->number_mark : 1;
    b->turned = now;
    b->learning = learning;
    b->learning_until =
        now + settings->timing.ttl + settings->timing.lock_delay;
    b->forecasts = forecasts_create ();
    dispatch_init (&b->dispatch, &b->settings, &b->pools, &b->projects);
    take_settings (b, settings);
    pools_have (&b->pools, self->host, &b->settings, now);
    return b;
}

void broker_destroy (struct broker *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->sessions.count; i++)
        session_clear (b->sessions.at[i]);
    table_clear (&b->sessions);
    table_clear (&b->waiters);
    dispatch_drop (&b->dispatch);
    leases_clear (&b->leases);
    projects_clear (&b->projects);
    pools_clear (&b->pools);
    kills_clear (&b->kills);
    reliefs_clear (&b->reliefs);
    snapshots_clear (&b->snapshots);
    forecasts_destroy (b->forecasts);
    free (b->asked);
    free (b->unanswered);
    free (b->strays);
    free (b);
}

void broker_reload (struct broker *b, const struct settings *settings,
                    int64_t now, struct outbox *out)
{
    (void) now;
    take_settings (b, settings);
    ledger_settle (b, out);
    outbox_journal (out, JOURNAL_INFO, "reload   max_slots=%u",
                    b->settings.max_slots);
}

/* ---- time ---- */

/* Nobody could measure a tree anew meanwhile: whose the memory is was not
 * forgotten by that. No figure is of later than now. */
static void shift_footprint (struct footprint *f, int64_t by, int64_t now)
{
    if (f->at)
        f->at = f->at + by < now ? f->at + by : now;
}

/* Every deadline moves by what the broker was not there for (R3). */
static void shift_deadlines (struct broker *b, int64_t by)
{
    for (size_t i = 0; i < b->sessions.count; i++) {
        struct session *s = b->sessions.at[i];

        s->deadline += by;
        s->seen += by;
        s->reclaimed_at += s->reclaimed_at ? by : 0;
        s->beaten += by;
        s->holder.paused_until += s->holder.paused_until ? by : 0;
    }
    for (size_t i = 0; i < leases_count (&b->leases); i++) {
        struct lease *l = leases_at (&b->leases, i);

        l->beaten += by;
        l->missed += by;
        if (l->until != INT64_MAX)
            l->until += by;
        shift_footprint (&l->footprint, by, b->turned);
    }
    for (unsigned i = 0; i < KEPT_KILLS; i++)
        b->kills.at[i].deadline += by;
    reliefs_shift (&b->reliefs, by);
    for (size_t i = 0; i < b->pools.count; i++) {
        health_shift (&b->pools.at[i]->health, by);
        response_shift (&b->pools.at[i]->response, by);
        enforce_shift (&b->pools.at[i]->enforcement, by);
    }
    b->learning_until += by;
}

static void expire_sessions (struct broker *b, int64_t now, struct outbox *out)
{
    for (size_t i = b->sessions.count; i-- > 0;) {
        struct session *s = b->sessions.at[i];

        if (s->deadline > now)
            continue;
        ended_note (&b->ended, &s->r, ENDED_SILENT);
        ledger_lose (b, s, "silent", now, out);
    }
}

static void expire_limbo (struct broker *b, int64_t now, struct outbox *out)
{
    for (size_t i = leases_count (&b->leases); i-- > 0;) {
        struct lease *l = leases_at (&b->leases, i);

        if (l->r.state == LEASE_LIMBO && l->until <= now)
            ledger_release (b, l, l->rebooted ? "rebooted" : "lock_delay", out);
    }
}

static int64_t suspect_at (const struct broker *b, const struct session *s)
{
    return s->seen + 3 * b->settings.timing.beat;
}

static void suspect (struct broker *b, int64_t now, struct outbox *out)
{
    for (size_t i = 0; i < b->sessions.count; i++) {
        struct session *s = b->sessions.at[i];

        if (s->suspect || suspect_at (b, s) > now)
            continue;
        s->suspect = true;
        outbox_journal (out, JOURNAL_WARNING,
                        "suspect  session=%" PRIu64 " silent_ms=%" PRId64,
                        s->r.id, now - s->seen);
    }
}

static void end_learning (struct broker *b, int64_t now, struct outbox *out)
{
    if (!b->learning || b->learning_until > now)
        return;
    b->learning = false;
    b->changes++;
    outbox_journal (out, JOURNAL_INFO, "learned  leases=%zu",
                    leases_count (&b->leases));
}

/* Limbo before sessions: what is lost in this turn waits at least a turn. */
void broker_turn (struct broker *b, bool drained, int64_t now,
                  struct outbox *out)
{
    int64_t gap = now - b->turned, stall = state_stall (b);

    b->attentive = drained && gap <= stall;
    if (now > b->turned)
        b->turned = now;
    if (gap > stall) {
        shift_deadlines (b, gap + 2 * stall);
        outbox_journal (out, JOURNAL_WARNING, "stall    gap_ms=%" PRId64, gap);
        return;
    }
    if (!drained)
        return;
    expire_limbo (b, now, out);
    expire_sessions (b, now, out);
    suspect (b, now, out);
    end_learning (b, now, out);
    snapshots_expire (&b->snapshots, now);
}

static void sooner (int64_t *at, int64_t other)
{
    if (other < *at)
        *at = other;
}

int64_t broker_next_deadline (const struct broker *b, int64_t now)
{
    int64_t at = now + state_stall (b) / 2;

    for (size_t i = 0; i < b->sessions.count; i++) {
        const struct session *s = b->sessions.at[i];

        sooner (&at, s->deadline);
        if (!s->suspect)
            sooner (&at, suspect_at (b, s));
    }
    for (size_t i = 0; i < leases_count (&b->leases); i++) {
        const struct lease *l = leases_at (&b->leases, i);

        if (l->r.state == LEASE_LIMBO)
            sooner (&at, l->until);
    }
    for (size_t i = 0; i < b->pools.count; i++) {
        sooner (&at, response_next (&b->pools.at[i]->response));
        sooner (&at, enforce_next (&b->pools.at[i]->enforcement, now));
    }
    sooner (&at, dispatch_due (&b->dispatch, now));
    if (b->queues_due)
        sooner (&at, b->queues_due);
    if (b->learning)
        sooner (&at, b->learning_until);
    return at < now ? now : at;
}

/* ---- what comes in ---- */

void broker_step (struct broker *b, const struct peer *from,
                  const struct msg *in, uint64_t random, int64_t now,
                  struct outbox *out)
{
    struct call call = {
        .peer = from,
        .in = in,
        .random = random,
        .now = now,
        .out = out,
    };

    handlers_step (b, &call);
}

void broker_observe_gone (struct broker *b, uint64_t session, int64_t now,
                          struct outbox *out)
{
    struct session *s = sessions_find (&b->sessions, session);

    if (s && s->r.own)
        ledger_lose (b, s, "gone", now, out);
}

/* The uid as well: a peer may have chosen a routing id that was another's. */
static bool is_answered_at (const struct session *s, const struct peer *peer)
{
    const struct path *path = &peer->path;

    return s->r.uid == peer->uid && s->path.size == path->size &&
           memcmp (s->path.id, path->id, path->size) == 0;
}

bool broker_observe_malformed (struct broker *b, const struct peer *from,
                               int64_t now, struct outbox *out)
{
    bool lost = false;

    for (size_t i = b->sessions.count; i-- > 0;) {
        struct session *s = b->sessions.at[i];

        if (!is_answered_at (s, from))
            continue;
        ledger_lose (b, s, "malformed", now, out);
        lost = true;
    }
    return lost;
}

void broker_observe_proven (struct broker *b, uint64_t token, int64_t now,
                            struct outbox *out)
{
    struct lease *l = leases_find (&b->leases, token);

    (void) now;
    if (l && l->r.own && l->r.state == LEASE_LIMBO)
        ledger_release (b, l, "proven", out);
}

bool broker_knows_project (const struct broker *b, const char *project)
{
    return projects_find (&b->projects, project) != NULL;
}

bool broker_knows_supervisor (const struct broker *b, int32_t pid)
{
    for (size_t i = 0; i < leases_count (&b->leases); i++) {
        const struct lease_record *r = &leases_at (&b->leases, i)->r;

        if (r->own && r->supervisor.pid == pid)
            return true;
    }
    for (size_t i = 0; i < b->waiters.count; i++) {
        const struct waiter *w = b->waiters.at[i];

        if (w->session->r.own && w->r.supervisor.pid == pid)
            return true;
    }
    return false;
}

void broker_observe_refused (struct broker *b, uint64_t messages)
{
    b->refused_before = messages;
}

void broker_observe_disk (struct broker *b, bool full, int64_t now,
                          struct outbox *out)
{
    (void) now;
    if (b->disk_full == full)
        return;
    b->disk_full = full;
    b->changes++;
    outbox_journal (out, full ? JOURNAL_ALARM : JOURNAL_INFO,
                    "disk     full=%s", full ? "true" : "false");
}

/* ---- the end of a batch ---- */

static void answer_asked (struct broker *b, int64_t now, struct outbox *out)
{
    for (size_t i = 0; i < b->asked_count; i++)
        status_answer (b, &b->asked[i].peer, b->asked[i].project, now, out);
    b->asked_count = 0;
}

/* What the round found empty. */
static void sweep (struct broker *b, int64_t now, struct outbox *out)
{
    for (struct project *p; (p = projects_empty (&b->projects));) {
        publish_project_gone (b, p, out);
        dispatch_forget_project (&b->dispatch, p);
        projects_remove (&b->projects, p);
    }
    for (struct pool *pool;
         (pool = pools_empty (&b->pools, b->settings.grant_burst, now));) {
        publish_pool_gone (b, pool, out);
        dispatch_forget_pool (&b->dispatch, pool);
        pools_remove (&b->pools, pool);
    }
}

void broker_round (struct broker *b, int64_t now, struct outbox *out)
{
    round_serve (b, now, out);
    answer_asked (b, now, out);
    publish_changes (b, now, out);
    sweep (b, now, out);
}
