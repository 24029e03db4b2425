# SPDX-License-Identifier: MPL-2.0
"""Bad configuration, state and command lines: what is wrong is said with its
place and the nearest right word, and nothing is begun. Commands and flags are
those that the programs list themselves, so that new ones are tested too.
"""
import os
import re
import shutil
import signal

from harness import case, main
from seed import use_wrappers, wrapper
from slotbus_client import Session

# ---- slots.yaml ----

# (what it holds, what is said)
WRONG_FILES = {
    "an unknown key": ("max_slot: 3\n", r":1:1: max_slot: unknown key, did you mean 'max_slots'\?"),
    "one further in": ("vm_limits:\n  max_cpu_precent: 85\n",
                       r":2:3: vm_limits.*did you mean 'max_cpu_percent'\?"),
    "a misplaced key": ("\nmax_cpu_percent: 85\n", r":2:1: .*belongs under 'vm_limits'"),
    "a key twice": ("floor: 1\nfloor: 2\n", r":2:1: floor: given twice"),
    "a key twice further in": ("timing:\n  beat: 1s\n  beat: 2s\n", r":3:3: beat: given twice"),
    "a project twice": ("projects: {a: {}, A: {}}\n", r":1:19: projects.A: given twice"),
    "a wrong type": ("max_slots: [3]\n", r":1:1: max_slots: expected 1\.\.10000 or auto, got a list"),
    "a wrong word": ("policy: lifo\n", r":1:1: policy: expected fifo \| fair \| priority, got 'lifo'"),
    "half a slot": ("max_slots: 2.5\n", r":1:1: max_slots: expected 1\.\.10000"),
    "a text for a number": ("vm_limits:\n  max_cpu_percent: x\n",
                            r":2:3: vm_limits.max_cpu_percent: expected 1\.\.100, got 'x'"),
    "not a number": ("vm_limits: {max_load_average: .nan}\n", r":1:13: vm_limits.max_load_average: expected"),
    "no slots": ("max_slots: 0\n", r":1:1: max_slots: expected 1\.\.10000 or auto, got '0'"),
    "too many slots": ("max_slots: 10001\n", r":1:1: max_slots: .*got '10001'"),
    "fewer than none": ("max_slots: -1\n", r":1:1: max_slots: .*got '-1'"),
    "a duration without a unit": ("timing: {ttl: 60}\n", r":1:10: timing.ttl: expected a duration"),
    "times that contradict": ("floor: 1\ntiming: {ttl: 20s}\n", r":2:1: timing: ttl must be at least"),
    "a floor above the pool": ("max_slots: 4\n\nfloor: 5\n", r":3:1: floor: is above max_slots"),
    "no project's name": ("projects:\n  ../x: {}\n", r":2:3: projects.*not the name"),
    "an endpoint that is none": ("bind: [x]\n", r":1:8: bind: expected ipc:///PATH"),
    "an alias": ("floor: *a\n", r":1:8: an alias"),
    "an alias of itself": ("hosts: &a {x: *a}\n", r":1:8: an anchor"),
    "an anchor": ("floor: &a 1\n", r":1:8: an anchor"),
    "a tag": ("floor: !!int 1\n", r":1:8: a tag"),
    "a second document": ("floor: 1\n---\nfloor: 2\n", r":2:1: a second document"),
    "nine levels": ("vm_state: [[[[[[[[1]]]]]]]]\n", r":1:18: nested more than 8 deep"),
    "a NUL": ("floor: 1\nx: \0\n", r":2:4: a NUL character"),
    "a control character": ("a: \x01\n", r":1:4: control characters"),
    "broken YAML": ("floor: 1\nbind: [a\n", r":3:1: did not find expected"),
    "a list": ("- floor\n", r":1:1: expected a map of settings, got a list"),
    "a word": ("floor\n", r":1:1: expected a map of settings, got 'floor'"),
    "an escape": ("\"a\\e[31m\": 3\n", r":1:1: a\\x1b\[31m: unknown key"),
    "too large": ("#" * 65537, r": larger than 64 KiB"),
}


def write_config(place, content, mode=0o644):
    with open(place.config_path, "w") as f:
        f.write(content)
    os.chmod(place.config_path, mode)


@case
def a_wrong_configuration_is_told_by_line_and_column_and_ends_the_start(place):
    files = {**WRONG_FILES, "not UTF-8": ("a: x\nb: \udcff\n", r":2:4: invalid")}
    for what, (content, because) in files.items():
        with open(place.config_path, "wb") as f:
            f.write(content.encode("utf-8", "surrogateescape"))
        broker = place.broker(ready=False)
        assert broker.wait_exit() == 78, (what, broker.text())
        assert re.search("slots.yaml" + because, broker.text()), (what, broker.text())
        assert not broker.text("stdout"), what
        assert not os.path.exists(os.path.join(place.runtime, "broker")), what
        assert not os.path.exists(place.state), what
    for mode in (0o664, 0o646, 0o602):
        write_config(place, "floor: 1\n", mode)
        broker = place.broker(ready=False)
        assert broker.wait_exit() == 78, oct(mode)
        assert "slots.yaml: may be written by others: chmod go-w it" in broker.text(), broker.text()
    os.unlink(place.config_path)
    broker = place.broker(ready=False)
    assert broker.wait_exit() == 78 and "slots.yaml: No such file" in broker.text(), broker.text()


@case
def a_wrong_configuration_at_reload_leaves_the_old_one(place):
    place.configure(max_slots=5, max_per_project=5, timing={"ttl": "60s"})
    broker = place.broker()
    shim = Session(place.endpoint, "consilio")
    shim.granted(2)
    refusals = {**WRONG_FILES, "writable by others": ("floor: 1\n", ": may be written by others")}
    for what, (content, because) in refusals.items():
        write_config(place, content, 0o666 if "others" in what else 0o644)
        seen = len(broker.lines["stderr"])
        broker.signal(signal.SIGHUP)
        line = broker.wait_line(r"\breload\b", start=seen).string
        told = line.replace("\\x5c", "\\")     # quoted, so escaped once more
        assert "refused=" in line and "kept=" in line, (what, line)
        assert re.search("slots.yaml" + because, told), (what, line)
        status = shim.status()
        assert (status["max_slots"], status["in_use"]) == (5, 2), (what, status)
        assert [project["max"] for project in status["projects"]] == [5], (what, status)
    write_config(place, "max_slots: 6\n")
    broker.signal(signal.SIGHUP)
    broker.wait_line(r"\breload\b.*max_slots=6")
    shim.close()


@case
def no_configuration_keeps_the_broker_busy(place):
    """libyaml alone is quadratic in some of these."""
    size = 65000
    units = ["[", "{", "- ", "? ", "[a,", "{a: ", "!a ", "&a ", "*a ", "'", "\"\\", "a: ", "%", "---\n",
             "#\n", "|\n"]
    for unit in units:
        for head in ("", "vm_state: "):
            write_config(place, head + unit * ((size - len(head)) // len(unit)))
            code, out, err = place.run("slotbus-broker", "--config", place.config_path, "--check-config",
                                       deadline=10)
            assert code in ((0, 78) if unit[0] == "#" or "'" in unit else (78,)), (unit, head, code)


# ---- state ----

@case
def a_state_older_than_its_marker_is_refused(place):
    def one_life():
        broker = place.broker()
        shim = Session(place.endpoint, "consilio", beating=False, successor=True)
        shim.granted(1)
        shim.close()
        broker.signal(signal.SIGTERM)
        assert broker.wait_exit() == 0
    path = os.path.join(place.state, "state.db")
    one_life()
    shutil.copy(path, path + ".backup")
    one_life()
    os.replace(path + ".backup", path)
    broker = place.broker(ready=False)
    assert broker.wait_exit() == 78, broker.text()
    assert "--accept-state-loss" in broker.text() and "older" in broker.text(), broker.text()


# ---- command lines ----

def commands(place):
    """The subcommands that there are, as the program itself lists them."""
    code, out, err = place.run("slotbus", "--help")
    assert (code, err) == (0, "")
    names = re.findall(r"^  ([a-z-]+)  +\S", out, re.M)
    assert {"request", "status", "kill"} <= set(names), names
    return names


def flags_of(page):
    """[(--name, word of its value or "")] of a page of help."""
    return re.findall(r"^ +(?:-\w, )?(--[a-z-]+)(?: (?!  )(\S+))?", page, re.M)


def fails(place, argv, code, words):
    """Ends with that, says so, and nothing on stdout."""
    status, out, err = place.run(*argv, env={"SLOTBUS_SUPERVISOR": str(os.getpid())})
    assert status == code and re.search(words, err), (argv, status, err)
    assert out == "", (argv, out)


@case
def every_command_has_help_and_a_nearest_word(place):
    for name in commands(place):
        for argv in ((name, "--help"), (name, "-h"), ("help", name)):
            code, out, err = place.run("slotbus", *argv)
            assert (code, err) == (0, ""), (argv, code, err)
            assert out.startswith("usage: slotbus %s" % name), (argv, out)
            assert "Examples:\n  " in out and "slotbus %s" % name in out.split("Examples:")[1], (argv, out)
        fails(place, ["slotbus", name + "x"], 64, r"no command %sx; did you mean %s\?" % (name, name))
    for wrong, meant in (("--hlep", "--help"), ("--versoin", "--version"), ("--Help", "--help")):
        fails(place, ["slotbus", wrong], 64, r"did you mean %s\?" % meant)
    fails(place, ["slotbus"], 64, "usage")
    fails(place, ["slotbus", "zebra"], 64, "no command zebra\nusage")
    fails(place, ["slotbus", "help", "requst"], 64, r"did you mean request\?")
    fails(place, ["slotbus", ""], 64, "no command")


# Words of values that are not any text.
NUMBERS = {"N", "K", "X", "PID", "T", "T..", "T,..", "S", "D"}


@case
def every_flag_of_every_command_is_checked(place):
    checked = 0
    for name in commands(place):
        flags = flags_of(place.run("slotbus", name, "--help")[1])
        for flag, value in flags:
            wrong = flag[:-1] + "~" + flag[-1]
            fails(place, ["slotbus", name, wrong], 64, r"no flag %s; did you mean %s\?" % (wrong, flag))
            if not value:
                fails(place, ["slotbus", name, flag + "=x"], 64, "%s takes no value" % flag)
                continue
            fails(place, ["slotbus", name, flag], 64, "%s needs a value" % flag)
            for bad in ("x", "-1", "1y", "", "99999999999999999999") if value in NUMBERS else ():
                fails(place, ["slotbus", name, flag + "=" + bad], 65, "%s: expected .*got '%s'" % (flag, bad))
            checked += 1
        fails(place, ["slotbus", name, "--zebra=1"], 64, "no flag --zebra\n?")
        fails(place, ["slotbus", name, "-Z"], 64, "no flag -Z")
    print("# %d flags with values" % checked)
    assert checked > 20


GONE = "4194303"        # above every pid there is
COMMAND_LINES = [
    ("request", 64, "a project and a number"), ("request p", 64, "a project and a number"),
    ("request p 1 2", 64, "what is '2'"), ("request p 0", 65, r"1\.\.10000, got '0'"),
    ("request p -1", 64, "no flag -1"), ("request p 1.5", 65, "got '1.5'"), ("request p 10001", 65,
                                                                             "got '10001'"),
    ("request p 2 --min 3", 64, "--min is more than 2"), ("request p 2 --min 0", 65, r"1\.\.10000, got '0'"),
    ("request p 2 --bound worker", 64, "--bound: expected supervisor"),
    ("request p 2 --nowait --timeout 1", 64, "--nowait and --timeout contradict"),
    ("request p 2 --priority 1001", 65, r"1\.\.1000, got '1001'"),
    ("request p 2 --watch " + GONE, 64, "--watch %s: there is no such process" % GONE),
    ("request p 2 --watch 0", 65, r"1\.\.2147483647, got '0'"),
    ("request .. 2", 65, "'..' is not the name"), ("request -- -p 2", 65, "'-p' is not the name"),
    ("request a/b 2", 65, "not the name"), ("request %s 2" % ("a" * 65), 65, "not the name"),
    ("release p", 64, "a number or --token"), ("release p 1 2", 64, "not both"),
    ("release p 0", 65, r"1\.\.10000, got '0'"), ("release p 1 --token 1", 64, "not both"),
    ("release p --token 3-1", 65, "tokens such as"), ("release p 1 --force", 64, "--force needs --token"),
    ("release p --token 1 --force --kill", 64, "--force contradicts"),
    ("release p 1 --watch " + GONE, 64, "no such process"),
    ("run -p p", 64, "which command"), ("run -p p -n 513 -- true", 65, r"1\.\.512, got '513'"),
    ("run -p p --nowait --timeout 1 -- true", 64, "contradict"), ("run -- true", 64, "which project"),
    ("run -p .. -- true", 65, "not the name"),
    ("progress -p p -l a", 64, "nothing to say"), ("progress -p p 5", 64, "which agent"),
    ("progress -p p -l a 101", 65, r"0\.\.100, got '101'"), ("progress -p p -l a 0x10", 65, "got '0x10'"),
    ("progress -p p -l a nan", 65, "got 'nan'"), ("progress -p p -l a 5 6", 64, "what is '6'"),
    ("progress -p p -l a --phase 5", 65, "expected 3/4, got '5'"),
    ("progress -p p -l a --phase 5/4", 65, "got '5/4'"), ("progress -p p -l a --phase 1/0", 65, "got '1/0'"),
    ("cancel", 64, "which project"), ("cancel p q", 64, "what is 'q'"), ("cancel ..", 65, "not the name"),
    ("status p q", 64, "what is 'q'"), ("status ..", 65, "not the name"),
    ("kill", 64, "one project"), ("kill p q", 64, "one project"), ("kill ..", 65, "not the name"),
    ("kill p --label a --token 1", 64, "not both"), ("kill p --label=", 65, "--label: expected the name"),
    ("kill p --grace 0", 65, r"1ms\.\.1h"), ("kill p --grace 2h", 65, r"1ms\.\.1h"),
    ("kill p --token 0", 65, "got '0'"),
    ("set-max", 64, "one number"), ("set-max 1 2", 64, "one number"), ("set-max 0", 65,
                                                                       r"1\.\.10000, got '0'"),
    ("set-max 10001", 65, "got '10001'"), ("set-max x", 65, "got 'x'"), ("set-max -1", 64, "no flag -1"),
    ("set-policy", 64, "one policy"), ("set-policy fifo fair", 64, "one policy"),
    ("set-policy prioriti", 65, r"got 'prioriti'; did you mean priority\?"),
    ("set-policy x", 65, "expected fifo, fair or priority, got 'x'$"),
    ("set-priority p", 64, "a project and its priority"), ("set-priority p 1 2", 64, "are needed"),
    ("set-priority .. 1", 65, "not the name"), ("set-priority p 1001", 65, r"0\.\.1000, got '1001'"),
    ("set-priority p x", 65, "got 'x'"), ("set-priority p 1.5", 65, r"got '1\.5'"),
    ("pause", 64, "one project"), ("pause p q", 64, "one project"), ("pause ..", 65, "not the name"),
    ("pause p --reasn x", 64, "did you mean --reason"), ("resume", 64, "one project"),
    ("resume p q", 64, "one project"), ("resume ..", 65, "not the name"),
    ("relieve x", 64, "what is 'x'"), ("relieve --host=", 65, "--host: expected the name of a host"),
    ("relieve --kil", 64, "did you mean --kill"), ("relieve --host nowhere", 69, "no broker"),
    ("health x", 64, "what is 'x'"), ("advise x", 64, "what is 'x'"),
    ("shim", 64, "which project"), ("shim -p p q", 64, "what is 'q'"), ("shim -p ..", 65, "not the name"),
    ("shim -p p --watch " + GONE, 64, "no such process"), ("shim -p p --ready-fd 99", 64, "--ready-fd 99"),
]


@case
def command_lines_that_cannot_be_meant(place):
    for line, code, words in COMMAND_LINES:
        fails(place, ["slotbus", *line.split()], code, words)
    for source in ("0", "-1", "x", GONE):
        status, out, err = place.run("slotbus", "request", "p", "1", env={"SLOTBUS_SUPERVISOR": source})
        assert (status, out) == (64, "") and "SLOTBUS_SUPERVISOR" in err, (source, status, err)
    use_wrappers(place)
    for argv, code in ((["supervisor-request-slots", "p"], 64), (["supervisor-release-slots", "p"], 64),
                       (["resource-kill"], 64), (["resource-set-max", "0"], 65),
                       (["resource-status", ".."], 65), (["monitor-vm.sh", "x"], 64),
                       (["reduce-slots-emergency", "x"], 64), (["kill-low-priority-agents", "x"], 64)):
        fails(place, [wrapper(argv[0]), *argv[1:]], code, "slotbus")


@case
def the_brokers_flags_are_checked(place):
    code, page, err = place.run("slotbus-broker", "--help")
    assert (code, err) == (0, "") and "Examples:\n  slotbus-broker" in page
    flags = flags_of(page)
    assert len(flags) >= 8, flags
    for flag, value in flags:
        wrong = flag[:-1] + "~" + flag[-1]
        fails(place, ["slotbus-broker", wrong], 64, r"did you mean %s\?" % flag)
        if not value:
            fails(place, ["slotbus-broker", flag + "=x"], 64, "%s takes no value" % flag)
        else:
            fails(place, ["slotbus-broker", flag], 64, "%s needs a value" % flag)
            fails(place, ["slotbus-broker", flag + "="], 64, "%s.*expected" % flag)
    for argv, words in ((["--max-slots", "0"], r"1\.\.10000, got '0'"), (["--max-slots", "x"], "got 'x'"),
                        (["--bind", "x"], "expected ipc:///PATH"), (["--log-format", "xml"], "text or json"),
                        (["--config", "a", "--config", "b"], "given twice"), (["serve"],
                                                                              "unexpected argument"),
                        (["--max-slots", "1", "--max-slots", "2"], "given twice")):
        fails(place, ["slotbus-broker", *argv], 64, words)


@case
def the_keepers_flags_are_checked(place):
    good = ["--shim", "/x", "--run-fd", "0", "--token", "1", "--count", "1", "--cookie", "b:1"]
    for argv, words in (
            ([], "something is missing"), (good, "something is missing"),
            (["--shm", "x"], "no flag --shm\n"), (["--shim"], "a value is missing: --shim\n"),
            (["--token", "x"], "--token: expected a number"), (["--token", "-1"], "--token: expected"),
            (["--count", "0"], "--count: expected a number above 0"),
            (["--run-fd", "99"], "--run-fd: expected an open descriptor"),
            (good + ["--cookie", "x" * 96, "--", "true"], "--cookie: too long"),
            (["--a\x1bb"], r"no flag --a\\x1bb\n")):
        fails(place, ["slotbus-keeper", *argv], 64, words + "(?s:.*)usage: slotbus-keeper")


main()
