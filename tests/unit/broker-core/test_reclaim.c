/* SPDX-License-Identifier: MPL-2.0 */
/* Under `fair`: who is asked for idle slots, for how many, and to whom goes
 * what comes back. */
#include "stage.h"

#include <string.h>

#include "core/state.h"

enum { IDLE_MS = 60000, BEAT_MS = 5000 };

static void reload (struct stage *st)
{
    stage_begin (st);
    broker_reload (st->b, &st->settings, st->now, st->out);
    stage_end (st);
}

/* `fair` between equals, no caps; what is granted when nobody else asks is
 * granted whole. */
static struct stage *fair_stage (unsigned max_slots)
{
    struct stage *st = stage_create (max_slots);

    st->settings.policy = POLICY_FAIR;
    st->settings.fair_mode = FAIR_MAXMIN;
    st->settings.max_per_project = max_slots;
    st->settings.max_per_project_auto = false;
    st->settings.reclaim_idle_ms = IDLE_MS;
    reload (st);
    return st;
}

/* Asks, and what is asked for at the same time has been gathered. */
static void ask (struct stage *st, struct actor *a, unsigned count)
{
    act_request (st, a, count);
    st->now += st->settings.timing.gather;
    stage_begin (st);
    stage_end (st);
}

static void batch (struct stage *st)
{
    stage_begin (st);
    stage_end (st);
}

/* How many it was asked for in the newest batch. */
static unsigned asked (const struct stage *st, const struct actor *a)
{
    const struct msg_reclaim *m = stage_got (st, a, VERB_RECLAIM);

    return m ? (unsigned) m->count : 0;
}

/* `a` holds them all, and they lie idle for long. */
static struct actor *rich (struct stage *st, const char *project,
                           unsigned count)
{
    struct actor *a = stage_shim (st, project);

    ask (st, a, count);
    assert_int_equal (a->holds.count, count);
    return a;
}

static void project_below_its_target_lets_the_one_above_be_asked (void **state)
{
    struct stage *st = fair_stage (8);
    struct actor *a = rich (st, "a", 8), *b = stage_shim (st, "b");
    const struct msg_reclaim *m;

    (void) state;
    stage_sleep (st, IDLE_MS);
    ask (st, b, 8);
    m = stage_got (st, a, VERB_RECLAIM);
    assert_non_null (m);
    assert_int_equal (m->session, a->session);
    assert_int_equal (m->count, 4); // what is above its target
    assert_int_equal (m->within_ms, 2 * BEAT_MS);
    assert_string_equal (m->whom, "b");
    assert_true (stage_logged (st, "count=4 for=b"));
    stage_destroy (st);
}

static void nobody_is_asked_for_more_than_is_needed (void **state)
{
    struct stage *st = fair_stage (8);
    struct actor *a = rich (st, "a", 8), *b = stage_shim (st, "b");

    (void) state;
    stage_sleep (st, IDLE_MS);
    ask (st, b, 2);
    assert_int_equal (asked (st, a), 2);
    stage_destroy (st);
}

static void what_was_used_lately_is_not_asked_for (void **state)
{
    struct stage *st = fair_stage (8);
    struct actor *a = rich (st, "a", 6), *b = stage_shim (st, "b");

    (void) state;
    stage_sleep (st, IDLE_MS - 10000);
    ask (st, a, 2);
    ask (st, b, 4);
    assert_int_equal (asked (st, a), 0);
    stage_sleep (st, 11000); // six are old now, and two are not
    assert_true (stage_logged (st, "count=4 for=b"));
    stage_destroy (st);
}

static void what_is_run_bound_or_filled_is_never_asked_for (void **state)
{
    struct stage *st = fair_stage (6);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");

    (void) state;
    make_request (st, a, 1);
    st->msg.request.run = true;
    stage_tell (st, a);
    make_request (st, a, 1);
    st->msg.request.bound = true;
    stage_tell (st, a);
    ask (st, a, 4);
    assert_int_equal (a->holds.count, 6);
    act_started (st, a, a->holds.at[2]);
    act_started (st, a, a->holds.at[3]);
    act_started (st, a, a->holds.at[4]);
    stage_sleep (st, IDLE_MS);
    ask (st, b, 3);
    assert_int_equal (asked (st, a), 1);
    stage_destroy (st);
}

static void session_is_asked_once_in_two_beats (void **state)
{
    struct stage *st = fair_stage (8);
    struct actor *a = rich (st, "a", 8), *b = stage_shim (st, "b");

    (void) state;
    stage_sleep (st, IDLE_MS);
    ask (st, b, 2);
    assert_int_equal (asked (st, a), 2);
    for (int i = 0; i < 9; i++) {
        st->now += 1000;
        batch (st);
        assert_int_equal (asked (st, a), 0);
    }
    st->now += 1000;
    batch (st);
    assert_int_equal (asked (st, a), 2);
    stage_destroy (st);
}

static void one_furthest_above_its_target_is_asked_first (void **state)
{
    struct stage *st = fair_stage (12);
    struct actor *a = rich (st, "a", 4), *b = rich (st, "b", 8);
    struct actor *c = stage_shim (st, "c");

    (void) state;
    stage_sleep (st, IDLE_MS);
    ask (st, c, 2);
    assert_int_equal (asked (st, b), 2);
    assert_int_equal (asked (st, a), 0);
    stage_destroy (st);
}

/* a has 5, b 7 of 12; each should have 4. */
static void all_that_are_above_are_asked_for_no_more_than_that (void **state)
{
    struct stage *st = fair_stage (12);
    struct actor *a = rich (st, "a", 5), *b = rich (st, "b", 7);
    struct actor *c = stage_shim (st, "c");

    (void) state;
    stage_sleep (st, IDLE_MS);
    ask (st, c, 9);
    assert_int_equal (asked (st, b), 3);
    assert_int_equal (asked (st, a), 1);
    stage_destroy (st);
}

/* a and b have 6 of 12, and c and d wait: each should have 3, and c is first.
 */
static void nobody_is_asked_for_what_another_gives (void **state)
{
    struct stage *st = fair_stage (12);
    struct actor *a = rich (st, "a", 6), *b = rich (st, "b", 6);
    struct actor *c = stage_shim (st, "c"), *d = stage_shim (st, "d");

    (void) state;
    stage_sleep (st, IDLE_MS);
    act_request (st, c, 3);
    ask (st, d, 3);
    assert_int_equal (asked (st, a) + asked (st, b), 3);
    stage_destroy (st);
}

/* Nobody may have heard of it: it is not there to be given back. */
static void what_was_never_confirmed_is_not_asked_for (void **state)
{
    struct stage *st = fair_stage (8);
    struct actor *a, *b;

    (void) state;
    st->settings.reclaim_idle_ms = 0;
    reload (st);
    a = rich (st, "a", 8);
    b = stage_shim (st, "b");
    ask (st, b, 4);
    assert_int_equal (asked (st, a), 0);
    act_beat (st, a);
    assert_int_equal (asked (st, a), 4);
    stage_destroy (st);
}

/* 12 of 20 are held; a pool of 9 is to be shared by 5 and 4. */
static void what_health_leaves_is_shared_too (void **state)
{
    struct stage *st = fair_stage (20);
    struct actor *a = rich (st, "a", 12), *b = stage_shim (st, "b");
    struct actor *admin = stage_admin (st);

    (void) state;
    message_init (&st->msg, VERB_RELIEVE);
    st->msg.relieve.id = 1;
    stage_tell (st, admin);
    assert_int_equal (pool_effective (st->b->pools.at[0]), 9);
    stage_sleep (st, IDLE_MS);
    ask (st, b, 4);
    assert_int_equal (st->b->pools.at[0]->why, REASON_HEALTH);
    assert_int_equal (asked (st, a), 4);
    stage_destroy (st);
}

static void sessions_of_a_project_share_what_is_asked_for (void **state)
{
    struct stage *st = fair_stage (8);
    struct actor *a, *again, *b;

    (void) state;
    a = rich (st, "a", 3);
    again = stage_actor (st, "a");
    again->peer.uid = 1001;
    act_hello (st, again);
    ask (st, again, 5);
    assert_int_equal (again->holds.count, 5);
    b = stage_shim (st, "b");
    stage_sleep (st, IDLE_MS);
    ask (st, b, 8);
    assert_int_equal (asked (st, a) + asked (st, again), 4);
    stage_destroy (st);
}

static void nobody_is_asked_when_that_is_off_or_not_fair (void **state)
{
    struct stage *st = fair_stage (8);
    struct actor *a = rich (st, "a", 8), *b = stage_shim (st, "b");

    (void) state;
    st->settings.reclaim = false;
    reload (st);
    stage_sleep (st, IDLE_MS);
    ask (st, b, 4);
    stage_sleep (st, 3 * BEAT_MS);
    assert_false (stage_logged (st, "reclaim "));
    st->settings.reclaim = true;
    st->settings.policy = POLICY_FIFO;
    reload (st);
    stage_sleep (st, 3 * BEAT_MS);
    st->settings.policy = POLICY_PRIORITY;
    reload (st);
    stage_sleep (st, 3 * BEAT_MS);
    assert_false (stage_logged (st, "reclaim "));
    assert_int_equal (a->holds.count, 8);
    stage_destroy (st);
}

static void asking_session_hears_of_it_in_beat_ok (void **state)
{
    struct stage *st = fair_stage (8);
    struct actor *a = stage_actor (st, "a"), *b = stage_shim (st, "b");
    const struct msg_beat_ok *ok;

    (void) state;
    a->peer.path.req = true;
    act_hello (st, a);
    ask (st, a, 8);
    act_beat (st, a);
    assert_int_equal (a->holds.count, 8);
    stage_sleep (st, IDLE_MS);
    ask (st, b, 3);
    assert_int_equal (stage_got_count (st, a), 0); // never pushed
    act_beat (st, a);
    ok = stage_got (st, a, VERB_BEAT_OK);
    assert_non_null (ok);
    assert_int_equal (ok->reclaim, 3);
    act_beat (st, a);
    ok = stage_got (st, a, VERB_BEAT_OK);
    assert_int_equal (ok->reclaim, 0); // once
    stage_destroy (st);
}

static void shims_are_told_what_counts_as_idle_now (void **state)
{
    struct stage *st = fair_stage (8);
    struct actor *a = rich (st, "a", 4), *b = stage_shim (st, "b");
    struct actor *c = stage_actor (st, "c");
    const struct msg_beat_ok *ok;

    (void) state;
    c->peer.path.req = true;
    act_hello (st, c);
    ask (st, c, 4);
    act_beat (st, c);
    assert_int_equal (c->holds.count, 4);
    stage_sleep (st, 20000);
    ask (st, b, 2);
    assert_int_equal (asked (st, a), 0);
    st->settings.reclaim_idle_ms = 15000;
    reload (st);
    assert_true (asked (st, a) > 0);
    assert_int_equal (
        ((const struct msg_reclaim *) stage_got (st, a, VERB_RECLAIM))->idle_ms,
        15000);
    act_beat (st, c);
    ok = stage_got (st, c, VERB_BEAT_OK);
    assert_true (ok->reclaim > 0);
    assert_int_equal (ok->idle_ms, 15000);
    act_beat (st, c);
    ok = stage_got (st, c, VERB_BEAT_OK);
    assert_int_equal (ok->idle_ms, 0);
    stage_destroy (st);
}

static void what_comes_back_goes_to_whom_it_was_asked_for (void **state)
{
    struct stage *st = fair_stage (8);
    struct actor *a = rich (st, "a", 8), *b = stage_shim (st, "b");
    struct actor *c = stage_shim (st, "c");

    (void) state;
    stage_sleep (st, IDLE_MS);
    ask (st, b, 1); // target 1
    assert_int_equal (asked (st, a), 1);
    ask (st, c, 4); // further below its own
    act_release_some (st, a, 1);
    assert_int_equal (b->holds.count, 1);
    assert_int_equal (c->holds.count, 0);
    stage_destroy (st);
}

/* Whatever is said of others meanwhile. */
static void what_comes_back_is_kept_through_a_pause (void **state)
{
    struct stage *st = fair_stage (8);
    struct actor *a = rich (st, "a", 8), *b = stage_shim (st, "b");
    struct actor *c = stage_shim (st, "c"), *x = stage_shim (st, "x");

    (void) state;
    stage_sleep (st, IDLE_MS);
    ask (st, b, 1);
    assert_int_equal (asked (st, a), 1);
    ask (st, c, 4);
    message_init (&st->msg, VERB_PAUSE);
    copy_text (st->msg.pause.project, sizeof st->msg.pause.project, "x");
    stage_tell (st, x);
    act_release_some (st, a, 1);
    assert_int_equal (b->holds.count, 1);
    assert_int_equal (c->holds.count, 0);
    stage_destroy (st);
}

/* What it should have is kept for b, and no more than that. */
static void more_than_its_target_is_kept_for_nobody (void **state)
{
    struct stage *st = fair_stage (8);
    struct actor *a = rich (st, "a", 8), *b = stage_shim (st, "b");
    struct actor *c = stage_shim (st, "c");

    (void) state;
    stage_sleep (st, IDLE_MS);
    ask (st, b, 1);
    assert_int_equal (asked (st, a), 1);
    for (unsigned i = 0; i < 3; i++)
        act_request (st, b, 1);
    for (unsigned i = 0; i < 4; i++)
        act_request (st, c, 1);
    st->now += st->settings.timing.gather;
    batch (st);
    act_release_some (st, a, 5);
    assert_int_equal (b->holds.count, 3);
    assert_int_equal (c->holds.count, 2);
    stage_destroy (st);
}

static void what_comes_back_late_goes_to_whoever_is_next (void **state)
{
    struct stage *st = fair_stage (8);
    struct actor *a = rich (st, "a", 8), *b = stage_shim (st, "b");
    struct actor *c = stage_shim (st, "c");

    (void) state;
    stage_sleep (st, IDLE_MS);
    ask (st, b, 1);
    assert_int_equal (asked (st, a), 1);
    ask (st, c, 4);
    st->now += 2 * BEAT_MS;
    act_release_some (st, a, 1);
    assert_int_equal (b->holds.count, 0);
    assert_int_equal (c->holds.count, 1);
    stage_destroy (st);
}

static void each_host_asks_its_own (void **state)
{
    struct stage *st = fair_stage (16);
    struct actor *a, *b, *far_a, *far_b;

    (void) state;
    for (unsigned i = 0; i < 2; i++) {
        copy_text (st->settings.hosts[i].host, 65, i ? "vm2" : "vm1");
        st->settings.hosts[i].max_slots = 8;
    }
    st->settings.host_count = 2;
    reload (st);
    a = rich (st, "a", 8);
    far_a = stage_remote (st, "a", "vm2");
    ask (st, far_a, 8);
    assert_int_equal (far_a->holds.count, 8);
    b = stage_shim (st, "b");
    far_b = stage_remote (st, "b", "vm2");
    stage_sleep (st, IDLE_MS);
    ask (st, far_b, 2);
    assert_int_equal (asked (st, far_a), 2);
    assert_int_equal (asked (st, a), 0);
    ask (st, b, 3);
    assert_int_equal (asked (st, a), 3);
    assert_int_equal (asked (st, far_a), 0);
    stage_destroy (st);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (project_below_its_target_lets_the_one_above_be_asked),
        cmocka_unit_test (nobody_is_asked_for_more_than_is_needed),
        cmocka_unit_test (what_was_used_lately_is_not_asked_for),
        cmocka_unit_test (what_is_run_bound_or_filled_is_never_asked_for),
        cmocka_unit_test (session_is_asked_once_in_two_beats),
        cmocka_unit_test (one_furthest_above_its_target_is_asked_first),
        cmocka_unit_test (all_that_are_above_are_asked_for_no_more_than_that),
        cmocka_unit_test (nobody_is_asked_for_what_another_gives),
        cmocka_unit_test (what_was_never_confirmed_is_not_asked_for),
        cmocka_unit_test (what_health_leaves_is_shared_too),
        cmocka_unit_test (sessions_of_a_project_share_what_is_asked_for),
        cmocka_unit_test (nobody_is_asked_when_that_is_off_or_not_fair),
        cmocka_unit_test (asking_session_hears_of_it_in_beat_ok),
        cmocka_unit_test (shims_are_told_what_counts_as_idle_now),
        cmocka_unit_test (what_comes_back_goes_to_whom_it_was_asked_for),
        cmocka_unit_test (what_comes_back_is_kept_through_a_pause),
        cmocka_unit_test (more_than_its_target_is_kept_for_nobody),
        cmocka_unit_test (what_comes_back_late_goes_to_whoever_is_next),
        cmocka_unit_test (each_host_asks_its_own),
    };

    return cmocka_run_group_tests (tests, NULL, NULL);
}
