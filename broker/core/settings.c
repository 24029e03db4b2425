/* SPDX-License-Identifier: MPL-2.0 */
#include "core/settings.h"

#include <stdio.h>
#include <string.h>

static const struct timing default_timing = {
    .beat = 5000,
    .ttl = 60000,
    .notice = 10000,
    .grace = 10000,
    .kill_confirm = 5000,
    .drift = 2000,
    .lock_delay = 15000,
    .linger = 2000,
    .gather = 200,
    .memory_grace = 2000,
    .load_after = 60000,
    .load_settle = 90000,
    .sample = 2000,
    .health_interval = 30000,
    .dwell = 30000,
    .settle = 10000,
    .healthy_for = 60000,
    .grow_every = 30000,
};

static struct limits default_limits (unsigned cores)
{
    return (struct limits){
        .cpu_percent = 85,
        .memory_percent = 90,
        .critical_memory_percent = 95,
        .critical_memory_psi = 20,
        .load_average = 2.0 * cores,
        .load_auto = true,
        .disk_percent = 90,
        .critical_disk_percent = 97,
    };
}

struct limits settings_limits (const struct settings *s, unsigned cores)
{
    struct limits l = s->limits;

    if (l.load_auto && cores)
        l.load_average = default_limits (cores).load_average;
    return l;
}

void settings_default (struct settings *ret_settings, unsigned cores,
                       uint64_t memory_bytes)
{
    struct settings *s = ret_settings;

    memset (s, 0, sizeof *s);
    s->policy = POLICY_FIFO;
    s->fair_mode = FAIR_PROPORTIONAL;
    s->aging_ms = 5 * 60000;
    s->reclaim = true;
    s->reclaim_idle_ms = 10 * 60000;
    s->max_parked = 64;
    s->floor = 1;
    s->grant_burst = 8;
    s->message_rate = 2000;
    s->cores = cores;
    s->memory_bytes = memory_bytes;
    s->limits = default_limits (cores);
    s->timing = default_timing;
    s->max_per_project_auto = true;
    s->auto_max_auto = true;
    settings_set_max (s, settings_advise (cores, memory_bytes));
}

void settings_set_max (struct settings *s, unsigned max_slots)
{
    s->max_slots = max_slots;
    if (s->max_per_project_auto)
        s->max_per_project = (max_slots + 1) / 2;
    if (s->auto_max_auto || s->auto_max < max_slots)
        s->auto_max = max_slots;
}

/* The kernel keeps a part of what was installed: a machine sold with 16 GB
 * shows 15.6 and is still one of 16. */
static uint64_t whole_gib (uint64_t bytes)
{
    const uint64_t gib = (uint64_t) 1 << 30;

    return bytes / gib + (bytes % gib != 0);
}

unsigned settings_advise (unsigned cores, uint64_t memory_bytes)
{
    uint64_t by_cores = (uint64_t) cores * 5 / 2;
    uint64_t by_memory = whole_gib (memory_bytes) * 5 / 4;
    uint64_t slots = by_cores < by_memory ? by_cores : by_memory;

    return slots < 1 ? 1 : slots > 50 ? 50 : (unsigned) slots;
}

/* A shim must have time for a beat lost thrice and a full kill before its
 * deadline, and the broker must wait for a clock that drifts (R2). */
static const char *check_timing (const struct timing *t)
{
    if (t->ttl < 4 * t->beat + t->grace + t->kill_confirm + t->drift)
        return "timing: ttl must be at least 4 x beat + grace + kill_confirm "
               "+ drift";
    if (t->lock_delay < t->drift + t->beat)
        return "timing: lock_delay must be at least drift + beat";
    return NULL;
}

static const char *check_limits (const struct limits *l)
{
    // a limit that is switched off is NaN and compares as false
    if (l->critical_memory_percent < l->memory_percent)
        return "vm_limits: critical_memory_percent is below "
               "max_memory_percent";
    if (l->critical_disk_percent < l->disk_percent)
        return "vm_limits: critical_disk_percent is below max_disk_percent";
    return NULL;
}

static const char *check_guarantees (const struct settings *s)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < s->project_count; i++) {
        const struct project_settings *p = &s->projects[i];
        unsigned max = p->max ? p->max : s->max_per_project;

        if (p->guarantee > max)
            return "projects: a guarantee is above the most that its project "
                   "may hold";
        sum += p->guarantee;
    }
    if (sum > s->max_slots)
        return "projects: the guarantees together are above max_slots";
    return NULL;
}

const char *settings_check (const struct settings *s)
{
    const char *wrong = check_timing (&s->timing);

    if (!wrong)
        wrong = check_limits (&s->limits);
    if (!wrong && s->floor > s->max_slots)
        wrong = "floor: is above max_slots";
    if (!wrong)
        wrong = check_guarantees (s);
    return wrong;
}

int64_t settings_ending (const struct settings *s, int64_t notice,
                         int64_t grace)
{
    return notice + grace + s->timing.kill_confirm + 2 * s->timing.beat;
}

char *settings_describe (const struct settings *s, char *ret_text, size_t size)
{
    const struct timing *t = &s->timing;
    int64_t outage = t->ttl - t->drift - t->grace - t->kill_confirm - t->beat;
    int64_t back = t->ttl + t->lock_delay + 1000;
    double ratio =
        (double) (t->ttl + t->lock_delay) / (double) (t->ttl - t->drift);

    snprintf (ret_text, size,
              "remote agents untouched through an outage of %g s, a lost "
              "remote host's slots back within %g s, clock rates may differ "
              "by %.2f",
              (double) outage / 1000, (double) back / 1000, ratio);
    return ret_text;
}

const struct project_settings *settings_find_project (const struct settings *s,
                                                      const char *name)
{
    for (unsigned i = 0; i < s->project_count; i++)
        if (strcmp (s->projects[i].name, name) == 0)
            return &s->projects[i];
    return NULL;
}

struct project_settings *settings_add_project (struct settings *s,
                                               const char *name)
{
    struct project_settings *p =
        (struct project_settings *) settings_find_project (s, name);

    if (p || s->project_count == MAX_PROJECTS)
        return p;
    p = &s->projects[s->project_count++];
    memset (p, 0, sizeof *p);
    copy_text (p->name, sizeof p->name, name);
    p->priority = DEFAULT_PRIORITY;
    return p;
}
