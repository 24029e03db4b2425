/* SPDX-License-Identifier: MPL-2.0 */
/* events.h - what happens when: a heap ordered by (time, order of arrival)
 *
 * Two events of one instant happen in the order in which they were added, so
 * that a run is a function of its seed alone. Times are ms of the simulated
 * world's own clock.
 */
#ifndef SIMULATION_EVENTS_H
#define SIMULATION_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whom an event is for: it is dropped if that one has died since, and kept
 * for later while it is stopped. */
enum actor {
    ACTOR_WORLD,
    ACTOR_BROKER,
    ACTOR_SHIM,
    ACTOR_CLIENT,
    ACTOR_KEEPER,
    ACTOR_TREE
};

struct sim;
struct event;
/* May keep e->data by setting it NULL. */
typedef void event_fn (struct sim *s, struct event *e);

struct event {
    int64_t at;
    uint64_t order;
    enum actor actor;
    size_t index;  // which one
    unsigned life; // its incarnation: a later one does not get this event
    event_fn *fire;
    uint64_t a, b;
    void *data; // one block, owned: freed after the event
};

struct events;
struct events *events_create (void);
void events_destroy (struct events *q);

/* `e->order` is given by the queue; `e->data` becomes the queue's. */
void events_add (struct events *q, struct event e);
/* Takes the next event at or before `until`; its data is the caller's. */
bool events_take (struct events *q, int64_t until, struct event *ret_event);

/* Random numbers of one seed: xorshift64*. */
struct chance {
    uint64_t state;
};
void chance_init (struct chance *c, uint64_t seed);
uint64_t chance_next (struct chance *c);
/* Evenly in low..high, both included. */
int64_t chance_in (struct chance *c, int64_t low, int64_t high);
/* True `per_mille` times of 1000. */
bool chance_of (struct chance *c, unsigned per_mille);

void *sim_alloc (size_t size); // zeroed, never NULL
void *sim_grow (void *array, size_t *most, size_t size);

#endif
