# SPDX-License-Identifier: MPL-2.0
"""What is published, as `slotbus events` and `slotbus health` show it, and the
way to a broker over TCP: lists of endpoints, brokers that go and come back."""
import json
import os
import re
import signal
import subprocess

import msgpack
import zmq

from harness import DEADLINE, free_port, main, program, wait_until
from seed import PROJECTS, by, day, supervisor
from slotbus_client import Session

TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ "


def configure(place, **changes):
    """Sessions of the test's own beat only while it waits for their messages."""
    place.configure(projects=PROJECTS, timing={"ttl": "60s"}, **changes)


def over_tcp(place, *more):
    """Configure a broker that serves both; the environment of a remote client."""
    bus = "tcp://127.0.0.1:%d" % free_port()
    configure(place, bind=[place.endpoint, bus, *more], insecure=True)
    return {"SLOTBUS_BROKER": bus}


def objects(text):
    return [json.loads(line) for line in text.splitlines()]


def follow(place, *flags, **options):
    """A follower that has heard of the broker's epoch."""
    follower = place.start("slotbus", "events", "--follow", *flags, **options)
    follower.wait_line(r"epoch 1\b|\"epoch\":1\b", "stdout")
    return follower


def hold(place, project, count):
    session = Session(place.endpoint, project)
    place.at_end(session.close)
    session.granted(count)
    return session


# ---- events ----

def topics_are_shown_once(place, env):
    hold(place, "consilio", 5)
    waiting = hold(place, "odin", 1)
    waiting.request(7)
    waiting.wait("QUEUED")
    code, out, err = place.run("slotbus", "events", env=env)
    assert (code, err) == (0, ""), err
    for line in (r"broker epoch 1, 2 sessions, version ", r"pool\.\S+ 6/8 used, 1 waiting$",
                 r"lease\.consilio consilio holds 5: 1-5$", r"lease\.odin odin holds 1: 6$",
                 r"queue\.consilio consilio waits for nothing$",
                 r"queue\.odin odin waits for 7: position 1, 5 slots ahead, SLOTS: 2 of 8 free, 7 wanted; ETA unknown; "
                 r"goes on with 5 slots: .*$"):
        assert len(re.findall(TIME + line, out, re.M)) == 1, (line, out)
    code, out, err = place.run("slotbus", "events", "--json", "--topic", "lease.con", "-t", "queue.od",
                               env=env)
    assert (code, err) == (0, ""), err
    rows = {row["topic"]: row for row in objects(out)}
    assert len(objects(out)) == len(rows) and set(rows) == {"lease.consilio", "queue.odin"}, out
    assert all(row["schema"] == 1 and row["epoch"] == 1 and row["number"] >= 1 for row in rows.values())
    lease = rows["lease.consilio"]
    assert (lease["verb"], lease["held"], lease["tokens"]) == ("LEASE", 5, [1, 2, 3, 4, 5]), lease
    first, = rows["queue.odin"]["requests"]
    assert (first["count"], first["reason"], first["eta_high_s"]) == (7, "SLOTS", None), first
    assert place.run("slotbus", "events", "-t", "lease.nobody", env=env) == (
        0, "", "slotbus: no such topic is published now")


@day
def events_shows_each_topic_once(place):
    configure(place)
    place.broker()
    topics_are_shown_once(place, {})


@day
def events_shows_each_topic_once_over_tcp(place):
    env = over_tcp(place)
    place.broker()
    topics_are_shown_once(place, env)
    code, out, err = place.run("slotbus", "health", "--json", env=env)
    row, = objects(out)
    assert code == 0 and row["level"] == "healthy" and row["schema"] == 1, (out, err)


@day
def a_follower_hears_of_changes_and_prints_no_repetition(place):
    env = over_tcp(place)
    place.broker()
    local, remote = follow(place), follow(place, "--json", env=env)
    some = place.start("slotbus", "events", "-f", "-t", "lease.con", "-t", "queue.con")
    session = hold(place, "consilio", 2)
    for follower in (local, some):
        follower.wait_line(TIME + r"lease\.consilio consilio holds 2: 1-2$", "stdout")
    hold(place, "odin", 1)
    remote.wait_line(r'"topic":"lease.odin",.*"held":1', "stdout")
    session.release([1])
    for follower in (local, some):
        follower.wait_line(r"lease\.consilio consilio holds 1: 2$", "stdout")
    # every topic is sent again whenever somebody comes, and now and then
    place.run("slotbus", "events")
    session.granted(3)
    for follower in (local, some):
        follower.wait_line(r"lease\.consilio consilio holds 4: 2,4-6$", "stdout")
    remote.wait_line(r'"lease.consilio",.*"held":4,.*"tokens":\[2,4,5,6\]', "stdout")
    rows = [(row["topic"], row["number"]) for row in objects(remote.text("stdout"))]
    assert len(rows) == len(set(rows)), rows
    lines = [line.split(" ", 1)[1] for line in some.lines["stdout"]]
    assert len(lines) == len(set(lines)) and all(".consilio " in line for line in lines), lines


@day
def a_follower_survives_the_brokers_restart_without_a_false_gap(place):
    env = over_tcp(place)
    broker = place.broker()
    followers = [follow(place), follow(place, env=env), follow(place, "--json", env=env)]
    health = place.start("slotbus", "health", "--follow", env=env)
    health.wait_line(r" healthy ", "stdout")
    # it is away until each of them has said so
    broker.signal(signal.SIGKILL)
    broker.wait_exit()
    for follower in followers + [health]:
        follower.wait_line(r"^slotbus: waiting for the broker at (tcp|ipc)://")
    heard = len(health.lines["stdout"])
    place.broker()
    for follower in followers:
        follower.wait_line(r"epoch 2\b|\"epoch\":2\b", "stdout")
    health.wait_line(r" healthy ", "stdout", start=heard)
    for follower in followers + [health]:
        assert "gap" not in follower.text("stdout"), follower.text("stdout")
        assert len(follower.lines["stderr"]) == 1, follower.text()
        assert follower.process.poll() is None


@day
def a_follower_that_was_stopped_has_missed_nothing_that_was_kept_for_it(place):
    configure(place)
    place.broker()
    follower = follow(place, "-t", "broker", "-t", "lease.")
    session = hold(place, "consilio", 1)
    follower.wait_line(r"consilio holds 1: 1$", "stdout")
    follower.signal(signal.SIGSTOP)
    for count in range(2, 6):
        session.granted(1)
    follower.signal(signal.SIGCONT)
    follower.wait_line(r"consilio holds 5: 1-5$", "stdout")
    for count in range(2, 6):
        follower.wait_line(r"consilio holds %d: 1-%d$" % (count, count), "stdout")
    assert not re.search("^gap", follower.text("stdout"), re.M), follower.text("stdout")


@day
def a_follower_whose_reader_has_gone_ends(place):
    configure(place)
    place.broker()
    # nothing will come: it must see the end of the pipe itself
    alone = subprocess.Popen([program("slotbus"), "events", "-f", "-t", "lease.nobody"],
                             stdout=subprocess.PIPE, env=place.env)
    place.at_end(alone.kill)
    alone.stdout.close()
    assert alone.wait(DEADLINE) == 1
    for number in (signal.SIGINT, signal.SIGTERM):
        follower = follow(place)
        follower.signal(number)
        assert follower.wait_exit() == -number and follower.text() == "", follower.text()


class Stand:
    """In the place of a broker: it publishes what it is told to."""

    def __init__(self, place):
        os.makedirs(place.runtime, mode=0o700)
        self.context = zmq.Context()
        self.bus, self.events = self.context.socket(zmq.ROUTER), self.context.socket(zmq.XPUB)
        self.events.setsockopt(zmq.XPUB_VERBOSE, 1)
        self.bus.bind(place.endpoint)
        self.events.bind(place.events)
        place.at_end(self.context.destroy, 0)

    def wait_subscriber(self):
        assert self.events.poll(DEADLINE * 1000)
        self.events.recv()

    def publish(self, topic, verb, number, epoch=1, **keys):
        body = msgpack.packb({"verb": verb, "number": number, "epoch": epoch, **keys})
        self.events.send_multipart([topic.encode(), b"SLT1", body])

    def health(self, number, level="healthy", **keys):
        self.publish("health.vm1", "HEALTH", number, host="vm1", level=level, **keys)


@day
def a_gap_is_said_and_its_repair_is_printed(place):
    stand = Stand(place)
    followers = [place.start("slotbus", *words, "--follow") for words in (
        ["health"], ["health", "--json"], ["events"], ["events", "--json"])]
    for _ in followers:
        stand.wait_subscriber()
    for number in (11, 11, 15, 15, 16, 18):
        stand.health(number)
    stand.health(19, "unknown", gone=True)
    stand.health(19, "unknown", gone=True)
    stand.health(40)
    stand.health(50, epoch=2)
    stand.health(52, "degraded", epoch=2)
    gaps = ["gap health.vm1: 3 lost (12-14)", "gap health.vm1: 1 lost (17)", "gap health.vm1: 1 lost (51)"]
    levels = ["healthy"] * 4 + ["unknown"] + ["healthy"] * 2 + ["degraded"]
    for follower in followers:
        follower.wait_line("degraded", "stdout")
    followers[0].wait_line(r"\(51\)")      # another thread reads it
    health, health_json, events, events_json = (f.lines["stdout"] for f in followers)
    assert followers[0].lines["stderr"] == gaps and not any(f.lines["stderr"] for f in followers[1:])
    assert health == ["- vm1 " + level for level in levels], health
    lines = [line if line.startswith("gap ") else re.sub(TIME, "", line) for line in events]
    words = ["health.vm1 " + level for level in levels]
    assert lines == [words[0], gaps[0], *words[1:3], gaps[1], *words[3:7], gaps[2], words[7]], lines
    for printed in (health_json, events_json):
        rows = objects("\n".join(printed))
        assert [row["gap"] for row in rows if "gap" in row] == [
            {"topic": "health.vm1", "first": first, "last": last}
            for first, last in ((12, 14), (17, 17), (51, 51))]
        assert [row["number"] for row in rows if "gap" not in row] == [11, 15, 16, 18, 19, 40, 50, 52], rows
        assert all(row["schema"] == 1 for row in rows)


@day
def each_topic_is_shown_once_whatever_is_in_it(place):
    stand = Stand(place)
    once = [place.start("slotbus", "health"), place.start("slotbus", "events", "--json", "-t", "pool.")]
    for _ in range(3):      # events listens for the broker's own topic too
        stand.wait_subscriber()
    stand.health(7, "unknown", gone=True)
    stand.health(7, "unknown", gone=True)
    stand.publish("pool.vm1\x1b\n", "POOL", 1, host="\x1b[2J", cause="\u202e", max_slots=4, in_use=4)
    stand.publish("pool.vm1\x1b\n", "POOL", 2, host="vm1")  # later than the first
    stand.publish("broker", "BROKER", 1, broker="b")
    assert [program.wait_exit() for program in once] == [0, 0]
    assert once[0].lines["stdout"] == ["- vm1 unknown"]
    row, = objects(once[1].text("stdout"))
    assert row["topic"] == "pool.vm1\\x1b\\x0a" and row["host"] == "\\x1b[2J", row


def answers(stand, pages):
    """STATUS is answered by these, one after another; returns what was asked
    for (number of the snapshot, cursor)."""
    asked = []
    for page in pages:
        assert stand.bus.poll(DEADLINE * 1000)
        who, _, body = stand.bus.recv_multipart()
        said = msgpack.unpackb(body)
        asked.append((said.get("snapshot", 0), said.get("cursor", 0)))
        stand.bus.send_multipart([who, b"SLT1", msgpack.packb(page)])
    return asked


@day
def a_status_whose_snapshot_is_closed_between_two_pages_is_read_anew(place):
    def page(number, name, cursor=0, further=0):
        return {"verb": "STATUS_OK", "snapshot": number, "epoch": 1, "broker": "b", "policy": "fifo",
                "level": "healthy", "max_slots": 8, "cursor": cursor, "next": further,
                "projects": [{"name": name, "priority": 5, "max": 8}]}

    closed = {"verb": "ERROR", "re": "STATUS", "error": "EXPIRED"}
    stand = Stand(place)
    reader = place.start("slotbus", "status", "--json")
    assert answers(stand, [page(3, "old", 0, 64), closed, page(9, "a", 0, 64), page(9, "b", 64)]) == [
        (0, 0), (3, 64), (0, 0), (9, 64)]
    assert reader.wait_exit() == 0, reader.text()
    whole, = objects(reader.text("stdout"))
    assert [row["name"] for row in whole["projects"]] == ["a", "b"], whole
    reader = place.start("slotbus", "status", "--json")
    answers(stand, [page(3, "old", 0, 64), closed] * 5)
    assert reader.wait_exit() == 75 and "try again" in reader.text() and not reader.lines["stdout"]


# ---- lists of endpoints ----

@day
def a_list_whose_first_broker_is_dead_serves_as_well(place):
    bus = over_tcp(place)["SLOTBUS_BROKER"]
    env = {"SLOTBUS_BROKER": "tcp://127.0.0.1:%d, %s" % (free_port(), bus)}
    place.broker()
    code, out, err = place.run("slotbus", "status", "--json", env=env)
    assert code == 0 and json.loads(out)["max_slots"] == 8, (out, err)
    code, out, err = place.run("slotbus", "events", "-t", "broker", env=env)
    assert code == 0 and "broker epoch 1," in out, (out, err)
    follow(place, env=env)
    who = supervisor(place)
    agent = place.start("slotbus", "run", "-p", "consilio", "--", "/bin/sh", "-c", "read line; exit 7",
                        env={**env, **by(who)}, stdin=(reader := os.pipe())[0])
    follower = place.start("slotbus", "events", "-f", "-t", "lease.consilio", env=env)
    follower.wait_line(r"consilio holds 1: 1$", "stdout")
    os.close(reader[0])
    os.close(reader[1])
    assert agent.wait_exit() == 7, agent.text()
    follower.wait_line(r"consilio holds 0$", "stdout")


@day
def a_shim_goes_to_the_next_broker_of_its_list(place):
    second = "tcp://127.0.0.1:%d" % free_port()
    first = over_tcp(place, second)["SLOTBUS_BROKER"]
    broker = place.broker()
    env = {"SLOTBUS_BROKER": first + "," + second, **by(supervisor(place))}
    agent = place.start("slotbus", "run", "-p", "consilio", "--", "/bin/sleep", "1000", env=env)
    follower = follow(place, "--json", "-t", "lease.", "-t", "broker", env=env)
    follower.wait_line(r'"lease.consilio",.*"held":1', "stdout")
    # the same broker comes back, but not at its first address
    configure(place, bind=[place.endpoint, second], insecure=True)
    broker.signal(signal.SIGKILL)
    broker.wait_exit()
    place.broker()
    log = os.path.join(place.runtime, "projects", "consilio", "shim.log")
    wait_until(lambda: "trying broker=" + second in open(log).read(), "the shim tries the next")
    follower.wait_line(r'"lease.consilio",.*"epoch":2,.*"held":1', "stdout")
    assert agent.process.poll() is None
    assert place.run("slotbus", "kill", "consilio", "--yes")[0] == 0
    assert agent.wait_exit() == 128 + signal.SIGTERM


@day
def where_no_broker_of_the_list_answers_all_are_named(place):
    dead = ["tcp://127.0.0.1:%d" % free_port() for _ in range(2)]
    env = {"SLOTBUS_BROKER": ",".join(dead)}
    for command in ("status", "health", "events"):
        code, out, err = place.run("slotbus", command, env=env)
        assert (code, out) == (69, "") and all(bus in err for bus in dead), (code, out, err)


@day
def what_is_wrong_with_a_list_is_said(place):
    for brokers, words in (("tcp://127.0.0.1:7,%s" % place.endpoint, place.endpoint + " must stand alone"),
                           ("tcp://127.0.0.1:7,tcp://b", "'tcp://b' is not an endpoint")):
        for argv in (["status"], ["events"], ["shim", "-p", "p"], ["run", "-p", "p", "--", "true"]):
            code, out, err = place.run("slotbus", *argv, env={
                "SLOTBUS_BROKER": brokers, "SLOTBUS_SUPERVISOR": str(os.getpid())})
            assert (code, out) == (69, "") and words in err, (argv, code, err)


main()
