/* SPDX-License-Identifier: MPL-2.0 */
/* fuzz_shim.c - a script of anything that may reach the shim's core
 *
 * A broker that says any message at any time, commands that ask anything and
 * go, keepers that report anything about any token, supervisors that end. The
 * shell's part of the contract is kept: a connection has one number and says
 * nothing after its end, packets were checked. After each event: what the shim
 * says can be said, nobody is spoken to who is not there, no slot is held that
 * was not granted to this session (R7), no tree is armed beyond the deadline
 * (R2).
 */
#include <stdio.h>
#include <string.h>

#include "core/shim_state.h"
#include "fuzz/feed.h"

enum { SEATS = 6, MOST_EVENTS = 300, MOST_HELD = 4 * MAX_HELD };

/* A place at a local socket: who sits there now, by the shell's number. */
struct seat {
    uint64_t number; // 0: nobody
    bool deaf;       // hung up: it is heard no more
};

struct play {
    struct feed f;
    struct shim *shim;
    struct actions *out;
    int64_t now;
    uint64_t random, numbers;
    struct seat clients[SEATS], keepers[SEATS];
    uint64_t nonce, seq, beat, cleaning, measuring;
    struct who watched;
    bool ended;
    size_t held_count;
    uint64_t held[MOST_HELD];
};

static struct msg msg;

/* ---- what the shim does ---- */

static struct seat *seat_of (struct seat *seats, uint64_t number)
{
    for (unsigned i = 0; i < SEATS; i++)
        if (seats[i].number == number && !seats[i].deaf)
            return &seats[i];
    return NULL;
}

static void check_send (struct play *p, const struct action *a)
{
    const struct msg_hello *hello = a->fields;
    const struct msg_request *request = a->fields;
    const struct msg_beat *beat = a->fields;

    must_be_sayable (a->verb, a->fields, "the broker cannot read it");
    if (a->verb == VERB_HELLO)
        p->nonce = hello->nonce;
    if (a->verb == VERB_REQUEST)
        p->seq = request->seq;
    if (a->verb == VERB_BEAT) {
        must (beat->session == shim_session (p->shim), "R7: not its session");
        must (beat->seq > p->beat, "an old beat");
        p->beat = beat->seq;
    }
}

static void check_packet (struct play *p, const struct action *a)
{
    const struct keeper_packet *k = a->packet;

    must (seat_of (p->keepers, a->keeper) != NULL, "to a keeper that is gone");
    must (k->magic == KEEPER_MAGIC && k->type >= KEEPER_ARM &&
              k->type <= KEEPER_REFUSE &&
              memchr (k->reason, 0, sizeof k->reason),
          "a packet that no keeper knows");
    must (k->type != KEEPER_ARM ||
              k->deadline_ms <= tenure_deadline (&p->shim->tenure),
          "R2: armed beyond the deadline");
}

static void hang_up (struct seat *seats, uint64_t number)
{
    struct seat *seat = seat_of (seats, number);

    if (seat)
        seat->deaf = true;
}

static void check_action (struct play *p, const struct action *a)
{
    must (!p->ended, "something after the end");
    switch (a->kind) {
    case ACT_SEND: check_send (p, a); break;
    case ACT_TELL: must_be_sayable (a->verb, a->fields, "no answer"); break;
    case ACT_HANG_UP: hang_up (p->clients, a->client); break;
    case ACT_KEEPER: check_packet (p, a); break;
    case ACT_HANG_UP_KEEPER: hang_up (p->keepers, a->keeper); break;
    case ACT_WATCH:
        must (a->who.pid > 0, "nobody to be watched");
        p->watched = a->who;
        break;
    case ACT_CLEAN:
        must (a->token > 0 && memchr (a->cookie, 0, sizeof a->cookie) &&
                  memchr (a->cgroup, 0, sizeof a->cgroup),
              "nothing to be cleaned");
        p->cleaning = a->token;
        break;
    case ACT_MEASURE:
        must (a->token > 0 && memchr (a->cgroup, 0, sizeof a->cgroup),
              "nothing to be measured");
        p->measuring = a->token;
        break;
    case ACT_END_SUPERVISOR: must (a->who.pid > 0, "nobody to end"); break;
    case ACT_SPAWN: must (project_key_valid (a->project), "no project"); break;
    case ACT_LOG:
        must (memchr (a->text, 0, sizeof a->text) != NULL, "an endless line");
        break;
    case ACT_END: p->ended = true; break;
    default: break;
    }
}

static bool held_before (const struct play *p, uint64_t token)
{
    for (size_t i = 0; i < p->held_count; i++)
        if (p->held[i] == token)
            return true;
    return false;
}

static bool in_grant (const struct row_granted *g, uint64_t token)
{
    return token >= g->first && token - g->first < g->count;
}

/* By the message that was just heard. */
static bool given (const struct play *p, uint64_t token)
{
    uint64_t session = shim_session (p->shim);
    struct row_granted grant = {msg.grant.seq, msg.grant.first,
                                msg.grant.count};

    if (msg.verb == VERB_GRANT)
        return msg.grant.session == session && in_grant (&grant, token);
    if (msg.verb == VERB_BEAT_OK && msg.beat_ok.session == session)
        for (uint32_t i = 0; i < msg.beat_ok.grants_count; i++)
            if (in_grant (&msg.beat_ok.grants[i], token))
                return true;
    if (msg.verb == VERB_WELCOME)
        for (uint32_t i = 0; i < msg.welcome.limbo_count; i++)
            if (msg.welcome.limbo[i].token == token)
                return true;
    return false;
}

/* R7; `heard`: msg is what the broker has just said. */
static void check_held (struct play *p, bool heard)
{
    uint64_t held[MOST_HELD];
    size_t count = shim_holds (p->shim, held, MOST_HELD);

    must (count < MOST_HELD, "it holds too much");
    for (size_t i = 0; i < count; i++)
        must (held_before (p, held[i]) || (heard && given (p, held[i])),
              "R7: holds what it was not given");
    memcpy (p->held, held, count * sizeof *held);
    p->held_count = count;
}

static void check (struct play *p, bool heard)
{
    size_t bound = 256 + 8 * MAX_HELD;

    must (actions_count (p->out) <= bound, "it does too much");
    for (size_t i = 0; i < actions_count (p->out); i++)
        check_action (p, actions_at (p->out, i));
    check_held (p, heard);
    must (!p->ended || shim_next_deadline (p->shim, p->now) == INT64_MAX,
          "due after its end");
    actions_clear (p->out);
}

static void turn (struct play *p)
{
    check (p, false);
    shim_turn (p->shim, ++p->random, p->now, p->out);
    check (p, false);
}

/* ---- the broker ---- */

static void prepare_welcome (struct play *p)
{
    struct msg_welcome *w = &msg.welcome;

    w->nonce = p->nonce ? p->nonce : 1;
    w->session = 1;
    w->epoch = 1;
    copy_text (w->broker, sizeof w->broker, "b00f");
    w->own_host = true;
    w->beat_ms = 1000;
    w->ttl_ms = 20000;
    w->notice_ms = 2000;
    w->grace_ms = 3000;
    w->kill_confirm_ms = 1000;
    w->drift_ms = 500;
    w->linger_ms = 200;
}

/* As a good broker would say it, before the feed changes it. */
static void prepare (struct play *p, enum verb verb)
{
    const struct fields *table = message_fields (verb);
    uint64_t session = shim_session (p->shim);

    message_init (&msg, verb);
    if (verb == VERB_WELCOME)
        prepare_welcome (p);
    for (unsigned i = 0; i < table->count && verb != VERB_WELCOME; i++) {
        uint64_t *at =
            (uint64_t *) (void *) ((char *) &msg.hello + table->at[i].offset);
        const char *key = table->at[i].key;

        if (strcmp (key, "session") == 0)
            *at = session;
        if (strcmp (key, "epoch") == 0)
            *at = p->shim->tenure.epoch;
        if (strcmp (key, "seq") == 0)
            *at = verb == VERB_BEAT_OK ? p->beat : p->seq;
        if (strcmp (key, "first") == 0)
            *at = 1 + p->random % 200;
        if (table->at[i].kind == KIND_U64S && table->at[i].required)
            u64s_add ((struct u64s *) (void *) at,
                      p->held_count ? p->held[p->random % p->held_count] : 1);
    }
}

static enum verb some_verb (struct play *p)
{
    static const enum verb often[] = {
        VERB_WELCOME,  VERB_BEAT_OK, VERB_GRANT, VERB_GRANT, VERB_QUEUED,
        VERB_RELEASED, VERB_STOP,    VERB_OK,    VERB_ERROR, VERB_BEAT_OK};
    unsigned byte = feed_byte (&p->f);

    if (byte < 200)
        return often[byte % 10];
    return (enum verb) (1 + byte % (VERB_COUNT - 1));
}

static void hear (struct play *p)
{
    enum verb verb = some_verb (p);

    prepare (p, verb);
    feed_fields (&p->f, verb, &msg.hello);
    if (verb == VERB_HEALTH)
        shim_on_health (p->shim, &msg.health, p->now, p->out);
    else
        shim_on_broker (p->shim, &msg, p->now, p->out);
    check (p, true);
}

/* ---- the local sockets ---- */

static struct seat *sit (struct play *p, struct seat *seats)
{
    struct seat *seat = &seats[feed_below (&p->f, SEATS)];

    if (seat->deaf || !seat->number)
        *seat = (struct seat){.number = ++p->numbers};
    return seat;
}

static void ask (struct play *p)
{
    static const enum verb often[] = {VERB_REQUEST, VERB_REQUEST, VERB_RELEASE,
                                      VERB_CANCEL,  VERB_OK,      VERB_PROGRESS,
                                      VERB_SPAWN,   VERB_REQUEST};
    struct seat *seat = sit (p, p->clients);
    unsigned byte = feed_byte (&p->f);
    enum verb verb = byte < 200 ? often[byte % 8]
                                : (enum verb) (1 + byte % (VERB_COUNT - 1));
    struct who who = {.pid = (int32_t) feed_below (&p->f, 4) * 10, .start = 1};

    message_init (&msg, verb);
    if (verb == VERB_REQUEST) {
        msg.request.seq = msg.request.count = 1;
        msg.request.supervisor = 10;
        msg.request.start = 1;
        copy_text (msg.request.project, sizeof msg.request.project, "a");
    }
    if (verb == VERB_OK)
        copy_text (msg.ok.re, sizeof msg.ok.re, "GRANT");
    feed_fields (&p->f, verb, &msg.hello);
    shim_on_client (p->shim, seat->number, who, &msg, p->now, p->out);
}

static void leave (struct play *p, struct seat *seats,
                   void (*gone) (struct shim *, uint64_t, int64_t,
                                 struct actions *))
{
    struct seat *seat = &seats[feed_below (&p->f, SEATS)];

    if (!seat->number || seat->deaf)
        return;
    seat->deaf = true;
    gone (p->shim, seat->number, p->now, p->out);
}

static void report (struct play *p)
{
    struct seat *seat = sit (p, p->keepers);
    struct keeper_packet k = {.magic = KEEPER_MAGIC};

    k.type = KEEPER_ATTACH + feed_below (&p->f, 4);
    k.token =
        p->held_count ? p->held[feed_below (&p->f, 255) % p->held_count] : 1;
    k.count = 1;
    k.pid = k.type == KEEPER_ATTACH ? (int32_t) seat->number : 500;
    shim_cookie (p->shim, k.token, k.cookie, sizeof k.cookie);
    for (unsigned left = feed_below (&p->f, 6); left > 0; left--) {
        switch (feed_below (&p->f, 8)) {
        case 0: k.token = feed_number (&p->f); break;
        case 1: k.count = (uint32_t) feed_number (&p->f); break;
        case 2: k.pid = (int32_t) feed_number (&p->f); break;
        case 3: k.pid_start = (int64_t) feed_number (&p->f); break;
        case 4: k.status = (int32_t) feed_number (&p->f); break;
        case 5: feed_text (&p->f, k.cookie, sizeof k.cookie); break;
        case 6: feed_text (&p->f, k.cgroup, sizeof k.cgroup); break;
        default: feed_text (&p->f, k.label, sizeof k.label); break;
        }
    }
    shim_on_keeper (p->shim, seat->number, &k, p->now, p->out);
}

/* ---- what else can happen ---- */

static void pass_time (struct play *p)
{
    static const int64_t steps[] = {
        0, 1, 200, 500, 999, 1000, 5000, 15500, 19500, 20001, 100000, 10000000};
    unsigned byte = feed_byte (&p->f);

    p->now += byte < 12 ? steps[byte] : byte * 10;
}

static void lose (struct play *p)
{
    struct who who = {.pid = (int32_t) feed_below (&p->f, 4) * 10, .start = 1};

    if (feed_byte (&p->f) % 2)
        who = p->watched;
    if (who.pid)
        shim_on_supervisor_gone (p->shim, who, p->now, p->out);
}

static void watch (struct play *p)
{
    struct who who = {.pid = 10 * (1 + (int32_t) feed_below (&p->f, 3)),
                      .start = 1};

    shim_watch (p->shim, who, p->now, p->out);
}

static void measure (struct play *p)
{
    struct measured measured = {feed_number (&p->f), feed_number (&p->f),
                                feed_byte (&p->f)};

    shim_on_measured (p->shim, p->measuring, &measured, p->now);
    p->measuring = 0;
}

/* Its highest bit: the next one comes before the turn. */
static void happen (struct play *p)
{
    unsigned byte = feed_byte (&p->f), what = byte % 16;

    switch (what) {
    case 0:
    case 1: pass_time (p); break;
    case 2:
    case 3:
    case 4:
    case 5: hear (p); break;
    case 6:
    case 7:
    case 8: ask (p); break;
    case 9: leave (p, p->clients, shim_on_client_gone); break;
    case 10:
    case 11: report (p); break;
    case 12: leave (p, p->keepers, shim_on_keeper_gone); break;
    case 13:
        if (p->cleaning)
            shim_on_cleaned (p->shim, p->cleaning, p->now, p->out);
        p->cleaning = 0;
        break;
    case 14:
        if (p->measuring)
            measure (p);
        if (byte & 0x40)
            lose (p);
        else
            watch (p);
        break;
    default:
        if (feed_below (&p->f, 8) == 7)
            shim_end (p->shim, p->now, p->out);
        else
            shim_on_broker_absent (p->shim, feed_byte (&p->f) & 1, p->now,
                                   p->out);
    }
    check (p, false);
    if (!(byte & 0x80))
        turn (p);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    static struct play p;
    struct shim_settings settings = {.project = "a",
                                     .host = "vm1",
                                     .machine = "m1",
                                     .boot = "boot1",
                                     .self = {900, 900},
                                     .hello_ms = 500};

    p = (struct play){.f = {data, data + size}};
    settings.own_host = feed_byte (&p.f) & 1;
    p.shim = shim_create (&settings, p.now);
    p.out = actions_create ();
    turn (&p);
    for (unsigned i = 0; i < MOST_EVENTS && !p.ended && !feed_over (&p.f); i++)
        happen (&p);
    shim_destroy (p.shim);
    actions_destroy (p.out);
    return 0;
}
