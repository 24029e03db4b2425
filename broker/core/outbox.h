/* SPDX-License-Identifier: MPL-2.0 */
/* outbox.h - everything that a batch decided, for the shell to carry out
 *
 * The core appends; the shell, once a batch: (1) commits the changes in one
 * transaction, flushed if outbox_flush () says so (R4), (2) only then sends
 * messages and publishes, (3) logs the journal, (4) clears. Nothing here is a
 * pointer into the core: all is copied.
 */
#ifndef SLOTBUS_OUTBOX_H
#define SLOTBUS_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/records.h"
#include "protocol/message.h"

/* How an answer gets back: the ROUTER's routing id, and whether the peer is a
 * REQ (it is given its empty delimiter back, and never pushed to). */
struct path {
    uint8_t size;       // 0 = nowhere
    bool req;
    uint8_t id[255];
};

enum change_kind {
    CHANGE_SESSION,
    CHANGE_LEASE,
    CHANGE_WAITER,
    CHANGE_META,
    CHANGE_PROJECT
};

struct change {
    enum change_kind kind;
    bool deleted;
    uint64_t key;           // session id, token, a number; 0 for meta
    const void *record;     // struct *_record, NULL if deleted; the outbox's
};

struct outgoing {
    struct path to;
    enum verb verb;
    const void *fields;     // struct msg_* of that verb; the outbox's
};

struct publication {
    const char *topic;      // "health.vm1"; the outbox's
    enum verb verb;
    const void *fields;
    bool last; // of its topic: it is gone
};

enum journal_level { JOURNAL_INFO, JOURNAL_WARNING, JOURNAL_ALARM };

struct outbox *outbox_create (void);
void outbox_destroy (struct outbox *o);
void outbox_clear (struct outbox *o);   // keeps its memory for the next batch

/* For the core. */
void outbox_send (struct outbox *o, const struct path *to, enum verb verb,
                  const void *fields);
void outbox_publish (struct outbox *o, const char *topic, enum verb verb,
                     const void *fields, bool last);
/* The same, with fields that are empty: they are the caller's to fill in. */
void *outbox_publish_empty (struct outbox *o, const char *topic, enum verb verb,
                            bool last);
void outbox_change (struct outbox *o, enum change_kind kind, uint64_t key,
                    const void *record);    // NULL: deleted
void outbox_require_flush (struct outbox *o);
/* For history.db: lost without harm. */
void outbox_run (struct outbox *o, const struct run_record *run);
/* One line "word key=value ..." without time. Whoever prints it escapes what no
 * terminal should see; a peer's text in key="..." goes by outbox_quoted (). */
void outbox_journal (struct outbox *o, enum journal_level level,
                     const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));
/* Without what would end the quotes: a reason cannot add keys of its own. */
char *outbox_quoted (const char *text, char *ret_text, size_t size);

/* For the shell. Pointers are good until outbox_clear (). */
size_t outbox_sent (const struct outbox *o);
struct outgoing outbox_outgoing (const struct outbox *o, size_t i);
size_t outbox_published (const struct outbox *o);
struct publication outbox_publication (const struct outbox *o, size_t i);
size_t outbox_changed (const struct outbox *o);
struct change outbox_change_at (const struct outbox *o, size_t i);
bool outbox_flush (const struct outbox *o);
size_t outbox_runs (const struct outbox *o);
const struct run_record *outbox_run_at (const struct outbox *o, size_t i);
size_t outbox_lines (const struct outbox *o);
const char *outbox_line (const struct outbox *o, size_t i,
                         enum journal_level *ret_level);
#endif
