/* SPDX-License-Identifier: MPL-2.0 */
/* What the shell looks at: for its watcher, its snapshot file and its log. */
#include "core/broker.h"

#include "core/state.h"
#include "core/status.h"

uint64_t broker_watch_version (const struct broker *b)
{
    return b->watched;
}

size_t broker_watch_sessions (const struct broker *b, struct watch_session *ret,
                              size_t most)
{
    size_t count = 0;

    for (size_t i = 0; i < b->sessions.count && count < most; i++) {
        const struct session *s = b->sessions.at[i];

        if (s->r.own)
            ret[count++] = (struct watch_session){s->r.id, s->r.shim};
    }
    return count;
}

static void watch_lease (const struct lease *l, struct watch_lease *ret)
{
    *ret = (struct watch_lease){
        .token = l->r.token,
        .first = lease_cookie (l),
        .tree = lease_has_tree (l),
        .word = !lease_has_tree (l),
        .supervisor = l->r.supervisor,
        .agent = l->r.agent,
        .granted = l->r.granted,
        .uid = l->r.uid,
    };
    copy_text (ret->cgroup, sizeof ret->cgroup, l->r.cgroup);
}

size_t broker_watch_leases (const struct broker *b, struct watch_lease *ret,
                            size_t most)
{
    size_t count = 0;

    for (size_t i = 0; i < leases_count (&b->leases) && count < most; i++) {
        const struct lease *l = leases_at (&b->leases, i);

        if (l->r.own && l->r.state == LEASE_LIMBO)
            watch_lease (l, &ret[count++]);
    }
    return count;
}

static unsigned counted (const struct broker *b)
{
    unsigned count = 0;

    for (size_t i = 0; i < leases_count (&b->leases); i++)
        count += lease_counts (leases_at (&b->leases, i));
    return count;
}

void broker_view (const struct broker *b, struct pool_view *ret_view)
{
    *ret_view = (struct pool_view){
        .max_slots = b->settings.max_slots,
        .effective = state_effective (b),
        .in_use = counted (b),
        .waiting = (unsigned) b->waiters.count,
        .sessions = (int) b->sessions.count,
    };
}

static bool is_listed (const struct project *p)
{
    return p->configured || project_counted (p);
}

size_t broker_allocation (const struct broker *b, size_t i, char *ret_project,
                          unsigned *ret_in_use)
{
    size_t count = 0;

    for (size_t k = 0; k < b->projects.count; k++) {
        const struct project *p = b->projects.at[k];

        if (!is_listed (p))
            continue;
        if (count == i) {
            copy_text (ret_project, MAX_KEY_BYTES + 1, p->name);
            *ret_in_use = project_counted (p);
        }
        count++;
    }
    return count;
}

const char *broker_level (const struct broker *b)
{
    return status_level (b->pools.at[0]);
}
