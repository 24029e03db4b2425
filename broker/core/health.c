/* SPDX-License-Identifier: MPL-2.0 */
#include "core/health.h"

#include <math.h>
#include <string.h>

void health_init (struct health *ret_health)
{
    memset (ret_health, 0, sizeof *ret_health);
}

bool limits_judge (const struct limits *l, enum metric m)
{
    switch (m) {
    case METRIC_CPU: return !isnan (l->cpu_percent);
    case METRIC_MEMORY:
        return !isnan (l->memory_percent) ||
               !isnan (l->critical_memory_percent) ||
               !isnan (l->critical_memory_psi);
    case METRIC_LOAD: return !isnan (l->load_average);
    case METRIC_DISK:
    case METRIC_INODES:
        return !isnan (l->disk_percent) || !isnan (l->critical_disk_percent);
    case METRIC_COUNT: break;
    }
    return false;
}

const char *level_name (enum level l)
{
    switch (l) {
    case LEVEL_HEALTHY: return "healthy";
    case LEVEL_DEGRADED: return "degraded";
    case LEVEL_CRITICAL: return "critical";
    }
    return "?";
}

const char *metric_name (enum metric m)
{
    switch (m) {
    case METRIC_CPU: return "cpu";
    case METRIC_MEMORY: return "memory";
    case METRIC_LOAD: return "load";
    case METRIC_DISK: return "disk";
    case METRIC_INODES: return "inodes";
    case METRIC_COUNT: break;
    }
    return "?";
}

/* Where a value is, seen from a limit. */
enum side { SIDE_UNKNOWN, SIDE_ABOVE, SIDE_BETWEEN, SIDE_BELOW };

static enum side side_of (double value, double limit, double margin)
{
    if (isnan (value))
        return SIDE_UNKNOWN;
    if (value > limit)
        return SIDE_ABOVE;
    return value <= limit - margin ? SIDE_BELOW : SIDE_BETWEEN;
}

/* When a switch turns on: after so many samples, and so long. */
struct patience {
    unsigned samples;
    int64_t above_ms;
};

static void rise (struct threshold *t, struct patience up, int64_t now)
{
    t->below = false;
    if (t->above++ == 0)
        t->above_since = now;
    if (t->above >= up.samples && now - t->above_since >= up.above_ms)
        t->on = true;
}

static void fall (struct threshold *t, enum side side, int64_t dwell,
                  int64_t now)
{
    t->above = 0;
    if (side == SIDE_BELOW && !t->below)
        t->below_since = now;
    t->below = side == SIDE_BELOW;
    if (t->below && now - t->below_since >= dwell)
        t->on = false;
}

static void judge (struct threshold *t, enum side side, struct patience up,
                   int64_t dwell, int64_t now)
{
    switch (side) {
    case SIDE_UNKNOWN: break;
    case SIDE_ABOVE: rise (t, up, now); break;
    case SIDE_BETWEEN:
    case SIDE_BELOW: fall (t, side, dwell, now); break;
    }
}

/* Against one limit; a limit that is NaN is not judged. */
static void judge_limit (struct threshold *t, double value, double limit,
                         double margin, struct patience up, int64_t dwell,
                         int64_t now)
{
    if (isnan (limit))
        *t = (struct threshold){0};
    else
        judge (t, side_of (value, limit, margin), up, dwell, now);
}

/* Critical memory has two figures: either above is above, and only both below
 * are below. One that is unknown or not judged leaves it to the other. */
static enum side either (enum side a, enum side b)
{
    if (a == SIDE_UNKNOWN)
        return b;
    if (b == SIDE_UNKNOWN)
        return a;
    return a < b ? a : b; // above before between before below
}

static void judge_critical_memory (struct health *h, const struct limits *l,
                                   int64_t dwell, int64_t now)
{
    struct threshold *t = &h->critical[METRIC_MEMORY];
    enum side used = SIDE_UNKNOWN, pressure = SIDE_UNKNOWN;

    if (isnan (l->critical_memory_percent) && isnan (l->critical_memory_psi)) {
        *t = (struct threshold){0};
        return;
    }
    if (!isnan (l->critical_memory_percent))
        used =
            side_of (h->sample.memory_percent, l->critical_memory_percent, 5.0);
    if (!isnan (l->critical_memory_psi))
        pressure = side_of (h->sample.memory_full, l->critical_memory_psi, 5.0);
    /* Pressure alone can raise the alarm; it cannot end one while nobody
     * knows how much memory is used. */
    if (h->stale[METRIC_MEMORY] && pressure != SIDE_ABOVE)
        return;
    judge (t, either (used, pressure), (struct patience){1, 0}, dwell, now);
}

double health_value (const struct sample *s, enum metric m)
{
    switch (m) {
    case METRIC_CPU: return s->cpu_percent;
    case METRIC_MEMORY: return s->memory_percent;
    case METRIC_LOAD: return s->load1;
    case METRIC_DISK: return s->disk_percent;
    case METRIC_INODES: return s->inodes_percent;
    case METRIC_COUNT: break;
    }
    return NAN;
}

static void judge_all (struct health *h, const struct limits *l, int64_t dwell,
                       int64_t now)
{
    const struct patience twice = {2, 0}, long_enough = {2, dwell};
    const struct sample *s = &h->sample;

    judge_limit (&h->degraded[METRIC_CPU], s->cpu_percent, l->cpu_percent, 5.0,
                 long_enough, dwell, now);
    judge_limit (&h->degraded[METRIC_MEMORY], s->memory_percent,
                 l->memory_percent, 5.0, twice, dwell, now);
    judge_critical_memory (h, l, dwell, now);
    judge_limit (&h->critical[METRIC_LOAD], s->load1, l->load_average,
                 l->load_average / 10.0, twice, dwell, now);
    for (enum metric m = METRIC_DISK; m <= METRIC_INODES; m++) {
        judge_limit (&h->degraded[m], health_value (s, m), l->disk_percent, 5.0,
                     twice, dwell, now);
        judge_limit (&h->critical[m], health_value (s, m),
                     l->critical_disk_percent, 5.0, twice, dwell, now);
    }
}

static bool still_fades (const struct health *h, const struct sample *next)
{
    if (next->memory_full == h->sample.memory_full)
        return h->fades; // the kernel averages every 2 s
    return next->memory_full < h->sample.memory_full;
}

bool health_update (struct health *h, const struct sample *sample, int64_t wall,
                    const struct limits *limits, int64_t dwell, int64_t now)
{
    enum level before[METRIC_COUNT];
    bool changed = !h->sampled;

    for (enum metric m = 0; m < METRIC_COUNT; m++) {
        before[m] = health_metric (h, m);
        h->stale[m] = isnan (health_value (sample, m));
    }
    h->fades = still_fades (h, sample);
    h->sample = *sample;
    h->wall = wall;
    h->sampled = true;
    judge_all (h, limits, dwell, now);
    for (enum metric m = 0; m < METRIC_COUNT; m++)
        changed |= health_metric (h, m) != before[m];
    return changed;
}

void health_shift (struct health *h, int64_t by)
{
    for (enum metric m = 0; m < METRIC_COUNT; m++) {
        h->degraded[m].above_since += by;
        h->degraded[m].below_since += by;
        h->critical[m].above_since += by;
        h->critical[m].below_since += by;
    }
}

enum level health_metric (const struct health *h, enum metric m)
{
    if (h->critical[m].on)
        return LEVEL_CRITICAL;
    return h->degraded[m].on ? LEVEL_DEGRADED : LEVEL_HEALTHY;
}

enum level health_level (const struct health *h)
{
    enum level worst = LEVEL_HEALTHY;

    for (enum metric m = 0; m < METRIC_COUNT; m++) {
        if (health_metric (h, m) > worst)
            worst = health_metric (h, m);
    }
    return worst;
}

/* Within so much below a limit, or above it. */
static bool is_near (double value, double limit, double margin)
{
    return !isnan (value) && !isnan (limit) && value >= limit - margin;
}

static bool is_tense (const struct health *h, const struct limits *l)
{
    const struct sample *s = &h->sample;

    if (health_metric (h, METRIC_CPU) || health_metric (h, METRIC_MEMORY) ||
        health_metric (h, METRIC_LOAD))
        return true;
    return is_near (s->cpu_percent, l->cpu_percent, 5) ||
           is_near (s->memory_percent, l->memory_percent, 5) ||
           is_near (s->memory_percent, l->critical_memory_percent, 5) ||
           is_near (s->memory_full, l->critical_memory_psi, 5) ||
           is_near (s->load1, l->load_average, 0.1 * l->load_average);
}

int64_t health_interval (const struct health *h, const struct limits *limits,
                         int64_t sample)
{
    if (!h->sampled || !is_tense (h, limits))
        return sample;
    return sample > 10 ? sample / 10 : 1;
}
