# SPDX-License-Identifier: MPL-2.0
"""Shims, keepers and agents that are killed or stopped, again and again."""
import signal

from campaign import (TREE_NAMES, Crew, Watch, check_logs, dice, kill_as_one, lasts, main, send,
                      spread)
from agents import keepers          # campaign knows where it is
from harness import wait_until

AGENTS = 2


def crew_at_work(watch, crew):
    """Two more agents, whole and known: their numbers and {token: [pids]}."""
    numbers = [crew.agent(status=7) for _ in range(AGENTS)]
    rows = wait_until(lambda: watch.settled(crew.name, AGENTS), "the agents are known")
    return numbers, wait_until(lambda: watch.whole(rows, TREE_NAMES), "whole trees")


def killed(place, count, victims):
    """SIGKILL of what `victims` (crew) names, as if at one instant: the trees
    end, and their slots are free within 2 s of the last process and never
    before (L3)."""
    place.configure()
    broker = place.broker()
    watch = Watch(place, broker)
    crew = Crew(place, "consilio")
    took = []
    for _ in range(count):
        numbers, trees = crew_at_work(watch, crew)
        kill_as_one(victims(crew))
        took.append(watch.slots_return("consilio", trees))
        assert not watch.trees()
        assert all(crew.ended(n) != 0 for n in numbers)
    crew.dismiss()
    check_logs([broker])
    spread("slots free after the last process", took)


def shims_killed(place, count):
    killed(place, count, lambda crew: [crew.shim()])


def keepers_killed(place, count):
    killed(place, count, lambda crew: keepers(place, crew.name))


def both_killed(place, count):
    killed(place, count, lambda crew: [crew.shim()] + keepers(place, crew.name))


def stopped(place, count, victims, ttl=1.5):
    """SIGSTOP for up to 1.6 T, while others want the slots: what lives is
    always counted (I4), and in the end all is given back."""
    random = dice()
    place.configure(max_slots=AGENTS + 1, max_per_project=AGENTS + 1,
                    timing={"ttl": "%dms" % (1000 * ttl)})
    broker = place.broker()
    watch = Watch(place, broker)
    crew, other = Crew(place, "consilio"), Crew(place, "odin")
    kept = 0
    for _ in range(count):
        numbers = [crew.agent(status=7) for _ in range(AGENTS)]
        wait_until(lambda: watch.settled("consilio", AGENTS), "the agents are known")
        wanted = [other.agent(status=8, script="read -r _ <\"$1\"; exit $2") for _ in range(AGENTS)]
        wait_until(lambda: watch.status().get("queue_total"), "somebody waits")
        trees = watch.trees()
        pids = victims(crew, [p for t in trees for p in trees[t]])
        send(signal.SIGSTOP, pids)
        try:
            wait_until(lasts(random.uniform(0.1, 1.6) * ttl), "the stop", meanwhile=watch.check)
        finally:
            send(signal.SIGCONT, pids)
        for number in numbers:
            crew.let_go(number)
        ended = {}
        wait_until(lambda: len(ended) == AGENTS, "the agents end", meanwhile=lambda: (
            watch.check(), ended.update(codes_of(crew, numbers))))
        kept += list(ended.values()).count(7)
        for number in wanted:
            other.let_go(number)
        assert [other.ended(n) for n in wanted] == [8] * AGENTS
        wait_until(lambda: not watch.check().get("in_use"), "all slots are free")
    crew.dismiss()
    other.dismiss()
    check_logs([broker])
    print("# %d of %d agents outlived it" % (kept, AGENTS * count), flush=True)


def codes_of(crew, numbers):
    """{number: status} of those runs that have ended."""
    found = {}
    for line in crew.shell.lines["stdout"]:
        words = line.split()
        if words[0] == "ended" and int(words[1]) in numbers:
            found[int(words[1])] = int(words[2])
    return found


def shims_stopped(place, count, **options):
    stopped(place, count, lambda crew, pids: [crew.shim()], **options)


def keepers_stopped(place, count, **options):
    stopped(place, count, lambda crew, pids: keepers(place, crew.name), **options)


def agents_stopped(place, count, **options):
    stopped(place, count, lambda crew, pids: pids, **options)


if __name__ == "__main__":
    main(shims_killed, keepers_killed, both_killed, shims_stopped, keepers_stopped, agents_stopped)
