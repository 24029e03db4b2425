/* SPDX-License-Identifier: MPL-2.0 */
/* keeper_options.h - what `run` tells its keeper on the command line */
#ifndef SLOTBUS_KEEPER_OPTIONS_H
#define SLOTBUS_KEEPER_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct keeper_options {
    const char *shim;    // path of the shim's socket for keepers
    const char *cookie;  // BROKER-ID:TOKEN, fits keeper_wire.h
    const char *tokens;  // "17,18"
    const char *slots;   // how many, as text
    const char *label;   // "" = none
    const char *project; // "" = unknown
    const char *witness; // lock file, NULL = none
    const char *notice;  // shell command, NULL = none
    uint64_t token;      // the first
    unsigned count;
    int run; // the socket to run, made CLOEXEC here
    bool no_cgroup;
    char **command; // ended by NULL, at least one
};

/* The texts stay argv's. -1: something is wrong, said on stderr. */
int keeper_options_read (struct keeper_options *ret_options, int argc,
                         char **argv);

#endif
