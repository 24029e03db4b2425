/* SPDX-License-Identifier: MPL-2.0 */
/* Which rows a broker can have written: those that messages can carry. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "rows.h"

static const struct lease_record good_lease = {.token = 17,
                                               .first = 16,
                                               .project = "a",
                                               .state = LEASE_ACTIVE,
                                               .count = 2,
                                               .asked = 2};

#define ASSERT_LEASE(field, value, sound)                                      \
    do {                                                                       \
        struct lease_record r = good_lease;                                    \
        r.field = value;                                                       \
        assert_int_equal (rows_sound (&rows_lease, &r), sound);                \
    } while (0)

static void lease_without_a_project_is_not_sound (void **state)
{
    struct lease_record r = good_lease;

    (void) state;
    assert_true (rows_sound (&rows_lease, &r));
    copy_text (r.project, sizeof r.project, "../a");
    assert_false (rows_sound (&rows_lease, &r));
    r.project[0] = 0;
    assert_false (rows_sound (&rows_lease, &r));
}

static void lease_of_numbers_that_no_message_carries_is_not_sound (void **state)
{
    (void) state;
    ASSERT_LEASE (token, INT64_MAX, true);
    ASSERT_LEASE (token, 1 + (uint64_t) INT64_MAX, false);
    ASSERT_LEASE (first, 0, false);
    ASSERT_LEASE (cookie, UINT64_MAX, false);
    ASSERT_LEASE (state, LEASE_NONE, false);
    ASSERT_LEASE (state, LEASE_PARKED, true);
    ASSERT_LEASE (state, (enum lease_state) 5, false);
    ASSERT_LEASE (count, 0, false);
    ASSERT_LEASE (asked, MAX_SLOTS + 1, false);
    ASSERT_LEASE (supervisor.pid, -1, false);
    ASSERT_LEASE (agent.start, -1, false);
    ASSERT_LEASE (phases, 1001, false);
    ASSERT_LEASE (waited_ms, -1, false);
    ASSERT_LEASE (eta_low_ms, -1, false);
    ASSERT_LEASE (eta_high_ms, -1, false);
}

static void session_needs_an_id_and_a_project (void **state)
{
    struct session_record r = {.id = UINT64_MAX, .project = "a"};

    (void) state;
    assert_true (rows_sound (&rows_session, &r));
    r.id = 0;
    assert_false (rows_sound (&rows_session, &r));
    r = (struct session_record){.id = 5, .project = "A"};
    assert_false (rows_sound (&rows_session, &r));
}

static void waiter_wants_at_least_its_least (void **state)
{
    struct waiter_record r = {.number = 1, .seq = 1, .count = 2, .min = 2};

    (void) state;
    assert_true (rows_sound (&rows_waiter, &r));
    r.min = 3;
    assert_false (rows_sound (&rows_waiter, &r));
    r.min = 0;
    assert_false (rows_sound (&rows_waiter, &r));
    r.min = 1;
    r.parked = 1 + (uint64_t) INT64_MAX;
    assert_false (rows_sound (&rows_waiter, &r));
}

static void project_needs_a_name_and_a_priority_that_there_is (void **state)
{
    struct project_record r = {.number = 1, .name = "a", .priority = 1000};

    (void) state;
    assert_true (rows_sound (&rows_project, &r));
    r.priority = 1001;
    assert_false (rows_sound (&rows_project, &r));
    r = (struct project_record){.number = 1, .name = "A"};
    assert_false (rows_sound (&rows_project, &r));
    r = (struct project_record){.number = 0, .name = "a"};
    assert_false (rows_sound (&rows_project, &r));
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (lease_without_a_project_is_not_sound),
        cmocka_unit_test (
            lease_of_numbers_that_no_message_carries_is_not_sound),
        cmocka_unit_test (session_needs_an_id_and_a_project),
        cmocka_unit_test (waiter_wants_at_least_its_least),
        cmocka_unit_test (project_needs_a_name_and_a_priority_that_there_is),
    };

    return cmocka_run_group_tests (tests, NULL, NULL);
}
