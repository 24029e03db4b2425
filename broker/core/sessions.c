/* SPDX-License-Identifier: MPL-2.0 */
#include "core/sessions.h"

#include <assert.h>
#include <string.h>

#include "core/memory.h"
#include "core/waitq.h"

void session_clear (struct session *s)
{
    free (s->dropped);
    free (s->open);
    s->dropped = NULL;
    s->open = NULL;
    s->dropped_count = s->dropped_room = 0;
    s->open_count = s->open_room = 0;
}

struct session *sessions_find (const struct table *sessions, uint64_t id)
{
    return table_find (sessions, id);
}

struct session *sessions_by_nonce (const struct table *sessions, uint64_t nonce,
                                   uint32_t uid)
{
    for (size_t i = 0; i < sessions->count; i++) {
        struct session *s = sessions->at[i];

        if (s->r.nonce == nonce && s->r.uid == uid)
            return s;
    }
    return NULL;
}

struct session *sessions_by_identity (const struct table *sessions,
                                      const struct identity_of *who)
{
    for (size_t i = 0; i < sessions->count; i++) {
        struct session *s = sessions->at[i];

        if (s->r.uid == who->uid && strcmp (s->r.project, who->project) == 0 &&
            strcmp (s->r.machine, who->machine) == 0 &&
            strcmp (s->r.boot, who->boot) == 0)
            return s;
    }
    return NULL;
}

/* ---- the window ---- */

static bool in_window (const struct session *s, uint64_t seq)
{
    return seq <= s->r.seq_high && s->r.seq_high - seq < SEQ_WINDOW;
}

static uint64_t bit_of (const struct session *s, uint64_t seq)
{
    return UINT64_C (1) << (s->r.seq_high - seq);
}

enum seq_state session_seq (const struct session *s, uint64_t seq)
{
    if (seq > s->r.seq_high)
        return SEQ_NEW;
    if (!in_window (s, seq))
        return SEQ_TOO_OLD;
    return s->r.seq_mask & bit_of (s, seq) ? SEQ_SEEN : SEQ_NEW;
}

static uint64_t shifted (uint64_t mask, uint64_t by)
{
    return by < SEQ_WINDOW ? mask << by : 0;
}

void session_accept (struct session *s, uint64_t seq)
{
    if (seq > s->r.seq_high) {
        uint64_t by = seq - s->r.seq_high;

        s->r.seq_mask = shifted (s->r.seq_mask, by);
        s->r.seq_high = seq;
    }
    if (in_window (s, seq))
        s->r.seq_mask |= bit_of (s, seq);
}

void session_forget (struct session *s, uint64_t seq)
{
    if (in_window (s, seq))
        s->r.seq_mask &= ~bit_of (s, seq);
}

/* ---- open requests ---- */

/* Room for one more of `size` bytes. */
static void *grown (void *list, unsigned count, unsigned *room, size_t size)
{
    if (count < *room)
        return list;
    *room = *room ? 2 * *room : 8;
    return resized (list, *room, size);
}

bool session_fits (const struct session *s)
{
    return s->open_count < MAX_QUEUED_PROJECT;
}

void session_open (struct session *s, uint64_t seq, uint64_t number)
{
    assert (session_fits (s));
    s->open = grown (s->open, s->open_count, &s->open_room, sizeof *s->open);
    s->open[s->open_count++] = (struct open_request){seq, number};
}

void session_close (struct session *s, uint64_t seq)
{
    for (unsigned i = 0; i < s->open_count; i++) {
        if (s->open[i].seq == seq) {
            s->open[i] = s->open[--s->open_count];
            return;
        }
    }
}

uint64_t session_number (const struct session *s, uint64_t seq)
{
    for (unsigned i = 0; i < s->open_count; i++) {
        if (s->open[i].seq == seq)
            return s->open[i].number;
    }
    return 0;
}

static void forget_dropped (struct session *s, unsigned i)
{
    memmove (&s->dropped[i], &s->dropped[i + 1],
             (--s->dropped_count - i) * sizeof *s->dropped);
}

void session_drop (struct session *s, uint64_t seq)
{
    if (s->dropped_count && s->dropped[s->dropped_count - 1] == seq)
        return;
    if (s->dropped_count == MAX_QUEUED_PROJECT)
        forget_dropped (s, 0);
    s->dropped = grown (s->dropped, s->dropped_count, &s->dropped_room,
                        sizeof *s->dropped);
    s->dropped[s->dropped_count++] = seq;
}

void session_drop_acked (struct session *s, uint64_t seq)
{
    for (unsigned i = 0; i < s->dropped_count; i++) {
        if (s->dropped[i] == seq) {
            forget_dropped (s, i);
            return;
        }
    }
}

void session_dropped (const struct session *s, struct u64s *ret_seqs)
{
    for (unsigned i = 0; i < s->dropped_count && i < TOLD_DROPPED; i++)
        u64s_add (ret_seqs, s->dropped[i]);
}

void ended_note (struct ended_sessions *e, const struct session_record *r,
                 enum ended_how how)
{
    struct ended_session *at = &e->at[e->next++ % KEPT_ENDED];

    at->nonce = r->nonce;
    at->uid = r->uid;
    at->shim = r->shim;
    at->how = how;
    copy_text (at->project, sizeof at->project, r->project);
    copy_text (at->machine, sizeof at->machine, r->machine);
    copy_text (at->boot, sizeof at->boot, r->boot);
}

static bool has (const struct ended_sessions *e, uint64_t nonce, uint32_t uid,
                 bool silent)
{
    for (unsigned i = 0; i < KEPT_ENDED; i++) {
        if (e->at[i].nonce == nonce && e->at[i].uid == uid &&
            (e->at[i].how == ENDED_SILENT) == silent)
            return true;
    }
    return false;
}

bool ended_has (const struct ended_sessions *e, uint64_t nonce, uint32_t uid)
{
    return has (e, nonce, uid, false);
}

bool ended_silent (const struct ended_sessions *e, uint64_t nonce, uint32_t uid)
{
    return has (e, nonce, uid, true);
}

/* Without its start time a pid names no process for certain. */
static bool is_same_shim (const struct ended_session *at,
                          const struct session_record *r)
{
    return at->nonce && r->shim.start && same_process (&at->shim, &r->shim) &&
           at->uid == r->uid && strcmp (at->project, r->project) == 0 &&
           strcmp (at->machine, r->machine) == 0 &&
           strcmp (at->boot, r->boot) == 0;
}

bool ended_succeeded (const struct ended_sessions *e,
                      const struct session_record *r)
{
    for (unsigned i = 0; i < KEPT_ENDED; i++) {
        if (e->at[i].how == ENDED_SUCCEEDED && is_same_shim (&e->at[i], r))
            return true;
    }
    return false;
}
