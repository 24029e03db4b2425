# SPDX-License-Identifier: MPL-2.0
"""arm - one run of the workload, with one guard or none

As pid 1 of a pid and mount namespace (`unshare --pid --mount --fork
--mount-proc`): whatever it starts sees and can end nothing else, and ends with
it. Everything but itself is inside the ground's cgroup. It writes what happens
on stdout, a line of JSON each:

  {"is": "bystander", "status": N}    it should not have ended
  {"is": "guard", "status": N}        nor should this
  {"is": "supervisor", "status": N}   one that did not get to its end
  {"is": "agent", "item": N, "attempt": N, "status": N, "cpu_s": X,
   "saved": B, "covered_s": X}        one that ended; 0: its work is done
  {"is": "end"}                       all the work is done
"""
import json
import os
import signal
import subprocess
import sys
import time

import agent
from ground import read, write

HERE = os.path.dirname(os.path.abspath(__file__))
PROJECTS = ("consilio", "openhorizon", "odin")
BYSTANDER = 72      # MiB
AGAIN = 0.5         # seconds until lost work is begun again


class Arm:
    """What the outer program decided: see scripts/demo-pressure."""

    def __init__(self, guard, ground, home, seed, items, programs, config):
        self.guard, self.ground, self.home = guard, ground, home
        self.seed, self.items = seed, items
        self.programs, self.config = programs, config
        self.leaker = seed % items
        self.started = []       # or subprocess would wait for what nobody refers to
        self.env = {"PATH": os.environ["PATH"], "SLOTBUS_RUNTIME_DIR": home + "/run", "SLOTBUS_STATE_DIR": home + "/state"}

    def folder(self, item):
        return os.path.join(self.home, "work", str(item))

    def say(self, **event):
        os.write(1, (json.dumps(event) + "\n").encode())

    def start(self, argv, **options):
        """Inside the cgroup; what it says goes into a file."""
        with open(os.path.join(self.home, options.pop("log")), "ab") as log:
            self.started.append(subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                 preexec_fn=self.ground.join, **options))
        return self.started[-1]

    def fork(self, call, *args):
        pid = os.fork()
        if pid == 0:
            try:
                self.ground.join()
                call(*args)
                os._exit(0)
            except BaseException as why:
                os.write(2, ("%r\n" % why).encode())
            os._exit(1)
        return pid

    # ---- who is there ----

    def bystander(self):
        """It has its memory, and does nothing."""
        write("editor", "/proc/self/comm")
        memory = agent.Memory()
        memory.hold(BYSTANDER)
        write("", self.home, "editor-ready")
        while True:
            signal.pause()

    def watch_over(self):
        """Starts the guard; its process, or None."""
        if self.guard == "earlyoom":
            subprocess.run(["mount", "--bind", self.home + "/meminfo", "/proc/meminfo"], check=True)
            return self.start(["earlyoom", "-r", "0"], log="earlyoom.log")
        if self.guard == "slotbus":
            write(json.dumps(self.config), self.home, "slots.yaml")
            started = self.start([self.programs + "/broker/slotbus-broker", "--private", "--config", self.home + "/slots.yaml"],
                                 log="broker.log", env=self.env)
            while " ready " not in read(self.home, "broker.log"):
                if started.poll() is not None:
                    sys.exit("the broker does not start:\n" + read(self.home, "broker.log"))
                time.sleep(0.02)
            return started
        return None

    # ---- supervisors ----

    def begin(self, project, item, attempt):
        words = [sys.executable, "-S", "-E", "-B", os.path.join(HERE, "agent.py"), ".", str(self.seed), str(item), str(attempt),
                 "leaks" if item == self.leaker and attempt == 1 else "sound"]
        if self.guard == "slotbus":
            words = [self.programs + "/worker-shim/slotbus", "run", "-p", project, "-l", "item-%d" % item, "--"] + words
        env = {**self.env, "SLOTBUS_SUPERVISOR": str(os.getpid())}
        return self.start(words, log="work/%d/log" % item, cwd=self.folder(item), env=env).pid

    def checkpoint(self, item, attempt):
        """Was one written by that attempt, and how many seconds does it save?"""
        try:
            with open(os.path.join(self.folder(item), agent.CHECKPOINT)) as f:
                state = json.load(f)
        except FileNotFoundError:
            return False, 0.0
        saved = state["attempt"] == attempt
        return saved, state["cpu_s"] if saved else 0.0

    def supervise(self, project, items):
        """All at once; one that was lost is begun again, until all are done."""
        write("supervisor", "/proc/self/comm")
        running = {self.begin(project, item, 1): (item, 1) for item in items}
        again = []
        while running or again:
            while again and again[0][0] <= time.monotonic():
                _, item, attempt = again.pop(0)
                running[self.begin(project, item, attempt)] = (item, attempt)
            pid, status, usage = os.wait4(-1, os.WNOHANG) if running else (0, 0, None)
            if pid not in running:
                time.sleep(0.02)
                continue
            item, attempt = running.pop(pid)
            code = os.waitstatus_to_exitcode(status)
            saved, seconds = self.checkpoint(item, attempt)
            self.say(**{"is": "agent"}, item=item, attempt=attempt, status=code, cpu_s=usage.ru_utime + usage.ru_stime,
                     saved=saved, covered_s=seconds)
            if code != 0:
                again.append((time.monotonic() + AGAIN, item, attempt + 1))

    # ---- one run ----

    def run(self):
        for item in range(self.items):
            os.makedirs(self.folder(item))
        bystander = self.fork(self.bystander)
        while not os.path.exists(self.home + "/editor-ready"):
            time.sleep(0.02)
        guard = self.watch_over()
        supervisors = [self.fork(self.supervise, project, range(i, self.items, len(PROJECTS)))
                       for i, project in enumerate(PROJECTS)]
        while supervisors:
            pid, status = os.wait()
            code = os.waitstatus_to_exitcode(status)
            if pid == bystander:
                self.say(**{"is": "bystander"}, status=code)
            elif guard and pid == guard.pid:
                self.say(**{"is": "guard"}, status=code)
            elif pid in supervisors:
                supervisors.remove(pid)
                if code:
                    self.say(**{"is": "supervisor"}, status=code)
        self.say(**{"is": "end"})
