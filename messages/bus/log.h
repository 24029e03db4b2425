/* SPDX-License-Identifier: MPL-2.0 */
/* log.h - lines on stderr, one event each
 *
 * A line is `[time] word key=value key=value`. Text that came from a peer goes
 * through log_escape (), so that no control byte reaches a terminal or the
 * journal. With JOURNAL_STREAM set, lines carry the <N> priority prefix.
 */
#ifndef SLOTBUS_LOG_H
#define SLOTBUS_LOG_H

#include <stddef.h>

enum log_level { LOG_ERROR = 3, LOG_WARNING = 4, LOG_INFO = 6, LOG_DEBUG = 7 };
enum log_format { LOG_TEXT, LOG_JSON };

/* Who speaks ("slotbus-broker"), how, and down to which level. The level is
 * the one global of the project. */
void log_open (const char *who, enum log_format format, enum log_level level);

/* One line; never longer than 2 KiB; errno is kept. Where nobody reads stderr
 * it is lost, and the next one that is written is preceded by how many were. */
void log_line (enum log_level level, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

/* Any bytes to printable, valid UTF-8 without control or bidirectional
 * characters (others as \xNN), truncated to size; returns ret_text. */
char *log_escape (const char *bytes, char *ret_text, size_t size);

#endif
