/* SPDX-License-Identifier: MPL-2.0 */
/* Other hosts: their size, their samples, their end, and who claims to be
 * one that lives. */
#include "stage.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct msg_welcome *welcomed (struct stage *st, struct actor *a)
{
    const struct msg_welcome *w = stage_got (st, a, VERB_WELCOME);

    assert_non_null (w);
    return w;
}

/* Before its HELLO. */
static struct actor *host_of (struct stage *st, const char *project,
                              const char *host, unsigned cores,
                              unsigned gigabytes)
{
    struct actor *a = stage_actor (st, project);

    a->peer.pid = 0;
    a->hello.cores = cores;
    a->hello.memory_bytes = (uint64_t) gigabytes << 30;
    copy_text (a->hello.host, sizeof a->hello.host, host);
    snprintf (a->hello.machine, sizeof a->hello.machine, "machine-%s", host);
    snprintf (a->hello.boot, sizeof a->hello.boot, "boot-%s", host);
    return a;
}

static unsigned max_of (struct stage *st, const char *host)
{
    char topic[80];
    const struct msg_pool *pool;

    snprintf (topic, sizeof topic, "pool.%s", host);
    pool = stage_published (st, topic);
    assert_non_null (pool);
    return (unsigned) pool->max_slots;
}

/* ---- size ---- */

static void unlisted_host_has_what_its_size_advises (void **state)
{
    struct stage *st = stage_create (20);
    struct actor *a = host_of (st, "a", "vm2", 2, 8); // 5 by the processors
    struct actor *b = host_of (st, "b", "vm3", 64, 512);
    struct actor *c = host_of (st, "c", "vm4", 0, 0);
    (void) state;

    act_hello (st, a);
    assert_int_equal (max_of (st, "vm2"), 5);
    act_hello (st, b); // max_slots bounds it
    assert_int_equal (max_of (st, "vm3"), 20);
    act_hello (st, c); // does not say
    assert_int_equal (max_of (st, "vm4"), 20);
    act_request (st, a, 6);
    stage_assert_refused (st, a, ERR_EXCEEDS_MAX);
    act_request (st, a, 5);
    assert_non_null (stage_got (st, a, VERB_GRANT));
    stage_destroy (st);
}

static void listed_host_has_what_the_configuration_says (void **state)
{
    struct stage *st = stage_create (20);
    struct actor *a = host_of (st, "a", "vm2", 2, 8);
    (void) state;

    copy_text (st->settings.hosts[0].host, 65, "vm2");
    st->settings.hosts[0].max_slots = 10;
    st->settings.host_count = 1;
    stage_restart (st);
    act_hello (st, a);
    assert_int_equal (max_of (st, "vm2"), 10);
    stage_destroy (st);
}

static void size_of_a_host_is_known_after_a_restart (void **state)
{
    struct stage *st = stage_create (20);
    struct actor *a = host_of (st, "a", "vm2", 2, 8);
    (void) state;

    act_hello (st, a);
    stage_restart (st);
    act_request (st, a, 6);
    stage_assert_refused (st, a, ERR_EXCEEDS_MAX);
    stage_destroy (st);
}

static void
largest_that_a_host_says_counts_and_the_own_one_is_told_nothing (void **state)
{
    struct stage *st = stage_create (20);
    struct actor *a = host_of (st, "a", "vm2", 4, 8); // 10
    struct actor *b = host_of (st, "b", "vm2", 1, 8); // in a small cpuset
    struct actor *own = stage_actor (st, "c");
    (void) state;

    act_hello (st, a);
    assert_int_equal (max_of (st, "vm2"), 10);
    act_hello (st, b);
    assert_null (stage_published (st, "pool.vm2")); // it stays so
    own->hello.cores = 1;
    own->hello.memory_bytes = 1;
    act_hello (st, own);
    act_request (st, own, 10);
    assert_non_null (stage_got (st, own, VERB_GRANT));
    stage_destroy (st);
}

/* ---- what hosts share ---- */

static void oldest_over_all_hosts_is_not_starved_of_the_sum (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a"), *c = stage_shim (st, "c");
    struct actor *far = host_of (st, "b", "vm2", 64, 512);
    const struct msg_queued *q;
    (void) state;

    act_hello (st, far);
    act_request (st, a, 2);
    act_request (st, c, 2);
    act_request (st, far, 1); // its host is empty, the sum is not
    q = stage_got (st, far, VERB_QUEUED);
    assert_string_equal (q->reason, "SLOTS");
    act_request (st, a, 1);
    act_release (st, a, 1);
    assert_non_null (stage_got (st, far, VERB_GRANT));
    assert_null (stage_got (st, a, VERB_GRANT));
    act_release (st, a, 2);
    assert_non_null (stage_got (st, a, VERB_GRANT));
    stage_destroy (st);
}

static void oldest_over_all_hosts_is_not_starved_of_the_cap (void **state)
{
    struct stage *st = stage_create (20);
    struct actor *a = stage_shim (st, "a");
    struct actor *far = host_of (st, "a", "vm2", 64, 512);
    (void) state;

    act_hello (st, far);
    act_request (st, a, 10); // its cap
    act_request (st, far, 2);
    act_request (st, a, 1);
    act_release (st, a, 1); // not enough for the older one: kept for it
    assert_null (stage_got (st, a, VERB_GRANT));
    act_release (st, a, 2);
    assert_non_null (stage_got (st, far, VERB_GRANT));
    act_release (st, a, 3);
    assert_non_null (stage_got (st, a, VERB_GRANT));
    stage_destroy (st);
}

static void who_came_first_and_left_holds_nobody_back (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a"), *c = stage_shim (st, "c");
    struct actor *far = host_of (st, "b", "vm2", 64, 512);
    (void) state;

    act_hello (st, far);
    act_request (st, a, 2);
    act_request (st, c, 1);
    act_request (st, far, 2);
    act_request (st, c, 1); // the last one: kept for vm2
    assert_null (stage_got (st, c, VERB_GRANT));
    make_cancel (st, far, far->seq);
    stage_tell (st, far);
    assert_non_null (stage_got (st, c, VERB_GRANT));
    stage_destroy (st);
}

/* ---- samples ---- */

static void say_sample (struct stage *st, const struct actor *a, double memory)
{
    message_init_fields (&st->msg.sample, VERB_SAMPLE);
    st->msg.verb = VERB_SAMPLE;
    st->msg.sample.session = a->session;
    st->msg.sample.at_ms = 1700000000000 + (uint64_t) st->now;
    st->msg.sample.memory_percent = memory;
    st->msg.sample.load1 = 1.5;
    stage_tell (st, a);
}

static void samples_are_wanted_of_other_hosts_alone (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *own = stage_shim (st, "a"), *other;
    (void) state;

    assert_int_equal (welcomed (st, own)->sample_ms, 2000); // of its trees
    assert_string_equal (welcomed (st, own)->unmanaged, "");
    say_sample (st, own, 50);
    stage_assert_refused (st, own, ERR_NOT_ALLOWED);
    other = stage_remote (st, "a", "vm2");
    assert_int_equal (welcomed (st, other)->sample_ms, 2000);
    stage_destroy (st);
}

static void sample_is_judged_published_and_shown (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_remote (st, "a", "vm2");
    const struct msg_status_ok *s;
    const struct msg_health *h;
    (void) state;

    say_sample (st, a, 62.5);
    assert_string_equal (
        ((const struct msg_ok *) stage_got (st, a, VERB_OK))->re, "SAMPLE");
    h = stage_published (st, "health.vm2");
    assert_string_equal (h->level, "healthy");
    assert_int_equal (h->at_ms, 1700000000000 + st->now);
    assert_string_equal (h->stale, "cpu,disk,inodes");
    st->now += 200;
    say_sample (st, a, 96);
    h = stage_published (st, "health.vm2");
    assert_string_equal (h->level, "critical");
    assert_null (stage_published (st, "health.vm1"));
    st->now += 200;
    st->msg.verb = VERB_STATUS;
    message_init_fields (&st->msg.status, VERB_STATUS);
    stage_tell (st, a);
    s = stage_got (st, a, VERB_STATUS_OK);
    assert_int_equal (s->hosts_count, 2);
    assert_string_equal (s->hosts[0].level, "unknown"); // its own: no sample
    assert_string_equal (s->hosts[1].level, "critical");
    assert_true (s->hosts[1].memory_percent > 95);
    assert_int_equal (s->hosts[1].age_ms, 200);
    stage_destroy (st);
}

static void load_limit_is_by_the_cores_of_that_host (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = host_of (st, "a", "vm2", 2, 8); // 4.0
    const struct msg_health *h;
    (void) state;

    act_hello (st, a);
    for (unsigned i = 0; i < 2; i++) {
        message_init_fields (&st->msg.sample, VERB_SAMPLE);
        st->msg.verb = VERB_SAMPLE;
        st->msg.sample.session = a->session;
        st->msg.sample.load1 = 4.1;
        stage_tell (st, a);
    }
    h = stage_published (st, "health.vm2");
    assert_string_equal (h->load_level, "critical");
    stage_destroy (st);
}

static void figure_that_cannot_be_is_refused_by_its_key (void **state)
{
    static const struct {
        size_t offset;
        double value;
        const char *key;
    } wrong[] = {
        {offsetof (struct msg_sample, cpu_percent), -1, "cpu_percent"},
        {offsetof (struct msg_sample, memory_percent), 101, "memory_percent"},
        {offsetof (struct msg_sample, load1), -0.5, "load1"},
        {offsetof (struct msg_sample, running), 1e7, "running"},
        {offsetof (struct msg_sample, io_full), 1e300, "io_full"},
    };
    struct stage *st = stage_create (10);
    struct actor *a = stage_remote (st, "a", "vm2");
    (void) state;

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        message_init_fields (&st->msg.sample, VERB_SAMPLE);
        st->msg.verb = VERB_SAMPLE;
        st->msg.sample.session = a->session;
        memcpy ((char *) &st->msg.sample + wrong[i].offset, &wrong[i].value,
                sizeof (double));
        stage_tell (st, a);
        stage_assert_refused (st, a, ERR_BAD_ARG);
        assert_string_equal (
            ((const struct msg_error *) stage_got (st, a, VERB_ERROR))->key,
            wrong[i].key);
        assert_null (stage_published (st, "health.vm2"));
    }
    stage_destroy (st);
}

/* Twice above a limit means two moments, not two shims. */
static void one_shim_of_a_host_is_heeded_and_then_the_next (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_remote (st, "a", "vm2");
    struct actor *b = stage_remote (st, "b", "vm2");
    (void) state;

    say_sample (st, a, 50);
    say_sample (st, b, 99);
    assert_non_null (stage_got (st, b, VERB_OK));
    assert_null (stage_published (st, "health.vm2"));
    stage_sleep (st, 3000);
    say_sample (st, a, 50);
    stage_sleep (st, 3000);
    say_sample (st, b, 99);
    assert_null (stage_published (st, "health.vm2"));
    stage_sleep (st, 1000);
    say_sample (st, b, 99); // a has been silent for twice the time
    assert_non_null (stage_published (st, "health.vm2"));
    stage_destroy (st);
}

/* The wire may say it again. */
static void next_sample_is_wanted_sooner_near_a_limit (void **state)
{
    static const struct {
        double memory;
        unsigned ms;
    } cases[] = {{50, 2000}, {84.9, 2000}, {85, 200}, {50, 2000}};
    struct stage *st = stage_create (10);
    struct actor *a = stage_remote (st, "a", "vm2");
    const struct msg_ok *ok;
    (void) state;

    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        say_sample (st, a, cases[i].memory);
        ok = stage_got (st, a, VERB_OK);
        assert_string_equal (ok->re, "SAMPLE");
        assert_int_equal (ok->count, cases[i].ms);
        stage_sleep (st, 2000);
    }
    stage_destroy (st);
}

static void sample_that_comes_twice_is_one_moment (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_remote (st, "a", "vm2");
    (void) state;

    say_sample (st, a, 50);
    stage_sleep (st, 2000);
    say_sample (st, a, 92);
    say_sample (st, a, 92);
    assert_null (stage_published (st, "health.vm2"));
    stage_sleep (st, 2000);
    say_sample (st, a, 92);
    assert_non_null (stage_published (st, "health.vm2"));
    stage_destroy (st);
}

static void host_that_is_gone_ends_its_topics (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_remote (st, "a", "vm2");
    const struct msg_health *h;
    const struct msg_pool *pool;
    uint64_t number;
    (void) state;

    say_sample (st, a, 50);
    act_bye (st, a);
    h = stage_published (st, "health.vm2");
    pool = stage_published (st, "pool.vm2");
    assert_true (h->gone && pool->gone);
    assert_string_equal (h->level, "unknown");
    assert_true (isnan (h->memory_percent));
    assert_int_equal (h->number, 2);
    for (size_t i = 0; i < outbox_published (st->out); i++) {
        struct publication p = outbox_publication (st->out, i);

        if (strcmp (p.topic, "health.vm2") == 0)
            assert_true (p.last);
    }
    number = pool->number;
    a->hello.nonce += 100;
    act_hello (st, a);
    pool = stage_published (st, "pool.vm2");
    assert_false (pool->gone);
    assert_true (pool->number > number);
    stage_destroy (st);
}

/* ---- copies ---- */

/* A copy of a's host, down to the boot_id: another process there. */
static struct actor *copy_of (struct stage *st, const struct actor *a)
{
    struct actor *b = stage_actor (st, "a");
    uint64_t nonce = b->hello.nonce, pid = b->hello.pid;

    b->peer.pid = 0;
    b->hello = a->hello;
    b->hello.nonce = nonce;
    b->hello.pid = pid;
    b->hello.start++;
    b->hello.successor = true;
    return b;
}

static void copy_with_the_same_boot_is_found_out_when_both_speak (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_remote (st, "a", "vm2"), *b;
    const struct msg_queued *q;
    (void) state;

    a->hello.successor = true;
    a->hello.start = 1;
    a->hello.nonce += 100;
    act_hello (st, a); // the same shim, but with its start time
    act_request (st, a, 2);
    b = copy_of (st, a);
    act_hello (st, b); // takes a's place
    welcomed (st, b);
    act_beat (st, a);
    stage_assert_refused (st, a, ERR_NO_SESSION);
    assert_false (stage_logged (st, "host_conflict"));
    act_request (st, b, 1);
    assert_non_null (stage_got (st, b, VERB_GRANT));

    a->hello.nonce += 100; // a lives, and wants its place back
    act_hello (st, a);
    stage_assert_refused (st, a, ERR_HOST_CONFLICT);
    assert_true (stage_logged (st, "host_conflict"));
    act_request (st, b, 1);
    q = stage_got (st, b, VERB_QUEUED);
    assert_string_equal (q->reason, "PAUSED");
    stage_destroy (st);
}

static void late_hello_of_a_dead_shim_takes_no_place (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_remote (st, "a", "vm2"), *b;
    (void) state;

    a->hello.successor = true;
    a->hello.start = 1;
    a->hello.nonce += 100;
    act_hello (st, a);
    b = copy_of (st, a); // its successor, in truth
    act_hello (st, b);
    welcomed (st, b);
    act_hello (st, a); // the same message once more
    stage_assert_refused (st, a, ERR_EXPIRED);
    assert_false (stage_logged (st, "host_conflict"));
    act_request (st, b, 1);
    assert_non_null (stage_got (st, b, VERB_GRANT));
    stage_destroy (st);
}

static void late_hello_of_a_session_that_left_begins_none (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_remote (st, "a", "vm2");
    (void) state;

    act_bye (st, a);
    act_hello (st, a);
    stage_assert_refused (st, a, ERR_EXPIRED);
    a->hello.nonce += 100;
    act_hello (st, a);
    welcomed (st, a);
    stage_destroy (st);
}

static void shim_that_saw_a_newer_epoch_is_no_partner (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_actor (st, "a");
    (void) state;

    copy_text (a->hello.broker, sizeof a->hello.broker,
               stage_meta (st)->broker);
    a->hello.epoch = 2;
    act_hello (st, a);
    stage_assert_refused (st, a, ERR_NOT_FOUND);
    assert_string_equal (
        ((const struct msg_error *) stage_got (st, a, VERB_ERROR))->key,
        "epoch");
    assert_true (stage_logged (st, "above_mark"));
    a->hello.broker[0] ^= 1; // of another broker it means nothing
    act_hello (st, a);
    welcomed (st, a);
    stage_destroy (st);
}

/* It was long on its way, and its shim has died meanwhile. */
static void late_first_hello_of_an_older_shim_takes_no_place (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_actor (st, "a"), *b;
    (void) state;

    a->peer.pid = 0;
    copy_text (a->hello.machine, sizeof a->hello.machine, "machine-vm2");
    copy_text (a->hello.boot, sizeof a->hello.boot, "boot-vm2");
    copy_text (a->hello.host, sizeof a->hello.host, "vm2");
    a->hello.successor = true;
    a->hello.start = 100;
    b = copy_of (st, a); // started at 101
    act_hello (st, b);
    welcomed (st, b);
    act_hello (st, a);
    stage_assert_refused (st, a, ERR_EXPIRED);
    act_request (st, b, 1);
    assert_non_null (stage_got (st, b, VERB_GRANT));
    assert_false (stage_logged (st, "host_conflict"));
    stage_sleep (st, 12000); // two beats later it is no accident
    act_hello (st, a);
    stage_assert_refused (st, a, ERR_HOST_CONFLICT);
    assert_true (stage_logged (st, "host_conflict"));
    stage_destroy (st);
}

static void copy_of_the_brokers_own_machine_is_refused (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_actor (st, "a");
    (void) state;

    a->peer.pid = 0; // machine-id of the broker's host, as stage_actor says
    copy_text (a->hello.boot, sizeof a->hello.boot, "another");
    act_hello (st, a);
    stage_assert_refused (st, a, ERR_HOST_CONFLICT);
    assert_true (stage_logged (st, "host_conflict"));
    stage_destroy (st);
}

static void reboot_of_the_brokers_host_ends_its_tcp_sessions_too (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_actor (st, "a");
    (void) state;

    a->peer.pid = 0; // over TCP on the broker's machine
    act_hello (st, a);
    welcomed (st, a);
    act_request (st, a, 3);
    copy_text (st->self.boot, sizeof st->self.boot, "booted again");
    a->silent = true;
    stage_restart (st);
    assert_int_equal (stage_in_use (st), 0);
    a->hello.nonce += 100;
    copy_text (a->hello.boot, sizeof a->hello.boot, "booted again");
    act_hello (st, a);
    welcomed (st, a);
    stage_destroy (st);
}

static void copy_is_let_in_when_the_other_has_gone (void **state)
{
    struct stage *st = stage_create (10);
    struct actor *a = stage_remote (st, "a", "vm2"), *b;
    (void) state;

    a->hello.successor = true;
    a->hello.start = 1;
    a->hello.nonce += 100;
    act_hello (st, a);
    b = copy_of (st, a);
    act_hello (st, b);
    a->silent = b->silent = true;
    stage_sleep (st, 61000);
    a->hello.nonce += 100;
    act_hello (st, a);
    welcomed (st, a);
    stage_destroy (st);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (unlisted_host_has_what_its_size_advises),
        cmocka_unit_test (listed_host_has_what_the_configuration_says),
        cmocka_unit_test (size_of_a_host_is_known_after_a_restart),
        cmocka_unit_test (
            largest_that_a_host_says_counts_and_the_own_one_is_told_nothing),
        cmocka_unit_test (oldest_over_all_hosts_is_not_starved_of_the_sum),
        cmocka_unit_test (oldest_over_all_hosts_is_not_starved_of_the_cap),
        cmocka_unit_test (who_came_first_and_left_holds_nobody_back),
        cmocka_unit_test (samples_are_wanted_of_other_hosts_alone),
        cmocka_unit_test (sample_is_judged_published_and_shown),
        cmocka_unit_test (load_limit_is_by_the_cores_of_that_host),
        cmocka_unit_test (figure_that_cannot_be_is_refused_by_its_key),
        cmocka_unit_test (one_shim_of_a_host_is_heeded_and_then_the_next),
        cmocka_unit_test (next_sample_is_wanted_sooner_near_a_limit),
        cmocka_unit_test (sample_that_comes_twice_is_one_moment),
        cmocka_unit_test (host_that_is_gone_ends_its_topics),
        cmocka_unit_test (copy_with_the_same_boot_is_found_out_when_both_speak),
        cmocka_unit_test (late_hello_of_a_dead_shim_takes_no_place),
        cmocka_unit_test (late_first_hello_of_an_older_shim_takes_no_place),
        cmocka_unit_test (copy_of_the_brokers_own_machine_is_refused),
        cmocka_unit_test (reboot_of_the_brokers_host_ends_its_tcp_sessions_too),
        cmocka_unit_test (late_hello_of_a_session_that_left_begins_none),
        cmocka_unit_test (shim_that_saw_a_newer_epoch_is_no_partner),
        cmocka_unit_test (copy_is_let_in_when_the_other_has_gone),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
