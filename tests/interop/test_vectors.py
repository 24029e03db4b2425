# SPDX-License-Identifier: MPL-2.0
"""Every example in messages/vectors, read and written by somebody who has no
table of the messages: the JSON decides, and the bytes have to agree."""
import glob
import json
import os
import re
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import slt1

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VECTORS = os.path.join(ROOT, "messages", "vectors")


def pack_int(value):
    if value < 0x80:
        return bytes([value])
    for code, form in ((0xcc, ">B"), (0xcd, ">H"), (0xce, ">I"), (0xcf, ">Q")):
        if value < 1 << 8 * struct.calcsize(form):
            return bytes([code]) + struct.pack(form, value)
    raise ValueError("no u64: %r" % value)


def pack_head(count, fixed, room, *longer):
    """The first bytes of a str, array or map: as short as `count` allows."""
    if count < room:
        return bytes([fixed | count])
    for code, form in longer:
        if count < 1 << 8 * struct.calcsize(form):
            return bytes([code]) + struct.pack(form, count)
    raise ValueError("too long: %d" % count)


def pack(value):
    """Canonical: the shortest form, keys in the order in which they are."""
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return pack_int(value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        raw = value.encode()
        return pack_head(len(raw), 0xa0, 32, (0xd9, ">B"), (0xda, ">H")) + raw
    if isinstance(value, list):
        return (pack_head(len(value), 0x90, 16, (0xdc, ">H"))
                + b"".join(map(pack, value)))
    return (pack_head(len(value), 0x80, 16, (0xde, ">H"))
            + b"".join(pack(key) + pack(item) for key, item in value.items()))


def bytes_of(path):
    with open(path) as f:
        return bytes.fromhex(" ".join(line.split("#")[0] for line in f))


def same(left, right):
    """Equal in value and in type: 1, 1.0 and true are three things."""
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return (list(left) == list(right)
                and all(same(left[key], right[key]) for key in left))
    return type(left) is type(right) and left == right


def check(verb):
    """What is wrong with the example of this message; nothing where it is right."""
    with open(os.path.join(VECTORS, verb + ".json")) as f:
        message = json.load(f)
    raw = bytes_of(os.path.join(VECTORS, verb + ".hex"))
    if message.get("verb") != verb or next(iter(message)) != "verb":
        return "it begins with another verb"
    decoded = slt1.decode([slt1.MAGIC, raw])
    if decoded is None or not same(decoded, message):
        return "decoded it is %r" % (decoded,)
    if pack(message) != raw:
        return "encoded it is %s" % pack(message).hex(" ")
    if slt1.encode(message) != [slt1.MAGIC, raw]:
        return "the library encodes %s" % slt1.encode(message)[1].hex(" ")
    for cut in range(len(raw)):
        if slt1.decode([slt1.MAGIC, raw[:cut]]) is not None:
            return "its first %d bytes are taken for a message" % cut
    return None


def documented():
    """The messages that have a section and a table in PROTOCOL.md."""
    with open(os.path.join(ROOT, "messages", "PROTOCOL.md")) as f:
        return set(re.findall(r"^### ([A-Z_]+)$", f.read(), re.M))


def main():
    found = {os.path.basename(path)[:-5] for path in glob.glob(VECTORS + "/*.json")}
    verbs = sorted(found)
    print("1..%d" % (len(verbs) + 1))
    wrong = {verb: check(verb) for verb in verbs}
    for number, verb in enumerate(verbs, 1):
        print("%s %d - %s" % ("not ok" if wrong[verb] else "ok", number, verb))
        if wrong[verb]:
            print("#  " + wrong[verb])
    missing = sorted(documented() ^ found)
    print("%s %d - every message of PROTOCOL.md has an example" % (
        "not ok" if missing else "ok", len(verbs) + 1))
    if missing:
        print("#  one without the other: " + " ".join(missing))
    return any(wrong.values()) or bool(missing)


sys.exit(main())
