/* SPDX-License-Identifier: MPL-2.0 */
/* Keepers: who may attach, what arms them, and what their end means; STOP. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "unit/shim-core/stage.h"

static void keeper_is_armed_at_once_while_the_session_is_valid (void **s)
{
    struct stage *st = *s;
    const struct keeper_packet *arm;
    const struct msg_started *started;

    stage_start (st, 7, 50, 10, 2);
    arm = stage_packet (st, 7, KEEPER_ARM);
    assert_int_equal (arm->magic, KEEPER_MAGIC);
    assert_int_equal (arm->token, 10);
    assert_int_equal (arm->deadline_ms, T - D); // anchor 0
    assert_int_equal (arm->grace_ms, G);
    assert_int_equal (arm->confirm_ms, K);
    assert_int_equal (arm->linger_ms, LINGER);
    assert_int_equal (arm->boottime, 0);
    started = stage_sent (st, VERB_STARTED);
    assert_int_equal (started->tokens.count, 2);
    assert_int_equal (started->tokens.at[0], 10); // the first names the tree
    assert_int_equal (started->pid, 7);
    assert_string_equal (started->cgroup, "tree-10");
}

static void each_acknowledged_beat_arms_again (void **s)
{
    struct stage *st = *s;

    stage_start (st, 7, 50, 10, 1);
    stage_wait (st, H);
    assert_null (stage_packet (st, 7, KEEPER_ARM));
    st->now += 300;
    stage_beat_ok (st, 2);
    assert_int_equal (stage_packet (st, 7, KEEPER_ARM)->deadline_ms, H + T - D);
    stage_beat_ok (st, 2); // the same again moves nothing
    assert_null (stage_packet (st, 7, KEEPER_ARM));
    stage_beat_ok (st, 1);
    assert_null (stage_packet (st, 7, KEEPER_ARM));
}

static void keeper_that_comes_past_the_deadline_waits_for_a_beat (void **s)
{
    struct stage *st = *s;

    stage_run (st, 7, 50, 1);
    stage_grant (st, st->seq, 10, 1);
    stage_wait (st, T - D);
    stage_attach (st, 7, 10, 1);
    assert_null (stage_packet (st, 7, KEEPER_ARM));
    assert_null (stage_packet (st, 7, KEEPER_REFUSE));
    stage_beat_ok (st, 2);
    assert_int_equal (stage_packet (st, 7, KEEPER_ARM)->deadline_ms,
                      2 * (T - D));
}

static void keeper_with_another_claim_is_refused (void **s)
{
    struct stage *st = *s;
    const struct keeper_packet *refusal;
    struct keeper_packet in = {.magic = KEEPER_MAGIC,
                               .type = KEEPER_ATTACH,
                               .token = 10,
                               .count = 1,
                               .pid = 8,
                               .cookie = "b00f:11"};

    stage_run (st, 7, 50, 1);
    stage_grant (st, st->seq, 10, 1);
    shim_on_keeper (st->shim, 8, &in, st->now, st->out);
    refusal = stage_packet (st, 8, KEEPER_REFUSE);
    assert_non_null (strstr (refusal->reason, "cookie"));
    assert_int_equal (stage_find (st, ACT_HANG_UP_KEEPER)->keeper, 8);
    stage_attach (st, 8, 10, 2);
    assert_non_null (stage_packet (st, 8, KEEPER_REFUSE));
    stage_attach (st, 8, 11, 1);
    assert_non_null (stage_packet (st, 8, KEEPER_REFUSE));
    stage_attach (st, 7, 10, 1);
    assert_null (stage_packet (st, 7, KEEPER_REFUSE));
    stage_attach (st, 8, 10, 1); // a second one
    assert_non_null (stage_packet (st, 8, KEEPER_REFUSE));
    stage_attach (st, 7, 10, 1); // or the same again
    assert_non_null (stage_packet (st, 7, KEEPER_REFUSE));
}

static void idle_reservation_is_not_for_keepers (void **s)
{
    struct stage *st = *s;

    stage_reserve (st, 50, 10, 1);
    stage_attach (st, 7, 10, 1);
    assert_non_null (stage_packet (st, 7, KEEPER_REFUSE));
}

/* It may be killing the reservation just now, as one without a tree. */
static void tree_in_a_reservation_waits_until_the_broker_knows_of_it (void **s)
{
    struct stage *st = *s;

    stage_reserve (st, 50, 10, 1);
    stage_run (st, 7, 50, 1);
    stage_attach (st, 7, 10, 1);
    assert_null (stage_packet (st, 7, KEEPER_ARM));
    assert_non_null (stage_sent (st, VERB_STARTED));
    stage_live (st, H);
    assert_null (stage_packet (st, 7, KEEPER_ARM));
    stage_ok (st, VERB_STARTED, 1, 10);
    assert_int_equal (stage_packet (st, 7, KEEPER_ARM)->deadline_ms,
                      shim_anchor (st->shim) + T - D);
    stage_ok (st, VERB_STARTED, 1, 10);
    assert_null (stage_packet (st, 7, KEEPER_ARM));
}

static void answer_that_comes_past_the_deadline_arms_nobody (void **s)
{
    struct stage *st = *s;

    stage_reserve (st, 50, 10, 1);
    stage_run (st, 7, 50, 1);
    stage_attach (st, 7, 10, 1);
    stage_wait (st, T - D);
    stage_ok (st, VERB_STARTED, 1, 10);
    assert_null (stage_packet (st, 7, KEEPER_ARM));
    stage_beat_ok (st, 2);
    assert_non_null (stage_packet (st, 7, KEEPER_ARM));
}

static void started_is_said_again_with_the_commands_pid (void **s)
{
    struct stage *st = *s;
    const struct msg_started *started;

    stage_start (st, 7, 50, 10, 1);
    stage_ok (st, VERB_STARTED, 1, 10);
    stage_wait (st, H);
    assert_null (stage_sent (st, VERB_STARTED));
    stage_keeper (st, 7, KEEPER_STARTED, 10, 4711);
    started = stage_sent (st, VERB_STARTED);
    assert_int_equal (started->pid, 4711);
    stage_wait (st, H);
    assert_non_null (stage_sent (st, VERB_STARTED)); // until it is answered
    stage_ok (st, VERB_STARTED, 2, 10);
    stage_wait (st, H);
    assert_null (stage_sent (st, VERB_STARTED));
}

/* The broker could not read such a STARTED, and would never answer it. */
static void process_that_cannot_be_is_not_told (void **s)
{
    struct stage *st = *s;
    struct keeper_packet in = {.magic = KEEPER_MAGIC,
                               .type = KEEPER_STARTED,
                               .token = 10,
                               .count = 1,
                               .pid = 4711,
                               .pid_start = INT64_MIN};

    stage_start (st, 7, 50, 10, 1);
    stage_ok (st, VERB_STARTED, 1, 10);
    actions_clear (st->out);
    shim_on_keeper (st->shim, 7, &in, st->now, st->out);
    stage_wait (st, H);
    assert_null (stage_sent (st, VERB_STARTED));
}

static void answer_to_the_first_started_is_not_the_seconds (void **s)
{
    struct stage *st = *s;

    stage_start (st, 7, 50, 10, 1);
    stage_keeper (st, 7, KEEPER_STARTED, 10, 4711);
    stage_ok (st, VERB_STARTED, 1, 10);
    stage_wait (st, H);
    assert_non_null (stage_sent (st, VERB_STARTED));
}

/* The reservation was filled before, and that answer comes late. */
static void answer_about_the_run_before_arms_nobody (void **s)
{
    struct stage *st = *s;

    stage_reserve (st, 50, 10, 1);
    stage_run (st, 7, 50, 1);
    stage_attach (st, 7, 10, 1); // STARTED 1
    stage_ok (st, VERB_STARTED, 1, 10);
    stage_keeper (st, 7, KEEPER_REAPED, 10, 0); // REAPED 2
    assert_int_equal (
        ((const struct msg_reaped *) stage_sent (st, VERB_REAPED))->seq, 2);
    stage_kept (st, 10, 1);
    stage_run (st, 8, 50, 1);
    stage_attach (st, 8, 10, 1); // STARTED 3
    assert_int_equal (
        ((const struct msg_started *) stage_sent (st, VERB_STARTED))->seq, 3);
    stage_ok (st, VERB_STARTED, 1, 10);
    assert_null (stage_packet (st, 8, KEEPER_ARM));
    stage_ok (st, VERB_STARTED, 3, 10);
    assert_non_null (stage_packet (st, 8, KEEPER_ARM));
}

static void reaped_gives_a_runs_own_slots_back (void **s)
{
    struct stage *st = *s;
    const struct msg_reaped *reaped;

    stage_start (st, 7, 50, 10, 2);
    stage_keeper (st, 7, KEEPER_EXITED, 10, 3 << 8);
    assert_null (stage_sent (st, VERB_REAPED)); // its children linger
    st->peak_bytes = 1 << 20;
    st->cpu_ms = UINT64_MAX; // more than a message carries
    stage_keeper (st, 7, KEEPER_REAPED, 10, 3 << 8);
    reaped = stage_sent (st, VERB_REAPED);
    assert_int_equal (reaped->tokens.count, 2);
    assert_int_equal (reaped->status, 3);
    assert_int_equal (reaped->memory_bytes, 1 << 20);
    assert_int_equal (reaped->cpu_ms, INT64_MAX);
    assert_false (reaped->keep);
    assert_false (stage_holds (st, 10));
    stage_wait (st, H);
    assert_non_null (stage_sent (st, VERB_REAPED)); // until it is answered
    stage_released (st, 10, 2);
    stage_wait (st, H);
    assert_null (stage_sent (st, VERB_REAPED));
}

static void reservation_outlives_its_run (void **s)
{
    struct stage *st = *s;
    const struct msg_reaped *reaped;

    stage_reserve (st, 50, 10, 2);
    stage_run (st, 7, 50, 2);
    stage_attach (st, 7, 10, 2);
    stage_keeper (st, 7, KEEPER_REAPED, 10, 0);
    reaped = stage_sent (st, VERB_REAPED);
    assert_int_equal (reaped->tokens.count, 2);
    assert_true (reaped->keep);
    assert_true (stage_holds (st, 10));
    stage_wait (st, H);
    assert_non_null (stage_sent (st, VERB_REAPED));
    stage_kept (st, 10, 2);
    stage_wait (st, H);
    assert_null (stage_sent (st, VERB_REAPED));
    stage_run (st, 8, 50, 2);
    assert_non_null (stage_told (st, 8, VERB_GRANT));
}

/* A power cut may have taken it from the broker. */
static void
after_a_restart_the_end_of_a_reservations_run_is_said_again (void **s)
{
    struct stage *st = *s;
    const struct msg_reaped *reaped;

    stage_reserve (st, 50, 10, 2);
    stage_run (st, 7, 50, 1);
    stage_attach (st, 7, 11, 1);
    stage_keeper (st, 7, KEEPER_REAPED, 11, 3 << 8);
    stage_kept (st, 11, 1);
    st->epoch++;
    stage_beat_ok (st, 1);
    reaped = stage_sent (st, VERB_REAPED);
    assert_non_null (reaped);
    assert_int_equal (reaped->seq, st->reaped);
    assert_int_equal (reaped->tokens.count, 1); // 10 was never filled
    assert_int_equal (reaped->tokens.at[0], 11);
    assert_int_equal (reaped->status, 3);
    assert_true (reaped->keep);
    stage_kept (st, 11, 1);
    stage_run (st, 8, 50, 2);
    assert_non_null (stage_told (st, 8, VERB_GRANT));
}

static void only_the_slots_that_the_broker_keeps_are_idle (void **s)
{
    struct stage *st = *s;

    stage_reserve (st, 50, 10, 2);
    stage_run (st, 7, 50, 1);
    stage_attach (st, 7, 11, 1);
    stage_run (st, 8, 50, 1);
    stage_attach (st, 8, 10, 1);
    stage_keeper (st, 7, KEEPER_REAPED, 11, 0);
    stage_keeper (st, 8, KEEPER_REAPED, 10, 0);
    stage_kept (st, 10, 1);
    stage_run (st, 9, 50, 1);
    assert_int_equal (
        ((const struct msg_grant *) stage_told (st, 9, VERB_GRANT))->first, 10);
}

static void slots_of_a_tree_that_were_killed_are_not_kept (void **s)
{
    struct stage *st = *s;

    stage_reserve (st, 50, 10, 2);
    stage_run (st, 7, 50, 2);
    stage_attach (st, 7, 10, 2);
    stage_keeper (st, 7, KEEPER_REAPED, 10, 0);
    stage_released (st, 10, 1); // it was KILLING already
    stage_kept (st, 11, 1);
    assert_false (stage_holds (st, 10));
    stage_run (st, 8, 50, 1);
    assert_int_equal (
        ((const struct msg_grant *) stage_told (st, 8, VERB_GRANT))->first, 11);
}

static void client_that_goes_once_its_keeper_is_there_changes_nothing (void **s)
{
    struct stage *st = *s;

    stage_start (st, 7, 50, 10, 1);
    stage_client_gone (st, 7);
    assert_null (stage_packet (st, 7, KEEPER_STOP));
    assert_true (stage_holds (st, 10));
}

static void lost_keeper_is_cleaned_up_after_before_anything_is_said (void **s)
{
    struct stage *st = *s;
    const struct action *clean;
    const struct msg_reaped *reaped;

    stage_start (st, 7, 50, 10, 1);
    stage_keeper_gone (st, 7);
    clean = stage_find (st, ACT_CLEAN);
    assert_int_equal (clean->token, 10);
    assert_string_equal (clean->cgroup, "tree-10");
    assert_string_equal (clean->cookie, "b00f:10");
    stage_live (st, 3 * H);
    assert_null (stage_sent (st, VERB_REAPED));
    assert_true (stage_holds (st, 10)); // it counts
    stage_cleaned (st, 10);
    reaped = stage_sent (st, VERB_REAPED);
    assert_int_equal (reaped->status, 137);
    stage_cleaned (st, 10);
    assert_null (stage_sent (st, VERB_REAPED));
}

static void status_of_a_command_that_ended_before_its_keeper_is_known (void **s)
{
    struct stage *st = *s;
    const struct msg_reaped *reaped;

    stage_start (st, 7, 50, 10, 1);
    stage_keeper (st, 7, KEEPER_EXITED, 10, 5 << 8);
    stage_keeper_gone (st, 7);
    stage_cleaned (st, 10);
    reaped = stage_sent (st, VERB_REAPED);
    assert_int_equal (reaped->status, 5);
}

static void keeper_that_goes_after_reaped_is_done (void **s)
{
    struct stage *st = *s;

    stage_start (st, 7, 50, 10, 1);
    stage_keeper (st, 7, KEEPER_REAPED, 10, 0);
    stage_keeper_gone (st, 7);
    assert_null (stage_find (st, ACT_CLEAN));
    stage_keeper_gone (st, 99);
    assert_null (stage_find (st, ACT_CLEAN));
}

/* The shell hangs up on it, and reports no end of that. */
static void keeper_that_attaches_again_is_lost_with_its_tree (void **s)
{
    struct stage *st = *s;
    const struct msg_reaped *reaped;

    stage_start (st, 7, 50, 10, 1);
    stage_attach (st, 7, 10, 1);
    assert_int_equal (stage_find (st, ACT_HANG_UP_KEEPER)->keeper, 7);
    assert_non_null (stage_find (st, ACT_CLEAN));
    assert_int_equal (stage_find (st, ACT_CLEAN)->token, 10);
    stage_stop (st, 10, 1, false);
    assert_null (stage_find (st, ACT_KEEPER));
    stage_wait (st, H);
    stage_beat_ok (st, 2);
    assert_null (stage_find (st, ACT_KEEPER));
    stage_cleaned (st, 10);
    reaped = stage_sent (st, VERB_REAPED);
    assert_int_equal (reaped->tokens.at[0], 10);
}

static void keeper_that_names_another_slot_loses_only_its_own_tree (void **s)
{
    struct stage *st = *s;

    stage_start (st, 7, 50, 10, 1);
    stage_start (st, 8, 50, 20, 1);
    stage_attach (st, 7, 20, 1);
    assert_int_equal (stage_count (st, ACT_CLEAN), 1);
    assert_int_equal (stage_find (st, ACT_CLEAN)->token, 10);
    stage_wait (st, H);
    stage_beat_ok (st, 2);
    assert_null (stage_packet (st, 7, KEEPER_ARM));
    assert_non_null (stage_packet (st, 8, KEEPER_ARM));
}

static void packet_about_another_tree_is_ignored (void **s)
{
    struct stage *st = *s;

    stage_start (st, 7, 50, 10, 1);
    stage_start (st, 8, 50, 20, 1);
    stage_keeper (st, 7, KEEPER_REAPED, 20, 0);
    assert_null (stage_sent (st, VERB_REAPED));
    stage_keeper (st, 9, KEEPER_REAPED, 20, 0);
    assert_null (stage_sent (st, VERB_REAPED));
    assert_true (stage_holds (st, 20));
}

/* ---- STOP ---- */

static void stop_ends_a_tree_as_it_says (void **s)
{
    struct stage *st = *s;
    const struct keeper_packet *stop;
    const struct msg_reaped *reaped;

    stage_reserve (st, 50, 10, 2);
    stage_run (st, 7, 50, 2);
    stage_attach (st, 7, 10, 2);
    stage_stop (st, 10, 2, false);
    assert_int_equal (stage_count (st, ACT_KEEPER), 1); // one tree
    stop = stage_packet (st, 7, KEEPER_STOP);
    assert_int_equal (stop->notice_ms, 77);
    assert_int_equal (stop->grace_ms, 88);
    assert_string_equal (stop->reason, "by hand");
    assert_true (stage_holds (st, 10));
    stage_keeper (st, 7, KEEPER_REAPED, 10, 0);
    reaped = stage_sent (st, VERB_REAPED);
    assert_int_equal (reaped->tokens.count, 2);
    assert_false (reaped->keep);
}

/* BEAT_OK that ends so many tokens from `first` on with that grace. */
static void beat_ok_stops (struct stage *st, uint64_t first, uint64_t count,
                           uint64_t grace)
{
    struct msg_beat_ok *in = &stage_message (st, VERB_BEAT_OK)->beat_ok;

    in->session = SESSION;
    in->epoch = EPOCH;
    in->seq = 1;
    for (uint64_t i = 0; i < count; i++)
        u64s_add (&in->stops, first + i);
    in->endings[0] = (struct row_ending){count, 7000, grace, true, "slow"};
    in->endings_count = 1;
}

static void stops_in_beat_ok_are_said_to_a_keeper_once (void **s)
{
    struct stage *st = *s;
    const struct keeper_packet *stop;

    stage_start (st, 7, 50, 10, 1);
    beat_ok_stops (st, 10, 1, 3000);
    stage_hear (st);
    stop = stage_packet (st, 7, KEEPER_STOP);
    assert_int_equal (stop->notice_ms, 7000);
    assert_int_equal (stop->grace_ms, 3000);
    assert_string_equal (stop->reason, "slow");
    beat_ok_stops (st, 10, 1, 3000);
    stage_hear (st);
    assert_null (stage_packet (st, 7, KEEPER_STOP));
    stage_stop (st, 10, 1, false); // but a new STOP may shorten it
    assert_non_null (stage_packet (st, 7, KEEPER_STOP));
    beat_ok_stops (st, 10, 1, 1000); // of a broker that was started since
    stage_hear (st);
    assert_null (stage_packet (st, 7, KEEPER_STOP));
}

static void what_the_broker_does_not_know_ends_without_notice (void **s)
{
    struct stage *st = *s;
    const struct keeper_packet *stop;

    stage_start (st, 7, 50, 10, 1);
    stage_start (st, 8, 50, 11, 1);
    stage_start (st, 9, 50, 12, 1);
    beat_ok_stops (st, 10, 2, 3000);
    u64s_add (&st->msg->beat_ok.stops, 12);
    stage_hear (st);
    for (uint64_t keeper = 7; keeper <= 8; keeper++) {
        stop = stage_packet (st, keeper, KEEPER_STOP);
        assert_int_equal (stop->notice_ms, 7000);
        assert_string_equal (stop->reason, "slow");
    }
    stop = stage_packet (st, 9, KEEPER_STOP);
    assert_int_equal (stop->notice_ms, 0);
    assert_int_equal (stop->grace_ms, G);
    assert_string_equal (stop->reason, "the broker does not know this slot");
}

/* Whatever the rows say of more tokens than there are. */
static void endings_of_no_token_mean_nothing (void **s)
{
    struct stage *st = *s;

    stage_start (st, 7, 50, 10, 1);
    beat_ok_stops (st, 10, 1, 3000);
    st->msg->beat_ok.endings[0].count = MAX_HELD;
    st->msg->beat_ok.endings[1] = st->msg->beat_ok.endings[0];
    st->msg->beat_ok.endings_count = 2;
    stage_hear (st);
    assert_int_equal (stage_packet (st, 7, KEEPER_STOP)->grace_ms, 3000);
    assert_int_equal (stage_count (st, ACT_KEEPER), 1);
}

static void tree_that_is_stopping_is_armed_as_before (void **s)
{
    struct stage *st = *s;

    stage_start (st, 7, 50, 10, 1);
    stage_stop (st, 10, 1, false);
    stage_live (st, H);
    assert_non_null (stage_packet (st, 7, KEEPER_ARM)); // its grace may be long
}

static void keeper_that_was_stopped_before_it_was_armed_never_is (void **s)
{
    struct stage *st = *s;

    stage_run (st, 7, 50, 1);
    stage_grant (st, st->seq, 10, 1);
    stage_wait (st, T);
    stage_attach (st, 7, 10, 1);
    stage_stop (st, 10, 1, false);
    assert_non_null (stage_packet (st, 7, KEEPER_STOP));
    stage_beat_ok (st, 2);
    assert_null (stage_packet (st, 7, KEEPER_ARM));
}

static void stopped_reservation_is_given_back (void **s)
{
    struct stage *st = *s;
    const struct msg_release *release;

    stage_reserve (st, 50, 10, 2);
    stage_stop (st, 10, 1, false);
    release = stage_sent (st, VERB_RELEASE);
    assert_int_equal (release->tokens.count, 1);
    assert_false (stage_holds (st, 10));
    assert_true (stage_holds (st, 11));
}

static void stopped_run_that_has_not_begun_is_hung_up (void **s)
{
    struct stage *st = *s;
    const struct msg_error *error;
    const struct msg_release *release;

    stage_reserve (st, 50, 10, 2);
    stage_run (st, 7, 50, 2);
    stage_stop (st, 10, 1, false);
    error = stage_told (st, 7, VERB_ERROR);
    assert_string_equal (error->error, "EXPIRED");
    assert_true (stage_hung_up (st, 7));
    release = stage_sent (st, VERB_RELEASE);
    assert_int_equal (release->tokens.count, 1); // 11 is still reserved
    assert_true (stage_holds (st, 11));
    stage_attach (st, 7, 10, 2);
    assert_non_null (stage_packet (st, 7, KEEPER_REFUSE));
}

static void bound (struct stage *st, int32_t pid, uint64_t first,
                   uint64_t count)
{
    struct msg_request *in = &stage_message (st, VERB_REQUEST)->request;

    in->seq = 1;
    in->count = count;
    in->supervisor = in->start = (uint64_t) pid;
    in->bound = true;
    stage_ask (st, first);
    stage_grant (st, st->seq, first, count);
    stage_confirm (st, first);
}

static void revoked_bound_slot_is_kept_until_its_supervisor_says_so (void **s)
{
    struct stage *st = *s;

    bound (st, 50, 10, 1);
    stage_stop (st, 10, 1, false);
    assert_null (stage_sent (st, VERB_RELEASE));
    assert_null (stage_sent (st, VERB_REAPED));
    assert_null (stage_find (st, ACT_END_SUPERVISOR));
    assert_true (stage_holds (st, 10));
    stage_supervisor_gone (st, 50);
    assert_non_null (stage_sent (st, VERB_RELEASE));
}

static void stop_with_supervisor_ends_that (void **s)
{
    struct stage *st = *s;

    bound (st, 50, 10, 1);
    stage_stop (st, 10, 1, true);
    assert_int_equal (stage_find (st, ACT_END_SUPERVISOR)->who.pid, 50);
}

static void supervisor_is_told_to_end_once_if_the_stop_was_lost (void **s)
{
    struct stage *st = *s;

    bound (st, 50, 10, 1);
    stage_stop (st, 10, 1, false);
    beat_ok_stops (st, 10, 1, 3000);
    stage_hear (st);
    assert_int_equal (stage_find (st, ACT_END_SUPERVISOR)->who.pid, 50);
    beat_ok_stops (st, 10, 1, 3000);
    stage_hear (st);
    assert_null (stage_find (st, ACT_END_SUPERVISOR));
    stage_stop (st, 10, 1, true); // somebody asks for it once more
    assert_non_null (stage_find (st, ACT_END_SUPERVISOR));
}

static void stop_of_a_slot_that_never_came_is_answered_at_once (void **s)
{
    struct stage *st = *s;
    const struct msg_reaped *reaped;
    const struct msg_error *error;

    stage_request (st, 1, 50, 1);
    stage_stop (st, 10, 1, false); // its GRANT was lost
    reaped = stage_sent (st, VERB_REAPED);
    assert_int_equal (reaped->tokens.at[0], 10);
    stage_grant (st, st->seq, 10, 1); // or only late
    assert_null (stage_told (st, 1, VERB_GRANT));
    error = stage_told (st, 1, VERB_ERROR);
    assert_string_equal (error->error, "EXPIRED");
    assert_false (stage_holds (st, 10));
}

static void stop_of_what_is_given_back_already_changes_nothing (void **s)
{
    struct stage *st = *s;

    stage_reserve (st, 50, 10, 1);
    stage_release (st, 1, 50, 1, false);
    stage_stop (st, 10, 1, false);
    assert_null (stage_sent (st, VERB_RELEASE));
    assert_null (stage_sent (st, VERB_REAPED));
}

static void kept_slot_that_is_stopped_is_proven_and_not_kept (void **s)
{
    struct stage *st = *s;
    const struct msg_reaped *reaped;

    stage_reserve (st, 50, 10, 1);
    stage_run (st, 7, 50, 1);
    stage_attach (st, 7, 10, 1);
    stage_keeper (st, 7, KEEPER_REAPED, 10, 0);
    stage_stop (st, 10, 1, false);
    reaped = stage_sent (st, VERB_REAPED);
    assert_false (reaped->keep);
    stage_kept (st, 10, 1); // the answer to the first: too late
    assert_false (stage_holds (st, 10));
}

#define LIVE(name)                                                             \
    cmocka_unit_test_setup_teardown (name, stage_setup_live, stage_teardown)

int main (void)
{
    const struct CMUnitTest tests[] = {
        LIVE (keeper_is_armed_at_once_while_the_session_is_valid),
        LIVE (each_acknowledged_beat_arms_again),
        LIVE (keeper_that_comes_past_the_deadline_waits_for_a_beat),
        LIVE (keeper_with_another_claim_is_refused),
        LIVE (idle_reservation_is_not_for_keepers),
        LIVE (tree_in_a_reservation_waits_until_the_broker_knows_of_it),
        LIVE (answer_that_comes_past_the_deadline_arms_nobody),
        LIVE (started_is_said_again_with_the_commands_pid),
        LIVE (process_that_cannot_be_is_not_told),
        LIVE (answer_to_the_first_started_is_not_the_seconds),
        LIVE (answer_about_the_run_before_arms_nobody),
        LIVE (reaped_gives_a_runs_own_slots_back),
        LIVE (reservation_outlives_its_run),
        LIVE (after_a_restart_the_end_of_a_reservations_run_is_said_again),
        LIVE (only_the_slots_that_the_broker_keeps_are_idle),
        LIVE (slots_of_a_tree_that_were_killed_are_not_kept),
        LIVE (client_that_goes_once_its_keeper_is_there_changes_nothing),
        LIVE (lost_keeper_is_cleaned_up_after_before_anything_is_said),
        LIVE (status_of_a_command_that_ended_before_its_keeper_is_known),
        LIVE (keeper_that_goes_after_reaped_is_done),
        LIVE (keeper_that_attaches_again_is_lost_with_its_tree),
        LIVE (keeper_that_names_another_slot_loses_only_its_own_tree),
        LIVE (packet_about_another_tree_is_ignored),
        LIVE (stop_ends_a_tree_as_it_says),
        LIVE (stops_in_beat_ok_are_said_to_a_keeper_once),
        LIVE (what_the_broker_does_not_know_ends_without_notice),
        LIVE (endings_of_no_token_mean_nothing),
        LIVE (supervisor_is_told_to_end_once_if_the_stop_was_lost),
        LIVE (tree_that_is_stopping_is_armed_as_before),
        LIVE (keeper_that_was_stopped_before_it_was_armed_never_is),
        LIVE (stopped_reservation_is_given_back),
        LIVE (stopped_run_that_has_not_begun_is_hung_up),
        LIVE (revoked_bound_slot_is_kept_until_its_supervisor_says_so),
        LIVE (stop_with_supervisor_ends_that),
        LIVE (stop_of_a_slot_that_never_came_is_answered_at_once),
        LIVE (stop_of_what_is_given_back_already_changes_nothing),
        LIVE (kept_slot_that_is_stopped_is_proven_and_not_kept),
    };

    return cmocka_run_group_tests_name ("shim keepers", tests, NULL, NULL);
}
