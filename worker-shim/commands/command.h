/* SPDX-License-Identifier: MPL-2.0 */
/* command.h - what a subcommand of slotbus is
 *
 * One file per subcommand; main.c has the table. A command gets its own
 * arguments (argv[0] is its name), has read its flags with flags.h before it
 * does anything, writes results to stdout and talk to stderr, and returns an
 * exit status. Never 2: to some callers that means "block".
 */
#ifndef SLOTBUS_COMMAND_H
#define SLOTBUS_COMMAND_H

#include "protocol/message.h"

enum exit_status {
    EXIT_DONE = 0,
    EXIT_OTHER = 1,
    EXIT_USAGE = 64,
    EXIT_BAD_VALUE = 65, // or impossible
    EXIT_NO_BROKER = 69, // or no answer
    EXIT_BUG = 70,
    EXIT_DISK = 74,
    EXIT_NOT_NOW = 75,
    EXIT_NOT_ALLOWED = 77,
    EXIT_BAD_CONFIG = 78,
    EXIT_TIMEOUT = 124,
    EXIT_NOT_EXECUTABLE = 126,
    EXIT_NOT_FOUND = 127,
    EXIT_SIGNAL = 128 // plus the signal
};

struct command {
    const char *name;
    const char *usage;    // "P N [--min K] ...", after the name
    const char *summary;  // one line for the list
    const char *help;     // paragraphs and flags, each line ended
    const char *examples; // lines, indented by two
    int (*run) (int argc, char **argv);
};

extern const struct command command_shim, command_request, command_release,
    command_cancel, command_run, command_progress, command_status, command_kill,
    command_set_max, command_set_policy, command_set_priority, command_pause,
    command_resume, command_park, command_health, command_events, command_advise,
    command_doctor, command_history, command_relieve;

/* The command of that name, or NULL. (main.c) */
const struct command *command_find (const char *name);
/* Its --help on stdout. */
void command_help (const struct command *command);

#endif
