/* SPDX-License-Identifier: MPL-2.0 */
#include "core/tenure.h"

#include <string.h>

/* How often we expect to hear something. Before the first WELCOME nobody has
 * said, and we ask at least every TENURE_HELLO_MOST_MS. */
static int64_t rhythm (const struct tenure *t)
{
    return t->beat_ms ? t->beat_ms : TENURE_HELLO_MOST_MS;
}

static void heard (struct tenure *t, int64_t now)
{
    t->next_reconnect = now + 3 * rhythm (t);
    backoff_init (&t->reconnect, 4 * rhythm (t), 16 * rhythm (t));
}

/* Everything is to the scale of H. */
static void begin_hellos (struct tenure *t)
{
    int64_t most = rhythm (t);

    if (most > TENURE_HELLO_MOST_MS)
        most = TENURE_HELLO_MOST_MS;
    backoff_init (&t->hello, t->hello_ms < most ? t->hello_ms : most, most);
}

void tenure_init (struct tenure *t, int64_t hello_ms, int64_t now)
{
    memset (t, 0, sizeof *t);
    t->hello_ms = hello_ms;
    tenure_restart (t, now);
    heard (t, now);
}

uint64_t tenure_hello (struct tenure *t, uint64_t random, int64_t now)
{
    if (t->nonce == 0) {
        t->nonce = random ? random : 1;
        t->first_hello = now;
    }
    t->next_hello = now + backoff_next (&t->hello, random);
    return t->nonce;
}

void tenure_expired (struct tenure *t, int64_t now)
{
    if (t->state == TENURE_HELLO && now - t->first_hello >= 3 * rhythm (t))
        t->nonce = 0;
}

static void take_timing (struct tenure *t, const struct msg_welcome *in)
{
    t->own_host = in->own_host;
    t->beat_ms = (int64_t) in->beat_ms;
    t->ttl_ms = (int64_t) in->ttl_ms;
    t->notice_ms = (int64_t) in->notice_ms;
    t->grace_ms = (int64_t) in->grace_ms;
    t->confirm_ms = (int64_t) in->kill_confirm_ms;
    t->drift_ms = (int64_t) in->drift_ms;
    t->linger_ms = (int64_t) in->linger_ms;
    t->sample_ms = t->sample_soon_ms = (int64_t) in->sample_ms;
    t->samples = t->sample_ms && !t->own_host;
    t->reclaim_idle_ms = (int64_t) in->reclaim_idle_ms;
}

bool tenure_welcome (struct tenure *t, const struct msg_welcome *in,
                     int64_t now)
{
    bool same = strcmp (t->broker, in->broker) == 0;

    if (t->state != TENURE_HELLO || in->nonce != t->nonce || !t->nonce)
        return false;
    if (same && in->epoch < t->epoch)
        return false;
    take_timing (t, in);
    copy_text (t->broker, sizeof t->broker, in->broker);
    copy_text (t->near, sizeof t->near, in->near);
    t->session = in->session;
    t->epoch = in->epoch;
    t->anchor = t->first_hello;
    t->next_beat = t->next_sample = now;
    t->welcomed = t->nonce;
    t->nonce = 0;
    t->state = TENURE_LIVE;
    heard (t, now);
    return true;
}

bool tenure_welcome_again (const struct tenure *t, const struct msg_welcome *in)
{
    return t->state == TENURE_LIVE && in->nonce == t->welcomed &&
           in->session == t->session;
}

bool tenure_accepts (struct tenure *t, uint64_t session, uint64_t epoch,
                     int64_t now)
{
    if (t->state == TENURE_HELLO || session != t->session)
        return false;
    if (epoch && epoch < t->epoch)
        return false;
    if (epoch)
        t->epoch = epoch;
    heard (t, now);
    return true;
}

uint64_t tenure_send_beat (struct tenure *t, int64_t now)
{
    t->beat++;
    t->sent[t->beat % TENURE_BEATS] = now;
    t->next_beat = now + t->beat_ms;
    return t->beat;
}

bool tenure_sample (struct tenure *t, int64_t now)
{
    if (t->state != TENURE_LIVE || !t->samples || now < t->next_sample)
        return false;
    t->next_sample = now + t->sample_soon_ms;
    return true;
}

void tenure_sampled (struct tenure *t, int64_t ms)
{
    int64_t least = (t->sample_ms + 9) / 10;

    if (ms == 0 || ms > t->sample_ms)
        ms = t->sample_ms;
    ms = ms < least ? least : ms;
    t->next_sample += ms - t->sample_soon_ms; // counted from the last one
    t->sample_soon_ms = ms;
}

bool tenure_beat_ok (struct tenure *t, uint64_t beat)
{
    int64_t sent;

    if (beat == 0 || beat > t->beat || t->beat - beat >= TENURE_BEATS)
        return false;
    sent = t->sent[beat % TENURE_BEATS];
    if (sent <= t->anchor)
        return false;
    t->anchor = sent;
    return true;
}

void tenure_renew (struct tenure *t, int64_t now)
{
    if (now > t->anchor && now < tenure_deadline (t))
        t->anchor = now;
}

int64_t tenure_deadline (const struct tenure *t)
{
    return t->anchor + t->ttl_ms - t->drift_ms;
}

bool tenure_valid (const struct tenure *t, int64_t now)
{
    return t->state == TENURE_LIVE && now < tenure_deadline (t);
}

void tenure_restart (struct tenure *t, int64_t now)
{
    t->state = TENURE_HELLO;
    t->nonce = 0;
    t->session = 0;
    t->next_hello = now;
    begin_hellos (t);
}

void tenure_leave (struct tenure *t)
{
    t->state = TENURE_LEAVING;
}

bool tenure_reconnect (struct tenure *t, uint64_t random, int64_t now)
{
    if (now < t->next_reconnect)
        return false;
    t->next_reconnect = now + backoff_next (&t->reconnect, random);
    return true;
}

int64_t tenure_next (const struct tenure *t)
{
    int64_t next = t->next_reconnect;

    if (t->state == TENURE_HELLO && t->next_hello < next)
        next = t->next_hello;
    if (t->state == TENURE_LIVE && t->next_beat < next)
        next = t->next_beat;
    if (t->state == TENURE_LIVE && t->samples && t->next_sample < next)
        next = t->next_sample;
    return next;
}
