/* SPDX-License-Identifier: MPL-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/message.h"

static void every_error_has_a_name_and_a_sentence (void **s)
{
    (void) s;
    for (unsigned e = ERR_NONE + 1; e < ERR_COUNT; e++) {
        assert_int_equal (err_of_name (err_name (e)), e);
        assert_true (strlen (err_text (e)) > 0);
        assert_true (strlen (err_name (e)) <= 16); // what "error" holds
    }
    assert_string_equal (err_name (ERR_EXCEEDS_MAX), "EXCEEDS_MAX");
    assert_string_equal (err_name (ERR_NONE), "NONE");
    assert_string_equal (err_name (ERR_COUNT), "?");
    assert_string_equal (err_name ((enum err) - 1), "?");
    assert_non_null (err_text ((enum err) - 1));
    assert_int_equal (err_of_name ("NONE"), ERR_COUNT);
    assert_int_equal (err_of_name (""), ERR_COUNT);
    assert_int_equal (err_of_name ("exceeds_max"), ERR_COUNT);
}

static void every_verb_has_a_name_and_a_table (void **s)
{
    (void) s;
    for (unsigned v = VERB_NONE + 1; v < VERB_COUNT; v++) {
        const char *name = verb_name (v);

        assert_int_equal (verb_of_name (name, strlen (name)), v);
        assert_true (strlen (name) <= 16); // what "re" holds
        assert_non_null (message_fields (v));
        assert_int_equal (message_fields (v)->size, message_size (v));
        assert_true (message_size (v) > 0);
    }
    assert_string_equal (verb_name (VERB_NONE), "NONE");
    assert_string_equal (verb_name (VERB_COUNT), "?");
    assert_null (message_fields (VERB_NONE));
    assert_null (message_fields (VERB_COUNT));
    assert_int_equal (message_size (VERB_NONE), 0);
    assert_int_equal (message_size (VERB_COUNT), 0);
    assert_int_equal (verb_of_name ("NONE", 4), VERB_NONE);
    assert_int_equal (verb_of_name ("HELL", 4), VERB_NONE);
    assert_int_equal (verb_of_name ("HELLOO", 6), VERB_NONE);
    assert_int_equal (verb_of_name ("HELLOO", 5), VERB_HELLO);
    assert_int_equal (verb_of_name ("", 0), VERB_NONE);
}

static size_t end_of (const struct field *f)
{
    switch (f->kind) {
    case KIND_U64: return f->offset + sizeof (uint64_t);
    case KIND_BOOL: return f->offset + sizeof (bool);
    case KIND_F64: return f->offset + sizeof (double);
    case KIND_STR:
    case KIND_KEY: return f->offset + f->max + 1;
    case KIND_U64S: return f->items + MAX_HELD * sizeof (uint64_t);
    case KIND_ROWS: return f->items + f->max * f->row->size;
    }
    return SIZE_MAX;
}

static void check_table (const struct fields *fields)
{
    size_t end = 0;

    assert_true (fields->since <= PROTOCOL_MINOR);
    for (unsigned i = 0; i < fields->count; i++) {
        const struct field *f = &fields->at[i];

        assert_true (f->offset >= end); // in order, and nothing overlaps
        end = end_of (f);
        assert_true (end <= fields->size);
        assert_true (f->min <= f->max);
        assert_true (f->since <= PROTOCOL_MINOR);
        assert_true (strlen (f->key) > 0 && strlen (f->key) <= 24);
        assert_string_not_equal (f->key, "verb");
        for (unsigned j = 0; j < i; j++)
            assert_string_not_equal (f->key, fields->at[j].key);
        if (f->kind == KIND_U64S)
            assert_true (f->max <= MAX_HELD);
        if (f->kind == KIND_ROWS)
            check_table (f->row);
    }
}

static void the_table_fits_the_structures (void **s)
{
    const struct fields *hello = message_fields (VERB_HELLO);

    (void) s;
    for (unsigned v = VERB_NONE + 1; v < VERB_COUNT; v++)
        check_table (message_fields (v));
    assert_string_equal (hello->at[0].key, "nonce");
    assert_string_equal (hello->at[7].unit, "ticks");
    assert_true (hello->at[0].required);
    assert_false (hello->at[2].required);
    assert_int_equal (hello->at[1].max, MAX_KEY_BYTES);
    assert_int_equal (hello->from, FROM_CLIENT);
    assert_int_equal (message_fields (VERB_HEALTH)->from, FROM_TOPIC);
    assert_int_equal (message_fields (VERB_SPAWN)->from, FROM_LOCAL);
}

static void an_empty_message_is_zero_and_its_figures_unknown (void **s)
{
    static struct msg msg;

    (void) s;
    memset (&msg, 0xee, sizeof msg);
    message_init (&msg, VERB_PROGRESS);
    assert_int_equal (msg.verb, VERB_PROGRESS);
    assert_int_equal (msg.progress.session, 0);
    assert_string_equal (msg.progress.label, "");
    assert_false (msg.progress.validating);
    assert_true (isnan (msg.progress.percent));

    message_init (&msg, VERB_STATUS_OK);
    assert_int_equal (msg.status_ok.hosts_count, 0);
    assert_int_equal (msg.status_ok.next, 0);
    assert_string_equal (msg.status_ok.policy, "");
}

static void rows_that_are_not_in_use_are_not_touched (void **s)
{
    static struct msg_beat_ok ok, to;
    static const struct row_granted grant = {1, 2, 3};

    (void) s;
    memset (&ok, 0xee, sizeof ok);
    message_init_fields (&ok, VERB_BEAT_OK);
    assert_int_equal (ok.stops.count, 0);
    assert_int_equal (ok.stops.at[0], 0xeeeeeeeeeeeeeeee);
    assert_int_equal (ok.grants[0].seq, 0xeeeeeeeeeeeeeeee);

    ok.epoch = 7;
    ok.idle_ms = 8;
    ok.grants[ok.grants_count++] = grant;
    u64s_add (&ok.stops, 9);
    memset (&to, 0xdd, sizeof to);
    message_copy (&to, &ok, VERB_BEAT_OK);
    assert_int_equal (to.epoch, 7);
    assert_int_equal (to.idle_ms, 8);
    assert_int_equal (to.grants_count, 1);
    assert_memory_equal (&to.grants[0], &grant, sizeof grant);
    assert_int_equal (to.grants[1].seq, 0xdddddddddddddddd);
    assert_int_equal (to.stops.count, 1);
    assert_int_equal (to.stops.at[0], 9);
    assert_int_equal (to.stops.at[1], 0xdddddddddddddddd);
    assert_int_equal (to.endings_count, 0);
    assert_int_equal (to.endings[0].notice_ms, 0xdddddddddddddddd);

    ok.grants_count = UINT32_MAX; // which no message can say
    message_copy (&to, &ok, VERB_BEAT_OK);
    assert_int_equal (to.epoch, 7);
    assert_int_equal (to.grants_count, UINT32_MAX);
}

static void an_init_touches_only_its_own_structure (void **s)
{
    static struct msg msg;
    const unsigned char *bytes = (const unsigned char *) &msg.bye;

    (void) s;
    memset (&msg, 0xee, sizeof msg);
    message_init (&msg, VERB_BYE);
    assert_int_equal (bytes[message_size (VERB_BYE)], 0xee);
    message_init_fields (&msg.bye, VERB_NONE);
    message_init_fields (&msg.bye, VERB_COUNT);
    assert_int_equal (bytes[message_size (VERB_BYE)], 0xee);
}

static void a_bare_structure_and_a_row_are_made_empty_too (void **s)
{
    struct msg_progress progress;
    struct row_agent agent;
    const struct fields *status = message_fields (VERB_STATUS_OK);

    (void) s;
    memset (&progress, 0xee, sizeof progress);
    message_init_fields (&progress, VERB_PROGRESS);
    assert_int_equal (progress.phase, 0);
    assert_true (isnan (progress.percent));

    memset (&agent, 0xee, sizeof agent);
    for (unsigned i = 0; i < status->count; i++) {
        if (strcmp (status->at[i].key, "agents") == 0)
            row_init (&agent, status->at[i].row);
    }
    assert_int_equal (agent.token, 0);
    assert_true (isnan (agent.percent));
}

static void a_project_key_has_its_pattern (void **s)
{
    char longest[MAX_KEY_BYTES + 2];

    (void) s;
    assert_true (project_key_valid ("a"));
    assert_true (project_key_valid ("0"));
    assert_true (project_key_valid ("health-agent"));
    assert_true (project_key_valid ("a.b_c-d9"));
    assert_false (project_key_valid (""));
    assert_false (project_key_valid ("."));
    assert_false (project_key_valid (".."));
    assert_false (project_key_valid ("-rf"));
    assert_false (project_key_valid ("_a"));
    assert_false (project_key_valid ("Odin"));
    assert_false (project_key_valid ("a/b"));
    assert_false (project_key_valid ("a b"));
    assert_false (project_key_valid ("a\n"));
    assert_false (project_key_valid ("\xc3\xa4"));
    memset (longest, 'x', sizeof longest);
    longest[MAX_KEY_BYTES + 1] = '\0';
    assert_false (project_key_valid (longest));
    longest[MAX_KEY_BYTES] = '\0';
    assert_true (project_key_valid (longest));
}

static void a_name_becomes_a_key_in_lower_case (void **s)
{
    char key[MAX_KEY_BYTES + 1];
    char longest[MAX_KEY_BYTES + 2];

    (void) s;
    assert_int_equal (project_key_of ("OpenHorizon", key), 0);
    assert_string_equal (key, "openhorizon");
    assert_int_equal (project_key_of ("../etc", key), -1);
    assert_string_equal (key, "");
    assert_int_equal (project_key_of ("", key), -1);
    memset (longest, 'X', sizeof longest);
    longest[MAX_KEY_BYTES + 1] = '\0';
    assert_int_equal (project_key_of (longest, key), -1);
    assert_string_equal (key, "");
    longest[MAX_KEY_BYTES] = '\0';
    assert_int_equal (project_key_of (longest, key), 0);
    assert_int_equal (strlen (key), MAX_KEY_BYTES);
}

static void a_full_list_takes_no_more (void **s)
{
    static struct u64s list;

    (void) s;
    assert_false (u64s_has (&list, 0));
    for (uint64_t i = 1; i <= MAX_HELD; i++)
        assert_true (u64s_add (&list, i));
    assert_false (u64s_add (&list, 9999));
    assert_int_equal (list.count, MAX_HELD);
    assert_true (u64s_has (&list, 1));
    assert_true (u64s_has (&list, MAX_HELD));
    assert_false (u64s_has (&list, 9999));
}

static void text_is_copied_as_far_as_it_fits (void **s)
{
    char to[4];

    (void) s;
    assert_string_equal (copy_text (to, sizeof to, "ab"), "ab");
    assert_string_equal (copy_text (to, sizeof to, "abc"), "abc");
    assert_string_equal (copy_text (to, sizeof to, "abcd"), "abc");
    assert_string_equal (copy_text (to, 1, "abcd"), "");
    assert_ptr_equal (copy_text (to, sizeof to, ""), to);
    assert_string_equal (to, "");
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (every_error_has_a_name_and_a_sentence),
        cmocka_unit_test (every_verb_has_a_name_and_a_table),
        cmocka_unit_test (the_table_fits_the_structures),
        cmocka_unit_test (an_empty_message_is_zero_and_its_figures_unknown),
        cmocka_unit_test (rows_that_are_not_in_use_are_not_touched),
        cmocka_unit_test (an_init_touches_only_its_own_structure),
        cmocka_unit_test (a_bare_structure_and_a_row_are_made_empty_too),
        cmocka_unit_test (a_project_key_has_its_pattern),
        cmocka_unit_test (a_name_becomes_a_key_in_lower_case),
        cmocka_unit_test (a_full_list_takes_no_more),
        cmocka_unit_test (text_is_copied_as_far_as_it_fits),
    };

    return cmocka_run_group_tests (tests, NULL, NULL);
}
