/* SPDX-License-Identifier: MPL-2.0 */
/* replay.c - a fuzz target's corpus once more, without a fuzzer
 *
 * `replay_NAME` feeds every file of tests/fuzz/corpus/NAME to the target that
 * it is linked with; or the files that it is given, to look at one finding.
 * Run from the root of the sources.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/feed.h"

#pragma weak LLVMFuzzerInitialize

/* In a block of just its size, so that a sanitizer sees its end. */
static int replay (const char *path)
{
    FILE *file = fopen (path, "rb");
    uint8_t *bytes;
    size_t size;

    if (!file || fseek (file, 0, SEEK_END))
        return -1;
    size = (size_t) ftell (file);
    rewind (file);
    bytes = malloc (size ? size : 1);
    if (!bytes || fread (bytes, 1, size, file) != size)
        return -1;
    fclose (file);
    LLVMFuzzerTestOneInput (bytes, size);
    free (bytes);
    return 0;
}

static int say (int number, const char *path)
{
    int rc;

    printf ("replays %s\n", path); // not TAP, so prove keeps it to itself
    fflush (stdout);               // whoever aborts has said at what
    rc = replay (path);
    printf ("%sok %d - %s\n", rc ? "not " : "", number, path);
    return rc;
}

static int is_input (const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int replay_folder (const char *name)
{
    char folder[256], path[600];
    struct dirent **entries;
    int count, rc = 0;

    snprintf (folder, sizeof folder, "tests/fuzz/corpus/%s", name);
    count = scandir (folder, &entries, is_input, alphasort);
    if (count <= 0) {
        printf ("Bail out! no corpus in %s: run this from the root\n", folder);
        return -1;
    }
    for (int i = 0; i < count; i++) {
        snprintf (path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        rc |= say (i + 1, path);
        free (entries[i]);
    }
    free (entries);
    printf ("1..%d\n", count);
    return rc;
}

int main (int argc, char **argv)
{
    const char *name = strchr (program_invocation_short_name, '_');
    int rc = 0;

    if (LLVMFuzzerInitialize)
        LLVMFuzzerInitialize (&argc, &argv);
    if (argc == 1)
        return replay_folder (name ? name + 1 : "") ? 1 : 0;
    for (int i = 1; i < argc; i++)
        rc |= say (i, argv[i]);
    printf ("1..%d\n", argc - 1);
    return rc ? 1 : 0;
}
