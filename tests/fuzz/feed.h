/* SPDX-License-Identifier: MPL-2.0 */
/* feed.h - a fuzzer's bytes, read as numbers, texts and whole messages
 *
 * A value is a byte or two, most of them small numbers and words that mean
 * something: sessions, tokens and request numbers of a target are small, and
 * so an input that hits one is easily found. Behind the end there are only
 * zeroes.
 */
#ifndef SLOTBUS_FEED_H
#define SLOTBUS_FEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/message.h"

struct feed {
    const uint8_t *at, *end; // borrowed
};

/* What a target is. 0: done. */
int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);
/* Of a target that prepares something. */
int LLVMFuzzerInitialize (int *argc, char ***argv);

/* Not assert (): it must hold in every flavour. */
void must (bool holds, const char *what);
/* Valid UTF-8 without control or bidirectional characters; `lines`: ends of
 * lines are fine. */
void must_be_clean (const char *text, size_t size, bool lines,
                    const char *what);
/* Whoever decodes our encoding of it reads the same. */
void must_be_sayable (enum verb verb, const void *fields, const char *what);

bool feed_over (const struct feed *f);
uint8_t feed_byte (struct feed *f);
/* 0..below - 1 */
unsigned feed_below (struct feed *f, unsigned below);
/* Small, or at the edge of some type, or any. */
uint64_t feed_number (struct feed *f);
/* Finite or not, or NaN. */
double feed_real (struct feed *f);
/* A word, or any bytes but NUL; terminated; returns ret_text. */
char *feed_text (struct feed *f, char *ret_text, size_t size);

/* Change some keys of a message that was initialised. What comes out is what
 * decoding may give: in range, and complete. */
void feed_fields (struct feed *f, enum verb verb, void *fields);

#endif
