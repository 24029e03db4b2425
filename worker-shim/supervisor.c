/* SPDX-License-Identifier: MPL-2.0 */
#include "supervisor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus/base.h"
#include "bus/proc.h"

enum { MAX_ANCESTORS = 128 };

/* tmux calls its server "tmux: server", Debian's cron its children CRON. */
static const char *const logins[] = {
    "sshd", "sshd-session", "login", "tmux",   "screen",  "SCREEN",
    "cron", "CRON",         "crond", "script", "systemd", NULL};
static const char *const carriers[] = {"env",    "timeout", "nice",  "nohup",
                                       "setsid", "time",    "xargs", "find",
                                       "sudo",   "su",      "flock", NULL};
static const char *const shells[] = {"sh",   "bash", "dash", "zsh", "ksh",
                                     "mksh", "ash",  "fish", NULL};

static bool among (const char *word, const char *const *words)
{
    for (; *words; words++)
        if (strcmp (word, *words) == 0)
            return true;
    return false;
}

static const char *base_name (const char *path)
{
    const char *slash = strrchr (path, '/');

    path = slash ? slash + 1 : path;
    return *path == '-' ? path + 1 : path; // a login shell
}

static bool is_login (const struct ancestor *a)
{
    return among (a->name, logins) || strncmp (a->name, "tmux:", 5) == 0;
}

/* A script named "find" runs under its interpreter's argv[0], but has its own
 * name as comm: both must agree, as they do for a program. */
static bool is_carrier (const struct ancestor *a)
{
    return among (a->name, carriers) &&
           (a->line_size == 0 || among (base_name (a->line), carriers));
}

/* Next of the NUL-separated arguments; NULL at the end. */
static const char *next_word (const struct ancestor *a, const char *word)
{
    word += strlen (word) + 1;
    return word < a->line + a->line_size ? word : NULL;
}

/* Options whose value is the next word, of bash, dash and zsh. */
static bool takes_word (const char *option)
{
    return strcmp (option, "--rcfile") == 0 ||
           strcmp (option, "--init-file") == 0 ||
           ((option[0] == '-' || option[0] == '+') &&
            (option[1] == 'o' || option[1] == 'O') && !option[2]);
}

/* Is -c among a shell's options? They end at the first other word: a script. */
static bool is_shell_command (const struct ancestor *a)
{
    const char *word;

    if (a->line_size == 0 || !among (base_name (a->line), shells))
        return false;
    for (word = next_word (a, a->line); word; word = next_word (a, word)) {
        if (*word != '-' && *word != '+')
            return false;
        if (takes_word (word)) {
            word = next_word (a, word);
            if (!word)
                return false;
        } else if (word[0] == '-' && word[1] != '-' && strchr (word, 'c'))
            return true;
    }
    return false;
}

/* Forked, nothing executed: what it runs is what its parent runs. */
static bool is_subshell (const struct ancestor *a, const struct ancestor *up)
{
    return a->line_size > 0 && a->line_size == up->line_size &&
           memcmp (a->line, up->line, a->line_size) == 0 &&
           strcmp (a->name, up->name) == 0 &&
           (a->image == 0 || up->image == 0 || a->image == up->image);
}

pid_t supervisor_above (pid_t from, ancestor_fn *look, void *arg)
{
    struct ancestor here, up;
    pid_t shell = 0; // the topmost that was passed

    if (from <= 1 || look (arg, from, &here))
        return 0;
    for (int i = 0; i < MAX_ANCESTORS; i++) {
        bool top = here.parent <= 1 || look (arg, here.parent, &up);

        if (is_login (&here))
            return shell;
        if (is_shell_command (&here) || (!top && is_subshell (&here, &up)))
            shell = here.pid;
        else if (!is_carrier (&here))
            return here.pid;
        if (top)
            return 0;
        here = up;
    }
    return 0;
}

/* The address of the 16 random bytes that the kernel gives a program at exec
 * is as random as its stack, and inherited by fork. Source: getauxval(3). */
static uint64_t image_of (pid_t pid)
{
    union {
        char text[1024];
        uint64_t pairs[128];
    } aux;
    char path[64];
    ssize_t n;

    snprintf (path, sizeof path, "/proc/%ld/auxv", (long) pid);
    n = read_file (path, aux.text, sizeof aux.text);
    for (ssize_t i = 0; i + 1 < n / (ssize_t) sizeof (uint64_t); i += 2)
        if (aux.pairs[i] == 25) // AT_RANDOM
            return aux.pairs[i + 1];
    return 0;
}

static int look_in_proc (void *arg, pid_t pid, struct ancestor *ret)
{
    ssize_t size;

    (void) arg;
    memset (ret, 0, sizeof *ret);
    ret->pid = pid;
    ret->parent = proc_parent (pid);
    if (ret->parent < 0 || proc_comm (pid, ret->name, sizeof ret->name))
        return -1;
    size = proc_cmdline (pid, ret->line, sizeof ret->line);
    ret->line_size = size > 0 ? (size_t) size : 0;
    ret->image = image_of (pid);
    return 0;
}

static int describe (pid_t pid, struct supervisor *ret_supervisor)
{
    struct supervisor s = {.pid = pid, .start = proc_start (pid)};

    if (s.start < 0 || !proc_alive (pid, s.start) ||
        proc_comm (pid, s.name, sizeof s.name))
        return -1;
    *ret_supervisor = s;
    return 0;
}

/* 1: taken; 0: not set; -1: no such process. */
static int from_environment (const char *name, struct supervisor *ret)
{
    const char *text = getenv (name);
    char *end;
    long pid;

    if (!text || !*text)
        return 0;
    pid = strtol (text, &end, 10);
    if (*end || pid <= 0 || pid > INT32_MAX || describe ((pid_t) pid, ret))
        return -1;
    return 1;
}

int supervisor_find (pid_t watch, struct supervisor *ret_supervisor,
                     char *ret_error, size_t error_size)
{
    static const char *const names[] = {"SLOTBUS_SUPERVISOR", "CLAUDE_PID"};
    pid_t pid;

    if (watch > 0) {
        if (describe (watch, ret_supervisor) == 0)
            return 0;
        snprintf (ret_error, error_size,
                  "--watch %ld: there is no such process", (long) watch);
        return -1;
    }
    for (int i = 0; i < 2; i++) {
        int rc = from_environment (names[i], ret_supervisor);

        if (rc > 0)
            return 0;
        if (rc < 0) {
            snprintf (ret_error, error_size,
                      "%s is not the pid of a living process: correct it, or "
                      "say --watch PID",
                      names[i]);
            return -1;
        }
    }
    pid = supervisor_above (getppid (), look_in_proc, NULL);
    if (pid > 0 && describe (pid, ret_supervisor) == 0)
        return 0;
    snprintf (ret_error, error_size,
              "cannot tell which process is the supervisor: say --watch PID");
    return -1;
}
