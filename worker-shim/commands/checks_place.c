/* SPDX-License-Identifier: MPL-2.0 */
/* checks_place.c - our programs, folders, shims and variables */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <unistd.h>
#include <sys/wait.h>
#include <zmq.h>

#include "bus/base.h"
#include "bus/endpoint.h"
#include "bus/lock.h"
#include "bus/sampler.h"
#include "bus/version.h"
#include "commands/checks.h"
#include "commands/command.h"
#include "commands/flags.h"
#include "commands/keeper_path.h"
#include "protocol/nearest.h"

enum { KEEPER_MS = 2000 };

/* ---- programs ---- */

/* Started without arguments the keeper says how it is used, and ends so. */
static int start_keeper (const char *path)
{
    char *argv[] = {"slotbus-keeper", NULL};
    int status = 0, null;
    pid_t pid = fork ();

    if (pid == 0) {
        null = open ("/dev/null", O_RDWR);
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
            dup2 (null, fd);
        execvp (path, argv);
        _exit (EXIT_NOT_FOUND);
    }
    if (pid < 0 || !child_ends (pid, KEEPER_MS, &status))
        return -1;
    return WIFEXITED (status) ? WEXITSTATUS (status) : -1;
}

static void check_keeper (const struct report *r)
{
    static const char remedy[] = "scons install, or set SLOTBUS_KEEPER to its "
                                 "path";
    char path[PATH_BYTES + 64];
    int status;

    keeper_path (path, sizeof path);
    status = start_keeper (path);
    if (status == EXIT_USAGE)
        report_ok (r, "keeper", "%s starts", path);
    else if (status == EXIT_NOT_FOUND)
        report_fail (r, "keeper", remedy, "%s cannot be started%s", path,
                     strchr (path, '/') ? "" : " (looked for by PATH)");
    else
        report_fail (r, "keeper", remedy, "%s is not the keeper", path);
}

static void check_zeromq (const struct report *r)
{
    int major, minor, patch, number;

    zmq_version (&major, &minor, &patch);
    number = ZMQ_MAKE_VERSION (major, minor, patch);
    if (number < ZMQ_MAKE_VERSION (4, 3, 3))
        report_fail (r, "libzmq", "update it (Debian: apt-get install libzmq5)",
                     "%d.%d.%d: before 4.3.3 peers can write over its memory",
                     major, minor, patch);
    else
        report_ok (r, "libzmq", "%d.%d.%d", major, minor, patch);
}

void check_programs (const struct report *r)
{
    report_ok (r, "slotbus", SLOTBUS_VERSION ", protocol %d.%d", PROTOCOL_MAJOR,
               PROTOCOL_MINOR);
    check_keeper (r);
    check_zeromq (r);
}

/* ---- folders ---- */

enum medium { MEDIUM_DISK, MEDIUM_MEMORY, MEDIUM_NETWORK };

static enum medium medium_of (const char *path)
{
    struct statfs fs;

    if (statfs (path, &fs))
        return MEDIUM_DISK;
    switch ((unsigned long) fs.f_type) {
    case TMPFS_MAGIC:
    case RAMFS_MAGIC: return MEDIUM_MEMORY;
    case NFS_SUPER_MAGIC:
    case SMB_SUPER_MAGIC:
    case 0xfe534d42ul: // smb2
    case 0xff534d42ul: // cifs
    case CEPH_SUPER_MAGIC:
    case V9FS_MAGIC: return MEDIUM_NETWORK;
    }
    return MEDIUM_DISK;
}

/* The part of a path that exists. */
static void existing_part (const char *path, char *ret_path, size_t size)
{
    char *slash;

    snprintf (ret_path, size, "%s", path);
    while (access (ret_path, F_OK) && errno == ENOENT &&
           (slash = strrchr (ret_path, '/')) && slash > ret_path)
        *slash = 0;
    if (access (ret_path, F_OK) && errno == ENOENT)
        snprintf (ret_path, size, "/");
}

static const char *const MEDIA[] = {"on disk", "in memory",
                                    "on a network file system"};

/* What the two folders differ in. */
struct place {
    const char *name, *variable;
    enum medium worse; // where it had better not be,
    const char *why;   // and why not
};

static const struct place RUNTIME = {
    "runtime folder", "SLOTBUS_RUNTIME_DIR", MEDIUM_DISK,
    "what tidies up old files may remove sockets there"};
static const struct place STATE = {"state folder", "SLOTBUS_STATE_DIR",
                                   MEDIUM_MEMORY,
                                   "it is gone when this machine is booted"};

static void check_missing (const struct report *r, const struct place *place,
                           const char *path)
{
    char parent[PATH_BYTES], remedy[128];

    existing_part (path, parent, sizeof parent);
    snprintf (remedy, sizeof remedy,
              "set %s to a folder that you may make, or have it made for you",
              place->variable);
    if (faccessat (AT_FDCWD, parent, W_OK | X_OK, AT_EACCESS) == 0)
        report_ok (r, place->name, "%s is not there yet, and can be made",
                   path);
    else
        report_fail (r, place->name, remedy, "%s cannot be made: %s: %s", path,
                     parent, strerror (errno));
}

static void check_medium (const struct report *r, const struct place *place,
                          const char *path, const struct stat *st)
{
    enum medium medium = medium_of (path);
    char what[PATH_BYTES + 128], remedy[128];

    snprintf (what, sizeof what, "%s (mode %04o, uid %ld) is %s", path,
              st->st_mode & 07777, (long) st->st_uid, MEDIA[medium]);
    snprintf (remedy, sizeof remedy, "set %s to another folder",
              place->variable);
    if (medium == MEDIUM_NETWORK)
        report_note (r, place->name, remedy, "%s: locks may not hold there",
                     what);
    else if (medium == place->worse)
        report_note (r, place->name, remedy, "%s: %s", what, place->why);
    else
        report_ok (r, place->name, "%s", what);
}

static void check_existing (const struct report *r, const struct place *place,
                            const char *path)
{
    char error[2 * PATH_BYTES], remedy[PATH_BYTES + 160];
    struct stat st = {.st_mode = 0};

    snprintf (remedy, sizeof remedy,
              "set %s to a folder of your own, or have this one given to you: "
              "chown %ld %s, chmod 700 it",
              place->variable, (long) geteuid (), path);
    if (folder_make (path, 0700, error, sizeof error)) // it exists: only looks
        report_fail (r, place->name, remedy, "%s", error);
    else if (stat (path, &st) ||
             faccessat (AT_FDCWD, path, W_OK | X_OK, AT_EACCESS))
        report_fail (r, place->name, remedy,
                     "%s (mode %04o, uid %ld) may not be written by us: %s",
                     path, st.st_mode & 07777, (long) st.st_uid,
                     strerror (errno));
    else
        check_medium (r, place, path, &st);
}

static void check_folder (const struct report *r, const struct place *place,
                          const char *path)
{
    struct stat st;

    if (lstat (path, &st) && errno == ENOENT)
        check_missing (r, place, path);
    else
        check_existing (r, place, path);
}

/* RUNTIME/projects/P/keepers is the longest. */
static void check_lengths (const struct report *r, const char *runtime)
{
    static const char remedy[] = "set SLOTBUS_RUNTIME_DIR to a shorter path";
    int most = sizeof ((struct sockaddr_un *) 0)->sun_path - 1;
    int left = most - (int) strlen (runtime) - (int) strlen ("/projects/") -
               (int) strlen ("/keepers");

    if (left < 1)
        report_fail (r, "socket paths", remedy,
                     "%s is %zu bytes long: a socket's path has at most %d",
                     runtime, strlen (runtime), most);
    else if (left < MAX_KEY_BYTES)
        report_note (r, "socket paths", remedy,
                     "of the %d bytes %d are left for a project's name, which "
                     "may have %d",
                     most, left, MAX_KEY_BYTES);
    else
        report_ok (r, "socket paths",
                   "of the %d bytes %d are left for a project's name", most,
                   left);
}

void check_folders (const struct report *r)
{
    char path[PATH_BYTES], error[2 * PATH_BYTES] = "too long";

    if (folder_runtime (path, sizeof path, error, sizeof error))
        report_fail (r, RUNTIME.name, "set SLOTBUS_RUNTIME_DIR", "%s", error);
    else {
        check_folder (r, &RUNTIME, path);
        check_lengths (r, path);
    }
    if (folder_state (path, sizeof path, error, sizeof error))
        report_fail (r, STATE.name, "set SLOTBUS_STATE_DIR", "%s", error);
    else
        check_folder (r, &STATE, path);
}

/* ---- disk ---- */

enum { FULL_PERCENT = 90, CRITICAL_PERCENT = 97 };

static void check_disk (const struct report *r, const char *name,
                        const char *path)
{
    char place[PATH_BYTES], what[PATH_BYTES + 128], remedy[PATH_BYTES + 64];
    double disk, inodes, worse;
    struct statvfs fs;

    existing_part (path, place, sizeof place);
    if (statvfs (place, &fs)) {
        report_note (r, name, "let us look at it", "%s: %s", place,
                     strerror (errno));
        return;
    }
    disk = sampler_disk_percent (&fs);
    inodes = sampler_inodes_percent (&fs);
    worse = disk > inodes ? disk : inodes;
    snprintf (what, sizeof what,
              "%s: %.1f%% full, %llu MB free, %.1f%% of the inodes in use",
              place, disk, (unsigned long long) fs.f_bavail * fs.f_frsize >> 20,
              inodes);
    snprintf (remedy, sizeof remedy, "free space there: du -xh %s | sort -h",
              place);
    if (worse > CRITICAL_PERCENT)
        report_fail (r, name, remedy, "%s", what);
    else if (worse > FULL_PERCENT)
        report_note (r, name, remedy, "%s", what);
    else
        report_ok (r, name, "%s", what);
}

void check_disks (const struct report *r)
{
    char path[PATH_BYTES], error[2 * PATH_BYTES];

    if (folder_runtime (path, sizeof path, error, sizeof error) == 0)
        check_disk (r, "disk of runtime", path);
    if (folder_state (path, sizeof path, error, sizeof error) == 0)
        check_disk (r, "disk of state", path);
}

/* ---- shims ---- */

const char *process_state (long pid, char *ret_state, size_t size)
{
    char path[64], text[2048], word[32];
    const char *at;

    copy_text (ret_state, size, "gone");
    snprintf (path, sizeof path, "/proc/%ld/status", pid);
    if (read_file (path, text, sizeof text) < 0)
        return ret_state;
    at = strstr (text, "\nState:");
    if (at && sscanf (at, "\nState: %*c (%31[^)])", word) == 1)
        copy_text (ret_state, size, word);
    return ret_state;
}

static void check_running_shim (const struct report *r, const char *name,
                                const char *lock)
{
    char text[32] = "", state[32], remedy[64];
    long pid = 0;

    if (read_file (lock, text, sizeof text) > 0)
        pid = atol (text);
    process_state (pid, state, sizeof state);
    snprintf (remedy, sizeof remedy, "kill -CONT %ld", pid);
    if (strcmp (state, "stopped") == 0)
        report_note (r, name, remedy,
                     "pid %ld is stopped: its agents end with "
                     "their leases",
                     pid);
    else
        report_ok (r, name, "runs, pid %ld", pid);
}

static void check_shim (const struct report *r, const char *folder,
                        const char *project)
{
    char lock[2 * PATH_BYTES], socket[2 * PATH_BYTES], name[96], remedy[128];

    snprintf (lock, sizeof lock, "%s/%s/lock", folder, project);
    snprintf (socket, sizeof socket, "%s/%s/shim", folder, project);
    snprintf (name, sizeof name, "shim of %.64s", project);
    switch (lock_query (lock)) {
    case LOCK_HELD: check_running_shim (r, name, lock); return;
    case LOCK_UNKNOWN:
        report_note (r, name, "ask as the user whose folder it is",
                     "%s cannot be asked: %s", lock, strerror (errno));
        return;
    case LOCK_FREE: break;
    }
    snprintf (remedy, sizeof remedy,
              "nothing: the next request of %.64s takes over", project);
    if (access (socket, F_OK) == 0)
        report_note (r, name, remedy,
                     "none runs; the last one was ended without a farewell");
    else
        report_ok (r, name, "none runs");
}

static void check_listed (const struct report *r, const char *folder, DIR *list)
{
    struct dirent *entry;
    int count = 0;

    while ((entry = readdir (list)))
        if (project_key_valid (entry->d_name)) {
            check_shim (r, folder, entry->d_name);
            count++;
        }
    if (count == 0)
        report_ok (r, "shims", "none has run yet under %s", folder);
}

void check_shims (const struct report *r)
{
    char folder[PATH_BYTES + 16], runtime[PATH_BYTES], error[2 * PATH_BYTES];
    DIR *list;

    if (folder_runtime (runtime, sizeof runtime, error, sizeof error))
        return; // said already
    snprintf (folder, sizeof folder, "%s/projects", runtime);
    list = opendir (folder);
    if (list)
        check_listed (r, folder, list);
    else if (errno == ENOENT)
        report_ok (r, "shims", "none has run yet under %s", folder);
    else
        report_note (r, "shims", "ask as the user whose folder it is", "%s: %s",
                     folder, strerror (errno));
    if (list)
        closedir (list);
}

/* ---- environment ---- */

extern char **environ;

#define OURS "SLOTBUS_"

/* What people set, then what a process in a slot is given. */
static const char *const known[] = {
    OURS "BROKER",      OURS "CONFIG",    OURS "PROJECT",
    OURS "RUNTIME_DIR", OURS "STATE_DIR", OURS "SUPERVISOR",
    OURS "HOST",        OURS "KEEPER",    OURS "COOKIE",
    OURS "SLOTS",       OURS "TOKENS",    OURS "LABEL",
    OURS "SHIM",        OURS "REASON",    NULL};

const char *variable_meant (const char *name)
{
    return nearest_word (name, known);
}

static void check_unknown (const struct report *r, const char *name)
{
    const char *meant = variable_meant (name);
    char remedy[256];

    if (meant)
        snprintf (remedy, sizeof remedy, "did you mean %s? Else unset it",
                  meant);
    else
        snprintf (remedy, sizeof remedy, "unset it");
    report_note (r, "environment", remedy, "%s is no variable of ours", name);
}

static void add_word (char *text, size_t size, const char *word)
{
    size_t used = strlen (text);

    snprintf (text + used, size - used, "%s%s", used ? " " : "", word);
}

void check_environment (const struct report *r)
{
    char name[128], all[1500] = "";

    for (char **entry = environ; *entry; entry++) {
        const char *meant;

        if (strncmp (*entry, OURS, strlen (OURS)) != 0)
            continue;
        snprintf (name, sizeof name, "%.*s", (int) strcspn (*entry, "="),
                  *entry);
        meant = variable_meant (name);
        if (meant && strcmp (meant, name) == 0)
            add_word (all, sizeof all, *entry);
        else
            check_unknown (r, name);
    }
    report_ok (r, "environment", "%s",
               all[0] ? all : "no variable of ours is set");
}
