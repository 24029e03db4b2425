/* SPDX-License-Identifier: MPL-2.0 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "config_projects.h"
#include "config_section.h"
#include "config_value.h"
#include "options.h"
#include "yaml_tree.h"

/* What is `auto` until somebody says a number is told from the default. */
static int read_max_slots (struct config_reading *r, const struct node *n,
                           const struct config_key *k, void *into)
{
    if (!config_is_word (n, "auto"))
        r->o->max_slots_from = MAX_SLOTS_FILE;
    return config_count (r, n, k, into);
}

static int read_max_per_project (struct config_reading *r, const struct node *n,
                                 const struct config_key *k, void *into)
{
    r->o->settings.max_per_project_auto = config_is_word (n, "auto");
    return config_count (r, n, k, into);
}

static int read_auto_max (struct config_reading *r, const struct node *n,
                          const struct config_key *k, void *into)
{
    r->o->settings.auto_max_auto = config_is_word (n, "auto");
    return config_count (r, n, k, into);
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

static const struct config_key root_keys[] = {
    SETTING ("max_slots", read_max_slots, max_slots, 1, MAX_SLOTS, MAY_AUTO),
    SETTING ("max_per_project", read_max_per_project, max_per_project, 1,
             MAX_SLOTS, MAY_AUTO),
    CHOICE ("policy", config_choice, policy, policies),
    CHOICE ("fair_mode", config_choice, fair_mode, fair_modes),
    SETTING ("aging_minutes", config_minutes, aging_ms, 0.001, 10080, MAY_OFF),
    CHOICE ("reclaim", config_either, reclaim, reclaims),
    SETTING ("reclaim_idle", config_duration, reclaim_idle_ms, 1,
             365.0 * DAY_MS, 0),
    SETTING ("max_parked", config_count, max_parked, 0, MAX_SLOTS, 0),
    SETTING ("floor", config_count, floor, 1, MAX_SLOTS, 0),
    SETTING ("auto_max", read_auto_max, auto_max, 1, MAX_SLOTS, MAY_AUTO),
    SETTING ("grant_burst", config_count, grant_burst, 1, MAX_SLOTS, 0),
    SETTING ("message_rate", config_count, message_rate, 10, 1000000, 0),
    CHOICE ("durability", config_either, power, durabilities),
    SETTING ("vm_limits", config_limits, limits, 0, 0, 0),
    KEY ("disk_paths", config_paths, disk_paths, 0, MAX_DISK_PATHS, 0, NULL),
    SETTING ("project_priorities", config_priorities, projects, 0, 0, 0),
    SETTING ("projects", config_projects, projects, 0, 0, 0),
    SETTING ("hosts", config_hosts, hosts, 0, 0, 0),
    KEY ("notice_command", config_text, notice_command, 1, PATH_BYTES - 1,
         MAY_NULL, NULL),
    KEY ("unmanaged", config_names, unmanaged, 0, MAX_UNMANAGED, 0, NULL),
    SETTING ("timing", config_timing, timing, 0, 0, 0),
    KEY ("bind", config_endpoints, binds, 0, MAX_BINDS, 0, NULL),
    KEY ("insecure", config_switch, insecure, 0, 0, 0, NULL),
    KEY ("slot_allocation", config_over, action, 0, 0, 0, NULL),
    KEY ("vm_state", config_over, action, 0, 0, 0, NULL),
    {0},
};

/* What does not fit together is told at the section that it begins with. */
static int check (struct config_reading *r, const struct node *root)
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

static struct node *open_file (struct config_reading *r)
{
    struct node *root = yaml_tree_read (r->path, r->ret_error, r->error_size);

    if (!root || root->kind == NODE_MAP)
        return root;
    config_expected (r, root, "a map of settings");
    yaml_tree_free (root);
    return NULL;
}

int config_read (const char *path, struct options *o, char *ret_error,
                 size_t error_size)
{
    struct config_reading r = {path, "", ret_error, error_size, o};
    struct node *root = open_file (&r);
    int rc = -1;

    if (root) {
        rc = config_keys (&r, root, root_keys, o);
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
    struct config_reading r = {path, "", ret_error, error_size, o};
    struct node *root = open_file (&r);
    const struct node *n =
        root ? yaml_tree_get (root, "project_priorities") : NULL;
    int rc = root ? 0 : -1;

    if (n)
        rc = config_priorities (&r, n, NULL, NULL);
    yaml_tree_free (root);
    return rc;
}
