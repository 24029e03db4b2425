/* SPDX-License-Identifier: MPL-2.0 */
/* say.h - words for people: errors, counts, times, tokens
 *
 * Results go to stdout, talk to stderr. Whatever a peer or a person typed goes
 * through say_clean () before it reaches a terminal. Functions that fill a
 * buffer return it.
 */
#ifndef SLOTBUS_SAY_H
#define SLOTBUS_SAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "protocol/message.h"

/* Without control and bidirectional characters; the name of what it does. */
char *say_clean (const char *text, char *ret_text, size_t size);

/* One line "slotbus: ..." on stderr; returns `status`. */
int say_failure (int status, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));
/* The same for an ERROR of the broker or shim: its sentence, its detail; the
 * exit status that belongs to it is returned. */
int say_refusal (const struct msg_error *error);
/* The exit status of an error by its name on the wire. */
int status_of_error (const char *name);

/* "1 slot", "5 slots". */
char *say_count (uint64_t count, const char *noun, char *ret_text, size_t size);
/* "17-21,30"; "none" if empty. The list need not be sorted. */
char *say_tokens (const struct u64s *tokens, char *ret_text, size_t size);
/* "12 minutes", "13-16 minutes", "40 seconds", "at most 2 minutes"; "unknown"
 * for 0, 0. */
char *say_eta (uint64_t low_s, uint64_t high_s, char *ret_text, size_t size);
/* "812 kB", "351 MB", "6.2 GB": of 1024 each. */
char *say_bytes (uint64_t bytes, char *ret_text, size_t size);
/* An age: "850 ms", "12 s", "8 min", "3 h", "2 d". */
char *say_age (uint64_t ms, char *ret_text, size_t size);

/* May emoji go there: a terminal, and neither NO_COLOR nor TERM=dumb. */
bool say_emoji (FILE *out);
/* Flush stdout: 0, or the exit status if what was printed did not get out. */
int say_flush (void);

#endif
