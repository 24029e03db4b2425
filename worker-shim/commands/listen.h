/* SPDX-License-Identifier: MPL-2.0 */
/* listen.h - a command hears what the broker publishes
 *
 * A SUB, connected to one broker of the list; while it is not, the next one
 * gets its turn, and whoever waits is told once on stderr. It goes on by itself
 * when a broker is there. Repetitions are left out; how many messages were lost
 * before one is known by its number.
 */
#ifndef SLOTBUS_LISTEN_H
#define SLOTBUS_LISTEN_H

#include "commands/gaps.h"
#include "protocol/message.h"

struct listen;

/* One message; good until the function that gets it returns. */
struct heard {
    const char *topic; // any bytes
    const struct msg *msg;
    enum news news;
    uint64_t first, last; // NEWS_GAP: the numbers of those that are lost
};

/* 0 goes on; else the exit status to end with. */
typedef int listen_fn (void *arg, const struct heard *heard);

/* What begins with one of these (NULL ends them). NULL and *ret_status, said:
 * there is no broker. */
struct listen *listen_open (const char *const *prefixes, int *ret_status);
void listen_close (struct listen *l);

/* The last value of each topic, once. An exit status; 69, said: nothing at all
 * was heard. */
int listen_once (struct listen *l, listen_fn *fn, void *arg);
/* What comes, until the function has enough of it, or whoever reads stdout has
 * gone. */
int listen_on (struct listen *l, listen_fn *fn, void *arg);

#endif
