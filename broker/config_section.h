/* SPDX-License-Identifier: MPL-2.0 */
/* config_section.h - maps of slots.yaml by a table of their keys, and lists
 *
 * A key that no table has is refused with the one that may have been meant,
 * or with the section that it belongs to. Errors as in config_value.h.
 */
#ifndef SLOTBUS_CONFIG_SECTION_H
#define SLOTBUS_CONFIG_SECTION_H

#include "config_value.h"

/* Every entry of the map by the table's functions. */
int config_keys (struct config_reading *r, const struct node *map,
                 const struct config_key *keys, void *into);
/* The same below `n`, which is a map or nothing. */
int config_section (struct config_reading *r, const struct node *n,
                    const struct config_key *keys, void *into);

/* An entry without a value is an empty map, as people write it. */
int config_expect_map (struct config_reading *r, const struct node *n);
int config_expect_list (struct config_reading *r, const struct node *n,
                        unsigned most);

config_fn config_limits; // struct limits, section vm_limits
config_fn config_timing; // struct timing
/* struct texts of up to `max` items, none of them twice. */
config_fn config_paths;
config_fn config_endpoints;
config_fn config_names;

#endif
