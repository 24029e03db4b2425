/* SPDX-License-Identifier: MPL-2.0 */
/* fuzz_broker.c - a script of anything that may reach the broker's core
 *
 * Peers of every role say any message, time goes by, the watcher and the
 * sampler see things, the disk fills, the configuration changes, the broker
 * starts again from its rows or without them. After each batch: what it says
 * can be said, the rows are what it knows, and the invariants hold.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/outlook.h"
#include "core/state.h"
#include "fuzz/feed.h"
#include "simulation/disk.h"

enum { PEERS = 8, MOST_OPS = 300 };

struct play {
    struct feed f;
    struct settings settings;
    struct identity self;
    struct broker *b;
    struct outbox *out;
    struct disk disk;
    int64_t now;
    uint64_t random;  // the newest session's id
    uint64_t highest; // token that was ever granted
    unsigned said;    // in this batch
};

static struct msg msg;

/* ---- after each batch ---- */

static void check_sums (struct play *p)
{
    struct broker *b = p->b;
    struct pool_view view;
    size_t leases = 0, pools = 0;

    for (size_t i = 0; i < leases_count (&b->leases); i++)
        leases += lease_counts (leases_at (&b->leases, i));
    state_tally (b);
    broker_view (b, &view);
    for (size_t i = 0; i < b->pools.count; i++)
        pools += b->pools.at[i]->in_use;
    must (pools == leases && view.in_use == leases, "I2: another sum");
}

static void check_same (const void *rows, size_t count,
                        const struct table *known, size_t size)
{
    must (count == known->count, "another number of rows");
    for (size_t i = 0; i < count; i++)
        must (memcmp ((const char *) rows + i * size, known->at[i], size) == 0,
              "a row is not what is known");
}

/* One that would not wait is not stored before it is known that it must. */
static void check_queue (const struct disk *d, const struct table *known)
{
    size_t stored = 0;

    for (size_t i = 0; i < known->count; i++) {
        const struct waiter *w = known->at[i];

        must (w->stored || w->t.nowait, "waits, and is not stored");
        must (!w->stored ||
                  (stored < d->waiter_count &&
                   memcmp (&d->waiters[stored], &w->r, sizeof w->r) == 0),
              "a row is not what is known");
        stored += w->stored;
    }
    must (stored == d->waiter_count, "another number of rows");
}

static void check_rows (const struct play *p)
{
    const struct disk *d = &p->disk;
    const struct broker *b = p->b;
    size_t projects = 0;

    check_same (d->sessions, d->session_count, &b->sessions,
                sizeof *d->sessions);
    check_same (d->leases, d->lease_count, &b->leases.by_token,
                sizeof *d->leases);
    check_queue (d, &b->waiters);
    for (size_t i = 0; i < b->projects.count; i++)
        projects += b->projects.at[i]->said.number != 0;
    must (projects == d->project_count,
          "a word that is not stored, or no word");
}

/* I1, I3, I5, I6, I11 of one lease that was not there before. */
static void check_new (struct play *p, const struct lease *l)
{
    const struct broker *b = p->b;
    unsigned held = 0, here = 0, all = 0;

    p->highest = l->r.token;
    must (l->r.token < p->disk.meta.token_mark, "I3: above the mark");
    if (b->learning)
        return;
    for (size_t i = 0; i < leases_count (&b->leases); i++) {
        const struct lease *other = leases_at (&b->leases, i);

        held += lease_counts (other) && other->project == l->project;
        here += lease_counts (other) && other->pool == l->pool;
        all += lease_counts (other);
    }
    must (here <= pool_effective (l->pool) && all <= b->settings.max_slots,
          "I1: more than there was");
    must (held <= l->project->max, "I6: above the cap");
    must (l->r.count <= l->r.asked, "I5: more than was asked for");
}

static void check_leases (struct play *p)
{
    const struct broker *b = p->b;

    for (size_t i = 0; i < leases_count (&b->leases); i++) {
        const struct lease *l = leases_at (&b->leases, i);
        bool held = sessions_find (&b->sessions, l->r.session) != NULL;

        must (l->r.token < b->next_token, "I3: a token to come");
        must (held == (l->r.state != LEASE_LIMBO), "LIMBO and no holder");
        if (l->r.token > p->highest)
            check_new (p, l);
    }
}

static void check_waiters (const struct broker *b, int64_t now)
{
    for (size_t i = 0; i < b->waiters.count; i++) {
        const struct waiter *w = b->waiters.at[i];

        struct outlook outlook;

        outlook_of (b, w, now, &outlook);
        must (outlook.reason != REASON_NONE && outlook.position >= 1 &&
                  outlook.detail[0] &&
                  (!w->unanswered || w->t.nowait ||
                   dispatch_is_gathering (&w->t)),
              "a waiter without a reason");
        must (sessions_find (&b->sessions, w->r.session) == w->session,
              "a waiter of nobody");
    }
}

static void check_said (const struct play *p)
{
    const struct broker *b = p->b;
    size_t known = b->sessions.count + b->waiters.count + b->projects.count +
                   b->pools.count + leases_count (&b->leases);

    must (outbox_sent (p->out) <= 64 + 8 * (p->said + known) &&
              outbox_published (p->out) <= 64 + 8 * (p->said + known) &&
              outbox_lines (p->out) <= 64 + 8 * (p->said + 2 * known + 600),
          "it talks too much");
    for (size_t i = 0; i < outbox_sent (p->out); i++) {
        struct outgoing m = outbox_outgoing (p->out, i);

        must (m.to.size > 0, "to nobody");
        must_be_sayable (m.verb, m.fields, "an answer that nobody can read");
    }
    for (size_t i = 0; i < outbox_published (p->out); i++) {
        struct publication m = outbox_publication (p->out, i);

        must (strlen (m.topic) < 200, "a topic that is too long");
        must_be_sayable (m.verb, m.fields, "news that nobody can read");
    }
}

static void check (struct play *p)
{
    for (size_t i = 0; i < outbox_changed (p->out); i++) {
        struct change c = outbox_change_at (p->out, i);

        must (c.kind != CHANGE_META ||
                  ((const struct meta_record *) c.record)->token_mark >=
                      p->disk.meta.token_mark,
              "I3: the mark has fallen");
        disk_apply (&p->disk, &c);
    }
    check_sums (p);
    check_rows (p);
    check_leases (p);
    check_waiters (p->b, p->now);
    check_said (p);
    must (broker_next_deadline (p->b, p->now) >= p->now, "due in the past");
}

/* ---- batches ---- */

static void begin (struct play *p)
{
    outbox_clear (p->out);
    broker_turn (p->b, feed_byte (&p->f) % 8 != 7, p->now, p->out);
    p->said = 0;
}

static void end (struct play *p)
{
    broker_round (p->b, p->now, p->out);
    check (p);
}

static void start (struct play *p, bool learning)
{
    p->b =
        broker_create (&p->settings, &p->self, &p->disk.meta, learning, p->now);
    disk_restore (&p->disk, p->b);
    outbox_clear (p->out);
    broker_start (p->b, p->now, p->out);
    end (p);
}

/* ---- who speaks ---- */

static struct peer peer_of (unsigned i)
{
    static const enum role roles[PEERS] = {
        ROLE_PROJECT,  ROLE_PROJECT,  ROLE_PROJECT, ROLE_PROJECT,
        ROLE_STRANGER, ROLE_OBSERVER, ROLE_ADMIN,   ROLE_OPERATOR};
    struct peer peer = {.role = roles[i],
                        .uid = i == 3 ? 1001 : 1000,
                        .pid = i == 2 ? 0 : 4000 + (int32_t) i};

    peer.path.size = 5;
    peer.path.id[4] = (uint8_t) (i + 1);
    peer.path.req = i == 1 || i >= 5;
    return peer;
}

static uint64_t session_on (const struct play *p, const struct peer *peer)
{
    for (size_t i = p->b->sessions.count; i-- > 0;) {
        const struct session *s = p->b->sessions.at[i];

        if (s->path.size == peer->path.size &&
            memcmp (s->path.id, peer->path.id, peer->path.size) == 0)
            return s->r.id;
    }
    return 1;
}

static void prepare_hello (struct play *p, const struct peer *peer)
{
    struct msg_hello *h = &msg.hello;

    h->nonce = p->random + 1;
    copy_text (h->project, sizeof h->project, peer->uid == 1001 ? "b" : "a");
    copy_text (h->host, sizeof h->host, peer->pid ? "vm1" : "vm2");
    copy_text (h->machine, sizeof h->machine, peer->pid ? "m1" : "m2");
    copy_text (h->boot, sizeof h->boot, peer->pid ? "boot1" : "boot2");
    h->pid = peer->pid ? (uint64_t) peer->pid : 1;
}

/* A good message of that peer, before the feed changes it. Whatever it is,
 * "session" comes first but in HELLO, and the numbers go up. */
static void prepare (struct play *p, const struct peer *peer, enum verb verb)
{
    const struct fields *table = message_fields (verb);

    message_init (&msg, verb);
    for (unsigned i = 0; i < table->count; i++) {
        void *at = (char *) &msg.hello + table->at[i].offset;

        if (strcmp (table->at[i].key, "session") == 0)
            *(uint64_t *) at = session_on (p, peer);
        if (strcmp (table->at[i].key, "epoch") == 0)
            *(uint64_t *) at = p->disk.meta.epoch;
        if (table->at[i].kind == KIND_U64S && table->at[i].required)
            u64s_add (at, p->highest ? p->highest : 1);
    }
    if (verb == VERB_HELLO)
        prepare_hello (p, peer);
}

static enum verb some_verb (struct play *p)
{
    static const enum verb often[] = {VERB_HELLO,   VERB_BEAT,   VERB_REQUEST,
                                      VERB_REQUEST, VERB_CANCEL, VERB_RELEASE,
                                      VERB_STARTED, VERB_REAPED, VERB_SET_MAX,
                                      VERB_KILL,    VERB_STATUS, VERB_SAMPLE};
    unsigned byte = feed_byte (&p->f);

    if (byte < 12 * 16)
        return often[byte % 12];
    return (enum verb) (1 + byte % (VERB_COUNT - 1));
}

/* What he said; he may hear of others that he waits for no longer, too. */
static bool refused (const struct play *p, const struct peer *peer, size_t from)
{
    for (size_t i = from; i < outbox_sent (p->out); i++) {
        struct outgoing m = outbox_outgoing (p->out, i);
        const struct msg_error *error = m.fields;

        if (m.verb == VERB_ERROR && m.to.size == peer->path.size &&
            memcmp (m.to.id, peer->path.id, m.to.size) == 0 &&
            strcmp (error->re, verb_name (msg.verb)) == 0)
            return true;
    }
    return false;
}

/* I14: who is refused has changed nothing. */
static void say (struct play *p)
{
    struct peer peer = peer_of (feed_below (&p->f, PEERS));
    enum verb verb = some_verb (p);
    size_t sent = outbox_sent (p->out), changed = outbox_changed (p->out);

    prepare (p, &peer, verb);
    feed_fields (&p->f, verb, &msg.hello);
    broker_step (p->b, &peer, &msg, ++p->random, p->now, p->out);
    p->said++;
    must (!refused (p, &peer, sent) || outbox_changed (p->out) == changed,
          "I14: refused, and yet something changed");
}

/* ---- what else can happen ---- */

static void pass_time (struct play *p)
{
    static const int64_t steps[] = {
        1, 10, 200, 999, 5000, 15001, 30000, 60001, 76000, 3600000, 100000000};
    unsigned byte = feed_byte (&p->f);

    p->now += byte < 11 ? steps[byte] : byte * 20;
}

static void sample (struct play *p)
{
    double values[12];
    struct sample s = {.at = p->now};

    for (unsigned i = 0; i < 12; i++)
        values[i] = NAN;
    for (unsigned left = feed_below (&p->f, 6); left > 0; left--) {
        unsigned at = feed_below (&p->f, 12);

        values[at] = feed_real (&p->f);
        if (!(values[at] >= 0 && values[at] <= 1e6))
            values[at] = NAN; // the kernel says no such thing
    }
    memcpy (&s.cpu_percent, values, sizeof values); // all it has are such
    broker_observe_sample (p->b, &s, p->now, p->now, p->out);
}

static void choose_settings (struct play *p)
{
    struct settings *s = &p->settings;
    unsigned byte = feed_byte (&p->f);

    settings_default (s, 4, (uint64_t) 8 << 30);
    settings_set_max (s, 1 + byte % 12);
    s->policy = (enum policy) (byte / 12 % 3);
    s->grant_burst = byte % 3 ? 2 : 0;
    s->host_count = 1;
    copy_text (s->hosts[0].host, sizeof s->hosts[0].host, "vm2");
    s->hosts[0].max_slots = 1 + byte % 5;
    if (byte % 2)
        settings_add_project (s, "b")->max = 2;
    s->limits.load_average = byte % 5 ? 16 : NAN;
}

static void reload (struct play *p)
{
    choose_settings (p);
    broker_reload (p->b, &p->settings, p->now, p->out);
}

static void restart (struct play *p)
{
    bool lost = feed_byte (&p->f) % 4 == 3;
    struct meta_record meta = p->disk.meta;

    if (lost)
        disk_clear (&p->disk);
    p->disk.meta = meta;
    p->disk.meta.epoch++;
    broker_destroy (p->b);
    start (p, lost);
    begin (p);
}

static void observe (struct play *p, unsigned what)
{
    struct peer peer = peer_of (feed_below (&p->f, PEERS));
    uint64_t number = feed_number (&p->f);

    if (what == 0)
        broker_observe_gone (p->b, number, p->now, p->out);
    if (what == 1)
        broker_observe_proven (p->b, number, p->now, p->out);
    if (what == 2)
        broker_observe_malformed (p->b, &peer, p->now, p->out);
    if (what == 3)
        broker_observe_disk (p->b, number % 2, p->now, p->out);
    if (what == 4)
        broker_observe_refused (p->b, number % 1000000);
}

static void watch (struct play *p)
{
    static struct watch_session sessions[16];
    static struct watch_lease leases[16];
    char project[MAX_KEY_BYTES + 1];
    unsigned in_use;

    must (broker_watch_sessions (p->b, sessions, 16) <= 16, "too many");
    must (broker_watch_leases (p->b, leases, 16) <= 16, "too many");
    for (size_t i = 0; i < broker_allocation (p->b, i, project, &in_use); i++)
        must (memchr (project, 0, sizeof project) != NULL, "endless");
    must (broker_level (p->b) != NULL, "no level");
}

/* Its highest bit: the next one belongs to the same batch. */
static void act (struct play *p)
{
    unsigned byte = feed_byte (&p->f), op = byte % 16;

    if (op == 0)
        pass_time (p);
    else if (op < 10)
        say (p);
    else if (op == 10)
        sample (p);
    else if (op == 11)
        reload (p);
    else if (op == 12)
        restart (p);
    else if (op == 13)
        watch (p);
    else
        observe (p, feed_below (&p->f, 5));
    if (byte & 0x80)
        return;
    end (p);
    begin (p);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    struct play p = {.f = {data, data + size}, .now = 1000};

    p.self = (struct identity){"vm1", "m1", "boot1", "1.0"};
    p.disk.meta = (struct meta_record){.broker = "b00f", .epoch = 1};
    p.out = outbox_create ();
    choose_settings (&p);
    start (&p, false);
    begin (&p);
    for (unsigned i = 0; i < MOST_OPS && !feed_over (&p.f); i++)
        act (&p);
    end (&p);
    broker_destroy (p.b);
    outbox_destroy (p.out);
    disk_clear (&p.disk);
    return 0;
}
