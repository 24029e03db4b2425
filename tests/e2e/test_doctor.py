# SPDX-License-Identifier: MPL-2.0
"""The doctor: what it finds, what it advises, and that it leaves nothing."""
import glob
import json
import os
import re
import signal

from harness import Skip, alive, case, free_port, main, program, wait_until

NOBODY = 65534


class Seen:
    """What one run of the doctor said: exit status, and findings by name."""

    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err
        self.found = {}
        for line in out.splitlines():
            match = re.fullmatch(r"(ok|note|FAIL) +([^:]+): (.*?)(?: -> (.*))?", line)
            assert match, "not the line of a finding: %r" % line
            result, name, what, remedy = match.groups()
            assert (result == "ok") == (remedy is None), line
            self.found.setdefault(name, []).append((result, what, remedy or ""))

    def one(self, name, result):
        """The (what, remedy) of the only finding of that name."""
        assert len(self.found.get(name, ())) == 1, "%s:\n%s" % (name, self.out)
        got, what, remedy = self.found[name][0]
        assert got == result, "%s is %s:\n%s" % (name, got, self.out)
        return what, remedy

    def failures(self):
        return {name for name in self.found for f in self.found[name] if f[0] == "FAIL"}


def doctor(place, **options):
    seen = Seen(*place.run("slotbus", "doctor", **options))
    assert seen.err == "", seen.err
    return seen


@case
def in_a_healthy_place_nothing_fails(place):
    place.broker()
    seen = doctor(place)
    assert seen.status == 0 and not seen.failures(), seen.out
    assert "starts" in seen.one("keeper", "ok")[0]
    assert "by SLOTBUS_RUNTIME_DIR" in seen.one("broker", "ok")[0]
    assert re.search(r"epoch 1, policy fifo", seen.one("broker answer", "ok")[0])
    seen.one("broker version", "ok")
    seen.one("broker lock", "ok")
    seen.one("proof", "ok")
    seen.one("pidfd", "ok")


@case
def without_a_broker_it_says_69_and_which_program_to_start(place):
    seen = doctor(place)
    assert seen.status == 69, (seen.status, seen.out)
    assert seen.failures() == {"broker"}, seen.out
    assert "slotbus-broker" in seen.one("broker", "FAIL")[1]


@case
def the_socket_of_a_killed_broker_is_told_from_a_living_one(place):
    broker = place.broker()
    broker.signal(signal.SIGKILL)
    broker.wait_exit()
    seen = doctor(place)
    assert seen.status == 69, (seen.status, seen.out)
    assert "nobody holds" in seen.one("broker lock", "FAIL")[0]
    assert "slotbus-broker" in seen.one("broker answer", "FAIL")[1]


@case
def a_stopped_broker_holds_it_up_for_two_seconds_only(place):
    broker = place.broker()
    broker.signal(signal.SIGSTOP)
    wait_until(lambda: stopped(broker.pid), "the broker is stopped")
    seen = doctor(place)
    assert seen.status == 69, (seen.status, seen.out)
    assert seen.failures() == {"broker answer"}, seen.out
    what, remedy = seen.one("broker answer", "FAIL")
    assert "stopped" in what and remedy == "kill -CONT %d" % broker.pid, (what, remedy)


def stopped(pid):
    with open("/proc/%d/stat" % pid) as f:
        return f.read().rsplit(")", 1)[1].split()[0] == "T"


def for_everybody(path):
    while path != "/":
        path = os.path.dirname(path)
        if not os.stat(path).st_mode & 1:
            return False
    return True


@case
def a_socket_that_may_not_be_opened_is_a_matter_of_groups(place):
    if os.geteuid() == 0:
        if not for_everybody(program("slotbus")):
            raise Skip("the programs lie in a folder that others may not enter")
        options = {"preexec": lambda: (os.setgroups([]), os.setgid(NOBODY), os.setuid(NOBODY))}
        os.chmod(place.path, 0o755)
    else:
        options = {}
    place.broker()
    os.chmod(place.runtime, 0o700 if options else 0o000)
    place.at_end(os.chmod, place.runtime, 0o700)
    seen = doctor(place, **options)
    assert seen.status == 1, (seen.status, seen.out)
    what, remedy = seen.one("broker", "FAIL")
    assert "not allowed to open" in what and "usermod -aG slotbus" in remedy, (what, remedy)
    seen.one("runtime folder", "FAIL")
    seen.one("proof", "ok")     # with a control group or without


@case
def a_variable_with_a_typo_is_pointed_out(place):
    place.broker()
    seen = doctor(place, env={"SLOTBUS_BROKRE": "ipc:///nowhere"})
    assert seen.status == 0, (seen.status, seen.out)
    notes = [f for f in seen.found["environment"] if f[0] == "note"]
    assert len(notes) == 1, notes
    assert "SLOTBUS_BROKRE" in notes[0][1] and "SLOTBUS_BROKER" in notes[0][2], notes


@case
def json_is_one_valid_object_whatever_the_environment_holds(place):
    place.broker()
    env = {"SLOTBUS_PROJECT": "\udcff\x1b[31m\u202e\""}
    status, out, err = place.run("slotbus", "doctor", "--json", env=env)
    assert status == 0 and err == "", (status, err)
    document = json.loads(out)
    assert document["schema"] == 1 and document["result"] in ("ok", "note"), document
    for check in document["checks"]:
        assert set(check) == {"name", "result", "what", "remedy"}, check
        assert (check["result"] == "ok") == (check["remedy"] is None), check
    assert all(c.isprintable() for c in out), out
    shown = [c["what"] for c in document["checks"] if c["name"] == "environment"]
    assert len(shown) == 1 and "SLOTBUS_PROJECT=\\xff\\x1b[31m" in shown[0], shown
    status, out, _ = place.run("slotbus", "doctor", "--json", env={"SLOTBUS_RUNTIME_DIR": "no/path"})
    assert status == 1 and json.loads(out)["result"] == "FAIL", (status, out)


@case
def a_keeper_that_is_none_is_found_out_and_ended(place):
    place.broker()
    for text, words in (("echo $$ > %s/pid; exec sleep 1000", "is not the keeper"),
                        ("exit 0 # %s", "is not the keeper"), (None, "cannot be started")):
        path = os.path.join(place.path, "keeper")
        if text:
            with open(path, "w") as f:
                f.write("#!/bin/sh\n" + text % place.path + "\n")
            os.chmod(path, 0o755)
        else:
            os.unlink(path)
        seen = doctor(place, env={"SLOTBUS_KEEPER": path})
        assert seen.status == 1 and seen.failures() == {"keeper"}, (seen.status, seen.out)
        assert words in seen.one("keeper", "FAIL")[0], seen.out
    with open(os.path.join(place.path, "pid")) as f:
        assert not alive(int(f.read()))


@case
def a_check_that_hangs_or_dies_takes_no_other_with_it(place):
    place.broker()
    path = os.path.join(place.path, "keeper")
    for number, words in (("STOP", "no end after"), ("KILL", "ended by signal 9")):
        with open(path, "w") as f:
            f.write("#!/bin/sh\nkill -%s $PPID\n" % number)
        os.chmod(path, 0o755)
        seen = doctor(place, env={"SLOTBUS_KEEPER": path})
        assert seen.status == 1 and seen.failures() == {"programs"}, (seen.status, seen.out)
        assert words in seen.one("programs", "FAIL")[0], seen.out
        seen.one("broker answer", "ok")


@case
def a_shim_runs_or_was_stopped_or_has_died(place):
    place.broker()
    shim = place.start("slotbus", "shim", "--project", "p")
    shim.wait_line(r"\bready\b")
    assert "pid %d" % shim.pid in doctor(place).one("shim of p", "ok")[0]
    shim.signal(signal.SIGSTOP)
    wait_until(lambda: stopped(shim.pid), "the shim is stopped")
    assert "kill -CONT %d" % shim.pid == doctor(place).one("shim of p", "note")[1]
    shim.signal(signal.SIGKILL)
    shim.wait_exit()
    assert "none runs" in doctor(place).one("shim of p", "note")[0]


@case
def of_several_brokers_elsewhere_one_that_answers_is_enough(place):
    port, dead = free_port(), free_port()
    here = "tcp://127.0.0.1:%d" % port
    place.configure(insecure=True, bind=[here])
    place.broker()
    seen = doctor(place, env={"SLOTBUS_BROKER": here})
    assert seen.status == 0, (seen.status, seen.out)
    assert "in plain" in seen.one("broker", "note")[0]
    assert "broker clock" not in seen.found     # its host is ours
    seen = doctor(place, env={"SLOTBUS_BROKER": here, "SLOTBUS_HOST": "elsewhere"})
    seen.one("broker clock", "ok")
    both = "tcp://127.0.0.1:%d,%s" % (dead, here)
    seen = doctor(place, env={"SLOTBUS_BROKER": both})
    assert seen.status == 0, (seen.status, seen.out)
    assert [f[0] for f in seen.found["broker answer"]] == ["note", "ok"], seen.out
    seen = doctor(place, env={"SLOTBUS_BROKER": "tcp://127.0.0.1:%d" % dead})
    assert seen.status == 69, (seen.status, seen.out)


def orphaned_groups():
    """Control groups of a doctor that runs no more."""
    with open("/proc/self/mountinfo") as f:
        mount = next((line.split()[4] for line in f if " - cgroup2 " in line), None)
    found = glob.glob("%s/**/slotbus-0-*" % mount, recursive=True) if mount else []
    return {path for path in found if not alive(int(path.rsplit("-", 2)[1]))}


def session_of(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return int(f.read().rsplit(")", 1)[1].split()[3])
    except OSError:
        return 0


def files(place):
    return {(path, tuple(sorted(names))) for path, _, names in os.walk(place.path)}


@case
def it_leaves_no_process_no_control_group_and_no_file(place):
    groups, before = orphaned_groups(), files(place)
    started = place.start("slotbus", "doctor", preexec=os.setsid)
    assert started.wait_exit() == 69, started.text("stdout")
    left = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc")))
            if session_of(pid) == started.pid]
    assert not left, left
    assert files(place) == before
    assert orphaned_groups() <= groups, orphaned_groups() - groups


@case
def its_help_says_what_its_exit_statuses_mean(place):
    status, out, _ = place.run("slotbus", "doctor", "--help")
    assert status == 0 and "69" in out and "--json" in out and "Examples" in out, out
    assert place.run("slotbus", "doctor", "what")[0] == 64


if __name__ == "__main__":
    main()
