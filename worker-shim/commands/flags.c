/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/flags.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/say.h"
#include "protocol/nearest.h"

enum { MAX_FLAGS = 32, MAX_WORD = 64 };
static const double YEAR_MS = 366 * 24 * 3600e3;

int usage_error (const struct command *command, const char *format, ...)
{
    char text[512], clean[1024];
    va_list args;

    va_start (args, format);
    vsnprintf (text, sizeof text, format, args);
    va_end (args);
    fprintf (stderr, "slotbus %s: %s\nusage: slotbus %s %s\n", command->name,
             say_clean (text, clean, sizeof clean), command->name,
             command->usage);
    return EXIT_USAGE;
}

int number_of (const char *text, uint64_t min, uint64_t max,
               uint64_t *ret_number)
{
    unsigned long long number;
    char *end;

    if (*text < '0' || *text > '9')
        return -1;
    errno = 0;
    number = strtoull (text, &end, 10);
    if (errno || *end || number < min || number > max)
        return -1;
    *ret_number = number;
    return 0;
}

int duration_of (const char *text, int64_t *ret_ms)
{
    static const struct {
        const char *name;
        double ms;
    } units[] = {{"", 1e3},     {"ms", 1},     {"s", 1e3},        {"m", 60e3},
                 {"min", 60e3}, {"h", 3600e3}, {"d", 24 * 3600e3}};
    char *end;
    double number;

    if (*text < '0' || *text > '9' || strpbrk (text, "xX"))
        return -1; // strtod () would take hexadecimal
    number = strtod (text, &end);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp (end, units[i].name) == 0) {
            double ms = number * units[i].ms;

            if (!(ms >= 0 && ms <= YEAR_MS))
                return -1;
            *ret_ms = (int64_t) ms;
            return 0;
        }
    return -1;
}

/* "17" or "17-21", up to the next comma. */
static int add_range (char *text, struct u64s *tokens)
{
    char *dash = strchr (text, '-');
    uint64_t first, last;

    if (dash)
        *dash = 0;
    if (number_of (text, 1, INT64_MAX, &first))
        return -1;
    last = first;
    if (dash && number_of (dash + 1, first, INT64_MAX, &last))
        return -1;
    if (last - first >= MAX_HELD)
        return -1;
    for (uint64_t token = first; token <= last; token++)
        if (!u64s_has (tokens, token) && !u64s_add (tokens, token))
            return -1;
    return 0;
}

int tokens_of (const char *text, struct u64s *tokens)
{
    char copy[MAX_HELD * 8], *rest, *part;
    struct u64s result = *tokens;

    if (!*text || strlen (text) >= sizeof copy)
        return -1;
    strcpy (copy, text);
    for (part = strtok_r (copy, ",", &rest); part;
         part = strtok_r (NULL, ",", &rest))
        if (add_range (part, &result))
            return -1;
    *tokens = result;
    return 0;
}

static int unknown_flag (const struct command *command,
                         const struct flag *flags, const char *given)
{
    const char *names[MAX_FLAGS + 1] = {NULL}, *near;
    char name[MAX_WORD + 1];
    size_t size = strcspn (given, "=");

    for (int i = 0; i < MAX_FLAGS && flags[i].name; i++)
        names[i] = flags[i].name;
    snprintf (name, sizeof name, "%.*s", (int) size, given);
    near = nearest_word (name, names);
    if (near)
        return usage_error (command, "no flag %s; did you mean %s?", name,
                            near);
    return usage_error (command, "no flag %s", name);
}

static int bad_value (const struct command *command, const struct flag *flag,
                      const char *expected, const char *text)
{
    usage_error (command, "%s: expected %s, got '%s'", flag->name, expected,
                 text);
    return EXIT_BAD_VALUE;
}

static int take_number (const struct command *command, const struct flag *flag,
                        const char *text)
{
    char range[64];

    if (number_of (text, flag->min, flag->max, flag->value) == 0)
        return 0;
    snprintf (range, sizeof range, "%llu..%llu", (unsigned long long) flag->min,
              (unsigned long long) flag->max);
    return bad_value (command, flag, range, text);
}

static int take_text (const struct command *command, const struct flag *flag,
                      const char *text)
{
    struct texts *texts = flag->value;

    if (texts->count == MAX_TEXTS)
        return usage_error (command, "%s: at most %d of them", flag->name,
                            MAX_TEXTS);
    texts->at[texts->count++] = text;
    return 0;
}

static int take_value (const struct command *command, const struct flag *flag,
                       const char *text)
{
    switch (flag->kind) {
    case FLAG_BOOL: *(bool *) flag->value = true; return 0;
    case FLAG_TEXT: *(const char **) flag->value = text; return 0;
    case FLAG_TEXTS: return take_text (command, flag, text);
    case FLAG_NUMBER: return take_number (command, flag, text);
    case FLAG_DURATION:
        return duration_of (text, flag->value) == 0
                   ? 0
                   : bad_value (command, flag,
                                "a duration such as 90, 250ms or 2h", text);
    case FLAG_TOKENS:
        return tokens_of (text, flag->value) == 0
                   ? 0
                   : bad_value (command, flag, "tokens such as 17 or 17-21",
                                text);
    }
    return EXIT_BUG;
}

static const struct flag *find_flag (const struct flag *flags,
                                     const char *given)
{
    size_t size = strcspn (given, "=");

    for (; flags->name; flags++) {
        if (given[1] == '-' ? strlen (flags->name) == size &&
                                  strncmp (flags->name, given, size) == 0
                            : flags->letter && flags->letter == given[1])
            return flags;
    }
    return NULL;
}

/* The value that stands in the same word: behind = or behind the letter. */
static const char *inner_value (const char *given)
{
    if (given[1] == '-') {
        const char *equals = strchr (given, '=');

        return equals ? equals + 1 : NULL;
    }
    return given[2] ? given + 2 : NULL;
}

/* One flag at argv[*at]; *at is moved behind it. */
static int read_flag (const struct command *command, const struct flag *flags,
                      int argc, char **argv, int *at)
{
    const char *given = argv[(*at)++];
    const struct flag *flag = find_flag (flags, given);
    const char *value = inner_value (given);

    if (!flag)
        return unknown_flag (command, flags, given);
    if (flag->kind == FLAG_BOOL && value)
        return usage_error (command, "%s takes no value", flag->name);
    if (flag->kind != FLAG_BOOL && !value) {
        if (*at >= argc)
            return usage_error (command, "%s needs a value", flag->name);
        value = argv[(*at)++];
    }
    return take_value (command, flag, value);
}

int flags_read (const struct command *command, const struct flag *flags,
                enum flags_mode mode, int argc, char **argv,
                struct arguments *ret_arguments, int *ret_status)
{
    struct arguments words = {0, argv + 1, false, 0};
    int at = 1, status;

    while (at < argc) {
        char *word = argv[at];

        if (strcmp (word, "--") == 0) {
            words.dashes = true;
            words.first_after = words.count;
            at++;
            break;
        }
        if (strcmp (word, "--help") == 0 || strcmp (word, "-h") == 0) {
            command_help (command);
            *ret_status = EXIT_DONE;
            return -1;
        }
        if (word[0] != '-' || !word[1]) {
            if (mode == FLAGS_BEFORE_WORDS)
                break;
            words.at[words.count++] = word;
            at++;
            continue;
        }
        status = read_flag (command, flags, argc, argv, &at);
        if (status) {
            *ret_status = status;
            return -1;
        }
    }
    while (at < argc)
        words.at[words.count++] = argv[at++];
    words.at[words.count] = NULL; // there was at least argv[0] before it
    *ret_arguments = words;
    return 0;
}
