/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/reach.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus/base.h"
#include "bus/lock.h"
#include "commands/ask.h"
#include "commands/command.h"
#include "commands/say.h"
#include "local.h"

enum { START_MS = 10000, RETRY_MS = 20, READY_FD = 3, LOG_BYTES = 1 << 20 };

int reach_project (struct reach *ret_reach, const char *typed)
{
    struct reach r = {.fd = -1};
    char error[2 * PATH_BYTES];

    if (!typed)
        typed = getenv ("SLOTBUS_PROJECT");
    if (!typed || !*typed)
        return say_failure (EXIT_USAGE,
                            "which project? Name it, or set SLOTBUS_PROJECT");
    if (project_key_of (typed, r.project))
        return say_failure (EXIT_BAD_VALUE,
                            "'%s' is not the name of a project: letters, "
                            "digits, '.', '_' and '-', the first a letter or "
                            "digit, at most %d",
                            typed, MAX_KEY_BYTES);
    copy_text (r.typed, sizeof r.typed, typed);
    if (folder_project (r.project, r.folder, sizeof r.folder, error,
                        sizeof error))
        return say_failure (errno == EACCES || errno == EPERM ? EXIT_NOT_ALLOWED
                                                              : EXIT_BAD_CONFIG,
                            "%s", error);
    *ret_reach = r;
    return 0;
}

void reach_close (struct reach *r)
{
    if (r->fd >= 0)
        close (r->fd);
    r->fd = -1;
}

static void path_in (const struct reach *r, const char *name,
                     char ret_path[PATH_BYTES])
{
    snprintf (ret_path, PATH_BYTES, "%.*s/%s", PATH_BYTES - 16, r->folder,
              name);
}

/* 0 connected; 1 nobody there; -1 said. */
static int try_connect (struct reach *r)
{
    char path[PATH_BYTES];

    path_in (r, "shim", path);
    r->fd = local_connect (path);
    if (r->fd >= 0)
        return 0;
    if (errno == ENOENT || errno == ECONNREFUSED || errno == EAGAIN)
        return 1;
    say_failure (0, "%s: %s", path, strerror (errno));
    return -1;
}

/* ---- starting one ---- */

void reach_leave_tree (void)
{
    static const char *const names[] = {
        "SLOTBUS_COOKIE", "SLOTBUS_SLOTS", "SLOTBUS_TOKENS", "SLOTBUS_PROJECT",
        "SLOTBUS_SHIM",   "SLOTBUS_LABEL", "SLOTBUS_KEEPER", "SLOTBUS_PARKED",
        NULL};

    for (int i = 0; names[i]; i++)
        unsetenv (names[i]);
}

/* Not a shim's log line by line for ever: begun anew above a megabyte. */
static int open_log (const char *folder)
{
    char path[PATH_BYTES];
    struct stat st;
    int fd;

    snprintf (path, sizeof path, "%.*s/shim.log", PATH_BYTES - 16, folder);
    fd = open (path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW,
               0600);
    if (fd >= 0 && fstat (fd, &st) == 0 && st.st_size > LOG_BYTES)
        (void) !ftruncate (fd, 0);
    return fd;
}

static void default_signals (void)
{
    sigset_t none;

    for (int number = 1; number < NSIG; number++)
        signal (number, SIG_DFL);
    sigemptyset (&none);
    sigprocmask (SIG_SETMASK, &none, NULL);
}

/* The pipe may be any number, the standard ones too: it is moved first. */
static void arrange_descriptors (const char *folder, int ready_fd)
{
    int ready = ready_fd < 0 ? -1 : fcntl (ready_fd, F_DUPFD, 16);
    int null = open ("/dev/null", O_RDWR);
    int log = open_log (folder);

    dup2 (null, STDIN_FILENO);
    dup2 (null, STDOUT_FILENO);
    dup2 (log >= 0 ? log : null, STDERR_FILENO);
    if (ready >= 0)
        dup2 (ready, READY_FD);
    syscall (SYS_close_range, ready >= 0 ? READY_FD + 1 : READY_FD, ~0u, 0);
}

static const char *own_path (char *ret_path, size_t size)
{
    ssize_t n = readlink ("/proc/self/exe", ret_path, size - 1);

    if (n > 0)
        ret_path[n] = 0;
    if (n <= 0 || access (ret_path, X_OK)) // replaced by an upgrade meanwhile
        snprintf (ret_path, size, "/proc/self/exe");
    return ret_path;
}

_Noreturn void reach_become_shim (const char *project, const char *folder,
                                  pid_t watch, int ready_fd)
{
    char path[PATH_BYTES], pid[16], ready[16];
    char *argv[] = {"slotbus",        "shim",    "--project",
                    (char *) project, "--watch", pid,
                    "--ready-fd",     ready,     NULL};

    snprintf (pid, sizeof pid, "%ld", (long) watch);
    snprintf (ready, sizeof ready, "%d", READY_FD);
    if (ready_fd < 0)
        argv[6] = NULL;
    setsid ();
    umask (077);
    reach_leave_tree ();
    default_signals ();
    own_path (path, sizeof path);
    arrange_descriptors (folder, ready_fd);
    (void) !chdir ("/");
    execv (path, argv);
    dprintf (STDERR_FILENO, "cannot start %s: %s\n", path, strerror (errno));
    _exit (EXIT_OTHER);
}

/* Twice forked, so that it is nobody's child here. The reading end of its
 * ready pipe; -1 and errno. */
static int start_shim (const struct reach *r)
{
    int pipe_fds[2];
    pid_t pid;

    if (pipe2 (pipe_fds, O_CLOEXEC))
        return -1;
    fflush (NULL);
    pid = fork ();
    if (pid == 0) {
        if (fork () == 0)
            reach_become_shim (r->typed, r->folder, r->watch, pipe_fds[1]);
        _exit (0);
    }
    close (pipe_fds[1]);
    if (pid > 0)
        while (waitpid (pid, NULL, 0) < 0 && errno == EINTR)
            ;
    if (pid < 0) {
        close (pipe_fds[0]);
        return -1;
    }
    return pipe_fds[0];
}

/* Its last word, for people. */
static void last_line (const struct reach *r, char *ret_line, size_t size)
{
    char path[PATH_BYTES], text[4096];
    struct stat st;
    ssize_t n = -1;
    char *line;
    int fd;

    path_in (r, "shim.log", path);
    snprintf (ret_line, size, "see %s", path);
    fd = open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return;
    if (fstat (fd, &st) == 0)
        n = pread (fd, text, sizeof text - 1,
                   st.st_size > 4095 ? st.st_size - 4095 : 0);
    close (fd);
    while (n > 0 && text[n - 1] == '\n')
        n--;
    if (n <= 0)
        return;
    text[n] = 0;
    line = strrchr (text, '\n');
    copy_text (ret_line, size, line ? line + 1 : text);
}

static bool lock_is_free (const struct reach *r)
{
    char path[PATH_BYTES];

    path_in (r, "lock", path);
    return lock_query (path) == LOCK_FREE;
}

static int no_shim (const struct reach *r, const char *why)
{
    char line[PATH_BYTES + 64];

    last_line (r, line, sizeof line);
    return say_failure (EXIT_NO_BROKER, "%s's shim %s: %s", r->project, why,
                        line);
}

/* 1 it said that, or that another one has won; 0 it ended, -1 neither by the
 * deadline. */
static int wait_said (int fd, char wanted, int64_t deadline)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int64_t left;
    char byte;

    while ((left = deadline - clock_monotonic_ms ()) > 0) {
        if (poll (&p, 1, (int) left) <= 0)
            continue;
        if (read (fd, &byte, 1) != 1)
            return 0;
        if (byte == wanted || byte == 'b')
            return 1;
    }
    return -1;
}

static int start_and_wait (const struct reach *r, int64_t deadline)
{
    int ready = start_shim (r), rc;

    if (ready < 0)
        return say_failure (EXIT_OTHER, "cannot start a shim: %s",
                            strerror (errno));
    rc = wait_said (ready, r->live ? 'r' : 'l', deadline);
    close (ready);
    if (rc < 0)
        return no_shim (r, "does not get ready");
    if (rc == 0 && lock_is_free (r))
        return no_shim (r, "could not be started");
    return 0; // it lives, or another has won
}

/* ---- inside a leased tree ---- */

static int spawn_by (int fd, const struct reach *r)
{
    struct msg_spawn spawn;
    static struct msg answer;

    message_init_fields (&spawn, VERB_SPAWN);
    copy_text (spawn.project, sizeof spawn.project, r->project);
    spawn.supervisor = (uint64_t) r->watch;
    if (local_tell (fd, VERB_SPAWN, &spawn) ||
        local_hear (fd, clock_monotonic_ms () + START_MS, &answer) != 1)
        return say_failure (EXIT_NO_BROKER,
                            "the shim of the tree that this runs in does not "
                            "answer");
    if (answer.verb == VERB_ERROR)
        return say_refusal (&answer.error);
    return 0;
}

/* SLOTBUS_SHIM names a socket of the enclosing shim; the one for commands
 * lies beside it. */
static void enclosing_path (const char *named, char ret_path[PATH_BYTES])
{
    const char *slash = strrchr (named, '/');
    int folder = slash ? (int) (slash - named) : 0;

    snprintf (ret_path, PATH_BYTES, "%.*s/shim", folder, named);
}

static int spawn_by_enclosing (const struct reach *r, const char *named)
{
    char path[PATH_BYTES];
    int fd, status;

    enclosing_path (named, path);
    fd = local_connect (path);
    if (fd < 0)
        return say_failure (EXIT_NO_BROKER,
                            "the shim of the tree that this runs in is gone "
                            "(%s: %s)",
                            path, strerror (errno));
    status = spawn_by (fd, r);
    close (fd);
    return status;
}

static int bring_up (const struct reach *r, int64_t deadline)
{
    const char *enclosing = getenv ("SLOTBUS_SHIM");
    struct endpoint_list to;
    int status = ask_where (&to);

    if (status)
        return status;
    if (enclosing && *enclosing)
        return spawn_by_enclosing (r, enclosing);
    return start_and_wait (r, deadline);
}

/* ---- reaching ---- */

/* Started once; who holds the lock without listening yet is waited for, and
 * who ends just now as well. */
int reach_connect (struct reach *r)
{
    int64_t deadline = clock_monotonic_ms () + START_MS;
    bool asked = false;

    for (;;) {
        int rc = try_connect (r), status;

        if (rc <= 0)
            return rc == 0 ? 0 : EXIT_NO_BROKER;
        if (!r->start)
            return REACH_NONE;
        if (!asked && lock_is_free (r)) {
            status = bring_up (r, deadline);
            if (status)
                return status;
            asked = getenv ("SLOTBUS_SHIM") != NULL;
            if (try_connect (r) == 0)
                return 0;
        }
        if (clock_monotonic_ms () >= deadline)
            return no_shim (r, "does not listen");
        usleep (RETRY_MS * 1000);
    }
}

static int hear_first (struct reach *r, int timeout_ms, struct msg *ret_msg)
{
    int64_t deadline = timeout_ms < 0 ? -1 : clock_monotonic_ms () + timeout_ms;

    return local_hear (r->fd, deadline, ret_msg);
}

int reach_ask (struct reach *r, enum verb verb, const void *fields,
               int timeout_ms, struct msg *ret_msg)
{
    for (int tries = 0; tries < 5; tries++) {
        int status = r->fd >= 0 ? 0 : reach_connect (r);
        int rc;

        if (status)
            return status;
        if (local_tell (r->fd, verb, fields) == 0) {
            rc = hear_first (r, timeout_ms, ret_msg);
            if (rc > 0)
                return 0;
            if (rc == 0 && errno == ETIMEDOUT)
                return REACH_TIMEOUT;
            if (rc < 0)
                return say_failure (EXIT_BUG, "%s's shim: %s", r->project,
                                    strerror (errno));
        }
        reach_close (r);
        usleep (RETRY_MS * 1000);
    }
    return no_shim (r, "ends whenever it is spoken to");
}
