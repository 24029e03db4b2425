/* SPDX-License-Identifier: MPL-2.0 */
#include "simulation/weather_faults.h"

#include <math.h>

static int64_t in (struct sim *s, int64_t low, int64_t high)
{
    return weather_in (s, low, high);
}

static bool one_in (struct sim *s, int n)
{
    return weather_one_in (s, n);
}

/* ---- the broker ---- */

static void start_broker (struct sim *s, struct event *e)
{
    (void) e;
    sim_start_broker (s);
}

static void continue_broker (struct sim *s, struct event *e)
{
    if (e->a == s->broker.life)
        sim_continue_broker (s);
}

static void broker_stops (struct sim *s)
{
    if (!s->broker.alive || s->broker.stopped)
        return;
    sim_stop_broker (s);
    weather_later (s, weather_while (s), continue_broker, s->broker.life, 0);
}

static void broker_dies (struct sim *s)
{
    if (!s->broker.alive || s->broker.stopped)
        return;
    sim_crash_broker (s, (enum crash) in (s, 0, 2));
    weather_later (s, weather_while (s), start_broker, 0, 0);
}

/* ---- shims and keepers ---- */

static void continue_shim (struct sim *s, struct event *e)
{
    if (e->b == s->shims[e->a].life)
        sim_continue_shim (s, (int) e->a);
}

static void shim_dies (struct sim *s)
{
    sim_crash_shim (s, weather_shim (s));
}

static void shim_ends (struct sim *s)
{
    sim_end_shim (s, weather_shim (s));
}

static void shim_stops (struct sim *s)
{
    int shim = weather_shim (s);

    sim_stop_shim (s, shim);
    weather_later (s, weather_while (s), continue_shim, (uint64_t) shim,
                   s->shims[shim].life);
}

/* On the broker's host only: a remote one whose keeper is gone or stopped is
 * the exception that I4 names. -1: there is none. */
static int own_keeper (struct sim *s)
{
    int first = (int) in (s, 0, SIM_KEEPERS - 1);

    for (int i = 0; i < SIM_KEEPERS; i++) {
        int keeper = (first + i) % SIM_KEEPERS;
        const struct sim_keeper *k = &s->keepers[keeper];

        if (k->alive && s->hosts[s->shims[k->shim].host].own)
            return keeper;
    }
    return -1;
}

static void continue_keeper (struct sim *s, struct event *e)
{
    if (e->b == s->keepers[e->a].life)
        sim_continue_keeper (s, (int) e->a);
}

static void keeper_dies (struct sim *s)
{
    sim_crash_keeper (s, own_keeper (s));
}

static void keeper_stops (struct sim *s)
{
    int keeper = own_keeper (s);

    if (keeper < 0)
        return;
    sim_stop_keeper (s, keeper);
    weather_later (s, weather_while (s), continue_keeper, (uint64_t) keeper,
                   s->keepers[keeper].life);
}

/* ---- the network ---- */

static void heal (struct sim *s, struct event *e)
{
    sim_cut (s, (int) e->a, false);
}

/* -1: there is none. */
static int far_host (struct sim *s)
{
    return s->host_count > 1 ? (int) in (s, 1, s->host_count - 1) : -1;
}

static void cable_is_pulled (struct sim *s)
{
    int host = far_host (s);

    if (host < 0 || s->hosts[host].cut)
        return;
    sim_cut (s, host, true);
    weather_later (s, weather_while (s), heal, (uint64_t) host, 0);
}

static void far_power_cut (struct sim *s)
{
    int host = far_host (s);

    if (host > 0)
        sim_crash_host (s, host);
}

/* ---- the broker's host and store ---- */

static void back_and_start (struct sim *s, struct event *e)
{
    (void) e;
    sim_power_back (s);
    sim_start_broker (s);
}

static void power_cut (struct sim *s)
{
    sim_cut_power (s, one_in (s, 3));
    weather_later (s, weather_while (s), back_and_start, 0, 0);
}

/* Somebody accepts it, or does so at once. */
static void state_lost (struct sim *s)
{
    if (s->broker.stopped)
        return;
    sim_crash_broker (s, CRASH_NONE);
    sim_lose_state (s, !one_in (s, 3));
    weather_later (s, weather_while (s), start_broker, 0, 0);
}

static void room_again (struct sim *s, struct event *e)
{
    (void) e;
    s->full = false;
}

static void disk_full (struct sim *s)
{
    sim_trace (s, "world", "disk is full");
    s->full = true;
    sim_set_max (s, (unsigned) in (s, 2, 12)); // which is refused
    weather_later (s, weather_while (s), room_again, 0, 0);
}

static void no_disk_full (struct sim *s)
{
    s->full = false;
}

static double some_percent (struct sim *s)
{
    return one_in (s, 8) ? (double) NAN : (double) in (s, 0, 100);
}

/* Its figures, for a while. */
static void pressure (struct sim *s)
{
    struct sample *h =
        &s->hosts[one_in (s, 2) ? 0 : in (s, 0, s->host_count - 1)].health;

    s->sampled = true;
    h->cpu_percent = some_percent (s);
    h->memory_percent = // what runs there comes to it
        one_in (s, 2) ? (double) in (s, 50, 90) : some_percent (s);
    h->memory_full = one_in (s, 4) ? some_percent (s) : 0;
    h->load1 = one_in (s, 2) ? (double) in (s, 0, 40) : 1;
    h->disk_percent = one_in (s, 4) ? some_percent (s) : 50;
}

static void no_pressure (struct sim *s)
{
    for (int i = 0; i < s->host_count; i++) {
        struct sample *h = &s->hosts[i].health;

        h->cpu_percent = h->disk_percent = 50;
        h->memory_percent = 10;
        h->memory_full = 0;
        h->load1 = 1;
    }
}

static void reload (struct sim *s)
{
    struct schedule schedule;

    s->settings.max_slots = (unsigned) in (s, 2, 12);
    s->settings.max_per_project = (unsigned) in (
        s, (s->settings.max_slots + 1) / 2, (int64_t) s->settings.max_slots);
    schedule_draw (&s->weather, s->settings.max_slots, &schedule);
    schedule_settings (&schedule, &s->settings);
    sim_reload (s);
}

/* ---- people ---- */

static const char *any_project (struct sim *s)
{
    return weather_projects[in (s, 0, WEATHER_PROJECTS - 1)];
}

static void set_policy (struct sim *s)
{
    sim_set_policy (s, (enum policy) in (s, POLICY_FIFO, POLICY_PRIORITY));
}

static void relieve (struct sim *s)
{
    bool kill = one_in (s, 2);

    sim_relieve (s, (int) in (s, 0, s->host_count - 1), kill);
}

static void set_priority (struct sim *s)
{
    unsigned priority = (unsigned) in (s, 0, 10);

    sim_set_priority (s, any_project (s), priority);
}

static void resume (struct sim *s, struct event *e)
{
    sim_pause (s, weather_projects[e->a], false);
}

static void pause_project (struct sim *s)
{
    uint64_t project = (uint64_t) in (s, 0, WEATHER_PROJECTS - 1);

    sim_pause (s, weather_projects[project], true);
    weather_later (s, weather_while (s), resume, project, 0);
}

static void set_max (struct sim *s)
{
    sim_set_max (s, (unsigned) in (s, 2, 12));
}

static unsigned any_share (struct sim *s)
{
    return one_in (s, 2) ? 0 : (unsigned) in (s, 1, 300);
}

static void loss (struct sim *s)
{
    s->loss = any_share (s);
}

static void no_loss (struct sim *s)
{
    s->loss = 0;
}

static void doubling (struct sim *s)
{
    s->twice = any_share (s);
}

static void no_doubling (struct sim *s)
{
    s->twice = 0;
}

static void lateness (struct sim *s)
{
    s->late = any_share (s);
}

static void no_lateness (struct sim *s)
{
    s->late = 0;
}

static void slowness (struct sim *s)
{
    s->bus.high = s->bus.low + (one_in (s, 2) ? 0 : in (s, 1, 400));
    s->wire.high = s->wire.low + (one_in (s, 2) ? 0 : in (s, 1, 900));
    s->local.high = one_in (s, 2) ? 0 : in (s, 1, 40);
}

static void no_slowness (struct sim *s)
{
    s->bus.high = s->bus.low;
    s->wire.high = s->wire.low;
    s->local.high = s->local.low;
}

static const struct fault faults[] = {
    {"broker-stops", broker_stops, 10, NULL},
    {"broker-dies", broker_dies, 10, NULL},
    {"shim-dies", shim_dies, 8, NULL},
    {"shim-ends", shim_ends, 8, NULL},
    {"shim-stops", shim_stops, 8, NULL},
    {"keeper-dies", keeper_dies, 10, NULL},
    {"keeper-stops", keeper_stops, 10, NULL},
    {"power-cut", power_cut, 3, NULL},
    {"state-lost", state_lost, 3, NULL},
    {"disk-full", disk_full, 5, no_disk_full},
    {"pressure", pressure, 25, no_pressure},
    {"reload", reload, 5, NULL},
    {"set-max", set_max, 5, NULL},
    {"set-policy", set_policy, 5, NULL},
    {"set-priority", set_priority, 5, NULL},
    {"relieve", relieve, 5, NULL},
    {"pause", pause_project, 5, NULL},
    {"cable-is-pulled", cable_is_pulled, 10, NULL},
    {"far-power-cut", far_power_cut, 3, NULL},
    {"loss", loss, 5, no_loss},
    {"doubling", doubling, 5, no_doubling},
    {"lateness", lateness, 5, no_lateness},
    {"slowness", slowness, 5, no_slowness},
};

const struct fault_table faults_of_programs = {faults,
                                               sizeof faults / sizeof *faults};
