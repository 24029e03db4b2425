/* SPDX-License-Identifier: MPL-2.0 */
/* herald.h - the PUB side: health, pool, lease and queue events
 *
 * An XPUB. Every publication is complete, so the last one of a topic is all
 * that a late subscriber needs: it is kept, and sent again once a turn for
 * each topic that somebody has newly subscribed to. Advice only: a slow
 * subscriber loses some, and sees that by their numbers, at the latest when
 * the last one is repeated.
 *
 * The number of topics kept is bounded: projects have any names. What was
 * published longest ago is forgotten.
 */
#ifndef SLOTBUS_HERALD_H
#define SLOTBUS_HERALD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/outbox.h"

struct herald;

struct herald *herald_create (void);
void herald_destroy (struct herald *h); // NULL is fine
/* 0; -1 and errno. */
int herald_bind (struct herald *h, const char *endpoint);
/* The raw socket, to be polled for input (subscriptions). */
void *herald_socket (struct herald *h);

/* now: monotonic ms. */
void herald_publish (struct herald *h, const struct publication *p,
                     int64_t now);
/* Read new subscriptions and send what they have missed, a portion that fits
 * into a subscriber's queue. Returns how many topics were sent again. */
size_t herald_catch_up (struct herald *h);
/* There is more to be sent: a few ms later. */
bool herald_is_behind (const struct herald *h);
/* Send again what was last sent `every` ms ago: a subscriber may have lost
 * the last message of a topic, and would never know. A topic that is gone is
 * repeated once, and then forgotten. A bounded number at one time. */
void herald_repeat (struct herald *h, int64_t every, int64_t now);

#endif
