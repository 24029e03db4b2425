/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "simulation/invariants.h"
#include "simulation/scene.h"

enum { S = 1000, FOREVER = -1 };

static const struct work agent = {
    .count = 1, .lasts = FOREVER, .term = 200, .kill = 20};

static unsigned in_use (const struct sim *s)
{
    return (unsigned) s->disk.lease_count;
}

static unsigned waiting (const struct sim *s)
{
    return (unsigned) s->disk.waiter_count;
}

static unsigned in_state (const struct sim *s, enum lease_state state)
{
    unsigned count = 0;

    for (size_t i = 0; i < s->disk.lease_count; i++)
        count += s->disk.leases[i].state == state;
    return count;
}

/* The session of a shim, to see that it is kept. */
static uint64_t session (const struct sim *s, int shim)
{
    return shim_session (s->shims[shim].core);
}

/* ---- days of the seed ---- */

static void five_three_and_two_of_twenty (void **state)
{
    struct sim *s = scene_begin (20, 10);
    int consilio = sim_shim (s, "consilio", 0);
    int horizon = sim_shim (s, "openhorizon", 0);
    int odin = sim_shim (s, "odin", 0);
    (void) state;

    sim_advance (s, 1 * S);
    sim_request (s, consilio, sim_supervisor (s, 0), 5, 0);
    sim_request (s, horizon, sim_supervisor (s, 0), 3, 0);
    sim_request (s, odin, sim_supervisor (s, 0), 2, 0);
    sim_advance (s, 10 * S);
    assert_int_equal (in_use (s), 10);
    assert_int_equal (waiting (s), 0);
    invariants_agreement (s);
    scene_end (s, "g1");
}

static void
the_third_waits_three_agents_ahead_until_three_come_back (void **state)
{
    struct sim *s = scene_begin (20, 10);
    int consilio = sim_shim (s, "consilio", 0);
    int horizon = sim_shim (s, "openhorizon", 0);
    int odin = sim_shim (s, "odin", 0);
    int first = sim_supervisor (s, 0);
    (void) state;

    sim_advance (s, 1 * S);
    sim_request (s, consilio, first, 8, 0);
    sim_request (s, horizon, sim_supervisor (s, 0), 10, 0);
    sim_advance (s, 1 * S);
    sim_request (s, odin, sim_supervisor (s, 0), 5, 0);
    sim_advance (s, 5 * S);
    assert_int_equal (in_use (s), 18);
    assert_int_equal (waiting (s), 1);
    sim_release (s, consilio, first, 3);
    sim_advance (s, 5 * S);
    assert_int_equal (in_use (s), 20);
    assert_int_equal (waiting (s), 0);
    invariants_agreement (s);
    scene_end (s, "g2");
}

static void a_larger_pool_serves_who_waits (void **state)
{
    struct sim *s = scene_begin (20, 20);
    int consilio = sim_shim (s, "consilio", 0);
    int odin = sim_shim (s, "odin", 0);
    (void) state;

    sim_advance (s, 1 * S);
    sim_request (s, consilio, sim_supervisor (s, 0), 18, 0);
    sim_request (s, odin, sim_supervisor (s, 0), 5, 0);
    sim_advance (s, 2 * S);
    assert_int_equal (waiting (s), 1);
    sim_set_max (s, 30);
    sim_advance (s, 2 * S);
    assert_int_equal (in_use (s), 23);
    sim_set_max (s, 10); // drains, never kills
    sim_advance (s, 2 * S);
    assert_int_equal (in_use (s), 23);
    scene_end (s, "g5");
}

/* What people said is flushed: it outlives the process, and the power. */
static void what_people_said_outlives_a_death_and_a_power_cut (void **state)
{
    struct sim *s = scene_begin (4, 4);
    int odin;
    (void) state;

    sim_shim (s, "consilio", 0);
    sim_shim (s, "odin", 0);
    sim_advance (s, 1 * S);
    sim_set_policy (s, POLICY_PRIORITY);
    sim_set_priority (s, "odin", 8);
    sim_set_priority (s, "consilio", 3);
    sim_advance (s, 1 * S);
    sim_pause (s, "odin", true); // in a batch of its own
    sim_advance (s, 1 * S);
    sim_cut_power (s, false); // before anything else was flushed
    sim_power_back (s);
    sim_start_broker (s);
    sim_advance (s, 1 * S);
    sim_crash_broker (s, CRASH_NONE);
    sim_start_broker (s);
    sim_advance (s, 1 * S);
    assert_int_equal (s->disk.project_count, 2);
    assert_true (disk_project (&s->disk, "odin")->paused);
    assert_int_equal (disk_project (&s->disk, "odin")->priority, 8);
    assert_int_equal (s->disk.meta.policy, 1 + POLICY_PRIORITY);
    odin = sim_shim (s, "odin", 0);
    sim_advance (s, 1 * S);
    sim_request (s, odin, sim_supervisor (s, 0), 2, 0);
    sim_advance (s, 5 * S);
    assert_int_equal (waiting (s), 1);
    sim_pause (s, "odin", false);
    sim_advance (s, 1 * S);
    assert_int_equal (in_use (s), 2);
    scene_end (s, "said");
}

/* L7: each level parks while the next one runs, and ends five seconds after it
 * has come back. */
static void ten_levels_deep_finish_on_a_pool_of_one (void **state)
{
    enum { LEVELS = 10 };
    struct sim *s = scene_begin (1, 1);
    int consilio = sim_shim (s, "consilio", 0), who;
    (void) state;

    sim_advance (s, 1 * S);
    who = sim_supervisor (s, 0);
    for (int level = 1; level <= LEVELS; level++) {
        struct work work = agent;
        int64_t back = (3 + LEVELS - level) * 10 * S; // when it comes back
        int run;

        work.lasts = back + 5 * S - s->now;
        run = sim_run (s, consilio, who, work);
        sim_advance (s, 1 * S);
        assert_int_equal (in_state (s, LEASE_ACTIVE), 1);
        assert_int_equal (in_state (s, LEASE_PARKED), level - 1);
        if (level < LEVELS)
            sim_park (s, s->keepers[sim_keeper_of (s, run)].tree,
                      back - s->now);
    }
    for (int level = LEVELS; level >= 1; level--) {
        sim_advance (s, (3 + LEVELS - level) * 10 * S + 2 * S - s->now);
        assert_int_equal (in_state (s, LEASE_ACTIVE), 1);
        assert_int_equal (in_state (s, LEASE_PARKED), level - 1);
    }
    sim_advance (s, 10 * S);
    assert_int_equal (in_use (s), 0);
    scene_end (s, "l7");
}

/* The last process of a tree that ended while it was parked. */
static void a_stopped_keeper_holds_all_the_slots_that_came_back (void **state)
{
    struct sim *s = scene_begin (2, 2);
    int shim = sim_shim (s, "consilio", 0);
    struct work work = agent;
    int run, keeper;
    (void) state;

    work.count = 2;
    work.lasts = 4 * S;
    sim_advance (s, 1 * S);
    run = sim_run (s, shim, sim_supervisor (s, 0), work);
    sim_advance (s, 1 * S);
    keeper = sim_keeper_of (s, run);
    sim_park (s, s->keepers[keeper].tree, 10 * S);
    sim_advance (s, 1 * S);
    assert_int_equal (in_state (s, LEASE_PARKED), 2);
    sim_stop_keeper (s, keeper);
    sim_advance (s, 12 * S);
    assert_int_equal (trees_count (s), 0);
    assert_int_equal (in_state (s, LEASE_ACTIVE), 2);
    sim_crash_shim (s, shim);
    sim_advance (s, 5 * S);
    assert_int_equal (in_state (s, LEASE_LIMBO), 2);
    sim_continue_keeper (s, keeper);
    sim_advance (s, 3 * S);
    assert_int_equal (in_use (s), 0);
    scene_end (s, "stopped");
}

/* Its shim has not heard that it is back, and the broker has lost that it was:
 * it is adopted by the name that its shim has for it. */
static void what_came_back_in_a_lost_state_is_known_by_its_cookie (void **state)
{
    struct sim *s = scene_begin (1, 1);
    int shim = sim_shim (s, "consilio", 0);
    struct work stubborn = agent;
    int run;
    (void) state;

    stubborn.term = -1;
    sim_advance (s, 1 * S);
    run = sim_run (s, shim, sim_supervisor (s, 0), stubborn);
    sim_advance (s, 1 * S);
    sim_park (s, s->keepers[sim_keeper_of (s, run)].tree, 1 * S);
    sim_advance (s, 500);
    assert_int_equal (in_state (s, LEASE_PARKED), 1);
    s->deaf = true;
    sim_advance (s, 1 * S);
    assert_int_equal (in_state (s, LEASE_ACTIVE), 1);
    sim_crash_broker (s, CRASH_NONE);
    sim_lose_state (s, true);
    s->deaf = false;
    sim_start_broker (s);
    sim_advance (s, 10 * S);
    assert_int_equal (trees_count (s), 1);
    assert_int_equal (in_state (s, LEASE_LIMBO), 1);
    sim_advance (s, 10 * S);
    assert_int_equal (in_use (s), 0);
    scene_end (s, "back-lost");
}

static void a_kill_frees_exactly_its_project (void **state)
{
    struct sim *s = scene_begin (6, 6);
    int consilio = sim_shim (s, "consilio", 0);
    int odin = sim_shim (s, "odin", 0);
    int first = sim_supervisor (s, 0);
    int second = sim_supervisor (s, 0);
    (void) state;

    sim_advance (s, 1 * S);
    for (int i = 0; i < 4; i++)
        sim_run (s, consilio, first, agent);
    sim_run (s, odin, second, agent);
    sim_advance (s, 1 * S);
    sim_request (s, odin, second, 4, 0);
    sim_advance (s, 6 * S);
    assert_int_equal (trees_count (s), 5);
    assert_int_equal (waiting (s), 1);
    sim_kill (s, "consilio");
    sim_advance (s, 30 * S);
    assert_int_equal (trees_count (s), 1);
    assert_int_equal (in_use (s), 5);
    assert_int_equal (waiting (s), 0);
    scene_end (s, "g6");
}

/* The broker repeats STOP with its answers to BEATs. */
static void a_lost_stop_is_said_again (void **state)
{
    struct sim *s = scene_begin (2, 2);
    int consilio = sim_shim (s, "consilio", 0);
    (void) state;

    sim_advance (s, 1 * S);
    sim_run (s, consilio, sim_supervisor (s, 0), agent);
    sim_advance (s, 6 * S);
    s->deaf = true;
    sim_kill (s, "consilio");
    sim_advance (s, 2 * S);
    s->deaf = false;
    sim_advance (s, 30 * S);
    assert_int_equal (trees_count (s), 0);
    assert_int_equal (in_use (s), 0);
    scene_end (s, "stop-lost");
}

/* KILL frees a reservation at once: a run that fills it just then does not
 * begin. */
static void a_run_does_not_begin_in_a_reservation_that_was_killed (void **state)
{
    struct sim *s = scene_begin (2, 2);
    int consilio = sim_shim (s, "consilio", 0);
    int odin = sim_shim (s, "odin", 0);
    int sup = sim_supervisor (s, 0);
    (void) state;

    sim_advance (s, 1 * S);
    sim_request (s, consilio, sup, 2, 0);
    sim_advance (s, 1 * S);
    sim_request (s, odin, sim_supervisor (s, 0), 2, 0);
    sim_advance (s, 5 * S);
    s->deaf = true;
    sim_kill (s, "consilio");
    sim_advance (s, 1 * S);
    assert_int_equal (waiting (s), 0);
    sim_run (s, consilio, sup, agent);
    sim_advance (s, 1 * S);
    s->deaf = false;
    sim_advance (s, 20 * S);
    assert_int_equal (trees_count (s), 0);
    scene_end (s, "kill-reservation");
}

static void a_killed_shim_gives_back_when_its_trees_are_gone (void **state)
{
    struct sim *s = scene_begin (4, 4);
    int consilio = sim_shim (s, "consilio", 0);
    int odin = sim_shim (s, "odin", 0);
    int sup = sim_supervisor (s, 0);
    struct work stubborn = agent;
    (void) state;

    stubborn.term = FOREVER; // ends by SIGKILL only
    sim_advance (s, 1 * S);
    sim_run (s, consilio, sup, agent);
    sim_run (s, consilio, sup, stubborn);
    sim_advance (s, 1 * S);
    sim_request (s, odin, sim_supervisor (s, 0), 4, 0);
    sim_advance (s, 6 * S);
    assert_int_equal (in_use (s), 2);
    sim_crash_shim (s, consilio);
    sim_advance (s, 5 * S);
    assert_int_equal (trees_count (s), 1);
    assert_int_equal (in_state (s, LEASE_LIMBO), 1); // while the tree lives
    sim_advance (s, 10 * S);
    assert_int_equal (trees_count (s), 0);
    assert_int_equal (waiting (s), 0);
    assert_int_equal (in_use (s), 4);
    scene_end (s, "g7");
}

static void a_broker_restarts_under_load_and_nothing_is_lost (void **state)
{
    struct sim *s = scene_begin (6, 6);
    int consilio = sim_shim (s, "consilio", 0);
    int odin = sim_shim (s, "odin", 0);
    int sup = sim_supervisor (s, 0);
    struct work brief = agent;
    uint64_t before;
    (void) state;

    brief.lasts = 12 * S;
    sim_advance (s, 1 * S);
    sim_run (s, consilio, sup, agent);
    sim_run (s, consilio, sup, brief);
    sim_request (s, odin, sim_supervisor (s, 0), 4, 0);
    sim_advance (s, 6 * S);
    sim_run (s, consilio, sup, agent); // waits
    sim_advance (s, 1 * S);
    before = session (s, consilio);
    sim_crash_broker (s, CRASH_NONE);
    sim_advance (s, 8 * S); // one agent ends meanwhile
    sim_start_broker (s);
    sim_advance (s, 12 * S);
    assert_int_equal (session (s, consilio), before);
    assert_int_equal (trees_count (s), 2);
    assert_int_equal (waiting (s), 0);
    assert_int_equal (in_use (s), 6);
    invariants_agreement (s);
    scene_end (s, "g9");
}

/* ---- the broker is away ---- */

static void two_agents_at_work (struct sim *s, int *ret_shim)
{
    int sup = sim_supervisor (s, 0);

    *ret_shim = sim_shim (s, "consilio", 0);
    sim_advance (s, 1 * S);
    sim_run (s, *ret_shim, sup, agent);
    sim_run (s, *ret_shim, sup, agent);
    sim_advance (s, 11 * S);
    assert_int_equal (trees_count (s), 2);
}

static void a_broker_absent_for_longer_than_the_ttl_costs_nothing (void **state)
{
    struct sim *s = scene_begin (4, 4);
    uint64_t before;
    int shim;
    (void) state;

    two_agents_at_work (s, &shim);
    before = session (s, shim);
    sim_crash_broker (s, CRASH_NONE);
    sim_advance (s, 150 * S);
    assert_int_equal (trees_count (s), 2);
    sim_start_broker (s);
    sim_advance (s, 20 * S);
    assert_int_equal (session (s, shim), before);
    assert_int_equal (trees_count (s), 2);
    invariants_agreement (s);
    scene_end (s, "absent");
}

static void a_broker_stopped_for_a_while_touches_no_agent (void **state)
{
    struct sim *s = scene_begin (4, 4);
    uint64_t before;
    int shim;
    (void) state;

    two_agents_at_work (s, &shim);
    before = session (s, shim);
    sim_stop_broker (s);
    sim_advance (s, 37 * S); // T - D - G - K - H = 38 s
    sim_continue_broker (s);
    sim_advance (s, 20 * S);
    assert_int_equal (trees_count (s), 2);
    assert_int_equal (session (s, shim), before);
    invariants_agreement (s);
    scene_end (s, "stopped-briefly");
}

static void a_broker_stopped_for_long_ends_agents_but_no_session (void **state)
{
    struct sim *s = scene_begin (4, 4);
    int shim, other;
    uint64_t before;
    (void) state;

    two_agents_at_work (s, &shim);
    other = sim_shim (s, "odin", 0);
    sim_advance (s, 1 * S);
    before = session (s, shim);
    sim_stop_broker (s);
    sim_advance (s, 58 * S); // T - D
    assert_int_equal (trees_count (s), 0);
    sim_advance (s, 20 * S);
    assert_int_equal (in_use (s), 2);
    sim_request (s, other, sim_supervisor (s, 0), 3, 0);
    sim_continue_broker (s);
    sim_advance (s, 20 * S);
    assert_int_equal (session (s, shim), before);
    assert_int_equal (in_use (s), 3);
    invariants_agreement (s);
    scene_end (s, "stopped-long");
}

/* It is granted a slot and lost, and only then the broker dies: that nobody
 * holds its lock does not bring the session back (R9). */
static void
a_shim_that_slept_for_too_long_is_not_renewed_by_an_absent_broker (void **state)
{
    struct sim *s = scene_begin (1, 1);
    int shim = sim_shim (s, "consilio", 0);
    int other = sim_shim (s, "odin", 0);
    int sup = sim_supervisor (s, 0);
    (void) state;

    sim_advance (s, 1 * S);
    sim_request (s, other, sup, 1, 0);
    sim_advance (s, 1 * S);
    sim_run (s, shim, sup, agent);
    sim_advance (s, 1 * S);
    sim_stop_shim (s, shim);
    sim_release (s, other, sup, 1);
    sim_advance (s, 70 * S);
    assert_int_equal (in_use (s), 0);
    sim_crash_broker (s, CRASH_NONE);
    sim_advance (s, 1 * S);
    sim_continue_shim (s, shim);
    sim_advance (s, 10 * S);
    assert_int_equal (trees_count (s), 0);
    sim_start_broker (s);
    sim_advance (s, 10 * S);
    scene_end (s, "absent-late");
}

/* ---- somebody dies ---- */

static void
a_lost_remote_host_costs_its_slots_for_ttl_and_lock_delay (void **state)
{
    struct sim *s = scene_begin (4, 4);
    int vm = sim_host (s, "vm2", 7200 * S);
    int far = sim_shim (s, "consilio", vm);
    int near = sim_shim (s, "odin", 0);
    (void) state;

    sim_advance (s, 1 * S);
    sim_run (s, far, sim_supervisor (s, vm), agent);
    sim_advance (s, 11 * S);
    sim_request (s, near, sim_supervisor (s, 0), 4, 0);
    sim_crash_host (s, vm);
    sim_advance (s, 54 * S);
    assert_int_equal (in_state (s, LEASE_ACTIVE), 1);
    sim_advance (s, 8 * S);
    assert_int_equal (in_state (s, LEASE_LIMBO), 1);
    assert_int_equal (waiting (s), 1);
    sim_advance (s, 14 * S); // T + L + 1 = 76 s
    assert_int_equal (in_use (s), 4);
    assert_int_equal (waiting (s), 0);
    scene_end (s, "remote-lost");
}

static void
a_cut_network_ends_remote_agents_before_their_slots_return (void **state)
{
    struct sim *s = scene_begin (2, 2);
    int vm = sim_host (s, "vm2", 3600 * S);
    int far = sim_shim (s, "consilio", vm);
    int near = sim_shim (s, "odin", 0);
    struct work stubborn = agent;
    (void) state;

    stubborn.term = FOREVER;
    sim_advance (s, 1 * S);
    sim_run (s, far, sim_supervisor (s, vm), stubborn);
    sim_advance (s, 11 * S);
    sim_request (s, near, sim_supervisor (s, 0), 2, 0);
    sim_cut (s, vm, true);
    sim_advance (s, 58 * S);
    assert_int_equal (trees_count (s), 0); // by T - D
    assert_int_equal (waiting (s), 1);
    sim_advance (s, 32 * S);
    sim_cut (s, vm, false);
    sim_advance (s, 20 * S);
    assert_int_equal (waiting (s), 0);
    invariants_agreement (s);
    scene_end (s, "remote-cut");
}

static void the_end_of_a_supervisor_ends_its_agents_and_its_shim (void **state)
{
    struct sim *s = scene_begin (4, 4);
    int shim = sim_shim (s, "consilio", 0);
    int one = sim_supervisor (s, 0);
    int two = sim_supervisor (s, 0);
    (void) state;

    sim_advance (s, 1 * S);
    sim_run (s, shim, one, agent);
    sim_run (s, shim, two, agent);
    sim_request (s, shim, one, 1, 0);
    sim_advance (s, 6 * S);
    sim_end_supervisor (s, one);
    sim_advance (s, 30 * S);
    assert_int_equal (trees_count (s), 1);
    assert_int_equal (in_use (s), 1);
    assert_true (s->shims[shim].alive);
    sim_end_supervisor (s, two);
    sim_advance (s, 30 * S);
    assert_false (s->shims[shim].alive);
    invariants_empty (s);
    scene_end (s, "supervisor");
}

static void
what_a_dead_keeper_leaves_is_ended_before_the_slot_returns (void **state)
{
    struct sim *s = scene_begin (1, 1);
    int shim = sim_shim (s, "consilio", 0);
    int sup = sim_supervisor (s, 0);
    struct work slow = agent;
    int run;
    (void) state;

    slow.kill = 1500;
    sim_advance (s, 1 * S);
    run = sim_run (s, shim, sup, slow);
    sim_advance (s, 6 * S);
    sim_request (s, shim, sup, 1, 0);
    sim_crash_keeper (s, sim_keeper_of (s, run));
    sim_advance (s, 1 * S);
    assert_int_equal (trees_count (s), 1);
    assert_int_equal (waiting (s), 1);
    sim_advance (s, 5 * S);
    assert_int_equal (trees_count (s), 0);
    assert_int_equal (waiting (s), 0);
    scene_end (s, "keeper");
}

static void shim_and_keeper_die_and_the_broker_ends_what_is_left (void **state)
{
    struct sim *s = scene_begin (1, 1);
    int shim = sim_shim (s, "consilio", 0);
    int other = sim_shim (s, "odin", 0);
    int run;
    (void) state;

    sim_advance (s, 1 * S);
    run = sim_run (s, shim, sim_supervisor (s, 0), agent);
    sim_advance (s, 6 * S);
    sim_request (s, other, sim_supervisor (s, 0), 1, 0);
    sim_crash_shim (s, shim);
    sim_crash_keeper (s, sim_keeper_of (s, run));
    sim_advance (s, 3 * S);
    assert_int_equal (trees_count (s), 0);
    assert_int_equal (waiting (s), 0);
    scene_end (s, "leftovers");
}

/* ---- the queue ---- */

static void a_cancelled_waiter_lets_the_next_one_through (void **state)
{
    struct sim *s = scene_begin (4, 4);
    int consilio = sim_shim (s, "consilio", 0);
    int odin = sim_shim (s, "odin", 0);
    int horizon = sim_shim (s, "openhorizon", 0);
    int large;
    (void) state;

    sim_advance (s, 1 * S);
    sim_request (s, consilio, sim_supervisor (s, 0), 2, 0);
    sim_advance (s, 1 * S);
    large = sim_request (s, odin, sim_supervisor (s, 0), 4, 0);
    sim_advance (s, 1 * S);
    sim_request (s, horizon, sim_supervisor (s, 0), 2, 0);
    sim_advance (s, 5 * S);
    assert_int_equal (waiting (s), 2); // the first in order blocks
    sim_kill_client (s, large);
    sim_advance (s, 2 * S);
    assert_int_equal (waiting (s), 0);
    assert_int_equal (in_use (s), 4);
    invariants_agreement (s);
    scene_end (s, "cancel");
}

static void a_command_that_dies_without_its_grant_gives_it_back (void **state)
{
    struct sim *s = scene_begin (2, 2);
    int consilio = sim_shim (s, "consilio", 0);
    int asleep;
    (void) state;

    sim_advance (s, 1 * S);
    asleep = sim_request_asleep (s, consilio, sim_supervisor (s, 0), 2);
    sim_advance (s, 6 * S);
    assert_int_equal (in_use (s), 2);
    sim_kill_client (s, asleep);
    sim_advance (s, 2 * S);
    assert_int_equal (in_use (s), 0);
    invariants_agreement (s);
    scene_end (s, "asleep");
}

static void every_message_twice_changes_nothing (void **state)
{
    struct sim *s = scene_begin (4, 4);
    int consilio = sim_shim (s, "consilio", 0);
    int sup = sim_supervisor (s, 0);
    (void) state;

    s->twice = 1000;
    sim_advance (s, 1 * S);
    sim_request (s, consilio, sup, 2, 0);
    sim_advance (s, 1 * S);
    sim_run (s, consilio, sim_supervisor (s, 0), agent);
    sim_advance (s, 6 * S);
    sim_request (s, consilio, sup, 3, 0);
    sim_advance (s, 6 * S);
    assert_int_equal (in_use (s), 3);
    assert_int_equal (waiting (s), 1);
    invariants_agreement (s);
    scene_end (s, "twice");
}

static void a_lost_request_and_a_lost_grant_are_sent_again (void **state)
{
    struct sim *s = scene_begin (4, 4);
    int consilio = sim_shim (s, "consilio", 0);
    int sup = sim_supervisor (s, 0);
    (void) state;

    sim_advance (s, 1 * S);
    s->loss = 1000;
    sim_request (s, consilio, sup, 2, 0);
    sim_advance (s, 4 * S);
    assert_int_equal (in_use (s), 0);
    s->deaf = true; // what the shim says arrives, what it is told does not
    s->loss = 0;
    while (in_use (s) == 0 && s->now < 60 * S)
        sim_advance (s, 100);
    sim_advance (s, 1 * S);
    assert_int_equal (s->invariants.served, 0);
    s->deaf = false;
    sim_advance (s, 20 * S);
    assert_int_equal (in_use (s), 2);
    assert_int_equal (s->invariants.served, 1);
    invariants_agreement (s);
    scene_end (s, "lost");
}

static void two_race_for_the_last_slot_and_one_waits (void **state)
{
    struct sim *s = scene_begin (1, 1);
    int consilio = sim_shim (s, "consilio", 0);
    int odin = sim_shim (s, "odin", 0);
    struct work brief = agent;
    (void) state;

    brief.lasts = 3 * S;
    sim_advance (s, 1 * S);
    sim_run (s, consilio, sim_supervisor (s, 0), brief);
    sim_run (s, odin, sim_supervisor (s, 0), brief);
    sim_advance (s, 2 * S);
    assert_int_equal (in_use (s), 1);
    assert_int_equal (waiting (s), 1);
    sim_advance (s, 8 * S);
    assert_int_equal (s->invariants.served, 2);
    assert_int_equal (in_use (s), 0);
    scene_end (s, "race");
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (five_three_and_two_of_twenty),
        cmocka_unit_test (
            the_third_waits_three_agents_ahead_until_three_come_back),
        cmocka_unit_test (a_larger_pool_serves_who_waits),
        cmocka_unit_test (what_people_said_outlives_a_death_and_a_power_cut),
        cmocka_unit_test (ten_levels_deep_finish_on_a_pool_of_one),
        cmocka_unit_test (a_stopped_keeper_holds_all_the_slots_that_came_back),
        cmocka_unit_test (
            what_came_back_in_a_lost_state_is_known_by_its_cookie),
        cmocka_unit_test (a_kill_frees_exactly_its_project),
        cmocka_unit_test (a_lost_stop_is_said_again),
        cmocka_unit_test (
            a_run_does_not_begin_in_a_reservation_that_was_killed),
        cmocka_unit_test (a_killed_shim_gives_back_when_its_trees_are_gone),
        cmocka_unit_test (a_broker_restarts_under_load_and_nothing_is_lost),
        cmocka_unit_test (
            a_broker_absent_for_longer_than_the_ttl_costs_nothing),
        cmocka_unit_test (
            a_shim_that_slept_for_too_long_is_not_renewed_by_an_absent_broker),
        cmocka_unit_test (a_broker_stopped_for_a_while_touches_no_agent),
        cmocka_unit_test (a_broker_stopped_for_long_ends_agents_but_no_session),
        cmocka_unit_test (
            a_lost_remote_host_costs_its_slots_for_ttl_and_lock_delay),
        cmocka_unit_test (
            a_cut_network_ends_remote_agents_before_their_slots_return),
        cmocka_unit_test (the_end_of_a_supervisor_ends_its_agents_and_its_shim),
        cmocka_unit_test (
            what_a_dead_keeper_leaves_is_ended_before_the_slot_returns),
        cmocka_unit_test (shim_and_keeper_die_and_the_broker_ends_what_is_left),
        cmocka_unit_test (a_cancelled_waiter_lets_the_next_one_through),
        cmocka_unit_test (a_command_that_dies_without_its_grant_gives_it_back),
        cmocka_unit_test (every_message_twice_changes_nothing),
        cmocka_unit_test (a_lost_request_and_a_lost_grant_are_sent_again),
        cmocka_unit_test (two_race_for_the_last_slot_and_one_waits),
    };

    cmocka_set_test_filter (getenv ("ONLY")); // a pattern, * and ?
    return cmocka_run_group_tests (tests, NULL, NULL);
}
