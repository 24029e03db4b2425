# SPDX-License-Identifier: MPL-2.0
"""Faults that come at a bad moment, several at once, or on purpose.

First what went wrong once, as stories; then a few turns of each campaign of
tests/faults, which has hundreds; then storms: random kills and stops of
everything under load, by a seed that is printed. FROM=seed SEEDS=n choose the
storms, SECONDS=n how long each lasts.
"""
import fcntl
import os
import random
import re
import shutil
import signal
import sys
import time

import msgpack
import zmq

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "faults"))

import brokers
import kills
import processes

from agents import AGENT, Supervisor, agents, agents_of, keepers, project, status, trees
from harness import SHORT, alive, case, main, program, wait_until
from slotbus_client import MAGIC, read_line

# Leaves the session, and cleans its environment: no cookie tells whose it is.
BARE = r"""
env -i setsid sh -c 'echo bare $$; exec sleep 600' &
echo running $$
wait
"""


def without_cgroups(place):
    """As where the machine lets an ordinary user make none."""
    path = os.path.join(place.path, "keeper")
    with open(path, "w") as f:
        f.write("#!/bin/sh\nexec %s --no-cgroup \"$@\"\n" % program("slotbus-keeper"))
    os.chmod(path, 0o755)
    place.env["SLOTBUS_KEEPER"] = path


def parent(pid):
    return int(read_line("/proc/%d/stat" % pid).rsplit(")", 1)[1].split()[1])


def all_at_once(pids):
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            os.kill(pid, number)


def counted(place):
    seen = project(place, "consilio")
    return seen["held"] + seen["limbo"] if seen else 0


def end_of(pid):
    if alive(pid):
        os.kill(pid, signal.SIGKILL)


def bare_agent(place):
    """A supervisor, its keeper, and the agent's process without a cookie."""
    without_cgroups(place)
    _, supervisor = agents(place, 1, BARE)
    bare = int(supervisor.shell.wait_line(r"^bare (\d+)$", "stdout").group(1))
    place.at_end(end_of, bare)
    keeper, = keepers(place, "consilio")
    return supervisor, keeper, bare


def free_when_gone(place, pid):
    def free():
        lived = alive(pid)
        if counted(place):
            return False
        assert not alive(pid), "its slot is free, and it lives"
        return not lived
    wait_until(free, "the slot of who cleaned its environment is free")


@case
def who_cleaned_its_environment_does_not_outlive_keeper_and_run(place):
    _, keeper, bare = bare_agent(place)
    all_at_once([keeper, parent(keeper)])
    free_when_gone(place, bare)
    assert not os.listdir(os.path.join(place.runtime, "witness"))


@case
def nor_does_it_outlive_keeper_run_and_shim(place):
    supervisor, keeper, bare = bare_agent(place)
    all_at_once([keeper, parent(keeper), supervisor.shim()])
    free_when_gone(place, bare)


@case
def a_stopped_keeper_ends_its_tree_when_that_is_killed(place):
    _, supervisor = agents(place, 1)
    keeper, = keepers(place, "consilio")
    os.kill(keeper, signal.SIGSTOP)
    code, out, err = place.run("slotbus", "kill", "consilio")
    assert code == 0 and "1 slot released" in out, (code, out, err)
    assert supervisor.ended(1) == 128 + signal.SIGTERM


@case
def a_stopped_keeper_of_a_killed_shim_holds_no_slot(place):
    _, supervisor = agents(place, 1)
    keeper, = keepers(place, "consilio")
    os.kill(keeper, signal.SIGSTOP)
    os.kill(supervisor.shim(), signal.SIGKILL)
    wait_until(lambda: not counted(place), "its slot is free")
    assert not trees(place)
    assert supervisor.ended(1) != 0


@case
def a_shim_whose_lock_was_removed_gives_way_to_its_successor(place):
    _, supervisor = agents(place, 1)
    old = supervisor.shim()
    shutil.rmtree(os.path.join(place.runtime, "projects"))
    supervisor.run("exit 6")
    assert supervisor.ended(2) == 6
    wait_until(lambda: not alive(old), "the old shim has ended")
    # the new one has lost neither its session nor its socket by that
    assert supervisor.shim() != old
    supervisor.run("exit 7")
    assert supervisor.ended(3) == 7


@case
def who_waits_carries_on_when_the_shim_is_killed(place):
    _, supervisor = agents(place, 2, max_slots=2)
    waiting = supervisor.run("exit 8")
    wait_until(lambda: status(place)["queue"], "one waits")
    old = supervisor.shim()
    os.kill(old, signal.SIGKILL)
    assert supervisor.ended(waiting) == 8


@case
def clients_that_flood_and_never_read_cost_others_nothing(place):
    broker, supervisor = agents(place, 1)
    context = zmq.Context()
    place.at_end(context.destroy, 0)
    flooders = []
    for _ in range(10):
        flooder = context.socket(zmq.DEALER)
        flooder.set(zmq.RCVHWM, 1)
        flooder.set(zmq.LINGER, 0)
        flooder.connect(place.endpoint)
        flooders.append(flooder)
    bodies = [msgpack.packb({"verb": "STATUS"}), b"\xc1", os.urandom(60),
              msgpack.packb({"verb": "HELLO", "nonce": 5, "project": "x", "boot": "b",
                             "machine": "m", "host": "h"})]

    def flood():
        for flooder in flooders:
            for body in bodies * 5:
                try:
                    flooder.send_multipart([MAGIC, body], zmq.DONTWAIT)
                except zmq.Again:
                    break
    end = time.monotonic() + 2      # forty times the beat: nobody is suspected
    wait_until(lambda: time.monotonic() > end, "the flood", meanwhile=flood)
    number = supervisor.run("exit 4")
    wait_until(lambda: "ended %d 4" % number in supervisor.shell.lines["stdout"],
               "a run ends under the flood", meanwhile=flood)
    assert alive(supervisor.started(1)[0]) and not re.search(r"\] lost ", broker.text())
    resident = int(re.search(r"VmRSS:\s+(\d+)", open("/proc/%d/status" % broker.pid).read()).group(1))
    print("# the broker has %d KiB" % resident)
    assert resident < 100 << 10 or os.environ.get("SLOTBUS_FLAVOUR") == "asan"


@case
def who_reads_the_brokers_log_may_stop(place):
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    place.at_end(os.close, reading)
    place.broker(ready=False, preexec=lambda: os.dup2(writing, 2))
    os.close(writing)
    wait_until(lambda: place.run("slotbus", "status")[0] == 0, "the broker serves")
    supervisor = Supervisor(place, "consilio")
    for code in range(30):      # some 200 lines
        number = supervisor.run("exit %d" % code)
        assert supervisor.ended(number) == code


# ---- campaigns ----

@case
def agents_live_through_many_kills_of_the_broker_under_load(place):
    brokers.killed(place, 6)


@case
def no_stop_of_the_broker_loses_a_session(place):
    brokers.stopped(place, 1, stops=(2 / 60, 0.5, 65 / 60))


@case
def a_herd_returns_to_each_new_broker(place):
    brokers.herd(place, 2, size=300)


@case
def slots_of_killed_shims_are_free_when_the_last_process_ended(place):
    processes.shims_killed(place, 3)


@case
def slots_of_killed_keepers_are_free_when_the_last_process_ended(place):
    processes.keepers_killed(place, 3)


@case
def slots_of_both_are_free_when_the_last_process_ended(place):
    processes.both_killed(place, 2)


@case
def a_stopped_shim_overcommits_nothing(place):
    processes.shims_stopped(place, 2)


@case
def a_stopped_keeper_overcommits_nothing(place):
    processes.keepers_stopped(place, 2)


@case
def stopped_agents_overcommit_nothing(place):
    processes.agents_stopped(place, 1)


def killed_once(kind):
    def run(place):
        kind(place, 1)
    run.__name__ = "killed_and_counted_" + kind.__name__
    return run


for each in kills.CAMPAIGNS:
    case(killed_once(each))


# ---- storms ----

LOAD = ["sleep 0.0%d; exit %d", "trap '' TERM; sleep 0.0%d; exit %d",
        "setsid sleep 60 & ( ( sleep 60 & ) & ); sleep 0.0%d; exit %d",
        "env -i setsid sleep 60 & sleep 0.0%d; exit %d"]
POOL = 3


def environ(pid):
    try:
        with open("/proc/%d/environ" % pid, "rb") as f:
            return f.read().split(b"\0")
    except OSError:
        return []


class Storm:
    """Eight supervisors of four projects with five runs each, three slots."""

    def __init__(self, place, seed, what):
        self.place, self.seed, self.what = place, seed, what
        self.random = random.Random(seed)
        self.strict = what == ["KILL broker"]   # then no run may notice
        self.stopped, self.hits, self.ended, self.begun = {}, 0, 0, 0
        place.configure(max_slots=POOL, max_per_project=POOL, timing={} if self.strict else SHORT)
        self.start_broker()
        self.supervisors = [self.supervisor(i) for i in range(8)]
        place.at_end(self.clean)

    def start_broker(self):
        self.broker = self.place.broker()
        self.mark = b"SLOTBUS_COOKIE=%s:" % self.broker.wait_line(
            r"\bbroker=(\w+)").group(1).encode()

    def supervisor(self, i):
        s = Supervisor(self.place, "p%d" % (i % 4))
        s.number, s.open, s.read = i, {}, 0
        self.begun += 1
        s.runs = 10000 * self.begun     # each run has a script of its own
        return s

    # -- load --

    def load(self, s):
        code = self.random.randrange(50)
        script = self.random.choice(LOAD) % (self.random.randrange(1, 9), code)
        slots = 2 if self.random.random() < 0.2 else 1
        try:
            s.open[s.run(script, options="-n %d" % slots)] = code
        except OSError:
            pass    # it was killed just now

    def collect(self, s):
        lines = s.shell.lines["stdout"]
        while s.read < len(lines):
            found = re.match(r"ended (\d+) (\d+)", lines[s.read])
            s.read += 1
            if not found:
                continue
            number, got = int(found.group(1)), int(found.group(2))
            expected = s.open.pop(number)
            self.ended += 1
            assert got == expected or not self.strict, (got, expected)

    # -- faults --

    def victims(self, kind):
        if kind == "broker":
            return [self.broker.pid]
        if kind == "supervisor":
            return [self.random.choice(self.supervisors).shell.pid]
        word = {"keeper": b"--shim", "shim": b"shim", "run": b"run"}[kind]
        home = b"SLOTBUS_RUNTIME_DIR=" + self.place.runtime.encode()
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/cmdline" % name, "rb") as f:
                    words = f.read().split(b"\0")
            except OSError:
                continue
            if os.path.basename(words[0]) in (b"slotbus", b"slotbus-keeper") \
                    and words[1:2] == [word] and home in environ(int(name)):
                found.append(int(name))
        return found

    def hit(self):
        number, kind = self.random.choice(self.what).split()
        victims = self.victims(kind)
        count = 1 if self.random.random() < 0.6 else self.random.randrange(1, 9)
        for pid in self.random.sample(victims, min(count, len(victims))):
            try:
                os.kill(pid, getattr(signal, "SIG" + number))
            except ProcessLookupError:
                continue
            self.hits += 1
            if number == "STOP":
                self.stopped[pid] = time.monotonic() + self.random.choice([0.02, 0.2, 1, 2.5])

    def wake(self, everybody=False):
        for pid, until in list(self.stopped.items()):
            if everybody or time.monotonic() > until:
                del self.stopped[pid]
                try:
                    os.kill(pid, signal.SIGCONT)
                except ProcessLookupError:
                    pass

    def mend(self):
        ended = self.broker.process.poll()
        assert ended in (None, -signal.SIGKILL), (ended, self.broker.text()[-2000:])
        if ended:
            assert not re.search(r"above_mark|host_conflict|Sanitizer", self.broker.text())
            self.start_broker()
        for s in self.supervisors:
            if s.shell.process.poll() is not None:
                self.supervisors[s.number] = self.supervisor(s.number)

    # -- what must hold --

    def slots_alive(self):
        """{first token: slots} of trees that all lived at one instant: seen in
        a first look, and still there in a second one."""
        seen, again = {}, {}
        for name in filter(str.isdigit, os.listdir("/proc")):
            for entry in environ(int(name)):
                if entry.startswith(self.mark):
                    seen[int(name)] = entry
        for pid, entry in seen.items():
            entries = environ(pid)
            if entry in entries:
                slots = [e[14:] for e in entries if e.startswith(b"SLOTBUS_SLOTS=")]
                again[entry[len(self.mark):]] = int((slots or [b"1"])[0])
        return again

    def check(self):
        trees = self.slots_alive()
        assert sum(trees.values()) <= POOL, trees

    # -- all of it --

    def turn(self, loading):
        for s in self.supervisors:
            self.collect(s)
            while loading and len(s.open) < 5 and s.shell.process.poll() is None:
                self.load(s)
        self.check()
        self.wake()
        self.mend()

    def rage(self, seconds):
        end, next_hit = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            if time.monotonic() > next_hit:
                self.hit()
                next_hit = time.monotonic() + self.random.expovariate(12)
            self.turn(True)

    def settle(self):
        """It calms down: whatever was asked for ends, and all is given back."""
        self.wake(everybody=True)
        wait_until(lambda: not any(s.open for s in self.supervisors), "all runs end",
                   60, meanwhile=lambda: self.turn(False))
        for s in self.supervisors:
            s.shell.process.stdin.close()
        wait_until(lambda: not any(p["held"] + p["limbo"] for p in status(self.place)["projects"]),
                   "all slots return")
        assert not self.slots_alive()
        wait_until(lambda: not self.victims("keeper") + self.victims("shim"),
                   "keepers and shims end")

    def clean(self):
        self.wake(everybody=True)
        for kind in ("run", "keeper", "shim"):
            for pid in self.victims(kind):
                end_of(pid)


EVERYTHING = ["KILL broker", "KILL shim", "KILL keeper", "KILL run", "KILL supervisor",
              "STOP broker", "STOP shim", "STOP keeper", "STOP run", "TERM keeper", "TERM run"]


def remove_nameless_cgroups():
    """A keeper that is killed between making its cgroup and saying so leaves
    an empty folder whose name nobody was told: of dead keepers, those."""
    with open("/proc/self/mountinfo") as f:
        mount = next((line.split()[4] for line in f if " - cgroup2 " in line), None)
    with open("/proc/self/cgroup") as f:
        own = next((line[3:].strip() for line in f if line.startswith("0::")), None)
    if mount is None or own is None:
        return
    for name in os.listdir(mount + own):
        keeper = re.match(r"slotbus-\d+-(\d+)-", name)
        if keeper and not alive(int(keeper.group(1))):
            try:
                os.rmdir(os.path.join(mount + own, name))
            except OSError:
                pass                # a tree is in it, or its shim was quicker


def storms(place, what, seconds, first):
    first = int(os.environ.get("FROM", first))
    for seed in range(first, first + int(os.environ.get("SEEDS", 1))):
        storm = Storm(place, seed, what)
        print("# seed %d" % seed, flush=True)
        storm.rage(float(os.environ.get("SECONDS", seconds)))
        storm.settle()
        print("# %d hits, %d runs ended" % (storm.hits, storm.ended))
        storm.broker.end()
    remove_nameless_cgroups()


@case
def no_run_notices_that_the_broker_is_killed_again_and_again(place):
    storms(place, ["KILL broker"], 4, 1)


@case
def nothing_is_overcommitted_or_lost_in_a_storm(place):
    storms(place, EVERYTHING, 10, 101)


@case
def nor_without_cgroups(place):
    without_cgroups(place)
    storms(place, EVERYTHING, 7, 201)


if __name__ == "__main__":
    main()
