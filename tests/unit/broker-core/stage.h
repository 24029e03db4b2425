/* SPDX-License-Identifier: MPL-2.0 */
/* stage.h - a broker on virtual time, shims that behave, and a disk
 *
 * Each act is one batch: a turn, its messages, a round; then the changes go
 * to the disk, the shims take their messages, and every invariant is checked.
 * A broker can be replaced by one that starts from the disk.
 */
#ifndef SLOTBUS_STAGE_H
#define SLOTBUS_STAGE_H

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/broker.h"

enum { MOST_ACTORS = 32 };

/* A shim, as far as the broker can see one. */
struct actor {
    struct peer peer;
    struct msg_hello hello;  // what it says when it begins
    uint64_t session;        // 0: none
    uint64_t seq, beat_seq;  // newest used
    bool silent;             // does not beat by itself
    struct u64s holds, acks; // as its next BEAT says them
    struct u64s stops;       // told to be ended
    int64_t beaten;
};

struct stage {
    struct settings settings;
    struct identity self;
    struct broker *b;
    struct outbox *out; // of the newest batch
    int64_t now;
    uint64_t random;  // next session id
    uint64_t highest; // token that was ever granted
    unsigned actor_count;
    struct actor actors[MOST_ACTORS];
    struct disk *disk;
    struct msg msg;      // for messages under way
    struct run_record run; // the newest that was recorded,
    unsigned runs;         // how many since the test set this to 0,
    uint64_t memory_bytes; // and of all of them the sum
    char journal[65536]; // all lines so far, cut at the front
};

/* max_slots, half of it a project's cap; pace off; the clock at 1000. */
struct stage *stage_create (unsigned max_slots);
void stage_destroy (struct stage *st);
/* The broker dies without a word, and one starts from the disk. */
void stage_restart (struct stage *st);
/* The same, but the disk has lost all rows (marks too if `marks`), and that
 * is accepted. */
void stage_lose_state (struct stage *st, bool marks);

/* One batch: begin, messages, end. */
void stage_begin (struct stage *st);
void stage_say (struct stage *st, const struct actor *from); // st->msg
void stage_end (struct stage *st);
/* The batch of one message. */
void stage_tell (struct stage *st, const struct actor *from);
/* Time goes by; who is not silent beats. */
void stage_sleep (struct stage *st, int64_t ms);

/* An own-host shim of that project, and a remote one; HELLO was said. */
struct actor *stage_shim (struct stage *st, const char *project);
struct actor *stage_remote (struct stage *st, const char *project,
                            const char *host);
/* Not yet known to the broker. */
struct actor *stage_actor (struct stage *st, const char *project);
struct actor *stage_admin (struct stage *st);

/* Messages in st->msg, to be changed and then told. */
void make_hello (struct stage *st, const struct actor *a);
void make_beat (struct stage *st, struct actor *a);
void make_request (struct stage *st, struct actor *a, unsigned count);
void make_release (struct stage *st, const struct actor *a, uint64_t token);
void make_reaped (struct stage *st, const struct actor *a, uint64_t token);
void make_started (struct stage *st, const struct actor *a, uint64_t token);
void make_cancel (struct stage *st, const struct actor *a, uint64_t seq);
void make_kill (struct stage *st, uint64_t id, const char *project);

/* Whole acts. Each returns when its batch is done. */
void act_hello (struct stage *st, struct actor *a);
void act_beat (struct stage *st, struct actor *a);
uint64_t act_request (struct stage *st, struct actor *a, unsigned count);
void act_release (struct stage *st, struct actor *a, uint64_t token);
void act_release_some (struct stage *st, struct actor *a, unsigned count);
void act_started (struct stage *st, struct actor *a, uint64_t token);
void act_reaped (struct stage *st, struct actor *a, uint64_t token);
void act_bye (struct stage *st, struct actor *a);

/* What the newest batch sent to `a`: the last message of that verb, NULL. */
const void *stage_got (const struct stage *st, const struct actor *a,
                       enum verb verb);
unsigned stage_got_count (const struct stage *st, const struct actor *a);
/* It got an ERROR of that kind, and nothing else. */
void stage_assert_refused (const struct stage *st, const struct actor *a,
                           enum err e);
/* The newest publication of a topic in this batch; NULL. */
const void *stage_published (const struct stage *st, const char *topic);
bool stage_logged (const struct stage *st, const char *text);
unsigned stage_in_use (const struct stage *st);
/* A record as it is on the disk; NULL: no row. */
const struct lease_record *stage_row (const struct stage *st, uint64_t token);
const struct project_record *stage_said (const struct stage *st,
                                         const char *project);
const struct meta_record *stage_meta (const struct stage *st);

void stage_check (struct stage *st);

#endif
