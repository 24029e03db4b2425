/* SPDX-License-Identifier: MPL-2.0 */
/* server_parts.h - what a server is made of
 *
 * The inside of server.h, for nobody else: server.c opens and closes it,
 * server_turn.c hears, sees and goes round, server_history.c answers HISTORY,
 * server_delivery.c carries out what the core decided. All on one thread; `now` is read once a turn.
 */
#ifndef SLOTBUS_SERVER_PARTS_H
#define SLOTBUS_SERVER_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/broker.h"
#include "core/outbox.h"
#include "descriptors.h"
#include "front.h"
#include "herald.h"
#include "history.h"
#include "options.h"
#include "premises.h"
#include "bus/sampler.h"
#include "bus/unmanaged.h"
#include "server.h"
#include "store.h"
#include "watcher.h"
#include "yaml_snapshot.h"

enum { SERVER_ASKED = 32 };

/* A HISTORY that waits for its turn. */
struct asked_history {
    struct path path;
    struct msg_history in;
};

struct server {
    struct options *options; // borrowed
    struct premises premises;
    int signals;
    struct store *store;
    struct history *history;
    struct broker *broker;
    struct reactor *reactor;
    struct front *front;
    struct herald *herald;
    struct watcher *watcher;
    struct sampler *sampler;
    struct unmanaged_search *unmanaged;
    int pressure; // of memory, wakes us to look at once; -1 = none
    struct outbox *out;
    struct descriptors descriptors;
    struct sample sample; // the newest
    struct texts binds;   // what is served, whatever a reload says
    bool drained, stop, reload;
    bool disk_full;                    // as the core was told
    bool stale, snapshot_failed;       // the snapshot file
    struct snapshot_project *projects; // for it; kept for its memory
    int64_t now, sample_due, tend_due;
    int64_t search_due; // of the next step of looking for what is unmanaged
    int64_t denied_at; // when the warnings below began
    unsigned denied;
    struct asked_history asked[SERVER_ASKED];
    unsigned asked_count;
};

/* Take the question in; a full queue is refused. */
void server_ask_history (struct server *s, const struct peer *peer,
                         const struct msg_history *in);
/* Answer some of those that wait. */
void server_answer_history (struct server *s);

/* Watcher and sampler by the options as they are now. */
void server_set_senses (struct server *s);

/* Commit, send, publish, log and forget what is in the outbox. Nothing leaves
 * before it is durable (R4). EXIT_DONE; else the disk failed, which is logged,
 * and the process ends. */
enum exit_code server_carry_out (struct server *s);

#endif
