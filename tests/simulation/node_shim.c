/* SPDX-License-Identifier: MPL-2.0 */
#include "simulation/sim.h"

#include <stdio.h>
#include <string.h>

#include "simulation/invariants.h"
#include "simulation/invariants_rules.h"
#include "simulation/invariants_hosts.h"

enum {
    HELLO_MS = 500,
    LATE_MS = 90000, // no connection does that; R7 holds all the same
    PIDFD_MS = 2,    // until the end of a watched process is seen
    SPIN = 20000     // turns at one instant
};

static void turn (struct sim *s, struct event *e);

static bool own (const struct sim *s, const struct sim_shim *sh)
{
    return s->hosts[sh->host].own;
}

static int64_t clock_of (const struct sim *s, const struct sim_shim *sh)
{
    return host_clock (s, sh->host);
}

static void later (struct sim *s, int shim, int64_t at, event_fn *fire,
                   uint64_t a, uint64_t b, void *data)
{
    sim_later (s, at, ACTOR_SHIM, (size_t) shim, s->shims[shim].life, fire, a,
               b, data);
}

/* ---- the bus ---- */

static struct path path_of (const struct sim *s, int shim)
{
    const struct sim_shim *sh = &s->shims[shim];
    struct path p = {.size = 6, .id = {'S', (uint8_t) shim}};

    memcpy (p.id + 2, &sh->connection, sizeof sh->connection);
    return p;
}

static bool lost (struct sim *s, const struct sim_shim *sh)
{
    return s->hosts[sh->host].cut ||
           (s->loss > 0 && chance_of (&s->chance, s->loss));
}

static struct span way (const struct sim *s, const struct sim_shim *sh)
{
    return own (s, sh) ? s->bus : s->wire;
}

/* Of a HELLO the broker knows that it is old as long as it lives, not after. It
 * does not have to: its connections end with it. */
static void come_late (struct sim *s, const struct peer *from, enum verb verb,
                       const void *fields)
{
    int64_t at = s->now + chance_in (&s->chance, 1000, LATE_MS);

    if (verb == VERB_HELLO)
        bus_post (s, from, verb, fields, at);
    else
        bus_post_late (s, from, verb, fields, at);
}

static void send (struct sim *s, int shim, enum verb verb, const void *fields)
{
    struct sim_shim *sh = &s->shims[shim];
    struct peer from = {.path = path_of (s, shim),
                        .role = ROLE_PROJECT,
                        .uid = 1000,
                        .pid = own (s, sh) ? sh->self.pid : 0};

    if (s->loud)
        sim_trace (s, shim_label (s, shim), "  > %s", verb_name (verb));
    invariants_said (s, shim, verb, fields);
    if (verb == VERB_REQUEST)
        hosts_said_request (s, fields);
    if (lost (s, sh))
        return;
    bus_post (s, &from, verb, fields, sim_arrival (s, way (s, sh), &sh->up));
    if (s->twice > 0 && chance_of (&s->chance, s->twice))
        bus_post (s, &from, verb, fields,
                  sim_arrival (s, way (s, sh), &sh->up));
    if (s->late > 0 && chance_of (&s->chance, s->late))
        come_late (s, &from, verb, fields);
    if (s->late_news > 0 &&
        (verb == VERB_STARTED || verb == VERB_REAPED || verb == VERB_PARK) &&
        chance_of (&s->chance, s->late_news))
        bus_post (s, &from, verb, fields,
                  s->now + chance_in (&s->chance, 1000, LATE_MS));
}

static void finish (struct sim *s, int shim);

/* It may give back what nobody asked it to. */
static bool wants_back (const struct msg *m)
{
    return m->verb == VERB_RECLAIM ||
           (m->verb == VERB_BEAT_OK && m->beat_ok.reclaim);
}

static void broker_says (struct sim *s, struct event *e)
{
    int shim = (int) e->index;
    struct sim_shim *sh = &s->shims[shim];
    const struct letter *letter = e->data;

    if (e->a != sh->connection && !e->b)
        return;
    if (s->loud)
        sim_trace (s, shim_label (s, shim), "  < %s", verb_name (letter->verb));
    if (wants_back (letter_open (letter)))
        sh->doubt = s->now;
    rules_deliver (s, shim, letter_open (letter));
    finish (s, shim);
}

/* To whatever lives there by then. */
static void late_word (struct sim *s, struct event *e)
{
    if (!s->shims[e->a].alive || s->settled)
        return;
    later (s, (int) e->a, s->now, broker_says, 0, 1, e->data);
    e->data = NULL;
}

void shim_receive (struct sim *s, const struct path *to, enum verb verb,
                   const void *fields)
{
    int shim = to->id[1];
    struct sim_shim *sh = &s->shims[shim];
    uint32_t connection;
    int copies = s->twice > 0 && chance_of (&s->chance, s->twice) ? 2 : 1;

    if (to->size != 6 || to->id[0] != 'S' || shim >= s->shim_count)
        return;
    memcpy (&connection, to->id + 2, sizeof connection);
    if (!sh->alive || connection != sh->connection || s->deaf || lost (s, sh))
        return;
    while (copies-- > 0)
        later (s, shim, sim_arrival (s, way (s, sh), &sh->down), broker_says,
               connection, 0, letter_of (verb, fields));
    if (s->late > 0 && chance_of (&s->chance, s->late))
        sim_later (s, s->now + chance_in (&s->chance, 1000, LATE_MS),
                   ACTOR_WORLD, 0, 0, late_word, (uint64_t) shim, 0,
                   letter_of (verb, fields));
}

void shims_reconnect (struct sim *s)
{
    for (int i = 0; i < s->shim_count; i++)
        s->shims[i].connection++;
}

void sim_cut (struct sim *s, int host, bool cut)
{
    sim_trace (s, "world", "network of %s %s", s->hosts[host].name,
               cut ? "is cut" : "is back");
    s->hosts[host].cut = cut;
}

/* ---- what it hears ---- */

static void client_says (struct sim *s, struct event *e)
{
    struct sim_shim *sh = &s->shims[e->index];
    const struct sim_client *c = &s->clients[handle_index (e->a)];

    if (c->life == handle_life (e->a) && c->hung_up)
        return;
    if (letter_open (e->data)->verb == VERB_RELEASE ||
        letter_open (e->data)->verb == VERB_CANCEL)
        sh->doubt = s->now;
    shim_on_client (sh->core, e->a, c->self, letter_open (e->data),
                    clock_of (s, sh), sh->out);
    finish (s, (int) e->index);
}

void shim_hear_client (struct sim *s, int client, enum verb verb,
                       const void *fields)
{
    struct sim_client *c = &s->clients[client];

    if (!c->connected)
        return;
    later (s, c->shim, sim_arrival (s, s->local, &c->up), client_says,
           handle_of ((size_t) client, c->life), 0, letter_of (verb, fields));
}

static void client_goes (struct sim *s, struct event *e)
{
    struct sim_shim *sh = &s->shims[e->index];
    const struct sim_client *c = &s->clients[handle_index (e->a)];

    if (c->life == handle_life (e->a) && c->hung_up)
        return;
    sh->doubt = s->now;
    shim_on_client_gone (sh->core, e->a, clock_of (s, sh), sh->out);
    finish (s, (int) e->index);
}

void shim_lose_client (struct sim *s, int client)
{
    struct sim_client *c = &s->clients[client];

    if (!c->connected)
        return;
    c->connected = false;
    later (s, c->shim, sim_arrival (s, s->local, &c->up), client_goes,
           handle_of ((size_t) client, c->life), 0, NULL);
}

static void keeper_says (struct sim *s, struct event *e)
{
    struct sim_shim *sh = &s->shims[e->index];
    const struct sim_keeper *k = &s->keepers[handle_index (e->a)];

    if (k->life == handle_life (e->a) && k->hung_up)
        return;
    shim_on_keeper (sh->core, e->a, e->data, clock_of (s, sh), sh->out);
    finish (s, (int) e->index);
}

void shim_hear_keeper (struct sim *s, int keeper,
                       const struct keeper_packet *packet)
{
    struct sim_keeper *k = &s->keepers[keeper];
    struct keeper_packet *copy;

    if (!k->shim_up)
        return;
    copy = sim_alloc (sizeof *copy);
    *copy = *packet;
    later (s, k->shim, sim_arrival (s, s->local, &k->up), keeper_says,
           handle_of ((size_t) keeper, k->life), 0, copy);
}

static void keeper_goes (struct sim *s, struct event *e)
{
    struct sim_shim *sh = &s->shims[e->index];
    const struct sim_keeper *k = &s->keepers[handle_index (e->a)];

    if (k->life == handle_life (e->a) && k->hung_up)
        return;
    shim_on_keeper_gone (sh->core, e->a, clock_of (s, sh), sh->out);
    finish (s, (int) e->index);
}

void shim_lose_keeper (struct sim *s, int keeper)
{
    struct sim_keeper *k = &s->keepers[keeper];

    if (!k->shim_up)
        return;
    k->shim_up = false;
    later (s, k->shim, sim_arrival (s, s->local, &k->up), keeper_goes,
           handle_of ((size_t) keeper, k->life), 0, NULL);
}

static bool same (struct who a, struct who b)
{
    return a.pid == b.pid && a.start == b.start;
}

static void unwatch (struct sim_shim *sh, struct who who)
{
    for (size_t i = 0; i < sh->watched_count; i++) {
        if (same (sh->watched[i], who))
            sh->watched[i--] = sh->watched[--sh->watched_count];
    }
}

static void supervisor_goes (struct sim *s, struct event *e)
{
    struct sim_shim *sh = &s->shims[e->index];
    struct who who = {(int32_t) e->a, (int64_t) e->b};

    unwatch (sh, who);
    shim_on_supervisor_gone (sh->core, who, clock_of (s, sh), sh->out);
    finish (s, (int) e->index);
}

void shims_lose_supervisor (struct sim *s, struct who who)
{
    for (int i = 0; i < s->shim_count; i++) {
        const struct sim_shim *sh = &s->shims[i];

        for (size_t n = 0; sh->alive && n < sh->watched_count; n++) {
            if (same (sh->watched[n], who))
                later (s, i, s->now + PIDFD_MS, supervisor_goes,
                       (uint64_t) who.pid, (uint64_t) who.start, NULL);
        }
    }
}

/* R9: asks whether anybody holds the broker's lock. A broker that is stopped
 * holds it. */
static void query_lock (struct sim *s, struct event *e)
{
    struct sim_shim *sh = &s->shims[e->index];

    if (!s->broker.alive)
        invariants_good (s, (int) e->index, clock_of (s, sh));
    shim_on_broker_absent (sh->core, !s->broker.alive, clock_of (s, sh),
                           sh->out);
    later (s, (int) e->index, s->now + s->settings.timing.beat / 2, query_lock,
           0, 0, NULL);
    finish (s, (int) e->index);
}

/* ---- what it does ---- */

static void watch (struct sim *s, int shim, struct who who)
{
    struct sim_shim *sh = &s->shims[shim];

    for (size_t i = 0; i < sh->watched_count; i++) {
        if (same (sh->watched[i], who))
            return;
    }
    if (sh->watched_count < SIM_SUPERVISORS)
        sh->watched[sh->watched_count++] = who;
    if (!process_found (s, sh->host, who))
        later (s, shim, s->now + PIDFD_MS, supervisor_goes, (uint64_t) who.pid,
               (uint64_t) who.start, NULL);
}

static void is_clean (struct sim *s, struct event *e)
{
    struct sim_shim *sh = &s->shims[e->index];
    const struct mark *mark = e->data;

    if (tree_lives (s, sh->host, mark)) {
        trees_kill (s, sh->host, mark);
        e->at = s->now + 10;
        later (s, (int) e->index, e->at, is_clean, e->a, 0, e->data);
        e->data = NULL;
        return;
    }
    shim_on_cleaned (sh->core, e->a, clock_of (s, sh), sh->out);
    finish (s, (int) e->index);
}

static void clean (struct sim *s, int shim, const struct action *a)
{
    struct mark *mark = sim_alloc (sizeof *mark);

    copy_text (mark->cookie, sizeof mark->cookie, a->cookie);
    copy_text (mark->cgroup, sizeof mark->cgroup, a->cgroup);
    mark->since = a->who.start;
    later (s, shim, s->now + 1, is_clean, a->token, 0, mark);
}

/* By its pidfd, which names what has that pid and that start time now. */
static void end_supervisor (struct sim *s, int host, struct who who)
{
    for (int i = 0; i < SIM_SUPERVISORS; i++) {
        const struct sim_supervisor *sup = &s->supervisors[i];

        if (sup->host != host || !sup->alive || sup->self.pid != who.pid ||
            (who.start != 0 && who.start != sup->self.start))
            continue;
        hosts_ends_supervisor (s, i);
        sim_end_supervisor (s, i);
    }
}

static bool lives (const struct sim *s, uint64_t handle, bool client)
{
    size_t i = handle_index (handle);

    if (client)
        return i < SIM_CLIENTS && s->clients[i].alive &&
               s->clients[i].life == handle_life (handle);
    return i < SIM_KEEPERS && s->keepers[i].alive &&
           s->keepers[i].life == handle_life (handle);
}

static void sample (struct sim *s, int shim, uint64_t session)
{
    const struct sample figures = sim_figures (s, s->shims[shim].host);
    struct msg_sample m;

    message_init_fields (&m, VERB_SAMPLE);
    m.session = session;
    m.cpu_percent = figures.cpu_percent;
    m.memory_percent = figures.memory_percent;
    m.load1 = figures.load1;
    m.running = figures.running;
    m.disk_percent = figures.disk_percent;
    send (s, shim, VERB_SAMPLE, &m);
}

/* Each tree has a size of its own, and works all the time. */
static void measure (struct sim *s, int shim, const struct action *a)
{
    struct sim_shim *sh = &s->shims[shim];
    int tree = s->keepers[handle_index (a->keeper)].tree;
    struct measured measured = {0, 0, 0};

    if (tree >= 0 && s->trees[tree].alive) {
        measured.memory_bytes = sim_tree_bytes (tree);
        measured.cpu_ms = (uint64_t) (s->now - s->trees[tree].started);
        measured.running = 1;
    }
    shim_on_measured (sh->core, a->token, &measured, clock_of (s, sh));
}

static void act (struct sim *s, int shim, const struct action *a)
{
    struct sim_shim *sh = &s->shims[shim];
    bool client = lives (s, a->client, true);
    bool keeper = lives (s, a->keeper, false);

    switch (a->kind) {
    case ACT_SEND: send (s, shim, a->verb, a->fields); break;
    case ACT_TELL:
        if (client)
            client_hear (s, (int) handle_index (a->client), a->verb, a->fields);
        break;
    case ACT_HANG_UP:
        if (client)
            s->clients[handle_index (a->client)].hung_up = true;
        if (client)
            client_lose_shim (s, (int) handle_index (a->client));
        break;
    case ACT_KEEPER:
        if (keeper)
            keeper_hear (s, (int) handle_index (a->keeper), a->packet);
        break;
    case ACT_HANG_UP_KEEPER:
        if (keeper)
            s->keepers[handle_index (a->keeper)].hung_up = true;
        if (keeper)
            keeper_lose_shim (s, (int) handle_index (a->keeper));
        break;
    case ACT_WATCH: watch (s, shim, a->who); break;
    case ACT_UNWATCH: unwatch (sh, a->who); break;
    case ACT_CLEAN: clean (s, shim, a); break;
    case ACT_END_SUPERVISOR: end_supervisor (s, sh->host, a->who); break;
    case ACT_SPAWN: break;
    case ACT_SAMPLE: sample (s, shim, a->session); break;
    case ACT_MEASURE:
        if (keeper)
            measure (s, shim, a);
        break;
    case ACT_RECONNECT: sh->connection++; break;
    case ACT_READY:
        sh->ready = true;
        sim_trace (s, shim_label (s, shim), "ready");
        break;
    case ACT_LOG: sim_trace (s, shim_label (s, shim), "%s", a->text); break;
    case ACT_END:
        sim_trace (s, shim_label (s, shim), "ends status=%d", a->status);
        sh->ended = true;
        break;
    }
}

static void gone (struct sim *s, int shim)
{
    struct sim_shim *sh = &s->shims[shim];

    for (int i = 0; i < SIM_CLIENTS; i++) {
        if (s->clients[i].alive && s->clients[i].connected &&
            s->clients[i].shim == shim)
            client_lose_shim (s, i);
    }
    for (int i = 0; i < SIM_KEEPERS; i++) {
        if (s->keepers[i].alive && s->keepers[i].shim_up &&
            s->keepers[i].shim == shim)
            keeper_lose_shim (s, i);
    }
    sh->alive = sh->stopped = sh->ready = false;
    sh->life++;
    sh->died = s->now;
    sh->connection++;
    sh->up = sh->down = 0; // what is under way may be overtaken
    shim_destroy (sh->core);
    sh->core = NULL;
    actions_clear (sh->out);
    bus_wake (s, s->now + PIDFD_MS);
}

static void wake (struct sim *s, int shim, int64_t at)
{
    struct sim_shim *sh = &s->shims[shim];

    if (at == sh->timer)
        return;
    sh->timer = at;
    later (s, shim, at, turn, ++sh->turn, 0, NULL);
}

static void count_spins (struct sim *s, int shim)
{
    struct sim_shim *sh = &s->shims[shim];

    sh->same_time = sh->last_turn == s->now ? sh->same_time + 1 : 0;
    sh->last_turn = s->now;
    if (sh->same_time > SPIN)
        sim_violate (s, "shim %s spins", shim_label (s, shim));
}

/* The end of every turn. */
static void finish (struct sim *s, int shim)
{
    struct sim_shim *sh = &s->shims[shim];
    int64_t now = clock_of (s, sh);
    int64_t due;

    count_spins (s, shim);
    shim_turn (sh->core, chance_next (&s->chance) | 1, now, sh->out);
    for (size_t i = 0; i < actions_count (sh->out); i++)
        act (s, shim, actions_at (sh->out, i));
    actions_clear (sh->out);
    invariants_anchor (s, shim);
    if (sh->ended) {
        gone (s, shim);
        return;
    }
    due = shim_next_deadline (sh->core, now);
    if (due < INT64_MAX - now)
        wake (s, shim, due <= now ? s->now : host_time (s, sh->host, due));
}

static void turn (struct sim *s, struct event *e)
{
    struct sim_shim *sh = &s->shims[e->index];

    if (e->a != sh->turn)
        return;
    sh->timer = -1;
    finish (s, (int) e->index);
}

/* ---- its life ---- */

void sim_start_shim (struct sim *s, int shim)
{
    struct sim_shim *sh = &s->shims[shim];
    struct shim_settings set = {.boottime = !own (s, sh),
                                .own_host = own (s, sh),
                                .hello_ms = HELLO_MS,
                                .memory_bytes = (uint64_t) SIM_GIB << 30};
    const struct sim_host *host = &s->hosts[host_identity (s, sh->host)];
    const struct sim_host *boot =
        s->hosts[sh->host].same_boot ? host : &s->hosts[sh->host];

    if (sh->alive || !host_runs (s, sh->host))
        return;
    sh->alive = true;
    sh->ready = sh->ended = false;
    sh->watched_count = 0;
    sh->timer = -1;
    sh->self = sim_process (s, sh->host);
    set.self = sh->self;
    copy_text (set.project, sizeof set.project, sh->project);
    copy_text (set.host, sizeof set.host, host->name);
    snprintf (set.machine, sizeof set.machine, "machine-%s", host->name);
    snprintf (set.boot, sizeof set.boot, "boot-%s-%u", boot->name, boot->boot);
    sim_trace (s, shim_label (s, shim), "starts pid=%d", sh->self.pid);
    sh->core = shim_create (&set, clock_of (s, sh));
    if (own (s, sh))
        later (s, shim, s->now, query_lock, 0, 0, NULL);
    finish (s, shim);
}

int sim_shim (struct sim *s, const char *project, int host)
{
    struct sim_shim *sh = &s->shims[s->shim_count];

    copy_text (sh->project, sizeof sh->project, project);
    sh->host = host;
    sh->out = actions_create ();
    sim_start_shim (s, s->shim_count);
    return s->shim_count++;
}

void sim_crash_shim (struct sim *s, int shim)
{
    if (!s->shims[shim].alive || s->hosts[s->shims[shim].host].asleep)
        return;
    sim_trace (s, "world", "shim %s crashes", shim_label (s, shim));
    gone (s, shim);
}

void sim_stop_shim (struct sim *s, int shim)
{
    if (!s->shims[shim].alive || s->shims[shim].stopped)
        return;
    sim_trace (s, "world", "shim %s stops", shim_label (s, shim));
    s->shims[shim].stopped = true;
}

void sim_continue_shim (struct sim *s, int shim)
{
    if (!s->shims[shim].alive || !s->shims[shim].stopped)
        return;
    sim_trace (s, "world", "shim %s continues", shim_label (s, shim));
    s->shims[shim].stopped = false;
    s->shims[shim].continued = s->now;
    sim_release_held (s, ACTOR_SHIM, (size_t) shim, 0);
}

void sim_end_shim (struct sim *s, int shim)
{
    struct sim_shim *sh = &s->shims[shim];

    if (!sh->alive || sh->stopped || s->hosts[sh->host].asleep)
        return;
    sim_trace (s, "world", "shim %s is asked to end", shim_label (s, shim));
    sh->doubt = s->now;
    shim_end (sh->core, clock_of (s, sh), sh->out);
    finish (s, shim);
}
