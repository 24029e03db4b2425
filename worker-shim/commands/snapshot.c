/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/snapshot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bus/base.h"
#include "commands/command.h"
#include "commands/say.h"

/* Pages of a broker that counts wrongly must end somewhere. */
enum { MAX_PAGES = 4096, TRIES = 5 };

#define APPEND(s, list, count, page, page_count)                               \
    do {                                                                       \
        (s)->list = xrealloc (                                                 \
            (s)->list, ((s)->count + (page_count)) * sizeof *(s)->list);       \
        memcpy ((s)->list + (s)->count, (page),                                \
                (page_count) * sizeof *(s)->list);                             \
        (s)->count += (page_count);                                            \
    } while (0)

void snapshot_add (struct snapshot *s, const struct msg_status_ok *page)
{
    APPEND (s, hosts, host_count, page->hosts, page->hosts_count);
    APPEND (s, projects, project_count, page->projects, page->projects_count);
    APPEND (s, agents, agent_count, page->agents, page->agents_count);
    APPEND (s, queue, queue_count, page->queue, page->queue_count);
}

void snapshot_clear (struct snapshot *s)
{
    free (s->hosts);
    free (s->projects);
    free (s->agents);
    free (s->queue);
    memset (s, 0, sizeof *s);
}

/* Closed between two pages: the broker keeps few. */
static bool is_closed (const struct ask *a, const struct msg_status *status)
{
    const struct msg *in = ask_answer (a);

    return status->snapshot && in->verb == VERB_ERROR &&
           err_of_name (in->error.error) == ERR_EXPIRED;
}

/* All its pages. `ret_closed`: it was gone before the last of them. */
static int read_pages (struct ask *a, const char *project, struct snapshot *s,
                       bool *ret_closed)
{
    const struct msg_status_ok *page = &ask_answer (a)->status_ok;
    struct msg_status status;
    int rc;

    message_init_fields (&status, VERB_STATUS);
    copy_text (status.project, sizeof status.project, project);
    for (int pages = 0; pages < MAX_PAGES; pages++) {
        rc = ask_any (a, VERB_STATUS, &status);
        *ret_closed = !rc && is_closed (a, &status);
        if (!rc && !*ret_closed)
            rc = ask_wants (a, VERB_STATUS, VERB_STATUS_OK);
        if (rc || *ret_closed)
            return rc;
        if (pages == 0)
            s->head = *page;
        snapshot_add (s, page);
        if (page->next <= status.cursor)
            break;
        status.snapshot = page->snapshot;
        status.cursor = page->next;
    }
    return 0;
}

int snapshot_ask (struct ask *a, const char *project,
                  struct snapshot *ret_snapshot)
{
    struct snapshot s = {.hosts = NULL};
    bool closed = true;
    int rc = 0;

    for (int tries = 0; tries < TRIES && closed && !rc; tries++) {
        snapshot_clear (&s);
        rc = read_pages (a, project, &s, &closed);
    }
    if (!rc && closed)
        rc = say_failure (EXIT_NOT_NOW, "too many read the status at once: "
                                        "try again");
    if (rc)
        snapshot_clear (&s);
    else
        *ret_snapshot = s;
    return rc;
}

const struct row_project *snapshot_project (const struct snapshot *s,
                                            const char *project)
{
    for (size_t i = 0; i < s->project_count; i++)
        if (strcmp (s->projects[i].name, project) == 0)
            return &s->projects[i];
    return NULL;
}

double agent_percent (const struct row_agent *agent)
{
    double done;

    if (!isnan (agent->percent))
        return agent->percent;
    if (agent->phase == 0 || agent->phases == 0)
        return NAN;
    done = round (100.0 * (double) agent->phase / (double) (agent->phases + 1));
    if (agent->validating)
        done = round ((done + 100) / 2);
    return done;
}
