/* SPDX-License-Identifier: MPL-2.0 */
/* pressure.h - be woken when programs stand still for want of something
 *
 * A trigger of the kernel's pressure stall information: within a window of 2 s
 * some program stood still for `stalled_ms` of it. Source: the kernel's
 * Documentation/accounting/psi.rst; a user without privileges may choose no
 * other windows than multiples of 2 s.
 */
#ifndef SLOTBUS_PRESSURE_H
#define SLOTBUS_PRESSURE_H

/* path: "/proc/pressure/memory". A descriptor to be polled for ZMQ_POLLPRI,
 * which comes at most once a window; ZMQ_POLLERR: it will not come again. -1
 * and errno where the kernel has none, or does not let us. */
int pressure_watch (const char *path, unsigned stalled_ms);

#endif
