/* SPDX-License-Identifier: MPL-2.0 */
/* ask.h - a command asks the broker: one question, one answer, a deadline
 *
 * For what people ask (STATUS, KILL, SET_MAX, a forced RELEASE): a DEALER for
 * one question after the other. Of several brokers each has its share of the
 * time. Each failure is said on stderr where it happens; the caller only passes
 * the exit status on.
 */
#ifndef SLOTBUS_ASK_H
#define SLOTBUS_ASK_H

#include <stdint.h>

#include "bus/endpoint.h"
#include "protocol/message.h"

struct ask;

/* Which broker: 0, or the exit status (69 none here, 77 not allowed), said. */
int ask_where (struct endpoint_list *ret_list);
/* How long each of them is tried where there are `all_ms` for all. */
int64_t ask_share_ms (const struct endpoint_list *to, int64_t all_ms);
/* Find it and connect; NULL and *ret_status, said. */
struct ask *ask_open (int *ret_status);
void ask_close (struct ask *a);

/* The answer of verb `wanted` in ask_answer (): 0. Else an exit status, said:
 * ERROR, another answer, none within ten seconds (two, where a query of its
 * lock says that no broker runs). The broker that answered is asked next time
 * too. */
int ask_call (struct ask *a, enum verb verb, const void *fields,
              enum verb wanted);
/* Any answer will do, an ERROR too: 0, or a status, said. */
int ask_any (struct ask *a, enum verb verb, const void *fields);
/* Is that answer of that verb? Else its exit status, said. */
int ask_wants (const struct ask *a, enum verb verb, enum verb wanted);
/* The same of one broker only, within so long, and nothing is said: for what a
 * command can do without. 0, or -1. */
int ask_try (struct ask *a, enum verb verb, const void *fields,
             enum verb wanted, int64_t within_ms);
const struct msg *ask_answer (const struct ask *a);

#endif
