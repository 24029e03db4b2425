/* SPDX-License-Identifier: MPL-2.0 */
/* model.h - what a round must grant, said a second time
 *
 * A scheduler written from the promises alone: strict arrival order on each
 * host; all or nothing, or at least `min`; never beyond what a host, all hosts,
 * a project or a session may hold; a request that its project's cap, a reduced
 * pool or a contested identity keeps from being served is passed over, with all
 * later ones of its project; the first other one that cannot be served keeps
 * everybody behind it waiting. It is naive: it counts everything anew, each
 * time. It shares no code with the broker's own, of which it reads the tables.
 */
#ifndef SIMULATION_MODEL_H
#define SIMULATION_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct broker;

/* Before each round, after the batch's messages; under `fifo` only. The model
 * keeps each host's pace from round to round: one model a broker. */
struct model;
struct model *model_create (void);
void model_destroy (struct model *m);
void model_before (struct model *m, const struct broker *b, int64_t now);

/* After that round: false, and a sentence, where the broker did otherwise, or
 * gave another reason for waiting. */
bool model_after (struct model *m, const struct broker *b, char *ret_text,
                  size_t size);

#endif
