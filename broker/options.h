/* SPDX-License-Identifier: MPL-2.0 */
/* options.h - what slotbus-broker is told: its command line and slots.yaml
 *
 * The command line is read once. The file is read at the start and at every
 * reload: a reload that fails leaves the options as they were. Flags win over
 * the file. Which file: endpoint.h. What it may hold: the user's manual; here,
 * the table in config*.c.
 */
#ifndef SLOTBUS_OPTIONS_H
#define SLOTBUS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bus/endpoint.h"
#include "bus/log.h"
#include "core/settings.h"

enum { MAX_BINDS = 8, MAX_DISK_PATHS = 16, MAX_UNMANAGED = 64 };

enum action { ACTION_SERVE, ACTION_CHECK, ACTION_HELP, ACTION_VERSION };

/* Where max_slots comes from: of a file and `slotbus set-max` the later
 * change wins, and only what was said by somebody is a change. */
enum max_slots_from { MAX_SLOTS_AUTO, MAX_SLOTS_FILE, MAX_SLOTS_FLAG };

/* A bounded list of texts, such as paths. */
struct texts {
    unsigned count;
    char at[MAX_UNMANAGED][PATH_BYTES];
};

struct options {
    // by the command line
    enum action action;
    char config_flag[PATH_BYTES]; // --config, "" = search
    char state_flag[PATH_BYTES];  // --state, "" = by the environment
    struct texts bind_flags;
    unsigned max_slots_flag; // 0 = not given
    bool beside;             // --private
    bool accept_state_loss;
    enum log_format log_format;

    // by options_load ()
    char config_path[PATH_BYTES]; // "" = there is none
    int64_t config_changed_ms;    // its mtime, wall time; 0 = no file
    char runtime_folder[PATH_BYTES], state_folder[PATH_BYTES];
    struct texts binds; // at least one
    struct texts disk_paths;
    struct texts unmanaged;          // process names that are reported
    char notice_command[PATH_BYTES]; // "" = none
    bool insecure;                   // plain TCP is allowed
    enum max_slots_from max_slots_from;
    struct settings settings;
};

/* 0; or 64 and a sentence in ret_error that names what was meant. Asks no
 * file. struct options is large: keep it static or on the heap. */
int options_parse (int argc, char **argv, struct options *ret_options,
                   char *ret_error, size_t error_size);

/* Find and read the file, resolve every `auto` by this machine, check the
 * whole. 0; or -1, ret_error says where and why, and *o is as it was. */
int options_load (struct options *o, char *ret_error, size_t error_size);

/* For --help. */
const char *options_help (void);

#endif
