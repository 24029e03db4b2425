# SPDX-License-Identifier: MPL-2.0
"""campaign - one fault, many times over, on real programs

A file here defines functions of (place, count); its main () makes a program:

    SLOTBUS_BIN=build/debug-gcc tests/exec tests/faults/brokers.py killed 200

runs one campaign so many times, `all` runs each of them. FROM=seed chooses
the dice. The last line is what scripts/soak reads; exit status 0: all that was
promised held. The cases of tests/e2e call the same functions with small
counts.
"""
import os
import random
import re
import signal
import sys
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

from agents import Supervisor
from harness import Place, Skip, alive
from slotbus_client import Client

# Three generations, one of them with a session of its own and one forked
# twice. It costs nothing while it lives, and ends with $2 when a line comes
# out of the fifo $1.
TREE = r"""
setsid sh -c 'sleep 600 & wait' </dev/null >/dev/null 2>&1 &
( ( sh -c 'sleep 600 & wait' </dev/null >/dev/null 2>&1 & ) & )
sh -c 'sh -c "sleep 600 & wait" & wait' &
echo running $$
read -r _ <"$1"
exit $2
"""
TREE_NAMES = ["sh"] * 5 + ["sleep"] * 3     # of its processes, sorted


def dice():
    return random.Random(int(os.environ.get("FROM", 1)))


def spread(what, seconds):
    """Print what was measured; it is judged by nobody."""
    ms = sorted(1000 * s for s in seconds)
    print("# %s: n=%d median %.1f ms, p99 %.1f ms, most %.1f ms" % (
        what, len(ms), ms[len(ms) // 2], ms[min(len(ms) - 1, len(ms) * 99 // 100)], ms[-1]), flush=True)


def lasts(seconds):
    """For wait_until: true once so much time has passed. For what has no
    event, such as how long something is stopped."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end


def send(number, pids):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def kill_as_one(pids):
    """None of them sees another one end."""
    send(signal.SIGSTOP, pids)
    send(signal.SIGKILL, pids)


class Fifo:
    """Where an agent waits for a line."""

    def __init__(self, place):
        self.path = os.path.join(place.path, "fifo-%016x" % random.getrandbits(64))
        os.mkfifo(self.path)

    def release(self):
        # opened for both, so that nobody has to read just now
        fd = os.open(self.path, os.O_RDWR)
        os.write(fd, b"\n")
        return fd


class Crew(Supervisor):
    """A supervisor whose agents are TREEs that end when they are let go."""

    def __init__(self, place, name):
        Supervisor.__init__(self, place, name)
        self.fifos, self.open = {}, []

    def agent(self, script=TREE, status=0, options=""):
        fifo = Fifo(self.place)
        number = self.run(script, go=fifo.path, status=status, options=options)
        self.fifos[number] = fifo
        return number

    def let_go(self, number):
        """It ends by itself, with its own status."""
        self.open.append(self.fifos.pop(number).release())

    def dismiss(self):
        """The supervisor ends, and all of its own with it."""
        for fd in self.open:
            os.close(fd)
        self.open = []
        self.shell.process.stdin.close()


def name_of(pid):
    try:
        with open("/proc/%d/comm" % pid) as f:
            return f.read().strip()
    except OSError:
        return ""


class Watch:
    """What the broker says beside what the kernel says."""

    def __init__(self, place, broker):
        self.client = Client(place.endpoint)
        place.at_end(self.client.close)
        self.mark = ("SLOTBUS_COOKIE=%s:" % broker.wait_line(r"\bbroker=(\w+)").group(1)).encode()

    def status(self):
        return self.client.status()

    def processes(self):
        """{pid: (first token, slots)} of all that lives under this broker."""
        found = {}
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/environ" % name, "rb") as f:
                    whole = f.read()
            except OSError:
                continue
            at = whole.find(self.mark)
            if at < 0 or not alive(int(name)):
                continue
            token = int(whole[at + len(self.mark):].split(b"\0", 1)[0])
            slots = re.search(rb"\0SLOTBUS_SLOTS=(\d+)\0", b"\0" + whole)
            found[int(name)] = token, int(slots.group(1)) if slots else 1
        return found

    def trees(self):
        """{first token: [pids]}"""
        found = {}
        for pid, (token, _) in self.processes().items():
            found.setdefault(token, []).append(pid)
        return found

    def whole(self, rows, names):
        """{token: [pids]} of these agents once exactly such processes are
        there; None while any is missing, or another is on its way to be one
        of them."""
        trees = self.trees()
        mine = {a["token"]: trees.get(a["token"], []) for a in rows}
        return mine if all(sorted(map(name_of, pids)) == names for pids in mine.values()) else None

    def check(self):
        """I2, I4, I6 and I7 at one instant; the snapshot is returned."""
        before = self.processes()
        seen = self.status()
        after = self.processes()
        agents = seen.get("agents", [])
        tokens = {a["token"] for a in agents}
        assert seen.get("in_use", 0) == len(agents) == len(tokens), seen
        assert len(agents) == sum(p.get("held", 0) + p.get("limbo", 0) for p in seen["projects"]), seen
        for p in seen["projects"]:
            assert p.get("held", 0) + p.get("limbo", 0) <= p["max"], p
        assert len(agents) <= seen["max_slots"], seen
        # what lived before and after it lived in between
        trees = {what for pid, what in before.items() if after.get(pid) == what}
        for first, slots in trees:
            missing = set(range(first, first + slots)) - tokens
            assert not missing, ("live, and not counted", missing, seen, before, after)
        assert sum(slots for _, slots in trees) <= seen["max_slots"], trees
        return seen

    def counted(self, name):
        """Tokens of the project that count as held."""
        return {a["token"] for a in self.status().get("agents", []) if a["project"] == name}

    def settled(self, name, count):
        """So many agents of the project run, and are known to: their rows."""
        rows = [a for a in self.status().get("agents", []) if a["project"] == name]
        return len(rows) == count and all(a["state"] == "active" and a.get("pid") for a in rows) and rows

    def slots_return(self, name, trees, within=2.0, deadline=30):
        """Wait until the project's trees ({token: [pids]}) are gone and free,
        each slot never before its last process has ended, nor later than
        `within` after that (L3): who asks later is told so, and how long it takes
        to ask is no part of it. Returns how long the last one took."""
        ends, took, end = {}, 0.0, time.monotonic() + deadline
        left = set(trees)
        while left:
            for token in left:
                if token not in ends and not any(map(alive, trees[token])):
                    ends[token] = time.monotonic()
            asked = time.monotonic()
            held = self.counted(name)
            now = time.monotonic()
            for token in left - held:
                living = [pid for pid in trees[token] if alive(pid)]
                assert not living, ("free, and it lives", token, living)
                took = max(took, now - ends.get(token, now))
            left &= held
            late = [t for t in left if t in ends and asked - ends[t] > within]
            assert not late, ("gone for %g s, and not free" % within, late)
            assert now < end, ("never end", left, [p for t in left for p in trees[t] if alive(p)])
            time.sleep(0.002)
        return took


def check_logs(brokers):
    """I1 and I3 over all brokers of one place, from their logs: tokens
    and epochs rise, a pool is never overdrawn, nothing was unheard of."""
    token = epoch = 0
    for broker in brokers:
        former = epoch
        for line in broker.lines["stderr"]:
            ready = re.search(r"\] ready .*\bepoch=(\d+)", line)
            if ready:
                assert int(ready.group(1)) > former, (former, line)
                epoch = int(ready.group(1))
            grant = re.search(r"\] grant .*\btoken=(\d+)(?:-(\d+))? in_use=(\d+)/(\d+)", line)
            if grant:
                first, last, used, most = grant.groups()
                assert int(first) > token, (token, line)
                assert int(used) <= int(most), line
                token = int(last or first)
            assert not re.search(r"\] (above_mark|host_conflict|damaged|bug) |Sanitizer", line), line
    return epoch, token


def lost(brokers):
    return [line for b in brokers for line in b.lines["stderr"] if "] lost " in line]


def run_one(campaign, count):
    """(done, passed): what cannot be run here is not done."""
    place = Place()
    began = time.monotonic()
    try:
        campaign(place, count)
        print("ok %s %d (%.0f s)" % (campaign.__name__, count, time.monotonic() - began), flush=True)
        return count, count
    except Skip as why:
        print("skipped %s: %s" % (campaign.__name__, why), flush=True)
        return 0, 0
    except BaseException as why:
        print("not ok %s %d" % (campaign.__name__, count))
        for line in traceback.format_exc().splitlines():
            print("#  " + line)
        place.report()
        sys.stdout.flush()
        if not isinstance(why, Exception):
            raise
        return count, 0
    finally:
        place.clean()


def main(*campaigns):
    """The program: NAME COUNT"""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    name, count = (sys.argv[1:] + ["", ""])[:2]
    chosen = [c for c in campaigns if name in (c.__name__, "all")]
    if not chosen or not count.isdigit():
        sys.exit("NAME COUNT, of: all " + " ".join(c.__name__ for c in campaigns))
    results = [run_one(c, int(count)) for c in chosen]
    done, passed = map(sum, zip(*results))
    print("done=%d passed=%d" % (done, passed))
    sys.exit(passed < done)
