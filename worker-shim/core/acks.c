/* SPDX-License-Identifier: MPL-2.0 */
#include "core/acks.h"

void acks_add (struct acks *a, uint64_t seq)
{
    for (size_t i = 0; i < a->count; i++) {
        if (a->at[i].seq == seq)
            return;
    }
    if (a->count < MAX_ACKS)
        a->at[a->count++] = (struct ack){.seq = seq};
}

void acks_carry (struct acks *a, uint64_t beat, struct u64s *ret_seqs)
{
    ret_seqs->count = 0;
    for (size_t i = 0; i < a->count && i < ACKS_PER_BEAT; i++) {
        if (!a->at[i].beat)
            a->at[i].beat = beat;
        u64s_add (ret_seqs, a->at[i].seq);
    }
}

void acks_settle (struct acks *a, uint64_t beat)
{
    size_t kept = 0;

    for (size_t i = 0; i < a->count; i++) {
        if (!a->at[i].beat || a->at[i].beat > beat)
            a->at[kept++] = a->at[i];
    }
    a->count = kept;
}
