/* SPDX-License-Identifier: MPL-2.0 */
/* config_projects.h - the sections of slots.yaml whose keys are names
 *
 * Projects and hosts are added to the reading's settings as they come; a name
 * that is none, or is given twice, is refused. Errors as in config_value.h;
 * key and `into` are not looked at.
 */
#ifndef SLOTBUS_CONFIG_PROJECTS_H
#define SLOTBUS_CONFIG_PROJECTS_H

#include "config_value.h"

config_fn config_projects;
config_fn config_priorities; // the section project_priorities
config_fn config_hosts;

#endif
