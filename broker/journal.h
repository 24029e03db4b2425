/* SPDX-License-Identifier: MPL-2.0 */
/* journal.h - what a batch decided, as lines of the log
 *
 * The lines are the core's: operators and tests share one vocabulary.
 */
#ifndef SLOTBUS_JOURNAL_H
#define SLOTBUS_JOURNAL_H

#include "core/outbox.h"

void journal_print (const struct outbox *o);

#endif
