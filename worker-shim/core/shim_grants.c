/* SPDX-License-Identifier: MPL-2.0 */
#include "core/shim_state.h"

#include <stdio.h>
#include <string.h>

/* A grant on its way to a client. */
struct offer {
    uint64_t client, seq; // as the client counts
    uint64_t asked, waited_ms;
    struct who supervisor;
    struct u64s tokens; // rising
};

/* ---- room ---- */

static bool foreign (const struct slot *slot)
{
    return slot->state == SLOT_INHERITED || slot->state == SLOT_LEFTOVER ||
           slot->stranger;
}

/* What is still here may be more than the broker counts: trees of an earlier
 * session, and slots whose RELEASED is on its way. */
unsigned shim_room (struct shim *s)
{
    unsigned entries = (unsigned) (MAX_ENTRIES - s->holdings.count), own = 0;
    unsigned room;

    for (struct slot *at = NULL; (at = holdings_next (&s->holdings, at));)
        own += !foreign (at);
    room = own < MAX_HELD ? MAX_HELD - own : 0;
    return room < entries ? room : entries;
}

/* ---- to the client ---- */

void shim_cookie (const struct shim *s, uint64_t token, char *ret_cookie,
                  size_t size)
{
    snprintf (ret_cookie, size, "%s:%llu", s->tenure.broker,
              (unsigned long long) token);
}

static void tell_grant (struct shim *s, const struct offer *offer,
                        struct actions *out)
{
    struct msg_grant grant;

    message_init_fields (&grant, VERB_GRANT);
    grant.seq = offer->seq;
    grant.first = offer->tokens.at[0];
    grant.count = offer->tokens.count;
    grant.asked = offer->asked;
    grant.waited_ms = offer->waited_ms;
    grant.tokens = offer->tokens;
    shim_cookie (s, grant.first, grant.cookie, sizeof grant.cookie);
    copy_text (grant.near, sizeof grant.near, s->tenure.near);
    actions_tell (out, offer->client, VERB_GRANT, &grant);
}

/* To a run: its slots are taken from now on, whether or not a keeper comes.
 * There are as many runs as slots, so there is always room for one more. */
static void offer_run (struct shim *s, const struct offer *offer,
                       struct actions *out)
{
    uint64_t first = offer->tokens.at[0];
    struct run *run = runs_add (&s->runs, first, offer->tokens.count,
                                offer->client, offer->supervisor);

    run->client_seq = offer->seq;
    shim_cookie (s, first, run->cookie, sizeof run->cookie);
    for (uint32_t i = 0; i < offer->tokens.count; i++) {
        struct slot *slot = holdings_find (&s->holdings, offer->tokens.at[i]);

        slot->state = SLOT_TAKEN;
        slot->tree = first;
    }
    tell_grant (s, offer, out);
}

static void offer_slots (struct shim *s, const struct offer *offer,
                         struct actions *out)
{
    for (uint32_t i = 0; i < offer->tokens.count; i++) {
        struct slot *slot = holdings_find (&s->holdings, offer->tokens.at[i]);

        slot->offered_to = offer->client;
        slot->offered_seq = offer->seq;
    }
    tell_grant (s, offer, out);
}

/* ---- from the broker ---- */

/* Whether any of these was granted before: a GRANT comes again until the
 * broker knows that it arrived, and may come late. */
static bool known (struct shim *s, const struct row_granted *grant)
{
    for (uint64_t i = 0; i < grant->count; i++) {
        if (holdings_knew (&s->holdings, grant->first + i))
            return true;
    }
    return false;
}

/* Nobody waits for it (any more). What finds no room is never named in a
 * BEAT, and the broker takes it back by itself. */
static void return_grant (struct shim *s, const struct row_granted *grant)
{
    struct who nobody = {0};

    for (uint64_t i = 0; i < grant->count; i++) {
        uint64_t token = grant->first + i;
        struct slot *slot = holdings_find (&s->holdings, token);

        if (!slot)
            holdings_add (&s->holdings, token, SLOT_RELEASING, nobody);
        else
            shim_release_slot (slot);
    }
}

/* The n-th of "a,b,c"; "" where there are fewer. */
static void label_at (const char *labels, uint64_t n, char *ret_label,
                      size_t size)
{
    size_t length;

    while (n > 0 && *labels) {
        n -= *labels == ',';
        labels++;
    }
    length = strcspn (labels, ",");
    copy_text (ret_label, length < size ? length + 1 : size, labels);
}

/* Of a run: its own slots, which go when it ends. Of a plain request:
 * reservations, or bound ones. */
static bool add_slots (struct shim *s, const struct request *r,
                       const struct row_granted *grant)
{
    enum slot_state state = r->ask.bound ? SLOT_BOUND : SLOT_IDLE;

    for (uint64_t i = 0; i < grant->count; i++) {
        struct slot *slot =
            holdings_add (&s->holdings, grant->first + i, state, r->supervisor);

        if (!slot)
            return false;
        slot->reservation = !r->ask.run && !r->ask.bound;
        label_at (r->ask.labels, i, slot->label, sizeof slot->label);
    }
    return true;
}

static void hand_out (struct shim *s, const struct request *r,
                      const struct row_granted *grant, uint64_t waited_ms,
                      struct actions *out)
{
    struct offer offer = {.client = r->client,
                          .seq = r->client_seq,
                          .asked = r->ask.count,
                          .waited_ms = waited_ms,
                          .supervisor = r->supervisor};

    for (uint64_t i = 0; i < grant->count; i++)
        u64s_add (&offer.tokens, grant->first + i);
    if (r->ask.run)
        offer_run (s, &offer, out);
    else
        offer_slots (s, &offer, out);
}

/* Its slots were closed before they came: killed on their way. */
static void expire (const struct request *r, struct actions *out)
{
    if (r && r->client)
        actions_tell_error (out, r->client, VERB_REQUEST, r->client_seq,
                            ERR_EXPIRED, "the slots were taken back");
}

/* It is not acknowledged, so it comes again, until there is room. */
static bool comes_too_early (struct shim *s, const struct request *r,
                             const struct row_granted *grant)
{
    return r && r->client && !r->back && grant->count > shim_room (s);
}

static bool plausible (const struct request *r, const struct row_granted *grant)
{
    if (r && r->back) // all the slots of a tree, or none
        return grant->count == r->ask.count;
    return grant->count <= (r ? r->ask.count : MAX_HELD);
}

void shim_take_grant (struct shim *s, const struct row_granted *grant,
                      uint64_t waited_ms, struct actions *out)
{
    struct request *r = requests_find (&s->requests, grant->seq);

    if (!plausible (r, grant)) {
        actions_log (out, "refused grant seq=%llu count=%llu",
                     (unsigned long long) grant->seq,
                     (unsigned long long) grant->count);
        return;
    }
    if (!known (s, grant) && comes_too_early (s, r, grant))
        return;
    acks_add (&s->acks, grant->seq);
    if (known (s, grant))
        expire (r, out);
    else if (r && r->back) {
        shim_take_back (s, r, grant, waited_ms, out);
        return;
    } else if (r && r->client && add_slots (s, r, grant))
        hand_out (s, r, grant, waited_ms, out);
    else
        return_grant (s, grant);
    requests_remove (&s->requests, grant->seq);
}

/* ---- from what a supervisor holds idle ---- */

/* Not those whose client has yet to hear that they are its. */
static struct slot *idle_below (struct shim *s, struct who supervisor,
                                uint64_t below)
{
    struct slot *slot;

    do {
        slot = holdings_newest (&s->holdings, supervisor, SLOT_IDLE, below);
        below = slot ? slot->token : 0;
    } while (slot && slot->offered_to);
    return slot;
}

static void find_idle (struct shim *s, const struct request *r,
                       struct u64s *ret_tokens)
{
    uint64_t below = UINT64_MAX;
    struct slot *slot;

    ret_tokens->count = 0;
    while (ret_tokens->count < r->ask.count &&
           (slot = idle_below (s, r->supervisor, below))) {
        u64s_add (ret_tokens, slot->token);
        below = slot->token;
    }
}

static void reverse (struct u64s *list)
{
    for (uint32_t i = 0; i < list->count / 2; i++) {
        uint64_t *other = &list->at[list->count - 1 - i], kept = *other;

        *other = list->at[i];
        list->at[i] = kept;
    }
}

static void serve (struct shim *s, struct request *r, struct actions *out)
{
    struct offer offer = {.client = r->client,
                          .seq = r->client_seq,
                          .asked = r->ask.count,
                          .supervisor = r->supervisor};

    find_idle (s, r, &offer.tokens);
    if (offer.tokens.count < r->ask.count)
        return;
    reverse (&offer.tokens);
    offer_run (s, &offer, out);
    shim_withdraw (s, r);
}

void shim_serve (struct shim *s, int64_t now, struct actions *out)
{
    uint64_t seq = 0;

    if (!tenure_valid (&s->tenure, now) ||
        !holdings_any (&s->holdings, SLOT_IDLE))
        return;
    for (struct request *r; (r = requests_after (&s->requests, seq));) {
        seq = r->seq;
        if (r->client && r->ask.run && !r->back)
            serve (s, r, out);
    }
}

/* A slot that is KEPT is idle again, or gone, as soon as the broker answers;
 * one that is idle now was left because the session is not valid just now, or
 * because its own client has yet to take it. */
bool shim_served_soon (struct shim *s, const struct request *r)
{
    return r->ask.run &&
           holdings_count (&s->holdings, r->supervisor, SLOT_IDLE) +
                   holdings_count (&s->holdings, r->supervisor, SLOT_KEPT) >=
               r->ask.count;
}

void shim_withdraw (struct shim *s, struct request *r)
{
    if (!r->asked) {
        requests_remove (&s->requests, r->seq);
        return;
    }
    r->client = 0;
    r->sent = false;
}
