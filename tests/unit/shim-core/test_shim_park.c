/* SPDX-License-Identifier: MPL-2.0 */
/* A tree gives its slots back for a while, and RECLAIM. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "stage.h"

enum { ANN = 11, RUN = 1, PARKER = 2, OTHER = 3 };

/* ---- acts ---- */

/* A tree of `count` slots from 40 on that the broker knows of. */
static void begin (struct stage *st, uint64_t count)
{
    const struct msg_started *started;

    stage_start (st, RUN, ANN, 40, count);
    stage_keeper (st, RUN, KEEPER_STARTED, 40, 900);
    started = stage_sent (st, VERB_STARTED);
    stage_ok (st, VERB_STARTED, started->seq, 40);
}

static void ask_park (struct stage *st, uint64_t client, uint64_t token)
{
    struct msg_park *in = &stage_message (st, VERB_PARK)->park;

    in->seq = 1;
    u64s_add (&in->tokens, token);
    stage_ask (st, client);
}

static void ask_back (struct stage *st, uint64_t client, uint64_t token)
{
    struct msg_request *in = &stage_message (st, VERB_REQUEST)->request;

    copy_text (in->project, sizeof in->project, "odin");
    in->seq = 2;
    in->count = 1;
    in->parked = token;
    stage_ask (st, client);
}

/* Returns the seq of PARK as the broker heard it. */
static uint64_t park (struct stage *st, uint64_t client)
{
    const struct msg_park *said;
    uint64_t seq;

    ask_park (st, client, 40);
    said = stage_sent (st, VERB_PARK);
    assert_non_null (said);
    seq = said->seq;
    stage_ok (st, VERB_PARK, seq, 0);
    return seq;
}

static void assert_asks_back (struct stage *st, uint64_t first, uint64_t count)
{
    const struct msg_request *said = stage_sent (st, VERB_REQUEST);

    assert_non_null (said);
    assert_int_equal (said->parked, first);
    assert_int_equal (said->count, count);
    assert_true (said->run);
}

static void assert_told (struct stage *st, uint64_t client, enum verb verb,
                         const char *error)
{
    const struct msg_error *told = stage_told (st, client, VERB_ERROR);

    if (!error) {
        assert_non_null (stage_told (st, client, verb));
        return;
    }
    assert_non_null (told);
    assert_string_equal (told->re, verb_name (verb));
    assert_string_equal (told->error, error);
}

/* ---- PARK ---- */

static void park_names_all_tokens_once_the_tree_is_known (void **state)
{
    struct stage *st = *state;
    const struct msg_park *said;
    const struct msg_started *started;
    uint64_t seq;

    stage_start (st, RUN, ANN, 40, 2);
    stage_keeper (st, RUN, KEEPER_STARTED, 40, 900);
    started = stage_sent (st, VERB_STARTED);
    seq = started->seq;
    ask_park (st, PARKER, 40);
    assert_null (stage_sent (st, VERB_PARK));
    stage_ok (st, VERB_STARTED, seq, 40);
    said = stage_sent (st, VERB_PARK);
    assert_non_null (said);
    assert_true (said->seq > seq);
    assert_int_equal (said->session, SESSION);
    assert_int_equal (said->tokens.count, 2);
    assert_int_equal (said->tokens.at[0], 40);
    assert_int_equal (said->tokens.at[1], 41);
    assert_null (stage_told (st, PARKER, VERB_OK));
    stage_ok (st, VERB_PARK, said->seq, 0);
    assert_told (st, PARKER, VERB_OK, NULL);
    assert_true (stage_holds (st, 40)); // it is named in BEATs
}

static void park_is_said_again_until_it_is_answered (void **state)
{
    struct stage *st = *state;
    const struct msg_park *said;
    uint64_t seq;

    begin (st, 1);
    ask_park (st, PARKER, 40);
    said = stage_sent (st, VERB_PARK);
    seq = said->seq;
    stage_turn (st);
    assert_null (stage_sent (st, VERB_PARK));
    stage_wait (st, H);
    said = stage_sent (st, VERB_PARK);
    assert_int_equal (said->seq, seq);
    stage_ok (st, VERB_PARK, seq + 100, 0); // of another
    assert_null (stage_told (st, PARKER, VERB_OK));
    stage_ok (st, VERB_PARK, seq, 0);
    stage_wait (st, H);
    assert_null (stage_sent (st, VERB_PARK));
}

static void park_that_is_refused_leaves_the_tree_its_slots (void **state)
{
    struct stage *st = *state;
    const struct msg_park *said;
    const struct msg_grant *grant;

    begin (st, 1);
    ask_park (st, PARKER, 40);
    said = stage_sent (st, VERB_PARK);
    stage_error (st, VERB_PARK, said->seq, ERR_NOT_NOW);
    assert_told (st, PARKER, VERB_PARK, "NOT_NOW");
    assert_null (stage_packet (st, RUN, KEEPER_STOP));
    ask_back (st, PARKER, 40); // it has them
    grant = stage_told (st, PARKER, VERB_GRANT);
    assert_int_equal (grant->tokens.at[0], 40);
    assert_null (stage_sent (st, VERB_REQUEST));
    stage_wait (st, H);
    assert_null (stage_sent (st, VERB_PARK));
}

static void only_a_running_tree_can_be_parked (void **state)
{
    struct stage *st = *state;

    begin (st, 1);
    ask_park (st, PARKER, 77);
    assert_told (st, PARKER, VERB_PARK, "NOT_FOUND");
    stage_reserve (st, ANN, 60, 1);
    ask_park (st, PARKER, 60);
    assert_told (st, PARKER, VERB_PARK, "NOT_FOUND");
    stage_stop (st, 40, 1, false);
    ask_park (st, PARKER, 40);
    assert_told (st, PARKER, VERB_PARK, "NOT_NOW");
    assert_null (stage_sent (st, VERB_PARK));
}

static void a_parked_tree_is_armed_as_ever (void **state)
{
    struct stage *st = *state;

    begin (st, 1);
    park (st, PARKER);
    stage_live (st, 3 * T);
    assert_non_null (stage_packet (st, RUN, KEEPER_ARM));
    assert_true (stage_holds (st, 40));
}

static void a_stop_reaches_a_parked_tree (void **state)
{
    struct stage *st = *state;
    const struct msg_reaped *reaped;

    begin (st, 1);
    park (st, PARKER);
    stage_stop (st, 40, 1, false);
    assert_non_null (stage_packet (st, RUN, KEEPER_STOP));
    stage_keeper (st, RUN, KEEPER_REAPED, 40, 0);
    reaped = stage_sent (st, VERB_REAPED);
    assert_int_equal (reaped->tokens.at[0], 40);
}

/* ---- the way back ---- */

static void a_tree_comes_back_under_new_tokens (void **state)
{
    struct stage *st = *state;
    const struct msg_grant *grant;
    const struct msg_reaped *reaped;
    const struct keeper_packet *arm;

    begin (st, 2);
    park (st, PARKER);
    ask_back (st, PARKER, 40);
    assert_asks_back (st, 40, 2);
    stage_queued (st, st->seq, 3);
    assert_told (st, PARKER, VERB_QUEUED, NULL);
    stage_grant (st, st->seq, 50, 2);
    grant = stage_told (st, PARKER, VERB_GRANT);
    assert_non_null (grant);
    assert_int_equal (grant->seq, 2);
    assert_int_equal (grant->tokens.count, 2);
    assert_int_equal (grant->tokens.at[0], 50);
    assert_int_equal (grant->tokens.at[1], 51);
    assert_string_equal (grant->cookie, "b00f:40");
    assert_false (stage_holds (st, 40));
    assert_false (stage_holds (st, 41));
    assert_true (stage_holds (st, 50));
    assert_true (stage_holds (st, 51));
    stage_live (st, H);
    arm = stage_packet (st, RUN, KEEPER_ARM);
    assert_int_equal (arm->token, 40); // as its keeper knows it
    stage_keeper (st, RUN, KEEPER_EXITED, 40, 7 << 8);
    stage_keeper (st, RUN, KEEPER_REAPED, 40, 7 << 8);
    reaped = stage_sent (st, VERB_REAPED);
    assert_int_equal (reaped->tokens.count, 2);
    assert_true (u64s_has (&reaped->tokens, 50));
    assert_int_equal (reaped->status, 7);
}

static void it_can_be_parked_again_by_the_name_that_it_knows (void **state)
{
    struct stage *st = *state;
    const struct msg_park *said;

    begin (st, 1);
    park (st, PARKER);
    ask_back (st, PARKER, 40);
    stage_grant (st, st->seq, 50, 1);
    ask_park (st, PARKER, 40); // of its environment
    said = stage_sent (st, VERB_PARK);
    assert_int_equal (said->tokens.at[0], 50);
    stage_ok (st, VERB_PARK, said->seq, 0);
    ask_back (st, PARKER, 40);
    assert_asks_back (st, 50, 1);
    stage_grant (st, st->seq, 60, 1);
    stage_stop (st, 60, 1, false);
    assert_non_null (stage_packet (st, RUN, KEEPER_STOP));
}

static void a_late_grant_of_its_old_tokens_changes_nothing (void **state)
{
    struct stage *st = *state;
    uint64_t seq;

    begin (st, 1);
    park (st, PARKER);
    ask_back (st, PARKER, 40);
    seq = st->seq;
    stage_grant (st, seq, 50, 1);
    stage_grant (st, seq, 50, 1);
    stage_grant (st, 1, 40, 1); // the first it ever had
    assert_true (stage_holds (st, 50));
    assert_false (stage_holds (st, 40));
    assert_null (stage_sent (st, VERB_RELEASE));
    assert_null (stage_packet (st, RUN, KEEPER_STOP));
}

static void a_grant_of_another_size_is_no_way_back (void **state)
{
    struct stage *st = *state;

    begin (st, 2);
    park (st, PARKER);
    ask_back (st, PARKER, 40);
    stage_grant (st, st->seq, 50, 1);
    assert_null (stage_told (st, PARKER, VERB_GRANT));
    assert_true (stage_holds (st, 40));
    assert_false (stage_holds (st, 50));
}

static void progress_by_its_old_name_is_told_of_its_new_token (void **state)
{
    struct stage *st = *state;
    const struct msg_progress *said;

    begin (st, 1);
    park (st, PARKER);
    ask_back (st, PARKER, 40);
    stage_grant (st, st->seq, 50, 1);
    stage_message (st, VERB_PROGRESS)->progress.token = 40;
    st->msg->progress.percent = 60;
    stage_ask (st, OTHER);
    said = stage_sent (st, VERB_PROGRESS);
    assert_int_equal (said->token, 50);
}

static void a_reservation_stays_one (void **state)
{
    struct stage *st = *state;
    const struct msg_reaped *reaped;
    const struct msg_started *started;

    stage_reserve (st, ANN, 40, 1);
    stage_run (st, RUN, ANN, 1);
    stage_attach (st, RUN, 40, 1);
    started = stage_sent (st, VERB_STARTED);
    stage_ok (st, VERB_STARTED, started->seq, 40);
    park (st, PARKER);
    ask_back (st, PARKER, 40);
    stage_grant (st, st->seq, 50, 1);
    stage_keeper (st, RUN, KEEPER_REAPED, 40, 0);
    reaped = stage_sent (st, VERB_REAPED);
    assert_true (reaped->keep);
    assert_int_equal (reaped->tokens.at[0], 50);
}

static void a_tree_whose_parker_died_comes_back_by_itself (void **state)
{
    struct stage *st = *state;

    begin (st, 1);
    park (st, PARKER);
    stage_wait (st, H);
    assert_null (stage_sent (st, VERB_REQUEST));
    stage_client_gone (st, PARKER);
    assert_asks_back (st, 40, 1);
    stage_wait (st, H);
    assert_int_equal (stage_sent_count (st, VERB_REQUEST), 1);
    assert_null (stage_sent (st, VERB_CANCEL));
    stage_queued (st, st->seq, 1);
    stage_wait (st, H);
    assert_null (stage_sent (st, VERB_REQUEST));
    stage_grant (st, st->seq, 50, 1);
    assert_true (stage_holds (st, 50));
    stage_wait (st, H);
    assert_null (stage_sent (st, VERB_RELEASE));
    assert_null (stage_sent (st, VERB_PARK));
}

static void who_dies_while_it_waits_does_not_withdraw_that (void **state)
{
    struct stage *st = *state;

    begin (st, 1);
    park (st, PARKER);
    ask_back (st, PARKER, 40);
    stage_client_gone (st, PARKER);
    stage_wait (st, H);
    assert_null (stage_sent (st, VERB_CANCEL));
    stage_grant (st, st->seq, 50, 1);
    assert_true (stage_holds (st, 50));
}

static void cancel_leaves_the_way_back_alone (void **state)
{
    struct stage *st = *state;
    const struct msg_ok *ok;

    begin (st, 1);
    park (st, PARKER);
    ask_back (st, PARKER, 40);
    stage_message (st, VERB_CANCEL)->cancel.all = true;
    stage_ask (st, OTHER);
    ok = stage_told (st, OTHER, VERB_OK);
    assert_int_equal (ok->count, 0);
    assert_null (stage_sent (st, VERB_CANCEL));
    assert_null (stage_told (st, PARKER, VERB_ERROR));
}

static void one_who_goes_on_brings_the_tree_back_for_all (void **state)
{
    struct stage *st = *state;

    begin (st, 1);
    park (st, PARKER);
    ask_park (st, OTHER, 40); // it is parked already
    assert_told (st, OTHER, VERB_OK, NULL);
    assert_null (stage_sent (st, VERB_PARK));
    ask_back (st, PARKER, 40);
    assert_asks_back (st, 40, 1);
    ask_back (st, OTHER, 40); // waits for the same
    assert_null (stage_sent (st, VERB_REQUEST));
    stage_wait (st, H);
    assert_int_equal (stage_sent_count (st, VERB_REQUEST), 1);
    ask_park (st, 9, 40);
    assert_told (st, 9, VERB_PARK, "NOT_NOW"); // it is about to go on
    stage_grant (st, st->seq, 50, 1);
    assert_told (st, PARKER, VERB_GRANT, NULL);
    assert_told (st, OTHER, VERB_GRANT, NULL);
    stage_wait (st, H);
    assert_null (stage_sent (st, VERB_REQUEST));
}

static void a_tree_that_ends_withdraws_its_way_back (void **state)
{
    struct stage *st = *state;
    const struct msg_cancel *cancel;
    uint64_t seq;

    begin (st, 1);
    park (st, PARKER);
    ask_back (st, PARKER, 40);
    seq = st->seq;
    stage_keeper (st, RUN, KEEPER_REAPED, 40, 0);
    assert_told (st, PARKER, VERB_REQUEST, "EXPIRED");
    cancel = stage_sent (st, VERB_CANCEL);
    assert_int_equal (cancel->seq, seq);
    stage_grant (st, seq, 50, 1); // it was on its way
    assert_non_null (stage_sent (st, VERB_RELEASE));
    assert_false (stage_holds (st, 50));
}

static void a_tree_that_is_ended_waits_on_until_it_is_gone (void **state)
{
    struct stage *st = *state;
    const struct msg_reaped *reaped;

    begin (st, 1);
    park (st, PARKER);
    ask_back (st, PARKER, 40);
    stage_supervisor_gone (st, ANN);
    assert_non_null (stage_packet (st, RUN, KEEPER_STOP));
    assert_null (stage_sent (st, VERB_CANCEL)); // it may be granted by now
    stage_grant (st, st->seq, 50, 1);
    assert_true (stage_holds (st, 50));
    stage_keeper (st, RUN, KEEPER_REAPED, 40, 0);
    reaped = stage_sent (st, VERB_REAPED);
    assert_int_equal (reaped->tokens.at[0], 50);
}

static void a_way_back_that_is_refused_is_asked_for_again (void **state)
{
    struct stage *st = *state;
    const struct msg_queued *q;
    uint64_t seq;

    begin (st, 1);
    park (st, PARKER);
    ask_back (st, PARKER, 40);
    seq = st->seq;
    stage_error (st, VERB_REQUEST, seq, ERR_EXCEEDS_MAX);
    assert_told (st, PARKER, VERB_QUEUED, NULL);
    q = stage_told (st, PARKER, VERB_QUEUED);
    assert_string_equal (q->unblocks, "a higher limit: slotbus set-max 1, or "
                                      "more for this project");
    assert_null (stage_sent (st, VERB_REQUEST));
    stage_wait (st, H);
    assert_asks_back (st, 40, 1);
    assert_true (st->seq > seq);
    stage_grant (st, st->seq, 50, 1);
    assert_told (st, PARKER, VERB_GRANT, NULL);
}

static void a_broker_that_knows_of_no_parked_tree_is_told_again (void **state)
{
    struct stage *st = *state;
    const struct msg_park *said;
    uint64_t seq;

    begin (st, 1);
    seq = park (st, PARKER);
    ask_back (st, PARKER, 40);
    stage_error (st, VERB_REQUEST, st->seq, ERR_EXPIRED);
    said = stage_sent (st, VERB_PARK);
    assert_non_null (said);
    assert_true (said->seq > seq);
    assert_null (stage_sent (st, VERB_REQUEST));
    stage_ok (st, VERB_PARK, said->seq, 0);
    assert_asks_back (st, 40, 1);
}

static void after_a_restart_park_and_the_way_back_are_said_again (void **state)
{
    struct stage *st = *state;
    const struct msg_park *said;
    uint64_t seq;

    begin (st, 1);
    seq = park (st, PARKER);
    ask_back (st, PARKER, 40);
    st->epoch++;
    stage_beat_ok (st, 1);
    said = stage_sent (st, VERB_PARK);
    assert_non_null (said);
    assert_int_equal (said->seq, seq);
    assert_null (stage_sent (st, VERB_REQUEST));
    stage_ok (st, VERB_PARK, seq, 0);
    assert_asks_back (st, 40, 1);
}

static void it_may_be_back_when_park_is_refused (void **state)
{
    struct stage *st = *state;
    uint64_t seq, park_seq;

    begin (st, 1);
    park_seq = park (st, PARKER);
    ask_back (st, PARKER, 40);
    seq = st->seq;
    st->epoch++;
    stage_beat_ok (st, 1);
    stage_error (st, VERB_PARK, park_seq, ERR_EXPIRED);
    assert_null (stage_told (st, PARKER, VERB_GRANT));
    stage_grant (st, seq, 50, 1);
    assert_told (st, PARKER, VERB_GRANT, NULL);
    assert_true (stage_holds (st, 50));
}

static void
what_it_may_have_come_back_under_is_not_called_unknown (void **state)
{
    struct stage *st = *state;
    struct msg_beat_ok *ok;

    begin (st, 1);
    park (st, PARKER);
    stage_stop (st, 90, 1, false);
    assert_non_null (stage_sent (st, VERB_REAPED)); // nothing of ours
    ask_back (st, PARKER, 40);
    stage_stop (st, 50, 1, false); // the GRANT is late
    assert_null (stage_sent (st, VERB_REAPED));
    ok = &stage_message (st, VERB_BEAT_OK)->beat_ok;
    ok->session = SESSION;
    ok->epoch = EPOCH;
    ok->seq = 1;
    ok->grants[ok->grants_count++] = (struct row_granted){st->seq, 50, 1};
    u64s_add (&ok->stops, 50);
    stage_hear (st);
    assert_null (stage_sent (st, VERB_REAPED));
    assert_non_null (stage_packet (st, RUN, KEEPER_STOP));
    assert_true (stage_holds (st, 50));
}

static void a_lost_session_takes_the_parked_with_it (void **state)
{
    struct stage *st = *state;

    begin (st, 1);
    park (st, PARKER);
    ask_back (st, PARKER, 40);
    stage_no_session (st);
    assert_told (st, PARKER, VERB_REQUEST, "EXPIRED");
    assert_non_null (stage_packet (st, RUN, KEEPER_STOP));
    stage_wait (st, 2 * HELLO_MS);
    st->session++;
    stage_welcome (st);
    assert_null (stage_sent (st, VERB_REQUEST));
    assert_null (stage_sent (st, VERB_PARK));
    ask_back (st, OTHER, 40);
    assert_told (st, OTHER, VERB_REQUEST, "EXPIRED");
}

static void
what_a_lost_keeper_left_is_cleaned_across_the_way_back (void **state)
{
    struct stage *st = *state;
    const struct action *clean;
    const struct msg_reaped *reaped;

    begin (st, 1);
    park (st, PARKER);
    ask_back (st, PARKER, 40);
    stage_keeper_gone (st, RUN);
    clean = stage_find (st, ACT_CLEAN);
    assert_int_equal (clean->token, 40);
    stage_grant (st, st->seq, 50, 1);
    stage_cleaned (st, 40);
    reaped = stage_sent (st, VERB_REAPED);
    assert_int_equal (reaped->tokens.at[0], 50);
}

static void release_that_ends_a_tree_follows_it_to_its_new_tokens (void **state)
{
    struct stage *st = *state;
    const struct msg_released *told;

    begin (st, 1);
    park (st, PARKER);
    ask_back (st, PARKER, 40);
    stage_release_token (st, OTHER, 40, true);
    stage_grant (st, st->seq, 50, 1);
    stage_keeper (st, RUN, KEEPER_REAPED, 40, 0);
    stage_released (st, 50, 1);
    told = stage_told (st, OTHER, VERB_RELEASED);
    assert_non_null (told);
    assert_int_equal (told->tokens.at[0], 50);
}

/* ---- RECLAIM ---- */

static void reclaim_idle (struct stage *st, uint64_t count, uint64_t idle_ms)
{
    struct msg_reclaim *in = &stage_message (st, VERB_RECLAIM)->reclaim;

    in->session = st->session;
    in->epoch = st->epoch;
    in->count = count;
    in->idle_ms = idle_ms;
    copy_text (in->whom, sizeof in->whom, "consilio");
    stage_hear (st);
}

static void reclaim (struct stage *st, uint64_t count)
{
    reclaim_idle (st, count, 0);
}

/* LIVE, at a broker that reclaims what was idle for 5 H. */
static void setup_reclaim (struct stage *st)
{
    stage_no_session (st);
    stage_wait (st, 2 * HELLO_MS);
    st->session++;
    stage_prepare_welcome (st)->reclaim_idle_ms = 5 * H;
    stage_hear (st);
}

static void reclaim_takes_the_newest_of_what_is_idle_long (void **state)
{
    struct stage *st = *state;
    const struct msg_release *said;
    const struct msg_released *told;
    struct msg_released *in;

    setup_reclaim (st);
    stage_reserve (st, ANN, 40, 3);
    stage_live (st, 4 * H);
    stage_reserve (st, ANN, 60, 1);
    reclaim (st, 2);
    assert_null (stage_sent (st, VERB_RELEASE)); // not idle for long enough
    stage_live (st, 2 * H);
    reclaim (st, 2);
    said = stage_sent (st, VERB_RELEASE);
    assert_int_equal (said->tokens.count, 2);
    assert_true (u64s_has (&said->tokens, 42));
    assert_true (u64s_has (&said->tokens, 41));
    stage_released (st, 41, 2);
    stage_release_token (st, OTHER, 42, false);
    in = &stage_message (st, VERB_RELEASED)->released;
    in->session = st->session;
    u64s_add (&in->expired, 42);
    stage_hear (st);
    told = stage_told (st, OTHER, VERB_RELEASED);
    assert_int_equal (told->expired.at[0], 42);
}

static void reclaim_spares_what_runs_is_bound_or_was_used_lately (void **state)
{
    struct stage *st = *state;
    const struct msg_release *said;

    setup_reclaim (st);
    stage_start (st, RUN, ANN, 40, 1);
    stage_reserve (st, ANN, 50, 2);
    stage_message (st, VERB_REQUEST);
    copy_text (st->msg->request.project, sizeof st->msg->request.project,
               "odin");
    st->msg->request.seq = st->msg->request.count = 1;
    st->msg->request.supervisor = st->msg->request.start = ANN;
    st->msg->request.bound = true;
    stage_ask (st, OTHER);
    stage_grant (st, st->seq, 60, 1);
    stage_live (st, 6 * H);
    stage_run (st, 9, ANN, 1); // fills the newest
    stage_attach (st, 9, 51, 1);
    stage_keeper (st, 9, KEEPER_REAPED, 51, 0);
    stage_kept (st, 51, 1);
    reclaim (st, 9);
    said = stage_sent (st, VERB_RELEASE);
    assert_int_equal (said->tokens.count, 1);
    assert_int_equal (said->tokens.at[0], 50);
}

static void reclaim_of_a_beat_ok_counts_once (void **state)
{
    struct stage *st = *state;
    const struct msg_beat *beat;
    const struct msg_release *said;
    struct msg_beat_ok *in;

    setup_reclaim (st);
    stage_reserve (st, ANN, 40, 3);
    stage_live (st, 6 * H);
    stage_wait (st, H);
    beat = stage_sent (st, VERB_BEAT);
    in = &stage_message (st, VERB_BEAT_OK)->beat_ok;
    in->session = st->session;
    in->epoch = st->epoch;
    in->seq = beat->seq;
    in->reclaim = 1;
    stage_hear (st);
    said = stage_sent (st, VERB_RELEASE);
    assert_int_equal (said->tokens.count, 1);
    assert_int_equal (said->tokens.at[0], 42);
    stage_hear (st); // a copy of it
    assert_null (stage_sent (st, VERB_RELEASE));
}

/* The newest BEAT is answered, and asked for one slot. */
static void reclaim_by_beat_ok (struct stage *st, uint64_t idle_ms)
{
    const struct msg_beat *beat;
    struct msg_beat_ok *in;

    stage_wait (st, H);
    beat = stage_sent (st, VERB_BEAT);
    in = &stage_message (st, VERB_BEAT_OK)->beat_ok;
    in->session = st->session;
    in->epoch = st->epoch;
    in->seq = beat->seq;
    in->reclaim = 1;
    in->idle_ms = idle_ms;
    stage_hear (st);
}

static void who_asks_says_what_counts_as_idle (void **state)
{
    struct stage *st = *state;

    setup_reclaim (st);
    stage_reserve (st, ANN, 40, 3);
    stage_live (st, 2 * H);
    reclaim_idle (st, 1, 4 * H);
    assert_null (stage_sent (st, VERB_RELEASE));
    reclaim_idle (st, 1, 2 * H); // less than WELCOME said
    assert_non_null (stage_sent (st, VERB_RELEASE));
    stage_released (st, 42, 1);
    reclaim_by_beat_ok (st, 2 * H);
    assert_non_null (stage_sent (st, VERB_RELEASE));
    stage_released (st, 41, 1);
    stage_live (st, 6 * H);
    reclaim_by_beat_ok (st, 20 * H); // more
    assert_null (stage_sent (st, VERB_RELEASE));
    reclaim_by_beat_ok (st, 0);
    assert_non_null (stage_sent (st, VERB_RELEASE));
}

static void reclaim_of_another_session_or_epoch_is_nothing (void **state)
{
    struct stage *st = *state;

    setup_reclaim (st);
    stage_reserve (st, ANN, 40, 3);
    stage_live (st, 6 * H);
    st->session++;
    reclaim (st, 1);
    assert_null (stage_sent (st, VERB_RELEASE));
    st->session--;
    st->epoch--;
    reclaim (st, 1);
    assert_null (stage_sent (st, VERB_RELEASE));
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown (name, stage_setup_live, stage_teardown)

int main (void)
{
    const struct CMUnitTest tests[] = {
        TEST (park_names_all_tokens_once_the_tree_is_known),
        TEST (park_is_said_again_until_it_is_answered),
        TEST (park_that_is_refused_leaves_the_tree_its_slots),
        TEST (only_a_running_tree_can_be_parked),
        TEST (a_parked_tree_is_armed_as_ever),
        TEST (a_stop_reaches_a_parked_tree),
        TEST (a_tree_comes_back_under_new_tokens),
        TEST (it_can_be_parked_again_by_the_name_that_it_knows),
        TEST (a_late_grant_of_its_old_tokens_changes_nothing),
        TEST (a_grant_of_another_size_is_no_way_back),
        TEST (progress_by_its_old_name_is_told_of_its_new_token),
        TEST (a_reservation_stays_one),
        TEST (a_tree_whose_parker_died_comes_back_by_itself),
        TEST (who_dies_while_it_waits_does_not_withdraw_that),
        TEST (cancel_leaves_the_way_back_alone),
        TEST (one_who_goes_on_brings_the_tree_back_for_all),
        TEST (a_tree_that_ends_withdraws_its_way_back),
        TEST (a_tree_that_is_ended_waits_on_until_it_is_gone),
        TEST (a_way_back_that_is_refused_is_asked_for_again),
        TEST (a_broker_that_knows_of_no_parked_tree_is_told_again),
        TEST (after_a_restart_park_and_the_way_back_are_said_again),
        TEST (it_may_be_back_when_park_is_refused),
        TEST (what_it_may_have_come_back_under_is_not_called_unknown),
        TEST (a_lost_session_takes_the_parked_with_it),
        TEST (what_a_lost_keeper_left_is_cleaned_across_the_way_back),
        TEST (release_that_ends_a_tree_follows_it_to_its_new_tokens),
        TEST (reclaim_takes_the_newest_of_what_is_idle_long),
        TEST (reclaim_spares_what_runs_is_bound_or_was_used_lately),
        TEST (reclaim_of_a_beat_ok_counts_once),
        TEST (who_asks_says_what_counts_as_idle),
        TEST (reclaim_of_another_session_or_epoch_is_nothing),
    };

    return cmocka_run_group_tests (tests, NULL, NULL);
}
