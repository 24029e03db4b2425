/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "commands/topics.h"

static char *printed;
static size_t printed_size;

static FILE *print (void)
{
    free (printed);
    return open_memstream (&printed, &printed_size);
}

#define is_printed(call, expected)                                             \
    do {                                                                       \
        FILE *out = print ();                                                  \
                                                                               \
        call;                                                                  \
        fclose (out);                                                          \
        assert_string_equal (printed, expected);                               \
    } while (0)

static void a_gap_is_said_with_its_numbers (void **state)
{
    (void) state;
    is_printed (topic_gap (out, "health.vm1", 12, 14),
                "gap health.vm1: 3 lost (12-14)\n");
    is_printed (topic_gap (out, "a\x1b", 12, 12), "gap a\\x1b: 1 lost (12)\n");
    is_printed (topic_gap_json (out, "pool.\xff", 12, 14),
                "{\"schema\":1,\"gap\":{\"topic\":\"pool.\\\\xff\","
                "\"first\":12,\"last\":14}}\n");
}

static struct msg msg;

static void each_message_has_its_words (void **state)
{
    (void) state;
    message_init (&msg, VERB_POOL);
    msg.pool.in_use = 10;
    msg.pool.max_slots = msg.pool.effective = 20;
    msg.pool.waiting = 2;
    is_printed (topic_words (out, &msg), "10/20 used, 2 waiting");
    msg.pool.effective = 12;
    strcpy (msg.pool.cause, "memory 91.0% of 90%");
    is_printed (topic_words (out, &msg),
                "10/20 used (effective 12: memory 91.0% of 90%), 2 waiting");
    message_init (&msg, VERB_LEASE);
    strcpy (msg.lease.project, "consilio");
    is_printed (topic_words (out, &msg), "consilio holds 0");
    msg.lease.held = 4;
    msg.lease.limbo = 1;
    is_printed (topic_words (out, &msg), "consilio holds 5 (1 in limbo)");
    message_init (&msg, VERB_QUEUE);
    strcpy (msg.queue.project, "odin");
    is_printed (topic_words (out, &msg), "odin waits for nothing");
    msg.queue.waiting = 5;
    msg.queue.requests_count = 1;
    msg.queue.requests[0] = (struct row_waiter){.position = 1};
    msg.queue.requests[0].slots_ahead = 3;
    strcpy (msg.queue.requests[0].reason, "SLOTS");
    is_printed (topic_words (out, &msg),
                "odin waits for 5: position 1, 3 slots ahead, SLOTS; ETA "
                "unknown");
    strcpy (msg.queue.requests[0].detail, "2 of 8 free, 5 wanted");
    strcpy (msg.queue.requests[0].unblocks, "3 slots: a's auth");
    msg.queue.requests[0].eta_low_s = 120;
    msg.queue.requests[0].eta_high_s = 300;
    is_printed (topic_words (out, &msg),
                "odin waits for 5: position 1, 3 slots ahead, SLOTS: 2 of 8 "
                "free, 5 wanted; ETA 2-5 minutes; goes on with 3 slots: a's "
                "auth");
    message_init (&msg, VERB_BROKER);
    msg.broker.epoch = 3;
    msg.broker.sessions = 4;
    is_printed (topic_words (out, &msg), "epoch 3, 4 sessions");
}

static void a_host_that_nobody_looks_at_is_shown_as_unknown (void **state)
{
    (void) state;
    message_init (&msg, VERB_HEALTH);
    strcpy (msg.health.level, "unknown");
    msg.health.gone = true;
    is_printed (topic_words (out, &msg), "unknown");
    message_init (&msg, VERB_POOL);
    msg.pool.gone = true;
    is_printed (topic_words (out, &msg), "gone");
}

static void json_has_every_key_and_null_for_what_is_unknown (void **state)
{
    FILE *stream;

    (void) state;
    message_init (&msg, VERB_LEASE);
    msg.lease.number = 7;
    msg.lease.epoch = 2;
    strcpy (msg.lease.project, "p");
    msg.lease.held = 2;
    u64s_add (&msg.lease.tokens, 17);
    u64s_add (&msg.lease.tokens, 18);
    is_printed (topic_json (out, "lease.p", &msg),
                "{\"schema\":1,\"topic\":\"lease.p\",\"verb\":\"LEASE\","
                "\"number\":7,\"epoch\":2,\"project\":\"p\",\"held\":2,"
                "\"limbo\":0,\"tokens\":[17,18],\"gone\":false}\n");
    message_init (&msg, VERB_HEALTH);
    strcpy (msg.health.host, "a\n\xc3");
    msg.health.cpu_percent = 45.25;
    stream = print ();
    topic_json (stream, "health.a", &msg);
    fclose (stream);
    assert_non_null (strstr (printed, "\"host\":\"a\\\\x0a\\\\xc3\""));
    assert_non_null (strstr (printed, "\"load1\":null"));
    assert_non_null (strstr (printed, "\"cpu_percent\":45.3"));
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_gap_is_said_with_its_numbers),
        cmocka_unit_test (each_message_has_its_words),
        cmocka_unit_test (a_host_that_nobody_looks_at_is_shown_as_unknown),
        cmocka_unit_test (json_has_every_key_and_null_for_what_is_unknown),
    };
    int failed = cmocka_run_group_tests (tests, NULL, NULL);

    free (printed);
    return failed;
}
