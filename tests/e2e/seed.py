# SPDX-License-Identifier: MPL-2.0
"""seed - what tests of commands share: supervisors, shims, the wrappers

Every case has supervisors of its own (programs that only live), so that its
shims end with them, before the broker does; that they do is asserted at the
end of each case.
"""
import functools
import json
import os

from harness import alive, case, program, wait_until

SCRIPTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts")

# No limit that a busy machine reaches, but limits, so that they are shown.
LIMITS = {"max_cpu_percent": 100, "max_memory_percent": 99.5, "critical_memory_percent": 99.9,
          "critical_memory_psi": None, "max_load_average": 10000.0, "max_disk_percent": None,
          "critical_disk_percent": None}
PROJECTS = {"consilio": {"display": "Consilio"}, "openhorizon": {"display": "OpenHorizon"},
            "odin": {"display": "Odin"}, "health-agent": {"display": "Health-Agent"}}


def environ_of(pid):
    with open("/proc/%d/environ" % pid, "rb") as f:
        pairs = [entry.partition(b"=") for entry in f.read().split(b"\0")]
    return {name.decode(): value.decode("utf-8", "replace") for name, _, value in pairs}


def command_line(pid):
    with open("/proc/%d/cmdline" % pid, "rb") as f:
        return f.read().decode("utf-8", "replace").split("\0")[:-1]


def shims(place, project=None):
    """The pids of this place's shims."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            line = command_line(int(name))
            if (line[1:2] == ["shim"] and alive(int(name))
                    and (project is None or project in line)
                    and environ_of(int(name)).get("SLOTBUS_RUNTIME_DIR") == place.runtime):
                found.append(int(name))
        except OSError:
            pass
    return found


def tree_members(place, cookie_part):
    """Living processes of this place with that in their SLOTBUS_COOKIE."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            env = environ_of(int(name))
        except OSError:
            continue
        if (env.get("SLOTBUS_RUNTIME_DIR") == place.runtime
                and cookie_part in env.get("SLOTBUS_COOKIE", "") and alive(int(name))):
            found.append(int(name))
    return found


def use_wrappers(place):
    """The seed's commands, and slotbus, by PATH."""
    place.env["PATH"] = os.pathsep.join(
        [SCRIPTS, os.path.dirname(program("slotbus")), place.env.get("PATH", "/usr/bin:/bin")])
    for name in ("NO_COLOR", "TERM"):
        place.env.pop(name, None)


def supervisor(place):
    """A process that only lives."""
    return place.start("/bin/sleep", "1000")


def by(who):
    """The environment of a command whose supervisor is that program."""
    return {"SLOTBUS_SUPERVISOR": str(who.pid)}


def wrapper(name):
    return os.path.join(SCRIPTS, name)


def in_vain(place, *argv, env):
    """A command that waits for slots until the time TIMEOUT, a word of it, has
    passed. How soon the broker says that it waits is promised by nobody: where
    the time had passed before that, it is given more."""
    for timeout in ("100ms", "1s", "10s"):
        code, out, err = place.run(*[timeout if word == "TIMEOUT" else word for word in argv], env=env)
        if code != 124 or "Waiting for slots" in err:
            break
    return code, out, err


def status(place, project=None):
    code, out, err = place.run("slotbus", "status", "--json", *([project] if project else []))
    assert code == 0, err
    return json.loads(out)


def row_of(place, project):
    return next((p for p in status(place)["projects"] if p["name"] == project), None)


def in_use(place):
    return status(place)["in_use"]


def day(function):
    """A case with the wrappers at hand, at whose end no shim is left."""
    @functools.wraps(function)
    def run(place):
        use_wrappers(place)
        try:
            function(place)
        finally:
            left = [p for p in place.started if program("slotbus-broker") not in p.argv]
            for running in reversed(left):
                running.end()
        wait_until(lambda: not shims(place), "every shim ends with its supervisors")
    return case(run)
