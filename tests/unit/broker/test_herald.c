/* SPDX-License-Identifier: MPL-2.0 */
/* The XPUB with a real subscriber: last values, repetitions, the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>
#include <cmocka.h>

#include "bus/base.h"
#include "herald.h"
#include "protocol/codec.h"
#include "unit/bus/scratch.h"

enum { PATIENCE_MS = 10000 };

struct scene {
    struct herald *herald;
    char endpoint[256];
    void *context, *sub;
    struct msg msg; // the newest that came
    char topic[256];
};

static void start (struct scene *s, void **state)
{
    memset (s, 0, sizeof *s);
    snprintf (s->endpoint, sizeof s->endpoint, "ipc://%s",
              scratch_path (state, "events"));
    s->herald = herald_create ();
    assert_int_equal (herald_bind (s->herald, s->endpoint), 0);
    s->context = zmq_ctx_new ();
    s->sub = zmq_socket (s->context, ZMQ_SUB);
    assert_int_equal (zmq_connect (s->sub, s->endpoint), 0);
}

static void finish (struct scene *s)
{
    zmq_close (s->sub);
    zmq_ctx_term (s->context);
    herald_destroy (s->herald);
}

/* Until the herald has heard of it and sent again that many topics. */
static void subscribe (struct scene *s, const char *prefix, size_t expected)
{
    zmq_pollitem_t item = {herald_socket (s->herald), -1, ZMQ_POLLIN, 0};

    zmq_setsockopt (s->sub, ZMQ_SUBSCRIBE, prefix, strlen (prefix));
    assert_int_equal (zmq_poll (&item, 1, PATIENCE_MS), 1);
    assert_int_equal (herald_catch_up (s->herald), expected);
}

static void publish (struct scene *s, const char *host, uint64_t number,
                     bool last, int64_t now)
{
    char topic[80];
    struct msg_pool pool;
    struct publication p = {topic, VERB_POOL, &pool, last};

    snprintf (topic, sizeof topic, "pool.%s", host);
    message_init_fields (&pool, VERB_POOL);
    pool.number = number;
    pool.epoch = 1;
    pool.gone = last;
    copy_text (pool.host, sizeof pool.host, host);
    herald_publish (s->herald, &p, now);
}

/* The next message within that time; false: none. */
static bool comes (struct scene *s, int timeout_ms)
{
    zmq_pollitem_t item = {s->sub, -1, ZMQ_POLLIN, 0};
    uint8_t body[MAX_BODY_BYTES];
    struct codec_error why;
    int n;

    if (zmq_poll (&item, 1, timeout_ms) != 1)
        return false;
    n = zmq_recv (s->sub, s->topic, sizeof s->topic - 1, 0);
    s->topic[n] = 0;
    assert_int_equal (zmq_recv (s->sub, body, sizeof body, 0), 4);
    n = zmq_recv (s->sub, body, sizeof body, 0);
    assert_int_equal (codec_decode (body, (size_t) n, &s->msg, &why), 0);
    return true;
}

static void is_pool (struct scene *s, const char *topic, uint64_t number)
{
    assert_true (comes (s, PATIENCE_MS));
    assert_string_equal (s->topic, topic);
    assert_int_equal (s->msg.pool.number, number);
}

static void late_subscriber_gets_the_last_value (void **state)
{
    struct scene s;

    start (&s, state);
    publish (&s, "vm1", 1, false, 0);
    publish (&s, "vm1", 2, false, 0);
    publish (&s, "vm2", 7, false, 0);
    subscribe (&s, "pool.vm1", 1);
    is_pool (&s, "pool.vm1", 2);
    subscribe (&s, "pool.", 2);
    is_pool (&s, "pool.vm1", 2);
    is_pool (&s, "pool.vm2", 7);
    finish (&s);
}

static void what_rests_is_repeated_with_its_number (void **state)
{
    struct scene s;

    start (&s, state);
    subscribe (&s, "", 0);
    publish (&s, "vm1", 1, false, 1000);
    publish (&s, "vm2", 5, false, 1400);
    is_pool (&s, "pool.vm1", 1);
    is_pool (&s, "pool.vm2", 5);
    herald_repeat (s.herald, 500, 1499); // nothing is due
    herald_repeat (s.herald, 500, 1500);
    is_pool (&s, "pool.vm1", 1);
    herald_repeat (s.herald, 500, 1900); // vm1 was sent 400 ms ago
    is_pool (&s, "pool.vm2", 5);
    publish (&s, "vm1", 2, false, 1950);
    is_pool (&s, "pool.vm1", 2);
    finish (&s);
}

static void what_is_gone_is_repeated_once (void **state)
{
    struct scene s;

    start (&s, state);
    subscribe (&s, "pool.vm", 0);
    publish (&s, "vm1", 1, false, 0);
    publish (&s, "vm1", 2, true, 10);
    publish (&s, "vm2", 1, false, 10);
    is_pool (&s, "pool.vm1", 1);
    is_pool (&s, "pool.vm1", 2);
    is_pool (&s, "pool.vm2", 1);
    herald_repeat (s.herald, 500, 510);
    is_pool (&s, "pool.vm2", 1);
    is_pool (&s, "pool.vm1", 2);
    assert_true (s.msg.pool.gone);
    herald_repeat (s.herald, 500, 1010);
    is_pool (&s, "pool.vm2", 1); // alone
    subscribe (&s, "pool.", 1);
    is_pool (&s, "pool.vm2", 1);
    publish (&s, "vm1", 3, false, 1020); // it comes back, and stays
    is_pool (&s, "pool.vm1", 3);
    herald_repeat (s.herald, 500, 1520);
    is_pool (&s, "pool.vm1", 3);
    finish (&s);
}

static void many_topics_come_in_portions (void **state)
{
    struct scene s;
    char host[16];
    size_t caught_up = 0, seen = 0;

    start (&s, state);
    for (unsigned i = 0; i < 3000; i++) {
        snprintf (host, sizeof host, "h%u", i);
        publish (&s, host, 1, false, 0);
    }
    subscribe (&s, "", 256);
    assert_true (herald_is_behind (s.herald));
    for (caught_up = 256; herald_is_behind (s.herald);) {
        while (seen < caught_up && comes (&s, PATIENCE_MS))
            seen++;
        caught_up += herald_catch_up (s.herald);
    }
    while (seen < caught_up && comes (&s, PATIENCE_MS))
        seen++;
    assert_int_equal (seen, 3000);
    assert_int_equal (caught_up, 3000);
    finish (&s);
}

#define T(f) cmocka_unit_test_setup_teardown (f, scratch_make, scratch_remove)

int main (void)
{
    const struct CMUnitTest tests[] = {
        T (late_subscriber_gets_the_last_value),
        T (what_rests_is_repeated_with_its_number),
        T (what_is_gone_is_repeated_once),
        T (many_topics_come_in_portions),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
