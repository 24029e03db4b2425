# SPDX-License-Identifier: MPL-2.0
"""agents - supervisors, what they start, and what of it lives

The pid that `slotbus run` works for here is a shell of the test's own, the
supervisor; its agents are three generations deep, with a child that calls
setsid and one that was double-forked.
"""
import json
import os
import re
import time

from harness import alive, program, wait_until

# An agent: waits for `$GO`-like file $1 to exist (0.02 s looks), then exits
# with $2. Around it live a child with a session of its own and a daemon.
AGENT = r"""
setsid sh -c 'sleep 600; true' </dev/null >/dev/null 2>&1 &
( ( sh -c 'sleep 600; true' </dev/null >/dev/null 2>&1 & ) & )
sh -c 'sleep 600; true' &
echo running $$
until [ -e "$1" ]; do sleep 0.02; done
exit $2
"""
# One that will not end when asked to.
STUBBORN = r"""
trap '' TERM
echo running $$
while :; do sleep 0.05; done
"""


def cookies():
    """{cookie: [pids]} of everything alive, as the kernel tells it."""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open("/proc/%s/environ" % name, "rb") as f:
                environ = f.read().split(b"\0")
        except OSError:
            continue
        for item in environ:
            if item.startswith(b"SLOTBUS_COOKIE=") and alive(int(name)):
                found.setdefault(item[15:].decode(), []).append(int(name))
    return found


def status(place, *arguments):
    code, out, err = place.run("slotbus", "status", "--json", *arguments)
    assert code == 0, (code, err)
    return json.loads(out)


def project(place, name):
    return next((p for p in status(place)["projects"] if p["name"] == name), None)


def agents_of(place, name):
    return {a["token"]: a for a in project(place, name)["agents"]}


class Supervisor:
    """A shell that starts what it is told to, as agents of a project."""

    def __init__(self, place, name):
        self.place, self.name = place, name
        script = os.path.join(place.path, name + "-supervisor.sh")
        with open(script, "w") as f:
            f.write("while read -r line; do eval \"$line\"; done\n")
        self.shell = place.start("/bin/sh", script, stdin=-1, env={"PATH": os.path.dirname(program("slotbus")) + ":" + os.environ["PATH"]})
        self.runs = 0

    def tell(self, line):
        self.shell.process.stdin.write(line.encode() + b"\n")
        self.shell.process.stdin.flush()

    def run(self, script=AGENT, go="/nonexistent", status=0, options=""):
        """Start an agent in the background; returns its number."""
        self.runs += 1
        path = os.path.join(self.place.path, "%s-%d.sh" % (self.name, self.runs))
        with open(path, "w") as f:
            f.write(script)
        self.tell("{ slotbus run -p %s -l agent-%d %s -- sh %s %s %d; echo ended %d $?; } &" % (
            self.name, self.runs, options, path, go, status, self.runs))
        return self.runs

    def started(self, count):
        """Wait until so many agents run; their pids."""
        def pids():
            return re.findall(r"^running (\d+)$", self.shell.text("stdout"), re.M)
        return [int(p) for p in wait_until(lambda: len(pids()) >= count and pids(), "%d agents run" % count)]

    def ended(self, number):
        found = self.shell.wait_line(r"^ended %d (\d+)$" % number, "stdout")
        return int(found.group(1))

    def shim(self):
        """The pid of the project's shim, by its lock file."""
        def pid():
            try:
                with open(os.path.join(self.place.runtime, "projects", self.name, "lock")) as f:
                    return int(f.read() or 0)
            except (OSError, ValueError):
                return 0
        return wait_until(pid, "a shim of %s" % self.name)


def keepers(place, name):
    """Pids of the project's keepers."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            with open("/proc/%s/cmdline" % entry, "rb") as f:
                words = f.read().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"slotbus-keeper") and any(
                place.runtime.encode() in w and b"/%s/" % name.encode() in w for w in words):
            found.append(int(entry))
    return found


def trees(place):
    """Pids that run under a cookie of this place's broker."""
    broker = status(place)["broker"]
    return [pid for cookie, pids in cookies().items() if cookie.startswith(broker) for pid in pids]


def cgroups(pids):
    """Folders of the trees' own cgroups, where there are any."""
    with open("/proc/self/mountinfo") as f:
        mount = next((line.split()[4] for line in f if " - cgroup2 " in line), None)
    folders = set()
    for pid in pids:
        try:
            with open("/proc/%d/cgroup" % pid) as f:
                path = next((line[3:].strip() for line in f if line.startswith("0::")), "")
        except OSError:
            continue            # a `sleep` of an agent's loop
        if mount and "/slotbus-" in path:
            folders.add(mount + path)
    return folders


def slots_return(place, name, what, within=2.0):
    """Wait until the project holds nothing. Never free while a tree lives, and
    free within 2 s of the last process's end: whoever asks later than that is
    told so. How long it takes to ask is no part of it."""
    began, gone = time.monotonic(), None
    while True:
        if trees(place):
            gone = None
        elif gone is None:
            gone = time.monotonic()
        asked = time.monotonic()
        seen = project(place, name)
        counted = seen["held"] + seen["limbo"] if seen else 0
        kept = [path for path in getattr(place, "cgroups", ()) if os.path.exists(path)]
        if not counted:
            assert not trees(place), "%s: slots are free, but %s live" % (what, trees(place))
        if not counted and not kept:
            break
        assert gone is None or asked - gone < within, "%s: gone, and %s slots and %s are left" % (what, counted, kept)
        assert asked - began < 30, "%s: %s slots never return" % (what, counted)
    print("# %s: slots seen free %d ms after the last process was not" % (what, 1000 * (asked - (gone or asked))))


def agents(place, count, script=AGENT, **changes):
    place.configure(**changes)
    broker = place.broker()
    supervisor = Supervisor(place, "consilio")
    for _ in range(count):
        supervisor.run(script)
    supervisor.started(count)
    wait_until(lambda: project(place, "consilio")["held"] == count
               and all(a["state"] == "active" and a["pid"] for a in agents_of(place, "consilio").values()),
               "%d agents are known" % count)
    place.cgroups = cgroups(trees(place))
    return broker, supervisor
