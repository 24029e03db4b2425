/* SPDX-License-Identifier: MPL-2.0 */
#include "core/shim_state.h"

#include <stdio.h>

/* ---- one slot ---- */

static void end_run (struct shim *s, struct slot *slot, struct actions *out)
{
    // Its owner wants it gone, and needs no notice of that.
    struct stop how = {.grace_ms = s->tenure.grace_ms, .reason = "released"};

    slot->give_up = true;
    shim_end_run (s, runs_find (&s->runs, slot->tree), &how, out);
}

static void release_taken (struct shim *s, struct release *r, struct slot *slot,
                           bool kill, struct actions *out)
{
    if (!kill) {
        release_note (r, slot->token, RESULT_BUSY);
        return;
    }
    u64s_add (&r->open, slot->token);
    end_run (s, slot, out);
}

/* A slot with a tree of its own is given back by ending that, on request. */
static void release_one (struct shim *s, struct release *r, struct slot *slot,
                         bool kill, struct actions *out)
{
    switch (slot->state) {
    case SLOT_TAKEN: release_taken (s, r, slot, kill, out); return;
    case SLOT_IDLE:
    case SLOT_BOUND:
    case SLOT_INHERITED: shim_release_slot (slot); break;
    case SLOT_KEPT: shim_reap_slot (s, slot); break;
    default: break; // on its way
    }
    u64s_add (&r->open, slot->token);
}

/* ---- by token ---- */

/* Not here: the broker knows whether it is closed or was never issued. */
static void release_stranger (struct shim *s, struct release *r, uint64_t token)
{
    struct who nobody = {0};
    struct slot *slot =
        holdings_add (&s->holdings, token, SLOT_RELEASING, nobody);

    if (!slot) {
        release_note (r, token, RESULT_UNKNOWN);
        return;
    }
    slot->stranger = true;
    u64s_add (&r->open, token);
}

static void release_token (struct shim *s, struct release *r, uint64_t token,
                           bool kill, struct actions *out)
{
    struct slot *slot = holdings_find (&s->holdings, token);

    if (u64s_has (&r->open, token) || u64s_has (&r->answer.busy, token))
        return; // named twice
    if (!slot) {
        release_stranger (s, r, token);
        return;
    }
    r->supervisor = slot->supervisor;
    release_one (s, r, slot, kill, out);
}

/* ---- by count ---- */

/* Idle ones first, newest first; what runs comes last. */
static void release_count (struct shim *s, struct release *r, uint64_t count,
                           bool kill, struct actions *out)
{
    static const enum slot_state order[] = {SLOT_IDLE, SLOT_KEPT, SLOT_BOUND,
                                            SLOT_INHERITED, SLOT_TAKEN};

    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        uint64_t below = UINT64_MAX;
        struct slot *slot;

        while (count && (slot = holdings_newest (&s->holdings, r->supervisor,
                                                 order[i], below))) {
            below = slot->token;
            release_one (s, r, slot, kill, out);
            count--;
        }
    }
}

/* All supervisors that hold something, each once. */
static size_t holders (struct shim *s, struct who *ret_who, size_t most)
{
    size_t count = 0;

    for (struct slot *at = NULL; (at = holdings_next (&s->holdings, at));) {
        struct who who = at->supervisor;
        size_t i = 0;

        while (i < count && !who_same (ret_who[i], who))
            i++;
        if (i == count && count < most && who.pid &&
            holdings_held (&s->holdings, who) > 0)
            ret_who[count++] = who;
    }
    return count;
}

/* Whose slots a count means. ret_why says which ones there are. */
static enum err whose (struct shim *s, const struct msg_release *in,
                       struct who *ret_who, char *ret_why, size_t size)
{
    struct who who[MAX_SUPERVISORS];

    if (!in->count) {
        snprintf (ret_why, size, "expected tokens or a count");
        return ERR_BAD_ARG;
    }
    return supervisors_choose (who, holders (s, who, MAX_SUPERVISORS),
                               in->supervisor, "slots are held by", ret_who,
                               ret_why, size);
}

/* ---- the command ---- */

static void begin (struct shim *s, struct release *r, struct who who,
                   const struct msg_release *in, struct actions *out)
{
    r->supervisor = who;
    for (uint32_t i = 0; i < in->tokens.count; i++)
        release_token (s, r, in->tokens.at[i], in->kill, out);
    if (!in->tokens.count && who.pid)
        release_count (s, r, in->count, in->kill, out);
}

void shim_release (struct shim *s, uint64_t client,
                   const struct msg_release *in, struct actions *out)
{
    struct who who = {0};
    char why[257] = "too many releases wait";
    enum err error = ERR_NONE;
    struct release *r = NULL;

    if (!in->tokens.count)
        error = whose (s, in, &who, why, sizeof why);
    if (!error && !(r = releases_add (&s->releases, client)))
        error = ERR_BUSY;
    if (error) {
        actions_tell_error (out, client, VERB_RELEASE, 0, error, why);
        return;
    }
    begin (s, r, who, in, out);
    shim_tell_released (s, out);
}

void shim_tell_released (struct shim *s, struct actions *out)
{
    struct release *r;

    while ((r = releases_done (&s->releases))) {
        if (r->supervisor.pid)
            r->answer.held = holdings_held (&s->holdings, r->supervisor);
        actions_tell (out, r->client, VERB_RELEASED, &r->answer);
        releases_remove (&s->releases, r);
    }
}

/* ---- RELEASED: what became of them ---- */

static void close_tokens (struct shim *s, const struct u64s *tokens,
                          enum release_result result, struct actions *out)
{
    for (uint32_t i = 0; i < tokens->count; i++)
        shim_token_closed (s, tokens->at[i], result, out);
}

static void make_idle (struct slot *slot)
{
    slot->state = SLOT_IDLE;
    slot->tree = 0;
    slot->label[0] = '\0';
}

/* The broker believes that a tree runs there. We know better of what is ours:
 * then it wants the proof, not the word. */
static void busy_token (struct shim *s, uint64_t token)
{
    struct slot *slot = holdings_find (&s->holdings, token);

    if (!slot || slot->state != SLOT_RELEASING)
        return;
    if (slot->stranger) {
        releases_note (&s->releases, token, RESULT_BUSY);
        holdings_drop (&s->holdings, token);
        return;
    }
    shim_reap_slot (s, slot);
}

/* The broker has heard that their runs ended: they are idle. Of an older
 * REAPED it says nothing about the newest. */
static void keep (struct shim *s, const struct msg_released *in)
{
    for (uint32_t i = 0; i < in->kept.count; i++) {
        struct slot *slot = holdings_find (&s->holdings, in->kept.at[i]);

        if (slot && slot->state == SLOT_KEPT && slot->seq == in->seq)
            make_idle (slot);
    }
}

/* A broker that has begun anew may believe that these runs go on: what the last
 * one left is kept once more. */
void shim_keep_again (struct shim *s)
{
    for (struct slot *at = NULL; (at = holdings_next (&s->holdings, at));) {
        if (at->state != SLOT_IDLE || !at->seq)
            continue;
        at->state = SLOT_KEPT;
        at->sent = false;
    }
}

void shim_on_released (struct shim *s, const struct msg_released *in,
                       struct actions *out)
{
    keep (s, in);
    close_tokens (s, &in->tokens, RESULT_RELEASED, out);
    close_tokens (s, &in->expired, RESULT_EXPIRED, out);
    close_tokens (s, &in->unknown, RESULT_UNKNOWN, out);
    for (uint32_t i = 0; i < in->busy.count; i++)
        busy_token (s, in->busy.at[i]);
    shim_tell_released (s, out);
}
