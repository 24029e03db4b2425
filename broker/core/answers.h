/* SPDX-License-Identifier: MPL-2.0 */
/* answers.h - the answers that are built in more than one place */
#ifndef SLOTBUS_ANSWERS_H
#define SLOTBUS_ANSWERS_H

#include "core/state.h"

/* What an ERROR says besides its word. */
struct complaint {
    enum verb re;
    uint64_t session, seq;
    const char *key, *detail; // NULL: nothing
};

void answer_error (struct outbox *out, const struct path *to, enum err e,
                   const struct complaint *about);
void answer_ok (struct outbox *out, const struct path *to, enum verb re);
/* The grant that `l` came with, whole, whatever is left of it. */
void answer_grant (const struct broker *b, const struct path *to,
                   const struct lease *l, struct outbox *out);
void answer_queued (const struct broker *b, const struct path *to,
                    const struct waiter *w, int64_t now, struct outbox *out);

/* Ask a session for up to `count` idle slots, for the project `whom` ("": for
 * nobody in particular): pushed, or with the next BEAT_OK if it cannot be. What
 * comes after `within_ms` is for whoever is first then. */
void reclaim_send (struct broker *b, struct session *s, unsigned count,
                   int64_t within_ms, const char *whom, struct outbox *out);

/* May it be spoken to unasked: a REQ would take that for an answer. */
static inline bool session_hears (const struct session *s)
{
    return s->path.size && !s->path.req;
}

/* The broker takes an open request out of the queue: its session is told by
 * ERROR `e`, or by BEAT_OK if it cannot be pushed to. Frees `w`. */
void answer_dropped (struct broker *b, struct waiter *w, enum err e,
                     const char *detail, struct outbox *out);

#endif
