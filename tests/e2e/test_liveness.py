# SPDX-License-Identifier: MPL-2.0
"""What dies takes no slot with it: real shims, keepers, trees and brokers."""
import os
import re
import signal
import time

from agents import STUBBORN, Supervisor, agents, agents_of, keepers, project, slots_return, status, trees
from harness import SHORT, alive, case, main, wait_until


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
    broker, supervisor = agents(place, 2, timing=SHORT)
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
    broker, supervisor = agents(place, 2, timing=SHORT)
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
    broker, supervisor = agents(place, 2, timing=SHORT)
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
