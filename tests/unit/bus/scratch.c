/* SPDX-License-Identifier: MPL-2.0 */
#include "unit/bus/scratch.h"

#include <ftw.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include "bus/base.h"

static const char *const variables[] = {
    "SLOTBUS_BROKER",      "SLOTBUS_CONFIG",
    "SLOTBUS_RUNTIME_DIR", "SLOTBUS_STATE_DIR",
    "SLOTBUS_HOST",        "RUNTIME_DIRECTORY",
    "STATE_DIRECTORY",     "CONFIGURATION_DIRECTORY",
    "XDG_RUNTIME_DIR",     "XDG_STATE_HOME",
    "XDG_CONFIG_HOME",     "JOURNAL_STREAM"};

int scratch_make (void **state)
{
    char *path = xstrdup ("/tmp/slotbus-test-XXXXXX");

    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        unsetenv (variables[i]);
    if (!mkdtemp (path))
        return -1;
    *state = path;
    return 0;
}

static int remove_one (const char *path, const struct stat *st, int type,
                       struct FTW *walk)
{
    (void) st, (void) type, (void) walk;
    return remove (path);
}

int scratch_remove (void **state)
{
    int rc = nftw (*state, remove_one, 8, FTW_DEPTH | FTW_PHYS);

    free (*state);
    return rc;
}

const char *scratch_path (void **state, const char *name)
{
    static char paths[8][512];
    static unsigned turn;
    char *path = paths[turn++ % 8];

    snprintf (path, sizeof paths[0], "%s/%s", (const char *) *state, name);
    return path;
}

void scratch_file (void **state, const char *name, const char *text)
{
    const char *path = scratch_path (state, name);
    FILE *file;

    assert_int_equal (make_folders (path, 0700), 0);
    file = fopen (path, "w");
    assert_non_null (file);
    assert_true (fputs (text, file) >= 0);
    assert_int_equal (fclose (file), 0);
}
