/* SPDX-License-Identifier: MPL-2.0 */
/* life.h - a store's life by a script, and what must be left of it
 *
 * The life: opened new, filled by batches with and without a flush, read
 * again, closed, opened anew, and so on, part of it on a disk that is nearly
 * full, where the log is folded in every few batches. Before and after each
 * batch it says in the ledger what the state is to be, so that somebody who
 * has the folder and the ledger can judge any end of it.
 */
#ifndef SLOTBUS_TEST_LIFE_H
#define SLOTBUS_TEST_LIFE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store.h"

enum { LIFE_BATCHES = 128, LIFE_KEYS = 32 };

/* A state without its epoch: of each row the number that its record is made
 * from, 0 where there is none. */
struct picture {
    uint64_t mark;
    uint32_t max_slots;
    uint8_t rows[CHANGE_PROJECT + 1][LIFE_KEYS]; // by change_kind and key
};

struct ledger {
    struct picture pictures[LIFE_BATCHES]; // by batch, from 0: nothing
    unsigned tried;   // the newest batch that was given to the store,
    unsigned done;    // that it said is done,
    unsigned flushed; // and that had to reach the disk
    uint64_t epoch;   // the newest that anybody was told
    char broker[33];
    enum store_error end; // of the life
    char sentence[1024];  // why it ended early
    bool was_full;        // the store said so for once
    bool struck_closing;  // the disk failed then: nobody is told
};

/* Until its end or the first failure, which closes the store. In a child the
 * ledger is shared memory. `tell`, if there is one, is called whenever the
 * ledger has changed. */
void life_live (const char *folder, struct ledger *l,
                void (*tell) (const struct ledger *l));

/* What a store holds, by its load: damaged leases are 255. false: the load
 * failed, or a row is not one of the life's. */
bool life_look (struct store *s, struct picture *ret_picture,
                unsigned *ret_damaged);

/* Is the folder's state right: opened, nothing lost of batch `least`, nothing
 * there that is not of a batch up to `most`, nothing half there, the epoch
 * above `epoch`, and does it work? NULL, or what is wrong. The last sentence
 * is store_open ()'s. */
const char *life_judge (const char *folder, const struct ledger *l,
                        unsigned least, unsigned most, uint64_t epoch,
                        char *ret_sentence, size_t size);

#endif
