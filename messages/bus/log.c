/* SPDX-License-Identifier: MPL-2.0 */
#include "bus/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bus/base.h"

enum { LINE_BYTES = 2048, PATIENCE_MS = 100 };

static struct {
    char who[32];
    enum log_format format;
    enum log_level level;
    bool journal;
    unsigned lost; // lines, since the last one that was written
} speaker = {"slotbus", LOG_TEXT, LOG_INFO, false, 0};

void log_open (const char *who, enum log_format format, enum log_level level)
{
    snprintf (speaker.who, sizeof speaker.who, "%s", who);
    speaker.format = format;
    speaker.level = level;
    speaker.journal = getenv ("JOURNAL_STREAM") != NULL;
}

/* A line under construction: what does not fit is left out. */
struct line {
    char text[LINE_BYTES];
    size_t used;
};

static void put (struct line *l, const char *text, size_t size)
{
    size_t room = sizeof l->text - 8 - l->used; // 8: what closes the line

    if (size > room)
        return;
    memcpy (l->text + l->used, text, size);
    l->used += size;
}

static void puts_line (struct line *l, const char *text)
{
    put (l, text, strlen (text));
}

/* At most `most` bytes of it, and no half character at the end. */
static size_t cut (const char *text, size_t size, size_t most)
{
    if (size <= most)
        return size;
    while (most > 0 && ((unsigned char) text[most] & 0xc0) == 0x80)
        most--;
    return most;
}

static void put_time (struct line *l)
{
    char text[40];
    int64_t now = clock_wall_ms ();
    time_t seconds = (time_t) (now / 1000);
    struct tm tm;
    size_t n;

    gmtime_r (&seconds, &tm);
    n = strftime (text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf (text + n, sizeof text - n, ".%03dZ", (int) (now % 1000));
    puts_line (l, text);
}

static void put_json (struct line *l, const char *text, size_t size)
{
    put (l, "\"", 1);
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '"' || text[i] == '\\')
            put (l, "\\", 1);
        put (l, text + i, 1);
    }
    put (l, "\"", 1);
}

/* The next `key=value` or `key="some words"`; a bare word has no key. */
struct pair {
    const char *key, *value;
    size_t key_size, value_size;
};

static const char *next_pair (const char *at, struct pair *ret_pair)
{
    size_t key_size = strcspn (at, "= ");

    ret_pair->key = at;
    ret_pair->key_size = key_size;
    if (at[key_size] != '=') {
        ret_pair->value = at;
        ret_pair->value_size = key_size;
        ret_pair->key_size = 0;
        return at + key_size;
    }
    at += key_size + 1;
    if (*at == '"') {
        ret_pair->value = ++at;
        ret_pair->value_size = strcspn (at, "\"");
        at += ret_pair->value_size;
        return *at ? at + 1 : at;
    }
    ret_pair->value = at;
    ret_pair->value_size = strcspn (at, " ");
    return at + ret_pair->value_size;
}

/* A pair goes in whole or not at all, so that the object stays valid. */
static void put_pair (struct line *l, const struct pair *p)
{
    size_t before = l->used;
    size_t most = 2 * (p->key_size + p->value_size) + 8;

    if (before + most > sizeof l->text - 512)
        return;
    put (l, ",", 1);
    put_json (l, p->key, p->key_size);
    put (l, ":", 1);
    put_json (l, p->value, p->value_size);
}

/* What is not a pair is talk: it is kept together under "text". */
static void put_pairs (struct line *l, const char *at)
{
    char talk[256] = "";
    size_t used = 0;
    struct pair p;

    for (at += strspn (at, " "); *at; at += strspn (at, " ")) {
        at = next_pair (at, &p);
        if (p.key_size > 0)
            put_pair (l, &p);
        else if (used + p.value_size + 2 < sizeof talk)
            used += (size_t) snprintf (talk + used, sizeof talk - used,
                                       "%s%.*s", used ? " " : "",
                                       (int) p.value_size, p.value);
    }
    if (used > 0) {
        puts_line (l, ",\"text\":");
        put_json (l, talk, cut (talk, used, 200));
    }
}

static void put_object (struct line *l, enum log_level level, const char *text)
{
    char number[16];
    size_t word = strcspn (text, " ");

    puts_line (l, "{\"time\":\"");
    put_time (l);
    snprintf (number, sizeof number, "%d", (int) level);
    puts_line (l, "\",\"level\":");
    puts_line (l, number);
    puts_line (l, ",\"who\":");
    put_json (l, speaker.who, strlen (speaker.who));
    puts_line (l, ",\"event\":");
    put_json (l, text, cut (text, word, 64));
    put_pairs (l, text + word);
    put (l, "}", 1);
}

/* Bytes of the valid UTF-8 character at `at`, 0 if there is none: overlong
 * forms, surrogates and what lies above U+10FFFF are not. Source: RFC 3629. */
static size_t utf8_next (const unsigned char *at, uint32_t *ret_point)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t size = at[0] < 0x80             ? 1
                  : (at[0] & 0xe0) == 0xc0 ? 2
                  : (at[0] & 0xf0) == 0xe0 ? 3
                  : (at[0] & 0xf8) == 0xf0 ? 4
                                           : 0;
    uint32_t point = size <= 1 ? at[0] : at[0] & (0x7fu >> size);

    for (size_t i = 1; i < size; i++) {
        if ((at[i] & 0xc0) != 0x80) // the terminating 0 too
            return 0;
        point = point << 6 | (at[i] & 0x3f);
    }
    if (size == 0 || point < least[size] || point > 0x10ffff ||
        (point >= 0xd800 && point <= 0xdfff))
        return 0;
    *ret_point = point;
    return size;
}

/* Not controls, line separators, or what turns the direction of text round, so
 * that a line reads other than it is. */
static bool harmless (uint32_t point)
{
    if (point < 0x20 || (point >= 0x7f && point <= 0x9f))
        return false;
    if (point == 0x61c || point == 0x200e || point == 0x200f)
        return false;
    if (point >= 0x2028 && point <= 0x202e)
        return false;
    return point < 0x2066 || point > 0x2069;
}

/* Peers' text was escaped by the caller; this is the second belt, against a
 * line that pretends to be two, or that ends within a character. */
static void blank_controls (char *text)
{
    while (*text) {
        uint32_t point = 0;
        size_t size = utf8_next ((unsigned char *) text, &point);

        if (size > 0 && harmless (point)) {
            text += size;
            continue;
        }
        *text++ = '?'; // the rest of a character is no character
    }
}

/* Whoever reads the log may be stopped, and we must not stop with it: agents
 * would end because of that. One who is merely slow is waited for, once. A pipe
 * that says it is ready takes a whole line. */
static bool is_taken (void)
{
    struct pollfd reader = {.fd = STDERR_FILENO, .events = POLLOUT};

    return poll (&reader, 1, speaker.lost ? 0 : PATIENCE_MS) != 0;
}

/* One write: lines of several processes do not mix. */
static void write_line (enum log_level level, char *text)
{
    struct line l = {.used = 0};
    char mark[8];

    blank_controls (text);
    if (speaker.journal) {
        snprintf (mark, sizeof mark, "<%d>", (int) level);
        puts_line (&l, mark);
    }
    if (speaker.format == LOG_JSON)
        put_object (&l, level, text);
    else {
        if (!speaker.journal) { // the journal has its own clock
            put (&l, "[", 1);
            put_time (&l);
            put (&l, "] ", 2);
        }
        puts_line (&l, text);
    }
    l.text[l.used++] = '\n';
    (void) !write_all (STDERR_FILENO, l.text, l.used);
}

static void emit (enum log_level level, char *text)
{
    char lost[48];

    if (speaker.lost > 0 && is_taken ()) {
        snprintf (lost, sizeof lost, "log      lost=%u", speaker.lost);
        speaker.lost = 0;
        write_line (LOG_WARNING, lost);
    }
    if (speaker.lost == 0 && is_taken ())
        write_line (level, text);
    else
        speaker.lost++;
}

void log_line (enum log_level level, const char *format, ...)
{
    char text[LINE_BYTES - 64];
    int error = errno;
    va_list args;

    if (level > speaker.level)
        return;
    va_start (args, format);
    vsnprintf (text, sizeof text, format, args);
    va_end (args);
    emit (level, text);
    errno = error;
}

/* The quote and the backslash are ours: a value in quotes cannot be ended by
 * what it holds. */
static bool printable (uint32_t point)
{
    return harmless (point) && point != '"' && point != '\\';
}

char *log_escape (const char *bytes, char *ret_text, size_t size)
{
    const unsigned char *at = (const unsigned char *) bytes;
    size_t used = 0;

    while (*at) {
        char hex[5];
        uint32_t point = 0;
        size_t taken = utf8_next (at, &point);
        bool plain = taken > 0 && printable (point);
        size_t wanted = plain ? taken : 4;

        if (used + wanted + 1 > size)
            break;
        snprintf (hex, sizeof hex, "\\x%02x", (unsigned) *at);
        memcpy (ret_text + used, plain ? (const char *) at : hex, wanted);
        used += wanted;
        at += plain ? taken : 1;
    }
    if (size > 0)
        ret_text[used] = 0;
    return ret_text;
}
