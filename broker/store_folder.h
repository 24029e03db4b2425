/* SPDX-License-Identifier: MPL-2.0 */
/* store_folder.h - a store as its folder has it: whole, new, or lost
 *
 * The inside of store_sqlite.c, for nobody else. STATE/state.db is opened, or
 * made where there never was one, or refused: whatever is not what was left
 * there is a loss, and stays as it is until somebody accepts it. One of the
 * version before is whole, and gets what it lacks in one transaction.
 *
 * A new database is made under another name and renamed when it is whole, so
 * a state.db that is empty or half there was whole once, and is a loss.
 *
 * Calls return 0, or -1 and store_failure () says why.
 */
#ifndef SLOTBUS_STORE_FOLDER_H
#define SLOTBUS_STORE_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

#include "ballast.h"
#include "bus/endpoint.h"
#include "core/outbox.h"
#include "marker.h"
#include "rows.h"
#include "sqlite_file.h"
#include "sqlite_rows.h"
#include "store.h"
#include "tally.h"

enum { STORE_TABLES = CHANGE_PROJECT + 1 }; // one for each enum change_kind

struct store {
    char folder[PATH_BYTES], path[PATH_BYTES + 16]; // STATE, STATE/state.db
    struct sqlite_file file;
    struct sqlite_rows tables[STORE_TABLES];
    struct meta_row meta;    // as it is in the file
    struct marker marker;    // as it is beside it
    struct tally tally;      // and how many batches that must be
    struct ballast *ballast; // NULL until the store is ready
    bool older;              // the file is to be upgraded
    bool broken;             // a write failed: the files are left as they are
    char notice[512];
};

/* Settle what is in `s->folder`, make it ready for batches and raise the
 * epoch. Unless it is STORE_OK, ret_error has a sentence or, if it is empty,
 * store_failure () has one; the store can only be closed then. */
enum store_error store_folder_open (struct store *s, bool accept_loss,
                                    char *ret_error, size_t error_size);
/* Frees what the store holds, not the store. */
void store_folder_close (struct store *s);

/* Write the row of meta. On a full disk the ballast goes first. */
int store_folder_write_meta (struct store *s);
/* Say in the marker how far `meta` has come, and whether a broker is there
 * that has not closed the store: then there is a WAL. */
int store_folder_mark (struct store *s, bool is_open);

#endif
