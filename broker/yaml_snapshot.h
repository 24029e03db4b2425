/* SPDX-License-Identifier: MPL-2.0 */
/* yaml_snapshot.h - the slots.yaml that the broker writes
 *
 * For whoever reads that file with yq: the pool, the slots in use, limits and
 * the host's state, in the shape of the configuration. Nobody reads it back.
 */
#ifndef SLOTBUS_YAML_SNAPSHOT_H
#define SLOTBUS_YAML_SNAPSHOT_H

#include <stddef.h>

#include "protocol/sample.h"
#include "core/settings.h"

/* `project` is a valid key (project_key_valid). */
struct snapshot_project {
    char project[MAX_KEY_BYTES + 1];
    unsigned in_use;
};

struct snapshot {
    unsigned max_slots;
    size_t project_count;
    const struct snapshot_project *projects; // borrowed
    struct limits limits;
    struct sample sample; // of the own host
    const char *health;   // "healthy", "degraded", "critical"; borrowed
};

/* Write it to `path`, atomically, readable by all who may enter the folder.
 * `config`: the configuration file in use, "" if there is none; it is never
 * overwritten. 0, or -1 and a sentence. */
int yaml_snapshot_write (const char *path, const char *config,
                         const struct snapshot *snapshot, char *ret_error,
                         size_t error_size);

#endif
