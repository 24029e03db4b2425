# SPDX-License-Identifier: MPL-2.0
"""harness - start real programs, wait for what they do, speak TAP

A test file decorates functions with @case and ends with main (). Every case
gets a Place: a folder of its own under /tmp with run/, state/ and slots.yaml,
the environment that points there, and what was started in it. At the end of a
case everything started in it is ended by its pid and the folder removed.

Nothing here sleeps for an outcome: wait_until, wait_line, wait_exit return as
soon as it is there and fail after a deadline, which only a failure reaches.
"""
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

DEADLINE = 30.0
ASAN = os.environ.get("SLOTBUS_FLAVOUR") == "asan"

# A whole life in a second or two; beats of 50 ms, everything else to scale, but
# for the time after which a holder is lost: a machine may stand still for longer
# than a second, and then agents are ended by right. Cases that wait for that time
# have it SHORT.
SHORT = {"ttl": "1500ms"}
TIMING = {
    "beat": "50ms", "ttl": "10s", "notice": "50ms", "grace": "200ms",
    "kill_confirm": "200ms", "drift": "50ms", "lock_delay": "300ms",
    "linger": "100ms", "gather": "10ms", "sample": "200ms",
    "health_interval": "1s",
}
# Timings and limits that no busy test machine trips over; and whoever compiles
# on it meanwhile is not reported.
CONFIG = {
    "unmanaged": [], "max_slots": 8, "max_per_project": 8, "grant_burst": 1000,
    "vm_limits": {"max_cpu_percent": None, "max_memory_percent": None,
                  "critical_memory_percent": None, "critical_memory_psi": None,
                  "max_load_average": None, "max_disk_percent": None,
                  "critical_disk_percent": None},
    "timing": TIMING,
}


def program(name):
    """Path of a built program: slotbus-broker, slotbus, slotbus-keeper."""
    folder = "broker" if name == "slotbus-broker" else "worker-shim"
    return os.path.join(os.environ["SLOTBUS_BIN"], folder, name)


def wait_until(true, what, deadline=DEADLINE, meanwhile=None):
    """Ask `true` until it answers something true; that is returned.
    `meanwhile` is called between two askings (to send beats, for example)."""
    end = time.monotonic() + deadline
    while True:
        answer = true()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError("not within %g s: %s" % (deadline, what))
        if meanwhile:
            meanwhile()
        time.sleep(0.005)


class Program:
    """A running program; its lines are read by threads."""

    def __init__(self, argv, env=None, cwd=None, stdin=subprocess.DEVNULL,
                 preexec=None):
        self.argv = argv
        self.lines = {"stdout": [], "stderr": []}
        self.news = threading.Condition()
        self.process = subprocess.Popen(
            argv, env=env, cwd=cwd, stdin=stdin, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, preexec_fn=preexec)
        self.pid = self.process.pid
        self.readers = [threading.Thread(target=self._read, args=(name,), daemon=True)
                        for name in self.lines]
        for reader in self.readers:
            reader.start()

    def _read(self, name):
        for raw in getattr(self.process, name):
            with self.news:
                self.lines[name].append(raw.decode("utf-8", "replace").rstrip("\n"))
                self.news.notify_all()
        with self.news:
            self.news.notify_all()

    def wait_line(self, pattern, stream="stderr", deadline=DEADLINE, start=0):
        """The match of the first line from number `start` on."""
        end = time.monotonic() + deadline
        at = start
        with self.news:
            while True:
                lines = self.lines[stream]
                while at < len(lines):
                    found = re.search(pattern, lines[at])
                    if found:
                        return found
                    at += 1
                left = end - time.monotonic()
                if left <= 0 or (self.process.poll() is not None
                                 and not any(r.is_alive() for r in self.readers)):
                    raise AssertionError("no line %r on %s of %s:\n%s" % (
                        pattern, stream, self.argv[0], self.text(stream)))
                self.news.wait(min(left, 0.2))

    def wait_exit(self, deadline=DEADLINE):
        """Exit status; -N where signal N ended it. All lines are read."""
        try:
            status = self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise AssertionError("%s still runs:\n%s" % (self.argv[0], self.text()))
        for reader in self.readers:
            reader.join(5)
        return status

    def signal(self, number):
        self.process.send_signal(number)

    def text(self, stream="stderr"):
        return "\n".join(self.lines[stream])

    def end(self):
        """At the end of a case: whatever it was doing, it is gone."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Place:
    """A folder of one test, the environment that points to it, and all that
    was started there."""

    def __init__(self):
        self.path = tempfile.mkdtemp(prefix="slotbus-e2e-", dir="/tmp")
        self.runtime = os.path.join(self.path, "run")
        self.state = os.path.join(self.path, "state")
        self.config_path = os.path.join(self.path, "slots.yaml")
        self.env = {k: v for k, v in os.environ.items()
                    if not k.startswith("SLOTBUS_") and k != "CLAUDE_PID"}
        self.env.update(SLOTBUS_RUNTIME_DIR=self.runtime, SLOTBUS_STATE_DIR=self.state,
                        SLOTBUS_CONFIG=self.config_path, XDG_CONFIG_HOME=self.path)
        self.started = []
        self.cleanups = []
        self.configure()

    def configure(self, text=None, **changes):
        """Write slots.yaml: `text` as it is, else CONFIG with changes. (JSON
        is YAML.) `timing` is merged into CONFIG's."""
        if text is None:
            config = {**CONFIG, **changes}
            config["timing"] = {**TIMING, **changes.get("timing", {})}
            text = json.dumps(config, indent=1) + "\n"
        with open(self.config_path, "w") as f:
            f.write(text)

    def start(self, *argv, **options):
        """Start a program here: its name (or a path), and its arguments."""
        path = argv[0] if "/" in argv[0] else program(argv[0])
        env = {**self.env, **options.pop("env", {})}
        running = Program([path, *argv[1:]], env=env, **options)
        self.started.append(running)
        return running

    def run(self, *argv, **options):
        """The same, to its end: (status, stdout, stderr)."""
        deadline = options.pop("deadline", DEADLINE)
        done = self.start(*argv, **options)
        status = done.wait_exit(deadline)
        return status, done.text("stdout"), done.text("stderr")

    def broker(self, *flags, ready=True, **options):
        """Start the broker on this place's folders and wait until it serves."""
        started = self.start("slotbus-broker", "--private", "--config", self.config_path,
                             *flags, **options)
        if ready:
            started.wait_line(r"\bready\b")
        return started

    @property
    def endpoint(self):
        return "ipc://" + os.path.join(self.runtime, "broker")

    @property
    def events(self):
        return "ipc://" + os.path.join(self.runtime, "events")

    def at_end(self, call, *args):
        """Call this at the end of the case, last added first."""
        self.cleanups.append((call, args))

    def clean(self):
        for running in reversed(self.started):
            running.end()
        for call, args in reversed(self.cleanups):
            call(*args)
        shutil.rmtree(self.path, ignore_errors=True)

    def report(self):
        for running in self.started[:2] + self.started[2:][-4:]:
            print("#  %s (pid %d, status %s):" % (
                " ".join(running.argv), running.pid, running.process.poll()))
            for stream in ("stdout", "stderr"):
                for line in running.lines[stream][-40:]:
                    print("#   %s: %s" % (stream, line[:300]))


def moved(broker, stall=0.25):
    """Seconds by which a broker has moved its deadlines so far: after a gap in
    its loop of more than `stall`, by that gap and twice as much as that. Nobody
    is told to be quicker on a machine that stood still."""
    gaps = re.findall(r"\] stall +gap_ms=(\d+)", broker.text())
    return sum(int(gap) / 1000 + 2 * stall for gap in gaps)


def alive(pid):
    """Does this process live (not gone, not a zombie)?"""
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def start_time(pid):
    """Clock ticks since boot: field 22 of /proc/PID/stat."""
    with open("/proc/%d/stat" % pid) as f:
        return int(f.read().rsplit(")", 1)[1].split()[19])


def free_port():
    """A port whose neighbour is free too: requests and events. None of those
    that the kernel deals out: by the time it is bound it might have been."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as f:
        first, last = map(int, f.read().split())
    ports = max(range(5000, first - 1), range(last + 1, 65535), key=len)
    while True:
        port = random.choice(ports)
        with socket.socket() as bus, socket.socket() as events:
            try:
                bus.bind(("127.0.0.1", port))
                events.bind(("127.0.0.1", port + 1))
                return port
            except OSError:
                pass


class Skip(Exception):
    """Raised by a case that this machine cannot run; says why."""


CASES = []


def case(function):
    """A test; its name is the sentence that TAP shows."""
    CASES.append(function)
    return function


def run_case(number, function, only):
    name = function.__name__
    if only and only not in name:
        print("ok %d - %s # SKIP not chosen" % (number, name), flush=True)
        return True
    place = Place()
    try:
        function(place)
        print("ok %d - %s" % (number, name), flush=True)
        return True
    except Skip as why:
        print("ok %d - %s # SKIP %s" % (number, name, why), flush=True)
        return True
    except BaseException:
        print("not ok %d - %s" % (number, name))
        for line in traceback.format_exc().splitlines():
            print("#  " + line)
        place.report()
        sys.stdout.flush()
        return False
    finally:
        place.clean()


def main():
    """Run every case; one argument chooses those whose name contains it."""
    only = sys.argv[1] if len(sys.argv) > 1 else ""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print("1..%d" % len(CASES), flush=True)
    results = [run_case(i + 1, function, only) for i, function in enumerate(CASES)]
    sys.exit(0 if all(results) else 1)
