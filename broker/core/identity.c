/* SPDX-License-Identifier: MPL-2.0 */
#include "core/identity.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- one identity, two hosts ---- */

bool identity_rebooted (const struct session_record *a,
                        const struct session_record *b)
{
    return a->uid == b->uid && strcmp (a->machine, b->machine) == 0 &&
           strcmp (a->boot, b->boot) != 0;
}

/* Nothing new for the one that lives, as long as the other goes on claiming
 * to be it. */
static void contest (struct broker *b, struct call *c, struct session *old)
{
    char host[65], boot[65];

    if (old->holder.paused_until <= c->now) {
        old->rival_heard = false;
        old->repeat = true; // whatever it waits for is PAUSED now
        outbox_journal (c->out, JOURNAL_WARNING,
                        "contest  session=%" PRIu64
                        " project=%s host=\"%s\" boot=\"%s\"",
                        old->r.id, old->r.project,
                        outbox_quoted (old->r.host, host, sizeof host),
                        outbox_quoted (c->in->hello.boot, boot, sizeof boot));
    }
    old->holder.paused_until = c->now + b->settings.timing.ttl;
}

/* The same machine with another boot_id has rebooted, and then the old boot
 * does not beat any more; or it is a copy of a machine that lives. Its next
 * beat tells. */
static enum err check_boots (struct broker *b, struct call *c,
                             const struct session_record *r)
{
    int64_t ttl = state_longest_ttl (b);
    enum err e = ERR_NONE;

    for (size_t i = 0; i < b->sessions.count; i++) {
        struct session *s = b->sessions.at[i];
        int64_t left = s->beaten + ttl - c->now;

        if (!identity_rebooted (&s->r, r) || left <= 0)
            continue;
        contest (b, c, s);
        snprintf (c->detail, sizeof c->detail,
                  "another boot of this machine was heard %.1f s ago: after a "
                  "reboot it is let in in %.1f s; a copy of a machine needs a "
                  "machine-id of its own",
                  (double) (left < ttl ? ttl - left : 0) / 1000,
                  (double) left / 1000);
        e = ERR_HOST_CONFLICT;
    }
    return e;
}

/* A pool belongs to a host: its name cannot be another machine's as well. */
static enum err check_host (const struct broker *b, struct call *c,
                            const struct session_record *r)
{
    bool taken = strcmp (r->host, b->self.host) == 0 &&
                 strcmp (r->machine, b->self.machine) != 0;

    for (size_t i = 0; i < b->sessions.count && !taken; i++) {
        const struct session *s = b->sessions.at[i];

        taken = strcmp (s->r.host, r->host) == 0 &&
                strcmp (s->r.machine, r->machine) != 0;
    }
    if (!taken)
        return ERR_NONE;
    c->key = "host";
    snprintf (c->detail, sizeof c->detail,
              "another machine has that name: set SLOTBUS_HOST");
    return ERR_CONFLICT;
}

/* ---- one project, two shims ---- */

struct identity_of identity_of (const struct session_record *r)
{
    return (struct identity_of){r->project, r->machine, r->boot, r->uid};
}

static enum err check_older (struct broker *b, struct call *c,
                             const struct session_record *r)
{
    const struct identity_of who = identity_of (r);
    const struct session *old = sessions_by_identity (&b->sessions, &who);

    if (!old || c->in->hello.successor)
        return ERR_NONE;
    snprintf (c->detail, sizeof c->detail,
              "%s has a shim on this host: pid %" PRId32, r->project,
              old->r.shim.pid);
    return ERR_CONFLICT;
}

/* Two machines have one identity, and both live. */
static enum err conflict (struct broker *b, struct call *c,
                          struct session *heir)
{
    contest (b, c, heir);
    handlers_alarm_conflict (heir, c);
    snprintf (c->detail, sizeof c->detail,
              "pid %" PRId32 " took this shim's place: one of the two hosts is "
              "a copy, and needs a machine-id of its own",
              heir->r.shim.pid);
    return ERR_HOST_CONFLICT;
}

/* Who began before the one that has the place cannot be its successor: this
 * HELLO has been long on its way. Unless it is said again and again. */
static enum err check_elder (struct broker *b, struct call *c,
                             struct session *heir)
{
    if (heir->elder != c->in->hello.nonce) {
        heir->elder = c->in->hello.nonce;
        heir->elder_at = c->now;
    }
    if (c->now - heir->elder_at < 2 * b->settings.timing.beat)
        return ERR_EXPIRED;
    return conflict (b, c, heir);
}

/* A shim holds its project's lock as long as it lives, so who has the lock
 * attests that the one before is dead. If that one speaks again, there are two
 * such locks. */
static enum err check_succeeded (struct broker *b, struct call *c,
                                 const struct session_record *r)
{
    const struct identity_of who = identity_of (r);
    struct session *heir = sessions_by_identity (&b->sessions, &who);

    if (!heir)
        return ERR_NONE;
    if (same_process (&heir->r.shim, &r->shim))
        return ended_silent (&b->ended, r->nonce, r->uid) ? ERR_EXPIRED
                                                          : ERR_NONE;
    if (ended_succeeded (&b->ended, r))
        return conflict (b, c, heir);
    if (r->shim.start && r->shim.start < heir->r.shim.start)
        return check_elder (b, c, heir);
    return ERR_NONE;
}

/* The kernel vouches for the boot that this broker runs on: another one of its
 * machine is a copy. */
static enum err check_own_machine (struct broker *b, struct call *c,
                                   const struct session_record *r)
{
    char host[65];

    if (strcmp (r->machine, b->self.machine) != 0 ||
        strcmp (r->boot, b->self.boot) == 0)
        return ERR_NONE;
    if (b->copy_until <= c->now)
        outbox_journal (c->out, JOURNAL_ALARM,
                        "host_conflict project=%s host=\"%s\"", r->project,
                        outbox_quoted (c->in->hello.host, host, sizeof host));
    b->copy_until = c->now + b->settings.timing.ttl;
    snprintf (c->detail, sizeof c->detail,
              "this host has the machine-id of the broker's own: a copy needs "
              "one of its own");
    return ERR_HOST_CONFLICT;
}

enum err identity_check (struct broker *b, struct call *c,
                         const struct session_record *r)
{
    enum err e;

    if ((e = check_own_machine (b, c, r)) || (e = check_boots (b, c, r)) ||
        (e = check_host (b, c, r)) || (e = check_succeeded (b, c, r)))
        return e;
    return check_older (b, c, r);
}
