# SPDX-License-Identifier: MPL-2.0
"""park: a run gives its slots back while a command of it runs."""
import os
import re
import signal

from harness import alive, main, wait_until
from seed import by, day, in_use, in_vain, row_of, shims, status, supervisor, tree_members, wrapper

# What runs in a parked tree: says so, and waits until the test lets it go.
INNER = "echo parked; until [ -e %s/go ]; do sleep 0.02; done; exit 7"
# A level of a tree of trees: parks while the next one runs, goes on when it has
# ended, and passes its status on. The last one waits until the test lets it go.
LEVEL = """#!/bin/sh
echo down $1
code=3
if [ "$1" -lt 10 ]; then
    slotbus park -- slotbus run -p p --own-slot -l "level $(($1 + 1))" -- "$0" $(($1 + 1))
    code=$?
else
    until [ -e "${0%/*}/go" ]; do sleep 0.02; done
fi
echo up $1
exit $code
"""


def write(place, name, text, mode=0o644):
    path = os.path.join(place.path, name)
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, mode)
    return path


def let_go(place):
    write(place, "go", "")


def run(place, who, *words, **options):
    return place.start("slotbus", "run", "-p", "p", *words, env=by(who), **options)


def parked(place, project="p"):
    """(slots that are parked, its agents)."""
    row = row_of(place, project)
    return (sum(a["state"] == "parked" for a in row["agents"]), row["agents"]) if row else (0, [])


def agent_of(place, state, project="p"):
    """The project's only agent, once it is in that state."""
    def found():
        agents = parked(place, project)[1]
        return agents[0] if len(agents) == 1 and agents[0]["state"] == state else None
    return wait_until(found, "an agent of %s is %s" % (project, state))


def park_one(place, who, *words, after="echo back $?; until [ -e %s/end ]; do sleep 0.02; done"):
    """A run that is parked until the test lets it go."""
    inner = write(place, "inner.sh", INNER % place.path)
    started = run(place, who, *words, "--", "/bin/sh", "-c",
                  "slotbus park -- sh %s; %s" % (inner, after % place.path if "%s" in after else after))
    started.wait_line("^parked$", "stdout")
    return started


@day
def a_parked_run_holds_no_slot_and_comes_back_under_another_token(place):
    place.configure(max_slots=1, max_per_project=1)
    place.broker()
    who, other = supervisor(place), supervisor(place)
    tree = park_one(place, who, "-l", "auth")
    first = agent_of(place, "parked")
    assert in_use(place) == 0 and first["label"] == "auth"
    # somebody else has the slot meanwhile
    guest = place.start("slotbus", "run", "-p", "q", "--", "/bin/sh", "-c", "echo in; read x", stdin=-1, env=by(other))
    guest.wait_line("^in$", "stdout")
    let_go(place)
    tree.wait_line(r"^Waiting for slots \(1 agent ahead\)", "stderr")
    assert "back" not in tree.text("stdout")
    guest.process.stdin.close()
    tree.wait_line("^back 7$", "stdout")
    back = agent_of(place, "active")
    assert back["token"] > first["token"] and back["label"] == "auth" and back["pid"] == first["pid"]
    assert in_use(place) == 1
    write(place, "end", "")
    assert tree.wait_exit() == 0
    wait_until(lambda: in_use(place) == 0, "the slot is back")


@day
def ten_levels_of_runs_finish_on_a_pool_of_one(place):
    place.configure(max_slots=1, max_per_project=1)
    place.broker()
    who = supervisor(place)
    level = write(place, "level.sh", LEVEL, 0o755)
    top = run(place, who, "-l", "level 1", "--", level, "1")
    looks = []

    def ended():
        now = status(place)
        looks.append((now["in_use"], max(len(p["agents"]) for p in now["projects"] or [{"agents": []}])))
        if looks[-1][1] == 10:
            let_go(place)
        return top.process.poll() is not None
    wait_until(ended, "the first level ends", 60)
    assert top.wait_exit() == 3, top.text()
    most, deepest = map(max, zip(*looks))
    assert (most, deepest) == (1, 10), looks
    words = top.text("stdout").split("\n")
    assert words == ["down %d" % n for n in range(1, 11)] + ["up %d" % n for n in range(10, 0, -1)], words
    wait_until(lambda: in_use(place) == 0, "all is back")


@day
def a_park_that_is_refused_runs_the_command_all_the_same(place):
    place.configure(max_slots=2, max_parked=0)
    place.broker()
    who = supervisor(place)
    code, out, err = place.run("slotbus", "run", "-p", "p", "--", "/bin/sh", "-c",
                               "slotbus park -- sh -c 'echo $SLOTBUS_PARKED; exit 9'; echo got $?", env=by(who))
    assert code == 0 and out.split() == ["got", "9"], (out, err)
    assert "not parked, the slots are kept: 0 slots are parked, of at most 0" in err, err


@day
def a_tree_comes_back_by_itself_when_its_parker_is_killed(place):
    place.configure(max_slots=1, max_per_project=1)
    place.broker()
    who = supervisor(place)
    tree = run(place, who, "--", "/bin/sh", "-c",
               "slotbus park -- sleep 1000 & echo parker $!; until [ -e %s/end ]; do sleep 0.02; done" % place.path)
    parker = int(tree.wait_line(r"^parker (\d+)$", "stdout").group(1))
    first = agent_of(place, "parked")
    os.kill(parker, signal.SIGKILL)
    assert agent_of(place, "active")["token"] > first["token"]
    write(place, "end", "")
    assert tree.wait_exit() == 0
    wait_until(lambda: in_use(place) == 0, "the slot is back")


@day
def one_who_waits_for_the_way_back_may_be_interrupted(place):
    place.configure(max_slots=1, max_per_project=1)
    place.broker()
    who, other = supervisor(place), supervisor(place)
    tree = run(place, who, "--", "/bin/sh", "-c",
               "slotbus park -- sh -c 'echo parked; until [ -e %s/go ]; do sleep 0.02; done' &"
               "echo parker $!; wait; echo code $?; until [ -e %s/end ]; do sleep 0.02; done" % (place.path, place.path))
    parker = int(tree.wait_line(r"^parker (\d+)$", "stdout").group(1))
    agent_of(place, "parked")
    guest = place.start("slotbus", "run", "-p", "q", "--", "/bin/sh", "-c", "echo in; read x", stdin=-1, env=by(other))
    guest.wait_line("^in$", "stdout")
    let_go(place)
    tree.wait_line("^Waiting for slots", "stderr")
    os.kill(parker, signal.SIGTERM)
    wait_until(lambda: not alive(parker), "it ends")
    assert [w["project"] for w in status(place)["queue"]] == ["p"]
    guest.process.stdin.close()
    agent_of(place, "active")
    write(place, "end", "")
    assert tree.wait_exit() == 0


@day
def signals_to_park_reach_its_command_and_the_status_is_passed_on(place):
    place.configure(max_slots=1, max_per_project=1)
    place.broker()
    who = supervisor(place)
    script = write(place, "inner.sh", "trap 'echo hup' HUP\necho up\nwhile :; do sleep 0.02; done\n")
    tree = run(place, who, "--", "/bin/sh", "-c",
               "slotbus park -- sh %s & echo parker $!; wait $!; echo code $?; wait" % script)
    parker = int(tree.wait_line(r"^parker (\d+)$", "stdout").group(1))
    tree.wait_line("^up$", "stdout")
    os.kill(parker, signal.SIGHUP)
    tree.wait_line("^hup$", "stdout")
    os.kill(parker, signal.SIGTERM)
    tree.wait_line("^code 143$", "stdout")
    assert tree.wait_exit() == 0
    code, out, err = place.run("slotbus", "run", "-p", "p", "--", "/bin/sh", "-c",
                               "slotbus park -- /nonexistent/tool; echo $?", env=by(who))
    assert out == "127" and "/nonexistent/tool: No such file" in err, (out, err)


@day
def a_kill_reaches_a_parked_tree(place):
    place.configure(max_slots=1, max_per_project=1)
    place.broker()
    who = supervisor(place)
    tree = park_one(place, who)
    agent_of(place, "parked")
    code, out, err = place.run(wrapper("resource-kill"), "p")
    assert code == 0 and "1" in out, (out, err)
    assert tree.wait_exit() == 128 + 15
    assert not tree_members(place, ":")
    wait_until(lambda: in_use(place) == 0 and parked(place)[0] == 0, "nothing is left")


@day
def a_run_inside_a_parked_one_takes_a_slot_of_its_own(place):
    place.configure(max_slots=1, max_per_project=1)
    place.broker()
    who = supervisor(place)
    code, out, err = place.run("slotbus", "run", "-p", "p", "--", "/bin/sh", "-c",
                               "echo $SLOTBUS_TOKENS; slotbus park -- slotbus run -p p -- sh -c "
                               "'echo $SLOTBUS_TOKENS; slotbus run -p p -- sh -c \"echo \\$SLOTBUS_TOKENS\"'",
                               env=by(who))
    # the third runs under the second's slot: that one is not parked
    assert code == 0 and out.split() == ["1", "2", "2"], (out, err)
    assert "you hold" not in err, err


@day
def who_holds_a_slot_and_waits_for_another_is_told_of_park(place):
    place.configure(max_slots=1, max_per_project=1)
    place.broker()
    who = supervisor(place)
    code, out, err = in_vain(place, "slotbus", "run", "-p", "p", "--", "slotbus", "run", "--own-slot", "--timeout",
                             "TIMEOUT", "--", "/bin/true", env=by(who))
    assert code == 124, (code, err)
    assert re.search("^slotbus: you hold 1 slot while you wait for 1 more; `slotbus park -- CMD` gives yours back "
                     "meanwhile$", err, re.M), err
    place.run("slotbus", "release", "p", "1", env=by(who))
    code, out, err = place.run("slotbus", "request", "p", "1", env=by(who))
    assert code == 0 and "you hold" not in err, err
    code, out, err = in_vain(place, "slotbus", "request", "p", "1", "--timeout", "TIMEOUT", env=by(who))
    assert code == 124 and "you hold" not in err, err   # no tree waits there
    assert re.search("^slotbus: this supervisor holds 1 slot while it waits for 1 more; .*"
                     "slotbus release p 1$", err, re.M), err
    code, out, err = in_vain(place, "slotbus", "run", "-p", "p", "--", "slotbus", "request", "p", "1", "--timeout",
                             "TIMEOUT", "--watch", str(who.pid), env=by(who))
    assert code == 124 and "this supervisor" not in err, err   # what runs will end


@day
def progress_finds_a_tree_that_came_back(place):
    place.configure(max_slots=1, max_per_project=1)
    place.broker()
    who = supervisor(place)
    tree = park_one(place, who, after="slotbus progress 60; echo code $?; until [ -e %s/end ]; do sleep 0.02; done")
    let_go(place)
    tree.wait_line("^code 0$", "stdout")
    wait_until(lambda: agent_of(place, "active")["percent"] == 60, "its progress is shown")
    write(place, "end", "")
    tree.wait_exit()


@day
def several_slots_are_parked_and_come_back_together(place):
    place.configure(max_slots=4, max_per_project=4)
    place.broker()
    who = supervisor(place)
    tree = park_one(place, who, "-n", "3")
    wait_until(lambda: parked(place)[0] == 3, "all three are parked")
    assert in_use(place) == 0
    code, out, err = place.run("slotbus", "request", "p", "4", env=by(who))
    assert code == 0, err
    let_go(place)
    tree.wait_line("^Waiting for slots", "stderr")
    code, out, err = place.run("slotbus", "release", "p", "2", env=by(who))
    assert code == 0 and "back" not in tree.text("stdout")
    code, out, err = place.run("slotbus", "release", "p", "1", env=by(who))
    tree.wait_line("^back 7$", "stdout")
    assert in_use(place) == 4
    write(place, "end", "")
    assert tree.wait_exit() == 0
    place.run("slotbus", "release", "p", "1", env=by(who))


@day
def a_reservation_that_was_parked_is_idle_again_afterwards(place):
    place.configure(max_slots=1, max_per_project=1)
    place.broker()
    who = supervisor(place)
    code, out, err = place.run("slotbus", "request", "p", "1", env=by(who))
    assert code == 0, err
    code, out, err = place.run("slotbus", "run", "-p", "p", "--", "/bin/sh", "-c", "slotbus park -- true", env=by(who))
    assert code == 0, err
    assert in_use(place) == 1
    code, out, err = place.run("slotbus", "release", "p", "1", env=by(who))
    assert "Released 1 slot of p" in out, (out, err)


@day
def a_restart_of_the_broker_leaves_a_parked_tree_parked(place):
    place.configure(max_slots=1, max_per_project=1)
    broker = place.broker()
    who = supervisor(place)
    tree = park_one(place, who)
    first = agent_of(place, "parked")
    broker.signal(signal.SIGKILL)
    broker.wait_exit()
    place.broker()
    assert agent_of(place, "parked")["token"] == first["token"] and in_use(place) == 0
    let_go(place)
    tree.wait_line("^back 7$", "stdout")
    assert agent_of(place, "active")["token"] > first["token"]
    write(place, "end", "")
    assert tree.wait_exit() == 0
    wait_until(lambda: in_use(place) == 0, "the slot is back")


@day
def a_parked_tree_outlives_many_ttls_and_ends_with_its_shim(place):
    place.configure(max_slots=1, max_per_project=1, timing={"ttl": "2s"})
    place.broker()
    who = supervisor(place)
    tree = park_one(place, who)
    first = agent_of(place, "parked")
    busy = supervisor(place)
    for _ in range(3):      # each waits for longer than a ttl
        code, out, err = place.run("slotbus", "run", "-p", "q", "--", "/bin/sleep", "2.1", env=by(busy))
        assert code == 0, err
    assert agent_of(place, "parked")["token"] == first["token"] and tree.process.poll() is None
    os.kill(shims(place, "p")[0], signal.SIGKILL)
    tree.wait_exit()
    assert not tree_members(place, ":")
    wait_until(lambda: in_use(place) == 0, "its slot does not come back as one in limbo")


@day
def what_is_left_of_a_tree_that_came_back_is_found_by_its_cookie(place):
    place.configure(max_slots=1, max_per_project=1)
    place.broker()
    who = supervisor(place)
    tree = park_one(place, who)
    let_go(place)
    tree.wait_line("^back 7$", "stdout")
    back = agent_of(place, "active")
    with open("/proc/%d/stat" % back["pid"]) as f:
        keeper = int(f.read().rsplit(")", 1)[1].split()[1])
    guards = [keeper, tree.pid] + shims(place, "p")
    for number in (signal.SIGSTOP, signal.SIGKILL):     # none sees another one go
        for pid in guards:
            os.kill(pid, number)
    wait_until(lambda: in_use(place) == 0, "the broker sees that nothing of it lives")
    assert not alive(back["pid"]) and not tree_members(place, ":")


@day
def park_says_how_it_is_used(place):
    place.configure()
    code, out, err = place.run("slotbus", "park", "--", "true")
    assert code == 64 and "this is no `slotbus run`: there is no slot to give back" in err, err
    code, out, err = place.run("slotbus", "park")
    assert code == 64, err
    code, out, err = place.run("slotbus", "park", "--help")
    assert code == 0 and "usage: slotbus park -- CMD.." in out, out


main()
