/* SPDX-License-Identifier: MPL-2.0 */
/* ask.h - a command asks the broker: one question, one answer, a deadline
 *
 * For what people ask (STATUS, KILL, SET_MAX, a forced RELEASE): a DEALER for
 * one question after the other. Each failure is said on stderr where it
 * happens; the caller only passes the exit status on.
 */
#ifndef SLOTBUS_ASK_H
#define SLOTBUS_ASK_H

#include "bus/endpoint.h"
#include "protocol/message.h"

struct ask;

/* Which broker: 0, or the exit status (69 none here, 77 not allowed), said. */
int ask_where (struct endpoints *ret_endpoints);
/* Find it and connect; NULL and *ret_status, said. */
struct ask *ask_open (int *ret_status);
void ask_close (struct ask *a);

/* The answer of verb `wanted` in ask_answer (): 0. Else an exit status, said:
 * ERROR, another answer, none within ten seconds (two, where a query of its
 * lock says that no broker runs). */
int ask_call (struct ask *a, enum verb verb, const void *fields,
              enum verb wanted);
const struct msg *ask_answer (const struct ask *a);

/* A SUB to the events, connected; NULL and *ret_status, said. */
struct ask *ask_listen (const char *topic_prefix, int *ret_status);
/* The next published message until the deadline (clock_monotonic_ms (), -1 for
 * ever) in ask_answer (): 1; 0: none. Interrupted by a signal: 0. */
int ask_next (struct ask *a, int64_t deadline);

#endif
