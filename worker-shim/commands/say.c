/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/say.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus/log.h"
#include "commands/command.h"

char *say_clean (const char *text, char *ret_text, size_t size)
{
    return log_escape (text, ret_text, size);
}

int say_failure (int status, const char *format, ...)
{
    char text[2048], clean[2048];
    va_list args;

    va_start (args, format);
    vsnprintf (text, sizeof text, format, args);
    va_end (args);
    fprintf (stderr, "slotbus: %s\n", say_clean (text, clean, sizeof clean));
    return status;
}

int status_of_error (const char *name)
{
    switch (err_of_name (name)) {
    case ERR_BAD_ARG:
    case ERR_NOT_FOUND:
    case ERR_EXCEEDS_MAX: return EXIT_BAD_VALUE;
    case ERR_BAD_VERSION:
    case ERR_NO_SESSION: return EXIT_NO_BROKER;
    case ERR_BAD_FRAME:
    case ERR_UNKNOWN_VERB: return EXIT_BUG;
    case ERR_NOT_ALLOWED:
    case ERR_HOST_CONFLICT: return EXIT_NOT_ALLOWED;
    case ERR_DISK: return EXIT_DISK;
    case ERR_QUEUE_FULL:
    case ERR_NOT_NOW:
    case ERR_BUSY:
    case ERR_LEARNING:
    case ERR_RATE: return EXIT_NOT_NOW;
    default: return EXIT_OTHER;
    }
}

int say_refusal (const struct msg_error *error)
{
    enum err e = err_of_name (error->error);
    const char *sentence = e == ERR_COUNT ? "refused" : err_text (e);
    char key[40] = "", detail[264] = "";

    if (e == ERR_NOT_FOUND && (error->key[0] || error->detail[0]))
        return say_failure (status_of_error (error->error), "%s%s (%s)",
                            error->detail[0] ? "" : "no such ",
                            error->detail[0] ? error->detail : error->key,
                            error->error);
    if (error->key[0])
        snprintf (key, sizeof key, ": %s", error->key);
    if (error->detail[0])
        snprintf (detail, sizeof detail, ": %s", error->detail);
    return say_failure (status_of_error (error->error), "%s%s%s (%s)", sentence,
                        key, detail, error->error);
}

char *say_count (uint64_t count, const char *noun, char *ret_text, size_t size)
{
    snprintf (ret_text, size, "%llu %s%s", (unsigned long long) count, noun,
              count == 1 ? "" : "s");
    return ret_text;
}

static int by_value (const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

    return (x > y) - (x < y);
}

char *say_tokens (const struct u64s *tokens, char *ret_text, size_t size)
{
    struct u64s sorted = *tokens;
    size_t used = 0;
    uint32_t i = 0;

    snprintf (ret_text, size, "none");
    qsort (sorted.at, sorted.count, sizeof *sorted.at, by_value);
    while (i < sorted.count && used < size) {
        uint32_t end = i + 1;
        unsigned long long first = sorted.at[i], last;

        while (end < sorted.count && sorted.at[end] <= sorted.at[end - 1] + 1)
            end++;
        last = sorted.at[end - 1];
        used += (size_t) snprintf (ret_text + used, size - used,
                                   last > first ? "%s%llu-%llu" : "%s%llu",
                                   i ? "," : "", first, last);
        i = end;
    }
    return ret_text;
}

char *say_eta (uint64_t low_s, uint64_t high_s, char *ret_text, size_t size)
{
    uint64_t unit = high_s < 90 ? 1 : high_s < 90 * 60 ? 60 : 3600;
    const char *name = unit == 1 ? "second" : unit == 60 ? "minute" : "hour";
    uint64_t low = low_s / unit, high = (high_s + unit - 1) / unit;
    char most[32];

    if (high_s == 0)
        snprintf (ret_text, size, "unknown");
    else if (low == 0)
        snprintf (ret_text, size, "at most %s",
                  say_count (high, name, most, sizeof most));
    else if (low_s == high_s || low == high)
        say_count (high, name, ret_text, size);
    else
        snprintf (ret_text, size, "%llu-%llu %ss", (unsigned long long) low,
                  (unsigned long long) high, name);
    return ret_text;
}

char *say_age (uint64_t ms, char *ret_text, size_t size)
{
    static const struct {
        uint64_t below, unit;
        const char *name;
    } steps[] = {{1000, 1, "ms"},
                 {90 * 1000, 1000, "s"},
                 {90 * 60 * 1000, 60 * 1000, "min"},
                 {48ull * 3600 * 1000, 3600 * 1000, "h"},
                 {UINT64_MAX, 24ull * 3600 * 1000, "d"}};
    size_t i = 0;

    while (ms >= steps[i].below && i + 1 < sizeof steps / sizeof *steps)
        i++;
    snprintf (ret_text, size, "%llu %s",
              (unsigned long long) (ms / steps[i].unit), steps[i].name);
    return ret_text;
}

char *say_bytes (uint64_t bytes, char *ret_text, size_t size)
{
    const double kb = (double) bytes / 1024;

    if (kb < 1024)
        snprintf (ret_text, size, "%.0f kB", kb);
    else if (kb < 1024 * 1024)
        snprintf (ret_text, size, "%.0f MB", kb / 1024);
    else
        snprintf (ret_text, size, "%.1f GB", kb / 1024 / 1024);
    return ret_text;
}

bool say_emoji (FILE *out)
{
    const char *no_color = getenv ("NO_COLOR"), *term = getenv ("TERM");

    if (no_color && *no_color)
        return false;
    if (term && strcmp (term, "dumb") == 0)
        return false;
    return isatty (fileno (out));
}

int say_flush (void)
{
    if (fflush (stdout) == 0 && !ferror (stdout))
        return 0;
    if (errno == EPIPE)
        return EXIT_OTHER; // whoever read this has gone, and need not be told
    return say_failure (EXIT_DISK, "cannot write the result: %s",
                        strerror (errno));
}
