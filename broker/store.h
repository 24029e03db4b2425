/* SPDX-License-Identifier: MPL-2.0 */
/* store.h - what must be on disk before an answer leaves
 *
 * One folder holds it: the database, the marker INITIALISED beside it (broker
 * id, epoch, marks; flushed whenever one of them rises), a count of commits and
 * a ballast for the day the disk is full. The marker is why a missing or
 * emptied database is never mistaken for a new one, and why tokens and epochs
 * rise (I3) even if the database is given up; the count is why one that lacks
 * its latest changes is not mistaken for a whole one.
 *
 * Not locked here: the caller holds the folder's lock while a store is open.
 * store_sqlite.c is the embedded default; another store is another file.
 */
#ifndef SLOTBUS_STORE_H
#define SLOTBUS_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/outbox.h"
#include "core/records.h"

struct store;

/* Why a store could not be opened, or a batch not be committed. */
enum store_error {
    STORE_OK,
    STORE_LOST,   // missing, empty, damaged, newer or older: refused, 78
    STORE_CONFIG, // not to be opened as it is (rights, not a folder), 78
    STORE_IO      // the disk failed, 74
};

/* Open the store in `folder`, which exists; a folder that never held one is
 * initialised. Raises the epoch, durably. `accept_loss`: what is lost is moved
 * aside and the store starts anew in learning, with broker id, epoch and marks
 * of the marker. A state of the version before is upgraded in place. A page of
 * the database that cannot be read is lost. *ret_store is set on STORE_OK only,
 * else ret_error has a sentence that says what to do. */
enum store_error store_open (const char *folder, bool accept_loss,
                             struct store **ret_store, char *ret_error,
                             size_t error_size);
/* Leaves the files so that the next start finds them whole. NULL is fine. */
void store_close (struct store *s);

/* As the core wants it: the epoch is this start's. */
const struct meta_record *store_meta (const struct store *s);
/* State was given up and what shims report has to be learned; this is so
 * across restarts until store_learned (). */
bool store_learning (const struct store *s);
enum store_error store_learned (struct store *s);
/* What store_open () did that a person should hear of, or "". */
const char *store_notice (const struct store *s);

/* Receives the rows, waiters last, each kind in the order of its keys. A
 * damaged lease comes as its token; damaged rows of other kinds cost waiting,
 * or what somebody said of a project, and are only counted. */
struct store_reader {
    void (*session) (void *arg, const struct session_record *record);
    void (*lease) (void *arg, const struct lease_record *record);
    void (*waiter) (void *arg, const struct waiter_record *record);
    void (*project) (void *arg, const struct project_record *record);
    void (*damaged) (void *arg, uint64_t token);
    void *arg;
};
enum store_error store_load (struct store *s, const struct store_reader *to,
                             unsigned *ret_damaged);

/* Write a batch's changes in one transaction, before anything of the batch is
 * sent. Flushed to the disk if outbox_flush () says so, or if marks or limits
 * changed; else it survives the end of this process, not of the machine (R4).
 * On a full disk the ballast is given up and the batch tried once more.
 * STORE_OK; else nothing of the batch may leave, and the process ends: after
 * a failed flush the kernel's cache does not hold what the disk holds. */
enum store_error store_commit (struct store *s, const struct outbox *o);
/* The last failure as a sentence. */
const char *store_failure (const struct store *s);

/* Look at the disk (now and then, once a second is plenty) and make the
 * ballast again when there is room. */
void store_tend (struct store *s);
/* The disk is full, or nearly: nothing may be granted. */
bool store_full (const struct store *s);

#endif
