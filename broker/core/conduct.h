/* SPDX-License-Identifier: MPL-2.0 */
/* conduct.h - how what runs under slots does: forecasts of it, and its record
 *
 * A tree's duration is learnt once, by the first slot that REAPED names, and
 * only if the tree ended by itself: what was killed or lost, and what a signal ended, says
 * nothing of how long the work takes. So is the most memory that was seen of
 * it: what its keeper says at the end, or what was measured while it ran
 * (footprints.h), whichever is more.
 *
 * A slot has one record, from its grant to its end. A tree that ends in a
 * reservation that goes on has one of its own, which holds no slot time: the
 * reservation's counts that. Of the slots of one tree that same one has memory
 * and time. A tree that was parked has one for each time that it held slots.
 */
#ifndef SLOTBUS_CONDUCT_H
#define SLOTBUS_CONDUCT_H

#include "core/forecast.h"
#include "core/state.h"

/* What is forecast for a slot that is just being granted. */
void conduct_grant (const struct broker *b, struct lease_record *r);
/* A tree begins under it. */
void conduct_begin (struct lease *l, int64_t now);
/* What was parked under `from` goes on under `l`. */
void conduct_return (struct lease *l, const struct lease *from);
/* What it says of its progress may have changed. */
void conduct_progress (struct lease *l, int64_t now);
/* Its tree has ended, so much is known; before the lease forgets the tree.
 * `out`: its reservation goes on, and this is recorded; NULL: the slot ends
 * with it. */
void conduct_end (struct broker *b, struct lease *l,
                  const struct msg_reaped *end, int64_t now,
                  struct outbox *out);
/* The slot is about to be free. `why`: as in the journal. */
void conduct_record (const struct broker *b, const struct lease *l,
                     const char *why, struct outbox *out);

/* Is this one that work is done under, as far as anybody said: not a mere
 * reservation? */
bool conduct_is_agent (const struct lease *l);
/* What is left of it. False: unknown. */
bool conduct_left (const struct broker *b, const struct lease *l, int64_t now,
                   struct range *ret_left);
/* It has run for longer than half of its kind did. */
bool conduct_is_late (const struct broker *b, const struct lease *l,
                      int64_t now);

#endif
