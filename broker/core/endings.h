/* SPDX-License-Identifier: MPL-2.0 */
/* endings.h - what KILL, RELIEVE and a host in need do to end a tree
 *
 * One way for all of them: STOP goes to the session that holds it (and with
 * each BEAT_OK, until REAPED), and each slot counts until its end is proven.
 *
 * What STOP said is not stored: a broker that was started since repeats it with
 * the notice and grace of WELCOME, without a reason, and for the slots alone.
 * Who has heard the first one does not heed that.
 */
#ifndef SLOTBUS_ENDINGS_H
#define SLOTBUS_ENDINGS_H

#include "core/state.h"

struct ending {
    uint64_t id;           // of the KILL; 0: the broker's own will
    int64_t notice, grace; // ms
    bool supervisor;       // end that too, of slots inside one
    const char *reason;    // whoever is ended is told
};

/* A KILLING lease of a broker before this one: how it is to be ended. */
void endings_resume (const struct broker *b, struct lease *l, int64_t now);
/* What is to be ended of `s`, and how, into `stops` and `endings`: of more ways
 * than fit the rest comes with the BEAT_OKs that follow. */
void endings_list (const struct broker *b, const struct session *s,
                   struct msg_beat_ok *ok);
/* End these slots, all of `s`. What has nothing of its own to end is free at
 * once. */
void endings_begin (struct broker *b, struct session *s,
                    const struct u64s *tokens, const struct ending *how,
                    int64_t now, struct outbox *out);

#endif
