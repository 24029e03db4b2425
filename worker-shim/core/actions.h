/* SPDX-License-Identifier: MPL-2.0 */
/* actions.h - how the shim's core writes down what its shell shall do
 *
 * The list owns all it was given: messages and packets are copied. Reading is
 * in shim.h.
 */
#ifndef SLOTBUS_ACTIONS_H
#define SLOTBUS_ACTIONS_H

#include "core/shim.h"

/* An empty action of that kind; the pointer is good until the next call. */
struct action *actions_add (struct actions *a, enum action_kind kind);

void actions_send (struct actions *a, enum verb verb, const void *fields);
void actions_tell (struct actions *a, uint64_t client, enum verb verb,
                   const void *fields);
/* ERROR to a client: what it asked (`re`, `seq`), what is wrong, and a
 * sentence or NULL. */
void actions_tell_error (struct actions *a, uint64_t client, enum verb re,
                         uint64_t seq, enum err error, const char *detail);
void actions_hang_up (struct actions *a, uint64_t client);
void actions_packet (struct actions *a, uint64_t keeper,
                     const struct keeper_packet *packet);
void actions_who (struct actions *a, enum action_kind kind, struct who who);
void actions_log (struct actions *a, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

#endif
