# SPDX-License-Identifier: MPL-2.0
"""The commands: who is the supervisor, exit statuses, what is printed."""
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess

from harness import Skip, alive, main, program, wait_until
from seed import (by, command_line, day, environ_of, in_use, in_vain, row_of, shims, status, supervisor,
                  tree_members, wrapper)

REQUEST = wrapper("supervisor-request-slots")
HOLD = "read held"      # a shell line: until the test lets it go


def configure(place, **changes):
    place.configure(**{"max_slots": 20, "max_per_project": 20, **changes})


def supervisors_of(place, project):
    row = row_of(place, project)
    return {agent["supervisor"] for agent in row["agents"]} if row else set()


def held(place, project):
    row = row_of(place, project)
    return row["held"] + row["limbo"] if row else 0


def write(place, name, text, mode=0o644):
    path = os.path.join(place.path, name)
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, mode)
    return path


def outside(place):
    """The environment of a program that has nothing of the test's but PATH."""
    return {key: place.env[key] for key in place.env if key.startswith("SLOTBUS_")} | {
        "PATH": place.env["PATH"]}


# ---- which process is the supervisor ----

def chosen(place, argv, expected, env=None):
    """Start a program that asks for two slots as project p and then waits for
    its stdin to close. Who holds them, `expected` (of its pid); they go when it
    goes."""
    ours, theirs = os.pipe()
    started = place.start(*argv, stdin=ours, **({"env": env} if env else {}))
    os.close(ours)
    try:
        started.wait_line(r"Granted 2 slots to p", "stdout")
        holders = supervisors_of(place, "p")
        assert holders == {expected(started)}, (holders, started.pid, [
            (pid, command_line(pid)) for pid in holders])
        # the shim holds none of its descriptors: the line came, and now its end
        assert started.process.poll() is None
    finally:
        os.close(theirs)
    started.wait_exit()
    wait_until(lambda: held(place, "p") == 0, "the slots are back")
    wait_until(lambda: not shims(place, "p"), "the shim has ended")


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return [int(child) for child in f.read().split()]


@day
def command_substitution_returns_and_a_bash_script_is_the_supervisor(place):
    configure(place)
    place.broker()
    path = write(place, "build.sh", "#!/bin/bash\nx=$(supervisor-request-slots p 2) || exit\n"
                 "echo \"$x\"\n%s\n" % HOLD, 0o755)
    chosen(place, [path], lambda started: started.pid)


@day
def a_script_under_timeout_is_the_supervisor_not_timeout(place):
    configure(place)
    place.broker()
    path = write(place, "build.sh", "timeout 60 env A=1 supervisor-request-slots p 2\n%s\n" % HOLD)
    # --foreground: else it would be stopped for reading from a terminal
    chosen(place, ["/usr/bin/timeout", "--foreground", "60", "/bin/sh", path],
           lambda started: children(started.pid)[0])


@day
def a_command_string_belongs_to_the_program_that_started_it(place):
    configure(place)
    place.broker()
    path = write(place, "agent.py", "import subprocess, sys\n"
                 "subprocess.run(['/bin/bash', '-c', 'true; supervisor-request-slots p 2; true'])\n"
                 "sys.stdin.read()\n")
    chosen(place, ["/usr/bin/python3", path], lambda started: started.pid)


@day
def make_is_the_supervisor_of_its_recipes(place):
    if not shutil.which("make"):
        raise Skip("no make")
    configure(place)
    place.broker()
    write(place, "Makefile", "all:\n\t@supervisor-request-slots p 2; true\n\t@%s; true\n" % HOLD)
    chosen(place, ["/usr/bin/make", "-C", place.path, "--no-print-directory"],
           lambda started: started.pid)


@day
def a_node_program_is_the_supervisor_of_what_it_executes(place):
    if not shutil.which("node"):
        raise Skip("no node")
    configure(place)
    place.broker()
    path = write(place, "agent.js", "const { execSync } = require('child_process');\n"
                 "process.stdout.write(execSync('supervisor-request-slots p 2', "
                 "{stdio: ['ignore', 'pipe', 'inherit']}));\n"
                 "process.stdin.resume(); process.stdin.on('end', () => process.exit(0));\n")
    chosen(place, [shutil.which("node"), path], lambda started: started.pid)


@day
def a_script_with_an_empty_environment_is_the_supervisor(place):
    configure(place)
    place.broker()
    path = write(place, "nightly", "#!/bin/sh\nexport %s\nsupervisor-request-slots p 2\n%s\n" % (
        " ".join("%s='%s'" % pair for pair in outside(place).items()), HOLD), 0o755)
    chosen(place, ["/usr/bin/env", "-i", path], lambda started: started.pid)


@day
def what_watch_names_is_the_supervisor_and_a_dead_one_is_refused(place):
    configure(place)
    place.broker()
    who = supervisor(place)
    code, out, err = place.run("slotbus", "request", "p", "2", "--watch", str(who.pid))
    assert code == 0 and "watching sleep (pid %d)" % who.pid in err, err
    assert supervisors_of(place, "p") == {who.pid}
    gone = place.start("/bin/true")
    gone.wait_exit()
    code, out, err = place.run("slotbus", "request", "p", "2", "--watch", str(gone.pid))
    assert code == 64 and "no such process" in err, (code, err)


@day
def the_end_of_its_supervisor_ends_its_agents_and_frees_its_slots(place):
    configure(place)
    place.broker()
    first, second = supervisor(place), supervisor(place)
    place.run(REQUEST, "p", "3", env=by(first))
    place.run(REQUEST, "p", "2", env=by(second))
    run = place.start("slotbus", "run", "-p", "p", "-l", "a", "--", "/bin/sleep", "1000", env=by(first))
    wait_until(lambda: tree_members(place, ":"), "it runs")
    first.signal(signal.SIGKILL)
    wait_until(lambda: held(place, "p") == 2, "the slots of the first are back")
    assert supervisors_of(place, "p") == {second.pid}
    assert not tree_members(place, ":")
    assert run.wait_exit() == 128 + 15


# ---- run ----

def run(place, who, *argv, **options):
    return place.run("slotbus", "run", "-p", "p", *argv, env=by(who), **options)


@day
def run_exits_as_its_command_did(place):
    configure(place)
    place.broker()
    who = supervisor(place)
    assert run(place, who, "--", "/bin/true") == (0, "", "")
    assert run(place, who, "--", "/bin/sh", "-c", "echo out; echo err >&2; exit 7") == (7, "out", "err")
    assert run(place, who, "--", "/bin/sh", "-c", "kill -KILL $$")[0] == 128 + 9
    assert run(place, who, "--", "/bin/sh", "-c", "kill -TERM $$")[0] == 128 + 15
    code, out, err = run(place, who, "--", os.path.join(place.path, "nothing"))
    assert code == 127 and "nothing" in err, (code, err)
    code, out, err = run(place, who, "--", place.path)
    assert code == 126, (code, err)
    wait_until(lambda: in_use(place) == 0, "all slots are back")


@day
def run_gives_its_slot_to_nobody_until_all_its_children_are_gone(place):
    configure(place, max_slots=1)
    place.broker()
    who = supervisor(place)
    code, out, err = run(place, who, "--", "/bin/sh", "-c",
                         "setsid sh -c 'sleep 1000 & sleep 1000' & echo started")
    assert code == 0, err
    assert not tree_members(place, ":")
    wait_until(lambda: in_use(place) == 0, "the slot is back")


@day
def run_fills_a_reservation_of_its_supervisor_and_leaves_it_idle(place):
    configure(place, max_slots=2)
    place.broker()
    who, other = supervisor(place), supervisor(place)
    place.run(REQUEST, "p", "2", "--label", "a,b", env=by(who))
    code, out, err = run(place, who, "--", "/bin/sh", "-c", "echo $SLOTBUS_TOKENS $SLOTBUS_SLOTS $SLOTBUS_PROJECT")
    assert (code, out) == (0, "2 1 p"), (out, err)
    assert held(place, "p") == 2
    # another supervisor's are not its to use
    assert run(place, other, "--nowait", "--", "/bin/true")[0] == 75


@day
def a_hundred_and_twenty_runs_at_once_all_have_their_turn(place):
    configure(place, max_slots=4, max_per_project=4)
    place.broker()
    first, who = supervisor(place), supervisor(place)
    assert place.run(REQUEST, "p", "4", env=by(first))[0] == 0
    runs = [place.start("slotbus", "run", "-p", "p", "--", "/bin/true", env=by(who))
            for _ in range(120)]
    wait_until(lambda: row_of(place, "p")["waiting"] == 120, "all of them wait", 60)
    first.signal(signal.SIGKILL)
    for each in runs:
        assert each.wait_exit(60) == 0, each.text()
    wait_until(lambda: in_use(place) == 0, "all slots are back")


JOBS = """
all: a b c d e f
a b c d e f:
	@echo + >> log; while [ $$(grep -c + log) -lt 3 ]; do :; done; echo - >> log
"""


@day
def a_jobserver_gives_make_as_many_jobs_as_slots(place):
    configure(place)
    place.broker()
    who = supervisor(place)
    write(place, "Makefile", JOBS)
    write(place, "log", "")
    # the recipes wait until three have begun: with fewer jobs this never ends
    code, out, err = place.run("slotbus", "run", "-p", "p", "-n", "3", "--jobserver", "--",
                               "make", "-C", place.path, env=by(who))
    assert code == 0, (code, out, err)
    running = most = 0
    with open(os.path.join(place.path, "log")) as f:
        for line in f:
            running += 1 if line[0] == "+" else -1
            most = max(most, running)
    assert most == 3, most


@day
def run_inside_run_uses_its_parents_slot(place):
    configure(place, max_slots=1)
    place.broker()
    who = supervisor(place)
    slotbus = program("slotbus")
    code, out, err = run(place, who, "--", "/bin/sh", "-c",
                         "echo $SLOTBUS_TOKENS; %s run -p P -- %s run -- sh -c 'echo $SLOTBUS_TOKENS; exit 5'"
                         % (slotbus, slotbus))
    assert code == 5 and out.split() == ["1", "1"], (code, out, err)
    code, out, err = run(place, who, "--", slotbus, "run", "--own-slot", "--nowait", "--", "/bin/true")
    assert code == 75, (code, err)


@day
def run_with_several_slots_binds_them_to_one_tree(place):
    configure(place)
    place.broker()
    who = supervisor(place)
    agent = place.start("slotbus", "run", "-p", "p", "-n", "4", "-l", "big", "--", "/bin/sleep", "1000",
                        env=by(who))
    wait_until(lambda: tree_members(place, ":"), "it runs")
    assert held(place, "p") == 4
    code, out, err = place.run(wrapper("resource-kill"), "p", "--token", "2")
    assert code == 0, (out, err)
    assert agent.wait_exit() == 128 + 15
    wait_until(lambda: in_use(place) == 0, "all four are back")


@day
def run_is_ended_by_sigterm_with_its_whole_tree(place):
    configure(place)
    place.broker()
    who = supervisor(place)
    agent = place.start("slotbus", "run", "-p", "p", "--", "/bin/sh", "-c", "sleep 1000 & sleep 1000",
                        env=by(who))
    wait_until(lambda: len(tree_members(place, ":")) == 3, "it runs")
    agent.signal(signal.SIGTERM)
    assert agent.wait_exit() == 128 + 15, agent.text()
    assert not tree_members(place, ":")
    wait_until(lambda: in_use(place) == 0, "the slot is back")


@day
def run_that_is_killed_takes_its_tree_with_it(place):
    configure(place)
    place.broker()
    who = supervisor(place)
    agent = place.start("slotbus", "run", "-p", "p", "--", "/bin/sh", "-c",
                        "trap '' TERM; setsid sleep 1000 & sleep 1000", env=by(who))
    wait_until(lambda: len(tree_members(place, ":")) == 3, "it runs")
    agent.signal(signal.SIGKILL)
    wait_until(lambda: in_use(place) == 0, "the slot is back")
    assert not tree_members(place, ":")


@day
def run_ends_what_a_killed_keeper_kept_and_says_so(place):
    configure(place)
    place.broker()
    who = supervisor(place)
    agent = place.start("slotbus", "run", "-p", "p", "--", "/bin/sh", "-c", "setsid sleep 1000 & sleep 1000",
                        env=by(who))
    wait_until(lambda: len(tree_members(place, ":")) == 3, "it runs")
    keeper, = (pid for pid in children(agent.pid) if "keeper" in command_line(pid)[0])
    os.kill(keeper, signal.SIGKILL)
    assert agent.wait_exit() == 1
    agent.wait_line("keeper was ended by signal 9")
    assert not tree_members(place, ":")
    wait_until(lambda: in_use(place) == 0, "the slot is back")


@day
def run_is_ended_after_its_max_time(place):
    configure(place)
    place.broker()
    who = supervisor(place)
    code, out, err = run(place, who, "--max-time", "100ms", "--", "/bin/sleep", "1000")
    assert code == 128 + 15 and "--max-time has passed" in err, (code, err)


@day
def run_leaves_control_c_to_its_command(place):
    configure(place)
    place.broker()
    who = supervisor(place)
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(program("slotbus"), ["slotbus", "run", "-p", "p", "--", "/bin/sh", "-c",
                                       "trap 'echo saved; exit 3' INT; echo up; while :; do sleep 1; done"],
                  {**place.env, **by(who)})
    place.at_end(os.close, terminal)
    seen = read_until(terminal, b"up")
    os.write(terminal, b"\x03")
    read_until(terminal, b"saved", seen)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3


def read_until(fd, what, seen=b""):
    while what not in seen:
        assert select.select([fd], [], [], 30)[0], seen
        seen += os.read(fd, 4096)
    return seen


@day
def a_shim_for_another_project_that_a_tree_needs_is_not_of_that_tree(place):
    configure(place)
    place.broker()
    who = supervisor(place)
    code, out, err = run(place, who, "--", "/bin/sh", "-c", "supervisor-request-slots other 2")
    assert code == 0 and out.startswith("Granted 2 slots to other"), (out, err)
    other, = shims(place, "other")
    assert not [name for name in environ_of(other) if name in (
        "SLOTBUS_COOKIE", "SLOTBUS_TOKENS", "SLOTBUS_SHIM", "SLOTBUS_PROJECT")]
    wait_until(lambda: held(place, "p") == 0, "the tree is gone")
    assert alive(other) and held(place, "other") == 2


# ---- request, release, cancel ----

@day
def request_that_cannot_be_had_at_once_or_in_time_or_ever(place):
    configure(place, max_slots=4, max_per_project=3)
    place.broker()
    who, other = supervisor(place), supervisor(place)
    assert place.run(REQUEST, "p", "3", env=by(who))[0] == 0
    code, out, err = place.run(REQUEST, "q", "2", "--nowait", env=by(other))
    assert (code, out) == (75, "") and "NOT_NOW" in err, (code, err)
    code, out, err = in_vain(place, REQUEST, "q", "2", "--timeout", "TIMEOUT", env=by(other))
    assert (code, out) == (124, "") and "Waiting for slots (1 agent ahead)" in err, (code, err)
    assert status(place)["queue"] == []
    code, out, err = place.run(REQUEST, "q", "4", env=by(other))
    assert code == 65 and "EXCEEDS_MAX" in err, (code, err)
    code, out, err = place.run(REQUEST, "q", "3", "--min", "1", "--json", env=by(other))
    assert code == 0, err
    answer = json.loads(out)
    assert (answer["schema"], answer["granted"], answer["asked"], answer["tokens"]) == (1, 1, 3, [4])


@day
def a_mistake_is_named_with_what_was_meant(place):
    for argv, code, words in (
            ([], 64, "usage"),
            (["requst"], 64, "did you mean request?"),
            (["request", "p"], 64, "needed"),
            (["request", "p", "2", "--lable", "x"], 64, "did you mean --label?"),
            (["request", "p", "2", "--nowait", "--timeout", "1"], 64, "contradict"),
            (["request", "p", "2", "--min", "3"], 64, "--min"),
            (["request", "p", "0"], 65, "1..10000"),
            (["request", "p", "2", "--timeout", "1y"], 65, "a duration"),
            (["request", "-p", "2"], 64, "no flag"),
            (["request", "../p", "2"], 65, "not the name of a project"),
            (["request", "a\x1bb", "2"], 65, "'a\\x1bb' is not the name of a project"),
            (["release", "p", "2", "--token", "1"], 64, "not both"),
            (["kill"], 64, "project"),
            (["set-max", "x"], 65, "1..10000"),
            (["run", "-p", "p"], 64, "which command"),
            (["progress", "--phase", "5/4"], 65, "3/4"),
            (["progress", "-p", "p", "40"], 64, "--label or --token")):
        answer = place.run("slotbus", *argv)
        assert answer[0] == code and words in answer[2], (argv, answer)
        assert answer[1] == ""


@day
def who_waits_is_told_that_the_broker_has_ended_and_is_served_when_it_is_back(place):
    configure(place, max_slots=1)
    broker = place.broker()
    who = supervisor(place)
    assert place.run("slotbus", "request", "p", "1", env=by(who))[0] == 0
    waiting = place.start("slotbus", "request", "p", "1", env=by(who))
    waiting.wait_line("Waiting for slots")
    broker.signal(signal.SIGKILL)
    broker.wait_exit()
    waiting.wait_line("Waiting for the broker, which has ended")
    place.broker()
    assert place.run("slotbus", "release", "p", "1", env=by(who))[0] == 0
    assert waiting.wait_exit() == 0


@day
def a_near_miss_of_a_known_project_is_pointed_out_and_served(place):
    configure(place, projects={"consilio": {}})
    place.broker()
    who = supervisor(place)
    code, out, err = place.run("slotbus", "request", "consilo", "1", env=by(who))
    assert code == 0 and "did you mean consilio?" in err, (code, err)
    for name in ("consilio", "odin"):
        code, out, err = place.run("slotbus", "request", name, "1", env=by(who))
        assert code == 0 and "did you mean" not in err, (code, err)


@day
def every_command_has_help_with_examples(place):
    names = [line.split()[0] for line in place.run("slotbus", "--help")[1].split("\n\n")[2].splitlines()]
    assert len(names) == 20, names
    for name in names:
        code, out, err = place.run("slotbus", name, "--help")
        assert code == 0 and err == "" and "Examples:\n  slotbus %s" % name in out, (name, out)
    assert place.run("slotbus", "--version")[1].startswith("slotbus ")


@day
def without_a_broker_it_is_said_where_one_was_looked_for(place):
    for argv in (["status"], ["request", "p", "1"], ["run", "-p", "p", "--", "true"], ["kill", "p"],
                 ["set-max", "3"], ["health"]):
        code, out, err = place.run("slotbus", *argv, env={"SLOTBUS_SUPERVISOR": str(os.getpid())})
        assert (code, out) == (69, "") and place.runtime in err, (argv, code, err)
    assert place.run("slotbus", "release", "p", "1")[:2] == (
        0, "Released 0 slots of p; 1 were asked for, no more are held")


@day
def a_grant_that_could_not_be_printed_is_given_back(place):
    configure(place)
    place.broker()
    who = supervisor(place)
    with open("/dev/full", "w") as full:
        failed = subprocess.run([REQUEST, "p", "2"], stdout=full, stderr=subprocess.PIPE,
                                env={**place.env, **by(who)})
    assert failed.returncode == 74, failed.stderr
    wait_until(lambda: in_use(place) == 0, "the slots are back")
    reader, writer = os.pipe()
    os.close(reader)
    failed = subprocess.run([REQUEST, "p", "2"], stdout=writer, stderr=subprocess.DEVNULL,
                            env={**place.env, **by(who)})
    os.close(writer)
    assert failed.returncode == 1
    wait_until(lambda: in_use(place) == 0, "the slots are back")
    # closed: no socket of the command may take the place of its output
    failed = place.run("/bin/sh", "-c", 'exec "$0" p 2 >&-', REQUEST, env=by(who))
    assert failed[0] == 74 and "cannot write the result: Bad file descriptor" in failed[2], failed
    wait_until(lambda: in_use(place) == 0, "the slots are back")


@day
def release_says_what_it_did_not_release(place):
    configure(place)
    place.broker()
    who, other = supervisor(place), supervisor(place)
    place.run(REQUEST, "p", "3", env=by(who))
    agent = place.start("slotbus", "run", "-p", "p", "--", "/bin/sleep", "1000", env=by(who))
    wait_until(lambda: tree_members(place, ":"), "it runs")
    release = wrapper("supervisor-release-slots")
    assert place.run(release, "p", "3", env=by(who))[:2] == (75, "Released 2 slots of p; 1 still runs")
    assert place.run(release, "p", "--token", "1,99", env=by(who))[:2] == (
        65, "Released 0 slots of p; 1 closed already; 99 never issued")
    place.run(REQUEST, "p", "1", env=by(other))
    code, out, err = place.run(release, "p", "1", env=by(supervisor(place)))
    assert code == 1 and str(who.pid) in err and str(other.pid) in err, (code, err)
    assert place.run(release, "p", "2", "--kill", env=by(who))[:2] == (
        0, "Released 1 slot of p; 2 were asked for, no more are held")
    assert agent.wait_exit() == 128 + 15
    assert held(place, "p") == 1


@day
def reservations_of_a_killed_shim_are_released_through_its_successor(place):
    configure(place)
    place.broker()
    who = supervisor(place)
    place.run(REQUEST, "p", "3", env=by(who))
    first, = shims(place, "p")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: row_of(place, "p")["limbo"] == 3, "its slots are in limbo")
    assert place.run(wrapper("supervisor-release-slots"), "p", "2", env=by(who))[:2] == (
        0, "Released 2 slots of p")
    assert held(place, "p") == 1
    who.signal(signal.SIGKILL)
    wait_until(lambda: held(place, "p") == 0, "the rest goes with the supervisor")


@day
def a_request_is_told_when_its_broker_is_dead(place):
    configure(place)
    broker = place.broker()
    broker.signal(signal.SIGKILL)
    broker.wait_exit()
    who = supervisor(place)
    code, out, err = place.run(REQUEST, "p", "1", env=by(who))
    assert code == 69 and "is one running?" in err, (code, err)
    code, out, err = place.run(REQUEST, "p", "1", "--timeout", "100ms", env=by(who))
    assert code == 124, (code, err)
    waiter = place.start(REQUEST, "p", "1", env=by(who))
    place.broker()
    assert waiter.wait_exit() == 0, waiter.text()


@day
def cancel_ends_a_request_that_waits(place):
    configure(place, max_slots=2)
    place.broker()
    who = supervisor(place)
    place.run(REQUEST, "p", "2", env=by(who))
    waiter = place.start(REQUEST, "p", "1", env=by(who))
    waiter.wait_line("Waiting for slots")
    assert place.run("slotbus", "cancel", "p", env=by(who))[:2] == (0, "Withdrew 1 request of p")
    assert waiter.wait_exit() == 1
    waiter.wait_line(r"^slotbus: nothing was granted, the request is closed: cancelled$")
    wait_until(lambda: status(place)["queue"] == [], "the queue is empty")


@day
def cancel_means_the_requests_of_its_own_supervisor(place):
    configure(place, max_slots=2)
    place.broker()
    first, second, third = (supervisor(place) for _ in range(3))
    place.run(REQUEST, "p", "2", env=by(first))
    waiters = [place.start(REQUEST, "p", "1", env=by(who)) for who in (first, second)]
    for waiter in waiters:
        waiter.wait_line("Waiting for slots")
    code, _, err = place.run("slotbus", "cancel", "p", env=by(third))
    assert code != 0 and "requests wait of" in err and all(str(who.pid) in err for who in (first, second)), err
    assert place.run("slotbus", "cancel", "p", env=by(second))[:2] == (0, "Withdrew 1 request of p")
    assert waiters[1].wait_exit() == 1
    assert [row["project"] for row in status(place)["queue"]] == ["p"]
    assert place.run("slotbus", "cancel", "p", "--all", env=by(third))[:2] == (0, "Withdrew 1 request of p")
    assert waiters[0].wait_exit() == 1
    assert place.run("slotbus", "cancel", "p", "--all", "--watch", "1", env=by(third))[0] == 64


@day
def more_slots_after_a_shrink_are_those_that_can_be_had(place):
    configure(place, max_slots=4)
    place.broker()
    who = supervisor(place)
    place.run(REQUEST, "p", "4", env=by(who))
    place.run("slotbus", "set-max", "1")
    for most, more in ((3, "0 additional slots"), (6, "2 additional slots")):
        out = place.run("slotbus", "set-max", str(most))[1]
        assert more in out, (most, out)


@day
def a_waiter_that_is_killed_leaves_the_queue(place):
    configure(place, max_slots=2)
    place.broker()
    who = supervisor(place)
    place.run(REQUEST, "p", "2", env=by(who))
    waiter = place.start(REQUEST, "p", "1", env=by(who))
    waiter.wait_line("Waiting for slots")
    waiter.signal(signal.SIGKILL)
    wait_until(lambda: status(place)["queue"] == [], "the queue is empty")


@day
def commands_that_race_for_a_shim_share_one(place):
    configure(place)
    place.broker()
    who = supervisor(place)
    asked = [place.start(REQUEST, "p", "2", env=by(who)) for _ in range(5)]
    for each in asked:
        assert each.wait_exit() == 0, each.text()
    assert len(shims(place, "p")) == 1
    assert held(place, "p") == 10


@day
def a_second_shim_of_a_project_says_whose_turn_it_is(place):
    configure(place)
    place.broker()
    who = supervisor(place)
    first = place.start("slotbus", "shim", "--project", "p", "--watch", str(who.pid))
    first.wait_line(r"\bready\b")
    code, out, err = place.run("slotbus", "shim", "--project", "p")
    assert code == 75 and "pid %d" % first.pid in err, (code, err)
    first.signal(signal.SIGTERM)
    assert first.wait_exit() == 0
    assert not os.path.exists(os.path.join(place.runtime, "projects", "p", "shim"))


# ---- status, progress, kill, health ----

@day
def progress_is_shown_in_the_layout_of_the_seed(place):
    configure(place, projects={"consilio": {"display": "Consilio"}})
    place.broker()
    who = supervisor(place)
    place.run(REQUEST, "consilio", "5", "--label", "Feature/auth,Feature/dashboard,Feature/api,Feature/tests",
              env=by(who))
    for argv in (["-l", "Feature/auth", "--phase", "3/4"], ["-l", "Feature/dashboard", "--phase", "4/4"],
                 ["--token", "3", "--phase", "2/4"], ["-l", "Feature/tests", "--phase", "4/4", "--validating"],
                 ["-l", "Feature/deploy", "20", "--phase", "1/4"]):
        code, out, err = place.run("slotbus", "progress", "-p", "consilio", *argv)
        assert (code, out, err) == (0, "", "")
    wanted = ("Consilio Resource Usage\n\nAllocated Slots: 5/20 (25%)\n\nActive Agents:\n"
              "   1. Feature/auth - 60% complete (Phase 3/4)\n"
              "   2. Feature/dashboard - 80% complete (Phase 4/4)\n"
              "   3. Feature/api - 40% complete (Phase 2/4)\n"
              "   4. Feature/tests - 90% complete (Running validations)\n"
              "   5. Feature/deploy - 20% complete (Phase 1/4)\n\nETA: ")
    # by progress alone: seconds after the grant, some seconds are left
    wait_until(lambda: re.fullmatch(re.escape(wanted) + r"(at most )?\d+(-\d+)? (second|minute)s?",
                                    place.run(wrapper("resource-status"), "consilio")[1]), wanted)
    for argv, words in ((["-l", "nobody"], "consilio has no agent named nobody here"),
                        (["--token", "99"], "consilio has no slot 99 here")):
        code, out, err = place.run("slotbus", "progress", "-p", "consilio", *argv, "5")
        assert (code, out) == (65, "") and words in err, (argv, code, err)


@day
def progress_inside_run_needs_no_names(place):
    configure(place)
    place.broker()
    who = supervisor(place)
    agent = place.start("slotbus", "run", "-p", "p", "-l", "a", "--", "/bin/sh", "-c",
                        "slotbus progress --phase 1/3 --note parser && exec sleep 1000", env=by(who))

    def shown():
        agents = (row_of(place, "p") or {"agents": []})["agents"]
        return [a for a in agents if a["phase"] == 1]
    row, = wait_until(shown, "its phase is known")
    assert (row["label"], row["phases"], row["percent"], row["note"]) == ("a", 3, 25, "parser"), row
    agent.signal(signal.SIGTERM)
    agent.wait_exit()


KEYS = {
    "": {"schema": int, "epoch": int, "policy": str, "max_slots": int, "effective": int, "in_use": int,
         "health": dict, "hosts": list, "projects": list, "queue": list},
    "hosts": {"host": str, "level": str, "max_slots": int, "effective": int, "in_use": int,
              "psi": dict, "age_ms": int},
    "projects": {"name": str, "display": str, "priority": int, "max": int, "held": int, "limbo": int,
                 "parked": int, "waiting": int, "paused": bool, "agents": list},
    "queue": {"project": str, "host": str, "count": int, "min": int, "position": int,
              "slots_ahead": int, "reason": str, "detail": str, "since_s": int},
    "agents": {"token": int, "label": str, "host": str, "state": str, "note": str, "age_s": int},
}
NULLABLE = {
    "": ["effective_cause", "eta_s"],
    "hosts": ["cpu_percent", "memory_percent", "load1", "disk_percent"],
    "projects": ["target", "eta_s"],
    "queue": ["eta_s"],
    "agents": ["percent", "phase", "phases", "pid", "memory_bytes", "cpu_s", "eta_s"],
}


def check_keys(kind, row):
    for key, wanted in KEYS[kind].items():
        assert type(row[key]) is wanted, (kind, key, row)
    for key in NULLABLE[kind]:
        assert key in row, (kind, key, row)


@day
def status_as_json_follows_its_schema(place):
    configure(place, max_slots=2)
    place.broker()
    who = supervisor(place)
    place.run(REQUEST, "P", "2", "--label", "one,two", env=by(who))
    place.start(REQUEST, "q", "1", env=by(who)).wait_line("Waiting")
    code, out, err = place.run("slotbus", "status", "--json")
    assert code == 0 and "\n" not in out, err
    whole = json.loads(out)
    check_keys("", whole)
    assert (whole["schema"], whole["epoch"], whole["health"]["level"]) == (1, 1, "healthy")
    for kind in ("hosts", "projects", "queue"):
        assert whole[kind], kind
        for row in whole[kind]:
            check_keys(kind, row)
    p = next(row for row in whole["projects"] if row["name"] == "p")
    assert p["display"] == "P"
    for agent in p["agents"]:
        check_keys("agents", agent)
    assert [(a["token"], a["label"], a["pid"]) for a in p["agents"]] == [(1, "one", None), (2, "two", None)]


@day
def no_control_byte_of_a_peer_is_printed(place):
    configure(place, max_slots=1)
    place.broker()
    who = supervisor(place)
    label = b"\x1b[31mred\xff\xe2\x80\xae\n"
    taken = subprocess.run([REQUEST.encode(), b"p", b"1", b"--label", label], stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, env={**place.env, **by(who)})
    assert taken.returncode == 0, taken.stderr
    for argv in (["status"], ["status", "p"], ["status", "--json"], ["kill", "p", "--dry-run"]):
        out = subprocess.run([program("slotbus"), *argv], stdout=subprocess.PIPE, env=place.env).stdout
        text = out.decode("utf-8")      # always valid
        assert "[31mred" in text and not [c for c in text if c != "\n" and (ord(c) < 32 or c == "\u202e")], text


@day
def a_long_status_is_put_together_from_its_pages(place):
    configure(place, max_slots=200, max_per_project=200)
    place.broker()
    who = supervisor(place)
    labels = ",".join("a%d" % i for i in range(150))
    code, out, err = place.run(REQUEST, "p", "150", "--label", labels, env=by(who))
    assert code == 0 and out == "Granted 150 slots to p: 1-150", err
    agents = row_of(place, "p")["agents"]
    assert [a["token"] for a in agents] == list(range(1, 151))
    assert agents[149]["label"] == "a149"


@day
def kill_asks_on_a_terminal_and_takes_no_for_an_answer(place):
    configure(place)
    place.broker()
    who = supervisor(place)
    place.run(REQUEST, "p", "2", env=by(who))
    for answer, left in ((b"n\n", 2), (b"y\n", 0)):
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(program("slotbus"), ["slotbus", "kill", "p"], {**place.env, "TERM": "xterm"})
        seen = read_until(terminal, b"[y/N]")
        os.write(terminal, answer)
        read_until(terminal, b"Reason: User requested" if left == 0 else b"nothing was ended", seen)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.close(terminal)
        assert code == (0 if left == 0 else 1)
        assert held(place, "p") == left


@day
def kill_lists_without_ending_and_ends_by_label(place):
    configure(place)
    place.broker()
    who = supervisor(place)
    agents = {name: place.start("slotbus", "run", "-p", "p", "-l", name, "--", "/bin/sleep", "1000",
                                env=by(who)) for name in ("a", "b")}
    wait_until(lambda: len(tree_members(place, ":")) == 2, "both run")
    code, out, err = place.run("slotbus", "kill", "p", "--dry-run")
    assert code == 0 and out.startswith("Would end 2 agents in 2 slots:\n"), (out, err)
    assert len(tree_members(place, ":")) == 2
    code, out, err = place.run("slotbus", "kill", "p", "--label", "b", "--reason", "runs wild")
    assert code == 0 and "   1 agent terminated\n   1 slot released\n\nReason: runs wild" in out, (out, err)
    assert agents["b"].wait_exit() == 128 + 15
    assert agents["a"].process.poll() is None
    code, out, err = place.run("slotbus", "kill", "nobody")
    assert code == 65 and err == ("slotbus: no project nobody: slots.yaml does not name it, and nobody has asked for it "
                                  "(NOT_FOUND)"), (code, out, err)
    code, out, err = place.run("slotbus", "kill", "p", "--label", "c")
    assert code == 65 and err == "slotbus: no such label (NOT_FOUND)", (code, out, err)


@day
def health_is_followed_by_the_monitor_of_the_seed(place):
    configure(place)
    place.broker()
    code, out, err = place.run("slotbus", "health", "--json")
    assert code == 0, err
    sample = json.loads(out)
    assert sample["level"] == "healthy" and sample["memory_percent"] > 0
    monitor = place.start(wrapper("monitor-vm.sh"))
    for at in range(2):
        monitor.wait_line(r" healthy .*memory=\d+\.\d%", "stdout", start=at)


@day
def emoji_are_for_terminals(place):
    configure(place)
    place.broker()
    for term, wanted in (("xterm", True), ("dumb", False)):
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(program("slotbus"), ["slotbus", "status"], {**place.env, "TERM": term})
        seen = read_until(terminal, b"Estimated completion")
        os.waitpid(pid, 0)
        os.close(terminal)
        assert ("📊".encode() in seen) == wanted, seen


main()
