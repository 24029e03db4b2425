# SPDX-License-Identifier: MPL-2.0
"""What agents take is measured while they run, shown, recorded and learnt; and
what looks like an agent and has no slot is reported and left alone."""
import json
import os
import shutil
import subprocess

from agents import Supervisor, agents, agents_of, project, status
from harness import alive, case, main, wait_until

MB = 1 << 20
# Has $SIZE MB in two processes, and says so.
HOLDS = r"""
hold () { exec /usr/bin/python3 -c '
import sys, time
held = bytearray(b"x") * (int(sys.argv[1]) << 20)
open(sys.argv[2], "w").close()
time.sleep(600)' "$1" "$0.$2"; }
( hold SIZE one ) &
( hold SIZE two ) &
until [ -e "$0.one" ] && [ -e "$0.two" ]; do sleep 0.02; done
echo running $$
until [ -e "$1" ]; do sleep 0.02; done
kill $(jobs -p)
exit $2
"""
BURNS = r"""
echo running $$
until [ -e "$1" ]; do :; done
exit $2
"""


def bare_python():
    """What an interpreter that holds nothing has of its own."""
    idle = subprocess.Popen(["/usr/bin/python3", "-c", "print(1, flush=True); input()"],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    idle.stdout.readline()
    with open("/proc/%d/statm" % idle.pid) as f:
        _, resident, shared = map(int, f.read().split()[:3])
    idle.communicate(b"\n")
    return (resident - shared) * os.sysconf("SC_PAGESIZE")


def the_agent(place):
    return next(iter(agents_of(place, "consilio").values()), {"memory_bytes": None, "cpu_s": None})


@case
def agents_of_known_size_show_their_memory_within_a_fifth(place):
    agents(place, 1, HOLDS.replace("SIZE", "60"))
    wanted = 2 * (60 * MB + bare_python())

    def measured():     # what it had while it grew may be shown for a moment
        agent = the_agent(place)
        return (agent["memory_bytes"] or 0) > 0.8 * wanted and agent
    agent = wait_until(measured, "it is measured")
    print("# %d MB of %d" % (agent["memory_bytes"] / MB, wanted / MB))
    assert agent["memory_bytes"] < 1.2 * wanted, (agent["memory_bytes"], wanted)
    code, out, err = place.run("slotbus", "status", "consilio")
    assert code == 0 and " MB, CPU " in out, out


@case
def processor_time_is_seen_while_it_is_used_and_recorded(place):
    place.broker()
    supervisor = Supervisor(place, "consilio")
    go = os.path.join(place.path, "go")
    number = supervisor.run(BURNS, go=go)
    supervisor.started(1)
    wait_until(lambda: project(place, "consilio") and (the_agent(place)["cpu_s"] or 0) > 0.5,
               "it has used half a second")
    seen = the_agent(place)["memory_bytes"]
    open(go, "w").close()
    assert supervisor.ended(number) == 0
    wait_until(lambda: not project(place, "consilio") or project(place, "consilio")["held"] == 0, "it is gone")

    def recorded():
        code, out, err = place.run("slotbus", "history", "consilio", "--json")
        assert code == 0, err
        return "cpu_ms" in out and out
    out = wait_until(recorded, "it is in the history")
    run = json.loads(out)["runs"][0]
    assert run["cpu_ms"] > 500, run
    assert run["memory_bytes"] >= seen, (run, seen)


@case
def what_slots_need_is_learnt_survives_a_restart_and_is_advised(place):
    broker = place.broker()
    supervisor = Supervisor(place, "consilio")
    code, out, err = place.run("slotbus", "advise", "--cores", "8", "--memory", "16")
    assert code == 0 and "would need" not in out, out
    go = os.path.join(place.path, "go")
    open(go, "w").close()
    for _ in range(5):
        number = supervisor.run("echo running $$; exit 0", go=go)
        supervisor.ended(number)
    need = wait_until(lambda: status(place)["slot_bytes"], "the need of a slot is known")

    def advice():
        code, out, err = place.run("slotbus", "advise", "--cores", "8", "--memory", "16")
        assert code == 0 and err == "", err
        return out
    assert "   20 slots would need about " in advice() and " at p90; " in advice(), advice()
    assert "%d fit\n" % int(16 * 1024 * MB / need) in advice() + "\n", (advice(), need)
    wait_until(lambda: "consilio" in place.run("slotbus", "history")[1], "it is on disk")
    broker.signal(15)
    broker.wait_exit()
    place.broker()
    assert status(place)["slot_bytes"] == need
    code, out, err = place.run("slotbus", "advise", "--cores", "8", "--memory", "16",
                               env={"SLOTBUS_BROKER": "ipc:///nonexistent/broker"})
    assert code == 0 and err == "" and "8 cores, 16 GB: 20 slots" in out and "need" not in out, (out, err)


@case
def advice_is_what_auto_takes_where_less_may_be_used(place):
    one = {min(os.sched_getaffinity(0))}
    place.configure(max_slots="auto", max_per_project="auto")
    place.broker(preexec=lambda: os.sched_setaffinity(0, one))
    taken = status(place)["max_slots"]
    code, out, err = place.run("slotbus", "advise", preexec=lambda: os.sched_setaffinity(0, one))
    assert code == 0 and out.startswith("1 core, ") and taken <= 2, (out, taken)
    assert "max_slots: auto takes %d;" % taken in out, (out, taken)


def unmanaged(place):
    host = status(place)["hosts"][0]
    return host["unmanaged"], host["unmanaged_bytes"], host["unmanaged_of"]


def copied_sleep(place, name, folder):
    """A program of that name that sleeps, at work in that folder."""
    path = os.path.join(place.path, name)
    if not os.path.exists(path):
        shutil.copy(shutil.which("sleep"), path)
    os.makedirs(folder, exist_ok=True)
    return place.start(path, "600", preexec=lambda: os.chdir(folder))


@case
def an_agent_outside_any_slot_is_reported_and_not_touched(place):
    name = "zz-claude-%d" % os.getpid()
    place.configure(unmanaged=[name], projects={"odin": {}})
    place.broker()
    wait_until(lambda: unmanaged(place) == (0, 0, None), "nothing is there")
    outside = copied_sleep(place, name, os.path.join(place.path, "Odin", "src"))
    wait_until(lambda: unmanaged(place)[0] == 1, "it is seen")
    assert unmanaged(place)[1] > 0 and unmanaged(place)[2] == "odin", unmanaged(place)
    code, out, err = place.run("slotbus", "status")
    assert "   unmanaged: 1 process, " in out and " (odin?)\n" in out, out
    # one under a slot is none of them
    supervisor = Supervisor(place, "odin")
    supervisor.run("echo running $$; exec %s 600" % os.path.join(place.path, name))
    inside = supervisor.started(1)[0]
    second = copied_sleep(place, name, place.path)
    wait_until(lambda: unmanaged(place)[0] == 2, "the next look has come")
    assert alive(outside.pid) and alive(second.pid)
    # nor is one that holds slots: a supervisor
    assert place.run("slotbus", "request", "odin", "1", "--watch", str(outside.pid))[0] == 0
    wait_until(lambda: unmanaged(place)[0] == 1, "a supervisor is managed")
    second.signal(9)
    outside.signal(9)
    wait_until(lambda: unmanaged(place) == (0, 0, None), "they are gone, and only they")
    assert alive(inside)


if __name__ == "__main__":
    main()
