/* SPDX-License-Identifier: MPL-2.0 */
#include "core/conduct.h"

#include <math.h>
#include <string.h>

#include "core/memory.h"

/* From here on a status is the shell's: 126 and 127 say that nothing ran, 128
 * and more a signal. */
enum { STATUS_NOT_ITS_OWN = 126 };

static int64_t since (int64_t then, int64_t now)
{
    return now > then ? now - then : 0;
}

/* When what runs there began: of a `run` the grant, unless it was parked since;
 * in a reservation, if that was seen, the start of the tree. */
static int64_t began (const struct lease *l)
{
    int64_t begun = l->conduct.begun;

    return begun && (!l->r.run || begun < l->r.granted) ? begun : l->r.granted;
}

void conduct_grant (const struct broker *b, struct lease_record *r)
{
    const struct so_far nothing = {0, NAN, 0};
    struct range runs;

    r->eta_low_ms = r->eta_high_ms = 0;
    if (!r->run || r->bound || !r->seq) // adopted: it has run for long
        return;
    if (!forecasts_left (b->forecasts, r->project, r->label, &nothing, &runs))
        return;
    r->eta_low_ms = runs.low;
    r->eta_high_ms = runs.high;
}

void conduct_begin (struct lease *l, int64_t now)
{
    l->footprint = (struct footprint){0};
    l->conduct.begun = now;
    l->conduct.said = l->conduct.learn_at = 0;
}

/* The grant of a `run` is in the store, its start is not: of a run that
 * outlived a broker in parking that is the beginning. */
void conduct_return (struct lease *l, const struct lease *from)
{
    l->conduct = from->conduct;
    if (from->r.run)
        l->conduct.begun = began (from);
}

/* The nearer to the middle it was said, the more it says of what such words
 * are worth. */
static bool tells_more (double percent, double than)
{
    return isnan (than) || fabs (percent - 50) < fabs (than - 50);
}

void conduct_progress (struct lease *l, int64_t now)
{
    struct conduct *c = &l->conduct;
    double percent = lease_percent (&l->r);
    int64_t elapsed = since (began (l), now);

    if (isnan (percent) || (c->said && percent == c->percent))
        return;
    c->percent = percent;
    c->said = elapsed > 0 ? elapsed : 1;
    if (c->learn_at && !tells_more (percent, c->learn_percent))
        return;
    c->learn_at = c->said;
    c->learn_percent = percent;
}

/* ---- a tree's end ---- */

static bool was_killed (const struct lease *l)
{
    return l->conduct.killed || l->r.state == LEASE_KILLING;
}

static bool ended_by_itself (const struct lease *l)
{
    return l->r.state == LEASE_ACTIVE && !was_killed (l) &&
           l->conduct.status < STATUS_NOT_ITS_OWN;
}

static void learn (struct broker *b, const struct lease *l, uint64_t peak,
                   int64_t now)
{
    const struct conduct *c = &l->conduct;
    int64_t ran = since (began (l), now);

    forecasts_learn_memory (b->forecasts, l->r.project, l->r.label, peak);
    if (!l->r.run && !c->begun)
        return; // it began before this broker did: nobody knows when
    forecasts_learn (b->forecasts, l->r.project, l->r.label, ran);
    if (c->learn_at)
        forecasts_learn_progress (b->forecasts, l->r.project, l->r.label,
                                  c->learn_at, c->learn_percent, ran);
}

static uint64_t more_of (uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t sum_of (uint64_t a, uint64_t b)
{
    return a > INT64_MAX - b ? INT64_MAX : a + b;
}

static struct run_record record_of (const struct lease *l, const char *outcome)
{
    struct run_record r = {
        .token = l->r.token,
        .whole_ms = l->conduct.whole,
        .status = l->conduct.status,
        .memory_bytes = l->conduct.memory_bytes,
        .cpu_ms = l->conduct.cpu_ms,
    };

    copy_text (r.project, sizeof r.project, l->r.project);
    copy_text (r.label, sizeof r.label, l->r.label);
    copy_text (r.host, sizeof r.host, l->r.host);
    copy_text (r.outcome, sizeof r.outcome, outcome);
    return r;
}

static const char *end_of (const struct conduct *c)
{
    return c->status == 0 ? "done" : "failed";
}

/* What the tree used is told here, and not again with the reservation. One
 * that began before this broker did has no duration: its reservation tells. */
static void record_tree (struct lease *l, int64_t now, struct outbox *out)
{
    struct conduct *c = &l->conduct;
    struct run_record r;

    if (l->r.run || !c->begun)
        return;
    r = record_of (l, end_of (c));
    r.whole_ms = now > c->begun ? now - c->begun : 1;
    outbox_run (out, &r);
    c->told = true;
    c->reaped = false;
    c->status = 0;
    c->whole = 0;
    c->memory_bytes = c->cpu_ms = 0;
}

void conduct_end (struct broker *b, struct lease *l,
                  const struct msg_reaped *end, int64_t now, struct outbox *out)
{
    struct conduct *c = &l->conduct;
    const struct footprint *f = &l->footprint;
    uint64_t peak = more_of (end->memory_bytes, f->peak_bytes);
    bool leads = l->r.token == end->tokens.at[0];

    if (!l->r.tree)
        return;
    c->reaped = true;
    c->status = (uint32_t) end->status;
    c->whole = began (l) == l->r.granted ? 0 : since (began (l), now);
    if (leads) {
        c->cpu_ms = sum_of (c->cpu_ms, more_of (end->cpu_ms, f->cpu_ms));
        c->memory_bytes = more_of (c->memory_bytes, peak);
        if (ended_by_itself (l))
            learn (b, l, peak, now);
    }
    l->footprint = (struct footprint){0};
    if (out)
        record_tree (l, now, out);
    c->begun = c->said = c->learn_at = 0;
}

/* ---- the slot's end ---- */

static bool is_any (const char *word, const char *const *words)
{
    while (*words && strcmp (*words, word) != 0)
        words++;
    return *words;
}

static const char *outcome_of (const struct lease *l, const char *why)
{
    static const char *const lost[] = {"rebooted", "lock_delay", "proven",
                                       "unnamed",  "forced",     NULL};

    if (was_killed (l) || strcmp (why, "killed") == 0)
        return "killed";
    if (strcmp (why, "returned") == 0)
        return "parked"; // what ran there goes on
    if (l->r.state == LEASE_LIMBO || is_any (why, lost))
        return "lost";
    if (strcmp (why, "reaped") != 0 || !l->conduct.reaped)
        return "released";
    return end_of (&l->conduct);
}

/* Its times are those of another boot's clock. */
static bool is_of_another_boot (const struct broker *b, const struct lease *l)
{
    return l->r.own && strcmp (l->r.boot, b->self.boot) != 0;
}

/* What is parked has not been held since. */
static int64_t ended (const struct broker *b, const struct lease *l)
{
    return l->r.state == LEASE_PARKED ? l->r.since : b->turned;
}

void conduct_record (const struct broker *b, const struct lease *l,
                     const char *why, struct outbox *out)
{
    struct run_record r = record_of (l, outcome_of (l, why));

    if (l->damaged)
        return;
    r.memory_bytes = more_of (r.memory_bytes, l->footprint.peak_bytes);
    r.cpu_ms = sum_of (r.cpu_ms, l->footprint.cpu_ms);
    r.wait_ms = l->r.waited_ms;
    r.eta_low_ms = l->r.eta_low_ms;
    r.eta_high_ms = l->r.eta_high_ms;
    if (!is_of_another_boot (b, l))
        r.run_ms = since (l->r.granted, ended (b, l));
    if (l->conduct.told && !l->r.tree) // the label was theirs
        r.label[0] = '\0';
    outbox_run (out, &r);
}

/* ---- what is left ---- */

bool conduct_is_agent (const struct lease *l)
{
    return l->r.tree || l->r.run || l->r.bound || l->r.label[0] ||
           !isnan (lease_percent (&l->r));
}

bool conduct_left (const struct broker *b, const struct lease *l, int64_t now,
                   struct range *ret_left)
{
    const struct so_far so_far = {
        .elapsed = since (began (l), now),
        .percent = lease_percent (&l->r),
        .said = l->conduct.said,
    };

    if (l->r.state != LEASE_ACTIVE || l->damaged)
        return false;
    if (!lease_has_tree (l) && isnan (so_far.percent))
        return false; // it is held until somebody says otherwise
    return forecasts_left (b->forecasts, l->r.project, l->r.label, &so_far,
                           ret_left);
}

bool conduct_is_late (const struct broker *b, const struct lease *l,
                      int64_t now)
{
    const struct so_far nothing = {0, NAN, 0};
    struct range runs;

    return lease_has_tree (l) &&
           forecasts_left (b->forecasts, l->r.project, l->r.label, &nothing,
                           &runs) &&
           since (began (l), now) > runs.mid;
}
