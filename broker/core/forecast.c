/* SPDX-License-Identifier: MPL-2.0 */
/* Quantiles are those of the sample at q (n + 1): with these a new value falls
 * between two of them as often as they say, whatever the distribution is
 * (Hyndman and Fan 1996, type 6). Past the last sample what is left grows with
 * the time elapsed: a Pareto tail, its index by Hill (1975). History and
 * progress are two measurements of the same thing, and weigh by how sure each
 * of them is, in logarithms and on each side of the middle by itself.
 */
#include "core/forecast.h"

#include <math.h>

#include "core/memory.h"
#include "protocol/message.h"

enum {
    SAMPLES = 64,      // newest of a key
    MOST_KEYS = 2048,  // projects and labels
    MOST_LABELS = 128, // of a project; it counts itself
    ENOUGH_WORTH = 12  // samples
};

/* Times stay far from where a sum would overflow. */
static const double LONGEST_MS = 1e15;
static const double MOST_BYTES = 1e18;

/* ---- the newest samples ---- */

struct ring {
    unsigned count, next;
    double at[SAMPLES];     // as they came
    double sorted[SAMPLES]; // the same by size
};

/* How many are no more than `value`. */
static unsigned ring_rank (const struct ring *r, double value)
{
    unsigned low = 0, high = r->count;

    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (r->sorted[middle] <= value)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void ring_forget (struct ring *r, double value)
{
    unsigned place = ring_rank (r, value) - 1;

    r->count--;
    memmove (r->sorted + place, r->sorted + place + 1,
             (r->count - place) * sizeof *r->sorted);
}

static void ring_add (struct ring *r, double value)
{
    unsigned place;

    if (r->count == SAMPLES)
        ring_forget (r, r->at[r->next]);
    place = ring_rank (r, value);
    memmove (r->sorted + place + 1, r->sorted + place,
             (r->count - place) * sizeof *r->sorted);
    r->sorted[place] = value;
    r->at[r->next] = value;
    r->next = (r->next + 1) % SAMPLES;
    r->count++;
}

/* ---- what is remembered, by project and label ---- */

struct entry {
    char project[MAX_KEY_BYTES + 1];
    bool whole; // of the project: all its labels
    char label[257];
    uint64_t used;
    struct ring runs;   // durations, ms
    struct ring errors; // of progress: see error_of ()
    struct ring peaks;  // of memory, bytes
};

struct forecasts {
    struct entry *at[MOST_KEYS]; // in order of key
    size_t count;
    uint64_t uses;
    struct ring peaks; // of all
};

/* The whole project comes before its labels. */
static int compare (const struct entry *e, const char *project,
                    const char *label)
{
    int order = strcmp (e->project, project);

    if (order || !label)
        return order ? order : !e->whole;
    return e->whole ? -1 : strcmp (e->label, label);
}

/* Where it is, or would be. label NULL: the whole project. */
static size_t place_of (const struct forecasts *f, const char *project,
                        const char *label)
{
    size_t low = 0, high = f->count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (compare (f->at[middle], project, label) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct entry *find (const struct forecasts *f, const char *project,
                           const char *label)
{
    size_t place = place_of (f, project, label);

    return place < f->count && compare (f->at[place], project, label) == 0
               ? f->at[place]
               : NULL;
}

static void forget_oldest (struct forecasts *f, size_t first, size_t end)
{
    size_t oldest = first;

    for (size_t i = first; i < end; i++)
        if (f->at[i]->used < f->at[oldest]->used)
            oldest = i;
    free (f->at[oldest]);
    f->count--;
    memmove (f->at + oldest, f->at + oldest + 1,
             (f->count - oldest) * sizeof (struct entry *));
}

static size_t end_of_project (const struct forecasts *f, const char *project,
                              size_t first)
{
    while (first < f->count && strcmp (f->at[first]->project, project) == 0)
        first++;
    return first;
}

/* A project with many labels makes room among its own. */
static void make_room (struct forecasts *f, const char *project)
{
    size_t first = place_of (f, project, NULL);
    size_t end = end_of_project (f, project, first);

    if (end - first >= MOST_LABELS)
        forget_oldest (f, first, end);
    else if (f->count == MOST_KEYS)
        forget_oldest (f, 0, f->count);
}

static struct entry *have (struct forecasts *f, const char *project,
                           const char *label)
{
    struct entry *e = find (f, project, label);
    size_t place;

    if (!e) {
        make_room (f, project);
        place = place_of (f, project, label);
        memmove (f->at + place + 1, f->at + place,
                 (f->count - place) * sizeof (struct entry *));
        f->count++;
        e = f->at[place] = new_zeroed (sizeof *e);
        copy_text (e->project, sizeof e->project, project);
        e->whole = !label;
        copy_text (e->label, sizeof e->label, label ? label : "");
    }
    e->used = ++f->uses;
    return e;
}

struct forecasts *forecasts_create (void)
{
    return new_zeroed (sizeof (struct forecasts));
}

void forecasts_destroy (struct forecasts *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < f->count; i++)
        free (f->at[i]);
    free (f);
}

size_t forecasts_count (const struct forecasts *f)
{
    return f->count;
}

/* ---- learning ---- */

static double bounded (double value, double low, double high)
{
    return value > high ? high : value > low ? value : low;
}

void forecasts_learn (struct forecasts *f, const char *project,
                      const char *label, int64_t run_ms)
{
    double runs = bounded ((double) run_ms, 1, LONGEST_MS);

    ring_add (&have (f, project, label)->runs, runs);
    ring_add (&have (f, project, NULL)->runs, runs);
}

/* What is left if it goes on as until now; NaN: nothing can be said. */
static double straight_on (double elapsed, double percent)
{
    if (!(percent >= 1 && percent <= 100) || !(elapsed > 0))
        return NAN;
    percent = bounded (percent, 1, 99.9); // "100" is not over yet
    return elapsed * (100 - percent) / percent;
}

/* The logarithm of what was left by what there should have been: it means the
 * same at 20 % and at 80 %. */
static double error_of (double left, double straight)
{
    return bounded (log (bounded (left, 1, LONGEST_MS) / straight), -3, 3);
}

void forecasts_learn_progress (struct forecasts *f, const char *project,
                               const char *label, int64_t elapsed,
                               double percent, int64_t run_ms)
{
    double runs = bounded ((double) run_ms, 1, LONGEST_MS);
    double at = bounded ((double) elapsed, 0, LONGEST_MS);
    double straight = straight_on (at, percent);

    if (isnan (straight))
        return;
    ring_add (&have (f, project, label)->errors,
              error_of (runs - at, straight));
    ring_add (&have (f, project, NULL)->errors, error_of (runs - at, straight));
}

void forecasts_learn_memory (struct forecasts *f, const char *project,
                             const char *label, uint64_t bytes)
{
    double peak = bounded ((double) bytes, 0, MOST_BYTES);

    if (bytes == 0)
        return;
    ring_add (&have (f, project, label)->peaks, peak);
    ring_add (&have (f, project, NULL)->peaks, peak);
    ring_add (&f->peaks, peak);
}

/* ---- quantiles ---- */

/* p10, p50, p90 of what is left, ms, above 0. */
struct spread {
    double low, mid, high;
};

/* At `q` of what is left beyond `elapsed`, of samples that are all beyond it;
 * where there are too few for that quantile, a little past the outermost. */
static double quantile (const double *sorted, unsigned count, double elapsed,
                        double q)
{
    double place = q * (count + 1), first = sorted[0] - elapsed;
    double last = sorted[count - 1] - elapsed;
    double deviation = log (last / first) / 2.5;
    unsigned below = (unsigned) place;

    if (below < 1)
        return first * exp ((place - 1) * deviation);
    if (below >= count)
        return last * exp ((place - count) * deviation);
    return sorted[below - 1] +
           (place - below) * (sorted[below] - sorted[below - 1]) - elapsed;
}

static struct spread spread_of (const double *sorted, unsigned count,
                                double elapsed)
{
    return (struct spread){quantile (sorted, count, elapsed, 0.1),
                           quantile (sorted, count, elapsed, 0.5),
                           quantile (sorted, count, elapsed, 0.9)};
}

/* How fast the tail of the samples falls. They say nothing of what has outlived
 * them all: the longer it has, the slower. */
static double tail_index (const double *sorted, unsigned count, double elapsed)
{
    unsigned top = count / 8 < 4 ? 4 : count / 8;
    const double *from = sorted + count - top;
    double beyond = elapsed / sorted[count - 1] - 1, sum = 0;

    for (unsigned i = 0; i < top; i++)
        sum += log (from[i] / from[-1]);
    return bounded (top / (sum > 0 ? sum : 1e-9), 1,
                    bounded (1 / (beyond > 0 ? beyond : 1e-9), 2, 1e6));
}

static struct spread tail_of (const double *sorted, unsigned count,
                              double elapsed)
{
    double index = tail_index (sorted, count, elapsed);

    return (struct spread){elapsed * (pow (0.9, -1 / index) - 1),
                           elapsed * (pow (0.5, -1 / index) - 1),
                           elapsed * (pow (0.1, -1 / index) - 1)};
}

static double between (double a, double b, double weight)
{
    return a * (1 - weight) + b * weight;
}

/* At least FORECAST_LEAST samples. The fewer of them are beyond `elapsed`, the
 * more the tail counts. */
static struct spread left_of (const double *sorted, unsigned count,
                              unsigned gone, double elapsed)
{
    struct spread tail, seen;
    unsigned left = count - gone;
    double weight = (double) left / FORECAST_LEAST;

    if (left >= FORECAST_LEAST)
        return spread_of (sorted + gone, left, elapsed);
    tail = tail_of (sorted, count, elapsed);
    if (left == 0)
        return tail;
    seen = spread_of (sorted + gone, left, elapsed);
    return (struct spread){between (tail.low, seen.low, weight),
                           between (tail.mid, seen.mid, weight),
                           between (tail.high, seen.high, weight)};
}

/* ---- history, and progress ---- */

/* Of the label if it has enough, else of the project. */
static const struct ring *enough (const struct entry *label,
                                  const struct entry *whole, size_t offset)
{
    const struct entry *const entries[] = {label, whole};

    for (unsigned i = 0; i < 2; i++) {
        const char *entry = (const char *) entries[i];
        const struct ring *r = entry ? (const void *) (entry + offset) : NULL;

        if (r && r->count >= FORECAST_LEAST)
            return r;
    }
    return NULL;
}

static struct spread by_history (const struct ring *r, double elapsed)
{
    return left_of (r->sorted, r->count, ring_rank (r, elapsed), elapsed);
}

/* Errors where none were learnt: the deciles of a normal distribution, wide,
 * and less so nearer to the end. */
static unsigned usual_errors (double percent, double *ret_errors)
{
    static const double deciles[] = {-1.28, -0.84, -0.52, -0.25, 0,
                                     0.25,  0.52,  0.84,  1.28};
    double deviation = between (0.8, 0.4, bounded (percent, 0, 100) / 100);

    for (unsigned i = 0; i < 9; i++)
        ret_errors[i] = deciles[i] * deviation;
    return 9;
}

/* Each error that was made before makes an end that this one may have. */
static bool by_progress (const struct entry *label, const struct entry *whole,
                         const struct so_far *so_far, double elapsed,
                         struct spread *ret_left)
{
    const struct ring *r =
        enough (label, whole, offsetof (struct entry, errors));
    double said = bounded ((double) so_far->said, 0, elapsed);
    double straight, ends[SAMPLES];
    unsigned count, gone = 0;

    said = said > 0 ? said : elapsed;
    straight = straight_on (said, so_far->percent);
    if (isnan (straight))
        return false;
    if (r)
        memcpy (ends, r->sorted, (count = r->count) * sizeof *ends);
    else
        count = usual_errors (so_far->percent, ends);
    for (unsigned i = 0; i < count; i++) {
        ends[i] = said + straight * exp (ends[i]);
        gone += ends[i] <= elapsed;
    }
    *ret_left = left_of (ends, count, gone, elapsed);
    return true;
}

/* ---- both ---- */

/* In logarithms: the middle, and how far p10 and p90 are from it. */
struct measure {
    double mid, below, above;
};

static struct measure measure_of (const struct spread *s)
{
    return (struct measure){log (s->mid),
                            bounded (log (s->mid / s->low), 0.02, 10),
                            bounded (log (s->high / s->mid), 0.02, 10)};
}

static double both (double a, double b)
{
    return 1 / sqrt (1 / (a * a) + 1 / (b * b));
}

/* Two that contradict each other by more than chance are less sure than they
 * say, together too. */
static double contradiction (const struct measure *a, const struct measure *b)
{
    double apart = a->mid - b->mid;
    double half_a = (a->below + a->above) / 2 / 1.28;
    double half_b = (b->below + b->above) / 2 / 1.28;
    double times = apart * apart / (half_a * half_a + half_b * half_b) / 4;

    return times > 1 ? bounded (sqrt (times), 1, 4) : 1;
}

static struct spread mix (const struct spread *history,
                          const struct spread *progress)
{
    struct measure a = measure_of (history), b = measure_of (progress);
    double sure_a = 1 / ((a.below + a.above) * (a.below + a.above));
    double sure_b = 1 / ((b.below + b.above) * (b.below + b.above));
    double mid = (a.mid * sure_a + b.mid * sure_b) / (sure_a + sure_b);
    double wider = contradiction (&a, &b);

    return (struct spread){exp (mid - wider * both (a.below, b.below)),
                           exp (mid),
                           exp (mid + wider * both (a.above, b.above))};
}

/* The ends that were seen, each as likely as the progress makes it. */
struct weighed {
    unsigned count;
    double left[SAMPLES], up_to[SAMPLES]; // sums of the weights
    double worth; // as many samples of equal weight say as much
};

static void weigh (const struct ring *r, double elapsed,
                   const struct measure *progress, struct weighed *ret_w)
{
    double deviation = (progress->below + progress->above) / 2 / 1.28;
    double sum = 0, squares = 0;

    ret_w->count = 0;
    for (unsigned i = ring_rank (r, elapsed); i < r->count; i++) {
        double left = r->sorted[i] - elapsed;
        double off = (log (left) - progress->mid) / deviation;
        double weight = exp (-off * off / 2);

        sum += weight;
        squares += weight * weight;
        ret_w->left[ret_w->count] = left;
        ret_w->up_to[ret_w->count++] = sum;
    }
    ret_w->worth = squares > 0 ? sum * sum / squares : 0;
}

/* As quantile (), which it is where all weigh the same. */
static double weighed_quantile (const struct weighed *w, double q)
{
    double wanted = q * (w->worth + 1) / w->worth * w->up_to[w->count - 1];
    double below = 0;
    unsigned i = 0;

    while (i < w->count - 1 && w->up_to[i] < wanted)
        i++;
    if (i == 0)
        return w->left[0];
    below = w->up_to[i - 1];
    return between (w->left[i - 1], w->left[i],
                    bounded ((wanted - below) / (w->up_to[i] - below), 0, 1));
}

/* Where many of those that were seen are as likely, these: history may have
 * any shape. Else what is between the two. */
static struct spread by_both (const struct ring *runs, double elapsed,
                              const struct spread *progress)
{
    struct spread history = by_history (runs, elapsed);
    struct measure measure = measure_of (progress);
    struct weighed w;

    weigh (runs, elapsed, &measure, &w);
    if (w.worth < ENOUGH_WORTH)
        return mix (&history, progress);
    return (struct spread){weighed_quantile (&w, 0.1),
                           weighed_quantile (&w, 0.5),
                           weighed_quantile (&w, 0.9)};
}

static struct range rounded (const struct spread *s)
{
    struct range r = {llround (bounded (s->low, 0, LONGEST_MS)),
                      llround (bounded (s->mid, 0, LONGEST_MS)),
                      llround (bounded (s->high, 0, LONGEST_MS))};

    r.mid = r.mid < r.low ? r.low : r.mid;
    r.high = r.high < r.mid ? r.mid : r.high;
    return r;
}

bool forecasts_left (const struct forecasts *f, const char *project,
                     const char *label, const struct so_far *so_far,
                     struct range *ret_left)
{
    const struct entry *of_label = find (f, project, label);
    const struct entry *of_project = find (f, project, NULL);
    const struct ring *runs =
        enough (of_label, of_project, offsetof (struct entry, runs));
    double elapsed = bounded ((double) so_far->elapsed, 0, LONGEST_MS);
    struct spread left;
    bool says = by_progress (of_label, of_project, so_far, elapsed, &left);

    if (!runs && !says)
        return false;
    if (runs && says)
        left = by_both (runs, elapsed, &left);
    else if (runs)
        left = by_history (runs, elapsed);
    *ret_left = rounded (&left);
    return true;
}

static bool peaks_of (const struct ring *r, struct peaks *ret_peaks)
{
    struct spread s;

    if (!r || r->count < FORECAST_LEAST)
        return false;
    s = spread_of (r->sorted, r->count, 0);
    ret_peaks->mid = (uint64_t) bounded (s.mid, 1, MOST_BYTES);
    ret_peaks->high = (uint64_t) bounded (s.high, 1, MOST_BYTES);
    return true;
}

bool forecasts_memory (const struct forecasts *f, const char *project,
                       const char *label, struct peaks *ret_peaks)
{
    return peaks_of (enough (find (f, project, label), find (f, project, NULL),
                             offsetof (struct entry, peaks)),
                     ret_peaks);
}

bool forecasts_memory_of_all (const struct forecasts *f,
                              struct peaks *ret_peaks)
{
    return peaks_of (&f->peaks, ret_peaks);
}
