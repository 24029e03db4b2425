/* SPDX-License-Identifier: MPL-2.0 */
/* judge.h - may a request be granted now, and if not, why not
 *
 * The tests of a request in their order, and the words for whoever waits.
 * Both passes of a round (round.c) go through a queue with a walk.
 *
 * Each host has its own queue, but two things are shared by all: the slots of
 * all hosts together (max_slots) and a project's cap. Where only the one or
 * the other keeps a request waiting, younger ones on other hosts leave it
 * alone, or it would wait for ever: `sum_first` and `cap_first` are the number
 * of the oldest such request (0: none), as the explaining pass noted it.
 */
#ifndef SLOTBUS_JUDGE_H
#define SLOTBUS_JUDGE_H

#include "core/state.h"

/* One way through the queue of one host. */
struct walk {
    struct pool *pool;
    const struct waiter *blocker; // the first that waits and blocks
    uint64_t ahead;               // what those want that block, before
    unsigned position;
    int64_t now;
    struct outbox *out;
};

/* The first test that fails; REASON_NONE: `*ret_amount` slots for it. */
enum reason judge (const struct broker *b, const struct walk *walk,
                   const struct waiter *w, unsigned *ret_amount);
/* It stays where it is: those behind it are blocked by it, or it is passed
 * over and holds back its own project only. */
void judge_pass_by (struct broker *b, struct walk *walk, const struct waiter *w,
                    enum reason reason);
/* The explaining pass begins; and its end: has anything changed of who comes
 * first over all hosts? */
void judge_forget_firsts (struct broker *b);
bool judge_take_firsts (struct broker *b);
/* What it is told (w->outlook). */
void judge_explain (struct broker *b, const struct walk *walk, struct waiter *w,
                    enum reason reason);

#endif
