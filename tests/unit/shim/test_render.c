/* SPDX-License-Identifier: MPL-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "commands/render.h"

static struct msg_status_ok page;

/* The state that the sample of the layout shows. */
static void begin (void)
{
    struct row_host *h = &page.hosts[0];

    message_init_fields (&page, VERB_STATUS_OK);
    page.epoch = 3;
    page.max_slots = page.effective = 20;
    page.in_use = 10;
    strcpy (page.policy, "fifo");
    strcpy (page.level, "healthy");
    page.eta_low_s = page.eta_high_s = 900;
    page.hosts_count = 1;
    memset (h, 0, sizeof *h);
    strcpy (h->host, "vm1");
    strcpy (h->level, "healthy");
    h->cpu_percent = 45.2;
    h->memory_percent = 62.1;
    h->load1 = 4.3;
    h->disk_percent = 58;
    h->inodes_percent = h->swap_percent = h->cpu_some = NAN;
    h->memory_some = h->memory_full = h->io_full = NAN;
    h->max_cpu_percent = 85;
    h->max_memory_percent = 90;
    h->max_load_average = 16;
}

static void add_project (const char *name, const char *display, unsigned held)
{
    struct row_project *p = &page.projects[page.projects_count++];

    memset (p, 0, sizeof *p);
    strcpy (p->name, name);
    strcpy (p->display, display);
    p->held = held;
}

static struct row_agent *add_agent (const char *project, const char *label)
{
    struct row_agent *a = &page.agents[page.agents_count++];

    memset (a, 0, sizeof *a);
    a->percent = NAN;
    a->token = page.agents_count;
    strcpy (a->project, project);
    strcpy (a->label, label);
    strcpy (a->host, "vm1");
    strcpy (a->state, "active");
    return a;
}

static struct row_waiter *add_waiter (const char *project, unsigned count)
{
    struct row_waiter *w = &page.queue[page.queue_count++];

    memset (w, 0, sizeof *w);
    strcpy (w->project, project);
    strcpy (w->host, "vm1");
    strcpy (w->reason, "SLOTS");
    w->count = count;
    w->position = page.queue_count;
    return w;
}

static char *render (const char *project, bool emoji, bool json)
{
    struct snapshot s = {.head = page};
    size_t size;
    char *text;
    FILE *out = open_memstream (&text, &size);

    snapshot_add (&s, &page);
    if (json)
        render_json (out, &s);
    else if (project)
        render_project (out, &s, project, emoji);
    else
        render_status (out, &s, emoji);
    fclose (out);
    snapshot_clear (&s);
    return text;
}

static void assert_renders (const char *project, bool emoji, const char *wanted)
{
    char *text = render (project, emoji, false);

    assert_string_equal (text, wanted);
    free (text);
}

static void assert_shows (const char *wanted)
{
    char *text = render (NULL, false, false);

    if (!strstr (text, wanted))
        fail_msg ("no '%s' in:\n%s", wanted, text);
    free (text);
}

static void assert_project_shows (const char *project, const char *wanted)
{
    char *text = render (project, false, false);

    if (!strstr (text, wanted))
        fail_msg ("no '%s' in:\n%s", wanted, text);
    free (text);
}

static void status_has_the_layout_of_the_seed (void **s)
{
    struct row_waiter *w;

    (void) s;
    begin ();
    add_project ("odin", "Odin", 2);
    add_project ("consilio", "Consilio", 5);
    add_project ("openhorizon", "OpenHorizon", 3);
    add_project ("health-agent", "Health-Agent", 0);
    add_agent ("consilio", "Auth");
    add_agent ("consilio", "Dashboard");
    add_agent ("openhorizon", "Landing");
    add_agent ("odin", "");
    w = add_waiter ("health-agent", 4);
    w->slots_ahead = 3;
    strcpy (w->detail, "1 of 20 free, 4 wanted");
    strcpy (w->unblocks, "3 slots: consilio's Auth (in about 89 s), and more");
    w->eta_low_s = 130, w->eta_high_s = 290;
    assert_renders (
        NULL, true,
        "📊 VM Resource Status\n"
        "\n"
        "🖥️  VM Health: Healthy\n"
        "   CPU: 45.2% (of 85% limit)\n"
        "   RAM: 62.1% (of 90% limit)\n"
        "   Load: 4.3 (of 16.0 limit)\n"
        "   Disk: 58%\n"
        "\n"
        "🎯 Implementation Slots: 10/20 used\n"
        "\n"
        "Active Projects:\n"
        "   Consilio:     5 agents (Features: Auth, Dashboard)\n"
        "   OpenHorizon:  3 agents (Features: Landing)\n"
        "   Odin:         2 agents\n"
        "\n"
        "Queued Projects:\n"
        "   Health-Agent: Waiting for 4 slots (3 agents ahead): position 1, "
        "SLOTS: 1 of 20 free, 4 wanted; ETA 2-5 minutes\n"
        "                 goes on with 3 slots: consilio's Auth (in about 89 "
        "s), and more\n"
        "\n"
        "Estimated completion: 15 minutes\n");
}

static void status_of_nothing_says_none (void **s)
{
    (void) s;
    begin ();
    page.in_use = 0;
    page.eta_low_s = page.eta_high_s = 0;
    page.hosts[0].cpu_percent = page.hosts[0].disk_percent = NAN;
    page.hosts[0].max_memory_percent = NAN;
    assert_renders (NULL, false,
                    "VM Resource Status\n"
                    "\n"
                    "VM Health: Healthy\n"
                    "   CPU: unknown\n"
                    "   RAM: 62.1%\n"
                    "   Load: 4.3 (of 16.0 limit)\n"
                    "   Disk: unknown\n"
                    "\n"
                    "Implementation Slots: 0/20 used\n"
                    "\n"
                    "Active Projects:\n"
                    "   none\n"
                    "\n"
                    "Queued Projects:\n"
                    "   none\n"
                    "\n"
                    "Estimated completion: unknown\n");
}

static void smaller_pool_is_shown_with_its_cause (void **s)
{
    (void) s;
    begin ();
    page.effective = 12;
    strcpy (page.effective_cause, "memory 91.0% of 90%");
    assert_shows ("Implementation Slots: 10/20 used (effective 12: RAM 91.0% "
                  "of 90% limit)\n");
    strcpy (page.effective_cause, "load 20.0 of 16, load from outside slotbus");
    assert_shows ("(effective 12: Load 20.0 of 16 limit, load from outside "
                  "slotbus)\n");
    page.effective_cause[0] = 0;
    assert_shows ("10/20 used (effective 12)\n");
}

static void several_hosts_are_named (void **s)
{
    (void) s;
    begin ();
    page.hosts[1] = page.hosts[0];
    strcpy (page.hosts[1].host, "vm2");
    strcpy (page.hosts[1].level, "critical");
    page.hosts_count = 2;
    assert_shows ("VM Health (vm1): Healthy\n");
    assert_shows ("VM Health (vm2): Critical\n");
}

static void limbo_counts_and_equals_keep_their_order (void **s)
{
    (void) s;
    begin ();
    add_project ("a", "", 1);
    add_project ("b", "", 1);
    add_project ("c", "", 0);
    page.projects[2].limbo = 2;
    assert_shows ("Active Projects:\n   c: 2 agents; 2 in limbo\n"
                  "   a: 1 agent\n   b: 1 agent\n\n");
}

static void what_is_parked_is_there_though_it_does_not_count (void **s)
{
    (void) s;
    begin ();
    add_project ("alpha", "", 0);
    add_project ("b", "", 2);
    add_project ("c", "", 0);
    page.projects[0].parked = 3;
    page.projects[1].parked = 1;
    assert_shows ("Active Projects:\n   b:     2 agents; 1 parked\n"
                  "   alpha: 0 agents; 3 parked\n\n");
}

static void project_has_the_layout_of_the_seed (void **s)
{
    struct row_agent *a;

    (void) s;
    begin ();
    add_project ("consilio", "Consilio", 5);
    page.projects[0].eta_low_s = page.projects[0].eta_high_s = 720;
    a = add_agent ("consilio", "Feature/auth");
    a->phase = 3, a->phases = 4;
    a = add_agent ("consilio", "Feature/tests");
    a->phase = a->phases = 4, a->validating = true;
    a = add_agent ("consilio", "Feature/api");
    a->percent = 33.4, strcpy (a->note, "parser");
    a = add_agent ("consilio", "");
    a->age_ms = 65000, strcpy (a->state, "killing");
    add_agent ("odin", "another's");
    assert_renders ("consilio", true,
                    "📊 Consilio Resource Usage\n"
                    "\n"
                    "Allocated Slots: 5/20 (25%)\n"
                    "\n"
                    "Active Agents:\n"
                    "   1. Feature/auth - 60% complete (Phase 3/4)\n"
                    "   2. Feature/tests - 90% complete (Running validations)\n"
                    "   3. Feature/api - 33% complete: parser\n"
                    "   4. slot 4 - running for 65 s, killing\n"
                    "\n"
                    "ETA: 12 minutes\n");
}

static void percent_of_a_phase_is_that_of_the_seed (void **s)
{
    static const double wanted[] = {20, 40, 60, 80};
    struct row_agent a = {.percent = NAN, .phases = 4};

    (void) s;
    assert_true (isnan (agent_percent (&a)));
    for (a.phase = 1; a.phase <= 4; a.phase++)
        assert_true (agent_percent (&a) == wanted[a.phase - 1]);
    a.phase = 4, a.validating = true;
    assert_true (agent_percent (&a) == 90);
    a.percent = 12;
    assert_true (agent_percent (&a) == 12);
}

static const json_t *at (const json_t *list, size_t i, const char *key)
{
    return json_object_get (json_array_get (list, i), key);
}

static void json_has_null_for_what_is_unknown (void **s)
{
    json_t *all, *hosts, *projects, *agents;
    char *text;

    (void) s;
    begin ();
    page.hosts[0].cpu_percent = NAN;
    add_project ("consilio", "Consilio", 1);
    add_agent ("consilio", "auth");
    text = render (NULL, false, true);
    all = json_loads (text, 0, NULL);
    assert_non_null (all);
    assert_int_equal (json_integer_value (json_object_get (all, "schema")), 1);
    assert_true (json_is_null (json_object_get (all, "effective_cause")));
    hosts = json_object_get (all, "hosts");
    assert_true (json_is_null (at (hosts, 0, "cpu_percent")));
    assert_true (json_real_value (at (hosts, 0, "memory_percent")) == 62.1);
    projects = json_object_get (all, "projects");
    assert_true (json_is_null (at (projects, 0, "eta_s")));
    agents = json_object_get (json_array_get (projects, 0), "agents");
    assert_true (json_is_null (at (agents, 0, "percent")));
    assert_true (json_is_null (at (agents, 0, "pid")));
    assert_int_equal (
        json_integer_value (json_array_get (json_object_get (all, "eta_s"), 0)),
        900);
    json_decref (all);
    free (text);
}

static void json_is_valid_whatever_a_peer_wrote (void **s)
{
    const json_t *agents;
    json_t *all;
    char *text;

    (void) s;
    begin ();
    add_project ("consilio", "", 1);
    add_agent ("consilio", "\xff\x1b[31m\"\\\xe2\x80\xae");
    text = render (NULL, false, true);
    assert_null (strchr (text, 0x1b));
    all = json_loads (text, 0, NULL);
    assert_non_null (all);
    agents = json_object_get (
        json_array_get (json_object_get (all, "projects"), 0), "agents");
    assert_string_equal (json_string_value (at (agents, 0, "label")),
                         "\\xff\\x1b[31m\\x22\\x5c\\xe2\\x80\\xae");
    json_decref (all);
    free (text);
}

static void pages_are_put_together (void **s)
{
    struct snapshot all = {.hosts = NULL};

    (void) s;
    begin ();
    add_project ("a", "", 1);
    snapshot_add (&all, &page);
    begin ();
    page.hosts_count = 0;
    add_project ("b", "", 1);
    add_agent ("b", "x");
    snapshot_add (&all, &page);
    assert_int_equal (all.host_count, 1);
    assert_int_equal (all.project_count, 2);
    assert_int_equal (all.agent_count, 1);
    assert_ptr_equal (snapshot_project (&all, "b"), &all.projects[1]);
    assert_null (snapshot_project (&all, "c"));
    snapshot_clear (&all);
    assert_int_equal (all.project_count, 0);
}

/* What differs from the usual has a line, and says how to end it. */
static void paused_projects_and_another_policy_are_shown (void **s)
{
    (void) s;
    begin ();
    add_project ("odin", "Odin", 2);
    add_project ("zebra", "", 0);
    assert_shows ("Implementation Slots: 10/20 used\n\nActive");
    strcpy (page.policy, "fair");
    page.projects[0].paused = page.projects[1].paused = true;
    assert_shows ("Implementation Slots: 10/20 used\n   Policy: fair\n\n");
    assert_shows ("   Odin:  2 agents; paused\n");
    assert_shows ("Queued Projects:\n   none\n\n"
                  "Paused Projects:\n"
                  "   Odin:  slotbus resume odin\n"
                  "   zebra: slotbus resume zebra\n\n"
                  "Estimated");
    assert_project_shows ("odin",
                          "Allocated Slots: 2/20 (10%)\n\nPaused: nothing "
                          "is granted until slotbus resume odin\n\n");
}

static void waiter_in_json_has_all_that_it_is_told (void **s)
{
    struct row_waiter *w;
    json_t *all, *queue;
    char *text;

    (void) s;
    begin ();
    w = add_waiter ("odin", 5);
    w->min = 2, w->slots_ahead = 3, w->age_ms = 1200, w->since_ms = 12900;
    w->eta_low_s = 360, w->eta_high_s = 660;
    strcpy (w->unblocks, "1 slot: a's \xf0\x9f\x98"); // cut
    add_waiter ("odin", 1);
    text = render (NULL, false, true);
    all = json_loads (text, 0, NULL);
    assert_non_null (all);
    queue = json_object_get (all, "queue");
    assert_int_equal (json_integer_value (at (queue, 0, "min")), 2);
    assert_int_equal (json_integer_value (at (queue, 0, "age_ms")), 1200);
    assert_int_equal (json_integer_value (at (queue, 0, "since_s")), 12);
    assert_string_equal (json_string_value (at (queue, 0, "unblocks")),
                         "1 slot: a's \\xf0\\x9f\\x98");
    assert_int_equal (
        json_integer_value (json_array_get (at (queue, 0, "eta_s"), 1)), 660);
    assert_int_equal (json_integer_value (at (queue, 1, "min")), 1);
    assert_string_equal (json_string_value (at (queue, 1, "unblocks")), "");
    assert_true (json_is_null (at (queue, 1, "eta_s")));
    json_decref (all);
    free (text);
}

static void what_agents_take_is_shown_where_it_is_known (void **s)
{
    struct row_agent *a;
    const json_t *agents;
    json_t *all;
    char *text;

    (void) s;
    begin ();
    add_project ("consilio", "Consilio", 2);
    a = add_agent ("consilio", "auth");
    a->percent = 60;
    a->memory_bytes = 368050176;
    a->cpu_ms = 88100;
    strcpy (a->note, "tests");
    add_agent ("consilio", "api")->percent = 20;
    assert_project_shows ("consilio", "   1. auth - 60% complete, 351 MB, CPU "
                                      "88 s: tests\n"
                                      "   2. api - 20% complete\n");
    page.slot_bytes = 700;
    text = render (NULL, false, true);
    all = json_loads (text, 0, NULL);
    agents = at (json_object_get (all, "projects"), 0, "agents");
    assert_int_equal (json_integer_value (at (agents, 0, "memory_bytes")),
                      368050176);
    assert_true (json_real_value (at (agents, 0, "cpu_s")) == 88.1);
    assert_true (json_is_null (at (agents, 1, "memory_bytes")));
    assert_int_equal (json_integer_value (json_object_get (all, "slot_bytes")),
                      700);
    json_decref (all);
    free (text);
}

static void what_runs_outside_any_slot_is_shown_with_whose_it_may_be (void **s)
{
    struct row_host *h = &page.hosts[0];
    char *text;

    (void) s;
    begin ();
    text = render (NULL, false, false);
    assert_null (strstr (text, "unmanaged"));
    free (text);
    h->unmanaged = 11;
    h->unmanaged_bytes = 6657199309;
    assert_shows ("   Disk: 58%\n   unmanaged: 11 processes, 6.2 GB\n\n");
    strcpy (h->unmanaged_of, "odin");
    assert_shows ("   unmanaged: 11 processes, 6.2 GB (odin?)\n");
    h->unmanaged = 1;
    assert_shows ("   unmanaged: 1 process, 6.2 GB (odin?)\n");
    text = render (NULL, false, true);
    assert_non_null (strstr (text, "\"unmanaged\":1,\"unmanaged_bytes\":"
                                   "6657199309,\"unmanaged_of\":\"odin\""));
    free (text);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (status_has_the_layout_of_the_seed),
        cmocka_unit_test (status_of_nothing_says_none),
        cmocka_unit_test (smaller_pool_is_shown_with_its_cause),
        cmocka_unit_test (several_hosts_are_named),
        cmocka_unit_test (limbo_counts_and_equals_keep_their_order),
        cmocka_unit_test (what_is_parked_is_there_though_it_does_not_count),
        cmocka_unit_test (paused_projects_and_another_policy_are_shown),
        cmocka_unit_test (project_has_the_layout_of_the_seed),
        cmocka_unit_test (percent_of_a_phase_is_that_of_the_seed),
        cmocka_unit_test (json_has_null_for_what_is_unknown),
        cmocka_unit_test (json_is_valid_whatever_a_peer_wrote),
        cmocka_unit_test (waiter_in_json_has_all_that_it_is_told),
        cmocka_unit_test (pages_are_put_together),
        cmocka_unit_test (what_agents_take_is_shown_where_it_is_known),
        cmocka_unit_test (
            what_runs_outside_any_slot_is_shown_with_whose_it_may_be),
    };

    return cmocka_run_group_tests (tests, NULL, NULL);
}
