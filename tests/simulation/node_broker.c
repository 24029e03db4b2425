/* SPDX-License-Identifier: MPL-2.0 */
#include "simulation/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "simulation/invariants.h"

enum {
    WATCH_EVERY_MS = 100, // leases without pidfds are looked at
    UNSEEN_MS = 20,       // what waits is not seen at once (R3)
    STALL_MS = 1000,      // a gap below it is none (R3)
    SPIN = 1000           // turns at one instant: somebody wakes for nothing
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

static void journal (struct sim *s)
{
    for (size_t i = 0; i < outbox_lines (s->broker.out); i++) {
        enum journal_level level;
        const char *line = outbox_line (s->broker.out, i, &level);

        sim_trace (s, level == JOURNAL_ALARM ? "broker!" : "broker", "%s",
                   line);
    }
}

static void die (struct sim *s)
{
    struct sim_broker *b = &s->broker;

    sim_trace (s, "world", "broker crashes");
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
    if (decided && b->crash_next == CRASH_AFTER_COMMIT) {
        die (s);
        return false;
    }
    invariants_committed (s, b->out);
    send_all (s);
    outbox_clear (b->out);
    invariants_round (s);
    return true;
}

/* ---- a turn ---- */

static void look_at_sessions (struct sim *s, int64_t now)
{
    struct watch_session seen[SIM_SHIMS * 2];
    size_t count = broker_watch_sessions (s->broker.core, seen, SIM_SHIMS * 2);

    for (size_t i = 0; i < count; i++) {
        struct who who = {seen[i].shim.pid, seen[i].shim.start};

        if (!process_lives (s, who))
            broker_observe_gone (s->broker.core, seen[i].session, now,
                                 s->broker.out);
    }
}

static void look_at_lease (struct sim *s, const struct watch_lease *w,
                           int64_t now)
{
    char cookie[96];
    struct who supervisor = {w->supervisor.pid, w->supervisor.start};

    snprintf (cookie, sizeof cookie, "%s:%llu", s->disk.meta.broker,
              (unsigned long long) w->first);
    if (tree_lives (s, 0, cookie)) {
        if (!tree_kept (s, 0, cookie))
            trees_kill (s, 0, cookie);
        return;
    }
    if (w->word && process_lives (s, supervisor))
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

static void read_mail (struct sim *s, int64_t now)
{
    struct sim_broker *b = &s->broker;

    for (size_t i = 0; i < b->inbox_count; i++) {
        invariants_heard (s, b->inbox[i]);
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
    int64_t due = broker_next_deadline (b->core, now) - now + s->now;

    bus_wake (s, due < s->now ? s->now : due);
    if (broker_watch_leases (b->core, &one, 1) > 0)
        bus_wake (s, b->looked + WATCH_EVERY_MS > s->now
                         ? b->looked + WATCH_EVERY_MS
                         : s->now + 1);
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
    broker_turn (b->core, true, now, b->out);
    read_mail (s, now);
    look_at_sessions (s, now);
    look_at_leases (s, now);
    ask_status (s, now);
    broker_round (b->core, now, b->out);
    if (carry_out (s))
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

void bus_post (struct sim *s, const struct peer *from, enum verb verb,
               const void *fields, int64_t at)
{
    struct sim_broker *b = &s->broker;
    size_t size = message_size (verb);
    struct mail *mail;

    if (!b->alive)
        return;
    mail = sim_alloc (sizeof *mail + size);
    mail->from = *from;
    mail->letter.verb = verb;
    memcpy (mail->letter.fields, fields, size);
    sim_later (s, at, ACTOR_BROKER, 0, b->life, mail_comes, 0, 0, mail);
}

/* ---- its life ---- */

void sim_start_broker (struct sim *s)
{
    struct sim_broker *b = &s->broker;
    int64_t now = host_clock (s, 0);

    if (b->alive)
        return;
    b->alive = true;
    b->stopped = false;
    b->started = s->now;
    b->missed = 0;
    b->looked = s->now - WATCH_EVERY_MS;
    s->disk.meta.epoch++;
    sim_trace (s, "world", "broker starts epoch=%llu",
               (unsigned long long) s->disk.meta.epoch);
    invariants_start (s);
    b->core =
        broker_create (&s->settings, &s->identity, &s->disk.meta, false, now);
    disk_restore (&s->disk, b->core);
    broker_start (b->core, now, b->out);
    if (!carry_out (s))
        return;
    shims_reconnect (s);
    bus_wake (s, s->now);
}

void sim_crash_broker (struct sim *s, enum crash when)
{
    if (!s->broker.alive)
        return;
    s->broker.crash_next = when;
    if (when == CRASH_NONE)
        die (s);
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
    if (s->now - b->last_turn > STALL_MS)
        b->missed += s->now - b->last_turn;
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

void sim_kill (struct sim *s, const char *project)
{
    struct msg_kill m;

    message_init_fields (&m, VERB_KILL);
    m.id = (chance_next (&s->chance) >> 1) | 1;
    copy_text (m.project, sizeof m.project, project);
    copy_text (m.reason, sizeof m.reason, "asked");
    sim_trace (s, "admin", "kill %s", project);
    ask (s, VERB_KILL, &m);
}
