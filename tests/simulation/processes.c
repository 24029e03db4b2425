/* SPDX-License-Identifier: MPL-2.0 */
#include "simulation/sim.h"

#include <stdio.h>
#include <string.h>

#include "simulation/invariants.h"
#include "simulation/invariants_hosts.h"
#include "simulation/invariants_rules.h"

#define LLU(n) ((unsigned long long) (n))

enum { SWEEP_MS = 20 }; // until `run` has seen that its keeper is dead

static const char *client_label (const struct sim *s, int client)
{
    static const char *const kinds[] = {"request", "run", "release", "cancel",
                                        "park"};
    static char label[24];

    snprintf (label, sizeof label, "%s#%d", kinds[s->clients[client].kind],
              client);
    return label;
}

/* `host` -1: any. */
static bool is_one (const struct sim *s, int host, struct who who, int at,
                    struct who self)
{
    (void) s;
    return (host < 0 || host == at) && self.pid == who.pid &&
           (who.start == 0 || who.start == self.start);
}

static bool is_there (const struct sim *s, int host, struct who who)
{
    for (int i = 0; i < s->shim_count; i++) {
        if (s->shims[i].alive &&
            is_one (s, host, who, s->shims[i].host, s->shims[i].self))
            return true;
    }
    for (int i = 0; i < SIM_SUPERVISORS; i++) {
        const struct sim_supervisor *sup = &s->supervisors[i];

        if (sup->alive && is_one (s, host, who, sup->host, sup->self))
            return true;
    }
    for (int i = 0; i < SIM_CLIENTS; i++) {
        const struct sim_client *c = &s->clients[i];

        if (c->alive && is_one (s, host, who, s->shims[c->shim].host, c->self))
            return true;
    }
    return false;
}

static bool is_there_too (const struct sim *s, int host, struct who who)
{
    for (int i = 0; i < SIM_KEEPERS; i++) {
        const struct sim_keeper *k = &s->keepers[i];

        if (k->alive && is_one (s, host, who, s->shims[k->shim].host, k->self))
            return true;
    }
    for (int i = 0; i < SIM_TREES; i++) {
        const struct sim_tree *t = &s->trees[i];

        if (t->alive && is_one (s, host, who, t->host, t->self))
            return true;
    }
    return false;
}

bool process_found (const struct sim *s, int host, struct who who)
{
    return who.pid && (is_there (s, host, who) || is_there_too (s, host, who));
}

bool process_lives (const struct sim *s, struct who who)
{
    return who.start && process_found (s, -1, who);
}

/* ---- trees ---- */

static void tree_told (struct sim *s, struct event *e);

static void check_tree_at (struct sim *s, int tree, int64_t at)
{
    if (at < INT64_MAX)
        sim_later (s, at, ACTOR_TREE, (size_t) tree, s->trees[tree].life,
                   tree_told, 0, 0, NULL);
}

static void keeper_sees_exit (struct sim *s, struct event *e);
static void keeper_sees_empty (struct sim *s, struct event *e);
static void parkers_end (struct sim *s, int tree);

static void tree_told (struct sim *s, struct event *e)
{
    struct sim_tree *t = &s->trees[e->index];

    if (t->cmd && s->now >= t->cmd_ends) {
        t->cmd = false;
        sim_later (s, s->now, ACTOR_KEEPER, (size_t) t->keeper, t->keeper_life,
                   keeper_sees_exit, 0, 0, NULL);
    }
    if (t->cmd || s->now < t->all_gone)
        return;
    t->alive = false;
    t->died = s->now;
    sim_trace (s, "agent", "gone first=%llu pid=%d", LLU (t->under.at[0]),
               t->self.pid);
    parkers_end (s, (int) e->index);
    sim_later (s, s->now, ACTOR_KEEPER, (size_t) t->keeper, t->keeper_life,
               keeper_sees_empty, 0, 0, NULL);
}

static void tree_dies_by (struct sim *s, int tree, int64_t at)
{
    struct sim_tree *t = &s->trees[tree];

    if (t->cmd_ends > at)
        t->cmd_ends = at;
    if (t->all_gone > at)
        t->all_gone = at;
    check_tree_at (s, tree, at);
}

/* setsid, a double fork: its keeper is its subreaper and sees it all the same.
 * From others it can hide by one of these, but by both only from everybody,
 * which no rule promises to prevent. */
static void get_away (struct sim *s, struct sim_tree *t)
{
    if (!s->escapes || !t->cgroup[0] || !chance_of (&s->chance, s->escapes))
        return;
    t->outside = chance_of (&s->chance, 500);
    t->bare = !t->outside;
}

static int start_tree (struct sim *s, int keeper)
{
    const struct sim_keeper *k = &s->keepers[keeper];
    const struct sim_client *c = &s->clients[k->client];
    struct sim_tree *t;

    while (s->trees[s->next_tree % SIM_TREES].alive)
        s->next_tree++;
    t = &s->trees[s->next_tree++ % SIM_TREES];
    *t = (struct sim_tree){.alive = true,
                           .cmd = true,
                           .life = t->life + 1,
                           .host = s->shims[k->shim].host,
                           .keeper = keeper,
                           .keeper_life = k->life,
                           .shim = k->shim,
                           .shim_life = k->shim_life,
                           .under = k->under,
                           .started = s->now,
                           .self = sim_process (s, s->shims[k->shim].host),
                           .rest = c->rest,
                           .term = c->term,
                           .kill = c->kill};
    t->cmd_ends = c->lasts < 0 ? INT64_MAX : s->now + c->lasts;
    t->all_gone = c->lasts < 0 ? INT64_MAX : s->now + c->lasts + c->rest;
    copy_text (t->cookie, sizeof t->cookie, k->cookie);
    copy_text (t->cgroup, sizeof t->cgroup, k->cgroup);
    get_away (s, t);
    check_tree_at (s, (int) (t - s->trees), t->cmd_ends);
    check_tree_at (s, (int) (t - s->trees), t->all_gone);
    sim_trace (s, "agent", "starts first=%llu count=%u pid=%d",
               LLU (t->under.at[0]), t->under.count, t->self.pid);
    invariants_trees (s);
    return (int) (t - s->trees);
}

static bool has_mark (const struct sim_tree *t, const struct mark *m)
{
    if (m->cgroup[0] && !t->outside && strcmp (t->cgroup, m->cgroup) == 0)
        return true;
    return (m->witness || !t->bare) && strcmp (t->cookie, m->cookie) == 0 &&
           t->self.start >= m->since;
}

void trees_kill (struct sim *s, int host, const struct mark *mark)
{
    for (int i = 0; i < SIM_TREES; i++) {
        const struct sim_tree *t = &s->trees[i];

        if (t->alive && t->host == host && has_mark (t, mark))
            tree_dies_by (s, i, s->now + t->kill);
    }
}

bool tree_kept (const struct sim *s, int host, const struct mark *mark)
{
    for (int i = 0; i < SIM_KEEPERS; i++) {
        const struct sim_keeper *k = &s->keepers[i];

        if (k->alive && s->shims[k->shim].host == host &&
            strcmp (k->cookie, mark->cookie) == 0)
            return true;
    }
    return false;
}

bool tree_lives (const struct sim *s, int host, const struct mark *mark)
{
    for (int i = 0; i < SIM_TREES; i++) {
        const struct sim_tree *t = &s->trees[i];

        if (t->alive && t->host == host && has_mark (t, mark))
            return true;
    }
    return tree_kept (s, host, mark);
}

bool tokens_have (const struct tokens *t, uint64_t token)
{
    for (unsigned i = 0; i < t->count; i++) {
        if (t->at[i] == token)
            return true;
    }
    return false;
}

static void move (struct tokens *t, uint64_t from, uint64_t to)
{
    for (unsigned i = 0; i < t->count; i++) {
        if (t->at[i] == from)
            t->at[i] = to;
    }
}

static bool is_under (const struct tokens *under, const char *its,
                      const char *cookie, uint64_t token)
{
    return strcmp (its, cookie) == 0 && tokens_have (under, token);
}

bool trees_have (const struct sim *s, const char *cookie, uint64_t token)
{
    for (int i = 0; i < SIM_TREES; i++) {
        const struct sim_tree *t = &s->trees[i];

        if (t->alive && is_under (&t->under, t->cookie, cookie, token))
            return true;
    }
    for (int i = 0; i < SIM_KEEPERS; i++) {
        const struct sim_keeper *k = &s->keepers[i];

        if (k->alive && is_under (&k->under, k->cookie, cookie, token))
            return true;
    }
    return false;
}

void trees_move (struct sim *s, const char *cookie, uint64_t from, uint64_t to)
{
    for (int i = 0; i < SIM_TREES; i++) {
        struct sim_tree *t = &s->trees[i];

        if (strcmp (t->cookie, cookie) != 0)
            continue;
        move (&t->under, from, to);
        t->orphans = 0;
    }
    for (int i = 0; i < SIM_KEEPERS; i++) {
        if (strcmp (s->keepers[i].cookie, cookie) == 0)
            move (&s->keepers[i].under, from, to);
    }
}

unsigned trees_count (const struct sim *s)
{
    unsigned count = 0;

    for (int i = 0; i < SIM_TREES; i++) {
        const struct sim_tree *t = &s->trees[i];

        if (t->alive && !t->excused && !hosts_excuse (s, t))
            count += t->under.count;
    }
    return count;
}

/* ---- keepers ---- */

static void keeper_turn (struct sim *s, struct event *e);
static void run_ends (struct sim *s, int client, const char *why);

/* Ticks come last in a turn: after everything that already waits. */
static void keeper_wake (struct sim *s, int keeper, int64_t at)
{
    struct sim_keeper *k = &s->keepers[keeper];

    sim_later (s, at, ACTOR_KEEPER, (size_t) keeper, k->life, keeper_turn,
               ++k->turn, 0, NULL);
}

static int64_t keeper_clock (const struct sim *s, const struct sim_keeper *k)
{
    return host_clock (s, s->shims[k->shim].host);
}

static void keeper_reports (struct sim *s, int keeper, enum keeper_type type)
{
    const struct sim_keeper *k = &s->keepers[keeper];
    struct keeper_packet p = {.magic = KEEPER_MAGIC,
                              .type = type,
                              .token = k->named,
                              .count = k->under.count};

    if (type == KEEPER_STARTED) {
        p.pid = s->trees[k->tree].self.pid;
        p.pid_start = s->trees[k->tree].self.start;
    } else if (type == KEEPER_ATTACH) {
        p.pid = k->self.pid;
        p.pid_start = k->self.start;
    }
    copy_text (p.cookie, sizeof p.cookie, k->cookie);
    copy_text (p.cgroup, sizeof p.cgroup, k->cgroup);
    shim_hear_keeper (s, keeper, &p);
}

static void run_sweeps (struct sim *s, struct event *e)
{
    tree_dies_by (s, (int) e->index, s->now + s->trees[e->index].kill);
}

/* What a dead keeper held falls to its `run`, a subreaper too. */
static void fall_to_run (struct sim *s, const struct sim_keeper *k)
{
    struct sim_tree *t = k->tree < 0 ? NULL : &s->trees[k->tree];

    if (!t || !t->alive || t->keeper != k - s->keepers ||
        t->keeper_life != k->life)
        return;
    t->adopted = true;
    sim_later (s, s->now + SWEEP_MS, ACTOR_TREE, (size_t) k->tree, t->life,
               run_sweeps, 0, 0, NULL);
}

static void keeper_goes (struct sim *s, int keeper, const char *why)
{
    struct sim_keeper *k = &s->keepers[keeper];

    k->alive = k->stopped = false;
    shim_lose_keeper (s, keeper);
    if (!k->run_up || !s->clients[k->client].alive ||
        s->clients[k->client].life != k->client_life)
        return;
    fall_to_run (s, k);
    run_ends (s, k->client, why);
}

static void keeper_acts (struct sim *s, int keeper, unsigned actions)
{
    struct sim_keeper *k = &s->keepers[keeper];
    struct sim_tree *t = k->tree < 0 ? NULL : &s->trees[k->tree];
    bool tree =
        t && t->alive && t->keeper == keeper && t->keeper_life == k->life;

    if (actions & KEEPER_DO_START) {
        k->tree = start_tree (s, keeper);
        keeper_reports (s, keeper, KEEPER_STARTED);
    }
    if (actions & KEEPER_DO_REPORT_EXITED)
        keeper_reports (s, keeper, KEEPER_EXITED);
    if (actions & KEEPER_DO_NOTICE)
        sim_trace (s, "agent", "notice first=%llu", LLU (k->under.at[0]));
    if ((actions & KEEPER_DO_TERM) && tree) {
        sim_trace (s, "agent", "term first=%llu", LLU (k->under.at[0]));
        if (t->term >= 0)
            tree_dies_by (s, k->tree, s->now + t->term);
    }
    if ((actions & KEEPER_DO_KILL) && tree)
        tree_dies_by (s, k->tree, s->now + t->kill);
    if (actions & KEEPER_DO_REPORT_REAPED)
        keeper_reports (s, keeper, KEEPER_REAPED);
    if (actions & KEEPER_DO_REFUSE)
        keeper_reports (s, keeper, KEEPER_REAPED);
    if ((actions & KEEPER_DO_END) && tree)
        rules_left (s, keeper);
    if (actions & KEEPER_DO_END)
        keeper_goes (s, keeper,
                     actions & KEEPER_DO_REFUSE ? "refused" : "done");
}

static void keeper_turn (struct sim *s, struct event *e)
{
    int keeper = (int) e->index;
    struct sim_keeper *k = &s->keepers[keeper];
    int64_t now = keeper_clock (s, k);
    int64_t due;
    enum keeper_state was;

    if (e->a != k->turn)
        return;
    was = k->core.state;
    keeper_acts (s, keeper, keeper_tick (&k->core, now));
    rules_ticked (s, keeper, was);
    if (!k->alive)
        return;
    due = keeper_next (&k->core);
    if (due < INT64_MAX)
        keeper_wake (s, keeper,
                     due <= now ? s->now
                                : host_time (s, s->shims[k->shim].host, due));
}

/* After any event but a tick. */
static void keeper_after (struct sim *s, int keeper, unsigned actions)
{
    keeper_acts (s, keeper, actions);
    if (s->keepers[keeper].alive)
        keeper_wake (s, keeper, s->now);
}

static void keeper_sees_exit (struct sim *s, struct event *e)
{
    struct sim_keeper *k = &s->keepers[e->index];

    keeper_after (s, (int) e->index,
                  keeper_exited (&k->core, keeper_clock (s, k)));
}

static void keeper_sees_empty (struct sim *s, struct event *e)
{
    keeper_after (s, (int) e->index,
                  keeper_emptied (&s->keepers[e->index].core));
}

static void keeper_sees_end (struct sim *s, struct event *e)
{
    struct sim_keeper *k = &s->keepers[e->index];

    keeper_after (s, (int) e->index,
                  keeper_lost (&k->core, keeper_clock (s, k)));
}

static void keeper_gets (struct sim *s, struct event *e)
{
    struct sim_keeper *k = &s->keepers[e->index];
    const struct keeper_packet *p = e->data;
    int64_t now = keeper_clock (s, k);
    unsigned actions = 0;

    if (p->type == KEEPER_ARM)
        keeper_arm (&k->core, p->deadline_ms, p->grace_ms, p->confirm_ms,
                    p->linger_ms);
    else if (p->type == KEEPER_STOP)
        actions = keeper_stop (&k->core, p->notice_ms, p->grace_ms, now);
    else if (p->type == KEEPER_REFUSE)
        actions = keeper_lost (&k->core, now);
    keeper_after (s, (int) e->index, actions);
}

void keeper_hear (struct sim *s, int keeper, const struct keeper_packet *packet)
{
    struct sim_keeper *k = &s->keepers[keeper];
    struct keeper_packet *copy;

    if (!k->shim_up)
        return;
    copy = sim_alloc (sizeof *copy);
    *copy = *packet;
    sim_later (s, sim_arrival (s, s->local, &k->down), ACTOR_KEEPER,
               (size_t) keeper, k->life, keeper_gets, 0, 0, copy);
}

void keeper_lose_shim (struct sim *s, int keeper)
{
    struct sim_keeper *k = &s->keepers[keeper];

    k->shim_up = false;
    sim_later (s, sim_arrival (s, s->local, &k->down), ACTOR_KEEPER,
               (size_t) keeper, k->life, keeper_sees_end, 0, 0, NULL);
}

static void keeper_loses_run (struct sim *s, int keeper)
{
    struct sim_keeper *k = &s->keepers[keeper];

    k->run_up = false;
    sim_later (s, s->now + sim_delay (s, s->local), ACTOR_KEEPER,
               (size_t) keeper, k->life, keeper_sees_end, 0, 0, NULL);
}

/* As `run` does it when it has its grant. */
static void start_keeper (struct sim *s, int client)
{
    struct sim_client *c = &s->clients[client];
    struct sim_keeper *k;

    while (s->keepers[s->next_keeper % SIM_KEEPERS].alive)
        s->next_keeper++;
    k = &s->keepers[s->next_keeper++ % SIM_KEEPERS];
    *k = (struct sim_keeper){.alive = true,
                             .life = k->life + 1,
                             .under = c->got,
                             .named = c->got.at[0],
                             .shim = c->shim,
                             .client = client,
                             .client_life = c->life,
                             .shim_life = c->shim_life,
                             .tree = -1,
                             .run_up = true,
                             .shim_up = c->connected,
                             .self = sim_process (s, s->shims[c->shim].host)};
    copy_text (k->cookie, sizeof k->cookie, c->cookie);
    if (s->cgroups > 0 && chance_of (&s->chance, s->cgroups))
        snprintf (k->cgroup, sizeof k->cgroup, "slotbus-%llu-%d",
                  LLU (c->got.at[0]), k->self.pid);
    keeper_init (&k->core);
    c->keeper = (int) (k - s->keepers);
    keeper_reports (s, c->keeper, KEEPER_ATTACH);
    if (!k->shim_up)
        keeper_lose_shim (s, c->keeper);
}

void sim_crash_keeper (struct sim *s, int keeper)
{
    if (keeper < 0 || !s->keepers[keeper].alive ||
        !host_runs (s, s->shims[s->keepers[keeper].shim].host))
        return;
    sim_trace (s, "world", "keeper of %llu crashes",
               LLU (s->keepers[keeper].under.at[0]));
    keeper_goes (s, keeper, "keeper lost");
}

void sim_stop_keeper (struct sim *s, int keeper)
{
    if (keeper >= 0 && s->keepers[keeper].alive) {
        sim_trace (s, "world", "keeper of %llu stops",
                   LLU (s->keepers[keeper].under.at[0]));
        s->keepers[keeper].stopped = true;
    }
}

void sim_continue_keeper (struct sim *s, int keeper)
{
    struct sim_keeper *k = &s->keepers[keeper];

    if (!k->alive || !k->stopped)
        return;
    sim_trace (s, "world", "keeper of %llu continues", LLU (k->under.at[0]));
    k->stopped = false;
    sim_release_held (s, ACTOR_KEEPER, (size_t) keeper, 0);
    keeper_wake (s, keeper, s->now);
}

int sim_keeper_of (const struct sim *s, int client)
{
    return s->clients[client].keeper;
}

/* ---- commands ---- */

static void leave_tree (struct sim *s, const struct sim_client *c)
{
    struct sim_tree *t = &s->trees[c->tree];

    if (t->life != c->tree_life || c->refused || c->granted)
        return;
    t->parkers--;
    t->orphans++;
}

static void client_ends (struct sim *s, int client)
{
    struct sim_client *c = &s->clients[client];

    if (c->kind == CLIENT_PARK && c->alive)
        leave_tree (s, c);
    c->alive = false;
    shim_lose_client (s, client);
    if (c->keeper >= 0 && s->keepers[c->keeper].alive &&
        s->keepers[c->keeper].client == client && s->keepers[c->keeper].run_up)
        keeper_loses_run (s, c->keeper);
}

static void run_ends (struct sim *s, int client, const char *why)
{
    sim_trace (s, client_label (s, client), "ends: %s", why);
    s->clients[client].keeper = -1;
    client_ends (s, client);
}

static void confirm (struct sim *s, int client)
{
    struct msg_ok ok;

    message_init_fields (&ok, VERB_OK);
    copy_text (ok.re, sizeof ok.re, "GRANT");
    shim_hear_client (s, client, VERB_OK, &ok);
}

static void print_tokens (const struct tokens *t, char *text, size_t size)
{
    size_t at = 0;

    text[0] = '\0';
    for (unsigned i = 0; i < t->count && at < size; i++) {
        unsigned run = 0;

        while (i + run + 1 < t->count &&
               t->at[i + run + 1] == t->at[i] + run + 1)
            run++;
        at += (size_t) snprintf (text + at, size - at,
                                 run ? "%s%llu-%llu" : "%s%llu", i ? "," : "",
                                 LLU (t->at[i]), LLU (t->at[i] + run));
        i += run;
    }
}

static void take_grant (struct sim *s, int client, const struct msg_grant *g)
{
    struct sim_client *c = &s->clients[client];
    char text[128];

    if (c->granted || c->asleep)
        return;
    c->granted = true;
    for (uint32_t i = 0; i < g->tokens.count && i < SIM_TOKENS; i++)
        c->got.at[c->got.count++] = g->tokens.at[i];
    for (uint64_t i = 0; g->tokens.count == 0 && i < g->count; i++)
        c->got.at[c->got.count++] = g->first + i;
    copy_text (c->cookie, sizeof c->cookie, g->cookie);
    print_tokens (&c->got, text, sizeof text);
    sim_trace (s, client_label (s, client), "granted %u of %u: %s",
               c->got.count, (unsigned) g->asked, text);
    invariants_served (s, client);
    confirm (s, client);
    if (c->kind == CLIENT_RUN)
        start_keeper (s, client);
    else
        client_ends (s, client);
}

/* ---- park ---- */

enum { PATIENCE_MS = 10000 }; // until it runs its command without an answer

static void asks_back (struct sim *s, struct event *e)
{
    const struct sim_client *c = &s->clients[e->index];
    struct msg_request m;

    message_init_fields (&m, VERB_REQUEST);
    copy_text (m.project, sizeof m.project, s->shims[c->shim].project);
    m.seq = 2;
    m.count = c->count;
    m.parked = c->got.at[0];
    sim_trace (s, client_label (s, (int) e->index), "wants %llu back",
               LLU (m.parked));
    shim_hear_client (s, (int) e->index, VERB_REQUEST, &m);
}

static void runs_inside (struct sim *s, int client)
{
    struct sim_client *c = &s->clients[client];

    if (c->begun)
        return;
    c->begun = true;
    sim_later (s, s->now + c->lasts, ACTOR_CLIENT, (size_t) client, c->life,
               asks_back, 0, 0, NULL);
}

static void loses_patience (struct sim *s, struct event *e)
{
    runs_inside (s, (int) e->index);
}

static void park_refused (struct sim *s, int client)
{
    struct sim_client *c = &s->clients[client];
    struct sim_tree *t = &s->trees[c->tree];

    if (!c->refused && t->life == c->tree_life)
        t->parkers--;
    c->refused = true;
    if (!c->begun) // it need not be told of
        client_ends (s, client);
}

/* It has been given its slots again. */
static void is_back (struct sim *s, int client, const struct msg_grant *g)
{
    struct sim_client *c = &s->clients[client];
    struct sim_tree *t = &s->trees[c->tree];

    sim_trace (s, client_label (s, client), "back: %llu", LLU (g->first));
    if (!c->refused && t->life == c->tree_life)
        t->parkers--;
    c->granted = true;
    client_ends (s, client);
}

static void parkers_end (struct sim *s, int tree)
{
    for (int i = 0; i < SIM_CLIENTS; i++) {
        const struct sim_client *c = &s->clients[i];

        if (c->alive && c->kind == CLIENT_PARK && c->tree == tree &&
            c->tree_life == s->trees[tree].life)
            client_ends (s, i);
    }
}

static bool is_refusal (const struct msg_error *error)
{
    return strcmp (error->re, verb_name (VERB_PARK)) == 0;
}

static void park_hears (struct sim *s, int client, const struct letter *letter)
{
    const char *label = client_label (s, client);
    const void *fields = letter->fields;
    const struct msg_error *error = fields;

    switch (letter->verb) {
    case VERB_OK:
        sim_trace (s, label, "parked");
        runs_inside (s, client);
        break;
    case VERB_GRANT: is_back (s, client, fields); break;
    case VERB_ERROR:
        sim_trace (s, label, "error %s of %s", error->error, error->re);
        if (is_refusal (error))
            park_refused (s, client);
        else
            client_ends (s, client);
        break;
    default: break;
    }
}

static void say_released (struct sim *s, int client,
                          const struct msg_released *r)
{
    sim_trace (s, client_label (s, client),
               "released %u busy=%u expired=%u held=%u", r->tokens.count,
               r->busy.count, r->expired.count, (unsigned) r->held);
    client_ends (s, client);
}

static void client_gets (struct sim *s, struct event *e)
{
    int client = (int) e->index;
    const char *label = client_label (s, client);
    const struct letter *letter = e->data;
    const void *fields = letter->fields;
    const struct msg_queued *queued = fields;
    const struct msg_error *error = fields;

    if (s->clients[client].kind == CLIENT_PARK) {
        park_hears (s, client, letter);
        return;
    }
    switch (letter->verb) {
    case VERB_QUEUED:
        sim_trace (s, label, "waits: %u agents ahead position=%u reason=%s",
                   (unsigned) queued->slots_ahead, (unsigned) queued->position,
                   queued->reason);
        break;
    case VERB_GRANT: take_grant (s, client, fields); break;
    case VERB_RELEASED: say_released (s, client, fields); break;
    case VERB_ERROR:
        sim_trace (s, label, "error %s", error->error);
        if (strstr (error->detail, "supervisor is gone") &&
            s->supervisors[s->clients[client].supervisor].alive)
            sim_violate (s, "I8: %s is ended for another's end", label);
        client_ends (s, client);
        break;
    default:
        sim_trace (s, label, "%s", verb_name (letter->verb));
        client_ends (s, client);
        break;
    }
}

void client_hear (struct sim *s, int client, enum verb verb, const void *fields)
{
    struct sim_client *c = &s->clients[client];

    sim_later (s, sim_arrival (s, s->local, &c->down), ACTOR_CLIENT,
               (size_t) client, c->life, client_gets, 0, 0,
               letter_of (verb, fields));
}

/* A `run` whose agent lives waits for its keeper, which ends it. */
static void client_sees_end (struct sim *s, struct event *e)
{
    int client = (int) e->index;

    if (s->clients[client].keeper >= 0)
        return;
    sim_trace (s, client_label (s, client), "loses its shim");
    client_ends (s, client);
}

void client_lose_shim (struct sim *s, int client)
{
    struct sim_client *c = &s->clients[client];

    c->connected = false;
    sim_later (s, sim_arrival (s, s->local, &c->down), ACTOR_CLIENT,
               (size_t) client, c->life, client_sees_end, 0, 0, NULL);
}

static int start_client (struct sim *s, enum client_kind kind, int shim,
                         int supervisor)
{
    bool here = host_runs (s, s->shims[shim].host); // nobody types elsewhere
    struct sim_client *c;

    sim_start_shim (s, shim);
    while (s->clients[s->next_client % SIM_CLIENTS].alive)
        s->next_client++;
    c = &s->clients[s->next_client++ % SIM_CLIENTS];
    *c = (struct sim_client){.alive = here,
                             .life = c->life + 1,
                             .kind = kind,
                             .shim = shim,
                             .shim_life = s->shims[shim].life,
                             .connected = here && s->shims[shim].alive,
                             .self = sim_process (s, s->shims[shim].host),
                             .supervisor = supervisor,
                             .keeper = -1};
    return (int) (c - s->clients);
}

/* What a REQUEST is for. */
enum use { USE_RESERVE, USE_RUN, USE_BOUND, USE_NOW };

static int request (struct sim *s, int shim, int supervisor, unsigned count,
                    unsigned min, enum use use)
{
    bool run = use == USE_RUN;
    int client =
        start_client (s, run ? CLIENT_RUN : CLIENT_REQUEST, shim, supervisor);
    struct who who = s->supervisors[supervisor].self;
    struct msg_request m;

    message_init_fields (&m, VERB_REQUEST);
    copy_text (m.project, sizeof m.project, s->shims[shim].project);
    m.seq = 1;
    m.count = count;
    m.min = min;
    m.supervisor = (uint64_t) who.pid;
    m.start = (uint64_t) who.start;
    m.run = run;
    m.bound = use == USE_BOUND;
    m.nowait = use == USE_NOW;
    s->clients[client].count = count;
    s->clients[client].min = min ? min : count;
    sim_trace (s, client_label (s, client), "asks %s for %u%s%s",
               shim_label (s, shim), count, min ? " or less" : "",
               m.bound ? " bound" : "");
    shim_hear_client (s, client, VERB_REQUEST, &m);
    return client;
}

int sim_request (struct sim *s, int shim, int supervisor, unsigned count,
                 unsigned min)
{
    return request (s, shim, supervisor, count, min, USE_RESERVE);
}

int sim_request_now (struct sim *s, int shim, int supervisor, unsigned count,
                     unsigned min)
{
    return request (s, shim, supervisor, count, min, USE_NOW);
}

int sim_request_bound (struct sim *s, int shim, int supervisor, unsigned count)
{
    struct sim_supervisor *sup = &s->supervisors[supervisor];

    if (!sup->bound)
        sup->bound_since = s->now;
    sup->bound = true;
    return request (s, shim, supervisor, count, 0, USE_BOUND);
}

int sim_request_asleep (struct sim *s, int shim, int supervisor, unsigned count)
{
    int client = request (s, shim, supervisor, count, 0, USE_RESERVE);

    s->clients[client].asleep = true;
    return client;
}

int sim_run (struct sim *s, int shim, int supervisor, struct work work)
{
    int client = request (s, shim, supervisor, work.count, work.min, USE_RUN);
    struct sim_client *c = &s->clients[client];

    c->lasts = work.lasts;
    c->rest = work.rest;
    c->term = work.term;
    c->kill = work.kill;
    return client;
}

int sim_release (struct sim *s, int shim, int supervisor, unsigned count)
{
    int client = start_client (s, CLIENT_RELEASE, shim, supervisor);
    struct msg_release m;

    message_init_fields (&m, VERB_RELEASE);
    m.count = count;
    m.supervisor = (uint64_t) s->supervisors[supervisor].self.pid;
    s->shims[shim].doubt = s->now;
    sim_trace (s, client_label (s, client), "asks %s to release %u",
               shim_label (s, shim), count);
    shim_hear_client (s, client, VERB_RELEASE, &m);
    return client;
}

int sim_cancel (struct sim *s, int shim, int supervisor)
{
    int client = start_client (s, CLIENT_CANCEL, shim, supervisor);
    struct msg_cancel m;

    message_init_fields (&m, VERB_CANCEL);
    m.supervisor = (uint64_t) s->supervisors[supervisor].self.pid;
    s->shims[shim].doubt = s->now;
    sim_trace (s, client_label (s, client), "asks %s to cancel",
               shim_label (s, shim));
    shim_hear_client (s, client, VERB_CANCEL, &m);
    return client;
}

int sim_park (struct sim *s, int tree, int64_t lasts)
{
    struct sim_tree *t = &s->trees[tree];
    const struct sim_keeper *k = &s->keepers[t->keeper];
    int client = start_client (s, CLIENT_PARK, t->shim, 0);
    struct sim_client *c = &s->clients[client];
    struct msg_park m;

    message_init_fields (&m, VERB_PARK);
    m.seq = 1;
    u64s_add (&m.tokens, k->named);
    c->tree = tree;
    c->tree_life = t->life;
    c->lasts = lasts;
    c->count = t->under.count;
    c->got.at[c->got.count++] = k->named;
    t->parkers += c->alive;
    sim_trace (s, client_label (s, client), "parks %llu", LLU (k->named));
    shim_hear_client (s, client, VERB_PARK, &m);
    sim_later (s, s->now + PATIENCE_MS, ACTOR_CLIENT, (size_t) client, c->life,
               loses_patience, 0, 0, NULL);
    return client;
}

void sim_kill_client (struct sim *s, int client)
{
    if (!s->clients[client].alive ||
        !host_runs (s, s->shims[s->clients[client].shim].host))
        return;
    sim_trace (s, "world", "%s is killed", client_label (s, client));
    s->shims[s->clients[client].shim].doubt = s->now;
    client_ends (s, client);
}

/* ---- supervisors, hosts ---- */

/* An entry that was never used, else that of whoever is dead the longest. */
int sim_supervisor (struct sim *s, int host)
{
    int at = -1;

    for (int i = 0; i < SIM_SUPERVISORS; i++) {
        const struct sim_supervisor *sup = &s->supervisors[i];

        if (!sup->alive && (at < 0 || sup->died < s->supervisors[at].died))
            at = i;
    }
    if (at < 0) {
        sim_violate (s, "too many supervisors for this world");
        return 0;
    }
    s->supervisors[at] = (struct sim_supervisor){
        .alive = true, .host = host, .self = sim_process (s, host)};
    return at;
}

void sim_end_supervisor (struct sim *s, int supervisor)
{
    struct sim_supervisor *sup = &s->supervisors[supervisor];

    if (!sup->alive || s->hosts[sup->host].asleep)
        return;
    sim_trace (s, "world", "supervisor %d ends", sup->self.pid);
    sup->alive = false;
    sup->died = s->now;
    shims_lose_supervisor (s, sup->self);
    bus_wake (s, s->now + 2);
}

/* Power off: everything vanishes at once, and nobody is told. */
void sim_crash_host (struct sim *s, int host)
{
    sim_trace (s, "world", "host %s dies", s->hosts[host].name);
    s->hosts[host].asleep = false;
    s->hosts[host].boot++;
    for (int i = 0; i < SIM_TREES; i++) {
        if (s->trees[i].alive && s->trees[i].host == host)
            s->trees[i].alive = false;
    }
    for (int i = 0; i < SIM_KEEPERS; i++) {
        if (s->shims[s->keepers[i].shim].host == host)
            s->keepers[i].alive = s->keepers[i].shim_up = false;
    }
    for (int i = 0; i < SIM_CLIENTS; i++) {
        if (s->shims[s->clients[i].shim].host == host)
            s->clients[i].alive = s->clients[i].connected = false;
    }
    for (int i = 0; i < SIM_SUPERVISORS; i++) {
        if (s->supervisors[i].alive && s->supervisors[i].host == host) {
            s->supervisors[i].alive = false;
            s->supervisors[i].died = s->now;
        }
    }
    for (int i = 0; i < s->shim_count; i++) {
        if (s->shims[i].host == host && s->shims[i].alive)
            sim_crash_shim (s, i);
    }
}
