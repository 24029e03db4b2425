/* SPDX-License-Identifier: MPL-2.0 */
/* findings.h - what `slotbus doctor` found, one thing after the other
 *
 * A check runs in a process of its own, so that nothing it meets (a file
 * system that does not answer, a bug of ours) holds up or takes away the rest.
 * It reports through a pipe; a finding is a flat record, short enough to be
 * written in one piece.
 */
#ifndef SLOTBUS_FINDINGS_H
#define SLOTBUS_FINDINGS_H

#include <stdbool.h>
#include <stddef.h>

enum result { RESULT_OK, RESULT_NOTE, RESULT_FAIL };

struct finding {
    enum result result;
    bool no_answer;   // RESULT_FAIL, only because no broker answers
    char name[96];    // what was looked at
    char what[2048];  // what was seen; printable UTF-8, as the others
    char remedy[768]; // what to do; "" where all is well
};

struct findings {
    struct finding *at; // owned
    size_t count;
};

/* "ok", "note", "FAIL". */
const char *result_name (enum result r);
/* Of the whole: the worst there is. */
enum result findings_worst (const struct findings *f);
/* 0 where nothing fails, EXIT_NO_BROKER where that is all that does, else
 * EXIT_OTHER. */
int findings_status (const struct findings *f);
void findings_add (struct findings *f, const struct finding *one); // copied
void findings_free (struct findings *f);

/* ---- a check's side ---- */

/* The end of the pipe that a check writes to. */
struct report {
    int fd;
};

void report_ok (const struct report *r, const char *name, const char *format,
                ...) __attribute__ ((format (printf, 3, 4)));
void report_note (const struct report *r, const char *name, const char *remedy,
                  const char *format, ...)
    __attribute__ ((format (printf, 4, 5)));
void report_fail (const struct report *r, const char *name, const char *remedy,
                  const char *format, ...)
    __attribute__ ((format (printf, 4, 5)));
/* A failure that starting a broker mends. */
void report_no_answer (const struct report *r, const char *name,
                       const char *remedy, const char *format, ...)
    __attribute__ ((format (printf, 4, 5)));

#endif
