# SPDX-License-Identifier: MPL-2.0
"""usage: agent.py FOLDER SEED NUMBER ATTEMPT leaks|sound

One agent: real memory, touched and held, and real CPU. It works in phases,
mostly waiting as agents do, and ends with 0 when its work is done. What that
is, follows from SEED and NUMBER alone (class Plan). One that leaks never gets
beyond the middle, and grows without end.

SIGUSR1 is a notice: it saves its state in FOLDER/checkpoint and works no more,
since it is about to be ended. SIGTERM: it saves, if it has not, and ends. The
next attempt goes on where the checkpoint was taken.
"""
import json
import mmap
import os
import random
import signal
import sys
import time

MIB = 1 << 20
STEP = 0.010            # seconds of CPU; then it waits
SAVING = 0.020          # seconds of CPU that a save takes
LOADING = 20            # MiB/s: what was saved is read back
CHECKPOINT = "checkpoint"


class Plan:
    """How much memory at which part of the work, and how much work that is."""

    def __init__(self, seed, number):
        rng = random.Random("%d/%d" % (seed, number))
        peak = rng.uniform(30, 140)
        self.levels = [rng.uniform(0.2, 1.0) * peak for _ in range(rng.randint(3, 5))]
        self.levels[rng.randrange(1, len(self.levels))] = peak
        busy = rng.uniform(0.04, 0.08)          # the rest it waits
        self.wait = STEP / busy - STEP
        self.steps = int(rng.uniform(16, 32) * busy / STEP)

    def mib(self, step):
        """From level to level, the first from nothing."""
        at = step / self.steps * len(self.levels)
        phase = min(int(at), len(self.levels) - 1)
        before = self.levels[phase - 1] if phase else 0
        return before + (self.levels[phase] - before) * (at - phase)


class Memory:
    """MiB of its own, each page written to."""

    def __init__(self):
        self.held = []

    def hold(self, mib):
        while len(self.held) > mib:
            self.held.pop().close()
        while len(self.held) < int(mib):
            self.held.append(mmap.mmap(-1, MIB, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
            self.held[-1][:] = b"agent..." * (MIB // 8)


def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        sum(range(1000))


class Agent:
    SIGNALS = (signal.SIGUSR1, signal.SIGTERM)

    def __init__(self, folder, attempt):
        self.path = os.path.join(folder, CHECKPOINT)
        self.attempt = attempt
        self.memory = Memory()
        self.step = 0
        self.began = 0.0        # process time
        self.saved = False
        signal.pthread_sigmask(signal.SIG_BLOCK, self.SIGNALS)  # taken in rest ()
        with open(os.path.join(folder, "pid"), "w") as f:
            f.write(str(os.getpid()))

    def load(self):
        try:
            with open(self.path) as f:
                self.step = json.load(f)["step"]
        except FileNotFoundError:
            pass

    def save(self):
        """`cpu_s` of work are not lost with this attempt: to start and to read
        back are."""
        state = {"attempt": self.attempt, "step": self.step, "cpu_s": time.process_time() - self.began if self.began else 0}
        burn(SAVING)
        with open(self.path + ".new", "w") as f:
            json.dump(state, f)
        os.replace(self.path + ".new", self.path)
        self.saved = True

    def rest(self, seconds):
        """Waits. Once it was told that it will be ended it has saved its state
        and only waits for that."""
        told = signal.sigtimedwait(self.SIGNALS, seconds)
        while told:
            if not self.saved:
                self.save()
            if told.si_signo == signal.SIGTERM:
                sys.exit(128 + signal.SIGTERM)
            told = signal.sigwaitinfo(self.SIGNALS)

    def read_back(self, mib):
        for size in range(1, int(mib) + 1):
            self.memory.hold(size)
            self.rest(1 / LOADING)

    def work(self, plan, leaks):
        self.load()
        self.read_back(plan.mib(self.step))
        self.began = time.process_time()
        while self.step < plan.steps:
            if leaks and self.step >= plan.steps // 2:
                self.memory.hold(len(self.memory.held) + 1)
            else:
                self.memory.hold(plan.mib(self.step))
                self.step += 1
            burn(STEP)
            self.rest(plan.wait)


def main(folder, seed, number, attempt, leaks):
    agent = Agent(folder, int(attempt))
    agent.work(Plan(int(seed), int(number)), leaks == "leaks")


if __name__ == "__main__":
    main(*sys.argv[1:])
