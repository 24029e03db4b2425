/* SPDX-License-Identifier: MPL-2.0 */
#include "simulation/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/state.h"
#include "simulation/invariants.h"
#include "simulation/invariants_rules.h"
#include "simulation/model.h"
#include "simulation/invariants_hosts.h"

enum {
    WATCH_EVERY_MS = 100, // leases without pidfds are looked at
    UNSEEN_MS = 20,       // what waits is not seen at once (R3)
    SPIN = 20000          // turns at one instant: somebody wakes for nothing
};

static void turn (struct sim *s, struct event *e);

void bus_wake (struct sim *s, int64_t at)
{
    struct sim_broker *b = &s->broker;

    if (!b->alive || at >= b->timer)
        return;
    b->timer = at;
    sim_later (s, at, ACTOR_BROKER, 0, b->life, turn, ++b->turn, 0, NULL);
}

/* ---- carrying out what a batch decided ---- */

static void answer_people (struct sim *s, const struct outgoing *o)
{
    const struct msg_error *error = o->fields;
    const struct msg_set_max_ok *max = o->fields;
    const struct msg_kill_ok *kill = o->fields;
    const struct msg_policy_ok *policy = o->fields;
    const struct msg_priority_ok *priority = o->fields;
    const struct msg_relieve_ok *relieve = o->fields;

    if (o->verb == VERB_SET_MAX_OK)
        sim_trace (s, "admin", "set_max_ok %u -> %u effective=%u in_use=%u",
                   (unsigned) max->before, (unsigned) max->max_slots,
                   (unsigned) max->effective, (unsigned) max->in_use);
    else if (o->verb == VERB_KILL_OK)
        sim_trace (s, "admin",
                   "kill_ok agents=%u terminated=%u slots=%u released=%u "
                   "revoked=%u cancelled=%u%s",
                   (unsigned) kill->agents, (unsigned) kill->terminated,
                   (unsigned) kill->slots, (unsigned) kill->released,
                   (unsigned) kill->revoked, (unsigned) kill->cancelled,
                   kill->done ? " done" : "");
    else if (o->verb == VERB_POLICY_OK)
        sim_trace (s, "admin", "policy_ok %s -> %s", policy->before,
                   policy->policy);
    else if (o->verb == VERB_PRIORITY_OK)
        sim_trace (s, "admin", "priority_ok %s %u -> %u", priority->project,
                   (unsigned) priority->before, (unsigned) priority->priority);
    else if (o->verb == VERB_RELIEVE_OK)
        sim_trace (s, "admin", "relieve_ok %s %u -> %u token=%u", relieve->host,
                   (unsigned) relieve->before, (unsigned) relieve->effective,
                   (unsigned) relieve->token);
    else if (o->verb == VERB_ERROR)
        sim_trace (s, "admin", "error %s %s", error->error, error->detail);
}

static void send_all (struct sim *s)
{
    for (size_t i = 0; i < outbox_sent (s->broker.out); i++) {
        struct outgoing o = outbox_outgoing (s->broker.out, i);

        if (o.to.size > 0 && o.to.id[0] == 'A')
            answer_people (s, &o);
        else if (o.to.size > 0 && o.to.id[0] == 'V')
            invariants_status (s, o.fields);
        else
            shim_receive (s, &o.to, o.verb, o.fields);
    }
}

static void learned (struct sim *s)
{
    s->broker.learning = s->disk.learning = false;
    cache_flush (&s->cache, &s->disk);
}

static void journal (struct sim *s)
{
    for (size_t i = 0; i < outbox_lines (s->broker.out); i++) {
        enum journal_level level;
        const char *line = outbox_line (s->broker.out, i, &level);

        sim_trace (s, level == JOURNAL_ALARM ? "broker!" : "broker", "%s",
                   line);
        if (strncmp (line, "learned ", 8) == 0)
            learned (s);
    }
}

static void die (struct sim *s)
{
    struct sim_broker *b = &s->broker;

    sim_trace (s, "world", "broker crashes");
    rules_end (s);
    b->alive = false;
    b->stopped = false;
    b->life++;
    b->crash_next = CRASH_NONE;
    b->timer = INT64_MAX;
    broker_destroy (b->core);
    b->core = NULL;
    for (size_t i = 0; i < b->inbox_count; i++)
        free (b->inbox[i]);
    b->inbox_count = 0;
    outbox_clear (b->out);
}

/* False: it died on the way. */
static bool carry_out (struct sim *s)
{
    struct sim_broker *b = &s->broker;
    bool decided = outbox_changed (b->out) > 0;

    if (decided && b->crash_next == CRASH_BEFORE_COMMIT) {
        die (s);
        return false;
    }
    journal (s);
    invariants_batch (s, b->out); // and commits it
    cache_commit (&s->cache, b->out);
    if (decided && b->crash_next == CRASH_AFTER_COMMIT) {
        die (s);
        return false;
    }
    invariants_committed (s, b->out);
    send_all (s);
    outbox_clear (b->out);
    return true;
}

/* ---- a turn ---- */

static void look_at_sessions (struct sim *s, int64_t now)
{
    struct watch_session seen[SIM_SHIMS * 2];
    size_t count = broker_watch_sessions (s->broker.core, seen, SIM_SHIMS * 2);

    for (size_t i = 0; i < count; i++) {
        struct who who = {seen[i].shim.pid, seen[i].shim.start};

        if (!process_found (s, 0, who))
            broker_observe_gone (s->broker.core, seen[i].session, now,
                                 s->broker.out);
    }
}

static void look_at_lease (struct sim *s, const struct watch_lease *w,
                           int64_t now)
{
    struct mark mark = {.since = 0, .witness = true};
    struct who supervisor = {w->supervisor.pid, w->supervisor.start};
    struct who agent = {w->agent.pid, w->agent.start};

    snprintf (mark.cookie, sizeof mark.cookie, "%s:%llu", s->disk.meta.broker,
              (unsigned long long) w->first);
    copy_text (mark.cgroup, sizeof mark.cgroup, w->cgroup);
    if (tree_lives (s, 0, &mark)) {
        if (!tree_kept (s, 0, &mark))
            trees_kill (s, 0, &mark);
        return;
    }
    if (w->word && process_found (s, 0, supervisor))
        return;
    if (w->tree && process_found (s, 0, agent))
        return;
    broker_observe_proven (s->broker.core, w->token, now, s->broker.out);
}

static void look_at_leases (struct sim *s, int64_t now)
{
    struct sim_broker *b = &s->broker;
    static struct watch_lease seen[512];
    size_t count;

    if (s->now < b->looked + WATCH_EVERY_MS)
        return;
    count = broker_watch_leases (b->core, seen, 512);
    if (count == 0)
        return;
    b->looked = s->now;
    for (size_t i = 0; i < count; i++)
        look_at_lease (s, &seen[i], now);
}

static bool is_of_schedule (const struct letter *letter)
{
    const struct msg_request *request = (const void *) letter->fields;
    enum verb verb = letter->verb;

    return (verb == VERB_REQUEST && request->parked) ||
           verb == VERB_SET_POLICY || verb == VERB_SET_PRIORITY ||
           verb == VERB_PAUSE || verb == VERB_RESUME;
}

static void read_mail (struct sim *s, int64_t now)
{
    struct sim_broker *b = &s->broker;

    for (size_t i = 0; i < b->inbox_count; i++) {
        invariants_heard (s, b->inbox[i]);
        if (is_of_schedule (&b->inbox[i]->letter))
            model_reordered (b->model);
        broker_step (b->core, &b->inbox[i]->from,
                     letter_open (&b->inbox[i]->letter), ++b->random, now,
                     b->out);
        free (b->inbox[i]);
    }
    b->inbox_count = 0;
}

static void ask_status (struct sim *s, int64_t now)
{
    static struct msg ask;
    struct peer admin = {.role = ROLE_ADMIN, .uid = 1000, .pid = 998};

    if (!invariants_ask (s))
        return;
    admin.path = (struct path){.size = 1, .req = true, .id = {'V'}};
    ask.verb = VERB_STATUS;
    broker_step (s->broker.core, &admin, &ask, 1, now, s->broker.out);
}

/* A gap of more than this is a stall (R3). */
static int64_t stall (const struct sim *s)
{
    int64_t beat = s->settings.timing.beat;

    return beat < 250 ? 250 : beat > 1000 ? 1000 : beat;
}

static void count_missed (struct sim *s, int64_t now)
{
    struct sim_broker *b = &s->broker;

    if (now - b->turned > stall (s)) {
        b->missed += now - b->turned;
        b->gaps++;
    }
    b->turned = now;
}

static void count_spins (struct sim *s)
{
    struct sim_broker *b = &s->broker;

    b->same_time = b->last_turn == s->now ? b->same_time + 1 : 0;
    b->last_turn = s->now;
    if (b->same_time > SPIN)
        sim_violate (s, "the broker spins");
}

static void wake_when_due (struct sim *s)
{
    struct sim_broker *b = &s->broker;
    struct watch_lease one;
    int64_t now = host_clock (s, 0);
    int64_t due = host_time (s, 0, broker_next_deadline (b->core, now));

    bus_wake (s, due < s->now ? s->now : due);
    if (broker_watch_leases (b->core, &one, 1) > 0)
        bus_wake (s, b->looked + WATCH_EVERY_MS > s->now
                         ? b->looked + WATCH_EVERY_MS
                         : s->now + 1);
}

static void reload (struct sim *s, int64_t now)
{
    struct sim_broker *b = &s->broker;

    if (b->reload) {
        broker_reload (b->core, &s->settings, now, b->out);
        model_reordered (b->model);
    }
    b->reload = false;
}

static void look_at_host (struct sim *s, int64_t now)
{
    struct sim_broker *b = &s->broker;
    struct sample figures;

    if (!s->sampled || s->now < b->sampled + s->settings.timing.sample)
        return;
    b->sampled = s->now;
    figures = sim_figures (s, 0);
    figures.at = now;
    broker_observe_sample (b->core, &figures, s->now, now, b->out);
}

static bool waits (const struct broker *b)
{
    struct pool_view view;

    broker_view (b, &view);
    return view.waiting > 0;
}

static void play_round (struct sim *s, int64_t now)
{
    struct sim_broker *b = &s->broker;
    bool asked = s->modelled && waits (b->core); // else it grants nothing
    char why[256];

    if (asked)
        model_before (b->model, b->core, now);
    broker_round (b->core, now, b->out);
    if (asked && !model_after (b->model, b->core, why, sizeof why))
        sim_violate (s, "%s", why);
}

/* As the shell's loop does it. Right after it was stopped the socket looks
 * empty, though mail waits: continuing delivers it a moment later. */
static void turn (struct sim *s, struct event *e)
{
    struct sim_broker *b = &s->broker;
    int64_t now = host_clock (s, 0);

    if (e->a != b->turn)
        return;
    b->timer = INT64_MAX;
    count_spins (s);
    count_missed (s, now);
    broker_turn (b->core, true, now, b->out);
    reload (s, now);
    read_mail (s, now);
    look_at_sessions (s, now);
    look_at_leases (s, now);
    look_at_host (s, now);
    broker_observe_disk (b->core, s->full, now, b->out);
    ask_status (s, now);
    play_round (s, now);
    if (!carry_out (s))
        return;
    invariants_round (s);
    wake_when_due (s);
}

static void mail_comes (struct sim *s, struct event *e)
{
    struct sim_broker *b = &s->broker;

    if (b->inbox_count == b->inbox_most)
        b->inbox = sim_grow (b->inbox, &b->inbox_most, sizeof *b->inbox);
    b->inbox[b->inbox_count++] = e->data;
    e->data = NULL;
    bus_wake (s, s->now);
}

static struct mail *mail_of (const struct peer *from, enum verb verb,
                             const void *fields)
{
    size_t size = message_size (verb);
    struct mail *mail = malloc (sizeof *mail + size);

    if (!mail)
        abort ();
    mail->from = *from;
    mail->letter.verb = verb;
    message_copy (mail->letter.fields, fields, verb);
    return mail;
}

void bus_post (struct sim *s, const struct peer *from, enum verb verb,
               const void *fields, int64_t at)
{
    if (s->broker.alive)
        sim_later (s, at, ACTOR_BROKER, 0, s->broker.life, mail_comes, 0, 0,
                   mail_of (from, verb, fields));
}

static void late_mail_comes (struct sim *s, struct event *e)
{
    if (!s->broker.alive || s->settled)
        return;
    sim_later (s, s->now, ACTOR_BROKER, 0, s->broker.life, mail_comes, 0, 0,
               e->data);
    e->data = NULL;
}

void bus_post_late (struct sim *s, const struct peer *from, enum verb verb,
                    const void *fields, int64_t at)
{
    sim_later (s, at, ACTOR_WORLD, 0, 0, late_mail_comes, 0, 0,
               mail_of (from, verb, fields));
}

/* ---- its life ---- */

static void start_when_awake (struct sim *s, struct event *e)
{
    (void) e;
    sim_start_broker (s);
}

void sim_start_broker (struct sim *s)
{
    struct sim_broker *b = &s->broker;
    int64_t now = host_clock (s, 0);

    if (b->alive || s->hosts[0].off)
        return;
    if (s->hosts[0].asleep) {
        sim_later (s, s->now + 1000, ACTOR_WORLD, 0, 0, start_when_awake, 0, 0,
                   NULL);
        return;
    }
    b->alive = true;
    b->stopped = false;
    b->started = s->now;
    b->missed = b->gaps = 0;
    b->turned = now;
    b->looked = s->now - WATCH_EVERY_MS;
    s->disk.meta.epoch++;
    b->learning = s->disk.learning;
    b->reload = false;
    cache_flush (&s->cache, &s->disk);
    sim_trace (s, "world", "broker starts epoch=%llu",
               (unsigned long long) s->disk.meta.epoch);
    invariants_start (s);
    model_destroy (b->model);
    b->model = model_create ();
    b->core = broker_create (&s->settings, &s->identity, &s->disk.meta,
                             b->learning, now);
    if (!s->forecast)
        b->core->forecast_due = b->core->forecast_soon = INT64_MAX;
    disk_restore (&s->disk, b->core);
    broker_start (b->core, now, b->out);
    if (!carry_out (s))
        return;
    shims_reconnect (s);
    bus_wake (s, s->now);
}

void sim_crash_broker (struct sim *s, enum crash when)
{
    if (!s->broker.alive || s->hosts[0].asleep)
        return;
    s->broker.crash_next = when;
    if (when == CRASH_NONE)
        die (s);
}

void sim_cut_power (struct sim *s, bool tear)
{
    if (s->hosts[0].off)
        return;
    if (s->broker.alive)
        die (s);
    sim_crash_host (s, 0);
    cache_lose (&s->cache, &s->disk, &s->chance, tear);
    s->hosts[0].off = true;
}

/* Another boot, whose clock begins anew. */
void sim_power_back (struct sim *s)
{
    struct sim_host *h = &s->hosts[0];

    if (!h->off)
        return;
    h->off = false;
    h->slept = 0;
    for (int i = 0; i < s->shim_count; i++) // those on it are dead
        s->invariants.good[i] *= !s->hosts[s->shims[i].host].own;
    h->offset = chance_in (&s->chance, 1000, 100000) - s->now * h->rate / 1000;
    snprintf (s->identity.boot, sizeof s->identity.boot, "boot-own-%u",
              h->boot);
    sim_trace (s, "world", "host own is back");
}

void sim_lose_state (struct sim *s, bool marker)
{
    if (s->broker.alive)
        return;
    sim_trace (s, "world", "state is lost%s", marker ? "" : ", marker too");
    disk_lose (&s->disk, marker);
    cache_flush (&s->cache, &s->disk);
    invariants_lost (s, marker);
}

void sim_stop_broker (struct sim *s)
{
    if (!s->broker.alive || s->broker.stopped)
        return;
    sim_trace (s, "world", "broker stops");
    s->broker.stopped = true;
}

void sim_continue_broker (struct sim *s)
{
    struct sim_broker *b = &s->broker;

    if (!b->alive || !b->stopped)
        return;
    sim_trace (s, "world", "broker continues");
    b->stopped = false;
    b->timer = INT64_MAX;
    bus_wake (s, s->now);
    sim_release_held (s, ACTOR_BROKER, 0, UNSEEN_MS);
    for (int i = 0; i < s->shim_count; i++) { // nobody overtakes himself
        if (s->shims[i].up < s->now + UNSEEN_MS)
            s->shims[i].up = s->now + UNSEEN_MS;
    }
}

/* ---- people ---- */

static void ask (struct sim *s, enum verb verb, const void *fields)
{
    struct peer admin = {.role = ROLE_ADMIN, .uid = 1000, .pid = 999};

    admin.path = (struct path){.size = 1, .req = true, .id = {'A'}};
    bus_post (s, &admin, verb, fields, s->now + sim_delay (s, s->bus));
}

void sim_set_max (struct sim *s, unsigned max_slots)
{
    struct msg_set_max m;

    message_init_fields (&m, VERB_SET_MAX);
    m.max_slots = max_slots;
    sim_trace (s, "admin", "set_max %u", max_slots);
    ask (s, VERB_SET_MAX, &m);
}

void sim_set_policy (struct sim *s, enum policy policy)
{
    struct msg_set_policy m;

    message_init_fields (&m, VERB_SET_POLICY);
    copy_text (m.policy, sizeof m.policy, policy_name (policy));
    sim_trace (s, "admin", "set_policy %s", m.policy);
    ask (s, VERB_SET_POLICY, &m);
}

void sim_set_priority (struct sim *s, const char *project, unsigned priority)
{
    struct msg_set_priority m;

    message_init_fields (&m, VERB_SET_PRIORITY);
    copy_text (m.project, sizeof m.project, project);
    m.priority = priority;
    sim_trace (s, "admin", "set_priority %s %u", project, priority);
    ask (s, VERB_SET_PRIORITY, &m);
}

void sim_pause (struct sim *s, const char *project, bool paused)
{
    struct msg_pause m; // RESUME has the same fields
    enum verb verb = paused ? VERB_PAUSE : VERB_RESUME;

    message_init_fields (&m, VERB_PAUSE);
    copy_text (m.project, sizeof m.project, project);
    copy_text (m.reason, sizeof m.reason, "asked");
    sim_trace (s, "admin", "%s %s", paused ? "pause" : "resume", project);
    ask (s, verb, &m);
}

void sim_relieve (struct sim *s, int host, bool kill)
{
    struct msg_relieve m;

    message_init_fields (&m, VERB_RELIEVE);
    m.id = (chance_next (&s->chance) >> 1) | 1;
    copy_text (m.host, sizeof m.host, s->hosts[host].name);
    copy_text (m.reason, sizeof m.reason, "asked");
    m.kill = kill;
    sim_trace (s, "admin", "relieve %s%s", m.host, kill ? " and kill" : "");
    ask (s, VERB_RELIEVE, &m);
}

static void kill_project (struct sim *s, const char *project, bool supervisors)
{
    struct msg_kill m;

    message_init_fields (&m, VERB_KILL);
    m.id = (chance_next (&s->chance) >> 1) | 1;
    copy_text (m.project, sizeof m.project, project);
    copy_text (m.reason, sizeof m.reason, "asked");
    m.supervisor = supervisors;
    sim_trace (s, "admin", "kill %s%s", project,
               supervisors ? " and its supervisors" : "");
    hosts_killed (s, project, supervisors);
    ask (s, VERB_KILL, &m);
}

void sim_kill (struct sim *s, const char *project)
{
    kill_project (s, project, false);
}

void sim_kill_supervisors (struct sim *s, const char *project)
{
    kill_project (s, project, true);
}

void sim_force_release (struct sim *s, uint64_t token)
{
    struct msg_release m;

    message_init_fields (&m, VERB_RELEASE);
    m.tokens.at[m.tokens.count++] = token;
    m.force = true;
    sim_trace (s, "admin", "release %llu by force", (unsigned long long) token);
    ask (s, VERB_RELEASE, &m);
}

void sim_reload (struct sim *s)
{
    struct sim_broker *b = &s->broker;

    if (!b->alive)
        return; // it reads them when it starts
    sim_trace (s, "admin", "reload max_slots=%u cap=%u", s->settings.max_slots,
               s->settings.max_per_project);
    b->reload = true;
    bus_wake (s, s->now);
}
