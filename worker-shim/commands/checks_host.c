/* SPDX-License-Identifier: MPL-2.0 */
/* checks_host.c - the kernel and the machine: pressure, clocks, identity,
 * limits
 *
 * Sources: proc(5), machine-id(5), clock_gettime(2), getrlimit(2), the kernel's
 * accounting/psi.rst.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bus/base.h"
#include "bus/endpoint.h"
#include "bus/machine.h"
#include "bus/proc.h"
#include "commands/advice.h"
#include "commands/checks.h"

/* The broker does not start below the first; the second is what a few hundred
 * shims with their connections need. */
enum { LEAST_DESCRIPTORS = 1024, GOOD_DESCRIPTORS = 4096 };
enum { LEAST_PROCESSES = 256, GOOD_PROCESSES = 1024, GOOD_PIDS = 32768 };

/* A small file's first line; false: it cannot be read. */
static bool read_line (const char *path, char *ret_line, size_t size)
{
    if (read_file (path, ret_line, size) < 0)
        return false;
    ret_line[strcspn (ret_line, "\n")] = 0;
    return true;
}

void check_pressure (const struct report *r)
{
    static const char *const files[] = {"cpu", "memory", "io"};
    char path[64], text[256];

    for (int i = 0; i < 3; i++) {
        snprintf (path, sizeof path, "/proc/pressure/%s", files[i]);
        if (!read_line (path, text, sizeof text)) {
            report_note (r, "pressure",
                         "boot the kernel with psi=1; without, memory, load "
                         "and processors alone decide the health",
                         "%s: %s", path, strerror (errno));
            return;
        }
    }
    report_ok (r, "pressure", "/proc/pressure is there (io: %s)", text);
}

/* ---- clocks ---- */

static void check_source (const struct report *r)
{
    static const char folder[] = "/sys/devices/system/clocksource/clocksource0";
    static const char *const slow[] = {
        "jiffies", "refined-jiffies", "acpi_pm", "hpet", "pit", NULL};
    char path[96], name[64];

    snprintf (path, sizeof path, "%s/current_clocksource", folder);
    if (!read_line (path, name, sizeof name)) {
        report_note (r, "clock source", "mount /sys to see it", "%s: %s", path,
                     strerror (errno));
        return;
    }
    for (int i = 0; slow[i]; i++)
        if (strcmp (name, slow[i]) == 0) {
            report_note (r, "clock source",
                         "dmesg | grep -i clocksource says why the faster one "
                         "was given up",
                         "%s: the processor's own clock is not trusted", name);
            return;
        }
    report_ok (r, "clock source", "%s", name);
}

void check_clocks (const struct report *r)
{
    int64_t asleep = clock_boottime_ms () - clock_monotonic_ms ();

    if (asleep < 1000)
        report_ok (r, "suspend",
                   "this machine never slept since it was booted");
    else
        report_ok (r, "suspend",
                   "this machine slept for %" PRId64 " s since it was booted; "
                   "leases of other hosts went on running meanwhile",
                   asleep / 1000);
    check_source (r);
}

/* ---- identity ---- */

const char *machine_id_fault (const char *text)
{
    if (!*text)
        return "empty";
    if (strcmp (text, "uninitialized") == 0)
        return "uninitialized";
    if (strspn (text, "0123456789abcdef") != 32 || text[32])
        return "not 32 hexadecimal digits";
    return strspn (text, "0") == 32 ? "all zero" : NULL;
}

static void check_machine_id (const struct report *r)
{
    static const char path[] = "/etc/machine-id";
    char text[64], state[PATH_BYTES] = "", error[2 * PATH_BYTES];
    const char *fault = "missing";

    if (read_line (path, text, sizeof text))
        fault = machine_id_fault (text);
    if (!fault) {
        report_ok (r, "machine-id", "%s", text);
        return;
    }
    if (strcmp (fault, "all zero") == 0) {
        report_fail (r, "machine-id", "systemd-machine-id-setup, as root",
                     "%s is all zero: two such hosts are taken for one", path);
        return;
    }
    (void) folder_state (state, sizeof state, error, sizeof error);
    report_note (r, "machine-id", "systemd-machine-id-setup, as root",
                 "%s is %s: an id kept as %s/host-id stands in for it, and is "
                 "this user's only",
                 path, fault, state);
}

void check_identity (const struct report *r)
{
    char boot[64], name[256];

    check_machine_id (r);
    if (host_boot_id (boot, sizeof boot) == 0)
        report_ok (r, "boot-id", "%s", boot);
    else
        report_fail (r, "boot-id",
                     "mount /proc with /proc/sys/kernel/random readable",
                     "/proc/sys/kernel/random/boot_id: %s", strerror (errno));
    host_name (name, sizeof name);
    if (!*name || strncmp (name, "localhost", 9) == 0 ||
        strcmp (name, "(none)") == 0)
        report_note (r, "host name",
                     "hostnamectl set-hostname NAME, or set "
                     "SLOTBUS_HOST",
                     "'%s' tells this host from no other", name);
    else
        report_ok (r, "host name", "%s", name);
}

/* ---- limits ---- */

static void name_limit (rlim_t limit, char *ret_text, size_t size)
{
    if (limit == RLIM_INFINITY)
        snprintf (ret_text, size, "unlimited");
    else
        snprintf (ret_text, size, "%llu", (unsigned long long) limit);
}

static void check_descriptors (const struct report *r)
{
    static const char remedy[] =
        "LimitNOFILE=65536 in the unit, or ulimit -Hn 65536 in the shell that "
        "starts it";
    struct rlimit limit;
    char soft[32], hard[32];

    if (getrlimit (RLIMIT_NOFILE, &limit))
        return;
    name_limit (limit.rlim_cur, soft, sizeof soft);
    name_limit (limit.rlim_max, hard, sizeof hard);
    if (limit.rlim_max < LEAST_DESCRIPTORS)
        report_fail (r, "descriptors", remedy,
                     "at most %s (now %s): a broker needs %d", hard, soft,
                     LEAST_DESCRIPTORS);
    else if (limit.rlim_max < GOOD_DESCRIPTORS)
        report_note (r, "descriptors", remedy,
                     "at most %s (now %s): few for many shims and agents", hard,
                     soft);
    else
        report_ok (r, "descriptors", "at most %s (now %s)", hard, soft);
}

static void check_processes (const struct report *r)
{
    static const char remedy[] = "TasksMax= and LimitNPROC= in the unit, or "
                                 "ulimit -u in the shell that starts it";
    struct rlimit limit;
    char most[32];

    if (getrlimit (RLIMIT_NPROC, &limit))
        return;
    name_limit (limit.rlim_cur, most, sizeof most);
    if (geteuid () == 0)
        report_ok (r, "processes",
                   "%s for this user, which root is not held to", most);
    else if (limit.rlim_cur < LEAST_PROCESSES)
        report_fail (r, "processes", remedy, "%s for this user", most);
    else if (limit.rlim_cur < GOOD_PROCESSES)
        report_note (r, "processes", remedy, "%s for this user", most);
    else
        report_ok (r, "processes", "%s for this user", most);
}

/* Control groups of version 1 and 2 limit tasks too, on each level. */
static void check_tasks (const struct report *r)
{
    uint64_t most = machine_task_limit ("/proc");

    if (most == 0)
        report_ok (r, "tasks", "no control group limits them");
    else if (most < LEAST_PROCESSES)
        report_note (r, "tasks", "TasksMax=infinity in the unit",
                     "a control group allows %" PRIu64, most);
    else
        report_ok (r, "tasks", "a control group allows %" PRIu64, most);
}

static void check_pid_max (const struct report *r)
{
    char text[32];

    if (!read_line ("/proc/sys/kernel/pid_max", text, sizeof text))
        return;
    if (atol (text) < GOOD_PIDS)
        report_note (r, "pid_max", "sysctl kernel.pid_max=4194304, as root",
                     "%s: pids are soon used again", text);
    else
        report_ok (r, "pid_max", "%s", text);
}

static void check_size (const struct report *r)
{
    long cores = sysconf (_SC_NPROCESSORS_ONLN);
    struct machine m;
    unsigned gb;

    machine_read ("/proc", &m);
    gb = advice_gb (m.memory_bytes);
    if (m.memory_bytes == 0)
        report_fail (r, "size", "mount /proc", "/proc/meminfo cannot be read");
    else
        report_ok (r, "size",
                   "%u of %ld cores and %u GB of memory may be used: %u slots",
                   m.cores, cores, gb, advice_slots (m.cores, gb));
}

void check_limits (const struct report *r)
{
    check_descriptors (r);
    check_processes (r);
    check_tasks (r);
    check_pid_max (r);
    check_size (r);
}
