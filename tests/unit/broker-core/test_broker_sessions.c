/* SPDX-License-Identifier: MPL-2.0 */
/* Sessions: HELLO, BEAT, loss, limbo, stalls, restart, learning. */
#include "stage.h"

#include "core/state.h"

#include <stdio.h>
#include <string.h>

static const struct msg_welcome *welcomed (struct stage *st, struct actor *a)
{
    const struct msg_welcome *w = stage_got (st, a, VERB_WELCOME);

    assert_non_null (w);
    return w;
}

/* ---- HELLO ---- */

static void welcome_dictates_times_and_says_whose_host_it_is (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a");
    const struct msg_welcome *w = welcomed (st, a);
    (void) state;

    assert_int_equal (w->nonce, a->hello.nonce);
    assert_int_equal (w->epoch, 1);
    assert_string_equal (w->broker, stage_meta (st)->broker);
    assert_true (w->own_host);
    assert_int_equal (w->beat_ms, 5000);
    assert_int_equal (w->ttl_ms, 60000);
    assert_int_equal (w->drift_ms, 2000);
    stage_remote (st, "a", "vm2");
    assert_false (((const struct msg_welcome *) stage_got (st, &st->actors[1],
                                                           VERB_WELCOME))
                      ->own_host);
    stage_destroy (st);
}

static void same_nonce_is_the_same_session_on_a_new_path (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    uint64_t session = a->session;
    (void) state;

    act_request (st, b, 5);
    act_request (st, a, 5);
    a->peer.path.id[0] = 9;
    act_hello (st, a);
    assert_int_equal (welcomed (st, a)->session, session);
    act_request (st, b, 1);
    act_request (st, a, 1);
    act_release (st, a, 6);
    assert_non_null (stage_got (st, a, VERB_GRANT));
    copy_text (a->hello.project, sizeof a->hello.project, "c");
    act_hello (st, a);
    stage_assert_refused (st, a, ERR_CONFLICT);
    stage_destroy (st);
}

static void hello_that_lacks_something_is_refused_by_its_key (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_actor (st, "a");
    const struct msg_error *e;
    (void) state;

    a->hello.boot[0] = '\0';
    act_hello (st, a);
    stage_assert_refused (st, a, ERR_BAD_ARG);
    e = stage_got (st, a, VERB_ERROR);
    assert_string_equal (e->key, "boot");
    copy_text (a->hello.project, sizeof a->hello.project, "../etc");
    act_hello (st, a);
    e = stage_got (st, a, VERB_ERROR);
    assert_string_equal (e->key, "project");
    a->peer.role = ROLE_OBSERVER;
    act_hello (st, a);
    stage_assert_refused (st, a, ERR_NOT_ALLOWED);
    stage_destroy (st);
}

static void project_of_other_uids_is_not_to_be_had (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a;
    (void) state;

    settings_add_project (&st->settings, "theirs")->uid_count = 1;
    st->settings.projects[0].uids[0] = 1234;
    stage_restart (st);
    a = stage_actor (st, "theirs");
    act_hello (st, a);
    stage_assert_refused (st, a, ERR_NOT_ALLOWED);
    a->peer.uid = 1234;
    act_hello (st, a);
    welcomed (st, a);
    stage_destroy (st);
}

static void second_shim_beside_a_living_one_is_a_conflict (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a"), *b = stage_actor (st, "a");
    (void) state;

    act_hello (st, b);
    stage_assert_refused (st, b, ERR_CONFLICT);
    b->peer.uid = 1001; // another user has his own
    act_hello (st, b);
    welcomed (st, b);
    act_request (st, a, 1);
    assert_non_null (stage_got (st, a, VERB_GRANT));
    stage_destroy (st);
}

static void successor_loses_its_predecessor_and_proves_its_slots (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a"), *b = stage_actor (st, "a");
    const struct msg_welcome *w;
    const struct msg_released *r;
    (void) state;

    act_request (st, a, 3);
    act_started (st, a, 2);
    make_request (st, a, 1);
    st->msg.request.bound = true;
    stage_tell (st, a);
    b->hello.successor = true;
    act_hello (st, b);
    assert_true (stage_logged (st, "limbo=4 reason=succeeded"));
    w = welcomed (st, b);
    assert_int_equal (w->limbo_count, 4);
    assert_int_equal (w->limbo[0].token, 1);
    assert_int_equal (w->limbo[0].supervisor, 77);
    assert_false (w->limbo[0].tree);
    assert_true (w->limbo[1].tree);
    assert_int_equal (w->limbo[1].cookie, w->limbo[1].token);
    assert_int_equal (w->limbo[0].cookie, 0);
    assert_true (w->limbo[3].bound);

    act_beat (st, a);
    stage_assert_refused (st, a, ERR_NO_SESSION);
    act_release (st, b, 1); // a reservation: the supervisor's word
    act_release (st, b, 4); // bound: likewise
    assert_int_equal (stage_in_use (st), 2);
    act_release (st, b, 2); // a tree: proof only
    r = stage_got (st, b, VERB_RELEASED);
    assert_true (u64s_has (&r->busy, 2));
    act_reaped (st, b, 2);
    r = stage_got (st, b, VERB_RELEASED);
    assert_true (u64s_has (&r->tokens, 2));
    assert_int_equal (stage_in_use (st), 1);
    stage_destroy (st);
}

static void nobody_else_proves_a_slot_in_limbo (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    struct actor *c;
    (void) state;

    act_request (st, a, 1);
    act_started (st, a, 1);
    act_bye (st, a);
    act_reaped (st, b, 1);
    stage_assert_refused (st, b, ERR_NOT_ALLOWED);
    c = stage_actor (st, "a"); // another user's shim of the same project
    c->peer.uid = 1001;
    act_hello (st, c);
    assert_int_equal (welcomed (st, c)->limbo_count, 0);
    act_reaped (st, c, 1);
    stage_assert_refused (st, c, ERR_NOT_ALLOWED);
    assert_int_equal (stage_in_use (st), 1);
    stage_destroy (st);
}

static void copy_of_a_living_host_is_a_conflict_for_both (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_remote (st, "a", "vm2");
    struct actor *b = stage_actor (st, "a");
    (void) state;

    act_request (st, a, 5);
    act_request (st, a, 1);
    b->peer.pid = 0;
    b->hello = a->hello;
    b->hello.nonce++;
    b->hello.successor = true;
    copy_text (b->hello.boot, sizeof b->hello.boot, "another");
    act_hello (st, b);
    stage_assert_refused (st, b, ERR_HOST_CONFLICT);
    assert_true (stage_logged (st, "contest"));
    assert_false (stage_logged (st, "host_conflict")); // it may have rebooted
    assert_string_equal (
        ((const struct msg_queued *) stage_got (st, a, VERB_QUEUED))->reason,
        "PAUSED");
    act_request (st, a, 1);
    assert_string_equal (
        ((const struct msg_queued *) stage_got (st, a, VERB_QUEUED))->reason,
        "PAUSED");
    act_beat (st, a); // it has not
    assert_true (stage_logged (st, "host_conflict"));
    act_release (st, a, 1);
    assert_int_equal (stage_in_use (st), 4);
    stage_sleep (st, 61000); // the other has gone
    assert_int_equal (stage_in_use (st), 5);
    stage_destroy (st);
}

static unsigned ahead_of (struct stage *st, const struct actor *a)
{
    const struct msg_queued *q = stage_got (st, a, VERB_QUEUED);

    assert_non_null (q);
    return (unsigned) q->slots_ahead;
}

/* Though the first in line keeps the walk from coming to what is contested. */
static void those_behind_a_contested_session_hear_of_it (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_remote (st, "a", "vm2");
    struct actor *b = stage_actor (st, "b"), *copy = stage_actor (st, "b");
    (void) state;

    b->peer = a->peer;
    b->peer.path.id[0] = 'b';
    b->hello = a->hello;
    b->hello.nonce++;
    copy_text (b->hello.project, sizeof b->hello.project, "b");
    b->peer.uid++; // else a is contested with it
    act_hello (st, b);
    act_request (st, stage_remote (st, "c", "vm2"), 2);
    act_request (st, stage_remote (st, "d", "vm2"), 2);
    act_request (st, a, 2);
    act_request (st, b, 2);
    act_request (st, a, 1);
    assert_int_equal (ahead_of (st, a), 5);
    copy->peer = b->peer;
    copy->peer.path.id[0] = 'c';
    copy->hello = b->hello;
    copy->hello.nonce++;
    copy_text (copy->hello.boot, sizeof copy->hello.boot, "another");
    act_hello (st, copy);
    stage_assert_refused (st, copy, ERR_HOST_CONFLICT);
    assert_int_equal (ahead_of (st, a), 3);
    stage_sleep (st, st->settings.timing.ttl);
    assert_int_equal (ahead_of (st, a), 5);
    stage_destroy (st);
}

static void reboot_of_a_silent_host_frees_what_it_held (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_remote (st, "a", "vm2");
    struct actor *b = stage_actor (st, "b");
    (void) state;

    act_request (st, a, 5);
    act_started (st, a, 1);
    a->silent = true;
    b->silent = true;
    stage_sleep (st, 61000);
    assert_int_equal (stage_in_use (st), 5); // limbo, and time is not up
    b->peer.pid = 0;
    b->hello = a->hello;
    b->hello.nonce++;
    copy_text (b->hello.project, sizeof b->hello.project, "b");
    copy_text (b->hello.boot, sizeof b->hello.boot, "booted again");
    act_hello (st, b);
    welcomed (st, b);
    assert_int_equal (stage_in_use (st), 0);
    assert_true (stage_logged (st, "reason=rebooted"));
    stage_destroy (st);
}

/* Its beats may lie in the socket: silence counts from when we listen. */
static void reboot_after_a_stall_is_not_believed_at_once (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_remote (st, "a", "vm2");
    struct actor *b = stage_actor (st, "a");
    (void) state;

    b->peer.pid = 0;
    b->hello = a->hello;
    b->hello.nonce++;
    copy_text (b->hello.boot, sizeof b->hello.boot, "a copy");
    st->now += 100000;
    act_hello (st, b);
    stage_assert_refused (st, b, ERR_HOST_CONFLICT);
    stage_destroy (st);
}

/* It said BYE a moment ago, so its keepers may trust their beat; and who
 * comes after the reboot has seen nothing of them. */
static void new_boot_proves_nothing_of_a_host_that_beat_just_now (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_remote (st, "a", "vm2");
    struct actor *b = stage_actor (st, "a");
    (void) state;

    act_request (st, a, 1);
    act_started (st, a, 1);
    act_beat (st, a);
    act_bye (st, a);
    b->peer.pid = 0;
    b->hello = a->hello;
    b->hello.nonce++;
    copy_text (b->hello.boot, sizeof b->hello.boot, "booted again");
    act_hello (st, b);
    assert_int_equal (welcomed (st, b)->limbo_count, 0);
    act_reaped (st, b, 1);
    stage_assert_refused (st, b, ERR_NOT_ALLOWED);
    stage_sleep (st, 59999); // T after that beat the old boot is over
    assert_int_equal (stage_in_use (st), 1);
    stage_sleep (st, 1);
    assert_int_equal (stage_in_use (st), 0);
    assert_true (stage_logged (st, "reason=rebooted"));
    stage_destroy (st);
}

/* The own host's boot is known from the kernel: a claim proves nothing. */
static void claim_of_another_boot_frees_nothing_of_the_own_host (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a"), *b = stage_actor (st, "b");
    (void) state;

    act_request (st, a, 1);
    act_started (st, a, 1);
    act_bye (st, a);
    stage_sleep (st, 100000);
    b->peer.pid = 0;
    copy_text (b->hello.boot, sizeof b->hello.boot, "booted again");
    act_hello (st, b);
    stage_assert_refused (st, b, ERR_HOST_CONFLICT);
    assert_int_equal (stage_in_use (st), 1);
    stage_destroy (st);
}

static void name_of_another_machine_is_taken (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *b = stage_actor (st, "b");
    (void) state;

    b->peer.pid = 0;
    copy_text (b->hello.machine, sizeof b->hello.machine, "other");
    copy_text (b->hello.boot, sizeof b->hello.boot, "other");
    act_hello (st, b);
    stage_assert_refused (st, b, ERR_CONFLICT);
    stage_destroy (st);
}

static void near_miss_of_a_project_is_pointed_out (void **state)
{
    struct stage *st = stage_create (10);
    (void) state;

    settings_add_project (&st->settings, "consilio");
    stage_restart (st);
    stage_shim (st, "consillio");
    assert_true (stage_logged (st, "project=consillio known=consilio"));
    stage_destroy (st);
}

static void another_uid_cannot_speak_for_a_session (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    (void) state;

    b->peer.uid = 1001;
    b->session = a->session;
    act_request (st, b, 1);
    stage_assert_refused (st, b, ERR_NOT_ALLOWED);
    assert_true (stage_logged (st, "refused  uid=1001 "));
    act_request (st, a, 1);
    assert_non_null (stage_got (st, a, VERB_GRANT)); // its path is its own
    stage_destroy (st);
}

/* ---- BEAT ---- */

static void only_a_beat_with_a_newer_seq_renews (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a");
    const struct msg_beat_ok *ok;
    (void) state;

    a->silent = true;
    act_beat (st, a);
    act_beat (st, a);
    stage_sleep (st, 50000);
    a->beat_seq = 1;
    act_beat (st, a); // 2 again: answered as the newest was
    ok = stage_got (st, a, VERB_BEAT_OK);
    assert_int_equal (ok->seq, 2);
    a->beat_seq = 0;
    act_beat (st, a);
    ok = stage_got (st, a, VERB_BEAT_OK);
    assert_int_equal (ok->seq, 2);
    stage_sleep (st, 9999);
    act_request (st, a, 1); // shows life, and renews nothing
    assert_non_null (stage_got (st, a, VERB_GRANT));
    stage_sleep (st, 1);
    a->beat_seq = 2;
    act_beat (st, a);
    stage_assert_refused (st, a, ERR_NO_SESSION);

    a->hello.nonce++;
    act_hello (st, a);
    stage_sleep (st, 50000);
    act_beat (st, a);
    stage_sleep (st, 59999);
    act_beat (st, a);
    assert_non_null (stage_got (st, a, VERB_BEAT_OK));
    stage_destroy (st);
}

static void beat_of_an_older_epoch_is_answered_with_the_new_one (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a");
    (void) state;

    stage_restart (st);
    make_beat (st, a);
    st->msg.beat.epoch = 1;
    stage_tell (st, a);
    assert_int_equal (
        ((const struct msg_beat_ok *) stage_got (st, a, VERB_BEAT_OK))->epoch,
        2);
    stage_destroy (st);
}

static void grant_that_was_not_acknowledged_comes_again (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a");
    const struct msg_beat_ok *ok;
    (void) state;

    act_request (st, a, 2);
    act_request (st, a, 1);
    a->holds.count = a->acks.count = 0; // both were lost
    make_beat (st, a);
    st->msg.beat.acks.count = 1;
    st->msg.beat.acks.at[0] = 2; // the second is known
    stage_tell (st, a);
    ok = stage_got (st, a, VERB_BEAT_OK);
    assert_int_equal (ok->grants_count, 1);
    assert_int_equal (ok->grants[0].seq, 1);
    assert_int_equal (ok->grants[0].first, 1);
    assert_int_equal (ok->grants[0].count, 2);
    assert_false (stage_row (st, 1)->acked);
    assert_true (stage_row (st, 3)->acked);
    stage_destroy (st);
}

static void slot_that_two_beats_do_not_name_is_free (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a");
    (void) state;

    act_request (st, a, 2);
    act_beat (st, a); // acknowledges both
    a->holds.count = 1;
    act_beat (st, a);
    assert_int_equal (stage_in_use (st), 2);
    u64s_add (&a->holds, 2);
    act_beat (st, a); // not running
    a->holds.count = 1;
    act_beat (st, a);
    assert_int_equal (stage_in_use (st), 2);
    act_beat (st, a);
    assert_int_equal (stage_in_use (st), 1);
    assert_true (stage_logged (st, "token=2 reason=unnamed"));
    stage_destroy (st);
}

/* As long as that was sent before: a tree may run. */
static void
tree_that_is_not_named_is_over_when_its_keeper_must_be (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a");
    (void) state;

    act_request (st, a, 1);
    act_beat (st, a);
    act_started (st, a, 1);
    a->holds.count = 0;
    act_beat (st, a);
    stage_sleep (st, 74999);
    assert_int_equal (stage_in_use (st), 1);
    stage_sleep (st, 5001); // the next beat
    assert_int_equal (stage_in_use (st), 0);
    assert_true (stage_logged (st, "token=1 reason=unnamed"));
    stage_destroy (st);
}

static void beats_of_before_a_restart_free_nothing (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a");
    (void) state;

    act_request (st, a, 1);
    act_beat (st, a);
    stage_restart (st);
    for (unsigned i = 0; i < 3; i++) { // late, and sent before the grant
        make_beat (st, a);
        st->msg.beat.epoch = 1;
        st->msg.beat.holds.count = st->msg.beat.acks.count = 0;
        stage_tell (st, a);
    }
    assert_int_equal (stage_in_use (st), 1);
    stage_destroy (st);
}

static void unacknowledged_slot_is_not_freed_by_silence (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a");
    (void) state;

    act_request (st, a, 1);
    for (unsigned i = 0; i < 4; i++) {
        make_beat (st, a);
        st->msg.beat.holds.count = st->msg.beat.acks.count = 0;
        stage_tell (st, a);
    }
    assert_int_equal (stage_in_use (st), 1);
    stage_destroy (st);
}

static void token_that_is_not_its_own_must_be_stopped (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    const struct msg_beat_ok *ok;
    (void) state;

    act_request (st, a, 2);
    act_release (st, a, 2);
    make_beat (st, b);
    u64s_add (&st->msg.beat.holds, 1);  // a's
    u64s_add (&st->msg.beat.holds, 2);  // closed
    u64s_add (&st->msg.beat.holds, 99); // never granted
    stage_tell (st, b);
    ok = stage_got (st, b, VERB_BEAT_OK);
    assert_int_equal (ok->stops.count, 3);
    assert_true (stage_logged (st, "above_mark"));
    assert_int_equal (stage_in_use (st), 1);
    stage_destroy (st);
}

/* ---- loss ---- */

static void
silent_session_is_suspect_then_lost_then_its_slots_come_back (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_remote (st, "a", "vm2");
    (void) state;

    act_request (st, a, 1);
    act_started (st, a, 1);
    a->silent = true;
    act_beat (st, a);
    stage_sleep (st, 14999);
    assert_false (stage_logged (st, "suspect"));
    stage_sleep (st, 1);
    assert_true (stage_logged (st, "silent_ms=15000"));
    stage_sleep (st, 44999);
    assert_false (stage_logged (st, "lost "));
    stage_sleep (st, 1);
    assert_true (stage_logged (st, "limbo=1 reason=silent"));
    assert_int_equal (stage_row (st, 1)->state, LEASE_LIMBO);
    stage_sleep (st, 14999);
    assert_int_equal (stage_in_use (st), 1);
    stage_sleep (st, 1);
    assert_int_equal (stage_in_use (st), 0);
    assert_true (stage_logged (st, "reason=lock_delay"));
    stage_destroy (st);
}

static void own_host_slot_comes_back_by_proof_only (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a");
    struct watch_session sessions[4];
    struct watch_lease leases[4];
    uint64_t version = broker_watch_version (st->b);
    (void) state;

    act_request (st, a, 3);
    make_started (st, a, 2);
    u64s_add (&st->msg.started.tokens, 3);
    copy_text (st->msg.started.cgroup, 256, "slotbus/2");
    stage_tell (st, a);
    assert_int_equal (broker_watch_sessions (st->b, sessions, 4), 1);
    assert_int_equal (sessions[0].session, a->session);
    assert_int_equal (sessions[0].shim.pid, a->peer.pid);
    assert_int_equal (broker_watch_leases (st->b, leases, 4), 0);

    stage_begin (st);
    broker_observe_gone (st->b, a->session, st->now, st->out);
    stage_end (st);
    a->session = 0;
    assert_true (broker_watch_version (st->b) > version);
    assert_int_equal (broker_watch_sessions (st->b, sessions, 4), 0);
    assert_int_equal (broker_watch_leases (st->b, leases, 4), 3);
    assert_true (leases[0].word && !leases[0].tree);
    assert_int_equal (leases[0].supervisor.pid, 77);
    assert_true (leases[2].tree && !leases[2].word);
    assert_int_equal (leases[2].token, 3);
    assert_int_equal (leases[2].first, 2); // its environment names 2
    assert_string_equal (leases[2].cgroup, "slotbus/2");

    stage_sleep (st, 1000000); // no timer
    assert_int_equal (stage_in_use (st), 3);
    stage_begin (st);
    broker_observe_proven (st->b, 2, st->now, st->out);
    stage_end (st);
    assert_int_equal (stage_in_use (st), 2);
    stage_destroy (st);
}

static void proof_is_taken_for_limbo_of_the_own_host_only (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a");
    struct actor *b = stage_remote (st, "b", "vm2");
    (void) state;

    act_request (st, a, 1);
    act_request (st, b, 1);
    act_started (st, b, 2);
    act_bye (st, b);
    stage_begin (st);
    broker_observe_proven (st->b, 1, st->now, st->out); // ACTIVE
    broker_observe_proven (st->b, 2, st->now, st->out); // remote
    broker_observe_proven (st->b, 3, st->now, st->out); // nobody's
    broker_observe_gone (st->b, 4711, st->now, st->out);
    stage_end (st);
    assert_int_equal (stage_in_use (st), 2);
    stage_destroy (st);
}

/* What a run asked for may have a tree that STARTED did not reach. */
static void slot_of_a_run_is_watched_as_a_tree_before_started (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a");
    struct watch_lease leases[4];
    (void) state;

    make_request (st, a, 2);
    st->msg.request.run = true;
    stage_tell (st, a);
    stage_begin (st);
    broker_observe_gone (st->b, a->session, st->now, st->out);
    stage_end (st);
    assert_int_equal (broker_watch_leases (st->b, leases, 4), 2);
    assert_true (leases[1].tree);
    assert_int_equal (leases[1].first, 1);
    stage_destroy (st);
}

/* R2: its keepers may trust the newest beat until T is over. */
static void attested_loss_still_waits_out_the_deadline (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_remote (st, "a", "vm2");
    struct actor *b = stage_actor (st, "a");
    (void) state;

    act_request (st, a, 1);
    act_started (st, a, 1);
    act_beat (st, a);
    b->peer.pid = 0;
    b->hello = a->hello;
    b->hello.nonce++;
    b->hello.successor = true;
    act_hello (st, b);
    welcomed (st, b);
    a->session = 0;
    stage_sleep (st, 74999);
    assert_int_equal (stage_in_use (st), 1);
    stage_sleep (st, 1);
    assert_int_equal (stage_in_use (st), 0);
    stage_destroy (st);
}

static bool observe_malformed (struct stage *st, const struct peer *from)
{
    bool lost;

    stage_begin (st);
    lost = broker_observe_malformed (st->b, from, st->now, st->out);
    stage_end (st);
    return lost;
}

static void session_whose_connection_talks_nonsense_is_lost (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    (void) state;

    act_request (st, a, 2);
    act_request (st, b, 1);
    assert_true (observe_malformed (st, &a->peer));
    assert_true (stage_logged (st, "lost     session=1 project=a limbo=2 "
                                   "reason=malformed"));
    assert_int_equal (stage_row (st, 1)->state, LEASE_LIMBO);
    assert_int_equal (stage_row (st, 3)->state, LEASE_ACTIVE);
    act_beat (st, a);
    stage_assert_refused (st, a, ERR_NO_SESSION);
    a->session = 0;
    assert_false (observe_malformed (st, &a->peer));
    act_beat (st, b);
    assert_non_null (stage_got (st, b, VERB_BEAT_OK));
    stage_destroy (st);
}

static void remote_session_that_talks_nonsense_waits_out_its_time (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_remote (st, "a", "vm2");
    (void) state;

    act_request (st, a, 1);
    act_started (st, a, 1);
    act_beat (st, a);
    assert_true (observe_malformed (st, &a->peer));
    a->session = 0;
    stage_sleep (st, 74999);
    assert_int_equal (stage_in_use (st), 1);
    stage_sleep (st, 1);
    assert_int_equal (stage_in_use (st), 0);
    stage_destroy (st);
}

/* A connection is what its session was heard on last, by its own user. */
static void nonsense_of_others_costs_no_session (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a");
    struct peer before = a->peer, other = a->peer;
    (void) state;

    other.path.size--;
    assert_false (observe_malformed (st, &other));
    other = a->peer;
    other.uid++;
    assert_false (observe_malformed (st, &other));
    a->peer.path.id[0] = 9; // it has connected anew
    act_beat (st, a);
    assert_false (observe_malformed (st, &before));
    act_beat (st, a);
    assert_non_null (stage_got (st, a, VERB_BEAT_OK));
    before.path = a->peer.path;
    before.path.req = true; // whatever it sends, it is the same connection
    assert_true (observe_malformed (st, &before));
    a->session = 0;
    stage_destroy (st);
}

static void bye_frees_what_is_idle_and_keeps_what_runs (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a");
    (void) state;

    act_request (st, a, 3);
    act_started (st, a, 2);
    act_request (st, a, 5);
    act_bye (st, a);
    assert_non_null (stage_got (st, a, VERB_OK));
    assert_int_equal (stage_in_use (st), 1);
    assert_int_equal (stage_row (st, 2)->state, LEASE_LIMBO);
    assert_true (stage_logged (st, "bye      session=1 project=a limbo=1"));
    stage_destroy (st);
}

static void requests_of_a_lost_session_are_gone (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    struct actor *c = stage_shim (st, "c");
    (void) state;

    act_request (st, a, 2);
    act_request (st, b, 2);
    act_request (st, c, 1);
    act_request (st, b, 1);
    stage_begin (st);
    broker_observe_gone (st->b, c->session, st->now, st->out);
    stage_end (st);
    c->session = 0;
    act_release (st, a, 1);
    assert_null (stage_got (st, c, VERB_GRANT));
    act_release (st, b, 3);
    assert_non_null (stage_got (st, b, VERB_GRANT));
    stage_destroy (st);
}

/* ---- R3 ---- */

static void nothing_expires_for_time_the_broker_was_not_there (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_remote (st, "a", "vm2");
    struct actor *b = stage_remote (st, "b", "vm2");
    (void) state;

    act_request (st, b, 1);
    act_started (st, b, 1);
    act_bye (st, b);
    a->silent = true;
    act_beat (st, a);
    stage_sleep (st, 10000);
    st->now += 300000; // stopped
    stage_begin (st);
    stage_end (st);
    assert_true (stage_logged (st, "stall    gap_ms=300000"));
    assert_int_equal (stage_in_use (st), 1);
    stage_sleep (st, 51999); // 50000 were left, and 2 x stall
    assert_false (stage_logged (st, "lost "));
    stage_sleep (st, 1);
    assert_true (stage_logged (st, "lost "));
    stage_sleep (st, 14999);
    assert_int_equal (stage_in_use (st), 1);
    stage_sleep (st, 1);
    assert_int_equal (stage_in_use (st), 0);
    stage_destroy (st);
}

static void nothing_expires_before_the_socket_was_drained (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a");
    (void) state;

    a->silent = true;
    stage_sleep (st, 59500);
    for (unsigned i = 0; i < 10; i++) {
        st->now += 100;
        outbox_clear (st->out);
        broker_turn (st->b, false, st->now, st->out);
        stage_end (st);
    }
    assert_false (stage_logged (st, "lost "));
    act_beat (st, a); // drained, and there it was... too late
    stage_assert_refused (st, a, ERR_NO_SESSION);
    stage_destroy (st);
}

/* ---- R5 ---- */

static void restart_gives_everybody_a_full_ttl (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_remote (st, "a", "vm2");
    struct actor *b = stage_shim (st, "b"), *c = stage_shim (st, "c");
    (void) state;

    act_request (st, a, 1);
    act_request (st, b, 2);
    act_request (st, c, 2);
    a->silent = true;
    stage_sleep (st, 55000);
    st->now += 500000; // dead
    stage_restart (st);
    assert_int_equal (stage_in_use (st), 3);
    act_beat (st, b);
    assert_int_equal (
        ((const struct msg_beat_ok *) stage_got (st, b, VERB_BEAT_OK))->epoch,
        2);
    act_beat (st, c); // its path is known again: told what waits
    assert_non_null (stage_got (st, c, VERB_QUEUED));
    stage_sleep (st, 59999);
    assert_false (stage_logged (st, "lost "));
    act_release_some (st, b, 1);
    assert_non_null (stage_got (st, c, VERB_GRANT));
    stage_sleep (st, 1);
    assert_true (stage_logged (st, "lost "));
    stage_destroy (st);
}

static void lower_ttl (struct stage *st)
{
    struct timing *t = &st->settings.timing;

    t->beat = 1000;
    t->grace = t->kill_confirm = t->drift = 500;
    t->ttl = 10000;
    outbox_clear (st->out);
}

/* R2: what was told is what holders rely on, whatever the file says since. */
static void ttl_that_was_told_outlives_a_shorter_one (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_remote (st, "a", "vm2"), *b;
    (void) state;

    act_request (st, a, 1);
    act_started (st, a, 1);
    lower_ttl (st);
    broker_reload (st->b, &st->settings, st->now, st->out);
    b = stage_remote (st, "b", "vm3");
    assert_int_equal (welcomed (st, b)->ttl_ms, 10000);
    b->silent = a->silent = true;
    act_beat (st, a);
    act_beat (st, b);
    stage_sleep (st, 10001);
    assert_int_equal (st->b->sessions.count, 1); // b is lost
    stage_sleep (st, 49998);
    assert_int_equal (stage_row (st, 1)->state, LEASE_ACTIVE);
    stage_sleep (st, 1);
    assert_int_equal (stage_row (st, 1)->state, LEASE_LIMBO);
    stage_destroy (st);
}

static void ttl_that_was_told_is_known_after_a_restart (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_remote (st, "a", "vm2");
    (void) state;

    act_request (st, a, 1);
    act_started (st, a, 1);
    a->silent = true;
    lower_ttl (st);
    stage_restart (st);
    stage_sleep (st, 59999);
    assert_false (stage_logged (st, "lost "));
    stage_sleep (st, 1);
    assert_int_equal (stage_row (st, 1)->state, LEASE_LIMBO);
    stage_restart (st); // nobody's now: whoever held it was told of a minute
    stage_sleep (st, 60000 + 14999);
    assert_int_equal (stage_in_use (st), 1);
    stage_sleep (st, 1);
    assert_int_equal (stage_in_use (st), 0);
    stage_destroy (st);
}

static void full_ttl_counts_from_the_start_not_from_the_store (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a");
    struct session_record r = {.id = a->session, .uid = 1000};
    (void) state;

    copy_text (r.project, sizeof r.project, "a");
    copy_text (r.host, sizeof r.host, "vm2");
    broker_destroy (st->b);
    st->b = broker_create (&st->settings, &st->self, stage_meta (st), false,
                           st->now);
    broker_restore_session (st->b, &r);
    st->now += 59000; // reading took its time
    broker_start (st->b, st->now, st->out);
    st->now += 1000;
    broker_turn (st->b, true, st->now, st->out);
    make_beat (st, a);
    outbox_clear (st->out);
    broker_step (st->b, &a->peer, &st->msg, 9, st->now, st->out);
    assert_non_null (stage_got (st, a, VERB_BEAT_OK));
    stage_destroy (st);
}

/* A row that no broker can have written: the session has what others have. */
static void ttl_that_nobody_can_have_told_is_not_known (void **state)
{
    static const int64_t odd[] = {INT64_MIN, -1, 0, 86400001, INT64_MAX};
    struct stage *st = stage_create (4);
    struct meta_record meta = *stage_meta (st);
    struct session_record r = {.id = 7, .uid = 1000};
    (void) state;

    copy_text (r.project, sizeof r.project, "a");
    copy_text (r.host, sizeof r.host, "vm2");
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        broker_destroy (st->b);
        meta.ttl_ms = r.ttl_ms = odd[i];
        st->b = broker_create (&st->settings, &st->self, &meta, false, st->now);
        broker_restore_session (st->b, &r);
        assert_true (sessions_find (&st->b->sessions, 7)->deadline ==
                     st->now + st->settings.timing.ttl);
    }
    stage_destroy (st);
}

static void restart_keeps_the_order_of_the_queue (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    struct actor *c = stage_shim (st, "c"), *d = stage_shim (st, "d");
    (void) state;

    act_request (st, a, 2);
    act_request (st, b, 2);
    act_request (st, d, 2);
    act_request (st, c, 2);
    stage_restart (st);
    act_beat (st, c);
    act_beat (st, d);
    act_release_some (st, a, 2);
    assert_non_null (stage_got (st, d, VERB_GRANT));
    assert_null (stage_got (st, c, VERB_GRANT));
    stage_destroy (st);
}

static void restart_grants_at_once_from_what_is_free (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    struct actor *c = stage_shim (st, "c");
    (void) state;

    act_request (st, a, 2);
    act_request (st, b, 2);
    act_request (st, c, 2);
    settings_set_max (&st->settings, 6);
    stage_restart (st);
    assert_int_equal (stage_in_use (st), 6); // stage_restart does one round
    act_beat (st, c);
    assert_int_equal (
        ((const struct msg_beat_ok *) stage_got (st, c, VERB_BEAT_OK))
            ->grants_count,
        1);
    stage_destroy (st);
}

static void tokens_rise_over_a_restart (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a");
    const struct msg_grant *g;
    uint64_t mark;
    (void) state;

    act_request (st, a, 1);
    mark = stage_meta (st)->token_mark;
    assert_true (mark > 1);
    stage_restart (st);
    act_request (st, a, 1);
    g = stage_got (st, a, VERB_GRANT);
    assert_int_equal (g->first, mark);
    assert_true (stage_meta (st)->token_mark > mark);
    assert_true (outbox_flush (st->out));
    stage_destroy (st);
}

static void own_leases_of_another_boot_are_free_at_the_start (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a");
    struct actor *b = stage_remote (st, "b", "vm2");
    (void) state;

    act_request (st, a, 2);
    act_started (st, a, 1);
    act_request (st, b, 2);
    copy_text (st->self.boot, sizeof st->self.boot, "boot2");
    stage_restart (st);
    assert_int_equal (stage_in_use (st), 2);
    act_beat (st, a);
    stage_assert_refused (st, a, ERR_NO_SESSION);
    act_beat (st, b);
    assert_non_null (stage_got (st, b, VERB_BEAT_OK));
    stage_destroy (st);
}

static void damaged_row_is_a_slot_until_an_administrator_frees_it (void **s)
{
    struct stage *st = stage_create (10);
    struct actor *admin = stage_admin (st), *a = stage_shim (st, "a");
    (void) s;

    broker_restore_damaged (st->b, 0);
    act_request (st, a, 2);
    outbox_clear (st->out);
    broker_destroy (st->b);
    st->b = broker_create (&st->settings, &st->self, stage_meta (st), false,
                           st->now);
    broker_restore_damaged (st->b, 7);
    broker_start (st->b, st->now, st->out);
    assert_int_equal (stage_in_use (st), 1);
    outbox_clear (st->out);
    message_init (&st->msg, VERB_RELEASE);
    st->msg.release.force = true;
    u64s_add (&st->msg.release.tokens, 7);
    broker_step (st->b, &admin->peer, &st->msg, 1, st->now, st->out);
    assert_int_equal (stage_in_use (st), 0);
    assert_true (outbox_flush (st->out));
    assert_true (outbox_change_at (st->out, 0).deleted);
    stage_destroy (st);
}

static void rows_that_do_not_fit_together_do_no_harm (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a");
    struct waiter_record w = {.number = 900, .session = 4711, .seq = 1};
    struct lease_record l = {.token = 800, .state = 77, .own = true};
    const struct msg_grant *g;
    (void) state;

    broker_destroy (st->b);
    st->b = broker_create (&st->settings, &st->self, stage_meta (st), false,
                           st->now);
    broker_restore_waiter (st->b, &w);
    copy_text (l.project, sizeof l.project, "a");
    copy_text (l.host, sizeof l.host, "vm1");
    copy_text (l.boot, sizeof l.boot, st->self.boot);
    broker_restore_lease (st->b, &l);
    broker_restore_lease (st->b, &l);
    outbox_clear (st->out);
    broker_start (st->b, st->now, st->out);
    assert_int_equal (outbox_change_at (st->out, 0).key, 900);
    assert_true (outbox_change_at (st->out, 0).deleted);
    assert_int_equal (stage_in_use (st), 1);
    outbox_clear (st->out);
    make_hello (st, a);
    broker_step (st->b, &a->peer, &st->msg, 5, st->now, st->out);
    a->session = 5;
    make_request (st, a, 1);
    broker_step (st->b, &a->peer, &st->msg, 6, st->now, st->out);
    broker_round (st->b, st->now, st->out);
    g = stage_got (st, a, VERB_GRANT);
    assert_int_equal (g->first, 801); // above what there is
    stage_destroy (st);
}

static void times_of_another_clock_are_the_nearest_that_can_be (void **state)
{
    struct stage *st = stage_create (10);
    struct lease_record l = {
        .token = 800, .since = INT64_MIN, .granted = INT64_MAX};
    struct actor *admin = stage_admin (st);
    (void) state;

    broker_destroy (st->b);
    st->b = broker_create (&st->settings, &st->self, stage_meta (st), false,
                           st->now);
    copy_text (l.project, sizeof l.project, "a");
    broker_restore_lease (st->b, &l);
    outbox_clear (st->out);
    broker_start (st->b, st->now, st->out);
    assert_int_equal (leases_find (&st->b->leases, 800)->r.since, 0);
    assert_int_equal (leases_find (&st->b->leases, 800)->r.granted, st->now);
    message_init (&st->msg, VERB_STATUS); // and their ages are no surprise
    broker_step (st->b, &admin->peer, &st->msg, 5, st->now, st->out);
    broker_round (st->b, st->now, st->out);
    assert_non_null (stage_got (st, admin, VERB_STATUS_OK));
    stage_destroy (st);
}

/* ---- learning ---- */

static void learning_grants_nothing_and_adopts_what_is_held (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    const struct msg_queued *q;
    (void) state;

    act_request (st, a, 2);
    act_started (st, a, 1);
    act_request (st, b, 1);
    stage_lose_state (st, false);
    act_beat (st, a);
    stage_assert_refused (st, a, ERR_NO_SESSION);
    a->hello.nonce += 1000;
    a->hello.holds = a->holds;
    act_hello (st, a);
    assert_int_equal (stage_in_use (st), 2);
    b->hello.nonce += 1000;
    act_hello (st, b);
    make_beat (st, b); // in a BEAT it is as good
    stage_tell (st, b);
    assert_int_equal (stage_in_use (st), 3);
    act_request (st, b, 1);
    q = stage_got (st, b, VERB_QUEUED);
    assert_string_equal (q->reason, "LEARNING");
    stage_sleep (st, 74999);
    assert_null (stage_got (st, b, VERB_GRANT));
    stage_sleep (st, 1);
    assert_non_null (stage_got (st, b, VERB_GRANT));
    act_reaped (st, a, 1);
    act_release (st, a, 2);
    assert_int_equal (stage_in_use (st), 2);
    stage_destroy (st);
}

static void learning_counts_what_runs_under_a_predecessor (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a");
    (void) state;

    act_request (st, a, 1);
    stage_lose_state (st, false);
    a->hello.nonce++;
    u64s_add (&a->hello.runs, 1);
    act_hello (st, a);
    assert_int_equal (welcomed (st, a)->limbo_count, 1);
    assert_int_equal (stage_in_use (st), 1);
    act_reaped (st, a, 1);
    assert_int_equal (stage_in_use (st), 0);
    stage_destroy (st);
}

static void token_above_the_mark_is_not_found_and_alarms (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_actor (st, "a");
    (void) state;

    u64s_add (&a->hello.holds, 50);
    act_hello (st, a);
    stage_assert_refused (st, a, ERR_NOT_FOUND);
    assert_true (stage_logged (st, "above_mark"));
    stage_destroy (st);
}

static void tokens_of_another_broker_id_are_stopped_not_adopted (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a");
    const struct msg_beat_ok *ok;
    (void) state;

    act_request (st, a, 1);
    copy_text (a->hello.broker, sizeof a->hello.broker,
               stage_meta (st)->broker);
    stage_lose_state (st, true); // a new broker id begins
    a->hello.nonce++;
    a->hello.holds = a->holds;
    act_hello (st, a);
    welcomed (st, a);
    assert_int_equal (stage_in_use (st), 0);
    act_beat (st, a);
    ok = stage_got (st, a, VERB_BEAT_OK);
    assert_true (u64s_has (&ok->stops, 1));
    stage_destroy (st);
}

static void late_hello_of_a_silent_session_does_not_end_the_next (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_remote (st, "a", "vm2");
    uint64_t first = a->hello.nonce, session;
    (void) state;

    a->silent = true;
    stage_sleep (st, 2 * st->settings.timing.ttl);
    assert_true (stage_logged (st, "reason=silent"));
    act_hello (st, a); // its WELCOME may never have come: the same once more
    session = a->session;
    stage_sleep (st, 2 * st->settings.timing.ttl);
    a->hello.nonce = first + 1000;
    act_hello (st, a);
    assert_true (a->session != session);
    session = a->session;
    make_hello (st, a);
    st->msg.hello.nonce = first;
    stage_tell (st, a);
    stage_assert_refused (st, a, ERR_EXPIRED);
    act_beat (st, a);
    assert_non_null (stage_got (st, a, VERB_BEAT_OK));
    assert_int_equal (a->session, session);
    stage_destroy (st);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (late_hello_of_a_silent_session_does_not_end_the_next),
        cmocka_unit_test (welcome_dictates_times_and_says_whose_host_it_is),
        cmocka_unit_test (same_nonce_is_the_same_session_on_a_new_path),
        cmocka_unit_test (hello_that_lacks_something_is_refused_by_its_key),
        cmocka_unit_test (project_of_other_uids_is_not_to_be_had),
        cmocka_unit_test (second_shim_beside_a_living_one_is_a_conflict),
        cmocka_unit_test (successor_loses_its_predecessor_and_proves_its_slots),
        cmocka_unit_test (nobody_else_proves_a_slot_in_limbo),
        cmocka_unit_test (copy_of_a_living_host_is_a_conflict_for_both),
        cmocka_unit_test (those_behind_a_contested_session_hear_of_it),
        cmocka_unit_test (reboot_of_a_silent_host_frees_what_it_held),
        cmocka_unit_test (reboot_after_a_stall_is_not_believed_at_once),
        cmocka_unit_test (new_boot_proves_nothing_of_a_host_that_beat_just_now),
        cmocka_unit_test (claim_of_another_boot_frees_nothing_of_the_own_host),
        cmocka_unit_test (name_of_another_machine_is_taken),
        cmocka_unit_test (near_miss_of_a_project_is_pointed_out),
        cmocka_unit_test (another_uid_cannot_speak_for_a_session),
        cmocka_unit_test (only_a_beat_with_a_newer_seq_renews),
        cmocka_unit_test (beat_of_an_older_epoch_is_answered_with_the_new_one),
        cmocka_unit_test (grant_that_was_not_acknowledged_comes_again),
        cmocka_unit_test (slot_that_two_beats_do_not_name_is_free),
        cmocka_unit_test (
            tree_that_is_not_named_is_over_when_its_keeper_must_be),
        cmocka_unit_test (beats_of_before_a_restart_free_nothing),
        cmocka_unit_test (unacknowledged_slot_is_not_freed_by_silence),
        cmocka_unit_test (token_that_is_not_its_own_must_be_stopped),
        cmocka_unit_test (
            silent_session_is_suspect_then_lost_then_its_slots_come_back),
        cmocka_unit_test (own_host_slot_comes_back_by_proof_only),
        cmocka_unit_test (proof_is_taken_for_limbo_of_the_own_host_only),
        cmocka_unit_test (slot_of_a_run_is_watched_as_a_tree_before_started),
        cmocka_unit_test (attested_loss_still_waits_out_the_deadline),
        cmocka_unit_test (session_whose_connection_talks_nonsense_is_lost),
        cmocka_unit_test (
            remote_session_that_talks_nonsense_waits_out_its_time),
        cmocka_unit_test (nonsense_of_others_costs_no_session),
        cmocka_unit_test (bye_frees_what_is_idle_and_keeps_what_runs),
        cmocka_unit_test (requests_of_a_lost_session_are_gone),
        cmocka_unit_test (nothing_expires_for_time_the_broker_was_not_there),
        cmocka_unit_test (nothing_expires_before_the_socket_was_drained),
        cmocka_unit_test (restart_gives_everybody_a_full_ttl),
        cmocka_unit_test (ttl_that_was_told_outlives_a_shorter_one),
        cmocka_unit_test (ttl_that_was_told_is_known_after_a_restart),
        cmocka_unit_test (full_ttl_counts_from_the_start_not_from_the_store),
        cmocka_unit_test (ttl_that_nobody_can_have_told_is_not_known),
        cmocka_unit_test (restart_keeps_the_order_of_the_queue),
        cmocka_unit_test (restart_grants_at_once_from_what_is_free),
        cmocka_unit_test (tokens_rise_over_a_restart),
        cmocka_unit_test (own_leases_of_another_boot_are_free_at_the_start),
        cmocka_unit_test (
            damaged_row_is_a_slot_until_an_administrator_frees_it),
        cmocka_unit_test (rows_that_do_not_fit_together_do_no_harm),
        cmocka_unit_test (times_of_another_clock_are_the_nearest_that_can_be),
        cmocka_unit_test (learning_grants_nothing_and_adopts_what_is_held),
        cmocka_unit_test (learning_counts_what_runs_under_a_predecessor),
        cmocka_unit_test (token_above_the_mark_is_not_found_and_alarms),
        cmocka_unit_test (tokens_of_another_broker_id_are_stopped_not_adopted),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
