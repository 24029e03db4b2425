/* SPDX-License-Identifier: MPL-2.0 */
#include "stage.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/memory.h"
#include "core/outlook.h"
#include "core/round.h"
#include "core/state.h"

/* ---- the disk: what a commit has made of the outbox's changes ---- */

struct disk {
    struct table sessions, leases, waiters, projects;
    struct meta_record meta;
};

static struct table *table_for (struct disk *d, enum change_kind kind,
                                size_t *ret_size)
{
    switch (kind) {
    case CHANGE_SESSION:
        *ret_size = sizeof (struct session_record);
        return &d->sessions;
    case CHANGE_LEASE:
        *ret_size = sizeof (struct lease_record);
        return &d->leases;
    case CHANGE_WAITER:
        *ret_size = sizeof (struct waiter_record);
        return &d->waiters;
    case CHANGE_PROJECT:
        *ret_size = sizeof (struct project_record);
        return &d->projects;
    case CHANGE_META: break;
    }
    return NULL;
}

static void write_change (struct disk *d, const struct change *c)
{
    size_t size = 0;
    struct table *t;
    void *row;

    if (c->kind == CHANGE_META) {
        assert_true (((const struct meta_record *) c->record)->token_mark >=
                     d->meta.token_mark);
        d->meta = *(const struct meta_record *) c->record;
        return;
    }
    t = table_for (d, c->kind, &size);
    assert_non_null (t);
    assert_true (!c->deleted || table_find (t, c->key)); // no row for nothing
    table_remove (t, c->key);
    if (c->deleted)
        return;
    row = new_zeroed (size);
    memcpy (row, c->record, size);
    table_add (t, row);
}

static void commit (struct stage *st)
{
    for (size_t i = 0; i < outbox_changed (st->out); i++) {
        struct change c = outbox_change_at (st->out, i);

        write_change (st->disk, &c);
    }
}

static void clear_disk (struct disk *d)
{
    table_clear (&d->sessions);
    table_clear (&d->leases);
    table_clear (&d->waiters);
    table_clear (&d->projects);
}

static void assert_same (const struct table *rows, const struct table *known,
                         size_t size)
{
    assert_int_equal (rows->count, known->count);
    for (size_t i = 0; i < rows->count; i++)
        assert_memory_equal (rows->at[i], known->at[i], size);
}

/* ---- invariants ---- */

static unsigned counted (const struct broker *b)
{
    unsigned count = 0;

    for (size_t i = 0; i < leases_count (&b->leases); i++)
        count += leases_at (&b->leases, i)->r.state != LEASE_PARKED;
    return count;
}

static int64_t free_in (const struct broker *b, const struct pool *pool)
{
    int64_t here = pool_effective (pool);
    int64_t all = (int64_t) b->settings.max_slots + b->dispatch.bonus;

    for (size_t i = 0; i < leases_count (&b->leases); i++)
        here -= leases_at (&b->leases, i)->pool == pool &&
                leases_at (&b->leases, i)->r.state != LEASE_PARKED;
    all -= (int64_t) counted (b);
    return here < all ? here : all;
}

static unsigned held_by (const struct broker *b, const char *project)
{
    unsigned held = 0;

    for (size_t i = 0; i < leases_count (&b->leases); i++)
        held += strcmp (leases_at (&b->leases, i)->r.project, project) == 0 &&
                leases_at (&b->leases, i)->r.state != LEASE_PARKED;
    return held;
}

/* I1, I3, I6: what this batch granted. */
static void check_grant (struct stage *st, const struct lease_record *r)
{
    const struct broker *b = st->b;
    const struct lease *l = leases_find (&b->leases, r->token);

    if (r->token <= st->highest)
        return;
    st->highest = r->token;
    assert_true (r->token < st->disk->meta.token_mark);
    assert_true (!b->learning || !r->first || r->acked);
    if (!l || r->granted != st->now || b->learning)
        return;
    assert_true (free_in (b, l->pool) >= 0);
    assert_true (held_by (b, r->project) <= l->project->max);
    assert_true (r->count <= r->asked);
}

static void check_grants (struct stage *st)
{
    for (size_t i = 0; i < st->disk->leases.count; i++)
        check_grant (st, st->disk->leases.at[i]);
}

/* I2: every count is that of the table. */
static void check_sums (struct stage *st)
{
    struct broker *b = st->b;
    struct pool_view view;
    unsigned pools = 0, projects = 0;

    state_tally (b);
    broker_view (b, &view);
    for (size_t i = 0; i < b->pools.count; i++)
        pools += b->pools.at[i]->in_use;
    for (size_t i = 0; i < b->projects.count; i++)
        projects += project_counted (b->projects.at[i]);
    assert_int_equal (pools, counted (b));
    assert_int_equal (projects, counted (b));
    assert_int_equal (view.in_use, counted (b));
    assert_int_equal (st->disk->leases.count, leases_count (&b->leases));
}

static struct outlook outlook_for (const struct stage *st,
                                   const struct waiter *w)
{
    struct outlook outlook;

    outlook_of (st->b, w, st->now, &outlook);
    return outlook;
}

/* Slots of the sum, and of a cap, are kept for the oldest over all hosts. */
static bool is_kept_for_older (const struct stage *st, const struct waiter *w)
{
    const struct broker *b = st->b;

    for (size_t i = 0; i < b->waiters.count; i++) {
        const struct waiter *v = b->waiters.at[i];
        const struct project *p = v->session->project;
        enum reason reason = outlook_for (st, v).reason;
        bool cap = reason == REASON_CAP && p == w->session->project &&
                   held_by (b, p->name) + v->r.min > p->max;
        bool sum =
            reason == REASON_SLOTS &&
            counted (b) + v->r.min > b->settings.max_slots + b->dispatch.bonus;

        if (v->r.number < w->r.number && v->session->pool != w->session->pool &&
            (cap || sum))
            return true;
    }
    return false;
}

/* L1 of fifo, told once more and without the round's code: the first in the
 * queue of a host that only free slots could hold back is held back by just
 * that. Under the other policies the numbers do not say who is first. */
static void check_pool_lives (const struct stage *st, const struct pool *pool)
{
    const struct broker *b = st->b;
    const char *held_back[MOST_ACTORS];
    unsigned count = 0;

    if (b->settings.policy != POLICY_FIFO || !response_grants (&pool->response))
        return;
    for (size_t i = 0; i < b->waiters.count; i++) {
        const struct waiter *w = b->waiters.at[i];
        const char *project = w->session->r.project;
        bool behind = false;
        enum reason reason = outlook_for (st, w).reason;

        if (w->session->pool != pool)
            continue;
        for (unsigned k = 0; k < count; k++)
            behind |= strcmp (held_back[k], project) == 0;
        if (behind)
            continue;
        if (held_by (b, project) + w->r.min > w->session->project->max ||
            w->r.min > pool_effective (pool) || reason == REASON_PAUSED) {
            held_back[count++] = project;
            continue;
        }
        if (reason == REASON_CAP && is_kept_for_older (st, w)) {
            held_back[count++] = project;
            continue;
        }
        assert_true (free_in (b, pool) < w->r.min || b->disk_full ||
                     b->learning || reason == REASON_PACING ||
                     is_kept_for_older (st, w));
        return;
    }
}

static unsigned between (unsigned a, unsigned b)
{
    return a > b ? a - b : b - a;
}

/* Whoever waits was told how things are: an eighth may be missing, and who is
 * far from the front is not looked at in each round. */
static void check_told (const struct waiter *w, const struct outlook *now)
{
    const struct outlook *told = &w->told;

    if (told->position == 0) // it was there before the broker, and is silent
        return;
    if (now->position > ROUND_NEAR)
        return;
    assert_int_equal (told->reason, now->reason);
    assert_true (between (told->position, now->position) <= told->position / 8);
    assert_true (between (told->slots_ahead, now->slots_ahead) <=
                 told->slots_ahead / 8);
}

static void check_waiters (const struct stage *st)
{
    const struct broker *b = st->b;

    for (size_t i = 0; i < b->waiters.count; i++) {
        const struct waiter *w = b->waiters.at[i];

        const struct outlook outlook = outlook_for (st, w);

        assert_int_not_equal (outlook.reason, REASON_NONE);
        assert_true (outlook.position >= 1);
        assert_true (outlook.detail[0] != '\0');
        check_told (w, &outlook);
        assert_true (!w->unanswered || w->t.nowait ||
                     dispatch_is_gathering (&w->t));
        assert_ptr_equal (sessions_find (&b->sessions, w->r.session),
                          w->session);
        assert_int_equal (session_number (w->session, w->r.seq), w->r.number);
        assert_int_not_equal (session_seq (w->session, w->r.seq), SEQ_NEW);
    }
    for (size_t i = 0; i < b->pools.count; i++)
        check_pool_lives (st, b->pools.at[i]);
}

static void check_leases (const struct broker *b)
{
    for (size_t i = 0; i < leases_count (&b->leases); i++) {
        const struct lease *l = leases_at (&b->leases, i);
        bool held = sessions_find (&b->sessions, l->r.session) != NULL;

        assert_true (l->r.token < b->next_token);
        assert_int_equal (held, l->r.state != LEASE_LIMBO);
    }
}

/* A row for each project that somebody said something of, and no other. */
static void check_said (const struct stage *st)
{
    const struct broker *b = st->b;
    size_t said = 0;

    for (size_t i = 0; i < b->projects.count; i++) {
        const struct project *p = b->projects.at[i];

        if (!p->said.number)
            continue;
        said++;
        assert_string_equal (p->said.name, p->name);
        assert_true (p->said.paused || p->said.prioritised);
        assert_memory_equal (&p->said,
                             table_find (&st->disk->projects, p->said.number),
                             sizeof p->said);
    }
    assert_int_equal (st->disk->projects.count, said);
}

/* One that would not wait is not stored before it is known that it must. */
static void check_queue (const struct stage *st)
{
    const struct table *rows = &st->disk->waiters, *known = &st->b->waiters;
    size_t stored = 0;

    for (size_t i = 0; i < known->count; i++) {
        const struct waiter *w = known->at[i];

        assert_true (w->stored || w->t.nowait);
        if (!w->stored)
            continue;
        assert_true (stored < rows->count);
        assert_memory_equal (rows->at[stored++], &w->r, sizeof w->r);
    }
    assert_int_equal (stored, rows->count);
}

void stage_check (struct stage *st)
{
    struct broker *b = st->b;

    check_sums (st);
    check_grants (st);
    check_leases (b);
    check_waiters (st);
    check_said (st);
    assert_same (&st->disk->leases, &b->leases.by_token,
                 sizeof (struct lease_record));
    assert_same (&st->disk->sessions, &b->sessions,
                 sizeof (struct session_record));
    check_queue (st);
}

/* ---- what the shims make of it ---- */

static void drop (struct u64s *list, uint64_t value)
{
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->at[i] == value) {
            list->at[i] = list->at[--list->count];
            return;
        }
    }
}

static void drop_all (struct u64s *list, const struct u64s *values)
{
    for (uint32_t i = 0; i < values->count; i++)
        drop (list, values->at[i]);
}

static void take_grant (struct actor *a, uint64_t seq, uint64_t first,
                        uint64_t count)
{
    if (u64s_has (&a->acks, seq)) // R7: once
        return;
    u64s_add (&a->acks, seq);
    for (uint64_t t = first; t < first + count; t++)
        u64s_add (&a->holds, t);
}

static void take_stops (struct actor *a, const struct u64s *tokens)
{
    for (uint32_t i = 0; i < tokens->count; i++) {
        if (!u64s_has (&a->stops, tokens->at[i]))
            u64s_add (&a->stops, tokens->at[i]);
    }
}

static void take_beat_ok (struct actor *a, const struct msg_beat_ok *ok)
{
    for (uint32_t i = 0; i < ok->grants_count; i++)
        take_grant (a, ok->grants[i].seq, ok->grants[i].first,
                    ok->grants[i].count);
    take_stops (a, &ok->stops);
}

static void take (struct actor *a, const struct outgoing *m)
{
    const struct msg_grant *grant = m->fields;
    const struct msg_released *released = m->fields;

    switch (m->verb) {
    case VERB_WELCOME:
        a->session = ((const struct msg_welcome *) m->fields)->session;
        break;
    case VERB_GRANT:
        take_grant (a, grant->seq, grant->first, grant->count);
        break;
    case VERB_BEAT_OK: take_beat_ok (a, m->fields); break;
    case VERB_STOP:
        take_stops (a, &((const struct msg_stop *) m->fields)->tokens);
        break;
    case VERB_RELEASED:
        drop_all (&a->holds, &released->tokens);
        drop_all (&a->holds, &released->expired);
        drop_all (&a->stops, &released->tokens);
        break;
    default: break;
    }
}

static bool is_to (const struct path *path, const struct actor *a)
{
    return path->size == a->peer.path.size &&
           memcmp (path->id, a->peer.path.id, path->size) == 0;
}

static void deliver (struct stage *st)
{
    for (size_t i = 0; i < outbox_sent (st->out); i++) {
        struct outgoing m = outbox_outgoing (st->out, i);

        for (unsigned k = 0; k < st->actor_count; k++) {
            if (is_to (&m.to, &st->actors[k]))
                take (&st->actors[k], &m);
        }
    }
}

static void keep_journal (struct stage *st)
{
    for (size_t i = 0; i < outbox_lines (st->out); i++) {
        const char *line = outbox_line (st->out, i, NULL);
        size_t used = strlen (st->journal), more = strlen (line) + 2;

        if (used + more > sizeof st->journal) {
            memmove (st->journal, st->journal + used / 2, used - used / 2 + 1);
            used = strlen (st->journal);
        }
        snprintf (st->journal + used, sizeof st->journal - used, "%s\n", line);
    }
}

/* ---- batches ---- */

void stage_begin (struct stage *st)
{
    outbox_clear (st->out);
    broker_turn (st->b, true, st->now, st->out);
}

void stage_say (struct stage *st, const struct actor *from)
{
    broker_step (st->b, &from->peer, &st->msg, st->random++, st->now, st->out);
}

static void keep_runs (struct stage *st)
{
    for (size_t i = 0; i < outbox_runs (st->out); i++) {
        st->run = *outbox_run_at (st->out, i);
        st->memory_bytes += st->run.memory_bytes;
        st->runs++;
    }
}

void stage_end (struct stage *st)
{
    broker_round (st->b, st->now, st->out);
    commit (st);
    keep_runs (st);
    stage_check (st);
    deliver (st);
    keep_journal (st);
}

void stage_tell (struct stage *st, const struct actor *from)
{
    stage_begin (st);
    stage_say (st, from);
    stage_end (st);
}

static void beat_all (struct stage *st)
{
    for (unsigned i = 0; i < st->actor_count; i++) {
        struct actor *a = &st->actors[i];

        if (a->silent || !a->session ||
            st->now - a->beaten < st->settings.timing.beat)
            continue;
        make_beat (st, a);
        stage_say (st, a);
    }
}

void stage_sleep (struct stage *st, int64_t ms)
{
    int64_t until = st->now + ms;

    while (st->now < until) {
        int64_t next = broker_next_deadline (st->b, st->now);

        assert_true (next >= st->now);
        if (next == st->now)
            next++;
        st->now = next < until ? next : until;
        stage_begin (st);
        beat_all (st);
        stage_end (st);
    }
}

/* ---- begin and end ---- */

static void start (struct stage *st, bool learning)
{
    st->b = broker_create (&st->settings, &st->self, &st->disk->meta, learning,
                           st->now);
    for (size_t i = 0; i < st->disk->sessions.count; i++)
        broker_restore_session (st->b, st->disk->sessions.at[i]);
    for (size_t i = 0; i < st->disk->leases.count; i++)
        broker_restore_lease (st->b, st->disk->leases.at[i]);
    for (size_t i = 0; i < st->disk->projects.count; i++)
        broker_restore_project (st->b, st->disk->projects.at[i]);
    for (size_t i = 0; i < st->disk->waiters.count; i++)
        broker_restore_waiter (st->b, st->disk->waiters.at[i]);
    outbox_clear (st->out);
    broker_start (st->b, st->now, st->out);
    commit (st);
    keep_journal (st);
    outbox_clear (st->out);
    broker_round (st->b, st->now, st->out);
    commit (st);
    keep_journal (st);
    stage_check (st);
}

struct stage *stage_create (unsigned max_slots)
{
    struct stage *st = new_zeroed (sizeof *st);

    settings_default (&st->settings, 8, (uint64_t) 16 << 30);
    settings_set_max (&st->settings, max_slots);
    st->settings.grant_burst = 0;
    st->settings.limits.load_average = 16;
    copy_text (st->self.host, sizeof st->self.host, "vm1");
    copy_text (st->self.machine, sizeof st->self.machine, "machine1");
    copy_text (st->self.boot, sizeof st->self.boot, "boot1");
    st->now = 1000;
    st->random = 1;
    st->out = outbox_create ();
    st->disk = new_zeroed (sizeof *st->disk);
    copy_text (st->disk->meta.broker, sizeof st->disk->meta.broker,
               "0123456789abcdef0123456789abcdef");
    st->disk->meta.epoch = 1;
    start (st, false);
    return st;
}

void stage_destroy (struct stage *st)
{
    broker_destroy (st->b);
    outbox_destroy (st->out);
    clear_disk (st->disk);
    free (st->disk);
    free (st);
}

static void begin_anew (struct stage *st, bool learning)
{
    broker_destroy (st->b);
    st->disk->meta.epoch++;
    start (st, learning);
}

void stage_restart (struct stage *st)
{
    begin_anew (st, false);
}

void stage_lose_state (struct stage *st, bool marks)
{
    clear_disk (st->disk);
    if (marks) {
        copy_text (st->disk->meta.broker, sizeof st->disk->meta.broker,
                   "fedcba9876543210fedcba9876543210");
        st->disk->meta.token_mark = st->disk->meta.number_mark = 0;
        st->highest = 0;
    }
    begin_anew (st, true);
}

/* ---- the cast ---- */

struct actor *stage_actor (struct stage *st, const char *project)
{
    struct actor *a = &st->actors[st->actor_count++];
    struct msg_hello *h = &a->hello;

    assert_true (st->actor_count <= MOST_ACTORS);
    a->peer.path.size = 5;
    a->peer.path.id[4] = (uint8_t) st->actor_count;
    a->peer.role = ROLE_PROJECT;
    a->peer.uid = 1000;
    a->peer.pid = 4000 + (int32_t) st->actor_count;
    message_init_fields (h, VERB_HELLO);
    h->nonce = 100000 + st->actor_count;
    copy_text (h->project, sizeof h->project, project);
    copy_text (h->host, sizeof h->host, st->self.host);
    copy_text (h->machine, sizeof h->machine, st->self.machine);
    copy_text (h->boot, sizeof h->boot, st->self.boot);
    h->pid = (uint64_t) a->peer.pid;
    return a;
}

struct actor *stage_shim (struct stage *st, const char *project)
{
    struct actor *a = stage_actor (st, project);

    act_hello (st, a);
    assert_non_null (stage_got (st, a, VERB_WELCOME));
    return a;
}

struct actor *stage_remote (struct stage *st, const char *project,
                            const char *host)
{
    struct actor *a = stage_actor (st, project);

    a->peer.pid = 0;
    copy_text (a->hello.host, sizeof a->hello.host, host);
    snprintf (a->hello.machine, sizeof a->hello.machine, "machine-%s", host);
    snprintf (a->hello.boot, sizeof a->hello.boot, "boot-%s", host);
    act_hello (st, a);
    assert_non_null (stage_got (st, a, VERB_WELCOME));
    return a;
}

struct actor *stage_admin (struct stage *st)
{
    struct actor *a = stage_actor (st, "nobody");

    a->peer.role = ROLE_ADMIN;
    a->peer.uid = 0;
    a->peer.path.req = true;
    return a;
}

/* ---- messages ---- */

void make_hello (struct stage *st, const struct actor *a)
{
    message_init (&st->msg, VERB_HELLO);
    st->msg.hello = a->hello;
}

void make_beat (struct stage *st, struct actor *a)
{
    message_init (&st->msg, VERB_BEAT);
    st->msg.beat.session = a->session;
    st->msg.beat.epoch = st->disk->meta.epoch;
    st->msg.beat.seq = ++a->beat_seq;
    st->msg.beat.holds = a->holds;
    while (a->acks.count > 64) {
        a->acks.count--;
        memmove (a->acks.at, a->acks.at + 1, a->acks.count * 8);
    }
    st->msg.beat.acks = a->acks;
    a->beaten = st->now;
}

void make_request (struct stage *st, struct actor *a, unsigned count)
{
    message_init (&st->msg, VERB_REQUEST);
    st->msg.request.session = a->session;
    st->msg.request.seq = ++a->seq;
    st->msg.request.count = count;
    st->msg.request.supervisor = 77;
}

void make_release (struct stage *st, const struct actor *a, uint64_t token)
{
    message_init (&st->msg, VERB_RELEASE);
    st->msg.release.session = a->session;
    u64s_add (&st->msg.release.tokens, token);
}

void make_reaped (struct stage *st, const struct actor *a, uint64_t token)
{
    message_init (&st->msg, VERB_REAPED);
    st->msg.reaped.session = a->session;
    u64s_add (&st->msg.reaped.tokens, token);
}

void make_started (struct stage *st, const struct actor *a, uint64_t token)
{
    message_init (&st->msg, VERB_STARTED);
    st->msg.started.session = a->session;
    st->msg.started.pid = 900 + token;
    u64s_add (&st->msg.started.tokens, token);
}

void make_cancel (struct stage *st, const struct actor *a, uint64_t seq)
{
    message_init (&st->msg, VERB_CANCEL);
    st->msg.cancel.session = a->session;
    st->msg.cancel.seq = seq;
}

void make_kill (struct stage *st, uint64_t id, const char *project)
{
    message_init (&st->msg, VERB_KILL);
    st->msg.kill.id = id;
    copy_text (st->msg.kill.project, sizeof st->msg.kill.project, project);
    copy_text (st->msg.kill.reason, sizeof st->msg.kill.reason,
               "User requested");
}

/* ---- acts ---- */

void act_hello (struct stage *st, struct actor *a)
{
    make_hello (st, a);
    stage_tell (st, a);
    a->beaten = st->now;
}

void act_beat (struct stage *st, struct actor *a)
{
    make_beat (st, a);
    stage_tell (st, a);
}

uint64_t act_request (struct stage *st, struct actor *a, unsigned count)
{
    make_request (st, a, count);
    stage_tell (st, a);
    return a->seq;
}

void act_release (struct stage *st, struct actor *a, uint64_t token)
{
    make_release (st, a, token);
    stage_tell (st, a);
}

void act_release_some (struct stage *st, struct actor *a, unsigned count)
{
    message_init (&st->msg, VERB_RELEASE);
    st->msg.release.session = a->session;
    for (unsigned i = 0; i < count; i++)
        u64s_add (&st->msg.release.tokens, a->holds.at[i]);
    stage_tell (st, a);
}

void act_started (struct stage *st, struct actor *a, uint64_t token)
{
    make_started (st, a, token);
    stage_tell (st, a);
    assert_non_null (stage_got (st, a, VERB_OK));
}

void act_reaped (struct stage *st, struct actor *a, uint64_t token)
{
    make_reaped (st, a, token);
    stage_tell (st, a);
}

void act_bye (struct stage *st, struct actor *a)
{
    message_init (&st->msg, VERB_BYE);
    st->msg.bye.session = a->session;
    stage_tell (st, a);
    a->session = 0;
    a->holds.count = 0;
}

/* ---- what came of it ---- */

const void *stage_got (const struct stage *st, const struct actor *a,
                       enum verb verb)
{
    for (size_t i = outbox_sent (st->out); i-- > 0;) {
        struct outgoing m = outbox_outgoing (st->out, i);

        if (is_to (&m.to, a) && m.verb == verb)
            return m.fields;
    }
    return NULL;
}

unsigned stage_got_count (const struct stage *st, const struct actor *a)
{
    unsigned count = 0;

    for (size_t i = 0; i < outbox_sent (st->out); i++) {
        struct outgoing m = outbox_outgoing (st->out, i);

        count += is_to (&m.to, a);
    }
    return count;
}

void stage_assert_refused (const struct stage *st, const struct actor *a,
                           enum err e)
{
    const struct msg_error *error = stage_got (st, a, VERB_ERROR);

    assert_int_equal (stage_got_count (st, a), 1);
    assert_non_null (error);
    assert_string_equal (error->error, err_name (e));
}

const void *stage_published (const struct stage *st, const char *topic)
{
    for (size_t i = outbox_published (st->out); i-- > 0;) {
        struct publication p = outbox_publication (st->out, i);

        if (strcmp (p.topic, topic) == 0)
            return p.fields;
    }
    return NULL;
}

bool stage_logged (const struct stage *st, const char *text)
{
    return strstr (st->journal, text) != NULL;
}

unsigned stage_in_use (const struct stage *st)
{
    struct pool_view view;

    broker_view (st->b, &view);
    return view.in_use;
}

const struct lease_record *stage_row (const struct stage *st, uint64_t token)
{
    return table_find (&st->disk->leases, token);
}

const struct project_record *stage_said (const struct stage *st,
                                         const char *project)
{
    const struct table *rows = &st->disk->projects;

    for (size_t i = 0; i < rows->count; i++) {
        const struct project_record *r = rows->at[i];

        if (strcmp (r->name, project) == 0)
            return r;
    }
    return NULL;
}

const struct meta_record *stage_meta (const struct stage *st)
{
    return &st->disk->meta;
}
