/* SPDX-License-Identifier: MPL-2.0 */
/* local.h - the sockets of a shim towards this host
 *
 * RUNTIME/projects/P/shim for commands, RUNTIME/projects/P/keepers for keepers
 * (ZeroMQ cannot pass descriptors, and does not say when a peer is gone). Both
 * are SOCK_SEQPACKET: a packet is a message. Who is there is what the kernel
 * says (SO_PEERCRED); another uid is turned away.
 *
 * Server: one `struct local` per socket, its connections numbered, never
 * blocking. Client: plain blocking calls with a deadline.
 */
#ifndef SLOTBUS_LOCAL_H
#define SLOTBUS_LOCAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bus/reactor.h"
#include "core/shim.h"
#include "protocol/codec.h"

enum { LOCAL_PACKET_BYTES = 4 + MAX_BODY_BYTES };

struct local;
/* A packet of connection `peer`. Anything but 0: it is not what it should be,
 * the connection is ended and `gone` is called. */
typedef int local_packet_fn (void *arg, uint64_t peer, struct who who,
                             const void *data, size_t size);
/* The other side ended it, or had to be ended. Not called after local_hang_up
 * () or local_destroy (). */
typedef void local_gone_fn (void *arg, uint64_t peer);

/* Bind `path` (0600) and listen. A file that is there is removed: the caller
 * holds the lock that says it is stale. NULL and errno. */
struct local *local_listen (struct reactor *r, const char *path,
                            local_packet_fn *packet, local_gone_fn *gone,
                            void *arg);
/* Ends every connection, removes the file. */
void local_destroy (struct local *l);

/* Send, or queue if the other side does not read (up to 64 packets, then it
 * is ended). `news`: worth nothing later, dropped instead of queued. An
 * unknown peer is ignored: it has just gone. */
void local_send (struct local *l, uint64_t peer, const void *data, size_t size,
                 bool news);
/* End it once what was sent is written. */
void local_hang_up (struct local *l, uint64_t peer);
/* Who is there, as the kernel said when it came; pid 0: unknown. */
struct who local_who (const struct local *l, uint64_t peer);
size_t local_count (const struct local *l);

/* A message as a packet: the magic, then its body. Size, 0 if too large. */
size_t local_pack (enum verb verb, const void *fields,
                   uint8_t ret_packet[LOCAL_PACKET_BYTES]);
/* 0/-1: not the magic, or not a message (ret_error). */
int local_unpack (const void *packet, size_t size, struct msg *ret_msg,
                  struct codec_error *ret_error);

/* ---- a command's side ---- */
/* A connected descriptor; -1 and errno (ENOENT, ECONNREFUSED: nobody there). */
int local_connect (const char *path);
int local_tell (int fd, enum verb verb, const void *fields);
/* The next message until `deadline` (clock_monotonic_ms (), -1 = for ever).
 * 1; 0 and errno 0: it hung up; 0 and ETIMEDOUT; -1 and errno. */
int local_hear (int fd, int64_t deadline, struct msg *ret_msg);

#endif
