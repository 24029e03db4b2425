/* SPDX-License-Identifier: MPL-2.0 */
/* What trees take: told by FOOTPRINT, shown, recorded, learnt. And what runs
 * outside any slot. */
#include "stage.h"

#include <math.h>
#include <string.h>

#include "core/footprints.h"
#include "core/state.h"

enum { MB = 1 << 20, MINUTE = 60000 };

/* ---- acts ---- */

static uint64_t reserve (struct stage *st, struct actor *a, unsigned count)
{
    act_request (st, a, count);
    return ((const struct msg_grant *) stage_got (st, a, VERB_GRANT))->first;
}

/* A tree under so many slots. Returns the first token. */
static uint64_t start (struct stage *st, struct actor *a, unsigned count,
                       const char *label)
{
    uint64_t first;

    make_request (st, a, count);
    st->msg.request.run = true;
    copy_text (st->msg.request.labels, sizeof st->msg.request.labels, label);
    stage_tell (st, a);
    first = ((const struct msg_grant *) stage_got (st, a, VERB_GRANT))->first;
    make_started (st, a, first);
    for (unsigned i = 1; i < count; i++)
        u64s_add (&st->msg.started.tokens, first + i);
    stage_tell (st, a);
    return first;
}

static void tell (struct stage *st, struct actor *a, uint64_t token,
                  uint64_t bytes, uint64_t cpu_ms, unsigned running)
{
    message_init (&st->msg, VERB_FOOTPRINT);
    st->msg.footprints.session = a->session;
    st->msg.footprints.trees[st->msg.footprints.trees_count++] =
        (struct row_footprint){token, bytes, cpu_ms, running};
    stage_tell (st, a);
}

static void end (struct stage *st, struct actor *a, uint64_t token,
                 uint64_t bytes, unsigned status)
{
    make_reaped (st, a, token);
    st->msg.reaped.status = status;
    st->msg.reaped.memory_bytes = bytes;
    st->msg.reaped.cpu_ms = 10;
    stage_tell (st, a);
}

static const struct msg_status_ok *ask (struct stage *st)
{
    struct actor *admin = stage_admin (st);

    message_init (&st->msg, VERB_STATUS);
    stage_tell (st, admin);
    return stage_got (st, admin, VERB_STATUS_OK);
}

static const struct footprint *of (const struct stage *st, uint64_t token)
{
    return &leases_find (&st->b->leases, token)->footprint;
}

/* ---- FOOTPRINT ---- */

static void footprint_is_the_newest_and_its_peak_stays (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "alpha");
    uint64_t token = start (st, a, 1, "auth");
    (void) state;

    assert_int_equal (of (st, token)->at, 0);
    tell (st, a, token, 300 * MB, 5000, 2);
    assert_non_null (stage_got (st, a, VERB_OK));
    tell (st, a, token, 100 * MB, 4000, 1); // some of it has gone
    assert_int_equal (of (st, token)->memory_bytes, 100 * MB);
    assert_int_equal (of (st, token)->peak_bytes, 300 * MB);
    assert_int_equal (of (st, token)->cpu_ms, 5000);
    assert_int_equal (of (st, token)->running, 1);
    assert_int_equal (of (st, token)->at, st->now);
    stage_destroy (st);
}

static void only_own_trees_are_heeded_and_nothing_is_made (void **state)
{
    struct stage *st = stage_create (8);
    struct actor *a = stage_shim (st, "alpha"), *b = stage_shim (st, "beta");
    uint64_t token = start (st, a, 1, "auth"), idle = reserve (st, a, 1);
    (void) state;

    tell (st, b, token, 300 * MB, 5000, 2); // another's
    assert_non_null (stage_got (st, b, VERB_OK));
    tell (st, a, idle, MB, 1, 1); // no tree
    tell (st, a, 4711, MB, 1, 1); // never granted
    tell (st, a, INT64_MAX, MB, 1, 1);
    assert_int_equal (of (st, token)->at + of (st, idle)->at, 0);
    assert_int_equal (stage_in_use (st), 2);
    st->msg.footprints.session = 4711;
    stage_tell (st, a);
    stage_assert_refused (st, a, ERR_NO_SESSION);
    stage_destroy (st);
}

static void tree_of_several_slots_counts_once (void **state)
{
    struct stage *st = stage_create (8);
    struct actor *a = stage_shim (st, "alpha");
    uint64_t token = start (st, a, 3, "auth");
    struct load load;
    (void) state;

    tell (st, a, token + 2, 300 * MB, 5000, 2); // any of its tokens names it
    assert_int_equal (of (st, token)->memory_bytes, 300 * MB);
    assert_int_equal (of (st, token + 1)->at + of (st, token + 2)->at, 0);
    load = footprints_load (st->b, st->b->pools.at[0], 6000, st->now);
    assert_int_equal (load.memory_bytes, 300 * MB);
    assert_int_equal (load.running, 2);
    assert_int_equal (load.trees, 1);
    assert_int_equal (load.unknown, 0);
    stage_destroy (st);
}

static void load_is_of_one_host_and_of_what_is_known (void **state)
{
    struct stage *st = stage_create (8);
    struct actor *a = stage_shim (st, "alpha");
    struct actor *far = stage_remote (st, "beta", "vm2");
    uint64_t one = start (st, a, 1, "x"), other = start (st, far, 1, "y");
    struct load load;
    (void) state;

    start (st, a, 1, "z"); // not measured yet
    tell (st, a, one, 10 * MB, 1, 3);
    tell (st, far, other, 70 * MB, 1, 5);
    load = footprints_load (st->b, st->b->pools.at[0], 6000, st->now);
    assert_int_equal (load.running, 3);
    assert_int_equal (load.trees, 1);
    assert_int_equal (load.unknown, 1);
    load = footprints_load (st->b, pools_find (&st->b->pools, "vm2"), 6000,
                            st->now);
    assert_int_equal (load.running, 5);
    stage_sleep (st, 5 * st->settings.timing.sample + 1);
    load = footprints_load (st->b, st->b->pools.at[0], 6000, st->now);
    assert_int_equal (load.running + load.trees, 0); // too old to go by
    assert_int_equal (load.unknown, 2);
    stage_destroy (st);
}

static void next_tree_of_a_reservation_begins_anew (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "alpha");
    uint64_t token = reserve (st, a, 1);
    (void) state;

    act_started (st, a, token);
    tell (st, a, token, 300 * MB, 5000, 2);
    make_reaped (st, a, token);
    st->msg.reaped.keep = true;
    st->runs = 0;
    stage_tell (st, a);
    assert_int_equal (st->runs, 1); // of that tree
    assert_int_equal (st->run.memory_bytes, 300 * MB);
    assert_int_equal (of (st, token)->peak_bytes, 0);
    act_started (st, a, token);
    tell (st, a, token, MB, 70, 0);
    assert_int_equal (of (st, token)->cpu_ms, 70);
    st->runs = 0;
    act_release (st, a, token);
    act_reaped (st, a, token);
    assert_int_equal (st->runs, 1);
    assert_int_equal (st->run.memory_bytes, MB); // of the second
    stage_destroy (st);
}

/* ---- STATUS, and the record ---- */

static void status_shows_it_while_it_is_fresh (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "alpha");
    uint64_t token = start (st, a, 1, "auth");
    (void) state;

    assert_int_equal (ask (st)->agents[0].memory_bytes, 0);
    tell (st, a, token, 300 * MB, 5000, 2);
    assert_int_equal (ask (st)->agents[0].memory_bytes, 300 * MB);
    assert_int_equal (ask (st)->agents[0].cpu_ms, 5000);
    stage_sleep (st, 5 * st->settings.timing.sample + 1);
    assert_int_equal (ask (st)->agents[0].memory_bytes, 0);
    stage_destroy (st);
}

static void record_has_the_larger_of_what_was_seen_and_what_was_said (void **s)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "alpha");
    uint64_t token = start (st, a, 1, "auth");
    (void) s;

    tell (st, a, token, 300 * MB, 5000, 2);
    end (st, a, token, 100 * MB, 0); // of its largest process
    assert_int_equal (st->run.memory_bytes, 300 * MB);
    assert_int_equal (st->run.cpu_ms, 5000);
    token = start (st, a, 1, "auth");
    tell (st, a, token, 3 * MB, 5, 2);
    end (st, a, token, 100 * MB, 0);
    assert_int_equal (st->run.memory_bytes, 100 * MB);
    assert_int_equal (st->run.cpu_ms, 10);
    stage_destroy (st);
}

static void what_is_lost_without_a_word_has_what_was_seen_of_it (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_remote (st, "alpha", "vm2");
    uint64_t token = start (st, a, 1, "auth");
    (void) state;

    tell (st, a, token, 300 * MB, 5000, 2);
    a->silent = true;
    st->runs = 0;
    stage_sleep (st, 2 * MINUTE); // ttl, lock-delay
    assert_int_equal (st->runs, 1);
    assert_string_equal (st->run.outcome, "lost");
    assert_int_equal (st->run.memory_bytes, 300 * MB);
    assert_int_equal (st->run.cpu_ms, 5000);
    stage_destroy (st);
}

/* ---- what slots need ---- */

static void peaks_of_what_ended_by_itself_tell_what_a_slot_needs (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "alpha");
    (void) state;

    for (unsigned i = 1; i <= 19; i++) {
        uint64_t token = start (st, a, 1, "auth");

        tell (st, a, token, i * 100 * MB, 5000, 2);
        if (i == 4)
            assert_int_equal (ask (st)->slot_bytes, 0); // of three: no basis
        end (st, a, token, 0, 0);
        token = start (st, a, 1, "auth");
        tell (st, a, token, 90000ull * MB, 5000, 2);
        end (st, a, token, 0, 137); // was ended
    }
    assert_int_equal (ask (st)->slot_bytes, 1800ull * MB);
    stage_destroy (st);
}

static void restored_peaks_are_as_good (void **state)
{
    struct stage *st = stage_create (4);
    (void) state;

    for (unsigned i = 1; i <= 19; i++) {
        broker_restore_memory (st->b, "alpha", "auth", i * 100 * MB);
        broker_restore_memory (st->b, "alpha", "auth", 0); // not known
    }
    assert_int_equal (ask (st)->slot_bytes, 1800ull * MB);
    stage_destroy (st);
}

/* ---- outside any slot ---- */

static void own_host_shows_what_its_broker_found (void **state)
{
    struct stage *st = stage_create (4);
    const struct msg_status_ok *ok = ask (st);
    (void) state;

    assert_int_equal (ok->hosts[0].unmanaged, 0);
    broker_observe_unmanaged (st->b, 11, 6000ull * MB, "odin");
    ok = ask (st);
    assert_int_equal (ok->hosts[0].unmanaged, 11);
    assert_int_equal (ok->hosts[0].unmanaged_bytes, 6000ull * MB);
    assert_string_equal (ok->hosts[0].unmanaged_of, "odin");
    broker_observe_unmanaged (st->b, 0, 0, "");
    assert_string_equal (ask (st)->hosts[0].unmanaged_of, "");
    stage_destroy (st);
}

static void other_host_says_what_its_sampler_found (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *far;
    const struct msg_welcome *welcome;
    const struct msg_status_ok *ok;
    (void) state;

    copy_text (st->settings.unmanaged, sizeof st->settings.unmanaged, "claude");
    broker_reload (st->b, &st->settings, st->now, st->out);
    far = stage_actor (st, "alpha");
    copy_text (far->hello.host, sizeof far->hello.host, "vm2");
    copy_text (far->hello.machine, sizeof far->hello.machine, "machine2");
    copy_text (far->hello.boot, sizeof far->hello.boot, "boot2");
    far->peer.pid = 0;
    act_hello (st, far);
    welcome = stage_got (st, far, VERB_WELCOME);
    assert_string_equal (welcome->unmanaged, "claude");
    message_init (&st->msg, VERB_SAMPLE);
    st->msg.sample.session = far->session;
    st->msg.sample.unmanaged = 3;
    st->msg.sample.unmanaged_bytes = 7 * MB;
    copy_text (st->msg.sample.unmanaged_of, sizeof st->msg.sample.unmanaged_of,
               "odin");
    stage_tell (st, far);
    ok = ask (st);
    assert_string_equal (ok->hosts[1].host, "vm2");
    assert_int_equal (ok->hosts[1].unmanaged, 3);
    assert_int_equal (ok->hosts[1].unmanaged_bytes, 7 * MB);
    assert_string_equal (ok->hosts[1].unmanaged_of, "odin");
    assert_int_equal (ok->hosts[0].unmanaged, 0);
    stage_destroy (st);
}

static void projects_are_known_by_configuration_or_by_name (void **state)
{
    struct stage *st = stage_create (4);
    (void) state;

    assert_false (broker_knows_project (st->b, "alpha"));
    stage_shim (st, "alpha");
    assert_true (broker_knows_project (st->b, "alpha"));
    stage_destroy (st);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (footprint_is_the_newest_and_its_peak_stays),
        cmocka_unit_test (only_own_trees_are_heeded_and_nothing_is_made),
        cmocka_unit_test (tree_of_several_slots_counts_once),
        cmocka_unit_test (load_is_of_one_host_and_of_what_is_known),
        cmocka_unit_test (next_tree_of_a_reservation_begins_anew),
        cmocka_unit_test (status_shows_it_while_it_is_fresh),
        cmocka_unit_test (
            record_has_the_larger_of_what_was_seen_and_what_was_said),
        cmocka_unit_test (what_is_lost_without_a_word_has_what_was_seen_of_it),
        cmocka_unit_test (peaks_of_what_ended_by_itself_tell_what_a_slot_needs),
        cmocka_unit_test (restored_peaks_are_as_good),
        cmocka_unit_test (own_host_shows_what_its_broker_found),
        cmocka_unit_test (other_host_says_what_its_sampler_found),
        cmocka_unit_test (projects_are_known_by_configuration_or_by_name),
    };

    return cmocka_run_group_tests (tests, NULL, NULL);
}
