/* SPDX-License-Identifier: MPL-2.0 */
/* keeper.h - when a tree is warned, asked, and killed
 *
 * The life of one agent's tree as a function of (state, time, event) to
 * actions. Pure: the shell owns the streams, the clock and the processes,
 * carries out what is returned, and reports what happened.
 *
 *   ATTACHING   CMD has not been started: no ARM yet that leaves time for it
 *   RUNNING     CMD runs
 *   LINGERING   CMD has ended, its children may finish (linger)
 *   NOTICED     asked to stop: time to save its work, nothing else is done
 *   TERMINATING SIGTERM was sent, the grace runs
 *   KILLING     SIGKILL was sent, again and again until the tree is empty
 *   GONE        proven empty, or never started: the keeper ends
 *
 * Forward only, but for NOTICED, LINGERING -> TERMINATING -> KILLING -> GONE
 * any step may be skipped. With the deadline D, grace G and confirm K of the
 * newest ARM, whatever else was agreed: SIGTERM by D - G - K, SIGKILL by D - K
 * (R1, R2), and whoever wakes later than that kills at once (R8).
 *
 * Time is in ms of one clock throughout, which the shell chooses as ARM says.
 * Values may come from anywhere: they are bounded here, never trusted.
 */
#ifndef SLOTBUS_KEEPER_H
#define SLOTBUS_KEEPER_H

#include <stdbool.h>
#include <stdint.h>

enum keeper_state {
    KEEPER_ATTACHING,
    KEEPER_RUNNING,
    KEEPER_LINGERING,
    KEEPER_NOTICED,
    KEEPER_TERMINATING,
    KEEPER_KILLING,
    KEEPER_GONE
};

/* What the shell is to do, a set, in this order. */
enum keeper_action {
    KEEPER_DO_START = 1,         // start CMD, then report it as STARTED
    KEEPER_DO_REPORT_EXITED = 2, // to shim and run
    KEEPER_DO_NOTICE = 4,        // run the notice hook
    KEEPER_DO_TERM = 8,  // SIGCONT and SIGTERM, once to each of the tree
    KEEPER_DO_KILL = 16, // SIGKILL to the whole tree
    KEEPER_DO_REPORT_REAPED = 32, // to shim and run: proven empty
    KEEPER_DO_REFUSE = 64,        // to run: CMD was never started; nor is there
                                  // anything left of it (to the shim: REAPED)
    KEEPER_DO_END = 128
};

struct keeper {
    enum keeper_state state;
    bool armed;         // an ARM came
    bool ended;         // CMD has ended
    int64_t deadline;   // the tree must be gone by then
    int64_t grace;      // SIGTERM to SIGKILL
    int64_t confirm;    // SIGKILL to gone
    int64_t linger;     // for children that outlive CMD
    int64_t due;        // end of LINGERING, NOTICED, TERMINATING; next kill
    int64_t stop_grace; // NOTICED: the grace that follows
    int64_t kill_again; // KILLING: until the next sweep, grows
};

void keeper_init (struct keeper *k);

/* ARM: the tree may live until `deadline`. The newest one counts, also if it
 * is shorter: a broker that waits less expects the tree to be gone earlier.
 * It never takes back an end that has begun. Starting CMD is left to the tick
 * that ends the turn, so that a STOP read in the same turn prevents it. */
void keeper_arm (struct keeper *k, int64_t deadline, int64_t grace,
                 int64_t confirm, int64_t linger);

/* STOP. A second one may shorten what the first one gave, never lengthen. */
unsigned keeper_stop (struct keeper *k, int64_t notice, int64_t grace,
                      int64_t now);

/* The end of the shim's or the run's stream, REFUSE, or SIGTERM: nobody
 * answers for the tree any more. SIGTERM at once, SIGKILL after the grace. */
unsigned keeper_lost (struct keeper *k, int64_t now);

/* CMD could not be started. */
unsigned keeper_failed (struct keeper *k);

/* CMD has ended; children of it may live. */
unsigned keeper_exited (struct keeper *k, int64_t now);

/* The tree is proven empty (no child, and the cgroup not populated). */
unsigned keeper_emptied (struct keeper *k);

/* Does what is due. Call it last in each turn, when everything that had been
 * sent was read: after a pause the ARMs that came meanwhile count first. */
unsigned keeper_tick (struct keeper *k, int64_t now);

/* When the next tick is due; INT64_MAX: only an event changes anything. */
int64_t keeper_next (const struct keeper *k);

/* For logs and tests: "RUNNING". */
const char *keeper_state_name (enum keeper_state state);

#endif
