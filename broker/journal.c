/* SPDX-License-Identifier: MPL-2.0 */
#include "journal.h"

#include "bus/log.h"

static enum log_level level_of (enum journal_level level)
{
    switch (level) {
    case JOURNAL_INFO: return LOG_INFO;
    case JOURNAL_WARNING: return LOG_WARNING;
    case JOURNAL_ALARM: break;
    }
    return LOG_ERROR;
}

void journal_print (const struct outbox *o)
{
    for (size_t i = 0; i < outbox_lines (o); i++) {
        enum journal_level level = JOURNAL_INFO;
        const char *line = outbox_line (o, i, &level);

        log_line (level_of (level), "%s", line);
    }
}
