/* SPDX-License-Identifier: MPL-2.0 */
#include "simulation/sim.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "simulation/invariants.h"
#include "simulation/model.h"

void sim_settings (struct settings *ret_settings, unsigned max_slots)
{
    settings_default (ret_settings, 8, UINT64_C (16) << 30);
    ret_settings->memory_bytes = (uint64_t) SIM_GIB << 30;
    ret_settings->max_slots = max_slots;
    ret_settings->max_per_project = max_slots;
    ret_settings->max_per_project_auto = false;
    ret_settings->policy = POLICY_FIFO;
    ret_settings->grant_burst = MAX_SLOTS;
}

struct sim *sim_create (const struct settings *settings, uint64_t seed)
{
    struct sim *s = sim_alloc (sizeof *s);

    chance_init (&s->chance, seed);
    s->events = events_create ();
    s->settings = *settings;
    s->next_pid = 1000;
    s->next_start = 999;
    s->local = (struct span){0, 0};
    s->bus = (struct span){1, 1};
    s->wire = (struct span){5, 5};
    s->hash = UINT64_C (0xcbf29ce484222325);
    copy_text (s->identity.host, sizeof s->identity.host, "own");
    copy_text (s->identity.machine, sizeof s->identity.machine, "machine-own");
    copy_text (s->identity.boot, sizeof s->identity.boot, "boot-own-1");
    copy_text (s->disk.meta.broker, sizeof s->disk.meta.broker,
               "0123456789abcdef0123456789abcdef");
    s->disk.meta.token_mark = 1;
    s->disk.meta.number_mark = 1;
    s->broker.out = outbox_create ();
    s->invariants.lost_at = -1;
    s->modelled = s->forecast = true;
    s->broker.timer = INT64_MAX;
    s->loud = getenv ("SIM_TRACE") != NULL;
    sim_host (s, "own", 0);
    s->hosts[0].own = true;
    return s;
}

void sim_destroy (struct sim *s)
{
    if (!s)
        return;
    broker_destroy (s->broker.core);
    model_destroy (s->broker.model);
    outbox_destroy (s->broker.out);
    for (size_t i = 0; i < s->broker.inbox_count; i++)
        free (s->broker.inbox[i]);
    free (s->broker.inbox);
    for (int i = 0; i < s->shim_count; i++) {
        shim_destroy (s->shims[i].core);
        actions_destroy (s->shims[i].out);
    }
    for (size_t i = 0; i < s->held_count; i++)
        free (s->held[i].data);
    free (s->held);
    events_destroy (s->events);
    disk_clear (&s->disk);
    cache_clear (&s->cache);
    free (s->text);
    free (s);
}

static struct sample sample_at_ease (void)
{
    return (struct sample){.cpu_percent = 50,
                           .memory_percent = 10,
                           .load1 = 1,
                           .running = 1,
                           .disk_percent = NAN,
                           .inodes_percent = NAN,
                           .swap_percent = NAN,
                           .cpu_some = NAN,
                           .memory_some = NAN,
                           .memory_full = NAN,
                           .io_some = NAN,
                           .io_full = NAN};
}

uint64_t sim_tree_bytes (int tree)
{
    return (uint64_t) (tree % 7 + 1) << 26;
}

/* Each of them has something to run. */
struct sample sim_figures (const struct sim *s, int host)
{
    struct sample f = s->hosts[host].health;
    double whole = (double) ((uint64_t) SIM_GIB << 30);

    for (int i = 0; i < SIM_TREES; i++) {
        if (!s->trees[i].alive || s->trees[i].host != host)
            continue;
        f.running += 1;
        f.memory_percent += 100 * (double) sim_tree_bytes (i) / whole;
    }
    if (f.memory_percent > 100)
        f.memory_percent = 100;
    return f;
}

int sim_host (struct sim *s, const char *name, int64_t clock_offset)
{
    struct sim_host *h = &s->hosts[s->host_count];

    copy_text (h->name, sizeof h->name, name);
    h->offset = clock_offset;
    h->rate = 1000;
    h->boot = 1;
    h->health = sample_at_ease ();
    h->copy_of = -1;
    return s->host_count++;
}

int64_t host_clock (const struct sim *s, int host)
{
    const struct sim_host *h = &s->hosts[host];
    int64_t now = h->asleep && h->clock_stops ? h->fell_asleep : s->now;

    return h->offset + now * h->rate / 1000 - h->slept;
}

int64_t host_time (const struct sim *s, int host, int64_t clock)
{
    const struct sim_host *h = &s->hosts[host];
    int64_t shows = clock - h->offset + h->slept;

    if (shows <= 0)
        return 0;
    return (shows * 1000 + h->rate - 1) / h->rate;
}

/* ---- time ---- */

/* -1: on none. */
static int host_of (const struct sim *s, const struct event *e)
{
    switch (e->actor) {
    case ACTOR_WORLD: return -1;
    case ACTOR_BROKER: return 0;
    case ACTOR_SHIM: return s->shims[e->index].host;
    case ACTOR_CLIENT: return s->shims[s->clients[e->index].shim].host;
    case ACTOR_KEEPER: return s->shims[s->keepers[e->index].shim].host;
    case ACTOR_TREE: return s->trees[e->index].host;
    }
    return -1;
}

static bool addressee (const struct sim *s, const struct event *e,
                       bool *ret_stopped)
{
    const struct sim_shim *shim = &s->shims[e->index % SIM_SHIMS];
    const struct sim_keeper *keeper = &s->keepers[e->index % SIM_KEEPERS];
    const struct sim_client *client = &s->clients[e->index % SIM_CLIENTS];
    const struct sim_tree *tree = &s->trees[e->index % SIM_TREES];

    *ret_stopped = false;
    switch (e->actor) {
    case ACTOR_WORLD: return true;
    case ACTOR_BROKER:
        *ret_stopped = s->broker.stopped;
        return s->broker.alive && s->broker.life == e->life;
    case ACTOR_SHIM:
        *ret_stopped = shim->stopped;
        return shim->alive && shim->life == e->life;
    case ACTOR_CLIENT: return client->alive && client->life == e->life;
    case ACTOR_KEEPER:
        *ret_stopped = keeper->stopped;
        return keeper->alive && keeper->life == e->life;
    case ACTOR_TREE: return tree->alive && tree->life == e->life;
    }
    return false;
}

static void hold (struct sim *s, struct event e)
{
    if (s->held_count == s->held_most)
        s->held = sim_grow (s->held, &s->held_most, sizeof *s->held);
    s->held[s->held_count++] = e;
}

static void happen (struct sim *s, struct event *e)
{
    bool stopped;

    if (!addressee (s, e, &stopped)) {
        free (e->data);
        return;
    }
    if (stopped || (host_of (s, e) >= 0 && s->hosts[host_of (s, e)].asleep)) {
        hold (s, *e);
        return;
    }
    e->fire (s, e);
    free (e->data);
}

void sim_release_held (struct sim *s, enum actor actor, size_t index,
                       int64_t delay)
{
    size_t kept = 0;

    for (size_t i = 0; i < s->held_count; i++) {
        struct event e = s->held[i];

        if (e.actor != actor || e.index != index) {
            s->held[kept++] = e;
            continue;
        }
        e.at = s->now + delay;
        events_add (s->events, e);
    }
    s->held_count = kept;
}

/* ---- hosts that sleep ---- */

bool host_runs (const struct sim *s, int host)
{
    return !s->hosts[host].asleep && !s->hosts[host].off;
}

int host_identity (const struct sim *s, int host)
{
    return s->hosts[host].copy_of < 0 ? host : s->hosts[host].copy_of;
}

void sim_sleep (struct sim *s, int host, bool clock_stops)
{
    struct sim_host *h = &s->hosts[host];

    if (!host_runs (s, host))
        return;
    sim_trace (s, "world", "host %s %s", h->name,
               clock_stops ? "sleeps, and its clock" : "sleeps");
    h->asleep = true;
    h->clock_stops = clock_stops;
    h->fell_asleep = s->now;
}

void sim_wake (struct sim *s, int host)
{
    struct sim_host *h = &s->hosts[host];
    int64_t slept = (s->now * h->rate - h->fell_asleep * h->rate) / 1000;
    size_t kept = 0;

    if (!h->asleep)
        return;
    sim_trace (s, "world", "host %s wakes", h->name);
    h->asleep = false;
    h->woke = s->now;
    if (h->clock_stops) {
        h->slept += slept;
        s->broker.missed += h->own ? slept : 0;
    }
    for (size_t i = 0; i < s->held_count; i++) {
        struct event e = s->held[i];

        if (host_of (s, &e) != host) {
            s->held[kept++] = e;
            continue;
        }
        e.at = s->now;
        events_add (s->events, e);
    }
    s->held_count = kept;
}

void sim_advance (struct sim *s, int64_t ms)
{
    int64_t until = s->now + ms;
    struct event e;

    while (!s->violation[0] && events_take (s->events, until, &e)) {
        s->now = e.at;
        happen (s, &e);
    }
    if (!s->violation[0])
        s->now = until;
}

void sim_later (struct sim *s, int64_t at, enum actor actor, size_t index,
                unsigned life, event_fn *fire, uint64_t a, uint64_t b,
                void *data)
{
    events_add (s->events, (struct event){.at = at < s->now ? s->now : at,
                                          .actor = actor,
                                          .index = index,
                                          .life = life,
                                          .fire = fire,
                                          .a = a,
                                          .b = b,
                                          .data = data});
}

int64_t sim_delay (struct sim *s, struct span span)
{
    if (span.low == span.high)
        return span.low;
    return chance_in (&s->chance, span.low, span.high);
}

int64_t sim_arrival (struct sim *s, struct span span, int64_t *lane)
{
    int64_t at = s->now + sim_delay (s, span);

    if (at < *lane)
        at = *lane;
    *lane = at;
    return at;
}

/* ---- values ---- */

/* A start time is that of one process only, a pid is not. */
struct who sim_process (struct sim *s, int host)
{
    struct who who = {.pid = s->same_pid, .start = ++s->next_start * 10};

    s->same_pid = 0;
    for (int i = 0; i < 8 && s->pids > 0 && !who.pid; i++) {
        struct who any = {(int32_t) chance_in (&s->chance, 1, s->pids), 0};

        if (!process_found (s, host, any))
            who.pid = any.pid;
    }
    if (!who.pid)
        who.pid = s->next_pid++;
    return who;
}

struct letter *letter_of (enum verb verb, const void *fields)
{
    size_t size = message_size (verb);
    struct letter *l = malloc (offsetof (struct letter, fields) + size);

    if (!l)
        abort ();
    l->verb = verb;
    message_copy (l->fields, fields, verb);
    return l;
}

const struct msg *letter_open (const struct letter *letter)
{
    return (const struct msg *) letter;
}

uint64_t handle_of (size_t index, unsigned life)
{
    return (uint64_t) life << 16 | (index + 1);
}

size_t handle_index (uint64_t handle)
{
    return (handle & 0xffff) - 1;
}

unsigned handle_life (uint64_t handle)
{
    return (unsigned) (handle >> 16);
}

/* ---- the trace ---- */

bool sim_untraced;

static void keep (struct sim *s, const char *line, size_t size)
{
    while (s->text_size + size + 2 > s->text_most)
        s->text = sim_grow (s->text, &s->text_most, 1);
    memcpy (s->text + s->text_size, line, size);
    s->text_size += size;
    s->text[s->text_size++] = '\n';
    s->text[s->text_size] = '\0';
}

void sim_trace (struct sim *s, const char *who, const char *format, ...)
{
    char *line = s->lines[s->line_count++ % SIM_LINES];
    size_t most = sizeof s->lines[0];
    size_t size;
    va_list args;

    if (sim_untraced && !s->loud)
        return;
    snprintf (line, most, "[%7lld] %-9s ", (long long) s->now, who);
    size = strlen (line);
    va_start (args, format);
    vsnprintf (line + size, most - size, format, args);
    va_end (args);
    size = strlen (line);
    for (size_t i = 0; i < size; i++)
        s->hash =
            (s->hash ^ (unsigned char) line[i]) * UINT64_C (0x100000001b3);
    if (s->keep_text)
        keep (s, line, size);
    if (s->loud)
        fprintf (stderr, "%s\n", line);
}

void sim_violate (struct sim *s, const char *format, ...)
{
    va_list args;

    if (s->violation[0])
        return;
    va_start (args, format);
    vsnprintf (s->violation, sizeof s->violation, format, args);
    va_end (args);
    sim_trace (s, "judge", "violation %s", s->violation);
}

const char *shim_label (const struct sim *s, int shim)
{
    static char label[32];
    const struct sim_shim *sh = &s->shims[shim];

    if (s->hosts[sh->host].own)
        snprintf (label, sizeof label, "%.20s", sh->project);
    else
        snprintf (label, sizeof label, "%.12s@%.12s", sh->project,
                  s->hosts[sh->host].name);
    return label;
}
