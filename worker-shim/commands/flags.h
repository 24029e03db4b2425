/* SPDX-License-Identifier: MPL-2.0 */
/* flags.h - the flags of a subcommand, read by one table
 *
 * Accepted: --name VALUE, --name=VALUE, -x VALUE, -xVALUE, flags between the
 * other arguments, and -- before the rest. Every mistake is one sentence on
 * stderr that names the nearest right flag, and exit 64.
 */
#ifndef SLOTBUS_FLAGS_H
#define SLOTBUS_FLAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "commands/command.h"

enum flag_kind {
    FLAG_BOOL,     // bool
    FLAG_TEXT,     // const char *, borrowed from argv
    FLAG_TEXTS,    // struct texts: may be given again
    FLAG_NUMBER,   // uint64_t, within min..max
    FLAG_DURATION, // int64_t ms: 90, 1.5h, 250ms; a bare number is seconds
    FLAG_TOKENS    // struct u64s: 17, 17-21, 17,19; may be given again
};

enum { MAX_TEXTS = 16 };

struct texts {
    unsigned count;
    const char *at[MAX_TEXTS]; // borrowed from argv
};

struct flag {
    const char *name; // "--label", NULL ends the table
    char letter;      // 'l', or 0
    enum flag_kind kind;
    void *value;       // of the kind's type
    uint64_t min, max; // FLAG_NUMBER
};

/* What is left when the flags are taken out; borrowed from argv. */
struct arguments {
    int count;
    char **at;
    bool dashes; // a "--" was there; at[first_after] came behind it
    int first_after;
};

enum flags_mode { FLAGS_ANYWHERE, FLAGS_BEFORE_WORDS };

/* Read argv[1..]. 0: go on. Else the command is done and returns
 * ret_status: after --help (0) or a mistake (64). argv is reordered. */
int flags_read (const struct command *command, const struct flag *flags,
                enum flags_mode mode, int argc, char **argv,
                struct arguments *ret_arguments, int *ret_status);

/* A mistake: the sentence, where help is to be had; returns EXIT_USAGE. */
int usage_error (const struct command *command, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

/* A whole decimal number within min..max. 0/-1. */
int number_of (const char *text, uint64_t min, uint64_t max,
               uint64_t *ret_number);
/* A duration in ms; 0/-1: not one, or above a year. */
int duration_of (const char *text, int64_t *ret_ms);
/* Adds "17-21,30" to a list; 0/-1: not that, or full. */
int tokens_of (const char *text, struct u64s *tokens);

#endif
