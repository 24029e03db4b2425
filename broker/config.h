/* SPDX-License-Identifier: MPL-2.0 */
/* config.h - slots.yaml, by a table of its keys
 *
 * Reads over an `o` that holds the defaults. What the file may hold is in
 * config*.c, one line per key, with type and range.
 */
#ifndef SLOTBUS_CONFIG_H
#define SLOTBUS_CONFIG_H

#include <stddef.h>

struct options;

/* 0, or -1 and ret_error: "slots.yaml:7:3: vm_limits.max_cpu_percent: expected
 * 1..100, got 'x'". *o may then be half changed. */
int config_read (const char *path, struct options *o, char *ret_error,
                 size_t error_size);
/* Only the `project_priorities` of a file that is otherwise not ours. */
int config_read_priorities (const char *path, struct options *o,
                            char *ret_error, size_t error_size);

#endif
