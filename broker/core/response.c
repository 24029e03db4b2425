/* SPDX-License-Identifier: MPL-2.0 */
#include "core/response.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* What a metric does to the pool. */
static const struct reaction {
    bool freezes;                      // while degraded
    unsigned degraded_to, critical_to; // percent of base; 0: takes nothing
    bool repeats;                      // while degraded
} reactions[] = {
    [METRIC_CPU] = {.freezes = true},
    [METRIC_MEMORY] = {.degraded_to = 75, .critical_to = 50, .repeats = true},
    [METRIC_LOAD] = {.critical_to = 50},
    [METRIC_DISK] = {0},
    [METRIC_INODES] = {0},
};

static unsigned least (unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static unsigned most (unsigned a, unsigned b)
{
    return a > b ? a : b;
}

void response_init (struct response *ret_response)
{
    *ret_response = (struct response){
        .most = UINT_MAX,
        .grants = true,
        .cause = BY_NOBODY,
        .next = INT64_MAX,
    };
}

unsigned response_effective (const struct response *r, unsigned max_slots)
{
    return least (max_slots + r->bonus, r->most);
}

bool response_grants (const struct response *r)
{
    return r->grants;
}

int64_t response_next (const struct response *r)
{
    return r->next;
}

void response_shift (struct response *r, int64_t by)
{
    for (unsigned i = 0; i < ALLOWANCES; i++) {
        r->by[i].acted += by;
        r->by[i].grows += by;
    }
    r->grows += r->grows ? by : 0;
    r->next += r->next != INT64_MAX ? by : 0;
}

/* ---- one update ---- */

/* What it goes by. */
struct turn {
    struct response *r;
    const struct health *h;
    const struct limits *limits;
    const struct response_input *in;
    const struct timing *t;
    unsigned floor, effective, base; // before anything is done
    int64_t now;
};

static enum level level_of (const struct turn *u, enum metric m)
{
    return limits_judge (u->limits, m) ? health_metric (u->h, m)
                                       : LEVEL_HEALTHY;
}

static bool any_open (const struct turn *u)
{
    for (enum metric m = 0; m < METRIC_COUNT; m++) {
        if (level_of (u, m) != LEVEL_HEALTHY)
            return true;
    }
    return false;
}

static struct turn turn_of (struct response *r, const struct response_input *in,
                            const struct timing *t, int64_t now)
{
    unsigned effective = least (r->most, in->max_slots); // without a bonus

    return (struct turn){
        .r = r,
        .in = in,
        .t = t,
        .floor = in->floor,
        .effective = effective,
        .base = least (effective, in->in_use),
        .now = now,
    };
}

static void rebase (const struct turn *u, struct allowance *a)
{
    a->base = u->base;
    a->acted = u->now;
}

static void shrink_to (const struct turn *u, struct allowance *a,
                       unsigned percent)
{
    unsigned slots =
        most ((unsigned) ((uint64_t) a->base * percent / 100), u->floor);

    if (percent == 0)
        return;
    a->slots = slots; // never more than before: base is not above effective
    a->bounds = true;
}

/* So many agents as a busy machine has cores do no harm by themselves. Worked
 * out each time: max_slots may be another one. */
static void freeze (const struct turn *u, struct allowance *a)
{
    a->slots =
        most (most (a->base, least (u->in->max_slots, u->in->cores)), u->floor);
    a->bounds = true;
}

/* Since the newest shrink enough time has passed, and it is worked off. */
static bool may_repeat (const struct turn *u, const struct allowance *a)
{
    return u->in->in_use <= u->effective && u->now - a->acted >= u->t->dwell;
}

/* Since then a fresh figure has been above the limit in every sample: the wave
 * that is above now and then only keeps its level. */
static int64_t repeats_at (const struct turn *u, enum metric m)
{
    const struct threshold *t = &u->h->degraded[m];
    const struct allowance *a = &u->r->by[m];
    int64_t since = t->above_since > a->acted ? t->above_since : a->acted;

    if (!reactions[m].repeats || !a->open || a->critical || !t->above ||
        u->h->stale[m] || a->slots <= u->floor || u->in->in_use > u->effective)
        return INT64_MAX;
    return since + u->t->dwell;
}

static void answer_critical (const struct turn *u, enum metric m)
{
    struct allowance *a = &u->r->by[m];

    if (a->critical)
        return;
    if (!a->open || may_repeat (u, a))
        rebase (u, a);
    a->acted = u->now;
    a->critical = true;
    shrink_to (u, a, reactions[m].critical_to);
}

static void answer_degraded (const struct turn *u, enum metric m)
{
    struct allowance *a = &u->r->by[m];

    a->critical = false;
    if (!a->open || repeats_at (u, m) <= u->now) {
        rebase (u, a);
        shrink_to (u, a, reactions[m].degraded_to);
    }
    if (reactions[m].freezes)
        freeze (u, a);
}

/* No longer open: it grows, and in the end bounds nothing. */
static void grow (const struct turn *u, struct allowance *a)
{
    unsigned step = most (1, u->in->max_slots / 20);

    if (a->open) {
        a->open = a->critical = false;
        a->grows = u->now + u->t->healthy_for;
    }
    for (; a->bounds && a->grows <= u->now; a->grows += u->t->grow_every) {
        a->slots += step;
        a->bounds = a->slots < u->in->max_slots;
    }
}

static void answer (const struct turn *u, enum metric m)
{
    struct allowance *a = &u->r->by[m];

    if (!limits_judge (u->limits, m)) {
        *a = (struct allowance){0};
        return;
    }
    switch (level_of (u, m)) {
    case LEVEL_HEALTHY: grow (u, a); return;
    case LEVEL_DEGRADED: answer_degraded (u, m); break;
    case LEVEL_CRITICAL: answer_critical (u, m); break;
    }
    a->open = true;
}

/* ---- what it comes to ---- */

static void sum_up (struct response *r, unsigned floor)
{
    r->most = UINT_MAX;
    for (unsigned i = 0; i < ALLOWANCES; i++) {
        if (r->by[i].bounds)
            r->most = least (r->most, most (r->by[i].slots, floor));
    }
}

static bool is_whole (const struct turn *u)
{
    return u->h->sampled && !any_open (u) && u->r->most == UINT_MAX;
}

static bool is_seen (const struct turn *u)
{
    for (enum metric m = 0; m < METRIC_COUNT; m++) {
        if (limits_judge (u->limits, m) && u->h->stale[m])
            return false;
    }
    return true;
}

static void give_bonus (const struct turn *u)
{
    struct response *r = u->r;
    unsigned max = u->in->max_slots;
    unsigned room = u->in->auto_max > max ? u->in->auto_max - max : 0;

    r->bonus = is_whole (u) ? least (r->bonus, room) : 0;
    if (!is_whole (u) || !is_seen (u) || !u->in->waiting || r->bonus == room) {
        r->grows = 0;
        return;
    }
    if (r->grows == 0)
        r->grows = u->now + u->t->grow_every;
    for (; r->grows <= u->now; r->grows += u->t->grow_every)
        r->bonus = least (r->bonus + most (1, max / 20), room);
}

/* What is critical, for memory before load before disks; else who allows
 * least. */
static unsigned cause_of (const struct turn *u)
{
    const struct response *r = u->r;
    unsigned cause = BY_NOBODY, slots = u->in->max_slots;

    for (enum metric m = 0; m < METRIC_COUNT; m++) {
        if (level_of (u, m) == LEVEL_CRITICAL)
            return m;
    }
    for (unsigned i = 0; i < ALLOWANCES; i++) {
        if (r->by[i].bounds && most (r->by[i].slots, u->floor) < slots) {
            cause = i;
            slots = most (r->by[i].slots, u->floor);
        }
    }
    return cause;
}

static void sooner (int64_t *at, int64_t other)
{
    if (other < *at)
        *at = other;
}

static int64_t next_of (const struct turn *u)
{
    const struct response *r = u->r;
    int64_t at = r->grows ? r->grows : INT64_MAX;

    for (unsigned i = 0; i < ALLOWANCES; i++) {
        if (r->by[i].bounds && !r->by[i].open)
            sooner (&at, r->by[i].grows);
    }
    for (enum metric m = 0; m < METRIC_COUNT; m++)
        sooner (&at, repeats_at (u, m));
    return at;
}

static void conclude (struct turn *u)
{
    struct response *r = u->r;

    sum_up (r, u->floor);
    r->cause = cause_of (u);
    r->grants = r->cause >= METRIC_COUNT ||
                level_of (u, (enum metric) r->cause) != LEVEL_CRITICAL;
    give_bonus (u);
    u->effective = least (r->most, u->in->max_slots);
    r->next = next_of (u);
}

/* What is shown of it. */
struct shown {
    int64_t withheld;
    unsigned cause;
    bool grants, open;
};

static struct shown shown_of (const struct response *r, unsigned max_slots)
{
    return (struct shown){
        .withheld = (int64_t) max_slots - response_effective (r, max_slots),
        .cause = r->cause,
        .grants = r->grants,
        .open = r->cause < ALLOWANCES && r->by[r->cause].open,
    };
}

bool response_update (struct response *r, const struct health *h,
                      const struct limits *limits,
                      const struct response_input *in, const struct timing *t,
                      int64_t now)
{
    struct shown before = shown_of (r, in->max_slots), after;
    struct turn u = turn_of (r, in, t, now);
    bool changed;

    u.h = h;
    u.limits = limits;
    for (enum metric m = 0; m < METRIC_COUNT; m++)
        answer (&u, m);
    grow (&u, &r->by[BY_PEOPLE]);
    conclude (&u);
    after = shown_of (r, in->max_slots);
    changed = before.withheld != after.withheld ||
              before.cause != after.cause || before.grants != after.grants ||
              before.open != after.open;
    r->changes += changed;
    return changed;
}

void response_relieve (struct response *r, const struct response_input *in,
                       const struct timing *t, int64_t now)
{
    struct turn u = turn_of (r, in, t, now);
    struct allowance *a = &r->by[BY_PEOPLE];

    if (u.effective <= u.floor)
        return;
    rebase (&u, a);
    shrink_to (&u, a, reactions[METRIC_MEMORY].degraded_to);
    a->grows = now + t->healthy_for;
    sum_up (r, u.floor);
    sooner (&r->next, a->grows);
}

/* ---- in words ---- */

static double limit_of (const struct limits *l, enum metric m, bool critical)
{
    switch (m) {
    case METRIC_CPU: return l->cpu_percent;
    case METRIC_MEMORY:
        return critical ? l->critical_memory_percent : l->memory_percent;
    case METRIC_LOAD: return l->load_average;
    case METRIC_DISK:
    case METRIC_INODES:
        return critical ? l->critical_disk_percent : l->disk_percent;
    case METRIC_COUNT: break;
    }
    return NAN;
}

static const char *unit_of (enum metric m)
{
    return m == METRIC_LOAD ? "" : "%";
}

/* Is it for its pressure that memory is critical? */
static bool is_pressed (const struct health *h, const struct limits *l)
{
    return h->critical[METRIC_MEMORY].on && !isnan (l->critical_memory_psi) &&
           h->sample.memory_full > l->critical_memory_psi &&
           !(h->sample.memory_percent > l->critical_memory_percent);
}

static void say_open (const struct health *h, const struct limits *l,
                      enum metric m, char *text, size_t size)
{
    const char *name = metric_name (m), *unit = unit_of (m);
    double limit = limit_of (l, m, h->critical[m].on);
    double value = health_value (&h->sample, m);

    if (m == METRIC_MEMORY && is_pressed (h, l))
        snprintf (text, size, "memory pressure %.1f%% of %g%%",
                  h->sample.memory_full, l->critical_memory_psi);
    else if (isnan (limit)) // it is on by the other of two
        snprintf (text, size, "%s %.1f%s", name, value, unit);
    else if (isnan (value))
        snprintf (text, size, "%s not readable, was above %g%s", name, limit,
                  unit);
    else
        snprintf (text, size, "%s %.1f%s of %g%s", name, value, unit, limit,
                  unit);
}

static void say_closed (const struct limits *l, enum metric m, char *text,
                        size_t size)
{
    double limit = limit_of (l, m, false);

    if (isnan (limit))
        limit = limit_of (l, m, true);
    if (isnan (limit))
        snprintf (text, size, "%s was too high", metric_name (m));
    else
        snprintf (text, size, "%s was above %g%s", metric_name (m), limit,
                  unit_of (m));
}

char *response_cause (const struct response *r, const struct health *h,
                      const struct limits *limits, char *ret_text, size_t size)
{
    ret_text[0] = '\0';
    if (r->cause == BY_PEOPLE)
        snprintf (ret_text, size, "shrunk by hand");
    else if (r->cause < METRIC_COUNT && r->by[r->cause].open)
        say_open (h, limits, (enum metric) r->cause, ret_text, size);
    else if (r->cause < METRIC_COUNT)
        say_closed (limits, (enum metric) r->cause, ret_text, size);
    return ret_text;
}

static int64_t whole_seconds (int64_t ms)
{
    return ms > 0 ? (ms + 999) / 1000 : 0;
}

static void add_age (const struct health *h, int64_t now, char *text,
                     size_t size)
{
    snprintf (text, size, " %" PRId64 " s ago",
              (now > h->sample.at ? now - h->sample.at : 0) / 1000);
}

char *response_explain (const struct response *r, const struct health *h,
                        const struct limits *limits, unsigned max_slots,
                        int64_t now, char *ret_text, size_t size)
{
    char cause[CAUSE_BYTES], age[40] = "", growth[64] = "";
    const struct allowance *a = r->cause < ALLOWANCES ? &r->by[r->cause] : NULL;

    response_cause (r, h, limits, cause, sizeof cause);
    if (a && a->open && !h->stale[r->cause])
        add_age (h, now, age, sizeof age);
    else if (a && !a->open)
        snprintf (growth, sizeof growth, ", growing again in %" PRId64 " s",
                  whole_seconds (a->grows - now));
    if (!r->grants)
        snprintf (ret_text, size, "%s%s, nothing is granted", cause, age);
    else
        snprintf (ret_text, size, "%s%s%seffective %u of %u%s", cause, age,
                  a ? ", " : "", response_effective (r, max_slots), max_slots,
                  growth);
    return ret_text;
}
