/* SPDX-License-Identifier: MPL-2.0 */
/* serve.h - the shell of a shim: its core, its sockets, one loop
 *
 * Each turn: wait until something is readable or due; hand what came to the
 * core (core/shim.h); let it do what is due; carry out its actions. Time is
 * read once after the wait. Signals are blocked and read by signalfd; SIGTERM,
 * SIGINT and SIGHUP give everything back and end.
 */
#ifndef SLOTBUS_SERVE_H
#define SLOTBUS_SERVE_H

#include "bus/endpoint.h"
#include "core/shim.h"

struct serve_options {
    struct shim_settings settings;
    struct endpoint_list broker;
    const char *folder; // RUNTIME/projects/P
    int lock;           // its lock, held by the caller
    struct who watch;   // supervisor; pid 0 = none
    int ready_fd;       // gets 'l' when it listens, 'r' when the session
                        // lives, then it is closed; -1 = none
    // fork the shim of another project, detached. 0/-1 and errno
    int (*spawn) (const char *project, struct who watch);
};

/* Until everything is given back. The exit status. */
int serve (const struct serve_options *options);

#endif
