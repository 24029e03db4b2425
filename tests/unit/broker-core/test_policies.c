/* SPDX-License-Identifier: MPL-2.0 */
/* What the three policies promise, through the whole core of the broker. */
#include "stage.h"

#include <stdio.h>
#include <string.h>

#include "core/state.h"

enum { GATHER = 200 }; // ms, the default

static struct pool *own_pool (const struct stage *st)
{
    return st->b->pools.at[0];
}

/* The configuration is read again, as it is now. */
static void reload (struct stage *st)
{
    stage_begin (st);
    broker_reload (st->b, &st->settings, st->now, st->out);
    stage_end (st);
}

/* Nobody's cap is in the way but where a test says so. */
static struct stage *play (enum policy policy, unsigned max_slots)
{
    struct stage *st = stage_create (max_slots);

    st->settings.policy = policy;
    st->settings.max_per_project_auto = false;
    st->settings.max_per_project = max_slots;
    st->settings.reclaim = false;
    reload (st);
    return st;
}

static struct project_settings *
configure (struct stage *st, const char *project, unsigned priority)
{
    struct project_settings *p = settings_add_project (&st->settings, project);

    p->priority = priority;
    return p;
}

static void want (struct stage *st, struct actor *a, unsigned count,
                  unsigned min)
{
    make_request (st, a, count);
    st->msg.request.min = min;
    stage_tell (st, a);
}

static void want_now (struct stage *st, struct actor *a, unsigned count)
{
    make_request (st, a, count);
    st->msg.request.nowait = true;
    stage_tell (st, a);
}

static void granted (struct stage *st, struct actor *a, unsigned count,
                     unsigned asked)
{
    const struct msg_grant *g = stage_got (st, a, VERB_GRANT);

    assert_non_null (g);
    assert_int_equal (g->count, count);
    assert_int_equal (g->asked, asked);
}

static bool was_granted (const struct stage *st, const struct actor *a)
{
    return stage_got (st, a, VERB_GRANT) != NULL;
}

static void holds (const struct actor *a, unsigned count)
{
    assert_int_equal (a->holds.count, count);
}

/* What its newest request was told last. */
static void assert_told (const struct stage *st, const struct actor *a,
                         enum reason reason, unsigned position,
                         unsigned slots_ahead)
{
    const struct session *s = sessions_find (&st->b->sessions, a->session);
    const struct waiter *w =
        table_find (&st->b->waiters, session_number (s, a->seq));

    assert_non_null (w);
    assert_string_equal (reason_name (w->told.reason), reason_name (reason));
    assert_int_equal (w->told.position, position);
    assert_int_equal (w->told.slots_ahead, slots_ahead);
}

static void set_policy (struct stage *st, struct actor *admin,
                        const char *policy)
{
    message_init (&st->msg, VERB_SET_POLICY);
    copy_text (st->msg.set_policy.policy, sizeof st->msg.set_policy.policy,
               policy);
    stage_tell (st, admin);
    assert_non_null (stage_got (st, admin, VERB_POLICY_OK));
}

static void set_priority (struct stage *st, struct actor *admin,
                          const char *project, unsigned priority)
{
    message_init (&st->msg, VERB_SET_PRIORITY);
    copy_text (st->msg.set_priority.project,
               sizeof st->msg.set_priority.project, project);
    st->msg.set_priority.priority = priority;
    stage_tell (st, admin);
    assert_non_null (stage_got (st, admin, VERB_PRIORITY_OK));
}

static void set_max (struct stage *st, struct actor *admin, unsigned max_slots)
{
    message_init (&st->msg, VERB_SET_MAX);
    st->msg.set_max.max_slots = max_slots;
    stage_tell (st, admin);
}

static void pause_it (struct stage *st, struct actor *admin,
                      const char *project, bool paused)
{
    message_init (&st->msg, paused ? VERB_PAUSE : VERB_RESUME);
    if (paused)
        copy_text (st->msg.pause.project, sizeof st->msg.pause.project,
                   project);
    else
        copy_text (st->msg.resume.project, sizeof st->msg.resume.project,
                   project);
    stage_tell (st, admin);
}

/* ---- fair: shares of what is asked for together ---- */

static const char *const names[] = {"consilio", "openhorizon", "odin"};

/* One row of F1 and F2: three ask, and get. */
struct row {
    enum fair_mode mode;
    unsigned weights[3], asked[3], got[3];
};

static const struct row rows[] = {
    {FAIR_PROPORTIONAL, {5, 5, 5}, {10, 8, 6}, {8, 7, 5}},
    {FAIR_MAXMIN, {5, 5, 5}, {10, 8, 6}, {7, 7, 6}},
    {FAIR_MAXMIN, {10, 8, 5}, {10, 8, 6}, {9, 7, 4}},
    {FAIR_PROPORTIONAL, {10, 8, 5}, {10, 8, 6}, {10, 7, 3}},
};

static struct stage *play_row (const struct row *row,
                               struct actor *ret_actors[3])
{
    struct stage *st = play (POLICY_FAIR, 20);

    st->settings.fair_mode = row->mode;
    for (unsigned i = 0; i < 3; i++)
        configure (st, names[i], row->weights[i]);
    reload (st);
    for (unsigned i = 0; i < 3; i++)
        ret_actors[i] = stage_shim (st, names[i]);
    return st;
}

static void three_that_ask_at_once_have_their_shares (void **state)
{
    (void) state;

    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        const struct row *row = &rows[r];
        struct actor *a[3];
        struct stage *st = play_row (row, a);

        stage_begin (st);
        for (unsigned i = 0; i < 3; i++) {
            make_request (st, a[i], row->asked[i]);
            stage_say (st, a[i]);
        }
        stage_end (st);
        for (unsigned i = 0; i < 3; i++) // in a moment it is decided
            assert_int_equal (stage_got_count (st, a[i]), 0);
        stage_sleep (st, GATHER);
        for (unsigned i = 0; i < 3; i++)
            granted (st, a[i], row->got[i], row->asked[i]);
        assert_int_equal (stage_in_use (st), 20);
        stage_destroy (st);
    }
}

/* In whatever order they come, if only within the moment that is gathered. */
static void shares_hang_on_no_order_of_arrival (void **state)
{
    static const unsigned orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                          {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    static const int64_t gaps[3][2] = {{0, 0}, {70, 60}, {1, 198}};
    (void) state;

    for (unsigned i = 0; i < 6 * 3 * 4; i++) {
        const unsigned *order = orders[i % 6];
        const int64_t *gap = gaps[i / 6 % 3];
        const struct row *row = &rows[i / 18];
        struct actor *a[3];
        struct stage *st = play_row (row, a);

        for (unsigned k = 0; k < 3; k++) {
            act_request (st, a[order[k]], row->asked[order[k]]);
            if (k < 2)
                stage_sleep (st, gap[k]);
        }
        stage_sleep (st, GATHER - gap[0] - gap[1]);
        for (unsigned k = 0; k < 3; k++)
            granted (st, a[k], row->got[k], row->asked[k]);
        stage_destroy (st);
    }
}

static void who_comes_after_the_moment_has_what_is_left (void **state)
{
    struct stage *st = play (POLICY_FAIR, 20);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    (void) state;

    act_request (st, a, 15);
    stage_sleep (st, GATHER);
    granted (st, a, 15, 15);
    act_request (st, b, 10);
    stage_sleep (st, GATHER);
    granted (st, b, 5, 10);
    stage_destroy (st);
}

/* A reload, or a word about somebody else, in the middle of it. */
static void what_is_gathered_stays_together_whatever_people_say (void **state)
{
    (void) state;

    for (unsigned i = 0; i < 3; i++) {
        struct actor *a[3], *admin;
        struct stage *st = play_row (&rows[0], a);

        admin = stage_admin (st);
        stage_shim (st, "x");
        act_request (st, a[0], 10);
        stage_sleep (st, 50);
        if (i == 0)
            reload (st);
        else if (i == 1)
            set_priority (st, admin, "x", 7);
        else
            pause_it (st, admin, "x", true);
        assert_false (was_granted (st, a[0]));
        act_request (st, a[1], 8);
        act_request (st, a[2], 6);
        stage_sleep (st, GATHER - 50);
        for (unsigned k = 0; k < 3; k++)
            granted (st, a[k], rows[0].got[k], rows[0].asked[k]);
        stage_destroy (st);
    }
}

static void guarantee_comes_before_the_shares (void **state)
{
    struct stage *st = play (POLICY_FAIR, 20);
    struct actor *a, *b, *c;
    (void) state;

    st->settings.fair_mode = FAIR_MAXMIN;
    configure (st, "c", 5)->guarantee = 9;
    reload (st);
    a = stage_shim (st, "a");
    b = stage_shim (st, "b");
    c = stage_shim (st, "c");
    act_request (st, a, 15);
    act_request (st, b, 15);
    act_request (st, c, 15);
    stage_sleep (st, GATHER);
    granted (st, a, 6, 15);
    granted (st, b, 5, 15);
    granted (st, c, 9, 15);
    stage_destroy (st);
}

static void project_without_weight_has_one_slot_and_then_what_is_left (void **s)
{
    struct stage *st = play (POLICY_FAIR, 20);
    struct actor *a, *b;
    (void) s;

    configure (st, "a", 0);
    reload (st);
    a = stage_shim (st, "a");
    b = stage_shim (st, "b");
    act_request (st, a, 20);
    act_request (st, b, 20);
    stage_sleep (st, GATHER);
    granted (st, a, 1, 20);
    granted (st, b, 19, 20);
    act_release_some (st, b, 3); // it wants no more
    act_request (st, a, 20);
    stage_sleep (st, GATHER);
    granted (st, a, 3, 20);
    stage_destroy (st);
}

/* Its share would be 6, like a's: it waits until 8 are free, and a waits. */
static void min_above_its_share_is_waited_for (void **state)
{
    struct stage *st = play (POLICY_FAIR, 12);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    (void) state;

    st->settings.fair_mode = FAIR_MAXMIN;
    reload (st);
    want (st, a, 12, 0);
    want (st, b, 10, 8);
    stage_sleep (st, GATHER);
    granted (st, a, 6, 12);
    assert_told (st, b, REASON_SLOTS, 1, 2);
    act_release_some (st, a, 1);
    want (st, a, 3, 0);
    stage_sleep (st, GATHER);
    assert_told (st, a, REASON_TURN, 2, 4);
    act_release_some (st, a, 1);
    granted (st, b, 8, 10);
    stage_destroy (st);
}

static void nowait_under_fair_waits_for_the_moment_and_no_longer (void **state)
{
    struct stage *st = play (POLICY_FAIR, 4);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    (void) state;

    want_now (st, a, 4);
    assert_int_equal (stage_got_count (st, a), 0);
    act_request (st, b, 4);
    stage_sleep (st, GATHER);
    granted (st, a, 2, 4);
    granted (st, b, 2, 4);
    want_now (st, a, 1);
    assert_int_equal (stage_got_count (st, a), 0);
    stage_sleep (st, GATHER);
    stage_assert_refused (st, a, ERR_NOT_NOW);
    assert_int_equal (st->b->waiters.count, 0);
    stage_destroy (st);
}

/* ---- fair: nobody starves ---- */

/* `count` projects share the pool; one of them at a time gives a slot back and
 * wants one. Then somebody wants `wanted` at once. */
struct shape {
    unsigned pool, projects, wanted, weight, had;
    enum fair_mode mode;
};

static void fill (struct stage *st, struct actor **small, unsigned count)
{
    for (unsigned i = 0; stage_in_use (st) < st->settings.max_slots; i++) {
        act_request (st, small[i % count], 1);
        stage_sleep (st, GATHER);
    }
}

/* Returns after how many steps it was served; `most`: it was not. */
static unsigned steps_to_be_served (struct stage *st, struct actor **small,
                                    const struct actor *large, unsigned had,
                                    const struct shape *shape, unsigned most)
{
    for (unsigned i = 0; i < most; i++) {
        struct actor *a = small[(i * 7 + i / 3) % shape->projects];

        if (large->holds.count > had)
            return i;
        act_request (st, a, 1); // it stands in line before it gives back
        if (i % 2)
            stage_sleep (st, GATHER);
        if (a->holds.count)
            act_release_some (st, a, 1);
        stage_sleep (st, 90);
    }
    return most;
}

static void all_or_nothing_is_not_starved_by_a_stream_of_small_ones (void **s)
{
    static const struct shape shapes[] = {
        {20, 2, 10, 5, 0, FAIR_PROPORTIONAL},
        {20, 2, 10, 5, 4, FAIR_PROPORTIONAL},
        {20, 5, 20, 5, 0, FAIR_MAXMIN},
        {20, 5, 15, 0, 0, FAIR_MAXMIN},
        {20, 19, 19, 1, 1, FAIR_MAXMIN},
        {8, 20, 8, 5, 0, FAIR_PROPORTIONAL}, // more projects than slots
        {8, 20, 8, 0, 0, FAIR_MAXMIN},
        {40, 10, 25, 1, 5, FAIR_PROPORTIONAL},
    };
    (void) s;

    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const struct shape *shape = &shapes[i];
        struct stage *st = play (POLICY_FAIR, shape->pool);
        struct actor *small[MOST_ACTORS], *large;
        char name[16];

        st->settings.fair_mode = shape->mode;
        configure (st, "large", shape->weight);
        reload (st);
        large = stage_shim (st, "large");
        if (shape->had) {
            act_request (st, large, shape->had);
            stage_sleep (st, GATHER);
        }
        for (unsigned k = 0; k < shape->projects; k++) {
            snprintf (name, sizeof name, "small%u", k);
            small[k] = stage_shim (st, name);
        }
        fill (st, small, shape->projects);
        want (st, large, shape->wanted - shape->had,
              shape->wanted - shape->had);
        assert_true (steps_to_be_served (st, small, large, shape->had, shape,
                                         400) < 150);
        stage_destroy (st);
    }
}

/* Whoever holds its turn is lost: the others go on. */
static void who_is_lost_while_it_is_his_turn_holds_nobody_up (void **state)
{
    struct stage *st = play (POLICY_FAIR, 10);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    struct actor *c = stage_shim (st, "c");
    (void) state;

    act_request (st, a, 10);
    stage_sleep (st, GATHER);
    want (st, b, 5, 5);
    stage_sleep (st, GATHER);
    act_release_some (st, a, 2);
    act_request (st, c, 2);
    stage_sleep (st, GATHER);
    assert_told (st, c, REASON_TURN, 2, 4);
    act_bye (st, b);
    granted (st, c, 2, 2);
    stage_destroy (st);
}

/* ---- fair: what is decided stays so ---- */

/* 10, 8 and 6 of 20 are decided, and the first 8 slots are granted. */
static struct stage *play_paced (struct actor *ret_actors[3])
{
    struct stage *st = play_row (&rows[0], ret_actors);

    st->settings.grant_burst = 8;
    reload (st);
    stage_sleep (st, 2000);
    act_request (st, ret_actors[0], 10);
    act_request (st, ret_actors[1], 8);
    act_request (st, ret_actors[2], 6);
    stage_sleep (st, GATHER);
    granted (st, ret_actors[0], 8, 10);
    assert_told (st, ret_actors[1], REASON_PACING, 1, 0);
    assert_told (st, ret_actors[2], REASON_TURN, 2, 0);
    return st;
}

static void decision_is_kept_while_the_pace_delays_it (void **state)
{
    struct actor *a[3], *d, *e;
    struct stage *st = play_paced (a);
    (void) state;

    d = stage_shim (st, "d");
    e = stage_shim (st, "e");
    stage_sleep (st, 100);
    act_request (st, d, 5);
    stage_sleep (st, GATHER);
    want (st, e, 2, 2);
    stage_sleep (st, 3000);
    holds (a[0], 8);
    holds (a[1], 7);
    holds (a[2], 5);
    holds (d, 0);
    holds (e, 0);
    assert_true (stage_logged (st, "project=odin token=16-20 in_use=20/20"));
    act_release_some (st, a[0], 3);
    stage_sleep (st, 3000);
    assert_int_equal (stage_in_use (st), 20);
    assert_true (d->holds.count >= 1);
    stage_destroy (st);
}

static void decision_that_a_smaller_pool_cannot_keep_is_made_anew (void **s)
{
    struct actor *a[3], *admin;
    struct stage *st = play_paced (a);
    (void) s;

    admin = stage_admin (st);
    set_max (st, admin, 12);
    stage_sleep (st, 3000);
    holds (a[0], 8);
    assert_int_equal (a[1]->holds.count + a[2]->holds.count, 4);
    assert_int_equal (stage_in_use (st), 12);
    stage_destroy (st);
}

static void decision_for_a_project_that_is_paused_is_for_the_others (void **s)
{
    struct actor *a[3], *admin;
    struct stage *st = play_paced (a);
    (void) s;

    admin = stage_admin (st);
    pause_it (st, admin, names[1], true);
    stage_sleep (st, 3000);
    holds (a[0], 8);
    holds (a[1], 0);
    holds (a[2], 6); // all that it asked for
    pause_it (st, admin, names[1], false);
    stage_sleep (st, 3000);
    holds (a[1], 6);
    stage_destroy (st);
}

static void decision_above_a_lowered_cap_is_made_anew (void **state)
{
    struct actor *a[3];
    struct stage *st = play_paced (a);
    (void) state;

    configure (st, names[1], 5)->max = 3;
    reload (st);
    stage_sleep (st, 3000);
    holds (a[0], 8);
    holds (a[1], 3);
    holds (a[2], 6);
    stage_destroy (st);
}

static void request_that_is_withdrawn_while_decided_leaves_its_share (void **s)
{
    struct actor *a[3], *d;
    struct stage *st = play_paced (a);
    (void) s;

    d = stage_shim (st, "d");
    act_request (st, d, 9);
    make_cancel (st, a[1], a[1]->seq);
    stage_tell (st, a[1]);
    stage_sleep (st, 4000);
    holds (a[0], 8);
    holds (a[1], 0);
    holds (a[2], 5);
    holds (d, 7);
    assert_int_equal (own_pool (st)->decided, 0);
    stage_destroy (st);
}

static void another_policy_ends_what_fair_has_decided (void **state)
{
    struct actor *a[3], *admin;
    struct stage *st = play_paced (a);
    (void) state;

    admin = stage_admin (st);
    set_policy (st, admin, "fifo");
    stage_sleep (st, 3000);
    holds (a[0], 8);
    holds (a[1], 8); // in order of arrival, as much as there is
    holds (a[2], 4);
    stage_destroy (st);
}

/* The pace keeps it waiting; then a reservation of it is asked for. */
static void newcomer_joins_as_soon_as_the_decision_is_carried_out (void **s)
{
    struct actor *a[3], *d;
    struct stage *st = play_paced (a);
    (void) s;

    act_release_some (st, a[0], 8);
    d = stage_shim (st, "d");
    act_request (st, d, 1);
    stage_sleep (st, GATHER);
    while (a[2]->holds.count == 0) {
        assert_int_equal (d->holds.count, 0);
        stage_sleep (st, 1);
    }
    for (unsigned i = 0; i < 130 && d->holds.count == 0; i++)
        stage_sleep (st, 1); // a slot's time, at 8 a second
    holds (d, 1);
    stage_destroy (st);
}

/* ---- the seed's days ---- */

static void odin_waits_for_three_under_every_policy (void **state)
{
    (void) state;

    for (enum policy p = POLICY_FIFO; p <= POLICY_PRIORITY; p++) {
        struct stage *st = play (p, 20);
        struct actor *a = stage_shim (st, "consilio");
        struct actor *b = stage_shim (st, "openhorizon");
        struct actor *odin = stage_shim (st, "odin");

        want (st, a, 8, 8);
        stage_sleep (st, GATHER);
        want (st, b, 10, 10);
        stage_sleep (st, GATHER);
        want (st, odin, 5, 5);
        if (p == POLICY_FAIR)
            stage_sleep (st, GATHER);
        assert_told (st, odin, REASON_SLOTS, 1, 3);
        act_release_some (st, a, 2);
        assert_told (st, odin, REASON_SLOTS, 1, 1);
        act_release_some (st, b, 1);
        granted (st, odin, 5, 5);
        assert_int_equal (stage_in_use (st), 20);
        stage_destroy (st);
    }
}

/* G4: the pool is full, and 3, 5 and 10 wait. */
static void highest_of_three_priorities_is_served_first (void **state)
{
    struct stage *st = play (POLICY_PRIORITY, 4);
    struct actor *z, *a, *b, *c;
    (void) state;

    configure (st, "three", 3);
    configure (st, "ten", 10);
    reload (st);
    z = stage_shim (st, "z");
    a = stage_shim (st, "three");
    b = stage_shim (st, "five");
    c = stage_shim (st, "ten");
    act_request (st, z, 4);
    act_request (st, a, 2);
    act_request (st, b, 2);
    assert_told (st, b, REASON_SLOTS, 1, 2);
    act_request (st, c, 2);
    assert_told (st, c, REASON_SLOTS, 1, 2);
    act_release_some (st, z, 2);
    granted (st, c, 2, 2);
    act_release_some (st, z, 2);
    granted (st, b, 2, 2);
    act_release_some (st, c, 2);
    granted (st, a, 2, 2);
    stage_destroy (st);
}

/* ---- priority ---- */

/* The pool is full; `low` and, `later` ms after, `high` want a slot. Returns
 * whether low was served first. */
static bool low_is_first (int64_t aging, unsigned low, unsigned high,
                          int64_t later)
{
    struct stage *st = play (POLICY_PRIORITY, 2);
    struct actor *z, *a, *b;
    bool first;

    st->settings.aging_ms = aging;
    configure (st, "low", low);
    configure (st, "high", high);
    reload (st);
    z = stage_shim (st, "z");
    a = stage_shim (st, "low");
    b = stage_shim (st, "high");
    act_request (st, z, 2);
    act_request (st, a, 1);
    stage_sleep (st, later);
    act_request (st, b, 1);
    act_release_some (st, z, 1);
    first = a->holds.count == 1;
    assert_int_equal (a->holds.count + b->holds.count, 1);
    stage_destroy (st);
    return first;
}

static void request_is_overtaken_for_aging_times_the_difference (void **state)
{
    (void) state;

    for (unsigned steps = 1; steps <= 7; steps += 3) {
        int64_t bound = 20000 * (int64_t) steps;

        assert_false (low_is_first (20000, 3, 3 + steps, bound - 1));
        assert_true (low_is_first (20000, 3, 3 + steps, bound));
        assert_true (low_is_first (20000, 3, 3 + steps, bound + 1));
    }
}

static void without_aging_the_higher_is_always_first (void **state)
{
    (void) state;

    assert_false (low_is_first (0, 3, 4, 3600000));
    assert_true (low_is_first (0, 4, 4, 1));
}

static void request_may_lower_its_priority_and_not_raise_it (void **state)
{
    struct stage *st = play (POLICY_PRIORITY, 2);
    struct actor *z = stage_shim (st, "z"), *a = stage_shim (st, "a");
    struct actor *b = stage_shim (st, "b"), *c = stage_shim (st, "c");
    (void) state;

    act_request (st, z, 2);
    make_request (st, a, 1);
    st->msg.request.priority = 4;
    stage_tell (st, a);
    act_request (st, b, 1);
    assert_told (st, b, REASON_SLOTS, 1, 1);
    make_request (st, c, 1);
    st->msg.request.priority = 900;
    stage_tell (st, c);
    assert_told (st, c, REASON_TURN, 2, 2);
    act_release_some (st, z, 1);
    holds (b, 1);
    act_release_some (st, z, 1);
    holds (c, 1);
    act_release_some (st, b, 1);
    holds (a, 1);
    stage_destroy (st);
}

/* ---- who cannot be served stops nobody, and keeps his place ---- */

enum obstacle { PAUSED, CAPPED, TOO_LARGE, OBSTACLES };

static void put (struct stage *st, struct actor *admin, enum obstacle what,
                 bool there)
{
    switch (what) {
    case PAUSED: pause_it (st, admin, "first", there); break;
    case CAPPED:
        configure (st, "first", 5)->max = there ? 7 : 0;
        reload (st);
        break;
    default:
        own_pool (st)->max_slots = there ? 5 : 10;
        stage_begin (st);
        stage_end (st);
        break;
    }
}

/* first holds 2 and wants 6, which it cannot have yet. */
static void head_that_cannot_be_served_stops_nobody_and_is_next (void **state)
{
    (void) state;

    for (unsigned i = 0; i < 3 * OBSTACLES; i++) {
        enum obstacle what = (enum obstacle) (i % OBSTACLES);
        struct stage *st = play ((enum policy) (i / OBSTACLES), 10);
        struct actor *z = stage_shim (st, "z"), *a = stage_shim (st, "first");
        struct actor *b = stage_shim (st, "second"), *admin = stage_admin (st);

        want (st, a, 2, 2);
        stage_sleep (st, GATHER);
        want (st, z, 8, 8);
        stage_sleep (st, GATHER);
        want (st, a, 6, 6);
        stage_sleep (st, GATHER);
        put (st, admin, what, true);
        want (st, b, 1, 1);
        stage_sleep (st, GATHER);
        act_release_some (st, z, 7);
        holds (b, 1);
        act_release_some (st, b, 1);
        want (st, b, 1, 1);
        stage_sleep (st, GATHER);
        holds (b, 1);
        holds (a, 2);
        assert_int_equal (st->b->waiters.count, 1);
        put (st, admin, what, false);
        holds (a, 8);
        stage_destroy (st);
    }
}

/* Both can be served at last: the one that waited longer is. */
static void who_was_passed_over_is_served_before_who_came_later (void **state)
{
    (void) state;

    for (unsigned i = 0; i < 2 * OBSTACLES; i++) {
        enum obstacle what = (enum obstacle) (i % OBSTACLES);
        struct stage *st =
            play (i / OBSTACLES ? POLICY_PRIORITY : POLICY_FIFO, 10);
        struct actor *z = stage_shim (st, "z"), *a = stage_shim (st, "first");
        struct actor *b = stage_shim (st, "second"), *admin = stage_admin (st);

        act_request (st, a, 2);
        act_request (st, z, 8);
        act_request (st, a, 6);
        put (st, admin, what, true);
        act_request (st, b, 5);
        act_release_some (st, z, 2);
        put (st, admin, what, false);
        assert_told (st, a, REASON_SLOTS, 1, 4);
        assert_told (st, b, REASON_TURN, 2, 9);
        act_release_some (st, z, 4);
        holds (a, 8);
        holds (b, 0);
        stage_destroy (st);
    }
}

/* ---- at run time ---- */

static void everybody_keeps_his_place_when_the_policy_changes (void **state)
{
    static const char *const words[] = {"fair", "priority", "fair", "fifo"};
    struct stage *st = play (POLICY_FIFO, 5);
    struct actor *z = stage_shim (st, "z"), *admin = stage_admin (st);
    struct actor *a[4];
    (void) state;

    act_request (st, z, 5);
    for (unsigned i = 0; i < 4; i++) {
        char name[] = {(char) ('d' - (char) i), '\0'};

        a[i] = stage_shim (st, name);
        act_request (st, a[i], 1);
        stage_sleep (st, 50);
    }
    for (unsigned i = 0; i < 4; i++) {
        set_policy (st, admin, words[i]);
        assert_int_equal (st->b->waiters.count, 4);
    }
    for (unsigned i = 0; i < 4; i++) {
        holds (a[i], 0);
        act_release_some (st, z, 1);
        holds (a[i], 1);
    }
    stage_destroy (st);
}

static void everybody_keeps_his_place_when_a_priority_changes (void **state)
{
    struct stage *st = play (POLICY_PRIORITY, 3);
    struct actor *z = stage_shim (st, "z"), *admin = stage_admin (st);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    (void) state;

    act_request (st, z, 3);
    act_request (st, a, 1);
    act_request (st, b, 1);
    act_request (st, a, 1);
    set_priority (st, admin, "b", 9);
    assert_told (st, b, REASON_SLOTS, 1, 1);
    set_priority (st, admin, "b", 5); // and back: as if nothing had been
    assert_told (st, a, REASON_TURN, 3, 3);
    act_release_some (st, z, 1);
    holds (a, 1);
    act_release_some (st, z, 1);
    holds (b, 1);
    act_release_some (st, z, 1);
    holds (a, 2);
    stage_destroy (st);
}

static unsigned looked_at;

static int64_t counted_key (const struct ticket *t,
                            const struct settings *settings)
{
    looked_at++;
    return policy_priority.key (t, settings);
}

/* Anybody may say it of his own project, again and again. */
static void pause_looks_at_none_of_those_who_wait (void **state)
{
    struct stage *st = play (POLICY_PRIORITY, 5);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    struct scheduler counted = policy_priority;
    (void) state;

    counted.key = counted_key;
    st->b->dispatch.policy = &counted;
    act_request (st, a, 5);
    for (unsigned i = 0; i < 20; i++)
        act_request (st, a, 1);
    act_request (st, b, 1);
    looked_at = 0;
    pause_it (st, a, "a", true);
    assert_int_equal (looked_at, 0);
    assert_told (st, a, REASON_PAUSED, 20, 20);
    act_release_some (st, a, 1);
    holds (b, 1);
    pause_it (st, a, "a", false);
    assert_int_equal (looked_at, 0);
    act_release_some (st, a, 1);
    holds (a, 4);
    stage_destroy (st);
}

/* ---- what can never be ---- */

static void what_can_never_be_is_refused_under_every_policy (void **state)
{
    (void) state;

    for (enum policy p = POLICY_FIFO; p <= POLICY_PRIORITY; p++) {
        struct stage *st = play (p, 10);
        struct actor *a = stage_shim (st, "a"), *z = stage_shim (st, "z");
        struct actor *admin = stage_admin (st);

        want (st, a, 11, 11);
        stage_assert_refused (st, a, ERR_EXCEEDS_MAX);
        act_request (st, z, 10);
        stage_sleep (st, GATHER);
        want (st, a, 8, 8);
        stage_sleep (st, GATHER);
        set_max (st, admin, 7); // drains: z keeps what it has
        stage_assert_refused (st, a, ERR_EXCEEDS_MAX);
        assert_int_equal (st->b->waiters.count, 0);
        holds (z, 10);
        want (st, a, 7, 7);
        stage_sleep (st, GATHER);
        assert_int_equal (st->b->waiters.count, 1);
        act_release_some (st, z, 4); // 6 of 7: nothing is free
        stage_sleep (st, 1);
        holds (a, 0);
        act_release_some (st, z, 6);
        stage_sleep (st, 1);
        holds (a, 7);
        stage_destroy (st);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (three_that_ask_at_once_have_their_shares),
        cmocka_unit_test (shares_hang_on_no_order_of_arrival),
        cmocka_unit_test (who_comes_after_the_moment_has_what_is_left),
        cmocka_unit_test (what_is_gathered_stays_together_whatever_people_say),
        cmocka_unit_test (guarantee_comes_before_the_shares),
        cmocka_unit_test (
            project_without_weight_has_one_slot_and_then_what_is_left),
        cmocka_unit_test (min_above_its_share_is_waited_for),
        cmocka_unit_test (nowait_under_fair_waits_for_the_moment_and_no_longer),
        cmocka_unit_test (
            all_or_nothing_is_not_starved_by_a_stream_of_small_ones),
        cmocka_unit_test (who_is_lost_while_it_is_his_turn_holds_nobody_up),
        cmocka_unit_test (decision_is_kept_while_the_pace_delays_it),
        cmocka_unit_test (
            decision_that_a_smaller_pool_cannot_keep_is_made_anew),
        cmocka_unit_test (
            decision_for_a_project_that_is_paused_is_for_the_others),
        cmocka_unit_test (decision_above_a_lowered_cap_is_made_anew),
        cmocka_unit_test (
            request_that_is_withdrawn_while_decided_leaves_its_share),
        cmocka_unit_test (another_policy_ends_what_fair_has_decided),
        cmocka_unit_test (
            newcomer_joins_as_soon_as_the_decision_is_carried_out),
        cmocka_unit_test (odin_waits_for_three_under_every_policy),
        cmocka_unit_test (highest_of_three_priorities_is_served_first),
        cmocka_unit_test (request_is_overtaken_for_aging_times_the_difference),
        cmocka_unit_test (without_aging_the_higher_is_always_first),
        cmocka_unit_test (request_may_lower_its_priority_and_not_raise_it),
        cmocka_unit_test (head_that_cannot_be_served_stops_nobody_and_is_next),
        cmocka_unit_test (who_was_passed_over_is_served_before_who_came_later),
        cmocka_unit_test (everybody_keeps_his_place_when_the_policy_changes),
        cmocka_unit_test (everybody_keeps_his_place_when_a_priority_changes),
        cmocka_unit_test (pause_looks_at_none_of_those_who_wait),
        cmocka_unit_test (what_can_never_be_is_refused_under_every_policy),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
