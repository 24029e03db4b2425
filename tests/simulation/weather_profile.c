/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/policy.h"
#include "simulation/weather_faults.h"
#include "simulation/weather_hosts.h"

static const struct fault_table *const tables[] = {&faults_of_programs,
                                                   &faults_of_hosts};

size_t fault_count (void)
{
    size_t count = 0;

    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        count += tables[i]->count;
    return count < MAX_FAULTS ? count : MAX_FAULTS;
}

const struct fault *fault_at (size_t i)
{
    for (size_t n = 0; n < sizeof tables / sizeof *tables; n++) {
        if (i < tables[n]->count)
            return &tables[n]->at[i];
        i -= tables[n]->count;
    }
    return NULL;
}

/* Is `name` one of "a,b,c"? */
static bool is_listed (const char *list, const char *name)
{
    size_t size = strlen (name);

    while (list && *list) {
        size_t length = strcspn (list, ",");

        if (length == size && memcmp (list, name, size) == 0)
            return true;
        list += length + (list[length] == ',');
    }
    return false;
}

static uint64_t draw_faults (struct chance *c)
{
    unsigned per_mille = (unsigned) chance_in (c, 2, 10) * 100;
    uint64_t faults = 0;

    for (size_t i = 0; i < MAX_FAULTS; i++) {
        if (chance_of (c, per_mille) && i < fault_count ())
            faults |= UINT64_C (1) << i;
    }
    return faults;
}

static uint64_t switched_off (uint64_t faults)
{
    const char *list = getenv ("WITHOUT");
    uint64_t off = 0;

    for (size_t i = 0; i < fault_count (); i++) {
        if (is_listed (list, fault_at (i)->name))
            off |= faults & UINT64_C (1) << i;
    }
    return off;
}

const char *const weather_projects[WEATHER_PROJECTS] = {"alpha", "beta",
                                                        "gamma", "delta"};

static void draw_project (struct chance *c, unsigned max_slots, unsigned *left,
                          struct schedule *s, int i)
{
    unsigned most = (unsigned) chance_in (c, 1, max_slots);
    unsigned guarantee = (unsigned) chance_in (c, 0, *left);

    s->projects[i].configured = chance_in (c, 0, 2) > 0;
    s->projects[i].priority =
        (unsigned) chance_in (c, 0, chance_in (c, 0, 1) ? 10 : 2);
    s->projects[i].max = chance_in (c, 0, 3) ? 0 : most;
    if (!s->projects[i].configured || s->projects[i].max || chance_in (c, 0, 1))
        return;
    s->projects[i].guarantee = guarantee;
    *left -= guarantee;
}

/* As the configuration allows: the guarantees fit into half of the pool, and
 * so below any cap. */
void schedule_draw (struct chance *c, unsigned max_slots,
                    struct schedule *ret_schedule)
{
    static const int64_t agings[] = {0, 1000, 20000, 300000};
    unsigned left = max_slots / 2;
    struct schedule *s = ret_schedule;

    *s = (struct schedule){0};
    s->policy = (enum policy) chance_in (c, POLICY_FIFO, POLICY_PRIORITY);
    s->fair_mode =
        (enum fair_mode) chance_in (c, FAIR_PROPORTIONAL, FAIR_MAXMIN);
    s->aging_ms = agings[chance_in (c, 0, 3)];
    for (int i = 0; i < WEATHER_PROJECTS; i++)
        draw_project (c, max_slots, &left, s, i);
}

void schedule_settings (const struct schedule *schedule,
                        struct settings *ret_settings)
{
    struct settings *s = ret_settings;

    s->policy = schedule->policy;
    s->fair_mode = schedule->fair_mode;
    s->aging_ms = schedule->aging_ms;
    s->project_count = 0;
    for (int i = 0; i < WEATHER_PROJECTS; i++) {
        struct project_settings *p;

        if (!schedule->projects[i].configured)
            continue;
        p = settings_add_project (s, weather_projects[i]);
        p->priority = schedule->projects[i].priority;
        p->max = schedule->projects[i].max;
        p->guarantee = schedule->projects[i].guarantee;
    }
}

void profile_draw (struct profile *ret_profile, uint64_t seed)
{
    static const unsigned speeds[] = {100, 100, 50, 200};
    static const int64_t idles[] = {0, 3000, 20000, 600000};
    struct profile *p = ret_profile;
    struct chance c;

    chance_init (&c, seed ^ UINT64_C (0xfa17));
    *p = (struct profile){.seed = seed};
    p->max_slots = (unsigned) chance_in (&c, 2, 12);
    p->cap = (unsigned) (chance_in (&c, 0, 2) ? p->max_slots
                                              : (p->max_slots + 1) / 2);
    p->burst =
        chance_in (&c, 0, 2) ? MAX_SLOTS : (unsigned) chance_in (&c, 1, 3);
    p->own_shims = (unsigned) chance_in (&c, 1, 4);
    p->far_hosts = (unsigned) chance_in (&c, 0, 2);
    p->far_shims = (unsigned) chance_in (&c, 1, 2) * p->far_hosts;
    p->speed = speeds[chance_in (&c, 0, 3)];
    p->pace_ms = chance_in (&c, 500, 6000);
    p->calm = (unsigned) chance_in (&c, 3, 30);
    for (int i = 0; i < SIM_HOSTS; i++)
        p->rate[i] = (unsigned) chance_in (&c, 940, 1060);
    p->model = chance_in (&c, 1, 3) == 1;
    p->faults = draw_faults (&c);
    p->off = switched_off (p->faults);
    p->parked = (unsigned) chance_in (&c, 0, 8);
    schedule_draw (&c, p->max_slots, &p->schedule);
    p->forecast = chance_in (&c, 1, 40) == 1;
    p->reclaim_idle_ms = idles[chance_in (&c, 0, 3)];
}

static void print_faults (uint64_t faults, char *text, size_t size)
{
    size_t at = 0;

    text[0] = '\0';
    for (size_t i = 0; i < fault_count () && at < size; i++) {
        if (faults >> i & 1)
            at += (size_t) snprintf (text + at, size - at, "%s%s",
                                     at ? "," : "", fault_at (i)->name);
    }
}

/* "fair mode=1 aging=0 projects=3:0:2,5:4:0,-,-": priority, most, guarantee. */
static void print_schedule (const struct schedule *s, char *text, size_t size)
{
    size_t at = (size_t) snprintf (
        text, size, "%s mode=%d aging=%lld projects=", policy_name (s->policy),
        s->fair_mode, (long long) s->aging_ms);

    for (int i = 0; i < WEATHER_PROJECTS && at < size; i++)
        at += (size_t) (s->projects[i].configured
                            ? snprintf (text + at, size - at, "%s%u:%u:%u",
                                        i ? "," : "", s->projects[i].priority,
                                        s->projects[i].max,
                                        s->projects[i].guarantee)
                            : snprintf (text + at, size - at, "%s-",
                                        i ? "," : ""));
}

char *profile_print (const struct profile *p, char *ret_text, size_t size)
{
    char faults[1024], off[1024], schedule[128];

    print_schedule (&p->schedule, schedule, sizeof schedule);
    print_faults (p->faults, faults, sizeof faults);
    print_faults (p->off, off, sizeof off);
    snprintf (ret_text, size,
              "SEED=%llu max_slots=%u cap=%u burst=%u parked=%u own_shims=%u "
              "far_shims=%u far_hosts=%u speed=%u rates=%u,%u,%u pace_ms=%lld "
              "calm=%u model=%d forecast=%d reclaim_idle=%lld policy=%s "
              "faults=%s%s%s",
              (unsigned long long) p->seed, p->max_slots, p->cap, p->burst,
              p->parked, p->own_shims, p->far_shims, p->far_hosts, p->speed,
              p->rate[0], p->rate[1], p->rate[2], (long long) p->pace_ms,
              p->calm, p->model, p->forecast, (long long) p->reclaim_idle_ms,
              schedule, faults, off[0] ? " WITHOUT=" : "", off);
    return ret_text;
}

static void scale (struct timing *t, unsigned percent)
{
    int64_t *const times[] = {
        &t->beat,  &t->ttl,        &t->notice, &t->grace,  &t->kill_confirm,
        &t->drift, &t->lock_delay, &t->linger, &t->sample, &t->memory_grace};

    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        *times[i] = *times[i] * percent / 100;
}

void profile_settings (const struct profile *p, struct settings *ret_settings)
{
    sim_settings (ret_settings, p->max_slots);
    ret_settings->max_per_project = p->cap;
    ret_settings->grant_burst = p->burst;
    ret_settings->max_parked = p->parked;
    ret_settings->reclaim = p->reclaim_idle_ms > 0;
    if (ret_settings->reclaim)
        ret_settings->reclaim_idle_ms = p->reclaim_idle_ms;
    scale (&ret_settings->timing, p->speed);
    ret_settings->timing.load_after = 10000; // pressure does not last longer
    ret_settings->timing.load_settle = 15000;
    schedule_settings (&p->schedule, ret_settings);
}
