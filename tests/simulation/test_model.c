/* SPDX-License-Identifier: MPL-2.0 */
/* Any operations in any order, and after each round the model's word for it:
 * SEEDS (how many), FROM (the first) and OPERATIONS (of each) in the
 * environment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/state.h"
#include "simulation/events.h"
#include "simulation/model.h"

enum { SHIMS = 12, MOST_HOSTS = 3, PROJECTS = 4, STALL_MS = 1000 };

struct play {
    uint64_t seed;
    struct chance chance;
    struct settings settings;
    struct broker *b;
    struct outbox *out;
    struct model *model;
    int64_t now;
    int hosts;
    uint64_t session[SHIMS], beat, seq[SHIMS];
    uint64_t sessions, grants;
    struct msg msg;
};

static int64_t in (struct play *p, int64_t low, int64_t high)
{
    return chance_in (&p->chance, low, high);
}

static int64_t number (const char *name, int64_t otherwise)
{
    const char *text = getenv (name);

    return text && *text ? strtoll (text, NULL, 10) : otherwise;
}

/* ---- what can be said ---- */

static void say (struct play *p, int shim, enum verb verb)
{
    struct peer from = {.role = ROLE_ADMIN, .uid = 1000};

    from.path = (struct path){.size = 2, .id = {'S', (uint8_t) shim}};
    p->msg.verb = verb;
    broker_step (p->b, &from, &p->msg, ++p->sessions, p->now, p->out);
}

static struct msg *fresh (struct play *p, enum verb verb)
{
    message_init_fields (&p->msg.hello, verb);
    return &p->msg;
}

/* With three hosts each project has a shim on each of them; each HELLO is that
 * of a new shim, whose predecessor is dead. */
static void hello (struct play *p, int shim)
{
    struct msg_hello *m = &fresh (p, VERB_HELLO)->hello;

    m->nonce = (uint64_t) in (p, 1, INT64_MAX / 2);
    snprintf (m->project, sizeof m->project, "p%d", shim % PROJECTS);
    snprintf (m->host, sizeof m->host, "vm%d", shim % p->hosts);
    snprintf (m->machine, sizeof m->machine, "machine%d", shim % p->hosts);
    snprintf (m->boot, sizeof m->boot, "boot%d", shim % p->hosts);
    m->pid = (uint64_t) in (p, 1, 100000);
    m->successor = true;
    say (p, shim, VERB_HELLO);
    p->session[shim] = p->sessions;
    p->seq[shim] = 0;
}

static void request (struct play *p, int shim)
{
    struct msg_request *m = &fresh (p, VERB_REQUEST)->request;

    m->session = p->session[shim];
    m->seq = ++p->seq[shim];
    m->count = (uint64_t) in (p, 1, in (p, 0, 3) ? 4 : 20);
    m->min = in (p, 0, 1) ? (uint64_t) in (p, 0, (int64_t) m->count) : 0;
    m->priority = in (p, 0, 3) ? 0 : (uint64_t) in (p, 1, 10);
    m->nowait = in (p, 0, 7) == 0;
    say (p, shim, VERB_REQUEST);
}

static void cancel (struct play *p, int shim)
{
    struct msg_cancel *m = &fresh (p, VERB_CANCEL)->cancel;

    m->session = p->session[shim];
    m->all = in (p, 0, 3) == 0;
    m->seq = (uint64_t) in (p, 1, (int64_t) p->seq[shim] + 1);
    say (p, shim, VERB_CANCEL);
}

static void release (struct play *p, int shim)
{
    struct msg_release *m = &fresh (p, VERB_RELEASE)->release;
    struct lease **leases;
    size_t count = leases_of (&p->b->leases, p->session[shim], &leases);

    m->session = p->session[shim];
    for (size_t i = 0; i < count; i++) {
        if (in (p, 0, 1))
            u64s_add (&m->tokens, leases[i]->r.token);
    }
    say (p, shim, VERB_RELEASE);
}

/* What a predecessor left, proven by its successor. */
static void reap (struct play *p, int shim)
{
    struct msg_reaped *m = &fresh (p, VERB_REAPED)->reaped;
    const struct session *s = sessions_find (&p->b->sessions, p->session[shim]);

    m->session = p->session[shim];
    for (size_t i = 0; s && i < leases_count (&p->b->leases); i++) {
        const struct lease *l = leases_at (&p->b->leases, i);

        if (state_succeeds (s, l) || l->r.session == s->r.id)
            u64s_add (&m->tokens, l->r.token);
    }
    say (p, shim, VERB_REAPED);
}

static void beat (struct play *p, int shim)
{
    struct msg_beat *m = &fresh (p, VERB_BEAT)->beat;
    struct lease **leases;
    size_t count = leases_of (&p->b->leases, p->session[shim], &leases);

    m->session = p->session[shim];
    m->seq = ++p->beat;
    for (size_t i = 0; i < count; i++)
        u64s_add (&m->holds, leases[i]->r.token);
    say (p, shim, VERB_BEAT);
}

static void bye (struct play *p, int shim)
{
    fresh (p, VERB_BYE)->bye.session = p->session[shim];
    say (p, shim, VERB_BYE);
}

static void kill_project (struct play *p)
{
    struct msg_kill *m = &fresh (p, VERB_KILL)->kill;

    m->id = (uint64_t) in (p, 1, INT64_MAX / 2);
    snprintf (m->project, sizeof m->project, "p%d",
              (int) in (p, 0, PROJECTS - 1));
    m->keep_queue = in (p, 0, 1);
    copy_text (m->reason, sizeof m->reason, "asked");
    say (p, 0, VERB_KILL);
}

static void set_max (struct play *p)
{
    fresh (p, VERB_SET_MAX)->set_max.max_slots = (uint64_t) in (p, 1, 24);
    say (p, 0, VERB_SET_MAX);
}

/* ---- what people say of the schedule ---- */

static void say_schedule (struct play *p, enum verb verb)
{
    model_reordered (p->model);
    say (p, 0, verb);
}

static void name_project (struct play *p, char *name, size_t size)
{
    snprintf (name, size, "p%d", (int) in (p, 0, PROJECTS - 1));
}

static void set_policy (struct play *p)
{
    struct msg_set_policy *m = &fresh (p, VERB_SET_POLICY)->set_policy;

    copy_text (
        m->policy, sizeof m->policy,
        policy_name ((enum policy) in (p, POLICY_FIFO, POLICY_PRIORITY)));
    say_schedule (p, VERB_SET_POLICY);
}

static void set_priority (struct play *p)
{
    struct msg_set_priority *m = &fresh (p, VERB_SET_PRIORITY)->set_priority;

    name_project (p, m->project, sizeof m->project);
    m->priority = (uint64_t) in (p, 0, 10);
    say_schedule (p, VERB_SET_PRIORITY);
}

static void pause_project (struct play *p)
{
    struct msg_pause *m = &fresh (p, VERB_PAUSE)->pause;

    name_project (p, m->project, sizeof m->project);
    copy_text (m->reason, sizeof m->reason, "asked");
    say_schedule (p, VERB_PAUSE);
}

static void resume_project (struct play *p)
{
    struct msg_resume *m = &fresh (p, VERB_RESUME)->resume;

    name_project (p, m->project, sizeof m->project);
    say_schedule (p, VERB_RESUME);
}

/* A guarantee is at most what its project may hold, and there are slots for
 * all of them. */
static void draw_projects (struct play *p)
{
    struct settings *s = &p->settings;
    unsigned left = s->max_slots;

    s->project_count = 0;
    for (int i = 0; i < PROJECTS; i++) {
        struct project_settings *project;
        char name[16];

        snprintf (name, sizeof name, "p%d", i);
        if (in (p, 0, 3) == 0)
            continue;
        project = settings_add_project (s, name);
        project->priority = (unsigned) in (p, 0, in (p, 0, 1) ? 10 : 1);
        project->max =
            in (p, 0, 2) ? 0 : (unsigned) in (p, 1, (int64_t) s->max_slots);
        if (in (p, 0, 2) == 0)
            project->guarantee = (unsigned) in (p, 0, left);
        if (project->guarantee >
            (project->max ? project->max : s->max_per_project))
            project->guarantee = 0;
        left -= project->guarantee;
    }
}

static void draw_schedule (struct play *p)
{
    struct settings *s = &p->settings;

    s->policy = (enum policy) in (p, POLICY_FIFO, POLICY_PRIORITY);
    s->fair_mode = in (p, 0, 1) ? FAIR_MAXMIN : FAIR_PROPORTIONAL;
    s->aging_ms = in (p, 0, 3) ? in (p, 1, 60000) : 0;
    draw_projects (p);
}

static void reload (struct play *p)
{
    p->settings.max_slots = (unsigned) in (p, 1, 24);
    p->settings.max_per_project = (unsigned) in (p, 1, 24);
    draw_schedule (p);
    broker_reload (p->b, &p->settings, p->now, p->out);
    model_reordered (p->model);
}

static void operate (struct play *p)
{
    int shim = (int) in (p, 0, SHIMS - 1);

    switch (in (p, 0, 199)) {
    case 0 ... 59: request (p, shim); break;
    case 60 ... 119: release (p, shim); break;
    case 120 ... 139: beat (p, shim); break;
    case 140 ... 142: reap (p, shim); break;
    case 143 ... 149: cancel (p, shim); break;
    case 150 ... 153: set_max (p); break;
    case 154: kill_project (p); break;
    case 155: bye (p, shim); break;
    case 156 ... 157: hello (p, shim); break;
    case 158 ... 160:
        broker_observe_disk (p->b, in (p, 0, 2) == 0, p->now, p->out);
        break;
    case 161: set_policy (p); break;
    case 162: set_priority (p); break;
    case 163:
        if (in (p, 0, 1))
            pause_project (p);
        else
            resume_project (p);
        break;
    case 164 ... 165: resume_project (p); break;
    case 166:
        if (in (p, 0, 3) == 0)
            reload (p);
        break;
    case 167 ... 169: p->now += in (p, 0, 50); break;
    default: p->now += in (p, 0, STALL_MS); break;
    }
}

/* ---- rounds ---- */

static void play_round (struct play *p)
{
    char why[256];
    bool good;
    size_t before;

    model_before (p->model, p->b, p->now);
    before = leases_count (&p->b->leases);
    broker_round (p->b, p->now, p->out);
    p->grants += leases_count (&p->b->leases) - before;
    good = model_after (p->model, p->b, why, sizeof why);
    if (!good)
        print_message ("# seed %llu: %s\n", (unsigned long long) p->seed, why);
    assert_true (good);
    outbox_clear (p->out);
}

static void draw_settings (struct play *p)
{
    p->settings.max_slots = (unsigned) in (p, 1, 24);
    p->settings.max_per_project_auto = false;
    p->settings.max_per_project = (unsigned) in (p, 1, 24);
    p->settings.timing.gather = in (p, 0, 3) ? 200 : in (p, 0, 3000);
    draw_schedule (p);
    p->settings.grant_burst =
        in (p, 0, 1) ? MAX_SLOTS : (unsigned) in (p, 1, 8);
    p->settings.host_count = 1;
    copy_text (p->settings.hosts[0].host, sizeof p->settings.hosts[0].host,
               "vm1");
    p->settings.hosts[0].max_slots = (unsigned) in (p, 1, 12);
}

static void start (struct play *p)
{
    const struct identity self = {"vm0", "machine0", "boot0", "1"};
    struct meta_record meta = {.broker = "0", .epoch = 1, .token_mark = 1};

    p->out = outbox_create ();
    p->model = model_create ();
    p->now = 1000;
    p->b = broker_create (&p->settings, &self, &meta, false, p->now);
    broker_start (p->b, p->now, p->out);
    for (int i = 0; i < SHIMS; i++)
        hello (p, i);
}

static void begin (struct play *p, uint64_t seed)
{
    *p = (struct play){.seed = seed};
    chance_init (&p->chance, seed);
    p->hosts = (int) in (p, 1, MOST_HOSTS);
    settings_default (&p->settings, 8, UINT64_C (16) << 30);
    draw_settings (p);
    start (p);
}

static void end (struct play *p)
{
    broker_destroy (p->b);
    outbox_destroy (p->out);
    model_destroy (p->model);
}

static void play (struct play *p, uint64_t seed, int64_t operations)
{
    begin (p, seed);
    for (int64_t i = 0; i < operations; i++) {
        operate (p);
        if (in (p, 0, 3)) {
            broker_turn (p->b, true, p->now, p->out);
            play_round (p);
        }
    }
    end (p);
}

static void every_round_grants_what_the_model_says (void **state)
{
    int64_t from = number ("FROM", 1), seeds = number ("SEEDS", 10);
    int64_t operations = number ("OPERATIONS", 10000);
    static struct play p;
    uint64_t grants = 0;
    (void) state;

    for (int64_t seed = from; seed < from + seeds; seed++) {
        play (&p, (uint64_t) seed, operations);
        grants += p.grants;
    }
    assert_true (grants > (uint64_t) (seeds * operations / 20));
    print_message ("# %llu slots granted; done=%lld passed=%lld\n",
                   (unsigned long long) grants,
                   (long long) (seeds * operations),
                   (long long) (seeds * operations));
}

/* ---- what chance meets seldom ---- */

/* Three hosts; a project has the shims 0, 4 and 8, one on each of them. */
static void begin_fair (struct play *p, unsigned max_per_project)
{
    *p = (struct play){.hosts = 3};
    chance_init (&p->chance, 1);
    settings_default (&p->settings, 8, UINT64_C (16) << 30);
    p->settings.policy = POLICY_FAIR;
    p->settings.max_slots = 24;
    p->settings.max_per_project_auto = false;
    p->settings.max_per_project = max_per_project;
    p->settings.grant_burst = MAX_SLOTS;
    start (p);
}

static void sleep_until (struct play *p, int64_t at)
{
    p->now = at;
    broker_turn (p->b, true, p->now, p->out);
    play_round (p);
}

static void ask (struct play *p, int shim, unsigned count, bool nowait)
{
    struct msg_request *m = &fresh (p, VERB_REQUEST)->request;

    broker_turn (p->b, true, p->now, p->out);
    m->session = p->session[shim];
    m->seq = ++p->seq[shim];
    m->count = m->min = count;
    m->nowait = nowait;
    say (p, shim, VERB_REQUEST);
    play_round (p);
}

/* The reason of the one request of its session that waits; REASON_NONE: none
 * does. */
static enum reason reason_of (const struct play *p, int shim)
{
    for (size_t i = 0; i < p->b->waiters.count; i++) {
        const struct waiter *w = p->b->waiters.at[i];

        if (w->r.session == p->session[shim])
            return dispatch_reason (&p->b->dispatch, &w->t, p->now);
    }
    return REASON_NONE;
}

/* The oldest that a cap keeps waiting holds back its project's later ones on
 * all hosts. One that would not wait is it no more once it was turned away: in
 * the same walk the next oldest is. */
static void next_oldest_is_first_when_the_oldest_is_turned_away (void **state)
{
    static struct play p;
    (void) state;

    begin_fair (&p, 6);
    ask (&p, 0, 5, false);
    sleep_until (&p, 1200);
    assert_int_equal (leases_count (&p.b->leases), 5);
    p.now = 2000;
    ask (&p, 4, 3, true); // until 2200
    p.now = 2075;
    ask (&p, 0, 4, false);
    p.now = 2077;
    ask (&p, 8, 1, false); // until 2277
    assert_int_equal (reason_of (&p, 4), REASON_CAP);
    sleep_until (&p, 2200);
    assert_int_equal (reason_of (&p, 4), REASON_NONE);
    assert_int_equal (reason_of (&p, 0), REASON_CAP);
    assert_int_equal (reason_of (&p, 8), REASON_CAP);
    end (&p);
}

/* L1: what it alone kept from others is theirs in the same round. */
static void
who_is_turned_away_keeps_nothing_from_those_on_other_hosts (void **state)
{
    static struct play p;
    (void) state;

    begin_fair (&p, 6);
    ask (&p, 0, 5, false);
    sleep_until (&p, 1200);
    p.now = 2000;
    ask (&p, 2, 1, false); // on the host of shim 8: until 2200
    p.now = 2050;
    ask (&p, 4, 3, true); // until 2250
    p.now = 2100;
    ask (&p, 8, 1, false);
    sleep_until (&p, 2200);
    assert_int_equal (reason_of (&p, 4), REASON_CAP);
    assert_int_equal (reason_of (&p, 8), REASON_CAP); // it is behind that one
    sleep_until (&p, 2250);
    assert_int_equal (reason_of (&p, 4), REASON_NONE);
    assert_int_equal (leases_count (&p.b->leases), 7);
    end (&p);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (next_oldest_is_first_when_the_oldest_is_turned_away),
        cmocka_unit_test (
            who_is_turned_away_keeps_nothing_from_those_on_other_hosts),
        cmocka_unit_test (every_round_grants_what_the_model_says),
    };

    return cmocka_run_group_tests (tests, NULL, NULL);
}
