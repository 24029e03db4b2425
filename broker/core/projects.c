/* SPDX-License-Identifier: MPL-2.0 */
#include "core/projects.h"

#include <string.h>

#include "core/memory.h"
#include "protocol/nearest.h"

/* A peer may ask for the nearest name as often as it likes. */
enum { MOST_COMPARED = 64 };

static size_t place (const struct projects *p, const char *name)
{
    size_t low = 0, high = p->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp (p->at[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct project *projects_find (const struct projects *p, const char *name)
{
    size_t i = place (p, name);

    if (i < p->count && strcmp (p->at[i]->name, name) == 0)
        return p->at[i];
    return NULL;
}

unsigned project_config_priority (const struct project *p)
{
    return p->configured ? p->configured->priority : DEFAULT_PRIORITY;
}

/* Of file and command the later change wins: SET_PRIORITY holds until the file
 * says something else than it did then. */
static unsigned choose_priority (const struct project *p)
{
    unsigned config = project_config_priority (p);

    return p->said.prioritised && p->said.config_priority == config
               ? p->said.priority
               : config;
}

void project_configure (struct project *project,
                        const struct settings *settings)
{
    const struct project_settings *c =
        settings_find_project (settings, project->name);

    project->configured = c;
    project->priority = choose_priority (project);
    project->max = c && c->max ? c->max : settings->max_per_project;
    if (c && c->display[0])
        copy_text (project->display, sizeof project->display, c->display);
}

struct project *projects_have (struct projects *p, const char *name,
                               const struct settings *settings)
{
    size_t i = place (p, name);
    struct project *project;

    if (i < p->count && strcmp (p->at[i]->name, name) == 0)
        return p->at[i];
    project = new_zeroed (sizeof *project);
    copy_text (project->name, sizeof project->name, name);
    project_configure (project, settings);
    project->lease_number = p->retired;
    project->queue_number = p->retired;
    if (p->count == p->capacity) {
        p->capacity = p->capacity ? 2 * p->capacity : 16;
        p->at = resized (p->at, p->capacity, sizeof *p->at);
    }
    memmove (p->at + i + 1, p->at + i, (p->count - i) * sizeof *p->at);
    p->at[i] = project;
    p->count++;
    return project;
}

void projects_configure (struct projects *p, const struct settings *settings)
{
    for (unsigned i = 0; i < settings->project_count; i++)
        projects_have (p, settings->projects[i].name, settings);
    for (size_t i = 0; i < p->count; i++)
        project_configure (p->at[i], settings);
}

static bool is_empty (const struct project *p)
{
    return !p->configured && !p->said.number && !project_counted (p) &&
           !p->parked && !p->queued && !p->sessions;
}

bool projects_may_say (const struct projects *p, const char *name)
{
    const struct project *project = projects_find (p, name);
    unsigned said = 0;

    if (project && (project->configured || project->said.number))
        return true;
    for (size_t i = 0; i < p->count; i++)
        said += p->at[i]->said.number != 0;
    return said < MAX_SAID;
}

static uint64_t later (uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

struct project *projects_empty (const struct projects *p)
{
    for (size_t i = 0; i < p->count; i++) {
        if (is_empty (p->at[i]))
            return p->at[i];
    }
    return NULL;
}

void projects_remove (struct projects *p, struct project *project)
{
    size_t i = 0;

    while (p->at[i] != project)
        i++;
    p->retired = later (p->retired, project->lease_number);
    p->retired = later (p->retired, project->queue_number);
    free (project);
    p->count--;
    memmove (p->at + i, p->at + i + 1, (p->count - i) * sizeof *p->at);
}

void projects_clear (struct projects *p)
{
    for (size_t i = 0; i < p->count; i++)
        free (p->at[i]);
    free (p->at);
    *p = (struct projects){0};
}

const char *projects_near (const struct projects *p, const char *name,
                           bool configured)
{
    const char *near = NULL;
    size_t size = strlen (name);
    unsigned best = size < 4 ? 2 : 3; // nearer than that
    unsigned compared = 0;

    for (size_t i = 0; i < p->count && compared < MOST_COMPARED; i++) {
        const struct project *other = p->at[i];
        size_t length = strlen (other->name);
        unsigned d;

        if ((configured && !other->configured) || length + 2 < size ||
            size + 2 < length)
            continue;
        compared++;
        d = nearest_distance (name, other->name);
        if (d > 0 && d < best) {
            best = d;
            near = other->name;
        }
    }
    return near;
}
