/* SPDX-License-Identifier: MPL-2.0 */
/* checks.h - what `slotbus doctor` looks at
 *
 * Each looks at one thing, reports every part of it as a finding, and leaves
 * nothing behind: no folder, no control group, no process. Each is called in a
 * process of its own, which ends afterwards; so a check may change what is the
 * process's own, such as its signal mask.
 */
#ifndef SLOTBUS_CHECKS_H
#define SLOTBUS_CHECKS_H

#include "commands/findings.h"

void check_programs (const struct report *r); // checks_place.c
void check_folders (const struct report *r);
void check_disks (const struct report *r);
void check_shims (const struct report *r);
void check_environment (const struct report *r);
void check_broker (const struct report *r);   // checks_broker.c
void check_trees (const struct report *r);    // checks_trees.c
void check_pressure (const struct report *r); // checks_host.c
void check_clocks (const struct report *r);
void check_identity (const struct report *r);
void check_limits (const struct report *r);

/* Is this text of /etc/machine-id an id? NULL, or what is wrong with it. */
const char *machine_id_fault (const char *text);

/* The known variable nearest to a name that begins with SLOTBUS_: itself if it
 * is one, NULL if none is near. */
const char *variable_meant (const char *name);

/* "running", "stopped", ... of /proc/PID/status; "gone". Never NULL. */
const char *process_state (long pid, char *ret_state, size_t size);

/* A child's end within `ms`: its wait status in *ret_status, true. Else it is
 * killed and reaped: false. */
bool child_ends (int pid, int ms, int *ret_status);

#endif
