/* SPDX-License-Identifier: MPL-2.0 */
/* weather.h - a world in which anything may happen, chosen by a seed
 *
 * Projects on the broker's host and on remote ones ask, run, release and
 * cancel; meanwhile faults happen, out of tables of them. Then the faults end,
 * and everything must come to rest: who waits is served, shims and broker
 * agree, and when the supervisors have gone nothing is left.
 *
 * Each seed draws a profile: how large the world is, how fast its clocks and
 * people are, and which of the faults it has. A run that went wrong is
 * repeated with SEED=n, and with WITHOUT=name,name some of its faults do not
 * happen: the rest happens as it did.
 *
 * Files: weather (people, the end, the whole), weather_profile (what a seed
 * draws), weather_faults and weather_hosts (what can go wrong).
 */
#ifndef SIMULATION_WEATHER_H
#define SIMULATION_WEATHER_H

#include "simulation/sim.h"

/* One kind of trouble. */
struct fault {
    const char *name;               // "broker-stops": [a-z-], in one table only
    void (*happen) (struct sim *s); // once; may do nothing where it cannot
    unsigned weight;                // how often, beside the others: 1..100
    void (*end) (struct sim *s);    // where it lasts until then; NULL: it ends
                                    // by itself
};
struct fault_table {
    const struct fault *at;
    size_t count;
};

enum { MAX_FAULTS = 64 }; // of all tables together

/* A policy, and what it looks at. */
enum { WEATHER_PROJECTS = 4 };
struct schedule {
    enum policy policy;
    enum fair_mode fair_mode;
    int64_t aging_ms;
    struct {
        bool configured;
        unsigned priority, max, guarantee;
    } projects[WEATHER_PROJECTS];
};

/* What a seed draws. */
struct profile {
    uint64_t seed;
    unsigned max_slots, cap, burst, parked;
    unsigned own_shims, far_shims, far_hosts;
    unsigned speed;           // timings, in percent of the defaults
    unsigned rate[SIM_HOSTS]; // of each host's clock, per mille
    int64_t pace_ms;          // at most, between what people do
    unsigned calm;            // so many things happen to one fault
    struct schedule schedule;
    int64_t reclaim_idle_ms;  // 0: nobody is asked for idle slots
    bool forecast;            // nine tenths of a run's cost, where there is
    bool model;               // its rounds are compared with the model's
    uint64_t faults;          // bit i: it has fault i
    uint64_t off;             // it had, but they do not happen
};

/* Its faults, in a fixed order: its own, then those of weather_hosts.c. */
size_t fault_count (void);
const struct fault *fault_at (size_t i);

/* `off`: as WITHOUT in the environment says. */
void profile_draw (struct profile *ret_profile, uint64_t seed);
/* One line "SEED=17 max_slots=8 ... faults=a,b"; returns ret_text. */
char *profile_print (const struct profile *p, char *ret_text, size_t size);
void profile_settings (const struct profile *p, struct settings *ret_settings);

extern const char *const weather_projects[WEATHER_PROJECTS];
/* One for a pool of so many slots. */
void schedule_draw (struct chance *c, unsigned max_slots,
                    struct schedule *ret_schedule);
void schedule_settings (const struct schedule *schedule,
                        struct settings *ret_settings);

/* Runs it for so long. What is wrong, if anything, is in sim->violation. The
 * caller destroys it. */
struct sim *weather_run (uint64_t seed, int64_t ms);

/* ---- for tables of faults ---- */
/* Chance of what happens now, apart from that of the network: what a fault
 * draws changes nothing for the next one. */
int64_t weather_in (struct sim *s, int64_t low, int64_t high);
bool weather_one_in (struct sim *s, int n);
int weather_shim (struct sim *s); // any
/* Mostly short, sometimes longer than any deadline. */
int64_t weather_while (struct sim *s);
void weather_later (struct sim *s, int64_t ms, event_fn *fire, uint64_t a,
                    uint64_t b);

#endif
