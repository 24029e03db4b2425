/* SPDX-License-Identifier: MPL-2.0 */
/* PARK, the way back, and RECLAIM. */
#include "stage.h"

#include <stdio.h>
#include <string.h>

#include "core/answers.h"
#include "core/ledger.h"

/* ---- acts ---- */

/* A run of so many slots, whose tree has started. Returns its first token. */
static uint64_t act_run (struct stage *st, struct actor *a, unsigned count)
{
    const struct msg_grant *grant;
    uint64_t first;

    make_request (st, a, count);
    st->msg.request.run = true;
    stage_tell (st, a);
    grant = stage_got (st, a, VERB_GRANT);
    assert_non_null (grant);
    first = grant->first;
    make_started (st, a, first);
    for (unsigned i = 1; i < count; i++)
        u64s_add (&st->msg.started.tokens, first + i);
    st->msg.started.seq = 2 * first;
    copy_text (st->msg.started.label, sizeof st->msg.started.label, "auth");
    copy_text (st->msg.started.cgroup, sizeof st->msg.started.cgroup, "c/17");
    stage_tell (st, a);
    return first;
}

static void make_park (struct stage *st, const struct actor *a, uint64_t first,
                       unsigned count, uint64_t seq)
{
    message_init (&st->msg, VERB_PARK);
    st->msg.park.session = a->session;
    st->msg.park.seq = seq;
    for (unsigned i = 0; i < count; i++)
        u64s_add (&st->msg.park.tokens, first + i);
}

static void act_park (struct stage *st, struct actor *a, uint64_t first,
                      unsigned count, uint64_t seq)
{
    make_park (st, a, first, count, seq);
    stage_tell (st, a);
}

static void make_return (struct stage *st, struct actor *a, uint64_t parked,
                         unsigned count)
{
    make_request (st, a, count);
    st->msg.request.run = true;
    st->msg.request.parked = parked;
}

static void assert_parked (struct stage *st, const struct actor *a)
{
    const struct msg_ok *ok = stage_got (st, a, VERB_OK);

    assert_non_null (ok);
    assert_string_equal (ok->re, "PARK");
}

static enum lease_state state_of (const struct stage *st, uint64_t token)
{
    const struct lease_record *r = stage_row (st, token);

    return r ? r->state : LEASE_NONE;
}

/* The shim takes new tokens for a tree's old ones. */
static void forget (struct actor *a, uint64_t token)
{
    for (uint32_t i = 0; i < a->holds.count; i++) {
        if (a->holds.at[i] == token)
            a->holds.at[i--] = a->holds.at[--a->holds.count];
    }
}

/* ---- PARK ---- */

static void what_is_parked_does_not_count (void **state)
{
    struct stage *st = stage_create (2);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    const struct msg_ok *ok;
    (void) state;

    act_run (st, a, 1);
    act_run (st, b, 1);
    act_request (st, b, 1);
    assert_int_equal (stage_in_use (st), 2);
    act_park (st, a, 1, 1, 10);
    assert_parked (st, a);
    ok = stage_got (st, a, VERB_OK);
    assert_int_equal (ok->seq, 10);
    assert_int_equal (ok->tokens.at[0], 1);
    assert_int_equal (state_of (st, 1), LEASE_PARKED);
    assert_int_equal (stage_in_use (st), 1); // b waits for its own cap
    act_request (st, a, 1);
    assert_int_equal (stage_in_use (st), 2);
    stage_destroy (st);
}

static void park_wants_all_tokens_of_one_running_tree (void **state)
{
    struct stage *st = stage_create (20);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    (void) state;

    act_run (st, a, 2);     // 1, 2
    act_run (st, a, 1);     // 3
    act_request (st, a, 1); // 4: no tree
    act_run (st, b, 1);     // 5
    act_park (st, a, 1, 1, 90);
    stage_assert_refused (st, a, ERR_BAD_ARG);
    act_park (st, a, 1, 3, 91);
    stage_assert_refused (st, a, ERR_BAD_ARG);
    act_park (st, a, 4, 1, 92);
    stage_assert_refused (st, a, ERR_BAD_ARG);
    act_park (st, a, 5, 1, 93);
    stage_assert_refused (st, a, ERR_NOT_ALLOWED);
    act_park (st, a, 6, 1, 94);
    stage_assert_refused (st, a, ERR_NOT_FOUND);
    act_reaped (st, a, 3);
    act_park (st, a, 3, 1, 95);
    stage_assert_refused (st, a, ERR_EXPIRED);
    act_park (st, a, 1, 0, 96);
    stage_assert_refused (st, a, ERR_BAD_ARG);
    make_park (st, a, 1, 2, 97);
    u64s_add (&st->msg.park.tokens, 1);
    stage_tell (st, a);
    stage_assert_refused (st, a, ERR_BAD_ARG);
    act_park (st, a, 1, 2, 98);
    assert_parked (st, a);
    assert_int_equal (stage_in_use (st), 2);
    stage_destroy (st);
}

static void park_is_known_by_its_seq (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a");
    (void) state;

    act_run (st, a, 1);
    act_park (st, a, 1, 1, 2); // that was STARTED's
    stage_assert_refused (st, a, ERR_NOT_NOW);
    assert_int_equal (state_of (st, 1), LEASE_ACTIVE);
    act_park (st, a, 1, 1, 3);
    assert_parked (st, a);
    act_park (st, a, 1, 1, 3); // the answer was lost
    assert_parked (st, a);
    assert_int_equal (state_of (st, 1), LEASE_PARKED);
    stage_destroy (st);
}

static void only_so_much_may_be_parked (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    const struct msg_error *e;
    (void) state;

    st->b->settings.max_parked = 2;
    act_run (st, a, 2);
    act_run (st, b, 1);
    act_park (st, a, 1, 2, 10);
    assert_parked (st, a);
    act_park (st, b, 3, 1, 11);
    stage_assert_refused (st, b, ERR_NOT_NOW);
    e = stage_got (st, b, VERB_ERROR);
    assert_string_equal (e->detail, "2 slots are parked, of at most 2");
    assert_int_equal (e->seq, 11);
    act_reaped (st, a, 1);
    act_reaped (st, a, 2);
    act_park (st, b, 3, 1, 11); // a late copy: its shim goes on meanwhile
    stage_assert_refused (st, b, ERR_NOT_NOW);
    assert_int_equal (state_of (st, 3), LEASE_ACTIVE);
    act_park (st, b, 3, 1, 12);
    assert_parked (st, b);
    stage_destroy (st);
}

static void a_parked_tree_is_named_in_beats (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a");
    const struct msg_beat_ok *ok;
    (void) state;

    act_run (st, a, 1);
    act_park (st, a, 1, 1, 10);
    act_beat (st, a);
    ok = stage_got (st, a, VERB_BEAT_OK);
    assert_int_equal (ok->stops.count, 0);
    assert_true (stage_row (st, 1)->acked);
    stage_sleep (st, 200000);
    assert_int_equal (state_of (st, 1), LEASE_PARKED);
    a->holds.count = 0; // it knows of it no more
    stage_sleep (st, 100000);
    assert_int_equal (state_of (st, 1), LEASE_NONE);
    stage_destroy (st);
}

static void reaped_ends_what_is_parked (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a");
    const struct msg_released *r;
    (void) state;

    act_run (st, a, 1);
    act_park (st, a, 1, 1, 10);
    act_reaped (st, a, 1);
    r = stage_got (st, a, VERB_RELEASED);
    assert_int_equal (r->tokens.at[0], 1);
    assert_int_equal (state_of (st, 1), LEASE_NONE);
    stage_destroy (st);
}

static void what_is_parked_is_released_by_proof_only (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a");
    const struct msg_released *r;
    (void) state;

    act_run (st, a, 1);
    act_park (st, a, 1, 1, 10);
    act_release (st, a, 1);
    r = stage_got (st, a, VERB_RELEASED);
    assert_int_equal (r->busy.at[0], 1);
    assert_int_equal (state_of (st, 1), LEASE_PARKED);
    stage_destroy (st);
}

static void kill_reaches_what_is_parked_and_it_counts_again (void **state)
{
    struct stage *st = stage_create (1);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    struct actor *admin = stage_admin (st);
    const struct msg_kill_ok *killed;
    const struct msg_stop *stop;
    (void) state;

    act_run (st, a, 1);
    act_park (st, a, 1, 1, 10);
    act_run (st, b, 1);
    make_return (st, a, 1, 1);
    stage_tell (st, a);
    make_kill (st, 5, "a");
    stage_tell (st, admin);
    stop = stage_got (st, a, VERB_STOP);
    assert_int_equal (stop->tokens.at[0], 1);
    killed = stage_got (st, admin, VERB_KILL_OK);
    assert_int_equal (killed->agents, 1);
    assert_false (killed->done);
    assert_int_equal (state_of (st, 1), LEASE_KILLING);
    assert_int_equal (stage_in_use (st), 2); // for a moment more than there are
    assert_int_equal (st->b->waiters.count, 0);
    act_reaped (st, a, 1);
    assert_int_equal (stage_in_use (st), 1);
    stage_destroy (st);
}

static void park_of_what_is_being_ended_is_refused (void **state)
{
    struct stage *st = stage_create (2);
    struct actor *a = stage_shim (st, "a"), *admin = stage_admin (st);
    (void) state;

    act_run (st, a, 1);
    make_kill (st, 5, "a");
    stage_tell (st, admin);
    act_park (st, a, 1, 1, 10);
    stage_assert_refused (st, a, ERR_NOT_NOW);
    assert_int_equal (state_of (st, 1), LEASE_KILLING);
    stage_destroy (st);
}

static void what_is_parked_goes_to_limbo_with_its_session (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_remote (st, "a", "vm2");
    (void) state;

    act_run (st, a, 1);
    act_park (st, a, 1, 1, 10);
    assert_int_equal (stage_in_use (st), 0);
    a->silent = true;
    stage_sleep (st, 61000);
    assert_int_equal (state_of (st, 1), LEASE_LIMBO);
    assert_int_equal (stage_in_use (st), 1);
    stage_sleep (st, 20000);
    assert_int_equal (stage_in_use (st), 0);
    stage_destroy (st);
}

static void a_restart_keeps_what_is_parked_and_who_wants_it_back (void **state)
{
    struct stage *st = stage_create (1);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    const struct msg_grant *grant;
    (void) state;

    act_run (st, a, 1);
    act_park (st, a, 1, 1, 10);
    act_run (st, b, 1);
    make_return (st, a, 1, 1);
    stage_tell (st, a);
    stage_restart (st);
    act_beat (st, a);
    assert_int_equal (state_of (st, 1), LEASE_PARKED);
    assert_int_equal (stage_in_use (st), 1);
    act_reaped (st, b, 2);
    assert_int_equal (state_of (st, 1), LEASE_NONE);
    grant = stage_got (st, a, VERB_GRANT);
    assert_int_equal (state_of (st, grant->first), LEASE_ACTIVE);
    assert_int_equal (stage_row (st, grant->first)->cookie, 1);
    stage_destroy (st);
}

/* A power cut took the BEAT that acknowledged it, and REAPED, and left PARK. */
static void what_is_parked_and_never_named_is_free (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_remote (st, "a", "vm2");
    (void) state;

    act_run (st, a, 1);
    act_park (st, a, 1, 1, 10);
    assert_false (stage_row (st, 1)->acked);
    stage_restart (st);
    a->holds.count = a->acks.count = 0;
    stage_sleep (st, 100000);
    assert_int_equal (state_of (st, 1), LEASE_NONE);
    assert_true (stage_logged (st, "token=1 reason=unnamed"));
    stage_destroy (st);
}

static void status_and_topics_tell_what_is_parked (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a"), *admin = stage_admin (st);
    const struct msg_status_ok *ok;
    const struct msg_lease *lease;
    (void) state;

    act_run (st, a, 2);
    act_park (st, a, 1, 2, 10);
    lease = stage_published (st, "lease.a");
    assert_int_equal (lease->held, 0);
    message_init (&st->msg, VERB_STATUS);
    stage_tell (st, admin);
    ok = stage_got (st, admin, VERB_STATUS_OK);
    assert_int_equal (ok->in_use, 0);
    assert_int_equal (ok->projects[0].parked, 2);
    assert_int_equal (ok->projects[0].held, 0);
    assert_string_equal (ok->agents[0].state, "parked");
    stage_destroy (st);
}

/* ---- the way back ---- */

static void a_tree_comes_back_under_new_tokens (void **state)
{
    struct stage *st = stage_create (8);
    struct actor *a = stage_shim (st, "a");
    const struct msg_grant *grant;
    const struct lease_record *r;
    (void) state;

    act_run (st, a, 2);
    act_beat (st, a);
    message_init (&st->msg, VERB_PROGRESS);
    st->msg.progress.session = a->session;
    st->msg.progress.token = 1;
    st->msg.progress.percent = 60;
    stage_tell (st, a);
    act_park (st, a, 1, 2, 10);
    make_return (st, a, 1, 2);
    stage_tell (st, a);
    grant = stage_got (st, a, VERB_GRANT);
    assert_int_equal (grant->first, 3);
    assert_int_equal (grant->count, 2);
    assert_int_equal (state_of (st, 1), LEASE_NONE);
    assert_int_equal (state_of (st, 2), LEASE_NONE);
    r = stage_row (st, 3);
    assert_int_equal (r->state, LEASE_ACTIVE);
    assert_true (r->tree);
    assert_true (r->run);
    assert_int_equal (r->cookie, 1);
    assert_int_equal (r->told, 10);
    assert_int_equal (r->agent.pid, 901);
    assert_string_equal (r->label, "auth");
    assert_string_equal (r->cgroup, "c/17");
    assert_true (r->percent == 60);
    assert_int_equal (stage_row (st, 4)->cookie, 1);
    assert_true (stage_logged (st, "token=1 reason=returned"));
    stage_tell (st, a); // its resend
    grant = stage_got (st, a, VERB_GRANT);
    assert_int_equal (grant->first, 3);
    assert_int_equal (stage_in_use (st), 2);
    stage_destroy (st);
}

/* All that was said of it and for it, whoever asks for it back. */
static void a_tree_that_comes_back_is_what_it_was (void **state)
{
    struct stage *st = stage_create (8);
    struct actor *a = stage_shim (st, "a");
    const struct lease_record *r;
    (void) state;

    make_request (st, a, 1);
    st->msg.request.run = st->msg.request.preemptible = true;
    st->msg.request.start = 4242;
    stage_tell (st, a);
    act_started (st, a, 1);
    message_init (&st->msg, VERB_PROGRESS);
    st->msg.progress.session = a->session;
    st->msg.progress.token = 1;
    st->msg.progress.phase = 4;
    st->msg.progress.phases = 5;
    st->msg.progress.validating = true;
    copy_text (st->msg.progress.note, sizeof st->msg.progress.note, "tests");
    stage_tell (st, a);
    act_park (st, a, 1, 1, 10);
    make_return (st, a, 1, 1);
    st->msg.request.supervisor = st->msg.request.start = 0;
    stage_tell (st, a);
    r = stage_row (st, 2);
    assert_true (r->preemptible);
    assert_int_equal (r->supervisor.pid, 77);
    assert_int_equal (r->supervisor.start, 4242);
    assert_int_equal (r->phase, 4);
    assert_int_equal (r->phases, 5);
    assert_true (r->validating);
    assert_string_equal (r->note, "tests");
    stage_destroy (st);
}

static void a_reservation_that_was_parked_is_one_again (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a");
    (void) state;

    act_request (st, a, 1);
    act_started (st, a, 1);
    act_park (st, a, 1, 1, 10);
    make_return (st, a, 1, 1);
    stage_tell (st, a);
    assert_false (stage_row (st, 2)->run);
    assert_int_equal (stage_row (st, 2)->supervisor.pid, 77);
    make_reaped (st, a, 2);
    st->msg.reaped.keep = true;
    st->msg.reaped.seq = 11;
    stage_tell (st, a);
    assert_int_equal (state_of (st, 2), LEASE_ACTIVE);
    assert_false (stage_row (st, 2)->tree);
    stage_destroy (st);
}

static void a_tree_comes_back_before_others_of_its_project (void **state)
{
    struct stage *st = stage_create (2);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    const struct msg_grant *grant;
    (void) state;

    st->b->settings.max_per_project = 2;
    projects_configure (&st->b->projects, &st->b->settings);
    act_run (st, a, 1);
    act_park (st, a, 1, 1, 10);
    act_request (st, b, 2);
    act_request (st, a, 1);
    make_return (st, a, 1, 1);
    stage_tell (st, a);
    act_release (st, b, 2);
    grant = stage_got (st, a, VERB_GRANT);
    assert_int_equal (grant->seq, a->seq);
    assert_int_equal (st->b->waiters.count, 1);
    stage_destroy (st);
}

static void only_a_parked_tree_can_come_back (void **state)
{
    struct stage *st = stage_create (20);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    const struct msg_error *e;
    (void) state;

    act_run (st, a, 2); // 1, 2
    make_return (st, a, 1, 2);
    stage_tell (st, a);
    stage_assert_refused (st, a, ERR_EXPIRED);
    act_park (st, a, 1, 2, 10);
    make_return (st, a, 1, 1);
    stage_tell (st, a);
    stage_assert_refused (st, a, ERR_BAD_ARG);
    e = stage_got (st, a, VERB_ERROR);
    assert_string_equal (e->key, "count");
    make_return (st, a, 2, 2);
    st->msg.request.min = 1;
    stage_tell (st, a);
    stage_assert_refused (st, a, ERR_BAD_ARG);
    make_return (st, a, 900, 2);
    stage_tell (st, a);
    stage_assert_refused (st, a, ERR_NOT_FOUND);
    make_return (st, b, 1, 2);
    stage_tell (st, b);
    stage_assert_refused (st, b, ERR_NOT_ALLOWED);
    make_return (st, a, 2, 2); // by any of its tokens
    stage_tell (st, a);
    assert_non_null (stage_got (st, a, VERB_GRANT));
    make_return (st, a, 1, 2);
    stage_tell (st, a);
    stage_assert_refused (st, a, ERR_EXPIRED);
    stage_destroy (st);
}

static void a_tree_waits_once_for_its_way_back (void **state)
{
    struct stage *st = stage_create (1);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    const struct msg_queued *queued;
    (void) state;

    act_run (st, a, 1);
    act_park (st, a, 1, 1, 10);
    act_run (st, b, 1);
    make_return (st, a, 1, 1);
    stage_tell (st, a);
    queued = stage_got (st, a, VERB_QUEUED);
    assert_string_equal (queued->reason, "SLOTS");
    make_return (st, a, 1, 1);
    stage_tell (st, a);
    stage_assert_refused (st, a, ERR_CONFLICT);
    a->seq--;
    make_request (st, a, 1); // the seq of that one, but not parked
    st->msg.request.seq = a->seq - 1;
    st->msg.request.run = true;
    stage_tell (st, a);
    stage_assert_refused (st, a, ERR_CONFLICT);
    stage_destroy (st);
}

static void a_tree_that_ends_does_not_wait_for_its_way_back (void **state)
{
    struct stage *st = stage_create (1);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    const struct msg_error *e;
    (void) state;

    act_run (st, a, 1);
    act_park (st, a, 1, 1, 10);
    act_run (st, b, 1);
    make_return (st, a, 1, 1);
    stage_tell (st, a);
    act_reaped (st, a, 1);
    e = stage_got (st, a, VERB_ERROR);
    assert_string_equal (e->error, "EXPIRED");
    assert_int_equal (e->seq, a->seq);
    assert_int_equal (st->b->waiters.count, 0);
    act_reaped (st, b, 2);
    assert_int_equal (stage_in_use (st), 0);
    stage_destroy (st);
}

static void who_has_not_heard_of_the_new_tokens_may_name_the_old (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a");
    const struct msg_beat_ok *ok;
    (void) state;

    act_run (st, a, 1);
    act_beat (st, a);
    act_park (st, a, 1, 1, 10);
    make_return (st, a, 1, 1);
    stage_tell (st, a); // and the GRANT is lost:
    a->holds.count = 0;
    a->acks.count = 0;
    u64s_add (&a->holds, 1);
    u64s_add (&a->holds, 900);
    act_beat (st, a);
    ok = stage_got (st, a, VERB_BEAT_OK);
    assert_int_equal (ok->grants_count, 1);
    assert_int_equal (ok->grants[0].first, 2);
    assert_int_equal (ok->stops.count, 1); // but not what the tree had
    assert_int_equal (ok->stops.at[0], 900);
    forget (a, 1);
    forget (a, 900);
    act_beat (st, a); // now it has
    assert_true (stage_row (st, 2)->acked);
    u64s_add (&a->holds, 1);
    act_beat (st, a);
    ok = stage_got (st, a, VERB_BEAT_OK);
    assert_int_equal (ok->stops.at[0], 1);
    stage_destroy (st);
}

static void what_came_back_unheard_is_told_before_it_is_stopped (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a"), *admin = stage_admin (st);
    const struct msg_beat_ok *ok;
    (void) state;

    act_run (st, a, 1);
    act_beat (st, a);
    act_park (st, a, 1, 1, 10);
    make_return (st, a, 1, 1);
    stage_tell (st, a); // and the GRANT is lost
    a->holds.count = a->acks.count = 0;
    u64s_add (&a->holds, 1);
    make_kill (st, 5, "a");
    stage_tell (st, admin);
    act_beat (st, a);
    ok = stage_got (st, a, VERB_BEAT_OK);
    assert_int_equal (ok->grants_count, 1);
    assert_int_equal (ok->grants[0].first, 2);
    assert_int_equal (ok->stops.count, 1);
    assert_int_equal (ok->stops.at[0], 2);
    stage_destroy (st);
}

static void kill_counts_a_tree_that_came_back_once (void **state)
{
    struct stage *st = stage_create (8);
    struct actor *a = stage_shim (st, "a"), *admin = stage_admin (st);
    const struct msg_kill_ok *killed;
    (void) state;

    act_run (st, a, 3);
    act_beat (st, a);
    act_park (st, a, 1, 3, 10);
    make_return (st, a, 1, 3);
    stage_tell (st, a);
    make_kill (st, 5, "a");
    st->msg.kill.token = 5; // with all slots of its tree
    stage_tell (st, admin);
    killed = stage_got (st, admin, VERB_KILL_OK);
    assert_int_equal (killed->agents, 1);
    assert_int_equal (killed->slots, 3);
    stage_destroy (st);
}

static void a_successor_finds_a_tree_that_came_back_by_its_cookie (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a"), *next = stage_actor (st, "a");
    const struct msg_welcome *welcome;
    (void) state;

    act_run (st, a, 1);
    act_park (st, a, 1, 1, 10);
    make_return (st, a, 1, 1);
    stage_tell (st, a);
    next->hello.successor = true;
    act_hello (st, next);
    welcome = stage_got (st, next, VERB_WELCOME);
    assert_int_equal (welcome->limbo_count, 1);
    assert_int_equal (welcome->limbo[0].token, 2);
    assert_int_equal (welcome->limbo[0].cookie, 1);
    stage_destroy (st);
}

/* ---- RECLAIM ---- */

static void reclaim (struct stage *st, const struct actor *a, unsigned count)
{
    stage_begin (st);
    reclaim_send (st->b, sessions_find (&st->b->sessions, a->session), count,
                  4000, "odin", st->out);
    stage_end (st);
}

static void reclaim_is_pushed_to_who_hears (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a");
    const struct msg_welcome *welcome;
    const struct msg_reclaim *m;
    (void) state;

    act_hello (st, a);
    welcome = stage_got (st, a, VERB_WELCOME);
    assert_int_equal (welcome->reclaim_idle_ms, st->settings.reclaim_idle_ms);
    reclaim (st, a, 2);
    m = stage_got (st, a, VERB_RECLAIM);
    assert_int_equal (m->session, a->session);
    assert_int_equal (m->epoch, 1);
    assert_int_equal (m->count, 2);
    assert_int_equal (m->within_ms, 4000);
    assert_string_equal (m->whom, "odin");
    assert_true (stage_logged (st, "project=a count=2 for=odin"));
    reclaim (st, a, 0);
    assert_int_equal (stage_got_count (st, a), 0);
    stage_destroy (st);
}

static void reclaim_of_a_req_client_rides_in_one_beat_ok (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_actor (st, "a");
    const struct msg_beat_ok *ok;
    (void) state;

    a->peer.path.req = true;
    act_hello (st, a);
    reclaim (st, a, 2);
    assert_int_equal (stage_got_count (st, a), 0);
    act_beat (st, a);
    ok = stage_got (st, a, VERB_BEAT_OK);
    assert_int_equal (ok->reclaim, 2);
    act_beat (st, a);
    ok = stage_got (st, a, VERB_BEAT_OK);
    assert_int_equal (ok->reclaim, 0);
    stage_destroy (st);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (what_is_parked_does_not_count),
        cmocka_unit_test (park_wants_all_tokens_of_one_running_tree),
        cmocka_unit_test (park_is_known_by_its_seq),
        cmocka_unit_test (only_so_much_may_be_parked),
        cmocka_unit_test (a_parked_tree_is_named_in_beats),
        cmocka_unit_test (reaped_ends_what_is_parked),
        cmocka_unit_test (what_is_parked_is_released_by_proof_only),
        cmocka_unit_test (kill_reaches_what_is_parked_and_it_counts_again),
        cmocka_unit_test (park_of_what_is_being_ended_is_refused),
        cmocka_unit_test (what_is_parked_goes_to_limbo_with_its_session),
        cmocka_unit_test (a_restart_keeps_what_is_parked_and_who_wants_it_back),
        cmocka_unit_test (what_is_parked_and_never_named_is_free),
        cmocka_unit_test (status_and_topics_tell_what_is_parked),
        cmocka_unit_test (a_tree_comes_back_under_new_tokens),
        cmocka_unit_test (a_tree_that_comes_back_is_what_it_was),
        cmocka_unit_test (a_reservation_that_was_parked_is_one_again),
        cmocka_unit_test (a_tree_comes_back_before_others_of_its_project),
        cmocka_unit_test (only_a_parked_tree_can_come_back),
        cmocka_unit_test (a_tree_waits_once_for_its_way_back),
        cmocka_unit_test (a_tree_that_ends_does_not_wait_for_its_way_back),
        cmocka_unit_test (who_has_not_heard_of_the_new_tokens_may_name_the_old),
        cmocka_unit_test (what_came_back_unheard_is_told_before_it_is_stopped),
        cmocka_unit_test (kill_counts_a_tree_that_came_back_once),
        cmocka_unit_test (
            a_successor_finds_a_tree_that_came_back_by_its_cookie),
        cmocka_unit_test (reclaim_is_pushed_to_who_hears),
        cmocka_unit_test (reclaim_of_a_req_client_rides_in_one_beat_ok),
    };

    return cmocka_run_group_tests (tests, NULL, NULL);
}
