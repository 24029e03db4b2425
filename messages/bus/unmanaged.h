/* SPDX-License-Identifier: MPL-2.0 */
/* unmanaged.h - what looks like an agent and runs outside any slot
 *
 * A process looks like one by its name: comm, or the last part of argv[0]. It
 * runs under a slot if it has a tree's cookie, is in the cgroup of a tree, or
 * descends from a keeper or from `slotbus run`. Nor is one meant that holds
 * slots or waits for some: a supervisor. What remains is counted, and nothing
 * else is done to it.
 *
 * One look goes through all processes in several steps, so that none of them
 * takes long: two small files for each process, a few more for those that have
 * the name. Who comes and goes meanwhile may be missed.
 *
 * Whose it may be is guessed by the folder that each works in: the last part
 * of its path that is the name of a project. That of the most memory counts.
 *
 * `proc_root` is "/proc"; tests give a folder of their own.
 */
#ifndef SLOTBUS_UNMANAGED_H
#define SLOTBUS_UNMANAGED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct unmanaged_search;

struct unmanaged_found {
    unsigned count;
    uint64_t memory_bytes; // resident less what is shared with files
    char of[65];           // "" = nobody knows
};

/* names: comma-separated; "" = nothing is looked for. Both are copied. */
struct unmanaged_search *unmanaged_create (const char *proc_root,
                                           const char *names);
void unmanaged_destroy (struct unmanaged_search *u);

/* What who asks knows. */
struct unmanaged_eyes {
    bool (*is_project) (void *arg, const char *folder); // its name, lower case
    bool (*is_supervisor) (void *arg, pid_t pid);
    void *arg;
};

/* Looks at the next `most` processes. True: that was the last of them, and
 * *ret_found is what the whole look found; the next call begins a new one. */
bool unmanaged_look (struct unmanaged_search *u, unsigned most,
                     const struct unmanaged_eyes *eyes,
                     struct unmanaged_found *ret_found);

#endif
