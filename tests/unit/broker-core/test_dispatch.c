/* SPDX-License-Identifier: MPL-2.0 */
/* The scheduler alone: pools, projects and tickets as bare numbers. What it
 * says of ranks is compared with a recount that merges the lanes one by one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/dispatch.h"
#include "core/memory.h"

enum { MOST_TICKETS = 64, MOST_HOLDERS = 24, STATES = 3000, STEPS = 6 };

/* xorshift64*: the same states each time. */
static uint64_t chance_state = 1;

static uint64_t chance (uint64_t below)
{
    chance_state ^= chance_state >> 12;
    chance_state ^= chance_state << 25;
    chance_state ^= chance_state >> 27;
    return ((chance_state * UINT64_C (2685821657736338717)) >> 33) % below;
}

/* ---- the scene ---- */

/* A session: what it holds of whom where. */
struct keeper {
    struct holder holder;
    struct lane *lane;
    unsigned held; // in that lane; with what it holds elsewhere: holder.held
};

struct scene {
    struct settings settings;
    struct pools pools;
    struct projects projects;
    struct dispatch d;
    struct keeper keepers[MOST_HOLDERS];
    unsigned keeper_count;
    struct ticket *tickets[MOST_TICKETS]; // that wait, in no order
    unsigned count;
    uint64_t number; // of the newest
    int64_t now;
    char served[256]; // "3:8 4:2": numbers and amounts of the newest walk
};

static struct scene *scene_create (enum policy policy, unsigned max_slots)
{
    struct scene *s = new_zeroed (sizeof *s);

    settings_default (&s->settings, 8, (uint64_t) 16 << 30);
    settings_set_max (&s->settings, max_slots);
    s->settings.max_per_project = max_slots;
    s->settings.policy = policy;
    s->settings.grant_burst = 0;
    s->settings.timing.gather = 0;
    s->now = 1000;
    dispatch_init (&s->d, &s->settings, &s->pools, &s->projects);
    return s;
}

static void scene_destroy (struct scene *s)
{
    for (unsigned i = 0; i < s->count; i++)
        free (s->tickets[i]);
    dispatch_drop (&s->d);
    projects_clear (&s->projects);
    pools_clear (&s->pools);
    free (s);
}

/* Its lane on that host, with a holder of its own. */
static struct keeper *join (struct scene *s, const char *host,
                            const char *project)
{
    struct keeper *k = &s->keepers[s->keeper_count++];

    assert_true (s->keeper_count <= MOST_HOLDERS);
    k->lane = dispatch_lane (
        &s->d, pools_have (&s->pools, host, &s->settings, s->now),
        projects_have (&s->projects, project, &s->settings));
    return k;
}

static void hold (struct scene *s, struct keeper *k, int count)
{
    k->held += (unsigned) count;
    k->holder.held += (unsigned) count;
    k->lane->held += (unsigned) count;
    k->lane->project->held += (unsigned) count;
    k->lane->pool->in_use += (unsigned) count;
    s->d.in_use += (unsigned) count;
}

static struct ticket *add (struct scene *s, struct keeper *k, struct ticket as)
{
    struct ticket *t = new_zeroed (sizeof *t);

    assert_true (s->count < MOST_TICKETS);
    *t = as;
    t->number = ++s->number;
    t->holder = &k->holder;
    t->min = as.min ? as.min : as.count;
    t->since = as.since ? as.since : s->now;
    s->tickets[s->count++] = t;
    dispatch_add (&s->d, k->lane, t, s->now);
    return t;
}

static struct ticket *want (struct scene *s, struct keeper *k, unsigned count)
{
    return add (s, k, (struct ticket){.count = count});
}

/* It waits no longer, and is no more. */
static void forget (struct scene *s, struct ticket *t)
{
    for (unsigned i = 0; i < s->count; i++) {
        if (s->tickets[i] == t)
            s->tickets[i] = s->tickets[--s->count];
    }
    if (t->lane)
        dispatch_remove (&s->d, t);
    free (t);
}

static struct keeper *keeper_of (struct scene *s, const struct ticket *t)
{
    struct keeper *k = s->keepers;

    while (&k->holder != t->holder)
        k++;
    return k;
}

static void carry_out (struct scene *s, const struct decision *next)
{
    struct ticket *t = next->ticket;
    struct keeper *k = keeper_of (s, t);
    size_t used = strlen (s->served);

    snprintf (s->served + used, sizeof s->served - used, "%s%u:%u",
              used ? " " : "", (unsigned) t->number, next->amount);
    if (next->amount) {
        assert_true (next->amount >= t->min && next->amount <= t->count);
        dispatch_take (&s->d, t, next->amount, s->now);
        k->held += next->amount;
        k->holder.held += next->amount;
    } else
        assert_true (t->nowait);
    forget (s, t);
}

/* A round; with several hosts again, as long as something is granted. */
static void serve (struct scene *s)
{
    struct decision next;
    bool again = true;

    s->served[0] = '\0';
    while (again) {
        again = false;
        dispatch_begin (&s->d, s->now);
        while (dispatch_next (&s->d, s->now, &next)) {
            again |= next.amount && s->pools.count > 1;
            carry_out (s, &next);
        }
    }
    for (unsigned i = s->count; i-- > 0;) { // as round.c does
        struct ticket *t = s->tickets[i];

        if (t->nowait && !t->decided && !dispatch_is_gathering (t))
            forget (s, t);
    }
}

static void assert_served (struct scene *s, const char *served)
{
    serve (s);
    assert_string_equal (s->served, served);
}

static struct outlook outlook_of (const struct scene *s, const struct ticket *t)
{
    struct outlook outlook;

    memset (&outlook, 0, sizeof outlook);
    dispatch_explain (&s->d, t, s->now, &outlook);
    dispatch_detail (&s->d, t, outlook.reason, s->now, outlook.detail,
                     sizeof outlook.detail);
    return outlook;
}

static void assert_waits (const struct scene *s, const struct ticket *t,
                          unsigned position, unsigned slots_ahead,
                          enum reason reason, const char *detail)
{
    struct outlook outlook = outlook_of (s, t);

    assert_int_equal (outlook.position, position);
    assert_int_equal (outlook.slots_ahead, slots_ahead);
    assert_string_equal (reason_name (outlook.reason), reason_name (reason));
    assert_string_equal (outlook.detail, detail);
}

/* ---- order ---- */

static void lanes_are_merged_by_arrival_under_fifo (void **state)
{
    struct scene *s = scene_create (POLICY_FIFO, 20);
    struct keeper *a = join (s, "vm1", "a"), *b = join (s, "vm1", "b");
    (void) state;

    hold (s, a, 20);
    want (s, a, 1);
    want (s, b, 2);
    want (s, a, 3);
    want (s, b, 4);
    assert_served (s, "");
    hold (s, a, -6);
    assert_served (s, "1:1 2:2 3:3");
    hold (s, a, -4);
    assert_served (s, "4:4");
    scene_destroy (s);
}

static void first_that_does_not_fit_keeps_all_behind_it_waiting (void **state)
{
    struct scene *s = scene_create (POLICY_FIFO, 20);
    struct keeper *a = join (s, "vm1", "a"), *b = join (s, "vm1", "b");
    struct ticket *large, *small;
    (void) state;

    hold (s, a, 18);
    large = want (s, b, 5);
    small = want (s, a, 1);
    assert_served (s, "");
    assert_waits (s, large, 1, 3, REASON_SLOTS, "2 of 20 free, 5 wanted");
    assert_waits (s, small, 2, 4, REASON_TURN, "behind b's 5");
    forget (s, large);
    assert_served (s, "2:1");
    scene_destroy (s);
}

static void what_is_passed_over_holds_back_its_own_lane_alone (void **state)
{
    struct scene *s = scene_create (POLICY_FIFO, 20);
    struct keeper *a = join (s, "vm1", "a"), *b = join (s, "vm1", "b");
    struct ticket *first, *second;
    (void) state;

    a->lane->project->max = 4;
    hold (s, a, 3);
    first = want (s, a, 2);
    second = want (s, a, 1);
    want (s, b, 17);
    assert_served (s, "3:17");
    assert_waits (s, first, 1, 2, REASON_CAP, "a holds 3 of its 4");
    assert_waits (s, second, 2, 3, REASON_TURN,
                  "behind an earlier request of a");
    scene_destroy (s);
}

static void paused_and_too_large_ones_are_passed_over (void **state)
{
    struct scene *s = scene_create (POLICY_FIFO, 20);
    struct keeper *a = join (s, "vm1", "a"), *b = join (s, "vm1", "b");
    struct keeper *c = join (s, "vm1", "c"), *e = join (s, "vm1", "e");
    struct ticket *paused, *large, *contested;
    (void) state;

    a->lane->project->said.paused = true;
    e->holder.paused_until = s->now + 500;
    paused = want (s, a, 1);
    large = want (s, b, 12);
    contested = want (s, e, 1);
    a->lane->pool->max_slots = 11;
    want (s, c, 3);
    assert_served (s, "4:3");
    assert_waits (s, paused, 1, 0, REASON_PAUSED, "a is paused");
    assert_waits (s, large, 2, 4, REASON_HEALTH,
                  "effective 11 of 11, 12 wanted");
    assert_waits (s, contested, 3, 0, REASON_PAUSED,
                  "two living hosts claim this identity");
    assert_int_equal (dispatch_due (&s->d, s->now), s->now + 500);

    a->lane->project->said.paused = false;
    a->lane->pool->max_slots = 20;
    s->now += 500;
    assert_served (s, "1:1 2:12 3:1"); // each in the place that it had
    scene_destroy (s);
}

static void session_is_never_given_more_than_it_may_hold (void **state)
{
    struct scene *s = scene_create (POLICY_FIFO, 2000);
    struct keeper *a = join (s, "vm1", "a"), *b = join (s, "vm1", "b");
    struct ticket *t;
    (void) state;

    hold (s, a, MAX_HELD - 1);
    t = add (s, a, (struct ticket){.count = 2, .min = 2});
    want (s, b, 1);
    assert_served (s, "2:1");
    assert_waits (s, t, 1, 0, REASON_CAP, "a session holds at most 512 slots");
    forget (s, t);
    add (s, a, (struct ticket){.count = 2, .min = 1});
    assert_served (s, "3:1");
    scene_destroy (s);
}

/* Its project's cap has room: for another session it may be used. */
static void session_that_may_hold_no_more_keeps_nobody_else_back (void **state)
{
    struct scene *s = scene_create (POLICY_FIFO, 2000);
    struct keeper *a = join (s, "vm1", "a"), *there = join (s, "vm2", "a");
    (void) state;

    hold (s, a, MAX_HELD);
    want (s, a, 1);
    want (s, there, 1);
    assert_served (s, "2:1");
    scene_destroy (s);
}

static void fair_session_that_may_hold_no_more_is_passed_over (void **state)
{
    struct scene *s = scene_create (POLICY_FAIR, 2000);
    struct keeper *a = join (s, "vm1", "a"), *b = join (s, "vm1", "b");
    (void) state;

    hold (s, b, MAX_HELD); // a is further below its target
    hold (s, a, MAX_HELD - 1);
    b->holder.held = 0;
    want (s, a, 2);
    want (s, b, 1);
    assert_served (s, "2:1");
    assert_int_equal (outlook_of (s, s->tickets[0]).reason, REASON_CAP);
    scene_destroy (s);
}

static void fair_session_is_never_given_more_than_it_may_hold (void **state)
{
    struct scene *s = scene_create (POLICY_FAIR, 2000);
    struct keeper *a = join (s, "vm1", "a");
    (void) state;

    hold (s, a, MAX_HELD - 3);
    for (unsigned i = 0; i < 3; i++)
        add (s, a, (struct ticket){.count = 2, .min = 1});
    s->now++;
    assert_served (s, "1:2 2:1");
    assert_int_equal (outlook_of (s, s->tickets[0]).reason, REASON_CAP);
    scene_destroy (s);
}

/* ---- several hosts ---- */

static void cap_is_kept_for_the_older_over_all_hosts (void **state)
{
    struct scene *s = scene_create (POLICY_FIFO, 20);
    struct keeper *here = join (s, "vm1", "a"), *there = join (s, "vm2", "a");
    struct keeper *b = join (s, "vm2", "b");
    struct ticket *young;
    (void) state;

    here->lane->project->max = 6;
    hold (s, here, 4);
    want (s, here, 4);
    young = want (s, there, 1);
    want (s, b, 1);
    assert_served (s, "3:1");
    assert_waits (s, young, 1, 0, REASON_CAP,
                  "an older request of a on another host comes first");
    hold (s, here, -2);
    assert_served (s, "1:4");
    hold (s, here, -1);
    assert_served (s, "2:1");
    scene_destroy (s);
}

static void sum_of_all_hosts_is_kept_for_the_older (void **state)
{
    struct scene *s = scene_create (POLICY_FIFO, 10);
    struct keeper *a = join (s, "vm1", "a"), *b = join (s, "vm2", "b");
    struct keeper *c = join (s, "vm2", "c");
    struct ticket *old, *young;
    (void) state;

    hold (s, a, 3);
    hold (s, b, 3);
    old = want (s, a, 5); // 7 free there, 4 of the sum
    young = want (s, c, 1);
    assert_served (s, "");
    assert_waits (s, old, 1, 1, REASON_SLOTS,
                  "4 of 10 free on all hosts, 5 wanted");
    assert_waits (s, young, 1, 0, REASON_SLOTS,
                  "an older request on another host comes first");
    hold (s, b, -1);
    assert_served (s, "1:5");
    hold (s, b, -1);
    assert_served (s, "2:1");
    scene_destroy (s);
}

/* ---- parked trees that come back ---- */

static void who_comes_back_is_before_its_own_project_and_nobody_else (void **s_)
{
    const enum policy policies[] = {POLICY_FIFO, POLICY_PRIORITY};
    (void) s_;

    for (unsigned i = 0; i < 2; i++) {
        struct scene *s = scene_create (policies[i], 10);
        struct keeper *a = join (s, "vm1", "a"), *b = join (s, "vm1", "b");
        struct ticket *own[2], *other[2], *back[2];

        hold (s, a, 10);
        other[0] = want (s, b, 1);
        own[0] = want (s, a, 1);
        other[1] = want (s, b, 1);
        own[1] = want (s, a, 1);
        back[0] = add (s, a, (struct ticket){.count = 2, .back = true});
        back[1] = add (s, a, (struct ticket){.count = 1, .back = true});
        serve (s);
        assert_int_equal (outlook_of (s, other[0]).position, 1);
        assert_int_equal (outlook_of (s, back[0]).position, 2);
        assert_int_equal (outlook_of (s, back[1]).position, 3);
        assert_int_equal (outlook_of (s, own[0]).position, 4);
        assert_int_equal (outlook_of (s, own[0]).slots_ahead, 5);
        assert_int_equal (outlook_of (s, other[1]).position, 5);
        assert_int_equal (outlook_of (s, own[1]).position, 6);
        hold (s, a, -7);
        assert_served (s, "1:1 5:2 6:1 2:1 3:1 4:1");
        scene_destroy (s);
    }
}

static void who_comes_back_alone_stands_where_he_came (void **state)
{
    struct scene *s = scene_create (POLICY_FIFO, 10);
    struct keeper *a = join (s, "vm1", "a"), *b = join (s, "vm1", "b");
    (void) state;

    hold (s, a, 10);
    want (s, b, 1);
    add (s, a, (struct ticket){.count = 1, .back = true});
    want (s, b, 1);
    want (s, a, 1);
    serve (s);
    hold (s, a, -4);
    assert_served (s, "1:1 2:1 3:1 4:1");
    scene_destroy (s);
}

/* It does not gather: it has waited for its slot before. */
static void who_comes_back_under_fair_is_served_at_once (void **state)
{
    struct scene *s = scene_create (POLICY_FAIR, 10);
    struct keeper *a = join (s, "vm1", "a");
    (void) state;

    s->settings.timing.gather = 200;
    want (s, a, 1);
    add (s, a, (struct ticket){.count = 2, .back = true});
    assert_served (s, "2:2");
    s->now += 200;
    assert_served (s, "1:1");
    scene_destroy (s);
}

/* The pace keeps 8 of a waiting; then a tree of it comes back. */
static void who_comes_back_while_others_are_paced_is_served (void **state)
{
    struct scene *s = scene_create (POLICY_FAIR, 40);
    struct keeper *a = join (s, "vm1", "a"), *b = join (s, "vm1", "b");
    (void) state;

    s->settings.grant_burst = 8;
    a->lane->pool->bucket = 8000;
    want (s, a, 8);
    want (s, b, 8);
    want (s, a, 8);
    s->now++;
    assert_served (s, "1:8");
    add (s, a, (struct ticket){.count = 1, .back = true});
    add (s, b, (struct ticket){.count = 1, .back = true});
    for (unsigned i = 0; i < 6 && s->count; i++) {
        s->now += 1000;
        serve (s);
    }
    assert_int_equal (s->count, 0);
    assert_int_equal (s->d.in_use, 26);
    assert_int_equal (a->lane->pool->decided, 0);
    scene_destroy (s);
}

/* ---- what no figure shows yet ---- */

/* At this load; 4 of a start, and whoever comes with them waits to see. */
static struct scene *ramping (double load)
{
    struct scene *s = scene_create (POLICY_FIFO, 40);
    struct pool *pool = join (s, "vm1", "a")->lane->pool;

    s->now = 100000;
    s->settings.grant_burst = 8;
    pool->bucket = 8000;
    pool->health.sampled = true;
    pool->health.sample.load1 = load;
    want (s, &s->keepers[0], 4);
    return s;
}

static void what_has_just_started_counts_as_load (void **state)
{
    struct scene *s = ramping (12); // 12 + 4 are at the limit of 16
    struct ticket *t = want (s, join (s, "vm1", "b"), 1);
    int64_t began = s->now;
    (void) state;

    assert_served (s, "1:4");
    assert_waits (s, t, 1, 0, REASON_PACING,
                  "4 have just started, and the load of 12.0 (limit 16.0) "
                  "does not show them yet");
    do { // nothing but time wakes it
        int64_t due = dispatch_due (&s->d, s->now);

        assert_true (due > s->now && due <= s->now + 1000);
        s->now = due;
        serve (s);
    } while (!s->served[0]);
    assert_string_equal (s->served, "2:1");
    assert_int_equal (s->now, began + RAMP_MS);
    scene_destroy (s);
}

static void what_has_just_started_delays_nobody_below_the_limit (void **state)
{
    struct scene *s = ramping (11.9);
    (void) state;

    want (s, &s->keepers[0], 2);
    want (s, &s->keepers[0], 1);
    assert_served (s, "1:4 2:2");
    assert_served (s, "");
    s->keepers[0].lane->pool->health.sample.load1 = 9; // 9 + 6: it shows them
    assert_served (s, "3:1");
    scene_destroy (s);
}

static void without_figure_limit_or_pace_nothing_is_waited_for (void **state)
{
    (void) state;

    for (unsigned i = 0; i < 3; i++) {
        struct scene *s = ramping (15.9);

        if (i == 0)
            s->keepers[0].lane->pool->health.sampled = false;
        else if (i == 1)
            s->settings.limits.load_average = NAN;
        else
            s->settings.grant_burst = 0;
        s->settings.limits.load_auto = false;
        want (s, &s->keepers[0], 1);
        assert_served (s, "1:4 2:1");
        scene_destroy (s);
    }
}

/* ---- priority ---- */

static void higher_priority_is_first_and_equals_in_order_of_arrival (void **s_)
{
    struct scene *s = scene_create (POLICY_PRIORITY, 20);
    struct keeper *a = join (s, "vm1", "a"), *b = join (s, "vm1", "b");
    struct keeper *c = join (s, "vm1", "c");
    (void) s_;

    a->lane->project->priority = 3;
    c->lane->project->priority = 10;
    hold (s, a, 20);
    want (s, a, 1);
    want (s, b, 1);
    want (s, c, 1);
    want (s, b, 1);
    want (s, c, 1);
    serve (s);
    hold (s, a, -5);
    assert_served (s, "3:1 5:1 2:1 4:1 1:1");
    scene_destroy (s);
}

/* A step of priority is worth `aging`: to the millisecond. */
static void bound_of_aging_is_exact (void **state)
{
    const int64_t aging = 300000, steps = 4;
    (void) state;

    for (int64_t off = -1; off <= 1; off++) {
        struct scene *s = scene_create (POLICY_PRIORITY, 20);
        struct keeper *low = join (s, "vm1", "a"), *high = join (s, "vm1", "b");

        s->settings.aging_ms = aging;
        low->lane->project->priority = 2;
        high->lane->project->priority = 2 + (unsigned) steps;
        hold (s, low, 20);
        want (s, low, 1);
        s->now += aging * steps + off;
        want (s, high, 1);
        serve (s);
        hold (s, low, -2);
        assert_served (s, off < 0 ? "2:1 1:1" : "1:1 2:1");
        scene_destroy (s);
    }
}

/* ---- fair ---- */

static void lane_furthest_below_its_target_is_first (void **state)
{
    struct scene *s = scene_create (POLICY_FAIR, 12);
    struct keeper *a = join (s, "vm1", "a"), *b = join (s, "vm1", "b");
    struct keeper *c = join (s, "vm1", "c");
    (void) state;

    s->settings.fair_mode = FAIR_MAXMIN;
    hold (s, a, 5);
    hold (s, b, 2);
    hold (s, c, 5);
    for (unsigned i = 0; i < 4; i++) {
        add (s, a, (struct ticket){.count = 1, .min = 1});
        add (s, b, (struct ticket){.count = 1, .min = 1});
    }
    s->now++;
    assert_served (s, "");
    hold (s, c, -2); // targets 5, 4 and what c holds: b is below, a is not
    assert_served (s, "2:1 4:1");
    scene_destroy (s);
}

/* What a wants is decided, and only paced; meanwhile b's came. It is decided
 * in the same round that carries the last of the earlier decision out. */
static void newcomer_is_decided_as_soon_as_the_last_decision_is_done (void **s_)
{
    struct scene *s = scene_create (POLICY_FAIR, 40);
    struct keeper *a = join (s, "vm1", "a"), *b = join (s, "vm1", "b");
    struct ticket *t;
    (void) s_;

    s->settings.grant_burst = 8;
    a->lane->pool->bucket = 8000;
    want (s, a, 6);
    want (s, a, 6);
    s->now++;
    assert_served (s, "1:6");
    t = want (s, b, 2);
    s->now += 1;
    assert_served (s, "");
    assert_waits (s, t, 2, 0, REASON_TURN, "behind a's 6");
    s->now += 999;
    assert_served (s, "2:6 3:2");
    scene_destroy (s);
}

static void newcomer_that_would_not_wait_is_not_refused_for_nothing (void **s_)
{
    struct scene *s = scene_create (POLICY_FAIR, 40);
    struct keeper *a = join (s, "vm1", "a"), *b = join (s, "vm1", "b");
    (void) s_;

    s->settings.grant_burst = 8;
    a->lane->pool->bucket = 8000;
    want (s, a, 6);
    want (s, a, 6);
    s->now++;
    assert_served (s, "1:6");
    s->now += 1000;
    add (s, b, (struct ticket){.count = 2, .nowait = true});
    s->now++;
    assert_served (s, "2:6 3:2");
    scene_destroy (s);
}

/* c is further below its target by then, and would be content with less. */
static void whose_turn_it_is_stays_first_until_it_is_served (void **state)
{
    struct scene *s = scene_create (POLICY_FAIR, 20);
    struct keeper *a = join (s, "vm1", "a"), *b = join (s, "vm1", "b");
    struct keeper *c = join (s, "vm1", "c");
    struct ticket *t;
    (void) state;

    hold (s, a, 18);
    t = want (s, b, 3);
    s->now++;
    assert_served (s, "");
    add (s, c, (struct ticket){.count = 10, .min = 1});
    s->now++;
    assert_served (s, "");
    assert_int_equal (c->lane->target, 6);
    assert_waits (s, t, 1, 1, REASON_SLOTS, "2 of 20 free, 3 wanted");
    hold (s, a, -1);
    assert_served (s, "1:3");
    hold (s, a, -1);
    assert_served (s, "2:1");
    scene_destroy (s);
}

/* The pace refuses a, who would not wait: all of the sum was to be his. */
static void what_one_host_does_not_take_is_for_another_at_once (void **state)
{
    struct scene *s = scene_create (POLICY_FAIR, 10);
    struct keeper *a = join (s, "vm1", "a"), *b = join (s, "vm2", "b");
    (void) state;

    s->settings.grant_burst = 8;
    b->lane->pool->bucket = 8000;
    add (s, a, (struct ticket){.count = 10, .min = 1, .nowait = true});
    add (s, b, (struct ticket){.count = 10, .min = 1});
    want (s, a, 1);
    s->now++;
    assert_served (s, "1:0 2:10");
    scene_destroy (s);
}

/* ---- the recount ---- */

static int64_t naive_key (const struct scene *s, const struct ticket *t)
{
    unsigned priority = t->lane->project->priority;

    if (s->settings.policy != POLICY_PRIORITY)
        return 0;
    if (t->priority && t->priority < priority)
        priority = t->priority;
    return s->settings.aging_ms
               ? t->since - s->settings.aging_ms * (int64_t) priority
               : -(int64_t) priority;
}

static bool naive_before (const struct scene *s, const struct ticket *a,
                          const struct ticket *b)
{
    int64_t left = naive_key (s, a), right = naive_key (s, b);

    return left < right || (left == right && a->number < b->number);
}

/* Those of a lane in its order; returns how many. */
static unsigned naive_lane (const struct scene *s, const struct lane *lane,
                            struct ticket **ret)
{
    unsigned count = 0;

    for (unsigned i = 0; i < s->count; i++) {
        struct ticket *t = s->tickets[i];
        unsigned k = count;

        if (t->lane != lane)
            continue;
        for (; k &&
               (t->back != ret[k - 1]->back ? t->back
                                            : naive_before (s, t, ret[k - 1]));
             k--)
            ret[k] = ret[k - 1];
        ret[k] = t;
        count++;
    }
    return count;
}

/* One lane as it is merged. */
struct naive {
    const struct lane *lane;
    struct ticket *at[MOST_TICKETS], *first_queued;
    unsigned count, next;
    uint64_t taken; // slots
};

static struct place naive_place (const struct scene *s, const struct naive *n)
{
    const struct ticket *t = n->at[n->next];
    const struct lane *lane = n->lane;

    if (s->settings.policy == POLICY_FAIR)
        return (struct place){
            PLACE_QUEUED,
            (int64_t) lane->held - lane->target + (int64_t) n->taken,
            t->number};
    if (t->back && n->first_queued && naive_before (s, n->first_queued, t))
        t = n->first_queued;
    return (struct place){PLACE_QUEUED, naive_key (s, t), t->number};
}

/* What is decided before what is not, then the one whose turn it is. */
static bool naive_sooner (const struct scene *s, const struct naive *a,
                          const struct naive *b)
{
    const struct ticket *t = a->at[a->next], *u = b->at[b->next];
    const struct ticket *turn = a->lane->pool->turn;

    if (!t->decided != !u->decided)
        return t->decided != 0;
    if (!t->decided && (t == turn || u == turn))
        return t == turn;
    return place_before (naive_place (s, a), naive_place (s, b));
}

/* All of a host in dispatch order; returns how many. */
static unsigned naive_order (const struct scene *s, const struct pool *pool,
                             struct ticket **ret)
{
    static struct naive lanes[64];
    unsigned lane_total = 0, count = 0;

    for (size_t i = 0; i < s->d.lane_count; i++) {
        struct naive *n = &lanes[lane_total];

        if (s->d.lanes[i]->pool != pool)
            continue;
        *n = (struct naive){.lane = s->d.lanes[i]};
        n->count = naive_lane (s, n->lane, n->at);
        for (unsigned k = n->count; k-- > 0 && !n->at[k]->back;)
            n->first_queued = n->at[k];
        lane_total++;
    }
    for (;;) {
        struct naive *first = NULL;

        for (unsigned i = 0; i < lane_total; i++) {
            if (lanes[i].next < lanes[i].count &&
                (!first || naive_sooner (s, &lanes[i], first)))
                first = &lanes[i];
        }
        if (!first)
            return count;
        first->taken += first->at[first->next]->count;
        ret[count++] = first->at[first->next++];
    }
}

/* Is it left out of what those behind it count? */
static bool naive_left_out (const struct scene *s, const struct ticket *t,
                            const struct ticket *who, bool behind_blocker)
{
    const struct lane *lane = t->lane;

    if (lane == who->lane)
        return false;
    if (dispatch_is_paused (lane_first (lane), s->now))
        return true;
    return lane->passed && !behind_blocker;
}

static unsigned naive_ahead (const struct scene *s, struct ticket **order,
                             unsigned i)
{
    const struct ticket *t = order[i], *blocker = t->lane->pool->blocker;
    int64_t wanted = t->min;
    bool behind = false;

    for (unsigned k = 0; k < i; k++) {
        behind |= order[k] == blocker;
        if (!naive_left_out (s, order[k], t, behind))
            wanted += order[k]->count;
    }
    wanted -= dispatch_free (&s->d, t->lane->pool);
    return wanted > 0 ? (unsigned) wanted : 0;
}

struct told {
    struct ticket *at[MOST_TICKETS];
    struct outlook outlook[MOST_TICKETS];
    unsigned count;
};

static void note (void *who, struct ticket *t, const struct outlook *outlook)
{
    struct told *told = who;

    told->at[told->count] = t;
    told->outlook[told->count++] = *outlook;
}

static void check_ranks (const struct scene *s, const struct pool *pool)
{
    struct ticket *order[MOST_TICKETS];
    unsigned count = naive_order (s, pool, order);
    static struct told told;

    told.count = 0;
    dispatch_explain_first (&s->d, pool, UINT64_MAX, s->now, note, &told);
    assert_int_equal (told.count, count);
    for (unsigned i = 0; i < count; i++) {
        struct outlook outlook = outlook_of (s, order[i]);

        assert_int_equal (outlook.position, i + 1);
        assert_int_equal (outlook.slots_ahead, naive_ahead (s, order, i));
        assert_ptr_equal (told.at[i], order[i]);
        assert_int_equal (told.outlook[i].position, outlook.position);
        assert_int_equal (told.outlook[i].slots_ahead, outlook.slots_ahead);
        assert_int_equal (told.outlook[i].reason, outlook.reason);
    }
}

/* ---- what must be so after each round ---- */

/* It cannot be served whatever is free. */
static bool is_out (const struct scene *s, const struct ticket *t)
{
    const struct project *p = t->lane->project;

    return dispatch_is_paused (t, s->now) ||
           p->held + p->planned + t->min > p->max ||
           t->holder->held + t->min > MAX_HELD ||
           t->min > pool_effective (t->lane->pool);
}

/* Is there a ticket on another host for which what it needs is kept? */
static bool is_kept_for_another (const struct scene *s, const struct ticket *t)
{
    for (unsigned i = 0; i < s->count; i++) {
        const struct ticket *u = s->tickets[i];
        const struct project *p = u->lane->project;
        bool cap = p == t->lane->project && p->held + u->min > p->max;
        bool sum = s->d.in_use + u->min > s->settings.max_slots;

        if (u->lane->pool != t->lane->pool && (cap || sum))
            return true;
    }
    return false;
}

/* Is so much of the sum decided for other hosts that it has not enough? */
static bool is_decided_elsewhere (const struct scene *s, const struct ticket *t)
{
    unsigned decided = 0;

    for (unsigned i = 0; i < s->count; i++)
        decided += s->tickets[i]->decided;
    return t->lane->pool->decided == 0 &&
           s->d.in_use + decided + t->min > s->settings.max_slots;
}

/* L1: nobody who could be served is told that there are no slots. */
static void check_lives (const struct scene *s, const struct ticket *t)
{
    struct outlook outlook = outlook_of (s, t);

    assert_int_not_equal (outlook.reason, REASON_NONE);
    assert_true (outlook.detail[0] != '\0');
    if (outlook.reason == REASON_SLOTS)
        assert_true (dispatch_free (&s->d, t->lane->pool) < t->min ||
                     is_kept_for_another (s, t) || is_decided_elsewhere (s, t));
    if (outlook.reason == REASON_CAP)
        assert_true (is_out (s, t) || is_kept_for_another (s, t));
}

/* Whoever is told that it is not his turn is behind somebody. */
static void check_turn (const struct scene *s, const struct ticket *t)
{
    struct outlook outlook = outlook_of (s, t);

    if (outlook.reason != REASON_TURN)
        return;
    assert_true (outlook.position > 1);
    if (t == lane_first (t->lane))
        assert_non_null (strstr (outlook.detail, "'s "));
}

static void check_pool (const struct scene *s, const struct pool *pool)
{
    unsigned decided = 0;

    check_ranks (s, pool);
    for (unsigned i = 0; i < s->count; i++) {
        const struct ticket *t = s->tickets[i];

        if (t->lane->pool != pool)
            continue;
        decided += t->decided != 0;
        check_lives (s, t);
        check_turn (s, t);
    }
    assert_int_equal (pool->decided, decided);
}

/* ---- whatever happens ---- */

static struct keeper *somebody (struct scene *s)
{
    return &s->keepers[chance (s->keeper_count)];
}

static void come (struct scene *s)
{
    unsigned count = 1 + (unsigned) chance (chance (4) ? 6 : 200);
    bool back = chance (6) == 0;

    if (s->count == MOST_TICKETS)
        return;
    add (s, somebody (s),
         (struct ticket){
             .count = count,
             .min = back || chance (2) ? count : 1 + (unsigned) chance (count),
             .priority = chance (4) ? 0 : (unsigned) chance (12),
             .since = s->now - (int64_t) chance (1000),
             .back = back,
             .nowait =
                 !back && chance (8) == 0 && s->settings.policy == POLICY_FAIR,
         });
}

static void go (struct scene *s)
{
    struct keeper *k = somebody (s);

    if (chance (3) == 0 && s->count)
        forget (s, s->tickets[chance (s->count)]);
    else if (k->held)
        hold (s, k, -(int) (1 + chance (k->held)));
}

static void change (struct scene *s)
{
    struct keeper *k = somebody (s);
    struct project *p = k->lane->project;

    switch (chance (7)) {
    case 0: p->max = (unsigned) chance (30); break;
    case 1: k->lane->pool->max_slots = (unsigned) chance (60); break;
    case 2: s->settings.max_slots = (unsigned) chance (60); break;
    case 3: k->holder.paused_until = s->now + (int64_t) chance (900); break;
    case 4: s->d.disk_full = chance (4) == 0; break;
    case 5:
        p->said.paused = chance (3) == 0;
        dispatch_rethink (&s->d);
        break;
    default:
        s->settings.policy = (enum policy) chance (3);
        p->priority = (unsigned) chance (12);
        dispatch_reorder (&s->d, policy_of (s->settings.policy));
        break;
    }
}

static void step (struct scene *s)
{
    unsigned count = (unsigned) chance (12);

    s->now += (int64_t) chance (700);
    if (chance (3) == 0)
        change (s);
    for (unsigned i = 0; i < count; i++) {
        if (chance (3))
            come (s);
        else
            go (s);
    }
    serve (s);
}

static struct scene *some_scene (void)
{
    static const char *const hosts[] = {"vm1", "vm2", "vm3"};
    static const char *const projects[] = {"a", "b", "c", "d", "e", "f"};
    struct scene *s = scene_create ((enum policy) chance (3), 40);
    uint64_t most = chance (2) ? 1 : 3;

    s->now = 1000000;
    s->settings.aging_ms = chance (2) ? 0 : (int64_t) chance (400);
    s->settings.grant_burst = chance (2) ? 0 : 8;
    s->settings.timing.gather = chance (2) ? 200 : 0;
    s->settings.fair_mode = (enum fair_mode) chance (2);
    for (unsigned i = 0; i < 12; i++) {
        struct keeper *k = join (s, hosts[chance (most)], projects[chance (6)]);

        k->lane->project->priority = (unsigned) chance (12);
        hold (s, k, (int) chance (7));
    }
    return s;
}

static void ranks_are_those_of_a_recount_whatever_happens (void **state)
{
    (void) state;

    for (unsigned i = 0; i < STATES; i++) {
        struct scene *s = some_scene ();

        for (unsigned k = 0; k < STEPS; k++) {
            step (s);
            for (size_t h = 0; h < s->pools.count; h++)
                check_pool (s, s->pools.at[h]);
        }
        scene_destroy (s);
    }
}

/* Not as a round leaves them, but whatever they are. */
static void ranks_are_those_of_a_recount_whatever_the_targets (void **state)
{
    (void) state;

    for (unsigned i = 0; i < STATES; i++) {
        struct scene *s = some_scene ();

        s->settings.policy = POLICY_FAIR;
        dispatch_reorder (&s->d, &policy_fair);
        for (unsigned k = 0; k < 30; k++)
            come (s);
        for (size_t k = 0; k < s->d.lane_count; k++)
            s->d.lanes[k]->target = (unsigned) chance (40);
        if (s->count && chance (2)) {
            struct ticket *t = s->tickets[chance (s->count)];

            t->lane->pool->turn = lane_first (t->lane);
        }
        for (size_t h = 0; h < s->pools.count; h++)
            check_ranks (s, s->pools.at[h]);
        scene_destroy (s);
    }
}

/* ---- another policy ---- */

static void nobody_is_lost_when_the_policy_changes (void **state)
{
    (void) state;

    for (unsigned i = 0; i < STATES / 10; i++) {
        struct scene *s = some_scene ();
        uint64_t wanted = 0, there = 0;
        size_t count = 0;

        for (unsigned k = 0; k < 40; k++)
            come (s);
        for (unsigned k = 0; k < s->count; k++)
            wanted += s->tickets[k]->count;
        s->settings.policy = (enum policy) chance (3);
        dispatch_reorder (&s->d, policy_of (s->settings.policy));
        for (size_t k = 0; k < s->d.lane_count; k++) {
            count += lane_count (s->d.lanes[k]);
            there += lane_wanted (s->d.lanes[k]);
        }
        assert_int_equal (count, s->count);
        assert_int_equal (there, wanted);
        for (size_t h = 0; h < s->pools.count; h++)
            check_ranks (s, s->pools.at[h]);
        scene_destroy (s);
    }
}

static void arrival_counts_again_after_other_policies (void **state)
{
    struct scene *s = scene_create (POLICY_FIFO, 20);
    struct keeper *a = join (s, "vm1", "a"), *b = join (s, "vm1", "b");
    (void) state;

    b->lane->project->priority = 10;
    hold (s, a, 20);
    want (s, a, 1);
    want (s, b, 1);
    want (s, a, 1);
    want (s, b, 1);
    for (enum policy p = POLICY_PRIORITY; p > POLICY_FIFO; p--) {
        s->settings.policy = p;
        dispatch_reorder (&s->d, policy_of (p));
        assert_served (s, "");
    }
    s->settings.policy = POLICY_FIFO;
    dispatch_reorder (&s->d, &policy_fifo);
    hold (s, a, -4);
    assert_served (s, "1:1 2:1 3:1 4:1");
    scene_destroy (s);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (lanes_are_merged_by_arrival_under_fifo),
        cmocka_unit_test (first_that_does_not_fit_keeps_all_behind_it_waiting),
        cmocka_unit_test (what_is_passed_over_holds_back_its_own_lane_alone),
        cmocka_unit_test (paused_and_too_large_ones_are_passed_over),
        cmocka_unit_test (session_is_never_given_more_than_it_may_hold),
        cmocka_unit_test (session_that_may_hold_no_more_keeps_nobody_else_back),
        cmocka_unit_test (fair_session_that_may_hold_no_more_is_passed_over),
        cmocka_unit_test (fair_session_is_never_given_more_than_it_may_hold),
        cmocka_unit_test (cap_is_kept_for_the_older_over_all_hosts),
        cmocka_unit_test (sum_of_all_hosts_is_kept_for_the_older),
        cmocka_unit_test (
            who_comes_back_is_before_its_own_project_and_nobody_else),
        cmocka_unit_test (who_comes_back_alone_stands_where_he_came),
        cmocka_unit_test (who_comes_back_under_fair_is_served_at_once),
        cmocka_unit_test (who_comes_back_while_others_are_paced_is_served),
        cmocka_unit_test (what_has_just_started_counts_as_load),
        cmocka_unit_test (what_has_just_started_delays_nobody_below_the_limit),
        cmocka_unit_test (without_figure_limit_or_pace_nothing_is_waited_for),
        cmocka_unit_test (
            higher_priority_is_first_and_equals_in_order_of_arrival),
        cmocka_unit_test (bound_of_aging_is_exact),
        cmocka_unit_test (lane_furthest_below_its_target_is_first),
        cmocka_unit_test (
            newcomer_is_decided_as_soon_as_the_last_decision_is_done),
        cmocka_unit_test (
            newcomer_that_would_not_wait_is_not_refused_for_nothing),
        cmocka_unit_test (whose_turn_it_is_stays_first_until_it_is_served),
        cmocka_unit_test (what_one_host_does_not_take_is_for_another_at_once),
        cmocka_unit_test (ranks_are_those_of_a_recount_whatever_happens),
        cmocka_unit_test (ranks_are_those_of_a_recount_whatever_the_targets),
        cmocka_unit_test (nobody_is_lost_when_the_policy_changes),
        cmocka_unit_test (arrival_counts_again_after_other_policies),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
