/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/command.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus/base.h"
#include "commands/checks.h"
#include "commands/flags.h"
#include "commands/say.h"

static int run_doctor (int argc, char **argv);

const struct command command_doctor = {
    .name = "doctor",
    .usage = "[--json]",
    .summary = "what works here, what does not, and what to do",
    .help =
        "One line for each thing looked at: `ok`, `note` (works, but worse) "
        "or\n"
        "`FAIL`, what was seen, and behind -> what to do about it. Changes\n"
        "nothing and leaves nothing behind.\n"
        "\n"
        "      --json  one JSON object with \"schema\": 1\n"
        "\n"
        "Exit status: 0 nothing fails, 69 only that no broker answers, else "
        "1.\n",
    .examples = "  slotbus doctor\n"
                "  slotbus doctor | grep -v ^ok\n"
                "  slotbus doctor --json | jq -r '.checks[] | "
                "select(.result == \"FAIL\") | .remedy'\n",
    .run = run_doctor};

/* A check waits for nothing as long as this; a kernel that does not answer is
 * what exceeds it. */
struct check {
    const char *name;
    void (*run) (const struct report *r);
    int most_ms;
};

static const struct check checks[] = {
    {"programs", check_programs, 5000},
    {"environment", check_environment, 5000},
    {"folders", check_folders, 5000},
    {"disk", check_disks, 5000},
    {"broker", check_broker, 10000},
    {"shims", check_shims, 5000},
    {"trees", check_trees, 10000},
    {"pressure", check_pressure, 5000},
    {"clocks", check_clocks, 5000},
    {"identity", check_identity, 5000},
    {"limits", check_limits, 5000},
};

enum { CHECKS = sizeof checks / sizeof *checks, REAP_MS = 1000, LOOK_MS = 5 };

/* ---- a check in a process of its own ---- */

static pid_t start (const struct check *check, int *ret_fd)
{
    int fds[2];
    pid_t pid;

    if (pipe2 (fds, O_CLOEXEC))
        return -1;
    fflush (NULL);
    pid = fork ();
    if (pid == 0) {
        struct report report = {fds[1]};

        close (fds[0]);
        check->run (&report);
        _exit (0);
    }
    close (fds[1]);
    if (pid < 0)
        close (fds[0]);
    else
        *ret_fd = fds[0];
    return pid;
}

/* All that it reports, until it has ended: true; or until the deadline. */
static bool collect (int fd, int64_t until, struct findings *f)
{
    struct pollfd item = {fd, POLLIN, 0};
    struct finding one;

    for (;;) {
        int64_t left = until - clock_monotonic_ms ();
        ssize_t n;

        if (left <= 0)
            return false;
        if (poll (&item, 1, (int) left) <= 0)
            continue;
        n = read (fd, &one, sizeof one);
        if (n == (ssize_t) sizeof one)
            findings_add (f, &one);
        else if (n >= 0 || errno != EINTR)
            return true;
    }
}

static void add_failure (struct findings *f, const char *name, const char *what,
                         const char *remedy)
{
    struct finding one = {.result = RESULT_FAIL};

    copy_text (one.name, sizeof one.name, name);
    copy_text (one.what, sizeof one.what, what);
    copy_text (one.remedy, sizeof one.remedy, remedy);
    findings_add (f, &one);
}

/* What the kernel holds cannot even be killed: then it is left to itself. */
bool child_ends (int pid, int ms, int *ret_status)
{
    int64_t until = clock_monotonic_ms () + ms;
    pid_t ended;

    while ((ended = waitpid (pid, ret_status, WNOHANG)) != pid) {
        if (ended < 0 && errno != EINTR)
            return false;
        if (clock_monotonic_ms () >= until)
            break;
        poll (NULL, 0, LOOK_MS);
    }
    if (ended == pid)
        return true;
    kill (pid, SIGKILL);
    for (int i = 0; i < REAP_MS / LOOK_MS && waitpid (pid, NULL, WNOHANG) == 0;
         i++)
        poll (NULL, 0, LOOK_MS);
    return false;
}

static void run_check (const struct check *check, struct findings *f)
{
    int fd = -1, status = 0;
    pid_t pid = start (check, &fd);
    char what[96];
    bool done;

    if (pid < 0) {
        add_failure (f, check->name, strerror (errno),
                     "raise the limits of processes and descriptors");
        return;
    }
    done = collect (fd, clock_monotonic_ms () + check->most_ms, f);
    close (fd);
    if (!child_ends (pid, done ? REAP_MS : 0, &status)) {
        snprintf (what, sizeof what, "no end after %d s",
                  check->most_ms / 1000);
        add_failure (f, check->name, what,
                     "look for a file system that does not answer: df, mount");
    } else if (WIFSIGNALED (status)) {
        snprintf (what, sizeof what, "the check itself was ended by signal %d",
                  WTERMSIG (status));
        add_failure (f, check->name, what, "this is a bug: please report it");
    }
}

/* ---- what is printed ---- */

static void print_text (const struct findings *f, size_t from)
{
    for (size_t i = from; i < f->count; i++) {
        const struct finding *one = &f->at[i];

        printf ("%-4s  %s: %s%s%s\n", result_name (one->result), one->name,
                one->what, one->remedy[0] ? " -> " : "", one->remedy);
    }
    fflush (stdout);
}

static void print_json (const struct findings *f)
{
    json_t *list = json_array (), *all;

    for (size_t i = 0; i < f->count; i++) {
        const struct finding *one = &f->at[i];
        json_t *remedy =
            one->remedy[0] ? json_string (one->remedy) : json_null ();

        json_array_append_new (list,
                               json_pack ("{ss ss ss so}", "name", one->name,
                                          "result", result_name (one->result),
                                          "what", one->what, "remedy", remedy));
    }
    all = json_pack ("{si so ss}", "schema", 1, "checks", list, "result",
                     result_name (findings_worst (f)));
    json_dumpf (all, stdout, JSON_COMPACT);
    putchar ('\n');
    json_decref (all);
}

static int run_doctor (int argc, char **argv)
{
    struct findings found = {NULL, 0};
    bool json = false;
    const struct flag flags[] = {{"--json", 0, FLAG_BOOL, &json, 0, 0},
                                 {NULL, 0, 0, NULL, 0, 0}};
    struct arguments words;
    int status, flushed;

    if (flags_read (&command_doctor, flags, FLAGS_ANYWHERE, argc, argv, &words,
                    &status))
        return status;
    if (words.count > 0)
        return usage_error (&command_doctor, "what is '%s'?", words.at[0]);
    signal (SIGCHLD, SIG_DFL); // ignored, nobody's end could be seen
    for (int i = 0; i < CHECKS; i++) {
        size_t before = found.count;

        run_check (&checks[i], &found);
        if (!json)
            print_text (&found, before);
    }
    if (json)
        print_json (&found);
    status = findings_status (&found);
    findings_free (&found);
    flushed = say_flush ();
    return flushed ? flushed : status;
}
