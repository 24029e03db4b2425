/* SPDX-License-Identifier: MPL-2.0 */
#include "core/holdings.h"

#include <string.h>

struct slot *holdings_add (struct holdings *h, uint64_t token,
                           enum slot_state state, struct who supervisor)
{
    size_t i = 0;

    while (i < h->top && h->at[i].token)
        i++;
    if (i == MAX_ENTRIES)
        return NULL;
    if (i == h->top)
        h->top++;
    h->count++;
    memset (&h->at[i], 0, sizeof h->at[i]);
    h->at[i].token = token;
    h->at[i].state = state;
    h->at[i].supervisor = supervisor;
    return &h->at[i];
}

struct slot *holdings_find (struct holdings *h, uint64_t token)
{
    for (size_t i = 0; token && i < h->top; i++) {
        if (h->at[i].token == token)
            return &h->at[i];
    }
    return NULL;
}

void holdings_drop (struct holdings *h, uint64_t token)
{
    struct slot *slot = holdings_find (h, token);

    if (!slot)
        return;
    memset (slot, 0, sizeof *slot);
    h->count--;
    while (h->top && !h->at[h->top - 1].token)
        h->top--;
}

void holdings_close (struct holdings *h, uint64_t token)
{
    holdings_drop (h, token);
    h->closed[h->closed_count++ % MAX_CLOSED] = token;
}

/* What runs, or is being ended, goes when it has ended. */
static bool still_runs (const struct slot *slot)
{
    return slot->state == SLOT_TAKEN || slot->state == SLOT_LEFTOVER;
}

void holdings_another_broker (struct holdings *h, struct u64s *ret_dropped)
{
    h->closed_count = 0;
    ret_dropped->count = 0;
    for (struct slot *at = NULL; (at = holdings_next (h, at));) {
        at->foreign = true;
        if (still_runs (at))
            continue;
        u64s_add (ret_dropped, at->token);
        holdings_drop (h, at->token);
    }
}

bool holdings_knew (struct holdings *h, uint64_t token)
{
    for (size_t i = 0; i < MAX_CLOSED && i < h->closed_count; i++) {
        if (h->closed[i] == token)
            return true;
    }
    return holdings_find (h, token) != NULL;
}

struct slot *holdings_next (struct holdings *h, const struct slot *after)
{
    size_t i = after ? (size_t) (after - h->at) + 1 : 0;

    while (i < h->top && !h->at[i].token)
        i++;
    return i < h->top ? &h->at[i] : NULL;
}

struct slot *holdings_next_of (struct holdings *h, uint64_t tree,
                               const struct slot *after)
{
    struct slot *slot = holdings_next (h, after);

    while (slot && (slot->state != SLOT_TAKEN || slot->tree != tree))
        slot = holdings_next (h, slot);
    return slot;
}

static bool is (const struct slot *slot, struct who supervisor,
                enum slot_state state)
{
    return slot->state == state && who_same (slot->supervisor, supervisor);
}

struct slot *holdings_newest (struct holdings *h, struct who supervisor,
                              enum slot_state state, uint64_t below)
{
    struct slot *newest = NULL;

    for (struct slot *s = NULL; (s = holdings_next (h, s));) {
        if (is (s, supervisor, state) && s->token < below &&
            (!newest || s->token > newest->token))
            newest = s;
    }
    return newest;
}

unsigned holdings_count (struct holdings *h, struct who supervisor,
                         enum slot_state state)
{
    unsigned count = 0;

    for (struct slot *s = NULL; (s = holdings_next (h, s));)
        count += is (s, supervisor, state);
    return count;
}

static bool given_back (const struct slot *slot)
{
    return slot->state == SLOT_RELEASING || slot->state == SLOT_REAPED;
}

unsigned holdings_held (struct holdings *h, struct who supervisor)
{
    unsigned count = 0;

    for (struct slot *s = NULL; (s = holdings_next (h, s));)
        count += !given_back (s) && who_same (s->supervisor, supervisor);
    return count;
}

bool holdings_any (struct holdings *h, enum slot_state state)
{
    for (struct slot *s = NULL; (s = holdings_next (h, s));) {
        if (s->state == state)
            return true;
    }
    return false;
}

static bool inherited (const struct slot *slot)
{
    return slot->state == SLOT_INHERITED || slot->state == SLOT_LEFTOVER;
}

void holdings_named (struct holdings *h, struct u64s *ret_tokens)
{
    ret_tokens->count = 0;
    for (struct slot *s = NULL; (s = holdings_next (h, s));) {
        if (!given_back (s) && !inherited (s) && !s->lost)
            u64s_add (ret_tokens, s->token);
    }
}

void holdings_running (struct holdings *h, struct u64s *ret_tokens)
{
    ret_tokens->count = 0;
    for (struct slot *s = NULL; (s = holdings_next (h, s));) {
        if (s->state == SLOT_TAKEN && s->lost && !s->foreign)
            u64s_add (ret_tokens, s->token);
    }
}
