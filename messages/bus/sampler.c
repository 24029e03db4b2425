/* SPDX-License-Identifier: MPL-2.0 */
#include "bus/sampler.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/base.h"
#include "bus/machine.h"

/* Of /proc/stat: before its last lines come those of each processor and
 * interrupt, some tens of KB on a large machine. */
enum { STAT_MOST = 1 << 17 };

/* Ticks of all processors since boot. */
struct ticks {
    uint64_t idle, total;
};

struct sampler {
    char *proc_root;
    char **paths;
    unsigned path_count;
    int64_t window; // ms
    bool has_ticks;
    struct ticks ticks;  // since then processors are judged,
    struct ticks latest; // and since then once that is a window ago
    int64_t latest_at;
    char stat[STAT_MOST]; // the text of this reading; "" could not be read
};

struct sampler *sampler_create (const char *proc_root,
                                const char *const *disk_paths, unsigned count)
{
    struct sampler *s = xcalloc (1, sizeof *s);

    s->proc_root = xstrdup (proc_root);
    s->paths = xcalloc (count, sizeof *s->paths);
    for (unsigned i = 0; i < count; i++)
        s->paths[i] = xstrdup (disk_paths[i]);
    s->path_count = count;
    return s;
}

void sampler_destroy (struct sampler *s)
{
    int error = errno;

    for (unsigned i = 0; s && i < s->path_count; i++)
        free (s->paths[i]);
    if (s) {
        free (s->paths);
        free (s->proc_root);
        free (s);
    }
    errno = error;
}

void sampler_set_window (struct sampler *s, int64_t window_ms)
{
    s->window = window_ms;
}

static bool read_in (const struct sampler *s, const char *name, char *ret_text,
                     size_t size)
{
    char *path = xasprintf ("%s/%s", s->proc_root, name);
    ssize_t n = read_file (path, ret_text, size);

    free (path);
    return n > 0;
}

/* user nice system idle iowait irq softirq steal; guest time is in user. Old
 * kernels have only the first four. Source: proc(5). */
static bool read_ticks (const struct sampler *s, struct ticks *ret)
{
    unsigned long long t[8] = {0};

    if (sscanf (s->stat, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &t[0],
                &t[1], &t[2], &t[3], &t[4], &t[5], &t[6], &t[7]) < 4)
        return false;
    *ret = (struct ticks){.idle = t[3] + t[4]};
    for (int i = 0; i < 8; i++)
        ret->total += t[i];
    return true;
}

/* The kernel's idle and iowait may go back a little: that is no idling. */
static double busy_percent (const struct ticks *before, const struct ticks *now)
{
    uint64_t total = now->total - before->total;
    uint64_t idle = now->idle > before->idle ? now->idle - before->idle : 0;

    if (now->total <= before->total)
        return NAN;
    return idle >= total ? 0 : 100.0 * (double) (total - idle) / (double) total;
}

static double cpu_percent (struct sampler *s, int64_t now)
{
    struct ticks ticks;
    double busy = NAN;

    if (!read_ticks (s, &ticks)) {
        s->has_ticks = false;
        return NAN;
    }
    if (!s->has_ticks || now - s->latest_at >= s->window) {
        s->ticks = s->has_ticks ? s->latest : ticks;
        s->latest = ticks;
        s->latest_at = now;
    }
    if (s->has_ticks)
        busy = busy_percent (&s->ticks, &ticks);
    s->has_ticks = true;
    return busy;
}

/* Those that wait for a disk: to the kernel's load they are as those that run.
 * Old kernels do not say. Source: proc(5). */
static unsigned blocked (const struct sampler *s)
{
    const char *at = strstr (s->stat, "\nprocs_blocked ");
    unsigned tasks = 0;

    return at && sscanf (at, " procs_blocked %u", &tasks) == 1 ? tasks : 0;
}

/* "0.52 0.58 0.59 3/602 12345": we ourselves are one of the 3. */
static void read_load (const struct sampler *s, struct sample *ret)
{
    char text[128];
    double load;
    unsigned running;

    if (!read_in (s, "loadavg", text, sizeof text) ||
        sscanf (text, "%lf %*s %*s %u/", &load, &running) != 2)
        return;
    ret->load1 = load;
    ret->running = (running > 0 ? running - 1.0 : 0) + blocked (s);
}

static double find_pressure (const char *text, const char *line)
{
    const char *at = strstr (text, line);
    double value;

    if (!at || sscanf (at + strlen (line), " avg10=%lf", &value) != 1)
        return NAN;
    return value;
}

static void read_pressure (const struct sampler *s, const char *name,
                           double *ret_some, double *ret_full)
{
    char text[512];

    if (!read_in (s, name, text, sizeof text))
        return;
    *ret_some = find_pressure (text, "some");
    if (ret_full)
        *ret_full = find_pressure (text, "full");
}

double sampler_disk_percent (const struct statvfs *fs)
{
    double used = (double) (fs->f_blocks - fs->f_bfree);
    double room = used + (double) fs->f_bavail;

    return room > 0 ? 100.0 * used / room : 0;
}

double sampler_inodes_percent (const struct statvfs *fs)
{
    if (fs->f_files == 0 || fs->f_ffree >= fs->f_files)
        return 0;
    return 100.0 * (double) (fs->f_files - fs->f_ffree) / (double) fs->f_files;
}

static double worse (double a, double b)
{
    return isnan (a) || b > a ? b : a;
}

static void read_disks (const struct sampler *s, struct sample *ret)
{
    for (unsigned i = 0; i < s->path_count; i++) {
        struct statvfs fs;

        if (statvfs (s->paths[i], &fs))
            continue;
        ret->disk_percent =
            worse (ret->disk_percent, sampler_disk_percent (&fs));
        ret->inodes_percent =
            worse (ret->inodes_percent, sampler_inodes_percent (&fs));
    }
}

static const struct sample unknown = {0,   NAN, NAN, NAN, NAN, NAN, NAN,
                                      NAN, NAN, NAN, NAN, NAN, NAN};

void sampler_sample (struct sampler *s, int64_t now, struct sample *ret_sample)
{
    struct sample sample = unknown;

    sample.at = now;
    if (!read_in (s, "stat", s->stat, sizeof s->stat))
        s->stat[0] = '\0';
    sample.cpu_percent = cpu_percent (s, now);
    sample.memory_percent = machine_memory_percent (s->proc_root);
    sample.swap_percent = machine_swap_percent (s->proc_root);
    read_load (s, &sample);
    read_disks (s, &sample);
    read_pressure (s, "pressure/cpu", &sample.cpu_some, NULL);
    read_pressure (s, "pressure/memory", &sample.memory_some,
                   &sample.memory_full);
    read_pressure (s, "pressure/io", &sample.io_some, &sample.io_full);
    *ret_sample = sample;
}
