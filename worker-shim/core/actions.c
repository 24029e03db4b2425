/* SPDX-License-Identifier: MPL-2.0 */
#include "core/actions.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct actions {
    struct action *at;
    size_t count, room;
};

/* Out of memory aborts: the broker takes the shim for lost, and its keepers
 * end their trees. */
static void *never_null (void *ptr)
{
    if (!ptr)
        abort ();
    return ptr;
}

static void *copy (const void *from, size_t size)
{
    return memcpy (never_null (malloc (size)), from, size);
}

struct actions *actions_create (void)
{
    return never_null (calloc (1, sizeof (struct actions)));
}

void actions_destroy (struct actions *a)
{
    if (!a)
        return;
    actions_clear (a);
    free (a->at);
    free (a);
}

void actions_clear (struct actions *a)
{
    for (size_t i = 0; i < a->count; i++) {
        free ((void *) a->at[i].fields);
        free ((void *) a->at[i].packet);
    }
    a->count = 0;
}

size_t actions_count (const struct actions *a)
{
    return a->count;
}

const struct action *actions_at (const struct actions *a, size_t i)
{
    return &a->at[i];
}

struct action *actions_add (struct actions *a, enum action_kind kind)
{
    struct action *added;

    if (a->count == a->room) {
        a->room = a->room ? 2 * a->room : 16;
        a->at = never_null (realloc (a->at, a->room * sizeof *a->at));
    }
    added = &a->at[a->count++];
    memset (added, 0, sizeof *added);
    added->kind = kind;
    return added;
}

static void add_message (struct actions *a, enum action_kind kind,
                         uint64_t client, enum verb verb, const void *fields)
{
    struct action *added = actions_add (a, kind);
    void *copied = never_null (malloc (message_size (verb)));

    message_copy (copied, fields, verb);
    added->client = client;
    added->verb = verb;
    added->fields = copied;
}

void actions_send (struct actions *a, enum verb verb, const void *fields)
{
    add_message (a, ACT_SEND, 0, verb, fields);
}

void actions_tell (struct actions *a, uint64_t client, enum verb verb,
                   const void *fields)
{
    add_message (a, ACT_TELL, client, verb, fields);
}

void actions_tell_error (struct actions *a, uint64_t client, enum verb re,
                         uint64_t seq, enum err error, const char *detail)
{
    struct msg_error told;

    message_init_fields (&told, VERB_ERROR);
    copy_text (told.re, sizeof told.re, verb_name (re));
    copy_text (told.error, sizeof told.error, err_name (error));
    copy_text (told.detail, sizeof told.detail, detail ? detail : "");
    told.seq = seq;
    actions_tell (a, client, VERB_ERROR, &told);
}

void actions_hang_up (struct actions *a, uint64_t client)
{
    actions_add (a, ACT_HANG_UP)->client = client;
}

void actions_packet (struct actions *a, uint64_t keeper,
                     const struct keeper_packet *packet)
{
    struct action *added = actions_add (a, ACT_KEEPER);

    added->keeper = keeper;
    added->packet = copy (packet, sizeof *packet);
}

void actions_who (struct actions *a, enum action_kind kind, struct who who)
{
    actions_add (a, kind)->who = who;
}

void actions_log (struct actions *a, const char *format, ...)
{
    struct action *added = actions_add (a, ACT_LOG);
    va_list args;

    va_start (args, format);
    vsnprintf (added->text, sizeof added->text, format, args);
    va_end (args);
}
