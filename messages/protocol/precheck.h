/* SPDX-License-Identifier: MPL-2.0 */
/* precheck.h - walk raw bytes before msgpack-c sees them
 *
 * msgpack-c reserves memory for what a header claims: five bytes can reserve
 * 2 GiB. This walk allocates nothing, touches each byte once and allows only:
 * one map at the top, at most MAX_DEPTH deep, every declared count covered by
 * the bytes that are left (summed over the nesting), string keys, no ext, no
 * reserved byte, nothing behind the end, at most MAX_BODY_BYTES.
 */
#ifndef SLOTBUS_PRECHECK_H
#define SLOTBUS_PRECHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* NULL if the bytes may be given to msgpack-c, else what is wrong (a static
 * sentence). *ret_at is the offset at which it was seen; may be NULL. */
const char *precheck (const uint8_t *bytes, size_t size, size_t *ret_at);

#endif
