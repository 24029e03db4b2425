/* SPDX-License-Identifier: MPL-2.0 */
/* relieve.h - RELIEVEs, and how far they are
 *
 * As a KILL, each is asked for once and then polled by its id; the newest 16
 * are remembered. What has become of the victim is read off the lease table.
 */
#ifndef SLOTBUS_RELIEVE_H
#define SLOTBUS_RELIEVE_H

#include "core/kills.h"
#include "core/victims.h"

enum { KEPT_RELIEFS = 16 };

struct relief {
    uint64_t id; // 0: none
    uint32_t uid;    // of who asked
    uint64_t digest; // of what he asked for
    char host[65];
    unsigned before; // effective, before
    struct kill kill; // no slots: nobody was to be ended; owned
    char project[MAX_KEY_BYTES + 1], label[257];
    struct victim victim;
};

struct reliefs {
    struct relief at[KEPT_RELIEFS];
    unsigned next;
};

void reliefs_shift (struct reliefs *r, int64_t by);
void reliefs_clear (struct reliefs *r);

#endif
