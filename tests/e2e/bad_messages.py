# SPDX-License-Identifier: MPL-2.0
"""bad_messages - bytes that are no message, and messages with one fault

What a verb may hold comes from messages/protocol/fields.def, so that a new
verb or key has its faults without a word here.
"""
import pathlib
import re
import struct

import msgpack

PROTOCOL = pathlib.Path(__file__).resolve().parents[2] / "messages/protocol"


def pack(value):
    """Text is UTF-8, or any bytes by surrogates."""
    return msgpack.packb(value, unicode_errors="surrogateescape")


def text(raw):
    return raw.decode("utf-8", "surrogateescape")


STATUS = pack({"verb": "STATUS"})


# ---- what is not one map: (bytes, what is said of them) ----

def one(value):
    """The map {"a": value}, the value as it is."""
    return b"\x81\xa1a" + value


NO_MAPS = {
    "a reserved byte": (b"\xc1", "not a map at byte 0"),
    "text": (b"GET / HTTP/1.1\r\n\r\n", "not a map at byte 0"),
    "nil": (b"\xc0", "not a map at byte 0"),
    "an integer": (b"\x01", "not a map at byte 0"),
    "a string": (b"\xa6STATUS", "not a map at byte 0"),
    "a list": (b"\x91" + STATUS, "not a map at byte 0"),
    "an extension": (b"\xd4\x01\x00", "not a map at byte 0"),
    "a bomb of a list": (b"\xdd\x04\x00\x00\x00", "not a map at byte 0"),
    "a bomb of a map": (b"\xdf\x04\x00\x00\x00", "announces more .* at byte 0"),
    "a bomb inside": (one(b"\xdd\x04\x00\x00\x00"), "announces more .* at byte 3"),
    "a bomb that its sum makes": (one(b"\x93\x93\x00\x00\x00\x93\x00\x00\x00\x93\x00\x00"),
                                  "announces more .* at byte"),
    "a bomb of a string": (one(b"\xdb\xff\xff\xff\xff"), "announces more .* at byte 3"),
    "a bomb of bytes": (one(b"\xc6\xff\xff\xff\xffx"), "announces more .* at byte 3"),
    "an odd map": (b"\x82\xa4verb\xa6STATUS\xa1a", "announces more|cut short"),
    "a message cut short": (STATUS[:-1], "announces more|cut short"),
    "a number cut short": (one(b"\xcf\x00\x00"), "cut short at byte 3"),
    "trailing bytes": (STATUS + b"\x00", "bytes behind the end at byte %d" % len(STATUS)),
    "two messages": (STATUS + STATUS, "bytes behind the end at byte %d" % len(STATUS)),
    "a reserved byte inside": (one(b"\xc1"), "reserves at byte 3"),
    "an extension inside": (one(b"\xc7\x01\x05x"), "extension type at byte 3"),
    "a timestamp": (one(b"\xd6\xff\x00\x00\x00\x00"), "extension type at byte 3"),
    "nine levels": (one(b"\x91" * 8 + b"\xc0"), "nested too deep at byte"),
    "ten thousand levels": (one(b"\x91" * 10000 + b"\xc0"), "nested too deep at byte"),
    "an integer for a key": (b"\x81\x01\x01", "a key that is not a string at byte 1"),
    "nil for a key": (b"\x81\xc0\x01", "a key that is not a string"),
    "bytes for a key": (b"\x81\xc4\x01a\x01", "a key that is not a string"),
    "a map for a key": (b"\x81\x80\x01", "a key that is not a string"),
    "the verb twice": (b"\x82\xa4verb\xa6STATUS\xa4verb\xa6STATUS", "there twice"),
    "a key twice": (b"\x83\xa4verb\xa6STATUS\xa6cursor\x00\xa6cursor\x00", "there twice"),
    "an unknown key twice": (b"\x83\xa4verb\xa6STATUS\xa1a\x00\xa1a\x00", "there twice"),
    "a key twice further in": (b"\x82\xa4verb\xa6STATUS\xa1a\x91\x82\xa1b\x00\xa1b\x00", "there twice"),
    "an empty key twice": (b"\x83\xa4verb\xa6STATUS\xa0\x00\xa0\x00", "there twice"),
}


# ---- every key of every verb ----

def constants():
    header = (PROTOCOL / "message.h").read_text()
    numbers = {name: int(value) for name, value in re.findall(r"\b((?:MAX|PAGE)_\w+) = (\d+)", header)}
    return {**numbers, "INT32_MAX": 2**31 - 1, "UINT32_MAX": 2**32 - 1,
            "INT64_MAX": 2**63 - 1, "UINT64_MAX": 2**64 - 1}


class Key:
    """A line of fields.def."""

    def __init__(self, line, numbers):
        self.kind, rest = re.fullmatch(r"\s*(\w+) \((.*)\)", line).groups()
        words = [word.strip() for word in rest.split(",")]
        self.name, self.required = words[1], words[-2] == "REQ"
        bounds = [numbers.get(w) if w in numbers else int(w) for w in words[2:-2]
                  if w in numbers or w.isdigit()]
        self.low = bounds[0] if self.kind == "U64" else 0
        self.high = bounds[-1] if bounds else 0

    def good(self):
        return {"U64": self.low, "BOOL": True, "F64": 1.5, "STR": "x", "KEY": "consilio",
                "U64S": [1], "ROWS": []}[self.kind]

    def faults(self):
        """(value as bytes, what is added to the key's name, detail)"""
        return {"U64": self.no_integer, "BOOL": self.no_boolean, "F64": self.no_figure,
                "STR": self.no_text, "KEY": self.no_project, "U64S": self.no_list,
                "ROWS": self.no_rows}[self.kind]()

    def no_integer(self):
        others = [None, True, "1", b"1", 1.0, float("nan"), [1], {"a": 1}]
        yield from ((pack(value), "", "expected an integer") for value in others)
        outside = [-1, -2**63, self.low - 1, self.high + 1, 2**63, 2**64 - 1]
        in_range = r"expected %d\.\.%d, got " % (self.low, self.high)
        for value in sorted({v for v in outside if not self.low <= v <= self.high and v < 2**64}):
            yield pack(value), "", in_range + "%d$" % value

    def no_boolean(self):
        others = [None, 0, 1, "true", b"\1", 1.0, [True], {}]
        yield from ((pack(value), "", "expected a boolean") for value in others)

    def no_figure(self):
        others = [None, True, "1.5", b"1", [1.5], {}]
        yield from ((pack(value), "", "expected a number") for value in others)
        for value in (float("nan"), float("inf"), float("-inf")):
            yield pack(value), "", "expected a finite number"
            yield b"\xca" + struct.pack(">f", value), "", "expected a finite number"

    def no_text(self):
        others = [None, True, 1, 1.5, b"x", ["x"], {"x": 1}]
        yield from ((pack(value), "", "expected a string") for value in others)
        yield from ((pack(value), "", "expected a string without NUL") for value in ("\0", "a\0b"))

    def no_project(self):
        yield from ((pack(value), "", "expected a string") for value in (None, True, 1, b"x", ["x"], {}))
        names = ["", ".", "..", "-a", "_a", "../a", "a/b", "a b", "a\n", "a\0b", "\u00e9", "\u212a",
                 "a\udcff", "a:b", "~", "$a"]
        yield from ((pack(name), "", r"not a project's name: expected \[a-z0-9\]") for name in names)
        yield pack("a" * 65), "", "expected at most 64 bytes, got 65"

    def no_list(self):
        yield from ((pack(value), "", "expected a list") for value in (None, True, 1, "1", b"1", 1.5, {}))
        yield from ((pack([1, value]), "[1]", "expected an integer")
                    for value in (None, True, "1", b"1", 1.0, [1], {}))
        yield from ((pack([1, 2, value]), "[2]", r"expected 1\.\..*, got %d$" % value) for value in (0, -1))
        yield pack([1] * (self.high + 1)), "", "expected at most %d items, got %d" % (self.high,
                                                                                      self.high + 1)

    def no_rows(self):
        yield from ((pack(value), "", "expected a list") for value in (None, True, 1, "1", b"1", 1.5, {}))
        yield from ((pack([value]), "[0]", "expected a map") for value in (None, True, 1, "1", b"1", 1.0, [1]))
        yield pack([{}] * (self.high + 1)), "", "expected at most %d items, got %d" % (self.high, self.high + 1)


def messages():
    """{verb: (from, [Key])}"""
    numbers, found = constants(), {}
    for verb, origin, lines in re.findall(r"^MESSAGE \((\w+), \w+, (\w+), \d+\)\n(.*?)^END",
                                          (PROTOCOL / "fields.def").read_text(), re.M | re.S):
        found[verb] = origin, [Key(line, numbers) for line in lines.splitlines() if line.strip()]
    return found


MESSAGES = messages()


def body_of(verb, but=None, value=None, **given):
    """What the verb requires; instead of key `but` these bytes, or nothing."""
    pairs = [pack("verb") + pack(verb)]
    for key in MESSAGES[verb][1]:
        if key.name == but:
            pairs += [pack(key.name) + value] if value is not None else []
        elif key.name in given:
            pairs.append(pack(key.name) + pack(given[key.name]))
        elif key.required:
            pairs.append(pack(key.name) + pack(key.good()))
    return b"\xde" + struct.pack(">H", len(pairs)) + b"".join(pairs)


def faults_of(verb):
    """(body, key of the ERROR, detail) of every fault that a key can have."""
    for key in MESSAGES[verb][1]:
        if key.required:
            yield body_of(verb, key.name), key.name, "^missing$"
        for value, item, detail in key.faults():
            yield body_of(verb, key.name, value), key.name + item, detail
