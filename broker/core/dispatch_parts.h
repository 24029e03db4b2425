/* SPDX-License-Identifier: MPL-2.0 */
/* dispatch_parts.h - what the files of the scheduler share
 *
 *   dispatch.c          lanes, and the tickets in them
 *   dispatch_places.c   where a ticket stands, how much stands before it
 *   dispatch_walk.c     who is served next
 *   dispatch_explain.c  what those are told who wait
 */
#ifndef SLOTBUS_DISPATCH_PARTS_H
#define SLOTBUS_DISPATCH_PARTS_H

#include "core/dispatch.h"

/* ---- dispatch_places.c ---- */
struct place dispatch_place (const struct dispatch *d, const struct ticket *t);
/* How many of a lane stand before that place, and what they want. */
void dispatch_count_before (const struct dispatch *d, const struct lane *lane,
                            struct place place, uint64_t *ret_count,
                            uint64_t *ret_sum);
/* Those of its host that are before it, and what they want. */
void dispatch_rank (const struct dispatch *d, const struct ticket *t,
                    uint64_t *ret_count, uint64_t *ret_sum);

/* ---- dispatch_walk.c ---- */
/* What its project's cap leaves. */
unsigned dispatch_cap_room (const struct ticket *t);
/* Does another on another host come first, for the slots of its project, or for
 * those of all hosts? */
bool dispatch_is_behind_cap (const struct dispatch *d, const struct ticket *t);
bool dispatch_is_behind_sum (const struct dispatch *d, const struct ticket *t);
/* The load with what has just started would be at its limit. */
bool dispatch_is_ramping (const struct dispatch *d, const struct pool *pool);
double dispatch_load_limit (const struct dispatch *d, const struct pool *pool);

#endif
