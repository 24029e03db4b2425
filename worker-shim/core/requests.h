/* SPDX-License-Identifier: MPL-2.0 */
/* requests.h - who waits for slots
 *
 * A request is known to the broker by our `seq`, which is never used again,
 * and to its client by the client's own. A withdrawn request stays until the
 * broker has answered its CANCEL, as one without a client: what is granted to
 * it meanwhile goes straight back. Pure table, in order of seq; pointers stay
 * good until that request is removed.
 */
#ifndef SLOTBUS_REQUESTS_H
#define SLOTBUS_REQUESTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/supervisors.h"
#include "protocol/message.h"

enum {
    MAX_REQUESTS = 1000, // what the broker takes from one project
    SEQ_WINDOW = 64      // how far a seq may be above an unanswered one
};

struct request {
    uint64_t seq;
    uint64_t client; // 0 = withdrawn
    uint64_t client_seq;
    struct who supervisor;
    bool back;     // a parked tree wants to go on (ask.parked: its name), and
                   // does whether or not a client waits for it
    bool asked;    // the present session may know it
    bool answered; // the broker has it: no need to say it again
    bool sent;     // said since the last BEAT
    struct msg_request ask;
};

struct requests {
    uint64_t last_seq;
    uint64_t asked_seq; // the newest that was said
    size_t count, room;
    struct request **at; // owned, as are they
};

/* NULL where there are MAX_REQUESTS. */
struct request *requests_add (struct requests *t, uint64_t client,
                              struct who supervisor,
                              const struct msg_request *ask);
struct request *requests_find (struct requests *t, uint64_t seq);
void requests_remove (struct requests *t, uint64_t seq);
void requests_clear (struct requests *t);

/* The oldest with a seq above `seq`; NULL where there is none. */
struct request *requests_after (struct requests *t, uint64_t seq);
/* A new seq, the newest. */
void requests_move_last (struct requests *t, struct request *r);
/* New seqs in the same order, as for a session that knows none of them.
 * Withdrawn ones are forgotten. */
void requests_ask_again (struct requests *t);

/* As if none were answered: under the same seqs, a broker that has them says
 * so. */
void requests_repeat (struct requests *t);

bool requests_any (const struct requests *t);
bool requests_waiting (const struct requests *t); // with a client

#endif
