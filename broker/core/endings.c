/* SPDX-License-Identifier: MPL-2.0 */
#include "core/endings.h"

#include <string.h>

#include "core/answers.h"
#include "core/ledger.h"

static struct row_ending row_of (const struct ending *how)
{
    struct row_ending row = {
        .notice_ms = (uint64_t) how->notice,
        .grace_ms = (uint64_t) how->grace,
        .supervisor = how->supervisor,
    };

    copy_text (row.reason, sizeof row.reason, how->reason);
    return row;
}

static void fill_stop (const struct broker *b, const struct session *s,
                       const struct ending *how, struct msg_stop *ret_stop)
{
    message_init_fields (ret_stop, VERB_STOP);
    ret_stop->session = s->r.id;
    ret_stop->epoch = b->meta.epoch;
    ret_stop->notice_ms = (uint64_t) how->notice;
    ret_stop->grace_ms = (uint64_t) how->grace;
    ret_stop->supervisor = how->supervisor;
    copy_text (ret_stop->reason, sizeof ret_stop->reason, how->reason);
}

/* A slot with something of its own to end is KILLING until that is proven
 * gone; a plain reservation is free at once. */
static void end_lease (struct broker *b, struct lease *l,
                       const struct ending *how, int64_t now,
                       struct outbox *out)
{
    int64_t until =
        now + settings_ending (&b->settings, how->notice, how->grace);

    if (!lease_has_tree (l) && !l->r.bound) {
        ledger_revoke (b, l, "killed", out);
        return;
    }
    l->ending = row_of (how);
    ledger_kill (b, l, how->id, until, now, out);
}

void endings_begin (struct broker *b, struct session *s,
                    const struct u64s *tokens, const struct ending *how,
                    int64_t now, struct outbox *out)
{
    struct msg_stop stop;

    if (tokens->count == 0)
        return;
    fill_stop (b, s, how, &stop);
    stop.tokens = *tokens;
    for (uint32_t i = 0; i < tokens->count; i++)
        end_lease (b, leases_find (&b->leases, tokens->at[i]), how, now, out);
    if (session_hears (s))
        outbox_send (out, &s->path, VERB_STOP, &stop);
}

void endings_resume (const struct broker *b, struct lease *l, int64_t now)
{
    const struct timing *t = &b->settings.timing;

    l->until = now + settings_ending (&b->settings, t->notice, t->grace);
    l->ending = (struct row_ending){.notice_ms = (uint64_t) t->notice,
                                    .grace_ms = (uint64_t) t->grace};
}

static bool is_same (const struct row_ending *a, const struct row_ending *b)
{
    return a->notice_ms == b->notice_ms && a->grace_ms == b->grace_ms &&
           a->supervisor == b->supervisor && strcmp (a->reason, b->reason) == 0;
}

/* The row that says so of the next token; NULL: there is no room for it. */
static struct row_ending *row_for (struct msg_beat_ok *ok,
                                   const struct row_ending *how)
{
    const size_t most = sizeof ok->endings / sizeof *ok->endings;
    size_t count = ok->endings_count;

    if (count > 0 && is_same (&ok->endings[count - 1], how))
        return &ok->endings[count - 1];
    if (count == most)
        return NULL;
    ok->endings[count] = *how;
    ok->endings_count++;
    return &ok->endings[count];
}

/* Each begins where the one before ended at the earliest, so that all have
 * their turn even if the first cannot be ended. */
void endings_list (const struct broker *b, const struct session *s,
                   struct msg_beat_ok *ok)
{
    const size_t most = sizeof ok->endings / sizeof *ok->endings;
    struct lease **leases;
    size_t count = leases_of (&b->leases, s->r.id, &leases);

    for (size_t i = 0; i < count && ok->stops.count < MAX_HELD; i++) {
        const struct lease *l = leases[(i + ok->seq * most) % count];
        struct row_ending *row;

        if (l->r.state != LEASE_KILLING)
            continue;
        row = row_for (ok, &l->ending);
        if (!row)
            return;
        row->count++;
        u64s_add (&ok->stops, l->r.token);
    }
}
