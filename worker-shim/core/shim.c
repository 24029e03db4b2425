/* SPDX-License-Identifier: MPL-2.0 */
#include "core/shim.h"

#include <stdlib.h>
#include <string.h>

#include "core/shim_state.h"

enum {
    LEAVE_MS = 2000, // how long a BYE, or its preparation, may take
    LEAVE_TRIES = 3  // how often BYE is said in that time at least
};

struct shim *shim_create (const struct shim_settings *settings, int64_t now)
{
    struct shim *s = calloc (1, sizeof *s);

    if (!s)
        abort (); // whoever wanted a shim starts another one
    s->settings = *settings;
    tenure_init (&s->tenure, settings->hello_ms, now);
    return s;
}

void shim_destroy (struct shim *s)
{
    if (!s)
        return;
    requests_clear (&s->requests);
    releases_clear (&s->releases);
    progress_clear (&s->progress);
    free (s);
}

/* ---- supervisors ---- */

static bool is_used (struct shim *s, struct who who)
{
    struct request *r = NULL;

    while ((r = requests_after (&s->requests, r ? r->seq : 0))) {
        if (r->client && who_same (r->supervisor, who))
            return true;
    }
    return holdings_held (&s->holdings, who) > 0;
}

/* One that holds nothing and waits for nothing is no loss. */
static void make_room (struct shim *s, struct actions *out)
{
    for (size_t i = 0; i < s->supervisors.count; i++) {
        struct who who = s->supervisors.at[i];

        if (is_used (s, who))
            continue;
        supervisors_remove (&s->supervisors, who);
        actions_who (out, ACT_UNWATCH, who);
        return;
    }
}

bool shim_watched (struct shim *s, struct who who, struct actions *out)
{
    if (!who.pid || supervisors_have (&s->supervisors, who))
        return who.pid != 0;
    if (s->supervisors.count == MAX_SUPERVISORS)
        make_room (s, out);
    if (!supervisors_add (&s->supervisors, who))
        return false;
    actions_who (out, ACT_WATCH, who);
    return true;
}

void shim_watch (struct shim *s, struct who who, int64_t now,
                 struct actions *out)
{
    (void) now;
    shim_watched (s, who, out);
}

bool shim_watches (const struct shim *s, int32_t pid)
{
    size_t i = 0;

    while (i < s->supervisors.count && s->supervisors.at[i].pid != pid)
        i++;
    return i < s->supervisors.count;
}

void shim_on_supervisor_gone (struct shim *s, struct who who, int64_t now,
                              struct actions *out)
{
    (void) now;
    s->news = true;
    if (s->done || !supervisors_remove (&s->supervisors, who))
        return;
    shim_give_back (s, &who, "its supervisor is gone", out);
}

/* ---- the end ---- */

void shim_end (struct shim *s, int64_t now, struct actions *out)
{
    (void) now;
    s->news = true;
    if (s->done || s->ending)
        return;
    s->ending = true;
    // A predecessor's slots stay with their supervisors, for a successor.
    for (struct slot *at = NULL; (at = holdings_next (&s->holdings, at));) {
        if (at->state == SLOT_INHERITED)
            holdings_drop (&s->holdings, at->token);
    }
    shim_give_back (s, NULL, "the shim is ending", out);
}

/* Nobody needs us. One that never had anybody was started ahead of time. */
static bool is_idle (struct shim *s)
{
    bool alone = s->supervisors.any && s->supervisors.count == 0;

    if (!s->ending && (!alone || holdings_any (&s->holdings, SLOT_LEFTOVER)))
        return false;
    return s->runs.count == 0 && !requests_waiting (&s->requests);
}

static bool all_answered (struct shim *s)
{
    return s->holdings.count == 0 && !requests_any (&s->requests);
}

/* A broker that is away need not be waited for: it will see that we are gone,
 * and nothing of ours runs. But its absence may be short, and waiting costs
 * nobody anything unless we were told to end. */
static int64_t patience (const struct shim *s)
{
    return s->ending || !s->ready ? LEAVE_MS : s->tenure.ttl_ms;
}

static void end (struct shim *s, struct actions *out)
{
    s->done = true;
    actions_add (out, ACT_END)->status = 0;
}

static void say_bye (struct shim *s, int64_t now, struct actions *out)
{
    int64_t beat = s->tenure.beat_ms, most = LEAVE_MS / LEAVE_TRIES;

    if (s->tenure.state != TENURE_LEAVING)
        s->leave_by = now + LEAVE_MS;
    tenure_leave (&s->tenure);
    s->next_bye = now + (beat < most ? beat : most);
    shim_say_bye (s, out);
}

/* Somebody may have come while it was under way: then it all begins anew. */
void shim_bye_heard (struct shim *s, int64_t now, struct actions *out)
{
    if (s->tenure.state != TENURE_LEAVING)
        return;
    shim_lose_session (s, now, out);
    if (is_idle (s))
        end (s, out);
}

static void go_on_leaving (struct shim *s, int64_t now, struct actions *out)
{
    if (now < s->next_bye)
        return;
    if (now < s->leave_by)
        say_bye (s, now, out);
    else
        shim_bye_heard (s, now, out);
}

static void leave_if_idle (struct shim *s, int64_t now, struct actions *out)
{
    bool was = s->idle;

    s->idle = is_idle (s);
    if (!s->idle)
        return;
    if (!was)
        s->idle_since = now;
    if (!all_answered (s) && now < s->idle_since + patience (s))
        return;
    if (s->tenure.state == TENURE_LIVE)
        say_bye (s, now, out);
    else
        end (s, out);
}

/* ---- turns ---- */

static void beat (struct shim *s, int64_t now, struct actions *out)
{
    shim_say_beat (s, now, out);
    if (s->more)
        shim_say_hello (s, s->tenure.welcomed, out);
}

static void take_turn (struct shim *s, uint64_t random, int64_t now,
                       struct actions *out)
{
    if (s->tenure.state == TENURE_HELLO && now >= s->tenure.next_hello)
        shim_say_hello (s, tenure_hello (&s->tenure, random, now), out);
    if (s->tenure.state != TENURE_LIVE)
        return;
    if (now >= s->tenure.next_beat)
        beat (s, now, out);
    if (tenure_sample (&s->tenure, now))
        shim_say_sample (s, out);
    shim_measure (s, now, out);
    shim_come_back (s);
    shim_serve (s, now, out);
    shim_say_news (s, now, out);
}

void shim_turn (struct shim *s, uint64_t random, int64_t now,
                struct actions *out)
{
    s->news = false;
    if (s->done)
        return;
    if (tenure_reconnect (&s->tenure, random, now))
        actions_add (out, ACT_RECONNECT);
    take_turn (s, random, now, out);
    shim_note_idle (s, now);
    if (s->tenure.state == TENURE_LEAVING)
        go_on_leaving (s, now, out);
    else
        leave_if_idle (s, now, out);
}

int64_t shim_next_deadline (const struct shim *s, int64_t now)
{
    int64_t next = tenure_next (&s->tenure), end_by;

    if (s->done)
        return INT64_MAX;
    if (s->news)
        return now;
    if (s->tenure.state == TENURE_LEAVING)
        return s->next_bye < next ? s->next_bye : next;
    if (s->tenure.state == TENURE_LIVE && progress_due (&s->progress) < next)
        next = progress_due (&s->progress);
    if (s->tenure.state == TENURE_LIVE && shim_measure_due (s) < next)
        next = shim_measure_due (s);
    end_by = s->idle ? s->idle_since + patience (s) : next;
    if (end_by > now && end_by < next)
        next = end_by;
    return next;
}

/* ---- what else is seen ---- */

void shim_on_health (struct shim *s, const struct msg_health *in, int64_t now,
                     struct actions *out)
{
    (void) now;
    if (s->done || strcmp (in->host, s->settings.host) != 0 ||
        strcmp (in->level, s->level) == 0)
        return;
    if (s->level[0])
        actions_log (out, "health host=%s level=%s was=%s", in->host, in->level,
                     s->level);
    copy_text (s->level, sizeof s->level, in->level);
}

/* R9: whoever starts as the broker gives every session a full T, so while
 * there is none, nobody can end ours. */
void shim_on_broker_absent (struct shim *s, bool absent, int64_t now,
                            struct actions *out)
{
    if (!absent || s->done || s->tenure.state != TENURE_LIVE)
        return;
    if (!s->settings.own_host || !s->tenure.own_host)
        return;
    tenure_renew (&s->tenure, now);
    shim_arm_all (s, out);
}

/* ---- for tests ---- */

int64_t shim_anchor (const struct shim *s)
{
    return s->tenure.anchor;
}

uint64_t shim_session (const struct shim *s)
{
    return s->tenure.session;
}

size_t shim_holds (const struct shim *s, uint64_t *ret_tokens, size_t most)
{
    struct u64s held;

    holdings_named ((struct holdings *) &s->holdings, &held);
    for (size_t i = 0; i < held.count && i < most; i++)
        ret_tokens[i] = held.at[i];
    return held.count;
}
