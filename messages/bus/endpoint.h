/* SPDX-License-Identifier: MPL-2.0 */
/* endpoint.h - where things are: folders, sockets, the broker to talk to
 *
 * The defaults are those of the user's manual: SLOTBUS_RUNTIME_DIR and
 * SLOTBUS_STATE_DIR, else systemd's RUNTIME_DIRECTORY / STATE_DIRECTORY, else
 * root /run/slotbus and /var/lib/slotbus, else the user's XDG folders, else
 * /tmp/slotbus-UID (0700, owner checked). One place knows them: this file.
 */
#ifndef SLOTBUS_ENDPOINT_H
#define SLOTBUS_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>

enum { PATH_BYTES = 1024, DEFAULT_PORT = 7557, DEFAULT_EVENTS_PORT = 7558 };

/* Our own runtime folder / state folder (not made). 0, or -1 with a sentence
 * in ret_error (size bytes) that says how to mend it. */
int folder_runtime (char *ret_path, size_t size, char *ret_error, size_t error_size);
int folder_state (char *ret_path, size_t size, char *ret_error, size_t error_size);
/* Make it with `mode` if missing; an existing one must belong to us (or root)
 * and not be writable by others. 0/-1 with a sentence. */
int folder_make (const char *path, unsigned mode, char *ret_error, size_t error_size);
/* RUNTIME/projects/PROJECT, made 0700 in our own runtime folder. */
int folder_project (const char *project, char *ret_path, size_t size,
                    char *ret_error, size_t error_size);

/* The configuration file to read: `given` (--config), else SLOTBUS_CONFIG,
 * else the first that exists of the default places; "" if there is none. */
void config_find (const char *given, char *ret_path, size_t size);

/* Is this the file that the first sketch of the project used,
 * ~/supervisor/.resource-manager/slots.yaml? Then its priorities stand in
 * ~/supervisor/config.yaml: that path is given back. */
bool config_is_sketch (const char *path, char *ret_priorities, size_t size);

struct endpoints {
    char bus[PATH_BYTES];       // ipc:///run/slotbus/broker, tcp://host:7557
    char events[PATH_BYTES];    // beside it: ipc:///run/slotbus/events, :7558
    char runtime[PATH_BYTES];   // ipc: the broker's runtime folder, else ""
};

/* Brokers to be tried one after the other, one at a time. Several are all
 * tcp://, since the clock of a shim hangs on where its broker is; so at[0]
 * tells whether the broker is on this host. */
enum { MAX_ENDPOINTS = 8 };

struct endpoint_list {
    unsigned count; // 1..MAX_ENDPOINTS
    struct endpoints at[MAX_ENDPOINTS];
};

/* Which broker a client talks to: SLOTBUS_BROKER (which may be several,
 * separated by commas), else SLOTBUS_RUNTIME_DIR, else the system's, the
 * user's, the one under /tmp: the first whose socket exists. 0; or -1 and
 * ret_error says that there is none, where it was looked for, what is wrong
 * with which endpoint, or that the socket is there but may not be opened
 * (EACCES), in *ret_denied. */
int endpoints_find (struct endpoint_list *ret_list, bool *ret_denied,
                    char *ret_error, size_t error_size);
/* All of them for people: "tcp://a:7557, tcp://b:7557". Returns ret_text. */
char *endpoints_text (const struct endpoint_list *list, char *ret_text,
                      size_t size);
/* Fill events and runtime from a bus endpoint. 0, or -1: not ipc:// or
 * tcp://HOST:PORT, or an ipc path longer than the kernel's 107 bytes. */
int endpoints_of (const char *bus, struct endpoints *ret_endpoints);

#endif
