/* SPDX-License-Identifier: MPL-2.0 */
#include "core/keeper.h"

/* Sweeps follow each other closely while a tree is dying, and rarely when one
 * of its processes cannot die (state D). */
#define KILL_AGAIN_FIRST_MS 10
#define KILL_AGAIN_MOST_MS 1000

/* Sums of a deadline and a few durations stay far from overflowing. */
#define LONGEST_MS (INT64_C (1) << 40)
#define FARTHEST_MS (INT64_C (1) << 60)

static int64_t least (int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t bounded (int64_t ms, int64_t most)
{
    return ms < 0 ? 0 : least (ms, most);
}

static int64_t last_kill (const struct keeper *k)
{
    return k->deadline - k->confirm;
}

static int64_t last_term (const struct keeper *k)
{
    return last_kill (k) - k->grace;
}

/* Left alone after CMD has ended, its children get no longer to end when
 * asked than they were given to end by themselves. */
static int64_t own_grace (const struct keeper *k)
{
    return k->ended ? least (k->grace, k->linger) : k->grace;
}

/* What follows the state the tree is in now. */
static int64_t next_grace (const struct keeper *k)
{
    return k->state == KEEPER_NOTICED ? k->stop_grace : own_grace (k);
}

static bool started (const struct keeper *k)
{
    return k->state != KEEPER_ATTACHING && k->state != KEEPER_GONE;
}

static unsigned refuse (struct keeper *k)
{
    k->state = KEEPER_GONE;
    return KEEPER_DO_REFUSE | KEEPER_DO_END;
}

static unsigned begin_kill (struct keeper *k, int64_t now)
{
    k->state = KEEPER_KILLING;
    k->kill_again = KILL_AGAIN_FIRST_MS;
    k->due = now + k->kill_again;
    return KEEPER_DO_KILL;
}

/* The grace ends where the deadline says at the latest; where none is left,
 * SIGTERM would be for show. */
static unsigned begin_term (struct keeper *k, int64_t grace, int64_t now)
{
    k->due = least (now + grace, last_kill (k));
    if (now >= k->due)
        return begin_kill (k, now);
    k->state = KEEPER_TERMINATING;
    return KEEPER_DO_TERM;
}

void keeper_init (struct keeper *k)
{
    *k = (struct keeper){.state = KEEPER_ATTACHING};
}

void keeper_arm (struct keeper *k, int64_t deadline, int64_t grace,
                 int64_t confirm, int64_t linger)
{
    k->armed = true;
    k->deadline = bounded (deadline, FARTHEST_MS);
    k->grace = bounded (grace, LONGEST_MS);
    k->confirm = bounded (confirm, LONGEST_MS);
    k->linger = bounded (linger, LONGEST_MS);
}

static unsigned begin_notice (struct keeper *k, int64_t notice, int64_t grace,
                              int64_t now)
{
    if (notice == 0)
        return begin_term (k, grace, now);
    k->state = KEEPER_NOTICED;
    k->due = now + notice;
    k->stop_grace = grace;
    return KEEPER_DO_NOTICE;
}

unsigned keeper_stop (struct keeper *k, int64_t notice, int64_t grace,
                      int64_t now)
{
    notice = bounded (notice, LONGEST_MS);
    grace = bounded (grace, LONGEST_MS);
    switch (k->state) {
    case KEEPER_ATTACHING: return refuse (k);
    case KEEPER_RUNNING: return begin_notice (k, notice, grace, now);
    case KEEPER_LINGERING: // CMD has ended: nobody is left who could save work
        return begin_term (k, least (grace, own_grace (k)), now);
    case KEEPER_NOTICED:
        k->due = least (k->due, now + notice);
        k->stop_grace = least (k->stop_grace, grace);
        return 0;
    case KEEPER_TERMINATING:
        k->due = least (k->due, now + notice + grace);
        return 0;
    case KEEPER_KILLING:
    case KEEPER_GONE: break;
    }
    return 0;
}

unsigned keeper_lost (struct keeper *k, int64_t now)
{
    switch (k->state) {
    case KEEPER_ATTACHING: return refuse (k);
    case KEEPER_RUNNING:
    case KEEPER_LINGERING:
    case KEEPER_NOTICED:
        return begin_term (k, least (next_grace (k), own_grace (k)), now);
    case KEEPER_TERMINATING:
        k->due = least (k->due, now + own_grace (k));
        return 0;
    case KEEPER_KILLING:
    case KEEPER_GONE: break;
    }
    return 0;
}

unsigned keeper_failed (struct keeper *k)
{
    return k->state == KEEPER_GONE ? 0 : refuse (k);
}

unsigned keeper_exited (struct keeper *k, int64_t now)
{
    if (!started (k) || k->ended)
        return 0;
    k->ended = true;
    if (k->state == KEEPER_RUNNING) {
        k->state = KEEPER_LINGERING;
        k->due = now + k->linger;
    } else if (k->state == KEEPER_NOTICED) {
        k->due = least (k->due, now + k->linger);
        k->stop_grace = least (k->stop_grace, own_grace (k));
    } else if (k->state == KEEPER_TERMINATING)
        // what it was just forking when it was asked has not been asked
        return KEEPER_DO_REPORT_EXITED | KEEPER_DO_TERM;
    return KEEPER_DO_REPORT_EXITED;
}

unsigned keeper_emptied (struct keeper *k)
{
    if (!started (k) || !k->ended)
        return 0;
    k->state = KEEPER_GONE;
    return KEEPER_DO_REPORT_REAPED | KEEPER_DO_END;
}

static unsigned start_if_there_is_time (struct keeper *k, int64_t now)
{
    if (!k->armed || now >= last_term (k))
        return 0; // the next ARM may leave more
    k->state = KEEPER_RUNNING;
    return KEEPER_DO_START;
}

static unsigned kill_again (struct keeper *k, int64_t now)
{
    if (now < k->due)
        return 0;
    k->kill_again = least (2 * k->kill_again, KILL_AGAIN_MOST_MS);
    k->due = now + k->kill_again;
    return KEEPER_DO_KILL;
}

static unsigned end_when_due (struct keeper *k, int64_t now)
{
    if (now < keeper_next (k))
        return 0;
    return begin_term (k, next_grace (k), now);
}

unsigned keeper_tick (struct keeper *k, int64_t now)
{
    switch (k->state) {
    case KEEPER_ATTACHING: return start_if_there_is_time (k, now);
    case KEEPER_RUNNING:
    case KEEPER_LINGERING:
    case KEEPER_NOTICED: return end_when_due (k, now);
    case KEEPER_TERMINATING:
        return now < keeper_next (k) ? 0 : begin_kill (k, now);
    case KEEPER_KILLING: return kill_again (k, now);
    case KEEPER_GONE: break;
    }
    return 0;
}

int64_t keeper_next (const struct keeper *k)
{
    switch (k->state) {
    case KEEPER_RUNNING: return last_term (k);
    case KEEPER_LINGERING:
    case KEEPER_NOTICED: return least (k->due, last_term (k));
    case KEEPER_TERMINATING: return least (k->due, last_kill (k));
    case KEEPER_KILLING: return k->due;
    case KEEPER_ATTACHING:
    case KEEPER_GONE: break;
    }
    return INT64_MAX;
}

const char *keeper_state_name (enum keeper_state state)
{
    switch (state) {
    case KEEPER_ATTACHING: return "ATTACHING";
    case KEEPER_RUNNING: return "RUNNING";
    case KEEPER_LINGERING: return "LINGERING";
    case KEEPER_NOTICED: return "NOTICED";
    case KEEPER_TERMINATING: return "TERMINATING";
    case KEEPER_KILLING: return "KILLING";
    case KEEPER_GONE: return "GONE";
    }
    return "?";
}
