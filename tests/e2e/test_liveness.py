# SPDX-License-Identifier: MPL-2.0
"""What dies takes no slot with it: real shims, keepers, trees and brokers.

The pid that `slotbus run` works for here is a shell of the test's own, the
supervisor; its agents are three generations deep, with a child that calls
setsid and one that was double-forked.
"""
import json
import os
import re
import signal
import time

from harness import Place, alive, case, main, program, start_time, wait_until

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
    free within 2 s of the last process's end."""
    last_alive = None
    end = time.monotonic() + 30
    while True:
        alive_before = bool(trees(place))
        if alive_before:
            last_alive = time.monotonic()
        seen = project(place, name)
        counted = seen["held"] + seen["limbo"] if seen else 0
        if not counted:
            assert not trees(place), "%s: slots are free, but %s live" % (what, trees(place))
            break
        assert time.monotonic() < end, "%s: %s slots never return" % (what, counted)
    wait_until(lambda: not any(map(os.path.exists, getattr(place, "cgroups", ()))),
               "the trees' cgroups are removed")
    took = time.monotonic() - (last_alive or time.monotonic())
    print("# %s: slots free %d ms after the last process was seen" % (what, took * 1000))
    assert took < within, took
    return took


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


@case
def slots_of_a_killed_shim_return_when_its_trees_are_gone(place):
    _, supervisor = agents(place, 3)
    assert len(trees(place)) >= 3 * 4
    os.kill(supervisor.shim(), signal.SIGKILL)
    slots_return(place, "consilio", "shim killed")


@case
def slots_of_a_killed_shim_are_not_free_while_an_agent_ignores_term(place):
    _, supervisor = agents(place, 2, STUBBORN, timing={"grace": "700ms"})
    os.kill(supervisor.shim(), signal.SIGKILL)
    wait_until(lambda: project(place, "consilio")["limbo"] == 2, "both are in limbo")
    assert trees(place)
    slots_return(place, "consilio", "shim killed, agents stubborn")


@case
def a_killed_supervisor_takes_its_agents_with_it(place):
    _, supervisor = agents(place, 3)
    shim = supervisor.shim()
    os.kill(supervisor.shell.pid, signal.SIGKILL)
    slots_return(place, "consilio", "supervisor killed")
    wait_until(lambda: not alive(shim), "a shim without a supervisor ends")


@case
def a_killed_keeper_takes_its_tree_with_it(place):
    _, supervisor = agents(place, 2)
    for pid in keepers(place, "consilio"):
        os.kill(pid, signal.SIGKILL)
    slots_return(place, "consilio", "keepers killed")
    assert supervisor.ended(1) != 0


@case
def a_killed_run_takes_its_tree_with_it(place):
    _, supervisor = agents(place, 1)
    keeper, = keepers(place, "consilio")
    with open("/proc/%d/stat" % keeper) as f:
        run = int(f.read().rsplit(")", 1)[1].split()[1])
    os.kill(run, signal.SIGKILL)
    slots_return(place, "consilio", "run killed")


@case
def shim_keeper_and_run_killed_together_leave_nothing(place):
    broker, supervisor = agents(place, 2)
    victims = keepers(place, "consilio")
    for keeper in list(victims):
        with open("/proc/%d/stat" % keeper) as f:
            victims.append(int(f.read().rsplit(")", 1)[1].split()[1]))
    victims.append(supervisor.shim())
    for number in (signal.SIGSTOP, signal.SIGKILL):     # as if at one instant
        for pid in victims:
            os.kill(pid, number)
    slots_return(place, "consilio", "shim, keepers and runs killed")


@case
def agents_live_through_a_killed_broker_under_the_same_tokens(place):
    go = os.path.join(place.path, "go")
    broker = place.broker()
    supervisor = Supervisor(place, "consilio")
    numbers = [supervisor.run(go=go, status=n) for n in (0, 7, 42)]
    pids = supervisor.started(3)
    wait_until(lambda: len([a for a in agents_of(place, "consilio").values() if a["pid"]]) == 3, "known")
    before = {t: a["pid"] for t, a in agents_of(place, "consilio").items()}
    seen = set(before)
    epoch = status(place)["epoch"]
    other = Supervisor(place, "odin")
    for turn in range(5):
        # under load: requests come and go while the broker dies
        load = [other.run("exit 0") for _ in range(3)]
        broker.signal(signal.SIGKILL)
        broker.wait_exit()
        began = time.monotonic()
        broker = place.broker()
        print("# serving %d ms after its start" % ((time.monotonic() - began) * 1000))
        now = {t: a["pid"] for t, a in agents_of(place, "consilio").items()}
        assert now == before, (before, now)
        for number in load:
            assert other.ended(number) == 0, "a client did not carry on by itself"
        for line in broker.lines["stderr"]:
            granted = re.search(r"\bgrant\b.*\btoken=(\d+)", line)
            if granted:
                assert int(granted.group(1)) not in seen, "token %s twice" % granted.group(1)
                seen.add(int(granted.group(1)))
    assert status(place)["epoch"] == epoch + 5
    assert all(alive(p) for p in pids)
    open(go, "w").close()
    assert [supervisor.ended(n) for n in numbers] == [0, 7, 42]
    slots_return(place, "consilio", "ended after restarts")


@case
def nobody_loses_a_lease_while_the_broker_is_away_longer_than_the_ttl(place):
    broker, supervisor = agents(place, 2)
    pids = supervisor.started(2)
    before = set(agents_of(place, "consilio"))
    broker.signal(signal.SIGKILL)
    broker.wait_exit()
    # twice the ttl, told by a clock and not by waiting for anything: there is
    # no event in an absence
    end = time.monotonic() + 3.0
    wait_until(lambda: time.monotonic() > end, "the absence", meanwhile=lambda: [
        p for p in pids if not alive(p)] and (_ for _ in ()).throw(AssertionError("an agent died")))
    place.broker()
    wait_until(lambda: project(place, "consilio")["held"] == 2, "the session goes on")
    assert set(agents_of(place, "consilio")) == before
    assert all(alive(p) for p in pids)


@case
def a_short_stop_of_the_broker_touches_no_agent(place):
    broker, supervisor = agents(place, 2, timing={"ttl": "3s"})
    pids = supervisor.started(2)
    before = set(agents_of(place, "consilio"))
    broker.signal(signal.SIGSTOP)
    end = time.monotonic() + 1.5        # below T - D - G - K - H = 2.5 s
    wait_until(lambda: time.monotonic() > end, "the stop")
    broker.signal(signal.SIGCONT)
    assert set(agents_of(place, "consilio")) == before
    assert project(place, "consilio")["held"] == 2
    assert all(alive(p) for p in pids)


@case
def agents_end_while_the_broker_is_stopped_too_long_and_no_session_is_lost(place):
    broker, supervisor = agents(place, 2)
    pids = supervisor.started(2)
    began = time.monotonic()
    broker.signal(signal.SIGSTOP)
    wait_until(lambda: not any(alive(p) for p in pids), "R2 ends the agents")
    ended = time.monotonic() - began
    print("# agents gone %d ms after the stop, ttl 1500 ms" % (ended * 1000))
    assert ended < 1.5, ended
    broker.signal(signal.SIGCONT)
    slots_return(place, "consilio", "broker stopped and continued")
    assert not re.search(r"\] lost ", broker.text()), broker.text()
    number = supervisor.run("exit 3")
    assert supervisor.ended(number) == 3


@case
def a_stopped_shim_comes_back_without_overcommitting(place):
    broker, supervisor = agents(place, 2)
    pids = supervisor.started(2)
    shim = supervisor.shim()
    os.kill(shim, signal.SIGSTOP)
    try:
        wait_until(lambda: not any(alive(p) for p in pids), "the keepers' deadline passes")
        slots_return(place, "consilio", "shim stopped")
    finally:
        os.kill(shim, signal.SIGCONT)
    number = supervisor.run("exit 5")
    assert supervisor.ended(number) == 5


if __name__ == "__main__":
    main()
