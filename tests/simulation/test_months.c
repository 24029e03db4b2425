/* SPDX-License-Identifier: MPL-2.0 */
/* Months of a host that is never quite well: a disk at 91 %, processors that
 * build all day, several episodes at once, waves shorter than the dwell. Three
 * projects want more than there is, all the time. Judged at every step, by the
 * figures that the broker was told and by nothing that it made of them:
 *
 *   L5  while nothing is critical something is granted; within the longest run
 *       and a bit somebody is served
 *   L6  once nothing presses any more all slots are back within the time that
 *       response.h promises; while only the processors do, one per core is
 *   L8  a wave shorter than the dwell changes nothing, or once
 *
 * Beats are rare, so that a month takes a few seconds. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/state.h"
#include "simulation/sim.h"

enum { S = 1000, MINUTE = 60 * S, HOUR = 60 * MINUTE, DAY = 24 * HOUR };
enum { SLOTS = 8, CORES = 2, PROJECTS = 3, LONGEST = 40 * MINUTE };

/* When it was last so: critical, and what presses on the pool. */
struct days {
    struct sim *s;
    struct chance chance;
    int shims[PROJECTS], who[PROJECTS];
    int64_t critical, pressed, squeezed; // squeezed: not by processors alone
    int64_t served_at;
    unsigned served;
    bool resting; // nobody wants anything
};

static const struct pool *pool_of (const struct days *d)
{
    return d->s->broker.core->pools.at[0];
}

static unsigned effective (const struct days *d)
{
    return pool_effective (pool_of (d));
}

static struct sample *figures (struct days *d)
{
    return &d->s->hosts[0].health;
}

/* In all, with what the trees there take. */
static void set_memory (struct days *d, double percent)
{
    double trees = sim_figures (d->s, 0).memory_percent;

    figures (d)->memory_percent += percent - trees;
}

static struct days begin (int64_t sample)
{
    static const char *const projects[] = {"alpha", "beta", "gamma"};
    struct settings settings;
    struct days d = {0};

    sim_settings (&settings, SLOTS);
    settings.cores = CORES;
    settings.limits.load_average = 16;
    settings.limits.load_auto = false;
    settings.timing.beat = 30 * S;
    settings.timing.ttl = 5 * MINUTE;
    settings.timing.sample = sample;
    d.s = sim_create (&settings, 1);
    d.s->sampled = true;
    d.s->modelled = d.s->forecast = false;
    chance_init (&d.chance, 1);
    sim_start_broker (d.s);
    for (int i = 0; i < PROJECTS; i++) {
        d.shims[i] = sim_shim (d.s, projects[i], 0);
        d.who[i] = sim_supervisor (d.s, 0);
    }
    return d;
}

static void end (struct days *d)
{
    sim_destroy (d->s);
}

/* ---- the judge ---- */

/* As response.h says; and until it is seen. */
static int64_t bound (const struct days *d)
{
    const struct timing *t = &d->s->settings.timing;

    return t->dwell + t->healthy_for + (SLOTS - 1) * t->grow_every +
           3 * t->sample + t->beat;
}

static void look (struct days *d)
{
    const struct sample *f = &pool_of (d)->health.sample;
    bool memory = f->memory_percent > 85, load = f->load1 > 14.4;

    if (f->memory_percent > 90 || f->load1 > 14.4 || f->disk_percent > 92)
        d->critical = d->s->now;
    if (memory || load)
        d->squeezed = d->s->now;
    if (memory || load || f->cpu_percent > 80)
        d->pressed = d->s->now;
    if (d->s->invariants.served != d->served || d->resting ||
        d->critical == d->s->now)
        d->served_at = d->s->now;
    d->served = d->s->invariants.served;
}

static void judge (const struct days *d)
{
    const struct timing *t = &d->s->settings.timing;
    int64_t now = d->s->now;

    if (d->s->violation[0])
        fail_msg ("%s", d->s->violation);
    if (now - d->critical > t->dwell + 3 * t->sample + t->beat &&
        !response_grants (&pool_of (d)->response))
        fail_msg ("L5: day %lld: nothing is granted, and nothing critical",
                  (long long) (now / DAY));
    if (now - d->served_at > LONGEST + 10 * MINUTE)
        fail_msg ("L5: day %lld: nobody is served", (long long) (now / DAY));
    if (now - d->squeezed > bound (d) && effective (d) < CORES)
        fail_msg ("L6: day %lld: %u slots on %d cores", (long long) (now / DAY),
                  effective (d), CORES);
    if (now - d->pressed > bound (d) && effective (d) != SLOTS)
        fail_msg ("L6: day %lld: %u slots, and nothing presses",
                  (long long) (now / DAY), effective (d));
}

/* ---- what people do ---- */

static bool waits (const struct days *d, int project)
{
    for (int i = 0; i < SIM_CLIENTS; i++) {
        const struct sim_client *c = &d->s->clients[i];

        if (c->alive && !c->granted && c->shim == d->shims[project])
            return true;
    }
    return false;
}

static void want (struct days *d)
{
    for (int i = 0; i < PROJECTS; i++) {
        struct work work = {.count = 1, .term = 200, .kill = 20};

        work.lasts = chance_in (&d->chance, MINUTE, LONGEST);
        if (!d->resting && !waits (d, i))
            sim_run (d->s, d->shims[i], d->who[i], work);
    }
}

/* Every step shorter than a sample, so that no figure is missed. */
static void pass (struct days *d, int64_t ms)
{
    int64_t step = d->s->settings.timing.sample / 2;

    for (int64_t until = d->s->now + ms; d->s->now < until;) {
        sim_advance (d->s, step);
        look (d);
        judge (d);
        want (d);
    }
}

static void at_ease (struct days *d)
{
    figures (d)->cpu_percent = 50;
    figures (d)->memory_percent = 10;
    figures (d)->load1 = 1;
    figures (d)->disk_percent = 50;
}

static void peak (struct days *d, double percent, int64_t ms)
{
    for (int64_t until = d->s->now + ms; d->s->now < until;) {
        set_memory (d, percent);
        pass (d, 20 * S);
    }
    at_ease (d);
}

/* ---- months and days ---- */

/* A peak of memory each day, and the processors busy while anybody works. */
static void disk_at_91_for_a_month_stops_nobody_and_loses_no_slot (void **state)
{
    struct days d = begin (10 * S);
    unsigned served;
    (void) state;

    for (unsigned day = 0; day < 30; day++) {
        served = d.served;
        d.resting = false;
        figures (&d)->disk_percent = 91;
        figures (&d)->cpu_percent = 95;
        pass (&d, HOUR);
        peak (&d, day % 2 ? 92 : 97, chance_in (&d.chance, 1, 20) * MINUTE);
        figures (&d)->disk_percent = 91;
        pass (&d, HOUR);
        assert_int_equal (effective (&d), SLOTS);
        assert_true (d.served - served > 2 * CORES);
        d.resting = true;
        pass (&d, 22 * HOUR - MINUTE * 20);
    }
    end (&d);
}

/* It is frozen at what a lone agent had, or a slot per core. */
static void building_all_day_leaves_a_slot_per_core_and_ends_nobody (void **s)
{
    struct days d = begin (10 * S);
    unsigned served;
    (void) s;

    figures (&d)->cpu_percent = 95;
    sim_advance (d.s, MINUTE); // before anybody comes
    served = d.served;
    for (unsigned hour = 0; hour < 24; hour++) {
        pass (&d, HOUR);
        assert_int_equal (effective (&d), CORES);
        assert_int_equal (pool_of (&d)->enforcement.victim.token, 0);
    }
    assert_true (d.served - served > 24 * CORES);
    at_ease (&d);
    pass (&d, bound (&d) + MINUTE);
    assert_int_equal (effective (&d), SLOTS);
    end (&d);
}

/* Each metric goes its own way, now and then all are at ease for an hour; and
 * the broker dies once a day. */
static void worsen (struct days *d)
{
    struct sample *f = figures (d);

    switch (chance_in (&d->chance, 0, 3)) {
    case 0: f->cpu_percent = chance_of (&d->chance, 500) ? 95 : 50; break;
    case 1: set_memory (d, (double) chance_in (&d->chance, 60, 99)); break;
    case 2: f->load1 = (double) chance_in (&d->chance, 1, 24); break;
    default: f->disk_percent = (double) chance_in (&d->chance, 80, 99); break;
    }
}

static void several_episodes_at_once_end_and_all_is_back (void **state)
{
    struct days d = begin (10 * S);
    unsigned least = SLOTS, victims = 0;
    uint64_t victim = 0;
    (void) state;

    for (unsigned day = 0; day < 7; day++) {
        for (unsigned turn = 0; turn < 100; turn++) {
            worsen (&d);
            pass (&d, chance_in (&d.chance, 10, 500) * S);
            least = effective (&d) < least ? effective (&d) : least;
            victims += pool_of (&d)->enforcement.victim.token != victim;
            victim = pool_of (&d)->enforcement.victim.token;
        }
        at_ease (&d);
        pass (&d, HOUR);
        assert_int_equal (effective (&d), SLOTS);
        sim_crash_broker (d.s, CRASH_NONE);
        sim_start_broker (d.s);
    }
    assert_int_equal (least, 1); // it was bad
    assert_true (victims > 7);
    end (&d);
}

/* ---- waves ---- */

static void wave (struct days *d, double *figure, double high, double low,
                  int64_t half)
{
    for (unsigned i = 0; i < 4 * HOUR / half; i++) {
        *figure = i % 2 ? low : high;
        pass (d, half);
    }
}

static void wave_shorter_than_the_dwell_changes_nothing_or_once (void **state)
{
    static const struct {
        size_t figure;
        double high, low;
        int64_t half;
        unsigned changes, least;
    } waves[] = {
        // not long enough above to freeze what nobody uses
        {offsetof (struct sample, cpu_percent), 100, 20, 26 * S, 0, SLOTS},
        // one sample is no episode
        {offsetof (struct sample, load1), 40, 1, 2 * S, 0, SLOTS},
        {offsetof (struct sample, disk_percent), 99, 50, 2 * S, 0, SLOTS},
        // it opens once, and is not left between two crests; when nobody runs
        // any more it is said, once, that load comes from elsewhere
        {offsetof (struct sample, load1), 40, 1, 20 * S, 2, SLOTS / 2},
        {offsetof (struct sample, disk_percent), 99, 50, 20 * S, 1, SLOTS},
    };
    (void) state;

    for (size_t i = 0; i < sizeof waves / sizeof *waves; i++) {
        struct days d = begin (2 * S);
        double *figure = (double *) ((char *) figures (&d) + waves[i].figure);
        unsigned before;

        d.resting = waves[i].figure == offsetof (struct sample, cpu_percent);
        pass (&d, HOUR);
        before = pool_of (&d)->response.changes;
        wave (&d, figure, waves[i].high, waves[i].low, waves[i].half);
        assert_int_equal (pool_of (&d)->response.changes - before,
                          waves[i].changes);
        assert_int_equal (effective (&d), waves[i].least);
        assert_int_equal (pool_of (&d)->enforcement.victim.token, 0);
        at_ease (&d);
        pass (&d, bound (&d) + MINUTE);
        assert_int_equal (effective (&d), SLOTS);
        end (&d);
    }
}

/* Slots without trees: what memory is used is that of the host. It takes once,
 * and not again when that has been worked off. */
static void wave_of_memory_takes_a_quarter_once (void **state)
{
    struct days d = begin (2 * S);
    unsigned before;
    (void) state;

    d.resting = true;
    sim_request (d.s, d.shims[0], d.who[0], SLOTS, 0);
    pass (&d, MINUTE);
    before = pool_of (&d)->response.changes;
    for (unsigned i = 0; i < 4 * HOUR / (20 * S); i++) {
        figures (&d)->memory_percent = i % 2 ? 70 : 94;
        pass (&d, 20 * S);
        if (i == 10)
            sim_release (d.s, d.shims[0], d.who[0], SLOTS / 2);
    }
    assert_int_equal (pool_of (&d)->response.changes - before, 1);
    assert_int_equal (effective (&d), SLOTS * 3 / 4);
    at_ease (&d);
    pass (&d, bound (&d) + MINUTE);
    assert_int_equal (effective (&d), SLOTS);
    end (&d);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (
            disk_at_91_for_a_month_stops_nobody_and_loses_no_slot),
        cmocka_unit_test (
            building_all_day_leaves_a_slot_per_core_and_ends_nobody),
        cmocka_unit_test (several_episodes_at_once_end_and_all_is_back),
        cmocka_unit_test (wave_shorter_than_the_dwell_changes_nothing_or_once),
        cmocka_unit_test (wave_of_memory_takes_a_quarter_once),
    };

    cmocka_set_test_filter (getenv ("ONLY")); // a pattern, * and ?
    return cmocka_run_group_tests (tests, NULL, NULL);
}
