/* SPDX-License-Identifier: MPL-2.0 */
#include "config_projects.h"

#include <stdint.h>
#include <string.h>

#include "config_section.h"
#include "core/settings.h"
#include "options.h"

static int read_uids (struct config_reading *r, const struct node *n,
                      const struct config_key *k, void *into)
{
    struct project_settings *p = into;
    size_t size;

    if (config_expect_list (r, n, MAX_UIDS))
        return -1;
    config_descend (r, n, &size);
    p->uid_count = 0;
    for (const struct node *item = n->first; item; item = item->next) {
        struct config_key uid = *k;

        uid.offset = offsetof (struct project_settings, uids) +
                     p->uid_count * sizeof p->uids[0];
        if (config_count (r, item, &uid, into))
            return -1;
        p->uid_count++;
    }
    config_ascend (r, size);
    return 0;
}

#define PROJECT(name, read, field, least, most, may)                           \
    {                                                                          \
        name, read, offsetof (struct project_settings, field), least, most,    \
            may, NULL                                                          \
    }

static const struct config_key project_keys[] = {
    PROJECT ("display", config_text, display, 1, 64, 0),
    PROJECT ("max", config_count, max, 1, MAX_SLOTS, 0),
    PROJECT ("guarantee", config_count, guarantee, 0, MAX_SLOTS, 0),
    PROJECT ("uids", read_uids, uids, 0, UINT32_MAX - 1, 0),
    PROJECT ("max_time", config_duration, max_time_ms, 1, 365.0 * DAY_MS,
             MAY_NULL),
    PROJECT ("memory_limit", config_bytes, memory_limit_bytes, 1, 1e15,
             MAY_NULL),
    PROJECT ("stall_time", config_duration, stall_time_ms, 1, 365.0 * DAY_MS,
             MAY_NULL),
    {0},
};

static const struct config_key host_keys[] = {
    {"max_slots", config_count, offsetof (struct host_settings, max_slots), 1,
     MAX_SLOTS, 0, NULL},
    {0},
};

/* Names are matched without regard to case, so two spellings are one. */
static bool spelt_before (const struct node *map, const struct node *n,
                          const char *key)
{
    char other[MAX_KEY_BYTES + 1];

    for (const struct node *e = map->first; e != n; e = e->next)
        if (project_key_of (e->key, other) == 0 && strcmp (other, key) == 0)
            return true;
    return false;
}

/* NULL: refused and said so. */
static struct project_settings *add_project (struct config_reading *r,
                                             const struct node *map,
                                             const struct node *n)
{
    char key[MAX_KEY_BYTES + 1];
    struct project_settings *p;

    if (project_key_of (n->key, key)) {
        config_fail (r, n,
                     "not the name of a project: expected up to 64 of "
                     "a-z 0-9 . _ - with a letter or digit first");
        return NULL;
    }
    if (spelt_before (map, n, key)) {
        config_fail (r, n, "given twice");
        return NULL;
    }
    p = settings_add_project (&r->o->settings, key);
    if (!p)
        config_fail (r, n, "more than %d projects", MAX_PROJECTS);
    else if (!p->display[0] && strcmp (n->key, key) != 0)
        copy_text (p->display, sizeof p->display, n->key);
    return p;
}

int config_priorities (struct config_reading *r, const struct node *n,
                       const struct config_key *k, void *into)
{
    static const struct config_key priority = {
        "",  config_count, offsetof (struct project_settings, priority),
        0,   MAX_PRIORITY, 0,
        NULL};
    size_t size;

    (void) k, (void) into;
    if (config_expect_map (r, n))
        return -1;
    config_descend (r, n, &size);
    for (const struct node *e = n->first; e; e = e->next) {
        struct project_settings *p = add_project (r, n, e);

        if (!p || config_count (r, e, &priority, p))
            return -1;
    }
    config_ascend (r, size);
    return 0;
}

int config_projects (struct config_reading *r, const struct node *n,
                     const struct config_key *k, void *into)
{
    size_t size;

    (void) k, (void) into;
    if (config_expect_map (r, n))
        return -1;
    config_descend (r, n, &size);
    for (const struct node *e = n->first; e; e = e->next) {
        struct project_settings *p = add_project (r, n, e);

        if (!p || config_section (r, e, project_keys, p))
            return -1;
    }
    config_ascend (r, size);
    return 0;
}

int config_hosts (struct config_reading *r, const struct node *n,
                  const struct config_key *k, void *into)
{
    struct settings *s = &r->o->settings;
    size_t size;

    (void) k, (void) into;
    if (config_expect_map (r, n))
        return -1;
    config_descend (r, n, &size);
    for (const struct node *e = n->first; e; e = e->next) {
        struct host_settings *h = &s->hosts[s->host_count];

        if (s->host_count == MAX_HOSTS)
            return config_fail (r, e, "more than %d hosts", MAX_HOSTS);
        if (!*e->key || strlen (e->key) >= sizeof h->host)
            return config_fail (r, e, "not the name of a host");
        memset (h, 0, sizeof *h);
        copy_text (h->host, sizeof h->host, e->key);
        if (config_section (r, e, host_keys, h))
            return -1;
        s->host_count++;
    }
    config_ascend (r, size);
    return 0;
}
