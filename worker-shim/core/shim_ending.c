/* SPDX-License-Identifier: MPL-2.0 */
#include "core/shim_state.h"

void shim_release_slot (struct slot *slot)
{
    slot->state = SLOT_RELEASING;
    slot->offered_to = 0;
    slot->sent = false;
}

/* Of another broker id: only who waits here hears that it has ended. */
static void end_foreign (struct shim *s, struct slot *slot)
{
    releases_note (&s->releases, slot->token, RESULT_RELEASED);
    holdings_drop (&s->holdings, slot->token);
}

void shim_reap_slot (struct shim *s, struct slot *slot)
{
    if (slot->foreign) {
        end_foreign (s, slot);
        return;
    }
    slot->state = SLOT_REAPED;
    slot->tree = slot->token; // said by itself, whatever it ran with
    slot->status = 0;
    slot->memory_bytes = slot->cpu_ms = 0;
    slot->seq = ++s->told;
    slot->sent = false;
}

/* ---- runs ---- */

void shim_stop_run (struct shim *s, struct run *run, const struct stop *how,
                    struct actions *out)
{
    struct keeper_packet stop = shim_packet (KEEPER_STOP, run);

    if (run->state != RUN_ATTACHED)
        return; // what its keeper left is being ended already
    stop.notice_ms = how->notice_ms;
    stop.grace_ms = how->grace_ms;
    stop.confirm_ms = s->tenure.confirm_ms;
    copy_text (stop.reason, sizeof stop.reason, how->reason);
    actions_packet (out, run->keeper, &stop);
    run->stopping = true;
}

void shim_drop_run (struct shim *s, struct run *run, const char *why,
                    struct actions *out)
{
    for (struct slot *at = NULL;
         (at = holdings_next_of (&s->holdings, run->token, at));) {
        at->tree = 0;
        if (at->reservation && !at->give_up)
            at->state = SLOT_IDLE;
        else
            shim_release_slot (at);
    }
    if (run->client) {
        actions_tell_error (out, run->client, VERB_REQUEST, run->client_seq,
                            ERR_EXPIRED, why);
        actions_hang_up (out, run->client);
    }
    runs_remove (&s->runs, run);
}

void shim_end_run (struct shim *s, struct run *run, const struct stop *how,
                   struct actions *out)
{
    if (run->state == RUN_OFFERED)
        shim_drop_run (s, run, how->reason, out);
    else
        shim_stop_run (s, run, how, out);
}

void shim_run_gone (struct shim *s, struct run *run, struct actions *out)
{
    uint8_t status = run_exit_status (run->status);

    shim_end_parking (s, run, out);
    s->told++;
    for (struct slot *at = NULL;
         (at = holdings_next_of (&s->holdings, run->token, at));) {
        bool keep = at->reservation && !at->give_up && !at->lost;

        if (at->foreign) {
            end_foreign (s, at);
            continue;
        }
        at->state = keep ? SLOT_KEPT : SLOT_REAPED;
        at->status = status;
        at->memory_bytes = run->memory_bytes;
        at->cpu_ms = run->cpu_ms;
        at->seq = s->told;
        progress_forget (&s->progress, at->token);
        at->sent = false;
    }
    runs_remove (&s->runs, run);
}

/* ---- a supervisor, or everybody ---- */

static bool of_whom (struct who who, const struct who *of)
{
    return !of || who_same (who, *of);
}

static void give_back_requests (struct shim *s, const struct who *of,
                                const char *why, struct actions *out)
{
    uint64_t seq = 0;

    for (struct request *r; (r = requests_after (&s->requests, seq));) {
        seq = r->seq;
        if (!r->client || r->back || !of_whom (r->supervisor, of))
            continue;
        actions_tell_error (out, r->client, VERB_REQUEST, r->client_seq,
                            ERR_EXPIRED, why);
        actions_hang_up (out, r->client);
        shim_withdraw (s, r);
    }
}

static void give_back_runs (struct shim *s, const struct who *of,
                            const char *why, struct actions *out)
{
    struct stop how = {.grace_ms = s->tenure.grace_ms, .reason = why};

    for (struct slot *at = NULL; (at = holdings_next (&s->holdings, at));)
        at->give_up |= of_whom (at->supervisor, of);
    for (struct run *run = NULL; (run = runs_next (&s->runs, run));) {
        if (of_whom (run->supervisor, of))
            shim_end_run (s, run, &how, out);
    }
}

static void give_back_slot (struct shim *s, struct slot *slot)
{
    switch (slot->state) {
    case SLOT_IDLE:
    case SLOT_BOUND:
    case SLOT_INHERITED: shim_release_slot (slot); break;
    case SLOT_KEPT: shim_reap_slot (s, slot); break;
    default: break; // runs and leftovers go when they are proven gone
    }
}

void shim_give_back (struct shim *s, const struct who *of, const char *why,
                     struct actions *out)
{
    give_back_requests (s, of, why, out);
    give_back_runs (s, of, why, out);
    for (struct slot *at = NULL; (at = holdings_next (&s->holdings, at));) {
        if (of_whom (at->supervisor, of))
            give_back_slot (s, at);
    }
}

/* ---- the session ---- */

static void lose_runs (struct shim *s, struct actions *out)
{
    struct stop how = {.grace_ms = s->tenure.grace_ms,
                       .reason = "the broker has ended the session"};

    for (struct run *run = NULL; (run = runs_next (&s->runs, run));) {
        run->lost = true;
        shim_end_parking (s, run, out);
        shim_end_run (s, run, &how, out);
    }
}

/* What has no tree is forgotten: the next WELCOME says whether it is still
 * counted. What waits for an answer, or will, is said again to the next
 * session: the proof of an end stays true. */
static void lose_slot (struct shim *s, struct slot *slot)
{
    slot->sent = false;
    switch (slot->state) {
    case SLOT_IDLE:
    case SLOT_BOUND: holdings_drop (&s->holdings, slot->token); break;
    case SLOT_TAKEN: slot->lost = true; break;
    case SLOT_KEPT: shim_reap_slot (s, slot); break;
    default: break;
    }
}

void shim_lose_session (struct shim *s, int64_t now, struct actions *out)
{
    lose_runs (s, out);
    for (struct slot *at = NULL; (at = holdings_next (&s->holdings, at));)
        lose_slot (s, at);
    requests_ask_again (&s->requests);
    s->acks.count = 0;
    s->progress.count = 0;
    tenure_restart (&s->tenure, now);
}

/* ---- a token ---- */

/* A slot whose tree still runs stays in the table: it is ours to end, and
 * what became of it is said when it has ended. */
void shim_token_closed (struct shim *s, uint64_t token,
                        enum release_result result, struct actions *out)
{
    struct slot *slot = holdings_find (&s->holdings, token);
    struct stop how = {.grace_ms = s->tenure.grace_ms,
                       .reason = "the broker has closed this slot"};

    if (slot && slot->state == SLOT_TAKEN) {
        struct run *run = runs_find (&s->runs, slot->tree);

        slot->give_up = true;
        if (!run->stopping)
            shim_end_run (s, run, &how, out);
        return;
    }
    if (slot)
        holdings_close (&s->holdings, token);
    releases_note (&s->releases, token, result);
}
