/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

void profile_draw (struct profile *ret_profile, uint64_t seed)
{
    static const unsigned speeds[] = {100, 100, 50, 200};
    struct profile *p = ret_profile;
    struct chance c;

    chance_init (&c, seed ^ UINT64_C (0xfa17));
    *p = (struct profile){.seed = seed};
    p->max_slots = (unsigned) chance_in (&c, 2, 12);
    p->cap = (unsigned) (chance_in (&c, 0, 2) ? p->max_slots
                                              : (p->max_slots + 1) / 2);
    p->burst = chance_in (&c, 0, 3) ? MAX_SLOTS : 3;
    p->own_shims = (unsigned) chance_in (&c, 1, 4);
    p->far_hosts = (unsigned) chance_in (&c, 0, 2);
    p->far_shims = (unsigned) chance_in (&c, 1, 2) * p->far_hosts;
    p->speed = speeds[chance_in (&c, 0, 3)];
    p->pace_ms = chance_in (&c, 500, 6000);
    p->calm = (unsigned) chance_in (&c, 3, 30);
    for (int i = 0; i < SIM_HOSTS; i++)
        p->rate[i] = (unsigned) chance_in (&c, 940, 1060);
    p->model = chance_in (&c, 1, 4) == 1;
    p->faults = draw_faults (&c);
    p->off = switched_off (p->faults);
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

char *profile_print (const struct profile *p, char *ret_text, size_t size)
{
    char faults[1024], off[1024];

    print_faults (p->faults, faults, sizeof faults);
    print_faults (p->off, off, sizeof off);
    snprintf (ret_text, size,
              "SEED=%llu max_slots=%u cap=%u burst=%u own_shims=%u "
              "far_shims=%u far_hosts=%u speed=%u rates=%u,%u,%u pace_ms=%lld "
              "calm=%u model=%d faults=%s%s%s",
              (unsigned long long) p->seed, p->max_slots, p->cap, p->burst,
              p->own_shims, p->far_shims, p->far_hosts, p->speed, p->rate[0],
              p->rate[1], p->rate[2], (long long) p->pace_ms, p->calm, p->model,
              faults, off[0] ? " WITHOUT=" : "", off);
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
    scale (&ret_settings->timing, p->speed);
}
