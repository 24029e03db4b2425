/* SPDX-License-Identifier: MPL-2.0 */
/* PARK - a tree waits for something, and gives its slots back meanwhile.
 *
 * Who parks it stays connected: as long as one of them is there, and none of
 * them wants to go on, the tree is parked. When one does, or the last one has
 * died, the tree asks for its slots, and gets other ones: its keeper, its
 * environment and its cookie go on naming the first that it ever had.
 *
 * PARK is said once the broker knows of the tree (STARTED), and the REQUEST for
 * the way back once it knows that it is parked. What it says about the one
 * while the other is under way is left to the other: a tree that is back
 * already has no parked token, and one that was never parked has its slots.
 */
#include "core/shim_state.h"

#include <stdio.h>
#include <string.h>

/* ---- which tree, and who parks it ---- */

/* By the token that its environment names, else by one that it has now. */
static struct run *run_of (struct shim *s, uint64_t token)
{
    struct run *run = runs_named (&s->runs, token);
    struct slot *slot = run ? NULL : holdings_find (&s->holdings, token);

    if (slot && slot->state == SLOT_TAKEN)
        run = runs_find (&s->runs, slot->tree);
    return run;
}

static struct parker *next_parker (struct shim *s, const struct run *run,
                                   const struct parker *after)
{
    size_t i = after ? (size_t) (after - s->parkers) + 1 : 0;

    while (i < MAX_PARKERS &&
           (!s->parkers[i].client || s->parkers[i].run != run->named))
        i++;
    return i < MAX_PARKERS ? &s->parkers[i] : NULL;
}

static bool add_parker (struct shim *s, const struct run *run, uint64_t client,
                        uint64_t seq)
{
    for (size_t i = 0; i < MAX_PARKERS; i++) {
        if (s->parkers[i].client)
            continue;
        s->parkers[i] = (struct parker){client, seq, run->named, false};
        return true;
    }
    return false;
}

static void forget_parkers (struct shim *s, const struct run *run)
{
    for (struct parker *p = NULL; (p = next_parker (s, run, p));)
        *p = (struct parker){0};
}

/* ---- requests for the way back ---- */

static bool is_return (const struct request *r, const struct run *run)
{
    return r->back && r->ask.parked == run->named;
}

/* The one of them that the broker hears of; NULL: there is none. */
static struct request *return_of (struct shim *s, const struct run *run)
{
    struct request *first = NULL;

    for (struct request *r = NULL;
         (r = requests_after (&s->requests, r ? r->seq : 0));) {
        if (is_return (r, run) && r->asked)
            return r;
        if (is_return (r, run) && !first)
            first = r;
    }
    return first;
}

static struct request *add_return (struct shim *s, const struct run *run,
                                   uint64_t client, uint64_t client_seq)
{
    struct msg_request ask;
    struct request *r;

    message_init_fields (&ask, VERB_REQUEST);
    ask.seq = client_seq;
    ask.count = run->count;
    ask.parked = run->named;
    r = requests_add (&s->requests, client, run->supervisor, &ask);
    if (r)
        r->back = true;
    return r;
}

bool shim_may_say_return (struct shim *s, const struct request *r)
{
    const struct run *run = runs_named (&s->runs, r->ask.parked);

    return run && run->parking == PARKING_PARKED && return_of (s, run) == r;
}

void shim_fill_return (struct shim *s, struct msg_request *ask)
{
    const struct run *run = runs_named (&s->runs, ask->parked);

    ask->parked = run->token;
    ask->run = true;
}

/* ---- what those hear who wait ---- */

static void list_tokens (struct shim *s, const struct run *run,
                         struct u64s *ret_tokens)
{
    uint64_t last = 0;

    ret_tokens->count = 0;
    for (unsigned i = 0; i < run->count; i++) {
        uint64_t next = 0;

        for (struct slot *at = NULL;
             (at = holdings_next_of (&s->holdings, run->token, at));) {
            if (at->token > last && (!next || at->token < next))
                next = at->token;
        }
        if (next)
            u64s_add (ret_tokens, next);
        last = next;
    }
}

static void tell_back (struct shim *s, const struct run *run, uint64_t client,
                       uint64_t seq, uint64_t waited_ms, struct actions *out)
{
    struct msg_grant grant;

    message_init_fields (&grant, VERB_GRANT);
    grant.seq = seq;
    grant.first = run->token;
    grant.count = grant.asked = run->count;
    grant.waited_ms = waited_ms;
    list_tokens (s, run, &grant.tokens);
    copy_text (grant.cookie, sizeof grant.cookie, run->cookie);
    actions_tell (out, client, VERB_GRANT, &grant);
}

/* The tree has its slots: whoever waits for that goes on. What the broker was
 * asked is answered by now. */
static void end_returns (struct shim *s, const struct run *run,
                         uint64_t waited_ms, struct actions *out)
{
    uint64_t seq = 0;

    for (struct request *r; (r = requests_after (&s->requests, seq));) {
        seq = r->seq;
        if (!is_return (r, run))
            continue;
        if (r->client)
            tell_back (s, run, r->client, r->client_seq, waited_ms, out);
        requests_remove (&s->requests, seq);
    }
}

static void tell_parked (struct parker *p, struct actions *out)
{
    struct msg_ok ok;

    message_init_fields (&ok, VERB_OK);
    copy_text (ok.re, sizeof ok.re, verb_name (VERB_PARK));
    ok.seq = p->seq;
    actions_tell (out, p->client, VERB_OK, &ok);
    p->told = true;
}

static void tell_parkers (struct shim *s, const struct run *run,
                          struct actions *out)
{
    for (struct parker *p = NULL; (p = next_parker (s, run, p));) {
        if (!p->told)
            tell_parked (p, out);
    }
}

static void refuse_parkers (struct shim *s, const struct run *run,
                            enum err error, const char *why,
                            struct actions *out)
{
    for (struct parker *p = NULL; (p = next_parker (s, run, p));) {
        if (!p->told)
            actions_tell_error (out, p->client, VERB_PARK, p->seq, error, why);
    }
    forget_parkers (s, run);
}

/* ---- PARK, from a command of the tree ---- */

/* By a seq of its own. */
static void ask_anew (struct run *run)
{
    run->parking = PARKING_ASKED;
    run->parking_seq = 0;
    run->parking_sent = false;
}

/* NULL: it may. */
static const char *objection (struct shim *s, const struct run *run)
{
    if (run->state != RUN_ATTACHED || run->stopping || run->lost)
        return "it is being ended";
    if (return_of (s, run))
        return "it is about to go on";
    return NULL;
}

void shim_park (struct shim *s, uint64_t client, const struct msg_park *in,
                struct actions *out)
{
    struct run *run = in->tokens.count ? run_of (s, in->tokens.at[0]) : NULL;
    const char *why = run ? objection (s, run) : "no tree runs there";

    if (!why && !add_parker (s, run, client, in->seq))
        why = "too many park at once";
    if (why) {
        actions_tell_error (out, client, VERB_PARK, in->seq,
                            run ? ERR_NOT_NOW : ERR_NOT_FOUND, why);
        return;
    }
    if (run->parking == PARKING_PARKED)
        tell_parkers (s, run, out);
    else if (run->parking == PARKING_NONE)
        ask_anew (run);
}

/* ---- REQUEST of the way back, from a command of the tree ---- */

void shim_return (struct shim *s, uint64_t client, const struct msg_request *in,
                  struct actions *out)
{
    struct run *run = run_of (s, in->parked);
    enum err error = ERR_NONE;

    if (!run || run->state != RUN_ATTACHED || run->stopping || run->lost)
        error = run ? ERR_EXPIRED : ERR_NOT_FOUND;
    else if (run->parking == PARKING_NONE)
        tell_back (s, run, client, in->seq, 0, out);
    else if (!add_return (s, run, client, in->seq))
        error = ERR_QUEUE_FULL;
    if (error)
        actions_tell_error (out, client, VERB_REQUEST, in->seq, error,
                            run ? "the tree is being ended"
                                : "no tree runs there");
    else
        shim_parker_gone (s, client);
}

void shim_parker_gone (struct shim *s, uint64_t client)
{
    for (size_t i = 0; i < MAX_PARKERS; i++) {
        if (s->parkers[i].client == client)
            s->parkers[i] = (struct parker){0};
    }
}

/* Nobody is left who would ask for it: what is left of it goes on, and shall
 * not go on uncounted. */
void shim_come_back (struct shim *s)
{
    for (struct run *run = NULL; (run = runs_next (&s->runs, run));) {
        if (run->parking != PARKING_NONE && !run->lost &&
            !next_parker (s, run, NULL) && !return_of (s, run))
            add_return (s, run, 0, 0);
    }
}

/* ---- to the broker ---- */

static bool is_unsaid (const struct run *run)
{
    return run->parking == PARKING_ASKED && !run->parking_sent && !run->lost &&
           !run->untold && !run->unknown && run->state == RUN_ATTACHED;
}

/* News of the tree that are newer than PARK would make it old. */
static void say_park (struct shim *s, struct run *run, struct actions *out)
{
    struct msg_park park;

    if (run->parking_seq < run->seq)
        run->parking_seq = ++s->told;
    message_init_fields (&park, VERB_PARK);
    park.session = s->tenure.session;
    park.seq = run->parking_seq;
    list_tokens (s, run, &park.tokens);
    actions_send (out, VERB_PARK, &park);
    run->parking_sent = true;
}

void shim_say_parks (struct shim *s, struct actions *out)
{
    for (struct run *run = NULL; (run = runs_next (&s->runs, run));) {
        if (is_unsaid (run))
            say_park (s, run, out);
    }
}

/* ---- from the broker ---- */

static struct run *run_parking (struct shim *s, uint64_t seq)
{
    for (struct run *run = NULL; (run = runs_next (&s->runs, run));) {
        if (run->parking == PARKING_ASKED && run->parking_sent &&
            run->parking_seq == seq)
            return run;
    }
    return NULL;
}

void shim_park_heard (struct shim *s, const struct msg_ok *in,
                      struct actions *out)
{
    struct run *run = run_parking (s, in->seq);

    if (!run)
        return;
    run->parking = PARKING_PARKED;
    tell_parkers (s, run, out);
}

/* Not parked. But if it has asked for the way back, and may have been given
 * that, only the answer to this says what is so. */
void shim_park_refused (struct shim *s, const struct msg_error *in,
                        struct actions *out)
{
    struct run *run = run_parking (s, in->seq);
    const struct request *r = run ? return_of (s, run) : NULL;

    if (!run)
        return;
    actions_log (out, "not parked token=%llu error=%s",
                 (unsigned long long) run->token, in->error);
    if (r && r->asked) {
        run->parking = PARKING_PARKED;
        return;
    }
    run->parking = PARKING_NONE;
    refuse_parkers (s, run, err_of_name (in->error), in->detail, out);
    end_returns (s, run, 0, out);
}

/* A broker that has begun anew may have forgotten it. */
void shim_park_again (struct shim *s)
{
    for (struct run *run = NULL; (run = runs_next (&s->runs, run));) {
        if (run->parking == PARKING_PARKED)
            run->parking = PARKING_ASKED;
        run->parking_sent = false;
    }
}

/* ---- back ---- */

static void move_slot (struct shim *s, uint64_t from, uint64_t to,
                       uint64_t tree)
{
    struct slot was = *holdings_find (&s->holdings, from), *slot;

    holdings_close (&s->holdings, from);
    slot = holdings_add (&s->holdings, to, SLOT_TAKEN, was.supervisor);
    slot->tree = tree;
    slot->reservation = was.reservation;
    slot->give_up = was.give_up;
    copy_text (slot->label, sizeof slot->label, was.label);
    releases_move (&s->releases, from, to);
    progress_move (&s->progress, from, to);
}

/* Each new token comes in the place of an old one: there is room. */
void shim_take_back (struct shim *s, const struct request *r,
                     const struct row_granted *grant, uint64_t waited_ms,
                     struct actions *out)
{
    struct run *run = runs_named (&s->runs, r->ask.parked);
    struct u64s tokens;

    list_tokens (s, run, &tokens);
    for (uint32_t i = 0; i < tokens.count; i++)
        move_slot (s, tokens.at[i], grant->first + i, grant->first);
    run->token = grant->first;
    run->parking = PARKING_NONE;
    actions_log (out, "back token=%llu named=%llu",
                 (unsigned long long) run->token,
                 (unsigned long long) run->named);
    forget_parkers (s, run);
    end_returns (s, run, waited_ms, out);
}

static void tell_waiting (const struct request *r, enum err error,
                          const char *detail, struct actions *out)
{
    struct msg_queued told;

    message_init_fields (&told, VERB_QUEUED);
    told.seq = r->client_seq;
    told.count = r->ask.count;
    told.position = 1;
    copy_text (told.reason, sizeof told.reason, err_name (error));
    copy_text (told.detail, sizeof told.detail, detail);
    if (error == ERR_EXCEEDS_MAX)
        snprintf (told.unblocks, sizeof told.unblocks,
                  "a higher limit: slotbus set-max %u, or more for this "
                  "project",
                  (unsigned) r->ask.count);
    actions_tell (out, r->client, VERB_QUEUED, &told);
}

/* It has no such request, or will have none. A tree that lives has to come back
 * all the same: at once where it was not parked, as the broker says, else after
 * the next BEAT. */
void shim_return_refused (struct shim *s, struct request *r, enum err error,
                          const char *detail, struct actions *out)
{
    struct run *run = runs_named (&s->runs, r->ask.parked);

    requests_move_last (&s->requests, r);
    r->asked = r->answered = false;
    r->sent = error != ERR_EXPIRED;
    if (error == ERR_EXPIRED && run && run->parking == PARKING_PARKED)
        ask_anew (run);
    if (r->client && r->sent)
        tell_waiting (r, error, detail, out);
}

/* ---- the end ---- */

void shim_end_parking (struct shim *s, struct run *run, struct actions *out)
{
    uint64_t seq = 0;

    refuse_parkers (s, run, ERR_EXPIRED, "the tree has ended", out);
    for (struct request *r; (r = requests_after (&s->requests, seq));) {
        seq = r->seq;
        if (!is_return (r, run))
            continue;
        if (r->client)
            actions_tell_error (out, r->client, VERB_REQUEST, r->client_seq,
                                ERR_EXPIRED, "the tree has ended");
        r->back = false;
        shim_withdraw (s, r);
    }
    run->parking = PARKING_NONE;
}
