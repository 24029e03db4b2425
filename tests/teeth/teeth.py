# SPDX-License-Identifier: MPL-2.0
"""Teeth: one rule taken out of the product, to see whether the tests notice.

A tooth is a file NAME.tooth beside this one:

    removes: one sentence, which rule and what is wrong without it
    file: broker/core/broker.c
    take:
        if (gap > stall) {
    put:
        if (false) {

`take` is exact text, whole lines, and must be there exactly once; `put` comes
in its place. More than one cut: file, take and put again. Only .c files of what
the simulation is linked with. A text that is not there any more is an error:
whoever changes the rule's code moves its tooth along.

What no seed of the simulation can come to says who notices instead, after
`removes`:

    test: unit/broker-core/test_broker_sessions
"""
import os

HERE = os.path.dirname(os.path.abspath(__file__))


class Rotten(Exception):
    """A tooth that does not fit the sources any more."""


class Tooth:
    def __init__(self, path):
        self.path = path
        self.name = os.path.basename(path)[:-len(".tooth")]
        self.removes = ""
        self.test = "simulation/soak"
        self.cuts = []  # [file, take, put]
        self._read()

    def _read(self):
        part = None
        with open(self.path, encoding="utf-8") as lines:
            for line in lines:
                key = line.split(":")[0]
                if line.startswith("removes: "):
                    self.removes = line[len("removes: "):].strip()
                elif line.startswith("test: "):
                    self.test = line[len("test: "):].strip()
                elif line.startswith("file: "):
                    self.cuts.append([line[len("file: "):].strip(), "", ""])
                    part = None
                elif line in ("take:\n", "put:\n"):
                    part = 1 if key == "take" else 2
                elif part:
                    self.cuts[-1][part] += line
        if not self.removes or not self.cuts or not all(take for _, take, _ in self.cuts):
            raise Rotten("%s: no removes:, file: or take:" % self.path)

    def program(self, out):
        """Where its test is built."""
        return os.path.join(out, "tests", "teeth", self.name, os.path.basename(self.test))

    def files(self):
        """Each file that it changes, once."""
        return sorted({name for name, _, _ in self.cuts})

    def apply(self, name, text):
        """`text`, of the file `name`, without the rule."""
        for where, take, put in self.cuts:
            if where != name:
                continue
            if text.count(take) != 1:
                raise Rotten("tooth %s is rotten: its text is %d times in %s, not once; move it along:\n%s"
                             % (self.name, text.count(take), name, take))
            text = text.replace(take, put)
        return text


def teeth():
    """All of them, by name."""
    return [Tooth(os.path.join(HERE, name)) for name in sorted(os.listdir(HERE)) if name.endswith(".tooth")]
