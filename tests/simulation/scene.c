/* SPDX-License-Identifier: MPL-2.0 */
#include "simulation/scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CONTEXT = 6, MOST_BYTES = 1 << 20 };

struct sim *scene_begin (unsigned max_slots, unsigned max_per_project)
{
    struct settings settings;
    struct sim *s;

    sim_settings (&settings, max_slots);
    settings.max_per_project = max_per_project;
    s = sim_create (&settings, 1);
    s->keep_text = true;
    sim_start_broker (s);
    return s;
}

static char *read_whole (const char *path)
{
    FILE *f = fopen (path, "r");
    char *text = sim_alloc (MOST_BYTES);

    if (f) {
        text[fread (text, 1, MOST_BYTES - 1, f)] = '\0';
        fclose (f);
    }
    return text;
}

static void write_whole (const char *path, const char *text)
{
    FILE *f = fopen (path, "w");

    if (!f || fputs (text, f) < 0 || fclose (f) != 0)
        fail_msg ("cannot write %s", path);
}

static void print_some (const char *sign, const char *from)
{
    for (int i = 0; i < CONTEXT && *from; i++) {
        size_t size = strcspn (from, "\n");

        print_message ("# %s%.*s\n", sign, (int) size, from);
        from += size + (from[size] == '\n');
    }
}

static void print_difference (const char *path, const char *want,
                              const char *got)
{
    size_t line = 0;
    unsigned number = 1;

    for (size_t i = 0; want[i] && want[i] == got[i]; i++) {
        if (want[i] == '\n') {
            line = i + 1;
            number++;
        }
    }
    print_message ("# %s:%u differs:\n", path, number);
    print_some ("- ", want + line);
    print_some ("+ ", got + line);
}

static void compare (const char *path, const char *got)
{
    char *want = read_whole (path);
    bool same = strcmp (want, got) == 0;

    if (!same && getenv ("UPDATE")) {
        write_whole (path, got);
        print_message ("# %s is written anew\n", path);
        same = true;
    }
    if (!same)
        print_difference (path, want, got);
    free (want);
    assert_true (same);
}

void scene_end (struct sim *s, const char *name)
{
    char path[128];

    if (s->violation[0]) {
        print_message ("%s", s->text);
        fail_msg ("%s", s->violation);
    }
    snprintf (path, sizeof path, "tests/simulation/scenes/%s.trace", name);
    compare (path, s->text);
    sim_destroy (s);
}
