/* SPDX-License-Identifier: MPL-2.0 */
#include "simulation/weather.h"

#include <string.h>

#include "simulation/invariants.h"

enum {
    SECOND = 1000,
    OWN_SHIMS = 3,
    FAR_SHIMS = 2,
    SHIMS = OWN_SHIMS + FAR_SHIMS,
    SETTLE_ROUNDS = 300
};

static const char *const names[SHIMS] = {"alpha", "beta", "gamma", "alpha",
                                         "delta"};

static int64_t in (struct sim *s, int64_t low, int64_t high)
{
    return chance_in (&s->chance, low, high);
}

static bool one_in (struct sim *s, int n)
{
    return in (s, 1, n) == 1;
}

/* ---- what people do ---- */

static int any_shim (struct sim *s)
{
    return (int) in (s, 0, SHIMS - 1);
}

/* Two supervisors of each project; one that has gone is followed by another. */
static int supervisor_of (struct sim *s, int shim)
{
    int host = s->shims[shim].host;
    int first = -1, last = -1;

    for (int i = 0; i < SIM_SUPERVISORS; i++) {
        if (!s->supervisors[i].alive || s->supervisors[i].host != host)
            continue;
        if (first < 0 && one_in (s, 2))
            first = i;
        last = i;
    }
    if (first >= 0)
        return first;
    return last >= 0 && !one_in (s, 8) ? last : sim_supervisor (s, host);
}

static struct work any_work (struct sim *s)
{
    struct work w = {.count = (unsigned) in (s, 1, 2),
                     .lasts = one_in (s, 8) ? -1 : in (s, 100, 40 * SECOND),
                     .rest = one_in (s, 4) ? in (s, 1, 4 * SECOND) : 0,
                     .term = one_in (s, 4) ? -1 : in (s, 1, 3 * SECOND),
                     .kill = in (s, 1, one_in (s, 4) ? 3 * SECOND : 50)};

    return w;
}

static void request (struct sim *s, int shim)
{
    unsigned count = (unsigned) in (s, 1, 4);
    unsigned min = one_in (s, 3) ? (unsigned) in (s, 1, count) : 0;

    sim_request (s, shim, supervisor_of (s, shim), count, min);
}

static void kill_later (struct sim *s, struct event *e)
{
    if (s->clients[e->a].life == e->b)
        sim_kill_client (s, (int) e->a);
}

static void request_asleep (struct sim *s, int shim)
{
    int client = sim_request_asleep (s, shim, supervisor_of (s, shim),
                                     (unsigned) in (s, 1, 3));

    sim_later (s, s->now + in (s, 10, 10 * SECOND), ACTOR_WORLD, 0, 0,
               kill_later, (uint64_t) client, s->clients[client].life, NULL);
}

static void kill_a_client (struct sim *s)
{
    int client = (int) in (s, 0, SIM_CLIENTS - 1);

    for (int i = 0; i < SIM_CLIENTS; i++, client++) {
        if (s->clients[client % SIM_CLIENTS].alive) {
            sim_kill_client (s, client % SIM_CLIENTS);
            return;
        }
    }
}

static void end_a_supervisor (struct sim *s)
{
    int shim = any_shim (s);

    sim_end_supervisor (s, supervisor_of (s, shim));
}

static void somebody_acts (struct sim *s)
{
    int shim = any_shim (s);

    switch (in (s, 0, 19)) {
    case 0 ... 4: request (s, shim); break;
    case 5 ... 11:
        sim_run (s, shim, supervisor_of (s, shim), any_work (s));
        break;
    case 12 ... 14:
        sim_release (s, shim, supervisor_of (s, shim), (unsigned) in (s, 1, 4));
        break;
    case 15: sim_cancel (s, shim, supervisor_of (s, shim)); break;
    case 16: kill_a_client (s); break;
    case 17: request_asleep (s, shim); break;
    case 18:
        if (one_in (s, 3))
            sim_kill (s, names[shim]);
        break;
    default:
        if (one_in (s, 3))
            end_a_supervisor (s);
        else if (one_in (s, 3))
            sim_set_max (s, (unsigned) in (s, 4, 12));
        break;
    }
}

/* ---- what goes wrong ---- */

static void start_broker (struct sim *s, struct event *e)
{
    (void) e;
    sim_start_broker (s);
}

static void continue_broker (struct sim *s, struct event *e)
{
    if (e->a == s->broker.life)
        sim_continue_broker (s);
}

static void continue_shim (struct sim *s, struct event *e)
{
    if (e->b == s->shims[e->a].life)
        sim_continue_shim (s, (int) e->a);
}

static void continue_keeper (struct sim *s, struct event *e)
{
    if (e->b == s->keepers[e->a].life)
        sim_continue_keeper (s, (int) e->a);
}

static void heal (struct sim *s, struct event *e)
{
    sim_cut (s, (int) e->a, false);
}

static void after (struct sim *s, int64_t ms, event_fn *fire, uint64_t a,
                   uint64_t b)
{
    sim_later (s, s->now + ms, ACTOR_WORLD, 0, 0, fire, a, b, NULL);
}

/* Mostly short, sometimes longer than any deadline. */
static int64_t a_while (struct sim *s)
{
    return one_in (s, 3) ? in (s, SECOND, 100 * SECOND)
                         : in (s, 10, 5 * SECOND);
}

static void broker_trouble (struct sim *s)
{
    if (!s->broker.alive || s->broker.stopped)
        return;
    if (one_in (s, 2)) {
        sim_stop_broker (s);
        after (s, a_while (s), continue_broker, s->broker.life, 0);
    } else {
        sim_crash_broker (s, (enum crash) in (s, 0, 2));
        after (s, a_while (s), start_broker, 0, 0);
    }
}

static void shim_trouble (struct sim *s)
{
    int shim = any_shim (s);

    switch (in (s, 0, 4)) {
    case 0 ... 1: sim_crash_shim (s, shim); break;
    case 2: sim_end_shim (s, shim); break;
    default:
        sim_stop_shim (s, shim);
        after (s, a_while (s), continue_shim, (uint64_t) shim,
               s->shims[shim].life);
        break;
    }
}

/* On the broker's host only: a remote one whose keeper is gone or stopped is
 * the exception that I4 names. */
static void keeper_trouble (struct sim *s)
{
    int keeper = (int) in (s, 0, SIM_KEEPERS - 1);

    for (int i = 0; i < SIM_KEEPERS; i++) {
        const struct sim_keeper *k = &s->keepers[++keeper % SIM_KEEPERS];

        if (!k->alive || !s->hosts[s->shims[k->shim].host].own)
            continue;
        keeper %= SIM_KEEPERS;
        if (one_in (s, 2)) {
            sim_crash_keeper (s, keeper);
        } else {
            sim_stop_keeper (s, keeper);
            after (s, a_while (s), continue_keeper, (uint64_t) keeper, k->life);
        }
        return;
    }
}

static void network_trouble (struct sim *s)
{
    if (!s->hosts[1].cut && one_in (s, 2)) {
        sim_cut (s, 1, true);
        after (s, a_while (s), heal, 1, 0);
    } else if (one_in (s, 4)) {
        sim_crash_host (s, 1);
    } else {
        s->loss = one_in (s, 2) ? 0 : (unsigned) in (s, 1, 300);
        s->twice = one_in (s, 2) ? 0 : (unsigned) in (s, 1, 300);
        s->late = one_in (s, 2) ? 0 : (unsigned) in (s, 1, 300);
        s->bus.high = s->bus.low + (one_in (s, 2) ? 0 : in (s, 1, 400));
        s->wire.high = s->wire.low + (one_in (s, 2) ? 0 : in (s, 1, 900));
        s->local.high = one_in (s, 2) ? 0 : in (s, 1, 40);
    }
}

static void something_goes_wrong (struct sim *s)
{
    switch (in (s, 0, 3)) {
    case 0: broker_trouble (s); break;
    case 1: shim_trouble (s); break;
    case 2: keeper_trouble (s); break;
    default: network_trouble (s); break;
    }
}

/* ---- the end of it ---- */

static void faults_end (struct sim *s)
{
    sim_trace (s, "world", "faults end");
    s->loss = s->twice = s->late = 0;
    s->bus.high = s->bus.low;
    s->wire.high = s->wire.low;
    s->local.high = s->local.low;
    s->broker.crash_next = CRASH_NONE;
    for (int i = 0; i < s->host_count; i++)
        s->hosts[i].cut = false;
    for (int i = 0; i < s->shim_count; i++)
        sim_continue_shim (s, i);
    for (int i = 0; i < SIM_KEEPERS; i++)
        sim_continue_keeper (s, i);
    for (int i = 0; i < SIM_CLIENTS; i++) {
        if (s->clients[i].alive && s->clients[i].asleep)
            sim_kill_client (s, i);
    }
    sim_continue_broker (s);
    sim_start_broker (s);
    sim_set_max (s, 8);
}

/* By the store, whoever's session it was: a command starts a shim where none
 * is left, which then answers for its predecessor. */
static bool holds (const struct sim *s, int shim,
                   const struct sim_supervisor *sup)
{
    const char *host = s->hosts[s->shims[shim].host].name;

    for (size_t i = 0; i < s->disk.lease_count; i++) {
        const struct lease_record *r = &s->disk.leases[i];

        if (!r->tree && r->supervisor.pid == sup->self.pid &&
            strcmp (r->project, s->shims[shim].project) == 0 &&
            strcmp (r->host, host) == 0)
            return true;
    }
    return false;
}

/* What runs for ever is ended, reservations are released: then whoever waits
 * must be served in the end. */
static void hand_back (struct sim *s)
{
    for (int i = 0; i < SIM_CLIENTS; i++) {
        const struct sim_client *c = &s->clients[i];

        if (c->alive && c->kind == CLIENT_RUN && c->keeper >= 0 && c->lasts < 0)
            sim_kill_client (s, i);
    }
    for (int i = 0; i < SIM_SUPERVISORS; i++) {
        for (int k = 0; k < s->shim_count && s->supervisors[i].alive; k++) {
            if (holds (s, k, &s->supervisors[i]))
                sim_release (s, k, i, 4);
        }
    }
}

static bool at_rest (const struct sim *s)
{
    return s->disk.waiter_count == 0 && s->disk.lease_count == 0;
}

static void print_holders (struct sim *s)
{
    for (size_t i = 0; i < s->disk.lease_count; i++) {
        const struct lease_record *r = &s->disk.leases[i];

        sim_trace (s, "judge",
                   "left token=%llu session=%llu project=%s own=%d state=%d "
                   "run=%d tree=%d acked=%d supervisor=%d",
                   (unsigned long long) r->token,
                   (unsigned long long) r->session, r->project, r->own,
                   r->state, r->run, r->tree, r->acked, r->supervisor.pid);
    }
}

static void everybody_is_served (struct sim *s)
{
    sim_advance (s, 15 * SECOND);
    for (int i = 0; i < SETTLE_ROUNDS && !at_rest (s) && !s->violation[0];
         i++) {
        hand_back (s);
        sim_advance (s, 5 * SECOND);
    }
    if (s->disk.waiter_count > 0)
        print_holders (s);
    for (size_t i = 0; i < s->disk.waiter_count; i++)
        sim_violate (s, "liveness: request %llu of session %llu is not served",
                     (unsigned long long) s->disk.waiters[i].seq,
                     (unsigned long long) s->disk.waiters[i].session);
    sim_advance (s, 15 * SECOND);
    invariants_agreement (s);
}

static void everybody_leaves (struct sim *s)
{
    sim_trace (s, "world", "everybody leaves");
    for (int i = 0; i < SIM_SUPERVISORS; i++)
        sim_end_supervisor (s, i);
    sim_advance (s, s->settings.timing.ttl + s->settings.timing.lock_delay +
                        20 * SECOND);
    for (int i = 0; i < s->shim_count; i++)
        sim_end_shim (s, i); // it may never have watched anybody
    sim_advance (s, 5 * SECOND);
    invariants_empty (s);
}

/* ---- the whole ---- */

static struct sim *begin (uint64_t seed)
{
    struct settings settings;
    struct sim *s;
    int far;

    sim_settings (&settings, 8);
    settings.max_per_project = seed % 3 == 0 ? 4 : 8;
    if (seed % 4 == 1)
        settings.grant_burst = 3;
    s = sim_create (&settings, seed);
    far = sim_host (s, "vm2", in (s, 0, 100000 * SECOND));
    sim_start_broker (s);
    for (int i = 0; i < SHIMS; i++)
        sim_shim (s, names[i], i < OWN_SHIMS ? 0 : far);
    return s;
}

struct sim *weather_run (uint64_t seed, int64_t ms)
{
    struct sim *s = begin (seed);

    while (s->now < ms && !s->violation[0]) {
        sim_advance (s, in (s, 1, 2 * SECOND));
        somebody_acts (s);
        if (one_in (s, 12))
            something_goes_wrong (s);
    }
    if (!s->violation[0])
        faults_end (s);
    if (!s->violation[0])
        everybody_is_served (s);
    if (!s->violation[0])
        everybody_leaves (s);
    return s;
}
