#!/usr/bin/python3
# SPDX-License-Identifier: MPL-2.0
"""PROTOCOL.md says of every message what fields.def says, and of every error
what errors.def says; in TAP, with each difference named."""
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[3]
PROTOCOL = ROOT / "messages/protocol"
HEAD = ["key", "type", "unit", "required", "since", "meaning"]
# Which chapter of the page a message belongs to, by who sends it.
CHAPTERS = {"CLIENT": ("From a shim", "From people"), "BROKER": ("To a shim", "Answers"),
            "TOPIC": ("Topics",), "LOCAL": ("On the local socket",), "ROW": ("Rows",)}


def constants():
    header = (PROTOCOL / "message.h").read_text()
    numbers = dict(re.findall(r"\b((?:MAX|PAGE)_\w+) = (\d+)", header))
    numbers.update({"INT32_MAX": "2^31-1", "UINT32_MAX": "2^32-1",
                    "INT64_MAX": "2^63-1", "UINT64_MAX": "2^64-1"})
    return numbers


def key_of_line(line, numbers):
    """(key, type, unit, required, since) as the page should say them."""
    kind, text = re.fullmatch(r"\s*(\w+) \((.*)\)", line).groups()
    words = [numbers.get(w, w) for w in (w.strip().strip('"') for w in text.split(","))]
    key, middle, need, since = words[1], words[2:-2], words[-2], words[-1]
    form, unit = {
        "U64": lambda unit, low, high: ("u64 %s..%s" % (low, high), unit),
        "BOOL": lambda: ("bool", ""),
        "F64": lambda unit: ("f64", unit),
        "STR": lambda most: ("text " + most, ""),
        "KEY": lambda: ("key", ""),
        "U64S": lambda unit, most: ("list of u64, " + most, unit),
        "ROWS": lambda row, most: ("list of %s, %s" % (row, most), ""),
    }[kind](*middle)
    return key, form, unit, {"REQ": "yes", "OPT": "no"}[need], "1." + since


def in_code():
    """{heading: (origin, [keys])}"""
    numbers = constants()
    table = (PROTOCOL / "fields.def").read_text()
    found = {}
    for match in re.finditer(r"^(?:MESSAGE \((\w+), \w+, (\w+), \d+\)|ROW \((\w+)\))\n(.*?)^END",
                             table, re.M | re.S):
        verb, origin, row, body = match.groups()
        found[verb or "row " + row] = (origin or "ROW",
                                       [key_of_line(line, numbers) for line in body.splitlines() if line.strip()])
    return found


def cells(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def in_page(text):
    """{heading: (chapter, [keys])}, and {error: sentence} in their order."""
    messages, errors = {}, {}
    chapter = heading = None
    inside = False
    for line in text.splitlines():
        if line.startswith("## "):
            chapter, heading = line[3:], None
        elif line.startswith("### "):
            heading = line[4:]
            messages[heading] = (chapter, [])
        if not line.startswith("|"):
            inside = False
        elif cells(line) == HEAD and heading:
            inside = True
        elif inside and set(line) - set("|- "):
            messages[heading][1].append(tuple(cells(line)))
        elif chapter == "Errors" and re.match(r"\| [A-Z_]+ \|", line):
            errors[cells(line)[0]] = cells(line)[1]
    return messages, errors


def differences(code, chapter, rows):
    origin, keys = code
    if chapter not in CHAPTERS[origin]:
        yield "is in the chapter %r" % chapter
    said = {row[0]: row for row in rows}
    for key in keys:
        row = said.get(key[0])
        if row is None:
            yield "%s is missing" % key[0]
            continue
        for name, expected, got in zip(HEAD[1:], key[1:], row[1:]):
            if expected != got:
                yield "%s: %s is %r in the code, %r in the page" % (key[0], name, expected, got)
        if len(row) != len(HEAD) or not row[-1]:
            yield "%s: no meaning" % key[0]
    for key in said:
        if key not in [k[0] for k in keys]:
            yield "%s is not in the code" % key
    if [row[0] for row in rows] != [k[0] for k in keys]:
        yield "another order"


def main():
    code = in_code()
    page, errors = in_page((ROOT / "messages/PROTOCOL.md").read_text())
    expected = dict(re.findall(r'^ERROR \((\w+), "(.*)"\)', (PROTOCOL / "errors.def").read_text(), re.M))
    results = [("the page has no other messages", sorted(set(page) - set(code)))]
    for name in code:
        chapter, rows = page.get(name, (None, []))
        results.append(("%s is as in fields.def" % name, list(differences(code[name], chapter, rows))))
    results.append(("the errors are those of errors.def",
                    ["%s: %r, %r" % (e, expected.get(e), errors.get(e))
                     for e in {**expected, **errors} if expected.get(e) != errors.get(e)]
                    + ([] if list(expected) == list(errors) else ["another order"])))
    print("1..%d" % len(results))
    for number, (name, wrong) in enumerate(results, 1):
        print("%sok %d - %s" % ("not " if wrong else "", number, name))
        for line in wrong:
            print("# " + line)


main()
