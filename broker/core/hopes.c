/* SPDX-License-Identifier: MPL-2.0 */
#include "core/hopes.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/conduct.h"
#include "core/memory.h"

enum { NAME_BYTES = 20 }; // of a project or a label, to be told

/* A slot that keeps somebody waiting, and when it may be free. */
struct hope {
    const struct lease *l;
    int64_t left; // ms; INT64_MAX: nobody knows
    bool late;    // it has run for longer than half of its kind
};

static int sooner (const void *a, const void *b)
{
    const struct hope *x = a, *y = b;

    if (x->left != y->left)
        return x->left < y->left ? -1 : 1;
    return x->l->r.token < y->l->r.token ? -1 : 1;
}

static struct hope hope_of (const struct broker *b, const struct lease *l,
                            int64_t now)
{
    struct hope hope = {.l = l, .left = INT64_MAX};
    struct range left;

    if (conduct_left (b, l, now, &left))
        hope.left = left.mid;
    hope.late = conduct_is_late (b, l, now);
    return hope;
}

/* Those whose end would serve it: of its host, or of its project if its cap is
 * what it waits for. */
static size_t find_hopes (const struct broker *b, const struct waiter *w,
                          enum reason reason, int64_t now,
                          struct hope *ret_hopes)
{
    size_t count = 0;

    for (size_t i = 0; i < leases_count (&b->leases); i++) {
        const struct lease *l = leases_at (&b->leases, i);

        if (l->r.state == LEASE_PARKED ||
            (reason == REASON_CAP ? l->project != w->session->project
                                  : l->pool != w->session->pool))
            continue;
        ret_hopes[count++] = hope_of (b, l, now);
    }
    qsort (ret_hopes, count, sizeof *ret_hopes, sooner);
    return count;
}

static void append (char *text, size_t size, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));

static void append (char *text, size_t size, const char *format, ...)
{
    size_t used = strlen (text);
    va_list args;

    va_start (args, format);
    vsnprintf (text + used, size - used, format, args);
    va_end (args);
}

/* Of at most NAME_BYTES; no character of UTF-8 is cut in two. */
static int name_length (const char *name)
{
    size_t length = strnlen (name, NAME_BYTES + 1);

    if (length <= NAME_BYTES)
        return (int) length;
    for (length = NAME_BYTES; length && (name[length] & 0xc0) == 0x80;)
        length--;
    return (int) length;
}

static void append_left (char *text, size_t size, const struct hope *h)
{
    int64_t seconds = h->left / 1000 + 1;

    if (h->late)
        append (text, size, " (past its median)");
    else if (seconds < 120)
        append (text, size, " (in about %" PRId64 " s)", seconds);
    else if (seconds < 2 * 3600)
        append (text, size, " (in about %" PRId64 " min)", seconds / 60);
    else if (seconds < 1000 * 3600)
        append (text, size, " (in about %" PRId64 " h)", seconds / 3600);
}

/* "consilio's auth (past its median)" */
static void append_hope (char *text, size_t size, const struct hope *h)
{
    const struct lease_record *r = &h->l->r;

    append (text, size, "%.*s's ", name_length (r->project), r->project);
    if (r->label[0])
        append (text, size, "%.*s", name_length (r->label), r->label);
    else
        append (text, size, "slot %" PRIu64, r->token);
    append_left (text, size, h);
}

/* How many slots it lacks, by what it waits for. */
static unsigned lacks (const struct broker *b, const struct waiter *w,
                       const struct outlook *o)
{
    const struct project *p = w->session->project;
    int64_t left = o->reason == REASON_CAP
                       ? (int64_t) p->max - project_counted (p)
                       : dispatch_free (&b->dispatch, w->session->pool);
    int64_t lacking = (int64_t) w->r.min - left;

    return lacking > 0 ? (unsigned) lacking : 0;
}

static void tell_hopes (const struct broker *b, const struct waiter *w,
                        int64_t now, struct outlook *o)
{
    struct hope *hopes =
        resized (NULL, leases_count (&b->leases) + 1, sizeof (struct hope));
    size_t count = find_hopes (b, w, o->reason, now, hopes);
    unsigned lacking = lacks (b, w, o);
    char *text = o->unblocks;

    if (lacking && count) {
        snprintf (text, sizeof o->unblocks, "%u slot%s: ", lacking,
                  lacking == 1 ? "" : "s");
        append_hope (text, sizeof o->unblocks, &hopes[0]);
        if (lacking > 1 && count > 1) {
            append (text, sizeof o->unblocks,
                    lacking == 2 || count == 2 ? " and " : ", ");
            append_hope (text, sizeof o->unblocks, &hopes[1]);
        }
        if (lacking > 2 && count > 2)
            append (text, sizeof o->unblocks, ", and %zu more",
                    (count < lacking ? count : lacking) - 2);
    }
    free (hopes);
    if (text[0])
        return;
    if (o->reason == REASON_CAP)
        snprintf (text, sizeof o->unblocks, "room under the cap of %.64s",
                  w->session->r.project);
    else
        snprintf (text, sizeof o->unblocks, "room on %.64s",
                  w->session->pool->host);
}

void hopes_tell (const struct broker *b, const struct waiter *w, int64_t now,
                 struct outlook *o)
{
    const struct pool *pool = w->session->pool;
    const char *name = w->session->r.project;

    o->unblocks[0] = '\0';
    switch (o->reason) {
    case REASON_NONE: break;
    case REASON_PACING:
    case REASON_LEARNING:
        snprintf (o->unblocks, sizeof o->unblocks, "time alone");
        break;
    case REASON_PAUSED:
        if (w->session->project->said.paused)
            snprintf (o->unblocks, sizeof o->unblocks, "slotbus resume %s",
                      name);
        else
            snprintf (o->unblocks, sizeof o->unblocks,
                      "a machine-id of its own for each host");
        break;
    case REASON_DISK:
        snprintf (o->unblocks, sizeof o->unblocks,
                  "room on the disk of the broker's state");
        break;
    case REASON_TURN:
        if (o->slots_ahead)
            snprintf (o->unblocks, sizeof o->unblocks, "%u slot%s, in its turn",
                      o->slots_ahead, o->slots_ahead == 1 ? "" : "s");
        else
            snprintf (o->unblocks, sizeof o->unblocks, "its turn alone");
        break;
    case REASON_HEALTH:
        snprintf (o->unblocks, sizeof o->unblocks, "a better health of %s",
                  pool->host);
        break;
    case REASON_CAP:
    case REASON_SLOTS: tell_hopes (b, w, now, o); break;
    }
}
