/* SPDX-License-Identifier: MPL-2.0 */
/* nearest.h - the word that somebody may have meant */
#ifndef SLOTBUS_NEAREST_H
#define SLOTBUS_NEAREST_H

/* Fewest single letters to insert, delete, change or swap with the next one
 * that make b of a. Words longer than 64 bytes are as far as can be. */
unsigned nearest_distance (const char *a, const char *b);

/* Keeps the best of what it is shown: start with {.word = "typo"}. */
struct nearest {
    const char *word;
    const char *best; // borrowed; NULL: nothing came near enough
    unsigned distance;
};
void nearest_offer (struct nearest *n, const char *candidate);
/* The best of a list that NULL ends, or NULL. */
const char *nearest_word (const char *word, const char *const *words);

#endif
