/* SPDX-License-Identifier: MPL-2.0 */
/* topics.h - what is published, as people and programs read it
 *
 * Pure but for the stream that it writes to. JSON is one object with
 * "schema": 1 on one line, always valid UTF-8.
 */
#ifndef SLOTBUS_TOPICS_H
#define SLOTBUS_TOPICS_H

#include <stdbool.h>
#include <stdio.h>

#include "protocol/message.h"

/* What the message says, in a few words and without an end of line: "10/20
 * used, 2 waiting". */
void topic_words (FILE *out, const struct msg *m);
/* Its topic, verb and every key that the protocol knows of it. */
void topic_json (FILE *out, const char *topic, const struct msg *m);

/* "gap health.vm1: 3 lost (12-14)" */
void topic_gap (FILE *out, const char *topic, uint64_t first, uint64_t last);
void topic_gap_json (FILE *out, const char *topic, uint64_t first,
                     uint64_t last);

/* "2026-01-31T12:00:00Z"; "-" for 0, which is unknown. Returns ret_text. */
char *topic_time (uint64_t at_ms, char *ret_text, size_t size);

#endif
