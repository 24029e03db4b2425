#!/usr/bin/python3
# SPDX-License-Identifier: MPL-2.0
"""The broker as a program: what it promises to clients that speak the bus."""
import json
import os
import re
import resource
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time

import zmq

from harness import DEADLINE, SHORT, Skip, alive, case, free_port, main, start_time, wait_until
from slotbus_client import MAGIC, Client, Refused, Session, Subscriber

CLIENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "slotbus_client.py")


def refused(call, error):
    """The call is answered with this ERROR; that answer."""
    try:
        answer = call()
    except Refused as why:
        assert why.error == error, why
        return why.message
    raise AssertionError("not refused: %r" % (answer,))


def in_use(place):
    client = Client(place.endpoint)
    try:
        return client.status().get("in_use", 0)
    finally:
        client.close()


def stand_in(place, project, count, *keys):
    """A shim in a process of its own; (program, tokens)."""
    shim = place.start("/usr/bin/python3", "-B", CLIENT, place.endpoint, project, str(count), *keys)
    line = shim.wait_line(r'"what": "granted"', "stdout").string
    return shim, json.loads(line)["tokens"]


# ---- serving ----

@case
def serves_a_dealer(place):
    place.broker()
    shim = Session(place.endpoint, "consilio")
    assert shim.welcome["epoch"] == 1 and shim.welcome["own_host"]
    assert shim.welcome["beat_ms"] == 50 and len(shim.welcome["broker"]) == 32
    tokens = shim.granted(3)
    assert tokens == [1, 2, 3], tokens
    assert in_use(place) == 3
    assert shim.release(tokens[:2])["tokens"] == tokens[:2]
    assert in_use(place) == 1
    shim.close()


@case
def serves_a_req_with_one_answer_each(place):
    place.broker()
    shim = Session(place.endpoint, "consilio", req=True, beating=False)
    answer = shim.call("REQUEST", "GRANT", session=shim.session, seq=1, count=7)
    assert answer["first"] == 1 and answer["count"] == 7, answer
    answer = shim.call("REQUEST", "QUEUED", session=shim.session, seq=2, count=2)
    assert answer["slots_ahead"] == 1 and answer["reason"], answer
    ok = shim.beat_ok()
    assert not ok.get("grants"), ok
    shim.release(list(range(1, 8)))
    assert shim.read(0.2) is None       # never pushed: it rides in BEAT_OK
    ok = shim.beat_ok()
    assert ok["grants"] == [{"seq": 2, "first": 8, "count": 2}], ok
    shim.close()


@case
def says_ready_with_its_endpoints_and_what_the_timing_means(place):
    broker = place.broker()
    line = broker.wait_line(r"\bready\b").string
    assert place.endpoint in line and place.events in line, line
    broker.wait_line(r"timing .*outage of")


@case
def writes_the_snapshot_in_the_seeds_shape(place):
    import yaml
    place.configure(projects={"consilio": {}, "odin": {}})
    place.broker()
    shim = Session(place.endpoint, "consilio")
    shim.granted(2)
    path = os.path.join(place.runtime, "slots.yaml")

    def written():
        with open(path) as f:
            text = f.read()
        found = yaml.safe_load(text)
        assert text.startswith("# generated")
        return found if found["slot_allocation"].get("consilio") == 2 else None
    found = wait_until(written, "the snapshot shows the grant", meanwhile=shim.keep)
    assert found["max_slots"] == 8 and found["slot_allocation"]["odin"] == 0
    assert set(found["vm_state"]) >= {"cpu_percent", "memory_percent", "load_average",
                                      "disk_usage_percent", "health"}
    assert "max_cpu_percent" in found["vm_limits"]
    shim.close()


@case
def late_subscriber_gets_the_last_value_at_once(place):
    place.configure(timing={"health_interval": "60s"})
    place.broker()
    shim = Session(place.endpoint, "consilio")
    shim.granted(2)
    late = Subscriber(place.events, "lease.consilio")
    topic, lease = late.wait("lease.")
    assert topic == "lease.consilio" and lease["held"] == 2, lease
    late.subscribe("health.")
    topic, health = late.wait("health.")
    assert health["level"] == "healthy" and health["number"] >= 1, health
    later = Subscriber(place.events, "lease.consilio")
    assert later.wait("lease.") == ("lease.consilio", lease)
    for socket_ in (late, later, shim):
        socket_.close()


@case
def serves_its_own_user_alone(place):
    place.broker()
    modes = {path: stat.S_IMODE(os.stat(os.path.join(place.path, path)).st_mode)
             for path in ("run", "run/broker", "run/events", "state")}
    assert modes == {"run": 0o700, "run/broker": 0o600, "run/events": 0o600, "state": 0o700}, modes


@case
def herd_of_five_hundred_clients_is_answered(place):
    place.broker()
    context = zmq.Context()
    context.max_sockets = 2000
    clients = [Client(place.endpoint, context=context) for _ in range(500)]
    for client in clients:
        client.send("STATUS")
    for client in clients:
        client.wait("STATUS_OK")
        client.close()
    context.term()


# ---- what it does not understand ----

@case
def names_what_is_wrong_with_a_message(place):
    broker = place.broker()
    client = Client(place.endpoint)
    client.socket.send_multipart([b"HTTP", b"x"])           # dropped
    client.socket.send_multipart([MAGIC])
    client.socket.send_multipart([MAGIC, b""])
    client.socket.send_multipart([MAGIC, b"a", b"b", b"c"])
    client.send_body(b"\x81\xa4verb\xa6STATUS", b"SLT2")
    assert "SLT1" in refused(lambda: client.wait("STATUS_OK"), "BAD_VERSION")["detail"]
    for body in (b"", b"\xc1", b"\xdd\x04\x00\x00\x00", b"\x81\xa4verb\xa6STATUS\x00"):
        if body:
            client.send_body(body)
            refused(lambda: client.wait("STATUS_OK"), "BAD_FRAME")
    client.send("DANCE")
    refused(lambda: client.wait("STATUS_OK"), "UNKNOWN_VERB")
    client.send("WELCOME", nonce=1, session=1, epoch=1, broker="x", beat_ms=1, ttl_ms=1)
    refused(lambda: client.wait("STATUS_OK"), "UNKNOWN_VERB")
    client.send("SET_MAX", max_slots=0)
    answer = refused(lambda: client.wait("SET_MAX_OK"), "BAD_ARG")
    assert answer["re"] == "SET_MAX" and answer["key"] == "max_slots", answer
    client.send("BEAT", session=5, epoch=1, seq=1)
    refused(lambda: client.wait("BEAT_OK"), "NO_SESSION")
    client.status()
    assert broker.process.poll() is None
    client.close()


@case
def too_large_a_message_costs_the_connection_only(place):
    place.broker()
    client = Client(place.endpoint)
    client.send_body(b"\xc4" * 70000)
    assert client.read(0.5) is None
    client.status()         # over a new connection
    client.close()


# ---- deaths and restarts ----

@case
def killed_broker_comes_back_with_everything(place):
    place.configure(timing={"ttl": "20s"})
    first = place.broker()
    shim = Session(place.endpoint, "consilio")
    other = Session(place.endpoint, "odin")
    tokens = shim.granted(8)
    shim.beat_ok()
    seqs = [other.request(5), other.request(2)]
    for seq in seqs:
        other.wait("QUEUED", seq=seq)
    first.signal(signal.SIGKILL)
    first.wait_exit()
    place.broker()
    ok = shim.beat_ok()
    assert ok["epoch"] == 2 and "stops" not in ok, ok
    status = shim.status()
    assert [a["token"] for a in status["agents"]] == tokens, status
    assert [q["count"] for q in status["queue"]] == [5, 2], status
    other.beat_ok()
    shim.release(tokens[:5])
    grant = other.wait("GRANT", seq=seqs[0])
    assert grant["first"] > max(tokens) and grant["epoch"] == 2, grant
    shim.close()
    other.close()


@case
def broker_killed_at_every_moment_loses_no_confirmed_grant(place):
    place.configure(max_slots=200, max_per_project=200, timing={"ttl": "20s"})
    broker = place.broker()
    shim = Session(place.endpoint, "consilio", beating=False)
    seen = set()
    for epoch in range(1, 8):
        for _ in range(5):
            shim.request(1)
        grants = [shim.wait("GRANT") for _ in range(3)]
        broker.signal(signal.SIGKILL)
        broker.wait_exit()
        fresh = {g["first"] for g in grants}
        assert not fresh & seen, (fresh, seen)
        seen |= fresh
        broker = place.broker()
        shim.inbox.clear()
        ok = shim.beat_ok()
        assert ok["epoch"] == epoch + 1
        while shim.read(0.05):  # grants that the kill kept back, sent again
            pass
        held = {a["token"] for a in shim.status()["agents"]}
        shim.inbox.clear()      # they came before that answer
        assert seen <= held, (seen - held)
    shim.close()


@case
def stopped_broker_loses_no_session(place):
    place.configure(timing=SHORT)
    broker = place.broker()
    shim = Session(place.endpoint, "consilio")
    shim.granted(1)
    broker.signal(signal.SIGSTOP)
    end = time.monotonic() + 2.0    # longer than ttl 1.5 s
    wait_until(lambda: time.monotonic() > end, "two seconds", meanwhile=shim.keep)
    broker.signal(signal.SIGCONT)
    broker.wait_line(r"\bstall\b")
    shim.beat_ok()
    assert not re.search(r"\] lost", broker.text())
    assert in_use(place) == 1
    shim.close()


@case
def ends_cleanly_on_sigterm_and_keeps_leases(place):
    broker = place.broker()
    shim = Session(place.endpoint, "consilio")
    tokens = shim.granted(2)
    broker.signal(signal.SIGTERM)
    assert broker.wait_exit() == 0
    assert not os.path.exists(os.path.join(place.state, "state.db-wal"))
    place.broker()
    assert shim.beat_ok()["epoch"] == 2
    assert [a["token"] for a in shim.status()["agents"]] == tokens
    shim.close()


@case
def second_broker_on_the_same_folders_is_refused(place):
    first = place.broker()
    second = place.broker(ready=False)
    assert second.wait_exit() == 78
    assert "another broker" in second.text() and str(first.pid) in second.text(), second.text()
    third = place.broker(ready=False, env={"SLOTBUS_STATE_DIR": place.state + "2"})
    assert third.wait_exit() == 78      # the same sockets
    client = Client(place.endpoint)     # and the first one still serves
    client.status()
    client.close()


@case
def second_broker_of_the_host_needs_private(place):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as name:
        def has_it():
            try:
                name.bind("\0slotbus-broker")
            except OSError:
                return False
            return True
        try:                        # another test may have it for a moment
            wait_until(has_it, "the name of the host's broker", 5)
            name.listen(8)
            holder = "pid %d" % os.getpid()
        except AssertionError:      # a broker of this machine's has it
            holder = "--private"
        broker = place.start("slotbus-broker")
        assert broker.wait_exit() == 78
        assert "--private" in broker.text() and holder in broker.text(), broker.text()
        place.broker()              # with --private


# ---- state ----

def with_state(place):
    """A state with a lease in it, left by a broker that was ended."""
    broker = place.broker()
    shim = Session(place.endpoint, "consilio")
    shim.granted(2)
    shim.close()
    broker.signal(signal.SIGTERM)
    assert broker.wait_exit() == 0
    return os.path.join(place.state, "state.db")


def assert_refuses(place, because):
    broker = place.broker(ready=False)
    assert broker.wait_exit() == 78, broker.text()
    assert because in broker.text() and "--accept-state-loss" in broker.text(), broker.text()
    assert not os.path.exists(os.path.join(place.runtime, "broker"))


@case
def missing_state_is_refused(place):
    os.unlink(with_state(place))
    shutil.rmtree(place.runtime)
    assert_refuses(place, "is missing")


@case
def empty_state_is_refused(place):
    os.truncate(with_state(place), 0)
    shutil.rmtree(place.runtime)
    assert_refuses(place, "is empty")


@case
def corrupt_state_is_refused(place):
    with open(with_state(place), "r+b") as f:
        f.write(b"garbage")
    shutil.rmtree(place.runtime)
    assert_refuses(place, "is damaged")


@case
def newer_state_is_refused(place):
    db = sqlite3.connect(with_state(place))
    db.execute("PRAGMA user_version=99")
    db.close()
    shutil.rmtree(place.runtime)
    assert_refuses(place, "newer")


@case
def accepted_loss_learns_before_it_grants(place):
    place.configure(timing={"beat": "50ms", "ttl": "3s", "lock_delay": "500ms"})
    broker = place.broker()
    old = Session(place.endpoint, "consilio")
    tokens = old.granted(6)
    old.beat_ok()
    broker.signal(signal.SIGKILL)
    broker.wait_exit()
    for name in ("state.db", "state.db-wal"):
        os.unlink(os.path.join(place.state, name))
    broker = place.broker("--accept-state-loss")
    refused(old.beat_ok, "NO_SESSION")
    old.hello(holds=tokens, broker=old.welcome["broker"], epoch=old.epoch)
    assert old.welcome["epoch"] == 2
    new = Session(place.endpoint, "odin")
    seq = new.request(2)
    queued = new.wait("QUEUED", seq=seq)
    assert queued["reason"] == "LEARNING", queued
    old.beat_ok()
    broker.signal(signal.SIGKILL)       # it goes on learning after that
    broker.wait_exit()
    started = time.monotonic()
    broker = place.broker()
    broker.wait_line(r"\] start .*learning=true")

    def both():
        old.keep()
        new.keep()
    wait_until(lambda: [m for m in new.inbox if m["verb"] == "GRANT"], "a grant", meanwhile=both)
    assert time.monotonic() - started >= 3.5
    grant = new.wait("GRANT", seq=seq)
    assert grant["first"] > max(tokens), grant
    assert in_use(place) == 8
    broker.signal(signal.SIGKILL)       # and has learned for good
    broker.wait_exit()
    place.broker().wait_line(r"\] start .*learning=false")
    old.close()
    new.close()


# ---- configuration ----

@case
def sighup_takes_a_good_configuration(place):
    broker = place.broker()
    place.configure(max_slots=3, max_per_project=3)
    broker.signal(signal.SIGHUP)
    broker.wait_line(r"\breload\b.*max_slots=3")
    shim = Session(place.endpoint, "consilio")
    shim.request(4)
    refused(lambda: shim.wait("GRANT"), "EXCEEDS_MAX")
    shim.close()


@case
def sighup_keeps_the_old_configuration_when_the_new_is_wrong(place):
    broker = place.broker()
    place.configure(text="max_slots: 3\nmax_slots: many\n")
    broker.signal(signal.SIGHUP)
    line = broker.wait_line(r"\breload\b.*refused").string
    assert "slots.yaml:2:" in line, line
    shim = Session(place.endpoint, "consilio")
    shim.granted(8)
    shim.close()


@case
def bad_configuration_ends_the_start_with_78(place):
    place.configure(text="max_slots: 0\n")
    for flags in ((), ("--check-config",)):
        broker = place.broker(*flags, ready=False)
        assert broker.wait_exit() == 78
        assert "slots.yaml:1:" in broker.text(), broker.text()
    place.configure()
    assert place.broker("--check-config", ready=False).wait_exit() == 0
    assert not os.path.exists(place.state)
    wrong = place.broker("--max-slot", ready=False)
    assert wrong.wait_exit() == 64 and "--max-slots" in wrong.text(), wrong.text()


@case
def plain_tcp_has_to_be_asked_for(place):
    bus = "tcp://127.0.0.1:%d" % free_port()
    broker = place.broker("--bind", bus, ready=False)
    assert broker.wait_exit() == 78 and "insecure" in broker.text(), broker.text()
    place.configure(insecure=True)
    broker = place.broker("--bind", bus, "--bind", place.endpoint)
    broker.wait_line(r"\binsecure\b")
    shim = Session(bus, "consilio", host="elsewhere")
    assert not shim.welcome.get("own_host")
    shim.granted(1)
    shim.send("SET_MAX", max_slots=3)
    refused(lambda: shim.wait("SET_MAX_OK"), "NOT_ALLOWED")
    shim.close()


# ---- who may what ----

NOBODY = 65534

AS_NOBODY = """
import sys
sys.path.insert(0, %r)
from slotbus_client import *
def error(call):
    try:
        return call() and "done"
    except Refused as why:
        return why.error
client = Client(%r)
print(error(lambda: client.call("STATUS", "STATUS_OK")))
print(error(lambda: Session(%r, "consilio").session))
print(error(lambda: Session(%r, "odin").session))
print(error(lambda: client.call("SET_MAX", "SET_MAX_OK", max_slots=3)))
"""


def as_nobody(place):
    """What another user is told; the folders are opened up for it here, so
    that only the broker's own judgement stands in its way."""
    if os.getuid() != 0:
        raise Skip("needs root, to be another user")
    shutil.copy(CLIENT, place.path)
    for path, mode in ((place.path, 0o755), (place.runtime, 0o711),
                       (place.runtime + "/broker", 0o666)):
        os.chmod(path, mode)
    text = AS_NOBODY % (place.path, place.endpoint, place.endpoint, place.endpoint)
    done = subprocess.run(["/usr/bin/python3", "-B", "-c", text], stdout=subprocess.PIPE,
                          preexec_fn=lambda: os.setuid(NOBODY), timeout=DEADLINE, check=True)
    return done.stdout.decode().split()


@case
def another_user_may_nothing_by_default(place):
    place.broker()
    assert as_nobody(place) == ["NOT_ALLOWED"] * 4


@case
def listed_user_may_use_its_project_and_change_nothing(place):
    place.configure(projects={"consilio": {"uids": [NOBODY]}, "odin": {}})
    place.broker()
    assert as_nobody(place) == ["done", "done", "NOT_ALLOWED", "NOT_ALLOWED"]


# ---- proof on the own host ----

@case
def killed_shim_is_lost_at_once_and_its_slots_wait_for_the_supervisor(place):
    place.configure(timing={"ttl": "60s"})
    broker = place.broker()
    supervisor = place.start("/bin/sleep", "1000")
    shim, tokens = stand_in(place, "consilio", 2, "supervisor=%d" % supervisor.pid,
                            "start=%d" % start_time(supervisor.pid))
    assert len(tokens) == 2
    shim.signal(signal.SIGKILL)
    broker.wait_line(r"\] lost")
    assert in_use(place) == 2           # limbo counts
    client = Client(place.endpoint)
    end = time.monotonic() + 1
    while time.monotonic() < end:       # proof only, no timer
        assert client.status()["in_use"] == 2
        time.sleep(0.01)
    supervisor.signal(signal.SIGKILL)
    died = time.monotonic()
    wait_until(lambda: not client.status().get("in_use"), "slots free")
    assert time.monotonic() - died < 2
    client.close()


@case
def slots_of_a_killed_shim_wait_for_the_last_process_of_the_tree(place):
    broker = place.broker()
    shim = place.start("/usr/bin/python3", "-B", "-c", TREE_SHIM % os.path.dirname(CLIENT),
                       place.endpoint)
    tree = json.loads(shim.wait_line(r'"tree"', "stdout").string)["tree"]
    assert alive(tree)
    shim.signal(signal.SIGKILL)
    broker.wait_line(r"\] lost")
    assert in_use(place) == 1 and alive(tree)
    # nobody is left to end it (keeper and shim are dead): the broker does
    wait_until(lambda: not alive(tree), "the leftover is ended")
    broker.wait_line(r"\bleftovers\b.*ended=1")
    wait_until(lambda: in_use(place) == 0, "slot free")


TREE_SHIM = """
import os, subprocess, sys, time
sys.path.insert(0, %r)
from slotbus_client import *
shim = Session(sys.argv[1], "consilio")
shim.request(1, run=True)
grant = shim.wait("GRANT")
env = dict(os.environ, SLOTBUS_COOKIE="%%s:%%d" %% (shim.welcome["broker"], grant["first"]))
tree = subprocess.Popen(["/bin/sleep", "1000"], env=env, start_new_session=True)
shim.send("STARTED", session=shim.session, tokens=[grant["first"]], pid=tree.pid)
shim.beat_ok()
print(json.dumps({"tree": tree.pid}), flush=True)
while True:
    shim.keep()
    time.sleep(0.005)
"""


# ---- disk ----

def tmpfs(place, size):
    """State on a small disk of its own."""
    os.mkdir(place.state, 0o700)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%d,mode=0700" % size,
                              "slotbus-test", place.state], stderr=subprocess.DEVNULL)
    if mounted.returncode:
        raise Skip("no tmpfs may be mounted here")
    place.at_end(subprocess.run, ["umount", "-l", place.state])


def fill(path):
    """Until not one byte more fits."""
    with open(path, "wb", buffering=0) as f:
        try:
            while True:
                f.write(b"x" * 65536)
        except OSError:
            pass
        try:
            while True:
                f.write(b"x")
        except OSError:
            pass


@case
def full_disk_stops_grants_and_nothing_else(place):
    tmpfs(place, 8 << 20)
    place.configure(timing={"ttl": "20s"}, max_slots=100, max_per_project=100)
    broker = place.broker()
    shim = Session(place.endpoint, "consilio")
    tokens = shim.granted(10)
    filler = os.path.join(place.state, "filler")
    fill(filler)
    broker.wait_line(r"\bdisk\b")
    seq = shim.request(2)
    queued = shim.wait("QUEUED", seq=seq)
    assert queued["reason"] == "DISK", queued
    sub = Subscriber(place.events, "broker")
    sub.wait("broker", true=lambda m: m.get("disk_full"))
    for token in tokens:                # many commits on a full disk
        shim.release([token])
        shim.beat_ok()
    assert in_use(place) == 0
    os.unlink(filler)
    grant = shim.wait("GRANT", seq=seq)  # by itself
    assert grant["count"] == 2
    sub.wait("broker", true=lambda m: not m.get("disk_full"))
    assert os.path.getsize(os.path.join(place.state, "ballast")) == 1 << 20
    sub.close()
    shim.close()


@case
def failing_disk_ends_the_broker_before_it_says_anything(place):
    broker = place.broker(preexec=lambda: signal.signal(signal.SIGXFSZ, signal.SIG_IGN))
    shim = Session(place.endpoint, "consilio", beating=False)
    shim.granted(1)
    resource.prlimit(broker.pid, resource.RLIMIT_FSIZE, (0, 0))     # EFBIG: not a full disk
    seq = shim.request(2)
    assert broker.wait_exit() == 74, broker.text()
    assert shim.read(0.2) is None
    place.broker()
    shim.beat_ok()
    assert in_use(place) == 1
    shim.send("REQUEST", session=shim.session, seq=seq, count=2)    # the resend
    assert shim.wait("GRANT", seq=seq)["count"] == 2
    shim.close()


@case
def tells_systemd_when_it_serves(place):
    path = os.path.join(place.path, "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        listener.settimeout(DEADLINE)
        broker = place.broker(env={"NOTIFY_SOCKET": path})
        try:
            listener.settimeout(2)
            said = listener.recv(256)
        except socket.timeout:
            raise Skip("built without libsystemd")
        assert b"READY=1" in said, said
        broker.signal(signal.SIGTERM)
        assert b"STOPPING=1" in listener.recv(256)


@case
def broker_starts_on_a_full_disk(place):
    tmpfs(place, 8 << 20)
    broker = place.broker()
    broker.signal(signal.SIGKILL)
    broker.wait_exit()
    fill(os.path.join(place.state, "filler"))
    place.broker()
    shim = Session(place.endpoint, "consilio")
    seq = shim.request(1)
    assert shim.wait("QUEUED", seq=seq)["reason"] == "DISK"
    shim.close()


if __name__ == "__main__":
    main()
