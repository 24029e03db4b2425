/* SPDX-License-Identifier: MPL-2.0 */
/* history_labels.h - what the agents of each label took, from single runs
 *
 * A tree of several slots is one run. What was parked and what was given back
 * without a label, mere reservations, is none. Quantiles are by nearest rank:
 * values that were there. Pure.
 */
#ifndef SLOTBUS_HISTORY_LABELS_H
#define SLOTBUS_HISTORY_LABELS_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/message.h"

struct label_sum {
    const char *label; // borrowed from the runs; "": they had none
    uint64_t runs;
    uint64_t run_p50_ms, run_p90_ms, wait_p50_ms, wait_p90_ms;
    uint64_t memory_p90_bytes; // of those whose memory is known; 0: none is
    uint64_t cpu_ms;           // a run, likewise
};

/* `runs`: of one project, as the broker lists them. Most runs first. Returns
 * how many there are; the caller frees them. */
size_t history_labels_sum (const struct row_lease_run *runs, size_t count,
                           struct label_sum **ret_sums);

#endif
