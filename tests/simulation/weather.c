/* SPDX-License-Identifier: MPL-2.0 */
#include "simulation/weather.h"

#include <stdio.h>
#include <string.h>

#include "simulation/invariants.h"
#include "simulation/ledger.h"

enum { SECOND = 1000, SETTLE_ROUNDS = 300 };

int64_t weather_in (struct sim *s, int64_t low, int64_t high)
{
    return chance_in (&s->weather, low, high);
}

bool weather_one_in (struct sim *s, int n)
{
    return weather_in (s, 1, n) == 1;
}

int weather_shim (struct sim *s)
{
    int shim = (int) weather_in (s, 0, s->shim_count - 1);

    for (int i = 0; i < s->shim_count; i++, shim++) { // whose host runs
        if (host_runs (s, s->shims[shim % s->shim_count].host))
            break;
    }
    return shim % s->shim_count;
}

static int64_t in (struct sim *s, int64_t low, int64_t high)
{
    return weather_in (s, low, high);
}

static bool one_in (struct sim *s, int n)
{
    return weather_one_in (s, n);
}

/* ---- what people do ---- */

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
    struct work w = {.count = (unsigned) in (s, 1, 2)};

    w.lasts = one_in (s, 5) ? -1 : in (s, 100, 40 * SECOND);
    w.rest = one_in (s, 4) ? in (s, 1, 4 * SECOND) : 0;
    w.term = one_in (s, 4) ? -1 : in (s, 1, 3 * SECOND);
    w.kill = in (
        s, 1, one_in (s, 4) ? s->settings.timing.kill_confirm * 3 / 5 : 50);
    return w;
}

static void request (struct sim *s, int shim)
{
    unsigned count = (unsigned) in (s, 1, one_in (s, 6) ? 12 : 4);
    unsigned min = one_in (s, 3) ? (unsigned) in (s, 1, count) : 0;

    if (one_in (s, 8))
        sim_request_now (s, shim, supervisor_of (s, shim), count, min);
    else
        sim_request (s, shim, supervisor_of (s, shim), count, min);
}

static void run (struct sim *s, int shim)
{
    struct work work = any_work (s);

    sim_run (s, shim, supervisor_of (s, shim), work);
}

static void release (struct sim *s, int shim)
{
    unsigned count = (unsigned) in (s, 1, 4);

    sim_release (s, shim, supervisor_of (s, shim), count);
}

static void kill_later (struct sim *s, struct event *e)
{
    if (s->clients[e->a].life == e->b)
        sim_kill_client (s, (int) e->a);
}

static void request_asleep (struct sim *s, int shim)
{
    unsigned count = (unsigned) in (s, 1, 3);
    int client = sim_request_asleep (s, shim, supervisor_of (s, shim), count);

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
    int shim = weather_shim (s);

    sim_end_supervisor (s, supervisor_of (s, shim));
}

/* Of a run that lives and whose keeper does. */
static void park_a_tree (struct sim *s)
{
    int tree = (int) in (s, 0, SIM_TREES - 1);

    for (int i = 0; i < SIM_TREES; i++, tree++) {
        const struct sim_tree *t = &s->trees[tree % SIM_TREES];
        const struct sim_keeper *k = &s->keepers[t->keeper];

        if (t->alive && t->cmd && k->alive && k->life == t->keeper_life &&
            s->shims[t->shim].alive && s->shims[t->shim].life == t->shim_life &&
            host_runs (s, t->host)) {
            sim_park (s, tree % SIM_TREES, in (s, 1, 15 * SECOND));
            return;
        }
    }
}

static void somebody_acts (struct sim *s)
{
    int shim = weather_shim (s);

    switch (in (s, 0, 19)) {
    case 0 ... 4: request (s, shim); break;
    case 5 ... 11: run (s, shim); break;
    case 12 ... 14: release (s, shim); break;
    case 15: sim_cancel (s, shim, supervisor_of (s, shim)); break;
    case 16: kill_a_client (s); break;
    case 17: request_asleep (s, shim); break;
    case 18:
        if (one_in (s, 3))
            sim_kill (s, s->shims[shim].project);
        break;
    default:
        if (one_in (s, 3))
            end_a_supervisor (s);
        else if (one_in (s, 3))
            sim_set_max (s, (unsigned) in (s, 2, 12));
        break;
    }
}

/* ---- what goes wrong ---- */

int64_t weather_while (struct sim *s)
{
    return one_in (s, 3) ? in (s, SECOND, s->settings.timing.ttl * 5 / 3)
                         : in (s, 10, 5 * SECOND);
}

void weather_later (struct sim *s, int64_t ms, event_fn *fire, uint64_t a,
                    uint64_t b)
{
    sim_later (s, s->now + ms, ACTOR_WORLD, 0, 0, fire, a, b, NULL);
}

static bool has (uint64_t faults, size_t i)
{
    return faults >> i & 1;
}

/* One of those that the seed has, by weight. One that is switched off takes
 * its turn, so that the others have theirs. */
static void something_goes_wrong (struct sim *s, const struct profile *p)
{
    int64_t sum = 0, at;

    for (size_t i = 0; i < fault_count (); i++)
        sum += has (p->faults, i) ? fault_at (i)->weight : 0;
    at = sum > 0 ? in (s, 1, sum) : 0;
    for (size_t i = 0; i < fault_count () && at > 0; i++) {
        if (!has (p->faults, i))
            continue;
        at -= fault_at (i)->weight;
        if (at <= 0 && !has (p->off, i)) {
            ledger_fault (i);
            fault_at (i)->happen (s);
        }
    }
}

/* ---- the end of it ---- */

static void faults_end (struct sim *s, const struct profile *p)
{
    sim_trace (s, "world", "faults end");
    s->settled = true;
    for (size_t i = 0; i < fault_count (); i++) {
        if (fault_at (i)->end)
            fault_at (i)->end (s);
    }
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
    profile_settings (p, &s->settings);
    sim_power_back (s);
    sim_continue_broker (s);
    sim_start_broker (s);
    if (s->settings.aging_ms == 0)
        s->settings.aging_ms = 60 * SECOND; // else one may starve
    sim_reload (s);
    sim_set_max (s, p->max_slots);
    for (int i = 0; i < WEATHER_PROJECTS; i++)
        sim_pause (s, weather_projects[i], false);
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

static bool runs (const struct sim *s, uint64_t token)
{
    for (int i = 0; i < SIM_TREES; i++) {
        if (s->trees[i].alive && tokens_have (&s->trees[i].under, token))
            return true;
    }
    return false;
}

/* An administrator who looks first whether anything runs there. */
static void free_damaged (struct sim *s)
{
    for (size_t i = 0; i < s->disk.damaged_count; i++) {
        if (!runs (s, s->disk.damaged[i]))
            sim_force_release (s, s->disk.damaged[i]);
    }
}

/* What runs for ever is ended, reservations are released, an administrator
 * frees what nobody can read: then whoever waits must be served in the end. */
static void hand_back (struct sim *s)
{
    for (int i = 0; i < SIM_CLIENTS; i++) {
        const struct sim_client *c = &s->clients[i];

        if (c->alive && c->kind == CLIENT_RUN && c->keeper >= 0 && c->lasts < 0)
            sim_kill_client (s, i);
    }
    free_damaged (s);
    for (int i = 0; i < SIM_SUPERVISORS; i++) {
        for (int k = 0; k < s->shim_count && s->supervisors[i].alive; k++) {
            if (holds (s, k, &s->supervisors[i]))
                sim_release (s, k, i, 4);
        }
    }
}

static bool waits (const struct sim_client *c)
{
    return c->alive && !c->granted &&
           (c->kind == CLIENT_REQUEST || c->kind == CLIENT_RUN);
}

static bool at_rest (const struct sim *s)
{
    for (int i = 0; i < SIM_CLIENTS; i++) {
        if (waits (&s->clients[i]))
            return false;
    }
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
    for (int i = 0; i < SIM_CLIENTS; i++) {
        if (waits (&s->clients[i]))
            sim_violate (s, "liveness: command %d waits for ever", i);
    }
    sim_advance (s, 100 * SECOND); // what was long under way has come
    invariants_agreement (s);
}

static void everybody_leaves (struct sim *s)
{
    sim_trace (s, "world", "everybody leaves");
    free_damaged (s);
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

static void make_hosts (struct sim *s, const struct profile *p)
{
    char name[16];

    s->hosts[0].rate = p->rate[0];
    for (unsigned i = 1; i <= p->far_hosts; i++) {
        snprintf (name, sizeof name, "vm%u", i + 1);
        s->hosts[sim_host (s, name, in (s, 0, 100000 * SECOND))].rate =
            p->rate[i];
    }
}

static void make_shims (struct sim *s, const struct profile *p)
{
    for (unsigned i = 0; i < p->own_shims; i++)
        sim_shim (s, weather_projects[i], 0);
    for (unsigned i = 0; i < p->far_shims; i++)
        sim_shim (s, weather_projects[i / p->far_hosts * 3],
                  1 + (int) (i % p->far_hosts));
}

/* What happens in one step is drawn apart from every other. */
static void next_chance (struct sim *s, const struct profile *p, uint64_t step)
{
    chance_init (&s->weather, p->seed << 20 ^ step);
}

static struct sim *begin (const struct profile *p)
{
    struct settings settings;
    struct sim *s;

    profile_settings (p, &settings);
    s = sim_create (&settings, p->seed);
    s->modelled = p->model;
    s->forecast = p->forecast;
    next_chance (s, p, 0);
    make_hosts (s, p);
    sim_start_broker (s);
    make_shims (s, p);
    return s;
}

struct sim *weather_run (uint64_t seed, int64_t ms)
{
    struct profile p;
    struct sim *s;

    profile_draw (&p, seed);
    s = begin (&p);
    for (uint64_t step = 1; s->now < ms && !s->violation[0]; step++) {
        next_chance (s, &p, step);
        sim_advance (s, in (s, 1, p.pace_ms));
        somebody_acts (s);
        if (one_in (s, 4))
            park_a_tree (s);
        if (one_in (s, (int) p.calm))
            something_goes_wrong (s, &p);
    }
    if (!s->violation[0])
        faults_end (s, &p);
    if (!s->violation[0])
        everybody_is_served (s);
    if (!s->violation[0])
        everybody_leaves (s);
    return s;
}
