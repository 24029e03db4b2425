/* SPDX-License-Identifier: MPL-2.0 */
/* HISTORY: it asks a file, which takes its time. Questions wait in a short
 * queue and are answered a few in a turn, so that nobody's beat does. */
#include "server_parts.h"

#include <stdlib.h>

#include "bus/base.h"

enum { TURN_MS = 10 }; // of each turn, and one question more

/* A run may be asked for by its own project's people only, as access.c says;
 * the days are counts, which observers may see too. */
void server_ask_history (struct server *s, const struct peer *peer,
                         const struct msg_history *in)
{
    struct codec_error busy = {.re = VERB_HISTORY,
                               .detail = "others ask for history too"};

    if (s->asked_count == SERVER_ASKED) {
        front_refuse (s->front, &peer->path, ERR_RATE, &busy);
        return;
    }
    s->asked[s->asked_count++] = (struct asked_history){peer->path, *in};
}

static void answer (struct server *s, const struct asked_history *asked)
{
    struct codec_error none = {.re = VERB_HISTORY,
                               .detail = "there is no history just now"};
    struct msg_history_ok *ok = xmalloc (sizeof *ok);
    enum err e = history_answer (s->history, &asked->in, ok);

    if (e)
        front_refuse (s->front, &asked->path, e, &none);
    else
        front_send (s->front, &asked->path, VERB_HISTORY_OK, ok);
    free (ok);
}

void server_answer_history (struct server *s)
{
    int64_t until = clock_monotonic_ms () + TURN_MS;
    unsigned done = 0;

    while (done < s->asked_count &&
           (done == 0 || clock_monotonic_ms () < until))
        answer (s, &s->asked[done++]);
    s->asked_count -= done;
    for (unsigned i = 0; i < s->asked_count; i++)
        s->asked[i] = s->asked[i + done];
}
