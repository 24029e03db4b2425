/* SPDX-License-Identifier: MPL-2.0 */
/* faulty_disk.h - the disk under a store, which fails when it is told to
 *
 * Everything that a store does with the files of one folder passes here: what
 * SQLite does by an SQLite VFS of our own, what the product does itself by
 * open (), write (), fsync () and the like, which the linker replaces in these
 * tests. Both go through one counter, so that "the n-th step fails" means the
 * whole store. Nothing is really flushed: these tests cut no real power.
 *
 * One disk per process. A watched folder has no folders in it.
 */
#ifndef SLOTBUS_TEST_FAULTY_DISK_H
#define SLOTBUS_TEST_FAULTY_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum disk_fault {
    FAULT_NO_SPACE,  // from then on, until the ballast is thrown out
    FAULT_IO,        // once, EIO
    FAULT_FLUSH,     // once, EIO from a flush
    FAULT_SHORT,     // half of it is written, which SQLite takes for full
    FAULT_TORN,      // half of it is written, then the process is dead
    FAULT_READ_ONLY, // from then on, EROFS
    FAULT_DEATH,     // the process is dead
    DISK_FAULTS
};

enum { DISK_DEATH = 99 }; // exit status of a death

enum disk_step_kind {
    STEP_OPEN, // of a file that exists
    STEP_CREATE,
    STEP_READ,
    STEP_WRITE,
    STEP_TRUNCATE,
    STEP_FLUSH,
    STEP_RENAME,
    STEP_UNLINK,
    STEP_FLUSH_FOLDER
};

/* A change that was made, or a flush. */
struct disk_step {
    enum disk_step_kind kind;
    unsigned file;         // which one, whatever it is called by then
    char name[32], to[32]; // of its folder entry
    int64_t offset;        // of a write; the new size of a truncation
    size_t size;           // of a write
    unsigned char *data;   // of a write; the disk's
    unsigned tag;          // see disk_tag ()
};

/* Before SQLite is used for the first time. */
void disk_install (void);
/* Watch what happens in that folder; NULL: nothing is watched any more. The
 * count of steps begins anew, no fault is set and space is plenty. */
void disk_watch (const char *folder);
/* The `nth` step (from 1) that this fault can strike fails. */
void disk_fail (enum disk_fault fault, unsigned nth);
/* Has it happened? */
bool disk_struck (void);
/* How much statvfs () says is left: plenty, or hardly any. */
void disk_set_low (bool low);
/* The full disk has room again. */
void disk_make_room (void);

/* The machine has started anew: host_boot_id () gives another id. */
void disk_reboot (void);

/* Keep what is done from here on, beginning with an empty folder, until
 * another one is watched. What was kept before is forgotten. */
void disk_record (void);
size_t disk_recorded (void);
const struct disk_step *disk_step_at (size_t i);
/* A mark that the following steps carry. */
void disk_tag (unsigned tag);

#endif
