/* SPDX-License-Identifier: MPL-2.0 */
#include "server_parts.h"

#include <stdint.h>
#include <stdio.h>

#include "bus/base.h"
#include "bus/log.h"
#include "journal.h"

static void send_all (struct server *s)
{
    for (size_t i = 0; i < outbox_sent (s->out); i++) {
        struct outgoing m = outbox_outgoing (s->out, i);

        front_send (s->front, &m.to, m.verb, m.fields);
    }
}

/* The core says by its own topic that it has learned enough. */
static bool says_learned (const struct publication *p)
{
    const struct msg_broker *m = p->fields;

    return p->verb == VERB_BROKER && !m->learning;
}

static enum store_error publish_all (struct server *s)
{
    enum store_error e = STORE_OK;

    for (size_t i = 0; i < outbox_published (s->out); i++) {
        struct publication p = outbox_publication (s->out, i);

        herald_publish (s->herald, &p, s->now);
        if (store_learning (s->store) && says_learned (&p))
            e = store_learned (s->store);
    }
    return e;
}

static void list_projects (struct server *s, struct snapshot *snapshot)
{
    char project[MAX_KEY_BYTES + 1];
    unsigned in_use;
    size_t count = broker_allocation (s->broker, SIZE_MAX, project, &in_use);

    s->projects = xrealloc (s->projects, count * sizeof *s->projects);
    for (size_t i = 0; i < count; i++)
        broker_allocation (s->broker, i, s->projects[i].project,
                           &s->projects[i].in_use);
    snapshot->projects = s->projects;
    snapshot->project_count = count;
}

/* For people and scripts only: that it cannot be written is said once. */
static void write_snapshot (struct server *s)
{
    char path[PATH_BYTES + 16], error[512] = "";
    struct pool_view view;
    struct snapshot snapshot = {.limits = s->options->settings.limits,
                                .sample = s->sample,
                                .health = broker_level (s->broker)};

    broker_view (s->broker, &view);
    snapshot.max_slots = view.max_slots;
    list_projects (s, &snapshot);
    snprintf (path, sizeof path, "%s/slots.yaml", s->premises.runtime);
    s->stale = false;
    if (yaml_snapshot_write (path, s->options->config_path, &snapshot, error,
                             sizeof error) &&
        !s->snapshot_failed)
        log_line (LOG_WARNING, "snapshot error=\"%s\"", error);
    s->snapshot_failed = error[0] != 0;
}

static enum exit_code disk_failed (struct server *s)
{
    journal_print (s->out);
    log_line (LOG_ERROR,
              "disk     error=\"%s\" unsent=%zu end=\"nothing of this batch "
              "was said; what was said before is on disk\"",
              store_failure (s->store), outbox_sent (s->out));
    return EXIT_DISK;
}

enum exit_code server_carry_out (struct server *s)
{
    if (store_commit (s->store, s->out) != STORE_OK)
        return disk_failed (s);
    history_note (s->history, s->out, clock_wall_ms ());
    send_all (s);
    if (publish_all (s) != STORE_OK)
        return disk_failed (s);
    journal_print (s->out);
    s->stale |= outbox_changed (s->out) > 0;
    outbox_clear (s->out);
    herald_catch_up (s->herald);
    herald_repeat (s->herald, s->options->settings.timing.health_interval,
                   s->now);
    if (s->stale)
        write_snapshot (s);
    return EXIT_DONE;
}
