/* SPDX-License-Identifier: MPL-2.0 */
#include "core/requests.h"

#include <string.h>

struct request *requests_add (struct requests *t, uint64_t client,
                              struct who supervisor,
                              const struct msg_request *ask)
{
    struct request *free_one = NULL;

    for (size_t i = 0; i < MAX_REQUESTS && !free_one; i++) {
        if (!t->at[i].seq)
            free_one = &t->at[i];
    }
    if (!free_one)
        return NULL;
    memset (free_one, 0, sizeof *free_one);
    free_one->seq = ++t->last_seq;
    free_one->client = client;
    free_one->client_seq = ask->seq;
    free_one->supervisor = supervisor;
    free_one->ask = *ask;
    return free_one;
}

struct request *requests_find (struct requests *t, uint64_t seq)
{
    for (size_t i = 0; seq && i < MAX_REQUESTS; i++) {
        if (t->at[i].seq == seq)
            return &t->at[i];
    }
    return NULL;
}

void requests_remove (struct requests *t, uint64_t seq)
{
    struct request *r = requests_find (t, seq);

    if (r)
        r->seq = 0;
}

struct request *requests_after (struct requests *t, uint64_t seq)
{
    struct request *next = NULL;

    for (size_t i = 0; i < MAX_REQUESTS; i++) {
        struct request *r = &t->at[i];

        if (r->seq > seq && (!next || r->seq < next->seq))
            next = r;
    }
    return next;
}

void requests_ask_again (struct requests *t)
{
    uint64_t last = t->last_seq, seq = 0;
    struct request *r;

    while ((r = requests_after (t, seq)) && r->seq <= last) {
        seq = r->seq;
        r->seq = r->client ? ++t->last_seq : 0;
        r->asked = r->answered = r->sent = false;
    }
}

bool requests_any (struct requests *t)
{
    return requests_after (t, 0) != NULL;
}

bool requests_waiting (struct requests *t)
{
    for (size_t i = 0; i < MAX_REQUESTS; i++) {
        if (t->at[i].seq && t->at[i].client)
            return true;
    }
    return false;
}

unsigned requests_slots (struct requests *t)
{
    unsigned slots = 0;

    for (size_t i = 0; i < MAX_REQUESTS; i++) {
        if (t->at[i].seq)
            slots += (unsigned) t->at[i].ask.count;
    }
    return slots;
}
