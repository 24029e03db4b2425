/* SPDX-License-Identifier: MPL-2.0 */
#include "core/victims.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/memory.h"
#include "core/settings.h"

/* ---- the order ---- */

static int compare (uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

/* Over by so many thousandths; a limit is never 0. */
static uint64_t excess_of (const struct victim *v)
{
    double over;

    if (v->excess == EXCESS_NONE || v->figure <= v->limit || v->limit == 0)
        return 0;
    over = ((double) v->figure - (double) v->limit) * 1000 / (double) v->limit;
    return over < 1 ? 1 : over > 1e9 ? 1000000000 : (uint64_t) over;
}

static uint64_t too_small (const struct victim *v, const struct shortage *s)
{
    return s->memory && v->memory_bytes < s->missing_bytes / 10;
}

static int by_overshoot (const struct victim *a, const struct victim *b,
                         const struct shortage *s)
{
    (void) s;
    return compare (excess_of (b), excess_of (a));
}

static int by_use (const struct victim *a, const struct victim *b,
                   const struct shortage *s)
{
    return compare (too_small (a, s), too_small (b, s));
}

/* Of those that are too small, of which none are left but them. */
static int by_size_of_the_small (const struct victim *a, const struct victim *b,
                                 const struct shortage *s)
{
    if (!too_small (a, s) || !too_small (b, s))
        return 0;
    return compare (b->memory_bytes, a->memory_bytes);
}

static int by_priority (const struct victim *a, const struct victim *b,
                        const struct shortage *s)
{
    (void) s;
    return compare (a->priority, b->priority);
}

static int by_target (const struct victim *a, const struct victim *b,
                      const struct shortage *s)
{
    (void) s;
    return compare (b->over, a->over);
}

static int by_preemption (const struct victim *a, const struct victim *b,
                          const struct shortage *s)
{
    (void) s;
    return compare (b->preemptible, a->preemptible);
}

static int by_start (const struct victim *a, const struct victim *b,
                     const struct shortage *s)
{
    (void) s;
    return a->started > b->started ? -1 : a->started < b->started;
}

static int by_memory (const struct victim *a, const struct victim *b,
                      const struct shortage *s)
{
    (void) s;
    return compare (b->memory_bytes, a->memory_bytes);
}

static int by_token (const struct victim *a, const struct victim *b,
                     const struct shortage *s)
{
    (void) s;
    return compare (b->token, a->token);
}

/* What decides, in this order, and what is said of the one that it chose. */
static const struct key {
    int (*compare) (const struct victim *a, const struct victim *b,
                    const struct shortage *s);
    const char *says;
} keys[] = {
    {by_overshoot, ""},
    {by_use, ""},
    {by_size_of_the_small, ", the largest of small ones"},
    {by_priority, ""},
    {by_target, ", over its target"},
    {by_preemption, ", preemptible"},
    {by_start, ", newest"},
    {by_memory, ", largest"},
    {by_token, ", granted last"},
};

/* Which key tells them apart, and how. */
static const struct key *decide (const struct victim *a, const struct victim *b,
                                 const struct shortage *s, int *ret_order)
{
    const struct key *key = keys;

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        key = &keys[i];
        *ret_order = key->compare (a, b, s);
        if (*ret_order)
            break;
    }
    return key;
}

/* By merging, since qsort () takes no context. */
static void merge (struct victim *v, struct victim *spare, size_t left,
                   size_t count, const struct shortage *s)
{
    size_t a = 0, b = left, n = 0;

    while (a < left && b < count) {
        int order;

        decide (&v[a], &v[b], s, &order);
        spare[n++] = order <= 0 ? v[a++] : v[b++];
    }
    while (a < left)
        spare[n++] = v[a++];
    while (b < count)
        spare[n++] = v[b++];
    memcpy (v, spare, count * sizeof *v);
}

static void sort (struct victim *v, struct victim *spare, size_t count,
                  const struct shortage *s)
{
    size_t left = count / 2;

    if (count < 2)
        return;
    sort (v, spare, left, s);
    sort (v + left, spare, count - left, s);
    merge (v, spare, left, count, s);
}

/* ---- in words ---- */

static void say_time (uint64_t ms, char *text, size_t size)
{
    if (ms < 60000)
        snprintf (text, size, "%" PRIu64 " s", ms / 1000);
    else if (ms < 7200000)
        snprintf (text, size, "%" PRIu64 " min", ms / 60000);
    else
        snprintf (text, size, "%" PRIu64 " h", ms / 3600000);
}

static void say_memory (uint64_t bytes, char *text, size_t size)
{
    bool large = bytes >> 30;

    snprintf (text, size, "%.1f %s",
              (double) bytes / (large ? 1 << 30 : 1 << 20),
              large ? "GiB" : "MiB");
}

static void say_excess (struct victim *v)
{
    const char *names[] = {"", "memory_limit", "max_time", "stall_time"};
    unsigned over = victim_overshoot (v);
    char limit[32];

    if (v->excess == EXCESS_MEMORY)
        say_memory (v->limit, limit, sizeof limit);
    else
        say_time (v->limit, limit, sizeof limit);
    if (v->excess == EXCESS_STALL)
        snprintf (v->why, sizeof v->why, "busy without progress for over %s",
                  limit);
    else
        snprintf (v->why, sizeof v->why, "over its %s %s by %u %%",
                  names[v->excess], limit, over);
}

/* Why it comes before the one behind it. */
static void say_place (struct victim *v, const struct victim *next,
                       const struct shortage *s)
{
    const char *says = "";
    int order;

    if (next)
        says = decide (v, next, s, &order)->says;
    snprintf (v->why, sizeof v->why, "priority %u%s", v->priority, says);
}

static void say (struct victim *v, const struct victim *next,
                 const struct shortage *s)
{
    if (excess_of (v))
        say_excess (v);
    else
        say_place (v, next, s);
}

/* ---- who is spared ---- */

/* How many are left of each priority, and which is the highest. */
struct rest {
    size_t of[MAX_PRIORITY + 1];
    unsigned highest;
};

static unsigned step_of (const struct victim *v)
{
    return v->priority < MAX_PRIORITY ? v->priority : MAX_PRIORITY;
}

static struct rest *rest_of (const struct victim *v, size_t count)
{
    struct rest *rest = new_zeroed (sizeof *rest);

    for (size_t i = 0; i < count; i++)
        rest->of[step_of (&v[i])]++;
    rest->highest = MAX_PRIORITY;
    return rest;
}

static bool is_spared (struct rest *rest, const struct victim *v,
                       const struct shortage *s)
{
    while (rest->highest && rest->of[rest->highest] == 0)
        rest->highest--;
    if (step_of (v) < rest->highest || rest->of[rest->highest] > 1 ||
        excess_of (v))
        return false;
    return s->memory_bytes == 0 || v->memory_bytes <= s->memory_bytes / 2;
}

unsigned victim_overshoot (const struct victim *v)
{
    uint64_t over = excess_of (v);

    return (unsigned) ((over + 9) / 10);
}

void victims_rank (struct victim *victims, size_t count,
                   const struct shortage *s)
{
    struct victim *spare = new_zeroed ((count + 1) * sizeof *spare);
    struct rest *rest = rest_of (victims, count);
    size_t ranked = 0, spared = 0;

    sort (victims, spare, count, s);
    for (size_t i = 0; i < count; i++) {
        struct victim *v = &victims[i];

        if (is_spared (rest, v, s)) {
            spare[spared] = *v;
            spare[spared].rank = 0;
            snprintf (spare[spared++].why, sizeof v->why,
                      "the last of the highest priority");
            continue;
        }
        rest->of[step_of (v)]--;
        v->rank = (unsigned) ranked + 1;
        say (v, i + 1 < count ? v + 1 : NULL, s);
        victims[ranked++] = *v;
    }
    if (spared)
        memcpy (victims + ranked, spare, spared * sizeof *spare);
    free (spare);
    free (rest);
}
