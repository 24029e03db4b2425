/* SPDX-License-Identifier: MPL-2.0 */
/* SET_POLICY, SET_PRIORITY, PAUSE, RESUME: what they change, who may, and what
 * is left of it after a restart. */
#include "stage.h"

#include <stdio.h>
#include <string.h>

#include "core/state.h"

static void set_policy (struct stage *st, struct actor *who, const char *policy)
{
    message_init (&st->msg, VERB_SET_POLICY);
    copy_text (st->msg.set_policy.policy, sizeof st->msg.set_policy.policy,
               policy);
    stage_tell (st, who);
}

static void set_priority (struct stage *st, struct actor *who,
                          const char *project, unsigned priority)
{
    struct msg_set_priority *m = &st->msg.set_priority;

    message_init (&st->msg, VERB_SET_PRIORITY);
    copy_text (m->project, sizeof m->project, project);
    m->priority = priority;
    stage_tell (st, who);
}

static void pause_it (struct stage *st, struct actor *who, const char *project,
                      const char *reason)
{
    struct msg_pause *m = &st->msg.pause;

    message_init (&st->msg, VERB_PAUSE);
    copy_text (m->project, sizeof m->project, project);
    copy_text (m->reason, sizeof m->reason, reason);
    stage_tell (st, who);
}

static void resume_it (struct stage *st, struct actor *who, const char *project,
                       const char *reason)
{
    struct msg_resume *m = &st->msg.resume;

    message_init (&st->msg, VERB_RESUME);
    copy_text (m->project, sizeof m->project, project);
    copy_text (m->reason, sizeof m->reason, reason);
    stage_tell (st, who);
}

static void assert_ok (struct stage *st, struct actor *who, const char *verb,
                       unsigned count)
{
    const struct msg_ok *ok = stage_got (st, who, VERB_OK);

    assert_non_null (ok);
    assert_string_equal (ok->re, verb);
    assert_int_equal (ok->count, count);
}

static void assert_policy (struct stage *st, struct actor *who,
                           const char *before, const char *after)
{
    const struct msg_policy_ok *ok = stage_got (st, who, VERB_POLICY_OK);

    assert_non_null (ok);
    assert_string_equal (ok->before, before);
    assert_string_equal (ok->policy, after);
}

static void assert_detail (struct stage *st, struct actor *who,
                           const char *words)
{
    const struct msg_error *e = stage_got (st, who, VERB_ERROR);

    assert_non_null (e);
    if (!strstr (e->detail, words))
        fail_msg ("no '%s' in '%s'", words, e->detail);
}

static const char *policy_in_force (const struct stage *st)
{
    return policy_name (st->b->settings.policy);
}

static unsigned priority_of (const struct stage *st, const char *project)
{
    const struct project *p = projects_find (&st->b->projects, project);

    assert_non_null (p);
    return p->priority;
}

static void configure (struct stage *st, const char *project, unsigned priority)
{
    settings_add_project (&st->settings, project)->priority = priority;
}

/* The configuration is read again, as it is now. */
static void reload (struct stage *st)
{
    stage_begin (st);
    broker_reload (st->b, &st->settings, st->now, st->out);
    stage_end (st);
}

static bool was_granted (const struct stage *st, const struct actor *a)
{
    return stage_got (st, a, VERB_GRANT) != NULL;
}

/* ---- SET_POLICY ---- */

/* Low was first, high has the higher priority; the pool is full. */
static void policy_that_is_set_orders_who_waits_already (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    struct actor *low = stage_shim (st, "low"), *admin = stage_admin (st);
    struct actor *high = stage_shim (st, "high");
    const struct msg_broker *topic;
    (void) state;

    act_request (st, a, 2);
    act_request (st, b, 2);
    act_request (st, low, 1);
    act_request (st, high, 1);
    set_priority (st, admin, "high", 10);
    set_policy (st, admin, "priority");
    assert_policy (st, admin, "fifo", "priority");
    assert_int_equal (
        ((const struct msg_policy_ok *) stage_got (st, admin, VERB_POLICY_OK))
            ->waiting,
        2);
    assert_true (outbox_flush (st->out));
    assert_true (
        stage_logged (st, "set_policy uid=0 before=fifo policy=priority"));
    topic = stage_published (st, "broker");
    assert_non_null (topic);
    assert_string_equal (topic->policy, "priority");
    act_release_some (st, a, 1);
    assert_true (was_granted (st, high));
    assert_false (was_granted (st, low));
    stage_destroy (st);
}

static void assert_targets (struct stage *st, struct actor *admin, unsigned a,
                            unsigned b, unsigned c)
{
    const struct msg_status_ok *ok;

    message_init (&st->msg, VERB_STATUS);
    stage_tell (st, admin);
    ok = stage_got (st, admin, VERB_STATUS_OK);
    assert_int_equal (ok->projects_count, 3);
    assert_int_equal (ok->projects[0].target, a);
    assert_int_equal (ok->projects[1].target, b);
    assert_int_equal (ok->projects[2].target, c);
}

static void status_has_the_share_of_each_under_fair_alone (void **state)
{
    struct stage *st = stage_create (20);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    struct actor *c = stage_shim (st, "c"), *admin = stage_admin (st);
    (void) state;

    set_policy (st, admin, "fair");
    act_request (st, a, 10);
    act_request (st, b, 8);
    act_request (st, c, 6);
    assert_targets (st, admin, 0, 0, 0); // they gather
    stage_sleep (st, st->settings.timing.gather);
    assert_targets (st, admin, 8, 7, 5);
    set_policy (st, admin, "fifo");
    assert_targets (st, admin, 0, 0, 0);
    stage_destroy (st);
}

static void policy_that_was_set_is_that_of_the_next_broker (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *admin = stage_admin (st);
    (void) state;

    set_policy (st, admin, "fair");
    stage_restart (st);
    assert_string_equal (policy_in_force (st), "fair");
    set_policy (st, admin, "fifo"); // back, and that is kept as well
    assert_policy (st, admin, "fair", "fifo");
    stage_restart (st);
    assert_string_equal (policy_in_force (st), "fifo");
    stage_destroy (st);
}

static void policy_of_a_file_that_changed_later_wins (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *admin = stage_admin (st);
    (void) state;

    set_policy (st, admin, "fair");
    settings_set_max (&st->settings, 6); // says nothing new of the policy
    reload (st);
    assert_string_equal (policy_in_force (st), "fair");
    st->settings.policy = POLICY_PRIORITY;
    reload (st);
    assert_string_equal (policy_in_force (st), "priority");
    assert_int_equal (stage_meta (st)->policy, 0);
    st->settings.policy = POLICY_FIFO; // what it said at first: no way back
    reload (st);
    assert_string_equal (policy_in_force (st), "fifo");
    stage_restart (st);
    assert_string_equal (policy_in_force (st), "fifo");
    stage_destroy (st);
}

static void policy_that_was_set_after_the_file_changed_wins (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *admin = stage_admin (st);
    (void) state;

    st->settings.policy = POLICY_PRIORITY;
    reload (st);
    set_policy (st, admin, "fifo");
    assert_policy (st, admin, "priority", "fifo");
    reload (st);
    assert_string_equal (policy_in_force (st), "fifo");
    stage_restart (st);
    assert_string_equal (policy_in_force (st), "fifo");
    st->settings.policy = POLICY_FAIR; // while no broker ran
    stage_restart (st);
    assert_string_equal (policy_in_force (st), "fair");
    assert_int_equal (stage_meta (st)->policy, 0);
    stage_destroy (st);
}

static void policy_that_there_is_not_is_refused_with_the_nearest (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a"), *admin = stage_admin (st);
    (void) state;

    set_policy (st, admin, "fare");
    stage_assert_refused (st, admin, ERR_BAD_ARG);
    assert_detail (st, admin, "expected fifo, fair or priority: is it fair?");
    set_policy (st, admin, "");
    stage_assert_refused (st, admin, ERR_BAD_ARG);
    set_policy (st, a, "fair");
    stage_assert_refused (st, a, ERR_NOT_ALLOWED);
    broker_observe_disk (st->b, true, st->now, st->out);
    set_policy (st, admin, "fair");
    stage_assert_refused (st, admin, ERR_DISK);
    assert_string_equal (policy_in_force (st), "fifo");
    assert_int_equal (stage_meta (st)->policy, 0);
    stage_destroy (st);
}

/* ---- SET_PRIORITY ---- */

static void priority_that_is_set_is_kept_until_the_file_says_another (void **s)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a"), *admin = stage_admin (st);
    const struct msg_priority_ok *ok;
    (void) s;

    act_request (st, a, 2);
    act_request (st, a, 1); // its cap is 2
    set_priority (st, admin, "a", 8);
    ok = stage_got (st, admin, VERB_PRIORITY_OK);
    assert_non_null (ok);
    assert_string_equal (ok->project, "a");
    assert_string_equal (ok->policy, "fifo");
    assert_int_equal (ok->before, 5);
    assert_int_equal (ok->priority, 8);
    assert_int_equal (ok->waiting, 1);
    assert_true (outbox_flush (st->out));
    assert_true (
        stage_logged (st, "set_priority uid=0 project=a before=5 priority=8"));
    assert_int_equal (stage_said (st, "a")->priority, 8);
    settings_set_max (&st->settings, 6);
    reload (st); // of something else
    assert_int_equal (priority_of (st, "a"), 8);
    stage_restart (st);
    assert_int_equal (priority_of (st, "a"), 8);

    configure (st, "a", 7);
    reload (st);
    assert_int_equal (priority_of (st, "a"), 7);
    assert_null (stage_said (st, "a"));
    settings_add_project (&st->settings, "a")->priority = 5;
    reload (st); // what it was when 8 was said: no way back
    assert_int_equal (priority_of (st, "a"), 5);
    stage_destroy (st);
}

static void priority_that_was_set_after_the_file_changed_wins (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *admin = stage_admin (st);
    (void) state;

    configure (st, "a", 7);
    reload (st);
    set_priority (st, admin, "a", 0);
    assert_int_equal (priority_of (st, "a"), 0);
    reload (st);
    stage_restart (st);
    assert_int_equal (priority_of (st, "a"), 0);
    configure (st, "a", 9); // while no broker ran
    stage_restart (st);
    assert_int_equal (priority_of (st, "a"), 9);
    assert_null (stage_said (st, "a"));
    stage_destroy (st);
}

static void overruled_priority_leaves_a_pause_as_it_is (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *admin = stage_admin (st);
    uint64_t number;
    (void) state;

    configure (st, "a", 7);
    reload (st);
    set_priority (st, admin, "a", 8);
    number = stage_said (st, "a")->number;
    pause_it (st, admin, "a", "");
    assert_int_equal (stage_said (st, "a")->number, number);
    assert_int_equal (outbox_changed (st->out), 1); // it alone
    assert_true (outbox_flush (st->out));
    configure (st, "a", 6);
    reload (st);
    assert_int_equal (priority_of (st, "a"), 6);
    assert_true (stage_said (st, "a")->paused);
    assert_false (stage_said (st, "a")->prioritised);
    resume_it (st, admin, "a", "");
    assert_null (stage_said (st, "a"));
    assert_true (outbox_flush (st->out));
    stage_destroy (st);
}

/* The queue comes back when the priorities are known. */
static void priority_that_was_set_orders_the_queue_after_a_restart (void **s)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    struct actor *low = stage_shim (st, "low"), *admin = stage_admin (st);
    struct actor *high = stage_shim (st, "high");
    (void) s;

    act_request (st, a, 2);
    act_request (st, b, 2);
    act_request (st, low, 1);
    act_request (st, high, 1);
    set_policy (st, admin, "priority");
    set_priority (st, admin, "high", 10);
    stage_restart (st);
    act_beat (st, high);
    act_beat (st, low);
    act_release_some (st, a, 1);
    assert_true (was_granted (st, high));
    assert_false (was_granted (st, low));
    stage_destroy (st);
}

static void priorities_that_cannot_be_are_refused (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "consilio"), *admin = stage_admin (st);
    (void) state;

    set_priority (st, admin, "consilo", 8);
    stage_assert_refused (st, admin, ERR_NOT_FOUND);
    assert_detail (st, admin, "is it consilio?");
    set_priority (st, admin, "consilio", 1001);
    stage_assert_refused (st, admin, ERR_BAD_ARG);
    set_priority (st, a, "consilio", 8);
    stage_assert_refused (st, a, ERR_NOT_ALLOWED);
    broker_observe_disk (st->b, true, st->now, st->out);
    set_priority (st, admin, "consilio", 8);
    stage_assert_refused (st, admin, ERR_DISK);
    assert_int_equal (priority_of (st, "consilio"), 5);
    stage_destroy (st);
}

/* ---- PAUSE and RESUME ---- */

static void paused_project_waits_with_its_reason_and_others_go_on (void **state)
{
    struct stage *st = stage_create (20);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    const struct msg_queued *q;
    (void) state;

    act_request (st, a, 3);
    pause_it (st, a, "a", "until \"noon\"");
    assert_ok (st, a, "PAUSE", 0);
    assert_true (outbox_flush (st->out));
    assert_true (stage_logged (st, "pause    uid=1000 project=a waiting=0"));
    act_request (st, a, 2);
    q = stage_got (st, a, VERB_QUEUED);
    assert_non_null (q);
    assert_string_equal (q->reason, "PAUSED");
    assert_string_equal (q->detail, "a is paused: until \"noon\"");
    assert_int_equal (stage_in_use (st), 3); // it keeps what it has
    act_request (st, b, 2);
    assert_true (was_granted (st, b));
    resume_it (st, a, "a", "noon");
    assert_ok (st, a, "RESUME", 1);
    assert_true (was_granted (st, a)); // at once
    assert_true (stage_logged (st, "resume   uid=1000 project=a waiting=1"));
    assert_null (stage_said (st, "a"));
    stage_destroy (st);
}

static void words_of_a_pause_forge_no_field_of_the_log (void **state)
{
    struct stage *st = stage_create (20);
    struct actor *a = stage_shim (st, "a");
    (void) state;

    pause_it (st, a, "a", "x\" uid=\"0");
    make_request (st, a, 2);
    st->msg.request.nowait = true;
    stage_tell (st, a);
    stage_assert_refused (st, a, ERR_NOT_NOW);
    assert_true (
        stage_logged (st, "detail=\"PAUSED: a is paused: x' uid='0\""));
    stage_destroy (st);
}

static void waiters_hear_of_a_pause_and_keep_their_place (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    struct actor *c = stage_shim (st, "c"), *admin = stage_admin (st);
    const struct msg_queued *q;
    (void) state;

    act_request (st, a, 2);
    act_request (st, b, 2);
    act_request (st, c, 1);
    pause_it (st, admin, "c", "");
    assert_ok (st, admin, "PAUSE", 1);
    q = stage_got (st, c, VERB_QUEUED);
    assert_non_null (q);
    assert_string_equal (q->reason, "PAUSED");
    assert_string_equal (q->detail, "c is paused");
    act_request (st, b, 1); // later
    resume_it (st, admin, "c", "");
    act_release_some (st, a, 1);
    assert_true (was_granted (st, c));
    assert_false (was_granted (st, b));
    stage_destroy (st);
}

static void pause_is_there_after_a_restart_and_ends_after_another (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a"), *admin = stage_admin (st);
    (void) state;

    pause_it (st, admin, "a", "at night");
    stage_restart (st);
    assert_string_equal (stage_said (st, "a")->reason, "at night");
    act_request (st, a, 1);
    assert_false (was_granted (st, a));
    stage_restart (st);
    act_beat (st, a);
    resume_it (st, admin, "a", "");
    assert_ok (st, admin, "RESUME", 1);
    assert_true (was_granted (st, a));
    stage_restart (st);
    act_request (st, a, 1);
    assert_true (was_granted (st, a));
    stage_destroy (st);
}

static void repeated_pause_changes_nothing (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *admin = stage_admin (st);
    (void) state;

    configure (st, "a", 5);
    reload (st);
    resume_it (st, admin, "a", ""); // which is not paused
    assert_ok (st, admin, "RESUME", 0);
    assert_int_equal (outbox_changed (st->out), 0);
    pause_it (st, admin, "a", "first");
    assert_int_equal (outbox_changed (st->out), 2); // and a mark
    pause_it (st, admin, "a", "second");
    assert_ok (st, admin, "PAUSE", 0);
    assert_int_equal (outbox_changed (st->out), 0);
    assert_string_equal (stage_said (st, "a")->reason, "first");
    stage_destroy (st);
}

static void pause_of_anothers_project_is_refused (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a"), *other = stage_shim (st, "b");
    struct actor *operator= stage_admin (st), *observer = stage_admin (st);
    (void) state;

    other->peer.uid = 1001;
    pause_it (st, other, "a", "");
    stage_assert_refused (st, other, ERR_NOT_ALLOWED);
    assert_detail (st, other, "another user works for a");
    pause_it (st, a, "a", "");
    resume_it (st, other, "a", "");
    stage_assert_refused (st, other, ERR_NOT_ALLOWED);
    observer->peer.role = ROLE_OBSERVER;
    resume_it (st, observer, "a", "");
    stage_assert_refused (st, observer, ERR_NOT_ALLOWED);
    operator->peer.role = ROLE_OPERATOR;
    resume_it (st, operator, "a", "");
    stage_assert_refused (st, operator, ERR_BAD_ARG);
    assert_detail (st, operator, "an operator says why");
    assert_true (stage_said (st, "a")->paused);
    resume_it (st, operator, "a", "it is day");
    assert_ok (st, operator, "RESUME", 0);
    stage_destroy (st);
}

static void pause_of_what_is_not_there_or_without_a_disk_is_refused (void **s)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "consilio");
    (void) s;

    pause_it (st, a, "consilo", "");
    stage_assert_refused (st, a, ERR_NOT_FOUND);
    assert_detail (st, a, "is it consilio?");
    broker_observe_disk (st->b, true, st->now, st->out);
    resume_it (st, a, "consilio", ""); // there is nothing to be stored
    assert_ok (st, a, "RESUME", 0);
    pause_it (st, a, "consilio", "");
    stage_assert_refused (st, a, ERR_DISK);
    assert_null (stage_said (st, "consilio"));
    stage_destroy (st);
}

static void paused_project_is_remembered_when_nothing_is_left_of_it (void **s)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a"), *admin = stage_admin (st);
    const struct msg_status_ok *ok;
    (void) s;

    pause_it (st, a, "a", "");
    act_bye (st, a);
    stage_restart (st);
    message_init (&st->msg, VERB_STATUS);
    stage_tell (st, admin);
    ok = stage_got (st, admin, VERB_STATUS_OK);
    assert_int_equal (ok->projects_count, 1);
    assert_string_equal (ok->projects[0].name, "a");
    assert_true (ok->projects[0].paused);
    resume_it (st, admin, "a", "");
    assert_null (projects_find (&st->b->projects, "a"));
    stage_destroy (st);
}

/* ---- rows that nobody can have written ---- */

static void add_row (struct broker *b, uint64_t number, const char *name,
                     bool paused, unsigned priority)
{
    struct project_record r = {.number = number,
                               .paused = paused,
                               .prioritised = priority != 0,
                               .priority = priority,
                               .config_priority = DEFAULT_PRIORITY};

    copy_text (r.name, sizeof r.name, name);
    broker_restore_project (b, &r);
}

static struct broker *a_broker (struct stage *st)
{
    return broker_create (&st->settings, &st->self, stage_meta (st), false,
                          st->now);
}

/* How many rows it throws away as it starts. */
static unsigned started (struct stage *st, struct broker *b)
{
    unsigned dropped = 0;

    outbox_clear (st->out);
    broker_start (b, st->now, st->out);
    for (size_t i = 0; i < outbox_changed (st->out); i++) {
        struct change c = outbox_change_at (st->out, i);

        dropped += c.kind == CHANGE_PROJECT && c.deleted;
    }
    return dropped;
}

static void rows_that_mean_nothing_are_thrown_away (void **state)
{
    struct stage *st = stage_create (4);
    struct broker *b = a_broker (st);
    (void) state;

    add_row (b, 0, "zero", true, 0);
    add_row (b, 500, "a", true, 8);
    add_row (b, 500, "a", true, 8);
    add_row (b, 501, "a", false, 9); // twice the same project
    add_row (b, 502, "", true, 0);
    add_row (b, 503, "../a", true, 0);
    add_row (b, 504, "b", false, 0);
    add_row (b, 505, "c", true, 1001);
    assert_int_equal (started (st, b), 5);
    assert_int_equal (b->projects.count, 1);
    assert_int_equal (projects_find (&b->projects, "a")->priority, 8);
    assert_true (b->next_number > 505);
    broker_destroy (b);
    stage_destroy (st);
}

static void no_more_projects_are_remembered_than_there_is_room_for (void **s)
{
    struct stage *st = stage_create (4);
    struct broker *b = a_broker (st);
    struct actor *a = stage_shim (st, "late");
    struct outbox *out = outbox_create ();
    const struct msg_error *e;
    char name[16];
    (void) s;

    for (unsigned i = 0; i < MAX_SAID + 10; i++) {
        snprintf (name, sizeof name, "p%u", i);
        add_row (b, 500 + i, name, true, 0);
    }
    assert_int_equal (started (st, b), 10);
    assert_int_equal (b->projects.count, MAX_SAID);

    st->msg.hello = a->hello;
    st->msg.verb = VERB_HELLO;
    broker_step (b, &a->peer, &st->msg, 1, st->now, out);
    message_init (&st->msg, VERB_PAUSE);
    copy_text (st->msg.pause.project, sizeof st->msg.pause.project, "late");
    outbox_clear (out);
    broker_step (b, &a->peer, &st->msg, 2, st->now, out);
    assert_int_equal (outbox_sent (out), 1);
    assert_int_equal (outbox_outgoing (out, 0).verb, VERB_ERROR);
    e = outbox_outgoing (out, 0).fields;
    assert_string_equal (e->error, "NOT_NOW");
    assert_int_equal (outbox_changed (out), 0);
    outbox_destroy (out);
    broker_destroy (b);
    stage_destroy (st);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (policy_that_is_set_orders_who_waits_already),
        cmocka_unit_test (status_has_the_share_of_each_under_fair_alone),
        cmocka_unit_test (policy_that_was_set_is_that_of_the_next_broker),
        cmocka_unit_test (policy_of_a_file_that_changed_later_wins),
        cmocka_unit_test (policy_that_was_set_after_the_file_changed_wins),
        cmocka_unit_test (policy_that_there_is_not_is_refused_with_the_nearest),
        cmocka_unit_test (
            priority_that_is_set_is_kept_until_the_file_says_another),
        cmocka_unit_test (priority_that_was_set_after_the_file_changed_wins),
        cmocka_unit_test (overruled_priority_leaves_a_pause_as_it_is),
        cmocka_unit_test (
            priority_that_was_set_orders_the_queue_after_a_restart),
        cmocka_unit_test (priorities_that_cannot_be_are_refused),
        cmocka_unit_test (
            paused_project_waits_with_its_reason_and_others_go_on),
        cmocka_unit_test (words_of_a_pause_forge_no_field_of_the_log),
        cmocka_unit_test (waiters_hear_of_a_pause_and_keep_their_place),
        cmocka_unit_test (
            pause_is_there_after_a_restart_and_ends_after_another),
        cmocka_unit_test (repeated_pause_changes_nothing),
        cmocka_unit_test (pause_of_anothers_project_is_refused),
        cmocka_unit_test (
            pause_of_what_is_not_there_or_without_a_disk_is_refused),
        cmocka_unit_test (
            paused_project_is_remembered_when_nothing_is_left_of_it),
        cmocka_unit_test (rows_that_mean_nothing_are_thrown_away),
        cmocka_unit_test (
            no_more_projects_are_remembered_than_there_is_room_for),
    };

    return cmocka_run_group_tests (tests, NULL, NULL);
}
