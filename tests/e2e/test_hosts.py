# SPDX-License-Identifier: MPL-2.0
"""Three hosts: a hub with the broker, and two that know it over TCP only.

Beats are of 100 ms and all else to scale. What is measured is measured on the
one clock that the hosts share; the allowances are those that the broker's own
stall guard takes on a busy machine.
"""
import json
import os
import shutil
import re
import signal
import time

from agents import Supervisor, status
from harness import alive, case, main, moved, start_time, wait_until
from hosts import endpoint, network
from slotbus_client import Client

BEAT, TTL, GRACE, CONFIRM, DRIFT, DELAY = 0.1, 2.0, 0.2, 0.2, 0.1, 0.5
TIMES = {"beat": BEAT, "ttl": TTL, "grace": GRACE, "kill_confirm": CONFIRM,
         "drift": DRIFT, "lock_delay": DELAY}
STALL = 0.25                    # gaps of the broker's loop above this shift its deadlines

# Prints what of the list in file $1 (lines of pid and start time) still lives.
LOOK = r"""
while read -r pid start; do
    stat=$(cat /proc/$pid/stat 2>/dev/null) || continue
    set -- ${stat##*) }
    [ "${20}" = "$start" ] && [ "$1" != Z ] && echo "lives $pid"
done < "$1"
echo looked
"""
# Says so when it is asked to end, and does not.
ASKED = r"""
trap 'echo asked' TERM
echo running $$
while :; do sleep 0.05; done
"""


class Pool:
    """The three hosts, the broker on the first, and a watcher beside it."""

    def __init__(self, place, max_slots=8, unmanaged=(), **times):
        self.hub, self.vm2, self.vm3 = self.hosts = network(place, "hub", "vm2", "vm3")
        self.times = {**TIMES, **times}
        self.hub.configure(
            max_slots=max_slots, unmanaged=list(unmanaged), bind=[self.hub.endpoint, endpoint(self.hub)], insecure=True,
            hosts={host.name: {"max_slots": max_slots} for host in self.hosts},
            timing={name: "%dms" % (seconds * 1000) for name, seconds in self.times.items()})
        self.broker = self.hub.broker()
        self.watcher = Client(self.hub.endpoint)
        place.at_end(self.watcher.close)

    @property
    def ttl(self):
        return self.times["ttl"]

    @property
    def delay(self):
        return self.times["lock_delay"]

    def slots(self, host):
        """{token: row} of what the broker counts there."""
        rows = self.watcher.status().get("agents", [])
        return {row["token"]: row for row in rows if row["host"] == host.name}

    def waiting(self, host):
        return [row for row in self.watcher.status().get("queue", []) if row["host"] == host.name]

    def running(self, host):
        """{token: pid} of the trees that are known there."""
        return {token: row.get("pid") for token, row in self.slots(host).items()
                if row["state"] == "active"}

    def agents(self, host, project, count, **options):
        """A supervisor there, and its agents when all are known: {token: pid}."""
        supervisor = Supervisor(host, project)
        for _ in range(count):
            supervisor.run(**options)
        pids = set(supervisor.started(count))
        # before its command a tree is known by another pid, or by none
        wait_until(lambda: set(self.running(host).values()) == pids, "%s are known" % pids)
        return supervisor, self.running(host)

    def until_free(self, host):
        """Wait until the broker counts nothing there. At no time is it so
        while an agent lives. (When it was seen, when the last agent was.)"""
        last = None
        deadline = time.monotonic() + 60
        while True:
            if host.agents():
                last = time.monotonic()
            if not self.slots(host):
                seen = time.monotonic()
                assert not host.agents(), "%s has no slots, and agents" % host.name
                return seen, last
            assert time.monotonic() < deadline, self.slots(host)

    def reasons(self, count):
        """Why the broker took slots back, when it has said so of so many."""
        def said():
            return re.findall(r"\brelease .*\breason=(\w+)", self.broker.text())
        return wait_until(lambda: len(said()) >= count and said(), "%d releases" % count)

    def suspects(self, host):
        """Lines that call a session of this host late."""
        sessions = re.findall(r'\bhello +session=(\d+) .*host="%s"' % host.name, self.broker.text())
        late = re.findall(r"\bsuspect +session=(\d+)", self.broker.text())
        return set(sessions) & set(late)


def list_of(place, pids):
    """A file for LOOK."""
    path = os.path.join(place.path, "list")
    with open(path, "w") as f:
        for pid in pids:
            try:
                f.write("%d %d\n" % (pid, start_time(pid)))
            except OSError:
                pass            # a `sleep` of an agent's loop
    return path


def go_file(place):
    return os.path.join(place.path, "go")


def go(place):
    open(go_file(place), "w").close()


@case
def each_host_has_slots_of_its_own_and_gets_them_back(place):
    pool = Pool(place, ttl=20.0, lock_delay=5.0)
    crews = [pool.agents(host, project, count, go=go_file(host)) for host, project, count in (
        (pool.hub, "consilio", 1), (pool.vm2, "consilio", 2), (pool.vm3, "odin", 1))]
    seen = status(pool.hub)
    assert seen["in_use"] == 4, seen
    assert {h["host"]: h["in_use"] for h in seen["hosts"]} == {"hub": 1, "vm2": 2, "vm3": 1}, seen
    assert all(h["max_slots"] == 8 for h in seen["hosts"]), seen
    where = sorted((a["host"], p["name"]) for p in seen["projects"] for a in p["agents"])
    assert where == [("hub", "consilio"), ("vm2", "consilio"), ("vm2", "consilio"),
                     ("vm3", "odin")], where
    for host, (supervisor, agents), left in zip(pool.hosts, crews, (3, 1, 0)):
        began = time.monotonic()
        go(host)
        pool.until_free(host)
        print("# %s: free after %d ms" % (host.name, (time.monotonic() - began) * 1000))
        assert time.monotonic() - began < pool.ttl / 2, "by time, and not by proof"
        assert status(pool.hub)["in_use"] == left
        assert [supervisor.ended(n + 1) for n in range(len(agents))] == [0] * len(agents)
    assert pool.reasons(4) == ["reaped"] * 4


def hosts_by_name(place):
    return {row["host"]: row for row in status(place)["hosts"]}


def healths(place):
    """{host: line} of `slotbus health --json`."""
    code, out, err = place.run("slotbus", "health", "--json")
    assert code == 0, (code, err)
    return {line["host"]: line for line in map(json.loads, out.splitlines())}


def sampled(rows):
    return {"hub", "vm2", "vm3"} == {n for n, row in rows.items() if row.get("load1") is not None} and rows


@case
def every_host_says_how_it_is(place):
    pool = Pool(place, ttl=8.0, lock_delay=1.0)
    pool.vm2.show("/proc/loadavg", "222.0 1.00 1.00 1/100 4711\n")
    pool.vm3.show("/proc/loadavg", "333.0 1.00 1.00 1/100 4711\n")
    pool.agents(pool.vm2, "consilio", 1)
    pool.agents(pool.vm3, "odin", 1)
    for host in (pool.hub, pool.vm3):       # everybody can ask
        for ask in (hosts_by_name, healths):
            seen = wait_until(lambda: sampled(ask(host)), "all are sampled")
            assert (seen["vm2"]["load1"], seen["vm3"]["load1"]) == (222, 333), seen
            assert seen["hub"]["load1"] not in (222, 333), seen
            assert all(seen[name]["memory_percent"] > 0 and seen[name]["level"] == "healthy"
                       for name in ("hub", "vm2", "vm3")), seen
    pool.vm2.unplug()

    def fresh():
        return {name for name, row in hosts_by_name(pool.hub).items() if row["age_ms"] < 2000}
    wait_until(lambda: fresh() == {"hub", "vm3"}, "only what is heard is fresh")


@case
def another_host_tells_what_its_agents_take_and_what_runs_outside_them(place):
    name = "zz-far-%d" % os.getpid()
    pool = Pool(place, unmanaged=[name], ttl=8.0, lock_delay=1.0)
    outside = os.path.join(place.path, name)
    shutil.copy(shutil.which("sleep"), outside)
    os.makedirs(os.path.join(place.path, "consilio"))
    pool.vm2.start("/bin/sh", "-c", "cd '%s/consilio' && exec '%s' 600" % (place.path, outside))
    pool.agents(pool.vm2, "consilio", 1)
    agent = wait_until(lambda: [a for p in status(pool.hub)["projects"] for a in p["agents"] if a["memory_bytes"]],
                       "its agent is measured")[0]
    assert agent["host"] == "vm2" and 100 << 10 < agent["memory_bytes"] < 100 << 20, agent
    row = wait_until(lambda: hosts_by_name(pool.hub)["vm2"]["unmanaged"] and hosts_by_name(pool.hub)["vm2"],
                     "what runs there is told")
    assert (row["unmanaged"], row["unmanaged_of"]) == (1, "consilio"), row
    assert row["unmanaged_bytes"] > 0, row


@case
def slots_of_an_unplugged_host_are_free_when_its_agents_are_gone(place):
    pool = Pool(place, max_slots=4, beat=0.2, ttl=3.0, lock_delay=0.6)
    pool.agents(pool.vm2, "consilio", 2)
    others = {host: pool.agents(host, project, 1)[1] for host, project in (
        (pool.vm3, "consilio"), (pool.hub, "odin"))}
    waiter = Supervisor(pool.hub, "openhorizon")
    number = waiter.run(LOOK, go=list_of(place, pool.vm2.agents()), options="-n 2")
    wait_until(lambda: pool.waiting(pool.hub), "somebody waits for just these slots")
    pool.vm2.unplug()
    cut = time.monotonic()
    free, last = pool.until_free(pool.vm2)
    print("# after the cable: agents gone %d ms, slots free %d ms (T %d, L %d)" % (
        (last - cut) * 1000, (free - cut) * 1000, pool.ttl * 1000, pool.delay * 1000))
    assert last - cut < pool.ttl, "agents live when their session is lost"
    assert free - cut < pool.ttl + pool.delay + 1 + moved(pool.broker, STALL), "free too late"
    assert waiter.ended(number) == 0, waiter.shell.text()
    assert waiter.shell.lines["stdout"] == ["looked", "ended 1 0"], waiter.shell.text("stdout")
    for host, agents in others.items():
        assert agents.items() <= pool.running(host).items()
        assert all(alive(pid) for pid in agents.values())
        assert not pool.suspects(host), pool.broker.text()
    assert pool.suspects(pool.vm2)


@case
def a_host_that_is_plugged_in_again_in_time_loses_nothing(place):
    pool = Pool(place, ttl=8.0, lock_delay=1.0)
    supervisor, agents = pool.agents(pool.vm2, "consilio", 2)
    shim = supervisor.shim()

    def late():
        return [row for row in pool.slots(pool.vm2).values() if row.get("suspect")]

    pool.vm2.unplug()
    wait_until(late, "the broker misses the host")
    pool.vm2.plug()
    wait_until(lambda: not late(), "it is heard again")
    assert pool.running(pool.vm2) == agents
    assert all(alive(pid) for pid in agents.values()) and alive(shim)
    number = supervisor.run("exit 4")
    assert supervisor.ended(number) == 4
    assert not re.search(r"\blost +session=", pool.broker.text()), pool.broker.text()


@case
def a_host_that_is_plugged_in_too_late_begins_again_by_itself(place):
    pool = Pool(place, max_slots=3)
    supervisor, agents = pool.agents(pool.vm2, "consilio", 2)
    shim = supervisor.shim()
    _, others = pool.agents(pool.vm3, "odin", 1, go=go_file(pool.vm3))
    before = supervisor.run("exit 5")       # there is no slot for it
    wait_until(lambda: pool.waiting(pool.vm2), "it waits")
    pool.vm2.unplug()
    during = supervisor.run("exit 6")
    pool.until_free(pool.vm2)
    assert [supervisor.ended(n) for n in (1, 2)] == [128 + signal.SIGTERM] * 2
    assert supervisor.shim() == shim and alive(shim)
    pool.vm2.plug()
    assert supervisor.ended(before) == 5
    assert supervisor.ended(during) == 6
    after = supervisor.run("exit 7")
    assert supervisor.ended(after) == 7
    assert supervisor.shim() == shim and alive(shim)
    assert not set(pool.slots(pool.vm2)) & set(agents)
    assert pool.running(pool.vm3) == others


@case
def a_reboot_frees_the_slots_without_the_lock_delay(place):
    pool = Pool(place, lock_delay=20.0)
    _, agents = pool.agents(pool.vm2, "consilio", 2)
    cut = time.monotonic()
    pool.vm2.reboot()
    supervisor = Supervisor(pool.vm2, "consilio")
    number = supervisor.run("exit 8")
    supervisor.shell.wait_line(r"\bPAUSED: another boot\b")
    assert set(pool.slots(pool.vm2)) == set(agents), "before T the old boot may still live"
    wait_until(lambda: not set(pool.slots(pool.vm2)) & set(agents), "the slots are free")
    took = time.monotonic() - cut
    print("# after the reboot: slots free %d ms (T %d, L %d)" % (
        took * 1000, pool.ttl * 1000, pool.delay * 1000))
    # the last beat was at most a beat and a stall earlier than the cut
    assert took > pool.ttl - BEAT - STALL, "the old boot may still have lived"
    assert took < pool.ttl + pool.delay / 2, "waited for more than T"
    assert pool.reasons(2)[:2] == ["rebooted"] * 2
    assert supervisor.ended(number) == 8, "who waited is served"


def paused(supervisor):
    """A `run` that waits for the end of the conflict: its host has a session.
    Its number."""
    said = len(supervisor.shell.lines["stderr"])
    number = supervisor.run("exit 0")
    supervisor.shell.wait_line(r"\bPAUSED: two living hosts\b", start=said)
    return number


def waits(supervisor):
    """The same where its host has no session."""
    said = len(supervisor.shell.lines["stderr"])
    number = supervisor.run("exit 0")
    supervisor.shell.wait_line(r"\bPAUSED: .*\bcopy\b", start=said)
    return number


def works(supervisor):
    return supervisor.ended(supervisor.run("exit 0")) == 0


@case
def a_copy_that_booted_by_itself_gets_nothing_and_so_does_the_original(place):
    pool = Pool(place, ttl=3.0)
    pool.vm3.become(pool.vm2.machine, pool.vm3.boot)
    original, agents = pool.agents(pool.vm2, "consilio", 1)
    copy = Supervisor(pool.vm3, "consilio")
    waits(copy)
    pool.broker.wait_line(r"\bhost_conflict\b")
    number = paused(original)
    assert pool.running(pool.vm2) == agents and not pool.slots(pool.vm3)
    assert all(alive(pid) for pid in agents.values()), "what runs, runs on"
    pool.vm3.crash()
    assert original.ended(number) == 0, "without the copy the original gets slots"
    assert agents.items() <= pool.running(pool.vm2).items()
    copy = Supervisor(pool.vm3, "consilio")
    number = waits(copy)
    pool.vm2.crash()
    assert copy.ended(number) == 0, "without the original the copy gets slots"


@case
def a_copy_of_a_running_host_gets_nothing_and_so_does_the_original(place):
    pool = Pool(place, ttl=3.0)
    pool.vm3.become(pool.vm2.machine, pool.vm2.boot)
    original = Supervisor(pool.vm2, "consilio")
    assert works(original)
    copy = Supervisor(pool.vm3, "consilio")
    copy.run("exit 0")      # may be served until the original is heard again
    pool.broker.wait_line(r"\bhost_conflict\b")
    number = waits(original)
    paused(copy)
    pool.vm3.crash()
    assert original.ended(number) == 0, "without the copy the original gets slots"
    copy = Supervisor(pool.vm3, "consilio")
    said = len(pool.broker.lines["stderr"])
    copy.run("exit 0")
    pool.broker.wait_line(r"\bhost_conflict\b", start=said)
    waits(original)
    number = paused(copy)
    pool.vm2.crash()
    assert copy.ended(number) == 0, "without the original the copy gets slots"


@case
def a_host_that_slept_too_long_ends_everything_as_it_wakes(place):
    pool = Pool(place, grace=1.5, ttl=3.0)
    supervisor, agents = pool.agents(pool.vm2, "consilio", 2, script=ASKED)
    pool.vm2.stop()
    # here alone slots are given up while agents exist: no clock told the broker
    wait_until(lambda: not pool.slots(pool.vm2), "its slots are given up")
    assert all(alive(pid) for pid in agents.values()), "what sleeps cannot end"
    woken = time.monotonic()
    pool.vm2.go_on()
    wait_until(lambda: not pool.vm2.agents(), "its agents end")
    took = time.monotonic() - woken
    print("# agents gone %d ms after waking" % (took * 1000))
    assert took < 1.5, "there was a grace"
    assert [supervisor.ended(n) for n in (1, 2)] == [128 + signal.SIGKILL] * 2
    assert "asked" not in supervisor.shell.lines["stdout"]
    number = supervisor.run("exit 9")
    assert supervisor.ended(number) == 9


@case
def people_on_another_host_see_and_end_but_do_not_govern(place):
    pool = Pool(place)
    supervisor, _ = pool.agents(pool.vm2, "consilio", 2)
    _, others = pool.agents(pool.hub, "odin", 1)
    seen = status(pool.vm2)
    assert {h["host"]: h["in_use"] for h in seen["hosts"]} == {"hub": 1, "vm2": 2}, seen
    code, out, err = pool.vm2.run("slotbus", "set-max", "3")
    assert code == 77, (code, out, err)
    assert status(pool.hub)["max_slots"] == 8
    code, out, err = pool.vm2.run("slotbus", "kill", "consilio", "--yes")
    assert code == 0 and "2 slots released" in out, (code, out, err)
    assert not pool.vm2.agents() and not pool.slots(pool.vm2)
    assert [supervisor.ended(n) for n in (1, 2)] == [128 + signal.SIGTERM] * 2
    assert pool.running(pool.hub) == others


if __name__ == "__main__":
    main()
