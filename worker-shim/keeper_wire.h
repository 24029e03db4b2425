/* SPDX-License-Identifier: MPL-2.0 */
/* keeper_wire.h - the packets between a keeper and its shim, and its run
 *
 * SOCK_SEQPACKET on one host between programs of one installation: fixed
 * structures in host order, one packet each. A packet of another size, magic
 * or type ends the connection. The keeper has no msgpack and no libzmq.
 *
 *   keeper                          shim
 *     ATTACH token, cookie, cgroup -->       the slot is taken by this tree
 *                                  <-- ARM   deadline: CMD may start
 *     STARTED pid                  -->
 *                                  <-- ARM   at each acknowledged BEAT
 *                                  <-- STOP  notice, grace, reason
 *     EXITED status                -->       CMD has ended, its children linger
 *     REAPED status                -->       proven empty; the keeper ends
 *
 * The same EXITED, and REAPED, go to `run` over a socketpair. The end of
 * either stream means: end the tree.
 */
#ifndef SLOTBUS_KEEPER_WIRE_H
#define SLOTBUS_KEEPER_WIRE_H

#include <stdint.h>

#define KEEPER_MAGIC 0x31504b53u // "SKP1"

enum keeper_type {
    KEEPER_ATTACH = 1,
    KEEPER_STARTED,
    KEEPER_EXITED,
    KEEPER_REAPED,
    KEEPER_ARM,
    KEEPER_STOP,
    KEEPER_REFUSE // by the shim: not yours, closed; `reason` says why
};

struct keeper_packet {
    uint32_t magic;
    uint32_t type;          // enum keeper_type
    uint64_t token;         // the first of the tree's tokens
    uint32_t count;         // how many tokens the tree runs under
    int32_t pid;            // STARTED: CMD's; ATTACH: the keeper's own
    int64_t pid_start;      // STARTED: its start time in clock ticks
    int32_t status;         // EXITED, REAPED: wait status of CMD
    uint32_t boottime;      // ARM: 1 = deadline counts on CLOCK_BOOTTIME (a
                            // remote broker), 0 = on CLOCK_MONOTONIC (R1)
    int64_t deadline_ms;    // ARM: the tree must be gone by then (T - D)
    int64_t notice_ms;      // STOP: between notice and TERM
    int64_t grace_ms;       // ARM, STOP: TERM to KILL (G)
    int64_t confirm_ms;     // ARM: KILL to gone (K)
    int64_t linger_ms;      // ARM: for children that outlive CMD
    uint64_t peak_bytes;    // REAPED: largest memory of the tree, 0 unknown
    uint64_t cpu_ms;        // REAPED: CPU used by the tree
    char cookie[96];        // ATTACH
    char cgroup[256];       // ATTACH: path below the cgroup2 mount, "" = none
    char label[257];        // ATTACH
    char reason[257];       // STOP, REFUSE
};

#endif
