/* SPDX-License-Identifier: MPL-2.0 */
/* progress.h - how far agents are, on its way to the broker
 *
 * An agent may say PROGRESS as often as it likes; what its project has to say
 * besides must not wait behind it. So the newest of each slot is kept, with
 * what older ones said and it does not, and told a few at a time. What is lost
 * is overtaken by the next. Pure table.
 */
#ifndef SLOTBUS_PROGRESS_H
#define SLOTBUS_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/message.h"

enum { PROGRESS_EVERY_MS = 250, PROGRESS_AT_ONCE = 64 };

struct progress {
    size_t count, room;
    struct msg_progress *at; // owned; oldest first
    int64_t next;            // none is told before
};

/* `in` names its slot by token. */
void progress_note (struct progress *p, const struct msg_progress *in);
/* The oldest, until the turn has told its share; false: none is due. */
bool progress_take (struct progress *p, unsigned told, int64_t now,
                    struct msg_progress *ret_progress);
/* When the next is due; INT64_MAX: there is none. */
int64_t progress_due (const struct progress *p);
/* What runs under that token runs under another one now. */
void progress_move (struct progress *p, uint64_t from, uint64_t to);
/* The run that this slot was filled by is over. */
void progress_forget (struct progress *p, uint64_t token);
void progress_clear (struct progress *p);

#endif
