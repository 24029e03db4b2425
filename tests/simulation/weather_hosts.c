/* SPDX-License-Identifier: MPL-2.0 */
#include "simulation/weather_hosts.h"

#include <stdio.h>
#include <string.h>

enum { SECOND = 1000, FEW_PIDS = 24 };

static int64_t in (struct sim *s, int64_t low, int64_t high)
{
    return weather_in (s, low, high);
}

static bool one_in (struct sim *s, int n)
{
    return weather_one_in (s, n);
}

/* ---- who there is ---- */

static int next_of (struct sim *s, int count,
                    bool (*is_one) (struct sim *, int))
{
    int first = (int) in (s, 0, count - 1);

    for (int i = 0; i < count; i++) {
        if (is_one (s, (first + i) % count))
            return (first + i) % count;
    }
    return -1;
}

static bool keeps_a_tree (struct sim *s, int keeper)
{
    return s->keepers[keeper].alive && s->keepers[keeper].tree >= 0;
}

static bool waits (struct sim *s, int client)
{
    const struct sim_client *c = &s->clients[client];

    return c->alive && !c->granted && c->count > 0;
}

static bool is_supervisor (struct sim *s, int supervisor)
{
    return s->supervisors[supervisor].alive;
}

static bool is_far (struct sim *s, int host)
{
    return !s->hosts[host].own && host_runs (s, host);
}

static bool is_original (struct sim *s, int host)
{
    return is_far (s, host) && s->hosts[host].copy_of < 0;
}

/* ---- slots that are somebody's word ---- */

static void bound_request (struct sim *s)
{
    int supervisor = next_of (s, SIM_SUPERVISORS, is_supervisor);
    int shim = weather_shim (s);

    if (supervisor >= 0 &&
        s->supervisors[supervisor].host == s->shims[shim].host)
        sim_request_bound (s, shim, supervisor, (unsigned) in (s, 1, 3));
}

static void kill_with_supervisors (struct sim *s)
{
    sim_kill_supervisors (s, s->shims[weather_shim (s)].project);
}

/* Short ones, one after the other, in what its supervisor holds already. */
static void many_runs (struct sim *s)
{
    int supervisor = next_of (s, SIM_SUPERVISORS, is_supervisor);
    int shim = weather_shim (s);

    if (supervisor < 0 ||
        s->supervisors[supervisor].host != s->shims[shim].host)
        return;
    sim_request (s, shim, supervisor, (unsigned) in (s, 1, 3), 1);
    for (int64_t n = in (s, 2, 5); n > 0; n--) {
        struct work work = {.count = 1, .term = -1};

        work.lasts = in (s, 1, 4 * SECOND);
        work.rest = one_in (s, 3) ? in (s, 1, SECOND) : 0;
        work.kill = in (s, 1, 200);
        sim_run (s, shim, supervisor, work);
    }
}

static void late_news (struct sim *s)
{
    s->late_news = one_in (s, 3) ? 0 : (unsigned) in (s, 100, 900);
}

static void no_late_news (struct sim *s)
{
    s->late_news = 0;
}

/* ---- trees that are parked ---- */

static bool keeps_parked (struct sim *s, int client)
{
    const struct sim_client *c = &s->clients[client];

    return c->alive && c->kind == CLIENT_PARK && c->begun && !c->refused &&
           s->trees[c->tree].life == c->tree_life;
}

/* It may be back, and its shim not know: then the tree is to be ended, by
 * whoever knows that better, or by its own side. */
static void return_unheard (struct sim *s)
{
    int client = next_of (s, SIM_CLIENTS, keeps_parked);
    const struct sim_tree *t;
    int shim, supervisor;

    if (client < 0)
        return;
    t = &s->trees[s->clients[client].tree];
    shim = t->shim;
    supervisor = s->clients[s->keepers[t->keeper].client].supervisor;
    s->deaf = true;
    sim_kill_client (s, client);
    sim_advance (s, in (s, 5, 300));
    s->deaf = false;
    if (one_in (s, 2))
        sim_kill (s, s->shims[shim].project);
    else
        sim_end_supervisor (s, supervisor);
}

/* ---- processes ---- */

static void escapes (struct sim *s)
{
    s->cgroups = (unsigned) in (s, 0, 4) * 250;
    s->escapes = (unsigned) in (s, 0, 4) * 250;
}

static void pids_come_again (struct sim *s)
{
    s->pids = FEW_PIDS;
}

/* Some of those that answer for a tree, at one time or nearly. */
static void guards_die (struct sim *s)
{
    int keeper = next_of (s, SIM_KEEPERS, keeps_a_tree);
    int which = one_in (s, 3) ? 7 : (int) in (s, 1, 7), shim, client;

    if (keeper < 0)
        return;
    shim = s->keepers[keeper].shim;
    client = s->keepers[keeper].client;
    if (which & 1 && s->keepers[keeper].run_up)
        sim_kill_client (s, client);
    if (which & 2)
        sim_crash_keeper (s, keeper);
    if (one_in (s, 2))
        sim_advance (s, in (s, 0, 100));
    if (which & 4)
        sim_crash_shim (s, shim);
}

/* Before its request is served, while it is, or right afterwards. */
static void supervisor_of_waiter_dies (struct sim *s)
{
    int client = next_of (s, SIM_CLIENTS, waits);

    if (client < 0)
        return;
    if (one_in (s, 2))
        sim_advance (s, in (s, 0, SECOND));
    sim_end_supervisor (s, s->clients[client].supervisor);
}

static void requests_and_dies (struct sim *s)
{
    int supervisor = next_of (s, SIM_SUPERVISORS, is_supervisor);
    int shim = weather_shim (s);

    if (supervisor < 0 ||
        s->supervisors[supervisor].host != s->shims[shim].host)
        return;
    sim_run (s, shim, supervisor,
             (struct work){.count = 1, .lasts = -1, .term = -1, .kill = 50});
    sim_advance (s, in (s, 0, 100));
    sim_end_supervisor (s, supervisor);
}

/* The project in which he holds one. */
static const char *bound_in (struct sim *s, int supervisor)
{
    const struct sim_supervisor *sup = &s->supervisors[supervisor];

    for (size_t i = 0; sup->alive && i < s->disk.lease_count; i++) {
        const struct lease_record *r = &s->disk.leases[i];

        if (r->bound && r->supervisor.pid == sup->self.pid &&
            r->supervisor.start == sup->self.start)
            return r->project;
    }
    return NULL;
}

static bool has_bound_slots (struct sim *s, int supervisor)
{
    return bound_in (s, supervisor) != NULL;
}

static int shim_of (struct sim *s, int supervisor)
{
    const char *project = bound_in (s, supervisor);
    int host = s->supervisors[supervisor].host;

    for (int i = 0; project && i < s->shim_count; i++) {
        if (s->shims[i].host == host &&
            strcmp (s->shims[i].project, project) == 0)
            return i;
    }
    return weather_shim (s);
}

/* By one with its pid, before anybody has seen that it is gone. */
static void supervisor_is_followed (struct sim *s)
{
    int bound = next_of (s, SIM_SUPERVISORS, has_bound_slots);
    int supervisor =
        bound < 0 ? next_of (s, SIM_SUPERVISORS, is_supervisor) : bound;
    int shim = supervisor < 0 ? 0 : shim_of (s, supervisor);
    int host = s->shims[shim].host, heir;

    if (supervisor < 0 || s->supervisors[supervisor].host != host)
        return;
    if (one_in (s, 2)) {
        sim_kill_supervisors (s, s->shims[shim].project);
        sim_advance (s, in (s, 0, 3));
    }
    sim_end_supervisor (s, supervisor);
    if (s->supervisors[supervisor].alive)
        return;
    s->same_pid = s->supervisors[supervisor].self.pid;
    heir = sim_supervisor (s, host);
    if (one_in (s, 2))
        sim_request (s, shim, heir, (unsigned) in (s, 1, 2), 0);
    else
        sim_request_bound (s, shim, heir, 1);
}

/* A command finds the lock free at once. */
static void shim_is_followed (struct sim *s)
{
    int shim = weather_shim (s);

    sim_crash_shim (s, shim);
    sim_advance (s, in (s, 0, 30));
    sim_start_shim (s, shim);
}

/* ---- hosts ---- */

static void give_back (struct sim *s, int supervisor)
{
    for (int i = 0; i < s->shim_count; i++) {
        if (s->shims[i].host == s->supervisors[supervisor].host)
            sim_release (s, i, supervisor, 2);
    }
}

/* And somebody gives back what he may hold no longer. */
static void wake (struct sim *s, struct event *e)
{
    int host = (int) e->a, supervisor = 0;

    if (!s->hosts[host].asleep || s->hosts[host].boot != e->b)
        return;
    sim_wake (s, host);
    while (supervisor < SIM_SUPERVISORS &&
           (!s->supervisors[supervisor].alive ||
            s->supervisors[supervisor].host != host))
        supervisor++;
    if (supervisor < SIM_SUPERVISORS)
        give_back (s, supervisor);
}

static void sleep_for (struct sim *s, int host, bool clock_stops, int64_t ms)
{
    if (!host_runs (s, host))
        return;
    sim_sleep (s, host, clock_stops);
    weather_later (s, ms, wake, (uint64_t) host, s->hosts[host].boot);
}

static void far_sleeps (struct sim *s)
{
    int host = next_of (s, s->host_count, is_far);
    int64_t ttl = s->settings.timing.ttl;

    if (host >= 0)
        sleep_for (s, host, false,
                   one_in (s, 2) ? in (s, ttl, 2 * ttl) : weather_while (s));
}

static void own_sleeps (struct sim *s)
{
    sleep_for (s, 0, true, weather_while (s));
}

static void own_is_stopped (struct sim *s)
{
    sleep_for (s, 0, false, weather_while (s));
}

static void all_wake (struct sim *s)
{
    for (int i = 0; i < s->host_count; i++)
        sim_wake (s, i);
}

/* Somebody works there again, soon. */
static void far_reboots (struct sim *s)
{
    int host = next_of (s, s->host_count, is_original);

    if (host < 0)
        return;
    sim_crash_host (s, host);
    sim_advance (s, in (s, 0, 5 * SECOND));
    for (int i = 0; i < s->shim_count; i++) {
        if (s->shims[i].host == host)
            sim_start_shim (s, i);
    }
}

/* ---- copies ---- */

static void switch_off (struct sim *s, int host)
{
    sim_crash_host (s, host);
    s->hosts[host].off = true;
}

static void copy_ends (struct sim *s, struct event *e)
{
    if (!s->hosts[e->a].off && s->hosts[e->a].boot == e->b)
        switch_off (s, (int) e->a);
}

static bool is_copied (const struct sim *s, int host)
{
    for (int i = 0; i < s->host_count; i++) {
        if (s->hosts[i].copy_of == host)
            return true;
    }
    return false;
}

/* One copy of a host in a run: it comes, speaks and goes. */
static void copy_comes (struct sim *s, bool same_boot)
{
    int original = next_of (s, s->host_count, is_original);
    int shims = s->shim_count, copy;
    char name[16];

    if (original < 0 || is_copied (s, original) || s->host_count == SIM_HOSTS ||
        shims + 2 > SIM_SHIMS)
        return;
    snprintf (name, sizeof name, "%.12s-b", s->hosts[original].name);
    copy = sim_host (s, name, in (s, 0, 100000 * SECOND));
    s->hosts[copy].copy_of = original;
    s->hosts[copy].same_boot = same_boot;
    sim_trace (s, "world", "host %s is a copy", name);
    for (int i = 0; i < shims; i++) {
        if (s->shims[i].host == original)
            sim_shim (s, s->shims[i].project, copy);
    }
    weather_later (s, in (s, SECOND, 4 * s->settings.timing.ttl), copy_ends,
                   (uint64_t) copy, s->hosts[copy].boot);
}

static void copy_boots (struct sim *s)
{
    copy_comes (s, false);
}

static void copy_resumes (struct sim *s)
{
    copy_comes (s, true);
}

static void copies_end (struct sim *s)
{
    for (int i = 0; i < s->host_count; i++) {
        if (s->hosts[i].copy_of >= 0 && !s->hosts[i].off)
            switch_off (s, i);
    }
}

static const struct fault faults[] = {
    {"bound-request", bound_request, 40, NULL},
    {"kill-with-supervisors", kill_with_supervisors, 4, NULL},
    {"many-runs", many_runs, 20, NULL},
    {"late-news", late_news, 10, no_late_news},
    {"escapes", escapes, 15, NULL},
    {"pids-come-again", pids_come_again, 10, NULL},
    {"guards-die", guards_die, 20, NULL},
    {"supervisor-of-waiter-dies", supervisor_of_waiter_dies, 5, NULL},
    {"requests-and-dies", requests_and_dies, 5, NULL},
    {"supervisor-is-followed", supervisor_is_followed, 8, NULL},
    {"shim-is-followed", shim_is_followed, 8, NULL},
    {"far-sleeps", far_sleeps, 12, all_wake},
    {"own-sleeps", own_sleeps, 6, all_wake},
    {"own-is-stopped", own_is_stopped, 6, all_wake},
    {"far-reboots", far_reboots, 6, NULL},
    {"copy-boots", copy_boots, 4, copies_end},
    {"copy-resumes", copy_resumes, 4, copies_end},
    {"return-unheard", return_unheard, 15, NULL},
};

const struct fault_table faults_of_hosts = {faults,
                                            sizeof faults / sizeof *faults};
