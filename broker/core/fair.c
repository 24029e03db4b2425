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

/* Where that is about all there is, if nobody has reached its limit or has more
 * than its part. */
static uint64_t likely_mark (const struct bidder *bidders, size_t count,
                             uint64_t most, unsigned slots)
{
    double shares = 1, sum = slots;

    for (size_t i = 0; i < count; i++) {
        shares += (double) bidders[i].share;
        sum += bidders[i].claim->target;
    }
    return (uint64_t) (sum * (double) most / shares);
}

/* The last mark by which not more than that is handed out. */
static uint64_t find_mark (const struct bidder *bidders, size_t count,
                           uint64_t most, unsigned slots)
{
    uint64_t highest = (UINT64_C (1) << 61) / most; // no product overflows
    uint64_t low = likely_mark (bidders, count, most, slots), high, step;

    low = low < highest ? low : highest - 1;
    high = low + 1;
    for (step = 1; wanted_at (bidders, count, most, low) > slots; step *= 2) {
        high = low;
        low -= low < step ? low : step;
    }
    for (step = 1;
         high < highest && wanted_at (bidders, count, most, high) <= slots;
         step *= 2) {
        low = high;
        high += step;
    }
    while (low + 1 < high) {
        uint64_t mark = low + (high - low) / 2;

        if (wanted_at (bidders, count, most, mark) <= slots)
            low = mark;
        else
            high = mark;
    }
    return low;
}

/* All but the last few slots: as one by one, since what a slot is handed out
 * by only rises. Returns what is left. */
static unsigned hand_out_most (struct bidder *bidders, size_t *count,
                               unsigned slots)
{
    uint64_t most = 1, mark;
    size_t left = 0;

    for (size_t i = 0; i < *count; i++)
        most = bidders[i].share > most ? bidders[i].share : most;
    mark = find_mark (bidders, *count, most, slots);
    for (size_t i = 0; i < *count; i++) {
        unsigned target = target_at (&bidders[i], most, mark);

        slots -= target - bidders[i].claim->target;
        bidders[i].claim->target = target;
        if (target < bidders[i].limit)
            bidders[left++] = bidders[i];
    }
    *count = left;
    return slots;
}

/* ---- the passes ---- */

static uint64_t lacking (const struct bidder *bidders, size_t count)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += bidders[i].limit - bidders[i].claim->target;
    return sum;
}

static unsigned satisfy (struct bidder *bidders, size_t count, unsigned slots)
{
    for (size_t i = 0; i < count; i++) {
        slots -= bidders[i].limit - bidders[i].claim->target;
        bidders[i].claim->target = bidders[i].limit;
    }
    return slots;
}

/* One slot at a time to the first in order, until none is left or nobody is
 * below its limit. Returns what is left. */
static unsigned hand_out (struct bidder *heap, size_t count, unsigned slots)
{
    if (lacking (heap, count) <= slots)
        return satisfy (heap, count, slots);
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

static void for_one (struct bidder *b, struct fair_claim *c)
{
    *b = (struct bidder){c, .share = 1, .limit = c->demand ? 1 : 0};
}

/* The guarantee itself is the share, not what is asked of it: nobody is to be
 * served earlier because he asked for more. */
static void for_guarantee (struct bidder *b, struct fair_claim *c)
{
    unsigned limit = c->guarantee < c->demand ? c->guarantee : c->demand;

    *b = (struct bidder){c, .share = c->guarantee, .limit = limit};
}

/* Those of weight 0 come last, and among themselves as if all had the same. */
static void for_weight (struct bidder *b, struct fair_claim *c)
{
    *b = (struct bidder){c, .share = c->weight ? c->weight : 1,
                         .limit = c->demand, .last = !c->weight};
}

static void for_weighted_demand (struct bidder *b, struct fair_claim *c)
{
    for_weight (b, c);
    b->share *= c->demand;
}

void fair_targets (struct fair_claim *claims, size_t count, unsigned slots,
                   enum fair_mode mode)
{
    void (*const passes[]) (struct bidder *, struct fair_claim *) = {
        for_one, for_guarantee,
        mode == FAIR_MAXMIN ? for_weight : for_weighted_demand};
    struct bidder *heap = resized (NULL, count, sizeof *heap);

    for (size_t i = 0; i < count; i++)
        claims[i].target = 0;
    for (size_t pass = 0; pass < 3; pass++) {
        size_t below = 0;

        for (size_t i = 0; i < count; i++) {
            passes[pass](&heap[below], &claims[i]);
            below += claims[i].target < heap[below].limit;
        }
        slots = hand_out (heap, below, slots);
    }
    free (heap);
}
