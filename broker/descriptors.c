/* SPDX-License-Identifier: MPL-2.0 */
#include "descriptors.h"

#include <dirent.h>
#include <errno.h>
#include <sys/resource.h>

#include "bus/log.h"

enum { LOOK_MS = 5000, SCARCE_PERCENT = 80, AMPLE_PERCENT = 70 };

/* -1: cannot be told. That none is left to look with tells enough. */
static int64_t count_used (int64_t limit)
{
    DIR *folder = opendir ("/proc/self/fd");
    int64_t used = 0;

    if (!folder)
        return errno == EMFILE ? limit : -1;
    for (const struct dirent *entry; (entry = readdir (folder));)
        used += entry->d_name[0] != '.';
    closedir (folder);
    return used - 1; // the folder's own
}

static void judge (struct descriptors *d, int64_t used, int64_t limit)
{
    if (!d->scarce && used * 100 >= limit * SCARCE_PERCENT) {
        d->scarce = true;
        log_line (LOG_WARNING,
                  "descriptors used=%lld limit=%lld warning=\"when none is "
                  "left nobody can connect: raise LimitNOFILE (ulimit -Hn)\"",
                  (long long) used, (long long) limit);
    } else if (d->scarce && used * 100 < limit * AMPLE_PERCENT) {
        d->scarce = false;
        log_line (LOG_INFO, "descriptors used=%lld limit=%lld",
                  (long long) used, (long long) limit);
    }
}

void descriptors_look (struct descriptors *d, int64_t now)
{
    struct rlimit limit;
    int64_t used;

    if (now < d->due)
        return;
    d->due = now + LOOK_MS;
    if (getrlimit (RLIMIT_NOFILE, &limit) || limit.rlim_cur == RLIM_INFINITY)
        return;
    used = count_used ((int64_t) limit.rlim_cur);
    if (used >= 0)
        judge (d, used, (int64_t) limit.rlim_cur);
}
