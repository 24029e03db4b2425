/* SPDX-License-Identifier: MPL-2.0 */
#include "rows.h"

#include <math.h>
#include <string.h>

#include "core/settings.h"

#define FIELD(type_, record, name_, field)                                     \
    {                                                                          \
        name_, COLUMN_##type_, offsetof (struct record, field),                \
            sizeof (((struct record *) 0)->field)                              \
    }
#define COUNT(array) (sizeof (array) / sizeof *(array))

#define S(type, field) FIELD (type, session_record, #field, field)
static const struct column session_columns[] = {
    S (U64, nonce),
    S (TEXT, project),
    S (TEXT, display),
    S (TEXT, host),
    S (TEXT, machine),
    S (TEXT, boot),
    S (U32, uid),
    FIELD (I32, session_record, "shim_pid", shim.pid),
    FIELD (I64, session_record, "shim_start", shim.start),
    S (BOOL, own),
    S (U32, cores),
    S (U64, memory_bytes),
    S (U64, seq_high),
    S (U64, seq_mask),
    S (I64, ttl_ms),
};
enum { LATE_OF_SESSION = 1 };

#define L(type, field) FIELD (type, lease_record, #field, field)
static const struct column lease_columns[] = {
    L (U64, session),
    L (TEXT, project),
    L (TEXT, host),
    L (TEXT, machine),
    L (TEXT, boot),
    L (U32, uid),
    L (BOOL, own),
    L (I32, state),
    L (I64, since),
    L (I64, granted),
    L (I64, waited_ms),
    L (U64, seq),
    L (U64, first),
    L (U32, count),
    L (U32, asked),
    L (U64, digest),
    L (BOOL, acked),
    L (BOOL, run),
    L (BOOL, bound),
    L (BOOL, preemptible),
    L (BOOL, tree),
    L (U64, told),
    L (U64, cookie),
    FIELD (I32, lease_record, "supervisor_pid", supervisor.pid),
    FIELD (I64, lease_record, "supervisor_start", supervisor.start),
    FIELD (I32, lease_record, "agent_pid", agent.pid),
    FIELD (I64, lease_record, "agent_start", agent.start),
    L (TEXT, label),
    L (TEXT, cgroup),
    L (U32, phase),
    L (U32, phases),
    L (F64, percent),
    L (BOOL, validating),
    L (TEXT, note),
    L (I64, eta_low_ms),
    L (I64, eta_high_ms),
};
enum { LATE_OF_LEASE = 2 };

#define W(type, field) FIELD (type, waiter_record, #field, field)
static const struct column waiter_columns[] = {
    W (U64, session),
    W (U64, seq),
    W (U32, count),
    FIELD (U32, waiter_record, "least", min),
    W (U64, digest),
    FIELD (I32, waiter_record, "supervisor_pid", supervisor.pid),
    FIELD (I64, waiter_record, "supervisor_start", supervisor.start),
    W (U32, priority),
    W (BOOL, run),
    W (BOOL, bound),
    W (BOOL, preemptible),
    W (I64, since),
    W (TEXT, labels),
    W (U64, parked),
};
enum { LATE_OF_WAITER = 1 };

#define M(type, field) FIELD (type, meta_row, #field, meta.field)
static const struct column meta_columns[] = {
    M (TEXT, broker),
    M (U64, epoch),
    M (U64, token_mark),
    M (U64, number_mark),
    M (U32, max_slots),
    M (U32, config_max_slots),
    FIELD (BOOL, meta_row, "learning", learning),
    FIELD (U64, meta_row, "commits", commits),
    M (U32, policy),
    M (U32, config_policy),
    M (I64, ttl_ms),
};
enum { LATE_OF_META = 3 };

#define P(type, field) FIELD (type, project_record, #field, field)
static const struct column project_columns[] = {
    P (TEXT, name),        P (BOOL, paused),  P (TEXT, reason),
    P (BOOL, prioritised), P (U32, priority), P (U32, config_priority),
};

#define ROWS(record, name, key, key_field, columns, late)                      \
    {                                                                          \
        name, key, offsetof (struct record, key_field), false,                 \
            sizeof (struct record), COUNT (columns), COUNT (columns) - (late), \
            columns                                                            \
    }
const struct rows rows_session = ROWS (session_record, "session", "id", id,
                                       session_columns, LATE_OF_SESSION);
const struct rows rows_lease =
    ROWS (lease_record, "lease", "token", token, lease_columns, LATE_OF_LEASE);
const struct rows rows_waiter = ROWS (waiter_record, "waiter", "number", number,
                                      waiter_columns, LATE_OF_WAITER);
const struct rows rows_project =
    ROWS (project_record, "project", "number", number, project_columns,
          COUNT (project_columns));
const struct rows rows_meta = {"meta",
                               "id",
                               0,
                               true,
                               sizeof (struct meta_row),
                               COUNT (meta_columns),
                               COUNT (meta_columns) - LATE_OF_META,
                               meta_columns};

static const void *field (const struct column *c, const void *record)
{
    return (const char *) record + c->offset;
}

/* Field by its type: an enum of the core is stored as the int it is. */
int64_t rows_get (const struct column *c, const void *record)
{
    const void *at = field (c, record);

    switch (c->type) {
    case COLUMN_U64: return (int64_t) * (const uint64_t *) at;
    case COLUMN_U32: return *(const uint32_t *) at;
    case COLUMN_I64: return *(const int64_t *) at;
    case COLUMN_I32: return *(const int32_t *) at;
    case COLUMN_BOOL: return *(const bool *) at;
    case COLUMN_F64:
    case COLUMN_TEXT: break;
    }
    return 0;
}

bool rows_set (const struct column *c, void *ret_record, int64_t value)
{
    void *at = (char *) ret_record + c->offset;

    switch (c->type) {
    case COLUMN_U64: *(uint64_t *) at = (uint64_t) value; return true;
    case COLUMN_I64: *(int64_t *) at = value; return true;
    case COLUMN_U32:
        if (value < 0 || value > UINT32_MAX)
            return false;
        *(uint32_t *) at = (uint32_t) value;
        return true;
    case COLUMN_I32:
        if (value < INT32_MIN || value > INT32_MAX)
            return false;
        *(int32_t *) at = (int32_t) value;
        return true;
    case COLUMN_BOOL:
        if (value != 0 && value != 1)
            return false;
        *(bool *) at = value;
        return true;
    case COLUMN_F64:
    case COLUMN_TEXT: break;
    }
    return false;
}

/* FNV-1a, 64 bits: every step is a bijection of the state, so a change of one
 * byte always shows. */
static uint64_t mix (uint64_t sum, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;

    for (size_t i = 0; i < size; i++)
        sum = (sum ^ at[i]) * 0x100000001b3u;
    return sum;
}

static uint64_t mix_column (uint64_t sum, const struct column *c,
                            const void *record)
{
    int64_t value;
    double real;

    if (c->type == COLUMN_TEXT) {
        const char *text = field (c, record);

        return mix (sum, text, strlen (text) + 1);
    }
    if (c->type != COLUMN_F64)
        value = rows_get (c, record);
    else {
        memcpy (&real, field (c, record), sizeof real);
        if (isnan (real)) // there are many, all mean unknown
            value = INT64_MAX;
        else
            memcpy (&value, &real, sizeof value);
    }
    return mix (sum, &value, sizeof value);
}

/* As if it were not there. */
static bool is_silent (const struct rows *rows, unsigned i, const void *record)
{
    return rows->early && i >= rows->early &&
           rows_get (&rows->columns[i], record) == 0;
}

uint64_t rows_checksum (const struct rows *rows, uint64_t key,
                        const void *record)
{
    uint64_t sum = mix (0xcbf29ce484222325u, rows->name, strlen (rows->name));

    sum = mix (sum, &key, sizeof key);
    for (unsigned i = 0; i < rows->count; i++) {
        if (!is_silent (rows, i, record))
            sum = mix_column (sum, &rows->columns[i], record);
    }
    return sum;
}

/* ---- what can have been written ---- */

static bool is_process (const struct process *p)
{
    return p->pid >= 0 && p->start >= 0;
}

static bool is_count (uint32_t count)
{
    return count >= 1 && count <= MAX_SLOTS;
}

/* On the wire numbers are 1..INT64_MAX. */
static bool is_number (uint64_t number)
{
    return number >= 1 && number <= INT64_MAX;
}

static bool session_sound (const struct session_record *r)
{
    return r->id != 0 && project_key_valid (r->project) &&
           is_process (&r->shim);
}

static bool lease_sound (const struct lease_record *r)
{
    return is_number (r->token) && is_number (r->first) &&
           r->cookie <= INT64_MAX && project_key_valid (r->project) &&
           r->state >= LEASE_ACTIVE && r->state <= LEASE_PARKED &&
           is_count (r->count) && is_count (r->asked) &&
           is_process (&r->supervisor) && is_process (&r->agent) &&
           r->phase <= 1000 && r->phases <= 1000 && r->waited_ms >= 0 &&
           r->eta_low_ms >= 0 && r->eta_high_ms >= 0;
}

static bool waiter_sound (const struct waiter_record *r)
{
    return is_number (r->number) && is_number (r->seq) && is_count (r->count) &&
           is_count (r->min) && r->min <= r->count &&
           is_process (&r->supervisor) && r->parked <= INT64_MAX;
}

static bool project_sound (const struct project_record *r)
{
    return is_number (r->number) && project_key_valid (r->name) &&
           r->priority <= MAX_PRIORITY && r->config_priority <= MAX_PRIORITY;
}

bool rows_sound (const struct rows *rows, const void *record)
{
    if (rows == &rows_session)
        return session_sound (record);
    if (rows == &rows_lease)
        return lease_sound (record);
    if (rows == &rows_waiter)
        return waiter_sound (record);
    return rows != &rows_project || project_sound (record);
}
