/* SPDX-License-Identifier: MPL-2.0 */
/* forecast.h - how long what runs will go on, and what it needs, from what has
 * ended
 *
 * Keeps the newest durations of each project and label (and of each project),
 * a bounded number of them, and answers in quantiles: p10, p50, p90. Those are
 * conditioned on the time that has gone by already, and mixed with what the
 * agent says of its progress. Without a basis (fewer than FORECAST_LEAST
 * samples, and no progress) there is no number.
 *
 * What a "40 %" is worth is learnt as well: by how much those that ended had
 * been wrong when they said how far they were.
 *
 * Labels come from peers. A project has a bounded number of them and all
 * projects together too; what was not learnt of for longest is forgotten.
 *
 * Pure: times are ms, given by the caller.
 */
#ifndef SLOTBUS_FORECAST_H
#define SLOTBUS_FORECAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FORECAST_LEAST = 5 };

/* What is left of something, ms. */
struct range {
    int64_t low, mid, high; // p10, p50, p90
};

/* What is known of something that runs. */
struct so_far {
    int64_t elapsed; // since it began
    double percent;  // how far it says it is; NaN: it does not
    int64_t said;    // `elapsed` when it said so; 0: not known, now
};

struct forecasts;

struct forecasts *forecasts_create (void);
void forecasts_destroy (struct forecasts *f);

/* Something of that project and label ran so long and ended by itself. */
void forecasts_learn (struct forecasts *f, const char *project,
                      const char *label, int64_t run_ms);
/* The same one had said at `elapsed` that it was at `percent`. */
void forecasts_learn_progress (struct forecasts *f, const char *project,
                               const char *label, int64_t elapsed,
                               double percent, int64_t run_ms);

/* One that ended by itself took at most so much memory; 0: not known. */
void forecasts_learn_memory (struct forecasts *f, const char *project,
                             const char *label, uint64_t bytes);

/* What is left of it; 0 <= low <= mid <= high. False: there is no basis. */
bool forecasts_left (const struct forecasts *f, const char *project,
                     const char *label, const struct so_far *so_far,
                     struct range *ret_left);

/* The most memory that such trees take: half of them no more than `mid`, nine
 * in ten no more than `high`. Of the newest of that project and label, else of
 * the project; or of all. False: there is no basis. */
struct peaks {
    uint64_t mid, high; // bytes
};
bool forecasts_memory (const struct forecasts *f, const char *project,
                       const char *label, struct peaks *ret_peaks);
bool forecasts_memory_of_all (const struct forecasts *f,
                              struct peaks *ret_peaks);

/* How many projects and labels are remembered now. */
size_t forecasts_count (const struct forecasts *f);

#endif
