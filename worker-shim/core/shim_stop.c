/* SPDX-License-Identifier: MPL-2.0 */
#include "core/shim_state.h"

/* Of no slot of ours: its GRANT was lost on the way, and nothing runs. If it
 * still arrives, it is known to be closed. */
static void reap_unknown (struct shim *s, uint64_t token, struct actions *out)
{
    struct msg_reaped reaped;

    message_init_fields (&reaped, VERB_REAPED);
    reaped.session = s->tenure.session;
    u64s_add (&reaped.tokens, token);
    actions_send (out, VERB_REAPED, &reaped);
    holdings_close (&s->holdings, token);
}

/* Its worker lives inside its supervisor: it can be told, not ended, unless
 * the supervisor is to go as well; to that, SIGTERM once more may mean more. */
static void revoke (struct slot *slot, const struct stop *how, bool again,
                    struct actions *out)
{
    slot->revoked = true;
    if (!how->supervisor || !slot->supervisor.pid || (again && slot->ended))
        return;
    slot->ended = true;
    actions_who (out, ACT_END_SUPERVISOR, slot->supervisor);
}

static void stop_taken (struct shim *s, struct slot *slot,
                        const struct stop *how, bool again, struct actions *out)
{
    struct run *run = runs_find (&s->runs, slot->tree);

    slot->give_up = true;
    if (!again || !run->stopping)
        shim_end_run (s, run, how, out);
}

/* `again`: the broker repeats it, and what was said once is on its way. */
static void stop_token (struct shim *s, uint64_t token, const struct stop *how,
                        bool again, struct actions *out)
{
    struct slot *slot = holdings_find (&s->holdings, token);

    switch (slot ? slot->state : SLOT_NONE) {
    case SLOT_NONE:
        if (!how->unsure)
            reap_unknown (s, token, out);
        break;
    case SLOT_IDLE: shim_release_slot (slot); break;
    case SLOT_KEPT: shim_reap_slot (s, slot); break;
    case SLOT_TAKEN: stop_taken (s, slot, how, again, out); break;
    case SLOT_BOUND:
    case SLOT_INHERITED: revoke (slot, how, again, out); break;
    case SLOT_RELEASING:
    case SLOT_REAPED:
    case SLOT_LEFTOVER: break; // it ends already
    }
}

/* A tree of several slots is told once. */
void shim_stop_tokens (struct shim *s, const struct u64s *tokens,
                       const struct stop *how, bool again, struct actions *out)
{
    struct u64s told = {0};

    for (uint32_t i = 0; i < tokens->count; i++) {
        struct slot *slot = holdings_find (&s->holdings, tokens->at[i]);
        uint64_t tree = slot && slot->state == SLOT_TAKEN ? slot->tree : 0;

        stop_token (s, tokens->at[i], how, again || u64s_has (&told, tree),
                    out);
        u64s_add (&told, tree);
    }
}
