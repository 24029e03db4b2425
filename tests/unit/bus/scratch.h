/* SPDX-License-Identifier: MPL-2.0 */
/* scratch.h - a folder that is gone after the test */
#ifndef SLOTBUS_TEST_SCRATCH_H
#define SLOTBUS_TEST_SCRATCH_H

#include <stddef.h>

/* cmocka fixtures: *state is the path of an empty folder, mode 0700. The
 * environment variables that name folders are unset. */
int scratch_make (void **state);
int scratch_remove (void **state);

/* FOLDER/NAME in a buffer of its own (one of eight, used in turn). */
const char *scratch_path (void **state, const char *name);
/* Write a file in it, making its folders. */
void scratch_file (void **state, const char *name, const char *text);

#endif
