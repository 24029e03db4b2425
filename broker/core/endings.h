/* SPDX-License-Identifier: MPL-2.0 */
/* endings.h - what KILL, RELIEVE and a host in need do to end a tree
 *
 * One way for all of them: STOP goes to the session that holds it (and with
 * each BEAT_OK, until REAPED), and each slot counts until its end is proven.
 */
#ifndef SLOTBUS_ENDINGS_H
#define SLOTBUS_ENDINGS_H

#include "core/state.h"

struct ending {
    uint64_t id; // of the KILL; 0: the broker's own will
    int64_t notice, grace; // ms
    bool supervisor;       // end that too, of slots inside one
    const char *reason;    // whoever is ended is told
};

/* When a tree of `s` that is ended now is gone, if it can be: who does not hear
 * of it now ends it with the grace that all are told. */
int64_t endings_end (const struct broker *b, const struct session *s,
                     const struct ending *how, int64_t now);
/* End these slots, all of `s`. What has nothing of its own to end is free at
 * once. */
void endings_begin (struct broker *b, struct session *s,
                    const struct u64s *tokens, const struct ending *how,
                    int64_t now, struct outbox *out);

#endif
