/* SPDX-License-Identifier: MPL-2.0 */
/* sampler.h - how this host is: processors, memory, load, disks, pressure
 *
 * Read from procfs and control groups, never by running a program. What cannot
 * be read is NaN, and nothing else fails. The paths are asked by statvfs (),
 * which waits for its file system: do not name one on a network.
 */
#ifndef SLOTBUS_SAMPLER_H
#define SLOTBUS_SAMPLER_H

#include <stdint.h>
#include <sys/statvfs.h>

#include "protocol/sample.h"

struct sampler;

/* proc_root: "/proc". The paths whose file systems are judged; all copied. */
struct sampler *sampler_create (const char *proc_root,
                                const char *const *disk_paths, unsigned count);
void sampler_destroy (struct sampler *s);

/* The cpu figure is over at least so long (0, as at first: since the call
 * before), however often it is asked: over a short time it is never steady. */
void sampler_set_window (struct sampler *s, int64_t window_ms);

/* `now` becomes sample.at. The cpu figure is NaN in the first call, and if no
 * tick of the clock has passed. */
void sampler_sample (struct sampler *s, int64_t now, struct sample *ret_sample);

/* Used part of a file system as df shows it: what only root may still write
 * does not count as free. */
double sampler_disk_percent (const struct statvfs *fs);
/* 0 where the file system has no limit on inodes. */
double sampler_inodes_percent (const struct statvfs *fs);

#endif
