/* SPDX-License-Identifier: MPL-2.0 */
/* render.h - a snapshot as people and programs read it
 *
 * Pure but for the stream that it writes to.
 */
#ifndef SLOTBUS_RENDER_H
#define SLOTBUS_RENDER_H

#include <stdbool.h>
#include <stdio.h>

#include "commands/snapshot.h"

/* All projects. */
void render_status (FILE *out, const struct snapshot *s, bool emoji);
/* One project in detail; it need not be in the snapshot. */
void render_project (FILE *out, const struct snapshot *s, const char *project,
                     bool emoji);
/* One object with "schema": 1 on one line; always valid UTF-8. */
void render_json (FILE *out, const struct snapshot *s);

/* What a RELIEVE came to, likewise. */
void render_relieved (FILE *out, const struct msg_relieve_ok *ok, bool dry_run);
/* Who would be ended, host by host, and whom nobody ends. */
void render_victims (FILE *out, const struct snapshot *s);

/* The name for people: as configured, else the key; escaped. */
const char *render_name (const struct snapshot *s, const char *project,
                         char *ret_name, size_t size);
/* What one agent does: "60% complete (Phase 3/4)". */
char *render_agent (const struct row_agent *agent, char *ret_text, size_t size);

#endif
