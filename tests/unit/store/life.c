/* SPDX-License-Identifier: MPL-2.0 */
#include "life.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "faulty_disk.h"

enum { DAMAGED = 255 };

/* ---- records of a number ---- */

/* Static: padding is zero, so that records can be compared whole. */
static const struct session_record *session_of (uint64_t key, unsigned number)
{
    static struct session_record r;

    r.id = key;
    r.seq_high = number;
    snprintf (r.project, sizeof r.project, "project-%u", number);
    return &r;
}

static const struct lease_record *lease_of (uint64_t key, unsigned number)
{
    static struct lease_record r;

    r.token = r.first = key;
    r.session = 1;
    snprintf (r.project, sizeof r.project, "project-%u", number);
    r.state = LEASE_ACTIVE;
    r.since = number;
    r.count = r.asked = 1;
    r.percent = 12.5;
    snprintf (r.label, sizeof r.label, "label-%u", number);
    memset (r.note, 'n', 200); // so that a page holds few
    return &r;
}

static const struct waiter_record *waiter_of (uint64_t key, unsigned number)
{
    static struct waiter_record r;

    r.number = key;
    r.session = 1;
    r.seq = number;
    r.count = r.min = 1;
    memset (r.labels, 'l', 900);
    return &r;
}

static const struct project_record *project_of (uint64_t key, unsigned number)
{
    static struct project_record r;

    r.number = key;
    snprintf (r.name, sizeof r.name, "project-%u", number);
    r.paused = r.prioritised = true;
    r.priority = number;
    snprintf (r.reason, sizeof r.reason, "reason-%u", number);
    return &r;
}

static const void *record_of (enum change_kind kind, uint64_t key,
                              unsigned number)
{
    if (kind == CHANGE_SESSION)
        return session_of (key, number);
    if (kind == CHANGE_LEASE)
        return lease_of (key, number);
    if (kind == CHANGE_PROJECT)
        return project_of (key, number);
    return waiter_of (key, number);
}

/* ---- looking ---- */

struct looker {
    struct picture *picture;
    bool strange;
};

static void see (struct looker *l, enum change_kind kind, uint64_t key,
                 uint64_t number, const void *record, size_t size)
{
    if (key == 0 || key >= LIFE_KEYS || number == 0 || number >= DAMAGED ||
        memcmp (record, record_of (kind, key, (unsigned) number), size) != 0)
        l->strange = true;
    else
        l->picture->rows[kind][key] = (uint8_t) number;
}

static void see_session (void *arg, const struct session_record *r)
{
    see (arg, CHANGE_SESSION, r->id, r->seq_high, r, sizeof *r);
}

static void see_lease (void *arg, const struct lease_record *r)
{
    see (arg, CHANGE_LEASE, r->token, (uint64_t) r->since, r, sizeof *r);
}

static void see_waiter (void *arg, const struct waiter_record *r)
{
    see (arg, CHANGE_WAITER, r->number, r->seq, r, sizeof *r);
}

static void see_project (void *arg, const struct project_record *r)
{
    see (arg, CHANGE_PROJECT, r->number, r->priority, r, sizeof *r);
}

static void see_damaged (void *arg, uint64_t token)
{
    struct looker *l = arg;

    if (token < LIFE_KEYS)
        l->picture->rows[CHANGE_LEASE][token] = DAMAGED;
}

bool life_look (struct store *s, struct picture *ret_picture,
                unsigned *ret_damaged)
{
    struct looker looker = {ret_picture, false};
    struct store_reader reader = {see_session, see_lease,   see_waiter,
                                  see_project, see_damaged, &looker};

    memset (ret_picture, 0, sizeof *ret_picture);
    ret_picture->mark = store_meta (s)->token_mark;
    ret_picture->max_slots = store_meta (s)->max_slots;
    return store_load (s, &reader, ret_damaged) == STORE_OK && !looker.strange;
}

/* ---- living ---- */

struct script {
    struct ledger *l;
    struct store *s;
    struct picture next;
    struct outbox *o;
    void (*tell) (const struct ledger *l);
};

static void tell (const struct script *c)
{
    if (c->tell)
        c->tell (c->l);
}

static void put (struct script *c, enum change_kind kind, uint64_t key)
{
    unsigned number = c->l->tried + 1;

    outbox_change (c->o, kind, key, record_of (kind, key, number));
    c->next.rows[kind][key] = (uint8_t) number;
}

static void drop (struct script *c, enum change_kind kind, uint64_t key)
{
    outbox_change (c->o, kind, key, NULL);
    c->next.rows[kind][key] = 0;
}

static void raise (struct script *c)
{
    struct meta_record meta = *store_meta (c->s);

    meta.token_mark = meta.number_mark = c->next.mark += 10;
    meta.max_slots = ++c->next.max_slots;
    outbox_change (c->o, CHANGE_META, 0, &meta);
}

static bool failed (struct script *c, enum store_error e)
{
    if (e == STORE_OK)
        return false;
    c->l->end = e;
    if (c->s)
        snprintf (c->l->sentence, sizeof c->l->sentence, "%s",
                  store_failure (c->s));
    return true;
}

/* What was put together goes to the store. */
static bool batch (struct script *c, bool flush)
{
    struct ledger *l = c->l;
    bool bad;

    if (flush)
        outbox_require_flush (c->o);
    l->pictures[l->tried + 1] = c->next;
    l->tried++;
    tell (c);
    bad = failed (c, store_commit (c->s, c->o));
    outbox_clear (c->o);
    if (bad)
        return false;
    l->done = l->tried;
    if (flush)
        l->flushed = l->done;
    tell (c);
    store_tend (c->s);
    if (store_full (c->s)) {
        l->was_full = true;
        disk_make_room ();
        store_tend (c->s);
    }
    return true;
}

static bool meet (struct script *c, const char *folder)
{
    struct ledger *l = c->l;
    const struct meta_record *meta;
    enum store_error e =
        store_open (folder, false, &c->s, l->sentence, sizeof l->sentence);

    if (failed (c, e))
        return false;
    meta = store_meta (c->s);
    l->epoch = meta->epoch;
    snprintf (l->broker, sizeof l->broker, "%s", meta->broker);
    tell (c);
    return true;
}

/* A start: what is read is exactly what was said to be done. */
static bool start (struct script *c, const char *folder)
{
    struct picture seen;
    unsigned damaged = 0;

    if (!meet (c, folder))
        return false;
    if (life_look (c->s, &seen, &damaged) && damaged == 0 &&
        memcmp (&seen, &c->next, sizeof seen) == 0)
        return true;
    c->l->end = store_failure (c->s)[0] ? STORE_IO : STORE_LOST;
    snprintf (c->l->sentence, sizeof c->l->sentence, "%s",
              store_failure (c->s));
    return false;
}

static void stop (struct script *c)
{
    bool struck = disk_struck ();

    store_close (c->s);
    if (!struck && disk_struck ())
        c->l->struck_closing = true;
    c->s = NULL;
}

static bool fill (struct script *c)
{
    raise (c);
    if (!batch (c, true))
        return false;
    put (c, CHANGE_SESSION, 1);
    put (c, CHANGE_SESSION, 2);
    put (c, CHANGE_WAITER, 7);
    put (c, CHANGE_PROJECT, 3);
    return batch (c, false);
}

static bool grant (struct script *c, uint64_t token, bool flush)
{
    drop (c, CHANGE_WAITER, token % 8);
    put (c, CHANGE_LEASE, token);
    put (c, CHANGE_LEASE, token + 1);
    put (c, CHANGE_WAITER, token % 8 + 8);
    put (c, CHANGE_PROJECT, token % 8 + 16);
    return batch (c, flush);
}

static bool release (struct script *c, uint64_t token)
{
    drop (c, CHANGE_LEASE, token);
    drop (c, CHANGE_PROJECT, 3);
    return batch (c, false);
}

static bool work (struct script *c)
{
    uint64_t token;

    if (!fill (c))
        return false;
    for (token = 8; token < 20; token += 2)
        if (!grant (c, token, token % 4 == 0) || !release (c, token))
            return false;
    raise (c);
    put (c, CHANGE_LEASE, 25);
    if (!batch (c, false)) // flushed all the same: the marks rose
        return false;
    c->l->flushed = c->l->done;
    tell (c);
    return grant (c, 26, false);
}

static void live (struct script *c, const char *folder)
{
    for (unsigned round = 0; round < 3; round++) {
        disk_set_low (round == 1);
        if (!start (c, folder) || !work (c))
            break;
        stop (c);
    }
    stop (c);
}

void life_live (const char *folder, struct ledger *l,
                void (*to_tell) (const struct ledger *l))
{
    struct script c = {.l = l, .tell = to_tell, .o = outbox_create ()};

    memset (l, 0, sizeof *l);
    c.next.mark = l->pictures[0].mark = 1;
    live (&c, folder);
    outbox_destroy (c.o);
}

/* ---- judging ---- */

static bool is_one_of (const struct ledger *l, unsigned least, unsigned most,
                       const struct picture *seen, unsigned *ret_which)
{
    for (*ret_which = least; *ret_which <= most; ++*ret_which)
        if (memcmp (&l->pictures[*ret_which], seen, sizeof *seen) == 0)
            return true;
    return false;
}

static const char *judge (struct store *s, const struct ledger *l,
                          unsigned least, unsigned most, uint64_t epoch)
{
    const struct meta_record *meta = store_meta (s);
    struct picture seen;
    unsigned damaged = 0, which;

    if (meta->epoch <= epoch)
        return "the epoch did not rise";
    if (store_learning (s))
        return "it is learning";
    if (epoch > 0 && strcmp (meta->broker, l->broker) != 0)
        return "it is another broker's";
    if (!life_look (s, &seen, &damaged) || damaged > 0)
        return "rows are damaged or strange";
    if (!is_one_of (l, least, most, &seen, &which))
        return "what is there is no state that may be there";
    return NULL;
}

/* It works: a change is kept. */
static const char *judge_use (const char *folder, struct store *s, char *text,
                              size_t size)
{
    struct picture seen;
    struct outbox *o = outbox_create ();
    unsigned damaged;
    enum store_error e;

    outbox_change (o, CHANGE_LEASE, 31, lease_of (31, 77));
    e = store_commit (s, o);
    outbox_destroy (o);
    store_close (s);
    if (e != STORE_OK)
        return "it cannot be written";
    if (store_open (folder, false, &s, text, size) != STORE_OK)
        return "it does not open a second time";
    if (!life_look (s, &seen, &damaged) || seen.rows[CHANGE_LEASE][31] != 77) {
        store_close (s);
        return "a change was not kept";
    }
    store_close (s);
    return NULL;
}

const char *life_judge (const char *folder, const struct ledger *l,
                        unsigned least, unsigned most, uint64_t epoch,
                        char *ret_sentence, size_t size)
{
    struct store *s = NULL;
    const char *wrong;

    ret_sentence[0] = 0;
    if (store_open (folder, false, &s, ret_sentence, size) != STORE_OK)
        return "it does not open";
    wrong = judge (s, l, least, most, epoch);
    if (!wrong)
        return judge_use (folder, s, ret_sentence, size);
    store_close (s);
    return wrong;
}
