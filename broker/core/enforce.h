/* SPDX-License-Identifier: MPL-2.0 */
/* enforce.h - ending trees where a host cannot go on otherwise
 *
 * One victim of a host at a time, each step as long as timing says:
 *
 *   WATCHING   nobody is being ended. Whom and when:
 *                a runaway        over a limit of its own, at any level
 *                memory           critical, at once
 *                load             critical for `load_after`, and most tasks
 *                                 that run there are those of leased trees
 *   ENDING     notice, TERM, grace, KILL, until its end is proven; after
 *              kill_confirm it is reported as unkillable, and the next is due
 *   SETTLING   settle (load_settle): what that gave back is measured
 *
 * Nothing is decided on figures that are older than three samples, nor on
 * those that were taken before the last victim was gone and all had settled,
 * nor while a tree there is being ended anyway. What is above its limit no
 * longer, but critical still by hysteresis, costs nobody anything, nor does
 * pressure that fades. CPU and disks never do. While the broker learns who
 * holds what, or has just been stopped, nothing happens.
 *
 * Memory that the leased trees have not got cannot be had from them: where all
 * of them together have less than is missing, or less than what runs unmanaged
 * beside them, that is said and none of them is ended. Nor for load from
 * outside.
 *
 * Only trees are ended that run under slots: never a reservation or what lives
 * inside its supervisor, nor what is parked or has lost its holder.
 *
 * Decided here where nothing else says: a tree of n slots may have n times its
 * project's memory_limit. A project is over its target where `fair` says so,
 * else where it holds more than its cap, which was lowered then. Progress is
 * any change of what an agent says of it; busy is half a processor since. For
 * memory the notice is as long as memory_grace.
 */
#ifndef SLOTBUS_ENFORCE_H
#define SLOTBUS_ENFORCE_H

#include "core/kills.h"
#include "core/victims.h"

struct broker;
struct outbox;
struct pool;

enum enforce_state { ENFORCE_WATCHING, ENFORCE_ENDING, ENFORCE_SETTLING };
enum enforce_cause {
    ENFORCE_RUNAWAY,
    ENFORCE_MEMORY,
    ENFORCE_LOAD,
    ENFORCE_PEOPLE
};

struct enforcement {
    enum enforce_state state;
    enum enforce_cause cause;
    struct victim victim;                        // the newest,
    struct kill kill;                            // and its slots; owned
    char project[MAX_KEY_BYTES + 1], label[257]; // of it
    int64_t began;
    int64_t until;       // SETTLING
    double before;       // the figure it was for; NaN: none
    bool runaway;        // there is one, as of this round
    const char *outside; // what is critical comes from there, in words; NULL
    int64_t theirs;      // outside is set, and since then it does not; 0
    bool helpless;       // nobody may be ended: that was said
    double tasks;        // that run there, averaged,
    double leased_tasks; // and those of its trees,
    int64_t observed;    // as of then; 0: never
};

/* A new sample of the host. One moment says little of who causes its load: so
 * both figures are averaged over load_after. */
void enforce_observe (const struct broker *b, struct pool *pool, int64_t now);

/* Once a round, after the tally. */
void enforce_step (struct broker *b, int64_t now, struct outbox *out);
/* All trees of a host that could be ended, in order: an array for the caller
 * to free. */
struct victim *enforce_victims (const struct broker *b, const struct pool *pool,
                                int64_t now, size_t *ret_count);
/* Whom enforce_now () would take, where none is ENDING. False: nobody. */
bool enforce_next_victim (const struct broker *b, const struct pool *pool,
                          int64_t now, struct victim *ret_victim);
/* People want the next one ended now. One that is being ended, by whomever, is
 * the next: so it may be asked again after a restart that has forgotten it.
 * False: nobody may be. */
bool enforce_now (struct broker *b, struct pool *pool, const char *reason,
                  int64_t now, struct outbox *out);

/* Why it is critical, where that is not what slots are for: "load from outside
 * slotbus"; "". */
const char *enforce_outside (const struct pool *pool);
/* Every deadline moves by so much (R3). */
void enforce_shift (struct enforcement *e, int64_t by);
/* When time alone changes something, later than now; INT64_MAX: never. */
int64_t enforce_next (const struct enforcement *e, int64_t now);
void enforce_clear (struct enforcement *e);

#endif
