/* SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "access.h"

enum { OWN = 500, MEMBER = 1000, OTHER_MEMBER = 1001, NOBODY = 4000 };

static struct settings settings;

/* alpha is MEMBER's, beta OTHER_MEMBER's, open has no list. */
static int two_projects (void **state)
{
    static const char *const names[] = {"alpha", "beta", "open"};

    (void) state;
    memset (&settings, 0, sizeof settings);
    settings.project_count = 3;
    for (unsigned i = 0; i < 3; i++) {
        strcpy (settings.projects[i].name, names[i]);
        settings.projects[i].uid_count = i < 2;
        settings.projects[i].uids[0] = MEMBER + i;
    }
    return 0;
}

static struct msg *a_message (enum verb verb)
{
    static struct msg msg;

    message_init (&msg, verb);
    return &msg;
}

static bool may (enum role role, enum verb verb)
{
    return access_role (1u << role, a_message (verb)) == role;
}

/* The table of the design, cell by cell. Columns: stranger, observer, project,
 * operator, admin. Verbs that a broker does not hear are said by nobody. */
static void every_role_may_say_what_the_table_says (void **state)
{
    static const struct {
        enum verb verb;
        const char *may;
    } table[] = {
        {VERB_HELLO, "--P--"},      {VERB_BEAT, "--P--"},
        {VERB_REQUEST, "--P--"},    {VERB_CANCEL, "--P--"},
        {VERB_RELEASE, "--P--"},    {VERB_STARTED, "--P--"},
        {VERB_REAPED, "--P--"},     {VERB_PROGRESS, "--P--"},
        {VERB_PARK, "--P--"},       {VERB_SAMPLE, "--P--"},
        {VERB_BYE, "--P--"},        {VERB_STATUS, "-OPOA"},
        {VERB_KILL, "--POA"},       {VERB_SET_MAX, "----A"},
        {VERB_SET_POLICY, "----A"}, {VERB_SET_PRIORITY, "----A"},
        {VERB_RELIEVE, "----A"},    {VERB_FOOTPRINT, "--P--"},
        {VERB_PAUSE, "--POA"},      {VERB_RESUME, "--POA"},
        {VERB_HISTORY, "--POA"},
    };
    unsigned listed = 0;

    (void) state;
    for (enum verb verb = VERB_NONE; verb < VERB_COUNT; verb++) {
        const char *row = "-----";

        for (size_t i = 0; i < sizeof table / sizeof *table; i++)
            if (table[i].verb == verb) {
                row = table[i].may;
                listed++;
            }
        for (enum role role = ROLE_OBSERVER; role <= ROLE_ADMIN; role++)
            if (may (role, verb) != (row[role] != '-'))
                fail_msg ("%s as role %d", verb_name (verb), (int) role);
    }
    assert_int_equal (listed, sizeof table / sizeof *table);
}

static void unknown_verb_is_nobodys (void **state)
{
    struct msg *msg = a_message (VERB_STATUS);

    (void) state;
    msg->verb = VERB_COUNT;
    assert_int_equal (access_role (~0u, msg), ROLE_STRANGER);
}

static void owner_and_root_hold_every_role (void **state)
{
    const char *why;

    (void) state;
    assert_int_equal (
        access_judge (&settings, OWN, OWN, a_message (VERB_SET_MAX), &why),
        ROLE_ADMIN);
    assert_int_equal (
        access_judge (&settings, OWN, 0, a_message (VERB_SET_MAX), &why),
        ROLE_ADMIN);
    assert_int_equal (
        access_judge (&settings, OWN, OWN, a_message (VERB_BEAT), &why),
        ROLE_PROJECT);
}

static enum role hello (uint32_t uid, const char *project)
{
    struct msg *msg = a_message (VERB_HELLO);
    const char *why = NULL;
    enum role role;

    strcpy (msg->hello.project, project);
    role = access_judge (&settings, OWN, uid, msg, &why);
    assert_true (role != ROLE_STRANGER || why);
    return role;
}

static void member_acts_for_its_own_project_only (void **state)
{
    (void) state;
    assert_int_equal (hello (MEMBER, "alpha"), ROLE_PROJECT);
    assert_int_equal (hello (MEMBER, "beta"), ROLE_STRANGER);
    assert_int_equal (hello (MEMBER, "open"), ROLE_STRANGER);
    assert_int_equal (hello (MEMBER, "unheard-of"), ROLE_STRANGER);
    assert_int_equal (hello (OTHER_MEMBER, "beta"), ROLE_PROJECT);
    assert_int_equal (hello (OWN, "beta"), ROLE_PROJECT);
    assert_int_equal (hello (OWN, "unheard-of"), ROLE_PROJECT);
}

static void assert_in_its_own_project_only (struct msg *msg, char *project)
{
    const char *why;

    strcpy (project, "beta");
    assert_int_equal (access_judge (&settings, OWN, MEMBER, msg, &why),
                      ROLE_STRANGER);
    strcpy (project, "alpha");
    assert_int_equal (access_judge (&settings, OWN, MEMBER, msg, &why),
                      ROLE_PROJECT);
    assert_int_equal (access_judge (&settings, OWN, OWN, msg, &why),
                      ROLE_ADMIN);
}

static void
history_is_the_projects_own_and_its_days_are_for_observers (void **state)
{
    struct msg *msg = a_message (VERB_HISTORY);
    const char *why = NULL;

    (void) state;
    assert_in_its_own_project_only (msg, msg->history.project);
    msg->history.project[0] = 0; // of all
    assert_int_equal (access_judge (&settings, OWN, MEMBER, msg, &why),
                      ROLE_STRANGER);
    assert_non_null (strstr (why, "name a project"));
    assert_int_equal (access_role (1u << ROLE_OBSERVER, msg), ROLE_STRANGER);
    msg->history.days = true;
    assert_int_equal (access_judge (&settings, OWN, MEMBER, msg, &why),
                      ROLE_OBSERVER);
    assert_int_equal (access_role (1u << ROLE_OBSERVER, msg), ROLE_OBSERVER);
}

static void member_kills_and_pauses_in_its_own_project_only (void **state)
{
    struct msg *msg = a_message (VERB_KILL);

    (void) state;
    assert_in_its_own_project_only (msg, msg->kill.project);
    msg = a_message (VERB_PAUSE);
    assert_in_its_own_project_only (msg, msg->pause.project);
    msg = a_message (VERB_RESUME);
    assert_in_its_own_project_only (msg, msg->resume.project);
}

static void uid_that_is_nowhere_listed_may_nothing (void **state)
{
    const char *why;

    (void) state;
    assert_int_equal (hello (NOBODY, "open"), ROLE_STRANGER);
    assert_int_equal (
        access_judge (&settings, OWN, NOBODY, a_message (VERB_STATUS), &why),
        ROLE_STRANGER);
    assert_non_null (strstr (why, "uids"));
}

static void forced_release_is_the_administrators (void **state)
{
    struct msg *msg = a_message (VERB_RELEASE);
    const char *why;

    (void) state;
    msg->release.force = true;
    assert_int_equal (access_judge (&settings, OWN, MEMBER, msg, &why),
                      ROLE_STRANGER);
    assert_int_equal (access_judge (&settings, OWN, OWN, msg, &why),
                      ROLE_ADMIN);
    msg->release.force = false;
    assert_int_equal (access_judge (&settings, OWN, MEMBER, msg, &why),
                      ROLE_PROJECT);
}

static void peer_over_plain_tcp_is_any_project_but_no_administrator (void **st)
{
    const char *why;

    (void) st;
    assert_int_equal (hello (ACCESS_NO_UID, "alpha"), ROLE_PROJECT);
    assert_int_equal (access_judge (&settings, OWN, ACCESS_NO_UID,
                                    a_message (VERB_STATUS), &why),
                      ROLE_PROJECT);
    assert_int_equal (access_judge (&settings, OWN, ACCESS_NO_UID,
                                    a_message (VERB_SET_MAX), &why),
                      ROLE_STRANGER);
    // not even where the broker's own uid happens to be that number
    assert_int_equal (access_judge (&settings, ACCESS_NO_UID, ACCESS_NO_UID,
                                    a_message (VERB_SET_MAX), &why),
                      ROLE_STRANGER);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup (every_role_may_say_what_the_table_says,
                                two_projects),
        cmocka_unit_test_setup (unknown_verb_is_nobodys, two_projects),
        cmocka_unit_test_setup (owner_and_root_hold_every_role, two_projects),
        cmocka_unit_test_setup (member_acts_for_its_own_project_only,
                                two_projects),
        cmocka_unit_test_setup (member_kills_and_pauses_in_its_own_project_only,
                                two_projects),
        cmocka_unit_test_setup (
            history_is_the_projects_own_and_its_days_are_for_observers,
            two_projects),
        cmocka_unit_test_setup (uid_that_is_nowhere_listed_may_nothing,
                                two_projects),
        cmocka_unit_test_setup (forced_release_is_the_administrators,
                                two_projects),
        cmocka_unit_test_setup (
            peer_over_plain_tcp_is_any_project_but_no_administrator,
            two_projects),
    };

    return cmocka_run_group_tests (tests, NULL, NULL);
}
