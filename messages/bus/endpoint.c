/* SPDX-License-Identifier: MPL-2.0 */
#include "bus/endpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "bus/base.h"

static const char SYSTEM_RUNTIME[] = "/run/slotbus";
static const char SYSTEM_STATE[] = "/var/lib/slotbus";
static const char SYSTEM_CONFIG[] = "/etc/slotbus";

/* The kernel's sun_path, less its terminating 0. */
enum { SOCKET_PATH_BYTES = sizeof ((struct sockaddr_un *) 0)->sun_path - 1 };

static int fail (char *ret_error, size_t size, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));

static int fail (char *ret_error, size_t size, const char *format, ...)
{
    va_list args;

    va_start (args, format);
    vsnprintf (ret_error, size, format, args);
    va_end (args);
    return -1;
}

/* NULL if it is not set or empty, which is the same to people. */
static const char *variable (const char *name)
{
    const char *value = getenv (name);

    return value && *value ? value : NULL;
}

static bool join (char *ret_path, size_t size, const char *folder,
                  const char *rest)
{
    int n = snprintf (ret_path, size, "%s%s", folder, rest);

    return n >= 0 && (size_t) n < size;
}

/* systemd's *_DIRECTORY hold several paths, separated by colons: ours is the
 * first. Source: systemd.exec(5). */
static size_t first_size (const char *name, const char *value)
{
    return strstr (name, "_DIRECTORY") ? strcspn (value, ":") : strlen (value);
}

/* 1: taken from that variable; 0: it is not set; -1: it is of no use. */
static int from_variable (const char *name, const char *rest, char *ret_path,
                          size_t size, char *ret_error, size_t error_size)
{
    char folder[PATH_BYTES];
    const char *value = variable (name);
    size_t used;

    if (!value)
        return 0;
    used = first_size (name, value);
    while (used > 1 && value[used - 1] == '/')
        used--;
    if (value[0] != '/')
        return fail (ret_error, error_size,
                     "%s is not an absolute path: set it to one, or unset it",
                     name);
    if (used >= sizeof folder)
        return fail (ret_error, error_size, "%s is too long", name);
    memcpy (folder, value, used);
    folder[used] = 0;
    if (!join (ret_path, size, folder, rest))
        return fail (ret_error, error_size, "%s is too long", name);
    return 1;
}

/* A variable with a path below it: try `rest` of each until one is set. */
struct source {
    const char *name, *rest;
};

static int from_sources (const struct source *sources, char *ret_path,
                         size_t size, char *ret_error, size_t error_size)
{
    for (; sources->name; sources++) {
        int rc = from_variable (sources->name, sources->rest, ret_path, size,
                                ret_error, error_size);

        if (rc != 0)
            return rc;
    }
    return 0;
}

static void folder_temporary (char *ret_path, size_t size)
{
    snprintf (ret_path, size, "/tmp/slotbus-%ld", (long) geteuid ());
}

int folder_runtime (char *ret_path, size_t size, char *ret_error,
                    size_t error_size)
{
    static const struct source given[] = {
        {"SLOTBUS_RUNTIME_DIR", ""}, {"RUNTIME_DIRECTORY", ""}, {NULL, NULL}};
    static const struct source own[] = {{"XDG_RUNTIME_DIR", "/slotbus"},
                                        {NULL, NULL}};
    int rc = from_sources (given, ret_path, size, ret_error, error_size);

    if (rc == 0 && geteuid () == 0)
        rc = join (ret_path, size, SYSTEM_RUNTIME, "") ? 1 : -1;
    if (rc == 0)
        rc = from_sources (own, ret_path, size, ret_error, error_size);
    if (rc == 0)
        folder_temporary (ret_path, size);
    return rc < 0 ? -1 : 0;
}

int folder_state (char *ret_path, size_t size, char *ret_error,
                  size_t error_size)
{
    static const struct source given[] = {
        {"SLOTBUS_STATE_DIR", ""}, {"STATE_DIRECTORY", ""}, {NULL, NULL}};
    static const struct source own[] = {{"XDG_STATE_HOME", "/slotbus"},
                                        {"HOME", "/.local/state/slotbus"},
                                        {NULL, NULL}};
    int rc = from_sources (given, ret_path, size, ret_error, error_size);

    if (rc == 0 && geteuid () == 0)
        rc = join (ret_path, size, SYSTEM_STATE, "") ? 1 : -1;
    if (rc == 0)
        rc = from_sources (own, ret_path, size, ret_error, error_size);
    if (rc == 0)
        return fail (ret_error, error_size,
                     "no place for state: set SLOTBUS_STATE_DIR or HOME");
    return rc < 0 ? -1 : 0;
}

static bool trusted (uid_t uid)
{
    return uid == geteuid () || uid == 0;
}

/* Others must not be able to put a socket or a file of theirs there: neither
 * by writing, nor by owning it, nor by a link of theirs in a shared folder. */
static int check_folder (const char *path, char *ret_error, size_t error_size)
{
    struct stat link, st;

    if (lstat (path, &link) || stat (path, &st))
        return fail (ret_error, error_size, "%s: %s", path, strerror (errno));
    if (!S_ISDIR (st.st_mode))
        return fail (ret_error, error_size, "%s is not a folder: move it away",
                     path);
    if (!trusted (link.st_uid) || !trusted (st.st_uid))
        return fail (ret_error, error_size,
                     "%s belongs to another user (uid %ld): remove it, or set "
                     "SLOTBUS_RUNTIME_DIR or SLOTBUS_STATE_DIR to your own",
                     path,
                     (long) (trusted (st.st_uid) ? link.st_uid : st.st_uid));
    if (st.st_mode & (S_IWGRP | S_IWOTH))
        return fail (ret_error, error_size,
                     "%s may be written by others: chmod go-w it", path);
    return 0;
}

int folder_make (const char *path, unsigned mode, char *ret_error,
                 size_t error_size)
{
    // parents of a user's folder are the user's alone (XDG base directories)
    if (make_folders (path, geteuid () == 0 ? 0755 : 0700) == 0 &&
        mkdir (path, (mode_t) mode) == 0) {
        if (chmod (path, (mode_t) mode) == 0) // whatever the umask was
            return 0;
    } else if (errno == EEXIST)
        return check_folder (path, ret_error, error_size);
    return fail (ret_error, error_size, "cannot make %s: %s", path,
                 strerror (errno));
}

int folder_project (const char *project, char *ret_path, size_t size,
                    char *ret_error, size_t error_size)
{
    char runtime[PATH_BYTES], folder[PATH_BYTES];
    int n;

    if (!*project || *project == '.' || strchr (project, '/'))
        return fail (ret_error, error_size, "not the name of a project");
    if (folder_runtime (runtime, sizeof runtime, ret_error, error_size))
        return -1;
    if (folder_make (runtime, 0700, ret_error, error_size))
        return -1;
    n = snprintf (folder, sizeof folder, "%s/projects/%s", runtime, project);
    // the longest socket in it is "keepers"
    if (n < 0 || n + 8 > (int) SOCKET_PATH_BYTES || (size_t) n >= size)
        return fail (ret_error, error_size,
                     "%s is too long for a socket: set SLOTBUS_RUNTIME_DIR to "
                     "a shorter path",
                     folder);
    *strrchr (folder, '/') = 0;
    if (folder_make (folder, 0700, ret_error, error_size))
        return -1;
    folder[strlen (folder)] = '/';
    if (folder_make (folder, 0700, ret_error, error_size))
        return -1;
    memcpy (ret_path, folder, strlen (folder) + 1);
    return 0;
}

/* ---- configuration ---- */

static bool config_at (const char *name, const char *rest, char *ret_path,
                       size_t size)
{
    char path[PATH_BYTES], error[PATH_BYTES];

    if (from_variable (name, rest, path, sizeof path, error, sizeof error) != 1)
        return false;
    if (access (path, F_OK) && errno == ENOENT)
        return false; // one that is there but cannot be read is an error later
    return join (ret_path, size, path, "");
}

static bool config_of_system (char *ret_path, size_t size)
{
    char path[PATH_BYTES];

    join (path, sizeof path, SYSTEM_CONFIG, "/slots.yaml");
    return access (path, F_OK) == 0 && join (ret_path, size, path, "");
}

static const char SKETCH[] = "/supervisor/.resource-manager/slots.yaml";

static bool config_of_user (char *ret_path, size_t size)
{
    // XDG_CONFIG_HOME replaces ~/.config, it is not searched beside it
    if (variable ("XDG_CONFIG_HOME")
            ? config_at ("XDG_CONFIG_HOME", "/slotbus/slots.yaml", ret_path,
                         size)
            : config_at ("HOME", "/.config/slotbus/slots.yaml", ret_path, size))
        return true;
    return config_at ("HOME", SKETCH, ret_path, size);
}

void config_find (const char *given, char *ret_path, size_t size)
{
    if (!given || !*given)
        given = variable ("SLOTBUS_CONFIG");
    if (given) {
        join (ret_path, size, given, "");
        return;
    }
    if (config_at ("CONFIGURATION_DIRECTORY", "/slots.yaml", ret_path, size))
        return;
    if (geteuid () == 0 ? config_of_system (ret_path, size)
                        : config_of_user (ret_path, size))
        return;
    ret_path[0] = 0;
}

bool config_is_sketch (const char *path, char *ret_priorities, size_t size)
{
    char sketch[PATH_BYTES];

    if (!config_at ("HOME", SKETCH, sketch, sizeof sketch) ||
        strcmp (path, sketch) != 0)
        return false;
    return config_at ("HOME", "/supervisor/config.yaml", ret_priorities, size);
}

/* ---- endpoints ---- */

static bool port_of (const char *text, long *ret_port)
{
    char *end;
    long port = strtol (text, &end, 10);

    if (*text < '0' || *text > '9' || *end || port < 1 || port > 65534)
        return false; // the events' port is the next one
    *ret_port = port;
    return true;
}

static int endpoints_of_tcp (const char *bus, struct endpoints *ret_endpoints)
{
    struct endpoints found = {"", "", ""};
    const char *host = bus + strlen ("tcp://");
    const char *colon = strrchr (host, ':');
    long port;

    if (!colon || colon == host || strpbrk (host, "/ \t\r\n") ||
        !port_of (colon + 1, &port))
        return -1;
    if (*host != '[' && strchr (host, ':') != colon)
        return -1; // an IPv6 address stands in brackets
    if (!join (found.bus, sizeof found.bus, bus, "") ||
        snprintf (found.events, sizeof found.events, "tcp://%.*s:%ld",
                  (int) (colon - host), host,
                  port + 1) >= (int) sizeof found.events)
        return -1;
    *ret_endpoints = found;
    return 0;
}

static int endpoints_of_ipc (const char *bus, struct endpoints *ret_endpoints)
{
    struct endpoints found = {"", "", ""};
    const char *path = bus + strlen ("ipc://");
    const char *name = strrchr (path, '/');
    int folder;

    if (*path != '/' || !name[1] || strlen (path) > SOCKET_PATH_BYTES)
        return -1;
    folder = (int) (name - path);
    join (found.bus, sizeof found.bus, bus, "");
    snprintf (found.runtime, sizeof found.runtime, "%.*s", folder, path);
    // two brokers with names of their own may share a folder
    if (strcmp (name, "/broker") == 0)
        snprintf (found.events, sizeof found.events, "ipc://%.*s/events",
                  folder, path);
    else
        snprintf (found.events, sizeof found.events, "%s.events", bus);
    if (strlen (found.events) - strlen ("ipc://") > SOCKET_PATH_BYTES)
        return -1;
    *ret_endpoints = found;
    return 0;
}

int endpoints_of (const char *bus, struct endpoints *ret_endpoints)
{
    if (strncmp (bus, "ipc://", 6) == 0)
        return endpoints_of_ipc (bus, ret_endpoints);
    if (strncmp (bus, "tcp://", 6) == 0)
        return endpoints_of_tcp (bus, ret_endpoints);
    return -1;
}

enum presence { ABSENT, DENIED, PRESENT };

/* A ZeroMQ client without the right to the socket hears nothing at all, so
 * the file is looked at here: connecting needs the right to write. */
static enum presence look (const struct endpoints *e)
{
    const char *path = e->bus + strlen ("ipc://");

    if (faccessat (AT_FDCWD, path, W_OK, AT_EACCESS) == 0)
        return PRESENT;
    return errno == EACCES || errno == EPERM ? DENIED : ABSENT;
}

static int deny (const char *path, bool *ret_denied, char *ret_error,
                 size_t error_size)
{
    *ret_denied = true;
    return fail (ret_error, error_size,
                 "not allowed to open %s: it belongs to another user or to a "
                 "group that you are not in (usermod -aG slotbus, log in anew)",
                 path);
}

static int bad_endpoint (const char *text, char *ret_error, size_t error_size)
{
    return fail (ret_error, error_size,
                 "SLOTBUS_BROKER: '%s' is not an endpoint: expected "
                 "ipc:///PATH (up to %d bytes) or tcp://HOST:PORT",
                 text, (int) SOCKET_PATH_BYTES);
}

static size_t trim (const char **text, size_t size)
{
    static const char blanks[] = " \t\r\n";

    for (; size > 0 && strchr (blanks, **text); size--)
        ++*text;
    while (size > 0 && strchr (blanks, (*text)[size - 1]))
        size--;
    return size;
}

static int add_given (const char *text, size_t size, struct endpoint_list *list,
                      char *ret_error, size_t error_size)
{
    char one[PATH_BYTES];

    size = trim (&text, size);
    snprintf (one, sizeof one, "%.*s", (int) size, text);
    if (list->count == MAX_ENDPOINTS)
        return fail (ret_error, error_size,
                     "SLOTBUS_BROKER: %s is one too many: at most %d endpoints",
                     one, MAX_ENDPOINTS);
    if (size >= sizeof one || endpoints_of (one, &list->at[list->count]) ||
        strncmp (one, "tcp://*", 7) == 0) // that is where one may listen
        return bad_endpoint (one, ret_error, error_size);
    list->count++;
    return 0;
}

static int check_several (const struct endpoint_list *list, char *ret_error,
                          size_t error_size)
{
    for (unsigned i = 0; list->count > 1 && i < list->count; i++) {
        if (list->at[i].runtime[0])
            return fail (ret_error, error_size,
                         "SLOTBUS_BROKER: %s must stand alone: several "
                         "endpoints are all tcp://",
                         list->at[i].bus);
    }
    return 0;
}

static int read_given (const char *given, struct endpoint_list *list,
                       char *ret_error, size_t error_size)
{
    for (;;) {
        size_t size = strcspn (given, ",");

        if (add_given (given, size, list, ret_error, error_size))
            return -1;
        if (!given[size])
            return check_several (list, ret_error, error_size);
        given += size + 1;
    }
}

static int use_given (const char *given, struct endpoint_list *ret_list,
                      bool *ret_denied, char *ret_error, size_t error_size)
{
    struct endpoint_list list = {.count = 0};
    const struct endpoints *first = &list.at[0];

    *ret_denied = false;
    if (read_given (given, &list, ret_error, error_size))
        return -1;
    if (first->runtime[0]) {
        enum presence p = look (first);

        if (p == DENIED)
            return deny (first->bus, ret_denied, ret_error, error_size);
        if (p == ABSENT)
            return fail (ret_error, error_size,
                         "no broker at %s: start slotbus-broker, or correct "
                         "SLOTBUS_BROKER",
                         first->bus);
    }
    *ret_list = list;
    return 0;
}

/* Where a broker's runtime folder may be; the order is the order of search. */
struct places {
    char at[3][PATH_BYTES];
    int count;
};

static int find_places (struct places *p, char *ret_error, size_t error_size)
{
    int rc;

    p->count = 0;
    rc = from_variable ("SLOTBUS_RUNTIME_DIR", "", p->at[0], PATH_BYTES,
                        ret_error, error_size);
    if (rc != 0) {
        p->count = 1;
        return rc < 0 ? -1 : 0;
    }
    join (p->at[p->count++], PATH_BYTES, SYSTEM_RUNTIME, "");
    rc = from_variable ("XDG_RUNTIME_DIR", "/slotbus", p->at[p->count],
                        PATH_BYTES, ret_error, error_size);
    if (rc > 0)
        p->count++;
    folder_temporary (p->at[p->count++], PATH_BYTES);
    return 0;
}

/* Under /tmp anybody may have made the folder: what is in another's is not a
 * broker of ours. */
static enum presence look_in (const char *folder, struct endpoints *ret_found)
{
    char bus[PATH_BYTES + 16], error[PATH_BYTES + 256];

    snprintf (bus, sizeof bus, "ipc://%s/broker", folder);
    if (endpoints_of (bus, ret_found))
        return ABSENT;
    if (strncmp (folder, "/tmp/", 5) == 0 &&
        !variable ("SLOTBUS_RUNTIME_DIR") &&
        check_folder (folder, error, sizeof error))
        return ABSENT;
    return look (ret_found);
}

static void list_places (const struct places *p, char *ret_text, size_t size)
{
    size_t used = 0;

    ret_text[0] = 0;
    for (int i = 0; i < p->count && used < size; i++)
        used += (size_t) snprintf (ret_text + used, size - used, "%s%s",
                                   i ? ", " : "", p->at[i]);
}

int endpoints_find (struct endpoint_list *ret_list, bool *ret_denied,
                    char *ret_error, size_t error_size)
{
    const char *given = variable ("SLOTBUS_BROKER");
    char denied[PATH_BYTES] = "", list[3 * PATH_BYTES + 8];
    struct places places;

    if (given)
        return use_given (given, ret_list, ret_denied, ret_error, error_size);
    *ret_denied = false;
    if (find_places (&places, ret_error, error_size))
        return -1;
    // a system's broker that is not for us does not hide our own
    for (int i = 0; i < places.count; i++) {
        struct endpoints found;
        enum presence p = look_in (places.at[i], &found);

        if (p == PRESENT) {
            ret_list->count = 1;
            ret_list->at[0] = found;
            return 0;
        }
        if (p == DENIED && !denied[0])
            join (denied, sizeof denied, found.bus, "");
    }
    if (denied[0])
        return deny (denied, ret_denied, ret_error, error_size);
    list_places (&places, list, sizeof list);
    return fail (ret_error, error_size,
                 "no broker here (looked in %s): start slotbus-broker, or set "
                 "SLOTBUS_BROKER",
                 list);
}

char *endpoints_text (const struct endpoint_list *list, char *ret_text,
                      size_t size)
{
    size_t used = 0;

    ret_text[0] = 0;
    for (unsigned i = 0; i < list->count && used < size; i++)
        used += (size_t) snprintf (ret_text + used, size - used, "%s%s",
                                   i ? ", " : "", list->at[i].bus);
    return ret_text;
}
