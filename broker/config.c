/* SPDX-License-Identifier: MPL-2.0 */
#include "config.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nearest.h"
#include "options.h"
#include "yaml_tree.h"

struct key;

/* A file being read, and how far below its root: "vm_limits.". */
struct reading {
    const char *path;
    char above[160];
    char *ret_error;
    size_t error_size;
    struct options *o;
};

typedef int read_fn (struct reading *r, const struct node *n,
                     const struct key *k, void *into);

enum { MAY_NULL = 1, MAY_AUTO = 2, MAY_OFF = 4 };

/* A key that the file may hold: who reads its value, to where in the
 * structure at hand, within which bounds. */
struct key {
    const char *name;
    read_fn *read;
    size_t offset;
    double min, max;
    unsigned may;
    const char *const *words; // of a choice, ended by NULL
};

/* ---- errors ---- */

static int fail (struct reading *r, const struct node *n, const char *format,
                 ...) __attribute__ ((format (printf, 3, 4)));

static int fail (struct reading *r, const struct node *n, const char *format,
                 ...)
{
    char what[512], key[100] = "";
    const char *colon = n->key || r->above[0] ? ": " : "";
    size_t size = strlen (r->above);
    va_list args;

    va_start (args, format);
    vsnprintf (what, sizeof what, format, args);
    va_end (args);
    if (n->key)
        log_escape (n->key, key, sizeof key);
    else if (size > 0) // an item of a list: the list is named
        size--;
    snprintf (r->ret_error, r->error_size, "%s:%u:%u: %.*s%s%s%s", r->path,
              n->line, n->column, (int) size, r->above, key, colon, what);
    return -1;
}

static const char *show (const struct node *n, char *ret_text, size_t size)
{
    char text[48];

    if (n->kind == NODE_SCALAR)
        snprintf (ret_text, size, "'%s'",
                  log_escape (n->text, text, sizeof text));
    else
        snprintf (ret_text, size, n->kind == NODE_MAP ? "a map" : "a list");
    return ret_text;
}

static int expected (struct reading *r, const struct node *n, const char *what)
{
    char got[64];

    return fail (r, n, "expected %s, got %s", what, show (n, got, sizeof got));
}

/* Below `n`: messages carry its name in front. */
static void descend (struct reading *r, const struct node *n, size_t *ret_size)
{
    char key[100];
    size_t size = strlen (r->above);

    *ret_size = size;
    snprintf (r->above + size, sizeof r->above - size, "%s.",
              log_escape (n->key, key, sizeof key));
}

static void ascend (struct reading *r, size_t size)
{
    r->above[size] = 0;
}

/* ---- values ---- */

static void *field (void *into, const struct key *k)
{
    return (char *) into + k->offset;
}

static bool is_word (const struct node *n, const char *word)
{
    return n->kind == NODE_SCALAR && strcmp (n->text, word) == 0;
}

static const char *or_auto (const struct key *k)
{
    return k->may & MAY_AUTO ? " or auto" : k->may & MAY_OFF ? " or off" : "";
}

static int out_of_range (struct reading *r, const struct node *n,
                         const struct key *k)
{
    char what[64];

    snprintf (what, sizeof what, "%.10g..%.10g%s", k->min, k->max, or_auto (k));
    return expected (r, n, what);
}

/* A decimal number and where it ends; libc's own would take " 1", "0x1p3",
 * "inf" and "nan", too. */
static bool parse_number (const char *text, double *ret_number,
                          const char **ret_end)
{
    size_t digits = strspn (text, "0123456789");
    size_t size = digits;

    if (text[size] == '.') {
        size_t more = strspn (text + size + 1, "0123456789");

        digits += more;
        size += 1 + more;
    }
    if (digits == 0 || size > 20)
        return false;
    *ret_number = strtod (text, NULL);
    *ret_end = text + size;
    return true;
}

static bool number_within (const struct node *n, const struct key *k,
                           double *ret_number)
{
    const char *end;

    return n->kind == NODE_SCALAR && n->plain &&
           parse_number (n->text, ret_number, &end) && !*end &&
           *ret_number >= k->min && *ret_number <= k->max;
}

static int read_count (struct reading *r, const struct node *n,
                       const struct key *k, void *into)
{
    double number;

    if (k->may & MAY_AUTO && is_word (n, "auto"))
        return 0; // the default is in its place already
    if (!number_within (n, k, &number) || number != floor (number) ||
        strchr (n->text, '.'))
        return out_of_range (r, n, k);
    *(unsigned *) field (into, k) = (unsigned) number;
    return 0;
}

static int read_number (struct reading *r, const struct node *n,
                        const struct key *k, void *into)
{
    double number = NAN;

    if (k->may & MAY_AUTO && is_word (n, "auto"))
        return 0;
    if (!(k->may & MAY_NULL && yaml_tree_null (n)) &&
        !number_within (n, k, &number))
        return out_of_range (r, n, k);
    *(double *) field (into, k) = number;
    return 0;
}

static int read_switch (struct reading *r, const struct node *n,
                        const struct key *k, void *into)
{
    bool on = is_word (n, "true");

    if (!n->plain || (!on && !is_word (n, "false")))
        return expected (r, n, "true or false");
    *(bool *) field (into, k) = on;
    return 0;
}

/* The place of a word among k->words, or -1. */
static int read_word (struct reading *r, const struct node *n,
                      const struct key *k)
{
    char list[128] = "";
    size_t used = 0;

    for (int i = 0; k->words[i]; i++)
        if (is_word (n, k->words[i]))
            return i;
    for (int i = 0; k->words[i] && used < sizeof list; i++)
        used += (size_t) snprintf (list + used, sizeof list - used, "%s%s",
                                   i ? " | " : "", k->words[i]);
    return expected (r, n, list);
}

static int read_choice (struct reading *r, const struct node *n,
                        const struct key *k, void *into)
{
    int place = read_word (r, n, k);

    if (place < 0)
        return -1;
    memcpy (field (into, k), &place, sizeof place); // an enumeration
    return 0;
}

/* Two words: the first is false, the second true. */
static int read_either (struct reading *r, const struct node *n,
                        const struct key *k, void *into)
{
    int place = read_word (r, n, k);

    if (place < 0)
        return -1;
    *(bool *) field (into, k) = place == 1;
    return 0;
}

struct unit {
    const char *name;
    double factor;
};

static bool parse_with_unit (const char *text, const struct unit *units,
                             double *ret_value)
{
    const char *end;
    double number;

    if (!parse_number (text, &number, &end))
        return false;
    for (; units->name; units++)
        if (strcmp (end, units->name) == 0) {
            *ret_value = number * units->factor;
            return true;
        }
    return false;
}

/* 0 stands for null. Bounds are in the unit that is stored. */
static int read_with_unit (struct reading *r, const struct node *n,
                           const struct key *k, void *into,
                           const struct unit *units, const char *what)
{
    double value = 0;

    if (!(k->may & MAY_NULL && yaml_tree_null (n)) &&
        (n->kind != NODE_SCALAR || !parse_with_unit (n->text, units, &value) ||
         value < k->min || value > k->max))
        return expected (r, n, what);
    *(int64_t *) field (into, k) = llround (value);
    return 0;
}

static int read_duration (struct reading *r, const struct node *n,
                          const struct key *k, void *into)
{
    static const struct unit units[] = {{"ms", 1},   {"s", 1e3},   {"m", 6e4},
                                        {"h", 36e5}, {"d", 864e5}, {NULL, 0}};
    char what[80];

    snprintf (what, sizeof what, "a duration of %gms..%gh such as %s", k->min,
              k->max / 36e5, k->max > 864e5 ? "10m or 2h" : "5s or 200ms");
    return read_with_unit (r, n, k, into, units, what);
}

static int read_bytes (struct reading *r, const struct node *n,
                       const struct key *k, void *into)
{
    static const struct unit units[] = {{"", 1},
                                        {"K", 1024.0},
                                        {"M", 1048576.0},
                                        {"G", 1073741824.0},
                                        {"T", 1099511627776.0},
                                        {NULL, 0}};

    return read_with_unit (r, n, k, into, units,
                           "a number of bytes such as 512M or 2G");
}

/* aging_minutes: minutes in the file, ms for the core, 0 for off. */
static int read_minutes (struct reading *r, const struct node *n,
                         const struct key *k, void *into)
{
    double minutes = 0;

    if (!is_word (n, "off") && !number_within (n, k, &minutes))
        return out_of_range (r, n, k);
    *(int64_t *) field (into, k) = llround (minutes * 60000);
    return 0;
}

/* Text of up to k->max bytes; null is "". */
static int read_text (struct reading *r, const struct node *n,
                      const struct key *k, void *into)
{
    bool none = k->may & MAY_NULL && yaml_tree_null (n);
    char what[64];

    if (!none && (n->kind != NODE_SCALAR || yaml_tree_null (n) || !*n->text ||
                  strlen (n->text) > k->max)) {
        snprintf (what, sizeof what, "text of 1..%g bytes", k->max);
        return expected (r, n, what);
    }
    copy_text (field (into, k), (size_t) k->max + 1, none ? "" : n->text);
    return 0;
}

/* State of the file's first users: read over, never taken in. */
static int read_over (struct reading *r, const struct node *n,
                      const struct key *k, void *into)
{
    (void) r, (void) n, (void) k, (void) into;
    return 0;
}

/* ---- sections of plain values ---- */

enum { DAY = 24 * 3600 * 1000 };

#define LIMIT(name, field, least, most, extra)                                 \
    {                                                                          \
        name, read_number, offsetof (struct limits, field), least, most,       \
            MAY_NULL | extra, NULL                                             \
    }

static const struct key limit_keys[] = {
    LIMIT ("max_cpu_percent", cpu_percent, 1, 100, 0),
    LIMIT ("max_memory_percent", memory_percent, 1, 100, 0),
    LIMIT ("critical_memory_percent", critical_memory_percent, 1, 100, 0),
    LIMIT ("critical_memory_psi", critical_memory_psi, 1, 100, 0),
    LIMIT ("max_load_average", load_average, 0.1, 10000, MAY_AUTO),
    LIMIT ("max_disk_percent", disk_percent, 1, 100, 0),
    LIMIT ("critical_disk_percent", critical_disk_percent, 1, 100, 0),
    {0},
};

#define TIME(name, least)                                                      \
    {                                                                          \
#name, read_duration, offsetof(struct timing, name), least, DAY, 0,    \
            NULL                                                               \
    }

static const struct key timing_keys[] = {
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

/* ---- maps ---- */

static const struct key *find_key (const struct key *keys, const char *name)
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

static int unknown_key (struct reading *r, const struct node *n,
                        const struct key *keys)
{
    struct nearest nearest = {.word = n->key};
    const char *section = section_of (n->key);

    for (const struct key *k = keys; k->name; k++)
        nearest_offer (&nearest, k->name);
    if (section && keys != limit_keys && keys != timing_keys)
        return fail (r, n, "unknown key, it belongs under '%s'", section);
    if (nearest.best)
        return fail (r, n, "unknown key, did you mean '%s'?", nearest.best);
    return fail (r, n, "unknown key");
}

static int read_keys (struct reading *r, const struct node *map,
                      const struct key *keys, void *into)
{
    for (const struct node *n = map->first; n; n = n->next) {
        const struct key *k = find_key (keys, n->key);

        if (!k)
            return unknown_key (r, n, keys);
        if (k->read (r, n, k, into))
            return -1;
    }
    return 0;
}

/* An entry without a value is an empty map, as people write it. */
static int expect_map (struct reading *r, const struct node *n)
{
    if (n->kind == NODE_MAP || yaml_tree_null (n))
        return 0;
    return expected (r, n, "a map");
}

static int read_section (struct reading *r, const struct node *n,
                         const struct key *keys, void *into)
{
    size_t size;
    int rc;

    if (expect_map (r, n))
        return -1;
    descend (r, n, &size);
    rc = read_keys (r, n, keys, into);
    ascend (r, size);
    return rc;
}

/* ---- lists ---- */

static int expect_list (struct reading *r, const struct node *n, unsigned most)
{
    char what[48];
    unsigned count = 0;

    for (const struct node *item = n->first; item; item = item->next)
        count++;
    if (n->kind == NODE_LIST && count <= most)
        return 0;
    if (n->kind == NODE_LIST)
        return fail (r, n, "at most %u entries", most);
    snprintf (what, sizeof what, "a list of up to %u entries", most);
    return expected (r, n, what);
}

/* Why an item is refused, NULL if it is taken. */
typedef const char *judge_fn (const char *text);

static int read_items (struct reading *r, const struct node *n,
                       const struct key *k, struct texts *into, judge_fn *judge)
{
    size_t size;

    if (expect_list (r, n, (unsigned) k->max))
        return -1;
    descend (r, n, &size);
    into->count = 0;
    for (const struct node *item = n->first; item; item = item->next) {
        const char *why = item->kind != NODE_SCALAR || !*item->text ||
                                  strlen (item->text) >= PATH_BYTES
                              ? "text"
                              : judge (item->text);

        if (why)
            return expected (r, item, why);
        for (unsigned i = 0; i < into->count; i++)
            if (strcmp (into->at[i], item->text) == 0)
                return fail (r, item, "'%s' is given twice", into->at[i]);
        copy_text (into->at[into->count++], PATH_BYTES, item->text);
    }
    ascend (r, size);
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
    return strlen (text) < 65 ? NULL : "the name of a process";
}

static int read_paths (struct reading *r, const struct node *n,
                       const struct key *k, void *into)
{
    return read_items (r, n, k, field (into, k), judge_path);
}

static int read_endpoints (struct reading *r, const struct node *n,
                           const struct key *k, void *into)
{
    return read_items (r, n, k, field (into, k), judge_endpoint);
}

static int read_names (struct reading *r, const struct node *n,
                       const struct key *k, void *into)
{
    return read_items (r, n, k, field (into, k), judge_name);
}

static int read_uids (struct reading *r, const struct node *n,
                      const struct key *k, void *into)
{
    struct project_settings *p = into;
    size_t size;

    if (expect_list (r, n, MAX_UIDS))
        return -1;
    descend (r, n, &size);
    p->uid_count = 0;
    for (const struct node *item = n->first; item; item = item->next) {
        struct key uid = *k;

        uid.offset = offsetof (struct project_settings, uids) +
                     p->uid_count * sizeof p->uids[0];
        if (read_count (r, item, &uid, into))
            return -1;
        p->uid_count++;
    }
    ascend (r, size);
    return 0;
}

/* ---- projects and hosts ---- */

#define PROJECT(name, read, field, least, most, may)                           \
    {                                                                          \
        name, read, offsetof (struct project_settings, field), least, most,    \
            may, NULL                                                          \
    }

static const struct key project_keys[] = {
    PROJECT ("display", read_text, display, 1, 64, 0),
    PROJECT ("max", read_count, max, 1, MAX_SLOTS, 0),
    PROJECT ("guarantee", read_count, guarantee, 0, MAX_SLOTS, 0),
    PROJECT ("uids", read_uids, uids, 0, UINT32_MAX - 1, 0),
    PROJECT ("max_time", read_duration, max_time_ms, 1, 365.0 * DAY, MAY_NULL),
    PROJECT ("memory_limit", read_bytes, memory_limit_bytes, 1, 1e15, MAY_NULL),
    PROJECT ("stall_time", read_duration, stall_time_ms, 1, 365.0 * DAY,
             MAY_NULL),
    {0},
};

static const struct key host_keys[] = {
    {"max_slots", read_count, offsetof (struct host_settings, max_slots), 1,
     MAX_SLOTS, 0, NULL},
    {0},
};

static int read_limits (struct reading *r, const struct node *n,
                        const struct key *k, void *into)
{
    return read_section (r, n, limit_keys, field (into, k));
}

static int read_timing (struct reading *r, const struct node *n,
                        const struct key *k, void *into)
{
    return read_section (r, n, timing_keys, field (into, k));
}

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
static struct project_settings *
add_project (struct reading *r, const struct node *map, const struct node *n)
{
    char key[MAX_KEY_BYTES + 1];
    struct project_settings *p;

    if (project_key_of (n->key, key)) {
        fail (r, n,
              "not the name of a project: expected up to 64 of a-z 0-9 . _ - "
              "with a letter or digit first");
        return NULL;
    }
    if (spelt_before (map, n, key)) {
        fail (r, n, "given twice");
        return NULL;
    }
    p = settings_add_project (&r->o->settings, key);
    if (!p)
        fail (r, n, "more than %d projects", MAX_PROJECTS);
    else if (!p->display[0] && strcmp (n->key, key) != 0)
        copy_text (p->display, sizeof p->display, n->key);
    return p;
}

static int read_priorities (struct reading *r, const struct node *n,
                            const struct key *k, void *into)
{
    static const struct key priority = {
        "",  read_count,   offsetof (struct project_settings, priority),
        0,   MAX_PRIORITY, 0,
        NULL};
    size_t size;

    (void) k, (void) into;
    if (expect_map (r, n))
        return -1;
    descend (r, n, &size);
    for (const struct node *e = n->first; e; e = e->next) {
        struct project_settings *p = add_project (r, n, e);

        if (!p || read_count (r, e, &priority, p))
            return -1;
    }
    ascend (r, size);
    return 0;
}

static int read_projects (struct reading *r, const struct node *n,
                          const struct key *k, void *into)
{
    size_t size;

    (void) k, (void) into;
    if (expect_map (r, n))
        return -1;
    descend (r, n, &size);
    for (const struct node *e = n->first; e; e = e->next) {
        struct project_settings *p = add_project (r, n, e);

        if (!p || read_section (r, e, project_keys, p))
            return -1;
    }
    ascend (r, size);
    return 0;
}

static int read_hosts (struct reading *r, const struct node *n,
                       const struct key *k, void *into)
{
    struct settings *s = &r->o->settings;
    size_t size;

    (void) k, (void) into;
    if (expect_map (r, n))
        return -1;
    descend (r, n, &size);
    for (const struct node *e = n->first; e; e = e->next) {
        struct host_settings *h = &s->hosts[s->host_count];

        if (s->host_count == MAX_HOSTS)
            return fail (r, e, "more than %d hosts", MAX_HOSTS);
        if (!*e->key || strlen (e->key) >= sizeof h->host)
            return fail (r, e, "not the name of a host");
        memset (h, 0, sizeof *h);
        copy_text (h->host, sizeof h->host, e->key);
        if (read_section (r, e, host_keys, h))
            return -1;
        s->host_count++;
    }
    ascend (r, size);
    return 0;
}

/* ---- what is `auto` until somebody says a number ---- */

static int read_max_slots (struct reading *r, const struct node *n,
                           const struct key *k, void *into)
{
    if (!is_word (n, "auto"))
        r->o->max_slots_from = MAX_SLOTS_FILE;
    return read_count (r, n, k, into);
}

static int read_max_per_project (struct reading *r, const struct node *n,
                                 const struct key *k, void *into)
{
    r->o->settings.max_per_project_auto = is_word (n, "auto");
    return read_count (r, n, k, into);
}

static int read_auto_max (struct reading *r, const struct node *n,
                          const struct key *k, void *into)
{
    r->o->settings.auto_max_auto = is_word (n, "auto");
    return read_count (r, n, k, into);
}

static const char *const policies[] = {"fifo", "fair", "priority", NULL};
static const char *const fair_modes[] = {"proportional", "maxmin", NULL};
static const char *const reclaims[] = {"off", "ask", NULL};
static const char *const durabilities[] = {"auto", "power", NULL};

#define KEY(name, read, field, least, most, may, words)                        \
    {                                                                          \
        name, read, offsetof (struct options, field), least, most, may, words  \
    }
#define SETTING(name, read, field, least, most, may)                           \
    KEY (name, read, settings.field, least, most, may, NULL)
#define CHOICE(name, read, field, words)                                       \
    KEY (name, read, settings.field, 0, 0, 0, words)

static const struct key root_keys[] = {
    SETTING ("max_slots", read_max_slots, max_slots, 1, MAX_SLOTS, MAY_AUTO),
    SETTING ("max_per_project", read_max_per_project, max_per_project, 1,
             MAX_SLOTS, MAY_AUTO),
    CHOICE ("policy", read_choice, policy, policies),
    CHOICE ("fair_mode", read_choice, fair_mode, fair_modes),
    SETTING ("aging_minutes", read_minutes, aging_ms, 0.001, 10080, MAY_OFF),
    CHOICE ("reclaim", read_either, reclaim, reclaims),
    SETTING ("reclaim_idle", read_duration, reclaim_idle_ms, 1, 365.0 * DAY, 0),
    SETTING ("max_parked", read_count, max_parked, 0, MAX_SLOTS, 0),
    SETTING ("floor", read_count, floor, 1, MAX_SLOTS, 0),
    SETTING ("auto_max", read_auto_max, auto_max, 1, MAX_SLOTS, MAY_AUTO),
    SETTING ("grant_burst", read_count, grant_burst, 1, MAX_SLOTS, 0),
    CHOICE ("durability", read_either, power, durabilities),
    SETTING ("vm_limits", read_limits, limits, 0, 0, 0),
    KEY ("disk_paths", read_paths, disk_paths, 0, MAX_DISK_PATHS, 0, NULL),
    SETTING ("project_priorities", read_priorities, projects, 0, 0, 0),
    SETTING ("projects", read_projects, projects, 0, 0, 0),
    SETTING ("hosts", read_hosts, hosts, 0, 0, 0),
    KEY ("notice_command", read_text, notice_command, 1, PATH_BYTES - 1,
         MAY_NULL, NULL),
    KEY ("unmanaged", read_names, unmanaged, 0, MAX_UNMANAGED, 0, NULL),
    SETTING ("timing", read_timing, timing, 0, 0, 0),
    KEY ("bind", read_endpoints, binds, 0, MAX_BINDS, 0, NULL),
    KEY ("insecure", read_switch, insecure, 0, 0, 0, NULL),
    KEY ("slot_allocation", read_over, action, 0, 0, 0, NULL),
    KEY ("vm_state", read_over, action, 0, 0, 0, NULL),
    {0},
};

/* ---- the file ---- */

/* What does not fit together is told at the section that it begins with. */
static int check (struct reading *r, const struct node *root)
{
    const char *wrong = settings_check (&r->o->settings);
    const struct node *at = root;
    char key[32];

    if (!wrong)
        return 0;
    snprintf (key, sizeof key, "%.*s", (int) strcspn (wrong, ":"), wrong);
    if (yaml_tree_get (root, key))
        at = yaml_tree_get (root, key);
    snprintf (r->ret_error, r->error_size, "%s:%u:%u: %s", r->path, at->line,
              at->column, wrong);
    return -1;
}

static struct node *open_file (struct reading *r)
{
    struct node *root = yaml_tree_read (r->path, r->ret_error, r->error_size);

    if (!root || root->kind == NODE_MAP)
        return root;
    expected (r, root, "a map of settings");
    yaml_tree_free (root);
    return NULL;
}

int config_read (const char *path, struct options *o, char *ret_error,
                 size_t error_size)
{
    struct reading r = {path, "", ret_error, error_size, o};
    struct node *root = open_file (&r);
    int rc = -1;

    if (root) {
        rc = read_keys (&r, root, root_keys, o);
        if (rc == 0 && o->max_slots_flag > 0)
            o->settings.max_slots = o->max_slots_flag;
        settings_set_max (&o->settings, o->settings.max_slots);
        if (rc == 0)
            rc = check (&r, root);
    }
    yaml_tree_free (root);
    return rc;
}

int config_read_priorities (const char *path, struct options *o,
                            char *ret_error, size_t error_size)
{
    struct reading r = {path, "", ret_error, error_size, o};
    struct node *root = open_file (&r);
    const struct node *n =
        root ? yaml_tree_get (root, "project_priorities") : NULL;
    int rc = root ? 0 : -1;

    if (n)
        rc = read_priorities (&r, n, NULL, NULL);
    yaml_tree_free (root);
    return rc;
}
