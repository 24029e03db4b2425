# SPDX-License-Identifier: MPL-2.0
"""The real keeper, with this file in the roles of the shim and of `run`."""
import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
import time

from harness import ASAN, DEADLINE, Skip, alive, case, main, program, start_time, wait_until

# struct keeper_packet; see worker-shim/keeper_wire.h
LAYOUT = struct.Struct("@IIQIiqiIqqqqqQQ96s256s257s257s0q")
FIELDS = ("magic type token count pid pid_start status boottime deadline_ms notice_ms "
          "grace_ms confirm_ms linger_ms peak_bytes cpu_ms cookie cgroup label reason").split()
MAGIC = 0x31504B53
ATTACH, STARTED, EXITED, REAPED, ARM, STOP, REFUSE = range(1, 8)
LONG = 600000  # ms: nothing in a test waits for that
# Nor for this, but a shell may swallow a SIGTERM on behalf of the child that it
# is just forking, which then has to be killed.
GRACE = 3000


def pack(**fields):
    values = {name: 0 for name in FIELDS}
    values.update(cookie=b"", cgroup=b"", label=b"", reason=b"", magic=MAGIC)
    values.update(fields)
    return LAYOUT.pack(*(values[name] for name in FIELDS))


class Packet:
    def __init__(self, data):
        assert len(data) == LAYOUT.size, "a packet of %d bytes" % len(data)
        for name, value in zip(FIELDS, LAYOUT.unpack(data)):
            if isinstance(value, bytes):
                value = value.split(b"\0")[0].decode()
            setattr(self, name, value)
        assert self.magic == MAGIC


def now(clock=time.CLOCK_MONOTONIC):
    return time.clock_gettime_ns(clock) // 1000000


def receive(stream, type):
    stream.settimeout(DEADLINE)
    data = stream.recv(4096)
    assert data, "the stream has ended"
    packet = Packet(data)
    assert packet.type == type, "type %d instead of %d: %s" % (packet.type, type, packet.reason)
    return packet


def unified_mount():
    with open("/proc/self/mountinfo") as f:
        for line in f:
            if " - cgroup2 " in line:
                return line.split()[4]
    return None


def cgroup_possible():
    mount = unified_mount()
    with open("/proc/self/cgroup") as f:
        own = [line[3:].strip() for line in f if line.startswith("0::")]
    return bool(mount and own and os.access(mount + own[0], os.W_OK))


class Kept:
    """A keeper, its command, and the two streams that it keeps."""

    def __init__(self, place, command, *flags, shim=True, ignore=()):
        self.place = place
        self.cookie = "test%d:%d" % (os.getpid(), time.monotonic_ns())
        self.path = os.path.join(place.path, "keepers")
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.shim = None
        self.folder = None  # the cgroup's
        if shim:
            self.listener.bind(self.path)
            self.listener.listen()
        self.run, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.out = os.path.join(place.path, "out")
        argv = [program("slotbus-keeper"), "--shim", self.path, "--run-fd", str(far.fileno()),
                "--token", "17", "--count", "2", "--tokens", "17,18", "--cookie", self.cookie,
                "--project", "odin", *flags, "--", *command]
        with open(self.out, "wb") as out:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=place.env,
                pass_fds=[far.fileno()],
                preexec_fn=lambda: [signal.signal(s, signal.SIG_IGN) for s in ignore])
        far.close()
        place.at_end(self.clean)
        if shim:
            self.listener.settimeout(DEADLINE)
            self.shim, _ = self.listener.accept()
            self.attached = receive(self.shim, ATTACH)
            if self.attached.cgroup:
                self.folder = os.path.join(unified_mount(), self.attached.cgroup)
        os.path.exists(self.path) and os.unlink(self.path)

    def arm(self, deadline=None, grace=GRACE, confirm=100, linger=200, boottime=0):
        clock = time.CLOCK_BOOTTIME if boottime else time.CLOCK_MONOTONIC
        if deadline is None:
            deadline = 10 * LONG
        self.shim.send(pack(type=ARM, deadline_ms=now(clock) + deadline, grace_ms=grace,
                            confirm_ms=confirm, linger_ms=linger, boottime=boottime))

    def start(self, **arm):
        self.arm(**arm)
        self.started = receive(self.shim, STARTED)
        assert receive(self.run, STARTED).pid == self.started.pid
        return self

    def stop(self, notice=0, grace=GRACE, reason=b"because"):
        self.shim.send(pack(type=STOP, notice_ms=notice, grace_ms=grace, reason=reason))

    def said(self):
        with open(self.out) as f:
            return f.read()

    def await_words(self, *words):
        wait_until(lambda: all(w in self.said() for w in words), "the words %s" % (words,))

    def members(self):
        """Every process with the cookie."""
        entry = b"SLOTBUS_COOKIE=%s" % self.cookie.encode()
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/environ" % pid, "rb") as f:
                    if entry in f.read().split(b"\0"):
                        found.append(int(pid))
            except OSError:
                pass
        return found

    def ends(self, *streams):
        """EXITED and REAPED on these; then nothing of it is left."""
        status = None
        for stream in streams:
            exited = receive(stream, EXITED)
            reaped = receive(stream, REAPED)
            assert exited.status == reaped.status
            assert not self.members(), self.members()
            status = exited.status
        assert self.process.wait(DEADLINE) == 0
        assert not self.folder or not os.path.exists(self.folder)
        return status

    def clean(self):
        """However the case went: keeper and tree are gone."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for _ in range(100):
            for pid in self.members():
                os.kill(pid, signal.SIGKILL)
            if not self.members():
                break
        for stream in (self.run, self.shim, self.listener):
            if stream:
                stream.close()
        if self.folder and os.path.exists(self.folder):
            os.rmdir(self.folder)


def sh(script):
    return ["sh", "-c", script]


SPARE = "trap 'echo asked' TERM; echo ready; while :; do sleep 600 & wait; done"
OBEDIENT = "trap 'echo asked; exit 3' TERM; echo ready; sleep 600 & wait"
# Three levels; one in a session of its own, twice forked, one stopped, one
# that has closed everything.
FAMILY = ("setsid sh -c 'trap \"\" TERM; (sleep 600 & sleep 600) & echo one; wait' &"
          "(setsid sleep 600 >&- 2>&- <&- &) ; sh -c 'kill -STOP $$' & " + SPARE)
# A few processes that fork and end as fast as they can, for ten seconds.
STORM = [sys.executable, "-c", """if True:
    import os, signal, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for i in range(20):
        if os.fork() == 0:
            if i == 19:
                print("ready", flush=True)
            for i in range(1000):
                if os.fork() != 0:
                    os._exit(0)
                time.sleep(0.01)
            os._exit(0)
    signal.pause()
"""]


def each_kind():
    return [[]] * cgroup_possible() + [["--no-cgroup"]]


@case
def command_lives_between_attach_and_reaped(place):
    k = Kept(place, sh("exit 5"), "--label", "build")
    a = k.attached
    assert (a.token, a.count, a.cookie, a.label) == (17, 2, k.cookie, "build")
    assert a.pid == k.process.pid
    assert bool(a.cgroup) == cgroup_possible(), a.cgroup
    k.start()
    assert k.started.pid not in (0, k.process.pid)
    assert os.waitstatus_to_exitcode(k.ends(k.shim, k.run)) == 5


@case
def command_starts_only_when_armed(place):
    k = Kept(place, sh("echo ready"))
    k.run.setblocking(False)
    os.kill(k.process.pid, signal.SIGSTOP)  # whatever it does before ARM is done
    wait_until(lambda: open("/proc/%d/stat" % k.process.pid).read().split()[2] == "T", "the stop")
    with open("/proc/%d/task/%d/children" % (k.process.pid, k.process.pid)) as f:
        assert f.read() == ""
    os.kill(k.process.pid, signal.SIGCONT)
    k.start()
    k.ends(k.shim, k.run)
    assert "ready" in k.said()


@case
def command_finds_a_world_as_if_started_by_run(place):
    script = ("env; cat /proc/self/status; echo oom $(cat /proc/$$/oom_score_adj);"
              "echo fds; ls /proc/self/fd; echo stat $(cat /proc/$$/stat)")
    witness = os.path.join(place.path, "witness")
    place.env["SLOTBUS_LABEL"] = "of an outer agent"
    k = Kept(place, sh(script), "--witness", witness, ignore=[signal.SIGHUP]).start()
    assert k.ends(k.shim, k.run) == 0
    said = k.said()
    for line in ("SLOTBUS_COOKIE=" + k.cookie, "SLOTBUS_TOKENS=17,18", "SLOTBUS_SLOTS=2",
                 "SLOTBUS_PROJECT=odin", "SLOTBUS_SHIM=" + k.path, "SigBlk:\t" + 16 * "0"):
        assert line in said.splitlines(), (line, said)
    assert "SLOTBUS_LABEL" not in said
    ignored = int(said.split("SigIgn:\t")[1].split()[0], 16)
    assert ignored & 1 << signal.SIGHUP - 1 and not ignored & 1 << signal.SIGINT - 1
    own = int(open("/proc/self/oom_score_adj").read())
    assert "oom %d" % min(own + 500, 1000) in said
    fds = sorted(int(n) for n in said.split("\nfds\n")[1].split("\nstat")[0].split())
    assert fds[:4] == [0, 1, 2, 3] and fds[4] >= 100 and len(fds) == 5, fds  # 3 is ls's own
    group, session = said.split("\nstat ")[1].rsplit(")", 1)[1].split()[2:4]
    assert (int(group), int(session)) == (os.getpgrp(), os.getsid(0))


@case
def end_of_the_shim_ends_the_tree(place):
    for kind in each_kind():
        k = Kept(place, sh(FAMILY), *kind).start(grace=100)
        k.await_words("ready", "one")
        k.shim.close()
        assert k.ends(k.run) == signal.SIGKILL
        assert "asked" in k.said()


@case
def end_of_the_run_ends_the_tree(place):
    for kind in each_kind():
        k = Kept(place, sh(FAMILY), *kind).start(grace=100)
        k.await_words("ready", "one")
        k.run.close()
        assert k.ends(k.shim) == signal.SIGKILL
        assert "asked" in k.said()


@case
def obedient_command_ends_by_itself_when_asked(place):
    k = Kept(place, sh(OBEDIENT)).start()
    k.await_words("ready")
    k.stop()
    assert os.waitstatus_to_exitcode(k.ends(k.shim, k.run)) == 3


@case
def tree_is_gone_by_its_deadline(place):
    for kind in each_kind():
        for boottime in (0, 1):
            k = Kept(place, sh(FAMILY), *kind)
            by = now() + 5000
            k.start(deadline=5000, grace=1500, confirm=2500, boottime=boottime)
            k.await_words("ready", "one")
            assert k.ends(k.shim, k.run) == signal.SIGKILL
            assert now() < by, "%d ms late" % (now() - by)
            assert "asked" in k.said()


@case
def storm_of_forks_is_ended(place):
    for kind in each_kind():
        k = Kept(place, STORM, *kind).start(grace=10)
        k.await_words("ready")
        k.stop(grace=0)
        k.ends(k.shim, k.run)


def stop_keeper(k):
    os.kill(k.process.pid, signal.SIGSTOP)
    wait_until(lambda: open("/proc/%d/stat" % k.process.pid).read().split()[2] == "T", "the stop")


@case
def keeper_woken_past_its_deadline_kills_at_once(place):
    k = Kept(place, sh(OBEDIENT)).start(deadline=3000, grace=100, confirm=100)
    by = now() + 3000
    k.await_words("ready")
    stop_keeper(k)
    wait_until(lambda: now() > by, "the deadline")
    os.kill(k.process.pid, signal.SIGCONT)
    assert k.ends(k.shim, k.run) == signal.SIGKILL
    assert "asked" not in k.said()


@case
def keeper_woken_late_reads_what_was_sent_before_it_judges(place):
    k = Kept(place, sh(OBEDIENT)).start(deadline=3000, grace=100, confirm=100)
    by = now() + 3000
    k.await_words("ready")
    stop_keeper(k)
    wait_until(lambda: now() > by, "the deadline")
    k.arm()
    os.kill(k.process.pid, signal.SIGCONT)
    k.stop()
    assert os.waitstatus_to_exitcode(k.ends(k.shim, k.run)) == 3


@case
def notice_runs_a_hook_before_anybody_is_asked(place):
    hook = "echo notice $SLOTBUS_REASON $SLOTBUS_TOKENS"
    k = Kept(place, sh(OBEDIENT), "--notice", hook).start()
    k.await_words("ready")
    k.stop(notice=LONG, reason=b"memory")
    k.await_words("notice memory 17,18")
    assert "asked" not in k.said()
    k.stop(notice=0)  # a second one shortens
    assert os.waitstatus_to_exitcode(k.ends(k.shim, k.run)) == 3


@case
def children_that_outlive_the_command_linger_and_are_ended(place):
    for kind in each_kind():
        k = Kept(place, sh("setsid sleep 600 & exit 4"), *kind).start(linger=100)
        assert os.waitstatus_to_exitcode(k.ends(k.shim, k.run)) == 4


@case
def terminal_signals_are_for_the_command(place):
    k = Kept(place, sh(OBEDIENT)).start()
    k.await_words("ready")
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTSTP, signal.SIGTTOU,
                   signal.SIGTTIN, signal.SIGUSR1, signal.SIGPIPE):
        os.kill(k.process.pid, number)
    k.stop()
    assert os.waitstatus_to_exitcode(k.ends(k.shim, k.run)) == 3


@case
def terminated_keeper_ends_its_tree_first(place):
    k = Kept(place, sh(OBEDIENT)).start()
    k.await_words("ready")
    os.kill(k.process.pid, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(k.ends(k.shim, k.run)) == 3


@case
def killed_keeper_takes_its_command_along(place):
    k = Kept(place, sh("exec sleep 600")).start()
    pid, since = k.started.pid, k.started.pid_start
    assert start_time(pid) == since
    k.process.kill()
    wait_until(lambda: not alive(pid), "the end of the command")
    assert k.run.recv(1) == b"" and k.shim.recv(1) == b""


@case
def garbage_from_the_shim_ends_the_tree(place):
    for garbage in (b"x", pack(type=ARM, magic=1), pack(type=99), pack(type=ARM) + b"x"):
        k = Kept(place, sh(OBEDIENT)).start()
        k.await_words("ready")
        k.shim.send(garbage)
        assert os.waitstatus_to_exitcode(k.ends(k.run)) == 3


@case
def run_cannot_move_the_deadline(place):
    k = Kept(place, sh(OBEDIENT)).start()
    k.await_words("ready")
    k.run.send(pack(type=ARM, deadline_ms=now() + 10 * LONG))
    assert os.waitstatus_to_exitcode(k.ends(k.shim)) == 3


@case
def keeper_without_a_shim_says_so(place):
    k = Kept(place, sh("echo started"), shim=False)
    refusal = receive(k.run, REFUSE)
    assert k.path in refusal.reason and "No such file" in refusal.reason, refusal.reason
    assert k.process.wait(DEADLINE) == 69
    assert "started" not in k.said()


@case
def refusal_of_the_shim_is_passed_on(place):
    k = Kept(place, sh("echo started"))
    k.shim.send(pack(type=REFUSE, reason=b"token 17 is not held"))
    assert receive(k.run, REFUSE).reason == "token 17 is not held"
    assert k.process.wait(DEADLINE) == 69
    assert "started" not in k.said()


@case
def stop_before_the_start_proves_that_nothing_runs(place):
    k = Kept(place, sh("echo started"))
    k.stop(reason=b"killed by ada")
    assert receive(k.run, REFUSE).reason == "killed by ada"
    assert receive(k.shim, REAPED).token == 17
    assert k.process.wait(DEADLINE) == 69
    assert "started" not in k.said()


@case
def command_that_does_not_exist_is_named(place):
    k = Kept(place, ["/nonexistent/tool"]).start()
    assert os.waitstatus_to_exitcode(k.ends(k.shim, k.run)) == 127
    assert "/nonexistent/tool: No such file or directory" in k.said()


@case
def witness_is_held_as_long_as_the_tree_lives(place):
    path = os.path.join(place.path, "witness")
    k = Kept(place, sh(OBEDIENT), "--witness", path).start()
    k.await_words("ready")
    F_OFD_GETLK = 36
    with open(path) as f:
        ask = struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, 0, 0, 0)
        assert struct.unpack("hhqqi4x", fcntl.fcntl(f, F_OFD_GETLK, ask))[0] == fcntl.F_WRLCK
        k.stop()
        k.ends(k.shim, k.run)
        assert struct.unpack("hhqqi4x", fcntl.fcntl(f, F_OFD_GETLK, ask))[0] == fcntl.F_UNLCK
    assert not os.path.exists(path)


@case
def usage_is_reported_in_the_end(place):
    k = Kept(place, sh("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done")).start()
    receive(k.run, EXITED)
    reaped = receive(k.run, REAPED)
    assert reaped.peak_bytes > 100000 and reaped.cpu_ms > 0, vars(reaped)


@case
def only_keepers_look_for_no_leaks(place):
    if not ASAN:
        raise Skip("without a sanitizer nobody looks for leaks")
    env = dict(os.environ, LSAN_OPTIONS="log_threads=1")

    def looks(name):
        end = subprocess.run([program(name), "--version"], env=env, stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, timeout=DEADLINE)
        return b"Processing thread" in end.stderr
    assert looks("slotbus") and looks("slotbus-broker")
    assert not looks("slotbus-keeper")


@case
def footprint_is_printed(place):
    k = Kept(place, sh(OBEDIENT)).start()
    k.await_words("ready")
    with open("/proc/%d/smaps_rollup" % k.process.pid) as f:
        sizes = {line.split(":")[0]: line.split()[1] for line in f.readlines()[1:]}
    print("# keeper (%s): private dirty %s kB, private clean %s kB, pss %s kB" % (
        os.environ.get("SLOTBUS_FLAVOUR"), sizes["Private_Dirty"], sizes["Private_Clean"],
        sizes["Pss"]))
    k.stop()
    k.ends(k.shim, k.run)


if __name__ == "__main__":
    main()
