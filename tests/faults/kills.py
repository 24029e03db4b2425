# SPDX-License-Identifier: MPL-2.0
"""`slotbus kill` of what does not want to die, and of whom it must not touch.

Each time: the trees of one project are ended, what the command reports is
what happened (agents, slots), and neither another project nor a process that
is in no lease is touched (I8).
"""
import os
import re
import shutil
import signal
import subprocess
import sys

from campaign import (TREE, TREE_NAMES, Crew, Watch, check_logs, main, send, spread)
from harness import DEADLINE, Skip, alive, start_time, wait_until

STUBBORN = r"""
trap '' TERM
sh -c 'sleep 600 & wait' &
echo running $$
while :; do sleep 600; done
"""
# Asked to end it starts more, which cannot be asked.
BREEDING = r"""
trap 'for i in 1 2 3 4 5 6 7 8; do (trap "" TERM; setsid sh -c "sleep 600 & wait" &) & done' TERM
echo running $$
while :; do sleep 600 & wait; done
"""
SESSIONS = r"""
setsid sh -c 'setsid sleep 600 & wait' </dev/null >/dev/null 2>&1 &
env -i setsid sh -c 'echo bare $$; exec sleep 600' &
echo running $$
wait
"""
FORKED_TWICE = r"""
( ( sh -c '( ( trap "" TERM; sleep 600 & ) & ); exec sleep 600' </dev/null >/dev/null 2>&1 & ) & )
echo running $$
exec sleep 600
"""
# Names of the processes of each that have its cookie, sorted.
NAMES = {TREE: TREE_NAMES, STUBBORN: ["sh", "sh", "sleep", "sleep"], BREEDING: ["sh", "sleep"],
         SESSIONS: ["sh", "sh", "sleep"], FORKED_TWICE: ["sleep"] * 3}
AGENTS = 2


class Scene:
    """Two projects with agents of one kind, and a process of the first one's
    supervisor that is in no lease."""

    def __init__(self, place, script):
        place.configure()
        self.place, self.script = place, script
        self.broker = place.broker()
        self.watch = Watch(place, self.broker)
        self.victim, self.other = Crew(place, "consilio"), Crew(place, "odin")
        for _ in range(AGENTS):
            self.other.agent(script)
        self.victim.tell("sleep 600 & echo stranger $!")
        stranger = int(self.victim.shell.wait_line(r"^stranger (\d+)$", "stdout").group(1))
        self.bystanders = self.known(self.other) + [stranger]
        place.at_end(send, signal.SIGKILL, [stranger])

    def known(self, crew):
        """All processes of the crew's agents, once the broker knows of these
        and all of those are there."""
        rows = wait_until(lambda: self.watch.settled(crew.name, AGENTS), "the agents are known")

        bare = self.bare(crew)
        trees = wait_until(lambda: self.watch.whole(rows, NAMES[self.script]), "their processes are there")
        return sum(trees.values(), bare)

    def bare(self, crew):
        """Those that have cleaned their environment, of the newest agents."""
        if self.script != SESSIONS:
            return []

        def said():
            found = re.findall(r"^bare (\d+)$", crew.shell.text("stdout"), re.M)
            return len(found) == crew.runs and found[-AGENTS:]
        return [int(pid) for pid in wait_until(said, "the pids without a cookie")]

    def agents(self):
        """The victim's next ones: run numbers, pids."""
        numbers = [self.victim.agent(self.script) for _ in range(AGENTS)]
        return numbers, self.known(self.victim)

    def untouched(self):
        assert all(map(alive, self.bystanders)), [p for p in self.bystanders if not alive(p)]
        assert self.watch.settled("odin", AGENTS)

    def kill(self, *argv):
        """(status, agents ended, of so many, unkillable, slots released)"""
        code, out, err = self.place.run("slotbus", "kill", *argv)
        done = re.search(r"^ +(\d+)(?: of (\d+))? agents? terminated(?:; (\d+) unkillable)?", out, re.M)
        slots = re.search(r"^ +(\d+) slots? released$", out, re.M)
        if not done:
            return code, 0, 0, 0, 0
        ended, whole, unkillable = done.groups()
        return code, int(ended), int(whole or ended), int(unkillable or 0), int(slots.group(1))

    def end(self):
        self.victim.dismiss()
        self.other.dismiss()
        check_logs([self.broker])


def killed(place, count, script):
    scene = Scene(place, script)
    for _ in range(count):
        numbers, pids = scene.agents()
        assert scene.kill("consilio") == (0, AGENTS, AGENTS, 0, AGENTS)
        # it says so when they are gone, and not before
        assert not any(map(alive, pids)), [p for p in pids if alive(p)]
        assert not scene.watch.counted("consilio")
        assert len(scene.watch.trees()) == AGENTS       # the other project's
        assert all(scene.victim.ended(n) >= 128 for n in numbers)
        scene.untouched()
    scene.end()


def stubborn(place, count):
    killed(place, count, STUBBORN)


def breeding(place, count):
    killed(place, count, BREEDING)


def sessions(place, count):
    killed(place, count, SESSIONS)


def forked_twice(place, count):
    killed(place, count, FORKED_TWICE)


def wrong_project(place, count):
    """Nobody is ended by who names another's project, slot or label."""
    scene = Scene(place, TREE)
    _, pids = scene.agents()
    pids += scene.bystanders
    foreign = {a["token"] for a in scene.watch.status()["agents"] if a["project"] == "odin"}
    for i in range(count):
        for argv in (["nobody"], ["consili"], ["consilio2", "--keep-queue"],
                     ["consilio", "--token", str(min(foreign))],
                     ["consilio", "--token", str(max(foreign) + 100 + i)],
                     ["odin", "--label", "of-nobody"], ["consilio", "--dry-run"]):
            _, ended, _, _, slots = scene.kill(*argv)
            assert (ended, slots) == (0, 0), (argv, ended, slots)
        assert all(map(alive, pids)), [p for p in pids if not alive(p)]
        assert scene.watch.settled("consilio", AGENTS)
        scene.untouched()
    scene.end()


# ---- what cannot be killed ----

class Ice:
    """Processes in here are in state D, and SIGKILL waits until it melts: the
    only way to have that without a broken disk."""

    def __init__(self, place):
        with open("/proc/self/mountinfo") as f:
            mount = next((line.split()[4] for line in f
                          if re.search(r" - cgroup \S+ \S*\bfreezer\b", line)), None)
        if mount is None or not os.access(mount, os.W_OK):
            raise Skip("no cgroup v1 freezer that this user may use")
        self.path = os.path.join(mount, "slotbus-test-%d-%s" % (os.getpid(), os.path.basename(place.path)))
        os.mkdir(self.path)
        place.at_end(self.remove)

    def write(self, name, text):
        with open(os.path.join(self.path, name), "w") as f:
            f.write(text)

    def state(self):
        with open(os.path.join(self.path, "freezer.state")) as f:
            return f.read().strip()

    def freeze(self, pids):
        for pid in pids:
            self.write("cgroup.procs", str(pid))
        self.write("freezer.state", "FROZEN")
        wait_until(lambda: self.state() == "FROZEN", "they are frozen")

    def melt(self):
        self.write("freezer.state", "THAWED")

    def remove(self):
        self.melt()

        def removed():
            try:
                os.rmdir(self.path)
            except OSError:
                return False
            return True
        wait_until(removed, "the freezer is empty")


def unkillable(place, count):
    """It is reported as that, its slot stays, and is free once it has ended."""
    scene = Scene(place, TREE)
    ice, took = Ice(place), []
    for _ in range(count):
        numbers, _ = scene.agents()
        trees = scene.watch.trees()
        frozen = min(scene.watch.counted("consilio"))
        ice.freeze(trees[frozen])
        assert scene.kill("consilio") == (1, AGENTS - 1, AGENTS, 1, AGENTS - 1)
        assert scene.watch.counted("consilio") == {frozen}
        assert all(map(alive, trees[frozen]))
        scene.watch.check()
        ice.melt()
        took.append(scene.watch.slots_return("consilio", {frozen: trees[frozen]}))
        assert all(scene.victim.ended(n) >= 128 for n in numbers)
        scene.untouched()
    scene.end()
    spread("the slot of what could not be killed, after its end", took)


# ---- pids that come again ----

def pids_reused(place, count):
    """In a pid namespace of its own, where the next pid can be chosen."""
    unshare = shutil.which("unshare", path=os.environ.get("PATH", "") + ":/usr/bin:/bin")
    inner = [unshare, "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]
    probe = ["sh", "-c", "echo 300 >/proc/sys/kernel/ns_last_pid"]
    if os.geteuid() != 0 or not unshare or subprocess.run([*inner, *probe], stderr=subprocess.DEVNULL).returncode:
        raise Skip("no pid namespaces, or no pids to be chosen in them")
    done = place.start(*inner, sys.executable, "-B", os.path.abspath(__file__), "reused", str(count),
                       env={"SLOTBUS_BIN": os.environ["SLOTBUS_BIN"]})
    status = done.wait_exit(DEADLINE + 10 * count)
    assert status == 0, done.text("stdout") + done.text()


def stranger(pid):
    """A process of nobody's that has this pid."""
    for _ in range(100):
        with open("/proc/sys/kernel/ns_last_pid", "w") as f:
            f.write(str(pid - 1))
        one = subprocess.Popen(["/bin/sleep", "600"], stdin=subprocess.DEVNULL)
        if one.pid == pid:
            return one
        one.kill()
        one.wait()
    raise AssertionError("pid %d is not to be had" % pid)


def end(strangers):
    for one in strangers:
        assert one.poll() is None, "a stranger was ended"
        one.kill()
        one.wait()


# An agent with a child that ends before it.
PARENT = r"""
sleep 0.01 & child=$!
wait $child
echo child $child
echo running $$
read -r _ <"$1"
"""


def reused(place, count):
    """Who has the pid of a former child of an agent, of a former shim or of a
    former supervisor is neither ended nor taken for it."""
    assert os.getpid() == 1, "this is for a namespace of its own"
    place.configure()
    brokers = [place.broker()]
    watch = Watch(place, brokers[0])
    for i in range(count):
        crew = Crew(place, "p%d" % i)
        number = crew.agent(PARENT)
        former = int(crew.shell.wait_line(r"^child (\d+)$", "stdout").group(1))
        rows = wait_until(lambda: watch.settled(crew.name, 1), "the agent is known")
        strangers = [stranger(former)]
        # a kill must not mean it
        code, out, err = place.run("slotbus", "kill", crew.name)
        assert code == 0 and "1 agent terminated" in out, (code, out, err)
        assert crew.ended(number) >= 128 and not alive(rows[0]["pid"])
        # nor may a broker that was away take it for the shim or the supervisor
        code, out, err = place.run("slotbus", "request", crew.name, "2", "--watch", str(crew.shell.pid))
        assert code == 0, (code, out, err)
        pids = [crew.shim(), crew.shell.pid]
        starts = {pid: start_time(pid) for pid in pids}
        brokers[-1].signal(signal.SIGKILL)
        brokers[-1].wait_exit()
        send(signal.SIGKILL, pids)
        crew.shell.wait_exit()
        wait_until(lambda: all(map(is_free, pids)), "their pids are free")
        strangers += [stranger(pid) for pid in pids]
        wait_until(lambda: all(start_time(p) != starts[p] for p in pids), "others by their start")
        brokers.append(place.broker())
        wait_until(lambda: not watch.counted(crew.name), "its slots are free")
        end(strangers)
    check_logs(brokers)


def is_free(pid):
    """Of one that has ended. The first process of a namespace inherits it."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass
    return not os.path.exists("/proc/%d" % pid)


CAMPAIGNS = (stubborn, breeding, sessions, forked_twice, wrong_project, unkillable, pids_reused)

if __name__ == "__main__":
    main(*([reused] if os.getpid() == 1 else CAMPAIGNS))
