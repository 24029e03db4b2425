/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/render.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "commands/say.h"
#include "commands/waiting.h"

/* Text from peers may be any bytes; what is not printable, valid UTF-8 is
 * shown as \xNN, so that the document always is. */
static json_t *text (const char *bytes)
{
    char clean[2048];

    return json_string (say_clean (bytes, clean, sizeof clean));
}

/* Rounded: 45.2, not 45.200000000000003. */
static json_t *real (double value)
{
    return isnan (value) ? json_null () : json_real (round (value * 10) / 10);
}

static json_t *whole (uint64_t value)
{
    return json_integer ((json_int_t) value);
}

/* 0: absent on the wire, and so unknown. */
static json_t *known (uint64_t value)
{
    return value ? whole (value) : json_null ();
}

static json_t *eta (uint64_t low_s, uint64_t high_s)
{
    return high_s == 0 ? json_null ()
                       : json_pack ("[oo]", whole (low_s), whole (high_s));
}

static json_t *host (const struct row_host *h)
{
    return json_pack (
        "{so so so so so so so so so so so s{so so so so} so so so so}", "host",
        text (h->host), "level", text (h->level), "max_slots",
        whole (h->max_slots), "effective", whole (h->effective), "in_use",
        whole (h->in_use), "cpu_percent", real (h->cpu_percent),
        "memory_percent", real (h->memory_percent), "load1", real (h->load1),
        "disk_percent", real (h->disk_percent), "inodes_percent",
        real (h->inodes_percent), "swap_percent", real (h->swap_percent), "psi",
        "cpu_some", real (h->cpu_some), "memory_some", real (h->memory_some),
        "memory_full", real (h->memory_full), "io_full", real (h->io_full),
        "age_ms", whole (h->age_ms), "unmanaged", whole (h->unmanaged),
        "unmanaged_bytes", whole (h->unmanaged_bytes), "unmanaged_of",
        h->unmanaged_of[0] ? text (h->unmanaged_of) : json_null ());
}

static json_t *agent (const struct row_agent *a)
{
    double percent = agent_percent (a);

    return json_pack (
        "{so so so so so so so so so sb so so so so so so sb so so so}",
        "token", whole (a->token), "label", text (a->label), "host",
        text (a->host), "state", text (a->state), "kind", text (a->kind),
        "proof", text (a->proof), "percent",
        isnan (percent) ? json_null () : json_integer (lround (percent)),
        "phase", known (a->phase), "phases", known (a->phases), "validating",
        (int) a->validating, "note", text (a->note), "age_s",
        whole (a->age_ms / 1000), "pid", known (a->pid), "supervisor",
        known (a->supervisor), "memory_bytes", known (a->memory_bytes), "cpu_s",
        a->cpu_ms ? json_real ((double) a->cpu_ms / 1000) : json_null (),
        "suspect", (int) a->suspect, "victim", known (a->victim), "why",
        a->why[0] ? text (a->why) : json_null (), "eta_s",
        eta (a->eta_low_s, a->eta_high_s));
}

static json_t *agents_of (const struct snapshot *s, const char *project)
{
    json_t *list = json_array ();

    for (size_t i = 0; i < s->agent_count; i++)
        if (strcmp (s->agents[i].project, project) == 0)
            json_array_append_new (list, agent (&s->agents[i]));
    return list;
}

static json_t *project (const struct snapshot *s, const struct row_project *p)
{
    return json_pack (
        "{so so so so so so so so so sb so so}", "name", text (p->name),
        "display", text (p->display[0] ? p->display : p->name), "priority",
        whole (p->priority), "max", whole (p->max), "held", whole (p->held),
        "limbo", whole (p->limbo), "parked", whole (p->parked), "target",
        known (p->target), "waiting", whole (p->waiting), "paused",
        (int) p->paused, "eta_s", eta (p->eta_low_s, p->eta_high_s), "agents",
        agents_of (s, p->name));
}

static json_t *whole_of (const struct snapshot *s)
{
    const struct msg_status_ok *h = &s->head;

    return json_pack (
        "{si so so so so so so so s{so} so so so sb sb so}", "schema", 1,
        "broker", text (h->broker), "epoch", whole (h->epoch), "policy",
        text (h->policy), "max_slots", whole (h->max_slots), "effective",
        whole (h->effective), "effective_cause",
        h->effective_cause[0] ? text (h->effective_cause) : json_null (),
        "in_use", whole (h->in_use), "health", "level", text (h->level),
        "queue_total", whole (h->queue_total), "refused", whole (h->refused),
        "slot_bytes", known (h->slot_bytes), "disk_full", (int) h->disk_full,
        "learning", (int) h->learning, "eta_s",
        eta (h->eta_low_s, h->eta_high_s));
}

void render_json (FILE *out, const struct snapshot *s)
{
    json_t *all = whole_of (s), *hosts = json_array ();
    json_t *projects = json_array (), *queue = json_array ();

    for (size_t i = 0; i < s->host_count; i++)
        json_array_append_new (hosts, host (&s->hosts[i]));
    for (size_t i = 0; i < s->project_count; i++)
        json_array_append_new (projects, project (s, &s->projects[i]));
    for (size_t i = 0; i < s->queue_count; i++)
        json_array_append_new (queue, waiting_json (&s->queue[i]));
    json_object_set_new (all, "hosts", hosts);
    json_object_set_new (all, "projects", projects);
    json_object_set_new (all, "queue", queue);
    json_dumpf (all, out, JSON_COMPACT | JSON_REAL_PRECISION (15));
    fputc ('\n', out);
    json_decref (all);
}

void render_relieved (FILE *out, const struct msg_relieve_ok *ok, bool dry_run)
{
    json_t *all = json_pack (
        "{si so sb sb so so so so so so so so so sb}", "schema", 1, "host",
        text (ok->host), "dry_run", (int) dry_run, "done", (int) ok->done,
        "before", whole (ok->before), "effective", whole (ok->effective),
        "in_use", whole (ok->in_use), "token", known (ok->token), "project",
        ok->project[0] ? text (ok->project) : json_null (), "label",
        ok->token ? text (ok->label) : json_null (), "why",
        ok->why[0] ? text (ok->why) : json_null (), "released",
        whole (ok->released), "memory_bytes", known (ok->memory_bytes),
        "unkillable", (int) ok->unkillable);

    json_dumpf (all, out, JSON_COMPACT);
    fputc ('\n', out);
    json_decref (all);
}
