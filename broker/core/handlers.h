/* SPDX-License-Identifier: MPL-2.0 */
/* handlers.h - one handler per verb: what a message means
 *
 * Handlers decide and change the state through ledger.c; they do not decode,
 * send bytes, log or read a clock. One that returns an error has changed
 * nothing, and handlers_step () turns the error into the answer.
 */
#ifndef SLOTBUS_HANDLERS_H
#define SLOTBUS_HANDLERS_H

#include "core/state.h"

/* One message on its way through the core. */
struct call {
    const struct peer *peer;
    const struct msg *in;
    uint64_t random;
    int64_t now;
    struct outbox *out;
    struct session *from; // NULL: the message names none
    const char *key;      // ERROR: which key is wrong, NULL
    char detail[257];     // ERROR: the figure behind it, ""
};

void handlers_step (struct broker *b, struct call *c);

/* ERR_BAD_ARG about `key`. */
static inline enum err bad_arg (struct call *c, const char *key)
{
    c->key = key;
    return ERR_BAD_ARG;
}

/* The same, and what was expected. */
static inline enum err bad_value (struct call *c, const char *key,
                                  const char *expected)
{
    copy_text (c->detail, sizeof c->detail, expected);
    return bad_arg (c, key);
}

/* Are these all held by the session that names them, and is there one at all?
 * (slots.c) */
enum err handlers_check_own (const struct broker *b, struct call *c,
                             const struct u64s *tokens);

/* The session has spoken: it lives, and this is how to reach it. */
void handlers_heard (struct session *s, const struct call *c);

/* Two that live claim this session's identity. */
void handlers_alarm_conflict (struct session *s, const struct call *c);

enum err on_hello (struct broker *b, struct call *c);
enum err on_beat (struct broker *b, struct call *c);
enum err on_request (struct broker *b, struct call *c);
enum err on_cancel (struct broker *b, struct call *c);
enum err on_release (struct broker *b, struct call *c);
enum err on_started (struct broker *b, struct call *c);
enum err on_reaped (struct broker *b, struct call *c);
enum err on_park (struct broker *b, struct call *c);
enum err on_progress (struct broker *b, struct call *c);
enum err on_sample (struct broker *b, struct call *c);
enum err on_footprint (struct broker *b, struct call *c);
enum err on_bye (struct broker *b, struct call *c);
enum err on_status (struct broker *b, struct call *c);
enum err on_kill (struct broker *b, struct call *c);
enum err on_set_max (struct broker *b, struct call *c);
enum err on_set_policy (struct broker *b, struct call *c);
enum err on_set_priority (struct broker *b, struct call *c);
enum err on_relieve (struct broker *b, struct call *c);
enum err on_pause (struct broker *b, struct call *c);
enum err on_resume (struct broker *b, struct call *c);

#endif
