/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "core/memory.h"
#include "core/outbox.h"
#include "core/table.h"

struct item {
    uint64_t key;
    unsigned value;
};

static void put (struct table *t, uint64_t key)
{
    struct item *item = new_zeroed (sizeof *item);

    item->key = key;
    item->value = (unsigned) key * 2;
    table_add (t, item);
}

static void items_are_in_order_however_they_come (void **state)
{
    struct table t = {0};
    (void) state;

    for (uint64_t i = 0; i < 1000; i++)
        put (&t, i * 7919 % 1000); // every number once
    assert_int_equal (t.count, 1000);
    for (uint64_t i = 0; i < 1000; i++)
        assert_int_equal (((struct item *) t.at[i])->key, i);
    table_clear (&t);
}

static void item_is_found_by_its_key_until_it_is_removed (void **state)
{
    struct table t = {0};
    struct item *five;
    (void) state;

    assert_null (table_find (&t, 5));
    table_remove (&t, 5);
    for (uint64_t key = 9; key <= 9; key -= 2)
        put (&t, key);
    five = table_find (&t, 5);
    assert_int_equal (five->value, 10);
    for (uint64_t key = 11; key < 100; key += 2)
        put (&t, key);
    assert_ptr_equal (table_find (&t, 5), five); // its address is good
    assert_null (table_find (&t, 6));
    assert_int_equal (table_place (&t, 6), 3);
    table_remove (&t, 6);
    table_remove (&t, 5);
    assert_null (table_find (&t, 5));
    assert_int_equal (t.count, 49);
    table_clear (&t);
    assert_int_equal (t.count, 0);
}

/* ---- outbox ---- */

static const struct path somewhere = {.size = 3, .id = {1, 2, 3}};

static void outbox_keeps_copies_while_it_grows (void **state)
{
    struct outbox *o = outbox_create ();
    struct msg_ok ok;
    (void) state;

    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 300; i++) {
            message_init_fields (&ok, VERB_OK);
            ok.seq = i;
            outbox_send (o, &somewhere, VERB_OK, &ok);
            outbox_journal (o, JOURNAL_ALARM, "line %u", i);
        }
        assert_int_equal (outbox_sent (o), 300);
        for (unsigned i = 0; i < 300; i++) {
            struct outgoing m = outbox_outgoing (o, i);

            assert_int_equal (m.verb, VERB_OK);
            assert_int_equal (m.to.id[2], 3);
            assert_int_equal (((const struct msg_ok *) m.fields)->seq, i);
        }
        outbox_clear (o);
        assert_int_equal (outbox_sent (o), 0);
        assert_int_equal (outbox_lines (o), 0);
    }
    outbox_destroy (o);
    outbox_destroy (NULL);
}

static void outbox_hands_on_what_must_be_stored (void **state)
{
    struct outbox *o = outbox_create ();
    struct session_record r = {.id = 7};
    struct change c;
    enum journal_level level;
    (void) state;

    copy_text (r.project, sizeof r.project, "odin");
    outbox_change (o, CHANGE_SESSION, 7, &r);
    r.id = 8;
    outbox_change (o, CHANGE_LEASE, 9, NULL);
    c = outbox_change_at (o, 0);
    assert_int_equal (c.kind, CHANGE_SESSION);
    assert_int_equal (((const struct session_record *) c.record)->id, 7);
    c = outbox_change_at (o, 1);
    assert_true (c.deleted);
    assert_null (c.record);
    assert_int_equal (c.key, 9);

    assert_false (outbox_flush (o));
    outbox_require_flush (o);
    assert_true (outbox_flush (o));
    outbox_journal (o, JOURNAL_ALARM, "%2000d", 1); // cut, not overrun
    assert_int_equal (strlen (outbox_line (o, 0, &level)), 639);
    assert_int_equal (level, JOURNAL_ALARM);
    outbox_clear (o);
    assert_false (outbox_flush (o));
    outbox_destroy (o);
}

static void outbox_sends_nothing_nowhere (void **state)
{
    struct outbox *o = outbox_create ();
    const struct path nowhere = {0};
    struct msg_ok ok = {.seq = 1};
    (void) state;

    outbox_send (o, &nowhere, VERB_OK, &ok);
    assert_int_equal (outbox_sent (o), 0);
    outbox_destroy (o);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (items_are_in_order_however_they_come),
        cmocka_unit_test (item_is_found_by_its_key_until_it_is_removed),
        cmocka_unit_test (outbox_keeps_copies_while_it_grows),
        cmocka_unit_test (outbox_hands_on_what_must_be_stored),
        cmocka_unit_test (outbox_sends_nothing_nowhere),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
