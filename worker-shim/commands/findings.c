/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/findings.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/base.h"
#include "commands/command.h"
#include "commands/say.h"

_Static_assert(sizeof (struct finding) <= PIPE_BUF, "written in one piece");

const char *result_name (enum result r)
{
    static const char *const names[] = {"ok", "note", "FAIL"};

    return names[r];
}

enum result findings_worst (const struct findings *f)
{
    enum result worst = RESULT_OK;

    for (size_t i = 0; i < f->count; i++)
        if (f->at[i].result > worst)
            worst = f->at[i].result;
    return worst;
}

int findings_status (const struct findings *f)
{
    int status = EXIT_DONE;

    for (size_t i = 0; i < f->count; i++) {
        if (f->at[i].result != RESULT_FAIL)
            continue;
        if (!f->at[i].no_answer)
            return EXIT_OTHER;
        status = EXIT_NO_BROKER;
    }
    return status;
}

void findings_add (struct findings *f, const struct finding *one)
{
    f->at = xrealloc (f->at, (f->count + 1) * sizeof *f->at);
    f->at[f->count++] = *one;
}

void findings_free (struct findings *f)
{
    free (f->at);
    *f = (struct findings){NULL, 0};
}

static void tell (const struct report *r, struct finding *f, const char *name,
                  const char *remedy, const char *format, va_list args)
{
    char text[sizeof f->what];

    vsnprintf (text, sizeof text, format, args);
    say_clean (name, f->name, sizeof f->name);
    say_clean (text, f->what, sizeof f->what);
    say_clean (remedy, f->remedy, sizeof f->remedy);
    (void) !write_all (r->fd, f, sizeof *f); // who reads it may have given up
}

void report_ok (const struct report *r, const char *name, const char *format,
                ...)
{
    struct finding f = {.result = RESULT_OK};
    va_list args;

    va_start (args, format);
    tell (r, &f, name, "", format, args);
    va_end (args);
}

void report_note (const struct report *r, const char *name, const char *remedy,
                  const char *format, ...)
{
    struct finding f = {.result = RESULT_NOTE};
    va_list args;

    va_start (args, format);
    tell (r, &f, name, remedy, format, args);
    va_end (args);
}

void report_fail (const struct report *r, const char *name, const char *remedy,
                  const char *format, ...)
{
    struct finding f = {.result = RESULT_FAIL};
    va_list args;

    va_start (args, format);
    tell (r, &f, name, remedy, format, args);
    va_end (args);
}

void report_no_answer (const struct report *r, const char *name,
                       const char *remedy, const char *format, ...)
{
    struct finding f = {.result = RESULT_FAIL, .no_answer = true};
    va_list args;

    va_start (args, format);
    tell (r, &f, name, remedy, format, args);
    va_end (args);
}
