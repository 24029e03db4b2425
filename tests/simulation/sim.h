/* SPDX-License-Identifier: MPL-2.0 */
/* sim.h - a small world in which the real cores live
 *
 * One broker (the real broker core over a store in memory), shims (the real
 * shim core), keepers (the real keeper core), and a model of everything else:
 * hosts with clocks of their own, a network, supervisors, commands and the
 * process trees of agents. Time is virtual, chance comes from a seed: the same
 * seed gives the same trace. Nothing here sleeps, reads a clock or forks.
 *
 * Files: events (time), disk (the store), node_broker, node_shim, processes
 * (keepers, trees, supervisors, commands), sim (the world itself, its trace),
 * invariants (what must hold after every step), scene (golden traces).
 *
 * What happens is written down as lines `[   ms] who  word key=value ...`:
 * the journals of broker and shims, and what the model did.
 *
 * Times are ms; `now` is the world's clock, which no program sees: each reads
 * that of its host (host_clock ()). Handles of actors are indices.
 */
#ifndef SIMULATION_SIM_H
#define SIMULATION_SIM_H

#include "core/broker.h"
#include "core/keeper.h"
#include "core/shim.h"
#include "simulation/disk.h"
#include "simulation/events.h"

enum {
    SIM_HOSTS = 4,
    SIM_SHIMS = 16,
    SIM_CLIENTS = 512,
    SIM_KEEPERS = 512,
    SIM_TREES = 512,
    SIM_SUPERVISORS = 128,
    SIM_TOKENS = 64, // of one command
    SIM_ASKED = 1024,
    SIM_IDLE = 128,
    SIM_LINES = 64 // of the trace, kept for a failure's report
};

struct span {
    int64_t low, high;
};

/* A copy of one message on its way. */
struct letter {
    enum verb verb;
    max_align_t fields[]; // message_size (verb) bytes
};

struct sim_host {
    char name[16];
    bool own;       // the broker's
    bool cut;       // no message passes between it and the broker
    int64_t offset; // of its clock
};

struct mail {
    struct peer from;
    struct letter letter;
};

enum crash { CRASH_NONE, CRASH_BEFORE_COMMIT, CRASH_AFTER_COMMIT };

struct sim_broker {
    bool alive, stopped;
    unsigned life;
    struct broker *core;
    struct outbox *out;
    struct mail **inbox; // owned
    size_t inbox_count, inbox_most;
    int64_t timer; // when its next turn is; INT64_MAX: none
    uint64_t turn; // the number of that turn: others are out of date
    int64_t last_turn;
    int64_t started;
    int64_t missed; // since then, by being stopped
    int64_t looked; // when the watcher looked last
    enum crash crash_next;
    uint64_t random;    // session ids: small, so that a trace can be read
    unsigned same_time; // turns at one instant
};

struct sim_shim {
    bool alive, stopped;
    unsigned life;
    char project[MAX_KEY_BYTES + 1];
    int host;
    struct who self;
    struct shim *core;
    struct actions *out;
    uint32_t connection; // a new one has a new routing id
    int64_t timer;
    uint64_t turn;
    int64_t up, down; // when the last message to and from the broker arrives
    int64_t died;
    int64_t last_turn;
    unsigned same_time;
    bool ready, ended;
    struct who watched[SIM_SUPERVISORS];
    size_t watched_count;
};

enum client_kind { CLIENT_REQUEST, CLIENT_RUN, CLIENT_RELEASE, CLIENT_CANCEL };

/* What a command was given, and what its tree runs under: not always in a
 * row, since `run` may fill reservations. */
struct tokens {
    unsigned count;
    uint64_t at[SIM_TOKENS];
};

/* A local command. */
struct sim_client {
    bool alive;
    unsigned life;
    enum client_kind kind;
    int shim;
    unsigned shim_life;
    bool connected, granted;
    bool hung_up; // by the shim: nothing of it is heard any more
    bool asleep;  // it does not take its grant (it is stopped)
    struct who self;
    int supervisor;
    unsigned count, min;
    struct tokens got;
    char cookie[96];
    int64_t up, down;
    int keeper;                      // of a `run`, -1 none
    int64_t lasts, rest, term, kill; // of its tree
};

struct sim_keeper {
    bool alive, stopped;
    unsigned life;
    struct keeper core;
    struct tokens under;
    int shim, client, tree;
    unsigned shim_life, client_life;
    bool shim_up, run_up;
    bool hung_up; // by the shim
    int64_t up, down;
    uint64_t turn;
    struct who self;
    char cookie[96];
};

/* What runs under a keeper: CMD, and what outlives it. */
struct sim_tree {
    bool alive; // anything of it
    unsigned life;
    bool cmd; // CMD itself
    int host;
    int keeper;
    unsigned keeper_life;
    struct tokens under;
    struct who self;
    int64_t cmd_ends, all_gone; // as things stand
    int64_t rest;               // children outlive CMD by so much
    int64_t term, kill;         // how long SIGTERM, SIGKILL takes; -1: ignored
    int64_t died;
    char cookie[96];
};

struct sim_supervisor {
    bool alive;
    int host;
    struct who self;
    int64_t died;
};

/* What the model remembers to judge by (invariants.h). */
struct invariants {
    uint64_t highest_token, highest_epoch;
    uint64_t beat_of[SIM_SHIMS], beat_seq[SIM_SHIMS]; // the newest BEAT
    int64_t beat[SIM_SHIMS];   // when one reached the broker, and
    int64_t missed[SIM_SHIMS]; // what it had missed by then
    int64_t before[SIM_SHIMS], missed_before[SIM_SHIMS]; // the one before
    int64_t hello[SIM_SHIMS], bye[SIM_SHIMS];
    int64_t sent[SIM_SHIMS][64]; // when BEAT n was sent: [n % 64]
    int64_t good[SIM_SHIMS];     // since when, at most, its session is good
    struct asked {
        uint64_t session, seq;
        unsigned count, min;
    } asked[SIM_ASKED]; // the newest requests that were sent
    size_t asked_count;
    struct idle {
        uint64_t token;
        unsigned looks;
    } idle[SIM_IDLE]; // LIMBO leases under which nothing lives
    unsigned granted; // in this batch
    bool inspecting;
    uint64_t rounds;
    unsigned grants, served, losses, reclaimed; // what a run has exercised
};

struct sim {
    int64_t now;
    struct events *events;
    struct event *held; // of stopped actors, in order
    size_t held_count, held_most;
    struct chance chance;
    struct settings settings;
    struct identity identity;
    struct disk disk;
    struct span local, bus, wire; // delays: sockets, own host, between hosts
    unsigned loss, twice;         // per mille of messages on the bus
    unsigned late;                // per mille of GRANTs come again much later
    bool deaf;                    // no answer of the broker arrives
    int32_t next_pid;
    unsigned next_client, next_keeper, next_tree;

    struct sim_host hosts[SIM_HOSTS];
    int host_count;
    struct sim_broker broker;
    struct sim_shim shims[SIM_SHIMS];
    int shim_count;
    struct sim_client clients[SIM_CLIENTS];
    struct sim_keeper keepers[SIM_KEEPERS];
    struct sim_tree trees[SIM_TREES];
    struct sim_supervisor supervisors[SIM_SUPERVISORS];

    struct invariants invariants;
    char violation[256]; // the first one; "" = none
    char *text;          // the whole trace, if it is wanted
    size_t text_size, text_most;
    bool keep_text, loud; // loud: to stderr, with every message
    char lines[SIM_LINES][256];
    uint64_t line_count;
    uint64_t hash; // of the trace
};

/* ---- the world ---- */
struct sim *sim_create (const struct settings *settings, uint64_t seed);
void sim_destroy (struct sim *s);
/* Defaults for a pool of so many slots, without pacing. */
void sim_settings (struct settings *ret_settings, unsigned max_slots);
int sim_host (struct sim *s, const char *name, int64_t clock_offset);
/* Lets so much time pass; ends early at a violation. */
void sim_advance (struct sim *s, int64_t ms);
int64_t host_clock (const struct sim *s, int host);
int64_t sim_delay (struct sim *s, struct span span);
/* When a message sent now arrives, never before an earlier one of its lane. */
int64_t sim_arrival (struct sim *s, struct span span, int64_t *lane);
struct who sim_process (struct sim *s);
struct letter *letter_of (enum verb verb, const void *fields);
const struct msg *letter_open (const struct letter *letter); // till the next
/* A handle that tells incarnations apart, never 0. */
uint64_t handle_of (size_t index, unsigned life);
size_t handle_index (uint64_t handle);
unsigned handle_life (uint64_t handle);

void sim_later (struct sim *s, int64_t at, enum actor actor, size_t index,
                unsigned life, event_fn *fire, uint64_t a, uint64_t b,
                void *data);
/* Deliver what was kept for a stopped actor, `delay` from now. */
void sim_release_held (struct sim *s, enum actor actor, size_t index,
                       int64_t delay);

void sim_trace (struct sim *s, const char *who, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));
void sim_violate (struct sim *s, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));
const char *shim_label (const struct sim *s, int shim);

/* ---- node_broker: the broker ---- */
void sim_start_broker (struct sim *s);
/* SIGKILL. `when`: within the next turn that decides something, instead. */
void sim_crash_broker (struct sim *s, enum crash when);
void sim_stop_broker (struct sim *s); // SIGSTOP
void sim_continue_broker (struct sim *s);
void bus_post (struct sim *s, const struct peer *from, enum verb verb,
               const void *fields, int64_t at);
void bus_wake (struct sim *s, int64_t at);
/* People, over the bus; the answer is written down. */
void sim_set_max (struct sim *s, unsigned max_slots);
void sim_kill (struct sim *s, const char *project);

/* ---- node_shim: shims ---- */
int sim_shim (struct sim *s, const char *project, int host);
void sim_start_shim (struct sim *s, int shim);
void sim_crash_shim (struct sim *s, int shim);
void sim_stop_shim (struct sim *s, int shim);
void sim_continue_shim (struct sim *s, int shim);
void sim_end_shim (struct sim *s, int shim); // SIGTERM
void sim_cut (struct sim *s, int host, bool cut);
void sim_crash_host (struct sim *s, int host);
/* The broker is there again: every socket connects anew. */
void shims_reconnect (struct sim *s);
void shim_receive (struct sim *s, const struct path *to, enum verb verb,
                   const void *fields);
/* What the model's processes send it, at once. */
void shim_hear_client (struct sim *s, int client, enum verb verb,
                       const void *fields);
void shim_lose_client (struct sim *s, int client);
void shim_hear_keeper (struct sim *s, int keeper,
                       const struct keeper_packet *packet);
void shim_lose_keeper (struct sim *s, int keeper);
void shims_lose_supervisor (struct sim *s, struct who who);

/* ---- processes: supervisors, commands, keepers, trees ---- */
struct work {
    unsigned count, min; // min 0: all or nothing
    int64_t lasts;       // of a run: CMD ends by itself after it, -1 never
    int64_t rest;        // its children outlive it by so much
    int64_t term, kill;  // how long it takes to die; term -1: SIGTERM ignored
};

int sim_supervisor (struct sim *s, int host);
void sim_end_supervisor (struct sim *s, int supervisor);
int sim_request (struct sim *s, int shim, int supervisor, unsigned count,
                 unsigned min);
/* A command that is stopped before it can take its grant. */
int sim_request_asleep (struct sim *s, int shim, int supervisor,
                        unsigned count);
int sim_run (struct sim *s, int shim, int supervisor, struct work work);
int sim_release (struct sim *s, int shim, int supervisor, unsigned count);
int sim_cancel (struct sim *s, int shim, int supervisor);
void sim_kill_client (struct sim *s, int client);
void sim_crash_keeper (struct sim *s, int keeper);
void sim_stop_keeper (struct sim *s, int keeper);
void sim_continue_keeper (struct sim *s, int keeper);
int sim_keeper_of (const struct sim *s, int client);

void client_hear (struct sim *s, int client, enum verb verb,
                  const void *fields);
void client_lose_shim (struct sim *s, int client);
void keeper_hear (struct sim *s, int keeper,
                  const struct keeper_packet *packet);
void keeper_lose_shim (struct sim *s, int keeper);
/* SIGKILL to whatever carries this cookie on this host, keepers left alone. */
void trees_kill (struct sim *s, int host, const char *cookie);
/* Does anything of it live: CMD, its children, a keeper that may start it. */
bool tree_lives (const struct sim *s, int host, const char *cookie);
/* Is there a keeper that ends it by itself. */
bool tree_kept (const struct sim *s, int host, const char *cookie);
unsigned trees_count (const struct sim *s); // slots under which trees live
bool tokens_have (const struct tokens *t, uint64_t token);
bool process_lives (const struct sim *s, struct who who);

#endif
