/* SPDX-License-Identifier: MPL-2.0 */
/* model.h - what a round must grant, said a second time
 *
 * A scheduler written from the promises alone, for every policy: the order on
 * each host; all or nothing, or at least `min`; never beyond what a host, all
 * hosts, a project or a session may hold; a request that is paused, kept back
 * by its project's cap, too large for a reduced pool or gathered still is
 * passed over, with all later ones of its project; the first other one that
 * cannot be served keeps everybody behind it waiting. Under `fair` the targets
 * are worked out slot by slot, and a gathered set is decided as a unit.
 *
 * It is naive: it counts everything anew, each time. It shares no code with
 * the broker's own, of which it reads the tables. What lasts from round to
 * round (a decision that the pace delays, whose turn it is) it reads there too,
 * and says so where it has been lost in between.
 *
 * Who is granted how much, who waits for what reason at which position, and
 * the targets of those who wait are compared exactly; and what everybody was
 * told last with what is so.
 */
#ifndef SIMULATION_MODEL_H
#define SIMULATION_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct broker;

/* Before each round, after the batch's messages. The model keeps each host's
 * pace from round to round: one model a broker. */
struct model;
struct model *model_create (void);
void model_destroy (struct model *m);
/* In this batch people said something of the schedule, the configuration is
 * another, or a parked tree wants to go on: what was decided need not last. */
void model_reordered (struct model *m);
void model_before (struct model *m, const struct broker *b, int64_t now);

/* After that round: false, and a sentence, where the broker did otherwise, or
 * gave another reason for waiting. */
bool model_after (struct model *m, const struct broker *b, char *ret_text,
                  size_t size);

/* What the rounds have come to, over all models of this process. */
enum model_event {
    MODEL_GATHERED, // a request was gathered with others
    MODEL_PACED,    // what was decided waited for the pace
    MODEL_PART,     // less than asked was granted
    MODEL_BORROWED, // a project was granted more than its target
    MODEL_TURN,     // one waited for more than is free, before all others
    MODEL_TAKEN,    // and was served
    MODEL_THOUGHT_AGAIN, // a decision could not be kept
    MODEL_EVENTS
};
extern uint64_t model_events[MODEL_EVENTS];
const char *model_event_name (enum model_event event); // "gathered"

#endif
