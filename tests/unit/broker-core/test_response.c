/* SPDX-License-Identifier: MPL-2.0 */
/* What health does to the slots of a host, from samples on: levels are judged
 * by the real health.c. In the end a random walk is compared with a reference
 * that keeps what happened and works out from that what must be allowed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <math.h>
#include <string.h>

#include "core/response.h"

enum { EVERY = 2000, SECOND = 1000, MINUTE = 60000, DAY = 24 * 60 * MINUTE };

static const struct limits the_seeds = {
    .cpu_percent = 85,
    .memory_percent = 90,
    .critical_memory_percent = 95,
    .critical_memory_psi = 20,
    .load_average = 16,
    .disk_percent = 90,
    .critical_disk_percent = 97,
};
static const struct timing timing = {
    .dwell = 30 * SECOND,
    .healthy_for = 60 * SECOND,
    .grow_every = 30 * SECOND,
};

/* A host whose slots are all in use, and nobody more waits. */
struct host {
    struct health h;
    struct response r;
    struct sample s;
    struct limits limits;
    struct response_input in;
    int64_t now;
    unsigned changes;
};

static void at_ease (struct host *w)
{
    w->s = (struct sample){.cpu_percent = 10,
                           .memory_percent = 10,
                           .load1 = 1,
                           .disk_percent = 10,
                           .inodes_percent = 10};
}

static struct host begin (void)
{
    struct host w = {
        .limits = the_seeds,
        .in = {.max_slots = 20,
               .auto_max = 20,
               .floor = 1,
               .in_use = 20,
               .cores = 8},
        .now = 1000,
    };

    health_init (&w.h);
    response_init (&w.r);
    at_ease (&w);
    return w;
}

static void update (struct host *w)
{
    w->changes +=
        response_update (&w->r, &w->h, &w->limits, &w->in, &timing, w->now);
}

static unsigned effective (const struct host *w)
{
    return response_effective (&w->r, w->in.max_slots);
}

static unsigned look (struct host *w)
{
    w->now += EVERY;
    w->s.at = w->now;
    health_update (&w->h, &w->s, 0, &w->limits, timing.dwell, w->now);
    update (w);
    return effective (w);
}

/* Samples for so long; effective after the last. */
static unsigned look_for (struct host *w, int64_t ms)
{
    for (int64_t until = w->now + ms; w->now < until;)
        look (w);
    return effective (w);
}

/* What is more than allowed ends, one after the other. */
static void work_off (struct host *w)
{
    while (w->in.in_use > effective (w)) {
        w->in.in_use--;
        update (w);
    }
}

static const char *cause (const struct host *w)
{
    static char text[CAUSE_BYTES];

    return response_cause (&w->r, &w->h, &w->limits, text, sizeof text);
}

static const char *explained (const struct host *w)
{
    static char text[200];

    return response_explain (&w->r, &w->h, &w->limits, w->in.max_slots, w->now,
                             text, sizeof text);
}

/* ---- one metric ---- */

static void healthy_host_has_all_its_slots (void **state)
{
    struct host w = begin ();
    (void) state;

    w.s.cpu_percent = 85;
    w.s.memory_percent = 90;
    w.s.load1 = 16;
    w.s.disk_percent = w.s.inodes_percent = 90;
    assert_int_equal (look_for (&w, DAY / 24), 20);
    assert_true (response_grants (&w.r));
    assert_int_equal (w.changes, 0);
    assert_string_equal (cause (&w), "");
    assert_true (response_next (&w.r) == INT64_MAX);
}

static void busy_cpu_freezes_at_what_is_in_use (void **state)
{
    struct host w = begin ();
    (void) state;

    w.in.in_use = 12;
    w.s.cpu_percent = 85.1;
    assert_int_equal (look_for (&w, 30 * SECOND), 20);
    assert_int_equal (look (&w), 12);
    assert_string_equal (cause (&w), "cpu 85.1% of 85%");
    w.in.in_use = 3; // frozen: it does not follow
    assert_int_equal (look_for (&w, 10 * MINUTE), 12);
    assert_true (response_grants (&w.r));
    assert_int_equal (w.changes, 1);
}

static void busy_cpu_leaves_a_slot_per_core (void **state)
{
    struct host w = begin ();
    (void) state;

    w.in.in_use = 2;
    w.s.cpu_percent = 100;
    assert_int_equal (look_for (&w, MINUTE), 8);
    w = begin ();
    w.in.cores = 64;
    w.in.in_use = 2;
    w.s.cpu_percent = 100;
    assert_int_equal (look_for (&w, MINUTE), 20);
    assert_string_equal (cause (&w), "");
    w = begin ();
    w.in.cores = 0;
    w.in.in_use = 0;
    w.s.cpu_percent = 100;
    assert_int_equal (look_for (&w, MINUTE), 1);
}

static void degraded_memory_takes_a_quarter (void **state)
{
    struct host w = begin ();
    (void) state;

    w.s.memory_percent = 91;
    assert_int_equal (look (&w), 20);
    assert_int_equal (look (&w), 15);
    assert_true (response_grants (&w.r));
    assert_string_equal (cause (&w), "memory 91.0% of 90%");
    assert_string_equal (explained (&w),
                         "memory 91.0% of 90% 0 s ago, effective 15 of 20");
    w.now += 4500;
    assert_string_equal (explained (&w),
                         "memory 91.0% of 90% 4 s ago, effective 15 of 20");
}

static void base_is_what_is_in_use_where_that_is_less (void **state)
{
    struct host w = begin ();
    (void) state;

    w.in.in_use = 9;
    w.s.memory_percent = 91;
    assert_int_equal (look_for (&w, 2 * EVERY), 6); // floor (6.75)
}

static void it_takes_again_only_when_the_shrink_is_worked_off (void **state)
{
    struct host w = begin ();
    (void) state;

    w.s.memory_percent = 91;
    assert_int_equal (look_for (&w, 10 * MINUTE), 15);
    assert_true (response_next (&w.r) == INT64_MAX);
    w.in.in_use = 15; // long ago enough
    update (&w);
    assert_int_equal (effective (&w), 11);
    work_off (&w);
    assert_true (response_next (&w.r) == w.now + timing.dwell);
    assert_int_equal (look_for (&w, timing.dwell - EVERY), 11);
    assert_int_equal (look (&w), 8);
}

static void base_of_a_repetition_is_taken_anew (void **state)
{
    struct host w = begin ();
    (void) state;

    w.s.memory_percent = 91;
    look_for (&w, 2 * EVERY);
    w.in.in_use = 8;
    assert_int_equal (look_for (&w, timing.dwell), 6);
}

static void it_ends_at_the_floor (void **state)
{
    struct host w = begin ();
    (void) state;

    w.in.floor = 3;
    w.s.memory_percent = 91;
    for (unsigned i = 0; i < 600; i++) {
        look (&w);
        work_off (&w);
        assert_true (effective (&w) >= 3);
    }
    assert_int_equal (effective (&w), 3);
    assert_true (response_grants (&w.r)); // L5
    assert_true (response_next (&w.r) == INT64_MAX);
}

static void memory_between_its_margins_takes_nothing_more (void **state)
{
    struct host w = begin ();
    (void) state;

    w.s.memory_percent = 91;
    look_for (&w, 2 * EVERY);
    w.in.in_use = 15;
    w.s.memory_percent = 88; // not healthy, but not above its limit
    assert_int_equal (look_for (&w, DAY), 15);
}

static void critical_memory_takes_half_and_grants_nothing (void **state)
{
    struct host w = begin ();
    (void) state;

    w.s.memory_percent = 97;
    assert_int_equal (look (&w), 10);
    assert_false (response_grants (&w.r));
    assert_string_equal (cause (&w), "memory 97.0% of 95%");
    assert_string_equal (explained (&w),
                         "memory 97.0% of 95% 0 s ago, nothing is granted");
    work_off (&w);
    assert_int_equal (look_for (&w, 10 * MINUTE), 10);
    w = begin ();
    w.s.memory_full = 20.1;
    assert_int_equal (look (&w), 10);
    assert_string_equal (cause (&w), "memory pressure 20.1% of 20%");
}

static void critical_load_takes_half_and_grants_nothing (void **state)
{
    struct host w = begin ();
    (void) state;

    w.s.load1 = 16.5;
    assert_int_equal (look_for (&w, 2 * EVERY), 10);
    assert_false (response_grants (&w.r));
    assert_string_equal (cause (&w), "load 16.5 of 16");
    work_off (&w);
    assert_int_equal (look_for (&w, DAY), 10); // once
}

static void critical_grants_nothing_at_the_floor_too (void **state)
{
    struct host w = begin ();
    (void) state;

    w.in.in_use = 0;
    w.s.load1 = 40;
    assert_int_equal (look_for (&w, 2 * EVERY), 1);
    assert_false (response_grants (&w.r));
}

static void full_disk_takes_nothing_and_grants_nothing (void **state)
{
    struct host w = begin ();
    (void) state;

    w.s.disk_percent = 91;
    assert_int_equal (look_for (&w, 30 * (int64_t) DAY / 24), 20);
    assert_true (response_grants (&w.r));
    assert_int_equal (w.changes, 0);
    w.s.disk_percent = 97.5;
    assert_int_equal (look_for (&w, 2 * EVERY), 20);
    assert_false (response_grants (&w.r));
    assert_string_equal (cause (&w), "disk 97.5% of 97%");
    w.s.disk_percent = 10;
    look_for (&w, timing.dwell + EVERY);
    assert_true (response_grants (&w.r)); // whole at once: nothing was taken
    assert_int_equal (effective (&w), 20);
    w.s.inodes_percent = 98;
    look_for (&w, 2 * EVERY);
    assert_false (response_grants (&w.r));
    assert_string_equal (cause (&w), "inodes 98.0% of 97%");
}

/* G8's figures. */
static void memory_from_80_to_92_to_97_to_70 (void **state)
{
    struct host w = begin ();
    (void) state;

    w.s.memory_percent = 80;
    assert_int_equal (look_for (&w, MINUTE), 20);
    w.s.memory_percent = 92;
    assert_int_equal (look_for (&w, 2 * EVERY), 15);
    w.s.memory_percent = 97;
    assert_int_equal (look (&w), 10); // as if it had been critical at once
    assert_false (response_grants (&w.r));
    work_off (&w);
    w.s.memory_percent = 70;
    look_for (&w, timing.dwell + EVERY);
    assert_true (response_grants (&w.r));
    assert_int_equal (effective (&w), 10);
    assert_string_equal (cause (&w), "memory was above 90%");
    assert_string_equal (explained (&w),
                         "memory was above 90%, effective 10 of 20, growing "
                         "again in 60 s");
    assert_int_equal (look_for (&w, timing.healthy_for - EVERY), 10);
    assert_int_equal (look (&w), 11);
    assert_int_equal (look_for (&w, timing.grow_every - EVERY), 11);
    assert_int_equal (look (&w), 12);
    assert_int_equal (look_for (&w, 8 * timing.grow_every), 20);
    assert_string_equal (cause (&w), "");
    assert_true (response_next (&w.r) == INT64_MAX);
}

static void second_peak_takes_half_of_what_is_left (void **state)
{
    struct host w = begin ();
    (void) state;

    w.s.memory_percent = 97;
    look (&w);
    work_off (&w);
    w.s.memory_percent = 86; // degraded, and no longer critical
    look_for (&w, timing.dwell + EVERY);
    assert_true (response_grants (&w.r));
    w.s.memory_percent = 97;
    assert_int_equal (look (&w), 5);
}

/* What the first shrink has not yet brought is no reason for another base. */
static void peak_before_a_shrink_is_worked_off_has_the_same_base (void **state)
{
    struct host w = begin ();
    (void) state;

    w.s.memory_percent = 91;
    look_for (&w, 2 * MINUTE);
    assert_int_equal (effective (&w), 15);
    w.s.memory_percent = 97;
    assert_int_equal (look (&w), 10);
}

static void memory_that_stays_above_after_a_peak_takes_more (void **state)
{
    struct host w = begin ();
    (void) state;

    w.limits.critical_memory_percent = 99;
    w.s.memory_percent = 99.5;
    assert_int_equal (look (&w), 10);
    work_off (&w);
    w.s.memory_percent = 93; // 5 below 99, and above 90
    assert_int_equal (look_for (&w, timing.dwell), 10);
    assert_int_equal (look (&w), 7);
    assert_true (response_grants (&w.r));
}

/* ---- several ---- */

/* The seed's `elif` would grant on. */
static void memory_99_with_load_40_is_critical (void **state)
{
    struct host w = begin ();
    (void) state;

    w.s.memory_percent = 99;
    w.s.load1 = 40;
    assert_int_equal (look (&w), 10); // memory, at once
    assert_int_equal (look (&w), 5);  // and load halves what that left
    assert_false (response_grants (&w.r));
    assert_string_equal (cause (&w), "memory 99.0% of 95%"); // of both
    w.s.disk_percent = 98;
    w.limits.memory_percent = w.limits.critical_memory_percent = NAN;
    w.limits.critical_memory_psi = NAN;
    look_for (&w, 4 * SECOND);
    assert_string_equal (cause (&w), "load 40.0 of 16"); // of load and disk
}

static void least_of_what_they_allow_counts (void **state)
{
    struct host w = begin ();
    (void) state;

    w.s.memory_percent = 91;
    w.s.load1 = 40; // both in the same sample
    assert_int_equal (look_for (&w, 2 * EVERY), 10);
    work_off (&w);
    w.s.load1 = 1;
    w.s.memory_percent = 89;
    look_for (&w, timing.dwell + EVERY);
    assert_true (response_grants (&w.r));
    assert_string_equal (cause (&w), "load was above 16");
    look_for (&w, timing.healthy_for + 4 * timing.grow_every);
    assert_int_equal (effective (&w), 15); // the memory's is open still
    assert_string_equal (cause (&w), "memory 89.0% of 90%");
    assert_int_equal (look_for (&w, DAY / 24), 15);
}

static void pool_grows_whatever_other_metric_is_degraded (void **state)
{
    struct host w = begin ();
    (void) state;

    w.s.memory_percent = 91;
    w.s.disk_percent = 92;
    w.in.cores = 20;
    look_for (&w, 2 * EVERY);
    w.s.memory_percent = 50;
    w.s.cpu_percent = 95;
    look_for (&w, timing.dwell + timing.healthy_for + 4 * timing.grow_every);
    assert_int_equal (look (&w), 20);
    assert_true (health_level (&w.h) == LEVEL_DEGRADED);
}

static void disk_at_91_for_a_month_and_a_busy_cpu_lose_no_pool (void **state)
{
    struct host w = begin ();
    (void) state;

    w.in.in_use = 4;
    w.s.disk_percent = 91;
    w.s.cpu_percent = 95;
    for (unsigned day = 0; day < 30; day++) {
        w.s.memory_percent = 96; // a peak each day
        look_for (&w, MINUTE);
        work_off (&w);
        w.s.memory_percent = 50;
        assert_int_equal (look_for (&w, DAY / 24), 8); // a slot per core
        assert_true (response_grants (&w.r));
    }
    w.s.cpu_percent = 50;
    assert_int_equal (look_for (&w, 10 * MINUTE), 20);
}

/* ---- time ---- */

static void square_wave_shorter_than_the_dwell_takes_once (void **state)
{
    struct host w = begin ();
    (void) state;

    for (unsigned i = 0; i < 6000; i++) {
        w.s.memory_percent = i / 5 % 2 ? 70 : 92;
        w.s.cpu_percent = i / 5 % 2 ? 20 : 100;
        look (&w);
        work_off (&w);
    }
    assert_int_equal (w.changes, 1);
    assert_int_equal (effective (&w), 15);

    w = begin ();
    for (unsigned i = 0; i < 6000; i++) { // one sample of two is no episode
        w.s.memory_percent = i % 2 ? 70 : 92;
        w.s.load1 = i % 2 ? 1 : 40;
        w.s.disk_percent = i % 2 ? 50 : 99;
        w.s.cpu_percent = i / 14 % 2 ? 20 : 100;
        look (&w);
    }
    assert_int_equal (w.changes, 0);
}

/* L6, with the bound that response.h names. */
static void pool_is_whole_again_in_bounded_time (void **state)
{
    (void) state;

    for (unsigned max = 1; max <= 200; max++) {
        struct host w = begin ();
        unsigned step = max / 20 ? max / 20 : 1;
        int64_t steps = (max - 1 + step - 1) / step, end;

        w.in.max_slots = w.in.auto_max = w.in.in_use = max;
        w.s.memory_percent = 99;
        w.s.load1 = 40;
        w.s.cpu_percent = 100;
        w.s.disk_percent = w.s.inodes_percent = 99;
        for (unsigned i = 0; i < 100; i++) {
            look (&w);
            work_off (&w);
            w.in.in_use = 0; // and what is left ends too
            w.s.memory_percent = i % 25 ? 99 : 92;
        }
        at_ease (&w);
        look (&w);
        end = w.now + timing.dwell + timing.healthy_for +
              steps * timing.grow_every;
        while (!(effective (&w) == max && response_grants (&w.r)) &&
               w.now < end)
            look (&w);
        assert_int_equal (effective (&w), max);
        assert_true (response_grants (&w.r));
    }
}

static void next_is_when_time_alone_changes_something (void **state)
{
    struct host w = begin ();
    unsigned steps = 0;
    (void) state;

    w.s.memory_percent = 91;
    look_for (&w, 2 * EVERY);
    w.s.memory_percent = 10;
    look_for (&w, timing.dwell + EVERY);
    while (response_next (&w.r) != INT64_MAX) {
        unsigned before = effective (&w);

        w.now = response_next (&w.r) - 1;
        update (&w);
        assert_int_equal (effective (&w), before);
        w.now++;
        update (&w);
        assert_true (response_next (&w.r) > w.now);
        assert_int_equal (effective (&w), before + 1);
        steps++;
    }
    assert_int_equal (steps, 5);
}

static void stall_moves_every_deadline (void **state)
{
    struct host w = begin ();
    int64_t next;
    (void) state;

    w.s.memory_percent = 91;
    look_for (&w, 2 * EVERY);
    w.s.memory_percent = 10;
    look_for (&w, timing.dwell + EVERY);
    next = response_next (&w.r);
    response_shift (&w.r, 5000);
    health_shift (&w.h, 5000);
    assert_true (response_next (&w.r) == next + 5000);
    w.now = next;
    update (&w);
    assert_int_equal (effective (&w), 15);
    w.now = next + 5000;
    update (&w);
    assert_int_equal (effective (&w), 16);
}

static void stall_moves_a_repetition (void **state)
{
    struct host w = begin ();
    (void) state;

    w.s.memory_percent = 91;
    look_for (&w, 2 * EVERY);
    work_off (&w);
    look_for (&w, 20 * SECOND);
    w.now += 60 * SECOND;
    response_shift (&w.r, 60 * SECOND);
    assert_int_equal (look_for (&w, 8 * SECOND), 15);
    assert_int_equal (look_for (&w, EVERY), 11);
}

/* ---- above max_slots ---- */

static void bonus_grows_while_somebody_waits_and_is_given_back (void **state)
{
    struct host w = begin ();
    (void) state;

    w.in.auto_max = 23;
    assert_int_equal (look_for (&w, DAY / 24), 20); // nobody waits
    w.in.waiting = true;
    assert_int_equal (look_for (&w, timing.grow_every), 20);
    assert_int_equal (look (&w), 21);
    assert_int_equal (look_for (&w, 2 * timing.grow_every), 23);
    assert_int_equal (look_for (&w, 10 * MINUTE), 23);
    w.in.waiting = false;
    assert_int_equal (look_for (&w, 10 * MINUTE), 23);
    w.s.disk_percent = 91; // any episode
    assert_int_equal (look_for (&w, 2 * EVERY), 20);
    w.in.waiting = true;
    assert_int_equal (look_for (&w, DAY / 24), 20);
}

static void bonus_is_not_counted_as_base (void **state)
{
    struct host w = begin ();
    (void) state;

    w.in.auto_max = 40;
    w.in.waiting = true;
    look_for (&w, 30 * MINUTE);
    w.in.in_use = 40;
    w.s.memory_percent = 91;
    assert_int_equal (look_for (&w, 2 * EVERY), 15);
}

static void unreadable_metric_gives_no_bonus (void **state)
{
    struct host w = begin ();
    (void) state;

    w.in.auto_max = 40;
    w.in.waiting = true;
    w.s.memory_percent = NAN;
    assert_int_equal (look_for (&w, DAY / 24), 20);
    w.limits.memory_percent = NAN;
    w.limits.critical_memory_percent = NAN;
    w.limits.critical_memory_psi = NAN;
    assert_true (look_for (&w, DAY / 24) > 20);
}

/* ---- what people change meanwhile ---- */

static void larger_max_slots_end_no_episode (void **state)
{
    struct host w = begin ();
    (void) state;

    w.s.memory_percent = 91;
    look_for (&w, 2 * EVERY);
    w.in.max_slots = 60;
    update (&w);
    assert_int_equal (effective (&w), 15);
    assert_string_equal (cause (&w), "memory 91.0% of 90%");
    w.s.memory_percent = 10;
    look_for (&w, timing.dwell + EVERY);
    assert_int_equal (look_for (&w, timing.healthy_for), 18); // 5 % of 60
}

static void smaller_max_slots_bound_everything (void **state)
{
    struct host w = begin ();
    (void) state;

    w.s.memory_percent = 91;
    look_for (&w, 2 * EVERY);
    w.in.max_slots = 4;
    update (&w);
    assert_int_equal (effective (&w), 4);
    assert_string_equal (cause (&w), "");
    w.in.floor = 8; // as a configuration may have it
    update (&w);
    assert_int_equal (effective (&w), 4);
    w.in.max_slots = 20; // and back: the episode is what it was
    update (&w);
    assert_int_equal (effective (&w), 15);
}

static void frozen_pool_follows_its_cores_when_max_slots_rise (void **state)
{
    struct host w = begin ();
    (void) state;

    w.in.max_slots = w.in.in_use = 4;
    w.s.cpu_percent = 95;
    assert_int_equal (look_for (&w, MINUTE), 4);
    w.in.max_slots = 20;
    update (&w);
    assert_int_equal (effective (&w), 8);
}

static void limit_that_is_switched_off_ends_its_episode_at_once (void **state)
{
    struct host w = begin ();
    (void) state;

    w.s.memory_percent = 97;
    w.s.load1 = 40;
    look_for (&w, 2 * EVERY);
    w.limits.load_average = NAN;
    update (&w);
    assert_false (response_grants (&w.r)); // by memory
    w.limits.memory_percent = w.limits.critical_memory_percent =
        w.limits.critical_memory_psi = NAN;
    update (&w);
    assert_true (response_grants (&w.r));
    assert_int_equal (effective (&w), 20);
}

static void metric_without_a_limit_has_no_episode (void **state)
{
    struct host w = begin ();
    (void) state;

    w.limits = (struct limits){NAN, NAN, NAN, NAN, NAN, NAN, NAN, false};
    w.s = (struct sample){.cpu_percent = 100,
                          .memory_percent = 100,
                          .load1 = 1000,
                          .disk_percent = 100,
                          .inodes_percent = 100,
                          .memory_full = 100};
    assert_int_equal (look_for (&w, DAY), 20);
    assert_true (response_grants (&w.r));
}

static void metric_that_cannot_be_read_takes_nothing_more (void **state)
{
    struct host w = begin ();
    (void) state;

    w.s.memory_percent = 91;
    look_for (&w, 2 * EVERY);
    work_off (&w);
    w.s.memory_percent = NAN;
    assert_int_equal (look_for (&w, DAY), 15);
    assert_string_equal (cause (&w), "memory not readable, was above 90%");
    assert_string_equal (
        explained (&w),
        "memory not readable, was above 90%, effective 15 of 20");
    w.s.memory_percent = 50; // there again
    look_for (&w, timing.dwell + EVERY);
    assert_int_equal (look_for (&w, timing.healthy_for + 4 * timing.grow_every),
                      20);
}

static void metric_that_was_never_read_is_no_episode (void **state)
{
    struct host w = begin ();
    (void) state;

    w.s = (struct sample){.cpu_percent = NAN,
                          .memory_percent = NAN,
                          .load1 = NAN,
                          .disk_percent = NAN,
                          .inodes_percent = NAN,
                          .memory_full = NAN};
    assert_int_equal (look_for (&w, DAY), 20);
    assert_true (response_grants (&w.r));
}

static void relieve_takes_a_quarter_once_and_it_grows_back (void **state)
{
    struct host w = begin ();
    (void) state;

    look (&w);
    response_relieve (&w.r, &w.in, &timing, w.now);
    assert_int_equal (effective (&w), 15);
    update (&w);
    assert_string_equal (cause (&w), "shrunk by hand");
    assert_string_equal (explained (&w), "shrunk by hand, effective 15 of 20, "
                                         "growing again in 60 s");
    assert_int_equal (look_for (&w, timing.healthy_for - EVERY), 15);
    assert_int_equal (look_for (&w, EVERY + 4 * timing.grow_every), 20);
    w.in.in_use = 0;
    response_relieve (&w.r, &w.in, &timing, w.now);
    assert_int_equal (effective (&w), 1);
    update (&w);
    response_relieve (&w.r, &w.in, &timing, w.now + SECOND);
    update (&w);
    assert_true (response_next (&w.r) == w.now + timing.healthy_for);
}

/* ---- a random walk, and a reference ---- */

static uint64_t chance_state = 1;

static uint64_t chance (uint64_t below)
{
    chance_state ^= chance_state >> 12;
    chance_state ^= chance_state << 25;
    chance_state ^= chance_state >> 27;
    return ((chance_state * UINT64_C (2685821657736338717)) >> 33) % below;
}

/* What one metric has done since it last bounded nothing. */
struct story {
    enum level level;
    unsigned base;   // of the newest act
    int64_t act;     // when that was
    double allowed;  // INFINITY: all
    int64_t healthy; // since then; only while allowed is finite
};

struct reference {
    struct story of[METRIC_COUNT];
};

static double allowed (const struct story *s, unsigned max, int64_t now)
{
    double step = max / 20 ? max / 20 : 1, slots = s->allowed;

    if (s->level == LEVEL_HEALTHY && now >= s->healthy + timing.healthy_for)
        slots +=
            step + step * (double) ((now - s->healthy - timing.healthy_for) /
                                    timing.grow_every);
    return slots < max || s->level != LEVEL_HEALTHY ? slots : INFINITY;
}

static unsigned reference_effective (const struct reference *f,
                                     const struct host *w, int64_t now)
{
    double slots = w->in.max_slots;

    for (unsigned m = 0; m < METRIC_COUNT; m++)
        slots = fmin (slots, allowed (&f->of[m], w->in.max_slots, now));
    return (unsigned) fmax (slots, w->in.floor);
}

static double percent_of (unsigned m, enum level level)
{
    if (m == METRIC_MEMORY && level == LEVEL_DEGRADED)
        return 0.75;
    if ((m == METRIC_MEMORY || m == METRIC_LOAD) && level == LEVEL_CRITICAL)
        return 0.5;
    return INFINITY;
}

/* The figure has been above for the whole dwell since the newest act. */
static bool insists (const struct host *w, const int64_t *above, int64_t act)
{
    return !isnan (w->s.memory_percent) && *above &&
           w->now - *above >= timing.dwell && w->now - act >= timing.dwell;
}

static void follow (struct reference *f, const struct host *w,
                    const int64_t *above)
{
    unsigned effective = reference_effective (f, w, w->now - 1), m;
    unsigned base = effective < w->in.in_use ? effective : w->in.in_use;
    unsigned cores =
        w->in.cores < w->in.max_slots ? w->in.cores : w->in.max_slots;
    bool worked_off = w->in.in_use <= effective;

    for (m = 0; m < METRIC_COUNT; m++) {
        struct story *s = &f->of[m];
        enum level is = health_metric (&w->h, (enum metric) m), was = s->level;
        bool opens = was == LEVEL_HEALTHY && is != LEVEL_HEALTHY;
        bool peak = is == LEVEL_CRITICAL && was != LEVEL_CRITICAL;
        bool again = is == LEVEL_DEGRADED && m == METRIC_MEMORY && worked_off &&
                     insists (w, above, s->act) && s->allowed > w->in.floor;

        if (opens) // as far as it had grown
            s->allowed = allowed (s, w->in.max_slots, w->now - 1);
        if (opens || again ||
            (peak && worked_off && w->now - s->act >= timing.dwell))
            s->base = base;
        if (opens || again || peak) {
            s->act = w->now;
            s->allowed =
                fmin (s->allowed,
                      fmax (floor (percent_of (m, is) * s->base), w->in.floor));
        }
        if (m == METRIC_CPU && opens)
            s->allowed = s->base > cores ? s->base : cores;
        if (was != LEVEL_HEALTHY && is == LEVEL_HEALTHY)
            s->healthy = w->now;
        s->level = is;
    }
}

static double figure (double limit)
{
    switch (chance (6)) {
    case 0: return NAN;
    case 1: return limit;
    case 2: return limit + (double) chance (100) / 10;
    default: return (double) chance ((uint64_t) limit);
    }
}

static void weather (struct host *w, unsigned step)
{
    if (step % 4000 < 900) { // long enough to be whole again
        at_ease (w);
        return;
    }
    if (chance (12) == 0)
        w->s.memory_percent = figure (92);
    if (chance (30) == 0)
        w->s.load1 = figure (16);
    if (chance (30) == 0)
        w->s.cpu_percent = figure (85);
    if (chance (200) == 0)
        w->s.disk_percent = figure (94);
    if (chance (200) == 0)
        w->s.inodes_percent = figure (94);
    if (chance (300) == 0)
        at_ease (w);
    if (effective (w) > w->in.in_use && response_grants (&w->r))
        w->in.in_use += (unsigned) chance (effective (w) - w->in.in_use + 1);
    if (w->in.in_use > 0 && chance (3) == 0)
        w->in.in_use -= (unsigned) chance (w->in.in_use + 1) / 2;
}

static void random_walk_does_what_the_reference_says (void **state)
{
    struct host w = begin ();
    struct reference f = {0};
    int64_t above = 0;
    unsigned floors = 0, wholes = 0, closed = 0;
    (void) state;

    for (unsigned m = 0; m < METRIC_COUNT; m++)
        f.of[m].allowed = INFINITY;
    for (unsigned i = 0; i < 100000; i++) {
        unsigned expected;
        bool critical = false;

        weather (&w, i);
        w.now += EVERY;
        w.s.at = w.now;
        health_update (&w.h, &w.s, 0, &w.limits, timing.dwell, w.now);
        if (w.s.memory_percent > 90)
            above = above ? above : w.now;
        else if (!isnan (w.s.memory_percent))
            above = 0;
        follow (&f, &w, &above);
        update (&w);
        expected = reference_effective (&f, &w, w.now);
        for (enum metric m = 0; m < METRIC_COUNT; m++)
            critical |= health_metric (&w.h, m) == LEVEL_CRITICAL;
        assert_int_equal (effective (&w), expected);
        assert_int_equal (response_grants (&w.r), !critical);
        assert_true (effective (&w) >= w.in.floor &&
                     effective (&w) <= w.in.max_slots);
        assert_true (response_next (&w.r) > w.now);
        assert_int_equal (cause (&w)[0] != '\0',
                          critical || effective (&w) < w.in.max_slots);
        floors += effective (&w) == w.in.floor;
        wholes += effective (&w) == w.in.max_slots;
        closed += critical;
    }
    assert_true (floors > 1000 && wholes > 1000 && closed > 1000);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (healthy_host_has_all_its_slots),
        cmocka_unit_test (busy_cpu_freezes_at_what_is_in_use),
        cmocka_unit_test (busy_cpu_leaves_a_slot_per_core),
        cmocka_unit_test (degraded_memory_takes_a_quarter),
        cmocka_unit_test (base_is_what_is_in_use_where_that_is_less),
        cmocka_unit_test (it_takes_again_only_when_the_shrink_is_worked_off),
        cmocka_unit_test (base_of_a_repetition_is_taken_anew),
        cmocka_unit_test (it_ends_at_the_floor),
        cmocka_unit_test (memory_between_its_margins_takes_nothing_more),
        cmocka_unit_test (critical_memory_takes_half_and_grants_nothing),
        cmocka_unit_test (critical_load_takes_half_and_grants_nothing),
        cmocka_unit_test (critical_grants_nothing_at_the_floor_too),
        cmocka_unit_test (full_disk_takes_nothing_and_grants_nothing),
        cmocka_unit_test (memory_from_80_to_92_to_97_to_70),
        cmocka_unit_test (second_peak_takes_half_of_what_is_left),
        cmocka_unit_test (peak_before_a_shrink_is_worked_off_has_the_same_base),
        cmocka_unit_test (memory_that_stays_above_after_a_peak_takes_more),
        cmocka_unit_test (memory_99_with_load_40_is_critical),
        cmocka_unit_test (least_of_what_they_allow_counts),
        cmocka_unit_test (pool_grows_whatever_other_metric_is_degraded),
        cmocka_unit_test (disk_at_91_for_a_month_and_a_busy_cpu_lose_no_pool),
        cmocka_unit_test (square_wave_shorter_than_the_dwell_takes_once),
        cmocka_unit_test (pool_is_whole_again_in_bounded_time),
        cmocka_unit_test (next_is_when_time_alone_changes_something),
        cmocka_unit_test (stall_moves_every_deadline),
        cmocka_unit_test (stall_moves_a_repetition),
        cmocka_unit_test (bonus_grows_while_somebody_waits_and_is_given_back),
        cmocka_unit_test (bonus_is_not_counted_as_base),
        cmocka_unit_test (unreadable_metric_gives_no_bonus),
        cmocka_unit_test (larger_max_slots_end_no_episode),
        cmocka_unit_test (smaller_max_slots_bound_everything),
        cmocka_unit_test (frozen_pool_follows_its_cores_when_max_slots_rise),
        cmocka_unit_test (limit_that_is_switched_off_ends_its_episode_at_once),
        cmocka_unit_test (metric_without_a_limit_has_no_episode),
        cmocka_unit_test (metric_that_cannot_be_read_takes_nothing_more),
        cmocka_unit_test (metric_that_was_never_read_is_no_episode),
        cmocka_unit_test (relieve_takes_a_quarter_once_and_it_grows_back),
        cmocka_unit_test (random_walk_does_what_the_reference_says),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
