/* SPDX-License-Identifier: MPL-2.0 */
/* Whatever happens in whatever order, the invariants hold after each batch
 * (stage_check), the disk says what the broker knows, and once the trouble is
 * over everybody is served and every slot comes back.
 */
#include "stage.h"

#include <stdlib.h>
#include <string.h>

#include "core/state.h"

enum { SEEDS = 60, STEPS = 400, SHIMS = 6 };

/* xorshift64*: the same seed is the same story. */
static uint64_t chance_state;

static uint64_t chance (uint64_t below)
{
    chance_state ^= chance_state >> 12;
    chance_state ^= chance_state << 25;
    chance_state ^= chance_state >> 27;
    return ((chance_state * UINT64_C (2685821657736338717)) >> 33) % below;
}

struct story {
    struct stage *st;
    struct actor *shims[SHIMS], *admin;
    uint64_t kills;
    bool disk_full;
};

static void begin (struct story *t, uint64_t seed)
{
    static const char *const projects[] = {"a", "b", "c"};
    struct stage *st = stage_create (12);

    chance_state = seed;
    memset (t, 0, sizeof *t);
    t->st = st;
    st->settings.grant_burst = chance (2) ? 4 : 0;
    st->settings.host_count = 1;
    copy_text (st->settings.hosts[0].host, 65, "vm2");
    st->settings.hosts[0].max_slots = 7;
    stage_restart (st);
    for (unsigned i = 0; i < SHIMS; i++)
        t->shims[i] = i < 3 ? stage_shim (st, projects[i])
                            : stage_remote (st, projects[i - 3], "vm2");
    t->admin = stage_admin (st);
    t->shims[1]->peer.path.req = t->shims[4]->peer.path.req = true;
}

static struct actor *somebody (struct story *t)
{
    return t->shims[chance (SHIMS)];
}

static uint64_t some_token (const struct actor *a)
{
    return a->holds.count ? a->holds.at[chance (a->holds.count)] : chance (20);
}

/* ---- what can happen ---- */

static void ask (struct story *t)
{
    struct actor *a = somebody (t);

    if (chance (6) == 0 && a->seq) // a resend, or an old one
        a->seq -= chance (a->seq < 5 ? a->seq : 5);
    make_request (t->st, a, 1 + (unsigned) chance (7));
    t->st->msg.request.min = chance (3) ? 0 : 1;
    t->st->msg.request.run = chance (3) == 0;
    t->st->msg.request.bound = chance (8) == 0;
    t->st->msg.request.nowait = chance (6) == 0;
    stage_tell (t->st, a);
}

/* Several in one batch. */
static void herd (struct story *t)
{
    stage_begin (t->st);
    for (unsigned i = 0; i < 8; i++) {
        struct actor *a = somebody (t);

        make_request (t->st, a, 1 + (unsigned) chance (3));
        stage_say (t->st, a);
        if (chance (4) == 0) {
            make_cancel (t->st, a, a->seq);
            stage_say (t->st, a);
        }
    }
    stage_end (t->st);
}

static void let_go (struct story *t)
{
    struct actor *a = somebody (t);

    make_release (t->st, a, some_token (a));
    if (chance (2))
        u64s_add (&t->st->msg.release.tokens, some_token (a));
    stage_tell (t->st, a);
}

static void run (struct story *t)
{
    struct actor *a = somebody (t);

    make_started (t->st, a, some_token (a));
    stage_tell (t->st, a);
}

static void reap (struct story *t)
{
    struct actor *a = somebody (t);

    make_reaped (t->st, a, some_token (a));
    t->st->msg.reaped.keep = chance (3) == 0;
    stage_tell (t->st, a);
}

static void withdraw (struct story *t)
{
    struct actor *a = somebody (t);

    make_cancel (t->st, a, a->seq - (a->seq ? chance (a->seq) : 0));
    t->st->msg.cancel.all = chance (5) == 0;
    stage_tell (t->st, a);
}

/* It forgets what it was given, or it comes twice or late. */
static void beat (struct story *t)
{
    struct actor *a = somebody (t);

    if (a->holds.count && chance (8) == 0)
        a->holds.count--;
    make_beat (t->st, a);
    if (chance (5) == 0)
        t->st->msg.beat.seq -= chance (a->beat_seq);
    stage_tell (t->st, a);
}

static void new_session (struct story *t, struct actor *a)
{
    a->hello.nonce += 1000;
    a->hello.successor = true;
    a->holds.count = a->acks.count = a->stops.count = 0;
    a->seq = a->beat_seq = 0;
    act_hello (t->st, a);
}

static void be_replaced (struct story *t)
{
    new_session (t, somebody (t));
}

static void leave (struct story *t)
{
    struct actor *a = somebody (t);

    act_bye (t->st, a);
}

static void go_silent (struct story *t)
{
    struct actor *a = somebody (t);

    a->silent = chance (2);
}

static void be_seen_gone (struct story *t)
{
    struct actor *a = somebody (t);

    stage_begin (t->st);
    broker_observe_gone (t->st->b, a->session, t->st->now, t->st->out);
    stage_end (t->st);
}

static void prove (struct story *t)
{
    struct watch_lease leases[64];
    size_t count = broker_watch_leases (t->st->b, leases, 64);

    stage_begin (t->st);
    for (size_t i = 0; i < count; i++) {
        if (chance (2))
            broker_observe_proven (t->st->b, leases[i].token, t->st->now,
                                   t->st->out);
    }
    stage_end (t->st);
}

static void end_project (struct story *t)
{
    static const char *const projects[] = {"a", "b", "c"};

    make_kill (t->st, ++t->kills, projects[chance (3)]);
    t->st->msg.kill.keep_queue = chance (2);
    stage_tell (t->st, t->admin);
}

static void resize (struct story *t)
{
    message_init (&t->st->msg, VERB_SET_MAX);
    t->st->msg.set_max.max_slots = 4 + chance (16);
    stage_tell (t->st, t->admin);
}

static void change_schedule (struct story *t)
{
    static const char *const projects[] = {"a", "b", "c"};
    static const char *const policies[] = {"fifo", "fair", "priority"};
    const char *project = projects[chance (3)];
    struct msg *m = &t->st->msg;

    switch (chance (6)) {
    case 0:
        message_init (m, VERB_SET_POLICY);
        copy_text (m->set_policy.policy, sizeof m->set_policy.policy,
                   policies[chance (3)]);
        break;
    case 1:
        message_init (m, VERB_SET_PRIORITY);
        copy_text (m->set_priority.project, sizeof m->set_priority.project,
                   project);
        m->set_priority.priority = chance (20);
        break;
    case 2:
        message_init (m, VERB_PAUSE);
        copy_text (m->pause.project, sizeof m->pause.project, project);
        break;
    default:
        message_init (m, VERB_RESUME);
        copy_text (m->resume.project, sizeof m->resume.project, project);
        break;
    }
    stage_tell (t->st, t->admin);
}

static void fill_disk (struct story *t)
{
    t->disk_full = chance (3) == 0;
    stage_begin (t->st);
    broker_observe_disk (t->st->b, t->disk_full, t->st->now, t->st->out);
    stage_end (t->st);
}

static void force (struct story *t)
{
    make_release (t->st, t->admin, some_token (somebody (t)));
    t->st->msg.release.session = 0;
    t->st->msg.release.force = true;
    stage_tell (t->st, t->admin);
}

static void look (struct story *t)
{
    message_init (&t->st->msg, VERB_STATUS);
    stage_tell (t->st, t->admin);
    assert_non_null (stage_got (t->st, t->admin, VERB_STATUS_OK));
}

static void stall (struct story *t)
{
    t->st->now += (int64_t) chance (90000);
}

static void restart (struct story *t)
{
    t->st->now += (int64_t) chance (3000);
    stage_restart (t->st);
    if (!t->disk_full)
        return;
    broker_observe_disk (t->st->b, true, t->st->now, t->st->out);
}

static void pass_time (struct story *t)
{
    stage_sleep (t->st, (int64_t) chance (chance (8) ? 3000 : 90000));
}

static const struct {
    void (*happen) (struct story *t);
    unsigned weight;
} events[] = {
    {ask, 30},        {herd, 4},         {let_go, 14},
    {run, 14},        {reap, 12},        {withdraw, 5},
    {beat, 16},       {be_replaced, 3},  {leave, 2},
    {go_silent, 2},   {be_seen_gone, 2}, {prove, 5},
    {end_project, 2}, {resize, 2},       {fill_disk, 2},
    {force, 1},       {look, 2},         {stall, 1},
    {restart, 2},     {pass_time, 14},   {change_schedule, 4},
};

static void step (struct story *t)
{
    unsigned sum = 0, pick;

    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        sum += events[i].weight;
    pick = (unsigned) chance (sum);
    for (size_t i = 0;; i++) {
        if (pick < events[i].weight) {
            events[i].happen (t);
            return;
        }
        pick -= events[i].weight;
    }
}

/* Who lost his session begins anew. */
static void come_back (struct story *t)
{
    for (unsigned i = 0; i < SHIMS; i++) {
        struct actor *a = t->shims[i];

        if (!a->silent && !sessions_find (&t->st->b->sessions, a->session))
            new_session (t, a);
    }
}

static void resume_all (struct story *t)
{
    static const char *const projects[] = {"a", "b", "c"};

    for (unsigned i = 0; i < 3; i++) {
        message_init (&t->st->msg, VERB_RESUME);
        copy_text (t->st->msg.resume.project, sizeof t->st->msg.resume.project,
                   projects[i]);
        stage_tell (t->st, t->admin);
    }
}

/* The trouble is over: nothing is lost any more, and shims do as told. */
static void settle (struct story *t)
{
    stage_begin (t->st);
    broker_observe_disk (t->st->b, false, t->st->now, t->st->out);
    stage_end (t->st);
    resume_all (t);
    for (unsigned i = 0; i < SHIMS; i++)
        t->shims[i]->silent = false;
    come_back (t);
    stage_sleep (t->st, 100000);
    come_back (t);
}

static void give_all_back (struct story *t)
{
    for (unsigned i = 0; i < SHIMS; i++) {
        struct actor *a = t->shims[i];

        while (a->holds.count) {
            uint64_t token = a->holds.at[0];

            act_reaped (t->st, a, token);
            if (u64s_has (&a->holds, token))
                a->holds.at[0] = a->holds.at[--a->holds.count];
        }
        while (a->stops.count)
            act_reaped (t->st, a, a->stops.at[--a->stops.count]);
    }
}

static void end (struct story *t)
{
    settle (t);
    for (unsigned i = 0;
         i < 400 && (t->st->b->waiters.count || stage_in_use (t->st)); i++) {
        give_all_back (t);
        prove (t);
        stage_sleep (t->st, 6000);
    }
    assert_int_equal (t->st->b->waiters.count, 0);
    assert_int_equal (stage_in_use (t->st), 0);
    stage_destroy (t->st);
}

static void whatever_happens_invariants_hold_and_all_comes_back (void **state)
{
    const char *only = getenv ("SEED");
    (void) state;

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct story t;

        begin (&t, only ? strtoull (only, NULL, 10)
                        : seed * UINT64_C (0x9e3779b97f4a7c15));
        for (unsigned i = 0; i < STEPS; i++) {
            t.st->now += (int64_t) chance (200);
            step (&t);
            if (chance (4) == 0)
                come_back (&t);
        }
        end (&t);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (whatever_happens_invariants_hold_and_all_comes_back),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
