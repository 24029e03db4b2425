# SPDX-License-Identifier: MPL-2.0
"""Thirty shims that come and go for SECONDS (2700): memory and descriptors of
the broker, and of a shim that stays, are what they were at the beginning.

Meant for a build with AddressSanitizer (SLOTBUS_FLAVOUR=asan), which also ends
a program at its first bad access, and complains at its end of what it lost.
"""
import os
import re
import signal
import statistics
import time

from campaign import Crew, Watch, dice, lasts, main, send
from harness import alive, wait_until

SHIMS = 30
NAMES = 60          # of projects: who comes next has the name of one who was
WARM = 120          # shims that came before anything is measured
SHORT = "sleep 0.%d; exit 7"
# Freed memory is given back soon; else it would be the sanitizer's that grows.
ENV = {"ASAN_OPTIONS": "quarantine_size_mb=4:malloc_context_size=5"}


class Sampled:
    """Memory and descriptors of a process, again and again."""

    def __init__(self, name, pid):
        self.name, self.pid, self.rows = name, pid, []

    def sample(self):
        with open("/proc/%d/status" % self.pid) as f:
            resident = int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))
        self.rows.append((resident, len(os.listdir("/proc/%d/fd" % self.pid))))

    def eighths(self):
        """Medians of (KiB, descriptors), one for each eighth of the time."""
        size = len(self.rows) // 8
        return [[statistics.median(column) for column in zip(*self.rows[i * size:(i + 1) * size])]
                for i in range(8)]

    def judge(self):
        """A tenth and 4 MiB more, or five descriptors, are the work at hand."""
        eighths = self.eighths()
        print("# %s: KiB and descriptors: %s" % (
            self.name, ", ".join("%d %d" % tuple(e) for e in eighths)), flush=True)
        first, last = ([max(column) for column in zip(*part)] for part in (eighths[:2], eighths[-2:]))
        assert last[0] < 1.1 * first[0] + 4096, self.name
        assert last[1] < first[1] + 5, self.name


class Crowd:
    def __init__(self, place, random):
        self.place, self.random, self.crews, self.lives = place, random, [], 0

    def come(self):
        taken = {c.name for c in self.crews}
        name = self.random.choice([n for n in ("p%d" % i for i in range(NAMES)) if n not in taken])
        self.lives += 1
        crew = Crew(self.place, name)
        for _ in range(self.random.randrange(1, 4)):
            crew.run(SHORT % self.random.randrange(1, 9) if self.random.random() < 0.7 else "exec sleep 600")
        self.crews.append(crew)

    def go(self):
        """By itself, or killed: the supervisor, or its shim and then it."""
        crew = self.crews.pop(self.random.randrange(len(self.crews)))
        how = self.random.choice(["leave", "supervisor", "shim"])
        if how == "shim" and any("running" in l or "ended" in l for l in crew.shell.lines["stdout"]):
            send(signal.SIGKILL, [crew.shim()])
        if how == "leave":
            crew.dismiss()
        else:
            send(signal.SIGKILL, [crew.shell.pid])
        crew.shell.wait_exit()
        self.place.started.remove(crew.shell)
        for name in os.listdir(self.place.path):
            if name.startswith(crew.name + "-") and name.endswith(".sh"):
                os.unlink(os.path.join(self.place.path, name))

    def turn(self):
        if len(self.crews) < SHIMS:
            self.come()
        else:
            self.go()


def forget_lines(program):
    """What was logged is looked at and let go: it would be this test that
    grows."""
    lines = program.lines["stderr"]
    bad = [line for line in lines if re.search(r"Sanitizer|\] (above_mark|host_conflict|damaged|bug) ", line)]
    assert not bad, bad
    del lines[:-50]


def soak(place, count, seconds=None):
    seconds = float(os.environ.get("SECONDS", 2700)) if seconds is None else seconds
    for _ in range(count):
        place.env.update(ENV)
        place.configure(max_slots=SHIMS * 2, max_per_project=4, timing={
            "beat": "500ms", "ttl": "10s", "lock_delay": "2s"})
        broker = place.broker()
        watch = Watch(place, broker)
        steady = Crew(place, "steady")
        steady.run("exec sleep 100000")
        wait_until(lambda: watch.settled("steady", 1), "one that stays")
        watched = [Sampled("broker", broker.pid), Sampled("a shim", steady.shim())]
        crowd, over, due = Crowd(place, dice()), None, 0.0
        while over is None or not over():
            crowd.turn()
            if crowd.lives % 3 == 0:
                steady.run("exit 7")
            watch.check()
            if crowd.lives < WARM:
                continue
            over = over or lasts(seconds)
            if time.monotonic() > due:
                due = time.monotonic() + seconds / 400
                for w in watched:
                    w.sample()
                forget_lines(broker)
            wait_until(lasts(0.1), "a breath")
        print("# %d shims came" % crowd.lives, flush=True)
        while crowd.crews:
            crowd.go()
        wait_until(lambda: watch.status().get("in_use") == 1, "all but one slot are free", 60)
        assert all(alive(w.pid) for w in watched)
        steady.dismiss()
        wait_until(lambda: not watch.status().get("in_use"), "all slots are free")
        broker.signal(signal.SIGTERM)
        assert broker.wait_exit(60) == 0, broker.text()
        forget_lines(broker)
        for w in watched:
            w.judge()


if __name__ == "__main__":
    main(soak)
