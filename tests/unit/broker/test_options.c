/* SPDX-License-Identifier: MPL-2.0 */
#include <math.h>
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
#include "protocol/nearest.h"
#include "options.h"
#include "unit/bus/scratch.h"
#include "yaml_tree.h"

static struct options o;
static char error[1024];

/* ---- the command line ---- */

#define ARGV(...) ((char *[]){"slotbus-broker", __VA_ARGS__, NULL})

static int parse (char **argv)
{
    int argc = 0;

    while (argv[argc])
        argc++;
    error[0] = 0;
    return options_parse (argc, argv, &o, error, sizeof error);
}

#define usage(part, ...)                                                       \
    do {                                                                       \
        assert_int_equal (parse (ARGV (__VA_ARGS__)), 64);                     \
        assert_non_null (strstr (error, part));                                \
    } while (0)

static void flags_are_taken_in_both_forms (void **state)
{
    (void) state;
    assert_int_equal (
        parse (ARGV ("--config", "a.yaml", "--state=/s", "--max-slots", "7",
                     "--bind", "ipc:///a/broker", "--bind=tcp://h:1",
                     "--private", "--accept-state-loss", "--log-format",
                     "json")),
        0);
    assert_int_equal (o.action, ACTION_SERVE);
    assert_string_equal (o.config_flag, "a.yaml");
    assert_string_equal (o.state_flag, "/s");
    assert_int_equal (o.max_slots_flag, 7);
    assert_int_equal (o.bind_flags.count, 2);
    assert_string_equal (o.bind_flags.at[1], "tcp://h:1");
    assert_true (o.beside && o.accept_state_loss);
    assert_int_equal (o.log_format, LOG_JSON);
}

static void no_flag_at_all_is_fine (void **state)
{
    char *argv[] = {"slotbus-broker", NULL};

    (void) state;
    assert_int_equal (parse (argv), 0);
    assert_int_equal (o.action, ACTION_SERVE);
    assert_int_equal (o.log_format, LOG_TEXT);
}

static void other_actions_are_told_apart (void **state)
{
    (void) state;
    assert_int_equal (parse (ARGV ("--check-config")), 0);
    assert_int_equal (o.action, ACTION_CHECK);
    assert_int_equal (parse (ARGV ("--version")), 0);
    assert_int_equal (o.action, ACTION_VERSION);
    assert_int_equal (parse (ARGV ("--help", "--rubbish")), 0);
    assert_int_equal (o.action, ACTION_HELP);
    assert_non_null (strstr (options_help (), "--accept-state-loss"));
    assert_non_null (strstr (options_help (), "Examples:"));
}

static void unknown_flag_names_the_nearest_one (void **state)
{
    (void) state;
    usage ("did you mean --config?", "--confg", "x");
    usage ("did you mean --max-slots?", "--maxslots=3");
    usage ("did you mean --private?", "--pirvate");
    usage ("see --help", "--zebra");
    usage ("unexpected argument 'serve'", "serve");
    usage ("\\x1b", "--\x1b[31m");
}

static void flag_without_or_with_a_wrong_value_is_refused (void **state)
{
    (void) state;
    usage ("--config needs a value", "--config");
    usage ("--private takes no value", "--private=yes");
    usage ("1..10000, got '0'", "--max-slots", "0");
    usage ("1..10000, got '10001'", "--max-slots", "10001");
    usage ("1..10000, got '-1'", "--max-slots=-1");
    usage ("1..10000, got '5x'", "--max-slots", "5x");
    usage ("1..10000, got '99999999999999999999'", "--max-slots",
           "99999999999999999999");
    usage ("text or json", "--log-format", "xml");
    usage ("tcp://HOST:PORT", "--bind", "5555");
    usage ("expected a path", "--config", "");
}

static void contradicting_flags_are_refused (void **state)
{
    (void) state;
    usage ("--config is given twice", "--config", "a", "--config", "b");
    usage ("--max-slots is given twice", "--max-slots=1", "--max-slots=2");
    usage ("given twice", "--bind=ipc:///a/b", "--bind=ipc:///a/b");
    usage ("at most 8", "--bind=tcp://a:1", "--bind=tcp://a:2",
           "--bind=tcp://a:3", "--bind=tcp://a:4", "--bind=tcp://a:5",
           "--bind=tcp://a:6", "--bind=tcp://a:7", "--bind=tcp://a:8",
           "--bind=tcp://a:9");
}

/* ---- the file ---- */

static int load (void **state, const char *text)
{
    scratch_file (state, "slots.yaml", text);
    copy_text (o.config_flag, sizeof o.config_flag,
               scratch_path (state, "slots.yaml"));
    error[0] = 0;
    return options_load (&o, error, sizeof error);
}

#define accepted(text)                                                         \
    do {                                                                       \
        if (load (state, text))                                                \
            fail_msg ("%s", error);                                            \
    } while (0)

/* The message without the folder in front of it. */
#define refused(text, expected)                                                \
    do {                                                                       \
        assert_int_equal (load (state, text), -1);                             \
        assert_string_equal (error + strlen (*state) + 1, expected);           \
    } while (0)

static int fresh (void **state)
{
    memset (&o, 0, sizeof o);
    if (scratch_make (state))
        return -1;
    setenv ("HOME", *state, 1);
    setenv ("SLOTBUS_RUNTIME_DIR", *state, 1);
    setenv ("SLOTBUS_STATE_DIR", *state, 1);
    return 0;
}

static const char seeds_file[] =
    "# Global configuration\n"
    "max_slots: 20  # Total implementation agents allowed\n"
    "slot_allocation:\n"
    "  consilio: 7\n"
    "  openhorizon: 0\n"
    "  health-agent: 0\n"
    "\n"
    "# VM thresholds (when to reduce slots)\n"
    "vm_limits:\n"
    "  max_cpu_percent: 85\n"
    "  max_memory_percent: 90\n"
    "  max_load_average: 16.0  # For 8-core VM\n"
    "\n"
    "vm_state:\n"
    "  cpu_percent: 45.2\n"
    "  memory_percent: 62.1\n"
    "  load_average: 4.3\n"
    "  disk_usage_percent: 58\n"
    "  health: \"healthy\"  # healthy | degraded | critical\n";

static void seeds_file_is_accepted_as_it_stands (void **state)
{
    accepted (seeds_file);
    assert_int_equal (o.settings.max_slots, 20);
    assert_int_equal (o.max_slots_from, MAX_SLOTS_FILE);
    assert_int_equal (o.settings.max_per_project, 10);
    assert_true (o.settings.limits.load_average == 16.0);
    assert_int_equal (o.settings.project_count, 0); // state is not taken in
}

static const char full_file[] =
    "max_slots: 20\n"
    "max_per_project: 10\n"
    "policy: fair\n"
    "fair_mode: maxmin\n"
    "aging_minutes: 2.5\n"
    "reclaim: off\n"
    "reclaim_idle: 1m\n"
    "max_parked: 0\n"
    "floor: 2\n"
    "auto_max: 24\n"
    "grant_burst: 3\n"
    "message_rate: 500\n"
    "durability: power\n"
    "vm_limits: { max_cpu_percent: 80, max_memory_percent: null, "
    "critical_memory_percent: 95.5, critical_memory_psi: ~, "
    "max_load_average: auto, max_disk_percent: 91, critical_disk_percent: 98 "
    "}\n"
    "disk_paths: [/, /home]\n"
    "project_priorities: { consilio: 10, health-agent: 4, quiculum-monitor: 3 "
    "}\n"
    "projects: { Consilio: { max: 8, guarantee: 2, uids: [1000, 0], max_time: "
    "2h, memory_limit: 2G, stall_time: null }, odin: { display: \"The Odin\" "
    "}, late: }\n"
    "hosts: { vm2: { max_slots: 10 } }\n"
    "notice_command: /usr/bin/save-work\n"
    "unmanaged: [claude, cc1]\n"
    "timing: { beat: 50ms, ttl: 1s, grace: 200ms, kill_confirm: 0.1s, drift: "
    "50ms, lock_delay: 100ms, linger: 0s, sample: 200ms, healthy_for: 2m }\n"
    "bind: [ \"ipc:///run/slotbus/broker\", \"tcp://127.0.0.1:7557\" ]\n"
    "insecure: true\n";

static void every_key_reaches_its_place (void **state)
{
    const struct settings *s = &o.settings;

    accepted (full_file);
    assert_int_equal (s->policy, POLICY_FAIR);
    assert_int_equal (s->fair_mode, FAIR_MAXMIN);
    assert_int_equal (s->aging_ms, 150000);
    assert_false (s->reclaim);
    assert_int_equal (s->reclaim_idle_ms, 60000);
    assert_int_equal (s->max_parked, 0);
    assert_int_equal (s->floor, 2);
    assert_int_equal (s->auto_max, 24);
    assert_int_equal (s->grant_burst, 3);
    assert_int_equal (s->message_rate, 500);
    assert_true (s->power);
    assert_int_equal (s->host_count, 1);
    assert_string_equal (s->hosts[0].host, "vm2");
    assert_int_equal (s->hosts[0].max_slots, 10);
    assert_string_equal (o.notice_command, "/usr/bin/save-work");
    assert_int_equal (o.unmanaged.count, 2);
    assert_string_equal (o.settings.unmanaged, "claude,cc1");
    assert_string_equal (o.disk_paths.at[1], "/home");
    assert_int_equal (o.binds.count, 2);
    assert_string_equal (o.binds.at[1], "tcp://127.0.0.1:7557");
    assert_true (o.insecure);
}

static void limits_may_be_null_and_auto (void **state)
{
    const struct limits *l = &o.settings.limits;

    accepted (full_file);
    assert_true (l->cpu_percent == 80);
    assert_true (isnan (l->memory_percent));
    assert_true (isnan (l->critical_memory_psi));
    assert_true (l->critical_memory_percent == 95.5);
    assert_true (l->load_average >= 2.0);
    assert_true (l->critical_disk_percent == 98);
}

static void durations_are_ms (void **state)
{
    const struct timing *t = &o.settings.timing;

    accepted (full_file);
    assert_int_equal (t->beat, 50);
    assert_int_equal (t->ttl, 1000);
    assert_int_equal (t->kill_confirm, 100);
    assert_int_equal (t->linger, 0);
    assert_int_equal (t->healthy_for, 120000);
    assert_int_equal (t->gather, 200); // its default
}

static void projects_and_priorities_are_one_table (void **state)
{
    const struct project_settings *p;

    accepted (full_file);
    assert_int_equal (o.settings.project_count, 5);
    p = settings_find_project (&o.settings, "consilio");
    assert_string_equal (p->display, "Consilio"); // as it was written
    assert_int_equal (p->priority, 10);
    assert_int_equal (p->max, 8);
    assert_int_equal (p->guarantee, 2);
    assert_int_equal (p->uid_count, 2);
    assert_int_equal (p->uids[0], 1000);
    assert_int_equal (p->uids[1], 0);
    assert_int_equal (p->max_time_ms, 7200000);
    assert_int_equal (p->memory_limit_bytes, (int64_t) 2 << 30);
    assert_int_equal (p->stall_time_ms, 0);
    p = settings_find_project (&o.settings, "odin");
    assert_string_equal (p->display, "The Odin");
    assert_int_equal (p->priority, 5);
    assert_non_null (settings_find_project (&o.settings, "late"));
}

static void nothing_said_is_auto (void **state)
{
    accepted ("");
    assert_int_equal (o.max_slots_from, MAX_SLOTS_AUTO);
    assert_true (o.settings.max_slots >= 1);
    assert_int_equal (o.settings.max_per_project,
                      (o.settings.max_slots + 1) / 2);
    assert_int_equal (o.settings.auto_max, o.settings.max_slots);
    assert_int_equal (o.settings.policy, POLICY_FIFO);
    assert_int_equal (o.binds.count, 1);
    assert_string_equal (o.disk_paths.at[0], "/");
    assert_int_equal (o.settings.message_rate, 2000);
    accepted ("---\n");
    accepted ("# only a comment\n");
    accepted ("max_slots: auto\nmax_per_project: auto\nauto_max: auto\n");
    assert_int_equal (o.max_slots_from, MAX_SLOTS_AUTO);
    assert_true (o.settings.max_per_project_auto);
}

static void without_a_file_the_defaults_serve (void **state)
{
    char expected[256];

    unsetenv ("HOME");
    if (access ("/etc/slotbus/slots.yaml", F_OK) == 0)
        skip ();
    assert_int_equal (options_load (&o, error, sizeof error), 0);
    assert_string_equal (o.config_path, "");
    assert_int_equal (o.config_changed_ms, 0);
    snprintf (expected, sizeof expected, "ipc://%s/broker", (char *) *state);
    assert_string_equal (o.binds.at[0], expected);
    assert_string_equal (o.state_folder, *state);
}

static void flags_win_over_the_file (void **state)
{
    assert_int_equal (parse (ARGV ("--max-slots=6", "--bind=ipc:///a/broker")),
                      0);
    accepted ("max_slots: 20\nfloor: 5\nbind: [tcp://h:7557]\n");
    assert_int_equal (o.settings.max_slots, 6);
    assert_int_equal (o.settings.max_per_project, 3);
    assert_int_equal (o.max_slots_from, MAX_SLOTS_FLAG);
    assert_int_equal (o.binds.count, 1);
    assert_string_equal (o.binds.at[0], "ipc:///a/broker");
}

static void state_flag_wins_over_the_environment (void **state)
{
    parse (ARGV ("--state", "/elsewhere"));
    accepted ("");
    assert_string_equal (o.state_folder, "/elsewhere");
}

static void wrong_value_is_named_with_its_place (void **state)
{
    refused ("max_slots: 20\nslot_allocation:\n  consilio: 0\n\n\n"
             "vm_limits:\n  max_cpu_percent: x\n",
             "slots.yaml:7:3: vm_limits.max_cpu_percent: expected 1..100, got "
             "'x'");
    refused ("max_slots: 0\n",
             "slots.yaml:1:1: max_slots: expected 1..10000 or auto, got '0'");
    refused ("max_slots: [1]\n",
             "slots.yaml:1:1: max_slots: expected 1..10000 or auto, got a "
             "list");
    refused ("floor: {a: 1}\n",
             "slots.yaml:1:1: floor: expected 1..10000, got a map");
    refused ("message_rate: 9\n",
             "slots.yaml:1:1: message_rate: expected 10..1000000, got '9'");
    assert_int_equal (load (state, "message_rate: 1000001\n"), -1);
    refused ("policy: fare\n", "slots.yaml:1:1: policy: expected fifo | fair "
                               "| priority, got 'fare'");
    refused ("unmanaged: [cc1, 'a,b']\n",
             "slots.yaml:1:18: unmanaged: expected the name of a program (no "
             "slash, no comma), got 'a,b'");
    refused ("unmanaged: [/usr/bin/cc1]\n",
             "slots.yaml:1:13: unmanaged: expected the name of a program (no "
             "slash, no comma), got '/usr/bin/cc1'");
    refused ("insecure: yes\n",
             "slots.yaml:1:1: insecure: expected true or false, got 'yes'");
    refused ("timing: { ttl: 60 }\n",
             "slots.yaml:1:11: timing.ttl: expected a duration of 1ms..24h "
             "such as 5s or 200ms, got '60'");
    refused ("bind: [ipc:///a, b]\n",
             "slots.yaml:1:18: bind: expected ipc:///PATH (up to 107 bytes) "
             "or tcp://HOST:PORT, got 'b'");
    refused ("projects:\n  a:\n    memory_limit: lots\n",
             "slots.yaml:3:5: projects.a.memory_limit: expected a number of "
             "bytes such as 512M or 2G, got 'lots'");
}

static void numbers_are_what_they_look_like (void **state)
{
    static const char *const wrong[] = {
        "1.5", "1e3", "0x10", "-1", "+5",  "\"20\"", "20 ",  "nan",
        "inf", ".",   "",     "~",  "1_0", "1,0",    "10001"};
    char text[64];

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        snprintf (text, sizeof text, "floor: %s\n", wrong[i]);
        if (strcmp (wrong[i], "20 ") == 0)
            continue; // YAML drops the space
        assert_int_equal (load (state, text), -1);
    }
    refused ("vm_limits: {max_load_average: .inf}\n",
             "slots.yaml:1:13: vm_limits.max_load_average: expected "
             "0.1..10000 or auto, got '.inf'");
    refused ("projects: {a: {uids: [4294967295]}}\n",
             "slots.yaml:1:23: projects.a.uids: expected 0..4294967294, got "
             "'4294967295'");
}

static void null_only_where_there_is_something_to_switch_off (void **state)
{
    refused ("max_slots: null\n",
             "slots.yaml:1:1: max_slots: expected 1..10000 or auto, got "
             "'null'");
    accepted ("notice_command: null\nproject_priorities:\nhosts:\n");
    assert_string_equal (o.notice_command, "");
    refused ("timing: {ttl: null}\n",
             "slots.yaml:1:10: timing.ttl: expected a duration of 1ms..24h "
             "such as 5s or 200ms, got 'null'");
}

static void unknown_key_is_refused_with_the_one_meant (void **state)
{
    refused ("max_slot: 3\n",
             "slots.yaml:1:1: max_slot: unknown key, did you mean "
             "'max_slots'?");
    refused ("vm_limits:\n  max_cpu_precent: 85\n",
             "slots.yaml:2:3: vm_limits.max_cpu_precent: unknown key, did you "
             "mean 'max_cpu_percent'?");
    refused ("max_memory_percent: 80\n",
             "slots.yaml:1:1: max_memory_percent: unknown key, it belongs "
             "under 'vm_limits'");
    refused ("floor: 1\nzebra: 3\n", "slots.yaml:2:1: zebra: unknown key");
    refused ("\"a\\e[31m\": 3\n", "slots.yaml:1:1: a\\x1b[31m: unknown key");
}

static void duplicate_key_is_refused (void **state)
{
    refused ("floor: 1\nfloor: 2\n", "slots.yaml:2:1: floor: given twice");
    refused ("projects: {a: {}, A: {}}\n",
             "slots.yaml:1:19: projects.A: given twice");
    refused ("slot_allocation: {a: 1, a: 2}\n",
             "slots.yaml:1:25: a: given twice");
    refused ("disk_paths: [/, /]\n",
             "slots.yaml:1:17: disk_paths: '/' is given twice");
}

static void name_of_a_project_is_checked (void **state)
{
    assert_int_equal (load (state, "projects: {../x: {}}\n"), -1);
    assert_non_null (strstr (error, "projects.../x: not the name"));
    assert_int_equal (load (state, "project_priorities: {-a: 1}\n"), -1);
    assert_int_equal (load (state, "project_priorities: {'': 1}\n"), -1);
    assert_int_equal (load (state, "project_priorities: {a: 1001}\n"), -1);
}

static void yaml_beyond_a_configuration_is_refused (void **state)
{
    refused ("floor: &a 1\n", "slots.yaml:1:8: an anchor (&) is not allowed "
                              "here: write the value out");
    refused ("floor: *a\n", "slots.yaml:1:8: an alias (*) is not allowed "
                            "here: write the value out");
    refused ("hosts: &a {x: *a}\n",
             "slots.yaml:1:8: an anchor (&) is not allowed here: write the "
             "value out");
    refused ("floor: !!int 1\n",
             "slots.yaml:1:8: a tag (!) is not allowed here");
    refused ("floor: 1\n---\nfloor: 2\n",
             "slots.yaml:2:1: a second document is not allowed");
    refused ("[1, 2]: 3\n", "slots.yaml:1:1: a key must be a word");
    refused ("- floor\n",
             "slots.yaml:1:1: expected a map of settings, got a list");
    refused ("floor\n",
             "slots.yaml:1:1: expected a map of settings, got 'floor'");
}

static void broken_yaml_is_told_with_its_place (void **state)
{
    refused ("floor: 1\n\tpolicy: fifo\n",
             "slots.yaml:2:1: found a tab character that violates indentation");
    refused ("floor: 1\nbind: [a\n",
             "slots.yaml:3:1: did not find expected ',' or ']'");
    refused ("a: \"\xc3\xa9\"\nb: \xff\n",
             "slots.yaml:2:4: invalid leading UTF-8 octet");
    refused ("a: \x01\n", "slots.yaml:1:4: control characters are not allowed");
}

static void nesting_ends_at_8 (void **state)
{
    char deep[4200];

    accepted ("vm_state: [[[[[[[1]]]]]]]\n");
    refused ("vm_state: [[[[[[[[1]]]]]]]]\n",
             "slots.yaml:1:18: nested more than 8 deep");
    memset (deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = 0;
    assert_int_equal (load (state, deep), -1);
}

static void parse_refuses (const char *text, size_t size, const char *expected)
{
    assert_null (yaml_tree_parse ("x", text, size, error, sizeof error));
    assert_string_equal (error, expected);
}

static void size_and_number_of_entries_are_bounded (void **state)
{
    char *text = xmalloc (YAML_MAX_BYTES + 1);
    struct node *root;
    size_t used = 0;

    (void) state;
    memset (text, '#', YAML_MAX_BYTES + 1);
    root = yaml_tree_parse ("x", text, YAML_MAX_BYTES, error, sizeof error);
    assert_non_null (root);
    yaml_tree_free (root);
    parse_refuses (text, YAML_MAX_BYTES + 1, "x: larger than 64 KiB");
    for (int i = 0; i <= YAML_MAX_ENTRIES; i++)
        used += (size_t) snprintf (text + used, YAML_MAX_BYTES - used,
                                   "k%d: 1\n", i);
    parse_refuses (text, used, "x:1025:1: more than 1024 entries in one place");
    used = 0;
    for (int i = 0; i <= YAML_MAX_ENTRIES; i++)
        used += (size_t) snprintf (text + used, YAML_MAX_BYTES - used, "- 1\n");
    parse_refuses (text, used, "x:1025:3: more than 1024 entries in one place");
    free (text);
}

static void nul_is_refused_in_the_text_and_in_a_value (void **state)
{
    (void) state;
    parse_refuses ("a: 1\nb: \0", 9, "x:2:4: a NUL character is not allowed");
    parse_refuses ("a: 1\nb: \"x\\0y\"\n", 15,
                   "x:2:4: a NUL character is not allowed");
    parse_refuses ("\"a\\0b\": 1\n", 10,
                   "x:1:1: a NUL character is not allowed");
}

static void file_that_others_may_write_is_refused (void **state)
{
    const char *path = scratch_path (state, "slots.yaml");

    accepted ("floor: 1\n");
    assert_int_equal (chmod (path, 0660), 0);
    assert_int_equal (options_load (&o, error, sizeof error), -1);
    assert_non_null (strstr (error, "may be written by others: chmod go-w"));
    assert_int_equal (chmod (path, 0602), 0);
    assert_int_equal (options_load (&o, error, sizeof error), -1);
    assert_int_equal (chmod (path, 0644), 0);
    assert_int_equal (options_load (&o, error, sizeof error), 0);
    if (geteuid () == 0) {
        assert_int_equal (chown (path, 12345, 12345), 0);
        assert_int_equal (options_load (&o, error, sizeof error), -1);
        assert_non_null (strstr (error, "belongs to another user"));
    }
}

static void what_is_no_file_is_refused (void **state)
{
    copy_text (o.config_flag, sizeof o.config_flag, *state);
    assert_int_equal (options_load (&o, error, sizeof error), -1);
    assert_non_null (strstr (error, "not a regular file"));
    copy_text (o.config_flag, sizeof o.config_flag,
               scratch_path (state, "none.yaml"));
    assert_int_equal (options_load (&o, error, sizeof error), -1);
    assert_non_null (strstr (error, "none.yaml: No such file"));
    assert_int_equal (mkfifo (scratch_path (state, "pipe"), 0600), 0);
    copy_text (o.config_flag, sizeof o.config_flag,
               scratch_path (state, "pipe"));
    assert_int_equal (options_load (&o, error, sizeof error), -1);
    assert_non_null (strstr (error, "not a regular file"));
}

static void what_does_not_fit_together_is_told_at_its_section (void **state)
{
    refused ("floor: 1\ntiming: {ttl: 20s}\n",
             "slots.yaml:2:1: timing: ttl must be at least 4 x beat + grace + "
             "kill_confirm + drift");
    refused ("max_slots: 4\nprojects: {a: {guarantee: 2}, b: {guarantee: 2},\n"
             "  c: {guarantee: 1}}\n",
             "slots.yaml:2:1: projects: the guarantees together are above "
             "max_slots");
    refused ("max_slots: 4\n\nfloor: 5\n",
             "slots.yaml:3:1: floor: is above max_slots");
}

static void failed_reload_leaves_everything_as_it_was (void **state)
{
    struct options *before = xmalloc (sizeof *before);

    accepted (full_file);
    *before = o;
    assert_int_equal (load (state, "max_slots: 3\npolicy: fifo\nfloor: x\n"),
                      -1);
    assert_memory_equal (before, &o, sizeof o);
    accepted ("max_slots: 3\n");
    assert_int_equal (o.settings.max_slots, 3);
    assert_int_equal (o.settings.project_count, 0); // nothing is left over
    assert_int_equal (o.settings.policy, POLICY_FIFO);
    assert_false (o.insecure);
    free (before);
}

static void sketchs_priorities_are_read_beside_it (void **state)
{
    const char *sketch =
        scratch_path (state, "supervisor/.resource-manager/slots.yaml");

    scratch_file (state, "supervisor/.resource-manager/slots.yaml", seeds_file);
    scratch_file (state, "supervisor/config.yaml",
                  "anything: [else, is]\nnot: ours\n"
                  "project_priorities:\n  consilio: 10\n  odin: 3\n");
    copy_text (o.config_flag, sizeof o.config_flag, sketch);
    assert_int_equal (options_load (&o, error, sizeof error), 0);
    assert_int_equal (settings_find_project (&o.settings, "consilio")->priority,
                      10);
    assert_int_equal (settings_find_project (&o.settings, "odin")->priority, 3);
    assert_int_equal (o.settings.max_slots, 20);

    scratch_file (state, "supervisor/config.yaml",
                  "a: b\nproject_priorities: {odin: high}\n");
    assert_int_equal (options_load (&o, error, sizeof error), -1);
    assert_non_null (strstr (error, "supervisor/config.yaml:2:22: "
                                    "project_priorities.odin: expected"));
}

static void nearest_word_is_within_a_few_letters (void **state)
{
    struct nearest n = {.word = "grant_brust"};

    (void) state;
    assert_int_equal (nearest_distance ("", "abc"), 3);
    assert_int_equal (nearest_distance ("beat", "baet"), 1);
    assert_int_equal (nearest_distance ("kitten", "sitting"), 3);
    nearest_offer (&n, "floor");
    assert_null (n.best);
    nearest_offer (&n, "grant_burst");
    nearest_offer (&n, "grant_bust_");
    assert_string_equal (n.best, "grant_burst");
}

int main (void)
{
#define T(f) cmocka_unit_test (f)
#define LOADS(f) cmocka_unit_test_setup_teardown (f, fresh, scratch_remove)
    const struct CMUnitTest tests[] = {
        T (flags_are_taken_in_both_forms),
        T (no_flag_at_all_is_fine),
        T (other_actions_are_told_apart),
        T (unknown_flag_names_the_nearest_one),
        T (flag_without_or_with_a_wrong_value_is_refused),
        T (contradicting_flags_are_refused),
        LOADS (seeds_file_is_accepted_as_it_stands),
        LOADS (every_key_reaches_its_place),
        LOADS (limits_may_be_null_and_auto),
        LOADS (durations_are_ms),
        LOADS (projects_and_priorities_are_one_table),
        LOADS (nothing_said_is_auto),
        LOADS (without_a_file_the_defaults_serve),
        LOADS (flags_win_over_the_file),
        LOADS (state_flag_wins_over_the_environment),
        LOADS (wrong_value_is_named_with_its_place),
        LOADS (numbers_are_what_they_look_like),
        LOADS (null_only_where_there_is_something_to_switch_off),
        LOADS (unknown_key_is_refused_with_the_one_meant),
        LOADS (duplicate_key_is_refused),
        LOADS (name_of_a_project_is_checked),
        LOADS (yaml_beyond_a_configuration_is_refused),
        LOADS (broken_yaml_is_told_with_its_place),
        LOADS (nesting_ends_at_8),
        T (size_and_number_of_entries_are_bounded),
        T (nul_is_refused_in_the_text_and_in_a_value),
        LOADS (file_that_others_may_write_is_refused),
        LOADS (what_is_no_file_is_refused),
        LOADS (what_does_not_fit_together_is_told_at_its_section),
        LOADS (failed_reload_leaves_everything_as_it_was),
        LOADS (sketchs_priorities_are_read_beside_it),
        T (nearest_word_is_within_a_few_letters),
    };

    return cmocka_run_group_tests (tests, NULL, NULL);
}
