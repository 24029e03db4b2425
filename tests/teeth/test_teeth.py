# SPDX-License-Identifier: MPL-2.0
"""Every tooth fits the sources and is built (SConscript did that before this
began), and three of them are noticed; scripts/soak --teeth tries them all."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from teeth import HERE, Rotten, Tooth, teeth  # noqa: E402

OUT = os.environ["SLOTBUS_BIN"]
CHEAP = ("R4", "R5", "proof")  # found in one of the first seeds
CASES = []


def case(function):
    CASES.append(function)


def violations(program, seeds, seconds, *words):
    p = subprocess.run([program, "1", str(seeds), str(seconds), *words], stdin=subprocess.DEVNULL, text=True,
                       stdout=subprocess.PIPE, timeout=300)
    return [line for line in p.stdout.splitlines() if line.startswith("violation ")], p.returncode


@case
def every_tooth_is_built():
    missing = [tooth.name for tooth in teeth() if not os.access(tooth.program(OUT), os.X_OK)]
    assert not missing, "not built: %s" % " ".join(missing)
    assert len(teeth()) >= 20, "only %d teeth" % len(teeth())


@case
def a_tooth_that_does_not_fit_any_more_is_named():
    tooth = Tooth(os.path.join(HERE, "R3.tooth"))
    name = tooth.files()[0]
    for text in ("int changed;\n", 2 * tooth.cuts[0][1]):
        try:
            tooth.apply(name, text)
        except Rotten as e:
            assert "R3" in str(e) and name in str(e), e
        else:
            raise AssertionError("a rotten tooth bites")


@case
def with_all_rules_nothing_is_found():
    found, status = violations(os.path.join(OUT, "tests", "simulation", "soak"), 5, 60)
    assert not found and status == 0, found or status


@case
def what_is_removed_is_noticed():
    for name in CHEAP:
        tooth = Tooth(os.path.join(HERE, name + ".tooth"))
        found, status = violations(tooth.program(OUT), 40, 120, "stop")
        assert found or status < 0, "without %s nothing is found in 40 seeds" % name
        print("# %s: %s" % (name, found[0] if found else "signal %d" % -status))


def main():
    failed = 0
    print("1..%d" % len(CASES))
    for number, function in enumerate(CASES, 1):
        try:
            function()
        except AssertionError as e:
            print("# %s" % e)
            failed += 1
            print("not ok %d - %s" % (number, function.__name__))
        else:
            print("ok %d - %s" % (number, function.__name__))
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
