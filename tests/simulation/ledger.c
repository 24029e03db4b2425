/* SPDX-License-Identifier: MPL-2.0 */
#include "simulation/ledger.h"

#include <stdio.h>
#include <string.h>

#include "core/leases.h"
#include "core/waitq.h"
#include "core/policy.h"
#include "simulation/model.h"
#include "simulation/weather.h"

/* What a row is about: a, b are of the enumerations in brackets. */
enum kind_of_row {
    LEASE,    // its state was a (lease_state; NONE: not there), and is b
    SAID,     // the broker sent a (verb)
    AGREED,   // OK to a (verb)
    REFUSED,  // ERROR b (err) to a (verb)
    WAITED,   // QUEUED, because of a (reason), under b (policy)
    MODELLED, // the model's rounds came to a (model_event)
    WORD,     // the journal said words[a]
    KINDS
};
enum { MOST_A = 64, MOST_B = 32 };
_Static_assert((int) VERB_COUNT <= (int) MOST_A, "too small");
_Static_assert((int) ERR_COUNT < (int) MOST_B, "too small");

static uint64_t counts[KINDS][MOST_A][MOST_B];
static uint64_t faults[MAX_FAULTS];
static enum policy in_force;

/* How lines of the journal begin, with the reason that they name. */
static const char *const words[] = {"release released",
                                    "release reaped",
                                    "release bye",
                                    "release unnamed",
                                    "release proven",
                                    "release lock_delay",
                                    "release rebooted",
                                    "release killed",
                                    "release cancelled",
                                    "release forced",
                                    "release returned",
                                    "lost gone",
                                    "lost silent",
                                    "lost succeeded",
                                    "lost rebooted",
                                    "lost malformed",
                                    "hello",
                                    "suspect",
                                    "heard",
                                    "bye",
                                    "stall",
                                    "start",
                                    "adopt",
                                    "learned",
                                    "disk",
                                    "contest",
                                    "host_conflict",
                                    "above_mark",
                                    "set_max",
                                    "set_policy",
                                    "set_priority",
                                    "pause",
                                    "resume",
                                    "reload",
                                    "dropped",
                                    "cancel",
                                    "park",
                                    "kill",
                                    "victim",
                                    "ended",
                                    "settled",
                                    "unkillable",
                                    "outside",
                                    "helpless"};
enum { WORDS = sizeof words / sizeof *words };

/* ---- counting ---- */

/* As the batch has left it so far, else as it was. */
static enum lease_state state_before (const struct disk *before,
                                      const struct outbox *out, size_t i)
{
    uint64_t token = outbox_change_at (out, i).key;
    const struct lease_record *r = disk_lease (before, token);

    for (size_t n = i; n-- > 0;) {
        struct change c = outbox_change_at (out, n);
        const struct lease_record *changed = c.record;

        if (c.kind == CHANGE_LEASE && c.key == token)
            return c.deleted ? LEASE_NONE : changed->state;
    }
    return r ? r->state : LEASE_NONE;
}

static void count_change (const struct disk *before, const struct outbox *out,
                          size_t i)
{
    struct change c = outbox_change_at (out, i);
    const struct lease_record *is = c.record;

    if (c.kind == CHANGE_LEASE)
        counts[LEASE][state_before (before, out, i)]
              [c.deleted ? LEASE_NONE : is->state]++;
}

static enum reason reason_of (const char *name)
{
    enum reason r = REASON_PACING;

    while (r != REASON_NONE && strcmp (reason_name (r), name) != 0)
        r--;
    return r;
}

static void count_sent (const struct outgoing *o)
{
    const struct msg_error *error = o->fields;
    const struct msg_ok *ok = o->fields;
    const struct msg_queued *queued = o->fields;

    counts[SAID][o->verb][0]++;
    if (o->verb == VERB_ERROR)
        counts[REFUSED][verb_of_name (error->re, strlen (error->re))]
              [err_of_name (error->error)]++;
    else if (o->verb == VERB_OK)
        counts[AGREED][verb_of_name (ok->re, strlen (ok->re))][0]++;
    else if (o->verb == VERB_QUEUED)
        counts[WAITED][reason_of (queued->reason)][in_force]++;
}

static bool begins (const char *line, const char *word)
{
    size_t length = strcspn (word, " ");
    const char *why = word[length] ? word + length + 1 : NULL;
    const char *reason;

    if (strncmp (line, word, length) != 0 || line[length] != ' ')
        return false;
    reason = why ? strstr (line, " reason=") : NULL;
    return !why || (reason && strcmp (reason + strlen (" reason="), why) == 0);
}

static void count_line (const char *line)
{
    for (size_t i = 0; i < WORDS; i++)
        counts[WORD][i][0] += *line == *words[i] && begins (line, words[i]);
}

void ledger_batch (const struct disk *before, const struct outbox *out)
{
    enum journal_level level;

    for (size_t i = 0; i < outbox_changed (out); i++)
        count_change (before, out, i);
    for (size_t i = 0; i < outbox_sent (out); i++) {
        struct outgoing o = outbox_outgoing (out, i);

        count_sent (&o);
    }
    for (size_t i = 0; i < outbox_lines (out); i++)
        count_line (outbox_line (out, i, &level));
}

void ledger_policy (enum policy policy)
{
    in_force = policy;
}

void ledger_fault (size_t i)
{
    faults[i]++;
}

/* ---- what there is to be reached ---- */

static const char polite[] = "no shim or person here says anything invalid: "
                             "unit tests, e2e/test_bad_input";
static const char alone[] = "one uid: unit tests, the authorisation matrix";
static const char rare_disk[] = "seldom: people say it while the disk is full";
static const char model_test[] = "seldom here: simulation/test_model";
static const char unknown[] = "seldom: of a project that nothing is known of";
static const char bounded[] = "the world is too small: unit tests";

#define WAITS(policy)                                                          \
    {WAITED, REASON_PAUSED, policy, NULL},                                     \
        {WAITED, REASON_DISK, policy, NULL},                                   \
        {WAITED, REASON_LEARNING, policy, NULL},                               \
        {WAITED, REASON_TURN, policy, NULL},                                   \
        {WAITED, REASON_CAP, policy, NULL},                                    \
        {WAITED, REASON_HEALTH, policy, NULL},                                 \
        {WAITED, REASON_SLOTS, policy, NULL},                                  \
    {                                                                          \
        WAITED, REASON_PACING, policy, NULL                                    \
    }

static const struct goal {
    enum kind_of_row kind;
    int a, b;
    const char *excuse;
} goals[] = {
    {LEASE, LEASE_NONE, LEASE_ACTIVE, NULL},
    {LEASE, LEASE_ACTIVE, LEASE_ACTIVE, NULL},
    {LEASE, LEASE_ACTIVE, LEASE_KILLING, NULL},
    {LEASE, LEASE_ACTIVE, LEASE_LIMBO, NULL},
    {LEASE, LEASE_ACTIVE, LEASE_NONE, NULL},
    {LEASE, LEASE_KILLING, LEASE_KILLING, NULL},
    {LEASE, LEASE_KILLING, LEASE_LIMBO, NULL},
    {LEASE, LEASE_KILLING, LEASE_NONE, NULL},
    {LEASE, LEASE_LIMBO, LEASE_NONE, NULL},
    {LEASE, LEASE_ACTIVE, LEASE_PARKED, NULL},
    {LEASE, LEASE_PARKED, LEASE_PARKED, NULL},
    {LEASE, LEASE_PARKED, LEASE_KILLING, NULL},
    {LEASE, LEASE_PARKED, LEASE_LIMBO, NULL},
    {LEASE, LEASE_PARKED, LEASE_NONE, NULL},
    {SAID, VERB_WELCOME, 0, NULL},
    {SAID, VERB_BEAT_OK, 0, NULL},
    {SAID, VERB_GRANT, 0, NULL},
    {SAID, VERB_QUEUED, 0, NULL},
    {SAID, VERB_RELEASED, 0, NULL},
    {SAID, VERB_STOP, 0, NULL},
    {SAID, VERB_OK, 0, NULL},
    {SAID, VERB_ERROR, 0, NULL},
    {SAID, VERB_KILL_OK, 0, NULL},
    {SAID, VERB_SET_MAX_OK, 0, NULL},
    {SAID, VERB_STATUS_OK, 0, NULL},
    {SAID, VERB_POLICY_OK, 0, NULL},
    {SAID, VERB_PRIORITY_OK, 0, NULL},
    {SAID, VERB_RELIEVE_OK, 0, NULL},
    {SAID, VERB_RECLAIM, 0, NULL},
    {AGREED, VERB_STARTED, 0, NULL},
    {AGREED, VERB_CANCEL, 0, NULL},
    {AGREED, VERB_PARK, 0, NULL},
    {AGREED, VERB_PAUSE, 0, NULL},
    {AGREED, VERB_RESUME, 0, NULL},
    {AGREED, VERB_BYE, 0, NULL},
    {AGREED, VERB_SAMPLE, 0, NULL},
    {AGREED, VERB_FOOTPRINT, 0, NULL},
    {AGREED, VERB_PROGRESS, 0, "nobody here says how far he is: unit tests"},
    {REFUSED, VERB_HELLO, ERR_EXPIRED, NULL},
    {REFUSED, VERB_HELLO, ERR_HOST_CONFLICT, NULL},
    {REFUSED, VERB_HELLO, ERR_CONFLICT, "every shim here holds its lock"},
    {REFUSED, VERB_HELLO, ERR_NOT_FOUND,
     "no state here is older than its marker"},
    {REFUSED, VERB_HELLO, ERR_BAD_ARG, polite},
    {REFUSED, VERB_HELLO, ERR_NOT_ALLOWED, alone},
    {REFUSED, VERB_HELLO, ERR_RATE, bounded},
    {REFUSED, VERB_BEAT, ERR_NO_SESSION, NULL},
    {REFUSED, VERB_BEAT, ERR_NOT_ALLOWED, alone},
    {REFUSED, VERB_REQUEST, ERR_NO_SESSION, NULL},
    {REFUSED, VERB_REQUEST, ERR_EXPIRED, NULL},
    {REFUSED, VERB_REQUEST, ERR_EXCEEDS_MAX, NULL},
    {REFUSED, VERB_REQUEST, ERR_CONFLICT,
     "no shim asks twice with one seq: unit tests"},
    {REFUSED, VERB_REQUEST, ERR_NOT_NOW, NULL},
    {REFUSED, VERB_REQUEST, ERR_QUEUE_FULL, bounded},
    {REFUSED, VERB_REQUEST, ERR_BAD_ARG, polite},
    {REFUSED, VERB_REQUEST, ERR_NOT_ALLOWED, alone},
    {REFUSED, VERB_CANCEL, ERR_NO_SESSION, NULL},
    {REFUSED, VERB_CANCEL, ERR_EXPIRED, NULL},
    {REFUSED, VERB_CANCEL, ERR_NOT_FOUND, NULL},
    {REFUSED, VERB_CANCEL, ERR_BAD_ARG, polite},
    {REFUSED, VERB_RELEASE, ERR_NO_SESSION, NULL},
    {REFUSED, VERB_RELEASE, ERR_NOT_ALLOWED,
     "no command here names another's token: unit tests"},
    {REFUSED, VERB_RELEASE, ERR_BAD_ARG, polite},
    {REFUSED, VERB_STARTED, ERR_NO_SESSION, NULL},
    {REFUSED, VERB_STARTED, ERR_EXPIRED, NULL},
    {REFUSED, VERB_STARTED, ERR_NOT_ALLOWED,
     "seldom: what a predecessor was granted comes late, and is used"},
    {REFUSED, VERB_STARTED, ERR_NOT_FOUND, polite},
    {REFUSED, VERB_STARTED, ERR_BAD_ARG, polite},
    {REFUSED, VERB_PARK, ERR_NOT_NOW, NULL},
    {REFUSED, VERB_PARK, ERR_NO_SESSION, NULL},
    {REFUSED, VERB_PARK, ERR_EXPIRED, NULL},
    {REFUSED, VERB_PARK, ERR_NOT_ALLOWED, alone},
    {REFUSED, VERB_PARK, ERR_NOT_FOUND, polite},
    {REFUSED, VERB_PARK, ERR_BAD_ARG, polite},
    {REFUSED, VERB_REAPED, ERR_NO_SESSION, NULL},
    {REFUSED, VERB_REAPED, ERR_NOT_ALLOWED,
     "seldom: of what another session of its project holds by then"},
    {REFUSED, VERB_REAPED, ERR_BAD_ARG, polite},
    {REFUSED, VERB_PROGRESS, ERR_NOT_FOUND, polite},
    {REFUSED, VERB_SAMPLE, ERR_NO_SESSION, NULL},
    {REFUSED, VERB_FOOTPRINT, ERR_NO_SESSION, NULL},
    {REFUSED, VERB_BYE, ERR_NO_SESSION, NULL},
    {REFUSED, VERB_KILL, ERR_NOT_FOUND,
     "seldom: of a project that nothing is known of"},
    {REFUSED, VERB_KILL, ERR_CONFLICT, polite},
    {REFUSED, VERB_RELIEVE, ERR_NOT_FOUND, NULL},
    {REFUSED, VERB_SET_MAX, ERR_DISK, NULL},
    {REFUSED, VERB_SET_MAX, ERR_BAD_ARG, polite},
    {REFUSED, VERB_SET_POLICY, ERR_DISK, rare_disk},
    {REFUSED, VERB_SET_POLICY, ERR_BAD_ARG, polite},
    {REFUSED, VERB_SET_PRIORITY, ERR_DISK, rare_disk},
    {REFUSED, VERB_SET_PRIORITY, ERR_NOT_FOUND, unknown},
    {REFUSED, VERB_PAUSE, ERR_DISK, rare_disk},
    {REFUSED, VERB_PAUSE, ERR_NOT_FOUND, unknown},
    {REFUSED, VERB_RESUME, ERR_DISK, rare_disk},
    {REFUSED, VERB_RESUME, ERR_NOT_FOUND, unknown},
    WAITS (POLICY_FIFO),
    WAITS (POLICY_FAIR),
    WAITS (POLICY_PRIORITY),
    {MODELLED, MODEL_GATHERED, 0, NULL},
    {MODELLED, MODEL_PACED, 0, NULL},
    {MODELLED, MODEL_PART, 0, NULL},
    {MODELLED, MODEL_BORROWED, 0, model_test},
    {MODELLED, MODEL_TURN, 0, NULL},
    {MODELLED, MODEL_TAKEN, 0, NULL},
    {MODELLED, MODEL_THOUGHT_AGAIN, 0, model_test},
};
enum { GOALS = sizeof goals / sizeof *goals };

static const char *excuse_of_word (size_t i)
{
    static const struct {
        const char *word, *excuse;
    } excused[] = {
        {"lost malformed", polite},
        {"release bye", "every shim here gives back before it says BYE"},
        {"release forced", "seldom: only where nobody else can free a slot"},
        {"release unnamed", "seldom: no shim here forgets what it holds"},
        {"unkillable", "SIGKILL ends every tree here in time: unit tests"},
        {"above_mark", "no state here is older than its marker: unit tests"},
    };

    for (size_t n = 0; n < sizeof excused / sizeof *excused; n++) {
        if (strcmp (words[i], excused[n].word) == 0)
            return excused[n].excuse;
    }
    return NULL;
}

static bool is_goal (enum kind_of_row kind, int a, int b)
{
    for (size_t i = 0; i < GOALS; i++) {
        if (goals[i].kind == kind && goals[i].a == a && goals[i].b == b)
            return true;
    }
    return false;
}

/* ---- the page ---- */

static void name_row (enum kind_of_row kind, int a, int b, char *name,
                      size_t size)
{
    switch (kind) {
    case LEASE:
        snprintf (name, size, "lease %s -> %s",
                  lease_state_name ((enum lease_state) a),
                  lease_state_name ((enum lease_state) b));
        break;
    case SAID: snprintf (name, size, "said %s", verb_name (a)); break;
    case AGREED: snprintf (name, size, "answer %s OK", verb_name (a)); break;
    case REFUSED:
        snprintf (name, size, "answer %s %s", verb_name (a), err_name (b));
        break;
    case WAITED:
        snprintf (name, size, "reason %s, %s", reason_name (a),
                  policy_name (b));
        break;
    case MODELLED:
        snprintf (name, size, "model %s", model_event_name (a));
        break;
    case WORD: snprintf (name, size, "journal %s", words[a]); break;
    case KINDS: break;
    }
}

static struct ledger_row row_of (enum kind_of_row kind, int a, int b,
                                 const char *excuse)
{
    struct ledger_row r = {.excuse = excuse,
                           .count = kind == MODELLED ? model_events[a]
                                                     : counts[kind][a][b]};

    name_row (kind, a, b, r.name, sizeof r.name);
    return r;
}

/* The n-th that was reached and is no goal. */
static bool unlisted (size_t n, struct ledger_row *ret_row)
{
    for (int i = 0; i < KINDS * MOST_A * MOST_B; i++) {
        int kind = i / MOST_B / MOST_A, a = i / MOST_B % MOST_A, b = i % MOST_B;
        char name[64];

        if (kind == WORD || !counts[kind][a][b] || is_goal (kind, a, b) ||
            n-- > 0)
            continue;
        *ret_row = row_of (kind, a, b, NULL);
        copy_text (name, sizeof name, ret_row->name);
        snprintf (ret_row->name, sizeof ret_row->name, "not listed: %s", name);
        return true;
    }
    return false;
}

bool ledger_at (size_t i, struct ledger_row *ret_row)
{
    if (i < GOALS) {
        *ret_row =
            row_of (goals[i].kind, goals[i].a, goals[i].b, goals[i].excuse);
        return true;
    }
    i -= GOALS;
    if (i < WORDS) {
        *ret_row = row_of (WORD, (int) i, 0, excuse_of_word (i));
        return true;
    }
    i -= WORDS;
    if (i < fault_count ()) {
        *ret_row = (struct ledger_row){.count = faults[i]};
        snprintf (ret_row->name, sizeof ret_row->name, "fault %s",
                  fault_at (i)->name);
        return true;
    }
    return unlisted (i - fault_count (), ret_row);
}

bool ledger_is_short (const struct ledger_row *row)
{
    if (strncmp (row->name, "not listed", 10) == 0)
        return true;
    return !row->excuse && row->count < LEDGER_ENOUGH;
}
