/* SPDX-License-Identifier: MPL-2.0 */
#include "core/pool.h"

#include <string.h>

#include "core/memory.h"

struct pool *pools_find (const struct pools *p, const char *host)
{
    for (size_t i = 0; i < p->count; i++) {
        if (strcmp (p->at[i]->host, host) == 0)
            return p->at[i];
    }
    return NULL;
}

static unsigned max_for (const char *host, const struct settings *settings)
{
    unsigned max = settings->max_slots;

    for (unsigned i = 0; i < settings->host_count; i++) {
        const struct host_settings *h = &settings->hosts[i];

        if (strcmp (h->host, host) == 0 && h->max_slots < max)
            max = h->max_slots;
    }
    return max;
}

bool pools_full (const struct pools *p)
{
    return p->count == sizeof p->at / sizeof *p->at;
}

struct pool *pools_have (struct pools *p, const char *host,
                         const struct settings *settings, int64_t now)
{
    struct pool *pool = pools_find (p, host);

    if (pool || pools_full (p))
        return pool;
    pool = new_zeroed (sizeof *pool);
    copy_text (pool->host, sizeof pool->host, host);
    pool->max_slots = max_for (host, settings);
    pool->bucket = (int64_t) settings->grant_burst * 1000;
    pool->bucket_at = now;
    pool->number = pool->health_number = p->retired;
    health_init (&pool->health);
    p->at[p->count++] = pool;
    return pool;
}

void pools_configure (struct pools *p, const struct settings *settings)
{
    for (size_t i = 0; i < p->count; i++)
        p->at[i]->max_slots = max_for (p->at[i]->host, settings);
}

void pools_sweep (struct pools *p)
{
    for (size_t i = p->count; i-- > 1;) {
        struct pool *pool = p->at[i];

        if (pool->in_use || pool->waiting || pool->sessions)
            continue;
        if (pool->number > p->retired)
            p->retired = pool->number;
        if (pool->health_number > p->retired)
            p->retired = pool->health_number;
        free (pool);
        p->count--;
        memmove (p->at + i, p->at + i + 1, (p->count - i) * sizeof *p->at);
    }
}

void pools_clear (struct pools *p)
{
    for (size_t i = 0; i < p->count; i++)
        free (p->at[i]);
    p->count = 0;
}

unsigned pool_effective (const struct pool *p)
{
    return p->max_slots;
}

static void fill (struct pool *p, unsigned burst, int64_t now)
{
    int64_t full = (int64_t) burst * 1000;

    if (now > p->bucket_at) {
        int64_t passed = now - p->bucket_at;

        /* An hour fills any bucket out of any debt: no product overflows. */
        p->bucket += burst * (passed < 3600000 ? passed : 3600000);
        p->bucket_at = now;
    }
    if (p->bucket > full)
        p->bucket = full;
}

/* A grant that the bucket can hold waits until it is there; a larger one
 * until the bucket is full. */
bool pool_pace (struct pool *p, unsigned count, unsigned burst, int64_t now)
{
    int64_t needed = (int64_t) (count < burst ? count : burst) * 1000;

    fill (p, burst, now);
    if (burst == 0 || p->bucket >= needed)
        return true;
    p->paced_until = now + (needed - p->bucket + burst - 1) / burst;
    return false;
}

void pool_spend (struct pool *p, unsigned count, unsigned burst, int64_t now)
{
    fill (p, burst, now);
    p->bucket -= (int64_t) count * 1000;
}
