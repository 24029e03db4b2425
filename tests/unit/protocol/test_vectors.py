#!/usr/bin/python3
# SPDX-License-Identifier: MPL-2.0
"""The examples in messages/vectors, read by another implementation.

NAME.json says what a message holds, NAME.hex its bytes. This test packs and
unpacks them with python3-msgpack, which shares no code with the codec;
test_vectors.c does the same with the codec. A vector that both agree on is
right.

    test_vectors.py            checks, in TAP
    test_vectors.py --write    writes the .hex files, and the fuzzer's corpus,
                               anew from the .json files
"""
import json
import pathlib
import re
import sys

import msgpack

ROOT = pathlib.Path(__file__).resolve().parents[3]
VECTORS = ROOT / "messages/vectors"
CORPUS = ROOT / "tests/fuzz/corpus/decode"


def verbs():
    table = (ROOT / "messages/protocol/fields.def").read_text()
    return re.findall(r"^MESSAGE \((\w+),", table, re.M)


def without_comments(text):
    return bytes.fromhex(re.sub(r"#.*", "", text))


def commented(value, indent=""):
    """The lines of a map: its head, then a line for each key."""
    def line(data, comment):
        return "%s%s  # %s\n" % (indent, data.hex(" "), comment)

    text = line(msgpack.Packer().pack_map_header(len(value)), "map of %d" % len(value))
    for key, item in value.items():
        if isinstance(item, list) and item and isinstance(item[0], dict):
            head = msgpack.packb(key) + msgpack.Packer().pack_array_header(len(item))
            text += line(head, "%s: list of %d" % (key, len(item)))
            text += "".join(commented(row, indent + "  ") for row in item)
        else:
            text += line(msgpack.packb(key) + msgpack.packb(item),
                         "%s: %s" % (key, json.dumps(item, ensure_ascii=False)))
    return text


def write():
    for path in sorted(VECTORS.glob("*.json")):
        text = commented(json.loads(path.read_text()))
        path.with_suffix(".hex").write_text(text)
        (CORPUS / path.stem).write_bytes(without_comments(text))


def wrong_with(verb):
    """What is wrong with the vector of a verb, or None."""
    said = json.loads((VECTORS / (verb + ".json")).read_text())
    data = without_comments((VECTORS / (verb + ".hex")).read_text())
    if said.get("verb") != verb or next(iter(said)) != "verb":
        return "the first key is not verb: %s" % verb
    if msgpack.unpackb(data) != said:
        return "the bytes say %r" % msgpack.unpackb(data)
    if msgpack.packb(said) != data:
        return "packed, it is %s" % msgpack.packb(said).hex(" ")
    if (CORPUS / verb).read_bytes() != data:
        return "the fuzzer's corpus has another: run this with --write"
    return None


def main():
    if sys.argv[1:] == ["--write"]:
        return write()
    expected = verbs()
    print("1..%d" % (len(expected) + 1))
    there = sorted(path.stem for path in VECTORS.glob("*.hex"))
    print("%sok 1 - every message has a vector and every vector a message"
          % ("" if there == sorted(expected) else "not "))
    for number, verb in enumerate(expected, 2):
        try:
            wrong = wrong_with(verb)
        except Exception as error:
            wrong = repr(error)
        print("%sok %d - %s reads the same elsewhere" % ("not " if wrong else "", number, verb))
        if wrong:
            print("# " + wrong)
    return None


main()
