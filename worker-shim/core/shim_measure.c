/* SPDX-License-Identifier: MPL-2.0 */
/* What trees take: every sample_ms each tree that runs is measured by the
 * shell, a few in a turn so that no beat waits, and the broker is told. It is
 * news of the moment: lost, it is not said again.
 */
#include "core/shim_state.h"

enum { MEASURED_IN_A_TURN = 16 };

static bool is_measurable (const struct run *run)
{
    return run->state == RUN_ATTACHED && run->armed && !run->lost;
}

/* One that was not measured in time has its turn now. */
static void begin (struct shim *s, int64_t now)
{
    s->measure_at = now + s->tenure.sample_ms;
    for (struct run *run = NULL; (run = runs_next (&s->runs, run));)
        run->to_measure = is_measurable (run);
}

static void ask (struct run *run, struct actions *out)
{
    struct action *a = actions_add (out, ACT_MEASURE);

    run->to_measure = false;
    a->token = run->named;
    a->keeper = run->keeper;
    copy_text (a->cgroup, sizeof a->cgroup, run->cgroup);
}

void shim_measure (struct shim *s, int64_t now, struct actions *out)
{
    unsigned asked = 0;

    if (s->tenure.sample_ms == 0)
        return;
    if (now >= s->measure_at)
        begin (s, now);
    for (struct run *run = NULL;
         asked < MEASURED_IN_A_TURN && (run = runs_next (&s->runs, run));) {
        if (!run->to_measure || !is_measurable (run))
            continue;
        ask (run, out);
        asked++;
    }
}

int64_t shim_measure_due (const struct shim *s)
{
    struct runs *runs = (struct runs *) &s->runs;
    int64_t due = INT64_MAX;

    if (s->tenure.sample_ms == 0)
        return due;
    for (struct run *run = NULL; (run = runs_next (runs, run));) {
        if (!is_measurable (run))
            continue;
        if (run->to_measure)
            return 0;
        due = s->measure_at;
    }
    return due;
}

static uint64_t sendable (uint64_t number)
{
    return number > INT64_MAX ? INT64_MAX : number;
}

/* Of a process that ends without being waited for by one of the tree the
 * time is not seen again. */
void shim_on_measured (struct shim *s, uint64_t token,
                       const struct measured *measured, int64_t now)
{
    struct run *run = runs_named (&s->runs, token);

    (void) now;
    if (!run || !is_measurable (run))
        return;
    s->news = true;
    run->measured = true;
    run->now_bytes = sendable (measured->memory_bytes);
    if (measured->cpu_ms > run->used_ms)
        run->used_ms = sendable (measured->cpu_ms);
    run->running =
        measured->running > INT32_MAX ? INT32_MAX : measured->running;
}

static bool is_any_measured (struct shim *s)
{
    for (struct run *run = NULL; (run = runs_next (&s->runs, run));) {
        if (run->measured)
            return true;
    }
    return false;
}

void shim_say_footprints (struct shim *s, struct actions *out)
{
    struct msg_footprints m;
    const size_t most = sizeof m.trees / sizeof *m.trees;

    if (!is_any_measured (s))
        return;
    message_init_fields (&m, VERB_FOOTPRINT);
    m.session = s->tenure.session;
    for (struct run *run = NULL;
         m.trees_count < most && (run = runs_next (&s->runs, run));) {
        if (!run->measured)
            continue;
        run->measured = false;
        if (is_measurable (run))
            m.trees[m.trees_count++] = (struct row_footprint){
                run->token, run->now_bytes, run->used_ms, run->running};
    }
    if (m.trees_count)
        actions_send (out, VERB_FOOTPRINT, &m);
}
