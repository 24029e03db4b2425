# SPDX-License-Identifier: MPL-2.0
"""Real memory that real agents take, in a cgroup with a limit: what the broker
does from healthy to critical and back, with nobody's hand. The test tells each
agent how much it holds (tests/pressure/obedient.py); all else is as every day.
scripts/demo-pressure shows the same with agents that nobody steers, and beside
other guards."""
import os
import re
import sys

from harness import ASAN, CONFIG, Skip, alive, main, wait_until
from seed import by, day, shims, status

PRESSURE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "pressure")
sys.path.insert(0, PRESSURE)
from ground import Ground, Unavailable, read, write     # noqa: E402

# Under the sanitizer programs are large; with this they do not grow for ever.
SCALE = 2 if ASAN else 1
ENV = {"ASAN_OPTIONS": "quarantine_size_mb=1:malloc_context_size=5"}
LIMIT = 512 * SCALE             # MiB
# The limits of memory that slotbus has by default, and its grace; the rest of
# the timing shorter, and in the same order.
MEMORY = {**CONFIG["vm_limits"], "max_memory_percent": 90, "critical_memory_percent": 95}
TIMING = {"memory_grace": "2s", "notice": "4s", "grace": "4s", "dwell": "1s", "settle": "500ms", "healthy_for": "1s",
          "grow_every": "200ms", "ttl": "30s"}


class Agent:
    """One that the test steers; `run` is the program that was started."""

    def __init__(self, place, ground, name, mib, *words, env=None):
        self.ground, self.name = ground, name
        self.folder = os.path.join(place.path, name)
        os.mkdir(self.folder)
        self.write("target", mib)
        self.run = place.start(*words, "/usr/bin/python3", "-B", os.path.join(PRESSURE, "obedient.py"), ".", name,
                               cwd=self.folder, env=env or {}, preexec=ground.join)

    def has(self, name):
        return os.path.exists(os.path.join(self.folder, name))

    def pid(self):
        return int(read(self.folder, "pid"))

    def holds(self, mib):
        wait_until(lambda: self.has("held") and int(read(self.folder, "held")) == mib, "%s holds %d MiB" % (self.name, mib))

    def write(self, name, value):
        """It reads the one before, or this one."""
        write(value, self.folder, "new")
        os.replace(os.path.join(self.folder, "new"), os.path.join(self.folder, name))

    def grow(self, percent):
        """Until the whole ground is at that, if nobody else grows meanwhile."""
        missing = round((percent - self.ground.percent()) * LIMIT / 100)
        target = int(read(self.folder, "target")) + missing
        self.write("target", target)
        return target

    def finish(self):
        self.write("done", "")
        assert self.run.wait_exit() == 0, self.name


def ground_of(place):
    with open("/proc/meminfo") as f:
        found = {line.split(":")[0]: int(line.split()[1]) for line in f}
    if found["MemAvailable"] < max(0.3 * found["MemTotal"], 2048 * LIMIT):
        raise Skip("too little memory is free on this machine")
    try:
        ground = Ground("e2e-pressure-%d" % os.getpid(), LIMIT << 20).make()
    except Unavailable as why:
        raise Skip(str(why))
    place.at_end(ground.end)
    return ground


def agent_of(place, ground, who, project, name, mib=0):
    return Agent(place, ground, name, mib, "slotbus", "run", "-p", project, "-l", name, "--", env=by(who))


def levels(broker):
    """The host's, in order; and what may be granted at most, in order."""
    return (re.findall(r" health   .* level=(\w+)", broker.text()),
            [int(n) for n in re.findall(r" effective .* effective=(\d+)", broker.text())])


def host_of(place):
    return status(place)["hosts"][0]


@day
def real_memory_takes_slots_then_one_agent_and_gives_them_back(place):
    ground = ground_of(place)
    place.env.update(ENV)
    place.configure(max_slots=6, max_per_project=6, vm_limits=MEMORY, timing=TIMING, notice_command="kill -USR1 $(cat pid)",
                    project_priorities={"high": 9, "low": 2})
    broker = place.broker(preexec=ground.join)
    who = place.start("/bin/sleep", "1000", preexec=ground.join)
    editor = Agent(place, ground, "editor", 80 * SCALE)
    agents = []
    for project, name, mib in (("high", "first", 50), ("high", "second", 50), ("low", "old", 50), ("low", "new", 90)):
        agents.append(agent_of(place, ground, who, project, name, mib * SCALE))
        agents[-1].holds(mib * SCALE)
    editor.holds(80 * SCALE)
    first, second, old, new = agents
    wait_until(lambda: [bool(a.get("memory_bytes")) for p in status(place)["projects"] for a in p["agents"]] == [True] * 4,
               "all trees are measured")
    assert ground.percent() < 85, ground.percent()
    assert host_of(place)["level"] == "healthy" and host_of(place)["effective"] == 6, host_of(place)

    # the largest of all is none of those that go first
    old.holds(old.grow(92.5))
    wait_until(lambda: host_of(place)["level"] == "degraded", "memory is degraded")
    wait_until(lambda: host_of(place)["effective"] == 3, "a quarter of what is in use is taken")
    late = agent_of(place, ground, who, "high", "late")
    queued = wait_until(lambda: status(place)["queue"], "nobody new comes in")[0]
    assert queued["reason"] == "HEALTH" and re.match(r"memory 9[0-4]\.\d% of 90%", queued["detail"]), queued
    assert not any(agent.has("checkpoint") for agent in agents), "nobody is warned yet"

    first.grow(96.5)
    line = broker.wait_line(r" victim .* project=(\w+) .* label=\"(\w+)\" for=memory .* reason=\"(.*)\"")
    assert line.group(1, 2) == ("low", "new") and line.group(3).endswith("of 95%: priority 2, newest"), line.group(0)
    wait_until(lambda: new.has("checkpoint"), "it saves its work")
    assert alive(new.pid()), "before it is ended"
    assert new.run.wait_exit() == 143
    broker.wait_line(r" settled .* for=memory before=9[5-9]\.\d after=[78]\d\.\d")
    assert not late.has("pid"), "nobody new came in"

    for agent in (first, second, old):
        agent.finish()
    wait_until(lambda: late.has("pid"), "who waited comes in")
    late.finish()
    wait_until(lambda: host_of(place)["effective"] == 6, "all slots are back")
    seen, slots = levels(broker)
    assert seen[:2] == ["degraded", "critical"] and seen[-1] == "healthy", seen
    assert slots[:2] == [3, 2] and slots[2:] == sorted(slots[2:]) and slots[-1] == 6, slots
    assert [a.name for a in [*agents, late, editor] if a.has("checkpoint")] == ["new"]
    assert len(re.findall(r" victim ", broker.text())) == 1
    assert ground.oom_kills() == 0
    assert alive(editor.pid()) and broker.process.poll() is None and len(shims(place)) == 2
    editor.finish()


main()
