/* SPDX-License-Identifier: MPL-2.0 */
/* FOOTPRINT - what the trees of a session take now. */
#include "core/footprints.h"

#include "core/answers.h"
#include "core/forecast.h"
#include "core/handlers.h"

/* So many may be lost, or late. */
enum { SAMPLES_MISSED = 5 };

bool footprint_known (const struct broker *b, const struct lease *l,
                      int64_t now)
{
    int64_t at = l->footprint.at;

    return l->r.tree && at &&
           now - at <= SAMPLES_MISSED * b->settings.timing.sample;
}

struct load footprints_load (const struct broker *b, const struct pool *pool,
                             int64_t oldest, int64_t now)
{
    struct load load = {0, 0, 0, 0};

    for (size_t i = 0; i < leases_count (&b->leases); i++) {
        const struct lease *l = leases_at (&b->leases, i);

        if (l->pool != pool || !l->r.tree || !lease_leads_tree (&b->leases, l))
            continue;
        if (!l->footprint.at || now - l->footprint.at >= oldest) {
            load.unknown++;
            continue;
        }
        load.trees++;
        load.running += l->footprint.running;
        load.memory_bytes =
            l->footprint.memory_bytes > INT64_MAX - load.memory_bytes
                ? INT64_MAX
                : load.memory_bytes + l->footprint.memory_bytes;
    }
    return load;
}

uint64_t footprints_slot_bytes (const struct broker *b)
{
    struct peaks peaks;

    return forecasts_memory_of_all (b->forecasts, &peaks) ? peaks.high : 0;
}

/* Its processor time never falls: a shim may have looked at less of it. */
static void note (struct lease *l, const struct row_footprint *row, int64_t now)
{
    struct footprint *f = &l->footprint;

    f->memory_bytes = row->memory_bytes;
    if (row->memory_bytes > f->peak_bytes)
        f->peak_bytes = row->memory_bytes;
    if (row->cpu_ms > f->cpu_ms)
        f->cpu_ms = row->cpu_ms;
    f->running = (unsigned) row->running;
    f->at = now;
}

/* The one that leads the tree that `token` is of; NULL: it is not the
 * session's, or has no tree that we know of yet. */
static struct lease *leader_of (const struct broker *b,
                                const struct session *from, uint64_t token)
{
    struct lease *l = leases_find (&b->leases, token);

    struct lease *at = NULL;

    if (!l || l->r.session != from->r.id || !l->r.tree)
        return NULL;
    while ((at = lease_next_of_tree (&b->leases, l, at)) &&
           !lease_leads_tree (&b->leases, at))
        ;
    return at;
}

enum err on_footprint (struct broker *b, struct call *c)
{
    const struct msg_footprints *in = &c->in->footprints;

    for (uint32_t i = 0; i < in->trees_count; i++) {
        struct lease *l = leader_of (b, c->from, in->trees[i].token);

        if (l)
            note (l, &in->trees[i], c->now);
    }
    answer_ok (c->out, &c->peer->path, VERB_FOOTPRINT);
    return ERR_NONE;
}
