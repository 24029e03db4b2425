/* SPDX-License-Identifier: MPL-2.0 */
/* proc.h - processes and hosts, told apart for certain
 *
 * A pid is reused; a pid with its start time on one boot is not. Signals go
 * through pidfds only.
 */
#ifndef SLOTBUS_PROC_H
#define SLOTBUS_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Start time in clock ticks since boot (field 22 of /proc/PID/stat); -1 and
 * errno: no such process. */
int64_t proc_start (pid_t pid);
/* Parent's pid, -1 and errno. */
pid_t proc_parent (pid_t pid);
/* A pidfd of exactly this process (start 0: whatever has the pid now), CLOEXEC;
 * -1 with ESRCH if that process is gone. */
int proc_open (pid_t pid, int64_t start);
/* Does it live (not gone, not a zombie)? Asks only. */
bool proc_alive (pid_t pid, int64_t start);
/* Is this its real, effective, saved or file system uid? Anybody may ask; the
 * owner of /proc/PID is root where a process may not be traced. */
bool proc_runs_as (pid_t pid, uid_t uid);
/* /proc/PID/comm, and its NUL-separated command line (length, -1). */
int proc_comm (pid_t pid, char *ret_name, size_t size);
ssize_t proc_cmdline (pid_t pid, char *ret_line, size_t size);
/* Value of a variable in /proc/PID/environ: 1 found, 0 not there, -1 not
 * readable; ENODATA where nothing at all is shown: by a zombie, a kernel
 * thread, a process without an environment, and one in the midst of exec (),
 * which shows its own later. A value is cut to `size`. */
int proc_getenv (pid_t pid, const char *name, char *ret_value, size_t size);

/* boot_id of this boot; machine-id, else an id kept in STATE/host-id (made at
 * first use). SLOTBUS_HOST, else the host name. 0/-1. */
int host_boot_id (char *ret_id, size_t size);
int host_machine_id (const char *state_folder, char *ret_id, size_t size);
void host_name (char *ret_name, size_t size);

#endif
