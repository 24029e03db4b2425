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

static const struct host_settings *listed (const struct settings *settings,
                                           const char *host)
{
    for (unsigned i = 0; i < settings->host_count; i++) {
        if (strcmp (settings->hosts[i].host, host) == 0)
            return &settings->hosts[i];
    }
    return NULL;
}

/* As configured; else by its size. `max_slots` is what the broker's own host
 * has, and the most that any may have. */
static unsigned max_for (const struct pool *pool,
                         const struct settings *settings)
{
    const struct host_settings *host = listed (settings, pool->host);
    unsigned max = settings->max_slots;

    if (host)
        max = host->max_slots;
    else if (pool->cores)
        max = settings_advise (pool->cores, pool->memory_bytes);
    return max < settings->max_slots ? max : settings->max_slots;
}

bool pools_is_own (const struct pools *p, const struct pool *pool)
{
    return pool == p->at[0];
}

void pools_size (struct pools *p, struct pool *pool, unsigned cores,
                 uint64_t memory_bytes, const struct settings *settings)
{
    if (pools_is_own (p, pool) || cores == 0 || memory_bytes == 0)
        return;
    if (cores > pool->cores)
        pool->cores = cores;
    if (memory_bytes > pool->memory_bytes)
        pool->memory_bytes = memory_bytes;
    pool->max_slots = max_for (pool, settings);
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
    pool->bucket = (int64_t) settings->grant_burst * 1000;
    pool->bucket_at = now;
    pool->number = pool->health_number = p->retired;
    health_init (&pool->health);
    response_init (&pool->response);
    p->at[p->count++] = pool;
    pool->max_slots = max_for (pool, settings);
    return pool;
}

void pools_configure (struct pools *p, const struct settings *settings)
{
    for (size_t i = 0; i < p->count; i++)
        p->at[i]->max_slots = max_for (p->at[i], settings);
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

struct pool *pools_empty (const struct pools *p, unsigned burst, int64_t now)
{
    for (size_t i = 1; i < p->count; i++) {
        struct pool *pool = p->at[i];

        if (pool->in_use || pool->waiting || pool->sessions)
            continue;
        fill (pool, burst, now);
        if (burst == 0 || pool->bucket == (int64_t) burst * 1000)
            return pool;
    }
    return NULL;
}

void pools_remove (struct pools *p, struct pool *pool)
{
    size_t i = 0;

    while (p->at[i] != pool)
        i++;
    if (pool->number > p->retired)
        p->retired = pool->number;
    if (pool->health_number > p->retired)
        p->retired = pool->health_number;
    enforce_clear (&pool->enforcement);
    free (pool);
    p->count--;
    memmove (p->at + i, p->at + i + 1, (p->count - i) * sizeof *p->at);
}

void pools_clear (struct pools *p)
{
    for (size_t i = 0; i < p->count; i++) {
        enforce_clear (&p->at[i]->enforcement);
        free (p->at[i]);
    }
    p->count = 0;
}

unsigned pool_effective (const struct pool *p)
{
    return response_effective (&p->response, p->max_slots);
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
