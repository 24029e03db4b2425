/* SPDX-License-Identifier: MPL-2.0 */
#include "core/endings.h"

#include "core/answers.h"
#include "core/ledger.h"

static void fill_stop (const struct broker *b, const struct session *s,
                       const struct ending *how, struct msg_stop *ret_stop)
{
    message_init_fields (ret_stop, VERB_STOP);
    ret_stop->session = s->r.id;
    ret_stop->epoch = b->meta.epoch;
    ret_stop->notice_ms = (uint64_t) how->notice;
    ret_stop->grace_ms = (uint64_t) how->grace;
    ret_stop->supervisor = how->supervisor;
    copy_text (ret_stop->reason, sizeof ret_stop->reason, how->reason);
}

int64_t endings_end (const struct broker *b, const struct session *s,
                     const struct ending *how, int64_t now)
{
    if (!session_hears (s))
        return now + settings_usual_ending (&b->settings);
    return now + settings_ending (&b->settings, how->notice, how->grace);
}

/* A slot with something of its own to end is KILLING until that is proven
 * gone; a plain reservation is free at once. */
static void end_lease (struct broker *b, const struct session *s,
                       struct lease *l, const struct ending *how, int64_t now,
                       struct outbox *out)
{
    if (!lease_has_tree (l) && !l->r.bound)
        ledger_revoke (b, l, "killed", out);
    else
        ledger_kill (b, l, how->id, endings_end (b, s, how, now), now, out);
}

void endings_begin (struct broker *b, struct session *s,
                    const struct u64s *tokens, const struct ending *how,
                    int64_t now, struct outbox *out)
{
    struct msg_stop stop;

    if (tokens->count == 0)
        return;
    fill_stop (b, s, how, &stop);
    stop.tokens = *tokens;
    for (uint32_t i = 0; i < tokens->count; i++)
        end_lease (b, s, leases_find (&b->leases, tokens->at[i]), how, now,
                   out);
    if (session_hears (s))
        outbox_send (out, &s->path, VERB_STOP, &stop);
}
