/* SPDX-License-Identifier: MPL-2.0 */
#include "core/runs.h"

#include <string.h>

struct run *runs_add (struct runs *t, uint64_t token, unsigned count,
                      uint64_t client, struct who supervisor)
{
    size_t i = 0;

    while (i < t->top && t->at[i].token)
        i++;
    if (i == MAX_HELD)
        return NULL;
    if (i == t->top)
        t->top++;
    t->count++;
    memset (&t->at[i], 0, sizeof t->at[i]);
    t->at[i].token = t->at[i].named = token;
    t->at[i].state = RUN_OFFERED;
    t->at[i].count = count;
    t->at[i].client = client;
    t->at[i].supervisor = supervisor;
    return &t->at[i];
}

struct run *runs_find (struct runs *t, uint64_t token)
{
    for (size_t i = 0; token && i < t->top; i++) {
        if (t->at[i].token == token)
            return &t->at[i];
    }
    return NULL;
}

struct run *runs_named (struct runs *t, uint64_t named)
{
    for (size_t i = 0; named && i < t->top; i++) {
        if (t->at[i].named == named)
            return &t->at[i];
    }
    return NULL;
}

struct run *runs_of_keeper (struct runs *t, uint64_t keeper)
{
    for (size_t i = 0; keeper && i < t->top; i++) {
        if (t->at[i].token && t->at[i].keeper == keeper)
            return &t->at[i];
    }
    return NULL;
}

void runs_remove (struct runs *t, struct run *run)
{
    memset (run, 0, sizeof *run);
    t->count--;
    while (t->top && !t->at[t->top - 1].token)
        t->top--;
}

struct run *runs_next (struct runs *t, const struct run *after)
{
    size_t i = after ? (size_t) (after - t->at) + 1 : 0;

    while (i < t->top && !t->at[i].token)
        i++;
    return i < t->top ? &t->at[i] : NULL;
}

/* Written out: the encoding of wait () is the kernel's, and a core includes
 * no header of processes. */
uint8_t run_exit_status (int32_t wait_status)
{
    int signal = wait_status & 0x7f;

    return (uint8_t) (signal ? 128 + signal : (wait_status >> 8) & 0xff);
}
