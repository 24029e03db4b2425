/* SPDX-License-Identifier: MPL-2.0 */
/* fuzz_keeper.c - a script of anything that may reach the keeper's core
 *
 * A shim that arms and stops with any numbers at any time, a CMD that ends or
 * never started, a tree that empties or does not. What core/keeper.h promises
 * is checked after each event.
 */
#include "core/keeper.h"
#include "fuzz/feed.h"

enum { MOST_EVENTS = 300 };

struct play {
    struct feed f;
    struct keeper k;
    int64_t now;
    bool started, gone;
};

static int64_t some_time (struct feed *f)
{
    uint64_t number = feed_number (f);

    return number < 256 ? (int64_t) number * 100 : (int64_t) number;
}

static void pass_time (struct play *p)
{
    int64_t next = keeper_next (&p->k);
    unsigned byte = feed_byte (&p->f);

    if (byte < 64 && next != INT64_MAX && next > p->now)
        p->now = next;
    else
        p->now += byte * 50;
}

/* Due work, as each turn does it last. */
static unsigned tick (struct play *p)
{
    unsigned todo = keeper_tick (&p->k, p->now);
    const struct keeper *k = &p->k;

    must (keeper_next (k) > p->now, "due now, after the turn");
    must (!(todo & KEEPER_DO_START) || !p->started, "started twice");
    p->started |= (todo & KEEPER_DO_START) != 0;
    if (!k->armed || k->state == KEEPER_ATTACHING || k->state == KEEPER_GONE)
        return todo;
    must (p->now < k->deadline - k->confirm || k->state == KEEPER_KILLING,
          "R8: no SIGKILL by D - K");
    must (p->now < k->deadline - k->confirm - k->grace ||
              k->state >= KEEPER_TERMINATING,
          "R2: no SIGTERM by D - G - K");
    return todo;
}

static unsigned happen (struct play *p)
{
    struct keeper *k = &p->k;
    struct feed *f = &p->f;
    int64_t a, b, c, d;

    switch (feed_below (f, 8)) {
    case 0:
    case 1: pass_time (p); return tick (p);
    case 2:
        a = some_time (f), b = some_time (f);
        c = some_time (f), d = some_time (f);
        keeper_arm (k, p->now + a % 100000, b, c, d);
        return tick (p);
    case 3:
        a = some_time (f), b = some_time (f);
        c = some_time (f), d = some_time (f);
        keeper_arm (k, a, b, c, d);
        return tick (p);
    case 4:
        a = some_time (f), b = some_time (f);
        return keeper_stop (k, a, b, p->now) | tick (p);
    case 5: return p->started ? keeper_exited (k, p->now) : 0;
    case 6: return p->started ? keeper_emptied (k) : keeper_failed (k);
    default: return keeper_lost (k, p->now) | tick (p);
    }
}

/* NOTICED and LINGERING may follow each other in either order. */
static int rank (enum keeper_state state)
{
    return state == KEEPER_NOTICED ? KEEPER_LINGERING : (int) state;
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    struct play p = {.f = {data, data + size}};

    keeper_init (&p.k);
    for (unsigned i = 0; i < MOST_EVENTS && !feed_over (&p.f); i++) {
        enum keeper_state before = p.k.state;
        unsigned todo = happen (&p);

        must (rank (p.k.state) >= rank (before), "backwards");
        must (!p.gone || todo == 0, "something after the end");
        must (!(todo & KEEPER_DO_END) == (p.k.state != KEEPER_GONE || p.gone),
              "an end that is none");
        p.gone = p.k.state == KEEPER_GONE;
    }
    return 0;
}
