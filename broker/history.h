/* SPDX-License-Identifier: MPL-2.0 */
/* history.h - what ended: history.db in the state folder
 *
 * One row per slot that was held, one per project and day. It is for people
 * and forecasts, and nothing else hangs on it: what goes wrong here is logged
 * once and costs history, never the broker. A file that cannot be used is
 * moved aside and a new one begun; where that fails too, or the disk is full,
 * there is no history for a while and then it is tried again.
 *
 * Written in batches, at most once a second, without a flush. Rows go after 90
 * days, or when there are more than a hundred thousand; a few at a time.
 *
 * Times are wall times, ms since 1970.
 */
#ifndef SLOTBUS_HISTORY_H
#define SLOTBUS_HISTORY_H

#include <stddef.h>
#include <stdint.h>

#include "core/outbox.h"
#include "protocol/message.h"

struct history;

/* Never NULL, whatever is in the folder. */
struct history *history_open (const char *folder, int64_t wall);
/* Writes what is pending. NULL is fine. */
void history_close (struct history *h);

/* The newest of what ended by itself, the oldest of them first: its duration,
 * and its memory (0: not known). */
typedef void history_learn (void *arg, const struct run_record *run);
void history_recall (struct history *h, history_learn *learn, void *arg);
/* What a batch ended. Nothing is written yet. */
void history_note (struct history *h, const struct outbox *out, int64_t wall);
/* Once a second: write, prune, try again. */
void history_tend (struct history *h, int64_t wall);

/* A page of what was asked for. ERR_NOT_FOUND: there is no history. */
enum err history_answer (struct history *h, const struct msg_history *in,
                         struct msg_history_ok *ret_answer);

#endif
