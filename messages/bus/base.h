/* SPDX-License-Identifier: MPL-2.0 */
/* base.h - the few things every shell needs: memory, clock, chance
 *
 * Out of memory aborts: a restart is an event that the protocol handles.
 */
#ifndef SLOTBUS_BASE_H
#define SLOTBUS_BASE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

void *xmalloc (size_t size);             // never NULL
void *xcalloc (size_t count, size_t size);
void *xrealloc (void *ptr, size_t size);
char *xstrdup (const char *text);
char *xasprintf (const char *format, ...) __attribute__ ((format (printf, 1, 2)));

/* Monotonic ms (CLOCK_MONOTONIC, sleeps with the machine). */
int64_t clock_monotonic_ms (void);
/* Monotonic ms that goes on during suspend (CLOCK_BOOTTIME). */
int64_t clock_boottime_ms (void);
/* Wall time in ms since 1970: only for what people read. */
int64_t clock_wall_ms (void);

/* A random number other than 0, by getrandom (). */
uint64_t random_u64 (void);

/* Whole-buffer write to a descriptor, EINTR and short writes handled. 0/-1. */
int write_all (int fd, const void *data, size_t size);
/* Read a small file whole (procfs too): bytes read, always terminated; -1 and
 * errno. Text beyond size - 1 bytes is left out. */
ssize_t read_file (const char *path, char *ret_text, size_t size);
/* Write a file atomically: PATH.tmp, flush if wanted, rename. 0/-1. */
int write_file_atomically (const char *path, const void *data, size_t size,
                           mode_t mode, int flush);
/* mkdir -p of the last component's parents, each with mode. 0/-1. */
int make_folders (const char *path, mode_t mode);

#endif
