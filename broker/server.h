/* SPDX-License-Identifier: MPL-2.0 */
/* server.h - the broker at work: the pure core, and all that surrounds it
 *
 * One thread, one loop. A turn: wait; read the clock; drain the ROUTER into
 * the core; tell it what watcher, sampler and store saw; let it serve the
 * queue; commit; only then send, publish and log.
 */
#ifndef SLOTBUS_SERVER_H
#define SLOTBUS_SERVER_H

#include <stddef.h>

#include "options.h"

/* What a shell or systemd makes of our end. */
enum exit_code {
    EXIT_DONE = 0,
    EXIT_OTHER = 1,
    EXIT_USAGE = 64,
    EXIT_BUG = 70,
    EXIT_DISK = 74,
    EXIT_REFUSED = 78
};

struct server;

/* Take folders and locks, open the store, bind. `options` is borrowed, and
 * changed by a reload. EXIT_DONE and *ret_server; else an exit code and a
 * sentence. */
enum exit_code server_open (struct options *options, struct server **ret_server,
                            char *ret_error, size_t error_size);
/* Serve until SIGTERM or SIGINT (EXIT_DONE), or until the disk fails. */
enum exit_code server_run (struct server *s);
/* Leases stay for the next start. NULL is fine. */
void server_close (struct server *s);

#endif
