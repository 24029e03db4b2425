/* SPDX-License-Identifier: MPL-2.0 */
/* outlook.h - when those who wait will be served, and what would help them
 *
 * The scheduler is run forward on a copy of what waits and what runs, a number
 * of times: each time what runs ends at a time drawn from its forecast
 * (conduct.h), and so does what is granted on the way. Where who comes later
 * may be served before who waits (not in order of arrival), others join as
 * often as they did lately. A waiter's range is that of nine in ten of these
 * runs, without the lowest and the highest tenth; where it was not served in
 * one of them, or there is nothing to draw from, it has none. Chance is drawn
 * from the tokens: the same state gives the same forecast.
 *
 * It is made when somebody joins a short queue, and anew every few seconds
 * while somebody waits; in between it grows shorter with time. What one costs
 * is bounded: of a long queue only the first of each lane are looked at,
 * OUTLOOK_TICKETS in all; each run ends after so many steps, the fewer the more
 * lanes there are; and with very many lanes nobody is told a number.
 */
#ifndef SLOTBUS_OUTLOOK_H
#define SLOTBUS_OUTLOOK_H

#include "core/state.h"

enum { OUTLOOK_TICKETS = 256 };

/* Somebody has joined the queue. */
void outlook_came (const struct ticket *t);
/* In each round, after the walk. */
void outlook_forecast (struct broker *b, int64_t now);
/* May its forecast be told again: is it another one than it was told? */
bool outlook_is_news (const struct waiter *w, int64_t now);
/* All that a waiter is told. */
void outlook_of (const struct broker *b, const struct waiter *w, int64_t now,
                 struct outlook *ret_outlook);
/* What dispatch_explain () does not know of: `o` is about `w`. */
void outlook_complete (const struct broker *b, const struct waiter *w,
                       int64_t now, struct outlook *o);

#endif
