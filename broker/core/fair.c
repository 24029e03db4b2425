/* SPDX-License-Identifier: MPL-2.0 */
#include "core/fair.h"

#include <stdbool.h>

#include "core/memory.h"

/* A claim as one of the three passes sees it. */
struct bidder {
    struct fair_claim *claim;
    uint64_t share;
    unsigned limit; // what this pass gives it at most, with what it has
    bool last;      // after all who are not
};

/* Cross-multiplied: with demands of 32 bits and weights to MAX_PRIORITY a
 * share has 42 bits, so the products fit until a claim has 2 million slots. */
static bool is_before (const struct bidder *a, const struct bidder *b)
{
    uint64_t left = (2 * (uint64_t) a->claim->target + 1) * b->share;
    uint64_t right = (2 * (uint64_t) b->claim->target + 1) * a->share;

    if (a->last != b->last)
        return b->last;
    if (left != right)
        return left < right;
    return a->claim->order < b->claim->order;
}

/* A heap: the first in order at [0]. What stands at `i` goes down to where it
 * belongs. */
static void sift (struct bidder *heap, size_t count, size_t i)
{
    const struct bidder moving = heap[i];

    for (size_t child; (child = 2 * i + 1) < count; i = child) {
        if (child + 1 < count && is_before (&heap[child + 1], &heap[child]))
            child++;
        if (!is_before (&heap[child], &moving))
            break;
        heap[i] = heap[child];
    }
    heap[i] = moving;
}

/* ---- many at once ---- */

/* What it has when all is handed out that comes before the slot number `mark`
 * (from 0) of one with the share `most`. */
static unsigned target_at (const struct bidder *b, uint64_t most, uint64_t mark)
{
    uint64_t odd = ((2 * mark + 1) * b->share - 1) / most, target;

    if (b->last)
        return b->claim->target;
    target = (odd + 1) / 2;
    if (target > b->limit)
        target = b->limit;
    return target > b->claim->target ? (unsigned) target : b->claim->target;
}

static uint64_t wanted_at (const struct bidder *bidders, size_t count,
                           uint64_t most, uint64_t mark)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += target_at (&bidders[i], most, mark) - bidders[i].claim->target;
    return sum;
}

/* All but the last few slots: as one by one, since what a slot is handed out
 * by only rises. Returns what is left. */
static unsigned hand_out_most (struct bidder *bidders, size_t *count,
                               unsigned slots)
{
    uint64_t most = 1, low = 0, high = 1, highest;
    size_t left = 0;

    for (size_t i = 0; i < *count; i++)
        most = bidders[i].share > most ? bidders[i].share : most;
    highest = (UINT64_C (1) << 62) / most / 2; // no product overflows
    for (; high < highest && wanted_at (bidders, *count, most, high) <= slots;
         high *= 2)
        low = high;
    while (low + 1 < high) {
        uint64_t mark = low + (high - low) / 2;

        if (wanted_at (bidders, *count, most, mark) <= slots)
            low = mark;
        else
            high = mark;
    }
    for (size_t i = 0; i < *count; i++) {
        unsigned target = target_at (&bidders[i], most, low);

        slots -= target - bidders[i].claim->target;
        bidders[i].claim->target = target;
        if (target < bidders[i].limit)
            bidders[left++] = bidders[i];
    }
    *count = left;
    return slots;
}

/* ---- the passes ---- */

/* One slot at a time to the first in order, until none is left or nobody is
 * below its limit. Returns what is left. */
static unsigned hand_out (struct bidder *heap, size_t count, unsigned slots)
{
    if (slots > 4 * count)
        slots = hand_out_most (heap, &count, slots);
    for (size_t i = count / 2; i-- > 0;)
        sift (heap, count, i);
    for (; slots && count; slots--) {
        if (++heap[0].claim->target == heap[0].limit)
            heap[0] = heap[--count];
        sift (heap, count, 0);
    }
    return slots;
}

static struct bidder for_one (struct fair_claim *c)
{
    return (struct bidder){c, .share = 1, .limit = c->demand ? 1 : 0};
}

/* The guarantee itself is the share, not what is asked of it: nobody is to be
 * served earlier because he asked for more. */
static struct bidder for_guarantee (struct fair_claim *c)
{
    unsigned limit = c->guarantee < c->demand ? c->guarantee : c->demand;

    return (struct bidder){c, .share = c->guarantee, .limit = limit};
}

/* Those of weight 0 come last, and among themselves as if all had the same. */
static struct bidder for_weight (struct fair_claim *c)
{
    return (struct bidder){c, .share = c->weight ? c->weight : 1,
                           .limit = c->demand, .last = !c->weight};
}

static struct bidder for_weighted_demand (struct fair_claim *c)
{
    struct bidder b = for_weight (c);

    b.share *= c->demand;
    return b;
}

void fair_targets (struct fair_claim *claims, size_t count, unsigned slots,
                   enum fair_mode mode)
{
    struct bidder (*const passes[]) (struct fair_claim *) = {
        for_one, for_guarantee,
        mode == FAIR_MAXMIN ? for_weight : for_weighted_demand};
    struct bidder *heap = resized (NULL, count, sizeof *heap);

    for (size_t i = 0; i < count; i++)
        claims[i].target = 0;
    for (size_t pass = 0; pass < 3; pass++) {
        size_t below = 0;

        for (size_t i = 0; i < count; i++) {
            struct bidder b = passes[pass](&claims[i]);

            if (claims[i].target < b.limit)
                heap[below++] = b;
        }
        slots = hand_out (heap, below, slots);
    }
    free (heap);
}
