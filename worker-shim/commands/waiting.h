/* SPDX-License-Identifier: MPL-2.0 */
/* waiting.h - why a request waits, until when, and what would let it go on
 *
 * The same words and the same object wherever that is shown: a command that
 * waits, `status`, `--json`. What came from the broker is escaped here. Pure,
 * but for the stream that is written to.
 */
#ifndef SLOTBUS_WAITING_H
#define SLOTBUS_WAITING_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "protocol/message.h"

enum { WAITING_BYTES = 2048 };

/* A QUEUED of a project as a row of a snapshot. */
void waiting_from (const char *project, const struct msg_queued *q,
                 struct row_waiter *ret_row);
/* Is that worth another line, so many ms after `told`? Time that goes by, and a
 * forecast that merely grows shorter with it, are not. */
bool waiting_is_news (const struct row_waiter *told,
                      const struct row_waiter *now, int64_t after_ms);

/* "SLOTS: 2 of 20 free, 5 wanted; ETA 2-5 minutes"; a figure that
 * is not of just now has its age. Returns ret_text. */
char *waiting_why (const struct row_waiter *w, char *ret_text, size_t size);
/* "goes on with 1 slot: odin's auth (in about 89 s)"; "": nobody knows. */
char *waiting_way_out (const struct row_waiter *w, char *ret_text, size_t size);
/* Both below each other, beginning as the seed does, broken between words to
 * `columns`; 0: never. */
void waiting_say (FILE *out, const struct row_waiter *w, unsigned columns);

/* As in the queue of `status --json`. */
json_t *waiting_json (const struct row_waiter *w);

#endif
