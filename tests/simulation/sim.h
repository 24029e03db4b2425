/* SPDX-License-Identifier: MPL-2.0 */
/* sim.h - a small world in which the real cores live
 *
 * One broker (the real broker core over a store in memory), shims (the real
 * shim core), keepers (the real keeper core), and a model of everything else:
 * hosts with clocks of their own, a network, supervisors, commands and the
 * process trees of agents. Time is virtual, chance comes from a seed: the same
 * seed gives the same trace. Nothing here sleeps, reads a clock or forks.
 *
 * Files: events (time), disk (the store, and what of it a power cut leaves),
 * node_broker, node_shim, processes
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
    SIM_KEEPERS = 128,
    SIM_TREES = 128,
    SIM_SUPERVISORS = 128,
    SIM_TOKENS = 32, // of one command
    SIM_ASKED = 4096,
    SIM_IDLE = 128,
    SIM_SPEAKERS = 256,
    SIM_SAID = 4096,
    SIM_SERVED = 64, // of one batch
    SIM_GIB = 4,     // of memory, on each host
    SIM_LINES = 64   // of the trace, kept for a failure's report
};

struct span {
    int64_t low, high;
};

/* A copy of one message on its way: the beginning of a struct msg, as much of
 * it as the verb needs. */
struct letter {
    enum verb verb;
    uint64_t fields[]; // message_size (verb) bytes
};
_Static_assert(offsetof (struct letter, fields) == offsetof (struct msg, hello),
               "a letter is read as a struct msg");

struct sim_host {
    char name[16];
    bool own;             // the broker's
    struct sample health; // what it says of itself
    bool cut;             // no message passes between it and the broker
    int64_t offset;       // of its clock
    int64_t rate;         // of its clock: ms in 1000 ms of the world
    unsigned boot;        // how often it was switched on
    bool off;             // it has no power
    bool asleep;      // nothing on it runs: suspended, or all of it is stopped
    bool clock_stops; // asleep: and its clock does not show that
    int64_t slept;    // what its clock has never shown, in ms of that
    int64_t fell_asleep, woke;
    int copy_of;    // it has that one's machine-id and name; -1: its own
    bool same_boot; // and its boot_id
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
    struct model *model; // what its rounds must grant (model.h)
    int64_t died;        // the last one
    struct outbox *out;
    struct mail **inbox; // owned
    size_t inbox_count, inbox_most;
    int64_t timer; // when its next turn is; INT64_MAX: none
    uint64_t turn; // the number of that turn: others are out of date
    int64_t last_turn;
    int64_t started;
    int64_t turned;  // its clock then
    int64_t missed;  // since it started, by being stopped: ms of its clock
    int64_t gaps;    // and how often
    int64_t looked;  // when the watcher looked last
    int64_t sampled; // its host, last
    bool learning;
    bool reload; // it was told to, and has not yet
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
    int64_t continued; // when it was, last
    int64_t doubt;     // when a command of it may have given something back
    int64_t killed, condemned; // when its project was, with its supervisors
};

enum client_kind {
    CLIENT_REQUEST,
    CLIENT_RUN,
    CLIENT_RELEASE,
    CLIENT_CANCEL,
    CLIENT_PARK
};

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
    int tree;                        // of a `park`: which one it is in,
    unsigned tree_life;
    bool begun;   // its command runs, or has run,
    bool refused; // and the tree was not parked
};

struct sim_keeper {
    bool alive, stopped;
    unsigned life;
    struct keeper core;
    struct tokens under;
    uint64_t named; // the first that it ever had
    int shim, client, tree;
    unsigned shim_life, client_life;
    bool shim_up, run_up;
    bool hung_up; // by the shim
    int64_t up, down;
    uint64_t turn;
    struct who self;
    char cookie[96];
    char cgroup[64]; // "": none could be made
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
    int64_t started, died;
    bool excused; // it had no keeper to end it when state was lost (I4)
    char cookie[96];
    char cgroup[64];
    bool outside, bare; // it left its cgroup, has cleaned its environment
    bool adopted;       // its keeper is dead, and its `run` ends it
    unsigned parkers;   // commands that may have it parked, and
    unsigned orphans;   // those of them that have died since
    int shim;           // that knew its keeper
    unsigned shim_life;
};

struct sim_supervisor {
    bool alive;
    int host;
    struct who self;
    int64_t died;
    bool bound; // he asked for bound slots,
    int64_t bound_since;
};

/* What the model remembers to judge by (invariants.h). */
struct invariants {
    uint64_t highest_token, highest_epoch;
    uint64_t beat_of[SIM_SHIMS], beat_seq[SIM_SHIMS]; // the newest BEAT
    int64_t beat[SIM_SHIMS];   // when one reached the broker, and
    int64_t missed[SIM_SHIMS]; // what it had missed by then
    int64_t before[SIM_SHIMS], missed_before[SIM_SHIMS]; // the one before
    int64_t bye[SIM_SHIMS];
    int64_t sent[SIM_SHIMS][64]; // when BEAT n was sent: [n % 64]
    int64_t good[SIM_SHIMS];     // since when, at most, its session is good
    struct wish {
        uint64_t session, seq;
        unsigned count, min;
        bool any;       // it said no min: what will do is the policy's
        uint64_t first; // what was granted; 0 = nothing yet
        bool back;      // a parked tree that wants to go on
        bool paused;    // it was told that it waits for that
    } asked[SIM_ASKED]; // the newest requests that were sent
    struct idle {
        uint64_t token;
        unsigned looks;
    } idle[SIM_IDLE]; // LIMBO leases under which nothing lives
    struct speaker {
        uint64_t nonce, session; // of a HELLO; what it began, 0: nothing yet
        size_t order;            // it was the n-th
        char project[MAX_KEY_BYTES + 1], machine[65], boot[65];
        int shim; // who said it
        unsigned life;
        int64_t heard;        // when it last came, -1: never
        int64_t began, ended; // of the session; -1: not yet
        uint64_t beat;        // seq of the newest BEAT that came,
        int64_t beaten;       // when it did,
        int64_t missed, gaps; // and the broker's by then
    } speakers[SIM_SPEAKERS]; // the newest, and all who have a session
    size_t speaker_count;
    struct speaker *newcomer; // whose HELLO came in this batch
    struct {
        uint64_t session, seq;
        int64_t at;
    } first_said[SIM_SAID];     // a REQUEST: [(session + seq) % SIM_SAID]
    int64_t asked_at[SIM_SAID]; // for token [n % SIM_SAID]
    unsigned granted;           // in this batch,
    bool granted_on[SIM_HOSTS]; // and where
    bool inspecting;
    struct served { // who was granted something in this batch
        char project[MAX_KEY_BYTES + 1], host[65];
        int64_t since; // when it asked, by the broker's clock
        unsigned count;
        bool back; // a parked tree: its place is that of another
    } served_now[SIM_SERVED];
    size_t served_count;
    struct ending_now { // whom hosts were ending after the newest batch
        uint64_t victims[SIM_HOSTS];
        size_t count;
    } ending;
    uint64_t rounds;
    unsigned false_expiries;      // I12
    unsigned adopted;             // slots, while learning
    uint64_t used_ms, offered_ms; // slot-ms in use by what lives, of those that
                                  // were there, while somebody waited
    unsigned effective;           // after the newest round
    int64_t lost_at;              // when state was lost; -1: never
    unsigned grants, served, losses, reclaimed; // what a run has exercised
};

/* And what it remembers of single rules (invariants_rules.h). */
enum {
    RULES_HELLOS = 16,
    RULES_BEATS = 32,
    RULES_ENDED = 32,
    RULES_CLOSED = 64
};
struct rules {
    struct heard_hello {
        uint64_t nonce;
        struct u64s runs;
    } hellos[RULES_HELLOS]; // of this batch, while the broker learns
    size_t hello_count;
    struct heard_beat {
        uint64_t session;
        struct u64s holds, acks;
    } beats[RULES_BEATS]; // of this batch
    size_t beat_count;
    struct closed_tokens {
        unsigned life;
        uint64_t at[RULES_CLOSED];
        size_t count;
    } closed[SIM_SHIMS];         // that it has heard are closed
    uint64_t epoch[SIM_SHIMS];   // the highest that it has seen, of this broker
    uint64_t ended[RULES_ENDED]; // nonces of sessions that are over for good
    size_t ended_count;
};

struct sim {
    int64_t now;
    struct events *events;
    struct event *held; // of stopped actors, in order
    size_t held_count, held_most;
    struct chance chance;
    struct chance weather; // of what happens now (weather.h)
    struct settings settings;
    struct identity identity;
    struct disk disk;
    struct cache cache; // what of it would survive a power cut
    bool full;          // nothing more can be written
    bool sampled;       // the broker samples its own host
    bool forecast;      // the broker forecasts when who waits is served
    bool modelled;      // each round is compared with the model's (model.h)
    struct span local, bus, wire; // delays: sockets, own host, between hosts
    unsigned loss, twice;         // per mille of messages on the bus
    unsigned late;                // per mille come again much later, both ways
    bool deaf;                    // no answer of the broker arrives
    bool settled;                 // nothing goes wrong any more: what is still
                                  // late is lost
    unsigned late_news;           // the same of STARTED and REAPED
    unsigned cgroups, escapes;    // per mille of keepers that have one, of
                                  // trees that try to get away from it
    int32_t pids;                 // so many are used again and again, 0: none
    int32_t next_pid, same_pid;   // same_pid: the next process has it, 0: none
    int64_t next_start;
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
    struct rules rules;
    char violation[256]; // the first one; "" = none
    char *text;          // the whole trace, if it is wanted
    size_t text_size, text_most;
    bool keep_text, loud; // loud: to stderr, with every message
    char lines[SIM_LINES][256];
    uint64_t line_count;
    uint64_t hash; // of the trace
};

/* No trace and no hash of it are wanted: to write what nobody reads is a
 * twentieth of a world's time. */
extern bool sim_untraced;

/* ---- the world ---- */
struct sim *sim_create (const struct settings *settings, uint64_t seed);
void sim_destroy (struct sim *s);
/* Defaults for a pool of so many slots, without pacing. */
void sim_settings (struct settings *ret_settings, unsigned max_slots);
int sim_host (struct sim *s, const char *name, int64_t clock_offset);
/* Lets so much time pass; ends early at a violation. */
void sim_advance (struct sim *s, int64_t ms);
/* What a host says of itself, with what the trees there take. */
struct sample sim_figures (const struct sim *s, int host);
uint64_t sim_tree_bytes (int tree);
int64_t host_clock (const struct sim *s, int host);
/* When that clock shows it: the earliest time of the world. */
int64_t host_time (const struct sim *s, int host, int64_t clock);
int64_t sim_delay (struct sim *s, struct span span);
/* When a message sent now arrives, never before an earlier one of its lane. */
int64_t sim_arrival (struct sim *s, struct span span, int64_t *lane);
struct who sim_process (struct sim *s, int host);
struct letter *letter_of (enum verb verb, const void *fields);
const struct msg *letter_open (const struct letter *letter); // borrowed
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
/* The power of its host is cut: all that runs there is gone, and what the disk
 * was not asked to flush. Nothing runs there until it is back. `tear`: a row is
 * half written. */
void sim_cut_power (struct sim *s, bool tear);
void sim_power_back (struct sim *s);
/* The broker is dead, and its state is lost; that is accepted: the next start
 * is learning. `marker`: broker id, epoch and marks are left. */
void sim_lose_state (struct sim *s, bool marker);
void sim_stop_broker (struct sim *s); // SIGSTOP
void sim_continue_broker (struct sim *s);
void bus_post (struct sim *s, const struct peer *from, enum verb verb,
               const void *fields, int64_t at);
/* To whatever broker lives by then. */
void bus_post_late (struct sim *s, const struct peer *from, enum verb verb,
                    const void *fields, int64_t at);
void bus_wake (struct sim *s, int64_t at);
/* People, over the bus; the answer is written down. */
void sim_set_max (struct sim *s, unsigned max_slots);
void sim_set_policy (struct sim *s, enum policy policy);
void sim_relieve (struct sim *s, int host, bool kill);
void sim_set_priority (struct sim *s, const char *project, unsigned priority);
void sim_pause (struct sim *s, const char *project, bool paused);
void sim_kill (struct sim *s, const char *project);
/* With the supervisors of its bound slots. */
void sim_kill_supervisors (struct sim *s, const char *project);
void sim_force_release (struct sim *s, uint64_t token);
/* The configuration is another: s->settings are read again. */
void sim_reload (struct sim *s);

/* ---- node_shim: shims ---- */
int sim_shim (struct sim *s, const char *project, int host);
void sim_start_shim (struct sim *s, int shim);
void sim_crash_shim (struct sim *s, int shim);
void sim_stop_shim (struct sim *s, int shim);
void sim_continue_shim (struct sim *s, int shim);
void sim_end_shim (struct sim *s, int shim); // SIGTERM
void sim_cut (struct sim *s, int host, bool cut);
/* Power off; what starts on it afterwards is of another boot. */
void sim_crash_host (struct sim *s, int host);
/* Suspended (its clock stops, where that is the broker's; a remote host's goes
 * on), or everything on it is stopped (its clock goes on). */
void sim_sleep (struct sim *s, int host, bool clock_stops);
void sim_wake (struct sim *s, int host);
bool host_runs (const struct sim *s, int host);
/* Whose name, machine-id and maybe boot_id it has. */
int host_identity (const struct sim *s, int host);
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
/* What is not free now is not wanted. */
int sim_request_now (struct sim *s, int shim, int supervisor, unsigned count,
                     unsigned min);
/* Slots whose workers live inside the supervisor. */
int sim_request_bound (struct sim *s, int shim, int supervisor, unsigned count);
/* A command that is stopped before it can take its grant. */
int sim_request_asleep (struct sim *s, int shim, int supervisor,
                        unsigned count);
int sim_run (struct sim *s, int shim, int supervisor, struct work work);
int sim_release (struct sim *s, int shim, int supervisor, unsigned count);
int sim_cancel (struct sim *s, int shim, int supervisor);
/* A command in that tree parks it while another one runs, for so long. */
int sim_park (struct sim *s, int tree, int64_t lasts);
/* Does a tree of that cookie, or its keeper, run under that token? */
bool trees_have (const struct sim *s, const char *cookie, uint64_t token);
/* What ran under one token of that cookie runs under another one now. */
void trees_move (struct sim *s, const char *cookie, uint64_t from, uint64_t to);
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
/* By what a stranger finds a tree: its cgroup, its cookie. */
struct mark {
    char cookie[96];
    char cgroup[64]; // "": none is known
    int64_t since;   // nothing that carries the cookie is older
    bool witness; // who has cleaned its environment holds a lock still, and
                  // the broker of its host asks for that
};
/* SIGKILL to whatever is found by it on this host, keepers left alone. */
void trees_kill (struct sim *s, int host, const struct mark *mark);
/* Does anything of it live: CMD, its children, a keeper that may start it. */
bool tree_lives (const struct sim *s, int host, const struct mark *mark);
/* Is there a keeper that ends it by itself. */
bool tree_kept (const struct sim *s, int host, const struct mark *mark);
/* Slots under which trees live, but those that nobody can end any more. */
unsigned trees_count (const struct sim *s);
bool tokens_have (const struct tokens *t, uint64_t token);
bool process_lives (const struct sim *s, struct who who);
/* As a program on that host finds it: without a start time, any of that pid. */
bool process_found (const struct sim *s, int host, struct who who);

#endif
