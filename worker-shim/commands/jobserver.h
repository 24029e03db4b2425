/* SPDX-License-Identifier: MPL-2.0 */
/* jobserver.h - as many jobs for make and cargo as slots were granted
 *
 * GNU make's protocol: a pipe holds one byte less than there are jobs, since
 * every client has one job without asking; MAKEFLAGS names its descriptors.
 * The pipe form is used, not the fifo: make before 4.4 knows no other.
 * Source: "POSIX Jobserver Interaction" in the manual of GNU make.
 */
#ifndef SLOTBUS_JOBSERVER_H
#define SLOTBUS_JOBSERVER_H

/* Put it into this process's environment (MAKEFLAGS, CARGO_MAKEFLAGS) with
 * descriptors that what is started from here inherits. They stay open as long
 * as this process lives. 0, or -1 and errno. */
int jobserver_offer (unsigned slots);

#endif
