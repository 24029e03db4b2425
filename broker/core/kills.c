/* SPDX-License-Identifier: MPL-2.0 */
#include "core/kills.h"

#include "core/memory.h"

struct kill *kills_find (struct kills *k, uint64_t id)
{
    for (unsigned i = 0; i < KEPT_KILLS; i++) {
        if (k->at[i].id == id)
            return &k->at[i];
    }
    return NULL;
}

struct kill *kills_add (struct kills *k, uint64_t id)
{
    struct kill *kill = &k->at[k->next];

    k->next = (k->next + 1) % KEPT_KILLS;
    kill_clear (kill);
    kill->id = id;
    return kill;
}

void kill_clear (struct kill *k)
{
    free (k->targets);
    *k = (struct kill){0};
}

void kills_clear (struct kills *k)
{
    for (unsigned i = 0; i < KEPT_KILLS; i++)
        kill_clear (&k->at[i]);
    k->next = 0;
}

void kill_target (struct kill *k, const struct leases *leases,
                  const struct lease *l)
{
    k->targets = resized (k->targets, k->count + 1, sizeof *k->targets);
    k->targets[k->count++] = (struct target){
        .token = l->r.token,
        .tree = lease_has_tree (l),
        .leader = lease_leads_tree (leases, l),
        .bound = l->r.bound,
    };
    if (l->r.bound && !k->pid)
        k->pid = l->r.supervisor.pid;
}

/* A slot inside a supervisor comes back when the supervisor says so or ends:
 * nobody waits for that, unless the supervisor itself was to be ended. */
static bool is_awaited (const struct kill *k, const struct target *t,
                        const struct lease *l)
{
    return l && l->r.state == LEASE_KILLING && (!t->bound || k->supervisor);
}

void kill_report (const struct kill *k, const struct leases *leases,
                  int64_t now, struct msg_kill_ok *ret_report)
{
    struct msg_kill_ok *r = ret_report;

    r->id = k->id;
    r->done = true;
    r->cancelled = k->cancelled;
    r->supervisor = (uint64_t) k->pid;
    for (size_t i = 0; i < k->count; i++) {
        const struct target *t = &k->targets[i];
        const struct lease *l = leases_find (leases, t->token);

        r->slots++;
        r->released += !l;
        r->agents += t->leader;
        r->terminated += t->leader && !l;
        r->revoked += t->bound;
        if (is_awaited (k, t, l)) {
            r->done &= now >= k->deadline;
            r->unkillable += t->leader && now >= k->deadline;
        }
    }
}
