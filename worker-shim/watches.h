/* SPDX-License-Identifier: MPL-2.0 */
/* watches.h - be told when a process ends, by its pidfd
 *
 * Processes that are nobody's child here. A pidfd is readable when its
 * process has ended; that the number is reused meanwhile does not matter,
 * since the start time was compared when it was opened.
 */
#ifndef SLOTBUS_WATCHES_H
#define SLOTBUS_WATCHES_H

#include "bus/reactor.h"
#include "core/shim.h"

struct watches;
typedef void watches_fn (void *arg, struct who who);

struct watches *watches_create (struct reactor *r, watches_fn *gone, void *arg);
void watches_destroy (struct watches *w);

/* Once for each process. Gone already: said at once, from within. */
void watches_add (struct watches *w, struct who who);
void watches_remove (struct watches *w, struct who who);

/* Signal exactly this process. 0; -1 and errno (ESRCH: it is gone). */
int watches_signal (struct who who, int number);

#endif
