/* SPDX-License-Identifier: MPL-2.0 */
/* uplink.h - a shim's way to the broker: a DEALER, and a SUB beside it
 *
 * Plain libzmq. The DEALER has no routing id of its own, IMMEDIATE (nothing is
 * kept for a broker that is away: a stale beat would only cost waiting) and
 * small bounds; a send that cannot be done at once is dropped, since the core
 * sends again. Frames: "SLT1", body. It reconnects by itself; what ZeroMQ
 * cannot mend (a refused handshake) uplink_renew () does.
 */
#ifndef SLOTBUS_UPLINK_H
#define SLOTBUS_UPLINK_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/endpoint.h"
#include "bus/reactor.h"
#include "protocol/message.h"

struct uplink;
/* A decoded message; good until the handler returns. HEALTH comes from the
 * SUB, everything else from the DEALER. What is malformed is dropped. */
typedef void uplink_fn (void *arg, const struct msg *msg);

/* Never NULL; ZeroMQ out of descriptors is out of memory: aborts. */
struct uplink *uplink_create (struct reactor *r, const struct endpoint_list *to,
                              uplink_fn *fn, void *arg);
/* What was sent may leave within linger_ms. */
void uplink_destroy (struct uplink *u, int linger_ms);

/* Wait until something can be sent, so that the first HELLO is not dropped:
 * so long for each of the list in turn. */
void uplink_wait (struct uplink *u, int timeout_ms);
/* The one of the list that it is connected to, or tries to be. */
const struct endpoints *uplink_to (const struct uplink *u);
/* 0, or -1: not connected now, or not a message that can be encoded. */
int uplink_send (struct uplink *u, enum verb verb, const void *fields);
/* Sockets anew, to the next one of the list. Not within its handler. */
void uplink_renew (struct uplink *u);

#endif
