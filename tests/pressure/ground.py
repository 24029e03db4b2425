# SPDX-License-Identifier: MPL-2.0
"""ground - a cgroup with a memory limit of its own, version 1 or 2

Whoever joins it, and all that it starts, has only so much memory: what happens
at the limit happens there, and the machine around it is safe.
"""
import os
import time


class Unavailable(Exception):
    """No such cgroup can be made here; says why."""


def mounts():
    """{"memory": folder, "cpuacct": folder, "": folder of version 2}"""
    found = {}
    with open("/proc/self/mountinfo") as f:
        for line in f:
            before, after = line.split(" - ")
            kind, _, options = after.split()[:3]
            if kind == "cgroup2":
                found[""] = before.split()[4]
            elif kind == "cgroup":
                for controller in options.split(","):
                    found.setdefault(controller, before.split()[4])
    return found


def read(*path):
    with open(os.path.join(*path)) as f:
        return f.read()


def write(value, *path):
    with open(os.path.join(*path), "w") as f:
        f.write(str(value))


def field(text, name):
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0


class Ground:
    """`make` by root, or where a user may; `end` removes it with all in it."""

    def __init__(self, name, limit_bytes):
        where = mounts()
        self.name, self.limit = name, limit_bytes
        self.v1 = "memory" in where
        self.root = where.get("")       # of version 2
        self.folders = [os.path.join(where[hierarchy], name) for hierarchy in ("memory", "cpuacct", "") if hierarchy in where]
        if self.folders:
            self.memory = self.folders[0]
            self.cpu = self.folders[1] if "cpuacct" in where else self.folders[-1]

    def make(self):
        if not self.folders:
            raise Unavailable("there are no cgroups")
        try:
            if not self.v1:
                write("+memory", self.root, "cgroup.subtree_control")
            for folder in self.folders:
                os.mkdir(folder)
            self.set_limit()
        except OSError as why:
            self.end()
            raise Unavailable("no cgroup with a memory limit can be made here: %s" % why)
        return self

    def set_limit(self):
        write(self.limit, self.memory, "memory.limit_in_bytes" if self.v1 else "memory.max")
        swap = "memory.memsw.limit_in_bytes" if self.v1 else "memory.swap.max"
        if os.path.exists(os.path.join(self.memory, swap)):
            write(self.limit if self.v1 else 0, self.memory, swap)

    def join(self):
        """This process, and all that it will start."""
        for folder in self.folders:
            write(0, folder, "cgroup.procs")

    def used(self):
        """Bytes that dropping file cache would not give back."""
        used = int(read(self.memory, "memory.usage_in_bytes" if self.v1 else "memory.current"))
        cache = field(read(self.memory, "memory.stat"), "total_inactive_file" if self.v1 else "inactive_file")
        return max(0, used - cache)

    def percent(self):
        return 100 * self.used() / self.limit

    def cpu_s(self):
        if os.path.exists(os.path.join(self.cpu, "cpuacct.usage")):
            return int(read(self.cpu, "cpuacct.usage")) / 1e9
        return field(read(self.cpu, "cpu.stat"), "usage_usec") / 1e6

    def oom_kills(self):
        """How many the kernel has killed for this limit."""
        return field(read(self.memory, "memory.oom_control" if self.v1 else "memory.events"), "oom_kill")

    def end(self, within=10):
        """Nothing of it is left: its processes have ended, or end now."""
        for folder in reversed(self.folders):   # version 2 can kill
            until = time.monotonic() + within
            while os.path.isdir(folder) and not self.remove(folder) and time.monotonic() < until:
                time.sleep(0.02)

    @staticmethod
    def remove(folder):
        try:
            if os.path.exists(os.path.join(folder, "cgroup.kill")):
                write(1, folder, "cgroup.kill")
            for path, below, _ in os.walk(folder, topdown=False):
                os.rmdir(path)
        except OSError:
            return False
        return True
