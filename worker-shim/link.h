/* SPDX-License-Identifier: MPL-2.0 */
/* link.h - what every socket to a broker has in common
 *
 * Its options, and how a message lies in its frames: what is published has its
 * topic first, then all have "SLT1" and the body.
 */
#ifndef SLOTBUS_LINK_H
#define SLOTBUS_LINK_H

#include <stdint.h>

#include "bus/endpoint.h"
#include "protocol/message.h"

struct link_message {
    char topic[256]; // of what is published, as it came: any bytes
    struct msg msg;
    uint8_t body[MAX_BODY_BYTES];
};

/* A socket for either endpoint of `to`, not connected yet: bounds, and over TCP
 * what finds out that a host has vanished. A SUB, which never says anything,
 * asks there by ZMTP heartbeats; on one host they would only cut off whoever
 * was stopped for a while. NULL and zmq_errno (): no more of them. */
void *link_socket (void *context, int type, const struct endpoints *to);

/* Without waiting. 1 a message of ours is in *m; 0 nothing is there, -1 what
 * was there was none. */
int link_receive (void *socket, struct link_message *m);
/* Without waiting; m->body is where it is encoded. 0; -1 and errno: EMSGSIZE
 * it cannot be encoded, else it cannot be sent now. */
int link_send (void *socket, struct link_message *m, enum verb verb,
               const void *fields);

#endif
