/* SPDX-License-Identifier: MPL-2.0 */
/* fuzz_restore.c - rows that say anything, and the broker that starts from them
 *
 * What a checksum does not catch: rows of another version, of a hand that
 * edited them, of a bug. Every column takes any value; what rows_sound () lets
 * pass is restored, as the store does it. The broker starts, tells its state,
 * and afterwards there is a row for what it knows and none for what it does
 * not, tokens rise above whatever was there, and everything that it says can be
 * read.
 */
#include <math.h>
#include <string.h>

#include "core/memory.h"
#include "core/state.h"
#include "fuzz/feed.h"
#include "rows.h"
#include "simulation/disk.h"

enum { MOST_ROWS = 64 };

struct play {
    struct feed f;
    struct broker *b;
    struct outbox *out;
    struct disk disk;
    uint64_t highest; // token in a row
};

static struct msg msg;

/* ---- rows ---- */

static void fill_column (struct feed *f, const struct column *c, void *record)
{
    char *at = (char *) record + c->offset;
    double real;

    if (c->type == COLUMN_TEXT)
        feed_text (f, at, c->size);
    else if (c->type != COLUMN_F64)
        rows_set (c, record, (int64_t) feed_number (f)); // or it is refused
    else {
        real = feed_real (f);
        memcpy (at, &real, sizeof real);
    }
}

static void fill_row (struct feed *f, const struct rows *rows, void *record)
{
    for (unsigned left = feed_below (f, 12); left > 0; left--)
        fill_column (f, &rows->columns[feed_below (f, rows->count)], record);
}

static void add (struct play *p, enum change_kind kind, uint64_t key,
                 const void *record)
{
    struct change c = {.kind = kind, .key = key, .record = record};

    disk_apply (&p->disk, &c);
}

/* There is room above it for those to come. */
static uint64_t some_key (struct feed *f)
{
    return 1 + feed_number (f) % ((uint64_t) 1 << 62);
}

static void add_session (struct play *p)
{
    struct session_record r;

    memset (&r, 0, sizeof r);
    r.id = some_key (&p->f);
    copy_text (r.project, sizeof r.project, "a");
    copy_text (r.host, sizeof r.host, "vm1");
    copy_text (r.machine, sizeof r.machine, "m1");
    copy_text (r.boot, sizeof r.boot, "boot1");
    r.own = true;
    fill_row (&p->f, &rows_session, &r);
    if (rows_sound (&rows_session, &r))
        add (p, CHANGE_SESSION, r.id, &r);
}

static void add_lease (struct play *p)
{
    struct lease_record r;

    memset (&r, 0, sizeof r);
    r.token = r.first = some_key (&p->f);
    r.session = r.seq = r.count = r.asked = 1;
    r.percent = NAN;
    r.state = LEASE_ACTIVE;
    r.own = true;
    copy_text (r.project, sizeof r.project, "a");
    copy_text (r.host, sizeof r.host, "vm1");
    copy_text (r.boot, sizeof r.boot, "boot1");
    fill_row (&p->f, &rows_lease, &r);
    if (rows_sound (&rows_lease, &r))
        add (p, CHANGE_LEASE, r.token, &r);
}

static void add_waiter (struct play *p)
{
    struct waiter_record r;

    memset (&r, 0, sizeof r);
    r.number = r.seq = some_key (&p->f);
    r.session = r.count = r.min = 1;
    fill_row (&p->f, &rows_waiter, &r);
    if (rows_sound (&rows_waiter, &r))
        add (p, CHANGE_WAITER, r.number, &r);
}

static void add_project (struct play *p)
{
    struct project_record r;

    memset (&r, 0, sizeof r);
    r.number = some_key (&p->f);
    r.paused = true;
    copy_text (r.name, sizeof r.name, "a");
    fill_row (&p->f, &rows_project, &r);
    if (rows_sound (&rows_project, &r))
        add (p, CHANGE_PROJECT, r.number, &r);
}

static void add_meta (struct play *p)
{
    struct meta_row r;

    memset (&r, 0, sizeof r);
    r.meta = p->disk.meta;
    fill_row (&p->f, &rows_meta, &r);
    p->disk.meta = r.meta;
    p->disk.meta.epoch = 1 + r.meta.epoch % UINT32_MAX; // raised by the store
    p->disk.meta.token_mark %= (uint64_t) 1 << 62;
    p->disk.meta.number_mark %= (uint64_t) 1 << 62;
    p->disk.meta.max_slots %= MAX_SLOTS + 1;
    p->disk.meta.config_max_slots %= MAX_SLOTS + 1;
}

/* Each row by its own byte; the last kind stands for the rows' end. */
static void write_rows (struct play *p)
{
    for (unsigned i = 0; i < MOST_ROWS && !feed_over (&p->f); i++) {
        unsigned kind = feed_byte (&p->f);

        switch (kind % 8) {
        case 0:
        case 1: add_session (p); break;
        case 2:
        case 3:
        case 4: add_lease (p); break;
        case 5: add_waiter (p); break;
        case 6: kind < 128 ? add_meta (p) : add_project (p); break;
        default: return;
        }
    }
}

/* ---- the broker ---- */

/* The same keys, which come first in a row. The rest may be better known than
 * written: a time to come, a request that its session had not noted. */
static void check_rows (const void *rows, size_t count,
                        const struct table *known, size_t size)
{
    must (count == known->count, "another number of rows");
    for (size_t i = 0; i < count; i++)
        must (memcmp ((const char *) rows + i * size, known->at[i],
                      sizeof (uint64_t)) == 0,
              "a row of nothing");
}

/* Of what people said of projects there is a row, and of nothing else. */
static void check_said (const struct play *p)
{
    const struct projects *known = &p->b->projects;
    size_t said = 0;

    for (size_t i = 0; i < known->count; i++) {
        const struct project *project = known->at[i];
        const struct project_record *row =
            disk_project (&p->disk, project->name);

        said += project->said.number != 0;
        must ((row != NULL) == (project->said.number != 0) &&
                  (!row || row->number == project->said.number),
              "what was said of a project is not what is stored");
        must (project->priority <= MAX_PRIORITY, "an impossible priority");
    }
    must (said == p->disk.project_count, "a word about no project");
}

static void check (struct play *p)
{
    struct disk *d = &p->disk;

    for (size_t i = 0; i < outbox_changed (p->out); i++) {
        struct change c = outbox_change_at (p->out, i);

        disk_apply (d, &c);
    }
    for (size_t i = 0; i < outbox_sent (p->out); i++) {
        struct outgoing m = outbox_outgoing (p->out, i);

        must_be_sayable (m.verb, m.fields, "an answer that nobody can read");
    }
    for (size_t i = 0; i < outbox_published (p->out); i++) {
        struct publication m = outbox_publication (p->out, i);

        must_be_sayable (m.verb, m.fields, "news that nobody can read");
    }
    check_rows (d->sessions, d->session_count, &p->b->sessions,
                sizeof *d->sessions);
    check_rows (d->leases, d->lease_count, &p->b->leases.by_token,
                sizeof *d->leases);
    check_rows (d->waiters, d->waiter_count, &p->b->waiters,
                sizeof *d->waiters);
    check_said (p);
    must (p->b->next_token > p->highest, "I3: a token would come again");
    outbox_clear (p->out);
}

static void remember_highest (struct play *p)
{
    const struct disk *d = &p->disk;

    if (d->lease_count)
        p->highest = d->leases[d->lease_count - 1].token;
}

/* A row that could not be read stays where it is until somebody says what is
 * to become of it. */
static void restore_damaged (struct play *p, uint64_t token)
{
    if (!token || disk_lease (&p->disk, token))
        return;
    broker_restore_damaged (p->b, token);
    add (p, CHANGE_LEASE, token, &leases_find (&p->b->leases, token)->r);
}

static void start (struct play *p, bool learning, uint64_t damaged, int64_t now)
{
    struct settings settings;
    struct identity self = {"vm1", "m1", "boot1", "1.0"};

    settings_default (&settings, 4, (uint64_t) 8 << 30);
    settings_set_max (&settings, 6);
    p->b = broker_create (&settings, &self, &p->disk.meta, learning, now);
    disk_restore (&p->disk, p->b);
    restore_damaged (p, damaged);
    broker_start (p->b, now, p->out);
}

static void say (struct play *p, enum verb verb, enum role role, int64_t now)
{
    struct peer peer = {
        .path = {.size = 1, .id = {1}}, .role = role, .uid = 0, .pid = 4000};

    message_init (&msg, verb);
    if (verb == VERB_HELLO) {
        msg.hello.nonce = 77;
        msg.hello.pid = 4000;
        msg.hello.successor = true;
        copy_text (msg.hello.project, sizeof msg.hello.project, "a");
        copy_text (msg.hello.host, sizeof msg.hello.host, "vm1");
        copy_text (msg.hello.machine, sizeof msg.hello.machine, "m1");
        copy_text (msg.hello.boot, sizeof msg.hello.boot, "boot1");
    }
    broker_step (p->b, &peer, &msg, 991, now, p->out);
}

/* A successor of whoever held it comes, somebody asks for the state, and in
 * the end all that time takes back is taken back. */
static void live (struct play *p, int64_t now)
{
    broker_turn (p->b, true, now, p->out);
    say (p, VERB_HELLO, ROLE_PROJECT, now);
    say (p, VERB_STATUS, ROLE_ADMIN, now);
    broker_round (p->b, now, p->out);
    check (p);
    for (unsigned i = 0; i < 4; i++) {
        now += 40000;
        broker_turn (p->b, true, now, p->out);
        broker_turn (p->b, true, now, p->out);
        broker_round (p->b, now, p->out);
        check (p);
    }
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    struct play p = {.f = {data, data + size}};
    unsigned how = feed_byte (&p.f);
    int64_t now = 1000;

    p.disk.meta = (struct meta_record){.broker = "b00f", .epoch = 2};
    p.out = outbox_create ();
    write_rows (&p);
    p.disk.meta.broker[sizeof p.disk.meta.broker - 1] = 0;
    remember_highest (&p);
    start (&p, how & 1, how & 2 ? 1 + how / 4 : 0, now);
    check (&p);
    live (&p, now);
    broker_destroy (p.b);
    outbox_destroy (p.out);
    disk_clear (&p.disk);
    return 0;
}
