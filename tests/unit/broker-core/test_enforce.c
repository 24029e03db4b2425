/* SPDX-License-Identifier: MPL-2.0 */
/* Trees are ended where a host cannot go on otherwise: whom, when, one at a
 * time, and what it costs. The host has 100 GiB, so that one is one percent.
 */
#include "stage.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/memory.h"
#include "core/state.h"

enum { MOST_TREES = 12, STEP_MS = 500, SAMPLE_MS = 2000, RUNS = 200 };
static const int64_t NEVER = INT64_MAX;

struct tree {
    struct actor *holder;
    uint64_t token;
    unsigned gib, running, priority;
    unsigned busy;   // percent of a processor
    int64_t dies;    // so long after it was told, ms
    int64_t stopped; // when it was; 0: not yet
    bool measured;   // its holder says what it takes
    bool gone;
};

/* A host, what runs on it, and what else does. */
struct world {
    struct stage *st;
    struct actor *admin;
    struct tree trees[MOST_TREES];
    unsigned count;
    double others, load, running; // percent of memory; tasks
    double pressure;              // percent of time
    bool blind;                   // no more samples
    int64_t sampled;
    unsigned stops;             // trees that were told to end,
    uint64_t order[MOST_TREES]; // in this order
};

/* ---- the world ---- */

static struct world *world_create (unsigned max_slots)
{
    struct world *w = new_zeroed (sizeof *w);

    w->st = stage_create (max_slots);
    w->st->settings.max_per_project_auto = false;
    w->st->settings.max_per_project = max_slots;
    w->st->settings.memory_bytes = (uint64_t) 100 << 30;
    w->load = w->running = 1;
    w->admin = stage_admin (w->st);
    return w;
}

static void world_destroy (struct world *w)
{
    stage_destroy (w->st);
    free (w);
}

/* A project of that priority, and its shim; settings of it may be changed
 * before the next reload (). */
static struct actor *project (struct world *w, const char *name,
                              unsigned priority)
{
    struct actor *a = stage_actor (w->st, name);

    settings_add_project (&w->st->settings, name)->priority = priority;
    broker_reload (w->st->b, &w->st->settings, w->st->now, w->st->out);
    act_hello (w->st, a);
    return a;
}

static void reload (struct world *w)
{
    stage_begin (w->st);
    broker_reload (w->st->b, &w->st->settings, w->st->now, w->st->out);
    stage_end (w->st);
}

static struct project_settings *settings_of (struct world *w, const char *name)
{
    return (struct project_settings *) settings_find_project (&w->st->settings,
                                                              name);
}

static struct tree *start (struct world *w, struct actor *a, unsigned gib)
{
    struct tree *t = &w->trees[w->count++];
    const struct msg_grant *grant;

    assert_true (w->count <= MOST_TREES);
    act_request (w->st, a, 1);
    grant = stage_got (w->st, a, VERB_GRANT);
    assert_non_null (grant);
    *t = (struct tree){.holder = a,
                       .token = grant->first,
                       .gib = gib,
                       .busy = 100,
                       .dies = 1000,
                       .measured = true};
    act_started (w->st, a, t->token);
    stage_sleep (w->st, 100); // the next one is newer
    return t;
}

static double memory_of (const struct world *w)
{
    double percent = w->others;

    for (unsigned i = 0; i < w->count; i++)
        percent += w->trees[i].gone ? 0 : w->trees[i].gib;
    return percent > 100 ? 100 : percent;
}

static void measure (struct world *w, const struct tree *t)
{
    struct row_footprint *row;

    message_init (&w->st->msg, VERB_FOOTPRINT);
    w->st->msg.footprints.session = t->holder->session;
    row = &w->st->msg.footprints.trees[w->st->msg.footprints.trees_count++];
    row->token = t->token;
    row->memory_bytes = (uint64_t) t->gib << 30;
    row->running = t->running;
    row->cpu_ms = (uint64_t) w->st->now * t->busy / 100;
    stage_say (w->st, t->holder);
}

static void sample (struct world *w)
{
    const struct sample s = {.at = w->st->now,
                             .cpu_percent = 10,
                             .memory_percent = memory_of (w),
                             .memory_full = w->pressure,
                             .load1 = w->load,
                             .running = w->running,
                             .disk_percent = 10,
                             .inodes_percent = 10};

    stage_begin (w->st);
    for (unsigned i = 0; i < w->count; i++) {
        if (!w->trees[i].gone && w->trees[i].measured)
            measure (w, &w->trees[i]);
    }
    broker_observe_sample (w->st->b, &s, 0, w->st->now, w->st->out);
    stage_end (w->st);
    w->sampled = w->st->now;
}

static unsigned ending_of (const struct world *w)
{
    unsigned count = 0;

    for (unsigned i = 0; i < w->count; i++)
        count += w->trees[i].stopped && !w->trees[i].gone &&
                 w->trees[i].dies != NEVER;
    return count;
}

static void obey (struct world *w, struct tree *t)
{
    if (t->gone)
        return;
    if (!t->stopped && u64s_has (&t->holder->stops, t->token)) {
        t->stopped = w->st->now;
        w->order[w->stops++] = t->token;
        assert_true (ending_of (w) <= 1); // one at a time
    }
    if (t->stopped && t->dies != NEVER && w->st->now - t->stopped >= t->dies) {
        t->gone = true;
        act_reaped (w->st, t->holder, t->token);
    }
}

/* Nothing but leased trees is ever told to end. */
static void check_stops (const struct world *w)
{
    for (unsigned i = 0; i < w->st->actor_count; i++) {
        const struct actor *a = &w->st->actors[i];

        for (uint32_t s = 0; s < a->stops.count; s++) {
            bool known = false;

            for (unsigned t = 0; t < w->count; t++)
                known |= w->trees[t].token == a->stops.at[s];
            assert_true (known);
        }
    }
}

static void pass (struct world *w, int64_t ms)
{
    for (int64_t until = w->st->now + ms; w->st->now < until;) {
        stage_sleep (w->st, STEP_MS);
        for (unsigned i = 0; i < w->count; i++)
            obey (w, &w->trees[i]);
        check_stops (w);
        if (!w->blind && w->st->now - w->sampled >= SAMPLE_MS)
            sample (w);
    }
}

static const struct pool *own (const struct world *w)
{
    return w->st->b->pools.at[0];
}

static const char *level (const struct world *w)
{
    return broker_level (w->st->b);
}

static unsigned effective (const struct world *w)
{
    return pool_effective (own (w));
}

static const struct msg_status_ok *status (struct world *w)
{
    message_init (&w->st->msg, VERB_STATUS);
    stage_tell (w->st, w->admin);
    return stage_got (w->st, w->admin, VERB_STATUS_OK);
}

static const struct row_agent *agent (struct world *w, const struct tree *t)
{
    const struct msg_status_ok *s = status (w);

    for (unsigned i = 0; i < s->agents_count; i++) {
        if (s->agents[i].token == t->token)
            return &s->agents[i];
    }
    fail ();
    return NULL;
}

/* ---- memory ---- */

/* G8. */
static void memory_from_80_to_92_to_97_to_70_ends_the_right_one (void **state)
{
    struct world *w = world_create (4);
    struct actor *high = project (w, "high", 9), *low = project (w, "low", 2);
    struct tree *a = start (w, high, 10), *b = start (w, high, 10);
    struct tree *old = start (w, low, 10), *new = start (w, low, 27);
    (void) state;

    w->others = 23;
    pass (w, 10000); // 80 %
    assert_string_equal (level (w), "healthy");
    w->others = 35;
    pass (w, 6000); // 92 %
    assert_string_equal (level (w), "degraded");
    assert_int_equal (effective (w), 3);
    assert_int_equal (w->stops, 0);
    w->others = 40;
    pass (w, 2500); // 97 %
    assert_string_equal (level (w), "critical");
    assert_int_equal (agent (w, old)->victim, 1); // nobody but him is left
    assert_int_equal (w->stops, 1);
    assert_int_equal (w->order[0], new->token);
    assert_true (stage_logged (
        w->st, "victim   host=\"vm1\" project=low token=4 slots=1 label=\"\" "
               "for=memory memory_bytes=28991029248 running=0 "
               "reason=\"memory 97.0% of 95%: priority 2, newest\""));
    pass (w, 20000); // 70 %
    assert_true (stage_logged (w->st, "ended    host=\"vm1\" project=low "
                                      "token=4 released=1 took_ms="));
    assert_true (stage_logged (w->st,
                               "settled  host=\"vm1\" for=memory before=97.0 "
                               "after=70.0 memory_bytes=28991029248"));
    pass (w, 4 * 60000);
    assert_string_equal (level (w), "healthy");
    assert_int_equal (effective (w), 4);
    assert_int_equal (w->stops, 1);
    assert_false (a->gone || b->gone || old->gone);
    world_destroy (w);
}

static void notice_for_memory_is_short_and_says_why (void **state)
{
    struct world *w = world_create (4);
    struct actor *p = project (w, "p", 5);
    const struct msg_stop *stop;
    (void) state;

    start (w, p, 1);
    start (w, p, 10);
    w->others = 86;
    stage_sleep (w->st, 1);
    sample (w);
    stop = stage_got (w->st, p, VERB_STOP);
    assert_non_null (stop);
    assert_int_equal (stop->notice_ms, 2000);
    assert_int_equal (stop->grace_ms, 2000);
    assert_string_equal (stop->reason,
                         "memory 97.0% of 95%: priority 5, newest");
    world_destroy (w);
}

/* 7 of 100 GiB are missing until it is critical no longer. */
static void a_tenth_of_what_is_missing_is_enough (void **state)
{
    struct world *w = world_create (4);
    struct actor *p = project (w, "p", 5);
    struct tree *large = start (w, p, 10), *new = start (w, p, 1);
    (void) state;

    w->others = 86;
    pass (w, 3000);
    assert_true (new->stopped && !large->stopped);
    world_destroy (w);
}

static void runaway_has_no_more_time_where_memory_is_short (void **state)
{
    struct world *w = world_create (4);
    struct actor *p = project (w, "p", 5);
    const struct msg_stop *stop;
    (void) state;

    settings_of (w, "p")->memory_limit_bytes = (int64_t) 2 << 30;
    reload (w);
    start (w, p, 10);
    w->others = 87;
    stage_sleep (w->st, 1);
    sample (w);
    stop = stage_got (w->st, p, VERB_STOP);
    assert_non_null (stop);
    assert_int_equal (stop->notice_ms, 2000);
    assert_true (stage_logged (w->st, "for=runaway"));
    world_destroy (w);
}

static void next_one_waits_until_all_has_settled_and_was_measured (void **s)
{
    struct world *w = world_create (4);
    struct actor *p = project (w, "p", 5);
    (void) s;

    for (unsigned i = 0; i < 4; i++)
        start (w, p, 3);
    w->others = 87; // 99 %
    pass (w, 2000);
    assert_int_equal (w->stops, 1);
    pass (w, 10500); // gone after one second, then ten
    assert_int_equal (w->stops, 1);
    pass (w, 4000);
    assert_int_equal (w->stops, 2);
    world_destroy (w);
}

static void one_that_cannot_be_ended_is_reported_and_the_next_is_due (void **s)
{
    struct world *w = world_create (4);
    struct actor *p = project (w, "p", 5);
    struct tree *first = start (w, p, 5);
    struct tree *second = start (w, p, 5), *third = start (w, p, 5);
    (void) s;

    third->dies = NEVER;
    w->others = 82;
    pass (w, 2000);
    assert_int_equal (w->order[0], third->token);
    pass (w, 17000); // notice, grace, kill_confirm and two beats
    assert_int_equal (w->stops, 1);
    pass (w, 3000);
    assert_true (stage_logged (w->st, "unkillable host=\"vm1\" project=p "
                                      "token=3 released=0"));
    assert_int_equal (w->stops, 2);
    assert_int_equal (w->order[1], second->token);
    assert_false (first->stopped);
    world_destroy (w);
}

/* It is told as much as others are, with its next BEAT_OK. */
static void who_is_not_spoken_to_is_ended_as_quickly (void **s)
{
    struct world *w = world_create (4);
    struct actor *p = project (w, "p", 5);
    const struct msg_beat_ok *ok;
    struct tree *slow;
    (void) s;

    p->peer.path.req = true;
    act_beat (w->st, p);
    start (w, p, 5);
    start (w, p, 5);
    slow = start (w, p, 5);
    slow->dies = NEVER;
    w->others = 82;
    stage_sleep (w->st, 1);
    sample (w);
    assert_null (stage_got (w->st, p, VERB_STOP));
    act_beat (w->st, p);
    ok = stage_got (w->st, p, VERB_BEAT_OK);
    assert_int_equal (ok->stops.at[0], slow->token);
    assert_int_equal (ok->endings[0].notice_ms, 2000);
    assert_int_equal (ok->endings[0].grace_ms, 2000);
    assert_string_equal (ok->endings[0].reason,
                         "memory 97.0% of 95%: priority 5, newest");
    pass (w, 18000); // notice, grace, kill_confirm and two beats
    assert_int_equal (w->stops, 1);
    pass (w, 7000); // the next one hears of it when it beats
    assert_int_equal (w->stops, 2);
    world_destroy (w);
}

static void what_is_critical_by_hysteresis_alone_costs_nobody (void **state)
{
    struct world *w = world_create (4);
    struct actor *p = project (w, "p", 5);
    (void) state;

    for (unsigned i = 0; i < 4; i++)
        start (w, p, 5);
    w->others = 77; // 97 %, and 92 % then: not five points below
    pass (w, 60000);
    assert_string_equal (level (w), "critical");
    assert_int_equal (w->stops, 1);
    world_destroy (w);
}

static void stale_figures_kill_nobody (void **state)
{
    struct world *w = world_create (4);
    struct actor *p = project (w, "p", 5);
    (void) state;

    for (unsigned i = 0; i < 4; i++)
        start (w, p, 3);
    w->others = 87;
    pass (w, 2000);
    assert_int_equal (w->stops, 1);
    w->blind = true;
    pass (w, 120000);
    assert_string_equal (level (w), "critical");
    assert_int_equal (w->stops, 1);
    w->blind = false;
    pass (w, 4000);
    assert_int_equal (w->stops, 2);
    world_destroy (w);
}

static void figure_that_cannot_be_read_any_more_ends_nobody (void **state)
{
    struct world *w = world_create (4);
    struct actor *p = project (w, "p", 5);
    (void) state;

    for (unsigned i = 0; i < 4; i++)
        start (w, p, 3);
    w->others = 87;
    pass (w, 2000);
    assert_int_equal (w->stops, 1);
    w->others = NAN;
    pass (w, 60000);
    assert_string_equal (level (w), "critical");
    assert_int_equal (w->stops, 1);
    world_destroy (w);
}

static void broker_that_was_stopped_ends_nobody_before_it_has_looked (void **s)
{
    struct world *w = world_create (4);
    struct actor *p = project (w, "p", 5);
    struct tree *slow;
    (void) s;

    start (w, p, 5);
    slow = start (w, p, 5);
    start (w, p, 5);
    slow->dies = NEVER;
    w->trees[2].dies = NEVER;
    w->others = 82;
    pass (w, 2000);
    assert_int_equal (w->stops, 1);
    w->st->now += 3600000; // asleep: every deadline moves
    pass (w, 2000);
    assert_int_equal (w->stops, 1);
    assert_false (stage_logged (w->st, "unkillable"));
    world_destroy (w);
}

static void one_that_a_broker_before_has_begun_to_end_is_waited_for (void **s)
{
    struct world *w = world_create (4);
    struct actor *p = project (w, "p", 5);
    struct tree *slow;
    (void) s;

    start (w, p, 5);
    start (w, p, 5);
    slow = start (w, p, 5);
    slow->dies = NEVER;
    w->others = 82;
    pass (w, 2000);
    assert_true (slow->stopped);
    stage_restart (w->st);
    pass (w, 30000); // by the usual time: notice, grace and so on
    assert_int_equal (w->stops, 1);
    pass (w, 10000);
    assert_int_equal (w->stops, 2);
    world_destroy (w);
}

/* Three trees, the first of which people have begun to end; then memory. */
static struct world *world_with_a_kill (void)
{
    struct world *w = world_create (4);
    struct actor *p = project (w, "p", 5);
    struct tree *slow = start (w, p, 5);

    start (w, p, 5);
    start (w, p, 5);
    slow->dies = NEVER;
    make_kill (w->st, 3, "p");
    w->st->msg.kill.token = slow->token;
    stage_tell (w->st, w->admin);
    pass (w, 2000);
    assert_int_equal (w->stops, 1);
    w->others = 82;
    return w;
}

/* R3: what it takes to end one moves as well. */
static void kill_that_a_stop_fell_into_is_waited_for (void **state)
{
    struct world *w = world_with_a_kill ();
    (void) state;

    w->st->now += 60000;
    pass (w, 30000);
    assert_string_equal (level (w), "critical");
    assert_int_equal (w->stops, 1);
    pass (w, 10000);
    assert_int_equal (w->stops, 2);
    world_destroy (w);
}

/* Its STOP may have died with the broker that decided it. */
static void kill_of_a_broker_that_was_long_dead_is_waited_for (void **state)
{
    struct world *w = world_with_a_kill ();
    (void) state;

    w->st->now += 60000;
    stage_restart (w->st);
    pass (w, 30000);
    assert_string_equal (level (w), "critical");
    assert_int_equal (w->stops, 1);
    pass (w, 10000);
    assert_int_equal (w->stops, 2);
    world_destroy (w);
}

/* Else nobody is ended where people go on trying. */
static void kill_that_is_said_again_is_not_waited_for_anew (void **state)
{
    struct world *w = world_with_a_kill ();
    (void) state;

    for (unsigned i = 0; i < 4; i++) {
        pass (w, 10000);
        make_kill (w->st, 10 + i, "p");
        w->st->msg.kill.token = w->trees[0].token;
        stage_tell (w->st, w->admin);
    }
    assert_int_equal (w->stops, 2);
    world_destroy (w);
}

static void last_one_of_the_highest_priority_is_spared (void **state)
{
    struct world *w = world_create (4);
    struct actor *high = project (w, "high", 9), *low = project (w, "low", 1);
    struct tree *spared = start (w, high, 49), *l = start (w, low, 1);
    (void) state;

    w->others = 48;
    pass (w, 60000);
    assert_true (l->gone);
    assert_false (spared->stopped);
    assert_int_equal (agent (w, spared)->victim, 0);
    assert_string_equal (agent (w, spared)->why,
                         "the last of the highest priority");
    assert_true (stage_logged (w->st, "helpless host=\"vm1\""));
    spared->gib = 51; // over half of the memory
    pass (w, 4000);
    assert_true (spared->stopped);
    world_destroy (w);
}

static void memory_from_outside_is_said_and_nobody_ended (void **state)
{
    struct world *w = world_create (4);
    struct actor *p = project (w, "p", 5);
    (void) state;

    start (w, p, 1);
    start (w, p, 1);
    w->others = 97; // both together would not do
    pass (w, 60000);
    assert_int_equal (w->stops, 0);
    assert_string_equal (status (w)->effective_cause,
                         "memory 99.0% of 95%, memory from outside slotbus");
    assert_true (stage_logged (w->st, "outside  host=\"vm1\" memory from "
                                      "outside slotbus: nobody is ended"));
    w->others = 50;
    pass (w, 40000);
    assert_string_equal (status (w)->effective_cause, "memory was above 90%");
    world_destroy (w);
}

/* Its own sample comes at once then, and what the shims measure does not. */
static void memory_from_outside_is_so_after_a_stop_of_the_broker (void **state)
{
    struct world *w = world_create (4);
    struct actor *p = project (w, "p", 5);
    (void) state;

    start (w, p, 1);
    start (w, p, 1);
    w->others = 97;
    pass (w, 60000);
    assert_int_equal (w->stops, 0);
    w->trees[0].measured = w->trees[1].measured = false;
    w->st->now += 20000; // it was stopped, and so were they
    sample (w);
    pass (w, 1000);
    sample (w);
    pass (w, 1000);
    assert_int_equal (w->stops, 0);
    w->trees[0].measured = w->trees[1].measured = true;
    pass (w, 60000);
    assert_int_equal (w->stops, 0);
    world_destroy (w);
}

/* Else a single one could keep all from being ended. */
static void no_shim_says_how_much_memory_the_own_host_has (void **state)
{
    struct world *w = world_create (4);
    struct actor *p = project (w, "p", 5), *liar = stage_actor (w->st, "liar");
    (void) state;

    liar->hello.cores = 1;
    liar->hello.memory_bytes = INT64_MAX;
    act_hello (w->st, liar);
    start (w, p, 10);
    start (w, p, 10);
    w->others = 79;
    pass (w, 3000);
    assert_int_equal (w->stops, 1);
    world_destroy (w);
}

/* Four times 2^62 and a little would come to nothing. */
static void figures_that_cannot_be_added_are_not_small (void **state)
{
    struct world *w = world_create (8);
    struct actor *p = project (w, "p", 5), *liar = project (w, "liar", 6);
    (void) state;

    start (w, p, 4);
    for (unsigned i = 0; i < 4; i++)
        start (w, liar, UINT32_MAX);
    pass (w, 3000);
    assert_int_equal (w->stops, 1);
    world_destroy (w);
}

static void unmanaged_ones_that_have_more_cause_it (void **state)
{
    struct world *w = world_create (4);
    struct actor *p = project (w, "p", 5);
    (void) state;

    start (w, p, 10);
    start (w, p, 10);
    w->others = 77;
    broker_observe_unmanaged (w->st->b, 11, (uint64_t) 40 << 30, "odin");
    pass (w, 30000);
    assert_int_equal (w->stops, 0);
    broker_observe_unmanaged (w->st->b, 1, (uint64_t) 4 << 30, "odin");
    pass (w, 3000);
    assert_int_equal (w->stops, 1);
    world_destroy (w);
}

/* How much is missing then nobody knows: that of a twentieth. */
static void pressure_alone_ends_one_that_gives_something_back (void **state)
{
    struct world *w = world_create (4);
    struct actor *high = project (w, "high", 9), *low = project (w, "low", 1);
    struct tree *large = start (w, high, 10), *small = start (w, low, 0);
    (void) state;

    start (w, high, 1);
    w->pressure = 40;
    pass (w, 3000);
    assert_int_equal (w->stops, 1);
    assert_false (small->stopped || large->stopped);
    assert_true (stage_logged (w->st, "reason=\"memory pressure 40.0% of 20%: "
                                      "priority 9, newest\""));
    world_destroy (w);
}

/* avg10 is an average: what was stalled is in it for long. */
static void pressure_that_fades_ends_nobody_else (void **state)
{
    struct world *w = world_create (4);
    struct actor *p = project (w, "p", 5);
    struct tree *cause = NULL;
    (void) state;

    for (unsigned i = 0; i < 3; i++)
        cause = start (w, p, 10);
    w->pressure = 90;
    for (unsigned i = 0; i < 20 && !cause->gone; i++)
        pass (w, STEP_MS);
    assert_true (cause->gone);
    for (unsigned i = 0; i < 60; i++) {
        if (i % 4 == 0) // the kernel averages every 2 s
            w->pressure *= exp (-0.2);
        pass (w, STEP_MS);
    }
    assert_int_equal (w->stops, 1);
    w->pressure = 30; // and again it is short
    pass (w, 4000);
    assert_int_equal (w->stops, 2);
    world_destroy (w);
}

/* ---- what never is ended ---- */

static void reservations_and_what_is_bound_are_never_ended (void **state)
{
    struct world *w = world_create (6);
    struct actor *p = project (w, "p", 5);
    (void) state;

    act_request (w->st, p, 2);
    make_request (w->st, p, 2);
    w->st->msg.request.bound = true;
    w->st->msg.request.supervisor = 77;
    stage_tell (w->st, p);
    w->others = 99;
    pass (w, 60000);
    assert_int_equal (p->stops.count, 0);
    assert_int_equal (stage_in_use (w->st), 4);
    world_destroy (w);
}

static void cpu_and_disks_never_end_anybody (void **state)
{
    struct world *w = world_create (4);
    struct actor *p = project (w, "p", 5);
    struct sample s = {.cpu_percent = 100,
                       .memory_percent = 10,
                       .load1 = 1,
                       .running = 100,
                       .disk_percent = 100,
                       .inodes_percent = 100};
    (void) state;

    start (w, p, 1);
    start (w, p, 1);
    for (unsigned i = 0; i < 300; i++) {
        stage_sleep (w->st, 2000);
        stage_begin (w->st);
        s.at = w->st->now;
        broker_observe_sample (w->st->b, &s, 0, s.at, w->st->out);
        stage_end (w->st);
    }
    assert_string_equal (level (w), "critical");
    assert_int_equal (p->stops.count, 0);
    world_destroy (w);
}

static void nothing_happens_while_the_broker_learns (void **state)
{
    struct world *w = world_create (4);
    struct actor *p = project (w, "p", 5);
    (void) state;

    start (w, p, 10);
    start (w, p, 10);
    w->others = 77;
    w->st->b->learning = true;
    w->st->b->learning_until = w->st->now + 30000;
    pass (w, 28000);
    assert_int_equal (w->stops, 0);
    pass (w, 6000);
    assert_int_equal (w->stops, 1);
    world_destroy (w);
}

/* ---- load ---- */

static void load_of_leased_trees_ends_one_after_a_minute (void **state)
{
    struct world *w = world_create (4);
    struct actor *p = project (w, "p", 5);
    const struct msg_stop *stop;
    (void) state;

    start (w, p, 1)->running = 10;
    start (w, p, 1)->running = 10;
    start (w, p, 1)->running = 10;
    w->load = 40;
    w->running = 25;
    pass (w, 58000);
    assert_string_equal (level (w), "critical");
    assert_int_equal (w->stops, 0);
    while (!(stop = stage_got (w->st, p, VERB_STOP)) && w->st->now < 80000) {
        stage_sleep (w->st, 100);
        if (w->st->now % SAMPLE_MS == 0)
            sample (w);
    }
    assert_non_null (stop);
    assert_int_equal (stop->notice_ms, 10000);
    assert_string_equal (stop->reason, "load 40.0 of 16: priority 5, newest");
    pass (w, 88000); // load1 lags
    assert_int_equal (w->stops, 1);
    pass (w, 12000);
    assert_int_equal (w->stops, 2);
    world_destroy (w);
}

static void load_that_is_seen_no_longer_ends_nobody (void **state)
{
    struct world *w = world_create (4);
    struct actor *p = project (w, "p", 5);
    (void) state;

    start (w, p, 1)->running = 10;
    start (w, p, 1)->running = 10;
    w->load = w->running = 30;
    pass (w, 30000);
    w->blind = true;
    pass (w, 120000);
    assert_string_equal (level (w), "critical");
    assert_int_equal (w->stops, 0);
    w->blind = false;
    pass (w, 3000);
    assert_int_equal (w->stops, 1);
    world_destroy (w);
}

static void load_from_outside_ends_nobody_and_is_said (void **state)
{
    struct world *w = world_create (4);
    struct actor *p = project (w, "p", 5);
    const struct msg_pool *pool = NULL;
    (void) state;

    start (w, p, 1)->running = 10;
    start (w, p, 1)->running = 10;
    w->load = 60;
    w->running = 40; // theirs is the half, not most
    for (unsigned i = 0; i < 4 && !pool; i++) {
        pass (w, 2000);
        pool = stage_published (w->st, "pool.vm1");
    }
    pass (w, 180000);
    assert_int_equal (w->stops, 0);
    assert_string_equal (status (w)->effective_cause,
                         "load 60.0 of 16, load from outside slotbus");
    assert_string_equal (status (w)->hosts[0].cause,
                         "load 60.0 of 16, load from outside slotbus");
    w->running = NAN; // nobody knows: nobody is ended
    pass (w, 60000);
    assert_int_equal (w->stops, 0);
    assert_string_equal (status (w)->effective_cause, "load 60.0 of 16");
    world_destroy (w);
}

/* What looks at its files at one moment, while who burns is not seen. */
static void one_moment_does_not_make_the_load_theirs (void **state)
{
    struct world *w = world_create (4);
    struct actor *p = project (w, "p", 5);
    struct tree *t = start (w, p, 1);
    (void) state;

    start (w, p, 1);
    w->load = 60;
    for (unsigned i = 0; i < 30; i++) {
        t->running = 1;
        w->running = 20;
        pass (w, 8000);
        t->running = 6;
        w->running = 7;
        pass (w, 2000);
    }
    assert_int_equal (w->stops, 0);
    t->running = 6;
    w->running = 7;
    pass (w, 90000); // and now it is
    assert_int_equal (w->stops, 1);
    world_destroy (w);
}

/* Nobody knows what was in the gap before it. */
static void one_moment_after_a_gap_does_not_either (void **state)
{
    struct world *w = world_create (4);
    struct actor *p = project (w, "p", 5);
    struct tree *t = start (w, p, 1);
    (void) state;

    start (w, p, 1);
    w->load = 60;
    t->running = 1;
    w->running = 20;
    pass (w, 180000);
    w->blind = true;
    pass (w, 900000);
    w->blind = false;
    t->running = 6;
    w->running = 7;
    pass (w, SAMPLE_MS);
    t->running = 1;
    w->running = 20;
    pass (w, 60000);
    assert_int_equal (w->stops, 0);
    world_destroy (w);
}

static unsigned said_outside (const struct world *w)
{
    unsigned said = 0;

    for (const char *at = w->st->journal; (at = strstr (at, "outside  ")); at++)
        said++;
    return said;
}

/* A wave whose troughs leave it critical, and a share of about a half. */
static void what_comes_from_outside_is_said_once (void **state)
{
    struct world *w = world_create (4);
    struct tree *t = start (w, project (w, "p", 5), 1);
    (void) state;

    t->running = 10;
    w->running = 40;
    for (unsigned i = 0; i < 20; i++) {
        w->load = i % 2 ? 1 : 60;
        pass (w, 20000);
    }
    assert_int_equal (said_outside (w), 1);
    w->load = 60;
    for (unsigned i = 0; i < 10; i++) { // and nobody is due yet
        w->running = i % 2 ? 40 : 19;
        pass (w, 4000);
    }
    assert_int_equal (said_outside (w), 1);
    assert_string_equal (status (w)->effective_cause,
                         "load 60.0 of 16, load from outside slotbus");
    world_destroy (w);
}

/* ---- runaways ---- */

static void over_its_memory_limit_is_ended_on_a_healthy_host (void **state)
{
    struct world *w = world_create (4);
    struct actor *p = project (w, "p", 5), *q = project (w, "q", 1);
    struct tree *wild = start (w, p, 1), *tame = start (w, q, 9);
    (void) state;

    settings_of (w, "p")->memory_limit_bytes = (int64_t) 2 << 30;
    reload (w);
    pass (w, 10000);
    assert_int_equal (w->stops, 0);
    wild->gib = 3;
    pass (w, 2500);
    assert_string_equal (level (w), "healthy");
    assert_int_equal (w->stops, 1);
    assert_true (wild->stopped && !tame->stopped);
    assert_true (stage_logged (w->st, "for=runaway"));
    assert_true (stage_logged (
        w->st, "reason=\"over its memory_limit 2.0 GiB by 50 %\""));
    world_destroy (w);
}

static void over_its_max_time_is_ended_without_any_sample (void **state)
{
    struct world *w = world_create (4);
    struct actor *p = project (w, "p", 5);
    struct tree *t;
    (void) state;

    settings_of (w, "p")->max_time_ms = 60000;
    reload (w);
    w->blind = true;
    stage_sleep (w->st, 30000);
    t = start (w, p, 1);
    pass (w, 58000);
    assert_false (t->stopped);
    pass (w, 4000);
    assert_true (t->gone);
    assert_int_equal (stage_in_use (w->st), 0);
    world_destroy (w);
}

static void runaways_go_one_at_a_time_the_worst_first (void **state)
{
    struct world *w = world_create (4);
    struct actor *p = project (w, "p", 5);
    struct tree *bad = start (w, p, 3), *worse = start (w, p, 5);
    (void) state;

    settings_of (w, "p")->memory_limit_bytes = (int64_t) 2 << 30;
    reload (w);
    pass (w, 3000);
    assert_true (worse->stopped && !bad->stopped);
    pass (w, 20000);
    assert_true (bad->gone);
    world_destroy (w);
}

static void progress (struct world *w, const struct tree *t, double percent)
{
    message_init (&w->st->msg, VERB_PROGRESS);
    w->st->msg.progress.session = t->holder->session;
    w->st->msg.progress.token = t->token;
    w->st->msg.progress.percent = percent;
    stage_tell (w->st, t->holder);
}

static void half_a_processor_is_busy (void **state)
{
    struct world *w = world_create (4);
    struct actor *p = project (w, "p", 5);
    struct tree *busy = start (w, p, 1), *idle = start (w, p, 1);
    (void) state;

    settings_of (w, "p")->stall_time_ms = 60000;
    reload (w);
    busy->busy = 60;
    idle->busy = 40;
    pass (w, 4000);
    progress (w, busy, 10);
    progress (w, idle, 10);
    pass (w, 80000);
    assert_true (busy->gone);
    assert_false (idle->stopped);
    world_destroy (w);
}

static void busy_without_progress_is_ended_if_there_ever_was_any (void **state)
{
    struct world *w = world_create (4);
    struct actor *p = project (w, "p", 5);
    struct tree *stuck = start (w, p, 1), *silent = start (w, p, 1);
    struct tree *moving = start (w, p, 1);
    (void) state;

    settings_of (w, "p")->stall_time_ms = 60000;
    reload (w);
    pass (w, 4000);
    progress (w, stuck, 10);
    for (unsigned i = 0; i < 8; i++) {
        progress (w, moving, i);
        progress (w, stuck, 10); // the same again is none
        pass (w, 10000);
    }
    assert_true (stuck->gone);
    assert_false (silent->stopped || moving->stopped);
    assert_true (stage_logged (w->st, "busy without progress for over 1 min"));
    world_destroy (w);
}

static void tree_of_several_slots_goes_as_one (void **state)
{
    struct world *w = world_create (6);
    struct actor *p = project (w, "p", 5);
    const struct msg_stop *stop;
    (void) state;

    start (w, p, 1)->measured = false;
    act_request (w->st, p, 3);
    make_started (w->st, p, 2);
    u64s_add (&w->st->msg.started.tokens, 3);
    u64s_add (&w->st->msg.started.tokens, 4);
    stage_tell (w->st, p);
    w->others = 98;
    sample (w);
    stop = stage_got (w->st, p, VERB_STOP);
    assert_non_null (stop);
    assert_int_equal (stop->tokens.count, 3);
    make_reaped (w->st, p, 2);
    u64s_add (&w->st->msg.reaped.tokens, 3);
    u64s_add (&w->st->msg.reaped.tokens, 4);
    stage_tell (w->st, p);
    assert_true (stage_logged (w->st, "token=2 released=3"));
    world_destroy (w);
}

/* ---- what people see, and do ---- */

static void status_shows_the_order_before_anything_happens (void **state)
{
    struct world *w = world_create (6);
    struct actor *high = project (w, "high", 9), *low = project (w, "low", 2);
    struct tree *a = start (w, high, 2), *b = start (w, low, 2);
    struct tree *c = start (w, low, 2);
    (void) state;

    pass (w, 4000);
    assert_int_equal (agent (w, a)->victim, 0);
    assert_int_equal (agent (w, b)->victim, 2);
    assert_int_equal (agent (w, c)->victim, 1);
    assert_string_equal (agent (w, c)->why, "priority 2, newest");
    assert_string_equal (agent (w, b)->why, "priority 2");
    world_destroy (w);
}

static const struct msg_relieve_ok *relieve (struct world *w, uint64_t id,
                                             bool kill, bool dry_run)
{
    message_init (&w->st->msg, VERB_RELIEVE);
    w->st->msg.relieve.id = id;
    w->st->msg.relieve.kill = kill;
    w->st->msg.relieve.dry_run = dry_run;
    copy_text (w->st->msg.relieve.reason, 257, "too warm here");
    stage_tell (w->st, w->admin);
    return stage_got (w->st, w->admin, VERB_RELIEVE_OK);
}

static void project_over_its_lowered_cap_goes_first (void **state)
{
    struct world *w = world_create (6);
    struct actor *over = project (w, "over", 5), *within = project (w, "w", 5);
    struct tree *first = start (w, over, 1), *second = start (w, over, 1);
    struct tree *third = start (w, within, 1);
    (void) state;

    settings_of (w, "over")->max = 1;
    reload (w);
    pass (w, 2500);
    assert_int_equal (agent (w, second)->victim, 1);
    assert_int_equal (agent (w, first)->victim, 2);
    assert_string_equal (agent (w, first)->why, "priority 5, over its target");
    assert_int_equal (agent (w, third)->victim, 0);
    world_destroy (w);
}

/* Not the one whose slot was granted last. */
static void newest_is_the_tree_that_began_last (void **state)
{
    struct world *w = world_create (4);
    struct actor *p = project (w, "p", 5);
    const struct tree first = {.token = 1}, second = {.token = 2};
    (void) state;

    act_request (w->st, p, 1);
    stage_sleep (w->st, 1000);
    act_request (w->st, p, 1);
    act_started (w->st, p, second.token);
    stage_sleep (w->st, 1000);
    act_started (w->st, p, first.token);
    stage_sleep (w->st, 1000);
    assert_int_equal (agent (w, &first)->victim, 1);
    assert_int_equal (agent (w, &second)->victim, 0);
    world_destroy (w);
}

static void what_is_degraded_does_not_choose_for_what_is_critical (void **state)
{
    struct world *w = world_create (4);
    struct actor *p = project (w, "p", 5);
    struct tree *large = start (w, p, 10), *small = start (w, p, 0);
    (void) state;

    start (w, project (w, "high", 9), 0);
    w->others = 82;
    pass (w, 6000);
    assert_int_equal (agent (w, large)->victim, 1);
    w->load = 60;
    pass (w, 6000);
    assert_int_equal (agent (w, small)->victim, 1);
    world_destroy (w);
}

static void relieve_shrinks_the_pool_once (void **state)
{
    struct world *w = world_create (8);
    struct actor *p = project (w, "p", 5);
    const struct msg_relieve_ok *ok;
    (void) state;

    act_request (w->st, p, 8);
    ok = relieve (w, 1, false, true);
    assert_non_null (ok);
    assert_int_equal (ok->effective, 6);
    assert_int_equal (effective (w), 8);
    ok = relieve (w, 1, false, false);
    assert_true (ok->done);
    assert_string_equal (ok->host, "vm1");
    assert_int_equal (ok->before, 8);
    assert_int_equal (ok->effective, 6);
    assert_int_equal (ok->in_use, 8);
    assert_int_equal (ok->token, 0);
    assert_true (outbox_flush (w->st->out));
    act_release_some (w->st, p, 4);
    ok = relieve (w, 1, false, false); // the resend does nothing
    assert_int_equal (ok->before, 8);
    assert_int_equal (effective (w), 6);
    assert_string_equal (status (w)->effective_cause, "shrunk by hand");
    world_destroy (w);
}

static void relieve_ends_the_next_victim_and_says_how_far_it_is (void **state)
{
    struct world *w = world_create (8);
    struct actor *p = project (w, "p", 5);
    const struct msg_relieve_ok *ok;
    struct tree *old = start (w, p, 1), *new = start (w, p, 3);
    (void) state;

    sample (w);
    ok = relieve (w, 7, true, true);
    assert_int_equal (ok->token, new->token);
    pass (w, 500);
    assert_int_equal (w->stops, 0);
    ok = relieve (w, 7, true, false);
    assert_false (ok->done);
    assert_int_equal (ok->token, new->token);
    assert_string_equal (ok->project, "p");
    assert_string_equal (ok->why, "priority 5, newest");
    assert_int_equal (ok->memory_bytes, (uint64_t) 3 << 30);
    assert_true (stage_logged (w->st, "reason=\"too warm here\""));
    ok = relieve (w, 11, true, true);
    assert_string_equal (ok->why, "priority 5, newest");
    ok = relieve (w, 8, true, false); // the same one: it is being ended
    assert_int_equal (ok->token, new->token);
    pass (w, 2000);
    ok = relieve (w, 7, true, false);
    assert_true (ok->done);
    assert_int_equal (ok->released, 1);
    assert_false (ok->unkillable);
    relieve (w, 9, true, false); // and he is the last
    stage_assert_refused (w->st, w->admin, ERR_NOT_FOUND);
    assert_false (old->stopped);
    world_destroy (w);
}

static void relieve_joins_what_a_kill_has_begun (void **state)
{
    struct world *w = world_create (8);
    struct actor *p = project (w, "p", 5);
    const struct msg_relieve_ok *ok;
    struct tree *old = start (w, p, 1), *new = start (w, p, 1);
    (void) state;

    make_kill (w->st, 3, "p");
    w->st->msg.kill.token = old->token;
    stage_tell (w->st, w->admin);
    ok = relieve (w, 4, true, true);
    assert_int_equal (ok->token, old->token);
    assert_string_equal (ok->why, "it was being ended already");
    ok = relieve (w, 4, true, false);
    assert_int_equal (ok->token, old->token);
    pass (w, 3000);
    ok = relieve (w, 4, true, false);
    assert_true (ok->done);
    assert_int_equal (ok->released, 1);
    assert_false (new->stopped);
    world_destroy (w);
}

static const struct msg_relieve_ok *resume (struct world *w, uint64_t id,
                                            uint64_t token)
{
    message_init (&w->st->msg, VERB_RELIEVE);
    w->st->msg.relieve.id = id;
    w->st->msg.relieve.kill = true;
    w->st->msg.relieve.token = token;
    stage_tell (w->st, w->admin);
    return stage_got (w->st, w->admin, VERB_RELIEVE_OK);
}

/* Its victim ends before or after the broker that knew of it. */
static void relieve_across_a_restart_ends_no_other_one (void **state)
{
    struct world *w = world_create (8);
    struct actor *p = project (w, "p", 5);
    const struct msg_relieve_ok *ok;
    struct tree *old = start (w, p, 1), *mid = start (w, p, 1);
    struct tree *new = start (w, p, 1);
    (void) state;

    sample (w);
    relieve (w, 7, true, false);
    pass (w, 3000);
    assert_true (new->gone);
    stage_restart (w->st);
    ok = resume (w, 7, new->token);
    assert_int_equal (ok->token, new->token);
    assert_true (ok->done);
    assert_int_equal (ok->released, 1);
    pass (w, 3000);
    assert_int_equal (w->stops, 1);

    relieve (w, 8, true, false);
    pass (w, 500);
    assert_true (mid->stopped && !mid->gone);
    stage_restart (w->st);
    ok = resume (w, 8, mid->token);
    assert_int_equal (ok->token, mid->token);
    assert_string_equal (ok->project, "p");
    assert_false (ok->done);
    pass (w, 3000);
    ok = resume (w, 8, mid->token);
    assert_true (ok->done);
    assert_int_equal (ok->released, 1);
    assert_int_equal (w->stops, 2);

    resume (w, 9, old->token);
    stage_assert_refused (w->st, w->admin, ERR_NOT_FOUND);
    resume (w, 10, 1000000);
    stage_assert_refused (w->st, w->admin, ERR_NOT_FOUND);
    assert_int_equal (w->stops, 2);
    world_destroy (w);
}

static void relieve_is_refused_where_it_means_nothing (void **state)
{
    struct world *w = world_create (8);
    struct actor *p = project (w, "p", 5);
    (void) state;

    message_init (&w->st->msg, VERB_RELIEVE);
    w->st->msg.relieve.id = 1;
    stage_tell (w->st, p);
    stage_assert_refused (w->st, p, ERR_NOT_ALLOWED);
    relieve (w, 1, true, false);
    stage_assert_refused (w->st, w->admin, ERR_NOT_FOUND);
    message_init (&w->st->msg, VERB_RELIEVE);
    w->st->msg.relieve.id = 1;
    copy_text (w->st->msg.relieve.host, 65, "nowhere");
    stage_tell (w->st, w->admin);
    stage_assert_refused (w->st, w->admin, ERR_NOT_FOUND);
    relieve (w, 2, false, false);
    relieve (w, 2, true, false);
    stage_assert_refused (w->st, w->admin, ERR_CONFLICT);
    w->admin->peer.uid = 77; // another administrator
    relieve (w, 2, false, false);
    stage_assert_refused (w->st, w->admin, ERR_CONFLICT);
    world_destroy (w);
}

/* ---- the oracle ---- */

/* xorshift64*: the same cases each time. */
static uint64_t chance_state = 1;

static unsigned chance (unsigned below)
{
    chance_state ^= chance_state >> 12;
    chance_state ^= chance_state << 25;
    chance_state ^= chance_state >> 27;
    return (unsigned) ((chance_state * UINT64_C (2685821657736338717)) >> 33) %
           below;
}

/* Is that a tree of so many of which the rule may take this one? */
static bool may_go (const struct world *w, unsigned left, unsigned i)
{
    const struct tree *t = &w->trees[i];

    if (!(left >> i & 1))
        return false;
    if (t->gib > 50)
        return true;
    for (unsigned j = 0; j < w->count; j++) {
        if (j != i && (left >> j & 1) && w->trees[j].priority >= t->priority)
            return true;
    }
    return false;
}

static double memory_with (const struct world *w, unsigned left)
{
    double percent = w->others;

    for (unsigned i = 0; i < w->count; i++)
        percent += left >> i & 1 ? w->trees[i].gib : 0;
    return percent < 100 ? percent : 100;
}

static bool is_useful (const struct tree *t, double missing)
{
    return t->gib >= missing / 10;
}

/* Whom the rule would take first; -1: nobody. All trees are within their
 * targets, and started in the order of their numbers. */
static int worst_of (const struct world *w, unsigned left)
{
    double missing = memory_with (w, left) - 90;
    int worst = -1;

    for (unsigned i = 0; i < w->count; i++) {
        const struct tree *t = &w->trees[i];
        const struct tree *o = worst < 0 ? NULL : &w->trees[worst];
        bool useful = is_useful (t, missing);

        if (!may_go (w, left, i))
            continue;
        if (o && useful != is_useful (o, missing)) {
            worst = useful ? (int) i : worst;
            continue;
        }
        if (!o || (!useful && t->gib > o->gib) ||
            ((useful || t->gib == o->gib) && t->priority <= o->priority))
            worst = (int) i;
    }
    return worst;
}

/* How many have to go, each at once. */
static unsigned oracle (const struct world *w)
{
    unsigned left = (1u << w->count) - 1, needed = 0;
    int next;

    while (memory_with (w, left) > 95 &&
           memory_with (w, 0) <= 90 && // else it is not theirs
           (next = worst_of (w, left)) >= 0) {
        left &= ~(1u << next);
        needed++;
    }
    return needed;
}

static void populate (struct world *w)
{
    static const char *const names[] = {"a", "b", "c"};
    struct actor *actors[3];
    unsigned priorities[3], trees = 1 + chance (9), leased = 0;

    for (unsigned i = 0; i < 3; i++) {
        priorities[i] = 1 + chance (3);
        actors[i] = project (w, names[i], priorities[i]);
    }
    for (unsigned i = 0; i < trees; i++) {
        unsigned who = chance (3), most = chance (4) ? 6 : 30;
        struct tree *t = start (w, actors[who], 1 + chance (most));

        t->priority = priorities[who];
        t->dies = 500 * chance (9);
        leased += t->gib;
    }
    w->others = 96 + chance (5);
    w->others = w->others > leased ? w->others - leased : 0;
}

static void victims_are_those_that_were_needed (void **state)
{
    unsigned all = 0;
    (void) state;

    for (unsigned n = 0; n < RUNS; n++) {
        struct world *w = world_create (12);
        unsigned needed;

        populate (w);
        needed = oracle (w);
        pass (w, 300000);
        all += needed;
        assert_true (w->stops <= needed + 1);
        assert_true (w->stops >= needed);
        world_destroy (w);
    }
    assert_true (all > RUNS); // there was something to do
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (memory_from_80_to_92_to_97_to_70_ends_the_right_one),
        cmocka_unit_test (a_tenth_of_what_is_missing_is_enough),
        cmocka_unit_test (runaway_has_no_more_time_where_memory_is_short),
        cmocka_unit_test (notice_for_memory_is_short_and_says_why),
        cmocka_unit_test (
            next_one_waits_until_all_has_settled_and_was_measured),
        cmocka_unit_test (
            one_that_cannot_be_ended_is_reported_and_the_next_is_due),
        cmocka_unit_test (who_is_not_spoken_to_is_ended_as_quickly),
        cmocka_unit_test (what_is_critical_by_hysteresis_alone_costs_nobody),
        cmocka_unit_test (figure_that_cannot_be_read_any_more_ends_nobody),
        cmocka_unit_test (stale_figures_kill_nobody),
        cmocka_unit_test (
            broker_that_was_stopped_ends_nobody_before_it_has_looked),
        cmocka_unit_test (
            one_that_a_broker_before_has_begun_to_end_is_waited_for),
        cmocka_unit_test (kill_that_a_stop_fell_into_is_waited_for),
        cmocka_unit_test (kill_of_a_broker_that_was_long_dead_is_waited_for),
        cmocka_unit_test (kill_that_is_said_again_is_not_waited_for_anew),
        cmocka_unit_test (last_one_of_the_highest_priority_is_spared),
        cmocka_unit_test (memory_from_outside_is_said_and_nobody_ended),
        cmocka_unit_test (memory_from_outside_is_so_after_a_stop_of_the_broker),
        cmocka_unit_test (no_shim_says_how_much_memory_the_own_host_has),
        cmocka_unit_test (figures_that_cannot_be_added_are_not_small),
        cmocka_unit_test (unmanaged_ones_that_have_more_cause_it),
        cmocka_unit_test (pressure_alone_ends_one_that_gives_something_back),
        cmocka_unit_test (pressure_that_fades_ends_nobody_else),
        cmocka_unit_test (reservations_and_what_is_bound_are_never_ended),
        cmocka_unit_test (cpu_and_disks_never_end_anybody),
        cmocka_unit_test (nothing_happens_while_the_broker_learns),
        cmocka_unit_test (load_of_leased_trees_ends_one_after_a_minute),
        cmocka_unit_test (load_that_is_seen_no_longer_ends_nobody),
        cmocka_unit_test (load_from_outside_ends_nobody_and_is_said),
        cmocka_unit_test (one_moment_does_not_make_the_load_theirs),
        cmocka_unit_test (one_moment_after_a_gap_does_not_either),
        cmocka_unit_test (what_comes_from_outside_is_said_once),
        cmocka_unit_test (over_its_memory_limit_is_ended_on_a_healthy_host),
        cmocka_unit_test (over_its_max_time_is_ended_without_any_sample),
        cmocka_unit_test (runaways_go_one_at_a_time_the_worst_first),
        cmocka_unit_test (half_a_processor_is_busy),
        cmocka_unit_test (busy_without_progress_is_ended_if_there_ever_was_any),
        cmocka_unit_test (tree_of_several_slots_goes_as_one),
        cmocka_unit_test (status_shows_the_order_before_anything_happens),
        cmocka_unit_test (project_over_its_lowered_cap_goes_first),
        cmocka_unit_test (newest_is_the_tree_that_began_last),
        cmocka_unit_test (
            what_is_degraded_does_not_choose_for_what_is_critical),
        cmocka_unit_test (relieve_shrinks_the_pool_once),
        cmocka_unit_test (relieve_ends_the_next_victim_and_says_how_far_it_is),
        cmocka_unit_test (relieve_joins_what_a_kill_has_begun),
        cmocka_unit_test (relieve_across_a_restart_ends_no_other_one),
        cmocka_unit_test (relieve_is_refused_where_it_means_nothing),
        cmocka_unit_test (victims_are_those_that_were_needed),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
