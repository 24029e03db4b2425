/* SPDX-License-Identifier: MPL-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "bus/base.h"
#include "bus/endpoint.h"
#include "unit/bus/scratch.h"

static char error[2048];

#define refused(call, part)                                                    \
    do {                                                                       \
        error[0] = 0;                                                          \
        assert_int_equal (call, -1);                                           \
        assert_non_null (strstr (error, part));                                \
    } while (0)

static void given_folder_wins (void **state)
{
    char path[PATH_BYTES];

    (void) state;
    setenv ("SLOTBUS_RUNTIME_DIR", "/a/b/", 1);
    setenv ("RUNTIME_DIRECTORY", "/c", 1);
    assert_int_equal (folder_runtime (path, sizeof path, error, sizeof error),
                      0);
    assert_string_equal (path, "/a/b");
}

static void first_of_systemds_folders_is_ours (void **state)
{
    char path[PATH_BYTES];

    (void) state;
    setenv ("RUNTIME_DIRECTORY", "/run/one:/run/two", 1);
    setenv ("STATE_DIRECTORY", "/var/lib/one:/var/lib/two", 1);
    folder_runtime (path, sizeof path, error, sizeof error);
    assert_string_equal (path, "/run/one");
    folder_state (path, sizeof path, error, sizeof error);
    assert_string_equal (path, "/var/lib/one");
}

static void without_any_word_the_place_follows_the_uid (void **state)
{
    char path[PATH_BYTES], expected[PATH_BYTES];

    (void) state;
    assert_int_equal (folder_runtime (path, sizeof path, error, sizeof error),
                      0);
    snprintf (expected, sizeof expected, "/tmp/slotbus-%ld", (long) geteuid ());
    assert_string_equal (path, geteuid () ? expected : "/run/slotbus");
    setenv ("HOME", "/home/a", 1);
    assert_int_equal (folder_state (path, sizeof path, error, sizeof error), 0);
    assert_string_equal (path, geteuid () ? "/home/a/.local/state/slotbus"
                                          : "/var/lib/slotbus");
}

static void relative_folder_is_refused_by_name (void **state)
{
    char path[PATH_BYTES] = "old";

    (void) state;
    setenv ("SLOTBUS_STATE_DIR", "state", 1);
    refused (folder_state (path, sizeof path, error, sizeof error),
             "SLOTBUS_STATE_DIR");
    assert_string_equal (path, "old");
}

static void folder_is_made_with_its_parents_whatever_the_umask (void **state)
{
    const char *path = scratch_path (state, "x/y/z");
    struct stat st;
    mode_t old = umask (0077);

    assert_int_equal (folder_make (path, 0750, error, sizeof error), 0);
    umask (old);
    assert_int_equal (stat (path, &st), 0);
    assert_int_equal (st.st_mode & 07777, 0750);
    assert_int_equal (folder_make (path, 0750, error, sizeof error), 0);
}

static void folder_that_others_may_write_is_refused (void **state)
{
    const char *path = scratch_path (state, "x");

    assert_int_equal (mkdir (path, 0700), 0);
    assert_int_equal (chmod (path, 0720), 0);
    refused (folder_make (path, 0700, error, sizeof error), "chmod go-w");
    assert_int_equal (chmod (path, 0702), 0);
    refused (folder_make (path, 0700, error, sizeof error), "chmod go-w");
}

static void file_in_the_folders_place_is_refused (void **state)
{
    scratch_file (state, "x", "");
    refused (folder_make (scratch_path (state, "x"), 0700, error, sizeof error),
             "not a folder");
}

static void anothers_folder_is_refused (void **state)
{
    if (geteuid () != 0)
        skip ();
    assert_int_equal (mkdir (scratch_path (state, "x"), 0700), 0);
    assert_int_equal (chown (scratch_path (state, "x"), 12345, 12345), 0);
    refused (folder_make (scratch_path (state, "x"), 0700, error, sizeof error),
             "another user (uid 12345)");
    // nor by a link of theirs to a folder of ours
    assert_int_equal (mkdir (scratch_path (state, "own"), 0700), 0);
    assert_int_equal (
        symlink (scratch_path (state, "own"), scratch_path (state, "link")), 0);
    assert_int_equal (lchown (scratch_path (state, "link"), 12345, 12345), 0);
    refused (
        folder_make (scratch_path (state, "link"), 0700, error, sizeof error),
        "another user (uid 12345)");
}

static void project_has_a_private_folder_in_the_runtime_folder (void **state)
{
    char path[PATH_BYTES];
    struct stat st;

    setenv ("SLOTBUS_RUNTIME_DIR", scratch_path (state, "run"), 1);
    assert_int_equal (
        folder_project ("consilio", path, sizeof path, error, sizeof error), 0);
    assert_string_equal (path, scratch_path (state, "run/projects/consilio"));
    assert_int_equal (stat (path, &st), 0);
    assert_int_equal (st.st_mode & 07777, 0700);
    refused (folder_project ("../x", path, sizeof path, error, sizeof error),
             "not the name");
    refused (folder_project ("..", path, sizeof path, error, sizeof error),
             "not the name");
}

static void project_whose_sockets_would_not_fit_is_refused (void **state)
{
    char path[PATH_BYTES], key[65];

    memset (key, 'k', 64);
    key[64] = 0;
    setenv ("SLOTBUS_RUNTIME_DIR", scratch_path (state, "a-rather-long-folder"),
            1);
    refused (folder_project (key, path, sizeof path, error, sizeof error),
             "too long for a socket");
}

static void configuration_given_is_taken_unseen (void **state)
{
    char path[PATH_BYTES];

    (void) state;
    setenv ("SLOTBUS_CONFIG", "/b.yaml", 1);
    config_find ("a.yaml", path, sizeof path);
    assert_string_equal (path, "a.yaml");
    config_find (NULL, path, sizeof path);
    assert_string_equal (path, "/b.yaml");
}

static void configuration_is_the_first_that_exists (void **state)
{
    char path[PATH_BYTES];

    setenv ("HOME", scratch_path (state, "home"), 1);
    config_find (NULL, path, sizeof path);
    if (geteuid () != 0) {
        assert_string_equal (path, "");
        scratch_file (state, "home/supervisor/.resource-manager/slots.yaml",
                      "");
        config_find (NULL, path, sizeof path);
        assert_non_null (strstr (path, "/.resource-manager/slots.yaml"));
        scratch_file (state, "home/.config/slotbus/slots.yaml", "");
        config_find (NULL, path, sizeof path);
        assert_non_null (strstr (path, "/.config/slotbus/slots.yaml"));
    }
    setenv ("CONFIGURATION_DIRECTORY", scratch_path (state, "etc"), 1);
    scratch_file (state, "etc/slots.yaml", "");
    config_find (NULL, path, sizeof path);
    assert_string_equal (path, scratch_path (state, "etc/slots.yaml"));
}

static void sketchs_file_has_its_priorities_beside_it (void **state)
{
    char path[PATH_BYTES] = "old";
    const char *sketch =
        scratch_path (state, "supervisor/.resource-manager/slots.yaml");

    setenv ("HOME", *state, 1);
    scratch_file (state, "supervisor/.resource-manager/slots.yaml", "");
    assert_false (config_is_sketch (sketch, path, sizeof path));
    scratch_file (state, "supervisor/config.yaml", "");
    assert_true (config_is_sketch (sketch, path, sizeof path));
    assert_string_equal (path, scratch_path (state, "supervisor/config.yaml"));
    assert_false (config_is_sketch ("/etc/slots.yaml", path, sizeof path));
}

#define is_pair(given, expected_events, expected_runtime)                      \
    do {                                                                       \
        struct endpoints e_;                                                   \
                                                                               \
        assert_int_equal (endpoints_of (given, &e_), 0);                       \
        assert_string_equal (e_.bus, given);                                   \
        assert_string_equal (e_.events, expected_events);                      \
        assert_string_equal (e_.runtime, expected_runtime);                    \
    } while (0)

static void events_are_beside_the_bus (void **state)
{
    (void) state;
    is_pair ("ipc:///run/slotbus/broker", "ipc:///run/slotbus/events",
             "/run/slotbus");
    is_pair ("ipc:///run/slotbus/b2", "ipc:///run/slotbus/b2.events",
             "/run/slotbus");
    is_pair ("tcp://vm1:7557", "tcp://vm1:7558", "");
    is_pair ("tcp://[::1]:7557", "tcp://[::1]:7558", "");
    is_pair ("tcp://127.0.0.1:65534", "tcp://127.0.0.1:65535", "");
}

static void what_is_no_endpoint_is_refused (void **state)
{
    static const char *const wrong[] = {"",
                                        "broker",
                                        "udp://a:1",
                                        "inproc://a",
                                        "ipc://",
                                        "ipc://broker",
                                        "ipc://@abstract",
                                        "ipc:///run/",
                                        "tcp://vm1",
                                        "tcp://vm1:",
                                        "tcp://:7557",
                                        "tcp://vm1:0",
                                        "tcp://vm1:65535",
                                        "tcp://vm1:7557x",
                                        "tcp://vm1:+1",
                                        "tcp://vm1:99999999999999999999",
                                        "tcp://::1:7557",
                                        "tcp://vm 1:7557"};
    struct endpoints e = {"old", "", ""};

    (void) state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal (endpoints_of (wrong[i], &e), -1);
    assert_string_equal (e.bus, "old");
}

static void path_longer_than_a_sockets_is_refused (void **state)
{
    char bus[200] = "ipc:///";
    struct endpoints e;

    (void) state;
    memset (bus + 7, 'a', 92);
    strcpy (bus + 99, "/broker"); // 100 bytes of path: "events" fits as well
    assert_int_equal (endpoints_of (bus, &e), 0);
    memset (bus + 7, 'a', 100);
    strcpy (bus + 107, "/broker");
    assert_int_equal (endpoints_of (bus, &e), -1);
}

static void broker_is_found_in_the_given_folder (void **state)
{
    struct endpoint_list e;
    bool denied = true;

    setenv ("SLOTBUS_RUNTIME_DIR", *state, 1);
    refused (endpoints_find (&e, &denied, error, sizeof error), "no broker");
    assert_non_null (strstr (error, *state));
    assert_false (denied);
    scratch_file (state, "broker", "");
    assert_int_equal (endpoints_find (&e, &denied, error, sizeof error), 0);
    assert_string_equal (e.at[0].runtime, *state);
}

static void given_endpoint_is_checked_and_used (void **state)
{
    struct endpoint_list e;
    bool denied;
    char bus[PATH_BYTES];

    setenv ("SLOTBUS_BROKER", "tcp://vm1:7557", 1);
    assert_int_equal (endpoints_find (&e, &denied, error, sizeof error), 0);
    assert_string_equal (e.at[0].events, "tcp://vm1:7558");
    setenv ("SLOTBUS_BROKER", "vm1", 1);
    refused (endpoints_find (&e, &denied, error, sizeof error),
             "tcp://HOST:PORT");
    setenv ("SLOTBUS_BROKER", "tcp://*:7557", 1); // one may listen there
    refused (endpoints_find (&e, &denied, error, sizeof error),
             "'tcp://*:7557' is not an endpoint");
    snprintf (bus, sizeof bus, "ipc://%s", scratch_path (state, "broker"));
    setenv ("SLOTBUS_BROKER", bus, 1);
    refused (endpoints_find (&e, &denied, error, sizeof error), "no broker at");
    scratch_file (state, "broker", "");
    assert_int_equal (endpoints_find (&e, &denied, error, sizeof error), 0);
    assert_string_equal (e.at[0].bus, bus);
}

static void list_is_split_at_commas_and_each_endpoint_checked (void **state)
{
    struct endpoint_list e;
    char text[200], eight[300] = "tcp://a:1";
    bool denied;

    (void) state;
    setenv ("SLOTBUS_BROKER", " tcp://a:1 ,\ttcp://[::1]:2,tcp://c:3 ", 1);
    assert_int_equal (endpoints_find (&e, &denied, error, sizeof error), 0);
    assert_int_equal (e.count, 3);
    assert_string_equal (e.at[0].bus, "tcp://a:1");
    assert_string_equal (e.at[1].events, "tcp://[::1]:3");
    assert_string_equal (e.at[2].bus, "tcp://c:3");
    assert_string_equal (endpoints_text (&e, text, sizeof text),
                         "tcp://a:1, tcp://[::1]:2, tcp://c:3");
    assert_string_equal (endpoints_text (&e, text, 12), "tcp://a:1, ");
    for (int i = 0; i < 7; i++)
        strcat (eight, ",tcp://b:2");
    setenv ("SLOTBUS_BROKER", eight, 1);
    assert_int_equal (endpoints_find (&e, &denied, error, sizeof error), 0);
    assert_int_equal (e.count, 8);
    strcat (eight, ",tcp://i:9");
    setenv ("SLOTBUS_BROKER", eight, 1);
    refused (endpoints_find (&e, &denied, error, sizeof error),
             "tcp://i:9 is one too many");
}

static void what_is_wrong_in_a_list_is_named (void **state)
{
    static const struct {
        const char *list, *part;
    } wrong[] = {
        {"tcp://a:1,tcp://b,tcp://c:3", "'tcp://b' is not"},
        {"tcp://a:1,", "'' is not"},
        {",tcp://a:1", "'' is not"},
        {"tcp://a:1, ,tcp://b:2", "'' is not"},
        {" ", "'' is not"},
        {"tcp://a:1 tcp://b:2", "'tcp://a:1 tcp://b:2' is not"},
        {"tcp://a:1,ipc:///run/broker", "ipc:///run/broker must stand alone"},
        {"ipc:///run/a,ipc:///run/b", "ipc:///run/a must stand"}};
    struct endpoint_list e = {.count = 7};
    bool denied = true;

    (void) state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        setenv ("SLOTBUS_BROKER", wrong[i].list, 1);
        refused (endpoints_find (&e, &denied, error, sizeof error),
                 wrong[i].part);
    }
    assert_false (denied);
    assert_int_equal (e.count, 7);
}

static void users_broker_is_found_in_the_users_folder (void **state)
{
    struct endpoint_list e;
    bool denied;

    if (access ("/run/slotbus/broker", F_OK) == 0)
        skip (); // a real one comes first
    setenv ("XDG_RUNTIME_DIR", *state, 1);
    scratch_file (state, "slotbus/broker", "");
    assert_int_equal (endpoints_find (&e, &denied, error, sizeof error), 0);
    assert_string_equal (e.at[0].runtime, scratch_path (state, "slotbus"));
}

/* Root may open anything, so the question is asked as somebody else. */
static void socket_that_may_not_be_opened_is_told_apart (void **state)
{
    struct endpoint_list e;
    bool denied = false;

    if (geteuid () != 0)
        skip ();
    setenv ("SLOTBUS_RUNTIME_DIR", scratch_path (state, "run"), 1);
    scratch_file (state, "run/broker", "");
    assert_int_equal (chmod (*state, 0711), 0);
    assert_int_equal (chmod (scratch_path (state, "run"), 0750), 0);
    assert_int_equal (seteuid (12345), 0);
    refused (endpoints_find (&e, &denied, error, sizeof error), "not allowed");
    assert_true (denied);
    assert_int_equal (seteuid (0), 0);
    assert_int_equal (chmod (scratch_path (state, "run"), 0755), 0);
    assert_int_equal (seteuid (12345), 0);
    denied = false;
    refused (endpoints_find (&e, &denied, error, sizeof error), "not allowed");
    assert_true (denied);
    assert_int_equal (seteuid (0), 0);
}

#define IN_SCRATCH(f)                                                          \
    cmocka_unit_test_setup_teardown (f, scratch_make, scratch_remove)

int main (void)
{
    const struct CMUnitTest tests[] = {
        IN_SCRATCH (given_folder_wins),
        IN_SCRATCH (first_of_systemds_folders_is_ours),
        IN_SCRATCH (without_any_word_the_place_follows_the_uid),
        IN_SCRATCH (relative_folder_is_refused_by_name),
        IN_SCRATCH (folder_is_made_with_its_parents_whatever_the_umask),
        IN_SCRATCH (folder_that_others_may_write_is_refused),
        IN_SCRATCH (file_in_the_folders_place_is_refused),
        IN_SCRATCH (anothers_folder_is_refused),
        IN_SCRATCH (project_has_a_private_folder_in_the_runtime_folder),
        IN_SCRATCH (project_whose_sockets_would_not_fit_is_refused),
        IN_SCRATCH (configuration_given_is_taken_unseen),
        IN_SCRATCH (configuration_is_the_first_that_exists),
        IN_SCRATCH (sketchs_file_has_its_priorities_beside_it),
        IN_SCRATCH (events_are_beside_the_bus),
        IN_SCRATCH (what_is_no_endpoint_is_refused),
        IN_SCRATCH (path_longer_than_a_sockets_is_refused),
        IN_SCRATCH (broker_is_found_in_the_given_folder),
        IN_SCRATCH (given_endpoint_is_checked_and_used),
        IN_SCRATCH (list_is_split_at_commas_and_each_endpoint_checked),
        IN_SCRATCH (what_is_wrong_in_a_list_is_named),
        IN_SCRATCH (users_broker_is_found_in_the_users_folder),
        IN_SCRATCH (socket_that_may_not_be_opened_is_told_apart),
    };

    return cmocka_run_group_tests (tests, NULL, NULL);
}
