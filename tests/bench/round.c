/* SPDX-License-Identifier: MPL-2.0 */
/* round - what a round of the broker's core costs, on virtual time
 *
 * 50 projects hold 500 slots, and many wait. A slot is given back, and whoever
 * is next is granted it: so much work is the same however many wait, and the
 * ratio of a long queue to a short one should be near 1. What those are told
 * who wait is counted apart, and so is a forecast: what runs is known to run
 * for a minute or so. Prints; judges nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/broker.h"
#include "core/memory.h"
#include "core/outlook.h"
#include "core/state.h"

enum {
    PROJECTS = 50,
    SLOTS = 500,
    SHORT = 100,
    LONG = 10000,
    ROUNDS = 400,
    FORECASTS = 20,
    STEP_MS = 10
};

struct shim {
    struct peer peer;
    uint64_t session, seq;
    struct u64s tokens;
};

struct bench {
    struct settings settings;
    struct broker *b;
    struct outbox *out;
    struct shim shims[PROJECTS];
    struct peer reader;
    struct msg msg;
    int64_t now;
    uint64_t random;
};

/* Of one size: microseconds of the median round, and of all; what was sent;
 * microseconds of a status and of a forecast, and who has a number of it. */
struct cost {
    double median, mean, queued, status, forecast;
    unsigned known;
};

static double clock_us (void)
{
    struct timespec t;

    clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &t); // others run here, too
    return (double) t.tv_sec * 1e6 + (double) t.tv_nsec / 1e3;
}

static void begin (struct bench *w)
{
    w->now += STEP_MS;
    outbox_clear (w->out);
    broker_turn (w->b, true, w->now, w->out);
}

static void say (struct bench *w, const struct peer *from)
{
    broker_step (w->b, from, &w->msg, ++w->random, w->now, w->out);
}

static void take (struct bench *w, const struct outgoing *m)
{
    struct shim *s = &w->shims[m->to.id[4]];
    const struct msg_grant *g = m->fields;

    if (m->verb == VERB_WELCOME)
        s->session = ((const struct msg_welcome *) m->fields)->session;
    for (uint64_t i = 0; m->verb == VERB_GRANT && i < g->count; i++)
        u64s_add (&s->tokens, g->first + i);
}

static void end (struct bench *w)
{
    broker_round (w->b, w->now, w->out);
    for (size_t i = 0; i < outbox_sent (w->out); i++) {
        struct outgoing m = outbox_outgoing (w->out, i);

        take (w, &m);
    }
}

static void tell (struct bench *w, const struct peer *from)
{
    begin (w);
    say (w, from);
    end (w);
}

static void hello (struct bench *w, unsigned i)
{
    struct shim *s = &w->shims[i];
    struct msg_hello *h = &w->msg.hello;

    s->peer.path.size = 5;
    s->peer.path.id[4] = (uint8_t) i;
    s->peer.role = ROLE_PROJECT;
    s->peer.uid = 1000;
    s->peer.pid = 4000 + (int32_t) i;
    message_init (&w->msg, VERB_HELLO);
    h->nonce = 1 + i;
    snprintf (h->project, sizeof h->project, "p%02u", i);
    copy_text (h->host, sizeof h->host, "vm1");
    copy_text (h->machine, sizeof h->machine, "machine1");
    copy_text (h->boot, sizeof h->boot, "boot1");
    h->pid = (uint64_t) s->peer.pid;
    tell (w, &s->peer);
}

static void request (struct bench *w, unsigned i, unsigned count)
{
    struct shim *s = &w->shims[i];

    message_init (&w->msg, VERB_REQUEST);
    w->msg.request.session = s->session;
    w->msg.request.seq = ++s->seq;
    w->msg.request.count = count;
    w->msg.request.run = true;
    w->msg.request.supervisor = 77;
    say (w, &s->peer);
}

/* Until what gathers is served. */
static void pass (struct bench *w)
{
    for (int64_t until = w->now + 400; w->now < until;) {
        begin (w);
        end (w);
    }
}

/* How long the runs of each take, of which there is one for each slot. */
static void learn (struct bench *w)
{
    char name[16];

    for (unsigned i = 0; i < 20 * PROJECTS; i++) {
        snprintf (name, sizeof name, "p%02u", i % PROJECTS);
        broker_restore_duration (
            w->b, name, "",
            30000 + 500 * (i % PROJECTS) + 4000 * (int64_t) (i / PROJECTS));
    }
}

/* All slots are held, and so many requests wait. */
static void set_up (struct bench *w, enum policy policy, unsigned queued)
{
    static const struct identity self = {"vm1", "machine1", "boot1", "0"};
    static const struct meta_record meta = {.broker = "b", .epoch = 1};

    memset (w, 0, sizeof *w);
    settings_default (&w->settings, 8, (uint64_t) 16 << 30);
    settings_set_max (&w->settings, SLOTS);
    w->settings.max_per_project_auto = false;
    w->settings.max_per_project = SLOTS;
    w->settings.grant_burst = 0;
    w->settings.policy = policy;
    w->now = 1000;
    w->b = broker_create (&w->settings, &self, &meta, false, w->now);
    w->out = outbox_create ();
    w->reader = (struct peer){.path = {.size = 5, .req = true, .id = {9}},
                              .role = ROLE_ADMIN};
    learn (w);
    broker_start (w->b, w->now, w->out);
    for (unsigned i = 0; i < PROJECTS; i++)
        hello (w, i);
    begin (w);
    for (unsigned i = 0; i < SLOTS; i++)
        request (w, i % PROJECTS, 1);
    end (w);
    pass (w);
    begin (w);
    for (unsigned i = 0; i < queued; i++)
        request (w, i % PROJECTS, 1);
    end (w);
    pass (w);
}

static void tear_down (struct bench *w)
{
    broker_destroy (w->b);
    outbox_destroy (w->out);
}

static unsigned count_sent (const struct bench *w, enum verb verb)
{
    unsigned count = 0;

    for (size_t i = 0; i < outbox_sent (w->out); i++)
        count += outbox_outgoing (w->out, i).verb == verb;
    return count;
}

/* One release, and the grant that comes of it. */
static double round_us (struct bench *w, unsigned i)
{
    struct shim *s = &w->shims[i % PROJECTS];
    double began;

    while (s->tokens.count == 0)
        s = &w->shims[++i % PROJECTS];
    message_init (&w->msg, VERB_RELEASE);
    w->msg.release.session = s->session;
    u64s_add (&w->msg.release.tokens, s->tokens.at[--s->tokens.count]);
    began = clock_us ();
    begin (w);
    say (w, &s->peer);
    broker_round (w->b, w->now, w->out);
    return clock_us () - began;
}

/* Somebody waits in the place of who was granted a slot. */
static void refill (struct bench *w)
{
    unsigned who = 0;

    for (size_t i = 0; i < outbox_sent (w->out); i++) {
        struct outgoing m = outbox_outgoing (w->out, i);

        take (w, &m);
        if (m.verb == VERB_GRANT)
            who = m.to.id[4];
    }
    if (count_sent (w, VERB_GRANT) != 1)
        fprintf (stderr, "round: %u grants\n", count_sent (w, VERB_GRANT));
    begin (w);
    request (w, who, 1);
    end (w);
}

static double status_us (struct bench *w)
{
    double began = clock_us ();

    begin (w);
    message_init (&w->msg, VERB_STATUS);
    say (w, &w->reader);
    broker_round (w->b, w->now, w->out);
    return clock_us () - began;
}

static double forecast_us (struct bench *w)
{
    double began;

    begin (w);
    w->b->forecast_due = w->now;
    began = clock_us ();
    outlook_forecast (w->b, w->now);
    return clock_us () - began;
}

static unsigned count_known (const struct bench *w)
{
    unsigned count = 0;

    for (size_t i = 0; i < w->b->waiters.count; i++)
        count += ((const struct waiter *) w->b->waiters.at[i])->eta.high != 0;
    return count;
}

static int ascending (const void *a, const void *b)
{
    double x = *(const double *) a, y = *(const double *) b;

    return x < y ? -1 : x > y;
}

static double median_of (double *of, unsigned count)
{
    qsort (of, count, sizeof *of, ascending);
    return of[count / 2];
}

static struct cost measure (enum policy policy, unsigned queued)
{
    static struct bench w;
    static double us[ROUNDS];
    struct cost cost = {0};

    set_up (&w, policy, queued);
    for (unsigned i = 0; i < ROUNDS; i++) {
        us[i] = round_us (&w, i);
        cost.mean += us[i] / ROUNDS;
        cost.queued += (double) count_sent (&w, VERB_QUEUED) / ROUNDS;
        refill (&w);
    }
    cost.median = median_of (us, ROUNDS);
    for (unsigned i = 0; i < ROUNDS / 10; i++)
        us[i] = status_us (&w);
    cost.status = median_of (us, ROUNDS / 10);
    for (unsigned i = 0; i < FORECASTS; i++)
        us[i] = forecast_us (&w);
    cost.forecast = median_of (us, FORECASTS);
    cost.known = count_known (&w);
    tear_down (&w);
    return cost;
}

static void print_pair (double few, double many)
{
    printf (" %7.0f %8.0f %5.1f", few, many, many / few);
}

static void print_row (const char *word, const struct cost *few,
                       const struct cost *many)
{
    printf ("%-10s", word);
    print_pair (few->median, many->median);
    print_pair (few->mean, many->mean);
    printf (" %5.1f %6.1f", few->queued, many->queued);
    print_pair (few->status, many->status);
    print_pair (few->forecast, many->forecast);
    printf (" %5u %6u\n", few->known, many->known);
}

static void print_head (void)
{
    printf ("%-10s %22s %22s %12s %22s %22s %12s\n%-10s", "", "median us",
            "mean us", "told", "STATUS us", "forecast us", "have one",
            "waiting");
    for (unsigned column = 0; column < 6; column++)
        printf (column % 3 == 2 ? " %5u %6u" : " %7u %8u ratio", SHORT, LONG);
    printf ("\n");
}

int main (int argc, char **argv)
{
    print_head ();
    for (enum policy p = POLICY_FIFO; p <= POLICY_PRIORITY; p++) {
        static const char *const words[] = {"fifo", "fair", "priority"};
        struct cost few, many;

        if (argc > 1 && strcmp (argv[1], words[p]) != 0)
            continue;
        few = measure (p, SHORT);
        many = measure (p, LONG);
        print_row (words[p], &few, &many);
    }
    return 0;
}
