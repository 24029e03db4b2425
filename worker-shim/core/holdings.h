/* SPDX-License-Identifier: MPL-2.0 */
/* holdings.h - every slot this shim has to do with
 *
 *   IDLE ------> TAKEN ---> REAPED        by a run, which gives it back
 *     ^            |
 *     +--- KEPT <--+                      a reservation outlives its run
 *   IDLE, BOUND ----------> RELEASING     on its supervisor's word
 *   INHERITED ------------> RELEASING     a predecessor's: likewise
 *   LEFTOVER -------------> REAPED        a predecessor's tree, being ended
 *
 * REAPED and RELEASING wait for the broker's answer, which removes them. A
 * KEPT slot waits too: until the broker has answered it may yet say that the
 * slot was killed meanwhile, so nothing is started under it.
 *
 * Pure table: it knows states, not reasons. Pointers to slots stay good until
 * that slot is removed.
 */
#ifndef SLOTBUS_HOLDINGS_H
#define SLOTBUS_HOLDINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/supervisors.h"
#include "protocol/message.h"

enum slot_state {
    SLOT_NONE,
    SLOT_IDLE,      // a reservation: its supervisor's to use
    SLOT_BOUND,     // its worker lives inside its supervisor
    SLOT_TAKEN,     // by the run `tree`
    SLOT_KEPT,      // its run has ended, the broker has not answered yet
    SLOT_RELEASING, // given back; nothing of ours runs under it
    SLOT_REAPED,    // its tree is proven gone
    SLOT_INHERITED, // a predecessor's, without a tree
    SLOT_LEFTOVER   // a predecessor's tree
};

struct slot {
    uint64_t token; // 0 = unused entry
    enum slot_state state;
    struct who supervisor; // whose it is
    uint64_t tree;         // first token of its run; 0 = it never had one
    bool reservation;      // goes on when the run that filled it ends
    bool give_up;          // killed or released: not kept when its run ends
    bool revoked;          // BOUND, INHERITED: the broker wants it back,
    bool ended;            // and its supervisor was told to end
    bool lost;             // granted to a session that is over
    bool foreign;          // of another broker id: nobody is to hear of it
    bool stranger;         // RELEASING: never ours; a user named the token
    bool sent;             // said to the broker since the last BEAT
    uint8_t status;        // KEPT, REAPED: exit status of the run,
    uint64_t memory_bytes, cpu_ms; // what it used,
    uint64_t seq;          // and of the REAPED that says so
    int64_t idle_since;    // IDLE: so long; 0 = it is not
    uint64_t offered_to;   // client that has not confirmed its GRANT yet
    uint64_t offered_seq;  // its request
    char label[257];       // as progress calls it; "" = none yet
};

/* What we hold ourselves, what a predecessor left, and what users ask about:
 * each is bounded, see shim_room (). */
enum { MAX_FOREIGN = 128, MAX_ENTRIES = MAX_HELD + MAX_FOREIGN };
/* How many closed tokens are remembered, against late GRANTs of them. */
enum { MAX_CLOSED = 256 };

struct holdings {
    size_t count;
    size_t top; // entries in use are below
    struct slot at[MAX_ENTRIES];
    size_t closed_count;
    uint64_t closed[MAX_CLOSED];
};

/* NULL where the table is full; the token must not be there. */
struct slot *holdings_add (struct holdings *h, uint64_t token,
                           enum slot_state state, struct who supervisor);
struct slot *holdings_find (struct holdings *h, uint64_t token);
/* Closed: it is remembered as such. */
void holdings_close (struct holdings *h, uint64_t token);
/* Tokens compare under one broker id only, and this is another: what is closed
 * is forgotten, and so is what would only be told; what runs is foreign. */
void holdings_another_broker (struct holdings *h, struct u64s *ret_dropped);
/* Of an earlier session: it may come again, as a predecessor's. */
void holdings_drop (struct holdings *h, uint64_t token);
/* Is it here, or was it lately closed? */
bool holdings_knew (struct holdings *h, uint64_t token);

/* The slots one by one, in no order: start with NULL, ends with NULL. The
 * slot that was returned last may be removed meanwhile. */
struct slot *holdings_next (struct holdings *h, const struct slot *after);
/* The next one that fills the run `tree`. */
struct slot *holdings_next_of (struct holdings *h, uint64_t tree,
                               const struct slot *after);

/* The newest slot of that supervisor in that state with a token below
 * `below`; NULL where there is none. */
struct slot *holdings_newest (struct holdings *h, struct who supervisor,
                              enum slot_state state, uint64_t below);
unsigned holdings_count (struct holdings *h, struct who supervisor,
                         enum slot_state state);
/* What counts as this supervisor's: all but what waits for an answer. */
unsigned holdings_held (struct holdings *h, struct who supervisor);
bool holdings_any (struct holdings *h, enum slot_state state);

/* Tokens that a BEAT names: granted to this session and not given back. */
void holdings_named (struct holdings *h, struct u64s *ret_tokens);
/* Tokens of an earlier session whose trees still run. */
void holdings_running (struct holdings *h, struct u64s *ret_tokens);

#endif
