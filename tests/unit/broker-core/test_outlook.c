/* SPDX-License-Identifier: MPL-2.0 */
/* When those who wait are told that they will be served, whether that comes
 * true, and what they are told would help them. */
#include "stage.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/outlook.h"
#include "core/state.h"

/* ---- chance ---- */

static uint64_t next_random (uint64_t *state)
{
    uint64_t x = *state += UINT64_C (0x9e3779b97f4a7c15);

    x = (x ^ (x >> 30)) * UINT64_C (0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C (0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* In (0, 1]. */
static double portion (uint64_t *state)
{
    return ((double) (next_random (state) >> 11) + 1) / 9007199254740992.0;
}

static double normal (uint64_t *state)
{
    double far = sqrt (-2 * log (portion (state)));

    return far * cos (2 * 3.14159265358979 * portion (state));
}

/* ---- a town: projects whose agents run, end and come back ---- */

enum { PROJECTS = 6, LABELS = 2, MOST_JOBS = 64 };

static const char *const names[PROJECTS] = {"ada",  "bob", "cleo",
                                            "dora", "eve", "finn"};
static const char *const labels[LABELS] = {"auth", "tests"};
static const unsigned priorities[PROJECTS] = {5, 5, 5, 8, 8, 10};

enum job_state { JOB_IDLE, JOB_WAITS, JOB_RUNS };

/* Somebody who asks, runs, thinks, and asks again. */
struct job {
    enum job_state state;
    struct actor *who;
    unsigned project, label, count;
    uint64_t seq, first, granted; // of its newest request; tokens
    int64_t at;                   // of what it does next
    int64_t began;                // to wait, then to run
    bool told;
    int64_t low, high; // as it was told when it joined: monotonic ms
};

/* How those were served that had been told when. */
struct score {
    unsigned grants, waited, told, early, inside, late;
};

struct town {
    struct stage *st;
    struct actor *shims[PROJECTS];
    struct job jobs[MOST_JOBS];
    unsigned job_count;
    uint64_t chance;
    struct score score;
};

/* Lognormal: a median of 60 to 210 s, by project and label. */
static int64_t duration (struct town *t, const struct job *j)
{
    double median = 60000.0 + 15000 * (j->project + (j->label ? 5 : 0));

    return (int64_t) (median * exp (0.5 * normal (&t->chance))) + 1;
}

static void learn_all (struct town *t)
{
    for (unsigned i = 0; i < PROJECTS * LABELS * 64; i++) {
        const struct job j = {.project = i % PROJECTS,
                              .label = i / PROJECTS % LABELS};

        broker_restore_duration (t->st->b, names[j.project], labels[j.label],
                                 duration (t, &j));
    }
}

static void town_init (struct town *t, enum policy policy, uint64_t chance)
{
    struct stage *st = stage_create (10);

    *t = (struct town){.st = st, .chance = chance};
    st->settings.policy = policy;
    st->settings.max_per_project = 6;
    st->settings.max_per_project_auto = false;
    st->settings.reclaim = false;
    for (unsigned i = 0; i < PROJECTS; i++)
        settings_add_project (&st->settings, names[i])->priority =
            priorities[i];
    stage_begin (st);
    broker_reload (st->b, &st->settings, st->now, st->out);
    stage_end (st);
    learn_all (t);
    for (unsigned i = 0; i < PROJECTS; i++)
        t->shims[i] = stage_shim (st, names[i]);
}

static struct job *job_of (struct town *t, const struct actor *who,
                           uint64_t seq)
{
    for (unsigned i = 0; i < t->job_count; i++) {
        struct job *j = &t->jobs[i];

        if (j->who == who && j->seq == seq && j->state == JOB_WAITS)
            return j;
    }
    return NULL;
}

static void count (struct score *s, const struct job *j, int64_t now)
{
    s->grants++;
    s->waited += now > j->began + 1000;
    if (!j->told || now <= j->began + 1000)
        return;
    s->told++;
    s->early += now < j->low;
    s->late += now > j->high;
    s->inside += now >= j->low && now <= j->high;
}

static void start (struct town *t, struct job *j, uint64_t first,
                   uint64_t granted)
{
    count (&t->score, j, t->st->now);
    j->state = JOB_RUNS;
    j->first = first;
    j->granted = granted;
    j->began = t->st->now;
    j->at = j->began + duration (t, j);
}

static void on_queued (struct town *t, struct job *j,
                       const struct msg_queued *q)
{
    if (!j || j->told || t->st->now > j->began + 1000 || !q->eta_high_s)
        return;
    j->told = true;
    j->low = t->st->now + (int64_t) q->eta_low_s * 1000;
    j->high = t->st->now + (int64_t) q->eta_high_s * 1000;
}

static void read_mail (struct town *t)
{
    struct stage *st = t->st;

    for (size_t i = 0; i < outbox_sent (st->out); i++) {
        struct outgoing m = outbox_outgoing (st->out, i);
        struct actor *who = &st->actors[m.to.id[4] - 1];
        const struct msg_grant *g = m.fields;
        const struct msg_queued *q = m.fields;

        if (m.verb == VERB_GRANT && job_of (t, who, g->seq))
            start (t, job_of (t, who, g->seq), g->first, g->count);
        if (m.verb == VERB_QUEUED)
            on_queued (t, job_of (t, who, q->seq), q);
    }
}

static void tell (struct town *t, struct job *j)
{
    stage_tell (t->st, j->who);
    read_mail (t);
}

/* What is asked for at the same time is gathered, under `fair`. */
static void let_gather (struct town *t)
{
    if (t->st->settings.policy != POLICY_FAIR)
        return;
    t->st->now += t->st->settings.timing.gather;
    stage_begin (t->st);
    stage_end (t->st);
    read_mail (t);
}

static void ask (struct town *t, struct job *j)
{
    struct stage *st = t->st;

    make_request (st, j->who, j->count);
    st->msg.request.run = true;
    st->msg.request.min = j->count;
    copy_text (st->msg.request.labels, sizeof st->msg.request.labels,
               labels[j->label]);
    j->state = JOB_WAITS;
    j->seq = j->who->seq;
    j->began = st->now;
    j->at = INT64_MAX;
    j->told = false;
    tell (t, j);
    let_gather (t);
}

static void say_started (struct town *t, struct job *j)
{
    make_started (t->st, j->who, j->first);
    for (uint64_t i = 1; i < j->granted; i++)
        u64s_add (&t->st->msg.started.tokens, j->first + i);
    tell (t, j);
}

static void finish (struct town *t, struct job *j)
{
    say_started (t, j);
    make_reaped (t->st, j->who, j->first);
    for (uint64_t i = 1; i < j->granted; i++)
        u64s_add (&t->st->msg.reaped.tokens, j->first + i);
    j->state = JOB_IDLE;
    j->at = t->st->now - (int64_t) (40000 * log (portion (&t->chance)));
    tell (t, j);
}

static struct job *soonest (struct town *t)
{
    struct job *first = &t->jobs[0];

    for (unsigned i = 1; i < t->job_count; i++) {
        if (t->jobs[i].at < first->at)
            first = &t->jobs[i];
    }
    return first;
}

static struct job *add_job (struct town *t, unsigned project)
{
    struct job *j = &t->jobs[t->job_count++];

    *j = (struct job){.who = t->shims[project], .project = project};
    j->label = next_random (&t->chance) % LABELS;
    j->count = next_random (&t->chance) % 4 ? 1 : 2;
    return j;
}

static struct town *settle (enum policy policy, uint64_t chance)
{
    struct town *t = malloc (sizeof *t);

    town_init (t, policy, chance);
    for (unsigned i = 0; i < 4 * PROJECTS; i++)
        add_job (t, i % PROJECTS)->at = t->st->now + 7000 * i;
    return t;
}

static void leave (struct town *t)
{
    stage_destroy (t->st);
    free (t);
}

/* The next that happens; returns whose it is. */
static struct job *go_on (struct town *t)
{
    struct job *j = soonest (t);

    t->st->now = j->at > t->st->now ? j->at : t->st->now;
    if (j->state == JOB_IDLE)
        ask (t, j);
    else
        finish (t, j);
    return j;
}

static struct score live (enum policy policy, unsigned grants, uint64_t chance)
{
    struct town *t = settle (policy, chance);
    struct score score;

    while (t->score.grants < grants)
        go_on (t);
    score = t->score;
    leave (t);
    return score;
}

static void assert_kept (enum policy policy, uint64_t chance)
{
    struct score s = live (policy, 600, chance);

    print_message ("%s: %u waited, %u were told, %u early, %u late\n",
                   policy_name (policy), s.waited, s.told, s.early, s.late);
    assert_true (s.told > 300);
    assert_true (100 * s.told >= 97 * s.waited);
    assert_true (100 * s.inside >= 70 * s.told);
    assert_true (100 * s.inside <= 90 * s.told);
}

static void of_those_who_wait_four_in_five_are_served_as_foretold (void **state)
{
    (void) state;
    assert_kept (POLICY_FIFO, 1);
    assert_kept (POLICY_PRIORITY, 2);
    assert_kept (POLICY_FAIR, 3);
}

/* ---- and is the range any use? ---- */

enum { FUTURES = 50 };

/* From here on chance is another one: what runs ends at another time, but not
 * earlier than now. */
static void change_fate (struct town *t, uint64_t chance)
{
    t->chance = chance;
    for (unsigned i = 0; i < t->job_count; i++) {
        struct job *j = &t->jobs[i];

        if (j->state == JOB_IDLE)
            j->at = t->st->now - (int64_t) (40000 * log (portion (&t->chance)));
        while (j->state == JOB_RUNS &&
               (j->at = j->began + duration (t, j)) <= t->st->now)
            ;
    }
}

/* How long it waits, in one of all that may come. */
static int64_t wait_of (struct town *t, const struct job *j, uint64_t chance)
{
    int64_t began = j->began;

    change_fate (t, chance);
    t->st->b->forecast_due = t->st->b->forecast_soon = INT64_MAX;
    while (j->state == JOB_WAITS)
        go_on (t);
    return j->began - began;
}

static int by_length (const void *a, const void *b)
{
    int64_t x = *(const int64_t *) a, y = *(const int64_t *) b;

    return x < y ? -1 : x > y;
}

/* Each future is lived by a copy of this process. */
static int64_t true_width (struct town *t, const struct job *j)
{
    int64_t waits[FUTURES];

    for (unsigned i = 0; i < FUTURES; i++) {
        int ends[2], status;
        pid_t pid;

        assert_int_equal (pipe (ends), 0);
        fflush (stdout);
        pid = fork ();
        assert_true (pid >= 0);
        if (pid == 0) {
            int64_t wait = wait_of (t, j, 1000 + i);

            _exit (write (ends[1], &wait, sizeof wait) != sizeof wait);
        }
        assert_int_equal (read (ends[0], &waits[i], sizeof waits[i]),
                          sizeof waits[i]);
        assert_int_equal (waitpid (pid, &status, 0), pid);
        close (ends[0]);
        close (ends[1]);
    }
    qsort (waits, FUTURES, sizeof *waits, by_length);
    return waits[FUTURES * 9 / 10] - waits[FUTURES / 10];
}

/* Of every tenth that joins; the first hundred make the town what it is. By
 * priority, who waits behind all others depends on how many will come: that is
 * guessed, and its range alone may be wider. */
static void assert_narrow (enum policy policy, uint64_t chance)
{
    struct town *t = settle (policy, chance);
    double sum = 0, widest = 0;
    unsigned count = 0;

    while (t->score.grants < 100)
        go_on (t);
    for (unsigned joined = 0; count < 8;) {
        const struct job *j = go_on (t);
        double times;

        if (j->state != JOB_WAITS || !j->told || joined++ % 10)
            continue;
        times = (double) (j->high - j->low) / (double) true_width (t, j);
        sum += times;
        widest = times > widest ? times : widest;
        count++;
    }
    leave (t);
    print_message ("%s: told %.2f times the true range, at most %.2f\n",
                   policy_name (policy), sum / count, widest);
    assert_true (sum / count > 0.7 && sum / count < 2);
    assert_true (policy == POLICY_PRIORITY || widest <= 2.5);
}

static void range_is_not_much_wider_than_what_chance_makes (void **state)
{
    (void) state;
    assert_narrow (POLICY_FIFO, 4);
    assert_narrow (POLICY_PRIORITY, 5);
    assert_narrow (POLICY_FAIR, 6);
}

/* ---- what one who waits is told ---- */

static void learn (struct stage *st, const char *project, const char *label)
{
    for (unsigned i = 0; i < 20; i++)
        broker_restore_duration (st->b, project, label, 60000 + 3000 * i);
}

/* A `run` of so many slots. */
static void run_it (struct stage *st, struct actor *a, unsigned count,
                    const char *label)
{
    make_request (st, a, count);
    st->msg.request.run = true;
    copy_text (st->msg.request.labels, sizeof st->msg.request.labels, label);
    stage_tell (st, a);
}

static const struct msg_queued *queued (struct stage *st, struct actor *a)
{
    const struct msg_queued *q = stage_got (st, a, VERB_QUEUED);

    assert_non_null (q);
    return q;
}

static void assert_unblocks (struct stage *st, struct actor *a,
                             const char *reason, const char *text)
{
    const struct msg_queued *q = queued (st, a);

    assert_string_equal (q->reason, reason);
    assert_string_equal (q->unblocks, text);
}

static void batch (struct stage *st)
{
    stage_begin (st);
    stage_end (st);
}

static void without_a_basis_there_is_no_number (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");

    (void) state;
    run_it (st, a, 2, "auth");
    run_it (st, b, 2, "auth");
    run_it (st, b, 2, "auth");
    assert_int_equal (queued (st, b)->eta_low_s, 0);
    assert_int_equal (queued (st, b)->eta_high_s, 0);
    stage_destroy (st);
}

/* Two slots of `a` run for 60 to 117 s, and nobody knows when those of `c` will
 * come free. */
static struct stage *one_waits (struct actor **ret_a, struct actor **ret_b)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");

    learn (st, "a", "auth");
    act_request (st, stage_shim (st, "c"), 2);
    run_it (st, a, 2, "auth");
    st->now += 200;
    *ret_a = a;
    *ret_b = b;
    return st;
}

static void who_waits_for_known_agents_is_told_a_range_at_once (void **state)
{
    struct actor *a, *b;
    struct stage *st = one_waits (&a, &b);
    const struct msg_queued *q;

    (void) state;
    act_request (st, b, 1);
    q = queued (st, b);
    assert_int_equal (q->min, 1);
    assert_string_equal (q->reason, "SLOTS");
    assert_in_range (q->eta_low_s, 50, 80);
    assert_in_range (q->eta_high_s, 90, 130);
    stage_destroy (st);
}

static const struct row_waiter *row_of (struct stage *st, struct actor *admin)
{
    const struct msg_status_ok *ok;

    message_init (&st->msg, VERB_STATUS);
    stage_tell (st, admin);
    ok = stage_got (st, admin, VERB_STATUS_OK);
    assert_non_null (ok);
    assert_true (ok->queue_count > 0);
    return &ok->queue[0];
}

static void range_grows_shorter_with_time_and_is_renewed (void **state)
{
    struct actor *a, *b;
    struct stage *st = one_waits (&a, &b);
    struct actor *admin = stage_admin (st);
    uint64_t low, high;

    (void) state;
    act_request (st, b, 1);
    low = queued (st, b)->eta_low_s;
    high = queued (st, b)->eta_high_s;
    st->now += 1000; // no forecast is made so soon
    assert_int_equal (row_of (st, admin)->eta_low_s, low - 1);
    assert_int_equal (row_of (st, admin)->eta_high_s, high - 1);
    stage_sleep (st, 100000); // of twenty, those that ran so long took 117 s
    assert_in_range (row_of (st, admin)->eta_high_s, 2, 30);
    stage_destroy (st);
}

static void forecast_that_moved_is_told_without_being_asked (void **state)
{
    struct actor *a, *b;
    struct stage *st = one_waits (&a, &b);
    const struct msg_queued *q;
    const struct msg_queue *published;

    (void) state;
    act_request (st, b, 1);
    st->now += 3000;
    message_init (&st->msg, VERB_PROGRESS); // "nearly done"
    st->msg.progress.session = a->session;
    st->msg.progress.token = a->holds.at[0];
    st->msg.progress.percent = 99;
    stage_tell (st, a);
    q = queued (st, b);
    assert_in_range (q->eta_high_s, 1, 60);
    published = stage_published (st, "queue.b");
    assert_non_null (published);
    assert_int_equal (published->requests[0].eta_high_s, q->eta_high_s);
    assert_string_equal (published->requests[0].unblocks, q->unblocks);
    stage_destroy (st);
}

static void set_disk (struct stage *st, bool full)
{
    stage_begin (st);
    broker_observe_disk (st->b, full, st->now, st->out);
    stage_end (st);
}

static void pause_it (struct stage *st, struct actor *admin, const char *name,
                      enum verb verb)
{
    message_init (&st->msg, verb);
    if (verb == VERB_PAUSE)
        copy_text (st->msg.pause.project, sizeof st->msg.pause.project, name);
    else
        copy_text (st->msg.resume.project, sizeof st->msg.resume.project, name);
    stage_tell (st, admin);
}

static void forecast_is_withdrawn_when_nothing_is_granted (void **state)
{
    struct actor *a, *b;
    struct stage *st = one_waits (&a, &b);
    struct actor *admin = stage_admin (st);

    (void) state;
    act_request (st, b, 1);
    assert_true (queued (st, b)->eta_high_s > 0);
    set_disk (st, true);
    assert_int_equal (queued (st, b)->eta_high_s, 0);
    assert_unblocks (st, b, "DISK", "room on the disk of the broker's state");
    set_disk (st, false);
    st->now += 2000;
    batch (st);
    assert_true (queued (st, b)->eta_high_s > 0);
    pause_it (st, admin, "b", VERB_PAUSE);
    assert_int_equal (queued (st, b)->eta_high_s, 0);
    assert_unblocks (st, b, "PAUSED", "slotbus resume b");
    st->now += 2000;
    batch (st);
    pause_it (st, admin, "b", VERB_RESUME);
    st->now += 2000;
    batch (st);
    assert_true (row_of (st, admin)->eta_high_s > 0);
    stage_destroy (st);
}

static void same_state_gives_the_same_forecast (void **state)
{
    struct actor *a[2], *b[2];
    struct stage *st[2];

    (void) state;
    for (int i = 0; i < 2; i++) {
        st[i] = one_waits (&a[i], &b[i]);
        act_request (st[i], b[i], 1);
    }
    assert_memory_equal (queued (st[0], b[0]), queued (st[1], b[1]),
                         sizeof (struct msg_queued));
    stage_destroy (st[0]);
    stage_destroy (st[1]);
}

static void who_waits_is_told_what_would_let_it_go_on (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");
    struct actor *c = stage_shim (st, "c");

    (void) state;
    learn (st, "a", "auth");
    run_it (st, a, 1, "auth");
    act_request (st, a, 1);
    act_request (st, a, 1); // two is its cap
    assert_unblocks (st, a, "CAP", "1 slot: a's auth (in about 89 s)");
    act_request (st, b, 2);
    act_request (st, c, 2);
    assert_unblocks (st, c, "SLOTS",
                     "2 slots: a's auth (in about 89 s) and a's slot 2");
    act_request (st, c, 1);
    assert_unblocks (st, c, "TURN", "3 slots, in its turn");
    stage_lose_state (st, false);
    act_hello (st, c);
    act_request (st, c, 1);
    assert_unblocks (st, c, "LEARNING", "time alone");
    stage_destroy (st);
}

static void who_is_only_paced_needs_no_more_than_time (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a");

    (void) state;
    st->settings.grant_burst = 1; // and none has been saved up
    stage_begin (st);
    broker_reload (st->b, &st->settings, st->now, st->out);
    stage_end (st);
    act_request (st, a, 1);
    assert_unblocks (st, a, "PACING", "time alone");
    act_request (st, a, 1); // there are slots for both
    assert_unblocks (st, a, "TURN", "its turn alone");
    act_request (st, a, 2);
    act_request (st, a, 1);
    assert_unblocks (st, a, "TURN", "1 slot, in its turn");
    stage_destroy (st);
}

static void who_is_late_is_named_first (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a = stage_shim (st, "a"), *b = stage_shim (st, "b");

    (void) state;
    learn (st, "a", "auth");
    run_it (st, a, 1, "auth");
    st->now += 100000;
    run_it (st, a, 1, "auth");
    act_request (st, b, 2);
    act_request (st, b, 1);
    st->now += 2000;
    assert_unblocks (st, b, "CAP", "1 slot: b's slot 3");
    act_request (st, stage_shim (st, "c"), 1);
    assert_unblocks (st, &st->actors[2], "SLOTS",
                     "1 slot: a's auth (past its median)");
    stage_destroy (st);
}

/* Ten bytes of it are two characters and a half. */
static void names_are_cut_between_characters (void **state)
{
    struct stage *st = stage_create (4);
    struct actor *a =
        stage_shim (st, "a-project-with-a-name-of-many-more-letters");
    struct actor *b = stage_shim (st, "b");
    const char *label = "\xf0\x9f\x98\x80\xf0\x9f\x98\x80 "
                        "\xf0\x9f\x98\x80\xf0\x9f\x98\x80 "
                        "\xf0\x9f\x98\x80";

    (void) state;
    learn (st, a->hello.project, label);
    run_it (st, a, 1, label);
    run_it (st, a, 1, label);
    act_request (st, b, 2);
    act_request (st, stage_shim (st, "c"), 2);
    assert_unblocks (st, &st->actors[2], "SLOTS",
                     "2 slots: a-project-with-a-nam's "
                     "\xf0\x9f\x98\x80\xf0\x9f\x98\x80 "
                     "\xf0\x9f\x98\x80\xf0\x9f\x98\x80  "
                     "(in about 89 s) and a-project-with-a-nam's "
                     "\xf0\x9f\x98\x80\xf0\x9f\x98\x80 "
                     "\xf0\x9f\x98\x80\xf0\x9f\x98\x80  "
                     "(in about 89 s)");
    stage_destroy (st);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (without_a_basis_there_is_no_number),
        cmocka_unit_test (who_waits_for_known_agents_is_told_a_range_at_once),
        cmocka_unit_test (range_grows_shorter_with_time_and_is_renewed),
        cmocka_unit_test (forecast_that_moved_is_told_without_being_asked),
        cmocka_unit_test (forecast_is_withdrawn_when_nothing_is_granted),
        cmocka_unit_test (same_state_gives_the_same_forecast),
        cmocka_unit_test (who_waits_is_told_what_would_let_it_go_on),
        cmocka_unit_test (who_is_only_paced_needs_no_more_than_time),
        cmocka_unit_test (who_is_late_is_named_first),
        cmocka_unit_test (names_are_cut_between_characters),
        cmocka_unit_test (
            of_those_who_wait_four_in_five_are_served_as_foretold),
        cmocka_unit_test (range_is_not_much_wider_than_what_chance_makes),
    };

    return cmocka_run_group_tests (tests, NULL, NULL);
}
