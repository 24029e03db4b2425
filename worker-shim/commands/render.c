/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/render.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

#include "commands/say.h"
#include "commands/waiting.h"

enum { NAME_BYTES = 256, TEXT_BYTES = 2048 };

/* ---- words ---- */

static void title (FILE *out, bool emoji, const char *mark, const char *text)
{
    fprintf (out, "%s%s\n", emoji ? mark : "", text);
}

static char *capital (const char *word, char *ret_text, size_t size)
{
    say_clean (word, ret_text, size);
    ret_text[0] = (char) toupper ((unsigned char) ret_text[0]);
    return ret_text;
}

const char *render_name (const struct snapshot *s, const char *project,
                         char *ret_name, size_t size)
{
    const struct row_project *row = snapshot_project (s, project);

    return say_clean (row && row->display[0] ? row->display : project, ret_name,
                      size);
}

static bool detail_is_there (const struct row_agent *agent, char *ret_text,
                             size_t size)
{
    if (agent->validating)
        snprintf (ret_text, size, "Running validations");
    else if (agent->phase && agent->phases)
        snprintf (ret_text, size, "Phase %llu/%llu",
                  (unsigned long long) agent->phase,
                  (unsigned long long) agent->phases);
    else if (agent->phase)
        snprintf (ret_text, size, "Phase %llu",
                  (unsigned long long) agent->phase);
    else
        return false;
    return true;
}

/* A slot that nobody has said anything about. */
static void silent_agent (const struct row_agent *agent, char *ret_text,
                          size_t size)
{
    char age[32];
    const char *what = "running";

    if (strcmp (agent->kind, "reservation") == 0 && agent->pid == 0)
        what = "reserved";
    if (strcmp (agent->kind, "bound") == 0)
        what = "inside its supervisor";
    snprintf (ret_text, size, "%s for %s", what,
              say_age (agent->age_ms, age, sizeof age));
}

char *render_agent (const struct row_agent *agent, char *ret_text, size_t size)
{
    double percent = agent_percent (agent);
    char detail[64], state[32];
    size_t used;

    if (isnan (percent) && !detail_is_there (agent, detail, sizeof detail))
        silent_agent (agent, ret_text, size);
    else if (isnan (percent))
        snprintf (ret_text, size, "%s", detail);
    else if (detail_is_there (agent, detail, sizeof detail))
        snprintf (ret_text, size, "%.0f%% complete (%s)", percent, detail);
    else
        snprintf (ret_text, size, "%.0f%% complete", percent);
    used = strlen (ret_text);
    if (strcmp (agent->state, "active") != 0)
        snprintf (ret_text + used, size - used, ", %s",
                  say_clean (agent->state, state, sizeof state));
    else if (agent->suspect)
        snprintf (ret_text + used, size - used, ", its session is late");
    return ret_text;
}

/* ---- health ---- */

static void figure (FILE *out, const char *name, double value, const char *unit,
                    double limit)
{
    if (isnan (value))
        fprintf (out, "   %s: unknown\n", name);
    else if (isnan (limit))
        fprintf (out, "   %s: %.1f%s\n", name, value, unit);
    else if (*unit)
        fprintf (out, "   %s: %.1f%s (of %g%s limit)\n", name, value, unit,
                 limit, unit);
    else
        fprintf (out, "   %s: %.1f (of %.1f limit)\n", name, value, limit);
}

/* What looks like an agent and has no slot: nobody ends it. */
static void unmanaged_line (FILE *out, const struct row_host *host)
{
    char bytes[32], of[NAME_BYTES];

    if (host->unmanaged == 0)
        return;
    fprintf (out, "   unmanaged: %llu process%s, %s",
             (unsigned long long) host->unmanaged,
             host->unmanaged == 1 ? "" : "es",
             say_bytes (host->unmanaged_bytes, bytes, sizeof bytes));
    if (host->unmanaged_of[0])
        fprintf (out, " (%s?)", say_clean (host->unmanaged_of, of, sizeof of));
    fputc ('\n', out);
}

static void host_health (FILE *out, const struct row_host *host, bool only,
                         bool emoji)
{
    char level[64], name[NAME_BYTES];

    fprintf (out, "%sVM Health%s%s%s: %s\n", emoji ? "🖥️  " : "",
             only ? "" : " (",
             only ? "" : say_clean (host->host, name, sizeof name),
             only ? "" : ")", capital (host->level, level, sizeof level));
    figure (out, "CPU", host->cpu_percent, "%", host->max_cpu_percent);
    figure (out, "RAM", host->memory_percent, "%", host->max_memory_percent);
    figure (out, "Load", host->load1, "", host->max_load_average);
    if (isnan (host->disk_percent))
        fprintf (out, "   Disk: unknown\n");
    else
        fprintf (out, "   Disk: %.0f%%\n", host->disk_percent);
    unmanaged_line (out, host);
    fputc ('\n', out);
}

/* The broker's "memory 91.0% of 90%" in the words of the lines above. */
static char *say_cause (const char *cause, char *ret_text, size_t size)
{
    static const char *const words[][2] = {{"memory ", "RAM "},
                                           {"cpu ", "CPU "},
                                           {"load ", "Load "},
                                           {"disk ", "Disk "},
                                           {"inodes ", "Inodes "}};
    char clean[512];
    size_t figure; // "load 6.8 of 4", before ", load from outside slotbus"

    say_clean (cause, clean, sizeof clean);
    figure = strcspn (clean, ",");
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t length = strlen (words[i][0]);

        if (strncmp (clean, words[i][0], length) != 0)
            continue;
        snprintf (ret_text, size, "%s%.*s%s%s", words[i][1],
                  (int) (figure - length), clean + length,
                  strstr (clean, " of ") && !strstr (clean, "limit") ? " limit"
                                                                     : "",
                  clean + figure);
        return ret_text;
    }
    snprintf (ret_text, size, "%s", clean);
    return ret_text;
}

/* What is as everybody expects needs no line. */
static void policy_line (FILE *out, const struct msg_status_ok *head)
{
    char policy[80];

    if (head->policy[0] && strcmp (head->policy, "fifo") != 0)
        fprintf (out, "\n   Policy: %s",
                 say_clean (head->policy, policy, sizeof policy));
}

static void pool_line (FILE *out, const struct snapshot *s, bool emoji)
{
    const struct msg_status_ok *head = &s->head;
    char cause[TEXT_BYTES];

    fprintf (out, "%sImplementation Slots: %llu/%llu used", emoji ? "🎯 " : "",
             (unsigned long long) head->in_use,
             (unsigned long long) head->max_slots);
    if (head->effective != head->max_slots || head->effective_cause[0])
        fprintf (out, " (effective %llu%s%s)",
                 (unsigned long long) head->effective,
                 head->effective_cause[0] ? ": " : "",
                 say_cause (head->effective_cause, cause, sizeof cause));
    policy_line (out, head);
    fputs (head->disk_full ? "\n   No new slots: the broker cannot write its "
                             "state"
                           : "",
           out);
    fputs (head->learning ? "\n   No new slots: the broker is learning what is "
                            "held"
                          : "",
           out);
    fputs ("\n\n", out);
}

/* ---- projects ---- */

static uint64_t counted (const struct row_project *p)
{
    return p->held + p->limbo;
}

/* Both lists are aligned by the longest name in either. */
static int name_width (const struct snapshot *s)
{
    char name[NAME_BYTES];
    size_t width = 0;

    for (size_t i = 0; i < s->project_count; i++) {
        const struct row_project *p = &s->projects[i];
        size_t length = strlen (render_name (s, p->name, name, sizeof name));

        if ((counted (p) + p->parked > 0 || p->waiting > 0 || p->paused) &&
            length > width)
            width = length;
    }
    for (size_t i = 0; i < s->queue_count; i++) {
        size_t length =
            strlen (render_name (s, s->queue[i].project, name, sizeof name));

        if (length > width)
            width = length;
    }
    return (int) width + 2; // the colon, a space
}

static void name_column (FILE *out, const char *name, int width)
{
    fprintf (out, "   %s:%*s", name, width - (int) strlen (name) - 1, "");
}

static void features (FILE *out, const struct snapshot *s, const char *project)
{
    bool any = false;
    char label[512];

    for (size_t i = 0; i < s->agent_count; i++) {
        const struct row_agent *agent = &s->agents[i];

        if (strcmp (agent->project, project) != 0 || !agent->label[0])
            continue;
        fprintf (out, "%s%s", any ? ", " : " (Features: ",
                 say_clean (agent->label, label, sizeof label));
        any = true;
    }
    if (any)
        fputc (')', out);
}

static void active_project (FILE *out, const struct snapshot *s,
                            const struct row_project *p, int width)
{
    char name[NAME_BYTES], agents[32];

    name_column (out, render_name (s, p->name, name, sizeof name), width);
    fputs (say_count (counted (p), "agent", agents, sizeof agents), out);
    features (out, s, p->name);
    if (p->limbo > 0)
        fprintf (out, "; %llu in limbo", (unsigned long long) p->limbo);
    if (p->parked > 0)
        fprintf (out, "; %llu parked", (unsigned long long) p->parked);
    if (p->paused)
        fputs ("; paused", out);
    fputc ('\n', out);
}

/* Who has most comes first; among equals the order of the broker stays. */
static const struct row_project *next_active (const struct snapshot *s,
                                              const struct row_project *after)
{
    const struct row_project *best = NULL;

    for (size_t i = 0; i < s->project_count; i++) {
        const struct row_project *p = &s->projects[i];

        if (counted (p) + p->parked == 0 ||
            (after && (counted (p) > counted (after) ||
                       (counted (p) == counted (after) && p <= after))))
            continue;
        if (!best || counted (p) > counted (best))
            best = p;
    }
    return best;
}

static void active_projects (FILE *out, const struct snapshot *s, int width)
{
    const struct row_project *p = next_active (s, NULL);

    fputs ("Active Projects:\n", out);
    if (!p)
        fputs ("   none\n", out);
    for (; p; p = next_active (s, p))
        active_project (out, s, p, width);
    fputc ('\n', out);
}

/* "(3 agents ahead): position 1, SLOTS: 2 of 20 free; ETA 5 minutes", and below
 * it what would help. */
static void why_waiting (FILE *out, const struct row_waiter *w, int indent)
{
    char ahead[40], text[WAITING_BYTES];

    fprintf (out, " (%s ahead): position %llu, %s\n",
             say_count (w->slots_ahead, "agent", ahead, sizeof ahead),
             (unsigned long long) w->position,
             waiting_why (w, text, sizeof text));
    if (waiting_way_out (w, text, sizeof text)[0])
        fprintf (out, "%*s%s\n", indent, "", text);
}

static void queued_project (FILE *out, const struct snapshot *s,
                            const struct row_waiter *w, int width)
{
    char name[NAME_BYTES], least[40] = "", slots[40];

    if (w->min > 0 && w->min < w->count)
        snprintf (least, sizeof least, "%llu to ", (unsigned long long) w->min);
    name_column (out, render_name (s, w->project, name, sizeof name), width);
    fprintf (out, "Waiting for %s%s", least,
             say_count (w->count, "slot", slots, sizeof slots));
    why_waiting (out, w, width + 3);
}

static void queued_projects (FILE *out, const struct snapshot *s, int width)
{
    fputs ("Queued Projects:\n", out);
    for (size_t i = 0; i < s->queue_count; i++)
        queued_project (out, s, &s->queue[i], width);
    if (s->head.queue_total > s->queue_count)
        fprintf (out, "   and %llu more\n",
                 (unsigned long long) (s->head.queue_total - s->queue_count));
    if (s->queue_count == 0)
        fputs ("   none\n", out);
    fputc ('\n', out);
}

/* With the way out of it. */
static void paused_projects (FILE *out, const struct snapshot *s, int width)
{
    bool any = false;
    char name[NAME_BYTES];

    for (size_t i = 0; i < s->project_count; i++) {
        const struct row_project *p = &s->projects[i];

        if (!p->paused)
            continue;
        fputs (any ? "" : "Paused Projects:\n", out);
        any = true;
        name_column (out, render_name (s, p->name, name, sizeof name), width);
        fprintf (out, "slotbus resume %s\n",
                 say_clean (p->name, name, sizeof name));
    }
    if (any)
        fputc ('\n', out);
}

void render_status (FILE *out, const struct snapshot *s, bool emoji)
{
    int width = name_width (s);
    char eta[64];

    title (out, emoji, "📊 ", "VM Resource Status\n");
    for (size_t i = 0; i < s->host_count; i++)
        host_health (out, &s->hosts[i], s->host_count == 1, emoji);
    pool_line (out, s, emoji);
    active_projects (out, s, width);
    queued_projects (out, s, width);
    paused_projects (out, s, width);
    fprintf (out, "Estimated completion: %s\n",
             say_eta (s->head.eta_low_s, s->head.eta_high_s, eta, sizeof eta));
}

/* ---- one project ---- */

/* ", 351 MB, CPU 88 s": what its tree takes, if it was measured. */
static char *say_footprint (const struct row_agent *agent, char *ret_text,
                            size_t size)
{
    char bytes[32], time[32];

    if (agent->memory_bytes == 0 && agent->cpu_ms == 0)
        return copy_text (ret_text, size, "");
    snprintf (ret_text, size, ", %s, CPU %s",
              say_bytes (agent->memory_bytes, bytes, sizeof bytes),
              say_age (agent->cpu_ms, time, sizeof time));
    return ret_text;
}

static void agents_of (FILE *out, const struct snapshot *s, const char *project)
{
    char label[512], slot[40], text[256], takes[80], note[800];
    unsigned n = 0;

    fputs ("Active Agents:\n", out);
    for (size_t i = 0; i < s->agent_count; i++) {
        const struct row_agent *agent = &s->agents[i];

        if (strcmp (agent->project, project) != 0)
            continue;
        snprintf (slot, sizeof slot, "slot %llu",
                  (unsigned long long) agent->token);
        fprintf (out, "   %u. %s - %s%s%s%s\n", ++n,
                 agent->label[0] ? say_clean (agent->label, label, sizeof label)
                                 : slot,
                 render_agent (agent, text, sizeof text),
                 say_footprint (agent, takes, sizeof takes),
                 agent->note[0] ? ": " : "",
                 say_clean (agent->note, note, sizeof note));
    }
    fputs (n > 0 ? "\n" : "   none\n\n", out);
}

static void waiting_of (FILE *out, const struct snapshot *s,
                        const char *project)
{
    bool any = false;
    char slots[40];

    for (size_t i = 0; i < s->queue_count; i++) {
        const struct row_waiter *w = &s->queue[i];

        if (strcmp (w->project, project) != 0)
            continue;
        fputs (any ? "" : "Waiting:\n", out);
        any = true;
        fprintf (out, "   %s",
                 say_count (w->count, "slot", slots, sizeof slots));
        why_waiting (out, w, 6);
    }
    if (any)
        fputc ('\n', out);
}

static uint64_t slots_of (const struct snapshot *s, const char *project)
{
    const struct row_project *row = snapshot_project (s, project);

    return row ? counted (row) : 0;
}

void render_project (FILE *out, const struct snapshot *s, const char *project,
                     bool emoji)
{
    const struct row_project *row = snapshot_project (s, project);
    uint64_t held = slots_of (s, project), most = s->head.max_slots;
    char name[NAME_BYTES], line[2 * NAME_BYTES], eta[64];

    snprintf (line, sizeof line, "%s Resource Usage\n",
              render_name (s, project, name, sizeof name));
    title (out, emoji, "📊 ", line);
    fprintf (out, "Allocated Slots: %llu/%llu (%.0f%%)\n\n",
             (unsigned long long) held, (unsigned long long) most,
             most ? 100.0 * (double) held / (double) most : 0.0);
    if (row && row->paused)
        fprintf (out, "Paused: nothing is granted until slotbus resume %s\n\n",
                 say_clean (row->name, name, sizeof name));
    agents_of (out, s, project);
    waiting_of (out, s, project);
    fprintf (out, "ETA: %s\n",
             say_eta (row ? row->eta_low_s : 0, row ? row->eta_high_s : 0, eta,
                      sizeof eta));
}

/* ---- victims ---- */

/* The agent of that host with that rank; several slots of one tree share it,
 * and the first of them stands for all. */
static const struct row_agent *victim_of (const struct snapshot *s,
                                          const char *host, uint64_t rank)
{
    for (size_t i = 0; i < s->agent_count; i++) {
        const struct row_agent *a = &s->agents[i];

        if (a->victim == rank && a->why[0] && strcmp (a->host, host) == 0)
            return a;
    }
    return NULL;
}

static void victim_line (FILE *out, const struct snapshot *s,
                         const struct row_agent *a)
{
    char name[NAME_BYTES], label[512], why[256], bytes[32];

    fprintf (out, "%s %s (slot %llu)",
             render_name (s, a->project, name, sizeof name),
             say_clean (a->label, label, sizeof label),
             (unsigned long long) a->token);
    if (a->memory_bytes)
        fprintf (out, ", %s", say_bytes (a->memory_bytes, bytes, sizeof bytes));
    fprintf (out, ": %s\n", say_clean (a->why, why, sizeof why));
}

/* Whom nobody ends, each with the reason; returns whether there is any. */
static bool spared_on (FILE *out, const struct snapshot *s, const char *host)
{
    bool any = false;

    for (size_t i = 0; i < s->agent_count; i++) {
        const struct row_agent *a = &s->agents[i];

        if (a->victim || !a->why[0] || strcmp (a->host, host) != 0)
            continue;
        any = true;
        fputs ("    - ", out);
        victim_line (out, s, a);
    }
    return any;
}

/* Of one project's agents some ranks may be missing. */
static uint64_t ranks_on (const struct snapshot *s, const char *host)
{
    uint64_t most = 0;

    for (size_t i = 0; i < s->agent_count; i++) {
        const struct row_agent *a = &s->agents[i];

        if (a->victim > most && strcmp (a->host, host) == 0)
            most = a->victim;
    }
    return most;
}

void render_victims (FILE *out, const struct snapshot *s)
{
    char host[256], level[64], cause[512];

    for (size_t i = 0; i < s->host_count; i++) {
        const struct row_host *h = &s->hosts[i];
        uint64_t ranks = ranks_on (s, h->host);

        fprintf (out, "%s, %s%s%s\n", say_clean (h->host, host, sizeof host),
                 say_clean (h->level, level, sizeof level),
                 h->cause[0] ? ": " : "",
                 say_clean (h->cause, cause, sizeof cause));
        for (uint64_t rank = 1; rank <= ranks && rank <= MAX_SLOTS; rank++) {
            const struct row_agent *a = victim_of (s, h->host, rank);

            if (!a)
                continue;
            fprintf (out, "%5llu ", (unsigned long long) rank);
            victim_line (out, s, a);
        }
        if (!spared_on (out, s, h->host) && ranks == 0)
            fputs ("    nobody: no agent runs there under a slot\n", out);
    }
}
