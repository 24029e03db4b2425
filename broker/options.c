/* SPDX-License-Identifier: MPL-2.0 */
#include "options.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bus/base.h"
#include "bus/machine.h"
#include "config.h"
#include "protocol/nearest.h"

enum { EXIT_USAGE = 64 };

static const char help[] =
    "usage: slotbus-broker [OPTION]...\n"
    "Leases the slots of this machine to projects; runs in the foreground.\n"
    "\n"
    "  --config FILE         read this slots.yaml (else $SLOTBUS_CONFIG, else\n"
    "                        the first of the usual places)\n"
    "  --bind ENDPOINT       serve here: ipc:///PATH or tcp://HOST:PORT; may "
    "be\n"
    "                        given up to 8 times, instead of the file's\n"
    "  --state DIR           keep leases here (else $SLOTBUS_STATE_DIR)\n"
    "  --max-slots N         instead of the file's, 1..10000\n"
    "  --check-config        read the configuration, say what is wrong, end\n"
    "  --accept-state-loss   start though the state is gone: learn from the\n"
    "                        shims what they hold, grant nothing meanwhile\n"
    "  --private             beside another broker of this host (tests, "
    "demos)\n"
    "  --log-format FORMAT   text or json\n"
    "  --version, --help\n"
    "\n"
    "Examples:\n"
    "  slotbus-broker\n"
    "  slotbus-broker --config slots.yaml --check-config\n"
    "  SLOTBUS_RUNTIME_DIR=/tmp/demo slotbus-broker --private --state \\\n"
    "      /tmp/demo/state --max-slots 4\n"
    "\n"
    "SIGHUP reads the configuration again, SIGTERM ends it. Exit status: 0,\n"
    "64 usage, 74 the disk failed, 78 configuration or state, 1 otherwise.\n";

const char *options_help (void)
{
    return help;
}

/* ---- the command line ---- */

struct reading {
    struct options *o;
    char *ret_error;
    size_t error_size;
};

static int fail (struct reading *r, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

static int fail (struct reading *r, const char *format, ...)
{
    va_list args;

    va_start (args, format);
    vsnprintf (r->ret_error, r->error_size, format, args);
    va_end (args);
    return EXIT_USAGE;
}

typedef int flag_fn (struct reading *r, const char *value);

static int take_path (struct reading *r, const char *flag, const char *value,
                      char *ret_path)
{
    if (ret_path[0])
        return fail (r, "%s is given twice", flag);
    if (!*value || strlen (value) >= PATH_BYTES)
        return fail (r, "%s: expected a path", flag);
    copy_text (ret_path, PATH_BYTES, value);
    return 0;
}

static int on_config (struct reading *r, const char *value)
{
    return take_path (r, "--config", value, r->o->config_flag);
}

static int on_state (struct reading *r, const char *value)
{
    return take_path (r, "--state", value, r->o->state_flag);
}

static int on_bind (struct reading *r, const char *value)
{
    struct texts *binds = &r->o->bind_flags;
    struct endpoints e;
    char shown[160];

    log_escape (value, shown, sizeof shown);
    if (endpoints_of (value, &e))
        return fail (r,
                     "--bind %s: expected ipc:///PATH (up to 107 bytes) or "
                     "tcp://HOST:PORT",
                     shown);
    for (unsigned i = 0; i < binds->count; i++)
        if (strcmp (binds->at[i], value) == 0)
            return fail (r, "--bind %s is given twice", shown);
    if (binds->count == MAX_BINDS)
        return fail (r, "--bind may be given at most %d times", MAX_BINDS);
    copy_text (binds->at[binds->count++], PATH_BYTES, value);
    return 0;
}

static int on_max_slots (struct reading *r, const char *value)
{
    size_t size = strlen (value);
    char shown[40];
    long number = 0;

    if (size > 0 && size < 6 && strspn (value, "0123456789") == size)
        number = atol (value);
    if (number < 1 || number > MAX_SLOTS)
        return fail (r, "--max-slots: expected 1..%d, got '%s'", MAX_SLOTS,
                     log_escape (value, shown, sizeof shown));
    if (r->o->max_slots_flag > 0)
        return fail (r, "--max-slots is given twice");
    r->o->max_slots_flag = (unsigned) number;
    return 0;
}

static int on_log_format (struct reading *r, const char *value)
{
    char shown[40];

    if (strcmp (value, "json") == 0)
        r->o->log_format = LOG_JSON;
    else if (strcmp (value, "text") == 0)
        r->o->log_format = LOG_TEXT;
    else
        return fail (r, "--log-format: expected text or json, got '%s'",
                     log_escape (value, shown, sizeof shown));
    return 0;
}

static int on_check_config (struct reading *r, const char *value)
{
    (void) value;
    r->o->action = ACTION_CHECK;
    return 0;
}

static int on_accept_state_loss (struct reading *r, const char *value)
{
    (void) value;
    r->o->accept_state_loss = true;
    return 0;
}

static int on_private (struct reading *r, const char *value)
{
    (void) value;
    r->o->beside = true;
    return 0;
}

static int on_help (struct reading *r, const char *value)
{
    (void) value;
    r->o->action = ACTION_HELP;
    return 0;
}

static int on_version (struct reading *r, const char *value)
{
    (void) value;
    r->o->action = ACTION_VERSION;
    return 0;
}

static const struct flag {
    const char *name;
    flag_fn *take;
    bool has_value;
} flags[] = {
    {"--config", on_config, true},
    {"--bind", on_bind, true},
    {"--state", on_state, true},
    {"--max-slots", on_max_slots, true},
    {"--check-config", on_check_config, false},
    {"--accept-state-loss", on_accept_state_loss, false},
    {"--private", on_private, false},
    {"--log-format", on_log_format, true},
    {"--help", on_help, false},
    {"-h", on_help, false},
    {"--version", on_version, false},
};
enum { FLAGS = sizeof flags / sizeof *flags };

static const struct flag *find_flag (const char *word, size_t size)
{
    for (int i = 0; i < FLAGS; i++)
        if (strlen (flags[i].name) == size &&
            strncmp (flags[i].name, word, size) == 0)
            return &flags[i];
    return NULL;
}

static int unknown_flag (struct reading *r, const char *word, size_t size)
{
    char text[64], shown[80];
    struct nearest nearest = {.word = text};

    snprintf (text, sizeof text, "%.*s", (int) (size < 64 ? size : 63), word);
    log_escape (text, shown, sizeof shown);
    if (*word != '-')
        return fail (r, "unexpected argument '%s': see --help", shown);
    for (int i = 0; i < FLAGS; i++)
        nearest_offer (&nearest, flags[i].name);
    if (nearest.best)
        return fail (r, "unknown option %s: did you mean %s?", shown,
                     nearest.best);
    return fail (r, "unknown option %s: see --help", shown);
}

/* `--flag value` and `--flag=value`. Moves *at behind what it used. */
static int read_flag (struct reading *r, int argc, char **argv, int *at)
{
    const char *word = argv[(*at)++];
    const char *value = *word == '-' ? strchr (word, '=') : NULL;
    size_t size = value ? (size_t) (value - word) : strlen (word);
    const struct flag *f = find_flag (word, size);

    if (!f)
        return unknown_flag (r, word, size);
    if (value && !f->has_value)
        return fail (r, "%s takes no value", f->name);
    if (value)
        return f->take (r, value + 1);
    if (!f->has_value)
        return f->take (r, NULL);
    if (*at == argc)
        return fail (r, "%s needs a value: see --help", f->name);
    return f->take (r, argv[(*at)++]);
}

int options_parse (int argc, char **argv, struct options *ret_options,
                   char *ret_error, size_t error_size)
{
    struct options *o = xcalloc (1, sizeof *o);
    struct reading r = {o, ret_error, error_size};
    int rc = 0, at = 1;

    while (rc == 0 && at < argc && o->action != ACTION_HELP)
        rc = read_flag (&r, argc, argv, &at);
    if (rc == 0)
        *ret_options = *o;
    free (o);
    return rc;
}

/* ---- the file, and what surrounds it ---- */

static const char *const unmanaged[] = {"claude",  "codex", "aider", "cc1",
                                        "cc1plus", "rustc", "javac"};

/* What stands where neither flag nor file say anything. */
static void set_defaults (struct options *o)
{
    struct machine machine;

    machine_read ("/proc", &machine);
    settings_default (&o->settings, machine.cores, machine.memory_bytes);
    o->max_slots_from = MAX_SLOTS_AUTO;
    o->insecure = false;
    o->notice_command[0] = 0;
    o->binds.count = 0;
    o->disk_paths.count = 1;
    copy_text (o->disk_paths.at[0], PATH_BYTES, "/");
    o->unmanaged.count = 0;
    for (size_t i = 0; i < sizeof unmanaged / sizeof *unmanaged; i++)
        copy_text (o->unmanaged.at[o->unmanaged.count++], PATH_BYTES,
                   unmanaged[i]);
}

static int find_folders (struct options *o, char *ret_error, size_t error_size)
{
    if (folder_runtime (o->runtime_folder, sizeof o->runtime_folder, ret_error,
                        error_size))
        return -1;
    if (o->state_flag[0]) {
        copy_text (o->state_folder, sizeof o->state_folder, o->state_flag);
        return 0;
    }
    return folder_state (o->state_folder, sizeof o->state_folder, ret_error,
                         error_size);
}

static int read_files (struct options *o, char *ret_error, size_t error_size)
{
    char priorities[PATH_BYTES];
    struct stat st;

    config_find (o->config_flag, o->config_path, sizeof o->config_path);
    o->config_changed_ms = 0;
    if (!o->config_path[0])
        return 0;
    if (stat (o->config_path, &st) == 0)
        o->config_changed_ms =
            (int64_t) st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
    if (config_is_sketch (o->config_path, priorities, sizeof priorities) &&
        config_read_priorities (priorities, o, ret_error, error_size))
        return -1;
    return config_read (o->config_path, o, ret_error, error_size);
}

/* Flags win; without either the socket lies in the runtime folder. */
static int choose_binds (struct options *o, char *ret_error, size_t error_size)
{
    struct endpoints e;
    int n;

    if (o->bind_flags.count > 0)
        o->binds = o->bind_flags;
    if (o->binds.count > 0)
        return 0;
    n = snprintf (o->binds.at[0], PATH_BYTES, "ipc://%s/broker",
                  o->runtime_folder);
    o->binds.count = 1;
    if (n < PATH_BYTES && endpoints_of (o->binds.at[0], &e) == 0)
        return 0;
    snprintf (ret_error, error_size,
              "%s is too long for a socket: set SLOTBUS_RUNTIME_DIR to a "
              "shorter path",
              o->runtime_folder);
    return -1;
}

/* The file was checked with its lines; flags alone may be wrong as well. */
static int apply_flags (struct options *o, char *ret_error, size_t error_size)
{
    const char *wrong;

    if (o->max_slots_flag > 0) {
        settings_set_max (&o->settings, o->max_slots_flag);
        o->max_slots_from = MAX_SLOTS_FLAG;
    }
    wrong = settings_check (&o->settings);
    if (!wrong)
        return 0;
    snprintf (ret_error, error_size, "%s", wrong);
    return -1;
}

/* As WELCOME has room for them; a name with a comma cannot be told. */
static void list_unmanaged (struct options *o)
{
    char *list = o->settings.unmanaged;
    size_t used = 0, size = sizeof o->settings.unmanaged;

    list[0] = '\0';
    for (unsigned i = 0; i < o->unmanaged.count; i++) {
        const char *name = o->unmanaged.at[i];

        if (strchr (name, ',') || used + strlen (name) + 2 > size)
            continue;
        used += (size_t) snprintf (list + used, size - used, "%s%s",
                                   used ? "," : "", name);
    }
}

int options_load (struct options *o, char *ret_error, size_t error_size)
{
    struct options *fresh = xmalloc (sizeof *fresh);
    int rc = -1;

    *fresh = *o;
    set_defaults (fresh);
    if (find_folders (fresh, ret_error, error_size) == 0 &&
        read_files (fresh, ret_error, error_size) == 0 &&
        apply_flags (fresh, ret_error, error_size) == 0 &&
        choose_binds (fresh, ret_error, error_size) == 0) {
        list_unmanaged (fresh);
        *o = *fresh;
        rc = 0;
    }
    free (fresh);
    return rc;
}
