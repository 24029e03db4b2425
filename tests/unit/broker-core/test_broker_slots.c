/* SPDX-License-Identifier: MPL-2.0 */
/* What becomes of slots: RELEASE, STARTED, REAPED, PROGRESS, KILL, STATUS and
 * the topics. */
#include "stage.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct msg_released *released (struct stage *st, struct actor *a)
{
    const struct msg_released *r = stage_got (st, a, VERB_RELEASED);

    assert_non_null (r);
    return r;
}

static const struct msg_kill_ok *killed (struct stage *st, struct actor *a)
{
    const struct msg_kill_ok *k = stage_got (st, a, VERB_KILL_OK);

    assert_non_null (k);
    return k;
}

/* ---- RELEASE ---- */

static void release_sorts_tokens_into_what_was_done (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a");
    const struct msg_released *r;
    (void) state;

    act_request (st, a, 3);
    act_started (st, a, 2);
    act_release (st, a, 3);
    make_release (st, a, 1);
    for (uint64_t token = 2; token <= 4; token++)
        u64s_add (&st->msg.release.tokens, token);
    u64s_add (&st->msg.release.tokens, 1); // twice in one list
    stage_tell (st, a);
    r = released (st, a);
    assert_int_equal (r->tokens.count, 1);
    assert_int_equal (r->tokens.at[0], 1);
    assert_int_equal (r->busy.count, 1);
    assert_int_equal (r->busy.at[0], 2);
    assert_int_equal (r->expired.count, 2);
    assert_int_equal (r->unknown.count, 1);
    assert_int_equal (r->unknown.at[0], 4);
    assert_int_equal (r->held, 1);
    stage_destroy (st);
}

static void release_that_names_anothers_token_changes_nothing (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    const struct msg_error *e;
    (void) state;

    act_request (st, a, 1);
    act_request (st, b, 1);
    make_release (st, a, 1);
    u64s_add (&st->msg.release.tokens, 2);
    stage_tell (st, a);
    stage_assert_refused (st, a, ERR_NOT_ALLOWED);
    assert_int_equal (stage_in_use (st), 2);
    st->msg.release.tokens.count = 0;
    stage_tell (st, a);
    stage_assert_refused (st, a, ERR_BAD_ARG);
    e = stage_got (st, a, VERB_ERROR);
    assert_string_equal (e->key, "tokens");
    assert_string_equal (e->detail, "expected at least one");
    stage_destroy (st);
}

static void force_is_for_administrators_and_audited (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a"), *admin = stage_admin (st);
    const struct msg_beat_ok *ok;
    (void) state;

    act_request (st, a, 1);
    act_started (st, a, 1);
    make_release (st, a, 1);
    st->msg.release.force = true;
    stage_tell (st, a);
    stage_assert_refused (st, a, ERR_NOT_ALLOWED);
    st->msg.release.session = 0;
    stage_tell (st, admin);
    assert_int_equal (released (st, admin)->tokens.count, 1);
    assert_true (stage_logged (st, "force    uid=0 token=1"));
    assert_int_equal (stage_in_use (st), 0);
    act_beat (st, a);
    ok = stage_got (st, a, VERB_BEAT_OK);
    assert_true (u64s_has (&ok->stops, 1));
    stage_destroy (st);
}

/* ---- STARTED, REAPED ---- */

static void reaped_frees_the_slot_of_a_run (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a");
    (void) state;

    make_request (st, a, 1);
    st->msg.request.run = true;
    stage_tell (st, a);
    act_started (st, a, 1);
    assert_int_equal (stage_row (st, 1)->agent.pid, 901);
    act_reaped (st, a, 1);
    assert_int_equal (released (st, a)->tokens.at[0], 1);
    assert_int_equal (stage_in_use (st), 0);
    act_reaped (st, a, 1); // again: the answer was lost
    assert_int_equal (released (st, a)->expired.at[0], 1);
    stage_destroy (st);
}

static void reaped_with_keep_leaves_an_idle_reservation (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a");
    (void) state;

    act_request (st, a, 1);
    act_started (st, a, 1);
    make_reaped (st, a, 1);
    st->msg.reaped.keep = true;
    stage_tell (st, a);
    assert_int_equal (released (st, a)->tokens.count, 0);
    assert_int_equal (released (st, a)->kept.at[0], 1);
    assert_int_equal (stage_in_use (st), 1);
    assert_false (stage_row (st, 1)->tree);
    assert_int_equal (stage_row (st, 1)->agent.pid, 0);
    act_release (st, a, 1);
    assert_int_equal (stage_in_use (st), 0);
    stage_destroy (st);
}

static void started_of_what_is_closed_is_refused (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    (void) state;

    act_request (st, a, 2);
    act_release (st, a, 2);
    make_started (st, a, 1);
    u64s_add (&st->msg.started.tokens, 2);
    stage_tell (st, a);
    stage_assert_refused (st, a, ERR_EXPIRED);
    assert_false (stage_row (st, 1)->tree);
    make_started (st, b, 1);
    stage_tell (st, b);
    stage_assert_refused (st, b, ERR_NOT_ALLOWED);
    make_started (st, b, 50);
    stage_tell (st, b);
    stage_assert_refused (st, b, ERR_NOT_FOUND);
    stage_destroy (st);
}

static void labels_name_the_slots_in_their_order (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a");
    (void) state;

    make_request (st, a, 4);
    copy_text (st->msg.request.labels, 1025, "auth,,dashboard");
    stage_tell (st, a);
    assert_string_equal (stage_row (st, 1)->label, "auth");
    assert_string_equal (stage_row (st, 2)->label, "");
    assert_string_equal (stage_row (st, 3)->label, "dashboard");
    assert_string_equal (stage_row (st, 4)->label, "");
    stage_destroy (st);
}

/* ---- PROGRESS ---- */

static void tell_percent (struct stage *st, struct actor *a, uint64_t token,
                          double percent, bool validating)
{
    message_init (&st->msg, VERB_PROGRESS);
    st->msg.progress.session = a->session;
    st->msg.progress.token = token;
    st->msg.progress.percent = percent;
    st->msg.progress.validating = validating;
    stage_tell (st, a);
}

static void tell_progress (struct stage *st, struct actor *a, uint64_t token,
                           const char *label, unsigned phase, unsigned phases)
{
    message_init (&st->msg, VERB_PROGRESS);
    st->msg.progress.session = a->session;
    st->msg.progress.token = token;
    copy_text (st->msg.progress.label, 257, label);
    st->msg.progress.phase = phase;
    st->msg.progress.phases = phases;
    stage_tell (st, a);
}

static void progress_by_label_names_the_first_unlabelled_slot (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a");
    (void) state;

    make_request (st, a, 3);
    copy_text (st->msg.request.labels, 1025, "auth");
    stage_tell (st, a);
    tell_progress (st, a, 0, "api", 2, 4);
    assert_string_equal (stage_row (st, 2)->label, "api");
    assert_int_equal (stage_row (st, 2)->phase, 2);
    tell_progress (st, a, 0, "api", 3, 4);
    assert_int_equal (stage_row (st, 2)->phase, 3);
    assert_string_equal (stage_row (st, 3)->label, "");
    tell_progress (st, a, 0, "tests", 1, 4);
    tell_progress (st, a, 0, "deploy", 1, 4);
    stage_assert_refused (st, a, ERR_NOT_FOUND);
    tell_progress (st, a, 9, "", 1, 4);
    stage_assert_refused (st, a, ERR_NOT_FOUND);
    tell_progress (st, a, 1, "", 5, 4);
    stage_assert_refused (st, a, ERR_BAD_ARG);
    stage_destroy (st);
}

static double shown_percent (struct stage *st, struct actor *admin,
                             uint64_t token)
{
    const struct msg_status_ok *s;

    message_init (&st->msg, VERB_STATUS);
    stage_tell (st, admin);
    s = stage_got (st, admin, VERB_STATUS_OK);
    for (unsigned i = 0; i < s->agents_count; i++) {
        if (s->agents[i].token == token)
            return s->agents[i].percent;
    }
    fail ();
    return NAN;
}

/* The seed's five agents: 60, 80, 40, 90 and 20 percent. */
static void percent_follows_the_phases_unless_it_is_said (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a"), *admin = stage_admin (st);
    (void) state;

    act_request (st, a, 5);
    for (unsigned phase = 1; phase <= 4; phase++)
        tell_progress (st, a, phase, "", phase, 4);
    assert_true (shown_percent (st, admin, 1) == 20);
    assert_true (shown_percent (st, admin, 2) == 40);
    assert_true (shown_percent (st, admin, 3) == 60);
    assert_true (shown_percent (st, admin, 4) == 80);
    assert_true (isnan (shown_percent (st, admin, 5)));
    tell_percent (st, a, 4, NAN, true);
    assert_true (shown_percent (st, admin, 4) == 90);
    tell_percent (st, a, 4, 33.5, false);
    assert_true (shown_percent (st, admin, 4) == 33.5);
    tell_percent (st, a, 4, 100.5, false);
    stage_assert_refused (st, a, ERR_BAD_ARG);
    stage_destroy (st);
}

/* ---- KILL ---- */

/* G6: frees exactly the project's slots and wakes those who wait. */
static void kill_frees_a_projects_reservations_and_wakes_waiters (void **s)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    struct actor *c = stage_shim (st, "c"), *admin = stage_admin (st);
    const struct msg_kill_ok *k;
    (void) s;

    act_request (st, a, 5);
    act_request (st, b, 5);
    act_request (st, c, 5);
    make_kill (st, 1, "a");
    stage_tell (st, admin);
    k = killed (st, admin);
    assert_true (k->done);
    assert_int_equal (k->slots, 5);
    assert_int_equal (k->released, 5);
    assert_int_equal (k->agents, 0);
    assert_non_null (stage_got (st, a, VERB_STOP));
    assert_null (stage_got (st, b, VERB_STOP));
    assert_non_null (stage_got (st, c, VERB_GRANT));
    assert_true (outbox_flush (st->out));
    assert_int_equal (stage_in_use (st), 10);
    stage_destroy (st);
}

static void slot_of_a_killed_tree_is_free_only_when_it_is_reaped (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a"), *admin = stage_admin (st);
    const struct msg_kill_ok *k;
    const struct msg_stop *stop;
    const struct msg_beat_ok *ok;
    (void) state;

    act_request (st, a, 3);
    act_started (st, a, 1);
    act_started (st, a, 2);
    make_kill (st, 1, "a");
    st->msg.kill.grace_ms = 700;
    stage_tell (st, admin);
    k = killed (st, admin);
    assert_false (k->done);
    assert_int_equal (k->agents, 2);
    assert_int_equal (k->terminated, 0);
    assert_int_equal (k->released, 1);
    stop = stage_got (st, a, VERB_STOP);
    assert_int_equal (stop->tokens.count, 3);
    assert_int_equal (stop->notice_ms, 10000);
    assert_int_equal (stop->grace_ms, 700);
    assert_string_equal (stop->reason, "User requested");
    assert_int_equal (stage_row (st, 1)->state, LEASE_KILLING);
    act_beat (st, a);
    ok = stage_got (st, a, VERB_BEAT_OK);
    assert_true (u64s_has (&ok->stops, 1) && u64s_has (&ok->stops, 2));

    make_reaped (st, a, 1);
    st->msg.reaped.keep = true; // KILLING: not kept
    stage_tell (st, a);
    make_kill (st, 1, "a");
    stage_tell (st, admin);
    k = killed (st, admin);
    assert_false (k->done);
    assert_int_equal (k->terminated, 1);
    assert_int_equal (k->released, 2);
    act_reaped (st, a, 2);
    make_kill (st, 1, "a");
    stage_tell (st, admin);
    assert_true (killed (st, admin)->done);
    assert_int_equal (killed (st, admin)->terminated, 2);
    assert_int_equal (stage_in_use (st), 0);
    stage_destroy (st);
}

/* A run of that project's own slot: a tree that KILL ends. */
static void start_one (struct stage *st, struct actor *a)
{
    uint64_t token = st->highest + 1;

    act_request (st, a, 1);
    act_beat (st, a);
    act_started (st, a, token);
}

static void kill_one (struct stage *st, struct actor *admin, uint64_t token,
                      const char *reason, bool supervisor)
{
    make_kill (st, 100 + token, "a");
    st->msg.kill.token = token;
    st->msg.kill.grace_ms = 700;
    st->msg.kill.supervisor = supervisor;
    copy_text (st->msg.kill.reason, sizeof st->msg.kill.reason, reason);
    stage_tell (st, admin);
}

static const struct msg_beat_ok *beat_ok_of (struct stage *st, struct actor *a)
{
    act_beat (st, a);
    return stage_got (st, a, VERB_BEAT_OK);
}

static void stop_is_repeated_with_all_that_it_said (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a"), *admin = stage_admin (st);
    const struct msg_beat_ok *ok;
    (void) state;

    a->peer.path.req = true; // nothing is pushed to it
    for (int i = 0; i < 4; i++)
        start_one (st, a);
    kill_one (st, admin, 1, "too slow", false);
    kill_one (st, admin, 2, "too slow", false);
    kill_one (st, admin, 4, "in the way", true);
    u64s_add (&a->holds, 99);
    for (int i = 0; i < 3; i++) { // whichever it begins with
        uint64_t count = 0;

        ok = beat_ok_of (st, a);
        assert_int_equal (ok->stops.count, 4);
        for (uint32_t e = 0; e < ok->endings_count; e++) {
            const struct row_ending *row = &ok->endings[e];
            bool last = ok->stops.at[count] == 4;

            assert_int_equal (row->notice_ms, 10000);
            assert_int_equal (row->grace_ms, 700);
            assert_int_equal (row->supervisor, last);
            assert_string_equal (row->reason, last ? "in the way" : "too slow");
            count += row->count;
        }
        assert_int_equal (count, 3);
        assert_int_equal (ok->stops.at[3], 99); // of which nothing is said
    }
    stage_destroy (st);
}

static void stop_of_a_broker_before_is_repeated_with_the_usual_times (void **s)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a"), *admin = stage_admin (st);
    const struct msg_beat_ok *ok;
    (void) s;

    start_one (st, a);
    kill_one (st, admin, 1, "too slow", true);
    stage_restart (st);
    ok = beat_ok_of (st, a);
    assert_int_equal (ok->stops.count, 1);
    assert_int_equal (ok->endings_count, 1);
    assert_int_equal (ok->endings[0].count, 1);
    assert_int_equal (ok->endings[0].notice_ms, 10000);
    assert_int_equal (ok->endings[0].grace_ms, 10000);
    assert_false (ok->endings[0].supervisor);
    assert_string_equal (ok->endings[0].reason, "");
    stage_destroy (st);
}

static void more_endings_than_fit_come_with_the_next_beats (void **state)
{
    enum { TREES = 150 };
    struct stage *st = stage_create (TREES);
    struct actor *a, *admin = stage_admin (st);
    struct u64s told = {0};
    (void) state;

    st->settings.max_per_project_auto = false;
    st->settings.max_per_project = TREES;
    broker_reload (st->b, &st->settings, st->now, st->out);
    a = stage_shim (st, "a");
    for (uint64_t token = 1; token <= TREES; token++)
        start_one (st, a);
    for (uint64_t token = 1; token <= TREES; token++) {
        char reason[32];

        snprintf (reason, sizeof reason, "reason %d", (int) token);
        kill_one (st, admin, token, reason, false);
    }
    for (int i = 0; i < 3; i++) {
        const struct msg_beat_ok *ok = beat_ok_of (st, a);

        assert_int_equal (ok->endings_count, 64);
        assert_int_equal (ok->stops.count, 64);
        for (uint32_t t = 0; t < ok->stops.count; t++) {
            char reason[32];

            snprintf (reason, sizeof reason, "reason %d",
                      (int) ok->stops.at[t]);
            assert_string_equal (ok->endings[t].reason, reason);
            if (!u64s_has (&told, ok->stops.at[t]))
                u64s_add (&told, ok->stops.at[t]);
        }
    }
    assert_int_equal (told.count, TREES);
    stage_destroy (st);
}

static void what_does_not_end_is_reported_as_unkillable (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a"), *admin = stage_admin (st);
    const struct msg_kill_ok *k;
    (void) state;

    act_request (st, a, 1);
    act_started (st, a, 1);
    make_kill (st, 1, "a");
    stage_tell (st, admin);
    stage_sleep (st, 34999);
    make_kill (st, 1, "a");
    stage_tell (st, admin);
    assert_false (killed (st, admin)->done);
    stage_sleep (st, 1);
    make_kill (st, 1, "a");
    stage_tell (st, admin);
    k = killed (st, admin);
    assert_true (k->done);
    assert_int_equal (k->unkillable, 1);
    assert_int_equal (k->terminated, 0);
    assert_int_equal (stage_in_use (st), 1);
    stage_destroy (st);
}

static void bound_slots_are_revoked_and_say_inside_whom (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a"), *admin = stage_admin (st);
    const struct msg_kill_ok *k;
    (void) state;

    make_request (st, a, 5);
    st->msg.request.bound = true;
    stage_tell (st, a);
    make_kill (st, 1, "a");
    stage_tell (st, admin);
    k = killed (st, admin);
    assert_true (k->done); // nobody waits for a word
    assert_int_equal (k->revoked, 5);
    assert_int_equal (k->released, 0);
    assert_int_equal (k->supervisor, 77);
    assert_int_equal (stage_in_use (st), 5);
    make_kill (st, 2, "a");
    st->msg.kill.supervisor = true;
    stage_tell (st, admin);
    assert_false (killed (st, admin)->done);
    assert_true (
        ((const struct msg_stop *) stage_got (st, a, VERB_STOP))->supervisor);
    act_release_some (st, a, 5);
    make_kill (st, 2, "a");
    st->msg.kill.supervisor = true;
    stage_tell (st, admin);
    assert_true (killed (st, admin)->done);
    assert_int_equal (killed (st, admin)->released, 5);
    stage_destroy (st);
}

static void slots_of_one_tree_are_one_agent_and_end_together (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a"), *admin = stage_admin (st);
    (void) state;

    make_request (st, a, 4);
    st->msg.request.run = true;
    stage_tell (st, a);
    make_started (st, a, 1);
    for (uint64_t token = 2; token <= 4; token++)
        u64s_add (&st->msg.started.tokens, token);
    stage_tell (st, a);
    act_request (st, a, 1);
    make_kill (st, 1, "a");
    st->msg.kill.token = 3;
    stage_tell (st, admin);
    assert_int_equal (killed (st, admin)->agents, 1);
    assert_int_equal (killed (st, admin)->slots, 4);
    assert_int_equal (stage_row (st, 5)->state, LEASE_ACTIVE);
    stage_destroy (st);
}

static void kill_of_a_run_before_started_waits_for_its_holder (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a"), *admin = stage_admin (st);
    (void) state;

    make_request (st, a, 1);
    st->msg.request.run = true;
    stage_tell (st, a);
    make_kill (st, 1, "a");
    stage_tell (st, admin);
    assert_false (killed (st, admin)->done);
    assert_int_equal (stage_in_use (st), 1);
    for (unsigned i = 0; i < 2; i++) { // the GRANT is on its way still
        make_beat (st, a);
        st->msg.beat.holds.count = st->msg.beat.acks.count = 0;
        stage_tell (st, a);
    }
    assert_int_equal (stage_in_use (st), 1);
    act_reaped (st, a, 1); // it has never had it
    assert_int_equal (stage_in_use (st), 0);
    stage_destroy (st);
}

static void kill_withdraws_the_queue_unless_told_otherwise (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a"), *b = stage_actor (st, "b");
    struct actor *admin = stage_admin (st);
    const struct msg_error *e;
    const struct msg_beat_ok *ok;
    (void) state;

    b->peer.path.req = true;
    b->hello.project[0] = 'a'; // a REQ of the same project on another host
    copy_text (b->hello.machine, 65, "m2");
    copy_text (b->hello.host, 65, "vm2");
    copy_text (b->hello.boot, 65, "b2");
    b->peer.pid = 0;
    act_hello (st, b);
    act_request (st, a, 2);
    act_request (st, a, 1);
    act_request (st, b, 1);
    make_kill (st, 1, "a");
    st->msg.kill.keep_queue = true;
    stage_tell (st, admin);
    assert_int_equal (killed (st, admin)->cancelled, 0);
    assert_int_equal (stage_in_use (st), 2); // what waited was served
    act_request (st, a, 2);
    act_request (st, b, 2);
    make_kill (st, 2, "a");
    stage_tell (st, admin);
    assert_int_equal (killed (st, admin)->cancelled, 2);
    assert_int_equal (killed (st, admin)->released, 2);
    e = stage_got (st, a, VERB_ERROR);
    assert_string_equal (e->error, "EXPIRED");
    assert_string_equal (e->re, "REQUEST");
    assert_string_equal (e->detail, "killed");
    assert_int_equal (e->seq, 3);
    assert_null (stage_got (st, b, VERB_ERROR));
    make_beat (st, b);
    st->msg.beat.acks.count = 0;
    stage_tell (st, b);
    ok = stage_got (st, b, VERB_BEAT_OK);
    assert_int_equal (ok->expired.count, 2); // granted to it, or not yet
    assert_int_equal (ok->expired.at[0], 1);
    assert_int_equal (ok->expired.at[1], 2);
    make_beat (st, b);
    st->msg.beat.acks = ok->expired;
    stage_tell (st, b);
    ok = stage_got (st, b, VERB_BEAT_OK);
    assert_int_equal (ok->expired.count, 0);
    stage_destroy (st);
}

/* What a session is told has expired, in its next BEAT_OK; 0: nothing. */
static uint64_t told_expired (struct stage *st, struct actor *a)
{
    const struct msg_beat_ok *ok;

    make_beat (st, a);
    st->msg.beat.acks.count = st->msg.beat.holds.count = 0;
    stage_tell (st, a);
    ok = stage_got (st, a, VERB_BEAT_OK);
    return ok->expired.count ? ok->expired.at[0] : 0;
}

static void kill_tells_whom_the_grant_has_not_reached (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a"), *admin = stage_admin (st);
    (void) state;

    act_request (st, a, 2); // its GRANT is lost
    make_kill (st, 1, "a");
    stage_tell (st, admin);
    assert_int_equal (stage_in_use (st), 0);
    assert_int_equal (told_expired (st, a), 1);
    stage_destroy (st);
}

static void kill_tells_again_who_had_just_asked_again (void **state)
{
    struct stage *st = stage_create (2);
    struct actor *a = stage_shim (st, "a"), *admin = stage_admin (st);
    (void) state;

    st->settings.max_per_project = 1;
    broker_reload (st->b, &st->settings, st->now, st->out);
    act_request (st, a, 1);
    act_request (st, a, 1);
    assert_non_null (stage_got (st, a, VERB_QUEUED));
    act_beat (st, a);
    stage_begin (st);
    make_request (st, a, 1);
    st->msg.request.seq = 2; // a late copy: its answer may go nowhere
    stage_say (st, a);
    make_kill (st, 1, "a");
    stage_say (st, admin);
    stage_end (st);
    assert_int_equal (told_expired (st, a), 2);
    stage_destroy (st);
}

static void kill_belongs_to_operators_and_the_projects_own (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a"), *b = stage_actor (st, "b");
    (void) state;

    act_request (st, a, 1);
    b->peer.uid = 1001;
    make_kill (st, 1, "a");
    stage_tell (st, b);
    stage_assert_refused (st, b, ERR_NOT_ALLOWED);
    b->peer.role = ROLE_OPERATOR;
    st->msg.kill.reason[0] = '\0';
    stage_tell (st, b);
    stage_assert_refused (st, b, ERR_BAD_ARG);
    b->peer.role = ROLE_OBSERVER;
    make_kill (st, 1, "a");
    stage_tell (st, b);
    stage_assert_refused (st, b, ERR_NOT_ALLOWED);
    assert_int_equal (stage_in_use (st), 1);
    make_kill (st, 1, "a");
    stage_tell (st, a);
    assert_int_equal (killed (st, a)->released, 1);
    stage_destroy (st);
}

static void kill_of_what_is_not_there (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *admin = stage_admin (st);
    const struct msg_error *e;
    (void) state;

    stage_shim (st, "consilio");
    make_kill (st, 1, "consillio");
    stage_tell (st, admin);
    stage_assert_refused (st, admin, ERR_NOT_FOUND);
    e = stage_got (st, admin, VERB_ERROR);
    assert_string_equal (e->detail, "no project consillio: is it consilio?");
    make_kill (st, 1, "consilio");
    stage_tell (st, admin);
    assert_true (killed (st, admin)->done);
    assert_int_equal (killed (st, admin)->slots, 0);
    make_kill (st, 2, "consilio");
    st->msg.kill.token = 5;
    stage_tell (st, admin);
    stage_assert_refused (st, admin, ERR_NOT_FOUND);
    make_kill (st, 1, "consilio");
    copy_text (st->msg.kill.label, 257, "other");
    stage_tell (st, admin);
    stage_assert_refused (st, admin, ERR_CONFLICT);
    stage_destroy (st);
}

static void reason_of_a_kill_adds_no_keys_to_the_log (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *admin = stage_admin (st);
    (void) state;

    stage_shim (st, "a");
    make_kill (st, 1, "a");
    copy_text (st->msg.kill.reason, 257, "x\\\" uid=\"7");
    stage_tell (st, admin);
    assert_true (stage_logged (st, " reason=\"x/' uid='7\""));
    stage_destroy (st);
}

static void dry_run_names_the_tokens_and_ends_nothing (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a"), *admin = stage_admin (st);
    (void) state;

    act_request (st, a, 2);
    act_started (st, a, 2);
    make_kill (st, 1, "a");
    st->msg.kill.dry_run = true;
    stage_tell (st, admin);
    assert_int_equal (killed (st, admin)->tokens.count, 2);
    assert_int_equal (killed (st, admin)->agents, 1);
    assert_int_equal (killed (st, admin)->released, 0);
    assert_int_equal (outbox_changed (st->out), 0);
    assert_null (stage_got (st, a, VERB_STOP));
    stage_destroy (st);
}

static void killed_holder_that_is_lost_leaves_limbo (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a"), *admin = stage_admin (st);
    const struct msg_kill_ok *k;
    (void) state;

    act_request (st, a, 1);
    act_started (st, a, 1);
    make_kill (st, 1, "a");
    stage_tell (st, admin);
    stage_begin (st);
    broker_observe_gone (st->b, a->session, st->now, st->out);
    stage_end (st);
    assert_int_equal (stage_row (st, 1)->state, LEASE_LIMBO);
    make_kill (st, 1, "a");
    stage_tell (st, admin);
    k = killed (st, admin);
    assert_true (k->done);
    assert_int_equal (k->slots, 1);
    assert_int_equal (k->released, 0);
    make_kill (st, 2, "a");
    stage_tell (st, admin);
    assert_int_equal (killed (st, admin)->slots, 1);
    stage_destroy (st);
}

/* ---- STATUS ---- */

static void status_shows_the_moment_after_the_round (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a"), *admin = stage_admin (st);
    const struct msg_status_ok *s;
    (void) state;

    stage_begin (st);
    message_init (&st->msg, VERB_STATUS);
    stage_say (st, admin);
    make_request (st, a, 5);
    stage_say (st, a);
    make_request (st, a, 2);
    stage_say (st, a);
    stage_end (st);
    s = stage_got (st, admin, VERB_STATUS_OK);
    assert_non_null (s);
    assert_int_equal (s->next, 0);
    assert_int_equal (s->in_use, 5);
    assert_int_equal (s->max_slots, 10);
    assert_string_equal (s->policy, "fifo");
    assert_int_equal (s->hosts_count, 1);
    assert_string_equal (s->hosts[0].host, "vm1");
    assert_true (isnan (s->hosts[0].cpu_percent));
    assert_true (s->hosts[0].max_cpu_percent == 85);
    assert_int_equal (s->projects_count, 1);
    assert_int_equal (s->projects[0].held, 5);
    assert_int_equal (s->projects[0].waiting, 2);
    assert_int_equal (s->agents_count, 5);
    assert_string_equal (s->agents[0].state, "active");
    assert_string_equal (s->agents[0].kind, "reservation");
    assert_string_equal (s->agents[0].proof, "word");
    assert_int_equal (s->agents[0].supervisor, 77);
    assert_int_equal (s->queue_count, 1);
    assert_string_equal (s->queue[0].reason, "CAP");
    stage_destroy (st);
}

static void status_of_more_than_a_page_stays_what_it_was (void **state)
{
    struct stage *st = stage_create (400);
    struct actor *a = stage_shim (st, "a"), *admin = stage_admin (st);
    const struct msg_status_ok *s;
    uint64_t snapshot, cursor, rows = 0, last = 0;
    (void) state;

    act_request (st, a, 150);
    act_request (st, a, 100);
    message_init (&st->msg, VERB_STATUS);
    stage_tell (st, admin);
    s = stage_got (st, admin, VERB_STATUS_OK);
    snapshot = s->snapshot;
    assert_int_equal (s->next, 64);
    act_release_some (st, a, 150); // the later pages do not know
    for (cursor = 0;; cursor = s->next) {
        message_init (&st->msg, VERB_STATUS);
        st->msg.status.snapshot = snapshot;
        st->msg.status.cursor = cursor;
        stage_tell (st, admin);
        s = stage_got (st, admin, VERB_STATUS_OK);
        assert_int_equal (s->snapshot, snapshot);
        assert_int_equal (s->in_use, 150);
        rows += s->hosts_count + s->projects_count + s->agents_count +
                s->queue_count;
        for (unsigned i = 0; i < s->agents_count; i++) {
            assert_true (s->agents[i].token > last);
            last = s->agents[i].token;
        }
        if (!s->next)
            break;
    }
    assert_int_equal (rows, 1 + 1 + 150 + 1);
    assert_int_equal (last, 150);
    assert_string_equal (s->queue[0].reason, "CAP");

    st->msg.status.cursor = UINT32_MAX;
    stage_tell (st, admin);
    s = stage_got (st, admin, VERB_STATUS_OK);
    assert_int_equal (s->next, 0);
    st->msg.status.snapshot = 77;
    stage_tell (st, admin);
    stage_assert_refused (st, admin, ERR_EXPIRED);
    stage_sleep (st, 60000);
    message_init (&st->msg, VERB_STATUS);
    st->msg.status.snapshot = snapshot;
    stage_tell (st, admin);
    stage_assert_refused (st, admin, ERR_EXPIRED);
    stage_destroy (st);
}

static void status_of_one_project_and_of_none (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "odin"), *b = stage_shim (st, "b");
    struct actor *admin = stage_admin (st);
    const struct msg_status_ok *s;
    (void) state;

    act_request (st, a, 1);
    act_request (st, b, 2);
    message_init (&st->msg, VERB_STATUS);
    copy_text (st->msg.status.project, 65, "odin");
    stage_tell (st, admin);
    s = stage_got (st, admin, VERB_STATUS_OK);
    assert_int_equal (s->projects_count, 1);
    assert_int_equal (s->agents_count, 1);
    assert_int_equal (s->in_use, 3);
    copy_text (st->msg.status.project, 65, "oddin");
    stage_tell (st, admin);
    stage_assert_refused (st, admin, ERR_NOT_FOUND);
    stage_destroy (st);
}

static void status_shows_a_project_its_own_and_counts (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a"), *b = stage_actor (st, "b");
    const struct msg_status_ok *s;
    (void) state;

    b->peer.uid = 1001;
    act_hello (st, b);
    act_request (st, a, 5);
    act_request (st, b, 2);
    message_init (&st->msg, VERB_STATUS);
    stage_tell (st, b);
    s = stage_got (st, b, VERB_STATUS_OK);
    assert_int_equal (s->in_use, 7);
    assert_int_equal (s->projects_count, 2);
    assert_int_equal (s->projects[0].held, 5);
    assert_int_equal (s->agents_count, 2);
    assert_string_equal (s->agents[0].project, "b");
    b->peer.role = ROLE_STRANGER;
    stage_tell (st, b);
    stage_assert_refused (st, b, ERR_NOT_ALLOWED);
    stage_destroy (st);
}

/* ---- topics ---- */

static void topics_are_numbered_and_published_when_they_change (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a");
    const struct msg_pool *pool;
    const struct msg_lease *lease;
    const struct msg_queue *queue;
    uint64_t number;
    (void) state;

    pool = stage_published (st, "pool.vm1");
    assert_null (pool); // nothing of it has changed
    act_request (st, a, 5);
    pool = stage_published (st, "pool.vm1");
    lease = stage_published (st, "lease.a");
    assert_int_equal (pool->in_use, 5);
    number = pool->number;
    assert_int_equal (lease->held, 5);
    assert_int_equal (lease->tokens.count, 5);
    assert_null (stage_published (st, "queue.a"));
    act_request (st, a, 2);
    queue = stage_published (st, "queue.a");
    assert_int_equal (queue->waiting, 2);
    assert_int_equal (queue->requests_count, 1);
    assert_string_equal (queue->requests[0].reason, "CAP");
    assert_null (stage_published (st, "lease.a"));
    pool = stage_published (st, "pool.vm1");
    assert_int_equal (pool->number, number + 1);
    stage_sleep (st, 400);
    assert_int_equal (outbox_published (st->out), 0);
    stage_destroy (st);
}

/* Messages about two trees that fill one reservation, one after the other. */
static void late_news_of_the_tree_before_changes_nothing (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a");
    const struct msg_released *r;
    (void) state;

    act_request (st, a, 1);
    make_started (st, a, 1);
    st->msg.started.seq = 1;
    stage_tell (st, a);
    make_started (st, a, 1);
    st->msg.started.seq = 2;
    st->msg.started.pid = 4711;
    stage_tell (st, a);
    make_started (st, a, 1); // the first, late
    st->msg.started.seq = 1;
    stage_tell (st, a);
    assert_int_equal (((const struct msg_ok *) stage_got (st, a, VERB_OK))->seq,
                      1);
    assert_int_equal (stage_row (st, 1)->agent.pid, 4711);

    make_reaped (st, a, 1);
    st->msg.reaped.seq = 3;
    st->msg.reaped.keep = true;
    stage_tell (st, a);
    assert_false (stage_row (st, 1)->tree);
    make_started (st, a, 1); // the second, late
    st->msg.started.seq = 2;
    stage_tell (st, a);
    assert_false (stage_row (st, 1)->tree);

    make_started (st, a, 1);
    st->msg.started.seq = 4;
    stage_tell (st, a);
    make_reaped (st, a, 1); // of the first tree, late
    st->msg.reaped.seq = 3;
    st->msg.reaped.keep = true;
    stage_tell (st, a);
    r = stage_got (st, a, VERB_RELEASED);
    assert_true (u64s_has (&r->kept, 1));
    assert_true (stage_row (st, 1)->tree);
    make_kill (st, 9, "a");
    stage_tell (st, stage_admin (st));
    make_reaped (st, a, 1); // once more, while it is being ended
    st->msg.reaped.seq = 3;
    st->msg.reaped.keep = true;
    stage_tell (st, a);
    assert_int_equal (stage_in_use (st), 1);
    act_reaped (st, a, 1); // without a number: as before
    assert_int_equal (stage_in_use (st), 0);
    stage_destroy (st);
}

/* Only then the holder is told so, and starts the tree. */
static void tree_in_a_remote_reservation_survives_a_power_cut (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_remote (st, "a", "vm2"), *b = stage_shim (st, "b");
    (void) state;

    act_request (st, a, 1);
    act_started (st, a, 1);
    assert_true (outbox_flush (st->out));
    act_started (st, a, 1); // its CMD: nothing new to be kept
    assert_false (outbox_flush (st->out));
    act_request (st, b, 1);
    act_started (st, b, 2); // it ends with our power
    assert_false (outbox_flush (st->out));
    stage_destroy (st);
}

/* Its GRANT was lost: who has never heard of the slot proves it gone. */
static void grant_that_was_lost_and_killed_is_told_to_be_over (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a");
    (void) state;

    make_request (st, a, 1);
    st->msg.request.run = true;
    stage_tell (st, a);
    make_kill (st, 1, "a");
    stage_tell (st, stage_admin (st));
    act_reaped (st, a, 1);
    assert_int_equal (stage_in_use (st), 0);
    assert_int_equal (told_expired (st, a), 1);
    stage_destroy (st);
}

static void
project_that_is_gone_is_published_as_empty_and_comes_back (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a");
    const struct msg_lease *lease;
    uint64_t number;
    (void) state;

    act_request (st, a, 5);
    act_bye (st, a);
    lease = stage_published (st, "lease.a");
    assert_int_equal (lease->held, 0);
    assert_true (lease->gone);
    number = lease->number;
    a->hello.nonce++;
    act_hello (st, a);
    act_request (st, a, 1);
    lease = stage_published (st, "lease.a");
    assert_int_equal (lease->held, 1);
    assert_false (lease->gone);
    assert_true (lease->number > number);
    stage_destroy (st);
}

static struct sample calm (const struct stage *st)
{
    return (struct sample){.at = st->now,
                           .cpu_percent = 45.2,
                           .memory_percent = 62.1,
                           .load1 = 4.3,
                           .disk_percent = 58,
                           .inodes_percent = NAN};
}

static void health_is_published_on_change_and_at_every_interval (void **state)
{
    struct stage *st = stage_create (10);
    struct sample s = calm (st);
    const struct msg_health *h;
    unsigned published = 0;
    (void) state;

    assert_string_equal (broker_level (st->b), "unknown");
    stage_begin (st);
    broker_observe_sample (st->b, &s, 1700000000000, st->now, st->out);
    stage_end (st);
    h = stage_published (st, "health.vm1");
    assert_int_equal (h->number, 1);
    assert_int_equal (h->at_ms, 1700000000000);
    assert_string_equal (h->level, "healthy");
    assert_string_equal (h->stale, "inodes");
    assert_string_equal (broker_level (st->b), "healthy");
    for (unsigned i = 0; i < 15; i++) { // 30 s
        st->now += 1000;
        stage_begin (st);
        stage_end (st);
        st->now += 1000;
        stage_begin (st);
        broker_observe_sample (st->b, &s, 0, st->now, st->out);
        stage_end (st);
        published += stage_published (st, "health.vm1") != NULL;
    }
    assert_int_equal (published, 1);
    s.memory_percent = 97;
    stage_begin (st);
    broker_observe_sample (st->b, &s, 0, st->now, st->out);
    stage_end (st);
    h = stage_published (st, "health.vm1");
    assert_string_equal (h->level, "critical");
    assert_string_equal (h->memory_level, "critical");
    assert_string_equal (h->cpu_level, "healthy");
    assert_int_equal (h->number, 3);
    assert_true (stage_logged (st, "health   host=\"vm1\" level=critical"));
    stage_destroy (st);
}

/* One limit of two is enough to be judged by. */
static void level_is_said_where_only_the_critical_limit_is_set (void **state)
{
    struct stage *st = stage_create (10);
    struct sample s = calm (st);
    const struct msg_health *h;
    (void) state;

    st->settings.limits.memory_percent = NAN;
    st->settings.limits.disk_percent = NAN;
    st->settings.limits.cpu_percent = NAN;
    stage_restart (st);
    s.memory_percent = 97;
    stage_begin (st);
    broker_observe_sample (st->b, &s, 0, st->now, st->out);
    stage_end (st);
    h = stage_published (st, "health.vm1");
    assert_string_equal (h->memory_level, "critical");
    assert_string_equal (h->disk_level, "healthy");
    assert_string_equal (h->inodes_level, "healthy");
    assert_string_equal (h->cpu_level, "");
    stage_destroy (st);
}

static void allocation_lists_configured_projects_and_holders (void **state)
{
    struct stage *st = stage_create (10);
    char project[MAX_KEY_BYTES + 1];
    unsigned in_use;
    (void) state;

    settings_add_project (&st->settings, "odin");
    stage_restart (st);
    act_request (st, stage_shim (st, "consilio"), 2);
    stage_shim (st, "zero");
    assert_int_equal (broker_allocation (st->b, 0, project, &in_use), 2);
    assert_string_equal (project, "consilio");
    assert_int_equal (in_use, 2);
    broker_allocation (st->b, 1, project, &in_use);
    assert_string_equal (project, "odin");
    assert_int_equal (in_use, 0);
    stage_destroy (st);
}

static void verb_that_is_not_for_the_broker_is_unknown (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a");
    (void) state;

    message_init (&st->msg, VERB_GRANT);
    stage_tell (st, a);
    stage_assert_refused (st, a, ERR_UNKNOWN_VERB);
    message_init (&st->msg, VERB_REQUEST);
    stage_tell (st, a);
    stage_assert_refused (st, a, ERR_BAD_ARG);
    assert_string_equal (
        ((const struct msg_error *) stage_got (st, a, VERB_ERROR))->key,
        "session");
    stage_destroy (st);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (release_sorts_tokens_into_what_was_done),
        cmocka_unit_test (release_that_names_anothers_token_changes_nothing),
        cmocka_unit_test (force_is_for_administrators_and_audited),
        cmocka_unit_test (reaped_frees_the_slot_of_a_run),
        cmocka_unit_test (reaped_with_keep_leaves_an_idle_reservation),
        cmocka_unit_test (started_of_what_is_closed_is_refused),
        cmocka_unit_test (labels_name_the_slots_in_their_order),
        cmocka_unit_test (progress_by_label_names_the_first_unlabelled_slot),
        cmocka_unit_test (percent_follows_the_phases_unless_it_is_said),
        cmocka_unit_test (kill_frees_a_projects_reservations_and_wakes_waiters),
        cmocka_unit_test (slot_of_a_killed_tree_is_free_only_when_it_is_reaped),
        cmocka_unit_test (what_does_not_end_is_reported_as_unkillable),
        cmocka_unit_test (stop_is_repeated_with_all_that_it_said),
        cmocka_unit_test (
            stop_of_a_broker_before_is_repeated_with_the_usual_times),
        cmocka_unit_test (more_endings_than_fit_come_with_the_next_beats),
        cmocka_unit_test (bound_slots_are_revoked_and_say_inside_whom),
        cmocka_unit_test (slots_of_one_tree_are_one_agent_and_end_together),
        cmocka_unit_test (kill_of_a_run_before_started_waits_for_its_holder),
        cmocka_unit_test (kill_withdraws_the_queue_unless_told_otherwise),
        cmocka_unit_test (kill_tells_whom_the_grant_has_not_reached),
        cmocka_unit_test (kill_tells_again_who_had_just_asked_again),
        cmocka_unit_test (kill_belongs_to_operators_and_the_projects_own),
        cmocka_unit_test (kill_of_what_is_not_there),
        cmocka_unit_test (reason_of_a_kill_adds_no_keys_to_the_log),
        cmocka_unit_test (dry_run_names_the_tokens_and_ends_nothing),
        cmocka_unit_test (killed_holder_that_is_lost_leaves_limbo),
        cmocka_unit_test (status_shows_the_moment_after_the_round),
        cmocka_unit_test (status_of_more_than_a_page_stays_what_it_was),
        cmocka_unit_test (status_of_one_project_and_of_none),
        cmocka_unit_test (status_shows_a_project_its_own_and_counts),
        cmocka_unit_test (topics_are_numbered_and_published_when_they_change),
        cmocka_unit_test (late_news_of_the_tree_before_changes_nothing),
        cmocka_unit_test (tree_in_a_remote_reservation_survives_a_power_cut),
        cmocka_unit_test (grant_that_was_lost_and_killed_is_told_to_be_over),
        cmocka_unit_test (
            project_that_is_gone_is_published_as_empty_and_comes_back),
        cmocka_unit_test (health_is_published_on_change_and_at_every_interval),
        cmocka_unit_test (level_is_said_where_only_the_critical_limit_is_set),
        cmocka_unit_test (allocation_lists_configured_projects_and_holders),
        cmocka_unit_test (verb_that_is_not_for_the_broker_is_unknown),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
