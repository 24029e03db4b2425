/* SPDX-License-Identifier: MPL-2.0 */
/* settings.h - what the configuration says, as plain values
 *
 * Filled by options.c from slots.yaml and flags, with every `auto` resolved;
 * the core only reads it. Times are ms. NaN in a limit: not judged (`null`).
 */
#ifndef SLOTBUS_SETTINGS_H
#define SLOTBUS_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/message.h"

enum policy { POLICY_FIFO, POLICY_FAIR, POLICY_PRIORITY };
enum fair_mode { FAIR_PROPORTIONAL, FAIR_MAXMIN };
enum { MAX_PROJECTS = 256, MAX_HOSTS = 64, MAX_UIDS = 16 };
enum { DEFAULT_PRIORITY = 5, MAX_PRIORITY = 1000 };
enum { MAX_TIME_MS = 24 * 3600 * 1000 }; // of each of `timing`

struct timing {
    int64_t beat, ttl, notice, grace, kill_confirm, drift, lock_delay, linger;
    int64_t gather, memory_grace, load_after, load_settle, sample;
    int64_t health_interval, dwell, settle, healthy_for, grow_every;
};

struct limits {
    double cpu_percent, memory_percent, critical_memory_percent;
    double critical_memory_psi, load_average;
    double disk_percent, critical_disk_percent; // inodes too
    bool load_auto; // load_average is 2.0 per core of the host it is about
};

struct project_settings {
    char name[MAX_KEY_BYTES + 1];
    char display[65];           // "" = by its key
    unsigned priority;          // default DEFAULT_PRIORITY
    unsigned max;               // 0 = max_per_project
    unsigned guarantee;
    unsigned uid_count;
    uint32_t uids[MAX_UIDS];    // who may use it; none = by access.c's rules
    int64_t max_time_ms;        // 0 = none
    int64_t memory_limit_bytes; // 0 = none
    int64_t stall_time_ms;      // 0 = off
};

struct host_settings {
    char host[65];
    unsigned max_slots;
};

struct settings {
    unsigned max_slots;
    unsigned max_per_project;
    bool max_per_project_auto;  // half of max_slots, whatever that becomes
    bool auto_max_auto;         // max_slots, whatever that becomes
    enum policy policy;
    enum fair_mode fair_mode;
    int64_t aging_ms;           // a step of priority; 0 = strict
    bool reclaim;
    int64_t reclaim_idle_ms;
    unsigned max_parked, floor, auto_max, grant_burst;
    unsigned cores;             // of the broker's own host,
    uint64_t memory_bytes;      // and so much may be used there; 0 = not known
    unsigned message_rate;      // a second, of one connection
    bool power;                 // durability: power
    char unmanaged[513];        // names of programs that look like agents,
                                // comma-separated; more are not told to others
    struct limits limits;
    struct timing timing;
    unsigned project_count;
    struct project_settings projects[MAX_PROJECTS];
    unsigned host_count;
    struct host_settings hosts[MAX_HOSTS];
};

/* The limits for a host with so many cores; 0 = not known, and `auto` is then
 * what it is for the broker's own. */
struct limits settings_limits (const struct settings *s, unsigned cores);
/* The built-in defaults for a machine with so many cores and bytes. */
void settings_default (struct settings *ret_settings, unsigned cores,
                       uint64_t memory_bytes);
/* T >= 4H + G + K + D, L >= D + H, and what else must fit together. NULL, or a
 * sentence (static) that begins with the key it is about: "timing: ...". */
const char *settings_check (const struct settings *s);
/* How long after STOP a tree is reported as unkillable: whoever cannot be
 * spoken to hears of it with his next BEAT_OK, and REAPED may come as late. */
int64_t settings_ending (const struct settings *s, int64_t notice,
                         int64_t grace);
/* What the timing means, in a sentence for the log; returns ret_text. */
char *settings_describe (const struct settings *s, char *ret_text, size_t size);
/* Another max_slots: what hangs on it by `auto` follows. */
void settings_set_max (struct settings *s, unsigned max_slots);
/* By key, NULL if there is none. */
const struct project_settings *
settings_find_project (const struct settings *s, const char *name);
/* The same, made with defaults if there is none; NULL: MAX_PROJECTS reached. */
struct project_settings *settings_add_project (struct settings *s,
                                               const char *name);
/* The seed's table: min (2.5 x cores, 1.25 x GB), clamped to 1..50. */
unsigned settings_advise (unsigned cores, uint64_t memory_bytes);

#endif
