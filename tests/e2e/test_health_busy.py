# SPDX-License-Identifier: MPL-2.0
"""Busy processors and a high load, with real agents that cause them, and
strangers that do: who is ended, and who never is."""
import os
import re
import time

from harness import Skip, alive, main, wait_until
from own_host import BURNS, Host, touch
from seed import day, status

CORES = len(os.sched_getaffinity(0))
MB = 1 << 20


# ---- processors: never a kill ----

def calm(samples, limit):
    """The longest time, in ms, that the processors were not above it."""
    longest, since = 0, None
    for s in samples:
        since = (since or s["at_ms"]) if s.get("cpu_percent", 100) <= limit else None
        longest = max(longest, s["at_ms"] - (since or s["at_ms"]))
    return longest


def effective_cores(place):
    """As the broker counts them: a container may have a quota."""
    code, out, err = place.run("slotbus", "advise")
    assert code == 0, (out, err)
    return int(re.search(r"(\d+) cores?", out).group(1))


def busy_processors_freeze(place, more):
    """One agent, or that many more than cores, that keep all processors busy; then they finish."""
    cores = effective_cores(place)
    count = cores + more if more else 1
    host = Host(place, max_slots=cores + 4, max_per_project=cores + 4)
    burners = host.agents(count, BURNS.replace("COUNT", str(CORES)))
    for path, _, _ in burners:
        touch(path + ".start")
    busy = min(s["cpu_percent"] for s in host.lasts(600)[2:])
    limit = max(6, 0.7 * busy)
    assert not host.said("health"), host.said("health")
    host.limits({"max_cpu_percent": limit})
    seen = host.level("cpu", "degraded")
    assert seen["cpu_percent"] > limit and seen["level"] == "degraded", seen

    frozen = max(count, cores)
    host.effective(frozen)
    assert re.match(r"cpu \d+\.\d% of ", host.pool["cause"]), host.pool
    others = host.agents(frozen - count)    # a slot per core is granted still,
    last, number = host.agent()             # and no more
    queued = host.waiting()
    assert queued["reason"] == "HEALTH" and queued["detail"].startswith("cpu "), queued
    held = host.lasts(3000)                 # ten dwells, and as many settling times
    assert {s["cpu_level"] for s in held} == {"degraded"}, held
    assert host.pool["effective"] == frozen and len(host.pids()) == frozen
    host.nobody_was_ended(host.pids())

    for path, _, _ in burners:
        touch(path)
    assert [host.crew.ended(n) for _, n, _ in burners] == [0] * count
    host.limits({"max_cpu_percent": 100})
    first, until = len(host.samples), time.monotonic() + 6
    whole = host.wait(lambda: host.pool["effective"] == cores + 4 and "it is whole"
                      or (time.monotonic() > until and calm(host.samples[first:], 95) < 1000 and "others are busy"),
                      "all is back")
    print("# " + whole)
    if whole != "it is whole":              # for as long as others like
        assert host.pool["effective"] == frozen
        host.limits({})
        host.effective(cores + 4)
    host.crew.started(frozen + 1)           # it was granted in the end
    assert all(alive(pid) for _, _, pid in others)
    assert not host.said("victim") and not host.saved()


@day
def busy_processors_leave_a_slot_per_core_and_end_nobody(place):
    busy_processors_freeze(place, 0)


@day
def busy_processors_take_nothing_from_what_runs(place):
    busy_processors_freeze(place, 2)


# ---- load: a victim where it is theirs ----

def burn_outside(host, count, name):
    """A program of that name that burns in so many processes, in no lease."""
    path, flag = os.path.join(host.place.path, name), os.path.join(host.place.path, "burns")
    with open(path, "w") as f:
        f.write("#!/bin/sh\n"
                "i=0; while [ $i -lt %d ]; do nice -n 19 timeout 60 sh -c 'while [ -e \"$0\" ]; do :; done' '%s' &\n"
                "i=$((i+1)); done; echo burns; wait\n" % (count, flag))
    os.chmod(path, 0o755)
    touch(flag)
    program = host.place.start(path)
    program.wait_line("burns", "stdout")
    return program, flag


def others_running(host):
    """How many tasks run anyway, at most."""
    return max(int(s.get("running", 0)) for s in host.lasts(1000))


def overload(host):
    """Load is critical, whatever it is now: it moves slowly."""
    load = host.wait(lambda: host.listen()["load1"] >= 0.25 and host.listen()["load1"], "there is some load")
    host.limits({"max_load_average": max(0.1, load / 2)})
    host.level("load", "critical")


@day
def load_ends_one_after_the_other_once_it_is_theirs_and_nobody_before(place):
    host = Host(place)
    count = min(others_running(host) + 10, 40)      # two of them have more than all others
    agents = host.agents(3, BURNS.replace("COUNT", str(count)))
    pids = [pid for _, _, pid in agents]
    # An agent that looks for its file may be two tasks: one starts the other.
    outside, flag = burn_outside(host, count + 4 * len(agents), "codex")
    overload(host)
    host.effective(1)                       # half of the three that run
    host.agent()
    queued = host.waiting()
    assert queued["reason"] == "HEALTH" and "nothing is granted" in queued["detail"], queued
    assert re.match(r"load \d+\.\d of \d", queued["detail"]), queued
    host.broker.wait_line(r"outside  host=.* load from outside slotbus: nobody is ended for it")
    host.lasts(2000)                        # several times load_after and load_settle
    host.nobody_was_ended(pids)
    assert status(place)["effective_cause"].endswith(", load from outside slotbus"), status(place)
    code, out, err = place.run("slotbus", "status", "--victims")
    assert code == 0 and re.search(r"critical: load .*, load from outside slotbus$", out, re.M), (out, err)

    os.unlink(flag)
    assert outside.wait_exit() == 0
    for path, _, _ in agents:
        touch(path + ".start")
    why = r"load \d+\.\d of [\d.]+: priority 5, newest"
    host.broker.wait_line(r"victim .* project=consilio token=3 slots=1 label=.* for=load .* running=%s reason=\"%s\""
                          % (r"\d+", why))
    host.broker.wait_line(r"victim .* token=2 .* for=load .*reason=")
    host.wait(lambda: len(host.said("settled")) == 2, "both have ended")
    host.lasts(1000)                        # and nobody else is: he is the last
    assert host.crew.ended(agents[2][1]) >= 128 and host.crew.ended(agents[1][1]) >= 128
    order = [re.sub(r".*\] (\w+) .*?(?:token=(\d+))?( .*|$)", r"\1", line) for line in host.broker.lines["stderr"]
             if re.search(r"\] (victim|ended|settled) ", line)]
    assert order == ["victim", "ended", "settled"] * 2, order   # one at a time
    saved = wait_until(lambda: len(host.saved()) == 2 and host.saved(), "both were told before")
    assert [line.split(":")[0] for line in saved] == ["consilio 3 agent-3", "consilio 2 agent-2"], saved
    assert re.fullmatch(r"consilio 3 agent-3: " + why, saved[0]), saved
    assert alive(pids[0]) and len(host.pids()) == 3

    host.limits({"max_load_average": 10000})
    host.effective(8)
    host.crew.started(4)                    # who waited was granted
    assert alive(pids[0]) and len(host.said("victim")) == 2


# ---- who is the real culprit ----

HOLDS = """#!/usr/bin/python3
import sys
held = bytearray(b"x") * (%d << 20)
print("holds", flush=True)
sys.stdin.read()
"""


@day
def memory_that_a_stranger_has_is_his_and_costs_no_agent(place):
    name, size = "codex-%d" % os.getpid(), 200
    host = Host(place, unmanaged=[name], projects={"consilio": {}})
    pids = [pid for _, _, pid in host.agents(2)]
    folder = os.path.join(place.path, "consilio")
    os.makedirs(folder)
    path = os.path.join(place.path, name)
    with open(path, "w") as f:
        f.write(HOLDS % size)
    os.chmod(path, 0o755)
    stranger = place.start(path, cwd=folder, stdin=-1)
    stranger.wait_line("holds", "stdout")
    row = wait_until(lambda: next((h for h in status(place)["hosts"] if h["unmanaged"] == 1
                                   and h["unmanaged_bytes"] >= size * MB), None), "he is seen")
    assert row["unmanaged_bytes"] < 1.2 * size * MB + 30 * MB, row
    used = host.listen()["memory_percent"]
    if used < 2:
        raise Skip("only %.1f %% of the memory are in use here" % used)
    host.limits({"critical_memory_percent": used / 2})
    host.level("memory", "critical")
    host.broker.wait_line(r"outside  host=.* memory from outside slotbus: nobody is ended for it")
    host.agent()
    assert "nothing is granted" in host.waiting()["detail"], host.waiting()
    host.lasts(2000)
    host.nobody_was_ended(pids)
    assert alive(stranger.pid)
    code, out, err = place.run("slotbus", "status")
    said = re.search(r"^   unmanaged: 1 process, (\d+) MB \(consilio\?\)$", out, re.M)
    assert code == 0 and said and size <= int(said.group(1)), out
    code, out, err = place.run("slotbus", "status", "--victims")
    assert re.search(r"critical: memory .*, memory from outside slotbus$", out, re.M), out
    host.limits({})
    host.crew.started(3)
    host.effective(8)
    assert alive(stranger.pid)


if __name__ == "__main__":
    main()
