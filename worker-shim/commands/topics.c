/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/topics.h"

#include <jansson.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "commands/say.h"
#include "commands/waiting.h"

char *topic_time (uint64_t at_ms, char *ret_text, size_t size)
{
    time_t seconds = (time_t) (at_ms / 1000);
    struct tm tm;

    if (at_ms == 0 || !gmtime_r (&seconds, &tm) ||
        strftime (ret_text, size, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        snprintf (ret_text, size, "-");
    return ret_text;
}

/* ---- words ---- */

static void figure (FILE *out, const char *name, double value, const char *unit,
                    const char *level)
{
    char clean[64];

    if (isnan (value))
        return;
    fprintf (out, " %s=%.1f%s", name, value, unit);
    if (level[0] && strcmp (level, "healthy") != 0)
        fprintf (out, " (%s)", say_clean (level, clean, sizeof clean));
}

static void health (FILE *out, const struct msg_health *h)
{
    char level[64], stale[800];

    fputs (say_clean (h->level, level, sizeof level), out);
    figure (out, "cpu", h->cpu_percent, "%", h->cpu_level);
    figure (out, "memory", h->memory_percent, "%", h->memory_level);
    figure (out, "load", h->load1, "", h->load_level);
    figure (out, "disk", h->disk_percent, "%", h->disk_level);
    figure (out, "inodes", h->inodes_percent, "%", h->inodes_level);
    if (h->stale[0])
        fprintf (out, " stale=%s", say_clean (h->stale, stale, sizeof stale));
}

static void pool (FILE *out, const struct msg_pool *p)
{
    char cause[800];

    fprintf (out, "%llu/%llu used", (unsigned long long) p->in_use,
             (unsigned long long) p->max_slots);
    if (p->effective < p->max_slots || p->cause[0])
        fprintf (out, " (effective %llu%s%s)",
                 (unsigned long long) p->effective, p->cause[0] ? ": " : "",
                 say_clean (p->cause, cause, sizeof cause));
    fprintf (out, ", %llu waiting", (unsigned long long) p->waiting);
    if (p->disk_full)
        fputs (", disk full", out);
}

static void lease (FILE *out, const struct msg_lease *l)
{
    char tokens[1024];

    fprintf (out, "%s holds %llu", l->project,
             (unsigned long long) (l->held + l->limbo));
    if (l->limbo > 0)
        fprintf (out, " (%llu in limbo)", (unsigned long long) l->limbo);
    if (l->tokens.count > 0)
        fprintf (out, ": %s", say_tokens (&l->tokens, tokens, sizeof tokens));
}

static void queue (FILE *out, const struct msg_queue *q)
{
    const struct row_waiter *first = &q->requests[0];
    char slots[40], text[WAITING_BYTES];

    if (q->requests_count == 0) {
        fprintf (out, "%s waits for nothing", q->project);
        return;
    }
    fprintf (out, "%s waits for %llu: position %llu, %s ahead, %s", q->project,
             (unsigned long long) q->waiting,
             (unsigned long long) first->position,
             say_count (first->slots_ahead, "slot", slots, sizeof slots),
             waiting_why (first, text, sizeof text));
    if (waiting_way_out (first, text, sizeof text)[0])
        fprintf (out, "; %s", text);
    if (q->requests_count > 1)
        fprintf (out, " (the first of %u requests)",
                 (unsigned) q->requests_count);
}

static void broker (FILE *out, const struct msg_broker *b)
{
    char sessions[40], version[256];

    fprintf (out, "epoch %llu, %s", (unsigned long long) b->epoch,
             say_count (b->sessions, "session", sessions, sizeof sessions));
    if (b->version[0])
        fprintf (out, ", version %s",
                 say_clean (b->version, version, sizeof version));
    fputs (b->disk_full ? ", disk full" : "", out);
    fputs (b->learning ? ", learning what is held" : "", out);
}

static bool is_gone (const struct msg *m)
{
    switch (m->verb) {
    case VERB_POOL: return m->pool.gone;
    case VERB_LEASE: return m->lease.gone;
    case VERB_QUEUE: return m->queue.gone;
    default: return false; // of HEALTH the level says it
    }
}

void topic_words (FILE *out, const struct msg *m)
{
    if (is_gone (m)) {
        fputs ("gone", out);
        return;
    }
    switch (m->verb) {
    case VERB_HEALTH: health (out, &m->health); break;
    case VERB_POOL: pool (out, &m->pool); break;
    case VERB_LEASE: lease (out, &m->lease); break;
    case VERB_QUEUE: queue (out, &m->queue); break;
    case VERB_BROKER: broker (out, &m->broker); break;
    default: fputs (verb_name (m->verb), out); break;
    }
}

void topic_gap (FILE *out, const char *topic, uint64_t first, uint64_t last)
{
    char clean[1024];

    fprintf (
        out, "gap %s: %llu lost (%llu", say_clean (topic, clean, sizeof clean),
        (unsigned long long) (last - first + 1), (unsigned long long) first);
    if (last > first)
        fprintf (out, "-%llu", (unsigned long long) last);
    fputs (")\n", out);
}

/* ---- JSON ---- */

/* Text from peers may be any bytes: what is not printable is shown as \xNN. */
static json_t *text (const char *bytes)
{
    char clean[2048];

    return json_string (say_clean (bytes, clean, sizeof clean));
}

static json_t *real (double value)
{
    return isnan (value) ? json_null () : json_real (round (value * 10) / 10);
}

static json_t *numbers (const struct u64s *list)
{
    json_t *all = json_array ();

    for (uint32_t i = 0; i < list->count; i++)
        json_array_append_new (all, json_integer ((json_int_t) list->at[i]));
    return all;
}

static void add_fields (json_t *object, const struct fields *fields,
                        const void *structure);

static json_t *rows (const char *structure, const struct field *f)
{
    uint32_t count = *(const uint32_t *) (structure + f->offset);
    json_t *all = json_array ();

    for (uint32_t i = 0; i < count; i++) {
        json_t *row = json_object ();

        add_fields (row, f->row, structure + f->items + i * f->row->size);
        json_array_append_new (all, row);
    }
    return all;
}

static json_t *value (const char *structure, const struct field *f)
{
    const void *at = structure + f->offset;

    switch (f->kind) {
    case KIND_U64: return json_integer ((json_int_t) * (const uint64_t *) at);
    case KIND_BOOL: return json_boolean (*(const bool *) at);
    case KIND_F64: return real (*(const double *) at);
    case KIND_STR:
    case KIND_KEY: return text (at);
    case KIND_U64S: return numbers (at);
    case KIND_ROWS: return rows (structure, f);
    }
    return json_null ();
}

/* Where 0 can only mean that nobody knows. */
static void forget (json_t *object, const char *figure, const char *key)
{
    json_t *known = json_object_get (object, figure);

    if (known && json_integer_value (known) == 0)
        json_object_set_new (object, key, json_null ());
}

static void add_fields (json_t *object, const struct fields *fields,
                        const void *structure)
{
    for (unsigned i = 0; i < fields->count; i++)
        json_object_set_new (object, fields->at[i].key,
                             value (structure, &fields->at[i]));
    forget (object, "eta_high_s", "eta_low_s");
    forget (object, "eta_high_s", "eta_high_s");
    forget (object, "at_ms", "at_ms");
}

static void put (FILE *out, json_t *object)
{
    json_dumpf (object, out, JSON_COMPACT | JSON_REAL_PRECISION (15));
    fputc ('\n', out);
    json_decref (object);
}

void topic_json (FILE *out, const char *topic, const struct msg *m)
{
    json_t *all = json_pack ("{si so ss}", "schema", 1, "topic", text (topic),
                             "verb", verb_name (m->verb));

    add_fields (all, message_fields (m->verb), &m->health);
    put (out, all);
}

void topic_gap_json (FILE *out, const char *topic, uint64_t first,
                     uint64_t last)
{
    put (out, json_pack ("{si s{so sI sI}}", "schema", 1, "gap", "topic",
                         text (topic), "first", (json_int_t) first, "last",
                         (json_int_t) last));
}
