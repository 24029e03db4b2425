/* SPDX-License-Identifier: MPL-2.0 */
/* runs.h - the trees that run under our slots
 *
 * A run begins when a client is offered slots for it, and belongs to that
 * client until its keeper attaches; from then on the keeper's stream decides.
 * Which slots it fills, holdings.h knows: those whose `tree` is its token.
 * Pure table; pointers stay good until that run is removed.
 */
#ifndef SLOTBUS_RUNS_H
#define SLOTBUS_RUNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/supervisors.h"
#include "protocol/message.h"

enum run_state {
    RUN_NONE,
    RUN_OFFERED,  // its client has been granted slots, no keeper yet
    RUN_ATTACHED, // its keeper is there
    RUN_CLEANING  // its keeper was lost, the shell ends what it left
};

/* A tree that waits may give its slots back meanwhile: shim_park.c. */
enum parking {
    PARKING_NONE,  // it has its slots
    PARKING_ASKED, // the broker has not answered PARK yet
    PARKING_PARKED
};

struct run {
    uint64_t token; // the first of its slots; 0 = unused entry
    uint64_t named; // the first that it ever had: so its keeper calls it, and
                    // its environment
    enum run_state state;
    unsigned count;
    uint64_t client;
    uint64_t client_seq; // its request
    uint64_t keeper;
    struct who supervisor;
    struct who process; // CMD, before that its keeper
    bool unknown;       // the broker is to hear of it before CMD is started
    bool armed;         // CMD may have been started
    bool stopping;      // STOP was said
    bool lost;          // of a session that is over
    bool exited;
    int32_t status;  // wait status of CMD, once exited
    uint64_t memory_bytes, cpu_ms; // of the tree, once it is gone; 0 = unknown
    uint64_t seq;    // of its newest STARTED,
    uint64_t first;  // and of its first
    bool untold;     // the broker has not answered the newest
    bool sent;       // it was said since the last BEAT
    bool to_measure;          // its turn to be measured has come
    bool measured;            // and it was, which is still to be said:
    uint64_t now_bytes;       // what it has now,
    uint64_t used_ms;         // its processor time so far: never less
    unsigned running;         // its tasks that run
    enum parking parking;
    uint64_t parking_seq; // of PARK
    bool parking_sent;    // it was said since the last BEAT
    char cookie[96];
    char cgroup[256];
    char label[257];
};

struct runs {
    size_t count;
    size_t top; // entries in use are below
    struct run at[MAX_HELD];
};

/* NULL where the table is full. */
struct run *runs_add (struct runs *t, uint64_t token, unsigned count,
                      uint64_t client, struct who supervisor);
struct run *runs_find (struct runs *t, uint64_t token);
struct run *runs_named (struct runs *t, uint64_t named);
struct run *runs_of_keeper (struct runs *t, uint64_t keeper);
void runs_remove (struct runs *t, struct run *run);
/* One by one: start with NULL, ends with NULL. The run that was returned last
 * may be removed meanwhile. */
struct run *runs_next (struct runs *t, const struct run *after);

/* 0..255, as a shell counts: 128 + signal for those killed. */
uint8_t run_exit_status (int32_t wait_status);

#endif
