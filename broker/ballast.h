/* SPDX-License-Identifier: MPL-2.0 */
/* ballast.h - a mebibyte to throw overboard when the disk is full
 *
 * STATE/ballast takes up space that nobody needs. When a commit fails for want
 * of space it is removed, so that releases, kills and beats go on while grants
 * stop; it is made again when there is room.
 */
#ifndef SLOTBUS_BALLAST_H
#define SLOTBUS_BALLAST_H

#include <stdbool.h>

struct ballast;

struct ballast *ballast_create (const char *folder);
void ballast_destroy (struct ballast *b); // the file stays

/* Give it up. false: there was none. */
bool ballast_drop (struct ballast *b);
/* Look: make it again if there is room for it and some more. */
void ballast_tend (struct ballast *b);
/* Nothing left to throw, or less than two mebibytes free. */
bool ballast_low (const struct ballast *b);

#endif
