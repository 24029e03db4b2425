/* SPDX-License-Identifier: MPL-2.0 */
#include "core/shim_state.h"

#include <math.h>
#include <string.h>

/* One packet of a local command. */
struct ask {
    uint64_t client;
    struct who peer;
    const struct msg *in;
};

static void tell_ok (const struct ask *ask, enum verb re, uint64_t count,
                     struct actions *out)
{
    struct msg_ok ok;

    message_init_fields (&ok, VERB_OK);
    copy_text (ok.re, sizeof ok.re, verb_name (re));
    ok.count = count;
    actions_tell (out, ask->client, VERB_OK, &ok);
}

/* ---- REQUEST ---- */

/* Whose the slots will be: who is named, else who asks. */
static struct who supervisor_of (const struct ask *ask)
{
    const struct msg_request *in = &ask->in->request;

    if (!in->supervisor)
        return ask->peer;
    return (struct who){(int32_t) in->supervisor, (int64_t) in->start};
}

static enum err check_request (struct shim *s, const struct ask *ask,
                               const char **ret_why)
{
    const struct msg_request *in = &ask->in->request;

    *ret_why = NULL;
    if (s->ending) {
        *ret_why = "this shim is ending";
        return ERR_NOT_NOW;
    }
    if (in->project[0] && strcmp (in->project, s->settings.project) != 0)
        return ERR_NOT_ALLOWED;
    if (!supervisor_of (ask).pid)
        return ERR_BAD_ARG;
    if (in->count <= MAX_HELD)
        return ERR_NONE;
    *ret_why = "one project holds at most 512 slots on one host";
    return ERR_EXCEEDS_MAX;
}

static enum err add_request (struct shim *s, const struct ask *ask,
                             struct actions *out)
{
    struct who who = supervisor_of (ask);

    if (!shim_watched (s, who, out) ||
        !requests_add (&s->requests, ask->client, who, &ask->in->request))
        return ERR_QUEUE_FULL;
    return ERR_NONE;
}

/* REQUEST - the turn that ends this takes idle slots for a run, or asks the
 * broker; before there is a session it waits. */
static void on_request (struct shim *s, const struct ask *ask,
                        struct actions *out)
{
    const char *why;
    enum err error = check_request (s, ask, &why);

    if (!error) {
        why = "too many requests or supervisors at once";
        error = add_request (s, ask, out);
    }
    if (error)
        actions_tell_error (out, ask->client, VERB_REQUEST,
                            ask->in->request.seq, error, why);
    if (s->ending)
        actions_hang_up (out, ask->client);
}

/* ---- OK re=GRANT: the grant has arrived ---- */

static void on_ok (struct shim *s, const struct ask *ask)
{
    const struct msg_ok *in = &ask->in->ok;

    if (strcmp (in->re, verb_name (VERB_GRANT)) != 0)
        return;
    for (struct slot *at = NULL; (at = holdings_next (&s->holdings, at));) {
        if (at->offered_to == ask->client &&
            (!in->seq || in->seq == at->offered_seq))
            at->offered_to = 0;
    }
}

/* ---- CANCEL ---- */

/* Not those of trees that want to go on: these would wait for ever. */
static bool can_be_withdrawn (const struct request *r)
{
    return r->client && !r->back;
}

/* All supervisors that wait, each once. */
static size_t waiting (struct shim *s, struct who *ret_who, size_t most)
{
    size_t count = 0;
    uint64_t seq = 0;

    for (struct request *r; (r = requests_after (&s->requests, seq));) {
        size_t i = 0;

        seq = r->seq;
        while (i < count && !who_same (ret_who[i], r->supervisor))
            i++;
        if (i == count && count < most && can_be_withdrawn (r))
            ret_who[count++] = r->supervisor;
    }
    return count;
}

/* One request of the command's own connection; or all of a supervisor, or of
 * the project. */
static bool is_meant (const struct request *r, const struct ask *ask,
                      struct who whose)
{
    const struct msg_cancel *in = &ask->in->cancel;

    if (!can_be_withdrawn (r))
        return false;
    if (in->seq)
        return r->client == ask->client && r->client_seq == in->seq;
    return in->all || who_same (r->supervisor, whose);
}

static void cancel_one (struct shim *s, const struct ask *ask,
                        struct request *r, struct actions *out)
{
    actions_tell_error (out, r->client, VERB_REQUEST, r->client_seq,
                        ERR_EXPIRED, "cancelled");
    if (r->client != ask->client)
        actions_hang_up (out, r->client);
    shim_withdraw (s, r);
}

static void on_cancel (struct shim *s, const struct ask *ask,
                       struct actions *out)
{
    const struct msg_cancel *in = &ask->in->cancel;
    struct who who[MAX_SUPERVISORS], whose = {0};
    uint64_t seq = 0, count = 0;
    char why[257];

    if (!in->seq && !in->all &&
        supervisors_choose (who, waiting (s, who, MAX_SUPERVISORS),
                            in->supervisor, "requests wait of", &whose, why,
                            sizeof why)) {
        actions_tell_error (out, ask->client, VERB_CANCEL, 0, ERR_CONFLICT,
                            why);
        return;
    }
    for (struct request *r; (r = requests_after (&s->requests, seq));) {
        seq = r->seq;
        if (!is_meant (r, ask, whose))
            continue;
        cancel_one (s, ask, r, out);
        count++;
    }
    tell_ok (ask, VERB_CANCEL, count, out);
}

/* ---- PROGRESS ---- */

static bool may_progress (const struct slot *slot)
{
    return slot->state == SLOT_IDLE || slot->state == SLOT_BOUND ||
           slot->state == SLOT_TAKEN;
}

/* A tree knows itself by the token that its environment names. */
static struct slot *by_token (struct shim *s, uint64_t token)
{
    const struct run *run = runs_named (&s->runs, token);
    struct slot *slot = holdings_find (&s->holdings, run ? run->token : token);

    return slot && may_progress (slot) ? slot : NULL;
}

/* The slot of that name, else the first that has none, which takes it. */
static struct slot *by_label (struct shim *s, const char *label)
{
    struct slot *nameless = NULL;

    for (struct slot *at = NULL; (at = holdings_next (&s->holdings, at));) {
        if (!may_progress (at))
            continue;
        if (strcmp (at->label, label) == 0)
            return at;
        if (!at->label[0] && (!nameless || at->token < nameless->token))
            nameless = at;
    }
    return nameless;
}

static void note_progress (struct shim *s, const struct msg_progress *in,
                           struct slot *slot)
{
    struct msg_progress told = *in;

    if (in->label[0])
        copy_text (slot->label, sizeof slot->label, in->label);
    told.token = slot->token;
    progress_note (&s->progress, &told);
}

/* Which key the broker would refuse; NULL: none. It would tell us, and nobody
 * else. */
static const char *impossible (const struct msg_progress *in)
{
    if (in->phase > in->phases)
        return "phase";
    if (!isnan (in->percent) && !(in->percent >= 0 && in->percent <= 100))
        return "percent";
    return NULL;
}

static void refuse_progress (const struct ask *ask, const char *key,
                             struct actions *out)
{
    struct msg_error error;

    message_init_fields (&error, VERB_ERROR);
    copy_text (error.re, sizeof error.re, verb_name (VERB_PROGRESS));
    copy_text (error.error, sizeof error.error, err_name (ERR_BAD_ARG));
    copy_text (error.key, sizeof error.key, key);
    copy_text (error.detail, sizeof error.detail,
               strcmp (key, "phase") == 0 ? "expected at most phases"
                                          : "expected 0..100");
    actions_tell (out, ask->client, VERB_ERROR, &error);
}

/* PROGRESS - news, not a promise: what is lost is overtaken by the next. */
static void on_progress (struct shim *s, const struct ask *ask,
                         struct actions *out)
{
    const struct msg_progress *in = &ask->in->progress;
    const char *wrong = impossible (in);
    struct slot *slot = NULL;

    if (wrong) {
        refuse_progress (ask, wrong, out);
        return;
    }
    if (in->token)
        slot = by_token (s, in->token);
    else if (in->label[0])
        slot = by_label (s, in->label);
    if (!slot) {
        actions_tell_error (out, ask->client, VERB_PROGRESS, 0, ERR_NOT_FOUND,
                            NULL);
        return;
    }
    note_progress (s, in, slot);
    tell_ok (ask, VERB_PROGRESS, 0, out);
}

/* ---- SPAWN: the shell answers, once it has forked ---- */

static void on_spawn (const struct ask *ask, struct actions *out)
{
    const struct msg_spawn *in = &ask->in->spawn;
    struct action *spawn = actions_add (out, ACT_SPAWN);

    spawn->client = ask->client;
    spawn->who.pid = (int32_t) in->supervisor;
    copy_text (spawn->project, sizeof spawn->project, in->project);
}

/* ---- all of them ---- */

void shim_on_client (struct shim *s, uint64_t client, struct who peer,
                     const struct msg *in, int64_t now, struct actions *out)
{
    struct ask ask = {client, peer, in};

    (void) now;
    s->news = true;
    if (s->done)
        return; // our end tells it, and it asks a successor
    switch (in->verb) {
    case VERB_REQUEST:
        if (in->request.parked)
            shim_return (s, client, &in->request, out);
        else
            on_request (s, &ask, out);
        break;
    case VERB_PARK: shim_park (s, client, &in->park, out); break;
    case VERB_OK: on_ok (s, &ask); break;
    case VERB_CANCEL: on_cancel (s, &ask, out); break;
    case VERB_RELEASE: shim_release (s, client, &in->release, out); break;
    case VERB_PROGRESS: on_progress (s, &ask, out); break;
    case VERB_SPAWN: on_spawn (&ask, out); break;
    default:
        actions_tell_error (out, client, in->verb, 0, ERR_UNKNOWN_VERB, NULL);
        break;
    }
}

/* Until its keeper attaches, a run is its client's. */
static void leave_runs (struct shim *s, uint64_t client, struct actions *out)
{
    for (struct run *run = NULL; (run = runs_next (&s->runs, run));) {
        if (run->client != client)
            continue;
        run->client = 0;
        if (run->state == RUN_OFFERED)
            shim_drop_run (s, run, "", out);
    }
}

void shim_on_client_gone (struct shim *s, uint64_t client, int64_t now,
                          struct actions *out)
{
    uint64_t seq = 0;

    (void) now;
    s->news = true;
    for (struct request *r; (r = requests_after (&s->requests, seq));) {
        seq = r->seq;
        if (r->client == client && r->back)
            r->client = 0; // its tree comes back without it
        else if (r->client == client)
            shim_withdraw (s, r);
    }
    shim_parker_gone (s, client);
    for (struct slot *at = NULL; (at = holdings_next (&s->holdings, at));) {
        if (at->offered_to == client)
            shim_release_slot (at);
    }
    leave_runs (s, client, out);
    releases_forget (&s->releases, client);
}
