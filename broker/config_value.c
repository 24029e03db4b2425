/* SPDX-License-Identifier: MPL-2.0 */
#include "config_value.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/log.h"
#include "protocol/message.h"

int config_fail (struct config_reading *r, const struct node *n,
                 const char *format, ...)
{
    char what[512], key[100] = "";
    const char *colon = n->key || r->above[0] ? ": " : "";
    size_t size = strlen (r->above);
    va_list args;

    va_start (args, format);
    vsnprintf (what, sizeof what, format, args);
    va_end (args);
    if (n->key)
        log_escape (n->key, key, sizeof key);
    else if (size > 0) // an item of a list: the list is named
        size--;
    snprintf (r->ret_error, r->error_size, "%s:%u:%u: %.*s%s%s%s", r->path,
              n->line, n->column, (int) size, r->above, key, colon, what);
    return -1;
}

static const char *show (const struct node *n, char *ret_text, size_t size)
{
    char text[48];

    if (n->kind == NODE_SCALAR)
        snprintf (ret_text, size, "'%s'",
                  log_escape (n->text, text, sizeof text));
    else
        snprintf (ret_text, size, n->kind == NODE_MAP ? "a map" : "a list");
    return ret_text;
}

int config_expected (struct config_reading *r, const struct node *n,
                     const char *what)
{
    char got[64];

    return config_fail (r, n, "expected %s, got %s", what,
                        show (n, got, sizeof got));
}

void config_descend (struct config_reading *r, const struct node *n,
                     size_t *ret_size)
{
    char key[100];
    size_t size = strlen (r->above);

    *ret_size = size;
    snprintf (r->above + size, sizeof r->above - size, "%s.",
              log_escape (n->key, key, sizeof key));
}

void config_ascend (struct config_reading *r, size_t size)
{
    r->above[size] = 0;
}

void *config_field (void *into, const struct config_key *k)
{
    return (char *) into + k->offset;
}

bool config_is_word (const struct node *n, const char *word)
{
    return n->kind == NODE_SCALAR && strcmp (n->text, word) == 0;
}

static const char *or_auto (const struct config_key *k)
{
    return k->may & MAY_AUTO ? " or auto" : k->may & MAY_OFF ? " or off" : "";
}

static int out_of_range (struct config_reading *r, const struct node *n,
                         const struct config_key *k)
{
    char what[64];

    snprintf (what, sizeof what, "%.10g..%.10g%s", k->min, k->max, or_auto (k));
    return config_expected (r, n, what);
}

/* A decimal number and where it ends; libc's own would take " 1", "0x1p3",
 * "inf" and "nan", too. */
static bool parse_number (const char *text, double *ret_number,
                          const char **ret_end)
{
    size_t digits = strspn (text, "0123456789");
    size_t size = digits;

    if (text[size] == '.') {
        size_t more = strspn (text + size + 1, "0123456789");

        digits += more;
        size += 1 + more;
    }
    if (digits == 0 || size > 20)
        return false;
    *ret_number = strtod (text, NULL);
    *ret_end = text + size;
    return true;
}

static bool number_within (const struct node *n, const struct config_key *k,
                           double *ret_number)
{
    const char *end;

    return n->kind == NODE_SCALAR && n->plain &&
           parse_number (n->text, ret_number, &end) && !*end &&
           *ret_number >= k->min && *ret_number <= k->max;
}

int config_count (struct config_reading *r, const struct node *n,
                  const struct config_key *k, void *into)
{
    double number;

    if (k->may & MAY_AUTO && config_is_word (n, "auto"))
        return 0; // the default is in its place already
    if (!number_within (n, k, &number) || number != floor (number) ||
        strchr (n->text, '.'))
        return out_of_range (r, n, k);
    *(unsigned *) config_field (into, k) = (unsigned) number;
    return 0;
}

int config_number (struct config_reading *r, const struct node *n,
                   const struct config_key *k, void *into)
{
    double number = NAN;

    if (k->may & MAY_AUTO && config_is_word (n, "auto"))
        return 0;
    if (!(k->may & MAY_NULL && yaml_tree_null (n)) &&
        !number_within (n, k, &number))
        return out_of_range (r, n, k);
    *(double *) config_field (into, k) = number;
    return 0;
}

int config_switch (struct config_reading *r, const struct node *n,
                   const struct config_key *k, void *into)
{
    bool on = config_is_word (n, "true");

    if (!n->plain || (!on && !config_is_word (n, "false")))
        return config_expected (r, n, "true or false");
    *(bool *) config_field (into, k) = on;
    return 0;
}

/* The place of a word among k->words, or -1. */
static int read_word (struct config_reading *r, const struct node *n,
                      const struct config_key *k)
{
    char list[128] = "";
    size_t used = 0;

    for (int i = 0; k->words[i]; i++)
        if (config_is_word (n, k->words[i]))
            return i;
    for (int i = 0; k->words[i] && used < sizeof list; i++)
        used += (size_t) snprintf (list + used, sizeof list - used, "%s%s",
                                   i ? " | " : "", k->words[i]);
    return config_expected (r, n, list);
}

int config_choice (struct config_reading *r, const struct node *n,
                   const struct config_key *k, void *into)
{
    int place = read_word (r, n, k);

    if (place < 0)
        return -1;
    memcpy (config_field (into, k), &place, sizeof place); // an enumeration
    return 0;
}

int config_either (struct config_reading *r, const struct node *n,
                   const struct config_key *k, void *into)
{
    int place = read_word (r, n, k);

    if (place < 0)
        return -1;
    *(bool *) config_field (into, k) = place == 1;
    return 0;
}

struct unit {
    const char *name;
    double factor;
};

static bool parse_with_unit (const char *text, const struct unit *units,
                             double *ret_value)
{
    const char *end;
    double number;

    if (!parse_number (text, &number, &end))
        return false;
    for (; units->name; units++)
        if (strcmp (end, units->name) == 0) {
            *ret_value = number * units->factor;
            return true;
        }
    return false;
}

/* 0 stands for null. Bounds are in the unit that is stored. */
static int read_with_unit (struct config_reading *r, const struct node *n,
                           const struct config_key *k, void *into,
                           const struct unit *units, const char *what)
{
    double value = 0;

    if (!(k->may & MAY_NULL && yaml_tree_null (n)) &&
        (n->kind != NODE_SCALAR || !parse_with_unit (n->text, units, &value) ||
         value < k->min || value > k->max))
        return config_expected (r, n, what);
    *(int64_t *) config_field (into, k) = llround (value);
    return 0;
}

int config_duration (struct config_reading *r, const struct node *n,
                     const struct config_key *k, void *into)
{
    static const struct unit units[] = {{"ms", 1},   {"s", 1e3},   {"m", 6e4},
                                        {"h", 36e5}, {"d", 864e5}, {NULL, 0}};
    char what[80];

    snprintf (what, sizeof what, "a duration of %gms..%gh such as %s", k->min,
              k->max / 36e5, k->max > 864e5 ? "10m or 2h" : "5s or 200ms");
    return read_with_unit (r, n, k, into, units, what);
}

int config_bytes (struct config_reading *r, const struct node *n,
                  const struct config_key *k, void *into)
{
    static const struct unit units[] = {{"", 1},
                                        {"K", 1024.0},
                                        {"M", 1048576.0},
                                        {"G", 1073741824.0},
                                        {"T", 1099511627776.0},
                                        {NULL, 0}};

    return read_with_unit (r, n, k, into, units,
                           "a number of bytes such as 512M or 2G");
}

int config_minutes (struct config_reading *r, const struct node *n,
                    const struct config_key *k, void *into)
{
    double minutes = 0;

    if (!config_is_word (n, "off") && !number_within (n, k, &minutes))
        return out_of_range (r, n, k);
    *(int64_t *) config_field (into, k) = llround (minutes * 60000);
    return 0;
}

int config_text (struct config_reading *r, const struct node *n,
                 const struct config_key *k, void *into)
{
    bool none = k->may & MAY_NULL && yaml_tree_null (n);
    char what[64];

    if (!none && (n->kind != NODE_SCALAR || yaml_tree_null (n) || !*n->text ||
                  strlen (n->text) > k->max)) {
        snprintf (what, sizeof what, "text of 1..%g bytes", k->max);
        return config_expected (r, n, what);
    }
    copy_text (config_field (into, k), (size_t) k->max + 1,
               none ? "" : n->text);
    return 0;
}

int config_over (struct config_reading *r, const struct node *n,
                 const struct config_key *k, void *into)
{
    (void) r, (void) n, (void) k, (void) into;
    return 0;
}
