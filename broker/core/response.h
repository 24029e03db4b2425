/* SPDX-License-Identifier: MPL-2.0 */
/* response.h - what a host's health does to its slots
 *
 * An episode belongs to one metric: from its first degraded (or critical)
 * sample until it is healthy. What an open one allows (`base` is the least of
 * effective and in_use, at its entry and anew at each repetition):
 *
 *              degraded                          critical
 *   cpu        max (base, min (max_slots, cores)) -
 *   memory     75 % of base; again when in_use   50 % of base, no grants
 *              is not above effective and it is
 *              still above its limit `dwell` on
 *   load       -                                 50 % of base, no grants
 *   disk,      nothing is taken, no growth       no grants
 *   inodes     above max_slots
 *
 * A metric that goes from degraded to critical within `dwell`, or before the
 * shrink is worked off, is halved from the same base: so the order in which
 * two limits are crossed does not matter. Effective is the least of what the
 * metrics allow, never below `floor`; what is critical grants nothing, at the
 * floor too.
 *
 * `healthy_for` after a metric is healthy again, what it allows grows by
 * max (1, 5 %) every `grow_every` back to max_slots, whatever the others do:
 * with n = max (1, max_slots / 20) all of it is back
 * dwell + healthy_for + ceil ((max_slots - floor) / n) * grow_every
 * after the pressure ended, at the latest (L6). Above that it grows, up to
 * auto_max, while all are healthy and somebody waits; that bonus is given back
 * when an episode opens.
 *
 * Nothing latches but what cannot be seen: a metric that cannot be read keeps
 * its level, and its episode lasts until it can be read again, but nothing is
 * taken a second time on old figures. A limit that is switched off (NaN) ends
 * its metric's episode, and what it took, at once. Another max_slots ends
 * none.
 *
 * Pure: told health, figures and time; owns nothing.
 */
#ifndef SLOTBUS_RESPONSE_H
#define SLOTBUS_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/health.h"
#include "core/settings.h"

/* Whose allowance: a metric's (enum metric), or that of people. */
enum { BY_PEOPLE = METRIC_COUNT, ALLOWANCES, BY_NOBODY = ALLOWANCES };
enum { CAUSE_BYTES = 129 }; // of a short cause

struct allowance {
    bool open;     // its episode is
    bool critical; // and has been answered as such
    bool bounds;   // it allows `slots` and no more
    unsigned slots, base;
    int64_t acted; // when base was taken
    int64_t grows; // not open: at the next step of growth
};

struct response {
    struct allowance by[ALLOWANCES];
    unsigned most;    // the least of them; UINT_MAX: none bounds
    unsigned bonus;   // above max_slots
    int64_t grows;    // the bonus, next; 0: it does not
    bool grants;      // nothing is critical
    unsigned cause;   // who bounds most, or is critical; BY_NOBODY
    unsigned changes; // rises with each that is worth telling
    int64_t next;
};

/* As of one host. */
struct response_input {
    unsigned max_slots, auto_max, floor, in_use;
    unsigned cores; // 0: not known, then a busy CPU freezes it at base
    bool waiting;   // somebody does
};

void response_init (struct response *ret_response);
/* Whatever changed. Returns whether that changes anything that is shown: how
 * many slots are withheld, why, or that nothing is granted. */
bool response_update (struct response *r, const struct health *h,
                      const struct limits *limits,
                      const struct response_input *in, const struct timing *t,
                      int64_t now);
/* For people: take now what degraded memory takes, once. Nothing at all where
 * the floor is reached. An update follows in the same turn. */
void response_relieve (struct response *r, const struct response_input *in,
                       const struct timing *t, int64_t now);
/* Slots at most: of so many, as of the newest update. */
unsigned response_effective (const struct response *r, unsigned max_slots);
/* False: nothing is granted, whatever is free. */
bool response_grants (const struct response *r);
/* When time alone changes something, later than the newest update; INT64_MAX:
 * never. */
int64_t response_next (const struct response *r);
/* Every deadline moves by so much (R3). */
void response_shift (struct response *r, int64_t by);

/* Why: "memory 91.0% of 90%", "memory was above 90%" while it grows back;
 * "" when nothing is withheld. At most CAUSE_BYTES. */
char *response_cause (const struct response *r, const struct health *h,
                      const struct limits *limits, char *ret_text, size_t size);
/* The same with its age and what it does: "memory 91.0% of 90% 2 s ago,
 * effective 12 of 20, growing again in 40 s". */
char *response_explain (const struct response *r, const struct health *h,
                        const struct limits *limits, unsigned max_slots,
                        int64_t now, char *ret_text, size_t size);

#endif
