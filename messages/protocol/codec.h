/* SPDX-License-Identifier: MPL-2.0 */
/* codec.h - struct msg to bytes and back
 *
 * A body is the magic-less msgpack map of one message: {"verb": "HELLO",
 * key: value, ...}. The magic SLT1 is a frame of its own on ZeroMQ, and the
 * first four bytes of a packet on the local socket. Encoding is canonical:
 * keys in the order of fields.def, the shortest integer form, floats as
 * float 64, what is empty left out; so every message has exactly one encoding
 * by us (others may send keys in any order and longer integer forms).
 *
 * codec.c is the only file of the project that includes msgpack.h.
 */
#ifndef SLOTBUS_CODEC_H
#define SLOTBUS_CODEC_H

#include "protocol/message.h"

/* Encode `fields`, the structure of `verb`, into buf. Returns the length, or
 * 0 if it does not fit into `size` bytes or MAX_BODY_BYTES, or a list is longer
 * than the table allows. Values are not judged: that is the reader's part. An
 * infinite F64 is left out, as NaN is. */
size_t codec_encode (enum verb verb, const void *fields, uint8_t *buf,
                     size_t size);
size_t codec_encode_msg (const struct msg *msg, uint8_t *buf, size_t size);

/* What was wrong with a body, for the ERROR answer. */
struct codec_error {
    enum verb re;       // the verb, as far as it could be read
    char said[17];      // what there is in its place, if that is no verb
    uint64_t seq;       // its "seq", as far as it could be read
    char key[33];       // the key at fault: "count", "hosts[3].level", or ""
    char detail[128];   // "expected 1..10000, got -3"
};

/* Decode a body from anybody. Prechecks first (precheck.h). ERR_NONE;
 * BAD_FRAME (not one well-formed map, duplicate keys), UNKNOWN_VERB, BAD_ARG
 * (ret_error->key says which; of several faults the first in the order of the
 * table). On an error *ret_msg is undefined but verb, ret_error is filled.
 * Unknown keys are ignored. Integers may come in any
 * form that holds the value; a float is never taken for an integer, an integer
 * is taken for a float. Strings keep their bytes; NUL is refused, and longer
 * than `max` is BAD_ARG for KEY and truncated at max bytes (on a UTF-8
 * boundary where there is one) for STR. A KEY is made lower case. */
enum err codec_decode (const uint8_t *body, size_t size, struct msg *ret_msg,
                       struct codec_error *ret_error);

#endif
