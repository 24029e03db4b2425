/* SPDX-License-Identifier: MPL-2.0 */
#include "simulation/invariants_kills.h"

#include "core/state.h"

#define LLU(n) ((unsigned long long) (n))

static bool is_target (const struct kill *kill, uint64_t token)
{
    for (size_t i = 0; i < kill->count; i++) {
        if (kill->targets[i].token == token)
            return true;
    }
    return false;
}

static void check_target (struct sim *s, const struct pool *pool,
                          uint64_t token, uint64_t *cookie)
{
    const struct lease *l = leases_find (&s->broker.core->leases, token);

    if (!l)
        return; // gone by now
    if (l->pool != pool || !l->r.tree || l->r.bound)
        sim_violate (s, "I8: token %llu is ended, and has no tree of %s",
                     LLU (token), pool->host);
    if (l->r.state != LEASE_KILLING && l->r.state != LEASE_LIMBO)
        sim_violate (s, "I8: token %llu is ended in state %d", LLU (token),
                     l->r.state);
    if (*cookie && l->r.cookie != *cookie)
        sim_violate (s, "I8: token %llu is ended with another tree",
                     LLU (token));
    *cookie = l->r.cookie;
}

/* Nothing of that tree is left out, and no other is being ended. */
static void check_others (struct sim *s, const struct pool *pool,
                          uint64_t session, uint64_t cookie)
{
    const struct enforcement *e = &pool->enforcement;
    const struct broker *b = s->broker.core;

    for (size_t i = 0; i < leases_count (&b->leases); i++) {
        const struct lease *l = leases_at (&b->leases, i);

        if (l->pool != pool || is_target (&e->kill, l->r.token))
            continue;
        if (cookie && l->r.cookie == cookie && l->r.tree &&
            l->r.session == session)
            sim_violate (s, "I8: token %llu of a victim's tree is left out",
                         LLU (l->r.token));
        if (e->cause != ENFORCE_PEOPLE && l->r.state == LEASE_KILLING &&
            l->r.tree && !l->r.bound && b->turned < l->until)
            sim_violate (s, "I8: %s ends token %llu beside another", pool->host,
                         LLU (e->victim.token));
    }
}

static bool is_above (const struct sim *s, const struct pool *pool)
{
    const struct broker *b = s->broker.core;
    const struct limits l = settings_limits (&b->settings, pool->cores);
    const struct sample *f = &pool->health.sample;

    if (b->turned - f->at > 3 * b->settings.timing.sample)
        return false;
    return pool->enforcement.cause == ENFORCE_LOAD
               ? f->load1 > l.load_average
               : f->memory_percent > l.critical_memory_percent ||
                     f->memory_full > l.critical_memory_psi;
}

static void check_begin (struct sim *s, const struct pool *pool,
                         uint64_t cookie)
{
    const struct enforcement *e = &pool->enforcement;
    const struct lease *l =
        leases_find (&s->broker.core->leases, e->victim.token);

    check_others (s, pool, l ? l->r.session : 0, cookie);
    if (e->cause == ENFORCE_RUNAWAY || e->cause == ENFORCE_PEOPLE)
        return;
    if (s->broker.core->learning || !is_above (s, pool))
        sim_violate (s, "I8: token %llu is ended for no figure",
                     LLU (e->victim.token));
}

static bool is_known (const struct ending_now *known, uint64_t victim)
{
    for (size_t i = 0; i < known->count; i++) {
        if (known->victims[i] == victim)
            return true;
    }
    return false;
}

/* A choice is judged in the batch that made it: in a later one people may KILL
 * what they like beside it (I8 is of what a host in need ends), and the clock
 * need not have moved by then. */
void kills_batch (struct sim *s)
{
    const struct broker *b = s->broker.core;
    struct ending_now now = {0};

    for (size_t i = 0; b && i < b->pools.count; i++) {
        const struct pool *pool = b->pools.at[i];
        const struct enforcement *e = &pool->enforcement;
        uint64_t cookie = 0;

        if (e->state != ENFORCE_ENDING)
            continue;
        for (size_t n = 0; n < e->kill.count; n++)
            check_target (s, pool, e->kill.targets[n].token, &cookie);
        if (!is_known (&s->invariants.ending, e->victim.token))
            check_begin (s, pool, cookie);
        now.victims[now.count++] = e->victim.token;
    }
    s->invariants.ending = now;
}
