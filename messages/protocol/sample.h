/* SPDX-License-Identifier: MPL-2.0 */
/* sample.h - one reading of a host
 *
 * Plain values, taken by the sampler or reported by a remote shim. NaN: could
 * not be read (a metric then keeps its level and is marked stale).
 */
#ifndef SLOTBUS_SAMPLE_H
#define SLOTBUS_SAMPLE_H

#include <stdint.h>

struct sample {
    int64_t at;            // monotonic ms of the reading
    double cpu_percent;    // busy since the reading before; NaN in the first
    double memory_percent; // used, of RAM or the tightest cgroup limit
    double load1;
    double running;        // tasks that run or wait for a processor or a disk
    double disk_percent;   // worst of the configured paths, as df counts
    double inodes_percent; // worst of the configured paths
    double swap_percent;   // 0 without swap
    // pressure (PSI): percent of the last 10 s in which some, or all, stood
    // still for want of it
    double cpu_some, memory_some, memory_full, io_some, io_full;
};

#endif
