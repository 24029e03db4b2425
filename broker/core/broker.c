/* SPDX-License-Identifier: MPL-2.0 */
/* The turns of the broker: what time does, and where messages come in. */
#include "core/broker.h"

#include <inttypes.h>
#include <string.h>

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

static void take_settings (struct broker *b, const struct settings *settings)
{
    b->settings = *settings;
    b->config_max_slots = settings->max_slots;
    b->policy = policy_of (settings->policy);
    choose_max (b);
}

struct broker *broker_create (const struct settings *settings,
                              const struct identity *self,
                              const struct meta_record *meta, bool learning,
                              int64_t now)
{
    struct broker *b = new_zeroed (sizeof *b);

    b->self = *self;
    b->meta = *meta;
    b->next_token = meta->token_mark ? meta->token_mark : 1;
    b->next_number = meta->number_mark ? meta->number_mark : 1;
    b->turned = now;
    b->learning = learning;
    b->learning_until =
        now + settings->timing.ttl + settings->timing.lock_delay;
    take_settings (b, settings);
    pools_have (&b->pools, self->host, &b->settings, now);
    return b;
}

void broker_destroy (struct broker *b)
{
    if (!b)
        return;
    table_clear (&b->sessions);
    table_clear (&b->waiters);
    leases_clear (&b->leases);
    projects_clear (&b->projects);
    pools_clear (&b->pools);
    kills_clear (&b->kills);
    snapshots_clear (&b->snapshots);
    free (b->asked);
    free (b);
}

static void log_policy (const struct broker *b, struct outbox *out)
{
    const char *wanted = policy_name (b->settings.policy);

    if (strcmp (wanted, b->policy->name) != 0)
        outbox_journal (out, JOURNAL_WARNING, "policy   wanted=%s used=%s",
                        wanted, b->policy->name);
}

/* A command that the file has overruled is not to come back with the file's
 * old value. */
static void forget_overruled_max (struct broker *b, struct outbox *out)
{
    if (b->meta.max_slots == 0
        || b->meta.config_max_slots == b->config_max_slots)
        return;
    b->meta.max_slots = 0;
    ledger_meta (b, out);
}

void broker_reload (struct broker *b, const struct settings *settings,
                    int64_t now, struct outbox *out)
{
    (void) now;
    take_settings (b, settings);
    forget_overruled_max (b, out);
    log_policy (b, out);
    outbox_journal (out, JOURNAL_INFO, "reload   max_slots=%u",
                    b->settings.max_slots);
}

/* ---- what the store had ---- */

void broker_restore_session (struct broker *b, const struct session_record *r)
{
    if (r->id && !sessions_find (&b->sessions, r->id))
        ledger_begin (b, r, b->turned, NULL);
}

void broker_restore_lease (struct broker *b, const struct lease_record *r)
{
    if (r->token && !leases_find (&b->leases, r->token))
        ledger_add_lease (b, r, NULL);
}

void broker_restore_waiter (struct broker *b, const struct waiter_record *r)
{
    struct session *s = sessions_find (&b->sessions, r->session);

    if (!s || !r->number || table_find (&b->waiters, r->number)
        || session_number (s, r->seq) || s->open_count == SEQ_WINDOW)
        return;
    ledger_wait (b, s, r)->stored = true;
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
    };
    struct lease *l;

    if (token == 0 || leases_find (&b->leases, token))
        return;
    copy_text (r.project, sizeof r.project, "damaged");
    copy_text (r.host, sizeof r.host, b->self.host);
    l = ledger_add_lease (b, &r, NULL);
    l->damaged = true;
    l->until = INT64_MAX; // an administrator's word
}

static void lose_old_boots (struct broker *b, int64_t now, struct outbox *out)
{
    for (size_t i = b->sessions.count; i-- > 0;) {
        struct session *s = b->sessions.at[i];

        if (s->r.own && strcmp (s->r.boot, b->self.boot) != 0)
            ledger_lose (b, s, "rebooted", now, out);
    }
    for (size_t i = leases_count (&b->leases); i-- > 0;) {
        struct lease *l = leases_at (&b->leases, i);

        if (l->r.own && strcmp (l->r.boot, b->self.boot) != 0)
            ledger_release (b, l, "rebooted", out);
    }
}

/* Times of another boot, or of a clock that began anew, mean nothing. */
static int64_t past (int64_t then, int64_t now)
{
    return then > now ? now : then;
}

/* A full T for everybody who was alive (R5); what has no holder waits as if
 * he had been lost just now. */
static void resume_lease (struct broker *b, struct lease *l, int64_t now,
                          struct outbox *out)
{
    const struct timing *t = &b->settings.timing;
    bool held = sessions_find (&b->sessions, l->r.session) != NULL;
    int64_t until = l->r.own ? INT64_MAX : now + t->ttl + t->lock_delay;

    l->r.since = past (l->r.since, now);
    l->r.granted = past (l->r.granted, now);
    l->unnamed = 0;
    if (l->damaged)
        return;
    if (l->r.state != LEASE_LIMBO && !held)
        ledger_orphan (b, l, until, now, now, out);
    l->until = until;
    l->beaten = now;
}

void broker_start (struct broker *b, int64_t now, struct outbox *out)
{
    b->turned = now;
    lose_old_boots (b, now, out);
    for (size_t i = 0; i < b->sessions.count; i++) {
        struct session *s = b->sessions.at[i];

        s->seen = s->beaten = now;
        s->deadline = now + b->settings.timing.ttl;
    }
    for (size_t i = 0; i < leases_count (&b->leases); i++)
        resume_lease (b, leases_at (&b->leases, i), now, out);
    for (size_t i = 0; i < b->waiters.count; i++) {
        struct waiter *w = b->waiters.at[i];

        w->r.since = past (w->r.since, now);
    }
    forget_overruled_max (b, out);
    ledger_watch (b);
    outbox_journal (out, b->learning ? JOURNAL_WARNING : JOURNAL_INFO,
                    "start    epoch=%" PRIu64
                    " sessions=%zu leases=%zu waiting=%zu learning=%s",
                    b->meta.epoch, b->sessions.count,
                    leases_count (&b->leases), b->waiters.count,
                    b->learning ? "true" : "false");
    log_policy (b, out);
}

/* ---- time ---- */

/* Every deadline moves by what the broker was not there for (R3). */
static void shift_deadlines (struct broker *b, int64_t by)
{
    for (size_t i = 0; i < b->sessions.count; i++) {
        struct session *s = b->sessions.at[i];

        s->deadline += by;
        s->seen += by;
        s->conflict_until += s->conflict_until ? by : 0;
    }
    for (size_t i = 0; i < leases_count (&b->leases); i++) {
        struct lease *l = leases_at (&b->leases, i);

        if (l->r.state == LEASE_LIMBO && l->until != INT64_MAX)
            l->until += by;
    }
    for (unsigned i = 0; i < KEPT_KILLS; i++)
        b->kills.at[i].deadline += by;
    b->learning_until += by;
}

static void expire_sessions (struct broker *b, int64_t now,
                             struct outbox *out)
{
    for (size_t i = b->sessions.count; i-- > 0;) {
        struct session *s = b->sessions.at[i];

        if (s->deadline <= now)
            ledger_lose (b, s, "silent", now, out);
    }
}

static void expire_limbo (struct broker *b, int64_t now, struct outbox *out)
{
    for (size_t i = leases_count (&b->leases); i-- > 0;) {
        struct lease *l = leases_at (&b->leases, i);

        if (l->r.state == LEASE_LIMBO && l->until <= now)
            ledger_release (b, l, "lock_delay", out);
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

    if (now > b->turned)
        b->turned = now;
    if (gap > stall) {
        shift_deadlines (b, gap + 2 * stall);
        outbox_journal (out, JOURNAL_WARNING, "stall    gap_ms=%" PRId64,
                        gap);
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
        if (s->conflict_until > now && s->open_count)
            sooner (&at, s->conflict_until);
    }
    for (size_t i = 0; i < leases_count (&b->leases); i++) {
        const struct lease *l = leases_at (&b->leases, i);

        if (l->r.state == LEASE_LIMBO)
            sooner (&at, l->until);
    }
    for (size_t i = 0; i < b->pools.count; i++) {
        if (b->pools.at[i]->paced_until)
            sooner (&at, b->pools.at[i]->paced_until);
    }
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

void broker_observe_proven (struct broker *b, uint64_t token, int64_t now,
                            struct outbox *out)
{
    struct lease *l = leases_find (&b->leases, token);

    (void) now;
    if (l && l->r.own && l->r.state == LEASE_LIMBO)
        ledger_release (b, l, "proven", out);
}

static void log_level (const struct pool *pool, struct outbox *out)
{
    enum level level = health_level (&pool->health);

    outbox_journal (out,
                    level == LEVEL_HEALTHY ? JOURNAL_INFO : JOURNAL_WARNING,
                    "health   host=\"%s\" level=%s", pool->host,
                    level_name (level));
}

void broker_observe_sample (struct broker *b, const char *host,
                            const struct sample *sample, int64_t wall,
                            int64_t now, struct outbox *out)
{
    struct pool *pool =
        host[0] ? pools_find (&b->pools, host) : b->pools.at[0];
    const struct timing *t = &b->settings.timing;
    enum level before;
    bool changed;

    if (!pool)
        return;
    before = health_level (&pool->health);
    changed = health_update (&pool->health, sample, wall, &b->settings.limits,
                             t->dwell, now);
    if (health_level (&pool->health) != before)
        log_level (pool, out);
    if (changed || now - pool->health_at >= t->health_interval)
        publish_health (b, pool, now, out);
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

void broker_round (struct broker *b, int64_t now, struct outbox *out)
{
    round_serve (b, now, out);
    answer_asked (b, now, out);
    publish_changes (b, now, out);
    projects_sweep (&b->projects);
    pools_sweep (&b->pools);
}

void broker_publish_topic (struct broker *b, const char *topic, int64_t now,
                           struct outbox *out)
{
    publish_again (b, topic, now, out);
}
