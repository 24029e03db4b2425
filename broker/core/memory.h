/* SPDX-License-Identifier: MPL-2.0 */
/* memory.h - memory that is there, and digests of it
 *
 * Out of memory aborts: a restart is an event that the protocol handles.
 */
#ifndef SLOTBUS_CORE_MEMORY_H
#define SLOTBUS_CORE_MEMORY_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static inline void *new_zeroed (size_t size)
{
    void *ptr = calloc (1, size);

    if (!ptr)
        abort ();
    return ptr;
}

static inline void *resized (void *ptr, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size)
        abort ();
    ptr = realloc (ptr, count * size);
    if (!ptr && count && size)
        abort ();
    return ptr;
}

/* FNV-1a, 64 bit: tells whether something is the same as before. Nothing is
 * found by it, so nobody gains from a collision but a mistake about his own
 * request. Begin with DIGEST_START. */
#define DIGEST_START UINT64_C (0xcbf29ce484222325)

static inline uint64_t digest_bytes (uint64_t digest, const void *data,
                                     size_t size)
{
    const unsigned char *at = data;

    for (size_t i = 0; i < size; i++)
        digest = (digest ^ at[i]) * UINT64_C (0x100000001b3);
    return digest;
}

static inline uint64_t digest_u64 (uint64_t digest, uint64_t value)
{
    return digest_bytes (digest, &value, sizeof value);
}

static inline uint64_t digest_text (uint64_t digest, const char *text)
{
    return digest_bytes (digest, text, strlen (text) + 1);
}

#endif
