/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/within.h"

#include <stdlib.h>
#include <string.h>

#include "bus/cookie.h"
#include "commands/flags.h"
#include "protocol/message.h"

static const char parked[] = "SLOTBUS_PARKED";

uint64_t within_tree (void)
{
    const char *cookie = getenv (COOKIE_NAME);
    uint64_t first;

    return cookie && cookie_parse (cookie, NULL, &first) ? first : 0;
}

uint64_t within_slots (void)
{
    const char *slots = getenv ("SLOTBUS_SLOTS");
    uint64_t count;

    if (!within_tree ())
        return 0;
    return slots && number_of (slots, 1, MAX_HELD, &count) == 0 ? count : 1;
}

bool within_parked (void)
{
    const char *cookie = getenv (COOKIE_NAME), *of = getenv (parked);

    return cookie && of && strcmp (cookie, of) == 0;
}

void within_set_parked (void)
{
    const char *cookie = getenv (COOKIE_NAME);

    if (cookie)
        setenv (parked, cookie, 1);
}
