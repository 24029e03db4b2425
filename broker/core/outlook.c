/* SPDX-License-Identifier: MPL-2.0 */
#include "core/outlook.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/conduct.h"
#include "core/hopes.h"
#include "core/memory.h"

enum {
    RUNS = 19,             // of which the second and the last but one are told:
    LOW = 1,               // p10
    HIGH = 17,             // p90
    WORK = 8000,           // of one run: lanes looked at, in all steps
    MANY_LANES = 256,      // where none is made
    SHORT_QUEUE = 64,      // and one for each that joins
    GUESTS = 256,          // who come while it goes on,
    EXPECTED = 1024,       // and who might have
    WINDOW_MS = 2 * 60000, // a herd says little of how many will come
    ANEW_MS = 2000, // a forecast is good for that, a costly one for longer
    SOON_MS = 100,  // and no two are closer
    TICK_MS = 250,  // told are whole seconds
    HORIZON_MS = 7 * 24 * 3600 * 1000
};

/* ---- chance ---- */

/* splitmix64: one number to another, well mixed. */
static uint64_t mix (uint64_t x)
{
    x += UINT64_C (0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C (0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C (0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* In [0, 1). */
static double portion (uint64_t number)
{
    return (double) (number >> 11) / 9007199254740992.0;
}

/* Where `low`, `mid` and `high` are p10, p50 and p90: the quantile at `at`. In
 * straight lines between them; before and beyond as the power of time and the
 * exponential that go through the nearest two. */
static int64_t draw (const struct range *r, double at)
{
    double low = (double) r->low, mid = (double) r->mid,
           high = (double) r->high;

    if (at < 0.1)
        return low > 0
                   ? (int64_t) (low * pow (at / 0.1, log (mid / low) / log (5)))
                   : 0;
    if (at < 0.5)
        return (int64_t) (low + (mid - low) * (at - 0.1) / 0.4);
    if (at < 0.9)
        return (int64_t) (mid + (high - mid) * (at - 0.5) / 0.4);
    return (int64_t) (high + (high - mid) * log (0.1 / (1 - at)) / log (5));
}

/* ---- what is looked at ---- */

/* Something that ends. */
struct ending {
    struct range left; // at the beginning
    uint64_t tree;     // its first token: the slots of one end together
    size_t lane;       // number of its lane
};

/* A request that waits. */
struct wish {
    struct waiter *w;
    size_t lane;
    struct range runs; // its tree, once it is granted
    bool known;
    int64_t served[RUNS]; // after how long; INT64_MAX: never
    unsigned missed;      // runs that ended, and it was not
};

/* How often requests come to a lane, and how long each of them would run. Who
 * runs or waits does not ask: the more there are of them, the fewer come. None
 * come while there are as many as ever. */
struct flow {
    double every_ms; // while there are none
    double most;     // slots held and wanted at once
    struct range runs;
    const struct lane *lane; // for what they were
    size_t number;           // of the lane
};

struct scene {
    struct broker *b;
    int64_t now;
    struct flow *flows;
    size_t flow_count;
    struct ending *endings;
    size_t ending_count;
    struct wish *wishes;
    size_t wish_count;
};

static size_t lane_number (const struct broker *b, const struct lane *lane)
{
    size_t i = 0;

    while (b->dispatch.lanes[i] != lane)
        i++;
    return i;
}

static uint64_t tree_of (const struct lease *l)
{
    if (l->r.cookie)
        return l->r.cookie;
    return l->r.run && l->r.first ? l->r.first : l->r.token;
}

static void add_endings (struct scene *s)
{
    const struct leases *leases = &s->b->leases;

    s->endings = resized (NULL, leases_count (leases) + 1, sizeof *s->endings);
    for (size_t i = 0; i < leases_count (leases); i++) {
        const struct lease *l = leases_at (leases, i);
        struct ending *e = &s->endings[s->ending_count];

        if (l->r.state == LEASE_PARKED ||
            !conduct_left (s->b, l, s->now, &e->left))
            continue;
        e->tree = tree_of (l);
        e->lane = lane_number (s->b, l->lane);
        s->ending_count++;
    }
}

/* How long it would run: by its first label. */
static void fill_wish (const struct scene *s, struct wish *wish)
{
    const struct so_far nothing = {0, NAN, 0};
    char label[257];
    size_t length = strcspn (wish->w->r.labels, ",");

    snprintf (label, sizeof label, "%.*s", (int) (length < 256 ? length : 256),
              wish->w->r.labels);
    wish->known = wish->w->r.run &&
                  forecasts_left (s->b->forecasts, wish->w->session->r.project,
                                  label, &nothing, &wish->runs);
}

static void add_wishes (struct scene *s)
{
    const struct dispatch *d = &s->b->dispatch;
    size_t most = OUTLOOK_TICKETS / (d->lane_count ? d->lane_count : 1) + 1;

    s->wishes = resized (NULL, d->lane_count * most + 1, sizeof (struct wish));
    for (size_t i = 0; i < d->lane_count; i++) {
        struct ticket *t = lane_first (d->lanes[i]);

        for (size_t k = 0; t && k < most; t = lane_next (t), k++) {
            struct wish *wish = &s->wishes[s->wish_count++];

            wish->w = waiter_of (t);
            wish->lane = i;
            wish->missed = 0;
            fill_wish (s, wish);
        }
    }
}

void outlook_came (const struct ticket *t)
{
    struct lane *lane = t->lane;

    if (!t->back)
        lane->came[lane->came_count++ % ARRIVALS] = (struct arrival){
            .at = t->since,
            .count = t->count,
            .min = t->min,
            .priority = t->priority,
            .before = lane->held + lane_wanted (lane) - t->count,
        };
}

static unsigned known_arrivals (const struct lane *lane)
{
    return lane->came_count < ARRIVALS ? lane->came_count : ARRIVALS;
}

/* The most that it had, and what it had when another came. */
static double peak_of (const struct lane *lane, double *ret_usual)
{
    unsigned count = known_arrivals (lane);
    double most = (double) (lane->held + lane_wanted (lane)), sum = 0;

    for (unsigned i = 0; i < count; i++) {
        const struct arrival *a = &lane->came[i];
        double had = (double) (a->before + a->count);

        most = had > most ? had : most;
        sum += (double) a->before;
    }
    *ret_usual = sum / count;
    return 1.5 * most; // as nobody knows what it never had before
}

static bool flow_of (const struct scene *s, const struct lane *lane,
                     struct flow *ret_flow)
{
    const struct so_far nothing = {0, NAN, 0};
    unsigned count = known_arrivals (lane);
    const char *name = lane->project->name;
    double window, usual;

    if (count < 2 ||
        !forecasts_left (s->b->forecasts, name, "", &nothing, &ret_flow->runs))
        return false;
    window = (double) (s->now -
                       lane->came[(lane->came_count - count) % ARRIVALS].at);
    ret_flow->most = peak_of (lane, &usual);
    ret_flow->every_ms = (window < WINDOW_MS ? WINDOW_MS : window) /
                         (count - 1) * (ret_flow->most - usual) /
                         ret_flow->most;
    ret_flow->lane = lane;
    return true;
}

/* Who comes later overtakes nobody, in order of arrival. */
static void add_flows (struct scene *s)
{
    const struct dispatch *d = &s->b->dispatch;

    if (s->b->settings.policy == POLICY_FIFO)
        return;
    s->flows = resized (NULL, d->lane_count + 1, sizeof *s->flows);
    for (size_t i = 0; i < d->lane_count; i++) {
        struct flow *flow = &s->flows[s->flow_count];

        flow->number = i;
        s->flow_count += flow_of (s, d->lanes[i], flow);
    }
}

/* ---- one run ---- */

/* A slot of a lane comes free at a time, or a guest comes. */
struct event {
    int64_t at;
    size_t lane;
    const struct flow *flow; // NULL: a slot
};

/* Who comes while the run goes on. */
struct guest {
    struct ticket t; // first
    const struct flow *flow;
    int64_t runs;
};

struct run {
    const struct scene *s;
    unsigned number;
    struct pools pools;
    struct pool *pool_copies;
    struct projects projects;
    struct project *project_copies;
    struct dispatch d;
    struct ticket *tickets;
    struct guest *guests;
    size_t guest_count, expected;
    struct holder nobody; // holds what the guests do
    struct event *events; // a heap: the first is the soonest
    size_t event_count, event_room;
    /* Slots held that will come free: of all, and of each pool and project. */
    unsigned passing, *passing_here, *passing_of;
};

static void swap (struct event *a, struct event *b)
{
    struct event c = *a;

    *a = *b;
    *b = c;
}

/* What ends at about the same time ends at once: one walk for all of it. */
static int64_t tick_of (const struct run *r, int64_t at)
{
    return at + TICK_MS - 1 - (at - r->s->now + TICK_MS - 1) % TICK_MS;
}

static void push (struct run *r, struct event e)
{
    size_t i = r->event_count++;

    e.at = tick_of (r, e.at);
    if (i == r->event_room) {
        r->event_room = r->event_room ? 2 * r->event_room : 64;
        r->events = resized (r->events, r->event_room, sizeof *r->events);
    }
    r->events[i] = e;
    for (; i > 0 && r->events[i].at < r->events[(i - 1) / 2].at;
         i = (i - 1) / 2)
        swap (&r->events[i], &r->events[(i - 1) / 2]);
}

static struct event pop (struct run *r)
{
    struct event first = r->events[0];

    r->events[0] = r->events[--r->event_count];
    for (size_t i = 0, k; (k = 2 * i + 1) < r->event_count; i = k) {
        if (k + 1 < r->event_count && r->events[k + 1].at < r->events[k].at)
            k++;
        if (r->events[i].at <= r->events[k].at)
            break;
        swap (&r->events[i], &r->events[k]);
    }
    return first;
}

static void copy_pools (struct run *r)
{
    const struct pools *from = &r->s->b->pools;

    r->pool_copies = resized (NULL, from->count, sizeof (struct pool));
    for (size_t i = 0; i < from->count; i++) {
        struct pool *pool = &r->pool_copies[i];

        *pool = *from->at[i];
        pool->blocker = pool->turn = NULL;
        pool->kept = pool->asked_for = NULL;
        pool->decided = pool->planned = 0;
        pool->gather_until = 0;
        r->pools.at[r->pools.count++] = pool;
    }
}

static void copy_projects (struct run *r)
{
    const struct projects *from = &r->s->b->projects;

    r->project_copies =
        resized (NULL, from->count + 1, sizeof (struct project));
    r->projects.at = resized (NULL, from->count + 1, sizeof (struct project *));
    for (size_t i = 0; i < from->count; i++) {
        r->project_copies[i] = *from->at[i];
        r->project_copies[i].cap_blocker = NULL;
        r->projects.at[r->projects.count++] = &r->project_copies[i];
    }
}

static struct pool *copy_of_pool (const struct run *r, const struct pool *pool)
{
    size_t i = 0;

    while (r->s->b->pools.at[i] != pool)
        i++;
    return r->pools.at[i];
}

static struct project *copy_of_project (const struct run *r,
                                        const struct project *project)
{
    size_t i = 0;

    while (r->s->b->projects.at[i] != project)
        i++;
    return r->projects.at[i];
}

static void copy_lanes (struct run *r)
{
    const struct dispatch *from = &r->s->b->dispatch;

    dispatch_init (&r->d, from->settings, &r->pools, &r->projects);
    r->d.policy = from->policy;
    r->d.in_use = from->in_use;
    r->d.bonus = from->bonus;
    for (size_t i = 0; i < from->lane_count; i++) {
        const struct lane *lane = from->lanes[i];
        struct lane *copy = dispatch_lane (&r->d, copy_of_pool (r, lane->pool),
                                           copy_of_project (r, lane->project));

        copy->held = lane->held;
    }
    r->passing_here = new_zeroed ((r->pools.count + 1) * sizeof (unsigned));
    r->passing_of = new_zeroed ((r->projects.count + 1) * sizeof (unsigned));
}

static void copy_tickets (struct run *r)
{
    const struct scene *s = r->s;

    r->tickets = resized (NULL, s->wish_count + 1, sizeof (struct ticket));
    for (size_t i = 0; i < s->wish_count; i++) {
        const struct wish *wish = &s->wishes[i];
        struct ticket *t = &r->tickets[i];

        *t = wish->w->t;
        t->nowait = false;
        dispatch_add (&r->d, r->d.lanes[wish->lane], t, s->now);
    }
    for (size_t i = 0; i < r->pools.count; i++)
        r->pools.at[i]->gather_until = 0; // that moment does not matter here
}

static uint64_t chance (const struct run *r, uint64_t of)
{
    return mix (mix (of) + r->number);
}

/* The next that may come. */
static void expect_guest (struct run *r, const struct flow *flow, int64_t at)
{
    uint64_t number = chance (r, flow->number << 32 ^ (uint64_t) at);
    double after = -flow->every_ms * log (1 - portion (number));

    if (r->expected++ < EXPECTED)
        push (r, (struct event){at + 1 + (int64_t) after, flow->number, flow});
}

/* It wants what one of the newest wanted. */
static void admit_guest (struct run *r, struct event e, uint64_t number)
{
    const struct lane *lane = e.flow->lane;
    const struct arrival *like = &lane->came[number % known_arrivals (lane)];
    struct guest *guest = &r->guests[r->guest_count++];

    *guest = (struct guest){
        .t = {.number = UINT64_MAX / 2 + r->guest_count,
              .count = like->count,
              .min = like->min,
              .priority = like->priority,
              .since = e.at,
              .holder = &r->nobody},
        .flow = e.flow,
        .runs = draw (&e.flow->runs, portion (mix (number))),
    };
    dispatch_add (&r->d, r->d.lanes[e.lane], &guest->t, e.at);
}

/* Does it come? */
static bool meet_guest (struct run *r, struct event e)
{
    const struct lane *lane = r->d.lanes[e.lane];
    uint64_t number = chance (r, ~(uint64_t) r->expected);
    double there = (double) (lane->held + lane_wanted (lane));
    bool comes = r->guest_count < GUESTS &&
                 portion (number) * e.flow->most < e.flow->most - there;

    if (comes)
        admit_guest (r, e, mix (number));
    expect_guest (r, e.flow, e.at);
    return comes;
}

/* In [0, 1): of all runs together one in each part of it. RUNS is a prime. */
static double luck (const struct run *r, uint64_t of)
{
    uint64_t number = mix (of);
    uint64_t step = 1 + number % (RUNS - 1), first = number / RUNS % RUNS;
    uint64_t part = (first + step * r->number) % RUNS;

    return ((double) part + portion (mix (number + r->number))) / RUNS;
}

static unsigned *passing_here (const struct run *r, const struct lane *lane)
{
    return &r->passing_here[lane->pool - r->pool_copies];
}

static unsigned *passing_of (const struct run *r, const struct lane *lane)
{
    return &r->passing_of[lane->project - r->project_copies];
}

static void occupy (struct run *r, unsigned slots, int64_t until, size_t lane)
{
    r->passing += slots;
    *passing_here (r, r->d.lanes[lane]) += slots;
    *passing_of (r, r->d.lanes[lane]) += slots;
    for (unsigned i = 0; i < slots; i++)
        push (r, (struct event){until, lane, NULL});
}

static void begin (struct run *r)
{
    const struct scene *s = r->s;

    copy_pools (r);
    copy_projects (r);
    copy_lanes (r);
    copy_tickets (r);
    for (size_t i = 0; i < s->ending_count; i++) {
        const struct ending *e = &s->endings[i];

        occupy (r, 1, s->now + draw (&e->left, luck (r, e->tree)), e->lane);
    }
    if (s->flow_count)
        r->guests = resized (NULL, GUESTS, sizeof *r->guests);
    for (size_t i = 0; i < s->flow_count; i++)
        expect_guest (r, &s->flows[i], s->now);
}

static void end (struct run *r)
{
    dispatch_drop (&r->d);
    free (r->pool_copies);
    free (r->projects.at);
    free (r->project_copies);
    free (r->tickets);
    free (r->guests);
    free (r->events);
    free (r->passing_here);
    free (r->passing_of);
}

/* What was granted will end, too, if it is known how; all of it is one tree. */
static void serve_wish (struct run *r, struct wish *wish, unsigned amount,
                        int64_t at)
{
    wish->served[r->number] = at - r->s->now;
    if (wish->known)
        occupy (r, amount,
                at + draw (&wish->runs, luck (r, wish->w->r.number << 32)),
                wish->lane);
}

static bool is_guest (const struct run *r, const struct ticket *t)
{
    return r->guests && t >= &r->guests[0].t && t <= &r->guests[GUESTS - 1].t;
}

/* Returns whether somebody was served who waits already. */
static bool serve (struct run *r, const struct decision *next, int64_t at)
{
    dispatch_take (&r->d, next->ticket, next->amount, at);
    if (is_guest (r, next->ticket)) {
        const struct guest *guest = (const struct guest *) next->ticket;

        occupy (r, next->amount, at + guest->runs, guest->flow->number);
        return false;
    }
    serve_wish (r, &r->s->wishes[next->ticket - r->tickets], next->amount, at);
    return true;
}

static void free_slot (struct run *r, struct event e)
{
    struct lane *lane = r->d.lanes[e.lane];

    r->passing--;
    --*passing_here (r, lane);
    --*passing_of (r, lane);
    lane->held--;
    if (lane->project->held)
        lane->project->held--;
    else
        lane->project->limbo--;
    lane->pool->in_use--;
    r->d.in_use--;
}

/* Returns whether anything is another way now. */
static bool happen (struct run *r, struct event e)
{
    if (e.flow)
        return meet_guest (r, e);
    free_slot (r, e);
    return true;
}

/* Else who comes, and what time it is, changes nothing. */
static bool has_room (const struct run *r)
{
    for (size_t i = 0; i < r->pools.count; i++) {
        if (dispatch_free (&r->d, r->pools.at[i]) > 0)
            return true;
    }
    return false;
}

/* All until something has changed, and what happens at that time. Returns that
 * time; INT64_MAX: nothing more will. */
static int64_t wait_for_change (struct run *r, int64_t at)
{
    int64_t due = has_room (r) ? dispatch_due (&r->d, at) : INT64_MAX;
    bool changed = false;

    while (r->event_count && r->events[0].at <= due && !changed) {
        at = r->events[0].at;
        while (r->event_count && r->events[0].at <= at)
            changed |= happen (r, pop (r));
        changed &= has_room (r);
    }
    if (changed)
        return at;
    return due == INT64_MAX || due > at ? due : at + 1;
}

/* Where it was not served in so many runs, no other makes its HIGH known. */
static bool is_open (const struct wish *wish)
{
    return wish->missed < RUNS - HIGH;
}

static int64_t least (int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The most that its first may ever find: when all has ended that will. What is
 * held for an unknown time is held for ever here. */
static int64_t most_for (const struct run *r, const struct lane *lane)
{
    const struct pool *pool = lane->pool;
    const struct project *project = lane->project;
    int64_t here = dispatch_free_here (pool) + *passing_here (r, lane);
    int64_t sum = dispatch_free_in_sum (&r->d) + r->passing;
    int64_t cap = (int64_t) project->max - project_counted (project) +
                  *passing_of (r, lane);

    if (project->said.paused || !response_grants (&pool->response))
        return 0;
    return least (cap, least (here, sum));
}

/* May anybody still be served for whom it matters? Behind one of its lane that
 * will not be, nobody is. */
static bool is_worth_it (const struct run *r)
{
    for (size_t i = 0; i < r->d.lane_count; i++) {
        const struct ticket *t = lane_first (r->d.lanes[i]);
        int64_t most = t ? most_for (r, r->d.lanes[i]) : 0;

        for (; t && t->min <= most && t->min <= ticket_room (t);
             t = lane_next (t)) {
            if (!is_guest (r, t) && is_open (&r->s->wishes[t - r->tickets]))
                return true;
        }
    }
    return false;
}

/* By lanes that are looked at; under `fair` those of all hosts are looked
 * through for each of them, which is quickly done. */
static size_t work_of_step (const struct run *r)
{
    return r->d.lane_count + r->d.lane_count * r->pools.count / 32 + 8;
}

/* Until it is worth no more, or nothing more would change that. */
static void play (struct run *r)
{
    int64_t at = r->s->now, end = at + HORIZON_MS;
    size_t most = WORK / work_of_step (r);
    bool goes_on = is_worth_it (r);

    for (size_t steps = 0; goes_on && steps < most && at < end; steps++) {
        struct decision next;
        bool served = false;

        dispatch_begin (&r->d, at);
        while (dispatch_next (&r->d, at, &next))
            served |= serve (r, &next, at);
        goes_on = !served || is_worth_it (r);
        at = wait_for_change (r, at);
    }
}

static void play_all (struct scene *s)
{
    for (unsigned i = 0; i < RUNS; i++) {
        struct run run = {.s = s, .number = i};

        for (size_t k = 0; k < s->wish_count; k++)
            s->wishes[k].served[i] = INT64_MAX;
        begin (&run);
        play (&run);
        end (&run);
        for (size_t k = 0; k < s->wish_count; k++)
            s->wishes[k].missed += s->wishes[k].served[i] == INT64_MAX;
    }
}

/* ---- the answer ---- */

static int later (const void *a, const void *b)
{
    int64_t x = *(const int64_t *) a, y = *(const int64_t *) b;

    return x < y ? -1 : x > y;
}

static void conclude (struct wish *wish, int64_t now)
{
    struct eta *eta = &wish->w->eta;

    qsort (wish->served, RUNS, sizeof *wish->served, later);
    *eta = (struct eta){0};
    if (wish->served[HIGH] == INT64_MAX)
        return;
    eta->low = now + wish->served[LOW];
    eta->high = now + wish->served[HIGH];
}

static void forget_all (struct broker *b)
{
    for (size_t i = 0; i < b->waiters.count; i++)
        ((struct waiter *) b->waiters.at[i])->eta = (struct eta){0};
}

/* Whoever joins a queue that is not long is told at once, unless others have
 * just joined it: then soon. */
static bool is_due (struct broker *b, int64_t now)
{
    bool is_long = b->waiters.count > OUTLOOK_TICKETS;
    bool joined = b->unanswered_count > 0 && b->waiters.count <= SHORT_QUEUE;
    bool stopped = b->disk_full || b->learning;

    if (b->waiters.count == 0)
        return false;
    if (joined && b->forecast_due > b->forecast_soon)
        b->forecast_due = b->forecast_soon;
    if (now < b->forecast_due && !(stopped && b->forecast_known))
        return false;
    b->forecast_due = now + (is_long ? 3 : 1) * ANEW_MS;
    b->forecast_soon = now + SOON_MS;
    return true;
}

void outlook_forecast (struct broker *b, int64_t now)
{
    struct scene s = {.b = b, .now = now};

    if (!is_due (b, now))
        return;
    if (!b->disk_full && !b->learning && b->dispatch.lane_count <= MANY_LANES)
        add_endings (&s); // else nobody knows
    if (b->forecast_known || s.ending_count)
        forget_all (b);
    b->forecast_known = s.ending_count > 0;
    if (s.ending_count) {
        add_wishes (&s);
        add_flows (&s);
        play_all (&s);
        for (size_t i = 0; i < s.wish_count; i++)
            conclude (&s.wishes[i], now);
    }
    free (s.endings);
    free (s.wishes);
    free (s.flows);
}

/* ---- what is told ---- */

static int64_t apart (int64_t a, int64_t b)
{
    return a > b ? a - b : b - a;
}

/* By a quarter of what is left, and ten seconds. */
bool outlook_is_news (const struct waiter *w, int64_t now)
{
    int64_t left = w->eta.high - now;

    if (!w->eta.high || !w->told_eta.high)
        return w->eta.high != w->told_eta.high;
    return apart (w->eta.high, w->told_eta.high) >
           10000 + (left > 0 ? left / 4 : 0);
}

static uint64_t seconds (int64_t ms)
{
    return ms < 1000 ? 1 : (uint64_t) ms / 1000;
}

/* A forecast of before is none any more. */
static bool is_stopped (enum reason reason)
{
    return reason == REASON_PAUSED || reason == REASON_DISK ||
           reason == REASON_LEARNING;
}

void outlook_complete (const struct broker *b, const struct waiter *w,
                       int64_t now, struct outlook *o)
{
    dispatch_detail (&b->dispatch, &w->t, o->reason, now, o->detail,
                     sizeof o->detail);
    hopes_tell (b, w, now, o);
    o->eta_low_s = o->eta_high_s = 0;
    if (w->eta.high && !is_stopped (o->reason)) {
        o->eta_low_s = seconds (w->eta.low - now);
        o->eta_high_s = seconds (w->eta.high - now + 999);
    }
}

void outlook_of (const struct broker *b, const struct waiter *w, int64_t now,
                 struct outlook *ret_outlook)
{
    dispatch_explain (&b->dispatch, &w->t, now, ret_outlook);
    outlook_complete (b, w, now, ret_outlook);
}
