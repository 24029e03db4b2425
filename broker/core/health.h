/* SPDX-License-Identifier: MPL-2.0 */
/* health.h - how a host is, judged from its samples
 *
 * Each metric has its own level; the host's is the worst of them. A metric
 * has two independent switches, degraded and critical. Each turns on when the
 * value is above its limit (strictly) twice in a row - critical memory at
 * once, degraded CPU after `dwell` - and off when it has been a margin below
 * (5 points, of the load 10 %) for `dwell`. A figure that could not be read
 * leaves its switches as they are and is stale.
 *
 * Pure: told samples and limits, owns nothing.
 */
#ifndef SLOTBUS_HEALTH_H
#define SLOTBUS_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/sample.h"
#include "core/settings.h"

enum level { LEVEL_HEALTHY, LEVEL_DEGRADED, LEVEL_CRITICAL };
enum metric {
    METRIC_CPU,
    METRIC_MEMORY,
    METRIC_LOAD,
    METRIC_DISK,
    METRIC_INODES,
    METRIC_COUNT
};

/* One switch of one metric. */
struct threshold {
    bool on;
    unsigned above;      // samples in a row above the limit
    int64_t above_since; // of the first of them
    bool below;          // a margin below,
    int64_t below_since; // since
};

struct health {
    struct sample sample; // the newest
    int64_t wall;         // ms since 1970, of the newest
    bool sampled;         // there is one
    bool fades;           // its memory_full has fallen, and not risen since
    bool stale[METRIC_COUNT];
    struct threshold degraded[METRIC_COUNT], critical[METRIC_COUNT];
};

void health_init (struct health *ret_health);
/* Is there a limit that it is judged by? */
bool limits_judge (const struct limits *l, enum metric m);
/* Returns whether the level of any metric changed. */
bool health_update (struct health *h, const struct sample *sample, int64_t wall,
                    const struct limits *limits, int64_t dwell, int64_t now);
/* The dwell moves by so much: nobody looked meanwhile (R3). */
void health_shift (struct health *h, int64_t by);
/* How long until the next sample where `sample` ms are usual: a tenth of it
 * while a metric that may change fast is not healthy, or within 5 points (of
 * the load 10 %) of a limit. Disks fill slowly: they change nothing. */
int64_t health_interval (const struct health *h, const struct limits *limits,
                         int64_t sample);
enum level health_metric (const struct health *h, enum metric m);
enum level health_level (const struct health *h);
/* NaN: could not be read. */
double health_value (const struct sample *s, enum metric m);
/* "healthy", "degraded", "critical". */
const char *level_name (enum level l);
/* "cpu", "memory", "load", "disk", "inodes". */
const char *metric_name (enum metric m);

#endif
