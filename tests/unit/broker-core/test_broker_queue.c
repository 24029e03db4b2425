/* SPDX-License-Identifier: MPL-2.0 */
/* Requests, the queue, and what those who wait are told. */
#include "stage.h"

#include <string.h>

#include "core/round.h"

static const struct msg_queued *queued (struct stage *st, struct actor *a)
{
    const struct msg_queued *q = stage_got (st, a, VERB_QUEUED);

    assert_non_null (q);
    return q;
}

static const struct msg_grant *granted (struct stage *st, struct actor *a,
                                        unsigned count)
{
    const struct msg_grant *g = stage_got (st, a, VERB_GRANT);

    assert_non_null (g);
    assert_int_equal (g->count, count);
    return g;
}

/* G1: the seed's picture. */
static void five_three_and_two_of_twenty_are_ten_in_use (void **state)
{
    struct stage *st = stage_create (20);
    struct actor *consilio = stage_shim (st, "consilio");
    struct actor *openhorizon = stage_shim (st, "openhorizon");
    struct actor *odin = stage_shim (st, "odin");
    (void) state;

    act_request (st, consilio, 5);
    assert_int_equal (granted (st, consilio, 5)->first, 1);
    act_request (st, openhorizon, 3);
    assert_int_equal (granted (st, openhorizon, 3)->first, 6);
    act_request (st, odin, 2);
    assert_int_equal (granted (st, odin, 2)->first, 9);
    assert_int_equal (stage_in_use (st), 10);
    assert_true (stage_logged (st, "token=9-10 in_use=10/20"));
    stage_destroy (st);
}

/* G2: the seed's example of waiting. */
static void odin_waits_with_three_agents_ahead_until_three_are_back (void **s)
{
    struct stage *st = stage_create (20);
    struct actor *consilio = stage_shim (st, "consilio");
    struct actor *openhorizon = stage_shim (st, "openhorizon");
    struct actor *odin = stage_shim (st, "odin");
    const struct msg_queued *q;
    (void) s;

    act_request (st, consilio, 8);
    act_request (st, openhorizon, 10);
    act_request (st, odin, 5);
    q = queued (st, odin);
    assert_int_equal (q->position, 1);
    assert_int_equal (q->slots_ahead, 3);
    assert_string_equal (q->reason, "SLOTS");
    assert_string_equal (q->detail, "2 of 20 free, 5 wanted");

    act_release_some (st, consilio, 2);
    assert_int_equal (queued (st, odin)->slots_ahead, 1);
    act_release_some (st, openhorizon, 1);
    assert_int_equal (granted (st, odin, 5)->first, 19);
    assert_int_equal (stage_in_use (st), 20);
    stage_destroy (st);
}

static void newcomer_does_not_overtake_who_waits (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    struct actor *c = stage_shim (st, "c");
    (void) state;

    act_request (st, a, 2);
    act_request (st, b, 1);
    act_request (st, c, 2);
    assert_string_equal (queued (st, c)->reason, "SLOTS");
    act_request (st, b, 1);
    assert_string_equal (queued (st, b)->reason, "TURN");
    assert_string_equal (queued (st, b)->detail, "behind c's 2");
    assert_int_equal (queued (st, b)->position, 2);
    assert_int_equal (queued (st, b)->slots_ahead, 2); // 2 + 1 - 1

    act_release_some (st, a, 1);
    granted (st, c, 2);
    assert_string_equal (queued (st, b)->reason, "SLOTS");
    stage_destroy (st);
}

static void requests_of_one_batch_are_judged_in_their_order (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    struct actor *c = stage_shim (st, "c");
    (void) state;

    stage_begin (st);
    make_request (st, a, 2);
    stage_say (st, a);
    make_request (st, b, 2);
    stage_say (st, b);
    make_request (st, c, 1);
    stage_say (st, c);
    stage_end (st);
    granted (st, a, 2);
    granted (st, b, 2);
    queued (st, c);
    assert_int_equal (stage_got_count (st, a), 1);
    assert_int_equal (stage_got_count (st, c), 1);
    stage_destroy (st);
}

static void project_at_its_cap_is_passed_over_by_others (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    (void) state;

    act_request (st, a, 5);
    act_request (st, a, 2);
    assert_string_equal (queued (st, a)->reason, "CAP");
    assert_string_equal (queued (st, a)->detail, "a holds 5 of its 5");
    assert_int_equal (queued (st, a)->slots_ahead, 0);
    act_request (st, a, 1);
    assert_string_equal (queued (st, a)->reason, "TURN");
    assert_string_equal (queued (st, a)->detail,
                         "behind an earlier request of a");
    act_request (st, b, 5);
    granted (st, b, 5);

    act_release_some (st, a, 2);
    granted (st, a, 2);
    act_release_some (st, a, 1);
    granted (st, a, 1);
    stage_destroy (st);
}

/* The later one would fit below the cap, the earlier would not: it waits. */
static void skipped_request_holds_back_its_own_project (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a");
    (void) state;

    act_request (st, a, 4);
    act_request (st, a, 2);
    assert_string_equal (queued (st, a)->reason, "CAP");
    act_request (st, a, 1);
    assert_string_equal (queued (st, a)->reason, "TURN");
    assert_int_equal (stage_in_use (st), 4);
    stage_destroy (st);
}

static void cap_counts_over_all_hosts_and_with_limbo (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *here = stage_shim (st, "a");
    struct actor *there = stage_remote (st, "a", "vm2");
    (void) state;

    act_request (st, here, 3);
    act_started (st, here, 1);
    act_bye (st, here);
    assert_int_equal (stage_in_use (st), 1); // its tree is in limbo
    act_request (st, there, 5);
    assert_string_equal (queued (st, there)->reason, "CAP");
    assert_string_equal (queued (st, there)->detail, "a holds 1 of its 5");
    stage_destroy (st);
}

static void request_with_min_takes_what_there_is (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    const struct msg_grant *g;
    (void) state;

    act_request (st, a, 5);
    act_request (st, b, 2);
    make_request (st, b, 8);
    st->msg.request.min = 2;
    stage_tell (st, b);
    g = granted (st, b, 3); // what its cap leaves
    assert_int_equal (g->asked, 8);
    make_request (st, b, 3);
    st->msg.request.min = 3;
    stage_tell (st, b);
    assert_string_equal (queued (st, b)->reason, "CAP");
    stage_destroy (st);
}

static void what_can_never_be_granted_is_refused_and_leaves_no_trace (void **s)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_shim (st, "a");
    const struct msg_error *e;
    (void) s;

    act_request (st, a, 6);
    stage_assert_refused (st, a, ERR_EXCEEDS_MAX);
    e = stage_got (st, a, VERB_ERROR);
    assert_string_equal (e->re, "REQUEST");
    assert_int_equal (e->seq, 1);
    assert_non_null (strstr (e->detail, "the limit is 5"));
    a->seq--; // the same number is free
    act_request (st, a, 5);
    granted (st, a, 5);

    make_request (st, a, 0);
    stage_tell (st, a);
    stage_assert_refused (st, a, ERR_BAD_ARG);
    make_request (st, a, 1);
    st->msg.request.min = 2;
    stage_tell (st, a);
    stage_assert_refused (st, a, ERR_BAD_ARG);
    e = stage_got (st, a, VERB_ERROR);
    assert_string_equal (e->key, "min");
    assert_string_equal (e->detail, "expected at most count");
    stage_destroy (st);
}

static void nowait_is_refused_with_the_reason_and_blocks_nobody (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    struct actor *c = stage_shim (st, "c");
    const struct msg_error *e;
    (void) state;

    act_request (st, a, 2);
    act_request (st, b, 1);
    stage_begin (st);
    make_request (st, c, 2);
    st->msg.request.nowait = true;
    stage_say (st, c);
    make_request (st, b, 1);
    stage_say (st, b);
    stage_end (st);
    stage_assert_refused (st, c, ERR_NOT_NOW);
    e = stage_got (st, c, VERB_ERROR);
    assert_string_equal (e->detail, "SLOTS: 1 of 4 free, 2 wanted");
    granted (st, b, 1);

    c->seq--; // it left no trace
    act_request (st, c, 1);
    queued (st, c);
    stage_destroy (st);
}

static void nowait_that_fits_is_granted (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a");
    (void) state;

    make_request (st, a, 2);
    st->msg.request.nowait = true;
    stage_tell (st, a);
    granted (st, a, 2);
    make_request (st, a, 1);
    st->msg.request.nowait = true;
    stage_tell (st, a);
    stage_assert_refused (st, a, ERR_NOT_NOW);
    assert_string_equal (
        ((const struct msg_error *) stage_got (st, a, VERB_ERROR))->detail,
        "CAP: a holds 2 of its 2");
    stage_destroy (st);
}

static void queue_of_a_project_is_bounded (void **state)
{
    struct stage *st = stage_create (2);
    struct actor *holder = stage_shim (st, "z");
    struct actor *shims[17];
    (void) state;

    act_request (st, holder, 1);
    for (unsigned i = 0; i < 17; i++) {
        shims[i] = stage_actor (st, "a");
        shims[i]->peer.uid = 2000 + i; // one shim per uid
        act_hello (st, shims[i]);
    }
    for (unsigned i = 0; i < 16 * 64 - 24 + 1; i++)
        act_request (st, shims[i / 64], 1);
    // one of the 1001 has the only slot that was free
    act_request (st, shims[16], 1);
    stage_assert_refused (st, shims[16], ERR_QUEUE_FULL);
    stage_destroy (st);
}

static void one_session_may_have_all_that_a_project_may (void **state)
{
    struct stage *st = stage_create (2);
    struct actor *b = stage_shim (st, "b");
    (void) state;

    act_request (st, b, 1);
    stage_begin (st);
    for (unsigned i = 0; i < 1000; i++) {
        make_request (st, b, 1);
        stage_say (st, b);
    }
    stage_end (st);
    assert_int_equal (queued (st, b)->position, 1000);
    act_request (st, b, 1);
    stage_assert_refused (st, b, ERR_QUEUE_FULL);
    make_cancel (st, b, 500);
    stage_tell (st, b);
    act_request (st, b, 1);
    queued (st, b);
    stage_destroy (st);
}

/* ---- 300 that wait ---- */

enum { MANY = 300 };

/* The seqs of the first and the last that wait are b's 2 and MANY + 1. */
static struct stage *stage_of_many (struct actor **ret_b)
{
    struct stage *st = stage_create (2);
    struct actor *b = *ret_b = stage_shim (st, "b");

    act_request (st, b, 1);
    for (unsigned i = 0; i < MANY; i++)
        act_request (st, b, 1);
    act_beat (st, b);
    return st;
}

static void resend (struct stage *st, struct actor *a, uint64_t seq)
{
    uint64_t newest = a->seq;

    a->seq = seq - 1;
    act_request (st, a, 1);
    a->seq = newest;
}

static void all_of_many_requests_survive_a_restart (void **state)
{
    struct actor *b;
    struct stage *st = stage_of_many (&b);
    (void) state;

    stage_restart (st);
    act_beat (st, b);
    for (uint64_t seq = 2; seq <= MANY + 1; seq++) {
        resend (st, b, seq);
        assert_int_equal (queued (st, b)->seq, seq);
        assert_int_equal (queued (st, b)->position, seq - 1);
    }
    for (uint64_t seq = 2; seq <= MANY + 1; seq++) {
        act_release_some (st, b, 1);
        assert_int_equal (granted (st, b, 1)->seq, seq);
    }
    stage_destroy (st);
}

/* All are told of a kill, page by page, each until it is acknowledged. */
static void many_killed_requests_are_told_by_beat_ok (void **state)
{
    struct actor *b;
    struct stage *st = stage_of_many (&b);
    struct actor *admin = stage_admin (st);
    const struct msg_beat_ok *ok;
    bool told[MANY + 2] = {false};
    unsigned pages = 0, count = 0;
    (void) state;

    b->peer.path.req = true;
    act_beat (st, b); // from now on nothing can be pushed to it
    make_kill (st, 1, "b");
    stage_tell (st, admin);
    assert_int_equal (
        ((const struct msg_kill_ok *) stage_got (st, admin, VERB_KILL_OK))
            ->cancelled,
        MANY);
    assert_null (stage_got (st, b, VERB_ERROR));
    for (;;) {
        act_beat (st, b);
        ok = stage_got (st, b, VERB_BEAT_OK);
        if (ok->expired.count == 0 || pages > MANY)
            break;
        assert_in_range (ok->expired.count, 1, 64);
        pages++;
        b->acks = ok->expired;
        for (uint32_t i = 0; i < ok->expired.count; i++) {
            assert_in_range (ok->expired.at[i], 2, MANY + 1);
            count += !told[ok->expired.at[i]];
            told[ok->expired.at[i]] = true;
        }
    }
    assert_int_equal (count, MANY);
    assert_int_equal (pages, (MANY + 63) / 64);
    stage_destroy (st);
}

static void each_of_many_killed_requests_is_told_by_push (void **state)
{
    struct actor *b;
    struct stage *st = stage_of_many (&b);
    struct actor *admin = stage_admin (st);
    (void) state;

    make_kill (st, 1, "b");
    stage_tell (st, admin);
    assert_int_equal (stage_got_count (st, b), MANY + 1); // and STOP
    stage_destroy (st);
}

/* Grants that no push brought are listed 64 at a time. */
static void many_grants_are_listed_page_by_page (void **state)
{
    struct stage *st = stage_create (2 * MANY);
    struct actor *b = stage_shim (st, "b");
    const struct msg_beat_ok *ok;
    unsigned count = 0, pages = 0;
    (void) state;

    for (unsigned i = 0; i < MANY; i++)
        act_request (st, b, 1);
    b->acks.count = b->holds.count = 0; // none arrived
    for (;;) {
        act_beat (st, b);
        ok = stage_got (st, b, VERB_BEAT_OK);
        if (ok->grants_count == 0 || ++pages > MANY)
            break;
        for (uint32_t i = 0; i < ok->grants_count; i++)
            count += u64s_has (&b->holds, ok->grants[i].first);
    }
    assert_int_equal (count, MANY);
    assert_int_equal (pages, (MANY + 63) / 64);
    assert_int_equal (b->holds.count, MANY);
    stage_destroy (st);
}

/* The news of one that goes reach those near the head, and few of the rest. */
static void small_steps_far_behind_are_not_told (void **state)
{
    struct actor *b;
    struct stage *st = stage_of_many (&b);
    (void) state;

    act_release_some (st, b, 1);
    granted (st, b, 1);
    assert_in_range (stage_got_count (st, b), 8, 100);
    stage_destroy (st);
}

static unsigned told_position (const struct stage *st, size_t i)
{
    const struct waiter *w = st->b->waiters.at[i];

    return w->told.position;
}

static void far_behind_all_is_told_within_a_second (void **state)
{
    struct actor *b;
    struct stage *st = stage_of_many (&b);
    (void) state;

    stage_sleep (st, ROUND_FAR_MS);
    act_beat (st, b);
    for (uint64_t seq = 2; seq < 2 + 60; seq++) {
        make_cancel (st, b, seq);
        stage_tell (st, b);
    }
    assert_int_equal (told_position (st, MANY - 60 - 1), MANY);
    assert_int_equal (told_position (st, 0), 1);
    stage_sleep (st, ROUND_FAR_MS);
    act_beat (st, b);
    assert_int_equal (told_position (st, MANY - 60 - 1), MANY - 60);
    stage_destroy (st);
}

static void open_request_is_known_however_old_it_is (void **state)
{
    struct stage *st = stage_create (2);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    uint64_t open;
    (void) state;

    act_request (st, a, 1);
    act_request (st, b, 1);
    open = act_request (st, b, 1); // waits behind its own cap
    b->seq = open + 200;
    act_request (st, b, 1);
    queued (st, b);
    b->seq = open - 1;
    act_request (st, b, 1); // the same once more
    assert_int_equal (queued (st, b)->seq, open);
    make_cancel (st, b, open);
    stage_tell (st, b);
    b->seq = open - 1;
    act_request (st, b, 1); // closed, and below the window
    stage_assert_refused (st, b, ERR_EXPIRED);
    stage_destroy (st);
}

/* ---- resends ---- */

static void resend_gets_queued_then_the_same_grant (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    struct actor *c = stage_shim (st, "c");
    uint64_t first;
    (void) state;

    act_request (st, a, 2);
    act_request (st, b, 1);
    act_request (st, c, 2);
    c->seq--;
    act_request (st, c, 2);
    queued (st, c);
    assert_int_equal (stage_got_count (st, c), 1);

    act_release_some (st, a, 2);
    first = granted (st, c, 2)->first;
    c->seq--;
    act_request (st, c, 2);
    assert_int_equal (granted (st, c, 2)->first, first);
    assert_int_equal (stage_in_use (st), 3); // nothing twice

    stage_restart (st);
    c->seq--;
    act_request (st, c, 2);
    assert_int_equal (granted (st, c, 2)->first, first);
    stage_destroy (st);
}

static void resend_after_a_part_was_released_names_the_whole_grant (void **s)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a");
    (void) s;

    act_request (st, a, 2);
    act_release (st, a, 1);
    a->seq--;
    act_request (st, a, 2);
    assert_int_equal (granted (st, a, 2)->first, 1);
    act_release (st, a, 2);
    a->seq--;
    act_request (st, a, 2);
    stage_assert_refused (st, a, ERR_EXPIRED);
    stage_destroy (st);
}

static void same_seq_with_other_arguments_is_a_conflict (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a");
    (void) state;

    act_request (st, a, 2);
    a->seq--;
    act_request (st, a, 1);
    stage_assert_refused (st, a, ERR_CONFLICT);
    act_request (st, a, 2);
    queued (st, a);
    make_request (st, a, 2);
    st->msg.request.seq = a->seq = 2;
    st->msg.request.bound = true;
    stage_tell (st, a);
    stage_assert_refused (st, a, ERR_CONFLICT);
    stage_destroy (st);
}

static void seq_below_the_window_is_expired (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a");
    (void) state;

    a->seq = 99;
    act_request (st, a, 1);
    a->seq = 100 - 64 - 1;
    act_request (st, a, 1);
    stage_assert_refused (st, a, ERR_EXPIRED);
    act_request (st, a, 1); // 100 - 63: just inside, and new
    granted (st, a, 1);
    stage_destroy (st);
}

static void a_req_gets_one_answer_and_learns_its_grant_from_beats (void **s)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a"), *b = stage_actor (st, "b");
    const struct msg_beat_ok *ok;
    (void) s;

    b->peer.path.req = true;
    act_hello (st, b);
    act_request (st, a, 2);
    act_request (st, a, 2); // waits by its cap
    act_request (st, b, 2);
    assert_int_equal (stage_got_count (st, b), 1);
    granted (st, b, 2);
    act_request (st, b, 2);
    assert_int_equal (stage_got_count (st, b), 1);
    queued (st, b);
    act_release_some (st, b, 2);
    assert_int_equal (stage_got_count (st, b), 1); // RELEASED, no push
    assert_null (stage_got (st, b, VERB_GRANT));
    act_beat (st, b);
    ok = stage_got (st, b, VERB_BEAT_OK);
    assert_int_equal (stage_got_count (st, b), 1);
    assert_int_equal (ok->grants_count, 1);
    assert_int_equal (ok->grants[0].seq, 2);
    assert_int_equal (ok->grants[0].count, 2);
    act_beat (st, b); // acknowledges
    ok = stage_got (st, b, VERB_BEAT_OK);
    assert_int_equal (ok->grants_count, 0);
    stage_destroy (st);
}

static void answer_goes_where_the_request_came_from (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_actor (st, "a"), *other;
    (void) state;

    a->peer.path.req = true;
    act_hello (st, a);
    other = stage_actor (st, "a"); // another REQ socket of the same session
    other->peer.path.req = true;
    other->session = a->session;
    stage_begin (st);
    make_request (st, a, 1);
    stage_say (st, a);
    make_beat (st, other);
    stage_say (st, other);
    stage_end (st);
    granted (st, a, 1);
    assert_null (stage_got (st, other, VERB_GRANT));
    assert_int_equal (stage_got_count (st, other), 1);
    stage_destroy (st);
}

static void queued_is_told_again_only_when_it_changes (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    struct actor *c = stage_shim (st, "c");
    (void) state;

    act_request (st, a, 2);
    act_request (st, b, 2);
    act_request (st, c, 2);
    stage_sleep (st, 4000);
    assert_int_equal (stage_got_count (st, c), 0);
    act_release_some (st, a, 1);
    assert_int_equal (queued (st, c)->slots_ahead, 1);
    c->peer.path.id[0] = 7; // reconnected: told again what it waits for
    act_beat (st, c);
    assert_int_equal (queued (st, c)->slots_ahead, 1);
    act_beat (st, c);
    assert_null (stage_got (st, c, VERB_QUEUED));
    stage_destroy (st);
}

/* ---- cancel ---- */

static void cancelled_request_is_expired_and_wakes_those_behind (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    struct actor *c = stage_shim (st, "c");
    const struct msg_ok *ok;
    (void) state;

    act_request (st, a, 2);
    act_request (st, b, 1);
    act_request (st, c, 2);
    act_request (st, b, 1);
    queued (st, b);
    make_cancel (st, c, c->seq);
    stage_tell (st, c);
    ok = stage_got (st, c, VERB_OK);
    assert_string_equal (ok->re, "CANCEL");
    assert_int_equal (ok->count, 1);
    assert_int_equal (ok->tokens.count, 0);
    granted (st, b, 1);
    c->seq--;
    act_request (st, c, 2);
    stage_assert_refused (st, c, ERR_EXPIRED);
    make_cancel (st, c, c->seq);
    stage_tell (st, c);
    stage_assert_refused (st, c, ERR_EXPIRED);
    make_cancel (st, c, c->seq + 1);
    stage_tell (st, c);
    stage_assert_refused (st, c, ERR_NOT_FOUND);
    stage_destroy (st);
}

static void cancel_of_what_was_granted_meanwhile_releases_it (void **state)
{
    struct stage *st = stage_create (8);
    struct actor *a = stage_shim (st, "a");
    const struct msg_ok *ok;
    (void) state;

    act_request (st, a, 3);
    act_started (st, a, 2);
    make_cancel (st, a, 1);
    stage_tell (st, a);
    ok = stage_got (st, a, VERB_OK);
    assert_int_equal (ok->count, 0);
    assert_int_equal (ok->tokens.count, 2);
    assert_true (u64s_has (&ok->tokens, 1) && u64s_has (&ok->tokens, 3));
    assert_int_equal (stage_in_use (st), 1); // what runs is not given back
    stage_destroy (st);
}

static void cancel_in_the_batch_of_its_request_answers_both (void **state)
{
    struct stage *st = stage_create (8);
    struct actor *a = stage_shim (st, "a");
    const struct msg_error *e;
    (void) state;

    stage_begin (st);
    make_request (st, a, 1);
    stage_say (st, a);
    make_cancel (st, a, 1);
    stage_say (st, a);
    stage_end (st);
    assert_int_equal (stage_got_count (st, a), 2);
    e = stage_got (st, a, VERB_ERROR);
    assert_string_equal (e->error, "EXPIRED");
    assert_int_equal (stage_in_use (st), 0);
    stage_destroy (st);
}

static void cancel_all_withdraws_what_waits_and_keeps_what_is_held (void **s)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a");
    const struct msg_ok *ok;
    (void) s;

    act_request (st, a, 2);
    act_request (st, a, 1);
    act_request (st, a, 2);
    make_cancel (st, a, 0);
    stage_tell (st, a);
    stage_assert_refused (st, a, ERR_BAD_ARG);
    st->msg.cancel.all = true;
    stage_tell (st, a);
    ok = stage_got (st, a, VERB_OK);
    assert_int_equal (ok->count, 2);
    assert_int_equal (stage_in_use (st), 2);
    stage_destroy (st);
}

/* ---- pace ---- */

static void herd_starts_eight_a_second (void **state)
{
    struct stage *st = stage_create (40);
    struct actor *a, *b;
    const struct msg_queued *q;
    (void) state;

    st->settings.grant_burst = 8;
    stage_restart (st);
    a = stage_shim (st, "a");
    b = stage_shim (st, "b");
    act_request (st, a, 6);
    granted (st, a, 6);
    act_request (st, b, 4);
    q = queued (st, b);
    assert_string_equal (q->reason, "PACING");
    assert_string_equal (q->detail, "at most 8 start a second: in 250 ms");
    stage_sleep (st, 249);
    assert_null (stage_got (st, b, VERB_GRANT));
    stage_sleep (st, 1);
    granted (st, b, 4);
    stage_destroy (st);
}

static void grant_above_the_bucket_is_made_whole_and_leaves_debt (void **s)
{
    struct stage *st = stage_create (40);
    struct actor *a, *b;
    (void) s;

    st->settings.grant_burst = 8;
    stage_restart (st);
    a = stage_shim (st, "a");
    b = stage_shim (st, "b");
    act_request (st, a, 20);
    granted (st, a, 20); // the bucket was full
    act_request (st, b, 1);
    queued (st, b);
    stage_sleep (st, 1624);
    assert_null (stage_got (st, b, VERB_GRANT));
    stage_sleep (st, 1); // 12 of debt and 1 more, 8 a second
    granted (st, b, 1);
    stage_destroy (st);
}

/* ---- limits that change ---- */

/* G5: the seed's set-max. */
static void set_max_up_wakes_the_queue_and_survives_a_restart (void **state)
{
    struct stage *st = stage_create (20);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    struct actor *c = stage_shim (st, "c"), *admin = stage_admin (st);
    const struct msg_set_max_ok *ok;
    (void) state;

    act_request (st, a, 10);
    act_request (st, b, 10);
    act_request (st, c, 5);
    assert_int_equal (queued (st, c)->slots_ahead, 5);
    message_init (&st->msg, VERB_SET_MAX);
    st->msg.set_max.max_slots = 30;
    stage_tell (st, a);
    stage_assert_refused (st, a, ERR_NOT_ALLOWED);
    stage_tell (st, admin);
    ok = stage_got (st, admin, VERB_SET_MAX_OK);
    assert_int_equal (ok->before, 20);
    assert_int_equal (ok->max_slots, 30);
    assert_int_equal (ok->effective, 30);
    assert_int_equal (ok->in_use, 20);
    assert_int_equal (ok->waiting, 1);
    assert_true (outbox_flush (st->out));
    granted (st, c, 5);
    assert_int_equal (stage_meta (st)->max_slots, 30);

    stage_restart (st);
    act_request (st, a, 5); // the cap followed: 15
    granted (st, a, 5);
    stage_destroy (st);
}

static void configuration_that_changed_later_wins_over_set_max (void **state)
{
    struct stage *st = stage_create (20);
    struct actor *admin = stage_admin (st);
    struct pool_view view;
    (void) state;

    message_init (&st->msg, VERB_SET_MAX);
    st->msg.set_max.max_slots = 30;
    stage_tell (st, admin);
    settings_set_max (&st->settings, 24);
    outbox_clear (st->out);
    broker_reload (st->b, &st->settings, st->now, st->out);
    broker_view (st->b, &view);
    assert_int_equal (view.max_slots, 24);
    assert_int_equal (outbox_changed (st->out), 1); // meta: it is overruled
    assert_true (outbox_flush (st->out));
    stage_destroy (st);
}

static void set_max_down_drains_and_never_takes (void **state)
{
    struct stage *st = stage_create (20);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    struct actor *admin = stage_admin (st);
    const struct msg_error *e;
    (void) state;

    act_request (st, a, 10);
    act_request (st, b, 4);
    act_request (st, a, 1); // waits by cap
    make_request (st, b, 6);
    stage_tell (st, b);
    granted (st, b, 6);
    act_request (st, b, 6); // waits
    message_init (&st->msg, VERB_SET_MAX);
    st->msg.set_max.max_slots = 10;
    stage_tell (st, admin);
    assert_int_equal (stage_in_use (st), 20);
    e = stage_got (st, b, VERB_ERROR); // 6 of at most 5: never again
    assert_non_null (e);
    assert_string_equal (e->error, "EXCEEDS_MAX");
    assert_string_equal (e->re, "REQUEST");
    act_release_some (st, a, 10);
    assert_string_equal (queued (st, a)->reason, "SLOTS");
    assert_string_equal (queued (st, a)->detail, "0 of 10 free, 1 wanted");
    act_release_some (st, b, 1);
    granted (st, a, 1);
    stage_destroy (st);
}

static void set_max_out_of_range_or_without_disk_is_refused (void **state)
{
    struct stage *st = stage_create (20);
    struct actor *admin = stage_admin (st);
    (void) state;

    message_init (&st->msg, VERB_SET_MAX);
    st->msg.set_max.max_slots = 10001;
    stage_tell (st, admin);
    stage_assert_refused (st, admin, ERR_BAD_ARG);
    st->msg.set_max.max_slots = 0;
    stage_tell (st, admin);
    stage_assert_refused (st, admin, ERR_BAD_ARG);
    st->msg.set_max.max_slots = 5;
    broker_observe_disk (st->b, true, st->now, st->out);
    stage_tell (st, admin);
    stage_assert_refused (st, admin, ERR_DISK);
    stage_destroy (st);
}

static void full_disk_grants_nothing_and_goes_on_otherwise (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a");
    const struct msg_broker *m;
    (void) state;

    act_request (st, a, 1);
    stage_begin (st);
    broker_observe_disk (st->b, true, st->now, st->out);
    make_request (st, a, 1);
    stage_say (st, a);
    stage_end (st);
    assert_string_equal (queued (st, a)->reason, "DISK");
    m = stage_published (st, "broker");
    assert_true (m && m->disk_full);
    act_release (st, a, 1);
    assert_int_equal (stage_in_use (st), 0);
    stage_begin (st);
    broker_observe_disk (st->b, false, st->now, st->out);
    stage_end (st);
    granted (st, a, 1);
    stage_destroy (st);
}

static void a_host_has_its_own_queue_and_limit (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *here, *there, *other;
    (void) state;

    st->settings.host_count = 1;
    copy_text (st->settings.hosts[0].host, 65, "vm2");
    st->settings.hosts[0].max_slots = 3;
    stage_restart (st);
    here = stage_shim (st, "a");
    there = stage_remote (st, "b", "vm2");
    other = stage_remote (st, "c", "vm2");
    act_request (st, there, 4);
    stage_assert_refused (st, there, ERR_EXCEEDS_MAX);
    act_request (st, there, 2);
    granted (st, there, 2); // and the mark is raised for the next
    act_release (st, there, there->holds.at[0]);
    assert_false (outbox_flush (st->out));
    act_request (st, there, 1);
    assert_true (outbox_flush (st->out)); // remote: must survive power
    act_request (st, other, 2);
    assert_string_equal (queued (st, other)->detail, "1 of 3 free, 2 wanted");
    act_request (st, here, 5); // not behind vm2's queue
    granted (st, here, 5);
    assert_false (outbox_flush (st->out));
    stage_destroy (st);
}

static void all_hosts_together_hold_no_more_than_max_slots (void **state)
{
    struct stage *st = stage_create (6);
    struct actor *a = stage_shim (st, "a");
    struct actor *b = stage_remote (st, "b", "vm2");
    struct actor *c = stage_remote (st, "c", "vm3");
    (void) state;

    act_request (st, a, 3);
    act_request (st, b, 2);
    act_request (st, c, 2);
    assert_string_equal (queued (st, c)->reason, "SLOTS");
    assert_string_equal (queued (st, c)->detail,
                         "1 of 6 free on all hosts, 2 wanted");
    act_release (st, a, 1);
    granted (st, c, 2);
    stage_destroy (st);
}

static void power_durability_flushes_every_grant (void **state)
{
    struct stage *st = stage_create (6);
    struct actor *a;
    (void) state;

    a = stage_shim (st, "a");
    act_request (st, a, 1);
    assert_true (outbox_flush (st->out)); // the first raises the mark
    act_request (st, a, 1);
    assert_false (outbox_flush (st->out));
    st->settings.power = true;
    stage_restart (st);
    act_request (st, a, 1);
    assert_true (outbox_flush (st->out));
    stage_destroy (st);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (five_three_and_two_of_twenty_are_ten_in_use),
        cmocka_unit_test (
            odin_waits_with_three_agents_ahead_until_three_are_back),
        cmocka_unit_test (newcomer_does_not_overtake_who_waits),
        cmocka_unit_test (requests_of_one_batch_are_judged_in_their_order),
        cmocka_unit_test (project_at_its_cap_is_passed_over_by_others),
        cmocka_unit_test (skipped_request_holds_back_its_own_project),
        cmocka_unit_test (cap_counts_over_all_hosts_and_with_limbo),
        cmocka_unit_test (request_with_min_takes_what_there_is),
        cmocka_unit_test (
            what_can_never_be_granted_is_refused_and_leaves_no_trace),
        cmocka_unit_test (nowait_is_refused_with_the_reason_and_blocks_nobody),
        cmocka_unit_test (nowait_that_fits_is_granted),
        cmocka_unit_test (queue_of_a_project_is_bounded),
        cmocka_unit_test (one_session_may_have_all_that_a_project_may),
        cmocka_unit_test (all_of_many_requests_survive_a_restart),
        cmocka_unit_test (many_killed_requests_are_told_by_beat_ok),
        cmocka_unit_test (each_of_many_killed_requests_is_told_by_push),
        cmocka_unit_test (many_grants_are_listed_page_by_page),
        cmocka_unit_test (small_steps_far_behind_are_not_told),
        cmocka_unit_test (far_behind_all_is_told_within_a_second),
        cmocka_unit_test (open_request_is_known_however_old_it_is),
        cmocka_unit_test (resend_gets_queued_then_the_same_grant),
        cmocka_unit_test (
            resend_after_a_part_was_released_names_the_whole_grant),
        cmocka_unit_test (same_seq_with_other_arguments_is_a_conflict),
        cmocka_unit_test (seq_below_the_window_is_expired),
        cmocka_unit_test (
            a_req_gets_one_answer_and_learns_its_grant_from_beats),
        cmocka_unit_test (answer_goes_where_the_request_came_from),
        cmocka_unit_test (queued_is_told_again_only_when_it_changes),
        cmocka_unit_test (cancelled_request_is_expired_and_wakes_those_behind),
        cmocka_unit_test (cancel_of_what_was_granted_meanwhile_releases_it),
        cmocka_unit_test (cancel_in_the_batch_of_its_request_answers_both),
        cmocka_unit_test (
            cancel_all_withdraws_what_waits_and_keeps_what_is_held),
        cmocka_unit_test (herd_starts_eight_a_second),
        cmocka_unit_test (grant_above_the_bucket_is_made_whole_and_leaves_debt),
        cmocka_unit_test (set_max_up_wakes_the_queue_and_survives_a_restart),
        cmocka_unit_test (configuration_that_changed_later_wins_over_set_max),
        cmocka_unit_test (set_max_down_drains_and_never_takes),
        cmocka_unit_test (set_max_out_of_range_or_without_disk_is_refused),
        cmocka_unit_test (full_disk_grants_nothing_and_goes_on_otherwise),
        cmocka_unit_test (a_host_has_its_own_queue_and_limit),
        cmocka_unit_test (all_hosts_together_hold_no_more_than_max_slots),
        cmocka_unit_test (power_durability_flushes_every_grant),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
