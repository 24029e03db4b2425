/* SPDX-License-Identifier: MPL-2.0 */
/* machine.h - how large this machine is for us, and how full its memory
 *
 * What the hardware has is not what may be used: a cpu mask, a cpu quota and
 * memory limits of control groups count, of version 1 and 2, on every level
 * from our own group up to the mount. Where the groups are mounted is read
 * from mountinfo, never assumed.
 * Sources: cgroups(7), proc(5), the kernel's admin-guide/cgroup-v2.rst and
 * admin-guide/cgroup-v1/memory.rst.
 *
 * `proc_root` is "/proc"; tests give a folder of their own.
 */
#ifndef SLOTBUS_MACHINE_H
#define SLOTBUS_MACHINE_H

#include <stdint.h>

struct machine {
    unsigned cores;        // at least 1; a quota is rounded up
    uint64_t memory_bytes; // RAM or the tightest limit; 0 = could not be read
};

void machine_read (const char *proc_root, struct machine *ret_machine);

/* Processes and threads that our control groups allow; 0 = any number. */
uint64_t machine_task_limit (const char *proc_root);

/* Memory in use, in percent of RAM (what is not available) or of the fullest
 * limited group (its usage less file cache that can be dropped), whichever is
 * higher. NaN: /proc/meminfo could not be read. */
double machine_memory_percent (const char *proc_root);
/* Swap in use; 0 without swap, NaN: could not be read. */
double machine_swap_percent (const char *proc_root);

#endif
