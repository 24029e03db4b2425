/* SPDX-License-Identifier: MPL-2.0 */
/* What those are told who wait. */
#include "core/dispatch_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/memory.h"

enum reason dispatch_reason (const struct dispatch *d, const struct ticket *t,
                             int64_t now)
{
    const struct lane *lane = t->lane;
    const struct ticket *blocker = lane->pool->blocker;

    if (dispatch_is_paused (t, now))
        return REASON_PAUSED;
    if (d->disk_full)
        return REASON_DISK;
    if (d->learning)
        return REASON_LEARNING;
    if (t == blocker)
        return lane->pool->why;
    if (lane->passed && t == lane_first (lane) &&
        !(blocker &&
          place_before (dispatch_place (d, blocker), dispatch_place (d, t))))
        return lane->why;
    return REASON_TURN;
}

/* What those of a lane want that are served when they can be, and not before:
 * it does not count for `t` of another lane. */
static uint64_t left_out (const struct dispatch *d, const struct lane *lane,
                          const struct ticket *t, int64_t now)
{
    const struct ticket *blocker = t->lane->pool->blocker,
                        *first = lane_first (lane);
    bool paused = first && dispatch_is_paused (first, now);
    struct place until;
    uint64_t count, sum;

    if (!first || lane == t->lane || lane->pool != t->lane->pool ||
        (!paused && !lane->passed))
        return 0;
    until = dispatch_place (d, t);
    if (!paused) {
        if (blocker && place_before (dispatch_place (d, blocker), until))
            until = dispatch_place (d, blocker);
    }
    dispatch_count_before (d, lane, until, &count, &sum);
    return sum;
}

static uint64_t left_out_before (const struct dispatch *d,
                                 const struct ticket *t, int64_t now)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < d->lane_count; i++)
        sum += left_out (d, d->lanes[i], t, now);
    return sum;
}

/* max (0, A + n - free): A is what those want that are served before it. */
static unsigned slots_ahead (const struct dispatch *d, const struct ticket *t,
                             uint64_t before)
{
    int64_t wanted =
        (int64_t) before + t->min - dispatch_free (d, t->lane->pool);

    if (wanted < 0)
        return 0;
    return wanted > INT32_MAX ? INT32_MAX : (unsigned) wanted;
}

static void explain_paused (const struct ticket *t, char *text, size_t size)
{
    const struct project *p = t->lane->project;

    if (!p->said.paused)
        snprintf (text, size, "two living hosts claim this identity");
    else if (p->said.reason[0])
        snprintf (text, size, "%s is paused: %.180s", p->name, p->said.reason);
    else
        snprintf (text, size, "%s is paused", p->name);
}

static void explain_cap (const struct dispatch *d, const struct ticket *t,
                         char *text, size_t size)
{
    const struct project *p = t->lane->project;

    if (dispatch_is_behind_cap (d, t))
        snprintf (text, size,
                  "an older request of %s on another host comes first",
                  p->name);
    else if (dispatch_cap_room (t) >= t->min)
        snprintf (text, size, "a session holds at most %d slots", MAX_HELD);
    else if (p->planned)
        snprintf (text, size, "%s holds %u of its %u, and is to have %u more",
                  p->name, project_counted (p), p->max, p->planned);
    else
        snprintf (text, size, "%s holds %u of its %u", p->name,
                  project_counted (p), p->max);
}

static void explain_turn (const struct dispatch *d, const struct ticket *t,
                          char *text, size_t size)
{
    const struct ticket *by = t->lane->pool->blocker;

    if (by && place_before (dispatch_place (d, by), dispatch_place (d, t)))
        snprintf (text, size, "behind %s's %u", by->lane->project->name,
                  by->count);
    else
        snprintf (text, size, "behind an earlier request of %s",
                  t->lane->project->name);
}

/* The tighter of what is free on the host, and over all hosts. */
static void explain_slots (const struct dispatch *d, const struct ticket *t,
                           char *text, size_t size)
{
    const struct pool *pool = t->lane->pool;
    int64_t free = dispatch_free (d, pool);
    bool over_all = free < dispatch_free_here (pool);

    if (dispatch_is_behind_sum (d, t))
        snprintf (text, size, "an older request on another host comes first");
    else
        snprintf (text, size, "%" PRId64 " of %u free%s, %u wanted%s",
                  free > 0 ? free : 0,
                  over_all ? d->settings->max_slots + d->bonus
                           : pool_effective (pool),
                  over_all ? " on all hosts" : "", t->min,
                  free < t->min ? "" : ": others are to have them");
}

static void explain_health (const struct dispatch *d, const struct ticket *t,
                            int64_t now, char *text, size_t size)
{
    const struct pool *pool = t->lane->pool;
    const struct limits limits = settings_limits (d->settings, pool->cores);
    char why[200];

    response_explain (&pool->response, &pool->health, &limits, pool->max_slots,
                      now, why, sizeof why);
    snprintf (text, size, "%s, %u wanted", why, t->min);
}

static void explain_pacing (const struct dispatch *d, const struct ticket *t,
                            int64_t now, char *text, size_t size)
{
    const struct pool *pool = t->lane->pool;

    if (dispatch_is_gathering (t))
        snprintf (text, size,
                  "what is asked for at the same time is gathered: for "
                  "%" PRId64 " ms more",
                  pool->gather_until > now ? pool->gather_until - now : 0);
    else if (dispatch_is_ramping (d, pool))
        snprintf (text, size,
                  "%u have just started, and the load of %.1f (limit %.1f) "
                  "does not show them yet",
                  ramp_credit (&pool->ramp), pool->health.sample.load1,
                  dispatch_load_limit (d, pool));
    else
        snprintf (text, size, "at most %u start a second: in %" PRId64 " ms",
                  d->settings->grant_burst,
                  pool->paced_until > now ? pool->paced_until - now : 0);
}

void dispatch_detail (const struct dispatch *d, const struct ticket *t,
                      enum reason reason, int64_t now, char *ret_text,
                      size_t size)
{
    char *text = ret_text;

    switch (reason) {
    case REASON_NONE: text[0] = '\0'; break;
    case REASON_PAUSED: explain_paused (t, text, size); break;
    case REASON_DISK:
        snprintf (text, size, "the broker cannot write its state");
        break;
    case REASON_LEARNING:
        snprintf (text, size, "the broker learns what is held: %" PRId64 " s",
                  (d->learning_until - now + 999) / 1000);
        break;
    case REASON_TURN: explain_turn (d, t, text, size); break;
    case REASON_CAP: explain_cap (d, t, text, size); break;
    case REASON_HEALTH: explain_health (d, t, now, text, size); break;
    case REASON_SLOTS: explain_slots (d, t, text, size); break;
    case REASON_PACING: explain_pacing (d, t, now, text, size); break;
    }
}

void dispatch_explain (const struct dispatch *d, const struct ticket *t,
                       int64_t now, struct outlook *ret_outlook)
{
    uint64_t count, sum;

    dispatch_rank (d, t, &count, &sum);
    ret_outlook->position = (unsigned) count + 1;
    ret_outlook->slots_ahead =
        slots_ahead (d, t, sum - left_out_before (d, t, now));
    ret_outlook->reason = dispatch_reason (d, t, now);
}

/* ---- many in dispatch order: the lanes of a host, merged ---- */

/* How far one lane is taken. */
struct cursor {
    struct ticket *t; // the next of it
    struct place place;
    bool paused;
    uint64_t left_out; // slots of it that those of other lanes do not count
};

struct merge {
    struct cursor *heap; // the soonest first
    size_t count;
    uint64_t taken, wanted, left_out; // tickets; slots, and not counted ones
    bool blocked;                     // the blocker has been taken
};

static void sink (struct merge *m, size_t at)
{
    for (size_t child; (child = 2 * at + 1) < m->count; at = child) {
        struct cursor c = m->heap[at];

        if (child + 1 < m->count &&
            place_before (m->heap[child + 1].place, m->heap[child].place))
            child++;
        if (!place_before (m->heap[child].place, c.place))
            return;
        m->heap[at] = m->heap[child];
        m->heap[child] = c;
    }
}

static void open_merge (const struct dispatch *d, const struct pool *pool,
                        int64_t now, struct merge *m)
{
    *m = (struct merge){
        .heap = resized (NULL, d->lane_count + 1, sizeof (struct cursor))};
    for (size_t i = 0; i < d->lane_count; i++) {
        struct ticket *first = lane_first (d->lanes[i]);

        if (first && d->lanes[i]->pool == pool)
            m->heap[m->count++] =
                (struct cursor){.t = first,
                                .place = dispatch_place (d, first),
                                .paused = dispatch_is_paused (first, now)};
    }
    for (size_t i = m->count / 2; i-- > 0;)
        sink (m, i);
}

/* On to the next, which has what the first wants before it. */
static void take_first (const struct dispatch *d, struct merge *m)
{
    struct cursor *c = &m->heap[0];
    const struct lane *lane = c->t->lane;

    m->blocked |= c->t == lane->pool->blocker;
    if (c->paused || (lane->passed && !m->blocked)) {
        c->left_out += c->t->count;
        m->left_out += c->t->count;
    }
    m->taken++;
    m->wanted += c->t->count;
    c->t = lane_next (c->t);
    if (c->t)
        c->place = dispatch_place (d, c->t);
    else
        *c = m->heap[--m->count];
    sink (m, 0);
}

void dispatch_explain_first (const struct dispatch *d, const struct pool *pool,
                             uint64_t most, int64_t now, dispatch_told *tell,
                             void *who)
{
    struct outlook outlook = {0};
    struct merge m;

    open_merge (d, pool, now, &m);
    while (m.count && m.taken < most) {
        struct cursor *c = &m.heap[0];
        uint64_t counted = m.wanted - (m.left_out - c->left_out);

        outlook.position = (unsigned) m.taken + 1;
        outlook.slots_ahead = slots_ahead (d, c->t, counted);
        outlook.reason = dispatch_reason (d, c->t, now);
        tell (who, c->t, &outlook);
        take_first (d, &m);
    }
    free (m.heap);
}

static void sooner (int64_t *at, int64_t other)
{
    if (other && other < *at)
        *at = other;
}

int64_t dispatch_due (const struct dispatch *d, int64_t now)
{
    int64_t at = INT64_MAX;

    for (size_t i = 0; i < d->pools->count; i++) {
        sooner (&at, d->pools->at[i]->paced_until);
        sooner (&at, d->pools->at[i]->gather_until);
    }
    for (size_t i = 0; i < d->lane_count; i++) {
        const struct ticket *t = lane_first (d->lanes[i]);

        if (t && t->holder->paused_until > now)
            sooner (&at, t->holder->paused_until);
    }
    return at;
}
