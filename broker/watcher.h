/* SPDX-License-Identifier: MPL-2.0 */
/* watcher.h - proof on the own host: who died, and what is left of it
 *
 * Sessions are watched by the pidfds of their shims: one that ends makes its
 * session LOST at once. Leases in LIMBO are looked at now and then until
 * nothing is left of their tree (leftovers.h) and, where the lease rests on a
 * supervisor's word, that supervisor is gone. There is no timer after which a
 * slot of the own host is free.
 *
 * What neither keeper nor shim ended within the patience is ended here.
 */
#ifndef SLOTBUS_WATCHER_H
#define SLOTBUS_WATCHER_H

#include <stddef.h>
#include <stdint.h>

#include "bus/reactor.h"
#include "core/broker.h"
#include "core/outbox.h"

struct watcher;

/* Registers pidfds in the reactor (borrowed). `runtime`: the broker's own
 * folder, where witness locks are. */
struct watcher *watcher_create (struct reactor *r, const char *broker_id,
                                const char *runtime);
void watcher_destroy (struct watcher *w); // NULL is fine

/* How long a tree in LIMBO may end by itself: notice, grace, confirmation. */
void watcher_set_patience (struct watcher *w, int64_t patience_ms);

/* Tell the core what was seen since the last call, and look again where it is
 * time. Once a turn. */
void watcher_report (struct watcher *w, struct broker *b, int64_t now,
                     struct outbox *out);
/* When it wants to look next; INT64_MAX: nothing to look at. */
int64_t watcher_due (const struct watcher *w);

#endif
