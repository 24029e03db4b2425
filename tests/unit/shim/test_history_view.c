/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "commands/history_view.h"

static const uint64_t DAY = 86400000, TODAY = 20000 * UINT64_C (86400000);

static struct msg_history_ok page;

static void add_day (const char *project, uint64_t day_ms, uint64_t hours)
{
    struct row_day *d = &page.days[page.days_count++];

    memset (d, 0, sizeof *d);
    strcpy (d->project, project);
    d->day_ms = day_ms;
    d->grants = 12;
    d->kills = 1;
    d->slot_ms = hours * 3600000;
    d->wait_p50_ms = 4000;
    d->wait_p90_ms = 120000;
    d->run_p50_ms = 720000;
    d->run_p90_ms = 2400000;
}

static void add_run (const char *label, const char *outcome)
{
    struct row_lease_run *r = &page.runs[page.runs_count++];

    memset (r, 0, sizeof *r);
    strcpy (r->project, "consilio");
    strcpy (r->label, label);
    strcpy (r->host, "vm1");
    strcpy (r->outcome, outcome);
    r->token = 17;
    r->ended_ms = TODAY + 3600000;
    r->run_ms = 720000;
    r->status = 3;
}

enum what { DAYS, RUNS, LABELS, ACCURACY, JSON };

static char *render (const struct history_view *v, enum what what,
                     unsigned width)
{
    size_t size;
    char *text;
    FILE *out = open_memstream (&text, &size);

    if (what == DAYS)
        history_view_days (out, v, width, false);
    else if (what == RUNS)
        history_view_runs (out, v, width, 20);
    else if (what == LABELS)
        history_view_labels (out, v, width, 2);
    else if (what == ACCURACY)
        history_view_accuracy (out, v);
    else
        history_view_json (out, v);
    fclose (out);
    return text;
}

static void assert_renders (enum what what, unsigned width, const char *wanted)
{
    struct history_view v = {.since_ms = TODAY};
    char *text;

    history_view_add (&v, &page);
    text = render (&v, what, width);
    assert_string_equal (text, wanted);
    free (text);
    history_view_clear (&v);
}

static int begin (void **s)
{
    (void) s;
    message_init_fields (&page, VERB_HISTORY_OK);
    return 0;
}

static void days_are_a_chart_for_each_project (void **s)
{
    (void) s;
    add_day ("odin", TODAY, 4);
    add_day ("consilio", TODAY, 8);
    add_day ("consilio", TODAY - DAY, 0);
    assert_renders (
        DAYS, 80,
        "consilio\n"
        "   day (UTC)    slot-h                           slots  wait p50 / "
        "p90    kills\n"
        "   2024-10-04     8.00  #######################     12  4 s / 2 min   "
        " "
        "       1\n"
        "   2024-10-03     0.00                              12  4 s / 2 min   "
        " "
        "       1\n"
        "\n"
        "odin\n"
        "   day (UTC)    slot-h                           slots  wait p50 / "
        "p90    kills\n"
        "   2024-10-04     4.00  ############                12  4 s / 2 min   "
        " "
        "       1\n");
}

static void chart_is_never_wider_than_the_terminal (void **s)
{
    struct history_view v = {.since_ms = TODAY};
    (void) s;

    add_day ("p", TODAY, 4);
    history_view_add (&v, &page);
    for (unsigned width = 44; width < 300; width++) {
        char *text = render (&v, DAYS, width);

        for (char *line = strtok (text, "\n"); line; line = strtok (NULL, "\n"))
            assert_true (strlen (line) <= width);
        free (text);
    }
    history_view_clear (&v);
}

static void little_is_not_nothing (void **s)
{
    (void) s;
    add_day ("p", TODAY, 10000);
    add_day ("p", TODAY - DAY, 1);
    assert_renders (DAYS, 44,
                    "p\n"
                    "   day (UTC)    slot-h          slots kills\n"
                    "   2024-10-04 10000.00  ######     12     1\n"
                    "   2024-10-03     1.00  #          12     1\n");
}

static void runs_stand_in_columns_whatever_their_labels_are (void **s)
{
    (void) s;
    add_run ("\x1b]0;x\a", "failed");
    add_run ("a label that is longer than its column is", "done");
    page.runs[1].eta_low_ms = 600000;
    page.runs[1].eta_high_ms = 900000;
    add_run ("\xc3\xa4\xc3\xb6", "lost");
    add_run ("", "killed");
    page.runs[1].memory_bytes = UINT64_C (3) << 29;
    page.runs[1].cpu_ms = 95000;
    page.runs[2].memory_bytes = 1;
    page.runs[2].cpu_ms = 40;
    assert_renders (RUNS, 80,
                    "Newest runs:\n"
                    "   ended (UTC)  label              ran     waited  memory "
                    "  CPU     end\n"
                    "   10-04 01:00  \\x1b]0;x\\x07       12 min  0 ms    -    "
                    "    -       failed (3)\n"
                    "   10-04 01:00  a label that is l  12 min  0 ms    1.5 GB "
                    "  1 min   done\n"
                    "   10-04 01:00  \xc3\xa4\xc3\xb6                 12 min  "
                    "0 ms    1 MB     40 ms   lost\n"
                    "   10-04 01:00  slot 17            12 min  0 ms    -      "
                    "  -       killed\n");
    page.runs_count = 2;
    assert_renders (RUNS, 95,
                    "Newest runs:\n"
                    "   ended (UTC)  label         ran     forecast            "
                    "waited  memory   CPU     end\n"
                    "   10-04 01:00  \\x1b]0;x\\x07  12 min  -                 "
                    "  0 ms    -        -       failed (3)\n"
                    "   10-04 01:00  a label that  12 min  10 min to 15 min    "
                    "0 ms    1.5 GB   1 min   done\n");
}

static void runs_and_labels_are_never_wider_than_the_terminal (void **s)
{
    struct history_view v = {.since_ms = TODAY};
    (void) s;

    add_run ("a label that is longer than any column will ever be", "failed");
    page.runs[0].status = 255;
    page.runs[0].memory_bytes = UINT64_C (9999) << 26;
    page.runs[0].wait_ms = page.runs[0].run_ms = 89 * 60000;
    page.runs[0].cpu_ms = page.runs[0].eta_low_ms = page.runs[0].run_ms;
    page.runs[0].eta_high_ms = page.runs[0].run_ms;
    history_view_add (&v, &page);
    for (unsigned width = 75; width < 200; width++)
        for (enum what what = RUNS; what <= LABELS; what++) {
            char *text = render (&v, what, width);

            for (char *line = strtok (text, "\n"); line;
                 line = strtok (NULL, "\n"))
                assert_true (strlen (line) <= width);
            free (text);
        }
    history_view_clear (&v);
}

static void use (unsigned run, uint64_t run_ms, uint64_t memory, uint64_t cpu)
{
    page.runs[run].ended_ms += run * 1000;
    page.runs[run].run_ms = run_ms;
    page.runs[run].wait_ms = run_ms / 60;
    page.runs[run].memory_bytes = memory << 20;
    page.runs[run].cpu_ms = cpu;
}

static void labels_are_summed_up_the_one_with_most_runs_first (void **s)
{
    (void) s;
    for (unsigned i = 0; i < 10; i++) {
        add_run ("auth", i % 2 ? "done" : "failed");
        use (i, 60000 * (i + 2), 100 * (i + 1), 1000 * i);
    }
    add_run ("build", "killed");
    use (10, 3600000, 0, 0);
    add_run ("", "lost");
    use (11, 1000, 2048, 5000);
    add_run ("", "done");
    use (12, 2000, 0, 0);
    assert_renders (LABELS, 80,
                    "By label:\n"
                    "   label                runs  run p50 / p90    wait p50 / "
                    "p90   mem p90  CPU/run\n"
                    "   auth                   10  6 min / 10 min   6 s / 10 s "
                    "      900 MB   5 s\n"
                    "   (none)                  2  1 s / 2 s        16 ms / 33 "
                    "ms    2.0 GB   5 s\n"
                    "   and 1 more: --json has all\n"
                    "\n");
}

static void tree_of_several_slots_is_one_run_and_what_goes_on_is_none (void **s)
{
    (void) s;
    for (unsigned i = 0; i < 3; i++)
        add_run ("auth", "done");
    page.runs[2].memory_bytes = 300 << 20; // the first of them is listed last
    page.runs[2].cpu_ms = 9000;
    add_run ("auth", "parked");
    add_run ("", "released");
    add_run ("helper", "released"); // inside its supervisor
    add_run ("helper", "released");
    assert_renders (LABELS, 80,
                    "By label:\n"
                    "   label                runs  run p50 / p90    wait p50 / "
                    "p90   mem p90  CPU/run\n"
                    "   helper                  2  12 min / 12 min  0 ms / 0 "
                    "ms      -        -\n"
                    "   auth                    1  12 min / 12 min  0 ms / 0 "
                    "ms      300 MB   9 s\n"
                    "\n");
    page.runs_count = 0;
    add_run ("", "released");
    assert_renders (LABELS, 80, "");
}

static void accuracy_is_a_share_of_those_with_a_forecast (void **s)
{
    struct accuracy some[] = {{"consilio", 20, 10, 8}, {"odin", 5, 0, 0}};
    struct history_view v = {.accuracies = some, .accuracy_count = 2};
    char *text;
    (void) s;

    v.all = (struct accuracy){"", 25, 10, 8};
    text = render (&v, ACCURACY, 80);
    assert_string_equal (
        text, "Ended within the forecast (80 % should):\n"
              "   consilio                  80 %  (8 of 10 with a forecast; 20 "
              "ended)\n"
              "   odin                     no forecast yet, of 5 that ended\n"
              "   all                       80 %  (8 of 10 with a forecast; 25 "
              "ended)\n");
    free (text);
}

static void json_is_one_object_whatever_bytes_came (void **s)
{
    struct history_view v = {.since_ms = TODAY};
    const json_t *run, *sum;
    json_t *all;
    char *text;
    (void) s;

    add_day ("p", TODAY, 4);
    add_run ("\xff\x1b", "done");
    page.runs[0].memory_bytes = 7;
    add_run ("\xff\x1b", "done");
    history_view_add (&v, &page);
    text = render (&v, JSON, 80);
    all = json_loads (text, 0, NULL);
    assert_non_null (all);
    assert_int_equal (json_integer_value (json_object_get (all, "schema")), 1);
    run = json_array_get (json_object_get (all, "runs"), 0);
    assert_string_equal (json_string_value (json_object_get (run, "label")),
                         "\\xff\\x1b");
    assert_int_equal (
        json_integer_value (json_object_get (run, "memory_bytes")), 7);
    run = json_array_get (json_object_get (all, "runs"), 1);
    assert_true (json_is_null (json_object_get (run, "memory_bytes")));
    assert_true (json_is_null (json_object_get (run, "forecast_ms")));
    sum = json_array_get (json_object_get (all, "labels"), 0);
    assert_string_equal (json_string_value (json_object_get (sum, "label")),
                         "\\xff\\x1b");
    assert_int_equal (json_integer_value (json_object_get (sum, "runs")), 2);
    assert_int_equal (json_integer_value (json_object_get (sum, "run_p90_ms")),
                      720000);
    assert_int_equal (
        json_integer_value (json_object_get (sum, "memory_p90_bytes")), 7);
    assert_true (json_is_null (json_object_get (sum, "cpu_ms_per_run")));
    json_decref (all);
    free (text);
    history_view_clear (&v);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup (days_are_a_chart_for_each_project, begin),
        cmocka_unit_test_setup (chart_is_never_wider_than_the_terminal, begin),
        cmocka_unit_test_setup (little_is_not_nothing, begin),
        cmocka_unit_test_setup (runs_stand_in_columns_whatever_their_labels_are,
                                begin),
        cmocka_unit_test_setup (
            runs_and_labels_are_never_wider_than_the_terminal, begin),
        cmocka_unit_test_setup (
            labels_are_summed_up_the_one_with_most_runs_first, begin),
        cmocka_unit_test_setup (
            tree_of_several_slots_is_one_run_and_what_goes_on_is_none, begin),
        cmocka_unit_test_setup (accuracy_is_a_share_of_those_with_a_forecast,
                                begin),
        cmocka_unit_test_setup (json_is_one_object_whatever_bytes_came, begin),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
