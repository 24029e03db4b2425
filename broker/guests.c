/* SPDX-License-Identifier: MPL-2.0 */
#include "guests.h"

#include <stdlib.h>
#include <string.h>

#include "bus/base.h"

enum {
    WAYS = 8,
    SETS = GUESTS_PLACES / WAYS,
    MESSAGE = 1000 // in thousandths: a rate per second is one per ms of them
};

/* All zero: nobody was here. */
struct guest {
    uint64_t name; // hash of its id; 0: nobody's
    int64_t seen;
    int64_t said; // thousandths that are not forgotten yet
    int64_t answer_due;
    int64_t muted_until;
    unsigned malformed; // how often; and when, the last times
    int64_t malformed_at[GUESTS_MALFORMED];
};

struct guests {
    uint64_t key[2];
    int64_t rate;
    struct guest at[SETS][WAYS];
};

struct guests *guests_create (const uint64_t key[2], unsigned rate)
{
    struct guests *g = xcalloc (1, sizeof *g);

    memcpy (g->key, key, sizeof g->key);
    g->rate = rate;
    return g;
}

void guests_destroy (struct guests *g)
{
    free (g);
}

void guests_set_rate (struct guests *g, unsigned rate)
{
    g->rate = rate;
}

unsigned guests_rate (const struct guests *g)
{
    return (unsigned) g->rate;
}

/* ---- SipHash-2-4 ---- */

static uint64_t turned (uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

static void sip_round (uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = turned (v[1], 13) ^ v[0];
    v[3] = turned (v[3], 16) ^ v[2];
    v[0] = turned (v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = turned (v[1], 17) ^ v[2];
    v[3] = turned (v[3], 21) ^ v[0];
    v[2] = turned (v[2], 32);
}

static void sip_word (uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_round (v);
    sip_round (v);
    v[0] ^= word;
}

static uint64_t sip (const uint64_t key[2], const uint8_t *bytes, size_t size)
{
    uint64_t v[4] = {
        key[0] ^ UINT64_C (0x736f6d6570736575),
        key[1] ^ UINT64_C (0x646f72616e646f6d),
        key[0] ^ UINT64_C (0x6c7967656e657261),
        key[1] ^ UINT64_C (0x7465646279746573),
    };
    uint64_t last = (uint64_t) size << 56;
    size_t whole = size / 8 * 8;

    for (size_t i = 0; i < whole; i += 8) {
        uint64_t word;

        memcpy (&word, bytes + i, 8);
        sip_word (v, word);
    }
    for (size_t i = whole; i < size; i++)
        last |= (uint64_t) bytes[i] << 8 * (i - whole);
    sip_word (v, last);
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round (v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* ---- places ---- */

/* Its own, or that of who was silent for longest. */
static struct guest *place_of (struct guest *set, uint64_t name)
{
    struct guest *stalest = set;

    for (unsigned i = 0; i < WAYS; i++) {
        if (set[i].name == name)
            return &set[i];
        if (set[i].seen < stalest->seen)
            stalest = &set[i];
    }
    *stalest = (struct guest){
        .name = name, .seen = stalest->seen, .said = stalest->said};
    return stalest;
}

static int64_t most (const struct guests *g, bool beat)
{
    return (2 * g->rate + (beat ? GUESTS_BEAT_DEBT : 0)) * MESSAGE;
}

/* What was said is forgotten at the rate at which more may be said, and no
 * more is remembered than may be: the rate could be higher then. So after a
 * minute nothing is left, whatever the rate. */
static void forget (const struct guests *g, struct guest *at, int64_t now)
{
    int64_t elapsed = now - at->seen;

    if (elapsed > GUESTS_MINUTE_MS)
        elapsed = GUESTS_MINUTE_MS;
    if (at->said > most (g, true))
        at->said = most (g, true);
    at->said -= elapsed * g->rate;
    if (at->said < 0)
        at->said = 0;
    at->seen = now;
}

static struct guest *find (struct guests *g, const void *id, size_t size,
                           int64_t now)
{
    uint64_t hash = sip (g->key, id, size);
    struct guest *at = place_of (g->at[hash % SETS], hash ? hash : 1);

    forget (g, at, now);
    return at;
}

/* ---- what they say ---- */

enum admission guests_admit (struct guests *g, const void *id, size_t size,
                             bool beat, int64_t now)
{
    struct guest *at = find (g, id, size, now);

    if (at->said + MESSAGE <= most (g, beat)) {
        at->said += MESSAGE;
        return ADMIT;
    }
    if (now < at->answer_due)
        return DROP;
    at->answer_due = now + GUESTS_RATE_MS;
    return REFUSE;
}

bool guests_malformed (struct guests *g, const void *id, size_t size,
                       int64_t now)
{
    struct guest *at = find (g, id, size, now);
    int64_t oldest;

    at->malformed_at[at->malformed++ % GUESTS_MALFORMED] = now;
    oldest = at->malformed_at[at->malformed % GUESTS_MALFORMED];
    if (at->malformed < GUESTS_MALFORMED || now - oldest >= GUESTS_MINUTE_MS)
        return false;
    at->muted_until = now + GUESTS_MINUTE_MS;
    return true;
}

bool guests_muted (struct guests *g, const void *id, size_t size, int64_t now)
{
    return now < find (g, id, size, now)->muted_until;
}
