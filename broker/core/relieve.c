/* SPDX-License-Identifier: MPL-2.0 */
/* RELIEVE - people see that a host is in trouble before the broker does. */
#include "core/relieve.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/enforce.h"
#include "core/handlers.h"
#include "core/memory.h"

/* ---- those that were asked for ---- */

static struct relief *find (struct reliefs *r, uint64_t id)
{
    for (unsigned i = 0; i < KEPT_RELIEFS; i++) {
        if (r->at[i].id == id)
            return &r->at[i];
    }
    return NULL;
}

static void forget (struct relief *r)
{
    kill_clear (&r->kill);
    *r = (struct relief){0};
}

/* In place of the oldest; takes over what `relief` owns. */
static const struct relief *keep (struct reliefs *r,
                                  const struct relief *relief)
{
    struct relief *place = &r->at[r->next];

    r->next = (r->next + 1) % KEPT_RELIEFS;
    forget (place);
    *place = *relief;
    return place;
}

void reliefs_shift (struct reliefs *r, int64_t by)
{
    for (unsigned i = 0; i < KEPT_RELIEFS; i++)
        r->at[i].kill.deadline += by;
}

void reliefs_clear (struct reliefs *r)
{
    for (unsigned i = 0; i < KEPT_RELIEFS; i++)
        forget (&r->at[i]);
    r->next = 0;
}

/* ---- the answer ---- */

static void fill_victim (const struct broker *b, const struct relief *r,
                         int64_t now, struct msg_relieve_ok *ok)
{
    struct msg_kill_ok kill;

    if (!r->victim.token)
        return;
    ok->token = r->victim.token;
    ok->memory_bytes = r->victim.memory_bytes;
    copy_text (ok->project, sizeof ok->project, r->project);
    copy_text (ok->label, sizeof ok->label, r->label);
    copy_text (ok->why, sizeof ok->why, r->victim.why);
    message_init_fields (&kill, VERB_KILL_OK);
    kill_report (&r->kill, &b->leases, now, &kill);
    ok->released = kill.released;
    ok->done = kill.done;
    ok->unkillable = kill.unkillable > 0;
}

static void answer (const struct broker *b, const struct call *c,
                    const struct relief *r, unsigned effective)
{
    const struct pool *pool = pools_find (&b->pools, r->host);
    struct msg_relieve_ok ok;

    message_init_fields (&ok, VERB_RELIEVE_OK);
    ok.id = r->id;
    copy_text (ok.host, sizeof ok.host, r->host);
    ok.done = true;
    ok.before = r->before;
    ok.effective = effective;
    ok.in_use = pool ? pool->in_use : 0;
    fill_victim (b, r, c->now, &ok);
    outbox_send (c->out, &c->peer->path, VERB_RELIEVE_OK, &ok);
}

static enum err report (const struct broker *b, const struct call *c,
                        const struct relief *r)
{
    const struct pool *pool = pools_find (&b->pools, r->host);

    answer (b, c, r, pool ? pool_effective (pool) : 0);
    return ERR_NONE;
}

/* ---- whom, and where ---- */

static uint64_t digest_of (const struct msg_relieve *in)
{
    return digest_u64 (digest_text (DIGEST_START, in->host), in->kill);
}

static enum err find_pool (const struct broker *b, struct call *c,
                           struct pool **ret_pool)
{
    const char *host = c->in->relieve.host;
    struct pool *pool = host[0] ? pools_find (&b->pools, host) : b->pools.at[0];

    if (!pool) {
        c->key = "host";
        snprintf (c->detail, sizeof c->detail, "no host %s", host);
        return ERR_NOT_FOUND;
    }
    *ret_pool = pool;
    return ERR_NONE;
}

static enum err nobody (struct call *c, const struct pool *pool)
{
    c->key = "kill";
    snprintf (c->detail, sizeof c->detail, "nobody may be ended on %s",
              pool->host);
    return ERR_NOT_FOUND;
}

static struct relief relief_of (const struct call *c, const struct pool *pool)
{
    const struct msg_relieve *in = &c->in->relieve;
    struct relief r = {
        .id = in->id,
        .uid = c->peer->uid,
        .digest = digest_of (in),
        .before = pool_effective (pool),
    };

    copy_text (r.host, sizeof r.host, pool->host);
    return r;
}

/* The one that is being ended. */
static void name_victim (const struct enforcement *e, struct relief *r)
{
    size_t size = e->kill.count * sizeof *e->kill.targets;

    r->victim = e->victim;
    copy_text (r->project, sizeof r->project, e->project);
    copy_text (r->label, sizeof r->label, e->label);
    r->kill = e->kill;
    r->kill.targets = resized (NULL, e->kill.count, sizeof *e->kill.targets);
    memcpy (r->kill.targets, e->kill.targets, size);
}

/* ---- what would be done ---- */

static enum err rehearse_kill (const struct broker *b, struct call *c,
                               const struct pool *pool)
{
    struct relief r = relief_of (c, pool);
    const struct lease *l;

    if (pool->enforcement.state == ENFORCE_ENDING) {
        name_victim (&pool->enforcement, &r);
    } else if (enforce_next_victim (b, pool, c->now, &r.victim)) {
        l = leases_find (&b->leases, r.victim.token);
        copy_text (r.project, sizeof r.project, l->r.project);
        copy_text (r.label, sizeof r.label, l->r.label);
    } else
        return nobody (c, pool);
    answer (b, c, &r, pool_effective (pool));
    kill_clear (&r.kill);
    return ERR_NONE;
}

static enum err rehearse (const struct broker *b, struct call *c,
                          const struct pool *pool)
{
    const struct relief r = relief_of (c, pool);

    if (c->in->relieve.kill)
        return rehearse_kill (b, c, pool);
    answer (b, c, &r, state_relieved (b, pool, c->now));
    return ERR_NONE;
}

/* ---- asked again, after a restart that has forgotten it ---- */

static enum err not_ending (struct call *c)
{
    c->key = "token";
    snprintf (c->detail, sizeof c->detail,
              "slot %" PRIu64 " is not being ended", c->in->relieve.token);
    return ERR_NOT_FOUND;
}

/* All slots of its tree. */
static void name_ending (const struct broker *b, const struct lease *l,
                         struct relief *r)
{
    for (struct lease *at = lease_next_of_tree (&b->leases, l, NULL); at;
         at = lease_next_of_tree (&b->leases, l, at))
        kill_target (&r->kill, &b->leases, at);
    if (l->r.state == LEASE_KILLING) // else nobody waits for it
        r->kill.deadline = l->until;
    copy_text (r->project, sizeof r->project, l->r.project);
    copy_text (r->label, sizeof r->label, l->r.label);
}

/* It is over: how many slots that were nobody knows any more. */
static void name_ended (uint64_t token, struct relief *r)
{
    r->kill.targets = resized (NULL, 1, sizeof *r->kill.targets);
    r->kill.targets[r->kill.count++] =
        (struct target){.token = token, .tree = true, .leader = true};
}

static enum err resume (struct broker *b, const struct pool *pool,
                        struct call *c)
{
    uint64_t token = c->in->relieve.token;
    const struct lease *l = leases_find (&b->leases, token);
    struct relief r = relief_of (c, pool);

    if (token >= b->next_token ||
        (l && l->r.state != LEASE_KILLING && l->r.state != LEASE_LIMBO))
        return not_ending (c);
    r.victim.token = token;
    if (l)
        name_ending (b, l, &r);
    else
        name_ended (token, &r);
    return report (b, c, keep (&b->reliefs, &r));
}

/* ---- do it ---- */

static void log_relieve (const struct call *c, const struct relief *r,
                         const struct pool *pool)
{
    const struct msg_relieve *in = &c->in->relieve;
    char host[sizeof pool->host], reason[sizeof in->reason];

    outbox_journal (
        c->out, JOURNAL_WARNING,
        "relieve  id=%" PRIu64 " uid=%" PRIu32
        " host=\"%s\" kill=%s before=%u effective=%u "
        "token=%" PRIu64 " reason=\"%s\"",
        in->id, c->peer->uid, outbox_quoted (pool->host, host, sizeof host),
        in->kill ? "true" : "false", r->before, pool_effective (pool),
        r->victim.token, outbox_quoted (in->reason, reason, sizeof reason));
}

enum err on_relieve (struct broker *b, struct call *c)
{
    const struct msg_relieve *in = &c->in->relieve;
    const struct relief *old = in->id ? find (&b->reliefs, in->id) : NULL;
    struct pool *pool = NULL;
    struct relief r;
    enum err e;

    if (in->id == 0)
        return bad_arg (c, "id");
    if (old && (old->uid != c->peer->uid || old->digest != digest_of (in)))
        return ERR_CONFLICT;
    if (old && !in->dry_run)
        return report (b, c, old);
    e = find_pool (b, c, &pool);
    if (e)
        return e;
    if (in->dry_run)
        return rehearse (b, c, pool);
    if (in->kill && in->token)
        return resume (b, pool, c);
    r = relief_of (c, pool);
    if (in->kill && !enforce_now (b, pool, in->reason, c->now, c->out))
        return nobody (c, pool);
    if (in->kill)
        name_victim (&pool->enforcement, &r);
    else
        state_relieve (b, pool, c->now, c->out);
    outbox_require_flush (c->out);
    log_relieve (c, &r, pool);
    return report (b, c, keep (&b->reliefs, &r));
}
