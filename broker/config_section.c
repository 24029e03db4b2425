/* SPDX-License-Identifier: MPL-2.0 */
#include "config_section.h"

#include <stdio.h>
#include <string.h>

#include "bus/endpoint.h"
#include "core/settings.h"
#include "protocol/nearest.h"
#include "options.h"

/* What is `auto` is another number on each host. */
static int read_max_load (struct config_reading *r, const struct node *n,
                          const struct config_key *k, void *into)
{
    struct limits *limits = into;

    limits->load_auto = config_is_word (n, "auto");
    return config_number (r, n, k, into);
}

#define LIMIT(name, field, least, most)                                        \
    {                                                                          \
        name, config_number, offsetof (struct limits, field), least, most,     \
            MAY_NULL, NULL                                                     \
    }

static const struct config_key limit_keys[] = {
    LIMIT ("max_cpu_percent", cpu_percent, 1, 100),
    LIMIT ("max_memory_percent", memory_percent, 1, 100),
    LIMIT ("critical_memory_percent", critical_memory_percent, 1, 100),
    LIMIT ("critical_memory_psi", critical_memory_psi, 1, 100),
    {"max_load_average", read_max_load, offsetof (struct limits, load_average),
     0.1, 10000, MAY_NULL | MAY_AUTO, NULL},
    LIMIT ("max_disk_percent", disk_percent, 1, 100),
    LIMIT ("critical_disk_percent", critical_disk_percent, 1, 100),
    {0},
};

#define TIME(name, least)                                                      \
    {                                                                          \
#name, config_duration, offsetof(struct timing, name), least, DAY_MS,  \
            0, NULL                                                            \
    }

static const struct config_key timing_keys[] = {
    TIME (beat, 1),
    TIME (ttl, 1),
    TIME (notice, 0),
    TIME (grace, 0),
    TIME (kill_confirm, 1),
    TIME (drift, 0),
    TIME (lock_delay, 0),
    TIME (linger, 0),
    TIME (gather, 0),
    TIME (memory_grace, 0),
    TIME (load_after, 0),
    TIME (load_settle, 0),
    TIME (sample, 10),
    TIME (health_interval, 10),
    TIME (dwell, 0),
    TIME (settle, 0),
    TIME (healthy_for, 0),
    TIME (grow_every, 1),
    {0},
};

static const struct config_key *find_key (const struct config_key *keys,
                                          const char *name)
{
    for (; keys->name; keys++)
        if (strcmp (keys->name, name) == 0)
            return keys;
    return NULL;
}

/* A key of a section that stands outside of it. */
static const char *section_of (const char *name)
{
    if (find_key (limit_keys, name))
        return "vm_limits";
    return find_key (timing_keys, name) ? "timing" : NULL;
}

static int unknown_key (struct config_reading *r, const struct node *n,
                        const struct config_key *keys)
{
    struct nearest nearest = {.word = n->key};
    const char *section = section_of (n->key);

    for (const struct config_key *k = keys; k->name; k++)
        nearest_offer (&nearest, k->name);
    if (section && keys != limit_keys && keys != timing_keys)
        return config_fail (r, n, "unknown key, it belongs under '%s'",
                            section);
    if (nearest.best)
        return config_fail (r, n, "unknown key, did you mean '%s'?",
                            nearest.best);
    return config_fail (r, n, "unknown key");
}

int config_keys (struct config_reading *r, const struct node *map,
                 const struct config_key *keys, void *into)
{
    for (const struct node *n = map->first; n; n = n->next) {
        const struct config_key *k = find_key (keys, n->key);

        if (!k)
            return unknown_key (r, n, keys);
        if (k->read (r, n, k, into))
            return -1;
    }
    return 0;
}

int config_expect_map (struct config_reading *r, const struct node *n)
{
    if (n->kind == NODE_MAP || yaml_tree_null (n))
        return 0;
    return config_expected (r, n, "a map");
}

int config_section (struct config_reading *r, const struct node *n,
                    const struct config_key *keys, void *into)
{
    size_t size;
    int rc;

    if (config_expect_map (r, n))
        return -1;
    config_descend (r, n, &size);
    rc = config_keys (r, n, keys, into);
    config_ascend (r, size);
    return rc;
}

int config_limits (struct config_reading *r, const struct node *n,
                   const struct config_key *k, void *into)
{
    return config_section (r, n, limit_keys, config_field (into, k));
}

int config_timing (struct config_reading *r, const struct node *n,
                   const struct config_key *k, void *into)
{
    return config_section (r, n, timing_keys, config_field (into, k));
}

int config_expect_list (struct config_reading *r, const struct node *n,
                        unsigned most)
{
    char what[48];
    unsigned count = 0;

    for (const struct node *item = n->first; item; item = item->next)
        count++;
    if (n->kind == NODE_LIST && count <= most)
        return 0;
    if (n->kind == NODE_LIST)
        return config_fail (r, n, "at most %u entries", most);
    snprintf (what, sizeof what, "a list of up to %u entries", most);
    return config_expected (r, n, what);
}

/* Why an item is refused, NULL if it is taken. */
typedef const char *judge_fn (const char *text);

static int read_items (struct config_reading *r, const struct node *n,
                       const struct config_key *k, struct texts *into,
                       judge_fn *judge)
{
    size_t size;

    if (config_expect_list (r, n, (unsigned) k->max))
        return -1;
    config_descend (r, n, &size);
    into->count = 0;
    for (const struct node *item = n->first; item; item = item->next) {
        const char *why = item->kind != NODE_SCALAR || !*item->text ||
                                  strlen (item->text) >= PATH_BYTES
                              ? "text"
                              : judge (item->text);

        if (why)
            return config_expected (r, item, why);
        for (unsigned i = 0; i < into->count; i++)
            if (strcmp (into->at[i], item->text) == 0)
                return config_fail (r, item, "'%s' is given twice",
                                    into->at[i]);
        copy_text (into->at[into->count++], PATH_BYTES, item->text);
    }
    config_ascend (r, size);
    return 0;
}

static const char *judge_path (const char *text)
{
    return *text == '/' ? NULL : "an absolute path";
}

static const char *judge_endpoint (const char *text)
{
    struct endpoints e;

    return endpoints_of (text, &e) == 0
               ? NULL
               : "ipc:///PATH (up to 107 bytes) or tcp://HOST:PORT";
}

static const char *judge_name (const char *text)
{
    return strlen (text) < 65 && !strpbrk (text, "/,")
               ? NULL
               : "the name of a program (no slash, no comma)";
}

int config_paths (struct config_reading *r, const struct node *n,
                  const struct config_key *k, void *into)
{
    return read_items (r, n, k, config_field (into, k), judge_path);
}

int config_endpoints (struct config_reading *r, const struct node *n,
                      const struct config_key *k, void *into)
{
    return read_items (r, n, k, config_field (into, k), judge_endpoint);
}

int config_names (struct config_reading *r, const struct node *n,
                  const struct config_key *k, void *into)
{
    return read_items (r, n, k, config_field (into, k), judge_name);
}
