# SPDX-License-Identifier: MPL-2.0
"""Real trees that fork and grow over their limit are ended as a whole, however
well the host is, and nobody else is."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "faults"))

from agents import Supervisor
from campaign import Watch
from harness import Skip, alive, main, wait_until
from own_host import IDLE, Host, touch
from seed import day, row_of, status

MB = 1 << 20

# LINES lines of processes in the tree, each with SIZE MB: every one forks the
# next and ends, and SIGTERM ends the first of all only. Not for ever.
BREEDS = r"""exec /usr/bin/python3 -c '
import os, signal, sys, time
print("running %d" % os.getpid(), flush=True)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.02)
for line in range(LINES):
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if line % 2:
            os.setsid()
        held = bytearray(b"x") * (SIZE << 20)
        for left in range(400):
            time.sleep(0.1)
            if os.fork():
                os._exit(0)
        os._exit(0)
time.sleep(60)' "$@"
"""
BREED, MB_EACH, LIMIT = 12, 8, 40


def ended_as(place, token):
    code, out, err = place.run("slotbus", "history", "consilio", "--json")
    assert code == 0, err
    return next((run["outcome"] for run in json.loads(out)["runs"] if run["token"] == token), None)


def tree_runs_away(place, level):
    """A tree that grows over its memory_limit while the host is so."""
    used = os.statvfs("/")
    used = 100 * (used.f_blocks - used.f_bfree) / (used.f_blocks - used.f_bfree + used.f_bavail)
    if level != "healthy" and used < 2:
        raise Skip("the disk is empty here")
    host = Host(place, projects={"consilio": {"memory_limit": "%dM" % LIMIT}})
    bystander = Supervisor(place, "odin")
    bystander.run(IDLE)
    strangers = bystander.started(1) + [pid for _, _, pid in host.agents(1)]
    (path, number, root), = host.agents(1, BREEDS.replace("LINES", str(BREED)).replace("SIZE", str(MB_EACH)))
    token = max(a["token"] for a in row_of(place, "consilio")["agents"])
    if level != "healthy":
        key = {"degraded": "max_disk_percent", "critical": "critical_disk_percent"}[level]
        host.limits({key: max(1, used / 2)})
        host.level("disk", level)
    watch = Watch(place, host.broker)
    assert watch.trees()[token] == [root]
    touch(path)
    victim = host.broker.wait_line(r"victim .* project=consilio token=%d slots=1 label=\"agent-2\" for=runaway "
                                   r"memory_bytes=(\d+) running=\d+ reason=\"(.*)\"" % token)
    assert int(victim.group(1)) > LIMIT * MB, victim.group(0)
    assert "over its memory_limit %d.0 MiB by " % LIMIT in victim.group(2), victim.group(2)

    def is_free():
        held = watch.counted("consilio")
        living = watch.trees().get(token, [])
        assert token in held or not living, ("free, and it lives", living)
        return token not in held
    wait_until(is_free, "the slot is back")
    assert not watch.trees().get(token) and host.crew.ended(number) >= 128
    host.broker.wait_line(r"ended    host=.* project=consilio token=%d released=1 " % token)
    assert host.saved() == ["consilio %d agent-2: %s" % (token, victim.group(2))], host.saved()
    assert len(host.said("victim")) == 1 and not host.said("unkillable")
    wait_until(lambda: ended_as(place, token) == "killed", "it is in the history")
    assert all(map(alive, strangers)) and len(watch.trees()) == 2
    assert status(place)["health"]["level"] == level, status(place)


@day
def tree_that_forks_and_grows_is_ended_as_a_whole_on_a_healthy_host(place):
    tree_runs_away(place, "healthy")


@day
def tree_that_forks_and_grows_is_ended_as_a_whole_on_a_degraded_host(place):
    tree_runs_away(place, "degraded")


@day
def tree_that_forks_and_grows_is_ended_as_a_whole_on_a_critical_host(place):
    tree_runs_away(place, "critical")


if __name__ == "__main__":
    main()
