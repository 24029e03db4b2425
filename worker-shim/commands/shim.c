/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bus/base.h"
#include "bus/lock.h"
#include "bus/log.h"
#include "bus/machine.h"
#include "bus/proc.h"
#include "commands/ask.h"
#include "commands/flags.h"
#include "commands/reach.h"
#include "commands/say.h"
#include "serve.h"
#include "supervisor.h"
#include "tree.h"

enum { HIGHEST_FD = 65535 };

static struct rlimit descriptors; // as it was when we were started

static int run_shim (int argc, char **argv);

const struct command command_shim = {
    .name = "shim",
    .usage = "--project P [--watch PID]",
    .summary = "hold P's leases on this host while PID lives",
    .help =
        "Runs in the foreground and says `ready` on stderr when its session\n"
        "with the broker lives. `request` and `run` start one by themselves,\n"
        "so this is for service managers and for looking on. One runs per\n"
        "project, host and user; a second one exits with 75.\n"
        "\n"
        "  -p, --project P   whose leases\n"
        "      --watch PID   the supervisor: when it ends, so do its agents\n"
        "      --ready-fd N  write there: l it listens, r it is ready, b there "
        "is one\n",
    .examples = "  slotbus shim --project consilio --watch $$ &\n",
    .run = run_shim};

/* EXIT_NOT_NOW: who has the lock is said, to who started this as well. */
static int take_lock (struct serve_options *o, const char *project)
{
    char path[PATH_BYTES + 8], pid[32] = "?";
    int fd;

    snprintf (path, sizeof path, "%s/lock", o->folder);
    fd = lock_take (path, 0600);
    o->lock = fd; // open as long as this process lives
    if (fd >= 0)
        return 0;
    if (errno != EAGAIN)
        return say_failure (EXIT_OTHER, "%s: %s", path, strerror (errno));
    if (read_file (path, pid, sizeof pid) > 0)
        pid[strcspn (pid, "\n")] = 0;
    if (o->ready_fd >= 0)
        (void) !write (o->ready_fd, "b", 1);
    return say_failure (EXIT_NOT_NOW, "%s has a shim already: pid %s", project,
                        pid);
}

static int fill_host (struct shim_settings *settings)
{
    char state[PATH_BYTES], error[2 * PATH_BYTES];
    struct machine machine;

    machine_read ("/proc", &machine);
    settings->cores = machine.cores;
    settings->memory_bytes = machine.memory_bytes;
    if (folder_state (state, sizeof state, error, sizeof error) ||
        folder_make (state, 0700, error, sizeof error))
        return say_failure (EXIT_BAD_CONFIG, "%s", error);
    host_name (settings->host, sizeof settings->host);
    if (host_machine_id (state, settings->machine, sizeof settings->machine))
        return say_failure (EXIT_BAD_CONFIG, "no machine id: %s",
                            strerror (errno));
    if (host_boot_id (settings->boot, sizeof settings->boot))
        return say_failure (EXIT_OTHER, "no boot id: %s", strerror (errno));
    return 0;
}

static int fill (struct serve_options *o, const struct reach *r)
{
    struct shim_settings *settings = &o->settings;
    int status = ask_where (&o->broker);

    if (status)
        return status;
    copy_text (settings->project, sizeof settings->project, r->project);
    // written with capitals it is how people want to see it
    if (strcmp (r->typed, r->project) != 0)
        copy_text (settings->display, sizeof settings->display, r->typed);
    settings->self = (struct who){getpid (), proc_start (getpid ())};
    settings->own_host = o->broker.at[0].runtime[0] != 0;
    settings->boottime = !settings->own_host;
    o->folder = r->folder;
    return fill_host (settings);
}

static int fill_watch (struct serve_options *o, pid_t pid)
{
    struct supervisor supervisor;
    char error[256];

    if (pid == 0)
        return 0;
    if (supervisor_find (pid, &supervisor, error, sizeof error))
        return say_failure (EXIT_USAGE, "%s", error);
    o->watch = (struct who){supervisor.pid, supervisor.start};
    return 0;
}

/* A connection of each command that waits, and of each keeper; and what says
 * that a supervisor has ended. */
static void allow_descriptors (void)
{
    struct rlimit limit;

    if (getrlimit (RLIMIT_NOFILE, &descriptors))
        return;
    limit = descriptors;
    limit.rlim_cur = limit.rlim_max;
    setrlimit (RLIMIT_NOFILE, &limit);
}

static void restore_descriptors (void)
{
    if (descriptors.rlim_max > 0)
        setrlimit (RLIMIT_NOFILE, &descriptors);
}

static int spawn_shim (const char *project, struct who watch)
{
    char folder[PATH_BYTES], error[2 * PATH_BYTES];
    pid_t pid;

    if (folder_project (project, folder, sizeof folder, error, sizeof error)) {
        errno = EINVAL;
        return -1;
    }
    pid = fork ();
    if (pid == 0) {
        restore_descriptors ();
        reach_become_shim (project, folder, watch.pid, -1);
    }
    return pid < 0 ? -1 : 0;
}

static int run_shim (int argc, char **argv)
{
    struct serve_options options = {.ready_fd = -1, .spawn = spawn_shim};
    const char *project = NULL;
    uint64_t watch = 0, ready = 0;
    const struct flag flags[] = {
        {"--project", 'p', FLAG_TEXT, &project, 0, 0},
        {"--watch", 0, FLAG_NUMBER, &watch, 1, INT32_MAX},
        {"--ready-fd", 0, FLAG_NUMBER, &ready, 3, HIGHEST_FD},
        {NULL, 0, 0, NULL, 0, 0}};
    struct arguments words;
    struct reach reach;
    int status;

    if (flags_read (&command_shim, flags, FLAGS_ANYWHERE, argc, argv, &words,
                    &status))
        return status;
    if (words.count > 0)
        return usage_error (&command_shim, "what is '%s'?", words.at[0]);
    if (ready && fcntl ((int) ready, F_SETFD, FD_CLOEXEC))
        return usage_error (&command_shim, "--ready-fd %d: %s", (int) ready,
                            strerror (errno));
    options.ready_fd = ready ? (int) ready : -1;
    if ((status = reach_project (&reach, project)) ||
        (status = fill_watch (&options, (pid_t) watch)) ||
        (status = fill (&options, &reach)) ||
        (status = take_lock (&options, reach.project)))
        return status;
    log_open ("slotbus-shim", LOG_TEXT, LOG_INFO);
    allow_descriptors ();
    tree_become_subreaper ();
    return serve (&options);
}
