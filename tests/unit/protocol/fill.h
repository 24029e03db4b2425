/* SPDX-License-Identifier: MPL-2.0 */
/* fill.h - a message of any verb with something in it, by the table
 *
 * So that a new key in fields.def is tested without a new line of test.
 */
#ifndef SLOTBUS_TEST_FILL_H
#define SLOTBUS_TEST_FILL_H

#include "protocol/message.h"

enum fill {
    FILL_LEAST,  // only what is required, at its least
    FILL_EVERY,  // every key, each with another value
    FILL_LARGEST // every key at its largest
};

/* `rows` is how many rows each list of rows gets, at most what it may hold. */
void fill_message (struct msg *ret_msg, enum verb verb, enum fill fill,
                   unsigned rows);

#endif
